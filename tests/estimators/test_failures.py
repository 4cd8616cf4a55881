"""A `fit` or `partial_fit` that fails leaves the estimator as it was."""

import os
import signal
import threading
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from oracle.classic import SGDClassifier, SGDOneClassSVM, SGDRegressor
from sklosses.exceptions import DivergenceError

CLASSES = [SGDClassifier, SGDRegressor, SGDOneClassSVM]


def state(model):
    """A deep enough copy of everything the estimator holds."""
    return {
        name: value.copy() if isinstance(value, np.ndarray | dict) else value for name, value in vars(model).items()
    }


def assert_unchanged(model, before):
    after = vars(model)
    assert after.keys() == before.keys()
    for name, value in before.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(after[name], value, err_msg=name)
            assert after[name].dtype == value.dtype
        elif isinstance(value, dict):
            assert after[name].keys() == value.keys()
            for key in value:
                np.testing.assert_array_equal(after[name][key], value[key])
        else:
            assert after[name] is value or after[name] == value, name


def fitted(cls, average=False):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = rng.integers(0, 3, size=60)
    return cls(max_iter=3, tol=None, random_state=0, average=average).fit(X, y), X, y


BAD = {
    "NaN in X": lambda X, y: (np.where(X > 2, np.nan, X), y, {}),
    "features": lambda X, y: (X[:, :2], y[:-1], {}),
    "1-d X": lambda X, y: (X[:, 0], y, {}),
    "weights": lambda X, y: (X, y, {"sample_weight": np.zeros(60)}),
    "start": lambda X, y: (X, y, {"coef_init": np.ones(7)}),
}


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("cls", CLASSES)
def test_bad_input(cls, what, average):
    model, X, y = fitted(cls, average)
    before = state(model)
    X, y, kwargs = BAD[what](X, y)
    if what == "features" and cls is SGDOneClassSVM:
        kwargs = {"sample_weight": np.ones(3)}
    with pytest.raises((ValueError, TypeError)):
        model.fit(X, y, **kwargs)
    assert_unchanged(model, before)
    kwargs.pop("coef_init", None)
    if what != "start":
        with pytest.raises((ValueError, TypeError)):
            model.partial_fit(X, y, **kwargs)
        assert_unchanged(model, before)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_first_fit_that_fails_fits_nothing(cls):
    model = cls()
    for X in (np.full((4, 2), np.inf), np.ones(4), [["a"], ["b"]]):
        with pytest.raises((ValueError, TypeError)):
            model.fit(X, [0, 1, 0, 1][: len(X)])
        assert vars(model) == vars(cls())


@pytest.mark.parametrize("cls", CLASSES)
def test_a_parameter_gone_bad(cls):
    model, X, y = fitted(cls)
    model.set_params(learning_rate="no such schedule")
    before = state(model)
    with pytest.raises(ValueError, match="learning_rate"):
        model.fit(X, y)
    assert_unchanged(model, before)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("average", [False, True])
def test_divergence(average, method):
    model, X, y = fitted(SGDRegressor, average)
    model.set_params(learning_rate="constant", eta0=1e3, max_iter=50)
    for _ in range(50):
        before = state(model)
        try:
            getattr(model, method)(X * 1e3, y)
        except DivergenceError as error:
            message = str(error)
            break
    else:
        pytest.fail("did not diverge")
    assert message.startswith("Floating-point under-/overflow occurred at epoch #")
    assert_unchanged(model, before)


def test_coefficients_that_overflow_float32():
    """Weights of 1e39 are fine for the solver, whose numbers are float64, and infinite in a float32 coef_."""
    X = np.array([[1e-38], [-1e-38]], dtype=np.float32)
    model = SGDRegressor(learning_rate="constant", eta0=1e-3, max_iter=1, tol=None, penalty=None)
    before = state(model)
    with pytest.raises(DivergenceError, match="coef_ does not fit into float32"):
        model.fit(X, [10.0, -10.0], coef_init=[1e39])
    assert_unchanged(model, before)


def test_weights_of_no_use_are_warned_of():
    """Few rows, between what recovers and what is called divergence; scikit-learn says nothing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2)) + 100
    with pytest.warns(ConvergenceWarning, match="far worse than without any coefficients"):
        SGDRegressor(random_state=0, max_iter=3, tol=None).fit(X, X[:, 0])


def test_a_column_scaled_by_ten_thousand():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 5))
    y = X @ rng.normal(size=5)
    X[:, 0] *= 1e4
    with pytest.raises(DivergenceError, match=r"epoch #1.*StandardScaler.*SquaredError"):
        SGDRegressor(random_state=0).fit(X, y)


@pytest.mark.parametrize("cls", CLASSES)
def test_ctrl_c_takes_effect_within_a_second(cls):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20000, 20)), rng.integers(0, 3, size=20000)
    model = cls(max_iter=2, tol=None, random_state=0).fit(X[:100], y[:100])
    model.set_params(max_iter=10**6)
    before = state(model)
    sent = []

    def interrupt():
        sent.append(os.times().elapsed)
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert os.times().elapsed - sent[0] < 1.0
    assert_unchanged(model, before)


def test_a_generator_goes_back():
    model, X, y = fitted(SGDRegressor)
    model.set_params(random_state=np.random.RandomState(3), early_stopping=True, learning_rate="constant", eta0=1e30)
    before = model.random_state.get_state()[1].copy()
    with pytest.raises(DivergenceError):
        model.fit(X, y)
    np.testing.assert_array_equal(model.random_state.get_state()[1], before)


def test_a_warning_made_an_error():
    model, X, y = fitted(SGDRegressor)
    model.set_params(tol=1e-9)
    before = state(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            model.fit(X, y)
    assert_unchanged(model, before)


def test_arrays_of_before_are_not_written():
    """Copies of attributes taken before a call keep their values after it."""
    for cls in CLASSES:
        model, X, y = fitted(cls, average=True)
        kept = {name: (value, value.copy()) for name, value in vars(model).items() if isinstance(value, np.ndarray)}
        model.partial_fit(X, y)
        model.set_params(warm_start=True).fit(X, y)
        for name, (value, copy) in kept.items():
            np.testing.assert_array_equal(value, copy, err_msg=name)


def test_starting_points_are_not_written(regression):
    X, y = regression
    coef, intercept = np.ones(5), np.ones(1)
    SGDRegressor(max_iter=2, tol=None).fit(X, y, coef_init=coef, intercept_init=intercept)
    np.testing.assert_array_equal(coef, 1)
    np.testing.assert_array_equal(intercept, 1)

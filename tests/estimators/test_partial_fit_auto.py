"""`partial_fit` under learning_rate="auto": attributes, going on, failing; what it learns is tested with the solver."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import Ridge
from sklearn.linear_model import SGDOneClassSVM as TheirOneClassSVM

from sklosses import SGDClassifier, SGDOneClassSVM, SGDRegressor
from sklosses.exceptions import DivergenceError
from sklosses.losses import Hinge, get_loss, loss_names

CLASSES = [0, 1]
X, y = load_breast_cancer(return_X_y=True)  # columns from 1e-3 to 1e3 in size
A, t = load_diabetes(return_X_y=True, scaled=False)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def auto(cls, **settings):
    return cls(learning_rate="auto", random_state=0, **settings)


def streamed(model, X, y, size=100, **given):
    for start in range(0, len(y), size):
        rows = slice(start, start + size)
        own = {name: value[rows] if isinstance(value, np.ndarray) else value for name, value in given.items()}
        model.partial_fit(X[rows], y[rows], **own)
    return model


def bits(model):
    """The model, and what it goes on from."""
    past = model._stream.columns[0]
    arrays = (model.coef_, past.here, past.gradient, past.hessian.matrix, model._stream.kept.design)
    return [array.tobytes() for array in arrays] + [model.t_, past.total, past.distance]


@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet", None])
@pytest.mark.parametrize("loss", loss_names("classification"))
def test_every_classification_loss(loss, penalty):
    model = streamed(auto(SGDClassifier, loss=loss, penalty=penalty, alpha=1e-3), X, y, classes=CLASSES)
    if "perceptron" not in loss:  # their minimum is at 0
        assert model.score(X, y) > 0.88
    assert np.isnan(model.gap_)
    assert model.gap_kind_ is None
    assert model.solver_ == "streaming"
    assert model.n_iter_ == 1
    assert model.t_ == len(y) + 1


@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet", None])
@pytest.mark.parametrize("loss", loss_names("regression"))
def test_every_regression_loss(loss, penalty):
    target = t / 100
    model = streamed(auto(SGDRegressor, loss=loss, penalty=penalty, alpha=1e-3), A, target)
    null = get_loss(loss)
    null = clone(null).set_params(**{"epsilon": 0.1} if "epsilon" in null.get_params() else {})
    constant = null.link(np.median(target))
    assert null(target, model.raw_predict(A)) < null(target, np.full(len(t), constant))


@pytest.mark.parametrize("layout", [np.asarray, csr_array])
def test_ridge(layout):
    model = streamed(auto(SGDRegressor, alpha=1e-2), layout(A), t)
    assert_allclose(model.coef_, Ridge(alpha=1e-2 * len(t)).fit(A, t).coef_, rtol=1e-7)


def test_attributes_are_of_the_chunk():
    model = streamed(auto(SGDRegressor), A, t)
    model.partial_fit(A[:30], t[:30])
    residuals = A[:30] @ model.coef_ + model.intercept_ - t[:30]
    assert model.objective_ == pytest.approx(np.mean(residuals**2) / 2 + 5e-5 * model.coef_ @ model.coef_)
    assert set(model.history_) == {"objective", "seconds"}
    assert model.history_["objective"].shape == (1,)


def test_the_objective_divides_by_the_weights():
    weights = np.linspace(0, 3, len(t))
    model = auto(SGDRegressor, alpha=1e-3).partial_fit(A, t, sample_weight=weights)
    value = np.average((A @ model.coef_ + model.intercept_ - t) ** 2 / 2, weights=weights)
    assert model.objective_ == pytest.approx(value + 5e-4 * model.coef_ @ model.coef_)


def test_one_vs_rest():
    wine, cultivar = load_wine(return_X_y=True)
    mixed = np.random.default_rng(0).permutation(len(cultivar))
    settings = {"loss": "hinge", "alpha": 1e-2, "class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}
    model = streamed(auto(SGDClassifier, **settings), wine[mixed], cultivar[mixed], size=30, classes=[0, 1, 2])
    assert model.coef_.shape == (3, 13)
    assert model.objective_.shape == model.gap_.shape == (3,)
    assert np.all(np.isnan(model.gap_))
    assert model.score(wine, cultivar) > 0.95


def test_classes_are_asked_for():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        auto(SGDClassifier).partial_fit(X, y)
    first = auto(SGDClassifier, loss="log_loss").partial_fit(X[:1], y[:1], classes=CLASSES)  # of one class
    assert np.all(np.isfinite(first.partial_fit(X[1:50], y[1:50]).coef_))


def test_the_one_class_svm():
    """Below the objective that scikit-learn's SGD reaches."""
    Z = np.random.default_rng(0).standard_normal((3000, 3)) + 3
    model = auto(SGDOneClassSVM, nu=0.1)
    for rows in np.split(np.arange(3000), 6):
        model.partial_fit(Z[rows])
    theirs = TheirOneClassSVM(nu=0.1, random_state=0, average=True).fit(Z)

    def F(m):
        return (np.maximum(m.offset_ - Z @ m.coef_, 0).mean() + 0.05 * m.coef_ @ m.coef_ + 0.1 * (1 - m.offset_))[0]

    assert F(model) <= F(theirs) + 1e-3 * abs(F(theirs))
    assert 0.07 < np.mean(model.predict(Z) == -1) < 0.13


def test_the_one_class_svm_without_an_offset_to_fit():
    """`offset_` stays 0, and counts: F = mean (-x.w)+ + ... has its minimum where rows are on the positive side."""
    Z = np.random.default_rng(0).standard_normal((1000, 3)) + 3
    model = auto(SGDOneClassSVM, nu=0.1, fit_intercept=False)
    for rows in np.split(np.arange(1000), 4):
        model.partial_fit(Z[rows])
    assert model.offset_ == 0
    assert np.mean(model.predict(Z) == -1) < 0.01
    cost = np.maximum(-Z @ model.coef_, 0).mean() + 0.05 * model.coef_ @ model.coef_
    assert cost < 1e-3


@pytest.mark.parametrize("cls", [SGDClassifier, SGDRegressor, SGDOneClassSVM])
def test_saved_loaded_and_gone_on_with(cls):
    """The same bits as never having stopped."""
    given = {"classes": CLASSES} if cls is SGDClassifier else {}
    straight = streamed(auto(cls), X[:400], y[:400], **given)
    loaded, copied = pickle.loads(pickle.dumps(straight)), copy.deepcopy(straight)
    for model in (straight, loaded, copied):
        streamed(model, X[400:], y[400:], **given)
    assert bits(straight) == bits(loaded) == bits(copied)


def test_float32_keeps_its_type_and_the_memory_its_digits():
    """Rounded coefficients are not taken for edited ones."""
    narrow = streamed(auto(SGDRegressor), A.astype(np.float32), t)
    assert narrow.coef_.dtype == np.float32
    wide = streamed(auto(SGDRegressor), A.astype(np.float32).astype(np.float64), t)
    assert_allclose(narrow.coef_, wide.coef_, rtol=1e-6)


def test_coefficients_may_be_edited():
    model = streamed(auto(SGDRegressor), A, t)
    untouched = copy.deepcopy(model).partial_fit(A[:50], t[:50])
    model.coef_[0] += 5
    assert abs(model.partial_fit(A[:50], t[:50]).coef_[0] - untouched.coef_[0]) > 1


def test_sparsified_coefficients():
    model = streamed(auto(SGDClassifier, penalty="l1"), X, y, classes=CLASSES)
    thin = copy.deepcopy(model).sparsify()
    assert np.array_equal(thin.partial_fit(X, y).coef_, model.partial_fit(X, y).coef_)


@pytest.mark.parametrize("loss", ["squared_error", "huber", "poisson"])
def test_after_fit(loss):
    """The fit stands for its rows."""
    half, rest = slice(0, 300), slice(300, None)
    settings = {"loss": loss, "alpha": 1e-2}
    model = auto(SGDRegressor, **settings).fit(A[half], t[half])
    assert model.t_ == 301
    before = model.coef_
    model.partial_fit(A[rest], t[rest])
    whole = auto(SGDRegressor, **settings).fit(A, t)
    scale = A.std(axis=0)
    assert np.linalg.norm((model.coef_ - whole.coef_) * scale) < 0.7 * np.linalg.norm((before - whole.coef_) * scale)
    assert model.t_ == len(t) + 1


def test_after_steps_and_before_them():
    model = SGDRegressor(random_state=0, average=True).fit(A / 100, t)
    averaged = model.coef_.copy()
    model.set_params(learning_rate="auto").partial_fit(A[:20] / 100, t[:20])
    assert model.solver_ == "streaming"
    assert np.linalg.norm(model.coef_ - averaged) < 0.3 * np.linalg.norm(averaged)
    model.set_params(learning_rate="invscaling").partial_fit(A / 100, t)
    assert model.solver_ == "sgd"
    assert not hasattr(model, "_stream")


def test_average_changes_nothing():
    plain, averaged = (streamed(auto(SGDRegressor, average=average), A, t) for average in (False, True))
    assert np.array_equal(plain.coef_, averaged.coef_)


def test_fit_forgets_the_stream():
    model = streamed(auto(SGDRegressor), A, t).fit(A, t)
    assert not hasattr(model, "_stream")
    assert model.solver_ == "newton"


@pytest.mark.parametrize("broken", ["nan", "columns", "label", "overflow"])
def test_a_failure_leaves_the_estimator_as_it_was(broken):
    cls = SGDRegressor if broken == "overflow" else SGDClassifier
    given = {} if broken == "overflow" else {"classes": CLASSES}
    model = streamed(auto(cls), X[:300].astype(np.float32), y[:300], **given)
    before = pickle.dumps(vars(model))
    bad, labels = X[300:].astype(np.float32), y[300:].copy()
    if broken == "nan":
        bad[3, 3] = np.nan
    elif broken == "columns":
        bad = bad[:, :5]
    elif broken == "label":
        labels[0] = 7
    else:
        labels = labels * 1e60      # the coefficients do not fit into float32
    with np.errstate(over="ignore"), pytest.raises(DivergenceError if broken == "overflow" else ValueError):
        model.partial_fit(bad, labels)
    assert pickle.dumps(vars(model)) == before


def test_squares_beyond_float64():
    model = streamed(auto(SGDRegressor), A, t)
    with pytest.raises(DivergenceError, match="StandardScaler"):
        model.partial_fit(A * 1e200, t)
    streamed(auto(SGDRegressor, loss="huber"), A * 1e140, t)


def test_interrupted(monkeypatch):
    model = streamed(auto(SGDRegressor), A[:300], t[:300])
    before = pickle.dumps(vars(model))

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("sklosses.solvers._streaming._objective", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(A[300:], t[300:])
    assert pickle.dumps(vars(model)) == before


@pytest.mark.parametrize("cls", [SGDClassifier, SGDRegressor, SGDOneClassSVM])
def test_forgetting_is_a_parameter(cls):
    assert clone(cls(forgetting=0.99)).get_params()["forgetting"] == 0.99
    for bad in (0.0, 1.5, "no"):
        with pytest.raises(ValueError, match="'forgetting' parameter"):
            cls(forgetting=bad).fit(X, y)
    # It changes streams and nothing else.
    plain, faded = cls(random_state=0, max_iter=5, tol=None), cls(random_state=0, max_iter=5, tol=None, forgetting=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(plain.fit(X / 1e3, y).coef_, faded.fit(X / 1e3, y).coef_)


def test_forgetting_follows_a_change():
    later = A @ [3.0, -1, 0, 0, 1, 0, 0, 0, 0, 0]
    keeps, forgets = (streamed(auto(SGDRegressor, forgetting=f), A, t) for f in (1.0, 0.98))
    for model in (keeps, forgets):
        streamed(model, A, later)
    assert forgets.score(A, later) > 0.999 > keeps.score(A, later)


def test_losses_of_ones_own():
    class Distance:
        def value(self, y, p):
            return np.abs(p - y)

        def gradient(self, y, p):
            return np.sign(p - y)

    median = streamed(auto(SGDRegressor, loss="absolute_error"), A, t)
    own = streamed(auto(SGDRegressor, loss=Distance()), A, t)
    error = [np.abs(model.predict(A) - t).mean() for model in (median, own)]
    assert error[1] < 1.02 * error[0]
    assert auto(SGDClassifier, loss=Hinge()).partial_fit(X, y, classes=CLASSES).score(X, y) > 0.9


def test_early_stopping_and_balanced_weights_are_refused():
    with pytest.raises(ValueError, match="early_stopping"):
        auto(SGDRegressor, early_stopping=True).partial_fit(A, t)
    with pytest.raises(ValueError, match="'balanced' is not supported"):
        auto(SGDClassifier, class_weight="balanced").partial_fit(X, y, classes=CLASSES)


def test_offset():
    exposure = np.linspace(0.5, 2, len(t))
    model = streamed(auto(SGDRegressor, loss="poisson", alpha=1e-6), A, t * exposure, offset=np.log(exposure))
    without = streamed(auto(SGDRegressor, loss="poisson", alpha=1e-6), A, t)
    assert_allclose(model.predict(A), without.predict(A), rtol=0.1)

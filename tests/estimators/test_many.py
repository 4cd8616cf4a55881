"""Fits that share a table are the fits of `fit`, each on its own rows."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sklosses import SGDClassifier, SGDOneClassSVM, SGDRegressor
from sklosses.exceptions import DivergenceError
from sklosses.linear_model._many import ManyFits, why_alone
from sklosses.losses import Huber, as_loss

TIGHT = {"tol": 1e-10, "random_state": 0}
CLASSIFIERS = [
    SGDClassifier(loss="hinge", **TIGHT),
    SGDClassifier(loss="log_loss", penalty="l1", alpha=1e-2, class_weight="balanced", **TIGHT),
    SGDClassifier(loss="modified_huber", class_weight={0: 3.0}, fit_intercept=False, **TIGHT),
    SGDClassifier(loss="perceptron", random_state=1),
]
REGRESSORS = [
    SGDRegressor(**TIGHT),
    SGDRegressor(loss=Huber(epsilon=0.3), penalty="elasticnet", alpha=1e-2, l1_ratio=0.4, **TIGHT),
    SGDRegressor(loss="poisson", **TIGHT),
    SGDRegressor(loss="quantile", quantile=0.8, alpha=1e-2, **TIGHT),
]
SUBSETS = [None, np.arange(0, 200, 2), np.arange(30, 160)]


@pytest.fixture(autouse=True)
def without_convergence_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def table(n_classes):
    rng = np.random.default_rng(n_classes)
    X = rng.normal(size=(200, 5)) * [1, 10, 0.1, 1, 1]
    signal = X @ [1, 0.1, -5, 0, 1] / 3 + rng.normal(size=200)
    if n_classes:
        edges = np.quantile(signal, np.linspace(0, 1, n_classes + 1)[1:-1])
        return X, np.searchsorted(edges, signal), rng.uniform(size=(2, 200))
    return X, np.exp(signal / 2), rng.uniform(size=(2, 200))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [np.asarray, csr_array, pd.DataFrame, lambda X: X.astype(np.float32)],
                         ids=["dense", "csr", "frame", "float32"])
@pytest.mark.parametrize("n_classes", [2, 3, 0], ids=["binary", "many classes", "numbers"])
def test_fits_are_those_of_fit(n_classes, kind, weighted):
    X, y, (weights, offset) = table(n_classes)
    X = kind(X).rename(columns=str) if kind is pd.DataFrame else kind(X)
    params = {"sample_weight": weights, "offset": offset} if weighted else {}
    estimators = CLASSIFIERS if n_classes else REGRESSORS
    many = ManyFits(estimators, X, y, SUBSETS, params)
    fits = many.run()
    assert not many.alone
    assert list(fits) == many.cells == [(i, k) for i in range(4) for k in range(3)]
    for (number, place), fit in fits.items():
        rows = np.arange(200) if SUBSETS[place] is None else SUBSETS[place]
        cut = X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]
        alone = clone(estimators[number]).fit(cut, y[rows], **{name: value[rows] for name, value in params.items()})
        found = fit.estimator
        assert fit.error is None
        assert vars(found).keys() == vars(alone).keys()
        assert found.coef_.dtype == alone.coef_.dtype
        single = alone.coef_.dtype == np.float32
        assert_allclose(found.coef_, alone.coef_, rtol=1e-3, atol=2e-4 if single else 2e-5)
        assert_allclose(found.objective_, alone.objective_, rtol=1e-8)
        assert_allclose(found.t_, alone.t_)
        for name in ("classes_", "n_features_in_", "feature_names_in_"):
            assert_array_equal(getattr(found, name, None), getattr(alone, name, None))
        assert found.gap_kind_ == alone.gap_kind_
        assert_allclose(found.decision_function(cut) if n_classes else found.raw_predict(cut),
                        alone.decision_function(cut) if n_classes else alone.raw_predict(cut), rtol=1e-3, atol=1e-3)
        found.set_params(**({"class_weight": None} if n_classes else {})).partial_fit(cut, y[rows])
    assert not any(hasattr(estimator, "coef_") for estimator in estimators)


def test_time_and_progress_are_shares_of_all():
    X, y, _ = table(2)
    shares = []
    estimators = [SGDClassifier(alpha=alpha, tol=tol) for alpha in (1e-3, 1e-1) for tol in (1e-3, 1e-5)]
    fits = ManyFits(estimators, X, y, SUBSETS).run(progress=shares.append, n_jobs=1)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len({fit.seconds for fit in fits.values()}) == 2  # a share in each call: one for each tol


def test_fits_stop_when_they_are_told_to():
    X, y, _ = table(2)
    estimators = [SGDClassifier(alpha=alpha) for alpha in np.logspace(-5, 0, 20)]
    fits = ManyFits(estimators, X, y, SUBSETS).run(progress=lambda share: share > 0.2)
    assert 0 < len(fits) < 60
    assert all(fit.estimator.coef_.shape == (1, 5) for fit in fits.values())


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (SGDClassifier(), None),
        (SGDRegressor("huber", penalty=None), None),
        (SGDOneClassSVM(), "SGDOneClassSVM is fitted in its own way"),
        (SGDClassifier(learning_rate="constant", average=True), None),
        (SGDRegressor(early_stopping=True), "early_stopping=True"),
        (SGDRegressor(verbose=1), "verbose=1"),
        (SGDRegressor(warm_start=True), "warm_start=True"),
    ],
)
def test_why_a_fit_is_left_alone(estimator, reason):
    assert why_alone(estimator) == reason


def test_what_is_refused_is_left_alone_and_the_others_are_not():
    X, y, _ = table(0)
    y = y - 1  # the first loss to be met refuses it
    estimators = [SGDRegressor("poisson"), SGDRegressor(alpha=-1.0), SGDRegressor(), SGDRegressor("gamma"),
                  SGDRegressor("no such loss"), SGDRegressor("huber")]
    many = ManyFits(estimators, X, y, [None])
    assert many.cells == [(2, 0), (5, 0)]
    assert all(reason and "\n" not in reason for reason in many.alone.values())
    assert "alpha" in many.alone[1, 0]
    assert "takes targets in [0, inf)" in many.alone[0, 0]
    for X_bad in (np.full_like(X, np.nan), X[:-1], X[0]):
        refused = ManyFits(estimators, X_bad, y, [None])
        assert refused.cells == []
        assert refused.sample is None


def test_odd_subsets_are_left_alone():
    X, y, (weights, _) = table(3)
    lacking = np.flatnonzero(y < 2)
    weights = np.where(np.arange(200) < 20, 0.0, weights)
    many = ManyFits([SGDClassifier()], X, y, [lacking, np.arange(20), np.array([], dtype=int), None],
                    {"sample_weight": weights})
    assert many.cells == [(0, 3)]
    assert list(many.alone.values()) == ["a class is not among the rows to train on",
                                         "the weights of the rows to train on are all zero",
                                         "there are no rows to train on"]
    assert ManyFits([SGDClassifier()], X, y, [None], {"X_val": X}).alone == {(0, 0): "fit is given X_val"}
    many = ManyFits([SGDRegressor(n_iter_no_change=3), SGDRegressor(as_loss(Slopes()))], X, y, [None])
    assert list(many.alone.values()) == ["n_iter_no_change=3"]
    assert many.stepwise == {(1, 0)}


class Slopes:
    """A loss of which nothing is known but values and slopes."""

    def value(self, y, p):
        return np.abs(p - y) ** 1.5

    def gradient(self, y, p):
        return 1.5 * np.sign(p - y) * np.sqrt(np.abs(p - y))


def test_a_fit_that_diverges_has_its_error_and_disturbs_no_other(monkeypatch):
    from sklosses import solvers

    X, y, _ = table(0)
    real = solvers.solve_many

    def diverging(problems, **settings):
        results = real(problems, **settings)
        results[0].coef[:] = np.inf
        return results

    estimators = [SGDRegressor(), SGDRegressor("huber")]
    expected = ManyFits(estimators, X, y, [None]).run()
    monkeypatch.setattr(solvers, "solve_many", diverging)
    fits = ManyFits(estimators, X, y, [None]).run()
    assert fits[0, 0].estimator is None
    assert isinstance(fits[0, 0].error, DivergenceError)
    assert_array_equal(fits[1, 0].estimator.coef_, expected[1, 0].estimator.coef_)


@pytest.mark.parametrize("schedule", ["auto", "constant"])
def test_a_call_that_fails_leaves_every_fit_to_itself(schedule, monkeypatch):
    """Whatever the block stumbles over: only the guilty fail."""
    X, y, _ = table(2)
    estimators = [SGDClassifier(loss, learning_rate=schedule, random_state=0) for loss in ("hinge", "log_loss")]
    expected = ManyFits(estimators, X, y, SUBSETS).run()

    def broken(*_, **__):
        raise MemoryError("too much at once")

    guilty = type(ManyFits(estimators, X, y, SUBSETS)._solvers[0, 0])
    alone = guilty.solve

    def solve(self, problem, **given):
        if problem.losses[0][0].name == "hinge":
            raise MemoryError("too much alone")
        return alone(self, problem, **given)

    monkeypatch.setattr("sklosses.solvers.solve_many", broken)
    monkeypatch.setattr("sklosses.solvers.solve_by_steps", broken)
    monkeypatch.setattr(guilty, "solve", solve)
    fits = ManyFits(estimators, X, y, SUBSETS).run()
    assert fits.keys() == expected.keys()
    for (number, place), fit in fits.items():
        if number == 0:
            assert isinstance(fit.error, MemoryError)
        else:
            np.testing.assert_allclose(fit.estimator.coef_, expected[number, place].estimator.coef_, rtol=1e-2)


def test_interrupts_are_nobodys_fault(monkeypatch):
    X, y, _ = table(2)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("sklosses.solvers.solve_many", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ManyFits([SGDClassifier()], X, y, SUBSETS).run()


def test_stopping_leaves_out_later_calls_too():
    X, y, _ = table(2)
    estimators = [SGDClassifier(tol=tol, learning_rate=schedule) for tol in (1e-3, 1e-2)
                  for schedule in ("auto", "constant")]
    fits = ManyFits(estimators, X, y, SUBSETS).run(progress=lambda share: True, n_jobs=1)
    assert len(fits) < 4

"""The oracle of classic SGD against scikit-learn's own: same weights, same epochs."""

import warnings
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from sklearn.linear_model import SGDClassifier, SGDOneClassSVM, SGDRegressor

from oracle import sgd

SCHEDULES = ["optimal", "constant", "invscaling", "adaptive"]
PENALTIES = [None, "l2", "l1", "elasticnet"]
CLASSIFIERS = ["hinge", "squared_hinge", "perceptron", "log_loss", "modified_huber", "squared_error", "huber",
               "epsilon_insensitive", "squared_epsilon_insensitive"]
REGRESSORS = ["squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive"]
MAX_INT = np.iinfo(np.int32).max


def table(seed=0, n=60, d=6, density=0.6):
    rng = np.random.default_rng(seed)
    X = 0.4 * rng.standard_normal((n, d)) * (rng.random((n, d)) < density)
    return X, X @ rng.uniform(-3, 3, d) + 0.3 + 0.5 * rng.standard_normal(n), rng.uniform(0.2, 2.0, n)


def as_stored(X, sparse):
    return csr_array(X) if sparse else X


def in_order(n):
    return lambda epoch: np.arange(n)


def shuffled(n, seed):
    """scikit-learn's rows of each epoch: the last epoch's by Fisher-Yates, its 32-bit xorshift starting anew."""
    rows = np.arange(n)

    def order(epoch):
        state = seed or 1
        for i in range(n - 1):
            state ^= state << 13 & 0xFFFFFFFF
            state ^= state >> 17
            state ^= state << 5 & 0xFFFFFFFF
            j = i + state % 2**31 % (n - i)
            rows[i], rows[j] = rows[j], rows[i]
        return rows.copy()

    return order


def settings_of(estimator, **changes):
    names = "penalty alpha l1_ratio learning_rate eta0 power_t average fit_intercept max_iter tol n_iter_no_change"
    values = {name: getattr(estimator, name) for name in names.split()}
    return sgd.Settings(**{**values, "average": int(estimator.average), **changes})


def formulas_of(estimator):
    takes_epsilon = estimator.loss in {"huber", "epsilon_insensitive", "squared_epsilon_insensitive"}
    return sgd.formulas(estimator.loss, **({"epsilon": estimator.epsilon} if takes_epsilon else {}))


def assert_agree(estimator, fit, row=0):
    coef, intercept = fit.model
    scale = max(1.0, np.abs(estimator.coef_).max(), np.abs(estimator.intercept_).max())
    assert_allclose(estimator.coef_[row] if estimator.coef_.ndim > 1 else estimator.coef_, coef, 0, 1e-12 * scale)
    assert_allclose(estimator.intercept_[row], intercept, 0, 1e-12 * scale)


def fit_quietly(estimator, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(*args, **kwargs)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", CLASSIFIERS)
def test_classifier(loss, sparse):
    X, y, weights = table()
    codes = np.where(y > 0, 1.0, 0.0 if loss in sgd.ZERO_ONE else -1.0)
    for schedule, penalty, average in product(SCHEDULES, PENALTIES, [False, True, 100]):
        if average and penalty in {"l1", "elasticnet"}:
            continue    # see test_scikit_learn_averages_l1_wrongly
        ours_weights = average != 100
        model = SGDClassifier(loss, penalty=penalty, alpha=0.05, learning_rate=schedule, eta0=0.02, average=average,
                              shuffle=False, max_iter=3, tol=None, class_weight={0: 0.5, 1: 1.5})
        fit_quietly(model, as_stored(X, sparse), y > 0, sample_weight=weights if ours_weights else None)
        row_weights = np.where(y > 0, 1.5, 0.5) * (weights if ours_weights else 1.0)
        oracle = sgd.Solver(as_stored(X, sparse), codes, formulas_of(model), settings_of(model), row_weights)
        assert_agree(model, oracle.fit(in_order(len(y))))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", REGRESSORS)
def test_regressor(loss, sparse):
    X, y, weights = table(1)
    for schedule, penalty, fit_intercept in product(SCHEDULES, PENALTIES, [False, True]):
        model = SGDRegressor(loss, penalty=penalty, alpha=0.05, learning_rate=schedule, fit_intercept=fit_intercept,
                             shuffle=False, max_iter=3, tol=None)
        start = np.linspace(-1, 1, 6)   # scikit-learn trains the array it is given
        fit_quietly(model, as_stored(X, sparse), y, coef_init=start.copy(), intercept_init=0.5, sample_weight=weights)
        oracle = sgd.Solver(as_stored(X, sparse), y, formulas_of(model), settings_of(model), weights)
        assert_agree(model, oracle.fit(in_order(len(y)), sgd.Fit(start, 0.5)))


@pytest.mark.parametrize("schedule", ["pa1", "pa2"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("average", [False, True])
def test_passive_aggressive(schedule, sparse, average):
    X, y, weights = table(2)
    X[7] = 0
    for penalty, loss in product(PENALTIES[:2] if average else PENALTIES, ["hinge", "epsilon_insensitive"]):
        Model, targets = (SGDClassifier, np.where(y > 0, 1.0, -1.0)) if loss == "hinge" else (SGDRegressor, y)
        model = Model(loss, penalty=penalty, alpha=0.05, learning_rate=schedule, eta0=0.3, shuffle=False, max_iter=3,
                      tol=None, average=average)
        fit_quietly(model, as_stored(X, sparse), targets, sample_weight=weights)
        oracle = sgd.Solver(as_stored(X, sparse), targets, formulas_of(model), settings_of(model), weights)
        assert_agree(model, oracle.fit(in_order(len(y))))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_one_class(schedule, sparse):
    X, y, weights = table(3)
    for average, nu in product([False, True, 70], [0.05, 0.5]):
        model = SGDOneClassSVM(nu, learning_rate=schedule, average=average, shuffle=False, max_iter=3, tol=None)
        fit_quietly(model, as_stored(X, sparse), sample_weight=weights)
        settings = settings_of(model, alpha=nu, intercept_cost=nu, penalty="l2")
        oracle = sgd.Solver(as_stored(X, sparse), np.ones(len(y)), sgd.formulas("hinge"), settings, weights)
        coef, intercept = oracle.fit(in_order(len(y)), sgd.Fit(np.zeros(6), 1.0)).model
        assert_allclose(np.ravel(model.coef_), coef, 0, 1e-12)
        assert_allclose(1 - model.offset_[0], intercept, 0, 1e-12)


def test_multiclass_and_shuffling():
    X, y, weights = table(4)
    labels = np.digitize(y, [-1, 1])
    model = SGDClassifier("log_loss", alpha=0.05, random_state=3, max_iter=4, tol=None)
    fit_quietly(model, X, labels, sample_weight=weights)
    for k, seed in enumerate(np.random.RandomState(3).randint(MAX_INT, size=3)):
        draws = np.random.RandomState(seed)
        draws.randint(1, MAX_INT)
        oracle = sgd.Solver(X, labels == k, sgd.formulas("log_loss"), settings_of(model), weights)
        assert_agree(model, oracle.fit(shuffled(len(y), draws.randint(MAX_INT))), k)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("penalty", [None, "l2"])
def test_stops_in_the_same_epoch(schedule, penalty):
    X, y, _ = table(5)
    stopped = set()
    for tol, patience, seed in product([1e-2, 1e-4], [1, 3], [0, 1]):
        model = SGDRegressor("huber", penalty=penalty, alpha=0.05, learning_rate=schedule, tol=tol, epsilon=0.5,
                             n_iter_no_change=patience, random_state=seed, max_iter=200)
        fit_quietly(model, X, y)
        oracle = sgd.Solver(X, y, formulas_of(model), settings_of(model))
        fit = oracle.fit(shuffled(len(y), np.random.RandomState(seed).randint(0, MAX_INT)))
        assert fit.n_iter == model.n_iter_
        assert_agree(model, fit)
        stopped.add(fit.n_iter)
    assert len(stopped) > 2
    assert min(stopped) < 200


@pytest.mark.parametrize("penalty", [None, "l2"])
def test_running_objective(penalty, capsys):
    X, y, _ = table(6)
    model = SGDRegressor(penalty=penalty, alpha=0.05, shuffle=False, max_iter=4, tol=None, verbose=1).fit(X, y)
    printed = [float(line.split("Objective: ")[1]) for line in capsys.readouterr().out.splitlines() if "Obj" in line]
    oracle = sgd.Solver(X, y, formulas_of(model), settings_of(model))
    assert_allclose(oracle.fit(in_order(len(y))).objective, printed, 0, 5.1e-7)


def test_partial_fit():
    X, y, weights = table(7)
    for penalty, average in product(PENALTIES, [False, True]):
        if average and penalty in {"l1", "elasticnet"}:
            continue
        model = SGDRegressor(penalty=penalty, alpha=0.05, shuffle=False, average=average)
        fit = sgd.Fit(np.zeros(6))
        for part in np.split(np.arange(60), [25, 30]):
            model.partial_fit(X[part], y[part], weights[part])
            settings = settings_of(model, max_iter=1, tol=None)
            oracle = sgd.Solver(X[part], y[part], sgd.formulas("squared_error"), settings, weights[part])
            assert_agree(model, oracle.fit(in_order(len(part)), fit))


def test_scikit_learn_averages_l1_wrongly():
    """Its average takes every L1 step in full, not the share of one iterate, and drifts away from all iterates."""
    X, y, _ = table(8)
    model = SGDRegressor(penalty="l1", alpha=0.05, learning_rate="constant", shuffle=False, average=True, max_iter=100,
                         tol=None).fit(X, y)
    oracle = sgd.Solver(X, y, sgd.formulas("squared_error"), settings_of(model))
    iterates = []
    step, oracle.step = oracle.step, lambda batch: (step(batch), iterates.append(oracle.fit_.coef.copy()))[0]
    fit = oracle.fit(in_order(len(y)))
    assert_allclose(fit.model[0], np.mean(iterates, axis=0), 0, 1e-12)
    assert np.any(model.coef_ < np.min(iterates, axis=0) - 0.1)

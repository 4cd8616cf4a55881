"""The compiled solver against the NumPy oracle."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.sparse import csr_array

from oracle import sgd
from oracle.replay import Case, Data, as_stored, assert_same, oracle, order, parameters, solve, start
from sklosses.data import as_rows
from sklosses.exceptions import DivergenceError
from sklosses.losses import LOSSES, get_loss
from sklosses.penalties import ElasticNet
from sklosses.solvers import SGD, OneVsRest, Problem

PENALTIES = [None, "l2", "l1", "elasticnet"]
SCHEDULES = ["optimal", "constant", "invscaling", "adaptive"]
PASSIVE = ["pa1", "pa2"]
STORAGES = ["C", "F", "strided", "int32", "int64"]


def cases(loss, schedule):
    """Every penalty and storage; the rest drawn."""
    steep = loss in {"exponential", "poisson", "gamma", "tweedie"}
    rng = np.random.default_rng([len(schedule), sorted(LOSSES).index(loss)])
    for penalty, storage in product(PENALTIES, STORAGES):
        flags = rng.random(5) < 0.5
        yield Case(loss, penalty, schedule, storage, dtype=str(rng.choice(["float64", "float64", "float32"])),
                   average=int(rng.choice([0, 1, 50])), batch_size=int(rng.choice([1, 1, 3, 32])),
                   shuffle=bool(flags[0]), offset=bool(flags[2]),
                   # Unweighted, the sums of perceptron's equal steps come back to its kink, up to rounding.
                   weighted=bool(flags[1]) or loss == "perceptron",
                   fit_intercept=bool(flags[3]), subset=bool(flags[4]), seed=int(rng.integers(1000)),
                   alpha=0.1 if schedule != "optimal" else 4.0 if steep else 1.0,
                   shape=(int(rng.choice([1, 20, 41, 70])), int(rng.choice([1, 3, 8, 19, 40]))))


def test_every_loss_is_known():
    assert LOSSES.keys() == sgd.LOSSES


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_weights(loss, schedule):
    for case in cases(loss, schedule):
        data = Data(case)
        assert_same(solve(case, data), oracle(case, data), case)


@pytest.mark.parametrize("schedule", PASSIVE)
@pytest.mark.parametrize("loss", ["hinge", "epsilon_insensitive"])
def test_passive_aggressive(loss, schedule):
    for case in cases(loss, schedule):
        case = replace(case, eta0=0.4)
        data = Data(case)
        assert_same(solve(case, data), oracle(case, data), case)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_one_class(schedule):
    for storage, average, batch_size in product(["C", "int32"], [0, 1], [1, 3]):
        case = Case("hinge", "l2", schedule, storage, average=average, batch_size=batch_size, intercept_cost=0.3,
                    alpha=0.3)
        data = Data(case)
        data.y = np.ones_like(data.y)
        state, fit = start(case, 1.0)
        assert_same(solve(case, data, state=state), oracle(case, data, state=fit), case)


@pytest.mark.parametrize("storage", ["C", "F", "int64"])
@pytest.mark.parametrize("batch_size", [1, 256])
def test_larger_table(storage, batch_size):
    for loss, penalty, average in product(["log_loss", "huber"], ["l2", "elasticnet"], [0, 1]):
        case = Case(loss, penalty, "invscaling", storage, batch_size=batch_size, average=average, shape=(700, 53))
        data = Data(case)
        assert_same(solve(case, data), oracle(case, data), case)


@pytest.mark.parametrize("average", [0, 1, 60])
@pytest.mark.parametrize("alpha", [10.0, 20.0, 50.0])
@pytest.mark.parametrize("penalty", ["l2", "elasticnet"])
def test_heavy_decay(penalty, average, alpha):
    """Weights that halve, vanish, or would change sign in every step: the scale underflows many times over."""
    for storage, batch_size in product(["C", "int32"], [1, 3]):
        case = Case("squared_error", penalty, "constant", storage, alpha=alpha, average=average, batch_size=batch_size)
        data = Data(case)
        (state, fit) = start(case)
        assert_same(solve(case, data, state=state), oracle(case, data, state=fit), case)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_gradients_are_clipped(batch_size):
    case = Case("squared_error", batch_size=batch_size, schedule="constant", eta0=1e-3)
    data = Data(case)
    data.y = 1e15 * data.y
    fit = oracle(case, data)
    assert 1e8 < np.abs(fit.coef).max() < 1e12
    assert_same(solve(case, data), fit, case)


def test_unsorted_duplicate_and_explicit_zero_entries():
    """Features stored as 0 are touched, and so penalised."""
    rng = np.random.default_rng(0)
    X = as_stored(rng.standard_normal((41, 6)), "int32")
    X.data[rng.random(X.nnz) < 0.3] = 0.0
    jumbled = csr_array((np.repeat(X.data, 2) / 2, np.repeat(X.indices, 2), 2 * X.indptr), X.shape)
    for i in range(41):
        row = slice(jumbled.indptr[i], jumbled.indptr[i + 1])
        turn = rng.permutation(12)
        jumbled.indices[row], jumbled.data[row] = jumbled.indices[row][turn], jumbled.data[row][turn]
    for penalty, batch_size, schedule in product(PENALTIES, [1, 3], ["constant", "pa1"]):
        case = Case("epsilon_insensitive", penalty, schedule, "int32", shape=X.shape, batch_size=batch_size,
                    shuffle=False)
        data = Data(case)
        data.X = X
        fit = oracle(case, data)
        assert_same(solve(case, data), fit, case)
        data.X = jumbled
        assert_same(solve(case, data), fit, case)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("schedule", SCHEDULES + PASSIVE)
def test_stops_in_the_same_epoch(schedule, batch_size):
    stopped = set()
    for penalty, tol, patience, seed in product(PENALTIES, [1e-2, 1e-3], [1, 3], [0, 1]):
        case = Case("epsilon_insensitive" if schedule in PASSIVE else "huber", penalty, schedule, "C", seed=seed,
                    batch_size=batch_size, settings={"n_iter_no_change": patience})
        data = Data(case)
        fit = oracle(case, data, max_iter=100, tol=tol)
        result = solve(case, data, max_iter=100, tol=tol)
        assert result.n_iter == fit.n_iter, case
        assert result.converged == (fit.n_iter < 100), case
        assert_same(result, fit, case)
        stopped.add(fit.n_iter)
    assert len(stopped) > 3


@pytest.mark.parametrize("storage", ["C", "int64"])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("average", [0, 1, 60])
def test_going_on(storage, batch_size, average):
    """Calls that go on from a state are one longer run (but for cumulative l1, which starts anew with each call)."""
    for loss, schedule, penalty in product(["log_loss", "huber"], SCHEDULES, PENALTIES):
        case = Case(loss, penalty, schedule, storage, average=average, batch_size=batch_size, shuffle=False, alpha=1.0)
        data = Data(case)
        fit, state = None, None
        for epochs in (2, 1, 3):
            result = solve(case, data, max_iter=epochs, state=state)
            fit = oracle(case, data, max_iter=epochs, state=fit)
            state = result.state
            assert_same(result, fit, case)
            assert (state.t, state.steps) == (1 + fit.seen, fit.steps)
        if penalty in {None, "l2"}:
            assert_same(solve(case, data, max_iter=6), fit, case)


def test_state_is_not_modified():
    case = Case("huber", average=1)
    data = Data(case)
    state = solve(case, data).state
    before = [np.copy(array) for array in (state.coef, state.intercept, state.average_coef, state.average_intercept)]
    solve(case, data, state=state)
    after = (state.coef, state.intercept, state.average_coef, state.average_intercept)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_averages_do_not_start_before_their_row():
    case = Case("huber", average=1000)
    data = Data(case)
    assert_same(solve(case, data), oracle(replace(case, average=0), data), case)


# Many columns ---------------------------------------------------------------------------------------------------------


def solve_columns(case, data, losses, penalty, *, targets=None, tol=None, max_iter=3, one_vs_rest=None, n_jobs=1):
    whole = Problem(as_rows(data.X), data.y if targets is None else targets, losses, penalty, data.weights, data.offset,
                    case.fit_intercept, one_vs_rest, subset=data.subset)
    solver = SGD(case.schedule, eta0=case.eta0, power_t=0.3, average=case.average, shuffle=case.shuffle, n_jobs=n_jobs,
                 batch_size=case.batch_size)
    return solver.solve(whole, tol=tol, max_iter=max_iter, random_state=case.seed)


def oracle_column(case, data, loss, penalty, column, *, targets, weights=None, tol=None, max_iter=3):
    alpha = (penalty.l1 + penalty.l2)[column]
    settings = sgd.Settings("elasticnet", alpha, penalty.l1[column] / alpha, case.schedule, case.eta0, 0.3,
                            case.average, case.batch_size, case.fit_intercept, 0.0, max_iter, tol)
    weights = data.weights if weights is None else weights
    return sgd.Solver(data.X, targets, loss, settings, weights, data.offset).fit(order(case, data))


@pytest.mark.parametrize("storage", ["C", "F", "int32"])
@pytest.mark.parametrize("batch_size", [1, 3, 32])
@pytest.mark.parametrize("schedule", ["optimal", "adaptive"])
def test_columns(storage, batch_size, schedule):
    """Losses, their parameters, penalties and targets of their own; the same bits as alone; each stops by itself."""
    case = Case("huber", None, schedule, storage, batch_size=batch_size, average=60, offset=True, subset=True)
    data = Data(case)
    quantiles, alphas = [0.1, 0.5, 0.9, 0.3], np.array([0.5, 1.0, 2.0, 0.7, 0.9, 1.3])
    penalty = ElasticNet(alpha=alphas, l1_ratio=np.array([0.0, 0.3, 1.0, 0.1, 0.6, 0.2]))
    losses = ((get_loss("quantile", quantile=np.array(quantiles)), 4), (get_loss("pseudo_huber"), 2))
    targets = data.y[:, np.newaxis] * [1.0, 0.5, -1.0, 2.0, 1.0, 0.3] + 0.1
    options = {"tol": 1e-3, "max_iter": 60}
    result = solve_columns(case, data, losses, penalty, targets=targets, **options)
    for k, alpha in enumerate(alphas):
        name, chosen = ("quantile", {"quantile": quantiles[k]}) if k < 4 else ("pseudo_huber", {})
        fit = oracle_column(case, data, sgd.formulas(name, **chosen), penalty, k, targets=targets[:, k], **options)
        assert_same(result, fit, case, k)
        assert result.n_iter_per_column[k] == fit.n_iter
        running = np.append(fit.objective, np.full(result.n_iter - fit.n_iter, fit.objective[-1]))
        assert result.history["objective"][:, k] == pytest.approx(running, rel=1e-10)
        own, loss = ElasticNet(alpha=alpha, l1_ratio=penalty.l1[k] / alpha), get_loss(name, **chosen)
        alone = solve_columns(case, data, ((loss, 1),), own, targets=targets[:, k].copy(), **options)
        assert np.array_equal(alone.coef[0], result.coef[k])
        assert alone.intercept[0] == result.intercept[k]
    if schedule == "optimal" and batch_size < 32:
        assert len(set(result.n_iter_per_column)) > 1
    threads = solve_columns(case, data, losses, penalty, targets=targets, n_jobs=2, **options)
    assert np.array_equal(threads.coef, result.coef)


@pytest.mark.parametrize("storage", ["C", "int64"])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("loss", ["log_loss", "hinge", "huber"])
def test_one_vs_rest(loss, storage, batch_size):
    case = Case(loss, "l2", "invscaling", storage, batch_size=batch_size, average=1)
    data = Data(case)
    codes = (0.0, 1.0) if loss in sgd.ZERO_ONE else (-1.0, 1.0)
    classes = np.random.default_rng(5).integers(0, 4, len(data.y)).astype(float)
    class_weight = np.array([[1.0, 2.0], [0.5, 1.5], [1.0, 0.0], [3.0, 1.0]])
    penalty = ElasticNet(alpha=np.full(4, 0.1), l1_ratio=np.full(4, 0.2))
    result = solve_columns(case, data, ((get_loss(loss), 4),), penalty, targets=classes,
                           one_vs_rest=OneVsRest(codes, class_weight))
    for k in range(4):
        mine = (classes == k).astype(int)
        fit = oracle_column(case, data, sgd.formulas(loss), penalty, k, targets=np.array(codes)[mine],
                            weights=data.weights * class_weight[k, mine])
        assert_same(result, fit, case, k)


# Divergence -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("storage", ["C", "int32"])
def test_divergence_in_the_epoch_where_it_happens(storage, batch_size):
    """Non-finite weights, or over the last tenth of an epoch a mean objective above 1e10 max(1, null model's)."""
    raised = 0
    for eta0, loss in product([0.3, 1, 30, 1e4, 1e6], ["squared_error", "squared_epsilon_insensitive"]):
        case = Case(loss, None, "constant", storage, eta0=eta0, batch_size=batch_size, shuffle=False, shape=(300, 5))
        data = Data(case)
        null = np.mean([w * sgd.formulas(loss, **parameters(case))[0](y, 0.0)
                        for w, y in zip(data.weights, data.y, strict=True)])
        with np.errstate(all="ignore"):
            tail = last_tenths(case, data, 8)
        hopeless = [not np.isfinite(x) or x > 1e10 * max(1, null) for x in tail]
        if any(hopeless):
            with pytest.raises(DivergenceError, match=f"epoch #{hopeless.index(True) + 1}\\. "):
                solve(case, data, max_iter=8)
            raised += 1
        else:
            solve(case, data, max_iter=8)
    assert 0 < raised < 10


def last_tenths(case, data, epochs):
    """The oracle's mean objective over the last 30 of the 300 rows of each epoch."""
    settings = sgd.Settings(None, case.alpha, 0, case.schedule, case.eta0, batch_size=case.batch_size, max_iter=epochs)
    solver = sgd.Solver(data.X, data.y, sgd.formulas(case.loss, **parameters(case)), settings, data.weights)
    shares, step = [], solver.step
    solver.step = lambda batch: shares.append(step(batch)) or shares[-1]
    solver.fit(order(case, data))
    return np.reshape(shares, (epochs, -1))[:, -30 // case.batch_size:].sum(axis=1) / 30

"""Truncated Newton: optima against scipy, certificates against the truth, what it refuses."""

from functools import cache, partial

import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize
from scipy.sparse import csr_array

from interruption import seconds_to_end
from random_tables import LAYOUTS
from random_tables import table as any_table
from sklosses.data import as_rows
from sklosses.losses import get_loss, loss_names
from sklosses.penalties import L1, L2, ElasticNet, NoPenalty
from sklosses.solvers import Auto, DualDescent, Newton, Problem, State, TruncatedNewton
from watching import Watch

SMOOTH = [name for name in loss_names() if get_loss(name).traits.convex and get_loss(name).traits.smooth]
PENALTIES = {"none": NoPenalty(), "l2": L2(1e-2)}
table = partial(any_table, n=150, d=5, density=0.5, scales=np.logspace(-1, 1, 5))


def problem(X, y, loss, penalty, **settings):
    loss = get_loss(loss) if isinstance(loss, str) else loss
    return Problem(as_rows(X), y, ((loss, 1),), penalty, **settings)


def solve(*args, tol=1e-6, max_iter=5000, state=None, monitor=None, **settings):
    found = TruncatedNewton().solve(problem(*args, **settings), tol=tol, max_iter=max_iter, state=state,
                                    monitor=monitor)
    return found


def F(theta, X, y, loss, penalty, weights, offset):
    """The objective in NumPy; the last number is the intercept."""
    return weights @ loss.value(y, X @ theta[:-1] + theta[-1] + offset) / weights.sum() + penalty.value(theta[:-1])


@cache
def least(name, penalty, fit_intercept):
    """(F*, what F is counted from) of `table`, by L-BFGS from columns of size 1 and then from where it ended."""
    X, y, weights, offset = table(name)
    loss, penalty = get_loss(name), PENALTIES[penalty]
    size = np.append(np.sqrt((X**2).mean(axis=0)), 1.0)

    def cost(z):
        theta = z / size
        p = X @ theta[:-1] + theta[-1] + offset
        g = weights * loss.gradient(y, p) / weights.sum()
        slope = np.append(X.T @ g + penalty.l2 * theta[:-1], g.sum() if fit_intercept else 0.0)
        return F(theta, X, y, loss, penalty, weights, offset), slope / size

    start, best = np.zeros(len(size)), np.inf
    for _ in range(3):
        found = scipy_minimize(cost, start, jac=True, method="L-BFGS-B",
                               options={"maxiter": 20000, "maxfun": 50000, "ftol": 1e-16, "gtol": 1e-11, "maxcor": 30})
        start, best = found.x, min(best, found.fun)
    return best, weights @ loss.value(y, np.log(y)) / weights.sum() if loss.traits.link == "log" else 0.0


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", SMOOTH)
def test_optimum_and_certificate(name, penalty, fit_intercept):
    """The minimum of another solver, and no gap on the way below the truth."""
    X, y, weights, offset = table(name)
    loss = get_loss(name)
    result = solve(csr_array(X), y, loss, PENALTIES[penalty], weights=weights, offset=offset,
                   fit_intercept=fit_intercept)
    best, lowest = least(name, penalty, fit_intercept)
    theta = np.append(result.coef[0], result.intercept[0])
    found = F(theta, X, y, loss, PENALTIES[penalty], weights, offset)
    assert result.objective[0] == pytest.approx(found, rel=1e-12)
    assert result.converged
    assert result.gap[0] <= 1e-6
    assert best - 1e-9 * abs(best) - 1e-9 <= found <= best + 1.01e-6 * abs(best - lowest) + 1e-9
    assert fit_intercept or result.intercept[0] == 0
    truth = (result.history["objective"] - best) / abs(best - lowest + 1e-300)
    assert np.all(truth <= result.history["gap"] * (1 + 1e-9) + 1e-8)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", ["log_loss", "squared_hinge", "huber", "poisson"])
def test_layouts_agree(name, penalty):
    X, y, weights, offset = table(name)
    first, *others = [solve(layout(X), y, name, PENALTIES[penalty], weights=weights, offset=offset, tol=1e-9)
                      for layout in LAYOUTS.values()]
    for other in others:
        assert other.objective[0] == pytest.approx(first.objective[0], rel=1e-8)


@pytest.mark.parametrize("name", ["log_loss", "squared_error", "poisson"])
def test_raw_features(name):
    """Columns times 1e6 and 1e-6, one far from 0, a constant one and a copy: the minimum is that of the tame ones."""
    X, y, _, _ = table(name)
    tame = solve(X, y, name, NoPenalty(), tol=1e-9)
    moved = X * np.array([1e6, 1e-6, 1, 1, 1]) + np.array([0, 0, 1e4, 0, 0])
    raw = np.column_stack([moved, np.full(len(y), 7.0), X[:, 3]])
    wild = solve(raw, y, name, NoPenalty(), tol=1e-9)
    assert wild.objective[0] == pytest.approx(tame.objective[0], rel=1e-7)
    assert wild.converged


def wide(n=120, d=2300, seed=0):
    """Dense, correlated, more columns than Newton's method takes."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 30)) @ rng.standard_normal((30, d)) + 0.3 * rng.standard_normal((n, d))
    return X, np.where(X[:, 0] + X[:, 1] + 5 * rng.standard_normal(n) > 0, 1.0, 0.0)


def test_no_curvature_where_it_begins():
    """All rows begin on straight parts of their loss, features are large, and the penalty bounds hardly a step."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 30)) * np.logspace(-6, 6, 30)
    signal = X[:, 29] / 1e6 + rng.standard_normal(400)
    y = np.where(signal > np.median(signal), 1.0, -1.0)
    loss, penalty = get_loss("smoothed_hinge"), L2(1e-8)
    result = solve(X, y, loss, penalty, tol=1e-4)
    best = Newton().solve(problem(X, y, loss, penalty), tol=1e-8, max_iter=1000)
    assert result.converged
    assert result.objective[0] <= best.objective[0] * (1 + 1e-4)


def test_weights_are_repetition():
    X, y, weights, offset = table("log_loss")
    times = weights.astype(int)
    weighted = solve(X, y, "log_loss", L2(1e-3), weights=weights, offset=offset, tol=1e-10)
    repeated = solve(np.repeat(X, times, axis=0), np.repeat(y, times), "log_loss", L2(1e-3),
                     offset=np.repeat(offset, times), tol=1e-10)
    np.testing.assert_allclose(weighted.coef, repeated.coef, rtol=1e-4, atol=1e-7)


def test_a_start_saves_work():
    X, y = wide()
    cold = solve(X, y, "log_loss", L2(1e-4))
    warm = solve(X, y, "log_loss", L2(1e-4), state=State(cold.coef, cold.intercept))
    assert warm.n_iter <= 4 < cold.n_iter
    assert warm.objective[0] <= cold.objective[0] * (1 + 1e-9)


def test_threads_change_no_bit():
    X, y = wide()
    one, two = (TruncatedNewton(n_jobs=n).solve(problem(X, y, "log_loss", L2(1e-4)), max_iter=1000) for n in (1, 2))
    np.testing.assert_array_equal(one.coef, two.coef)


@pytest.mark.parametrize("layout", [np.asarray, csr_array])
def test_endless(layout):
    """Classes that a plane separates: log_loss falls for ever without a penalty, and that is said."""
    X, y = wide(n=60)
    result = solve(layout(X), y, "log_loss", NoPenalty(), max_iter=3000)
    assert result.endless
    assert not result.converged
    assert result.n_iter < 3000
    assert np.all((X @ result.coef[0] + result.intercept[0]) * (y - 0.5) > 0)


def test_rows_that_are_fitted_exactly():
    """The least that each row's loss can be is a proof, without a penalty too."""
    X, y = wide(n=60)
    result = solve(X, y, "squared_error", NoPenalty(), max_iter=3000)
    assert result.objective[0] < 1e-9
    assert result.gap_kind == ("proof",)


@pytest.mark.parametrize(
    ("loss", "penalty", "settings", "message"),
    [
        ("hinge", L2(1e-3), {}, "smooth convex loss"),
        ("cauchy", L2(1e-3), {}, "smooth convex loss"),
        ("log_loss", L1(1e-3), {}, "without an l1 part"),
        ("log_loss", ElasticNet(1e-3, 0.5), {}, "without an l1 part"),
        ("log_loss", L2(1e-3), {"intercept_cost": 0.5}, "no intercept_cost"),
        ("log_loss", L2(1e-3), {"weights": np.full(60, -1.0)}, "weights >= 0"),
        ("log_loss", L2(1e-3), {"weights": np.zeros(60)}, "weight that is not 0"),
    ],
)
def test_bad_input(loss, penalty, settings, message):
    X, y = wide(n=60, d=3)
    codes = get_loss(loss).target.codes
    target = np.where(y > 0, codes[1], codes[0]) if codes else y
    with pytest.raises(ValueError, match=message):
        solve(X, target, loss, penalty, **settings)


def text(n=2500, d=2100, seed=0):
    """Sparse rows of length 1, words of quite different frequency, targets that they hardly explain."""
    rng = np.random.default_rng(seed)
    X = rng.poisson(3.0 / np.arange(1, d + 1) ** 0.8, (n, d)).astype(float)
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1.0)
    return csr_array(X), X[:, :5].sum(axis=1) + rng.standard_normal(n)


def test_auto_hands_over():
    """Where dual descent is slow truncated Newton goes on, whoever watches; what is proven is not forgotten."""
    X, y = text()
    hard = problem(X, y, "huber", L2(1e-7))
    alone = DualDescent().solve(hard, tol=1e-6, max_iter=3000)
    result = Auto().solve(hard, tol=1e-6, max_iter=3000)
    watch = Watch()
    watched = Auto().solve(hard, tol=1e-6, max_iter=3000, monitor=watch)
    assert result.solver == "dual descent, truncated newton"
    assert result.converged
    assert result.gap_kind == ("proof",)
    assert result.objective[0] <= alone.objective[0] * (1 + 2e-6)
    np.testing.assert_array_equal(watched.coef, result.coef)
    assert watch.numbers == list(range(len(result.history["objective"])))
    stopped = Auto().solve(hard, tol=1e-6, max_iter=3000, monitor=Watch(last=1))
    assert stopped.solver == "dual descent"
    short = Auto().solve(hard, tol=1e-6, max_iter=210)
    assert short.gap[0] <= DualDescent().solve(hard, tol=1e-6, max_iter=200).gap[0]


@pytest.mark.parametrize(
    ("loss", "penalty", "solver"),
    [
        ("log_loss", L2(1e-5), TruncatedNewton),
        ("log_loss", L2(1e3), DualDescent),
        ("log_loss", L1(1e-3), DualDescent),
        ("hinge", L2(1e-5), DualDescent),
        ("log_loss", NoPenalty(), DualDescent),     # fewer rows than columns: many minimisers
    ],
)
def test_auto_chooses(loss, penalty, solver):
    X, y = wide()
    y = y if loss == "log_loss" else 2 * y - 1
    assert isinstance(Auto().choose(problem(X, y, loss, penalty)), solver)


def test_ctrl_c_takes_effect_within_a_second():
    """Between products, which no look interrupts."""
    setting = """
import numpy as np
from sklosses import SGDClassifier

rng = np.random.default_rng(0)
Z = rng.normal(size=(6000, 50))
X = Z @ rng.normal(size=(50, 2500)) + 0.1 * rng.normal(size=(6000, 2500))
y = Z[:, 0] + rng.logistic(size=6000) > 0
model = SGDClassifier(loss="log_loss", alpha=1e-6, tol=1e-9, max_iter=5000)
"""
    assert seconds_to_end(setting, "model.fit(X, y)") < 1.0

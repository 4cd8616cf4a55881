"""Working sets: optima against scipy, proofs against the truth, what it refuses, and when it is chosen."""

from functools import cache, partial

import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize
from scipy.sparse import csr_array

from interruption import seconds_to_end
from random_tables import LAYOUTS
from random_tables import table as any_table
from sklosses.data import as_rows
from sklosses.exceptions import DivergenceError
from sklosses.losses import get_loss, loss_names
from sklosses.penalties import L1, L2, ElasticNet
from sklosses.solvers import Auto, DualDescent, Newton, Problem, State, WorkingSet
from watching import Watch


def is_for_it(name):
    traits = get_loss(name).traits
    return traits.convex and traits.smooth and traits.has_conjugate


SMOOTH = [name for name in loss_names() if is_for_it(name)]
PENALTIES = {"l1": L1(2e-2), "elasticnet": ElasticNet(5e-2, 0.5)}
table = partial(any_table, n=150, d=12, density=0.5, scales=np.logspace(-0.5, 0.5, 12), informative=4)


def problem(X, y, loss, penalty, **settings):
    loss = get_loss(loss) if isinstance(loss, str) else loss
    return Problem(as_rows(X), y, ((loss, 1),), penalty, **settings)


def solve(*args, tol=1e-6, max_iter=5000, state=None, monitor=None, **settings):
    return WorkingSet().solve(problem(*args, **settings), tol=tol, max_iter=max_iter, state=state, monitor=monitor)


def F(w, b, X, y, loss, penalty, weights, offset):
    """The objective in NumPy."""
    return weights @ loss.value(y, X @ w + b + offset) / weights.sum() + penalty.value(w)


@cache
def least(name, penalty, fit_intercept):
    """(F*, what F is counted from) of `table`, by L-BFGS-B: l1 as a linear cost of positive and negative parts."""
    X, y, weights, offset = table(name)
    loss, penalty, d = get_loss(name), PENALTIES[penalty], X.shape[1]
    l1, l2 = float(penalty.l1[0]), float(penalty.l2[0])

    def cost(z):
        w = z[:d] - z[d : 2 * d]
        p = X @ w + z[-1] + offset
        g = weights * loss.gradient(y, p) / weights.sum()
        slope = X.T @ g + l2 * w
        value = weights @ loss.value(y, p) / weights.sum() + l2 / 2 * w @ w + l1 * z[: 2 * d].sum()
        return value, np.concatenate([slope + l1, l1 - slope, [g.sum()]])

    bounds = [(0, None)] * (2 * d) + [(None, None) if fit_intercept else (0, 0)]
    options = {"maxiter": 20000, "maxfun": 50000, "ftol": 1e-16, "gtol": 1e-11, "maxcor": 30}
    start, best = np.zeros(2 * d + 1), np.inf
    for _ in range(3):
        found = scipy_minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        start, best = found.x, min(best, found.fun)
    return best, weights @ loss.value(y, np.log(y)) / weights.sum() if loss.traits.link == "log" else 0.0


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", SMOOTH)
def test_optimum_and_certificate(name, penalty, fit_intercept):
    """The minimum of another solver, whatever the loss, and no gap on the way below the truth."""
    X, y, weights, offset = table(name)
    loss = get_loss(name)
    result = solve(csr_array(X), y, loss, PENALTIES[penalty], weights=weights, offset=offset,
                   fit_intercept=fit_intercept)
    best, lowest = least(name, penalty, fit_intercept)
    found = F(result.coef[0], result.intercept[0], X, y, loss, PENALTIES[penalty], weights, offset)
    assert result.objective[0] == pytest.approx(found, rel=1e-12)
    assert result.converged
    assert result.gap[0] <= 1e-6
    assert result.gap_kind == ("proof",)
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


def test_rows_of_a_subset():
    X, y, weights, offset = table("log_loss")
    rows = np.arange(0, 150, 2)
    part = solve(csr_array(X), y, "log_loss", L1(1e-2), weights=weights, offset=offset, subset=rows, tol=1e-10)
    alone = solve(csr_array(X[rows]), y[rows], "log_loss", L1(1e-2), weights=weights[rows], offset=offset[rows],
                  tol=1e-10)
    np.testing.assert_allclose(part.coef, alone.coef, atol=1e-6)


def test_weights_are_repetition():
    X, y, weights, offset = table("log_loss")
    times = weights.astype(int)
    weighted = solve(X, y, "log_loss", L1(1e-2), weights=weights, offset=offset, tol=1e-11)
    repeated = solve(np.repeat(X, times, axis=0), np.repeat(y, times), "log_loss", L1(1e-2),
                     offset=np.repeat(offset, times), tol=1e-11)
    np.testing.assert_allclose(weighted.coef, repeated.coef, atol=1e-6)


@pytest.mark.parametrize("name", ["log_loss", "squared_error"])
def test_features_far_from_0(name):
    """Where features are centred does not matter, and constant ones stay out."""
    X, y, weights, _ = table(name)
    tame = solve(X, y, name, L1(1e-2), weights=weights, tol=1e-8)
    moved = solve(np.column_stack([X + 1e3, np.full(len(y), 7.0)]), y, name, L1(1e-2), weights=weights, tol=1e-8)
    assert moved.objective[0] == pytest.approx(tame.objective[0], rel=1e-7)
    assert moved.converged
    assert moved.coef[0, -1] == 0


def text(n=1500, d=3000, seed=0):
    """Sparse rows of length 1, words of quite different frequency, classes that a few words explain."""
    rng = np.random.default_rng(seed)
    X = rng.poisson(2.0 / np.arange(1, d + 1) ** 0.8, (n, d)).astype(float)
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1.0)
    signal = X[:, 10:300] @ rng.standard_normal(290) * 6
    return csr_array(X), np.where(signal + rng.logistic(size=n) / 2 > 0, 1.0, 0.0)


@pytest.mark.parametrize("name", ["log_loss", "squared_hinge", "squared_error", "huber", "smoothed_hinge"])
@pytest.mark.parametrize("alpha", [3e-2, 1e-3, 1e-4])
def test_wide_tables(name, alpha):
    """From an empty model to hundreds of columns: what dual descent finds."""
    X, y = text()
    codes = get_loss(name).target.codes
    y = np.where(y > 0, codes[1], codes[0]) if codes else y
    result = solve(X, y, name, L1(alpha), tol=1e-6)
    other = DualDescent().solve(problem(X, y, name, L1(alpha)), tol=1e-5, max_iter=3000)
    assert result.converged
    assert result.gap_kind == ("proof",)
    assert result.objective[0] <= other.objective[0] * (1 + 1e-6)
    assert other.objective[0] <= result.objective[0] * (1 + 1e-4)


def beyond_the_bend(size):
    """All rows begin on straight parts of their loss."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 20)) * (rng.random((300, 20)) < 0.3)
    return csr_array(X), size * (0.1 * (X[:, 0] - X[:, 1]) + np.where(rng.random(300) < 0.5, 1.0, -1.0))


def test_no_curvature_where_it_begins():
    X, y = beyond_the_bend(30.0)
    result = solve(X, y, "huber", L1(1e-2))
    best = Newton().solve(problem(X, y, "huber", L1(1e-2)), tol=1e-8, max_iter=1000)
    assert result.converged
    assert result.objective[0] == pytest.approx(best.objective[0], rel=2e-6)


def test_dual_descent_returns_where_much_is_to_come():
    X, y = text()
    hard = problem(X, y, "log_loss", L1(1e-4))
    short = DualDescent(patience=3).solve(hard, tol=1e-6, max_iter=3000)
    long = DualDescent().solve(hard, tol=1e-6, max_iter=3000)
    assert not short.converged
    assert long.converged
    assert short.n_iter < long.n_iter / 2
    looks = len(short.history["objective"])
    np.testing.assert_array_equal(short.history["objective"], long.history["objective"][:looks])


def test_auto_goes_on_where_steps_are_short():
    X, y = beyond_the_bend(1e4)
    wide = csr_array((X.data, X.indices, X.indptr), shape=(300, 2500))
    result = Auto().solve(problem(wide, y, "huber", L1(1e-2)), tol=1e-4, max_iter=3000)
    best = Newton().solve(problem(X, y, "huber", L1(1e-2)), tol=1e-8, max_iter=1000)
    assert result.converged
    assert result.objective[0] == pytest.approx(best.objective[0], rel=2e-4)


def test_a_start_saves_work():
    X, y = text()
    cold = solve(X, y, "log_loss", L1(1e-3))
    warm = solve(X, y, "log_loss", L1(1e-3), state=State(cold.coef, cold.intercept))
    assert warm.n_iter <= 4 < cold.n_iter
    assert warm.objective[0] <= cold.objective[0] * (1 + 1e-12)


def test_threads_change_no_bit():
    X, y = text()
    one, two = (WorkingSet(n_jobs=n).solve(problem(X, y, "log_loss", L1(1e-3)), max_iter=1000) for n in (1, 2))
    np.testing.assert_array_equal(one.coef, two.coef)


@pytest.mark.parametrize(
    ("loss", "penalty", "settings", "message"),
    [
        ("hinge", L1(1e-3), {}, "smooth convex loss"),
        ("cauchy", L1(1e-3), {}, "smooth convex loss"),
        ("log_loss", L2(1e-3), {}, "with an l1 part"),
        ("log_loss", L1(1e-3), {"intercept_cost": 0.5}, "no intercept_cost"),
        ("log_loss", L1(1e-3), {"weights": np.full(150, -1.0)}, "weights >= 0"),
        ("log_loss", L1(1e-3), {"weights": np.zeros(150)}, "weight that is not 0"),
    ],
)
def test_bad_input(loss, penalty, settings, message):
    X, y, _, _ = table(loss)
    with pytest.raises(ValueError, match=message):
        solve(X, y, loss, penalty, **settings)


def test_squares_beyond_float64():
    X, y, _, _ = table("log_loss")
    with pytest.raises(DivergenceError):
        solve(csr_array(X * 1e200), y, "squared_error", L1(1e-3))


def test_auto_hands_over():
    """After some epochs of dual descent, whoever watches; a few more of them suffice where little is asked."""
    X, y = text()
    hard = problem(X, y, "log_loss", L1(1e-4))
    result, watch = Auto().solve(hard, tol=1e-6, max_iter=3000), Watch()
    watched = Auto().solve(hard, tol=1e-6, max_iter=3000, monitor=watch)
    assert result.solver == "dual descent, working set"
    assert result.converged
    assert result.gap_kind == ("proof",)
    np.testing.assert_array_equal(watched.coef, result.coef)
    assert watch.numbers == list(range(len(result.history["objective"])))
    assert Auto().solve(hard, tol=0.3).solver == "dual descent"
    assert Auto().solve(problem(X, 2 * y - 1, "hinge", L1(1e-4)), tol=0.1, max_iter=300).solver == "dual descent"


def test_ctrl_c_takes_effect_within_a_second():
    """In the middle of sweeps, which features that depend on each other make long."""
    setting = """
import numpy as np
from sklosses.data import as_rows
from sklosses.losses import SquaredError
from sklosses.penalties import L1
from sklosses.solvers import Problem, WorkingSet

rng = np.random.default_rng(0)
X = rng.normal(size=(4000, 40)) @ rng.normal(size=(40, 3000)) + 0.1 * rng.normal(size=(4000, 3000))
problem = Problem(as_rows(X), X[:, 0] + rng.normal(size=4000), ((SquaredError(), 1),), L1(alpha=1e-7))
"""
    assert seconds_to_end(setting, "WorkingSet().solve(problem, tol=1e-12, max_iter=100000)") < 1.0

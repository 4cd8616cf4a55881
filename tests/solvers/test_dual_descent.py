"""Dual coordinate descent: optima against scipy, certificates against the truth, results that always are the same."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog
from scipy.optimize import minimize as scipy_minimize
from scipy.sparse import csr_array

from random_tables import LAYOUTS
from random_tables import table as any_table
from sklosses.data import as_rows
from sklosses.losses import as_loss, get_loss, loss_names
from sklosses.penalties import L1, L2, ElasticNet, NoPenalty
from sklosses.solvers import Auto, DualDescent, Monitor, Newton, OneVsRest, Problem, Verdict, minimize

CONVEX = [name for name in loss_names() if get_loss(name).traits.convex]
PENALTIES = {"none": NoPenalty(), "l2": L2(1e-1), "l1": L1(2e-2), "elasticnet": ElasticNet(1e-1, 0.3)}
table = partial(any_table, n=60, density=0.5)
SOME = ["log_loss", "hinge", "squared_error", "quantile", "poisson", "pseudo_huber"]


def solve(X, y, loss, penalty, *, weights=None, offset=None, fit_intercept=True, **options):
    loss = get_loss(loss) if isinstance(loss, str) else loss
    problem = Problem(as_rows(X), y, ((loss, 1),), penalty, weights=weights, offset=offset, fit_intercept=fit_intercept)
    return DualDescent().solve(problem, **({"max_iter": 20000} | options))


def F(theta, X, y, loss, penalty, weights, offset):
    """The objective in NumPy; the last number is the intercept."""
    return weights @ loss.value(y, X @ theta[:-1] + theta[-1] + offset) / weights.sum() + penalty.value(theta[:-1])


def theta_of(result, k=0):
    return np.append(result.coef[k], result.intercept[k])


def least_smooth(X, y, loss, penalty, weights, offset):
    """F* by scipy's L-BFGS-B, the l1 penalty as a linear cost of positive and negative parts."""
    d, l1, l2 = X.shape[1], float(penalty.l1[0]), float(penalty.l2[0])

    def cost(z):
        w = z[:d] - z[d : 2 * d]
        p = X @ w + z[-1] + offset
        g = weights * loss.gradient(y, p) / weights.sum()
        slope = X.T @ g + l2 * w
        value = weights @ loss.value(y, p) / weights.sum() + l2 / 2 * w @ w + l1 * z[: 2 * d].sum()
        return value, np.concatenate([slope + l1, l1 - slope, [g.sum()]])

    options = {"maxiter": 20000, "maxfun": 50000, "ftol": 1e-16, "gtol": 1e-11, "maxcor": 30}
    bounds = [(0, None)] * (2 * d) + [(None, None)]
    start, best = np.zeros(2 * d + 1), np.inf
    for _ in range(3):
        found = scipy_minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        start, best = found.x, min(best, found.fun)
    return best


def least_kinked(X, y, loss, penalty, weights, offset):
    """F* of a piecewise linear loss: heights of the rows above all its tangents, as a linear or quadratic program."""
    n, d = X.shape
    l1, l2 = float(penalty.l1[0]), float(penalty.l2[0])
    matrix, right = [], []
    for away in (-50.0, 0.0, 50.0):
        slope = loss.gradient(y, y + away)
        matrix.append(np.hstack([slope[:, None] * np.hstack([X, -X, np.ones((n, 1))]), -np.eye(n)]))
        right.append(slope * (y + away - offset) - loss.value(y, y + away))
    matrix, right = np.vstack(matrix), np.concatenate(right)
    cost = np.concatenate([np.full(2 * d, l1), [0.0], weights / weights.sum()])
    bounds = [(0, None)] * (2 * d) + [(None, None)] * (n + 1)
    start = linprog(cost, matrix, right, bounds=bounds)
    if l2 == 0:
        return start.fun
    difference = np.hstack([np.eye(d), -np.eye(d), np.zeros((d, n + 1))])
    found = scipy_minimize(
        lambda z: cost @ z + l2 / 2 * np.sum((difference @ z) ** 2),
        start.x,
        jac=lambda z: cost + l2 * difference.T @ (difference @ z),
        method="SLSQP",
        bounds=bounds,
        constraints={"type": "ineq", "fun": lambda z: right - matrix @ z, "jac": lambda z: -matrix},
        options={"maxiter": 300, "ftol": 1e-13},
    )
    return found.fun


@cache
def least(name, penalty):
    """(F*, what F is counted from) of `table`, with weights and an offset."""
    X, y, weights, offset = table(name)
    loss = get_loss(name)
    best = (least_smooth if loss.traits.smooth else least_kinked)(X, y, loss, PENALTIES[penalty], weights, offset)
    return best, weights @ loss.value(y, np.log(y)) / weights.sum() if loss.traits.link == "log" else 0.0


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", CONVEX)
def test_optimum_and_certificate(name, penalty):
    """The minimum of another solver, whatever the loss and penalty, and no gap on the way below the truth."""
    X, y, weights, offset = table(name)
    loss = get_loss(name)
    tol = 1e-6 if loss.traits.smooth or PENALTIES[penalty].l2[0] > 0 else 1e-3
    result = solve(csr_array(X), y, loss, PENALTIES[penalty], weights=weights, offset=offset, tol=tol)
    best, lowest = least(name, penalty)
    found = F(theta_of(result), X, y, loss, PENALTIES[penalty], weights, offset)
    assert result.objective[0] == pytest.approx(found, rel=1e-12)
    assert result.converged
    assert result.gap[0] <= tol
    assert best - 1e-9 * abs(best) - 1e-9 <= found <= best + 1.01 * tol * abs(best - lowest) + 1e-9
    truth = (result.history["objective"] - best) / abs(best - lowest + 1e-300)
    assert np.all(truth <= result.history["gap"] * (1 + 1e-9) + 1e-8)
    proof = PENALTIES[penalty].l2[0] > 0 and loss.traits.has_conjugate
    assert result.gap_kind == ("proof" if proof else "estimate",)


@pytest.mark.parametrize("tol", [0.3, 1e-2])
@pytest.mark.parametrize("penalty", [NoPenalty(), L2(1e-3), L1(1e-3), ElasticNet(1e-3, 0.5)])
@pytest.mark.parametrize("name", SOME)
def test_gap_bounds_the_truth_from_the_first_look(name, penalty, tol):
    """Features of unequal size, more rows than a block has, loose tolerances and few readings."""
    X, y, weights, _ = table(name, n=400, d=12, seed=1)
    X = X * np.logspace(-1, 0.5, 12)
    best = solve(X, y, name, penalty, weights=weights, tol=1e-9, max_iter=2000)
    loss = get_loss(name)
    lowest = weights @ loss.value(y, np.log(y)) / weights.sum() if loss.traits.link == "log" else 0.0
    floor = best.objective[0] - best.gap[0] * abs(best.objective[0] - lowest)
    for max_iter in (3, 6, 100):
        result = solve(X, y, name, penalty, weights=weights, tol=tol, max_iter=max_iter)
        assert (best.objective[0] - lowest) * (1 + result.gap[0]) + lowest >= result.objective[0] - 1e-12
        assert result.converged == (result.gap[0] <= tol)
        assert result.objective[0] >= floor - 1e-12


def test_gap_is_what_a_dual_point_proves():
    """The bound recomputed from slopes at the result, in NumPy: it is near, and no better point contradicts it."""
    X, y, weights, offset = table("log_loss", n=300)
    result = solve(X, y, "log_loss", L2(1e-2), weights=weights, offset=offset, tol=1e-7)
    theta, s = theta_of(result), weights / weights.sum()
    u = 1 / (1 + np.exp(-(X @ theta[:-1] + theta[-1] + offset))) - y
    heavy = np.sign(s @ u)
    u = np.where(np.sign(u) == heavy, u * -(s @ (u * (np.sign(u) != heavy))) / (s @ (u * (np.sign(u) == heavy))), u)
    q = u + y
    entropy = -(q * np.log(q) + (1 - q) * np.log(1 - q))
    lower = s @ (entropy + u * offset) - np.sum((X.T @ (s * u)) ** 2) / (2 * 1e-2)
    assert abs(s @ u) < 1e-15
    assert lower <= result.objective[0] <= lower * (1 + 2e-7)
    assert result.objective[0] * (1 - result.gap[0]) <= lower * (1 + 2e-7)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["log_loss", "hinge"])
@pytest.mark.parametrize("penalty", ["l2", "elasticnet", "l1"])
def test_layouts_agree(layout, name, penalty):
    X, y, weights, offset = table(name, n=130, d=7)
    plain, other = (
        solve(A, y, name, PENALTIES[penalty], weights=weights, offset=offset, tol=1e-4) for A in (X, LAYOUTS[layout](X))
    )
    assert other.objective[0] == pytest.approx(plain.objective[0], rel=2e-4)
    if penalty != "l1":
        np.testing.assert_allclose(theta_of(other), theta_of(plain), atol=0.05)
    assert other.converged


@pytest.mark.parametrize("name", CONVEX)
def test_weights_are_repetition(name):
    X, y, weights, _ = table(name)
    times = weights.astype(int)
    weighted = solve(X, y, name, L2(1e-1), weights=weights, tol=1e-8)
    repeated = solve(np.repeat(X, times, axis=0), np.repeat(y, times), name, L2(1e-1), tol=1e-8)
    np.testing.assert_allclose(weighted.coef, repeated.coef, atol=1e-3)
    assert weighted.objective[0] == pytest.approx(repeated.objective[0], rel=3e-8)


@pytest.mark.parametrize("name", ["log_loss", "hinge"])
def test_columns_are_independent(name):
    """One-vs-rest in one block equals a fit for each class bit for bit, class weights included."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 4))
    classes = np.argmax(X[:, :3] + rng.standard_normal((200, 3)), axis=1).astype(float)
    weights = np.array([[1.0, 2.0], [0.0, 0.5], [3.0, 1.0]])
    codes = get_loss(name).target.codes
    problem = Problem(as_rows(X), classes, ((get_loss(name), 3),), L2(np.array([1e-1, 1e-2, 1e-1])),
                      one_vs_rest=OneVsRest(codes, weights))
    block = DualDescent().solve(problem, tol=1e-4)
    assert block.history["objective"].shape == (len(block.history["rows"]), 3)
    for k in range(3):
        alone = solve(X, np.where(classes == k, codes[1], codes[0]), name, L2([1e-1, 1e-2, 1e-1][k]), tol=1e-4,
                      weights=np.where(classes == k, weights[k, 1], weights[k, 0]), max_iter=100)
        assert np.array_equal(theta_of(block, k), theta_of(alone))
        assert block.gap[k] == alone.gap[0]


def test_vector_parameters_belong_to_columns():
    X, y, _, _ = table("quantile")
    loss = get_loss("quantile", quantile=np.array([0.1, 0.9]))
    block = DualDescent().solve(Problem(as_rows(X), y, ((loss, 2),), L2(1e-1)), tol=1e-4)
    for k in range(2):
        alone = solve(X, y, get_loss("quantile", quantile=[0.1, 0.9][k]), L2(1e-1), tol=1e-4, max_iter=100)
        assert np.array_equal(theta_of(block, k), theta_of(alone))


@pytest.mark.parametrize("layout", ["C", "F", "csr"])
def test_subset_is_the_table_of_its_rows(layout):
    X, y, weights, offset = table("log_loss", n=200)
    rows = np.flatnonzero(np.arange(len(X)) % 3)[::-1].copy()
    problem = Problem(as_rows(LAYOUTS[layout](X)), y, ((get_loss("log_loss"), 1),), L2(1e-2), weights=weights,
                      offset=offset, subset=rows)
    part = DualDescent().solve(problem)
    alone = solve(LAYOUTS[layout](X[rows]), y[rows], "log_loss", L2(1e-2), weights=weights[rows], offset=offset[rows])
    assert np.array_equal(theta_of(part), theta_of(alone))
    assert part.gap == alone.gap


@pytest.mark.parametrize("penalty", PENALTIES)
def test_same_bits_every_time(penalty):
    X, y, weights, _ = table("log_loss", n=300)
    one, two = (solve(X, y, "log_loss", PENALTIES[penalty], weights=weights, random_state=3) for _ in range(2))
    assert np.array_equal(theta_of(one), theta_of(two))
    assert one.gap == two.gap


@pytest.mark.parametrize("penalty", [L2(1e-2), ElasticNet(1e-2, 0.5), L1(1e-2)])
@pytest.mark.parametrize("name", ["log_loss", "squared_error", "poisson"])
def test_going_on_from_a_state_saves_readings(name, penalty):
    X, y, _, _ = table(name, n=400, d=10)
    first = solve(X, y, name, penalty, tol=1e-6)
    again = solve(X, y, name, penalty, tol=1e-4, state=first.state)
    cold = solve(X, y, name, penalty, tol=1e-4)
    assert again.n_iter <= cold.n_iter
    assert again.objective[0] <= first.objective[0] * (1 + 1e-4)


@pytest.mark.parametrize("nu", [0.05, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_cost_of_the_intercept(nu, fit_intercept):
    """The one-class SVM: the interior point method's minimum, with weights and offsets, and no gap below the truth."""
    X, _, weights, offset = table("hinge", n=200)
    X, y = np.abs(X) + 0.5, np.ones(200)
    problem = Problem(as_rows(csr_array(X)), y, ((get_loss("hinge"), 1),), L2(nu), weights=weights,
                      offset=offset, intercept_cost=nu, fit_intercept=fit_intercept)
    best = Newton().solve(problem, tol=1e-10).objective[0]
    for max_iter in (3, 3000):
        result = DualDescent().solve(problem, tol=1e-5, max_iter=max_iter)
        theta = theta_of(result)
        found = F(theta, X, y, get_loss("hinge"), L2(nu), weights, offset) + nu * theta[-1]
        assert result.objective[0] == pytest.approx(found, rel=1e-12, abs=1e-12)
        assert -1e-12 <= result.objective[0] - best <= result.gap[0] * abs(best) + 1e-12
    assert result.converged
    assert result.gap_kind == ("proof",)


@pytest.mark.parametrize("name", ["squared_hinge", "log_loss", "squared_error", "huber"])
def test_cost_of_the_intercept_with_other_losses(name):
    """A cost is an offset of the slopes: the minimum of scipy's BFGS, where there is one."""
    X, y, weights, _ = table(name)
    loss, cost, share = get_loss(name), 0.2, weights / weights.sum()
    problem = Problem(as_rows(X), y, ((loss, 1),), L2(1e-1), weights=weights, intercept_cost=cost)

    def value(theta):
        p = X @ theta[:-1] + theta[-1]
        g = share * loss.gradient(y, p)
        slope = np.append(X.T @ g + 1e-1 * theta[:-1], g.sum() + cost)
        return share @ loss.value(y, p) + 0.05 * theta[:-1] @ theta[:-1] + cost * theta[-1], slope

    best = scipy_minimize(value, np.zeros(X.shape[1] + 1), jac=True, method="BFGS", options={"gtol": 1e-10}).fun
    result = DualDescent().solve(problem, tol=1e-7, max_iter=3000)
    assert result.converged
    assert result.objective[0] == pytest.approx(best, rel=2e-7)


def test_a_cost_that_losses_do_not_outweigh_is_reported():
    """The objective has no minimum."""
    X, y, _, _ = table("hinge")
    problem = Problem(as_rows(X), y, ((get_loss("hinge"), 1),), L2(1e-1), intercept_cost=1.5)
    result = DualDescent().solve(problem)
    assert not result.converged
    assert result.gap[0] == np.inf


def test_without_an_intercept():
    X, y, _, _ = table("squared_error")
    result = solve(X, y, "squared_error", L2(1e-1), fit_intercept=False, tol=1e-12)
    n, d = X.shape
    exact = np.linalg.solve(X.T @ X / n + 1e-1 * np.eye(d), X.T @ y / n)
    reach = np.sqrt(2 * result.gap[0] * result.objective[0] / 1e-1)     # F is strongly convex
    np.testing.assert_allclose(result.coef[0], exact, atol=reach)
    assert reach < 1e-5
    assert result.intercept[0] == 0


def test_an_intercept_that_is_not_fitted_stays():
    X, y, _, _ = table("squared_error")
    state = replace(solve(X, y, "squared_error", L2(1e-1)).state, intercept=np.array([0.7]))
    result = solve(X, y, "squared_error", L2(1e-1), fit_intercept=False, state=state, tol=1e-12)
    n, d = X.shape
    expected = np.linalg.solve(X.T @ X / n + 1e-1 * np.eye(d), X.T @ (y - 0.7) / n)
    np.testing.assert_allclose(result.coef[0], expected, rtol=1e-5)
    assert result.intercept[0] == 0.7


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (5, 8), (40, 0), (70, 200)])
@pytest.mark.parametrize("name", ["squared_error", "absolute_error", "log_loss"])
@pytest.mark.parametrize("penalty", [L2(1e-2), L1(1e-2), NoPenalty()])
def test_few_rows_and_many_columns(shape, name, penalty):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
    y = (y > 0).astype(float) if name == "log_loss" else y
    result = solve(csr_array(X), y, name, penalty, max_iter=60)
    zeros = solve(csr_array((shape[0], shape[1])), y, name, penalty)
    assert np.all(np.isfinite(theta_of(result)))
    assert result.objective[0] <= zeros.objective[0] * (1 + 1e-9) + 1e-12
    assert result.gap[0] >= 0


def test_raw_features_are_reported_honestly():
    """A column times 1e6 makes epochs many: what max_iter does not allow is in the gap."""
    X, y, weights, offset = table("log_loss", n=200)
    X = X * np.array([1e6, 1.0, 1e-3, 1.0])
    result = solve(X, y, "log_loss", L2(1e-4), weights=weights, offset=offset, max_iter=20, tol=1e-6)
    best = least_smooth(X / np.array([1e6, 1, 1, 1]), y, get_loss("log_loss"), NoPenalty(), weights, offset)
    assert not result.converged
    assert (result.objective[0] - best) / best <= result.gap[0]


def test_tolerances_beyond_precision_end():
    X, y, _, _ = table("log_loss")
    for tol in (0, None):
        result = solve(X, y, "log_loss", L2(1e-1), tol=tol, max_iter=3000)
        assert result.n_iter < 1000
        assert result.gap[0] <= 1e-9
        assert result.converged


@pytest.mark.parametrize(("loss", "most"), [("hinge", 180), ("squared_hinge", 80)])
def test_weak_penalties_take_few_readings(loss, most):
    """Rows like those of texts: without leaps of the dual variables it would take two to three times as many."""
    rng = np.random.default_rng(0)
    n, d = 2000, 3000
    X = rng.exponential(size=(n, d)) * (rng.random((n, d)) < 3 / (10 + np.arange(d)))
    X /= np.linalg.norm(X, axis=1)[:, None]
    y = np.where(X @ rng.standard_normal(d) + 0.3 * rng.standard_normal(n) > 0, 1.0, -1.0)
    result = solve(csr_array(X), y, loss, L2(1e-6), tol=1e-4)
    assert result.converged
    assert result.n_iter <= most


def test_sparse_tables_of_few_columns_are_newtons_where_the_penalty_is_weak():
    """Epochs grow as the penalty weakens, Newton's steps do not."""
    rng = np.random.default_rng(0)
    X = csr_array(np.eye(100)[rng.integers(0, 100, (2000, 2))].sum(axis=1))
    problems = [Problem(as_rows(X), np.ones(2000), ((get_loss("hinge"), 1),), L2(alpha)) for alpha in (1e-3, 1e-7)]
    assert [type(Auto().choose(problem)) for problem in problems] == [DualDescent, Newton]


def test_max_iter_is_a_limit():
    X, y, _, _ = table("hinge", n=300)
    result = solve(X, y, "hinge", L2(1e-6), max_iter=7)
    assert result.n_iter <= 10
    assert not result.converged
    assert result.gap[0] > 1e-3


def test_monitor_sees_every_look_and_may_stop():
    X, y, _, _ = table("log_loss", n=300)
    seen = []

    class Watch(Monitor):
        def end(self, epoch):
            seen.append((epoch.number, epoch.coef.shape, float(epoch.objective[0])))
            return Verdict(stop=len(seen) == 2)

    result = solve(X, y, "log_loss", L2(1e-7), monitor=Watch(), tol=1e-12)
    assert [number for number, _, _ in seen] == [0, 1]
    assert seen[1][2] == result.objective[0]
    assert not result.converged


def test_losses_written_in_python():
    """With and without kinks, by what every loss has; their errors come through."""

    class Biased:
        def value(self, y, p):
            return np.abs(p - y) + 0.25 * (p - y)

        def gradient(self, y, p):
            return np.sign(p - y) + 0.25

        def hessian(self, y, p):
            return np.zeros_like(p)

    from sklosses.losses import Traits

    X, y, _, _ = table("quantile", n=30)
    loss = as_loss(Biased(), traits=Traits("residual", smooth=False, lipschitz=1.25), name="biased")
    result = solve(X, y, loss, L2(1e-1), tol=1e-2, max_iter=200)
    half = solve(X, y, get_loss("quantile", quantile=0.375), L2(0.05), tol=1e-6)
    assert result.objective[0] == pytest.approx(2 * half.objective[0], rel=1e-2)

    class Wrong(Biased):
        def gradient(self, y, p):
            raise RuntimeError("of the loss")

    with pytest.raises(RuntimeError, match="of the loss"):
        solve(X, y, as_loss(Wrong(), traits=Traits("residual", smooth=False), name="wrong"), L2(1e-1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": -np.ones(60)}, "weights >= 0"),
        ({"weights": np.zeros(60)}, "nothing to fit"),
        ({"losses": ((get_loss("cauchy"), 1),)}, "convex"),
        ({"subset": np.array([0, 60])}, "subset"),
    ],
)
def test_what_it_cannot_do_is_refused(change, message):
    X, y, _, _ = table("squared_error")
    problem = Problem(as_rows(X), y, ((get_loss("squared_error"), 1),), L2(1e-3))
    with pytest.raises((ValueError, IndexError), match=message if "subset" not in change else None):
        DualDescent().solve(replace(problem, **change))


@pytest.mark.parametrize("loss", ["squared_error", "huber", "absolute_error"])
def test_exact_fits_are_proven(loss):
    """More columns than rows, and no penalty: each row's least loss is the bound, and the shortest coefficients fit."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2500))
    y = X[:, 0] + rng.normal(size=60)
    result = minimize(X, y, loss, NoPenalty(), tol=1e-3, max_iter=1000)
    assert result.converged
    assert result.gap_kind == ("proof",)
    shortest = np.linalg.pinv(X - X.mean(axis=0)) @ (y - y.mean())
    assert np.linalg.norm(result.coef) == pytest.approx(np.linalg.norm(shortest), rel=1e-2)


@pytest.mark.parametrize("shape", [(60, 2500), (3000, 2500)])
@pytest.mark.parametrize("loss", ["log_loss", "exponential"])
def test_what_has_no_minimum_is_said(loss, shape):
    """As soon as the classes are apart, not after a thousand readings; next to nothing is left of the loss there."""
    rng = np.random.default_rng(0)
    X = sparse.random_array(shape, density=0.02, format="csr", rng=rng, data_sampler=rng.standard_normal)
    score = X @ rng.standard_normal(shape[1])
    y = np.where(score > np.median(score), *get_loss(loss).target.codes[::-1])
    result = minimize(X, y, loss, NoPenalty(), max_iter=1000)
    assert (result.endless, result.converged) == (True, False)
    assert result.n_iter <= 40
    assert result.objective[0] <= 1e-8
    assert np.all((X @ result.coef[0] + result.intercept[0] > 0) == (y == y.max()))


@pytest.mark.parametrize("loss", ["squared_hinge", "smoothed_hinge", "modified_huber", "squared_error"])
def test_what_has_a_minimum_is_not_said_to_have_none(loss):
    """Classes that a plane separates leave nothing of these."""
    rng = np.random.default_rng(1)
    X = sparse.random_array((400, 2500), density=0.02, format="csr", rng=rng)
    y = np.where(rng.random(400) < 0.5, 1.0, -1.0)
    result = minimize(X, y, loss, NoPenalty(), tol=1e-4, max_iter=1000)
    assert (result.endless, result.converged) == (False, True)

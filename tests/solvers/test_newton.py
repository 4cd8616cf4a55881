"""The certified solver: optima against scipy, certificates against the truth, results that depend on nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog
from scipy.optimize import minimize as scipy_minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import OneClassSVM

from random_tables import LAYOUTS, layouts, table
from sklosses import SGDClassifier, SGDRegressor
from sklosses.data import as_rows
from sklosses.losses import Traits, get_loss, loss_names
from sklosses.penalties import L1, L2, ElasticNet, NoPenalty
from sklosses.solvers import Monitor, Newton, OneVsRest, Problem, Verdict, _newton, minimize

PERCEPTRONS = ["perceptron", "smoothed_perceptron"]      # minimised by no coefficients at all
CONVEX = [name for name in loss_names() if get_loss(name).traits.convex and name not in PERCEPTRONS]
KINKED = [name for name in CONVEX if not get_loss(name).traits.smooth]
SMOOTH = [name for name in CONVEX if name not in KINKED]
STRAIGHT = ["hinge", "quantile", "epsilon_insensitive"]
PENALTIES = {"none": NoPenalty(), "l2": L2(1e-3), "l1": L1(1e-2), "elasticnet": ElasticNet(1e-2, 0.5)}


def F(theta, X, y, loss, penalty, weights=None, offset=0.0):
    """The objective in NumPy; the last number is the intercept."""
    s = np.ones(len(y)) if weights is None else weights
    value = loss.value(y, X @ theta[:-1] + theta[-1] + offset)
    return s @ value / s.sum() + penalty.value(theta[:-1])


def least(X, y, loss, penalty, weights=None, offset=0.0):
    """F* by scipy: L-BFGS-B, the l1 penalty as a linear cost of positive and negative parts; kinked losses by HiGHS.

    With an l2 penalty, kinked losses are smoothed ever less, which brings F* to about 1e-6.
    """
    s = np.ones(len(y)) if weights is None else weights
    if not loss.traits.smooth and penalty.l2[0] == 0:
        return least_by_linear_programming(X, y, loss, penalty, (s, offset))
    if not loss.traits.smooth:
        best = theta = None
        for mu in 10.0 ** np.arange(0, -6.1, -0.5):
            theta = least_smooth(X, y, loss.smoothed(mu), penalty, (s, offset), theta)[1]
            value = F(theta, X, y, loss, penalty, s, offset)
            best = value if best is None else min(best, value)
        return best
    return least_smooth(X, y, loss, penalty, (s, offset))[0]


def least_by_linear_programming(X, y, loss, penalty, given):
    """F* of a loss that is a sum of hinges in p: slack variables above every kink."""
    s, offset = given[0] / given[0].sum(), given[1]
    positions, jumps = loss.kinks(y)
    m, n, d, l1 = *positions.shape, X.shape[1], float(penalty.l1[0])
    left = loss.gradient(y, positions[0] - 1)
    # Variables: w+, w-, b, and a slack for each kink; s left.(Xw + b + o) + jumps.slack + constant.
    A = np.column_stack([X, -X, np.ones(n)])
    cost = np.concatenate([(s * left) @ A + np.append(np.full(2 * d, l1), 0.0), (s * jumps).ravel()])
    rows = np.hstack([np.vstack([A] * m), -np.eye(m * n)])
    found = linprog(cost, rows, (positions - offset).ravel(), bounds=[(0, None)] * (2 * d) + [(None, None)]
                    + [(0, None)] * (m * n), method="highs")
    start = positions[0] - 1
    return found.fun + s @ (loss.value(y, start) - left * (start - offset))


def least_smooth(X, y, loss, penalty, given, theta=None):
    """(F*, coefficients and intercept) of a smooth loss."""
    s, offset = given
    d, l1, l2 = X.shape[1], float(penalty.l1[0]), float(penalty.l2[0])

    def cost(z):
        w = z[:d] - z[d : 2 * d]
        p = X @ w + z[-1] + offset
        g = s * loss.gradient(y, p) / s.sum()
        slope = X.T @ g + l2 * w
        value = s @ loss.value(y, p) / s.sum() + l2 / 2 * w @ w + l1 * z[: 2 * d].sum()
        return value, np.concatenate([slope + l1, l1 - slope, [g.sum()]])

    options = {"maxiter": 20000, "maxfun": 50000, "ftol": 1e-16, "gtol": 1e-11, "maxcor": 30}
    bounds = [(0, None)] * (2 * d) + [(None, None)]
    start, best = np.zeros(2 * d + 1), np.inf
    if theta is not None:
        start = np.concatenate([np.maximum(theta[:-1], 0), np.maximum(-theta[:-1], 0), theta[-1:]])
    for _ in range(3):
        found = scipy_minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        start, best = found.x, min(best, found.fun)
    return best, np.append(start[:d] - start[d : 2 * d], start[-1])


def theta_of(result, k=0):
    return np.append(result.coef[k], result.intercept[k])


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", CONVEX)
def test_optimum_and_certificate(name, penalty):
    """The minimum of scipy, whatever the loss and penalty, with weights and an offset."""
    X, y, weights, offset = table(name)
    loss, penalty = get_loss(name), PENALTIES[penalty]
    result = minimize(X, y, loss, penalty, sample_weight=weights, offset=offset, tol=1e-8)
    expected = least(X, y, loss, penalty, weights, offset)
    assert result.objective[0] == pytest.approx(F(theta_of(result), X, y, loss, penalty, weights, offset), rel=1e-12)
    assert result.objective[0] <= expected + 1e-10 * abs(expected)
    assert result.objective[0] * (1 + result.gap[0]) >= expected - 1e-5 * abs(expected)
    assert result.converged
    assert result.gap[0] <= 1e-8


@pytest.mark.parametrize("name", ["log_loss", "epsilon_insensitive"])
@pytest.mark.parametrize("layout", layouts("backwards", "csr32", "csr_int64", "csr32_int64"))
@pytest.mark.parametrize("penalty", PENALTIES)
def test_layouts_agree(layout, penalty, name):
    X, y, weights, offset = table(name)
    plain, other = (
        minimize(A, y, name, PENALTIES[penalty], sample_weight=weights, offset=offset)
        for A in (X, LAYOUTS[layout](X))
    )
    np.testing.assert_allclose(theta_of(other), theta_of(plain), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-6])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize(
    "name", ["log_loss", "huber", "poisson", "squared_hinge", "exponential", "log_cosh", "gamma", *STRAIGHT]
)
def test_gap_bounds_the_truth_on_the_way(name, penalty, tol, monkeypatch):
    """Through samples and loose tolerances: the gap is no less than the distance from the optimum, and within tol."""
    monkeypatch.setattr(_newton, "SMALL", 0)
    X, y, weights, _ = table(name, n=9000, d=6, seed=1)
    X = X * np.logspace(-3, 4, 6) + np.logspace(4, -2, 6)
    loss = get_loss(name)
    result = minimize(X, y, loss, PENALTIES[penalty], sample_weight=weights, tol=tol)
    assert set(result.history["rows"]) == {2000, 9000}
    monkeypatch.setattr(_newton, "SMALL", 1e9)
    best = minimize(X, y, loss, PENALTIES[penalty], sample_weight=weights).objective[0]
    lowest = 0.0
    if loss.traits.link == "log":
        lowest = weights @ loss.value(y, np.log(y)) / weights.sum()
    assert result.gap[0] <= tol
    assert (result.objective[0] - best) / (best - lowest) <= result.gap[0] + 1e-12
    assert result.gap_kind == ("estimate" if penalty == "none" else "proof",)


@pytest.mark.parametrize("name", ["log_loss", "huber", "squared_error", "poisson", *STRAIGHT])
def test_scales_of_features_do_not_matter(name):
    """A column times 1e6, another times 1e-6, a shift of 1e6, a constant, a copy, for an unpenalised model."""
    X, y, _, _ = table(name)
    raw = np.column_stack([X[:, 0] * 1e6, X[:, 1] * 1e-6, X[:, 2] + 1e6, X[:, 3], np.full(len(X), 7.0), X[:, 3]])
    plain, scaled = minimize(X, y, name, tol=1e-9), minimize(raw, y, name, tol=1e-9)
    assert scaled.objective[0] == pytest.approx(plain.objective[0], rel=1e-9)
    assert np.all(np.isfinite(scaled.coef))


@pytest.mark.parametrize("unit", [1e2, 1e4, 1e9])
def test_targets_far_beyond_epsilon(unit):
    """All residuals of huber are on straight parts at first, where nothing bounds a Newton step; the gap stays true."""
    X, y, _, _ = table("huber")
    result = minimize(X, unit * y, "huber", tol=1e-6)
    best = least(X, y, get_loss("huber", epsilon=1.35 / unit), NoPenalty()) * unit**2
    assert (result.objective[0] - best) / best <= result.gap[0] + 1e-6
    assert result.objective[0] <= 1.03 * best
    assert result.converged or unit > 1e3


@pytest.mark.parametrize("name", ["log_loss", "huber", "squared_error", "hinge", "epsilon_insensitive"])
@pytest.mark.parametrize("small", [0, 1e9])
@pytest.mark.parametrize("layout", ["C", "F", "float32", "csr"])
def test_threads_and_copies_of_samples_change_nothing(layout, small, name, monkeypatch):
    monkeypatch.setattr(_newton, "SMALL", small)
    for size in "CHUNK_BYTES", "STRETCH":
        monkeypatch.setattr(f"sklosses.solvers._reading.{size}", 1 << 11)
    X, y, weights, _ = table(name, n=9000, d=9)
    results = []
    for jobs, copied in (1, 1 << 40), (2, 1 << 40), (3, 0):
        monkeypatch.setattr("sklosses.solvers._reading.CACHED_BYTES", copied)
        results.append(minimize(LAYOUTS[layout](X), y, name, L2(1e-4), sample_weight=weights, n_jobs=jobs))
    for other in results[1:]:
        assert np.array_equal(theta_of(results[0]), theta_of(other))
        assert results[0].gap == other.gap


@pytest.mark.parametrize("name", CONVEX)
def test_weights_are_repetition(name):
    X, y, weights, _ = table(name)
    times = weights.astype(int)
    weighted = minimize(X, y, name, L2(1e-3), sample_weight=weights)
    repeated = minimize(np.repeat(X, times, axis=0), np.repeat(y, times), name, L2(1e-3))
    np.testing.assert_allclose(theta_of(weighted), theta_of(repeated), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["log_loss", "hinge"])
@pytest.mark.parametrize("small", [0, 1e9])
def test_columns_are_independent(small, name, monkeypatch):
    """One-vs-rest in one block equals a fit for each class, class weights included."""
    monkeypatch.setattr(_newton, "SMALL", small)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((9000, 4))
    classes = np.argmax(X[:, :3] + rng.standard_normal((9000, 3)), axis=1).astype(float)
    codes = np.array([[1.0, 2.0], [1.0, 0.5], [3.0, 1.0]])
    loss = get_loss(name)
    low, high = loss.target.codes
    problem = Problem(as_rows(X), classes, ((loss, 3),), L2(1e-3), one_vs_rest=OneVsRest((low, high), codes))
    block = Newton().solve(problem, tol=1e-9)
    for k in range(3):
        weights = np.where(classes == k, codes[k, 1], codes[k, 0])
        alone = minimize(X, np.where(classes == k, high, low), name, L2(1e-3), sample_weight=weights, tol=1e-9)
        np.testing.assert_allclose(theta_of(block, k), theta_of(alone), rtol=1e-4, atol=1e-5)
        assert block.objective[k] == pytest.approx(alone.objective[0], rel=1e-9)


def test_vector_parameters_belong_to_columns():
    X, y, _, _ = table("expectile")
    loss = get_loss("expectile", expectile=np.array([0.1, 0.9]))
    block = Newton().solve(Problem(as_rows(X), y, ((loss, 2),), L2(np.array([1e-3, 1e-2]))))
    for k in range(2):
        alone = minimize(X, y, get_loss("expectile", expectile=[0.1, 0.9][k]), L2([1e-3, 1e-2][k]))
        np.testing.assert_allclose(theta_of(block, k), theta_of(alone), rtol=1e-8)


def test_subset_is_the_table_of_its_rows():
    X, y, weights, offset = table("log_loss")
    rows = np.flatnonzero(np.arange(len(X)) % 3)
    problem = Problem(as_rows(X), y, ((get_loss("log_loss"), 1),), L2(1e-3), weights=weights, offset=offset)
    part = Newton().solve(replace(problem, subset=rows))
    alone = minimize(X[rows], y[rows], "log_loss", L2(1e-3), sample_weight=weights[rows], offset=offset[rows])
    np.testing.assert_allclose(theta_of(part), theta_of(alone), rtol=1e-12)


def test_rows_at_their_kinks_do_not_say_how_far_it_is():
    """With a rare class nearly all rows are at the kink of a hinge: a round that fails there must reach further."""
    readings = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X = rng.standard_t(1, size=(30_000, 8)) * np.logspace(0, 4, 8)
        y = np.where(rng.uniform(size=30_000) < 0.05 + 0.3 * (X[:, 0] > 2), 1.0, -1.0)
        problem = Problem(as_rows(X), y, ((get_loss("hinge"), 1),), L2(1e-5))
        fold = replace(problem, subset=np.flatnonzero(rng.integers(0, 5, 30_000)))
        newton = Newton(thorough=False)
        result = newton.solve(fold, state=newton.solve(problem).state)
        assert result.gap[0] <= 1e-3
        readings.append(result.n_iter)
    assert sum(readings) <= 14, readings        # 16 if each round reached three times as far as the one before


def test_going_on_from_a_state_saves_readings():
    X, y, _, _ = table("log_loss", n=3000)
    cold = minimize(X, y, "log_loss", L2(1e-3))
    warm = minimize(X, y, "log_loss", L2(1.1e-3), state=cold.state)
    assert warm.n_iter < minimize(X, y, "log_loss", L2(1.1e-3)).n_iter


def test_without_an_intercept():
    X, y, _, _ = table("squared_error")
    result = minimize(X, y, "squared_error", L2(1e-2), fit_intercept=False)
    n, d = X.shape
    np.testing.assert_allclose(result.coef[0], np.linalg.solve(X.T @ X / n + 1e-2 * np.eye(d), X.T @ y / n), rtol=1e-9)
    assert result.intercept[0] == 0


@pytest.mark.parametrize("penalty", [NoPenalty(), L2(1e-8), L1(1e-8)])
def test_separable_classes_end(penalty):
    """Without a penalty the minimum is not attained: what comes back is finite and next to it."""
    X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    result = minimize(X, np.array([0.0, 0, 1, 1]), "log_loss", penalty)
    assert np.all(np.isfinite(theta_of(result)))
    assert result.objective[0] < 1e-5
    assert result.endless == (not penalty.l1 and not penalty.l2)
    assert result.converged != result.endless


@pytest.mark.parametrize("loss", ["log_loss", "exponential", "poisson"])
@pytest.mark.parametrize("n", [60, 30_000])
def test_what_has_no_minimum_is_said(loss, n):
    """Classes that a plane separates; of counts that are all 0, every rate is too high."""
    X = np.random.default_rng(0).normal(size=(n, 3))
    cls, y = (SGDRegressor, np.zeros(n)) if loss == "poisson" else (SGDClassifier, X @ [1.0, -1.0, 0.5] > 0.3)
    with pytest.warns(ConvergenceWarning, match="There is no minimum: without a penalty.*alpha > 0"):
        model = cls(loss=loss, penalty=None).fit(X, y)
    assert model.objective_ < 1e-8
    assert np.all(np.isfinite(model.coef_))


HOSTILE = {
    "weights from 1e-12 to 1e12": lambda X, y, rng: (X, y, 10.0 ** rng.uniform(-12, 12, len(y))),
    "one row": lambda X, y, rng: (X[:1], y[:1], None),
    "targets all equal": lambda X, y, rng: (X, np.full_like(y, y.max()), None),
    "fewer rows than columns": lambda X, y, rng: (rng.standard_normal((10, 30)), y[:10], None),
    "copies": lambda X, y, rng: (np.hstack([X, X]), y, None),
    "a constant of 1e6": lambda X, y, rng: (np.hstack([X, np.full((len(X), 1), 1e6)]), y, None),
    "a column of zeros": lambda X, y, rng: (np.hstack([X, np.zeros((len(X), 1))]), y, None),
    "tiny": lambda X, y, rng: (X * 1e-20, y, None),
    "signs": lambda X, y, rng: (np.sign(X), y, None),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", ["squared_error", "log_loss", "huber", "squared_hinge", "poisson", *STRAIGHT])
def test_hostile_tables_are_solved(name, penalty, case):
    """To 1e-6, or it is said that there is no minimum; finite, and without a warning."""
    X, y, _, _ = table(name, n=60, d=3)
    X, y, weights = HOSTILE[case](X, y, np.random.default_rng(0))
    result = minimize(X, y, name, PENALTIES[penalty], sample_weight=weights, tol=1e-6)
    assert np.all(np.isfinite(theta_of(result)))
    assert result.converged or (result.endless and result.objective[0] < 1e-8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (5, 8), (40, 0)])
def test_few_rows_and_many_columns(shape):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
    result = minimize(X, y, "squared_error", L2(1e-3))
    assert np.all(np.isfinite(theta_of(result)))
    constant = F(np.append(np.zeros(shape[1]), y.mean()), X, y, get_loss("squared_error"), L2(1e-3))
    assert result.objective[0] <= constant + 1e-15


def test_monitor_sees_every_stage_and_may_stop(monkeypatch):
    monkeypatch.setattr(_newton, "SMALL", 0)
    X, y, _, _ = table("log_loss", n=9000)
    seen = []

    class Watch(Monitor):
        def end(self, epoch):
            seen.append((epoch.number, epoch.coef.shape, float(epoch.objective[0])))
            return Verdict(stop=len(seen) == 1)

    result = minimize(X, y, "log_loss", L2(1e-3), monitor=Watch())
    assert [number for number, _, _ in seen] == list(range(len(result.history["rows"])))
    assert result.converged


def test_max_iter_is_a_limit():
    X, y, _, _ = table("log_loss")
    result = minimize(X * 1e3, y, "log_loss", L2(1e-8), max_iter=3)
    assert result.n_iter <= 10      # a first step is always made
    assert not result.converged
    assert result.gap[0] > 1e-9


def test_memory_stays_below_a_copy_of_the_table():
    """float32 data is brought to float64 in pieces."""
    import tracemalloc

    rng = np.random.default_rng(0)
    X = rng.standard_normal((200_000, 40), dtype=np.float32)
    y = (X[:, 0] + rng.standard_normal(len(X)) > 0).astype(float)
    tracemalloc.start()
    minimize(X, y, "log_loss", L2(1e-4))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.25 * X.nbytes + 12 * 8 * len(X) + 8 * (4 << 20)


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_a_few_rows_that_weigh_everything(seed, monkeypatch):
    """Bands that leave out what counts: a bound from a point that went astray is none."""
    monkeypatch.setattr(_newton, "SMALL", 0)
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((20_000, 1))
    y, weights = X[:, 0] + rng.standard_normal(20_000), np.exp(5 * rng.standard_normal(20_000))
    result = minimize(X, y, "absolute_error", sample_weight=weights, fit_intercept=False, tol=1e-4)
    # The minimiser is the weighted median of y / x, with weights s abs(x).
    ratios, shares = y / X[:, 0], weights * np.abs(X[:, 0])
    order = np.argsort(ratios)
    best = ratios[order][np.searchsorted(np.cumsum(shares[order]), shares.sum() / 2)]
    lowest = F(np.array([best, 0.0]), X, y, get_loss("absolute_error"), NoPenalty(), weights)
    assert (result.objective[0] - lowest) / lowest <= min(result.gap[0], 1e-4)


def test_wide_insensitivity_is_no_perceptron():
    X, y, _, _ = table("epsilon_insensitive")
    assert minimize(X, y, get_loss("epsilon_insensitive", epsilon=1.5)).solver == "interior point"


class Ramp:
    """max(p - y, 0), whose kinks nobody knows."""

    traits = Traits("residual", smooth=False, lipschitz=1.0)

    def value(self, y, p):
        return np.maximum(p - y, 0.0)

    def gradient(self, y, p):
        return (p > y).astype(float)


class KnownRamp(Ramp):
    """Two ramps, whose kinks are known."""

    def value(self, y, p):
        return np.maximum(p - y, 0.0) + 0.5 * np.maximum(y - p, 0.0)

    def gradient(self, y, p):
        return np.where(p > y, 1.0, -0.5)

    def kinks(self, y):
        return y[np.newaxis], np.full((1, len(y)), 1.5)


def test_the_perceptron_algorithm_runs():
    X, y, _, _ = table("perceptron")
    result = minimize(X, y, "perceptron")
    assert result.solver == "perceptron algorithm"
    assert np.isnan(result.gap[0])
    assert np.mean(np.sign(X @ result.coef[0] + result.intercept[0]) == y) > 0.6


def test_second_derivatives_may_be_unknown():
    """Of a smooth loss of the user's own: differences of its slopes take their place."""

    class Cosh:
        traits = Traits("residual", lipschitz=1.0, curvature=1.0)

        def value(self, y, p):
            return np.logaddexp(p - y, y - p) - np.log(2)

        def gradient(self, y, p):
            return np.tanh(p - y)

    X, y, weights, _ = table("log_cosh")
    ours, known = (minimize(X, y, loss, L2(1e-3), sample_weight=weights, tol=1e-9) for loss in (Cosh(), "log_cosh"))
    np.testing.assert_allclose(theta_of(ours), theta_of(known), rtol=1e-5)


def test_kinks_have_to_be_known():
    X, y, _, _ = table("quantile")
    with pytest.raises(ValueError, match="smooth or has a method kinks"):
        minimize(X, y, Ramp())
    ours, quantile = minimize(X, y, KnownRamp()), minimize(X, y, get_loss("quantile", quantile=1 / 3))
    assert ours.objective[0] == pytest.approx(1.5 * quantile.objective[0], rel=1e-9)


def test_one_class_objective():
    """A cost of the intercept, as the one-class SVM has; there is no lower bound but the dual's."""
    X = np.abs(table("hinge")[0]) + 1.0
    y, nu, loss = np.ones(len(X)), 0.3, get_loss("hinge")
    result = Newton().solve(Problem(as_rows(X), y, ((loss, 1),), L2(nu), intercept_cost=nu), tol=1e-9)
    w, b = result.coef[0], result.intercept[0]
    assert result.objective[0] == pytest.approx(nu / 2 * w @ w + nu * b + loss(y, X @ w + b), rel=1e-12)
    reference = OneClassSVM(kernel="linear", nu=nu, tol=1e-10).fit(X)
    v = reference.coef_[0] / (nu * len(X))
    c = 1 - reference.offset_[0] / (nu * len(X))
    assert result.objective[0] == pytest.approx(nu / 2 * v @ v + nu * c + loss(y, X @ v + c), rel=1e-8)


@pytest.mark.parametrize("name", ["cauchy", "focal", "tweedie"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_losses_that_are_not_convex_come_to_rest(name, penalty):
    """The subgradient is small against what it is made of, and nothing is claimed."""
    X, y, weights, offset = table(name)
    loss, penalty = get_loss(name, **({"power": 2.5} if name == "tweedie" else {})), PENALTIES[penalty]
    result = minimize(X, y, loss, penalty, sample_weight=weights, offset=offset)
    assert not loss.traits.convex
    assert result.converged
    assert np.isnan(result.gap[0])
    assert result.gap_kind == (None,)
    s = weights / weights.sum()
    g = s * loss.gradient(y, X @ result.coef[0] + result.intercept[0] + offset)
    away = penalty.subdifferential_distance(result.coef[0], X.T @ g)
    assert np.all(away <= 1e-5 * (np.abs(X).T @ np.abs(g)))
    assert abs(g.sum()) <= 1e-5 * np.abs(g).sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": -np.ones(300)}, "weights >= 0"),
        ({"intercept_cost": 0.1}, "intercept_cost"),
        ({"rows": as_rows(np.zeros((300, 2001)))}, "2000 features"),
    ],
)
def test_what_it_cannot_do_is_refused(change, message):
    X, y, _, _ = table("squared_error")
    problem = Problem(as_rows(X), y, ((get_loss("squared_error"), 1),), L2(1e-3))
    with pytest.raises(ValueError, match=message):
        Newton().solve(replace(problem, **change))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": np.zeros(3)}, "y must have shape"),
        ({"y": np.full(300, np.nan)}, "y contains nan"),
        ({"sample_weight": np.zeros(300)}, "all 0"),
        ({"sample_weight": np.ones(3)}, "sample_weight must hold 300"),
        ({"offset": np.full(300, np.inf)}, "offset must hold 300"),
    ],
)
def test_bad_arguments_of_minimize(arguments, message):
    X, y, _, _ = table("squared_error")
    with pytest.raises(ValueError, match=message):
        minimize(X, **({"y": y, "loss": "squared_error"} | arguments))


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize(("value", "message"), [(np.nan, "Input X contains NaN"), (np.inf, "Input X contains inf")])
def test_minimize_refuses_tables_that_are_not_finite(value, message, convert):
    X, y, _, _ = table("squared_error")
    X[3, 1] = value
    with pytest.raises(ValueError, match=message):
        minimize(convert(X), y, "squared_error")


@pytest.mark.parametrize("penalty", [L2(1e-5), L1(1e-5), NoPenalty()], ids=repr)
@pytest.mark.parametrize("seed", range(4))
def test_columns_that_no_sample_has(seed, penalty):
    """A column of a few neighbours, which samples of blocks hardly ever meet, is no constant of all rows."""
    rng = np.random.default_rng(seed)
    n, loss = 200_000, get_loss("log_loss")
    X = rng.normal(size=(n, 5))
    X[:, 4] = (np.arange(n) >= 150_000) & (np.arange(n) < 150_200)
    y = np.where(X[:, 0] + 2 * X[:, 4] + rng.logistic(size=n) > 0, 1.0, 0.0)
    shuffled = rng.permutation(n)
    known = Newton().solve(Problem(as_rows(X[shuffled]), y[shuffled], ((loss, 1),), penalty), tol=1e-10)
    result = Newton(thorough=False).solve(Problem(as_rows(X), y, ((loss, 1),), penalty), tol=1e-7, random_state=seed)
    best = F(theta_of(known), X, y, loss, penalty)
    assert result.gap[0] <= 1e-7
    assert F(theta_of(result), X, y, loss, penalty) - best <= 1e-7 * best

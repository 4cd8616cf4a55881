"""The solver of losses of whole rows: optima against others, certificates against the truth."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import LinearConstraint
from scipy.optimize import minimize as scipy_minimize
from scipy.sparse import csr_array
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from sklosses.data import as_rows
from sklosses.exceptions import DivergenceError
from sklosses.losses import CrammerSinger, Multinomial, SmoothedCrammerSinger
from sklosses.penalties import L1, L2, ElasticNet, NoPenalty
from sklosses.solvers import (
    Auto,
    Coupled,
    Monitor,
    Problem,
    Verdict,
    _coupled,
    _slice_descent,
    alpha_max,
    minimize,
    objective,
)
from sklosses.solvers._slice_descent import drawn

LOSSES = [Multinomial(), CrammerSinger(), SmoothedCrammerSinger(width=0.2)]
PENALTIES = {"none": NoPenalty(), "l2": L2(1e-3), "l1": L1(1e-2), "elasticnet": ElasticNet(1e-2, 0.5)}
K = 4


def table(n=250, d=4, seed=0, scales=None):
    """(X, y, weights): classes that overlap; a row may weigh nothing."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    raw = X @ rng.standard_normal((d, K)) + rng.gumbel(size=(n, K))
    X = X.astype(np.float32).astype(np.float64)
    X = X if scales is None else X * scales
    return X, raw.argmax(axis=1).astype(float), rng.integers(0, 3, size=n).astype(float)


def problem(X, y, loss, penalty, **more):
    return Problem(as_rows(X), y, ((loss, K),), penalty, **more)


def value(X, y, loss, penalty, coef, intercept, weights=None):
    """F by its definition."""
    return loss(y, X @ coef.T + intercept, weights) + float(np.sum(penalty.value(coef)))


def crammer_singer_qp(X, y, l2):
    """The multiclass hinge as a quadratic program, by trust-constr: W, b, slacks."""
    n, d = X.shape
    size = K * (d + 1)
    rows, low = [], []
    for i in range(n):
        for k in range(K):
            row = np.zeros(size + n)
            if k != y[i]:
                for column, sign in ((int(y[i]), 1), (k, -1)):
                    row[column * d : (column + 1) * d] += sign * X[i]
                    row[K * d + column] += sign
            row[size + i] = 1
            rows.append(row)
            low.append(float(k != y[i]))
    curvature = np.concatenate([np.full(K * d, l2), np.zeros(K + n)])
    linear = np.concatenate([np.zeros(size), np.full(n, 1 / n)])
    start = np.concatenate([np.zeros(size), np.full(n, 1.5)])
    found = scipy_minimize(
        lambda z: 0.5 * (curvature * z) @ z + linear @ z,
        start,
        jac=lambda z: curvature * z + linear,
        hess=lambda z: np.diag(curvature),
        constraints=LinearConstraint(np.array(rows), np.array(low), np.inf),
        method="trust-constr",
        options={"gtol": 1e-9, "xtol": 1e-11, "maxiter": 3000},
    )
    return found.fun


# Optima -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scales", [None, [1e-4, 1.0, 1e5, 30.0]], ids=["scaled", "raw"])
@pytest.mark.parametrize("alpha", [1e-1, 1e-4])
def test_multinomial_l2_is_scikit_learns(alpha, scales):
    X, y, weights = table(scales=scales)
    units = np.ones(4) if scales is None else np.array(scales)
    penalty = L2(alpha)
    result = Coupled().solve(problem(X, y, Multinomial(), penalty, weights=weights), tol=1e-9)
    assert result.gap[0] <= 1e-9
    assert result.gap_kind == ("proof",)
    model = LogisticRegression(C=1 / (alpha * weights.sum()), tol=1e-12, max_iter=10_000, solver="newton-cholesky")
    model.fit(X, y, sample_weight=weights)
    ours = value(X, y, Multinomial(), penalty, result.coef, result.intercept, weights)
    theirs = value(X, y, Multinomial(), penalty, model.coef_, model.intercept_, weights)
    assert ours <= theirs * (1 + 1e-12)
    assert result.objective[0] == pytest.approx(ours, rel=1e-12)
    if scales is None:
        assert np.allclose(result.coef, model.coef_, atol=1e-6)
        assert np.allclose(np.diff(result.intercept), np.diff(model.intercept_), atol=1e-6)
    assert np.all(np.isfinite(result.coef * units))


@pytest.mark.parametrize("penalty", ["l1", "elasticnet"])
def test_multinomial_l1_is_sagas(penalty):
    X, y, _ = table()
    ratio = 1.0 if penalty == "l1" else 0.5
    result = Coupled().solve(problem(X, y, Multinomial(), PENALTIES[penalty]), tol=1e-9)
    model = LogisticRegression(C=1 / (1e-2 * len(y)), l1_ratio=ratio, tol=1e-9, max_iter=20_000, solver="saga",
                               random_state=0).fit(X, y)
    theirs = value(X, y, Multinomial(), PENALTIES[penalty], model.coef_, model.intercept_)
    assert result.objective[0] == pytest.approx(theirs, rel=1e-7)
    assert result.gap[0] <= 1e-9
    if penalty == "elasticnet":     # l1 alone leaves what an even number of classes have in common undetermined
        assert np.array_equal(result.coef == 0, np.abs(model.coef_) < 1e-6)


@pytest.mark.parametrize("alpha", [1e-1, 1e-3])
def test_crammer_singer_is_liblinears(alpha):
    """Without intercept: liblinear penalises its own."""
    X, y, _ = table()
    result = Coupled().solve(problem(X, y, CrammerSinger(), L2(alpha), fit_intercept=False), tol=1e-9)
    model = LinearSVC(multi_class="crammer_singer", C=1 / (alpha * len(y)), fit_intercept=False, tol=1e-10,
                      max_iter=200_000, random_state=0).fit(X, y)
    theirs = value(X, y, CrammerSinger(), L2(alpha), model.coef_, 0.0)
    assert result.objective[0] == pytest.approx(theirs, rel=1e-7)
    assert result.objective[0] <= theirs * (1 + 1e-9)
    assert np.allclose(result.coef, model.coef_, atol=1e-4)
    assert np.array_equal(result.intercept, np.zeros(K))


@threadpool_limits.wrap(limits=1)       # threads take half a minute over matrices of a hundred rows
def test_crammer_singer_with_intercept_is_the_quadratic_programs():
    X, y, _ = table(n=30, d=2)
    result = Coupled().solve(problem(X, y, CrammerSinger(), L2(1e-2)), tol=1e-9)
    assert result.gap_kind == ("proof",)
    assert result.objective[0] == pytest.approx(crammer_singer_qp(X, y, 1e-2), rel=1e-5)


def test_probabilities_are_targets_that_repeat_rows():
    """A row of probabilities equals the row once for each class, weighted by its probability."""
    X, *_ = table(n=60)
    rng = np.random.default_rng(1)
    share = rng.dirichlet(np.ones(K), size=60)
    soft = minimize(X, share, "multinomial", L2(1e-2), tol=1e-11)
    hard = minimize(np.repeat(X, K, axis=0), np.tile(np.arange(K), 60), "multinomial", L2(1e-2),
                    sample_weight=share.ravel(), tol=1e-11)
    assert np.allclose(soft.coef, hard.coef, atol=1e-7)
    assert soft.objective[0] == pytest.approx(hard.objective[0], rel=1e-10)
    divergence = minimize(X, share, Multinomial(divergence=True), L2(1e-2), tol=1e-9)
    assert np.allclose(soft.coef, divergence.coef, atol=1e-4)
    assert divergence.objective[0] < soft.objective[0]


# Dual descent -------------------------------------------------------------------------------------------------------


@pytest.fixture
def dual(monkeypatch):
    """Few coefficients are taken for many: losses with kinks go by dual descent."""
    monkeypatch.setattr(_coupled, "LARGEST_D", 0)
    monkeypatch.setattr(_coupled, "LARGEST_INTERIOR", 0)


@pytest.mark.parametrize("loss", LOSSES[1:], ids=lambda loss: loss.name)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("alpha", [1e-1, 1e-3])
def test_dual_descent_is_the_interior_points(alpha, intercept, loss, monkeypatch, request):
    X, y, weights = table()
    given = problem(X, y, loss, L2(alpha), weights=weights, fit_intercept=intercept)
    expected = Coupled().solve(given, tol=1e-10)
    assert expected.solver == "interior point"
    request.getfixturevalue("dual")
    result = Coupled().solve(given, tol=1e-6, max_iter=20_000)
    assert result.solver == "dual descent"
    assert result.gap[0] <= 1e-6
    assert result.gap_kind == ("proof",)
    found = value(X, y, loss, L2(alpha), result.coef, result.intercept, weights)
    assert result.objective[0] == pytest.approx(found, rel=1e-12)
    assert -1e-9 <= found / expected.objective[0] - 1 <= result.gap[0] + 1e-9


@pytest.mark.parametrize("width", [0.0, 0.5])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("penalty", [L1(3e-2), L1(3e-3), ElasticNet(1e-1, 0.3), ElasticNet(1e-2, 0.9)], ids=str)
def test_dual_descent_knows_l1(penalty, fit_intercept, width, request):
    X, y, weights = table(d=8)
    loss = SmoothedCrammerSinger(width=width) if width else CrammerSinger()
    given = problem(csr_array(X), y, loss, penalty, weights=weights, fit_intercept=fit_intercept)
    expected = Coupled().solve(given, tol=1e-9)
    assert expected.solver == "interior point"
    request.getfixturevalue("dual")
    result = Coupled().solve(given, tol=1e-5, max_iter=20_000)
    assert (result.solver, result.gap_kind) == ("dual descent", ("proof",))
    assert result.gap[0] <= 1e-5
    found = value(X, y, loss, penalty, result.coef, result.intercept, weights)
    assert result.objective[0] == pytest.approx(found, rel=1e-12)
    assert -1e-9 <= found / expected.objective[0] - 1 <= result.gap[0] + 1e-9


@pytest.mark.parametrize("penalty", [ElasticNet(0.3, 0.5), ElasticNet(0.03, 0.5), L1(0.3)], ids=str)
def test_few_rows_of_many_columns_arrive(penalty):
    """What a smoothed loss makes of such a table has no curvature in most directions, and steps in it crawl."""
    X = np.random.default_rng(0).standard_normal((60, 700))
    result = Coupled().solve(problem(X, X[:, :4].argmax(axis=1) * 1.0, CrammerSinger(), penalty, fit_intercept=False),
                             tol=1e-3, max_iter=1000)
    assert (result.converged, result.gap_kind) == (True, ("proof",))


@pytest.mark.parametrize("penalty", [NoPenalty(), L2(10.0), L1(1.0), ElasticNet(1.0, 0.5)], ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("share", [0.25, 0.7])
def test_no_model_is_above_the_best_constant(share, loss, penalty):
    """However few readings there are: numbers of a large unit are not known to be useless before."""
    rng = np.random.default_rng(0)
    X = 1e3 * rng.standard_normal((200, 500))
    y = np.where(rng.random(200) < share, 0, rng.integers(0, K, size=200)).astype(float)
    result = Coupled().solve(problem(X, y, loss, penalty), tol=1e-9, max_iter=1)
    constant = Coupled().solve(problem(np.zeros((200, 1)), y, loss, L2(1.0)), tol=1e-9).objective[0]
    assert result.objective[0] <= constant * (1 + 1e-9)
    assert value(X, y, loss, penalty, result.coef, result.intercept) == pytest.approx(result.objective[0], rel=1e-9)
    assert (result.objective[0] - result.gap[0] * abs(result.objective[0])) <= constant


@pytest.mark.parametrize("ratio", [1.0, 0.5])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("d", [5, 600])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_coefficients_are_zero_from_alpha_max_on(loss, d, fit_intercept, ratio):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((80, d)) + 1
    given = problem(X, X[:, :K].argmax(axis=1).astype(float), loss, L1(1.0), fit_intercept=fit_intercept)
    (alpha,) = alpha_max(given) / ratio
    for more in (1.0, 1.5):
        result = Coupled().solve(replace(given, penalty=ElasticNet(more * alpha, ratio)), tol=1e-3)
        assert not np.any(result.coef)
        assert (result.converged, result.gap_kind) == (True, ("proof",))
    assert np.any(Coupled().solve(replace(given, penalty=ElasticNet(0.05 * alpha, ratio)), tol=1e-3).coef)


def test_dual_descent_is_liblinears(dual):
    rng = np.random.default_rng(0)
    X = csr_array(rng.standard_normal((300, 40)) * (rng.random((300, 40)) < 0.2))
    y = (X @ rng.standard_normal((40, K)) + rng.gumbel(size=(300, K))).argmax(axis=1)
    result = Coupled().solve(problem(X, y.astype(float), CrammerSinger(), L2(1e-2), fit_intercept=False), tol=1e-7,
                             max_iter=20_000)
    model = LinearSVC(multi_class="crammer_singer", C=1 / (1e-2 * len(y)), fit_intercept=False, tol=1e-10,
                      max_iter=200_000, random_state=0).fit(X, y)
    assert np.allclose(result.coef, model.coef_, atol=1e-3)


def wide_indices(X):
    X = csr_array(X)
    return csr_array((X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape)


@pytest.mark.parametrize("convert", [
    np.asfortranarray, csr_array, lambda X: X.astype(np.float32), lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    lambda X: csr_array(X.astype(np.float32)), wide_indices,
], ids=["F", "csr", "float32", "apart", "csr float32", "csr int64"])
def test_dual_descent_reads_all_layouts(convert, dual):
    X, y, _ = table()
    X[:, 1] = np.where(X[:, 1] > 0, X[:, 1], 0.0)
    results = [Coupled().solve(problem(made, y, CrammerSinger(), L2(1e-1)), tol=1e-4) for made in (X, convert(X))]
    assert np.allclose(results[0].coef, results[1].coef, atol=1e-5)


def test_dual_descent_takes_weights_subsets_and_empty_rows(dual):
    X, y, weights = table()
    X[7] = 0
    kept = np.flatnonzero(weights)
    weighted = problem(X, y, CrammerSinger(), L2(1e-2), weights=weights)
    subset = replace(weighted, subset=kept)
    repeated = np.repeat(np.arange(len(y)), weights.astype(int))
    found = [Coupled().solve(given, tol=1e-5, max_iter=20_000).objective[0] for given in (
        weighted, subset, problem(X[repeated], y[repeated], CrammerSinger(), L2(1e-2)))]
    assert found == pytest.approx([found[0]] * 3, rel=2e-5)


def test_dual_descent_depends_on_the_seed_alone(dual):
    X, y, _ = table(n=4000)
    given = problem(X, y, CrammerSinger(), L2(1e-2))
    first, again, other = (Coupled(n_jobs=n_jobs).solve(given, tol=1e-3, random_state=seed)
                           for n_jobs, seed in ((1, 0), (2, 0), (1, 5)))
    assert np.array_equal(first.coef, again.coef)
    assert np.array_equal(first.intercept, again.intercept)
    assert not np.array_equal(first.coef, other.coef)
    assert other.objective[0] == pytest.approx(first.objective[0], rel=1e-3)


# Certificates -------------------------------------------------------------------------------------------------------


@pytest.fixture
def large(monkeypatch):
    """Small tables go the way of large ones: samples, then readings of all rows as they come."""
    monkeypatch.setattr(_coupled, "SMALL", 0)
    monkeypatch.setattr(_coupled, "LARGEST_INTERIOR", 0)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("scale", ["scaled", "heavy"])
def test_the_gap_is_never_below_the_truth(scale, loss, penalty, large, monkeypatch):
    """At every tolerance, against the same problem solved to 1e-10 by the other way, as small tables are."""
    X, y, weights = table(n=2600, d=3)
    if scale == "heavy":
        X = np.exp(3 * X) * [1.0, 1e3, 1e-3]
    given = problem(X, y, loss, PENALTIES[penalty], weights=weights)
    with monkeypatch.context() as small:
        small.setattr(_coupled, "SMALL", np.inf)
        small.setattr(_coupled, "LARGEST_INTERIOR", np.inf)
        best = Coupled().solve(given, tol=1e-12, max_iter=5000)
    assert best.gap[0] <= (1e-7 if scale == "scaled" else 1e-3) or penalty == "none"
    for tol in (1e-1, 1e-2, 1e-4):
        for limit in (1500, 0):         # with the whole Hessian, and without
            monkeypatch.setattr(_coupled, "LARGEST_D", limit)
            result = Coupled().solve(given, tol=tol, max_iter=200)
            found = value(X, y, loss, PENALTIES[penalty], result.coef, result.intercept, weights)
            assert result.objective[0] == pytest.approx(found, rel=1e-12)
            true = (found - best.objective[0]) / best.objective[0]
            assert result.gap[0] >= true - 1e-10
            assert result.gap_kind == ("estimate" if penalty == "none" else "proof",)
            if limit and scale == "scaled" and not (penalty == "none" and loss.name != "multinomial"):
                assert result.gap[0] <= tol
                assert result.converged


@pytest.mark.parametrize("limit", [1500, 0], ids=["newton", "l-bfgs"])
def test_columns_that_the_samples_did_not_see(limit, large, monkeypatch):
    """They take part all the same: once they were taken for constant ones, and their coefficients held at 0."""
    monkeypatch.setattr(_coupled, "LARGEST_D", limit)
    X, y, _ = table(n=9000)
    rare = np.full((len(X), 2), [0.0, 7.0])
    rare[np.arange(3) * 2500 + 1201, [0, 1, 0]] += 1e3
    result = Coupled().solve(problem(np.hstack([X, rare]), y, Multinomial(), L2(1e-5)), tol=1e-7)
    assert result.gap[0] <= 1e-7
    assert np.all(np.abs(result.coef[:, 4:]).max(axis=0) > 0)


@pytest.mark.parametrize("shape", ["alike", "few heavy", "many at 0"])
def test_drawn_weights_stand_for_all(shape):
    """About as many as asked for, none lighter than it was, the heaviest as they were, and sums of all parts alike."""
    rng = np.random.default_rng(0)
    weight = rng.random(40_000)
    if shape == "few heavy":
        weight[::1000] *= 1e6
    elif shape == "many at 0":
        weight[rng.random(len(weight)) < 0.9] = 0.0
    few = drawn(weight, 2000)
    used = few > 0
    assert abs(np.count_nonzero(used) - 2000) <= 1
    assert np.all(few[used] >= weight[used])
    assert_allclose(few.sum(), weight.sum(), rtol=1e-2)
    for part in (slice(0, 20_000), slice(1, None, 2)):
        assert_allclose(few[part].sum(), weight[part].sum(), rtol=0.1)
    if shape == "few heavy":
        assert_array_equal(few[::1000], weight[::1000])
    assert_array_equal(drawn(weight, len(weight)), weight)


def test_blocks_made_anew_save_readings(monkeypatch):
    """Curvature at the start is not what it is near the minimum."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 60)) * np.where(rng.random((20_000, 60)) < 0.2, 5.0, 0.2)
    y = np.argmax(X @ rng.standard_normal((60, 30)) + rng.gumbel(size=(20_000, 30)), axis=1).astype(float)
    given = Problem(as_rows(X), y, ((Multinomial(), 30),), L2(1e-5))
    anew = Coupled().solve(given, tol=1e-3)
    assert anew.solver == "l-bfgs"
    assert anew.gap[0] <= 1e-3
    monkeypatch.setattr(_slice_descent, "FRESH", np.inf)
    once = Coupled().solve(given, tol=1e-3)
    assert once.objective[0] == pytest.approx(anew.objective[0], rel=1e-3)
    assert anew.n_iter < 0.8 * once.n_iter


def test_what_is_not_reached_is_said():
    X, y, _ = table(n=3000, d=3)
    result = Coupled().solve(problem(X, y, Multinomial(), L2(1e-9)), tol=1e-13, max_iter=1)
    assert result.gap[0] > 1e-13
    separable = Coupled().solve(problem(X[:5], np.arange(5.0) % K, Multinomial(), NoPenalty()), tol=1e-6, max_iter=50)
    assert separable.objective[0] < 1e-5        # and falls for ever
    assert separable.endless
    assert not separable.converged
    assert separable.gap[0] > 1e-6


# The same -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", ["l2", "elasticnet"])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_weights_are_repetition(loss, penalty):
    X, y, weights = table()
    weighted = Coupled().solve(problem(X, y, loss, PENALTIES[penalty], weights=weights))
    repeated = np.repeat(np.arange(len(y)), weights.astype(int))
    plain = Coupled().solve(problem(X[repeated], y[repeated], loss, PENALTIES[penalty]))
    subset = Coupled().solve(problem(X, y, loss, PENALTIES[penalty], weights=weights,
                                     subset=np.flatnonzero(weights)))
    for other in (plain, subset):
        assert np.allclose(weighted.coef, other.coef, atol=1e-7)
        assert weighted.objective[0] == pytest.approx(other.objective[0], rel=1e-10)


@pytest.mark.parametrize("convert", [np.asfortranarray, csr_array, lambda X: X.astype(np.float32),
                                     lambda X: np.repeat(X, 2, axis=1)[:, ::2]], ids=["F", "csr", "float32", "apart"])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_layouts(loss, convert):
    X, y, _ = table()
    expected = Coupled().solve(problem(X, y, loss, L2(1e-2)), tol=1e-9)
    result = Coupled().solve(problem(convert(X), y, loss, L2(1e-2)), tol=1e-9)
    assert np.allclose(result.coef, expected.coef, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES[:2], ids=lambda loss: loss.name)
def test_threads_change_nothing(loss, large):
    X, y, _ = table(n=20_000, d=30)
    results = [Coupled(n_jobs=n_jobs).solve(problem(X, y, loss, L2(1e-3)), tol=1e-2) for n_jobs in (1, 2, 3)]
    for other in results[1:]:
        assert np.array_equal(results[0].coef, other.coef)
        assert np.array_equal(results[0].intercept, other.intercept)


def test_a_class_without_weight_is_as_if_it_were_not_there():
    X, y, _ = table()
    without = y != 2
    result = Coupled().solve(problem(X, y, Multinomial(), L2(1e-2), weights=without.astype(float)), tol=1e-8)
    others = minimize(X[without], np.searchsorted([0, 1, 3], y[without]), "multinomial", L2(1e-2), tol=1e-10)
    assert result.objective[0] == pytest.approx(others.objective[0], rel=1e-6)
    assert result.gap[0] >= result.objective[0] / others.objective[0] - 1 - 1e-9


def test_warm_start_and_fixed_intercepts():
    X, y, _ = table()
    given = problem(X, y, Multinomial(), L2(1e-2))
    first = Coupled().solve(given, tol=1e-10)
    again = Coupled().solve(given, tol=1e-10, state=first.state)
    assert again.n_iter < first.n_iter
    assert np.allclose(again.coef, first.coef, atol=1e-7)
    held = replace(first.state, coef=np.zeros((K, 4)), intercept=np.array([1.0, 0.0, -1.0, 0.5]))
    fixed = Coupled().solve(replace(given, fit_intercept=False), tol=1e-9, state=held)
    assert np.array_equal(fixed.intercept, held.intercept)
    assert fixed.gap[0] <= 1e-9
    slopes = Multinomial().gradient(y, X @ fixed.coef.T + fixed.intercept).T @ X / len(y) + 1e-2 * fixed.coef
    assert np.abs(slopes).max() < 1e-6


def test_objective_is_that_of_the_function():
    X, y, _ = table()
    result = Coupled().solve(problem(X, y, CrammerSinger(), ElasticNet(1e-2, 0.5)))
    assert objective(problem(X, y, CrammerSinger(), ElasticNet(1e-2, 0.5)), result.coef,
                     result.intercept)[0] == pytest.approx(result.objective[0], rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES[:2], ids=lambda loss: loss.name)
def test_paths_begin_where_all_coefficients_are_zero(loss):
    X, y, _ = table()
    highest = alpha_max(problem(X, y, loss, NoPenalty()))
    assert highest.shape == (1,)
    assert not Coupled().solve(problem(X, y, loss, L1(1.05 * highest[0])), tol=1e-9).coef.round(6).any()
    if loss.traits.smooth:      # with kinks it is an upper bound
        assert Coupled().solve(problem(X, y, loss, L1(0.95 * highest[0])), tol=1e-9).coef.any()


# Around it ----------------------------------------------------------------------------------------------------------


def test_auto_chooses_it():
    X, y, _ = table()
    assert isinstance(Auto().choose(problem(X, y, CrammerSinger(), L2(1.0))), Coupled)


@pytest.mark.parametrize("loss", LOSSES[:2], ids=lambda loss: loss.name)
def test_a_monitor_sees_and_stops(loss):
    class Stops(Monitor):
        seen = ()

        def end(self, epoch):
            self.seen += ((epoch.number, epoch.coef, float(epoch.objective[0])),)
            return Verdict(stop=epoch.number == 3)

    X, y, _ = table()
    monitor = Stops()
    result = Coupled().solve(problem(X, y, loss, L2(1e-3)), tol=1e-9, monitor=monitor)
    assert [number for number, *_ in monitor.seen] == [0, 1, 2, 3]
    assert np.array_equal(result.coef, monitor.seen[-1][1])
    assert result.gap[0] == np.inf
    assert {name: len(values) for name, values in result.history.items()} == dict.fromkeys(result.history, 4)


def test_scores_choose_the_model():
    class Scores(Monitor):
        def end(self, epoch):
            return Verdict(score=-abs(epoch.number - 2.0))

    X, y, _ = table()
    result = Coupled(n_iter_no_change=2).solve(problem(X, y, Multinomial(), L2(1e-3)), tol=1e-9, monitor=Scores())
    assert len(result.history["rows"]) == 5
    assert result.objective[0] == pytest.approx(value(X, y, Multinomial(), L2(1e-3), result.coef, result.intercept))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"weights": np.full(250, -1.0)}, "weights >= 0"),
        ({"intercept_cost": 1.0}, "no intercept_cost"),
        ({"losses": ((Multinomial(), 2), (CrammerSinger(), 2))}, "one loss of whole rows"),
    ],
)
def test_what_it_cannot_do_is_refused(more, message):
    X, y, _ = table()
    with pytest.raises(ValueError, match=message):
        Coupled().solve(replace(problem(X, y, Multinomial(), L2(1.0)), **more))


def test_squares_that_overflow():
    X, y, _ = table()
    with pytest.raises(DivergenceError, match="Scaling input data"):
        Auto().solve(problem(X * 1e200, y, Multinomial(), L2(1.0)))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0.0, 1.0, 1.5]), "1.5, which is no class number"),
        (np.array([[0.5, 0.5], [0.3, 0.3], [1.0, 0.0]]), "Rows of y must sum to 1: row 1 sums to 0.6"),
        (np.zeros((2, 2)), r"y must have shape \(3,\)"),
    ],
)
def test_minimize_checks_targets(y, message):
    with pytest.raises(ValueError, match=message):
        minimize(np.eye(3), y, "multinomial")


@pytest.mark.parametrize("penalty", [L1(alpha=1e-3), ElasticNet(alpha=1e-5, l1_ratio=0.15)])
def test_weak_l1_on_more_coefficients_than_rows(penalty):
    """The penalty's own hinges block no steps: classes that planes separate cost next to nothing."""
    X, y = load_digits(return_X_y=True)
    result = minimize(X[:430], y[:430], "crammer_singer", penalty, tol=1e-3, max_iter=1000, n_jobs=1)
    assert (result.converged, result.gap_kind) == (True, ("proof",))
    assert result.gap[0] <= 1e-3
    assert result.objective[0] < 0.02


@pytest.mark.parametrize("sizes", [(240, 40, 20), (299, 1, 0), (200, 50, 50)])
def test_intercepts_are_found_where_no_row_has_curvature(sizes):
    """A class that most rows have is ahead by more than a rounded maximum reaches: all that leads back is the slope."""
    y = np.repeat([0.0, 1.0, 2.0], sizes)
    X = csr_array(np.where(np.arange(600) == np.arange(300)[:, np.newaxis], 1.0, 0.0))
    result = Coupled().solve(problem(X, y, CrammerSinger(), L1(alpha=1.0)), tol=1e-3)
    assert result.converged
    assert not result.coef.any()
    # Of constants, one that has the class of most rows ahead by 1 is best: others' rows cost 2.
    assert_allclose(result.objective, 2 * (1 - sizes[0] / 300), rtol=1e-3)

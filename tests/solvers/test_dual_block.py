"""Dual descent side by side: what each column alone gives, proven, whatever stands beside it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from sklosses.data import as_rows
from sklosses.losses import Traits, as_loss, get_loss
from sklosses.penalties import get_penalty
from sklosses.solvers import DualDescent, Problem, solve_many
from sklosses.solvers._dual_block import can_stand_aside, solve_side_by_side

PARABOLIC = ["hinge", "squared_hinge", "modified_huber", "squared_error", "huber", "quantile", "epsilon_insensitive"]
OTHERS = ["log_loss", "pseudo_huber", "log_cosh"]
FOLDS, ALPHAS = 3, (1e-3, 1e-1, 1e-2)


def texts(dtype=np.float64, n=240, d=2500, seed=0):
    """Rows of a few words each, of which some are frequent; two classes that overlap."""
    rng = np.random.default_rng(seed)
    words = (d * rng.random((n, 12)) ** 4).astype(np.int32)
    X = csr_array((rng.random(12 * n) + 0.1, words.ravel(), np.arange(0, 12 * n + 1, 12, dtype=np.int32)), shape=(n, d))
    X.sum_duplicates()
    signal = X @ rng.normal(size=d) + 0.5 * rng.normal(size=n) + 0.3
    return X.astype(dtype), signal


def problems_of(name, penalty="l2", dtype=np.float64, **given):
    """Folds x strengths."""
    X, signal = texts(dtype)
    loss = get_loss(name)
    y = np.where(signal > 0, *loss.target.codes[::-1]) if loss.target.codes else signal
    base = Problem(as_rows(X), y, ((loss, 1),), get_penalty("l2", alpha=1.0), **given)
    folds = [np.flatnonzero(np.arange(len(y)) % FOLDS != fold) for fold in range(FOLDS)]
    return [replace(base, penalty=get_penalty(penalty, alpha=alpha, l1_ratio=0.3), subset=fold)
            for alpha in ALPHAS for fold in folds]


def solve(problems, tol=1e-4, max_iter=1000, n_threads=1):
    assert all(can_stand_aside(problem, tol) for problem in problems)
    return solve_side_by_side(problems, tol=tol, max_iter=max_iter, random_state=0, n_threads=n_threads)


@pytest.mark.parametrize("penalty", ["l2", "elasticnet"])
@pytest.mark.parametrize("name", PARABOLIC + OTHERS)
def test_each_is_as_alone(name, penalty):
    """Proven, and the proof holds: no objective is above the minimum by more than the gap says."""
    problems = problems_of(name, penalty)
    for problem, result in zip(problems, solve(problems), strict=True):
        assert result.gap[0] <= 1e-4
        assert result.gap_kind == ("proof",)
        least = DualDescent().solve(problem, tol=1e-8, max_iter=100_000)
        above = result.objective[0] / least.objective[0] - 1
        assert -2e-8 <= above <= result.gap[0] * (1 + 1e-6) + 2e-8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["hinge", "log_loss", "huber"])
def test_weights_offset_and_no_intercept(name, dtype):
    rng = np.random.default_rng(1)
    given = {"weights": rng.integers(0, 3, 240).astype(float), "offset": rng.normal(size=240)}
    for fit_intercept in (True, False):
        problems = problems_of(name, dtype=dtype, fit_intercept=fit_intercept, **given)
        for problem, result in zip(problems, solve(problems), strict=True):
            coef, intercept, rows = result.coef[0], result.intercept[0], problem.subset
            p = problem.rows.array[rows] @ coef if hasattr(problem.rows, "array") else texts(dtype)[0][rows] @ coef
            p, s = p + intercept + given["offset"][rows], given["weights"][rows]
            value = s @ get_loss(name).value(problem.targets[rows], p) / s.sum() + problem.penalty.value(coef)
            assert result.objective[0] == pytest.approx(value, rel=1e-7)
            alone = DualDescent().solve(problem, tol=1e-7, max_iter=100_000)
            assert result.objective[0] == pytest.approx(alone.objective[0], rel=1.1e-4)
            assert fit_intercept or intercept == 0


@pytest.mark.parametrize("name", PARABOLIC)
def test_leaps_with_weak_penalties_take_no_more_readings_than_alone(name):
    problems = [replace(problem, penalty=get_penalty("l2", alpha=1e-5)) for problem in problems_of(name)[:FOLDS]]
    for problem, result in zip(problems, solve(problems, tol=1e-3), strict=True):
        alone = DualDescent().solve(problem, tol=1e-3, max_iter=1000)
        assert result.n_iter <= 2 * alone.n_iter + 15


@pytest.mark.parametrize("name", ["hinge", "quantile", "epsilon_insensitive"])
def test_kinked_models_have_their_best_size(name):
    """However loose the tolerance, no factor of the coefficients is better by more than a search leaves."""
    X, _ = texts()
    for problem, result in zip(problems_of(name), solve(problems_of(name), tol=0.1), strict=True):
        coef, p = result.coef[0], X[problem.subset] @ result.coef[0]

        def objective(factor, problem=problem, result=result, coef=coef, p=p):
            value = problem.losses[0][0].value(problem.targets[problem.subset], factor * p + result.intercept[0])
            return value.mean() + problem.penalty.value(factor * coef)

        assert objective(1.0) == pytest.approx(result.objective[0], rel=1e-9)
        assert min(map(objective, np.linspace(0.8, 1.2, 81))) >= 0.998 * objective(1.0)


def test_threads_and_repetition_change_nothing():
    problems = problems_of("hinge") + problems_of("hinge", "elasticnet")
    problems = [replace(problem, rows=problems[0].rows, targets=problems[0].targets) for problem in problems]
    first = solve(problems)
    for n_threads in (1, 2):
        for one, other in zip(first, solve(problems, n_threads=n_threads), strict=True):
            np.testing.assert_array_equal(one.coef, other.coef)
            assert one.n_iter == other.n_iter


def test_solve_many_takes_it(monkeypatch):
    problems = problems_of("log_loss")

    def refuse(*_, **__):
        raise AssertionError("solved alone")

    monkeypatch.setattr(DualDescent, "solve", refuse)
    results = solve_many(problems)
    assert all(result.gap[0] <= 1e-3 and result.solver == "dual descent" for result in results)
    assert isinstance(solve_many(problems[:3])[0], AssertionError)      # too few to be worth it


def test_what_is_not_proven_is_solved_alone():
    """Columns of very different size take dual descent more readings than it is given."""
    X, signal = texts()
    X = csr_array(X.multiply(np.logspace(-3, 3, X.shape[1])))
    base = Problem(as_rows(X), np.sign(signal), ((get_loss("hinge"), 1),), get_penalty("l2", alpha=1e-6))
    problems = [replace(base, penalty=get_penalty("l2", alpha=alpha)) for alpha in (1e-6, 1e-5, 1e-4, 1e-3)]
    assert None in solve(problems, tol=1e-5, max_iter=5)
    for problem, result in zip(problems, solve_many(problems, tol=1e-5, max_iter=5), strict=True):
        alone = DualDescent().solve(problem, tol=1e-5, max_iter=5)
        if result.gap[0] > 1e-5:
            np.testing.assert_array_equal(result.coef, alone.coef)


def test_who_fails_fails_alone():
    problems = problems_of("hinge")
    weights = np.ones(240)
    weights[problems[1].subset] = 0
    weighted = [replace(problem, weights=weights) for problem in problems]
    results = solve_many(weighted)
    assert [isinstance(result, ValueError) for result in results] == [False, True, False] * len(ALPHAS)

    class Wrong:
        def value(self, y, p):
            return np.logaddexp(0, -y * p)

        def gradient(self, y, p):
            raise RuntimeError("of the loss")

        hessian = gradient

        def conjugate(self, y, u):
            return 0 * u

    loss = as_loss(Wrong(), traits=Traits("margin", lipschitz=1.0), name="wrong")
    for result in solve_many([replace(problem, losses=((loss, 1),)) for problem in problems]):
        assert isinstance(result, RuntimeError)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": as_rows(np.ones((240, 3)))},
        {"penalty": get_penalty("l1", alpha=1e-3)},
        {"losses": ((get_loss("poisson"), 1),)},
        {"losses": ((get_loss("perceptron"), 1),)},
        {"losses": ((get_loss("cauchy"), 1),)},
        {"losses": ((get_loss("hinge"), 2),)},
        {"intercept_cost": 0.5},
        {"weights": -np.ones(240)},
        {"subset": np.array([0, 0, 1])},
        {"subset": np.array([], dtype=np.intp)},
    ],
)
def test_what_it_does_not_take(change):
    problem = problems_of("hinge")[0]
    assert can_stand_aside(problem, 1e-3)
    assert not can_stand_aside(replace(problem, **change), 1e-3)


def test_tolerances_it_does_not_take():
    problem = problems_of("hinge")[0]
    assert not any(can_stand_aside(problem, tol) for tol in (None, 0.0, 1e-6))

"""Problems solved together: what each alone gives."""

from dataclasses import replace

import numpy as np
import pytest

from sklosses.data import as_rows
from sklosses.losses import get_loss
from sklosses.penalties import get_penalty
from sklosses.solvers import Auto, Problem, solve_many


@pytest.fixture(scope="module")
def problems():
    """Losses x penalties x strengths x three folds of one table."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4)) * [1, 1e3, 1e-2, 5] + [0, 50, 1, 0]
    y = np.where(X @ [1, 1e-3, 50, 0] - 50.0 + rng.normal(size=600) > 0, 1.0, -1.0)
    rows, folds = as_rows(X), np.arange(600) % 3
    subsets = [np.flatnonzero(folds != fold) for fold in range(3)]
    base = Problem(rows, y, ((get_loss("hinge"), 1),), get_penalty("l2", alpha=1.0))
    return [
        replace(base, losses=((get_loss(loss), 1),), penalty=get_penalty(penalty, alpha=alpha, l1_ratio=0.5),
                subset=subset)
        for loss in ("hinge", "squared_hinge", "modified_huber")
        for penalty in ("l2", "elasticnet")
        for alpha in (1e-4, 1e-1)
        for subset in subsets
    ]


def test_each_as_alone(problems):
    """Every certified objective is that of a fit of its own, to the tolerance."""
    for problem, result in zip(problems, solve_many(problems, tol=1e-8), strict=True):
        alone = Auto().solve(problem, tol=1e-8)
        np.testing.assert_allclose(result.objective, alone.objective, rtol=3e-8)
        assert result.gap[0] <= 1e-8


def test_threads_change_nothing(problems):
    one = solve_many(problems, n_jobs=1)
    for n_jobs in (2, -1):
        for first, second in zip(one, solve_many(problems, n_jobs=n_jobs), strict=True):
            np.testing.assert_array_equal(first.coef, second.coef)


def test_one_fails_alone(problems):
    """A table that overflows is an exception in its place; the others are solved."""
    huge = replace(problems[-1], rows=as_rows(np.full((600, 4), 1e300) * np.arange(600)[:, np.newaxis]))
    results = solve_many([problems[0], huge, problems[1]])
    assert isinstance(results[1], ValueError)
    assert results[0].gap[0] <= 1e-3 >= results[2].gap[0]


def test_progress_stops(problems):
    seen = []
    results = solve_many(problems, n_jobs=1, progress=lambda share: seen.append(share) or len(seen) == 2)
    assert seen == [1 / len(problems), 2 / len(problems)]
    assert results[-1] is None
    assert results[0] is not None


@pytest.mark.parametrize("share", [0.24, 0.03, 0.003])
def test_a_hinge_whose_frequent_class_is_at_its_kinks(share):
    """The best constant is: were the others' kinks beyond the first band, nothing would bend, and no step be taken."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 30))
    X[:, 20:] = X[:, 10:20] > 0.5       # like one-hot codes
    score = X[:, :5].sum(axis=1) + rng.normal(size=6000)
    y = np.where(score > np.quantile(score, 1 - share), 1.0, -1.0)
    rows, folds = as_rows(X), np.arange(6000) % 3
    subsets = [np.flatnonzero(folds != fold) for fold in range(3)]
    problems = [Problem(rows, y, ((get_loss("hinge"), 1),), get_penalty("l1", alpha=alpha), subset=subset)
                for alpha in (share / 1e4, share / 100) for subset in subsets]
    results = solve_many(problems, tol=1e-3)
    assert all(result.converged and result.gap[0] <= 1e-3 for result in results)


def test_strengths_follow_each_other():
    """What starts from another strength's solution is proven like the rest, whatever the order and the threads."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(41_000, 25))
    y = np.where(X[:, :3].sum(axis=1) + rng.normal(size=41_000) > 3, 1.0, -1.0)
    base = Problem(as_rows(X), y, ((get_loss("hinge"), 1),), get_penalty("l2", alpha=1.0))
    subsets = [np.flatnonzero(np.arange(41_000) % 3 != fold) for fold in range(2)]
    problems = [replace(base, penalty=get_penalty("l2", alpha=alpha), subset=subset)
                for alpha in (1e-5, 1e-2, 1e-4) for subset in subsets]
    results = solve_many(problems, tol=1e-8, n_jobs=1)
    assert {result.solver for result in results} == {"interior point"}
    assert all(result.gap[0] <= 1e-8 for result in results)
    for first, second in zip(results, solve_many(problems[::-1], tol=1e-8, n_jobs=2)[::-1], strict=True):
        np.testing.assert_array_equal(first.coef, second.coef)
    alone = Auto().solve(problems[0], tol=1e-8)
    np.testing.assert_allclose(results[0].objective, alone.objective, rtol=2e-8)
    assert sum(result.n_iter for result in results[:2]) <= 2 * alone.n_iter

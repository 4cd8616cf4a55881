"""What solvers without a matrix have in common: columns one by one, monitors, limits."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.sparse import csr_array

from sklosses.data import as_rows
from sklosses.losses import get_loss
from sklosses.penalties import L1, L2, Penalty
from sklosses.solvers import OneVsRest, Problem, TruncatedNewton, WorkingSet
from watching import Watch


@dataclass
class Case:
    """A solver, a penalty that it takes, and a weaker one that gives it some work."""

    solver: object
    penalty: Penalty
    weak: Penalty


CASES = {
    "truncated": Case(TruncatedNewton(), L2(1e-3), L2(1e-8)),
    "working set": Case(WorkingSet(), L1(2e-2), L1(1e-4)),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def wide(n=300, d=2100, seed=0):
    """Sparse rows with more columns than rows, labels that a few of them explain."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.02)
    return csr_array(X), (X[:, :20].sum(axis=1) + 0.3 * rng.standard_normal(n) > 0).astype(float)


def problem(X, y, penalty, K=1, **settings):
    return Problem(as_rows(X), y, ((get_loss("log_loss"), K),), penalty, **settings)


@each_case
def test_classes(case):
    """Columns of one-vs-rest are what each is alone, with its own account of readings."""
    rng = np.random.default_rng(0)
    X, classes = rng.standard_normal((90, 40)), rng.integers(0, 3, 90).astype(float)
    class_weight = np.array([[1.0, 1.0], [1.0, 2.0], [0.5, 1.0]])
    rest = OneVsRest(codes=(0.0, 1.0), class_weight=class_weight)
    together = case.solver.solve(problem(X, classes, case.penalty, 3, one_vs_rest=rest), tol=1e-10, max_iter=3000)
    assert together.n_iter == together.n_iter_per_column.max()
    for k in range(3):
        mine = (classes == k).astype(float)
        weights = class_weight[k][mine.astype(int)]
        alone = case.solver.solve(problem(X, mine, case.penalty, weights=weights), tol=1e-10, max_iter=3000)
        np.testing.assert_allclose(together.coef[k], alone.coef[0], rtol=1e-4, atol=1e-6)


@each_case
def test_a_monitor_sees_and_stops(case):
    watch = Watch(last=2)
    result = case.solver.solve(problem(*wide(), case.weak), tol=1e-9, monitor=watch)
    assert watch.numbers == [0, 1, 2]
    assert len(result.history["objective"]) == 3
    assert np.isfinite(result.objective[0])


@each_case
def test_limit_of_readings(case):
    result = case.solver.solve(problem(*wide(), case.weak), tol=1e-12, max_iter=8)
    assert not result.converged
    assert 8 <= result.n_iter <= 16
    assert 1e-12 < result.gap[0] < np.inf

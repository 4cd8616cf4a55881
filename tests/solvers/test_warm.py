"""Starts: near the minimum they save readings, far from it they cost next to nothing, and what is proven stays true."""

from dataclasses import replace

import numpy as np
import pytest

from random_tables import LAYOUTS, table
from sklosses.data import as_rows
from sklosses.losses import get_loss
from sklosses.penalties import L1, L2, ElasticNet
from sklosses.solvers import Auto, Problem, State

PENALTIES = {"l2": L2, "l1": L1, "elasticnet": lambda alpha: ElasticNet(alpha=alpha, l1_ratio=0.5)}
SMOOTH, KINKED = ["log_loss", "squared_hinge", "huber", "pseudo_huber"], ["hinge", "quantile"]


def problem_of(loss, layout="C", penalty="l2", alpha=1e-2):
    """Too large for samples to be of no use; features of different scales."""
    d = 24 if loss in SMOOTH else 12
    X, y, _, _ = table(loss, n=44_000, d=d, scales=np.geomspace(0.3, 3.0, d))
    return Problem(as_rows(LAYOUTS[layout](X)), y, ((get_loss(loss), 1),), PENALTIES[penalty](alpha=alpha))


def solved(problem, state=None, tol=1e-6):
    return Auto(n_jobs=1).solve(problem, tol=tol, max_iter=400, state=state)


def at(result):
    """The start that coef_init and intercept_init make."""
    return State(result.coef.copy(), result.intercept.copy())


@pytest.mark.parametrize("layout", ["C", "float32", "csr"])
@pytest.mark.parametrize("loss", SMOOTH + KINKED)
def test_along_a_path_a_warm_start_takes_fewer_readings(loss, layout):
    problem, start, cold, warm = problem_of(loss, layout), None, 0, 0
    for alpha in np.geomspace(1e-3, 1e-5, 9):
        problem = replace(problem, penalty=L2(alpha=alpha))
        alone = solved(problem, tol=1e-4)
        there = solved(problem, start, tol=1e-4)
        assert there.gap[0] <= 1e-4
        assert there.objective[0] <= alone.objective[0] * (1 + 1e-4)
        if start is not None:
            cold, warm = cold + alone.n_iter, warm + there.n_iter
        start = at(there)
    assert warm <= 0.85 * cold      # rounded up, each


@pytest.mark.parametrize("penalty", ["l1", "elasticnet"])
@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge", "hinge", "quantile"])
def test_a_path_with_l1_takes_fewer_readings_warm(loss, penalty):
    problem, start, cold, warm = problem_of(loss), None, 0, 0
    for alpha in np.geomspace(1e-2, 1e-3, 8):
        problem = replace(problem, penalty=PENALTIES[penalty](alpha=alpha))
        alone, there = solved(problem, tol=1e-4), solved(problem, start, tol=1e-4)
        assert there.gap[0] <= 1e-4
        assert there.objective[0] <= alone.objective[0] * (1 + 1e-4)
        if start is not None:
            cold, warm = cold + alone.n_iter, warm + there.n_iter
        start = at(there)
    assert warm < cold


@pytest.mark.parametrize("loss", SMOOTH + KINKED)
def test_at_the_solution_next_to_nothing_is_left_to_do(loss):
    problem = problem_of(loss)
    first = solved(problem)
    again = solved(problem, at(first), tol=1e-4)
    # Some of the rows, the first look and the certificate, which is a look or curvature.
    assert again.n_iter <= 4
    assert again.gap[0] <= 1e-4
    assert again.objective[0] <= first.objective[0] * (1 + 1e-6)


def hostile(solution, name):
    rng = np.random.default_rng(0)
    return {
        "huge": State(np.full_like(solution.coef, 1e30), np.full(1, -1e30)),
        "large": State(1e4 * rng.standard_normal(solution.coef.shape), np.full(1, 1e3)),
        "opposite": State(-solution.coef, -solution.intercept),
        "random": State(rng.standard_normal(solution.coef.shape), rng.standard_normal(1)),
        "intercept": State(np.zeros_like(solution.coef), np.full(1, 1e6)),
        "doubled": State(2 * solution.coef, 2 * solution.intercept),
    }[name]


@pytest.mark.parametrize("start", ["huge", "large", "opposite", "random", "intercept", "doubled"])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("loss", ["log_loss", "huber", "hinge", "quantile"])
def test_a_hostile_start_changes_neither_minimum_nor_proof(loss, penalty, start):
    problem = problem_of(loss, penalty=penalty)
    first = solved(problem, tol=1e-8)
    result = solved(problem, hostile(first, start), tol=1e-4)
    above = (result.objective[0] - first.objective[0]) / first.objective[0]
    assert above <= result.gap[0] * (1 + 1e-6) + 1e-8
    assert result.gap[0] <= 1e-4


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_a_bad_start_costs_little(loss):
    problem = problem_of(loss)
    first = solved(problem)
    start = hostile(first, "opposite")
    assert solved(problem, start).n_iter <= solved(problem).n_iter + 3


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_columns_start_each_where_it_is_told(loss):
    """One near its minimum, one far from it: outputs of one problem."""
    one = problem_of(loss)
    codes = get_loss(loss).target.codes
    other = np.where(one.rows.array[:, 1] > 0.3, *codes[::-1])
    both = replace(one, targets=np.column_stack([one.targets, other]), losses=((get_loss(loss), 2),))
    alone = solved(both)
    start = at(alone)
    start.coef[1] *= -30
    result = solved(both, start)
    np.testing.assert_allclose(result.objective, alone.objective, rtol=1e-5)
    assert np.all(result.gap <= 1e-6)


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_rows_without_weight_do_not_mislead_a_start(loss):
    problem = problem_of(loss)
    weights = np.zeros(problem.rows.n_rows)
    weights[-9_000:] = 1.0
    problem = replace(problem, weights=weights)
    first = solved(problem)
    again = solved(problem, at(first))
    np.testing.assert_allclose(again.objective, first.objective, rtol=2e-6)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
@pytest.mark.parametrize("loss", ["log_loss", "huber", *KINKED])
def test_coefficients_of_constant_features_end_at_0_wherever_they_start(loss, penalty, intercept):
    X, y, _, _ = table(loss, n=3000, d=6)
    X = np.column_stack([X, np.zeros(len(X)), np.full(len(X), 7.0 if intercept else 0.0)])
    problem = Problem(as_rows(X), y, ((get_loss(loss), 1),), PENALTIES[penalty](alpha=1e-3), fit_intercept=intercept)
    cold = solved(problem)
    for far in (1.0, 1e4):
        coef = cold.coef.copy()
        coef[0, -2:] = far
        there = solved(problem, State(coef, cold.intercept.copy()))
        assert there.gap[0] <= 1e-6
        assert there.objective[0] <= cold.objective[0] * (1 + 2e-6)
        np.testing.assert_allclose(there.coef[0, -2:], 0.0, atol=1e-6)

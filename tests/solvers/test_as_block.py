"""Single problems that are solved as a block: which they are, and that they come to the same minimum."""

from dataclasses import replace

import numpy as np
import pytest

from sklosses.data import as_rows
from sklosses.losses import get_loss
from sklosses.penalties import get_penalty
from sklosses.solvers import Auto, Newton, OneVsRest, Problem, _as_block, _block


def classes(n_classes, loss, n=6000, d=20):
    """Gaussian classes, one against the rest."""
    rng = np.random.default_rng(0)
    codes = rng.integers(n_classes, size=n)
    X = (rng.normal(size=(n, d)) + 1.5 * rng.normal(size=(n_classes, d))[codes]) * np.logspace(-2, 2, d)
    loss = get_loss(loss)
    recoding = OneVsRest(tuple(map(float, loss.target.codes)), np.ones((n_classes, 2)))
    return Problem(as_rows(X), codes.astype(float), ((loss, n_classes),), get_penalty("l2", alpha=1e-3),
                   one_vs_rest=recoding)


def wide(loss, n=6000, d=130):
    """More features than the block gives a matrix of its own."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, d)) * np.logspace(-1, 1, d)
    y = np.where(X @ np.logspace(1, -1, d) + 20 * rng.logistic(size=n) > 0, 1.0, -1.0)
    return Problem(as_rows(X), y, ((get_loss(loss), 1),), get_penalty("l2", alpha=1e-2))


@pytest.mark.parametrize("problem", [classes(6, "log_loss"), classes(5, "squared_hinge"), wide("hinge"),
                                     wide("epsilon_insensitive")], ids=["log", "squared hinge", "hinge", "epsilon"])
def test_minimum(problem):
    """A proof that holds: no objective is further from the exact solver's than it says."""
    result, exact = Auto().solve(problem, tol=1e-3), Newton().solve(problem, tol=1e-9)
    assert result.solver == "block"
    assert set(result.gap_kind) == {"proof"}
    assert np.all(result.gap <= 1e-3)
    assert np.all(result.objective <= exact.objective * (1 + result.gap + 1e-9))
    assert np.all(result.objective >= exact.objective * (1 - 1e-8))


@pytest.mark.parametrize("indicator", [False, True])
def test_classes_left(monkeypatch, indicator):
    """Classes that a block does not prove in the readings that it has are solved, and no others."""
    problem = classes(6, "hinge")
    weights = np.random.default_rng(3).uniform(1, 2, size=(6, 2))
    problem = replace(problem, one_vs_rest=replace(problem.one_vs_rest, class_weight=weights))
    if indicator:
        problem = replace(problem, targets=(problem.targets[:, np.newaxis] == np.arange(6)).astype(float))
    budgets = iter([100, 100, 100, 1, 100, 1])      # on all rows, where each class comes once
    monkeypatch.setattr(_block, "_budget", lambda column, _: next(budgets) if column.stage.exact else 30)
    result, exact = Auto().solve(problem, tol=1e-3), Newton().solve(problem, tol=1e-9)
    assert result.solver == "block, interior point"
    assert np.all(result.gap <= 1e-3)
    left = [3, 5]
    alone = Newton(thorough=False).solve(_as_block._classes(problem, np.array(left)), tol=1e-3)
    assert np.array_equal(np.all(result.coef == np.insert(alone.coef, [0, 0, 0, 1], np.nan, axis=0), axis=1),
                          np.isin(np.arange(6), left))
    assert result.objective == pytest.approx(exact.objective, rel=1e-3)
    assert np.array_equal(result.state.coef, result.coef)
    assert np.array_equal(result.history["gap"][-1], result.gap)


@pytest.mark.parametrize("given", [{"tol": 1e-9}, {"tol": 0.0}, {"max_iter": 5}], ids=str)
def test_elsewhere(given):
    """Precision, and a limit of readings, are Newton's matters."""
    assert Auto().solve(classes(4, "log_loss"), **{"tol": 1e-3} | given).solver == "newton"


def test_others():
    """Nor is a block made of few classes, of few rows, or without a penalty to prove anything by."""
    assert Auto().solve(classes(3, "log_loss")).solver == "newton"
    assert Auto().solve(wide("hinge", n=1500)).solver == "interior point"
    assert Auto().solve(replace(wide("hinge", n=1500), penalty=get_penalty(None))).solver == "interior point"


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads(n_threads):
    """Bit for bit."""
    problem = wide("hinge")
    assert np.array_equal(Auto(n_jobs=n_threads).solve(problem).coef, Auto(n_jobs=3).solve(problem).coef)

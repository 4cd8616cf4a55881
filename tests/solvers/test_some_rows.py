"""What some rows prove of all: bounds that are never below the truth, wherever a model is, and near it close to it."""

import numpy as np
import pytest

from sklosses.data import as_rows
from sklosses.losses import get_loss, loss_names
from sklosses.penalties import get_penalty
from sklosses.solvers import Newton, Problem
from sklosses.solvers._descent import Column
from sklosses.solvers._reading import Reading
from sklosses.solvers._some_rows import ONE_OF, AllRows, SomeRows

LOSSES = tuple(name for name in loss_names() if get_loss(name).traits.self_concordance < np.inf)
PENALTIES = (("l2", 1e-4), ("l1", 1e-3), ("elasticnet", 1e-3))


def _problem(name, penalty, *, n=4096, d=4, weighted=False, shift=0.0, rare=False, fit_intercept=True):
    rng = np.random.default_rng(0)
    loss = get_loss(name)
    X = rng.normal(size=(n, d)) * np.logspace(-1, 2, d) + shift
    if rare:                # a column that none of the rows at hand has, and one that few rows have
        X[:, 0] = (np.arange(n) >= 100) & (np.arange(n) < 200)
        X[:, 1] = np.arange(n) % 512 == 0
    signal = (X - X.mean(axis=0)) @ (rng.normal(size=d) / np.logspace(-1, 2, d)) / d
    if loss.target.codes is not None:
        y = np.where(signal + rng.logistic(size=n) > 0.5, loss.target.codes[1], loss.target.codes[0])
    else:
        y = rng.gamma(2.0, np.exp(signal) / 2) + 1e-3 if loss.target.low >= 0 else signal + rng.normal(size=n)
    weights = rng.uniform(0, 3, n) * (rng.random(n) > 0.2) if weighted else None
    offset = rng.normal(size=n) if weighted else None
    return Problem(as_rows(X), y.astype(float), ((loss, 1),), get_penalty(penalty[0], alpha=penalty[1], l1_ratio=0.5),
                   weights, offset, fit_intercept)


def _bounds(problem, steps, whole=False):
    """(bound, F - F*) at the minimiser and steps of some lengths away from it; the rows' own from the shortest step.

    Or that of all rows.
    """
    best = Newton().solve(problem, tol=0.0)
    rng = np.random.default_rng(1)
    away = rng.normal(size=problem.n_features) * (best.coef[0] != 0) / np.logspace(-1, 2, problem.n_features)
    few = None
    with Reading(problem) as reading, np.errstate(all="ignore"):
        column = Column(problem, reading, 0, (problem.penalty.l1[0], problem.penalty.l2[0]), None)
        column._find_centre(reading)
        for step in steps:      # the longest lead beyond float64
            coef = best.coef + step * away
            column.coef = coef[0]
            intercept = best.intercept + step * rng.normal() * problem.fit_intercept
            look, = reading.look([0], coef, intercept)
            if few is None:
                few = (AllRows(column.matrix_of(reading, look.hessian)) if whole else
                       SomeRows(problem, reading, column, look.p))
            gradient = column.gradient_of(look, coef[0])
            slopes = np.append(column._least_subgradient(gradient[:-1]), gradient[-1])
            yield few.bound(slopes, look.p), column.value_of(look, coef[0]) - best.objective[0]


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda pair: pair[0])
@pytest.mark.parametrize("name", LOSSES)
def test_never_below_the_truth(name, penalty):
    """And next to the minimum not much further above it than there are more rows."""
    bounds = list(_bounds(_problem(name, penalty), (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)))
    for bound, truth in bounds:
        assert bound >= truth - 1e-13
    assert bounds[0][0] <= 8 * ONE_OF * bounds[0][1]


@pytest.mark.parametrize("change", [{"weighted": True}, {"shift": 1e4}, {"rare": True}, {"fit_intercept": False}],
                         ids=lambda change: next(iter(change)))
@pytest.mark.parametrize("name", ["log_loss", "poisson", "squared_error"])
def test_of_any_table(name, change):
    """Weights of 0 and offsets; columns far from 0; columns of few rows; no intercept."""
    for bound, truth in _bounds(_problem(name, ("l2", 1e-3), **change), (1e-4, 1e-2, 1e-1, 1.0)):
        assert truth - 1e-13 <= bound < np.inf or truth > 1e-5


def test_nothing_is_known_of_what_no_row_holds():
    """Without l2 a coefficient whose column is 0 in all of the rows at hand may be anywhere."""
    for bound, truth in _bounds(_problem("log_loss", ("l1", 1e-5), rare=True), (1e-3,)):
        assert bound == np.inf
        assert truth > 0


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda pair: pair[0])
@pytest.mark.parametrize("name", ["log_loss", "poisson", "gamma"])
def test_fits_end_where_it_proves_the_goal(name, penalty):
    """The gap is a proof, no less than the truth, and no more than asked for."""
    problem = _problem(name, penalty, n=40_000, d=12)
    best = Newton().solve(problem, tol=0.0).objective[0]
    for tol in (1e-3, 1e-6, 1e-9):
        result = Newton(thorough=False).solve(problem, tol=tol)
        assert result.gap_kind == ("proof",)
        assert result.gap[0] <= tol
        assert result.objective[0] - best <= tol * abs(best)


@pytest.mark.parametrize("change", [{}, {"weighted": True}, {"shift": 1e4}, {"rare": True}, {"fit_intercept": False}],
                         ids=str)
@pytest.mark.parametrize("penalty", [*PENALTIES, (None, 0.0)], ids=lambda pair: str(pair[0]))
def test_all_rows_of_a_quadratic_loss_tell_the_distance(penalty, change):
    """Nearly exactly without corners, and anywhere: its second derivatives are the same everywhere."""
    for bound, truth in _bounds(_problem("squared_error", penalty, **change), (1e-2, 1e-1, 1.0, 1e3), whole=True):
        assert truth <= bound
        if penalty[0] in (None, "l2"):
            assert bound <= 1.03 * truth


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("penalty", [*PENALTIES, (None, 0.0)], ids=lambda pair: str(pair[0]))
@pytest.mark.parametrize("n", [3000, 120_000])
def test_squared_errors_take_one_matrix_and_two_looks(n, penalty, fit_intercept, monkeypatch):
    """On small and large tables, of raw features, to rounding."""
    problem = _problem("squared_error", penalty, n=n, d=7, shift=300.0, fit_intercept=fit_intercept)
    made, gram = [], Reading.gram
    monkeypatch.setattr(Reading, "gram", lambda self, *given: made.append(self.n_rows) or gram(self, *given))
    result = Newton().solve(problem, tol=1e-6)
    assert made.count(n) == 1
    assert result.n_iter <= 4
    assert result.gap_kind == ("proof",)
    assert result.gap[0] <= 1e-10
    if penalty[0] in (None, "l2"):      # the least squares of rows, with those of the penalty below
        X, y = problem.rows.array, problem.targets
        mean, away = (X.mean(axis=0), y - y.mean()) if fit_intercept else (0.0, y)
        ridge = np.sqrt(problem.penalty.l2[0] * n) * np.eye(7)
        coef = np.linalg.lstsq(np.vstack([X - mean, ridge]), np.append(away, np.zeros(7)), rcond=None)[0]
        np.testing.assert_allclose(result.coef[0], coef, rtol=1e-7)

"""Of all minimisers the one of least norm, where a column of coefficients has no l2 penalty and many minimise.

Two things leave a choice. Features that depend on each other (copies, one-hot codes with all their columns, more
features than rows) let coefficients move without any prediction: those go to the shortest with the same predictions.
And losses with straight parts may have minimisers of different predictions: there a ridge too weak to cost anything
chooses. Where the ridge's minimiser w has the objective of all others, none of them is shorter: it would have been the
ridge's (Mangasarian and Meyer, "Nonlinear perturbation of linear programs", SIAM J. Control 17, 1979, show that for
losses that are linear in pieces all ridges below some weight are such).
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import nnls

from sklosses.solvers._centred import CONSTANT
from sklosses.solvers._curvature import flat_directions
from sklosses.solvers._gap import F_ROUNDING
from sklosses.solvers._reading import Reading

# Rows of the sample that shows first whether features may depend on each other.
ROWS_A_COEFFICIENT, FEWEST = 4, 500
# A ridge costs at first this share of the objective of the best constant; each next one that share of the one before.
FIRST, NEXT, TRIES = 1e-3, 1e-2, 5
# Readings for each of them.
READINGS = 100
# What a move may cost, as a share of the best constant's objective: rounding.
COSTLESS = 1e-12
# Shares of the coefficients by which to go further out, where next to nothing is left.
FURTHER = (1e-12, 1e-9, 1e-6, 1e-3)


def least_norm(problem, reading, column, thorough):
    """Move a column that is at its minimum to the shortest minimiser: a generator that asks for looks.

    Parameters
    ----------
    problem : Problem
    reading : Reading
        Of all rows.
    column : Column or KinkedColumn
    thorough : bool
        Whether the minimum is one to rounding, so that it is known which predictions are at kinks.
    """
    if column.l2 > 0 or not np.isfinite(column.gap):
        return
    smooth = reading.traits[column.k].smooth
    if smooth or column.l1 == 0:
        coef = shortest(problem, reading, column)
        if coef is not None:
            yield from _move(reading, column, coef, column.intercept + column.centre @ (column.coef - coef))
    if thorough and column.may_choose(reading):
        yield from _by_ridges(problem, reading, column)


def _move(reading, column, coef, intercept):
    """Go to other coefficients if their objective is the same, to rounding."""
    look = yield coef, intercept
    known = column.coef, column.intercept, column.objective, column.gap, column.gap_kind
    column.coef, column.intercept = coef, intercept
    column.settle(reading, look)
    nothing = known[2] - column.lowest <= COSTLESS * column.null
    if nothing:     # a bit back to where the move began there may be nothing at all
        yield from _further(reading, column, known[0] - coef, known[1] - intercept)
        yield from _stretch(reading, column)
    rise = column.objective - known[2]
    scale = max(abs(known[2] - column.lowest), 1e-12 * column.null, 1e-300)
    gap = known[3] + max(rise, 0.0) * (1 + known[3]) / scale
    if not rise <= (F_ROUNDING if nothing else COSTLESS) * column.null:
        column.coef, column.intercept, column.objective, column.gap, column.gap_kind = known
    elif column.gap > 0:
        column.gap, column.gap_kind = gap, known[4]


def _stretch(reading, column):
    """Where next to nothing is left of the loss, a bit further out there may be nothing: the margins of a hinge."""
    if reading.offset is None and (column.fit_intercept or column.intercept == 0) and not column.endless:
        yield from _further(reading, column, column.coef, column.intercept)


def _further(reading, column, coef, intercept):
    """Where next to nothing is left of the loss, go a bit further in a direction, if nothing is left there."""
    left, start = column.objective - column.lowest, (column.coef, column.intercept)
    if not 0 < left <= COSTLESS * column.null or column.l1 > 0 or column.lowest != 0:
        return
    for share in FURTHER:
        there = start[0] + share * coef, start[1] + share * intercept
        look = yield there
        if look.value == 0:
            column.coef, column.intercept = there
            column.settle(reading, look)
            column.gap, column.gap_kind, column.reached = 0.0, "proof", True
            return


def _by_ridges(problem, reading, column):
    """Minimise with ridges, the next one weaker, until one costs nothing."""
    size = column.coef @ column.coef
    ridge = FIRST * column.null / size if size > 0 else 0.0
    for _ in range(TRIES if ridge > 0 else 0):
        trial = column.with_ridge(problem, reading, ridge)
        yield from trial.on_all_rows(reading, COSTLESS, COSTLESS, reading.readings + READINGS)
        cost = trial.objective - 0.5 * ridge * trial.coef @ trial.coef - column.objective
        if cost <= COSTLESS * column.null:
            if trial.coef @ trial.coef < size:
                yield from _move(reading, column, trial.coef, trial.intercept)
            return
        ridge *= NEXT


def shortest(problem, reading, column):
    """The shortest coefficients with the same predictions, up to the intercept, and the same l1 norm.

    With an l1 penalty only those coefficients may move at which the loss's slope is as large as the penalty's, and none
    may change its sign.

    Parameters
    ----------
    problem : Problem
    reading : Reading
    column : Column or KinkedColumn
        With `coef`, `centre` and `l1`, and the loss's `slopes` where that is not 0.

    Returns
    -------
    ndarray of shape (n_features,) or None
        None where there is no choice.
    """
    free = column.free() if column.l1 > 0 else np.ones(len(column.coef), dtype=bool)
    if not np.any(free):
        return None
    sample = _sample(problem, reading)
    if sample is not None:
        with Reading(replace(problem, subset=sample)) as few:
            if flat_directions(_gram(few, column), free) is None:
                return None
    flat = flat_directions(_gram(reading, column), free)
    if flat is None:
        return None
    away = flat @ (flat.T @ column.coef)
    if column.l1 == 0:
        return column.coef - away
    coef = _with_signs(column.coef - away, flat, -np.sign(column.slopes))
    return np.where(free, coef, column.coef)


def _sample(problem, reading):
    """Numbers of some rows, at regular distances; None where they would not be many fewer."""
    count = max(FEWEST, ROWS_A_COEFFICIENT * reading.n_features)
    if 4 * count > reading.n_rows:
        return None
    places = np.linspace(0, reading.n_rows - 1, count).astype(np.intp)
    return places if problem.subset is None else problem.subset[places]


def _gram(reading, column):
    gram = reading.gram(reading.mass(column.k), column.centre)
    constant = np.diag(gram)[:-1] <= (CONSTANT * column.centre) ** 2 * gram[-1, -1]
    gram[:-1][constant] = 0.0
    gram[:, :-1][:, constant] = 0.0
    return gram[:-1, :-1]


def _with_signs(least, flat, signs):
    """The shortest of least + flat z whose coefficients have the signs given, or are 0.

    A least distance problem, min ||z|| subject to signs * (least + flat z) >= 0 (Lawson and Hanson, "Solving least
    squares problems", 1974, chapter 23).
    """
    touched = np.any(flat != 0, axis=1)
    bounds, levels = (flat * signs[:, np.newaxis])[touched], (-signs * least)[touched]
    target = np.append(np.zeros(bounds.shape[1]), 1.0)
    weights, _ = nnls(np.vstack((bounds.T, levels)), target)
    rest = np.vstack((bounds.T, levels)) @ weights - target
    z = -rest[:-1] / rest[-1]
    moved = least + flat @ z
    return np.where(touched & (moved * signs < 0), 0.0, moved)      # by rounding

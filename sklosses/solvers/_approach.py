"""Newton's steps on a loss with kinks, by the curvature that the density of its kinks makes.

Where rows of weights s_i have jumps j_i within h of their predictions, the mean loss bends like a smooth one, by about
sum_i s_i j_i x_i x_i' / (2 h). Some of the rows know that well enough for steps which leave a fraction of the way, a
reading each; and the gradient says how far it is still. What is solved exactly is then a narrow band.
"""

from dataclasses import dataclass

import numpy as np

from sklosses.solvers._curvature import Curvature
from sklosses.solvers._sides import REACH

# Kinks by which the curvature is known, each coefficient's: up to a share of all, and at least.
KINKS, SHARE, FEWEST = 40, 0.25, 10
# A reading costs some 4 d operations a row; a row of the band, in the interior point method's iterations, about d + 10
# times as many. So many readings are worth a step.
PRICE = 1.0
# Steps at most; and the share of the fall before that calls for no other: the curvature misleads.
STEPS, STALLED = 3, 0.5
# A step that brings less than this share of what it promises is misled too.
KEPT = 0.1


@dataclass(frozen=True, eq=False)
class Bend:
    """The curvature of a mean loss, from kinks near predictions.

    Attributes
    ----------
    matrix : ndarray of shape (n_features + 1, n_features + 1)
        In centred coefficients and then c, without penalties.
    density : float
        Jumps of the slope in a unit of the predictions.
    """

    matrix: np.ndarray
    density: float

    def between(self, other, share):
        """The curvature on the way to another."""
        return Bend(self.matrix + share * (other.matrix - self.matrix),
                    self.density + share * (other.density - self.density))


def bend_of(column, stage):
    """The :class:`Bend` at the best place of a stage; None where kinks are too few, or all in one place."""
    size = len(column.coef) + 1
    count = min(KINKS * size, int(SHARE * stage.sides.count))
    density = stage.sides.density(stage.best.p, count) if count >= FEWEST * size else None
    if density is None:
        return None
    matrix = stage.reading.gram(density, column.centre)
    if not column.fit_intercept:
        matrix[-1] = matrix[:, -1] = 0.0
    return Bend(matrix, float(density.sum()))


def promise(column, stage):
    """By how much a step from the best place of a stage promises to lower the objective, to first order."""
    return _step(column, stage.best, *_model(column, stage))[1]


def _model(column, stage):
    """Curvature and gradient at the best place of a stage."""
    matrix = column.bend.matrix.copy()
    np.einsum("ii->i", matrix)[:-1] += column.l2
    return Curvature(matrix), column.gradient(stage, stage.best)


def _step(column, here, curvature, gradient):
    """The step from a place, and what it promises."""
    step = curvature.step(gradient, here.coef, column.l1)
    return step, -(gradient @ step) - column.l1 * (np.abs(here.coef + step[:-1]) - np.abs(here.coef)).sum()


def approach(column, stage, budget):
    """Take steps while they are worth a reading: a generator, as those of the column. The stage's best place moves.

    Parameters
    ----------
    column : KinkedColumn
    stage : Stage
    budget : float
        Readings after which to take no more.

    Returns
    -------
    float or None
        How far predictions are still from the solution's, root mean square; None if there is no telling: where the
        curvature misleads from the start, and is that of a sample.
    """
    bend, here, before, move = column.bend, stage.best, 1e300, None
    curvature, gradient = _model(column, stage)
    for number in range(STEPS + 1):
        step, promised = _step(column, here, curvature, gradient)
        if not promised > 0:
            break
        move = np.sqrt(promised / bend.density)
        if promised > STALLED * before:
            break
        before = promised
        band = min(2 * REACH * move * bend.density / stage.sides.steepness, 1.0)      # a share of all kinks
        if number == STEPS or band * (len(here.coef) + 10) < PRICE or stage.reading.readings >= budget:
            return move
        there = yield from column.go_to(*column.model(column.centred(here) + step), stage)
        if not there.objective < here.objective + promised:
            break
        if not there.objective < here.objective:
            there = yield from column.part_way(stage, here, there)
        if not here.objective - there.objective > KEPT * promised:
            break
        change = column.gradient(stage, there) - gradient
        curvature.update(column.centred(there) - column.centred(here), change)
        gradient, here = gradient + change, there
        stage.best = here
    return move if column.is_near or number > 1 else None

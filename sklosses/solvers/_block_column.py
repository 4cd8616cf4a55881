"""A column of a block at a place: what is found there, how far from the minimum it is, and its band of smoothed kinks.

How it gets from place to place is another matter: see :mod:`_lockstep` of columns that share readings, and
:mod:`_lone_column` of those that have their rows to themselves.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sklosses.solvers._block_reading import FIRST, SLACK, SMOOTH, SQUARE, STEEPNESS, VALUE, WEIGHT

# A sample's curvature: columns that few of its rows have are given this part of the curvature they would have if they
# were like the others, and all columns a little of it.
RARE, LENT = 0.1, 1e-5
# Bands of smoothed kinks narrow by these factors, towards this share of the tolerance, once the rest of the gap is this
# small beside it. Their slack falls with the width's square.
NARROWER, WIDEST, SHARE_OF_TOL, SHARE_OF_SLACK = 0.3, 0.6, 0.25, 0.3
# Newton's steps with exact second derivatives leave next to nothing else in the end.
SHARE_OF_TOL_EXACT = 0.5
# At the beginning of a stage the band is widened until its slack is this share of the decrement.
WIDE_SHARE = 0.3
# It becomes so many times as wide at once, at most.
WIDER = 10.0
# Second derivatives cost about as much as a reading up to so many features.
CHEAP_FEATURES = 128


@dataclass(frozen=True, eq=False)
class Stage:
    """What columns need to know of the rows that are read.

    Attributes
    ----------
    tol : float
        The relative gap to reach.
    squares : ndarray of shape (d + 1,)
        Weighted sums of squares of the centred features; of ones, last.
    intercept : bool
        Whether there is one.
    exact : bool
        Whether these are all rows.
    last : bool, default=False
        Whether columns are proven here, and not by the folds that start from them.
    """

    tol: float
    squares: np.ndarray
    intercept: bool
    exact: bool
    last: bool = False

    @cached_property
    def lift(self):
        """What a sample's second derivatives are at least, times the mean curvature, and what is added to them."""
        likely = self.squares / self.squares[-1]
        return np.zeros((2, len(likely))) if self.exact else np.array([RARE * likely, LENT * likely])


class Column:
    """A column of a block, in centred coordinates: predictions are (x - m).w + c, and z = (w, c).

    Parameters
    ----------
    cell : Cell
    stage : Stage
    z : ndarray of shape (d + 1,)
        Where to start.
    width : float or None
        Of the smoothing; None for smooth losses.
    lowest : float, default=0.0
        Below which the mean loss cannot fall.
    null : float, default=0.0
        The mean loss of the best constant.

    Attributes
    ----------
    objective : float
        Of the loss itself.
    gap : float
        A proven bound on (F - F*) / F*.
    """

    def __init__(self, cell, stage, z, width, lowest=0.0, null=0.0):
        self.cell, self.stage, self.z, self.width, self.lowest, self.null = cell, stage, z, width, lowest, null
        self.flat = False           # no row is in the band: nothing bends
        self.bent = False           # whether samples did not tell how it bends, and all rows were asked
        self.objective = self.gap = self.slack = np.inf
        self.found = None           # at z, by pattern if the last reading was
        self.looked = 0
        self.arrived = False        # where the last descent was to end
        self.decrement = np.inf     # what its last step promised

    def enter(self, stage, cell):
        """Go on with other rows."""
        self.stage, self.cell = stage, cell
        self.objective = self.gap = np.inf
        self.found, self.bent = None, False

    # What is found --------------------------------------------------------------------------------------------------

    def take(self, z, found):
        """Make z the column's place."""
        self.z, self.found = z, found
        sums, penalty = total_of(found), self.penalty_at(z)
        self.total = sums[WEIGHT]
        self.smooth = sums[SMOOTH] / self.total + penalty
        self.objective = sums[VALUE] / self.total + penalty
        self.slack = max(sums[SLACK], 0.0) / self.total
        self.gradient = sums[FIRST:] / self.total       # of all but the l1 penalty
        self.gradient[:-1] += self.cell.l2 * z[:-1]
        if not self.stage.intercept:
            self.gradient[-1] = 0.0
        bound = self._bound(z, sums) if self.stage.exact else np.inf
        away = self.objective - self.lowest
        self.gap = bound / max(away - bound, 1e-12 * abs(away), 1e-300) if np.isfinite(bound) else np.inf

    def penalty_at(self, z):
        penalty = 0.5 * self.cell.l2 * (z[:-1] @ z[:-1])
        return penalty + self.cell.l1 * np.abs(z[:-1]).sum() if self.cell.l1 else penalty

    def _bound(self, z, sums):
        """F - F* is not more: the duality gap of the loss's slopes u, made feasible.

        Slopes of one sign, scaled by 1 - e, sum to 0, as an intercept demands; conjugates are convex, so that costs at
        most e times the loss, and changes X'u by at most e times what Cauchy and Schwarz allow. With l2 the gap is
        half the least subgradient's square over l2, plus Fenchel's slack; with l1 alone, slopes are scaled once more,
        until no correlation exceeds l1.
        """
        cell, S = self.cell, self.total
        loss = sums[VALUE] / S - self.lowest
        slope = sums[-1] / S if self.stage.intercept else 0.0
        side = 0.5 * (sums[STEEPNESS] / S + abs(slope))
        share = abs(slope) / side if side > 0 else 0.0
        spread = cell.largest_weight * self.stage.squares[:-1] / S
        changed = share * np.sqrt(spread * max(sums[SQUARE] / S, 0.0))
        w, products = z[:-1], sums[FIRST:-1] / S
        slack = self.slack + share * (loss + self.slack)
        if cell.l2 > 0:
            away = np.abs(products + cell.l2 * w + cell.l1 * np.sign(w))
            g = np.where(w == 0, np.maximum(np.abs(products) - cell.l1, 0.0), away) + changed
            return slack + g @ g / (2 * cell.l2)
        keep = min(1.0, cell.l1 / max((np.abs(products) + changed).max(initial=0.0), 1e-300))
        inner = products @ w + changed @ np.abs(w)
        return keep * slack + (1 - keep) * loss + cell.l1 * np.abs(w).sum() + keep * inner

    # How it bends ---------------------------------------------------------------------------------------------------

    @property
    def cheap(self):
        """Whether second derivatives cost about as much as a reading."""
        return (self.width is not None or self.stage.exact) and len(self.z) <= CHEAP_FEATURES

    def curvature(self, matrix, damping=0.0):
        """The objective's second derivatives, of those of the loss times the sum of weights: in their place.

        A sample may hardly have seen a column: none is given less curvature than a part of what its spread and the mean
        curvature make likely. Damping adds so much of that.
        """
        matrix /= self.total
        self.flat, self.bent = not matrix[-1, -1] > 0, self.stage.exact
        likely = matrix[-1, -1] * self.stage.squares / self.stage.squares[-1]
        least, added = matrix[-1, -1] * self.stage.lift
        if not self.stage.intercept:
            matrix[-1], matrix[:, -1], likely[-1], least[-1], added[-1] = 0.0, 0.0, 0.0, 0.0, 0.0
        diagonal = np.einsum("ii->i", matrix)
        diagonal[:] = np.maximum(diagonal, least) + added
        diagonal[:-1] += self.cell.l2
        diagonal += damping * likely
        if not np.all(np.isfinite(diagonal)):
            raise OverflowError("The squares of X do not fit into float64.")
        return matrix

    def slope_along(self, step):
        """The objective's slope along a step, were the penalty's l1 part what it is at its end."""
        slope = self.gradient @ step
        if self.cell.l1:
            slope += self.cell.l1 * (np.abs(self.z[:-1] + step[:-1]).sum() - np.abs(self.z[:-1]).sum())
        return slope

    # Bands of smoothed kinks ----------------------------------------------------------------------------------------

    def slack_goal(self):
        """What smoothing may leave in the end."""
        share = SHARE_OF_TOL_EXACT if self.stage.last and self.cheap else SHARE_OF_TOL
        return share * self.stage.tol * max(self.objective - self.lowest, 1e-300)

    def widen(self, decrement):
        """Smooth over a wider band, if that is far narrower than the way that is left."""
        if self.width is None or not (self.flat or self.slack < WIDE_SHARE * decrement):
            return False
        self.width *= WIDER if self.flat else min(np.sqrt(WIDE_SHARE * decrement / max(self.slack, 1e-300)), WIDER)
        return True

    def narrow(self, decrement):
        """Smooth over a narrower band, if the smoothing is what the gap consists of."""
        if self.width is None:
            return False
        goal = self.slack_goal()
        if self.slack <= 2 * goal or decrement > SHARE_OF_SLACK * self.slack:
            return False
        self.width *= min(max(np.sqrt(goal / self.slack), NARROWER), WIDEST)
        return True


def total_of(found):
    """Sums over all patterns."""
    return found if found.ndim == 1 else found.sum(axis=0)

"""One column of a block on its way down: quasi-Newton steps, smoothing, and the proof of how far it is.

The methods are generators: they yield an :class:`Ask` and are sent what a reading found, so that one reading serves
all columns of a block. No margins are kept: nothing here has the length of the table.
"""

from dataclasses import dataclass

import numpy as np

from sklosses.solvers._block_reading import FIRST, SLACK, SMOOTH, SQUARE, STEEPNESS, VALUE, WEIGHT, Ask
from sklosses.solvers._curvature import Curvature
from sklosses.solvers._metric import Metric

# A step is taken if it brings this part of what its slope promises; tried again with a part of its length.
ARMIJO, TRIES = 1e-4, 12
# At first with no more than this times the share of the step before.
MORE = 4.0
# A sample's metric: columns that few of its rows have are given this part of the curvature they would have if they
# were like the others, and all columns a little of it.
RARE, LENT = 0.1, 1e-5
# Steps shorter than this share of the model's damp it: at first by this much of the mean curvature.
SHORT, LEAST_DAMPING = 0.25, 1e-3
# Bands of smoothed kinks narrow by these factors, towards this share of the tolerance, once the rest of the gap is this
# small beside it. Their slack falls with the width's square.
NARROWER, WIDEST, SHARE_OF_TOL, SHARE_OF_SLACK = 0.3, 0.6, 0.25, 0.3
# Newton's steps with exact second derivatives leave next to nothing else in the end.
SHARE_OF_TOL_EXACT = 0.5
# At the beginning of a stage the band is widened until its slack is this share of the decrement.
WIDE_SHARE = 0.3
# It becomes so many times as wide at once, at most.
WIDER = 10.0
# Samples have led to about the minimum of all rows where the decrement is so many times the tolerance.
NEAR = 3.0
# Second derivatives are asked for anew where so many steps in a row leave more than this of the decrement; at once, and
# so many times as often, where they cost about as much as a reading: up to so many features. Smoothed kinks and squared
# hinges end in a few steps with the exact ones, and crawl with those of other rows.
SLOW, SLOW_STEPS, SLOW_STEPS_CHEAP = 0.1, 2, 1
MANY_RENEWALS, CHEAP_FEATURES = 5, 128


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
    own : bool, default=False
        Whether a column has the rows to itself.
    last : bool, default=False
        Whether columns are proven here, and not by the folds that start from them.
    """

    tol: float
    squares: np.ndarray
    intercept: bool
    exact: bool
    own: bool = False
    last: bool = False


class BlockColumn:
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
        self.metric, self.damping = None, 0.0
        self.flat = False           # no row is in the band: nothing bends
        self.bent = False           # whether samples did not tell how it bends, and all rows were asked
        self.patient = False        # whether steps may learn the rest: its own rows told how it bends
        self.objective = self.gap = self.slack = np.inf
        self.found = None           # at z, by pattern if the last reading was
        self.looked = 0
        self.must_step = False      # see `fold`
        self.arrived = False        # where the last descent was to end
        self.share = 1.0            # of the last step that was taken
        self.decrement = np.inf     # what its last step promised

    @property
    def cheap(self):
        """Whether second derivatives cost about as much as a reading."""
        return (self.width is not None or self.stage.exact) and len(self.z) <= CHEAP_FEATURES

    @property
    def alone(self):
        """Whether it has rows to itself, and finds its way on them."""
        return self.stage.own and self.width is not None

    def enter(self, stage, cell):
        """Go on with other rows."""
        self.stage, self.cell = stage, cell
        self.objective = self.gap = np.inf
        self.found, self.bent = None, False

    # What is found --------------------------------------------------------------------------------------------------

    def take(self, z, found):
        """Make z the column's place."""
        self.z, self.found = z, found
        sums, penalty = _total(found), self._penalty(z)
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

    def _penalty(self, z):
        return 0.5 * self.cell.l2 * z[:-1] @ z[:-1] + self.cell.l1 * np.abs(z[:-1]).sum()

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

    # Steps ----------------------------------------------------------------------------------------------------------

    def _step(self):
        """The model's step and what its slope promises."""
        if self.cell.l1 == 0:
            step = -self.metric.solve(self.gradient)
            return step, -self.gradient @ step
        curvature = Curvature(self.metric.dense())
        step = curvature.step(self.gradient, self.z[:-1], self.cell.l1)
        after = np.abs(self.z[:-1] + step[:-1]).sum() - np.abs(self.z[:-1]).sum()
        return step, -(self.gradient @ step + self.cell.l1 * after)

    def promise(self):
        """By how much the objective falls, by half the slope of the model's step."""
        return 0.5 * max(self._step()[1], 0.0)

    def ask(self, z=None, *, look=True, gram=False):
        """For what is at a place, its own if none is given."""
        return Ask(self.cell, self.z if z is None else z, self.width, look, gram)

    def renew(self):
        """Ask for second derivatives here.

        A sample may hardly have seen a column: none is given less curvature than a part of what its spread and the mean
        curvature make likely.
        """
        self.model((yield self.ask(look=False, gram=True))[1])

    def model(self, matrix):
        """Second derivatives here, times the sum of weights, are known: the matrix becomes the metric's."""
        matrix /= self.total
        self.flat, self.bent = not matrix[-1, -1] > 0, self.stage.exact
        likely = matrix[-1, -1] * self.stage.squares / self.stage.squares[-1]
        if not self.stage.intercept:
            matrix[-1], matrix[:, -1], likely[-1] = 0.0, 0.0, 0.0
        at = np.arange(len(likely))
        diagonal = matrix[at, at]
        if not self.stage.exact:
            diagonal = np.maximum(diagonal, RARE * likely) + LENT * likely
        diagonal[:-1] += self.cell.l2
        matrix[at, at] = diagonal + self.damping * likely
        if not np.all(np.isfinite(matrix[at, at])):
            raise OverflowError("The squares of X do not fit into float64.")
        self.metric = Metric(matrix)

    def _follow_down(self, step):
        """Go as far down along a step as it leads, of rows that are the column's own: as :meth:`_advance`."""
        found, matrix, place, share = yield Ask(self.cell, self.z, self.width, gram=True, step=step)
        self.looked += 1
        if share > 0:
            self.take(place, found)
            self.model(matrix)
        return share

    def _advance(self, step, promise):
        """Go down along a step: the share of it that was taken, 0 if there is no way down."""
        if self.alone:
            return (yield from self._follow_down(step))
        share = min(1.0, MORE * self.share)
        for _ in range(TRIES):
            z = self.z + share * step
            found, _ = yield self.ask(z)
            self.looked += 1
            sums = _total(found)
            smooth = sums[SMOOTH] / sums[WEIGHT] + self._penalty(z)
            if smooth <= self.smooth - ARMIJO * share * promise + 1e-15 * abs(self.smooth):
                gradient = self.gradient
                self.take(z, found)
                self.metric.learn(share * step, self.gradient - gradient)
                self.share = share
                return share
            share *= self._shorter(sums, step, promise, smooth, share)
        return 0.0

    def _shorter(self, sums, step, promise, smooth, share):
        """By what to multiply a share of a step that was too long: to where the slope along it is 0, were it linear."""
        if self.cell.l1 == 0:
            gradient = sums[FIRST:] / sums[WEIGHT]
            gradient[:-1] += self.cell.l2 * (self.z[:-1] + share * step[:-1])
            best, least = promise / (promise + gradient @ step), 0.02
        else:
            best, least = 0.5 * share * promise / (smooth - self.smooth + share * promise), 0.1
        return min(max(best, least), 0.5) if np.isfinite(best) and best > 0 else least

    def look(self):
        """See what is at the column's place, and how it bends there if that is not known."""
        found, matrix = yield self.ask(gram=self.metric is None)
        self.looked += 1
        self.take(self.z, found)
        if matrix is not None:
            self.model(matrix)

    def descend(self, arrived, budget, renewals):
        """Steps until `arrived(self, decrement)`.

        Parameters
        ----------
        arrived : callable
        budget : int
            Readings.
        renewals : int
            How often second derivatives may be asked for.
        """
        before, slow, fresh = np.inf, 0, True
        often = self.cheap or self.width is not None
        budget, renewals = budget + self.looked, renewals * (MANY_RENEWALS if often else 1)
        if self.found is None:
            yield from self.look()
        while True:
            if self.metric is None:
                yield from self.renew()
                before, slow = np.inf, 0
            step, promise = self._step()
            self.decrement = decrement = 0.5 * max(promise, 0.0)
            self.arrived = not self.must_step and arrived(self, decrement)
            if self.arrived or (self.looked >= budget and not self.must_step):
                return
            if (fresh or self.flat) and not self.must_step and self.widen(decrement):
                fresh, self.metric = False, None
                yield from self.look()
                before, slow = np.inf, 0
                continue
            enters, fresh = fresh and self._enters(decrement), False
            slow = slow + 1 if decrement > SLOW * before else 0
            patience = SLOW_STEPS_CHEAP if self.cheap and not self.patient else SLOW_STEPS
            if enters or (not self.must_step and self._narrow(decrement)):
                self.metric, self.z = None, self.z + step
                yield from self.look()
                before, slow = np.inf, 0
            elif not self.alone and renewals and slow >= patience:
                renewals, self.metric = renewals - 1, None
            else:
                before = decrement
                share = yield from self._advance(step, promise)
                self.must_step = False
                if share == 0 and not renewals:
                    return
                if share < SHORT and renewals and not self.alone:
                    if not (self.cheap and self.stage.exact):    # else the exact curvature, at the next place, will do
                        self.damping = max(10 * self.damping, LEAST_DAMPING)
                    renewals, self.metric = renewals - 1, None
                elif share == 1:
                    self.damping *= 0.2
                fresh = self.alone and share < SHORT

    def _enters(self, decrement):
        """Smooth over the band that all rows call for, where samples have led to about the minimum.

        Most of what is left is the sample's error: the step that its curvature makes is as good as any, and where it
        leads the exact one is asked for.
        """
        if self.width is None or self.alone or not (self.stage.last and self.cheap):
            return False
        if not (decrement <= NEAR * self.stage.tol * (self.objective - self.lowest) and self.slack > 0):
            return False
        self.width *= min(max(np.sqrt(self._slack_goal() / self.slack), NARROWER), WIDER)
        return True

    def _slack_goal(self):
        """What smoothing may leave in the end."""
        share = SHARE_OF_TOL_EXACT if self.stage.last and self.cheap else SHARE_OF_TOL
        return share * self.stage.tol * max(self.objective - self.lowest, 1e-300)

    def widen(self, decrement):
        """Smooth over a wider band, if that is far narrower than the way that is left."""
        if self.width is None or not (self.flat or self.slack < WIDE_SHARE * decrement):
            return False
        self.width *= WIDER if self.flat else min(np.sqrt(WIDE_SHARE * decrement / max(self.slack, 1e-300)), WIDER)
        return True

    def _narrow(self, decrement):
        """Smooth over a narrower band, if the smoothing is what the gap consists of."""
        if self.width is None:
            return False
        goal = self._slack_goal()
        if self.slack <= 2 * goal or decrement > SHARE_OF_SLACK * self.slack:
            return False
        self.width *= min(max(np.sqrt(goal / self.slack), NARROWER), WIDEST)
        return True

    def fold(self, cell, lowest):
        """A column for a cell that leaves out some patterns of rows, which starts from here.

        It must make a step: the place of a column that has seen all rows may pass for the minimum of a part of them,
        but knows rows that are to judge it.

        Parameters
        ----------
        cell : Cell
        lowest : float
            Below which its mean loss cannot fall.
        """
        other = BlockColumn(cell, self.stage, self.z, self.width, lowest, self.null)
        other.take(self.z, self.found[cell.mask > 0].sum(axis=0))
        other.must_step = True
        other.metric, other.damping = self.metric.heir(), self.damping
        return other

    def follow(self, other):
        """Start where a column is that differs in the penalty only."""
        self.stage, self.width = other.stage, other.width
        self.take(other.z, other.found)
        self.metric = other.metric.with_ridge(self.cell.l2 - other.cell.l2)
        self.share, self.damping = other.share, other.damping


def _total(found):
    """Sums over all patterns."""
    return found if found.ndim == 1 else found.sum(axis=0)

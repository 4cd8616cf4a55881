"""One column of a block that shares its readings with others: quasi-Newton steps.

The methods are generators: they yield an :class:`Ask` and are sent what a reading found, so that one reading serves
all columns of a block. No margins are kept: nothing here has the length of the table.
"""

import numpy as np

from sklosses.solvers._block_column import NARROWER, WIDER, Column, total_of
from sklosses.solvers._block_reading import FIRST, SMOOTH, WEIGHT, Ask
from sklosses.solvers._curvature import Curvature
from sklosses.solvers._metric import Metric

# A step is taken if it brings this part of what its slope promises; tried again with a part of its length.
ARMIJO, TRIES = 1e-4, 12
# At first with no more than this times the share of the step before.
MORE = 4.0
# Steps shorter than this share of the model's damp it: at first by this much of the mean curvature.
SHORT, LEAST_DAMPING = 0.25, 1e-3
# Samples have led to about the minimum of all rows where the decrement is so many times the tolerance.
NEAR = 3.0
# Second derivatives are asked for anew where so many steps in a row leave more than this of the decrement; at once, and
# so many times as often, where they cost about as much as a reading. Smoothed kinks and squared hinges end in a few
# steps with the exact ones, and crawl with those of other rows.
SLOW, SLOW_STEPS, SLOW_STEPS_CHEAP = 0.1, 2, 1
MANY_RENEWALS = 5


class LockstepColumn(Column):
    """A column that goes down by readings which serve others too: parameters and attributes as those of its base."""

    def __init__(self, cell, stage, z, width, lowest=0.0, null=0.0):
        super().__init__(cell, stage, z, width, lowest, null)
        self.metric, self.damping = None, 0.0
        self.must_step = False      # see `fold`
        self.patient = False        # whether steps may learn the rest: its own rows told how it bends
        self.share = 1.0            # of the last step that was taken

    def enter(self, stage, cell):
        """Go on with other rows: on all of them with what the last sample knows of curvature."""
        super().enter(stage, cell)
        if not stage.exact:
            self.metric = None

    def _step(self):
        """The model's step and what its slope promises."""
        if self.cell.l1 == 0:
            step = -self.metric.solve(self.gradient)
        else:
            step = Curvature(self.metric.dense()).step(self.gradient, self.z[:-1], self.cell.l1)
        return step, -self.slope_along(step)

    def promise(self):
        """By how much the objective falls, by half the slope of the model's step."""
        return 0.5 * max(self._step()[1], 0.0)

    def ask(self, z=None, *, look=True, gram=False):
        """For what is at a place, its own if none is given."""
        return Ask(self.cell, self.z if z is None else z, self.width, look, gram)

    def renew(self):
        """Ask for second derivatives here."""
        self.model((yield self.ask(look=False, gram=True))[1])

    def model(self, matrix):
        """Second derivatives here, times the sum of weights, are known: the matrix becomes the metric's."""
        self.metric = Metric(self.curvature(matrix, self.damping))

    def _advance(self, step, promise):
        """Go down along a step: the share of it that was taken, 0 if there is no way down."""
        share = min(1.0, MORE * self.share)
        for _ in range(TRIES):
            z = self.z + share * step
            found, _ = yield self.ask(z)
            self.looked += 1
            sums = total_of(found)
            smooth = sums[SMOOTH] / sums[WEIGHT] + self.penalty_at(z)
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
            if enters or (not self.must_step and self.narrow(decrement)):
                self.metric, self.z = None, self.z + step
                yield from self.look()
                before, slow = np.inf, 0
            elif renewals and slow >= patience:
                renewals, self.metric = renewals - 1, None
            else:
                before = decrement
                share = yield from self._advance(step, promise)
                self.must_step = False
                if share == 0 and not renewals:
                    return
                if share < SHORT and renewals:
                    if not (self.cheap and self.stage.exact):    # else the exact curvature, at the next place, will do
                        self.damping = max(10 * self.damping, LEAST_DAMPING)
                    renewals, self.metric = renewals - 1, None
                elif share == 1:
                    self.damping *= 0.2

    def _enters(self, decrement):
        """Smooth over the band that all rows call for, where samples have led to about the minimum.

        Most of what is left is the sample's error: the step that its curvature makes is as good as any, and where it
        leads the exact one is asked for.
        """
        if self.width is None or not (self.stage.last and self.cheap):
            return False
        if not (decrement <= NEAR * self.stage.tol * (self.objective - self.lowest) and self.slack > 0):
            return False
        self.width *= min(max(np.sqrt(self.slack_goal() / self.slack), NARROWER), WIDER)
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
        other = LockstepColumn(cell, self.stage, self.z, self.width, lowest, self.null)
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

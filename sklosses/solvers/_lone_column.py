"""One column of a block that has its rows to itself: Newton's steps, each taken as far as it leads down.

What a column in lockstep knows of a step's length is whether a trial was too long: each trial is a reading of the
block. Where the table stays in the cache a column does better alone: predictions and their change along a step say,
without a reading, where the smoothed loss is lowest, and second derivatives, which few rows have, come with every look.
Near the minimum most rows stay where their losses are linear: the others are looked at by themselves, and all once more
for the proof.
"""

import numpy as np

from sklosses._isa import kernel
from sklosses.solvers._block_column import SHARE_OF_SLACK, Column
from sklosses.solvers._curvature import Curvature
from sklosses.solvers._spread import still_wanted

_kernel = kernel("sklosses.solvers._interior_kernel")

# Where steps are cut to less than this share the band is too narrow for the way.
SHORT = 0.25
# Predictions of rows that matter are within so many times what a step moves them, root mean square, of their kinks.
# The next time it is so many times as much.
REACH, FURTHER = 3.0, 2.0
# Where those rows are too many, they are asked for again once a step promises less than this share.
WORTH = 0.3
# Over its last band a column is looked at again, for its proof, once a step promises less than this share.
CLOSER = 0.01


class LoneColumn(Column):
    """A column of a loss with kinks, on rows of its own: parameters and attributes as those of its base."""

    def descend(self, rows, arrived, budget):
        """Steps until `arrived(self, decrement)`.

        Parameters
        ----------
        rows : OwnRows
        arrived : callable
        budget : int
            Looks at the rows.
        """
        sight, self._left = rows.of(self.cell), budget
        try:
            self._look(sight)
            self._go_down(sight, arrived, REACH if rows.parts else np.inf)
        except BaseException:       # what was found last may be of some rows only, and proves nothing
            self.gap = np.inf
            raise

    def _go_down(self, sight, arrived, reach=np.inf):
        """The same; where few rows can matter until then, on those, and once on all in the end."""
        fresh, refused = True, np.inf
        while True:
            still_wanted()
            step = self._step()
            self.decrement = 0.5 * max(-self.slope_along(step), 0.0)
            self.arrived = arrived(self, self.decrement)
            if self.arrived or self._left <= 0:
                return
            if (fresh or self.flat) and self.widen(self.decrement):
                fresh = False
                self._look(sight)
            elif reach < np.inf and self.decrement < refused:
                part = sight.near(self.width + reach * self._move(), self)
                if part is None:
                    refused = WORTH * self.decrement
                    continue
                self._go_down(part, arrived)
                self._look(sight)
                reach *= FURTHER
            elif self.narrow(self.decrement):
                fresh, self.z = False, self.z + step
                self._look(sight)
            else:
                fresh = self._follow(sight, step) < SHORT

    def _move(self):
        """How far a step moves predictions, root mean square by curvature."""
        mean = self._matrix[-1, -1]
        return np.sqrt(2 * self.decrement / mean) if mean > 0 else np.inf

    def _follow(self, sight, step):
        """Go as far down along a step as it leads, and on while the band serves; the share of the last step taken."""
        if self.cell.l1:
            made, (share, *there) = 1, sight.follow(step)
        else:
            narrowing = self.slack > 2 * self.slack_goal()
            until = (SHARE_OF_SLACK, 0.0) if narrowing else (0.0, CLOSER * self.decrement)
            made, share, *there = sight.descend(self.stage.lift, until, max(1, self._left))
        self._count(sight, made)
        if share > 0 or made > 1:
            self._know(*there)
        return share

    def _look(self, sight):
        """See what is at the column's place, over its band."""
        self._count(sight, 1)
        self._know(self.z, *sight.look(self.z, self.width))

    def _count(self, sight, looks):
        self._left -= max(1, looks)
        self.looked += sight.share * looks

    def _know(self, z, found, matrix):
        self.take(z, found)
        self._matrix = self.curvature(matrix)

    def _step(self):
        """Newton's."""
        if self.cell.l1:
            return Curvature(self._matrix).step(self.gradient, self.z[:-1], self.cell.l1)
        factor = _kernel.Factor(len(self.z))
        if not factor.decompose(self._matrix):
            raise OverflowError("A matrix of second derivatives is of no use.")
        return -factor.solve(self.gradient)

"""Readings of a small table for one column of a block by itself, which goes down along its steps as far as they lead.

What a column knows of a step's length is whether a trial was too long: each trial is a reading of the block. Where the
table stays in the cache a column does better alone: predictions and their change along a step say, without a reading,
where the smoothed loss is lowest, and second derivatives, which few rows have, come with every look.
"""

from dataclasses import replace

import numpy as np

from sklosses._isa import kernel
from sklosses.solvers._centred import CentredRows
from sklosses.solvers._problem import recoded
from sklosses.solvers._reading import Reading
from sklosses.solvers._spread import still_wanted

_kernel = kernel("sklosses.solvers._block_kernel")
_along = kernel("sklosses.solvers._reading_kernel").along

# A step is taken as far as the slope along it is down to this share.
FLATTER = 0.1
# As far as many times a step is gone, and places are tried at most.
LONGEST, HALVINGS = 2.0**20, 40


class OwnRows:
    """Rows of a block that its columns read each by itself. A context manager.

    Parameters
    ----------
    problem : Problem
    targets : sequence of ndarray of shape (n,)
        The block's.
    order : ndarray
        Numbers of the rows.
    centre : ndarray of shape (d,)
    """

    def __init__(self, problem, targets, order, centre):
        self.targets, self.order, self.centre = targets, order, centre
        self.weights, self.offset = (None if array is None else np.asarray(array, dtype=np.float64)[order]
                                     for array in (problem.weights, problem.offset))
        self._reading = Reading(replace(problem, subset=order), gather=True)
        self.centred = CentredRows(self._reading, centre, problem.fit_intercept, np.inf)

    def __enter__(self):
        self._reading.__enter__()
        return self

    def __exit__(self, *given):
        self._reading.__exit__(*given)

    def of_cell(self, cell):
        """Targets and weights of a column."""
        y, weight = self.targets[cell.source][self.order], self.weights
        if cell.recoding is not None:
            y, of_class = recoded(y, cell.recoding)
            if cell.recoding[3:] != (1.0, 1.0):
                weight = of_class if weight is None else weight * of_class
        return np.ascontiguousarray(y), weight

    def gram(self, weight):
        """X' diag(h) X of the centred rows, with the column of ones last."""
        return self._reading.gram(weight, self.centre)


class OwnReading:
    """What one column asks of its rows.

    Parameters
    ----------
    rows : OwnRows
    cell : Cell
    """

    def __init__(self, rows, cell):
        self._rows, self._cell, self._of = rows, cell, rows.of_cell(cell)
        self._centred = rows.centred
        self._total = len(rows.order) if self._of[1] is None else self._of[1].sum()
        self._place = self._p = self._width = self._smooth = None

    def run(self, steps):
        """Answer a generator's questions until it ends."""
        try:
            ask = next(steps)
            while True:
                still_wanted()
                ask = steps.send(self.answer(ask))
        except (StopIteration, OverflowError):      # of squares of X: another method's turn, which says so
            pass

    def answer(self, ask):
        """What an :class:`Ask` asks for: what is found, second derivatives; the end of its step and the share too."""
        if ask.width != self._width:
            self._width, self._smooth = ask.width, self._cell.loss.smoothed(ask.width)
        smooth, p, place = self._smooth, self._at(ask.z), ()
        if ask.step is not None:
            change = self._centred.product(ask.step)
            share = self._share(ask, (p, p + change))
            place = ask.z + share * ask.step, share
            p = self._remember(place[0], p + share * change)
        gradient, hessian = np.empty_like(p), np.empty_like(p)
        sums = _kernel.sums_at(smooth, self._cell.loss, self._of, p, gradient, hessian)
        found = np.concatenate([sums, self._centred.back(gradient)]) if ask.look else None
        return found, self._rows.gram(hessian) if ask.gram else None, *place

    def _at(self, z):
        """Predictions at a place: those of the last one are remembered."""
        if z is not self._place:
            p = self._centred.product(z)
            self._remember(z, p if self._rows.offset is None else p + self._rows.offset)
        return self._p

    def _remember(self, z, p):
        self._place, self._p = z, p
        return p

    def _share(self, ask, line):
        """How much of a step leads down: to where the slope along it is next to 0, by false positions.

        The slope of a smoothed loss is linear in pieces.
        """
        cell, w, step, chunk = self._cell, ask.z[:-1], ask.step[:-1], (0, len(line[0]))

        def slope(t):
            at = w + t * step
            own = cell.l2 * (at @ step)
            if cell.l1:
                own += cell.l1 * np.where(at == 0, np.abs(step), np.sign(at) * step).sum()
            return _along(self._smooth, self._of, chunk, *line, t, False)[1] / self._total + own

        low, high, first = 0.0, 1.0, slope(0.0)
        falls, rises = first, slope(high)
        while rises < FLATTER * first and high < LONGEST:
            low, falls, high = high, rises, 2 * high
            rises = slope(high)
        if first < 0 and rises < 0:
            return high         # flat enough, or down for as far as steps go
        t, here = high, rises
        for _ in range(HALVINGS if first < 0 else 0):
            if abs(here) <= -FLATTER * first:
                return t
            t = (low * rises - high * falls) / (rises - falls) if np.isfinite(rises) else 0.5 * (low + high)
            here = slope(t)
            if here < 0:
                low, falls, rises = t, here, 0.5 * rises
            else:
                high, rises, falls = t, here, 0.5 * falls
        return low

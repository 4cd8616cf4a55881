"""The rows of a small table, in memory as columns of a block go through them, each by itself."""

from dataclasses import replace

import numpy as np

from sklosses._isa import kernel
from sklosses.solvers._centred import CentredRows
from sklosses.solvers._problem import recoded
from sklosses.solvers._reading import Reading

_kernel = kernel("sklosses.solvers._interior_kernel")
_near = kernel("sklosses.solvers._reading_kernel").near

# Rows near their kinks are gathered if they are no more than this share.
FEW = 0.5


class OwnRows:
    """Rows of a block that its columns read each by itself, in any number of threads.

    Parameters
    ----------
    problem : Problem
    targets : sequence of ndarray of shape (n,)
        The block's.
    order : ndarray
        Numbers of the rows.
    centre : ndarray of shape (d,)
    parts : bool
        Whether columns may look at those near their kinks only, for a while.
    """

    def __init__(self, problem, targets, order, centre, parts):
        self.parts, self._targets = parts, [line[order] for line in targets]
        self._weights, self._offset = (None if array is None else np.asarray(array, dtype=np.float64)[order]
                                       for array in (problem.weights, problem.offset))
        reading = Reading(replace(problem, subset=order), gather=True)
        reading.chunks = [slice(0, reading.n_rows)]
        self._design = CentredRows(reading, centre, problem.fit_intercept, np.inf).whole
        self._spread = _spread(self._design.rows) if parts else None

    def of(self, cell):
        """The :class:`OwnSight` of a column."""
        y, weight = self._targets[cell.source], self._weights
        if cell.recoding is not None:
            y, of_class = recoded(y, cell.recoding)
            if cell.recoding[3:] != (1.0, 1.0):
                weight = of_class if weight is None else weight * of_class
        total = float(len(y) if weight is None else weight.sum())
        return OwnSight(self._design.twin(), cell, (np.ascontiguousarray(y), weight, self._offset), total,
                        self._spread)


class OwnSight:
    """What a column sees of its rows.

    Parameters
    ----------
    design : Design
        The rows; no other thread uses it.
    cell : Cell
    of : tuple of three, each ndarray of shape (n,) or None
        Targets, weights and offsets.
    total : float
        The sum of the weights, those of rows that are left out included.
    spread : ndarray of shape (n,) or None, default=None
        How large each row is, features being scaled: 1 or more. None: these are few of the rows already.

    Attributes
    ----------
    share : float
        How many of all rows these are.
    """

    def __init__(self, design, cell, of, total, spread=None, share=1.0):
        self._design, self._cell, self._of, self._total, self._spread = design, cell, of, total, spread
        self.share = share
        self._rows = _kernel.Smoothed(design, cell.loss, of, cell.l1, cell.l2, total)
        self._kinks = None

    def look(self, z, width):
        """What is found at a place, the loss being smoothed over a band: see :meth:`Smoothed.look`."""
        return self._rows.look(self._cell.loss.smoothed(width), z)

    def follow(self, step):
        """Where a step leads down to: see :meth:`Smoothed.follow`."""
        return self._rows.follow(step)

    def descend(self, *given):
        """Steps without Python in between: see :meth:`Smoothed.descend`."""
        return self._rows.descend(*given)

    def near(self, reach, column):
        """What a column sees of the rows whose kinks are within reach; of the others, that their losses are linear.

        Parameters
        ----------
        reach : float
            From the prediction of a usual row; rows of larger features move further.
        column : LoneColumn
            Which has looked last where it is.

        Returns
        -------
        OwnSight or None
            None: those rows are many.
        """
        if self._kinks is None:
            self._kinks = np.array(self._cell.loss.kinks(self._of[0]))
        if len(self._kinks[0]) != 1:        # of several kinks a row's nearest counts
            near = np.flatnonzero((np.abs(self._kinks[0] - self._rows.p) <= reach * self._spread).any(axis=0))
        else:
            near = _near(self._rows.p, self._kinks[:, 0], self._spread, reach, (0, len(self._spread)))
        if len(near) > FEW * len(self._spread):
            return None
        of = tuple(None if array is None else array[near] for array in self._of)
        part = OwnSight(self._design.some(near), self._cell, of, self._total, share=len(near) / len(self._spread))
        part.look(column.z, column.width)
        part._rows.take_rest(column.found)
        return part


def _spread(rows):
    """The size of each row, root mean square, columns being scaled to a size of 1; and that at least."""
    squares = np.einsum("ij,ij->j", rows, rows) / max(1, len(rows))
    scale = np.divide(1.0, squares, out=np.zeros_like(squares), where=squares > 0)
    return np.sqrt(np.maximum((rows * rows) @ scale / max(1, np.count_nonzero(scale)), 1.0))

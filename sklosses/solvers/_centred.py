"""Rows less their centre, with a column of ones: what second-order methods multiply with."""

import numpy as np

from sklosses._isa import kernel
from sklosses.solvers._reading import LARGEST_GATHERED, added

_kernel, _mirror = kernel("sklosses.solvers._interior_kernel"), kernel("sklosses.solvers._block_kernel").mirror

# Columns that vary by less than this share of their mean are constant.
CONSTANT = 1e-14
# Copies up to this size are always made.
SMALL_BYTES = 64 << 20


class CentredRows:
    """The rows of a reading, centred, in float64, with a last column of ones (zeros without an intercept).

    Centred before they are multiplied: a column shifted by 1e6 times its spread loses six digits of its products
    otherwise. Copied together if that takes at most a quarter of the table's memory; else made anew, chunk by chunk,
    each time they are used.

    Parameters
    ----------
    reading : Reading
    centre : ndarray of shape (n_features,)
    intercept : bool
        Whether there are ones in the last column.
    table_bytes : float
        Memory of the whole table.
    copies : int, default=1
        A is the rows so many times: all of them, and then all again. They are multiplied once.

    Attributes
    ----------
    whole : Design or None
        The rows, where they are in memory in one piece.
    """

    def __init__(self, reading, centre, intercept, table_bytes, copies=1):
        self.reading, self.centre, self.intercept, self.copies = reading, centre, intercept, copies
        self.designs = self.whole = None
        if _kernel.Design.bytes_of(reading.n_rows, reading.n_features + 1) <= max(
                SMALL_BYTES, LARGEST_GATHERED * table_bytes):
            alone = len(reading.chunks) == 1
            self.designs = reading.each(lambda chunk: self._design(chunk, copies if alone else 1))
            self.whole = self.designs[0] if alone else None

    def _design(self, chunk, copies=1):
        """The rows of a chunk."""
        block = self.reading.rows_of(chunk)
        design = _kernel.Design(block.shape[0], self.reading.n_features + 1, copies)
        np.subtract(block.toarray() if self.reading.sparse else block, self.centre, out=design.rows[:, :-1])
        design.rows[:, -1] = self.intercept
        return design

    def each(self, call):
        """Results of ``call(design, chunk)`` for every chunk, in order."""
        reading = self.reading
        if self.designs is None:
            return reading.each(lambda chunk: call(self._design(chunk), chunk))
        return reading.each(lambda task: call(*task), list(zip(self.designs, reading.chunks, strict=True)))

    def product(self, z):
        """Az."""
        if self.whole is not None:
            return self.whole.product(z)
        return np.concatenate(self.each(lambda design, _: design.product(z)) * self.copies)

    def _folded(self, v):
        """The sum over the copies."""
        return v if self.copies == 1 else v.reshape(self.copies, self.reading.n_rows).sum(axis=0)

    def back(self, v):
        """A'v."""
        if self.whole is not None:
            return self.whole.back(v)
        v = self._folded(v)
        return added(self.each(lambda design, chunk: design.back(v[chunk])))

    def gram(self, v):
        """A' diag(v) A."""
        if self.whole is not None:
            out = self.whole.gram(v)
        else:
            v = self._folded(v)
            out = added(self.each(lambda design, chunk: design.gram(v[chunk])))
        _mirror(out)
        return np.ascontiguousarray(out[:, : self.reading.n_features + 1])

    def spread(self):
        """The root mean square of each column."""
        def squares_of(design, _=None):
            return np.einsum("ij,ij->j", design.rows, design.rows)

        squares = added(self.each(squares_of)) if self.whole is None else squares_of(self.whole)
        return np.sqrt(squares / max(1, self.reading.n_rows))

"""Rows less their centre, with a column of ones: what second-order methods multiply with."""

import numpy as np

from sklosses._isa import kernel
from sklosses.solvers._reading import LARGEST_GATHERED, added

_kernel, _interior = kernel("sklosses.solvers._block_kernel"), kernel("sklosses.solvers._interior_kernel")

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
        self.array = self.whole = None
        n, Q = reading.n_rows, reading.n_features + 1
        if 8 * n * Q <= max(SMALL_BYTES, LARGEST_GATHERED * table_bytes):
            if len(reading.chunks) == 1:
                self.whole = _interior.Design(n, Q, copies)
            self.array = np.empty((n, Q)) if self.whole is None else self.whole.rows
            for chunk in reading.chunks:
                self._fill(self.array[chunk], chunk)

    def _fill(self, out, chunk):
        block = self.reading.rows_of(chunk)
        np.subtract(block.toarray() if self.reading.sparse else block, self.centre, out=out[:, :-1])
        out[:, -1] = self.intercept
        return out

    def block(self, chunk):
        if self.array is not None:
            return self.array[chunk]
        return self._fill(np.empty((chunk.stop - chunk.start, self.reading.n_features + 1)), chunk)

    def product(self, z):
        """Az."""
        if self.whole is not None:
            return self.whole.product(z)
        p = np.concatenate(self.reading.each(lambda chunk: self.block(chunk) @ z))
        return p if self.copies == 1 else np.concatenate([p] * self.copies)

    def _folded(self, v):
        """The sum over the copies."""
        return v if self.copies == 1 else v.reshape(self.copies, self.reading.n_rows).sum(axis=0)

    def back(self, v):
        """A'v."""
        if self.whole is not None:
            return self.whole.back(v)
        v = self._folded(v)
        return added(self.reading.each(lambda chunk: self.block(chunk).T @ v[chunk]))

    def gram(self, v):
        """A' diag(v) A."""
        Q = self.reading.n_features + 1
        if self.whole is not None:
            out = self.whole.gram(v)
            _kernel.mirror(out)
            return np.ascontiguousarray(out[:, :Q])
        v = self._folded(v)

        def part(chunk):
            out = np.zeros((Q, -(-Q // _kernel.PAD) * _kernel.PAD))
            _kernel.gram(self.block(chunk), v[chunk], out)
            return out

        out = added(self.reading.each(part))
        _kernel.mirror(out)
        return np.ascontiguousarray(out[:, :Q])

    def spread(self):
        """The root mean square of each column."""

        def part(chunk):
            block = self.block(chunk)
            return (block * block).sum(axis=0)

        return np.sqrt(added(self.reading.each(part)) / max(1, self.reading.n_rows))

"""Rows less their centre, with a column of ones: what second-order methods multiply with."""

import numpy as np

from sklosses._isa import kernel
from sklosses.solvers._reading import LARGEST_GATHERED, added

_kernel = kernel("sklosses.solvers._block_kernel")

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
    """

    def __init__(self, reading, centre, intercept, table_bytes, copies=1):
        self.reading, self.centre, self.intercept, self.copies = reading, centre, intercept, copies
        self.array = None
        size = 8 * reading.n_rows * (reading.n_features + 1)
        if size <= max(SMALL_BYTES, LARGEST_GATHERED * table_bytes):
            array = np.empty((reading.n_rows, reading.n_features + 1))
            for chunk in reading.chunks:
                self._fill(array[chunk], chunk)
            self.array = array
        self.whole = self.array is not None and len(reading.chunks) == 1

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
        if self.whole:
            p = self.array @ z
        else:
            p = np.concatenate(self.reading.each(lambda chunk: self.block(chunk) @ z))
        return p if self.copies == 1 else np.concatenate([p] * self.copies)

    def _folded(self, v):
        """The sum over the copies."""
        return v if self.copies == 1 else v.reshape(self.copies, self.reading.n_rows, *v.shape[1:]).sum(axis=0)

    def back(self, v):
        """A'v; v of shape (m,) or (m, k)."""
        v = self._folded(v)
        if self.whole:
            return self.array.T @ v
        return added(self.reading.each(lambda chunk: self.block(chunk).T @ v[chunk]))

    def gram(self, v):
        """A' diag(v) A."""
        Q, v = self.reading.n_features + 1, self._folded(v)

        def part(chunk):
            out = np.zeros((Q, -(-Q // _kernel.PAD) * _kernel.PAD))
            _kernel.gram(self.block(chunk), v[chunk], out)
            return out

        out = part(slice(None)) if self.whole else added(self.reading.each(part))
        _kernel.mirror(out)
        return np.ascontiguousarray(out[:, :Q])

    def spread(self):
        """The root mean square of each column."""

        def part(chunk):
            block = self.block(chunk)
            return np.einsum("ij,ij->j", block, block)

        return np.sqrt(added(self.reading.each(part)) / max(1, self.reading.n_rows))

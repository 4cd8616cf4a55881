"""The order in which an epoch visits rows."""

from libc.stdint cimport uint32_t, uint64_t

from typing import NamedTuple

import numpy as np

from sklosses.solvers._ahead cimport WINDOW_BLOCKS

cdef extern from *:
    """
    /* Next output of SplitMix64 (Steele, Lea and Flood 2014): a bijection of a counter, so any seed is a good seed. */
    static inline uint64_t sk_next(uint64_t *state)
    {
        uint64_t z = (*state += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    """
    uint64_t next_number "sk_next"(uint64_t* state) noexcept nogil

# Tables up to this size lie in the second-level cache, where order costs nothing: they get scikit-learn's own order, so
# that the same random_state gives the same coefficients.
SMALL_BYTES = 1 << 20

# A block of contiguous rows spans about a page: what is read together costs little more than its share of a sequential
# reading, once the kernels ask for it ahead of time.
cdef enum:
    BLOCK_BYTES = 4096


class Order(NamedTuple):
    """In which order an epoch visits rows, and in which it reads them from memory.

    Parameters
    ----------
    positions : ndarray of shape (n_rows,)
        intp, a permutation of ``range(n_rows)``: the rows as they are visited.
    blocks : ndarray or None, default=None
        Numbers of blocks of contiguous rows, in the sequence in which they are read; None: as rows are visited.
    block : int, default=0
        Rows in each block but the table's last.
    """

    positions: np.ndarray
    blocks: np.ndarray | None = None
    block: int = 0


def row_order(n_rows, row_bytes, seed, epoch):
    """The order in which an epoch of the classic solvers visits rows.

    A table of up to 1 MB is visited in the order of scikit-learn's SGD for the same seed. In a larger one, blocks of
    contiguous rows (about 4 kB) come in random order; then the rows of each window of 32 blocks are dealt out
    by one random permutation, drawn anew for each epoch. A table sorted by its target mixes well all the same, because
    each window is a random sample of blocks from the whole table. A full random order would cost three times as much to
    draw, which counts where an epoch takes little longer than one reading of the table.

    Parameters
    ----------
    n_rows : int
        Rows to visit, each once.
    row_bytes : int
        Bytes of a row in memory, on average.
    seed : int
        Of the fit.
    epoch : int
        Number of the epoch, from 0. Each has an order of its own.

    Returns
    -------
    ndarray of shape (n_rows,)
        intp, a permutation of ``range(n_rows)``. It depends on the four arguments and nothing else.

    Examples
    --------
    >>> from sklosses.solvers import row_order
    >>> sorted(row_order(5, 8, seed=0, epoch=0).tolist())
    [0, 1, 2, 3, 4]
    """
    return RowOrder(n_rows, row_bytes).draw(seed, epoch).positions


cdef class RowOrder:
    """Draws the orders of a fit: :func:`row_order`, in memory that is used again.

    Parameters
    ----------
    n_rows, row_bytes : int
    """

    cdef object _order
    cdef Py_ssize_t[::1] order
    cdef Py_ssize_t[::1] blocks
    cdef Py_ssize_t[::1] places
    cdef Py_ssize_t block
    cdef bint small
    cdef object last            # (seed, epoch) of the order in memory

    def __init__(self, Py_ssize_t n_rows, Py_ssize_t row_bytes):
        self.small = n_rows * row_bytes <= SMALL_BYTES
        # There are always as many blocks as make a window, if there are rows enough.
        self.block = max(1, min(BLOCK_BYTES // max(1, row_bytes), n_rows // WINDOW_BLOCKS))
        self._order = np.empty(n_rows, dtype=np.intp)
        self.order = self._order
        self.blocks = np.empty((n_rows + self.block - 1) // self.block, dtype=np.intp)
        self.places = np.empty(min(WINDOW_BLOCKS * self.block, n_rows), dtype=np.intp)

    def draw(self, seed, epoch):
        """The :class:`Order` of an epoch, in arrays that the next call overwrites."""
        if self.small:
            return Order(self._draw_small(seed, epoch))
        cdef Py_ssize_t n_rows = self.order.shape[0], window = self.places.shape[0], rest
        cdef uint64_t state = <uint64_t>(int(seed) & 0xFFFFFFFFFFFFFFFF)
        # The pair is hashed, so that epochs of nearby seeds share nothing.
        state = next_number(&state) + <uint64_t>epoch
        with nogil:
            shuffled(self.blocks, &state)
            shuffled(self.places, &state)
            deal(self.blocks, self.block, self.places, self.order)
            # Rows of the last window, where it is short, have been left in order.
            rest = n_rows % window
            if rest:
                shuffle(&self.order[n_rows - rest], rest, &state)
        return Order(self._order, np.asarray(self.blocks), self.block)

    cdef _draw_small(self, seed, epoch):
        """scikit-learn permutes the order of the epoch before, always with the same seed."""
        cdef Py_ssize_t i, _
        if self.last != (seed, epoch - 1):
            for i in range(self.order.shape[0]):
                self.order[i] = i
            self.last = (seed, -1)
        for _ in range(epoch - self.last[1]):
            shuffle_like_scikit_learn(self.order, <uint32_t>(int(seed) & 0xFFFFFFFF))
        self.last = (seed, epoch)
        return self._order


cdef void shuffle_like_scikit_learn(Py_ssize_t[::1] items, uint32_t state) noexcept nogil:
    """Fisher-Yates from the front, over Marsaglia's 32-bit xorshift: sklearn.utils._seq_dataset, _random."""
    cdef Py_ssize_t n = items.shape[0], i, k
    for i in range(n - 1):
        if state == 0:
            state = 1
        state ^= state << 13
        state ^= state >> 17
        state ^= state << 5
        k = i + (state & 0x7FFFFFFF) % <uint32_t>(n - i)
        items[i], items[k] = items[k], items[i]


cdef void shuffled(Py_ssize_t[::1] items, uint64_t* state) noexcept nogil:
    """0, 1, 2, ... in random order."""
    cdef Py_ssize_t i
    for i in range(items.shape[0]):
        items[i] = i
    shuffle(&items[0], items.shape[0], state)


cdef void deal(const Py_ssize_t[::1] blocks, Py_ssize_t block, const Py_ssize_t[::1] places,
               Py_ssize_t[::1] out) noexcept nogil:
    """Lay the rows of the blocks out, window by window, each in its place."""
    cdef Py_ssize_t rows = out.shape[0], window = places.shape[0], whole = rows - rows % window
    cdef Py_ssize_t i, row, first, filled = 0, base = 0, within = 0
    for i in range(blocks.shape[0]):
        first = blocks[i] * block
        for row in range(first, min(first + block, rows)):
            if filled < whole:
                out[base + places[within]] = row
            else:
                out[filled] = row
            filled += 1
            within += 1
            if within == window:
                within = 0
                base = filled


cdef inline void shuffle(Py_ssize_t* items, Py_ssize_t n, uint64_t* state) noexcept nogil:
    """Fisher-Yates, with a product in place of a division (Lemire 2019); its bias of n / 2^32 is beyond notice."""
    cdef Py_ssize_t i, k
    for i in range(n - 1, 0, -1):
        k = <Py_ssize_t>(((next_number(state) >> 32) * <uint64_t>(i + 1)) >> 32)
        items[i], items[k] = items[k], items[i]

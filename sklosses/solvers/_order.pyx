"""The order in which an epoch visits rows."""

from libc.stdint cimport uint32_t, uint64_t

import numpy as np

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

# Blocks of contiguous rows are read together: enough bytes that a block costs little more than its share of a sequential
# reading, few enough that blocks stay many.
BLOCK_BYTES = 8192
# Rows are shuffled within windows of this many blocks, so that neighbours in the table do not follow each other.
WINDOW_BLOCKS = 32


def row_order(n_rows, row_bytes, seed, epoch):
    """The order in which an epoch of the classic solvers visits rows.

    A full random order reads memory at random, and costs more than the arithmetic does. Instead, blocks of contiguous
    rows (about 8 kB) come in random order, and rows are shuffled within each window of 32 blocks. A table sorted by
    its target mixes well all the same: each window is a random sample of blocks from the whole table.

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
    cdef Py_ssize_t rows = n_rows
    cdef Py_ssize_t block = min(max(1, BLOCK_BYTES // max(1, row_bytes)), max(1, rows // (2 * WINDOW_BLOCKS)))
    cdef Py_ssize_t n_blocks = (rows + block - 1) // block
    cdef Py_ssize_t window = WINDOW_BLOCKS * block
    cdef Py_ssize_t[::1] blocks = np.arange(n_blocks, dtype=np.intp)
    order = np.empty(rows, dtype=np.intp)
    cdef Py_ssize_t[::1] out = order
    cdef Py_ssize_t start, filled = 0, i, k
    # Hash the pair: epochs of nearby seeds share nothing.
    cdef uint64_t state = <uint64_t>(int(seed) & 0xFFFFFFFFFFFFFFFF)
    state = next_number(&state) + <uint64_t>epoch
    with nogil:
        if n_blocks > 0:
            shuffle(&blocks[0], n_blocks, &state)
        for i in range(n_blocks):
            start = blocks[i] * block
            for k in range(start, min(start + block, rows)):
                out[filled] = k
                filled += 1
        for i in range((rows + window - 1) // window):
            start = i * window
            shuffle(&out[start], min(window, rows - start), &state)
    return order


cdef inline void shuffle(Py_ssize_t* items, Py_ssize_t n, uint64_t* state) noexcept nogil:
    """Fisher-Yates, with Lemire's multiplication in place of a division; its bias of n / 2^32 is far below notice."""
    cdef Py_ssize_t i, k
    for i in range(n - 1, 0, -1):
        k = <Py_ssize_t>(((next_number(state) >> 32) * <uint64_t>(i + 1)) >> 32)
        items[i], items[k] = items[k], items[i]

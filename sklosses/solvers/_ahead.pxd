"""Asking memory for rows before they are visited.

Rows that are visited in random order one by one reach the processor at half the speed of a sequential reading, however
early they are asked for: what counts is that memory is read in long stretches. Orders that deal out the rows of a window
of blocks (see ``_order.pyx``) can have both. Whole blocks are asked for, in the sequence in which windows take them, a
window ahead; by the time that a window is visited it lies in the second-level cache, where its order costs nothing.
"""

cdef enum:
    WINDOW_BLOCKS = 32      # of an order in blocks: what is dealt out together, 128 kB
    NEAR_BYTES = 8192       # other orders: rows are asked for about this long before they are visited
    NEAR_ROWS = 64          # and at most so many

cdef struct Ahead:
    const Py_ssize_t* order     # positions of rows as they are visited; NULL: 0, 1, 2, ...
    const Py_ssize_t* blocks    # blocks of positions as windows take them; NULL: rows are asked for as they are visited
    Py_ssize_t block            # positions in a block
    Py_ssize_t n                # positions in all
    Py_ssize_t distance         # steps between asking and visiting
    Py_ssize_t asked            # steps asked for
    Py_ssize_t at               # the block at hand
    Py_ssize_t within           # positions of it that have been asked for


cdef inline Ahead start_ahead(const Py_ssize_t* order, Py_ssize_t n, const Py_ssize_t* blocks, Py_ssize_t block,
                              Py_ssize_t row_bytes) noexcept nogil:
    """Before the first step of an epoch over n rows."""
    cdef Py_ssize_t near = max(1, min(NEAR_ROWS, NEAR_BYTES // max(1, row_bytes)))
    return Ahead(order, blocks, block, n, near if blocks == NULL else near + WINDOW_BLOCKS * block, 0, 0, 0)


cdef inline Py_ssize_t next_position(Ahead* ahead) noexcept nogil:
    """The position to ask for next; there must be one left."""
    cdef Py_ssize_t step = ahead.asked, position
    ahead.asked += 1
    if ahead.blocks == NULL:
        return step if ahead.order == NULL else ahead.order[step]
    position = ahead.blocks[ahead.at] * ahead.block + ahead.within
    ahead.within += 1
    # The table's last block may be short.
    if ahead.within == ahead.block or position == ahead.n - 1:
        ahead.at += 1
        ahead.within = 0
    return position

"""Readings of a table for few columns: whatever is asked of some rows is done before the next ones come.

Rows come in tiles that stay in the cache. A look goes through a tile's predictions, losses and product back, column by
column; the next tile is asked for meanwhile, so that memory is never waited for. Of a table in Fortran order a tile is
read along its columns. Sums go over the rows in order: they depend on where a call starts and stops, and on nothing else.
"""

from cython cimport floating
from libc.stdint cimport int32_t, int64_t

import numpy as np

from sklosses.data._products cimport (
    add_rows, dense_t, dot, dot_rows, gather, index_t, locate, padded, prefetch_far, spread,
)
from sklosses.data._rows cimport Rows, View
from sklosses.data._tile cimport PADDING, lower_gram
from sklosses.losses._loss cimport Block, Loss

cdef extern from "_weigh.h" nogil:
    void weigh_rows "sk_weigh_rows"(Py_ssize_t n, const double* weight, double* value, double* gradient,
                                    double* sums) noexcept
    void weigh_along "sk_weigh_along"(Py_ssize_t n, const double* weight, const double* from_, const double* to,
                                      double** swept, double* sums) noexcept

cdef extern from "_kinks.h" nogil:
    ctypedef struct Beside "sk_beside":
        Py_ssize_t n
        const double* p
        const double* kinks
        const double* jumps
    Py_ssize_t sk_near(const Beside* at, const double* reach, double limit, Py_ssize_t* rows) noexcept
    double sk_below(const Beside* at, double limit) noexcept
    Py_ssize_t sk_crossed(const Beside* at, const double* after, Py_ssize_t* rows) noexcept

cdef enum:
    TILE_BYTES = 24 << 10   # in the first-level cache
    # In Fortran order in the second-level one, and of so many rows at least.
    UPRIGHT_BYTES = 1 << 18
    UPRIGHT_ROWS = 128
    MOST_ROWS = 2048
    FOUR = 4                # rows that products take at once: heights are multiples
    GRAM_ROWS = 64          # rows and weighted rows of a Gram matrix
    # The steps of loops have to say 1024 themselves: Cython must see their sign.
    PIECE = 1024            # predictions that are swept at once where no rows are read

cdef enum Task:
    LOOK
    CURVE
    BACK
    GRAM
    SQUARES
    LEVERAGE
    COLUMNS

# What `look` finds of each column, in this order; the product back follows.
SUMS = ("value", "slope", "steepness")
cdef enum:
    FIRST = 3


cdef class Source:
    """Rows in the order in which they are read.

    Parameters
    ----------
    rows : Rows
    subset : ndarray of intp or None
        Numbers of the rows; None: all.

    Attributes
    ----------
    n_features : int
    """

    cdef Rows rows
    cdef View view
    cdef const Py_ssize_t[::1] subset
    cdef Py_ssize_t height      # rows of a tile
    cdef bint single            # float32
    cdef bint wide              # int64 indices
    cdef bint apart             # elements of a row are not next to each other
    cdef bint upright           # but those of a column are, and the rows are consecutive
    cdef readonly Py_ssize_t n_features

    def __init__(self, Rows rows, subset):
        self.rows, self.view, self.n_features = rows, rows.view, rows.n_features
        self.subset = None if subset is None else np.ascontiguousarray(subset, dtype=np.intp)
        self.single = rows.dtype.itemsize == 4
        self.wide = self.view.starts != NULL and rows.indices.dtype.itemsize == 8
        self.apart = self.view.starts == NULL and self.view.column_stride != 1
        self.upright = self.apart and self.view.row_stride == 1 and subset is None
        least, size = (UPRIGHT_ROWS, UPRIGHT_BYTES) if self.upright else (FOUR, TILE_BYTES)
        self.height = max(least, min(<Py_ssize_t>MOST_ROWS, size // rows.row_bytes // FOUR * FOUR))


cdef struct Sight:
    void* loss
    const double* y
    const double* weight    # NULL: all 1
    double* p
    double* w
    double* back
    double* sums
    double intercept


cdef struct Call:
    # What is asked of rows `start` to `stop`. Pointers are NULL where a task has no use for them.
    Task task
    Py_ssize_t start
    Py_ssize_t stop
    Sight* sights
    Py_ssize_t n_sights
    const double* offset
    const double* weight    # of rows; of features for LEVERAGE
    const double* centre
    const double* step      # of features, padded
    double shift
    double* out
    double* work            # scratch
    char* gathered          # rows whose elements were apart
    Py_ssize_t* numbers     # of the rows at hand, in the table
    Py_ssize_t* at          # of the rows at hand, in `view`
    View view               # of the rows at hand: the table, or what was gathered of it
    View turned             # of the transpose of the rows at hand, where they lie across memory
    Py_ssize_t* features    # numbers of the columns, the last one repeated
    double* dots            # a number for each of them
    const int32_t* places   # of features, among those that are wanted; negative: not one of them
    int32_t* entries        # numbers of the rows of entries
    Py_ssize_t* ends        # where the next entry of a feature goes
    bint ahead              # whether the next rows have still to be asked for


cdef inline double* aligned(double* memory) noexcept nogil:
    """The first place at which vectors may start without straddling cache lines."""
    cdef Py_ssize_t address = <Py_ssize_t>memory
    return <double*>(address + (64 - address % 64) % 64)


# Rows at hand -------------------------------------------------------------------------------------------------------

cdef inline void number(Source s, Call* c, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        c.numbers[i] = first + i if s.subset is None else s.subset[first + i]


cdef inline void bring(Source s, Call* c, Py_ssize_t n, const floating* x) noexcept nogil:
    """The numbered rows, to where their elements are next to each other."""
    if s.apart:
        gather(&s.view, c.numbers, n, <floating*>c.gathered)


cdef inline void multiply(Source s, Call* c, Py_ssize_t first, Py_ssize_t n, const double* w, double* p,
                          const floating* x, const index_t* j) noexcept nogil:
    """p = Xw for the rows at hand; p is padded."""
    cdef Py_ssize_t i
    if s.upright:
        for i in range(padded(n)):
            p[i] = 0
        add_rows(p, across(s, c, first, n, x), c.features, s.n_features, w, x, j)
    else:
        dot_rows(&c.view, c.at, n, w, p, x, j)


cdef inline void multiply_back(Source s, Call* c, Py_ssize_t first, Py_ssize_t n, const double* v, double* out,
                               const floating* x, const index_t* j) noexcept nogil:
    """out += X'v for the rows at hand; v is padded with zeros, or the rows do not lie across."""
    cdef Py_ssize_t i
    if s.upright:
        # Four columns at once, all of them: copies of a column have the same sums, bit for bit.
        dot_rows(across(s, c, first, n, x), c.features, (s.n_features + 3) // 4 * 4, v, c.dots, x, j)
        for i in range(s.n_features):
            out[i] += c.dots[i]
        return
    i = 0
    while i < n:
        if c.ahead:
            ask_for(s, c, first + n + i, 4, x, j)
        add_rows(out, &c.view, c.at + i, min(<Py_ssize_t>4, n - i), v + i, x, j)
        i += 4


cdef inline const View* across(Source s, Call* c, Py_ssize_t first, Py_ssize_t n, const floating* x) noexcept nogil:
    """The transpose of the rows at hand."""
    c.turned.values = <const floating*>s.view.values + first
    c.turned.row_stride, c.turned.column_stride, c.turned.n_features = s.view.column_stride, 1, n
    return &c.turned


cdef inline void ask_for(Source s, Call* c, Py_ssize_t first, Py_ssize_t n, const floating* x,
                         const index_t* j) noexcept nogil:
    """Rows that will be at hand next, as far as they are: to the second-level cache."""
    cdef Py_ssize_t i, m
    if s.apart:
        return
    for i in range(first, min(first + n, c.stop)):
        locate(&s.view, i if s.subset is None else s.subset[i], &x, &j, &m)
        prefetch_far(<const char*>x, m * sizeof(floating))
        if index_t is not dense_t:
            prefetch_far(<const char*>j, m * sizeof(index_t))


# What is asked of them ----------------------------------------------------------------------------------------------

cdef int look_at(Source s, Call* c, Sight* sight, Py_ssize_t first, Py_ssize_t n, const floating* x,
                 const index_t* j) except -1 nogil:
    """A column's predictions of a tile, its loss there, and the product back."""
    cdef Py_ssize_t i
    cdef double* p = c.work
    cdef double* value = p + padded(n)
    cdef double* gradient = value + padded(n)
    cdef Block block = Block(n, 1, 1, 0, sight.y + first, p, value, gradient, NULL)
    multiply(s, c, first, n, sight.w, p, x, j)
    for i in range(n):
        p[i] += sight.intercept if c.offset == NULL else sight.intercept + c.offset[first + i]
        sight.p[first + i] = p[i]
    (<Loss>sight.loss).evaluate(&block)
    weigh_rows(n, sight.weight + first if sight.weight != NULL else NULL, value, gradient, sight.sums)
    for i in range(n, padded(n)):
        gradient[i] = 0
    multiply_back(s, c, first, n, gradient, sight.back, x, j)
    return 0


cdef void curve(Source s, Call* c, Py_ssize_t first, Py_ssize_t n, const floating* x, const index_t* j) noexcept nogil:
    """out += X'v and the sum of v, v = h (Xw + b)."""
    cdef Py_ssize_t i
    cdef double* v = c.work
    cdef double* total = c.out + padded(s.n_features)
    multiply(s, c, first, n, c.step, v, x, j)
    for i in range(padded(n)):
        v[i] = c.weight[first + i] * (v[i] + c.shift) if i < n else 0
        total[0] += v[i]
    multiply_back(s, c, first, n, v, c.out, x, j)


cdef void send_back(Source s, Call* c, Py_ssize_t first, Py_ssize_t n, const floating* x, const index_t* j) noexcept nogil:
    """out += X'v for a vector over the rows."""
    cdef Py_ssize_t i
    for i in range(padded(n)):
        c.work[i] = c.weight[first + i] if i < n else 0
    multiply_back(s, c, first, n, c.work, c.out, x, j)


cdef void square(Source s, Call* c, Py_ssize_t first, Py_ssize_t n, const floating* x, const index_t* j) noexcept nogil:
    """out_j += h_i (x_ij - m_j)^2, or out_i = sum_j f_j (x_ij - m_j)^2, of dense rows."""
    cdef Py_ssize_t i, f, d = s.n_features, m
    cdef const double* centre = c.centre
    cdef const double* factors = c.weight
    cdef double* out = c.out
    cdef double* line = c.work
    cdef double h, away
    for i in range(n):
        locate(&c.view, c.at[i], &x, &j, &m)
        if c.task == SQUARES:
            h = c.weight[first + i]
            for f in range(d):
                away = x[f] - centre[f]
                out[f] += h * (away * away)
        else:
            for f in range(d):
                away = x[f] - centre[f]
                line[f] = away * away
            for f in range(d, padded(d)):
                line[f] = 0
            out[first + i] = dot(factors, <const dense_t*>NULL, d, line)


cdef void gram(Source s, Call* c, const floating* x, const index_t* j) noexcept nogil:
    """The lower triangle of X' diag(h) X of centred rows and ones; rows of weight 0 are not read."""
    cdef Py_ssize_t d = s.n_features, stride = padded(d + 1), i, r, f, m = 0
    cdef double* kept = c.work
    cdef double* scaled = kept + GRAM_ROWS * stride
    cdef double* h = scaled + GRAM_ROWS * stride
    for i in range(c.start, c.stop):
        if c.weight[i] != 0:
            c.numbers[m] = i if s.subset is None else s.subset[i]
            h[m] = c.weight[i]
            m += 1
        if m < GRAM_ROWS and i + 1 < c.stop:
            continue
        bring(s, c, m, x)
        for r in range(m):
            spread(&c.view, c.at[r], c.centre, d, kept + r * stride, x, j)
            kept[r * stride + d] = 1
            for f in range(d + 1, stride):
                kept[r * stride + f] = 0
            for f in range(stride):
                scaled[r * stride + f] = h[r] * kept[r * stride + f]
        lower_gram(m, d + 1, stride, kept, scaled, c.out)
        m = 0


cdef void take_columns(Source s, Call* c, Py_ssize_t first, Py_ssize_t n, const floating* x,
                       const index_t* j) noexcept nogil:
    """Entries of the features that are wanted, column by column; without room for them they are counted."""
    cdef Py_ssize_t i, e, m, to
    cdef int32_t place
    for i in range(n):
        locate(&c.view, c.at[i], &x, &j, &m)
        for e in range(m):
            if index_t is dense_t:
                place = c.places[e]
            else:
                place = c.places[j[e]]
            if place < 0 or x[e] == 0:
                continue
            to = c.ends[place]
            c.ends[place] = to + 1
            if c.out != NULL:
                c.out[to], c.entries[to] = x[e], <int32_t>(first + i)


cdef int visit(Source s, Call* c, const floating* x, const index_t* j) except -1 nogil:
    cdef Py_ssize_t first = c.start, n, a
    if c.task == GRAM:
        gram(s, c, x, j)
        return 0
    while first < c.stop:
        n = min(s.height, c.stop - first)
        number(s, c, first, n)
        if not s.upright or c.task == SQUARES or c.task == LEVERAGE or c.task == COLUMNS:
            bring(s, c, n, x)
        c.ahead = True
        if c.task == LOOK:
            for a in range(c.n_sights):
                look_at(s, c, c.sights + a, first, n, x, j)
                c.ahead = False
        elif c.task == CURVE:
            curve(s, c, first, n, x, j)
        elif c.task == BACK:
            send_back(s, c, first, n, x, j)
        elif c.task == COLUMNS:
            take_columns(s, c, first, n, x, j)
        elif index_t is dense_t:
            square(s, c, first, n, x, j)
        first += n
    return 0


cdef int call(Source s, Call* c, Py_ssize_t size, Py_ssize_t height) except -1:
    """The one body, for this table's kind of rows, with room for `size` numbers and `height` rows."""
    cdef Py_ssize_t d = s.n_features, i
    cdef double[::1] work = np.empty(size + padded(d) + PADDING)
    cdef Py_ssize_t[::1] numbers = np.empty(2 * height + padded(d), dtype=np.intp)
    cdef unsigned char[::1] gathered = np.empty(1 + (height * s.rows.row_bytes if s.apart else 0), dtype=np.uint8)
    c.work, c.numbers, c.at = aligned(&work[0]), &numbers[0], &numbers[0]
    c.dots, c.features = c.work + size, &numbers[0] + 2 * height
    c.gathered, c.view = <char*>&gathered[0], s.view
    if s.apart:
        c.at = &numbers[height]
        for i in range(height):
            c.at[i] = i
        for i in range(padded(d)):
            c.features[i] = min(i, d - 1)
        c.view.values, c.view.row_stride, c.view.column_stride = c.gathered, d, 1
    with nogil:
        if s.view.starts == NULL:
            if s.single:
                return visit(s, c, <const float*>NULL, <const dense_t*>NULL)
            return visit(s, c, <const double*>NULL, <const dense_t*>NULL)
        if s.single:
            if s.wide:
                return visit(s, c, <const float*>NULL, <const int64_t*>NULL)
            return visit(s, c, <const float*>NULL, <const int32_t*>NULL)
        if s.wide:
            return visit(s, c, <const double*>NULL, <const int64_t*>NULL)
        return visit(s, c, <const double*>NULL, <const int32_t*>NULL)


# The face that Python sees ------------------------------------------------------------------------------------------

cdef class Sights:
    """Columns to look at.

    Parameters
    ----------
    columns : list of (Loss, ndarray of shape (n,), ndarray of shape (n,) or None)
        Losses with scalar parameters, targets, weights.
    coef : ndarray of shape (A, d)
    intercept : ndarray of shape (A,)
    offset : ndarray of shape (n,) or None
    p : ndarray of shape (A, n)
        Where predictions go.
    """

    cdef list _held
    cdef object _memory
    cdef Sight* sights
    cdef Py_ssize_t n_columns
    cdef const double[::1] offset
    cdef readonly const double[:, ::1] coef

    def __init__(self, columns, coef, intercept, offset, p):
        cdef unsigned char[::1] memory = np.zeros(len(columns) * sizeof(Sight) + 1, dtype=np.uint8)
        cdef const double[::1] y, weight
        cdef double[:, ::1] predictions = p
        cdef Loss loss
        cdef Py_ssize_t a
        self._memory, self._held, self.n_columns = memory, [p], len(columns)
        self.sights = <Sight*>&memory[0]
        self.coef, self.offset = coef, offset
        for a in range(self.n_columns):
            loss, y, weight = columns[a]
            self._held.append((loss, y, weight))
            self.sights[a] = Sight(<void*>loss, NULL, NULL, NULL, NULL, NULL, NULL, intercept[a])
            if y.shape[0]:
                self.sights[a].y, self.sights[a].p = &y[0], &predictions[a, 0]
                if weight is not None:
                    self.sights[a].weight = &weight[0]


def look(Source source, Sights sights, Py_ssize_t start, Py_ssize_t stop, double[:, ::1] out):
    """Predictions of rows `start` to `stop`, and what is found there: added to `out`.

    Parameters
    ----------
    source : Source
    sights : Sights
    start, stop : int
    out : ndarray of shape (A, len(SUMS) + d)
    """
    cdef Py_ssize_t A = sights.n_columns, d = source.n_features, stride = padded(d), a, f
    cdef double[::1] memory = np.zeros(2 * A * stride + PADDING)
    cdef double* vectors = aligned(&memory[0])
    cdef unsigned char[::1] copies = np.empty(A * sizeof(Sight) + 1, dtype=np.uint8)
    cdef Sight* mine = <Sight*>&copies[0]
    cdef Call c
    c.task, c.start, c.stop, c.sights, c.n_sights = LOOK, start, stop, mine, A
    c.offset = &sights.offset[0] if sights.offset is not None and stop > start else NULL
    for a in range(A):
        mine[a] = sights.sights[a]
        mine[a].w, mine[a].back = vectors + 2 * a * stride, vectors + (2 * a + 1) * stride
        mine[a].sums = &out[a, 0]
        for f in range(d):
            mine[a].w[f] = sights.coef[a, f]
    call(source, &c, 3 * padded(source.height), source.height)
    for a in range(A):
        for f in range(d):
            out[a, FIRST + f] += mine[a].back[f]


cdef double[::1] ask(Source source, Task task, Py_ssize_t start, Py_ssize_t stop, const double[::1] weight,
                     const double[::1] centre, double[::1] out):
    """Make a call that fills or adds to `out`."""
    cdef Py_ssize_t stride = padded(source.n_features + 1)
    cdef Call c
    if stop <= start:
        return out
    c.task, c.start, c.stop = task, start, stop
    c.weight = &weight[0] if weight.shape[0] else NULL
    c.centre = &centre[0] if centre is not None and centre.shape[0] else NULL
    c.out = &out[0] if out.shape[0] else NULL
    if task == GRAM:
        call(source, &c, (2 * stride + 1) * GRAM_ROWS, GRAM_ROWS)
    else:
        call(source, &c, max(stride, padded(source.height)), source.height)
    return out


def back(Source source, Py_ssize_t start, Py_ssize_t stop, weight):
    """X'v over rows `start` to `stop`."""
    out = np.zeros(padded(source.n_features))
    ask(source, BACK, start, stop, weight, None, out)
    return out[:source.n_features]


def curved(Source source, Py_ssize_t start, Py_ssize_t stop, const double[::1] second, step, double shift):
    """X'v and the sum of v over rows `start` to `stop`, v = h (X step + shift): an array of d + 1 numbers."""
    cdef Py_ssize_t d = source.n_features, stride = padded(d)
    cdef double[::1] w = np.zeros(stride + 1), out = np.zeros(stride + 1)
    cdef Call c
    if stop > start:
        np.asarray(w)[:d] = step
        c.task, c.start, c.stop, c.weight, c.centre = CURVE, start, stop, &second[0], NULL
        c.step, c.shift, c.out = &w[0], shift, &out[0]
        call(source, &c, padded(source.height), source.height)
    return np.append(out[:d], out[stride])


def squares(Source source, Py_ssize_t start, Py_ssize_t stop, weight, centre):
    """sum_i h_i (x_ij - m_j)^2 over dense rows `start` to `stop`, for each j."""
    out = np.zeros(source.n_features)
    ask(source, SQUARES, start, stop, weight, centre, out)
    return out


def leverage(Source source, Py_ssize_t start, Py_ssize_t stop, factors, centre, out):
    """sum_j f_j (x_ij - m_j)^2 of dense rows `start` to `stop`: into `out`, of shape (n,)."""
    ask(source, LEVERAGE, start, stop, factors, centre, out)


def add_gram(Source source, Py_ssize_t start, Py_ssize_t stop, weight, centre, out):
    """Add the lower triangle of X' diag(h) X of centred rows, with a column of ones last.

    Parameters
    ----------
    source : Source
    start, stop : int
    weight : ndarray of shape (n,)
    centre : ndarray of shape (d,)
    out : ndarray of shape ((d + 1) * stride,)
        `stride` is d + 1 padded to a multiple of `PAD`.
    """
    ask(source, GRAM, start, stop, weight, centre, out)


def columns(Source source, Py_ssize_t n_rows, const int32_t[::1] places, Py_ssize_t[::1] ends, double[::1] values,
            int32_t[::1] rows):
    """Entries of some features, column by column.

    Parameters
    ----------
    source : Source
    n_rows : int
    places : ndarray of shape (d,)
        Of features among those that are wanted; negative of others.
    ends : ndarray
        Where the entries of each begin; becomes where they end. Entries that are 0 are left out.
    values, rows : ndarrays or None
        To be filled; None: entries are counted only.
    """
    cdef Call c
    if n_rows == 0 or places.shape[0] == 0 or ends.shape[0] == 0:
        return
    c.task, c.start, c.stop, c.places, c.ends = COLUMNS, 0, n_rows, &places[0], &ends[0]
    c.out, c.entries = NULL, NULL
    if values is not None:
        if values.shape[0] == 0:
            return
        c.out, c.entries = &values[0], &rows[0]
    call(source, &c, padded(source.height), source.height)


PAD = PADDING


def along(Loss loss, rows, (Py_ssize_t, Py_ssize_t) chunk, p, end, double t, bint curved):
    """A loss at predictions on a line: no rows are read.

    Parameters
    ----------
    loss : Loss
        With scalar parameters.
    rows : tuple of ndarray of shape (n,), ndarray of shape (n,) or None
        Targets and weights.
    chunk : tuple of two ints
        The rows that count.
    p : ndarray of shape (n,)
        Predictions where the line starts.
    end : ndarray of shape (n,) or None
        Where it is at t = 1; None: 1 above p.
    t : float
    curved : bool
        Whether second derivatives are wanted.

    Returns
    -------
    value, slope, steepness, curvature : float
        Sums of the weighted loss, of its derivative by t, of absolute derivatives by the prediction, and of second
        derivatives by t.
    """
    cdef const double[::1] y = rows[0], weight = rows[1], from_ = p, to = end
    cdef double[::1] memory = np.empty(4 * PIECE)
    cdef double* at = &memory[0]
    cdef double* swept[3]
    cdef double[4] sums = [0, 0, 0, 0]
    cdef Py_ssize_t first, n, i
    cdef Block block
    swept = [at + PIECE, at + 2 * PIECE, NULL]
    if curved:
        swept[2] = at + 3 * PIECE
    with nogil:
        for first in range(chunk[0], chunk[1], 1024):
            n = min(<Py_ssize_t>PIECE, chunk[1] - first)
            if to is None:
                for i in range(n):
                    at[i] = from_[first + i] + t
            else:
                for i in range(n):
                    at[i] = from_[first + i] + t * (to[first + i] - from_[first + i])
            block = Block(n, 1, 1, 0, &y[first], at, swept[0], swept[1], swept[2])
            loss.evaluate(&block)
            weigh_along(n, &weight[first] if weight is not None else NULL, &from_[first] if to is not None else NULL,
                        &to[first] if to is not None else NULL, swept, sums)
    return sums[0], sums[1], sums[2], sums[3]


cdef Beside beside(const double[::1] p, const double[:, ::1] kinks, Py_ssize_t start, Py_ssize_t stop) noexcept:
    return Beside(stop - start, &p[0] + start, &kinks[0, 0] + start, &kinks[1, 0] + start)


def near(const double[::1] p, const double[:, ::1] kinks, const double[::1] reach, double limit,
         (Py_ssize_t, Py_ssize_t) chunk):
    """Rows whose predictions are within ``limit * reach`` of their kinks.

    Parameters
    ----------
    p : ndarray of shape (n,)
    kinks : ndarray of shape (2, n)
        Positions and jumps; kinks of jump 0 are none.
    reach : ndarray of shape (n,) or None
        None: 1.
    limit : float
    chunk : tuple of two ints
        The rows that count.
    """
    cdef Py_ssize_t start = chunk[0], stop = chunk[1], m = 0
    cdef Py_ssize_t[::1] rows = np.empty(stop - start, dtype=np.intp)
    cdef Beside at
    if stop > start:
        at = beside(p, kinks, start, stop)
        with nogil:
            m = sk_near(&at, &reach[start] if reach is not None else NULL, limit, &rows[0])
    return np.asarray(rows)[:m] + start


def below(const double[::1] p, const double[:, ::1] kinks, double limit, (Py_ssize_t, Py_ssize_t) chunk):
    """The sum of the jumps of kinks that are further than `limit` below predictions: see :func:`near`."""
    cdef Beside at
    if chunk[1] <= chunk[0]:
        return 0.0
    at = beside(p, kinks, chunk[0], chunk[1])
    with nogil:
        limit = sk_below(&at, limit)
    return limit


def crossed(const double[::1] before, const double[::1] after, const double[:, ::1] kinks,
            (Py_ssize_t, Py_ssize_t) chunk):
    """Rows whose kinks are below one of two predictions and not below the other: see :func:`near`."""
    cdef Py_ssize_t start = chunk[0], stop = chunk[1], m = 0
    cdef Py_ssize_t[::1] rows = np.empty(stop - start, dtype=np.intp)
    cdef Beside at
    if stop > start:
        at = beside(before, kinks, start, stop)
        with nogil:
            m = sk_crossed(&at, &after[start], &rows[0])
    return np.asarray(rows)[:m] + start

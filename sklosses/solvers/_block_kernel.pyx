"""Readings of a table for a block of columns: its rows are read once, whatever the number of columns.

Some rows at a time are brought into the cache, in double precision and less a centre, with a 1 behind them. Predictions
of all columns are one matrix product, the losses sweep columns of equal loss, gradients are a product back. Arrays
are (rows, columns) with the columns across the vector lanes; runs of columns of equal loss are padded to whole vectors.
What is found of a column does not depend on the other columns, bit for bit.
"""

from cython cimport floating
from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

import numpy as np

from sklosses.data._products cimport prefetch_far
from sklosses.data._rows cimport Rows, View
from sklosses.data._tile cimport PADDING, multiply
from sklosses.losses._loss cimport Block, Loss

cdef extern from "_weigh.h" nogil:
    ctypedef struct Swept "sk_swept":
        Py_ssize_t n
        Py_ssize_t stride
        const double* weight
        const double* of_class
        const double* smooth
        const double* value
        double* gradient
    void weigh "sk_weigh"(const Swept* swept, Py_ssize_t first, Py_ssize_t stop, const double* mask,
                          double* sums) noexcept
    void weigh_curvature "sk_weigh_curvature"(Py_ssize_t n, Py_ssize_t stride, Py_ssize_t first, Py_ssize_t stop,
                                              const double* weight, const double* mask, const double* of_class,
                                              double* hessian) noexcept
    bint differ "sk_differ"(const double* a, const double* b) noexcept      # any of eight

ctypedef fused index_t:
    int32_t
    int64_t

cdef enum:
    # The steps of loops have to say 64 and 24 themselves: Cython must see their sign.
    HEIGHT = 64     # rows at a time: they and what is computed of 100 columns fit into the second-level cache
    LOW = 32        # where there are at most 64 features: 16 columns fit into the first-level cache
    FAR = 8         # rows spread over so many times as many numbers are asked for as a whole, column by column
    KEPT = 256      # rows that a Gram matrix's products are made of, by so many columns
    PANEL = 24


# What `read` finds of each column, in this order; the gradient with respect to coefficients and intercept follows.
SUMS = ("weight", "smooth", "value", "steepness", "square", "slack")
PAD = PADDING
cdef enum:
    # weight, smooth, value, steepness, square: by `weigh`. The smooth loss is what is minimised, with slopes u: |u|
    # and u^2. The value is that of the loss itself, which may have kinks.
    SLACK = 5       # value + conjugate(u) - u p
    FIRST = 6       # row of the gradient


cdef class Table:
    """Rows in the order in which they are read, and what belongs to them.

    Parameters
    ----------
    rows : Rows
    order : ndarray of shape (m,)
        intp row numbers.
    targets : sequence of ndarray of shape (n,)
        Not copied.
    weights, offset : ndarray of shape (n,) or None
    centre : ndarray of shape (d,)
    """

    cdef Rows rows
    cdef View view
    cdef readonly Py_ssize_t n_features
    cdef bint single, wide, sparse
    cdef const Py_ssize_t[::1] order
    cdef object _targets
    cdef const double** targets
    cdef const double[::1] weights
    cdef const double[::1] offset
    cdef const double[::1] centre

    def __init__(self, rows, order, targets, weights, offset, centre):
        cdef const double[::1] target
        cdef Py_ssize_t[::1] addresses = np.zeros(max(1, len(targets)), dtype=np.intp)
        self.rows, self.order, self.weights, self.offset, self.centre = rows, order, weights, offset, centre
        self._targets = list(targets), addresses
        self.targets = <const double**>&addresses[0]
        for i, target in enumerate(targets):
            self.targets[i] = &target[0]
        self.view = self.rows.view
        self.n_features = self.view.n_features
        self.single = rows.dtype == np.float32
        self.sparse = self.view.starts != NULL
        self.wide = self.sparse and rows.indptr.dtype == np.int64


cdef struct Run:
    void* smooth
    void* kinked            # the loss that `smooth` stands for; NULL: itself
    Py_ssize_t first
    Py_ssize_t count
    bint shared             # all its columns have the same targets


cdef class Columns:
    """Columns of coefficients, in runs of equal loss.

    Parameters
    ----------
    runs : list of (Loss, Loss or None, int)
        What is minimised, the loss with kinks that it stands for, and a number of columns: a multiple of `PAD`.
        Vector parameters hold one value for each of them.
    z : ndarray of shape (d + 1, K)
        Centred coefficients and, last, the prediction at the centre.
    sources : ndarray of shape (K,)
        intp numbers of the table's targets that each column has.
    mask : ndarray of shape (P, K)
        What the weights of the rows of each pattern are multiplied by.
    recoding : ndarray of shape (K, 5) or None, default=None
        Where targets are class numbers: each column's own class, the loss's codes of the other classes and of its own,
        and weights of their rows likewise.
    n_looked : int or None, default=None
        Columns before this one are looked at; of those behind, second derivatives are asked for. None: all are.
    """

    cdef object _losses
    cdef Run* runs
    cdef object _runs
    cdef Py_ssize_t n_runs
    cdef const double[:, ::1] z
    cdef const Py_ssize_t[::1] sources
    cdef const double[:, ::1] mask
    cdef const double[:, ::1] recoding
    cdef readonly Py_ssize_t n_columns, n_looked

    def __init__(self, runs, z, sources, mask, recoding=None, n_looked=None):
        cdef Py_ssize_t first = 0, i
        cdef Loss smooth, kinked
        cdef const unsigned char[::1] memory
        self._losses = runs
        self._runs = np.zeros(max(1, len(runs)) * sizeof(Run), dtype=np.uint8)
        memory = self._runs
        self.runs = <Run*>&memory[0]
        self.n_runs = len(runs)
        for i in range(self.n_runs):
            smooth, kinked, count = runs[i]
            if count % PADDING:
                raise ValueError(f"A run must have a multiple of {PADDING} columns, got {count}.")
            self.runs[i] = Run(<void*>smooth, NULL, first, count, False)
            if kinked is not None:
                self.runs[i].kinked = <void*>kinked
            first += count
        if z.shape[1] != first or sources.shape[0] != first or mask.shape[1] != first:
            raise ValueError(f"The runs have {first} columns, z {z.shape[1]}.")
        self.z, self.sources, self.mask, self.n_columns = z, sources, mask, first
        self.recoding, self.n_looked = recoding, first if n_looked is None else n_looked
        for i in range(self.n_runs):
            of_run = sources[self.runs[i].first:self.runs[i].first + self.runs[i].count]
            self.runs[i].shared = bool(np.all(of_run == of_run[0]))


# Some rows --------------------------------------------------------------------------------------------------------------

cdef struct Work:
    # Arrays of HEIGHT rows. `x` has a stride of its own; the others one element a column.
    double* x
    double* p
    double* y
    double* value
    double* gradient
    double* kinked_value
    double* kinked_gradient
    double* weight          # of a row
    double* of_class        # of a row and column; NULL: 1


cdef inline void load_dense(Table t, const floating* values, const Py_ssize_t* order, Py_ssize_t n, double* out,
                            Py_ssize_t stride) noexcept nogil:
    cdef Py_ssize_t d = t.n_features, step = t.view.column_stride, i, j
    cdef const Py_ssize_t* later = order + HEIGHT
    cdef bint ahead = later + n <= &t.order[0] + t.order.shape[0]
    cdef const double* centre = &t.centre[0]
    cdef const floating* row
    cdef double* to
    cdef Py_ssize_t span = later[n - 1] - later[0] + 1 if ahead else 0
    if t.view.row_stride == 1 and step != 1:        # Fortran order: along the columns
        ahead = 0 < span <= FAR * HEIGHT
        for j in range(d):
            row = values + j * step
            if ahead:
                prefetch_far(<const char*>(row + later[0]), span * sizeof(floating))
            for i in range(n):
                out[i * stride + j] = row[order[i]] - centre[j]
        return
    ahead = ahead and step == 1
    for i in range(n):
        row, to = values + order[i] * t.view.row_stride, out + i * stride
        if ahead:       # the next block's row: it arrives while this block is multiplied
            prefetch_far(<const char*>(values + later[i] * t.view.row_stride), d * sizeof(floating))
        if step == 1:
            for j in range(d):
                to[j] = row[j] - centre[j]
        else:
            for j in range(d):
                to[j] = row[j * step] - centre[j]


cdef inline void load_sparse(Table t, const floating* values, const index_t* indices, const Py_ssize_t* order,
                             Py_ssize_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef Py_ssize_t d = t.n_features, i, j, e
    cdef const double* centre = &t.centre[0]
    cdef const index_t* starts = <const index_t*>t.view.starts
    cdef double* to
    for i in range(n):
        to = out + i * stride
        for j in range(d):
            to[j] = -centre[j]
        for e in range(starts[order[i]], starts[order[i] + 1]):
            to[indices[e]] += values[e]


cdef void load(Table t, Py_ssize_t start, Py_ssize_t n, double* out, Py_ssize_t stride) noexcept nogil:
    """Centred rows with a last column of ones, and zeros to the stride."""
    cdef const Py_ssize_t* order = &t.order[start]
    cdef Py_ssize_t d = t.n_features, i, j
    if not t.sparse:
        if t.single:
            load_dense(t, <const float*>t.view.values, order, n, out, stride)
        else:
            load_dense(t, <const double*>t.view.values, order, n, out, stride)
    elif t.single:
        if t.wide:
            load_sparse(t, <const float*>t.view.values, <const int64_t*>t.view.indices, order, n, out, stride)
        else:
            load_sparse(t, <const float*>t.view.values, <const int32_t*>t.view.indices, order, n, out, stride)
    elif t.wide:
        load_sparse(t, <const double*>t.view.values, <const int64_t*>t.view.indices, order, n, out, stride)
    else:
        load_sparse(t, <const double*>t.view.values, <const int32_t*>t.view.indices, order, n, out, stride)
    for i in range(n):
        out[i * stride + d] = 1
        for j in range(d + 1, stride):
            out[i * stride + j] = 0


cdef void take_targets(Table t, Columns c, Py_ssize_t start, Py_ssize_t n, Work* w) noexcept nogil:
    """Targets of rows for each column, and weights."""
    cdef Py_ssize_t K = c.z.shape[1], i, k, r, row, stop
    cdef double y
    cdef double* line
    for i in range(n):
        row, line = t.order[start + i], w.y + i * K
        w.weight[i] = 1.0 if t.weights is None else t.weights[row]
        for r in range(c.n_runs):
            stop = c.runs[r].first + c.runs[r].count
            if c.runs[r].shared:
                y = t.targets[c.sources[c.runs[r].first]][row]
                for k in range(c.runs[r].first, stop):
                    line[k] = y
            else:
                for k in range(c.runs[r].first, stop):
                    line[k] = t.targets[c.sources[k]][row]
        if c.recoding is not None:
            recode(&c.recoding[0, 0], K, line, w.of_class + i * K)


cdef inline void recode(const double* recoding, Py_ssize_t K, double* y, double* weight) noexcept nogil:
    """From class numbers to a loss's codes."""
    cdef Py_ssize_t k
    cdef bint own
    for k in range(K):
        own = y[k] == recoding[5 * k]
        y[k] = recoding[5 * k + 2] if own else recoding[5 * k + 1]
        weight[k] = recoding[5 * k + 4] if own else recoding[5 * k + 3]


cdef void predict(Table t, Columns c, Py_ssize_t start, Py_ssize_t n, Work* w, Py_ssize_t stride) noexcept nogil:
    cdef Py_ssize_t K = c.z.shape[1], Q = t.n_features + 1, i, k
    cdef Py_ssize_t[3] shape = [n, K, Q]
    cdef double offset
    if t.offset is None:
        memset(w.p, 0, n * K * sizeof(double))
    else:
        for i in range(n):
            offset = t.offset[t.order[start + i]]
            for k in range(K):
                w.p[i * K + k] = offset
    multiply(shape, w.x, stride, 1, &c.z[0, 0], K, w.p, K)


cdef int sweep(Columns c, Py_ssize_t n, Work* w) except -1 nogil:
    """Values and gradients at the predictions, of the losses with kinks too, where there are some; or hessians."""
    cdef Py_ssize_t K = c.z.shape[1], r, at
    cdef Block block
    for r in range(c.n_runs):
        at = c.runs[r].first
        if at >= c.n_looked:
            block = Block(n, c.runs[r].count, K, 0, w.y + at, w.p + at, NULL, NULL, w.value + at)
            (<Loss>c.runs[r].smooth).evaluate(&block)
            continue
        block = Block(n, c.runs[r].count, K, 0, w.y + at, w.p + at, w.value + at, w.gradient + at, NULL)
        (<Loss>c.runs[r].smooth).evaluate(&block)
        if c.runs[r].kinked != NULL:
            block.value, block.gradient = w.kinked_value + at, w.kinked_gradient + at
            (<Loss>c.runs[r].kinked).evaluate(&block)
    return 0


cdef void add_slack(Columns c, Run run, Py_ssize_t n, const double* mask, Work* w, double* slack) noexcept nogil:
    """By how much Fenchel's inequality misses equality: only where smoothing has changed the slope."""
    cdef Py_ssize_t K = c.z.shape[1], i, k, first, at
    cdef double u, s
    for i in range(n):
        for first in range(run.first, run.first + run.count, 8):
            if not differ(w.gradient + i * K + first, w.kinked_gradient + i * K + first):
                continue
            for k in range(first, first + 8):
                at = i * K + k
                u = w.gradient[at]
                if u != w.kinked_gradient[at] and mask[k] != 0:
                    s = w.weight[i] * mask[k] * (1.0 if w.of_class == NULL else w.of_class[at])
                    slack[k] += s * (w.kinked_value[at] - u * w.p[at]
                                     + (<Loss>run.kinked).conjugate_at(w.y[at], u, k - run.first))


cdef int add_looks(Columns c, Py_ssize_t Q, Py_ssize_t n, const double* mask, Work* w, double* sums) except -1 nogil:
    """Add what is found of some rows, in the columns that are looked at."""
    cdef Py_ssize_t K = c.z.shape[1], r, first
    cdef Py_ssize_t[3] shape = [Q, c.n_looked, n]
    cdef Swept swept
    for r in range(c.n_runs):
        first = c.runs[r].first
        if first >= c.n_looked:
            break
        swept = Swept(n, K, w.weight, w.of_class, w.value, w.value, w.gradient)
        if c.runs[r].kinked != NULL:
            add_slack(c, c.runs[r], n, mask, w, sums + SLACK * K)
            swept.value = w.kinked_value
        weigh(&swept, first, first + c.runs[r].count, mask, sums)
    multiply(shape, w.x, 1, padded(Q), w.gradient, K, sums + FIRST * K, K)
    return 0


cdef inline Py_ssize_t padded(Py_ssize_t Q) noexcept nogil:
    return (Q + PADDING - 1) // PADDING * PADDING


cdef class Buffers:
    """Memory for some rows."""

    cdef object _arrays
    cdef Work work

    def __init__(self, Table t, Columns c):
        cdef Py_ssize_t K = c.z.shape[1], stride = padded(t.n_features + 1)
        self._arrays = []
        self.work.x = self._new(HEIGHT * stride)
        self.work.p, self.work.y = self._new(HEIGHT * K), self._new(HEIGHT * K)
        self.work.value, self.work.gradient = self._new(HEIGHT * K), self._new(HEIGHT * K)
        self.work.kinked_value, self.work.kinked_gradient = self._new(HEIGHT * K), self._new(HEIGHT * K)
        self.work.weight = self._new(HEIGHT)
        self.work.of_class = NULL if c.recoding is None else self._new(HEIGHT * K)

    cdef double* _new(self, Py_ssize_t size) except NULL:
        cdef double[::1] view = np.empty(size + 8)
        cdef Py_ssize_t address = <Py_ssize_t>&view[0]
        self._arrays.append(view)
        return <double*>(address + (64 - address % 64) % 64)     # vectors that straddle cache lines take two loads


# Second derivatives -------------------------------------------------------------------------------------------------

cdef void add_gram(Py_ssize_t m, Py_ssize_t Q, Py_ssize_t stride, const double* kept, double* out) noexcept nogil:
    """out += kept' kept, the lower triangle, panel by panel."""
    cdef Py_ssize_t i, j
    cdef Py_ssize_t[3] shape
    for j in range(0, Q, 24):
        for i in range(j, Q, 24):
            shape = [min(<Py_ssize_t>PANEL, Q - i), min(<Py_ssize_t>PANEL, stride - j), m]
            multiply(shape, kept + i * KEPT, 1, PANEL, kept + j * KEPT, PANEL, out + i * stride + j, stride)


cdef Py_ssize_t keep(Py_ssize_t n, Py_ssize_t Q, const double* x, Py_ssize_t stride, const double* weight,
                     Py_ssize_t step, Py_ssize_t m, double* kept, double* out) noexcept nogil:
    """Put rows, times the roots of their weights, with the `m` that are kept already; how many there are then.

    Rows of weight 0 are left out: where kinks are smoothed, most are. Products are made of `KEPT` rows at once, so that
    the matrix, which may be larger than the second-level cache, is seldom visited; and of panels of `PANEL` columns,
    each in one piece. What a panel has beyond Q columns stays as it is: 0.
    """
    cdef Py_ssize_t i, j, first
    cdef double root
    cdef const double* row
    cdef double* to
    for i in range(n):
        if weight[i * step] > 0:
            root = sqrt(weight[i * step])
            for first in range(0, Q, 24):
                row, to = x + i * stride + first, kept + first * KEPT + m * PANEL
                for j in range(min(<Py_ssize_t>PANEL, Q - first)):
                    to[j] = root * row[j]
            m += 1
            if m == KEPT:
                add_gram(m, Q, padded(Q), kept, out)
                m = 0
    return m


def read(Table table, Columns columns, const Py_ssize_t[:, ::1] chunks, double[:, :, ::1] out,
         const Py_ssize_t[::1] wanted, double[:, :, ::1] matrices):
    """Add what is found of some rows.

    Parameters
    ----------
    table : Table
    columns : Columns
    chunks : ndarray of shape (C, 3)
        intp: from one place of the order to another, and the pattern of these rows.
    out : ndarray of shape (C, len(SUMS) + d + 1, K)
        Of each chunk, the columns that are looked at.
    wanted : ndarray of shape (A,)
        intp numbers of columns of which second derivatives are asked for, X' diag(s phi'') X.
    matrices : ndarray of shape (A, d + 1, stride)
        Of all chunks, the lower triangles; `stride` is d + 1 padded to a multiple of `PAD`.
    """
    cdef Buffers buffers = Buffers(table, columns)
    cdef Work* w = &buffers.work
    cdef Py_ssize_t K = columns.z.shape[1], Q = table.n_features + 1, stride = padded(Q), c, at, n, a, k
    cdef double[:, ::1] room = np.zeros((wanted.shape[0], KEPT * (stride + PANEL)))
    cdef Py_ssize_t[::1] kept = np.zeros(wanted.shape[0], dtype=np.intp)
    cdef Py_ssize_t height = LOW if table.n_features <= 64 else HEIGHT
    cdef const double* mask
    with nogil:
        for c in range(chunks.shape[0]):
            mask, at = &columns.mask[chunks[c, 2], 0], chunks[c, 0]
            while at < chunks[c, 1]:
                n = min(height, chunks[c, 1] - at)
                load(table, at, n, w.x, stride)
                take_targets(table, columns, at, n, w)
                predict(table, columns, at, n, w, stride)
                sweep(columns, n, w)
                if columns.n_looked:
                    add_looks(columns, Q, n, mask, w, &out[c, 0, 0])
                weigh_curvature(n, K, columns.n_looked, K, w.weight, mask, w.of_class, w.value)
                for a in range(wanted.shape[0]):
                    k = wanted[a]
                    if mask[k] != 0:
                        kept[a] = keep(n, Q, w.x, stride, w.value + k, K, kept[a], &room[a, 0], &matrices[a, 0, 0])
                at += n
        for a in range(wanted.shape[0]):
            add_gram(kept[a], Q, stride, &room[a, 0], &matrices[a, 0, 0])


def mirror(double[:, ::1] matrix):
    """Make the upper triangle of a matrix, which may have more columns than rows, what the lower one is."""
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(matrix.shape[0]):
            for j in range(i):
                matrix[j, i] = matrix[i, j]


def moments(Table table, Py_ssize_t start, Py_ssize_t stop, double[:, ::1] out):
    """Add weighted sums of the centred features and of their squares; of ones, last.

    Parameters
    ----------
    table : Table
    start, stop : int
    out : ndarray of shape (2, d + 1)
    """
    cdef Py_ssize_t Q = table.n_features + 1, stride = padded(Q), at, n, i, j
    cdef double[::1] x = np.empty(HEIGHT * stride)
    cdef double s
    with nogil:
        for at in range(start, stop, 64):
            n = min(<Py_ssize_t>HEIGHT, stop - at)
            load(table, at, n, &x[0], stride)
            for i in range(n):
                s = 1.0 if table.weights is None else table.weights[table.order[at + i]]
                for j in range(Q):
                    out[0, j] += s * x[i * stride + j]
                    out[1, j] += s * x[i * stride + j] * x[i * stride + j]

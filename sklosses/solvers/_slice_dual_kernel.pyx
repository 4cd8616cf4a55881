"""Sequential dual descent for maxima over the classes of a row: a row's whole distribution at a time.

Row i has a distribution a_i over the K classes, and the coefficients are ::

    w_k = sum_i c_i ([y_i = k] - a_ik) x_i,     c_i = s_i / (S l2)

A step maximises the dual over one a_i, all others being what they are (Keerthi, Sundararajan, Chang, Hsieh, Lin 2008).
With q = c_i (||x_i||^2 + rho) that is a projection onto the simplex, of ::

    (p + cost + q a_i + width e_y) / (q + width),       p = W x_i + b

With an l1 penalty too that formula is the `lines`, and the coefficients are what soft thresholding by `shrink` leaves
of them. It moves no two lines apart, so that steps as without it still raise the dual.

The intercepts belong to constraints, sum_i c_i (a_i - e_y) = 0, which an augmented Lagrangian of weight rho keeps, as
in ``_dual_kernel.pyx``. The coefficients of a feature stand together, so a row's entries that are 0 cost nothing.
"""

from cpython.exc cimport PyErr_CheckSignals
from cython cimport floating
from libc.stdint cimport int32_t, int64_t

import numpy as np

from sklosses.data._lines cimport add_to_lines, sum_lines
from sklosses.data._products cimport dense_t, index_t, locate, prefetch
from sklosses.data._rows cimport Rows, View
from sklosses.losses._simplex cimport project
from sklosses.solvers._rests cimport rests

cdef enum:
    FIRST_BYTES = 8192      # of a row, asked for ahead of time
    NEXT = 64               # places in the order among which the next row to visit is looked for

cdef double WORK_BETWEEN_POLLS = 2e7    # multiply-adds: some 30 ms


cdef inline Py_ssize_t entries(Slices s, Py_ssize_t row, const floating* x, const index_t* j) noexcept nogil:
    """The entries of a row that are not 0, and where their lines begin; returns how many. x and j carry types."""
    cdef Py_ssize_t i, n, found = 0, width = s.width, step = s.view.column_stride
    cdef double here
    cdef double* value = s.x
    cdef Py_ssize_t* at = s.at
    locate(&s.view, row, &x, &j, &n)
    if index_t is dense_t:
        for i in range(n):
            here = x[i * step]
            value[found] = here
            at[found] = i * width
            found += here != 0      # without a branch, and without waiting for what was stored
    else:
        for i in range(n):
            value[i] = x[i]
            at[i] = j[i] * width
        found = n
    return found


cdef inline void ask_for(Slices s, Py_ssize_t row, const floating* x, const index_t* j) noexcept nogil:
    """Ask memory for the beginning of a row. What follows comes by itself, for it is read in sequence."""
    cdef Py_ssize_t n
    locate(&s.view, row, &x, &j, &n)
    prefetch(<const char*>x, min(<Py_ssize_t>FIRST_BYTES, n * <Py_ssize_t>sizeof(floating)))
    if index_t is not dense_t:
        prefetch(<const char*>j, min(<Py_ssize_t>FIRST_BYTES, n * <Py_ssize_t>sizeof(index_t)))


cdef inline double squares(const double* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef double sum = 0
    for i in range(n):
        sum += x[i] * x[i]
    return sum


cdef inline double shrunk(double v, double by) noexcept nogil:
    return v - max(min(v, by), -by)


cdef inline void add(Slices s, Py_ssize_t n) noexcept nogil:
    """Add the row at hand, times the goal of each class, to the lines of its entries."""
    cdef Py_ssize_t i, k
    add_to_lines(s.x, s.at, n, s.goal, s.width, s.lines)
    if s.coef != s.lines:
        for i in range(n):
            for k in range(s.at[i], s.at[i] + s.width):
                s.coef[k] = shrunk(s.lines[k], s.shrink)


cdef inline void shrink_all(Slices s) noexcept nogil:
    cdef Py_ssize_t k
    if s.coef != s.lines:
        for k in range(s.view.n_features * s.width):
            s.coef[k] = shrunk(s.lines[k], s.shrink)


cdef inline bint step(Slices s, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    """The step of row i, of n entries; returns whether its distribution has moved."""
    cdef Py_ssize_t k, y = s.label[i]
    cdef double* a = s.a + i * s.K
    cdef double q, slope, top = -1e300, mean = 0
    cdef bint moved = False
    if s.norm[i] < 0:
        s.norm[i] = squares(s.x, n)
    q = max(s.scale[i] * (s.norm[i] + s.rho), 1e-200)
    sum_lines(s.x, s.at, n, s.coef, s.width, s.goal)
    for k in range(s.K):
        s.goal[k] += s.shift[k] + (k != y)
        slope = s.goal[k] - s.rounding * (a[k] - (k == y))
        top = slope if slope > top else top
        mean += a[k] * slope
    s.gap[i] = max(top - mean, 0.0)
    for k in range(s.K):
        s.goal[k] = (s.goal[k] - top + q * a[k] + s.rounding * (k == y)) / (q + s.rounding)
    project(s.goal, s.K)
    for k in range(s.K):
        slope = s.scale[i] * (s.goal[k] - a[k])
        moved |= slope != 0
        a[k] = s.goal[k]
        s.goal[k] = -slope
        s.sum[k] += slope
        s.shift[k] -= s.rho * slope
    for k in range(s.K, s.width):
        s.goal[k] = 0
    if moved:
        add(s, n)
    return moved


cdef int descend(Slices s, const Py_ssize_t[::1] order, const floating* x, const index_t* j) except -1 nogil:
    """An epoch; without an order, a leap."""
    if order is None:
        return leap(s, x, j)
    cdef Py_ssize_t at, i, n, k
    cdef double work = 0
    cdef bint moved
    for at in range(order.shape[0]):
        i = order[at]
        if s.rest[i] > 0:
            s.rest[i] -= 1
            continue
        if s.scale[i] == 0:
            continue
        for k in range(at + 1, min(at + NEXT, order.shape[0])):
            if s.rest[order[k]] == 0:
                ask_for(s, order[k] if s.subset is None else s.subset[order[k]], x, j)
                break
        n = entries(s, i if s.subset is None else s.subset[i], x, j)
        moved = step(s, i, n)
        s.visits += 1
        if s.next_to_none > 0:
            rests(&s.level[i], &s.rest[i], not moved, s.gap[i] * s.scale[i] / s.next_to_none)
        work += n * s.width + 32
        if work > WORK_BETWEEN_POLLS:
            work = 0
            with gil:
                PyErr_CheckSignals()
    for k in range(s.K):
        s.shift[k] -= s.rho * s.sum[k]
    return 0


cdef double rise(Slices s) noexcept nogil:
    """By how much the last epoch has raised the dual, in units of l2: the constraint counts as the intercepts say."""
    cdef Py_ssize_t i, k, size = s.view.n_features * s.width
    cdef double now, was, part, sum = 0
    for k in range(size):
        now, was = s.coef[k], shrunk(s.lines_before[k], s.shrink)
        sum += 0.5 * (was - now) * (was + now)
    for i in range(s.label.shape[0]):
        part = 0
        for k in range(s.K):
            now, was = s.a[i * s.K + k] - (k == s.label[i]), s.a_before[i * s.K + k] - (k == s.label[i])
            if now != was:
                part += (k != s.label[i]) * (now - was) + 0.5 * s.rounding * (was - now) * (was + now)
        sum += s.scale[i] * part
    for k in range(s.K):
        sum += s.shift[k] * (s.sum[k] - s.sum_before[k])
    return sum


cdef int leap(Slices s, const floating* x, const index_t* j) except -1 nogil:
    """All distributions as far ahead of where the epoch has brought them as Nesterov's method goes, projected.

    Not far where the dual has just fallen: then it begins anew. Coefficients are linear in the distributions, so only
    the rows that a projection changes are read.
    """
    cdef Py_ssize_t i, k, n, size = s.view.n_features * s.width
    cdef double by, now
    s.leaps = s.leaps + 1 if rise(s) >= 0 else 1
    by = (s.leaps - 1.0) / (s.leaps + 2.0)
    for k in range(size):
        now = s.lines[k]
        s.lines[k] = now + by * (now - s.lines_before[k])
        s.lines_before[k] = now
    shrink_all(s)
    for k in range(s.K):
        now = s.sum[k]
        s.sum[k] = now + by * (now - s.sum_before[k])
        s.sum_before[k] = now
        s.shift[k] -= s.rho * (s.sum[k] - now)
    for i in range(s.label.shape[0]):
        if moved_ahead(s, i, by):
            n = entries(s, i if s.subset is None else s.subset[i], x, j)
            add(s, n)
    with gil:
        PyErr_CheckSignals()
    return 0


cdef inline bint moved_ahead(Slices s, Py_ssize_t i, double by) noexcept nogil:
    """Move a row's distribution; returns whether that took a projection, whose change of coefficients is in s.goal."""
    cdef double* a = s.a + i * s.K
    cdef double* before = s.a_before + i * s.K
    cdef double now, change
    cdef bint outside = False
    cdef Py_ssize_t k
    for k in range(s.K):
        now = a[k]
        a[k] = now + by * (now - before[k])
        before[k] = now
        s.goal[k] = a[k]
        outside |= a[k] < 0
    if not outside:
        return False
    project(a, s.K)
    for k in range(s.K):
        change = s.scale[i] * (a[k] - s.goal[k])
        s.goal[k] = -change
        s.sum[k] += change
        s.shift[k] -= s.rho * change
    for k in range(s.K, s.width):
        s.goal[k] = 0
    return True


cdef class Slices:
    """What dual descent keeps of a problem with K classes.

    Parameters
    ----------
    rows : Rows
    subset : ndarray of intp of shape (n_rows,) or None
        Numbers of the rows that count; None: all.
    label : ndarray of int64 of shape (n_rows,)
    scale : ndarray of shape (n_rows,)
        The c_i; read again in every epoch.
    shift : ndarray of shape (K,)
        Intercepts; changed.
    rounding : float
        The width of a smoothed maximum, or 0.
    shrink : float, default=0.0
        The l1 penalty in units of that of l2. Where it is 0 it remains so.

    Attributes
    ----------
    coefficients, sums : ndarray of shape (n_features, K or more)
        Those of a feature in a row; and the lines that they are made of, the same array without an l1 penalty. Who
        changes them, or `shrink`, calls `renew`.
    total : ndarray of shape (K,)
        What the constraints say is 0.
    distributions : ndarray of shape (n_rows, K)
    gaps : ndarray of shape (n_rows,)
        By how much a row's distribution fell short of its best when it was last visited.
    rho, next_to_none : float
        Weight of the augmented Lagrangian; a row whose part c_i gap_i is less than this may rest, 0: none does.
    visits : int
        Rows visited so far.
    """

    cdef View view
    cdef Rows rows
    cdef const Py_ssize_t[::1] subset
    cdef const int64_t[::1] label
    cdef const double[::1] scale
    cdef double[::1] norm, shift, sum, gap
    cdef unsigned char[::1] rest, level
    cdef double* lines
    cdef double* coef
    cdef double* a
    cdef double* lines_before   # where the last leap began
    cdef double* a_before
    cdef double[::1] sum_before
    cdef Py_ssize_t leaps       # since the dual last fell
    cdef double* goal
    cdef double* x
    cdef Py_ssize_t* at
    cdef double rounding
    cdef Py_ssize_t K, width
    cdef list _held
    cdef readonly object coefficients, sums, total, distributions, gaps
    cdef public double rho, next_to_none, shrink
    cdef public Py_ssize_t visits

    def __init__(self, Rows rows, subset, label, scale, shift, double rounding, double shrink=0.0):
        cdef Py_ssize_t n = len(label)
        self.rows, self.view = rows, rows.view
        self.subset, self.label, self.scale, self.shift = subset, label, scale, shift
        self.K, self.rounding, self.shrink = len(shift), rounding, shrink
        self.width = (self.K + 7) // 8 * 8
        self.norm, self.total = np.full(n, -1.0), np.zeros(self.K)
        self.sum = self.total
        self.gaps = np.zeros(n)
        self.gap = self.gaps
        self.rest, self.level = np.zeros(n, dtype=np.uint8), np.zeros(n, dtype=np.uint8)
        self.distributions = np.zeros((n, self.K))
        self.distributions[np.arange(n), label] = 1.0
        self.sums = np.zeros((rows.n_features, self.width))
        self.coefficients = np.zeros_like(self.sums) if shrink > 0 else self.sums
        most = rows.n_features if self.view.starts == NULL else int(np.diff(rows.indptr).max(initial=0))
        self._held = []
        self.lines, self.a = self._pointer(self.sums), self._pointer(self.distributions)
        self.coef = self._pointer(self.coefficients) if shrink > 0 else self.lines
        self.a_before = self._pointer(self.distributions.copy())
        self.lines_before = self._pointer(np.zeros_like(self.coefficients))
        self.sum_before = np.zeros(self.K)
        self.goal, self.x = self._pointer(np.zeros(self.width)), self._pointer(np.zeros(most + 1))
        self.at = <Py_ssize_t*>self._pointer(np.zeros(most + 1, dtype=np.intp).view(np.float64))

    cdef double* _pointer(self, array):
        cdef double[::1] memory = array.reshape(-1)
        self._held.append(memory)
        return &memory[0] if memory.shape[0] else NULL

    def renew(self):
        """Make the coefficients of their lines."""
        shrink_all(self)

    def leap(self):
        """Distributions ahead, by a share of what they have moved since the last call that grows from 0 to 1."""
        self.descend(None)

    def descend(self, const Py_ssize_t[::1] order):
        """An epoch: `order` holds the numbers of all rows."""
        cdef bint single = self.rows.dtype.itemsize == 4
        cdef bint sparse = self.view.starts != NULL
        cdef bint wide = sparse and self.rows.indices.dtype.itemsize == 8
        with nogil:
            if not sparse:
                if single:
                    descend(self, order, <const float*>NULL, <const dense_t*>NULL)
                else:
                    descend(self, order, <const double*>NULL, <const dense_t*>NULL)
            elif single:
                if wide:
                    descend(self, order, <const float*>NULL, <const int64_t*>NULL)
                else:
                    descend(self, order, <const float*>NULL, <const int32_t*>NULL)
            elif wide:
                descend(self, order, <const double*>NULL, <const int64_t*>NULL)
            else:
                descend(self, order, <const double*>NULL, <const int32_t*>NULL)

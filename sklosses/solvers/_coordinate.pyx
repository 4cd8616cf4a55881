"""Coordinate descent on a quadratic with an l1 penalty: given by a matrix, or by columns of a sparse table."""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport NAN, fabs, isinf
from libc.stdint cimport int32_t

import numpy as np

cdef double WORK_BETWEEN_POLLS = 2e7    # entries: some 50 ms
# What is left of a column's curvature, relative, when its mean is taken off: less is a constant's rounding.
cdef double CONSTANT = 1e-13


def descend(const double[:, ::1] matrix, const double[::1] gradient, const double[::1] start, double[::1] here,
            const double[::1] strengths, Py_ssize_t n_sweeps):
    """Minimise g.s + s'Ms / 2 + sum_j strengths_j abs(here_j), s = here - start, one coordinate at a time.

    Sweeps over all coordinates alternate with sweeps over those that are not 0.

    Parameters
    ----------
    matrix : ndarray of shape (D, D)
    gradient, start, strengths : ndarray of shape (D,)
    here : ndarray of shape (D,)
        Where to start; overwritten.
    n_sweeps : int
        At most.

    Returns
    -------
    bool
        Whether anything moved.
    """
    cdef Py_ssize_t _
    cdef double[::1] slopes = np.asarray(gradient) + np.asarray(matrix) @ (np.asarray(here) - np.asarray(start))
    cdef double change, largest = 0
    cdef bint moved = False, everything = True
    with nogil:
        for _ in range(n_sweeps):
            change = _sweep(matrix, slopes, here, strengths, everything)
            moved = moved or change > 0
            largest = max(largest, change)
            # Steps are measured by what they bring: the objective falls by half of this.
            if change <= 1e-14 * largest:
                if everything:
                    break
                everything = True
            else:
                everything = False
    return moved


cdef double _sweep(const double[:, ::1] matrix, double[::1] slopes, double[::1] here, const double[::1] strengths,
                   bint everything) noexcept nogil:
    """One sweep; the largest of its steps, squared and times the curvature."""
    cdef Py_ssize_t D = here.shape[0], i, j
    cdef double curvature, target, new, step, largest = 0
    for j in range(D):
        curvature = matrix[j, j]
        if curvature <= 0 or not (everything or here[j] != 0 or strengths[j] == 0):
            continue
        target = here[j] * curvature - slopes[j]
        new = fabs(target) - strengths[j]
        new = 0.0 if new <= 0 else new / curvature if target > 0 else -new / curvature
        step = new - here[j]
        if step == 0:
            continue
        here[j] = new
        for i in range(D):
            slopes[i] += step * matrix[j, i]
        largest = max(largest, curvature * step * step)
    return largest


# Columns of a sparse table -------------------------------------------------------------------------------------------

cdef struct Cell:
    # Of a row, side by side in memory: what the model's loss has for a slope, and its second derivative.
    double slope
    double second


cdef struct Model:
    # A quadratic model of a loss, in coefficients of some columns; the intercept is always the best for them.
    const double* values
    const int32_t* rows
    const Py_ssize_t* starts
    const Py_ssize_t* stops
    Cell* cells
    double* here            # the coefficients
    double* curvatures      # of columns that have been visited; 0 of those that are to stay
    double* sums            # sum_i h_i x_ij
    const double* added     # to the curvature
    double lent
    double l1
    double l2
    double second           # sum_i h_i; 0 without an intercept
    double slope            # sum_i of the slopes, but for the intercept's share
    double shift            # of the intercept
    double entries          # visited so far


cdef double meet(Model* m, Py_ssize_t j) noexcept nogil:
    """The first visit of a column: its curvature, and its slope without the intercept's share."""
    cdef Py_ssize_t e
    cdef double slope = 0, x, sum = 0, square = 0, plain = 0, curvature
    cdef Cell* cell
    for e in range(m.starts[j], m.stops[j]):
        x, cell = m.values[e], m.cells + m.rows[e]
        slope += x * cell.slope
        sum += x * cell.second
        square += x * x * cell.second
        plain += x * x
    curvature = square
    if m.second > 0:
        curvature -= sum * sum / m.second
        if curvature <= CONSTANT * square:
            curvature = 0 if square > m.lent * plain else m.lent * plain
    if isinf(square):       # whoever asked is told
        m.here[j] = NAN
    m.sums[j] = sum
    m.curvatures[j] = max(curvature, m.lent * plain) if curvature > 0 or square == 0 else 0
    if m.curvatures[j] > 0:
        m.curvatures[j] += m.l2 + m.added[j]
    return slope


cdef double move(Model* m, Py_ssize_t j, bint first) noexcept nogil:
    """The best coefficient of a column; by how much that lowers the objective."""
    cdef Py_ssize_t e
    cdef double slope = 0, curvature, target, new, moved, w = m.here[j]
    cdef Cell* cell
    if first:
        slope = meet(m, j)
    else:
        for e in range(m.starts[j], m.stops[j]):
            slope += m.values[e] * m.cells[m.rows[e]].slope
    m.entries += m.stops[j] - m.starts[j]
    curvature = m.curvatures[j]
    if not curvature > 0:
        return 0
    target = w * curvature - (slope + m.shift * m.sums[j] + m.l2 * w)
    new = fabs(target) - m.l1
    new = 0.0 if new <= 0 else new / curvature if target > 0 else -new / curvature
    moved = new - w
    if moved == 0:
        return 0
    m.here[j] = new
    for e in range(m.starts[j], m.stops[j]):
        cell = m.cells + m.rows[e]
        cell.slope += moved * m.values[e] * cell.second
    m.entries += m.stops[j] - m.starts[j]
    if m.second > 0:
        m.slope += moved * m.sums[j]
        m.shift = -m.slope / m.second
    return 0.5 * curvature * moved * moved


cdef int sweep_columns(Model* m, Py_ssize_t n_columns, double share, Py_ssize_t n_sweeps) except -1 nogil:
    """Sweeps over all columns, with sweeps over those that are not 0 in between."""
    cdef Py_ssize_t sweep, j
    cdef double brought, most = 0, polled = 0
    cdef bint everything = True
    for sweep in range(n_sweeps):
        brought = 0
        for j in range(n_columns):
            if everything or m.here[j] != 0:
                brought += move(m, j, sweep == 0)
                if m.entries > polled + WORK_BETWEEN_POLLS:
                    polled = m.entries
                    with gil:
                        PyErr_CheckSignals()
        most = max(most, brought)
        if not brought > share * most:
            if everything:
                break
            everything = True
        else:
            everything = False
    return 0


def descend_columns(columns, double[:, ::1] cells, double[::1] here, curvature, (double, double) penalty,
                    bint fit_intercept, (double, Py_ssize_t) limits):
    """Minimise a quadratic model of a loss over the coefficients of some columns and an intercept.

    Coordinate by coordinate; the intercept is always the best. Where no row of a column has curvature some is lent to
    it; columns that are constant stay as they are.

    Parameters
    ----------
    columns : tuple of four ndarrays
        Values (float64) and numbers of rows (int32) of entries; where the entries of each column start and stop (intp).
    cells : ndarray of shape (n_rows, 2)
        Slopes and second derivatives of the loss, divided by the sum of weights. Slopes are overwritten by the model's.
    here : ndarray of shape (m,)
        The coefficients; overwritten.
    curvature : tuple of ndarray of shape (m,) and float
        What is added to that of each column, and what is lent at least, as a share of its sum of squares.
    penalty : tuple of two floats
        Factors of ||w||_1 and of ||w||^2 / 2.
    fit_intercept : bool
    limits : tuple of float and int
        Sweeps end where one over all columns brings no more than this share of what the best has brought, or after so
        many.

    Returns
    -------
    shift : float
        By how much the intercept has moved.
    entries : float
        How many were visited.
    """
    cdef const double[::1] values = columns[0], added = curvature[0]
    cdef const int32_t[::1] rows = columns[1]
    cdef const Py_ssize_t[::1] starts = columns[2], stops = columns[3]
    cdef double[::1] room = np.zeros(2 * here.shape[0])
    cdef Py_ssize_t D = here.shape[0], i
    cdef Model m
    if D == 0 or values.shape[0] == 0:
        return 0.0, 0.0
    m.values, m.rows, m.starts, m.stops = &values[0], &rows[0], &starts[0], &stops[0]
    m.cells, m.here, m.sums, m.curvatures, m.added = <Cell*>&cells[0, 0], &here[0], &room[0], &room[D], &added[0]
    m.l1, m.l2 = penalty
    m.lent, m.slope, m.second, m.shift, m.entries = curvature[1], 0, 0, 0, 0
    with nogil:
        if fit_intercept:
            for i in range(cells.shape[0]):
                m.slope += m.cells[i].slope
                m.second += m.cells[i].second
            m.shift = -m.slope / m.second if m.second > 0 else 0
        sweep_columns(&m, D, limits[0], limits[1])
    return m.shift, m.entries

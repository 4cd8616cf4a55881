"""Coordinate descent on a quadratic with an l1 penalty."""

from libc.math cimport fabs

import numpy as np


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

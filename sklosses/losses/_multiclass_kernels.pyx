"""Losses of whole rows of predictions: the best point of the simplex for each row, and what it is worth.

Every loss here is a maximum over distributions a, entries that are not negative and sum to 1 (see ``_multiclass.py``).
A row's values are its own: nothing depends on the rows beside it. Sums are float64 whatever the precision of the
predictions. Compiled once for each instruction-set level.
"""

from cython cimport floating
from libc.math cimport log
from libc.stdint cimport int64_t

from sklosses.losses._math cimport exp_decay_
from sklosses.losses._simplex cimport project


def softmax(const floating[:, ::1] p, const int64_t[::1] label, double[:, ::1] a, double[::1] value):
    """a = softmax(p) and log sum exp(p), less the entry that a label names, or else the largest.

    Parameters
    ----------
    p : ndarray of shape (n, K)
        Raw predictions.
    label : ndarray of shape (n,) or None
        In 0 .. K - 1.
    a : ndarray of shape (n, K)
        Written to.
    value : ndarray of shape (n,)
        Written to.
    """
    cdef Py_ssize_t n = p.shape[0], K = p.shape[1], i, k
    cdef double highest, total, inverse
    with nogil:
        for i in range(n):
            highest = p[i, 0]
            for k in range(1, K):
                highest = p[i, k] if p[i, k] > highest else highest
            for k in range(K):
                a[i, k] = p[i, k] - highest
            value[i] = 0.0 if label is None else highest - p[i, label[i]]
        _exponentials(&a[0, 0], n * K)
        for i in range(n):
            total = 0
            for k in range(K):
                total += a[i, k]
            value[i] += log(total)
            inverse = 1 / total
            for k in range(K):
                a[i, k] *= inverse


cdef void _exponentials(double* x, Py_ssize_t n) noexcept nogil:
    """exp of numbers up to 0, in place: rows are short, all of them together fill the vector units."""
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = exp_decay_(x[i])


def margins(const floating[:, ::1] p, const int64_t[::1] label, double width, double[:, ::1] a, double[::1] value):
    """The maximum of a.(p + cost) - p_y - (width / 2) ||a - e_y||^2, cost_j = 1 for j != y and 0 for y.

    Without a width a is a corner: the best of the wrong classes where it is within 1 of the right one, else that.

    Parameters
    ----------
    p : ndarray of shape (n, K)
        Raw predictions.
    label : ndarray of shape (n,)
        y, in 0 .. K - 1.
    width : float >= 0
        Of the band in which the maximum is rounded.
    a : ndarray of shape (n, K)
        Written to.
    value : ndarray of shape (n,)
        Written to.
    """
    cdef Py_ssize_t n = p.shape[0], i
    with nogil:
        for i in range(n):
            if width > 0:
                value[i] = _rounded(&p[i, 0], label[i], p.shape[1], width, &a[i, 0])
            else:
                value[i] = _corner(&p[i, 0], label[i], p.shape[1], &a[i, 0])


cdef inline double _corner(const floating* p, Py_ssize_t y, Py_ssize_t K, double* a) noexcept nogil:
    cdef Py_ssize_t k, best = -1
    cdef double own = p[y], excess
    for k in range(K):
        a[k] = 0
        if k != y and (best < 0 or p[k] > p[best]):
            best = k
    excess = 1 + (<double> p[best] - own) if best >= 0 else -1.0
    if excess >= 0:
        a[best] = 1
        return excess
    a[y] = 1
    return excess if excess != excess else 0.0


cdef inline double _rounded(const floating* p, Py_ssize_t y, Py_ssize_t K, double width, double* a) noexcept nogil:
    """a is the projection of (p + cost) / width + e_y onto the simplex."""
    cdef Py_ssize_t k
    cdef double own = p[y], top = 0, value = 0
    for k in range(K):      # distances from the right class, and from the largest: rounding leaves small ones alone
        a[k] = (<double> p[k] - own) + 1 if k != y else 0.0
        top = a[k] if a[k] > top else top
    for k in range(K):
        a[k] = (a[k] - top) / width
    a[y] += 1
    project(a, K)
    for k in range(K):
        if k != y:
            value += a[k] * ((<double> p[k] - own) + 1) - 0.5 * width * a[k] * a[k]
    return value - 0.5 * width * (1 - a[y]) * (1 - a[y])

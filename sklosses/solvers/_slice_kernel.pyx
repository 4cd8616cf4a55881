"""Products of rows with the coefficients of many columns, and back: see ``_tile.h``. One number a row and column."""

from sklosses.data._tile cimport PADDING, multiply

PAD = PADDING

cdef enum:
    HEIGHT = 64     # rows at a time: they stay in the first cache levels between tiles


def forward(const double[:, ::1] x, const double[:, ::1] w, double[:, ::1] p):
    """p += x w

    Parameters
    ----------
    x : ndarray of shape (n, d)
    w : ndarray of shape (d, K)
        K is a multiple of `PAD`.
    p : ndarray of shape (n, K)
    """
    cdef Py_ssize_t n = x.shape[0], d = x.shape[1], K = p.shape[1], i
    cdef Py_ssize_t[3] shape
    if n == 0 or d == 0:
        return
    with nogil:
        for i in range(0, n, 64):
            shape = [min(<Py_ssize_t>HEIGHT, n - i), K, d]
            multiply(shape, &x[i, 0], d, 1, &w[0, 0], K, &p[i, 0], K)


def backward(const double[:, ::1] x, const double[:, ::1] g, double[:, ::1] out):
    """out += x' g

    Parameters
    ----------
    x : ndarray of shape (n, d)
    g : ndarray of shape (n, K)
        K is a multiple of `PAD`.
    out : ndarray of shape (d, K)
    """
    cdef Py_ssize_t n = x.shape[0], d = x.shape[1], K = g.shape[1], i
    cdef Py_ssize_t[3] shape
    if n == 0 or d == 0:
        return
    with nogil:
        for i in range(0, n, 64):
            shape = [d, K, min(<Py_ssize_t>HEIGHT, n - i)]
            multiply(shape, &x[i, 0], 1, d, &g[i, 0], K, &out[0, 0], K)

"""A loss on whole arrays: piece by piece through the first-level cache."""

from cython cimport floating

from sklosses.losses._loss cimport Block, Block32, Loss

cdef enum:
    PIECE = 2048


cdef struct Domain:
    double low, high        # admissible targets: low <= y <= high
    bint everything         # any number
    bint hard               # only low and high themselves


cdef Domain _domain(target):
    low, high = target.codes if target.hard else target.interval.bounds
    return Domain(low, high, not target.hard and target.low == -target.high == -float("inf"), target.hard)


cdef inline bint _all_inside(Domain domain, const floating* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef floating outside = 0
    cdef double low = domain.low, high = domain.high       # rounded to float32, an open end would come to be inside
    if domain.everything:
        return True
    if domain.hard:
        for i in range(n):
            outside = outside if (y[i] == low) | (y[i] == high) else 1
    else:
        for i in range(n):
            outside = outside if (y[i] >= low) & (y[i] <= high) else 1
    return outside == 0


def sweep(Loss loss, const floating[:, ::1] y, const floating[:, ::1] p, const double[::1] weights, results):
    """Fill those of the three arrays in `results` (value, gradient, hessian) that are not None.

    Returns whether every target is admissible.
    """
    cdef floating[:, ::1] value = results[0], gradient = results[1], hessian = results[2]
    cdef Py_ssize_t columns = p.shape[1], start = 0, n
    cdef bint inside = True
    cdef Domain domain = _domain(loss.target)
    # One pass over a piece is all there is where nothing is checked or weighted: then the piece is everything.
    cdef Py_ssize_t rows = p.shape[0] if domain.everything and weights is None else max(1, PIECE // max(1, columns))
    cdef floating* wanted[3]
    if p.shape[0] == 0 or columns == 0:
        return True
    with nogil:
        while start < p.shape[0]:
            n = min(rows, p.shape[0] - start)
            wanted[0] = &value[start, 0] if value is not None else NULL
            wanted[1] = &gradient[start, 0] if gradient is not None else NULL
            wanted[2] = &hessian[start, 0] if hessian is not None else NULL
            inside = inside and _all_inside(domain, &y[start, 0], n * columns)
            _evaluate(loss, (n, columns), &y[start, 0], &p[start, 0], wanted)
            if weights is not None:
                _scale_rows(wanted, &weights[start], (n, columns))
            start += n
    return inside


cdef inline int _evaluate(Loss loss, (Py_ssize_t, Py_ssize_t) shape, const floating* y, const floating* p,
                          floating** wanted) except -1 nogil:
    cdef Block block
    cdef Block32 block32
    if floating is double:
        block = Block(shape[0], shape[1], shape[1], 0, y, p, wanted[0], wanted[1], wanted[2])
        return loss.evaluate(&block)
    else:
        block32 = Block32(shape[0], shape[1], shape[1], 0, y, p, wanted[0], wanted[1], wanted[2])
        return loss.evaluate32(&block32)


cdef inline void _scale_rows(floating** wanted, const double* weights, (Py_ssize_t, Py_ssize_t) shape) noexcept nogil:
    # What has weight 0 counts 0, if it is beyond float64 too.
    cdef Py_ssize_t which, i, k
    cdef floating* row
    for which in range(3):
        if wanted[which] != NULL:
            for i in range(shape[0]):
                row = wanted[which] + i * shape[1]
                for k in range(shape[1]):
                    row[k] = <floating> (row[k] * weights[i] if weights[i] != 0 else 0)

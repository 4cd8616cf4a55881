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


def sweep(Loss loss, int which, const floating[:, ::1] y, const floating[:, ::1] p, const double[::1] weights,
          floating[:, ::1] result):
    """Write value (which = 0), gradient (1) or hessian (2) of each element; return whether every target is admissible."""
    cdef Py_ssize_t columns = p.shape[1], start = 0, n, i, k
    cdef bint inside = True
    cdef Domain domain = _domain(loss.target)
    # One pass over a piece is all there is where nothing is checked or weighted: then the piece is everything.
    cdef Py_ssize_t rows = p.shape[0] if domain.everything and weights is None else max(1, PIECE // max(1, columns))
    cdef floating* wanted
    if p.shape[0] == 0 or columns == 0:
        return True
    with nogil:
        while start < p.shape[0]:
            n = min(rows, p.shape[0] - start)
            wanted = &result[start, 0]
            inside = inside and _all_inside(domain, &y[start, 0], n * columns)
            _evaluate(loss, which, (n, columns), &y[start, 0], &p[start, 0], wanted)
            if weights is not None:
                for i in range(n):
                    for k in range(columns):
                        wanted[i * columns + k] = <floating> (wanted[i * columns + k] * weights[start + i])
            start += n
    return inside


cdef inline int _evaluate(Loss loss, int which, (Py_ssize_t, Py_ssize_t) shape, const floating* y, const floating* p,
                          floating* result) except -1 nogil:
    cdef Block block
    cdef Block32 block32
    if floating is double:
        block = Block(shape[0], shape[1], shape[1], 0, y, p, NULL, NULL, NULL)
        if which == 0:
            block.value = result
        elif which == 1:
            block.gradient = result
        else:
            block.hessian = result
        return loss.evaluate(&block)
    else:
        block32 = Block32(shape[0], shape[1], shape[1], 0, y, p, NULL, NULL, NULL)
        if which == 0:
            block32.value = result
        elif which == 1:
            block32.gradient = result
        else:
            block32.hessian = result
        return loss.evaluate32(&block32)

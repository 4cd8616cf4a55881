# cython: freethreading_compatible=True
"""The contract's slots from Python: blocks at any address and stride, and the scalar formulas."""

from sklosses.losses._loss cimport Block, Block32, Loss


def evaluate(Loss loss, shape, stride, first, y, p, results):
    """Evaluate a block of float64 arrays given by their addresses; those of results may be 0."""
    cdef Block block = Block(shape[0], shape[1], stride, first, NULL, NULL, NULL, NULL, NULL)
    block.y, block.p = <const double*> <size_t> y, <const double*> <size_t> p
    block.value, block.gradient = <double*> <size_t> results[0], <double*> <size_t> results[1]
    block.hessian = <double*> <size_t> results[2]
    with nogil:
        loss.evaluate(&block)


def evaluate32(Loss loss, shape, stride, first, y, p, results):
    """The same of float32 arrays."""
    cdef Block32 block = Block32(shape[0], shape[1], stride, first, NULL, NULL, NULL, NULL, NULL)
    block.y, block.p = <const float*> <size_t> y, <const float*> <size_t> p
    block.value, block.gradient = <float*> <size_t> results[0], <float*> <size_t> results[1]
    block.hessian = <float*> <size_t> results[2]
    with nogil:
        loss.evaluate32(&block)


def scalars(Loss loss, const double[:] y, const double[:] p, const Py_ssize_t[:] columns, double[:] value,
            double[:] gradient, double[:] hessian):
    """value_at, gradient_at, and the hessian of a block of one element."""
    cdef Py_ssize_t i
    cdef Block block
    with nogil:
        for i in range(y.shape[0]):
            value[i] = loss.value_at(y[i], p[i], columns[i])
            gradient[i] = loss.gradient_at(y[i], p[i], columns[i])
            block = Block(1, 1, 1, columns[i], &y[i], &p[i], NULL, NULL, &hessian[i])
            loss.evaluate(&block)

# cython: freethreading_compatible=True
"""A third party's losses: one compiled against the contract's page, with evaluate alone and no traits but its own."""

from libc.math cimport sqrt

from sklosses.losses._loss cimport Block, Loss

from sklosses.losses import Interval, Traits


cdef class FourthRoot(Loss):
    """A pseudo-Huber loss by another name: sqrt(width^2 + r^2) - width."""

    name = "fourth_root"
    tasks = frozenset({"regression"})
    ranges = {"width": Interval(low=0, low_closed=False)}

    def __init__(self, width=1.0):
        self._set(width=width)

    @property
    def traits(self):
        return Traits("residual", lipschitz=1.0, curvature=float(1 / min(self.get_params()["width"], 1e300)))

    cdef int evaluate(self, const Block* block) except -1 nogil:
        cdef Py_ssize_t i, k, at
        cdef double width, r, root
        for i in range(block.n_rows):
            for k in range(block.n_columns):
                at = i * block.stride + k
                width = self.parameter(0, block.first + k)
                r = block.p[at] - block.y[at]
                root = sqrt(width * width + r * r)
                if block.value != NULL:
                    block.value[at] = root - width
                if block.gradient != NULL:
                    block.gradient[at] = r / root
                if block.hessian != NULL:
                    block.hessian[at] = width * width / (root * root * root)
        return 0


cdef class Failing(Loss):
    """A loss that raises while it trains."""

    name = "failing"

    def __init__(self):
        self._set()

    cdef int evaluate(self, const Block* block) except -1 nogil:
        with gil:
            raise RuntimeError("their loss failed")


cdef class Fixed(Loss):
    """A margin loss that takes labels -1 and +1, with a kink: (1 - z)+ of scikit-learn's hinge."""

    name = "fixed"
    tasks = frozenset({"classification"})

    def __init__(self):
        self._set()

    @property
    def target(self):
        from sklosses.losses import get_loss
        return get_loss("hinge").target

    @property
    def traits(self):
        return Traits("margin", smooth=False, lipschitz=1.0)

    cdef int evaluate(self, const Block* block) except -1 nogil:
        cdef Py_ssize_t i, k, at
        cdef double z
        for i in range(block.n_rows):
            for k in range(block.n_columns):
                at = i * block.stride + k
                z = block.y[at] * block.p[at]
                if block.value != NULL:
                    block.value[at] = 1 - z if z < 1 else 0
                if block.gradient != NULL:
                    block.gradient[at] = -block.y[at] if z <= 1 else 0
                if block.hessian != NULL:
                    block.hessian[at] = 0
        return 0

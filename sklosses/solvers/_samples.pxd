"""Targets, weights and offsets of rows, for kernels: gathered into contiguous arrays, a window of rows at a time."""

from sklosses.data._products cimport prefetch_one


cdef class Samples:
    # What the pointers point into.
    cdef object _arrays
    cdef const double* targets
    cdef Py_ssize_t target_stride       # between rows
    cdef Py_ssize_t target_step         # between columns: 0 where they share their targets
    cdef const double* weights          # NULL: all 1
    cdef const double* offset           # NULL: all 0
    cdef const Py_ssize_t* subset       # NULL: all rows
    cdef const double* recoding         # five numbers a column, as `OneVsRest.recoding`; NULL: targets are targets
    cdef readonly Py_ssize_t n_rows

    cdef object _hold(self, array, shape, name)

    cdef inline Py_ssize_t row(self, Py_ssize_t position) noexcept nogil:
        return position if self.subset == NULL else self.subset[position]

    cdef inline void prefetch(self, Py_ssize_t row) noexcept nogil:
        prefetch_one(&self.targets[row * self.target_stride])
        if self.weights != NULL:
            prefetch_one(&self.weights[row])

    cdef inline void targets_of(self, const Py_ssize_t* rows, Py_ssize_t n, Py_ssize_t column, double* y,
                                double* weight) noexcept nogil:
        """Targets and weights of rows as a column sees them."""
        cdef Py_ssize_t i
        cdef bint own
        cdef const double* to
        for i in range(n):
            y[i] = self.targets[rows[i] * self.target_stride + column * self.target_step]
            weight[i] = 1 if self.weights == NULL else self.weights[rows[i]]
        if self.recoding != NULL:
            to = self.recoding + 5 * column
            for i in range(n):
                own = y[i] == to[0]
                y[i] = to[1 + own]
                weight[i] *= to[3 + own]

    cdef inline void offsets_of(self, const Py_ssize_t* rows, Py_ssize_t n, double* offset) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(n):
            offset[i] = 0 if self.offset == NULL else self.offset[rows[i]]

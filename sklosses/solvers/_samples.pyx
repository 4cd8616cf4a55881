"""Targets, weights and offsets of rows, checked and held for kernels."""

import numpy as np


cdef class Samples:
    """The arrays of a :class:`Problem` that hold one entry a row.

    Parameters
    ----------
    problem : Problem

    Raises
    ------
    ValueError
        If the shape of an array does not fit the problem's rows and columns.
    """

    def __init__(self, problem):
        cdef const double[:, :] targets
        cdef const double[::1] vector
        cdef const Py_ssize_t[::1] subset
        cdef const double[:, ::1] recoding
        n, n_columns = problem.rows.n_rows, problem.n_columns
        y = np.asarray(problem.targets, dtype=np.float64)
        if y.shape not in ((n,), (n, n_columns)):
            raise ValueError(f"targets must have shape ({n},) or ({n}, {n_columns}), got {y.shape}.")
        y = np.ascontiguousarray(y)
        self._arrays = [y]
        self.n_rows = problem.n_rows
        if n:
            targets = y.reshape(n, -1)
            self.targets = &targets[0, 0]
        self.target_stride = 1 if y.ndim == 1 else n_columns
        self.target_step = 0 if y.ndim == 1 else 1
        if problem.weights is not None:
            vector = self._hold(problem.weights, (n,), "weights")
            self.weights = &vector[0] if n else NULL
        if problem.offset is not None:
            vector = self._hold(problem.offset, (n,), "offset")
            self.offset = &vector[0] if n else NULL
        if problem.subset is not None:
            rows = np.ascontiguousarray(problem.subset, dtype=np.intp)
            if rows.ndim != 1 or (rows.size and not (0 <= rows.min() and rows.max() < n)):
                raise ValueError(f"subset must hold numbers of rows in [0, {n}).")
            self._arrays.append(rows)
            subset = rows
            self.subset = &subset[0] if rows.size else NULL
        if problem.one_vs_rest is not None:
            recoding = self._hold(problem.one_vs_rest.recoding(y), (n_columns, 5), "one_vs_rest.recoding")
            self.recoding = &recoding[0, 0]

    cdef object _hold(self, array, shape, name):
        """A contiguous float64 array, held."""
        array = np.ascontiguousarray(array, dtype=np.float64)
        if array.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {array.shape}.")
        self._arrays.append(array)
        return array

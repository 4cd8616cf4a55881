"""Rows of a table, dense or CSR: references to the caller's arrays, checked once and never written."""

from libc.stdint cimport int32_t, int64_t

import numpy as np
from scipy import sparse

ctypedef fused index_t:
    int32_t
    int64_t

cdef enum Fault:
    # What `_scan` found in the structure of a CSR matrix.
    SOUND = 0
    UNSORTED = 1
    BAD_STARTS = 2
    BAD_INDEX = 3


cdef class Rows:
    """The rows of a table. Use :func:`as_rows` to make one.

    Attributes
    ----------
    n_rows, n_features : int
        The table's shape.
    dtype : numpy.dtype
        float32 or float64: how values are stored. Everything computed from them is float64.
    row_bytes : int
        Bytes of memory a row occupies, on average: how solvers size the blocks of rows that they read together.
    """

    @property
    def shape(self):
        """(n_rows, n_features)."""
        return self.n_rows, self.n_features

    def row_bytes_of(self, numbers):
        """What `row_bytes` would be, were there only the rows with these numbers."""
        return self.row_bytes

    def __repr__(self):
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"


cdef class Dense(Rows):
    """Rows of a two-dimensional array, in any memory order.

    C-ordered rows are read where they are. Rows whose elements are apart (F order, slices with a step) are gathered,
    a few at a time, by the kernels that read them. Arrays in another byte order or not aligned are copied once.

    Parameters
    ----------
    array : ndarray of shape (n_rows, n_features)
        float32 or float64; may be read-only or memory-mapped.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.data import Dense
    >>> Dense(np.eye(3, 2))
    Dense(shape=(3, 2), dtype=float64)
    """

    def __init__(self, array):
        array = np.asarray(array)
        if array.ndim != 2:
            raise ValueError(f"X must be two-dimensional, got shape {array.shape}.")
        array = _plain(array)
        size = array.dtype.itemsize
        if array.strides[0] % size or array.strides[1] % size:
            array = np.ascontiguousarray(array)
        self.array = array
        self.dtype = array.dtype
        self.n_rows, self.n_features = array.shape
        self.row_bytes = max(1, self.n_features * size)
        self.view.values = <const void*><Py_ssize_t>array.ctypes.data
        self.view.row_stride = array.strides[0] // size
        self.view.column_stride = array.strides[1] // size
        self.view.n_features = self.n_features

    def __reduce__(self):
        return Dense, (self.array,)


cdef class Csr(Rows):
    """Rows of a compressed sparse row matrix.

    Indices may be int32 or int64 and unsorted. A matrix with duplicate entries is copied and its duplicates summed,
    because norms of rows and of coefficients need each entry once.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array or csr_matrix of shape (n_rows, n_features)
        float32 or float64 data.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from sklosses.data import Csr
    >>> Csr(csr_array((3, 2)))
    Csr(shape=(3, 2), dtype=float64)
    """

    def __init__(self, matrix):
        data, indices, indptr = matrix.data, matrix.indices, matrix.indptr
        n_rows, n_features = matrix.shape
        wide = indices.dtype != np.int32 or indptr.dtype != np.int32
        indices = _integers(indices, wide, "indices")
        indptr = _integers(indptr, wide, "indptr")
        data = np.ascontiguousarray(_plain(np.asarray(data)))
        if data.ndim != 1 or indices.ndim != 1 or indptr.shape != (n_rows + 1,):
            raise ValueError(f"X: indptr of a CSR matrix with {n_rows} rows must have shape ({n_rows + 1},), data and "
                             f"indices must be one-dimensional; got {indptr.shape}, {data.shape}, {indices.shape}.")
        stored = min(data.shape[0], indices.shape[0])
        if _check(indices, indptr, stored, n_features):
            copy = sparse.csr_array((data.copy(), indices.copy(), indptr.copy()), shape=(n_rows, n_features))
            copy.sum_duplicates()
            data = copy.data
            indices, indptr = _integers(copy.indices, wide, "indices"), _integers(copy.indptr, wide, "indptr")
        self.data, self.indices, self.indptr = data, indices, indptr
        self.dtype = data.dtype
        self.n_rows, self.n_features = n_rows, n_features
        self.row_bytes = self._row_bytes(indptr[n_rows] - indptr[0], n_rows)
        self.view.values = <const void*><Py_ssize_t>data.ctypes.data
        self.view.indices = <const void*><Py_ssize_t>indices.ctypes.data
        self.view.starts = <const void*><Py_ssize_t>indptr.ctypes.data
        self.view.n_features = n_features

    def _row_bytes(self, n_entries, n_rows):
        entry = self.data.itemsize + self.indices.itemsize
        return max(entry, int(n_entries) * entry // max(1, n_rows))

    def row_bytes_of(self, numbers):
        """What `row_bytes` would be, were there only the rows with these numbers."""
        return self._row_bytes(np.sum(np.diff(self.indptr)[numbers], dtype=np.int64), len(numbers))

    def __reduce__(self):
        matrix = sparse.csr_array((self.data, self.indices, self.indptr), shape=self.shape)
        return Csr, (matrix,)


def as_rows(X):
    """Rows of a table, for solvers.

    Parameters
    ----------
    X : ndarray, scipy.sparse CSR matrix or array, or Rows, of shape (n_rows, n_features)
        float32 or float64. Never copied unless its byte order or alignment is foreign, or CSR entries are duplicated;
        never written.

    Returns
    -------
    Dense or Csr
        Holds references to the arrays of `X`. Rows are returned as they are.

    Raises
    ------
    ValueError
        If `X` is not two-dimensional, is of another type, or is a CSR matrix with an inconsistent structure.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.data import as_rows
    >>> as_rows(np.ones((3, 2), dtype=np.float32))
    Dense(shape=(3, 2), dtype=float32)
    """
    if isinstance(X, Rows):
        return X
    if sparse.issparse(X):
        if X.format != "csr":
            raise ValueError(f"X: sparse rows must be in CSR format, got {X.format!r}; convert them with X.tocsr().")
        return Csr(X)
    return Dense(X)


def _plain(array):
    """The array itself if it is float32 or float64, aligned and in native byte order; else a copy that is."""
    if array.dtype.kind != "f" or array.dtype.itemsize not in (4, 8):
        raise ValueError(f"X must be of type float32 or float64, got {array.dtype}.")
    if array.dtype.isnative and array.flags.aligned:
        return np.asarray(array)
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


def _integers(array, wide, name):
    """Contiguous native int64 (`wide`) or int32 indices."""
    array = np.asarray(array)
    if array.dtype.kind not in "iu":
        raise ValueError(f"X: {name} of a CSR matrix must be integers, got {array.dtype}.")
    return np.require(array, np.int64 if wide else np.int32, ["C", "ALIGNED"])


cdef int _scan(const index_t[::1] indices, const index_t[::1] starts, Py_ssize_t stored,
               Py_ssize_t n_features) noexcept nogil:
    """Check a CSR structure in one pass over it; what is wrong with it, if anything."""
    cdef Py_ssize_t n_rows = starts.shape[0] - 1
    cdef Py_ssize_t i, k
    cdef index_t previous
    cdef int fault = SOUND
    if starts[0] < 0 or starts[n_rows] > stored:
        return BAD_STARTS
    for i in range(n_rows):
        # Both ends, before any entry is read through them: this memory is the caller's.
        if starts[i + 1] < starts[i] or starts[i + 1] > stored:
            return BAD_STARTS
    for i in range(n_rows):
        previous = -1
        for k in range(starts[i], starts[i + 1]):
            if indices[k] < 0 or indices[k] >= n_features:
                return BAD_INDEX
            if indices[k] <= previous:
                fault = UNSORTED
            previous = indices[k]
    return fault


cdef bint _has_duplicates(const index_t[::1] indices, const index_t[::1] starts,
                          Py_ssize_t[::1] seen_in) noexcept nogil:
    """Whether a row holds an index twice, for rows that are not sorted; `seen_in` starts as -1 for each column."""
    cdef Py_ssize_t i, k
    for i in range(starts.shape[0] - 1):
        for k in range(starts[i], starts[i + 1]):
            if seen_in[indices[k]] == i:
                return True
            seen_in[indices[k]] = i
    return False


def _check(const index_t[::1] indices, const index_t[::1] starts, Py_ssize_t stored, Py_ssize_t n_features):
    """Raise for an unsound structure; otherwise tell whether there are duplicates to be summed."""
    cdef int fault
    cdef bint duplicates = False
    cdef Py_ssize_t[::1] seen_in
    with nogil:
        fault = _scan(indices, starts, stored, n_features)
    if fault == BAD_STARTS:
        raise ValueError("X: indptr of a CSR matrix must not decrease, and must run from 0 or more to at most the "
                         f"number of stored entries ({stored}).")
    if fault == BAD_INDEX:
        raise ValueError(f"X: indices of a CSR matrix must lie in [0, {n_features}), its number of columns.")
    if fault == UNSORTED:
        seen_in = np.full(n_features, -1, dtype=np.intp)
        with nogil:
            duplicates = _has_duplicates(indices, starts, seen_in)
    return duplicates

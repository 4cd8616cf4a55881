"""Rows of a table, dense or CSR: references to the caller's arrays, checked once and never written."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

import numpy as np
from scipy import sparse

from sklosses.data._products cimport gather
from sklosses.losses._team cimport load_int, sk_run, sk_team, store_int

cdef extern from *:
    """
    #include <stddef.h>
    #include <string.h>

    /* Whether one of n numbers, so many bytes apart, is NaN or infinite: its exponent has all bits set, to which one more
       carries into the sign's place. Integers may be added up in any order, which makes vectors of them. */
    #define SK_ANY_NOT_FINITE(name, bits, exponent, sign)                                          \
        static inline int name(const char *x, ptrdiff_t n, ptrdiff_t apart)                        \
        {                                                                                          \
            bits found = 0, number;                                                                \
            ptrdiff_t i;                                                                           \
            if (apart == (ptrdiff_t)sizeof(bits))                                                  \
                for (i = 0; i < n; i++) {                                                          \
                    memcpy(&number, x + i * (ptrdiff_t)sizeof(bits), sizeof(bits));                \
                    found |= (number & exponent) + (exponent & (~exponent + 1));                   \
                }                                                                                  \
            else                                                                                   \
                for (i = 0; i < n; i++) {                                                          \
                    memcpy(&number, x + i * apart, sizeof(bits));                                  \
                    found |= (number & exponent) + (exponent & (~exponent + 1));                   \
                }                                                                                  \
            return (found & sign) != 0;                                                            \
        }
    SK_ANY_NOT_FINITE(sk_not_finite_f64, uint64_t, 0x7FF0000000000000u, 0x8000000000000000u)
    SK_ANY_NOT_FINITE(sk_not_finite_f32, uint32_t, 0x7F800000u, 0x80000000u)
    """
    bint sk_not_finite_f64(const char* x, Py_ssize_t n, Py_ssize_t apart) noexcept nogil
    bint sk_not_finite_f32(const char* x, Py_ssize_t n, Py_ssize_t apart) noexcept nogil

ctypedef fused index_t:
    int32_t
    int64_t

cdef enum:
    PIECE_BYTES = 1 << 18   # of an item of work, about
    GATHERED_ROWS = 64      # rows whose elements are brought together at once: their cache lines stay

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

    def take(self, numbers, int n_threads=1):
        """Rows with given numbers, copied together.

        Parameters
        ----------
        numbers : ndarray of shape (m,)
            intp.
        n_threads : int, default=1

        Returns
        -------
        Dense
            In C order.
        """
        cdef const Py_ssize_t[::1] of_rows = np.ascontiguousarray(numbers, dtype=np.intp)
        if np.any((numbers < 0) | (numbers >= self.n_rows)):
            raise IndexError(f"Numbers of rows must lie in [0, {self.n_rows}).")
        array = np.empty((len(numbers), self.n_features), dtype=self.dtype)
        cdef Taking taking = Taking(self.view, NULL, <char*><Py_ssize_t>array.ctypes.data, len(numbers),
                                    self.dtype.itemsize == 4, max(1, PIECE_BYTES // self.row_bytes))
        cdef sk_team team
        if array.size:
            taking.numbers = &of_rows[0]
            team.task, team.context, team.n_items = take_piece, &taking, parts(taking.n_rows, taking.piece)
            with nogil:
                sk_run(&team, n_threads)
        return Dense(array)

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

    def take(self, numbers, int n_threads=1):
        """Rows with given numbers, copied together: a Csr."""
        return Csr(sparse.csr_array((self.data, self.indices, self.indptr), shape=self.shape)[numbers])

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


cdef inline Py_ssize_t parts(Py_ssize_t n, Py_ssize_t size) noexcept nogil:
    """How many pieces of up to `size` make n."""
    return (n + size - 1) // size


cdef struct Taking:
    # Rows to be copied together.
    View view
    const Py_ssize_t* numbers
    char* out
    Py_ssize_t n_rows
    bint single             # float32
    Py_ssize_t piece        # rows of an item


cdef void take_piece(void* context, Py_ssize_t item, int worker) noexcept nogil:
    cdef Taking* taking = <Taking*>context
    cdef Py_ssize_t first = item * taking.piece, stop = min(first + taking.piece, taking.n_rows), n
    cdef Py_ssize_t d = taking.view.n_features, size = 4 if taking.single else 8
    if taking.view.column_stride == 1:
        for n in range(first, stop):
            memcpy(taking.out + n * d * size,
                   <const char*>taking.view.values + taking.numbers[n] * taking.view.row_stride * size, d * size)
        return
    while first < stop:
        n = min(<Py_ssize_t>GATHERED_ROWS, stop - first)
        if taking.single:
            gather(&taking.view, taking.numbers + first, n, <float*>taking.out + first * d)
        else:
            gather(&taking.view, taking.numbers + first, n, <double*>taking.out + first * d)
        first += n


cdef struct Search:
    # A search for numbers that are not finite, in lines of numbers. The last line may be shorter.
    const char* first
    Py_ssize_t size         # numbers
    Py_ssize_t length       # of a line
    Py_ssize_t between      # bytes from a line to the next one
    Py_ssize_t apart        # bytes from a number to the next one
    Py_ssize_t piece        # lines of an item
    bint single             # float32
    int found


cdef void search_piece(void* context, Py_ssize_t item, int worker) noexcept nogil:
    cdef Search* search = <Search*>context
    cdef Py_ssize_t line = item * search.piece, stop = line + search.piece, n
    cdef const char* x
    while line < stop and line * search.length < search.size and not load_int(&search.found):
        n, x = min(search.length, search.size - line * search.length), search.first + line * search.between
        if sk_not_finite_f32(x, n, search.apart) if search.single else sk_not_finite_f64(x, n, search.apart):
            store_int(&search.found, 1)
        line += 1


def all_finite(array, int n_threads=1):
    """Whether all numbers of an array are finite, in one reading of its memory or less.

    Parameters
    ----------
    array : ndarray of one or two dimensions
        float32 or float64 in native byte order; any strides, any alignment. May be read-only.
    n_threads : int, default=1

    Returns
    -------
    bool

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.data import all_finite
    >>> all_finite(np.array([1e308, 1e308])), all_finite(np.array([0.0, np.nan]))
    (True, False)
    """
    cdef Py_ssize_t size = array.dtype.itemsize, length
    cdef Search search
    cdef sk_team team
    if not array.size:
        return True
    if array.flags.forc:
        length = min(<Py_ssize_t>array.size, <Py_ssize_t>PIECE_BYTES // size)
        search.length, search.between, search.apart = length, length * size, size
    else:       # along the numbers that are next to each other, if there are any
        lines = array if array.ndim == 2 else array[np.newaxis]
        if abs(lines.strides[0]) < abs(lines.strides[1]):
            lines = lines.T
        search.length = lines.shape[1]
        search.between, search.apart = lines.strides
    search.first, search.size = <const char*><Py_ssize_t>array.ctypes.data, array.size
    search.single, search.found = size == 4, 0
    search.piece = max(1, PIECE_BYTES // (search.length * size))
    team.task, team.context = search_piece, &search
    team.n_items = parts(parts(search.size, search.length), search.piece)
    with nogil:
        sk_run(&team, n_threads)
    return not search.found


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

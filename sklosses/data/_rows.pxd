"""What kernels know of a table: a view of plain pointers that walks its rows."""

cdef struct View:
    # Dense rows: element j of row i stands at values[i * row_stride + j * column_stride] (strides in elements).
    # CSR rows: entries starts[i] to starts[i + 1] of values and indices. Pointers are NULL where they do not apply.
    const void* values
    const void* indices
    const void* starts
    Py_ssize_t row_stride
    Py_ssize_t column_stride
    Py_ssize_t n_features


cdef class Rows:
    cdef readonly Py_ssize_t n_rows
    cdef readonly Py_ssize_t n_features
    cdef readonly object dtype          # float32 or float64
    cdef readonly Py_ssize_t row_bytes  # bytes that a row occupies, on average
    cdef View view


cdef class Dense(Rows):
    cdef readonly object array


cdef class Csr(Rows):
    cdef readonly object data
    cdef readonly object indices
    cdef readonly object indptr

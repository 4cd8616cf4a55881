"""C += A B for matrices that stay in cache: see ``_tile.h``."""

cdef extern from "_tile.h" nogil:
    enum:
        PADDING "SK_PADDING"    # numbers of columns are multiples of this

    # shape: rows and columns of C, and the inner dimension. Element (i, k) of A stands at i * a_row + k * a_step.
    void multiply "sk_multiply"(const Py_ssize_t* shape, const double* a, Py_ssize_t a_row, Py_ssize_t a_step,
                                const double* b, Py_ssize_t b_step, double* c, Py_ssize_t c_row) noexcept

    # out += A'B, the lower triangle, of n rows: A holds `columns` of them with a stride, B the same with each row weighted.
    void lower_gram "sk_lower_gram"(Py_ssize_t n, Py_ssize_t columns, Py_ssize_t stride, const double* a,
                                    const double* b, double* out) noexcept

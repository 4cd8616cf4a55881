"""Products of one row with the coefficients of many columns: see ``_lines.h``."""

cdef extern from "_lines.h" nogil:
    # Entries of a row, where the lines of their features begin, and how many there are.
    void sum_lines "sk_sum_lines"(const double* x, const Py_ssize_t* at, Py_ssize_t n, const double* lines,
                                  Py_ssize_t width, double* out) noexcept
    void add_to_lines "sk_add_to_lines"(const double* x, const Py_ssize_t* at, Py_ssize_t n, const double* change,
                                        Py_ssize_t width, double* lines) noexcept

"""Products of a row with coefficients, for Cython: one name for dense and sparse rows of either precision.

A row is a pointer to its values, a pointer to its columns and a length. Dense rows have no columns: their pointer's
type is ``dense_t``, which no array has, and the compiler drops what concerns columns. Coefficients stand in arrays that
start at multiples of 64 bytes and are padded with zeros to a length of ``padded(n)``.
"""

from cython cimport floating
from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t

from sklosses.data._rows cimport View

ctypedef signed char dense_t

ctypedef fused index_t:
    dense_t
    int32_t
    int64_t

cdef extern from "_products.h" nogil:
    double sk_dot_f32(const float* x, const double* w, Py_ssize_t n) noexcept
    double sk_dot_f64(const double* x, const double* w, Py_ssize_t n) noexcept
    void sk_dot4_f32(const float** rows, const double* w, Py_ssize_t n, double* sums) noexcept
    void sk_dot4_f64(const double** rows, const double* w, Py_ssize_t n, double* sums) noexcept
    double sk_inner_f32(const float* x, const float* y, Py_ssize_t n) noexcept
    double sk_inner_f64(const double* x, const double* y, Py_ssize_t n) noexcept
    double sk_square_norm_f32(const float* x, Py_ssize_t n) noexcept
    double sk_square_norm_f64(const double* x, Py_ssize_t n) noexcept
    double sk_add_f32(double* w, const float* x, Py_ssize_t n, double c) noexcept
    double sk_add_f64(double* w, const double* x, Py_ssize_t n, double c) noexcept
    void sk_add4_f32(double* w, const float** rows, Py_ssize_t n, const double* c) noexcept
    void sk_add4_f64(double* w, const double** rows, Py_ssize_t n, const double* c) noexcept
    double clipped "sk_clipped"(double w, double taken, double total, double inverse_scale) noexcept
    ctypedef struct Step "sk_step":
        double multiple
        double total
        double scale
        double a
    void clip_all "sk_clip"(double* w, double* taken, double* average, Py_ssize_t n, const Step* step,
                            double* norms) noexcept
    void sk_step_clipped_f32(double* w, double* taken, double* average, const float* x, const float* next,
                             Py_ssize_t n, const Step* step, double* sums) noexcept
    void sk_step_clipped_f64(double* w, double* taken, double* average, const double* x, const double* next,
                             Py_ssize_t n, const Step* step, double* sums) noexcept
    void norms_of "sk_norms"(const double* w, Py_ssize_t n, double* norms) noexcept
    void scale_all "sk_scale"(double* w, Py_ssize_t n, double c) noexcept
    bint all_finite "sk_all_finite"(const double* w, Py_ssize_t n) noexcept
    void prefetch "sk_prefetch"(const char* address, Py_ssize_t n_bytes) noexcept
    void prefetch_far "sk_prefetch_far"(const char* address, Py_ssize_t n_bytes) noexcept
    void prefetch_one "sk_prefetch_one"(const void* address) noexcept
    Py_ssize_t padded "sk_padded"(Py_ssize_t n) noexcept


cdef inline double dot(const floating* x, const index_t* j, Py_ssize_t n, const double* w) noexcept nogil:
    """x.w"""
    cdef Py_ssize_t i
    cdef double sum = 0
    if index_t is dense_t:
        if floating is float:
            return sk_dot_f32(x, w, n)
        else:
            return sk_dot_f64(x, w, n)
    else:
        for i in range(n):
            sum += <double>x[i] * w[j[i]]
        return sum


cdef inline double inner(const floating* x, const floating* y, Py_ssize_t n) noexcept nogil:
    """x.y of two dense rows."""
    if floating is float:
        return sk_inner_f32(x, y, n)
    else:
        return sk_inner_f64(x, y, n)


cdef inline double square_norm(const floating* x, Py_ssize_t n) noexcept nogil:
    """||x||^2"""
    if floating is float:
        return sk_square_norm_f32(x, n)
    else:
        return sk_square_norm_f64(x, n)


cdef inline void add(double* w, const floating* x, const index_t* j, Py_ssize_t n, double c,
                     double* norms) noexcept nogil:
    """w += c x, with norms[0] = ||w||^2 and norms[1] = ||w||_1 kept up to date.

    Of dense rows norms[0] alone: where the other is of use, the l1 penalty is, and clipping makes both anew.
    """
    cdef Py_ssize_t i
    cdef double before, after, squares = 0, absolutes = 0
    if index_t is dense_t:
        if floating is float:
            norms[0] = sk_add_f32(w, x, n, c)
        else:
            norms[0] = sk_add_f64(w, x, n, c)
    else:
        for i in range(n):
            before = w[j[i]]
            after = before + c * <double>x[i]
            w[j[i]] = after
            squares += (after - before) * (after + before)
            absolutes += fabs(after) - fabs(before)
        norms[0] += squares
        norms[1] += absolutes


cdef inline void accumulate(double* w, const floating* x, const index_t* j, Py_ssize_t n, double c) noexcept nogil:
    """w += c x"""
    cdef Py_ssize_t i
    if index_t is dense_t:
        if floating is float:
            sk_add_f32(w, x, n, c)
        else:
            sk_add_f64(w, x, n, c)
    else:
        for i in range(n):
            w[j[i]] += c * <double>x[i]


cdef inline void locate(const View* view, Py_ssize_t row, const floating** x, const index_t** j,
                        Py_ssize_t* n) noexcept nogil:
    """A row's values, columns and length."""
    cdef Py_ssize_t start
    if index_t is dense_t:
        x[0] = <const floating*>view.values + row * view.row_stride
        n[0] = view.n_features
    else:
        start = (<const index_t*>view.starts)[row]
        x[0] = <const floating*>view.values + start
        j[0] = <const index_t*>view.indices + start
        n[0] = (<const index_t*>view.starts)[row + 1] - start


cdef inline void dot_rows(const View* view, const Py_ssize_t* rows, Py_ssize_t n_rows, const double* w, double* out,
                          const floating* x, const index_t* j) noexcept nogil:
    """out[i] = x_i.w; `x` and `j` only carry their types."""
    cdef Py_ssize_t i = 0, r, n
    cdef const floating* four[4]
    if index_t is dense_t:
        while i + 4 <= n_rows:
            for r in range(4):
                locate(view, rows[i + r], &four[r], &j, &n)
            if floating is float:
                sk_dot4_f32(four, w, view.n_features, &out[i])
            else:
                sk_dot4_f64(four, w, view.n_features, &out[i])
            i += 4
    while i < n_rows:
        locate(view, rows[i], &x, &j, &n)
        out[i] = dot(x, j, n, w)
        i += 1


cdef inline void add_rows(double* w, const View* view, const Py_ssize_t* rows, Py_ssize_t n_rows, const double* c,
                          const floating* x, const index_t* j) noexcept nogil:
    """w += sum_i c[i] x_i; `x` and `j` only carry their types."""
    cdef Py_ssize_t i = 0, r, n
    cdef const floating* four[4]
    if index_t is dense_t:
        while i + 4 <= n_rows:
            for r in range(4):
                locate(view, rows[i + r], &four[r], &j, &n)
            if floating is float:
                sk_add4_f32(w, four, view.n_features, &c[i])
            else:
                sk_add4_f64(w, four, view.n_features, &c[i])
            i += 4
    while i < n_rows:
        locate(view, rows[i], &x, &j, &n)
        accumulate(w, x, j, n, c[i])
        i += 1


cdef inline void spread(const View* view, Py_ssize_t row, const double* centre, Py_ssize_t n_features, double* out,
                        const floating* x, const index_t* j) noexcept nogil:
    """A row less the centre; `x` and `j` only carry their types."""
    cdef Py_ssize_t n, f
    locate(view, row, &x, &j, &n)
    if index_t is dense_t:
        for f in range(n_features):
            out[f] = x[f] - centre[f]
    else:
        for f in range(n_features):
            out[f] = -centre[f]
        for f in range(n):
            out[j[f]] += x[f]


cdef inline void gather(const View* view, const Py_ssize_t* rows, Py_ssize_t n_rows, floating* out) noexcept nogil:
    """Copy dense rows, whatever their strides, to rows one after the other."""
    cdef Py_ssize_t i, f
    cdef const floating* column
    for f in range(view.n_features):
        # Columns outside: in F order, which is what comes here, the rows of a block then share cache lines.
        column = <const floating*>view.values + f * view.column_stride
        for i in range(n_rows):
            out[i * view.n_features + f] = column[rows[i] * view.row_stride]

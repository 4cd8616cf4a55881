/* Products of rows with coefficients: the loops that a solver's time goes into.

   Coefficients are double whatever the rows are stored as; an element of a row is converted as it is loaded. Sums have
   a fixed order, so a result depends on nothing but its operands: not on threads, not on neighbouring columns. The
   bodies stand in _products_body.h, once, and are included here for each element type. */
#ifndef SKLOSSES_PRODUCTS_H
#define SKLOSSES_PRODUCTS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define SK_INLINE static inline __attribute__((always_inline))
#define SK_PREFETCH(address) __builtin_prefetch(address)
#else
#define SK_INLINE static inline
#define SK_PREFETCH(address) ((void)(address))
#endif

/* Ask the compiler for vectors, and let it reorder the named sums: gcc does neither by itself. Compilers that know no
   OpenMP pragmas run the plain loops. */
#define SK_PRAGMA(text) _Pragma(#text)
#if defined(_MSC_VER)
#define SK_SIMD
#define SK_SIMD_SUM(...)
#else
#define SK_SIMD SK_PRAGMA(omp simd)
#define SK_SIMD_SUM(...) SK_PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#endif

#define SK_JOIN_(a, b) a##_##b
#define SK_JOIN(a, b) SK_JOIN_(a, b)

#define SK_REAL float
#define SK_NAME(f) SK_JOIN(f, f32)
#include "_products_body.h"
#undef SK_REAL
#undef SK_NAME
#define SK_REAL double
#define SK_NAME(f) SK_JOIN(f, f64)
#include "_products_body.h"
#undef SK_REAL
#undef SK_NAME

/* Sum of squares (norms[0]) and of absolute values (norms[1]). */
SK_INLINE void sk_norms(const double *restrict w, ptrdiff_t n, double *norms)
{
    double squares = 0, absolutes = 0;
    SK_SIMD_SUM(squares, absolutes)
    for (ptrdiff_t i = 0; i < n; i++) {
        squares += w[i] * w[i];
        absolutes += fabs(w[i]);
    }
    norms[0] = squares;
    norms[1] = absolutes;
}

/* One coefficient under the cumulative l1 penalty of Tsuruoka, Tsujii and Ananiadou (2009): it is moved towards zero
   by what is due in all (total) less what it has taken already (taken), and not beyond. Both are in units of the true
   coefficient, scale times w. */
SK_INLINE double sk_clipped(double w, double taken, double total, double inverse_scale)
{
    double down = w - (total + taken) * inverse_scale;
    double up = w + (total - taken) * inverse_scale;
    double positive = down > 0 ? down : 0;
    double negative = up < 0 ? up : 0;
    return w > 0 ? positive : w < 0 ? negative : w;
}

/* All coefficients; norms of the result as in sk_norms. Where their mean is kept as (average + a w) / b, and average is
   not NULL, it stays the mean of the iterates before: clipping has no part in those. */
SK_INLINE void sk_clip(double *restrict w, double *restrict taken, double *restrict average, ptrdiff_t n, double a,
                       double total, double scale, double *norms)
{
    double squares = 0, absolutes = 0, inverse_scale = 1 / scale;
    if (average)
        for (ptrdiff_t i = 0; i < n; i++)
            average[i] -= a * (sk_clipped(w[i], taken[i], total, inverse_scale) - w[i]);
    SK_SIMD_SUM(squares, absolutes)
    for (ptrdiff_t i = 0; i < n; i++) {
        double clipped = sk_clipped(w[i], taken[i], total, inverse_scale);
        taken[i] += scale * (clipped - w[i]);
        w[i] = clipped;
        squares += clipped * clipped;
        absolutes += fabs(clipped);
    }
    norms[0] = squares;
    norms[1] = absolutes;
}

/* w *= c */
SK_INLINE void sk_scale(double *restrict w, ptrdiff_t n, double c)
{
    SK_SIMD
    for (ptrdiff_t i = 0; i < n; i++)
        w[i] *= c;
}

SK_INLINE int sk_all_finite(const double *restrict w, ptrdiff_t n)
{
    double zero = 0;   /* finite * 0 is 0, anything else is nan */
    SK_SIMD_SUM(zero)
    for (ptrdiff_t i = 0; i < n; i++)
        zero += w[i] * 0;
    return zero == 0;
}

#endif

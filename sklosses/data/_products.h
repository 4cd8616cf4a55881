/* Products of rows with coefficients: the loops that a solver's time goes into.

   Coefficients are double whatever the rows are stored as; an element of a row is converted as it is loaded. Sums have
   a fixed order, so a result depends on nothing but its operands: not on threads, not on neighbouring columns.

   The loops are written with the vector types of gcc and clang, as wide as the instruction set they are compiled for;
   with other compilers a "vector" is one double, and the same loops are plain ones. Arrays of coefficients start at a
   multiple of 64 bytes and are padded with zeros to a multiple of SK_PADDING elements, so that only rows have an end to
   mind. The bodies stand in _products_body.h, once, and are included here for each element type. */
#ifndef SKLOSSES_PRODUCTS_H
#define SKLOSSES_PRODUCTS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define SK_INLINE static inline __attribute__((always_inline))
#define SK_PREFETCH(address) __builtin_prefetch(address)
#define SK_PREFETCH_FAR(address) __builtin_prefetch(address, 0, 2)
/* gcc 12 takes a function that only prefetches for one without effects, and drops the call: this is an effect. */
#define SK_KEEP(address) __asm__ volatile("" : : "r"(address))
#if defined(__AVX512F__) && defined(__AVX512VL__)
#include <immintrin.h>
#define SK_LANES 8
#elif defined(__AVX2__)
#include <immintrin.h>
#define SK_LANES 4
#else
#define SK_LANES 2
#endif
typedef double sk_vector __attribute__((vector_size(8 * SK_LANES)));
typedef int64_t sk_mask __attribute__((vector_size(8 * SK_LANES)));
#define SK_LANE(v, i) ((v)[i])
#else
#define SK_INLINE static inline
#define SK_PREFETCH(address) ((void)(address))
#define SK_PREFETCH_FAR(address) ((void)(address))
#define SK_KEEP(address) ((void)(address))
#define SK_LANES 1
typedef double sk_vector;
#define SK_LANE(v, i) (v)
#endif

#define SK_PADDING 8
#define SK_CACHE_LINE 64

SK_INLINE sk_vector sk_load(const double *w)
{
    sk_vector v;
    memcpy(&v, w, sizeof v);
    return v;
}

SK_INLINE void sk_store(double *w, sk_vector v) { memcpy(w, &v, sizeof v); }

/* Sums of lanes, in one order whatever the instructions: ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)). */
SK_INLINE double sk_sum(sk_vector v)
{
#if SK_LANES >= 4
#if SK_LANES == 8
#define SK_HALF(v) _mm256_add_pd(_mm512_castpd512_pd256((__m512d)(v)), _mm512_extractf64x4_pd((__m512d)(v), 1))
#else
#define SK_HALF(v) ((__m256d)(v))
#endif
    __m256d half = SK_HALF(v);
    __m128d quarter = _mm_add_pd(_mm256_castpd256_pd128(half), _mm256_extractf128_pd(half, 1));
    return _mm_cvtsd_f64(_mm_add_sd(quarter, _mm_unpackhi_pd(quarter, quarter)));
#elif SK_LANES == 2
    return SK_LANE(v, 0) + SK_LANE(v, 1);
#else
    return v;
#endif
}

/* Four sums at once: with few shuffles where the instruction set has horizontal additions. */
SK_INLINE void sk_sum4(sk_vector a, sk_vector b, sk_vector c, sk_vector d, double *sums)
{
#if SK_LANES >= 4
    __m256d ab = _mm256_hadd_pd(SK_HALF(a), SK_HALF(b)), cd = _mm256_hadd_pd(SK_HALF(c), SK_HALF(d));
    _mm256_storeu_pd(sums, _mm256_add_pd(_mm256_permute2f128_pd(ab, cd, 0x20), _mm256_permute2f128_pd(ab, cd, 0x31)));
#undef SK_HALF
#else
    sums[0] = sk_sum(a);
    sums[1] = sk_sum(b);
    sums[2] = sk_sum(c);
    sums[3] = sk_sum(d);
#endif
}

/* Elements of a row, as a vector of doubles; of its end, with zeros for what is not there (and is not read). */
SK_INLINE sk_vector sk_elements_f64(const double *x) { return sk_load(x); }

SK_INLINE sk_vector sk_elements_f32(const float *x)
{
#if SK_LANES == 8
    return (sk_vector)_mm512_cvtps_pd(_mm256_loadu_ps(x));      /* gcc 12 makes four instructions of a plain conversion */
#elif SK_LANES == 4
    return (sk_vector)_mm256_cvtps_pd(_mm_loadu_ps(x));
#elif SK_LANES == 2
    return (sk_vector){x[0], x[1]};
#else
    return x[0];
#endif
}

#if SK_LANES == 8
SK_INLINE sk_vector sk_end_f64(const double *x, ptrdiff_t n)
{
    return (sk_vector)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), x);
}

SK_INLINE sk_vector sk_end_f32(const float *x, ptrdiff_t n)
{
    return (sk_vector)_mm512_cvtps_pd(_mm256_maskz_loadu_ps((__mmask8)((1u << n) - 1), x));
}
#elif SK_LANES == 4
/* n ones and then zeros start at this place less n. */
static const int32_t sk_ones[8] = {-1, -1, -1, -1, 0, 0, 0, 0};

SK_INLINE sk_vector sk_end_f64(const double *x, ptrdiff_t n)
{
    __m128i ones = _mm_loadu_si128((const __m128i *)(sk_ones + 4 - n));
    return (sk_vector)_mm256_maskload_pd(x, _mm256_cvtepi32_epi64(ones));
}

SK_INLINE sk_vector sk_end_f32(const float *x, ptrdiff_t n)
{
    __m128i ones = _mm_loadu_si128((const __m128i *)(sk_ones + 4 - n));
    return (sk_vector)_mm256_cvtps_pd(_mm_maskload_ps(x, ones));
}
#else
/* With two lanes or one, an end has one element or none. */
SK_INLINE sk_vector sk_end_f64(const double *x, ptrdiff_t n)
{
    double v[SK_LANES] = {n ? x[0] : 0};
    return sk_load(v);
}

SK_INLINE sk_vector sk_end_f32(const float *x, ptrdiff_t n)
{
    double v[SK_LANES] = {n ? x[0] : 0};
    return sk_load(v);
}
#endif

/* Other loops, over coefficients alone, are left to the compiler: they are asked to be vectors, and their sums may be split
   among lanes. Compilers that know no OpenMP pragmas run them as they stand. */
#define SK_PRAGMA(text) _Pragma(#text)
#if defined(_MSC_VER)
#define SK_SIMD
#define SK_SIMD_SUM(...)
#else
#define SK_SIMD SK_PRAGMA(omp simd)
#define SK_SIMD_SUM(...) SK_PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#endif

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

/* The same for the elements of a vector. Where w is 0 it stays; where it is nan, too. */
SK_INLINE sk_vector sk_clipped_lanes(sk_vector w, sk_vector taken, double total, double inverse_scale)
{
#if SK_LANES > 1
    sk_vector down = w - (total + taken) * inverse_scale, up = w + (total - taken) * inverse_scale;
    sk_mask above = w > 0, below = w < 0;
    sk_mask positive = (sk_mask)down & (down > 0) & above, negative = (sk_mask)up & (up < 0) & below;
    return (sk_vector)(positive | negative | ((sk_mask)w & ~(above | below)));
#else
    return sk_clipped(w, taken, total, inverse_scale);
#endif
}

SK_INLINE sk_vector sk_absolute(sk_vector v)
{
#if SK_LANES > 1
    return (sk_vector)((sk_mask)v & INT64_MAX);
#else
    return fabs(v);
#endif
}

/* A step under the l1 penalty: w += multiple x, clipped. */
typedef struct {
    double multiple;
    double total;       /* what is due of each coefficient */
    double scale;
    double a;           /* the mean of the iterates is kept as (average + a w) / b */
} sk_step;

/* Clip SK_LANES coefficients that start at w, of which v are the new values; v becomes what they are then. Where
   average is not NULL it stays the mean of the iterates before: clipping has no part in those. */
SK_INLINE sk_vector sk_clip_lanes(double *w, double *taken, double *average, sk_vector v, const sk_step *step,
                                  double inverse_scale)
{
    sk_vector q = sk_load(taken), clipped = sk_clipped_lanes(v, q, step->total, inverse_scale);
    sk_store(taken, q + step->scale * (clipped - v));
    sk_store(w, clipped);
    if (average)
        sk_store(average, sk_load(average) - step->a * (clipped - v));
    return clipped;
}

/* Clip all coefficients; norms of the result as in sk_norms. */
SK_INLINE void sk_clip(double *restrict w, double *restrict taken, double *restrict average, ptrdiff_t n,
                       const sk_step *step, double *norms)
{
    sk_vector squares = {0}, absolutes = {0};
    double inverse_scale = 1 / step->scale;
    for (ptrdiff_t i = 0; i < n; i += SK_LANES) {
        sk_vector v = sk_clip_lanes(w + i, taken + i, average ? average + i : 0, sk_load(w + i), step, inverse_scale);
        squares += v * v;
        absolutes += sk_absolute(v);
    }
    norms[0] = sk_sum(squares);
    norms[1] = sk_sum(absolutes);
}

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

/* A multiple of SK_PADDING: the padding is part of these loops, and stays zero. */
SK_INLINE ptrdiff_t sk_padded(ptrdiff_t n) { return (n + SK_PADDING - 1) / SK_PADDING * SK_PADDING; }

/* Sum of squares (norms[0]) and of absolute values (norms[1]). */
SK_INLINE void sk_norms(const double *restrict w, ptrdiff_t n, double *norms)
{
    double squares = 0, absolutes = 0;
    n = sk_padded(n);
    SK_SIMD_SUM(squares, absolutes)
    for (ptrdiff_t i = 0; i < n; i++) {
        squares += w[i] * w[i];
        absolutes += fabs(w[i]);
    }
    norms[0] = squares;
    norms[1] = absolutes;
}

/* w *= c, for any array */
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

SK_INLINE void sk_prefetch_one(const void *address)
{
    SK_PREFETCH_FAR(address);
    SK_KEEP(address);
}

/* Of long stretches only the beginning is asked for: the hardware sees where they lead. */
#define SK_PREFETCH_ALL(prefetch, address, n_bytes)                                             \
    do {                                                                                        \
        ptrdiff_t n_ = (n_bytes) < 32 * SK_CACHE_LINE ? (n_bytes) : 32 * SK_CACHE_LINE;         \
        for (ptrdiff_t i_ = 0; i_ < n_; i_ += SK_CACHE_LINE)                                    \
            prefetch((address) + i_);                                                           \
        prefetch((address) + n_ - 1);                                                           \
        SK_KEEP(address);                                                                       \
    } while (0)

/* Ask for memory that will be read at once, into the first-level cache. */
SK_INLINE void sk_prefetch(const char *address, ptrdiff_t n_bytes) { SK_PREFETCH_ALL(SK_PREFETCH, address, n_bytes); }

/* Ask for memory that will be read later, into the second-level cache. */
SK_INLINE void sk_prefetch_far(const char *address, ptrdiff_t n_bytes)
{
    SK_PREFETCH_ALL(SK_PREFETCH_FAR, address, n_bytes);
}

#endif

/* Sums over rows, for a vector of columns at a time: they stay in registers. */
#ifndef SKLOSSES_WEIGH_H
#define SKLOSSES_WEIGH_H

#include <math.h>
#include <stddef.h>

#include "_products.h"

typedef struct {
    ptrdiff_t n;                /* rows */
    ptrdiff_t stride;           /* from a row to the next, of all that follows but `weight` */
    const double *weight;       /* of rows */
    const double *of_class;     /* of rows and columns; NULL: 1 */
    const double *smooth;
    const double *value;
    double *gradient;
} sk_swept;

#if SK_LANES > 1
/* x where s is not 0, else 0: what has weight 0 counts 0, be it infinite. */
SK_INLINE sk_vector sk_where(sk_vector x, sk_vector s) { return (sk_vector)((sk_mask)x & (s != (sk_vector){0})); }
SK_INLINE sk_vector sk_size(sk_vector x)
{
    const sk_mask sign = (sk_mask){0} + INT64_MIN;
    return (sk_vector)((sk_mask)x & ~sign);
}
#else
SK_INLINE sk_vector sk_where(sk_vector x, sk_vector s) { return s != 0 ? x : 0; }
SK_INLINE sk_vector sk_size(sk_vector x) { return fabs(x); }
#endif

/* Multiply gradients with their weights, row times mask times class, and add up the weights, weighted smooth values,
   values, absolute gradients and their squares: each in a row of `sums`. For the columns of a vector. */
SK_INLINE void sk_weigh_vector(const sk_swept *from, ptrdiff_t first, const double *mask, double *sums,
                               const int classes)
{
    const sk_vector factor = sk_load(mask + first);
    sk_vector part[5];
    for (int j = 0; j < 5; j++)
        part[j] = sk_load(sums + j * from->stride + first);
    for (ptrdiff_t i = 0; i < from->n; i++) {
        const ptrdiff_t at = i * from->stride + first;
        const sk_vector s = classes ? from->weight[i] * factor * sk_load(from->of_class + at) : from->weight[i] * factor;
        const sk_vector u = sk_where(sk_load(from->gradient + at), s), su = s * u;
        part[0] += s;
        part[1] += s * sk_where(sk_load(from->smooth + at), s);
        part[2] += s * sk_where(sk_load(from->value + at), s);
        part[3] += s * sk_size(u);
        part[4] += su * u;
        sk_store(from->gradient + at, su);
    }
    for (int j = 0; j < 5; j++)
        sk_store(sums + j * from->stride + first, part[j]);
}

/* Columns `first` to `stop`, multiples of eight. */
static void sk_weigh(const sk_swept *from, ptrdiff_t first, ptrdiff_t stop, const double *mask, double *sums)
{
    for (; first < stop; first += SK_LANES) {
        if (from->of_class)
            sk_weigh_vector(from, first, mask, sums, 1);
        else
            sk_weigh_vector(from, first, mask, sums, 0);
    }
}

/* Multiply second derivatives with their weights, row times mask times class, in columns `first` to `stop`, multiples
   of eight. */
SK_INLINE void sk_weigh_curvature(ptrdiff_t n, ptrdiff_t stride, ptrdiff_t first, ptrdiff_t stop, const double *weight,
                                  const double *mask, const double *of_class, double *hessian)
{
    for (; first < stop; first += SK_LANES) {
        const sk_vector factor = sk_load(mask + first);
        for (ptrdiff_t i = 0; i < n; i++) {
            const ptrdiff_t at = i * stride + first;
            const sk_vector s = sk_load(hessian + at) * (weight[i] * factor);
            sk_store(hessian + at, of_class ? s * sk_load(of_class + at) : s);
        }
    }
}

/* One column: multiply values and gradients with their weights, and add up values, gradients and absolute gradients.
   What has weight 0 counts 0. */
static void sk_weigh_rows(ptrdiff_t n, const double *weight, double *value, double *gradient, double *sums)
{
    double sum = 0, slope = 0, steepness = 0;
    if (weight) {
        SK_SIMD
        for (ptrdiff_t i = 0; i < n; i++) {
            value[i] = weight[i] != 0 ? weight[i] * value[i] : 0;
            gradient[i] = weight[i] != 0 ? weight[i] * gradient[i] : 0;
        }
    }
    SK_SIMD_SUM(sum, slope, steepness)
    for (ptrdiff_t i = 0; i < n; i++) {
        sum += value[i];
        slope += gradient[i];
        steepness += fabs(gradient[i]);
    }
    sums[0] += sum;
    sums[1] += slope;
    sums[2] += steepness;
}

/* The same for derivatives along a line from `from` to `to` (NULL: 1 everywhere), and second ones; swept: values,
   gradients, second derivatives or NULL. */
static void sk_weigh_along(ptrdiff_t n, const double *weight, const double *from, const double *to, double **swept,
                           double *sums)
{
    double slope = 0, curvature = 0;
    double *gradient = swept[1], *hessian = swept[2];
    const double before = sums[1];
    if (weight && hessian) {
        SK_SIMD
        for (ptrdiff_t i = 0; i < n; i++)
            hessian[i] = weight[i] != 0 ? weight[i] * hessian[i] : 0;
    }
    sk_weigh_rows(n, weight, swept[0], gradient, sums);
    if (to) {
        SK_SIMD_SUM(slope)
        for (ptrdiff_t i = 0; i < n; i++)
            slope += gradient[i] * (to[i] - from[i]);
        sums[1] = before + slope;
    }
    if (hessian) {
        SK_SIMD_SUM(curvature)
        for (ptrdiff_t i = 0; i < n; i++) {
            const double change = to ? to[i] - from[i] : 1;
            curvature += hessian[i] * (change * change);
        }
        sums[3] += curvature;
    }
}

/* One column whose kinks are smoothed: multiply derivatives with their weights, and add up what `sk_weigh` does. */
static void sk_weigh_smoothed(ptrdiff_t n, const double *weight, double *smooth, double *value, double *gradient,
                              double *hessian, double *sums)
{
    double all = 0, minimised = 0, total = 0, steepness = 0, square = 0;
    if (weight) {
        SK_SIMD
        for (ptrdiff_t i = 0; i < n; i++) {
            const double s = weight[i], u = s != 0 ? gradient[i] : 0;
            smooth[i] = s != 0 ? s * smooth[i] : 0;
            value[i] = s != 0 ? s * value[i] : 0;
            hessian[i] = s != 0 ? s * hessian[i] : 0;
            gradient[i] = s * u;
        }
        SK_SIMD_SUM(all, square)
        for (ptrdiff_t i = 0; i < n; i++) {
            all += weight[i];
            square += weight[i] != 0 ? gradient[i] * gradient[i] / weight[i] : 0;
        }
    } else {
        all = (double)n;
        SK_SIMD_SUM(square)
        for (ptrdiff_t i = 0; i < n; i++)
            square += gradient[i] * gradient[i];
    }
    SK_SIMD_SUM(minimised, total, steepness)
    for (ptrdiff_t i = 0; i < n; i++) {
        minimised += smooth[i];
        total += value[i];
        steepness += fabs(gradient[i]);
    }
    sums[0] += all;
    sums[1] += minimised;
    sums[2] += total;
    sums[3] += steepness;
    sums[4] += square;
}

/* The weighted sum of gradients times changes of the predictions. */
SK_INLINE double sk_slope_along(ptrdiff_t n, const double *weight, const double *gradient, const double *change)
{
    double slope = 0;
    if (weight) {
        SK_SIMD_SUM(slope)
        for (ptrdiff_t i = 0; i < n; i++)
            slope += weight[i] != 0 ? weight[i] * gradient[i] * change[i] : 0;
    } else {
        SK_SIMD_SUM(slope)
        for (ptrdiff_t i = 0; i < n; i++)
            slope += gradient[i] * change[i];
    }
    return slope;
}

/* Whether any of SK_PADDING numbers are not the same, bit for bit. */
SK_INLINE int sk_differ(const double *a, const double *b)
{
#if SK_LANES == 8
    const __m512i any = (__m512i)((sk_mask)sk_load(a) ^ (sk_mask)sk_load(b));
    return _mm512_test_epi64_mask(any, any) != 0;
#elif SK_LANES == 4
    const sk_mask low = (sk_mask)sk_load(a) ^ (sk_mask)sk_load(b);
    const __m256i any = (__m256i)(low | ((sk_mask)sk_load(a + 4) ^ (sk_mask)sk_load(b + 4)));
    return !_mm256_testz_si256(any, any);
#else
    int64_t x[SK_PADDING], y[SK_PADDING], any = 0;
    memcpy(x, a, sizeof x);
    memcpy(y, b, sizeof y);
    for (int k = 0; k < SK_PADDING; k++)
        any |= x[k] ^ y[k];
    return any != 0;
#endif
}

#endif

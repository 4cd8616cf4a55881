/* Products of one row with the coefficients of many columns, which stand together: a line of them for each feature.

   A row is a list of its entries, those that are not 0, and of where their lines begin. Sums stay in registers: a strip
   of lines at a time, two sums an element, for one would wait for each addition. */
#ifndef SKLOSSES_LINES_H
#define SKLOSSES_LINES_H

#include "_products.h"

#if defined(__GNUC__) || defined(__clang__)
#define SK_ALL _Pragma("GCC unroll 4")
#else
#define SK_ALL
#endif

/* `vectors` is a constant once this is inlined. */
SK_INLINE void sk_sum_strip(const int vectors, const double *x, const ptrdiff_t *at, ptrdiff_t n, const double *lines,
                            double *out)
{
    sk_vector even[4], odd[4];
    ptrdiff_t i = 0;
    memset(even, 0, sizeof even);
    memset(odd, 0, sizeof odd);
    for (; i + 2 <= n; i += 2) {
        const double *a = lines + at[i], *b = lines + at[i + 1];
        SK_ALL
        for (int v = 0; v < vectors; v++) {
            even[v] += x[i] * sk_load(a + v * SK_LANES);
            odd[v] += x[i + 1] * sk_load(b + v * SK_LANES);
        }
    }
    if (i < n)
        SK_ALL
        for (int v = 0; v < vectors; v++)
            even[v] += x[i] * sk_load(lines + at[i] + v * SK_LANES);
    SK_ALL
    for (int v = 0; v < vectors; v++)
        sk_store(out + v * SK_LANES, even[v] + odd[v]);
}

/* out = sum_i x_i line_i; `width` is a multiple of SK_PADDING. */
static void sk_sum_lines(const double *x, const ptrdiff_t *at, ptrdiff_t n, const double *lines, ptrdiff_t width,
                         double *out)
{
    ptrdiff_t j = 0;
    for (; j + 4 * SK_LANES <= width; j += 4 * SK_LANES)
        sk_sum_strip(4, x, at, n, lines + j, out + j);
    for (; j + 2 * SK_LANES <= width; j += 2 * SK_LANES)
        sk_sum_strip(2, x, at, n, lines + j, out + j);
    for (; j < width; j += SK_LANES)
        sk_sum_strip(1, x, at, n, lines + j, out + j);
}

/* line_i += x_i change, for all i; vectors of the change that are 0 are left out. */
static void sk_add_to_lines(const double *x, const ptrdiff_t *at, ptrdiff_t n, const double *change, ptrdiff_t width,
                            double *lines)
{
    for (ptrdiff_t j = 0; j < width; j += SK_LANES) {
        int some = 0;
        for (ptrdiff_t k = j; k < j + SK_LANES; k++)
            some |= change[k] != 0;
        if (!some)
            continue;
        const sk_vector by = sk_load(change + j);
        for (ptrdiff_t i = 0; i < n; i++) {
            double *line = lines + at[i] + j;
            sk_store(line, sk_load(line) + x[i] * by);
        }
    }
}

#endif

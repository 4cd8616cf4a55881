/* Included by _products.h for SK_REAL = float and double. Dense rows: x, of n elements. Sparse rows: n entries x[i] in
   columns j[i], each column at most once. */

SK_INLINE double SK_NAME(sk_dot)(const SK_REAL *restrict x, const double *restrict w, ptrdiff_t n)
{
    double sum = 0;
    SK_SIMD_SUM(sum)
    for (ptrdiff_t i = 0; i < n; i++)
        sum += (double)x[i] * w[i];
    return sum;
}

/* Four rows at once: each element of w is loaded once for them. */
SK_INLINE void SK_NAME(sk_dot4)(const SK_REAL *const *rows, const double *restrict w, ptrdiff_t n, double *sums)
{
    const SK_REAL *restrict a = rows[0], *restrict b = rows[1], *restrict c = rows[2], *restrict d = rows[3];
    double sa = 0, sb = 0, sc = 0, sd = 0;
    SK_SIMD_SUM(sa, sb, sc, sd)
    for (ptrdiff_t i = 0; i < n; i++) {
        sa += (double)a[i] * w[i];
        sb += (double)b[i] * w[i];
        sc += (double)c[i] * w[i];
        sd += (double)d[i] * w[i];
    }
    sums[0] = sa;
    sums[1] = sb;
    sums[2] = sc;
    sums[3] = sd;
}

SK_INLINE double SK_NAME(sk_square_norm)(const SK_REAL *restrict x, ptrdiff_t n)
{
    double sum = 0;
    SK_SIMD_SUM(sum)
    for (ptrdiff_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

/* w += c x; the new sum of squares of w. */
SK_INLINE double SK_NAME(sk_add)(double *restrict w, const SK_REAL *restrict x, ptrdiff_t n, double c)
{
    double squares = 0;
    SK_SIMD_SUM(squares)
    for (ptrdiff_t i = 0; i < n; i++) {
        w[i] += c * (double)x[i];
        squares += w[i] * w[i];
    }
    return squares;
}

/* w += c[0] rows[0] + ... + c[3] rows[3] */
SK_INLINE void SK_NAME(sk_add4)(double *restrict w, const SK_REAL *const *rows, ptrdiff_t n, const double *c)
{
    const SK_REAL *restrict x0 = rows[0], *restrict x1 = rows[1], *restrict x2 = rows[2], *restrict x3 = rows[3];
    const double c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3];
    SK_SIMD
    for (ptrdiff_t i = 0; i < n; i++)
        w[i] += (c0 * (double)x0[i] + c1 * (double)x1[i]) + (c2 * (double)x2[i] + c3 * (double)x3[i]);
}

/* Included by _products.h for SK_REAL = float and double. Dense rows: x of n elements; w padded. */

/* x.w, in four partial sums: a multiply-add waits four cycles for the one before. */
SK_INLINE double SK_NAME(sk_dot)(const SK_REAL *restrict x, const double *restrict w, ptrdiff_t n)
{
    sk_vector a = {0}, b = {0}, c = {0}, d = {0};
    ptrdiff_t i = 0;
    for (; i + 4 * SK_LANES <= n; i += 4 * SK_LANES) {
        a += SK_NAME(sk_elements)(x + i) * sk_load(w + i);
        b += SK_NAME(sk_elements)(x + i + SK_LANES) * sk_load(w + i + SK_LANES);
        c += SK_NAME(sk_elements)(x + i + 2 * SK_LANES) * sk_load(w + i + 2 * SK_LANES);
        d += SK_NAME(sk_elements)(x + i + 3 * SK_LANES) * sk_load(w + i + 3 * SK_LANES);
    }
    if (i + 2 * SK_LANES <= n) {
        a += SK_NAME(sk_elements)(x + i) * sk_load(w + i);
        b += SK_NAME(sk_elements)(x + i + SK_LANES) * sk_load(w + i + SK_LANES);
        i += 2 * SK_LANES;
    }
    if (i + SK_LANES <= n) {
        c += SK_NAME(sk_elements)(x + i) * sk_load(w + i);
        i += SK_LANES;
    }
    if (i < n)
        d += SK_NAME(sk_end)(x + i, n - i) * sk_load(w + i);
    return sk_sum((a + b) + (c + d));
}

/* Four rows at once: each element of w is loaded once for them. */
SK_INLINE void SK_NAME(sk_dot4)(const SK_REAL *const *rows, const double *restrict w, ptrdiff_t n, double *sums)
{
    const SK_REAL *restrict x0 = rows[0], *restrict x1 = rows[1], *restrict x2 = rows[2], *restrict x3 = rows[3];
    sk_vector a = {0}, b = {0}, c = {0}, d = {0};
    ptrdiff_t i = 0;
    for (; i + SK_LANES <= n; i += SK_LANES) {
        const sk_vector v = sk_load(w + i);
        a += SK_NAME(sk_elements)(x0 + i) * v;
        b += SK_NAME(sk_elements)(x1 + i) * v;
        c += SK_NAME(sk_elements)(x2 + i) * v;
        d += SK_NAME(sk_elements)(x3 + i) * v;
    }
    if (i < n) {
        const sk_vector v = sk_load(w + i);
        a += SK_NAME(sk_end)(x0 + i, n - i) * v;
        b += SK_NAME(sk_end)(x1 + i, n - i) * v;
        c += SK_NAME(sk_end)(x2 + i, n - i) * v;
        d += SK_NAME(sk_end)(x3 + i, n - i) * v;
    }
    sk_sum4(a, b, c, d, sums);
}

/* The inner product of two rows. */
SK_INLINE double SK_NAME(sk_inner)(const SK_REAL *restrict x, const SK_REAL *restrict y, ptrdiff_t n)
{
    sk_vector a = {0}, b = {0};
    ptrdiff_t i = 0;
    for (; i + 2 * SK_LANES <= n; i += 2 * SK_LANES) {
        a += SK_NAME(sk_elements)(x + i) * SK_NAME(sk_elements)(y + i);
        b += SK_NAME(sk_elements)(x + i + SK_LANES) * SK_NAME(sk_elements)(y + i + SK_LANES);
    }
    if (i + SK_LANES <= n) {
        a += SK_NAME(sk_elements)(x + i) * SK_NAME(sk_elements)(y + i);
        i += SK_LANES;
    }
    if (i < n)
        b += SK_NAME(sk_end)(x + i, n - i) * SK_NAME(sk_end)(y + i, n - i);
    return sk_sum(a + b);
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
    sk_vector a = {0}, b = {0}, v;
    ptrdiff_t i = 0;
    for (; i + 2 * SK_LANES <= n; i += 2 * SK_LANES) {
        v = sk_load(w + i) + c * SK_NAME(sk_elements)(x + i);
        sk_store(w + i, v);
        a += v * v;
        v = sk_load(w + i + SK_LANES) + c * SK_NAME(sk_elements)(x + i + SK_LANES);
        sk_store(w + i + SK_LANES, v);
        b += v * v;
    }
    if (i + SK_LANES <= n) {
        v = sk_load(w + i) + c * SK_NAME(sk_elements)(x + i);
        sk_store(w + i, v);
        a += v * v;
        i += SK_LANES;
    }
    if (i < n) {
        v = sk_load(w + i) + c * SK_NAME(sk_end)(x + i, n - i);
        sk_store(w + i, v);
        b += v * v;
    }
    return sk_sum(a + b);
}

/* w += c[0] rows[0] + ... + c[3] rows[3] */
SK_INLINE void SK_NAME(sk_add4)(double *restrict w, const SK_REAL *const *rows, ptrdiff_t n, const double *c)
{
    const SK_REAL *restrict x0 = rows[0], *restrict x1 = rows[1], *restrict x2 = rows[2], *restrict x3 = rows[3];
    const double c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3];
    ptrdiff_t i = 0;
    for (; i + SK_LANES <= n; i += SK_LANES)
        sk_store(w + i, sk_load(w + i) + ((c0 * SK_NAME(sk_elements)(x0 + i) + c1 * SK_NAME(sk_elements)(x1 + i))
                                          + (c2 * SK_NAME(sk_elements)(x2 + i) + c3 * SK_NAME(sk_elements)(x3 + i))));
    if (i < n)
        sk_store(w + i, sk_load(w + i) + ((c0 * SK_NAME(sk_end)(x0 + i, n - i) + c1 * SK_NAME(sk_end)(x1 + i, n - i))
                                          + (c2 * SK_NAME(sk_end)(x2 + i, n - i)
                                             + c3 * SK_NAME(sk_end)(x3 + i, n - i))));
}

/* A whole step of the l1 penalty in one reading of the coefficients: add x, clip, and begin the next row's product.
   sums: ||w||^2, ||w||_1 and w.next. */
SK_INLINE void SK_NAME(sk_step_clipped)(double *restrict w, double *restrict taken, double *restrict average,
                                        const SK_REAL *x, const SK_REAL *next, ptrdiff_t n, const sk_step *step,
                                        double *sums)
{
    sk_vector squares = {0}, absolutes = {0}, product = {0}, v, y;
    const double c = step->multiple, inverse_scale = 1 / step->scale;
    for (ptrdiff_t i = 0; i < n; i += SK_LANES) {
        if (i + SK_LANES <= n) {
            v = sk_load(w + i) + c * SK_NAME(sk_elements)(x + i);
            y = SK_NAME(sk_elements)(next + i);
        } else {
            v = sk_load(w + i) + c * SK_NAME(sk_end)(x + i, n - i);
            y = SK_NAME(sk_end)(next + i, n - i);
        }
        v = sk_clip_lanes(w + i, taken + i, average ? average + i : 0, v, step, inverse_scale);
        squares += v * v;
        absolutes += sk_absolute(v);
        product += v * y;
    }
    sums[0] = sk_sum(squares);
    sums[1] = sk_sum(absolutes);
    sums[2] = sk_sum(product);
}

/* Included by _embedding.h for SK_REAL = float and double. Sums over the elements of a row are double throughout. */

/* Rows ------------------------------------------------------------------------------------------------------------ */

/* |a - b|, b NULL: |a|. Where squares leave double's range, of elements divided by the largest. */
static double SK_NAME(sk_length)(const SK_REAL *restrict a, const SK_REAL *restrict b, ptrdiff_t d)
{
    double sum = 0, largest = 0;
    if (b) {
        SK_SIMD_SUM(sum)
        for (ptrdiff_t k = 0; k < d; k++)
            sum += ((double)a[k] - (double)b[k]) * ((double)a[k] - (double)b[k]);
    } else {
        SK_SIMD_SUM(sum)
        for (ptrdiff_t k = 0; k < d; k++)
            sum += (double)a[k] * (double)a[k];
    }
    if (sum > 1e-280 && sum < 1e280)
        return sqrt(sum);
    for (ptrdiff_t k = 0; k < d; k++)
        largest = fmax(largest, fabs((double)a[k] - (b ? (double)b[k] : 0)));
    if (!(largest > 0 && largest <= DBL_MAX))
        return largest;
    sum = 0;
    for (ptrdiff_t k = 0; k < d; k++) {
        double x = ((double)a[k] - (b ? (double)b[k] : 0)) / largest;
        sum += x * x;
    }
    return largest * sqrt(sum);
}

/* 1 / |a|, 0 for a row so short that this overflows: it counts as zero. */
SKLOSSES_INLINE double SK_NAME(sk_inverse_length)(const SK_REAL *restrict a, ptrdiff_t d)
{
    double length = SK_NAME(sk_length)(a, NULL, d);
    return length >= SK_TINY ? 1 / length : 0;
}

/* result[0] = u.v and result[1] = |u - v|^2 / 2 of u = p a, v = q b */
SKLOSSES_INLINE void SK_NAME(sk_compare)(const SK_REAL *restrict a, double p, const SK_REAL *restrict b, double q,
                                         ptrdiff_t d, double *result)
{
    double dot = 0, apart = 0;
    SK_SIMD_SUM(dot, apart)
    for (ptrdiff_t k = 0; k < d; k++) {
        double u = p * (double)a[k], v = q * (double)b[k];
        dot += u * v;
        apart += (u - v) * (u - v);
    }
    result[0] = dot;
    result[1] = 0.5 * apart;
}

/* |a - p|^2 - |a - n|^2: what p and n share does not cancel */
SKLOSSES_INLINE double SK_NAME(sk_nearer)(const SK_REAL *restrict a, const SK_REAL *restrict p,
                                          const SK_REAL *restrict n, ptrdiff_t d)
{
    double sum = 0;
    SK_SIMD_SUM(sum)
    for (ptrdiff_t k = 0; k < d; k++) {
        double near = (double)a[k] - (double)p[k], far = (double)a[k] - (double)n[k];
        sum += ((double)n[k] - (double)p[k]) * (near + far);
    }
    return sum;
}

/* out = c (p a + q b) */
SKLOSSES_INLINE void SK_NAME(sk_blend)(SK_REAL *restrict out, const SK_REAL *restrict a, double p,
                                       const SK_REAL *restrict b, double q, double c, ptrdiff_t d)
{
    SK_SIMD
    for (ptrdiff_t k = 0; k < d; k++)
        out[k] = (SK_REAL)(c * (p * (double)a[k] + q * (double)b[k]));
}

/* out = c (a - b): exact where a and b are near each other */
SKLOSSES_INLINE void SK_NAME(sk_apart)(SK_REAL *restrict out, const SK_REAL *restrict a, const SK_REAL *restrict b,
                                       double c, ptrdiff_t d)
{
    SK_SIMD
    for (ptrdiff_t k = 0; k < d; k++)
        out[k] = (SK_REAL)(c * ((double)a[k] - (double)b[k]));
}

/* out += c a */
SKLOSSES_INLINE void SK_NAME(sk_gather)(double *restrict out, const SK_REAL *restrict a, double c, ptrdiff_t d)
{
    SK_SIMD
    for (ptrdiff_t k = 0; k < d; k++)
        out[k] += c * (double)a[k];
}

/* Tiles ----------------------------------------------------------------------------------------------------------- */

#if defined(__GNUC__) || defined(__clang__)
typedef SK_REAL SK_NAME(sk_vector) __attribute__((vector_size(SK_VECTOR), may_alias));
#else
typedef SK_REAL SK_NAME(sk_vector);
#endif
enum { SK_NAME(SK_LANES) = sizeof(SK_NAME(sk_vector)) / sizeof(SK_REAL) };

/* What a worker needs at hand. All of it stays in the second-level cache. */
typedef struct {
    SK_REAL left[SK_TILE * SK_DEPTH];       /* unit rows i times the root of 1 / temperature, SK_DEPTH of their elements */
    SK_REAL right[SK_TILE * SK_DEPTH];      /* rows j, likewise */
    SK_REAL turned[SK_DEPTH * SK_TILE];     /* rows j, transposed */
    SK_REAL tile[SK_TILE * SK_TILE];        /* similarities, then their gradients */
    SK_REAL product[SK_TILE * SK_DEPTH];
    SK_REAL row_top[SK_TILE], row_ratio[SK_TILE], column_top[SK_TILE], column_ratio[SK_TILE], column_sum[SK_TILE];
} SK_NAME(sk_scratch);

/* c (SK_HIGH x width vectors) = or += sum_k a_ik b_k; a_ik = a[i * a_row + k * a_column]. All but depth is constant. */
SKLOSSES_INLINE void SK_NAME(sk_register_tile)(const SK_REAL *restrict a, ptrdiff_t a_row, ptrdiff_t a_column,
                                               const SK_REAL *restrict b, ptrdiff_t b_row, SK_REAL *restrict c,
                                               ptrdiff_t c_row, ptrdiff_t depth, int add, int width)
{
    typedef SK_NAME(sk_vector) vector;
    vector sums[SK_HIGH][2];
#pragma GCC unroll 16
    for (int i = 0; i < SK_HIGH; i++)
        for (int v = 0; v < width; v++)
            sums[i][v] = add ? ((const vector *)(c + i * c_row))[v] : (vector){0};
    for (ptrdiff_t k = 0; k < depth; k++) {
        vector left = ((const vector *)(b + k * b_row))[0];
        vector right = width > 1 ? ((const vector *)(b + k * b_row))[1] : left;
#pragma GCC unroll 16
        for (int i = 0; i < SK_HIGH; i++) {
            SK_REAL x = a[i * a_row + k * a_column];
            sums[i][0] += x * left;
            if (width > 1)
                sums[i][1] += x * right;
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < SK_HIGH; i++)
        for (int v = 0; v < width; v++)
            ((vector *)(c + i * c_row))[v] = sums[i][v];
}

/* c = or += a b over whole register tiles: rows and columns beyond those asked for hold anything. */
SKLOSSES_INLINE void SK_NAME(sk_multiply)(const SK_REAL *a, ptrdiff_t a_row, ptrdiff_t a_column, const SK_REAL *b,
                                          ptrdiff_t b_row, SK_REAL *c, ptrdiff_t c_row, ptrdiff_t n_rows,
                                          ptrdiff_t n_columns, ptrdiff_t depth, int add)
{
    const ptrdiff_t lanes = SK_NAME(SK_LANES);
    for (ptrdiff_t j = 0; j < n_columns; j += 2 * lanes)
        for (ptrdiff_t i = 0; i < n_rows; i += SK_HIGH)
            if (n_columns - j > lanes)
                SK_NAME(sk_register_tile)(a + i * a_row, a_row, a_column, b + j, b_row, c + i * c_row + j, c_row,
                                          depth, add, 2);
            else
                SK_NAME(sk_register_tile)(a + i * a_row, a_row, a_column, b + j, b_row, c + i * c_row + j, c_row,
                                          depth, add, 1);
}

/* depth elements, from element start, of the rows of a block, scaled to unit length times the root of 1 / temperature */
static void SK_NAME(sk_pack)(const sk_soft *soft, ptrdiff_t first, ptrdiff_t count, ptrdiff_t start, ptrdiff_t depth,
                             SK_REAL *restrict out)
{
    for (ptrdiff_t r = 0; r < count; r++) {
        const SK_REAL *restrict row = (const SK_REAL *)sk_row_of(soft, first + r, soft->d * sizeof(SK_REAL)) + start;
        const double inverse = soft->inverse[first + r], scale = soft->scale;   /* their product may overflow */
        SK_SIMD
        for (ptrdiff_t k = 0; k < depth; k++)
            out[r * SK_DEPTH + k] = (SK_REAL)(inverse * (double)row[k] * scale);
    }
}

static void SK_NAME(sk_turn)(const SK_REAL *restrict in, ptrdiff_t count, ptrdiff_t depth, SK_REAL *restrict out)
{
    ptrdiff_t r = 0;
    for (; r + 8 <= count; r += 8)
        for (ptrdiff_t k = 0; k < depth; k++)
            for (int q = 0; q < 8; q++)
                out[k * SK_TILE + r + q] = in[(r + q) * SK_DEPTH + k];
    for (; r < count; r++)
        for (ptrdiff_t k = 0; k < depth; k++)
            out[k * SK_TILE + r] = in[r * SK_DEPTH + k];
}

/* The similarities of a tile; far below all others where a row meets itself or its partner. */
static void SK_NAME(sk_similarities)(const sk_soft *soft, const sk_match *match, ptrdiff_t n_i, ptrdiff_t n_j,
                                     SK_NAME(sk_scratch) *s)
{
    const ptrdiff_t first_i = match->i * soft->size, first_j = match->j * soft->size;
    for (ptrdiff_t start = 0; start < soft->d; start += SK_DEPTH) {
        const ptrdiff_t depth = soft->d - start < SK_DEPTH ? soft->d - start : SK_DEPTH;
        const SK_REAL *right = s->left;
        SK_NAME(sk_pack)(soft, first_i, n_i, start, depth, s->left);
        if (match->i != match->j) {
            SK_NAME(sk_pack)(soft, first_j, n_j, start, depth, s->right);
            right = s->right;
        }
        SK_NAME(sk_turn)(right, n_j, depth, s->turned);
        if (start == 0)
            SK_NAME(sk_multiply)(s->left, SK_DEPTH, 1, s->turned, SK_TILE, s->tile, SK_TILE, n_i, n_j, depth, 0);
        else
            SK_NAME(sk_multiply)(s->left, SK_DEPTH, 1, s->turned, SK_TILE, s->tile, SK_TILE, n_i, n_j, depth, 1);
    }
    for (ptrdiff_t r = 0; r < n_i; r++) {
        const ptrdiff_t partner = sk_partner_of(soft, first_i + r) - first_j;
        if (match->i == match->j)
            s->tile[r * SK_TILE + r] = 3 * SK_LOWEST;
        if (partner >= 0 && partner < n_j)
            s->tile[r * SK_TILE + partner] = 3 * SK_LOWEST;
    }
}

/* sum * exp(top) += part * exp(part_top) */
SKLOSSES_INLINE void SK_NAME(sk_merge)(double *top, double *sum, double part_top, double part)
{
    const double higher = part_top > *top ? part_top : *top;
    *sum = *sum * exp(*top - higher) + part * exp(part_top - higher);
    *top = higher;
}

/* Add a tile to the sums of its rows and, off the diagonal, of its columns. */
static void SK_NAME(sk_sum_tile)(const sk_soft *soft, ptrdiff_t first_i, ptrdiff_t n_i, ptrdiff_t first_j,
                                 ptrdiff_t n_j, SK_NAME(sk_scratch) *s)
{
    const int both = first_i != first_j;
    SK_REAL *restrict sums = s->column_sum, *restrict tops = s->column_top;
    for (ptrdiff_t c = 0; c < n_j; c++) {
        sums[c] = 0;
        tops[c] = soft->direct ? 0 : SK_LOWEST;
    }
    for (ptrdiff_t r = 0; r < n_i; r++) {
        const SK_REAL *restrict row = s->tile + r * SK_TILE;
        SK_REAL top = SK_LOWEST;
        if (soft->direct) {
            s->row_top[r] = 0;
            continue;
        }
        SK_SIMD_MAX(top)
        for (ptrdiff_t c = 0; c < n_j; c++) {
            top = row[c] > top ? row[c] : top;
            tops[c] = row[c] > tops[c] ? row[c] : tops[c];
        }
        s->row_top[r] = top;
    }
    for (ptrdiff_t r = 0; r < n_i; r++) {
        const SK_REAL *restrict row = s->tile + r * SK_TILE;
        const SK_REAL top = s->row_top[r];
        SK_REAL sum = 0;
        if (soft->direct) {
            SK_SIMD_SUM(sum)
            for (ptrdiff_t c = 0; c < n_j; c++) {
                const SK_REAL e = SK_EXP(row[c]);
                sum += e;
                sums[c] += e;
            }
        } else {
            SK_SIMD_SUM(sum)
            for (ptrdiff_t c = 0; c < n_j; c++) {
                sum += SK_EXP(row[c] - top);
                sums[c] += SK_EXP(row[c] - tops[c]);
            }
        }
        SK_NAME(sk_merge)(&soft->top[first_i + r], &soft->sum[first_i + r], top, sum);
    }
    for (ptrdiff_t c = 0; both && c < n_j; c++)
        SK_NAME(sk_merge)(&soft->top[first_j + c], &soft->sum[first_j + c], tops[c], sums[c]);
}

/* Replace the similarities s_ij by ratio_i exp(s_ij - top_i) + ratio_j exp(s_ij - top_j). */
static void SK_NAME(sk_slopes)(const sk_soft *soft, ptrdiff_t first_i, ptrdiff_t n_i, ptrdiff_t first_j, ptrdiff_t n_j,
                               SK_NAME(sk_scratch) *s)
{
    SK_REAL *restrict tops = s->column_top, *restrict ratios = s->column_ratio;
    for (ptrdiff_t c = 0; c < n_j; c++) {
        tops[c] = (SK_REAL)soft->top[first_j + c];
        ratios[c] = (SK_REAL)soft->ratio[first_j + c];
    }
    for (ptrdiff_t r = 0; r < n_i; r++) {
        SK_REAL *restrict row = s->tile + r * SK_TILE;
        const SK_REAL top = (SK_REAL)soft->top[first_i + r], ratio = (SK_REAL)soft->ratio[first_i + r];
        if (soft->direct) {
            SK_SIMD
            for (ptrdiff_t c = 0; c < n_j; c++)
                row[c] = (ratio + ratios[c]) * SK_EXP(row[c]);
        } else {
            SK_SIMD
            for (ptrdiff_t c = 0; c < n_j; c++)
                row[c] = ratio * SK_EXP(row[c] - top) + ratios[c] * SK_EXP(row[c] - tops[c]);
        }
    }
}

/* gradient rows += product rows */
static void SK_NAME(sk_deposit)(const sk_soft *soft, ptrdiff_t first, ptrdiff_t count, ptrdiff_t start,
                                ptrdiff_t depth, const SK_REAL *restrict product)
{
    sk_soft to = *soft;
    to.rows[0] = soft->gradient[0];
    to.rows[1] = soft->gradient[1];
    for (ptrdiff_t r = 0; r < count; r++) {
        SK_REAL *restrict row = (SK_REAL *)sk_row_of(&to, first + r, soft->d * sizeof(SK_REAL)) + start;
        SK_SIMD
        for (ptrdiff_t k = 0; k < depth; k++)
            row[k] += product[r * SK_DEPTH + k];
    }
}

/* What the rows of a tile get from each other: slopes times unit rows. */
static void SK_NAME(sk_spread)(const sk_soft *soft, const sk_match *match, ptrdiff_t n_i, ptrdiff_t n_j,
                               SK_NAME(sk_scratch) *s)
{
    const ptrdiff_t first_i = match->i * soft->size, first_j = match->j * soft->size;
    const int both = match->i != match->j;
    for (ptrdiff_t start = 0; start < soft->d; start += SK_DEPTH) {
        const ptrdiff_t depth = soft->d - start < SK_DEPTH ? soft->d - start : SK_DEPTH;
        if (soft->d > SK_DEPTH) {
            SK_NAME(sk_pack)(soft, first_i, n_i, start, depth, s->left);
            SK_NAME(sk_pack)(soft, first_j, n_j, start, depth, s->right);
        }
        SK_NAME(sk_multiply)(s->tile, SK_TILE, 1, both ? s->right : s->left, SK_DEPTH, s->product, SK_DEPTH, n_i, depth,
                             n_j, 0);
        SK_NAME(sk_deposit)(soft, first_i, n_i, start, depth, s->product);
        if (both) {
            SK_NAME(sk_multiply)(s->tile, 1, SK_TILE, s->left, SK_DEPTH, s->product, SK_DEPTH, n_j, depth, n_i, 0);
            SK_NAME(sk_deposit)(soft, first_j, n_j, start, depth, s->product);
        }
    }
}

static void SK_NAME(sk_play)(void *context, ptrdiff_t item, int worker)
{
    const sk_soft *soft = (const sk_soft *)context;
    SK_NAME(sk_scratch) *s = (SK_NAME(sk_scratch) *)(soft->scratch + worker * soft->scratch_size);
    const sk_match match = sk_match_of(item, soft->n_blocks);
    const ptrdiff_t first_i = match.i * soft->size, first_j = match.j * soft->size;
    const ptrdiff_t n_i = soft->n - first_i < soft->size ? soft->n - first_i : soft->size;
    const ptrdiff_t n_j = soft->n - first_j < soft->size ? soft->n - first_j : soft->size;
    if (!sk_their_turn(soft, &match))
        return;
    if (match.i != match.j || match.round == 0) {
        SK_NAME(sk_similarities)(soft, &match, n_i, n_j, s);
        if (soft->backward) {
            SK_NAME(sk_slopes)(soft, first_i, n_i, first_j, n_j, s);
            SK_NAME(sk_spread)(soft, &match, n_i, n_j, s);
        } else
            SK_NAME(sk_sum_tile)(soft, first_i, n_i, first_j, n_j, s);
    }
    SK_STORE(&soft->played[match.i], match.round + 1);
    if (match.i != match.j)
        SK_STORE(&soft->played[match.j], match.round + 1);
}

/* From the gradient in the unit row times the root of 1 / temperature to that in the row itself, in place. */
SKLOSSES_INLINE void SK_NAME(sk_project)(SK_REAL *restrict gradient, const SK_REAL *restrict row, double inverse,
                                         double scale, ptrdiff_t d)
{
    double dot = 0;
    SK_SIMD_SUM(dot)
    for (ptrdiff_t k = 0; k < d; k++)
        dot += (double)gradient[k] * (inverse * (double)row[k]);
    SK_SIMD
    for (ptrdiff_t k = 0; k < d; k++)
        gradient[k] = (SK_REAL)(scale * ((double)gradient[k] - dot * (inverse * (double)row[k])) * inverse);
}

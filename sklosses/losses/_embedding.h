/* What losses of embeddings spend their time in: distances of rows, and the soft maximum over all other rows of the
   similarities s_ik = cos(z_i, z_k) / temperature, with its gradient, in tiles of at most 192 x 192 rows.

   The similarities are symmetric, so each tile above the diagonal is computed once and serves both its rows and its
   columns. Tiles are visited in rounds as a round-robin tournament has them (every block of rows plays once a round), so
   that what a block gathers from the others arrives in an order that does not depend on the number of threads.
   The bodies stand in _embedding_body.h, once, and are included here for each element type. */
#ifndef SKLOSSES_EMBEDDING_H
#define SKLOSSES_EMBEDDING_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "_math.h"
#include "_team.h"

#define SK_PRAGMA(text) _Pragma(#text)
#if defined(_MSC_VER)
#define SK_SIMD
#define SK_SIMD_SUM(...)
#define SK_SIMD_MAX(...)
#else
#define SK_SIMD SK_PRAGMA(omp simd)
#define SK_SIMD_SUM(...) SK_PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#define SK_SIMD_MAX(...) SK_PRAGMA(omp simd reduction(max : __VA_ARGS__))
#endif

#define SK_TILE 192         /* most rows of a block: a multiple of every register tile's height and width */
#define SK_DEPTH 128        /* dimensions that a product takes at a time */

/* The register tile: SK_HIGH rows x 2 vectors of sums, within the registers that the instruction set has. */
#if defined(__AVX512F__)
#define SK_VECTOR 64
#define SK_HIGH 12
#elif defined(__AVX2__)
#define SK_VECTOR 32
#define SK_HIGH 6
#else
#define SK_VECTOR 16
#define SK_HIGH 4
#endif

/* exp for x <= 88 within 2 ulp; from -87.3 down it stays at FLT_MIN, which stands for zero here. The polynomial is that
   of Cephes (Moshier 1989, expf.c), the splitting of ln 2 too. */
SKLOSSES_INLINE float sk_expf(float x)
{
    float shifted, n, r, p;
    uint32_t bits, power;
    x = x < -87.3f ? -87.3f : x;
    shifted = x * 1.44269504088896341f + 12582912.0f;           /* 1.5 * 2^23 */
    n = shifted - 12582912.0f;
    r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    memcpy(&bits, &shifted, sizeof bits);
    memcpy(&power, &p, sizeof power);
    power += bits << 23;
    memcpy(&p, &power, sizeof p);
    return p;
}

/* Which tile an item is: item numbers count up through the rounds. Blocks are 0 .. n_blocks - 1; where their number is
   odd, one of them sits each round out, and plays itself to be counted. */
typedef struct {
    ptrdiff_t i, j;             /* i == j in round 0: the tiles on the diagonal */
    ptrdiff_t round;
} sk_match;

SKLOSSES_INLINE ptrdiff_t sk_n_matches(ptrdiff_t n_blocks)
{
    ptrdiff_t even = n_blocks + n_blocks % 2;
    return n_blocks + (n_blocks > 1 ? (even - 1) * (even / 2) : 0);
}

SKLOSSES_INLINE sk_match sk_match_of(ptrdiff_t item, ptrdiff_t n_blocks)
{
    sk_match match = {item, item, 0};
    ptrdiff_t even = n_blocks + n_blocks % 2, circle = even - 1, turn, place, i, j;
    if (item < n_blocks)
        return match;
    turn = (item - n_blocks) / (even / 2);
    place = (item - n_blocks) % (even / 2);
    i = (turn + place) % circle;
    j = place == 0 ? circle : (turn - place + circle) % circle;
    if (j >= n_blocks)
        j = i;
    match.i = i < j ? i : j;
    match.j = i < j ? j : i;
    match.round = turn + 1;
    return match;
}

/* The soft maxima of n rows: the first n_first stand in rows[0], the others in rows[1]; likewise what is made of them. */
typedef struct {
    const void *rows[2];
    void *gradient[2];          /* NULL: not asked for */
    ptrdiff_t n_first, n, d;
    ptrdiff_t partner;          /* row i leaves out row i +- partner beside itself; 0: itself alone */
    ptrdiff_t size, n_blocks;   /* rows of a block, number of blocks */
    double scale;               /* the root of 1 / temperature */
    const double *inverse;      /* 1 / norm of each row, 0 for a zero row */
    int direct;                 /* exp(s) neither over- nor underflows: no running maximum */
    double *top, *sum;          /* of each row: sum_k exp(s_ik) = sum exp(top) */
    double *ratio;              /* of each row: weight / (sum, and the partner's share) */
    ptrdiff_t *played;          /* rounds that a block has behind it */
    char *scratch;              /* for each worker: sk_scratch_size_* bytes, aligned to 64 */
    ptrdiff_t scratch_size;
    int backward;               /* 0: top and sum; 1: gradients */
    sk_team *team;
} sk_soft;

SKLOSSES_INLINE const void *sk_row_of(const sk_soft *soft, ptrdiff_t row, ptrdiff_t width)
{
    return row < soft->n_first ? (const char *)soft->rows[0] + row * width
                               : (const char *)soft->rows[1] + (row - soft->n_first) * width;
}

SKLOSSES_INLINE ptrdiff_t sk_partner_of(const sk_soft *soft, ptrdiff_t row)
{
    return soft->partner == 0 ? row : row < soft->partner ? row + soft->partner : row - soft->partner;
}

/* Wait until both blocks have played all earlier rounds. Items start in order and each round uses a block once, so the
   ones waited for are at work already. 0: the work was stopped. */
SKLOSSES_INLINE int sk_their_turn(const sk_soft *soft, const sk_match *match)
{
    while (SK_LOAD(&soft->played[match->i]) < match->round || SK_LOAD(&soft->played[match->j]) < match->round) {
        if (SK_LOAD(&soft->team->stop))
            return 0;
        SK_YIELD();
    }
    return 1;
}

#define SK_JOIN_(a, b) a##_##b
#define SK_JOIN(a, b) SK_JOIN_(a, b)

#define SK_REAL float
#define SK_NAME(f) SK_JOIN(f, f32)
#define SK_EXP sk_expf
#define SK_LOWEST -1e30f
#define SK_TINY FLT_MIN
#include "_embedding_body.h"
#undef SK_REAL
#undef SK_NAME
#undef SK_EXP
#undef SK_LOWEST
#undef SK_TINY
#define SK_REAL double
#define SK_NAME(f) SK_JOIN(f, f64)
#define SK_EXP sk_exp_decay
#define SK_LOWEST -1e300
#define SK_TINY DBL_MIN
#include "_embedding_body.h"
#undef SK_REAL
#undef SK_NAME
#undef SK_EXP
#undef SK_LOWEST
#undef SK_TINY

#endif

/* Which predictions are near their kinks, and which have crossed them. Few do: flags are set a piece at a time, by
   vectors, and eight of them are looked at together. */
#ifndef SKLOSSES_KINKS_H
#define SKLOSSES_KINKS_H

#include "_products.h"

enum { SK_FLAGS = 512 };

/* Predictions, kinks and jumps of n rows. */
typedef struct {
    ptrdiff_t n;
    const double *p, *kinks, *jumps;
} sk_beside;

/* Append the numbers of flagged rows, of which `first` is the first, to m others; returns how many there are then. The
   flags behind the last row are 0. */
SK_INLINE ptrdiff_t sk_append(const unsigned char *flags, ptrdiff_t first, ptrdiff_t n, ptrdiff_t *rows, ptrdiff_t m)
{
    for (ptrdiff_t i = 0; i < n; i += 8) {
        uint64_t any;
        memcpy(&any, flags + i, sizeof any);
        if (any == 0)
            continue;
        for (ptrdiff_t j = i; j < i + 8; j++) {
            if (flags[j])
                rows[m++] = first + j;
        }
    }
    return m;
}

/* Rows whose predictions are within limit * reach of their kinks, reach NULL for 1; kinks of jump 0 are none. */
static ptrdiff_t sk_near(const sk_beside *at, const double *reach, double limit, ptrdiff_t *rows)
{
    unsigned char flags[SK_FLAGS];
    ptrdiff_t m = 0;
    for (ptrdiff_t first = 0; first < at->n; first += SK_FLAGS) {
        const ptrdiff_t n = at->n - first < SK_FLAGS ? at->n - first : SK_FLAGS;
        const double *p = at->p + first, *kinks = at->kinks + first, *jumps = at->jumps + first;
        memset(flags, 0, sizeof flags);
        if (reach) {
            SK_SIMD
            for (ptrdiff_t i = 0; i < n; i++)
                flags[i] = (fabs(p[i] - kinks[i]) <= limit * reach[first + i]) & (jumps[i] != 0);
        } else {
            SK_SIMD
            for (ptrdiff_t i = 0; i < n; i++)
                flags[i] = (fabs(p[i] - kinks[i]) <= limit) & (jumps[i] != 0);
        }
        m = sk_append(flags, first, n, rows, m);
    }
    return m;
}

/* The sum of the jumps of kinks that are further than `limit` below predictions. */
static double sk_below(const sk_beside *at, double limit)
{
    double below = 0;
    SK_SIMD_SUM(below)
    for (ptrdiff_t i = 0; i < at->n; i++)
        below += at->p[i] - at->kinks[i] > limit ? at->jumps[i] : 0;
    return below;
}

/* Rows whose kinks predictions have crossed on the way from p to `after`. */
static ptrdiff_t sk_crossed(const sk_beside *at, const double *after, ptrdiff_t *rows)
{
    unsigned char flags[SK_FLAGS];
    ptrdiff_t m = 0;
    for (ptrdiff_t first = 0; first < at->n; first += SK_FLAGS) {
        const ptrdiff_t n = at->n - first < SK_FLAGS ? at->n - first : SK_FLAGS;
        const double *p = at->p + first, *kinks = at->kinks + first, *jumps = at->jumps + first;
        memset(flags, 0, sizeof flags);
        SK_SIMD
        for (ptrdiff_t i = 0; i < n; i++)
            flags[i] = ((p[i] > kinks[i]) ^ (after[first + i] > kinks[i])) & (jumps[i] > 0);
        m = sk_append(flags, first, n, rows, m);
    }
    return m;
}

#endif

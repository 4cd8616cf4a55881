/* The sweeps of the interior point method over the hinges: see _interior_kernel.pyx, which documents them. Sums and
   maxima go over the lanes of a vector, which a compiler does only if it is told to. */
#ifndef SKLOSSES_HINGES_H
#define SKLOSSES_HINGES_H

#include "_products.h"

#if defined(_MSC_VER)
#define SK_SIMD_MAX(...)
#else
#define SK_SIMD_MAX(...) SK_PRAGMA(omp simd reduction(max : __VA_ARGS__))
#endif

/* Of each hinge: its slope alpha as a share of omega, tau = 1 - alpha, and how far it is above and below its kink. */
typedef struct {
    ptrdiff_t n;
    double *alpha, *tau, *xi, *zeta;
    const double *omega;
} sk_hinges;

/* What xi tau and zeta alpha are to become. */
typedef struct {
    double *above, *below;
} sk_goals;

typedef struct {
    double *alpha, *xi, *zeta;
} sk_steps;

/* The inverses of how far variables can go and stay positive. */
typedef struct {
    double primal, dual;
} sk_ends;

SK_INLINE double sk_larger(double a, double b) { return a > b ? a : b; }

static double sk_look(const sk_hinges *h, const double *rho, double *curvature, double *pair)
{
    double gap = 0;
    SK_SIMD_SUM(gap)
    for (ptrdiff_t i = 0; i < h->n; i++) {
        const double alpha = h->alpha[i], tau = h->tau[i], xi = h->xi[i], zeta = h->zeta[i], omega = h->omega[i];
        gap += omega * (xi * tau + zeta * alpha);
        curvature[i] = omega * alpha * tau / (xi * alpha + zeta * tau);
        pair[2 * i] = omega * alpha;
        pair[2 * i + 1] = curvature[i] * rho[i];
    }
    return gap;
}

/* `moved` is what a step adds to rho. */
static double sk_predict(const sk_hinges *h, const double *curvature, const double *moved, const double *rho,
                         double *step)
{
    double primal = 1, dual = 1, gap = 0;
    SK_SIMD_MAX(primal, dual)
    for (ptrdiff_t i = 0; i < h->n; i++) {
        const double d = curvature[i] * (moved[i] + rho[i]) / h->omega[i], up = d / h->tau[i], down = d / h->alpha[i];
        step[i] = d;
        primal = sk_larger(primal, sk_larger(1 - up, 1 + down));
        dual = sk_larger(dual, sk_larger(up, -down));
    }
    primal = 1 / primal, dual = 1 / dual;
    SK_SIMD_SUM(gap)
    for (ptrdiff_t i = 0; i < h->n; i++) {
        const double d = step[i], alpha = h->alpha[i], tau = h->tau[i];
        gap += h->omega[i] * (h->xi[i] * (1 + primal * (d / tau - 1)) * (tau - dual * d)
                              + h->zeta[i] * (1 - primal * (d / alpha + 1)) * (alpha + dual * d));
    }
    return gap;
}

static void sk_aim(const sk_hinges *h, const double *step, double mu, const double *share, const sk_goals *to,
                   double *change)
{
    SK_SIMD
    for (ptrdiff_t i = 0; i < h->n; i++) {
        const double d = step[i], alpha = h->alpha[i], tau = h->tau[i];
        const double goal = mu * share[i];
        const double above = goal + h->xi[i] * (d / tau - 1) * d, below = goal + h->zeta[i] * (d / alpha + 1) * d;
        to->above[i] = above;
        to->below[i] = below;
        change[i] = below / alpha - above / tau;
    }
}

/* What brings a product between a tenth and ten times mu; large ones are not changed by more than that. */
SK_INLINE double sk_towards(double product, double mu)
{
    const double low = 0.1 * mu - product, high = sk_larger(10 * mu - product, -10 * mu);
    return low > 0 ? low : high < 0 ? high : 0;
}

static void sk_recentre(const sk_hinges *h, const sk_steps *by, sk_ends lengths, double mu, const double *share,
                        const sk_goals *to, double *change)
{
    const double primal = lengths.primal, dual = lengths.dual;
    SK_SIMD
    for (ptrdiff_t i = 0; i < h->n; i++) {
        const double alpha = h->alpha[i], tau = h->tau[i], d = dual * by->alpha[i], goal = mu * share[i];
        const double above = to->above[i] + sk_towards((h->xi[i] + primal * by->xi[i]) * (tau - d), goal);
        const double below = to->below[i] + sk_towards((h->zeta[i] + primal * by->zeta[i]) * (alpha + d), goal);
        to->above[i] = above;
        to->below[i] = below;
        change[i] = below / alpha - above / tau;
    }
}

static sk_ends sk_correct(const sk_hinges *h, const double *curvature, const double *moved, const double *rho,
                          const double *change, const sk_goals *to, const sk_steps *by)
{
    double primal = 0, dual = 0;
    SK_SIMD_MAX(primal, dual)
    for (ptrdiff_t i = 0; i < h->n; i++) {
        const double d = curvature[i] * (moved[i] + rho[i] + change[i]) / h->omega[i];
        const double xi = h->xi[i], zeta = h->zeta[i];
        const double into = 1 / h->tau[i], out = 1 / h->alpha[i];
        const double up = (to->above[i] + xi * d) * into - xi, down = (to->below[i] - zeta * d) * out - zeta;
        by->alpha[i] = d;
        by->xi[i] = up;
        by->zeta[i] = down;
        primal = sk_larger(primal, sk_larger(-up / xi, -down / zeta));
        dual = sk_larger(dual, sk_larger(d * into, -d * out));
    }
    const sk_ends ends = {primal, dual};
    return ends;
}

static void sk_move(const sk_hinges *h, const sk_steps *by, double primal, double dual)
{
    SK_SIMD
    for (ptrdiff_t i = 0; i < h->n; i++) {
        h->alpha[i] += dual * by->alpha[i];
        h->tau[i] -= dual * by->alpha[i];
        h->xi[i] += primal * by->xi[i];
        h->zeta[i] += primal * by->zeta[i];
    }
}

#endif

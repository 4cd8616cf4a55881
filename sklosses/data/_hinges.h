/* The sweeps of the interior point method over the hinges: see _interior_kernel.pyx, which documents them. Sums and
   maxima go over the lanes of a vector, which a compiler does only if it is told to; and if pointers are its own copies.
   Divisions take longest: all are made in sk_look, once an iteration. */
#ifndef SKLOSSES_HINGES_H
#define SKLOSSES_HINGES_H

#include "_products.h"

#if defined(_MSC_VER)
#define SK_SIMD_MAX(...)
#else
#define SK_SIMD_MAX(...) SK_PRAGMA(omp simd reduction(max : __VA_ARGS__))
#endif

/* Of each hinge: its slope alpha as a share of omega, tau = 1 - alpha, and how far it is above and below its kink; rho,
   the difference of these at the solution of Newton's equations. Products are to be `share` times the same number. */
typedef struct {
    ptrdiff_t n;
    double *alpha, *tau, *xi, *zeta, *rho;
    const double *omega, *share;
} sk_hinges;

/* What sk_look finds of them: slopes and curvatures, both times omega, curvature without omega, curvature times rho;
   and the inverses of the four variables. */
typedef struct {
    double *slope, *curvature, *bend, *pull;
    double *per_alpha, *per_tau, *per_xi, *per_zeta;
} sk_seen;

/* What xi tau and zeta alpha are to become, what that adds to rho, and to the right side. */
typedef struct {
    double *above, *below, *change, *push;
} sk_goals;

typedef struct {
    double *alpha, *xi, *zeta;
} sk_steps;

/* The inverses of how far variables can go and stay positive. */
typedef struct {
    double primal, dual;
} sk_ends;

SK_INLINE double sk_larger(double a, double b) { return a > b ? a : b; }

/* The point of the central path above rho: xi tau = zeta alpha = mu and xi - zeta = rho. The larger of alpha and tau
   first, without cancellation. */
static void sk_centre(sk_hinges h, double width)
{
    SK_SIMD
    for (ptrdiff_t i = 0; i < h.n; i++) {
        const double rho = h.rho[i], mu = 0.5 * width * h.share[i], size = fabs(rho);
        const double more = 0.5 + size / (2 * (sqrt(rho * rho + 4 * mu * mu) + 2 * mu));
        const double less_slack = mu / more, more_slack = size + less_slack, less = mu / more_slack;
        h.alpha[i] = rho < 0 ? less : more;
        h.tau[i] = rho < 0 ? more : less;
        h.xi[i] = rho < 0 ? less_slack : more_slack;
        h.zeta[i] = rho < 0 ? more_slack : less_slack;
    }
}

static double sk_look(sk_hinges h, sk_seen seen)
{
    double gap = 0;
    SK_SIMD_SUM(gap)
    for (ptrdiff_t i = 0; i < h.n; i++) {
        const double alpha = h.alpha[i], tau = h.tau[i], xi = h.xi[i], zeta = h.zeta[i], omega = h.omega[i];
        const double bend = alpha * tau / (xi * alpha + zeta * tau), both = 1 / (alpha * tau);
        gap += omega * (xi * tau + zeta * alpha);
        seen.slope[i] = omega * alpha;
        seen.bend[i] = bend;
        seen.curvature[i] = omega * bend;
        seen.pull[i] = omega * bend * h.rho[i];
        seen.per_alpha[i] = tau * both;
        seen.per_tau[i] = alpha * both;
        seen.per_xi[i] = 1 / xi;
        seen.per_zeta[i] = 1 / zeta;
    }
    return gap;
}

/* `moved` is what a step adds to rho. */
static double sk_predict(sk_hinges h, sk_seen seen, const double *moved, double *step)
{
    double primal = 1, dual = 1, gap = 0;
    SK_SIMD_MAX(primal, dual)
    for (ptrdiff_t i = 0; i < h.n; i++) {
        const double d = seen.bend[i] * (moved[i] + h.rho[i]), up = d * seen.per_tau[i], down = d * seen.per_alpha[i];
        step[i] = d;
        primal = sk_larger(primal, sk_larger(1 - up, 1 + down));
        dual = sk_larger(dual, sk_larger(up, -down));
    }
    primal = 1 / primal, dual = 1 / dual;
    SK_SIMD_SUM(gap)
    for (ptrdiff_t i = 0; i < h.n; i++) {
        const double d = step[i], alpha = h.alpha[i], tau = h.tau[i];
        gap += h.omega[i] * (h.xi[i] * (1 + primal * (d * seen.per_tau[i] - 1)) * (tau - dual * d)
                              + h.zeta[i] * (1 - primal * (d * seen.per_alpha[i] + 1)) * (alpha + dual * d));
    }
    return gap;
}

SK_INLINE void sk_goal(sk_seen seen, sk_goals to, ptrdiff_t i, double above, double below)
{
    const double change = below * seen.per_alpha[i] - above * seen.per_tau[i];
    to.above[i] = above;
    to.below[i] = below;
    to.change[i] = change;
    to.push[i] = seen.curvature[i] * change;
}

/* With the second-order correction of a step, or without: `corrected` is 1 or 0. */
static void sk_aim(sk_hinges h, sk_seen seen, const double *step, double corrected, double mu,
                   sk_goals to)
{
    SK_SIMD
    for (ptrdiff_t i = 0; i < h.n; i++) {
        const double d = corrected * step[i], goal = mu * h.share[i];
        sk_goal(seen, to, i, goal + h.xi[i] * (d * seen.per_tau[i] - 1) * d,
                goal + h.zeta[i] * (d * seen.per_alpha[i] + 1) * d);
    }
}

/* What brings a product between a tenth and ten times mu; large ones are not changed by more than that. */
SK_INLINE double sk_towards(double product, double mu)
{
    const double low = 0.1 * mu - product, high = sk_larger(10 * mu - product, -10 * mu);
    return low > 0 ? low : high < 0 ? high : 0;
}

static void sk_recentre(sk_hinges h, sk_seen seen, sk_steps by, sk_ends lengths, double mu,
                        sk_goals to)
{
    const double primal = lengths.primal, dual = lengths.dual;
    SK_SIMD
    for (ptrdiff_t i = 0; i < h.n; i++) {
        const double d = dual * by.alpha[i], goal = mu * h.share[i];
        sk_goal(seen, to, i,
                to.above[i] + sk_towards((h.xi[i] + primal * by.xi[i]) * (h.tau[i] - d), goal),
                to.below[i] + sk_towards((h.zeta[i] + primal * by.zeta[i]) * (h.alpha[i] + d), goal));
    }
}

static sk_ends sk_correct(sk_hinges h, sk_seen seen, const double *moved, sk_goals to,
                          sk_steps by)
{
    double primal = 0, dual = 0;
    SK_SIMD_MAX(primal, dual)
    for (ptrdiff_t i = 0; i < h.n; i++) {
        const double d = seen.bend[i] * (moved[i] + h.rho[i] + to.change[i]);
        const double into = seen.per_tau[i], out = seen.per_alpha[i];
        const double up = (to.above[i] + h.xi[i] * d) * into - h.xi[i];
        const double down = (to.below[i] - h.zeta[i] * d) * out - h.zeta[i];
        by.alpha[i] = d;
        by.xi[i] = up;
        by.zeta[i] = down;
        primal = sk_larger(primal, sk_larger(-up * seen.per_xi[i], -down * seen.per_zeta[i]));
        dual = sk_larger(dual, sk_larger(d * into, -d * out));
    }
    const sk_ends ends = {primal, dual};
    return ends;
}

static void sk_move(sk_hinges h, sk_steps by, const double *moved, sk_ends lengths)
{
    const double primal = lengths.primal, dual = lengths.dual;
    SK_SIMD
    for (ptrdiff_t i = 0; i < h.n; i++) {
        h.alpha[i] += dual * by.alpha[i];
        h.tau[i] -= dual * by.alpha[i];
        h.xi[i] += primal * by.xi[i];
        h.zeta[i] += primal * by.zeta[i];
        h.rho[i] += primal * moved[i];
    }
}

#endif

/* Eight columns of coefficients, side by side: a line of floats for each feature.

   A row's entries are multiplied by their lines, and added to them, for all columns at once: what is waited for is a
   line, which holds the numbers of all. Steps of the columns go along the lanes, too. */
#ifndef SKLOSSES_LANES_H
#define SKLOSSES_LANES_H

#include "_products.h"

#define SK_COLUMNS 8

#if defined(__GNUC__) || defined(__clang__)
#if SK_LANES >= 4
#define SK_FLOATS 8
#else
#define SK_FLOATS 4
#endif
typedef float sk_floats __attribute__((vector_size(4 * SK_FLOATS)));
typedef int32_t sk_float_mask __attribute__((vector_size(4 * SK_FLOATS)));
#else
#define SK_FLOATS 1
typedef float sk_floats;
#endif
#define SK_PARTS (SK_COLUMNS / SK_FLOATS)

#if defined(__GNUC__) || defined(__clang__)
#define SK_EACH _Pragma("GCC unroll 16")
#else
#define SK_EACH
#endif

/* Whether something is so in any lane. */
#if defined(_MSC_VER)
#define SK_SIMD_ANY(...)
#else
#define SK_SIMD_ANY(...) SK_PRAGMA(omp simd reduction(| : __VA_ARGS__))
#endif

typedef struct {
    sk_floats part[SK_PARTS];
} sk_lanes;

SK_INLINE sk_floats sk_load_floats(const float *line)
{
    sk_floats v;
    memcpy(&v, line, sizeof v);
    return v;
}

/* v less what is within -by and by. */
SK_INLINE sk_floats sk_shrunk_floats(sk_floats v, sk_floats by)
{
#if SK_FLOATS > 1
    const sk_float_mask above = v > by, below = v < -by;
    return (sk_floats)(((sk_float_mask)(v - by) & above) | ((sk_float_mask)(v + by) & below));
#else
    return v > by ? v - by : v < -by ? v + by : 0;
#endif
}

SK_INLINE void sk_clear_lanes(sk_lanes *sum) { memset(sum, 0, sizeof *sum); }

/* sum += x line */
SK_INLINE void sk_add_line(sk_lanes *sum, float x, const float *line)
{
    SK_EACH
    for (int v = 0; v < SK_PARTS; v++)
        sum->part[v] += x * sk_load_floats(line + v * SK_FLOATS);
}

/* sum += x shrink(line) */
SK_INLINE void sk_add_shrunk_line(sk_lanes *sum, float x, const float *line, const float *by)
{
    SK_EACH
    for (int v = 0; v < SK_PARTS; v++)
        sum->part[v] += x * sk_shrunk_floats(sk_load_floats(line + v * SK_FLOATS), sk_load_floats(by + v * SK_FLOATS));
}

/* line += x change */
SK_INLINE void sk_add_to_line(float *line, float x, const float *change)
{
    SK_EACH
    for (int v = 0; v < SK_PARTS; v++) {
        const sk_floats sum = sk_load_floats(line + v * SK_FLOATS) + x * sk_load_floats(change + v * SK_FLOATS);
        memcpy(line + v * SK_FLOATS, &sum, sizeof sum);
    }
}

/* mean += mix (shrink(v) - mean), and then v += ahead (v - before), with what v was as the next `before`. */
SK_INLINE void sk_advance_line(float *v, float *before, float *mean, const float *ahead, const float *mix,
                               const float *by)
{
    SK_EACH
    for (int i = 0; i < SK_COLUMNS; i += SK_FLOATS) {
        const sk_floats now = sk_load_floats(v + i), old = sk_load_floats(mean + i);
        const sk_floats next = now + sk_load_floats(ahead + i) * (now - sk_load_floats(before + i));
        const sk_floats taken = old + sk_load_floats(mix + i) * (sk_shrunk_floats(now, sk_load_floats(by + i)) - old);
        memcpy(mean + i, &taken, sizeof taken);
        memcpy(before + i, &now, sizeof now);
        memcpy(v + i, &next, sizeof next);
    }
}

/* The same in double, for what is to be a proof. */
typedef struct {
    sk_vector part[SK_COLUMNS / SK_LANES];
} sk_sums;

SK_INLINE void sk_clear_sums(sk_sums *sums) { memset(sums, 0, sizeof *sums); }

/* With the coefficients shrink(before) and shrink(v): fall += the first ones' squares less the others', and
   way += (shrink(before) - shrink(v))^2. */
SK_INLINE void sk_add_way(sk_sums *fall, sk_sums *way, const float *v, const float *before, const float *by)
{
    float falls[SK_COLUMNS], ways[SK_COLUMNS];
    SK_EACH
    for (int i = 0; i < SK_COLUMNS; i += SK_FLOATS) {
        const sk_floats shrink = sk_load_floats(by + i);
        const sk_floats now = sk_shrunk_floats(sk_load_floats(v + i), shrink);
        const sk_floats was = sk_shrunk_floats(sk_load_floats(before + i), shrink);
        const sk_floats product = (was - now) * (was + now), square = (was - now) * (was - now);
        memcpy(falls + i, &product, sizeof product);
        memcpy(ways + i, &square, sizeof square);
    }
    SK_EACH
    for (int i = 0; i < SK_COLUMNS / SK_LANES; i++) {
        fall->part[i] += sk_elements_f32(falls + i * SK_LANES);
        way->part[i] += sk_elements_f32(ways + i * SK_LANES);
    }
}

SK_INLINE void sk_sum_line(sk_sums *sums, double x, const float *line)
{
    SK_EACH
    for (int v = 0; v < SK_COLUMNS / SK_LANES; v++)
        sums->part[v] += x * sk_elements_f32(line + v * SK_LANES);
}

SK_INLINE void sk_store_sums(double *out, const sk_sums *sums) { memcpy(out, sums, sizeof *sums); }

/* sums += others */
SK_INLINE void sk_add_sums(sk_sums *sums, const sk_sums *others)
{
    SK_EACH
    for (int v = 0; v < SK_COLUMNS / SK_LANES; v++)
        sums->part[v] += others->part[v];
}

SK_INLINE void sk_add_line_to(double *line, double x, const double *change)
{
    SK_EACH
    for (int v = 0; v < SK_COLUMNS; v += SK_LANES)
        sk_store(line + v, sk_load(line + v) + x * sk_load(change + v));
}

/* Whether a line has other numbers than 0. */
SK_INLINE int sk_has_any(const double *line)
{
    double any = 0;
    SK_SIMD_SUM(any)
    for (int k = 0; k < SK_COLUMNS; k++)
        any += line[k] != 0 ? 1 : 0;
    return any > 0;
}

/* out = even + odd */
SK_INLINE void sk_store_lanes(float *out, const sk_lanes *even, const sk_lanes *odd)
{
    SK_EACH
    for (int v = 0; v < SK_PARTS; v++) {
        const sk_floats sum = even->part[v] + odd->part[v];
        memcpy(out + v * SK_FLOATS, &sum, sizeof sum);
    }
}

/* What is kept of eight columns, one number each: see `Together` in _dual_kernel.pyx. */
typedef struct {
    double inverse[SK_COLUMNS], rho[SK_COLUMNS], shrink[SK_COLUMNS], intercept[SK_COLUMNS], sum[SK_COLUMNS];
    double sum_before[SK_COLUMNS], account[SK_COLUMNS], rise[SK_COLUMNS], bend[SK_COLUMNS], ahead[SK_COLUMNS];
    double mix[SK_COLUMNS], resting[SK_COLUMNS];
} sk_sides;

/* Of a row: its weight, ||x||^2, offset, and the bits of the columns that train on it. */
typedef struct {
    float weight, norm, offset;
    int bits;
} sk_of_row;

/* Of a row, for each column: its prediction p; c, 0 where the column does not train on it, and q = c (||x||^2 + rho),
   what its dual variable does to p; the variable where the last epoch left it, where the leap has brought it, and after
   the step; the row's part of the gap, and of what the dual has risen since the last epoch, without the coefficients';
   what is added to the coefficients. */
typedef struct {
    float p[SK_COLUMNS], q[SK_COLUMNS], c[SK_COLUMNS], past[SK_COLUMNS], u[SK_COLUMNS], next[SK_COLUMNS];
    float gap[SK_COLUMNS], rise[SK_COLUMNS], bend[SK_COLUMNS], change[SK_COLUMNS];
    float offset;
} sk_row;

/* Sizes of the steps, predictions with the intercept, and dual variables ahead. */
static void sk_begin_row(const sk_sides *s, const sk_of_row *of, const float *u, const float *before, sk_row *row)
{
    row->offset = of->offset;
    SK_SIMD
    for (int k = 0; k < SK_COLUMNS; k++) {
        const float c = (of->bits >> k) & 1 ? of->weight * (float)s->inverse[k] : 0;
        row->c[k] = c;
        row->q[k] = c * (of->norm + (float)s->rho[k]);
        row->p[k] += of->offset + (float)s->intercept[k];
        row->past[k] = u[k];
        row->u[k] = u[k] + (float)s->ahead[k] * (u[k] - before[k]);
    }
}

#if defined(_MSC_VER)
#define SK_ANY_AND_MOST
#else
#define SK_ANY_AND_MOST SK_PRAGMA(omp simd reduction(| : changed, stirred) reduction(max : most))
#endif

/* Whether there is anything to add to the coefficients (1), whether dual variables are elsewhere than an epoch ago (2);
   `*part` is the largest part of the gap, in what is next to none. */
static int sk_end_row(sk_sides *s, sk_row *row, float *u, float *before, float *part)
{
    int32_t changed = 0, stirred = 0;
    float most = 0;
    SK_ANY_AND_MOST
    for (int k = 0; k < SK_COLUMNS; k++) {
        const float c = row->c[k], moved = c > 0 ? row->next[k] - row->u[k] : 0, now = row->u[k] + moved;
        const float way = now - row->past[k], change = -c * moved, gap = c > 0 ? c * row->gap[k] : 0;
        const float share = gap * (float)s->resting[k];
        row->change[k] = change;
        changed |= change * change > 0;
        stirred |= c * way != 0;
        most = share > most ? share : most;
        before[k] = row->past[k];
        u[k] = now;
        s->account[k] += gap;
        s->sum[k] -= change;
        s->intercept[k] += s->rho[k] * change;
        s->rise[k] += c > 0 ? c * row->rise[k] : 0;
        s->bend[k] += c * row->bend[k];
    }
    *part = most;
    return changed | stirred << 1;
}

/* phi*(u) = centre u + dead |u| + width u^2 / 2 between low and high. */
typedef struct {
    float centre, dead, below, above, low, high;
} sk_parabola;

SK_INLINE float sk_within(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* The u that maximises u away - dead |u| - (q + width) u^2 / 2. */
SK_INLINE float sk_peak(const sk_parabola *f, float away, float q)
{
    const float beyond = away - sk_within(away, -f->dead, f->dead);
    return sk_within(beyond / (q + (away > 0 ? f->above : f->below) + 1e-30f), f->low, f->high);
}

/* u away - dead |u| - width u^2 / 2 */
SK_INLINE float sk_dual_part(const sk_parabola *f, float away, float u)
{
    return u * (away - 0.5f * (u > 0 ? f->above : f->below) * u) - f->dead * fabsf(u);
}

/* -phi*(u) */
SK_INLINE float sk_below(const sk_parabola *f, float u) { return sk_dual_part(f, -f->centre, u); }

/* Dual variables ahead that have left their range are brought back to its ends. Returns whether there are such: then
   row->change is to be added to the coefficients, which are where the leap has brought them. */
static int sk_bring_back(sk_sides *s, const sk_of_row *of, const sk_parabola *given, const float *u,
                         const float *before, sk_row *row)
{
    const sk_parabola f = *given;
    int32_t changed = 0;
    SK_SIMD_ANY(changed)
    for (int k = 0; k < SK_COLUMNS; k++) {
        const float c = (of->bits >> k) & 1 ? of->weight * (float)s->inverse[k] : 0;
        const float goal = u[k] + (float)s->ahead[k] * (u[k] - before[k]);
        const float change = c * (goal - sk_within(goal, f.low, f.high));
        row->change[k] = change;
        changed |= change * change > 0;
        s->sum[k] -= change;
        s->intercept[k] += s->rho[k] * change;
    }
    return changed;
}

/* The step of each column, in closed form, from within the range. Returns whether a leap might lead out of that. */
static int sk_parabolic_lanes(const sk_parabola *given, sk_row *row)
{
    const sk_parabola f = *given;
    int32_t out = 0;
    SK_SIMD_ANY(out)
    for (int k = 0; k < SK_COLUMNS; k++) {
        const float away = row->p[k] - f.centre, u = sk_within(row->u[k], f.low, f.high);
        row->gap[k] = sk_dual_part(&f, away, sk_peak(&f, away, 0)) - sk_dual_part(&f, away, u);
        row->u[k] = u;
        row->next[k] = sk_peak(&f, away + row->q[k] * u, row->q[k]);
        const float next = row->next[k], past = row->past[k];
        row->rise[k] = (next - past) * row->offset + sk_below(&f, next) - sk_below(&f, past);
        const float goal = next + (next - past), within = sk_within(goal, f.low, f.high);
        row->bend[k] = (next > 0 ? f.above : f.below) * (next - past) * (next - past);
        out |= (row->c[k] > 0) & (goal != within);
    }
    return out;
}

/* Newton's method for point + q slope(point) = p + q u of each column, between two ends. */
typedef struct {
    double target[SK_COLUMNS], point[SK_COLUMNS], slope[SK_COLUMNS], bend[SK_COLUMNS];
    double goal[SK_COLUMNS], rest[SK_COLUMNS], low[SK_COLUMNS], high[SK_COLUMNS], first[SK_COLUMNS];
} sk_search;

/* Where to begin: at the place of the last step, or where there is none at p. Returns whether there are such. */
static int sk_begin_search(const sk_row *row, const float *at, double y, sk_search *s)
{
    float fresh = 0;
    SK_SIMD_SUM(fresh)
    for (int k = 0; k < SK_COLUMNS; k++) {
        const int none = at[k] != at[k];
        s->target[k] = y;
        s->goal[k] = row->p[k] + (double)row->q[k] * row->u[k];
        s->point[k] = none ? s->goal[k] : at[k];
        fresh += none ? 1.0f : 0.0f;
    }
    return fresh > 0;
}

/* The ends, once slope and bend are known at the beginning. */
static void sk_bracket(sk_row *row, const float *at, const float *bend, sk_search *s)
{
    SK_SIMD
    for (int k = 0; k < SK_COLUMNS; k++) {
        const int none = at[k] != at[k];
        const double slope = none ? s->slope[k] : row->u[k], curved = none ? s->bend[k] : bend[k];
        const double rest = row->c[k] > 0 ? s->point[k] - s->goal[k] + row->q[k] * slope : 0;
        const double other = s->point[k] - rest;
        s->rest[k] = rest;
        s->slope[k] = slope;
        s->bend[k] = curved;
        s->low[k] = rest > 0 ? other : s->point[k];
        s->high[k] = rest > 0 ? s->point[k] : other;
        s->first[k] = none ? -1 : fabs(rest);
        row->gap[k] = (float)(none ? 0 : 0.5 * rest * rest * curved);
        row->rise[k] = row->bend[k] = 0;
    }
}

/* One step of those that are not near enough, a part of the slope they began with. Returns whether there are such. */
static int sk_search_on(const sk_row *row, double part, sk_search *s)
{
    float left = 0;
    SK_SIMD_SUM(left)
    for (int k = 0; k < SK_COLUMNS; k++) {
        const double point = s->point[k], away = fabs(s->goal[k] - point);
        const double near = part * (s->first[k] < 0 ? away : s->first[k]) + 2e-7 * (fabs(s->goal[k]) + fabs(point));
        const double newton = point - s->rest[k] / (1 + row->q[k] * s->bend[k]);
        const double middle = s->low[k] + 0.5 * (s->high[k] - s->low[k]);
        const double next = (newton > s->low[k]) & (newton < s->high[k]) ? newton : middle;
        const int on = fabs(s->rest[k]) > near;
        s->point[k] = on ? next : point;
        left += on ? 1.0f : 0.0f;
    }
    return left > 0;
}

/* What slopes at the new points say. */
static void sk_narrow(const sk_row *row, sk_search *s)
{
    SK_SIMD
    for (int k = 0; k < SK_COLUMNS; k++) {
        const double point = s->point[k];
        const double rest = row->c[k] > 0 ? point - s->goal[k] + row->q[k] * s->slope[k] : 0;
        s->rest[k] = rest;
        s->high[k] = rest > 0 ? point : s->high[k];
        s->low[k] = rest > 0 ? s->low[k] : point;
    }
}

static void sk_end_search(const sk_search *s, sk_row *row, float *at, float *bend)
{
    SK_SIMD
    for (int k = 0; k < SK_COLUMNS; k++) {
        const int of = row->c[k] > 0;
        row->next[k] = of ? (float)s->slope[k] : row->u[k];
        at[k] = of ? (float)s->point[k] : at[k];
        bend[k] = of ? (float)s->bend[k] : bend[k];
    }
}

#endif

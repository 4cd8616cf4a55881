/* exp, expm1 and log1p without branches or calls, so that loops over them vectorise.

   Against mpmath: exp and exp_decay stay within 1 ulp, log1p, log1p_unit and expm1 within 2 (tests/laws). Sources:
   argument reduction and two-part ln 2 after Cody and Waite (1980) and fdlibm (Sun Microsystems, 1993, e_exp.c and
   s_log1p.c: the split of ln 2 and the coefficients of log1p are theirs); the polynomial of exp is Taylor's to degree
   13, whose remainder on |r| <= ln(2)/2 is 4e-18.

   Below AVX2 the compiler has neither fused multiply-add nor wide vectors, and libm is faster: it is used there. */
#ifndef SKLOSSES_MATH_H
#define SKLOSSES_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define SKLOSSES_INLINE static inline __attribute__((always_inline))
#else
#define SKLOSSES_INLINE static inline
#endif

#if (defined(__FMA__) && defined(__AVX2__)) || defined(__ARM_FEATURE_FMA)

SKLOSSES_INLINE double sk_from_bits(uint64_t u) { double d; memcpy(&d, &u, sizeof d); return d; }
SKLOSSES_INLINE uint64_t sk_to_bits(double d) { uint64_t u; memcpy(&u, &d, sizeof u); return u; }

/* 1.5 * 2^52: adding it leaves round(x) in the low bits of the sum, for |x| < 2^51. */
#define SK_ROUND 6755399441055744.0
#define SK_LN2_HIGH 6.93147180369123816490e-01
#define SK_LN2_LOW 1.90821492927058770002e-10

/* 2^m for a sum m + SK_ROUND with -1022 <= m <= 1023. */
SKLOSSES_INLINE double sk_power_of_two(double shifted) { return sk_from_bits((sk_to_bits(shifted) + 1023) << 52); }

/* exp(r) - 1 for |r| <= ln(2)/2. The high terms are summed side by side, after Estrin, instead of in one chain: a
   solver that goes row by row waits for this. The low ones follow Horner, for the last half ulp. */
SKLOSSES_INLINE double sk_expm1_reduced(double r)
{
    const double r2 = r * r, r4 = r2 * r2;
    double high = __builtin_fma(                                /* 1/10! ... 1/13! */
        r2, __builtin_fma(r, 1.6059043836821614599e-10, 2.0876756987868098979e-09),
        __builtin_fma(r, 2.5052108385441718775e-08, 2.7557319223985890653e-07));
    double middle = __builtin_fma(                              /* 1/6! ... 1/9! */
        r2, __builtin_fma(r, 2.7557319223985890653e-06, 2.4801587301587301587e-05),
        __builtin_fma(r, 1.9841269841269841270e-04, 1.3888888888888888889e-03));
    double q = __builtin_fma(r, __builtin_fma(r4, high, middle), 8.3333333333333333333e-03);
    q = __builtin_fma(r2, q, __builtin_fma(r, 4.1666666666666666667e-02, 1.6666666666666666667e-01));
    q = __builtin_fma(r, q, 0.5);
    return __builtin_fma(q, r2, r);
}

SKLOSSES_INLINE double sk_exp(double x)
{
    x = x > 710.0 ? 710.0 : x;                                  /* overflows to inf below; nan passes */
    x = x < -746.0 ? -746.0 : x;                                /* underflows to 0 below */
    double shifted = __builtin_fma(x, 1.4426950408889634074, SK_ROUND);
    double n = shifted - SK_ROUND;
    double r = __builtin_fma(n, -SK_LN2_LOW, __builtin_fma(n, -SK_LN2_HIGH, x));
    double e = 1.0 + sk_expm1_reduced(r);
    double half = __builtin_fma(n, 0.5, SK_ROUND);              /* two factors, so that subnormals are reached */
    double rest = (n - (half - SK_ROUND)) + SK_ROUND;
    return e * sk_power_of_two(half) * sk_power_of_two(rest);
}

/* The same for x <= 0: no overflow, so the exponent is added to the bits of the significand's value, in a second
   step only below 2^-900, where the result may be subnormal. */
SKLOSSES_INLINE double sk_exp_decay(double x)
{
    x = x < -746.0 ? -746.0 : x;
    double shifted = __builtin_fma(x, 1.4426950408889634074, SK_ROUND);
    double n = shifted - SK_ROUND;
    double r = __builtin_fma(n, -SK_LN2_LOW, __builtin_fma(n, -SK_LN2_HIGH, x));
    double e = 1.0 + sk_expm1_reduced(r);
    double lifted = n < -900.0 ? shifted + 200.0 : shifted;
    double rest = n < -900.0 ? 6.2230152778611417e-61 : 1.0;   /* 2^-200 */
    return sk_from_bits(sk_to_bits(e) + (sk_to_bits(lifted) << 52)) * rest;
}

SKLOSSES_INLINE double sk_expm1(double x)
{
    double bounded = x > 710.0 ? 710.0 : x;
    bounded = bounded < -50.0 ? -50.0 : bounded;                /* -1 to the last bit */
    double shifted = __builtin_fma(bounded, 1.4426950408889634074, SK_ROUND);
    double n = shifted - SK_ROUND;
    double r = __builtin_fma(n, -SK_LN2_LOW, __builtin_fma(n, -SK_LN2_HIGH, bounded));
    double q = sk_expm1_reduced(r);
    double half = __builtin_fma(n, 0.5, SK_ROUND);
    double rest = (n - (half - SK_ROUND)) + SK_ROUND;
    double a = sk_power_of_two(half), b = sk_power_of_two(rest);
    double e = __builtin_fma(q * a, b, a * b - 1.0);
    e = x > 709.0 ? (1.0 + q) * a * b - 1.0 : e;                /* a b alone may overflow before the product does */
    return x == 0.0 ? x : e;                                    /* keeps the sign of zero */
}

/* log(1 + f) - f + f^2 / 2 for sqrt(1/2) <= 1 + f <= sqrt(2), with h = f^2 / 2. */
SKLOSSES_INLINE double sk_log1p_tail(double f, double h)
{
    double s = f / (2.0 + f), z = s * s;
    double p = 1.479819860511658591e-01;
    p = __builtin_fma(p, z, 1.531383769920937332e-01);
    p = __builtin_fma(p, z, 1.818357216161805012e-01);
    p = __builtin_fma(p, z, 2.222219843214978396e-01);
    p = __builtin_fma(p, z, 2.857142874366239149e-01);
    p = __builtin_fma(p, z, 3.999999999940941908e-01);
    p = __builtin_fma(p, z, 6.666666666666735130e-01);
    return s * __builtin_fma(z, p, h);
}

/* log(1 + x) for x > -1. */
SKLOSSES_INLINE double sk_log1p(double x)
{
    const uint64_t offset = 0x3fe6a09e00000000u;                /* sqrt(1/2): the significand is split around it */
    double u = 1.0 + x;
    uint64_t shifted = sk_to_bits(u) + (0x3ff0000000000000u - offset);
    double k = sk_from_bits((shifted >> 52) | 0x4330000000000000u) - 4503599627371519.0;    /* 2^52 + 1023 */
    double m = sk_from_bits((shifted & 0x000fffffffffffffu) + offset);
    double lost = x > 1.0 ? 1.0 - (u - x) : x - (u - 1.0);      /* what rounding took from 1 + x */
    double near = k == 0.0;
    double f = near != 0.0 ? x : m - 1.0;
    double c = near != 0.0 ? 0.0 : lost / u;
    double h = 0.5 * f * f, tail = sk_log1p_tail(f, h) + __builtin_fma(k, SK_LN2_LOW, c);
    double y = __builtin_fma(k, SK_LN2_HIGH, f - (h - tail));
    y = x == 0.0 ? x : y;
    return x <= 1.7976931348623157e308 ? y : x;                 /* inf and nan pass */
}

/* The same for 0 <= x <= 1, which is what softplus needs: one division instead of two. There 1 + x is in [1, 2], and
   where what its rounding lost counts (above sqrt(2)) a chord of 1 / u, off by at most 3 %, serves for the quotient. */
SKLOSSES_INLINE double sk_log1p_unit(double x)
{
    double u = 1.0 + x, upper = u > 1.4142135623730951 ? 1.0 : 0.0;
    double f = upper != 0.0 ? 0.5 * u - 1.0 : x;
    double c = upper != 0.0 ? (x - (u - 1.0)) * (1.2071067811865475 - 0.35355339059327373 * u) : 0.0;
    double y = upper != 0.0 ? SK_LN2_HIGH : 0.0, low = upper != 0.0 ? SK_LN2_LOW : 0.0;
    double h = 0.5 * f * f, tail = sk_log1p_tail(f, h) + (low + c);
    return y + (f - (h - tail));
}

#else

#define sk_log1p_unit log1p
#define sk_exp exp
#define sk_exp_decay exp
#define sk_expm1 expm1
#define sk_log1p log1p

#endif
#endif

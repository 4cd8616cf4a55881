"""Derivatives by differences, and where a function or its slope jumps: all points at once."""

import numpy as np

STEPS = 17
ORDER = 5


def difference(function, y, p, size):
    """Derivative of a function of (y, p) with respect to p: Ridders' extrapolation of central differences.

    Parameters
    ----------
    function : callable
        Of two arrays of np.longdouble.
    y, p, size : ndarrays of shape (n,)
        Where, and the largest step.

    Returns
    -------
    derivative, error : ndarrays of shape (n,)
        The extrapolation that is best by its own estimate of the error, and this estimate.
    """
    y, p = y.astype(np.longdouble), p.astype(np.longdouble)
    best, least = np.zeros(len(p)), np.full(len(p), np.inf)
    before = []
    for k in range(STEPS):
        # Steps between numbers that float64 can tell apart, whatever the function works in.
        high = (p + size * 2.0**-k).astype(np.float64).astype(np.longdouble)
        low = (p - size * 2.0**-k).astype(np.float64).astype(np.longdouble)
        upper, lower = function(y, high), function(y, low)
        eps = np.finfo(np.float64).eps / 4 if np.all(upper == upper.astype(np.float64)) else np.finfo(np.longdouble).eps
        with np.errstate(all="ignore"):
            noise = 4 * eps * (np.abs(upper) + np.abs(lower)) / (high - low)
            now = [(upper - lower) / (high - low)]
            for j in range(1, min(k, ORDER) + 1):
                now.append(now[-1] + (now[-1] - before[j - 1]) / (4**j - 1))
                error = np.maximum(np.abs(now[j] - now[j - 1]), np.abs(now[j] - before[j - 1])) + noise
                better = error < least
                best = np.where(better, now[j], best)
                least = np.where(better, error, least)
        before = now
    return best.astype(np.float64), least.astype(np.float64)


def jumps(function, y, low, high):
    """Narrow intervals down to where a function changes most, by bisection to the last bit.

    Parameters
    ----------
    function : callable
        Of y and p.
    y, low, high : ndarrays of shape (n,)
        The intervals.

    Returns
    -------
    low, high, jump : ndarrays of shape (n,)
        Neighbouring floats, and by how much the function differs between them: nothing to speak of where it is
        continuous.
    """
    at_low, at_high = function(y, low), function(y, high)
    for _ in range(64):
        middle = low + 0.5 * (high - low)
        at_middle = function(y, middle)
        left = np.abs(at_middle - at_low) > np.abs(at_high - at_middle)
        low, at_low = np.where(left, low, middle), np.where(left, at_low, at_middle)
        high, at_high = np.where(left, middle, high), np.where(left, at_middle, at_high)
    return low, high, np.abs(at_high - at_low)


def leaps(ask, y, low, high):
    """Narrow intervals down to where the value changes most beyond what its slopes account for.

    Returns
    -------
    place, jump, allowed : ndarrays of shape (n,)
        Where, by how much, and what rounding explains.
    """

    def look(p):
        return ask("value", y, p), ask("gradient", y, p)

    (value_low, slope_low), (value_high, slope_high) = look(low), look(high)

    def unexplained(a, va, ga, b, vb, gb):
        return np.abs(vb - va - (b - a) * 0.5 * (ga + gb))

    for _ in range(64):
        middle = low + 0.5 * (high - low)
        value, slope = look(middle)
        left = unexplained(low, value_low, slope_low, middle, value, slope) > unexplained(
            middle, value, slope, high, value_high, slope_high
        )
        low, value_low, slope_low = (
            np.where(left, *pair) for pair in ((low, middle), (value_low, value), (slope_low, slope))
        )
        high, value_high, slope_high = (
            np.where(left, *pair) for pair in ((middle, high), (value, value_high), (slope, slope_high))
        )
    jump = np.abs(value_high - value_low)
    slope = np.maximum(np.abs(slope_low), np.abs(slope_high))
    rounding = 1e-12 * (np.abs(value_low) + np.abs(value_high)) + 1e-14 * slope * (np.abs(low) + np.abs(y))
    return low, jump, rounding + 1e-12 + slope * (high - low)

"""The best intercept for given predictions, and the least that a loss can be."""

import numpy as np

# The relative error of a sum over rows, with room.
ROUNDING = 1e-14


def best_shift(reading, k, p, start=0.0, room=0.0, cost=0.0):
    """The number that, added to all predictions, minimises a column's loss.

    Parameters
    ----------
    reading : Reading
        Its rows are not read: targets and weights are all that is used.
    k : int
        Number of the column.
    p : ndarray of shape (n_rows,)
        Predictions.
    start : float, default=0.0
        Where to begin.
    room : float >= 0, default=0.0
        By how much the sum of losses may exceed its least. 0: rounding.
    cost : float, default=0.0
        What a unit of the number costs besides.

    Returns
    -------
    float
    """
    return (_newton if reading.losses[k].traits.smooth else _tangents)(reading, k, p, start, room, cost)


def _newton(reading, k, p, shift, room, cost):
    """Newton's method, kept within a bracket."""
    gradient, hessian = np.empty_like(p), np.empty_like(p)
    low, high = -np.inf, np.inf
    for attempt in range(1, 101):
        with np.errstate(over="ignore", invalid="ignore"):
            reading.sweep(k, p + shift, gradient=gradient, hessian=hessian)
        slope, curvature = gradient.sum() + cost, hessian.sum()
        if abs(slope) <= ROUNDING * np.abs(gradient).sum() or slope * slope <= room * curvature:
            break
        if slope > 0:
            high = shift
        else:
            low = shift
        reach = 2.0 ** min(attempt, 60)
        newton = shift - slope / curvature if curvature > 0 else -np.copysign(reach, slope) + shift
        newton = min(max(newton, shift - reach), shift + reach)
        if not low < newton < high:
            newton = 0.5 * (low + high)
        if newton in (low, high, shift):
            break
        shift = newton
    return shift


def _tangents(reading, k, p, shift, room, cost):
    """For losses with kinks: the tangents at both ends of a bracket meet nearer to the minimum, or at it.

    Where they meet is no less than the minimum, which says when to stop. Every third trial halves the bracket, because
    a tangent that hardly rises moves its end by little.
    """
    gradient = np.empty_like(p)

    def look(t):
        value = reading.sweep(k, p + t, gradient=gradient)
        return t, value + cost * t, gradient.sum() + cost

    here = look(shift)
    best, low, high = here, None, None
    reach = max(1e-3 * float(np.mean(np.abs(p + shift))), 1e-6)
    for attempt in range(200):
        if abs(here[2]) <= ROUNDING * np.abs(gradient).sum():
            return here[0]
        if here[2] > 0:
            high = here
        else:
            low = here
        if low is None or high is None:
            trial = here[0] - np.copysign(reach, here[2])
            reach *= 4
        else:
            trial = low[0] + (high[1] - low[1] - high[2] * (high[0] - low[0])) / (low[2] - high[2])
            least = low[1] + low[2] * (trial - low[0])
            if best[1] - least <= room + ROUNDING * abs(best[1]):
                break
            if attempt % 3 == 2 or not low[0] < trial < high[0]:
                trial = 0.5 * (low[0] + high[0])
            if trial in (low[0], high[0]):
                break
        here = look(trial)
        if here[1] < best[1]:
            best = here
    return best[0]


def lowest_value(reading, k):
    """Below which a column's loss cannot fall: the constant that deviance losses leave out, 0 for others."""
    if reading.losses[k].traits.link != "log":
        return 0.0
    y = reading.target(k)
    return reading.sweep(k, np.log(np.maximum(y, 1e-300)))

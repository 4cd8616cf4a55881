"""The best intercept for given predictions, the least that a loss can be, and whether it is anywhere."""

import numpy as np

# The relative error of a sum over rows, with room.
ROUNDING = 1e-14
# Beyond so many rows a sweep over some of them costs little.
MANY = 100_000
# So many times the coefficients are far; a loss of this share of what it was is none.
FAR, NOTHING = 1e6, 1e-9


def best_shift(reading, k, p, start=0.0, room=0.0, cost=0.0, *, few=False):
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
    few : bool, default=False
        Whether to ask no more than some of the rows where there are many.

    Returns
    -------
    float
    """
    pieces = reading.scattered if few and reading.n_rows > MANY else None
    if pieces is not None:
        cost *= sum(piece.stop - piece.start for piece in pieces) / reading.n_rows

    def along(t, *, curved=False):
        value, slope, steepness, curvature = reading.along(k, p, None, t, curved=curved, pieces=pieces)
        return value + cost * t, slope + cost, steepness, curvature

    return (_newton if reading.traits[k].smooth else _tangents)(along, p, start, room)


def _newton(along, p, shift, room):
    """Newton's method, kept within a bracket; the middle, where all rows are on straight parts that cancel."""

    def is_flat(t):
        _, slope, steepness, _ = along(t)
        return abs(slope) <= ROUNDING * steepness

    low, high = -np.inf, np.inf
    for attempt in range(1, 101):
        _, slope, steepness, curvature = along(shift, curved=True)
        if abs(slope) <= ROUNDING * steepness or slope * slope <= room * curvature:
            if curvature > 0:
                break
            return 0.5 * (_end_of_flat(is_flat, shift, -1.0) + _end_of_flat(is_flat, shift, 1.0))
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


def _end_of_flat(is_flat, shift, direction):
    """How far a slope stays 0 in a direction, to rounding; `shift` where there is no end."""
    step = direction * 1e-3 * max(1.0, abs(shift))
    for _ in range(60):
        if not is_flat(shift + step):
            break
        step *= 2
    else:
        return shift
    inside, outside = 0.0, step
    for _ in range(60):
        t = 0.5 * (inside + outside)
        inside, outside = (t, outside) if is_flat(shift + t) else (inside, t)
    return shift + inside


def _tangents(along, p, shift, room):
    """For losses with kinks: the tangents at both ends of a bracket meet nearer to the minimum, or at it.

    Where they meet is no less than the minimum, which says when to stop. Every third trial halves the bracket, because
    a tangent that hardly rises moves its end by little.
    """

    def look(t):
        value, slope, steepness, _ = along(t)
        return t, value, slope, steepness

    here = look(shift)
    best, low, high = here, None, None
    reach = max(1e-3 * float(np.mean(np.abs(p + shift))), 1e-6)
    for attempt in range(200):
        if abs(here[2]) <= ROUNDING * here[3]:
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
    if reading.traits[k].link != "log":
        return 0.0
    y = reading.target(k)
    return reading.sweep(k, np.log(np.maximum(y, 1e-300)))


def falls_for_ever(left):
    """Whether a loss, without a penalty, has no minimum, but falls towards its least as coefficients grow.

    As log_loss does along the coefficients of a plane that separates the classes. Next to a minimum instead, twice the
    coefficients are no better; and where rows attain their least, nothing is left.

    Parameters
    ----------
    left : callable
        ``left(t)`` is what the loss is at t times the coefficients, above the least that it can be.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        here, twice, far = left(1.0), left(2.0), left(FAR)
    return bool(0 < twice < 0.5 * here and far <= NOTHING * here)


def vanishes_at(left, nothing):
    """The multiple of the coefficients, a power of 2, that leaves next to nothing of a loss which falls for ever.

    0 if it does not, or takes 1e6 times the coefficients.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        shares = () if not left(FAR) <= nothing else 2.0 ** np.arange(21)
        share = next((share for share in shares if left(share) <= nothing), 0.0)
    return share if share and falls_for_ever(lambda t: left(share * t)) else 0.0


def left_along(reading, k, p):
    """For :func:`falls_for_ever`: a column's loss at multiples of predictions without their offset."""
    offset, lowest = 0.0 if reading.offset is None else reading.offset, lowest_value(reading, k)
    return lambda t: reading.sweep(k, offset + t * (p - offset)) - lowest


def least_value(reading, k):
    """The sum of each row's least loss, for any prediction: -inf where the loss has no conjugate to say it."""
    loss, weight = reading.losses[k], reading.weight(k)
    if not loss.traits.has_conjugate:
        return -np.inf
    y = reading.target(k)
    least = -loss.conjugate(y, np.zeros(len(y)))
    return float(least.sum() if weight is None else weight @ least)

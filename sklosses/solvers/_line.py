"""How far to go along a step: a search that asks for slopes alone."""

# Halvings: more than float64 tells apart.
HALVINGS = 60


# Doublings of a step.
DOUBLINGS = 40


def beyond(slope, share):
    """How many times a step to take, at the end of which a convex function still falls; as :func:`along` says."""
    reach = 2.0
    while slope(reach) < 0 and reach < 2.0**DOUBLINGS:
        reach *= 2
    return reach * along(lambda t: slope(reach * t), share)


def along(slope, share):
    """The part of a step after which a convex function has about stopped falling.

    Parameters
    ----------
    slope : callable
        The function's derivative to the right at a part of the step; nan beyond float64.
    share : float
        It has stopped falling where its slope is no more than this share of the first.

    Returns
    -------
    float
        In [0, 1); 0 where the function does not fall.
    """
    first, low, high = slope(0.0), 0.0, 1.0
    if not first < 0:
        return 0.0
    for _ in range(HALVINGS):
        t = 0.5 * (low + high)
        here = slope(t)
        if here < 0:
            low = t
            if here >= share * first:
                break
        else:       # upwards, or beyond float64
            high = t
    return low

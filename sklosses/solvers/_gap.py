"""What a certificate says of the objective, as one number."""

#: F* below this share of the best constant's objective counts as 0: no number is a share of it.
NOTHING = 1e-12
#: What rounding makes of F, whose sums are float64: the share of it.
F_ROUNDING = 1e-15


def relative_gap(objective, bound, null):
    """The most that F - F* can be, as a share of the least that |F*| can be.

    Parameters
    ----------
    objective : float
        F, counted from where 0 is its natural least value.
    bound : float
        F - F* is no more than this; at least 0, or inf.
    null : float
        F of the best constant.

    Returns
    -------
    float
        F* is between F - bound and F. inf if nothing is known.
    """
    if not bound < float("inf"):
        return float("inf")
    return bound / max(objective - bound, -objective, NOTHING * abs(null), 1e-300)

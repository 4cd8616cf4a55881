"""Where a path of penalties begins: the strength under which coefficients are zero, or as good as."""

from dataclasses import replace

import numpy as np
from scipy.optimize import brentq, linprog

from sklosses.solvers._least_maximum import Box, LeastMaximum
from sklosses.solvers._reading import Reading
from sklosses.solvers._shift import best_shift, lowest_value
from sklosses.solvers._slices import SliceReading, best_shifts

# Beside a kink, relative to the numbers around it: what rounding makes of the best constant is less.
BESIDE = 1e-9
# Slopes that rounding makes of zero, relative to those beside the kinks.
ROUNDING = 1e-12
# Cuts, each of two readings, after which the upper bound is taken as it is.
MOST_CUTS = 100
# How far a cut is made from the best direction towards that of the cuts so far. All the way, directions swing.
FORWARD = 0.3
# The share of the objective without coefficients that they gain, at most, where a path of l2 begins.
GAIN = 1e-2
# Width to which kinks of losses of whole rows are rounded.
WIDTH = 1e-2
# Features that are in the linear programme of cuts from the start, and that join it at a time.
FEATURES = 200
# Up to so many features the programme is solved with a variable a row, for some rows at a time: at first this many, and
# no fewer than this many for each feature.
NARROW, FIRST_ROWS, ROWS_A_FEATURE = 200, 4000, 180
# Rounds in which more and more rows are variables.
ROUNDS = 4


def alpha_max(problem, penalty="l1", *, rtol=5e-3):
    r"""The least strength of an l1 penalty under which all coefficients are zero, and what is like it with l2.

    With b the best intercept of a model without coefficients, zero is a minimum if and only if

    .. math::
        \alpha \ge \min_u \max_j \Big| \frac{1}{S} \sum_i s_i u_i x_{ij} \Big|, \qquad
        u_i \in \partial\phi(y_i, b + o_i), \quad \sum_i s_i u_i = 0,

    the sum being asked for where an intercept is fitted. Smooth losses have one u_i, their slope, and the minimum is
    a single product with X. At a kink u_i is any number between the slopes on both sides, and rows there may be many:
    those of the more frequent class, with the hinge, or of the most frequent count, with the absolute error. Then this
    is a linear programme with a variable a row, but its dual has one a feature: the direction w whose worst u gains
    most. Rows with x_i.w well above a threshold have u_i at their lower bound, those well below at the upper; so a
    sample of the rows says which need not be variables [1]_, the others are found by an interior point method, and what
    they come to in all rows bounds the minimum from both sides. Tables of more than 200 features take cutting planes
    [2]_: each direction w has a u that is the worst for it, found by sorting X w; the best mixture of those seen bounds
    the minimum from above, what w gains from below, and the next direction is on the way from the best to the one that
    those u suggest [3]_.

    Under l2 no strength makes coefficients zero. But F is strongly convex, so that with g the vector of the sums above

    .. math::
        F(0) - F^* \le \frac{\lVert g \rVert^2}{2 \alpha},

    and the strength returned is that for which the right side is a hundredth of F(0): with more, a model is hardly
    better than a constant. Like the useful strengths it goes with the square of the unit of X, and does not depend on
    that of y.

    Parameters
    ----------
    problem : Problem
        Its penalty is not looked at.
    penalty : {"l1", "l2"}, default="l1"
        Of what the strength is.
    rtol : float > 0, default=5e-3
        With l1: how far, relatively, the result may be above the least strength.

    Returns
    -------
    ndarray of shape (n_columns,)
        For each column. With l1 never less than the least strength, and more by `rtol` at most, unless that took more
        than 100 cuts; of losses that are not convex, the strength from which on zero is a stationary point.

    Raises
    ------
    ValueError
        If `penalty` is neither.

    References
    ----------
    .. [1] S. Portnoy, R. Koenker, The Gaussian hare and the Laplacian tortoise, Statistical Science 12(4), 1997.
    .. [2] J. E. Kelley, The cutting-plane method for solving convex programs, Journal of SIAM 8(4), 1960.
    .. [3] W. Ben-Ameur, J. Neto, Acceleration of cutting-plane and column generation algorithms, Networks 49(1), 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.data import as_rows
    >>> from sklosses.losses import SquaredError
    >>> from sklosses.penalties import NoPenalty
    >>> from sklosses.solvers import Problem, alpha_max
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> alpha_max(Problem(as_rows(X), np.array([1.0, 2.0, 3.0]), ((SquaredError(), 1),), NoPenalty())).round(6)
    array([0.666667])
    """
    if penalty not in ("l1", "l2"):
        raise ValueError(f"penalty must be 'l1' or 'l2', got {penalty!r}.")
    if problem.losses[0][0].traits.coupled:
        return np.array([_of_whole_rows(problem, penalty)])
    with Reading(problem) as reading:
        if penalty == "l2":
            return np.array([_under_l2(problem, reading, k) for k in range(problem.n_columns)])
        return np.array([_under_l1(problem, reading, k, rtol) for k in range(problem.n_columns)])


def _of_whole_rows(problem, penalty):
    """Of losses of whole rows, all of whose columns have one strength; with kinks an upper bound, to the smoothing."""
    with SliceReading(problem) as reading:
        loss = reading.loss.smoothed(WIDTH)
        p = np.zeros((reading.n_rows, reading.K))
        if problem.fit_intercept:
            p += best_shifts(reading, p, loss)
        value, a = reading.evaluate(p, loss=loss)
        gradient = reading.back_slices(reading.gradients(a)) / reading.total
    if penalty == "l1":
        return float(np.abs(gradient).max(initial=0.0))
    return float(np.vdot(gradient, gradient) / (2 * GAIN * value / reading.total)) if value > 0 else 0.0


def _under_l2(problem, reading, k):
    """The strength under which a column gains `GAIN` of its objective at most."""
    p = _constant(problem, reading, k)
    gradient = reading.back(_slopes(reading, k, p, problem.fit_intercept)[0]) / reading.totals[k]
    value = (reading.sweep(k, p) - lowest_value(reading, k)) / reading.totals[k]
    return float(gradient @ gradient / (2 * GAIN * value)) if value > 0 else 0.0


def _under_l1(problem, reading, k, rtol):
    """The least strength under which a column's coefficients are zero."""
    total = float(reading.totals[k])
    slope, ties = _slopes(reading, k, _constant(problem, reading, k), problem.fit_intercept)
    gradient = reading.back(slope) / total
    upper = float(np.abs(gradient).max(initial=0.0))
    if ties is None or upper == 0:
        return upper
    least = ROUNDING * upper
    if reading.n_features <= NARROW:
        upper, lower = _by_some_rows(reading, slope, ties, least * total, rtol)
        upper, lower = upper / total, lower / total
        if upper <= max((1 + rtol) * lower, least):
            return upper if upper > least else 0.0
    return min(upper, _by_cuts(reading, slope, ties, gradient, (total, least, rtol)))


def _by_some_rows(reading, slope, ties, least, rtol):
    """Bounds of the least maximum of |X's u|, by linear programmes whose variables are some of the rows with ties."""
    vector, d = slope.copy(), reading.n_features
    vector[ties.rows] = 0.0
    constant, upper, lower = reading.back(vector), np.inf, 0.0
    size = max(FIRST_ROWS, ROWS_A_FEATURE * d)
    if len(ties.rows) <= 2 * size:
        part = np.arange(len(ties.rows))
        found = _programme(reading, ties, part, (constant, ties.total)).solve(rtol / 2, least)
        return found.upper, found.lower
    part = np.sort(np.random.default_rng(0).choice(len(ties.rows), size, replace=False))
    found = _programme(reading, ties, part, (constant, ties.total), larger=len(ties.rows) / size).solve(2 * rtol, least)
    for _ in range(ROUNDS):
        direction = found.direction
        steepness = np.concatenate(reading.each(lambda chunk, w=direction: reading.rows_of(chunk) @ w))[ties.rows]
        order, middle = ties.sorted(steepness)
        level = 0.0 if ties.total is None else -steepness[order[min(middle, len(order) - 1)]]
        whole = Box(ties.low, ties.high, constant, ties.total)
        lower = max(lower, whole.value(steepness + level, direction, level))
        if upper <= max((1 + rtol) * lower, least):
            break
        size = min(2 * size, len(order))
        first = min(max(middle - size // 2, 0), len(order) - size)
        vector[ties.rows[order[:first]]] = ties.high[order[:first]]
        vector[ties.rows[order[first + size:]]] = ties.low[order[first + size:]]
        part = order[first : first + size]
        vector[ties.rows[part]] = 0.0
        fixed = vector[ties.rows].sum()
        rest = (reading.back(vector), None if ties.total is None else ties.total - fixed)
        found = _programme(reading, ties, part, rest).solve(rtol / 4, least)
        upper = min(upper, found.upper)
    return upper, lower


def _programme(reading, ties, part, given, larger=1.0):
    """The programme of some of the rows with ties, with bounds that are larger where they stand for all."""
    constant, total = given
    rows = reading.rows_of(ties.rows[part])
    box = Box(larger * ties.low[part], larger * ties.high[part], constant, total)
    if total is not None and larger > 1:
        share = (total - ties.low.sum()) / (ties.high - ties.low).sum()
        box = replace(box, total=box.low.sum() + share * (box.high - box.low).sum())
    return LeastMaximum(rows.toarray() if reading.sparse else rows, box)


def _by_cuts(reading, slope, ties, gradient, settings):
    """An upper bound of the least maximum, by cutting planes."""
    total, least, rtol = settings
    upper = float(np.abs(gradient).max(initial=0.0))
    cuts, best, lower = [gradient], None, 0.0
    while upper > max((1 + rtol) * lower, least) and len(cuts) < MOST_CUTS:
        found = _master(np.array(cuts))
        if found is None:
            break
        direction, upper = found
        if upper <= least:
            return 0.0
        if best is not None:
            direction = FORWARD * direction + (1 - FORWARD) * best
        steepness = np.concatenate(reading.each(lambda chunk, w=direction: reading.rows_of(chunk) @ w))
        slope[ties.rows] = ties.worst(steepness[ties.rows])
        cuts.append(reading.back(slope) / total)
        gain, size = float(cuts[-1] @ direction), float(np.abs(direction).sum())
        if best is None or gain > lower * size:
            best, lower = direction / size, gain / size
    return upper


def _constant(problem, reading, k):
    """Raw predictions of the best model without coefficients."""
    p = np.zeros(reading.n_rows) if reading.offset is None else reading.offset.copy()
    return p + best_shift(reading, k, p) if problem.fit_intercept else p


def _slopes(reading, k, p, balanced):
    """A column's s_i u_i of least norm at predictions, and the ties that leave a choice, or None."""
    loss, slope = reading.losses[k], np.empty_like(p)
    if loss.traits.smooth:
        reading.values(k, p, gradient=slope)
        return slope, None
    places, _ = loss.kinks(reading.target(k))
    step = BESIDE * (np.abs(p).max(initial=0.0) + np.abs(places).mean() or 1.0)
    high = np.empty_like(p)
    reading.values(k, p - step, gradient=slope)
    reading.values(k, p + step, gradient=high)
    rows = np.flatnonzero(high > slope)
    if not len(rows):
        return slope, None
    weight = np.ones(len(rows)) if reading.weight(k) is None else reading.weight(k)[rows]
    ties = _Ties(rows, (slope[rows], high[rows]), weight)
    slope[rows] = 0.0
    if balanced:
        ties.total = min(max(-slope.sum(), ties.low.sum()), ties.high.sum())
    slope[rows] = ties.least()
    if np.abs(slope).sum() <= ROUNDING * (ties.high.sum() - ties.low.sum()):
        return np.zeros_like(slope), None
    return slope, ties if len(rows) > 1 else None


class _Ties:
    """Rows at kinks: their s_i u_i are between bounds, and may have to sum to something.

    Attributes
    ----------
    rows : ndarray of int of shape (m,)
    low, high, weight : ndarray of shape (m,)
    total : float or None
        The sum; None: any.
    """

    def __init__(self, rows, bounds, weight):
        self.rows, self.weight, self.total = rows, weight, None
        self.low, self.high = bounds

    def least(self):
        """Those with u of the least norm: one number for all u_i, cut where it is beyond their bounds."""
        low, high = self.low / self.weight, self.high / self.weight

        def cut(level):
            return self.weight * np.clip(level, low, high)

        if self.total is None:
            return cut(0.0)
        ends = low.min(), high.max()
        if cut(ends[0]).sum() >= self.total or cut(ends[1]).sum() <= self.total:
            return self.low if self.low.sum() >= self.total else self.high
        return cut(brentq(lambda level: cut(level).sum() - self.total, *ends, xtol=1e-15))

    def sorted(self, steepness):
        """Rows from the least steep on, and how many of them are at their upper bounds where the sum is least."""
        order = np.argsort(steepness, kind="stable")
        if self.total is None:
            return order, int(np.count_nonzero(steepness < 0))
        room = np.cumsum((self.high - self.low)[order])
        return order, int(np.searchsorted(room, self.total - self.low.sum()))

    def worst(self, steepness):
        """Those with the least sum of s_i u_i times steepness: a knapsack, filled from the least steep row on."""
        if self.total is None:
            return np.where(steepness > 0, self.low, self.high)
        order, full = self.sorted(steepness)
        taken = self.low.copy()
        taken[order[:full]] = self.high[order[:full]]
        if full < len(order):
            taken[order[full]] += self.total - taken.sum()
        return taken


def _master(cuts):
    """The direction of ||w||_1 <= 1 that gains most by the cuts, max_w min_k g_k.w, and what it gains.

    Of many features, those whose constraint the mixture of cuts violates join the programme. None if it is not solved,
    numbers being too far apart: the upper bound so far holds all the same.
    """
    n_cuts, d = cuts.shape
    scale = np.abs(cuts).max()
    order = np.argsort(-np.abs(cuts).max(axis=0), kind="stable")
    used = order[:FEATURES]
    while True:
        part = cuts[:, used] / scale
        m = len(used)
        rows = np.block([[-part, part, np.ones((n_cuts, 1))], [np.ones((1, 2 * m)), np.zeros((1, 1))]])
        solved = linprog(np.append(np.zeros(2 * m), -1.0), rows, np.append(np.zeros(n_cuts), 1.0),
                         bounds=[(0, None)] * (2 * m) + [(None, None)], method="highs")
        if solved.status != 0:
            return None
        shares = np.maximum(-solved.ineqlin.marginals[:n_cuts], 0.0)
        mixed = np.abs(shares / shares.sum() @ cuts)        # a mixture of slopes, whose largest is an upper bound
        beyond = np.setdiff1d(np.flatnonzero(mixed > -solved.fun * scale * (1 + 1e-6)), used)
        if not len(beyond):
            break
        used = np.concatenate([used, beyond[np.argsort(-mixed[beyond], kind="stable")][:FEATURES]])
    direction = np.zeros(d)
    direction[used] = solved.x[:m] - solved.x[m : 2 * m]
    return direction, float(mixed.max())

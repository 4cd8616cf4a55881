"""What a place proves of the minimum: bounds on F - F*, and whether there is a minimum at all."""

import numpy as np

from sklosses.solvers._gap import F_ROUNDING, relative_gap
from sklosses.solvers._shift import best_shift, falls_for_ever, least_value, left_along, lowest_value
from sklosses.solvers._some_rows import BLOCK, ONE_OF, SomeRows

# Curvature that changes by more than self-concordance allows, with room; by how much of the decrement it may matter.
BROKEN, PIECES = 1e-6, 0.25
# An objective this small, as a share of the best constant's, may be as small as each row's least.
NOTHING = 1e-9


class Certified:
    """A column of coefficients with an objective, of which it knows how far from the minimum it is at most.

    Parameters
    ----------
    problem : Problem
    reading : Reading
        Of all rows.
    k : int
        Number of the column.
    penalty : tuple of two floats
        Factors of ||w||_1 and of ||w||^2 / 2.

    Attributes
    ----------
    gap : float
        nan if the loss is not convex.
    gap_kind : str
        "proof" or "estimate".
    endless : bool
        Whether there is no minimum.
    """

    def __init__(self, problem, reading, k, penalty):
        self.problem, self.k, self.fit_intercept = problem, k, problem.fit_intercept
        self.l1, self.l2 = map(float, penalty)
        self.total = reading.totals[k]
        self.lowest = lowest_value(reading, k) / self.total
        self.objective = self.gap = np.inf
        self.gap_kind, self.endless = "estimate", False
        self.blur = 0.0                 # of the objective, by predictions whose large parts cancel
        self.hopes = np.inf, np.inf     # of a proof: what its bound comes to, a step ago and now
        self.few = None                 # what some of the rows prove, or all
        self.convex = reading.traits[k].convex
        self.provable = self.l2 > 0 and self.convex
        self.dual = self.l1 > 0 and self.l2 == 0 and reading.traits[k].has_conjugate

    def _relative(self, bound):
        """A bound on F - F* as a share of the least that F* can be."""
        value = self.objective - self.lowest
        bound = max(bound, 0.0) + F_ROUNDING * abs(value) + self.blur
        return relative_gap(value, bound, self.null)

    def _proves(self, reading, look, gradient, tol):
        """Whether a bound proves the tolerance here; with it the intercept becomes the best for these coefficients."""
        hoped = self._hoped(gradient[:-1] - self.l2 * self.coef) if self.convex else np.inf
        self.hopes = self.hopes[1], hoped
        if not np.isfinite(hoped) or self._relative(hoped) > tol:
            return False
        known = self.intercept, self.objective, look.value
        p, product = look.p, look.product
        if self.fit_intercept:
            shift = best_shift(reading, self.k, look.p)
            p = look.p + shift
            look.value = reading.along(self.k, look.p, None, shift)[0]
            product = reading.back(reading.derivatives(self.k, p))
            self.intercept += shift
            self.objective = self.value_of(look, self.coef)
        gap = self._relative(self._bound(reading, p, product / self.total))
        if gap > tol:
            self.intercept, self.objective, look.value = known
            return False
        self.gap, self.gap_kind = gap, "proof"
        return True

    def _few_prove(self, reading, look, decrement, goal):
        """Whether second derivatives of some rows prove the goal here, where that is likely."""
        if not (self.provable or self.dual) or reading.sparse or not reading.losses[self.k].has_hessian or (
                reading.traits[self.k].self_concordance == np.inf) or reading.n_rows < ONE_OF * BLOCK:
            return False
        if ONE_OF * decrement / 2 > goal * abs(self.objective - self.lowest):
            return False
        if self.few is None:
            self.few = SomeRows(self.problem, reading, self, look.p)
        return self._known_prove(look, goal)

    def _known_prove(self, look, goal):
        """Whether second derivatives that are known prove the goal here."""
        if self.few is None:
            return False
        # Of constant columns too, or what passes as such: theirs is rounding, if they are.
        slope = look.slope / self.total if self.fit_intercept else 0.0
        slopes = look.product / self.total - self.centre * slope + self.l2 * self.coef
        gap = self._relative(self.few.bound(np.append(self._least_subgradient(slopes), slope), look.p))
        if gap > goal:
            return False
        self.gap, self.gap_kind = gap, "proof"
        return True

    def _falls_for_ever(self, reading, look):
        """Whether next to nothing is left of the loss, and the coefficients go on growing."""
        if self.l1 > 0 or self.l2 > 0:
            return False
        left = self.value_of(look, self.coef) - self.lowest
        self.endless = (left <= NOTHING * abs(self.null)
                        and falls_for_ever(left_along(reading, self.k, look.p)))
        return self.endless

    def _is_least(self, reading, look, tol):
        """Each row's least loss bounds F from below too: a proof, where rows are fitted exactly."""
        proven = self.gap_kind == "proof" and self.gap <= tol
        if not self.convex or proven or self.objective - self.lowest > max(NOTHING * abs(self.null), self._exact(look)):
            return
        gap = self._relative(self.objective - least_value(reading, self.k) / self.total)
        if max(self.objective - self.lowest, abs(self.null)) <= self._exact(look):
            gap = 0.0           # by a constant, of which nothing is left to be a share of
        if gap <= max(self.gap, tol):
            self.gap, self.gap_kind = gap, "proof"

    def _exact(self, look):
        """What rounding makes of the objective where every row is fitted exactly."""
        size = np.abs(self.coef * self.centre).sum() + abs(self.intercept) + np.abs(look.p).max(initial=0.0)
        bends = look.hessian.sum() / self.total
        sizes = abs(self.objective) + abs(self.lowest) + bends * F_ROUNDING * size**2
        return F_ROUNDING * sizes

    def _hoped(self, slopes):
        """What the bound on F - F* comes to at most, about, by the loss's slopes in w; cheap."""
        if self.l2 > 0:
            g = self._least_subgradient(slopes + self.l2 * self.coef)
            return g @ g / (2 * self.l2)
        if not self.dual:
            return np.inf
        return max(1 - self.l1 / max(np.abs(slopes).max(initial=0.0), 1e-300), 0.0) * abs(self.objective)

    def _bound(self, reading, p, slopes):
        """A bound on F - F* at predictions for which the intercept is the best.

        With l2 > 0 strong convexity bounds it by the least-norm subgradient g: ||g||^2 / (2 l2). With l1 alone the
        derivatives, scaled until no column's exceeds l1, are feasible for the dual, whose value is below F*.
        """
        if self.l2 > 0:
            g = self._least_subgradient(slopes + self.l2 * self.coef)
            return g @ g / (2 * self.l2)
        weight = reading.weight(self.k)
        counts = slice(None) if weight is None else weight > 0
        s = 1.0 if weight is None else weight[counts]
        scale = min(1.0, self.l1 / max(np.abs(slopes).max(initial=0.0), 1e-300))
        u = scale * reading.derivatives(self.k, p)[counts] / s
        dual = -(s * reading.losses[self.k].conjugate(reading.target(self.k)[counts], u))
        if reading.offset is not None:
            dual += s * u * reading.offset[counts]
        if not self.fit_intercept:
            dual += s * u * self.intercept
        return self.objective - dual.sum() / self.total

    def _least_subgradient(self, gradient):
        """The subgradient of least norm in w: the gradient of all but l1 brings it."""
        if self.l1 == 0:
            return gradient
        away = gradient + self.l1 * np.sign(self.coef)
        return np.where(self.coef == 0, gradient - np.clip(gradient, -self.l1, self.l1), away)

    def _estimate(self, decrement, last=None, look=None, hidden=0.0):
        """Half the squared decrement of an exact Newton step, for what is now behind it: F was no lower there.

        If the curvature changes by at most a factor exp(r) along steps that change no prediction by more than r, F
        falls by at most decrement r^2 / 2 / (exp(-r) + r - 1) / 2 (Bach 2010); 2 for the change beyond the step. Losses
        that are quadratic in pieces break that where rows change pieces: if that may be as much as a part of the
        decrement, nothing is known. `hidden` is what of the decrement the step may have left alone.
        """
        factor = 1.0
        if look is not None:
            change = np.abs(look.p - last.p)
            r = float(change.max(initial=0.0))
            factor = 1.0 if r < 1e-4 else r * r / 2 / (np.exp(-r) + r - 1)
            low, high = np.minimum(last.hessian, look.hessian), np.maximum(last.hessian, look.hessian)
            broken = high > (1 + BROKEN) * np.exp(min(r, 700.0)) * low
            beyond = (high - low)[broken] @ change[broken] ** 2 / self.total
            if beyond > PIECES * decrement:
                return
        self.gap, self.gap_kind = self._relative(factor * (decrement + hidden)), "estimate"

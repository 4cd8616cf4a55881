"""The certificate of dual coordinate descent: bounds on the minimum from dual variables, and the best model so far."""

from copy import copy
from functools import cached_property

import numpy as np

from sklosses.solvers._gap import F_ROUNDING, relative_gap
from sklosses.solvers._line import along
from sklosses.solvers._shift import best_shift, falls_for_ever, least_value, left_along, lowest_value, vanishes_at

# The second dual point costs a reading: it is tried where the first is within this factor of what is asked.
NEAR = 30
# Without l2: how many times its own size, and that of a step of the proximal point method, a coefficient may grow.
ROOM, STEPS = 2.0, 4.0
# Predictions beyond all kinks.
FAR = 1e100
# Coefficients are made larger or smaller by up to that share, until the objective falls this much slower than at first.
STRETCH, STILL = 0.25, 0.1
# What rounding makes of the dual's value, relative to its terms, which cancel where targets are far from 0.
CANCELLING = 2e-16
# The best constant's objective has come down to this share where it may be about to fall for ever; there, to this.
PROMISING, EXHAUSTED = 0.5, 1e-9
# The share of the tolerance that the search for the best intercept may leave.
SLACK = 1e-2


class Bound:
    """Upper and lower bounds on a column's minimum.

    Parameters
    ----------
    reading : Reading
        For targets, weights and sums of losses; it reads no rows.
    table : Table
        Of the kernel.
    k : int
        Number of the column.
    costs : tuple of three floats
        Factors of ||w||_1, of ||w||^2 / 2 and of the intercept.
    fit_intercept : bool
    state : State or None
        The first model; None: zero, and the best constant.

    Attributes
    ----------
    coef, intercept, objective
        The best model seen.
    lower : float
        The largest lower bound seen.
    bound : float
        On F - F*.
    gap, kind
        The bound on (F - F*) / F* that follows, and whether it is a proof or an estimate.
    null, null_slope, null_curvature : float
        The objective of the best constant, counted from `lowest`, and the means of its absolute slopes and of its
        second derivatives, 0 with kinks.
    lowest : float
        Below which no model's objective is.
    readings : int
        Of the table.
    reach : float
        The inverse of the strength of the proximal term, 0 without.
    ran_away : bool
        Whether it is known that there is no minimum: see `runs_away`.
    work, past : int, list
        Epochs so far, and pairs of what they were and the objective at each look.
    """

    def __init__(self, reading, table, k, costs, fit_intercept, state):
        self.reading, self.table, self.k, self.fit_intercept = reading, table, k, fit_intercept
        self.l1, self.l2, self.cost = map(float, costs)
        self.loss, self.total, self.n_rows = reading.losses[k], float(reading.totals[k]), reading.n_rows
        self.weight = reading.weight(k)
        self.target = np.ascontiguousarray(reading.target(k))
        self.offset = np.zeros(self.n_rows) if reading.offset is None else reading.offset.copy()
        d = reading.n_features
        self.coef = np.zeros(d) if state is None else np.array(state.coef[k], dtype=np.float64)
        given = 0.0 if state is None else float(state.intercept[k])
        best = best_shift(reading, k, self.offset, cost=self.cost * self.total) if fit_intercept else given
        self.intercept = best if state is None else given
        self.known = self.offset if fit_intercept else self.offset + given     # what no coefficient changes
        slopes, bends = np.empty(self.n_rows), np.zeros(self.n_rows) if self.loss.traits.smooth else None
        self.lowest = lowest_value(reading, k) / self.total
        value = reading.sweep(k, self.offset + best, gradient=slopes, hessian=bends)
        self.null = value / self.total - self.lowest + self.cost * best
        self.null_curvature = 0.0 if bends is None else float(bends.sum()) / self.total
        self.fixed = 0.0 if fit_intercept else self.cost * given
        self.null_slope = float(np.abs(slopes).sum()) / self.total
        # No model is taken that is not better than the best constant: where that is the minimum coefficients are 0.
        self.objective = self.null + self.lowest if state is None and self.cost == 0 else np.inf
        self.lower, self.bound, self.gap = -np.inf, np.inf, np.inf
        self.provable = self.l2 > 0 and self.loss.traits.has_conjugate
        self.stretchy = self.l2 > 0 and self.cost == 0 and not self.loss.traits.smooth
        self.kind = "proof" if self.provable else "estimate"
        self.least = least_value(reading, k) / self.total if self.cost == 0 else -np.inf
        self.readings, self.reach, self.blur = 0, 0.0, 0.0
        self.work, self.past = 0, []
        self.ran_away = False

    def beside(self, l1, l2):
        """A bound for other costs on the same rows, without a model: what is known of the rows is shared."""
        other = copy(self)
        other.l1, other.l2, other.past = l1, l2, []
        other.ends = self.ends
        other.provable = l2 > 0 and self.loss.traits.has_conjugate
        other.kind = "proof" if other.provable else "estimate"
        return other

    @cached_property
    def ends(self):
        """The ends of the range of each row's slopes."""
        return tuple(self.loss.gradient(self.target, np.full(self.n_rows, far)) for far in (-FAR, FAR))

    # The bounds -----------------------------------------------------------------------------------------------------

    def look(self, coef, intercept, dual, tol):
        """Bounds at coefficients and dual variables: one reading, or two."""
        u, multiple = self.feasible(dual["u"])
        p, back = self.table.look(coef, multiple)
        self.readings += 1
        p, slopes = self.judge((coef, intercept, p), (u, dual["at"], back), tol)
        if self.loss.traits.smooth and tol < self.gap <= NEAR * tol:
            if self.weight is not None:
                slopes = np.divide(slopes, self.weight, out=np.zeros_like(slopes), where=self.weight > 0)
            u, multiple = self.feasible(slopes)
            _, back = self.table.look(None, multiple)
            self.readings += 1
            self._raise(self._lower(u, p, back))
        self.past.append((self.work, self.objective))

    def feasible(self, u):
        """Dual variables that satisfy the intercept's constraint, and what their rows are to be added up with."""
        u = self._balanced(u)
        return u, self._weighted(u) / self.total

    def judge(self, model, dual, tol):
        """Bounds by what a reading has found: model (coef, intercept, X coef), dual (u feasible, at, X'u / S).

        Returns
        -------
        p, slopes : ndarray of shape (n_rows,)
            Predictions with the best intercept, and the loss's slopes there, times the weights.
        """
        coef, intercept, p = model
        if self.l2 == 0:        # a lower bound that is an estimate belongs to the coefficients it was made with
            self.lower = -np.inf
        p, slopes, _ = self._try(p, coef, intercept, tol)
        self._raise(self._lower(*dual))
        return p, slopes

    def improve(self, coef, intercept, tol):
        """Whether coefficients are better than the best so far, which they become then: one reading."""
        p, _ = self.table.look(coef, None)
        self.readings += 1
        _, _, better = self._try(p, coef, intercept, tol)
        self._raise(self.lower)
        return better

    def _try(self, p, coef, intercept, tol):
        """Take a model if it is the best so far: predictions with its intercept, slopes there, and whether it is.

        The intercept, and with kinks the size of the coefficients, are the best for their direction.
        """
        alone = p.copy() if self.stretchy else None
        p += self.offset
        if self.fit_intercept:
            room = SLACK * tol * abs(self.objective if np.isfinite(self.objective) else self.null)
            intercept = best_shift(self.reading, self.k, p, intercept, room * self.total, self.cost * self.total)
        p += intercept
        more = self._stretch(p, alone, coef) if self.stretchy else 0.0
        if more:
            p += more * alone
            coef = (1 + more) * coef
            if self.fit_intercept:
                shift = best_shift(self.reading, self.k, p, 0.0, room * self.total, self.cost * self.total)
                p, intercept = p + shift, intercept + shift
        slopes = np.empty(self.n_rows)
        value = self.reading.sweep(self.k, p, gradient=slopes) / self.total
        objective = value + self._penalty(coef) + self.cost * intercept
        better = objective < self.objective - F_ROUNDING * abs(objective)
        if better:
            self.objective, self.coef, self.intercept = objective, coef, intercept
        return p, slopes, better

    def _stretch(self, p, alone, coef):
        """By what share larger coefficients would be better.

        Slopes within a kink's range say that a prediction stays there, where it is a little off to either side: it
        costs unlike sums.
        """
        norm, square = self.l1 * np.abs(coef).sum(), self.l2 * float(coef @ coef)
        most = min(STRETCH, self.gap)       # the last model's
        for reach in (most, -most):
            end = p + reach * alone

            def slope(t, reach=reach, end=end):
                rise = self.reading.along(self.k, p, end, t)[1] / self.total
                return rise + reach * (norm + (1 + reach * t) * square)

            share = along(slope, STILL)
            if share > 0:
                return reach * share
        return 0.0

    def _raise(self, lower):
        self.lower = max(self.lower, lower)
        value = self.objective - self.lowest
        bound = max(self.objective - self.lower, 0.0) + F_ROUNDING * abs(self.objective) + self.blur
        if self.l2 == 0:
            bound = self._doubted(bound, value)
        self.bound, self.gap = bound, relative_gap(value, bound, self.null)
        # Where rows are fitted exactly, each row's least loss is the better bound, and no estimate.
        away = self.objective - self.least
        gap = relative_gap(value, away, self.null)
        self.kind = "proof" if self.provable or gap < self.gap else "estimate"
        if gap < self.gap:
            self.bound, self.gap = away, gap

    @property
    def endless(self):
        """Whether there is no minimum: without a penalty the loss falls as coefficients grow."""
        return self.ran_away or (
            self._may_fall_for_ever and self.loss.traits.smooth and falls_for_ever(self._left_along()))

    @property
    def _may_fall_for_ever(self):
        return self.l1 == 0 and self.l2 == 0 and self.cost == 0

    def _left_along(self):
        p, _ = self.table.look(self.coef, None)
        return left_along(self.reading, self.k, p + self.intercept + self.offset)

    def runs_away(self):
        """Whether it is known that there is no minimum; then the model goes where next to nothing is left of the loss.

        A loss whose curvature may not vanish all at once is nowhere at its least: where multiples of the coefficients
        bring it down to nothing, none of them is the last.
        """
        may = self._may_fall_for_ever and self.loss.traits.self_concordance < np.inf and (
            self.fit_intercept or self.intercept == 0)
        if not may or not self.objective - self.lowest < PROMISING * self.null:
            return False
        left = self._left_along()
        self.readings += 1
        share = vanishes_at(left, EXHAUSTED * self.null * self.total)
        if not share:
            return False
        self.coef, self.intercept = share * self.coef, share * self.intercept
        self.objective = self.lowest + left(share) / self.total
        self._raise(-np.inf)
        self.ran_away = True
        return True

    def _doubted(self, bound, value):
        """An estimate, made larger where the coefficients may still be far from the solution's.

        That they are shows in an estimate that is itself a good part of F. Without any penalty there may be no
        solution, and F falls for ever, like the inverse of the number of epochs at the slowest: three times what the
        last half of them brought is then no less than what is to come.
        """
        bound = max(bound, 0.0) * (1 + max(bound, 0.0) / max(value, 1e-300))
        if self.l1 > 0:
            return bound
        halfway = [objective for readings, objective in self.past if 2 * readings <= self.work]
        return max(bound, 3 * (halfway[-1] - self.objective) if halfway else value)

    def _penalty(self, coef):
        return self.l1 * np.abs(coef).sum() + 0.5 * self.l2 * (coef @ coef)

    def _weighted(self, u):
        return u if self.weight is None else np.where(self.weight > 0, self.weight * u, 0.0)

    def _balanced(self, u):
        """Dual variables that satisfy the intercept's constraint: those of the heavier sign are scaled.

        Where that does not suffice, all move towards the low end of their range, however far where there is none.
        """
        if not self.fit_intercept:
            return np.array(u)
        weighted = self._weighted(u)
        above, below = float(np.maximum(weighted, 0.0).sum()), -float(np.minimum(weighted, 0.0).sum())
        goal = self.cost * self.total       # of below - above
        if above > below - goal and below >= goal:
            return np.where(u > 0, u * ((below - goal) / above), u)
        if below - goal >= above:
            return np.where(u < 0, u * ((above + goal) / below), u) if below > 0 else np.array(u)
        low = self.loss.gradient(self.target, np.full(self.n_rows, -FAR))
        ends = low > -FAR
        down = np.where(ends, u - low, 1.0)
        lacks, most = above - below + goal, float(self._weighted(down).sum())
        if np.all(ends) and lacks > most * (1 + 1e-12):
            return low - 1.0        # which no dual variable can be: the cost is more than all losses together
        return u - down * (min(lacks / most, 1.0) if np.all(ends) else lacks / most)

    def _lower(self, u, at, back):
        """A lower bound on the minimum from feasible dual variables and X'u / S."""
        lower = self._value(u, at)
        beyond = np.maximum(np.abs(back) - self.l1, 0.0)
        if self.l2 > 0:
            return lower - float(beyond @ beyond) / (2 * self.l2)
        return lower - float(beyond @ self._largest(beyond))

    def dual_value(self, u, coef, every=1):
        """The dual's value where `coef` belongs to `u`, nearly: the constraint is not looked at, nor is the table.

        With conjugates of each `every`-th row, whose dual variables `u` holds.
        """
        if every == 1:
            return self._value(u, self.offset) - 0.5 * self.l2 * float(coef @ coef)
        weight = np.ones(len(u)) if self.weight is None else self.weight[::every]
        value = weight @ (u * self.known[::every] - self.loss.conjugate(self.target[::every].copy(), u))
        return float(value) / (weight.sum() or 1.0) + self.fixed - 0.5 * self.l2 * float(coef @ coef)

    def _value(self, u, at):
        """The rows' part of the dual: (1/S) sum_i s_i (u_i o_i - phi*(u_i))."""
        if self.loss.traits.has_conjugate:
            conjugate = self.loss.conjugate(self.target, np.ascontiguousarray(u))
        else:
            conjugate = _conjugate(self.loss, self.target, u, at)
        self.blur = CANCELLING * float(np.abs(self._weighted(conjugate)).sum()) / self.total
        return float(np.sum(self._weighted(u * self.known - conjugate))) / self.total + self.fixed

    def _largest(self, beyond):
        """How large the solution's coefficients might be."""
        return ROOM * np.abs(self.coef) + STEPS * self.reach * beyond

    # A start --------------------------------------------------------------------------------------------------------

    def first(self, kappa):
        """The least dual variables that satisfy the constraint, the v that belongs to them, and the best intercept."""
        u = self._balanced(np.zeros(self.n_rows))
        _, back = self.table.look(None, self._weighted(u) / self.total)
        v = -back / kappa
        p, _ = self.table.look(v - np.clip(v, -self.l1 / kappa, self.l1 / kappa), None)
        self.readings += 2
        p += self.offset
        return u, v, best_shift(self.reading, self.k, p, cost=self.cost * self.total)

    def slopes(self, mu):
        """Slopes at the model as dual variables, for a problem with (mu / 2) ||w - coef||^2 added.

        Where the penalty is weak, the coefficients that belong to slopes can be far from those that the slopes were
        taken at. The dual tells what share of them is better than all.

        Returns
        -------
        u, at, curvature : ndarray of shape (n_rows,)
        back : ndarray of shape (n_features,)
            X'u / S
        share : float
            How much of u and back to take.
        """
        p, _ = self.table.look(self.coef, None)
        p += self.offset + self.intercept
        u, curvature = np.empty(self.n_rows), np.empty(self.n_rows)
        with np.errstate(over="ignore", invalid="ignore"):
            self.reading.sweep(self.k, p, gradient=u, hessian=curvature)
        if self.weight is not None:
            counts = self.weight > 0
            u, curvature = (np.divide(a, self.weight, out=np.zeros_like(a), where=counts) for a in (u, curvature))
        _, back = self.table.look(None, self._weighted(u) / self.total)
        self.readings += 2
        best, share = -np.inf, 0.0
        for trial in (1.0, 0.7, 0.4, 0.2, 0.1, 0.03):
            value = self._value(trial * u, p) + self._least(trial * back, mu)
            if not value > best:
                break
            best, share = value, trial
        return u, p, curvature, back, share

    def _least(self, back, mu):
        """The least of l1 ||w||_1 + (l2 / 2) ||w||^2 + (mu / 2) ||w - coef||^2 + back.w."""
        kappa = self.l2 + mu
        w = (mu * self.coef - back) / kappa
        w -= np.clip(w, -self.l1 / kappa, self.l1 / kappa)
        away = w - self.coef
        return self._penalty(w) + 0.5 * mu * float(away @ away) + float(back @ w)


def _conjugate(loss, y, u, at):
    """sup_q (u q - phi(y, q)) by Newton's method from `at`, where the slope is nearly u.

    What the last step would still have brought is added, twice: the supremum is not underestimated by much.
    """
    q = np.where(np.isfinite(at), at, 0.0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for _ in range(20):
            rest = loss.gradient(y, q) - u
            step = np.clip(-rest / np.maximum(loss.hessian(y, q), 1e-300), -1.0, 1.0)
            if np.all(np.abs(rest) <= 1e-14 * np.abs(u)):
                break
            q = q + step
        return u * q - loss.value(y, q) + 2 * np.abs(rest * step)

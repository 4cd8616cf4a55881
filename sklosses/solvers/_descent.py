"""One column on its way down: steps and line searches, whoever reads the rows.

The methods that descend are generators: they yield (coefficients, intercept) where they want to look, and are sent what
a reading of the rows found there. So one reading serves all columns of a problem.
"""

import numpy as np

from sklosses.solvers._bands import bound_by_bands, by_bands, first_band
from sklosses.solvers._centred import CONSTANT
from sklosses.solvers._certified import PIECES, Certified
from sklosses.solvers._curvature import Curvature, rank
from sklosses.solvers._gap import F_ROUNDING
from sklosses.solvers._head_start import descend
from sklosses.solvers._line import along, beyond
from sklosses.solvers._shift import MANY, best_shift
from sklosses.solvers._some_rows import ONE_OF, AllRows

# A stage on a sample ends when half the squared Newton decrement is below this part of the sample's own error, d / m F.
STAGE_TOL = 0.1
STAGE_STEPS = 30
# A step is taken if it brings this part of what its slope promises.
ARMIJO = 1e-4
# A step that is too long is cut where the slope is down to this share.
FLATTER = 0.1
# The Gram matrix of d features takes the time of 2 + d / 30 readings (measured from d = 10 to 1500), and saves all
# steps but about 3. A step, whatever the table, takes the time of so many multiply-adds of a reading besides; where the
# matrix costs less than this many steps, each has its own.
GRAM_READINGS, FEATURES_A_READING, STEPS_SAVED, MULTIPLY_ADDS_A_STEP, CHEAP = 2, 30, 3, 5e5, 0.25
# Some of the rows certify where that takes less than so many steps.
CERTIFICATE_STEPS = 2.0
# Where they do not, though a decrement is by so much as small as they would need, they never will.
UNLIKELY = 1e-2
# A bound that falls by less than this share a step says that the model does not see what is left.
UNSEEN = 0.5
# Steps beyond what an estimate says, towards a proof by the dual: its gap is of first order in what is left.
PROOF_STEPS = 12
# Proofs ask for decrements below the goal.
GOAL_SHARE = 1e-2
# An exact step that leaves more of the decrement than this is at the limit of precision.
STALLED = 0.1
# A step of less than this share of what was proposed asks for damping: at first this much of the largest curvature.
# Curvature that has been kept up to date for some steps is not damped by more than this, but made anew.
SHORT, LEAST_DAMPING, MOST_DAMPING, STALE_DAMPING = 0.25, 1e-3, 1e6, 1.0
# So many short steps, each other step making up for a part of one, call for a descent by bands; so many of those, each
# with a first band of this share of the last one's at most.
SHORT_STEPS, MENDS, DESCENTS, NEXT_WIDTH = 2, 0.5, 4, 0.1
# Readings that descents by bands leave for their estimate; of few readings a quarter.
RESERVE = 25
# So many times the best constant's objective is not where to begin.
BAD = 2.0
# A start is near the minimum where a Newton step on some rows promises to take this share of the objective, beside
# their own error, d / m of it: then samples know no better. Curvature of all rows that takes up to so many readings is
# the first thing to have there; with more features that of these rows is where to begin.
NEAR, AT_ONCE = 0.05, 4.0
# Of a quadratic loss a Gram matrix that takes up to so many readings saves the samples, and most steps.
ONE_GRAM = 10.0
# Curvature, relative to the features' own, that is lent to losses where they have none.
STRAIGHT = 1e-8
# The relative error of a sum over rows, with room.
ROUNDING = 1e-14
# What rounding makes of predictions whose large parts cancel, relative to these.
CANCELLING = 2e-16
# Slopes this near the penalty's, relative, leave a coefficient free to move.
FREE = 1e-6
# The objective of the best constant is one to this share, where there are many rows: it is a scale and a start.
ABOUT = 1e-4
# Gaps up to this are at the limit of precision: no tolerance below it is missed.
LEAST_TOL = 1e-9


class Column(Certified):
    """A column of coefficients and what is known of it.

    Coefficients are those of centred features: with the centre m, predictions are (x - m).w + c and the intercept is
    b = c - m.w. Steps and gradients are vectors of w and then c.

    Parameters
    ----------
    problem : Problem
    reading : Reading
        Of all rows.
    k : int
        Number of the column.
    penalty : tuple of two floats
        Factors of ||w||_1 and of ||w||^2 / 2.
    state : State or None
        Where to start.

    Attributes
    ----------
    coef, intercept, objective, gap, gap_kind
        The model as it is now; objective and gap of the rows last used. The gap is nan if the loss is not convex.
    reached : bool
        Whether the tolerance is.
    endless : bool
        Whether there is no minimum.
    hasty : bool
        Whether steps on all rows begin with a head start.
    at_once : bool
        Whether a matrix of all rows is where to begin, which then proves what it leads to.
    """

    solver = "newton"
    told_by_some = True         # whether some rows tell if its start is near the minimum
    alone = False       # it reads the table, in threads

    def __init__(self, problem, reading, k, penalty, state):
        super().__init__(problem, reading, k, penalty)
        self.coef = np.zeros(reading.n_features) if state is None else np.array(state.coef[k], dtype=np.float64)
        self.intercept = 0.0 if state is None else float(state.intercept[k])
        self.reached = self.hasty = self.at_once = False
        p = np.zeros(reading.n_rows) if reading.offset is None else reading.offset.copy()
        best = self._best_constant(reading, p) if self.fit_intercept else 0.0
        if state is None and self.fit_intercept:
            self.intercept = best
        self.best = best
        self.null = reading.along(k, p, None, best)[0] / self.total - self.lowest
        self.centre = None
        self.constant, self.any_constant = np.zeros(reading.n_features, dtype=bool), False
        self.curvature = None
        self.made = 0           # curvatures of all rows so far
        self.ridge = 0.0        # of a stage: see `on_sample`
        self.slopes = None      # of the loss alone in the coefficients, at the end
        self.last = None        # the look there, where there may be a choice of minimisers
        self.length = 1.0       # of the last step, as a share of what the model proposed
        self.damping = 0.0      # see `_damp`
        self._variances = None
        self.bounded = self.convex and reading.traits[k].curvature < np.inf
        self.is_near = False    # whether samples have nothing to add to where it starts
        # How often steps were short of late, whether one had no curvature to go by; descents by bands, and how wide a
        # band the next one needs at most.
        self.shorts, self.lost, self.descents, self.width = 0.0, False, 0, np.inf
        # Near the minimum for other rows, where this place may pass as one for these: but it knows those others.
        self.must_step = state is not None and state.near is not None
        if self.must_step:
            self.centre, matrix = state.near[k]
            self.curvature = Curvature(matrix.copy())

    def _best_constant(self, reading, p):
        """The best intercept without coefficients: of many rows about, from a few of them if those know."""
        start = best_shift(reading, self.k, p, few=True)
        if reading.n_rows <= MANY:
            return start
        room = ABOUT * abs(reading.along(self.k, p, None, start)[0] - self.lowest * self.total)
        return best_shift(reading, self.k, p, start, room)

    def knowledge(self):
        """What serves to start near here, with other rows; None if too little is known."""
        return None if self.curvature is None else (self.centre, self.curvature.matrix)

    def is_quadratic(self, reading):
        """Whether one matrix of all rows is all there is to know, and takes less time than samples and steps."""
        known = self.convex and reading.traits[self.k].self_concordance == 0 and reading.losses[self.k].has_hessian
        return known and not reading.sparse and self._gram_readings() <= ONE_GRAM

    def settle(self, reading, look):
        """Take the model as it is, for want of time: a look at it on all rows is all there is."""
        self.total, self.ridge, self.gap = reading.totals[self.k], 0.0, np.inf if self.convex else np.nan
        self.objective = self.value_of(look, self.coef)

    # What a look says -----------------------------------------------------------------------------------------------

    def value_of(self, look, coef):
        """The objective at coefficients, of a look at them."""
        value = look.value / self.total + 0.5 * (coef * (self.l2 + self.ridge)) @ coef
        return value + self.l1 * np.abs(coef).sum() if self.l1 > 0 else value

    def gradient_of(self, look, coef):
        """With respect to w and c, of all but the l1 penalty."""
        slope = look.slope / self.total
        out = np.empty(len(coef) + 1)
        of_coef = look.product / self.total - self.centre * slope
        if self.any_constant:
            of_coef[self.constant] = 0.0
        out[:-1] = of_coef + (self.l2 + self.ridge) * coef
        out[-1] = slope if self.fit_intercept else 0.0
        return out

    def _second(self, look):
        """Second derivatives of the loss, 0 where it is concave: what a step down can use of them."""
        return look.hessian if self.convex else np.maximum(look.hessian, 0.0)

    def matrix_of(self, reading, second):
        """The Hessian with respect to w and c, from the loss's second derivatives: one reading."""
        matrix = reading.gram(second, self.centre) / self.total
        diagonal = np.einsum("ii->i", matrix)       # a view
        if not np.isfinite(diagonal).all():
            raise OverflowError("The squares of X do not fit into float64.")
        self._find_constant(reading, diagonal[:-1], second)
        if self.any_constant:
            matrix[:-1][self.constant] = 0.0
            matrix[:, :-1][:, self.constant] = 0.0
        if not self.fit_intercept:
            matrix[-1] = matrix[:, -1] = 0
        diagonal[:-1] += self.l2 + self.ridge
        return matrix

    def _find_constant(self, reading, diagonal, second):
        """What is left of a constant column without its mean is rounding: in all rows, not only those that bend.

        Where all of them bend the diagonal of the Hessian tells, and no row is read.
        """
        mass = second.sum() / self.total
        if not mass > 0:
            return
        least = (CONSTANT * self.centre) ** 2
        self.constant = diagonal <= least * mass
        bends = second.min() if reading.weights is None else 0.0
        if np.any(self.constant & (diagonal > least * bends)) or (bends == 0 and self.constant.any()):
            self.constant &= self.variances_of(reading) <= least
        self.any_constant = self.constant.any()

    def _curvature_at(self, reading, look):
        """Gradient and curvature of all rows of a reading at a look, and whether the curvature is the objective's own.

        Where all rows are on straight parts of their losses, as those of huber's far from the solution, nothing
        bounds a step. A little of the features' own Gram matrix does, and leaves its length to the line search.
        """
        matrix = self.matrix_of(reading, self._second(look))
        gradient = self.gradient_of(look, self.coef)      # now that it is known which columns are constant
        curvature = Curvature(matrix)
        if not self.is_lost(reading, look, gradient, curvature):
            return gradient, curvature, True
        self.lost = True
        features = self.matrix_of(reading, reading.mass(self.k))
        steepest = min(1.0, reading.traits[self.k].curvature)
        return self.gradient_of(look, self.coef), Curvature(matrix + STRAIGHT * steepest * features), False

    def is_lost(self, reading, look, gradient, curvature):
        """Whether there is a way down that no curvature bounds."""
        diagonal, down = np.diag(curvature.matrix), gradient
        if self.l1 > 0:         # which holds what matrices of dependent features do not
            if np.all(diagonal[:-1] > 0) and (diagonal[-1] > 0 or not self.fit_intercept):
                return False
            down = np.where(diagonal > 0, 0.0, np.append(self._least_subgradient(gradient[:-1]), gradient[-1]))
        if curvature.explains(down):
            return False
        down = np.where(np.abs(down) > ROUNDING * self.sizes(reading, look), down, 0.0)
        worth = down @ np.divide(down, diagonal, out=1e300 * down, where=diagonal > 0)
        return worth > self._noise(look)

    def moved(self, step):
        """(coef, intercept) after a step."""
        coef = self.coef + step[:-1]
        return coef, self.intercept + step[-1] - self.centre @ step[:-1]

    def _begin(self, reading):
        """The first look. Where a constant is better than the coefficients of other rows, they are shortened.

        As those of a loss that grows exponentially are, where a sample did not have the largest rows.
        """
        look = yield self.coef, self.intercept
        if self.value_of(look, self.coef) - self.lowest <= BAD * self.null or not np.any(self.coef):
            return look
        best = self.best if self.fit_intercept else self.intercept
        start = np.full(reading.n_rows, best) if reading.offset is None else reading.offset + best
        coef, self.coef = self.coef, np.zeros_like(self.coef)
        share = self._along(reading, start, look.p, np.append(coef, 0.0))
        self.coef, self.intercept = share * coef, best + share * (self.intercept - best)
        return (yield self.coef, self.intercept)

    def compare(self, sample):
        """Look at a sample of the rows: is the start near the minimum? A generator, as those that descend."""
        if not sample.totals[self.k] > 0:
            return
        self.total, whole = sample.totals[self.k], self.total
        self._find_centre(sample)
        look = yield self.coef, self.intercept
        self.objective = self.value_of(look, self.coef)
        p = np.zeros(sample.n_rows) if sample.offset is None else sample.offset
        best = self.best if self.fit_intercept else self.intercept
        if self.objective < sample.along(self.k, p, None, best)[0] / self.total:
            gradient, curvature, _ = self._curvature_at(sample, look)
            promised = self.promised(gradient, curvature.step(gradient, self.coef, self.l1))
            near = NEAR + len(self.coef) / sample.n_rows
            self.is_near = bool(promised / 2 <= near * (self.objective - self.lowest))
            if self.is_near and self._gram_readings() > AT_ONCE:
                self.curvature = curvature
        self.total, self.any_constant = whole, False        # which columns are constant all rows have to say

    def _find_centre(self, reading, pieces=None):
        """The features' means, or about: those of some pieces of the rows."""
        if not self.fit_intercept:
            self.centre = np.zeros(len(self.coef))
            return
        ones = reading.mass(self.k)
        if pieces is not None and (total := sum(ones[piece].sum() for piece in pieces)) > 0:
            self.centre = sum(ones[piece] @ reading.rows_of(piece) for piece in pieces) / total
        else:
            self.centre = reading.back(ones) / ones.sum()

    # The way down ---------------------------------------------------------------------------------------------------

    def on_sample(self, sample):
        """Newton's method on a sample, to its statistical error.

        Each column gets a ridge of its curvature bound over the number of rows, so that coefficients of columns which
        the sample hardly saw stay where other samples might have them.
        """
        if not sample.totals[self.k] > 0:
            return              # no row of it counts
        self.total, whole, self._variances = sample.totals[self.k], self.total, None
        self._find_centre(sample)
        look = yield from self._begin(sample)
        diagonal = np.maximum(sample.squares(self._second(look), self.centre), 0.0) / self.total
        self.ridge = diagonal / sample.n_rows
        fresh = self.curvature is None      # the last stage's makes the first step: its end has to know better
        if not fresh:
            self.curvature.raise_diagonal(np.where(diagonal > 0, diagonal + self.ridge + self.l2, 0.0))
        for _ in range(STAGE_STEPS):
            self.objective = self.value_of(look, self.coef)
            gradient = self.gradient_of(look, self.coef)
            if fresh:
                gradient, self.curvature, _ = self._curvature_at(sample, look)
            step = self.curvature.step(gradient, self.coef, self.l1)
            fall = self.promised(gradient, step)
            if fresh and fall / 2 <= STAGE_TOL * len(self.coef) / sample.n_rows * abs(self.objective - self.lowest):
                break
            before = look
            look = yield from self._advance(sample, look, step, fall)
            if fresh and self._is_cut():
                look = yield from self._by_bands(sample, look)
            if look is before and fresh:
                break
            fresh = True
        self.total, self.ridge = whole, 0.0

    def on_all_rows(self, reading, tol, goal, budget):
        """Down to a relative gap of `goal` on all rows, in about `budget` readings.

        Where the goal is out of reach and an estimate says no more than rounding is left, a proof of `tol` is tried.
        The curvature of a sample makes the first steps, kept up to date by BFGS. That of all rows takes its place
        where it serves badly, and where an estimate asks for it.
        """
        look = yield from self._begin_all(reading, budget)
        before, tries, kept = np.inf, PROOF_STEPS if self.dual else 0, min(RESERVE, 0.25 * budget)
        while not self._falls_for_ever(reading, look):
            self.objective = self.value_of(look, self.coef)
            self.blur = CANCELLING * self._cancelled(look)
            gradient = self.gradient_of(look, self.coef)
            spent = reading.readings >= budget - (kept if self.descents else 0.0)
            if not self.must_step and ((self.at_once and self._known_prove(look, goal))
                                       or self._proves(reading, look, gradient, goal) or spent):
                break
            model = self._model(reading, look, gradient, before, goal)
            if model is None:
                break
            (gradient, step, decrement, fresh, exact), self.must_step = model, False
            if fresh and decrement <= self._noise(look):
                if exact:       # though it may still shrink: the next step may be shorter than float64 can tell
                    self._estimate(abs(decrement) + self._hidden(reading, look, gradient, step, abs(decrement)))
                if not 0 < decrement <= STALLED * before and (not decrement > 0 or (tries := tries - 1) < 0):
                    break
            last, before = look, decrement
            hidden = self._hidden(reading, look, gradient, step, decrement) if exact and not self.provable else 0.0
            look = yield from self._advance(reading, look, step, decrement, held=hidden > decrement)
            if fresh and self._is_cut():
                look = yield from self._by_bands(reading, look, budget - kept)
                self.curvature, self.damping, before = None, 0.0, np.inf
                self.objective = self.value_of(look, self.coef)
                if not (self.provable or self.dual):
                    self._bound_by_bands(reading, look, goal, budget)
                if self.gap <= goal:
                    break
                continue
            if exact and self.length == 1 and not self.provable:
                self._estimate(decrement, last, look, hidden)
                if self.gap <= goal and (tries := tries - 1) < 0:
                    break
            if look is not last and not fresh and self.damping > STALE_DAMPING:
                self.curvature, self.damping = None, LEAST_DAMPING
            elif look is not last and not self._is_anew(reading):
                self.curvature.update(step, self.gradient_of(look, self.coef) - gradient)
            elif look is last and fresh and self.damping > MOST_DAMPING:
                break
            elif look is last and not fresh:        # this curvature knows no way down
                self.curvature = None
        self._end(reading, look, tol, goal, budget)
        self.slopes = self.gradient_of(look, self.coef)[:-1] - self.l2 * self.coef
        self.last = look if self.l2 == 0 else None
        if not self.convex:     # a stationary point, and no more is known
            self.gap, self.gap_kind = np.nan, None

    def _begin_all(self, reading, budget):
        """The first look at all rows; curvature of a sample learns of it, which may hardly have seen some columns."""
        self._variances = None       # of a sample
        if self.centre is None:
            self._find_centre(reading, reading.scattered if self.at_once and reading.n_rows > MANY else None)
        if self.hasty and self.curvature is None:
            descend(self, reading, budget)
        look = yield from self._begin(reading)
        if self.curvature is not None:
            second = self._second(look)
            diagonal = reading.squares(second, self.centre) / self.total
            # What a sample has not seen may be no constant.
            self._find_constant(reading, diagonal, second)
            self.curvature.raise_diagonal(np.where(diagonal > 0, diagonal + self.l2, 0.0))
        return look

    def _end(self, reading, look, tol, goal, budget=0.0):
        """The certificate of the last place; where there is none, an estimate by so many readings."""
        self.objective = self.value_of(look, self.coef)
        if self.gap > goal or self.gap_kind != "proof":
            gradient = self.gradient_of(look, self.coef)
            proven = self._proves(reading, look, gradient, max(tol, goal, LEAST_TOL))
            if not proven and self.provable and self.gap > max(tol, goal):
                self._proves(reading, look, gradient, np.inf)       # a bound out of reach of the tolerance is one too
        self._is_least(reading, look, max(tol, goal))
        if self.gap > max(tol, LEAST_TOL):
            self._bound_by_bands(reading, look, max(tol, goal), budget)
        least = F_ROUNDING * abs(self.null) / max(self.objective - self.lowest, 1e-300)
        self.reached = self.gap <= max(tol, LEAST_TOL, least) and not self.endless

    def _bound_by_bands(self, reading, look, tol, budget):
        """An estimate for losses whose curvature is of no use for one, if they have a bounded slope."""
        if self.bounded and reading.traits[self.k].lipschitz < np.inf:
            gap = self._relative(bound_by_bands(self, reading, look, tol, budget))
            if gap < self.gap:
                self.gap, self.gap_kind = gap, "estimate"

    def may_choose(self, reading):
        """Whether there may be minimisers with other predictions: the loss is flat where the features are not."""
        if np.all(self.last.hessian != 0):
            return False
        free = self.free()
        second = self.matrix_of(reading, self._second(self.last))[:-1, :-1]
        features = self.matrix_of(reading, reading.mass(self.k))[:-1, :-1]
        return rank(second, free) < rank(features, free)

    def free(self):
        """Coefficients that an l1 penalty, as far as the loss's slopes say, does not hold at 0."""
        return np.abs(self.slopes) >= (1 - FREE) * self.l1

    def with_ridge(self, problem, reading, ridge):
        """The same column, here, with an l2 penalty."""
        column = Column(problem, reading, self.k, (self.l1, ridge), None)
        column.coef, column.intercept, column.centre = self.coef.copy(), self.intercept, self.centre
        return column

    def _is_anew(self, reading):
        """Whether curvature is computed anew for each step: it costs less than what it saves.

        Steps that go back and forth between pieces of a loss end when curvature is an average over them.
        """
        return self._price(reading) < CHEAP and self.made < STAGE_STEPS

    def _model(self, reading, look, gradient, before, goal):
        """The quadratic model at a look: gradient, step, squared decrement.

        And whether its curvature is that of all rows here, and if so the objective's own, undamped. None where the goal
        is proven.
        """
        if self.curvature is not None and not self._is_anew(reading):
            short, price = self.length < 1, self._price(reading)
            if self._damp(reading, look):
                before = np.inf             # decrements of different damping do not compare
            step = self.curvature.step(gradient, self.coef, self.l1)
            decrement = self.promised(gradient, step)
            cheap = 2 * price <= CERTIFICATE_STEPS * ONE_OF
            if cheap and not self.must_step and self._few_prove(reading, look, decrement, goal):
                return None
            # A step that had to be cut took readings to find that out, and brought little.
            misled = (short and price < STEPS_SAVED) or self._is_slow(price, decrement, before, goal)
            if not (misled or self._needs_exact(decrement, goal)):
                return gradient, step, decrement, False, False
        gradient, self.curvature, own = self._curvature_at(reading, look)
        self.made += 1
        if self.at_once and own:
            self.few = AllRows(self.curvature.matrix)
        self._damp(reading, look)
        step = self.curvature.step(gradient, self.coef, self.l1)
        return gradient, step, self.promised(gradient, step), True, own and self.damping == 0

    def _damp(self, reading, look):
        """Levenberg's damping, in proportion to the most curvature a column can have; returns whether it has changed.

        A column that few rows have, on straight parts of their losses just now, has hardly any: a Newton step throws
        its coefficient out of all proportion, and the line search would shorten the whole step for it.
        """
        was = self.damping
        if self.length < SHORT:
            self.damping = max(10 * self.damping, LEAST_DAMPING)
        elif self.length == 1:
            self.damping = self.damping * 0.3 if self.damping > LEAST_DAMPING else 0.0
        damping = 0.0
        if self.damping > 0:
            bound = min(reading.traits[self.k].curvature, look.hessian.max(initial=0.0))
            damping = self.damping * bound * np.append(self.variances_of(reading), 0.0)
        self.curvature.damp(damping)
        self.length = SHORT     # counted
        return self.damping != was

    def variances_of(self, reading):
        """Those of the features: read once a stage."""
        if self._variances is None:
            self._variances = reading.squares(reading.mass(self.k), self.centre) / self.total
        return self._variances

    def _price(self, reading):
        """What curvature anew costs, in steps."""
        numbers = reading.n_rows * (len(self.coef) + 1)
        return self._gram_readings() * numbers / (numbers + MULTIPLY_ADDS_A_STEP)

    def _gram_readings(self):
        """Readings that take the time of a Gram matrix."""
        return GRAM_READINGS + len(self.coef) / FEATURES_A_READING

    def _is_slow(self, price, decrement, before, goal):
        """Whether curvature anew costs less than the steps it saves, which now leave decrement / before of it."""
        if not 0 < decrement < before:
            return True
        left = np.log(max(decrement / (GOAL_SHARE * goal * abs(self.objective - self.lowest) + 1e-300), 1.0))
        if left == 0 and self.provable and self.hopes[1] > UNSEEN * self.hopes[0]:
            return True         # along directions where a sample is flat, as of columns that it has hardly seen
        steps = left / np.log(before / decrement) if before < np.inf else 0.0
        return steps > STEPS_SAVED + price

    def _needs_exact(self, decrement, tol):
        """Whether a decrement looks like the end, where an estimate takes the exact Hessian. A proof does without."""
        if self.few is not None and self.few.known:     # they may prove it, from a little nearer
            tol *= UNLIKELY / ONE_OF
        if self.dual and self.hopes[1] <= UNSEEN * self.hopes[0] < np.inf:
            return False        # a proof is on its way
        return not self.provable and decrement / 2 <= tol * abs(self.objective - self.lowest)

    def _noise(self, look):
        """Rounding of F: of its sum, and of predictions whose large parts cancel, as of features far from 0."""
        return ROUNDING * (abs(look.value) / self.total + self._cancelled(look))

    def _cancelled(self, look):
        """The size of what cancels in predictions, times the mean slope of the loss."""
        parts = np.abs(self.coef * self.centre).sum() + abs(self.intercept)
        return look.steepness * parts / self.total

    def _hidden(self, reading, look, gradient, step, decrement):
        """What may be hidden of the squared decrement where features depend on each other to rounding."""
        hidden = self.curvature.hidden(gradient, step, self.l1)
        if hidden <= PIECES * decrement:
            return hidden
        return self.curvature.hidden(gradient, step, self.l1, CANCELLING * self.sizes(reading, look))

    def sizes(self, reading, look):
        """The size of what is added up to the gradient's entries."""
        sizes = np.append(np.abs(self.centre) + np.sqrt(self.variances_of(reading)), 1.0)
        return look.steepness / self.total * sizes

    def promised(self, gradient, step):
        """By how much F falls along a step, by its slope: the squared Newton decrement."""
        if self.l1 == 0:
            return -(gradient @ step)
        w, dw = self.coef, step[:-1]
        slopes = gradient.copy()
        same = w * (w + dw) > 0         # the penalty's slope joins the gradient's: they cancel, near the minimum
        slopes[:-1][same] += self.l1 * np.sign(w[same])
        return -(slopes @ step + self.l1 * (np.abs(w + dw)[~same].sum() - np.abs(w[~same]).sum()))

    def _advance(self, reading, look, step, fall, *, held=False):
        """A step, or a part of it; the look at where it leads, or the same look where none leads down.

        Or a multiple, if what `held` it short is no part of the objective.
        """
        start, noise = self.objective, self._noise(look)
        length = 1.0
        if not fall > 0:
            return look
        for _ in range(3):
            coef, intercept = self.moved(length * step)
            if intercept == self.intercept and np.array_equal(coef, self.coef):
                break           # shorter than float64 can tell
            trial = yield coef, intercept
            end = self.value_of(trial, coef)
            # Where F can no longer tell, the step is trusted: gradients go on to shrink for a while.
            if end <= start - ARMIJO * length * fall + (noise if fall < 1e3 * noise else 0.0):
                if held and length == 1 and (
                        times := beyond(self._slope_along(reading, look.p, trial.p, step), FLATTER)) > 1:
                    coef, intercept = self.moved(times * step)
                    trial = yield coef, intercept
                self.coef, self.intercept, self.length = coef, intercept, length
                return trial
            length *= self._along(reading, look.p, trial.p, length * step)
            if length == 0:
                break
        self.length = 0.0
        return look

    def _is_cut(self):
        """Whether steps are cut again and again: then the curvature here is not what they meet."""
        self.shorts = self.shorts + 1 if self.length < SHORT else max(self.shorts - MENDS, 0.0)
        return self.bounded and self.descents < DESCENTS and (self.shorts >= SHORT_STEPS or self.lost)

    def _by_bands(self, reading, look, budget=np.inf):
        """Descend by bands, and remember how wide they have to be where this place is a start."""
        band = min(first_band(reading, self.k, look), self.width)
        self.width = band * min(NEXT_WIDTH, 3 * np.sqrt((len(self.coef) + 1) / reading.n_rows))
        self.shorts, self.lost, self.length = 0.0, False, 1.0
        self.descents += 1
        return (yield from by_bands(self, reading, look, band, budget))

    def _along(self, reading, p, end, step):
        """How much of a step to take: where F stops falling along it, to a tenth of its slope. Reads no rows."""
        return along(self._slope_along(reading, p, end, step), FLATTER)

    def _slope_along(self, reading, p, end, step):
        """The derivative of F along a step that takes predictions from `p` to `end`, as a function of its share."""
        w, dw, strength = self.coef, step[:-1], self.l2 + self.ridge

        def slope(t):
            """The derivative to the right."""
            with np.errstate(over="ignore", invalid="ignore"):
                smooth = reading.along(self.k, p, end, t)[1] / self.total + (strength * (w + t * dw)) @ dw
            at = w + t * dw
            return smooth + self.l1 * np.where(at == 0, np.abs(dw), np.sign(at) * dw).sum()

        return slope

"""Down a smooth loss of whole rows: quasi-Newton steps in a metric that knows the features' scales."""

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from sklosses.solvers._curvature import Curvature
from sklosses.solvers._line import along
from sklosses.solvers._slices import best_shifts

# A step is taken if it brings this part of what its slope promises.
ARMIJO = 1e-4
# A step that is too long is cut where the slope is down to this share.
FLATTER = 0.3
# The relative error of a sum over rows, with room; and of F itself.
ROUNDING = 1e-14
# Steps beyond what rounding lets F tell, towards a proof: gradients go on to shrink for a while.
PROOF_STEPS = 4
# Pairs of steps and changes of the gradient that are remembered.
MEMORY = 30
# Columns that vary by less than this share of their mean are constant.
CONSTANT = 1e-14
# What is added to the diagonal of a sample's blocks, relative to their mean diagonal: rare features want it.
RIDGE = 1e-2
# The decrement of quasi-Newton steps lies below the truth by a factor of 10 to 25.
DOUBT = 50.0
# A Hessian costs D / this many readings.
COLUMNS_A_READING = 12
STEPS_SAVED = 3
# Blocks are made of so many rows at least, and so many a feature. They are made anew after so many steps, or as many as
# they cost; then again after so many times as many. Of tables that have not so many times as many rows they are made
# once: where few rows a feature still bend, they are the curvature of those alone (8000 digits, scaled: 352 readings
# instead of 183).
FEWEST_ROWS, ROWS_A_FEATURE = 2000, 8
FRESH, LONGER, ENOUGH = 8, 3, 4
# A step of less than this share of what was proposed asks for damping: at first, and at most, so much.
SHORT, LEAST_DAMPING, MOST_DAMPING = 0.25, 1e-3, 1e6
# A matrix of the rows at hand is made for each step while it takes at most so many multiplications.
CHEAP = 2e8


class Whole:
    """The whole Hessian, dense, in all K (d + 1) coordinates; between renewals kept up to date by BFGS."""

    def __init__(self, descent):
        self.descent = descent
        self.curvature = None
        self.exact = False
        self.width = descent.D      # of the blocks that are made

    @property
    def ready(self):
        """Whether there is something to make steps with."""
        return self.curvature is not None

    def renew(self, reading, look):
        """Make the Hessian at a look."""
        descent, K, d = self.descent, reading.K, reading.n_features
        matrix = reading.hessian(reading.spread(look.a, descent.loss), descent.centre) / reading.total
        if not np.all(np.isfinite(np.diag(matrix))):
            raise OverflowError("The squares of X do not fit into float64.")
        descent.find_constant(np.diag(matrix)[: K * d].reshape(K, d), np.diag(matrix)[K * d :])
        still = np.flatnonzero(np.append(np.tile(descent.constant, K), np.full(K, not descent.fit_intercept)))
        matrix[still] = 0.0
        matrix[:, still] = 0.0
        reading.tie(matrix, features=descent.l1 == 0 and descent.l2 == 0)
        at = np.arange(K * d)
        matrix[at, at] += np.tile(np.where(descent.constant, 0.0, descent.l2 + descent.ridge), K)
        self.curvature, self.exact = Curvature(matrix), True

    def damp(self, damping):
        """Levenberg's damping, in proportion to the most curvature that a coefficient can have."""
        self.curvature.damp(damping * self.descent.steepest if damping > 0 else 0.0)

    def step(self, gradient, coef):
        """The step of the quadratic model."""
        return self.curvature.step(gradient, coef.ravel(), self.descent.l1)

    def update(self, step, change):
        """Learn what a step did to the gradient."""
        self.curvature.update(step, change)
        self.exact = False

    def calmest(self, gradient):
        """Newton's steps need no calming: no step, and the gradient as it is."""
        return np.zeros_like(gradient), gradient

    def wake(self, features, variances):
        """Give curvature to features of which the sample saw nothing; `variances` are those of all rows."""
        K, d = self.descent.coef.shape
        weights = np.diag(self.curvature.matrix)[K * d :]
        self.curvature.raise_diagonal(np.outer(weights, np.where(features, variances, 0.0)).ravel())

    def is_worn(self, reading, decrement, before):
        """Whether a Hessian anew costs less than the steps it saves, as decrements fall now."""
        if self.exact or not before < np.inf:
            return False
        if not 0 < decrement < before:
            return True
        goal = self.descent.goal * abs(self.descent.objective) + 1e-300
        steps = np.log(max(decrement / goal, 1.0)) / np.log(before / decrement)
        return steps > STEPS_SAVED + self.descent.D / COLUMNS_A_READING


class Blocks:
    """One block of the Hessian a class, from some of the rows; what connects them is learnt from the steps (L-BFGS).

    Where features are too many for matrices, the diagonals serve.
    """

    exact = False
    width = np.inf      # not made for each step

    def __init__(self, descent, dense):
        self.descent, self.dense = descent, dense
        self.solvers, self.pairs, self.products = None, [], np.zeros((0, 0))
        self.weights = None     # of each class, the mean curvature of its predictions
        self.scale = 1.0        # of the blocks, by the last pair: they know nothing of what connects them
        self.longer = 1.0       # of an l1 penalty: factor of the blocks
        self.age, self.renewals = 0, 0      # steps since the blocks were made, and how often they were

    @property
    def ready(self):
        """Whether there is something to make steps with."""
        return self.solvers is not None

    def renew(self, reading, look):
        """Make the blocks at a look; pairs are forgotten."""
        descent, d = self.descent, reading.n_features
        h = reading.spread(look.a, descent.loss)
        total = h.sum(axis=1, keepdims=True)
        own = h * (1 - np.divide(h, total, out=np.zeros_like(h), where=total > 0))
        self.pairs, self.products, self.scale = [], np.zeros((0, 0)), 1.0
        self.age, self.renewals = 0, self.renewals + 1
        totals = own.sum(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            diagonals = np.column_stack([reading.squares_by_class(own, descent.centre), totals])
        if not np.all(np.isfinite(diagonals)):
            raise OverflowError("The squares of X do not fit into float64.")
        descent.find_constant(diagonals[:, :d], diagonals[:, d])
        if not self.dense:
            blocks = diagonals
        elif np.all(totals > 0) and np.allclose(own * (totals[0] / totals), own[:, :1], rtol=1e-9):
            block = self._block(reading, own[:, 0], diagonals[0])       # as at the start
            blocks = [t * block for t in totals / totals[0]]
        else:
            blocks = [self._block(reading, own[:, k], diagonals[k]) for k in range(reading.K)]
        self.weights = totals / reading.total
        self.solvers = [self._solver(block / reading.total) for block in blocks]

    def wake(self, features, variances):
        """Give curvature to features of which the sample saw nothing; `variances` are those of all rows."""
        for solver, weight in zip(self.solvers, self.weights, strict=True):
            solver.raise_diagonal(np.where(features, weight * variances + self.descent.l2, 0.0))

    def _block(self, reading, own, diagonal):
        """The block of a class, of rows that are drawn; its diagonal is no less than that of all rows.

        A feature that none of these rows has would else be free to go anywhere.
        """
        few = max(FEWEST_ROWS, ROWS_A_FEATURE * reading.n_features)
        matrix = reading.gram(drawn(own, few), self.descent.centre)
        at = np.diag_indices_from(matrix)
        matrix[at] = np.maximum(matrix[at], diagonal)
        return matrix

    def _solver(self, block):
        """Curvature of a class, or the inverse of its diagonal."""
        descent = self.descent
        diagonal = np.diag(block).copy() if self.dense else block.copy()
        still = np.append(descent.constant, not descent.fit_intercept)
        extra = RIDGE * diagonal + np.append(np.full(len(diagonal) - 1, descent.l2), 0.0)
        if not self.dense:
            return np.where(still | (diagonal + extra <= 0), np.inf, diagonal + extra)
        matrix = block.copy()
        matrix[still] = 0.0
        matrix[:, still] = 0.0
        matrix[np.diag_indices_from(matrix)] += np.where(still, 0.0, extra)
        return Curvature(matrix) if descent.l1 > 0 else _Factor(matrix)

    def damp(self, damping):
        """Longer blocks make shorter steps; without l1 the line search is all that is needed."""
        self.longer = 1.0 + damping

    def step(self, gradient, coef):
        """The step of the model: by L-BFGS's two loops, or with l1 class by class."""
        if self.descent.l1 > 0:
            return self._sparse_step(gradient, coef)
        q, alphas = gradient.copy(), []
        for step, change, product in reversed(self.pairs):
            alphas.append((step @ q) / product)
            q -= alphas[-1] * change
        q = self.scale * self._solved(q)
        for (step, change, product), alpha in zip(self.pairs, reversed(alphas), strict=True):
            q += (alpha - (change @ q) / product) * step
        return -q

    def _by_class(self, vector):
        K, d = self.descent.coef.shape
        return np.column_stack([vector[: K * d].reshape(K, d), vector[K * d :]])

    def _joined(self, rows):
        return np.concatenate([rows[:, :-1].ravel(), rows[:, -1]])

    def _solved(self, q):
        rows = self._by_class(q)
        if not self.dense:
            return self._joined(rows / np.array(self.solvers))
        return self._joined(np.array([solver(row) for solver, row in zip(self.solvers, rows, strict=True)]))

    def _sparse_step(self, gradient, coef):
        rows = self._by_class(gradient)
        l1 = self.descent.l1
        if self.dense:
            # The blocks are the model's whole matrix: twice them is no less than what connects them, for softmax.
            return self._joined(np.array([
                solver.step(row / self.longer, w, l1 / self.longer)
                for solver, row, w in zip(self.solvers, rows, coef, strict=True)
            ]))
        inverse = 1 / (self.longer * np.array(self.solvers))
        step = -rows * inverse
        moved = coef + step[:, :-1]
        step[:, :-1] = np.sign(moved) * np.maximum(np.abs(moved) - l1 * inverse[:, :-1], 0.0) - coef
        return self._joined(step)

    def update(self, step, change):
        """Remember a step and what it did to the gradient."""
        self.age += 1
        product = step @ change
        if self.descent.l1 == 0 and product > 1e-10 * np.sqrt((step @ step) * (change @ change)):
            self.pairs = [*self.pairs[1 - MEMORY :], (step, change, product)]
            self.scale = product / (change @ self._solved(change))
            before = len(self.pairs) - 1
            products = np.zeros((before + 1, before + 1))       # of the changes with each other
            products[:before, :before] = self.products[-before:, -before:] if before else 0.0
            products[before] = products[:, before] = [other @ change for _, other, _ in self.pairs]
            self.products = products

    def calmest(self, gradient):
        """Where in the span of the steps remembered the gradient would be least, and what it would be there.

        A proof is of the order of the squared gradient, and quasi-Newton steps leave in it what they have stirred up.
        """
        if not self.pairs:
            return np.zeros_like(gradient), gradient
        slopes = np.array([change @ gradient for _, change, _ in self.pairs])
        size = 1 / np.sqrt(np.diag(self.products))
        shares = -size * np.linalg.lstsq(self.products * np.outer(size, size), size * slopes, rcond=1e-12)[0]
        step, gradient = np.zeros_like(gradient), gradient.copy()
        for share, (moved, change, _) in zip(shares, self.pairs, strict=True):
            step += share * moved
            gradient += share * change
        return step, gradient

    def is_worn(self, reading, *_):
        """Whether blocks have served for as many steps as new ones cost.

        Curvature goes where predictions are undecided, and that is elsewhere after some steps. How much of the way is
        left is not known: so nothing is lost by more than a factor.
        """
        n, d = reading.n_rows, reading.n_features       # they cost d**2 / n readings, about
        enough = n >= ENOUGH * ROWS_A_FEATURE * d
        return enough and self.age >= max(FRESH, d * d / n) * LONGER ** (self.renewals - 1)


def drawn(weight, n_rows):
    """Weights of which about `n_rows` are left, with the same sum for any part of the rows, about.

    A row is drawn with a probability in proportion to its weight, at even distances, and the heaviest are certain.
    """
    used = np.count_nonzero(weight)
    if used <= n_rows:
        return weight
    heaviest = np.sort(weight)[::-1]
    rest = heaviest[::-1].cumsum()[::-1]        # of the weights from here on
    numbers = np.arange(n_rows)
    certain = np.argmax(heaviest[:n_rows] * (n_rows - numbers) <= rest[:n_rows])
    unit = rest[certain] / (n_rows - certain)   # the weight of a row that is drawn
    steps = np.floor(np.minimum(weight / unit, 1.0).cumsum() + 0.5)
    return np.where(np.diff(steps, prepend=0.0) > 0, np.maximum(weight, unit), 0.0)


class _Factor:
    """Solves with a positive definite matrix, its diagonal scaled to 1; leaves coordinates without a diagonal alone."""

    def __init__(self, matrix):
        diagonal = np.diag(matrix)
        self.apart = np.zeros(len(diagonal))
        self.used = np.flatnonzero(diagonal > 0)
        self.scale = 1 / np.sqrt(diagonal[self.used])
        scaled = matrix[np.ix_(self.used, self.used)] * self.scale * self.scale[:, np.newaxis]
        ridge = 0.0
        while True:
            try:
                self.factor = cho_factor(scaled + ridge * np.eye(len(scaled)), lower=True, check_finite=False)
                return
            except LinAlgError:
                ridge = max(10 * ridge, 1e-12)

    def raise_diagonal(self, diagonal):
        """Give the coordinates without a diagonal this one, of the first coordinates."""
        apart = np.append(diagonal, np.zeros(len(self.apart) - len(diagonal)))
        apart[self.used] = 0.0
        self.apart = np.divide(1.0, apart, out=np.zeros_like(apart), where=apart > 0)

    def __call__(self, vector):
        out = self.apart * vector
        out[self.used] = cho_solve(self.factor, vector[self.used] * self.scale, check_finite=False) * self.scale
        return out


class Descent:
    """A model of a loss of whole rows on its way down.

    Coefficients are those of centred features: with the centre m, predictions are (x - m).w + c, and b = c - m.w.
    Steps and gradients are vectors: the K rows of coefficients, then the K intercepts c.

    Parameters
    ----------
    problem : Problem
    loss : MulticlassLoss
        Smooth.
    penalty : tuple of two floats
        Factors of ||W||_1 and of ||W||^2 / 2.
    coef : ndarray of shape (K, d)
    intercept : ndarray of shape (K,)
        Where to start.
    dense : bool
        Whether the whole Hessian is affordable.

    Attributes
    ----------
    coef, intercept, objective
        The model as it is now.
    """

    def __init__(self, problem, loss, penalty, start, dense):
        self.loss, self.fit_intercept = loss, problem.fit_intercept
        self.l1, self.l2 = penalty
        self.coef, self.intercept = (np.array(part, dtype=np.float64) for part in start)
        self.D = self.coef.size + len(self.intercept)
        self.metric = Whole(self) if dense else Blocks(self, problem.n_features <= 2000)
        self.constant = np.zeros(problem.n_features, dtype=bool)
        self.centre, self.ridge, self.damping = None, 0.0, 0.0
        self.objective, self.steepest, self._variances = np.inf, None, None
        self.goal = 1e-8        # relative decrement that the steps are to reach

    # What a look says -----------------------------------------------------------------------------------------------

    def find_centre(self, reading):
        """The weighted mean of the rows, where intercepts are fitted."""
        self.centre = reading.centre(self.fit_intercept)

    def find_constant(self, squares, intercepts):
        """Columns that are constant: what is left of them when their mean is taken off is rounding."""
        bound = (CONSTANT * self.centre) ** 2 * intercepts[:, np.newaxis]
        self.constant = np.all(squares <= bound, axis=0)

    def variances(self, reading):
        """Of the features; about 0 without an intercept."""
        if self._variances is None:
            ones = reading.mass(0)
            self._variances = np.maximum(reading.squares(ones, self.centre), 0.0) / reading.total
        return self._variances

    def find_steepest(self, reading):
        """The most curvature that each coefficient can have, by the loss's bound."""
        if self.steepest is None:
            variances = np.tile(self.variances(reading), reading.K)
            self.steepest = self.loss.traits.curvature * np.append(variances, np.ones(reading.K))

    def inherit(self, metric, reading):
        """Go on with the metric of a sample: columns that were constant there may vary in all rows."""
        self.metric, metric.descent, metric.exact, self.constant = metric, self, False, metric.constant
        metric.age, metric.renewals = 0, 1
        if np.any(self.constant):
            variances = self.variances(reading)
            seen, self.constant = self.constant, variances <= (CONSTANT * self.centre) ** 2
            self.metric.wake(seen & ~self.constant, variances)

    def value(self, value, coef, reading):
        """F, from the sum of losses."""
        ridge = 0.5 * float(np.vdot(coef * (self.l2 + self.ridge), coef))
        return value / reading.total + ridge + self.l1 * float(np.abs(coef).sum())

    def gradient(self, reading, look):
        """Of all but the l1 penalty."""
        slope = look.slope / reading.total
        out = look.product / reading.total - np.outer(slope, self.centre)
        out[:, self.constant] = 0.0
        out += (self.l2 + self.ridge) * self.coef
        return np.concatenate([out.ravel(), slope if self.fit_intercept else np.zeros_like(slope)])

    def _promised(self, gradient, step):
        """By how much F falls along a step, by its slope."""
        w = self.coef.ravel()
        dw = step[: len(w)]
        if self.l1 == 0:
            return -float(gradient @ step)
        slopes, same = gradient.copy(), w * (w + dw) > 0
        slopes[: len(w)][same] += self.l1 * np.sign(w[same])
        return -float(slopes @ step + self.l1 * (np.abs(w + dw)[~same].sum() - np.abs(w[~same]).sum()))

    def _noise(self, reading, look):
        """Rounding of F: of its sum, and of predictions whose large parts cancel."""
        parts = (np.abs(self.coef) @ np.abs(self.centre)).sum() + np.abs(self.intercept).max()
        return ROUNDING * (abs(look.value) / reading.total + 1e-2 * parts * float(np.abs(look.slope).max())
                           / reading.total)

    # Steps ----------------------------------------------------------------------------------------------------------

    def moved(self, step):
        """(coef, intercept) after a step."""
        dw = step[: self.coef.size].reshape(self.coef.shape)
        return self.coef + dw, self.intercept + step[self.coef.size :] - dw @ self.centre

    def advance(self, reading, look, step, fall, see):
        """A step or a part of it; returns the look there, and how much of the step was taken: 0 if none leads down."""
        start, noise, length = self.value(look.value, self.coef, reading), self._noise(reading, look), 1.0
        for _ in range(4):
            coef, intercept = self.moved(length * step)
            trial = see(coef, intercept)
            end = self.value(trial.value, coef, reading)
            if end <= start - ARMIJO * length * fall + (noise if fall < 1e3 * noise else 0.0):
                self.coef, self.intercept, self.objective = coef, intercept, end
                return trial, length
            length *= self._along(reading, look.p, trial.p, length * step)
            if length == 0:
                break
        return look, 0.0

    def _along(self, reading, p, end, step):
        """How much of a step to take: where F has about stopped falling along it. Reads no rows."""
        change = end - p
        w, dw = self.coef.ravel(), step[: self.coef.size]
        strength = np.tile(np.broadcast_to(self.l2 + self.ridge, self.coef.shape[1]), len(self.coef))

        def slope(t):
            with np.errstate(over="ignore", invalid="ignore"):
                _, a = reading.evaluate(p + t * change, loss=self.loss)
                smooth = np.vdot(reading.gradients(a), change) / reading.total
            at = w + t * dw
            return smooth + (strength * at) @ dw + self.l1 * np.where(at == 0, np.abs(dw), np.sign(at) * dw).sum()

        return along(slope, FLATTER)

    def descend(self, reading, done, budget, note):
        """Go down until `done(look, gradient, decrement, exact)` says so, or nothing leads down.

        Parameters
        ----------
        reading : SliceReading
        done : callable
            Is asked at every look; `decrement` is what the next step promises, `exact` whether by the Hessian there.
        budget : float
            Readings after which to stop.
        note : callable
            Called after every look; True: stop.

        Returns
        -------
        str
            "done", "budget", "stopped", or "stuck" where no more than rounding is left, or no way down is found.
        """
        def see(coef, intercept):
            return reading.see(coef, intercept, self.loss)

        look, before, exhausted, tries = see(self.coef, self.intercept), np.inf, False, PROOF_STEPS
        self.objective = self.value(look.value, self.coef, reading)
        cheap = reading.n_rows * self.D * self.metric.width <= CHEAP
        if cheap or not self.metric.ready:
            self.metric.renew(reading, look)
        while not note(reading, self):
            gradient = self.gradient(reading, look)
            step, decrement = self._propose(gradient)
            if self.metric.is_worn(reading, decrement, before):
                self.metric.renew(reading, look)
                step, decrement = self._propose(gradient)
            exact = self.metric.exact
            if done(look, gradient, decrement, exact and self.damping == 0):
                return "done"
            if reading.readings >= budget:
                return "budget"
            last = exact or exhausted       # there is no better curvature to be had
            if last and decrement <= self._noise(reading, look):
                tries -= 1
            if not decrement > 0 or tries < 0:
                return "stuck"
            look, length = self.advance(reading, look, step, decrement, see)
            self._adapt(reading, length)
            if length > 0:
                exhausted, before = False, decrement
                if cheap and exact:
                    self.metric.renew(reading, look)
                else:
                    self.metric.update(length * step, self.gradient(reading, look) - gradient)
                continue
            before = np.inf
            if not last:
                self.metric.renew(reading, look)
                exhausted = not self.metric.exact
            elif self.damping > MOST_DAMPING or decrement <= 1e3 * self._noise(reading, look):
                return "stuck"
        return "stopped"

    def _propose(self, gradient):
        """A step, and by how much F falls along it by its slope."""
        self.metric.damp(self.damping)
        step = self.metric.step(gradient, self.coef)
        return step, self._promised(gradient, step)

    def _adapt(self, reading, length):
        """Levenberg's damping, for steps that the line search had to shorten."""
        if length < SHORT:
            self.find_steepest(reading)
            self.damping = max(10 * self.damping, LEAST_DAMPING)
        elif length == 1:
            self.damping = 0.3 * self.damping if self.damping > LEAST_DAMPING else 0.0


def settle(descent, reading, look):
    """The look with the best intercepts for its coefficients, of smooth losses; the model takes them."""
    shift = best_shifts(reading, look.p, descent.loss)
    p = look.p + shift
    value, a = reading.evaluate(p, loss=descent.loss)
    g = reading.gradients(a)
    descent.intercept = descent.intercept + shift
    descent.objective = descent.value(value, descent.coef, reading)
    return type(look)(p, a, value, reading.back_slices(g), g.sum(axis=0))

"""An interior point method for sums of maxima over a row's predictions: the multiclass hinge, and an l1 penalty."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

# Iterations at most; 15 to 40 are usual.
ITERATIONS = 100
# Correctors after Gondzio (Computational Optimization and Applications 6, 1996): how many, how much further a step is
# to reach, what share of that is worth going on, and between which multiples of the target products are left alone.
CORRECTORS, FURTHER, WORTH, EVEN = 3, 0.3, 0.1, (0.1, 10.0)
# Newton's steps to the central path.
CENTRING = 60
# Steps stay this far from the boundary, as a share of the way to it.
SHORT_OF = 0.995
# Without a penalty minimisers may lie at infinity: this much of one, in the features' own units, keeps them near.
HOLD = 1e-13


@dataclass(eq=False)
class Maxima:
    """sum_i omega_i max over distributions a of (a.(p_i + cost_i) - (width / 2) ||a - middle_i||^2).

    Slacks are t = top - p - cost + width (a - middle), 0 wherever a is not.

    Attributes
    ----------
    omega : ndarray of shape (m,)
    cost : ndarray of shape (m, k)
    share : float
        Complementarity a t tends to this times the common target.
    width : float, default=0.0
    a, t : ndarray of shape (m, k)
        Both positive; rows of a sum to 1.
    """

    omega: np.ndarray
    cost: np.ndarray
    share: float
    width: float = 0.0
    a: np.ndarray = None
    t: np.ndarray = None

    def start(self, p, target):
        """The point of the central path above predictions: a t = target, and the slacks are what they should be."""
        target = self.share * target
        full = p + self.cost
        gap = full + self.width * (1 - self.cost)
        top = (full + target - self.width * self.cost).max(axis=1, keepdims=True)      # where the largest a is 1
        for _ in range(CENTRING):
            away = top - gap
            root = np.sqrt(away * away + 4 * self.width * target)
            self.a = 2 * target / (away + root)
            excess = self.a.sum(axis=1, keepdims=True) - 1
            if np.all(np.abs(excess) <= 1e-12):
                break
            top = top + excess / (self.a / root).sum(axis=1, keepdims=True)
        self.a /= self.a.sum(axis=1, keepdims=True)
        self.t = target / self.a

    def theta(self):
        """The h of the Hessian diag(h) - h h' / sum(h) of each row, without its weight."""
        return self.a / (self.t + self.width * self.a)

    def aim(self, target, pairs=0.0):
        """Where distributions would go if no prediction moved; `pairs`: the second-order part of complementarity."""
        change = (self.share * target - pairs - self.a * self.t) / (self.t + self.width * self.a)
        theta = self.theta()
        rise = change.sum(axis=1, keepdims=True) / theta.sum(axis=1, keepdims=True)
        return self.a + change - theta * rise, rise

    def move(self, aimed, dp):
        """(da, dt) when predictions move by dp."""
        goal, rise = aimed
        theta = self.theta()
        pulled = (theta * dp).sum(axis=1, keepdims=True) / theta.sum(axis=1, keepdims=True)
        da = goal - self.a + theta * (dp - pulled)
        return da, rise + pulled - dp + self.width * da

    def reach(self, step):
        """The longest step, at most 1, that leaves both positive."""
        longest = 1.0
        for here, change in zip((self.a, self.t), step, strict=True):
            down = change < 0
            if np.any(down):
                longest = min(longest, float((here[down] / -change[down]).min()))
        return longest

    def go(self, step, length):
        """Take a step."""
        self.a = self.a + length * step[0]
        self.a /= self.a.sum(axis=1, keepdims=True)
        self.t = self.t + length * step[1]

    def complementarity(self, step=(0.0, 0.0), length=0.0):
        """The weighted sum of a t, here or after a step, in units of the target; and the number of pairs."""
        a, t = self.a + length * step[0], self.t + length * step[1]
        return float(self.omega @ (a * t).sum(axis=1)), self.share * float(self.omega.sum()) * a.shape[1]

    def uneven(self, step, length, target):
        """What products a t would lack, or have too much, after a step: of those far from the target."""
        after = (self.a + length * step[0]) * (self.t + length * step[1])
        target = self.share * target
        return np.maximum(np.clip(after, EVEN[0] * target, EVEN[1] * target) - after, -EVEN[1] * target)


class SliceInterior:
    """Mehrotra's predictor-corrector method (SIAM Journal on Optimization 2, 1992) on all rows of a reading.

    The step in the coefficients solves a system whose matrix is a Hessian as softmax has it; rows far from all kinks
    drop out of it by themselves. Indifferent to the scales of features. An l1 penalty is a maximum of (w, -w) for each
    coefficient.

    Parameters
    ----------
    reading : SliceReading
    penalty : tuple of two floats
        Factors of ||W||_1 and of ||W||^2 / 2.
    centre : ndarray of shape (d,)
    fit_intercept : bool
    start : tuple of ndarrays of shapes (K, d) and (K,)
        Coefficients and intercepts.
    """

    def __init__(self, reading, penalty, centre, fit_intercept, start):
        self.reading, self.centre, self.fit_intercept = reading, centre, fit_intercept
        self.l1, self.l2 = penalty
        K, d = reading.K, reading.n_features
        self.coef, self.intercept = (np.array(part, dtype=np.float64) for part in start)
        s = reading.mass(0)
        counts = s > 0
        self.counts = counts
        self.rows = Maxima(s[counts] / reading.total, 1.0 - reading.indicator(slice(None))[counts], 1.0,
                           width=reading.loss.quadratic)
        self.ends = None
        if self.l1 > 0:
            # No more than the rows have for each, and no less than a row has: else they block every step.
            fair = 1.0 / (K * d)
            share = float(np.clip(self.l1, min(self.rows.omega.mean(), fair), fair)) / self.l1
            self.ends = Maxima(np.full(K * d, self.l1), np.zeros((K * d, 2)), share)
        weight = s / reading.total
        self.squares = np.maximum(reading.squares(weight, centre), 0.0)
        size = float(np.sqrt(self.squares).max(initial=0.0))
        self.constant = np.sqrt(self.squares) <= 1e-14 * np.maximum(np.abs(centre), 1e-300 * size)
        self.hold = HOLD * self.squares if self.l2 == 0 else np.zeros(d)

    def _predicted(self, coef, intercept):
        return self.reading.products(coef, intercept)[self.counts]

    def _back(self, v):
        """Products of omega v with centred rows, and column sums, as a vector."""
        g = np.zeros((self.reading.n_rows, self.reading.K))
        g[self.counts] = self.rows.omega[:, np.newaxis] * v
        slope = g.sum(axis=0)
        moved = self.reading.back_slices(g) - np.outer(slope, self.centre)
        moved[:, self.constant] = 0.0
        return np.concatenate([moved.ravel(), slope if self.fit_intercept else np.zeros_like(slope)])

    def _matrix(self):
        K, d = self.coef.shape
        h = np.zeros((self.reading.n_rows, K))
        h[self.counts] = self.rows.omega[:, np.newaxis] * self.rows.theta()
        matrix = self.reading.hessian(h, self.centre)
        still = np.append(np.tile(self.constant, K), np.full(K, not self.fit_intercept))
        matrix[still] = 0.0
        matrix[:, still] = 0.0
        diagonal = np.tile(self.l2 + self.hold, K)
        if self.ends is not None:
            theta = self.ends.theta()
            diagonal = diagonal + self.l1 * 4 * theta[:, 0] * theta[:, 1] / theta.sum(axis=1)
        at = np.arange(K * d)
        matrix[at, at] += diagonal
        self.reading.tie(matrix, features=self.l1 == 0 and self.l2 == 0)
        at = np.flatnonzero(still)
        matrix[at, at] = 1.0
        return matrix

    def _solver(self):
        matrix = self._matrix()
        diagonal = np.diag(matrix)
        scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        scaled = matrix * scale * scale[:, np.newaxis]
        ridge = 1e-15
        while True:
            try:
                factor = cho_factor(scaled + ridge * np.eye(len(scaled)), lower=True, check_finite=False)
                break
            except LinAlgError:
                ridge *= 10
                if ridge > 1e-6:
                    raise

        def solved(vector):
            x = cho_solve(factor, scale * vector, check_finite=False)
            x += cho_solve(factor, scale * vector - scaled @ x, check_finite=False)
            return scale * x

        return solved

    def _towards(self, solve, aims):
        """The step in coefficients, intercepts, and all distributions and slacks, towards what `aims` ask for."""
        K, d = self.coef.shape
        rest = np.zeros(K * (d + 1))
        rest += self._back(aims[0][0] - (1 - self.rows.cost))
        rest[: K * d] += ((self.l2 + self.hold) * self.coef).ravel()
        if self.ends is not None:
            rest[: K * d] += self.l1 * (aims[1][0][:, 0] - aims[1][0][:, 1])
        rest[: K * d][np.tile(self.constant, K)] = 0.0
        step = -solve(rest)
        dw = step[: K * d].reshape(K, d)
        db = step[K * d :] - dw @ self.centre
        moves = [self.rows.move(aims[0], self._predicted(dw, db))]
        if self.ends is not None:
            flat = dw.ravel()
            moves.append(self.ends.move(aims[1], np.column_stack([flat, -flat])))
        return dw, db, moves

    def run(self, width, done, budget):
        """Iterate until `done(coef, intercept, a)` or nothing more is gained; returns whether it is done."""
        groups = [self.rows] if self.ends is None else [self.rows, self.ends]
        self.rows.start(self._predicted(self.coef, self.intercept), width)
        if self.ends is not None:
            flat = self.coef.ravel()
            self.ends.start(np.column_stack([flat, -flat]), width)
        for _ in range(ITERATIONS):
            a = self.reading.indicator(slice(None)).astype(np.float64)
            a[self.counts] = self.rows.a
            if done(self.coef, self.intercept, a):
                return True
            if self.reading.readings >= budget:
                return False
            now, n_pairs = map(sum, zip(*(group.complementarity() for group in groups), strict=True))
            try:
                solve = self._solver()
            except LinAlgError:
                return False
            target = now / n_pairs
            *_, moves = self._towards(solve, [group.aim(0.0) for group in groups])
            length = _reach(groups, moves)
            left = sum(group.complementarity(move, length)[0] for group, move in zip(groups, moves, strict=True))
            target *= min(1.0, max(left / now, 0.0)) ** 3
            pairs = [move[0] * move[1] for move in moves]
            step = self._towards(solve, self._aims(groups, target, pairs))
            length = _reach(groups, step[2])
            for _ in range(CORRECTORS):
                trial = [p - group.uneven(move, min(1.0, FURTHER + length), target)
                         for p, group, move in zip(pairs, groups, step[2], strict=True)]
                better = self._towards(solve, self._aims(groups, target, trial))
                reached = _reach(groups, better[2])
                if reached < length + WORTH * (min(1.0, FURTHER + length) - length):
                    break
                step, length, pairs = better, reached, trial
            dw, db, moves = step
            length = min(1.0, SHORT_OF * length)
            if not length > 1e-10 or not np.all(np.isfinite(dw)):
                return False
            self.coef, self.intercept = self.coef + length * dw, self.intercept + length * db
            for group, move in zip(groups, moves, strict=True):
                group.go(move, length)
        return False

    @staticmethod
    def _aims(groups, target, pairs):
        return [group.aim(target, of_group) for group, of_group in zip(groups, pairs, strict=True)]


def _reach(groups, moves):
    """The longest step that leaves all positive."""
    return min(group.reach(move) for group, move in zip(groups, moves, strict=True))

"""Dual coordinate descent for the multiclass hinge: a row's distribution over the classes at a time."""

import numpy as np

from sklosses._isa import kernel
from sklosses.solvers._order import RowOrder

# The augmented Lagrangian's weight, as a share of the mean of ||x_i||^2.
INTERCEPT_WEIGHT = 0.01
# A row whose part of the gap is below this share of the mean may rest, from the third epoch on.
NEXT_TO_NONE, FIRST_REST = 0.1, 2
# Readings between two looks at the certificate, at most: a look costs two or three.
BETWEEN_LOOKS = 10
# The epoch after which distributions are first moved ahead.
FIRST_LEAP = 2
# The mean of the last eighth of the iterates, nearly, is a better model than the last: coefficients swing.
POWER = 7
# Strength of the proximal term where there is no l2: at first this share of what l1 is worth per unit of coefficient,
# less by this factor an epoch after a few, down to a last share; and no less than these shares of what a row has.
WORTH, DECAY, STEADY_EPOCHS, NATURAL = (1.0, 0.2), 0.85, 5, (0.05, 0.01)
# Rows from all over the table, to estimate the mean of ||x_i||^2 from.
SAMPLE = 1000


class SliceDual:
    """The dual of a problem with a loss of whole rows and a penalty, on its way up.

    S. S. Keerthi, S. Sundararajan, K.-W. Chang, C.-J. Hsieh, C.-J. Lin, "A sequential dual method for large scale
    multi-class linear SVMs", KDD 2008; the intercepts are those of :class:`DualDescent`, and so
    is the proximal term that stands in for l2 where there is only l1.

    Parameters
    ----------
    problem : Problem
    reading : SliceReading
        Of its rows.
    penalty : tuple of two floats
        l1 and l2; one at least is not 0.
    intercept : ndarray of shape (K,)
        Where intercepts start; not changed.
    seed : int
        Of the order in which rows are visited.
    """

    def __init__(self, problem, reading, penalty, intercept, seed):
        self.reading, self.seed, self.K = reading, seed, reading.K
        self.l1, self.l2 = penalty
        norm = _mean_square_norm(reading)
        worth, natural = self.l1 * norm**0.5, norm / reading.n_rows
        strengths = [max(a * worth, b * natural) for a, b in zip(WORTH, NATURAL, strict=True)]
        self.mu, self.least_mu = (0.0, 0.0) if self.l2 > 0 else strengths
        self.kappa = self.l2 + self.mu
        n = reading.n_rows
        weight = np.ones(n) if reading.s is None else reading.s
        self.active = int(np.count_nonzero(weight))
        self.scale = weight / (reading.total * self.kappa)
        self.shift = np.array(intercept, dtype=np.float64)
        self.kernel = kernel("sklosses.solvers._slice_dual_kernel").Slices(
            problem.rows, problem.subset, reading.y, self.scale, self.shift, reading.loss.quadratic,
            self.l1 / self.kappa)
        if problem.fit_intercept:
            self.kernel.rho = INTERCEPT_WEIGHT * norm
        self.order = RowOrder(n, problem.rows.row_bytes)
        self.epochs, self.account, self.fall, self.trust = 0, 0.0, 1.0, 1.0
        self.centre = np.zeros_like(self.kernel.coefficients) if self.mu else None
        self.leaps = not self.mu
        self.judged = 0.0, np.inf       # when the leaps were judged, and the gap then
        self.mean, self.mean_since = None, 0

    @property
    def distributions(self):
        """The dual variables, of shape (n_rows, K)."""
        return self.kernel.distributions

    def model(self, last=False):
        """(coef, intercept) of the mean of the iterates, or of the last: copies."""
        lines, shift = (self.kernel.coefficients, self.shift) if last or self.mean is None else self.mean
        return np.ascontiguousarray(lines[:, : self.K].T), shift.copy()

    @property
    def expected(self):
        """What the gap will turn out to be, by the account: parts of rows visited early in the epoch are of before."""
        return self.trust * self.kappa * self.account * self.fall**0.5

    def learn(self, bound):
        """The gap as it has turned out. No more leaps where it has not halved: they may go in circles.

        With l1 the gap falls by fits and starts: it has as many readings as there were before, to fall at all.
        """
        if self.account > 0:
            self.trust = max(1.0, self.trust * bound / max(self.expected, 1e-300))
        since, before = self.judged
        enough, share = (max(BETWEEN_LOOKS, since), 0.9) if self.l1 > 0 else (BETWEEN_LOOKS, 0.5)
        if self.leaps and self.reading.readings - since >= enough:
            if bound > share * before:
                self.leaps, self.mean = False, None
            self.judged = self.reading.readings, bound

    def ascend(self, goal, budget):
        """Epochs until the gap is expected to be below the goal, or a look at it is due."""
        until = min(self.reading.readings + BETWEEN_LOOKS, budget)
        while True:
            self._epoch()
            if self.reading.readings >= until or (not self.mu and self.epochs > 1 and self.expected <= goal):
                break

    def _epoch(self):
        dual = self.kernel
        if self.mu and self.epochs >= STEADY_EPOCHS:
            self._set_mu(max(self.least_mu, DECAY * self.mu))
        dual.next_to_none = NEXT_TO_NONE * self.account / self.active if self.epochs >= FIRST_REST else 0.0
        visits = dual.visits
        dual.descend(self.order.draw(self.seed, self.epochs).positions)
        self.reading.readings += (dual.visits - visits) / self.active
        self.epochs += 1
        before, self.account = self.account, float(self.scale @ dual.gaps)
        self.fall = min(self.account / before, 1.0) if before > 0 else 1.0
        if self.leaps and self.epochs >= FIRST_LEAP:
            dual.leap()
        if self.mu:
            self._move_centre(dual.coefficients)
        self._take_into_mean()

    def _move_centre(self, centre):
        """Let the proximal term be about other coefficients."""
        sums = self.kernel.sums
        sums += self.mu / self.kappa * (centre - self.centre)
        self.centre = centre.copy()
        self.kernel.renew()

    def _set_mu(self, mu):
        """Change the strength of the proximal term, and all that is in its unit."""
        if mu == self.mu:
            return
        centre, dual = self.centre, self.kernel
        self._move_centre(np.zeros_like(centre))
        ratio = self.kappa / (self.l2 + mu)
        self.mu, self.kappa = mu, self.l2 + mu
        for part in (dual.sums, dual.total, self.scale):
            part *= ratio
        dual.shrink = self.l1 / self.kappa
        self._move_centre(centre)

    def _take_into_mean(self):
        """The mean of the iterates, in proportion to a power of their numbers."""
        if self.mean is None:
            self.mean, self.mean_since = (self.kernel.coefficients.copy(), self.shift.copy()), self.epochs
            return
        share = (POWER + 1) / (self.epochs - self.mean_since + POWER + 1)
        for mean, here in zip(self.mean, (self.kernel.coefficients, self.shift), strict=True):
            mean += share * (here - mean)


def _mean_square_norm(reading):
    """The mean of ||x_i||^2, from up to a thousand rows."""
    rows = np.unique(np.linspace(0, reading.n_rows - 1, SAMPLE).astype(int))
    block = reading.rows_of(rows)
    return float((block.data @ block.data if reading.sparse else np.vdot(block, block)) / len(rows))

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
# Where the gap falls by less than this factor an epoch, the mean of about so many iterates is the better model:
# coefficients of losses with kinks swing.
SLOW, FIRST_MEAN, LONGEST = 0.6, 6, 8
# Rows from all over the table, to estimate the mean of ||x_i||^2 from.
SAMPLE = 1000


class SliceDual:
    """The dual of a problem with a loss of whole rows and an l2 penalty, on its way up.

    S. S. Keerthi, S. Sundararajan, K.-W. Chang, C.-J. Hsieh, C.-J. Lin, "A sequential dual method for large scale
    multi-class linear SVMs", KDD 2008; the intercepts are those of :class:`DualDescent`.

    Parameters
    ----------
    problem : Problem
    reading : SliceReading
        Of its rows.
    l2 : float > 0
    intercept : ndarray of shape (K,)
        Where intercepts start; not changed.
    seed : int
        Of the order in which rows are visited.
    """

    def __init__(self, problem, reading, l2, intercept, seed):
        self.reading, self.l2, self.seed, self.K = reading, l2, seed, reading.K
        n = reading.n_rows
        weight = np.ones(n) if reading.s is None else reading.s
        self.active = int(np.count_nonzero(weight))
        self.scale = weight / (reading.total * l2)
        self.shift = np.array(intercept, dtype=np.float64)
        self.kernel = kernel("sklosses.solvers._slice_dual_kernel").Slices(
            problem.rows, problem.subset, reading.y, self.scale, self.shift, reading.loss.quadratic)
        if problem.fit_intercept:
            self.kernel.rho = INTERCEPT_WEIGHT * _mean_square_norm(reading)
        self.order = RowOrder(n, problem.rows.row_bytes)
        self.epochs, self.account, self.fall, self.trust = 0, 0.0, 1.0, 1.0
        self.mean, self.count = None, 0

    @property
    def distributions(self):
        """The dual variables, of shape (n_rows, K)."""
        return self.kernel.distributions

    def model(self):
        """(coef, intercept): copies."""
        lines, shift = (self.kernel.coefficients, self.shift) if self.mean is None else self.mean
        return np.ascontiguousarray(lines[:, : self.K].T), shift.copy()

    @property
    def expected(self):
        """What the gap will turn out to be, by the account: parts of rows visited early in the epoch are of before."""
        return self.trust * self.l2 * self.account * self.fall**0.5

    def learn(self, bound):
        """The gap as it has turned out."""
        if self.account > 0:
            self.trust = max(1.0, self.trust * bound / max(self.expected, 1e-300))

    def ascend(self, goal, budget):
        """Epochs until the gap is expected to be below the goal, or a look at it is due."""
        until = min(self.reading.readings + BETWEEN_LOOKS, budget)
        while True:
            self._epoch()
            if self.reading.readings >= until or (self.epochs > 1 and self.expected <= goal):
                break

    def _epoch(self):
        dual = self.kernel
        dual.next_to_none = NEXT_TO_NONE * self.account / self.active if self.epochs >= FIRST_REST else 0.0
        visits = dual.visits
        dual.descend(self.order.draw(self.seed, self.epochs).positions)
        self.reading.readings += (dual.visits - visits) / self.active
        self.epochs += 1
        before, self.account = self.account, float(self.scale @ dual.gaps)
        self.fall = min(self.account / before, 1.0) if before > 0 else 1.0
        if self.epochs < FIRST_MEAN or self.fall <= SLOW:
            self.mean = None
        elif self.mean is None:
            self.mean, self.count = (dual.coefficients.copy(), self.shift.copy()), 1
        else:
            self.count = min(self.count + 1, LONGEST)
            for mean, here in zip(self.mean, (dual.coefficients, self.shift), strict=True):
                mean += (here - mean) / self.count


def _mean_square_norm(reading):
    """The mean of ||x_i||^2, from up to a thousand rows."""
    rows = np.unique(np.linspace(0, reading.n_rows - 1, SAMPLE).astype(int))
    block = reading.rows_of(rows)
    return float((block.data @ block.data if reading.sparse else np.vdot(block, block)) / len(rows))

"""What a column knows of the objective's curvature: a matrix that columns may share, and its own steps since."""

import numpy as np
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpotrf, dpotrs

# Steps remembered.
PAIRS = 10
# Added to a matrix whose diagonal has been scaled to 1.
RIDGE = 1e-10


class Metric:
    """A quadratic model: a matrix, corrected by the steps made since it was computed (L-BFGS).

    Parameters
    ----------
    matrix : ndarray of shape (Q, Q)
        Symmetric. Scaled to a diagonal of 1 before it is factorised: scales of features do not matter. Coordinates with
        a diagonal of 0 are left alone.
    """

    def __init__(self, matrix):
        self.matrix = matrix
        diagonal = np.diag(matrix)
        self._scale = np.divide(1.0, np.sqrt(diagonal), out=np.zeros(len(diagonal)), where=diagonal > 0)
        self._factor = self._factorise()
        self._pairs = []

    def _factorise(self):
        at, ridge = np.arange(len(self.matrix)), RIDGE
        while True:
            scaled = self.matrix * self._scale
            scaled *= self._scale[:, np.newaxis]
            scaled[at, at] = 1.0 + ridge
            factor, failed = dpotrf(scaled.T, lower=True, clean=False, overwrite_a=True)      # in LAPACK's order
            if not failed:
                return factor
            ridge = max(10 * ridge, 1e-12)
            if not ridge < 1:
                raise LinAlgError("A matrix of second derivatives has negative eigenvalues.")

    def heir(self):
        """A metric that shares the factors, and starts with what has been learnt here."""
        other = object.__new__(Metric)
        other.matrix, other._scale, other._factor = self.matrix, self._scale, self._factor
        other._pairs = list(self._pairs)
        return other

    def with_ridge(self, l2):
        """The metric of an objective with an l2 penalty on top, but for the last coordinate, the intercept."""
        matrix = np.array(self.dense())
        at = np.arange(len(matrix) - 1)
        matrix[at, at] += l2
        return Metric(matrix)

    def learn(self, step, change):
        """The gradient changed so much over a step; nothing where the two contradict convexity."""
        product = step @ change
        if product > 1e-10 * np.sqrt((step @ step) * (change @ change)):
            self._pairs.append((step, change, product))
            del self._pairs[:-PAIRS]

    def solve(self, gradient):
        """The model's inverse times a gradient (Nocedal and Wright 2006, algorithm 7.4)."""
        rest, shares = gradient, []
        for step, change, product in reversed(self._pairs):
            share = (step @ rest) / product
            shares.append(share)
            rest = rest - share * change
        out = dpotrs(self._factor, rest * self._scale, lower=True)[0] * self._scale
        for (step, change, product), share in zip(self._pairs, reversed(shares), strict=True):
            out = out + (share - (change @ out) / product) * step
        return out

    def dense(self):
        """The model's matrix."""
        matrix = np.ascontiguousarray(self.matrix)
        for step, change, product in self._pairs:
            moved = matrix @ step
            matrix = matrix + np.outer(change, change / product) - np.outer(moved, moved / (step @ moved))
        return matrix

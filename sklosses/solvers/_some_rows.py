"""What some of the rows prove of all: a lower bound of a convex smooth objective by second derivatives of a few rows.

Each row's loss is convex, so that the second derivatives of some rows are a lower bound of those of all. With a loss
that is self-concordant in Bach's sense (|phi'''| <= M phi'': log_loss, poisson, gamma, ...) they bound the objective
from below along any step, not only near where they were taken (Bach, "Self-concordant analysis for logistic
regression", Electronic Journal of Statistics 4, 2010, proposition 1). No row is read that is not among the few.
"""

from dataclasses import replace

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrf

from sklosses.solvers._centred import CentredRows
from sklosses.solvers._reading import Reading

# One row of so many is taken, in blocks from all over the table.
ONE_OF, BLOCK = 16, 16
# Rounding of second derivatives' sums and of what solves with them, relative to a diagonal of 1; with room.
ROUNDING, ROOM = 1e-12, 1.01
# Steps this near to where the bound ends tell nothing.
NEAREST = 0.99


class AllRows:
    """The objective's second derivatives A, of a loss that has the same ones everywhere: F - F* <= g' A^-1 g / 2.

    Parameters
    ----------
    matrix : ndarray of shape (n_features + 1, n_features + 1)

    Attributes
    ----------
    known : bool
        Whether A is regular, and bounds anything.
    """

    def __init__(self, matrix):
        self._factorise(matrix)

    def _factorise(self, matrix):
        """The inverse of Cholesky's factor, of less than the matrix by what rounding may have made of it."""
        diagonal = np.einsum("ii->i", matrix)
        self.used = diagonal > 0
        self.scale = 1 / np.sqrt(np.where(self.used, diagonal, 1.0))
        scaled = matrix * self.scale * self.scale[:, np.newaxis]
        np.einsum("ii->i", scaled)[:] = 1 - ROUNDING * len(scaled)
        factor, failed = dpotrf(scaled, lower=True)
        self.known = not failed and bool(np.einsum("ii->i", factor).min() ** 2 > 10 * ROUNDING * len(scaled))
        if self.known:
            self.inverse = solve_triangular(factor, np.eye(len(factor)), lower=True, check_finite=False) * self.scale

    def _size(self, gradient):
        """v, inf where A is not known to bound it."""
        if not self.known or np.any(gradient[~self.used] != 0):
            return np.inf
        return np.linalg.norm(self.inverse @ gradient) * ROOM

    def bound(self, gradient, p):
        """On F - F* at any place: see :meth:`SomeRows.bound`."""
        return 0.5 * self._size(gradient) ** 2


class SomeRows(AllRows):
    """A lower bound A of the objective's second derivatives at a place.

    Let g be the gradient of the objective there, with any subgradient of an l1 penalty, v^2 = g' A^-1 g, R^2 the
    largest x_i' A^-1 x_i of the rows, and q = M R v. With phi(p + t) >= phi(p) + phi'(p) t + phi''(p) psi(M |t|) / M^2,
    psi(t) = exp(-t) + t - 1, of these rows, and the tangent alone of all others, ::

        F - F* <= v^2 (q + (1 - q) log(1 - q)) / q^2,        if q < 1

    which is v^2 / 2 for small steps. A later place has second derivatives of at least exp(-M r) times those here, r
    the largest change of the rows' predictions.

    Parameters
    ----------
    problem : Problem
    reading : Reading
        Of all its rows.
    column : Column
        Whose centre, penalty and total are used.
    p : ndarray of shape (n_rows,)
        Predictions of the place.
    """

    def __init__(self, problem, reading, column, p):
        n, k = reading.n_rows, column.k
        starts = np.linspace(0, n - BLOCK, n // (ONE_OF * BLOCK)).astype(np.intp)
        self.rows = (starts[:, np.newaxis] + np.arange(BLOCK)).ravel()
        self.p, self.concordance = p[self.rows], reading.traits[k].self_concordance
        numbers = self.rows if reading.chosen is None else reading.chosen[self.rows]
        with Reading(replace(problem, subset=numbers), reading.n_threads) as few:
            table = CentredRows(few, column.centre, column.fit_intercept, problem.rows.n_rows * problem.rows.row_bytes)
            second = few.derivatives(k, self.p, second=True) / column.total
            matrix = table.gram(second)
            np.einsum("ii->i", matrix)[:-1] += column.l2
            self._factorise(matrix)
            self.reach = self._reach(table, second) if self.known else np.inf

    def _reach(self, table, second):
        """R."""
        def largest(design, chunk):
            whitened = design.rows @ self.inverse.T
            squares = np.einsum("ij,ij->i", whitened, whitened)[second[chunk] > 0]
            return float(squares.max(initial=0.0))

        return np.sqrt(max(table.each(largest)))

    def bound(self, gradient, p):
        """On F - F* at a place near the first: inf if nothing is known.

        Parameters
        ----------
        gradient : ndarray of shape (n_features + 1,)
            Of the objective in centred coefficients and c, with a subgradient of the penalty.
        p : ndarray of shape (n_rows,)
            Predictions.

        Returns
        -------
        float
        """
        size = self._size(gradient)
        if not size < np.inf:
            return np.inf
        with np.errstate(all="ignore"):
            least = np.exp(-self.concordance * np.abs(p[self.rows] - self.p).max())
            size /= np.sqrt(least)
            q = self.concordance * self.reach / np.sqrt(least) * size * ROOM
        if not q < NEAREST:
            return np.inf
        return size * size * (0.5 + q / 5 if q < 1e-3 else (q + (1 - q) * np.log1p(-q)) / (q * q))

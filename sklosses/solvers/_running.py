"""Hessians that grow with the rows: whole, or a diagonal and a block. Never changed in place."""

import numpy as np
from scipy.linalg.lapack import dposv

from sklosses.solvers._curvature import FLAT, Curvature

# Columns of a wide table whose Hessian is kept whole: those with the most entries.
BLOCK = 256
# Accelerated proximal steps on a quadratic model, and the relative step that ends them.
INNER, SMALL = 50, 1e-2
# Diagonals below are 0: their inverses would overflow.
LEAST = 1e-250
# Power iterations for its largest eigenvalue, and room for what they miss.
POWER, ROOM = 8, 1.1


class Full:
    """A symmetric matrix of all coefficients.

    Parameters
    ----------
    matrix : ndarray of shape (D, D)
    """

    def __init__(self, matrix):
        self.matrix = matrix

    @classmethod
    def empty(cls, design):
        """Zero, for the columns of a design."""
        return cls(np.zeros((design.shape[1], design.shape[1])))

    def times(self, vector):
        """The product with a vector."""
        return self.matrix @ vector

    def scaled(self, factor):
        """The matrix times a number."""
        return self if factor == 1 else Full(self.matrix * factor)

    def plus(self, design, weight):
        """The matrix plus A' diag(weight) A."""
        rows = design * np.sqrt(weight)[:, np.newaxis]
        return Full(self.matrix + rows.T @ rows)

    def added(self, other):
        """The sum of two."""
        return Full(self.matrix + other.matrix)

    def kept(self):
        """What is remembered of it."""
        return self

    def diagonal_of(self):
        """The diagonal."""
        return np.diag(self.matrix)

    def step(self, gradient, coef, l1, ridge):
        """The s that minimises g.s + s'(H + diag(ridge))s / 2 + l1 ||coef + s||_1; coef lacks the last coordinate."""
        matrix = self.matrix.copy()
        diagonal = np.einsum("ii->i", matrix)
        diagonal += ridge
        if diagonal[-1] == 0:       # no intercept is fitted: its gradient is 0 as well
            diagonal[-1] = 1.0
        if l1 == 0 and diagonal.min() > 0:
            scale = 1 / np.sqrt(diagonal)
            scaled = matrix * scale
            scaled *= scale[:, np.newaxis]
            factor, solved, failed = dposv(scaled, -gradient * scale, lower=1)
            # A pivot is what is left of a diagonal of 1.
            if not failed and np.einsum("ii->i", factor).min() ** 2 > FLAT:
                return solved * scale
        return Curvature(matrix).step(gradient, coef, l1)


class Wide:
    """A diagonal, and the whole matrix of a few columns.

    Parameters
    ----------
    diagonal : ndarray of shape (D,)
        0 for the columns of the block.
    places : ndarray of shape (B,)
        The columns of the block, ascending; the last coordinate is one of them.
    block : ndarray of shape (B, B)
    rows : tuple of (array of shape (m, D), ndarray of shape (m,)) or None, default=None
        A and w of a term A' diag(w) A that has not been summed up: while a piece is worked on it is exact.
    """

    def __init__(self, diagonal, places, block, rows=None):
        self.diagonal, self.places, self.block, self.rows = diagonal, places, block, rows

    @classmethod
    def empty(cls, design):
        """Zero, for the columns of a design; its densest make the block."""
        D = design.shape[1]
        stored = np.asarray((design != 0).sum(axis=0)).reshape(-1)
        stored[-1] = len(stored) * design.shape[0] + 1
        places = np.sort(np.argsort(-stored, kind="stable")[:BLOCK])
        return cls(np.zeros(D), places, np.zeros((len(places), len(places))))

    def times(self, vector):
        """The product with a vector."""
        out = self.diagonal * vector
        out[self.places] += self.block @ vector[self.places]
        if self.rows is not None:
            design, weight = self.rows
            out += design.T @ (weight * (design @ vector))
        return out

    def scaled(self, factor):
        """The matrix times a number."""
        if factor == 1:
            return self
        rows = None if self.rows is None else (self.rows[0], self.rows[1] * factor)
        return Wide(self.diagonal * factor, self.places, self.block * factor, rows)

    def plus(self, design, weight):
        """The matrix plus A' diag(weight) A."""
        return Wide(self.diagonal, self.places, self.block, (design, weight))

    def added(self, other):
        """The sum of two, of which one has rows."""
        rows = other.rows
        if self.rows is not None:
            rows = self.rows if rows is None else (rows[0], rows[1] + self.rows[1])
        return Wide(self.diagonal + other.diagonal, self.places, self.block + other.block, rows)

    def kept(self):
        """What is remembered of it: the rows' diagonal and block."""
        if self.rows is None:
            return self
        design, weight = self.rows
        square = squares(design, weight)
        square[self.places] = 0
        inside = design[:, self.places]
        inside = inside.toarray() if hasattr(inside, "toarray") else inside
        rows = inside * np.sqrt(weight)[:, np.newaxis]
        return Wide(self.diagonal + square, self.places, self.block + rows.T @ rows)

    def diagonal_of(self):
        """The diagonal."""
        out = self.diagonal.copy()
        out[self.places] += np.einsum("ii->i", self.block)
        return out if self.rows is None else out + squares(*self.rows)

    def step(self, gradient, coef, l1, ridge):
        """As :meth:`Full.step`, roughly: by conjugate gradients, or by accelerated proximal ones where there is l1.

        Both in the metric of the diagonal.
        """
        metric = self.diagonal_of() + ridge
        used = metric > LEAST
        inverse = np.where(used, 1 / np.where(used, metric, 1.0), 0.0)

        def product(vector):
            return self.times(vector) + ridge * vector

        if l1 == 0:
            return _conjugate(product, gradient, inverse)
        return _proximal(product, gradient, np.append(coef, 0.0), np.append(np.full(len(coef), l1), 0.0),
                         np.where(used, metric, 0.0))


def _conjugate(product, gradient, inverse):
    """Conjugate gradients on g.s + s'Ms / 2, preconditioned by the diagonal."""
    step, rest = np.zeros_like(gradient), -gradient
    direction = inverse * rest
    size = first = rest @ direction
    for _ in range(INNER):
        moved = product(direction)
        bend = direction @ moved
        if not bend > 0:
            break
        step += size / bend * direction
        rest -= size / bend * moved
        scaled = inverse * rest
        before, size = size, rest @ scaled
        if size <= SMALL**2 * first:
            break
        direction = scaled + size / before * direction
    return step


def _proximal(product, gradient, start, strengths, metric):
    """Accelerated proximal gradients (Beck and Teboulle 2009) on g.s + s'Ms / 2 + sum_j strengths_j |start + s|_j.

    The metric is the diagonal of M; the momentum is given up where it leads upwards (O'Donoghue and Candes 2015).
    """
    inverse = np.divide(1.0, metric, out=np.zeros_like(metric), where=metric > 0)
    rate = inverse / (ROOM * _largest(product, inverse))
    here, ahead, momentum = np.zeros_like(gradient), np.zeros_like(gradient), 1.0
    for _ in range(INNER):
        at = start + ahead - rate * (gradient + product(ahead))
        moved = np.sign(at) * np.maximum(np.abs(at) - rate * strengths, 0.0) - start
        change = moved - here
        if metric @ ((ahead - moved) * change) > 0:
            momentum = 1.0
        faster = 0.5 * (1 + np.sqrt(1 + 4 * momentum * momentum))
        ahead = moved + (momentum - 1) / faster * change
        here, momentum = moved, faster
        if metric @ (change * change) <= SMALL**2 * (metric @ (here * here)):
            break
    return here


def squares(design, weight):
    """The diagonal of A' diag(weight) A."""
    return (design.power(2) if hasattr(design, "power") else design * design).T @ weight


def _largest(product, inverse):
    """About the largest eigenvalue of a matrix, scaled to a diagonal of 1."""
    root = np.sqrt(inverse)
    vector = np.where(inverse > 0, 1.0, 0.0)
    size = 1.0
    for _ in range(POWER):
        vector = root * product(root * vector)
        size = np.linalg.norm(vector)
        if size == 0:
            return 1.0
        vector = vector / size
    return max(size, 1.0)

"""Readings of a table for losses that look at all predictions of a row: looks, Hessians, and a bound from below.

Such a loss is a maximum over distributions a (:class:`~sklosses.losses.MulticlassLoss`): its gradient is a - y, and its
Hessian diag(h) - h h' / sum(h) for some h, row by row. Both are all that is used here.
"""

from itertools import pairwise

import numpy as np

from sklosses._isa import kernel
from sklosses.solvers._reading import LANES, Reading, added

# Blocks of rows that stay in the second-level cache from a product to the next. They are summed in so many groups, each
# by one thread, in order.
BLOCK_BYTES, FEWEST_ROWS, GROUPS = 1 << 19, 64, 32
# Sparse blocks have so many entries a column: their products back are as large as the coefficients.
ENTRIES_A_COLUMN, ENTRY_BYTES = 4, 12
# Newton's steps towards the best intercepts; the least curvature that they divide by, beside the sum of losses: where
# no row has any, steps are the longest that are allowed.
SHIFTS, FLAT = 60, 1e-100
# Widths to which kinks are rounded, one after the other, where the best constant is sought.
WIDTHS = 0.5, 1e-2


class SliceLook:
    """What a reading finds.

    Attributes
    ----------
    p, a : ndarray of shape (n_rows, K)
        Predictions, and the distributions that are best there.
    value : float
        Sum of weighted values.
    product : ndarray of shape (K, n_features)
        (s (a - y))' X
    slope : ndarray of shape (K,)
        Column sums of s (a - y).
    """

    __slots__ = ("a", "p", "product", "slope", "value")

    def __init__(self, p, a, value, product, slope):
        self.p, self.a, self.value, self.product, self.slope = p, a, value, product, slope


class SliceReading(Reading):
    """Readings of the rows of a problem with one loss of whole rows. A context manager, as :class:`Reading`.

    Parameters
    ----------
    problem : Problem
        Its `losses` are one loss with all K columns.
    n_threads : int, default=1
    gather : bool, default=False
        See :class:`Reading`.
    """

    def __init__(self, problem, n_threads=1, *, gather=False):
        super().__init__(problem, n_threads, gather=gather)
        self.loss, self.K = problem.losses[0]
        y = self.targets
        self.y = y[0].astype(np.int64) if len(y) == 1 else np.ascontiguousarray(y.T)
        self.s = self.weight(0)
        self.total = float(self.totals[0])
        self._kernel = kernel("sklosses.solvers._slice_kernel")
        self.padding = -self.K % self._kernel.PAD
        if self.sparse:
            size = max(BLOCK_BYTES, ENTRIES_A_COLUMN * ENTRY_BYTES * self.n_features) // max(1, problem.rows.row_bytes)
        else:
            size = BLOCK_BYTES // max(8 * self.n_features, problem.rows.row_bytes)
        size = max(FEWEST_ROWS, size)
        edges = np.linspace(0, self.n_rows, max(1, -(-self.n_rows // size)) + 1).astype(int)
        blocks = [slice(*pair) for pair in pairwise(edges)]
        self.most_rows = max(block.stop - block.start for block in blocks)
        ends = np.linspace(0, len(blocks), min(GROUPS, len(blocks)) + 1).astype(int)
        self.groups = [blocks[first:last] for first, last in pairwise(ends)]
        self.shares = self._sums(self.indicator(slice(None))) / self.total

    def indicator(self, chunk):
        """Targets of rows as distributions."""
        y = self.y[chunk]
        return np.eye(self.K)[y] if y.ndim == 1 else y

    def _sums(self, v):
        """Weighted column sums."""
        return v.sum(axis=0) if self.s is None else self.s @ v

    def evaluate(self, p, chunk=slice(None), loss=None):
        """The sum of weighted values, and the best distributions, at predictions."""
        value, a = (self.loss if loss is None else loss).evaluate(self.y[chunk], p)
        return float(value.sum() if self.s is None else self.s[chunk] @ value), a

    def gradients(self, a, chunk=slice(None)):
        """The gradients s (a - y) of rows."""
        g = a.copy()
        y = self.y[chunk]
        if y.ndim == 1:
            g[np.arange(len(g)), y] -= 1
        else:
            g -= y
        if self.s is not None:
            g *= self.s[chunk, np.newaxis]
        return g

    def see(self, coef, intercept, loss=None):
        """The loss at given coefficients of shape (K, d) and intercepts: one reading.

        Returns
        -------
        SliceLook
        """
        self.readings += 1
        p, a = np.empty((self.n_rows, self.K)), np.empty((self.n_rows, self.K))
        turned = self._turned(coef)

        def visit(group):
            work, value, slope = _Work(self), 0.0, np.zeros(self.K)
            for chunk in group:
                block = work.load(chunk)
                work.forward(block, turned, p[chunk])
                p[chunk] += intercept
                found, a[chunk] = self.evaluate(p[chunk], chunk, loss)
                g = self.gradients(a[chunk], chunk)
                work.backward(block, g)
                value += found
                slope += g.sum(axis=0)
            return value, work.sums(), slope

        parts = self.each(visit, self.groups)
        value, product, slope = (added(part[j] for part in parts) for j in range(3))
        return SliceLook(p, a, value, np.ascontiguousarray(product.T), slope)

    def back_slices(self, g):
        """g' X for g of shape (n_rows, K), in one reading."""
        self.readings += 1

        def visit(group):
            work = _Work(self)
            for chunk in group:
                work.backward(work.load(chunk), g[chunk])
            return work.sums()

        return np.ascontiguousarray(added(self.each(visit, self.groups)).T)

    def products(self, coef, intercept):
        """X coef' + intercept, in one reading."""
        self.readings += 1
        turned, p = self._turned(coef), np.empty((self.n_rows, self.K))

        def visit(group):
            work = _Work(self)
            for chunk in group:
                work.forward(work.load(chunk), turned, p[chunk])
                p[chunk] += intercept

        self.each(visit, self.groups)
        return p

    def centre(self, fit_intercept):
        """The weighted mean of the rows, where intercepts are fitted; else 0."""
        return self.back(self.mass(0)) / self.total if fit_intercept else np.zeros(self.n_features)

    def squares_by_class(self, weight, centre):
        """sum_i h_ik (x_ij - m_j)^2 for weights h of shape (n_rows, K): of shape (K, d), in one reading."""
        self.readings += 1

        def visit(group):
            work = _Work(self)
            for chunk in group:
                block = work.load(chunk)
                work.backward(block.power(2) if self.sparse else (block - centre) ** 2, weight[chunk])
            return work.sums()

        squares = added(self.each(visit, self.groups)).T
        if self.sparse:
            squares = squares - 2 * centre * self.back_slices(weight) + np.outer(weight.sum(axis=0), centre**2)
        return np.maximum(squares, 0.0)

    def _turned(self, coef):
        return coef.T if self.sparse else np.pad(np.ascontiguousarray(coef.T), ((0, 0), (0, self.padding)))

    def hessian(self, h, centre):
        """The Hessian of the sum of losses, in coefficients of centred rows and then intercepts.

        Parameters
        ----------
        h : ndarray of shape (n_rows, K)
            Of each row, times its weight.
        centre : ndarray of shape (n_features,)

        Returns
        -------
        ndarray of shape (K (n_features + 1), K (n_features + 1))
        """
        K, d = self.K, self.n_features
        total = h.sum(axis=1)
        rest = total[:, np.newaxis] - h
        few = rest < 0.5 * h                # where one class has most of it, a difference would cancel
        if np.any(few):
            i, k = np.nonzero(few)
            others = h[i]
            others[np.arange(len(i)), k] = 0
            rest[i, k] = others.sum(axis=1)
        inverse = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
        own = h * rest * inverse[:, np.newaxis]             # the diagonal of each row's matrix
        root = h * np.sqrt(inverse)[:, np.newaxis]
        used = own.max(axis=1) > 0
        self.readings += 1

        def lane(number):
            out, diagonal = np.zeros((K * (d + 1), K * (d + 1))), np.zeros((K, d + 1, d + 1))
            for chunk in self.chunks[number::LANES]:
                rows = np.flatnonzero(used[chunk]) + chunk.start
                if not len(rows):
                    continue
                z = np.ones((len(rows), d + 1))
                block = self.rows_of(chunk)[rows - chunk.start]
                np.subtract(block.toarray() if self.sparse else block, centre, out=z[:, :d])
                wide = (root[rows][:, :, np.newaxis] * z[:, np.newaxis, :]).reshape(len(rows), -1)
                out -= wide.T @ wide
                for k in range(K):
                    scaled = z * np.sqrt(own[rows, k])[:, np.newaxis]
                    diagonal[k] += scaled.T @ scaled
            return out, diagonal

        lanes = self.each(lane, range(min(LANES, len(self.chunks))))
        matrix = added(part[0] for part in lanes).reshape(K, d + 1, K, d + 1)
        at = np.arange(K)
        matrix[at, :, at, :] = added(part[1] for part in lanes)
        matrix = matrix.reshape(K * (d + 1), K * (d + 1))
        order = np.arange(K * (d + 1)).reshape(K, d + 1)
        order = np.concatenate([order[:, :d].ravel(), order[:, d]])
        return np.ascontiguousarray(matrix[np.ix_(order, order)])

    def tie(self, matrix, features):
        """Give curvature to predictions that all rise alike, which change no loss: to no effect but on rounding.

        Parameters
        ----------
        matrix : ndarray of shape (K (n_features + 1), K (n_features + 1))
            As :meth:`hessian` makes it; changed.
        features : bool
            Whether coefficients have nothing else to hold them together; else only intercepts are tied.
        """
        K, d = self.K, self.n_features
        groups = [K * d + np.arange(K)]
        if features:
            groups += [np.arange(K) * d + j for j in range(d)]
        for group in groups:
            matrix[np.ix_(group, group)] += np.mean(np.diag(matrix)[group]) / K

    def spread(self, a, loss=None):
        """The h of :meth:`hessian`, at distributions a."""
        h = (self.loss if loss is None else loss).spread(a)
        return h if self.s is None else h * self.s[:, np.newaxis]


class _Work:
    """Products of blocks of rows with coefficients, and sums of products back; memory for both.

    BLAS is slow where one of the matrices is as narrow as a few classes.
    """

    def __init__(self, reading):
        self.reading, self.kernel, self.sparse, self.K = reading, reading._kernel, reading.sparse, reading.K
        width = self.K + reading.padding
        self.out = np.zeros((reading.n_features, self.K if self.sparse else width))
        if not self.sparse:
            self.wide = np.zeros((reading.most_rows, width))

    def load(self, chunk):
        """A block of rows in float64."""
        block = self.reading.rows_of(chunk)
        return block if self.sparse else np.ascontiguousarray(block)

    def forward(self, block, turned, p):
        """Write a block's predictions."""
        if self.sparse:
            p[...] = block @ turned
            return
        wide = self.wide[: len(block)]
        wide[...] = 0.0
        self.kernel.forward(block, turned, wide)
        p[...] = wide[:, : self.K]

    def backward(self, block, g):
        """Add a block's product to the sums."""
        if self.sparse:
            self.out += block.T @ g
            return
        wide = self.wide[: len(block)]
        wide[:, : self.K] = g
        wide[:, self.K :] = 0.0
        self.kernel.backward(block, wide, self.out)

    def sums(self):
        """block' g, summed: of shape (d, K)."""
        return self.out[:, : self.K]


def best_shifts(reading, p, loss=None):
    """The K numbers that, added to the predictions, minimise the sum of losses. Smooth losses; reads no rows.

    Newton's method with step halving. A class without weight has no best shift: it is left where 60 steps lead.
    """
    K = reading.K
    shift = np.zeros(K)
    value, a = reading.evaluate(p, loss=loss)
    for _ in range(SHIFTS):
        slope = reading.gradients(a).sum(axis=0)
        h = reading.spread(a, loss)
        total = h.sum(axis=1, keepdims=True)
        matrix = np.diag(h.sum(axis=0)) - h.T @ np.divide(h, total, out=np.zeros_like(h), where=total > 0)
        scale = max(np.trace(matrix), FLAT * abs(value), 1e-300) / K
        step = -np.linalg.solve(matrix + scale * (np.full((K, K), 1 / K) + 1e-9 * np.eye(K)), slope)
        step = np.clip(step, -5.0, 5.0)
        fall, length = -(slope @ step), 1.0
        if not fall > 1e-15 * abs(value):
            break
        while length > 1e-4:
            trial, at = reading.evaluate(p + shift + length * step, loss=loss)
            if trial <= value - 1e-4 * length * fall or (fall < 1e-9 * abs(value) and trial <= value * (1 + 1e-14)):
                break
            length *= 0.5
        else:
            break
        shift, value, a = shift + length * step, trial, at
    return shift


def best_constant(reading, p):
    """The numbers added to the predictions of every row that make the loss least, nearly, and where that is smooth.

    Returns
    -------
    shift : ndarray of shape (K,)
    value : float
        The sum of losses there.
    smooth : tuple
        A smoothed form of a loss with kinks, or the loss itself, and the best shift for it.
    """
    first = best_shifts(reading, p, reading.loss.smoothed(WIDTHS[0]))
    loss = reading.loss if reading.loss.traits.smooth else reading.loss.smoothed(WIDTHS[1])
    near = first + best_shifts(reading, p + first, loss)
    if loss is reading.loss:
        return near, reading.evaluate(p + near)[0], (loss, near)
    # Costs are 0 or 1: at the vertices of the linear programme differences of the constants are whole.
    trials = [near, np.round(near - near.min())]
    values = [reading.evaluate(p + trial)[0] for trial in trials]
    best = int(np.argmin(values))
    return trials[best], values[best], (loss, near)


class Dual:
    """Lower bounds on the minimum over all coefficients and intercepts, from distributions.

    With u = a - y, weighted means over rows, and X'u of each class's column::

        F* >= mean(s u.b - s phi*(u)) - ||(|X'u| - l1)+||^2 / (2 l2)

    where the column sums of s u are 0 if intercepts are fitted (b: those that are not). Distributions are mixed with a
    constant one until they are. Without l2 they are mixed with the targets until no |X'u| exceeds l1.

    Parameters
    ----------
    reading : SliceReading
    penalty : tuple of two floats
        l1 and l2.
    centre : ndarray of shape (n_features,)
        The rows' weighted mean, if intercepts are fitted, else 0.
    fixed : ndarray of shape (K,) or None
        Intercepts that are not fitted.
    """

    def __init__(self, reading, penalty, centre, fixed):
        self.reading, self.centre, self.fixed = reading, centre, fixed
        self.l1, self.l2 = penalty
        self.absent = reading.shares <= 0 if fixed is None else np.zeros(reading.K, dtype=bool)
        self.target = None

    def __call__(self, a, product, slope):
        """The bound: `product` and `slope` are those of s (a - y)."""
        reading, total = self.reading, self.reading.total
        if not (self.l1 > 0 or self.l2 > 0):
            return -np.inf
        if np.any(self.absent):
            a = np.where(self.absent, 0.0, a)
            a /= np.maximum(a.sum(axis=1, keepdims=True), 1e-300)
            g = reading.gradients(a)
            product, slope = reading.back_slices(g), g.sum(axis=0)
        moved = product - np.outer(slope, self.centre)
        if self.fixed is None:
            a, moved = self._balanced(a, moved, slope / total)
        moved = moved / total
        if self.l2 == 0:
            share = min(1.0, self.l1 / max(np.abs(moved).max(initial=0.0), 1e-300))
            a = share * a + (1 - share) * reading.indicator(slice(None))
            slope = share * slope
        conjugate = reading.loss.conjugate_at(reading.y, a)
        value = -float(conjugate.sum() if reading.s is None else reading.s @ conjugate) / total
        if self.fixed is not None:
            value += float(self.fixed @ slope) / total
        if self.l2 == 0:
            return value
        beyond = np.maximum(np.abs(moved) - self.l1, 0.0)
        return value - float(np.vdot(beyond, beyond)) / (2 * self.l2)

    def _balanced(self, a, moved, surplus):
        """Distributions whose mean is the targets', and what becomes of the product with centred rows."""
        mean = self.reading.shares + surplus
        over = surplus > 0
        share = float(np.max(surplus[over] / mean[over], initial=0.0))
        if share <= 0:
            return a, moved
        share = min(1.0, share * (1 + 1e-12) + 1e-300)
        constant = np.maximum(mean - surplus / share, 0.0)
        constant /= constant.sum()
        if self.target is None:
            y = self.reading.indicator(slice(None))
            g = y if self.reading.s is None else y * self.reading.s[:, np.newaxis]
            self.target = self.reading.back_slices(g) - np.outer(g.sum(axis=0), self.centre)
        return (1 - share) * a + share * constant, (1 - share) * moved - share * self.target

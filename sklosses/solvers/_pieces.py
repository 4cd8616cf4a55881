"""Rows that a stream takes in, and what a loss makes of them in one column."""

from dataclasses import dataclass, replace

import numpy as np

from sklosses._isa import kernel

# Half the width of a difference of gradients, as a share of the median residual.
SECANT = 0.1


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows: a design of centred features and a constant, and what belongs to them.

    Attributes
    ----------
    design : ndarray or CSR array of shape (m, d + 1)
    targets : ndarray of shape (n_columns, m) or (1, m)
    weights : ndarray of shape (n_columns, m) or (1, m), or None
    offset : ndarray of shape (m,) or None
    """

    design: object
    targets: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None

    @property
    def n_rows(self):
        """Number of rows."""
        return self.design.shape[0]

    def weight(self, k):
        """Weights of a column, None if all are 1."""
        return None if self.weights is None else self.weights[k if len(self.weights) > 1 else 0]

    def total(self, k):
        """Sum of the weights of a column."""
        return float(self.n_rows) if self.weights is None else float(self.weight(k).sum())

    def largest_weight(self):
        """The largest weight that each row has in any column, None if all are 1."""
        return None if self.weights is None else self.weights.max(axis=0)

    def take(self, rows):
        """Some of the rows, copied."""
        return Batch(self.design[rows], self.targets[:, rows], None if self.weights is None else self.weights[:, rows],
                     None if self.offset is None else self.offset[rows])

    def faded(self, factors):
        """The rows, with the weights of each column times a number."""
        if np.all(factors == 1):
            return self
        weights = np.ones((len(factors), self.n_rows)) if self.weights is None else self.weights
        return replace(self, weights=weights * factors[:, np.newaxis])

    def with_rows(self, other):
        """These rows and then the other ones."""
        weights, offset = None, None
        if self.weights is not None or other.weights is not None:
            parts = [np.ones((1, batch.n_rows)) if batch.weights is None else batch.weights for batch in (self, other)]
            K = max(map(len, parts))
            weights = np.concatenate([np.broadcast_to(part, (K, part.shape[1])) for part in parts], axis=1)
        if self.offset is not None or other.offset is not None:
            offset = np.concatenate([np.zeros(batch.n_rows) if batch.offset is None else batch.offset
                                     for batch in (self, other)])
        return Batch(np.concatenate([self.design, other.design]),
                     np.concatenate([self.targets, other.targets], axis=1), weights, offset)


def faded(batch, n_columns, forgetting):
    """By how much the past of each column fades when a batch has come, how many of its rows count, and it itself.

    Rows of weight 0 do not count; within the batch, too, a row fades with those that come after it.
    """
    counted = np.ones((1, batch.n_rows), dtype=bool) if batch.weights is None else batch.weights > 0
    counts = np.broadcast_to(counted.sum(axis=1), n_columns)
    if forgetting == 1:
        return np.ones(n_columns), counts, batch
    later = counted.sum(axis=1, keepdims=True) - np.cumsum(counted, axis=1)
    fading = forgetting ** later.astype(np.float64)
    return forgetting ** counts.astype(np.float64), counts, replace(
        batch, weights=fading if batch.weights is None else batch.weights * fading)


@dataclass(frozen=True)
class Added:
    """The new rows at the end of a piece: how many, how many of them count, and the sum of their weights."""

    n_rows: int
    counted: int
    total: float


class Piece:
    """Rows as a column sees them.

    Parameters
    ----------
    loss : Loss
    batch : Batch
    k : int
        Number of the column.
    fixed : float
        Added to all predictions.
    """

    def __init__(self, loss, batch, k, fixed):
        self.loss, self.design, self.offset = loss, batch.design, batch.offset
        if fixed:
            self.offset = fixed if batch.offset is None else batch.offset + fixed
        self.targets = np.ascontiguousarray(batch.targets[k if len(batch.targets) > 1 else 0])
        self.weights, self.n_rows, self.total = batch.weight(k), batch.n_rows, batch.total(k)
        self.kinks, self._has_second = _declared(loss, self.targets)
        self._sweep = kernel("sklosses.losses._arrays").sweep

    def predict(self, theta):
        """Raw predictions."""
        p = self.design @ theta
        return p if self.offset is None else p + self.offset

    def sweep(self, p, band=0.0):
        """The loss at predictions: sum of weighted values, and weighted first and second derivatives.

        Kinks c of jump j are rounded by the mean over a band of width b round each prediction: it adds
        ``j max(b/2 - |p - c|, 0)^2 / (2 b)``. Unlike rounding on one side it moves minima by no more than b^2.
        """
        value, first, second = np.empty((3, len(p)))
        self._evaluate(p, value, first, second if self._has_second else None)
        total = float(value.sum())
        if self.kinks is None:
            return total, first, second if self._has_second else self._secants(p)
        positions, jumps, slope = self.kinks
        away = p - positions
        inside = np.maximum(0.5 * band - np.abs(away), 0.0)
        weight = 1.0 if self.weights is None else self.weights
        share = np.clip(away / band + 0.5, 0.0, 1.0)
        first = weight * (slope + (jumps * share).sum(axis=0))
        second = weight * (jumps * (inside > 0)).sum(axis=0) / band
        return total + float((weight * (jumps * inside * inside).sum(axis=0)).sum()) / (2 * band), first, second

    def _evaluate(self, p, *results):
        arrays = tuple(None if result is None else result.reshape(-1, 1) for result in results)
        self._sweep(self.loss, self.targets.reshape(-1, 1), p.reshape(-1, 1), self.weights, arrays)

    def _secants(self, p):
        """Second derivatives of losses that have none, or have kinks that they do not declare: from the gradient."""
        width = SECANT * (float(np.median(np.abs(p - self.targets))) or 1.0)
        left, right = np.empty((2, len(p)))
        self._evaluate(p - width, None, left, None)
        self._evaluate(p + width, None, right, None)
        return (right - left) / (2 * width)


def _declared(loss, targets):
    """Kinks of a loss, their jumps and the slope before the first, or None; whether second derivatives can be had."""
    if loss.traits.smooth:
        return None, loss.has_hessian
    try:
        positions, jumps = loss.kinks(targets)
    except NotImplementedError:
        return None, False
    before = positions[0] - 1.0 - 1e-3 * np.abs(positions[0])
    return (positions, jumps, loss.gradient(targets, before)), False

"""Batches: standardised rows, and which of them belong together."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

from sklosses.embedding._neighbours import target_neighbours

_NONE = np.empty(0, dtype=int)


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows that a loss looks at together.

    Attributes
    ----------
    X : {ndarray, CSR} of shape (n, n_features)
        Standardised rows.
    codes : ndarray of int of shape (n,), or None
        Their classes; None without targets.
    anchors, partners : ndarray of int
        Positions of similar pairs.
    drawn : bool
        Whether partners were drawn from their whole class.
    """

    X: Any
    codes: np.ndarray | None
    anchors: np.ndarray = field(default_factory=lambda: _NONE)
    partners: np.ndarray = field(default_factory=lambda: _NONE)
    drawn: bool = False


class Rows:
    """Batches of rows alone: for losses that compare all rows of a batch with each other.

    Parameters
    ----------
    X : {ndarray, CSR} of shape (n, n_features)
    codes : ndarray of int of shape (n,), or None
    columns : Columns
        What the rows are standardised by.
    """

    def __init__(self, X, codes, columns):
        self.X, self.codes, self.columns = X, codes, columns

    @property
    def n_rows(self):
        """Rows of the table."""
        return self.X.shape[0]

    def anchors_of(self, batch_size):
        """How many rows to choose for a batch of so many rows."""
        return batch_size

    def whole(self, generator):
        """All rows as one batch."""
        return Batch(self._all, self.codes)

    def take(self, index, generator):
        """A batch of the rows at `index`."""
        return Batch(self.columns.rows(self.X, index), self.codes[index])

    @property
    def _all(self):
        """All rows, standardised once."""
        if "_standard" not in vars(self):
            self._standard = self.columns.rows(self.X)
        return self._standard


class Partners(Rows):
    """Batches of similar pairs.

    Parameters
    ----------
    X, codes, columns
        As for :class:`Rows`.
    space : ndarray of shape (n, d) or None
        Where target neighbours are looked for.
    n_neighbors : int or None
        How many target neighbours a row has; None: a partner may be any row of its class.
    generator : Generator
    """

    def __init__(self, X, codes, columns, space, n_neighbors, generator):
        super().__init__(X, codes, columns)
        self.drawn = n_neighbors is None
        if self.drawn:
            self._order = np.argsort(codes, kind="stable")
            self._counts = np.bincount(codes)
            self._starts = np.cumsum(self._counts) - self._counts
            self._place = np.empty(len(codes), dtype=int)
            self._place[self._order] = np.arange(len(codes)) - self._starts[codes[self._order]]
        else:
            self._targets = target_neighbours(space, codes, n_neighbors, generator)

    def anchors_of(self, batch_size):
        """Half of a batch are partners."""
        return max(1, batch_size // 2)

    def whole(self, generator):
        """All rows, each with one partner, or with all its target neighbours."""
        everyone = np.arange(self.n_rows)
        if self.drawn:
            anchors, partners = everyone, self._draw(everyone, generator)
        else:
            anchors, partners = np.repeat(everyone, self._targets.shape[1]), self._targets.ravel()
        kept = partners >= 0
        return Batch(self._all, self.codes, anchors[kept], partners[kept], self.drawn)

    def take(self, index, generator):
        """The rows at `index` and a partner for each; rows without one are negatives for the others."""
        partners = self._draw(index, generator)
        anchors = np.flatnonzero(partners >= 0)
        rows = np.concatenate([index, partners[anchors]])
        return Batch(self.columns.rows(self.X, rows), self.codes[rows], anchors,
                     len(index) + np.arange(len(anchors)), self.drawn)

    def _draw(self, index, generator):
        if not self.drawn:
            return self._targets[index, generator.integers(0, self._targets.shape[1], len(index))]
        codes = self.codes[index]
        counts = self._counts[codes]
        step = 1 + (generator.random(len(index)) * (counts - 1)).astype(int)       # to any row but itself
        return np.where(counts > 1, self._order[self._starts[codes] + (self._place[index] + step) % counts], -1)


class Views(Rows):
    """Batches of pairs of noisy views of the same rows, for training without targets.

    In each view, each entry is replaced with probability `noise` by the entry of another, random row in the same
    column (Bahri, Jiang, Tay and Metzler, SCARF, ICLR 2022).

    Parameters
    ----------
    X, columns
        As for :class:`Rows`.
    noise : float
        In (0, 1).
    """

    def __init__(self, X, columns, noise):
        super().__init__(X, None, columns)
        self.noise = noise

    def whole(self, generator):
        """Two views of all rows."""
        return self.take(np.arange(self.n_rows), generator)

    def take(self, index, generator):
        """Two views of the rows at `index`."""
        corrupt = self._corrupted_sparse if sparse.issparse(self.X) else self._corrupted
        first, second = corrupt(index, generator), corrupt(index, generator)
        stack = sparse.vstack if sparse.issparse(self.X) else np.concatenate
        both = stack([first, second])
        n = len(index)
        return Batch(both.tocsr() if sparse.issparse(both) else both, None, np.arange(n), n + np.arange(n))

    def _corrupted(self, index, generator):
        rows = self.columns.rows(self.X, index)
        replaced, column = np.nonzero(generator.random(rows.shape, dtype=np.float32) < self.noise)
        donors = generator.integers(0, self.n_rows, len(column))
        rows[replaced, column] = (
            (self.X[donors, column] - self.columns.mean[column]) / self.columns.scale[column]).astype(rows.dtype)
        return rows

    def _corrupted_sparse(self, index, generator):
        """The same in CSR: donors are the rows drawn, each column moved around by a number of its own."""
        rows = self.columns.rows(self.X, index)
        donors = self.columns.rows(self.X, generator.integers(0, self.n_rows, len(index))).tocoo()
        moved = (donors.row + generator.integers(0, len(index), rows.shape[1])[donors.col]) % len(index)
        donors = sparse.csr_matrix((donors.data, (moved, donors.col)), shape=rows.shape)
        either = sparse.csr_matrix((np.ones(rows.nnz, bool), rows.indices, rows.indptr), rows.shape) + (donors != 0)
        either.data = generator.random(either.nnz) < self.noise
        replaced = either.astype(rows.dtype)
        return sparse.csr_matrix(rows - rows.multiply(replaced) + donors.multiply(replaced))

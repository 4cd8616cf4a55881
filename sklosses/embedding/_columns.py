"""Columns on a common scale, so that neither a scaler nor a learning rate is needed."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, issparse
from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis

#: No column's scale is less than this share of its range.
FLOOR = 0.1

#: Rows of a dense table that are looked at together.
CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Columns:
    """Where the columns of a table lie and how wide they are.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        float64; all 0 for a sparse table, which stays sparse.
    scale : ndarray of shape (n_features,)
        Standard deviations, but at least a tenth of the column's range: entries of a column that is nearly always the
        same would otherwise stand out by hundreds, and pull the embedding wherever they appear. 1 for constants.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, X):
        """The columns of a table, dense or CSR.

        Raises
        ------
        ValueError
            For a column of numbers so large, or so small, that no scale for it is a number of X's dtype.
        """
        with np.errstate(over="ignore", invalid="ignore"):      # `_check` says it better
            low, high = min_max_axis(X, axis=0) if issparse(X) else (X.min(axis=0), X.max(axis=0))
            low, high = low.astype(np.float64), high.astype(np.float64)
            width = np.where(high == low, 1.0, high - low)
            mean, variance = _moments(X, width)
            scale = width * np.where(high == low, 1.0, np.maximum(np.sqrt(variance), FLOOR))
            _check(mean, scale, (low, high), X.dtype)
        return cls(mean, scale)

    def rows(self, X, index=None):
        """Rows of the table, all or those at `index`, standardised (CSR: scaled), of X's dtype."""
        if issparse(X):
            chosen = (X if index is None else X[index]).copy()
            chosen.data *= (1.0 / self.scale).astype(X.dtype)[chosen.indices]
            return chosen
        chosen = X if index is None else X[index]
        standard = chosen - self.mean.astype(X.dtype)
        standard *= (1.0 / self.scale).astype(X.dtype)
        return np.ascontiguousarray(standard)


def _moments(X, width):
    """Means (0 for CSR), and variances of columns over their widths, whose squares neither over- nor underflow."""
    if issparse(X):
        shares = csr_matrix((X.data / width[X.indices], X.indices, X.indptr), shape=X.shape)
        return np.zeros_like(width), mean_variance_axis(shares, axis=0)[1]
    mean = X.mean(axis=0, dtype=np.float64)
    variance = np.zeros_like(mean)
    for first in range(0, len(X), CHUNK):
        apart = X[first : first + CHUNK] - mean
        apart /= width
        variance += np.einsum("ij,ij->j", apart, apart)
    return mean, variance / len(X)


def _check(mean, scale, ends, dtype):
    """Raise for a column that cannot be brought to a common scale in the floating-point numbers of its table."""
    used = np.stack([mean, scale, 1.0 / scale]).astype(dtype)
    bad = np.flatnonzero(~np.isfinite(used).all(axis=0) | (used[1:] == 0).any(axis=0))
    if len(bad):
        low, high = (float(end[bad[0]]) for end in ends)
        raise ValueError(f"X has values that cannot be standardised in {dtype}: column {bad[0]} runs from {low!r} to "
                         f"{high!r}. Give it in another unit{', or as float64' if dtype == np.float32 else ''}.")

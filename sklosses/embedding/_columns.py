"""Columns on a common scale, so that neither a scaler nor a learning rate is needed."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import issparse
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
        """The columns of a table, dense or CSR."""
        if issparse(X):
            mean, variance = (part.astype(np.float64) for part in mean_variance_axis(X, axis=0))
            low, high = (part.astype(np.float64) for part in min_max_axis(X, axis=0))
            mean = np.zeros_like(mean)
        else:
            low, high = X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64)
            mean = X.mean(axis=0, dtype=np.float64)
            variance = np.zeros_like(mean)
            for first in range(0, len(X), CHUNK):
                apart = X[first : first + CHUNK] - mean
                variance += np.einsum("ij,ij->j", apart, apart)
            variance /= len(X)
        constant = high == low
        scale = np.maximum(np.sqrt(variance), FLOOR * (high - low))
        return cls(mean, np.where(constant | (scale == 0), 1.0, scale))

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

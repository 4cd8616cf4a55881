"""Random tables that suit a loss, and the layouts that a table may come in."""

import numpy as np
from scipy.sparse import csr_array

from sklosses.losses import get_loss


def _wide_indices(X):
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "float32": lambda X: X.astype(np.float32),
    "apart": lambda X: np.repeat(np.repeat(X, 2, axis=1), 2, axis=0)[::2, ::2],
    "backwards": lambda X: X[::-1].copy()[::-1],
    "csr": csr_array,
    "csr32": lambda X: csr_array(X.astype(np.float32)),
    "csr_int64": lambda X: _wide_indices(csr_array(X)),
    "csr32_int64": lambda X: _wide_indices(csr_array(X.astype(np.float32))),
}


def layouts(*left_out):
    """The names of all layouts but these."""
    assert set(left_out) <= set(LAYOUTS)
    return [name for name in LAYOUTS if name not in left_out]


def targets(loss, signal):
    """Targets that a loss takes: the signal, its exponential, or the class it stands for."""
    target = loss.target
    if target.codes:
        return np.where(signal > 0, target.codes[1], target.codes[0])
    return np.exp(0.5 * signal) if target.low > -np.inf else signal


def table(name, n=300, d=4, *, seed=0, density=1.0, scales=1.0, informative=None):
    """(X, y, weights, offset) for a loss, with a signal in some of the columns, the first ones.

    Classes overlap, some weights are 0, X is exact in float32.
    """
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    if density < 1:
        X *= rng.random((n, d)) < density
    m = informative or d
    signal = X[:, :m] @ np.linspace(1, -0.5, m) + 0.3 + rng.standard_normal(n)
    X = (X * scales).astype(np.float32).astype(np.float64)
    return X, targets(get_loss(name), signal), rng.integers(0, 4, n).astype(float), 0.1 * rng.standard_normal(n)

"""The components that training starts from."""

import numpy as np
from scipy import linalg
from scipy.sparse import issparse

#: Rows that a start is computed from: its last digits do not matter.
ROWS = 10_000

#: Directions of largest variance in which the within-class scatter is inverted: it is d x d.
DIRECTIONS = 256

#: Share of the mean within-class variance added to all of them.
SHRINKAGE = 1e-3


def principal(S, n_components, generator):
    """The directions of largest variance of standardised rows (CSR: not centered).

    Parameters
    ----------
    S : {ndarray, CSR} of shape (n, d)
    n_components : int
        Where there are not as many, random ones of the smallest size found are added.
    generator : Generator

    Returns
    -------
    ndarray of shape (n_components, d)
        Orthonormal but for those added; float64.
    """
    from sklearn.decomposition import PCA, TruncatedSVD  # here: `import sklosses` is to be quick

    n, d = S.shape
    k = min(n_components, d, n - 1 if n > 1 else 1)
    seed = int(generator.integers(2**31 - 1))
    if issparse(S) and k < d:
        found = TruncatedSVD(k, random_state=seed).fit(S).components_
    else:
        dense = S.toarray() if issparse(S) else S
        with np.errstate(invalid="ignore"):     # of rows that are all the same it divides 0 by 0
            found = PCA(k, random_state=seed).fit(dense).components_
    added = generator.standard_normal((n_components - len(found), d)) / np.sqrt(d)
    return np.concatenate([found.astype(np.float64), added])


def discriminants(S, codes, n_components, generator):
    """Fisher's discriminants of standardised rows, then principal directions, all of within-class variance 1.

    Parameters
    ----------
    S, n_components, generator
        As for `principal`.
    codes : ndarray of int of shape (n,)

    Returns
    -------
    ndarray of shape (n_components, d)
    """
    basis = principal(S, min(S.shape[1], max(DIRECTIONS, n_components)), generator)
    T = np.asarray(S @ basis.T.astype(S.dtype), dtype=np.float64)
    T -= T.mean(axis=0)
    _, codes, counts = np.unique(codes, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), T.shape[1]))
    np.add.at(means, codes, T)
    means /= counts[:, None]
    within = T - means[codes]
    scatter = within.T @ within / len(T)
    scatter.flat[:: len(scatter) + 1] += SHRINKAGE * max(np.trace(scatter) / len(scatter), 1e-12)
    between = (means.T * counts) @ means / len(T)
    k = min(n_components, len(counts) - 1)
    values = linalg.eigh(between, scatter, subset_by_index=[len(scatter) - k, len(scatter) - 1])[1] if k else None
    found = values.T[::-1] @ basis if k else basis[:0]
    rest = basis[: n_components - len(found)]
    spread = np.sqrt(np.diag(scatter))[: len(rest), None]
    return np.concatenate([found, rest / spread])


def first_components(init, S, codes, shape, generator):
    """Components to start from, in standardised columns, before they are brought to a loss's scale.

    Parameters
    ----------
    init : {"pca", "lda", "random"}
    S : {ndarray, CSR} of shape (n, d)
        Standardised rows; a sample of them if they are many.
    codes : ndarray of int of shape (n,), or None
    shape : tuple of int
        (n_components, n_features)
    generator : Generator

    Returns
    -------
    ndarray of shape (n_components, n_features)
        float64.
    """
    if init == "random":
        return generator.standard_normal(shape) / np.sqrt(shape[1])
    if init == "lda":
        return discriminants(S, codes, shape[0], generator)
    return principal(S, shape[0], generator)


def rescaled(components, S, target, generator):
    """Components times the number that makes the mean squared distance of two random rows `target`."""
    Z = np.asarray(S @ components.T.astype(S.dtype), dtype=np.float64)
    apart = Z[generator.permutation(len(Z))] - Z
    mean = np.einsum("ij,ij->", apart, apart) / max(len(Z) - 1, 1)
    return components * np.sqrt(target / mean) if mean > 0 else components

"""Nearest rows by blocks of distances: of a row's own class among all rows, of other classes in a batch."""

import numpy as np

#: Rows whose distances to all candidates are held at a time.
BLOCK = 512

#: Candidates among which a class's neighbours are looked for: a sample of the class beyond.
CANDIDATES = 10_000


def distances(A, B):
    """Squared Euclidean distances between the rows of A and of B."""
    squared = A @ B.T
    squared *= -2
    squared += np.einsum("ij,ij->i", A, A)[:, None]
    squared += np.einsum("ij,ij->i", B, B)
    return np.maximum(squared, 0, out=squared)


def target_neighbours(S, codes, n_neighbors, generator):
    """The nearest rows of each row's own class, its "target neighbours" (Weinberger and Saul, JMLR 10, 2009).

    Parameters
    ----------
    S : ndarray of shape (n, d)
        Rows in a space where distances mean something.
    codes : ndarray of int of shape (n,)
        Their classes.
    n_neighbors : int
        How many to find; rows of smaller classes have some of theirs repeated.
    generator : Generator
        Chooses the candidates where a class has more rows than can be compared.

    Returns
    -------
    ndarray of int of shape (n, n_neighbors)
        -1 for rows that are alone in their class.
    """
    found = np.full((len(S), n_neighbors), -1)
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        if len(members) == 1:
            continue
        among = members
        if len(members) > CANDIDATES:
            among = np.sort(generator.choice(members, CANDIDATES, replace=False))
        k = min(n_neighbors, len(among) - 1)
        for first in range(0, len(members), BLOCK):
            rows = members[first : first + BLOCK]
            apart = distances(S[rows], S[among])
            apart[rows[:, None] == among] = np.inf
            near = np.argpartition(apart, k - 1, axis=1)[:, :k]
            found[rows] = among[near[:, np.arange(n_neighbors) % k]]
    return found


def nearest_others(Z, codes, anchors, n_nearest, beyond=None):
    """The nearest rows of other classes.

    Parameters
    ----------
    Z : ndarray of shape (n, d)
        Embeddings.
    codes : ndarray of int of shape (n,)
        Their classes.
    anchors : ndarray of int
        The rows whose neighbours are wanted.
    n_nearest : int
        How many for each.
    beyond : ndarray of shape (len(anchors),), default=None
        Squared distances that the rows found are to exceed. Where none does, the farthest row is taken.

    Returns
    -------
    ndarray of int of shape (len(anchors), at most n_nearest)
        -1 where there is no further row of another class.
    """
    found = []
    for first in range(0, len(anchors), BLOCK):
        rows = anchors[first : first + BLOCK]
        apart = distances(Z[rows], Z)
        apart[codes[rows][:, None] == codes] = np.inf
        if beyond is not None:
            near = apart <= beyond[first : first + BLOCK, None]
            apart[near] = np.finfo(apart.dtype).max - apart[near]      # inner ones last, the farthest of them first
        k = min(n_nearest, len(Z))
        near = np.argpartition(apart, k - 1, axis=1)[:, :k]
        near[np.isinf(np.take_along_axis(apart, near, axis=1))] = -1
        found.append(near)
    return np.concatenate(found)

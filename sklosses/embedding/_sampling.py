"""Which pairs and triplets of a batch a loss is evaluated on."""

import numpy as np

from sklosses.embedding._neighbours import distances, nearest_others

SAMPLING = ("all", "random", "semi-hard", "hard")

#: Triplets or pairs of one batch above which "all" is refused.
MOST = 20_000_000


def sample(sampling, batch, Z, n_nearest, generator):
    """Similar pairs, and for each some rows of other classes.

    Parameters
    ----------
    sampling : {"all", "random", "semi-hard", "hard"}
        "all": each pair of one class with every row of another. "random": the batch's partners with a random row of
        another class. "semi-hard": with the `n_nearest` nearest rows that are farther than the partner (FaceNet; where
        there is none, the farthest of the nearer ones). "hard": with the nearest rows, and without target neighbours
        the farthest of the anchor's class as its partner (batch-hard).
    batch : Batch
        Has `codes`, `anchors`, `partners` and `drawn`, whether these partners were drawn from the whole class.
    Z : ndarray of shape (n, n_components)
        The batch's embeddings; unit rows for a loss of cosines.
    n_nearest : int
        Rows of other classes for a pair, where the nearest are wanted.
    generator : Generator

    Returns
    -------
    anchors, partners, others : ndarrays of int of one length
        Positions in the batch: triplets. Empty if the batch has a single class, or no two rows of one.
    """
    codes = batch.codes
    if sampling == "all":
        return _all(codes)
    anchors, partners = batch.anchors, batch.partners
    if sampling == "hard" and batch.drawn:
        anchors, partners = _farthest_partners(Z, codes)
    if len(anchors) == 0 or (codes == codes[0]).all():
        return (np.empty(0, dtype=int),) * 3
    if sampling == "random":
        others = _random_others(codes, anchors, generator)[:, None]
    else:
        beyond = None
        if sampling == "semi-hard":
            apart = Z[anchors] - Z[partners]
            beyond = np.einsum("ij,ij->i", apart, apart)
        others = nearest_others(Z, codes, anchors, n_nearest, beyond)
    width = others.shape[1]
    anchors, partners, others = np.repeat(anchors, width), np.repeat(partners, width), others.ravel()
    kept = others >= 0
    return anchors[kept], partners[kept], others[kept]


def _all(codes):
    """Every triplet of a batch."""
    order = np.argsort(codes, kind="stable")
    _, counts = np.unique(codes, return_counts=True)
    total = int(np.sum(counts.astype(float) * (counts - 1) * (len(codes) - counts)))
    if total > MOST:
        raise ValueError(f"sampling='all' makes {total} triplets of a batch of {len(codes)} rows, more than {MOST}: "
                         "choose a smaller batch_size, or another sampling.")
    triplets, start = [np.empty((3, 0), dtype=int)], 0
    for count in counts:
        own = order[start : start + count]
        rest = np.concatenate([order[:start], order[start + count :]])
        first, second = np.nonzero(~np.eye(count, dtype=bool))
        triplets.append(np.stack([
            np.repeat(own[first], len(rest)), np.repeat(own[second], len(rest)), np.tile(rest, len(first))]))
        start += count
    return tuple(np.concatenate(triplets, axis=1))


def _farthest_partners(Z, codes):
    """Each row with the farthest of its class in the batch."""
    apart = distances(Z, Z)
    apart[codes[:, None] != codes] = -1
    np.fill_diagonal(apart, -1)
    farthest = apart.argmax(axis=1)
    anchors = np.flatnonzero(apart[np.arange(len(Z)), farthest] >= 0)
    return anchors, farthest[anchors]


def _random_others(codes, anchors, generator):
    """A random row of another class for each anchor, each equally likely."""
    order = np.argsort(codes, kind="stable")
    _, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    starts = np.cumsum(counts) - counts
    own = inverse[anchors]
    drawn = generator.integers(0, len(codes) - counts[own])
    return order[np.where(drawn < starts[own], drawn, drawn + counts[own])]

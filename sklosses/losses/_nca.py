"""Neighbourhood components analysis as a loss: the softmax over neighbours, in Euclidean distances."""

from typing import ClassVar

import numpy as np

from sklosses.losses._embedding import (
    POSITIVE,
    LabelledLoss,
    _codes,
    _embeddings,
    _nothing,
    _Results,
    _weights,
    effective_threads,
)

#: Bytes of the similarities of some rows to all, which stay in a processor's cache; and how many rows that may be.
CACHE = 2**20
FEWEST, MOST = 32, 256


class NCA(LabelledLoss):
    r"""Each row finds one of its own label among its soft neighbours.

    .. math:: -\log \frac{\sum_{j \ne i,\, y_j = y_i} \exp(-d_{ij}^2 / t)}{\sum_{k \ne i} \exp(-d_{ik}^2 / t)}

    with Euclidean distances d and the temperature t; 0 for a row that is alone with its label. The nearest positives
    count, wherever the rest of their class may be: that is what a vote of nearest neighbours needs, and what tells it
    from :class:`sklosses.losses.SupCon`, which draws each row to *all* rows of its label. Blocks of rows are compared
    with all rows, so no n x n matrix is ever held. BLAS does the work, with as many
    threads as threadpoolctl allows it: `n_threads` says nothing here.

    Parameters
    ----------
    temperature : float > 0, default=1.0
        The squared distance over which a neighbour's share falls by e.

    References
    ----------
    Goldberger, Roweis, Hinton and Salakhutdinov, Neighbourhood components analysis, NIPS 2004: the variant with the
    logarithm, the second of the paper. scikit-learn's NeighborhoodComponentsAnalysis maximises the probabilities.

    Examples
    --------
    >>> from sklosses.losses import NCA
    >>> NCA().value([[0.0], [1.0], [2.0]], [0, 0, 1]).round(4)
    array([0.0486, 0.6931, 0.    ])
    """

    name = "nca"
    ranges: ClassVar[dict] = {"temperature": POSITIVE}

    def __init__(self, temperature=1.0):
        self._set(temperature=temperature)

    def _batch(self, what, Z, labels, sample_weight, settings):
        arrays = _embeddings(Z=Z)
        Z = arrays["Z"]
        codes, counts = _codes(labels, len(Z))
        weight = _weights(sample_weight, len(Z))
        effective_threads(settings[1])      # checked, as by the other losses
        results = _Results(what, (len(Z),), arrays, settings[0])
        if counts.max() == 1:
            results.zero()
            _nothing(self, "no two rows have the same label")
        else:
            weight = np.ones(len(Z)) if weight is None else weight
            results.separate(arrays.values())
            value, gradients = results.outputs
            _soft_neighbours(Z, (codes, counts), weight, self.temperature, (value, gradients and gradients[0]))
        return results.returned()


def _soft_neighbours(Z, classes, weight, temperature, outputs):
    """Write values and gradients, each None if not asked for; `classes` are codes and how many rows have each."""
    codes, counts = classes
    value, gradient = outputs
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(counts)
    # Distances do not know the origin, but their rounding does: the middle is the best one.
    scale = 1.0 / np.sqrt(temperature)
    rows = np.ascontiguousarray(((Z[order] - Z.mean(axis=0, dtype=np.float64)) * scale).astype(Z.dtype))
    weight = weight[order] * (counts[codes[order]] > 1)
    # 2 a.b - |b|^2 in one product; -|a|^2 is the same throughout a row of similarities, which are relative.
    left = np.column_stack([2 * rows, np.ones(len(rows), rows.dtype)])
    right = np.column_stack([rows, -np.einsum("ij,ij->i", rows, rows)])
    slope, pulled = np.zeros_like(rows), np.zeros(len(rows), rows.dtype)
    step = int(np.clip(CACHE // (len(rows) * rows.itemsize), FEWEST, MOST))
    for first in range(0, len(rows), step):
        last = min(first + step, len(rows))
        shares = left[first:last] @ right.T
        shares[np.arange(last - first), np.arange(first, last)] = -np.inf
        shares -= shares.max(axis=1, keepdims=True)
        values, total = _shares(shares, _own(codes[order], ends, first, last))
        if value is not None:
            value[order[first:last]] = values * weight[first:last]
        if gradient is not None:
            # Rows of `shares` sum to 0: what pulls at the row itself cancels.
            push = (weight[first:last] / total).astype(rows.dtype)
            slope[first:last] += push[:, None] * (shares @ rows)
            slope += shares.T @ (push[:, None] * rows[first:last])
            pulled += push @ shares
    if gradient is not None:
        gradient[order] = (slope - pulled[:, None] * rows) * Z.dtype.type(2 * scale)


def _own(codes, ends, first, last):
    """Where rows[first:last] meet rows of their own label: slices of rows, less `first`, and of columns."""
    found = []
    for code in range(codes[first], codes[last - 1] + 1):
        start = ends[code - 1] if code else 0
        if ends[code] - start > 1:
            found.append((slice(max(start, first) - first, min(ends[code], last) - first), slice(start, ends[code])))
    return found


def _shares(similar, own):
    """Turn similarities, in place, into `total` times the derivatives of the values in them; return values and `total`.

    Similarities are relative to the largest of their row: no sum of exponentials is less than 1. Those of positives may
    all underflow, though; the few rows where they might are done again, relative to the largest positive.
    """
    far = _far(similar, own)
    np.exp(similar, out=similar)
    total = similar.sum(axis=1)
    positive = total.copy()
    for at, columns in own:
        positive[at] = similar[at, columns].sum(axis=1)
    for at, *_ in far:
        positive[at] = total[at]
    values = np.log(np.maximum(total / positive, 1.0))
    for at, columns in own:
        similar[at, columns] *= (1.0 - total[at] / positive[at])[:, None]
    for at, columns, shares, logarithm in far:
        values[at] = np.log(total[at]) - logarithm
        similar[at, columns] = -total[at, None] * shares
    return values, total


def _far(similar, own):
    """Rows whose positives might underflow: (rows, columns, shares of the positives, log of their sum)."""
    least = 0.75 * np.log(np.finfo(similar.dtype).tiny)
    found = []
    for at, columns in own:
        tops = similar[at, columns].max(axis=1)
        rows = np.flatnonzero(tops < least)
        if len(rows):
            shares = np.exp(similar[at.start + rows, columns] - tops[rows, None])
            sums = shares.sum(axis=1)
            found.append((at.start + rows, columns, shares / sums[:, None], tops[rows] + np.log(sums)))
    return found

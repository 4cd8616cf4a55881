"""Folds of a table: which rows they have in common."""

from dataclasses import dataclass

import numpy as np

# Folds are told apart by bits of an integer, so many at a time.
BITS = 16
# Patterns have so many rows on average, at least: they are what is read together.
FEWEST_ROWS = 512


@dataclass(frozen=True, eq=False)
class Patterns:
    """Rows by the folds that train on them.

    Attributes
    ----------
    order : ndarray of shape (m,)
        Rows that any fold trains on, those of a pattern together.
    ends : ndarray of shape (P,)
        Where each pattern's rows end in the order.
    masks : ndarray of shape (n_folds, P)
        1 where a fold trains on the rows of a pattern.
    """

    order: np.ndarray
    ends: np.ndarray
    masks: np.ndarray


def patterns(n_rows, subsets):
    """The patterns of the rows of folds.

    Parameters
    ----------
    n_rows : int
    subsets : sequence of (ndarray or None)
        Numbers of the rows of each fold; None: all.

    Returns
    -------
    Patterns or None
        None where a fold has a row twice, or patterns have few rows.
    """
    if len(subsets) == 1:
        order = np.arange(n_rows) if subsets[0] is None else np.ascontiguousarray(subsets[0], dtype=np.intp)
        return Patterns(order, np.array([len(order)]), np.ones((1, 1)))
    inside = np.zeros((len(subsets), n_rows), dtype=bool)
    for fold, subset in enumerate(subsets):
        inside[fold, slice(None) if subset is None else subset] = True
        if subset is not None and len(subset) != np.count_nonzero(inside[fold]):
            return None
    # In an order of their own, so that results do not depend on the order in which folds are given.
    ranked = inside[sorted(range(len(subsets)), key=lambda fold: np.packbits(inside[fold]).tobytes())]
    pattern = np.zeros(n_rows, dtype=np.uint16)
    for first in range(0, len(subsets), BITS):
        bits = np.zeros(n_rows, dtype=np.uint16)
        for bit, row in enumerate(ranked[first : first + BITS]):
            bits |= row.astype(np.uint16) << np.uint16(bit)
        both = _numbered(bits) if first == 0 else _numbered(pattern.astype(np.int64) * 2**BITS + bits)
        if both is None:
            return None
        pattern = both
    counts = np.bincount(pattern)
    if n_rows < FEWEST_ROWS * len(counts):
        return None
    order = np.argsort(pattern, kind="stable")
    ends = np.cumsum(counts)
    masks = inside[:, order[ends - 1]].astype(np.float64)
    none = ~masks.any(axis=0)       # rows that no fold trains on: at most one pattern
    if none.any():
        at = int(np.flatnonzero(none)[0])
        start = ends[at] - counts[at]
        order = np.delete(order, slice(start, ends[at]))
        ends, masks = np.cumsum(np.delete(counts, at)), np.delete(masks, at, axis=1)
    return Patterns(order, ends, np.ascontiguousarray(masks))


def _numbered(codes):
    """Codes as numbers from 0 on without gaps, uint16; None if there are more."""
    if codes.dtype == np.uint16:
        used = np.flatnonzero(np.bincount(codes))
        number = np.zeros(2**BITS, dtype=np.uint16)
        number[used] = np.arange(len(used))
        return number[codes]
    values, number = np.unique(codes, return_inverse=True)
    return number.astype(np.uint16) if len(values) <= 2**BITS else None

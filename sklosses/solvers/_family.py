"""Columns of one loss that differ in its parameter: which are solved first, and where the others start.

Solutions change little from one quantile to the next, and mostly along the line between their neighbours'. So the first
one, the middle and the last take the way over samples; each of the others starts on all rows, between two that are
solved, where its loss is lowest.
"""

from dataclasses import dataclass

import numpy as np

from sklosses._isa import kernel
from sklosses.solvers._sides import middle, some

_kernel = kernel("sklosses.solvers._reading_kernel")

# Fewer columns are solved all at once.
FEWEST = 4
# Halving the distance of the neighbours leaves a quarter of what their line misses, were it smooth; with room:
SHARE_LEFT = 0.35
# How closely the best place between neighbours is found among some of the rows; how far from there the slope of all
# rows is asked for once more, and how far they may move it.
CLOSELY, NEARBY, FURTHEST = 1e-3, 0.02, 0.1


@dataclass(frozen=True)
class Between:
    """A column that starts between two others.

    Attributes
    ----------
    column, left, right : int
        Its number and those of its neighbours.
    like : Between or None
        That of the place whose miss says how far this one is off: of twice the distance. None: of no column.
    """

    column: int
    left: int
    right: int
    like: object = None


def levels(n_columns):
    """Columns in the order in which they are solved: the first ones, and then lists of :class:`Between`.

    Examples
    --------
    >>> from sklosses.solvers._family import levels
    >>> first, *later = levels(9)
    >>> first, [[place.column for place in level] for level in later]
    ([0, 4, 8], [[2, 6], [1, 3, 5, 7]])
    """
    if n_columns < FEWEST:
        return [list(range(n_columns))]
    root = Between(n_columns // 2, 0, n_columns - 1)
    out, parents = [[0, root.column, n_columns - 1]], [root]
    while True:
        halves = [half for place in parents for half in ((place.left, place.column, place), (place.column, place.right,
                                                                                            place))]
        level = [Between((left + right) // 2, left, right, like) for left, right, like in halves if right - left > 1]
        if not level:
            return out
        out.append(level)
        parents = level


def share_between(reading, column, left, right):
    """Where on the line from one column's predictions to another's the loss of a third is lowest, in [0, 1].

    Found among some of the rows; their error is as large as what starts are off by, so that all rows mend it.

    Parameters
    ----------
    reading : Reading
        Its rows are not read.
    column : int
        Number of the third.
    left, right : ndarray of shape (n_rows,)
        Predictions.

    Returns
    -------
    float
        0 is `left`.
    """
    rows = some(reading.n_rows)
    loss, weight = reading.losses[column], reading.weight(column)
    few = [None if part is None else np.ascontiguousarray(part[rows])
           for part in (reading.target(column), weight, left, right)]
    low, high = 0.0, 1.0
    while high - low > CLOSELY:
        share = 0.5 * (low + high)
        falls = _kernel.along(loss, few[:2], (0, len(few[0])), *few[2:], share, False)[1] < 0
        low, high = (share, high) if falls else (low, share)
    share = 0.5 * (low + high)
    if reading.n_rows == len(few[0]):
        return share
    slope = reading.along(column, left, right, share)[1]
    nearby = reading.along(column, left, right, share - np.copysign(NEARBY, slope))[1]
    step = min(NEARBY * abs(slope) / max(abs(slope - nearby), 1e-300), FURTHEST)
    return min(max(share - np.copysign(step, slope), 0.0), 1.0)


def start_between(reading, columns, places):
    """Set where columns start, and how far from their solutions that may be."""
    known = {}
    for place in places:
        column, left, right = columns[place.column], columns[place.left], columns[place.right]
        share = share_between(reading, place.column, left.p, right.p)
        if place.like not in known:
            known[place.like] = miss(reading, columns, place.like)
        column.start_from(left, right, share, SHARE_LEFT * known[place.like])


def miss(reading, columns, place):
    """How far the solution of a column is from where the line between its neighbours said, typically."""
    left, right = columns[place.left].p, columns[place.right].p
    share, rows = share_between(reading, place.column, left, right), some(reading.n_rows)
    away = columns[place.column].p[rows] - left[rows] - share * (right[rows] - left[rows])
    return 1.5 * middle(np.abs(away))

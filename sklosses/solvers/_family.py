"""Columns of one loss that differ in its parameter: which are solved first, and where the others start.

Solutions change little from one quantile to the next, and mostly along the line between their neighbours'. So the first
one, the middle and the last take the way over samples; each of the others starts on all rows, between two that are
solved, where its loss is lowest.
"""

from dataclasses import dataclass

import numpy as np

from sklosses.solvers._sides import middle

# Fewer columns are solved all at once.
FEWEST = 4
# Halving the distance of the neighbours leaves a quarter of what their line misses, were it smooth; with room:
SHARE_LEFT = 0.5
# Rows of which the best place between neighbours is computed; and how closely.
ROWS, CLOSELY = 20_000, 1e-3


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
    share : float
        0 is `left`.
    rows : slice
        The rows that were used.
    """
    rows = slice(None, None, max(1, reading.n_rows // ROWS))
    p, change = np.ascontiguousarray(left[rows]), right[rows] - left[rows]
    gradient, low, high = np.empty_like(p), 0.0, 1.0
    while high - low > CLOSELY:
        share = 0.5 * (low + high)
        reading.sweep(column, p + share * change, rows, gradient=gradient)
        low, high = (share, high) if gradient @ change < 0 else (low, share)
    return 0.5 * (low + high), rows


def start_between(reading, columns, place):
    """Set where a column starts, and how far from its solution that may be."""
    column, left, right = columns[place.column], columns[place.left], columns[place.right]
    share, _ = share_between(reading, place.column, left.p, right.p)
    column.start_from(left, right, share, SHARE_LEFT * miss(reading, columns, place.like))


def miss(reading, columns, place):
    """How far the solution of a column is from where the line between its neighbours said, typically."""
    left, right = columns[place.left].p, columns[place.right].p
    share, rows = share_between(reading, place.column, left, right)
    away = columns[place.column].p[rows] - left[rows] - share * (right[rows] - left[rows])
    return 1.5 * middle(np.abs(away))

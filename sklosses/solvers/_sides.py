"""On which sides of their kinks predictions lie, and which kinks they may cross."""

from dataclasses import dataclass

import numpy as np

# A band reaches so many times as far as predictions are expected to move.
REACH = 3.0
# Rounding of sums of slopes, relative to their absolute values.
FLAT = 1e-12
# The best shift is looked for among so many of the nearest kinks first: sorting all takes ten times as long.
NEAREST = 4000
# Numbers that a median is taken of.
MANY = 20_000


@dataclass(frozen=True, eq=False)
class Band:
    """Kinks that are solved for: which kink of which row.

    Attributes
    ----------
    kink, row : ndarray of shape (B,)
    copies : int, default=1
        The rows are the same ones so many times, once for each of their kinks.
    """

    kink: np.ndarray
    row: np.ndarray
    copies: int = 1

    @property
    def rows(self):
        """The rows without their copies."""
        return self.row[: len(self.row) // self.copies]


class Sides:
    """Where the kinks of a reading's rows are, and on which sides of them predictions lie.

    Parameters
    ----------
    reading : Reading
    k : int
        Number of the column.

    Attributes
    ----------
    positions, jumps : ndarray of shape (m, n_rows)
        Of the kinks, in predictions; jumps of the slope, times the weights over their sum.
    count : int
        Kinks of rows that count.
    steepness : float
        Of the mean loss: what its slopes rise by in all.
    lowest : float
        Below which the mean loss cannot fall: each row's at its lowest kink.
    """

    def __init__(self, reading, k):
        self.total = reading.totals[k]
        self.positions, jumps = reading.losses[k].kinks(reading.target(k))
        weight = reading.weight(k)
        self.jumps = jumps / self.total if weight is None else jumps * (weight / self.total)
        self.count, self.steepness = np.count_nonzero(self.jumps), float(self.jumps.sum())
        left = np.empty(reading.n_rows)
        reading.sweep(k, self.positions[0] - np.maximum(1.0, np.abs(self.positions[0])), gradient=left)
        self.left = left / self.total
        at_kinks = [reading.values(k, position) for position in self.positions]
        self.lowest = float(np.min(at_kinks, axis=0).sum()) / self.total

    def _inside(self, *bands):
        inside = np.zeros(self.positions.shape, dtype=bool)
        for band in bands:
            if band is not None:
                inside[band.kink, band.row] = True
        return inside

    def _distances(self, p):
        distances = np.abs(p - self.positions)
        distances[self.jumps == 0] = np.inf
        return distances

    def typical(self, p):
        """The median distance of predictions from their kinks; more than 0."""
        distances = self._distances(p)
        distances = distances[np.isfinite(distances)]
        typical = middle(distances) or distances.mean()
        return typical or max(1e-3 * np.abs(p).max(initial=0.0), 1e-3)

    def at_kinks(self, p, share):
        """Which predictions are nearer to a kink than a share of the median distance."""
        return np.any(self._distances(p) <= share * self.typical(p), axis=0)

    def band(self, p, move, reach, fewest, joining=()):
        """Kinks that predictions may cross.

        Parameters
        ----------
        p : ndarray of shape (n_rows,)
            Predictions.
        move : float or None
            How far predictions are expected to move; None: nothing is known, all kinks are taken.
        reach : ndarray of shape (n_rows,)
            Factors of `move`.
        fewest : int
            Kinks to take at least.
        joining : tuple of Band or None
            Kinks to take besides.
        """
        distances = self._distances(p)
        near = np.isfinite(distances)
        if move is not None and near.sum() > 2 * fewest:
            least = np.partition(distances.ravel(), fewest)[fewest]
            near &= (distances <= np.maximum(REACH * move * reach, least)) | self._inside(*joining)
        whole = len(near) > 1 and bool((near[0] == near).all())
        return Band(*np.nonzero(near), copies=len(near) if whole else 1)

    def without(self, p, band, rows):
        """Slopes of some rows without their kinks in a band."""
        out = ~self._inside(band)[:, rows]
        right = p[rows] > self.positions[:, rows]
        return self.left[rows] + (self.jumps[:, rows] * (right & out)).sum(axis=0)

    def crossed(self, before, after, band):
        """Kinks outside a band on other sides than before, and what they add to the objective with the old sides."""
        changed = (before > self.positions) != (after > self.positions)
        changed &= ~self._inside(band) & (self.jumps > 0)
        kink, row = np.nonzero(changed)
        return Band(kink, row), float(self.jumps[kink, row] @ np.abs(after[row] - self.positions[kink, row]))

    def best_shift(self, p, cost):
        """The number that, added to all predictions, minimises the loss: the middle, where there are many."""
        places, jumps = (self.positions - p).ravel(), self.jumps.ravel()
        slope = self.left.sum() + cost
        if len(places) > 2 * NEAREST:
            reach = np.partition(np.abs(places), NEAREST)[NEAREST]
            below, near = places < -reach, np.abs(places) <= reach
            start = slope + jumps[below].sum()
            if start < 0 <= start + jumps[near].sum():
                places, jumps, slope = places[near], jumps[near], start
        order = np.argsort(places, kind="stable")
        places, slopes = places[order], slope + np.cumsum(jumps[order])
        zero = FLAT * (np.abs(self.left).sum() + jumps.sum())
        first = min(np.searchsorted(slopes, -zero), len(places) - 1)
        last = min(np.searchsorted(slopes, zero, side="right"), len(places) - 1)
        return 0.5 * (places[first] + places[last])


def middle(numbers):
    """The median, of some tens of thousands at regular distances where there are more."""
    numbers = numbers[:: max(1, len(numbers) // MANY)]
    half = len(numbers) // 2
    low, high = half - 1 + len(numbers) % 2, half
    parts = np.partition(numbers, (low, high) if low != high else half)
    return 0.5 * float(parts[low] + parts[high])

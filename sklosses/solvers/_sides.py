"""On which sides of their kinks predictions lie, and which kinks they may cross."""

from dataclasses import dataclass
from functools import reduce

import numpy as np

from sklosses._isa import kernel

_kernel = kernel("sklosses.solvers._reading_kernel")

# A band reaches so many times as far as predictions are expected to move.
REACH = 3.0
# Predictions are at their kinks, to rounding, where they are nearer than this share of the mean distance.
TIED = 1e-6
# Rounding of sums of slopes, relative to their absolute values.
FLAT = 1e-12
# The best shift is looked for among so many of the nearest kinks first.
NEAREST = 1500, 8000
# How far the nearest kinks are some of the rows tell: so many that about this many of theirs are among the nearest. So
# many standard deviations of that number are added, so that the nearest are hardly ever too few.
TOLD, WITH_ROOM = 100, 3.0
# Numbers that a median is taken of.
MANY = 5000


@dataclass(frozen=True, eq=False)
class Band:
    """Kinks that are solved for: which kink of which row.

    Attributes
    ----------
    kink, row : ndarray of shape (B,)
    copies : int, default=1
        The rows are the same ones so many times, once for each of their kinks.
    whole : bool, default=False
        Whether these are all kinks of all rows.
    """

    kink: np.ndarray
    row: np.ndarray
    copies: int = 1
    whole: bool = False

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
    left, left_sizes : float
        The slope of the mean loss left of all kinks, and that of its rows' absolute slopes.
    lowest : float
        Below which the mean loss cannot fall: each row's at its lowest kink.
    """

    def __init__(self, reading, k):
        self._reading, self._k, self.total = reading, k, reading.totals[k]
        loss = reading.losses[k]
        self._kinks = np.empty((len(loss.kinks(np.empty(0))[0]), 2, reading.n_rows))
        self.positions, self.jumps = self._kinks[:, 0], self._kinks[:, 1]
        found = reading.each(lambda piece: self._find(loss, piece), reading.stretches)
        count, steepness, far = zip(*found, strict=True)
        self.count, self.steepness, far = sum(count), float(sum(steepness)), max(1.0, *far)
        _, slope, steepness, _ = reading.along(k, self.positions[0], None, -far)
        self.left, self.left_sizes = slope / self.total, steepness / self.total
        self.lowest = self._lowest() / self.total

    def _find(self, loss, piece):
        """Find the kinks of some rows; returns how many count, the sum of their jumps and the farthest first kink."""
        target, weight = self._reading.target(self._k, piece), self._reading.weight(self._k, piece)
        positions, jumps = loss.kinks(target)
        at, of_rows = self.positions[:, piece], self.jumps[:, piece]
        at[:] = positions
        if weight is None:
            np.divide(jumps, self.total, out=of_rows)
        else:
            np.multiply(jumps, weight / self.total, out=of_rows)
        return np.count_nonzero(of_rows), of_rows.sum(), max(at[0].max(initial=0.0), -at[0].min(initial=0.0))

    def _lowest(self):
        if len(self.positions) == 1:
            return self._reading.along(self._k, self.positions[0], None, 0.0)[0]

        def lowest(piece):
            at_kinks = [self._reading.values(self._k, position[piece], piece) for position in self.positions]
            return reduce(np.minimum, at_kinks).sum()

        return float(sum(self._reading.each(lowest, self._reading.stretches)))

    # A kink's number is its row's and, for each kink of a row before it, the number of rows.

    def _numbers(self, rows_of):
        """Numbers of kinks whose rows a function finds, given each row's first, second, ... and which rows count."""
        n = self.positions.shape[1]
        return np.concatenate([rows + kink * n for kink, kinks in enumerate(self._kinks)
                               for rows in self._in_pieces(lambda piece, kinks=kinks: rows_of(kinks, piece))])

    def _in_pieces(self, call):
        """Results of a function of the first and the last of some rows, in the rows' order."""
        return self._reading.each(lambda piece: call((piece.start, piece.stop)), self._reading.stretches)

    def _numbers_of(self, band):
        return band.row + band.kink * self.positions.shape[1]

    def _band(self, numbers):
        """The band of kinks of ascending numbers."""
        m, n = self.positions.shape
        if m == 1:
            return Band(np.zeros(len(numbers), dtype=np.intp), numbers)
        kink, row = np.divmod(numbers, n)
        whole = len(row) % m == 0 and np.array_equal(kink, np.repeat(np.arange(m), len(row) // m)) and (
            np.array_equal(row, np.tile(row[: len(row) // m], m)))
        return Band(kink, row, copies=m if whole else 1)

    def _distances(self, p, rows=slice(None)):
        distances = np.abs(p[rows] - self.positions[:, rows])
        if self.count < self.positions.size:
            distances[self.jumps[:, rows] == 0] = np.inf
        return distances

    def typical(self, p):
        """The median distance of predictions from their kinks, the mean where most are at theirs; more than 0."""
        distances = self._distances(p, some(len(p)))
        if self.count < self.positions.size:
            distances = distances[np.isfinite(distances)]
        if not distances.size:
            distances = self._distances(p)
            distances = distances[np.isfinite(distances)]
        distances = distances.ravel()
        typical, mean = middle(distances), distances.mean()
        typical = typical if typical > TIED * mean else mean
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
            Factors of `move`, 1 or more.
        fewest : int
            Kinks to take at least.
        joining : tuple of Band or None
            Kinks to take besides.
        """
        if move is None or self.count <= 2 * fewest:
            m, n = self.positions.shape
            if self.count < m * n:
                return self._band(np.flatnonzero(self.jumps))
            numbers = np.arange(m * n)
            return Band(numbers // n, numbers % n, copies=m, whole=True)
        near = self._numbers(lambda kinks, piece: _kernel.near(p, kinks, reach, REACH * move, piece))
        if len(near) < fewest:
            near = _merged(near, self._nearest(p, fewest)[0])
        for band in joining:
            if band is not None and len(band.row):
                near = _merged(near, self._numbers_of(band))
        return self._band(near)

    def within(self, p, width):
        """The number of kinks that predictions are nearer to than this."""
        return len(self._numbers(lambda kinks, piece: _kernel.near(p, kinks, None, width, piece)))

    def density(self, p, count):
        """Each row's jumps in a unit of predictions, of about so many kinks: the second derivative, were kinks even.

        None where they are all in one place.
        """
        numbers, width = self._nearest(p, count)
        kink, row = np.divmod(numbers, len(p))
        return np.bincount(row, self.jumps[kink, row] / (2 * width), len(p)) if width > 0 else None

    def _nearest(self, p, count):
        """Numbers of the kinks nearest to predictions, so many, and how far they are."""
        rows = some(len(p), max(MANY, TOLD * self.count / count))
        distances = self._distances(p, rows).ravel()
        number = count / self.count * len(distances)
        number = min(int(number + WITH_ROOM * np.sqrt(number)), len(distances) - 1)
        width = np.partition(distances, number)[number]
        numbers = self._numbers(lambda kinks, piece: _kernel.near(p, kinks, None, width, piece))
        count = min(count, self.count)
        if len(numbers) >= count and np.isfinite(width):
            kink, row = np.divmod(numbers, len(p))
            distances = np.abs(p[row] - self.positions[kink, row])
        else:
            distances, numbers = self._distances(p).ravel(), None
        width = np.partition(distances, count - 1)[count - 1]
        nearest = np.flatnonzero(distances <= width)
        return (nearest if numbers is None else numbers[nearest]), width

    def slopes(self, p, rows):
        """Slopes of some rows at their predictions."""
        slopes = np.empty(len(p))
        self._reading.sweep(self._k, p, rows, gradient=slopes)
        return slopes / self.total

    def without(self, p, band, rows):
        """Slopes of some rows, in ascending order, without their kinks in a band."""
        whole = len(band.row) == len(rows) * len(self.positions)
        if band.whole:
            rows = slice(None)
        first = self.positions[0, rows]
        slopes = self.slopes(first - np.maximum(1.0, np.abs(first)), rows)
        if whole:
            return slopes
        out = p[rows] > self.positions[:, rows]
        out[band.kink, np.searchsorted(rows, band.row)] = False
        return slopes + (self.jumps[:, rows] * out).sum(axis=0)

    def crossed(self, before, after, band):
        """Kinks outside a band on other sides than before, and what they add to the objective with the old sides."""
        if band.whole:
            return Band(band.kink[:0], band.row[:0]), 0.0
        numbers = self._numbers(lambda kinks, piece: _kernel.crossed(before, after, kinks, piece))
        inside = self._numbers_of(band)
        places = np.minimum(np.searchsorted(inside, numbers), max(0, len(inside) - 1))
        crossed = self._band(numbers[inside[places] != numbers] if len(inside) else numbers)
        kink, row = crossed.kink, crossed.row
        return crossed, float(self.jumps[kink, row] @ np.abs(after[row] - self.positions[kink, row]))

    def best_shift(self, p, cost):
        """The number that, added to all predictions, minimises the loss: the middle, where there are many."""
        places, jumps, slope = self._near_zero(p, self.left + cost)
        order = np.argsort(places)
        places, slopes = places[order], slope + np.cumsum(jumps[order])
        zero = FLAT * (self.left_sizes + self.steepness)
        first = min(np.searchsorted(slopes, -zero), len(places) - 1)
        last = min(np.searchsorted(slopes, zero, side="right"), len(places) - 1)
        return 0.5 * (places[first] + places[last])

    def _near_zero(self, p, slope):
        """Where kinks are, from predictions, and their jumps: those near 0, if the best shift is; the slope before.

        Sorting all takes ten times as long.
        """
        for nearest in NEAREST:
            if self.count <= 2 * nearest:
                break
            numbers, reach = self._nearest(p, nearest)
            kink, row = np.divmod(numbers, len(p))
            start = slope + sum(sum(self._in_pieces(lambda piece, of=(kinks, reach): _kernel.below(p, *of, piece)))
                                for kinks in self._kinks)
            jumps = self.jumps[kink, row]
            if start < 0 <= start + jumps.sum():
                return self.positions[kink, row] - p[row], jumps, start
        return (self.positions - p).ravel(), self.jumps.ravel(), slope


def _merged(numbers, others):
    """The union of ascending numbers: NumPy's hashes them, which takes ten times as long."""
    places = np.searchsorted(numbers, others)
    known = places < len(numbers)
    known[known] = numbers[places[known]] == others[known]
    return np.sort(np.concatenate((numbers, others[~known])), kind="stable")


def some(n, about=MANY):
    """Some thousands of n numbers, at regular distances."""
    return slice(None, None, max(1, int(n // about)))


def middle(numbers):
    """The median, of some thousands at regular distances where there are more."""
    numbers = numbers[some(len(numbers))]
    half = len(numbers) // 2
    low, high = half - 1 + len(numbers) % 2, half
    parts = np.partition(numbers, (low, high) if low != high else half)
    return 0.5 * float(parts[low] + parts[high])

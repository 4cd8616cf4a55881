"""Readings of a table for many columns at once: what :mod:`_block_kernel` does, spread over chunks and threads."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sklosses._isa import kernel
from sklosses.losses import Loss
from sklosses.solvers._spread import in_order, still_wanted

_kernel = kernel("sklosses.solvers._block_kernel")

WEIGHT, SMOOTH, VALUE, STEEPNESS, SQUARE, SLACK = range(len(_kernel.SUMS))
FIRST = len(_kernel.SUMS)
# Chunks of rows: so many at most, of so many rows at least. Their number depends on the rows alone.
MOST_CHUNKS, FEWEST_ROWS = 16, 4096
# Gram matrices are summed in so many places, in order; Ctrl-C waits for the multiply-adds of so few rows of a column.
LANES, PIECE, FEWEST_INTERRUPTED = 2, 250_000_000, 512


@dataclass(frozen=True, eq=False)
class Cell:
    """What a column of a block is to be fitted to.

    Attributes
    ----------
    loss : Loss
        With scalar parameters.
    l1, l2 : float
        Factors of ||w||_1 and of ||w||^2 / 2.
    mask : ndarray of shape (P,)
        1 for the patterns of rows that it is trained on, 0 for the others.
    source : int, default=0
        Row of the targets.
    recoding : tuple of five floats or None, default=None
        Where targets are class numbers: the column's own class, the loss's codes of the other classes and of its own,
        and weights of their rows likewise.
    """

    loss: Loss
    l1: float
    l2: float
    mask: np.ndarray
    source: int = 0
    recoding: tuple | None = None

    @property
    def largest_weight(self):
        """Of any class."""
        return 1.0 if self.recoding is None else max(self.recoding[3:])


@dataclass(frozen=True, eq=False)
class Ask:
    """Where a column wants to look.

    Attributes
    ----------
    cell : Cell
    z : ndarray of shape (d + 1,)
        Centred coefficients and the prediction at the centre.
    width : float or None
        Of the band in which a loss with kinks is smoothed.
    gram : bool
        Whether it is second derivatives that are asked for.
    """

    cell: Cell
    z: np.ndarray
    width: float | None = None
    gram: bool = False


class BlockReading:
    """Readings of rows for columns of coefficients.

    Parameters
    ----------
    problem : Problem
        Whose rows, weights and offset are read.
    targets : ndarray of shape (T, n)
    order : ndarray
        Numbers of the rows, those of a pattern together.
    ends : ndarray of shape (P,)
        Where each pattern's rows end in the order.
    centre : ndarray of shape (d,)
    pool : ThreadPoolExecutor
    """

    def __init__(self, problem, targets, order, ends, centre, pool):
        weights, offset = (None if array is None else np.ascontiguousarray(array, dtype=np.float64)
                           for array in (problem.weights, problem.offset))
        self.table = _kernel.Table(problem.rows, order, targets, weights, offset, centre)
        self.n_features, self.n_patterns = problem.n_features, len(ends)
        self.chunks = list(_chunks(ends))
        self._pool = pool

    def _each(self, call, tasks):
        """Results of `call` for every task, in order."""
        return list(in_order(self._pool, call, tasks))

    def moments(self):
        """Weighted sums of the centred features, of their squares, and of ones (last)."""
        def visit(start, stop, _):
            out = np.zeros((2, self.n_features + 1))
            _kernel.moments(self.table, start, stop, out)
            return out

        return sum(self._each(visit, self.chunks))

    def look(self, asks, *, by_pattern=False):
        """What is found at each place: sums, and the gradient times the sum of weights.

        Returns
        -------
        list of ndarray of shape (FIRST + d + 1,), or with a first axis of patterns
        """
        columns, places = self._columns(asks)
        shape = (FIRST + self.n_features + 1, columns.n_columns)

        def visit(start, stop, pattern):
            out = np.zeros(shape)
            _kernel.read(self.table, columns, start, stop, pattern, out)
            return out

        parts = self._each(visit, self.chunks)
        if not by_pattern:
            total = sum(parts)
            return [total[:, place].copy() for place in places]
        found = np.zeros((self.n_patterns, *shape))
        for (_, _, pattern), part in zip(self.chunks, parts, strict=True):
            found[pattern] += part
        return [found[:, :, place].copy() for place in places]

    def grams(self, asks):
        """X' diag(s phi'') X at each place, with the column of ones last."""
        columns, places = self._columns(asks)
        wanted, Q = np.array(places, dtype=np.intp), self.n_features + 1
        stride, piece = -(-Q // _kernel.PAD) * _kernel.PAD, max(FEWEST_INTERRUPTED, PIECE // (Q * Q))

        def lane(number):
            out = np.zeros((len(places), Q, stride))
            for start, stop, pattern in self.chunks[number::LANES]:
                for begin in range(start, stop, piece):
                    still_wanted()
                    _kernel.grams(self.table, columns, (begin, min(begin + piece, stop)), pattern, wanted, out)
            return out

        matrices = sum(self._each(lane, [(number,) for number in range(min(LANES, len(self.chunks)))]))
        for matrix in matrices:
            _kernel.mirror(matrix)
        return [matrix[:, :Q].copy() for matrix in matrices]

    def _columns(self, asks):
        """The kernel's columns, and the place of each ask among them."""
        groups = {}
        for number, ask in enumerate(asks):
            groups.setdefault(_kind(ask), []).append(number)
        runs, order = [], []
        for members in groups.values():
            padded = members + members[-1:] * (-len(members) % _kernel.PAD)
            smooth = _together([_minimised(asks[number]) for number in padded])
            kinked = None
            if asks[members[0]].width is not None:
                kinked = _together([asks[number].cell.loss for number in padded])
            runs.append((smooth, kinked, len(padded)))
            order += [(number, place < len(members)) for place, number in enumerate(padded)]
        z = np.zeros((self.n_features + 1, len(order)))
        mask = np.zeros((self.n_patterns, len(order)))
        places = [0] * len(asks)
        for place, (number, real) in enumerate(order):
            if real:
                z[:, place], mask[:, place], places[number] = asks[number].z, asks[number].cell.mask, place
        cells = [asks[number].cell for number, _ in order]
        recoding = None
        if cells[0].recoding is not None:
            recoding = np.array([cell.recoding for cell in cells], dtype=np.float64)
        sources = np.array([cell.source for cell in cells], dtype=np.intp)
        columns = _kernel.Columns(runs, z, sources, mask, recoding)
        return columns, places


def _chunks(ends):
    """(start, stop, pattern) of pieces of the order."""
    size, start = max(FEWEST_ROWS, -(-int(ends[-1]) // MOST_CHUNKS)), 0
    for pattern, stop in enumerate(ends):
        stop = int(stop)
        pieces = max(1, -(-(stop - start) // size))
        edges = np.linspace(start, stop, pieces + 1).astype(int)
        yield from ((int(a), int(b), pattern) for a, b in pairwise(edges) if b > a)
        start = stop


def _minimised(ask):
    return ask.cell.loss if ask.width is None else ask.cell.loss.smoothed(ask.width)


def _kind(ask):
    """What columns of a run share: all but numbers, which may be vectors."""
    loss = ask.cell.loss
    parameters = loss.get_params()
    if all(isinstance(value, int | float) for value in parameters.values()):
        return type(loss), ask.width is None, tuple(sorted(parameters))
    return id(loss), ask.width


def _together(losses):
    """One loss for a run of columns: with vectors where their parameters differ."""
    first, parameters = losses[0], [loss.get_params() for loss in losses]
    if all(other == parameters[0] for other in parameters):
        return first
    return type(first)(**{name: np.array([other[name] for other in parameters], dtype=np.float64)
                          for name in parameters[0]})

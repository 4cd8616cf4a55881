"""Readings of a table for many columns at once: what :mod:`_block_kernel` does, spread over chunks and threads."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
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
# Runs whose losses are remembered.
REMEMBERED = 64


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
        Which of the targets.
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

    @cached_property
    def parameters(self):
        """The loss's."""
        return self.loss.get_params()

    @cached_property
    def kind(self):
        """What losses share for which one with vectors of parameters stands; None: parameters are no numbers."""
        if all(isinstance(value, int | float) for value in self.parameters.values()):
            return type(self.loss), tuple(sorted(self.parameters))
        return None

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
    look, gram : bool
        Whether sums and the gradient are asked for, and whether second derivatives are.
    """

    cell: Cell
    z: np.ndarray
    width: float | None = None
    look: bool = True
    gram: bool = False


class BlockReading:
    """Readings of rows for columns of coefficients.

    Parameters
    ----------
    problem : Problem
        Whose rows, weights and offset are read.
    targets : sequence of ndarray of shape (n,)
    order : ndarray
        Numbers of the rows, those of a pattern together.
    ends : ndarray of shape (P,)
        Where each pattern's rows end in the order.
    centre : ndarray of shape (d,)
    pool : ThreadPoolExecutor or None
        None: this thread reads alone.
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
        return self.read(asks, [], by_pattern=by_pattern)[0]

    def grams(self, asks, *, by_pattern=False):
        """X' diag(s phi'') X at each place, with the column of ones last.

        Returns
        -------
        list of ndarray of shape (d + 1, d + 1), or with a first axis of patterns
        """
        if not by_pattern:
            return self.read([], asks)[1]
        numbers = range(len(self.chunks))
        lanes = [[i for i in numbers if self.chunks[i][2] == pattern] for pattern in range(self.n_patterns)]
        parts = [matrices for _, matrices in self._visit([], asks, lanes)[0]]
        return [np.array([self._whole(part[k]) for part in parts]) for k in range(len(asks))]

    def read(self, looks, grams, *, by_pattern=False):
        """What :meth:`look` finds and what :meth:`grams` finds, in one reading; only the former by pattern."""
        numbers = range(len(self.chunks))
        lanes = [numbers[lane::LANES] for lane in range(LANES)] if grams else [[number] for number in numbers]
        parts, places = self._visit(looks, grams, [lane for lane in lanes if len(lane)])
        of_chunk = [None] * len(numbers)
        for lane, (found, _) in zip(lanes, parts, strict=False):
            for number, sums in zip(lane, found, strict=True):
                of_chunk[number] = sums
        total = np.zeros((self.n_patterns if by_pattern else 1, *of_chunk[0].shape))
        for (_, _, pattern), sums in zip(self.chunks, of_chunk, strict=True):
            total[pattern if by_pattern else 0] += sums
        matrices = parts[0][1]
        for _, more in parts[1:] if grams else []:
            matrices += more
        return ([(total[:, :, place] if by_pattern else total[0, :, place]).copy() for place in places[: len(looks)]],
                [self._whole(matrix) for matrix in matrices])

    def _visit(self, looks, grams, lanes):
        """(sums of each chunk, matrices of all) of each lane, some chunks' numbers; and the columns' places."""
        columns, places = self._columns([*looks, *grams], len(looks))
        wanted, Q = np.array(places[len(looks):], dtype=np.intp), self.n_features + 1
        piece = max(FEWEST_INTERRUPTED, PIECE // (Q * Q))

        def visit(*lane):
            sums = np.zeros((len(lane), FIRST + Q, columns.n_columns))
            matrices = np.zeros((len(wanted), Q, -(-Q // _kernel.PAD) * _kernel.PAD))
            for place, number in enumerate(lane):
                start, stop, pattern = self.chunks[number]
                for begin in range(start, stop, piece):
                    still_wanted()
                    rows = np.array([(begin, min(begin + piece, stop), pattern)], dtype=np.intp)
                    _kernel.read(self.table, columns, rows, sums[place : place + 1], wanted, matrices)
            return sums, matrices

        return self._each(visit, lanes), places

    def _whole(self, matrix):
        """A symmetric matrix of its lower triangle."""
        _kernel.mirror(matrix)
        return matrix[:, : self.n_features + 1]

    def _columns(self, asks, n_looks):
        """The kernel's columns, and the place of each ask among them: the first are to be looked at."""
        groups = {}
        for number, ask in enumerate(asks):
            groups.setdefault((number < n_looks, _kind(ask)), []).append(number)
        runs, order = [], []
        for members in groups.values():
            padded = members + members[-1:] * (-len(members) % _kernel.PAD)
            runs.append((*_losses([asks[number] for number in padded]), len(padded)))
            order += [(number, place < len(members)) for place, number in enumerate(padded)]
        z = np.zeros((len(order), self.n_features + 1))
        mask = np.zeros((len(order), self.n_patterns))
        places = [0] * len(asks)
        for place, (number, real) in enumerate(order):
            if real:
                z[place], mask[place], places[number] = asks[number].z, asks[number].cell.mask, place
        cells = [asks[number].cell for number, _ in order]
        recoding = None
        if cells[0].recoding is not None:
            recoding = np.array([cell.recoding for cell in cells], dtype=np.float64)
        sources = np.array([cell.source for cell in cells], dtype=np.intp)
        n_looked = sum(run[-1] for run, (looked, _) in zip(runs, groups, strict=True) if looked)
        z, mask = np.ascontiguousarray(z.T), np.ascontiguousarray(mask.T)
        columns = _kernel.Columns(runs, z, sources, mask, recoding, n_looked)
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


def _kind(ask):
    """What columns of a run share: all but numbers, which may be vectors."""
    cell = ask.cell
    return (id(cell.loss), ask.width) if cell.kind is None else (cell.kind, ask.width is None)


def _losses(asks):
    """What is minimised in a run of columns, and the loss with kinks that it stands for, or None."""
    cells, widths = [ask.cell for ask in asks], tuple(ask.width for ask in asks)
    loss, given = cells[0].loss, cells[0].parameters
    if any(cell.loss is not loss and cell.parameters != given for cell in cells):
        return _of_columns(type(loss), tuple(given), tuple(tuple(cell.parameters.values()) for cell in cells), widths)
    if widths[0] is None:
        return loss, None
    return loss.smoothed(widths[0] if cells[0].kind is None else np.array(widths)), loss


@lru_cache(maxsize=REMEMBERED)
def _of_columns(kind, names, values, widths):
    """The same of columns with parameters of their own. Most readings ask for what the one before has asked for."""
    loss = kind(**{name: np.array(of_name, dtype=np.float64)
                   for name, of_name in zip(names, zip(*values, strict=True), strict=True)})
    return (loss, None) if widths[0] is None else (loss.smoothed(np.array(widths)), loss)

"""Whole readings of a table, for solvers that use all its rows at once: products, sweeps, Gram matrices.

A reading goes over the rows in chunks, whose number depends on the table's shape alone. The kernel takes the rows of a
chunk some at a time: what is asked of them, as predictions, losses and the product back, is done while they are in the
cache. Each chunk's sums are its own and are added up in the chunks' order, so results are the same bit for bit
whichever threads read which chunks.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache, cached_property
from itertools import pairwise
from threading import RLock

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from threadpoolctl import ThreadpoolController

from sklosses._isa import kernel
from sklosses.solvers._problem import recoded
from sklosses.solvers._spread import Guard, still_wanted

_kernel = kernel("sklosses.solvers._reading_kernel")
_mirror = kernel("sklosses.solvers._block_kernel").mirror
_sweep = kernel("sklosses.losses._arrays").sweep

# Calls from Python, some 10 us a chunk, stay far below its time; where chunks are brought to float64 as a whole, they
# stay in the third-level cache.
CHUNK_BYTES = 2 << 20
FEWEST_ROWS = 64
# Numbers that a sweep without rows takes at a time.
STRETCH = 1 << 16
# Pieces of a few rows from all over, and rows of each.
SCATTERED = 64, 256
# Steps of numerical second derivatives, relative: the cube root of the precision.
DIFFERENCE = 6e-6
# Gram matrices are summed in so many places, each by one thread, in order.
LANES = 2
# Rows after which a partial sum of a Gram matrix ends: features that depend on each other are told by its last digits.
SUMMED = 4096
# Rows are copied together up to this share of a table, and up to so many of any.
LARGEST_GATHERED, FEWEST_GATHERED = 0.25, 2000
# Samples of rows that fill cache lines are read where they are: copies of more than this take longer than they save.
LINE_BYTES, CACHED_BYTES = 64, 1 << 20
# Numbers in a table from which a second thread pays.
LARGE = 2e6
# Of a sparse row, about.
ENTRY_BYTES = 12


class Reading:
    """Readings of the rows of a problem. A context manager: threads end with it.

    Parameters
    ----------
    problem : Problem
    n_threads : int, default=1
    gather : bool, default=False
        Whether the rows of a subset are copied together first, if they are at most a quarter of the table.

    Attributes
    ----------
    n_rows, n_features : int
    losses, traits : list of Loss, list of Traits
        Of each column, with scalar parameters.
    weights : ndarray of shape (n_columns, n_rows) or (1, n_rows) or None
        s_i, of each column; None: all 1.
    totals : ndarray of shape (n_columns,)
        Their sums.
    readings : float
        How often the rows have been read so far.
    """

    def __init__(self, problem, n_threads=1, *, gather=False):
        rows, subset = problem.rows, problem.subset
        self.n_features, self.subset, self.chosen = rows.n_features, subset, subset
        if gather and subset is not None and len(subset) <= max(FEWEST_GATHERED, LARGEST_GATHERED * rows.n_rows):
            rows, self.subset = rows.take(subset, n_threads), None
        self.sparse = hasattr(rows, "indptr")
        self.table = rows.array if not self.sparse else sparse.csr_array((rows.data, rows.indices, rows.indptr),
                                                                         shape=rows.shape)
        self._source = _kernel.Source(rows, self.subset)
        self.n_rows = rows.n_rows if self.subset is None else len(subset)
        self._problem = problem
        self.offset = None if problem.offset is None else _taken(problem.offset, subset)
        self._row_bytes = rows.row_bytes
        size = max(FEWEST_ROWS, CHUNK_BYTES // max(8 * self.n_features, rows.row_bytes))
        self.chunks, self.stretches = _pieces(self.n_rows, size), _pieces(self.n_rows, STRETCH)
        self._limits = one_blas_thread()
        self._pool = ThreadPoolExecutor(n_threads - 1) if n_threads > 1 else None
        self.n_threads = n_threads
        self.readings = 0
        self._known, self._lock = {}, RLock()

    # What belongs to columns: who multiplies with the rows alone does not ask.

    @cached_property
    def losses(self):
        return column_losses(self._problem)

    @cached_property
    def traits(self):
        problem = self._problem
        if len(self.losses) == len(problem.losses):      # one column of each
            return list(problem.traits)
        return [loss.traits for loss in self.losses]

    @cached_property
    def _targets_and_weights(self):
        return _targets_and_weights(self._problem)

    @property
    def targets(self):
        return self._targets_and_weights[0]

    @property
    def weights(self):
        return self._targets_and_weights[1]

    @cached_property
    def totals(self):
        K = self._problem.n_columns
        return np.full(K, float(self.n_rows)) if self.weights is None else (
            np.broadcast_to(self.weights.sum(axis=1), K).copy())

    def __enter__(self):
        self._limits.__enter__()
        return self

    def __exit__(self, *_):
        self._limits.__exit__(None, None, None)
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def by_entries(self):
        """Chunks of as many rows as their entries take memory, for sparse rows that nobody asks for as arrays.

        A chunk's sums are as long as a row has columns: there are to be few of them beside its entries.
        """
        if self.sparse:
            rows = -(-self.n_features // max(1, self._row_bytes // ENTRY_BYTES))
            self.chunks = _pieces(self.n_rows, max(FEWEST_ROWS, rows, int(CHUNK_BYTES // max(1, self._row_bytes))))

    # Pieces ---------------------------------------------------------------------------------------------------------

    def rows_of(self, chunk):
        """The rows of a chunk, or of an array of numbers, in float64: an array, or CSR."""
        if self.subset is not None:
            block = self.table[_as_slice(self.subset[chunk])]
        elif self.sparse and isinstance(chunk, slice):
            block = _csr_rows(self.table, chunk)
        else:
            block = self.table[chunk]
        return block.astype(np.float64, copy=False)

    def target(self, column, chunk=slice(None)):
        """Targets of a column."""
        return self.targets[column if len(self.targets) > 1 else 0, chunk]

    def weight(self, column, chunk=slice(None)):
        """Weights of a column, None if all are 1."""
        return None if self.weights is None else self.weights[column if len(self.weights) > 1 else 0, chunk]

    def mass(self, column):
        """Weights of a column as an array in any case."""
        weight = self.weight(column)
        return np.ones(self.n_rows) if weight is None else weight

    @property
    def one_weight(self):
        """Whether all columns have the same weights."""
        return self.weights is None or len(self.weights) == 1

    def once(self, name, column, compute):
        """What columns of equal weights have in common, computed for the first that asks."""
        key = name, 0 if self.one_weight else column
        with self._lock:
            if key not in self._known:
                self._known[key] = compute()
            return self._known[key]

    def each(self, call, tasks=None):
        """Results of `call` for every chunk, in order; this thread works too, and is the one that Ctrl-C reaches."""
        tasks = self.chunks if tasks is None else tasks
        if len(tasks) == 1:
            still_wanted()
            return [call(tasks[0])]
        results, left = [None] * len(tasks), deque(enumerate(tasks))

        def work():
            while left:
                try:
                    i, task = left.popleft()
                except IndexError:      # another thread was faster
                    break
                still_wanted()
                results[i] = call(task)

        n_others = 0 if self._pool is None else min(self.n_threads, len(tasks)) - 1
        if n_others == 0:
            work()
            return results
        with Guard() as guard:
            others = [guard.submit(self._pool, work) for _ in range(n_others)]
            work()
            for other in others:
                other.result()
        return results

    def values(self, column, p, chunk=slice(None), *, hessian=None, gradient=None):
        """A column's values at predictions `p`, times the weights; derivatives likewise, into arrays."""
        value = np.empty_like(p)
        self._fill(column, p, chunk, (value, gradient, hessian))
        return value

    def _fill(self, column, p, chunk, results):
        """Values, first and second derivatives, times the weights: into those of the three arrays that are not None."""
        value, gradient, hessian = (None if array is None else array.reshape(-1, 1) for array in results)
        p, y = p.reshape(-1, 1), np.ascontiguousarray(self.target(column, chunk)).reshape(-1, 1)
        loss, weight = self.losses[column], self.weight(column, chunk)
        known = hessian is not None and loss.has_hessian
        _sweep(loss, y, p, weight, (value, gradient, hessian if known else None))
        if hessian is not None and not known:
            hessian[:, 0] = self._differences(loss, y, p, weight)

    def _differences(self, loss, y, p, weight):
        """Second derivatives of a loss that does not know its own."""
        after, before, step = np.empty_like(p), np.empty_like(p), DIFFERENCE * (1 + np.abs(p))
        _sweep(loss, y, p + step, weight, (None, after, None))
        _sweep(loss, y, p - step, weight, (None, before, None))
        return ((after - before) / (2 * step))[:, 0]

    def sweep(self, column, p, chunk=slice(None), *, hessian=None, gradient=None):
        """The sum of :meth:`values`."""
        return float(self.values(column, p, chunk, hessian=hessian, gradient=gradient).sum())

    # Readings -------------------------------------------------------------------------------------------------------

    def look(self, columns, coef, intercept):
        """The loss and its derivatives at given coefficients, in one reading.

        Parameters
        ----------
        columns : sequence of int
            A columns of the problem.
        coef : ndarray of shape (A, n_features)
        intercept : ndarray of shape (A,)

        Returns
        -------
        list of Look
            One for each column.
        """
        self.readings += 1
        p, S = np.empty((len(columns), self.n_rows)), len(_kernel.SUMS)
        of_columns = [(self.losses[k], self.target(k), self.weight(k)) for k in columns]
        sights = _kernel.Sights(of_columns, np.ascontiguousarray(coef), intercept, self.offset, p)

        def visit(chunk):
            out = np.zeros((len(columns), S + self.n_features))
            _kernel.look(self._source, sights, chunk.start, chunk.stop, out)
            return out

        found = added(self.each(visit))
        return [Look(self, k, p[a], found[a, :S], found[a, S:]) for a, k in enumerate(columns)]

    def curved(self, second, step, shift):
        """X'h and the sum of h, h = second * (X step + shift): a Hessian times a vector, in one reading.

        Rows come into the cache once for both products.

        Parameters
        ----------
        second : ndarray of shape (n_rows,)
            Second derivatives, times the weights.
        step : ndarray of shape (n_features,)
        shift : float

        Returns
        -------
        product : ndarray of shape (n_features,)
        total : float
        """
        self.readings += 1
        second = np.ascontiguousarray(second)
        found = added(self.each(
            lambda chunk: _kernel.curved(self._source, chunk.start, chunk.stop, second, step, shift)))
        return found[:-1], float(found[-1])

    def derivatives(self, column, p, *, second=False):
        """First or second derivatives of a column's loss at predictions, times the weights."""
        out = np.empty_like(p)

        def fill(some):
            self._fill(column, p[some], some, (None, None, out[some]) if second else (None, out[some], None))

        self.each(fill, self.stretches)
        return out

    @property
    def scattered(self):
        """A few of the rows, from all over."""
        starts = np.linspace(0, max(0, self.n_rows - SCATTERED[1]), SCATTERED[0]).astype(int)
        return [slice(start, min(start + SCATTERED[1], self.n_rows)) for start in starts]

    def along(self, column, p, end, t, *, curved=False, pieces=None):
        """A column's loss at ``p + t (end - p)``, or ``p + t`` where `end` is None: reads no rows.

        Parameters
        ----------
        column : int
        p : ndarray of shape (n_rows,)
        end : ndarray of shape (n_rows,) or None
        t : float
        curved : bool, default=False
            Whether the curvature is asked for.
        pieces : list of slice or None, default=None
            The rows that count; None: all.

        Returns
        -------
        value, slope, steepness, curvature : float
            The sum of weighted values; the derivative by t; the sum of absolute derivatives by the prediction; the
            second derivative by t, 0 unless it is asked for.
        """
        loss, rows = self.losses[column], (self.target(column), self.weight(column))
        known = curved and loss.has_hessian

        def sweep(some):
            return np.array(_kernel.along(loss, rows, (some.start, some.stop), p, end, t, known))

        pieces = self.stretches if pieces is None else pieces
        sums = sweep(pieces[0]) if len(pieces) == 1 else added(self.each(sweep, pieces))
        if curved and not known:
            change = np.ones(self.n_rows) if end is None else end - p
            second = self.derivatives(column, p + t * change, second=True) * change**2
            sums[3] = sum(second[some].sum() for some in pieces)
        return sums.tolist()

    def back(self, vector):
        """X'v for a vector over the rows, in one reading."""
        self.readings += 1
        vector = np.ascontiguousarray(vector)
        return added(self.each(lambda chunk: _kernel.back(self._source, chunk.start, chunk.stop, vector)))

    def columns(self, places, ends, values=None, rows=None):
        """Entries of some features, column by column, in one reading: see the kernel's function of this name."""
        self.readings += 1
        _kernel.columns(self._source, self.n_rows, places, ends, values, rows)

    def squares(self, weight, centre):
        """The diagonal of :meth:`gram` without its last entry, in one reading."""
        self.readings += 1
        weight = np.ascontiguousarray(weight)

        def visit(chunk):
            if not self.sparse:
                return _kernel.squares(self._source, chunk.start, chunk.stop, weight, centre)
            # A difference, which may cancel: to rounding of the first term.
            block, h = self.rows_of(chunk), weight[chunk]
            return block.power(2).T @ h - 2 * centre * (block.T @ h) + centre**2 * h.sum()

        return added(self.each(visit))

    def leverage(self, factors, centre):
        """sum_j factors_j (x_ij - m_j)^2 of each row, in one reading."""
        self.readings += 1
        out = np.empty(self.n_rows)

        def visit(chunk):
            if not self.sparse:
                _kernel.leverage(self._source, chunk.start, chunk.stop, factors, centre, out)
                return
            block = self.rows_of(chunk)
            out[chunk] = block.power(2) @ factors - 2 * (block @ (centre * factors)) + centre**2 @ factors

        self.each(visit)
        return out

    def gram(self, weight, centre):
        """(X - 1 m')' diag(h) (X - 1 m'), bordered by the column of ones: h >= 0 over the rows, m the centre.

        Returns
        -------
        ndarray of shape (n_features + 1, n_features + 1)
        """
        D, weight = self.n_features + 1, np.ascontiguousarray(weight)
        stride = -(-D // _kernel.PAD) * _kernel.PAD
        self.readings += np.count_nonzero(weight) / max(1, self.n_rows)

        def lane(number):
            out, part, rows = 0.0, np.zeros(D * stride), 0
            for chunk in self.chunks[number::LANES]:
                if rows >= SUMMED:
                    out, part, rows = out + part, np.zeros(D * stride), 0
                _kernel.add_gram(self._source, chunk.start, chunk.stop, weight, centre, part)
                rows += chunk.stop - chunk.start
            return out + part

        out = added(self.each(lane, range(min(LANES, len(self.chunks))))).reshape(D, stride)
        _mirror(out)
        return np.ascontiguousarray(out[:, :D])


@cache
def _libraries():
    """The BLAS libraries of this process; looking for them takes milliseconds."""
    return ThreadpoolController()


@cache
def _blas():
    return _libraries().select(user_api="blas")


def one_blas_thread():
    """A context in which BLAS uses one thread."""
    if all(library.get_num_threads() == 1 for library in _blas().lib_controllers):
        return nullcontext()
    return _blas().limit(limits=1)


def allowed_threads():
    """Threads that OpenMP may use by its own account: environment, limits of threadpoolctl, workers of joblib."""
    pools = [pool["num_threads"] for pool in _libraries().info() if pool["user_api"] in ("openmp", "blas")]
    return max(1, min(pools, default=1))


def threads_for(n_jobs, size):
    """Threads for a table of so many numbers: `n_jobs`; None: as many as there may be, where they pay.

    Parameters
    ----------
    n_jobs : int or None
    size : int

    Returns
    -------
    int
    """
    if n_jobs is not None:
        return effective_n_jobs(n_jobs)
    return allowed_threads() if size >= LARGE else 1


def is_better_gathered(problem):
    """Whether kernels that read a problem's rows some times do so faster where these have been copied together."""
    rows = problem.rows
    if hasattr(rows, "indptr") or rows.array.strides[1] != rows.dtype.itemsize:
        return True
    return rows.row_bytes < LINE_BYTES or problem.n_rows * rows.row_bytes <= CACHED_BYTES


class Look:
    """What a reading finds of a column.

    Parameters
    ----------
    reading : Reading
    k : int
        Number of the column.
    p : ndarray of shape (n_rows,)
    sums : ndarray of shape (3,)
        Value, slope and steepness.
    product : ndarray of shape (n_features,)

    Attributes
    ----------
    p : ndarray of shape (n_rows,)
        Predictions.
    gradient, hessian : ndarray of shape (n_rows,)
        Derivatives of the loss times weights, computed from the predictions when they are first asked for.
    value, slope, steepness : float
        Sums of weighted values, of `gradient` and of its absolute values.
    product : ndarray of shape (n_features,)
        X' gradient.
    """

    def __init__(self, reading, k, p, sums, product):
        self._reading, self._k, self.p, self.product = reading, k, p, product
        self.value, self.slope, self.steepness = sums.tolist()

    @cached_property
    def gradient(self):
        return self._reading.derivatives(self._k, self.p)

    @cached_property
    def hessian(self):
        return self._reading.derivatives(self._k, self.p, second=True)


def added(parts):
    """A sum, in the order of its parts."""
    parts = iter(parts)
    total = next(parts)
    for part in parts:
        total = total + part
    return total


def _pieces(n, size):
    """Slices of up to so many of n rows; one at least."""
    if n <= size:
        return [slice(0, n)]
    edges = np.linspace(0, n, -(-n // size) + 1).astype(int)
    return [slice(*pair) for pair in pairwise(edges)]


def _taken(array, subset):
    array = array if subset is None else np.asarray(array)[subset]
    return np.ascontiguousarray(array, dtype=np.float64)


def _as_slice(numbers):
    """Numbers in sequence, as most of a fold's are, as a slice: no copy is made of their rows."""
    if len(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1 and np.all(np.diff(numbers) == 1):
        return slice(numbers[0], numbers[-1] + 1)
    return numbers


def _csr_rows(table, chunk):
    """Rows of a CSR matrix without a copy of their entries."""
    starts = table.indptr[chunk.start : chunk.stop + 1]
    entries = slice(starts[0], starts[-1])
    return sparse.csr_array((table.data[entries], table.indices[entries], starts - starts[0]),
                            shape=(chunk.stop - chunk.start, table.shape[1]))


def column_losses(problem):
    """The loss of each column of a problem, with scalar parameters."""
    return [of_one_column(loss, place) for loss, count in problem.losses for place in range(count)]


def can_be_smoothed(loss):
    """Whether a loss has a smooth form with second derivatives; its own, if it is smooth."""
    try:
        return loss.smoothed(1.0).has_hessian
    except NotImplementedError:
        return False


def of_one_column(loss, place):
    """A loss with scalar parameters: what a loss with vector parameters is for one of its columns."""
    if loss.n_columns == 1:
        return loss
    return type(loss)(**{name: value if np.ndim(value) == 0 else np.asarray(value)[place].item()
                         for name, value in loss.get_params().items()})


def _targets_and_weights(problem):
    """Targets of shape (K or 1, n) as losses take them, and weights of the same kind or None."""
    y = _taken(problem.targets, problem.subset)
    y = y[np.newaxis] if y.ndim == 1 else np.ascontiguousarray(y.T)
    weights = None if problem.weights is None else _taken(problem.weights, problem.subset)[np.newaxis]
    if problem.one_vs_rest is None:
        return y, weights
    y, of_class = recoded(y, problem.one_vs_rest.recoding(problem.targets).T[:, :, np.newaxis])
    weights = of_class if weights is None else weights * of_class
    return y, None if np.all(weights == 1) else weights

"""Whole readings of a table, for solvers that use all its rows at once: products, sweeps, Gram matrices.

A reading goes over the rows in chunks, whose number depends on the table's shape alone. A chunk is brought to float64
(in the cache: the table is never copied as a whole), multiplied with the coefficients of every column, swept by the
losses, and multiplied back, before the next one is read. Each chunk's sums are its own and are added up in the
chunks' order, so results are the same bit for bit whichever threads read which chunks; BLAS is kept to one thread
meanwhile.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from threading import RLock

import numpy as np
from scipy import sparse
from threadpoolctl import ThreadpoolController

from sklosses._isa import kernel

# A chunk and what is computed from it stay in the third-level cache; calls from Python, some 20 us a chunk, stay
# below a fifth of its time.
CHUNK_BYTES = 2 << 20
FEWEST_ROWS = 64
# Steps of numerical second derivatives, relative: the cube root of the precision.
DIFFERENCE = 6e-6
# Gram matrices are summed in so many places, each by one thread, in order.
LANES = 2
# Rows are copied together up to this share of a table, and up to so many of any.
LARGEST_GATHERED, FEWEST_GATHERED = 0.25, 2000


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
    weights : ndarray of shape (n_columns, n_rows) or (1, n_rows) or None
        s_i, of each column; None: all 1.
    totals : ndarray of shape (n_columns,)
        Their sums.
    readings : float
        How often the rows have been read so far.
    """

    def __init__(self, problem, n_threads=1, *, gather=False):
        rows, subset = problem.rows, problem.subset
        self.sparse = hasattr(rows, "indptr")
        self.table = rows.array if not self.sparse else sparse.csr_array((rows.data, rows.indices, rows.indptr),
                                                                         shape=rows.shape)
        self.n_features, self.subset, self.chosen = rows.n_features, subset, subset
        if gather and subset is not None and len(subset) <= max(FEWEST_GATHERED, LARGEST_GATHERED * rows.n_rows):
            self.table, self.subset = self.table[subset], None
        self.n_rows = rows.n_rows if subset is None else len(subset)
        self.losses = column_losses(problem)
        self.targets, self.weights = _targets_and_weights(problem)
        K = problem.n_columns
        self.totals = np.full(K, float(self.n_rows)) if self.weights is None else (
            np.broadcast_to(self.weights.sum(axis=1), K).copy())
        self.offset = None if problem.offset is None else _taken(problem.offset, subset)
        size = max(FEWEST_ROWS, CHUNK_BYTES // max(8 * self.n_features, rows.row_bytes))
        edges = np.linspace(0, self.n_rows, max(1, -(-self.n_rows // size)) + 1).astype(int)
        self.chunks = [slice(*pair) for pair in pairwise(edges)]
        self._sweep = kernel("sklosses.losses._arrays").sweep
        self._limits = one_blas_thread()
        self._pool = ThreadPoolExecutor(n_threads - 1) if n_threads > 1 else None
        self.n_threads = n_threads
        self.readings = 0
        self._known, self._lock = {}, RLock()

    def __enter__(self):
        self._limits.__enter__()
        return self

    def __exit__(self, *_):
        self._limits.__exit__(None, None, None)
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    # Pieces ---------------------------------------------------------------------------------------------------------

    def rows_of(self, chunk):
        """The rows of a chunk, or of an array of numbers, in float64: an array, or CSR."""
        if self.subset is not None:
            block = self.table[self.subset[chunk]]
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

    def once(self, name, column, compute):
        """What columns of equal weights have in common, computed for the first that asks."""
        key = name, 0 if self.weights is None or len(self.weights) == 1 else column
        with self._lock:
            if key not in self._known:
                self._known[key] = compute()
            return self._known[key]

    def each(self, call, tasks=None):
        """Results of `call` for every chunk, in order; this thread works too, and is the one that Ctrl-C reaches."""
        tasks = self.chunks if tasks is None else tasks
        if self._pool is None:
            return [call(task) for task in tasks]
        others = {i: self._pool.submit(call, tasks[i]) for i in range(len(tasks)) if i % self.n_threads}
        return [others[i].result() if i in others else call(task) for i, task in enumerate(tasks)]

    def values(self, column, p, chunk=slice(None), *, hessian=None, gradient=None):
        """A column's values at predictions `p`, times the weights; derivatives likewise, into arrays."""
        p, y = p.reshape(-1, 1), np.ascontiguousarray(self.target(column, chunk)).reshape(-1, 1)
        value = np.empty_like(p)
        loss, weight = self.losses[column], self.weight(column, chunk)
        known = hessian is not None and loss.has_hessian
        results = (value, None if gradient is None else gradient.reshape(-1, 1),
                   hessian.reshape(-1, 1) if known else None)
        self._sweep(loss, y, p, weight, results)
        if hessian is not None and not known:
            hessian[...] = self._differences(loss, y, p, weight)
        return value[:, 0]

    def _differences(self, loss, y, p, weight):
        """Second derivatives of a loss that does not know its own."""
        after, before, step = np.empty_like(p), np.empty_like(p), DIFFERENCE * (1 + np.abs(p))
        self._sweep(loss, y, p + step, weight, (None, after, None))
        self._sweep(loss, y, p - step, weight, (None, before, None))
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
        A, n = len(columns), self.n_rows
        p, gradient, hessian = np.empty((3, A, n))

        def visit(chunk):
            block = self.rows_of(chunk)
            predicted = np.ascontiguousarray((block @ coef.T).T) + intercept[:, np.newaxis]
            if self.offset is not None:
                predicted += self.offset[chunk]
            p[:, chunk] = predicted
            sums = [self.sweep(k, p[a, chunk], chunk, gradient=gradient[a, chunk],
                               hessian=hessian[a, chunk] if self.losses[k].traits.smooth else None)
                    for a, k in enumerate(columns)]
            return np.array(sums), (block.T @ gradient[:, chunk].T).T

        parts = self.each(visit)
        sums, products = added(part[0] for part in parts), added(part[1] for part in parts)
        return [Look(p[a], gradient[a], hessian[a], sums[a], products[a], float(gradient[a].sum())) for a in range(A)]

    def back(self, vector):
        """X'v for a vector over the rows, in one reading."""
        self.readings += 1
        return added(self.each(lambda chunk: self.rows_of(chunk).T @ vector[chunk]))

    def squares(self, weight, centre):
        """The diagonal of :meth:`gram` without its last entry, in one reading."""
        self.readings += 1

        def visit(chunk):
            block, h = self.rows_of(chunk), weight[chunk]
            if self.sparse:     # a difference, which may cancel: to rounding of the first term
                return block.power(2).T @ h - 2 * centre * (block.T @ h) + centre**2 * h.sum()
            away = block - centre
            away *= away
            return away.T @ h

        return added(self.each(visit))

    def leverage(self, factors, centre):
        """sum_j factors_j (x_ij - m_j)^2 of each row, in one reading."""
        self.readings += 1

        def visit(chunk):
            block = self.rows_of(chunk)
            if self.sparse:
                return np.asarray(block.power(2) @ factors - 2 * (block @ (centre * factors))) + centre**2 @ factors
            away = block - centre
            away *= away
            return away @ factors

        return np.concatenate(self.each(visit))

    def gram(self, weight, centre):
        """(X - 1 m')' diag(h) (X - 1 m'), bordered by the column of ones: h >= 0 over the rows, m the centre.

        Returns
        -------
        ndarray of shape (n_features + 1, n_features + 1)
        """
        d = self.n_features
        used = [np.flatnonzero(weight[chunk]) + chunk.start for chunk in self.chunks]
        self.readings += sum(map(len, used)) / max(1, self.n_rows)

        def lane(number):
            out = np.zeros((d + 1, d + 1))
            for chunk, rows in list(zip(self.chunks, used, strict=True))[number::LANES]:
                if 2 * len(rows) > chunk.stop - chunk.start:
                    block, root = self.rows_of(chunk), np.sqrt(weight[chunk])
                else:       # rows without curvature, as those beyond the margin, have no part in it
                    block, root = self.rows_of(rows), np.sqrt(weight[rows])
                scaled = np.empty((len(root), d + 1))
                np.subtract(block.toarray() if self.sparse else block, centre, out=scaled[:, :d])
                scaled[:, d] = 1
                scaled *= root[:, np.newaxis]
                out += scaled.T @ scaled
            return out

        return added(self.each(lane, range(min(LANES, len(self.chunks)))))


@cache
def _libraries():
    """The BLAS libraries of this process; looking for them takes milliseconds."""
    return ThreadpoolController()


def one_blas_thread():
    """A context in which BLAS uses one thread."""
    return _libraries().limit(limits=1, user_api="blas")


def allowed_threads():
    """Threads that OpenMP may use by its own account: environment, limits of threadpoolctl, workers of joblib."""
    pools = [pool["num_threads"] for pool in _libraries().info() if pool["user_api"] in ("openmp", "blas")]
    return max(1, min(pools, default=1))


class Look:
    """What a reading finds of a column.

    Attributes
    ----------
    p, gradient, hessian : ndarray of shape (n_rows,)
        Predictions, and derivatives of the loss times weights; second ones only of smooth losses.
    value, slope : float
        Sums of weighted values and of `gradient`.
    product : ndarray of shape (n_features,)
        X' gradient.
    """

    __slots__ = ("gradient", "hessian", "p", "product", "slope", "value")

    def __init__(self, p, gradient, hessian, value, product, slope):
        self.p, self.gradient, self.hessian = p, gradient, hessian
        self.value, self.product, self.slope = value, product, slope


def added(parts):
    """A sum, in the order of its parts."""
    parts = iter(parts)
    total = next(parts)
    for part in parts:
        total = total + part
    return total


def _taken(array, subset):
    return np.asarray(array, dtype=np.float64) if subset is None else np.asarray(array, dtype=np.float64)[subset]


def _csr_rows(table, chunk):
    """Rows of a CSR matrix without a copy of their entries."""
    starts = table.indptr[chunk.start : chunk.stop + 1]
    entries = slice(starts[0], starts[-1])
    return sparse.csr_array((table.data[entries], table.indices[entries], starts - starts[0]),
                            shape=(chunk.stop - chunk.start, table.shape[1]))


def column_losses(problem):
    """The loss of each column of a problem, with scalar parameters."""
    return [of_one_column(loss, place) for loss, count in problem.losses for place in range(count)]


def of_one_column(loss, place):
    """A loss with scalar parameters: what a loss with vector parameters is for one of its columns."""
    if loss.n_columns == 1:
        return loss
    return type(loss)(**{name: value if np.ndim(value) == 0 else np.asarray(value)[place].item()
                         for name, value in loss.get_params().items()})


def _targets_and_weights(problem):
    """Targets of shape (K or 1, n) as losses take them, and weights of the same kind or None."""
    y = _taken(problem.targets, problem.subset)
    indicator = y.ndim == 2
    y = np.ascontiguousarray(y.T) if indicator else y[np.newaxis]
    weights = None if problem.weights is None else _taken(problem.weights, problem.subset)[np.newaxis]
    one_vs_rest = problem.one_vs_rest
    if one_vs_rest is None:
        return y, weights
    positive = y == (1 if indicator else np.arange(problem.n_columns)[:, np.newaxis])
    of_class = np.where(positive, one_vs_rest.class_weight[:, 1:], one_vs_rest.class_weight[:, :1])
    weights = of_class if weights is None else weights * of_class
    return np.where(positive, one_vs_rest.codes[1], one_vs_rest.codes[0]), None if np.all(weights == 1) else weights

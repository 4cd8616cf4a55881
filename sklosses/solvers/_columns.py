"""Columns in training, spread over threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sklosses._isa import kernel

_kernel = kernel("sklosses.solvers._sgd_kernel")

# scikit-learn's: the intercept of sparse rows moves at a hundredth of the rate, because it is in every row.
SPARSE_INTERCEPT_DECAY = 0.01


class Team:
    """Groups of columns, each trained by one thread. A context manager: threads end with it.

    Columns share nothing, so their results do not depend on how they are grouped.

    Parameters
    ----------
    problems : sequence of Problem
        Over the same rows, with the same offset, intercept setting and cost: the columns of all, one problem after the
        other.
    start : dict
        What :meth:`State` says, and the penalty: see ``Kernel``. ``coef`` and ``intercept`` suffice to look.
    settings : dict, default={}
        Of the updates; defaults below.
    n_threads : int, default=1
    """

    def __init__(self, problems, start, *, settings=(), n_threads=1):
        problem, K = problems[0], sum(problem.n_columns for problem in problems)
        zeros = np.zeros(K)
        start = {"average_coef": None, "average_intercept": zeros, "averaged": zeros, "alpha": zeros, "l1": zeros,
                 "l2": zeros, "t": 1.0, "seen": 0.0} | start
        sparse = hasattr(problem.rows, "indptr")
        settings = {"schedule": _kernel.SCHEDULES["constant"], "eta0": 0.0, "power_t": 0.0, "average": 0.0,
                    "batch_size": 1, "fit_intercept": problem.fit_intercept, "intercept_cost": problem.intercept_cost,
                    "intercept_decay": SPARSE_INTERCEPT_DECAY if sparse else 1.0} | dict(settings)
        self._stop = np.zeros(1, dtype=np.uint8)
        groups = [list(range(first, K, n_threads)) for first in range(min(n_threads, K))]
        self._kernels = [_kernel.Kernel(problems, settings, group, start, self._stop) for group in groups]
        self._pool = ThreadPoolExecutor(len(groups) - 1) if len(groups) > 1 else None
        self._n_columns = K

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        if self._pool is not None:
            self._pool.shutdown()

    def stop(self):
        """End whatever threads are at, after the window at hand: from any thread."""
        self._stop[0] = 1

    def _each(self, call):
        """`call` with every group's kernel; the first group in this thread, which is the one that Ctrl-C reaches."""
        if self._pool is None:
            return [call(self._kernels[0])]
        others = [self._pool.submit(call, group) for group in self._kernels[1:]]
        try:
            return [call(self._kernels[0]), *(other.result() for other in others)]
        except BaseException:
            self.stop()
            raise

    def _gather(self, parts):
        """Arrays over columns, from arrays over the columns of each group."""
        out = np.empty((self._n_columns, *parts[0].shape[1:]))
        for group, part in zip(self._kernels, parts, strict=True):
            out[group.numbers] = part
        return out

    def look(self):
        """The sum of weighted values of the loss over the rows, for each column."""
        return self._gather(self._each(lambda group: (group.look(), group.sums())[1]))

    def visit(self, order, split):
        """An epoch over the rows of an :class:`Order`.

        Returns
        -------
        fine : ndarray of bool of shape (n_columns,)
            False where a coefficient has overflowed.
        whole, last : ndarray of shape (n_columns,)
            Sums of the objective over the epoch's rows, and over those from step `split` on.
        """

        def visit(group):
            group.begin(order)
            group.run(0, split)
            first = group.sums()
            group.run(split, len(order.positions))
            last = group.sums()
            group.settle()
            return group.finite(), first + last, last

        fine, whole, last = map(self._gather, zip(*self._each(visit), strict=True))
        return fine.astype(bool), whole, last

    def state(self):
        """Copies of everything that has been fitted: a dict of arrays over columns."""
        parts = [group.model() for group in self._kernels]
        return {name: None if parts[0][name] is None else self._gather([part[name] for part in parts])
                for name in parts[0]}

    def model(self):
        """Coefficients and intercepts of the model if training stopped now: averaged ones where there are some."""
        now = self.state()
        return averaged_model(now)

    def divide_eta(self, column, divisor):
        """Lower a column's step size; returns what it was."""
        group = next(group for group in self._kernels if column in group.numbers)
        return group.divide_eta(group.numbers.index(column), divisor)

    def release(self, columns):
        """Let columns leave: they stay as they are."""
        for group in self._kernels:
            group.release({group.numbers.index(column) for column in columns if column in group.numbers})


def averaged_model(state):
    """(coef, intercept) of a state: the mean of the iterates where there is one, else the iterate."""
    if state["average_coef"] is None:
        return state["coef"], state["intercept"]
    has_mean = state["averaged"] > 0
    return (np.where(has_mean[:, np.newaxis], state["average_coef"], state["coef"]),
            np.where(has_mean, state["average_intercept"], state["intercept"]))

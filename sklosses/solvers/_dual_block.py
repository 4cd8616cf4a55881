"""Dual coordinate descent of columns side by side: candidates and folds that read a sparse table together."""

from itertools import pairwise
from math import ceil
from time import perf_counter

import numpy as np

from sklosses._isa import kernel
from sklosses.solvers._as_block import rests_at_zero
from sklosses.solvers._dual_bound import Bound
from sklosses.solvers._dual_pace import FAR_APART, READINGS, Pace
from sklosses.solvers._order import RowOrder
from sklosses.solvers._problem import Result, State, has_negative_weights
from sklosses.solvers._reading import Reading
from sklosses.solvers._spread import spread

# Columns of the kernel, and how many are worth their overhead.
COLUMNS, FEWEST = 8, 4
# Tolerances that dual variables in float32 are good for.
LEAST_TOL = 1e-5
# Bytes of a feature, three lines of float32 and one of float64: so many may be had always, or as many as the table has.
FEATURE_BYTES, ALWAYS = 3 * 4 * COLUMNS + 8 * COLUMNS, 1 << 26
# Until a model is evaluated its objective is estimated from each so many-th row, every so many epochs.
SPARSE, REVALUE = 8, 3
# So few columns are looked at one by one.
ALONE = 2
# Epochs that a column which promises to be done waits for others.
WAIT = 2


def can_stand_aside(problem, tol):
    """Whether a problem can be solved beside others of its loss.

    Parameters
    ----------
    problem : Problem
    tol : float or None

    Returns
    -------
    bool
    """
    rows, (loss, _) = problem.rows, problem.losses[0]
    if not tol or tol < LEAST_TOL or not hasattr(rows, "indptr") or rows.indices.dtype.itemsize > 4:
        return False
    if rows.n_features * FEATURE_BYTES > max(ALWAYS, rows.data.nbytes + rows.indices.nbytes):
        return False
    if problem.n_columns > 1 or problem.one_vs_rest is not None or problem.targets.ndim > 1 or problem.intercept_cost:
        return False
    if problem.n_rows == 0 or has_negative_weights(problem):
        return False
    if problem.subset is not None and np.any(np.diff(problem.subset) <= 0):
        return False        # a row that counts twice, or rows in another order
    traits = loss.traits
    if not (np.all(np.asarray(problem.penalty.l2) > 0) and traits.convex and traits.has_conjugate and loss.has_hessian):
        return False
    # Slopes without bound are left to the steps of a lone column, which know how far they can go.
    return not rests_at_zero(loss) and (bool(np.isfinite(traits.lipschitz)) or _kernel().has_parabola(loss))


def solve_side_by_side(problems, *, tol, max_iter, random_state, n_threads, done=None):
    """Solve problems that differ in nothing but strengths of the penalty and rows trained on.

    Up to eight are trained in one reading of the table. A row's entries are read once for all, and a cache line or half
    of one holds the coefficients that an entry meets: what is waited for is waited for once. Columns of nearly equal
    strength stand together, because they take about as many epochs.

    The descent is that of :class:`DualDescent`, in float32; a row rests when none of the columns needs it. What is
    found is judged in float64 by the same certificate.

    Parameters
    ----------
    problems : list of Problem
        For each :func:`can_stand_aside` is true.
    tol, max_iter, random_state
        See :meth:`DualDescent.solve`.
    n_threads : int
    done : callable or None, default=None
        Called with the number of problems that are done, now and then. If it returns True, the rest is left.

    Returns
    -------
    list of Result or None
        None for what is not proven in `max_iter` readings, or hardly progresses.
    """
    shared = _Shared(problems)
    order = sorted(range(len(problems)), key=lambda number: (shared.costs[number][::-1], shared.folds[number], number))
    n_groups = ceil(len(problems) / COLUMNS)
    cuts = [len(problems) * group // n_groups for group in range(n_groups + 1)]
    groups = [order[first:last] for first, last in pairwise(cuts)]
    results = [None] * len(problems)

    def solve(numbers, watch):
        found = _Group(shared, numbers, (tol, max_iter, random_state), watch).solve()
        for number, result in zip(numbers, found, strict=True):
            results[number] = result

    spread(solve, groups, n_threads, None if done is None else (
        lambda _: done(sum(result is not None for result in results))))
    return results


def _kernel():
    """The kernel's module, loaded at first use."""
    return kernel("sklosses.solvers._dual_kernel")


class _Shared:
    """What all groups read: the table, and what is known of the rows of each fold."""

    def __init__(self, problems):
        first = problems[0]
        n = first.rows.n_rows
        self.problems = problems
        table = _kernel().Table(first.rows, None)
        self.norm = table.mean_square_norm()
        self.norms, self.used = table.survey()
        self.target = np.ascontiguousarray(first.targets, dtype=np.float64)
        self.offset, self.weight = (
            np.full(n, default) if array is None else np.ascontiguousarray(array, dtype=np.float64)
            for array, default in ((first.offset, 0.0), (first.weights, 1.0)))
        self.costs = [tuple(float(np.broadcast_to(part, 1)[0]) for part in (problem.penalty.l1, problem.penalty.l2))
                      for problem in problems]
        known = {}
        self.folds = [known.setdefault(id(problem.subset), len(known)) for problem in problems]
        self._bounds = {}
        for number, fold in enumerate(self.folds):
            if fold not in self._bounds:
                problem = problems[number]
                self._bounds[fold] = Bound(Reading(problem), None, 0, (*self.costs[number], 0.0),
                                           problem.fit_intercept, None)

    def bound(self, number):
        """The certificate of a problem, which has no model yet."""
        return self._bounds[self.folds[number]].beside(*self.costs[number])


class _Group:
    """Columns side by side: epochs of the kernel, and when to look at which certificate."""

    def __init__(self, shared, numbers, given, watch):
        self.tol, self.max_iter, self.seed = given
        self.watch, self.began = watch, perf_counter()
        self.columns = [_Column(lane, shared.bound(number), shared.problems[number].subset, shared.norm)
                        for lane, number in enumerate(numbers)]
        self.table = _kernel().Table(shared.problems[0].rows, None)
        n, d = self.table.n_rows, shared.problems[0].n_features
        bits = np.zeros(n, dtype=np.uint8)
        for column in self.columns:
            bits[column.rows] |= 1 << column.lane
        self.kernel = _kernel().Together(
            self.table, self.columns[0].bound.loss, (shared.target, shared.offset, shared.weight, shared.norms, bits),
            shared.used,
            {name: [getattr(column, name) for column in self.columns] + [0.0] * (COLUMNS - len(self.columns))
             for name in ("inverse", "rho", "shrink", "intercept")},
        )
        self.kernel.alive = (1 << len(self.columns)) - 1
        self.order = RowOrder(self.table.n_blocks, FAR_APART)
        self.epochs, self.looks, self.looked = 0, 0, 0.0
        # Numbers of a feature in whole cache lines; those of rows column by column, as certificates want them.
        back, rest = np.split(_kernel().lines(2 * (d + 2 * n)).view(np.float64).ravel(), [COLUMNS * d])
        self.room = *rest.reshape(2, COLUMNS, n), back.reshape(d, COLUMNS)

    @property
    def readings(self):
        """Of all rows."""
        return self.kernel.visits / self.table.n_rows + self.looks

    def solve(self):
        """Results of all columns, None for those not proven."""
        left = self.columns
        while left:
            self.watch.begin(self.epochs)
            self._epoch(left)
            ready = self._ready(left)
            self._proceed(left, ready)
            if ready:
                self._look(ready)
                left = [column for column in left if not column.done]
        return [column.result for column in self.columns]

    def _epoch(self, left):
        lanes = self.kernel.lanes
        self.kernel.may_rest = left[0].pace.may_rest
        for column in left:
            lanes["resting"][column.lane] = 1 / (column.pace.next_to_none or np.inf)
        self.kernel.epoch(self.order.draw(self.seed, self.epochs).positions)
        self.epochs += 1
        for column in left:
            column.count(*(lanes[name][column.lane] for name in ("account", "rise", "bend")))

    def _ready(self, left):
        """Columns to look at: all now and then, and those that promise to be done, once one of them has waited."""
        if self.readings - self.looked >= READINGS or self.readings >= self.max_iter:
            return left
        promising = [column for column in left if column.promises(self.kernel, self.tol)]
        waited = any(column.waited > WAIT for column in promising)
        return promising if waited or len(promising) == len(left) else []

    def _proceed(self, left, ready):
        """Models, the mean of the last iterates of columns that swing and the last of others; and the leaps."""
        lanes = self.kernel.lanes
        lanes["ahead"][:] = lanes["mix"][:] = 0.0
        for column in left:
            lanes["ahead"][column.lane], lanes["mix"][column.lane] = column.ahead, column.pace.newest
        if ready or any(column.pace.averaged for column in left):
            self.kernel.proceed()

    def _look(self, columns):
        """The certificates of some columns."""
        kernel, (p, multiple, back) = self.kernel, self.room
        duals = []
        for column in columns:
            u, own = column.bound.feasible(column.dual(kernel))
            duals.append(u)
            multiple[column.lane, column.rows] = own
        if len(columns) <= ALONE:
            for column in columns:
                coef, k = kernel.means[:, column.lane], column.lane
                p[k], back[:, k] = self.table.look(coef.astype(np.float64), multiple[k])
        else:
            kernel.see(multiple, p, back)
        self.looks += 1
        self.looked = self.readings
        for column, u in zip(columns, duals, strict=True):
            k = column.lane
            model = kernel.means[:, k].astype(np.float64), float(kernel.lanes["intercept"][k]), p[k, column.rows].copy()
            column.bound.judge(model, (u, None, back[:, k].copy()), self.tol)
            column.note(perf_counter() - self.began)
            if column.bound.gap <= self.tol:
                column.result = column.proven(self.readings)
            if column.bound.gap <= self.tol or self.readings >= self.max_iter or not column.learn(self.readings):
                column.done = True
                kernel.alive &= ~(1 << k)


class _Column:
    """A column on its way; compare :class:`DualDescent`'s.

    Parameters
    ----------
    lane : int
        Its place in the kernel's lines.
    bound : Bound
        Its certificate, which keeps the best model.
    subset : ndarray or None
    mean_norm : float
    """

    def __init__(self, lane, bound, subset, mean_norm):
        self.lane, self.bound = lane, bound
        self.rows = slice(None) if subset is None else subset
        n_active = bound.n_rows if bound.weight is None else int(np.count_nonzero(bound.weight))
        self.pace = Pace(bound, bound.l2, n_active, mean_norm, _kernel().has_parabola(bound.loss))
        self.inverse, self.rho = 1 / (bound.total * bound.l2), self.pace.rho
        self.shrink, self.intercept = bound.l1 / bound.l2, bound.intercept
        self.steps, self.ahead = 0, 0.0
        self.value, self.valued, self.waited = -np.inf, -REVALUE, 0
        self.history = {"rows": [], "objective": [], "gap": [], "seconds": []}
        self.done, self.result = False, None

    def count(self, account, rise, bend):
        """Take account of an epoch.

        Leaps go where the dual is largest on the way that the epoch has gone, as far as Nesterov's method would.
        """
        pace = self.pace
        pace.count(account)
        self.steps = self.steps + 1 if rise >= 0 else 1
        most = min(pace.most_ahead, (self.steps - 1) / (self.steps + 2)) if pace.may_leap else 0.0
        self.ahead = min(max(rise / bend - 0.5, 0.0), most) if bend > 0 else 0.0

    def promises(self, kernel, tol):
        """Whether the gap, by the epoch's account, is small enough to be looked at."""
        promising = self.pace.promises(tol, lambda: self._about(kernel))
        self.waited += promising
        return promising

    def _about(self, kernel):
        """The objective, roughly, by the dual's value: no model has been evaluated, but that costs little."""
        if self.pace.epochs - self.valued >= REVALUE:
            coef = kernel.coefs[:, self.lane]
            if self.shrink:
                coef = coef - np.clip(coef, -self.shrink, self.shrink)
            self.value = self.bound.dual_value(self.dual(kernel, SPARSE), coef, SPARSE)
            self.valued = self.pace.epochs
        return self.value

    def dual(self, kernel, every=1):
        """The dual variables of each `every`-th row, within their range."""
        u = kernel.duals[:, self.lane]
        u = u[::every] if isinstance(self.rows, slice) else u[self.rows[::every]]
        return np.clip(u.astype(np.float64), *(end[::every] for end in self.bound.ends))

    def learn(self, readings):
        """What a look says of the progress; False where the column may fare better alone."""
        self.waited = 0
        return self.pace.learn(readings)

    def note(self, seconds):
        """An entry of the history."""
        bound = self.bound
        for name, value in (("rows", bound.n_rows), ("objective", bound.objective), ("gap", bound.gap),
                            ("seconds", seconds)):
            self.history[name].append(value)

    def proven(self, readings):
        """The result."""
        bound, n_iter = self.bound, ceil(readings)
        coef, intercept = bound.coef[np.newaxis], np.array([bound.intercept])
        state = State(coef.copy(), intercept.copy(), t=1.0 + bound.n_rows)
        history = {name: np.array(values) for name, values in self.history.items()}
        return Result(coef, intercept, np.array([bound.objective]), n_iter, np.array([n_iter]), history,
                      "dual descent", state, True, np.array([bound.gap]), (bound.kind,))

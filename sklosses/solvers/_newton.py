"""Newton's method on growing samples, for convex losses: no step size, and a certificate at the end."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from math import ceil
from time import perf_counter

import numpy as np
from scipy.linalg import LinAlgError

from sklosses.exceptions import DivergenceError
from sklosses.solvers._descent import Column
from sklosses.solvers._family import levels, start_between
from sklosses.solvers._head_start import can_start
from sklosses.solvers._kinked import AT_ONCE, KinkedColumn
from sklosses.solvers._least_norm import least_norm
from sklosses.solvers._monitor import Epoch, Listener, Monitor
from sklosses.solvers._order import RowOrder
from sklosses.solvers._problem import Result, State, refuse_negative_weights
from sklosses.solvers._reading import Reading, is_better_gathered, of_one_column, threads_for
from sklosses.solvers._spread import in_order

# Multiply-adds of a reading up to which all rows are used from the start; and up to which the solution is taken to
# rounding, which costs little, and makes weights equal repetition. (One-hot tables of 1e6, with kinks or l1: up to nine
# times as long as to 1e-3, a third of a second.)
SMALL, THOROUGH = 1e6, 2.5e5
# A sample has at least so many rows, and so many a coefficient; it grows by this factor, up to this share of the rows.
FEWEST, ROWS_A_COEFFICIENT, GROWTH, LARGEST_SHARE = 2000, 8, 4, 0.25
# Losses with kinks have a first one up to this share, if it has so many rows a coefficient that it knows which are near
# their kinks: without it every row is in the interior point method's hands.
LARGEST_FIRST, TELLING = 0.5, 64
LARGEST_D = 2000
# A start is looked at on one row of so many, or as many as a sample has; on one of so many at most.
COMPARED, FEWEST_COMPARED = 8, 4
# Readings of a first step, with those for means, second derivatives and the certificate.
A_STEP = 8


@dataclass(frozen=True)
class Newton:
    """Newton's method on growing samples of the rows.

    For losses that are smooth or linear between kinks, any penalty, and up to 2000 features; dense or CSR rows of any
    scale. The objective divides by the sum S of the weights::

        F(w, b) = (1/S) sum_i s_i phi(y_i, x_i.w + b + o_i) + l1 ||w||_1 + (l2/2) ||w||^2 + intercept_cost b

    A sample of 1/n of the rows determines the solution to about d/n, so the first steps are taken on few rows; each
    stage has four times the rows of the one before. On all rows the last sample's curvature, kept up to date by BFGS,
    makes the steps, one reading each; where it serves badly, that of all rows replaces it. With an l1 penalty a step
    minimises the quadratic model with the penalty, by coordinate descent and a Newton step on the support it finds.

    Losses with kinks (hinge, quantile) take the same samples. On each, rows far from their kinks keep their side, and
    an interior point method, Newton's on the conditions of optimality, solves for the others; a reading of all rows
    tells which were on the wrong side, and they join.

    Where a loss is not convex, the solver ends at a stationary point.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Threads, as joblib counts them; None: as many as OpenMP may use (``OMP_NUM_THREADS``, threadpoolctl), for tables
        of 2e6 numbers or more. Results are the same bit for bit whatever their number.
    n_iter_no_change : int, default=5
        Where a monitor scores the model: readings without a better score, by `tol`, after which to stop. The
        coefficients that scored best are returned.
    thorough : bool, default=True
        Whether tables of up to 2.5e5 multiply-adds a reading are solved to rounding: it costs little, and makes
        weights equal repetition. False: to `tol`, as larger ones.

    Notes
    -----
    The certificate. With an l2 penalty F is strongly convex in w: with the best intercept for w,
    ``F - F* <= ||g||^2 / (2 l2)``, g the subgradient of least norm, which is a proof. Of dense tables, and losses that
    say how fast their curvature can change (``Traits.self_concordance``), the second derivatives of one row in 16 prove
    a bound nearer to the truth, with any penalty. With kinks, rows that keep their
    side make the objective a lower one, whose dual bounds F* from below: a proof with any penalty. Without a penalty
    that bound holds to rounding only, and is called an estimate. For smooth losses without l2, half the squared Newton
    decrement, with the exact Hessian at the solution, times a factor for the change of curvature along the step
    (Bach, "Self-concordant analysis for logistic regression", EJS 4, 2010): an estimate.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.data import as_rows
    >>> from sklosses.losses import LogLoss
    >>> from sklosses.penalties import L2
    >>> from sklosses.solvers import Newton, Problem
    >>> X = np.linspace(-1, 1, 40)[:, np.newaxis] * 1e6
    >>> problem = Problem(as_rows(X), (X[:, 0] > 1e5).astype(float), ((LogLoss(), 1),), L2(alpha=1e-2))
    >>> result = Newton().solve(problem, tol=1e-6)
    >>> bool(result.gap[0] <= 1e-6), result.gap_kind
    (True, ('proof',))
    """

    n_jobs: int | None = None
    n_iter_no_change: int = 5
    thorough: bool = True

    def solve(self, problem, *, tol=1e-3, max_iter=100, random_state=0, monitor=None, state=None):
        """Minimise.

        Parameters
        ----------
        problem : Problem
        tol : float >= 0 or None, default=1e-3
            Relative suboptimality (F - F*) / abs(F*) to reach. None and 0: the limit of precision.
        max_iter : int, default=100
            Readings of all rows, at most; small tables get 8 at least, which are a step or two.
        random_state : int, default=0
            Seed of the samples.
        monitor : Monitor or None, default=None
        state : State or None, default=None
            Where to start; None: zero coefficients, the best intercept for them. A start near the minimum, as some of
            the rows or the density of kinks tell, goes without samples; another takes them from there.

        Returns
        -------
        Result
            With ``gap`` and ``gap_kind`` of each column: nan and None where the loss is not convex, inf where a monitor
            stopped the solver before anything was known. ``history`` has one entry a reading: the number of ``rows``
            read, ``objective`` and ``gap`` as far as they are known then, ``seconds``.

        Raises
        ------
        ValueError
            If a loss has kinks and does not say where, there are more than 2000 features, or weights are negative.
        """
        check(problem)
        run = Run(self, problem, tol, max_iter, Monitor() if monitor is None else monitor)
        return run.all_stages(state, random_state)

    def n_threads(self, problem):
        """Threads for a problem."""
        return threads_for(self.n_jobs, problem.n_rows * problem.n_features)


def check(problem):
    """Refuse what this solver cannot do, before any work."""
    for (loss, _), traits in zip(problem.losses, problem.traits, strict=True):
        if traits.smooth and problem.intercept_cost:
            raise ValueError(f"Newton takes no intercept_cost with {loss!r}, got {problem.intercept_cost!r}.")
        try:
            traits.smooth or of_one_column(loss, 0).kinks(np.empty(0))
        except NotImplementedError:
            raise ValueError(f"Newton needs a loss that is smooth or has a method kinks, got {loss!r}.") from None
    if problem.n_features > LARGEST_D:
        raise ValueError(f"Newton holds matrices of n_features squared: at most {LARGEST_D} features, got "
                         f"{problem.n_features}.")
    refuse_negative_weights(problem, "Newton")


def samples(problem, seed):
    """Numbers of the rows of growing samples: the beginnings of one random order of blocks. None for small problems."""
    n, d = problem.n_rows, problem.n_features
    smooth = all(traits.smooth for traits in problem.traits)
    size = sample_size(problem)
    share = LARGEST_SHARE if smooth or size < TELLING * d else LARGEST_FIRST
    if size > share * n or (smooth and n * (d + 1) <= SMALL):
        return
    order = drawn(problem, seed)
    while size <= share * n:
        yield np.sort(order[:size])
        size, share = GROWTH * size, LARGEST_SHARE


def drawn(problem, seed):
    """Numbers of all rows in a random order of blocks, of which samples are the first."""
    positions = RowOrder(problem.n_rows, problem.rows.row_bytes).draw(seed, 0).positions
    return positions if problem.subset is None else problem.subset[positions]


def sample_size(problem):
    """Rows of the smallest sample."""
    return max(FEWEST, ROWS_A_COEFFICIENT * problem.n_features)


class Run:
    """One call of `solve`: where each column is, and what has been seen."""

    def __init__(self, solver, problem, tol, max_iter, monitor):
        self.n_threads = solver.n_threads(problem)
        self.problem, self.max_iter, self.monitor = problem, max_iter, monitor
        self.tol, self.thorough = tol or 0.0, solver.thorough
        self.began = perf_counter()
        self.before = 0.0       # readings of all rows, or parts of one, on samples
        self.n_iter = 0
        self.columns = []
        self.history = {"rows": [], "objective": [], "gap": [], "seconds": []}
        self.stopped = False    # by the monitor
        self.watched = type(monitor).end is not Monitor.end
        self.listener = Listener(self.tol, solver.n_iter_no_change)

    def all_stages(self, state, random_state):
        """From the start on samples to the end on all rows; returns the result."""
        with Reading(self.problem, self.n_threads) as reading:
            self.start(reading, state)
            self.first, *self.later = self._levels(reading, state)
            for place in chain(*self.later):
                self.columns[place.left].leads = self.columns[place.right].leads = True
            near = state is not None and state.near is not None
            hasty = [self._hasten(reading, k) for k in range(len(self.columns))] if state is None else [False]
            whole = near or all(hasty) or self._goes_at_once(reading)
            for number, rows in enumerate(() if whole else samples(self.problem, random_state)):
                if number == 0 and state is not None:
                    self.compare(reading, random_state)
                if self.stopped or all(column.is_near for column in self.columns):
                    break
                with self.sample(replace(self.problem, subset=rows)) as sample:
                    self.stage(sample)
                if self.later and len(rows) >= TELLING * self.problem.n_features:
                    break           # a larger one costs each of the first columns more than it spares them
            self.finish(reading, random_state)
            return self.result()

    @contextmanager
    def sample(self, problem):
        """A reading of some of the rows."""
        with Reading(problem, self.n_threads, gather=is_better_gathered(problem)) as sample:
            yield sample
            self.before += sample.readings * sample.n_rows / self.problem.n_rows

    def start(self, reading, state):
        """The columns, at the state or at the best constant."""
        l1, l2 = self.problem.penalty.l1, self.problem.penalty.l2
        for k in range(self.problem.n_columns):
            kind = Column if reading.traits[k].smooth else KinkedColumn
            strengths = l1[min(k, len(l1) - 1)], l2[min(k, len(l2) - 1)]
            self.columns.append(kind(self.problem, reading, k, strengths, state))

    def _hasten(self, reading, k):
        """Let a column without a start begin with a head start, if it can and nobody watches; whether it does."""
        column, small = self.columns[k], reading.n_rows * (reading.n_features + 1) <= SMALL
        column.hasty = small and not self.watched and can_start(self.problem, reading, k)
        return column.hasty

    def _goes_at_once(self, reading):
        """Let a lone column begin with a matrix of all rows, if that is best; whether it does."""
        first, *others = self.columns
        first.at_once = not others and first.is_quadratic(reading)
        return first.at_once

    def _levels(self, reading, state):
        """The columns to solve at once, and those that start between others, level by level.

        Whoever watches a fit is shown all columns from the start.
        """
        K, (loss, _) = self.problem.n_columns, self.problem.losses[0]
        family = loss.n_columns == K > 1 and not self.problem.traits[0].smooth and len(reading.targets) == 1
        watched = state is not None or type(self.monitor) is not Monitor
        few = self.problem.n_rows <= AT_ONCE
        return [list(range(K))] if watched or few or not (family and reading.one_weight) else levels(K)

    def compare(self, reading, seed):
        """Find out, on some of the rows, which columns start near their minimum: samples have nothing to tell them."""
        problem = self.problem
        size = min(max(problem.n_rows // COMPARED, sample_size(problem)), problem.n_rows // FEWEST_COMPARED)
        with self.sample(replace(problem, subset=np.sort(drawn(problem, seed)[:size]))) as sample:
            self._lockstep(sample, {k: column.compare(sample) for k, column in enumerate(self.columns)})
        asked = {k: column for k, column in enumerate(self.columns) if column.is_near and not column.told_by_some}
        if asked and not self.stopped:
            self._lockstep(reading, {k: column.compare(reading) for k, column in asked.items()})

    def stage(self, sample):
        """Minimise on a sample."""
        self._lockstep(sample, {k: self.columns[k].on_sample(sample) for k in self.first
                                if not self.columns[k].is_near})

    def is_thorough(self, reading):
        """Whether all rows are solved to rounding."""
        return self.thorough and reading.n_rows * (reading.n_features + 1) <= THOROUGH

    def finish(self, reading, random_state):
        """Minimise on all rows, and certify."""
        thorough = self.is_thorough(reading)
        goal = 1e-12 if thorough else max(self.tol, 1e-13)
        # On samples steps have been made; without, one takes this many readings.
        budget = self.max_iter - self.before if self.before else max(self.max_iter, A_STEP)
        for level in (self.first, *self.later):
            if self.stopped:
                break
            if level is not self.first:
                start_between(reading, self.columns, level)
                level = [place.column for place in level]
            self._lockstep(reading, {k: self.columns[k].on_all_rows(reading, self.tol, goal, budget) for k in level})
        if not self.stopped:
            self._lockstep(reading, {k: least_norm(self.problem, reading, column, thorough)
                                     for k, column in enumerate(self.columns)})
        if self.stopped or self.listener.best:
            self._settle(reading)
        self.n_iter = ceil(self.before + reading.readings)

    def _lockstep(self, reading, steps):
        """Run the columns' generators: what they ask to look at is looked at together, in one reading for all."""
        asked = {}

        def go_on(k, look):
            with suppress(StopIteration):
                asked[k] = steps[k].send(look)

        self._side_by_side(reading, go_on, sorted(steps), [None] * len(steps))
        while asked and not self.stopped:
            self.monitor.begin(len(self.history["rows"]))
            columns = sorted(asked)
            coef = np.array([asked[k][0] for k in columns])
            intercept = np.array([asked[k][1] for k in columns])
            asked.clear()
            try:
                self._side_by_side(reading, go_on, columns, reading.look(columns, coef, intercept))
            except (LinAlgError, OverflowError):
                raise DivergenceError(
                    f"Floating-point under-/overflow occurred at epoch #{ceil(self.before + reading.readings)}. "
                    "Scaling input data with StandardScaler or MinMaxScaler might help. Squares of X do not fit into "
                    "float64."
                ) from None
            self.note(reading.n_rows)

    def _side_by_side(self, reading, go_on, columns, looks):
        """Let columns go on; in threads, if they have the same weights and leave the table alone."""
        n_threads = min(reading.n_threads, len(columns)) if all(column.alone for column in self.columns) else 1
        if n_threads == 1 or not reading.one_weight:
            for k, look in zip(columns, looks, strict=True):
                go_on(k, look)
            return
        with ThreadPoolExecutor(n_threads) as pool:
            for _ in in_order(pool, go_on, zip(columns, looks, strict=True)):
                pass

    def note(self, rows):
        """An entry of the history; the monitor may want to stop."""
        objective = np.array([column.objective for column in self.columns])
        gap = np.array([column.gap for column in self.columns])
        seconds, number = perf_counter() - self.began, len(self.history["rows"])
        for name, value in (("rows", rows), ("objective", objective), ("gap", gap), ("seconds", seconds)):
            self.history[name].append(value)
        if not self.watched:
            return
        epoch = Epoch(number, objective, seconds, self._model, gap)
        verdict = self.monitor.end(epoch)
        epoch.close()
        self.stopped = self.listener.hear(verdict, number, self._model)

    def _settle(self, reading):
        """Take the model that scored best, or the one at which a monitor stopped, and find its objective."""
        last = len(self.history["rows"]) - 1
        best = self.listener.best
        if best is not None and best[1] < last:
            for column, coef, intercept in zip(self.columns, *best[2], strict=True):
                column.coef, column.intercept = coef, float(intercept)
        elif self.history["rows"][last] == reading.n_rows:
            return
        coef, intercept = self._model()
        for column, look in zip(self.columns, reading.look(range(len(coef)), coef, intercept), strict=True):
            column.settle(reading, look)

    def _model(self):
        return (np.array([column.coef for column in self.columns]),
                np.array([column.intercept for column in self.columns]))

    def result(self):
        """What the solver returns."""
        coef, intercept = self._model()
        history = {name: np.array(values) for name, values in self.history.items()}
        if len(self.columns) == 1:
            history["objective"], history["gap"] = history["objective"][:, 0], history["gap"][:, 0]
        gap = np.array([column.gap for column in self.columns])
        solver = ", ".join(sorted({column.solver for column in self.columns}, reverse=True))
        near = tuple(column.knowledge() for column in self.columns)
        return Result(coef, intercept, np.array([column.objective for column in self.columns]), self.n_iter,
                      np.full(len(gap), self.n_iter), history, solver,
                      State(coef.copy(), intercept.copy(), t=1.0 + self.problem.n_rows,
                            near=None if None in near else near),
                      self.stopped or all(column.reached for column in self.columns), gap,
                      tuple(column.gap_kind for column in self.columns),
                      any(column.endless for column in self.columns))

"""Which solver a problem calls for."""

from dataclasses import dataclass, replace

import numpy as np

from sklosses.solvers._as_block import is_better_blocked, rests_at_zero, solve_as_block
from sklosses.solvers._coupled import Coupled
from sklosses.solvers._dual_descent import DualDescent
from sklosses.solvers._monitor import Monitor
from sklosses.solvers._newton import LARGEST_D, SMALL, Newton
from sklosses.solvers._problem import State
from sklosses.solvers._sgd import SGD
from sklosses.solvers._truncated import TruncatedNewton
from sklosses.solvers._working_set import WorkingSet

# Dual coordinate descent takes about 60 readings of a sparse table's entries at some 1e9 a second, Newton's method
# three Gram matrices at some 4e10 operations a second: they are even where d^2 is this times the entries of a row.
SQUARES_AN_ENTRY = 800
# That many where mean(||x_i||^2) / (n l2) is at most this. Beyond, they grow nearly in proportion to it.
EASY = 10.0
# The same where there is no l2: the proximal term in its place takes more epochs, and its bound is an estimate.
LOOSE = 50.0
# A step by conjugate gradients takes dozens of readings of a dense table, dual descent hundreds beyond this.
STIFF = 100.0
# Readings after which Newton's method goes on from where dual descent has come, if it can: the rest would be slow.
LONG = 200
# Epochs of dual descent that are worth waiting for where a working set may go on: its proof takes as long as so many.
# Readings after which that is left, because its features depend on each other.
SOON, ENOUGH = 15, 100
# A block does not count its readings against a limit: it is used where there is room for as many as it may take.
LEAST_READINGS = 100


@dataclass(frozen=True)
class Auto:
    """The solver that a problem calls for: what ``learning_rate="auto"`` runs.

    - A block (see :func:`solve_many`) where that is faster: one-vs-rest, and kinks with hundreds of features.
    - :class:`Newton` for other tables of up to 2000 columns, unless they are so sparse that
    - :class:`DualDescent` is faster, which takes all wider tables. That depends on the strength of the penalty too.
      Where it has not arrived after 200 readings, Newton's method goes on from there: that of
    - :class:`TruncatedNewton` with more columns, if the loss is smooth and the penalty l2. It begins at once on dense
      tables for which dual descent would take hundreds of readings. With an l1 penalty alone and a smooth loss
    - :class:`WorkingSet` goes on, of sparse tables, from a few epochs, which find most of the columns that are in use,
      unless a few more of them suffice.
    - :class:`Coupled` for losses that look at all predictions of a row.
    - Losses that no coefficients at all satisfy best, as the perceptron's, have no minimum worth finding: the
      perceptron algorithm runs, :class:`SGD` with a constant step of 1.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Threads, as :class:`Newton` takes them.
    n_iter_no_change : int, default=5
        Readings without a better validation score after which to stop.
    thorough : bool, default=True
        Whether small tables are solved to rounding: see :class:`Newton`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.data import as_rows
    >>> from sklosses.losses import Hinge
    >>> from sklosses.penalties import L2
    >>> from sklosses.solvers import Auto, Problem
    >>> X = np.linspace(-1, 1, 40)[:, np.newaxis] * 1e6
    >>> problem = Problem(as_rows(X), np.where(X[:, 0] > 1e5, 1.0, -1.0), ((Hinge(), 1),), L2(alpha=1e-2))
    >>> Auto().solve(problem, tol=1e-6).solver
    'interior point'
    """

    n_jobs: int | None = None
    n_iter_no_change: int = 5
    thorough: bool = True

    def solve(self, problem, *, tol=1e-3, max_iter=100, random_state=0, monitor=None, state=None):
        """Minimise: arguments, result and errors are those of the solver chosen, :meth:`Newton.solve` for one."""
        given = {"tol": tol, "max_iter": max_iter, "random_state": random_state, "monitor": monitor, "state": state}
        if not _is_coupled(problem) and all(rests_at_zero(loss) for loss, _ in problem.losses):
            return _perceptron(problem, given, self)
        # Trial steps may lead beyond float64, and lose: no noise about it.
        with np.errstate(all="ignore"):
            solver = self.choose(problem)
            blocked = (state is None or _is_quick(problem)) and monitor is None and max_iter >= LEAST_READINGS
            if blocked and isinstance(solver, Newton) and is_better_blocked(problem, tol):
                result, near = solve_as_block(
                    problem, {"tol": tol, "random_state": random_state}, solver.n_threads(problem),
                    lambda part: replace(solver, thorough=False).solve(part, **given | {"state": None}))
                if result is not None:
                    return result
                given["state"] = near or state
            if isinstance(solver, DualDescent):
                return self._in_turn(problem, given)
            return solver.solve(problem, **given)

    def _in_turn(self, problem, given):
        """Dual descent; where it does not arrive soon, what goes on from there."""
        limit, found = given["max_iter"], None
        if given["monitor"] is not None:
            given = given | {"monitor": _Relay(given["monitor"])}
        for solver, most in self._sequence(problem):
            left = limit if found is None else limit - found.n_iter
            rest = solver.solve(problem, **given | {"max_iter": min(left, most)})
            found = rest if found is None else _joined(found, rest)
            if found.converged or found.endless or found.n_iter >= limit or (
                    given["monitor"] is not None and given["monitor"].ends_with(found)):
                break
            given = given | {"state": State(found.coef.copy(), found.intercept.copy())}
        return found

    def _sequence(self, problem):
        """Solvers, each of which goes on where the one before has come to, with the readings that it gets."""
        newton, sparse = self._newton(problem), hasattr(problem.rows, "indptr")
        if sparse and WorkingSet.can(problem) and np.max(problem.penalty.l2) == 0:
            working_set = WorkingSet(n_jobs=self.n_jobs, n_iter_no_change=self.n_iter_no_change)
            return (DualDescent(patience=SOON), LONG), (working_set, ENOUGH), (newton or DualDescent(), np.inf)
        return ((DualDescent(), np.inf),) if newton is None else ((DualDescent(), LONG), (newton, np.inf))

    def _newton(self, problem):
        """Newton's method for a problem, with a matrix or without; None if neither serves it."""
        if problem.n_features <= LARGEST_D or not _has_dual(problem):
            return Newton(n_jobs=self.n_jobs, n_iter_no_change=self.n_iter_no_change, thorough=self.thorough)
        if TruncatedNewton.can(problem) and (np.min(problem.penalty.l2) > 0 or _is_stiff(problem)):
            return TruncatedNewton(n_jobs=self.n_jobs, n_iter_no_change=self.n_iter_no_change)
        return None

    @staticmethod
    def can(problem):
        """Whether there is a solver for a problem: wide tables need convex losses.

        Parameters
        ----------
        problem : Problem

        Returns
        -------
        bool
        """
        return _is_coupled(problem) or problem.n_features <= LARGEST_D or _has_dual(problem)

    def choose(self, problem):
        """The solver for a problem.

        Parameters
        ----------
        problem : Problem

        Returns
        -------
        Coupled or Newton or TruncatedNewton or DualDescent
        """
        if _is_coupled(problem):
            return Coupled(n_jobs=self.n_jobs, n_iter_no_change=self.n_iter_no_change)
        wide = problem.n_features > LARGEST_D
        if _has_dual(problem) and (wide or _is_sparse_enough(problem)) and not (
                wide and _is_stiff(problem) and TruncatedNewton.can(problem)):
            return DualDescent()
        return self._newton(problem)


class _Relay(Monitor):
    """What watches two solvers, one after the other, as one: epochs and seconds go on."""

    def __init__(self, monitor):
        self._monitor, self._epochs, self._seconds, self._judged = monitor, 0, 0.0, False

    def attach(self, stop):
        self._monitor.attach(stop)

    def begin(self, epoch):
        self._monitor.begin(self._epochs + epoch)

    def end(self, epoch):
        epoch.number += self._epochs
        epoch.seconds += self._seconds
        verdict = self._monitor.end(epoch)
        self._judged = self._judged or verdict.stop or verdict.score is not None
        return verdict

    def ends_with(self, found):
        """Whether the first solver's result is the last: it was stopped, or the best score decides."""
        self._epochs, self._seconds = len(found.history["seconds"]), found.history["seconds"][-1]
        return self._judged


def _joined(first, second):
    """The result of a second solver that went on where the first ended: with the readings of both."""
    history = {name: np.concatenate([first.history[name], values]) for name, values in second.history.items()}
    seconds = history["seconds"]
    seconds[len(first.history["seconds"]):] += first.history["seconds"][-1]
    # The objective has not risen, so that what was proven of the first still holds.
    proven = np.array([kind == "proof" for kind in first.gap_kind]) & (second.objective <= first.objective) & (
        first.gap < second.gap)
    return replace(second, history=history, n_iter=first.n_iter + second.n_iter,
                   gap=np.where(proven, first.gap, second.gap),
                   gap_kind=tuple("proof" if known else kind
                                  for known, kind in zip(proven, second.gap_kind, strict=True)),
                   n_iter_per_column=first.n_iter_per_column + second.n_iter_per_column,
                   solver=f"{first.solver}, {second.solver}")


def _is_coupled(problem):
    return any(traits.coupled for traits in problem.traits)


def _has_dual(problem):
    return all(traits.convex for traits in problem.traits)


def _is_sparse_enough(problem):
    """Whether dual coordinate descent is expected to be faster than Newton's method."""
    rows = problem.rows
    if not hasattr(rows, "indptr"):
        return False
    squares = problem.n_features**2 / SQUARES_AN_ENTRY / max(1.0, len(rows.data) / max(1, rows.n_rows))
    if squares <= 1:
        return False
    weakest = np.min(problem.penalty.l2)
    if weakest == 0:
        return squares > LOOSE
    return squares > np.vdot(rows.data, rows.data) / rows.n_rows / problem.n_rows / weakest / EASY


def _is_quick(problem):
    """Whether a block of classes is done before Newton's method, class by class, is where it starts."""
    return problem.one_vs_rest is not None and problem.n_rows * (problem.n_features + 1) <= SMALL


def _is_stiff(problem):
    """Whether dual coordinate descent is expected to take hundreds of readings of a dense table."""
    rows = problem.rows
    if hasattr(rows, "indptr"):
        return False
    weakest = np.min(problem.penalty.l2)
    if weakest == 0:        # of many minimisers dual descent finds the shortest, nearly
        return problem.n_rows > problem.n_features
    return float(np.linalg.norm(rows.array)) ** 2 / rows.n_rows > STIFF * problem.n_rows * weakest


def _perceptron(problem, given, auto):
    """The perceptron algorithm (Rosenblatt 1958)."""
    tol = 1e-3 if given["tol"] is None else given["tol"]
    solver = SGD(learning_rate="constant", eta0=1.0, n_jobs=auto.n_jobs or 1, n_iter_no_change=auto.n_iter_no_change)
    result = solver.solve(problem, **given | {"tol": tol})
    K = problem.n_columns
    return replace(result, solver="perceptron algorithm", gap=np.full(K, np.nan), gap_kind=(None,) * K)

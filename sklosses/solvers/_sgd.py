"""Classic stochastic gradient descent with scikit-learn's schedules."""

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from joblib import effective_n_jobs

from sklosses.exceptions import DivergenceError
from sklosses.solvers._columns import Team, _kernel, averaged_model
from sklosses.solvers._monitor import Epoch, Monitor
from sklosses.solvers._objective import objective
from sklosses.solvers._order import Order, RowOrder
from sklosses.solvers._problem import Result, State

# An objective that has grown beyond this many times the null model's (or beyond this, where that is below 1) is of no
# use any more: what recovers by itself was never seen above 1e6. Up to FEW rows the bound is so high that it takes an
# overflow: scikit-learn's checks fit 80 to 100 rows of N(100, 1), on which its schedules swing at 1e24 without end, and
# expect no error. Estimators warn of such fits.
HOPELESS = 1e10
FEW, HOPELESS_OF_FEW = 100, 1e30
# Where the adaptive schedule gives up.
SMALLEST_ETA = 1e-6


@dataclass(frozen=True)
class SGD:
    """Classic stochastic gradient descent: scikit-learn's updates, schedules and stopping rule.

    Each row, or mini-batch of rows, moves the coefficients against the gradient of its loss and of the penalty, by a
    step size that the schedule gives. scikit-learn's names and meanings throughout.

    Parameters
    ----------
    learning_rate : {"optimal", "constant", "invscaling", "adaptive", "pa1", "pa2"}, default="optimal"
        The schedule. With t = 1, 2, ... counting steps: ``optimal`` 1/(alpha (t0 + t)) with Bottou's t0; ``constant``
        eta0; ``invscaling`` eta0/t^power_t; ``adaptive`` eta0, divided by 5 each time the objective stalls; ``pa1``,
        ``pa2`` passive-aggressive steps [1]_, for losses of slope 1.
    eta0 : float, default=0.01
    power_t : float, default=0.5
    average : int, default=0
        Return the mean of the iterates from this row on; 0: the last iterate.
    shuffle : bool, default=True
        Visit rows in the order of :func:`row_order`; else as they stand.
    batch_size : int, default=1
        Rows a step. 1: scikit-learn's updates. More: all predictions of a batch at the same coefficients, the mean of
        the rows' gradients (of their updates, for ``pa1`` and ``pa2``) as one step, one tick of the schedule.
    n_iter_no_change : int, default=5
        Epochs without an improvement by `tol` after which a column leaves.
    n_jobs : int or None, default=1
        Threads that share the columns, as joblib counts them. Results do not depend on it.
    alpha : float, ndarray of shape (n_columns,) or None, default=None
        The alpha of the ``optimal`` schedule; None: the penalty's.

    References
    ----------
    .. [1] Crammer, Dekel, Keshet, Shalev-Shwartz, Singer, "Online passive-aggressive algorithms", JMLR 7, 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.data import as_rows
    >>> from sklosses.losses import SquaredError
    >>> from sklosses.penalties import L2
    >>> from sklosses.solvers import SGD, Problem
    >>> X = np.linspace(-1, 1, 50)[:, np.newaxis]
    >>> problem = Problem(as_rows(X), 2 * X[:, 0] + 1, ((SquaredError(), 1),), L2(alpha=1e-6))
    >>> result = SGD(learning_rate="constant", eta0=0.1).solve(problem, tol=1e-6)
    >>> result.coef.round(2), result.intercept.round(2)
    (array([[2.]]), array([1.]))
    """

    learning_rate: str = "optimal"
    eta0: float = 0.01
    power_t: float = 0.5
    average: int = 0
    shuffle: bool = True
    batch_size: int = 1
    n_iter_no_change: int = 5
    n_jobs: int | None = 1
    alpha: float | np.ndarray | None = None

    def solve(self, problem, *, tol=1e-3, max_iter=1000, random_state=0, monitor=None, state=None):
        """Train.

        Parameters
        ----------
        problem : Problem
        tol : float or None, default=1e-3
            A column leaves when its running objective has not come `tol` below its best in `n_iter_no_change` epochs
            in a row. With a monitor that scores, all columns leave together when its score has not risen `tol` above
            its best likewise. None: run `max_iter` epochs.
        max_iter : int, default=1000
            Epochs at most.
        random_state : int, default=0
            Seed of the row order.
        monitor : Monitor or None, default=None
        state : State or None, default=None
            Where to go on; None: from zero. Not modified.

        Returns
        -------
        Result
            Of the best-scoring epoch where the monitor scores, else of the last.

        Raises
        ------
        DivergenceError
            At the end of an epoch, or within, if coefficients overflow; or if the running objective over the last
            tenth of an epoch's rows exceeds 1e10 max(F0, 1), with F0 the mean loss of the null model (all coefficients
            0); 1e30 max(F0, 1) for 100 rows or fewer.
        ValueError
            If the schedule is unknown or cannot be had for this penalty.
        """
        began = perf_counter()
        run = _Run(self, problem, tol, state)
        monitor = Monitor() if monitor is None else monitor
        order = self._orders(problem, random_state)
        with run.team:
            for number in range(max_iter):
                monitor.begin(number)
                running = run.epoch(number, order(number))
                seen = Epoch(number, running, perf_counter() - began, run.team.model)
                verdict = monitor.end(seen)
                if run.judge(seen, verdict):
                    break
            return run.result()

    def _orders(self, problem, seed):
        """A function: the :class:`Order` of an epoch, of positions among the rows trained on."""
        if self.shuffle:
            order = RowOrder(problem.n_rows, problem.rows.row_bytes)
            return lambda epoch: order.draw(seed, epoch)
        as_they_stand = Order(np.arange(problem.n_rows))
        return lambda epoch: as_they_stand

    def _alphas(self, problem):
        """The alpha of each column, for the schedule."""
        alpha = problem.penalty.l1 + problem.penalty.l2 if self.alpha is None else self.alpha
        alpha = np.array(np.broadcast_to(alpha, problem.n_columns), dtype=np.float64)
        if self.learning_rate == "optimal" and not np.all(alpha > 0):
            raise ValueError("learning_rate='optimal' needs alpha > 0: the step sizes are 1/(alpha (t0 + t)). Without "
                             f"a penalty, give alpha to the solver, or choose another schedule. Got alpha={alpha}.")
        return alpha

    def _start(self, problem, state):
        """Arrays over columns to start from, and the penalty's."""
        K, d = problem.n_columns, problem.n_features
        if state is None:
            state = State(np.zeros((K, d)), np.zeros(K))
        averaged = np.zeros(K)
        average_coef = average_intercept = None
        if self.average:
            average_coef, average_intercept = np.zeros((K, d)), np.zeros(K)
            if state.average_coef is not None:
                known = max(0.0, state.t - self.average) if state.averaged is None else state.averaged
                averaged += known
                has_mean = averaged > 0
                average_coef[has_mean] = state.average_coef[has_mean]
                average_intercept[has_mean] = state.average_intercept[has_mean]
        return {"coef": np.asarray(state.coef, dtype=np.float64), "average_coef": average_coef,
                "intercept": np.asarray(state.intercept, dtype=np.float64), "average_intercept": average_intercept,
                "averaged": averaged, "alpha": self._alphas(problem),
                "l1": np.broadcast_to(problem.penalty.l1, K), "l2": np.broadcast_to(problem.penalty.l2, K),
                "t": state.t if state.steps is None else 1.0 + state.steps, "seen": state.t - 1.0}

    def _settings(self):
        """What the kernel needs to know of these settings."""
        if self.learning_rate not in _kernel.SCHEDULES:
            valid = ", ".join(map(repr, _kernel.SCHEDULES))
            raise ValueError(f"learning_rate must be one of {valid}; got {self.learning_rate!r}.")
        return {"schedule": _kernel.SCHEDULES[self.learning_rate], "eta0": self.eta0, "power_t": self.power_t,
                "average": float(self.average), "batch_size": self.batch_size}


class _Run:
    """One call of `solve`: the columns, who of them is still there, and what has been seen so far."""

    def __init__(self, solver, problem, tol, state):
        if problem.n_rows == 0:
            raise ValueError("There are no rows to train on.")
        self.solver, self.problem = solver, problem
        self.tol = -np.inf if tol is None else tol
        self.hopeless = HOPELESS if problem.n_rows > FEW else HOPELESS_OF_FEW
        K = problem.n_columns
        start = solver._start(problem, state)
        self.team = Team(problem, start, settings=solver._settings(),
                         n_threads=min(K, effective_n_jobs(solver.n_jobs)))
        self.before = (start["seen"] + 1, start["t"] - 1)
        self.active = np.ones(K, dtype=bool)
        self.running = np.full(K, np.nan)
        self.best = np.full(K, np.inf)
        self.stalled = np.zeros(K, dtype=int)
        self.n_iter = np.zeros(K, dtype=int)
        self.best_score, self.best_state = -np.inf, None
        self.history = {"objective": [], "seconds": []}
        self.converged = False

    def epoch(self, number, order):
        """Visit all rows; the running objective of each column. A column that has left keeps its last."""
        n, batch = len(order.positions), self.solver.batch_size
        # The last tenth, by whole batches.
        split = (n - max(1, n // 10)) // batch * batch
        fine, whole, last = self.team.visit(order, split)
        if not fine or not np.all(np.isfinite(last)) or np.any(last / (n - split) > self.hopeless):
            self._check_divergence(number, fine, last / (n - split))
        self.running = np.where(self.active, whole / n, self.running)
        self.n_iter[self.active] = number + 1
        return self.running.copy()

    def _check_divergence(self, number, fine, last):
        """Raise if what looks like divergence is."""
        K, d = self.problem.n_columns, self.problem.n_features
        if fine and np.all(np.isfinite(last)):
            plain = replace(self.problem, intercept_cost=0.0)
            null = objective(plain, np.zeros((K, d)), np.zeros(K))
            if np.all(last <= self.hopeless * np.maximum(null, 1)):
                return
        column = int(np.argmax(np.nan_to_num(np.where(self.active, last, 0), nan=np.inf)))
        losses = [loss for loss, count in self.problem.losses for _ in range(count)]
        solver = self.solver
        what = "its weights overflowed" if not fine else f"its objective grew to {last[column]:.3g}"
        raise DivergenceError(
            f"Floating-point under-/overflow occurred at epoch #{number + 1}. Scaling input data with StandardScaler "
            f"or MinMaxScaler might help. {losses[column]!r} with learning_rate={solver.learning_rate!r}, "
            f"eta0={solver.eta0!r} diverged: {what}. If the data are scaled, a smaller eta0"
            " or a larger alpha helps.")

    def judge(self, epoch, verdict):
        """Note an epoch and apply the stopping rule; True to stop."""
        self.history["objective"].append(epoch.objective)
        self.history["seconds"].append(epoch.seconds)
        if verdict.score is None:
            stalling = epoch.objective > self.best - self.tol
            self.best = np.minimum(self.best, epoch.objective)
        else:
            self.history.setdefault("validation_score", []).append(verdict.score)
            stalling = np.full(len(self.active), verdict.score < self.best_score + self.tol)
            if verdict.score > self.best_score or self.best_state is None:
                self.best_score, self.best_state = verdict.score, self.team.state()
        epoch.close()
        if self.tol == -np.inf:
            stalling = np.zeros(len(self.active), dtype=bool)
        self.stalled = np.where(stalling, self.stalled + 1, 0)
        self._leave(np.flatnonzero(self.active & (self.stalled >= self.solver.n_iter_no_change)))
        self.converged = not self.active.any()
        return self.converged or verdict.stop

    def _leave(self, columns):
        """Columns that have stalled leave, or go on with smaller steps under the adaptive schedule."""
        leaving = set()
        for column in columns.tolist():
            if self.solver.learning_rate == "adaptive" and self.team.divide_eta(column, 5) > SMALLEST_ETA:
                self.stalled[column] = 0
            else:
                leaving.add(column)
        self.active[list(leaving)] = False
        self.team.release(leaving)

    def result(self):
        """The result, of the best-scoring epoch if there are scores."""
        problem, epochs = self.problem, int(self.n_iter.max())
        fitted = self.team.state() if self.best_state is None else self.best_state
        coef, intercept = averaged_model(fitted)
        averaging = fitted["average_coef"] is not None
        steps = -(-problem.n_rows // self.solver.batch_size)
        state = State(fitted["coef"], fitted["intercept"], fitted["average_coef"],
                      fitted["average_intercept"] if averaging else None,
                      t=self.before[0] + epochs * problem.n_rows, steps=self.before[1] + epochs * steps,
                      averaged=fitted["averaged"] if averaging else None)
        history = {name: np.array(values) for name, values in self.history.items()}
        if problem.n_columns == 1:
            history["objective"] = history["objective"].reshape(-1)
        return Result(coef.copy(), intercept.copy(), objective(problem, coef, intercept), epochs, self.n_iter, history,
                      "sgd", state, self.converged)

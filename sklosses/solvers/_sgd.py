"""Classic stochastic gradient descent with scikit-learn's schedules."""

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from joblib import effective_n_jobs

from sklosses.exceptions import DivergenceError
from sklosses.solvers._columns import Team, _kernel, averaged_model
from sklosses.solvers._monitor import Epoch, Monitor
from sklosses.solvers._objective import objectives
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
        (outcome,) = self._train(_Run(self, [problem], tol, state), max_iter, random_state, monitor)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def solve_together(self, problems, *, tol=1e-3, max_iter=1000, random_state=0, monitor=None):
        """Train problems over the same rows as columns of the same readings, from zero.

        Columns share nothing else: each problem's result is, bit for bit, that of :meth:`solve`.

        Parameters
        ----------
        problems : sequence of Problem
            With the same `rows`, `subset` and `offset`, `fit_intercept` and `intercept_cost`. Everything else may
            differ. An array `alpha` of the solver has the columns of all, one problem after the other.
        tol, max_iter, random_state
            As in :meth:`solve`.
        monitor : Monitor or None, default=None
            Of all columns. If it scores, they all leave together.

        Returns
        -------
        list of Result or DivergenceError
            Of each problem. Of one that diverges the error that :meth:`solve` raises; the others go on.

        Raises
        ------
        ValueError
            If the problems do not share what they must, or as :meth:`solve`.
        """
        problems = list(problems)
        for name in ("rows", "subset", "offset", "fit_intercept", "intercept_cost"):
            first, *others = (getattr(problem, name) for problem in problems)
            if any(other is not first and not (np.isscalar(first) and other == first) for other in others):
                raise ValueError(f"problems that are trained together must have the same {name}.")
        return self._train(_Run(self, problems, tol, None), max_iter, random_state, monitor)

    def _train(self, run, max_iter, seed, monitor):
        """Epochs until no column is left, there have been enough, or the monitor has seen enough."""
        began = perf_counter()
        monitor = Monitor() if monitor is None else monitor
        order = self._orders(run.problems[0], seed)
        monitor.attach(run.team.stop)
        with run.team:
            for number in range(max_iter):
                monitor.begin(number)
                running = run.epoch(number, order(number))
                if not run.active.any():        # all that were left have diverged
                    break
                seen = Epoch(number, running, perf_counter() - began, run.team.model)
                verdict = monitor.end(seen)
                if run.judge(seen, verdict):
                    break
            return run.results()

    def _orders(self, problem, seed):
        """A function: the :class:`Order` of an epoch, of positions among the rows trained on."""
        if self.shuffle:
            order = RowOrder(problem.n_rows, problem.row_bytes)
            return lambda epoch: order.draw(seed, epoch)
        as_they_stand = Order(np.arange(problem.n_rows))
        return lambda epoch: as_they_stand

    def _alphas(self, problems):
        """The alpha of each column, for the schedule."""
        alpha = self.alpha
        if alpha is None:
            alpha = np.concatenate([np.broadcast_to(problem.penalty.l1 + problem.penalty.l2, problem.n_columns)
                                    for problem in problems])
        alpha = np.array(np.broadcast_to(alpha, sum(problem.n_columns for problem in problems)), dtype=np.float64)
        if self.learning_rate == "optimal" and not np.all(alpha > 0):
            raise ValueError("learning_rate='optimal' needs alpha > 0: the step sizes are 1/(alpha (t0 + t)). Without "
                             f"a penalty, give alpha to the solver, or choose another schedule. Got alpha={alpha}.")
        return alpha

    def _start(self, problems, state):
        """Arrays over columns to start from, and the penalty's."""
        K, d = sum(problem.n_columns for problem in problems), problems[0].n_features
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
                "averaged": averaged, "alpha": self._alphas(problems), **_strengths(problems),
                "t": state.t if state.steps is None else 1.0 + state.steps, "seen": state.t - 1.0}

    def _settings(self):
        """What the kernel needs to know of these settings."""
        if self.learning_rate not in _kernel.SCHEDULES:
            valid = ", ".join(map(repr, _kernel.SCHEDULES))
            raise ValueError(f"learning_rate must be one of {valid}; got {self.learning_rate!r}.")
        return {"schedule": _kernel.SCHEDULES[self.learning_rate], "eta0": self.eta0, "power_t": self.power_t,
                "average": float(self.average), "batch_size": self.batch_size}


def _strengths(problems):
    """Strengths of l1 and l2 of all columns."""
    return {name: np.concatenate([np.broadcast_to(getattr(problem.penalty, name), problem.n_columns)
                                  for problem in problems]) for name in ("l1", "l2")}


class _Run:
    """One training: the columns of all problems, who of them is still there, and what has been seen so far."""

    def __init__(self, solver, problems, tol, state):
        if problems[0].n_rows == 0:
            raise ValueError("There are no rows to train on.")
        self.solver, self.problems = solver, problems
        self.tol = -np.inf if tol is None else tol
        self.hopeless = HOPELESS if problems[0].n_rows > FEW else HOPELESS_OF_FEW
        ends = np.cumsum([problem.n_columns for problem in problems]).tolist()
        self.parts = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        self.errors, K = {}, ends[-1]
        start = solver._start(problems, state)
        self.team = Team(problems, start, settings=solver._settings(),
                         n_threads=min(K, effective_n_jobs(solver.n_jobs)))
        self.before = (start["seen"] + 1, start["t"] - 1)
        self.active = np.ones(K, dtype=bool)
        self.running = np.full(K, np.nan)
        self.best = np.full(K, np.inf)
        self.stalled = np.zeros(K, dtype=int)
        self.n_iter = np.zeros(K, dtype=int)
        self.best_score, self.best_state = -np.inf, None
        self.history = {"objective": [], "seconds": []}

    def epoch(self, number, order):
        """Visit all rows; the running objective of each column. A column that has left keeps its last."""
        n, batch = len(order.positions), self.solver.batch_size
        # The last tenth, by whole batches.
        split = (n - max(1, n // 10)) // batch * batch
        fine, whole, last = self.team.visit(order, split)
        with np.errstate(invalid="ignore"):
            self._lose(number, fine, last / (n - split))
        self.running = np.where(self.active, whole / n, self.running)
        self.n_iter[self.active] = number + 1
        return self.running.copy()

    def _lose(self, number, fine, last):
        """Note the errors of problems that have diverged; all their columns leave."""
        suspect = self.active & ~(fine & (last <= self.hopeless))
        for k, part in enumerate(self.parts) if np.any(suspect) else ():
            wrong = suspect[part] & ~(fine[part] & (last[part] <= self.hopeless * self._worth(k, suspect)))
            if np.any(wrong):
                column = part.start + int(np.argmax(np.nan_to_num(np.where(wrong, last[part], -np.inf), nan=np.inf)))
                self.errors[k] = self._divergence(number, column, fine[column], last[column])
                self._leave(range(part.start, part.stop))

    def _worth(self, k, suspect):
        """What the null model of a problem is worth, at least 1."""
        if not np.any(suspect[self.parts[k]]):
            return 1.0
        plain = replace(self.problems[k], intercept_cost=0.0)
        null = objectives([plain], np.zeros((plain.n_columns, plain.n_features)), np.zeros(plain.n_columns))
        return np.maximum(null, 1)

    def _divergence(self, number, column, fine, last):
        """The error of a column."""
        losses = [loss for problem in self.problems for loss, count in problem.losses for _ in range(count)]
        solver = self.solver
        what = f"its objective grew to {last:.3g}" if fine else "its weights overflowed"
        return DivergenceError(
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
        leaving = set()
        for column in np.flatnonzero(self.active & (self.stalled >= self.solver.n_iter_no_change)).tolist():
            if self.solver.learning_rate == "adaptive" and self.team.divide_eta(column, 5) > SMALLEST_ETA:
                self.stalled[column] = 0        # it goes on with smaller steps
            else:
                leaving.add(column)
        self._leave(leaving)
        return verdict.stop or not self.active.any()

    def _leave(self, columns):
        """Train these columns no longer."""
        self.active[list(columns)] = False
        self.team.release(set(columns))

    def results(self):
        """A result for each problem, of the best-scoring epoch if there are scores; or the error."""
        fitted = self.team.state() if self.best_state is None else self.best_state
        coef, intercept = averaged_model(fitted)
        for k in self.errors:       # nobody wants their objective
            coef[self.parts[k]], intercept[self.parts[k]] = 0, 0
        values = objectives(self.problems, coef, intercept)
        return [self.errors.get(k) or self._result(k, fitted, (coef, intercept, values))
                for k in range(len(self.problems))]

    def _result(self, k, fitted, model):
        """The result of a problem."""
        problem, part = self.problems[k], self.parts[k]
        coef, intercept, values = (array[part].copy() for array in model)
        own = {name: None if array is None else array[part].copy() for name, array in fitted.items()}
        averaging, n_iter = own["average_coef"] is not None, self.n_iter[part].copy()
        epochs, steps = int(n_iter.max()), -(-problem.n_rows // self.solver.batch_size)
        state = State(own["coef"], own["intercept"], own["average_coef"],
                      own["average_intercept"] if averaging else None,
                      t=self.before[0] + epochs * problem.n_rows, steps=self.before[1] + epochs * steps,
                      averaged=own["averaged"] if averaging else None)
        history = {name: np.array(entries[:epochs]) for name, entries in self.history.items()}
        history["objective"] = history["objective"].reshape(epochs, len(self.active))[:, part]
        if problem.n_columns == 1:
            history["objective"] = history["objective"].reshape(-1)
        return Result(coef, intercept, values, epochs, n_iter, history, "sgd", state, not self.active[part].any())

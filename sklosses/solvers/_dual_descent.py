"""Dual coordinate descent, for wide and sparse tables: no step size, and a duality gap at the end."""

from dataclasses import dataclass
from math import ceil
from time import perf_counter

import numpy as np

from sklosses._isa import kernel
from sklosses.solvers._descent import LEAST_TOL
from sklosses.solvers._dual_bound import Bound
from sklosses.solvers._dual_pace import FAR_APART, READINGS, Pace
from sklosses.solvers._monitor import Epoch, Monitor
from sklosses.solvers._order import RowOrder
from sklosses.solvers._problem import Result, State, refuse_negative_weights
from sklosses.solvers._reading import Reading

# Epochs between two looks at the certificate, at most: one may read few rows.
MOST_EPOCHS = 60
# A gap this small, which so many looks have not brought down by a tenth, is the limit of precision.
LIMIT, PATIENCE = 1e-8, 4
# Strength of the proximal term where there is no l2: at first this share of what l1 is worth per unit of coefficient,
# less by this factor an epoch after a few, down to a last share.
FIRST_SHARE, LAST_SHARE, DECAY, STEADY_EPOCHS = 0.25, 0.06, 0.85, 5


@dataclass(frozen=True)
class DualDescent:
    """Dual coordinate descent, row by row.

    For convex losses with kinks or without, any penalty, any number of features; made for rows with few entries, as
    those of texts and of one-hot codes. The objective divides by the sum S of the weights::

        F(w, b) = (1/S) sum_i s_i phi(y_i, x_i.w + b + o_i) + l1 ||w||_1 + (l2/2) ||w||^2 + intercept_cost b

    Its dual has one variable a row, u_i in the range of the loss's slopes; with shrink(v) = sign(v) max(|v| - l1/l2, 0)
    ::

        w = shrink(v),    v = -sum_i c_i u_i x_i,    c_i = s_i / (S l2),    sum_i c_i u_i = -intercept_cost / l2

    A step maximises over one u_i, exactly or nearly: with p the row's prediction and Q = ||x_i||^2, the new u_i is the
    slope of phi at ``prox(p + c_i Q u_i, step=c_i Q)`` of the loss (Shalev-Shwartz and Zhang 2013). It reads the row
    and changes its coefficients alone, so an epoch costs little more than one product with the table. The constraint,
    which belongs to the intercept, is kept by an augmented Lagrangian. Rows that have next to no part in the gap rest
    for some epochs.

    Where the loss's slope is piecewise linear (hinge, squared_hinge, huber, quantile, squared_error, ...), an epoch
    begins ahead of where the last one has ended: the dual variables are moved on, within their range, to where the dual
    is largest on the way that it has moved them, by (k - 1) / (k + 2) of that at most, k counting the epochs since the
    dual last fell (Nesterov 1983; O'Donoghue and Candes 2015). Coefficients are linear in them, so it costs next to
    nothing. The model is the mean of the last iterates, whose coefficients swing more than their dual variables; with
    kinks it is taken in the size that is best for its direction.

    Without an l2 penalty an outer loop adds (mu/2) ||w - centre||^2 and moves the centre to w after each epoch
    (Rockafellar 1976), with mu falling.

    Parameters
    ----------
    patience : float, default=inf
        Without an l2 penalty: epochs that are worth waiting for. Where a look at the certificate says that more are to
        come the solver returns, for another one to go on.

    Notes
    -----
    The certificate. Any u that satisfies the constraint bounds F from below, by ::

        D(u) = (1/S) sum_i s_i (u_i o_i - phi*(u_i)) - sum_j max(|g_j| - l1, 0)^2 / (2 l2),
        g = (1/S) sum_i s_i u_i x_i

    with l2 > 0: F - D is a proof, and no property of the data enters. Two dual points are tried, the variables of the
    descent and the slopes at the predictions, each made to satisfy the constraint by scaling the heavier sign. Without
    l2 the last term becomes sum_j max(|g_j| - l1, 0) B_j, where B_j is a bound on the solution's coefficient. Such a
    bound is not known; several times what the coefficient is, and might be after a Newton step, takes its place: an
    estimate.

    The number of epochs grows with the strength of the features over that of the penalty, mean(||x_i||^2) / (n l2), and
    columns of a size quite different from others' make it grow further: raw, unscaled features are for
    :class:`Newton`, as long as there are not more than 2000. What has not been reached within `max_iter` readings is
    what `gap` says.

    References
    ----------
    S. Shalev-Shwartz and T. Zhang, "Stochastic dual coordinate ascent methods for regularized loss minimization",
    JMLR 14, 2013.

    C.-J. Hsieh, K.-W. Chang, C.-J. Lin, S. S. Keerthi and S. Sundararajan, "A dual coordinate descent method for
    large-scale linear SVM", ICML 2008.

    Y. Nesterov, "A method for solving the convex programming problem with convergence rate O(1/k^2)", Soviet
    Mathematics Doklady 27, 1983.

    B. O'Donoghue and E. Candes, "Adaptive restart for accelerated gradient schemes", Foundations of Computational
    Mathematics 15, 2015.

    R. T. Rockafellar, "Monotone operators and the proximal point algorithm", SIAM Journal on Control and Optimization
    14(5), 1976.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from sklosses.data import as_rows
    >>> from sklosses.losses import Hinge
    >>> from sklosses.penalties import L2
    >>> from sklosses.solvers import DualDescent, Problem
    >>> X = csr_array(np.eye(6, 400))
    >>> problem = Problem(as_rows(X), np.array([1.0, -1, 1, -1, 1, -1]), ((Hinge(), 1),), L2(alpha=0.1))
    >>> result = DualDescent().solve(problem, tol=1e-6)
    >>> bool(result.gap[0] <= 1e-6), result.gap_kind
    (True, ('proof',))
    """

    patience: float = np.inf

    def solve(self, problem, *, tol=1e-3, max_iter=100, random_state=0, monitor=None, state=None):
        """Minimise.

        Parameters
        ----------
        problem : Problem
        tol : float >= 0 or None, default=1e-3
            Relative suboptimality (F - F*) / abs(F*) to reach. None and 0: the limit of precision.
        max_iter : int, default=100
            Readings of all rows for a column, at most: epochs, and one or two for each look at the certificate.
        random_state : int, default=0
            Seed of the order in which rows are visited.
        monitor : Monitor or None, default=None
            Sees each look at the certificate, every 15 epochs at the latest.
        state : State or None, default=None
            Where to start; None: zero coefficients, the best intercept for them.

        Returns
        -------
        Result
            With ``gap`` and ``gap_kind`` of each column. ``history`` has one entry a look: ``rows``, ``objective``,
            ``gap``, ``seconds``.

        Raises
        ------
        ValueError
            If a loss is not convex, or weights are negative or those of a column all 0.
        """
        _check(problem)
        run = _Run(problem, tol, max_iter, Monitor() if monitor is None else monitor, self.patience)
        with Reading(problem) as reading:
            if not np.all(reading.totals > 0):
                raise ValueError("DualDescent needs a weight that is not 0 in each column: there is nothing to fit.")
            run.start(reading, random_state, state)
            while run.round():
                pass
            return run.result()


def _kernel():
    """The kernel's module, loaded at first use: that takes a quarter of what importing the package does."""
    return kernel("sklosses.solvers._dual_kernel")


def _check(problem):
    """Refuse what this solver cannot do, before any work."""
    for loss, _ in problem.losses:
        if not loss.traits.convex:
            raise ValueError(f"DualDescent needs a convex loss, got {loss!r}.")
    refuse_negative_weights(problem, "DualDescent")


class _Run:
    """One call of `solve`: the columns, and what has been seen of them."""

    def __init__(self, problem, tol, max_iter, monitor, patience):
        self.problem, self.max_iter, self.monitor, self.patience = problem, max_iter, monitor, patience
        self.tol = tol or 0.0
        self.began = perf_counter()
        self.columns = []
        self.history = {"rows": [], "objective": [], "gap": [], "seconds": []}
        self.best = None        # the best score of a monitor, and the model that had it

    def start(self, reading, seed, state):
        """The columns, at the state or at the best constant."""
        K = self.problem.n_columns
        l1, l2 = np.broadcast_to(self.problem.penalty.l1, K), np.broadcast_to(self.problem.penalty.l2, K)
        table = _kernel().Table(self.problem.rows, self.problem.subset)
        norm = table.mean_square_norm()
        fit_intercept = self.problem.fit_intercept
        bounds = [Bound(reading, table, k, (l1[k], l2[k], self.problem.intercept_cost), fit_intercept, state)
                  for k in range(K)]
        self.columns = [_Column(bound, norm, seed, state) for bound in bounds]

    def round(self):
        """Each column to its next look at the certificate; False when all are done."""
        self.monitor.begin(len(self.history["rows"]))
        for column in self.columns:
            if not column.done:
                column.descend(max(self.tol, 1e-13), self.max_iter, self.patience)
        objective = np.array([column.bound.objective for column in self.columns])
        gaps = np.array([column.bound.gap for column in self.columns])
        seconds = perf_counter() - self.began
        for name, value in (("rows", self.problem.n_rows), ("objective", objective), ("gap", gaps),
                            ("seconds", seconds)):
            self.history[name].append(value)
        epoch = Epoch(len(self.history["rows"]) - 1, objective, seconds, self._model, gaps)
        verdict = self.monitor.end(epoch)
        epoch.close()
        if verdict.score is not None and (self.best is None or verdict.score >= self.best[0]):
            self.best = verdict.score, *self._model(), objective, gaps
        return not (verdict.stop or all(column.done for column in self.columns))

    def _model(self):
        return (np.array([column.bound.coef for column in self.columns]),
                np.array([column.bound.intercept for column in self.columns]))

    def result(self):
        """What the solver returns."""
        coef, intercept = self._model()
        objective = np.array([column.bound.objective for column in self.columns])
        gap = np.array([column.bound.gap for column in self.columns])
        converged = bool(np.all(gap <= max(self.tol, LEAST_TOL))) and not any(c.bound.ran_away for c in self.columns)
        if self.best is not None:
            _, coef, intercept, objective, gap = self.best
        history = {name: np.array(values) for name, values in self.history.items()}
        if len(self.columns) == 1:
            history["objective"], history["gap"] = history["objective"][:, 0], history["gap"][:, 0]
        kinds = tuple(column.bound.kind for column in self.columns)
        readings = np.array([ceil(column.readings) for column in self.columns])
        state = State(coef.copy(), intercept.copy(), t=1.0 + self.problem.n_rows)
        return Result(coef, intercept, objective, int(readings.max()), readings, history, "dual descent", state,
                      converged, gap, kinds, not converged and any(column.bound.endless for column in self.columns))


class _Column:
    """A column on its way: epochs of the kernel, and when to look at the certificate.

    Parameters
    ----------
    bound : Bound
        Its certificate, which keeps the best coefficients.
    mean_norm : float
        The mean of ||x_i||^2, nearly.
    seed : int
    state : State or None
    """

    def __init__(self, bound, mean_norm, seed, state):
        self.bound, self.seed = bound, seed
        n = bound.n_rows
        weight = np.ones(n) if bound.weight is None else bound.weight
        n_active = int(np.count_nonzero(weight))
        self.mu, self.least_mu = self._proximal(mean_norm)
        self.kappa = bound.l2 + self.mu
        self.centre = bound.coef.copy() if self.mu else None
        self.dual = np.zeros(n, dtype=_kernel().DUAL)
        self.dual["at"] = np.nan
        self.v = _kernel().vector(len(bound.coef))
        self.scale = weight / (bound.total * self.kappa)
        self.step = np.full(n, -1.0)
        rows = bound.target, bound.offset, self.scale
        self.kernel = _kernel().Column(bound.loss, rows, self.step, self.v, self.dual)
        self.pace = Pace(bound, self.kappa, n_active, mean_norm, self.kernel.forgets)
        self.kernel.rho, self.kernel.most_ahead = self.pace.rho, self.pace.most_ahead
        self.kernel.shrink = bound.l1 / self.kappa
        self.kernel.intercept, self.kernel.sum = bound.intercept, bound.cost / self.kappa
        if self.mu:
            self.v += self.mu / self.kappa * self.centre
        if state is not None:
            self._start_from_slopes()
        elif bound.cost and bound.fit_intercept:
            self.dual["u"], self.v[:], self.kernel.intercept = bound.first(self.kappa)
            self.kernel.sum = 0.0
        self.order = RowOrder(bound.table.n_blocks, FAR_APART)
        self.wait = STEADY_EPOCHS if self.mu else MOST_EPOCHS
        self.mean = None
        self.seen, self.left = [], 0.0              # gaps, and epochs that are still to come, about
        self.done = False

    @property
    def readings(self):
        """Of all rows that count."""
        return self.kernel.visits / self.pace.n_active + self.bound.readings

    def _proximal(self, mean_norm):
        """The first and the least strength of the proximal term; 0 with an l2 penalty, which does without."""
        bound = self.bound
        if bound.l2 > 0:
            return 0.0, 0.0
        # Units: of predictions, the null objective over the mean slope; of coefficients, that over the size of a row.
        slope = bound.null_slope or 1.0
        unit = max(bound.null, 1e-12 * slope) / slope
        norm = mean_norm or 1.0
        natural = slope / unit * norm / bound.n_rows
        worth = bound.l1 * norm ** 0.5 / unit
        if worth == 0:
            return natural, 0.05 * natural
        return max(FIRST_SHARE * worth, 0.05 * natural), max(LAST_SHARE * worth, 0.01 * natural)

    def _start_from_slopes(self):
        """Dual variables from the slopes at the state, as much of them as serves the dual."""
        u, at, curvature, back, share = self.bound.slopes(self.mu)
        self.dual["u"] = share * u
        if share == 1:
            self.dual["at"], self.dual["curvature"] = at, curvature
        self.v -= share / self.kappa * back
        self.kernel.sum = float(self.scale @ self.dual["u"]) + self.bound.cost / self.kappa

    # Epochs ---------------------------------------------------------------------------------------------------------

    def descend(self, tol, budget, patience):
        """Epochs until the certificate is worth a look, and the look; no more if too many are to come."""
        bound, pace = self.bound, self.pace
        enough = budget if self.mu else min(budget, self.readings + READINGS)
        for _ in range(self.wait):
            self._epoch()
            if self.readings >= enough or (not self.mu and pace.promises(tol, self._dual_value)):
                break
        coef = self.mean.copy() if pace.averaged else self._coef()
        bound.reach, bound.work = 1 / self.mu if self.mu else 0.0, pace.epochs
        bound.look(coef, self.kernel.intercept, self.dual, tol)
        # Where the last iterate promises more than their mean has brought, what is old in that may be in the way.
        better = pace.averaged and bound.gap > tol and bound.bound > pace.expected
        if better and bound.improve(self._coef(), self.kernel.intercept, tol):
            pace.averaged = 0
        if not self.mu:
            pace.learn(self.readings)
        self._plan(tol)
        self.seen.append(bound.gap)
        stuck = len(self.seen) > PATIENCE and bound.gap <= LIMIT and bound.gap > 0.9 * self.seen[-1 - PATIENCE]
        self.done = bound.gap <= tol or stuck or self.readings >= budget or self.left > patience or bound.runs_away()

    def _coef(self):
        """The coefficients: a copy."""
        shrink = self.kernel.shrink
        return self.v - np.clip(self.v, -shrink, shrink) if shrink else self.v.copy()

    def _epoch(self):
        column, pace = self.kernel, self.pace
        if self.mu and pace.epochs >= STEADY_EPOCHS:
            self._set_mu(max(self.least_mu, DECAY * self.mu))
        if pace.may_leap:
            self.bound.table.leap(column)
        column.next_to_none = pace.next_to_none
        self.bound.table.descend(column, self.order.draw(self.seed, pace.epochs).positions)
        pace.count(float(self.scale @ self.dual["gap"]))
        if self.mu:
            coef = self._coef()
            self.v += self.mu / self.kappa * (coef - self.centre)
            self.centre = coef
        elif pace.averaged:
            self._take_into_mean()

    def _take_into_mean(self):
        """The mean of the iterates, in proportion to a power of their numbers."""
        newest = self._coef()
        if self.pace.averaged == 1:
            self.mean = newest
            return
        newest -= self.mean
        newest *= self.pace.newest
        self.mean += newest

    def _dual_value(self):
        return self.bound.dual_value(self.dual["u"], self._coef())

    def _plan(self, tol):
        """How many epochs to wait before the next look, from how the gap has fallen so far."""
        gap, before = self.bound.gap, self.seen[-1] if self.seen else 1.0
        if not self.mu:
            return
        if not 0 < gap < before or gap == np.inf:
            self.wait, self.left = min(2 * self.wait, READINGS), np.inf
            return
        rate = np.log(before / gap) / self.wait
        self.left = max(np.log(gap / tol) / rate, 0.0) if tol > 0 else np.inf
        self.wait = int(np.clip(self.left, 1, READINGS))

    def _set_mu(self, mu):
        """Change the strength of the proximal term, and all that is in its unit."""
        if mu == self.mu:
            return
        kappa = self.bound.l2 + mu
        ratio = self.kappa / kappa
        self.v -= self.mu / self.kappa * self.centre
        self.v *= ratio
        self.v += mu / kappa * self.centre
        self.scale *= ratio
        self.step *= ratio
        self.kernel.sum *= ratio
        self.kernel.shrink = self.bound.l1 / kappa
        self.mu, self.kappa = mu, kappa
        self.pace.kappa = kappa

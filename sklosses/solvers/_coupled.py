"""The solver for losses that look at all predictions of a row: softmax, the multiclass hinge."""

from dataclasses import dataclass, replace
from math import ceil
from time import perf_counter

import numpy as np
from scipy.linalg import LinAlgError

from sklosses.exceptions import DivergenceError
from sklosses.solvers._gap import F_ROUNDING, relative_gap
from sklosses.solvers._monitor import Epoch, Listener, Monitor
from sklosses.solvers._order import RowOrder
from sklosses.solvers._problem import Result, State, refuse_negative_weights
from sklosses.solvers._reading import threads_for
from sklosses.solvers._shift import falls_for_ever
from sklosses.solvers._slice_descent import DOUBT, Descent, settle
from sklosses.solvers._slice_dual import SliceDual
from sklosses.solvers._slice_interior import SliceInterior
from sklosses.solvers._slices import WIDTHS, Dual, SliceReading, best_constant, best_shifts

# Multiply-adds of a reading up to which all rows are used from the start, and the solution is taken to rounding.
SMALL = 1e6
# Samples: rows at least, and for each feature; growth, and the largest share of the rows.
FEWEST, ROWS_A_FEATURE, GROWTH, LARGEST_SHARE = 2000, 10, 4, 0.25
# Coordinates up to which the whole Hessian is held; multiplications for one up to which it is made of all rows, and by
# the interior point method in every iteration.
LARGEST_D, LARGEST_HESSIAN, LARGEST_INTERIOR = 1500, 2e11, 2e9
# A stage on a sample ends below this part of its statistical error.
STAGE_TOL = 0.1
# Gaps up to this are at the limit of precision: no tolerance below it is missed.
LEAST_TOL = 1e-9
# An objective of this share of the best constant's is little.
LITTLE = 1e-6
# Complementarity that the interior point method starts with: as if a maximum were rounded by so much.
START = 0.1
# Iterations of it that bring nothing, after which it ends.
STALE = 15
# Complementarity below this is rounding.
EPSILON = 1e-16
# After how many looks a proof is tried without much hope.
A_PROOF = 16
# A gradient is left for a calmer one where the bound is to be less than this share of what it is.
CALMER = 0.7
# Dual descent: a gap this small, which so many looks have not brought down by a tenth, is the limit of precision.
LIMIT, PATIENCE = 1e-8, 4
# A slope this much beyond l1 is within it, to rounding.
WITHIN = 1e-12
# Smoothing: the first width, and how a width is chosen after a gap.
FIRST_WIDTH, NARROWER = 0.5, (0.1, 0.4)


@dataclass(frozen=True)
class Coupled:
    """Minimises losses of whole rows of predictions, of :class:`~sklosses.losses.MulticlassLoss`.

    One problem with K columns, for any penalty, dense or CSR rows of any scale::

        F(W, b) = (1/S) sum_i s_i phi(y_i, W x_i + b) + l1 ||W||_1 + (l2/2) ||W||^2

    Smooth losses: Newton's method on growing samples and then on all rows, with the whole Hessian in the K (d + 1)
    coefficients, while there are no more than 1500 of them; beyond, L-BFGS, preconditioned by one block of the Hessian
    a class. Losses with kinks: an interior point method of the same Hessian; where that is too large, smoothed forms,
    whose width shrinks; with more than 1500 coefficients and a penalty, dual descent, a row's distribution at a time.
    Under an l1 penalty the best constant is looked at first: it may be the minimum, which its slopes then prove.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Threads, as :class:`Newton` takes them. Results do not depend on it.
    n_iter_no_change : int, default=5
        As of :class:`Newton`.

    Notes
    -----
    The certificate is the duality gap, with any l1 or l2 penalty, and then a proof: every distribution over the classes
    for every row gives a lower bound on F*, those that are best at the coefficients nearly the best one. For the
    multiclass hinge these distributions are those of K. Crammer, Y. Singer (JMLR 2, 2001). Without a penalty the gap is
    an estimate: the Newton decrement, times a factor for the change of curvature along the step (Bach, EJS 4, 2010), or
    50 where the Hessian is L-BFGS's; for kinks, what complementarity is left.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.data import as_rows
    >>> from sklosses.losses import Multinomial
    >>> from sklosses.penalties import L2
    >>> from sklosses.solvers import Coupled, Problem
    >>> X = np.linspace(-1, 1, 60)[:, np.newaxis] * 1e6
    >>> y = np.repeat([0.0, 1.0, 2.0], 20)
    >>> result = Coupled().solve(Problem(as_rows(X), y, ((Multinomial(), 3),), L2(alpha=1e-2)), tol=1e-6)
    >>> bool(result.gap[0] <= 1e-6), result.gap_kind
    (True, ('proof',))
    """

    n_jobs: int | None = None
    n_iter_no_change: int = 5

    def solve(self, problem, *, tol=1e-3, max_iter=100, random_state=0, monitor=None, state=None):
        """Minimise.

        Parameters
        ----------
        problem : Problem
            With one loss of whole rows; targets are class numbers or rows of probabilities.
        tol : float >= 0 or None, default=1e-3
            Relative suboptimality (F - F*) / F* to reach. None and 0: the limit of precision.
        max_iter : int, default=100
            Readings of all rows, at most.
        random_state : int, default=0
            Seed of the samples.
        monitor : Monitor or None, default=None
        state : State or None, default=None
            Where to start.

        Returns
        -------
        Result
            `objective`, `gap` and `gap_kind` have one entry: the columns have one objective together.

        Raises
        ------
        ValueError
            If the problem has other losses, weights are negative, or the intercept costs something.
        """
        _check(problem)
        run = _Run(self, problem, tol, max_iter, Monitor() if monitor is None else monitor)
        with SliceReading(problem, threads_for(self.n_jobs, problem.n_rows * problem.n_features)) as reading:
            try:
                run.start(reading, state)
                run.go(reading, random_state)
            except (LinAlgError, OverflowError):
                raise DivergenceError(
                    f"Floating-point under-/overflow occurred at epoch #{ceil(reading.readings)}. Scaling input data "
                    "with StandardScaler or MinMaxScaler might help. Squares of X do not fit into float64."
                ) from None
            run.close(reading)
            return run.result(reading)


def _check(problem):
    """Refuse what this solver cannot do, before any work."""
    if len(problem.losses) != 1 or not problem.losses[0][0].traits.coupled:
        raise ValueError(f"Coupled takes one loss of whole rows, got {problem.losses!r}.")
    refuse_negative_weights(problem, "Coupled")
    if problem.intercept_cost:
        raise ValueError(f"Coupled takes no intercept_cost, got {problem.intercept_cost!r}.")


class _Run:
    """One call of `solve`."""

    def __init__(self, solver, problem, tol, max_iter, monitor):
        self.problem, self.max_iter, self.monitor = problem, max_iter, monitor
        self.tol = tol or 0.0
        self.listener = Listener(self.tol, solver.n_iter_no_change)
        self.loss, self.K = problem.losses[0]
        self.began = perf_counter()
        self.before = 0.0           # readings of all rows, on samples
        self.history = {"rows": [], "objective": [], "gap": [], "seconds": []}
        self.stopped = False
        self.objective = self.gap = np.inf
        self.endless = False
        self.kind, self.lower = "estimate", 0.0       # no loss is below 0
        self.solver = ""
        self.penalty = float(np.max(problem.penalty.l1)), float(np.max(problem.penalty.l2))

    def start(self, reading, state):
        """The model at the state, or at the best constant."""
        K, d, n = self.K, reading.n_features, reading.n_rows
        self.coef = np.zeros((K, d)) if state is None else np.array(state.coef, dtype=np.float64)
        self.intercept = np.zeros(K) if state is None else np.array(state.intercept, dtype=np.float64)
        p = np.zeros((n, K))
        if self.problem.fit_intercept:
            self.constant, value, self.near = best_constant(reading, p)
            if state is None:
                self.intercept = self.near[1]
        else:
            self.constant, self.near = self.intercept, (self.loss.smoothed(WIDTHS[-1]), self.intercept)
            value, _ = reading.evaluate(p + self.constant)
        self.null = value / reading.total
        self.small = n * (d + 1) * K <= SMALL
        self.goal = 1e-12 if self.small else max(self.tol, 1e-13)
        self.D = K * (d + 1)
        # Small tables get 8 readings at least, which are a step or two.
        self.budget = max(self.max_iter, 8)

    def _costs(self, coef):
        """The penalty of coefficients."""
        l1, l2 = self.penalty
        return l1 * float(np.abs(coef).sum()) + 0.5 * l2 * float(np.vdot(coef, coef))

    def go(self, reading, seed):
        """Samples first, then all rows; neither where no coefficient pays."""
        if self._is_constant(reading):
            return
        smooth, pieces = self.loss.traits.smooth, self.loss.quadratic is not None
        if pieces and self.D <= LARGEST_D and reading.n_rows * self.D**2 <= LARGEST_INTERIOR:
            self._interior(reading)
        elif pieces and self.D > LARGEST_D and any(self.penalty):
            self._dual_descent(reading, seed)
        elif smooth:
            self._smooth(reading, seed)
        else:
            self._narrowing(reading, seed)

    def _is_constant(self, reading):
        """Whether the best constant is the minimum, which it is proven to be where no slope there exceeds l1."""
        if not self.penalty[0] > 0:
            return False
        loss, shift = self.near
        _, a = reading.evaluate(np.tile(shift, (reading.n_rows, 1)), loss=loss)
        g = reading.gradients(a)
        product = reading.back_slices(g)
        if np.abs(product).max(initial=0.0) > (1 + WITHIN) * self.penalty[0] * reading.total:
            return False
        self._prepare_dual(reading, reading.centre(self.problem.fit_intercept))
        self.lower = max(self.lower, self.dual(a, product, g.sum(axis=0)))
        if self._constant_gap(self.lower) > max(self.goal, LEAST_TOL):
            return False
        self._take_constant(self.lower)
        self.kind = "proof"
        self.solver = "best constant"
        self._note(reading, self)
        return True

    def _constant_gap(self, lower):
        bound = max(self.null - lower, 0.0) + F_ROUNDING * abs(self.null)
        return relative_gap(self.null, bound, self.null)

    def _take_constant(self, lower):
        """The best constant becomes the model; no model is below `lower`."""
        self.coef, self.intercept = np.zeros_like(self.coef), self.constant.copy()
        self.objective, self.gap = self.null, self._constant_gap(lower)

    # Smooth losses --------------------------------------------------------------------------------------------------

    def _descent(self, loss):
        return Descent(self.problem, loss, self.penalty, (self.coef, self.intercept),
                       self.D <= LARGEST_D and self.problem.n_rows * self.D**2 <= LARGEST_HESSIAN)

    def _smooth(self, reading, seed):
        self.solver = "newton" if self.D <= LARGEST_D else "l-bfgs"
        self.dual = None
        metric = self._on_samples(reading, self.loss, seed)
        if self.stopped:
            return
        descent = self._descent(self.loss)
        descent.find_centre(reading)
        if metric is not None:
            descent.inherit(metric, reading)
        self._prepare_dual(reading, descent.centre)
        self._finish(reading, descent)

    def _prepare_dual(self, reading, centre):
        fixed = None if self.problem.fit_intercept else self.intercept
        self.dual = Dual(reading, self.penalty, centre, fixed)

    def _on_samples(self, reading, loss, seed):
        """Stages on growing samples; returns the metric of the last, None if there was none."""
        metric = None
        for rows in self._samples(seed):
            with SliceReading(replace(self.problem, subset=rows), reading.n_threads, gather=True) as sample:
                descent = self._descent(loss)
                descent.find_centre(sample)
                look = sample.see(self.coef, self.intercept, loss)
                if not sample.total > 0:
                    continue
                descent.ridge = _ridge(sample, descent, look)
                error = STAGE_TOL * self.K * sample.n_features / sample.n_rows

                def done(_, __, decrement, ___, error=error, descent=descent):
                    return decrement / 2 <= error * abs(descent.objective)

                descent.goal = error
                descent.metric.renew(sample, look)
                descent.descend(sample, done, 60, self._note)
                self.coef, self.intercept = descent.coef, descent.intercept
                if not self.stopped and self.D <= LARGEST_D:        # blocks are soon made anew, of all rows
                    descent.metric.renew(sample, sample.see(self.coef, self.intercept, loss))
                metric = descent.metric
                metric.constant = descent.constant
                self.before += sample.readings * sample.n_rows / self.problem.n_rows
            if self.stopped:
                break
        return metric

    def _samples(self, seed):
        """Numbers of the rows of growing samples: the beginnings of one random order of blocks."""
        n, d = self.problem.n_rows, self.problem.n_features
        if self.small or d > 2000:
            return
        positions = RowOrder(n, self.problem.rows.row_bytes).draw(seed, 0).positions
        size = max(FEWEST, ROWS_A_FEATURE * d)
        most = LARGEST_SHARE * n
        if self.D <= LARGEST_D:         # whole Hessians: no larger than some tens of readings
            most = min(most, 40 * n / self.D)
        sizes = [size] if size <= LARGEST_SHARE * n else []
        while sizes and sizes[-1] * GROWTH <= most and self.D <= LARGEST_D:
            sizes.append(sizes[-1] * GROWTH)
        for size in sizes:
            rows = np.sort(positions[:size])
            yield rows if self.problem.subset is None else self.problem.subset[rows]

    def _finish(self, reading, descent):
        """Down to the goal on all rows."""
        goal, loss, penalised = self.goal, self.loss, any(self.penalty)
        descent.goal = 1e-2 * goal
        seen = {"looks": 0, "ask": goal}

        def done(look, gradient, decrement, exact):
            seen["looks"] += 1
            if penalised:
                hoped, step = self._calmest(descent, gradient)
                if hoped <= seen["ask"] or (self.penalty[1] == 0 and seen["looks"] % A_PROOF == 0):
                    known = descent.coef, descent.intercept, descent.objective
                    gap = self._prove(reading, descent, self._moved(reading, descent, look, step), loss)
                    if gap <= goal:
                        return True
                    seen["ask"] = min(seen["ask"], 0.9 * hoped * max(goal / gap, 0.5))
                    descent.coef, descent.intercept, descent.objective = known      # steps go on from there
                return False
            self.endless = self._falls_for_ever(reading, descent)
            if self.endless or not decrement > 0:
                return self.endless
            # The curvature of piecewise quadratic losses at one place says nothing of that beside it.
            if exact and self.loss.quadratic is None:
                return self._estimate(reading, descent, look, decrement) <= goal
            if exact or descent.metric.width == np.inf:
                self._claim(descent.objective, self._guess(decrement), "estimate", descent)
            return self.gap <= goal

        ended = descent.descend(reading, done, self.budget - self.before, self._note)
        self.coef, self.intercept, self.objective = descent.coef, descent.intercept, descent.objective
        if ended == "stopped":
            return
        if self.gap > goal and penalised:
            self._prove(reading, descent, reading.see(self.coef, self.intercept, loss), loss)

    def _guess(self, decrement):
        """What F may still fall by, where no bound is known: many times what a step promises, or what has been brought.

        Without a penalty there may be no solution, and F falls for ever, like the inverse of the number of readings at
        the slowest: three times what the last half of them brought is no less than what is to come.
        """
        past = [value for value, rows in zip(self.history["objective"], self.history["rows"], strict=True)
                if rows == self.problem.n_rows]
        return max(DOUBT * decrement, 3 * (past[(len(past) - 1) // 2] - past[-1]))

    def _calmest(self, descent, gradient):
        """What a proof might come to, relative to F, and the step to where that is; None if it is best tried here."""
        step, left = descent.metric.calmest(gradient)
        here, there = (self._hoped(descent, g) / max(abs(descent.objective), 1e-300) for g in (gradient, left))
        return (there, step) if there < CALMER * here else (here, None)

    def _moved(self, reading, descent, look, step):
        """The look after a step, which the model takes; the same look if there is none."""
        if step is None:
            return look
        descent.coef, descent.intercept = descent.moved(step)
        look = reading.see(descent.coef, descent.intercept, descent.loss)
        descent.objective = descent.value(look.value, descent.coef, reading)
        return look

    def _hoped(self, descent, gradient):
        """What the bound on F - F* comes to, about: cheap."""
        slopes = gradient[: descent.coef.size].reshape(descent.coef.shape)
        if descent.l2 > 0:
            g = np.abs(slopes + descent.l1 * np.sign(descent.coef))
            g = np.where(descent.coef == 0, np.maximum(np.abs(slopes) - descent.l1, 0.0), g)
            return float(np.vdot(g, g)) / (2 * descent.l2)
        return max(1 - descent.l1 / max(np.abs(slopes).max(initial=0.0), 1e-300), 0.0) * abs(descent.objective)

    def _prove(self, reading, descent, look, loss):
        """The duality gap at the best intercepts for the coefficients; returns it."""
        if descent.fit_intercept:
            known = descent.intercept, descent.objective
            settled = settle(descent, reading, look)
            if descent.objective > known[1] * (1 + 1e-12):
                descent.intercept, descent.objective = known
            else:
                look = settled
        objective = descent.objective
        if loss is not self.loss:
            objective = descent.value(reading.evaluate(look.p)[0], descent.coef, reading)
        lower = self.dual(look.a, look.product, look.slope)
        self.lower = max(self.lower, lower)
        self._claim(objective, objective - self.lower, "proof", descent)
        return self.gap

    def _estimate(self, reading, descent, look, decrement):
        """Half the squared decrement of an exact Newton step, with room for the change of curvature along it."""
        step = descent.metric.step(descent.gradient(reading, look), descent.coef)
        coef, intercept = descent.moved(step)
        change = reading.products(coef - descent.coef, intercept - descent.intercept)
        r = float(np.max(change.max(axis=1) - change.min(axis=1), initial=0.0))
        factor = 1.0 if r < 1e-4 else r * r / 2 / (np.exp(-r) + r - 1)
        self._claim(descent.objective, factor * decrement, "estimate", descent)
        return self.gap

    def _claim(self, objective, bound, kind, descent):
        """Take a bound on F - F* as the gap."""
        self.gap = relative_gap(objective, max(bound, 0.0) + F_ROUNDING * abs(objective), self.null)
        self.kind, self.objective = kind, objective
        self.coef, self.intercept = descent.coef, descent.intercept

    # Kinks ----------------------------------------------------------------------------------------------------------

    def _interior(self, reading):
        self.solver = "interior point"
        centre = reading.centre(self.problem.fit_intercept)
        self._prepare_dual(reading, centre)
        method = SliceInterior(reading, self.penalty, centre, self.problem.fit_intercept, (self.coef, self.intercept))
        best = {"bound": np.inf, "left": np.inf, "stale": 0}

        def done(coef, intercept, a):
            p = reading.products(coef, intercept)
            value, _ = reading.evaluate(p)
            objective = value / reading.total + self._costs(coef)
            g = reading.gradients(a)
            lower = self.dual(a, reading.back_slices(g), g.sum(axis=0))
            self.lower = max(self.lower, lower)
            if objective <= self.objective:
                self.objective, self.coef, self.intercept = float(objective), coef, intercept
            if any(self.penalty):
                bound, kind = self.objective - self.lower, "proof"
            else:       # what complementarity leaves; stationarity holds to rounding after full steps
                bound, kind = method.rows.complementarity()[0], "estimate"
            bound = max(bound, 0.0) + F_ROUNDING * abs(self.objective)
            self.gap = relative_gap(self.objective, bound, self.null)
            self.kind = kind
            left = method.rows.complementarity()[0]
            better = bound < 0.9 * best["bound"] or EPSILON * abs(self.null) < left < 0.9 * best["left"]
            best["stale"] = 0 if better else best["stale"] + 1
            best["bound"], best["left"] = min(bound, best["bound"]), min(left, best["left"])
            self._note(reading, self)
            # As long as nothing is proven, a start that is not feasible is made so: that takes its time.
            return self.gap <= self.goal or self.stopped or best["stale"] > (STALE if self.gap < 1 else np.inf)

        method.run(START, done, np.inf if self.small else self.budget)

    def _dual_descent(self, reading, seed):
        self.solver = "dual descent"
        centre = reading.centre(self.problem.fit_intercept)
        self._prepare_dual(reading, centre)
        method = SliceDual(self.problem, reading, self.penalty, self.intercept, seed)
        self._take_constant(self.lower)
        goal, seen = max(self.tol, 1e-13), []       # small tables too: the last digits are slow to come
        while not self.stopped:
            method.ascend(goal * abs(self.objective), self.budget)
            # Where the mean is no better than what is known, what is old in it may be in the way.
            if not self._improves(reading, method, *method.model()) and self._improves(
                    reading, method, *method.model(last=True)):
                method.mean = None
            g = reading.gradients(method.distributions)
            lower = self.dual(method.distributions, reading.back_slices(g), g.sum(axis=0))
            self.lower = max(self.lower, lower)
            bound = self.objective - self.lower
            method.learn(bound)
            self._claim(self.objective, bound, "proof", self)
            seen.append(self.gap)
            self._note(reading, self)
            stuck = len(seen) > PATIENCE and self.gap <= LIMIT and self.gap > 0.9 * seen[-1 - PATIENCE]
            if self.gap <= goal or stuck or reading.readings >= self.budget:
                return

    def _improves(self, reading, method, coef, intercept):
        """Take coefficients with the best intercepts found, if they are better than what is known; whether they are."""
        look = reading.see(coef, intercept)
        value, shift = look.value, np.zeros(self.K)
        if self.problem.fit_intercept:
            width = np.clip(method.expected / max(abs(self.null), 1e-300), 1e-9, 1e-2)
            shift = best_shifts(reading, look.p, self.loss.smoothed(width))
            there = reading.evaluate(look.p + shift)[0]
            value, shift = (there, shift) if there < value else (value, 0.0 * shift)
        objective = value / reading.total + self._costs(coef)
        if objective >= self.objective:
            return False
        self.objective, self.coef, self.intercept = objective, coef, intercept + shift
        return True

    def _narrowing(self, reading, seed):
        """Smoothed forms of a loss with kinks, each with the last one's solution to start from."""
        self.solver = "smoothing"
        width, metric = FIRST_WIDTH, None
        centre = None
        while not self.stopped:
            loss = self.loss.smoothed(width)
            if metric is None:
                metric = self._on_samples(reading, loss, seed)
                if self.stopped:
                    return
            descent = self._descent(loss)
            if centre is None:
                descent.find_centre(reading)
                centre = descent.centre
                self._prepare_dual(reading, centre)
            descent.centre = centre
            self._finish_smoothed(reading, descent, loss)
            left = self.budget - self.before - reading.readings
            if self.gap <= self.goal or left <= 0 or width < 1e-9:
                return
            width *= float(np.clip(0.5 * self.goal / self.gap, *NARROWER))

    def _finish_smoothed(self, reading, descent, loss):
        """Down on one width, until what is left of it is small beside what the width costs."""
        penalised = any(self.penalty)

        def done(look, gradient, decrement, _):
            hoped = self._hoped(descent, gradient) if penalised else DOUBT * decrement
            cost = max(reading.evaluate(look.p)[0] - look.value, 0.0) / reading.total
            if not penalised:       # F* is at least the least of the smoothed form
                self._claim(descent.objective + cost, cost + hoped, "estimate", descent)
            return hoped <= 0.1 * cost or hoped <= 0.1 * self.goal * descent.objective

        descent.goal = 1e-2 * self.goal
        if descent.descend(reading, done, self.budget - self.before, self._note) != "stopped" and penalised:
            self._prove(reading, descent, reading.see(descent.coef, descent.intercept, loss), loss)

    # The course -----------------------------------------------------------------------------------------------------

    def _note(self, reading, model):
        """An entry of the history; returns whether the monitor wants to stop."""
        number = len(self.history["rows"])
        self.monitor.begin(number)
        seconds = perf_counter() - self.began
        objective, gap = np.array([model.objective]), np.array([self.gap])
        for name, value in (("rows", reading.n_rows), ("objective", objective[0]), ("gap", gap[0]),
                            ("seconds", seconds)):
            self.history[name].append(value)

        def copies():
            return np.array(model.coef), np.array(model.intercept)

        epoch = Epoch(number, objective, seconds, copies, gap)
        verdict = self.monitor.end(epoch)
        epoch.close()
        self.stopped = self.listener.hear(verdict, number, copies)
        if self.stopped:
            self.coef, self.intercept = copies()
        return self.stopped

    def close(self, reading):
        """Take the model that scored best, or the one at which a monitor stopped, and find its objective.

        Without either no model is worse than the best constant: what came too slowly gives way to it.
        """
        last = len(self.history["rows"]) - 1
        best = self.listener.best
        if best is not None and best[1] < last:
            self.coef, self.intercept = best[2]
        elif not self.stopped:
            if self.objective > self.null and not self.endless:
                self._take_constant(max(self.lower, self.objective / (1 + self.gap)))
            return
        self.objective = reading.see(self.coef, self.intercept).value / reading.total + self._costs(self.coef)
        self.gap, self.kind = np.inf, "estimate"

    def result(self, reading):
        """What the solver returns."""
        history = {name: np.array(values) for name, values in self.history.items()}
        n_iter = ceil(self.before + reading.readings)
        least = 1e-14 * abs(self.null) / max(abs(self.objective), 1e-300)
        reached = not self.endless and bool(self.gap <= max(self.tol, LEAST_TOL, least))
        return Result(self.coef, self.intercept, np.array([self.objective]), n_iter, np.array([n_iter]), history,
                      self.solver, State(self.coef.copy(), self.intercept.copy(), t=1.0 + self.problem.n_rows),
                      self.stopped or reached, np.array([self.gap]), (self.kind,), self.endless)

    def _falls_for_ever(self, reading, descent):
        """Whether there is no minimum: looked for where little is left of the loss, but more than rounding."""
        if not self.loss.traits.smooth or descent.objective > LITTLE * self.null:
            return False
        return falls_for_ever(lambda t: reading.see(t * descent.coef, t * descent.intercept).value)


def _ridge(sample, descent, look):
    """What keeps coefficients of columns that the sample hardly saw: the loss's curvature over the number of rows."""
    h = sample.spread(look.a, descent.loss)
    squares = np.maximum(sample.squares(h.sum(axis=1), descent.centre), 0.0)
    return squares / (sample.total * sample.n_rows * sample.K)

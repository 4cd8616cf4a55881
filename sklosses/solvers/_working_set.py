"""Newton's method on a working set of columns, for wide tables and an l1 penalty."""

from dataclasses import dataclass

import numpy as np

from sklosses._isa import kernel
from sklosses.solvers._descent import CANCELLING, MOST_DAMPING, STALLED, STRAIGHT
from sklosses.solvers._held import Held
from sklosses.solvers._one_by_one import Counted, WithoutMatrix

# Columns of the first working set, and those that join later at least; as many as are in use, if these are more.
FIRST = 100
# Slopes of this share of the penalty's may exceed it soon: columns are copied while others are.
NEAR = 0.7
# Sweeps of a step end where one brings no more than this share of what the best has brought, or after so many. After a
# step that had to be cut the model is not worth more than the first of them.
TIGHT, LOOSE, SWEEPS = 1e-3, 0.1, 100
# So many more short steps than others say that the model serves badly here.
GIVE_UP = 5


@dataclass(frozen=True)
class WorkingSet(WithoutMatrix):
    """Newton's method with an l1 penalty, by coordinate descent on a working set of columns.

    For smooth convex losses that know their conjugates, an l1 penalty with or without an l2 one, and any number of
    features, dense or CSR. The objective divides by the sum S of the weights::

        F(w, b) = (1/S) sum_i s_i phi(y_i, x_i.w + b + o_i) + l1 ||w||_1 + (l2/2) ||w||^2

    Most coefficients of a solution are 0. A reading of the table tells the loss's slopes g in all of them, of which
    those with abs(g_j) > l1 may become others. The steepest of these, no more than are others already, make up the
    working set with them (Massias, Gramfort and Salmon 2018). Their columns are copied together once. On them a step
    minimises the quadratic model of the loss with the penalty, coordinate by coordinate (Friedman, Hastie and
    Tibshirani 2010), where the intercept is always the best one: features are centred without being touched. A line
    search makes up for what the model does not see. Where that cuts one step after the other, as with huber and targets
    far beyond its bend, the solver returns before its time: :class:`DualDescent` does not mind.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Threads, as :class:`Newton` takes them.
    n_iter_no_change : int, default=5
        Where a monitor scores the model: looks without a better score, by `tol`, after which to stop. The coefficients
        that scored best are returned.

    Notes
    -----
    The certificate is a proof. Without an l2 penalty the loss's slopes at the rows, divided by max_j abs(g_j) / l1 if
    that is more than 1, are a dual point, whose value is below F*; with one F is strongly convex, and
    ``F - F* <= ||g||^2 / (2 l2)`` with g the subgradient of least norm.

    References
    ----------
    M. Massias, A. Gramfort and J. Salmon, "Celer: a fast solver for the lasso with dual extrapolation", ICML 2018.

    J. Friedman, T. Hastie and R. Tibshirani, "Regularization paths for generalized linear models via coordinate
    descent", Journal of Statistical Software 33(1), 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from sklosses.data import as_rows
    >>> from sklosses.losses import LogLoss
    >>> from sklosses.penalties import L1
    >>> from sklosses.solvers import Problem, WorkingSet
    >>> X = csr_array(np.eye(6, 400))
    >>> problem = Problem(as_rows(X), np.array([1.0, 0, 1, 0, 1, 0]), ((LogLoss(), 1),), L1(alpha=1e-2))
    >>> result = WorkingSet().solve(problem, tol=1e-6)
    >>> bool(result.gap[0] <= 1e-6), result.gap_kind
    (True, ('proof',))
    """

    @property
    def kind(self):
        """The subclass of `Counted` whose columns descend."""
        return _Column

    @staticmethod
    def lacks(problem):
        """What a problem would have to have for this solver, as a part of a sentence; None if nothing."""
        for loss, _ in problem.losses:
            if not (loss.traits.smooth and loss.traits.convex and loss.traits.has_conjugate):
                return f"a smooth convex loss that knows its conjugate, got {loss!r}."
        if not np.all(np.asarray(problem.penalty.l1) > 0):
            return f"a penalty with an l1 part, got {problem.penalty!r}."
        if problem.intercept_cost:
            return f"no intercept_cost, got {problem.intercept_cost!r}."
        return None


class _Column(Counted):
    """A column on its way, by working sets."""

    solver = "working set"

    def descend(self, reading, tol, budget):
        """Down to a relative gap of `tol` in about `budget` readings: a generator, as those of `Column`."""
        goal, budget = max(tol, 1e-13), max(budget, 1)
        self.centre = np.zeros(len(self.coef))      # steps are centred, and nothing else needs it
        look = yield from self._begin(reading)
        held, before = None, np.inf
        while True:
            self.objective = self.value_of(look, self.coef)
            self.blur = CANCELLING * self._cancelled(look)
            gradient = self.gradient_of(look, self.coef)
            if self._proves(reading, look, gradient, goal) or self._left(reading, budget) <= 0:
                break
            held = held or Held(reading)
            self.curvature = _Model(self, reading, held)
            share = TIGHT if self.length == 1 else LOOSE
            self._damp(reading, look)
            step = self.curvature.step(gradient, look, share)
            fall, noise, last = self.promised(gradient, step), self._noise(look), look
            if fall <= noise and not 0 < fall <= STALLED * before:
                break
            before = fall
            look = yield from self._advance(reading, look, step, fall)
            self._is_cut()
            if self.shorts >= GIVE_UP or (look is last and self.damping > MOST_DAMPING):
                break
        self._end(reading, look, tol, goal)
        if self.gap == np.inf and self.dual:       # a bound out of reach of the tolerance is one too
            self._proves(reading, look, self.gradient_of(look, self.coef), np.inf)


class _Model:
    """The quadratic model of a column's objective in the coefficients of its working set."""

    def __init__(self, column, reading, held):
        self._column, self._reading, self._held = column, reading, held
        self._added = np.zeros(len(column.coef) + 1)

    def damp(self, damping):
        """Add to the diagonal, as :class:`Curvature` does."""
        self._added = self._added + damping

    def step(self, gradient, look, share):
        """A step that minimises the model with the penalty, nearly."""
        column, reading = self._column, self._reading
        features, near = self._features(np.abs(gradient[:-1]))
        cells = np.column_stack([look.gradient, column._second(look)]) / column.total
        here = column.coef[features]
        lent = STRAIGHT * min(1.0, reading.traits[column.k].curvature) / column.total
        shift, entries = kernel("sklosses.solvers._coordinate").descend_columns(
            self._held(features, near), cells, here, (self._added[features], lent), (column.l1, column.l2),
            column.fit_intercept, (share, SWEEPS))
        reading.readings += entries / max(1, self._held.n_entries)
        if not np.isfinite(here).all():
            raise OverflowError("The squares of X do not fit into float64.")
        step = np.zeros(len(gradient))
        step[features] = here - column.coef[features]
        step[-1] = shift
        return step

    def _features(self, slopes):
        """Those in use with the steepest of those that are not, and those that may be among them soon."""
        used = self._column.coef != 0
        outside = np.flatnonzero((slopes > NEAR * self._column.l1) & ~used)
        most = max(FIRST, np.count_nonzero(used))
        if len(outside) > 2 * most:
            outside = outside[np.argpartition(-slopes[outside], 2 * most)[:2 * most]]
        outside = outside[np.argsort(-slopes[outside], kind="stable")]
        joins = min(most, np.count_nonzero(slopes[outside] > self._column.l1))
        return np.concatenate([np.flatnonzero(used), np.sort(outside[:joins])]), outside[joins:]

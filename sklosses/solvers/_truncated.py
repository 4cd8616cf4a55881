"""Truncated Newton, for wide tables and smooth losses: steps by conjugate gradients, and no matrix."""

from dataclasses import dataclass

import numpy as np

from sklosses.solvers._descent import CANCELLING, MOST_DAMPING, STALLED, STRAIGHT
from sklosses.solvers._one_by_one import Counted, WithoutMatrix

# A step is solved to this residual at most, relative; an estimate asks for this.
LOOSEST, TIGHT = 0.25, 1e-3
# What the later half of the iterations has brought is about what is to come: an estimate has no more than this left.
LEFT = 0.1
# A direction with less curvature than this share of the preconditioner's is flat.
FLAT = 1e-15


@dataclass(frozen=True)
class TruncatedNewton(WithoutMatrix):
    """Newton's method with steps by conjugate gradients.

    For smooth convex losses, an l2 penalty or none, and any number of features, dense or CSR: there is no matrix. The
    objective divides by the sum S of the weights::

        F(w, b) = (1/S) sum_i s_i phi(y_i, x_i.w + b + o_i) + (l2/2) ||w||^2

    A step solves H z = -g to a residual of min(0.5, sqrt(||g|| / ||g_0||)), relative (Dembo, Eisenstat and Steihaug
    1982), in the norm of the preconditioner, the diagonal of H (Hsia, Chiang and Lin 2018): scales of features do not
    matter. A product with H is one reading of the table. Features are centred without touching X, and the length of a
    step is found from predictions alone. Where steps have to be cut, a multiple of the diagonal is added to H
    (Levenberg).

    Made for problems that :class:`DualDescent` takes many readings for: a penalty that is next to none or none, or
    dense features that depend on each other. With an l1 penalty that is the solver, or :class:`Newton`.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Threads, as :class:`Newton` takes them.
    n_iter_no_change : int, default=5
        Where a monitor scores the model: looks without a better score, by `tol`, after which to stop. The coefficients
        that scored best are returned.

    Notes
    -----
    The certificate. With an l2 penalty F is strongly convex in w: with the best intercept for w,
    ``F - F* <= ||g||^2 / (2 l2)``, a proof. Without one, half the squared Newton decrement: conjugate gradients go on
    to a residual of 1e-3 and until the later half of their iterations has brought less than a tenth of it, and what
    that half has brought is added: an estimate. Where each row's least loss is reached, that is a proof too. Where
    there is no minimum, as for log_loss without a penalty and classes that a plane separates, ``endless`` says so.

    Where many coefficients minimise, the result is one of them, and not the shortest.

    References
    ----------
    R. S. Dembo, S. C. Eisenstat and T. Steihaug, "Inexact Newton methods", SIAM Journal on Numerical Analysis 19, 1982.

    C.-Y. Hsia, W.-L. Chiang and C.-J. Lin, "Preconditioned conjugate gradient methods in truncated Newton frameworks
    for large-scale linear classification", ACML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from sklosses.data import as_rows
    >>> from sklosses.losses import LogLoss
    >>> from sklosses.penalties import L2
    >>> from sklosses.solvers import Problem, TruncatedNewton
    >>> X = csr_array(np.eye(6, 400))
    >>> problem = Problem(as_rows(X), np.array([1.0, 0, 1, 0, 1, 0]), ((LogLoss(), 1),), L2(alpha=1e-4))
    >>> result = TruncatedNewton().solve(problem, tol=1e-6)
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
            if not (loss.traits.smooth and loss.traits.convex):
                return f"a smooth convex loss, got {loss!r}."
        if np.any(np.asarray(problem.penalty.l1) > 0):
            return f"a penalty without an l1 part, got {problem.penalty!r}."
        if problem.intercept_cost:
            return f"no intercept_cost, got {problem.intercept_cost!r}."
        return None


class _Column(Counted):
    """A column on its way, without a matrix."""

    solver = "truncated newton"

    def descend(self, reading, tol, budget):
        """Down to a relative gap of `tol` in about `budget` readings: a generator, as those of `Column`."""
        goal, budget = max(tol, 1e-13), max(budget, 1)
        self._find_centre(reading)
        look = yield from self._begin(reading)
        first, before = None, np.inf
        while not self._falls_for_ever(reading, look):
            self.objective = self.value_of(look, self.coef)
            self.blur = CANCELLING * self._cancelled(look)
            self._find_diagonal(reading, look)
            gradient = self.gradient_of(look, self.coef)
            if self._proves(reading, look, gradient, goal) or self._left(reading, budget) <= 0:
                break
            self.curvature = _Hessian(self, reading, look, gradient)
            self._damp(reading, look)
            loosest = min(LOOSEST, np.sqrt(before / first)) if first else LOOSEST
            enough = goal * abs(self.objective - self.lowest)
            most = 2 * abs(self.objective - self.lowest)
            step, fall, rest = self.curvature.solve(
                gradient, (loosest, enough, most), lambda: self._left(reading, budget) <= 0)
            exact = rest is not None and self.curvature.is_own
            noise = self._noise(look)
            if exact and fall <= noise and not 0 < fall <= STALLED * before:
                self._estimate(abs(fall + rest))
                break
            last, before, first = look, fall, first or fall
            look = yield from self._advance(reading, look, step, fall)
            if look is last and ((self.curvature.is_own and fall <= noise) or self.damping > MOST_DAMPING):
                break
            if exact and self.length == 1 and not self.provable:
                self._estimate(fall + rest, last, look)
                if self.gap <= goal:
                    break
        self._end(reading, look, tol, goal)

    def _find_diagonal(self, reading, look):
        """The Hessian's diagonal, and which columns are constant."""
        self.second = self._second(look)
        mass = self.second.sum() / self.total
        diagonal = np.maximum(reading.squares(self.second, self.centre) / self.total, 0.0)
        if not np.isfinite(diagonal).all():
            raise OverflowError("The squares of X do not fit into float64.")
        self._find_constant(reading, diagonal, self.second)
        diagonal[self.constant] = 0.0
        self.diagonal = np.append(diagonal + self.l2, mass if self.fit_intercept else 0.0)


class _Hessian:
    """The Hessian of a column's objective at a look, as a product.

    Where the loss has none in a direction that the gradient has, as huber where all rows are on its straight parts, and
    the penalty alone promises more than there is, a little of the features' own squares is added: it bounds the step,
    whose length the line search finds.

    Attributes
    ----------
    is_own : bool
        Whether nothing is added to the objective's own.
    """

    def __init__(self, column, reading, look, gradient):
        self._column, self._reading = column, reading
        self._added = np.zeros(len(gradient))
        most = 2 * abs(column.objective - column.lowest)        # a square of a decrement
        straight = column.diagonal <= np.append(np.full(len(gradient) - 1, column.l2), 0.0)
        if np.any(straight & (gradient**2 > most * column.diagonal)):
            self._lend()

    @property
    def is_own(self):
        return not self._added.any()

    def damp(self, damping):
        """Add to the diagonal, as :class:`Curvature` does."""
        self._added = np.maximum(self._added, damping)

    def _lend(self):
        """Curvature where there is none."""
        column, reading = self._column, self._reading
        squares = np.maximum(column.variances_of(reading), 0.0)
        share = STRAIGHT * min(1.0, reading.traits[column.k].curvature)
        self._added = np.maximum(self._added, share * np.append(squares, 1.0 if column.fit_intercept else 0.0))

    def _times(self, vector):
        column = self._column
        w = vector[:-1]
        product, total = self._reading.curved(column.second, w, vector[-1] - column.centre @ w)
        out = np.append((product - column.centre * total) / column.total + column.l2 * w, total / column.total)
        out += self._added * vector
        if column.any_constant:
            out[:-1][column.constant] = 0.0
        if not column.fit_intercept:
            out[-1] = 0.0
        return out

    def solve(self, gradient, goals, is_over):
        """A Newton step, nearly, by preconditioned conjugate gradients.

        Parameters
        ----------
        gradient : ndarray of shape (n_features + 1,)
        goals : tuple of two floats
            The relative residual to end at, and the decrement that is worth an estimate: it is solved for tightly.
        is_over : callable
            Whether there is no time left.

        Returns
        -------
        step : ndarray of shape (n_features + 1,)
        fall : float
            Minus the step times the gradient: the squared decrement.
        rest : float or None
            What the decrement may lack; None if it is not known well.
        """
        diagonal = self._column.diagonal + self._added
        inverse = np.divide(1.0, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0)
        loose, enough, most = goals
        step, residual = np.zeros_like(gradient), -gradient
        scaled = inverse * residual
        direction, size = scaled, float(residual @ scaled)
        start, falls, fall, rest = size, [], 0.0, None
        while size > 0 and len(falls) < 2 * len(gradient) + 10:
            moved = self._times(direction)
            curvature = float(direction @ moved)
            if not curvature > FLAT * float(direction @ (diagonal * direction)):
                break
            alpha = size / curvature
            step = step + alpha * direction
            residual = residual - alpha * moved
            falls.append(alpha * size)
            fall += falls[-1]
            scaled = inverse * residual
            before, size = size, float(residual @ scaled)
            if fall > 4 * enough and size > 0:
                if fall > most or size <= loose**2 * start or sum(falls[len(falls) // 2:]) <= loose * fall:
                    break
            elif size <= TIGHT**2 * start:
                rest = sum(falls[len(falls) // 2:]) if len(falls) > 1 else size / start * fall
                if rest <= LEFT * fall or size <= 1e-16 * start:
                    break
                rest = None
            if is_over():
                break
            direction = scaled + (size / before) * direction
        if not falls and size > 0:      # flat along the steepest way down: as far as the line search goes
            step = scaled
        return step, -float(gradient @ step), 0.0 if size == 0 and not falls else rest

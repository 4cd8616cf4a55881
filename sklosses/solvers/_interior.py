"""An interior point method for losses that are linear between their kinks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sklosses._isa import kernel

_kernel = kernel("sklosses.solvers._interior_kernel")

# What rounding to kinks may cost, as a share of the objective.
NEXT_TO = 1e-10
# Iterations at most; 7 to 35 are usual.
ITERATIONS = 80
# And once the gap is closed, for what is left of stationarity: rounding may not allow what is asked.
PATIENCE = 5
# Where slopes and slacks vanish together, as at the beginning of a path, neither tells: slacks below this share of the
# width may be 0.
UNDECIDED = 1e-5
# Sums over rows are exact to this share of what they are made of; mostly to a part of that, which is waited for.
ROUNDING, MOSTLY = 1e-16, 0.03
# Weights count as no more unequal than this times their mean, where products are shared out.
UNEQUAL = 100.0
# Without a penalty minimisers may lie at infinity: this much of one, in the rows' own units, keeps them near.
HOLD = 1e-13


@dataclass(eq=False)
class Hinges:
    """A sum of hinges, a linear and a quadratic function: q.z + (1/2) z'Rz + sum_i omega_i max(a_i.z - c_i, 0).

    Attributes
    ----------
    rows : object
        The rows a_i: ``product(z)``, ``back(v)``, ``gram(v)`` are Az, A'v and A' diag(v) A.
    positions, weights : ndarray of shape (m,)
        c_i and omega_i > 0.
    scales, strengths : ndarray of shape (D,)
        More hinges, strengths_j max(scales_j z_j, 0): those of an l1 penalty. Where the strength is 0 there is none.
    linear : ndarray of shape (D,)
        q.
    quadratic : ndarray of shape (D,)
        The diagonal of R.
    fixed : ndarray of shape (D,)
        bool: coordinates that are not to move.
    level : float
        What the objective is, or more, counted from the least that it could be without a penalty.
    """

    rows: object
    positions: np.ndarray
    weights: np.ndarray
    scales: np.ndarray
    strengths: np.ndarray
    linear: np.ndarray
    quadratic: np.ndarray
    fixed: np.ndarray
    level: float

    def __post_init__(self):
        self.constants = np.arange(len(self.linear)) == len(self.linear) - 1
        self.own = np.flatnonzero(self.strengths > 0)
        self.factor = self.scales[self.own]
        # Complementarity is shared out by omega, within limits: rows of next to no weight would block every step.
        self.total = float(self.weights.sum())
        mean = self.total / max(len(self.weights), 1)
        within = np.clip(self.weights, mean / UNEQUAL, mean * UNEQUAL)
        self.omega = self.weights
        self.share = np.divide(within, self.weights, out=np.ones_like(within), where=self.weights > 0)
        if len(self.own):       # a hinge on a coordinate gets no more than the rows have for each
            fair = self.total / len(self.linear)
            self.omega = np.concatenate([self.weights, self.strengths[self.own]])
            self.share = np.concatenate([self.share, np.minimum(1.0, fair / self.strengths[self.own])])
        self.shares = float(self.omega @ self.share)

    @cached_property
    def system(self):
        """What multiplies with the hinges."""
        return _kernel.System(self)

    def value(self, z):
        """The function at z."""
        above = self.system.product(z)
        above[: len(self.positions)] -= self.positions
        return self.linear @ z + 0.5 * (self.quadratic * z) @ z + self.omega @ np.maximum(above, 0.0)

    def rest_at_kinks(self, point, width, goal):
        """Coordinates whose own hinge is at its kink are 0, not next to it: slacks and slopes tell which."""
        if not len(self.own):
            return
        m = len(self.weights)
        alpha, tau, xi, zeta = point.hinges[:, m:]
        # The intercept is next to a kink too, and stays there for now: that may cost a little.
        room = self.value(point.z) + max(point.gap + goal, NEXT_TO * self.level)
        for least in UNDECIDED, 0.0:
            resting = self.own[np.maximum(xi, zeta) < width * np.maximum(np.minimum(alpha, tau), least)]
            z = point.z.copy()
            z[resting] = 0.0
            if len(resting) and self.value(z) <= room:
                point.z = z
                break

    def certify(self, point):
        """The gap and the defect of a point as it is: its own account of them is that of iterations, with rounding."""
        point.gap, point.defect = self.system.certificate(self, point.z, point.hinges[0])


@dataclass(eq=False)
class Interior:
    """A point inside: z, and for each hinge its dual variable and slacks.

    Attributes
    ----------
    z : ndarray of shape (D,)
    hinges : ndarray of shape (4, m)
        For each hinge alpha, its slope as a share of omega; tau = 1 - alpha; xi and zeta, the parts of a_i.z - c_i
        above and below 0. All are > 0.
    gap : float
        The duality gap: sum_i omega_i (xi_i tau_i + zeta_i alpha_i).
    defect : float
        What a rest of q + Rz + A' (omega alpha) takes from the dual's bound.
    iterations : int
    rounding : float
        What rounding of the sums over rows makes of the defect at most, if that was in the way of the goal; else 0.
    settled : bool
        Whether the gap and the defect are what was asked for, or what rounding allows.
    arrived : bool
        False if there is no minimum near the start.
    """

    z: np.ndarray
    hinges: np.ndarray
    gap: float = np.inf
    defect: float = np.inf
    iterations: int = 0
    rounding: float = 0.0
    settled: bool = False
    arrived: bool = True


def interior_point(problem, start, width, *, gone, goal):
    """Minimise by Mehrotra's predictor-corrector method.

    The dual has a box 0 <= alpha <= 1 for each hinge; the normal equations have the size of z (Ferris and Munson,
    "Interior-point methods for massive support vector machines", SIAM J. Optim. 13, 2002). Complementarity is weighted
    by omega, so that a hinge of weight k takes the path of k hinges of weight 1, unless weights are most unequal. The
    first point is on the central path of the primal at `start`: there the method is Newton's on a smoothed objective.

    Parameters
    ----------
    problem : Hinges
    start : ndarray of shape (D,)
    width : float > 0
        How far a_i.z is from the solution's, about.
    gone : float
        Give up where a_i.z is so far from where it was, root mean square: there is no minimum near.
    goal : float
        The duality gap to reach.

    Returns
    -------
    Interior
        The last point; its gap says how good it is.
    """
    even = np.any(problem.quadratic)        # one length for all: else z' R z spoils what the dual step has gained
    hold, patience = np.zeros_like(start), PATIENCE
    if not even and not len(problem.own):
        hold = np.where(problem.constants, 0.0, HOLD * problem.total / width * problem.scales**2)
    path = _kernel.Path(problem.system, problem, start, width, hold, even)
    point, m, first = Interior(path.z, path.hinges), len(problem.weights), path.rho.copy()
    for point.iterations in range(ITERATIONS):
        point.gap, point.defect = path.look()
        if point.gap <= goal:
            if point.defect > goal and not point.rounding:
                point.rounding = problem.system.defect(ROUNDING * problem.total * problem.scales, point.z)
            rounding = max(goal, MOSTLY * point.rounding)
            enough = goal + rounding if patience > 0 else np.inf
            if point.defect <= rounding or _settles(problem, point, path.rest, enough) or patience == 0:
                break
            patience -= 1
        if not path.go_on():
            break
        if gone < np.inf and np.sum((path.rho[:m] - first[:m]) ** 2) > gone * gone * m:
            point.arrived = False
            break
        if path.length < 1e-10:
            break
    point.settled = point.gap <= 2 * goal and point.defect <= max(goal, point.rounding)
    return point


def _settles(problem, point, rest, enough):
    """Whether the rest can be taken out of the dual variables, each moved in proportion to its room.

    Where rows are about to be exactly at their kinks, products of huge curvatures and tiny residuals leave a rest that
    Newton's steps cannot remove. The weights here are bounded. Unless gap and defect are enough then, the point stays
    as it is: the next step is for the rest that it has.
    """
    alpha, tau, xi, zeta = point.hinges
    room = np.minimum(alpha, tau)
    factor = _kernel.Factor(len(rest))
    if not factor.decompose(problem.system.matrix(problem.omega * room)):
        return False
    change = room * problem.system.product(factor.solve(rest))
    change = np.clip(change, -0.5 * room, 0.5 * room)
    alpha, tau = alpha - change, tau + change
    rest = problem.linear + problem.quadratic * point.z + problem.system.back(problem.omega * alpha)
    gap = problem.omega @ (xi * tau + zeta * alpha)
    defect = problem.system.defect(np.where(problem.fixed, 0.0, rest), point.z)
    if gap + defect > min(enough, point.gap + point.defect):
        return False
    point.hinges[0], point.hinges[1], point.gap, point.defect = alpha, tau, gap, defect
    return True

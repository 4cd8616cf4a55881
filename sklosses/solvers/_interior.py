"""An interior point method for losses that are linear between their kinks."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from sklosses._isa import kernel

_kernel = kernel("sklosses.solvers._interior_kernel")

# What rounding to kinks may cost, as a share of the objective.
NEXT_TO = 1e-10
# Iterations at most; 7 to 35 are usual.
ITERATIONS = 80
# And once the gap is closed, for what is left of stationarity: rounding may not allow what is asked.
PATIENCE = 5
# What is left of a condition, relative to what it is made of, where it is met.
NOTHING = 1e-9
# Steps end short of the boundary, after such a share of the way to it: more of it where the predicted step leaves less
# of the gap. Points that hug the boundary early are stuck there, where hinges are many and of unequal weight.
SHORT_OF = 0.9, 0.995
# Steps shorter than this are blocked: then this share of the gap is aimed at.
BLOCKED, CENTRE = 0.01, 0.8
# So many corrections for the sake of longer steps, unless they are long; they aim at so much more, and are given up
# where they bring less than a share of it.
CORRECTORS, LONG, LONGER, WORTH = 3, 0.9, 0.3, 0.1
# Without a penalty minimisers may lie at infinity: this much of one, in the rows' own units, keeps them near.
HOLD = 1e-13
# Added to the diagonal of the scaled matrix, at first and at most, where Cholesky finds it singular.
LEAST_RIDGE, MOST_RIDGE = 1e-15, 1e-6


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
        self.own, self.any_fixed = np.flatnonzero(self.strengths > 0), bool(self.fixed.any())
        self.omega = np.concatenate([self.weights, self.strengths[self.own]])
        self.factor = self.scales[self.own]
        # Complementarity is shared out by omega; a hinge on a coordinate gets no more than the rows have for each.
        self.total = float(self.weights.sum())
        fair = self.total / len(self.linear)
        self.share = np.concatenate([np.ones(len(self.weights)), np.minimum(1.0, fair / self.strengths[self.own])])
        self.shares = float(self.omega @ self.share)
        # For `defect`: what each coordinate has to bound it.
        curved, own = self.quadratic > 0, self.strengths > 0
        self._curved, self._held = np.flatnonzero(curved), np.flatnonzero(own & ~curved)
        self._free = np.flatnonzero(~(curved | own))
        self._bounds = 0.5 / self.quadratic[self._curved], 0.5 * self.strengths[self._held] * self.scales[self._held]

    def product(self, z):
        """Az, of the rows and of the hinges on coordinates."""
        p = self.rows.product(z)
        return np.concatenate([p, self.factor * z[self.own]]) if len(self.own) else p

    def back(self, v):
        """A'v of all hinges."""
        if not len(self.own):
            return self.rows.back(v)
        m = len(self.weights)
        out = self.rows.back(v[:m])
        out[self.own] += (self.factor * v[m:].T).T
        return out

    def matrix(self, v, diagonal):
        """A' diag(v) A, and a diagonal added to it."""
        m = len(self.weights)
        out = self.rows.gram(v[:m])
        np.einsum("ii->i", out)[:] += diagonal
        if len(self.own):
            out[self.own, self.own] += self.factor**2 * v[m:]
        if self.any_fixed:
            out[self.fixed] = out[:, self.fixed] = 0.0
            out[self.fixed, self.fixed] = 1.0
        return out

    def value(self, z):
        """The function at z."""
        above = self.product(z)
        above[: len(self.positions)] -= self.positions
        return self.linear @ z + 0.5 * (self.quadratic * z) @ z + self.omega @ np.maximum(above, 0.0)

    def rest_at_kinks(self, point, width, goal):
        """Coordinates whose own hinge is at its kink are 0, not next to it: slacks and slopes tell which."""
        m = len(self.weights)
        alpha, tau, xi, zeta = point.hinges[:, m:]
        resting = self.own[np.maximum(xi, zeta) < width * np.minimum(alpha, tau)]
        z = point.z.copy()
        z[resting] = 0.0
        # The intercept is next to a kink too, and stays there for now: that may cost a little.
        room = max(point.gap + goal, NEXT_TO * self.level)
        if len(resting) and self.value(z) - self.value(point.z) <= room:
            point.z = z

    def certify(self, point):
        """The gap and the defect of a point as it is: its own account of them is that of iterations, with rounding."""
        alpha = np.clip(point.hinges[0], 0.0, 1.0)
        above = self.product(point.z)
        above[: len(self.positions)] -= self.positions
        rest = self.linear + self.quadratic * point.z + self.back(self.omega * alpha)
        point.gap = float(self.omega @ (np.maximum(above, 0.0) - alpha * above))
        point.defect = self.defect(np.where(self.fixed, 0.0, rest), point.z)

    def defect(self, rest, z):
        """By how much at most a rest of the stationarity condition lowers the dual's bound.

        With R > 0 by rest^2 / (2 R). A coordinate with a hinge of its own is at most level / l1 in sum at the minimum,
        where its part of the objective is l1 abs(z_j). Of others no more is known than where they are: inf, if more
        than rounding is left of their condition.
        """
        (of_curved, of_held), free, total = self._bounds, self._free, self.total
        lowered = rest[self._curved] ** 2 @ of_curved
        if len(self._held):
            lowered += self.level * (np.abs(rest[self._held]) / of_held).max()
        scales = self.scales[free]
        slopes = np.abs(rest[free]) / scales
        if (slopes > NOTHING * total).any():
            return np.inf
        return lowered + slopes @ (np.abs(z[free]) * scales + abs(self.level) / total)


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
    arrived : bool
        False if there is no minimum near the start.
    """

    z: np.ndarray
    hinges: np.ndarray
    gap: float = np.inf
    defect: float = np.inf
    iterations: int = 0
    arrived: bool = True


def interior_point(problem, start, width, *, gone, goal):
    """Minimise by Mehrotra's predictor-corrector method.

    The dual has a box 0 <= alpha <= 1 for each hinge; the normal equations have the size of z (Ferris and Munson,
    "Interior-point methods for massive support vector machines", SIAM J. Optim. 13, 2002). Complementarity is weighted
    by omega, so that a hinge of weight k takes the path of k hinges of weight 1. The first point is on the central path
    of the primal at `start`: there the method is Newton's on a smoothed objective.

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
    point, rho = _central(problem, start, width)
    m, first, sweeps = len(problem.weights), rho, _kernel.Sweeps(point.hinges, problem.omega, problem.share)
    even = np.any(problem.quadratic)        # one length for all: else z' R z spoils what the dual step has gained
    hold, patience = np.zeros_like(start), PATIENCE
    if not even and not len(problem.own):
        hold = np.where(problem.constants, 0.0, HOLD * problem.total / width * problem.scales**2)
    for point.iterations in range(ITERATIONS):
        point.gap = sweeps.look(rho)
        slopes = problem.back(sweeps.pair)
        rest = problem.linear + problem.quadratic * point.z + slopes[:, 0]
        if problem.any_fixed:
            rest[problem.fixed] = 0.0
        point.defect = problem.defect(rest, point.z)
        rest += hold * point.z
        if point.gap <= goal:
            if point.defect <= goal or _settles(problem, point, rest, goal) or patience == 0:
                break
            patience -= 1
        solve = _solver(problem.matrix(sweeps.curvature, problem.quadratic + hold))
        if solve is None:
            break
        way = _way(problem, sweeps, _Newton(solve, -rest - slopes[:, 1], rho, even), point.gap)
        sweeps.move(way.steps, way.primal, way.dual)
        point.z, rho = point.z + way.primal * way.dz, rho + way.primal * way.moved
        if gone < np.inf and np.sum((rho[:m] - first[:m]) ** 2) > gone * gone * m:
            point.arrived = False
            break
        if max(way.primal, way.dual) < 1e-10:
            break
    return point


@dataclass(eq=False)
class _Newton:
    """Newton's equations of an iteration: what solves with their matrix, their right side, a_i.z - c_i.

    `even`: whether primal and dual variables go equally far.
    """

    solve: object
    target: np.ndarray
    rho: np.ndarray
    even: bool


@dataclass(eq=False)
class _Way:
    """A step: of z, of Az, of the hinges; and how far primal and dual variables go along it."""

    dz: np.ndarray
    moved: np.ndarray
    steps: np.ndarray
    primal: float
    dual: float

    @property
    def length(self):
        """The shorter of both."""
        return min(self.primal, self.dual)


def _way(problem, sweeps, newton, gap):
    """The step of an iteration.

    The corrected step is made longer by as many as three others, which even out the products that would block it
    (Gondzio, "Multiple centrality correctors in a primal-dual method for linear programming", Computational
    Optimization and Applications 6, 1996): they cost a few products each, and an iteration a matrix.
    """
    after = sweeps.predict(problem.product(newton.solve(newton.target)), newton.rho)
    short_of = float(np.clip(1 - after / gap, *SHORT_OF))
    # Where the predicted step is blocked at once, its second-order term misleads: then to the central path first.
    for share, corrected in ((after / gap) ** 3, True), (CENTRE, False):
        mu = share * gap / (2 * problem.shares)
        sweeps.aim(mu, corrected)
        way = _to_goals(problem, sweeps, newton, short_of)
        if way.length >= BLOCKED:
            break
    for _ in range(CORRECTORS):
        if not BLOCKED <= way.length < LONG:
            break
        lengths = min(1.0, way.primal + LONGER), min(1.0, way.dual + LONGER)
        sweeps.recentre(way.steps, lengths, mu)
        other = _to_goals(problem, sweeps, newton, short_of)
        if other.length < way.length + WORTH * (min(lengths) - way.length):
            break
        way = other
    return way


def _to_goals(problem, sweeps, newton, short_of):
    dz = newton.solve(newton.target - problem.back(sweeps.curvature * sweeps.change))
    moved = problem.product(dz)
    steps, *ends = sweeps.correct(moved, newton.rho)
    primal, dual = [min(1.0, short_of / end) if end > 0 else 1.0 for end in ends]
    if newton.even:
        primal = dual = min(primal, dual)
    return _Way(dz, moved, steps, primal, dual)


def _settles(problem, point, rest, goal):
    """Whether the rest can be taken out of the dual variables, each moved in proportion to its room.

    Where rows are about to be exactly at their kinks, products of huge curvatures and tiny residuals leave a rest that
    Newton's steps cannot remove. The weights here are bounded.
    """
    alpha, tau, xi, zeta = point.hinges
    room = np.minimum(alpha, tau)
    solve = _solver(problem.matrix(problem.omega * room, 0.0))
    if solve is None:
        return False
    change = room * problem.product(solve(rest))
    change = np.clip(change, -0.5 * room, 0.5 * room)
    alpha, tau = alpha - change, tau + change
    rest = problem.linear + problem.quadratic * point.z + problem.back(problem.omega * alpha)
    gap = problem.omega @ (xi * tau + zeta * alpha)
    defect = problem.defect(np.where(problem.fixed, 0.0, rest), point.z)
    if gap + defect > point.gap + point.defect:
        return False
    point.hinges[0], point.hinges[1], point.gap, point.defect = alpha, tau, gap, defect
    return gap + defect <= 2 * goal


def _central(problem, start, width):
    """The point of the central path above `start`, and a_i.start - c_i."""
    rho = problem.product(start)
    rho[: len(problem.positions)] -= problem.positions
    # With xi tau = zeta alpha = mu and xi - zeta = rho: the larger of alpha and tau first, without cancellation.
    mu = 0.5 * width * problem.share
    more = 0.5 + np.abs(rho) / (2 * (np.sqrt(rho * rho + 4 * mu * mu) + 2 * mu))
    less_slack = mu / more
    more_slack = np.abs(rho) + less_slack
    less = mu / more_slack
    hinges = np.array([more, less, more_slack, less_slack])
    left = rho < 0
    hinges[:, left] = hinges[:, left][[1, 0, 3, 2]]
    return Interior(start.copy(), hinges), rho


def _solver(matrix):
    """A function that solves with a matrix, refined once; None where it is beyond help."""
    diagonal = np.einsum("ii->i", matrix)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = matrix * scale
    scaled *= scale[:, np.newaxis]
    diagonal, ridge = np.einsum("ii->i", scaled), LEAST_RIDGE      # a view
    while True:
        diagonal[:] = 1.0 + ridge
        factor, failed = dpotrf(scaled.T, lower=True, clean=False)
        if not failed:
            break
        ridge *= 100
        if ridge > MOST_RIDGE or not np.isfinite(scaled.sum()):
            return None
    diagonal[:] = 1.0

    def solved(vector):
        v = vector * scale
        x = dpotrs(factor, v, lower=True)[0]
        x += dpotrs(factor, v - scaled @ x, lower=True)[0]
        return x * scale

    return solved

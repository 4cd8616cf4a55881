"""An interior point method for losses that are linear between their kinks."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

# Iterations at most; 7 to 35 are usual.
ITERATIONS = 80
# Steps stay this far from the boundary, as a share of the way to it.
SHORT_OF = 0.995
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
    """

    rows: object
    positions: np.ndarray
    weights: np.ndarray
    scales: np.ndarray
    strengths: np.ndarray
    linear: np.ndarray
    quadratic: np.ndarray
    fixed: np.ndarray

    def __post_init__(self):
        self.own = np.flatnonzero(self.strengths > 0)
        self.omega = np.concatenate([self.weights, self.strengths[self.own]])
        self.factor = self.scales[self.own]
        # Complementarity is shared out by omega; a hinge on a coordinate gets no more than the rows have for each.
        fair = self.weights.sum() / len(self.linear)
        self.share = np.concatenate([np.ones(len(self.weights)), np.minimum(1.0, fair / self.strengths[self.own])])

    def product(self, z):
        """Az, of the rows and of the hinges on coordinates."""
        return np.concatenate([self.rows.product(z), self.factor * z[self.own]])

    def back(self, v):
        """A'v of all hinges."""
        m = len(self.weights)
        out = self.rows.back(v[:m])
        out[self.own] += (self.factor * v[m:].T).T
        return out

    def matrix(self, v):
        """R + A' diag(v) A."""
        m, at = len(self.weights), np.arange(len(self.linear))
        out = self.rows.gram(v[:m])
        out[at, at] += self.quadratic
        out[self.own, self.own] += self.factor**2 * v[m:]
        out[self.fixed] = out[:, self.fixed] = 0.0
        out[self.fixed, self.fixed] = 1.0
        return out

    def rest_at_kinks(self, point, width):
        """Coordinates whose own hinge is at its kink are 0, not next to it: slacks and slopes tell which."""
        m = len(self.weights)
        slack = np.maximum(point.xi[m:], point.zeta[m:])
        point.z[self.own[slack < width * np.minimum(point.alpha[m:], point.tau[m:])]] = 0.0

    def defect(self, rest, z):
        """By how much at most a rest of the stationarity condition lowers the dual's bound, where R > 0."""
        curved = self.quadratic > 0
        return rest[curved] ** 2 @ (0.5 / self.quadratic[curved]) + np.abs(rest[~curved]) @ np.abs(z[~curved])


@dataclass(eq=False)
class Interior:
    """A point inside: z, and for each hinge its dual variable and slacks.

    Attributes
    ----------
    z : ndarray of shape (D,)
    alpha, tau : ndarray of shape (m,)
        The slope of each hinge as a share of omega, and 1 - alpha.
    xi, zeta : ndarray of shape (m,)
        Parts of a_i.z - c_i above and below 0, both > 0.
    gap : float
        The duality gap: sum_i omega_i (xi_i tau_i + zeta_i alpha_i).
    defect : float
        What a rest of q + Rz + A' (omega alpha) takes from the dual's bound.
    iterations : int
    arrived : bool
        False if there is no minimum near the start.
    """

    z: np.ndarray
    alpha: np.ndarray
    tau: np.ndarray
    xi: np.ndarray
    zeta: np.ndarray
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
    omega, share = problem.omega, problem.share
    point, rho = _central(problem, start, width)
    m, first = len(problem.weights), rho
    for point.iterations in range(ITERATIONS):
        point.gap = omega @ (point.xi * point.tau + point.zeta * point.alpha)
        curvature = omega / (point.xi / point.tau + point.zeta / point.alpha)
        slopes = problem.back(np.stack([omega * point.alpha, curvature * rho], axis=1))
        rest = np.where(problem.fixed, 0.0, problem.linear + problem.quadratic * point.z + slopes[:, 0])
        point.defect = problem.defect(rest, point.z)
        if point.gap <= goal and (point.defect <= goal or _settles(problem, point, rest, goal)):
            break
        solve = _solver(problem.matrix(curvature))
        if solve is None:
            break
        push = problem.product(solve(-rest - slopes[:, 1])) + rho
        inverse = curvature / omega
        step = _step(point, inverse, push, 0.0, 0.0)
        after = _moved(point, step, _longest(point, step))
        sigma = (omega @ (after[2] * after[1] + after[3] * after[0]) / point.gap) ** 3
        mu = sigma * point.gap / (2 * (omega @ share)) * share
        below, above = mu - step[3] * step[0], mu + step[2] * step[0]
        change = below / point.alpha - above / point.tau
        dz = solve(-rest - slopes[:, 1] - problem.back(curvature * change))
        moved = problem.product(dz)
        step = _step(point, inverse, moved + rho + change, below, above)
        primal, dual = (min(1.0, SHORT_OF * length) for length in _longest(point, step))
        if np.any(problem.quadratic):
            primal = dual = min(primal, dual)
        point.alpha, point.tau, point.xi, point.zeta = _moved(point, step, (primal, dual))
        point.z, rho = point.z + primal * dz, rho + primal * moved
        if np.sum((rho[:m] - first[:m]) ** 2) > gone * gone * m:
            point.arrived = False
            break
        if max(primal, dual) < 1e-10:
            break
    return point


def _settles(problem, point, rest, goal):
    """Whether the rest can be taken out of the dual variables, each moved in proportion to its room.

    Where rows are about to be exactly at their kinks, products of huge curvatures and tiny residuals leave a rest that
    Newton's steps cannot remove. The weights here are bounded.
    """
    room = np.minimum(point.alpha, point.tau)
    solve = _solver(problem.matrix(problem.omega * room) - np.diag(problem.quadratic))
    if solve is None:
        return False
    change = room * problem.product(solve(rest))
    change = np.clip(change, -0.5 * room, 0.5 * room)
    alpha, tau = point.alpha - change, point.tau + change
    rest = problem.linear + problem.quadratic * point.z + problem.back(problem.omega * alpha)
    gap = problem.omega @ (point.xi * tau + point.zeta * alpha)
    defect = problem.defect(np.where(problem.fixed, 0.0, rest), point.z)
    if gap + defect > point.gap + point.defect:
        return False
    point.alpha, point.tau, point.gap, point.defect = alpha, tau, gap, defect
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
    right = rho >= 0
    return Interior(start.copy(), np.where(right, more, less), np.where(right, less, more),
                    np.where(right, more_slack, less_slack), np.where(right, less_slack, more_slack)), rho


def _step(point, inverse, push, below, above):
    """Steps of alpha, tau, xi and zeta for a step of a_i.z: zeta alpha is to become `below`, xi tau `above`."""
    dalpha = inverse * push
    dzeta = (below - point.zeta * dalpha) / point.alpha - point.zeta
    dxi = (above + point.xi * dalpha) / point.tau - point.xi
    return dalpha, -dalpha, dxi, dzeta


def _longest(point, step):
    """How far primal and dual variables can go and stay positive."""
    dalpha, dtau, dxi, dzeta = step

    def reach(x, dx, y, dy):
        most = max(np.max(-dx / x, initial=0.0), np.max(-dy / y, initial=0.0))
        return 1 / most if most > 0 else np.inf

    primal, dual = reach(point.xi, dxi, point.zeta, dzeta), reach(point.alpha, dalpha, point.tau, dtau)
    return min(1.0 / SHORT_OF, primal), min(1.0 / SHORT_OF, dual)


def _moved(point, step, lengths):
    """alpha, tau, xi and zeta after a step."""
    primal, dual = (min(1.0, length) for length in lengths)
    dalpha, dtau, dxi, dzeta = step
    return point.alpha + dual * dalpha, point.tau + dual * dtau, point.xi + primal * dxi, point.zeta + primal * dzeta


def _solver(matrix):
    """A function that solves with a matrix, refined once; None where it is beyond help."""
    diagonal = np.diag(matrix)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = matrix * scale * scale[:, np.newaxis]
    at, ridge = np.arange(len(scaled)), LEAST_RIDGE
    scaled[at, at] = 1.0
    while True:
        try:
            damped = scaled.copy()
            damped[at, at] += ridge
            factor = cho_factor(damped, lower=True, check_finite=False, overwrite_a=True)
            break
        except LinAlgError:
            ridge *= 100
            if ridge > MOST_RIDGE:
                return None

    def solved(vector):
        v = vector * scale
        x = cho_solve(factor, v, check_finite=False)
        x += cho_solve(factor, v - scaled @ x, check_finite=False)
        return x * scale

    return solved

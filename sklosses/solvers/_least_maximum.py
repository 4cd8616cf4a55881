"""min_v max_j |c_j + sum_i a_ij v_i| over a box, by an interior point method: many variables, few features."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

# Steps end so far before a bound becomes active.
BACK = 0.99
MOST_STEPS = 60


@dataclass(frozen=True, eq=False)
class Box:
    """What is asked of v.

    Attributes
    ----------
    low, high : ndarray of shape (m,)
        Bounds, l < h.
    constant : ndarray of shape (d,)
        c.
    total : float or None
        T, between the sums of `low` and `high`; None: v may sum to anything.
    """

    low: np.ndarray
    high: np.ndarray
    constant: np.ndarray
    total: float | None

    def value(self, z, w, level):
        """A lower bound of ||w||_1 times the least maximum, given z_i = a_i.w + level."""
        taken = 0.0 if self.total is None else level * self.total
        return float(self.constant @ w - taken + np.minimum(self.low * z, self.high * z).sum())


class LeastMaximum:
    r"""The least maximum of sums over rows, as a linear programme.

    .. math:: \min_v \max_j |c_j + \sum_i a_{ij} v_i|, \qquad l \le v \le h, \quad \sum_i v_i = T,

    Its dual is the direction w of :math:`\lVert w \rVert_1 \le 1` and number :math:`\tau` with the highest

    .. math:: c \cdot w - \tau T + \sum_i \min(l_i z_i, h_i z_i), \qquad z_i = a_i \cdot w + \tau.

    Mehrotra's predictor-corrector method. A step costs a Gram matrix of the rows a_i, as a step of Newton's does.

    Parameters
    ----------
    rows : ndarray of shape (m, d)
        The a_i.
    box : Box

    Attributes
    ----------
    v : ndarray of shape (m,)
        Feasible.
    direction : ndarray of shape (d,)
        w, of norm 1.
    level : float
        tau.
    upper, lower : float
        Bounds of the least maximum: that of `v`, and the value of the dual.
    """

    def __init__(self, rows, box):
        self.rows, self.box, self.total = rows, box, box.total
        low, high, constant, total = box.low, box.high, box.constant, box.total
        room = (high - low).sum()
        share = 0.5 if total is None else min(max((total - low.sum()) / room, 1e-3), 1 - 1e-3)
        self.v = low + share * (high - low)
        d = len(constant)
        self._r = constant + self.v @ rows
        self._t = 1.1 * np.abs(self._r).max()
        self._p, self._q = np.full((2, d), 0.5 / d)
        self._tau = 0.0
        self._a, self._b = np.full((2, len(low)), self._t / max(room, 1e-300))
        self.upper, self.lower = np.inf, 0.0
        self.direction, self.level = np.zeros(d), 0.0
        self._bound()

    def solve(self, rtol, least=0.0):
        """Step until the bounds are within `rtol`, the upper one below `least`, or rounding says no; return self."""
        with np.errstate(all="ignore"):     # what is not finite ends the steps, and bounds stay what they were
            for _ in range(MOST_STEPS):
                if self.upper <= max((1 + rtol) * self.lower, least) or not self._step():
                    break
                self._bound()
        return self

    def _bound(self):
        """Bounds, at the point as it is."""
        if self.total is None or abs(self.v.sum() - self.total) <= 1e-9 * (np.abs(self.v).sum() + abs(self.total)):
            self._r = self.box.constant + self.v @ self.rows        # a bound has no rounding of many steps
            self.upper = float(np.abs(self._r).max())
        w = self._p - self._q
        self._steep, size = self.rows @ w, np.abs(w).sum()
        if size > 0:
            value = self.box.value(self._steep + self._tau, w, self._tau) / size
            if value > self.lower:
                self.lower, self.direction, self.level = value, w / size, self._tau / size

    def _step(self):
        """One step; whether there was any."""
        e, f = self.v - self.box.low, self.box.high - self.v
        over, under = self._t - self._r, self._t + self._r
        mu = (self._a @ e + self._b @ f + self._p @ over + self._q @ under) / (2 * len(e) + 2 * len(over))
        try:
            solve = self._factor(e, f, over, under)
        except np.linalg.LinAlgError:
            return False
        ahead = solve(0.0, None)
        primal, dual = self._lengths(ahead, e, f, over, under)
        after = sum((one + dual * d_one) @ (slack + primal * d_slack) for one, d_one, slack, d_slack in (
            (self._a, ahead["a"], e, ahead["v"]), (self._b, ahead["b"], f, -ahead["v"]),
            (self._p, ahead["p"], over, ahead["t"] - ahead["r"]),
            (self._q, ahead["q"], under, ahead["t"] + ahead["r"])))
        after /= 2 * len(e) + 2 * len(over)
        move = solve(mu * (after / mu) ** 3, ahead)
        if not all(np.all(np.isfinite(part)) for part in move.values()):
            return False
        primal, dual = (min(1.0, BACK * length) for length in self._lengths(move, e, f, over, under))
        self.v = self.v + primal * move["v"]
        self._r = self._r + primal * move["r"]
        self._t = max(self._t + primal * move["t"], np.abs(self._r).max() * (1 + 1e-13))
        for name in "abpq":
            setattr(self, f"_{name}", getattr(self, f"_{name}") + dual * move[name])
        self._tau += dual * move["tau"]
        return max(primal, dual) > 1e-8

    def _factor(self, e, f, over, under):
        """A function that solves for a step, given the complementarity that is aimed at and the step to correct for."""
        rows, d = self.rows, len(self._r)
        P, Q = self._p / over, self._q / under
        inverse = 1 / (self._a / e + self._b / f)
        scaled = rows * np.sqrt(inverse)[:, np.newaxis]
        kappa = (P - Q) / (P + Q)
        matrix = np.zeros((d + 2, d + 2))
        matrix[:d, :d] = scaled.T @ scaled
        matrix[np.arange(d), np.arange(d)] += 1 / (P + Q)
        residual = self._steep + self._tau - self._a + self._b
        # What products with the rows do not depend on the aims of a step.
        steady = np.stack([inverse, inverse * (self._b - self._a - residual)]) @ rows
        matrix[:d, d] = matrix[d, :d] = steady[0]
        matrix[d, d] = inverse.sum()
        matrix[:d, d + 1] = matrix[d + 1, :d] = kappa
        matrix[d + 1, d + 1] = -np.sum(4 * P * Q / (P + Q))
        if self.total is None:
            matrix[d, :] = matrix[:, d] = 0
            matrix[d, d] = 1
        factors, pivots, failed = lapack.dgetrf(matrix)
        if failed:
            raise np.linalg.LinAlgError
        short = 0.0 if self.total is None else self.total - self.v.sum()

        def solve(mu, before):
            # What the products of a multiplier and its slack are to become, each less what the last step adds to them.
            aims = [mu] * 4 if before is None else [
                mu - before["a"] * before["v"], mu + before["b"] * before["v"],
                mu - before["p"] * (before["t"] - before["r"]), mu - before["q"] * (before["t"] + before["r"])]
            ka, kb = aims[0] / e - self._a, aims[1] / f - self._b
            kp, kq = aims[2] / over - self._p, aims[3] / under - self._q
            right = ka - kb - residual
            k = kp - kq
            side = np.empty(d + 2)
            side[:d] = (steady[1] if before is None else (inverse * right) @ rows) + k / (P + Q)
            side[d] = 0.0 if self.total is None else inverse @ right - short
            side[d + 1] = 1 - np.sum(self._p + self._q) - np.sum(kp + kq) + kappa @ k
            solution, _ = lapack.dgetrs(factors, pivots, side)
            dw, dtau, dt = solution[:d], solution[d], solution[d + 1]
            dv = inverse * (right - rows @ dw - dtau)
            dr = (dw - k + (P - Q) * dt) / (P + Q)
            return {"v": dv, "t": dt, "r": dr, "tau": dtau, "a": ka - self._a / e * dv, "b": kb + self._b / f * dv,
                    "p": kp - P * (dt - dr), "q": kq - Q * (dt + dr)}

        return solve

    def _lengths(self, move, e, f, over, under):
        """How far primal and dual variables may go."""
        primal = min(_length(e, move["v"]), _length(f, -move["v"]), _length(over, move["t"] - move["r"]),
                     _length(under, move["t"] + move["r"]))
        return primal, min(_length(getattr(self, f"_{name}"), move[name]) for name in "abpq")


def _length(value, move):
    """The longest step, up to 1, that leaves a vector at least 0."""
    falling = move < 0
    return min(1.0, float(np.min(-value[falling] / move[falling], initial=1.0)))

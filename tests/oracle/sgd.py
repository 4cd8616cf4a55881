"""Classic SGD in plain NumPy: what the compiled solver has to agree with, and nothing of it.

Written from scikit-learn's semantics and the definitions in the documentation. The weights are scaled directly, the
average is the running mean of the iterates, the cumulative L1 penalty is Tsuruoka's (2009) as in the paper, and every
norm is the norm of all of w. One column; float64; slow.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array, issparse
from scipy.special import expit

# The formulas ---------------------------------------------------------------------------------------------------------
# (value, derivative) in r = p - y, in z = y p with y in {-1, +1}, or in (y, p).

log, exp, sqrt = np.log, np.exp, np.sqrt


def soft(x):
    """log(1 + exp(x))."""
    return np.logaddexp(0.0, x)


def rounded(t, low, high, width, kink=0.0):
    """Nesterov's smoothing of max_{low <= a <= high} a t - kink |a|: the maximum less width a^2/2, and its a."""
    a = np.clip(np.sign(t) * max(abs(t) - kink, 0.0) / width, low, high)
    return a * t - kink * abs(a) - width * a * a / 2, a


RESIDUAL = {
    "squared_error": (lambda r: r * r / 2, lambda r: r),
    "absolute_error": (lambda r: abs(r), lambda r: np.sign(r)),
    "huber": (lambda r, epsilon=1.35: r * r / 2 if abs(r) <= epsilon else epsilon * abs(r) - epsilon**2 / 2,
              lambda r, epsilon=1.35: np.clip(r, -epsilon, epsilon)),
    "pseudo_huber": (lambda r, epsilon=1.0: epsilon**2 * (sqrt(1 + (r / epsilon) ** 2) - 1),
                     lambda r, epsilon=1.0: r / sqrt(1 + (r / epsilon) ** 2)),
    "log_cosh": (lambda r: abs(r) + np.log1p(exp(-2 * abs(r))) - log(2), lambda r: np.tanh(r)),
    "quantile": (lambda r, quantile=0.5: (1 - quantile) * max(r, 0) + quantile * max(-r, 0),
                 lambda r, quantile=0.5: 1 - quantile if r > 0 else -quantile),
    "expectile": (lambda r, expectile=0.5: abs(expectile - (r > 0)) * r * r,
                  lambda r, expectile=0.5: 2 * abs(expectile - (r > 0)) * r),
    "epsilon_insensitive": (lambda r, epsilon=0.1: max(abs(r) - epsilon, 0),
                            lambda r, epsilon=0.1: np.sign(r) * (abs(r) > epsilon)),
    "squared_epsilon_insensitive": (lambda r, epsilon=0.1: max(abs(r) - epsilon, 0) ** 2,
                                    lambda r, epsilon=0.1: 2 * np.sign(r) * max(abs(r) - epsilon, 0)),
    "cauchy": (lambda r, scale=1.0: scale**2 / 2 * np.log1p((r / scale) ** 2),
               lambda r, scale=1.0: r / (1 + (r / scale) ** 2)),
    "smoothed_absolute_error": (lambda r, width=1.0: rounded(r, -1, 1, width)[0],
                                lambda r, width=1.0: rounded(r, -1, 1, width)[1]),
    "smoothed_quantile": (lambda r, quantile=0.5, width=1.0: rounded(r, -quantile, 1 - quantile, width)[0],
                          lambda r, quantile=0.5, width=1.0: rounded(r, -quantile, 1 - quantile, width)[1]),
    "smoothed_epsilon_insensitive": (lambda r, epsilon=0.1, width=1.0: rounded(r, -1, 1, width, epsilon)[0],
                                     lambda r, epsilon=0.1, width=1.0: rounded(r, -1, 1, width, epsilon)[1]),
}
MARGIN = {
    "hinge": (lambda z: max(1 - z, 0), lambda z: -1.0 * (z <= 1)),
    "squared_hinge": (lambda z: max(1 - z, 0) ** 2, lambda z: -2 * max(1 - z, 0)),
    "smoothed_hinge": (lambda z, width=1.0: rounded(1 - z, 0, 1, width)[0],
                       lambda z, width=1.0: -rounded(1 - z, 0, 1, width)[1]),
    "modified_huber": (lambda z: max(1 - z, 0) ** 2 if z >= -1 else -4 * z,
                       lambda z: -2 * max(1 - z, 0) if z >= -1 else -4.0),
    "perceptron": (lambda z: max(-z, 0), lambda z: -1.0 * (z <= 0)),
    "smoothed_perceptron": (lambda z, width=1.0: rounded(-z, 0, 1, width)[0],
                            lambda z, width=1.0: -rounded(-z, 0, 1, width)[1]),
    "exponential": (lambda z: exp(-z), lambda z: -exp(-z)),
}
OTHER = {
    "poisson": (lambda y, p: exp(p) - y * p, lambda y, p: exp(p) - y),
    "gamma": (lambda y, p: p + y * exp(-p), lambda y, p: 1 - y * exp(-p)),
    "tweedie": (lambda y, p, power=1.5: exp((2 - power) * p) / (2 - power) - y * exp((1 - power) * p) / (1 - power),
                lambda y, p, power=1.5: exp((2 - power) * p) - y * exp((1 - power) * p)),
    "squared_log_error": (lambda y, p: (p - np.log1p(y)) ** 2 / 2, lambda y, p: p - np.log1p(y)),
    "log_loss": (lambda y, p, pos_weight=1.0: pos_weight * y * soft(-p) + (1 - y) * soft(p),
                 lambda y, p, pos_weight=1.0: (1 - y) * expit(p) - pos_weight * y * expit(-p)),
    "focal": (lambda y, p, gamma=2.0: focal_value((2 * y - 1) * p, gamma),
              lambda y, p, gamma=2.0: (2 * y - 1) * focal_derivative((2 * y - 1) * p, gamma)),
}


def focal_value(z, gamma):
    """-(1 - q)^gamma log q, q = sigmoid(z)."""
    return expit(-z) ** gamma * soft(-z)


def focal_derivative(z, gamma):
    """Its derivative: (1 - q)^gamma (gamma q log q - (1 - q))."""
    return expit(-z) ** gamma * (-gamma * expit(z) * soft(-z) - expit(-z))


LOSSES = RESIDUAL.keys() | MARGIN.keys() | OTHER.keys()
ZERO_ONE = {"log_loss", "focal"}    # classes are 0 and 1; -1 and +1 for all others


def formulas(name, **parameters):
    """value(y, p) and gradient(y, p) of a loss."""
    if name in RESIDUAL:
        phi, slope = RESIDUAL[name]
        return lambda y, p: phi(p - y, **parameters), lambda y, p: slope(p - y, **parameters)
    if name in MARGIN:
        phi, slope = MARGIN[name]
        return lambda y, p: phi(y * p, **parameters), lambda y, p: y * slope(y * p, **parameters)
    phi, slope = OTHER[name]
    return lambda y, p: phi(y, p, **parameters), lambda y, p: slope(y, p, **parameters)


# The solver -----------------------------------------------------------------------------------------------------------


@dataclass
class Settings:
    """scikit-learn's parameters. penalty alpha (l1_ratio |w|_1 + (1 - l1_ratio) |w|^2 / 2); None: none."""

    penalty: str | None = "l2"
    alpha: float = 1e-4
    l1_ratio: float = 0.15
    learning_rate: str = "optimal"
    eta0: float = 0.01
    power_t: float = 0.5
    average: int = 0
    batch_size: int = 1
    fit_intercept: bool = True
    intercept_cost: float = 0.0
    max_iter: int = 3
    tol: float | None = None
    n_iter_no_change: int = 5

    def __post_init__(self):
        self.ratio = {"l1": 1.0, "elasticnet": self.l1_ratio}.get(self.penalty, 0.0)
        self.l1 = self.alpha * self.ratio if self.penalty else 0.0
        self.l2 = self.alpha * (1 - self.ratio) if self.penalty else 0.0


@dataclass
class Fit:
    """Where the solver stands."""

    coef: np.ndarray
    intercept: float = 0.0
    mean_coef: np.ndarray | float = 0.0
    mean_intercept: float = 0.0
    averaged: int = 0                                   # iterates in the mean
    seen: int = 0                                       # rows
    steps: int = 0                                      # of the schedule
    objective: list = field(default_factory=list)       # running, one an epoch
    n_iter: int = 0

    @property
    def model(self):
        """Coefficients and intercept that a user gets."""
        return (self.mean_coef, self.mean_intercept) if self.averaged else (self.coef, self.intercept)


class Solver:
    """One column of classic SGD."""

    def __init__(self, X, y, loss, settings, weights=None, offset=None):
        self.sparse, self.X = issparse(X), csr_array(X).astype(np.float64) if issparse(X) else np.asarray(X, float)
        self.y, n = np.asarray(y, dtype=np.float64), X.shape[0]
        self.weights = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
        self.offset = np.zeros(n) if offset is None else np.asarray(offset, dtype=np.float64)
        self.value, self.gradient = loss
        self.set = settings

    def row(self, i):
        """Numbers and values of the features that row i touches: the stored ones, all of them where X is dense."""
        if not self.sparse:
            return np.arange(self.X.shape[1]), self.X[i]
        stored = slice(self.X.indptr[i], self.X.indptr[i + 1])
        return self.X.indices[stored], self.X.data[stored]

    def fit(self, order, state=None):
        """Train; order(epoch) gives the rows of an epoch."""
        s, best, stalled = self.set, np.inf, 0
        fit = self.fit_ = Fit(np.zeros(self.X.shape[1])) if state is None else state
        self.u, self.q, self.eta = 0.0, np.zeros(self.X.shape[1]), s.eta0
        if s.learning_rate == "optimal":
            typical = sqrt(1 / sqrt(s.alpha))
            self.t0 = max(1.0, self.gradient(1.0, -typical)) / (typical * s.alpha)
        for fit.n_iter in range(1, s.max_iter + 1):
            rows = order(fit.n_iter - 1)
            batches = [rows[i:i + s.batch_size] for i in range(0, len(rows), s.batch_size)]
            objective = sum(self.step(batch) for batch in batches) / len(rows)
            fit.objective.append(objective)
            stalled = stalled + 1 if s.tol is not None and objective > best - s.tol else 0
            best = min(best, objective)
            if stalled >= s.n_iter_no_change:
                if s.learning_rate != "adaptive" or self.eta <= 1e-6:
                    break
                self.eta, stalled = self.eta / 5, 0
        return fit

    def step(self, batch):
        """Move once, by the mean over a batch of rows; its rows' share of the running objective."""
        s, fit, passive = self.set, self.fit_, self.set.learning_rate in ("pa1", "pa2")
        if s.learning_rate == "optimal":
            self.eta = 1 / (s.alpha * (self.t0 + fit.steps))
        elif s.learning_rate == "invscaling":
            self.eta = s.eta0 / (fit.steps + 1) ** s.power_t
        w, rows = fit.coef, [self.row(i) for i in batch]
        p = [w[j] @ x + fit.intercept + self.offset[i] for i, (j, x) in zip(batch, rows, strict=True)]
        total = sum(self.weights[i] * self.value(self.y[i], p_i) for i, p_i in zip(batch, p, strict=True))
        if not passive:
            penalty = s.l1 * np.abs(w).sum() + s.l2 * (w @ w) / 2 + s.intercept_cost * fit.intercept
            total += len(batch) * penalty
        moves = [self.move(i, x, p_i) for i, (_, x), p_i in zip(batch, rows, p, strict=True)]
        fit.seen += len(batch)
        if all(move is None for move in moves):     # PA1 does not see rows of zeros
            return total
        moves = [move or 0.0 for move in moves]
        w *= max(0.0, 1 - self.eta * s.l2)
        for move, (j, x) in zip(moves, rows, strict=True):
            w[j] += move * x / len(batch)
        if s.fit_intercept:
            decay = 0.01 if self.sparse else 1.0
            fit.intercept += decay * (sum(moves) / len(batch) - self.eta * s.intercept_cost)
        if s.l1:
            self.shrink(np.unique(np.concatenate([j for j, _ in rows])))
        fit.steps += 1
        if 0 < s.average <= fit.seen:
            fit.averaged += 1
            fit.mean_coef = fit.mean_coef + (w - fit.mean_coef) / fit.averaged
            fit.mean_intercept += (fit.intercept - fit.mean_intercept) / fit.averaged
        return total

    def move(self, i, x, p):
        """The multiple of row i that is to be added to w; None: a row to skip."""
        s, y, weight = self.set, self.y[i], self.weights[i]
        slope = self.gradient(y, p)
        if s.learning_rate == "pa1":
            return -np.sign(slope) * weight * min(s.eta0, self.value(y, p) / (x @ x)) if x @ x else None
        if s.learning_rate == "pa2":
            return -np.sign(slope) * weight * self.value(y, p) / (x @ x + 1 / (2 * s.eta0))
        return -self.eta * weight * np.clip(slope, -1e12, 1e12)

    def shrink(self, touched):
        """Tsuruoka's cumulative penalty: u could have been taken from each weight so far, -q has been."""
        w, q = self.fit_.coef, self.q
        self.u += self.eta * self.set.l1
        for j in touched:
            before = w[j]
            if before > 0:
                w[j] = max(0.0, before - (self.u + q[j]))
            elif before < 0:
                w[j] = min(0.0, before + (self.u - q[j]))
            q[j] += w[j] - before


def objective(X, y, loss, settings, coef, intercept, *, weights=None, offset=None):
    """The objective of a column, exactly: mean weighted loss, penalty, cost of the intercept."""
    p = X @ coef + intercept + (0.0 if offset is None else offset)
    losses = [loss[0](y_i, p_i) for y_i, p_i in zip(y, p, strict=True)]
    s = settings
    return (np.mean(losses if weights is None else np.multiply(weights, losses)) + s.intercept_cost * intercept
            + s.l1 * np.abs(coef).sum() + s.l2 * (coef @ coef) / 2)

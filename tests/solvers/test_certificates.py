"""gap_ is never below the truth: every convex loss, every penalty, 30 tables, wherever the solver is made to stop."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog
from scipy.optimize import minimize as scipy_minimize
from sklearn import datasets

from sklosses.losses import get_loss, loss_names
from sklosses.penalties import get_penalty
from sklosses.solvers import minimize

TABLES = ("iris", "wine", "breast_cancer", "diabetes", "linnerud", "digits")
CHANGES = ("raw", "scales", "heavy tails", "singular", "few rows")
PENALTIES = (("l2", 1e-6), ("l2", 1e-2), ("l1", 1e-3), ("elasticnet", 1e-4), ("none", 0.0))
#: Losses with a minimum that is worth finding: that of the perceptron's is attained by no coefficients at all.
LOSSES = tuple(name for name in loss_names() if get_loss(name).traits.convex and "perceptron" not in name)


def _table(name, change):
    """Raw numbers of a data set, changed; a target."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    rng = np.random.default_rng(sum(map(ord, name + change)))
    rows = rng.permutation(len(X))[:300]
    X, y = X[rows].astype(float), np.asarray(y, dtype=float).reshape(len(y), -1)[rows, 0]
    if name == "digits":
        X = X[:, ::5]
    if change == "scales":
        X = X * 10.0 ** rng.uniform(-4, 4, X.shape[1]) + rng.normal(size=X.shape[1]) * 100
    elif change == "heavy tails":
        X = np.sign(X) * np.expm1(np.minimum(np.abs(X - X.mean(axis=0)) / (X.std(axis=0) + 1e-9), 8.0))
    elif change == "singular":
        X = np.column_stack([X, X[:, :2] @ [1.0, -2.0], np.ones(len(X)), X[:, 0]])
    elif change == "few rows":
        X, y = X[:12], y[:12]
    return np.ascontiguousarray(X), y


def _targets(loss, y):
    """The table's target as a loss takes it."""
    if loss.target.codes is not None:
        return np.where(y > np.median(y), loss.target.codes[1], loss.target.codes[0])
    return y - y.min() + 0.5 if loss.target.low > -np.inf else y


def _objective(X, y, loss, penalty, coef, intercept):
    return loss.value(y, X @ coef + intercept).mean() + penalty.value(coef[np.newaxis])[0]


def _by_quasi_newton(X, y, loss, penalty, result):
    """The lowest that L-BFGS finds from a solution, in coordinates of one scale; of smooth objectives."""
    scale = np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)
    A = (X - X.mean(axis=0)) / scale

    def function(z):
        gradient = loss.gradient(y, A @ z[:-1] + z[-1]) / len(y)
        w = z[:-1] / scale
        value = loss.value(y, A @ z[:-1] + z[-1]).mean() + 0.5 * penalty.l2 * w @ w
        return value, np.append(A.T @ gradient + penalty.l2 * w / scale, gradient.sum())

    start = np.append(result.coef[0] * scale, result.intercept[0] + X.mean(axis=0) @ result.coef[0])
    return scipy_minimize(function, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "ftol": 1e-15}).fun


def _by_linear_programme(X, y, loss, penalty):
    """The minimum of a loss with kinks, and an l1 penalty or none, by HiGHS."""
    n, d = X.shape
    positions, jumps = loss.kinks(y)
    first = positions.min(axis=0) - 1.0
    slope, value = loss.gradient(y, first), loss.value(y, first)
    m = len(positions)
    # Variables: w+ and w- (scaled), b, and for each kink what p is above it.
    scale = np.abs(X).max(axis=0) + 1e-300
    A = X / scale
    cost = np.concatenate([A.T @ slope / n + penalty.l1 / scale, -A.T @ slope / n + penalty.l1 / scale, [slope.mean()],
                           jumps.ravel() / n])
    rows = sparse.csr_array(np.tile(np.column_stack([A, -A, np.ones(n)]), (m, 1)))
    above = sparse.hstack([rows, -sparse.eye_array(m * n)])
    bounds = [(0, None)] * (2 * d) + [(None, None)] + [(0, None)] * (m * n)
    found = linprog(cost, A_ub=above, b_ub=positions.ravel(), bounds=bounds, method="highs")
    return found.fun + (value - slope * first).mean() if found.status == 0 else np.inf


def _lowest(X, y, loss, penalty, results):
    """The lowest objective known of."""
    with np.errstate(all="ignore"):
        known = [_objective(X, y, loss, penalty, result.coef[0], result.intercept[0]) for result in results]
        if loss.traits.smooth and penalty.l1 == 0:
            known.append(_by_quasi_newton(X, y, loss, penalty, results[-1]))
        elif not loss.traits.smooth and penalty.l2 == 0:
            known.append(_by_linear_programme(X, y, loss, penalty))
    return np.nanmin(known)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", TABLES)
def test_never_below_the_truth(name, change):
    """Stopped after one reading, after five, at 1e-3 and at 1e-10."""
    X, y = _table(name, change)
    for number, loss_name in enumerate(LOSSES):
        loss = get_loss(loss_name)
        t = _targets(loss, y)
        kind, alpha = PENALTIES[(number + TABLES.index(name) + CHANGES.index(change)) % len(PENALTIES)]
        penalty = get_penalty(kind, alpha=alpha, l1_ratio=0.3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = [minimize(X, t, loss, penalty, tol=tol, max_iter=most)
                       for tol, most in ((1e-3, 1), (1e-3, 5), (1e-3, 100), (1e-10, 300))]
        lowest = _lowest(X, t, loss, penalty, results)
        constant = loss.value(t, loss.link(t)).mean() if loss.traits.link == "log" else 0.0
        null = max(abs(_objective(X, t, loss, penalty, np.zeros(X.shape[1]), np.median(t))), 1e-300)
        lowest = max(lowest, constant)      # no loss is lower, whatever rounding says
        for result in results:
            away = (result.objective[0] - lowest) / max(lowest - constant, 1e-12 * null, 1e-15)
            said = (loss_name, kind, alpha, away, result.gap, result.gap_kind)
            assert away <= result.gap[0] * (1 + 1e-6) + 1e-9, said

"""Where many coefficients minimise, the shortest are found: laws for every loss, and independent programmes."""

import warnings

import numpy as np
import pytest
from scipy.optimize import linprog, minimize
from sklearn.svm import SVC

from sklosses import SGDClassifier, SGDRegressor
from sklosses.losses import get_loss, loss_names
from sklosses.solvers._least_norm import _with_signs

CONVEX = sorted(name for name in {*loss_names("classification"), *loss_names("regression")} - {"perceptron"}
                if get_loss(name).traits.convex)


def dependent(n=200, seed=0):
    """Copies, multiples, a sum, a constant column, one far from 0; targets for classes and numbers."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, 5))
    X = np.column_stack((Z, Z[:, 0], 3 * Z[:, 1], Z[:, 2] + Z[:, 3], np.ones(n), Z[:, 4] + 1e3))
    return X, Z @ [1.0, -1.0, 0.5, 0.0, 0.3] + rng.normal(size=n)


def fitted(name, X, y, **options):
    loss = get_loss(name)
    if name in loss_names("classification"):
        return SGDClassifier(loss=loss, **options).fit(X, y + np.sin(9 * y) > 0)
    low = loss.target.low if np.isfinite(loss.target.low) else None
    return SGDRegressor(loss=loss, **options).fit(X, y if low is None else np.exp(0.3 * y))


@pytest.mark.parametrize("n", [200, 30_000])
@pytest.mark.parametrize("name", CONVEX)
def test_without_a_penalty_coefficients_are_rows(name, n):
    X, y = dependent(n)
    model = fitted(name, X, y, penalty=None, tol=1e-7)
    centred = X - X.mean(axis=0)
    _, sizes, rows = np.linalg.svd(centred, full_matrices=False)
    rows = rows[sizes > 1e-10 * sizes[0]]
    coef = model.coef_.ravel()
    assert model.gap_ <= 1e-6
    assert np.linalg.norm(coef - rows.T @ (rows @ coef)) <= 1e-7 * np.linalg.norm(coef)


@pytest.mark.parametrize("name", CONVEX)
def test_copies_share_under_l1(name):
    X, y = dependent()
    model = fitted(name, X, y, penalty="l1", alpha=1e-3, tol=1e-9)
    turned = fitted(name, np.column_stack((-X[:, 0], X)), y, penalty="l1", alpha=1e-3, tol=1e-9)
    coef, more = model.coef_.ravel(), turned.coef_.ravel()
    assert coef[0] == pytest.approx(coef[5], rel=1e-4)
    assert more[[0, 1, 6]] * [-1, 1, 1] == pytest.approx(np.full(3, 2 / 3 * coef[0]), rel=1e-4)
    assert turned.objective_ == pytest.approx(model.objective_, rel=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_separable_classes_get_the_widest_margin(seed):
    """Of all planes without loss the shortest is that of the hard margin."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 4)) * [1, 10, 0.1, 1]
    y = X @ [1, 0.1, 10, -1] > 0.3
    X[y] += [0.5, 0, 0, -0.5]
    signs = np.where(y, 1.0, -1.0)

    def width(model):
        return (signs * model.decision_function(X)).min() / np.linalg.norm(model.coef_)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models = [SGDClassifier(loss=loss, penalty=None).fit(X, y) for loss in ("hinge", "squared_hinge")]
    widest = width(SVC(kernel="linear", C=1e8, tol=1e-10).fit(X, y))
    for model in models:
        assert model.objective_ <= 1e-10
        assert model.gap_ <= 1e-1
        assert model.gap_kind_ == "proof"
        assert width(model) >= (1 - 1e-6) * widest


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("loss", ["absolute_error", "quantile", "epsilon_insensitive"])
def test_straight_losses_against_a_programme(loss, seed):
    """min ||w|| over all minimisers, these from a linear programme and the norm from a quadratic one."""
    rng = np.random.default_rng(seed)
    X = np.repeat(rng.integers(-2, 3, size=(4, 2)), 2, axis=0).astype(float)    # few places, two targets at each
    y = rng.integers(-3, 4, size=8).astype(float)
    wanted = {"absolute_error": (0.0, 1.0, 1.0), "quantile": (0.0, 0.5, 0.5), "epsilon_insensitive": (0.5, 1.0, 1.0)}
    band, up, down = wanted[loss]
    parameters = {"epsilon": band} if loss == "epsilon_insensitive" else {}
    model = SGDRegressor(loss=get_loss(loss, **parameters), penalty=None, tol=1e-12).fit(X, y)
    A = np.column_stack((X, np.ones(8)))
    n, eye = 8, np.eye(8)
    cost = np.concatenate((np.zeros(3), np.full(n, 1 / n)))
    inequalities = np.block([[-up * A, -eye], [down * A, -eye]])
    limits = np.concatenate((up * (band - y), down * (band + y)))
    best = linprog(cost, inequalities, limits, bounds=[(None, None)] * 3 + [(0, None)] * n)
    constraints = [{"type": "ineq", "fun": lambda v: limits - inequalities @ v, "jac": lambda v: -inequalities},
                   {"type": "ineq", "fun": lambda v: best.fun + 1e-9 - cost @ v, "jac": lambda v: -cost},
                   {"type": "ineq", "fun": lambda v: v[3:]}]
    least = minimize(lambda v: v[:2] @ v[:2], best.x, jac=lambda v: np.append(2 * v[:2], np.zeros(n + 1)),
                     constraints=constraints, method="SLSQP", options={"ftol": 1e-14, "maxiter": 500})
    assert model.objective_ == pytest.approx(best.fun, abs=1e-9)
    assert model.coef_ == pytest.approx(least.x[:2], abs=2e-4)


def test_huber_rests_in_the_middle():
    X = np.zeros((4, 1))
    model = SGDRegressor(loss=get_loss("huber", epsilon=1.0), penalty=None).fit(X, [-9.0, -5.0, 15.0, 29.0])
    assert model.intercept_ == pytest.approx(0.5 * (-4 + 14))


def test_signs_are_kept():
    """Against a quadratic programme: the shortest of least + flat z on its side of 0."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        flat = np.linalg.qr(rng.normal(size=(6, 3)))[0]
        start = np.abs(rng.normal(size=6))
        signs = rng.choice([-1.0, 1.0], size=6)
        least = signs * start - flat @ (flat.T @ (signs * start))
        found = _with_signs(least, flat, signs)
        limits = [{"type": "ineq", "fun": lambda z, a=least, b=flat, s=signs: s * (a + b @ z)}]
        exact = minimize(lambda z: z @ z, flat.T @ (signs * start), constraints=limits, method="SLSQP",
                         options={"ftol": 1e-14})
        assert found == pytest.approx(least + flat @ exact.x, abs=1e-5)
        assert np.all(found * signs >= 0)

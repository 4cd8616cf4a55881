"""The README's table: another model's coefficients minimise our objective at the alpha that the table gives.

Convex functions have a minimum where no small step goes down. Steps go along each coordinate, towards zero (the
direction in which a wrong alpha shows first), and at random. The same test refuses alphas that are off by a fifth.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest
from sklearn import linear_model, svm

from sklosses.losses import get_loss
from sklosses.penalties import get_penalty


@dataclass(frozen=True)
class Case:
    """A row of the table."""

    model: object
    loss: str
    penalty: str
    alpha: object  # of the fitted model and n
    task: str
    l1_ratio: float = 0.15
    parameters: object = field(default=lambda _: {})  # of the loss, from the fitted model


TIGHT = {"tol": 1e-12, "max_iter": 100_000}
CASES = {
    "LogisticRegression": Case(
        linear_model.LogisticRegression(C=0.1, **TIGHT), "log_loss", "l2", lambda m, n: 1 / (m.C * n), "labels"
    ),
    "LogisticRegression, l1_ratio": Case(
        linear_model.LogisticRegression(C=0.1, l1_ratio=0.4, solver="saga", random_state=0, **TIGHT),
        "log_loss",
        "elasticnet",
        lambda m, n: 1 / (m.C * n),
        "labels",
        l1_ratio=0.4,
    ),
    "LogisticRegression, more classes": Case(
        linear_model.LogisticRegression(C=0.1, **TIGHT), "multinomial", "l2", lambda m, n: 1 / (m.C * n), "classes"
    ),
    "LinearSVC, crammer_singer": Case(
        svm.LinearSVC(C=0.05, multi_class="crammer_singer", fit_intercept=False, random_state=0, tol=1e-9,
                      max_iter=1_000_000),
        "crammer_singer",
        "l2",
        lambda m, n: 1 / (m.C * n),
        "classes",
    ),
    "LinearSVC, hinge": Case(
        svm.LinearSVC(C=0.05, loss="hinge", fit_intercept=False, random_state=0, tol=1e-8, max_iter=1_000_000),
        "hinge",
        "l2",
        lambda m, n: 1 / (m.C * n),
        "labels",
    ),
    "LinearSVC": Case(
        svm.LinearSVC(C=0.05, fit_intercept=False, random_state=0, **TIGHT),
        "squared_hinge",
        "l2",
        lambda m, n: 1 / (m.C * n),
        "labels",
    ),
    "LinearSVR": Case(
        svm.LinearSVR(C=0.05, epsilon=0.3, fit_intercept=False, random_state=0, **TIGHT),
        "epsilon_insensitive",
        "l2",
        lambda m, n: 1 / (m.C * n),
        "numbers",
        parameters=lambda m: {"epsilon": m.epsilon},
    ),
    "Ridge": Case(linear_model.Ridge(alpha=50), "squared_error", "l2", lambda m, n: m.alpha / n, "numbers"),
    "Lasso": Case(linear_model.Lasso(alpha=0.1, tol=1e-12), "squared_error", "l1", lambda m, n: m.alpha, "numbers"),
    "ElasticNet": Case(
        linear_model.ElasticNet(alpha=0.2, l1_ratio=0.4, tol=1e-12),
        "squared_error",
        "elasticnet",
        lambda m, n: m.alpha,
        "numbers",
        l1_ratio=0.4,
    ),
    "HuberRegressor": Case(
        linear_model.HuberRegressor(epsilon=1.2, alpha=30, tol=1e-10, max_iter=10_000),
        "huber",
        "l2",
        lambda m, n: m.alpha * m.scale_ / n,
        "numbers",
        parameters=lambda m: {"epsilon": m.epsilon * m.scale_},
    ),
    "QuantileRegressor": Case(
        linear_model.QuantileRegressor(quantile=0.8, alpha=0.02),
        "quantile",
        "l1",
        lambda m, n: m.alpha,
        "numbers",
        parameters=lambda m: {"quantile": m.quantile},
    ),
    "PoissonRegressor": Case(
        linear_model.PoissonRegressor(alpha=0.3, **TIGHT), "poisson", "l2", lambda m, n: m.alpha, "counts"
    ),
    "GammaRegressor": Case(
        linear_model.GammaRegressor(alpha=0.3, **TIGHT), "gamma", "l2", lambda m, n: m.alpha, "positive"
    ),
    "TweedieRegressor": Case(
        linear_model.TweedieRegressor(power=1.3, alpha=0.3, link="log", **TIGHT),
        "tweedie",
        "l2",
        lambda m, n: m.alpha,
        "counts",
        parameters=lambda m: {"power": m.power},
    ),
}


def data(task):
    """Rows and targets on which every coefficient matters and no penalty is negligible."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(160, 4))
    signal = X @ [1.0, -0.7, 0.5, 0.3] + 0.4
    noise = rng.standard_t(3, size=len(X))
    return X, {
        "labels": np.where(signal + noise > 0, 1.0, -1.0),
        "classes": np.digitize(signal + noise, [-1.0, 1.0]),
        "numbers": signal + noise,
        "counts": rng.poisson(np.exp(0.5 * signal)).astype(float),
        "positive": rng.gamma(2.0, np.exp(0.5 * signal)),
    }[task]


def lowest_step(objective, at):
    """The lowest change of a function over small steps away from a point."""
    rng = np.random.default_rng(0)
    directions = np.vstack([np.eye(len(at)), [at / np.linalg.norm(at)], rng.normal(size=(200, len(at)))])
    start = objective(at)
    return min(objective(at + size * d) - start for d in directions for size in (-1e-2, -1e-3, 1e-3, 1e-2))


@pytest.mark.parametrize("name", CASES)
def test_other_models_minimise_our_objective(name):
    case = CASES[name]
    X, y = data(case.task)
    fitted = case.model.fit(X, y)
    loss = get_loss(case.loss, **case.parameters(fitted))
    together = case.task == "classes"
    targets = (y + 1) / 2 if not together and loss.target.codes == (0.0, 1.0) else y
    at, with_intercept = fitted.coef_.ravel(), fitted.fit_intercept
    size, shape = len(at), (-1, X.shape[1]) if together else (-1,)
    if with_intercept:
        at = np.append(at, fitted.intercept_)
    alpha = case.alpha(fitted, len(X))

    def objective(scale):
        penalty = get_penalty(case.penalty, alpha=scale * alpha, l1_ratio=case.l1_ratio)

        def value(point):
            coef = point[:size].reshape(shape)
            intercept = (point[size:] if together else point[size]) if with_intercept else 0.0
            return loss(targets, X @ coef.T + intercept) + float(np.sum(penalty.value(coef)))

        return value

    assert lowest_step(objective(1), at) > -1e-8
    assert min(lowest_step(objective(scale), at) for scale in (0.8, 1.25)) < -1e-6

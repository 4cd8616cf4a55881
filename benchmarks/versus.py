"""Suboptimality against time: ``learning_rate="auto"`` beside scikit-learn's solvers of the same objective.

Every contender minimises exactly the objective of ours on the same unscaled table; objectives are recomputed in NumPy
at the coefficients returned, and F* is the lowest ever seen, by ours at ``tol=1e-12`` among others. Each round runs
every contender once at each tolerance; medians over rounds count. A *pass* is one ``X @ w``.

Tables: a synthetic one with columns from 1e-3 to 1e3 in size, and scikit-learn's California housing and kddcup99
(numeric columns) where they are cached; others are skipped, and named. Run ``python benchmarks/versus.py``.
"""

import warnings
from dataclasses import dataclass, field
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from _common import RESULTS, arguments, seconds, versions
from sklearn import linear_model
from sklearn.datasets import fetch_california_housing, fetch_kddcup99
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from sklosses import SGDClassifier, SGDRegressor
from sklosses.losses import get_loss
from sklosses.penalties import get_penalty

TOLERANCES = (1e-2, 1e-4, 1e-6, 1e-8, 1e-10)
ALPHA = 1e-4
TABLES = ("synthetic", "california", "kddcup99")


@dataclass
class Contender:
    """An estimator as a function of its tolerance."""

    name: str
    make: object
    runs: dict = field(default_factory=dict)    # tolerance -> (list of seconds, objective)

    def best(self, lowest, goal):
        """Least median seconds to a relative suboptimality of `goal`; None if never reached."""
        reached = [np.median(times) for times, value in self.runs.values() if (value - lowest) / abs(lowest) <= goal]
        return min(reached, default=None)


def tables(wanted):
    """(name, X, y for classes, y for numbers)"""
    if "synthetic" in wanted:
        yield "synthetic", *synthetic()
    for name, fetch in (("california", california), ("kddcup99", kddcup99)):
        try:
            if name in wanted:
                yield name, *fetch()
        except OSError as error:
            print(f"{name}: skipped, not cached ({error})")


def synthetic():
    rng = np.random.default_rng(0)
    n, d = 200_000, 40
    X = rng.standard_normal((n, d)) * np.logspace(-3, 3, d) + np.logspace(2, -2, d)
    signal = (X - X.mean(axis=0)) @ (rng.standard_normal(d) / X.std(axis=0)) / 3
    return X, (signal + rng.logistic(size=n) > 1).astype(float), np.exp(0.3 * signal + rng.normal(size=n))


def california():
    X, y = fetch_california_housing(return_X_y=True, download_if_missing=False)
    return X, (y > 2).astype(float), y


def kddcup99():
    data = fetch_kddcup99(percent10=True, download_if_missing=False)
    columns = [j for j in range(data.data.shape[1]) if isinstance(data.data[0, j], int | float)]
    X = np.ascontiguousarray(data.data[:, columns].astype(float))
    return X, (data.target == b"normal.").astype(float), None


def contenders(loss, penalty, n):
    """Ours, and scikit-learn's estimators of this objective by solver."""
    estimator = SGDClassifier if "classification" in get_loss(loss).tasks and loss != "squared_error" else SGDRegressor
    settings = {"loss": loss, "penalty": penalty, "alpha": ALPHA, "learning_rate": "auto"}
    out = [Contender("sklosses, auto", partial(_with_tol, estimator, **settings))]
    if loss == "log_loss":
        ratio = {"l2": 0.0, "l1": 1.0, "elasticnet": 0.15}[penalty]
        solvers = {"lbfgs": 1000, "newton-cholesky": 1000} if penalty == "l2" else {"saga": 100}
        settings = {"C": 1 / (ALPHA * n), "l1_ratio": ratio}
        for solver, most in solvers.items():
            make = partial(_with_tol, linear_model.LogisticRegression, solver=solver, max_iter=most, **settings)
            out.append(Contender(f"LogisticRegression, {solver}", make))
    elif loss in ("poisson", "gamma"):
        cls = {"poisson": linear_model.PoissonRegressor, "gamma": linear_model.GammaRegressor}[loss]
        for solver in ("lbfgs", "newton-cholesky"):
            make = partial(_with_tol, cls, alpha=ALPHA, solver=solver, max_iter=1000)
            out.append(Contender(f"{cls.__name__}, {solver}", make))
    else:
        ratio = {"l1": 1.0, "elasticnet": 0.15}[penalty]
        out.append(Contender("ElasticNet", partial(_with_tol, linear_model.ElasticNet, alpha=ALPHA, l1_ratio=ratio)))
    return out


def _with_tol(cls, tol, **settings):
    return cls(tol=tol, **settings)


def objective(model, X, y, loss, penalty):
    """Ours, in NumPy."""
    w, b = np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])
    value = loss(y, X @ w + b) + penalty.value(w)
    lowest = loss(y, np.log(y)) if loss.traits.link == "log" else 0.0
    return value - lowest


def measure(X, y, loss, penalty, repeats, clock):
    """Contenders with their runs, F*, and the seconds of a pass."""
    everyone = contenders(loss, penalty, len(y))
    loss, penalty = get_loss(loss), get_penalty(penalty, alpha=ALPHA)
    w = np.ones(X.shape[1])
    a_pass = np.median([seconds(lambda: X @ w, clock) for _ in range(7)])
    for _ in range(repeats):
        for tol in TOLERANCES:
            for one in everyone:
                model = one.make(tol)
                spent = seconds(lambda model=model: model.fit(X, y), clock)
                times, _ = one.runs.setdefault(tol, ([], objective(model, X, y, loss, penalty)))
                times.append(spent)
    exact = everyone[0].make(1e-12).fit(X, y)
    values = [value for one in everyone for _, value in one.runs.values()]
    return everyone, min(objective(exact, X, y, loss, penalty), *values), a_pass


def report(title, everyone, lowest, a_pass, axis):
    """Print a case and draw it."""
    print(f"\n{title} (a pass: {1e3 * a_pass:.2f} ms; F* = {lowest:.10g})")
    print(f"{'':36s}{'to 1e-3':>18s}{'to 1e-6':>18s}   closest")
    for one in everyone:
        cells = []
        for goal in (1e-3, 1e-6):
            best = one.best(lowest, goal)
            cells.append("never" if best is None else f"{1e3 * best:.0f} ms, {best / a_pass:.0f}")
        points = sorted((np.median(times), max((value - lowest) / abs(lowest), 1e-16))
                        for times, value in one.runs.values())
        print(f"    {one.name:32s}{cells[0]:>18s}{cells[1]:>18s}   {min(gap for _, gap in points):.1e}")
        axis.plot(*zip(*points, strict=True), marker="o", label=one.name)
    axis.set(xscale="log", yscale="log", title=title, xlabel="seconds", ylabel="(F - F*) / F*")
    axis.legend(fontsize=7)


def main():
    parser = arguments(__doc__)
    parser.set_defaults(repeats=3)
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    options = parser.parse_args()
    print(f"{versions()}; alpha = {ALPHA:g}, raw features; milliseconds and passes, medians of {options.repeats}")
    warnings.simplefilter("ignore", ConvergenceWarning)
    cases = []
    with threadpool_limits(1), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for name, X, classes, numbers in tables(options.tables):
            for loss, penalty in (("log_loss", "l2"), ("log_loss", "elasticnet"), ("poisson", "l2"), ("gamma", "l2"),
                                  ("squared_error", "elasticnet"), ("squared_error", "l1")):
                y = classes if loss == "log_loss" else numbers
                if y is not None:
                    cases.append((f"{name} {X.shape[0]:,} x {X.shape[1]}: {loss}, {penalty}", X, y, loss, penalty))
        if not cases:
            return
        rows = -(-len(cases) // 3)
        figure, axes = plt.subplots(rows, 3, figsize=(15, 4 * rows), squeeze=False, layout="constrained")
        for (title, *case), axis in zip(cases, axes.flat, strict=False):
            report(title, *measure(*case, options.repeats, options.clock), axis)
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "versus.png", dpi=110)
    print(f"\nPicture: {RESULTS / 'versus.png'}")


if __name__ == "__main__":
    main()

"""Suboptimality against time: ``learning_rate="auto"`` beside every other solver of the same objective.

Every contender minimises exactly the objective of ours on the same unscaled table (those that penalise the intercept
get it as the coefficient of a large constant column, which makes that next to free); objectives are recomputed in
NumPy at the coefficients returned, with the best intercept for them if the contender penalised it. F* is the lowest
ever seen, by ours at ``tol=1e-12`` among others. Each round runs every contender once at each tolerance; medians over
rounds count. A contender that took longer than ``--patience`` seconds is not asked for more. A *pass* is one ``X @ w``.

Peers besides scikit-learn's are run where they are installed (``pip install ".[versus]"``), and named where not.

Tables: a synthetic one with columns from 1e-3 to 1e3 in size; texts, synthetic too; scikit-learn's California housing,
kddcup99 (numeric columns) and 20 newsgroups (half of the groups against the others) where they are cached; and
``*.npz`` with ``X`` (or ``X_data``, ``X_indices``, ``X_indptr``, ``X_shape``) and ``y`` in subdirectories of the
directory that ``SKLOSSES_DATA`` names. Run ``python benchmarks/versus.py``.
"""

import importlib.util
import warnings
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _common import RESULTS, arguments, own_tables, seconds, sparse_table, versions
from _peers import PEERS, mapped
from scipy import sparse
from sklearn.datasets import fetch_20newsgroups_vectorized, fetch_california_housing, fetch_kddcup99
from threadpoolctl import threadpool_limits

from sklosses import SGDClassifier, SGDRegressor
from sklosses.losses import get_loss
from sklosses.penalties import get_penalty

TOLERANCES = (1e-2, 1e-4, 1e-6, 1e-8)
DENSE = [("log_loss", "l2"), ("log_loss", "elasticnet"), ("hinge", "l2"), ("squared_hinge", "l2"), ("poisson", "l2"),
         ("gamma", "l2"), ("squared_error", "elasticnet"), ("squared_error", "l1"), ("huber", "l2"),
         ("absolute_error", "l2"), ("quantile", "l1")]
SPARSE = [("log_loss", "l2"), ("hinge", "l2"), ("squared_hinge", "l2"), ("squared_error", "l2"),
          ("log_loss", "elasticnet"), ("squared_error", "elasticnet"), ("huber", "elasticnet"), ("log_loss", "l1"),
          ("squared_hinge", "l1"), ("squared_error", "l1"), ("huber", "l1")]


@dataclass
class Contender:
    """An estimator as a function of its tolerance."""

    name: str
    make: object
    runs: dict = field(default_factory=dict)    # tolerance -> (list of seconds, objective)
    slow: bool = False

    def best(self, lowest, goal):
        """Least median seconds to a relative suboptimality of `goal`; None if never reached."""
        reached = [np.median(times) for times, value in self.runs.values() if (value - lowest) / abs(lowest) <= goal]
        return min(reached, default=None)


def tables(wanted):
    """(name, X, y for classes or None, y for numbers or None)"""
    makers = {"synthetic": synthetic, "texts": texts, "california": california, "kddcup99": kddcup99,
              "newsgroups": newsgroups} | own_tables()
    for name, make in makers.items():
        if wanted and name not in wanted:
            continue
        try:
            yield name, *make()
        except OSError as error:
            print(f"{name}: skipped, not cached ({error})")


def synthetic():
    rng = np.random.default_rng(0)
    n, d = 200_000, 40
    X = rng.standard_normal((n, d)) * np.logspace(-3, 3, d) + np.logspace(2, -2, d)
    signal = (X - X.mean(axis=0)) @ (rng.standard_normal(d) / X.std(axis=0)) / 3
    return X, signal + rng.logistic(size=n) > 1, np.exp(0.3 * signal + rng.normal(size=n))


def texts():
    X, labels, _ = sparse_table(20_000, 50_000, 75)
    return X, labels > 0, None


def california():
    X, y = fetch_california_housing(return_X_y=True, download_if_missing=False)
    return X, y > 2, y


def kddcup99():
    data = fetch_kddcup99(percent10=True, download_if_missing=False)
    columns = [j for j in range(data.data.shape[1]) if isinstance(data.data[0, j], int | float)]
    return np.ascontiguousarray(data.data[:, columns].astype(float)), data.target == b"normal.", None


def newsgroups():
    data = fetch_20newsgroups_vectorized(download_if_missing=False)
    return data.data.tocsr().astype(np.float64), data.target < 10, None


def classifies(loss):
    """Whether a loss is compared on classes."""
    return get_loss(loss).target.codes is not None and loss not in ("squared_error", "huber")


def ours(tol, *, loss, penalty, alpha):
    cls = SGDClassifier if classifies(loss) else SGDRegressor
    return cls(loss=get_loss(loss), penalty=penalty, alpha=alpha, tol=tol)


def measure(X, y, case, options):
    """Contenders with their runs, F*, and the seconds of a pass."""
    loss, penalty = case
    settings = {"loss": loss, "penalty": penalty, "alpha": options.alpha}
    everyone = [Contender("sklosses", partial(ours, **settings))]
    peers = mapped(X, y, **settings)
    everyone += [Contender(name, make) for name, make in peers if not any(part in name for part in options.skip)]
    loss, penalty = get_loss(loss), get_penalty(penalty, alpha=options.alpha)
    w = np.ones(X.shape[1])
    a_pass = np.median([seconds(lambda: X @ w, options.clock) for _ in range(7)])
    target = np.where(y, loss.target.codes[1], loss.target.codes[0]) if y.dtype == bool else y
    few = np.linspace(0, X.shape[0] - 1, 200).astype(int)
    for one in everyone:        # some compile what they run the first time
        prepared(one.make(1e-2), X[few], target[few]).fit(X[few], target[few])
    for _ in range(options.repeats):
        for tol in TOLERANCES:
            for one in everyone:
                if one.slow:
                    continue
                model = prepared(one.make(tol), X, target)
                spent = seconds(lambda model=model: model.fit(X, target), options.clock)
                times, _ = one.runs.setdefault(tol, ([], objective(model, X, target, loss, penalty)))
                times.append(spent)
                one.slow = spent > options.patience
    exact = everyone[0].make(1e-12).fit(X, target)
    values = [value for one in everyone for _, value in one.runs.values()]
    return everyone, min(objective(exact, X, target, loss, penalty), *values), a_pass


def prepared(model, X, y):
    """A contender that has written what it reads in a format of its own, where it has one: that is not timed."""
    if hasattr(model, "prepare"):
        model.prepare(X, y)
    return model


def objective(model, X, y, loss, penalty):
    """Ours, in NumPy; deviances are counted from the least that they can be."""
    w, b = np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])
    p = X @ w
    if getattr(model, "intercept_is_penalised", False):
        b = best_intercept(p, y, loss, b)
    lowest = loss(y, np.log(y)) if loss.traits.link == "log" else 0.0
    return loss(y, p + b) + penalty.value(w) - lowest


def best_intercept(p, y, loss, b):
    """By golden sections, from where it is."""
    low, high, ratio = b - 1.0, b + 1.0, (5**0.5 - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(y, p + left) < loss(y, p + right):
            high = right
        else:
            low = left
    return 0.5 * (low + high)


def report(title, everyone, lowest, a_pass, axis):
    """Print a case and draw it; return how many times as long the best peer takes to 1e-3 and to 1e-6."""
    print(f"\n{title} (a pass: {1e3 * a_pass:.2f} ms; F* = {lowest:.10g})")
    print(f"{'':36s}{'to 1e-3':>18s}{'to 1e-6':>18s}   closest")
    for one in everyone:
        cells = []
        for goal in (1e-3, 1e-6):
            best = one.best(lowest, goal)
            cells.append("never" if best is None else f"{1e3 * best:.0f} ms, {best / a_pass:.0f}")
        points = sorted((np.median(times), max((value - lowest) / abs(lowest), 1e-16))
                        for times, value in one.runs.values())
        print(f"    {one.name:32s}{cells[0]:>18s}{cells[1]:>18s}   {min(gap for _, gap in points):.1e}", flush=True)
        axis.plot(*zip(*points, strict=True), marker="o", label=one.name, linewidth=3 if one is everyone[0] else 1)
    axis.set(xscale="log", yscale="log", title=title, xlabel="seconds", ylabel="(F - F*) / F*")
    passes = axis.secondary_xaxis("top", functions=(lambda s: s / a_pass, lambda p: p * a_pass))
    passes.set_xlabel("passes")
    axis.legend(fontsize=7)
    ratios = []
    for goal in (1e-3, 1e-6):
        peers = [best for one in everyone[1:] if (best := one.best(lowest, goal)) is not None]
        mine = everyone[0].best(lowest, goal)
        ratios.append(np.inf if not peers else np.nan if mine is None else min(peers) / mine)
    return ratios


def main():
    parser = arguments(__doc__)
    parser.set_defaults(repeats=3)
    parser.add_argument("--tables", nargs="+", help="names of tables; all, if not given")
    parser.add_argument("--losses", nargs="+", help="losses; all, if not given")
    parser.add_argument("--penalties", nargs="+", help="penalties; all, if not given")
    parser.add_argument("--skip", nargs="+", default=[], help="parts of names of peers that are not to run")
    parser.add_argument("--picture", type=Path, default=RESULTS / "versus.png", help="where to draw")
    parser.add_argument("--alpha", type=float, default=1e-4)
    parser.add_argument("--patience", type=float, default=20.0, help="seconds after which one is not asked again")
    options = parser.parse_args()
    print(f"{versions()}; alpha = {options.alpha:g}, raw features; milliseconds, passes; medians of {options.repeats}")
    missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
    print(f"Not installed: {', '.join(missing) or 'none'}")
    cases = []
    for name, X, classes, numbers in tables(options.tables):
        for loss, penalty in SPARSE if sparse.issparse(X) else DENSE:
            y = classes if classifies(loss) else numbers
            if y is None and sparse.issparse(X):        # labels as numbers, as those who fit texts do
                y = 2.0 * classes - 1
            if y is not None and loss in (options.losses or [loss]) and penalty in (options.penalties or [penalty]):
                cases.append((f"{name} {X.shape[0]:,} x {X.shape[1]}: {loss}, {penalty}", X, y, (loss, penalty)))
    if not cases:
        return
    rows = -(-len(cases) // 3)
    figure, axes = plt.subplots(rows, 3, figsize=(15, 4 * rows), squeeze=False, layout="constrained")
    ratios = []
    with threadpool_limits(1), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for (title, *case), axis in zip(cases, axes.flat, strict=False):
            ratios.append(report(title, *measure(*case, options), axis))
        for axis in axes.flat[len(cases):]:
            axis.remove()
    for goal, column in zip(("1e-3", "1e-6"), zip(*ratios, strict=True), strict=True):
        finite = np.array([ratio for ratio in column if np.isfinite(ratio)])
        if len(finite):
            mean, never = np.exp(np.log(finite).mean()), np.isinf(column).sum()
            print(f"\nTo {goal}, the best peer takes {mean:.1f} times as long as ours (geometric mean; least "
                  f"{finite.min():.2f}; no peer gets there in {never} of {len(column)} cases)")
    options.picture.parent.mkdir(exist_ok=True)
    figure.savefig(options.picture, dpi=110)
    print(f"\nPicture: {options.picture}")


if __name__ == "__main__":
    main()

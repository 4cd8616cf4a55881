"""Time of an epoch of classic SGD, against scikit-learn in the same run, on one thread.

An epoch's time is the slope between fits of 5 and of 15 epochs; the fixed cost of a fit is what remains. Each round
measures every contender once, one after the other, and medians over the rounds count. A *pass* is one ``X @ w``.

Run ``python benchmarks/bench_epoch.py``; ``--help`` lists sizes. The table is printed, the picture saved in
``benchmarks/results``.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import sklearn.linear_model
from _common import RESULTS, arguments, dense_table, seconds, sparse_table, versions
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import sklosses

FEW, MANY = 5, 15
CASES = [("log_loss", "l2"), ("hinge", "l2"), ("huber", "l2"), ("log_loss", "l1"), ("log_loss", "elasticnet")]
# What is asked of us: (per-sample, mini-batch) times scikit-learn's speed; passes of a mini-batch epoch, and of the
# fixed cost.
DENSE_GOALS = (6.0, 12.0)
SPARSE_GOALS = {"l2": 1.3, "l1": 1.2, "elasticnet": 1.2}
PASSES_GOAL, FIXED_GOAL = 2.0, 4.0


@dataclass
class Contender:
    """An estimator under measurement."""

    name: str
    make: object            # max_iter -> estimator
    few: list
    many: list
    objective: float = np.nan

    @property
    def epoch(self):
        """Seconds of an epoch."""
        return (np.median(self.many) - np.median(self.few)) / (MANY - FEW)

    @property
    def fixed(self):
        """Seconds of a fit beyond its epochs."""
        return max(0.0, np.median(self.few) - FEW * self.epoch)


def contenders(loss, penalty, batch_sizes):
    """scikit-learn's estimator, and ours with each batch size."""
    name = "SGDRegressor" if loss == "huber" else "SGDClassifier"
    settings = {"loss": loss, "penalty": penalty, "alpha": 1e-4, "tol": None, "random_state": 0}

    def maker(module, **more):
        return lambda max_iter: getattr(module, name)(max_iter=max_iter, **settings, **more)

    ours = [Contender(f"sklosses, batch_size={size}", maker(sklosses, batch_size=size), [], []) for size in batch_sizes]
    return [Contender("scikit-learn", maker(sklearn.linear_model), [], []), *ours]


def objective(estimator, X, y, loss, penalty):
    """The objective at an estimator's coefficients, in NumPy, the same for everyone."""
    w = estimator.coef_.ravel().astype(np.float64)
    p = X @ w + float(estimator.intercept_[0])
    if loss == "huber":
        r = np.abs(p - y)
        values = np.where(r <= 0.1, r * r / 2, 0.1 * r - 0.005)
    else:
        values = np.logaddexp(0, -y * p) if loss == "log_loss" else np.maximum(0, 1 - y * p)
    ratio = {"l2": 0.0, "l1": 1.0, "elasticnet": 0.15}[penalty]
    return values.mean() + 1e-4 * (ratio * np.abs(w).sum() + (1 - ratio) / 2 * w @ w)


def measure(X, y, loss, penalty, options):
    """Contenders of a case, measured, and the median time of a pass."""
    field, passes = contenders(loss, penalty, options.batch_sizes), []
    w = np.ones(X.shape[1], dtype=X.dtype)
    for _ in range(options.repeats):
        passes.append(min(seconds(lambda: X @ w, options.clock) for _ in range(5)))
        for one in field:
            one.few.append(seconds(lambda one=one: one.make(FEW).fit(X, y), options.clock))
            estimator = one.make(MANY)
            one.many.append(seconds(lambda e=estimator: e.fit(X, y), options.clock))
            one.objective = objective(estimator, X, y, loss, penalty)
    return field, float(np.median(passes))


def report(title, X, targets, options):
    """Print the lines of one table; returns (label, ratio) pairs for the picture."""
    n, bars = X.shape[0], []
    print(f"\n{title}\n{'':31}{'ns/row':>8}{'ratio':>8}{'goal':>6}{'passes':>8}{'fixed, ms':>11}{'passes':>8}"
          f"{'objective':>12}")
    for loss, penalty in CASES:
        field, one_pass = measure(X, targets[loss == "huber"], loss, penalty, options)
        print(f"{loss}, {penalty} (a pass: {one_pass / n * 1e9:.1f} ns/row)")
        for one in field:
            ratio = field[0].epoch / one.epoch
            goal = "" if one is field[0] else goal_of(X, penalty, one.name)
            print(f"    {one.name:27}{one.epoch / n * 1e9:8.1f}{ratio:8.2f}{goal:>6}{one.epoch / one_pass:8.2f}"
                  f"{one.fixed * 1e3:11.1f}{one.fixed / one_pass:8.2f}{one.objective:12.6f}", flush=True)
            if one is not field[0]:
                bars.append((f"{title.split(':')[0]}, {loss}, {penalty}, {one.name.split(', ')[1]}", ratio))
    return bars


def goal_of(X, penalty, name):
    """The ratio asked for, as printed; nothing is asked of mini-batches of sparse rows."""
    single = name.endswith("=1")
    if sp.issparse(X):
        return f"{SPARSE_GOALS[penalty]:.1f}" if single else ""
    return f"{DENSE_GOALS[0 if single else 1]:.0f}"


def draw(bars, path):
    """Bars of ratios."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(9, 1.5 + 0.25 * len(bars)), layout="constrained")
    names, ratios = zip(*reversed(bars), strict=True)
    colors = ["tab:blue" if name.endswith("=1") else "tab:orange" for name in names]
    ax.barh(names, ratios, color=colors)
    ax.axvline(1, color="black", linewidth=1)
    ax.bar_label(ax.containers[0], fmt="%.1f", padding=3)
    ax.set_xlabel("times scikit-learn's speed, epoch for epoch")
    ax.set_xscale("log")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"\nPicture: {path}")


def main():
    parser = arguments(__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=500_000, help="rows of the dense table")
    parser.add_argument("--features", type=int, default=54)
    parser.add_argument("--tables", nargs="+", choices=["float64", "float32", "csr"],
                        default=["float64", "float32", "csr"])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 256])
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    bars = []
    with threadpool_limits(1):
        print(versions(), f"{options.clock} time, medians of {options.repeats}", sep="; ")
        for name in options.tables:
            if name == "csr":
                X, labels, y = sparse_table(20_000, 47_000, 76)
                title = f"CSR: {X.shape[0]:,} x {X.shape[1]:,}, {X.nnz / X.shape[0]:.0f} non-zeros a row, float64"
            else:
                X, labels, y = dense_table(options.rows, options.features)
                X = X.astype(name)
                title = f"dense {name}: {X.shape[0]:,} x {X.shape[1]}"
            bars += report(title, X, (labels, y), options)
    draw(bars, RESULTS / "epoch.png")


if __name__ == "__main__":
    main()

"""Multinomial regression and the multiclass hinge: the objective reached against time, beside scikit-learn's solvers.

All minimise the same objective, ``C = 1 / (n alpha)``; suboptimality is relative to the least objective seen, by ours
at ``tol=1e-8`` (1e-4 on large tables) among others, and recomputed in NumPy. scikit-learn's solvers are run for longer
and longer, up to the goal or until the next run would take more than ``--patience`` seconds; ours are stopped by a
callback after as many, and are not certified then. liblinear's Crammer-Singer penalises the intercept: both go without.

Tables: scikit-learn's digits, a synthetic one, and mnist, letter and covtype_93k (``*.npz`` with ``X`` or ``X_train``
and ``y`` or ``y_train``) from the directory that ``SKLOSSES_DATA`` names.
"""

import os
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from _common import CLOCKS, arguments, seconds, versions
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from sklosses import SGDClassifier
from sklosses.losses import get_loss

OWN = ("letter", "covtype_93k", "mnist")
GOAL = 1e-3
# Numbers in a table from which the last digits take minutes: they are left out.
LARGE = 1e7
# Numbers of iterations to try, and the most coefficients that a solver is asked for.
PEERS = {"lbfgs": ((30, 100, 300, 1000, 3000), np.inf), "newton-cg": ((3, 10, 30, 100), np.inf),
         "newton-cholesky": ((3, 10, 30), 2000)}
# Of liblinear's Crammer-Singer, which counts no iterations; with features that differ so much in size it takes minutes
# to the first of them, and is left out.
TOLERANCES = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-6)
UNEVEN = 1000
# A run takes about so many times as long as the one before.
LONGER = 3


def tables(wanted):
    """(name, X, y), features in [0, 1] or as they are."""
    makers = {"digits": partial(load_digits, return_X_y=True), "synthetic": synthetic}
    folder = os.environ.get("SKLOSSES_DATA")
    makers |= {name: partial(own, Path(folder) / name) for name in OWN if folder and (Path(folder) / name).is_dir()}
    for name, make in makers.items():
        if not wanted or name in wanted:
            X, y = make()
            yield name, X, np.unique(y, return_inverse=True)[1]


def synthetic():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100_000, 60))
    return X, (X @ rng.standard_normal((60, 8)) / 4 + rng.gumbel(size=(100_000, 8))).argmax(axis=1)


def own(folder):
    with np.load(next(folder.glob("*.npz")), allow_pickle=False) as file:
        X, y = (file[name if name in file.files else f"{name}_train"] for name in ("X", "y"))
    X = X.reshape(len(X), -1)
    return X / 255.0 if X.dtype == np.uint8 else X.astype(np.float64), y


def objective(model, X, y, loss, alpha):
    raw = X @ model.coef_.T + model.intercept_
    return loss(y, raw) + alpha / 2 * np.sum(model.coef_**2)


def peers(name, X, y, alpha, wanted):
    """Of each solver wanted, pairs of what is run and an estimator, each to run longer than the one before."""
    C, size = 1 / (alpha * len(y)), X.shape[1] * (y.max() + 1)
    if name == "crammer_singer":
        make = partial(LinearSVC, multi_class="crammer_singer", C=C, fit_intercept=False, random_state=0)
        sizes = np.abs(X).max(axis=0)
        if "liblinear" in wanted and sizes.max() <= UNEVEN * sizes[sizes > 0].min():
            yield [(f"liblinear, tol={tol:g}", make(tol=tol)) for tol in TOLERANCES]
        return
    for solver, (numbers, most) in PEERS.items():
        if size <= most and solver in wanted:
            make = partial(LogisticRegression, C=C, solver=solver, tol=1e-12)
            yield [(f"{solver}, {number} iterations", make(max_iter=number)) for number in numbers]


class Patience:
    """A callback of scikit-learn's that ends a fit after so many seconds."""

    def __init__(self, limit, clock):
        self.limit, self.now = limit, CLOCKS[clock]

    def setup(self, estimator, context):
        self._begin = self.now()

    def on_fit_task_begin(self, estimator, context, **kwargs):
        pass

    def on_fit_task_end(self, estimator, context, **kwargs):
        return self.now() - self._begin > self.limit

    def teardown(self, estimator, context):
        pass


def run(table, X, y, name, options):
    """Print what each reaches, and when."""
    loss, rows = get_loss(name), []

    def ours(tol):
        model = SGDClassifier(loss=name, alpha=options.alpha, fit_intercept=name == "multinomial", max_iter=2000,
                              tol=tol)
        return model.set_callbacks(Patience(options.patience, options.clock))

    def measure(label, model, repeats=1):
        spent = []
        while len(spent) < repeats and sum(spent) <= options.patience:
            spent.append(seconds(lambda: model.fit(X, y), options.clock))
        rows.append((label, np.median(spent), objective(model, X, y, loss, options.alpha),
                     getattr(model, "gap_", np.nan)))
        return rows[-1][1:3]

    measure("sklosses, tol=1e-3", ours(1e-3), options.repeats)
    fine = 1e-8 if X.size < LARGE else 1e-4
    _, best = measure(f"sklosses, tol={fine:g}", ours(fine))
    for runs in peers(name, X, y, options.alpha, options.peers):
        for label, model in runs:
            spent, value = measure(label, model)
            if spent * LONGER > options.patience or value <= best * (1 + GOAL):
                break
    lowest = min(value for _, _, value, _ in rows)
    n, d = X.shape
    print(f"\n{table} {n} x {d}, {y.max() + 1} classes, {name}, alpha={options.alpha:.3g}", flush=True)
    for label, spent, value, gap in rows:
        certified = f"  certified {gap:.1e}" if np.isfinite(gap) else ""
        print(f"  {label:32} {spent:9.3f} s   {value / lowest - 1:9.1e}{certified}", flush=True)


def main():
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="*", default=[], help="names; all there are if none is given")
    parser.add_argument("--losses", nargs="*", default=["multinomial", "crammer_singer"])
    parser.add_argument("--C", type=float, default=1.0, help="alpha is 1 / (n C)")
    parser.add_argument("--peers", nargs="*", default=[*PEERS, "liblinear"], help="solvers to run beside")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds that a solver gets")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(versions().replace(", one thread", ""))
    for table, X, y in tables(options.tables):
        options.alpha = 1 / (len(y) * options.C)
        for name in options.losses:
            run(table, X, y, name, options)


if __name__ == "__main__":
    main()

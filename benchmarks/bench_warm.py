"""Readings and time of a path of alphas: each fit alone against each from the coefficients of the one before.

::

    SKLOSSES_DATA=directory python benchmarks/bench_warm.py [--tol 1e-3] [--alphas 11]

prints a table: synthetic tables, scikit-learn's California housing where it is cached, and those of the directory,
``*.npz`` with ``X`` and ``y`` in a subdirectory each.
"""

import warnings

import numpy as np
from _common import CLOCKS, arguments, dense_table, own_tables, sparse_table, versions
from sklearn.datasets import fetch_california_housing
from threadpoolctl import threadpool_limits

from sklosses import SGDClassifier, SGDRegressor

WEAKEST, STRONGEST = 1e-6, 1e-1
CLASSIFIERS, REGRESSORS = ("log_loss", "squared_hinge", "hinge"), ("huber", "quantile", "squared_error")


def california():
    """Eight raw features and house prices: X, None, y."""
    X, y = fetch_california_housing(return_X_y=True, download_if_missing=False)
    return X, None, y


def tables():
    """Names, and functions that return X, classes or None, y or None."""
    return {"normal": lambda: dense_table(100_000, 40), "text-like": lambda: sparse_table(20_000, 30_000, 60),
            "california": california, **own_tables()}


def path(estimator, X, y, alphas, now):
    """Seconds by a clock and readings of the fits of a path, without the first; the largest gap."""
    seconds, readings, gap = 0.0, 0, 0.0
    for number, alpha in enumerate(alphas):
        began = now()
        estimator.set_params(alpha=alpha).fit(X, y)
        if number:
            seconds, readings = seconds + now() - began, readings + estimator.n_iter_
        gap = max(gap, float(np.max(estimator.gap_)))
    return seconds, readings, gap


def measure(make, X, y, options):
    """Medians of seconds, and readings, of cold and warm paths, interleaved; and the largest gap of the warm ones."""
    alphas, found = np.geomspace(STRONGEST, WEAKEST, options.alphas), {False: [], True: []}
    now = CLOCKS[options.clock]
    for _ in range(options.repeats):
        for warm, runs in found.items():
            runs.append(path(make(warm_start=warm, tol=options.tol, max_iter=1000), X, y, alphas, now))
    return {warm: np.median(runs, axis=0) for warm, runs in found.items()}


def main():
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--tol", type=float, default=1e-3)
    parser.add_argument("--alphas", type=int, default=11, help="from 1e-1 to 1e-6")
    parser.add_argument("--tables", nargs="*", help="names, of which these alone; default: all")
    options = parser.parse_args()
    print(versions())
    print(f"| table | loss | readings cold | warm | {options.clock} ms cold | warm | largest gap |",
          "|---|---|---|---|---|---|---|", sep="\n")
    warnings.simplefilter("ignore")
    for name, load in tables().items():
        if options.tables and name not in options.tables:
            continue
        try:
            X, classes, y = load()
        except OSError:
            print(f"{name}: skipped, scikit-learn has not downloaded it")
            continue
        kind, target = (SGDRegressor, y) if classes is None else (SGDClassifier, classes)
        for loss in REGRESSORS if classes is None else CLASSIFIERS:
            with threadpool_limits(1):
                runs = measure(lambda loss=loss, kind=kind, **given: kind(loss=loss, **given), X, target, options)
            (cold, before, _), (warm, after, gap) = runs[False], runs[True]
            print(f"| {name} | {loss} | {before:.0f} | {after:.0f} | {1e3 * cold:.0f} | {1e3 * warm:.0f} | {gap:.0e} |",
                  flush=True)


if __name__ == "__main__":
    main()

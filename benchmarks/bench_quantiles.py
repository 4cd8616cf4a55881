"""Nine quantiles: together against one by one, and without crossings against HiGHS.

    python benchmarks/bench_quantiles.py                    # both
    python benchmarks/bench_quantiles.py --clock wall       # the time that passes, of all threads together

Real tables are scikit-learn's diabetes and, from the folder named by the environment variable SKLOSSES_DATA,
california_housing and protein_casp (``X`` and ``y`` in an .npz file); those that are not there are skipped, and named.
HiGHS solves the whole linear programme, so it gets a random sample of the larger ones; on all rows the certificate
stands in for it.
"""

import os
import sys
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
from _common import arguments, seconds, versions
from scipy import sparse
from scipy.optimize import linprog
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning

from sklosses import SGDRegressor

QUANTILES = np.linspace(0.1, 0.9, 9)
SIZES = ((20_000, 8), (100_000, 10), (300_000, 20), (100_000, 100), (500_000, 54))
FASTER, WITHIN = 3.0, 0.01
FOR_HIGHS = 1500


def noisy(n_rows, n_features, seed=0):
    """A table with heavy tails and noise that grows along one feature."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    return X, X @ rng.normal(size=n_features) + (1 + 0.3 * np.abs(X[:, 0])) * rng.standard_t(4, size=n_rows)


def heavy(n_rows, n_features, seed=0):
    """Features of heavy tails and of all scales, and a target that has no variance."""
    rng = np.random.default_rng(seed)
    X = rng.standard_t(3, size=(n_rows, n_features))
    y = X @ rng.normal(size=n_features) + (1 + 0.2 * np.abs(X[:, 0])) * rng.standard_cauchy(n_rows)
    return X * 10.0 ** rng.integers(-2, 3, size=n_features), y


def tables():
    """(name, X, y) of all tables, made and real."""
    for shape in SIZES:
        yield "t noise", *noisy(*shape)
    yield "heavy tails", *heavy(100_000, 12)
    yield from real_tables()


def real_tables():
    """(name, X, y) of the tables at hand."""
    yield "diabetes", *load_diabetes(return_X_y=True)
    for name in ("california_housing", "protein_casp"):
        path = Path(os.environ.get("SKLOSSES_DATA", "."), name, f"{name}.npz")
        if not path.exists():
            print(f"{name}: skipped, SKLOSSES_DATA does not lead to it")
            continue
        with np.load(path, allow_pickle=False) as file:
            yield name, file["X"].astype(float), file["y"].astype(float)


def quantiles(X, y, quantile=QUANTILES, **settings):
    """A fitted regressor."""
    return SGDRegressor("quantile", quantile=quantile, random_state=0, **settings).fit(X, y)


def together(options):
    """Seconds of nine lone fits and of one; whether the ratio is as it should be, in the middle."""
    print(f"{'table':<22}{'rows':>8}{'columns':>9}{'one by one, s':>16}{'together, s':>14}{'ratio':>8}"
          f"{'largest gap':>24}")
    ratios = []
    for name, X, y in tables():
        alone, one, gaps = [], [], {}

        def lone(X=X, y=y, gaps=gaps):
            gaps["alone"] = max(quantiles(X, y, float(quantile)).gap_ for quantile in QUANTILES)

        def joint(X=X, y=y, gaps=gaps):
            gaps["together"] = quantiles(X, y).gap_.max()

        for _ in range(options.repeats):
            alone.append(seconds(lone, options.clock))
            one.append(seconds(joint, options.clock))
        ratios.append(median(alone) / median(one))
        print(f"{name:<22}{len(y):8}{X.shape[1]:9}{median(alone):16.3f}{median(one):14.3f}{ratios[-1]:8.2f}"
              f"{gaps['alone']:14.1e}{gaps['together']:10.1e}")
    return median(ratios) >= FASTER


def constrained_minimum(X, y):
    """The least mean pinball loss of quantiles that do not cross on any row, by HiGHS."""
    (n, d), K = X.shape, len(QUANTILES)
    scale = np.maximum(X.std(axis=0), 1e-300)       # the linear programme's own matter: raw features are hard for it
    A, each = np.column_stack([(X - X.mean(axis=0)) / scale, np.ones(n)]), sparse.eye_array(K)
    apart = sparse.diags_array([np.ones(K - 1), -np.ones(K - 1)], offsets=[0, 1], shape=(K - 1, K))
    fit = sparse.hstack([sparse.kron(each, A), sparse.eye_array(K * n), -sparse.eye_array(K * n)])
    order = sparse.hstack([sparse.kron(apart, A), sparse.csr_array(((K - 1) * n, 2 * K * n))])
    cost = np.concatenate([np.zeros(K * (d + 1)), np.repeat(QUANTILES, n), np.repeat(1 - QUANTILES, n)]) / (n * K)
    bounds = [(None, None)] * (K * (d + 1)) + [(0, None)] * (2 * K * n)
    result = linprog(cost, A_ub=order.tocsr(), b_ub=np.zeros((K - 1) * n), A_eq=fit.tocsr(), b_eq=np.tile(y, K),
                     bounds=bounds, method="highs")
    return result.fun


def timed(call, *given, **settings):
    """Wall-clock seconds, and the result."""
    began = time.perf_counter()
    out = call(*given, **settings)
    return time.perf_counter() - began, out


def in_order():
    """Crossings and losses on real tables; whether all is as it should be."""
    print(f"\n{'table':<22}{'rows':>8}{'crossed alone':>15}{'ours':>6}{'mean pinball':>14}{'s':>8}{'gap':>10}"
          f"{'HiGHS':>10}{'s':>8}{'ours above':>12}")
    fine = True
    for name, X, y in real_tables():
        sizes = [len(y)] if len(y) <= FOR_HIGHS else [FOR_HIGHS, len(y)]
        for size in sizes:
            chosen = np.sort(np.random.default_rng(0).permutation(len(y))[:size])
            rows, target = X[chosen], y[chosen]
            alone = quantiles(rows, target, penalty=None)
            taken, model = timed(quantiles, rows, target, penalty=None, non_crossing=True)
            crossed = [int(np.sum(np.any(np.diff(fit.predict(rows)) < 0, axis=1))) for fit in (alone, model)]
            value, gap = model.objective_.mean(), model.gap_.max()
            line = f"{name:<22}{size:8}{crossed[0]:15}{crossed[1]:6}{value:14.6g}{taken:8.2f}{gap:10.1e}"
            if size <= FOR_HIGHS:
                theirs, least = timed(constrained_minimum, rows, target)
                gap = value / least - 1
                line += f"{least:10.6g}{theirs:8.2f}{gap:12.1e}"
            print(line)
            fine &= crossed[1] == 0 and gap <= WITHIN
    return fine


def main(given=None):
    """Measure and print; the exit status says whether the targets are met."""
    options = arguments(__doc__.splitlines()[0]).parse_args(given)
    print(versions().removesuffix(", one thread"))
    warnings.simplefilter("ignore", ConvergenceWarning)
    faster, fine = together(options), in_order()
    print(f"\ntogether {FASTER:g} times as fast: {'yes' if faster else 'no'}; "
          f"in order and within {WITHIN:.0%}: {'yes' if fine else 'no'}")
    return int(not (faster and fine))


if __name__ == "__main__":
    sys.exit(main())

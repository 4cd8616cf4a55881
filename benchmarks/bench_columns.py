"""What a column of coefficients costs among others: in the block of a search, and by steps of SGD.

``--what block`` (the certified block): seconds of a column and a reading in a block of 90 columns (3 losses x 6 alphas
x 5 folds), beside a lone reading of our own (predictions, loss and gradient, in one go) and the same in NumPy:
``X @ w``, a sweep of the loss, ``X.T @ g``. ``--what steps``: seconds of a column and an epoch of classic SGD, alone, 6
and 18 together. All on one thread, interleaved, medians. Run ``python benchmarks/bench_columns.py``.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median

import numpy as np
from _common import arguments, dense_table, own_tables, seconds, sparse_table, versions
from scipy.sparse import issparse
from threadpoolctl import threadpool_limits

from sklosses.data import as_rows
from sklosses.losses import get_loss
from sklosses.penalties import ElasticNet
from sklosses.solvers import SGD, Problem, solve_by_steps
from sklosses.solvers._block_reading import Ask, BlockReading, Cell
from sklosses.solvers._patterns import patterns
from sklosses.solvers._reading import Reading

LOSSES, ALPHAS, FOLDS = ("hinge", "log_loss", "modified_huber"), np.logspace(-6, -1, 6), 5
WIDTH = 0.1         # in which kinks are smoothed


def coded(loss, y):
    """Targets -1 and 1 as a loss takes them."""
    return y if loss.target.codes == (-1.0, 1.0) else (y + 1) / 2


def lone(loss, X, y, w):
    """A reading in NumPy: the sum of the loss and its gradient."""
    p = X @ w
    return loss.value(y, p).sum(), X.T @ loss.gradient(y, p)


def block(X, y, options):
    """Print what a column costs in a block, and what it costs alone."""
    n, d = X.shape
    rng = np.random.default_rng(0)
    base = Problem(as_rows(X), y, ((get_loss("hinge"), 1),), ElasticNet(alpha=1e-4, l1_ratio=0.0))
    losses = [get_loss(name) for name in LOSSES]
    targets = [coded(loss, y) for loss in losses]
    part = np.arange(n) % FOLDS
    folds = patterns(n, [np.flatnonzero(part != fold) for fold in range(FOLDS)])
    w = rng.normal(size=d) / d
    asks = [Ask(Cell(loss, 0.0, alpha, mask, source), rng.normal(size=d + 1) / d, None if loss.traits.smooth else WIDTH)
            for source, loss in enumerate(losses) for alpha in ALPHAS for mask in folds.masks]
    with threadpool_limits(1), ThreadPoolExecutor(1) as pool:
        whole = BlockReading(base, np.stack(targets), folds.order, folds.ends, np.zeros(d), pool)
        readings = [Reading(replace(base, losses=((loss, 1),), targets=own))
                    for loss, own in zip(losses, targets, strict=True)]
        calls = {
            f"block of {len(asks)}": (lambda: whole.look(asks), len(asks)),
            "our lone reading": (lambda: [reading.look([0], w[np.newaxis], np.zeros(1)) for reading in readings], 3),
            "NumPy": (lambda: [lone(loss, X, own, w) for loss, own in zip(losses, targets, strict=True)], 3),
        }
        taken = interleaved(calls, options)
    ours = taken[f"block of {len(asks)}"]
    for name, cost in taken.items():
        print(f"  {name:<24}{1e3 * cost:9.3f} ms a column and reading{cost / ours:8.1f}x the block's")


def steps(X, y, options):
    """Print what a column costs an epoch of SGD, alone and among others."""
    rows, losses = as_rows(X), [get_loss(name) for name in LOSSES]
    targets = [coded(loss, y) for loss in losses]
    print("  ns a row and column:          alone       6 together      18 together")
    for batch_size in (1, 32):
        for l1_ratio in (0.0, 0.15):
            calls, epochs = {}, max(2, 100_000 // len(y))
            for count in (1, 6, 18):
                problems = [Problem(rows, targets[k % 3], ((losses[k % 3], 1),),
                                    ElasticNet(alpha=ALPHAS[k // 3], l1_ratio=l1_ratio)) for k in range(count)]
                solver = SGD("constant", eta0=1e-3, batch_size=batch_size)

                def solve(problems=problems, solver=solver, epochs=epochs):
                    solve_by_steps(problems, [solver] * len(problems), tol=None, max_iter=epochs, n_jobs=1)

                calls[str(count)] = solve, count * epochs * len(y)
            taken = [1e9 * value for value in interleaved(calls, options).values()]
            print(f"  batch {batch_size:<3} {'elastic net' if l1_ratio else 'l2':<12}",
                  *(f"{value:15.0f}" for value in taken))


def interleaved(calls, options):
    """Median seconds of calls, each divided by its number."""
    taken = {name: [] for name in calls}
    for repeat in range(options.repeats + 1):
        for name, (call, count) in calls.items():
            spent = seconds(call, options.clock) / count
            taken[name] += [spent] if repeat else []        # the first is to warm up
    return {name: median(values) for name, values in taken.items()}


def tables(options):
    """(name, X, y) with y in {-1, 1}."""
    makers = {"500,000 x 54": lambda: dense_table(500_000, 54), "60,000 x 500": lambda: dense_table(60_000, 500),
              "texts": lambda: sparse_table(20_000, 50_000, 75)} | own_tables()
    for name in options.tables:
        X, y, *_ = makers[name]()
        yield name, X, np.where(y > 0, 1.0, -1.0)


def main(given=None):
    """Run the comparison."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--what", nargs="+", choices=["block", "steps"], default=["block", "steps"])
    parser.add_argument("--tables", nargs="+", default=["500,000 x 54", "60,000 x 500", "texts"],
                        help="these, and the names of tables in the directory that SKLOSSES_DATA names")
    options = parser.parse_args(given)
    print(versions())
    for name, X, y in tables(options):
        for what in options.what:
            if what == "block" and issparse(X):
                continue        # wide and sparse tables are solved fit by fit
            print(f"\n{name}: {X.shape[0]} x {X.shape[1]}, {what}")
            (block if what == "block" else steps)(X, y, options)


if __name__ == "__main__":
    main()

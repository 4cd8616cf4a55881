"""A search over losses, alphas and folds: ours, scikit-learn's over our estimator, and scikit-learn's over its own.

3 losses, or those of ``--losses``, x 6 alphas x 5 folds with default settings, scored by accuracy. Contenders run in
turns, each with ``--jobs`` threads or processes; medians of wall-clock seconds. Afterwards, outside the clock, each
runs once more, and the objective of every fit is computed in NumPy on its training rows, for everyone by the same
formula. At last, each in a process of its own: the memory that our search needs beside the table (Linux), and how
soon Ctrl-C ends it, at moments spread over its course.

Run ``python benchmarks/bench_search.py``; ``--help`` lists sizes. ``--tables`` takes ``synthetic``, ``texts`` and the
names of tables in the directory that ``SKLOSSES_DATA`` names (see versus.py).
"""

import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
import sklearn.linear_model
import sklearn.model_selection
from _common import arguments, dense_table, own_tables, peak, seconds, settled, sparse_table, versions
from sklearn.exceptions import ConvergenceWarning

import sklosses
import sklosses.model_selection
from sklosses.losses import get_loss

LOSSES = ["hinge", "log_loss", "modified_huber"]
CONTENDERS = {
    "sklosses": (sklosses.model_selection.GridSearchCV, sklosses.SGDClassifier),
    "scikit-learn's search, our estimator": (sklearn.model_selection.GridSearchCV, sklosses.SGDClassifier),
    "scikit-learn": (sklearn.model_selection.GridSearchCV, sklearn.linear_model.SGDClassifier),
}


def objective(model, X, y):
    """F of a fitted model on rows with labels 0 and 1: the mean loss and the l2 penalty."""
    loss = get_loss(model.loss)
    low, high = loss.target.codes
    value = np.mean(loss.value(low + (high - low) * y, model.decision_function(X)))
    return value + model.alpha / 2 * np.sum(model.coef_**2)


def searched(name, X, y, options, **settings):
    """A contender's fitted search."""
    search, estimator = CONTENDERS[name]
    grid = {"loss": options.losses, "alpha": np.logspace(*options.alphas, options.n_alphas)}
    model = search(estimator(random_state=0), grid, cv=options.folds, n_jobs=options.jobs, refit=False, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def compare(X, y, options):
    """Seconds and objectives of each contender, printed."""
    times = {name: [] for name in CONTENDERS if name not in options.skip}
    accuracies = {}
    for repeat in range(options.repeats + 1):
        for name, taken in times.items():
            if repeat or name == "sklosses":     # the first is to warm up
                spent = seconds(lambda name=name: accuracies.update({name: searched(name, X, y, options)}), "wall")
                taken += [spent] if repeat else []
    values = {name: objectives(name, X, y, options) for name in times}
    for name, taken in times.items():
        worst = np.max(values[name] / np.minimum.reduce(list(values.values()))) - 1
        best = accuracies[name].cv_results_["mean_test_score"].max()
        print(f"{name:<38}{median(taken):10.3f} s ({min(taken):.3f} to {max(taken):.3f})"
              f"{median(taken) / median(times['sklosses']):9.1f}x  worst fit {worst:8.1e} above the best objective, "
              f"best accuracy {best:.4f}")
    ours = values["sklosses"]
    for name in (name for name in times if name != "sklosses"):
        better = np.sum(ours <= values[name] * (1 + 1e-3))
        print(f"  ours is better or within 0.1 % of {name} in {better} of {ours.size} fits")


def objectives(name, X, y, options):
    """Objectives of a contender's fits on their training rows: of shape (folds, candidates)."""
    results = searched(name, X, y, options, scoring=objective, return_train_score=True).cv_results_
    return np.stack([results[f"split{fold}_train_score"] for fold in range(options.folds)])


def in_a_process(what, name, given):
    """What a child of ours, with the same arguments, finds for one table."""
    command = [sys.executable, __file__, *given, "--tables", name, "--child", what]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    print(f"  {output.strip()}")


def memory(X, y, options):
    """Print the growth of the peak of memory during a search."""
    warm_up(X, y, options)
    before = settled()
    searched("sklosses", X, y, options)
    size = X.nbytes if isinstance(X, np.ndarray) else X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    print(f"memory beside X: {(peak() - before) / 2**20:.0f} MB, {100 * (peak() - before) / size:.0f} % of X")


def interrupt(X, y, options):
    """Print how long a search takes to end after Ctrl-C, and what it leaves."""
    warm_up(X, y, options)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    whole = seconds(lambda: searched("sklosses", X, y, options), "wall")
    delays, left = [], set()
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        search, sent = ours(options), []
        timer = threading.Timer(share * whole, lambda sent=sent: (sent.append(time.perf_counter()),
                                                                  signal.raise_signal(signal.SIGINT)))
        before = set(vars(search))
        timer.start()
        try:
            search.fit(X, y)
        except KeyboardInterrupt:
            delays.append(time.perf_counter() - sent[0])
            left |= set(vars(search)) - before
        finally:
            timer.cancel()
    print(f"Ctrl-C {len(delays)} times: ended within {max(delays, default=np.nan):.3f} s, "
          f"leaves {sorted(left) or 'nothing'}")


def ours(options):
    """Our search, not fitted."""
    grid = {"loss": options.losses, "alpha": np.logspace(*options.alphas, options.n_alphas)}
    search, estimator = CONTENDERS["sklosses"]
    return search(estimator(random_state=0), grid, cv=options.folds, n_jobs=options.jobs, refit=False)


def warm_up(X, y, options):
    """Import and load what a search needs."""
    rows = np.random.default_rng(0).choice(len(y), min(len(y), 5000), replace=False)
    searched("sklosses", X[rows], y[rows], options)


def tables(options):
    """(name, X, y) with y in {0, 1}."""
    makers = {
        "synthetic": lambda: dense_table(options.rows, options.features),
        "texts": lambda: sparse_table(20_000, 50_000, 75),
    } | own_tables()
    for name in options.tables:
        X, y, *_ = makers[name]()
        yield name, X, (y > 0).astype(int)


def main(given=None):
    """Run the comparison."""
    parser = arguments(__doc__.splitlines()[0])
    parser.set_defaults(repeats=1)
    parser.add_argument("--tables", nargs="+", default=["synthetic"])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--features", type=int, default=54)
    parser.add_argument("--losses", nargs="+", default=LOSSES)
    parser.add_argument("--alphas", type=float, nargs=2, default=(-6, -1), help="exponents of the first and the last")
    parser.add_argument("--n-alphas", type=int, default=6)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--skip", nargs="*", default=[], help="contenders to leave out")
    parser.add_argument("--child", choices=["memory", "interrupt"], help="what a process of its own is to find")
    given = sys.argv[1:] if given is None else given
    options = parser.parse_args(given)
    if options.child:
        (_, X, y), = tables(options)
        (memory if options.child == "memory" else interrupt)(X, y, options)
        return
    print(versions().replace("one thread", f"n_jobs={options.jobs}"))
    for name, X, y in tables(options):
        print(f"\n{name}: {X.shape[0]} x {X.shape[1]}, {len(options.losses) * options.n_alphas * options.folds} fits")
        compare(X, y, options)
        for what in ("memory", "interrupt"):
            if what != "memory" or Path("/proc/self/clear_refs").exists():
                in_a_process(what, name, given)


if __name__ == "__main__":
    main()

"""A search over losses, alphas and folds: ours, scikit-learn's over our estimator, and scikit-learn's over its own.

3 losses x 6 alphas x 5 folds with default settings, scored by accuracy. Contenders run in turns, each with ``--jobs``
threads or processes; medians of wall-clock seconds. Afterwards, outside the clock, each runs once more, and the
objective of every fit is computed in NumPy on its training rows, for everyone by the same formula.

Run ``python benchmarks/bench_search.py``; ``--help`` lists sizes. ``--tables`` takes ``synthetic``, ``texts`` and the
names of tables in the directory that ``SKLOSSES_DATA`` names (see versus.py).
"""

import warnings
from statistics import median

import numpy as np
import sklearn.linear_model
import sklearn.model_selection
from _common import arguments, dense_table, own_tables, seconds, sparse_table, versions
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
    grid = {"loss": LOSSES, "alpha": np.logspace(*options.alphas, options.n_alphas)}
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
    parser.add_argument("--alphas", type=float, nargs=2, default=(-6, -1), help="exponents of the first and the last")
    parser.add_argument("--n-alphas", type=int, default=6)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--skip", nargs="*", default=[], help="contenders to leave out")
    options = parser.parse_args(given)
    print(versions().replace("one thread", f"n_jobs={options.jobs}"))
    for name, X, y in tables(options):
        print(f"\n{name}: {X.shape[0]} x {X.shape[1]}, {len(LOSSES) * options.n_alphas * options.folds} fits")
        compare(X, y, options)


if __name__ == "__main__":
    main()

"""Search over losses, penalties and their strength on a real table, with scikit-learn's SGD beside ours.

The default table is the sample of UCI Adult in ``examples/data``, so nothing is downloaded::

    python examples/leaderboard.py
    python examples/leaderboard.py --dataset credit-g          # any OpenML table by name
    python examples/leaderboard.py --dataset diamonds          # a number to predict: regression losses

Both libraries get the same pipeline, the same folds, the same grid, one core and their default settings: ours its own
search, in which all candidates of a fold train together; scikit-learn's SGD scikit-learn's search, with the transforms
of every fold cached. Ours goes on with losses that scikit-learn's SGD has not. The leaderboard is printed, the picture
goes to ``results/``.
"""

import argparse
import importlib.util
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import sklearn.linear_model
import sklearn.model_selection
from picture import draw
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tables import embedded_table, openml_table

import sklosses
import sklosses.model_selection

LOSSES = {  # task: (what both libraries have, what only ours has)
    "classification": (["hinge", "log_loss", "modified_huber"], ["smoothed_hinge", "focal"]),
    "regression": (["squared_error", "huber", "epsilon_insensitive"], ["log_cosh", "absolute_error"]),
}
PENALTIES = ["l2", "l1", "elasticnet"]
ALPHAS = np.logspace(-5, -1, 5)
SCORING = {"classification": "accuracy", "regression": "r2"}
PICTURE = Path("results/leaderboard.png")
MODELS = {"classification": "SGDClassifier", "regression": "SGDRegressor"}


@dataclass(frozen=True)
class Outcome:
    """One library's search: a row a candidate, what it took, and the winner on rows it never saw."""

    library: str
    candidates: pd.DataFrame
    wall_seconds: float
    fits: int
    not_converged: int
    failed: int
    best: dict
    test_score: float


def preprocessor():
    """Impute and scale numbers; impute and one-hot encode everything else."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categories = make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10, max_categories=50),
    )
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_exclude="number")),
        sparse_threshold=0,  # dense: on CSR the two would stop at different places, see the README on stopping rules
    )


def search(cls, estimator, losses, table, split, folds, cache):
    """Run a grid search of class ``cls`` and boil it down to an :class:`Outcome`."""
    X_train, X_test, y_train, y_test = split
    steps = Pipeline([("columns", preprocessor()), ("model", estimator)], memory=cache)
    grid = {"loss": losses, "penalty": PENALTIES, "alpha": ALPHAS}
    searched = cls(
        steps,
        {f"model__{name}": values for name, values in grid.items()},
        scoring=SCORING[table.task],
        refit=False,
        cv=folds,
        n_jobs=1,
    )
    if importlib.util.find_spec("rich"):
        searched.set_callbacks(ProgressBar(max_propagation_depth=0))
    start = perf_counter()
    not_converged = count_not_converged(lambda: searched.fit(X_train, y_train))
    wall = perf_counter() - start
    results = searched.cv_results_
    candidates = pd.DataFrame({name: results[f"param_model__{name}"] for name in grid})
    candidates["score"], candidates["spread"] = results["mean_test_score"], results["std_test_score"]
    candidates["seconds"] = results["mean_fit_time"]
    scores = np.stack([results[f"split{k}_test_score"] for k in range(searched.n_splits_)])
    best = clone(steps).set_params(**searched.best_params_).fit(X_train, y_train)
    return Outcome(
        cls.__module__.partition(".")[0].replace("sklearn", "scikit-learn"),
        candidates,
        wall,
        scores.size,
        not_converged,
        int(np.isnan(scores).sum()),
        candidates.loc[searched.best_index_].to_dict(),
        searched.scorer_(best, X_test, y_test),
    )


def count_not_converged(fit):
    """Call ``fit``; return how many fits warned that they did not converge, and pass on all other warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        fit()
    others = [warning for warning in caught if not issubclass(warning.category, ConvergenceWarning)]
    for warning in others:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return len(caught) - len(others)


def leaderboard(ours, theirs, scoring, rows):
    """Return the best candidates as text, the two libraries side by side."""
    keys = ["loss", "penalty", "alpha"]
    both = ours.candidates.merge(theirs.candidates, on=keys, how="left", suffixes=("", "_theirs"))
    both["top"] = both[["score", "score_theirs"]].max(axis=1)
    both = both.sort_values("top", ascending=False).head(rows)
    head = f"{scoring:>8}    ±sd   ms/fit"
    lines = [
        f"{'':41}  {ours.library:^24}  {theirs.library:^24}",
        f"{'':3}  {'loss':<20}{'penalty':<11}{'alpha':>5}  {head}  {head}",
    ]
    for rank, row in enumerate(both.itertuples(), start=1):
        left = f"{row.score:8.4f} ±{row.spread:6.4f} {1e3 * row.seconds:7.2f}"
        right = f"{row.score_theirs:8.4f} ±{row.spread_theirs:6.4f} {1e3 * row.seconds_theirs:7.2f}"
        if row.loss not in set(theirs.candidates["loss"]):
            right = f"{'not available':^24}"
        lines.append(f"{rank:3}  {row.loss:<20}{row.penalty:<11}{row.alpha:5.0e}  {left}  {right}")
    return "\n".join(lines)


def totals(ours, theirs, scoring):
    """Return what each search took and gave, and the time of the part both have."""
    shared = ours.candidates["loss"].isin(theirs.candidates["loss"])
    lines = []
    for outcome in (ours, theirs):
        best = outcome.best
        lines += [
            f"{outcome.library}: {outcome.fits} fits, {outcome.wall_seconds:.1f} s in all, preprocessing and scoring "
            f"included; {outcome.not_converged} did not converge, {outcome.failed} failed",
            f"    best {best['loss']}, {best['penalty']}, alpha={best['alpha']:.0e}: {scoring} {best['score']:.4f} "
            f"in cross-validation, {outcome.test_score:.4f} on the rows held out",
        ]
    here, there = (folds_seconds(outcome, losses) for outcome, losses in ((ours, shared), (theirs, slice(None))))
    lines.append(
        f"Same grid, seconds of all fits, preprocessing included: {here:.2f} for {ours.library}, {there:.2f} for "
        f"{theirs.library} (ratio {there / here:.1f})"
    )
    return "\n".join(lines)


def folds_seconds(outcome, chosen):
    """Seconds of the fits of chosen candidates on all folds."""
    return outcome.candidates.loc[chosen, "seconds"].sum() * outcome.fits / len(outcome.candidates)


def compare(table, out, n_folds=5, rows=15):
    """Search with both libraries, print the leaderboard, save the picture; return both outcomes."""
    classes = table.y if table.task == "classification" else None
    split = train_test_split(table.X, table.y, test_size=0.25, stratify=classes, random_state=0)
    folds = (StratifiedKFold if classes is not None else KFold)(n_folds, shuffle=True, random_state=0)
    if classes is None:  # epsilons, and the step sizes of scikit-learn's SGD, are for targets of unit scale
        mean, spread = split[2].mean(), split[2].std()
        split[2:] = [(y - mean) / spread for y in split[2:]]
    shared, more = LOSSES[table.task]
    name = MODELS[table.task]
    print(table)
    with tempfile.TemporaryDirectory() as cache:
        # Ours goes first, so the time to fill the cache of transformed folds is on our account.
        model = getattr(sklosses, name)(random_state=0)
        ours = search(sklosses.model_selection.GridSearchCV, model, shared + more, table, split, folds, cache)
        model = getattr(sklearn.linear_model, name)(random_state=0)
        theirs = search(sklearn.model_selection.GridSearchCV, model, shared, table, split, folds, cache)
    print("\n" + leaderboard(ours, theirs, SCORING[table.task], rows))
    print("\n" + totals(ours, theirs, SCORING[table.task]))
    draw(ours, theirs, table, SCORING[table.task], out)
    print(f"\nPicture: {out}")
    return ours, theirs


def main(arguments=None):
    """Read the command line and run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", metavar="NAME", help="an OpenML table by name (default: the embedded sample)")
    parser.add_argument("--version", type=int, help="its version on OpenML (default: the oldest active one)")
    parser.add_argument("--data-home", help="scikit-learn's download cache (default: scikit-learn's own)")
    parser.add_argument("--max-rows", type=int, default=20_000, help="sample larger tables (default: %(default)s)")
    parser.add_argument("--folds", type=int, default=5, help="folds of the cross-validation (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=15, help="lines of the leaderboard (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=PICTURE, help="where the picture goes (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.dataset is None:
        table = embedded_table()
    else:
        table = openml_table(options.dataset, options.version or "active", options.max_rows, options.data_home)
    compare(table, options.out, options.folds, options.rows)


if __name__ == "__main__":
    main()

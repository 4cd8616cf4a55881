"""The scores of a search, whoever made it, as one table."""

from numbers import Real

import numpy as np


class ScoreTable:
    """What a search found.

    Attributes
    ----------
    params : list of dict
        Of each candidate.
    test, train : ndarray of shape (n_candidates, n_splits)
        Scores, of the splits in which any candidate has one; `train` may be None.
    best : int or None
        Number of the candidate that the search chose.
    score_name : str or None
    """

    def __init__(self, params, test, train, best, score_name):
        scored = np.any(np.isfinite(test), axis=0)
        self.params, self.best, self.score_name = params, best, score_name
        self.test, self.train = test[:, scored], None if train is None else train[:, scored]

    def values(self, name):
        """Different values of a parameter, in the order of the candidates."""
        found = []
        for params in self.params:
            if name in params and not any(_same(params[name], other) for other in found):
                found.append(params[name])
        return found

    def names(self):
        """Parameters that differ, in the order of the candidates."""
        every = dict.fromkeys(name for params in self.params for name in params)
        n = len(self.params)
        return [name for name in every
                if len(self.values(name)) > 1 or sum(name in params for params in self.params) < n]

    def find(self, name, names, what):
        """The full name of a parameter that was given by its last part."""
        ends = [full for full in names if full == name] or [full for full in names if full.endswith(f"__{name}")]
        if len(ends) != 1:
            raise ValueError(f"{what}={name!r} must name one of the parameters {', '.join(map(repr, names))}.")
        return ends[0]


def of_search(search, metric):
    """The table of a search."""
    results = getattr(search, "cv_results_", None)
    if results is None:
        raise ValueError(f"search must have cv_results_ or be a CV estimator of this package; got {search!r}.")
    metrics = [key.removeprefix("mean_test_") for key in results if key.startswith("mean_test_")]
    chosen = metric
    if metric is None:
        refit = getattr(search, "refit", None)
        chosen = "score" if "score" in metrics else refit if isinstance(refit, str) else metrics[0]
    if chosen not in metrics:
        raise ValueError(f"metric={metric!r} must be one of {', '.join(map(repr, metrics))}.")
    test = _splits(results, "test", chosen)
    means = test.mean(axis=1)
    best = int(np.nanargmax(means)) if np.any(np.isfinite(means)) else None
    if metric is None and hasattr(search, "best_index_"):
        best = int(search.best_index_)
    known = f"split0_train_{chosen}" in results
    name = _name_of(search.scoring) if chosen == "score" else chosen
    return ScoreTable(list(results["params"]), test, _splits(results, "train", chosen) if known else None, best, name)


def _splits(results, which, metric):
    """Scores of shape (n_candidates, n_splits)."""
    columns, number = [], 0
    while f"split{number}_{which}_{metric}" in results:
        columns.append(np.asarray(results[f"split{number}_{which}_{metric}"], dtype=np.float64))
        number += 1
    return np.column_stack(columns)


def of_path(model):
    """The table of a CV estimator."""
    alphas = np.atleast_2d(model.alphas_)
    cells = [(place, number) for place in range(len(model.l1_ratios_)) for number in range(alphas.shape[1])]
    ratios = model.l1_ratios_
    params = [{"l1_ratio": float(ratios[i]), "alpha": float(alphas[i if len(alphas) > 1 else 0, j])} for i, j in cells]
    test = np.array([model.scores_[:, i, j] for i, j in cells])
    chosen = [number for number, param in enumerate(params)
              if param["alpha"] == model.alpha_ and param["l1_ratio"] == model.l1_ratio_]
    return ScoreTable(params, test, None, chosen[0] if chosen else None, _name_of(model.scoring))


def _name_of(scoring):
    """What `_validate_score_name` makes a name of."""
    if isinstance(scoring, str):
        return scoring
    function = getattr(scoring, "_score_func", scoring)
    return getattr(function, "__name__", None)


def is_number(value):
    return isinstance(value, Real | np.number) and not isinstance(value, bool | np.bool_) and np.isfinite(value)


def _same(one, other):
    if one is other:
        return True
    try:
        return type(one) is type(other) and bool(np.all(one == other))
    except ValueError:  # arrays of shapes that do not fit
        return False

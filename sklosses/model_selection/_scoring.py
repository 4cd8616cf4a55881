"""Scores of many models on the same rows: predictions by one matrix product, scorers of any kind."""

from contextlib import suppress
from functools import cached_property
from time import perf_counter

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.metrics import (
    accuracy_score,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    root_mean_squared_error,
)
from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer, _PassthroughScorer, _Scorer
from sklearn.model_selection._validation import _score
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.validation import _check_y

from sklosses.linear_model._labels import encode, first_highest
from sklosses.solvers._reading import one_blas_thread

# Rows are read in pieces of this many bytes, so that predictions are counted while they are in the cache.
PIECE_BYTES = 1 << 20

# What `Hits` and `Residuals` know, by the function and the sign that a scorer of scikit-learn's has.
_OF_LABELS = {(accuracy_score, 1): "accuracy"}
_OF_NUMBERS = {
    (r2_score, 1): "r2",
    (mean_squared_error, -1): "neg_mean_squared_error",
    (root_mean_squared_error, -1): "neg_root_mean_squared_error",
    (mean_absolute_error, -1): "neg_mean_absolute_error",
}


class Part:
    """The rows of one split that models are scored on.

    Parameters
    ----------
    task : Task
        Any task of the split.
    which : {"train", "test"}
    table : {ndarray, csr matrix} or None, default=None
        What the last steps predict from, checked; None: unknown.
    rows : ndarray or None, default=None
        Numbers of the part's rows in `table`; None: all, in their order.
    transformed : table or None, default=None
        What the last step of a pipeline gets of the part's rows, as the transforms left it.
    """

    def __init__(self, task, which, table=None, rows=None, transformed=None):
        self._task, self._which = task, which
        self.table, self.rows, self.transformed = table, rows, transformed
        self.params = task.params("score", which)

    @cached_property
    def y(self):
        """Targets, as the caller gave them."""
        return _safe_indexing(self._task.y, self._task.settings[self._which])

    @cached_property
    def X(self):
        """Rows, as the caller gave them."""
        return self._task.rows(self._which)[0]

    @property
    def n_rows(self):
        """Number of rows."""
        return len(self.y) if self.rows is None else len(self.rows)

    def pieces(self):
        """The rows of `table`, a few at a time: slices and matrices."""
        table, rows = self.table, self.rows
        bytes_a_row = max(1, (table.data.nbytes if issparse(table) else table.nbytes) // max(1, table.shape[0]))
        size = max(64, PIECE_BYTES // bytes_a_row)
        neighbours = rows is None or (len(rows) > 0 and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))))
        first = 0 if rows is None else rows[0] if neighbours else None
        for begin in range(0, self.n_rows, size):
            piece = slice(begin, min(begin + size, self.n_rows))
            if neighbours:
                yield piece, table[first + piece.start:first + piece.stop]
            else:
                # Faster, but of a table stored by columns `take` would copy all.
                by_rows = not issparse(table) and table.flags.c_contiguous
                yield piece, np.take(table, rows[piece], axis=0) if by_rows else table[rows[piece]]


class Hits:
    """Share of the rows whose label is predicted.

    Parameters
    ----------
    models : list of SGDClassifier
        Fitted, with the same classes.
    y : array-like of shape (n_rows,)
        Labels; those that no model knows are never predicted.
    weights : ndarray of shape (n_rows,) or None
    """

    def __init__(self, models, y, weights):
        self._codes, self._weights = _codes(y, models[0].classes_).astype(np.int8 if _few(models) else np.intp), weights
        self._hits, self._n_columns = np.zeros(len(models)), len(models[0].coef_)
        self._total = len(self._codes) if weights is None else weights.sum()

    def add(self, piece, raw):
        """Count the rows of a piece, given raw predictions of shape (columns of all models, rows)."""
        if self._n_columns == 1:
            predicted = (raw > 0).view(np.int8)
        else:
            predicted = first_highest(raw.reshape(len(self._hits), self._n_columns, -1), axis=1)
        right = predicted == self._codes[piece]
        self._hits += np.count_nonzero(right, axis=1) if self._weights is None else right @ self._weights[piece]

    def value(self, number, metric):
        """Accuracy of a model."""
        return float(self._hits[number] / self._total)


class Residuals:
    """Sums of squared and absolute residuals.

    Parameters
    ----------
    models : list of SGDRegressor
    y : ndarray of shape (n_rows,)
    weights : ndarray of shape (n_rows,) or None
    """

    def __init__(self, models, y, weights):
        self._losses, self._y, self._weights = [model._fitted_loss() for model in models], y, weights
        self._squares, self._sizes = np.zeros(len(models)), np.zeros(len(models))
        self._total = len(y) if weights is None else weights.sum()
        deviations = y - np.average(y, weights=weights)
        self._spread = np.sum(deviations**2 if weights is None else weights * deviations**2)

    def add(self, piece, raw):
        """Add the residuals of a piece, given raw predictions of shape (models, rows)."""
        weights = None if self._weights is None else self._weights[piece]
        for number, loss in enumerate(self._losses):
            with np.errstate(over="ignore", invalid="ignore"):
                predicted = raw[number] if loss.traits.link == "identity" else loss.inverse_link(raw[number])
                residuals = np.abs(self._y[piece] - predicted)
                weighted = residuals if weights is None else residuals * weights
                self._squares[number] += residuals @ weighted
                self._sizes[number] += weighted.sum()

    def value(self, number, metric):
        """One of the regression metrics of a model; None if it is not finite: scikit-learn says what is wrong then."""
        squares, sizes = self._squares[number], self._sizes[number]
        if not np.isfinite(squares):
            return None
        if metric == "r2":
            return float(1 - squares / self._spread if self._spread else squares == 0)
        if metric == "neg_mean_absolute_error":
            return -float(sizes / self._total)
        mean = float(squares / self._total)
        return -mean if metric == "neg_mean_squared_error" else -float(np.sqrt(mean))


def score_all(fitted, part, scorer, error_score):
    """Score models on a part.

    Parameters
    ----------
    fitted : list of (estimator, estimator)
        What the caller's scorers get, and its last step.
    part : Part
    scorer : callable
        A search's, multimetric or not.
    error_score : "raise" or number
        As of a search.

    Returns
    -------
    scores : list of (float or dict)
        As scikit-learn's `_score` returns them.
    seconds : list of float
        The time of what was computed for a model alone, and an equal share of what was computed for all.
    """
    start = perf_counter()
    several = isinstance(scorer, _MultimetricScorer)
    scorers = scorer._scorers if several else {"": scorer}
    known = [_known_metrics(scorers, pair, part, several) for pair in fitted]
    try:
        values = _at_once([pair[1] for pair in fitted], known, part)
    except Exception:  # the scorers will meet it, model by model, and scikit-learn knows what to do then
        values = [{} for _ in fitted]
    share = (perf_counter() - start) / max(1, len(fitted))
    scores, seconds = [], []
    for pair, value in zip(fitted, values, strict=True):
        start = perf_counter()
        if several:
            scorer._use_cache(pair[0])      # raises, where scikit-learn does, if a method is missing
        others = {name: each for name, each in scorers.items() if name not in value}
        if others:
            rest = _MultimetricScorer(scorers=others, raise_exc=scorer._raise_exc) if several else scorer
            computed = _by_scorer(pair, part, rest, others, error_score)
            value = {**value, **computed} if several else {"": computed}
        scores.append({name: value[name] for name in scorers} if several else value[""])
        seconds.append(share + perf_counter() - start)
    return scores, seconds


def _by_scorer(pair, part, scorer, scorers, error_score):
    """Scores as scikit-learn computes them."""
    whole, final = pair
    # These call nothing but methods that a pipeline hands on to its last step.
    from_table = all(isinstance(each, _BaseScorer) or _passes_through(each, part) for each in scorers.values())
    if part.transformed is not None and from_table:
        of_table = error_score if isinstance(scorer, _MultimetricScorer) else "raise"
        with suppress(Exception):       # the pipeline itself is to say what is wrong
            return _score(final, part.transformed, part.y, scorer, part.params, of_table)
    return _score(whole, part.X, part.y, scorer, part.params, error_score)


def _passes_through(scorer, part):
    return isinstance(scorer, _PassthroughScorer) and not (part.params and _routing_enabled())


def _known_metrics(scorers, pair, part, several):
    """Names of the scorers that are metrics of `Hits` or `Residuals`, and of which."""
    plain = not part.params if several else set(part.params) <= {"sample_weight"}
    if part.table is None or not plain:
        return {}
    whole, final = pair
    found = {name: _metric(scorer, final) for name, scorer in scorers.items()}
    if whole is not final and part.params and _routing_enabled():
        found = {name: None if isinstance(scorers[name], _PassthroughScorer) else found[name] for name in found}
    return {name: metric for name, metric in found.items() if metric is not None}


def _metric(scorer, final):
    """The name of a scorer that does what scikit-learn's scorer of that name does, or None."""
    classifier = is_classifier(final)
    one_column = not classifier or len(final.classes_) == 2
    # One quantile in a list is scored as a set.
    several = not classifier and final.coef_.ndim > 1
    if several or len(final.intercept_) != (1 if one_column else len(final.classes_)):
        return None
    if isinstance(scorer, _PassthroughScorer):
        return "accuracy" if classifier else "r2" if final._fitted_loss().traits.link != "log" else None
    if type(scorer) is not _Scorer or scorer._kwargs or scorer._response_method != "predict":
        return None
    return (_OF_LABELS if classifier else _OF_NUMBERS).get((scorer._score_func, scorer._sign))


def _at_once(models, known, part):
    """Values of the metrics that are known for each model, by name."""
    chosen = [number for number, names in enumerate(known) if names]
    tally = _tally([models[number] for number in chosen], part) if chosen else None
    values = [{} for _ in models]
    if tally is None:
        return values
    coef = np.concatenate([np.atleast_2d(models[number].coef_) for number in chosen])
    by_feature = np.ascontiguousarray(coef.T)
    intercept = np.concatenate([models[number].intercept_ for number in chosen])[:, np.newaxis]
    with one_blas_thread():
        for piece, rows in part.pieces():
            raw = np.ascontiguousarray((rows @ by_feature).T) if issparse(rows) else coef @ rows.T
            raw += intercept
            tally.add(piece, raw)
    for place, number in enumerate(chosen):
        computed = {name: tally.value(place, metric) for name, metric in known[number].items()}
        values[number] = {name: value for name, value in computed.items() if value is not None}
    return values


def _tally(models, part):
    """What counts the predictions of models, or None where scikit-learn is to say what is wrong with the targets."""
    weights = part.params.get("sample_weight")
    weights = None if weights is None else np.asarray(weights, dtype=np.float64)
    if weights is not None and (weights.ndim != 1 or not np.all(weights >= 0) or not 0 < weights.sum() < np.inf):
        return None
    try:
        y = _check_y(part.y)
        if is_classifier(models[0]):
            return Hits(models, y, weights)
        y = y.astype(np.float64)
    except (ValueError, TypeError):
        return None
    return Residuals(models, y, weights) if len(y) > 1 else None


def _codes(y, classes):
    """Positions of labels in `classes`, -1 of others."""
    try:
        return encode(y, classes)
    except ValueError:
        known = np.isin(y, classes)
        codes = np.full(len(y), -1.0)
        codes[known] = encode(y[known], classes)
        return codes


def _few(models):
    return len(models[0].classes_) < 100

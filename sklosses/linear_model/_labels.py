"""Labels on their way in and out: what may be one, and its place among the classes."""

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array, compute_class_weight
from sklearn.utils.multiclass import type_of_target

from sklosses.linear_model._validation import as_vector, check_length, naming, shape_of

# Scores of rows that are at the kinks of two classes' losses are equal but for rounding, which depends on how many rows
# are multiplied at once.
TIE = 1e-12


def check_labels(y, n_rows, *, name="y"):
    """Return class labels as a 1-d array of a sortable kind (numbers, booleans, strings)."""
    with naming(name):
        y = as_vector(y)
        check_length(y, n_rows, name)
        if y.dtype.kind == "O" and not isinstance(y[0], str):
            # Python numbers kept as objects (a nullable or mixed column): what NumPy makes of them decides.
            converted = np.asarray(y.tolist())
            if converted.dtype.kind not in "biuf" or converted.shape != y.shape:
                raise ValueError(f"{name} must hold labels of one kind. Unknown label type: got {y[0]!r} among others.")
            y = converted
    return y


def check_indicator(y, n_rows, *, name="y"):
    """Return `y` as an indicator of labels, an int array of shape (n_rows, n_labels) of 0 and 1.

    None if it is a vector, or one column: labels then, one a row.
    """
    if len(shape_of(y)) != 2 or shape_of(y)[1] == 1:
        return None
    with naming(name):
        y = check_array(y, accept_sparse=True, dtype=None, input_name=name)
        check_length(y, n_rows, name)
        y = y.toarray() if issparse(y) else y
        if y.dtype.kind == "O":
            y = np.asarray(y.tolist())
        others = y[(y != 0) & (y != 1)] if y.dtype.kind in "biuf" else y.ravel()
    if len(others):
        raise ValueError(
            f"{name} of shape {y.shape} must be an indicator of labels: 1 where a row has that of the column, else "
            f"0; got {others[0].item()!r}. Labels of one kind, one a row, have shape ({n_rows},)."
        )
    return y.astype(np.int64)


def find_classes(y, *, name="y"):
    """Return the sorted distinct labels of `y`, refusing targets that are no labels."""
    if y.dtype.kind == "O":
        try:
            classes = np.array(sorted(set(y.tolist())), dtype=object)
        except TypeError as error:
            raise ValueError(f"{name} must hold labels of one kind; they do not compare: {error}") from error
    else:
        classes = _distinct(y)
    if classes.dtype.kind in "biu":
        return classes
    kind = type_of_target(classes, input_name=name)
    if kind not in ("binary", "multiclass"):
        raise ValueError(
            f"Unknown label type: {kind}. {name} must hold class labels; for numbers to predict use a regressor."
        )
    return classes


def _distinct(y):
    """The sorted distinct values of `y`; those of its first rows, should there be few and no others."""
    few = np.unique(y[:1000])
    if len(few) <= 4:
        known = y == few[0]
        for value in few[1:]:
            known |= y == value
        if np.all(known):
            return few
    return np.unique(y)


def encode(y, classes, *, name="y"):
    """Return the position of every label of `y` in `classes` as float64.

    Raises
    ------
    ValueError
        If `y` holds a label that is not among `classes`.
    """
    if y.dtype.kind == "O" or classes.dtype.kind == "O":
        position = {label: k for k, label in enumerate(classes.tolist())}
        codes = np.array([position.get(label, -1) for label in y.tolist()], dtype=np.float64)
        known = codes >= 0
    elif len(classes) == 2:
        positive = y == classes[1]
        known = positive | (y == classes[0])
        codes = np.asarray(positive, dtype=np.float64)
    else:
        position = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
        known = classes[position] == y
        codes = position.astype(np.float64)
    if not np.all(known):
        unseen = list(dict.fromkeys(y[~np.broadcast_to(known, y.shape)].tolist()))[:5]
        raise ValueError(f"{name} contains labels that are not among the classes {classes.tolist()}: {unseen}.")
    return codes


def first_highest(scores, axis):
    """Where scores are highest; of those that rounding alone tells apart, the first."""
    highest = scores.max(axis=axis, keepdims=True)
    return (scores >= highest - TIE * (1 + np.abs(highest))).argmax(axis=axis)


def expand_class_weight(class_weight, classes, codes):
    """Return one weight a class, or None where every class weighs 1.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        As the estimator's parameter.
    classes : ndarray of shape (n_classes,)
        The labels.
    codes : ndarray of shape (n_samples,)
        Positions in `classes`.

    Returns
    -------
    weights : ndarray of shape (n_classes,) or None
        "balanced" is n_samples / (n_classes * count), as scikit-learn's.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        counts = np.bincount(codes.astype(np.intp), minlength=len(classes))
        return len(codes) / (len(classes) * counts)
    with naming("class_weight"):
        weights = compute_class_weight(class_weight, classes=classes, y=classes)
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise ValueError(f"class_weight must hold finite weights that are not negative, got {class_weight!r}.")
    return weights

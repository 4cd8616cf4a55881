"""Labels on their way in and out: what may be one, and its place among the classes; rows of their probabilities."""

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
    y = _several_columns(y, n_rows, name)
    if y is None:
        return None
    others = y[(y != 0) & (y != 1)] if y.dtype.kind in "biuf" else y.ravel()
    if len(others):
        raise ValueError(
            f"{name} of shape {y.shape} must be an indicator of labels: 1 where a row has that of the column, else "
            f"0; got {others[0].item()!r}. Labels of one kind, one a row, have shape ({n_rows},); rows of "
            "probabilities are for loss='multinomial'."
        )
    return y.astype(np.int64)


def takes_shares(loss):
    """Whether targets of a loss may be rows of probabilities: columns of y are always these then, and no labels."""
    return loss.traits.coupled and loss.takes_probabilities


def check_shares(y, n_rows, loss, *, n_classes=None, name="y"):
    """Return `y` as rows of probabilities, a float64 array of shape (n_rows, n_classes) whose rows sum to 1.

    None if it is a vector, or one column: labels then, one a row. `n_classes`: None: as many as `y` has columns.
    """
    y = _several_columns(y, n_rows, name)
    if y is None:
        return None
    n_classes = y.shape[1] if n_classes is None else n_classes
    if y.shape[1] != n_classes:
        raise ValueError(
            f"{name} must be labels, or rows of probabilities of the model's {n_classes} classes; got shape {y.shape}."
        )
    try:
        return loss.check_targets(y, n_classes, name)
    except ValueError as error:
        raise ValueError(
            f"{error} With this loss columns of {name} are probabilities of the classes; labels of which a row may "
            "have any number are for others, as 'log_loss'."
        ) from None


def _several_columns(y, n_rows, name):
    """`y` as a dense array without NaN, or None if it has not two columns or more."""
    if len(shape_of(y)) != 2 or shape_of(y)[1] == 1:
        return None
    with naming(name):
        y = check_array(y, accept_sparse=True, dtype=None, input_name=name)
        check_length(y, n_rows, name)
        y = y.toarray() if issparse(y) else y
        return np.asarray(y.tolist()) if y.dtype.kind == "O" else y


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
    codes : ndarray of shape (n_samples,) or (n_samples, n_classes)
        Positions in `classes`, or rows of probabilities, whose sums count.

    Returns
    -------
    weights : ndarray of shape (n_classes,) or None
        "balanced" is n_samples / (n_classes * count), as scikit-learn's; 1 for a class that nothing counts.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        whole = codes.ndim == 1
        counts = np.bincount(codes.astype(np.intp), minlength=len(classes)) if whole else codes.sum(axis=0)
        return np.divide(len(codes), len(classes) * counts, out=np.ones(len(classes)), where=counts > 0)
    with naming("class_weight"):
        weights = compute_class_weight(class_weight, classes=classes, y=classes)
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise ValueError(f"class_weight must hold finite weights that are not negative, got {class_weight!r}.")
    return weights


def weigh_shares(shares, class_weight, sample_weight):
    """Rows of probabilities and their weights, where classes have weights.

    A row of probabilities p is K rows, one of each class, of weights p_k: with class weights c they are p_k c_k.

    Parameters
    ----------
    shares : ndarray of shape (n_samples, n_classes)
        Rows of probabilities.
    class_weight : ndarray of shape (n_classes,)
    sample_weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    shares : ndarray of shape (n_samples, n_classes)
        Rows of probabilities; of rows that weigh nothing as they were.
    weights : ndarray of shape (n_samples,)
    """
    weighted = shares * class_weight
    total = weighted.sum(axis=1)
    np.divide(weighted, total[:, np.newaxis], out=weighted, where=total[:, np.newaxis] > 0)
    weighted[total == 0] = shares[total == 0]
    return weighted, total if sample_weight is None else sample_weight * total

"""Arrays on their way in: checked once, named in every error, copied only where their kind demands it."""

import contextlib
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import _check_sample_weight, _check_y, check_array, validate_data

from sklosses.data import all_finite

# Numbers from which the check that they are finite is shared by threads.
LARGE = 2e6


@dataclass(frozen=True, eq=False)
class Given:
    """What the caller passed to `fit` or `partial_fit`, unchecked."""

    X: Any
    y: Any = None
    sample_weight: Any = None
    offset: Any = None
    coef_init: Any = None
    intercept_init: Any = None
    classes: Any = None
    X_val: Any = None
    y_val: Any = None
    sample_weight_val: Any = None
    offset_val: Any = None
    partial: bool = False


@dataclass(frozen=True, eq=False)
class Sample:
    """Checked rows: a matrix, its targets (labels or numbers), and their weights and offsets or None."""

    X: Any
    y: np.ndarray | None
    sample_weight: np.ndarray | None
    offset: np.ndarray | None
    made: dict = field(default_factory=dict, repr=False)

    def once(self, name, make):
        """What `make` returns, made when first asked for: all problems over the same rows share it."""
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    def take(self, positions):
        """The rows at `positions`, copied."""

        def of(array):
            return None if array is None else array[positions]

        return Sample(of(self.X), of(self.y), of(self.sample_weight), of(self.offset))


@contextlib.contextmanager
def naming(name):
    """Make every ValueError and TypeError raised inside say which argument it is about."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if re.search(rf"\b{name}\b", str(error)):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Invalid {name}: {error}") from error


def check_matrix(estimator, X, *, reset, name="X", finite=True):
    """Return `X` as a finite float matrix, dense (any memory order) or CSR, and note its features.

    Parameters
    ----------
    estimator : estimator instance
        Whose `n_features_in_` and `feature_names_in_` are set (`reset=True`) or compared.
    X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
        The matrix. float32 and float64 are kept as they are; everything else becomes float64.
    reset : bool
        Whether this is the matrix that defines the features.
    name : str, default="X"
        The argument's name, for errors.
    finite : bool, default=True
        Whether to refuse numbers that are not.

    Returns
    -------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
        Not copied when it was a native float matrix already.
    """
    n_jobs = getattr(estimator, "n_jobs", None)
    if _is_expected(estimator, X, reset) and _is_plain(X, 2, n_jobs, finite):
        if reset:
            estimator.n_features_in_ = X.shape[1]
            vars(estimator).pop("feature_names_in_", None)
        return X
    with naming(name):
        _check_structure(X, name)
        settings = {"reset": reset, "accept_sparse": "csr", "accept_large_sparse": True,
                    "dtype": [np.float64, np.float32]}
        checked = validate_data(estimator, X, **settings, ensure_all_finite=False)
        if finite and not _is_finite(checked.data if issparse(checked) else checked, n_jobs):
            validate_data(estimator, X, **settings)     # says where
        return checked


def _is_expected(estimator, X, reset):
    """Whether an array of floats has the features that are asked for, and there is nothing to say of their names."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype.kind != "f":
        return False
    return reset or (getattr(estimator, "n_features_in_", None) == X.shape[1]
                     and not hasattr(estimator, "feature_names_in_"))


def _is_plain(array, ndim, n_jobs=1, finite=True):
    """Whether something is an array of finite numbers as they are computed with: all that scikit-learn would find."""
    if type(array) is not np.ndarray or array.ndim != ndim or not array.size or not array.dtype.isnative:
        return False
    if array.dtype.kind == "f":
        return array.dtype.itemsize in (4, 8) and (not finite or _is_finite(array, n_jobs))
    return array.dtype.kind in "biu"


def _is_finite(array, n_jobs):
    """Whether numbers are finite, asked in threads where they are many."""
    if array.size < LARGE:
        return all_finite(array)
    from sklosses.solvers._reading import threads_for  # not imported with the package

    return all_finite(array, threads_for(n_jobs, array.size))


def _check_structure(X, name):
    """Refuse compressed matrices whose indices leave the matrix: every product would read beyond it."""
    if not issparse(X) or X.format not in ("csr", "csc"):
        return
    major, minor = X.shape if X.format == "csr" else X.shape[::-1]
    indptr, indices = X.indptr, X.indices
    n_stored = min(len(indices), len(X.data))
    if len(indptr) != major + 1 or indptr[0] != 0 or indptr[-1] > n_stored or np.any(np.diff(indptr) < 0):
        raise ValueError(
            f"{name}.indptr must start at 0, have {major + 1} entries, never decrease and end at no more than "
            f"the {n_stored} stored entries."
        )
    used = indices[: indptr[-1]]
    if len(used) and (used.min() < 0 or used.max() >= minor):
        raise ValueError(
            f"{name}.indices must lie in [0, {minor - 1}], as {name} has shape {X.shape}; "
            f"got {used.min()} to {used.max()}."
        )


def check_weights(sample_weight, n_rows, *, name="sample_weight", allow_all_zero=False):
    """Return `sample_weight` as float64 of shape (n_rows,), or None where None was given."""
    if sample_weight is None:
        return None
    with naming(name):
        return _check_sample_weight(
            sample_weight, np.empty((n_rows, 0)), dtype=np.float64, allow_all_zero_weights=allow_all_zero
        )


def check_offset(offset, n_rows, *, name="offset"):
    """Return `offset` as finite float64 of shape (n_rows,), or None where None was given."""
    if offset is None:
        return None
    with naming(name):
        offset = check_array(offset, ensure_2d=False, dtype=np.float64, input_name=name)
    if offset.shape != (n_rows,):
        raise ValueError(f"{name} must have shape ({n_rows},), one value a row; got shape {offset.shape}.")
    return offset


def check_start(value, shape, *, name):
    """Return a starting point (`coef_init`, `intercept_init`, ...) as a new float64 array of `shape`.

    One column's coefficients and intercept are taken in any shape of the right size, as scikit-learn does.
    """
    with naming(name):
        value = check_array(np.atleast_1d(value), ensure_2d=False, dtype=np.float64, copy=True, input_name=name)
    one_column = shape[0] == 1
    if value.shape != shape and not (one_column and value.size == np.prod(shape) and value.ndim <= len(shape)):
        expected = shape[1:] if one_column and len(shape) == 2 else shape
        raise ValueError(
            f"Provided {name} does not match dataset: expected an array of shape {expected}, got {value.shape}."
        )
    return value.reshape(shape)


def check_numbers(y, n_rows, loss, *, name="y", outputs=False):
    """Return regression targets as float64 of shape (n_rows,), inside the domain of `loss`.

    Or, where there may be `outputs`, of shape (n_rows, n_outputs). One column is a vector, with scikit-learn's warning.
    """
    with naming(name):
        several = outputs and len(shape_of(y)) == 2 and shape_of(y)[1] != 1
        y = check_array(y, dtype=None, input_name=name) if several else as_vector(y)
        if y.dtype.kind not in "biufO":
            raise ValueError(f"{name} must hold numbers, got dtype {y.dtype}.")
        if y.dtype.kind == "O":
            y = y.astype(np.float64)
            assert_all_finite(y, input_name=name)
    y = np.ascontiguousarray(y, dtype=np.float64)
    check_length(y, n_rows, name)
    loss.target.check(y, name=name)
    return y


def shape_of(y):
    """The shape of what may become an array; () if it does not."""
    try:
        return y.shape if hasattr(y, "ndim") else np.asarray(y).shape
    except ValueError:
        return ()


def as_vector(y):
    """`y` as a 1-d array without NaN, whatever held it."""
    if getattr(getattr(y, "dtype", None), "kind", None) == "T":  # NumPy's StringDType, unknown to scikit-learn
        y = np.asarray(y).astype(object)
    return y if _is_plain(y, ndim=1) else _check_y(y)


def check_length(y, n_rows, name):
    if y.shape[0] != n_rows:
        raise ValueError(f"{name} must have one value for each of the {n_rows} rows of X, got {y.shape[0]} values.")

"""The optimiser without an estimator."""

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite

from sklosses.data import Rows, as_rows
from sklosses.losses import get_loss
from sklosses.penalties import get_penalty
from sklosses.solvers._auto import Auto
from sklosses.solvers._problem import Problem


def minimize(X, y, loss, penalty="none", *, sample_weight=None, offset=None, fit_intercept=True, **options):
    """Minimise a regularised loss over a table, to a certified tolerance.

    ::

        F(w, b) = (1/S) sum_i s_i phi(y_i, x_i.w + b + o_i) + l1 ||w||_1 + (l2/2) ||w||^2,    S = sum_i s_i

    Parameters
    ----------
    X : ndarray, CSR matrix or array, or Rows, of shape (n, d)
        float32 or float64, finite, in any scale.
    y : array-like of shape (n,) or (n, K)
        Targets as the loss takes them (its ``target``); of a :class:`~sklosses.losses.MulticlassLoss` class numbers
        0 .. K - 1, or rows of probabilities.
    loss : str, Loss or MulticlassLoss
        With second derivatives, or kinks that it knows.
    penalty : str or Penalty, default="none"
    sample_weight : array-like of shape (n,) or None, default=None
        s_i >= 0, not all 0; None: all 1.
    offset : array-like of shape (n,) or None, default=None
        o_i; None: all 0.
    fit_intercept : bool, default=True
        Whether there is a b.
    **options
        ``tol``, ``max_iter``, ``random_state``, ``monitor``, ``state``: see :meth:`Newton.solve`; ``n_jobs``: see
        :class:`Auto`, which chooses the solver.

    Returns
    -------
    Result
        ``coef`` of shape (1, d) and ``intercept`` of shape (1,), (K, d) and (K,) with K classes; ``objective`` and
        ``gap`` of shape (1,); ``gap_kind``, ``history``.

    Raises
    ------
    ValueError
        If an argument does not fit, or the loss knows too little of itself.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.solvers import minimize
    >>> X = np.arange(12.0)[:, np.newaxis] * 1e5
    >>> result = minimize(X, 3e-5 * X[:, 0] + 1, "squared_error")
    >>> result.coef.round(7), result.intercept.round(4)
    (array([[3.e-05]]), array([1.]))
    """
    loss = get_loss(loss)
    penalty = get_penalty(penalty) if isinstance(penalty, str) else penalty
    rows = as_rows(X)
    if not isinstance(X, Rows):
        assert_all_finite(X.data if issparse(X) else np.asarray(X), input_name="X")
    y, n_columns = _targets(y, loss, rows.n_rows)
    weights = _vector(sample_weight, "sample_weight", rows.n_rows)
    if weights is not None and not weights.sum() > 0:
        raise ValueError("sample_weight must not be all 0: there is nothing to fit.")
    problem = Problem(rows, y, ((loss, n_columns),), penalty, weights=weights,
                      offset=_vector(offset, "offset", rows.n_rows), fit_intercept=fit_intercept)
    return Auto(n_jobs=options.pop("n_jobs", None)).solve(problem, **options)


def _targets(y, loss, n):
    """Targets as solvers take them, and the number of columns."""
    y = np.asarray(y, dtype=np.float64)
    coupled = loss.traits.coupled
    if y.shape != (n,) and not (coupled and y.ndim == 2 and len(y) == n):
        raise ValueError(f"y must have shape ({n},), got {y.shape}.")
    if not coupled:
        loss.target.check(y, "y", type(loss).__name__)
        return y, 1
    if y.ndim == 2:
        n_classes = y.shape[1]
    else:
        n_classes = int(max(np.max(y[np.isfinite(y)], initial=0.0), 1.0)) + 1
    return loss.check_targets(y, n_classes, "y").astype(np.float64), n_classes


def _vector(values, name, n):
    """A finite vector of length n, or None."""
    if values is None:
        return None
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (n,) or not np.all(np.isfinite(values)):
        found = f"shape {values.shape}" if values.shape != (n,) else "values that are not"
        raise ValueError(f"{name} must hold {n} finite numbers, got {found}.")
    return values

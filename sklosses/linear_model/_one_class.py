"""Novelty detection: the linear one-class support vector machine, trained by stochastic gradient descent."""

from numbers import Real
from typing import ClassVar

import numpy as np
from sklearn.base import OutlierMixin, _fit_context
from sklearn.utils._param_validation import Interval

from sklosses.data import as_rows
from sklosses.linear_model._base import BaseSGD, unchanged_on_failure
from sklosses.linear_model._parameters import COMMON, SCHEDULES, str_options
from sklosses.linear_model._validation import Given
from sklosses.losses import Hinge
from sklosses.penalties import L2
from sklosses.solvers import Problem

# By how much of itself the offset is lowered.
BOUNDARY = 1e-10


class SGDOneClassSVM(OutlierMixin, BaseSGD):
    r"""Linear one-class support vector machine, without a learning rate.

    Minimises, over coefficients w and offset :math:`\rho`,

    .. math::
        F(w, \rho) = \frac{1}{n} \sum_i s_i \max(0, \rho - x_i \cdot w) + \frac{\nu}{2} \lVert w \rVert_2^2
        + \nu (1 - \rho),

    which for weights s of 1 is, up to a factor and a constant, the one-class SVM of [1]_. Rows with
    x.w < :math:`\rho` are outliers. On a kernel approximation (:class:`sklearn.kernel_approximation.Nystroem`) it
    comes close to :class:`sklearn.svm.OneClassSVM` at a cost linear in the number of rows. A drop-in for
    :class:`sklearn.linear_model.SGDOneClassSVM`: same parameters; with its schedules, the same updates.

    Parameters
    ----------
    nu : float, default=0.5
        Upper bound on the share of training rows that are outliers, in (0, 1].
    fit_intercept : bool, default=True
        Whether to fit the offset.
    max_iter : int, default=1000
        Most epochs of `fit`, which are readings of X. :meth:`partial_fit` runs one.
    tol : float or None, default=1e-3
        With ``learning_rate="auto"`` the relative distance of the objective from its minimum, (F - F*) / abs(F*), to be
        certified; None and 0: the limit of precision. With a schedule, training stops when the running objective has
        not improved by `tol` for 5 epochs; None: after `max_iter` epochs.
    shuffle : bool, default=True
        Whether rows are visited in a new random order in each epoch.
    verbose : int, default=0
        Whether to print every epoch.
    random_state : int, RandomState instance or None, default=None
        Seed of the order of rows.
    learning_rate : str, default="auto"
        How the minimum is found.

        - "auto": by an interior point method, without steps that need a size, in any scale of the features, to a
          certified distance from the minimum (`gap_`); with more than 2000 features, or very sparse rows, by dual
          coordinate descent. `eta0`, `power_t`, `batch_size` and `shuffle` are not used, `average` changes nothing.
          F divides by the sum of the weights in place of n.
        - Step sizes, as scikit-learn's; t counts the steps taken. "constant": eta0. "optimal": 1 / (nu (t0 + t)),
          t0 by Bottou's heuristic. "invscaling": eta0 / t^power_t. "adaptive": eta0, divided by 5 whenever training
          would stop, until it is at most 1e-6.
    eta0 : float, default=0.01
        Initial step size, above 0. Not used by "optimal".
    power_t : float, default=0.5
        Exponent of "invscaling". Negative values are deprecated, as in scikit-learn.
    warm_start : bool, default=False
        Whether `fit` starts from the weights of the last fit.
    average : bool or int, default=False
        Whether `coef_` is the mean of the weights over all steps. An int starts averaging when that many rows have
        been seen.
    batch_size : int, default=1
        Rows of a step. 1 is scikit-learn's algorithm; more take the mean gradient of a mini-batch, by matrix
        products: faster epochs, fewer steps.
    forgetting : float, default=1.0
        For :meth:`partial_fit` with ``learning_rate="auto"``, in (0, 1]: the weight that a row has left when the next
        one has come, and so on row by row, whatever the size of the chunks. ``1 - 1 / h`` remembers about the last h
        rows: 0.9999 the last ten thousand. 1 remembers all rows alike. Not used elsewhere.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients, of X's dtype.
    offset_ : ndarray of shape (1,)
        The offset :math:`\rho`: ``decision_function = score_samples - offset_``.
    n_iter_ : int
        Epochs run.
    t_ : float
        1 + the number of rows seen in training.
    objective_ : float
        F at `coef_` and `offset_`, computed exactly when training has ended.
    history_ : dict of str to ndarray of shape (n,)
        The course of the last `fit` or `partial_fit`: "objective" and "seconds" (since the start).
        With ``learning_rate="auto"`` an entry for each reading, with the number of "rows" it had and the "gap", as far
        as it is known then; with a schedule an entry for each epoch, whose objective is the mean over its rows, each
        as training came to it.
    gap_ : float
        With ``learning_rate="auto"`` no less than the relative distance of `objective_` from its minimum; nan where the
        loss is not convex, and with a schedule; inf where training was stopped before it was known.
    gap_kind_ : str or None
        Of `gap_`: "proof" or "estimate"; None where it is nan.
    solver_ : str
        What ran.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where `X` had names that are all strings.

    See Also
    --------
    sklearn.linear_model.SGDOneClassSVM : What this estimator takes the place of.
    sklearn.svm.OneClassSVM : With kernels, at a cost quadratic in the number of rows.

    Notes
    -----
    The other estimators' `offset` of single rows is not taken here: `offset_` would shadow it.

    References
    ----------
    .. [1] B. Schölkopf, J. C. Platt, J. Shawe-Taylor, A. J. Smola, R. C. Williamson, Estimating the Support of a
       High-Dimensional Distribution, Neural Computation 13(7), 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses import SGDOneClassSVM
    >>> X = np.random.default_rng(0).normal(loc=3, size=(1000, 2))
    >>> model = SGDOneClassSVM(nu=0.1, random_state=0).fit(X)
    >>> print(model.predict([[3, 3], [-3, -3]]))
    [ 1 -1]
    >>> bool(0.05 < (model.predict(X) == -1).mean() < 0.15)
    True
    """

    _task = "classification"
    _intercept_name = "offset_"

    # What the supervised estimators have as parameters is fixed here.
    early_stopping = False
    l1_ratio = 0.0
    loss = "hinge"
    n_iter_no_change = 5
    penalty = "l2"
    loss_functions: ClassVar[dict] = {"hinge": (Hinge,)}

    _parameter_constraints: dict = COMMON | {
        "nu": [Interval(Real, 0, 1, closed="right")],
        "learning_rate": [str_options([*(name for name in SCHEDULES if not name.startswith("pa")), "auto"])],
    }

    def __init__(
        self,
        nu=0.5,
        fit_intercept=True,
        max_iter=1000,
        tol=1e-3,
        shuffle=True,
        verbose=0,
        random_state=None,
        learning_rate="auto",
        eta0=0.01,
        power_t=0.5,
        warm_start=False,
        average=False,
        *,
        batch_size=1,
        forgetting=1.0,
    ):
        self.nu = nu
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.warm_start = warm_start
        self.average = average
        self.batch_size = batch_size
        self.forgetting = forgetting

    @property
    def alpha(self):
        """Strength of the penalty: `nu`."""
        return self.nu

    @unchanged_on_failure
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, coef_init=None, offset_init=None, sample_weight=None):
        """Train on X.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Training rows. float32 and float64 arrays of any memory order and CSR matrices are used where they are.
        y : Ignored
            Not used, present for API consistency by convention.
        coef_init : array-like of shape (n_features,), default=None
            Coefficients to start from.
        offset_init : array-like of shape (1,), default=None
            Offset to start from.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        self : SGDOneClassSVM
            The fitted estimator.

        Raises
        ------
        ValueError
            For input that cannot be trained on; the message names it. The estimator is as it was before.
        DivergenceError
            If training diverges. The estimator is as it was before.
        """
        return self._fit(Given(X, None, sample_weight, None, coef_init, offset_init))

    @unchanged_on_failure
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Train one epoch on these rows, from where the model stands.

        With ``learning_rate="auto"`` this streams: the rows are taken in by an implicit step of second order, along
        with a quadratic model of all rows before them. No step size, any scale of the features.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Not used, present for API consistency by convention.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        self : SGDOneClassSVM
            The estimator.
        """
        return self._partial_fit(Given(X, None, sample_weight))

    def decision_function(self, X):
        """Signed distance to the separating hyperplane: positive for inliers, negative for outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        dec : ndarray of shape (n_samples,)
            x.w - offset_.
        """
        return self._raw(X)

    def score_samples(self, X):
        """Scores of the rows, without the offset.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        score_samples : ndarray of shape (n_samples,)
            x.w.
        """
        return self.decision_function(X) + self.offset_

    def predict(self, X):
        """Whether rows are inliers.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            1 for inliers, -1 for outliers.
        """
        return np.where(self.decision_function(X) >= 0, np.int32(1), np.int32(-1))

    def _check_y(self, given, n_rows, loss):
        return np.ones(n_rows)

    def _problem(self, sample, loss, subset):
        return Problem(
            rows=as_rows(sample.X),
            targets=sample.y,
            losses=((loss, 1),),
            penalty=L2(alpha=self.nu),
            weights=sample.sample_weight,
            fit_intercept=bool(self.fit_intercept),
            intercept_cost=self.nu,
            subset=subset,
        )

    def _flip(self, intercept):
        return 1 - intercept

    def _reconstruction(self, coef, intercept, n_iter, *, loss, dtype):
        attributes = super()._reconstruction(coef, intercept, n_iter, loss=loss, dtype=dtype)
        if self.learning_rate == "auto":
            # At the minimum some rows lie on the boundary itself: rounding is not to decide which side they are on.
            attributes["offset_"] = attributes["offset_"] - dtype.type(BOUNDARY) * np.abs(attributes["offset_"])
        return attributes

    def _constant(self):
        return -self.offset_

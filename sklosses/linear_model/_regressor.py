"""Linear regression: any regression loss, trained by stochastic gradient descent."""

from contextlib import suppress

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import d2_pinball_score, r2_score

from sklosses.data import as_rows
from sklosses.linear_model._base import BaseSGD, unchanged_on_failure
from sklosses.linear_model._parameters import (
    DEFAULT_EPSILON,
    OF_LOSSES,
    SUPERVISED,
    is_quantile_set,
    loss_constraint,
    loss_functions,
    resolve_loss,
)
from sklosses.linear_model._validation import Given, check_numbers, check_weights
from sklosses.penalties import get_penalty
from sklosses.solvers import Problem


class SGDRegressor(RegressorMixin, BaseSGD):
    r"""Linear regression by stochastic gradient descent, for any regression loss.

    Minimises, over coefficients w and intercept b (never penalised),

    .. math::
        F(w, b) = \frac{1}{n} \sum_i s_i\, \phi(y_i, x_i \cdot w + b + o_i)
        + \alpha \left( \rho \lVert w \rVert_1 + \frac{1 - \rho}{2} \lVert w \rVert_2^2 \right),

    with weights s, offsets o and :math:`\rho` = 0 for ``penalty="l2"``, 1 for ``"l1"``, `l1_ratio` for
    ``"elasticnet"``. Targets of several columns have a column of coefficients each, and so has each quantile of a set;
    all columns are trained together, over the same rows. A drop-in for :class:`sklearn.linear_model.SGDRegressor`: same
    parameters; with its schedules, the same updates.

    Parameters
    ----------
    loss : str, Loss subclass or instance, or object with value and gradient, default="squared_error"
        The loss :math:`\phi`.

        - "squared_error": least squares; the mean.
        - "absolute_error", "smoothed_absolute_error" (`width`): the median.
        - "huber" (`epsilon`), "pseudo_huber" (`epsilon`), "log_cosh": squared near 0, absolute far away.
        - "quantile" and "smoothed_quantile" (`quantile`; `width`), "expectile" (`expectile`).
        - "epsilon_insensitive", "squared_epsilon_insensitive", "smoothed_epsilon_insensitive" (`epsilon`; `width`):
          support vector regression.
        - "cauchy" (`scale`): outliers count for next to nothing; not convex.
        - "poisson", "gamma", "tweedie" (`power`): counts and amounts, log link: :meth:`predict` gives the mean
          exp(x.w + b).
        - "squared_log_error": least squares of log(1 + y).

        A name takes the parameters in parentheses from this estimator's parameters of the same name. A class is
        trained with its own defaults, an instance (``Huber(epsilon=2.0)``) with its own parameters; the instance is
        copied, never changed, and its parameters can be searched (``loss__epsilon``).
    penalty : {"l2", "l1", "elasticnet"} or None, default="l2"
        The penalty.
    alpha : float, default=0.0001
        Strength of the penalty, at least 0. Also sets the steps of ``learning_rate="optimal"``.
    l1_ratio : float or None, default=0.15
        Share of l1 in "elasticnet", in [0, 1]. Not used, and may be None, with other penalties.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    max_iter : int, default=1000
        Most epochs of `fit`, which are readings of X. :meth:`partial_fit` runs one.
    tol : float or None, default=1e-3
        With ``learning_rate="auto"`` the relative distance of the objective from its minimum, (F - F*) / F*, to be
        certified; None and 0: the limit of precision. With a schedule, training stops when the running objective (or
        the validation score, with `early_stopping`) has not improved by `tol` for `n_iter_no_change` epochs; None:
        after `max_iter` epochs.
    shuffle : bool, default=True
        Whether rows are visited in a new random order in each epoch.
    verbose : int, default=0
        Whether to print every epoch.
    epsilon : float, default=0.1
        Of "huber", "pseudo_huber" and the epsilon-insensitive losses given by name.
    random_state : int, RandomState instance or None, default=None
        Seed of the order of rows and of the validation split.
    learning_rate : str, default="auto"
        How the minimum is found.

        - "auto": without steps that need a size, in any scale of the features, to a certified distance from the
          minimum (`gap_`): Newton's method on growing samples of the rows, an interior point method for losses with
          kinks, dual coordinate descent for wide and sparse tables. `eta0`, `power_t`, `batch_size` and `shuffle` are
          not used, `average` changes nothing. F divides by the sum of the weights in place of n.
        - Step sizes, as scikit-learn's; t counts the steps taken. "constant": eta0. "optimal": 1 / (alpha (t0 + t)),
          t0 by Bottou's heuristic. "invscaling": eta0 / t^power_t. "adaptive": eta0, divided by 5 whenever training
          would stop, until it is at most 1e-6.
        - "pa1", "pa2": the passive-aggressive algorithms [1]_, for ``loss="epsilon_insensitive"``; `eta0` is their C.
    eta0 : float, default=0.01
        Initial step size, above 0.
    power_t : float, default=0.25
        Exponent of "invscaling". Negative values are deprecated, as in scikit-learn.
    early_stopping : bool, default=False
        Whether the `score` of rows held out decides when to stop and which epoch's weights to keep: `X_val` of
        :meth:`fit` where given, else a random `validation_fraction` of the training rows.
    validation_fraction : float, default=0.1
        Share of the rows held out by `early_stopping`, in (0, 1).
    n_iter_no_change : int, default=5
        Epochs without improvement before training stops.
    warm_start : bool, default=False
        Whether `fit` starts from the weights of the last fit.
    average : bool or int, default=False
        Whether `coef_` is the mean of the weights over all steps. An int starts averaging when that many rows have
        been seen.
    quantile : float or array-like of shape (n_quantiles,), default=0.5
        The quantile of "quantile" and "smoothed_quantile", in (0, 1). Several, in increasing order, are predicted
        together, one column each; `y` is a vector then.
    expectile : float, default=0.5
        The expectile of "expectile", in (0, 1).
    power : float, default=1.5
        The variance power of "tweedie".
    scale : float, default=1.0
        The scale of "cauchy", above 0.
    width : float, default=1.0
        The width in which the smoothed losses are rounded, above 0.
    batch_size : int, default=1
        Rows of a step. 1 is scikit-learn's algorithm; more take the mean gradient of a mini-batch, by matrix
        products: faster epochs, fewer steps.
    forgetting : float, default=1.0
        For :meth:`partial_fit` with ``learning_rate="auto"``, in (0, 1]: the weight that a row has left when the next
        one has come, and so on row by row, whatever the size of the chunks. ``1 - 1 / h`` remembers about the last h
        rows: 0.9999 the last ten thousand. 1 remembers all rows alike. Not used elsewhere.
    non_crossing : bool, default=False
        For several quantiles with ``loss="quantile"`` and ``learning_rate="auto"``: whether predictions must increase
        from each quantile to the next on every training row that has a weight. The sum of the objectives is minimised
        under these constraints [2]_; where the lone quantiles do not cross, they are the solution.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_outputs, n_features)
        Coefficients, of X's dtype. Of several columns of `y` or several quantiles, a row each.
    intercept_ : ndarray of shape (1,) or (n_outputs,)
        Intercepts.
    n_iter_ : int
        Epochs run.
    t_ : float
        1 + the number of rows seen in training.
    objective_ : float or ndarray of shape (n_outputs,)
        F at `coef_` and `intercept_` over the rows trained on, computed exactly when training has ended.
    history_ : dict of str to ndarray of shape (n,), (n, n_outputs) where there are several outputs
        The course of the last `fit` or `partial_fit`: "objective" and "seconds" (since the start),
        "validation_score" where there are validation rows. With ``learning_rate="auto"`` an entry for each reading,
        with the number of "rows" it had and the "gap", as far as it is known then; with a schedule an entry for each
        epoch, whose objective is the mean over its rows, each as training came to it.
    gap_ : float or ndarray of shape (n_outputs,)
        With ``learning_rate="auto"`` no less than the relative distance of `objective_` from its minimum; nan where the
        loss is not convex, and with a schedule; inf where training was stopped before it was known. Where quantiles had
        to be kept from crossing, that of the sum of their objectives from the constrained minimum, for each the same.
    gap_kind_ : str, tuple of str, or None
        Of `gap_`: "proof" or "estimate"; None where it is nan.
    solver_ : str
        What ran.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where `X` had names that are all strings.

    See Also
    --------
    SGDClassifier : The same for labels.
    sklearn.linear_model.SGDRegressor : What this estimator takes the place of.

    References
    ----------
    .. [1] K. Crammer, O. Dekel, J. Keshet, S. Shalev-Shwartz, Y. Singer, Online Passive-Aggressive Algorithms,
       Journal of Machine Learning Research 7, 2006.
    .. [2] H. D. Bondell, B. J. Reich, H. Wang, Noncrossing quantile regression curve estimation, Biometrika 97(4),
       2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses import SGDRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 3))
    >>> y = rng.poisson(np.exp(X @ [0.5, -0.5, 0.0] + 1))
    >>> model = SGDRegressor(loss="poisson", random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.4)
    True

    Three quantiles that do not cross:

    >>> model = SGDRegressor(loss="quantile", quantile=[0.1, 0.5, 0.9], non_crossing=True).fit(X, y)
    >>> low, middle, high = model.predict(X).T
    >>> bool((low <= middle).all() and (middle <= high).all())
    True
    """

    _task = "regression"
    loss_functions = loss_functions("regression")

    _parameter_constraints: dict = SUPERVISED | {
        "loss": loss_constraint("regression"),
        **{name: OF_LOSSES[name] for name in ("epsilon", "expectile", "power", "scale", "width")},
        "quantile": [*OF_LOSSES["quantile"], "array-like"],
        "non_crossing": ["boolean"],
    }

    def __init__(
        self,
        loss="squared_error",
        *,
        penalty="l2",
        alpha=0.0001,
        l1_ratio=0.15,
        fit_intercept=True,
        max_iter=1000,
        tol=1e-3,
        shuffle=True,
        verbose=0,
        epsilon=DEFAULT_EPSILON,
        random_state=None,
        learning_rate="auto",
        eta0=0.01,
        power_t=0.25,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        warm_start=False,
        average=False,
        quantile=0.5,
        expectile=0.5,
        power=1.5,
        scale=1.0,
        width=1.0,
        batch_size=1,
        forgetting=1.0,
        non_crossing=False,
    ):
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.epsilon = epsilon
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.average = average
        self.quantile = quantile
        self.expectile = expectile
        self.power = power
        self.scale = scale
        self.width = width
        self.batch_size = batch_size
        self.forgetting = forgetting
        self.non_crossing = non_crossing

    @unchanged_on_failure
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        coef_init=None,
        intercept_init=None,
        sample_weight=None,
        *,
        offset=None,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        offset_val=None,
    ):
        """Train on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Training rows. float32 and float64 arrays of any memory order and CSR matrices are used where they are.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, in the domain of the loss.
        coef_init : array-like of shape (n_features,) or (n_outputs, n_features), default=None
            Coefficients to start from.
        intercept_init : array-like of shape (1,) or (n_outputs,), default=None
            Intercepts to start from.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw predictions: with a log link, the logarithm of the exposure.
        X_val : {array-like, sparse matrix, dataframe} of shape (n_validation, n_features), default=None
            Validation rows. Their score is recorded in ``history_["validation_score"]``; with `early_stopping` it also
            decides when to stop and which weights to keep, and all of `X` is trained on.
        y_val : array-like of shape (n_validation,) or (n_validation, n_outputs), default=None
            Targets of the validation rows.
        sample_weight_val : array-like of shape (n_validation,), default=None
            Weights of the validation rows.
        offset_val : array-like of shape (n_validation,), default=None
            Offsets of the validation rows.

        Returns
        -------
        self : SGDRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            For input that cannot be trained on; the message names it. The estimator is as it was before.
        DivergenceError
            If training diverges. The estimator is as it was before.
        """
        given = Given(
            X, y, sample_weight, offset, coef_init, intercept_init, None, X_val, y_val, sample_weight_val, offset_val
        )
        return self._fit(given)

    @unchanged_on_failure
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, *, offset=None):
        """Train one epoch on these rows, from where the model stands.

        With ``learning_rate="auto"`` this streams: the rows are taken in by an implicit step of second order, along
        with a quadratic model of all rows before them. No step size, any scale of the features, any loss; chunks of any
        size, one row included. One reading of a large table in shuffled chunks comes within about 1e-4 of the minimum.
        A model that was fitted before stands for the rows that `t_` counts. `objective_` is that of these rows, `gap_`
        is nan.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw prediction.

        Returns
        -------
        self : SGDRegressor
            The estimator.

        Raises
        ------
        ValueError
            As :meth:`fit`, and with `early_stopping`.
        """
        return self._partial_fit(Given(X, y, sample_weight, offset, partial=True))

    def raw_predict(self, X, offset=None):
        """Raw predictions x.w + b + offset: what the loss sees, before the inverse link.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw prediction.

        Returns
        -------
        raw_prediction : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The same as :meth:`predict` for losses with the identity link; its logarithm for "poisson", "gamma" and
            "tweedie"; log(1 + prediction) for "squared_log_error".
        """
        raw = self._raw(X, offset)
        return raw if self.coef_.ndim == 1 else raw.reshape(len(raw), -1)

    def predict(self, X, offset=None):
        """Predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw prediction.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The inverse link of :meth:`raw_predict`, so on the scale of y: exp of it for "poisson", "gamma" and
            "tweedie", expm1 for "squared_log_error", itself for all others.
        """
        raw = self.raw_predict(X, offset)
        with np.errstate(over="ignore"):
            return np.asarray(self._fitted_loss().inverse_link(raw))

    def score(self, X, y, sample_weight=None, offset=None):
        r"""Share of the deviance explained: D² for losses with a log link and sets of quantiles, R² for all others.

        With d the deviance of the loss (twice the loss, less its smallest value for that y) and m the weighted mean
        of y,

        .. math::
            D^2 = 1 - \frac{\sum_i s_i\, d(y_i, \hat{y}_i)}{\sum_i s_i\, d(y_i, m)},

        as :func:`sklearn.metrics.d2_tweedie_score`. 1 is perfect, 0 as good as predicting m for every row. For the
        squared error d is the squared residual, and D² is R². Of several outputs it is the mean.

        Of several quantiles d is the pinball loss, m the quantile of y, and the score the mean of
        :func:`sklearn.metrics.d2_pinball_score` over them.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw prediction.

        Returns
        -------
        score : float
            D² or R².
        """
        loss = self._fitted_loss()
        if is_quantile_set(loss):
            predicted = np.atleast_2d(self.predict(X, offset).T)
            return float(np.mean([
                d2_pinball_score(y, column, sample_weight=sample_weight, alpha=quantile)
                for column, quantile in zip(predicted, loss.quantile, strict=True)
            ]))
        if loss.traits.link != "log":
            predicted = self.predict(X) if offset is None else self.predict(X, offset)
            return r2_score(y, predicted, sample_weight=sample_weight)
        raw = self._raw(X, offset)
        y = check_numbers(y, len(raw), loss, outputs=True).reshape(len(raw), -1)
        weights = check_weights(sample_weight, len(raw))
        outputs = zip(y.T, raw.reshape(len(raw), -1).T, strict=True)
        return float(np.mean([_explained_deviance(loss, *output, weights) for output in outputs]))

    def _check_y(self, given, n_rows, loss):
        several = is_quantile_set(loss)
        y = check_numbers(given.y, n_rows, loss, outputs=not several)
        self._n_outputs = None if y.ndim == 1 else y.shape[1]
        if given.partial and hasattr(self, "coef_"):
            known = None if self.coef_.ndim == 1 else len(self.coef_)
            if self._outputs() != known:
                raise ValueError(f"The model has {known or 1} outputs, but y and quantile ask for {self._n_columns()}.")
        return y

    def _outputs(self):
        """Columns of predictions; None: one, which is a vector."""
        if isinstance(self.loss, str) and np.ndim(self.quantile) == 0:
            return self._n_outputs
        loss = resolve_loss(self, self._task)
        return loss.n_columns if is_quantile_set(loss) else self._n_outputs

    def _check_y_val(self, y, n_rows, loss):
        if n_rows < 2:
            raise ValueError(
                f"The validation set has {n_rows} row, and R² or D² need at least 2: increase validation_fraction "
                "or pass X_val."
            )
        y = check_numbers(y, n_rows, loss, name="y_val", outputs=not is_quantile_set(loss))
        if not is_quantile_set(loss) and y.size != n_rows * self._n_columns():
            raise ValueError(f"y_val must have {self._n_columns()} columns as y has, got shape {y.shape}.")
        return y

    def _n_columns(self):
        return self._outputs() or 1

    def _shaped(self, coef):
        return coef[0] if self._outputs() is None else coef

    def _problem(self, sample, loss, subset, *, counted=None):
        if is_quantile_set(loss) and sample.y.ndim == 2:
            raise ValueError(f"Several quantiles are of one target, got y of shape {sample.y.shape}.")
        return Problem(
            rows=sample.once("rows", lambda: as_rows(sample.X)),
            targets=sample.y,
            losses=((loss, self._n_columns()),),
            penalty=get_penalty(self.penalty, alpha=self.alpha, l1_ratio=self.l1_ratio or 0.0),
            weights=sample.sample_weight,
            offset=sample.offset,
            fit_intercept=bool(self.fit_intercept),
            subset=subset,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        with suppress(ValueError, TypeError):  # a loss that does not exist says nothing of y; `fit` will say so
            loss = resolve_loss(self, self._task)
            tags.target_tags.positive_only = loss.target.low > -np.inf
            # scikit-learn's check of several outputs has negative ones whatever is said of them.
            tags.target_tags.multi_output = not (is_quantile_set(loss) or tags.target_tags.positive_only)
        return tags


def _explained_deviance(loss, y, raw, sample_weight):
    """D², from the raw predictions: their exponentials may underflow, and the loss never needs them."""
    mean = np.average(y, weights=sample_weight)
    # exp(-inf) = 0 is where the loss of y <= 0 is smallest: its limit is 0.
    null = loss(y, np.full_like(raw, loss.link(mean)), sample_weight) if mean > 0 else 0.0
    positive = y > 0
    smallest = np.zeros(len(y))
    smallest[positive] = loss.value(y[positive], loss.link(y[positive]))
    deviance = loss(y, raw, sample_weight) - np.average(smallest, weights=sample_weight)
    null_deviance = null - np.average(smallest, weights=sample_weight)
    if null_deviance <= 0:  # a constant y: as r2_score
        return 1.0 if deviance <= 0 else 0.0
    return float(1 - deviance / null_deviance)

"""Linear classification, binary and one-vs-rest: any binary loss, trained by stochastic gradient descent."""

from numbers import Integral

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from sklosses.data import as_rows
from sklosses.linear_model._base import BaseSGD, unchanged_on_failure
from sklosses.linear_model._labels import (
    check_indicator,
    check_labels,
    check_shares,
    encode,
    expand_class_weight,
    find_classes,
    first_highest,
    takes_shares,
    weigh_shares,
)
from sklosses.linear_model._parameters import (
    DEFAULT_EPSILON,
    OF_LOSSES,
    SUPERVISED,
    loss_constraint,
    loss_functions,
    resolve_loss,
)
from sklosses.linear_model._validation import Given, check_weights
from sklosses.losses import get_loss
from sklosses.penalties import get_penalty
from sklosses.solvers import OneVsRest, Problem

#: Codes of the negative and positive class for losses that are made for numbers.
_SIGNS = (-1.0, 1.0)

#: The largest seed that scikit-learn draws.
_MAX_SEED = np.iinfo(np.int32).max


def _has_probability(estimator):
    """Whether the estimator's loss determines probabilities; raises what `available_if` chains if not."""
    try:
        loss = estimator._fitted_loss()
    except (ValueError, TypeError) as error:
        raise AttributeError(str(error)) from error
    if not loss.traits.has_probability:
        raise AttributeError(
            f"probability estimates are not available for loss={estimator.loss!r}: its minimiser does not determine "
            "them. Wrap the classifier in sklearn.calibration.CalibratedClassifierCV, or use 'log_loss'."
        )
    return True


def _can_stream(estimator):
    """Whether the estimator's loss can be trained chunk by chunk; raises what `available_if` chains if not."""
    try:
        loss = resolve_loss(estimator, estimator._task)
    except (ValueError, TypeError):
        return True         # the call itself says what is wrong
    if loss.traits.coupled:
        raise AttributeError(f"partial_fit is not available for loss={estimator.loss!r}: it has no streaming solver.")
    return True


def _reads_shares(estimator):
    """Whether columns of y are probabilities to the estimator; it may have no loss yet that is one."""
    try:
        return takes_shares(resolve_loss(estimator, estimator._task))
    except (ValueError, TypeError):
        return False


class SGDClassifier(ClassifierMixin, BaseSGD):
    r"""Linear classification with any binary loss, without a learning rate; one-vs-rest for many classes.

    Minimises, over coefficients w and intercept b (never penalised),

    .. math::
        F(w, b) = \frac{1}{n} \sum_i s_i\, \phi(y_i, x_i \cdot w + b + o_i)
        + \alpha \left( \rho \lVert w \rVert_1 + \frac{1 - \rho}{2} \lVert w \rVert_2^2 \right),

    with s the product of sample and class weights, offsets o and :math:`\rho` = 0 for ``penalty="l2"``, 1 for
    ``"l1"``, `l1_ratio` for ``"elasticnet"``. With more than two classes each has its own column of coefficients,
    trained to tell it from all others; all columns are trained together, over the same rows. So are those of labels of
    which a row may have any number: `y` is an indicator then, of shape (n_samples, n_labels). With "multinomial" it may
    hold rows of probabilities, of shape (n_samples, n_classes). A drop-in for
    :class:`sklearn.linear_model.SGDClassifier`: same parameters; with its schedules, the same updates.

    Parameters
    ----------
    loss : str, Loss subclass or instance, or object with value and gradient, default="hinge"
        The loss :math:`\phi`.

        - "hinge": linear support vector machine; "squared_hinge", "smoothed_hinge" (`width`) its smooth relatives.
        - "log_loss" (`pos_weight`): logistic regression; "focal" (`gamma`) turns from easy rows to hard ones.
        - "modified_huber": squared hinge, linear where it is badly wrong; "exponential": AdaBoost's, which needs
          another `learning_rate` than "optimal", whose first steps are too long for it.
        - "perceptron", "smoothed_perceptron" (`width`).
        - "multinomial": softmax cross-entropy; "crammer_singer": the multiclass hinge;
          "smoothed_crammer_singer" (`width`): its smooth relative. With more than two classes these three look at the
          predictions of all classes at once, in place of one-vs-rest: see Notes.
        - "squared_error", "huber" (`epsilon`), "epsilon_insensitive" (`epsilon`), "squared_epsilon_insensitive"
          (`epsilon`): regression on -1 and +1.

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
        Of "huber" and the epsilon-insensitive losses given by name.
    n_jobs : int or None, default=None
        Threads that train the columns of more than two classes. None means 1, -1 all processors.
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
        - "pa1", "pa2": the passive-aggressive algorithms [1]_, for ``loss="hinge"``; `eta0` is their C.
    eta0 : float, default=0.01
        Initial step size, above 0. Not used by "optimal".
    power_t : float, default=0.5
        Exponent of "invscaling". Negative values are deprecated, as in scikit-learn.
    early_stopping : bool, default=False
        Whether the `score` of rows held out decides when to stop and which epoch's weights to keep: `X_val` of
        :meth:`fit` where given, else a stratified random `validation_fraction` of the training rows. The score is that
        of the whole classifier, whatever the number of classes.
    validation_fraction : float, default=0.1
        Share of the rows held out by `early_stopping`, in (0, 1).
    n_iter_no_change : int, default=5
        Epochs without improvement before training stops.
    class_weight : dict {label: weight}, "balanced" or None, default=None
        Weights of the classes; those not named weigh 1. "balanced" is n_samples / (n_classes * count of the class).
        With more than two classes it weighs the rows of a class in that class's own column. Of an indicator the labels
        are the numbers of its columns, and "balanced" is that of each label alone, n_samples / (2 count).
    warm_start : bool, default=False
        Whether `fit` starts from the weights of the last fit.
    average : bool or int, default=False
        Whether `coef_` is the mean of the weights over all steps. An int starts averaging when that many rows have
        been seen.
    width : float, default=1.0
        The width in which the smoothed losses are rounded, above 0.
    gamma : float, default=2.0
        The focusing parameter of "focal", at least 0.
    pos_weight : float, default=1.0
        Factor of the positive class's rows in "log_loss", above 0.
    batch_size : int, default=1
        Rows of a step. 1 is scikit-learn's algorithm; more take the mean gradient of a mini-batch, by matrix
        products: faster epochs, fewer steps.
    forgetting : float, default=1.0
        For :meth:`partial_fit` with ``learning_rate="auto"``, in (0, 1]: the weight that a row has left when the next
        one has come, and so on row by row, whatever the size of the chunks. ``1 - 1 / h`` remembers about the last h
        rows: 0.9999 the last ten thousand. 1 remembers all rows alike. Not used elsewhere.

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features) if n_classes == 2 else (n_classes, n_features)
        Coefficients, of X's dtype.
    intercept_ : ndarray of shape (1,) if n_classes == 2 else (n_classes,)
        Intercepts.
    n_iter_ : int
        Epochs run; with more than two classes, the most of any column.
    classes_ : ndarray of shape (n_classes,)
        The labels; numbers of columns where `y` had several.
    multilabel_ : bool
        Whether `y` was an indicator of labels; shapes are then those of more than two classes, whatever their number.
    t_ : float
        1 + the number of rows seen in training.
    objective_ : float if n_classes == 2 else ndarray of shape (n_classes,)
        F at `coef_` and `intercept_` over the rows trained on, computed exactly when training has ended.
    history_ : dict of str to ndarray of shape (n,), (n, n_classes) where there are more than two classes
        The course of the last `fit` or `partial_fit`: "objective" and "seconds" (since the start),
        "validation_score" where there are validation rows. With ``learning_rate="auto"`` an entry for each reading,
        with the number of "rows" it had and the "gap", as far as it is known then; with a schedule an entry for each
        epoch, whose objective is the mean over its rows, each as training came to it.
    gap_ : float or ndarray of shape (n_classes,)
        With ``learning_rate="auto"`` no less than the relative distance of `objective_` from its minimum; nan where the
        loss is not convex, and with a schedule; inf where training was stopped before it was known.
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
    SGDRegressor : The same for numbers.
    sklearn.linear_model.SGDClassifier : What this estimator takes the place of.

    Notes
    -----
    For "multinomial" and "crammer_singer" the classes share one objective: :math:`\phi(y_i, p_i)` with the row's
    predictions of all classes, the penalty of all coefficients. `objective_` and `gap_` are numbers then, class weights
    weigh rows, and `learning_rate` must be "auto"; there is no :meth:`partial_fit`. With two classes only the
    difference of their predictions counts, and it is what is trained, with one column of coefficients, as
    scikit-learn's LogisticRegression does: "multinomial" is "log_loss", "crammer_singer" is "hinge".

    For "multinomial", columns of `y` are the probabilities of the classes, which must sum to 1 in each row:
    categorical cross-entropy, or, with ``loss=Multinomial(divergence=True)``, the Kullback-Leibler divergence. A row of
    probabilities p counts as one row of each class, of weight p_k, in class weights and in :meth:`score`, too.

    References
    ----------
    .. [1] K. Crammer, O. Dekel, J. Keshet, S. Shalev-Shwartz, Y. Singer, Online Passive-Aggressive Algorithms,
       Journal of Machine Learning Research 7, 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses import SGDClassifier
    >>> X = np.array([[-1, -1], [-2, -1], [1, 1], [2, 1]])
    >>> y = np.array(["no", "no", "yes", "yes"])
    >>> model = SGDClassifier(loss="log_loss", random_state=0).fit(X, y)
    >>> print(model.predict([[-0.8, -1]]))
    ['no']
    """

    _task = "classification"
    loss_functions = loss_functions("classification")

    _parameter_constraints: dict = SUPERVISED | {
        "loss": loss_constraint("classification"),
        "n_jobs": [Integral, None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        **{name: OF_LOSSES[name] for name in ("epsilon", "width", "gamma", "pos_weight")},
    }

    def __init__(
        self,
        loss="hinge",
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
        n_jobs=None,
        random_state=None,
        learning_rate="auto",
        eta0=0.01,
        power_t=0.5,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        class_weight=None,
        warm_start=False,
        average=False,
        width=1.0,
        gamma=2.0,
        pos_weight=1.0,
        batch_size=1,
        forgetting=1.0,
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
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.average = average
        self.width = width
        self.gamma = gamma
        self.pos_weight = pos_weight
        self.batch_size = batch_size
        self.forgetting = forgetting

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
        y : array-like of shape (n_samples,), or {array-like, sparse matrix} of shape (n_samples, n_labels)
            Labels: numbers, booleans or strings. Or an indicator, 1 where the row has the label of the column, else 0;
            with ``loss="multinomial"``, rows of probabilities of the classes.
        coef_init : array-like of shape (n_features,) or (n_classes, n_features), default=None
            Coefficients to start from.
        intercept_init : array-like of shape (1,) or (n_classes,), default=None
            Intercepts to start from.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, multiplied by `class_weight`.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw prediction, in every column.
        X_val : {array-like, sparse matrix, dataframe} of shape (n_validation, n_features), default=None
            Validation rows. Their score is recorded in ``history_["validation_score"]``; with `early_stopping` it also
            decides when to stop and which weights to keep, and all of `X` is trained on.
        y_val : array-like of shape (n_validation,) or (n_validation, n_labels), default=None
            Labels of the validation rows; or an indicator or rows of probabilities, as `y`.
        sample_weight_val : array-like of shape (n_validation,), default=None
            Weights of the validation rows.
        offset_val : array-like of shape (n_validation,), default=None
            Offsets of the validation rows.

        Returns
        -------
        self : SGDClassifier
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

    @available_if(_can_stream)
    @unchanged_on_failure
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None, *, offset=None):
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
        y : array-like of shape (n_samples,), or {array-like, sparse matrix} of shape (n_samples, n_labels)
            Labels, not necessarily all of them; or an indicator.
        classes : array-like of shape (n_classes,), default=None
            All labels there will be. Needed in the first call, may be left out later, and with an indicator.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, multiplied by `class_weight`.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw prediction, in every column.

        Returns
        -------
        self : SGDClassifier
            The estimator.

        Raises
        ------
        ValueError
            As :meth:`fit`; with `early_stopping` or ``class_weight="balanced"``; without `classes` in the first call;
            for labels that are not among them.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit. In order to use 'balanced' weights, use "
                "compute_class_weight('balanced', classes=classes, y=y). In place of y you can use a large enough "
                "sample of the full training set target to properly estimate the class frequency distributions. Pass "
                "the resulting weights as the class_weight parameter."
            )
        return self._partial_fit(Given(X, y, sample_weight, offset, classes=classes, partial=True))

    def decision_function(self, X, offset=None):
        """Raw predictions x.w + b + offset: what the loss sees.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw prediction, in every column.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            With two classes that of ``classes_[1]``: above 0 it is predicted. With more, one column a class; with an
            indicator, one column a label.
        """
        return self._raw(X, offset)

    def predict(self, X, offset=None):
        """Predicted labels.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw prediction, in every column.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_labels)
            The label whose raw prediction is highest; or an indicator of those whose raw prediction is above 0.
        """
        scores = self._raw(X, offset)
        if self.multilabel_:
            return (scores > 0).astype(np.int64)
        positions = (scores > 0).astype(np.intp) if scores.ndim == 1 else first_highest(scores, axis=1)
        return self.classes_[positions]

    @available_if(_has_probability)
    def predict_proba(self, X, offset=None):
        r"""Probabilities of the labels, for losses whose minimiser determines them.

        With p the raw prediction of a column, its class has the probability [1]_, [2]_

        - "multinomial": its entry of softmax(p),
        - "log_loss": 1 / (1 + exp(-p)),
        - "modified_huber", "squared_hinge", "squared_error": (clip(p, -1, 1) + 1) / 2,
        - "exponential": 1 / (1 + exp(-2 p)),
        - "focal": a closed-form transform of the sigmoid of p.

        With more than two classes these are divided by their sum over the classes [3]_; where all are 0, every class
        has the same probability. Labels of an indicator have a probability each, which do not sum to 1. Weights that
        change the share of the classes change the probabilities too.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw prediction, in every column.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; rows sum to 1, but for an indicator.

        References
        ----------
        .. [1] T. Zhang, Statistical behavior and consistency of classification methods based on convex risk
           minimization, Annals of Statistics 32(1), 2004.
        .. [2] N. Charoenphakdee et al., On focal loss for class-posterior probability estimation, CVPR 2021.
        .. [3] B. Zadrozny, C. Elkan, Transforming classifier scores into multiclass probability estimates, KDD 2002.
        """
        scores = self._raw(X, offset)
        probability = np.asarray(self._for_columns(self._fitted_loss()).probability(scores))
        if self.multilabel_:    # of each label; never quite 0 or 1, as scikit-learn's checks ask
            limits = np.finfo(probability.dtype)
            return np.clip(probability, limits.tiny, 1 - limits.epsneg)
        if probability.ndim == 1:
            return np.column_stack([1 - probability, probability])
        total = probability.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return np.where(total > 0, probability / total, 1 / len(self.classes_))

    @available_if(_has_probability)
    def predict_log_proba(self, X, offset=None):
        """Logarithms of :meth:`predict_proba`, for the same losses.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw prediction, in every column.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; -inf where a probability is 0.
        """
        return np.log(self.predict_proba(X) if offset is None else self.predict_proba(X, offset))

    def score(self, X, y, sample_weight=None, offset=None):
        """Accuracy: the weighted share of rows whose label is predicted; of an indicator, all labels of the row.

        Of rows of probabilities the weighted mean of what they give to the class predicted.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), or {array-like, sparse matrix} of shape (n_samples, n_labels)
            Labels, an indicator, or, with ``loss="multinomial"``, rows of probabilities.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw prediction, in every column.

        Returns
        -------
        score : float
            In [0, 1].
        """
        predicted = self.predict(X) if offset is None else self.predict(X, offset)
        n_rows = len(predicted)
        shares = None if self.multilabel_ else self._check_shares(y, n_rows, self._fitted_loss(), "y")
        if shares is not None:
            hit = shares[np.arange(n_rows), encode(predicted, self.classes_).astype(np.intp)]
            return float(np.average(hit, weights=check_weights(sample_weight, n_rows)))
        y = self._check_indicator(y, n_rows, "y") if self.multilabel_ else check_labels(y, n_rows)
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

    def _check_y(self, given, n_rows, loss):
        """Labels of y; `classes_` is set where this call decides them."""
        fitted = given.partial and getattr(self, "coef_", None) is not None
        if fitted and self.multilabel_:
            return self._check_indicator(given.y, n_rows, "y")
        shares = takes_shares(loss)
        columns = check_shares(given.y, n_rows, loss) if shares else check_indicator(given.y, n_rows)
        if columns is not None and not fitted:
            self._set_labels(columns, given.classes)
            self.multilabel_ = not shares
            return columns
        y = check_labels(given.y, n_rows)
        self.multilabel_ = False
        if not given.partial:
            self.classes_ = find_classes(y)
        elif given.classes is not None:
            self._check_classes(given.classes)
        elif not hasattr(self, "classes_"):
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if len(self.classes_) < 2:
            raise ValueError(
                f"The number of classes has to be greater than one; got {len(self.classes_)} class: "
                f"{self.classes_.tolist()}."
            )
        return y

    def _set_labels(self, columns, classes):
        """Of an indicator, or of rows of probabilities: they are numbers of columns."""
        labels = np.arange(columns.shape[1])
        if classes is not None and not np.array_equal(classes, labels):
            raise ValueError(
                f"y is an indicator of {len(labels)} labels: classes must be None or their numbers, got {classes!r}."
            )
        self.classes_ = labels

    def _check_indicator(self, y, n_rows, name):
        """An indicator with the model's labels."""
        indicator = check_indicator(y, n_rows, name=name)
        if indicator is None or indicator.shape[1] != len(self.classes_):
            raise ValueError(
                f"{name} must be an indicator of the model's {len(self.classes_)} labels, of shape "
                f"({n_rows}, {len(self.classes_)}); got shape {np.shape(y)}."
            )
        return indicator

    def _check_shares(self, y, n_rows, loss, name):
        """Rows of probabilities of the model's classes; None if `y` holds labels."""
        return check_shares(y, n_rows, loss, n_classes=len(self.classes_), name=name) if takes_shares(loss) else None

    def _check_classes(self, classes):
        """`classes` of partial_fit: all labels, in the first call, and the same in later ones."""
        classes, known = np.asarray(classes), getattr(self, "classes_", None)
        if known is not None and classes.dtype == known.dtype and np.array_equal(classes, known):
            return      # the usual case, at once: checks cost as much as a chunk of some hundred rows
        found = find_classes(check_labels(classes, len(np.atleast_1d(classes)), name="classes"), name="classes")
        if known is not None and not np.array_equal(known, found):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {known!r}")
        self.classes_ = found

    def _check_y_val(self, y, n_rows, loss):
        if self.multilabel_:
            return self._check_indicator(y, n_rows, "y_val")
        shares = self._check_shares(y, n_rows, loss, "y_val")
        if shares is not None:
            return shares
        y = check_labels(y, n_rows, name="y_val")
        encode(y, self.classes_, name="y_val")
        return y

    def _seed(self):
        # scikit-learn draws a seed for each class, and each class's generator another number first. Our columns share
        # one order, that of the first class.
        generator = check_random_state(self.random_state)
        if self._n_columns() > 1 and not self.multilabel_:
            generator = check_random_state(generator.randint(_MAX_SEED, size=self._n_columns())[0])
        generator.randint(1, _MAX_SEED)
        return int(generator.randint(_MAX_SEED))

    def _n_columns(self):
        return 1 if len(self.classes_) == 2 and not self.multilabel_ else len(self.classes_)

    def _for_columns(self, loss):
        """What columns are trained with: of two classes, and of a label, the loss of the difference of the two."""
        if not loss.traits.coupled or (self._n_columns() > 1 and not self.multilabel_):
            return loss
        name, parameters = loss.of_difference
        return get_loss(name, **parameters)

    def _shaped(self, coef):
        return coef

    def _codes(self, sample):
        """Positions of the labels in `classes_`; rows of probabilities as they are."""
        return sample.y if sample.y.ndim == 2 else sample.once("codes", lambda: encode(sample.y, self.classes_))

    def _problem(self, sample, loss, subset, *, counted=None):
        """`counted`: the rows whose classes ``class_weight="balanced"`` counts; None: all of the sample's."""
        if self.multilabel_:
            codes = sample.once("codes", lambda: sample.y.astype(np.float64))
            class_weight = self._weights_of_labels(sample.y if counted is None else sample.y[counted])
        else:
            codes = self._codes(sample)
            class_weight = sample.once(
                ("class_weight", str(self.class_weight), id(counted)),
                lambda: expand_class_weight(
                    self.class_weight, self.classes_, codes if counted is None else codes[counted]
                ),
            )
        n_columns, one_vs_rest, targets = self._n_columns(), None, codes
        loss = self._for_columns(loss)
        weights, values = sample.sample_weight, None if loss.traits.coupled else loss.target.codes or _SIGNS
        if codes.ndim == 2 and not self.multilabel_:
            targets, weights = self._shares(sample, class_weight)
        elif n_columns == 1 or loss.traits.coupled:
            if class_weight is not None:
                weights = sample.once(("weights", *class_weight), lambda: _weighted(weights, class_weight, codes))
            if values not in (None, (0.0, 1.0)):
                targets = sample.once(("targets", values), lambda: values[0] + (values[1] - values[0]) * codes)
        else:
            of_columns = class_weight if self.multilabel_ else np.ones((n_columns, 2))
            if class_weight is not None and not self.multilabel_:
                of_columns[:, 1] = class_weight
            one_vs_rest = OneVsRest(codes=values, class_weight=of_columns)
        if weights is not None and not np.any(weights):
            raise ValueError("The product of sample_weight and class_weight is zero for every row.")
        return Problem(
            rows=sample.once("rows", lambda: as_rows(sample.X)),
            targets=targets,
            losses=((loss, n_columns),),
            penalty=get_penalty(self.penalty, alpha=self.alpha, l1_ratio=self.l1_ratio or 0.0),
            weights=weights,
            offset=sample.offset,
            fit_intercept=bool(self.fit_intercept),
            one_vs_rest=one_vs_rest,
            subset=subset,
        )

    def _shares(self, sample, class_weight):
        """Targets and weights of rows of probabilities; of two classes the second's, which log_loss takes."""
        shares, weights, key = sample.y, sample.sample_weight, ()
        if class_weight is not None:
            key = tuple(class_weight)
            shares, weights = sample.once(("shares", *key), lambda: weigh_shares(shares, class_weight, weights))
        if self._n_columns() == 1:
            shares = sample.once(("second", *key), lambda: shares[:, 1].copy())
        return shares, weights

    def _weights_of_labels(self, indicator):
        """Weights of the rows without and with each label, of shape (n_labels, 2).

        "balanced" is that of the label's own problem, which has two classes.
        """
        weights = np.ones((len(self.classes_), 2))
        if self.class_weight == "balanced":
            counts = np.column_stack([(indicator == value).sum(axis=0) for value in (0, 1)])
            np.divide(len(indicator), 2 * counts, out=weights, where=counts > 0)
        elif self.class_weight is not None:
            weights[:, 1] = expand_class_weight(self.class_weight, self.classes_, None)
        return weights

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = not _reads_shares(self)
        return tags


def _weighted(sample_weight, class_weight, codes):
    """Weights of the rows, those of their classes included."""
    of_rows = class_weight[codes.astype(np.intp)]
    return of_rows if sample_weight is None else sample_weight * of_rows

"""Linear models that choose the strength of their penalty by cross-validation."""

from sklearn.utils._param_validation import StrOptions

from sklosses.linear_model._classifier import SGDClassifier
from sklosses.linear_model._parameters import DEFAULT_EPSILON, OF_LOSSES, loss_constraint
from sklosses.linear_model._path import OF_PATHS, PathCV
from sklosses.linear_model._regressor import SGDRegressor


class SGDClassifierCV(PathCV, SGDClassifier):
    r"""Linear classification with any binary loss, whose alpha is chosen by cross-validation.

    The objective is that of :class:`SGDClassifier` with ``learning_rate="auto"``. All folds train with all alphas and
    all l1_ratios, in one call of a solver that knows what they have in common; the alpha with the best mean score is
    taken, and the model is that of all rows.

    Parameters
    ----------
    loss : str, Loss subclass or instance, or object with value and gradient, default="hinge"
        The loss, as :class:`SGDClassifier` takes it.
    penalty : {"l2", "l1", "elasticnet"}, default="l2"
        The penalty.
    alphas : int or array-like of shape (n_alphas,), default=30
        Strengths of the penalty to try, at least 0. An int asks for that many, evenly spaced in their logarithms, from
        the least under which all coefficients are zero, :func:`~sklosses.solvers.alpha_max`, down to `eps` times that.
        An l1_ratio below 1e-3 counts as 1e-3. With l2 alone no alpha makes coefficients zero: the path begins where
        they lower the objective by a hundredth, and ends at `eps` to the third, as columns in different units need.
    eps : float, default=1e-3
        The last alpha of a path, relative to the first, in (0, 1). Not used where `alphas` is an array.
    l1_ratio : float or array-like of shape (n_l1_ratios,), default=0.15
        Shares of l1 in "elasticnet" to try, in [0, 1]. Not used with other penalties.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    cv : int, splitter, iterable or None, default=None
        The folds: None and an int, 5 and so many, stratified; a splitter of scikit-learn's; or pairs of arrays, the
        rows to train on and those to score on.
    scoring : str, callable or None, default=None
        What is best: a name of scikit-learn's, a scorer ``scorer(estimator, X, y)``, or the accuracy.
    refit : bool, default=True
        Whether to train on all rows with the best alpha. If not, `coef_`, `intercept_`, `alpha_` and `l1_ratio_` are
        means over the folds of what is best for each.
    max_iter : int, default=1000
        Most readings of X of a fit.
    tol : float or None, default=1e-3
        The relative distance of the objective from its minimum, (F - F*) / F*, to be certified; None and 0: the limit
        of precision.
    n_jobs : int or None, default=None
        Threads. None: as many as OpenMP may use, -1 all processors. Results do not depend on it.
    verbose : int, default=0
        Whether to print what was chosen.
    random_state : int, RandomState instance or None, default=None
        Seed of the samples that training begins on. That of shuffled folds is the splitter's.
    class_weight : dict {label: weight}, "balanced" or None, default=None
        Weights of the classes, as :class:`SGDClassifier` takes them; "balanced" counts the rows of each fold.
    epsilon : float, default=0.1
        Of "huber" and the epsilon-insensitive losses given by name.
    width : float, default=1.0
        The width in which the smoothed losses are rounded, above 0.
    gamma : float, default=2.0
        The focusing parameter of "focal", at least 0.
    pos_weight : float, default=1.0
        Factor of the positive class's rows in "log_loss", above 0.

    Attributes
    ----------
    alpha_ : float
        The chosen strength: that with the highest mean of `scores_` over the folds, of equals the strongest.
    l1_ratio_ : float
        The chosen share of l1; 0 with ``penalty="l2"``, 1 with "l1".
    alphas_ : ndarray of shape (n_alphas,) or (n_l1_ratios, n_alphas)
        The strengths, in descending order; a row for each l1_ratio where there are several and `alphas` is an int.
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
        The shares of l1.
    scores_ : ndarray of shape (n_folds, n_l1_ratios, n_alphas)
        Scores of the rows left out of each fold; nan where a fit or a score failed.
    coef_path_ : ndarray of shape (n_l1_ratios, n_alphas, n_columns, n_features)
        Coefficients of the models of all rows, with ``refit=True``: each `coef_path_[i, j]` is what `coef_` would be.
    intercept_path_ : ndarray of shape (n_l1_ratios, n_alphas, n_columns)
        Their intercepts.
    coef_ : ndarray of shape (1, n_features) if n_classes == 2 else (n_classes, n_features)
        Coefficients, of X's dtype.
    intercept_ : ndarray of shape (1,) if n_classes == 2 else (n_classes,)
        Intercepts.
    classes_ : ndarray of shape (n_classes,)
        The labels.
    n_iter_ : int
        Readings of X, or of a part of it, that the model of all rows took.
    t_, objective_, gap_, gap_kind_, history_, solver_
        Of the model of all rows, as :class:`SGDClassifier` has them; with ``refit=True``.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where `X` had names that are all strings.

    See Also
    --------
    SGDClassifier : With an alpha of your choice.
    sklosses.model_selection.GridSearchCV : Chooses among any parameters, losses for one.
    sklosses.model_selection.PathDisplay : Draws `coef_path_`.
    sklosses.model_selection.SearchDisplay : Draws `scores_`.
    sklosses.solvers.alpha_max : Where paths begin.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklosses import SGDClassifierCV
    >>> X, y = make_classification(n_features=20, n_informative=3, random_state=0)
    >>> model = SGDClassifierCV(loss="log_loss", penalty="l1", alphas=20).fit(X, y)
    >>> model.coef_path_.shape, int((model.coef_ != 0).sum()) < 20
    ((1, 20, 1, 20), True)
    """

    _model_class = SGDClassifier

    _parameter_constraints: dict = {
        **OF_PATHS,
        "loss": loss_constraint("classification"),
        "class_weight": [StrOptions({"balanced"}), dict, None],
        **{name: OF_LOSSES[name] for name in ("epsilon", "width", "gamma", "pos_weight")},
    }

    def __init__(
        self,
        loss="hinge",
        *,
        penalty="l2",
        alphas=30,
        eps=1e-3,
        l1_ratio=0.15,
        fit_intercept=True,
        cv=None,
        scoring=None,
        refit=True,
        max_iter=1000,
        tol=1e-3,
        n_jobs=None,
        verbose=0,
        random_state=None,
        class_weight=None,
        epsilon=DEFAULT_EPSILON,
        width=1.0,
        gamma=2.0,
        pos_weight=1.0,
    ):
        self.loss = loss
        self.penalty = penalty
        self.alphas = alphas
        self.eps = eps
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state
        self.class_weight = class_weight
        self.epsilon = epsilon
        self.width = width
        self.gamma = gamma
        self.pos_weight = pos_weight


class SGDRegressorCV(PathCV, SGDRegressor):
    r"""Linear regression with any regression loss, whose alpha is chosen by cross-validation.

    The objective is that of :class:`SGDRegressor` with ``learning_rate="auto"``. All folds train with all alphas and
    all l1_ratios, in one call of a solver that knows what they have in common; the alpha with the best mean score is
    taken, and the model is that of all rows.

    Parameters
    ----------
    loss : str, Loss subclass or instance, or object with value and gradient, default="squared_error"
        The loss, as :class:`SGDRegressor` takes it.
    penalty : {"l2", "l1", "elasticnet"}, default="l2"
        The penalty.
    alphas : int or array-like of shape (n_alphas,), default=30
        Strengths of the penalty to try, at least 0. An int asks for that many, evenly spaced in their logarithms, from
        the least under which all coefficients are zero, :func:`~sklosses.solvers.alpha_max`, down to `eps` times that.
        An l1_ratio below 1e-3 counts as 1e-3. With l2 alone no alpha makes coefficients zero: the path begins where
        they lower the objective by a hundredth, and ends at `eps` to the third, as columns in different units need.
    eps : float, default=1e-3
        The last alpha of a path, relative to the first, in (0, 1). Not used where `alphas` is an array.
    l1_ratio : float or array-like of shape (n_l1_ratios,), default=0.15
        Shares of l1 in "elasticnet" to try, in [0, 1]. Not used with other penalties.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    cv : int, splitter, iterable or None, default=None
        The folds: None and an int, 5 and so many; a splitter of scikit-learn's; or pairs of arrays, the rows to train
        on and those to score on.
    scoring : str, callable or None, default=None
        What is best: a name of scikit-learn's, a scorer ``scorer(estimator, X, y)``, or the estimator's own `score`,
        which is R², or D² for losses with a log link, the mean of the outputs'; of several quantiles the mean of
        :func:`sklearn.metrics.d2_pinball_score`.
    refit : bool, default=True
        Whether to train on all rows with the best alpha. If not, `coef_`, `intercept_`, `alpha_` and `l1_ratio_` are
        means over the folds of what is best for each.
    max_iter : int, default=1000
        Most readings of X of a fit.
    tol : float or None, default=1e-3
        The relative distance of the objective from its minimum, (F - F*) / F*, to be certified; None and 0: the limit
        of precision.
    n_jobs : int or None, default=None
        Threads. None: as many as OpenMP may use, -1 all processors. Results do not depend on it.
    verbose : int, default=0
        Whether to print what was chosen.
    random_state : int, RandomState instance or None, default=None
        Seed of the samples that training begins on. That of shuffled folds is the splitter's.
    epsilon : float, default=0.1
        Of "huber", "pseudo_huber" and the epsilon-insensitive losses given by name.
    quantile : float or array-like of shape (n_quantiles,), default=0.5
        The quantile of "quantile" and "smoothed_quantile", in (0, 1). Several, in increasing order, are predicted
        together with one alpha; `y` is a vector then.
    expectile : float, default=0.5
        The expectile of "expectile", in (0, 1).
    power : float, default=1.5
        The variance power of "tweedie".
    scale : float, default=1.0
        The scale of "cauchy", above 0.
    width : float, default=1.0
        The width in which the smoothed losses are rounded, above 0.
    non_crossing : bool, default=False
        For several quantiles with ``loss="quantile"``: whether they must be in order on every row trained on, as
        :class:`SGDRegressor` has it. Folds and alphas are fitted one by one then.

    Attributes
    ----------
    alpha_ : float
        The chosen strength: that with the highest mean of `scores_` over the folds, of equals the strongest. Several
        outputs or quantiles have it in common.
    l1_ratio_ : float
        The chosen share of l1; 0 with ``penalty="l2"``, 1 with "l1".
    alphas_ : ndarray of shape (n_alphas,) or (n_l1_ratios, n_alphas)
        The strengths, in descending order; a row for each l1_ratio where there are several and `alphas` is an int.
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
        The shares of l1.
    scores_ : ndarray of shape (n_folds, n_l1_ratios, n_alphas)
        Scores of the rows left out of each fold; nan where a fit or a score failed.
    coef_path_ : ndarray of shape (n_l1_ratios, n_alphas, n_features) or (n_l1_ratios, n_alphas, n_outputs, n_features)
        Coefficients of the models of all rows, with ``refit=True``: each `coef_path_[i, j]` is what `coef_` would be.
    intercept_path_ : ndarray of shape (n_l1_ratios, n_alphas, 1) or (n_l1_ratios, n_alphas, n_outputs)
        Their intercepts.
    coef_ : ndarray of shape (n_features,) or (n_outputs, n_features)
        Coefficients, of X's dtype. Of several columns of `y` or several quantiles, a row each.
    intercept_ : ndarray of shape (1,) or (n_outputs,)
        Intercepts.
    n_iter_ : int
        Readings of X, or of a part of it, that the model of all rows took.
    t_, objective_, gap_, gap_kind_, history_, solver_
        Of the model of all rows, as :class:`SGDRegressor` has them; with ``refit=True``.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where `X` had names that are all strings.

    See Also
    --------
    SGDRegressor : With an alpha of your choice.
    sklosses.model_selection.GridSearchCV : Chooses among any parameters, losses for one.
    sklosses.model_selection.PathDisplay : Draws `coef_path_`.
    sklosses.model_selection.SearchDisplay : Draws `scores_`.
    sklosses.solvers.alpha_max : Where paths begin.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklosses import SGDRegressorCV
    >>> X, y = make_regression(n_features=20, n_informative=3, noise=5.0, random_state=0)
    >>> model = SGDRegressorCV(loss="huber", penalty="elasticnet", l1_ratio=[0.5, 1.0], alphas=20).fit(X, y / 50)
    >>> model.alphas_.shape, model.scores_.shape, bool(model.score(X, y / 50) > 0.99)
    ((2, 20), (5, 2, 20), True)
    >>> SGDRegressorCV("quantile", quantile=[0.1, 0.5, 0.9], alphas=5).fit(X, y).predict(X).shape
    (100, 3)
    """

    _model_class = SGDRegressor

    _parameter_constraints: dict = {
        **OF_PATHS,
        "loss": loss_constraint("regression"),
        **{name: SGDRegressor._parameter_constraints[name] for name in ("quantile", "non_crossing")},
        **{name: OF_LOSSES[name] for name in ("epsilon", "expectile", "power", "scale", "width")},
    }

    def __init__(
        self,
        loss="squared_error",
        *,
        penalty="l2",
        alphas=30,
        eps=1e-3,
        l1_ratio=0.15,
        fit_intercept=True,
        cv=None,
        scoring=None,
        refit=True,
        max_iter=1000,
        tol=1e-3,
        n_jobs=None,
        verbose=0,
        random_state=None,
        epsilon=DEFAULT_EPSILON,
        quantile=0.5,
        expectile=0.5,
        power=1.5,
        scale=1.0,
        width=1.0,
        non_crossing=False,
    ):
        self.loss = loss
        self.penalty = penalty
        self.alphas = alphas
        self.eps = eps
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state
        self.epsilon = epsilon
        self.quantile = quantile
        self.expectile = expectile
        self.power = power
        self.scale = scale
        self.width = width
        self.non_crossing = non_crossing

"""scikit-learn's searches over parameters, with candidates and splits that train together."""

import sklearn.model_selection

from sklosses.linear_model._base import unchanged_on_failure
from sklosses.model_selection._runner import with_runner


class OnePass:
    """Left of a search of scikit-learn's in a class's bases: what can train together does."""

    @unchanged_on_failure
    def fit(self, X, y=None, **params):
        """Fit and score all candidates on all splits, and the best on all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets.
        **params : dict
            What is passed on to the `fit` of the estimator, `sample_weight` and `offset` cut with the rows; with
            metadata routing also to the scorer and the splitter.

        Returns
        -------
        self : estimator
            The fitted search. If anything is raised, Ctrl-C included, it is as it was before.
        """
        return super().fit(X, y, **params)

    def _run_search(self, evaluate_candidates, *, callback_ctx=None):
        self.search_plan_ = []
        super()._run_search(with_runner(evaluate_candidates, self), callback_ctx=callback_ctx)


class GridSearchCV(OnePass, sklearn.model_selection.GridSearchCV):
    """Search over a grid of parameters whose candidates train together, on all folds at once.

    A drop-in for :class:`sklearn.model_selection.GridSearchCV`: same parameters, methods and attributes, same results.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are searched. Any of scikit-learn's kind; what makes a search fast stands in the notes.
    param_grid : dict or list of dict
        Values to try by name of the parameter; all combinations of a dict's values are candidates.
    scoring : str, callable, list, tuple or dict, default=None
        What to score by: a scorer's name, a callable ``scorer(estimator, X, y)``, or several of them; None: the
        estimator's own `score`. Accuracy, R², and mean squared and absolute errors are computed for all candidates at
        once; other scorers get the fitted estimator and the rows, one candidate after the other.
    n_jobs : int or None, default=None
        For candidates that train together, threads; None: as many as OpenMP may use. For all others, and for the
        transforms of pipelines, processes, as in scikit-learn. Results do not depend on it.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate on all rows; with several scorers, the name of the one that decides. A
        callable gets `cv_results_` and returns the index of the best.
    cv : int, splitter or iterable, default=None
        How rows are split: a number of folds (None: 5), a splitter, or pairs of indices.
    verbose : int, default=0
        1: how many fits there are and how they run (`search_plan_`); 2: a line for each fit; 3: with its scores.
    pre_dispatch : int or str, default="2*n_jobs"
        As scikit-learn's.
    error_score : "raise" or number, default=nan
        The score of a fit that fails.
    return_train_score : bool, default=False
        Whether to score the rows trained on, too.

    Attributes
    ----------
    search_plan_ : list of dict
        How the fits ran: a record for each way, with "how" ("one block", "one block a split, after its transforms",
        each of these followed by ", epoch by epoch" for schedules; "scikit-learn"), "why" (of those that scikit-learn
        ran), the number of "fits" and the "candidates".
    cv_results_ : dict of ndarray
        As scikit-learn's. `mean_fit_time` of fits that ran together is the time that they took divided by their
        number, in which the time of a shared transform is divided among those that share it; `mean_score_time`
        likewise.
    best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, multimetric_
        As scikit-learn's.
    classes_, n_features_in_, feature_names_in_
        Of the best estimator.

    Notes
    -----
    Candidates train together where their estimator, or the last step of their pipeline, is
    :class:`sklosses.SGDClassifier` or :class:`sklosses.SGDRegressor` without `early_stopping`, `warm_start`, `verbose`
    or callbacks of its own. They may differ in every other parameter; in a pipeline, each distinct set of transforms is
    fitted once a split. Scores are those of separate fits: to the estimators' `tol` with ``learning_rate="auto"``, to
    the last bit with schedules.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : What this class takes the place of.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklosses import SGDClassifier
    >>> from sklosses.model_selection import GridSearchCV
    >>> X, y = make_classification(n_samples=500, random_state=0)
    >>> grid = {"loss": ["hinge", "log_loss"], "alpha": [1e-4, 1e-2]}
    >>> search = GridSearchCV(SGDClassifier(), grid).fit(X, y)
    >>> search.search_plan_
    [{'how': 'one block', 'why': '', 'fits': 20, 'candidates': [0, 1, 2, 3]}]
    >>> bool(search.best_score_ > 0.8)
    True
    """


class RandomizedSearchCV(OnePass, sklearn.model_selection.RandomizedSearchCV):
    """Search over parameters drawn at random, whose candidates train together, on all folds at once.

    A drop-in for :class:`sklearn.model_selection.RandomizedSearchCV`: same parameters, methods and attributes, same
    results.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are searched. Any of scikit-learn's kind; what makes a search fast stands in the notes.
    param_distributions : dict or list of dict
        Values or distributions (with a method `rvs`) to draw from, by name of the parameter.
    n_iter : int, default=10
        Number of candidates.
    scoring : str, callable, list, tuple or dict, default=None
        What to score by: a scorer's name, a callable ``scorer(estimator, X, y)``, or several of them; None: the
        estimator's own `score`. Accuracy, R², and mean squared and absolute errors are computed for all candidates at
        once; other scorers get the fitted estimator and the rows, one candidate after the other.
    n_jobs : int or None, default=None
        For candidates that train together, threads; None: as many as OpenMP may use. For all others, and for the
        transforms of pipelines, processes, as in scikit-learn. Results do not depend on it.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate on all rows; with several scorers, the name of the one that decides. A
        callable gets `cv_results_` and returns the index of the best.
    cv : int, splitter or iterable, default=None
        How rows are split: a number of folds (None: 5), a splitter, or pairs of indices.
    verbose : int, default=0
        1: how many fits there are and how they run (`search_plan_`); 2: a line for each fit; 3: with its scores.
    pre_dispatch : int or str, default="2*n_jobs"
        As scikit-learn's.
    random_state : int, RandomState instance or None, default=None
        Seed of the candidates.
    error_score : "raise" or number, default=nan
        The score of a fit that fails.
    return_train_score : bool, default=False
        Whether to score the rows trained on, too.

    Attributes
    ----------
    search_plan_ : list of dict
        How the fits ran: a record for each way, with "how" ("one block", "one block a split, after its transforms",
        each of these followed by ", epoch by epoch" for schedules; "scikit-learn"), "why" (of those that scikit-learn
        ran), the number of "fits" and the "candidates".
    cv_results_ : dict of ndarray
        As scikit-learn's. `mean_fit_time` of fits that ran together is the time that they took divided by their
        number, in which the time of a shared transform is divided among those that share it; `mean_score_time`
        likewise.
    best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, multimetric_
        As scikit-learn's.
    classes_, n_features_in_, feature_names_in_
        Of the best estimator.

    Notes
    -----
    Candidates train together where their estimator, or the last step of their pipeline, is
    :class:`sklosses.SGDClassifier` or :class:`sklosses.SGDRegressor` without `early_stopping`, `warm_start`, `verbose`
    or callbacks of its own. They may differ in every other parameter; in a pipeline, each distinct set of transforms is
    fitted once a split. Scores are those of separate fits: to the estimators' `tol` with ``learning_rate="auto"``, to
    the last bit with schedules.

    See Also
    --------
    sklearn.model_selection.RandomizedSearchCV : What this class takes the place of.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import make_regression
    >>> from sklosses import SGDRegressor
    >>> from sklosses.model_selection import RandomizedSearchCV
    >>> X, y = make_regression(n_samples=500, n_features=10, noise=10, random_state=0)
    >>> space = {"loss": ["squared_error", "huber"], "alpha": loguniform(1e-6, 1e-1)}
    >>> search = RandomizedSearchCV(SGDRegressor(), space, n_iter=6, random_state=0).fit(X, y)
    >>> search.search_plan_[0]["fits"]
    30
    >>> bool(search.best_score_ > 0.9)
    True
    """

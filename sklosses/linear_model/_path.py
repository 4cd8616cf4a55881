"""The strength of the penalty chosen by cross-validation: what both CV estimators share."""

import inspect
import warnings
from functools import partial
from itertools import product
from numbers import Integral, Real

import numpy as np
from joblib import effective_n_jobs
from sklearn import config_context
from sklearn.base import _fit_context, clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _manual_routing,
    _raise_for_params,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.validation import _check_method_params

from sklosses import solvers
from sklosses.linear_model._base import for_callbacks, unchanged_on_failure
from sklosses.linear_model._many import ManyFits
from sklosses.linear_model._parameters import PENALTIES, SUPERVISED, knows_its_kinks, str_options
from sklosses.linear_model._validation import Given
from sklosses.model_selection._plan import row_numbers
from sklosses.model_selection._scoring import Part, score_all

#: The least share of l1 that the strongest penalty of a path is computed for, glmnet's.
FLOOR = 1e-3

#: How much longer a path of l2 alone is, in logarithms: on real tables the best strength was up to 1e-4 times where it
#: begins if columns were scaled, and up to 1e-9 times if they were not.
L2_LENGTH = 3

#: Strengths that are too small to begin a path with: no coefficient leaves zero, whatever the penalty.
RESOLUTION = np.finfo(np.float64).resolution

#: Constraints of the parameters of both CV estimators.
OF_PATHS = {
    **{name: SUPERVISED[name] for name in ("fit_intercept", "max_iter", "tol", "verbose", "random_state")},
    "penalty": [str_options(PENALTIES)],
    "alphas": [Interval(Integral, 1, None, closed="left"), "array-like"],
    "eps": [Interval(Real, 0, 1, closed="neither")],
    "l1_ratio": [Interval(Real, 0, 1, closed="both"), "array-like"],
    "cv": ["cv_object"],
    "scoring": [StrOptions(set(get_scorer_names())), callable, None],
    "refit": ["boolean"],
    "n_jobs": [Integral, None],
}


class PathCV:
    """Left of the estimator in a class's bases: `fit` chooses alpha, and l1_ratio, from scores of folds.

    Every fold and, if there is to be a refit, all rows train with every alpha and l1_ratio, in one call of
    :func:`sklosses.solvers.solve_many`.

    A class has the attribute `_model_class`: what is fitted for each alpha, and a base of the class.
    """

    _model_class = None

    # Not parameters here, but of what the base class reads.
    learning_rate = "auto"
    early_stopping = False

    @property
    def partial_fit(self):
        """Not there: folds are of all rows."""
        raise AttributeError(f"{type(self).__name__} has no partial_fit: it needs all rows at once.")

    @unchanged_on_failure
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, offset=None, **params):
        """Train on folds with every alpha and l1_ratio, choose the best, and train on all rows with it.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Training rows. float32 and float64 arrays of any memory order and CSR matrices are used where they are.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels, or numbers in the domain of the loss; an indicator of labels, rows of probabilities, or several
            outputs, as the estimator without "CV" takes them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, in training and in scoring. With metadata routing, in scoring where the scorer asks for
            them.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw prediction, in training and in scoring.
        **params : dict
            With metadata routing: for the `split` of `cv` (``groups``) and for the scorer.

        Returns
        -------
        self : estimator
            The fitted estimator.

        Raises
        ------
        ValueError
            For input that cannot be trained on, the message names it; and if a callback stops training before any fit
            has a score. The estimator is as it was before.

        Notes
        -----
        Callbacks see a task for each fit, when it has ended. If one asks to stop, fits that are not done are left out:
        they have nan in `scores_` and `coef_path_`. The choice is among the alphas that have a score on every fold, or
        where there is none, on any; the model of all rows is fitted to its end.
        """
        _raise_for_params(params, self, "fit")
        for name in [name for name in vars(self) if name.endswith("_")]:    # of the last fit, which may have had more
            delattr(self, name)
        given, loss = Given(X, y, sample_weight, offset), self._resolve()
        sample = self._check_sample(given, loss, reset=True, allow_all_zero=False)
        self.l1_ratios_ = self._ratios()
        alphas = self._alphas(sample, loss)
        routed = self._route("fit", sample.sample_weight, params)
        splitter = check_cv(self.cv, sample.y, classifier=is_classifier(self))
        folds = list(splitter.split(sample.X, sample.y, **routed.splitter.split))
        if not folds:
            raise ValueError(f"cv must give at least one pair of rows to train on and to score on, got {self.cv!r}.")
        fits = self._train(given, sample, alphas, [train for train, _ in folds] + ([None] if self.refit else []))
        scores = [self._score(fits[k], sample, test, routed.scorer.score) for k, (_, test) in enumerate(folds)]
        self.scores_ = np.array(scores).reshape(len(folds), *alphas.shape)
        several = isinstance(self.alphas, Integral) and len(alphas) > 1
        self.alphas_ = alphas if several else alphas[0]
        stopped = any(isinstance(fit, Unfinished) for row in fits for fit in row)
        if stopped and not np.any(np.isfinite(self.scores_)):
            raise ValueError("A callback asked to stop before any fit had a score.")
        if self.refit:
            self._keep_best(fits[-1], alphas, stopped)
        else:
            self._keep_mean(fits, alphas, loss, sample)
        if self.verbose:
            print(f"{alphas.size} candidates on {len(folds)} folds: alpha={self.alpha_:.3g}, "
                  f"l1_ratio={self.l1_ratio_:.3g}")
        return self

    def _train(self, given, sample, alphas, subsets):
        """Fit a model for each alpha to each subset of the rows."""
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = int(check_random_state(seed).randint(np.iinfo(np.int32).max))
        models = [
            self._model(alpha=float(alpha), l1_ratio=float(ratio), random_state=seed)
            for ratio, row in zip(self.l1_ratios_, alphas, strict=True)
            for alpha in row
        ]
        passed = for_callbacks(given, None)
        context = self._init_callback_context(max_subtasks=len(models) * len(subsets))
        context.call_on_fit_task_begin(estimator=self, **passed)
        fits = fit_all(models, sample, subsets, self.n_jobs, _Hooks(self, context, passed).progress)
        context.call_on_fit_task_end(estimator=self, reconstruction_attributes={}, **passed)
        return fits

    # -- the grid ---------------------------------------------------------------------------------------------------

    def _model(self, **chosen):
        """The estimator to be fitted for one alpha."""
        names = inspect.signature(self._model_class).parameters.keys() & inspect.signature(type(self)).parameters.keys()
        shared = {name: getattr(self, name) for name in names - {"n_jobs", "l1_ratio", "random_state", "verbose"}}
        return self._model_class(**shared | chosen)

    def _ratios(self):
        """Shares of l1, of shape (n_l1_ratios,)."""
        if self.penalty != "elasticnet":
            return np.array([1.0 if self.penalty == "l1" else 0.0])
        return _numbers("l1_ratio", self.l1_ratio, high=1.0)

    def _alphas(self, sample, loss):
        """Strengths in descending order, of shape (n_l1_ratios, n_alphas)."""
        ratios = self.l1_ratios_
        if not isinstance(self.alphas, Integral):
            return np.tile(np.sort(_numbers("alphas", self.alphas))[::-1], (len(ratios), 1))
        if not knows_its_kinks(loss):
            raise ValueError(
                f"alphas must be given as an array: {loss!r} does not say where its kinks are, and the strongest "
                "penalty worth trying cannot be computed."
            )
        model = self._model(alpha=0.0)
        for name in ("classes_", "multilabel_", "_n_outputs"):      # what is known of the targets
            if hasattr(self, name):
                setattr(model, name, getattr(self, name))
        problem = model._problem(sample, loss, None)
        highest = {name: np.max(solvers.alpha_max(problem, name)) for name in _penalties(ratios)}
        return np.array([_descending(highest, ratio, self.eps, self.alphas) for ratio in ratios])

    # -- scores -----------------------------------------------------------------------------------------------------

    def _scorer(self):
        """What scores the fits of folds: by default their own method, asking for what this estimator asks for."""
        model = self._model()
        if hasattr(self, "_metadata_request"):
            model._metadata_request = self._metadata_request
        return check_scoring(model, self.scoring)

    def _route(self, method, sample_weight, params):
        """What goes to the splitter and to the scorer."""
        if _routing_enabled():
            return process_routing(self, method, sample_weight=sample_weight, **params)
        accepts = getattr(self._scorer(), "_accept_sample_weight", bool)()
        weights = {"sample_weight": sample_weight} if sample_weight is not None and accepts else {}
        return _manual_routing({"splitter": {}, "scorer": {"score": weights}})

    def _score(self, fits, sample, test, score_params):
        """Scores of the fits of a fold, nan where there is none."""
        scores, good = np.full(len(fits), np.nan), [k for k, fit in enumerate(fits) if not isinstance(fit, Exception)]
        if not good:
            return scores
        test = np.flatnonzero(test) if np.asarray(test).dtype == bool else np.asarray(test, dtype=np.intp)
        fold = _Fold(sample, test, _check_method_params(sample.X, score_params, indices=test))
        pairs = []
        for k in good:
            model = fits[k]
            if sample.offset is not None:
                model._raw = partial(_raw_of_fold, model, sample.offset[test])
            pairs.append((model, model))
        part = Part(fold, "test", sample.X if sample.offset is None else None, test)
        scores[good], _ = score_all(pairs, part, self._scorer(), np.nan)
        return scores

    # -- the choice -------------------------------------------------------------------------------------------------

    def _keep_best(self, fits, alphas, stopped):
        """Become the fit to all rows with the alpha that is best in the mean over the folds."""
        whole = np.any(np.isfinite(self.scores_), axis=(1, 2))      # a fold that none could be fitted to tells nothing
        mean = self.scores_[whole].mean(axis=0) if np.any(whole) else np.full(alphas.shape, np.nan)
        if stopped and not np.any(np.isfinite(mean)):
            known = np.isfinite(self.scores_)
            total = np.where(known, self.scores_, 0.0).sum(axis=0)
            mean = np.divide(total, known.sum(axis=0), out=np.full(alphas.shape, np.nan), where=known.any(axis=0))
        best = _best(mean)
        self.alpha_, self.l1_ratio_ = float(alphas[best]), float(self.l1_ratios_[best[0]])
        place = np.ravel_multi_index(best, alphas.shape)
        if isinstance(fits[place], Unfinished):
            fits[place] = fits[place].fit()
        chosen = fits[place]
        if isinstance(chosen, Exception):
            raise chosen
        for name, path in (("coef_", "coef_path_"), ("intercept_", "intercept_path_")):
            missing = np.full_like(getattr(chosen, name), np.nan)
            values = [missing if isinstance(fit, Exception) else getattr(fit, name) for fit in fits]
            setattr(self, path, np.array(values).reshape(*alphas.shape, *missing.shape))
        parameters = chosen.get_params(deep=False)
        vars(self).update({name: value for name, value in vars(chosen).items() if name not in parameters})

    def _keep_mean(self, fits, alphas, loss, sample):
        """Become the mean of each fold's best fit."""
        begun = [k for k, row in enumerate(fits) if not all(isinstance(fit, Unfinished) for fit in row)]
        best = [_best(self.scores_[k]) for k in begun]
        chosen = [fits[k][np.ravel_multi_index(place, alphas.shape)] for k, place in zip(begun, best, strict=True)]
        if any(len(getattr(model, "classes_", ())) < len(getattr(self, "classes_", ())) for model in chosen):
            raise ValueError("refit=False takes means over the folds, but some folds have no row of some class.")
        self.alpha_ = float(np.mean([alphas[place] for place in best]))
        self.l1_ratio_ = float(np.mean([self.l1_ratios_[place[0]] for place in best]))
        coef = np.mean([np.atleast_2d(model.coef_) for model in chosen], axis=0)
        intercept = np.mean([model.intercept_ for model in chosen], axis=0)
        n_iter = max(model.n_iter_ for model in chosen)
        vars(self).update(self._reconstruction(coef, intercept, n_iter, loss=loss, dtype=sample.X.dtype))

    # -- after fitting ----------------------------------------------------------------------------------------------

    def score(self, X, y, sample_weight=None, offset=None, **score_params):
        """Score by `scoring`; without it, the estimator's own: accuracy, R², or D² for losses with a log link.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, as :meth:`fit` takes them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like of shape (n_samples,), default=None
            Added to each row's raw prediction. Only without `scoring`, whose scorers predict without one.
        **score_params : dict
            With metadata routing: for the scorer.

        Returns
        -------
        score : float
            The score of the predictions for X.
        """
        _raise_for_params(score_params, self, "score")
        if self.scoring is None:
            given = {"sample_weight": sample_weight, "offset": offset}
            return super().score(X, y, **{name: value for name, value in given.items() if value is not None})
        if offset is not None:
            raise ValueError(f"offset was given, but the scorer of scoring={self.scoring!r} predicts without one.")
        routed = self._route("score", sample_weight, score_params)
        return self._scorer()(self, X, y, **routed.scorer.score)

    def get_metadata_routing(self):
        """Who gets what: see scikit-learn's guide to metadata routing.

        Returns
        -------
        routing : MetadataRouter
            Of this estimator, the splitter and the scorer.
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
            .add(
                scorer=self._scorer(),
                method_mapping=MethodMapping().add(caller="score", callee="score").add(caller="fit", callee="score"),
            )
        )


class _Fold:
    """What a `Part` reads of the rows that a fold is scored on."""

    def __init__(self, sample, test, params):
        self.y, self.settings = sample.y, {"test": test}
        self._sample, self._params = sample, params

    def params(self, kind, which):
        """What the scorer gets besides rows and targets."""
        return self._params

    def rows(self, which):
        """Rows and targets."""
        test = self.settings[which]
        return self._sample.X[test], self.y[test]


def _raw_of_fold(model, offset, X, given=None):
    """Raw predictions for the rows of a fold, whose offset scorers do not know."""
    return type(model)._raw(model, X, offset if given is None else given)


class _Hooks:
    """Runs scikit-learn's callbacks: a task for each fit, as many as are done by the share of the work that is."""

    def __init__(self, estimator, context, passed):
        self._estimator, self._context, self._passed = estimator, context, passed
        self._done, self._stopped = 0, False

    def progress(self, share):
        """Report the share that is done; return whether a callback has asked to stop."""
        while not self._stopped and self._done < int(share * self._context.max_subtasks):
            task = self._context.subcontext(task_name="fold")
            task.call_on_fit_task_begin(estimator=self._estimator, **self._passed)
            self._stopped = bool(task.call_on_fit_task_end(estimator=self._estimator, **self._passed))
            self._done += 1
        return self._stopped


class Unfinished(Exception):
    """In place of a fit that a callback left out.

    Attributes
    ----------
    fit : callable
        Does it.
    """

    def __init__(self, fit):
        super().__init__("training was stopped")
        self.fit = fit


def fit_all(models, sample, subsets, n_jobs, progress=None):
    """Fit every model to every subset of the rows.

    Parameters
    ----------
    models : list of estimators
    sample : Sample
        Checked.
    subsets : list of (ndarray or None)
        Rows to train on; None: all.
    n_jobs : int or None
        Threads; None: as many as OpenMP may use.
    progress : callable or None, default=None
        Called now and then with the share of the work that is done, in [0, 1]; with 1 in the end. If it returns True,
        fits that are not done are left out.

    Returns
    -------
    fits : list of list of (estimator or Exception)
        For each subset and model what became of it; :class:`Unfinished` if nothing.
    """
    params = {name: getattr(sample, name) for name in ("sample_weight", "offset")}
    rows = [None if subset is None else row_numbers(subset, len(sample.y)) for subset in subsets]
    together = [k for k, subset in enumerate(subsets) if subset is None or rows[k] is not None]
    total = len(models) * len(subsets)
    with config_context(assume_finite=True):
        many = ManyFits(models, sample.X, sample.y, [rows[k] for k in together], params)
        done = many.run(n_jobs=None if n_jobs is None else effective_n_jobs(n_jobs),
                        progress=progress and (lambda share: progress(share * len(many.cells) / total)))
    outcomes = {(m, together[place]): fit.error or fit.estimator for (m, place), fit in done.items()}
    for (m, model), (k, subset) in product(enumerate(models), enumerate(subsets)):
        if len(done) < len(many.cells) or (progress and len(outcomes) < total and progress(len(outcomes) / total)):
            break
        if (m, k) not in outcomes:
            outcomes[m, k] = _fit_alone(model, sample, subset, params)
    fits = [
        [outcomes[m, k] if (m, k) in outcomes else Unfinished(partial(_fit_alone, model, sample, subset, params))
         for m, model in enumerate(models)]
        for k, subset in enumerate(subsets)
    ]
    if progress is not None:
        progress(1.0)
    failed = [fit for row in fits for fit in row if isinstance(fit, Exception) and not isinstance(fit, Unfinished)]
    if failed:
        warnings.warn(
            f"{len(failed)} of {len(models) * len(subsets)} fits failed, and have no score. The first error was: "
            f"{failed[0]}",
            FitFailedWarning,
            stacklevel=5,
        )
    return fits


def _fit_alone(model, sample, subset, params):
    """Fit a model as its own `fit` does: what cannot share a block with others."""
    part = slice(None) if subset is None else subset
    given = {name: value[part] for name, value in params.items() if value is not None}
    try:
        return clone(model).fit(sample.X[part], sample.y[part], **given)
    except Exception as error:  # whatever it is: the others go on
        return error


def _penalties(ratios):
    """What strengths of paths are computed for."""
    return [name for name, there in (("l1", np.any(ratios > 0)), ("l2", np.any(ratios == 0))) if there]


def _descending(highest, ratio, eps, n_alphas):
    """A path of strengths, given the highest of l1 and of l2."""
    start, end = (highest["l1"] / max(ratio, FLOOR), eps) if ratio > 0 else (highest["l2"], eps**L2_LENGTH)
    return np.geomspace(start, end * start, n_alphas) if start > RESOLUTION else np.full(n_alphas, RESOLUTION)


def _best(scores):
    """The place of the highest score, of equal ones the first: that with the strongest penalty."""
    if not np.any(np.isfinite(scores)):
        raise ValueError("No alpha has a score: every fit or its score failed, if only in a fold; warnings say how.")
    return np.unravel_index(np.nanargmax(scores), scores.shape)


def _numbers(name, values, high=np.inf):
    """A vector of numbers of at least 0."""
    numbers = np.atleast_1d(np.asarray(values))
    good = numbers.ndim == 1 and len(numbers) > 0 and numbers.dtype.kind in "iuf"
    if not good or not np.all((numbers >= 0) & (numbers <= high) & np.isfinite(numbers)):
        within = "finite numbers of at least 0" if high == np.inf else f"numbers in [0, {high:g}]"
        raise ValueError(f"{name} must be one or more {within}, got {values!r}.")
    return numbers.astype(np.float64)

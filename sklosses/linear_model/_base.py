"""The way from `fit` to fitted attributes: validation, `Problem`, solver, attributes. One for all estimators."""

import functools
import warnings

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._base import SparseCoefMixin
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted

from sklosses import solvers
from sklosses.exceptions import DivergenceError
from sklosses.linear_model._monitor import EpochHooks, FitMonitor, ValidationScore, reached
from sklosses.linear_model._parameters import (
    all_satisfied,
    check_settings,
    knows_its_kinks,
    resolve_loss,
    with_suggestion,
)
from sklosses.linear_model._validation import Sample, check_matrix, check_offset, check_start, check_weights
from sklosses.solvers import SGD, State, objective

#: Times the objective of the model without coefficients from which `fit` warns.
USELESS = 1e6


def unchanged_on_failure(method):
    """Leave the estimator as it was before, should `method` raise anything, Ctrl-C included."""

    @functools.wraps(method)
    def guarded(self, *args, **kwargs):
        before, generator = dict(vars(self)), getattr(self, "random_state", None)
        drawn = generator.get_state() if isinstance(generator, np.random.RandomState) else None
        try:
            return method(self, *args, **kwargs)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            if drawn is not None:
                generator.set_state(drawn)
            raise

    return guarded


class BaseSGD(CallbackSupportMixin, SparseCoefMixin, BaseEstimator):
    """What the three estimators share. They say how targets become columns and how columns become attributes.

    An estimator has the class attribute `_task` and the methods `_check_y(given, n_rows, loss)` and
    `_check_y_val(y, n_rows, loss)`, which return checked targets, and `_problem(sample, loss, subset)`, which makes a
    `Problem` of them.
    """

    _task = None

    # -- parameters -------------------------------------------------------------------------------------------------

    def _validate_params(self):
        if all_satisfied(self):
            return
        try:
            super()._validate_params()
        except ValueError as error:
            raise with_suggestion(error, self) from None

    def _resolve(self, *, partial=False):
        """The loss of these parameters, after checking that they go together."""
        loss = resolve_loss(self, self._task)
        check_settings(self, loss, self._task, partial=partial)
        return loss

    def _fitted_loss(self):
        """The loss that was trained, or that would be."""
        loss = getattr(self, "_loss", None)
        return resolve_loss(self, self._task) if loss is None else loss

    def _solver(self, loss, problem):
        n_jobs, schedule = getattr(self, "n_jobs", None), self.learning_rate
        if schedule == "auto" and knows_its_kinks(loss) and solvers.Auto.can(problem):
            auto = solvers.Ordered if getattr(self, "non_crossing", False) else solvers.Auto
            return auto(n_jobs=n_jobs, n_iter_no_change=self.n_iter_no_change)
        if schedule == "auto":
            # Nothing is known of the user's own loss but slopes, or the table is wide and the loss not convex: steps
            # are all there is.
            schedule = "optimal" if self._task == "classification" and self.alpha > 0 else "invscaling"
        return SGD(
            learning_rate=schedule,
            eta0=self.eta0,
            power_t=self.power_t,
            average=int(self.average),
            shuffle=bool(self.shuffle),
            batch_size=self.batch_size,
            n_iter_no_change=self.n_iter_no_change,
            n_jobs=1 if n_jobs is None else n_jobs,
            alpha=self.alpha,
        )

    # -- fitting ----------------------------------------------------------------------------------------------------

    def _fit(self, given):
        """Train from the start, or from where `warm_start` and the caller say, until the solver stops."""
        loss = self._resolve()
        sample = self._check_sample(given, loss, reset=True, allow_all_zero=self.early_stopping and given.X_val is None)
        n_columns = self._n_columns()
        start = self._start(given, n_columns, sample.X.shape[1])
        validation, subset = self._hold_out(given, sample, loss)
        problem = self._problem(sample, loss, subset)
        attributes = functools.partial(self._reconstruction, loss=loss, dtype=sample.X.dtype)

        context = hooks = None
        if getattr(self, "_skl_callbacks", None):
            # Readings of samples are no epochs: their number is not known in advance.
            context = self._init_callback_context(max_subtasks=None if self.learning_rate == "auto" else self.max_iter)
            passed = for_callbacks(given, subset)
            context.call_on_fit_task_begin(estimator=self, **passed)
            hooks = EpochHooks(self, context, passed, attributes(start.coef, start.intercept, 0))
        solver, zero = self._solver(loss, problem), self._zero(n_columns, sample.X.shape[1])
        if self.learning_rate == "auto" and not np.any(start.coef) and np.array_equal(start.intercept, zero.intercept):
            start = None  # solvers know a better one than zero
        result = self._solve(
            solver, problem, start, attributes, max_iter=self.max_iter, validation=validation, hooks=hooks
        )
        self._keep(result, attributes(result.coef, result.intercept, result.n_iter))
        if context is not None:
            context.call_on_fit_task_end(estimator=self, reconstruction_attributes={}, **passed)
        self._warn(problem, result)
        return self

    def _partial_fit(self, given):
        """Train one epoch from where the model stands."""
        loss = self._resolve(partial=True)
        first = getattr(self, "coef_", None) is None
        sample = self._check_sample(given, loss, reset=first, allow_all_zero=False)
        n_columns, n_features = self._n_columns(), sample.X.shape[1]
        start = self._zero(n_columns, n_features) if first else self._state(n_columns, n_features)
        attributes = functools.partial(self._reconstruction, loss=loss, dtype=sample.X.dtype)
        problem = self._problem(sample, loss, None)
        if self.learning_rate == "auto":
            solver = solvers.Streaming(forgetting=self.forgetting, shuffle=bool(self.shuffle))
        else:
            solver = self._solver(loss, problem)
        result = self._solve(solver, problem, start, attributes, max_iter=1)
        self._keep(result, attributes(result.coef, result.intercept, result.n_iter))
        return self

    def _check_sample(self, given, loss, *, reset, allow_all_zero):
        """Everything the solver reads of the training rows, checked."""
        if given.y is None and self.__sklearn_tags__().target_tags.required:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X = check_matrix(self, given.X, reset=reset)
        n_rows = X.shape[0]
        weights = check_weights(given.sample_weight, n_rows, allow_all_zero=allow_all_zero)
        self._refuse_negative(weights)
        return Sample(
            X,
            self._check_y(given, n_rows, loss),
            weights,
            check_offset(given.offset, n_rows),
        )

    def _refuse_negative(self, weights):
        """Raise for weights with which there is no minimum, where one is asked for."""
        if self.learning_rate == "auto" and weights is not None and np.min(weights, initial=0.0) < 0:
            raise ValueError(
                f"sample_weight contains {np.min(weights):g}; with learning_rate='auto' weights must be at least 0: "
                "with negative ones there is no minimum."
            )

    def _n_columns(self):
        """Columns of coefficients that the targets just checked ask for."""
        return 1

    def _zero(self, n_columns, n_features):
        """The state of a model that has seen nothing: its fitted attributes would all be zero."""
        state = State(np.zeros((n_columns, n_features)), self._flip(np.zeros(n_columns)))
        if self.average:
            state.average_coef = np.zeros((n_columns, n_features))
            state.average_intercept = np.zeros(n_columns)
        return state

    def _start(self, given, n_columns, n_features):
        """Where a `fit` starts: given weights, weights of the last fit (`warm_start`), or zero."""
        state = self._zero(n_columns, n_features)
        coef, intercept = given.coef_init, given.intercept_init
        if self.warm_start and getattr(self, "coef_", None) is not None:
            coef = _dense(self.coef_) if coef is None else coef
            intercept = getattr(self, self._intercept_name) if intercept is None else intercept
        if coef is not None:
            state.coef = check_start(coef, state.coef.shape, name="coef_init")
        if intercept is not None:
            name = self._intercept_name.replace("_", "_init")
            state.intercept = self._flip(check_start(intercept, state.intercept.shape, name=name))
        return state

    def _state(self, n_columns, n_features):
        """Where the model stands: its weights, or what they were before averaging."""
        if np.shape(self.coef_)[-1] != n_features:
            raise ValueError(f"X has {n_features} features, coef_ has {np.shape(self.coef_)[-1]}.")
        auto = self.learning_rate == "auto"
        standard = self.average and hasattr(self, "_standard_coef") and not auto
        coef = self._standard_coef if standard else _dense(self.coef_)
        intercept = self._standard_intercept if standard else self._flip(getattr(self, self._intercept_name))
        state = self._zero(n_columns, n_features)
        state.coef[...] = np.reshape(coef, state.coef.shape)
        state.intercept[...] = intercept
        state.t, state.steps = float(getattr(self, "t_", 1.0)), getattr(self, "_steps", None)
        if standard:
            state.average_coef[...] = np.reshape(self._average_coef, state.coef.shape)
            state.average_intercept[...] = self._average_intercept
            state.averaged = self._averaged
        stream = getattr(self, "_stream", None)
        if auto and stream is not None:
            state.stream = stream
            self._undo_rounding(state)
        return state

    def _undo_rounding(self, state):
        """Give the coefficients of a stream all their digits, where the attributes are what it left."""
        model = state.stream.model()
        if model[0].shape != state.coef.shape:
            return
        as_left = self._reconstruction(*model, 0, loss=None, dtype=self.coef_.dtype)
        if np.array_equal(as_left["coef_"], _dense(self.coef_)):
            state.coef[...] = model[0]
        if np.array_equal(as_left[self._intercept_name], getattr(self, self._intercept_name)):
            state.intercept[...] = model[1]

    def _seed(self):
        """The seed of the row order: the number that scikit-learn's estimator would draw from `random_state` for it."""
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _solve(self, solver, problem, start, attributes, *, max_iter, validation=None, hooks=None):
        """Run a solver; return its result with the validation scores in its history."""
        monitor = None
        if validation is not None or hooks is not None or self.verbose:
            monitor = FitMonitor(attributes, validation=validation, hooks=hooks, verbose=bool(self.verbose))
        result = solver.solve(
            problem,
            tol=self.tol,
            max_iter=max_iter,
            random_state=self._seed(),
            monitor=monitor,
            state=start,
        )
        if validation is not None:
            result.history["validation_score"] = np.array(monitor.scores)
        return result

    # -- validation set ---------------------------------------------------------------------------------------------

    def _hold_out(self, given, sample, loss):
        """Return the `ValidationScore` of this fit or None, and the rows that remain to be trained on or None."""
        if given.X_val is None:
            for name in ("y_val", "sample_weight_val", "offset_val"):
                if getattr(given, name) is not None:
                    raise ValueError(f"{name} was given without X_val.")
            if not self.early_stopping:
                return None, None
            trained, held = self._split(sample)
            self._check_y_val(held.y, len(held.y), loss)
            return ValidationScore(self, held, decides=True), trained
        if given.y_val is None:
            raise ValueError("X_val was given without y_val.")
        held = self._check_validation(given, loss)
        return ValidationScore(self, held, decides=bool(self.early_stopping)), None

    def _split(self, sample):
        """Split off `validation_fraction` of the rows: return the positions to train on and the rows held out."""
        one_label = self._task == "classification" and sample.y.ndim == 1
        splitter = StratifiedShuffleSplit if one_label else ShuffleSplit
        cv = splitter(test_size=self.validation_fraction, random_state=self.random_state)
        train, test = next(cv.split(np.zeros((len(sample.y), 1)), sample.y))
        weights = sample.sample_weight
        if weights is not None and not np.any(weights[test] > 0):
            raise ValueError(
                "The sample weights for validation set are all zero, consider using a different random state."
            )
        if weights is not None and not np.any(weights[train]):
            raise ValueError(
                "The sample_weight of the rows left for training are all zero, consider using a different random state."
            )
        return np.sort(train).astype(np.intp), sample.take(test)

    def _check_validation(self, given, loss):
        """The rows of `X_val` and what belongs to them, checked against the training set."""
        X = check_matrix(self, given.X_val, reset=False, name="X_val")
        n_rows = X.shape[0]
        return Sample(
            X,
            self._check_y_val(given.y_val, n_rows, loss),
            check_weights(given.sample_weight_val, n_rows, name="sample_weight_val"),
            check_offset(given.offset_val, n_rows, name="offset_val"),
        )

    # -- attributes -------------------------------------------------------------------------------------------------

    _intercept_name = "intercept_"

    def _flip(self, intercept):
        """Between the solver's intercept and the fitted attribute."""
        return intercept

    def _shaped(self, coef):
        """Coefficients of shape (n_columns, n_features) as they are in `coef_`."""
        return coef[0]

    def _reconstruction(self, coef, intercept, n_iter, *, loss, dtype):
        """Every fitted attribute that predicting needs, of a model with these weights."""
        attributes = {
            "coef_": np.array(self._shaped(coef), dtype=dtype, order="C"),
            self._intercept_name: np.array(self._flip(intercept), dtype=dtype),
            "n_iter_": n_iter,
            "_loss": loss,
        }
        for name in ("classes_", "multilabel_", "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                attributes[name] = getattr(self, name)
        return attributes

    def _keep(self, result, attributes):
        """Make the result the estimator's fitted attributes."""
        state = result.state
        kept = {name: attributes[name] for name in ("coef_", self._intercept_name)} | {"objective_": result.objective}
        for name, value in kept.items():
            if not np.all(np.isfinite(value)):
                raise DivergenceError(
                    f"Floating-point under-/overflow occurred at epoch #{result.n_iter}. Scaling input data with "
                    f"StandardScaler or MinMaxScaler might help. {name} does not fit into {value.dtype}."
                )
        averaging = ("_standard_coef", "_standard_intercept", "_average_coef", "_average_intercept", "_averaged")
        for name in (*averaging, "_stream"):
            vars(self).pop(name, None)
        vars(self).update(attributes)
        self.t_ = float(state.t)
        self._steps = state.steps
        if state.stream is not None:
            self._stream = state.stream
        vars(self).update(reached(result.objective, result.gap))
        self.history_ = dict(result.history)
        self.solver_ = result.solver
        alone, certified = len(result.objective) == 1, result.gap is not None
        self.gap_kind_ = None if not certified else result.gap_kind[0] if alone else result.gap_kind
        if self.average:
            # Of solvers that take no steps, the model is its own mean.
            averaged = state.average_coef is not None
            self._standard_coef = self._shaped(state.coef)
            self._standard_intercept = state.intercept
            self._average_coef = self._shaped(state.average_coef if averaged else state.coef)
            self._average_intercept = state.average_intercept if averaged else state.intercept
            self._averaged = state.averaged

    def _warn(self, problem, result):
        """Warn of what scikit-learn warns of, and of weights that predict worse than none by orders of magnitude."""
        if np.any(result.objective > USELESS):
            start = self._zero(problem.n_columns, problem.n_features)
            if np.any(result.objective > USELESS * np.maximum(objective(problem, start.coef, start.intercept), 1)):
                warnings.warn(
                    f"Training ended at an objective of {np.max(result.objective):.3g}, far worse than without any "
                    "coefficients. Scale the columns of X (StandardScaler), or choose another learning_rate or eta0.",
                    ConvergenceWarning,
                    stacklevel=6,
                )
        if result.gap is not None:
            self._warn_of_gap(result)
        elif self.tol is not None and result.n_iter == self.max_iter and not result.converged:
            warnings.warn(
                "Maximum number of iteration reached before convergence. Consider increasing max_iter to improve "
                "the fit.",
                ConvergenceWarning,
                stacklevel=6,
            )
        if self.verbose and result.converged:
            seconds = result.history["seconds"][-1]
            print(f"Convergence after {result.n_iter} epochs took {seconds:.2f} seconds")
        if self.power_t < 0:
            warnings.warn(
                "Negative values for `power_t` are deprecated in version 1.8 and will raise an error in 1.10. "
                "Use values in the range [0.0, inf) instead.",
                FutureWarning,
                stacklevel=6,
            )

    def _warn_of_gap(self, result):
        """Warn if the tolerance was not reached."""
        if self.tol and not result.converged:
            known, ended = np.max(result.gap), result.n_iter >= self.max_iter
            advice = (
                "There is no minimum: without a penalty the loss falls for ever as coefficients grow, as with classes "
                "that a plane separates. Choose a penalty, and alpha > 0." if result.endless else
                "Maximum number of iteration reached before convergence. Consider increasing max_iter to improve the "
                "fit." if ended else "Rounding allows no more; raise tol, or scale the columns of X."
            )
            near = (f"down to {np.min(result.objective):.2g}" if result.endless else
                    f"certified to within {known:.2g} of its minimum" if known < np.inf else "not certified yet")
            warnings.warn(
                f"{advice} The objective is {near}; tol={self.tol:g} asks for less.",
                ConvergenceWarning,
                stacklevel=7,
            )

    # -- predicting -------------------------------------------------------------------------------------------------

    def _raw(self, X, offset=None):
        """Raw predictions: of shape (n_samples,), or (n_samples, n_columns) where there is more than one column."""
        check_is_fitted(self)
        given, tells = X, _telling(self.coef_)
        X = check_matrix(self, given, reset=False, finite=tells is None)
        offset = check_offset(offset, X.shape[0])
        with np.errstate(invalid="ignore"):     # which is looked for where it is not wanted
            raw = safe_sparse_dot(X, self.coef_.T, dense_output=True).reshape(X.shape[0], -1)
        if tells is not None and not np.isfinite(raw[:, tells]).all():
            check_matrix(self, given, reset=False)
        raw = raw + self._constant()
        if offset is not None:
            raw = raw + offset[:, None]
        return raw[:, 0] if raw.shape[1] == 1 else raw

    def _constant(self):
        """What raw predictions add to `X @ coef_.T`."""
        return self.intercept_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _telling(coef):
    """The number of a column of which predictions are finite for finite rows only; None if there is none.

    No coefficient of it is 0: what is not finite in a row is not in the prediction.
    """
    if issparse(coef):
        return None
    told = np.all(coef != 0, axis=-1)
    return int(np.argmax(told)) if np.any(told) else None


def _dense(coef):
    return coef.toarray() if issparse(coef) else coef


def for_callbacks(given, subset):
    """What callbacks get to see: the caller's own rows, cut to those trained on when a callback asks for them."""
    metadata = {name: getattr(given, name) for name in ("sample_weight", "offset")}
    metadata = {name: value for name, value in metadata.items() if value is not None} or None
    if subset is None:
        return {"X": given.X, "y": given.y, "metadata": metadata}

    @functools.cache
    def cut(name):
        return _safe_indexing(getattr(given, name), subset)

    return {
        "X": lambda: cut("X"),
        "y": lambda: cut("y"),
        "metadata": metadata and (lambda: {name: cut(name) for name in metadata}),
    }

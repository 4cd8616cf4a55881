"""What happens around every epoch of a fit: callbacks, the validation score, a line of text."""

import copy

import numpy as np
from sklearn import config_context

from sklosses.solvers import Monitor, Verdict


class ValidationScore:
    """Scores weights by the estimator's own `score` method on rows it does not train on.

    Parameters
    ----------
    estimator : estimator instance
        Copied: the scores come from the copy, which shares parameters and nothing it is given afterwards.
    sample : Sample
        Checked rows with targets; labels as they are in `classes_`.
    decides : bool
        Whether the score stops the training and chooses the weights, or is only recorded.
    """

    def __init__(self, estimator, sample, *, decides):
        self._estimator = copy.copy(estimator)
        self._sample = sample
        # Only what was given is passed on, so that a subclass may have a `score(X, y)` of its own.
        metadata = {"sample_weight": sample.sample_weight, "offset": sample.offset}
        self._metadata = {name: value for name, value in metadata.items() if value is not None}
        self.decides = decides

    def __call__(self, attributes):
        """Score of the estimator with these fitted attributes."""
        vars(self._estimator).update(attributes)
        # The rows are arrays by now: names that cannot be compared would be warned about in every epoch.
        vars(self._estimator).pop("feature_names_in_", None)
        with config_context(assume_finite=True):
            return float(self._estimator.score(self._sample.X, self._sample.y, **self._metadata))


class EpochHooks:
    """Runs scikit-learn's callbacks around each epoch.

    Parameters
    ----------
    estimator : estimator instance
        Being fitted.
    context : sklearn.callback.CallbackContext
        Of the fit.
    passed : dict
        `X`, `y` and `metadata` for the callbacks.
    attributes : dict
        Fitted attributes of the model as it starts.
    """

    def __init__(self, estimator, context, passed, attributes):
        self._estimator = estimator
        self._context = context
        self._passed = passed
        self._attributes = attributes
        self._epoch = None

    def begin(self):
        """Open the epoch's context."""
        self._epoch = self._context.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(
            estimator=self._estimator, reconstruction_attributes=self._attributes, **self._passed
        )

    def end(self, attributes):
        """Close the epoch's context; return whether a callback asks to stop."""
        self._attributes = attributes
        return self._epoch.call_on_fit_task_end(
            estimator=self._estimator, reconstruction_attributes=attributes, **self._passed
        )


class FitMonitor(Monitor):
    """Watches the solver for an estimator.

    Parameters
    ----------
    attributes : callable
        Makes the fitted attributes of an epoch: `attributes(coef, intercept, n_iter)`.
    validation : ValidationScore or None
    hooks : EpochHooks or None
    verbose : bool
        Whether to print each epoch.

    Attributes
    ----------
    scores : list of float
        Validation score of each epoch.
    """

    def __init__(self, attributes, *, validation=None, hooks=None, verbose=False):
        self._attributes = attributes
        self._validation = validation
        self._hooks = hooks
        self._verbose = verbose
        self.scores = []

    def begin(self, epoch):
        """Announce the epoch."""
        if self._verbose:
            print(f"-- Epoch {epoch + 1}")
        if self._hooks is not None:
            self._hooks.begin()

    def end(self, epoch):
        """Score the epoch, report it, and ask the callbacks whether to go on."""
        validation, score, stop = self._validation, None, False
        if validation is not None or self._hooks is not None:
            attributes = self._attributes(epoch.coef, epoch.intercept, epoch.number + 1)
        if validation is not None:
            score = validation(attributes)
            self.scores.append(score)
        if self._verbose:
            _print_epoch(epoch, score)
        if self._hooks is not None:
            stop = self._hooks.end(attributes | reached(epoch.objective, epoch.gap))
        return Verdict(stop=stop, score=score if validation is not None and validation.decides else None)


def reached(objective, gap):
    """The attributes `objective_` and `gap_`, of one column as numbers; nan where a solver certifies nothing."""
    gap = np.full(len(objective), np.nan) if gap is None else gap
    found = {"objective_": objective, "gap_": gap}
    return {name: float(of[0]) if len(of) == 1 else np.array(of) for name, of in found.items()}


def _print_epoch(epoch, score):
    """Print an epoch in scikit-learn's words; objectives and intercepts of several columns side by side."""

    def listed(values):
        return ", ".join(f"{value:.6f}" for value in values)

    line = (
        f"Norm: {np.linalg.norm(epoch.coef):.2f}, NNZs: {np.count_nonzero(epoch.coef)}, "
        f"Bias: {listed(epoch.intercept)}, Objective: {listed(epoch.objective)}"
    )
    print(line if score is None else f"{line}, Validation score: {score:.6f}")
    print(f"Total training time: {epoch.seconds:.2f} seconds.")

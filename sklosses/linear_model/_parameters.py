"""Parameters on their way in: what each may be, and what to say when it is something else."""

import difflib
import re
from functools import cache, lru_cache
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods, Interval, InvalidParameterError, StrOptions, make_constraint

from sklosses.losses import EMBEDDING_LOSSES, LOSSES, MULTICLASS_LOSSES, get_loss, loss_names
from sklosses.losses._registry import unknown_loss

#: The losses of the passive-aggressive schedules.
_PASSIVE_AGGRESSIVE = {"classification": "hinge", "regression": "epsilon_insensitive"}

#: Default of the estimators' `epsilon`, scikit-learn's.
DEFAULT_EPSILON = 0.1

#: What the losses of each task are for, and the estimator that trains them.
_PLACES = {
    "regression": ("numbers", "SGDRegressor"),
    "classification": ("labels", "SGDClassifier"),
    "embedding": ("embeddings", "LinearEmbedding"),
}

#: Types whose values cannot change.
_PLAIN = frozenset({bool, float, int, str, type(None)})

SCHEDULES = ("constant", "optimal", "invscaling", "adaptive", "pa1", "pa2")
PENALTIES = ("l2", "l1", "elasticnet")


def str_options(names):
    """`StrOptions` that lists the names in their own order, the same in every process."""
    return StrOptions(dict.fromkeys(names).keys())


#: Constraints of the parameters that all three estimators have.
COMMON = {
    "fit_intercept": ["boolean"],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left"), None],
    "shuffle": ["boolean"],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
    "learning_rate": [str_options(SCHEDULES)],
    "eta0": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, None, None, closed="neither")],
    "warm_start": ["boolean"],
    "average": [Interval(Integral, 0, None, closed="neither"), "boolean"],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "forgetting": [Interval(Real, 0, 1, closed="right")],
}

#: Constraints of the parameters that the supervised estimators share.
SUPERVISED = COMMON | {
    "penalty": [str_options(PENALTIES), None],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "learning_rate": [str_options((*SCHEDULES, "auto"))],
}

_POSITIVE = [Interval(Real, 0, None, closed="neither")]
_FRACTION = [Interval(Real, 0, 1, closed="neither")]

#: Constraints of the parameters that are handed to a loss given by name.
OF_LOSSES = {
    "epsilon": [Interval(Real, 0, None, closed="left")],
    "quantile": _FRACTION,
    "expectile": _FRACTION,
    "power": [Interval(Real, None, None, closed="neither")],
    "scale": _POSITIVE,
    "width": _POSITIVE,
    "gamma": [Interval(Real, 0, None, closed="left")],
    "pos_weight": _POSITIVE,
}


def loss_constraint(task):
    """Constraint of the parameter `loss`: a name, or a class or an instance, of ours or of the user's."""
    names = loss_names(task) + (loss_names("multiclass") if task == "classification" else ())
    return [str_options(names), HasMethods(["value", "gradient"])]


def resolve_loss(estimator, task):
    """Return the loss an estimator is to train, as an object of its own.

    A name takes the loss's parameters from the estimator's parameters of the same name; a class and an
    instance bring their own.

    Parameters
    ----------
    estimator : estimator instance
        Has `loss` and the parameters of losses.
    task : {"classification", "regression"}
        What the estimator does.

    Returns
    -------
    loss : Loss
        Never the caller's own instance, so nobody changes it behind a fitted model.

    Raises
    ------
    ValueError
        If the loss does not do this task.
    """
    given = estimator.loss
    if isinstance(given, str):
        known = LOSSES | MULTICLASS_LOSSES
        names = known[given].ranges if given in known else ()
        loss = get_loss(given, **{name: getattr(estimator, name) for name in names if hasattr(estimator, name)})
    elif isinstance(given, type):
        loss = get_loss(given)
    else:
        loss = clone(get_loss(given))
    name = type(estimator).__name__
    if task not in loss.tasks:
        raise ValueError(f"The 'loss' parameter of {name} must be a {task} loss. Got {given!r} instead.{_other(loss)}")
    if task == "regression" and is_quantile_set(loss):
        _check_quantiles(loss)
    elif loss.n_columns != 1:
        raise ValueError(
            f"{name} trains one column of coefficients for each target: the parameters of its loss, but a regressor's "
            f"quantile, must be numbers. Got {loss!r}, which is {loss.n_columns} losses."
        )
    return loss


def is_quantile_set(loss):
    """Whether a loss is several quantiles, each to be predicted."""
    return np.ndim(getattr(loss, "quantile", None)) == 1


def _check_quantiles(loss):
    """Refuse sets of quantiles that are not in order, and other parameters that are sets."""
    quantiles, others = np.asarray(loss.quantile), loss.get_params().keys() - {"quantile"}
    if len(quantiles) != loss.n_columns or any(np.ndim(getattr(loss, name)) for name in others):
        raise ValueError(f"Of the parameters of a loss only quantile may hold several numbers, got {loss!r}.")
    if not np.all(np.diff(quantiles) > 0):
        raise ValueError(f"quantile must be increasing, no value twice: got {loss.quantile!r}.")


def check_settings(estimator, loss, task, *, partial):
    """Raise for parameters that are fine alone and not together."""
    if partial and estimator.early_stopping:
        raise ValueError("early_stopping should be False with partial_fit")
    if estimator.learning_rate == "optimal" and estimator.alpha == 0:
        raise ValueError(
            "alpha must be > 0 since learning_rate is 'optimal'. alpha is used to compute the optimal learning rate."
        )
    if estimator.learning_rate in ("pa1", "pa2") and loss.name != _PASSIVE_AGGRESSIVE[task]:
        raise ValueError(
            f"Learning rate '{estimator.learning_rate}' only works with loss '{_PASSIVE_AGGRESSIVE[task]}', "
            f"got {loss!r}."
        )
    if estimator.learning_rate != "auto" and loss.traits.coupled:
        raise ValueError(
            f"{type(loss).__name__} looks at the predictions of all classes, which schedules do not: learning_rate "
            f"must be 'auto', got {estimator.learning_rate!r}."
        )
    if getattr(estimator, "non_crossing", False):
        _check_non_crossing(estimator, loss, partial)
    if estimator.penalty == "elasticnet" and estimator.l1_ratio is None:
        raise ValueError("l1_ratio must be set when penalty is 'elasticnet', got None.")


def _check_non_crossing(estimator, loss, partial):
    """Refuse settings with which quantiles cannot be kept in order."""
    if loss.name != "quantile" or loss.n_columns == 1:
        raise ValueError(f"non_crossing=True needs loss='quantile' and at least two quantiles, got {loss!r}.")
    for wrong, what in (
        (estimator.learning_rate != "auto", f"learning_rate='auto', got {estimator.learning_rate!r}"),
        (not estimator.fit_intercept, "fit_intercept=True: without intercepts only equal columns may be in order"),
        (estimator.early_stopping, "early_stopping=False: what is stopped early is not in order"),
        (partial, "fit: partial_fit knows no rows but its own"),
    ):
        if wrong:
            raise ValueError(f"non_crossing=True needs {what}.")


def knows_its_kinks(loss):
    """Whether a loss is smooth or says where its kinks are: what learning_rate="auto" needs to find a minimum."""
    traits = loss.traits
    if traits.coupled or traits.smooth:
        return True
    try:
        loss.kinks(np.empty(0))
    except NotImplementedError:
        return False
    return True


def all_satisfied(estimator):
    """Whether every parameter satisfies its constraints: scikit-learn's own check, in a tenth of its time.

    Numbers and names that have been found to do so are not checked again.
    """
    cls = type(estimator)
    values = [getattr(estimator, name) for name, _ in _constraints(cls)]
    check = _are_known_to_satisfy if _PLAIN.issuperset(map(type, values)) else _satisfy
    return check(cls, *values)


def _satisfy(cls, *values):
    """Whether values satisfy the constraints of a class's parameters."""
    return all(any(constraint.is_satisfied_by(value) for constraint in constraints)
               for (_, constraints), value in zip(_constraints(cls), values, strict=True))


_are_known_to_satisfy = lru_cache(maxsize=512, typed=True)(_satisfy)


@cache
def _constraints(cls):
    """The constraints of a class's parameters, made once."""
    of_parameters = cls._parameter_constraints
    return [(name, [make_constraint(constraint) for constraint in of_parameters[name]])
            for name in cls._get_param_names() if of_parameters.get(name, "no_validation") != "no_validation"]


def with_suggestion(error, estimator):
    """Return the error of an unknown loss, penalty or schedule with the name that was probably meant."""
    for parameter in ("loss", "penalty", "learning_rate"):
        value = getattr(estimator, parameter, None)
        if f"The {parameter!r} parameter" in str(error) and isinstance(value, str):
            options = estimator._parameter_constraints[parameter][0].options
            return InvalidParameterError(f"{error}{_hint(parameter, value, options)}")
    return error


def _hint(parameter, value, valid):
    if parameter == "penalty" and value.lower() == "none":
        return " Did you mean None?"
    if parameter == "loss":
        known = LOSSES | MULTICLASS_LOSSES | EMBEDDING_LOSSES
        if value in known:
            return _other(get_loss(value))
        suggestion = re.search(r"Did you mean .*?\?", str(unknown_loss(value, known)))
        return f" {suggestion[0]}" if suggestion else ""
    nearest = difflib.get_close_matches(value.lower(), valid, n=1, cutoff=0.5)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def _other(loss):
    """Where a loss that does not do this task belongs."""
    things, estimators = zip(*[place for task, place in _PLACES.items() if task in loss.tasks], strict=True)
    return f" {type(loss).__name__} is a loss for {' or '.join(things)}: use {' or '.join(estimators)}."


def loss_functions(task):
    """What scikit-learn's estimators have as `loss_functions`: class and default parameters of each loss by name."""
    return {name: (LOSSES[name], *_defaults(LOSSES[name])) for name in loss_names(task)}


def _defaults(cls):
    defaults = cls().get_params() | {"epsilon": DEFAULT_EPSILON}
    return tuple(defaults[name] for name in cls.ranges)

"""Losses by name."""

from difflib import get_close_matches

from sklosses._isa import kernel
from sklosses.losses._custom import as_loss, is_custom
from sklosses.losses._embedding import Center, Contrastive, Cosine, EmbeddingLoss, NTXent, SupCon, Triplet
from sklosses.losses._loss import Loss
from sklosses.losses._multiclass import CrammerSinger, MulticlassLoss, Multinomial, SmoothedCrammerSinger
from sklosses.losses._nca import NCA

LOSSES = dict(kernel("sklosses.losses._kernels").LOSSES)
EMBEDDING_LOSSES = {cls.name: cls for cls in (Contrastive, Cosine, Triplet, Center, NTXent, SupCon, NCA)}
MULTICLASS_LOSSES = {cls.name: cls for cls in (Multinomial, CrammerSinger, SmoothedCrammerSinger)}
_OURS = Loss | MulticlassLoss | EmbeddingLoss
_ALL = LOSSES | MULTICLASS_LOSSES | EMBEDDING_LOSSES

# Names that other libraries and papers use for a loss of ours. PyTorch's and Keras's classes are matched without
# regard to case, underscores and a trailing "loss"; XGBoost's and LightGBM's objectives as they are written.
ALIASES = {
    "squared_error": "mse rmse l2 least_squares squared_loss mean_squared_error reg:squarederror regression",
    "absolute_error": "mae mad l1 lad mean_absolute_error reg:absoluteerror regression_l1 least_absolute_deviation",
    "huber": "smooth_l1 huber_loss",
    "pseudo_huber": "charbonnier reg:pseudohubererror pseudo_huber_error l1_l2",
    "log_cosh": "logcosh",
    "quantile": "pinball pinball_loss reg:quantileerror",
    "expectile": "asymmetric_squared_error reg:expectileerror",
    "epsilon_insensitive": "svr eps_insensitive",
    "squared_epsilon_insensitive": "squared_svr",
    "cauchy": "lorentzian",
    "poisson": "poisson_nll count:poisson half_poisson",
    "gamma": "reg:gamma half_gamma",
    "tweedie": "reg:tweedie half_tweedie",
    "squared_log_error": "msle rmsle mean_squared_logarithmic_error reg:squaredlogerror",
    "log_loss": "binary_crossentropy binary_cross_entropy cross_entropy crossentropy bce bce_with_logits logistic "
    "binary:logistic binary:logitraw reg:logistic binary log logloss deviance binomial nll soft_margin",
    "focal": "binary_focal_crossentropy sigmoid_focal",
    "hinge": "svm hinge_embedding binary:hinge multi_margin",
    "squared_hinge": "l2_svm squared_svm",
    "exponential": "adaboost exp",
    "multinomial": "softmax categorical_crossentropy sparse_categorical_crossentropy multi:softmax multi:softprob "
    "multiclass softmax_cross_entropy multinomial_deviance kl_div kl_divergence",
    "crammer_singer": "categorical_hinge multiclass_hinge",
    "cosine": "cosine_embedding cosine_similarity",
    "triplet": "triplet_margin triplet_margin_with_distance triplet_semi_hard",
    "nt_xent": "simclr info_nce normalized_temperature_cross_entropy",
    "supcon": "sup_con supervised_contrastive",
    "nca": "neighbourhood_components_analysis neighborhood_components_analysis",
}


def _plain(name):
    """A name without what spelling adds: case, underscores, hyphens and a trailing "loss"."""
    plain = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    return plain.removesuffix("withlogitsloss").removesuffix("loss").removesuffix("withlogits") or plain


_BY_ALIAS = {_plain(alias): name for name, aliases in ALIASES.items() for alias in aliases.split()}
_BY_ALIAS |= {_plain(cls.__name__): name for name, cls in _ALL.items()}


def loss_names(task=None):
    """Names of the registered losses.

    Parameters
    ----------
    task : {"regression", "classification", "multiclass", "embedding"} or None, default=None
        Only those that can be trained for this task; "multiclass": those that read all predictions of a row. None: all
        that act on targets and raw predictions, element by element.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> from sklosses.losses import loss_names
    >>> "huber" in loss_names("regression")
    True
    """
    if task in ("multiclass", "embedding"):
        return tuple(MULTICLASS_LOSSES if task == "multiclass" else EMBEDDING_LOSSES)
    return tuple(name for name, cls in LOSSES.items() if task is None or task in cls.tasks)


def unknown_loss(name, valid):
    """The error for a name that is not among the valid ones: what it may have meant, and what there is."""
    meant = _BY_ALIAS.get(_plain(name))
    if meant is None:
        close = get_close_matches(name.lower(), valid, n=1)
        meant = close[0] if close else None
    elif meant not in valid:
        meant = None
    hint = f" Did you mean {meant!r}?" if meant else ""
    return ValueError(f"Unknown loss {name!r}.{hint} Valid: {', '.join(map(repr, sorted(valid)))}.")


def get_loss(loss, **parameters):
    """A loss by name, class or instance.

    Parameters
    ----------
    loss : str, subclass or instance of Loss, MulticlassLoss or EmbeddingLoss, or object with value and gradient
        What to look up; :func:`as_loss` makes a loss of the last.
    **parameters : dict
        Parameters of the loss; for an instance they replace its own in a copy.

    Returns
    -------
    Loss, MulticlassLoss or EmbeddingLoss

    Raises
    ------
    ValueError
        For an unknown name; if another library uses the name, or one is near, the message says what it is called here.
    TypeError
        If loss is none of the three, or does not have a parameter.

    Examples
    --------
    >>> from sklosses.losses import get_loss
    >>> get_loss("huber", epsilon=1.35)
    Huber(epsilon=1.35)
    """
    if isinstance(loss, _OURS):
        return type(loss)(**{**loss.get_params(), **parameters}) if parameters else loss
    if isinstance(loss, type) and issubclass(loss, _OURS):
        return loss(**parameters)
    if not isinstance(loss, str) and is_custom(loss):
        if parameters and not isinstance(loss, type):
            raise TypeError(f"{loss!r} has its parameters already; got {', '.join(parameters)}.")
        return as_loss(loss(**parameters) if isinstance(loss, type) else loss)
    if not isinstance(loss, str):
        raise TypeError(f"loss={loss!r} must be a name, a Loss class or a Loss instance, or have value and gradient.")
    if loss not in _ALL:
        raise unknown_loss(loss, _ALL)
    cls = _ALL[loss]
    for name in parameters:
        if name not in cls.ranges:
            raise TypeError(f"{loss!r} has no parameter {name!r}; it has: {sorted(cls.ranges) or 'none'}.")
    return cls(**parameters)


def rebuild(name, parameters):
    """Unpickle: a registered loss by its name, so that a pickle does not depend on the instruction set."""
    return LOSSES[name](**parameters)

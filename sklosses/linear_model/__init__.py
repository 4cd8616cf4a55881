"""Linear models: the estimators, and the only place that knows scikit-learn."""

from sklosses.linear_model._classifier import SGDClassifier
from sklosses.linear_model._one_class import SGDOneClassSVM
from sklosses.linear_model._regressor import SGDRegressor

__all__ = ["SGDClassifier", "SGDClassifierCV", "SGDOneClassSVM", "SGDRegressor", "SGDRegressorCV"]


def __getattr__(name):
    """Import what stands on searches when it is asked for, so that `import sklosses` stays quick."""
    if name in ("SGDClassifierCV", "SGDRegressorCV"):
        from sklosses.linear_model import _cv

        return getattr(_cv, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})

"""Linear models: the estimators, and the only place that knows scikit-learn."""

from sklosses.linear_model._classifier import SGDClassifier
from sklosses.linear_model._one_class import SGDOneClassSVM
from sklosses.linear_model._regressor import SGDRegressor

__all__ = ["SGDClassifier", "SGDOneClassSVM", "SGDRegressor"]

"""Searches over parameters that train all candidates on all folds together."""

from sklosses.model_selection._search import GridSearchCV, RandomizedSearchCV

__all__ = ["GridSearchCV", "RandomizedSearchCV"]

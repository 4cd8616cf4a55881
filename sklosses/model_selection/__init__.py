"""Choosing a model: searches that train all candidates on all folds together, pictures of searches and of paths."""

from sklosses.model_selection._display import SearchDisplay
from sklosses.model_selection._path_display import PathDisplay
from sklosses.model_selection._search import GridSearchCV, RandomizedSearchCV

__all__ = ["GridSearchCV", "PathDisplay", "RandomizedSearchCV", "SearchDisplay"]

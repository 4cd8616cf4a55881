"""Linear models for tabular data: every loss, every penalty, scikit-learn's interface, compiled kernels."""

from sklosses.embedding import LinearEmbedding
from sklosses.linear_model import SGDClassifier, SGDOneClassSVM, SGDRegressor

__all__ = ["LinearEmbedding", "SGDClassifier", "SGDOneClassSVM", "SGDRegressor"]

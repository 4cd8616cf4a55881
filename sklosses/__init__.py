"""Linear models for tabular data: every loss, every penalty, scikit-learn's interface, compiled kernels."""

from sklosses._build import VERSION as __version__
from sklosses.linear_model import SGDClassifier, SGDOneClassSVM, SGDRegressor

__all__ = ["LinearEmbedding", "SGDClassifier", "SGDClassifierCV", "SGDOneClassSVM", "SGDRegressor", "SGDRegressorCV",
           "__version__"]


def __getattr__(name):
    """Import what few programs use when it is asked for, so that `import sklosses` stays quick."""
    if name == "LinearEmbedding":
        from sklosses.embedding import LinearEmbedding

        return LinearEmbedding
    if name in ("SGDClassifierCV", "SGDRegressorCV"):
        from sklosses import linear_model

        return getattr(linear_model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})

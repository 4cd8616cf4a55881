"""Losses as functions of a target and a raw prediction: value, gradient, hessian, conjugate and proximal operator."""

from importlib import import_module

from sklosses.losses._custom import CFunctionLoss, PythonLoss, as_loss
from sklosses.losses._embedding import EmbeddingLoss
from sklosses.losses._loss import Loss
from sklosses.losses._multiclass import MulticlassLoss
from sklosses.losses._registry import EMBEDDING_LOSSES, LOSSES, MULTICLASS_LOSSES, get_loss, loss_names
from sklosses.losses._traits import Interval, Target, Traits

# What few programs use is imported when it is asked for, so that `import sklosses` stays quick.
_LATER = {"LossCheckError": "_check", "check_loss": "_check", "LossDisplay": "_display"}
_CLASSES = {cls.__name__: cls for cls in (LOSSES | MULTICLASS_LOSSES | EMBEDDING_LOSSES).values()}
globals().update(_CLASSES)

__all__ = ["EMBEDDING_LOSSES", "LOSSES", "MULTICLASS_LOSSES", "EmbeddingLoss", "Interval", "Loss", "MulticlassLoss",
           "Target", "Traits", "get_loss", "loss_names"]
__all__ += ["CFunctionLoss", "PythonLoss", "as_loss", *_LATER, *sorted(_CLASSES)]


def __getattr__(name):
    if name in _LATER:
        return getattr(import_module(f"sklosses.losses.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})

"""Losses as functions of a target and a raw prediction: value, gradient, hessian, conjugate and proximal operator."""

from sklosses.losses._check import LossCheckError, check_loss
from sklosses.losses._custom import CFunctionLoss, PythonLoss, as_loss
from sklosses.losses._display import LossDisplay
from sklosses.losses._embedding import EMBEDDING_LOSSES, EmbeddingLoss
from sklosses.losses._loss import Loss
from sklosses.losses._registry import LOSSES, get_loss, loss_names
from sklosses.losses._traits import Interval, Target, Traits

_CLASSES = {cls.__name__: cls for cls in (LOSSES | EMBEDDING_LOSSES).values()}
globals().update(_CLASSES)

__all__ = ["EMBEDDING_LOSSES", "LOSSES", "EmbeddingLoss", "Interval", "Loss", "Target", "Traits", "get_loss",
           "loss_names"]
__all__ += ["CFunctionLoss", "LossCheckError", "LossDisplay", "PythonLoss", "as_loss", "check_loss"]
__all__ += sorted(_CLASSES)

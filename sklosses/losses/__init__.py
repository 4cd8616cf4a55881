"""Losses as functions of a target and a raw prediction: value, gradient, hessian, conjugate and proximal operator."""

from sklosses.losses._loss import Loss
from sklosses.losses._registry import LOSSES, get_loss, loss_names
from sklosses.losses._traits import Interval, Target, Traits

globals().update({cls.__name__: cls for cls in LOSSES.values()})

__all__ = ["LOSSES", "Interval", "Loss", "Target", "Traits", "get_loss", "loss_names"]
__all__ += sorted(cls.__name__ for cls in LOSSES.values())

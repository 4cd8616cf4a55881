"""Penalties on the coefficients: value, proximal operator and distance to the subdifferential."""

from sklosses.penalties._penalty import L1, L2, ElasticNet, NoPenalty, Penalty
from sklosses.penalties._registry import PENALTIES, get_penalty

__all__ = ["PENALTIES", "ElasticNet", "L1", "L2", "NoPenalty", "Penalty", "get_penalty"]

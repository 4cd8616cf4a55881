"""Losses of embeddings written down from their formulas: whole matrices, generic in the type of number.

With complex arrays the functions are analytic in their arguments (norms are roots of sums of squares, comparisons look
at real parts), so complex steps differentiate them to full precision; with longdouble arrays they serve as reference.
"""

import numpy as np


def distance(a, b):
    return np.sqrt(((a - b) ** 2).sum(axis=1))


def positive_part(x):
    return np.where(np.real(x) > 0, x, 0)


def unit(z):
    square = (z**2).sum(axis=1)
    zero = np.real(square) == 0
    return np.where(zero[:, None], 0, z / np.where(zero, 1, np.sqrt(square))[:, None])


def contrastive(a, b, same, margin=1.0):
    gap = positive_part(margin - distance(a, b))
    return (same * ((a - b) ** 2).sum(axis=1) + (1 - same) * gap**2) / 2


def cosine(a, b, same, margin=0.0):
    cos = (unit(a) * unit(b)).sum(axis=1)
    return same * (1 - cos) + (1 - same) * positive_part(cos - margin)


def triplet(anchor, positive, negative, margin=1.0, squared=True):
    power = 2 if squared else 1
    return positive_part(distance(anchor, positive) ** power - distance(anchor, negative) ** power + margin)


def center(z, labels, centers):
    return ((z - centers[labels]) ** 2).sum(axis=1) / 2


def log_softmax_over_others(z, temperature):
    """log(exp(s_ik) / sum_{k != i} exp(s_ik)), s = cos / temperature; the diagonal means nothing."""
    u = unit(z)
    s = u @ u.T / temperature
    others = ~np.eye(len(z), dtype=bool)
    top = np.max(np.real(s), axis=1, where=others, initial=-np.inf, keepdims=True)
    return s - top - np.log(np.where(others, np.exp(s - top), 0).sum(axis=1, keepdims=True))


def nt_xent(z1, z2, temperature=0.5):
    n = len(z1)
    log_p = log_softmax_over_others(np.concatenate([z1, z2]), temperature)
    return -log_p[np.arange(2 * n), (np.arange(2 * n) + n) % (2 * n)]


def supcon(z, labels, temperature=0.1):
    log_p = log_softmax_over_others(z, temperature)
    positives = (labels[:, None] == labels) & ~np.eye(len(z), dtype=bool)
    count = positives.sum(axis=1)
    total = np.where(positives, log_p, 0).sum(axis=1)
    if len(np.unique(labels)) == 1:
        return 0 * total
    return np.where(count > 0, -total / np.maximum(count, 1), 0)


def log_sum_exp(s, mask):
    """log(sum exp(s_ik)) over the masked entries of each row; 0 where there is none."""
    top = np.max(np.real(s), axis=1, where=mask, initial=-np.inf, keepdims=True)
    total = np.where(mask, np.exp(np.where(mask, s - top, 0)), 0).sum(axis=1)
    return np.where(mask.any(axis=1), top[:, 0] + np.log(np.where(mask.any(axis=1), total, 1)), 0)


def nca(z, labels, temperature=1.0):
    s = -((z[:, None] - z) ** 2).sum(axis=2) / temperature
    others = ~np.eye(len(z), dtype=bool)
    positives = (labels[:, None] == labels) & others
    return np.where(positives.any(axis=1), log_sum_exp(s, others) - log_sum_exp(s, positives), 0)

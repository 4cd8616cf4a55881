"""Link functions, and the probability that each classification loss estimates."""

import numpy as np
from scipy.special import expit, logit

# name: (link from the mean to the raw prediction, inverse)
LINKS = {
    "identity": (lambda mean: mean, lambda raw: raw),
    "log": (np.log, np.exp),
    "log1p": (np.log1p, np.expm1),
    "logit": (logit, expit),
}


def truncated_linear(raw):
    """P(y = 1) where the minimiser of the expected loss is 2 P(y = 1) - 1: (clip(p, -1, 1) + 1) / 2.

    Squared error, squared hinge and modified Huber loss; T. Zhang, Annals of Statistics 32(1), 2004, section 3.
    """
    return (np.clip(raw, -1, 1) + 1) / 2


def half_logistic(raw):
    """P(y = 1) where the minimiser is log(P / (1 - P)) / 2: the exponential loss (Zhang 2004, section 3)."""
    return expit(2 * raw)


def focal(raw, gamma):
    """P(y = 1) behind the focal loss, whose sigmoid is over-cautious.

    With q = sigmoid(p) and h(v) = v / ((1 - v)^gamma - gamma (1 - v)^(gamma - 1) v log v), the posterior is
    h(q) / (h(q) + h(1 - q)): N. Charoenphakdee et al., On focal loss for class-posterior probability estimation,
    CVPR 2021, theorem 3.
    """
    q, rest = expit(raw), expit(-np.asarray(raw))
    with np.errstate(divide="ignore", invalid="ignore"):
        # Both denominators of h, each over the product of powers that they share.
        up = q * (q**gamma - gamma * q ** (gamma - 1) * rest * np.log(rest))
        down = rest * (rest**gamma - gamma * rest ** (gamma - 1) * q * np.log(q))
        ratio = up / (up + down)
    return np.where(np.isfinite(ratio), ratio, np.asarray(raw) > 0).astype(np.result_type(raw), copy=False)

"""Penalties by name."""

from difflib import get_close_matches

from sklosses.penalties._penalty import L1, L2, ElasticNet, NoPenalty, Penalty

PENALTIES = {cls.name: cls for cls in (NoPenalty, L2, L1, ElasticNet)}

# What other libraries and papers call them.
ALIASES = {"ridge": "l2", "tikhonov": "l2", "weightdecay": "l2", "lasso": "l1", "enet": "elasticnet", "no": "none"}


def unknown_penalty(name):
    """The error for a name that no penalty has: what it may have meant, and what there is."""
    plain = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    close = [ALIASES[plain]] if plain in ALIASES else get_close_matches(plain, PENALTIES, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return ValueError(f"Unknown penalty {name!r}.{hint} Valid: {', '.join(map(repr, PENALTIES))}, None.")


def get_penalty(penalty, alpha=1e-4, l1_ratio=0.15):
    """A penalty by name.

    Parameters
    ----------
    penalty : {"none", "l2", "l1", "elasticnet"}, None or Penalty instance
        What to look up; None means "none", an instance is returned as it is.
    alpha : float >= 0 or vector of them, default=1e-4
        Strength. Not used by "none".
    l1_ratio : float in [0, 1] or vector of them, default=0.15
        Share of l1. Used by "elasticnet" alone.

    Returns
    -------
    Penalty

    Raises
    ------
    ValueError
        For an unknown name (the message suggests the nearest), or a parameter out of range.
    TypeError
        If penalty is none of the three.

    Examples
    --------
    >>> from sklosses.penalties import get_penalty
    >>> get_penalty("elasticnet", alpha=0.01, l1_ratio=0.5)
    ElasticNet(alpha=0.01, l1_ratio=0.5)
    >>> get_penalty(None)
    NoPenalty()
    """
    if isinstance(penalty, Penalty):
        return penalty
    if penalty is None:
        penalty = "none"
    if not isinstance(penalty, str):
        raise TypeError(f"penalty={penalty!r} must be a name, None or a Penalty instance.")
    if penalty not in PENALTIES:
        raise unknown_penalty(penalty)
    cls = PENALTIES[penalty]
    available = {"alpha": alpha, "l1_ratio": l1_ratio}
    return cls(**{name: available[name] for name in cls.parameters})

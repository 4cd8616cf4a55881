"""What a loss declares about itself: the domain of its targets and its analytic traits."""

from dataclasses import dataclass
from functools import cached_property
from math import inf, nextafter

import numpy as np


@dataclass(frozen=True)
class Interval:
    """An interval of real numbers, for parameters and targets.

    Parameters
    ----------
    low, high : float, default=-inf, inf
        The ends. Infinite ends are open.
    low_closed, high_closed : bool, default=True
        Whether an end belongs to the interval.
    gap : tuple of two floats or None, default=None
        An open interval left out of it.

    Examples
    --------
    >>> from sklosses.losses import Interval
    >>> 0 in Interval(0, 1, low_closed=False)
    False
    """

    low: float = -inf
    high: float = inf
    low_closed: bool = True
    high_closed: bool = True
    gap: tuple[float, float] | None = None

    @cached_property
    def bounds(self):
        """The smallest and largest float64 inside, so that a closed comparison decides membership."""
        low = self.low if self.low_closed and self.low > -inf else nextafter(self.low, inf)
        high = self.high if self.high_closed and self.high < inf else nextafter(self.high, -inf)
        return low, high

    def __contains__(self, number):
        low, high = self.bounds
        return low <= number <= high and not (self.gap and self.gap[0] < number < self.gap[1])

    def __str__(self):
        left = "[" if self.low_closed and self.low > -inf else "("
        right = "]" if self.high_closed and self.high < inf else ")"
        hole = f" without ({self.gap[0]:g}, {self.gap[1]:g})" if self.gap else ""
        return f"{left}{self.low:g}, {self.high:g}{right}{hole}"


@dataclass(frozen=True)
class Target:
    """The targets that a loss takes.

    Parameters
    ----------
    low, high : float, default=-inf, inf
        Ends of the interval of admissible targets.
    low_closed, high_closed : bool, default=True
        Whether an end is admissible itself.
    codes : tuple of two floats or None, default=None
        The numbers that stand for the negative and the positive class; None for a loss that classifies nothing.
    hard : bool, default=False
        True if the codes are the only admissible targets.

    Examples
    --------
    >>> from sklosses.losses import get_loss
    >>> print(get_loss("poisson").target, get_loss("hinge").target)
    [0, inf) {-1, 1}
    """

    low: float = -inf
    high: float = inf
    low_closed: bool = True
    high_closed: bool = True
    codes: tuple[float, float] | None = None
    hard: bool = False

    @property
    def interval(self):
        """The admissible targets as an :class:`Interval`."""
        return Interval(self.low, self.high, self.low_closed, self.high_closed)

    def __str__(self):
        return f"{{{self.codes[0]:g}, {self.codes[1]:g}}}" if self.hard else str(self.interval)

    def check(self, y, name="y", loss="the loss"):
        """Raise if a target is not admissible.

        Parameters
        ----------
        y : array-like of numbers
            Targets.
        name : str, default="y"
            What the message calls the array.
        loss : str, default="the loss"
            What the message calls the loss.

        Raises
        ------
        ValueError
            If an element is outside the domain or not a number; the message names the first.
        """
        y = np.asarray(y)
        low, high = np.float64(self.interval.bounds)     # no Python floats: they would be rounded to y's float32
        good = np.isin(y, self.codes) if self.hard else (y >= low) & (y <= high)
        if not np.all(good):
            first = np.asarray(y).ravel()[np.argmin(np.ravel(good))]
            raise ValueError(f"{name} contains {first!s}, but {loss} takes targets in {self}.")


@dataclass(frozen=True)
class Traits:
    """Analytic properties of a loss as a function of the raw prediction p, for the parameters it has.

    Parameters
    ----------
    kind : {"residual", "margin", "coupled", "other"}
        Whether the loss depends on p - y alone, on y p alone (y in {-1, +1}), on all raw predictions of a row at once,
        or on y and p otherwise.
    convex : bool
        Convex in p for every admissible y.
    smooth : bool
        Continuously differentiable in p.
    lipschitz : float
        sup over p and y of abs(gradient), possibly inf.
    curvature : float
        sup over p and y of abs(hessian), possibly inf; inf for losses that are not smooth.
    self_concordance : float
        sup over p and y of abs(derivative of the hessian) / hessian: moving p by t changes the hessian by at most a
        factor exp(self_concordance abs(t)). inf, the default, where there is no such bound, or none is known.
    has_conjugate : bool
        Whether :meth:`Loss.conjugate` knows a formula.
    has_probability : bool
        Whether the minimiser of the expected loss determines P(y = positive class): :meth:`Loss.probability`.
    link : {"identity", "log", "log1p", "logit"}
        The function of the mean that p models.

    Examples
    --------
    >>> from sklosses.losses import get_loss
    >>> get_loss("huber", epsilon=1.5).traits.lipschitz
    1.5
    """

    kind: str = "other"
    convex: bool = True
    smooth: bool = True
    lipschitz: float = inf
    curvature: float = inf
    self_concordance: float = inf
    has_conjugate: bool = False
    has_probability: bool = False
    link: str = "identity"

    @property
    def coupled(self):
        """Whether the loss looks at all raw predictions of a row at once."""
        return self.kind == "coupled"

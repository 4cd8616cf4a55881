"""Errors of this package."""


class DivergenceError(FloatingPointError, ValueError):
    """Training has diverged: weights overflowed, or the objective grew beyond any use.

    The classic schedules take steps whose size knows nothing of the data. On columns of large numbers, or with a large
    ``eta0``, each step overshoots by more than the one before. Both a :class:`FloatingPointError`, which it is, and a
    :class:`ValueError`, which scikit-learn raises. The message names the epoch, the loss, the schedule and a remedy.

    Examples
    --------
    >>> from sklosses.exceptions import DivergenceError
    >>> issubclass(DivergenceError, ValueError)
    True
    """

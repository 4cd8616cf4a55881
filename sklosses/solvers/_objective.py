"""The objective of a problem, exactly."""

import numpy as np

from sklosses.solvers._columns import Team


def objective(problem, coef, intercept):
    """The objective of each column at given coefficients, in one reading of the rows.

    ::

        F(w, b) = (1/n) sum_i s_i phi(y_i, x_i.w + b + o_i) + penalty(w) + intercept_cost * b

    Parameters
    ----------
    problem : Problem
        With n rows trained on, K columns and d features.
    coef : ndarray of shape (K, d)
    intercept : ndarray of shape (K,)

    Returns
    -------
    ndarray of shape (K,), (1,) of a loss of whole rows
        Computed in float64, whatever the precision of the rows; sums are taken window by window.

    Raises
    ------
    ValueError
        If a shape does not fit the problem.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.data import as_rows
    >>> from sklosses.losses import SquaredError
    >>> from sklosses.penalties import L2
    >>> from sklosses.solvers import Problem, objective
    >>> problem = Problem(as_rows(np.eye(2)), np.array([1.0, 3.0]), ((SquaredError(), 1),), L2(alpha=1.0))
    >>> objective(problem, np.array([[1.0, 1.0]]), np.zeros(1))
    array([2.])
    """
    K, d = problem.n_columns, problem.n_features
    coef = np.ascontiguousarray(coef, dtype=np.float64)
    intercept = np.ascontiguousarray(intercept, dtype=np.float64)
    if coef.shape != (K, d) or intercept.shape != (K,):
        raise ValueError(f"coef and intercept must have shapes ({K}, {d}) and ({K},), got {coef.shape} and "
                         f"{intercept.shape}.")
    if problem.losses[0][0].traits.coupled:
        from sklosses.solvers._slices import SliceReading  # few programs need it: not imported with the package

        with SliceReading(problem) as reading:
            mean = reading.see(coef, intercept).value / reading.n_rows
        return np.array([mean + np.sum(np.broadcast_to(problem.penalty.value(coef), K))])
    return objectives([problem], coef, intercept)


def objectives(problems, coef, intercept):
    """The objective of each column of several problems over the same rows, in one reading: :func:`objective`."""
    with Team(problems, {"coef": coef, "intercept": intercept}) as team:
        values = team.look() / problems[0].n_rows
    first = 0
    for problem in problems:
        own = slice(first, first + problem.n_columns)
        values[own] += problem.penalty.value(coef[own]) + problem.intercept_cost * intercept[own]
        first = own.stop
    return values

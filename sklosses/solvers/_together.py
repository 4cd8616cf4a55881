"""Classic stochastic gradient descent of many problems: those that share rows, order and schedule in one reading."""

from dataclasses import replace

import numpy as np
from joblib import effective_n_jobs

from sklosses.solvers._reading import allowed_threads
from sklosses.solvers._spread import spread

# Coefficients of the columns of a reading: what lies in the second-level cache. Every row needs those of every column.
LARGEST = 1 << 20


def solve_by_steps(problems, solvers, *, tol=1e-3, max_iter=1000, random_state=0, n_jobs=None, progress=None):
    """Solve problems by SGD, those that visit the same rows in the same order as columns of the same readings.

    These are problems whose `rows`, `subset` and `offset` are the same objects, and whose solvers differ in `alpha`
    alone. A column costs less that way: rows come from memory once for all, and while one column waits for its
    coefficients others have their turn. Columns share nothing else, so results are, bit for bit, those of
    :meth:`SGD.solve`.

    Parameters
    ----------
    problems : sequence of Problem
    solvers : sequence of SGD
        Of each problem. Their `n_jobs` is not looked at.
    tol, max_iter, random_state
        Of each problem: see :meth:`SGD.solve`.
    n_jobs : int or None, default=None
        Threads, as joblib counts them. None: as many as OpenMP may use. Results do not depend on it.
    progress : callable or None, default=None
        Called now and then, from the calling thread, with the share of the problems that are done, in [0, 1]. If it
        returns True, the rest is left: their results are None.

    Returns
    -------
    list of Result or Exception or None
        In the order of the problems. A problem that fails has its exception, and disturbs no other.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import numpy as np
    >>> from sklosses.data import as_rows
    >>> from sklosses.losses import SquaredError
    >>> from sklosses.penalties import L2
    >>> from sklosses.solvers import SGD, Problem, solve_by_steps
    >>> X = np.linspace(-1, 1, 50)[:, np.newaxis]
    >>> problem = Problem(as_rows(X), 2 * X[:, 0] + 1, ((SquaredError(), 1),), L2(alpha=1e-6))
    >>> strong = replace(problem, penalty=L2(alpha=1.0))
    >>> results = solve_by_steps([problem, strong], [SGD(learning_rate="constant", eta0=0.1)] * 2, tol=1e-6)
    >>> [result.coef.round(2).item() for result in results]
    [2.0, 0.56]
    """
    problems, solvers = list(problems), list(solvers)
    results, given = [None] * len(problems), {"tol": tol, "max_iter": max_iter, "random_state": random_state}
    n_threads = allowed_threads() if n_jobs is None else effective_n_jobs(n_jobs)
    readings = _readings(problems, solvers, n_threads)

    def solve(numbers, watch):
        together = [problems[number] for number in numbers]
        alphas = [np.broadcast_to(_alpha(problems[k], solvers[k]), problems[k].n_columns) for k in numbers]
        solver = replace(solvers[numbers[0]], alpha=np.concatenate(alphas), n_jobs=1)
        try:
            outcomes = solver.solve_together(together, **given, monitor=watch)
        except Exception as error:  # of one of them, and nobody knows of which
            if len(numbers) > 1:
                for number in numbers:
                    solve([number], watch)
                return
            outcomes = [error]
        for number, outcome in zip(numbers, outcomes, strict=True):
            results[number] = outcome

    def done(_):
        return progress is not None and progress(sum(result is not None for result in results) / len(results))

    if readings:
        spread(solve, readings, n_threads, done)
    return results


def _alpha(problem, solver):
    """Of the schedule: see :class:`SGD`."""
    return problem.penalty.l1 + problem.penalty.l2 if solver.alpha is None else solver.alpha


def _readings(problems, solvers, n_threads):
    """Numbers of the problems of each reading: as many columns as the cache holds, and enough for all threads."""
    groups = {}
    for number, (problem, solver) in enumerate(zip(problems, solvers, strict=True)):
        shared = (id(problem.rows), id(problem.subset), id(problem.offset), bool(problem.fit_intercept),
                  problem.intercept_cost)
        groups.setdefault((replace(solver, alpha=None, n_jobs=1), shared), []).append(number)
    total, readings = sum(problem.n_columns for problem in problems), []
    for (solver, _), numbers in groups.items():
        vectors = 1 + any(np.any(problems[number].penalty.l1 > 0) for number in numbers) + (solver.average > 0)
        most = min(LARGEST // (8 * vectors * max(1, problems[numbers[0]].n_features)), -(-total // n_threads))
        readings += _cut(numbers, [problems[number].n_columns for number in numbers], most)
    return readings


def _cut(numbers, counts, most):
    """Cut into parts with at most so many columns, or one problem that has more."""
    parts, columns = [], 0
    for number, count in zip(numbers, counts, strict=True):
        if not parts or columns + count > most:
            parts.append([])
            columns = 0
        parts[-1].append(number)
        columns += count
    return parts

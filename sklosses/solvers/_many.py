"""Many problems over one table: candidates, folds, outputs."""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from joblib import effective_n_jobs

from sklosses.solvers._as_block import can_be_blocked
from sklosses.solvers._auto import Auto
from sklosses.solvers._block import Block, fitted_to
from sklosses.solvers._dual_block import FEWEST, can_stand_aside, solve_side_by_side
from sklosses.solvers._dual_descent import DualDescent
from sklosses.solvers._newton import SMALL, Newton
from sklosses.solvers._patterns import patterns
from sklosses.solvers._problem import Result
from sklosses.solvers._reading import allowed_threads, one_blas_thread
from sklosses.solvers._spread import spread

# Multiply-adds of a reading from which problems are solved side by side.
WORTH_A_THREAD = 1e7
# Where folds start from need not be exact.
START_TOL = 1e-6


def solve_many(problems, *, tol=1e-3, max_iter=100, random_state=0, n_jobs=None, progress=None):
    """Solve problems that share a table.

    Problems whose arrays are the same objects (``rows``, ``targets``, ``weights``, ``offset``; the ``subset`` of one
    fold) are known to share them: a search passes every candidate's problem on every fold at once, and the table is
    read once for all of them. Of wide and sparse tables, up to eight problems of one loss with an l2 penalty share it.
    What that does not bring to the tolerance, and what it does not apply to (losses that are not convex, no penalty,
    tolerances below 1e-7, 1e-5 for wide and sparse tables, small tables) is solved problem by problem.

    Parameters
    ----------
    problems : sequence of Problem
    tol, max_iter, random_state
        Of each problem: see :meth:`Newton.solve`.
    n_jobs : int or None, default=None
        Threads, as joblib counts them. None: as many as OpenMP may use. Results do not depend on it.
    progress : callable or None, default=None
        Called now and then, from the calling thread, with the share of the work that is done, in [0, 1]. If it returns
        True, the rest is left: their results are None.

    Returns
    -------
    list of Result or Exception or None
        In the order of the problems. A problem that fails has its exception, and disturbs no other.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import numpy as np
    >>> from sklosses.data import as_rows
    >>> from sklosses.losses import Huber
    >>> from sklosses.penalties import L2
    >>> from sklosses.solvers import Problem, solve_many
    >>> X = np.linspace(-1, 1, 40)[:, np.newaxis]
    >>> problem = Problem(as_rows(X), 3 * X[:, 0], ((Huber(), 1),), L2(alpha=1e-2))
    >>> strong = replace(problem, penalty=L2(alpha=1.0))
    >>> [result.coef.round(2).item() for result in solve_many([problem, strong])]
    [2.92, 0.62]
    """
    problems = list(problems)
    n_threads = allowed_threads() if n_jobs is None else effective_n_jobs(n_jobs)
    results, progress = [None] * len(problems), _Progress(progress, len(problems))
    given, starts = {"tol": tol, "random_state": random_state}, _Starts({}, {})
    # One limit around all: the limits of readings in several threads would restore each other's.
    with one_blas_thread(), np.errstate(all="ignore"):
        for numbers in _blocks(problems, tol):
            if not progress.stopped:
                for candidates, folds in _split(problems, numbers):
                    block = partial(Block, **given, n_threads=n_threads)
                    _solve_block(block, problems, (candidates, folds), results, starts, progress)
        for numbers in _alongside(problems, results, tol):
            if not progress.stopped:
                _solve_alongside(problems, numbers, results, given | {"max_iter": max_iter}, n_threads, progress)
        left = [number for number, result in enumerate(results) if result is None]
        if left and not progress.stopped:
            _solve_each(problems, left, results, starts, given | {"max_iter": max_iter}, n_threads, progress)
    return results


@dataclass
class _Starts:
    """Where blocks have left problems that they did not prove: on their own rows, and on those of all folds."""

    own: dict
    common: dict


class _Progress:
    """How much is done: blocks count the problems that they solve."""

    def __init__(self, call, total):
        self.call, self.total, self.done, self.stopped = call, total, 0, False

    def __call__(self, share, of):
        """A share of so many problems beyond those done is done."""
        if self.call is not None and self.call(min((self.done + share * of) / self.total, 1.0)):
            self.stopped = True
        return self.stopped


def _blocks(problems, tol):
    """Numbers of problems that make a block: they share a table, and what they ask for can be had there."""
    groups = {}
    for number, problem in enumerate(problems):
        if _fits(problem, tol):
            groups.setdefault(_table(problem), []).append(number)
    return [numbers for numbers in groups.values() if sum(problems[number].n_columns for number in numbers) > 1]


def _fits(problem, tol):
    return can_be_blocked(problem, tol) and isinstance(Auto().choose(problem), Newton)


def _split(problems, numbers):
    """What blocks take: for each, its candidates (numbers of their problems, by fold) and the patterns of the folds."""
    folds, candidates = {}, {}
    for number in numbers:
        subset = problems[number].subset
        fold = folds.setdefault(id(subset), (len(folds), subset))[0]
        candidates.setdefault(_candidate(problems[number]), {})[fold] = number
    subsets = [subset for _, subset in folds.values()]
    together = patterns(problems[numbers[0]].rows.n_rows, subsets)
    if together is not None:
        return [(list(candidates.values()), together)]
    return [([{0: group[fold]} for group in candidates.values() if fold in group],
             patterns(problems[numbers[0]].rows.n_rows, [subset])) for fold, subset in enumerate(subsets)]


def _solve_block(make, problems, split, results, starts, progress):
    """Fill in the results of problems that share a table, as far as the block proves them."""
    groups, folds = split
    count = sum(map(len, groups))
    first = [problems[next(iter(group.values()))] for group in groups]
    with make(first, folds, progress=lambda share: progress(share, count)) as block:
        found, common = block.solve()
    for group, of_folds, start in zip(groups, found, common, strict=True):
        for fold, number in group.items():
            if isinstance(of_folds[fold], Result):
                results[number] = of_folds[fold]
                progress.done += 1
            elif of_folds[fold] is not None:
                starts.own[number] = of_folds[fold]
            if start is not None:
                starts.common[number] = start


def _alongside(problems, results, tol):
    """Numbers of problems that are left and differ in strengths and folds alone, for dual descent side by side."""
    groups = {}
    for number, problem in enumerate(problems):
        fits = results[number] is None and can_stand_aside(problem, tol)
        if fits and isinstance(Auto().choose(problem), DualDescent):
            groups.setdefault(_table(problem) + fitted_to(problem), []).append(number)
    return [numbers for numbers in groups.values() if len(numbers) >= FEWEST]


def _solve_alongside(problems, numbers, results, given, n_threads, progress):
    """Fill in the results of problems that are columns side by side, as far as they are proven there."""
    try:
        found = solve_side_by_side([problems[number] for number in numbers], **given, n_threads=n_threads,
                                   done=lambda count: progress(count / len(numbers), len(numbers)))
    except Exception:       # one of them is at fault: each will show by itself what it is worth
        return
    for number, result in zip(numbers, found, strict=True):
        if result is not None:
            results[number] = result
            progress.done += 1


def _table(problem):
    """What the problems of a block have in common."""
    return (id(problem.rows), id(problem.weights), id(problem.offset), bool(problem.fit_intercept),
            problem.one_vs_rest is None)


def _candidate(problem):
    """What a candidate's problems on several folds have in common."""
    strengths = (np.array(np.broadcast_to(part, problem.n_columns)).tobytes()
                 for part in (problem.penalty.l1, problem.penalty.l2))
    return (*fitted_to(problem), *strengths)


def _solve_each(problems, left, results, starts, given, n_threads, progress):
    """Problem by problem, a thread each; the folds of a candidate from where it is on all rows that they have."""

    def first(numbers, watch):
        """A candidate on the rows of all its folds."""
        solver = Auto(n_jobs=1, thorough=False)
        with suppress(Exception):       # its folds will say what the matter is
            rows = _union(problems[number] for number in numbers)
            roughly = given | {"tol": max(given["tol"] or 0.0, START_TOL), "state": starts.common.get(numbers[0])}
            state = solver.solve(replace(problems[numbers[0]], subset=rows), monitor=watch, **roughly).state
            if state.near is not None:
                starts.own.update(dict.fromkeys(numbers, state))

    def solve(number, watch):
        # What a block takes is solved to the tolerance, whether the block has managed or not.
        solver = Auto(n_jobs=1, thorough=not _fits(problems[number], given["tol"]))
        try:
            results[number] = solver.solve(problems[number], state=starts.own.get(number), monitor=watch, **given)
        except Exception as error:
            results[number] = error

    groups = {}
    for number in left:
        if number not in starts.own:
            groups.setdefault(_table(problems[number]) + _candidate(problems[number]), []).append(number)
    # Where arrays are short, threads wait for each other's Python.
    work = max(problems[number].n_rows * (problems[number].n_features + 1) for number in left)
    n_threads = n_threads if work >= WORTH_A_THREAD else 1
    spread(first, [numbers for numbers in groups.values() if _worth_it(problems, numbers)], n_threads,
           lambda _: progress(0, 1))
    if not progress.stopped:
        spread(solve, left, n_threads, lambda done: progress(done, 1))


def _union(problems):
    """Numbers of the rows that any of some problems has; None: all."""
    inside = None
    for problem in problems:
        if problem.subset is None:
            return None
        if inside is None:
            inside = np.zeros(problem.rows.n_rows, dtype=bool)
        inside[problem.subset] = True
    return np.flatnonzero(inside)


def _worth_it(problems, numbers):
    """Whether folds should start from where their candidate is on all rows: small tables are as quick without."""
    problem = problems[numbers[0]]
    return (len(numbers) > 2 and problem.n_rows * (problem.n_features + 1) > SMALL
            and isinstance(Auto().choose(problem), Newton))

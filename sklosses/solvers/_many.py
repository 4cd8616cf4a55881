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
from sklosses.solvers._objective import objective
from sklosses.solvers._patterns import patterns
from sklosses.solvers._problem import Result
from sklosses.solvers._reading import allowed_threads, one_blas_thread
from sklosses.solvers._spread import spread

# Multiply-adds of a reading from which problems are solved side by side.
WORTH_A_THREAD = 1e7
# Where folds start from need not be exact.
START_TOL = 1e-6
# A weaker penalty starts where a stronger one has ended if that is no larger a share of the objective there.
LITTLE = 0.1


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

    def first(path, watch):
        """Candidates on the rows of all their folds; a single path has all threads."""
        solver, before = Auto(n_jobs=n_threads if len(paths) == 1 else 1, thorough=False), None
        for numbers in path:
            with suppress(Exception):       # their folds will say what the matter is
                problem = replace(problems[numbers[0]], subset=_union(problems[number] for number in numbers))
                state = _nearer(problem, starts.common.get(numbers[0]), before)
                roughly = given | {"tol": max(given["tol"] or 0.0, START_TOL), "state": state}
                result = solver.solve(problem, monitor=watch, **roughly)
                before = _near(problem, result)
                if result.state.near is not None:
                    starts.own.update(dict.fromkeys(numbers, result.state))

    def solve(path, watch):
        before = None
        for number in path:
            problem = problems[number]
            # What a block takes is solved to the tolerance, whether the block has managed or not.
            solver = Auto(n_jobs=1, thorough=not _fits(problem, given["tol"]))
            try:
                state = _nearer(problem, starts.own.get(number), before)
                results[number] = solver.solve(problem, state=state, monitor=watch, **given)
                before = _near(problem, results[number])
            except Exception as error:
                results[number] = error

    groups = {}
    for number in left:
        if number not in starts.own:
            groups.setdefault(_table(problems[number]) + _candidate(problems[number]), []).append(number)
    groups = [numbers for numbers in groups.values() if _worth_it(problems, numbers)]
    of_candidate = {numbers[0]: numbers for numbers in groups}
    # Where arrays are short, threads wait for each other's Python.
    work = max(problems[number].n_rows * (problems[number].n_features + 1) for number in left)
    n_threads = n_threads if work >= WORTH_A_THREAD else 1
    paths = [[of_candidate[number] for number in path] for path in _paths(problems, of_candidate, of_fold=False)]
    spread(first, paths, n_threads, lambda _: progress(0, 1))
    paths = _paths(problems, left)
    if not progress.stopped:
        spread(solve, paths, n_threads, lambda done: progress(sum(map(len, paths[:done])), 1))


def _paths(problems, numbers, *, of_fold=True):
    """Problems of the interior point method that differ in strengths alone, the strongest first; others by themselves.

    Where a loss is linear between kinks, weak penalties hardly change the minimum, and a solution proves the next one.
    """
    paths = {}
    for number in numbers:
        problem = problems[number]
        follows = not any(loss.traits.smooth for loss, _ in problem.losses) and _is_large(problem)
        key = (*_table(problem), *fitted_to(problem), of_fold and id(problem.subset)) if follows else number
        paths.setdefault(key, []).append(number)
    return [sorted(path, key=lambda number: -_strength(problems[number])) for path in paths.values()]


def _strength(problem):
    return float(np.sum(problem.penalty.l1) + np.sum(problem.penalty.l2))


def _near(problem, result):
    """Where the same problem with a weaker penalty may start; None if that may be far from its minimum."""
    part = np.sum(problem.penalty.value(result.coef)) / max(np.sum(result.objective), 1e-300)
    return result.state if result.state.near is not None and part <= LITTLE else None


def _nearer(problem, *states):
    """Of known states the one with the least objective."""
    states = [state for state in states if state is not None]
    if len(states) < 2:
        return states[0] if states else None
    values = [objective(problem, state.coef, state.intercept).sum() for state in states]
    return states[int(np.nanargmin(values))] if np.any(np.isfinite(values)) else states[0]


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
    return len(numbers) > 2 and _is_large(problems[numbers[0]])


def _is_large(problem):
    """Whether Newton's method takes a problem in stages."""
    return problem.n_rows * (problem.n_features + 1) > SMALL and isinstance(Auto().choose(problem), Newton)

"""Runs the fits of a search: those that share a table together, all others as scikit-learn does."""

import types
from collections import defaultdict

from joblib import effective_n_jobs
from sklearn import get_config
from sklearn.utils.parallel import delayed

from sklosses.model_selection._block import run_block
from sklosses.model_selection._plan import Plan, Task, make_plan


class Runner:
    """Takes the place of scikit-learn's `Parallel` in a search.

    Parameters
    ----------
    search : GridSearchCV or RandomizedSearchCV
        Whose `search_plan_` is written.
    parallel : sklearn.utils.parallel.Parallel
        scikit-learn's own, for all that share no table.
    """

    def __init__(self, search, parallel):
        self._search, self._parallel, self._n_candidates = search, parallel, 0

    def __call__(self, calls):
        """Return the results of calls of scikit-learn's `_fit_and_score`, in their order."""
        tasks = [Task(call, number) for number, call in enumerate(calls)]
        if get_config()["array_api_dispatch"]:
            plan = Plan([], [(task, "array_api_dispatch is on") for task in tasks])
        else:
            plan = make_plan(tasks)
        results, alone = self._run_blocks(plan.blocks)
        alone |= {task.number: reason for task, reason in plan.alone}
        if alone:
            numbers = sorted(alone)
            results |= dict(zip(numbers, self._parallel(tasks[number].call for number in numbers), strict=True))
        self._record(tasks, plan.blocks, alone)
        return [results[task.number] for task in tasks]

    def _run_blocks(self, blocks):
        """Results of blocks, and the tasks that turned out to have to be run alone, with the reasons."""
        n_jobs = self._search.n_jobs
        outcomes = [
            run_block(block, None if n_jobs is None else effective_n_jobs(n_jobs))
            for block in blocks
            if not block.upstream
        ]
        transformed = [block for block in blocks if block.upstream]
        if transformed:
            # Transforms may take most of the time: these blocks are shared out as scikit-learn shares out fits.
            threads = None if n_jobs is None else 1
            outcomes += self._parallel(delayed(run_block)(block, threads) for block in transformed)
        results, alone = {}, {}
        for done, others in outcomes:
            results |= done
            alone |= others
        return results, alone

    def _record(self, tasks, blocks, alone):
        """Note in `search_plan_` how the tasks ran, and say so if verbose."""
        kinds = {task.number: (block.how, "") for block in blocks for task in block.tasks}
        kinds |= {number: ("scikit-learn", reason) for number, reason in alone.items()}
        members = defaultdict(list)
        for task in tasks:
            members[kinds[task.number]].append(task.candidate + self._n_candidates)
        self._n_candidates += len({task.candidate for task in tasks})
        for (how, why), candidates in members.items():
            record = {"how": how, "why": why, "fits": len(candidates), "candidates": sorted(set(candidates))}
            self._search.search_plan_.append(record)
            if self._search.verbose > 0:
                print(f"{len(candidates)} fits: {how}" + (f" ({why})" if why else ""))


def rebound(function, **values):
    """A copy of a closure in which some of its free variables have other values.

    scikit-learn's `evaluate_candidates`, which its `fit` defines, hands every fit of a search to the variable
    `parallel`. Another object under this name is all that has to differ, and all else remains scikit-learn's code.

    Parameters
    ----------
    function : function
    **values : objects
        New values of free variables that the function has.

    Returns
    -------
    copied : function
    """
    cells = [
        types.CellType(values[name]) if name in values else cell
        for name, cell in zip(function.__code__.co_freevars, function.__closure__, strict=True)
    ]
    code, defaults = function.__code__, function.__defaults__
    copied = types.FunctionType(code, function.__globals__, function.__name__, defaults, tuple(cells))
    copied.__kwdefaults__ = function.__kwdefaults__
    return copied


def free_variable(function, name):
    """The value of a free variable of a closure."""
    return function.__closure__[function.__code__.co_freevars.index(name)].cell_contents

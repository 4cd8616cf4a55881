"""Runs the fits of a search: those that share a table together, all others as scikit-learn does."""

import types
from collections import defaultdict

import sklearn
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
        results, stepwise, alone = self._run_blocks(plan.blocks)
        alone |= {task.number: reason for task, reason in plan.alone}
        if alone:
            numbers = sorted(alone)
            results |= dict(zip(numbers, self._parallel(tasks[number].call for number in numbers), strict=True))
        kinds = {task.number: (block.how, "") for block in plan.blocks for task in block.tasks}
        kinds |= {number: (f"{kinds[number][0]}, epoch by epoch", "") for number in stepwise}
        self._record(tasks, kinds | {number: ("scikit-learn", reason) for number, reason in alone.items()})
        return [results[task.number] for task in tasks]

    def _run_blocks(self, blocks):
        """Results of blocks, the tasks that took steps, and those that have to be run alone, with the reasons."""
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
        results, stepwise, alone = {}, set(), {}
        for done, taken, others in outcomes:
            results |= done
            stepwise |= taken
            alone |= others
        return results, stepwise, alone

    def _record(self, tasks, kinds):
        """Note in `search_plan_` how the tasks ran, and say so if verbose."""
        members = defaultdict(list)
        for task in tasks:
            members[kinds[task.number]].append(task.candidate + self._n_candidates)
        self._n_candidates += len({task.candidate for task in tasks})
        for (how, why), candidates in members.items():
            record = {"how": how, "why": why, "fits": len(candidates), "candidates": sorted(set(candidates))}
            self._search.search_plan_.append(record)
            if self._search.verbose > 0:
                print(f"{len(candidates)} fits: {how}" + (f" ({why})" if why else ""))


def with_runner(evaluate_candidates, search):
    """scikit-learn's `evaluate_candidates`, handing a search's fits to a :class:`Runner`.

    It is a function inside `fit` that hands all fits to the variable `parallel` of `fit`. Another object under this
    name is all that has to differ, so this is the same function with one variable rebound, and all else remains
    scikit-learn's code.

    Parameters
    ----------
    evaluate_candidates : function
    search : GridSearchCV or RandomizedSearchCV

    Returns
    -------
    evaluate_candidates : function
        The given one, where it has no such variable: the search is as fast as scikit-learn's then.
    """
    code = evaluate_candidates.__code__
    cells = dict(zip(code.co_freevars, evaluate_candidates.__closure__ or (), strict=True))
    if "parallel" not in cells:
        reason = f"scikit-learn {sklearn.__version__} hands out fits in another way"
        search.search_plan_.append({"how": "scikit-learn", "why": reason, "fits": None, "candidates": None})
        return evaluate_candidates
    cells["parallel"] = types.CellType(Runner(search, cells["parallel"].cell_contents))
    rebound = types.FunctionType(
        code,
        evaluate_candidates.__globals__,
        argdefs=evaluate_candidates.__defaults__,
        closure=tuple(cells.values()),
    )
    rebound.__kwdefaults__ = evaluate_candidates.__kwdefaults__
    return rebound

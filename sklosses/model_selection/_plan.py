"""Which fits of a search share a table: what is read of scikit-learn's tasks, and how they are grouped."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.base import clone
from sklearn.model_selection._validation import _check_method_params
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _num_samples

from sklosses.linear_model._many import in_order, why_alone


class Task:
    """One candidate on one split: a call that scikit-learn's search would make.

    Parameters
    ----------
    call : tuple
        The call as joblib has it: function, positional and named arguments of scikit-learn's `_fit_and_score`.
    number : int
        Place among the search's tasks.

    Attributes
    ----------
    candidate, split : int
        Numbers of the candidate and of the split.
    settings : dict
        The named arguments, of which all but those above are the same for all tasks of a search.
    """

    def __init__(self, call, number):
        self.call, self.number = call, number
        (self._estimator, self.X, self.y), self.settings = call[1:]
        self.candidate, self.split = self.settings["candidate_progress"][0], self.settings["split_progress"][0]
        self.parameters = self.settings["parameters"]

    @cached_property
    def estimator(self):
        """The task's own estimator, with the candidate's parameters."""
        return self._estimator.set_params(**clone(self.parameters, safe=False))

    def numbers(self, which):
        """Numbers of the ``"train"`` or ``"test"`` rows, in the splitter's order."""
        chosen = np.asarray(self.settings[which])
        return np.flatnonzero(chosen) if chosen.dtype == bool else chosen % _num_samples(self.X)

    @property
    def n_test(self):
        """Number of rows to score."""
        chosen = np.asarray(self.settings["test"])
        return int(np.count_nonzero(chosen)) if chosen.dtype == bool else len(chosen)

    def rows(self, which):
        """X and y of the ``"train"`` or ``"test"`` rows, cut as scikit-learn cuts them."""
        given, trained = self.settings[which], self.settings["train"]
        return _safe_split(self._estimator, self.X, self.y, given, None if which == "train" else trained)

    def params(self, kind, which):
        """What is passed on to ``"fit"`` or ``"score"`` along with the ``"train"`` or ``"test"`` rows."""
        params = self.settings[f"{kind}_params"] or {}
        return _check_method_params(self.X, params=params, indices=self.settings[which])


@dataclass(frozen=True, eq=False)
class Block:
    """Tasks that share a table.

    Attributes
    ----------
    tasks : list of Task
    subsets : dict of int to ndarray, or None, default=None
        Where the table is X itself: numbers of the rows to train on in each split. None: the table is what the
        steps before the last one of a pipeline make of the rows of one split.
    """

    tasks: list
    subsets: dict | None = None

    @property
    def upstream(self):
        """Whether the table is what the steps before the last one of a pipeline make of the rows of one split."""
        return self.subsets is None

    @property
    def how(self):
        """What the plan calls it."""
        return "one block a split, after its transforms" if self.upstream else "one block"


@dataclass(frozen=True, eq=False)
class Plan:
    """Blocks, and the tasks that scikit-learn is to run, each with the reason."""

    blocks: list
    alone: list


def make_plan(tasks):
    """Group tasks by the table that their last steps are trained on.

    Parameters
    ----------
    tasks : list of Task
        Of one search: all candidates on all splits.

    Returns
    -------
    plan : Plan
    """
    candidates, groups, alone = {}, defaultdict(list), []
    for task in tasks:
        candidates.setdefault(task.candidate, []).append(task)
    for own in candidates.values():
        reason, key = _read(own[0])
        if reason:
            alone += [(task, reason) for task in own]
        else:
            groups[key] += own
    blocks = []
    for (_, *upstream), members in groups.items():
        if not upstream:
            block, odd = _whole(members)
            blocks += [block] if block.tasks else []
            alone += [(task, "rows to train on are repeated") for task in odd]
        elif len({task.candidate for task in members}) == 1:
            alone += [(task, "no other candidate has the same transforms") for task in members]
        else:
            splits = defaultdict(list)
            for task in members:
                splits[task.split].append(task)
            blocks += [Block(split) for split in splits.values()]
    return Plan(blocks, alone)


def _whole(tasks):
    """The block of tasks whose table is X, and the tasks whose rows are no subset of it."""
    subsets = {}
    for task in tasks:
        if task.split not in subsets:
            subsets[task.split] = row_numbers(task.settings["train"], _num_samples(task.X))
    fine = [task for task in tasks if subsets[task.split] is not None]
    return Block(fine, subsets), [task for task in tasks if subsets[task.split] is None]


def _read(task):
    """Why a candidate cannot share a table, or None, and what it shares with others that do."""
    estimator = task.estimator
    pipeline = type(estimator) is Pipeline
    final = estimator.steps[-1][1] if pipeline and len(estimator.steps) > 1 else estimator
    reason = why_alone(final) or _why_not(task, estimator, pipeline)
    if reason:
        return reason, None
    if not pipeline:
        return None, (type(final),)
    return None, (type(final), *_upstream(estimator.steps[-1][0], task.parameters))


def _why_not(task, estimator, pipeline):
    """Why the call of a task is not one that blocks know."""
    if task.y is None:
        return "there is no y"
    if pipeline:
        parts = [estimator, *estimator.get_params().values()]
        return "a step has callbacks of its own" if any(_has_callbacks(part) for part in parts) else None
    return None


def _has_callbacks(part):
    return bool(getattr(part, "_skl_callbacks", None)) and not isinstance(part, type)


def _upstream(last, parameters):
    """What tells the transforms of a pipeline from those of other candidates."""
    before = {name: value for name, value in parameters.items() if name != last and not name.startswith(f"{last}__")}
    return ("upstream", *((name, _identity(value)) for name, value in sorted(before.items())))


def _identity(value):
    """Plain values are what they are; of others, only the very same object is the same."""
    return (type(value), value) if isinstance(value, str | int | float | bool | np.generic | None) else id(value)


def row_numbers(chosen, n_rows):
    """The rows that an index chooses, in its order; None where rows repeat or it is another kind of index."""
    chosen = np.asarray(chosen)
    if chosen.dtype == bool:
        return np.flatnonzero(chosen) if chosen.shape == (n_rows,) else None
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        return None
    numbers = in_order(chosen)
    if np.any(numbers[1:] == numbers[:-1]) or (len(numbers) and (numbers[0] < 0 or numbers[-1] >= n_rows)):
        return None
    return chosen.astype(np.intp, copy=False)

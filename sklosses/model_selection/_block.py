"""Runs a block: the fits of many candidates that share a table, and their scores."""

import copy
from time import perf_counter
from traceback import format_exception

import numpy as np
from joblib import logger
from sklearn.base import BaseEstimator
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.utils.validation import _num_samples

from sklosses.linear_model._many import Fit, ManyFits
from sklosses.linear_model._validation import check_matrix
from sklosses.model_selection._scoring import Part, score_all


def run_block(block, n_jobs):
    """Fit and score the tasks of a block.

    Parameters
    ----------
    block : Block
    n_jobs : int or None
        Threads, as :meth:`ManyFits.run` takes them.

    Returns
    -------
    results : dict of int to dict
        For the number of each task that was run, what scikit-learn's `_fit_and_score` returns.
    alone : dict of int to str
        The numbers of the tasks that were not, and why.
    """
    start = perf_counter()
    table = (_Transformed if block.upstream else _Whole)(block.tasks, block.subsets)
    shared = (perf_counter() - start) / len(block.tasks)
    if table.error is not None:
        with Hooks(block.tasks):
            failed = Fit(None, table.error, shared)
        return {task.number: _result(task, failed) for task in block.tasks}, {}
    cells, alone = table.cells, table.many.alone
    tasks = [task for task in block.tasks if cells[task] not in alone]
    with Hooks(tasks) as hooks:
        fits = table.many.run(n_jobs=n_jobs, progress=hooks.progress)
    fits = {cell: Fit(fit.estimator, fit.error, fit.seconds + shared) for cell, fit in fits.items()}
    results = {}
    for split in sorted({task.split for task in tasks}):
        results |= _score_split(table, [(task, fits[cells[task]]) for task in tasks if task.split == split])
    return results, {task.number: alone[cell] for task, cell in cells.items() if cell in alone}


class _Whole:
    """The table is X itself; the rows of a split are numbers of its rows."""

    error = None

    def __init__(self, tasks, subsets):
        splits = sorted({task.split for task in tasks})
        models = {}
        for task in tasks:
            if task.candidate not in models:
                models[task.candidate] = task.estimator
        self.many = ManyFits(
            list(models.values()), tasks[0].X, tasks[0].y, [subsets[split] for split in splits],
            tasks[0].settings["fit_params"],
        )
        rank = {candidate: number for number, candidate in enumerate(models)}
        self.cells = {task: (rank[task.candidate], splits.index(task.split)) for task in tasks}

    def part(self, task, which):
        """The rows to score of the split of a task."""
        rows = np.asarray(task.settings[which])
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        return Part(task, which, self.many.sample.X, rows % _num_samples(task.X))

    @staticmethod
    def around(_, model):
        """What the caller's scorers get."""
        return model


class _Transformed:
    """The table is what the steps before the last make of the rows of one split: fitted once for all its tasks."""

    def __init__(self, tasks, _):
        pipeline, self.error = tasks[0].estimator, None
        name, final = pipeline.steps[-1]
        catcher, self._fitted = TableCatcher(final), copy.copy(pipeline)
        self._fitted.steps = [*pipeline.steps[:-1], (name, catcher)]
        X, y = tasks[0].rows("train")
        try:
            self._fitted.fit(X, y, **tasks[0].params("fit", "train"))
        except Exception as error:  # whatever it is: scikit-learn's searches go on, too
            self.error = error
            return
        finals = [task.estimator.steps[-1][1] for task in tasks]
        self.many = ManyFits(finals, catcher.X_, catcher.y_, [None], catcher.params_)
        self.cells = {task: (number, 0) for number, task in enumerate(tasks)}

    def part(self, task, which):
        """The rows to score, transformed."""
        # Not what the last step was trained on: some transformers make another table of the rows they are fitted to.
        try:
            transformed = task.rows(which)[0]
            for _, step in self._fitted.steps[:-1]:
                if step is not None and step != "passthrough":
                    transformed = step.transform(transformed)
            table = check_matrix(self.many.known_model(), transformed, reset=False)
        except Exception:  # the scorers will meet it, and scikit-learn knows what to do then
            return Part(task, which)
        return Part(task, which, table, transformed=transformed)

    def around(self, task, model):
        """What the caller's scorers get: the whole pipeline."""
        whole = copy.copy(task.estimator)
        whole.steps = [*self._fitted.steps[:-1], (whole.steps[-1][0], model)]
        return whole


class TableCatcher(BaseEstimator):
    """Takes the place of a pipeline's last step: fitting the pipeline then makes the table that the step would get.

    Parameters
    ----------
    final : estimator
        The step.
    """

    def __init__(self, final):
        self.final = final

    def fit(self, X, y=None, **params):
        """Keep what `final` would be fitted to."""
        self.X_, self.y_, self.params_ = X, y, params
        return self

    def get_metadata_routing(self):
        """What `final` asks for."""
        return self.final.get_metadata_routing()


class Hooks:
    """Calls scikit-learn's callbacks for the tasks of a block: a context manager.

    Parameters
    ----------
    tasks : list of Task
    """

    def __init__(self, tasks):
        self._tasks, self._ended = [task for task in tasks if task.settings["callback_ctx"] is not None], 0

    def __enter__(self):
        for task in self._tasks:
            self._call(task, "call_on_fit_task_begin")
        return self

    def __exit__(self, *_):
        self.progress(1.0)

    def progress(self, share):
        """End as many tasks as are that share of all. A search goes on whatever callbacks return, as scikit-learn's."""
        ended = min(len(self._tasks), int(share * len(self._tasks)))
        for task in self._tasks[self._ended:ended]:
            self._call(task, "call_on_fit_task_end")
        self._ended = max(self._ended, ended)

    @staticmethod
    def _call(task, name):
        weighted = task.settings["fit_params"].get("sample_weight") is not None
        getattr(task.settings["callback_ctx"], name)(
            estimator=task.settings["caller"],
            X=lambda: task.rows("train")[0],
            y=lambda: task.rows("train")[1],
            metadata=(lambda: {"sample_weight": task.params("fit", "train")["sample_weight"]}) if weighted else None,
        )


def _score_split(table, fits):
    """Results of the tasks of one split."""
    first = fits[0][0]
    settings = first.settings
    results = {task.number: _result(task, fit) for task, fit in fits}
    good = [(task, fit.estimator) for task, fit in fits if fit.error is None]
    pairs = [(table.around(task, model), model) for task, model in good]
    for which in ("test", "train") if settings["return_train_score"] else ("test",):
        if not good:
            break
        start = perf_counter()
        part = table.part(first, which)
        shared = (perf_counter() - start) / len(good)
        scores, seconds = score_all(pairs, part, settings["scorer"], settings["error_score"])
        for (task, _), score, taken in zip(good, scores, seconds, strict=True):
            results[task.number][f"{which}_scores"] = score
            if which == "test":
                results[task.number]["score_time"] = shared + taken
    for task, _ in fits:
        _report(task, results[task.number])
    return results


def _result(task, fit):
    """What `_fit_and_score` returns of a fit: with the scores of one that failed."""
    settings, error = task.settings, fit.error
    if error is not None and settings["error_score"] == "raise":
        raise error
    score, scorer = settings["error_score"], settings["scorer"]
    if isinstance(scorer, _MultimetricScorer):
        score = dict.fromkeys(scorer._scorers, score)
    scores = ("test_scores", "train_scores") if settings["return_train_score"] else ("test_scores",)
    return {
        "fit_error": None if error is None else "".join(format_exception(error)),
        **{name: copy.copy(score) for name in scores},
        "n_test_samples": len(task.settings["test"]),
        "fit_time": fit.seconds,
        "score_time": 0.0,
    }


def _report(task, result):
    """Print the line that scikit-learn prints when a task has ended."""
    settings = task.settings
    verbose = settings["verbose"]
    if verbose <= 1:
        return
    (split, n_splits), (candidate, n_candidates) = settings["split_progress"], settings["candidate_progress"]
    place = f" {split + 1}/{n_splits}" if verbose > 2 else ""
    place += f"; {candidate + 1}/{n_candidates}" if verbose > 9 else ""
    said = ", ".join(f"{name}={task.parameters[name]}" for name in sorted(task.parameters))
    said += ";" if said else ""
    if verbose > 2:
        said += _in_words(result)
    said += f" total time={logger.short_format_time(result['fit_time'] + result['score_time'])}"
    begin = f"[CV{place}] END "
    print(begin + (80 - len(begin) - len(said)) * "." + said)


def _in_words(result):
    test, train = result["test_scores"], result.get("train_scores")

    def pair(train, test):
        return f"(train={train:.3f}, test={test:.3f})" if train is not None else f"{test:.3f}"

    if not isinstance(test, dict):
        return f", score={pair(train, test)}"
    each = {name: pair(None if train is None else train[name], test[name]) for name in sorted(test)}
    return "".join(f" {name}: {text if train is not None else f'(test={text})'}" for name, text in each.items())

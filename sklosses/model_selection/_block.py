"""Runs a block: the fits of many candidates that share a table, and their scores."""

import copy
from time import perf_counter
from traceback import format_exception

from sklearn.base import BaseEstimator
from sklearn.metrics._scorer import _MultimetricScorer

from sklosses.linear_model._many import Fit, ManyFits
from sklosses.linear_model._validation import check_matrix
from sklosses.model_selection._progress import Hooks, report
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
    stepwise : set of int
        The numbers of those that took the steps of a schedule.
    alone : dict of int to str
        The numbers of the tasks that were not run, and why.
    """
    start = perf_counter()
    table = (_Transformed if block.upstream else _Whole)(block.tasks, block.subsets)
    shared = (perf_counter() - start) / len(block.tasks)
    if table.error is not None:
        with Hooks(block.tasks):
            failed = Fit(None, table.error, shared)
        return {task.number: _result(task, failed) for task in block.tasks}, set(), {}
    cells, alone = table.cells, table.many.alone
    tasks = [task for task in block.tasks if cells[task] not in alone]
    with Hooks(tasks) as hooks:
        fits = table.many.run(n_jobs=n_jobs, progress=hooks.progress)
    fits = {cell: Fit(fit.estimator, fit.error, fit.seconds + shared) for cell, fit in fits.items()}
    results = {}
    for split in sorted({task.split for task in tasks}):
        results |= _score_split(table, [(task, fits[cells[task]]) for task in tasks if task.split == split])
    stepwise = {task.number for task, cell in cells.items() if cell in table.many.stepwise}
    return results, stepwise, {task.number: alone[cell] for task, cell in cells.items() if cell in alone}


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
        return Part(task, which, self.many.sample.X, task.numbers(which))

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
        report(task, results[task.number])
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
        "n_test_samples": task.n_test,
        "fit_time": fit.seconds,
        "score_time": 0.0,
    }

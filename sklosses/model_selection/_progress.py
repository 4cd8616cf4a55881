"""What a search tells while it runs: callbacks, and lines when it is verbose."""

from joblib import logger


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


def report(task, result):
    """Print the line that scikit-learn prints when a task has ended, if its search is verbose.

    Parameters
    ----------
    task : Task
    result : dict
        As of scikit-learn's `_fit_and_score`.
    """
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

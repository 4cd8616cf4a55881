"""Fits of many estimators to parts of one table: validated once, solved in one call, each as if fitted alone."""

import copy
from collections import defaultdict
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
from sklearn import get_config

from sklosses import solvers
from sklosses.linear_model._classifier import SGDClassifier
from sklosses.linear_model._labels import takes_shares
from sklosses.linear_model._regressor import SGDRegressor
from sklosses.linear_model._validation import Given

#: Estimators whose fits are columns of a block. Their subclasses may fit in another way.
COLUMNS = (SGDClassifier, SGDRegressor)

#: What of `fit` is cut into parts with the rows.
OF_ROWS = ("sample_weight", "offset")


@dataclass(frozen=True, eq=False)
class Fit:
    """What became of one fit.

    Attributes
    ----------
    estimator : estimator instance or None
        Fitted; None if `fit` would have raised.
    error : Exception or None
        What it would have raised.
    seconds : float
        Its share of the time that all took: the same for each.
    """

    estimator: Any
    error: Exception | None
    seconds: float


def why_alone(estimator):
    """Why the fit of an estimator cannot be one of many, or None where it can.

    Parameters
    ----------
    estimator : estimator instance

    Returns
    -------
    reason : str or None
    """
    if type(estimator) not in COLUMNS:
        return f"{type(estimator).__name__} is fitted in its own way"
    for name in ("early_stopping", "warm_start", "verbose"):
        if getattr(estimator, name):
            return f"{name}={getattr(estimator, name)!r}"
    if getattr(estimator, "_skl_callbacks", None):
        return "the estimator has callbacks of its own"
    return None


def in_order(numbers):
    """Numbers in ascending order: the very same array if they are."""
    return numbers if np.all(numbers[1:] >= numbers[:-1]) else np.sort(numbers)


class ManyFits:
    """Fits of estimators to subsets of the rows of one table.

    Everything is checked once, and every fit becomes a problem whose arrays are the very objects of the others', so
    that :func:`sklosses.solvers.solve_many` and, with schedules, :func:`sklosses.solvers.solve_by_steps` can train them
    in the same readings of the table. What is unusual is left to the estimators' own `fit`, and said in `alone`.

    Parameters
    ----------
    estimators : list of estimators
        All of one class; not fitted, and not changed.
    X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    subsets : list of (ndarray or None)
        Numbers of the rows to train on, no number twice; None: all. Schedules visit rows in this order, and shuffle it.
    fit_params : dict or None, default=None
        What `fit` is passed besides: `sample_weight` and `offset`, for all rows of `X`. With anything else each fit is
        left alone.

    Attributes
    ----------
    cells : list of (int, int)
        Numbers of estimator and subset of the fits that :meth:`run` will do.
    stepwise : set of (int, int)
        Those of them that take the steps of a schedule.
    alone : dict of (int, int) to str
        All other fits, and why.
    sample : Sample or None
        The checked rows; None if no estimator can be trained on them.
    """

    def __init__(self, estimators, X, y, subsets, fit_params=None):
        given = {name: value for name, value in (fit_params or {}).items() if value is not None}
        self._unknown = sorted(given.keys() - set(OF_ROWS))
        self._given = Given(X, y, *(given.get(name) for name in OF_ROWS))
        self._visited = [None if subset is None else np.asarray(subset, dtype=np.intp) for subset in subsets]
        self._subsets = [None if subset is None else in_order(subset) for subset in self._visited]
        self._models, self._losses, self._problems, self._solvers = {}, {}, {}, {}
        self.sample, self.alone, self._known, self._targets, self._shares = None, {}, {}, set(), False
        for number, estimator in enumerate(estimators):
            reason = self._prepare(number, estimator)
            for place in range(len(subsets)):
                self._reckon((number, place), reason)
        self.cells = list(self._problems)
        self.stepwise = {cell for cell, solver in self._solvers.items() if isinstance(solver, solvers.SGD)}

    def _reckon(self, cell, reason):
        """Make the problem of a fit, or note why there is none."""
        reason = reason or self._why_not(self._subsets[cell[1]]) or self._pose(cell)
        if reason:
            self.alone[cell] = reason

    def _prepare(self, number, estimator):
        """Do for an estimator what its `fit` does before it knows the rows; return a reason if it cannot."""
        reason = f"fit is given {', '.join(self._unknown)}" if self._unknown else why_alone(estimator)
        if reason:
            return reason
        model = copy.copy(estimator)
        try:
            if not get_config()["skip_parameter_validation"]:
                model._validate_params()
            loss = model._resolve()
            self._check(model, loss)
        except Exception as error:  # whatever it is: `fit` alone is to raise it
            return _first_line(error)
        self._models[number], self._losses[number] = model, loss
        return None

    def _check(self, model, loss):
        """Check the rows, once, and the targets, once for each domain; tell the model what it is to know of them."""
        domain = None if loss.traits.coupled else loss.target       # losses of whole rows take the labels of any other
        if self.sample is None:
            before = set(vars(model))
            sample = model._check_sample(self._given, loss, reset=True, allow_all_zero=False)
            self._known = {name: value for name, value in vars(model).items() if name not in before}
            self.sample, self._targets, self._shares = sample, {domain}, takes_shares(loss)
        model._refuse_negative(self.sample.sample_weight)
        if self.sample.y.ndim == 2 and takes_shares(loss) != self._shares:
            raise ValueError("columns of y are probabilities to some losses and labels to others")
        if domain not in self._targets:
            model._check_y(Given(None, self.sample.y), len(self.sample.y), loss)
            self._targets.add(domain)
        vars(model).update(self._known)

    def _why_not(self, subset):
        """Why a subset's rows are not like the table: the same for all estimators."""
        if subset is None:
            return None
        return self.sample.once(("why not", id(subset)), lambda: self._compare(subset))

    def _compare(self, subset):
        sample = self.sample
        if len(subset) == 0:
            return "there are no rows to train on"
        if sample.sample_weight is not None and not np.any(sample.sample_weight[subset]):
            return "the weights of the rows to train on are all zero"
        if "classes_" in self._known and sample.y.ndim == 1:
            codes = self.known_model()._codes(sample)[subset].astype(np.intp)
            if not np.all(np.bincount(codes, minlength=len(self._known["classes_"]))):
                return "a class is not among the rows to train on"
        return None

    def _pose(self, cell):
        """Make a fit's problem; return a reason if its solver is not one that takes many."""
        number, place = cell
        model, loss, subset = self._models[number], self._losses[number], self._subsets[place]
        try:
            problem = model._problem(self.sample, loss, subset, counted=subset)
            solver = model._solver(loss, problem)
        except Exception as error:  # whatever it is: `fit` alone is to raise it
            return _first_line(error)
        if not isinstance(solver, solvers.SGD | solvers.Auto):
            return "columns that are kept in order are one problem"
        if isinstance(solver, solvers.Auto) and solver.n_iter_no_change != solvers.Auto.n_iter_no_change:
            return f"n_iter_no_change={solver.n_iter_no_change}"
        if problem.weights is not self.sample.sample_weight and not self._weigh(problem):
            return "the weights of the rows to train on are all zero"
        if isinstance(solver, solvers.SGD):
            problem = replace(problem, subset=self._visited[place])
        self._problems[cell], self._solvers[cell] = problem, solver
        return None

    def _weigh(self, problem):
        """Whether any row to train on has a weight."""
        weights, subset = problem.weights, problem.subset
        return self.sample.once(
            ("weigh", id(weights), id(subset)), lambda: bool(np.any(weights if subset is None else weights[subset]))
        )

    def known_model(self):
        """A model that knows the table's columns and is not fitted: for checking rows to predict for."""
        return next(iter(self._models.values()))

    def run(self, *, n_jobs=None, progress=None):
        """Do the fits of `cells`.

        Parameters
        ----------
        n_jobs : int or None, default=None
            Threads; None: as many as OpenMP may use. The fits do not depend on it.
        progress : callable or None, default=None
            Called now and then with the share of the work that is done, in [0, 1]. If it returns True, fits that are
            not done are left out. What it raises is raised.

        Returns
        -------
        fits : dict of (int, int) to Fit
            By cell.
        """
        fits, groups, report = {}, defaultdict(list), _Report(progress, len(self.cells))
        for cell, seed in self._seeds().items():
            model = self._models[cell[0]]
            groups[cell in self.stepwise, model.tol, model.max_iter, seed].append(cell)
        for (_, *given), cells in groups.items():
            if report.stopped:
                break
            start = perf_counter()
            report.begin(len(fits), len(cells))
            results = self._solve(cells, dict(zip(("tol", "max_iter", "random_state"), given, strict=True)), n_jobs,
                                  report)
            finished = {
                cell: self._finish(cell, result)
                for cell, result in zip(cells, results, strict=True)
                if result is not None
            }
            share = (perf_counter() - start) / len(cells)
            fits |= {cell: Fit(*outcome, share) for cell, outcome in finished.items()}
        return fits

    def _solve(self, cells, given, n_jobs, report):
        """Results of fits that make one call of a solver."""
        problems, of_cells = [self._problems[cell] for cell in cells], [self._solvers[cell] for cell in cells]
        try:
            if cells[0] in self.stepwise:
                results = solvers.solve_by_steps(problems, of_cells, **given, n_jobs=n_jobs, progress=report)
            else:
                results = solvers.solve_many(problems, **given, n_jobs=n_jobs, progress=report)
        except Exception:  # of the call, not of a fit: each is to show what it is worth by itself
            results = [None] * len(cells)
            for number, (solver, problem) in enumerate(zip(of_cells, problems, strict=True)):
                if report(number / len(cells)):
                    break
                try:
                    results[number] = solver.solve(problem, **given)
                except Exception as error:
                    results[number] = error
        if report.error is not None:
            raise report.error
        return results

    def _seeds(self):
        """The seed of every fit. Fits that leave it to chance share one: they would not share a call otherwise."""
        by_chance, seeds = None, {}
        for number, model in self._models.items():
            if model.random_state is not None:
                seeds[number] = model._seed()
            else:
                by_chance = model._seed() if by_chance is None else by_chance
                seeds[number] = by_chance
        return {cell: seeds[cell[0]] for cell in self.cells}

    def _finish(self, cell, result):
        """Make a fitted estimator of a result: return it and None, or None and the error."""
        if isinstance(result, Exception):
            return None, result
        model, loss = copy.copy(self._models[cell[0]]), self._losses[cell[0]]
        attributes = model._reconstruction(
            result.coef, result.intercept, result.n_iter, loss=loss, dtype=self.sample.X.dtype
        )
        try:
            model._keep(result, attributes)
            model._warn(self._problems[cell], result)
        except Exception as error:  # warnings may be errors
            return None, error
        return model, None


class _Report:
    """Tells how much is done of all cells, and remembers the answers."""

    def __init__(self, call, n_all):
        self._call, self._n_all, self._before, self._n_cells = call, n_all, 0, n_all
        self.stopped, self.error = False, None

    def begin(self, before, n_cells):
        """From now on shares are those of so many cells, when others were done before."""
        self._before, self._n_cells = before, n_cells

    def __call__(self, share):
        if self._call is not None and not self.stopped:
            try:
                self.stopped = bool(self._call((self._before + share * self._n_cells) / self._n_all))
            except Exception as error:  # not the solver's
                self.stopped, self.error = True, error
        return self.stopped


def _first_line(error):
    return str(error).partition("\n")[0]

"""Which problems a block can solve, and those that are better solved as a block of their own."""

from dataclasses import replace

import numpy as np

from sklosses.solvers._block import CHEAP_READING, OWN_MATRIX, Block
from sklosses.solvers._patterns import patterns
from sklosses.solvers._problem import Result, has_negative_weights
from sklosses.solvers._reading import can_be_smoothed, column_losses, one_blas_thread

# Multiply-adds of a reading from which columns are worth reading rows for together.
LEAST_WORK = 1e5
# Tolerances that quasi-Newton steps and smoothing reach in a few readings.
LEAST_TOL = 1e-7
# With l1 every step solves a model of so many features, column by column.
LARGEST_SPARSE = 256
# Classes from which a block is faster than column by column.
CLASSES = 4
# A target that so many of some rows have is no matter for smoothing.
SOME, TIED = 2000, 0.1
# Rows a feature from which smoothed kinks determine their coefficients: with fewer, bands have to be narrow too soon.
ROWS = 40


def can_be_blocked(problem, tol):
    """Whether a block is a way to solve a problem to a tolerance.

    Parameters
    ----------
    problem : Problem
    tol : float or None

    Returns
    -------
    bool
    """
    n, d = problem.n_rows, problem.n_features
    if not tol or tol < LEAST_TOL or n * (d + 1) <= LEAST_WORK or problem.intercept_cost:
        return False
    if has_negative_weights(problem):
        return False
    l1, l2 = np.asarray(problem.penalty.l1), np.asarray(problem.penalty.l2)
    if np.any((l1 == 0) & (l2 == 0)) or (np.any(l1 > 0) and d > LARGEST_SPARSE):
        return False
    return all(_is_fit(loss) for loss in column_losses(problem))


def _is_fit(loss):
    traits = loss.traits
    if not traits.convex or not can_be_smoothed(loss):
        return False
    return traits.smooth or (traits.has_conjugate and not rests_at_zero(loss))


def rests_at_zero(loss):
    """Whether a prediction of 0 is as good as any, for every class."""
    if not loss.target.hard or loss.traits.smooth:
        return False
    try:
        smooth = loss.smoothed(1.0)
    except NotImplementedError:
        return False
    return bool(np.all(smooth.gradient(np.array(loss.target.codes), np.zeros(2)) == 0))


def is_better_blocked(problem, tol):
    """Whether a block solves a single problem faster than Newton's method, column by column.

    Several classes share readings; with kinks, on tables of few numbers and many rows a feature, which each class goes
    through by itself. So do several quantiles of one target, on larger ones: samples leave each so near its minimum
    that three or four readings of all rows, for all columns, prove it. The interior point method makes a matrix of the
    rows near the kinks in each of its iterations, and with hundreds of features of most rows; a smoothed loss needs
    fewer, of fewer rows.

    Parameters
    ----------
    problem : Problem
    tol : float or None

    Returns
    -------
    bool
    """
    smooth = all(traits.smooth for traits in problem.traits)
    classes = problem.one_vs_rest is not None and problem.n_columns >= CLASSES
    if smooth:
        better = classes
    elif classes and problem.n_rows * (problem.n_features + 1) <= CHEAP_READING:
        better = problem.n_features < problem.n_rows / ROWS
    elif hasattr(problem.rows, "indptr"):
        better = False
    elif problem.n_features <= OWN_MATRIX:
        better = problem.n_rows * (problem.n_features + 1) > CHEAP_READING and _is_family(problem)
    else:
        better = problem.n_features < problem.n_rows / ROWS
    return better and can_be_blocked(problem, tol)


def _is_family(problem):
    """Whether columns differ in a parameter of their loss alone, as several quantiles do."""
    (loss, _), K = problem.losses[0], problem.n_columns
    return (loss.n_columns == K >= CLASSES and problem.one_vs_rest is None and np.ndim(problem.targets) == 1
            and not np.any(problem.penalty.l1) and not _is_tied(problem.targets))


def _is_tied(targets):
    """Whether many targets are the same number: some quantile is that, and no smoothing finds it soon."""
    some = targets[:: max(1, len(targets) // SOME)]
    return np.unique(some, return_counts=True)[1].max() > TIED * len(some)


def solve_as_block(problem, given, n_threads, lone):
    """Solve a problem as a block.

    Parameters
    ----------
    problem : Problem
    given : dict
        ``tol``, the relative suboptimality to reach, and ``random_state``.
    n_threads : int
    lone : callable
        Solves the classes that the block does not prove, a problem of their own.

    Returns
    -------
    result : Result or None
        If it was proven.
    state : State or None
        Otherwise where the interior point method may start, if that is near the minimum.
    """
    folds = patterns(problem.rows.n_rows, [problem.subset])
    with one_blas_thread(), Block([problem], folds, **given, n_threads=n_threads) as block:
        found = block.solve()[0][0][0]
        if isinstance(found, Result):
            return found, None
        left = np.array([k for k, column in enumerate(block.columns) if not column.gap <= given["tol"]])
        if problem.one_vs_rest is None or np.size(problem.penalty.l1) > 1 or np.size(problem.penalty.l2) > 1:
            return None, found
        most = block.result(block.columns)
    return _with(most, left, lone(_classes(problem, left))), None


def _classes(problem, left):
    """The problem of some of the classes."""
    y, classes, losses = problem.targets, problem.one_vs_rest, column_losses(problem)
    indicator = y[:, left] if np.ndim(y) == 2 else y[:, np.newaxis] == left
    return replace(problem, targets=indicator.astype(np.float64), losses=tuple((losses[k], 1) for k in left),
                   one_vs_rest=replace(classes, class_weight=classes.class_weight[left]))


def _with(most, left, part):
    """A result in which some columns are those of another."""
    values = {}
    for name in ("coef", "intercept", "objective", "gap", "n_iter_per_column"):
        values[name] = getattr(most, name).copy()
        values[name][left] = getattr(part, name)
    kinds = list(most.gap_kind)
    for k, kind in zip(left, part.gap_kind, strict=True):
        kinds[k] = kind
    history = most.history | {name: values[name][np.newaxis] for name in ("objective", "gap")}
    history["seconds"] = history["seconds"] + part.history["seconds"][-1:]
    state = replace(most.state, coef=values["coef"].copy(), intercept=values["intercept"].copy())
    return replace(most, **values, n_iter=max(most.n_iter, part.n_iter), history=history, state=state,
                   solver=f"{most.solver}, {part.solver}", converged=part.converged, gap_kind=tuple(kinds))

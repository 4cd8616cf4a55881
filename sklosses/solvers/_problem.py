"""What solvers take and give: a problem, a result and the state to go on from. Plain records."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sklosses.data import Rows


@dataclass(frozen=True, eq=False)
class OneVsRest:
    """Targets that are classes, of which column k tells class k from the rest.

    One class a row: its number. Any number of classes a row: an indicator, 1 where the row is of the column's class.

    Attributes
    ----------
    codes : tuple of two floats
        The loss's code of the negative and of the positive class.
    class_weight : ndarray of shape (n_columns, 2)
        Weight of the negative and of the positive rows of each column.
    """

    codes: tuple
    class_weight: np.ndarray

    def recoding(self, targets):
        """What makes a column's targets and weights of the problem's.

        Parameters
        ----------
        targets : ndarray of shape (N,) or (N, n_columns)
            The problem's.

        Returns
        -------
        ndarray of shape (n_columns, 5)
            What the targets of rows of the column's own class are, the loss's codes of the other rows and of these, and
            what the weights of the other rows and of these are multiplied by.
        """
        weights = np.asarray(self.class_weight, dtype=np.float64)
        own = np.arange(len(weights)) if np.ndim(targets) == 1 else np.ones(len(weights))
        return np.column_stack([own, np.broadcast_to(self.codes, (len(weights), 2)), weights])


def recoded(targets, recoding):
    """What :meth:`OneVsRest.recoding` makes of targets: a column's targets, and what weights are multiplied by."""
    own, other_code, own_code, other_weight, own_weight = recoding
    positive = targets == own
    return np.where(positive, own_code, other_code), np.where(positive, own_weight, other_weight)


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows, targets, and the columns of coefficients to be fitted to them.

    The objective of a column, with n the number of rows trained on, is ::

        F(w, b) = (1/n) sum_i s_i phi(y_i, x_i.w + b + o_i) + penalty(w) + intercept_cost * b

    Attributes
    ----------
    rows : Rows
        Made by :func:`sklosses.data.as_rows`; N rows.
    targets : ndarray of shape (N,) or (N, n_columns)
        float64. One column of targets is shared by all columns. With `one_vs_rest` class numbers of shape (N,), or an
        indicator of shape (N, n_columns).
    losses : tuple of (Loss, int)
        Runs of columns of equal loss: the loss and how many columns it has. Column j of a run uses the j-th value of
        the loss's vector parameters.
    penalty : Penalty
        Of all columns; its parameters may hold one value a column.
    weights : ndarray of shape (N,) or None, default=None
        s_i: sample weight times class weight; None: all 1.
    offset : ndarray of shape (N,) or None, default=None
        o_i, added to the raw predictions; None: all 0.
    fit_intercept : bool, default=True
        Whether b is fitted. If not it stays where it starts.
    one_vs_rest : OneVsRest or None, default=None
        How `targets` are recoded for each column.
    intercept_cost : float, default=0.0
        The nu of the one-class SVM.
    subset : ndarray of shape (n_rows,) or None, default=None
        intp numbers of the rows trained on; None: all. Arrays of length N keep their N entries.
    """

    rows: Rows
    targets: np.ndarray
    losses: tuple
    penalty: object
    weights: np.ndarray | None = None
    offset: np.ndarray | None = None
    fit_intercept: bool = True
    one_vs_rest: OneVsRest | None = None
    intercept_cost: float = 0.0
    subset: np.ndarray | None = None

    @property
    def n_rows(self):
        """Number of rows trained on."""
        return self.rows.n_rows if self.subset is None else len(self.subset)

    @property
    def row_bytes(self):
        """Bytes of memory that a row trained on occupies, on average: as if the others were not there."""
        return self.rows.row_bytes if self.subset is None else self.rows.row_bytes_of(self.subset)

    @property
    def n_features(self):
        """Number of coefficients of a column, without the intercept."""
        return self.rows.n_features

    @cached_property
    def traits(self):
        """Traits of each run's loss."""
        return tuple(loss.traits for loss, _ in self.losses)

    @property
    def n_columns(self):
        """Number of columns of coefficients."""
        return sum(count for _, count in self.losses)


def has_negative_weights(problem):
    """Whether a weight is below 0: then the objective is not convex."""
    return problem.weights is not None and bool(np.any(np.asarray(problem.weights) < 0))


def refuse_negative_weights(problem, solver):
    """Raise the ValueError of a solver, named in it, that minimises convex objectives only."""
    if has_negative_weights(problem):
        raise ValueError(f"{solver} needs weights >= 0: with negative ones the objective is not convex.")


@dataclass(eq=False)
class State:
    """Where a solver stood when it returned: what it needs to go on.

    Attributes
    ----------
    coef : ndarray of shape (n_columns, n_features)
    intercept : ndarray of shape (n_columns,)
        The standard iterate: not averaged.
    average_coef : ndarray of shape (n_columns, n_features) or None, default=None
    average_intercept : ndarray of shape (n_columns,) or None, default=None
        Mean of the iterates so far; None without averaging.
    t : float, default=1.0
        1 + the number of rows seen.
    steps : int or None, default=None
        Steps of the schedule taken; None: one a row.
    averaged : ndarray of shape (n_columns,) or None, default=None
        Iterates in the mean of each column; None: what `t` says of solvers that step once a row.
    stream : Stream or None, default=None
        What :class:`Streaming` remembers of the rows.
    near : tuple or None, default=None
        What :class:`Newton` has learnt of the rows, one object a column. Where it is given, it begins with all rows,
        near the minimum for others or for other weights.
    """

    coef: np.ndarray
    intercept: np.ndarray
    average_coef: np.ndarray | None = None
    average_intercept: np.ndarray | None = None
    t: float = 1.0
    steps: int | None = None
    averaged: np.ndarray | None = None
    stream: object = None
    near: tuple | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """What a solver returns.

    Attributes
    ----------
    coef : ndarray of shape (n_columns, n_features)
        float64.
    intercept : ndarray of shape (n_columns,)
    objective : ndarray of shape (n_columns,)
        F at `coef` and `intercept`, computed exactly.
    n_iter : int
        Epochs run: the most of any column.
    n_iter_per_column : ndarray of shape (n_columns,)
        Epochs until each column left.
    history : dict of str to ndarray
        One entry an epoch: ``"objective"`` of shape (E,), or (E, n_columns) where there is more than one column (a
        column that has left keeps its last value), ``"seconds"`` (cumulative), ``"validation_score"`` if scored.
    solver : str
        Name of the solver.
    state : State
        To go on from.
    converged : bool
        Whether the solver's own rule stopped it.
    gap : ndarray of shape (n_columns,) or None, default=None
        Bounds on (F - F*) / F*, of solvers that certify.
    gap_kind : tuple of str or None, default=None
        For each column, "proof" or "estimate".
    endless : bool, default=False
        Whether a column's objective falls for ever as its coefficients grow: it has no minimum. `coef` is where
        next to nothing was left of it.
    """

    coef: np.ndarray
    intercept: np.ndarray
    objective: np.ndarray
    n_iter: int
    n_iter_per_column: np.ndarray
    history: dict
    solver: str
    state: State
    converged: bool
    gap: np.ndarray | None = None
    gap_kind: tuple | None = None
    endless: bool = False

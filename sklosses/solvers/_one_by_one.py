"""Solvers whose columns go down one after the other, each with an account of its own readings."""

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from sklosses.solvers._descent import Column
from sklosses.solvers._monitor import Monitor
from sklosses.solvers._newton import Newton, Run
from sklosses.solvers._problem import refuse_negative_weights
from sklosses.solvers._reading import Reading


@dataclass(frozen=True)
class WithoutMatrix:
    """A solver of smooth problems with any number of features: a subclass says which, and how their columns descend."""

    n_jobs: int | None = None
    n_iter_no_change: int = 5

    @property
    def kind(self):
        """The subclass of `Counted` whose columns descend."""
        raise NotImplementedError

    @staticmethod
    def lacks(problem):
        """What a problem would have to have for this solver, as a part of a sentence; None if nothing."""
        raise NotImplementedError

    @classmethod
    def can(cls, problem):
        """Whether a problem is one for this solver.

        Parameters
        ----------
        problem : Problem

        Returns
        -------
        bool
        """
        return cls.lacks(problem) is None

    def solve(self, problem, *, tol=1e-3, max_iter=100, random_state=0, monitor=None, state=None):
        """Minimise.

        Parameters
        ----------
        problem : Problem
        tol : float >= 0 or None, default=1e-3
            Relative suboptimality (F - F*) / abs(F*) to reach. None and 0: the limit of precision.
        max_iter : int, default=100
            Readings of all rows for a column, at most, and the few that end a step: looks, products, diagonals, copies
            of columns, and coordinate descent by the entries it visits.
        random_state : int, default=0
            Unused: nothing is drawn.
        monitor : Monitor or None, default=None
            Sees each look, one or a few a step.
        state : State or None, default=None
            Where to start; None: zero coefficients, the best intercept for them.

        Returns
        -------
        Result
            With ``gap`` and ``gap_kind`` of each column: gap inf where a monitor stopped the solver before anything was
            known. ``history`` has one entry a look: ``rows``, ``objective``, ``gap`` as far as it is known then,
            ``seconds``.

        Raises
        ------
        ValueError
            If the problem is not one for this solver (:meth:`can`), or weights are negative or those of a column all 0.
        """
        name, lacking = type(self).__name__, self.lacks(problem)
        if lacking is not None:
            raise ValueError(f"{name} needs {lacking}")
        refuse_negative_weights(problem, name)
        settings = Newton(n_jobs=self.n_jobs, n_iter_no_change=self.n_iter_no_change, thorough=False)
        run = OneByOne(self.kind, settings, problem, tol, max_iter, Monitor() if monitor is None else monitor)
        return run.descend(state, name)


class OneByOne(Run):
    """One call of `solve` of a solver whose steps read the table, in threads.

    Parameters
    ----------
    kind : subclass of Counted
        Of the columns.
    solver : Newton
        What it is set to.
    problem, tol, max_iter, monitor
        As :class:`Run` takes them.
    """

    def __init__(self, kind, solver, problem, tol, max_iter, monitor):
        super().__init__(solver, problem, tol, max_iter, monitor)
        self._kind = kind

    def descend(self, state, name):
        """From the start to the end; returns the result. `name` is the solver's, in errors."""
        with Reading(self.problem, self.n_threads) as reading, np.errstate(all="ignore"):
            if not np.all(reading.totals > 0):
                raise ValueError(f"{name} needs a weight that is not 0 in each column: there is nothing to fit.")
            reading.by_entries()
            K, penalty = self.problem.n_columns, self.problem.penalty
            factors = zip(np.broadcast_to(penalty.l1, K), np.broadcast_to(penalty.l2, K), strict=True)
            start = None if state is None else replace(state, near=None)
            self.columns = [self._kind(self.problem, reading, k, each, start) for k, each in enumerate(factors)]
            self._lockstep(reading, {k: column.descend(reading, self.tol, self.max_iter)
                                     for k, column in enumerate(self.columns)})
            if self.stopped or self.listener.best:
                self._settle(reading)
        readings = np.array([ceil(column.readings) for column in self.columns])
        self.n_iter = int(readings.max())
        return replace(self.result(), n_iter_per_column=readings)

    def _side_by_side(self, reading, go_on, columns, looks):
        """Let columns go on, one after the other: each uses threads."""
        for k, look in zip(columns, looks, strict=True):
            column = self.columns[k]
            before, column.readings = reading.readings, column.readings + (look is not None)
            column.since = reading.readings - column.readings
            go_on(k, look)
            column.readings += reading.readings - before


class Counted(Column):
    """A column that goes down alone; a subclass has a generator ``descend(reading, tol, budget)``.

    Attributes
    ----------
    readings : float
        Of the table for this column, before it went on last.
    since : float
        The reading's own count less this column's.
    """

    def __init__(self, problem, reading, k, penalty, state):
        super().__init__(problem, reading, k, penalty, state)
        self.readings, self.since = 0.0, 0.0

    def knowledge(self):
        """None: nothing but the model is kept."""
        return

    def _left(self, reading, budget):
        """Readings left."""
        return budget - (reading.readings - self.since)

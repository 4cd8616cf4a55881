"""Columns that go down one after the other, each with an account of its own readings."""

from dataclasses import replace
from math import ceil

import numpy as np

from sklosses.solvers._descent import Column
from sklosses.solvers._newton import Run
from sklosses.solvers._reading import Reading


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

"""Newton's steps without Python in between: where a column of a small table begins.

A step on a few hundred rows is a matter of microseconds; readings, looks and generators take a hundred times as long
to make one. Here all steps are one call of a kernel, on a centred copy of the rows. What they come to is a start, and
no more: a certificate has still to be found on readings, by steps that know of copies of columns and limits of
precision.
"""

from dataclasses import dataclass

import numpy as np

from sklosses._isa import kernel
from sklosses.solvers._centred import CONSTANT, CentredRows
from sklosses.solvers._reading import can_be_smoothed

_kernel = kernel("sklosses.solvers._interior_kernel")

# Multiply-adds of a reading up to which calls from Python cost more than it does.
SMALL = 2.5e5
# Steps end where the squared decrement is this share of the objective: what they leave is rounding.
ENOUGH = 1e-20
# Steps that have not come so far have not arrived: they were cut short, or rounding is in their way.
ARRIVED = 1e-9
# On some of the rows, which know the minimum of all to about their number's inverse.
ENOUGH_OF_PART = 1e-4
# Of smoothed losses, which are about the right one, this much is enough, in so many steps.
ENOUGH_SMOOTHED, STEPS_SMOOTHED = 1e-3, 10
# Steps at most. Each reads the rows for a product, the product back and a matrix: so many readings, of which columns
# have as many together as if they were made side by side. And no more than a share of all that there may be.
STEPS, A_STEP, SHARE = 40, 2, 0.25
# The first steps are made on one row of so many at most, if that leaves so many of them, and so many a coefficient.
ONE_OF, FEWEST, ROWS_A_COEFFICIENT = 8, 500, 30
# The first smoothed band is a typical distance from a kink, times this. They are narrowed until they have no more than
# so many times the kinks that the interior point method asks for at least; by a factor of so much at least and at
# most, so often at most.
FIRST, FEW, NARROWER, BANDS = 0.5, 2.5, (0.5, 0.1), 8


def can_start(problem, reading, k):
    """Whether a column has a head start: few rows, an l2 penalty, and a convex loss, smooth or to be smoothed.

    Without l2 there may be many minimisers, and with l1 steps have corners.

    Parameters
    ----------
    problem : Problem
    reading : Reading
        Of all rows.
    k : int
        Number of a column.

    Returns
    -------
    bool
    """
    traits, penalty = reading.traits[k], problem.penalty
    small = reading.n_rows * (reading.n_features + 1) <= SMALL and len(reading.chunks) == 1
    if not small or problem.intercept_cost or not traits.convex:
        return False
    if traits.smooth:       # where second derivatives are constants one step is all there is
        simple = traits.self_concordance > 0
    else:
        simple = problem.n_columns == 1
    return bool(simple and penalty.l1.max() == 0 < penalty.l2.min() and reading.totals[k] > 0
                and can_be_smoothed(reading.losses[k]))


def descend(column, reading, budget):
    """Move a column of a smooth loss to its minimum, if that is simple; else it stays where it is.

    Parameters
    ----------
    column : Column
        With its centre.
    reading : Reading
        Of all rows, whose readings are counted on.
    budget : float
        Readings after which all is to end.
    """
    rows, z, loss = _Rows.of(column, reading), _centred(column), reading.losses[column.k]
    part = None if np.any(column.coef) else rows.part()
    if part is not None:
        _steps(part, reading, loss, z, budget, (STEPS, ENOUGH_OF_PART))
    smooth = _steps(rows, reading, loss, z, budget, (STEPS, ENOUGH))
    if 0 <= smooth.fall <= ARRIVED * abs(smooth.objective):
        _move(column, z)


def smoothed(column, reading, sides, budget):
    """Move a column of a loss with kinks near its minimum: by smoothed losses, each nearer to the loss than the last.

    Parameters
    ----------
    column : KinkedColumn
        With its centre.
    reading : Reading
    sides : Sides
    budget : float

    Returns
    -------
    float
        How far predictions may have to move still: as far as kinks are that the last band has smoothed.
    """
    rows, z, loss = _Rows.of(column, reading), _centred(column), reading.losses[column.k]
    width, most, part = FIRST * sides.typical(_predictions(column, reading)), FEW * column.fewest, rows.part()
    if part is not None:
        _steps(part, reading, loss.smoothed(width), z, budget, (STEPS_SMOOTHED, ENOUGH_SMOOTHED))
        width *= NARROWER[0]
    for _ in range(BANDS):
        smooth = _steps(rows, reading, loss.smoothed(width), z, budget, (STEPS_SMOOTHED, ENOUGH_SMOOTHED))
        inside = sides.within(smooth.p, width)
        if inside <= most or reading.readings >= SHARE * budget:
            break
        width *= min(max(column.fewest / inside, NARROWER[1]), NARROWER[0])
    _move(column, z)
    return width


@dataclass(frozen=True, eq=False)
class _Rows:
    """Centred rows in memory and what losses ask of them."""

    design: object
    target: np.ndarray
    weight: np.ndarray | None
    offset: np.ndarray | None
    quadratic: np.ndarray

    @classmethod
    def of(cls, column, reading):
        """All rows of a reading, as a column sees them."""
        d, table, offset = len(column.coef), column.problem.rows, reading.offset
        design = CentredRows(reading, column.centre, column.fit_intercept, table.n_rows * table.row_bytes).whole
        # What is left of a constant column when its mean is taken off is rounding.
        constant = np.ptp(design.rows[:, :d], axis=0) <= CONSTANT * np.abs(column.centre)
        if constant.any():
            design.rows[:, :d][:, constant] = 0.0
        quadratic = np.full(d + 1, column.l2)
        quadratic[d] = 0.0
        if not column.fit_intercept and column.intercept != 0:
            offset = column.intercept + (np.zeros(reading.n_rows) if offset is None else offset)
        return cls(design, reading.target(column.k), reading.weight(column.k), offset, quadratic)

    def part(self):
        """A few of the rows, from all over; None if they are few already, or none of those counts."""
        n, D = self.design.rows.shape
        step = min(n // max(FEWEST, ROWS_A_COEFFICIENT * D), ONE_OF)
        if step < 2:
            return None
        rows = self.design.rows[::step]
        design = _kernel.Design(*rows.shape)
        design.rows[:] = rows
        parts = (None if array is None else array[::step].copy() for array in (self.target, self.weight, self.offset))
        part = _Rows(design, *parts, self.quadratic)
        return part if part.total > 0 else None

    @property
    def total(self):
        """The sum of the weights."""
        return float(len(self.target) if self.weight is None else self.weight.sum())


def _steps(rows, reading, loss, z, budget, until):
    """Steps on a loss from z, which becomes where they end; returns what made them."""
    share, (steps, enough) = A_STEP * len(rows.target) / (reading.n_rows * len(reading.losses)), until
    smooth = _kernel.Smooth(rows.design, loss, (rows.target, rows.weight, rows.offset), rows.quadratic, rows.total)
    steps = int(max(0, min(steps, (SHARE * budget - reading.readings) / share)))
    reading.readings += share * smooth.descend(z, steps, enough)
    return smooth


def _centred(column):
    """The coefficients of centred features and c."""
    return np.append(column.coef, column.intercept + column.centre @ column.coef if column.fit_intercept else 0.0)


def _move(column, z):
    """Make centred coefficients and c the column's model, if they are numbers."""
    if np.all(np.isfinite(z)):
        column.coef = z[:-1]
        if column.fit_intercept:
            column.intercept = float(z[-1] - column.centre @ column.coef)


def _predictions(column, reading):
    """The predictions of a column's model without coefficients."""
    p = np.full(reading.n_rows, column.intercept)
    return p if reading.offset is None else p + reading.offset

"""Minimising means of a loss over bands round the predictions, narrower and narrower.

Losses with straight parts, or targets far away in units of the loss's bend: there most rows have next to no
curvature, and others all. Newton's steps are cut again and again, because the curvature here is not what they meet.
The mean over a band ::

    phi_h(y, p) = (1 / 2h) int_{-h}^{h} phi(y, p + t) dt,    phi_h'(y, p) = (phi(y, p + h) - phi(y, p - h)) / (2h),
    phi_h''(y, p) = (phi'(y, p + h) - phi'(y, p - h)) / (2h)

is convex, no less than phi, and bends where predictions are within h of a bend. Its minimum is found by Newton's
method, with a search along steps that asks for slopes alone; then h is made smaller, until the means are about the
loss itself.
"""

from dataclasses import dataclass

import numpy as np

from sklosses.solvers._curvature import Curvature
from sklosses.solvers._line import along

# Slopes change by this share of themselves in the first band; powers of 2 that it may have.
CHANGED, POWERS = 0.9, (-60, 66)
# A band is left when what a step brings is less than this share of what the mean adds to the loss.
ENOUGH = 0.1
# Bands narrow by this factor, as long as means and derivatives differ by this share of the curvature.
NARROWER, ALIKE = 6.0, 0.1
# Steps in all, and in a band.
STEPS, STEPS_A_BAND = 80, 8
# Bands for an estimate, one after the other: shares of the objective that a mean may add.
PARTS = 1e-2 * 0.3 ** np.arange(14)
# What rounding makes of slopes, relative to what is added up.
CANCELLING = 2e-16
# A step is cut where the slope is down to this share.
FLATTER = 0.1


@dataclass(frozen=True, eq=False)
class Mean:
    """The derivatives of a loss's mean over a band, as :class:`Look` has those of a loss.

    Attributes
    ----------
    p : ndarray of shape (n_rows,)
    product : ndarray of shape (n_features,)
    slope : float
    hessian : ndarray of shape (n_rows,)
    """

    p: np.ndarray
    product: np.ndarray
    slope: float
    hessian: np.ndarray


def by_bands(column, reading, look, band, budget):
    """Descend by bands: a generator that asks for looks, and returns the last.

    Parameters
    ----------
    column : Column
        It is moved, if its objective falls.
    reading : Reading
    look : Look
        Of the column's place.
    band : float
        The width to begin with.
    budget : float
        Readings after which to end.

    Returns
    -------
    Look
    """
    began, here, p, steps = look, (column.coef, column.intercept), look.p, 0
    while steps < STEPS and reading.readings < budget:
        for _ in range(STEPS_A_BAND):
            mean = _mean(reading, column.k, p, band)
            step, fall = _step(column, reading, mean)
            steps += 1
            there = column.moved(step)
            end = yield there
            share = _share(column, reading, p, end.p, band, step) if fall > 0 else 0.0
            if share == 0:
                break
            column.coef, column.intercept = column.moved(share * step)
            p = p + share * (end.p - p)
            if fall <= ENOUGH * _added(column, mean, band):
                break
        exact = reading.derivatives(column.k, p, second=True)
        if not np.abs(mean.hessian - exact).sum() > ALIKE * exact.sum():
            break
        band /= NARROWER
    look = yield column.coef, column.intercept
    if not column.value_of(look, column.coef) < column.value_of(began, here[0]):
        column.coef, column.intercept = here
        return began
    return look


def bound_by_bands(column, reading, look, tol, budget):
    """An estimate of what F - F* is at most, for losses of bounded slope: by means over bands that are worth little.

    A mean is above a loss of slopes up to L by no more than L h / 2, or kappa h^2 / 6 by its curvature, and never below
    it: F - F* is no more than that and what is left of the mean's objective. That has curvature where the loss has
    none, and its squared decrement is more than what is left, if the curvature is about the same after the step. Where
    it is not, the step is taken, and what F has fallen by is added.

    Parameters
    ----------
    column : Column
    reading : Reading
    look : Look
        Of the column's place.
    tol : float
        The relative gap that is asked for.
    budget : float
        Readings after which to end.

    Returns
    -------
    float
        inf if nothing is known.
    """
    traits, place, best = reading.traits[column.k], (column.coef, column.intercept), np.inf
    value = column.objective - column.lowest
    for part in PARTS:
        band = part * value / traits.lipschitz
        if not band > 0:        # there is nothing left of the loss
            break
        added = min(traits.lipschitz * band / 2, traits.curvature * band * band / 6)
        look, left = _left(column, reading, look, band, added, budget)
        best = min(best, added + left)
        if best <= tol * value or left == np.inf:
            break
    column.coef, column.intercept = place
    return best


def _left(column, reading, look, band, added, budget):
    """What is left of the mean's objective after steps that move the column, and of F to there; inf if unknown.

    With the look there.
    """
    here = look
    for _ in range(STEPS_A_BAND):
        if reading.readings >= budget:
            break
        mean = _mean(reading, column.k, here.p, band)
        curvature, gradient = Curvature(column.matrix_of(reading, mean.hessian)), column.gradient_of(mean, column.coef)
        if column.is_lost(reading, here, gradient, curvature):
            break               # no row bends that would tell how far it is
        step = curvature.step(gradient, column.coef, column.l1)
        fall = column.promised(gradient, step)
        there = column.moved(step)
        end, = reading.look([column.k], there[0][np.newaxis], np.array([there[1]]))
        changed = np.abs(_curvature(reading, column.k, end.p, band) - mean.hessian)
        beyond = changed @ (end.p - here.p) ** 2 / column.total
        if fall >= 0 and beyond <= ALIKE * max(fall, added):
            hidden = curvature.hidden(gradient, step, column.l1, CANCELLING * column.sizes(reading, here))
            fallen = column.objective - column.value_of(here, column.coef)
            return here, fall + beyond + hidden + max(fallen, 0.0)
        share = _share(column, reading, here.p, end.p, band, step) if fall > 0 else 0.0
        if share == 0:
            break
        column.coef, column.intercept = column.moved(share * step)
        here, = reading.look([column.k], column.coef[np.newaxis], np.array([column.intercept]))
    return here, np.inf


def first_band(reading, k, look):
    """A band in which the slopes change by a good part of themselves: as far as rows are from their bends."""
    low, high = POWERS
    while high - low > 1:
        power = (low + high) // 2
        with np.errstate(over="ignore", invalid="ignore"):
            change = reading.derivatives(k, look.p + 2.0**power) - reading.derivatives(k, look.p - 2.0**power)
        enough = not np.abs(change).sum() < 2 * CHANGED * look.steepness
        low, high = (low, power) if enough else (power, high)
    return 2.0**high


def _slopes(reading, k, p, band):
    with np.errstate(over="ignore", invalid="ignore"):
        return (reading.values(k, p + band) - reading.values(k, p - band)) / (2 * band)


def _mean(reading, k, p, band):
    slopes = _slopes(reading, k, p, band)
    return Mean(p, reading.back(slopes), float(slopes.sum()), _curvature(reading, k, p, band))


def _curvature(reading, k, p, band):
    with np.errstate(over="ignore", invalid="ignore"):
        change = reading.derivatives(k, p + band) - reading.derivatives(k, p - band)
    return np.maximum(change, 0.0) / (2 * band)


def _added(column, mean, band):
    """What a mean adds to the loss, about."""
    return mean.hessian.sum() * band * band / 6 / column.total


def _step(column, reading, mean):
    matrix = column.matrix_of(reading, mean.hessian)
    gradient = column.gradient_of(mean, column.coef)
    step = Curvature(matrix).step(gradient, column.coef, column.l1)
    return step, column.promised(gradient, step)


def _share(column, reading, p, end, band, step):
    """How much of a step to take."""
    w, dw, strength, change = column.coef, step[:-1], column.l2 + column.ridge, end - p

    def slope(t):
        at = w + t * dw
        smooth = _slopes(reading, column.k, p + t * change, band) @ change / column.total + (strength * at) @ dw
        return smooth + column.l1 * np.where(at == 0, np.abs(dw), np.sign(at) * dw).sum()

    first, last = slope(0.0), slope(1.0)
    return 1.0 if first < 0 and last <= -FLATTER * first else along(slope, FLATTER)

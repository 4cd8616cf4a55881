"""One column on its way down where the loss is linear between its kinks: an interior point method on few of the rows.

A row far from its kinks keeps its side, and is a linear term of the objective. What is solved exactly is the band of
kinks near the predictions; a reading of all rows then tells which others were crossed, and they join the band. With
fixed sides the objective is nowhere above the true one, so each round brings a lower bound of its minimum: the
certificate (Portnoy and Koenker, "The Gaussian hare and the Laplacian tortoise", Statistical Science 12, 1997, set rows
aside in this way for quantiles).
"""

from dataclasses import dataclass, replace

import numpy as np

from sklosses.solvers._centred import CentredRows
from sklosses.solvers._interior import Hinges, interior_point
from sklosses.solvers._reading import Reading

# A band reaches this many times as far as predictions are expected to move, and has so many kinks a coefficient.
REACH, KINKS_A_COEFFICIENT = 3.0, 20
# Samples grow by a factor of 4, so that the next stage moves predictions half as far as the last one; and about
# sqrt(d / m) times as far as they are from their kinks, times this (0.8 to 1.7 were seen).
NEXT_MOVE, NEXT_ERROR = 0.5, 1.5
# The interior point method starts as far from the kinks as predictions are expected to move, times this.
START = 2.0
# A stage on a sample ends at this share of the sample's own error, d / m F; a round at this share of its goal.
STAGE_TOL, ROUND_TOL = 0.1, 0.1
ROUNDS = 30
# Rounding of sums of slopes, relative to their absolute values.
FLAT = 1e-12


@dataclass(frozen=True, eq=False)
class Band:
    """Kinks that are solved for: which kink of which row.

    Attributes
    ----------
    kink, row : ndarray of shape (B,)
    """

    kink: np.ndarray
    row: np.ndarray


@dataclass(frozen=True, eq=False)
class Place:
    """Coefficients, what a reading found there, and the objective."""

    coef: np.ndarray
    intercept: float
    look: object
    objective: float


class KinkedColumn:
    """A column of coefficients whose loss is linear between its kinks, and what is known of it.

    The methods that descend are generators, like those of :class:`Column`.

    Parameters
    ----------
    problem : Problem
    reading : Reading
        Of all rows.
    k : int
        Number of the column.
    penalty : tuple of two floats
        Factors of ||w||_1 and of ||w||^2 / 2.
    state : State or None
        Where to start.

    Attributes
    ----------
    coef, intercept, objective, gap, gap_kind
        The model as it is now; objective and gap of the rows last used.
    """

    solver = "interior point"

    def __init__(self, problem, reading, k, penalty, state):
        self.problem, self.k, self.fit_intercept = problem, k, problem.fit_intercept
        self.l1, self.l2 = map(float, penalty)
        self.cost = problem.intercept_cost
        self.coef = np.zeros(reading.n_features) if state is None else np.array(state.coef[k], dtype=np.float64)
        self.intercept = None if state is None and self.fit_intercept else (
            0.0 if state is None else float(state.intercept[k]))
        self.gap, self.gap_kind, self.objective = np.inf, "estimate", np.inf
        self.centre = None
        self.moved = None       # root mean square by which the last stage moved predictions, and the rows it had
        self.null = 0.0

    def on_sample(self, sample):
        """Minimise on a sample, to its statistical error."""
        if not sample.totals[self.k] > 0:
            return np.nan       # no row of it counts
        yield from self._descend(sample, STAGE_TOL * len(self.coef) / sample.n_rows, np.inf)
        return np.nan

    def on_all_rows(self, reading, tol, goal, budget):
        """Down to a relative gap of `goal` on all rows, in about `budget` readings; returns the gap."""
        yield from self._descend(reading, goal, budget)
        return self.gap

    def _descend(self, reading, goal, budget):
        """Rounds of solving for a band, reading all rows and letting crossed kinks join."""
        sides = Sides(reading, self.k)
        self._prepare(reading, sides)
        look = yield self.coef, self.intercept
        here = self._place(look, self.coef, self.intercept, sides)
        best, began, bound = here, here, sides.lowest if self.cost == 0 else -np.inf
        typical = sides.typical(look.p)
        move = self._next_move(typical)
        band = sides.band(look.p, move, self._fewest())
        move = typical if move is None else move
        for _ in range(ROUNDS):
            if best.objective - bound <= goal * abs(bound) or reading.readings >= budget:
                break
            found = self._solve(reading, sides, here, band, START * move, goal)
            coef = found.z[:-1]
            intercept = found.z[-1] - self.centre @ coef if self.fit_intercept else self.intercept
            look = yield coef, intercept
            there = self._place(look, coef, intercept, sides)
            crossed, excess = sides.crossed(here.look.p, look.p, band)
            bound = max(bound, there.objective - found.gap - excess)
            change = _root_mean_square(look.p - here.look.p)
            ahead = there.objective < best.objective
            if not len(crossed.row) and not ahead:
                break
            # The last move was worth the fall to the bound; what the crossed kinks are worth says how far it is still.
            rest = min(NEXT_MOVE, np.sqrt(excess / max(here.objective - bound, excess, 1e-300)))
            move = max(change * rest, 1e-9 * typical) if ahead else 2 * move
            kept = None if ahead else band
            if ahead:
                best = here = there
            if not len(crossed.row):
                break
            band = sides.band(here.look.p, move, self._fewest(), (kept, crossed))
        self.moved = _root_mean_square(best.look.p - began.look.p), reading.n_rows
        self._keep(reading, best, bound, sides)

    def _next_move(self, typical):
        """How far predictions are from the solution's, about; None before anything is known."""
        if self.moved is None:
            return None
        change, rows = self.moved
        return min(NEXT_MOVE * change, NEXT_ERROR * np.sqrt(len(self.coef) / rows) * typical)

    def _fewest(self):
        return KINKS_A_COEFFICIENT * (len(self.coef) + 1)

    def _prepare(self, reading, sides):
        """The centre, and where to start, from the first rows that are seen."""
        weight = reading.weight(self.k)
        ones = np.ones(reading.n_rows) if weight is None else weight
        if self.centre is None:
            self.centre = reading.back(ones) / ones.sum() if self.fit_intercept else np.zeros(len(self.coef))
        p = np.zeros(reading.n_rows) if reading.offset is None else reading.offset
        if self.intercept is None:
            self.intercept = sides.best_shift(p, self.cost)
        constant = sides.best_shift(p, self.cost) if self.null == 0 and self.fit_intercept else 0.0
        if self.null == 0:
            self.null = abs(reading.sweep(self.k, p + constant) / sides.total + self.cost * constant)

    def _place(self, look, coef, intercept, sides):
        objective = (look.value / sides.total + 0.5 * self.l2 * coef @ coef + self.l1 * np.abs(coef).sum()
                     + self.cost * intercept)
        return Place(coef, intercept, look, objective)

    def _solve(self, reading, sides, here, band, width, goal):
        """Minimise with all kinks but the band's on the sides where they are."""
        numbers = band.row if reading.chosen is None else reading.chosen[band.row]
        with Reading(replace(self.problem, subset=numbers), reading.n_threads) as inner:
            table = self.problem.rows
            rows = CentredRows(inner, self.centre, self.fit_intercept, table.n_rows * table.row_bytes)
            hinges = self._hinges(rows, sides, here, band)
            start = np.append(here.coef, here.intercept + self.centre @ here.coef if self.fit_intercept else 0.0)
            found = interior_point(hinges, start, width, ROUND_TOL * goal * max(abs(here.objective), 1e-12 * self.null))
            self.gap_kind = "proof" if self.l2 > 0 or self.l1 > 0 else "estimate"
            return found

    def _hinges(self, rows, sides, here, band):
        """The objective with fixed sides, as a function of centred coefficients and then c."""
        d, look = len(self.coef), here.look
        # All rows' slopes with the kinks of the band left out: a correction of the look's own for the band's rows.
        unique, first = np.unique(band.row, return_index=True)
        change = np.zeros(len(band.row))
        change[first] = sides.without(look.p, band, unique) - look.gradient[unique] / sides.total
        slope = look.slope / sides.total
        linear = np.append(look.product / sides.total - self.centre * slope, slope) + rows.back(change)
        linear[:d] -= self.l1 + self.cost * self.centre
        linear[d] = linear[d] + self.cost if self.fit_intercept else 0.0
        scales = rows.spread()
        scales[~(scales > 0)] = 1.0
        strengths = np.append(2 * self.l1 / scales[:d], 0.0)
        positions = sides.positions[band.kink, band.row]
        if rows.reading.offset is not None:
            positions = positions - rows.reading.offset
        if not self.fit_intercept:
            positions = positions - here.intercept
        fixed = np.append(np.zeros(d, dtype=bool), not self.fit_intercept)
        quadratic = np.append(np.full(d, self.l2), 0.0)
        return Hinges(rows, positions, sides.jumps[band.kink, band.row], scales, strengths, linear, quadratic, fixed)

    def _keep(self, reading, place, bound, sides):
        """Make a place the model, with the best intercept for its coefficients."""
        self.coef, self.intercept, self.objective = place.coef, place.intercept, place.objective
        if self.fit_intercept:
            shift = sides.best_shift(place.look.p, self.cost)
            value = (reading.sweep(self.k, place.look.p + shift) - place.look.value) / sides.total + self.cost * shift
            self.intercept, self.objective = self.intercept + shift, self.objective + value
        self.gap = max(self.objective - bound, 0.0) / max(abs(bound), 1e-12 * self.null, 1e-300)


class Sides:
    """Where the kinks of a reading's rows are, and on which sides of them predictions lie.

    Parameters
    ----------
    reading : Reading
    k : int
        Number of the column.

    Attributes
    ----------
    positions, jumps : ndarray of shape (m, n_rows)
        Of the kinks, in predictions; jumps of the slope, times the weights over their sum.
    lowest : float
        Below which the mean loss cannot fall: each row's at its lowest kink.
    """

    def __init__(self, reading, k):
        self.total = reading.totals[k]
        self.positions, jumps = reading.losses[k].kinks(reading.target(k))
        weight = reading.weight(k)
        self.jumps = jumps / self.total if weight is None else jumps * (weight / self.total)
        left = np.empty(reading.n_rows)
        reading.sweep(k, self.positions[0] - np.maximum(1.0, np.abs(self.positions[0])), gradient=left)
        self.left = left / self.total
        self.lowest = self._lowest(reading, k) / self.total

    @staticmethod
    def _lowest(reading, k):
        positions = reading.losses[k].kinks(reading.target(k))[0]
        return float(np.min([reading.values(k, position) for position in positions], axis=0).sum())

    def _inside(self, *bands):
        inside = np.zeros(self.positions.shape, dtype=bool)
        for band in bands:
            if band is not None:
                inside[band.kink, band.row] = True
        return inside

    def _distances(self, p):
        distances = np.abs(p - self.positions)
        distances[self.jumps == 0] = np.inf
        return distances

    def typical(self, p):
        """The median distance of predictions from their kinks; more than 0."""
        distances = self._distances(p)
        distances = distances[np.isfinite(distances)]
        typical = np.median(distances) or distances.mean()
        return typical or max(1e-3 * np.abs(p).max(initial=0.0), 1e-3)

    def band(self, p, move, fewest, joining=()):
        """Kinks that predictions may cross when they move so far, with those that join; all, if nothing is known."""
        distances = self._distances(p)
        near = np.isfinite(distances)
        if move is not None and near.sum() > 2 * fewest:
            reach = max(REACH * move, np.partition(distances.ravel(), fewest)[fewest])
            near &= (distances <= reach) | self._inside(*joining)
        return Band(*np.nonzero(near))

    def without(self, p, band, rows):
        """Slopes of some rows without their kinks in a band."""
        out = ~self._inside(band)[:, rows]
        right = p[rows] > self.positions[:, rows]
        return self.left[rows] + (self.jumps[:, rows] * (right & out)).sum(axis=0)

    def crossed(self, before, after, band):
        """Kinks outside a band on other sides than before, and what they add to the objective with the old sides."""
        changed = (before > self.positions) != (after > self.positions)
        changed &= ~self._inside(band) & (self.jumps > 0)
        kink, row = np.nonzero(changed)
        return Band(kink, row), float(self.jumps[kink, row] @ np.abs(after[row] - self.positions[kink, row]))

    def best_shift(self, p, cost):
        """The number that, added to all predictions, minimises the loss: the middle, where there are many."""
        places, jumps = (self.positions - p).ravel(), self.jumps.ravel()
        slope, size = self.left.sum() + cost, 4000
        if len(places) > 2 * size:      # a selection takes a tenth of the time of sorting
            reach = np.partition(np.abs(places), size)[size]
            below, near = places < -reach, np.abs(places) <= reach
            start = slope + jumps[below].sum()
            if start < 0 <= start + jumps[near].sum():
                places, jumps, slope = places[near], jumps[near], start
        order = np.argsort(places, kind="stable")
        places, slopes = places[order], slope + np.cumsum(jumps[order])
        zero = FLAT * (np.abs(self.left).sum() + jumps.sum())
        first = min(np.searchsorted(slopes, -zero), len(places) - 1)
        last = min(np.searchsorted(slopes, zero, side="right"), len(places) - 1)
        return 0.5 * (places[first] + places[last])


def _root_mean_square(vector):
    return float(np.sqrt(np.mean(vector * vector)))

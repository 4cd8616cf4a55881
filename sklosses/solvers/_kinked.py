"""One column on its way down where the loss is linear between its kinks: an interior point method on few of the rows.

A row far from its kinks keeps its side, and is a linear term of the objective. What is solved exactly is the band of
kinks near the predictions; a reading of all rows then tells which others were crossed, and they join the band. With
fixed sides the objective is nowhere above the true one, so each round brings a lower bound of its minimum: the
certificate (Portnoy and Koenker, "The Gaussian hare and the Laplacian tortoise", Statistical Science 12, 1997, set rows
aside in this way for quantiles).
"""

from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from sklosses.solvers._approach import KINKS, SHARE, approach, bend_of, promise
from sklosses.solvers._centred import CONSTANT, CentredRows
from sklosses.solvers._curvature import rank
from sklosses.solvers._descent import LEAST_TOL, NEAR, STAGE_TOL
from sklosses.solvers._gap import F_ROUNDING, NOTHING, relative_gap
from sklosses.solvers._head_start import smoothed
from sklosses.solvers._interior import Hinges, interior_point
from sklosses.solvers._reading import Reading
from sklosses.solvers._sides import REACH, Sides, middle, some

# Shares of coefficients to begin with; predictions this near to each other are a constant.
SHARES, NARROW = 0.5 ** np.arange(30), 1e-3
# A band has at least so many kinks a coefficient.
KINKS_A_COEFFICIENT = 20
# Of so many rows all kinks at once take less time than a head start (with 5 to 60 features).
AT_ONCE = 1500
# And a part of these after a head start, which ends near the solution.
FEWER_NEAR = 4
# Samples grow by a factor of 4, so that the next stage moves predictions half as far as the last one; and about
# sqrt(d / m) times as far as they are from their kinks, times this (0.8 to 1.7 were seen).
NEXT_MOVE, NEXT_ERROR = 0.5, 1.5
# Moves are not taken to be less than these shares of a typical distance from a kink: in a stage's first round, there if
# the gradient tells, later.
FIRST_MOVE, KNOWN_MOVE, LEAST_MOVE = 1e-2, 1e-3, 1e-6
# Where kinks that were left out would have held predictions back, the next band reaches so many times as far. A round
# is given up where predictions are so many times as far away as was expected.
WIDER, GONE = 3.0, 30.0
# The interior point method starts as far from the kinks as predictions are expected to move, times this.
START = 4.0
# A round ends at this share of its stage's goal.
ROUND_TOL = 0.1
# Rounds at most; so many again that bring little.
ROUNDS, AGAIN = 30, 2
# A start too near the boundary of the central path stalls: then again from further inside, until this near the goal, or
# until this share of what is left is: the next round starts from there.
AGAIN_WIDER, NEAR_GOAL, WELL = (10.0, 100.0), 10.0, 1e-2
# How far a weak ridge is expected to move predictions, as a share of the typical distance from a kink.
RIDGE_MOVE = 0.1
# A round that leaves more than this share of the distance to the bound is not worth many others.
STALLED = 0.1
# What rounding makes of predictions whose large parts cancel, relative.
CANCELLING = 2e-16
# A model this far below a bound, relative, says that the bound is wrong.
IMPOSSIBLE = 1e-9
# Predictions are at a kink, and coefficients at 0, if nearer than this share of a typical one.
AT_KINK = 1e-7
# An objective of this share of the best constant's is none, where none can be below 0.
LEAST_FALL = 1e-12


@dataclass(frozen=True, eq=False)
class Place:
    """Coefficients, what a reading found there, and the objective."""

    coef: np.ndarray
    intercept: float
    look: object
    objective: float

    @property
    def p(self):
        """Predictions of the reading's rows."""
        return self.look.p


@dataclass(eq=False)
class Stage:
    """What is known on the rows of a reading.

    Attributes
    ----------
    reading : Reading
    sides : Sides
    goal : float
        The relative gap to reach.
    typical : float
        Median distance of predictions from their kinks.
    reach : ndarray of shape (n_rows,)
        How far predictions of each row may move, relative to a typical one.
    best : Place
        The lowest objective so far.
    bound : float
        Below which the objective cannot fall.
    """

    reading: Reading
    sides: Sides
    goal: float
    typical: float
    reach: np.ndarray
    best: Place
    bound: float

    @property
    def worth(self):
        """By how much all predictions have to move to be worth the goal."""
        return self.goal * abs(self.best.objective) / max(self.sides.steepness, 1e-300)

    @property
    def done(self):
        """Whether the goal is reached."""
        least = max(self.bound, -self.best.objective)       # that the minimum's size can be
        return np.isfinite(self.bound) and self.best.objective - self.bound <= self.goal * max(least, 0.0)


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
    bound : float
        Below which the objective cannot fall.
    reached : bool
        Whether the tolerance is.
    hasty : bool
        Whether rounds on all rows begin with a head start.
    """

    solver = "interior point"
    alone = True        # between looks, with rows of its own: columns can go on side by side
    lowest = 0.0        # below which the objective cannot fall
    told_by_some = False        # whether some rows tell if its start is near the minimum
    endless = False     # losses that are linear in pieces have a minimum, or none is below 0

    def __init__(self, problem, reading, k, penalty, state):
        self.problem, self.k, self.fit_intercept = problem, k, problem.fit_intercept
        self.l1, self.l2 = map(float, penalty)
        self.cost = problem.intercept_cost
        self.coef = np.zeros(reading.n_features) if state is None else np.array(state.coef[k], dtype=np.float64)
        self.intercept = 0.0 if state is None else float(state.intercept[k])
        self.at_best = state is None and self.fit_intercept     # start at the best constant
        self.gap, self.objective, self.reached, self.hasty = np.inf, np.inf, False, False
        self.bound = -np.inf
        # With a penalty the dual's constraints can be met; without, to rounding only.
        self.gap_kind = "proof" if self.l1 > 0 or self.l2 > 0 else "estimate"
        self.null = None        # the objective of the best constant
        self.centre = None
        self.squares = None     # mean squares of the centred features, of the last stage's rows
        self.moved = None       # by how much the last stage moved predictions, and the rows it had
        self.p = None           # predictions of the rows last used
        self.bend = None        # the curvature there
        self.leads = False      # whether other columns will start from here
        self.near = None        # how far predictions may have to move after a head start
        self.is_near = False    # whether samples have nothing to add to where it starts
        self.seen = None        # the place there
        if state is not None and state.near is not None:
            self.centre, self.null, self.squares, change = state.near[k]
            self.moved = change, problem.n_rows

    def knowledge(self):
        """What serves to start near here, with other rows; None if too little is known, or a head start is as good."""
        return None if self.moved is None else (self.centre, self.null, self.squares, self.moved[0])

    def is_quadratic(self, reading):
        """Never: samples tell which rows are near their kinks."""
        return False

    def settle(self, reading, look):
        """Take the model as it is, for want of time: a look at it on all rows is all there is."""
        self.gap, self.gap_kind = np.inf, "estimate"
        self.objective = self.place(look, self.coef, self.intercept, reading.totals[self.k]).objective

    def start_from(self, left, right, share, away):
        """Start between two columns of the same rows, typically `away` from the solution."""
        self.coef = left.coef + share * (right.coef - left.coef)
        self.intercept = left.intercept + share * (right.intercept - left.intercept)
        self.centre, self.squares, self.null = left.centre, left.squares, left.null
        self.moved = away / NEXT_MOVE, 1
        if left.bend is not None and right.bend is not None:
            self.bend = left.bend.between(right.bend, share)

    def may_choose(self, reading):
        """Whether there may be minimisers with other predictions.

        The interior point method ends in the midst of all minimisers: where kinks leave nothing to move, only if there
        is no other. Where every row is at its least it ends at the first such place.
        """
        if self.l1 == 0 and self.objective <= self.lowest + LEAST_FALL * self.null:
            return True
        size = AT_KINK * np.abs(self.coef).max(initial=0.0) if self.l1 > 0 else -1.0
        free = np.append(np.abs(self.coef) > size, self.fit_intercept)
        at_kinks = Sides(reading, self.k).at_kinks(self.p, AT_KINK)
        counts = (reading.mass(self.k) > 0).astype(float)
        held, all_rows = (reading.gram(rows, self.centre) for rows in (counts * at_kinks, counts))
        return rank(held, free) < rank(all_rows, free)

    def with_ridge(self, problem, reading, ridge):
        """The same column, here, with an l2 penalty."""
        column = KinkedColumn(problem, reading, self.k, (self.l1, ridge), None)
        column.start_from(self, self, 0.0, RIDGE_MOVE * Sides(reading, self.k).typical(self.p))
        return column

    # The way down ---------------------------------------------------------------------------------------------------

    def compare(self, reading):
        """Is the start near the minimum? A generator, as those that descend.

        Of some rows' losses it has to be better than the best constant, and not all at their kinks. How far it is from
        the minimum the density of kinks says, which takes all rows.
        """
        self.is_near = False
        if not reading.totals[self.k] > 0:
            return
        sides = Sides(reading, self.k)
        self._prepare(reading, sides)
        self.seen = self.place((yield self.coef, self.intercept), self.coef, self.intercept, sides.total)
        self.objective = self.seen.objective
        if reading.n_rows < self.problem.n_rows:
            share = min(SHARE, KINKS * (len(self.coef) + 1) / self.problem.n_rows)
            tied = sides.density(self.seen.p, max(int(share * sides.count), 1)) is None
            self.is_near = bool(self.objective < self.null) and not tied
            return
        stage = Stage(reading, sides, 0.0, sides.typical(self.seen.p), None, self.seen, -np.inf)
        self.bend = bend_of(self, stage)
        if self.bend is not None:
            promised = promise(self, stage)
            self.is_near = bool(promised / 2 <= NEAR * (self.objective - sides.lowest))
            self.moved = (np.sqrt(promised / self.bend.density) / NEXT_MOVE, 1) if self.is_near else None

    def on_sample(self, sample):
        """Minimise on a sample, to its statistical error."""
        if not sample.totals[self.k] > 0:
            return              # no row of it counts
        yield from self._descend(sample, STAGE_TOL * len(self.coef) / sample.n_rows, np.inf)

    def on_all_rows(self, reading, tol, goal, budget):
        """Down to a relative gap of `goal` on all rows, in about `budget` readings."""
        yield from self._descend(reading, goal, budget)
        self.reached = self.gap <= max(tol, LEAST_TOL) or 0 <= self.objective <= LEAST_FALL * self.null

    def _descend(self, reading, goal, budget):
        """Rounds of solving for a band, reading all rows and letting crossed kinks join."""
        sides = Sides(reading, self.k)
        if self.is_near:
            began = self.seen
        else:
            look = yield from self._begin(reading, sides, budget)
            began = self.place(look, self.coef, self.intercept, sides.total)
        stage = Stage(reading, sides, goal, sides.typical(began.p), self.reach(reading), began,
                      sides.lowest if self.cost == 0 else -np.inf)
        self._show(stage)
        move = yield from self._first_move(stage, budget)
        here, joining, again, before = stage.best, (), AGAIN, np.inf
        fewest = self.fewest if self.near is None else self.fewest // FEWER_NEAR
        for _ in range(ROUNDS):
            if stage.done or reading.readings >= budget:
                break
            band = sides.band(here.p, move, stage.reach, fewest, joining)
            found = self._solve(stage, here, band, move or stage.typical)
            there = yield from self.go_to(*self.model(found.z), stage)
            crossed, excess = sides.crossed(here.p, there.p, band)
            bound = there.objective - found.gap - found.defect - excess
            if bound > stage.bound:
                stage.bound = bound
            if found.arrived and there.objective < stage.best.objective:
                stage.best = there
                if stage.done:
                    break
                self._show(stage)
                if np.isfinite(found.defect):
                    move = self._move_after(stage, here, there, excess + found.gap + found.defect)
                else:       # too few kinks for the dual to meet its conditions
                    move = self._wider(stage, move)
                kept = None
            elif found.arrived and not len(crossed.row) and np.isfinite(found.defect):
                break           # no better, with every kink in its place: the limit of precision
            else:               # too far: kinks that were left out would have held it back
                if not there.objective < here.objective:
                    there = yield from self.part_way(stage, here, there)
                    crossed, _ = sides.crossed(here.p, there.p, band)
                move, kept = self._wider(stage, move), band
            here = there
            if here.objective < stage.best.objective:
                stage.best = here
                self._show(stage)
            rest = stage.best.objective - stage.bound
            if kept is None and not len(crossed.row) and rest > STALLED * before:
                again -= 1      # every kink is in its place: what is left is the interior point method's own
                if again < 0 or (found.settled and np.isfinite(bound)):
                    break
            before = rest
            joining = kept, crossed
        if not self.hasty:
            self.moved = typical_change(began.p, stage.best.p, stage.reach), reading.n_rows
        if self.leads or reading.n_rows < self.problem.n_rows:
            self.bend = bend_of(self, stage)
        self._keep(stage)

    def _first_move(self, stage, budget):
        """How far predictions are from the solution's, about, once steps are made; None before anything is known."""
        if self.near is not None:
            return self.near / REACH
        move = self._next_move(stage.typical)
        if self.bend is None:
            return move
        began = stage.best
        known = yield from approach(self, stage, budget)
        if known is None:       # what misled steps have gained says nothing of how far rows have to go from there
            stage.best = began
            return move
        self._show(stage)
        return max(known, KNOWN_MOVE * stage.typical)

    def _wider(self, stage, move):
        """How far the next round reaches where a band was too narrow.

        Where most rows are at their kinks, a typical distance says nothing of how far there is to go.
        """
        return max(WIDER * (move or stage.typical), stage.worth)

    def _move_after(self, stage, here, there, left):
        """How far predictions are from the solution's after a round.

        The move was worth the fall to the bound; what crossed kinks are worth, and what the interior point method has
        left, says how far it is still.
        """
        left = min(left, 1e300)
        rest = np.sqrt(left / max(here.objective - stage.bound, left, 1e-300))
        change = typical_change(here.p, there.p, stage.reach)
        return max(change * min(NEXT_MOVE, rest), LEAST_MOVE * stage.typical)

    def part_way(self, stage, here, there):
        """The best place on the way between two, of which the second is no better."""
        step = there.coef - here.coef
        low, high, cost = 0.0, 1.0, self.cost * (there.intercept - here.intercept)
        for _ in range(60):
            t = 0.5 * (low + high)
            with np.errstate(over="ignore", invalid="ignore"):
                coef = here.coef + t * step
                slope = stage.reading.along(self.k, here.p, there.p, t)[1] / stage.sides.total
                slope += (self.l2 * coef + self.l1 * np.sign(coef)) @ step + cost
            low, high = (t, high) if slope < 0 else (low, t)
            if low > 0.9 * high:
                break
        if low == 0:
            return here
        intercept = here.intercept + low * (there.intercept - here.intercept)
        return (yield from self.go_to(here.coef + low * step, intercept, stage))

    def go_to(self, coef, intercept, stage):
        """Look at a model: a generator, which returns its place."""
        look = yield coef, intercept
        return self.place(look, coef, intercept, stage.sides.total)

    # What is known before a stage -----------------------------------------------------------------------------------

    def _begin(self, reading, sides, budget):
        """The first look, after a head start if it takes less than all kinks at once.

        A constant is no start where the intercept has a cost, as the one-class SVM's: it puts all rows at their kinks,
        however large features are. Slopes that are the cost, of every row, balance it: a share of the coefficients
        that belong to these is where predictions have the size of the solution's.
        """
        begins = self.centre is None and self.at_best and self.cost > 0 and self.l2 > 0
        self._prepare(reading, sides)
        if begins:
            coef = self.cost * self.centre
            coef = np.sign(coef) * np.maximum(np.abs(coef) - self.l1, 0.0) / self.l2
            look = yield coef, 0.0
            offset = 0.0 if reading.offset is None else reading.offset
            change, best = look.p - offset, np.inf
            for share in SHARES if np.abs(change).max(initial=0.0) > NARROW else ():
                p = offset + share * change
                shift = sides.best_shift(p, self.cost)
                objective = (reading.sweep(self.k, p + shift) / sides.total + self.cost * shift
                             + 0.5 * self.l2 * share * share * coef @ coef + self.l1 * share * np.abs(coef).sum())
                if not objective < best:
                    break
                best, self.coef, self.intercept = objective, share * coef, shift
        elif self.hasty and self.moved is None and reading.n_rows > AT_ONCE and sides.count > 2 * self.fewest:
            self.near = smoothed(self, reading, sides, budget)
        return (yield self.coef, self.intercept)

    def _prepare(self, reading, sides):
        """The centre, and where to start, from the first rows that are seen."""
        if self.centre is not None:
            return
        ones = reading.mass(self.k)
        self.centre = reading.once("centre", self.k, lambda: reading.back(ones) / ones.sum()) if (
            self.fit_intercept) else np.zeros(len(self.coef))
        p = np.zeros(reading.n_rows) if reading.offset is None else reading.offset
        constant = sides.best_shift(p, self.cost) if self.fit_intercept else 0.0
        self.null = abs(reading.along(self.k, p, None, constant)[0] / sides.total + self.cost * constant)
        if self.at_best:
            self.intercept = constant

    def _next_move(self, typical):
        """How far predictions are from the solution's, about; None before anything is known."""
        if self.moved is None:
            return None
        change, rows = self.moved
        return max(min(NEXT_MOVE * change, NEXT_ERROR * np.sqrt(len(self.coef) / rows) * typical), FIRST_MOVE * typical)

    def reach(self, reading):
        """How far each row's prediction may move, relative to a typical one's.

        By the squares of its features over what the rows of the last stage had of them: rows with what was hardly
        seen may go anywhere.
        """
        before = self.squares
        if self.is_near or (self.hasty and before is None):
            return np.ones(reading.n_rows)
        if before is None or reading.n_rows < self.problem.n_rows:      # of all rows nobody will ask
            self.squares = reading.once("squares", self.k, lambda: self._mean_squares(reading))
            if not np.all(np.isfinite(self.squares)):
                raise OverflowError("The squares of X do not fit into float64.")
        if before is None:
            return np.ones(reading.n_rows)

        def compute():
            factors = np.divide(1.0, before, out=np.full_like(before, 1e300), where=before > 0)
            leverage = reading.leverage(factors, self.centre)
            typical = max(middle(leverage), 1e-300)

            def relate(some):
                leverage[some] = np.sqrt(np.maximum(leverage[some] / typical, 1.0))

            reading.each(relate, reading.stretches)
            return leverage

        return reading.once("reach", self.k, compute)

    def _mean_squares(self, reading):
        ones = reading.mass(self.k)
        return np.maximum(reading.squares(ones, self.centre), 0.0) / ones.sum()

    @property
    def fewest(self):
        """Kinks that a band has at least."""
        return KINKS_A_COEFFICIENT * (len(self.coef) + 1)

    # A round --------------------------------------------------------------------------------------------------------

    def place(self, look, coef, intercept, total):
        """The place of a look."""
        objective = (look.value / total + 0.5 * self.l2 * coef @ coef + self.l1 * np.abs(coef).sum()
                     + self.cost * intercept)
        return Place(coef, intercept, look, objective)

    def model(self, z):
        """(coef, intercept) of centred coefficients and c."""
        coef = z[:-1]
        return coef, z[-1] - self.centre @ coef if self.fit_intercept else self.intercept

    def centred(self, place):
        """What :meth:`model` makes a place's model of."""
        return np.append(place.coef, place.intercept + self.centre @ place.coef if self.fit_intercept else 0.0)

    def gradient(self, stage, place):
        """The gradient in what :meth:`model` takes, of all but the l1 penalty."""
        look, total = place.look, stage.sides.total
        slope = look.slope / total + self.cost
        of_coef = look.product / total - self.centre * slope + self.l2 * place.coef
        return np.append(of_coef, slope if self.fit_intercept else 0.0)

    def _solve(self, stage, here, band, move):
        """Minimise with all kinks but the band's on the sides where they are."""
        threads = stage.reading.n_threads if self.problem.n_columns == 1 else 1
        with self.rows_of(stage.reading, band.rows, threads, band.copies) as rows:
            hinges = self.hinges(rows, stage.sides, here, band)
            start = self.centred(here)
            start[:-1][hinges.fixed[:-1]] = 0.0     # the intercept does for a constant column, at no price
            gone = GONE * move if len(band.row) < stage.sides.count else np.inf
            least = max(abs(here.objective), NOTHING * self.null)
            goal, well = ROUND_TOL * stage.goal * least, WELL * (here.objective - max(stage.bound, stage.sides.lowest))
            found = interior_point(hinges, start, START * move, gone=gone, goal=goal)
            for wider in AGAIN_WIDER:
                if not found.arrived or found.settled or found.gap + found.defect <= max(NEAR_GOAL * goal, well):
                    break
                other = interior_point(hinges, start, wider * START * move, gone=gone, goal=goal)
                if other.arrived and other.gap + other.defect < found.gap + found.defect:
                    found = other
            if found.arrived:
                hinges.rest_at_kinks(found, START * move, goal)
            hinges.certify(found)
            return found

    @contextmanager
    def rows_of(self, reading, numbers, n_threads, copies=1):
        """Some rows of a reading, centred."""
        settings = self.centre, self.fit_intercept, self.problem.rows.n_rows * self.problem.rows.row_bytes, copies
        # All of them, each once. Several columns have rows of their own: side by side products need room, and one
        # thread has to sum in the same order as two.
        if len(numbers) == reading.n_rows and self.problem.n_columns == 1:
            yield CentredRows(reading, *settings)
            return
        numbers = numbers if reading.chosen is None else reading.chosen[numbers]
        with Reading(replace(self.problem, subset=numbers), n_threads) as inner:
            yield CentredRows(inner, *settings)

    def hinges(self, rows, sides, here, band):
        """The objective with fixed sides, as a function of centred coefficients and then c."""
        d = len(self.coef)
        linear = self._slopes_without(rows, sides, here, band)
        scales, fixed = rows.spread(), np.full(d + 1, not self.fit_intercept)
        if not np.isfinite(scales).all():
            raise OverflowError("The squares of X do not fit into float64.")
        # What is left of a constant column when its mean is taken off is rounding. One that is 0 in these rows may have
        # others that pull at it, or a penalty that does.
        pulled = (scales[:d] == 0) & ((linear[:d] != -self.l1) | (here.coef != 0))
        fixed[:d] = (scales[:d] <= CONSTANT * np.abs(self.centre)) & ~pulled
        scales[:d][fixed[:d]] = 1.0
        scales[~(scales > 0)] = 1.0
        strengths, quadratic = np.zeros(d + 1), np.zeros(d + 1)
        strengths[:d], quadratic[:d] = 2 * self.l1 / scales[:d], self.l2
        positions, weights = (kinks.ravel() if band.whole else kinks[band.kink, band.row]
                              for kinks in (sides.positions, sides.jumps))
        if rows.reading.offset is not None:
            positions = positions - np.tile(rows.reading.offset, rows.copies)
        if not self.fit_intercept:
            positions = positions - here.intercept
        level = here.objective - sides.lowest
        return Hinges(rows, positions, weights, scales, strengths, linear, quadratic, fixed, level)

    def _slopes_without(self, rows, sides, here, band):
        """The objective's slopes in centred coefficients and c, of all rows, with the kinks of a band left out."""
        d, look = len(self.coef), here.look
        if band.whole:
            change, slope, linear = np.zeros(len(band.row)), 0.0, 0.0
            change[: len(here.p)] = sides.without(here.p, band, band.rows)
        else:       # a correction of the look's own for the band's rows
            unique, first = (band.rows, slice(len(band.rows))) if band.copies == len(sides.positions) else (
                np.unique(band.row, return_index=True))
            change, slope, linear = np.zeros(len(band.row)), look.slope / sides.total, look.product / sides.total
            change[first] = sides.without(here.p, band, unique) - sides.slopes(here.p[unique], unique)
        out = rows.back(change)
        out[:d] += linear - self.l1 - (slope + self.cost) * self.centre
        out[d] = out[d] + slope + self.cost if self.fit_intercept else 0.0
        return out

    def _show(self, stage):
        """Make the best place the model."""
        place = stage.best
        self.coef, self.intercept, self.objective = place.coef, place.intercept, place.objective
        self.bound = stage.bound
        self.gap = self._relative(stage)

    def _relative(self, stage):
        """The gap that the bound proves, with what rounding may hide."""
        away, place = self.objective - stage.bound, stage.best
        parts = np.abs(place.coef * self.centre).sum() + abs(place.intercept)
        slopes = place.look.steepness / stage.sides.total
        noise = F_ROUNDING * abs(place.objective) + CANCELLING * parts * slopes
        if away <= 0 and stage.bound == stage.sides.lowest:
            return 0.0          # every row is as well off as can be
        if away < -(noise + IMPOSSIBLE * max(abs(stage.bound), NOTHING * self.null)):       # nothing is below a bound
            # Its terms are of the size of the best constant's objective: so much may be their rounding.
            return relative_gap(self.objective, noise - away, self.null) if -away <= F_ROUNDING * self.null else np.inf
        return relative_gap(self.objective, max(away, 0.0) + noise, self.null)

    # The end --------------------------------------------------------------------------------------------------------

    def _keep(self, stage):
        """End at the best place, of all rows with the best intercept for its coefficients."""
        self._show(stage)
        self.p = stage.best.p
        if self.fit_intercept and stage.reading.n_rows == self.problem.n_rows:
            shift = stage.sides.best_shift(stage.best.p, self.cost)
            value = stage.reading.along(self.k, stage.best.p, None, shift)[0] - stage.best.look.value
            self.intercept += shift
            self.p = stage.best.p + shift
            self.objective += value / stage.sides.total + self.cost * shift
            self.gap = self._relative(stage)
        if self.gap == 0:       # every row is at its least: no dual is needed to see that
            self.gap_kind = "proof"


def typical_change(before, after, reach):
    """The standard deviation that the median of changes says, each relative to how far it may reach."""
    rows = some(len(reach))
    return 1.5 * middle(np.abs(after[rows] - before[rows]) / reach[rows])

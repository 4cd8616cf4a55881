"""Columns whose predictions must be in order on every row: quantiles that do not cross.

Minimised is the sum of the columns' objectives under p_k <= p_{k+1} on all rows. Where the lone columns are in order
they are the solution. Else the constraints that are near or violated join the kinks that are solved for, as hinges
between neighbouring columns. A finite weight makes them exact: at the minimum, the slopes in the intercepts say that
the multipliers of a pair sum to no more than the columns below it can fall per unit of their intercepts, or those above
it rise. Constraints left out and sides held fixed only lower the objective, so each round brings a lower bound of the
constrained minimum; intercepts moved apart until all rows are in order, rounding included, bring an upper one. Their
distance is the certificate.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from sklosses.solvers._descent import LEAST_TOL, STAGE_TOL
from sklosses.solvers._gap import F_ROUNDING, NOTHING, relative_gap
from sklosses.solvers._interior import Hinges, interior_point
from sklosses.solvers._kinked import (
    AGAIN,
    CANCELLING,
    FIRST_MOVE,
    GONE,
    LEAST_FALL,
    LEAST_MOVE,
    NEXT_ERROR,
    NEXT_MOVE,
    ROUND_TOL,
    ROUNDS,
    START,
    WIDER,
    Place,
    typical_change,
)
from sklosses.solvers._monitor import Monitor
from sklosses.solvers._newton import Newton, Run, check, samples
from sklosses.solvers._sides import Sides

# Coefficients of all columns together: the interior point method holds matrices of that many squared.
LARGEST = 5000
# A constraint weighs so many times what its multiplier can be.
EXACT = 2.0
# What rows weigh that are in a sample for their order alone.
NEXT_TO_NOTHING = 1e-9


@dataclass(frozen=True)
class Ordered(Newton):
    """Newton's method of losses with kinks, with predictions in order from each column to the next.

    Minimises the sum over columns of :class:`Newton`'s objective, subject to ::

        x_i.w_k + b_k <= x_i.w_{k+1} + b_{k+1}      for all columns k and all rows i of weight > 0

    for losses that are linear between kinks, as those of several quantiles (Bondell, Reich and Wang, "Noncrossing
    quantile regression curve estimation", Biometrika 97, 2010). What is returned keeps the order whatever the order in
    which products are summed, in the precision of the rows.

    Parameters
    ----------
    n_jobs : int or None, default=None
        As of :class:`Newton`.
    n_iter_no_change : int, default=5
        As of :class:`Newton`.
    thorough : bool, default=True
        As of :class:`Newton`.

    Notes
    -----
    ``gap`` of the result is, where constraints hold columns back, that of the sum of all objectives from the
    constrained minimum, the same in each entry; else each column's own.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.data import as_rows
    >>> from sklosses.losses import Quantile
    >>> from sklosses.penalties import L2
    >>> from sklosses.solvers import Ordered, Problem
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(50, 5))
    >>> y = rng.normal(size=50)
    >>> loss = Quantile(quantile=[0.4, 0.5, 0.6])
    >>> result = Ordered().solve(Problem(as_rows(X), y, ((loss, 3),), L2(alpha=1e-4)))
    >>> bool(np.all(np.diff(X @ result.coef.T + result.intercept) >= 0)), bool(result.gap[0] < 1e-3)
    (True, True)
    """

    def solve(self, problem, *, tol=1e-3, max_iter=100, random_state=0, monitor=None, state=None):
        """Minimise: arguments and result are those of :meth:`Newton.solve`.

        Raises
        ------
        ValueError
            As :meth:`Newton.solve`; if a loss is smooth, there is no intercept, or the columns have more than 5000
            coefficients together.
        """
        check(problem)
        for loss, _ in problem.losses:
            if loss.traits.smooth:
                raise ValueError(f"Ordered needs losses with kinks, got {loss!r}.")
        if not problem.fit_intercept:
            raise ValueError("Ordered needs fit_intercept=True: without intercepts no columns but equal ones may be in "
                             "order on all rows.")
        size = problem.n_columns * (problem.n_features + 1)
        if size > LARGEST:
            raise ValueError(f"Ordered holds matrices of all coefficients squared: at most {LARGEST} with intercepts, "
                             f"got {size}.")
        run = _Run(self, problem, tol, max_iter, Monitor() if monitor is None else monitor)
        return run.all_stages(state, random_state)


class _Run(Run):
    """The columns alone, and then together."""

    def finish(self, reading, random_state):
        """Minimise on all rows, each column alone; then bring them into order, and certify that."""
        super().finish(reading, random_state)
        goal = 1e-12 if self.is_thorough(reading) else max(self.tol, 1e-13)
        alone = tuple(np.array([getattr(column, name) for column in self.columns]) for name in ("coef", "intercept"))
        together = _Together(self.columns, reading, goal, alone, sum(column.bound for column in self.columns))
        if together.crosses:
            if not (self.stopped or together.done):
                self._start_on_samples(together, alone, random_state)
                self._rounds(together, all_rows=True)
            together.show(self.tol)
        self.n_iter = max(self.n_iter, int(np.ceil(self.before + reading.readings)))

    def _start_on_samples(self, together, model, random_state):
        """Let the columns on all rows start where they are in order on samples, to the samples' errors.

        Rows on which columns cross join the samples: next to nothing as to their losses, in full as to the order.
        """
        problem, d, known = self.problem, self.problem.n_features, None
        for rows in samples(problem, random_state):
            crossing = together.crossing(len(rows))
            crossing = crossing if problem.subset is None else problem.subset[crossing]
            weights = np.full(problem.rows.n_rows, NEXT_TO_NOTHING)
            weights[rows] = 1.0
            if problem.weights is not None:
                weights *= problem.weights
            sampled = replace(problem, subset=np.union1d(rows, crossing), weights=weights)
            with self.sample(sampled) as sample:
                stage = _Together(self.columns, sample, STAGE_TOL * d / len(rows), model, -np.inf)
                if stage.crosses and sample.totals[0] > 0:
                    if known:
                        stage.expect(known)
                    self._rounds(stage, all_rows=False)
                    model = stage.model
            known = len(rows)
            together.start(model, known)

    def _rounds(self, together, all_rows):
        """Rounds until the goal is reached, or out of reach."""
        for _ in range(ROUNDS):
            if together.done or together.reading.readings >= self.max_iter or not together.round():
                break
            if all_rows:
                together.show(self.tol)
                self.note(together.reading.n_rows)
                if self.stopped:
                    break


class CoupledRows:
    """The rows of each column, and those on which neighbouring columns are compared: what hinges are made of.

    Parameters
    ----------
    columns : list of K CentredRows
    pairs : list of K - 1 CentredRows
        Of the differences between a column and the next.
    """

    def __init__(self, columns, pairs):
        self.columns, self.pairs = columns, pairs

    def _parts(self, z):
        return z.reshape(len(self.columns), -1)

    def product(self, z):
        """Az."""
        z = self._parts(z)
        return np.concatenate([rows.product(part) for rows, part in zip(self.columns, z, strict=True)]
                              + [rows.product(z[k] - z[k + 1]) for k, rows in enumerate(self.pairs)])

    def _cut(self, v):
        """A vector over the hinges in parts: of each column, of each pair."""
        edges = np.cumsum([rows.reading.n_rows for rows in (*self.columns, *self.pairs)])[:-1]
        parts = np.split(v, edges)
        return parts[: len(self.columns)], parts[len(self.columns) :]

    def back(self, v):
        """A'v."""
        own, shared = self._cut(v)
        out = [rows.back(part) for rows, part in zip(self.columns, own, strict=True)]
        for k, (rows, part) in enumerate(zip(self.pairs, shared, strict=True)):
            both = rows.back(part)
            out[k], out[k + 1] = out[k] + both, out[k + 1] - both
        return np.concatenate(out)

    def gram(self, v):
        """A' diag(v) A."""
        own, shared = self._cut(v)
        blocks = [rows.gram(part) for rows, part in zip(self.columns, own, strict=True)]
        K, size = len(blocks), len(blocks[0])
        out = np.zeros((K, size, K, size))
        for k, block in enumerate(blocks):
            out[k, :, k] += block
        for k, (rows, part) in enumerate(zip(self.pairs, shared, strict=True)):
            block = rows.gram(part)
            for i, j, sign in ((k, k, 1), (k + 1, k + 1, 1), (k, k + 1, -1), (k + 1, k, -1)):
                out[i, :, j] += sign * block
        return out.reshape(K * size, K * size)


@dataclass(eq=False)
class CoupledHinges(Hinges):
    """Hinges of several columns, and between them.

    Attributes
    ----------
    n_own : int
        Hinges of the columns alone, which come first.
    """

    n_own: int = 0

    def __post_init__(self):
        super().__post_init__()
        size, own = len(self.linear) // len(self.rows.columns), self.n_own
        self.constants = np.arange(len(self.linear)) % size == size - 1
        self.total = float(self.weights[:own].sum())
        # A constraint gets no more of complementarity than a row: there may be more of them than rows.
        fair, pairs = self.total / own, slice(own, len(self.weights))
        self.share[pairs] = np.minimum(1.0, fair / self.weights[pairs])
        self.shares = float(self.omega @ self.share)


class _Together:
    """What is known of the columns on all rows, and rounds of solving for them together.

    Parameters
    ----------
    columns : list of KinkedColumn
    reading : Reading
    goal : float
        The relative gap to reach.
    model : tuple of two ndarray
        Coefficients and intercepts to start from.
    bound : float
        Below which the sum of the objectives cannot fall.
    """

    def __init__(self, columns, reading, goal, model, bound):
        self.columns, self.reading, self.goal, self.bound = columns, reading, goal, bound
        weight = reading.weight(0)
        self.counted = None if weight is None else weight > 0
        self.sides = [Sides(reading, k) for k in range(len(columns))]
        self.here = self._look(*model)
        self.best, self.upper, self.margin = None, np.inf, 0.0
        self.crosses = bool(np.any(self._shifts(self.here) != 0))
        if self.crosses:
            self._begin()

    def _begin(self):
        _, self.begin = self._try(self.here)
        self.reach = self.columns[0].reach(self.reading)
        self.typical = [sides.typical(place.p) for sides, place in zip(self.sides, self.here, strict=True)]
        # Rows move in proportion to their reach: those that cross say how far a typical one has to.
        apart = [-slack[slack < 0] / self.reach[slack < 0] for slack in self._slacks(self.here)]
        apart = float(np.median(np.concatenate(apart))) if sum(map(len, apart)) else 0.0
        self.moves = [max(apart, LEAST_MOVE * typical) for typical in self.typical]
        self.kept = [None] * len(self.columns)
        self.violated = [np.zeros(self.reading.n_rows, dtype=bool) for _ in self.columns[1:]]
        self._note_violated(self.here, [[]] * len(self.violated))
        self.again = AGAIN
        self.weights = self._exact_weights()

    def crossing(self, most):
        """Numbers of rows on which columns have crossed so far; of more than so many, those that are furthest."""
        rows = np.flatnonzero(np.any(self.violated, axis=0))
        if len(rows) > most:
            apart = np.min([slack[rows] for slack in self._slacks(self.here)], axis=0)
            rows = rows[np.argpartition(apart, most)[:most]]
        return rows

    def start(self, model, rows):
        """Start from a model that is in order on so many of the rows."""
        self.here = self._look(*model)
        _, self.begin = self._try(self.here)
        self._note_violated(self.here, [[]] * len(self.violated))
        self.expect(rows)

    def expect(self, rows):
        """Expect moves as from the solution on so many rows."""
        error = NEXT_ERROR * np.sqrt(self.reading.n_features / rows)
        self.moves = [max(error, FIRST_MOVE) * typical for typical in self.typical]

    @property
    def model(self):
        """Coefficients and intercepts of the best places."""
        return tuple(np.array([getattr(place, name) for place in self.best]) for name in ("coef", "intercept"))

    @property
    def done(self):
        """Whether the goal is reached."""
        return np.isfinite(self.bound) and self.upper - self.bound <= self.goal * abs(self.bound)

    # Order ----------------------------------------------------------------------------------------------------------

    def _look(self, coef, intercept):
        columns = range(len(self.columns))
        looks = self.reading.look(columns, coef, intercept)
        return [column.place(look, w, float(b), sides.total) for column, look, w, b, sides
                in zip(self.columns, looks, coef, intercept, self.sides, strict=True)]

    def _slacks(self, places):
        """How far each column's predictions are below the next one's; inf where rows do not count."""
        out = [after.p - before.p for before, after in pairwise(places)]
        if self.counted is not None:
            for slack in out:
                slack[~self.counted] = np.inf
        return out

    def _shifts(self, places):
        """What intercepts have to be moved by for predictions to be in order, in any order of summation.

        Margins are what rounding makes of the products, in the precision of the rows (Higham, "Accuracy and Stability
        of Numerical Algorithms", 2002, section 3.1). The middle column stays.
        """
        reading = self.reading
        coef = np.abs([place.coef for place in places]).T
        sizes = np.concatenate(reading.each(lambda chunk: np.abs(reading.rows_of(chunk)) @ coef)).T
        reading.readings += 1
        sizes = sizes + np.abs([[place.intercept] for place in places])
        if reading.offset is not None:
            sizes = sizes + np.abs(reading.offset)
        rounding = 2 * (reading.n_features + 8) * np.finfo(reading.table.dtype).eps
        self.margin = 2 * rounding * float(sizes.max())
        needs = [float(np.max(rounding * (sizes[k] + sizes[k + 1]) - slack))
                 for k, slack in enumerate(self._slacks(places))]
        shifts, middle = np.zeros(len(places)), len(places) // 2
        for k in range(middle, len(places) - 1):
            shifts[k + 1] = max(0.0, shifts[k] + needs[k])
        for k in range(middle, 0, -1):
            shifts[k - 1] = min(0.0, shifts[k] - needs[k - 1])
        return shifts

    def _try(self, places):
        """Bring places into order, and keep them if they are better than all before.

        Returns whether they are, and the places in order.
        """
        shifts = self._shifts(places)
        shifted, upper = [], 0.0
        for column, sides, place, shift in zip(self.columns, self.sides, places, shifts, strict=True):
            value = self.reading.sweep(column.k, place.p + shift) - place.look.value
            objective = place.objective + value / sides.total + column.cost * shift
            shifted.append(Place(place.coef, place.intercept + shift, place.look, objective))
            upper += objective
        better = upper < self.upper
        if better:
            self.best, self.upper = shifted, upper
        return better, shifted

    def _exact_weights(self):
        """For each pair of neighbours, what its constraints weigh: more than their multipliers can be."""
        falls = np.array([-sides.left for sides in self.sides])
        rises = np.array([sides.left + sides.steepness for sides in self.sides])
        below, above = np.cumsum(falls)[:-1], np.cumsum(rises[::-1])[::-1][1:]
        return EXACT * np.minimum(below, above)

    # A round --------------------------------------------------------------------------------------------------------

    def round(self):
        """Solve for what is near; returns whether another round may bring more."""
        bands = [sides.band(place.p, move, self.reach, column.fewest, kept or ()) for sides, place, move, column, kept
                 in zip(self.sides, self.here, self.moves, self.columns, self.kept, strict=True)]
        near = self._near()
        found, penalty = self._solve(bands, near)
        models = [column.model(z) for column, z in zip(self.columns, found.z.reshape(len(self.columns), -1),
                                                       strict=True)]
        there = self._look(np.array([w for w, _ in models]), np.array([b for _, b in models]))
        crossings = [sides.crossed(before.p, after.p, band) for sides, before, after, band
                     in zip(self.sides, self.here, there, bands, strict=True)]
        excess = sum(crossing[1] for crossing in crossings)
        value = sum(place.objective for place in there)
        self.bound = max(self.bound, value + penalty - found.gap - found.defect - excess)
        new = self._note_violated(there, near)
        better, in_order = self._try(there) if found.arrived else (False, None)
        joining = new or any(len(crossed.row) for crossed, _ in crossings)
        if found.arrived and not joining:
            self.again -= 1     # everything is in its place: what is left is the interior point method's own
        if better:
            self.begin = in_order
            self._move_on(there, excess)
            self.kept = [(None, crossed) for crossed, _ in crossings]
        else:
            self.moves = [WIDER * move for move in self.moves]
            self.kept = [(band, crossed) for band, (crossed, _) in zip(bands, crossings, strict=True)]
        return joining or not found.arrived or (better and self.again >= 0)

    def _move_on(self, there, excess):
        """Go there; the next bands are as wide as what is left."""
        rest = np.sqrt(excess / max(self.upper - self.bound, excess, 1e-300))
        for k, (before, after) in enumerate(zip(self.here, there, strict=True)):
            change = typical_change(before.p, after.p, self.reach)
            self.moves[k] = max(change * min(NEXT_MOVE, rest), LEAST_MOVE * self.typical[k])
        self.here = there

    def _near(self):
        """For each pair, the rows whose constraints are solved for."""
        fewest, near = self.columns[0].fewest, []
        for k, slack in enumerate(self._slacks(self.here)):
            least = np.partition(slack, fewest)[fewest] if len(slack) > fewest else np.inf
            limit = np.maximum(0.5 * (self.moves[k] + self.moves[k + 1]) * self.reach, least)
            near.append(np.flatnonzero(((slack <= limit) & (slack < np.inf)) | self.violated[k]))
        return near

    def _note_violated(self, places, near):
        """Remember constraints that do not hold; returns whether there are any that were not solved for."""
        new = False
        for k, slack in enumerate(self._slacks(places)):
            violated = slack < 0
            self.violated[k] |= violated
            violated[np.asarray(near[k], dtype=np.intp)] = False
            new |= bool(np.any(violated))
        return new

    def _solve(self, bands, near):
        """The interior point method on bands and constraints, from places in order.

        Returns what it found, and what the constraints add to the objective there.
        """
        columns, threads = self.columns, self.reading.n_threads
        width = START * max(*self.moves, *(FIRST_MOVE * typical for typical in self.typical))
        with ExitStack() as stack:
            rows = [stack.enter_context(column.rows_of(self.reading, band.row, threads))
                    for column, band in zip(columns, bands, strict=True)]
            pairs = [stack.enter_context(column.rows_of(self.reading, numbers, threads))
                     for column, numbers in zip(columns, near, strict=False)]
            parts = [column.hinges(*given) for column, given
                     in zip(columns, zip(rows, self.sides, self.here, bands, strict=True), strict=True)]
            hinges = self._joined(parts, CoupledRows(rows, pairs), near)
            start = np.concatenate([column.centred(place) for column, place in zip(columns, self.begin, strict=True)])
            goal = ROUND_TOL * self.goal * max(abs(self.upper), NOTHING * sum(column.null for column in columns))
            some = any(len(band.row) < sides.count for band, sides in zip(bands, self.sides, strict=True))
            found = interior_point(hinges, start, width, gone=10 * GONE * width if some else np.inf, goal=goal)
            hinges.rest_at_kinks(found, width, goal)
            hinges.certify(found)
            above = hinges.system.product(found.z)[hinges.n_own : len(hinges.weights)]
            return found, float(hinges.weights[hinges.n_own :] @ np.maximum(above, 0.0))

    def _joined(self, parts, rows, near):
        """One function of the columns' own ones and the constraints."""
        def joined(name):
            return np.concatenate([getattr(part, name) for part in parts])

        own = joined("weights")
        counts = [len(numbers) for numbers in near]
        return CoupledHinges(
            rows=rows,
            positions=np.append(joined("positions"), np.zeros(sum(counts))),
            weights=np.append(own, np.repeat(self.weights, counts)),
            scales=joined("scales"),
            strengths=joined("strengths"),
            linear=joined("linear"),
            quadratic=joined("quadratic"),
            fixed=joined("fixed"),
            level=self.upper - sum(sides.lowest for sides in self.sides),
            n_own=len(own),
        )

    # The end --------------------------------------------------------------------------------------------------------

    def show(self, tol):
        """Make the best places the columns' models, and the certificate that of their sum."""
        null = sum(column.null for column in self.columns)
        noise = F_ROUNDING * abs(self.upper)
        for column, place, sides in zip(self.columns, self.best, self.sides, strict=True):
            column.coef, column.intercept, column.objective = place.coef, place.intercept, place.objective
            parts = np.abs(place.coef * column.centre).sum() + abs(place.intercept)
            noise += CANCELLING * parts * np.abs(place.look.gradient).sum() / sides.total
        gap = relative_gap(self.upper, max(self.upper - self.bound, 0.0) + noise, null)
        # What margins cost at most, were every slope 1, is no tolerance missed.
        apart = len(self.columns) ** 2 * self.margin
        for column in self.columns:
            column.gap = gap
            column.reached = gap <= max(tol, LEAST_TOL) or self.upper - self.bound <= max(apart, LEAST_FALL * null)

"""Many columns over one table, trained while it is read once: the block.

Candidates of a search that share a table differ in loss, penalty and strength; each is wanted on every fold. The
candidates are solved first, on growing samples and then on all rows that any fold trains on. A step for the rows that a
fold leaves out starts the columns of the folds, which go down together, reading by reading, until each has its proof.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from itertools import pairwise
from math import ceil
from time import perf_counter

import numpy as np

from sklosses.solvers._block_column import Stage
from sklosses.solvers._block_reading import BlockReading, Cell
from sklosses.solvers._lockstep import LockstepColumn
from sklosses.solvers._lone_column import LoneColumn
from sklosses.solvers._order import RowOrder
from sklosses.solvers._own_rows import OwnRows
from sklosses.solvers._problem import Result, State
from sklosses.solvers._reading import Reading, column_losses
from sklosses.solvers._shift import best_shift
from sklosses.solvers._sides import Sides
from sklosses.solvers._spread import HEARTBEAT, in_order

# Samples: so many rows at least, so many a coefficient, so much larger each time, up to so many and this share.
FEWEST, ROWS_A_COEFFICIENT, GROWTH, LARGEST, LARGEST_SHARE = 2000, 8, 4, 40_000, 0.3
# A stage on a sample ends at this share of the sample's own error, d / m of the loss.
STAGE_TOL = 0.1
# Up to this many features every candidate has a matrix of its own; beyond, those of a loss share one.
OWN_MATRIX = 128
# Smoothing of losses with kinks begins over so many typical distances from them.
FIRST_WIDTH = 4.0
# Folds start from where a candidate's decrement, and the slack of its smoothing, are these shares of the tolerance.
BASE_TOL, BASE_SLACK = 0.05, 0.5
# Readings of a stage, and second derivatives asked for.
STEPS_ON_SAMPLE, READINGS, RENEWALS = 30, 60, 10
# The interior point method starts at a place that is so many tolerances from the minimum, about, at most; predictions
# are expected to move by so many widths of the band that was smoothed.
NEAR, MOVES = 3.0, 3.0
# Smoothed kinks that take more readings than this are left to the interior point method, which has few features to
# thank for its speed: with many, they may take as many as others. On tables of few numbers, too: readings are cheap.
READINGS_KINKED, CHEAP_READING = 18, 1e6
# The same of a column with rows to itself: Newton's steps arrive after 5 to 20, or crawl.
READINGS_ALONE = 30
# Numbers of a table from which two columns with rows to themselves go on at once: calls of a kernel that take less than
# 0.1 ms leave both waiting for Python's lock.
THREADED = 1e5


class Block:
    """Columns of coefficients over one table. A context manager: threads end with it.

    Parameters
    ----------
    candidates : sequence of Problem
        That share rows, weights, offset and intercept, and number classes or do not; subsets do not matter.
    folds : Patterns
    tol : float
        Relative suboptimality to reach.
    random_state : int
    n_threads : int
    progress : callable or None
        Called with the share of the work done; True stops.
    """

    def __init__(self, candidates, folds, *, tol, random_state, n_threads, progress=None):
        self.candidates, self.folds, self.tol, self.seed = candidates, folds, tol, random_state
        self.problem = candidates[0]
        self.intercept = bool(self.problem.fit_intercept)
        self.targets, self.sources = _distinct([candidate.targets for candidate in candidates])
        self.pool = ThreadPoolExecutor(n_threads) if n_threads > 1 else None
        self.progress = progress
        # Columns read by themselves where the table stays in the cache, and second derivatives have few features.
        d = self.problem.n_features
        self.own = len(folds.masks) == 1 and d <= OWN_MATRIX and len(folds.order) * (d + 1) <= CHEAP_READING
        self.floors = {}        # least losses and weights of each pattern, of losses that leave out a constant
        self.began = perf_counter()
        self.stopped = False
        self.columns = []       # of a single fold, once they are trained

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def solve(self):
        """Train.

        Returns
        -------
        results : list of list of (Result, State or None)
            By candidate and fold. Where the tolerance was not proven: a state that :class:`Newton` can start from, if
            it is near.
        starts : list of (State or None)
            Likewise of each candidate on the rows of all folds.
        """
        cells = [list(self._cells(*pair)) for pair in zip(self.candidates, self.sources, strict=True)]
        base = [self._column(cell) for group in cells for cell in group]
        samples = list(self._samples())
        self._start(base, samples[0])
        reading = self._reading(self.folds.order, self.folds.ends)
        lone = len(self.folds.masks) == 1
        rows = samples, reading, Stage(self.tol, reading.moments()[1], self.intercept, True, last=lone)
        if lone:
            self._train(rows, base, _proven)
            self.columns = base
            return self._results(cells, [base], base)
        after = _paths(base) if self.problem.n_features > OWN_MATRIX else {}
        self._train(rows, [column for k, column in enumerate(base) if k not in after], _near)
        after = {k: leader for k, leader in after.items() if self._starts_from(base[_first(after, k)], base[k])}
        self._train(rows, [column for k, column in enumerate(base) if column.found is None and k not in after], _near)
        columns = self._folds(reading, base)
        self._descend(reading, [column for group in columns for column in group], _proven,
                      {fold * len(base) + k: fold * len(base) + leader
                       for fold in range(len(columns)) for k, leader in after.items()})
        return self._results(cells, columns, base)

    # Stages ---------------------------------------------------------------------------------------------------------

    def _reading(self, order, ends):
        return BlockReading(self.problem, self.targets, order, ends, self.centre, self.pool)

    def _column(self, cell):
        return (LoneColumn if self.own and not cell.loss.traits.smooth else LockstepColumn)(cell, None, None, None)

    def _cells(self, candidate, source):
        """The columns of a candidate, whose targets begin at one of the block's."""
        K = candidate.n_columns
        l1, l2 = np.broadcast_to(candidate.penalty.l1, K), np.broadcast_to(candidate.penalty.l2, K)
        shared, classes = np.ndim(candidate.targets) == 1, candidate.one_vs_rest
        recoding = [None] * K if classes is None else [tuple(row) for row in classes.recoding(candidate.targets)]
        for k, loss in enumerate(column_losses(candidate)):
            yield Cell(loss, float(l1[k]), float(l2[k]), np.ones(1), source + (0 if shared else k), recoding[k])

    def _samples(self):
        """Numbers of the rows of samples, each larger than the one before."""
        rows, d = self.folds.order, self.problem.n_features
        positions = RowOrder(len(rows), self.problem.rows.row_bytes).draw(self.seed, 0).positions
        size = max(FEWEST, ROWS_A_COEFFICIENT * d)
        most = max(min(LARGEST, LARGEST_SHARE * len(rows)), min(size, len(rows)))
        yield np.sort(rows[positions[:size]])
        while (size := size * GROWTH) <= most:
            yield np.sort(rows[positions[:size]])

    def _train(self, rows, columns, arrived):
        """From nothing to where samples of the rows have their minima, some of the columns; then all rows."""
        samples, reading, stage = rows
        if not columns:
            return
        for chosen in samples:
            part = self._reading(chosen, np.array([len(chosen)]))
            stage_of_part = Stage(self.tol, part.moments()[1], self.intercept, exact=False)
            for column in columns:
                column.enter(stage_of_part, column.cell)
            self._go_down(part, chosen, columns, _SampleRule(self.problem.n_features / len(chosen)))
        whole = np.ones(reading.n_patterns)
        for column in columns:
            column.enter(stage, replace(column.cell, mask=whole))
            column.lowest = self._lowest(column.cell)
        self._go_down(reading, self.folds.order, columns, arrived, by_pattern=len(self.folds.masks) > 1)

    def _starts_from(self, leader, column):
        """Whether a column's folds should start from those of another strength: nearer than folds to all rows."""
        if not leader.arrived:
            return False
        trial = LockstepColumn(replace(column.cell, mask=leader.cell.mask), leader.stage, None, None, leader.lowest)
        trial.follow(leader)
        return trial.promise() <= max(self._fold(leader, mask).promise() for mask in self.folds.masks)

    def _start(self, columns, chosen):
        """The centre; every column at its best constant for some rows."""
        d, known, at = self.problem.n_features, {}, iter(columns)
        self.centre = np.zeros(d)
        if self.intercept:
            reading = self._reading(chosen, np.array([len(chosen)]))
            sums = reading.moments()[0]
            self.centre = sums[:-1] / sums[-1]
        for candidate in self.candidates:
            key = fitted_to(candidate)
            if key not in known:
                with Reading(replace(candidate, subset=chosen)) as sample:
                    known[key] = [self._constant(sample, k) for k in range(candidate.n_columns)]
            for shift, null, width in known[key]:
                column = next(at)
                column.z, column.null, column.width = np.append(np.zeros(d), shift), null, width

    def _constant(self, sample, k):
        """The best constant of a column, its mean loss there, and over which width to smooth the loss."""
        p, smooth = np.zeros(sample.n_rows) if sample.offset is None else sample.offset.copy(), sample.traits[k].smooth
        sides = None if smooth else Sides(sample, k)
        shift = 0.0
        if self.intercept:
            shift = best_shift(sample, k, p) if smooth else sides.best_shift(p, 0.0)
        null = abs(sample.sweep(k, p + shift)) / sample.totals[k]
        if smooth:
            return shift, null, None
        distance = np.abs(sides.positions - (p + shift)).min(axis=0)
        # The best constant is at the kinks of many: those of a hinge's more frequent class.
        away = distance[distance > 0]
        return shift, null, FIRST_WIDTH * (np.mean(away) if len(away) else 1.0)

    def _folds(self, reading, base):
        """Columns for all folds, by fold, which start where their candidates are.

        Smoothed kinks get bands as wide as the folds' steps ask for. Where samples did not tell how a candidate bends,
        each fold gets its own second derivatives: those of each pattern's rows cost no more than those of all rows.
        """
        masks = self.folds.masks
        columns = [[self._fold(column, mask) for column in base] for mask in masks]
        kinked = [k for k, column in enumerate(base) if column.arrived and column.width is not None]
        if len(masks) < reading.n_patterns:     # too many: each fold asks for its own
            for group in columns:
                for k in kinked if reading.n_features < OWN_MATRIX else ():
                    group[k].metric = None
            return columns
        wider = [k for k in kinked if base[k].widen(max(group[k].promise() for group in columns))]
        if wider:
            found = reading.look([base[k].ask() for k in wider], by_pattern=True)
            for k, sums in zip(wider, found, strict=True):
                base[k].take(base[k].z, sums)
        smooth = [k for k, column in enumerate(base) if column.arrived and column.width is None and column.bent]
        bent = kinked + smooth if reading.n_features <= OWN_MATRIX else kinked
        matrices = reading.grams([base[k].ask() for k in bent], by_pattern=True) if bent else []
        for k, matrix in zip(bent, matrices, strict=True):
            for group, mask in zip(columns, masks, strict=True):
                group[k] = self._fold(base[k], mask)
                group[k].model(matrix[mask > 0].sum(axis=0))
                group[k].patient = k in smooth
        return columns

    def _fold(self, column, mask):
        """A column for a fold, which starts where its candidate is, if that has arrived."""
        cell = replace(column.cell, mask=mask)
        if not column.arrived:
            return LockstepColumn(cell, column.stage, None, None, self._lowest(cell), column.null)
        return column.fold(cell, self._lowest(cell))

    def _lowest(self, cell):
        """Below which a cell's mean loss cannot fall; 0 but for losses that leave out a constant."""
        if cell.loss.traits.link != "log":
            return 0.0
        key, rows = (repr(cell.loss), cell.source), self.folds.order
        if key not in self.floors:
            y = self.targets[cell.source][rows]
            s = np.ones(len(rows)) if self.problem.weights is None else np.asarray(self.problem.weights)[rows]
            starts = np.append(0, self.folds.ends[:-1])
            values = s * cell.loss.value(y, np.log(np.maximum(y, 1e-300)))
            self.floors[key] = np.add.reduceat(values, starts), np.add.reduceat(s, starts)
        values, weights = self.floors[key]
        return float(cell.mask @ values / (cell.mask @ weights))

    # Lockstep -------------------------------------------------------------------------------------------------------

    def _go_down(self, reading, order, columns, arrived, **given):
        """Run the columns on rows of an order: in lockstep those that share readings, the others one by one."""
        alone = [column for column in columns if isinstance(column, LoneColumn)]
        self._descend(reading, [column for column in columns if not isinstance(column, LoneColumn)], arrived, **given)
        if not alone:
            return
        rows = OwnRows(self.problem, self.targets, order, self.centre, alone[0].stage.exact)

        def go(column):
            with suppress(OverflowError):       # of squares of X: another method's turn, which says so
                column.descend(rows, arrived, _budget(column, self.problem))

        if len(order) * len(self.centre) < THREADED:
            tasks = (go(column) for column in alone)
        else:
            tasks = in_order(self.pool, go, [(column,) for column in alone], HEARTBEAT)
        with closing(tasks) as results:
            for done, _ in enumerate(results, 1):
                self._report(done, len(alone))
                if self.stopped:
                    break

    def _descend(self, reading, columns, arrived, after=None, *, by_pattern=False):
        """Run the columns' generators: what they ask for is looked for together, in one reading for all.

        Some begin after another, by number, where that has arrived. Columns without a place to start from do nothing.
        """
        asked, steps, after = {}, {}, after or {}
        following = {}
        for k, leader in after.items():
            following.setdefault(leader, []).append(k)

        def begin(k):
            if columns[k].z is not None:
                steps[k] = columns[k].descend(arrived, _budget(columns[k], self.problem), RENEWALS)
                go_on(k, None)

        def go_on(k, answer):
            try:
                asked[k] = steps[k].send(answer)
            except (StopIteration, OverflowError):
                for other in following.get(k, ()) if columns[k].arrived else ():
                    columns[other].follow(columns[k])
                    begin(other)

        for k in range(len(columns)):
            if k not in after:
                begin(k)
        while asked and not self.stopped:
            answers = self._answers(reading, {k: asked[k] for k in sorted(asked)}, by_pattern)
            asked.clear()
            for k, answer in answers.items():
                go_on(k, answer)
            self._report(len(columns) - len(asked), len(columns))

    def _answers(self, reading, asked, by_pattern):
        """What columns ask for, in one reading; with many features those of a loss share second derivatives."""
        looks = [k for k, ask in asked.items() if ask.look]
        groups, own = {}, reading.n_features <= OWN_MATRIX
        for k, ask in asked.items():
            if ask.gram:
                groups.setdefault(k if own else _curved_alike(ask), []).append(k)
        for group in groups.values():
            group.sort(key=lambda k: asked[k].cell.l2)
        middle = [asked[group[len(group) // 2]] for group in groups.values()]
        found, matrices = reading.read([asked[k] for k in looks], middle, by_pattern=by_pattern)
        sums, curved = dict(zip(looks, found, strict=True)), {}
        for group, matrix in zip(groups.values(), matrices, strict=True):
            curved |= {k: matrix if len(group) == 1 else matrix.copy() for k in group}
        return {k: (sums.get(k), curved.get(k)) for k in asked}

    def _report(self, done, of):
        if self.progress is not None and self.progress(done / of):
            self.stopped = True

    # Results --------------------------------------------------------------------------------------------------------

    def _results(self, cells, columns, base):
        """What :meth:`solve` returns."""
        results, starts, first = [], [], 0
        for group in cells:
            stop = first + len(group)
            results.append([self._result(fold[first:stop]) for fold in columns])
            starts.append(self._near(base[first:stop]))
            first = stop
        return results, starts

    def _result(self, columns):
        """What a solver returns, of the columns of a candidate on a fold."""
        if not all(column.gap <= self.tol for column in columns):
            return self._near(columns)
        return self.result(columns)

    def result(self, columns):
        """What a solver returns, of columns as they are."""
        coef, intercept = self._model(columns)
        objective, gap = (np.array([getattr(column, name) for column in columns]) for name in ("objective", "gap"))
        n_iter = np.array([column.looked for column in columns])
        history = {"rows": np.array([len(self.folds.order)]), "objective": objective[np.newaxis],
                   "gap": gap[np.newaxis], "seconds": np.array([perf_counter() - self.began])}
        if len(columns) == 1:
            history["objective"], history["gap"] = objective, gap
        return Result(coef, intercept, objective, ceil(n_iter.max()), n_iter, history, "block",
                      State(coef.copy(), intercept.copy(), t=1.0 + len(self.folds.order)), True, gap,
                      ("proof",) * len(columns))

    def _model(self, columns):
        coef = np.array([column.z[:-1] for column in columns])
        intercept = np.array([column.z[-1] for column in columns]) - coef @ self.centre
        return coef, intercept if self.intercept else np.zeros(len(columns))

    def _near(self, columns):
        """A start for the interior point method; None for other losses, and far from the minimum."""
        for column in columns:
            if column.width is None or column.found is None or column.flat or not column.stage.exact:
                return None
            away = column.decrement + column.slack
            if not away <= NEAR * self.tol * abs(column.objective - column.lowest) < np.inf:
                return None
        near = tuple((self.centre, column.null, column.stage.squares[:-1] / column.stage.squares[-1],
                      MOVES * column.width) for column in columns)
        return State(*self._model(columns), near=near)


def _distinct(arrays):
    """Columns of targets, and where those of each of some arrays begin; equal objects share theirs."""
    columns, starts, known = [], [], {}
    for array in arrays:
        if id(array) not in known:
            known[id(array)] = len(columns)
            values = np.ascontiguousarray(np.asarray(array, dtype=np.float64).T)
            columns += [values] if values.ndim == 1 else list(values)
        starts.append(known[id(array)])
    return columns, starts


def _paths(columns):
    """After which column each of those with kinks begins, by number, from the middle strength of a loss outwards."""
    groups, after = {}, {}
    for k, column in enumerate(columns):
        cell = column.cell
        if not cell.loss.traits.smooth:
            groups.setdefault((repr(cell.loss), cell.source, cell.recoding), []).append(k)
    for group in groups.values():
        group.sort(key=lambda k: (columns[k].cell.l1 + columns[k].cell.l2, columns[k].cell.l1))
        weaker, stronger = group[len(group) // 2 :: -1], group[len(group) // 2 :]
        for path in (weaker, stronger):
            after |= {k: before for before, k in pairwise(path)}
    return after


def _first(after, k):
    """The column with which a path begins."""
    while k in after:
        k = after[k]
    return k


def fitted_to(candidate):
    """What tells a candidate from others, strengths apart: what its best constants depend on."""
    classes = candidate.one_vs_rest
    return (repr(candidate.losses), id(candidate.targets),
            None if classes is None else (classes.codes, classes.class_weight.tobytes()))


def _curved_alike(ask):
    """What columns have in common that may share second derivatives; few rows have any where kinks are smoothed."""
    return id(ask) if ask.width is not None else (repr(ask.cell.loss), ask.cell.source, ask.cell.recoding)


class _SampleRule:
    """Whether a column is as near the minimum of a sample as that is to the minimum of all rows."""

    def __init__(self, error):
        self.error = error

    def __call__(self, column, decrement):
        loss = abs(column.objective - column.lowest)
        goal = STAGE_TOL * max(self.error, 0.1 * column.stage.tol) * loss
        return decrement <= goal and column.slack <= 4 * max(goal, column.stage.tol * loss)


def _budget(column, problem):
    """Readings that a column may take."""
    if isinstance(column, LoneColumn):
        return READINGS_ALONE
    few = problem.n_features < OWN_MATRIX and problem.n_rows * (problem.n_features + 1) > CHEAP_READING
    if column.stage.exact and column.width is not None and few:
        return READINGS_KINKED
    return READINGS if column.stage.exact else STEPS_ON_SAMPLE


def _near(column, decrement):
    """Whether a candidate is near enough its minimum for folds to start from there."""
    goal = column.stage.tol * abs(column.objective - column.lowest)
    return column.gap <= column.stage.tol or (decrement <= BASE_TOL * goal and column.slack <= BASE_SLACK * goal)


def _proven(column, _):
    return column.gap <= column.stage.tol

"""Streaming: every chunk of rows is one implicit step of second order, with no step size."""

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from scipy import sparse

from sklosses.exceptions import DivergenceError
from sklosses.solvers._monitor import Epoch, Monitor
from sklosses.solvers._order import RowOrder
from sklosses.solvers._pieces import Added, Batch, Piece, faded
from sklosses.solvers._problem import Result, State, refuse_negative_weights
from sklosses.solvers._reading import Reading
from sklosses.solvers._running import Full, Wide, squares

# Rows of a step: more are cut into pieces, fewer are taken as they come.
PIECE = 1000
# Features up to which the whole Hessian is kept, and numbers in those of all columns.
LARGEST_FULL, MOST_NUMBERS = 1000, 5e7
# Newton steps on a piece, at most.
STEPS = 20
# Rounds of narrowing the band round the kinks on the first piece.
ROUNDS = 6
# A piece is done when a step promises less than this share of the objective over all rows seen.
DONE = 1e-7
# A step is taken if it brings this part of what its slope promises; it is halved so often at most.
ARMIJO, HALVINGS = 1e-4, 50
# Second derivatives of the piece are computed anew where they have changed by more than this share.
STALE = 0.02
# Curvature lent to losses that are straight nearly everywhere, and where they are so; and to such columns.
LENT, STRAIGHT, SHARE = 1e-6, 1e-3, 1e-2
# A step of less than this share of what was proposed asks for damping; at first this much of the mean curvature.
SHORT, LEAST_DAMPING = 0.25, 3e-2
# The band round the kinks: one distance at first, narrowing as the rows' error does, to 2 % of the distance.
BAND, NARROWEST, SETTLING = 1.0, 0.02, 20
# At least this share of the mean distance (of all but the farthest 3 %), where most rows sit on a kink.
TIED = 0.5
# Rows a coefficient until which a model without a Hessian is kept apart.
YOUNG = 20
# Rows over which the distance to the kinks is averaged.
MEMORY = 1000
# Curvature that losses which are not convex have at least, as a share of their bound.
FLOOR = 1e-3
# Rows that are kept as they are.
KEPT = 256
# Sums of squares below are those of columns of zeros.
LEAST = 1e-250
# A starting point is drawn in while the loss there is so many times that of the intercept alone.
WILD = 100.0


@dataclass(frozen=True, eq=False)
class Past:
    """The rows that a column has seen, as a quadratic function of its coefficients.

    Up to a constant, and with v where the column is now, ``g.(u - v) + (u - v)'H(u - v) / 2``. Coefficients are those
    of centred features, the constant comes last.

    Attributes
    ----------
    here : ndarray of shape (d + 1,)
        v.
    gradient : ndarray of shape (d + 1,)
        g, of the losses: the penalty is added for as many rows as there were.
    hessian : Full or Wide
        H, likewise.
    total : float
        Sum of the weights of the rows.
    rows : float
        Their number.
    distance : float
        Median distance of predictions from the kinks of the loss; 0 before there were any.
    anchor : ndarray of shape (d + 1,) or None, default=None
        A model that came without its Hessian: its rows are taken to be of the kind seen since.
    anchored : float, default=0.0
        How many rows it stands for; `total` counts them.
    """

    here: np.ndarray
    gradient: np.ndarray
    hessian: object
    total: float
    rows: float
    distance: float = 0.0
    anchor: np.ndarray | None = None
    anchored: float = 0.0

    def faded(self, factor):
        """What is left of it when every weight is multiplied by a number."""
        if factor == 1:
            return self
        return replace(self, gradient=self.gradient * factor, hessian=self.hessian.scaled(factor),
                       total=self.total * factor, rows=self.rows * factor, anchored=self.anchored * factor)


@dataclass(frozen=True, eq=False)
class Stream:
    """What :class:`Streaming` needs to go on: the features' centre, every column's past, and a few rows.

    A quadratic function does badly by rows that are large beyond all others: they reach far along their losses as the
    model moves. The rows with the largest shares in a column's sum of squares are kept as they are, and taken in again
    with every chunk, until larger ones take their places.

    Attributes
    ----------
    kind : tuple
        Losses, whether there is an intercept, whether the table is wide: with others there is no going on.
    centre : ndarray of shape (d,)
    columns : tuple of Past
    squares : ndarray of shape (d + 1,)
        Sums of squares of the centred columns.
    kept : Batch or None, default=None
    """

    kind: tuple
    centre: np.ndarray
    columns: tuple
    squares: np.ndarray
    kept: object = None

    def model(self):
        """Coefficients of shape (n_columns, d) and intercepts, as predictions take them."""
        here = np.array([past.here for past in self.columns])
        coef = here[:, :-1].copy()
        return coef, here[:, -1] - coef @ self.centre


@dataclass(frozen=True)
class Streaming:
    r"""Second-order implicit steps: a model that is near its best after one reading of the rows, in any scale.

    Rows seen before are remembered as a quadratic function: its Hessian H and, where the model is now, its gradient g.
    A chunk of rows with weights s, and S the sum of all weights so far, moves the coefficients v to

    .. math::
        u = \arg\min_u \sum_{chunk} s \phi(y, x \cdot u) + g \cdot (u - v) + \tfrac12 (u - v)' H (u - v) + S R(u),

    by a few damped Newton steps, and adds its own gradient and Hessian at u to the memory. For the squared error this
    is recursive least squares, exactly: what is left after all chunks is the solution on all rows. For other smooth
    losses the difference fades with the rows. Losses with kinks are rounded in a band that narrows as rows come in.

    Parameters
    ----------
    forgetting : float in (0, 1], default=1.0
        Weight of a row when the next one has come, and so on for each row: ``1 - 1 / h`` remembers about the last h
        rows. 1: all rows count alike.
    shuffle : bool, default=True
        Whether a chunk of more than 1500 rows, which is cut into pieces of about 1000, is cut at random. As the rows
        stand where there is forgetting.

    Notes
    -----
    Up to 1000 features the whole Hessian is kept; beyond, and where those of all columns of coefficients would take
    more than 400 MB, its diagonal and the block of the 256 densest columns. A model that comes with no memory, from
    `fit`, stands for as many rows as it counts, with the Hessian of the rows that come next. Losses that are not convex
    are given their curvature where it is positive.

    References
    ----------
    P. Toulis, E. M. Airoldi, Asymptotic and finite-sample properties of estimators based on stochastic gradients,
    Annals of Statistics 45(4), 2017 (implicit steps); S. Haykin, Adaptive Filter Theory, chapter on recursive least
    squares (forgetting).

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.data import as_rows
    >>> from sklosses.losses import SquaredError
    >>> from sklosses.penalties import L2
    >>> from sklosses.solvers import Problem, Streaming
    >>> X = np.linspace(-1, 1, 40)[:, np.newaxis] * 1e6
    >>> state = None
    >>> for rows in np.split(np.random.default_rng(0).permutation(40), 4):
    ...     chunk = Problem(as_rows(X[rows]), 2e-6 * X[rows, 0] + 1, ((SquaredError(), 1),), L2(alpha=1e-6))
    ...     state = Streaming().solve(chunk, state=state).state
    >>> (1e6 * state.coef).round(4), state.intercept.round(4)
    (array([[2.]]), array([1.]))
    """

    forgetting: float = 1.0
    shuffle: bool = True

    def solve(self, problem, *, tol=None, max_iter=1, random_state=0, monitor=None, state=None):
        """Take in the rows of a problem.

        Parameters
        ----------
        problem : Problem
            The next chunk.
        tol : ignored
        max_iter : int, default=1
            How often the rows are read; they count as new ones each time.
        random_state : int, default=0
            Seed of the order of pieces.
        monitor : Monitor or None, default=None
        state : State or None, default=None
            Where to go on. Not modified.

        Returns
        -------
        Result
            `objective` is that of these rows, divided by the sum of their weights.

        Raises
        ------
        DivergenceError
            If numbers overflow.
        ValueError
            If there are no rows, or weights are negative.
        """
        if problem.n_rows == 0:
            raise ValueError("There are no rows to train on.")
        refuse_negative_weights(problem, "Streaming")
        monitor, began = Monitor() if monitor is None else monitor, perf_counter()
        history = {"objective": [], "seconds": []}
        with Reading(problem) as reading, np.errstate(over="ignore", invalid="ignore"):
            run = _Run(self, problem, reading, state)
            for number in range(max_iter):
                monitor.begin(number)
                run.epoch(random_state, number)
                coef, intercept = run.model()
                values = _objective(problem, reading, coef, intercept)
                history["objective"].append(values)
                history["seconds"].append(perf_counter() - began)
                epoch = Epoch(number, values, history["seconds"][-1], lambda at=(coef, intercept): at)
                verdict = monitor.end(epoch)
                epoch.close()
                if verdict.stop:
                    break
        n_iter, K = len(history["seconds"]), problem.n_columns
        history = {name: np.array(kept) for name, kept in history.items()}
        if K == 1:
            history["objective"] = history["objective"][:, 0]
        before = 1.0 if state is None else state.t
        after = State(coef.copy(), intercept.copy(), t=before + n_iter * problem.n_rows, stream=run.stream)
        return Result(coef, intercept, values, n_iter, np.full(K, n_iter), history, "streaming", after, False)


def _objective(problem, reading, coef, intercept):
    """The objective of each column on the rows of a reading."""
    sums = np.zeros(len(coef))
    for chunk in reading.chunks:
        predicted = np.ascontiguousarray((reading.rows_of(chunk) @ coef.T).T) + intercept[:, np.newaxis]
        if reading.offset is not None:
            predicted += reading.offset[chunk]
        sums += [reading.sweep(k, p, chunk) for k, p in enumerate(predicted)]
    mean = sums / np.where(reading.totals > 0, reading.totals, 1.0)
    return mean + problem.penalty.value(coef) + problem.intercept_cost * intercept


class _Run:
    """One call of `solve`."""

    def __init__(self, solver, problem, reading, state):
        self.solver, self.problem, self.reading = solver, problem, reading
        K, d = problem.n_columns, problem.n_features
        self.l1, self.l2 = np.broadcast_to(problem.penalty.l1, K), np.broadcast_to(problem.penalty.l2, K)
        self.state = State(np.zeros((K, d)), np.zeros(K)) if state is None else state
        self.stream = self.state.stream
        self.wide = d > LARGEST_FULL or K * (d + 1.0) ** 2 > MOST_NUMBERS
        weights = reading.weights
        # A weight of 0 is the row left out.
        self.used = np.arange(reading.n_rows) if weights is None else np.flatnonzero(weights.any(axis=0))

    def model(self):
        """Coefficients and intercepts; those of the state before any row counts."""
        if self.state is None:
            return self.stream.model()
        return np.array(self.state.coef, dtype=np.float64), np.array(self.state.intercept, dtype=np.float64)

    def epoch(self, seed, number):
        """Take in all rows, piece by piece."""
        n_pieces = max(1, round(len(self.used) / PIECE))
        if n_pieces == 1:
            self._take(slice(0, self.reading.n_rows) if len(self.used) == self.reading.n_rows else self.used)
            return
        order = self.used
        if self.solver.shuffle and self.solver.forgetting == 1:
            order = order[RowOrder(len(order), self.problem.rows.row_bytes).draw(seed, number).positions]
        for piece in np.array_split(order, n_pieces):
            self._take(np.sort(piece))

    def _take(self, rows):
        """Move every column by one piece, and choose the rows that are kept."""
        reading, problem = self.reading, self.problem
        block = reading.rows_of(rows)
        if block.shape[0] == 0:
            return
        if self.state is not None:
            self.stream = self._begin(block)
            self.state = None
        old, new = self.stream, self._batch(block, rows)
        factors, counts, new = faded(new, problem.n_columns, self.solver.forgetting)
        together = new if old.kept is None else old.kept.faded(factors).with_rows(new)
        sums, keep = self._choose(together, old.squares, new, factors)
        spread = squares(new.design, np.ones(new.n_rows)) if self.wide else sums
        columns = []
        for k, past in enumerate(old.columns):
            past = past.faded(factors[k])
            piece = Piece(reading.losses[k], together, k, self._fixed(past))
            added = Added(new.n_rows, counts[k], new.total(k))
            columns.append(_finite(_moved(past, piece, added, self._costs(k, old.centre), keep, spread)))
        kept = None if keep is None else together.take(keep)
        self.stream = replace(old, columns=tuple(columns), squares=sums, kept=kept)

    def _batch(self, block, rows):
        """The rows of a piece."""
        reading = self.reading
        return Batch(self._design(block, self.stream.centre), np.ascontiguousarray(reading.targets[:, rows]),
                     None if reading.weights is None else np.ascontiguousarray(reading.weights[:, rows]),
                     None if reading.offset is None else reading.offset[rows])

    def _choose(self, together, sums, new, factors):
        """Sums of squares of the columns so far, and the rows with the largest shares in any of them."""
        if self.wide:
            return sums, None
        square, weight = together.design * together.design, together.largest_weight()
        added = square[-new.n_rows :]
        sums = sums * factors.max() + (added.sum(axis=0) if weight is None else weight[-new.n_rows :] @ added)
        if together.n_rows <= KEPT:
            return sums, np.arange(together.n_rows)
        square *= 1 / np.where(sums > LEAST, sums, 1.0)
        share = square.max(axis=1) if weight is None else square.max(axis=1) * weight
        return sums, np.sort(np.argpartition(-share, KEPT)[:KEPT])

    def _design(self, block, centre):
        """Centred features and a column of ones (of zeros without an intercept): in float64, CSR where wide and CSR."""
        m, d = block.shape
        constant = 1.0 if self.problem.fit_intercept else 0.0
        if self.wide and sparse.issparse(block):
            return sparse.csr_array(sparse.hstack([block, np.full((m, 1), constant)], format="csr"))
        design = np.empty((m, d + 1))
        np.subtract(block.toarray() if sparse.issparse(block) else block, centre, out=design[:, :d])
        design[:, d] = constant
        return design

    def _begin(self, block):
        """The stream to go on with: what was remembered, or a model whose rows are not known, or nothing."""
        stream, kind = self.state.stream, (tuple(self.reading.losses), bool(self.problem.fit_intercept), self.wide)
        if stream is None or stream.kind != kind:
            return self._start(block, kind)
        coef, intercept = stream.model()
        edited = np.any(coef != self.state.coef, axis=1) | (intercept != self.state.intercept)
        if not edited.any():
            return stream
        columns = []
        for k, past in enumerate(stream.columns):
            if stream.kept is not None:
                piece = Piece(self.reading.losses[k], stream.kept, k, self._fixed(past))
                past = _moved(past, piece, Added(0, 0, 0.0), self._costs(k, stream.centre), None, None)
            if edited[k]:
                here = self._here(k, stream.centre)
                past = replace(past, here=here, gradient=self._at_rest(k, here, past.total, stream.centre),
                               anchor=None if past.anchor is None else here)
            columns.append(past)
        return replace(stream, columns=tuple(columns), kept=None)

    def _start(self, block, kind):
        """The stream before its first row."""
        centre = np.zeros(block.shape[1])
        if self.problem.fit_intercept and not (self.wide and sparse.issparse(block)):
            dense = block.toarray() if sparse.issparse(block) else block
            # A column of equal numbers is to vanish, not to leave what rounding makes of its mean.
            centre = np.where(dense.max(axis=0) == dense.min(axis=0), dense[0], dense.mean(axis=0))
        nothing = (Wide if self.wide else Full).empty(self._design(block, centre))
        known, columns = max(self.state.t - 1.0, 0.0), []
        for k in range(self.problem.n_columns):
            here = self._here(k, centre)
            columns.append(Past(here, self._at_rest(k, here, known, centre), nothing, known, 0.0,
                                anchor=here if known > 0 else None, anchored=known))
        return Stream(kind, centre, tuple(columns), np.zeros(block.shape[1] + 1))

    def _here(self, k, centre):
        """Coefficients of a column of the state, as those of centred features."""
        coef = np.asarray(self.state.coef[k], dtype=np.float64)
        return np.append(coef, self.state.intercept[k] + coef @ centre)

    def _at_rest(self, k, here, total, centre):
        """The gradient of the losses of rows for which these coefficients are the best."""
        w = here[:-1]
        return -total * (np.append(self.l2[k] * w + self.l1[k] * np.sign(w), 0.0) + self._slope(centre))

    def _fixed(self, past):
        """The intercept, where it is not fitted."""
        return 0.0 if self.problem.fit_intercept else past.here[-1]

    def _costs(self, k, centre):
        return Costs(self.l1[k], self.l2[k], self._slope(centre))

    def _slope(self, centre):
        """The gradient of the intercept's cost: the intercept is the constant less centre.w."""
        nu = self.problem.intercept_cost if self.problem.fit_intercept else 0.0
        return nu * np.append(-centre, 1.0)


@dataclass(frozen=True, eq=False)
class Costs:
    """What coefficients cost a unit of weight: factors of ||w||_1 and of ||w||^2 / 2, and a linear function."""

    l1: float
    l2: float
    slope: np.ndarray

    def value(self, theta):
        """The cost of coefficients, the constant last."""
        w = theta[:-1]
        return self.l1 * np.abs(w).sum() + 0.5 * self.l2 * (w @ w) + self.slope @ theta

    def gradient(self, theta):
        """Its gradient, without that of the l1 norm."""
        out = self.l2 * theta
        out[-1] = 0.0
        return out + self.slope


def _moved(past, piece, added, costs, keep, spread):
    """The past of a column when a piece has been taken in, but for the rows that are kept apart.

    Without new rows it stays where it is.
    """
    D = len(past.here)
    n_steps = STEPS if added.counted else 0
    theta, distance = past.here, past.distance
    if n_steps:
        theta = _tamed(theta, piece)
    for _ in range(ROUNDS if past.rows == 0 else 1):
        before = distance
        if piece.kinks is not None and n_steps:
            distance = _distance(past, piece, piece.predict(theta), added.n_rows)
        cost = _Cost(past, piece, added, costs, _band(distance, past.rows, D), spread)
        theta, look = cost.descend(theta, n_steps)
        if piece.kinks is None or distance > 0.5 * before > 0:
            break
    return cost.remembered(look, distance, keep)


def _finite(past):
    """The past, if its numbers are."""
    if not (np.all(np.isfinite(past.here)) and np.all(np.isfinite(past.gradient))):
        raise DivergenceError("Floating-point under-/overflow occurred at epoch #1. Scaling input data with "
                              "StandardScaler or MinMaxScaler might help: squares of X or y are beyond float64.")
    return past


def _tamed(theta, piece):
    """Where to start: nearer to the constant where the loss of new rows is out of all proportion, or infinite."""
    def value(share):
        start = theta * share
        start[-1] = theta[-1]
        return start, piece.sweep(piece.predict(start), 1.0)[0]

    start, there = value(1.0)
    _, constant = value(0.0)
    share = 1.0
    while not there <= WILD * abs(constant) and share > 1e-3 and np.isfinite(constant):
        share *= 0.5
        start, there = value(share)
    return start


def _distance(past, piece, p, n_rows):
    """The median distance of predictions from the kinks of the loss, over the new rows and those just before them.

    No more than the kinks' own distance from 0: where margins can be had at will, as of classes that a line parts,
    predictions would grow with the band, and the band with them.
    """
    positions, p = piece.kinks[0][:, -n_rows:], p[-n_rows:]
    away = np.sort(np.abs(positions - p).min(axis=0))
    now = max(float(np.median(away)), TIED * float(away[: -(-len(away) * 97 // 100)].mean()))
    now = min(now, float(np.abs(positions).mean()))
    before = min(past.rows, MEMORY) if past.distance > 0 else 0.0
    return (before * past.distance + len(p) * now) / (before + len(p)) or 1.0


def _band(distance, rows, D):
    """The width of the band round the kinks, when so many rows have been seen before."""
    return (distance or 1.0) * max(BAND / np.sqrt(1 + rows / (SETTLING * D)), NARROWEST)


class _Cost:
    """What a piece makes of a column's coefficients u: its own losses, the past, and the penalty.

    Parameters
    ----------
    past : Past
    piece : Piece
        The rows that are kept, and the new ones.
    added : Added
    costs : Costs
    band : float
        In which kinks are rounded.
    spread : ndarray of shape (d + 1,)
        Sums of squares of the columns so far.
    """

    def __init__(self, past, piece, added, costs, band, spread):
        self.past, self.piece, self.added, self.costs, self.band = past, piece, added, costs, band
        self.traits, self.spread = piece.loss.traits, spread
        self.total = past.total + added.total
        self.hessian = past.hessian
        self.prior = None
        if past.anchor is not None:     # the model's rows, in the likeness of those seen since
            _, _, second = piece.sweep(piece.predict(past.anchor), band)
            likeness = past.hessian.plus(piece.design, self._convex(second)).kept()
            self.prior = likeness.scaled(past.anchored / (past.rows + added.counted))
            self.hessian = past.hessian.added(self.prior)

    def look(self, theta, p=None):
        """The cost at theta, and what steps are made of."""
        p = self.piece.predict(theta) if p is None else p
        value, first, second = self.piece.sweep(p, self.band)
        away = theta - self.past.here
        pull = self.past.hessian.times(away)
        model = self.past.gradient @ away + 0.5 * (away @ pull)
        pull = pull + self.past.gradient
        if self.prior is not None:
            away = theta - self.past.anchor
            back = self.prior.times(away)
            model, pull = model + 0.5 * (away @ back), pull + back
        return Look(theta, p, value, value + model + self.total * self.costs.value(theta), first, second, pull)

    def descend(self, theta, n_steps):
        """At most so many damped Newton steps; where they lead, and the look there."""
        look, together, used, length, damping = self.look(theta), None, None, 1.0, 0.0
        for _ in range(n_steps):
            second = self._convex(look.second)
            if together is None or np.abs(second - used).sum() > STALE * used.sum():
                lent = self._lent(second)
                together, used = self.hessian.plus(self.piece.design, lent), second
                steepness = self.spread * self._typical(lent)
            theta = look.theta
            gradient = self.piece.design.T @ look.first + look.pull + self.total * self.costs.gradient(theta)
            damping = _damped(damping, length)
            step = together.step(gradient, theta[:-1], self.total * self.costs.l1,
                                 self._ridge(together, steepness, damping))
            fall = -(gradient @ step) + self.total * self.costs.l1 * (
                np.abs(theta[:-1]) - np.abs(theta[:-1] + step[:-1])).sum()
            if not fall > 0:
                break
            before, (look, length) = look, self._advance(look, step, fall)
            if look is before or (length == 1 and 0.5 * fall <= DONE * self.total * abs(look.value) / self.piece.total):
                break
        return look.theta, look

    def _typical(self, second):
        """The mean curvature of a row; 0, so no damping, where it has no bound: a far row's exponential is no scale."""
        if self.piece.kinks is None and self.traits.curvature == np.inf:
            return 0.0
        return float(second.sum() / self.piece.total)

    def _ridge(self, together, steepness, damping):
        """What is added to the diagonal of a step's matrix: the penalty's curvature, and damping.

        Columns whose rows all are on straight parts of their losses are lent a little of the mean curvature.
        """
        out = np.full(len(steepness), self.total * self.costs.l2)
        out[-1] = 0.0
        straight = together.diagonal_of() + out < STRAIGHT * steepness
        return out + np.where(straight, SHARE, 0.0) * steepness + damping * steepness

    def _advance(self, look, step, fall):
        """The longest of ever shorter steps that brings what it should, and its length; the look itself if none."""
        change, length = self.piece.design @ step, 1.0
        for _ in range(HALVINGS):
            trial = self.look(look.theta + length * step, look.p + length * change)
            if trial.cost <= look.cost - ARMIJO * length * fall + 1e-13 * abs(look.cost):
                return trial, length
            length *= 0.5
        return look, 0.0

    def _convex(self, second):
        """Second derivatives that are not negative."""
        if self.traits.convex:
            return second
        weight = 1.0 if self.piece.weights is None else self.piece.weights
        return np.maximum(second, FLOOR * min(1.0, self.traits.curvature) * weight)

    def _lent(self, second):
        """Second derivatives that bound a step, of rows that nearly all are on straight parts of their losses."""
        steepest = min(1.0, self.traits.curvature)
        if second.sum() > STRAIGHT * steepest * self.piece.total:
            return second
        weight = 1.0 if self.piece.weights is None else self.piece.weights
        return second + LENT * steepest * weight

    def remembered(self, look, distance, keep):
        """The past with the piece in it, all but the rows that are kept."""
        past, design = self.past, self.piece.design
        first, second = look.first, self._convex(look.second)
        if keep is not None:
            left = np.ones(len(first), dtype=bool)
            left[keep] = False
            design, first, second = design[left], first[left], second[left]
        gradient = design.T @ first + look.pull
        hessian = past.hessian.plus(design, second).kept()
        rows, anchor, anchored = past.rows + self.added.counted, past.anchor, past.anchored
        if anchor is not None:
            if rows < YOUNG * len(look.theta):      # the likeness is still too faint: the model stays apart
                gradient = gradient - self.prior.times(look.theta - anchor)
            else:
                hessian, anchor, anchored = hessian.added(self.prior), None, 0.0
        return Past(look.theta, gradient, hessian, self.total, float(rows), distance, anchor, anchored)


def _damped(damping, length):
    """Levenberg's damping for the next step, as a share of the mean curvature, when the last had to be so short."""
    if length < SHORT:
        return max(10 * damping, LEAST_DAMPING)
    return damping * 0.3 if damping > LEAST_DAMPING else 0.0


@dataclass(frozen=True, eq=False)
class Look:
    """The cost at a point: predictions, the losses' sum, the whole, derivatives of the losses, the past's gradient."""

    theta: np.ndarray
    p: np.ndarray
    value: float
    cost: float
    first: np.ndarray
    second: np.ndarray
    pull: np.ndarray

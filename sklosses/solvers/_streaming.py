"""Streaming: every chunk of rows is one implicit step of second order, with no step size."""

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from scipy import sparse

from sklosses._isa import kernel
from sklosses.solvers._monitor import Epoch, Monitor
from sklosses.solvers._order import RowOrder
from sklosses.solvers._problem import Result, State
from sklosses.solvers._reading import Reading
from sklosses.solvers._running import Full, Wide

# Rows of a step: more are cut into pieces, fewer are taken as they come.
PIECE = 1000
# Features up to which the whole Hessian is kept.
LARGEST_FULL = 1000
# Newton steps on a piece: until this many rows a coefficient have been seen, and later.
YOUNG, FIRST_STEPS, LATER_STEPS = 20, 12, 2
# Rounds of narrowing the band round the kinks on the first piece.
ROUNDS = 6
# A piece is done when a step promises less than this share of the objective over all rows seen.
DONE = 1e-9
# A step is taken if it brings this part of what its slope promises; it is halved so often at most.
ARMIJO, HALVINGS = 1e-4, 50
# Second derivatives of the piece are computed anew where they have changed by more than this share.
STALE = 0.02
# Curvature lent to losses that are straight nearly everywhere, and where they are so.
LENT, STRAIGHT = 1e-6, 1e-3
# The band round the kinks: 2 distances at first, narrowing as the rows' error does, to 2 % of the distance.
BAND, NARROWEST, SETTLING = 2.0, 0.02, 20
# Rows over which the distance to the kinks is averaged.
MEMORY = 1000
# Curvature that losses which are not convex have at least, as a share of their bound.
FLOOR = 1e-3
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


@dataclass(frozen=True, eq=False)
class Stream:
    """What :class:`Streaming` needs to go on: the features' centre and every column's past.

    Attributes
    ----------
    centre : ndarray of shape (d,)
    columns : tuple of Past
    """

    centre: np.ndarray
    columns: tuple

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
    Up to 1000 features the whole Hessian is kept; beyond, its diagonal and the block of the 256 densest columns. A
    model that comes with no memory, from `fit` or with coefficients set by hand, stands for as many rows as it counts,
    with the Hessian of the rows that come next. Losses that are not convex are given their curvature where it is
    positive.

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
        ValueError
            If there are no rows, or weights are negative.
        """
        if problem.n_rows == 0:
            raise ValueError("There are no rows to train on.")
        if problem.weights is not None and np.any(np.asarray(problem.weights) < 0):
            raise ValueError("Streaming needs weights >= 0: with negative ones the objective is not convex.")
        monitor, began = Monitor() if monitor is None else monitor, perf_counter()
        history = {"objective": [], "seconds": []}
        with Reading(problem) as reading:
            run = _Run(self, problem, reading, state)
            for number in range(max_iter):
                monitor.begin(number)
                run.epoch(random_state, number)
                coef, intercept = run.stream.model()
                values = _objective(problem, reading, coef, intercept)
                history["objective"].append(values)
                history["seconds"].append(perf_counter() - began)
                epoch = Epoch(number, values, history["seconds"][-1], lambda at=run.stream: at.model())
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
        predicted = np.ascontiguousarray((reading._rows_of(chunk) @ coef.T).T) + intercept[:, np.newaxis]
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
        self.stream = None if state is None else state.stream
        self.wide = d > LARGEST_FULL
        weights = reading.weights
        # A weight of 0 is the row left out.
        self.used = np.arange(reading.n_rows) if weights is None else np.flatnonzero(weights.any(axis=0))

    def epoch(self, seed, number):
        """Take in all rows, piece by piece."""
        n_pieces = max(1, round(len(self.used) / PIECE))
        if n_pieces == 1:
            self._take(slice(None) if len(self.used) == self.reading.n_rows else self.used)
            return
        order = self.used
        if self.solver.shuffle and self.solver.forgetting == 1:
            order = order[RowOrder(len(order), self.problem.rows.row_bytes).draw(seed, number).positions]
        for piece in np.array_split(order, n_pieces):
            self._take(np.sort(piece))

    def _take(self, rows):
        """Move every column by one piece."""
        reading, problem = self.reading, self.problem
        block = reading._rows_of(rows)
        if block.shape[0] == 0:
            return
        if self.stream is None:
            self.stream = self._start(block)
        elif self.state is not None:
            self.stream = self._with_edits()
        self.state = None
        design = self._design(block)
        offset = None if reading.offset is None else reading.offset[rows]
        columns = []
        for k, past in enumerate(self.stream.columns):
            loss, targets = reading.losses[k], np.ascontiguousarray(reading.target(k, rows))
            piece = Piece(loss, design, targets, reading.weight(k, rows), offset, _kinks(loss, targets))
            costs = Costs(self.l1[k], self.l2[k], problem.intercept_cost if problem.fit_intercept else 0.0)
            past, piece = _faded(past, piece, self.solver.forgetting)
            columns.append(past if piece is None else _moved(past, piece, costs))
        self.stream = Stream(self.stream.centre, tuple(columns))

    def _design(self, block):
        """Centred features and a column of ones (of zeros without an intercept): in float64, CSR where wide and CSR."""
        m, d = block.shape
        constant = 1.0 if self.problem.fit_intercept else 0.0
        if self.wide and sparse.issparse(block):
            return sparse.csr_array(sparse.hstack([block, np.full((m, 1), constant)], format="csr"))
        design = np.empty((m, d + 1))
        np.subtract(block.toarray() if sparse.issparse(block) else block, self.stream.centre, out=design[:, :d])
        design[:, d] = constant
        return design

    def _start(self, block):
        """The stream before its first row: nothing is known, or a model whose rows are not."""
        centre = np.zeros(block.shape[1])
        if self.problem.fit_intercept and not (self.wide and sparse.issparse(block)):
            centre = np.asarray(block.mean(axis=0)).reshape(-1)
        self.stream = Stream(centre, ())
        nothing = (Wide if self.wide else Full).empty(self._design(block))
        columns = []
        for k, known in enumerate(np.maximum(np.full(self.problem.n_columns, self.state.t - 1), 0.0)):
            here = self._here(k)
            gradient = self._at_rest(k, here, known)
            anchor = here if known > 0 else None
            columns.append(Past(here, gradient, nothing, known, 0.0, anchor=anchor, anchored=known))
        return Stream(centre, tuple(columns))

    def _with_edits(self):
        """The stream, where coefficients were changed since: a model that is at rest where it was put."""
        columns, model = list(self.stream.columns), self.stream.model()
        for k, past in enumerate(columns):
            if not (np.array_equal(model[0][k], self.state.coef[k]) and model[1][k] == self.state.intercept[k]):
                here = self._here(k)
                columns[k] = replace(past, here=here, gradient=self._at_rest(k, here, past.total),
                                     anchor=None if past.anchor is None else here)
        return Stream(self.stream.centre, tuple(columns))

    def _here(self, k):
        """Coefficients of a column of the state, as those of centred features."""
        coef = np.asarray(self.state.coef[k], dtype=np.float64)
        return np.append(coef, self.state.intercept[k] + coef @ self.stream.centre)

    def _at_rest(self, k, here, total):
        """The gradient of the losses of rows for which these coefficients are the best."""
        nu = self.problem.intercept_cost if self.problem.fit_intercept else 0.0
        w = here[:-1]
        return -total * np.append(self.l2[k] * w + self.l1[k] * np.sign(w), nu)


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows of one column: a design of centred features and a constant, targets, weights and offsets or None.

    `kinks` are positions and jumps, as :meth:`Loss.kinks` has them, and the slope before the first; None where the
    loss is smooth.
    """

    loss: object
    design: object
    targets: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    kinks: tuple | None

    @property
    def n_rows(self):
        """Number of rows."""
        return len(self.targets)

    @property
    def total(self):
        """Sum of the weights."""
        return float(self.n_rows) if self.weights is None else float(self.weights.sum())

    def predict(self, theta):
        """Raw predictions."""
        p = self.design @ theta
        return p if self.offset is None else p + self.offset

    def sweep(self, p, band=0.0):
        """The loss at predictions: sum of weighted values, and weighted first and second derivatives.

        Kinks c of jump j are rounded by the mean over a band of width b round each prediction: it adds
        ``j max(b/2 - |p - c|, 0)^2 / (2 b)``, which shifts no minimum of a symmetric pair of rows, as rounding on one
        side does.
        """
        value, first, second = np.empty((3, len(p), 1))
        with np.errstate(over="ignore", invalid="ignore"):
            kernel("sklosses.losses._arrays").sweep(self.loss, self.targets.reshape(-1, 1), p.reshape(-1, 1),
                                                    self.weights, (value, first, second))
            total, first, second = float(value.sum()), first[:, 0], second[:, 0]
        if self.kinks is None:
            return total, first, second
        positions, jumps, slope = self.kinks
        away = p - positions
        inside = np.maximum(0.5 * band - np.abs(away), 0.0)
        weight = 1.0 if self.weights is None else self.weights
        share = np.clip(away / band + 0.5, 0.0, 1.0)
        first = weight * (slope + (jumps * share).sum(axis=0))
        second = weight * (jumps * (inside > 0)).sum(axis=0) / band
        return total + float((weight * (jumps * inside * inside).sum(axis=0)).sum()) / (2 * band), first, second


def _kinks(loss, targets):
    """Kinks of a loss and its slope before the first."""
    if loss.traits.smooth:
        return None
    positions, jumps = loss.kinks(targets)
    before = positions[0] - 1.0 - 1e-3 * np.abs(positions[0])
    return positions, jumps, loss.gradient(targets, before)


@dataclass(frozen=True)
class Costs:
    """What coefficients cost a unit of weight: factors of ||w||_1, of ||w||^2 / 2, and of the constant."""

    l1: float
    l2: float
    nu: float

    def value(self, theta):
        """The cost of coefficients, the constant last."""
        w = theta[:-1]
        return self.l1 * np.abs(w).sum() + 0.5 * self.l2 * (w @ w) + self.nu * theta[-1]

    def gradient(self, theta):
        """Its gradient, without that of the l1 norm."""
        out = self.l2 * theta
        out[-1] = self.nu
        return out


def _faded(past, piece, forgetting):
    """The past as it counts when a piece has come, and the piece with its rows faded; None if none of them counts."""
    counted = np.ones(piece.n_rows, dtype=bool) if piece.weights is None else piece.weights > 0
    n = int(counted.sum())
    if n == 0:
        return past, None
    if forgetting < 1:
        later = n - np.cumsum(counted)
        fading = forgetting**later.astype(np.float64)
        piece = replace(piece, weights=fading if piece.weights is None else piece.weights * fading)
        factor = forgetting**n
        past = replace(past, gradient=past.gradient * factor, hessian=past.hessian.scaled(factor),
                       total=past.total * factor, rows=past.rows * factor, anchored=past.anchored * factor)
    return past, piece


def _moved(past, piece, costs):
    """The past of a column when a piece has been taken in."""
    D, first = len(past.here), past.rows == 0
    n_steps = FIRST_STEPS if past.rows < YOUNG * D else LATER_STEPS
    theta, distance = _tamed(past.here, piece), past.distance
    for _ in range(ROUNDS if first else 1):
        before = distance
        if piece.kinks is not None:
            distance = _distance(past, piece, piece.predict(theta))
        cost = _Cost(past, piece, costs, _band(distance, past.rows, D))
        theta, look = cost.descend(theta, n_steps)
        if piece.kinks is None or distance > 0.5 * before > 0:
            break
    return cost.remembered(look, distance)


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


def _distance(past, piece, p):
    """The median distance of predictions from the kinks of the loss, over this piece and the rows just before it."""
    positions = piece.kinks[0]
    now = float(np.median(np.abs(positions - p).min(axis=0)))
    before = min(past.rows, MEMORY) if past.distance > 0 else 0.0
    mean = (before * past.distance + len(p) * now) / (before + len(p))
    return mean if mean > 0 else float(np.abs(positions).mean()) or 1.0


def _band(distance, rows, D):
    """The width of the band round the kinks, when so many rows have been seen before."""
    return distance * max(BAND / np.sqrt(1 + rows / (SETTLING * D)), NARROWEST)


class _Cost:
    """What a piece makes of a column's coefficients u: its own losses, the past, and the penalty.

    Parameters
    ----------
    past : Past
    piece : Piece
    costs : Costs
    band : float
        In which kinks are rounded.
    """

    def __init__(self, past, piece, costs, band):
        self.past, self.piece, self.costs, self.band = past, piece, costs, band
        self.traits = piece.loss.traits
        self.total = past.total + piece.total
        self.hessian = past.hessian
        self.prior = None
        if past.anchor is not None:     # the model's rows, in the likeness of those seen since
            _, _, second = piece.sweep(piece.predict(past.anchor), band)
            likeness = past.hessian.plus(piece.design, self._convex(second)).kept()
            self.prior = likeness.scaled(past.anchored / (past.rows + piece.n_rows))
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
        look, together, used = self.look(theta), None, None
        for _ in range(n_steps):
            second = self._convex(look.second)
            if together is None or np.abs(second - used).sum() > STALE * used.sum():
                together, used = self.hessian.plus(self.piece.design, self._lent(second)), second
            theta = look.theta
            gradient = self.piece.design.T @ look.first + look.pull + self.total * self.costs.gradient(theta)
            strengths = self.total * self.costs.l1, self.total * self.costs.l2
            step = together.step(gradient, theta[:-1], *strengths)
            fall = -(gradient @ step) + strengths[0] * (np.abs(theta[:-1]) - np.abs(theta[:-1] + step[:-1])).sum()
            if not fall > 0:
                break
            before, look = look, self._advance(look, step, fall)
            if look is before or 0.5 * fall <= DONE * self.total * abs(look.value) / self.piece.total:
                break
        return look.theta, look

    def _advance(self, look, step, fall):
        """The longest of ever shorter steps that brings what it should; the look itself if none does."""
        change, length = self.piece.design @ step, 1.0
        for _ in range(HALVINGS):
            trial = self.look(look.theta + length * step, look.p + length * change)
            if trial.cost <= look.cost - ARMIJO * length * fall + 1e-13 * abs(look.cost):
                return trial
            length *= 0.5
        return look

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

    def remembered(self, look, distance):
        """The past with the piece in it."""
        past, piece = self.past, self.piece
        gradient = piece.design.T @ look.first + look.pull
        hessian = past.hessian.plus(piece.design, self._convex(look.second)).kept()
        rows = past.rows + (piece.n_rows if piece.weights is None else np.count_nonzero(piece.weights))
        anchor, anchored = past.anchor, past.anchored
        if anchor is not None:
            if rows < YOUNG * len(look.theta):      # the likeness is still too faint: the model stays apart
                gradient = gradient - self.prior.times(look.theta - anchor)
            else:
                hessian, anchor, anchored = hessian.added(self.prior), None, 0.0
        return Past(look.theta, gradient, hessian, self.total, float(rows), distance, anchor, anchored)


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

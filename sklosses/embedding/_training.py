"""Training: L-BFGS on all rows at once, or passes of mini-batches."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import issparse

from sklosses.embedding._lbfgs import lbfgs
from sklosses.embedding._schedule_free import STEP, ScheduleFree
from sklosses.exceptions import DivergenceError

#: Iterations of L-BFGS for which drawn pairs, triplets, views or centers stay as they are.
ROUND = 10

#: How fast the centers of the center loss follow the batches (alpha in Wen et al., 2016).
CENTER_RATE = 0.5


@dataclass(frozen=True, eq=False)
class Task:
    """What is minimised: the mean of a loss of X C', plus l1 ||C||_1 + l2 ||C||^2 / 2, C (n_components, n_features).

    Attributes
    ----------
    batches : Rows
        Where batches come from.
    objective : Objective
        What a batch is worth.
    shape : tuple of int
        (n_components, n_features)
    l1, l2 : float
    """

    batches: Any
    objective: Any
    shape: tuple
    l1: float
    l2: float

    @property
    def size(self):
        """Number of elements of C; parameters of the objective follow them."""
        return self.shape[0] * self.shape[1]

    def embed(self, theta, X):
        """Embeddings of standardised rows."""
        C = theta[: self.size].reshape(self.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            Z = np.ascontiguousarray(X @ C.T.astype(X.dtype))
        if not np.isfinite(Z).all():
            raise DivergenceError(f"Embeddings became too large for {X.dtype}: parameters of the loss "
                                  f"{self.objective.loss!r} may be out of all proportion.")
        return Z

    def plan(self, theta, batch, generator, rate=1.0):
        """What the objective has to decide before it is evaluated; embeddings are computed only if it does."""
        if not self.objective.resamples:
            return None
        return self.objective.plan(batch, self.embed(theta, batch.X), generator, rate)

    def value_and_gradient(self, theta, batch, plan):
        """Mean loss of a batch plus l2's part of the penalty, and the gradient in theta."""
        Z = self.embed(theta, batch.X)
        value, slope, extra = self.objective(batch, Z, plan, theta[self.size :])
        product = (batch.X.T @ slope).T if issparse(batch.X) else slope.T @ batch.X
        C = theta[: self.size]
        gradient = np.concatenate([product.ravel().astype(np.float64) + self.l2 * C, extra])
        return value + 0.5 * self.l2 * float(C @ C), gradient

    def l1_of_each(self, theta):
        """l1 for each element of C, 0 for what follows."""
        return np.where(np.arange(len(theta)) < self.size, self.l1, 0.0)


@dataclass(eq=False)
class Passes:
    """Watches passes over the rows: their history, when to stop, the best parameters.

    Attributes
    ----------
    max_iter, tol, patience
        Stop after `max_iter` passes, or when the last `patience` of them have brought no more than the share `tol` of
        all that the objective, or the validation score if there is one, has gained since the first.
    score : callable or None
        Validation score of parameters, higher is better.
    hooks : EpochHooks or None
    attributes : callable
        (theta, n_iter) -> fitted attributes, for the hooks.
    """

    max_iter: int
    tol: float
    patience: int
    score: Any = None
    hooks: Any = None
    attributes: Any = None
    n_iter: int = 0
    converged: bool = False
    history: dict = field(default_factory=lambda: {"objective": [], "validation_score": [], "seconds": []})

    def __post_init__(self):
        self._began, self._open, self._best = time.perf_counter(), False, None

    def begin(self):
        """Announce a pass, unless it has been already."""
        if not self._open and self.hooks is not None:
            self.hooks.begin()
        self._open = True

    def end(self, theta, objective):
        """Record a pass; return whether to stop."""
        self.begin()
        self._open = False
        self.n_iter += 1
        if not np.isfinite(objective):
            raise DivergenceError(f"The objective became {objective} in pass {self.n_iter}. Columns of extreme values, "
                                  "or parameters of the loss out of all proportion, may be why.")
        self.history["objective"].append(objective)
        self.history["seconds"].append(time.perf_counter() - self._began)
        watched, sign = self.history["objective"], 1.0
        if self.score is not None:
            score = self.score(theta)
            self.history["validation_score"].append(score)
            watched, sign = self.history["validation_score"], -1.0
            if self._best is None or score > self._best[0]:
                self._best = score, theta.copy()
        self.converged = self._settled([sign * number for number in watched])
        stop = self.hooks is not None and self.hooks.end(self.attributes(theta, self.n_iter))
        return bool(stop) or self.converged or self.n_iter >= self.max_iter

    def _settled(self, costs):
        if len(costs) <= self.patience:
            return False
        before, now = min(costs[: -self.patience]), min(costs)
        return before - now <= self.tol * (costs[0] - now)

    def chosen(self, theta):
        """The parameters that scored best on the validation rows; without them those given."""
        return theta if self._best is None else self._best[1]


def train_whole(task, theta, passes, generator):
    """L-BFGS on all rows as one batch; what a loss draws is drawn anew every few iterations.

    Returns
    -------
    theta : ndarray
    contributed : bool
        Whether any row ever contributed.
    """
    rounds = ROUND if task.objective.resamples else passes.max_iter
    contributed = stop = False

    def watch(theta, value):
        nonlocal stop
        stop = passes.end(theta, value)
        return stop

    while not stop:
        batch = task.batches.whole(generator)
        plan = task.plan(theta, batch, generator)
        contributed |= task.objective.contributes(batch, plan)

        def function(theta, batch=batch, plan=plan):
            passes.begin()
            return task.value_and_gradient(theta, batch, plan)

        done = passes.n_iter
        theta, _ = lbfgs(function, theta, task.l1_of_each(theta), min(rounds, passes.max_iter - done), watch)
        if passes.n_iter == done:       # not a step further: the start is the minimum
            value, _ = function(theta)
            stop = passes.end(theta, value + task.l1 * float(np.abs(theta[: task.size]).sum()))
            passes.converged = stop = True
        elif rounds > passes.n_iter - done and not stop and not task.objective.resamples:
            passes.converged = stop = True
    return passes.chosen(theta), contributed


def new_optimizer(task, theta):
    """The mini-batch method at its start."""
    root_mean_square = np.sqrt(np.mean(theta[: task.size] ** 2)) or 1.0 / np.sqrt(task.shape[1])
    _, extra_step = task.objective.start(task.shape[0], theta.dtype)
    in_components = np.arange(len(theta)) < task.size
    step = np.where(in_components, STEP * root_mean_square, extra_step)
    return ScheduleFree(theta, step, task.l1_of_each(theta))


def train_batches(task, optimizer, passes, batch_size, generator):
    """Passes of mini-batches of random rows.

    Returns
    -------
    theta : ndarray
    contributed : bool
        Whether any row ever contributed.
    """
    contributed, stop = False, False
    n = task.batches.n_rows
    n_batches = max(1, round(n / task.batches.anchors_of(batch_size)))
    while not stop:
        passes.begin()
        total = 0.0
        for index in np.array_split(generator.permutation(n), n_batches):
            theta = optimizer.point
            batch = task.batches.take(index, generator)
            plan = task.plan(theta, batch, generator, CENTER_RATE)
            contributed |= task.objective.contributes(batch, plan)
            value, gradient = task.value_and_gradient(theta, batch, plan)
            total += value * len(index)
            optimizer.advance(gradient)
        theta = optimizer.model
        stop = passes.end(theta, total / n + task.l1 * float(np.abs(theta[: task.size]).sum()))
    return passes.chosen(theta), contributed

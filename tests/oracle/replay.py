"""One case of classic SGD, run by the compiled solver and by the oracle on the same rows in the same order."""

from dataclasses import asdict, dataclass, field

import numpy as np
from scipy.sparse import csr_array

from oracle import sgd
from sklosses.data import as_rows
from sklosses.losses import get_loss
from sklosses.penalties import get_penalty
from sklosses.solvers import SGD, Problem, State, row_order

PARAMETERS = {"huber": {"epsilon": 0.5}, "pseudo_huber": {"epsilon": 0.7}, "quantile": {"quantile": 0.8},
              "expectile": {"expectile": 0.3}, "epsilon_insensitive": {"epsilon": 0.2},
              "squared_epsilon_insensitive": {"epsilon": 0.2}, "cauchy": {"scale": 0.8}, "tweedie": {"power": 1.3},
              "log_loss": {"pos_weight": 1.7}, "focal": {"gamma": 1.5}, "smoothed_hinge": {"width": 0.6},
              "smoothed_absolute_error": {"width": 0.5}, "smoothed_quantile": {"quantile": 0.2, "width": 0.4},
              "smoothed_epsilon_insensitive": {"epsilon": 0.2, "width": 0.5}, "smoothed_perceptron": {"width": 0.7}}
POSITIVE = {"poisson", "gamma", "tweedie", "squared_log_error"}


@dataclass(frozen=True)
class Case:
    """What is fitted, how, and to which rows."""

    loss: str
    penalty: str | None = "l2"
    schedule: str = "optimal"
    storage: str = "C"
    dtype: str = "float64"
    average: int = 0
    batch_size: int = 1
    shuffle: bool = True
    weighted: bool = True
    offset: bool = False
    fit_intercept: bool = True
    subset: bool = False
    intercept_cost: float = 0.0
    alpha: float = 0.1
    eta0: float = 0.05
    seed: int = 0
    shape: tuple = (41, 5)
    parameters: dict | None = None
    settings: dict = field(default_factory=dict)


def as_stored(X, storage):
    """A table in C or F order, a strided view of one, or CSR with indices of 32 or 64 bits."""
    if storage in {"C", "F"}:
        return np.asarray(X, order=storage)
    if storage == "strided":
        wide = np.full((2 * X.shape[0], 2 * X.shape[1]), np.nan, dtype=X.dtype)
        wide[::2, 1::2] = X
        return wide[::2, 1::2]
    sparse = csr_array(X)
    sparse.indices, sparse.indptr = sparse.indices.astype(storage), sparse.indptr.astype(storage)
    return sparse


class Data:
    """Rows, targets and what comes with them."""

    def __init__(self, case):
        n, d = case.shape
        rng = np.random.default_rng([case.seed, len(case.loss)])
        X = 0.5 * rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.6)
        X[n // 5] = 0
        self.plain = X.astype(case.dtype)
        self.X = as_stored(self.plain, case.storage)
        raw = X @ rng.uniform(-4, 4, d) / np.sqrt(d) + 0.2 + 0.5 * rng.standard_normal(n)
        if case.loss in sgd.MARGIN.keys() | sgd.ZERO_ONE:
            self.y = np.where(raw > 0, 1.0, 0.0 if case.loss in sgd.ZERO_ONE else -1.0)
        else:
            self.y = np.exp(raw / 2) if case.loss in POSITIVE else raw
        self.weights = rng.uniform(0, 2, n) * (rng.random(n) < 0.9) if case.weighted else None
        self.offset = rng.uniform(-1, 1, n) if case.offset else None
        self.subset = rng.permutation(n)[:max(1, 3 * n // 4)].astype(np.intp) if case.subset else None

    def rows(self):
        """Numbers of the rows trained on."""
        return np.arange(len(self.y)) if self.subset is None else self.subset


def parameters(case):
    return PARAMETERS.get(case.loss, {}) if case.parameters is None else case.parameters


def problem(case, data):
    alpha = {"alpha": case.alpha} if case.penalty else {}
    ratio = {"l1_ratio": 0.4} if case.penalty == "elasticnet" else {}
    return Problem(as_rows(data.X), data.y, ((get_loss(case.loss, **parameters(case)), 1),),
                   get_penalty(case.penalty, **alpha, **ratio), data.weights, data.offset, case.fit_intercept,
                   intercept_cost=case.intercept_cost, subset=data.subset)


def solve(case, data, *, state=None, max_iter=3, tol=None, monitor=None):
    """The solver's result."""
    solver = SGD(case.schedule, eta0=case.eta0, power_t=0.3, average=case.average, shuffle=case.shuffle,
                 batch_size=case.batch_size, alpha=None if case.penalty else case.alpha, **case.settings)
    return solver.solve(problem(case, data), tol=tol, max_iter=max_iter, random_state=case.seed, state=state,
                        monitor=monitor)


def order(case, data):
    """Rows of an epoch."""
    rows, row_bytes = data.rows(), as_rows(data.X).row_bytes
    if not case.shuffle:
        return lambda epoch: rows
    return lambda epoch: rows[row_order(len(rows), row_bytes, case.seed, epoch)]


def oracle(case, data, *, state=None, max_iter=3, tol=None):
    """The oracle's fit."""
    settings = sgd.Settings(case.penalty, case.alpha, 0.4, case.schedule, case.eta0, 0.3, case.average, case.batch_size,
                            case.fit_intercept, case.intercept_cost, max_iter, tol, **case.settings)
    X = data.X.copy() if case.storage.startswith("int") else data.plain
    loss = sgd.formulas(case.loss, **parameters(case))
    return sgd.Solver(X, data.y, loss, settings, data.weights, data.offset).fit(order(case, data), state)


def start(case, intercept=0.0):
    """The same start for both: State and Fit."""
    coef = np.linspace(-0.5, 0.5, case.shape[1])
    return State(coef[np.newaxis].copy(), np.array([intercept])), sgd.Fit(coef.copy(), intercept)


def assert_same(result, fit, case, column=0):
    """Coefficients agree: 1e-12 in float64, 1e-5 in float32, relative to max(1, |w|)."""
    coef, intercept = fit.model
    scale = max(1.0, np.abs(coef).max(), abs(intercept))
    error = max(np.abs(result.coef[column] - coef).max(), abs(result.intercept[column] - intercept)) / scale
    assert error <= (1e-12 if case.dtype == "float64" else 1e-5), (error, asdict(case))

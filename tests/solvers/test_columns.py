"""Columns share rows and nothing else: results do not depend, bit for bit, on neighbours or threads."""

import numpy as np
import pytest
import scipy.sparse as sp

from sklosses.data import as_rows
from sklosses.losses import EpsilonInsensitive, Hinge, Huber, LogLoss, Quantile, SquaredError
from sklosses.penalties import ElasticNet
from sklosses.solvers import SGD, OneVsRest, Problem, objective

RNG = np.random.default_rng(0)
N, D = 700, 13
X = RNG.normal(size=(N, D))
LABELS = RNG.integers(0, 5, size=N)
Y = X @ RNG.normal(size=(D, 4)) + RNG.normal(size=(N, 4))
FORMATS = {"dense": X, "csr": sp.csr_array(X * (RNG.uniform(size=X.shape) < 0.4))}
SETTINGS = [
    {"learning_rate": "invscaling", "eta0": 0.01},
    {"learning_rate": "invscaling", "eta0": 0.05, "batch_size": 32},
    {"learning_rate": "invscaling", "eta0": 0.01, "average": 100},
    {"learning_rate": "adaptive", "eta0": 0.05, "batch_size": 300, "average": 1},
]
# Parameters of the penalty, one a column: none, l2, elastic net and l1.
ALPHA = np.array([1e-3, 1e-2, 1e-3, 1e-2])
L1_RATIO = np.array([0.0, 0.0, 0.5, 1.0])


def solve(rows, targets, losses, columns, settings, n_jobs=1):
    problem = Problem(as_rows(rows), targets, losses, ElasticNet(alpha=ALPHA[columns], l1_ratio=L1_RATIO[columns]))
    return SGD(**settings, n_jobs=n_jobs).solve(problem, tol=1e-2, max_iter=15, random_state=1)


def same(result, column, other, place):
    for name in ("coef", "intercept", "objective", "n_iter_per_column"):
        assert np.array_equal(getattr(result, name)[column], getattr(other, name)[place]), name


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_column_does_not_depend_on_its_neighbours(kind, settings):
    losses = [SquaredError(), Huber(epsilon=1.0), EpsilonInsensitive(epsilon=0.2), Huber(epsilon=0.5)]
    together = solve(FORMATS[kind], Y, tuple((loss, 1) for loss in losses), np.arange(4), settings)
    for k, loss in enumerate(losses):
        alone = solve(FORMATS[kind], Y[:, k], ((loss, 1),), np.array([k]), settings)
        same(together, k, alone, 0)
    backwards = solve(FORMATS[kind], np.ascontiguousarray(Y[:, ::-1]), tuple((loss, 1) for loss in losses[::-1]),
                      np.arange(4)[::-1], settings)
    for k in range(4):
        same(together, k, backwards, 3 - k)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", FORMATS)
def test_nor_on_the_number_of_threads(kind, settings):
    one, *others = [solve(FORMATS[kind], Y, ((SquaredError(), 4),), np.arange(4), settings, n_jobs=n_jobs)
                    for n_jobs in (1, 2, 3, 9)]
    for other in others:
        for k in range(4):
            same(one, k, other, k)
        assert np.array_equal(one.history["objective"], other.history["objective"])


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_vector_of_parameters_is_one_value_a_column(settings):
    quantiles = [0.1, 0.5, 0.8]
    columns = np.arange(3)
    together = solve(X, Y[:, 0], ((Quantile(quantile=quantiles), 3), (SquaredError(), 0)), columns, settings)
    for k, quantile in enumerate(quantiles):
        alone = solve(X, Y[:, 0], ((Quantile(quantile=quantile), 1),), columns[[k]], settings)
        same(together, k, alone, 0)


@pytest.mark.parametrize(("loss", "codes"), [(Hinge(), (-1.0, 1.0)), (LogLoss(), (0.0, 1.0))])
@pytest.mark.parametrize("batch_size", [1, 64])
def test_one_vs_rest_recodes_classes_and_weighs_them(loss, codes, batch_size):
    class_weight = RNG.uniform(0.5, 2, size=(5, 2))
    weights = RNG.uniform(0.5, 2, size=N)
    solver = SGD(learning_rate="invscaling", eta0=0.05, batch_size=batch_size)
    penalty = ElasticNet(alpha=1e-3, l1_ratio=0.1)
    problem = Problem(as_rows(X), LABELS.astype(float), ((loss, 5),), penalty, weights=weights,
                      one_vs_rest=OneVsRest(codes, class_weight))
    together = solver.solve(problem, tol=None, max_iter=4)
    for k in range(5):
        positive = (k == LABELS).astype(int)
        single = Problem(as_rows(X), np.array(codes)[positive], ((loss, 1),), penalty,
                         weights=weights * class_weight[k, positive])
        same(together, k, solver.solve(single, tol=None, max_iter=4), 0)


def test_columns_leave_when_they_have_converged_and_stay_as_they_were():
    targets = np.column_stack([np.zeros(N), Y[:, 0]])
    problem = Problem(as_rows(X), targets, ((SquaredError(), 2),), ElasticNet(alpha=1e-4))
    result = SGD(learning_rate="constant", eta0=1e-3, n_iter_no_change=2).solve(problem, tol=1e-3, max_iter=60)
    assert result.n_iter_per_column.tolist() == [3, result.n_iter]
    assert result.n_iter > 3
    assert np.all(result.history["objective"][2:, 0] == result.history["objective"][2, 0])
    assert result.converged
    np.testing.assert_allclose(result.objective, objective(problem, result.coef, result.intercept), rtol=0)

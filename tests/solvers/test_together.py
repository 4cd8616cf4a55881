"""SGD of many problems in one reading: each is, bit for bit, what it is alone."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

from interruption import seconds_to_end
from sklosses.data import as_rows
from sklosses.exceptions import DivergenceError
from sklosses.losses import Expectile, as_loss, get_loss
from sklosses.penalties import L1, L2, ElasticNet, NoPenalty
from sklosses.solvers import SGD, OneVsRest, Problem, solve_by_steps

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 7)) * (RNG.random((600, 7)) < 0.7)
SIGNAL = X @ np.linspace(1, -1, 7) + RNG.normal(size=600)
Y = np.sign(SIGNAL)
CLASSES = np.digitize(SIGNAL, [-1, 1]).astype(float)
FOLDS = [np.flatnonzero(np.arange(600) % 3 != fold) for fold in range(2)]
WEIGHTS = RNG.uniform(0, 2, 600)


class Absolute:
    """A loss in Python."""

    def value(self, y, p):
        return np.abs(p - y)

    def gradient(self, y, p):
        if np.any(np.abs(p) > 1e3):
            raise RuntimeError("predictions are too large")
        return np.sign(p - y)


def problems(rows, offset=None):
    """Of all kinds, on two folds: numbers, labels, classes, outputs."""
    base = Problem(rows, Y, ((get_loss("hinge"), 1),), L2(alpha=1e-3), offset=offset)
    kinds = [
        base,
        replace(base, losses=((get_loss("log_loss"), 1),), targets=(Y + 1) / 2, penalty=L1(alpha=1e-2)),
        replace(base, losses=((get_loss("huber"), 1),), targets=SIGNAL, weights=WEIGHTS, penalty=NoPenalty()),
        replace(base, losses=((Expectile(expectile=[0.2, 0.9]), 2),), targets=SIGNAL,
                penalty=ElasticNet(alpha=[1e-1, 1e-4], l1_ratio=0.5)),
        replace(base, losses=((get_loss("modified_huber"), 3),), targets=CLASSES,
                one_vs_rest=OneVsRest((-1.0, 1.0), np.array([[1.0, 2.0], [1.0, 1.0], [1.0, 0.5]]))),
        replace(base, losses=((get_loss("squared_error"), 2),), targets=np.column_stack([SIGNAL, -SIGNAL])),
    ]
    return [replace(kind, subset=fold) for kind in kinds for fold in FOLDS]


def assert_same(one, other):
    for name in ("coef", "intercept", "objective", "n_iter", "n_iter_per_column", "converged"):
        assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert_array_equal(one.history["objective"], other.history["objective"])
    assert len(one.history["seconds"]) == len(other.history["seconds"])
    for name, value in vars(other.state).items():
        if value is None:
            assert getattr(one.state, name) is None
        else:
            assert_array_equal(getattr(one.state, name), value, err_msg=name)


@pytest.mark.parametrize("batch_size", [1, 25])
@pytest.mark.parametrize("settings", [
    {"learning_rate": "optimal", "alpha": 1.0}, {"learning_rate": "constant"}, {"learning_rate": "invscaling"},
    {"learning_rate": "adaptive", "n_iter_no_change": 1}, {"learning_rate": "constant", "average": 5},
    {"learning_rate": "invscaling", "shuffle": False},
], ids=lambda settings: "-".join(map(str, settings.values())))
@pytest.mark.parametrize("kind", [np.asarray, csr_array], ids=["dense", "csr"])
def test_each_as_alone(kind, settings, batch_size):
    solver, given = SGD(**settings, batch_size=batch_size), {"max_iter": 60, "tol": 3e-2, "random_state": 3}
    posed = problems(as_rows(kind(X)), RNG.normal(size=600))
    results = solve_by_steps(posed, [solver] * len(posed), **given)
    for problem, result in zip(posed, results, strict=True):
        assert_same(result, solver.solve(problem, **given))
    if settings["learning_rate"] != "optimal":
        assert len({result.n_iter for result in results}) > 1      # they leave one by one


def test_threads_and_company_change_nothing():
    posed = problems(as_rows(X))
    solvers = [SGD("constant", eta0=[0.1, 0.01][k % 3 > 0]) for k in range(len(posed))]
    one = solve_by_steps(posed, solvers, n_jobs=1)
    backwards = solve_by_steps(posed[::-1], solvers[::-1], n_jobs=3)[::-1]
    for first, second in zip(one, backwards, strict=True):
        assert_same(first, second)


@pytest.mark.parametrize("batch_size", [1, 20])
@pytest.mark.parametrize("size", [1e6, 1e160])
def test_what_diverges_fails_alone(batch_size, size):
    """The objective grows beyond hope, or coefficients overflow: within an epoch that the others finish."""
    targets = np.column_stack([SIGNAL, size * SIGNAL])
    solver = SGD("constant", eta0=10.0, batch_size=batch_size)
    calm = Problem(as_rows(X), SIGNAL, ((get_loss("epsilon_insensitive"), 1),), L2(alpha=1e-3))
    wild = Problem(as_rows(X), targets, ((get_loss("squared_error"), 2),), NoPenalty())
    given = {"max_iter": 8, "tol": None}
    for posed in ([calm, wild, calm], [wild, calm]):
        for problem, result in zip(posed, solve_by_steps(posed, [solver] * len(posed), n_jobs=1, **given), strict=True):
            if problem is calm:
                assert_same(result, solver.solve(calm, **given))
            else:
                with pytest.raises(DivergenceError) as alone:
                    solver.solve(wild, **given)
                assert isinstance(result, DivergenceError)
                assert str(result) == str(alone.value)


def test_exceptions_of_a_loss_are_its_own():
    base = Problem(as_rows(X), SIGNAL, ((get_loss("huber"), 1),), L2(alpha=1e-3))
    wild = replace(base, losses=((as_loss(Absolute()), 1),), targets=1e5 * SIGNAL)
    results = solve_by_steps([base, wild, base], [SGD("constant", eta0=1e3)] * 3, max_iter=3, n_jobs=1)
    assert isinstance(results[1], RuntimeError)
    for result in results[::2]:
        assert_same(result, SGD("constant", eta0=1e3).solve(base, max_iter=3))


def test_settings_that_cannot_be_had_are_each_problems_own():
    posed = problems(as_rows(X))[:4]
    bad, worse, fine = SGD("optimal", alpha=0.0), SGD("fast"), SGD("optimal", alpha=1e-2)
    results = solve_by_steps(posed, [bad, worse, fine, fine], max_iter=3)
    assert [type(result).__name__ for result in results] == ["ValueError", "ValueError", "Result", "Result"]
    assert solve_by_steps([], []) == []


def test_progress_stops():
    shares = []
    results = solve_by_steps(problems(as_rows(X)), [SGD("constant")] * 12, n_jobs=1,
                             progress=lambda share: shares.append(share) or True)
    assert len(shares) == 1         # the rest was left, but for what another thread had done meanwhile
    assert 0 < shares[0] <= sum(result is not None for result in results) / 12


def test_what_is_trained_together_shares_its_rows():
    one, other = problems(as_rows(X))[:2]
    with pytest.raises(ValueError, match="must have the same subset"):
        SGD("constant").solve_together([one, other])
    with pytest.raises(ValueError, match="must have the same fit_intercept"):
        SGD("constant").solve_together([one, replace(one, fit_intercept=False)])


def test_ctrl_c_takes_effect_within_a_second():
    """While other threads are in the middle of long epochs."""
    setting = """
import numpy as np
from sklosses.data import as_rows
from sklosses.losses import LogLoss
from sklosses.penalties import L2
from sklosses.solvers import SGD, Problem, solve_by_steps

X = np.lib.stride_tricks.as_strided(np.ones(50), (4_000_000, 50), (0, 8))
problem = Problem(as_rows(X), np.ones(len(X)), ((LogLoss(), 1),), L2(alpha=1e-4))
"""
    assert seconds_to_end(setting, "solve_by_steps([problem] * 60, [SGD()] * 60, tol=None, n_jobs=2)", after=3.0) < 1.0

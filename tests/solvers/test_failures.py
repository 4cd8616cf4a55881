"""Divergence, interruption and errors from outside: raised when they happen, and nothing of the caller's is touched."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp

from interruption import seconds_to_end
from sklosses.data import as_rows
from sklosses.exceptions import DivergenceError
from sklosses.losses import Exponential, Hinge, LogLoss, Poisson, SquaredError
from sklosses.penalties import L2, NoPenalty
from sklosses.solvers import SGD, Epoch, Monitor, Problem, State, Verdict

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2000, 4))
Y = X[:, 0]


def problem(rows=X, targets=Y, loss=None, penalty=None, **more):
    return Problem(as_rows(rows), targets, ((loss or SquaredError(), 1),), penalty or L2(alpha=1e-4), **more)


@pytest.mark.parametrize("batch_size", [1, 50])
@pytest.mark.parametrize("rows", [X * 1e200, sp.csr_array(X * 1e200), (X * 1e30).astype(np.float32)])
def test_overflow_is_raised_in_the_epoch_in_which_it_happens(rows, batch_size):
    epochs = []

    class Watch(Monitor):
        def begin(self, epoch):
            epochs.append(epoch)

    solver = SGD(learning_rate="constant", eta0=10.0, batch_size=batch_size)
    with pytest.raises(DivergenceError, match=r"^Floating-point under-/overflow occurred at epoch #") as error:
        solver.solve(problem(rows), monitor=Watch(), tol=None, max_iter=100)
    assert f"epoch #{len(epochs)}. " in str(error.value)
    for part in ("StandardScaler", "SquaredError()", "learning_rate='constant'", "eta0=10.0"):
        assert part in str(error.value)
    assert isinstance(error.value, FloatingPointError)
    assert isinstance(error.value, ValueError)


def test_one_column_that_diverges_is_enough():
    targets = np.column_stack([Y, Y])
    steep = Problem(as_rows(X * 100), targets, ((Hinge(), 1), (Exponential(), 1)), NoPenalty())
    with pytest.raises(DivergenceError, match="Exponential"):
        SGD(learning_rate="constant", eta0=1e3).solve(steep, tol=None, max_iter=50)


def test_what_recovers_is_no_divergence():
    """The first steps of the optimal schedule are large: the objective of squares soars, and comes down."""
    result = SGD(learning_rate="optimal").solve(problem(penalty=L2(alpha=1e-1)), tol=None, max_iter=100)
    assert result.history["objective"][0] > 10 * result.objective[0]
    assert np.all(np.isfinite(result.coef))


def test_nothing_of_the_callers_is_touched():
    arrays = {"rows": X * 1e150, "targets": Y.copy(), "weights": np.ones(2000), "offset": np.zeros(2000)}
    state = State(np.ones((1, 4)), np.ones(1), np.ones((1, 4)), np.ones(1), t=5.0)
    before = copy.deepcopy((arrays, state.__dict__))
    solver = SGD(learning_rate="constant", eta0=1.0, average=1)
    with pytest.raises(DivergenceError):
        solver.solve(problem(**arrays), tol=None, max_iter=100, state=state)
    np.testing.assert_equal((arrays, state.__dict__), before)
    arrays["rows"] = X
    before = copy.deepcopy((arrays, state.__dict__))
    result = SGD(learning_rate="constant", average=1).solve(problem(**arrays), tol=None, max_iter=2, state=state)
    result.coef[:] = result.state.coef[:] = np.nan
    np.testing.assert_equal((arrays, state.__dict__), before)


@pytest.mark.parametrize("method", ["begin", "end"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_monitors_exception_is_the_solvers(method, n_jobs):
    class Failing(Monitor):
        pass

    def fail(self, epoch):
        raise KeyError("mine")

    setattr(Failing, method, fail)
    columns = Problem(as_rows(X), np.column_stack([Y, Y]), ((SquaredError(), 2),), L2(alpha=1e-4))
    with pytest.raises(KeyError, match="mine"):
        SGD("constant", n_jobs=n_jobs).solve(columns, monitor=Failing())


def test_a_monitor_stops_scores_and_sees_the_weights():
    seen = []

    class Watch(Monitor):
        def end(self, epoch):
            seen.append((epoch, epoch.coef.copy(), epoch.intercept.copy()))
            return Verdict(stop=epoch.number == 4, score=[1.0, 3.0, 2.0, 2.5, 2.0][epoch.number])

    result = SGD(learning_rate="constant").solve(problem(), tol=None, max_iter=100, monitor=Watch())
    assert result.n_iter == len(seen) == 5
    assert not result.converged
    assert np.array_equal(result.coef, seen[1][1])
    assert np.array_equal(result.state.intercept, seen[1][2])
    assert result.history["validation_score"].tolist() == [1.0, 3.0, 2.0, 2.5, 2.0]
    assert np.all(np.diff(result.history["seconds"]) > 0)
    assert np.array_equal(seen[3][0].coef, seen[3][1])


def test_weights_of_an_epoch_are_gone_once_it_is_over():
    kept = []

    class Keep(Monitor):
        def end(self, epoch):
            kept.append(epoch)
            return super().end(epoch)

    SGD(learning_rate="constant").solve(problem(), tol=None, max_iter=2, monitor=Keep())
    assert isinstance(kept[0], Epoch)
    with pytest.raises(RuntimeError, match="before its monitor returns"):
        kept[0].coef.sum()


def test_settings_that_cannot_be_had():
    with pytest.raises(ValueError, match="learning_rate must be one of 'constant', 'optimal'"):
        SGD(learning_rate="fast").solve(problem())
    with pytest.raises(ValueError, match="needs alpha > 0"):
        SGD(learning_rate="optimal").solve(problem(penalty=NoPenalty()))
    assert SGD(alpha=1e-3).solve(problem(loss=Hinge(), targets=np.sign(Y), penalty=NoPenalty())).converged
    with pytest.raises(TypeError, match=r"instance of sklosses\.losses\.Loss"):
        SGD().solve(Problem(as_rows(X), Y, (("hinge", 1),), L2(alpha=1e-4)))


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("batch_size", [1, 100])
def test_ctrl_c_takes_effect_within_a_second(n_jobs, batch_size):
    """In the middle of a long epoch."""
    setting = """
import numpy as np
from sklosses.data import as_rows
from sklosses.losses import LogLoss
from sklosses.penalties import L2
from sklosses.solvers import SGD, Problem

X = np.lib.stride_tricks.as_strided(np.ones(50), (30_000_000, 50), (0, 8))
problem = Problem(as_rows(X), np.ones(len(X)), ((LogLoss(), 4),), L2(alpha=1e-4))
"""
    solver = f"SGD(n_jobs={n_jobs}, batch_size={batch_size})"
    assert seconds_to_end(setting, f"{solver}.solve(problem, tol=None, max_iter=1000)") < 1.0


def test_overflowing_values_alone_are_no_divergence():
    """exp(p) overflows for one row; its weight is zero."""
    rows, weights = X.copy(), np.ones(2000)
    rows[7], weights[7] = 1e6, 0.0
    result = SGD(learning_rate="constant", eta0=1e-3).solve(
        problem(rows, np.abs(Y), Poisson(), weights=weights), tol=None, max_iter=3)
    assert np.all(np.isfinite(result.coef))


def test_going_on_from_a_state_is_as_not_having_stopped():
    whole, first = [], None
    solver = SGD(learning_rate="invscaling", average=1, shuffle=False, batch_size=3)
    one = problem(loss=LogLoss(), targets=(Y > 0).astype(float), penalty=L2(alpha=1e-2))
    whole = solver.solve(one, tol=None, max_iter=4)
    first = solver.solve(one, tol=None, max_iter=3)
    second = solver.solve(one, tol=None, max_iter=1, state=first.state)
    np.testing.assert_allclose(second.coef, whole.coef, rtol=1e-12)
    np.testing.assert_allclose(second.history["objective"], whole.history["objective"][3:], rtol=1e-12)
    assert (second.state.t, second.state.steps) == (whole.state.t, whole.state.steps) == (8001, 2668)

"""Head starts of small tables: what is found is what readings alone find, and hostile input leads nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from random_tables import LAYOUTS, table
from sklosses.data import as_rows
from sklosses.losses import Traits, as_loss, get_loss
from sklosses.penalties import L2
from sklosses.solvers import Newton, Problem, _newton, minimize

N = 2400        # more than all kinks at once are taken of
LOSSES = ["log_loss", "squared_hinge", "huber", "poisson", "hinge", "absolute_error", "quantile", "epsilon_insensitive"]


def problem_of(name, given):
    X, y, weights, offset = table(name, n=N, d=5, scales=np.geomspace(0.1, 10.0, 5))
    changes = {
        "weights": {"weights": weights},
        "few weights": {"weights": np.where(np.arange(N) % 800 == 7, 1.0, 0.0)},
        "offset": {"offset": offset},
        "no intercept": {"fit_intercept": False},
        "float32": {"rows": as_rows(LAYOUTS["float32"](X))},
        "csr": {"rows": as_rows(LAYOUTS["csr"](X))},
        "subset": {"subset": np.arange(0, N, 2)},
        "shifted": {"rows": as_rows(X + 1e5)},
        "constant and copy": {"rows": as_rows(np.column_stack([X, np.full(N, 3.7), X[:, 0]]))},
    }
    return replace(Problem(as_rows(X), y, ((get_loss(name), 1),), L2(alpha=1e-3)), **changes[given])


@pytest.mark.parametrize("given", ["weights", "few weights", "offset", "no intercept", "float32", "csr", "subset",
                                   "shifted", "constant and copy"])
@pytest.mark.parametrize("name", LOSSES)
def test_the_minimum_is_that_without(name, given, monkeypatch):
    problem, asked = problem_of(name, given), []

    def kept(*arguments):
        asked.append(can_start(*arguments))
        return asked[-1]

    can_start = _newton.can_start
    monkeypatch.setattr(_newton, "can_start", kept)
    result = Newton().solve(problem, tol=1e-8, max_iter=1000)
    monkeypatch.setattr(_newton, "can_start", lambda *_: False)
    without = Newton().solve(problem, tol=1e-8, max_iter=1000)
    assert asked == [True]
    assert result.gap[0] <= 1e-8
    assert result.objective[0] == pytest.approx(without.objective[0], rel=3e-8)
    assert np.allclose(result.coef, without.coef, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("given", ["weights", "offset", "no intercept", "subset", "shifted"])
@pytest.mark.parametrize("name", [name for name in LOSSES if get_loss(name).traits.smooth])
def test_it_arrives(name, given):
    """The first look at the rows is at the minimum."""
    result = Newton().solve(problem_of(name, given), tol=1e-8, max_iter=1000)
    assert result.history["objective"][0] == pytest.approx(result.objective[0], rel=1e-9)


@pytest.mark.parametrize("max_iter", [1, 5, 20])
@pytest.mark.parametrize("name", ["log_loss", "hinge"])
def test_readings_are_counted_and_limited(name, max_iter):
    """What a head start takes is part of what a fit may take; a step and its certificate are made in any case."""
    result = Newton().solve(problem_of(name, "weights"), tol=0, max_iter=max_iter)
    assert 1 <= result.n_iter <= max_iter + 12
    assert np.isfinite(result.objective[0])


class Absolute:
    """An absolute error that says where its kinks are, and has no smooth form."""

    traits = Traits("residual", smooth=False, lipschitz=1.0, has_conjugate=True)

    def value(self, y, p):
        return np.abs(p - y)

    def gradient(self, y, p):
        return np.sign(p - y)

    def kinks(self, y):
        return y[np.newaxis], np.full((1, len(y)), 2.0)

    def conjugate(self, y, u):
        return np.where(np.abs(u) <= 1, u * y, np.inf)


class Smoothed(Absolute):
    """The same with a smooth form, a Huber loss that does not know its second derivatives."""

    def smoothed(self, mu):
        rounded = get_loss("absolute_error").smoothed(mu)

        class WithoutHessian:
            traits, value, gradient = rounded.traits, staticmethod(rounded.value), staticmethod(rounded.gradient)

        return WithoutHessian()


@pytest.mark.parametrize("kind", [Absolute, Smoothed])
def test_losses_of_ones_own_with_kinks(kind):
    X, y, _, _ = table("absolute_error", n=N)
    ours = minimize(X, y, as_loss(kind()), L2(alpha=1e-3), tol=1e-6)
    known = minimize(X, y, "absolute_error", L2(alpha=1e-3), tol=1e-6)
    assert ours.gap[0] <= 1e-6
    assert ours.objective[0] == pytest.approx(known.objective[0], rel=1e-6)

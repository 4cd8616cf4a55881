"""The interior point method by itself: products, factors, and minima of sums of hinges against linear programming."""

from importlib import import_module

import numpy as np
import pytest
from scipy.optimize import linprog

from sklosses._isa import available_levels
from sklosses.solvers import _interior
from sklosses.solvers._interior import Hinges, interior_point


@pytest.fixture(params=available_levels())
def module(request, monkeypatch):
    """Each build of the kernel."""
    suffix = "" if request.param == "baseline" else f"_{request.param}"
    built = import_module("sklosses.solvers._interior_kernel" + suffix)
    monkeypatch.setattr(_interior, "_kernel", built)
    return built


class InMemory:
    """Rows in one piece."""

    def __init__(self, module, A, copies=1):
        self.whole = module.Design(*A.shape, copies)
        self.whole.rows[:] = A


class Asked:
    """The same rows, which are asked for products."""

    def __init__(self, A):
        self.A = A

    def product(self, z):
        return self.A @ z

    def back(self, v):
        return self.A.T @ v

    def gram(self, v):
        return np.ascontiguousarray((self.A.T * v) @ self.A)


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize(("n", "Q"), [(0, 3), (1, 1), (3, 9), (255, 8), (64, 24), (257, 25), (900, 55), (600, 131)])
def test_products(module, n, Q, copies):
    """Against NumPy, with rows of weight 0, whatever memory they leave to the last vector."""
    rng = np.random.default_rng(2)
    A = rng.normal(size=(n, Q))
    design, all_rows = InMemory(module, A, copies).whole, np.tile(A, (copies, 1))
    v, z = rng.random(n * copies) * (rng.random(n * copies) > 0.3), rng.normal(size=Q)
    np.testing.assert_allclose(design.product(z), all_rows @ z, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(design.back(v), all_rows.T @ v, rtol=1e-12, atol=1e-12)
    lower = np.tril(design.gram(v)[:, :Q])
    np.testing.assert_allclose(lower, np.tril((all_rows.T * v) @ all_rows), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 7, 60])
def test_factors(module, size):
    """Scales of rows and columns do not matter; the upper triangle is not read."""
    rng = np.random.default_rng(3)
    A = rng.normal(size=(2 * size, size)) * np.logspace(-8, 8, size)
    matrix, x = A.T @ A, rng.normal(size=size) / np.logspace(-8, 8, size)
    right, factor = matrix @ x, module.Factor(size)
    assert factor.decompose(np.tril(matrix))
    np.testing.assert_allclose(factor.solve(right), x, rtol=1e-6)


def test_factors_of_singular_matrices(module):
    """A solution where there are many; none where there are no numbers."""
    rng = np.random.default_rng(4)
    A = rng.normal(size=(30, 3))[:, [0, 1, 2, 0]]
    matrix, factor = A.T @ A, module.Factor(4)
    assert factor.decompose(matrix)
    right = matrix @ np.ones(4)
    np.testing.assert_allclose(matrix @ factor.solve(right), right, rtol=1e-6)
    for wrong in (np.nan, np.inf):
        matrix[3, 1] = wrong
        assert not factor.decompose(matrix)


def hinges(rows, A, l1):
    """A sum of hinges with a minimum: of absolute values, and of some more hinges."""
    rng = np.random.default_rng(5)
    n, Q = A.shape
    positions, weights = A @ rng.normal(size=Q) + rng.normal(size=n), rng.random(n) / n + 1e-6
    linear = -0.5 * A.T @ weights           # half the slope: absolute values
    scales = np.sqrt((A * A).mean(axis=0))
    strengths = np.append(2 * l1 / scales[:-1], 0.0)
    linear[:-1] -= l1
    return Hinges(rows, positions, weights, scales, strengths, linear, np.zeros(Q), np.zeros(Q, dtype=bool), 10.0)


def least(A, problem):
    """The minimum by HiGHS: min linear z + omega t, t >= A z - c, t >= 0, and likewise for coordinates."""
    Q = A.shape[1]
    own = np.flatnonzero(problem.strengths > 0)
    extra = np.zeros((len(own), Q))
    extra[np.arange(len(own)), own] = problem.scales[own]
    above = np.vstack([A, extra])
    m = len(above)
    found = linprog(np.concatenate([problem.linear, problem.weights, problem.strengths[own]]),
                    A_ub=np.hstack([above, -np.eye(m)]), b_ub=np.concatenate([problem.positions, np.zeros(len(own))]),
                    bounds=[(None, None)] * Q + [(0, None)] * m)
    assert found.status == 0
    return found.fun


@pytest.mark.parametrize("l1", [0.0, 1e-3, 0.1])
@pytest.mark.parametrize(("n", "Q"), [(40, 2), (150, 9), (300, 33)])
def test_minimum(module, n, Q, l1):
    """That of linear programming, within the gap, wherever the rows are."""
    rng = np.random.default_rng(6)
    A = rng.normal(size=(n, Q)) * np.logspace(-3, 3, Q)
    A[:, -1] = 1.0
    found = []
    for rows in (InMemory(module, A), Asked(A)):
        problem = hinges(rows, A, l1)
        point = interior_point(problem, np.zeros(Q), 10.0, gone=np.inf, goal=1e-12)
        problem.certify(point)
        expected = least(A, problem)
        away = problem.value(point.z) - expected
        assert point.arrived
        assert away <= min(point.gap + point.defect, 1e-9) + 1e-11 * abs(expected)
        assert away >= -1e-9 * abs(expected)
        found.append(point.z)
    np.testing.assert_allclose(found[0] * problem.scales, found[1] * problem.scales, rtol=1e-6, atol=1e-9)


def test_rounding_is_what_it_is(module):
    """Sums over rows of large scale leave a rest that no iteration takes away: it is told from one that can be."""
    rng = np.random.default_rng(7)
    A = np.hstack([np.eye(8)[rng.integers(8, size=2000)], rng.normal(size=(2000, 2)) * 1e4, np.ones((2000, 1))])
    A[:, :-1] -= A[:, :-1].mean(axis=0)
    point = interior_point(hinges(InMemory(module, A), A, 1e-3), np.zeros(11), 1e4, gone=np.inf, goal=1e-14)
    assert point.settled
    assert point.gap <= 1e-14
    assert point.iterations <= 45


def test_far_from_where_it_began(module):
    """Given up."""
    A = np.column_stack([np.linspace(-1, 1, 50), np.ones(50)])
    problem = hinges(InMemory(module, A), A, 0.0)
    problem.positions[:] += 1e6
    assert not interior_point(problem, np.zeros(2), 1.0, gone=10.0, goal=1e-12).arrived


def test_what_is_fixed_stays(module):
    """A constant column, of which centring has left rounding."""
    rng = np.random.default_rng(8)
    A = np.column_stack([rng.choice([-1e-13, 1e-13], 200), rng.normal(size=(200, 3)), np.ones(200)])
    problem = hinges(InMemory(module, A), A, 1e-3)
    problem.fixed[0], problem.scales[0], problem.strengths[0] = True, 1.0, 2e-3
    point = interior_point(problem, np.zeros(5), 10.0, gone=np.inf, goal=1e-13)
    assert point.z[0] == 0
    assert np.all(point.z[1:] != 0)

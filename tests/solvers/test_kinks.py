"""Kinks near predictions, and steps by their density: against loops over all of them."""

import tracemalloc

import numpy as np
import pytest

from sklosses.data import as_rows
from sklosses.losses import EpsilonInsensitive, Hinge, Quantile
from sklosses.penalties import L1, L2, ElasticNet, NoPenalty
from sklosses.solvers import Newton, OneVsRest, Problem, _kinked
from sklosses.solvers._approach import bend_of
from sklosses.solvers._reading import Reading
from sklosses.solvers._sides import Sides

LOSSES = [Quantile(quantile=0.3), Hinge(), EpsilonInsensitive(epsilon=0.7)]


def sides_of(loss, n=700, weighted=True, seed=0):
    """Sides of random rows, predictions, and every kink as (number, position, jump)."""
    rng = np.random.default_rng(seed)
    y = rng.choice([-1.0, 1.0], size=n) if isinstance(loss, Hinge) else np.round(rng.normal(size=n), 1)
    weights = rng.choice([0.0, 1.0, 2.5], size=n) if weighted else None
    problem = Problem(as_rows(np.ones((n, 1))), y, ((loss, 1),), NoPenalty(), weights=weights)
    with Reading(problem) as reading:
        sides = Sides(reading, 0)
    positions, jumps = loss.kinks(y)
    jumps = jumps * (np.ones(n) if weights is None else weights) / (n if weights is None else weights.sum())
    return sides, rng.normal(size=n), positions, jumps


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("move", [0.01, 0.2])
def test_a_band_has_every_kink_within_reach(move, loss, weighted):
    sides, p, positions, jumps = sides_of(loss, weighted=weighted)
    reach = 1 + np.random.default_rng(1).exponential(size=len(p))
    band = sides.band(p, move, reach, 0)
    inside = (np.abs(p - positions) <= 3.0 * move * reach) & (jumps > 0)
    np.testing.assert_array_equal(np.transpose([band.kink, band.row]), np.argwhere(inside))
    more = sides.band(p, move, reach, 0, (None, sides.band(p, 3 * move, reach, 0)))
    np.testing.assert_array_equal(more.row, sides.band(p, 3 * move, reach, 0).row)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("fewest", [1, 50, 200])
def test_a_band_has_the_nearest_kinks_at_least(fewest, loss):
    sides, p, positions, jumps = sides_of(loss)
    band = sides.band(p, 1e-9, np.ones(len(p)), fewest)
    assert len(band.row) >= min(fewest, sides.count)
    distances = np.where(jumps > 0, np.abs(p - positions), np.inf)
    outside = np.ones(positions.shape, dtype=bool)
    outside[band.kink, band.row] = False
    assert distances[~outside].max() <= distances[outside].min()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_crossed_kinks_and_what_they_add(loss, weighted):
    sides, p, positions, jumps = sides_of(loss, weighted=weighted)
    after = p + np.random.default_rng(2).normal(size=len(p))
    band = sides.band(p, 0.1, np.ones(len(p)), 10)
    crossed, excess = sides.crossed(p, after, band)
    changed = ((p > positions) != (after > positions)) & (jumps > 0)
    changed[band.kink, band.row] = False
    np.testing.assert_array_equal(np.transpose([crossed.kink, crossed.row]), np.argwhere(changed))
    assert excess == pytest.approx((jumps * np.abs(after - positions))[changed].sum())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_slopes_without_a_band_and_left_of_all_kinks(loss, weighted):
    sides, p, positions, jumps = sides_of(loss, weighted=weighted)
    left = sides.without(np.full(len(p), -1e6), sides.band(p, 1e-9, np.ones(len(p)), 1), np.arange(len(p)))
    assert left.sum() == pytest.approx(sides.left)
    assert np.abs(left).sum() == pytest.approx(sides.left_sizes)
    band = sides.band(p, 0.1, np.ones(len(p)), 10)
    right = p > positions
    right[band.kink, band.row] = False
    rows = np.unique(band.row)
    np.testing.assert_allclose(sides.without(p, band, rows), (left + (jumps * right).sum(axis=0))[rows], atol=1e-15)


@pytest.mark.parametrize("cost", [0.0, 0.05])
@pytest.mark.parametrize("n", [300, 30_000])
@pytest.mark.parametrize("away", [0.0, 5.0])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_best_shift_is_no_worse_than_any_kink(loss, away, n, cost):
    sides, p, positions, jumps = sides_of(loss, n)
    p = p + away
    shift = sides.best_shift(p, cost)

    def slopes(t):
        """Of the mean loss and the cost, left and right of a shift."""
        at = p + t - positions
        tiny = 1e-9
        return (sides.left + cost + jumps[at > tiny].sum(), sides.left + cost + jumps[at >= -tiny].sum())

    low, high = slopes(shift)
    assert low <= 1e-12
    assert high >= -1e-12


def test_the_density_is_that_of_the_kinks():
    n = 40_000
    y = np.random.default_rng(0).normal(size=n)
    problem = Problem(as_rows(np.ones((n, 1))), y, ((Quantile(quantile=0.5), 1),), NoPenalty())
    with Reading(problem) as reading:
        sides = Sides(reading, 0)
        for p in (-1.0, 0.0, 1.5):
            density = sides.density(np.full(n, p), 2000)
            assert density.sum() == pytest.approx(np.exp(-p * p / 2) / np.sqrt(2 * np.pi), rel=0.1)
    flat = Problem(as_rows(np.ones((n, 1))), np.zeros(n), ((Quantile(quantile=0.5), 1),), NoPenalty())
    with Reading(flat) as reading:
        assert Sides(reading, 0).density(np.zeros(n), 2000) is None


@pytest.mark.parametrize("penalty", [NoPenalty(), L2(alpha=1e-3), L1(alpha=1e-2), ElasticNet(alpha=1e-2, l1_ratio=0.5)],
                         ids=repr)
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_steps_by_density_change_no_solution_and_narrow_the_bands(fit_intercept, penalty, monkeypatch):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60_000, 30)) * 10.0 ** rng.integers(-2, 4, size=30)
    y = (X / X.std(axis=0)) @ rng.normal(size=30) + rng.standard_t(3, size=len(X))
    problem = Problem(as_rows(X), y, ((Quantile(quantile=0.3), 1),), penalty, fit_intercept=fit_intercept)
    bands, interior_point = [], _kinked.interior_point

    def counted(hinges, *args, **kwargs):
        bands[-1].append(len(hinges.weights))
        return interior_point(hinges, *args, **kwargs)

    monkeypatch.setattr(_kinked, "interior_point", counted)
    results = []
    for steps in (bend_of, lambda *_: None):
        monkeypatch.setattr(_kinked, "bend_of", steps)
        bands.append([])
        results.append(Newton().solve(problem, tol=1e-8))
    assert results[0].objective == pytest.approx(results[1].objective, rel=1e-8)
    assert max(result.gap[0] for result in results) <= 1e-8
    _, *narrow = bands[0]       # of the first sample nothing is known
    assert max(narrow) < 0.5 * max(bands[1][1:])


@pytest.mark.parametrize("penalty", [NoPenalty(), L2(alpha=1e-2), L1(alpha=1e-5)], ids=repr)
@pytest.mark.parametrize("loss", [Hinge(), EpsilonInsensitive(epsilon=0.7)], ids=repr)
def test_a_feature_that_is_0_in_a_band_still_has_its_rows_outside(loss, penalty):
    rng = np.random.default_rng(0)
    n, rare = 20_000, 5
    X = rng.normal(size=(n, 6))
    X[rare:, 0] = 0.0
    X[:rare] = np.outer(1 + rng.random(rare), [1.0, 0, 0, 0, 0, 40.0])      # far from their kinks, all on one side
    p = X[:, 1:].sum(axis=1)
    y = p + 0.3 * rng.normal(size=n)
    y[:rare] = -100.0       # of a hinge: on the wrong side
    y = np.where(y > 0, 1.0, -1.0) if isinstance(loss, Hinge) else y
    result = Newton().solve(Problem(as_rows(X), y, ((loss, 1),), penalty, fit_intercept=False), tol=1e-3, max_iter=300)

    def objective(coef):
        return loss.value(y, X @ coef).mean() + penalty.value(coef[np.newaxis])[0]

    steps = np.concatenate([[0.0], np.geomspace(1e-6, 1e3, 300)])
    least = min(objective(result.coef[0] + step * np.eye(6)[0]) for step in np.concatenate([steps, -steps]))
    assert result.gap[0] <= 1e-3
    assert result.objective[0] <= least * (1 + result.gap[0] + 1e-12)


def test_a_bound_above_the_objective_by_rounding_is_no_failure():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(250, 60))
        y = np.where(np.arange(250) < 2, 1.0, -1.0)     # apart: of the loss next to nothing is left
        weights = np.where(y > 0, 62.0, 0.5)
        problem = Problem(as_rows(X), y, ((Hinge(), 1),), L2(alpha=1e-8), weights=weights)
        result = Newton().solve(problem, tol=1e-3, max_iter=100)
        assert result.converged
        assert result.gap[0] <= 1e-3


def test_a_band_that_is_too_narrow_to_prove_anything_is_widened(monkeypatch):
    """Where a round does not move, and its kinks do not meet the dual's conditions, there is another one."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 5))
    y = np.where(X.sum(axis=1) + rng.logistic(size=len(X)) > 0, 1.0, -1.0)
    problem = Problem(as_rows(X), y, ((Hinge(), 1),), L2(alpha=1e-3), fit_intercept=False)
    solve, rounds = _kinked.KinkedColumn._solve, []

    def in_vain(self, stage, here, band, move):
        found = solve(self, stage, here, band, move)
        if stage.reading.n_rows == len(X):
            rounds.append(len(band.row))
            if len(rounds) == 1:
                found.z, found.defect = self.centred(here), np.inf
        return found

    monkeypatch.setattr(_kinked.KinkedColumn, "_solve", in_vain)
    result = Newton().solve(problem, tol=1e-4)
    assert len(rounds) > 1
    assert result.gap[0] <= 1e-4


def test_classes_of_different_weights_keep_no_copy_of_the_table_each():
    rng = np.random.default_rng(0)
    X, classes = rng.normal(size=(300, 100)), rng.integers(0, 25, size=300).astype(float)
    weights = 1 + rng.random((25, 2))
    problem = Problem(as_rows(X), classes, ((Hinge(), 25),), L2(1e-2), one_vs_rest=OneVsRest((-1.0, 1.0), weights))
    tracemalloc.start()
    result = Newton(n_jobs=1).solve(problem, tol=1e-2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.converged
    assert peak < 20 * X.nbytes


def test_threads_change_no_bit_where_bands_have_all_rows():
    rng = np.random.default_rng(0)
    X = rng.standard_t(1.2, size=(8000, 4))
    y = np.array([(X[:, 0] > 0) + (X[:, k] > k) for k in range(4)]).T - 1.0
    problem = Problem(as_rows(X), y, ((EpsilonInsensitive(epsilon=0.1), 4),), L2(1e-6))
    one, *others = (Newton(n_jobs=n_jobs).solve(problem, tol=1e-5) for n_jobs in (1, 2, 3))
    for other in others:
        np.testing.assert_array_equal(one.coef, other.coef)
        np.testing.assert_array_equal(one.gap, other.gap)

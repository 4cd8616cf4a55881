"""The block: what each column alone gives, proven, whatever its neighbours, threads, layout and folds."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from sklosses._isa import available_levels
from sklosses.data import as_rows
from sklosses.losses import get_loss
from sklosses.penalties import get_penalty
from sklosses.solvers import Auto, OneVsRest, Problem, solve_many
from sklosses.solvers._block import Block
from sklosses.solvers._block_reading import (
    FIRST,
    SLACK,
    SMOOTH,
    SQUARE,
    STEEPNESS,
    VALUE,
    WEIGHT,
    Ask,
    BlockReading,
    Cell,
)
from sklosses.solvers._patterns import patterns

N, D = 50_000, 50        # beyond the size up to which problems are solved one by one

CLASSIFIERS = ("hinge", "log_loss", "squared_hinge", "modified_huber", "exponential", "smoothed_hinge")
REGRESSORS = ("squared_error", "absolute_error", "huber", "quantile", "epsilon_insensitive", "poisson", "log_cosh",
              "squared_epsilon_insensitive", "expectile")


@pytest.fixture(scope="module")
def table():
    """Raw features: scales from 1e-3 to 1e3, means beside 0, a rare column; labels and counts."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D)) * np.logspace(-3, 3, D) + np.where(np.arange(D) % 3 == 0, np.logspace(-3, 3, D), 0)
    X[:, 7] = rng.random(N) < 1e-3
    signal = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=D) / np.sqrt(D)
    labels = np.where(signal + rng.logistic(size=N) > 0.5, 1.0, -1.0)
    counts = rng.poisson(np.exp(0.3 * signal)).astype(float)
    return X, labels, counts


def _problem(X, table, name, penalty="l2", **changes):
    _, labels, counts = table
    loss = get_loss(name)
    y = counts if name in REGRESSORS else np.where(labels > 0, *reversed(loss.target.codes))
    problem = Problem(as_rows(X), y, ((loss, 1),), get_penalty(penalty, alpha=1e-3, l1_ratio=0.5))
    return replace(problem, **changes)


def _folds(k=3):
    return [np.flatnonzero(np.arange(N) % k != fold) for fold in range(k)]


@pytest.mark.parametrize("name", CLASSIFIERS + REGRESSORS)
@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
def test_proven_and_true(table, name, penalty):
    """The objective is within the gap of the minimum that Newton's method finds alone, on every fold."""
    base = _problem(table[0], table, name, penalty)
    problems = [replace(base, subset=subset) for subset in _folds(2)]
    for problem, result in zip(problems, solve_many(problems), strict=True):
        assert result.gap[0] <= 1e-3
        alone = Auto().solve(problem, tol=1e-8)
        lowest = alone.objective * (1 - 2e-8)
        assert result.objective[0] <= lowest[0] + abs(lowest[0]) * (result.gap[0] / (1 + result.gap[0]) + 1e-7)
        _reported(problem, result)


def _reported(problem, result):
    """The objective is that of the coefficients."""
    X = problem.rows.array if hasattr(problem.rows, "array") else sparse.csr_array(
        (problem.rows.data, problem.rows.indices, problem.rows.indptr), shape=problem.rows.shape)
    rows = slice(None) if problem.subset is None else problem.subset
    p = X[rows] @ result.coef[0] + result.intercept[0]
    if problem.offset is not None:
        p = p + problem.offset[rows]
    weights = None if problem.weights is None else problem.weights[rows]
    loss = problem.losses[0][0].value(problem.targets[rows], p)
    expected = np.average(loss, weights=weights) + problem.penalty.value(result.coef)[0]
    np.testing.assert_allclose(result.objective[0], expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["hinge", "epsilon_insensitive"])
def test_wide_kinks(name):
    """With hundreds of features strengths start from each other, in whatever order they come."""
    rng = np.random.default_rng(6)
    X = rng.normal(size=(8000, 140)) * np.logspace(-1, 1, 140)
    y = np.where(X @ np.logspace(1, -1, 140) + 20 * rng.logistic(size=8000) > 0, 1.0, -1.0)
    base = Problem(as_rows(X), y, ((get_loss(name), 1),), get_penalty("l2", alpha=1e-2))
    folds = [np.flatnonzero(np.arange(8000) % 2 == fold) for fold in range(2)]
    problems = [replace(base, penalty=get_penalty("l2", alpha=alpha), subset=subset)
                for alpha in (1e-3, 1.0, 1e-1, 1e-2) for subset in folds]
    results, turned = solve_many(problems), solve_many(problems[::-1], n_jobs=1)[::-1]
    assert [result.solver for result in results] == ["block"] * 8
    for problem, result, other in zip(problems, results, turned, strict=True):
        exact = Auto().solve(problem, tol=1e-8)
        assert exact.objective[0] * (1 - 1e-8) <= result.objective[0] <= exact.objective[0] * (1 + result.gap[0] + 1e-7)
        assert result.gap[0] <= 1e-3
        assert np.array_equal(result.coef, other.coef)


def test_mostly_by_the_block(table):
    """Most of a grid is proven while the table is read for all."""
    rows, folds = as_rows(table[0]), _folds()
    candidates = [_problem(rows, table, name) for name in ("hinge", "log_loss", "modified_huber")]
    problems = [replace(candidate, penalty=get_penalty("l2", alpha=alpha), subset=subset)
                for candidate in candidates for alpha in (1e-4, 1e-3, 1e-2) for subset in folds]
    results = solve_many(problems)
    assert sum(result.solver == "block" for result in results) >= 24
    assert all(result.gap[0] <= 1e-3 for result in results)


@pytest.mark.parametrize("layout", ["f", "float32", "csr", "strided"])
def test_layouts(table, layout):
    X = table[0]
    made = {"f": np.asfortranarray, "float32": np.float32, "csr": sparse.csr_array,
            "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2]}[layout](X)
    wide, folds = np.float64(np.float32(X)) if layout == "float32" else X, _folds()
    first, second = _problem(made, table, "log_loss"), _problem(wide, table, "log_loss")
    problems, plain = ([replace(base, subset=subset) for subset in folds] for base in (first, second))
    for one, other in zip(solve_many(problems), solve_many(plain), strict=True):
        assert one.solver == "block"
        np.testing.assert_allclose(one.objective, other.objective, rtol=1e-6)


def test_weights_offset_and_no_intercept(table):
    rng = np.random.default_rng(1)
    weights, offset = rng.integers(0, 4, N).astype(float), rng.normal(size=N)
    for changes in ({"weights": weights}, {"offset": offset}, {"fit_intercept": False},
                    {"weights": weights, "offset": offset}):
        base = _problem(table[0], table, "huber", **changes)
        problems = [replace(base, subset=subset) for subset in _folds(2)]
        for problem, result in zip(problems, solve_many(problems), strict=True):
            assert result.solver == "block"
            _reported(problem, result)
            np.testing.assert_allclose(result.objective, Auto().solve(problem, tol=1e-8).objective, rtol=1e-3)


def test_one_vs_rest(table):
    """Columns of classes, with weights of classes, on folds."""
    X = table[0]
    numbers = np.digitize(table[2], [0.5, 1.5]).astype(float)
    weight = np.array([[1.0, 2.0], [1.0, 1.0], [0.5, 3.0]])
    base = Problem(as_rows(X), numbers, ((get_loss("log_loss"), 3),), get_penalty("l2", alpha=1e-3),
                   one_vs_rest=OneVsRest((0.0, 1.0), weight))
    problems = [replace(base, subset=subset) for subset in _folds(2)]
    for problem, result in zip(problems, solve_many(problems), strict=True):
        assert result.solver == "block"
        alone = Auto().solve(problem, tol=1e-8)
        assert np.all(result.gap <= 1e-3)
        assert np.all(result.objective <= alone.objective * (1 + result.gap))


def test_labels(table):
    """An indicator: any number of classes a row, each column with its own."""
    X, labels, counts = table
    indicator = np.column_stack([labels > 0, counts > 0, counts > 1]).astype(float)
    problem = Problem(as_rows(X), indicator, ((get_loss("log_loss"), 3),), get_penalty("l2", alpha=1e-3),
                      one_vs_rest=OneVsRest((0.0, 1.0), np.ones((3, 2))))
    [result] = solve_many([problem])
    assert result.solver == "block"
    np.testing.assert_allclose(result.objective, Auto().solve(problem, tol=1e-8).objective, rtol=1e-3)
    for k in range(3):
        assert np.mean((X @ result.coef[k] + result.intercept[k] > 0) == indicator[:, k]) > 0.5


def test_several_targets(table):
    """Columns of targets, and candidates that do not share theirs."""
    X, labels, counts = table
    both = np.column_stack([counts, labels])
    rows = as_rows(X)
    several = Problem(rows, both, ((get_loss("huber"), 2),), get_penalty("l2", alpha=1e-3))
    one = Problem(rows, counts, ((get_loss("poisson"), 1),), get_penalty("l2", alpha=1e-2))
    first, second = solve_many([several, one])
    assert first.solver == second.solver == "block"
    for k in range(2):
        alone = Auto().solve(replace(several, targets=both[:, k], losses=((get_loss("huber"), 1),)), tol=1e-8)
        np.testing.assert_allclose(first.objective[k], alone.objective[0], rtol=1e-3)


def test_neighbours_and_threads_change_nothing(table):
    """Bit for bit: alone with another candidate, in any order, on any number of threads."""
    rows, folds = as_rows(table[0]), _folds()
    losses = [_problem(rows, table, name) for name in ("log_loss", "squared_hinge")]
    grid = [replace(problem, penalty=get_penalty("l2", alpha=alpha)) for problem in losses for alpha in (1e-4, 1e-2)]
    problems = [replace(problem, subset=subset) for subset in folds for problem in grid]
    whole = solve_many(problems, n_jobs=2)
    alone = solve_many(problems[0::4] + problems[1::4], n_jobs=1)
    turned = solve_many(problems[::-1], n_jobs=1)[::-1]
    for one, other in zip(whole[0::4] + whole[1::4], alone, strict=True):
        np.testing.assert_array_equal(one.coef, other.coef)
    for one, other in zip(whole, turned, strict=True):
        np.testing.assert_array_equal(one.coef, other.coef)


def test_folds_do_not_know_what_they_leave_out():
    """Held-out rows whose labels are noise are predicted by chance: no fold keeps what all rows have taught."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(30_000, 60))
    y = rng.permutation(np.repeat([-1.0, 1.0], 15_000))
    rows, folds = as_rows(X), [np.flatnonzero(np.arange(30_000) % 10 != fold) for fold in range(10)]
    problem = Problem(rows, y, ((get_loss("squared_hinge"), 1),), get_penalty("l2", alpha=1e-4))
    results = solve_many([replace(problem, subset=subset) for subset in folds])
    right = np.zeros(30_000, dtype=bool)
    for subset, result in zip(folds, results, strict=True):
        out = np.setdiff1d(np.arange(30_000), subset)
        right[out] = (X[out] @ result.coef[0] + result.intercept[0]) * y[out] > 0
    # 60 coefficients fitted to all rows are right in about 0.518 of them; the standard error is 0.003.
    assert abs(right.mean() - 0.5) < 0.011


@pytest.mark.parametrize("kind", ["overlapping", "in time", "with a row twice", "many"])
def test_any_folds(table, kind):
    rng = np.random.default_rng(3)
    subsets = {
        "overlapping": [np.sort(rng.permutation(N)[: N // 2]) for _ in range(3)],
        "in time": [np.arange(stop) for stop in (N // 3, N // 2, N - 100)],
        "with a row twice": [np.sort(rng.integers(0, N, N)) for _ in range(2)],
        "many": [np.sort(rng.permutation(N)[: N // 2]) for _ in range(12)],
    }[kind]
    base = _problem(table[0], table, "log_loss")
    problems = [replace(base, subset=subset) for subset in subsets]
    for problem, result in zip(problems, solve_many(problems), strict=True):
        _reported(problem, result)
        assert result.gap[0] <= 1e-3


def test_patterns():
    """Every row once, with the rows of its kind; masks say which folds train on them."""
    rng = np.random.default_rng(4)
    n, folds = 40_000, [np.sort(rng.permutation(40_000)[:20_000]) for _ in range(4)]
    found = patterns(n, folds)
    inside = np.array([np.isin(np.arange(n), fold) for fold in folds])
    assert sorted(found.order) == list(np.flatnonzero(inside.any(axis=0)))
    start = 0
    for p, stop in enumerate(found.ends):
        rows = found.order[start:stop]
        assert np.all(inside[:, rows] == (found.masks[:, p, None] > 0))
        start = stop
    assert patterns(10, [np.array([0, 0, 1]), np.array([2])]) is None


@pytest.mark.parametrize("level", available_levels())
@pytest.mark.parametrize("name", ["hinge", "quantile", "squared_hinge", "log_loss"])
def test_readings(monkeypatch, name, level):
    """What a reading finds, by NumPy; columns alone find the same bit for bit."""
    from sklosses import _isa
    from sklosses.solvers import _block_reading

    kernel_name = "sklosses.solvers._block_kernel" + ("" if level == "baseline" else f"_{level}")
    monkeypatch.setattr(_block_reading, "_kernel", _isa.import_module(kernel_name))
    rng = np.random.default_rng(5)
    n, d = 700, 13
    X, loss = rng.normal(size=(n, d)), get_loss(name)
    y = rng.choice(loss.target.codes, n) if loss.target.hard or name == "log_loss" else rng.normal(size=n)
    weights, centre = rng.random(n), rng.normal(size=d)
    order, ends = rng.permutation(n)[:600], np.array([200, 600])
    problem = Problem(as_rows(X), y, ((loss, 1),), get_penalty("none"), weights=weights)
    width = None if loss.traits.smooth else 0.7
    asks = [Ask(Cell(loss, 0.0, 1.0, mask), rng.normal(size=d + 1), width)
            for mask in (np.array([1.0, 0.0]), np.array([1.0, 1.0]), np.array([0.0, 1.0]))]
    with ThreadPoolExecutor(2) as pool:
        reading = BlockReading(problem, y[np.newaxis], order, ends, centre, pool)
        looks, grams = reading.look(asks), reading.grams(asks)
        alone, both = reading.look(asks[1:2])[0], reading.read(asks[:2], asks[1:])
        by_pattern = reading.look(asks, by_pattern=True), reading.grams(asks, by_pattern=True)
    np.testing.assert_array_equal(alone, looks[1])
    np.testing.assert_array_equal(both[0], looks[:2])
    np.testing.assert_array_equal(both[1], grams[1:])
    for whole, parts in zip((looks, grams), by_pattern, strict=True):
        np.testing.assert_allclose([part.sum(axis=0) for part in parts], whole, rtol=1e-11, atol=1e-10)
    smooth = loss if width is None else loss.smoothed(width)
    A = np.column_stack([X - centre, np.ones(n)])[order]
    for ask, look, gram in zip(asks, looks, grams, strict=True):
        s, t, p = weights[order] * np.repeat(ask.cell.mask, [200, 400]), y[order], A @ ask.z
        u = smooth.gradient(t, p)
        expected = {WEIGHT: s, SMOOTH: s * smooth.value(t, p), VALUE: s * loss.value(t, p), STEEPNESS: s * np.abs(u),
                    SQUARE: s * u * u}
        if width is not None:
            expected[SLACK] = s * (loss.value(t, p) + loss.conjugate(t, u) - u * p)
        for place, values in expected.items():
            np.testing.assert_allclose(look[place], values.sum(), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(look[FIRST:], A.T @ (s * u), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(gram, (A * (s * smooth.hessian(t, p))[:, None]).T @ A, rtol=1e-10, atol=1e-10)


def test_what_overflows_spoils_nothing_else(table):
    """A table whose squares overflow ends in errors of its own."""
    huge = table[0].copy()
    huge[5, 3] = 1e200
    rows = as_rows(huge)
    base, folds = _problem(table[0], table, "squared_hinge"), _folds(2)
    problems = [replace(base, rows=rows, subset=subset) for subset in folds]
    good = [replace(base, subset=subset) for subset in folds]
    results = solve_many(problems + good)
    assert all(isinstance(result, ValueError) or not result.gap[0] <= 1e-3 or result.gap[0] >= 0
               for result in results[:2])
    assert all(result.gap[0] <= 1e-3 for result in results[2:])


def test_targets_are_read_where_they_are(table):
    """A block copies no column of targets."""
    rows, n = as_rows(table[0]), 8
    problems = [_problem(rows, table, "hinge") for _ in range(n)]       # eight arrays
    tracemalloc.start()
    with Block(problems, patterns(N, _folds(2)), tol=1e-3, random_state=0, n_threads=1) as block:
        held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(block.targets) == n
    assert held < 4 * 8 * N


def test_folds_know_how_their_own_rows_bend(table, monkeypatch):
    """Where samples did not tell how a smooth candidate bends, each fold begins with second derivatives of its rows."""
    rng, begun, begin = np.random.default_rng(7), [], Block._folds
    X = table[0].copy()
    X[:, 10:30] = rng.random((N, 20)) < 1e-3        # samples have few of each code
    labels = np.where(rng.random(N) < 0.9, np.where(X[:, 10:30].any(axis=1), 1.0, table[1]), -1.0)

    def kept(self, reading, base):
        columns = begin(self, reading, base)
        begun.append((self.centre, [(column.z, column.patient, column.metric.matrix) for (column,) in columns]))
        return columns

    monkeypatch.setattr(Block, "_folds", kept)
    base, folds = _problem(X, (X, labels, table[2]), "log_loss"), _folds()
    base = replace(base, penalty=get_penalty("l2", alpha=1e-8))
    results = solve_many([replace(base, subset=subset) for subset in folds])
    assert all(result.gap[0] <= 1e-3 for result in results)
    (centre, columns), = begun
    for subset, (z, patient, matrix) in zip(folds, columns, strict=True):
        assert patient
        rows = np.column_stack([X[subset] - centre, np.ones(len(subset))])
        bends = get_loss("log_loss").hessian(base.targets[subset], rows @ z)
        expected = (rows.T * bends) @ rows / len(subset) + np.diag(np.append(np.full(D, 1e-8), 0.0))
        np.testing.assert_allclose(matrix, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())

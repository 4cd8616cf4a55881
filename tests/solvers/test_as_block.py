"""Single problems that are solved as a block: which they are, and that they come to the same minimum."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from sklosses._isa import kernel
from sklosses.data import as_rows
from sklosses.losses import get_loss
from sklosses.penalties import get_penalty
from sklosses.solvers import Auto, Newton, OneVsRest, Problem, _as_block, _block, _own_rows
from sklosses.solvers._lone_column import LoneColumn
from sklosses.solvers._patterns import patterns

_kernel = kernel("sklosses.solvers._interior_kernel")


def classes(n_classes, loss, n=6000, d=20):
    """Gaussian classes, one against the rest."""
    rng = np.random.default_rng(0)
    codes = rng.integers(n_classes, size=n)
    X = (rng.normal(size=(n, d)) + 1.5 * rng.normal(size=(n_classes, d))[codes]) * np.logspace(-2, 2, d)
    loss = get_loss(loss)
    recoding = OneVsRest(tuple(map(float, loss.target.codes)), np.ones((n_classes, 2)))
    return Problem(as_rows(X), codes.astype(float), ((loss, n_classes),), get_penalty("l2", alpha=1e-3),
                   one_vs_rest=recoding)


def wide(loss, n=6000, d=130):
    """More features than the block gives a matrix of its own."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, d)) * np.logspace(-1, 1, d)
    y = np.where(X @ np.logspace(1, -1, d) + 20 * rng.logistic(size=n) > 0, 1.0, -1.0)
    return Problem(as_rows(X), y, ((get_loss(loss), 1),), get_penalty("l2", alpha=1e-2))


@pytest.mark.parametrize("problem", [classes(6, "log_loss"), classes(5, "squared_hinge"), wide("hinge"),
                                     wide("epsilon_insensitive")], ids=["log", "squared hinge", "hinge", "epsilon"])
def test_minimum(problem):
    """A proof that holds: no objective is further from the exact solver's than it says."""
    result, exact = Auto().solve(problem, tol=1e-3), Newton().solve(problem, tol=1e-9)
    assert result.solver == "block"
    assert set(result.gap_kind) == {"proof"}
    assert np.all(result.gap <= 1e-3)
    assert np.all(result.objective <= exact.objective * (1 + result.gap + 1e-9))
    assert np.all(result.objective >= exact.objective * (1 - 1e-8))


@pytest.mark.parametrize("indicator", [False, True])
def test_classes_left(monkeypatch, indicator):
    """Classes that a block does not prove in the readings that it has are solved, and no others."""
    problem = classes(6, "hinge")
    weights = np.random.default_rng(3).uniform(1, 2, size=(6, 2))
    problem = replace(problem, one_vs_rest=replace(problem.one_vs_rest, class_weight=weights))
    if indicator:
        problem = replace(problem, targets=(problem.targets[:, np.newaxis] == np.arange(6)).astype(float))
    budgets = iter([100, 100, 100, 1, 100, 1])      # on all rows, where each class comes once
    monkeypatch.setattr(_block, "_budget", lambda column, _: next(budgets) if column.stage.exact else 30)
    result, exact = Auto().solve(problem, tol=1e-3), Newton().solve(problem, tol=1e-9)
    assert result.solver == "block, interior point"
    assert np.all(result.gap <= 1e-3)
    left = [3, 5]
    alone = Newton(thorough=False).solve(_as_block._classes(problem, np.array(left)), tol=1e-3)
    assert np.array_equal(np.all(result.coef == np.insert(alone.coef, [0, 0, 0, 1], np.nan, axis=0), axis=1),
                          np.isin(np.arange(6), left))
    assert result.objective == pytest.approx(exact.objective, rel=1e-3)
    assert np.array_equal(result.state.coef, result.coef)
    assert np.array_equal(result.history["gap"][-1], result.gap)


@pytest.mark.parametrize("given", [{"tol": 1e-9}, {"tol": 0.0}, {"max_iter": 5}], ids=str)
def test_elsewhere(given):
    """Precision, and a limit of readings, are Newton's matters."""
    assert Auto().solve(classes(4, "log_loss"), **{"tol": 1e-3} | given).solver == "newton"


def test_others():
    """Nor is a block made of few classes, of few rows, or without a penalty to prove anything by."""
    assert Auto().solve(classes(3, "log_loss")).solver == "newton"
    assert Auto().solve(wide("hinge", n=1500)).solver == "interior point"
    assert Auto().solve(replace(wide("hinge", n=1500), penalty=get_penalty(None))).solver == "interior point"


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads(n_threads):
    """Bit for bit."""
    problem = wide("hinge")
    assert np.array_equal(Auto(n_jobs=n_threads).solve(problem).coef, Auto(n_jobs=3).solve(problem).coef)


# Tables of few numbers: each class has the rows to itself -------------------------------------------------------------

@pytest.mark.parametrize("given", ["weights", "offset", "no intercept", "f", "float32", "csr", "subset", "l1", "weak"])
def test_alone(given):
    """Whatever the rows are, classes are proven, and truly."""
    problem = classes(5, "hinge")
    X, rng = problem.rows.array, np.random.default_rng(7)
    changes = {
        "weights": {"weights": rng.integers(0, 3, size=len(X)).astype(float)},
        "offset": {"offset": rng.normal(size=len(X))},
        "no intercept": {"fit_intercept": False},
        "f": {"rows": as_rows(np.asfortranarray(X))},
        "float32": {"rows": as_rows(X.astype(np.float32))},
        "csr": {"rows": as_rows(sparse.csr_array(np.where(np.abs(X) > np.median(np.abs(X), axis=0), X, 0.0)))},
        "subset": {"subset": np.sort(rng.permutation(len(X))[:5500])},
        "l1": {"penalty": get_penalty("elasticnet", alpha=1e-3, l1_ratio=0.5)},
        "weak": {"penalty": get_penalty("l2", alpha=1e-7)},
    }
    problem = replace(problem, **changes[given])
    result, exact = Auto().solve(problem, tol=1e-3), Newton().solve(problem, tol=1e-9)
    assert "block" in result.solver
    assert np.all(result.gap <= 1e-3)
    assert np.all(result.objective <= exact.objective * (1 + result.gap + 1e-8))
    assert np.all(result.objective >= exact.objective * (1 - 1e-8))


def test_alone_whatever_the_threads():
    """Bit for bit."""
    problem = classes(12, "hinge", n=20_000)
    results = [Auto(n_jobs=n_threads).solve(problem, tol=1e-3) for n_threads in (1, 2, 4)]
    assert results[0].solver.startswith("block")
    for result in results[1:]:
        assert np.array_equal(result.coef, results[0].coef)
        assert np.array_equal(result.gap, results[0].gap)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("l1", [0.0, 0.02])
def test_steps_alone_lead_down(weighted, l1):
    """The share of a step is where the objective along it is least, about; 0 of a step that leads up."""
    rng, loss, l2 = np.random.default_rng(7), get_loss("hinge"), 1e-2
    X, step = np.hstack([rng.normal(size=(700, 3)), np.ones((700, 1))]), rng.normal(size=4)
    y, weight = np.sign(rng.normal(size=700)), rng.uniform(size=700) if weighted else np.ones(700)
    z = np.array([0.3, 0.0, -0.2, 0.1])
    design = _kernel.Design(700, 4)
    design.rows[:] = X
    smoothed = _kernel.Smoothed(design, loss, (y, weight if weighted else None, None), l1, l2, weight.sum())
    width, zero = 0.3, np.zeros(4)

    def objective(z):
        value = loss.smoothed(width).value(y, X @ z)
        return weight @ value / weight.sum() + 0.5 * l2 * z[:3] @ z[:3] + l1 * np.abs(z[:3]).sum()

    smoothed.look(loss.smoothed(width), z)
    if objective(z + 1e-6 * step) > objective(z):
        step = -step
    assert smoothed.follow(-step)[0] == 0
    share, there, found, matrix = smoothed.follow(step)
    assert there == pytest.approx(z + share * step)
    around = [objective(z + t * step) for t in share * np.array([0.0, 0.5, 1.0, 2.0])]
    assert around[2] < around[0]
    assert around[2] <= min(around[1], around[3]) + 0.1 * (around[0] - around[2])
    for a, b in zip(smoothed.look(loss.smoothed(width), there), (found, matrix), strict=True):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-9)
    assert smoothed.look(loss.smoothed(width), there + zero)[0] == pytest.approx(found)
    hessian = weight * loss.smoothed(width).hessian(y, X @ there)
    assert matrix == pytest.approx((X.T * hessian) @ X)
    assert found[6:] == pytest.approx(X.T @ (weight * loss.smoothed(width).gradient(y, X @ there)))
    assert found[2] == pytest.approx(weight @ loss.value(y, X @ there))


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_descends_to_the_minimum_alone(weighted, intercept):
    """Newton's steps without Python in between come to where the smoothed objective's slopes are 0."""
    rng, loss, l2, width = np.random.default_rng(8), get_loss("hinge"), 1e-2, 2.0
    X = rng.normal(size=(900, 5))
    y = np.sign(X[:, 0] + 0.5 * rng.normal(size=900))
    X[:, -1] = intercept
    weight = rng.integers(0, 3, size=900).astype(float) if weighted else np.ones(900)
    design, smooth = _kernel.Design(900, 5), loss.smoothed(width)
    design.rows[:] = X
    smoothed = _kernel.Smoothed(design, loss, (y, weight if weighted else None, None), 0.0, l2, weight.sum())
    smoothed.look(smooth, np.zeros(5))
    made, share, z, found, _ = smoothed.descend(np.zeros((2, 5)), (0.0, 1e-18), 40)
    assert 1 < made < 40
    assert share > 0.25
    slopes = X.T @ (weight * smooth.gradient(y, X @ z)) / weight.sum() + l2 * z * [1, 1, 1, 1, 0]
    assert slopes == pytest.approx(np.zeros(5), abs=1e-9)
    assert found[6:] == pytest.approx(X.T @ (weight * smooth.gradient(y, X @ z)), abs=1e-9)


def test_the_rest_is_linear():
    """Rows that are far from their kinks count on, while others are looked at: exactly, if none comes near."""
    rng, loss, width = np.random.default_rng(9), get_loss("hinge"), 0.1
    smooth, X, y = loss.smoothed(width), rng.normal(size=(800, 4)), np.sign(rng.normal(size=800))
    X[:, -1] = 1
    z, weight = rng.normal(size=4), rng.uniform(size=800)
    near = np.flatnonzero(np.abs(1 - y * (X @ z)) <= 0.5)
    assert 50 < len(near) < 400
    design = _kernel.Design(800, 4)
    design.rows[:] = X
    whole = _kernel.Smoothed(design, loss, (y, weight, None), 0.01, 0.02, weight.sum())
    part = _kernel.Smoothed(design.some(near), loss, (y[near], weight[near], None), 0.01, 0.02, weight.sum())
    found, _ = whole.look(smooth, z)
    part.look(smooth, z)
    part.take_rest(found)
    step = 1e-2 * rng.normal(size=4)
    assert np.abs(X @ step).max() < 0.4
    for other, own in zip(part.look(smooth, z + step), whole.look(smooth, z + step), strict=True):
        assert other == pytest.approx(own, rel=1e-10, abs=1e-10)


def test_rows_alone_are_few():
    """Where most rows are far from their kinks, most looks are at the others; the proof is of all."""
    rng, sizes = np.random.default_rng(10), []
    X = rng.normal(size=(30_000, 8))
    codes = np.argmax(X @ rng.normal(size=(8, 6)) + 0.2 * rng.gumbel(size=(30_000, 6)), axis=1)
    problem = replace(classes(6, "hinge"), rows=as_rows(X), targets=codes.astype(float))
    near = _own_rows.OwnSight.near

    def kept(self, *given):
        part = near(self, *given)
        sizes.append(1.0 if part is None else part.share)
        return part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_own_rows.OwnSight, "near", kept)
        result, exact = Auto(n_jobs=2).solve(problem, tol=1e-3), Newton().solve(problem, tol=1e-9)
    assert min(sizes) < 0.3
    assert result.solver.startswith("block")
    assert np.all(result.gap <= 1e-3)
    assert np.all(result.objective <= exact.objective * (1 + result.gap + 1e-8))


def test_a_part_proves_nothing(monkeypatch):
    """A column that ends while it looks at some of its rows is not proven, whatever they say."""
    problem, tol, ended = classes(6, "hinge", n=20_000), 1e-3, []
    go_down = LoneColumn._go_down

    def interrupted(self, sight, *given):
        go_down(self, sight, *given)
        if sight.share < 1 and self.gap <= tol:
            ended.append(self)
            raise OverflowError

    monkeypatch.setattr(LoneColumn, "_go_down", interrupted)
    with _block.Block([problem], patterns(20_000, [None]), tol=tol, random_state=0, n_threads=1) as block:
        block.solve()
    assert ended
    assert all(column.gap == np.inf for column in ended)


# Several quantiles of one target --------------------------------------------------------------------------------------

def quantiles(n=60_000, d=20, **given):
    """Heavy tails, features of all scales."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, d))
    y = X @ rng.normal(size=d) + (1 + 0.3 * np.abs(X[:, 0])) * rng.standard_t(3, size=n)
    loss = get_loss("quantile", quantile=np.array([0.05, 0.3, 0.5, 0.9, 0.99]))
    return Problem(**{"rows": as_rows(X * np.logspace(-2, 2, d)), "targets": y, "losses": ((loss, 5),),
                      "penalty": get_penalty("l2", alpha=1e-4)} | given)


@pytest.mark.parametrize("weighted", [False, True])
def test_quantiles_together(weighted):
    """Proven together, truly, whatever the number of threads."""
    given = {"weights": np.random.default_rng(6).integers(0, 3, size=60_000).astype(float)} if weighted else {}
    problem = quantiles(**given)
    results = [Auto(n_jobs=n_threads).solve(problem, tol=1e-3) for n_threads in (1, 2)]
    exact = Newton().solve(problem, tol=1e-9)
    assert results[0].solver == "block"
    assert np.array_equal(results[0].coef, results[1].coef)
    assert np.all(results[0].gap <= 1e-3)
    assert np.all(results[0].objective <= exact.objective * (1 + results[0].gap + 1e-9))
    assert np.all(results[0].objective >= exact.objective * (1 - 1e-8))


def test_quantiles_elsewhere():
    """Few rows, an l1 penalty, or a target that many rows have: the interior point method's matters."""
    y = np.maximum(quantiles().targets, 0.0)
    for given in ({"n": 20_000}, {"penalty": get_penalty("l1", alpha=1e-3)}, {"targets": y}):
        result = Auto().solve(quantiles(**given), tol=1e-3)
        assert result.solver == "interior point"
        assert np.all(result.gap <= 1e-3)

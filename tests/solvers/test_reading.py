"""Readings of a table: what NumPy finds, in any layout, at every instruction-set level, on any number of threads."""

import numpy as np
import pytest

from random_tables import LAYOUTS, layouts
from sklosses import _isa
from sklosses._isa import available_levels
from sklosses.data import as_rows
from sklosses.losses import get_loss
from sklosses.penalties import NoPenalty
from sklosses.solvers import OneVsRest, Problem, _reading
from sklosses.solvers._reading import Reading

N, D = 1203, 21


def problem(layout, dtype=np.float64, *, name="log_loss", subset=None):
    rng = np.random.default_rng(3)
    X = (rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.5)).astype(np.float32)
    y, weights = (rng.random(N) < 0.3).astype(float), rng.integers(0, 3, N).astype(float)
    rows = as_rows(LAYOUTS[layout](X.astype(dtype)))
    taken = slice(None) if subset is None else subset
    given = Problem(rows, y, ((get_loss(name), 1),), NoPenalty(), weights=weights, offset=rng.normal(size=N),
                    subset=subset)
    return given, X.astype(float)[taken], y[taken], weights[taken], given.offset[taken]


@pytest.fixture(params=available_levels(), autouse=True)
def level(request, monkeypatch):
    suffix = "" if request.param == "baseline" else f"_{request.param}"
    monkeypatch.setattr(_reading, "_kernel", _isa.import_module("sklosses.solvers._reading_kernel" + suffix))


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", layouts("float32", "csr32", "csr32_int64"))
def test_what_readings_find(layout, dtype, part):
    subset = np.sort(np.random.default_rng(4).permutation(N)[:700]) if part else None
    given, X, y, s, offset = problem(layout, dtype, subset=subset)
    rng, loss = np.random.default_rng(5), get_loss("log_loss")
    coef, b, centre = rng.normal(size=D), 0.3, rng.normal(size=D)
    p = X @ coef + b + offset
    g, h, A = s * loss.gradient(y, p), s * loss.hessian(y, p), np.column_stack([X - centre, np.ones(len(X))])
    close = {"rtol": 1e-10, "atol": 1e-10}
    with Reading(given) as reading:
        look = reading.look([0], coef[np.newaxis], [b])[0]
        np.testing.assert_allclose(look.p, p, **close)
        np.testing.assert_allclose(look.gradient, g, **close)
        np.testing.assert_allclose(look.hessian, h, **close)
        np.testing.assert_allclose([look.value, look.slope, look.steepness],
                                   [s @ loss.value(y, p), g.sum(), np.abs(g).sum()], **close)
        np.testing.assert_allclose(look.product, X.T @ g, **close)
        for _ in range(2):      # the second time in other chunks, if the rows are sparse
            product, total = reading.curved(h, coef, b)
            np.testing.assert_allclose(product, X.T @ (h * (X @ coef + b)), **close)
            np.testing.assert_allclose(total, h @ (X @ coef + b), **close)
            reading.by_entries()
        np.testing.assert_allclose(reading.back(g), X.T @ g, **close)
        np.testing.assert_allclose(reading.gram(h, centre), (A * h[:, np.newaxis]).T @ A, **close)
        np.testing.assert_allclose(reading.squares(h, centre), h @ A[:, :-1] ** 2, **close)
        np.testing.assert_allclose(reading.leverage(coef**2, centre), A[:, :-1] ** 2 @ coef**2, **close)


@pytest.mark.parametrize("name", ["log_loss", "hinge", "squared_error"])
def test_a_loss_along_a_line(name):
    given, _, y, s, offset = problem("C", name="log_loss" if name == "squared_error" else name)
    loss = get_loss(name)
    given = Problem(given.rows, 2 * y - 1 if name == "hinge" else y, ((loss, 1),), NoPenalty(), weights=s)
    y, end, t = given.targets, np.linspace(-2, 3, N), 0.7
    curved = loss.traits.smooth
    with Reading(given) as reading:
        for there, change in ((end, end - offset), (None, 1.0)):
            p = offset + t * change
            g = s * loss.gradient(y, p)
            expected = [s @ loss.value(y, p), (g * change).sum(), np.abs(g).sum(),
                        (s * loss.hessian(y, p) * change**2).sum() if curved else 0.0]
            np.testing.assert_allclose(reading.along(0, offset, there, t, curved=curved), expected, rtol=1e-11)


@pytest.mark.parametrize("layout", layouts("float32", "csr32", "csr32_int64"))
def test_columns_and_threads_do_not_matter(layout, monkeypatch):
    monkeypatch.setattr(_reading, "CHUNK_BYTES", 1 << 13)
    given, X, y, s, _ = problem(layout)
    classes = (X[:, 0] > 0) + 2.0 * y
    given = Problem(given.rows, classes, ((get_loss("log_loss"), 4),), NoPenalty(), weights=s,
                    one_vs_rest=OneVsRest((0.0, 1.0), np.array([[1.0, 2.0]] * 4)))
    rng = np.random.default_rng(6)
    coef, b, h = rng.normal(size=(4, D)), rng.normal(size=4), rng.random(N)
    with Reading(given) as one, Reading(given, 3) as three:
        assert len(one.chunks) > 3
        together, spread = one.look(range(4), coef, b), three.look(range(4), coef, b)
        for k in range(4):
            alone = one.look([k], coef[k : k + 1], b[k : k + 1])[0]
            for other in (together[k], spread[k]):
                np.testing.assert_array_equal(alone.p, other.p)
                np.testing.assert_array_equal(alone.product, other.product)
                assert (alone.value, alone.slope, alone.steepness) == (other.value, other.slope, other.steepness)
        np.testing.assert_array_equal(one.gram(h, X[0]), three.gram(h, X[0]))
        np.testing.assert_array_equal(one.squares(h, X[0]), three.squares(h, X[0]))
        np.testing.assert_array_equal(one.leverage(h[:D], X[0]), three.leverage(h[:D], X[0]))


@pytest.mark.parametrize("layout", ["C", "F", "apart"])
def test_copies_of_a_feature_have_the_same_product(layout):
    given, X, y, *_ = problem("C")
    copies = LAYOUTS[layout](np.repeat(X, 3, axis=1))
    given = Problem(as_rows(copies), y, ((get_loss("log_loss"), 1),), NoPenalty())
    coef = np.random.default_rng(7).normal(size=(1, 3 * D))
    with Reading(given) as reading:
        product = reading.look([0], coef, [0.1])[0].product.reshape(D, 3)
    np.testing.assert_array_equal(product, np.repeat(product[:, :1], 3, axis=1))


def test_rows_of_no_weight_count_nothing():
    """Not even where their loss is infinite."""
    y, X = np.array([1.0, 2.0]), np.array([[1.0], [1e6]])
    given = Problem(as_rows(X), y, ((get_loss("poisson"), 1),), NoPenalty(), weights=np.array([1.0, 0.0]))
    with Reading(given) as reading:
        look = reading.look([0], np.ones((1, 1)), [0.0])[0]
    assert look.value == pytest.approx(np.e - 1)
    assert look.product == pytest.approx([np.e - 1])


@pytest.mark.parametrize("n_threads", [1, 3])
def test_what_a_piece_raises_goes_through(n_threads):
    given, *_ = problem("C")
    done = []

    def call(task):
        if task == 5:
            raise KeyboardInterrupt
        done.append(task)

    with Reading(given, n_threads) as reading, pytest.raises(KeyboardInterrupt):
        reading.each(call, list(range(1000)))
    assert len(done) < 1000 or n_threads > 1

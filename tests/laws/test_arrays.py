"""What arrays go in and come out: dtypes, shapes, strides, out=, vector parameters, and errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laws.cases import NAMES, losses, predictions, targets
from sklosses.losses import LOSSES, get_loss

METHODS = ("value", "gradient", "hessian")


def rows(name, n=5, dtype=np.float64):
    loss = get_loss(name)
    codes = loss.target.codes or (0.5, 2.0)
    return loss, np.resize(np.array(codes, dtype=dtype), n), np.linspace(-2.3, 1.7, n, dtype=dtype)


@pytest.mark.parametrize("name", NAMES)
def test_dtypes(name):
    loss, y, p = rows(name)
    integers = np.array([1, 1, 1], dtype=np.int64)
    for method in (getattr(loss, method) for method in METHODS):
        assert method(y, p).dtype == np.float64
        assert method(y.astype(np.float32), p.astype(np.float32)).dtype == np.float32
        assert method(y.astype(np.float32), p).dtype == np.float64
        assert method(integers, p[:3].astype(np.float32)).dtype == np.float32
        assert method(list(y), list(p)).dtype == np.float64
        assert isinstance(method(y[0], p[0]), np.float64)
        np.testing.assert_array_equal(method(y.astype(">f8"), p.astype(">f8")), method(y, p))
        assert method(y[:0], p[:0]).shape == (0,)
    assert isinstance(loss(y, p), float)


@pytest.mark.parametrize("name", NAMES)
def test_strided_read_only_and_broadcast(name):
    loss, y, p = rows(name, 12)
    grid = np.stack([p, p + 0.25, p - 1.5], axis=1)
    wide, backwards = np.zeros((12, 6)), grid[::-1].copy()
    wide[:, ::2] = grid
    frozen = grid.copy()
    frozen.flags.writeable = False
    for method in (getattr(loss, method) for method in METHODS):
        expected = np.stack([method(y, np.ascontiguousarray(column)) for column in grid.T], axis=1)
        for same in (grid, np.asfortranarray(grid), wide[:, ::2], backwards[::-1], frozen):
            np.testing.assert_array_equal(method(y, same), expected)
            np.testing.assert_array_equal(method(np.repeat(y[:, None], 3, axis=1), same), expected)
            np.testing.assert_array_equal(method(y[:, None], same), expected)
        np.testing.assert_array_equal(method(y[::3], p[::3]), method(y, p)[::3])
        np.testing.assert_array_equal(method(y[0], p[0]), method(y, p)[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_out(name, dtype):
    loss, y, p = rows(name, 9, dtype)
    for method in (getattr(loss, method) for method in METHODS):
        out, wide = np.full(9, np.nan, dtype), np.full(27, np.nan, dtype)
        assert method(y, p, out=out) is out
        np.testing.assert_array_equal(out, method(y, p))
        assert method(y, p, np.full(9, 2.0), out=wide[::3]) is not None
        np.testing.assert_array_equal(wide[::3], 2 * method(y, p))
        assert np.all(np.isnan(wide.reshape(9, 3)[:, 1:]))
        expected, own = method(y, p), p.copy()
        np.testing.assert_array_equal(method(y, own, out=own), expected)
        frozen = np.empty(9, dtype)
        frozen.flags.writeable = False
        other = np.float32 if dtype == np.float64 else np.float64
        for wrong in (np.empty(8, dtype), np.empty((9, 1), dtype), np.empty(9, other), frozen, [0.0] * 9):
            with pytest.raises(ValueError, match="out must be"):
                method(y, p, out=wrong)


@pytest.mark.parametrize("name", [name for name in NAMES if LOSSES[name].ranges])
@given(data=st.data())
def test_vector_parameters_are_columns(name, data):
    """Column k of a loss with vectors is the loss with the k-th values, bit for bit; conjugate and prox too."""
    singles = [data.draw(losses(name)) for _ in range(data.draw(st.integers(1, 3)))]
    given_parameters = [one.get_params() for one in singles]
    # one shared target domain: the narrowest
    loss = type(singles[0])(**{key: [one[key] for one in given_parameters] for key in given_parameters[0]})
    y = np.array(data.draw(st.lists(targets(loss), min_size=2, max_size=2)))
    p = np.array([[data.draw(predictions(one, target)) for one in singles] for target in y])
    assert loss.n_columns == len(singles)
    with np.errstate(over="ignore"):
        for method in METHODS:
            result = getattr(loss, method)(y, p)
            for k, one in enumerate(singles):
                np.testing.assert_array_equal(result[:, k], getattr(one, method)(y, p[:, k].copy()))
        for k, one in enumerate(singles):
            u = np.clip(p, -2, 2)
            np.testing.assert_array_equal(loss.conjugate(y, u)[:, k], one.conjugate(y, u[:, k]))
            if loss.traits.convex:
                np.testing.assert_array_equal(loss.prox(y, u, 0.7)[:, k], one.prox(y, u[:, k], 0.7))


def test_errors_name_the_array():
    loss = get_loss("huber")
    for y, p, message in (
        (np.zeros(3), np.zeros(4), "y_true has shape"),
        (np.zeros((3, 2)), np.zeros((3, 3)), "y_true has shape"),
        (np.zeros(3), np.zeros((3, 2, 2)), "raw_prediction has shape"),
        (np.array(["a"] * 3), np.zeros(3), "y_true must hold real numbers"),
        (np.zeros(3), np.zeros(3, dtype=complex), "raw_prediction must hold real numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            loss.value(y, p)
    for weights in (np.ones(4), np.ones((3, 1)), 2.0):
        for call in (loss, loss.value, loss.gradient, loss.hessian):
            with pytest.raises(ValueError, match="sample_weight has shape"):
                call(np.zeros(3), np.zeros(3), weights)
    with pytest.raises(ValueError, match="expects"):
        get_loss("quantile", quantile=[0.1, 0.9]).value(np.zeros(3), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="expects"):
        get_loss("quantile", quantile=[0.1, 0.9]).value(np.zeros(3), np.zeros(3))


@pytest.mark.parametrize("name", NAMES)
def test_nan_predictions_stay_nan(name):
    loss, y, p = rows(name)
    p[2] = np.nan
    for dtype in (np.float64, np.float32):
        values = loss.value(y.astype(dtype), p.astype(dtype))
        assert np.isnan(values).tolist() == [False, False, True, False, False]

"""The loss NCA against its formula."""

import numpy as np
import pytest
from sklearn.base import clone

from sklosses.embedding import NCA


def by_formula(Z, labels, temperature):
    """The definition, with all distances at once; complex numbers pass through."""
    apart = Z[:, None] - Z[None]
    shares = np.exp(-np.sum(apart * apart, axis=2) / temperature)
    shares[np.arange(len(Z)), np.arange(len(Z))] = 0
    same = labels[:, None] == labels[None]
    own = (shares * same).sum(axis=1)
    alone = same.sum(axis=1) == 1
    return np.where(alone, 0, -np.log(np.where(alone, 1, own) / shares.sum(axis=1)))


def case(seed):
    """Rows with zeros, duplicates and rows that are alone with their label."""
    random = np.random.default_rng(seed)
    n, d = random.integers(2, 40), random.integers(1, 8)
    Z = random.normal(size=(n, d))
    Z[random.random(n) < 0.1] = 0
    twin = random.integers(0, n, size=2)
    Z[twin[0]] = Z[twin[1]]
    labels = random.integers(0, random.integers(1, 6), size=n)
    return Z, labels, random.uniform(0.5, 5), random.random(n)


@pytest.mark.parametrize("seed", range(200))
@pytest.mark.filterwarnings("ignore:No row of this batch")
def test_value_and_gradient(seed):
    Z, labels, temperature, weight = case(seed)
    loss = NCA(temperature=temperature)
    np.testing.assert_allclose(loss.value(Z, labels), by_formula(Z, labels, temperature), rtol=1e-10, atol=1e-10)
    value, gradient = loss.value_and_gradient(Z, labels, weight)
    np.testing.assert_allclose(value, weight * loss.value(Z, labels), rtol=1e-12, atol=1e-12)
    expected = np.empty_like(Z)
    for at in np.ndindex(Z.shape):
        moved = Z.astype(complex)
        moved[at] += 1e-30j
        expected[at] = np.sum(weight * by_formula(moved, labels, temperature)).imag / 1e-30
    np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-10)
    single = loss.value_and_gradient(Z.astype(np.float32), labels, weight)
    assert single[0].dtype == single[1].dtype == np.float32
    np.testing.assert_allclose(single[0], value, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(single[1], gradient, rtol=1e-4, atol=1e-4)


def test_far_apart():
    """Shares that are 0 in floating point still have logarithms, and slopes."""
    Z = np.array([[0.0], [100.0], [100.0], [0.0]])
    value, gradient = NCA().value_and_gradient(Z, [0, 0, 1, 1])
    np.testing.assert_allclose(value, 1e4)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).min() > 100


def test_more_rows_than_a_block():
    random = np.random.default_rng(0)
    Z, labels = random.normal(size=(700, 3)), random.integers(0, 3, size=700)
    np.testing.assert_allclose(NCA().value(Z, labels), by_formula(Z, labels, 1.0), rtol=1e-10)
    out = np.empty(700), np.empty((700, 3))
    assert NCA().value_and_gradient(Z, labels, out=out)[1] is out[1]
    np.testing.assert_array_equal(out[1], NCA().gradient(Z, labels))


def test_conventions():
    assert repr(clone(NCA(temperature=2.0))) == "NCA(temperature=2.0)"
    with pytest.raises(ValueError, match="temperature"):
        NCA(temperature=0)
    with pytest.raises(ValueError, match="labels"):
        NCA().value(np.zeros((3, 1)), [0, 1])
    with pytest.warns(UserWarning, match="No row of this batch"):
        assert NCA().value([[1.0]], [0]) == 0

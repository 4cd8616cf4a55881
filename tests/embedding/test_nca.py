"""What is NCA's own; test_losses.py compares it with its formula."""

import numpy as np
import pytest
from sklearn.base import clone

from oracle import embedding as oracle
from sklosses import embedding
from sklosses.losses import NCA, get_loss, loss_names


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
    np.testing.assert_allclose(NCA().value(Z, labels), oracle.nca(Z, labels, 1.0), rtol=1e-10)
    out = np.empty(700), np.empty((700, 3))
    assert NCA().value_and_gradient(Z, labels, out=out)[1] is out[1]
    np.testing.assert_array_equal(out[1], NCA().gradient(Z, labels))


def test_known_by_name():
    assert get_loss("nca", temperature=2.0) == NCA(temperature=2.0)
    assert "nca" in loss_names("embedding")
    assert embedding.NCA is NCA
    with pytest.raises(ValueError, match="Did you mean 'nca'"):
        get_loss("neighborhood_components_analysis")


def test_conventions():
    assert repr(clone(NCA(temperature=2.0))) == "NCA(temperature=2.0)"
    with pytest.raises(ValueError, match="temperature"):
        NCA(temperature=0)
    with pytest.raises(ValueError, match="labels"):
        NCA().value(np.zeros((3, 1)), [0, 1])
    with pytest.warns(UserWarning, match="No row of this batch"):
        assert NCA().value([[1.0]], [0]) == 0

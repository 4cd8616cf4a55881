"""Links, probabilities and weights: what a raw prediction means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laws.cases import NAMES, cases, losses, targets
from sklosses.losses import get_loss, loss_names

ESTIMATES = [name for name in NAMES if get_loss(name).traits.has_probability]


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_link_and_inverse_link_undo_each_other(name, data):
    loss = data.draw(losses(name))
    raw = data.draw(st.floats(-15, 15))
    assert loss.link(loss.inverse_link(raw)) == pytest.approx(raw, rel=1e-9, abs=1e-9)
    mean = loss.inverse_link(raw)
    assert loss.inverse_link(loss.link(mean)) == pytest.approx(mean, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_links_are_the_ones_declared(name):
    loss, mean = get_loss(name), np.array([0.1, 0.5, 0.9])
    expected = {"identity": mean, "log": np.log(mean), "log1p": np.log1p(mean), "logit": np.log(mean / (1 - mean))}
    np.testing.assert_allclose(loss.link(mean), expected[loss.traits.link], rtol=1e-14, atol=1e-15)
    assert loss.link(mean.astype(np.float32)).dtype == np.float32
    assert loss.inverse_link(mean.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("name", [name for name in NAMES if get_loss(name).traits.link == "log"])
@given(data=st.data())
def test_a_log_link_makes_the_mean_the_minimiser(name, data):
    loss = data.draw(losses(name))
    y = np.array(data.draw(st.lists(targets(loss).map(lambda y: abs(y) + 0.1), min_size=1, max_size=5)))
    gradient = loss.gradient(y, np.full_like(y, loss.link(y.mean())))
    size = 1 + y.mean() ** (2 - loss.get_params().get("power", 1))      # of a gradient's terms
    assert abs(gradient.sum()) <= 1e-11 * (np.abs(gradient).sum() + size)


def minimiser(loss, share):
    """argmin_p of share value(+, p) + (1 - share) value(-, p), by bisection on the derivative."""
    negative, positive = loss.target.codes
    low, high = -50.0, 50.0
    for _ in range(200):
        middle = (low + high) / 2
        slope = share * loss.gradient(positive, middle) + (1 - share) * loss.gradient(negative, middle)
        low, high = (low, middle) if slope > 0 else (middle, high)
    return (low + high) / 2


@pytest.mark.parametrize("name", ESTIMATES)
@given(data=st.data())
def test_probability_is_the_posterior_behind_the_minimiser(name, data):
    """pos_weight reweights the population whose posterior it is: the law is for weight 1."""
    loss = data.draw(losses(name, fixed=("pos_weight",)))
    share = data.draw(st.floats(0.02, 0.98))
    assert loss.probability(minimiser(loss, share)) == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("name", ESTIMATES)
def test_probabilities_are_probabilities(name):
    loss = get_loss(name)
    for dtype in (np.float64, np.float32):
        p = np.concatenate([[-1e4], np.linspace(-40, 40, 1001), [1e4]]).astype(dtype)
        probability = loss.probability(p)
        assert probability.dtype == dtype
        assert np.all((probability >= 0) & (probability <= 1))
        assert np.all(np.diff(probability) >= -4 * np.finfo(dtype).eps)
        assert probability[[0, -1]].tolist() == [0.0, 1.0]
        np.testing.assert_allclose(probability + loss.probability(-p), 1.0, atol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", [name for name in loss_names("classification") if name not in ESTIMATES])
def test_other_losses_refuse_probabilities(name):
    with pytest.raises(AttributeError, match="probability"):
        get_loss(name).probability(0.0)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_a_weight_is_a_repetition(name, data):
    """The weighted mean is that of the rows, each as often as its weight says; none where it is 0."""
    loss, y, p = data.draw(cases(name))
    weights = np.array(data.draw(st.lists(st.integers(0, 4), min_size=len(y), max_size=len(y))))
    values = loss.value(y, p)
    if weights.sum() == 0 or not np.all(np.isfinite(values)):
        return
    repeated = loss(np.repeat(y, weights), np.repeat(p, weights))
    size = np.abs(np.repeat(values, weights)).max()
    assert loss(y, p, weights) == pytest.approx(repeated, rel=1e-12, abs=1e-12 * size)
    assert loss(y, p) == pytest.approx(loss(y, p, np.full(len(y), 2.5)), rel=1e-12, abs=1e-12 * np.abs(values).max())


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_weights_multiply_elements(name, data):
    loss, y, p = data.draw(cases(name))
    weights = np.array(data.draw(st.lists(st.floats(0.01, 100), min_size=len(y), max_size=len(y))))
    for method in (loss.value, loss.gradient, loss.hessian):
        np.testing.assert_array_equal(method(y, p, weights), weights * method(y, p))

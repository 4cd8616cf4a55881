"""Conjugates, proximal operators and smoothed losses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laws.cases import NAMES, grid, losses, powers, predictions, targets
from oracle import losses as reference
from sklosses.losses import _loss, get_loss

EPS = np.finfo(np.float64).eps
CONVEX = [name for name in NAMES if get_loss(name).traits.convex]
WITH_CONJUGATE = [name for name in NAMES if get_loss(name).traits.has_conjugate]


@st.composite
def points(draw, name, convex=False):
    """(loss, y, p) with a raw prediction at which nothing overflows."""
    loss = draw(losses(name).filter(lambda loss: loss.traits.convex or not convex))
    y = draw(targets(loss))
    return loss, y, bounded(loss, draw(predictions(loss, y)))


def bounded(loss, p):
    """p, within 30 for losses with exponentials."""
    exponential = loss.traits.lipschitz == np.inf and loss.traits.curvature == np.inf
    return float(np.clip(p, -30, 30)) if exponential else p


@pytest.mark.parametrize("name", NAMES)
def test_declared_conjugates_exist(name):
    loss = get_loss(name)
    known = not np.isnan(loss.conjugate(loss.target.codes[1] if loss.target.codes else 1.0, 0.0))
    assert known == loss.traits.has_conjugate


@pytest.mark.parametrize("name", WITH_CONJUGATE)
@given(data=st.data())
def test_fenchel_young(name, data):
    """value(p) + conjugate(u) >= u p, with equality where u is the gradient at p."""
    loss, y, p = data.draw(points(name))
    other = bounded(loss, data.draw(predictions(loss, y)))
    u, v = loss.gradient(y, p), loss.gradient(y, other)
    value, own, others = loss.value(y, p), loss.conjugate(y, u), loss.conjugate(y, v)
    slack = 50 * EPS * (abs(value) + (abs(u) + abs(v)) * (1 + abs(p) + abs(y)) + abs(y))
    assert abs(value + own - u * p) <= slack
    assert value + others >= v * p - slack - 50 * EPS * (abs(others) + abs(v * other))


@pytest.mark.parametrize("name", [name for name in WITH_CONJUGATE if name in reference.REFERENCES])
@given(data=st.data())
def test_conjugate_is_the_supremum(name, data):
    """Against sup_p u p - value(p) by bisection, within and beyond the range of the gradient."""
    loss, y, p = data.draw(points(name))
    u = data.draw(st.sampled_from([loss.gradient(y, p), 0.0, 1.5, -1.5, 0.25, 0.75, -0.25, -0.75]))
    expected = reference.conjugate(loss.name, loss.get_params(), y, u)
    result = loss.conjugate(y, u)
    if np.isinf(result):
        # a gradient may round to just beyond its range
        inward = reference.conjugate(loss.name, loss.get_params(), y, u * (1 - 1e-12))
        outward = reference.conjugate(loss.name, loss.get_params(), y, u * (1 + 1e-12))
        assert result > 0
        assert float(max(expected, inward, outward)) == np.inf
    else:
        assert abs(result - float(expected)) <= 1e-6 * (1 + abs(result) + abs(y))


@pytest.mark.parametrize("name", CONVEX)
@given(data=st.data())
def test_prox_is_optimal(name, data):
    """(v - p) / step is between the gradients on either side of p = prox(v)."""
    loss, y, v = data.draw(points(name, convex=True))
    step = data.draw(powers(1e-3, 1e3))
    p = loss.prox(y, v, step)
    reach = 8 * np.spacing(max(abs(p), abs(v), abs(y), 1e-30))
    with np.errstate(over="ignore"):
        below, above = loss.gradient(y, p - reach), loss.gradient(y, p + reach)
    rounding = 4 * reach / step + 20 * EPS * (abs(below) + abs(above))
    assert below - rounding <= (v - p) / step <= above + rounding


@pytest.mark.parametrize("name", CONVEX)
@given(data=st.data())
def test_prox_minimises_and_does_not_expand(name, data):
    loss, y, v = data.draw(points(name, convex=True))
    step = data.draw(powers(1e-2, 1e2))
    other = bounded(loss, data.draw(predictions(loss, y)))
    p, q = loss.prox(y, v, step), loss.prox(y, other, step)
    assert abs(p - q) <= abs(v - other) + 1e-9 * (1 + abs(p) + abs(q) + abs(v) + abs(other))
    rivals = np.array([p, v, other, y, p + 1e-3, p - 1e-3])
    with np.errstate(over="ignore"):
        costs = loss.value(np.full(6, y), rivals) + (rivals - v) ** 2 / (2 * step)
    assert costs[0] <= np.min(costs) + 1e-12 * (abs(costs[0]) + (abs(p) + abs(v)) ** 2 / step + abs(y * p)) + 1e-50


@pytest.mark.parametrize("name", CONVEX)
@given(data=st.data())
def test_dual_steps_reach_the_prox(name, data):
    """Steps for a row alone end at the slope that its proximal operator stops at, most of the way in the first."""
    loss, y, v = data.draw(points(name, convex=True))
    step = data.draw(powers(1e-3, 1e3))
    rows = _loss.dual_steps(loss, y, v, step, 25)
    p = loss.prox(y, v, step)
    rounding = 1e-14 * (abs(v) + abs(p) + abs(y) + step * abs(rows[-1][0])) + 1e-300
    assert abs(step * rows[-1][0] - (v - p)) <= rounding + 1e-9 * abs(v - p)
    assert abs(step * rows[0][0] - (v - p)) <= rounding + 0.5 * abs(v - p)
    assert rows[0][2] >= -1e-13 * (abs(rows[0][0] * v) + abs(loss.value(y, v)))


@pytest.mark.parametrize("name", [name for name in CONVEX if name in WITH_CONJUGATE])
@given(data=st.data())
def test_dual_steps_stay_in_range(name, data):
    loss, y, v = data.draw(points(name, convex=True))
    rows = _loss.dual_steps(loss, y, v, data.draw(powers(1e-6, 1e6)), 4)
    assert np.all(np.isfinite(loss.conjugate(np.full(4, y), np.array([u for u, _, _ in rows]))))


@pytest.mark.parametrize("name", NAMES)
def test_prox_refuses_what_it_cannot_do(name):
    loss = get_loss(name)
    if not loss.traits.convex:
        with pytest.raises(ValueError, match="not convex"):
            loss.prox(1.0, 0.0, 1.0)
    for step in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="step"):
            loss.prox(1.0, 0.0, step)


@pytest.mark.parametrize("name", [name for name in NAMES if get_loss(name).traits.smooth])
def test_smoothed_leaves_a_smooth_loss_alone(name):
    loss = get_loss(name)
    assert loss.smoothed(0.5) is loss


@pytest.mark.parametrize("name", [name for name in NAMES if not get_loss(name).traits.smooth])
@given(data=st.data())
def test_smoothed_is_near_below_and_smooth(name, data):
    loss, y, p = data.draw(points(name))
    mu = data.draw(powers(1e-4, 10))
    smooth, traits = loss.smoothed(mu), loss.traits
    assert smooth.traits.smooth
    assert smooth.traits.convex == traits.convex
    assert smooth.traits.curvature <= 1 / mu * (1 + EPS)
    assert smooth.traits.lipschitz == traits.lipschitz
    slack = 50 * EPS * (1 + abs(y) + abs(p))
    value, below = loss.value(y, p), smooth.value(y, p)
    assert below - slack <= value <= below + mu * traits.lipschitz**2 / 2 + slack


@pytest.mark.parametrize("name", [name for name in NAMES if not get_loss(name).traits.smooth])
@given(data=st.data())
def test_smoothed_adds_a_square_to_the_conjugate(name, data):
    """Nesterov's definition: the smoothed loss's conjugate is the loss's plus mu u^2 / 2."""
    loss, y, _ = data.draw(points(name))
    mu, u = data.draw(powers(1e-3, 10)), data.draw(st.sampled_from([0.0, 1.0, -1.0, *np.linspace(-1.5, 1.5, 13)]))
    expected = loss.conjugate(y, u) + mu * u * u / 2
    assert loss.smoothed(mu).conjugate(y, u) == pytest.approx(expected, rel=1e-12, abs=1e-12 * (1 + abs(y)))


@pytest.mark.parametrize("name", [name for name in NAMES if not get_loss(name).traits.smooth])
def test_smoothing_is_tight(name):
    """Somewhere the smoothed loss is mu lipschitz^2 / 2 below."""
    loss, mu, y = get_loss(name), 0.5, 1.0
    p = grid(loss, y)
    gap = loss.value(np.full_like(p, y), p) - loss.smoothed(mu).value(np.full_like(p, y), p)
    assert gap.max() == pytest.approx(mu * loss.traits.lipschitz**2 / 2)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_kinks_account_for_the_whole_of_a_loss(name, data):
    """Between its kinks a loss is linear, and at each its slope jumps by what it says; a smooth one has none."""
    loss, y, p = data.draw(points(name))
    positions, jumps = loss.kinks(np.array([y]))
    if loss.traits.smooth:
        assert positions.shape == jumps.shape == (0, 1)
        return
    assert np.all(np.diff(positions[:, 0]) >= 0)
    assert np.all(jumps > 0)
    start = positions[0, 0] - 1.0
    slope = loss.gradient(y, start)
    line = loss.value(y, start) + slope * (p - start) + jumps[:, 0] @ np.maximum(p - positions[:, 0], 0)
    slack = 50 * EPS * (1 + abs(y) + abs(p) + np.abs(positions).max())
    assert loss.value(y, p) == pytest.approx(float(line), rel=1e-12, abs=slack)

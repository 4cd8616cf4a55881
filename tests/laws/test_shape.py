"""Convexity, smoothness, and the declared bounds on gradient and hessian: kept by every loss, and reached."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laws.cases import NAMES, cases, grid, losses, predictions, target_grid, targets
from sklosses.losses import get_loss

EPS = np.finfo(np.float64).eps


@st.composite
def segments(draw, name):
    """(loss, y, a, b): two raw predictions a <= b."""
    loss = draw(losses(name))
    y = draw(targets(loss))
    return loss, y, *sorted(draw(st.tuples(predictions(loss, y), predictions(loss, y))))


def finite(*numbers):
    return all(np.isfinite(number) and abs(number) < 1e150 for number in numbers)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_convex(name, data):
    """A convex loss lies above its tangents and has an increasing gradient and a non-negative hessian."""
    loss, y, a, b = data.draw(segments(name))
    if not loss.traits.convex:
        return
    value, gradient = [loss.value(y, p) for p in (a, b)], [loss.gradient(y, p) for p in (a, b)]
    if not finite(*value, *gradient):
        return
    slack = 20 * EPS * (1 + max(map(abs, value)) + max(map(abs, gradient)) * (abs(a) + abs(b) + abs(y)))
    assert value[1] >= value[0] + gradient[0] * (b - a) - slack
    assert value[0] >= value[1] + gradient[1] * (a - b) - slack
    assert gradient[0] <= gradient[1] + 20 * EPS * (max(map(abs, gradient)) + abs(y) + abs(a) + abs(b))
    assert loss.hessian(y, a) >= 0


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_bounds_hold(name, data):
    """abs(gradient) <= lipschitz, abs(hessian) <= curvature, and the gradient changes by at most curvature a step."""
    loss, y, a, b = data.draw(segments(name))
    traits = loss.traits
    gradient, hessian = [loss.gradient(y, p) for p in (a, b)], [loss.hessian(y, p) for p in (a, b)]
    assert max(map(abs, gradient)) <= traits.lipschitz * (1 + 8 * EPS)
    assert max(map(abs, hessian)) <= traits.curvature * (1 + 8 * EPS)
    if traits.curvature < np.inf:
        rounding = 20 * EPS * (max(map(abs, gradient)) + traits.curvature * (abs(a) + abs(b) + abs(y)))
        assert abs(gradient[1] - gradient[0]) <= traits.curvature * (b - a) * (1 + 8 * EPS) + rounding


@pytest.mark.parametrize("name", [name for name in NAMES if get_loss(name).traits.self_concordance < np.inf])
@given(data=st.data())
def test_self_concordance(name, data):
    """The hessian changes by at most a factor exp(self_concordance) a unit of the prediction."""
    loss, y, a, b = data.draw(segments(name))
    hessian = np.array([loss.hessian(y, a), loss.hessian(y, b)])
    if np.all((hessian > 1e-290) & (hessian < 1e290)) and loss.traits.self_concordance < np.inf:
        most = loss.traits.self_concordance * (b - a) * (1 + 8 * EPS)
        assert abs(np.log(hessian[1]) - np.log(hessian[0])) <= most + 1e-12


def refined(p, function):
    """p, and 100 numbers more on either side of where abs(function) is largest."""
    best = np.argmax(np.abs(function(p)))
    left, here, right = p[max(best - 1, 0)], p[best], p[min(best + 1, len(p) - 1)]
    return np.unique(np.concatenate([p, np.linspace(left, here, 101), np.linspace(here, right, 101)]))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_bounds_are_reached(name, data):
    """Each finite bound is the supremum (to 1 part in 1000), each infinite one is passed by any number."""
    loss = data.draw(losses(name))
    traits = loss.traits
    steepest, most_curved, lowest, jump = 0.0, 0.0, np.inf, 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        for y in target_grid(loss):
            p = refined(grid(loss, y), lambda p, y=y: loss.hessian(np.full_like(p, y), p))
            ys = np.full_like(p, y)
            gradient, hessian = loss.gradient(ys, p), loss.hessian(ys, p)
            steepest, most_curved = max(steepest, np.abs(gradient).max()), max(most_curved, np.abs(hessian).max())
            lowest = min(lowest, hessian.min())
            jump = max(jump, np.nanmax(np.abs(np.diff(gradient)) / np.diff(p)))
    assert steepest >= min(traits.lipschitz * (1 - 1e-3), 50)
    if traits.curvature < np.inf:
        assert most_curved >= traits.curvature * (1 - 1e-3)
    elif traits.smooth:
        assert most_curved >= 50
    assert traits.smooth or jump > 1e6 * traits.lipschitz
    assert (lowest >= 0) if traits.convex else (lowest < 0)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_smooth_losses_have_no_jumps(name, data):
    loss, y, p = data.draw(cases(name, n=1))
    if not loss.traits.smooth:
        return
    gradient = loss.gradient(np.repeat(y, 2), np.array([np.nextafter(p[0], -np.inf), np.nextafter(p[0], np.inf)]))
    hessian = loss.hessian(np.repeat(y, 2), np.array([np.nextafter(p[0], -np.inf), np.nextafter(p[0], np.inf)]))
    if not finite(*gradient, *hessian):
        return
    step = 4 * np.spacing(abs(p[0]) + abs(y[0]))
    rounding = 20 * EPS * (np.abs(gradient).max() + abs(y[0]) + 1) + 8 * EPS * np.abs(hessian).max() * abs(p[0])
    assert abs(gradient[1] - gradient[0]) <= np.abs(hessian).max() * step + rounding


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_traits_of_vectors_cover_their_columns(name, data):
    singles = [data.draw(losses(name)) for _ in range(3)]
    parameters = {key: np.array([one.get_params()[key] for one in singles]) for key in singles[0].get_params()}
    traits, each = type(singles[0])(**parameters).traits, [one.traits for one in singles]
    assert traits.lipschitz == max(one.lipschitz for one in each)
    assert traits.curvature == max(one.curvature for one in each)
    assert traits.self_concordance == max(one.self_concordance for one in each)
    assert traits.convex == all(one.convex for one in each)
    assert traits.smooth == all(one.smooth for one in each)
    assert traits.kind == each[0].kind

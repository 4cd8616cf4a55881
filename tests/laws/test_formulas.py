"""Value, gradient and hessian against mpmath, in units in the last place (ulp) of the largest term.

A residual loss is held to its bound as a function of the rounded residual p - y; one test shows that it is one.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from laws.cases import FAR, NAMES, at, cases, landmarks, losses, target_grid
from oracle.losses import REFERENCES, exact
from sklosses.losses import LOSSES, get_loss

METHODS = ("value", "gradient", "hessian")
LARGEST = float(np.finfo(np.float64).max)
ULPS = 4
WIDER = {("pseudo_huber", "hessian"): 5}     # the power -3/2 of a sum with a rounded square: 4.5 in the worst case
KNOWN = [name for name in NAMES if name in REFERENCES]


def test_references_are_of_losses_that_there_are():
    """A loss that has just been added may do without one: the other laws hold it from its first day."""
    assert set(REFERENCES) <= set(LOSSES)


def is_close(result, number, size, ulps=ULPS, dtype=np.float64):
    """Within `ulps` of float64 in the largest term, and half an ulp (with its rounding) of a narrower result."""
    largest = float(np.finfo(dtype).max)
    if np.isnan(result):
        return False
    if not np.isfinite(result) or abs(number) > largest:        # a term beyond the range may take the result there
        return np.isinf(result) and (size > LARGEST * (1 - 1e-9) or np.sign(result) * number > largest * (1 - 1e-6))
    # An exponential that underflows gradually is off by the smallest number there is, and is multiplied by y <= 1e4.
    bound = ulps * mpf(float(np.spacing(min(float(size), LARGEST)))) + mpf(5e-324) * 10**4
    if dtype != np.float64:
        bound += mpf(float(np.spacing(dtype(abs(result))))) * mpf(0.5)
    return abs(mpf(float(result)) - number) <= bound


def assert_exact(loss, y, p, dtype=np.float64):
    """All three of every element; at a jump of the hessian its value on either side of the rounded variable will do."""
    parameters = loss.get_params()
    results = [getattr(loss, method)(y, p) for method in METHODS]
    for i in range(len(y)):
        expected = exact(loss.name, parameters, y[i], p[i])
        for method, result, (number, size) in zip(METHODS, results, expected, strict=True):
            ulps = WIDER.get((loss.name, method), ULPS)
            if is_close(result[i], number, size, ulps, dtype):
                continue
            sides = neighbours(loss, y[i], p[i]) if method == "hessian" else []
            others = [exact(loss.name, parameters, y[i], side)[2] for side in sides]
            assert any(is_close(result[i], *other, ulps, dtype) for other in others), (
                f"{loss!r}.{method}({y[i]!r}, {p[i]!r}) = {result[i]!r}, expected {float(number)!r}, "
                f"off by {float(abs(mpf(float(result[i])) - number) / mpf(float(np.spacing(float(size))))):.3g} ulp"
            )


def neighbours(loss, y, p):
    """Predictions a few roundings of the variable away."""
    reach = 4 * np.spacing(max(abs(float(y)), abs(float(p)), 1.0, *map(float, loss.get_params().values())))
    return float(p) - reach, float(p) + reach


@pytest.mark.parametrize("name", KNOWN)
@given(data=st.data())
def test_float64_is_within_4_ulp(name, data):
    loss, y, p = data.draw(cases(name))
    assert_exact(loss, y, p)


@pytest.mark.parametrize("name", KNOWN)
@given(data=st.data())
def test_float32_is_rounded_once(name, data):
    loss, y, p = data.draw(cases(name, n=2))
    y = y.astype(np.float32)
    low, high = np.float64(loss.target.interval.bounds)
    inside = (y >= low) & (y <= high)       # float64 targets next to an open end are rounded to it
    y, p = y[inside], p[inside].astype(np.float32)
    assert loss.value(y, p).dtype == np.float32
    assert_exact(loss, y, p, dtype=np.float32)


@pytest.mark.parametrize("name", KNOWN)
def test_far_predictions_and_all_landmarks(name):
    loss = get_loss(name)
    for y in target_grid(loss):
        marks = at(loss, y, np.array(landmarks(loss)))
        p = np.concatenate([[FAR, -FAR, 0.0], marks, np.nextafter(marks, np.inf), np.nextafter(marks, -np.inf)])
        assert_exact(loss, np.full_like(p, y), p)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_kind_is_the_variable_that_counts(name, data):
    loss, y, p = data.draw(cases(name))
    for method in METHODS:
        result = getattr(loss, method)(y, p)
        if loss.traits.kind == "residual":
            np.testing.assert_array_equal(result, getattr(loss, method)(np.zeros_like(y), p - y))
        elif loss.traits.kind == "margin":
            sign = -1 if method == "gradient" else 1
            np.testing.assert_array_equal(result, sign * getattr(loss, method)(-y, -p))
        else:
            assert loss.traits.kind == "other"


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_derivatives_are_those_of_the_value(name, data):
    """Without a reference: over a short way the value rises by the mean gradient, the gradient by the mean hessian.

    The trapezium rule with 64 panels; where a derivative jumps between them it is off by at most a panel of the jump.
    """
    loss, y, p = data.draw(cases(name, n=1))
    scale = max(1.0, abs(p[0]))
    points = p[0] + np.linspace(-1, 1, 65) * 1e-2 * min(scale, 10.0)
    ys = np.full_like(points, y[0])
    lower = [loss.value(ys, points), loss.gradient(ys, points)]
    upper = [lower[1], loss.hessian(ys, points)]
    if not all(np.all(np.isfinite(array) & (np.abs(array) < 1e100)) for array in lower + upper):
        return
    panels = np.diff(points)
    smooth = loss.traits.smooth
    for which, (function, derivative) in enumerate(zip(lower, upper, strict=True)):
        if which == 1 and not smooth:
            break
        integral = np.sum(panels * (derivative[1:] + derivative[:-1])) / 2
        jump = np.max(np.abs(np.diff(derivative)))
        size = max(np.max(np.abs(function)), np.max(np.abs(derivative)) * scale, np.max(np.abs(y)) * scale * 10, 1e-300)
        tolerance = 2 * panels[0] * jump + 1e-12 * size
        assert abs(function[-1] - function[0] - integral) <= tolerance, (loss, which, y, p)


@given(data=st.data())
def test_hessian_of_a_polyhedral_loss_is_zero(data):
    name = data.draw(st.sampled_from([name for name in NAMES if not get_loss(name).traits.smooth]))
    loss, y, p = data.draw(cases(name))
    np.testing.assert_array_equal(loss.hessian(y, p), 0.0)


@given(data=st.data())
def test_one_sided_conventions_at_kinks(data):
    y = data.draw(st.sampled_from([-1.0, 1.0]))
    assert get_loss("hinge").gradient(y, y) == -y
    assert get_loss("perceptron").gradient(y, 0.0) == -y
    target = data.draw(st.floats(-100, 100))
    quantile = data.draw(losses("quantile"))
    assert quantile.gradient(target, target) == -quantile.quantile

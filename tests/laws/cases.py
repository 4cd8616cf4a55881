"""Losses, targets and raw predictions for the laws, drawn from what a loss declares: a new one needs nothing here."""

import itertools

import numpy as np
from hypothesis import strategies as st

from sklosses.losses import LOSSES, loss_names

NAMES = loss_names()
FAR = 1e4


def powers(low, high):
    """Positive numbers, uniform in the exponent."""
    return st.floats(np.log10(low), np.log10(high)).map(lambda exponent: float(10.0**exponent))


def inside(interval, numbers):
    return [number for number in numbers if number in interval]


def parameter(interval):
    """A value of a parameter: round ones, ends of its interval, and any between 0.01 and 10 in size."""
    round_ones = inside(interval, [0.0, 1.0, 0.5, 0.25, 0.9, 1.35, 1.5, 2.0, 3.0, -1.0])
    kinds = [st.sampled_from(round_ones)]
    if interval.high <= 1:
        kinds.append(st.floats(0.01, 0.99))
    else:
        kinds.append(powers(interval.gap[1] if interval.gap else 0.01, 10))
    if interval.low < 0:
        kinds.append(powers(0.01, 3).map(lambda x: -x))
    return st.one_of(kinds)


@st.composite
def losses(draw, name, fixed=None):
    """A loss of this name with scalar parameters, those in `fixed` with their defaults."""
    cls = LOSSES[name]
    return cls(**{key: draw(parameter(interval)) for key, interval in cls.ranges.items() if key not in (fixed or ())})


def targets(loss):
    """Admissible targets."""
    target = loss.target
    if target.hard:
        return st.sampled_from(target.codes)
    low, high = target.interval.bounds
    low, high = max(low, -FAR), min(high, FAR)
    low = 1e-6 if 0 < low < 1e-6 else low       # y > 0 stays clear of where y exp(-p) needs more than float64's range
    round_ones = [y for y in (0.0, 1.0, -1.0, 0.5, 2.0, 7.0, low, high) if low <= y <= high]
    return st.one_of(st.sampled_from(round_ones), st.floats(low, high, allow_subnormal=False))


def landmarks(loss):
    """Where a formula may change: sums, differences and products of a loss's parameters and 1."""
    numbers = [float(value) for value in loss.get_params().values()]
    basis = [0.0, 1.0, *numbers, *(1.0 - number for number in numbers)]
    pairs = itertools.combinations_with_replacement(basis, 2)
    marks = {mark for a, b in pairs for mark in (a, a * b, a + b, a - b)}
    return sorted({signed for mark in marks for signed in (mark, -mark) if abs(mark) <= 100})


def at(loss, y, mark):
    """The raw prediction at which a loss's variable has this value, as nearly as rounding allows."""
    kind = loss.traits.kind
    return y + mark if kind == "residual" else mark / y if kind == "margin" else mark


@st.composite
def predictions(draw, loss, y):
    """A raw prediction: at, next to or near a landmark, at +-1e4, or anywhere between."""
    where = draw(st.integers(0, 5))
    if where == 0:
        return draw(st.sampled_from([FAR, -FAR, 0.0, -0.0, 1e3, -1e3]))
    if where == 1:
        return draw(st.floats(-FAR, FAR, allow_subnormal=False))
    if where == 2:
        return at(loss, y, draw(st.floats(-40, 40, allow_subnormal=False)))
    mark = at(loss, y, draw(st.sampled_from(landmarks(loss))))
    if where == 3:
        return mark
    if where == 4:
        return float(np.nextafter(mark, draw(st.sampled_from([-np.inf, np.inf]))))
    return mark + draw(st.sampled_from([-1, 1])) * draw(powers(1e-12, 1e-1))


@st.composite
def cases(draw, name, n=3, fixed=None):
    """(loss, y, p): a loss with up to n targets and raw predictions."""
    loss = draw(losses(name, fixed))
    y = draw(st.lists(targets(loss), min_size=1, max_size=n))
    p = [draw(predictions(loss, one)) for one in y]
    return loss, np.array(y), np.array(p)


def grid(loss, y):
    """Raw predictions for one target, dense at every scale and round every landmark: for suprema."""
    scales = np.concatenate([-np.logspace(4, -6, 400), [0.0], np.logspace(-6, 4, 400)])
    marks = np.array(landmarks(loss))
    near = np.concatenate([marks, np.nextafter(marks, np.inf), np.nextafter(marks, -np.inf)])
    return np.unique(at(loss, y, np.concatenate([scales, near, np.linspace(-40, 40, 801)])))


def target_grid(loss):
    """A few targets of every kind that the domain has."""
    if loss.target.hard:
        return np.array(loss.target.codes)
    low, high = loss.target.interval.bounds
    numbers = np.array([-50.0, -1.0, -0.9, -0.5, 0.0, 0.1, 0.5, 1.0, 3.0, 50.0])
    return numbers[(numbers >= low) & (numbers <= high)]

"""Losses of whole rows: formulas against mpmath, derivatives, convexity, Fenchel's inequality, and how arguments go."""

import importlib
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mpmath import exp, log, mpf, workdps
from sklearn.base import clone

from sklosses._isa import available_levels, level
from sklosses.losses import (
    MULTICLASS_LOSSES,
    CrammerSinger,
    LossCheckError,
    Multinomial,
    SmoothedCrammerSinger,
    check_loss,
    get_loss,
)

EPS = np.finfo(np.float64).eps
LOSSES = [Multinomial(), Multinomial(divergence=True), CrammerSinger(), SmoothedCrammerSinger(width=0.3)]


@workdps(60)
def reference(loss, y, p):
    """The value of one row in mpmath; y is a row of probabilities."""
    y, p = [mpf(float(v)) for v in y], [mpf(float(v)) for v in p]
    y = [v / sum(y) for v in y]
    inner = sum(a * b for a, b in zip(y, p, strict=True))
    if loss.name == "multinomial":
        top = max(p)
        value = top + log(sum(exp(v - top) for v in p)) - inner
        return value + (sum(v * log(v) for v in y if v > 0) if loss.divergence else 0)
    costly = [v + 1 - own for v, own in zip(p, y, strict=True)]
    if loss.name == "crammer_singer":
        return max(costly) - inner
    width = mpf(loss.width)     # the threshold of the projection, by trying every number of entries above it
    z = sorted((c / width + own for c, own in zip(costly, y, strict=True)), reverse=True)
    thresholds = [(sum(z[:k]) - 1) / k for k in range(1, len(z) + 1)]
    tau = max(t for k, t in enumerate(thresholds, 1) if z[k - 1] > t)
    a = [max(c / width + own - tau, mpf(0)) for c, own in zip(costly, y, strict=True)]
    apart = sum((v - own) ** 2 for v, own in zip(a, y, strict=True))
    return sum(v * c for v, c in zip(a, costly, strict=True)) - width / 2 * apart - inner


def one_hot(y, K):
    return np.eye(K)[y]


@st.composite
def rows(draw, size=1e4):
    """A class and raw predictions of 2 to 6 classes."""
    K = draw(st.integers(2, 6))
    numbers = st.one_of(st.floats(-size, size, allow_subnormal=False), st.sampled_from([0.0, 1.0, -1.0, 1e4, -1e4]),
                        st.floats(-3, 3, allow_subnormal=False))
    return draw(st.integers(0, K - 1)), draw(arrays(np.float64, K, elements=numbers))


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@given(row=rows())
def test_values_are_those_of_the_formula(loss, row):
    y, p = row
    value, expected = loss.value([y], p[np.newaxis])[0], reference(loss, one_hot(y, len(p)), p)
    # Stable: the error is that of the largest difference of predictions, and of the sum where it is tiny.
    assert abs(value - expected) <= 30 * EPS * (abs(expected) + 1) + EPS * abs(float(p.max() - p[y]))
    assert value >= 0


TIES = """
import numpy as np
from sklosses.losses import SmoothedCrammerSinger

rng = np.random.default_rng(0)
for K in range(3, 12):
    y, p = rng.integers(0, K, 400), np.repeat(rng.normal(size=(400, 1)), K, axis=1)
    above = int(K > 4) + 1
    p[:, :above] += rng.dirichlet(np.ones(above), 400)
    a = SmoothedCrammerSinger(width=1.0).gradient(y, p) + np.eye(K)[y]
    np.testing.assert_allclose(a, np.maximum(p - p[:, -1:], 0), atol=1e-14)
"""


def test_ties_at_the_threshold_of_a_projection_come_to_an_end():
    """Entries that are equal to the threshold are above it or not as rounding has it. An endless loop here would hold
    whoever calls it, and is in C: in a process of its own.
    """
    subprocess.run([sys.executable, "-c", TIES], timeout=60, check=True)


@given(row=rows(size=10.0), data=st.data())
def test_probabilities_as_targets(row, data):
    _, p = row
    y = data.draw(arrays(np.float64, len(p), elements=st.floats(0, 1))) + 1e-3
    y /= y.sum()
    for loss in (Multinomial(), Multinomial(divergence=True)):
        assert np.isclose(loss.value(y[np.newaxis], p[np.newaxis])[0], float(reference(loss, y, p)), atol=1e-13)
    assert np.allclose(Multinomial(divergence=True).value(y[np.newaxis], np.log(y)[np.newaxis]), 0, atol=1e-15)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@given(row=rows(size=20.0), data=st.data())
def test_convex_with_slopes_that_are_gradients(loss, row, data):
    """The gradient is a subgradient everywhere, and the derivative where the loss is smooth."""
    y, p = row
    q = data.draw(arrays(np.float64, len(p), elements=st.floats(-20, 20)))
    g = loss.gradient([y], p[np.newaxis])[0]
    rise = loss.value([y], q[np.newaxis])[0] - loss.value([y], p[np.newaxis])[0]
    assert rise >= g @ (q - p) - 1e-12 * (1 + np.abs(p).max() + np.abs(q).max())
    assert abs(g.sum()) <= 1e-14
    assert np.linalg.norm(g) <= loss.traits.lipschitz * (1 + 1e-12)
    if loss.traits.smooth:
        there = loss.gradient([y], q[np.newaxis])[0]
        assert np.linalg.norm(there - g) <= loss.traits.curvature * np.linalg.norm(q - p) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@given(row=rows(size=20.0), shift=st.floats(-1e3, 1e3))
def test_only_differences_of_predictions_count(loss, row, shift):
    y, p = row
    value = loss.value([y, y], np.stack([p, p + shift]))
    assert abs(value[1] - value[0]) <= 8 * EPS * (np.abs(p).max() + abs(shift) + 1)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@given(row=rows(size=20.0), data=st.data())
def test_fenchel(loss, row, data):
    """value + conjugate >= u.p, with equality at the gradient."""
    y, p = row
    u = loss.gradient([y], p[np.newaxis])
    at = loss.value([y], p[np.newaxis]) + loss.conjugate([y], u) - (u * p).sum()
    assert abs(at[0]) <= 1e-12 * (1 + np.abs(p).max())
    a = data.draw(arrays(np.float64, len(p), elements=st.floats(0.01, 1)))
    other = a / a.sum() - one_hot(y, len(p))
    gap = loss.value([y], p[np.newaxis]) + loss.conjugate([y], other[np.newaxis]) - other @ p
    assert gap[0] >= -1e-12 * (1 + np.abs(p).max())
    assert loss.conjugate([y], u + 1e-3)[0] == np.inf


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.traits.smooth], ids=repr)
def test_derivatives_against_differences(loss):
    rng = np.random.default_rng(0)
    p, y, step = rng.normal(size=(200, 4)), rng.integers(4, size=200), 1e-5
    gradient, hessian = loss.gradient(y, p), loss.hessian(y, p)
    for k in range(4):
        e = step * one_hot(k, 4)
        up, down = loss.value(y, p + e), loss.value(y, p - e)
        assert np.allclose(gradient[:, k], (up - down) / (2 * step), atol=2e-5 if loss.name != "multinomial" else 1e-9)
        slopes = (loss.gradient(y, p + e) - loss.gradient(y, p - e)) / (2 * step)
        near = np.abs(hessian[:, k] - slopes).max(axis=1) > 1e-6
        assert near.mean() <= (0 if loss.name == "multinomial" else 0.01)       # a kink of the gradient in between


def test_two_classes_are_the_loss_of_the_difference():
    rng = np.random.default_rng(1)
    p, y = 3 * rng.normal(size=(300, 2)), rng.integers(2, size=300)
    for loss in LOSSES:
        name, parameters = loss.of_difference
        binary = get_loss(name, **parameters)
        target = np.array(binary.target.codes)[y]
        assert np.allclose(loss.value(y, p), binary.value(target, p[:, 1] - p[:, 0]), rtol=1e-13, atol=1e-15)


def test_smoothing_stays_within_its_bound():
    rng = np.random.default_rng(2)
    p, y = 3 * rng.normal(size=(500, 5)), rng.integers(5, size=500)
    below = CrammerSinger().value(y, p) - CrammerSinger().smoothed(0.2).value(y, p)
    assert below.min() >= -1e-15
    assert 0.05 < below.max() <= 0.2 * (1 + 1e-12)
    assert Multinomial().smoothed(0.2) == Multinomial()
    # At a tie the gradient points to a wrong class, as the hinge's does.
    assert CrammerSinger().gradient([0], [[1.0, 0.0, -5.0]]).tolist() == [[-1.0, 1.0, 0.0]]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_arrays(loss):
    """float32, any memory layout, out, weights, single rows: all say the same."""
    rng = np.random.default_rng(3)
    p, y, s = rng.normal(size=(50, 3)), rng.integers(3, size=50), rng.random(50)
    value, gradient = loss.value(y, p), loss.gradient(y, p)
    assert np.array_equal(loss.value(y, np.asfortranarray(p)), value)
    assert np.array_equal([loss.value(y[i : i + 1], p[i : i + 1])[0] for i in range(50)], value)
    assert np.array_equal(loss.value(y, p, s), s * value)
    assert np.array_equal(loss.gradient(y.astype(float), p, s), s[:, np.newaxis] * gradient)
    assert loss(y, p, s) == pytest.approx(np.average(value, weights=s), rel=1e-14)
    single = loss.value(y, p.astype(np.float32))
    assert single.dtype == np.float32
    assert np.allclose(single, value, atol=1e-5)
    out = np.empty((50, 3))
    assert loss.gradient(y, p, out=out) is out
    assert np.array_equal(out, gradient)
    assert loss.value(y[:0], p[:0]).shape == (0,)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_objects(loss):
    assert get_loss(loss.name, **loss.get_params()) == loss
    assert clone(loss) == pickle.loads(pickle.dumps(loss)) == loss
    assert type(loss) is MULTICLASS_LOSSES[loss.name]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_check_loss_agrees(loss):
    found = [finding.check for finding in check_loss(loss, verbose=False)]
    assert found[:3] == ["domain", "rowwise", "simplex"]
    assert {"gradient", "convexity", "lipschitz", "conjugate"} <= set(found)
    assert ("smoothed" in found) == (not loss.traits.smooth)
    with pytest.raises(TypeError, match="give none"):
        check_loss(loss, y=[0.0])


class _Lies(Multinomial):
    """Multinomial, and one thing about it that is not so."""

    def __init__(self, lie="none"):
        super().__init__()
        self.lie = lie

    @property
    def traits(self):
        return replace(Multinomial.traits, **{"lipschitz": {"lipschitz": 1.0}, "curvature": {"curvature": 0.3}}.get(
            self.lie, {}))

    def evaluate(self, y, p):
        value, a = super().evaluate(y, p)
        if self.lie == "domain":
            value[p.max(axis=1) > 1e3] = np.inf
        elif self.lie == "rowwise":
            value += 1e-9 * len(value)
        elif self.lie == "simplex":
            a = a + 1e-6
        elif self.lie == "gradient":
            a = np.roll(a, 1, axis=1)
        elif self.lie == "convexity":       # a value and its derivatives, of a function that is not convex
            value, a = np.minimum(value, 1.0), np.where(value[:, np.newaxis] < 1, a, np.eye(p.shape[1])[y])
        return value, a

    def hessian(self, *arguments):
        return super().hessian(*arguments) * (1.1 if self.lie == "hessian" else 1)

    def conjugate_at(self, y, a):
        return super().conjugate_at(y, a) + (1e-3 if self.lie == "conjugate" else 0)

    def probability(self, p):
        return super().probability(2 * p if self.lie == "probability" else p)


class _Sinks(CrammerSinger):
    def smoothed(self, mu):
        return SmoothedCrammerSinger(width=3 * mu)


@pytest.mark.parametrize("lie", ["domain", "rowwise", "simplex", "gradient", "hessian", "convexity", "lipschitz",
                                 "curvature", "conjugate", "probability"])
def test_check_loss_finds_lies(lie):
    loss = _Lies(lie)
    loss.takes_probabilities = lie != "convexity"
    with pytest.raises(LossCheckError) as caught:
        check_loss(loss, verbose=False)
    assert caught.value.fault == lie
    assert "p0" in caught.value.counterexample


def test_check_loss_finds_smoothed_forms_that_are_too_low():
    with pytest.raises(LossCheckError, match="smoothed"):
        check_loss(_Sinks(), verbose=False)


def test_probability():
    p = np.array([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]])
    assert np.allclose(Multinomial().probability(p), [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    with pytest.raises(AttributeError, match="no probability"):
        CrammerSinger().probability(p)


@pytest.mark.parametrize(
    ("loss", "y", "p", "message"),
    [
        (Multinomial(), [0, 3], np.zeros((2, 3)), r"y_true contains 3, which is no class number: there are 0 to 2"),
        (Multinomial(), [0.5, 1], np.zeros((2, 3)), "contains 0.5, which is no class number"),
        (Multinomial(), [np.nan, 1], np.zeros((2, 3)), "contains nan"),
        (Multinomial(), [[0.5, 0.4, 0.0]], np.zeros((1, 3)), r"Rows of y_true must sum to 1: row 0 sums to 0.9"),
        (Multinomial(), [[1.5, -0.5, 0.0]], np.zeros((1, 3)), "contains 1.5, which is no probability"),
        (Multinomial(), [[0.5, 0.5]], np.zeros((1, 3)), r"y_true has shape \(1, 2\), expected \(n,\) or \(n, 3\)"),
        (CrammerSinger(), [[0.5, 0.5, 0.0]], np.zeros((1, 3)), "CrammerSinger takes class numbers"),
        (Multinomial(), [0], np.zeros(3), r"raw_prediction has shape \(3,\), expected \(n, K\)"),
        (Multinomial(), [0], np.zeros((1, 1)), "K >= 2"),
        (Multinomial(), [0, 1], np.zeros((1, 3)), "y_true has 2 rows, raw_prediction has 1"),
        (Multinomial(), ["a"], np.zeros((1, 3)), "got dtype <U1"),
    ],
)
def test_bad_arguments(loss, y, p, message):
    with pytest.raises(ValueError, match=message):
        loss.value(y, p)


def test_bad_parameters():
    with pytest.raises(ValueError, match="divergence=1 of Multinomial must be True or False"):
        Multinomial(divergence=1)
    with pytest.raises(ValueError, match=r"width=0.* of SmoothedCrammerSinger must be a number in \(0, inf\)"):
        SmoothedCrammerSinger(width=0.0)
    with pytest.raises(ValueError, match="Did you mean 'multinomial'"):
        get_loss("categorical_crossentropy")


def test_instruction_sets_agree():
    """Each level that runs here, against the one in use: rounding apart."""
    rng = np.random.default_rng(4)
    p, y = 5 * rng.normal(size=(100, 7)), rng.integers(7, size=100)
    found = []
    for name in available_levels():
        suffix = "" if name == "baseline" else f"_{name}"
        kernels = importlib.import_module(f"sklosses.losses._multiclass_kernels{suffix}")
        a, rest, b, value = np.empty((100, 7)), np.empty(100), np.empty((100, 7)), np.empty(100)
        kernels.softmax(p, y, a, rest)
        kernels.margins(p, y, 0.5, b, value)
        found.append(np.hstack([a, b, rest[:, None], value[:, None]]))
    assert level() in available_levels()
    for other in found[1:]:
        assert np.allclose(other, found[0], rtol=1e-14, atol=1e-15)

"""Laws of the penalties: value, proximal operator, distance to the subdifferential, columns, objects."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from sklosses.penalties import L1, L2, PENALTIES, ElasticNet, NoPenalty, get_penalty

NAMES = tuple(PENALTIES)
EPS = np.finfo(np.float64).eps

coefficients = st.lists(st.one_of(st.just(0.0), st.floats(-1e3, 1e3, allow_subnormal=False)), min_size=1, max_size=6)
strengths = st.one_of(st.sampled_from([0.0, 1e-4, 1.0]), st.floats(0, 100))
shares = st.one_of(st.sampled_from([0.0, 0.15, 1.0]), st.floats(0, 1))
steps = st.floats(1e-6, 1e3)


@st.composite
def penalties(draw, name):
    available = {"alpha": draw(strengths), "l1_ratio": draw(shares)}
    return PENALTIES[name](**{key: available[key] for key in PENALTIES[name].parameters})


def alpha_and_share(penalty):
    given_parameters = penalty.get_params()
    return given_parameters.get("alpha", 0.0), given_parameters.get("l1_ratio", 1.0 if penalty.name == "l1" else 0.0)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_value_is_the_formula(name, data):
    penalty, w = data.draw(penalties(name)), np.array(data.draw(coefficients))
    alpha, share = alpha_and_share(penalty)
    expected = alpha * (share * sum(abs(w)) + (1 - share) / 2 * sum(w * w))
    assert penalty.value(w) == pytest.approx(expected, rel=1e-14, abs=1e-300)
    assert isinstance(penalty.value(w), float)
    assert penalty.l1.tolist() == [alpha * share]
    assert penalty.l2.tolist() == [alpha * (1 - share)]


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_prox_is_where_the_subdifferential_holds_the_step(name, data):
    """(v - prox(v)) / step is a subgradient of the penalty at prox(v)."""
    penalty, v = data.draw(penalties(name)), np.array(data.draw(coefficients))
    step = data.draw(steps)
    w = penalty.prox(v, step)
    distance = penalty.subdifferential_distance(w, (w - v) / step)
    assert np.all(distance <= 16 * EPS * (np.abs(v) / step + penalty.l1 + penalty.l2 * np.abs(v)))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_prox_minimises(name, data):
    penalty, v = data.draw(penalties(name)), np.array(data.draw(coefficients))
    step = data.draw(steps)
    w = penalty.prox(v, step)
    rival = np.array(data.draw(st.lists(st.floats(-1e3, 1e3), min_size=len(v), max_size=len(v))))

    def cost(x):
        return penalty.value(x) + np.sum((x - v) ** 2) / (2 * step)

    assert cost(w) <= min(cost(rival), cost(v), cost(0 * v)) * (1 + 1e-12) + 1e-12 * np.sum(v * v) / step


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_moreau(name, data):
    """v = prox_{step P}(v) + step prox_{P* / step}(v / step), the conjugate P* being ((|u| - l1)+)^2 / (2 l2)."""
    penalty, v = data.draw(penalties(name)), np.array(data.draw(coefficients))
    step = data.draw(steps)
    l1, l2 = penalty.l1, penalty.l2
    u = v / step
    dual = np.where(np.abs(u) <= l1, u, np.sign(u) * (l1 + (np.abs(u) - l1) * step * l2 / (1 + step * l2)))
    np.testing.assert_allclose(penalty.prox(v, step) + step * dual, v, rtol=1e-12, atol=1e-12 * np.abs(v).max())


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_subdifferential_distance(name, data):
    """By definition: the least abs(-gradient - s) over the subgradients s, an interval at 0."""
    penalty, w = data.draw(penalties(name)), np.array(data.draw(coefficients))
    gradient = np.array(data.draw(st.lists(st.floats(-100, 100), min_size=len(w), max_size=len(w))))
    alpha, share = alpha_and_share(penalty)
    low = alpha * (share * np.where(w > 0, 1, -1) + (1 - share) * w)
    high = alpha * (share * np.where(w < 0, -1, 1) + (1 - share) * w)
    expected = np.maximum(0, np.maximum(low + gradient, -gradient - high))
    np.testing.assert_allclose(
        penalty.subdifferential_distance(w, gradient), expected, rtol=1e-12, atol=1e-10 * (1 + alpha)
    )


@given(data=st.data())
def test_vectors_are_columns(data):
    """Row k of the coefficients under the k-th parameters, bit for bit."""
    k, d = data.draw(st.integers(2, 4)), data.draw(st.integers(1, 20))
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    coef, gradient, step = random.normal(size=(k, d)), random.normal(size=(k, d)), random.uniform(0.1, 2, size=k)
    alpha, share = random.uniform(size=k), random.uniform(size=k)
    together, scalar = ElasticNet(alpha, share), ElasticNet(0.3, 0.4)
    singles = [ElasticNet(alpha[i], share[i]) for i in range(k)]
    for penalty, each in ((together, singles), (scalar, [scalar] * k)):
        for array in (coef, np.asfortranarray(coef)):
            values, moved = penalty.value(array), penalty.prox(array, step)
            distances = penalty.subdifferential_distance(array, gradient)
            for i, one in enumerate(each):
                assert values[i] == one.value(coef[i])
                np.testing.assert_array_equal(moved[i], one.prox(coef[i], step[i]))
                np.testing.assert_array_equal(distances[i], one.subdifferential_distance(coef[i], gradient[i]))
    assert together.n_columns == k
    for wrong in (np.zeros((k + 1, d)), np.zeros(d), np.zeros((k, d, 1)), 0.0):
        with pytest.raises(ValueError, match="coef has shape"):
            together.value(wrong)


def test_special_cases_of_the_elastic_net():
    w = np.random.default_rng(0).normal(size=50)
    for special, general in ((L2(0.3), ElasticNet(0.3, 0.0)), (L1(0.3), ElasticNet(0.3, 1.0)), (NoPenalty(), L2(0.0))):
        assert special.value(w) == general.value(w)
        np.testing.assert_array_equal(special.prox(w, 0.5), general.prox(w, 0.5))
        np.testing.assert_array_equal(
            special.subdifferential_distance(w, -w), general.subdifferential_distance(w, -w)
        )


@pytest.mark.parametrize("name", NAMES)
def test_float32_stays_float32(name):
    penalty, w = get_penalty(name, alpha=0.5), np.array([-1.0, 0.0, 2.0], dtype=np.float32)
    assert penalty.prox(w, 0.1).dtype == np.float32
    assert penalty.subdifferential_distance(w, w).dtype == np.float32
    assert penalty.prox([1, 2], 0.1).dtype == np.float64


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_copies_are_equal(name, data):
    penalty, other = data.draw(penalties(name)), data.draw(penalties(name))
    namespace = {cls.__name__: cls for cls in PENALTIES.values()}
    twins = [clone(penalty), copy.deepcopy(penalty), pickle.loads(pickle.dumps(penalty))]
    for twin in (*twins, eval(repr(penalty), namespace)):
        assert type(twin) is type(penalty)
        assert twin == penalty
        assert hash(twin) == hash(penalty)
    assert (penalty == other) == (penalty.get_params() == other.get_params())
    assert penalty != "a penalty"
    assert copy.copy(penalty).set_params(**other.get_params()) == other


def test_names():
    assert get_penalty(None) == get_penalty("none") == NoPenalty()
    assert get_penalty("l2", alpha=2.0, l1_ratio=0.5) == L2(2.0)
    assert get_penalty("l1", alpha=2.0) == L1(2.0)
    assert get_penalty("elasticnet", alpha=2.0, l1_ratio=0.5) == ElasticNet(2.0, 0.5)
    penalty = L1(3.0)
    assert get_penalty(penalty) is penalty
    foreign = {"L2": "l2", "lasso": "l1", "ridge": "l2", "elastic_net": "elasticnet", "Elastic-Nets": "elasticnet"}
    for name, ours in foreign.items():
        with pytest.raises(ValueError, match=f"Did you mean '{ours}'"):
            get_penalty(name)
    with pytest.raises(ValueError, match="Valid: 'none', 'l2', 'l1', 'elasticnet'"):
        get_penalty("qwertyuiop")
    with pytest.raises(TypeError, match="penalty=3"):
        get_penalty(3)


@pytest.mark.parametrize(("key", "bad"), [
    *(("alpha", bad) for bad in (-1.0, np.nan, np.inf, "1", None, [1.0, -1.0], [[1.0]], [], True)),
    *(("l1_ratio", bad) for bad in (-0.1, 1.1, np.nan, "1", None, [0.5, 2.0])),
])
def test_parameters_out_of_range(key, bad):
    with pytest.raises(ValueError, match=key):
        ElasticNet(**{key: bad})
    penalty = ElasticNet()
    with pytest.raises(ValueError, match=key):
        penalty.set_params(**{key: bad})
    assert penalty == ElasticNet()


def test_other_errors():
    with pytest.raises(ValueError, match="one value a column"):
        ElasticNet(alpha=[1.0, 2.0], l1_ratio=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="nonsense"):
        L2().set_params(nonsense=1)
    with pytest.raises(AttributeError, match="nonsense"):
        L2().nonsense  # noqa: B018
    for step in (0.0, -1.0, np.nan, np.inf, [0.5, 0.5]):
        with pytest.raises(ValueError, match="step"):
            L2().prox([1.0, 2.0], step)
    with pytest.raises(ValueError, match="gradient has shape"):
        L2().subdifferential_distance([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="real numbers"):
        L2().value(np.array([1j]))

"""Losses of embeddings: against formulas on whole matrices, with complex steps for the derivatives, and their contract.

SKLOSSES_EMBEDDING_EXAMPLES=1000 draws as many random shapes (100 otherwise).
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from oracle import embedding as oracle
from sklosses.losses import (
    EMBEDDING_LOSSES,
    LOSSES,
    NCA,
    Center,
    Contrastive,
    Cosine,
    EmbeddingLoss,
    Huber,
    NTXent,
    SupCon,
    Triplet,
    get_loss,
    loss_names,
)

EXAMPLES = int(os.environ.get("SKLOSSES_EMBEDDING_EXAMPLES", "100"))
TOLERANCE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-4}
STEP = 1e-30


class Case:
    """A loss, its embedding arguments, how it is called with them, and the formula as a function of them.

    `smooth`: for each embedding argument the rows in which the formula is differentiable and a zero row has no part.
    `steep`: for losses of cosines, how steep they are in one; rounding errors of gradients are of that over the norm.
    `terms`: the size of what the formula subtracts from each other, in which rounding errors of values are counted.
    """

    def __init__(self, loss, arrays, call, formula, smooth=None, steep=0, terms=0):
        self.loss, self.arrays, self.call, self.formula = loss, arrays, call, formula
        self.steep, self.terms = steep, terms
        self.smooth = smooth or [np.ones(len(array), dtype=bool) for array in arrays]

    def arguments(self):
        return self.call(*self.arrays)


def embeddings(random, n, d, count):
    """Rows of embeddings with ties, zeros and duplicates."""
    scale = 10.0 ** random.uniform(-3, 3)
    arrays = random.normal(size=(count, n, d))
    if random.random() < 0.4:
        arrays = np.round(arrays)
    arrays *= scale
    for array in arrays:
        if random.random() < 0.3:
            array[random.integers(n)] = 0
        if random.random() < 0.3:
            array[random.integers(n)] = array[random.integers(n)]
        if random.random() < 0.3:
            array[random.integers(n)] = arrays[0][random.integers(n)]
    if random.random() < 0.1:
        arrays[:] = arrays[0, 0]
    return arrays


def nonzero(*arrays):
    return np.logical_and.reduce([array.any(axis=1) for array in arrays])


def make_contrastive(random, a, b, _, same, labels):
    distance = oracle.distance(a, b)
    margin = float(np.median(distance) + random.uniform(0.1, 1) * (1 + distance.max()))
    smooth = (distance > 0) | (same == 1)
    return Case(
        Contrastive(margin),
        (a, b),
        lambda a, b: (a, b, same),
        lambda a, b: oracle.contrastive(a, b, same, margin),
        [smooth, smooth],
    )


def make_cosine(random, a, b, _, same, labels):
    margin = float(random.choice([-1.0, 0.0, 0.25, random.uniform(-1, 1)]))
    cos = (oracle.unit(a) * oracle.unit(b)).sum(axis=1)
    smooth = nonzero(a, b) & ((same == 1) | (abs(cos - margin) > 1e-6))
    return Case(
        Cosine(margin),
        (a, b),
        lambda a, b: (a, b, same),
        lambda a, b: oracle.cosine(a, b, same, margin),
        [smooth, smooth],
        1.0,
    )


def make_triplet(random, a, b, c, same, labels):
    squared = bool(random.integers(2))
    near, far = oracle.distance(a, b), oracle.distance(a, c)
    margin = float(random.choice([0.0, 1.0, near.max() + far.max()]))
    power = 2 if squared else 1
    apart = near**power - far**power + margin
    smooth = (abs(apart) > 1e-6 * (near**power + far**power + margin)) & (squared | ((near > 0) & (far > 0)))
    return Case(
        Triplet(margin, squared),
        (a, b, c),
        lambda a, b, c: (a, b, c),
        lambda a, b, c: oracle.triplet(a, b, c, margin, squared),
        [smooth] * 3,
        terms=near**power + far**power,
    )


def make_center(random, a, b, _, same, labels):
    centers = b[: labels.max() + 1] if len(b) > labels.max() else np.resize(b, (labels.max() + 1, b.shape[1]))
    return Case(Center(), (a, centers), lambda z, c: (z, labels, c), lambda z, c: oracle.center(z, labels, c))


def temperature(random):
    return float(random.choice([0.01, 0.05, 0.1, 0.5, 2.0, 10 ** random.uniform(-2, 1)]))


def make_nt_xent(random, a, b, _, same, labels):
    t = temperature(random)
    a, b = (a, b) if len(a) > 1 else (np.vstack([a, b]), np.vstack([b, a]))
    smooth = [nonzero(a), nonzero(b)]
    return Case(NTXent(t), (a, b), lambda a, b: (a, b), lambda a, b: oracle.nt_xent(a, b, t), smooth, 1 / t)


def make_supcon(random, a, b, _, same, labels):
    t = temperature(random)
    rows = np.vstack([a, b, b])
    labels = np.concatenate([labels, labels, [9, *labels[1:]]])
    return Case(
        SupCon(t), (rows,), lambda z: (z, labels), lambda z: oracle.supcon(z, labels, t), [nonzero(rows)], 1 / t
    )


def make_nca(random, a, b, _, same, labels):
    rows = np.vstack([a, b, b])
    labels = np.concatenate([labels, labels, [9, *labels[1:]]])
    squares = (rows**2).sum(axis=1)
    apart = ((rows[:, None] - rows) ** 2).sum(axis=2)
    t = float(apart.max() or squares.max() or 1.0) * 10 ** random.uniform(-2, 1)
    terms = squares.max() / t       # a squared distance is a difference of numbers of this size
    formula = lambda z: oracle.nca(z, labels, t)  # noqa: E731
    return Case(NCA(t), (rows,), lambda z: (z, labels), formula, steep=min(terms, 100), terms=terms)


MAKERS = {name: globals()[f"make_{name}"] for name in EMBEDDING_LOSSES}


def derivatives(case, weight, directions):
    """The formula's derivative along directions, by complex steps."""
    points = [array.astype(complex) + STEP * 1j * step for array, step in zip(case.arrays, directions, strict=True)]
    with np.errstate(all="ignore"):
        return (weight * case.formula(*points)).imag.sum() / STEP


def rounding(array, step):
    """The sum of |step| / |row| over the rows that are not zero."""
    norms = np.linalg.norm(array, axis=1)
    return (np.linalg.norm(step, axis=1)[norms > 0] / norms[norms > 0]).sum()


def check_gradient(case, gradients, weight, random, tolerance, n_directions=6):
    """Along coordinates and random directions, within the smooth rows; elsewhere finite."""
    sizes = [array.size for array in case.arrays]
    for k in range(n_directions):
        directions = [random.normal(size=array.shape) for array in case.arrays]
        if k % 2:  # one coordinate
            at = random.integers(sum(sizes))
            flat = np.zeros(sum(sizes))
            flat[at] = 1
            parts = np.split(flat, np.cumsum(sizes)[:-1])
            directions = [part.reshape(array.shape) for part, array in zip(parts, case.arrays, strict=True)]
        for direction, smooth in zip(directions, case.smooth, strict=True):
            direction[~smooth] = 0
        found = sum((g.astype(float) * step).sum() for g, step in zip(gradients, directions, strict=True))
        size = sum(np.abs(g.astype(float) * step).sum() for g, step in zip(gradients, directions, strict=True))
        largest = max((np.abs(g[s]).max(initial=0) for g, s in zip(gradients, case.smooth, strict=True)), default=0)
        unit = sum(case.steep * rounding(array, step) for array, step in zip(case.arrays, directions, strict=True))
        expected = derivatives(case, weight, directions)
        assert abs(found - expected) <= tolerance * (size + largest + abs(expected) + unit), (case.loss, k)
    assert all(np.isfinite(g).all() for g in gradients)


def check(case, weight, random, n_directions=6):
    """Values and gradients to 1e-10 and 1e-4; below a temperature of 0.01 an error in a cosine shows more."""
    with np.errstate(all="ignore"):
        exact = case.formula(*(array.astype(np.longdouble) for array in case.arrays))
    weight = weight[: len(exact)] if len(weight) >= len(exact) else np.resize(weight, len(exact))
    dtype = case.arrays[0].dtype
    value, gradients = case.loss.value_and_gradient(*case.arguments(), sample_weight=weight)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    assert value.dtype == dtype
    assert all(g.dtype == dtype and g.shape == a.shape for g, a in zip(gradients, case.arrays, strict=True))
    scale = weight * (1 + np.abs(exact) + case.terms) + 1e-12
    tolerance = TOLERANCE[dtype] * max(1, 0.01 * case.steep)
    assert np.max(np.abs(value - weight * exact) / scale) <= tolerance, case.loss
    case.arrays = [array.astype(float) for array in case.arrays]
    check_gradient(case, gradients, weight, random, tolerance, n_directions)


@pytest.mark.parametrize("name", EMBEDDING_LOSSES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_against_the_formula_on_random_shapes(name, dtype):
    """1000 shapes with ties, zeros and duplicates; values in extended precision, derivatives by complex steps."""
    for example in range(EXAMPLES):
        random = np.random.default_rng([example, len(name)])
        n, d = random.integers(1, 24), random.integers(1, 20)
        arrays = embeddings(random, n, d, 3).astype(dtype).astype(float)
        case = MAKERS[name](random, *arrays, random.integers(0, 2, n), random.integers(0, 5, n))
        case.arrays = [array.astype(dtype) for array in case.arrays]
        weight = random.choice([0.0, 1.0, 2.0, 0.3], size=3 * n) if example % 2 else np.ones(3 * n)
        check(case, weight, random)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("t", [0.5, 0.01, 0.001])
@pytest.mark.parametrize(
    ("n", "d"), [(24, 127), (25, 129), (49, 3), (97, 17), (200, 128), (300, 40), (385, 300), (500, 33), (801, 8)]
)
def test_tiles_and_panels(n, d, t, dtype):
    """Shapes around the edges of blocks, panels and vectors, odd and even numbers of blocks."""
    random = np.random.default_rng(n)
    a = random.normal(size=(n, d)).astype(dtype)
    b = (a + 0.3 * random.normal(size=(n, d))).astype(dtype)
    b[3] = a[0] = 0
    b[5] = a[2]
    labels = random.integers(0, 7, n)
    weight = random.uniform(0, 2, 2 * n)
    ok = [nonzero(a), nonzero(b)]
    check(
        Case(NTXent(t), (a, b), lambda a, b: (a, b), lambda a, b: oracle.nt_xent(a, b, t), ok, 1 / t), weight, random, 2
    )
    formula = lambda z: oracle.supcon(z, labels, t)  # noqa: E731
    check(Case(SupCon(t), (b,), lambda z: (z, labels), formula, ok[1:], 1 / t), weight, random, 2)


def all_calls(n=300, d=20, dtype=np.float64):
    """For each loss its arguments."""
    random = np.random.default_rng(1)
    a, b, c = random.normal(size=(3, n, d)).astype(dtype)
    labels = random.integers(0, 6, n)
    return {
        "contrastive": (Contrastive(), (a, b, labels > 2)),
        "cosine": (Cosine(), (a, b, labels > 2)),
        "triplet": (Triplet(), (a, b, c)),
        "center": (Center(), (a, labels, b[:6])),
        "nt_xent": (NTXent(), (a, b)),
        "supcon": (SupCon(), (a, labels)),
        "nca": (NCA(), (a, labels)),
    }


def as_tuple(gradient):
    return gradient if isinstance(gradient, tuple) else (gradient,)


def same_bits(first, second):
    return all(np.array_equal(x, y) for x, y in zip(as_tuple(first), as_tuple(second), strict=True))


@pytest.mark.parametrize("name", EMBEDDING_LOSSES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_threads_do_not_matter(name, dtype):
    loss, arguments = all_calls(1500, 150, dtype)[name]
    value, gradient = loss.value_and_gradient(*arguments, n_threads=1)
    for n_threads in (2, 3, 7):
        for _ in range(3):
            other, slope = loss.value_and_gradient(*arguments, n_threads=n_threads)
            assert np.array_equal(value, other)
            assert same_bits(gradient, slope)


@pytest.mark.parametrize("name", EMBEDDING_LOSSES)
def test_calls_agree(name):
    """value, gradient, both at once, the mean, weights, and out in every form."""
    loss, arguments = all_calls()[name]
    value, gradient = loss.value_and_gradient(*arguments)
    assert np.array_equal(value, loss.value(*arguments))
    assert same_bits(gradient, loss.gradient(*arguments))
    weight = np.random.default_rng(2).uniform(0, 2, len(value))
    assert loss(*arguments) == pytest.approx(value.mean(), rel=1e-14)
    assert loss(*arguments, sample_weight=weight) == pytest.approx(np.average(value, weights=weight), rel=1e-14)
    assert loss.value(*arguments, weight) == pytest.approx(weight * value, rel=1e-14)
    mixed = [x.astype(np.float32) if k == 0 else x for k, x in enumerate(arguments)]
    assert loss.value(*mixed).dtype == (np.float32 if name in ("supcon", "nca") else np.float64)
    lists = [np.asarray(x).tolist() for x in arguments]
    assert np.array_equal(value, loss.value(*lists))
    fortran = [np.asfortranarray(x) for x in arguments]
    assert same_bits(gradient, loss.gradient(*fortran))

    out = np.full_like(value, np.nan)
    assert loss.value(*arguments, out=out) is out
    assert np.array_equal(out, value)
    strided = tuple(np.full((*g.shape, 2), np.nan)[..., 0] for g in as_tuple(gradient))
    given = strided if len(strided) > 1 else strided[0]
    assert loss.gradient(*arguments, out=given) is given or all(x is y for x, y in zip(given, strided, strict=True))
    assert same_bits(strided, gradient)
    both = loss.value_and_gradient(*arguments, out=(out, None))
    assert both[0] is out
    assert same_bits(both[1], gradient)


@pytest.mark.parametrize("name", EMBEDDING_LOSSES)
def test_out_may_be_an_argument(name):
    loss, arguments = all_calls()[name]
    expected = as_tuple(loss.gradient(*arguments))
    copies = [np.array(x) for x in arguments]
    places = {"center": (0, 2), "supcon": (0,), "nca": (0,)}.get(name, range(len(expected)))
    out = tuple(copies[k] for k in places)
    loss.gradient(*copies, out=out if len(out) > 1 else out[0])
    assert same_bits(out, expected)


def test_weights_of_views():
    a, b = np.random.default_rng(0).normal(size=(2, 10, 4))
    weight = np.arange(10.0)
    assert np.array_equal(NTXent().value(a, b, weight), NTXent().value(a, b, np.tile(weight, 2)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("t", [1e-6, 0.01, 0.5, 1e3])
def test_nothing_is_nan(dtype, t):
    """Zero rows, one point throughout, opposite points, and rows as long and as short as the dtype has them."""
    info = np.finfo(dtype)
    pattern = np.random.default_rng(0).normal(size=(12, 5))
    batches = [np.zeros((12, 5)), np.ones((12, 5)), np.repeat([[1.0], [-1.0]], 6, axis=0) * np.ones(5)]
    batches += [pattern * size for size in (info.max / 1e4, info.max**0.5 * 10, info.tiny * 1e4, info.tiny, 0.0)]
    labels = np.arange(12) % 3
    for batch in batches:
        z = batch.astype(dtype)
        with np.errstate(all="ignore"):
            results = [
                *NTXent(t).value_and_gradient(z, z),
                *SupCon(t).value_and_gradient(z, labels),
                *Cosine().value_and_gradient(z, z[::-1], labels > 1),
                *Contrastive().value_and_gradient(z, z[::-1], labels > 1),
                *Triplet().value_and_gradient(z, z[::-1], z),
                *Triplet(squared=False).value_and_gradient(z, z[::-1], z),
            ]
        for result in results:
            assert not any(np.isnan(part).any() for part in as_tuple(result))


def test_conventions_at_zero():
    """A zero row: cos = 0 and no gradient. Distance 0: no gradient where its direction is undefined."""
    zero, one = np.zeros((1, 2)), np.array([[3.0, 4.0]])
    value, gradient = Cosine(margin=-0.5).value_and_gradient(np.vstack([zero, zero]), np.vstack([one, one]), [1, 0])
    assert value.tolist() == [1.0, 0.5]
    assert not np.any(gradient)
    value, gradient = Contrastive(margin=2.0).value_and_gradient(one, one, [0])
    assert value.tolist() == [2.0]
    assert not np.any(gradient)
    value, (a, p, n) = Triplet(margin=1.0, squared=False).value_and_gradient(one, one, np.array([[3.0, 3.5]]))
    assert value == pytest.approx([0.5])
    assert not np.any(p)
    assert a == pytest.approx(np.array([[0.0, -1.0]]))
    assert n == pytest.approx(np.array([[0.0, 1.0]]))
    z = np.vstack([zero, one, -one, one + 1])
    value, gradient = SupCon(0.1).value_and_gradient(z, [0, 0, 1, 1])
    assert value[0] == pytest.approx(np.log(3))
    assert not gradient[0].any()
    assert gradient[1].any()


def test_small_values_keep_their_digits():
    """nt_xent of well separated pairs: log1p, not a difference of logarithms."""
    z = np.eye(4)
    exact = np.log1p(6 * np.exp(-50.0))
    assert NTXent(0.02).value(z, z) == pytest.approx(np.full(8, exact), rel=1e-12)
    assert NTXent(0.02).value(z.astype(np.float32), z.astype(np.float32)) == pytest.approx(np.full(8, exact), rel=1e-5)


def test_rows_that_contribute_nothing():
    z = np.random.default_rng(0).normal(size=(6, 3))
    value, gradient = SupCon().value_and_gradient(z, [0, 0, 1, 1, 2, 3])
    assert value[4:].tolist() == [0.0, 0.0]
    assert (value[:4] > 0).all()
    assert gradient[4:].any()  # they are negatives of the others still
    for labels, why in (([1] * 6, "one class"), (list(range(6)), "no two rows")):
        with pytest.warns(UserWarning, match=why):
            value, gradient = SupCon().value_and_gradient(z, labels)
        assert not value.any()
        assert not gradient.any()
    with pytest.warns(UserWarning, match="single pair"):
        value, gradient = NTXent().value_and_gradient(z[:1], z[1:2])
    assert value.tolist() == [0.0, 0.0]
    assert not np.any(gradient)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Contrastive().value(z, z, [1] * 6)
        Center().value(z, [0] * 6, z[:1])


@pytest.mark.parametrize("kind", [str, bool, np.int8, object])
def test_labels_of_any_kind(kind):
    z = np.random.default_rng(0).normal(size=(20, 3))
    labels = np.arange(20) % 2
    assert np.array_equal(SupCon().value(z, labels.astype(kind)), SupCon().value(z, labels))


def test_update_of_centers():
    """Wen et al.'s rule, one class at a time; a class without rows keeps its centre."""
    random = np.random.default_rng(0)
    z, centers = random.normal(size=(50, 4)), random.normal(size=(5, 4))
    labels = random.integers(0, 4, 50)
    moved = Center().update_centers(z, labels, centers, rate=0.3)
    for j in range(5):
        rows = z[labels == j]
        expected = centers[j] - 0.3 * (centers[j] - rows).sum(axis=0) / (1 + len(rows))
        assert moved[j] == pytest.approx(expected, rel=1e-12)
    assert Center().update_centers(z, labels, centers, rate=0.3, out=centers) is centers
    assert np.array_equal(centers, moved)
    with pytest.raises(ValueError, match="rate=2"):
        Center().update_centers(z, labels, centers, rate=2)


def test_objects():
    assert loss_names("embedding") == tuple(EMBEDDING_LOSSES)
    assert not set(loss_names()) & set(EMBEDDING_LOSSES)
    assert not set(LOSSES) & set(EMBEDDING_LOSSES)
    for name, cls in EMBEDDING_LOSSES.items():
        loss = get_loss(name)
        assert type(loss) is cls
        assert isinstance(loss, EmbeddingLoss)
        assert loss.name == name
        assert loss.tasks == {"embedding"}
        assert get_loss(loss) is loss
        assert pickle.loads(pickle.dumps(loss)) == clone(loss) == loss == eval(repr(loss))
        assert hash(loss) == hash(cls())
        assert loss != Huber()
        assert loss.set_params(**loss.get_params()) is loss
    assert get_loss("nt_xent", temperature=0.1) == NTXent(0.1) != NTXent(0.2)
    assert get_loss(SupCon, temperature=0.3).temperature == 0.3
    assert get_loss(Triplet(squared=False), margin=2.0) == Triplet(2.0, squared=False)
    assert repr(Triplet()) == "Triplet(margin=1.0, squared=True)"
    with pytest.raises(AttributeError, match="slope"):
        _ = Center().slope
    with pytest.raises(ValueError, match="Did you mean 'nt_xent'"):
        get_loss("simclr")
    with pytest.raises(TypeError, match="no parameter 'margin'"):
        get_loss("supcon", margin=1)
    with pytest.raises(ValueError, match="Invalid parameter 'rate'"):
        Triplet().set_params(rate=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NTXent(0), r"temperature=0 of NTXent must be a number in \(0, inf\)"),
        (lambda: NTXent(-1.0), "temperature=-1.0"),
        (lambda: SupCon(np.nan), "temperature=nan"),
        (lambda: SupCon(np.inf), "temperature=inf"),
        (lambda: SupCon("low"), "temperature='low'"),
        (lambda: Contrastive(0.0), r"margin=0.0 of Contrastive must be a number in \(0, inf\)"),
        (lambda: Cosine(1.5), r"margin=1.5 of Cosine must be a number in \[-1, 1\]"),
        (lambda: Triplet(-0.1), "margin=-0.1 of Triplet"),
        (lambda: Triplet(squared=2), "squared=2 of Triplet must be True or False"),
        (lambda: Triplet().set_params(margin=None), "margin=None"),
    ],
)
def test_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


A = np.ones((4, 3))
BAD = A.copy()
BAD[2, 1] = np.nan
HUGE = A.copy()
HUGE[0, 0] = np.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Contrastive().value(A, A[:3], [1] * 4), r"B has shape \(3, 3\), but A has \(4, 3\)"),
        (lambda: Contrastive().value(A, A, [1] * 3), r"same has shape \(3,\), expected \(4,\)"),
        (lambda: Contrastive().value(A, A, [1, -1, 1, -1]), "PyTorch's -1"),
        (lambda: Cosine().value(A, A, [1, 2, 1, 0]), "same must be 1"),
        (lambda: Cosine().value(A, A, [1, np.nan, 1, 0]), "same must be 1"),
        (lambda: Cosine().value(A, A, list("abcd")), "same must be 1"),
        (lambda: Cosine().value(A, BAD, [1] * 4), "B contains nan"),
        (lambda: Triplet().value(A, A, A[:, :2]), r"negative has shape \(4, 2\), but anchor has \(4, 3\)"),
        (lambda: Triplet().value(A, HUGE, A), "positive contains inf"),
        (lambda: Triplet().value(A, A, A, sample_weight=[1] * 3), r"sample_weight has shape \(3,\)"),
        (lambda: Triplet().value(A, A, A, sample_weight=[1, 1, np.nan, 1]), "finite and not negative"),
        (lambda: Triplet().value(A, A, A, sample_weight=[1, 1, -1, 1]), "finite and not negative"),
        (lambda: Triplet().value(A[0], A, A), r"anchor has shape \(3,\)"),
        (lambda: Triplet().value(A.astype(complex), A, A), "anchor must hold real numbers"),
        (lambda: Center().value(A, [0, 1, 2, 3], A[:3]), "labels contains 3, but centers has the rows 0 to 2"),
        (lambda: Center().value(A, [0, -1, 2, 3], A), "labels contains -1"),
        (lambda: Center().value(A, [0.0, 1, 2, 3], A), "labels must be integers"),
        (lambda: Center().value(A, [0, 1, 2], A), "labels has shape"),
        (lambda: Center().value(A, [0] * 4, A[:, :2]), "centers has shape"),
        (lambda: NTXent().value(A, A[:3]), "Z2 has shape"),
        (lambda: NTXent().value(A, HUGE), "Z2 contains inf"),
        (lambda: NTXent().value(A, A, sample_weight=[1] * 5), r"expected \(8,\)"),
        (lambda: NTXent().value(A[:0], A[:0]), "n and d at least 1"),
        (lambda: SupCon().value(A, [0, 1]), "labels has shape"),
        (lambda: SupCon().value(A, [0, 1, np.nan, 1]), "labels contains NaN"),
        (lambda: SupCon().value(BAD, [0, 1, 1, 1]), "Z contains nan"),
        (lambda: SupCon().value(A, [0, 1, 1, 1], out=np.empty(3)), "out for the value must be"),
        (lambda: SupCon().gradient(A, [0, 1, 1, 1], out=np.empty((4, 3), np.float32)), "out for the gradient in Z"),
        (lambda: NTXent().gradient(A, A, out=np.empty((4, 3))), "out must hold 2 arrays"),
        (lambda: NTXent().value_and_gradient(A, A, out=np.empty((4, 3))), "out must be a pair"),
        (lambda: SupCon().value(A, [0, 1, 1, 1], n_threads=0), "n_threads=0"),
        (lambda: SupCon().value(A, [0, 1, 1, 1], n_threads=1.5), "n_threads=1.5"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


MEMORY = """
from pathlib import Path
import numpy as np
from sklosses.losses import NTXent, SupCon

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

n, d = 16384, 16
z = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
gradient = np.empty_like(z), np.empty_like(z)
NTXent().value_and_gradient(z[:500], z[:500])
Path("/proc/self/clear_refs").write_text("5")       # the peak starts from what is held now
before = peak()
NTXent().value_and_gradient(z, z, out=(None, gradient))
SupCon().value_and_gradient(z, np.arange(n) % 7, out=(None, gradient[0]))
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's account of memory")
def test_memory_is_linear():
    """32768 views: one matrix of similarities would take 4 GB."""
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=120)
    assert 0 < int(run.stdout) < 32e6


def test_gil_is_released():
    """Another thread goes on while a batch is worked on."""
    z = np.random.default_rng(0).normal(size=(6000, 64))
    done, ticks = threading.Event(), []

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    NTXent().value_and_gradient(z, z, n_threads=1)
    end = time.perf_counter()
    done.set()
    thread.join()
    assert sum(start < at < end for at in ticks) > 10


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_interruption(n_threads):
    """A signal's exception arrives while the kernel runs, and nothing is left behind."""

    def stop(*_):
        raise KeyboardInterrupt

    z = np.random.default_rng(0).normal(size=(20000, 128))
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        start = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            NTXent().value_and_gradient(z, z, n_threads=n_threads)
        assert time.perf_counter() - start < 2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert NTXent().value(z[:10], z[:10], n_threads=n_threads).shape == (20,)


def test_calls_from_many_threads():
    loss, arguments = all_calls(800)["nt_xent"]
    expected = loss.gradient(*arguments, n_threads=1)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(loss.gradient(*arguments, n_threads=2))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert all(same_bits(result, expected) for result in results)

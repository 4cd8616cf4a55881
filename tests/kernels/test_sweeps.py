"""Sweeps over blocks against the scalar formulas, bit for bit, and the instruction-set levels against each other."""

from functools import cache
from importlib import import_module
from itertools import product

import numpy as np
import pytest

from laws.cases import target_grid
from oracle.losses import REFERENCES, exact
from sklosses._isa import available_levels
from sklosses.losses import loss_names

NAMES = loss_names()
LENGTHS = range(258)
VECTORS = {  # values for three columns, inside the ranges of all parameters of this name
    "epsilon": [0.05, 0.5, 2.0], "width": [0.25, 1.0, 3.0], "quantile": [0.1, 0.5, 0.8], "expectile": [0.1, 0.5, 0.8],
    "scale": [0.5, 1.0, 3.0], "power": [1.0, 1.5, 2.0], "pos_weight": [0.5, 1.0, 4.0], "gamma": [0.0, 1.0, 2.5],
}
# In ulp of the largest term. Near 0 log cosh r is half the square of exp(r) - 1, which doubles the error of that.
APART = {name: 4 if name == "log_cosh" else 2 for name in NAMES}
WANTED = [wanted for wanted in product([True, False], repeat=3) if any(wanted)]


@cache
def classes(level):
    return import_module("sklosses.losses._kernels" + ("" if level == "baseline" else f"_{level}")).LOSSES


def numbers(loss, n, seed=0):
    """Targets and raw predictions, kinks and far ones among them."""
    random = np.random.default_rng(seed)
    y = random.choice(target_grid(loss), size=n)
    p = random.choice([-1.0, 1.0], size=n) * 10.0 ** random.uniform(-6, 2, size=n)
    special = np.array([0.0, -0.0, 1.0, -1.0, 1e4, -1e4, 0.1, -0.1])
    places = random.random(n) < 0.2
    p[places] = random.choice(special, size=places.sum())
    p[random.random(n) < 0.05] = y[:1] if n else 0.0
    return y, p


def placed(array, offset, dtype):
    """A copy that starts `offset` bytes after a boundary of 64."""
    size = array.size * np.dtype(dtype).itemsize
    memory = np.zeros(size + 192, dtype=np.uint8)
    start = -memory.ctypes.data % 64 + offset
    view = memory[start : start + size].view(dtype).reshape(array.shape)
    view[...] = array
    return view


def swept(probe, loss, y, p, layout):
    """value, gradient, hessian of (n, k) arrays through one block; None where not wanted."""
    stride, offset, dtype, wanted, first = layout
    shape = y.shape
    wide = [np.zeros((shape[0], stride), dtype) for _ in range(5)]
    wide[0][:, : shape[1]], wide[1][:, : shape[1]] = y, p
    for result in wide[2:]:
        result.fill(np.nan)
    arrays = [placed(array, offset, dtype) for array in wide]
    addresses = [array.ctypes.data for array in arrays]
    results = [address if want else 0 for address, want in zip(addresses[2:], wanted, strict=True)]
    (probe.evaluate if dtype == np.float64 else probe.evaluate32)(loss, shape, stride, first, *addresses[:2], results)
    for array, want in zip(arrays[2:], wanted, strict=True):
        outside = array[:, shape[1] :] if want else array
        assert np.all(np.isnan(outside)), "written where nothing was asked for"
    return [array[:, : shape[1]].copy() if want else None for array, want in zip(arrays[2:], wanted, strict=True)]


def scalar(probe, loss, y, p, first=0):
    results = [np.empty(y.size) for _ in range(3)]
    columns = np.ascontiguousarray(np.broadcast_to(np.arange(first, first + y.shape[1]), y.shape), dtype=np.intp)
    probe.scalars(loss, y.ravel().astype(float), p.ravel().astype(float), columns.ravel(), *results)
    return [result.reshape(y.shape) for result in results]


def assert_bits(results, expected, dtype=np.float64):
    for result, want in zip(results, expected, strict=True):
        if result is not None:
            with np.errstate(over="ignore"):
                want = want.astype(dtype)
            np.testing.assert_array_equal(result, want)
            np.testing.assert_array_equal(np.signbit(result), np.signbit(want))


def levels_and_names():
    return [pytest.param(level, name, id=f"{level}-{name}") for level in available_levels() for name in NAMES]


@pytest.mark.parametrize(("level", "name"), levels_and_names())
def test_every_length(probe, level, name):
    loss = classes(level)[name]()
    y, p = numbers(loss, 257)
    expected = scalar(probe, loss, y[:, None], p[:, None])
    for n in LENGTHS:
        layout = (1, 8 * (n % 8), np.float64, WANTED[n % len(WANTED)], 0)
        assert_bits(swept(probe, loss, y[:n, None], p[:n, None], layout), [array[:n] for array in expected])


@pytest.mark.parametrize(("level", "name"), levels_and_names())
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_any_alignment_stride_and_choice_of_results(probe, level, name, dtype):
    loss = classes(level)[name]()
    item = np.dtype(dtype).itemsize
    for shape, extra in product([(1, 0), (1, 37), (37, 1), (6, 5), (3, 70)], [0, 1, 3]):
        y, p = (array.reshape(shape).astype(dtype) for array in numbers(loss, shape[0] * shape[1], seed=extra))
        expected = scalar(probe, loss, y, p)
        for i, wanted in enumerate(WANTED):
            layout = (shape[1] + extra, item * i, dtype, wanted, 0)
            assert_bits(swept(probe, loss, y, p, layout), expected, dtype)


@pytest.mark.parametrize(("level", "name"), levels_and_names())
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_vector_parameters(probe, level, name, dtype):
    """A column takes its own parameters wherever the block begins."""
    cls = classes(level)[name]
    if not cls.ranges:
        return
    vectors = {key: VECTORS.get(key, [cls().get_params()[key]] * 3) for key in cls.ranges}
    loss = cls(**{key: np.tile(values, 7) for key, values in vectors.items()})
    for first, columns, rows, extra in product([0, 1, 5], [1, 2, 9, 16], [1, 4], [0, 2]):
        y, p = (array.reshape(rows, columns).astype(dtype) for array in numbers(loss, rows * columns, seed=columns))
        expected = scalar(probe, loss, y, p, first)
        for wanted in reversed(WANTED):         # all of them last
            results = swept(probe, loss, y, p, (columns + extra, 0, dtype, wanted, first))
            assert_bits(results, expected, dtype)
        singles = [cls(**{key: values[(first + k) % 3] for key, values in vectors.items()}) for k in range(columns)]
        for k, single in enumerate(singles):
            alone = scalar(probe, single, y[:, k : k + 1], p[:, k : k + 1])
            assert_bits([result[:, k : k + 1] for result in results], alone, dtype)


@pytest.mark.skipif(len(available_levels()) < 2, reason="one instruction-set level here")
@pytest.mark.parametrize("name", [name for name in NAMES if name in REFERENCES])
def test_levels_agree(probe, name):
    """Within 2 ulp (4 where stated) of the largest term, which the reference knows."""
    each = [classes(level)[name]() for level in available_levels()]
    y, p = numbers(each[0], 400, seed=3)
    results = [scalar(probe, loss, y[:, None], p[:, None]) for loss in each]
    for i in range(len(y)):
        sizes = [float(size) for _, size in exact(name, each[0].get_params(), y[i], p[i])]
        for which, size in enumerate(sizes):
            found = np.array([result[which][i, 0] for result in results])
            assert not np.any(np.isnan(found))
            if np.all(np.isfinite(found)):
                bound = APART[name] * np.spacing(min(size, 1e308))
                assert np.ptp(found) <= bound, (name, which, y[i], p[i], found, np.ptp(found) / np.spacing(size))
            else:
                assert np.all(found == found[0])

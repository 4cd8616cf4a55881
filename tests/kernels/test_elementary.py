"""exp, expm1 and log1p of the formulas against mpmath, compiled as for x86-64-v3 where this machine runs that."""

from pathlib import Path

import numpy as np
import pytest
from mpmath import exp, expm1, log1p, mp, mpf
from sklosses._cpu import cpu_level

from plugin.build import build

RANDOM = np.random.default_rng(0)
SIZE = 4000


def spread(low, high):
    """Numbers of every size between, ends included."""
    sizes = 10.0 ** RANDOM.uniform(-18, np.log10(max(-low, high)), size=SIZE)
    numbers = np.concatenate([RANDOM.uniform(low, high, size=SIZE), sizes, -sizes, [low, high, 0.0]])
    return numbers[(numbers >= low) & (numbers <= high)]


# The function, arguments, and the bound in ulp that _math.h states.
CASES = {
    "exp": (exp, spread(-745.0, 709.7), 1),
    "exp_decay": (exp, spread(-700.0, 0.0), 1),
    "expm1": (expm1, spread(-50.0, 709.7), 2),
    "log1p": (log1p, np.concatenate([spread(-0.999999, 1.0), spread(0.0, 1e300)]), 2),
    "log1p_unit": (log1p, spread(0.0, 1.0), 2),
}


@pytest.fixture(scope="module")
def on_array(tmp_path_factory):
    flags = ["-ffp-contract=off"] if cpu_level() == "baseline" else ["-ffp-contract=off", "-march=x86-64-v3"]
    source = Path(__file__).parent / "elementary.pyx"
    return build(source, tmp_path_factory.mktemp("elementary"), flags).on_array


@pytest.mark.parametrize("name", CASES)
def test_within_the_stated_bound(on_array, name):
    function, x, bound = CASES[name]
    result = np.empty_like(x)
    on_array(name, np.ascontiguousarray(x), result)
    with mp.workdps(40):
        expected = [function(mpf(float(one))) for one in x]
        errors = [float(abs(mpf(float(a)) - b)) for a, b in zip(result, expected, strict=True)]
    off = np.array(errors) / np.spacing(np.abs(np.array(expected, dtype=float)))
    worst = np.argmax(off)
    assert off[worst] <= bound, (x[worst], result[worst], off[worst])


def test_ends(on_array):
    x = np.array([-np.inf, -1e4, 1e4, np.inf, np.nan, 0.0, -0.0])
    result = np.empty_like(x)
    for name, expected in (
        ("exp", [0.0, 0.0, np.inf, np.inf, np.nan, 1.0, 1.0]),
        ("expm1", [-1.0, -1.0, np.inf, np.inf, np.nan, 0.0, -0.0]),
    ):
        on_array(name, x, result)
        np.testing.assert_array_equal(result, expected)
    assert np.signbit(result[-1])
    ends = np.array([np.inf, np.nan, 0.0, -0.0])
    on_array("log1p", ends, result[:4])
    np.testing.assert_array_equal(result[:4], [np.inf, np.nan, 0.0, -0.0])
    on_array("exp_decay", np.array([-np.inf, -1e4, -745.0, np.nan, 0.0]), result[:5])
    assert result[[0, 1]].tolist() == [0.0, 0.0]
    assert np.isnan(result[3])
    assert result[4] == 1.0

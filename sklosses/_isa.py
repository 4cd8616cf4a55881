"""Which build of a kernel this process uses.

The kernels are compiled several times from one source, once for each instruction-set level of x86-64: ``_x``
(baseline, SSE2), ``_x_v3`` (AVX2 and FMA) and ``_x_v4`` (AVX-512). The highest level that the CPU runs and the build
holds is taken when :mod:`sklosses` is imported; the environment variable ``SKLOSSES_ISA`` names another.
"""

import os
from functools import cache
from importlib import import_module

from sklosses import _build, _cpu

LEVELS = ("baseline", "v3", "v4")
VARIABLE = "SKLOSSES_ISA"


def available_levels():
    """Levels that this build holds and this CPU runs, lowest first."""
    runs = LEVELS[: LEVELS.index(_cpu.cpu_level()) + 1]
    return tuple(level for level in LEVELS if level in _build.LEVELS and level in runs)


@cache
def level():
    """The level in use.

    Raises
    ------
    ValueError
        If ``SKLOSSES_ISA`` names no level, or one that the CPU or the build lacks.
    """
    available = available_levels()
    chosen = os.environ.get(VARIABLE) or available[-1]
    if chosen not in available:
        known = "a level that this CPU or this build lacks" if chosen in LEVELS else "unknown"
        raise ValueError(f"{VARIABLE}={chosen!r} is {known}; valid here: {', '.join(map(repr, available))}.")
    return chosen


def kernel(name):
    """Import the build of the kernel module ``name`` that suits this CPU."""
    chosen = level()
    return import_module(name if chosen == "baseline" else f"{name}_{chosen}")

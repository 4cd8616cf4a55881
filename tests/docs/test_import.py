"""Importing the package changes nothing in the process and is quick."""

import os
import statistics
import subprocess
import sys

import pytest

from sklosses._isa import available_levels

UNCHANGED = """
import locale, os, signal, sys, threading, warnings
import numpy as np
import sklearn.linear_model

def state():
    kernel_threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
    results = []
    subnormal = lambda: results.append(sys.float_info.min / 2 > 0 and np.float64(sys.float_info.min) / 2 > 0)
    subnormal()
    thread = threading.Thread(target=subnormal)
    thread.start()
    thread.join()
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    return (results, list(warnings.filters), dict(os.environ), kernel_threads, threading.active_count(), np.geterr(),
            np.get_printoptions(), handlers, locale.setlocale(locale.LC_ALL), list(sys.path), os.getcwd(),
            sys.getrecursionlimit(), sys.getswitchinterval())

before = state()
import sklosses, sklosses.losses, sklosses.linear_model, sklosses.model_selection, sklosses.penalties, sklosses.solvers
after = state()
assert after == before, [pair for pair in zip(before, after) if pair[0] != pair[1]]
assert after[0] == [True, True]
"""

SECONDS = """
import time
import sklearn.linear_model
start = time.process_time()
import sklosses
print(time.process_time() - start)
"""


def run(code, **environment):
    """Run code in a fresh interpreter that does not look into the current folder."""
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )


def test_import_changes_nothing():
    finished = run(UNCHANGED)
    assert finished.returncode == 0, finished.stderr


def test_import_is_quick():
    """Over scikit-learn alone, in seconds of the processor: the wall clock of a busy machine proves nothing."""
    seconds = [float(run(SECONDS, PYTHONDONTWRITEBYTECODE="").stdout) for _ in range(8)]
    assert statistics.median(seconds[1:]) <= 0.05  # the first may compile the bytecode that an installation comes with


def test_import_draws_in_nothing_that_scikit_learn_does_not():
    modules = ("matplotlib", "pandas", "polars", "rich", "Cython", "IPython")
    finished = run(
        "import sys, sklearn.linear_model; before = set(sys.modules); import sklosses; "
        f"print((set(sys.modules) - before) & set({modules}))"
    )
    assert finished.stdout.strip() == "set()", finished.stdout + finished.stderr


@pytest.mark.parametrize("level", ["sse2", "V4", "x86-64-v3"])
def test_unknown_instruction_set_is_an_error_that_names_the_valid_ones(level):
    finished = run("import sklosses.losses", SKLOSSES_ISA=level)
    assert finished.returncode == 1
    assert f"SKLOSSES_ISA={level!r}" in finished.stderr
    assert all(repr(valid) in finished.stderr for valid in available_levels())

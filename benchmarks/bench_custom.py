"""An epoch of mini-batches with losses of one's own against the built-in Huber loss.

Three losses that compute the same: the built-in one, two numba cfuncs, a Python object on arrays. One epoch over 200k
rows of 54 features for each size of mini-batch, in turns; medians of CPU seconds and their spread. numba is optional.

    python benchmarks/bench_custom.py
"""

import argparse
import sys
from statistics import median

import numpy as np
from _common import dense_table, seconds, versions

from sklosses.data import as_rows
from sklosses.losses import CFunctionLoss, Huber, Traits, as_loss
from sklosses.penalties import L2
from sklosses.solvers import SGD, Problem

TRAITS = Traits("residual", lipschitz=1.0, curvature=1.0)
TARGETS = {"C functions (numba)": 2.0, "Python object": 5.0}


class PythonHuber:
    """As one writes it."""

    traits = TRAITS

    def value(self, y, p):
        a = np.abs(p - y)
        s = np.minimum(a, 1.0)
        return s * (a - 0.5 * s)

    def gradient(self, y, p):
        return np.clip(p - y, -1.0, 1.0)


def contenders():
    """The losses by name."""
    losses = {"built-in": Huber(epsilon=1.0)}
    try:
        import numba
    except ImportError:
        print("numba is not installed: its loss is left out.")
    else:

        @numba.cfunc("float64(float64, float64)")
        def value(y, p):
            a = abs(p - y)
            s = min(a, 1.0)
            return s * (a - 0.5 * s)

        @numba.cfunc("float64(float64, float64)")
        def gradient(y, p):
            return max(-1.0, min(1.0, p - y))

        losses["C functions (numba)"] = CFunctionLoss(value, gradient, traits=TRAITS)
    return losses | {"Python object": as_loss(PythonHuber())}


def measure(rows, y, batch_size, repeats):
    """CPU seconds of one epoch: {loss: list}. Coefficients must agree bit for bit."""
    solver = SGD(learning_rate="constant", eta0=0.01 if batch_size == 1 else 0.1, batch_size=batch_size)
    losses, times, coefficients = contenders(), {}, {}
    for repeat in range(repeats + 1):
        for name, loss in losses.items():
            problem = Problem(rows, y, ((loss, 1),), L2(alpha=1e-4))

            def epoch(name=name, problem=problem):
                coefficients[name] = solver.solve(problem, max_iter=1, tol=None).coef

            taken = seconds(epoch, "cpu")
            if repeat:  # the first is to warm up
                times.setdefault(name, []).append(taken)
    assert all(np.array_equal(coef, coefficients["built-in"]) for coef in coefficients.values())
    return times


def main(arguments=None):
    """Measure and print; the exit status says whether the targets are met at the sizes from 64 rows on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 64, 256, 1024])
    options = parser.parse_args(arguments)
    X, _, y = dense_table(options.rows, 54)
    rows, missed = as_rows(X), []
    print(versions())
    print(f"{'rows a batch':>12}  {'loss':<20}{'ms an epoch':>12}{'spread':>16}{'ratio':>8}")
    for batch_size in options.batch_sizes:
        times = measure(rows, y, batch_size, options.repeats)
        for name, taken in times.items():
            ratio = median(taken) / median(times["built-in"])
            spread = f"{1e3 * min(taken):.1f} to {1e3 * max(taken):.1f}"
            print(f"{batch_size:12}  {name:<20}{1e3 * median(taken):12.1f}{spread:>16}{ratio:8.2f}")
            if batch_size >= 64 and ratio > TARGETS.get(name, np.inf):
                missed.append(f"{name} at {batch_size} rows a batch: {ratio:.2f}")
    print("targets missed: " + "; ".join(missed) if missed else "targets met (<= 2 C functions, <= 5 Python object)")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())

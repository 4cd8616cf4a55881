"""Losses alone, one thread, against scikit-learn's private ones: nanoseconds an element, and the ratio.

    python benchmarks/bench_losses.py [--size 1000000] [--repeats 15]

Both sides run interleaved in one process; medians are printed with the fastest and slowest run, and drawn to
benchmarks/results/losses.png. Time is the processor's, which other programs hardly distort.
"""

import argparse
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import sklearn
import sklearn._loss.loss as theirs

from sklosses import losses as ours
from sklosses._isa import level

RESULTS = Path(__file__).parent / "results"

# ours, theirs, the name of the targets, whether an exponential or a logarithm is involved
PAIRS = [
    (ours.SquaredError(), theirs.HalfSquaredError(), "real", False),
    (ours.AbsoluteError(), theirs.AbsoluteError(), "real", False),
    (ours.Quantile(quantile=0.9), theirs.PinballLoss(quantile=0.9), "real", False),
    (ours.Huber(epsilon=1.35), theirs.HuberLoss(delta=1.35), "real", False),
    (ours.Poisson(), theirs.HalfPoissonLoss(), "counts", True),
    (ours.Gamma(), theirs.HalfGammaLoss(), "positive", True),
    (ours.Tweedie(power=1.5), theirs.HalfTweedieLoss(power=1.5), "positive", True),
    (ours.LogLoss(), theirs.HalfBinomialLoss(), "binary", True),
    (ours.Exponential(), theirs.ExponentialLoss(), "binary", True),
]


def targets(kind, n, dtype):
    random = np.random.default_rng(0)
    made = {
        "real": lambda: random.normal(size=n),
        "counts": lambda: random.poisson(2.0, size=n),
        "positive": lambda: random.gamma(2.0, size=n) + 0.01,
        "binary": lambda: random.integers(0, 2, size=n),
    }[kind]()
    return made.astype(dtype)


def calls(pair, n, dtype):
    """{what: (our call, their call)}, each writing into arrays that are there already."""
    loss, other, kind, _ = pair
    their_y = targets(kind, n, dtype)
    y = 2 * their_y - 1 if -1.0 in (loss.target.codes or ()) and kind == "binary" else their_y
    p = np.random.default_rng(1).normal(scale=2.0, size=n).astype(dtype)
    a, b = np.empty(n, dtype), np.empty(n, dtype)
    keywords = {"sample_weight": None, "n_threads": 1}

    return {
        "value": (
            lambda: loss.value(y, p, out=a),
            lambda: other.loss(their_y, p, loss_out=a, **keywords),
        ),
        "gradient": (
            lambda: loss.gradient(y, p, out=a),
            lambda: other.gradient(their_y, p, gradient_out=a, **keywords),
        ),
        "value+gradient": (
            lambda: loss.value_and_gradient(y, p, out=(a, b)),
            lambda: other.loss_gradient(their_y, p, loss_out=a, gradient_out=b, **keywords),
        ),
    }


def interleaved(first, second, repeats):
    """Processor seconds of each call, first and second by turns after one warm-up."""
    seconds = np.empty((2, repeats))
    first(), second()
    for repeat in range(repeats):
        for side, call in enumerate((first, second)):
            start = time.thread_time()
            call()
            seconds[side, repeat] = time.thread_time() - start
    return seconds


def measure(n, repeats):
    """Rows (loss, dtype, what, exponential, nanoseconds (2, repeats))."""
    rows = []
    for pair in PAIRS:
        for dtype in (np.float64, np.float32):
            for what, (mine, their) in calls(pair, n, dtype).items():
                nanoseconds = interleaved(mine, their, repeats) / n * 1e9
                rows.append((pair[0].name, np.dtype(dtype).name, what, pair[3], nanoseconds))
    return rows


def print_table(rows):
    print(f"sklosses {version('sklosses')} ({level()}), scikit-learn {sklearn.__version__}, NumPy {np.__version__}")
    print(f"{'loss':15} {'type':8} {'what':15} {'ours ns (range)':>22} {'scikit-learn ns':>22} {'ratio':>6}  target")
    for name, dtype, what, exponential, ns in rows:
        median = np.median(ns, axis=1)
        ratio, target = median[1] / median[0], 3.0 if exponential else 1.0
        sides = [f"{m:.2f} ({side.min():.2f}-{side.max():.2f})" for m, side in zip(median, ns, strict=True)]
        verdict = "" if ratio >= target else f"  below {target:g}"
        print(f"{name:15} {dtype:8} {what:15} {sides[0]:>22} {sides[1]:>22} {ratio:6.1f}{verdict}")


def draw(rows, path):
    """Ratios as bars, one panel a type."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row[0] for row in rows))
    kinds = list(dict.fromkeys(row[2] for row in rows))
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    for axis, dtype in zip(axes, ("float64", "float32"), strict=True):
        for offset, what in enumerate(kinds):
            ratios = [
                np.divide(*np.median(ns, axis=1)[::-1]) for _, t, w, _, ns in rows if (t, w) == (dtype, what)
            ]
            axis.bar(np.arange(len(names)) + 0.27 * (offset - 1), ratios, 0.27, label=what)
        axis.axhline(1, color="black", linewidth=0.8)
        axis.axhline(3, color="black", linewidth=0.8, linestyle=":")
        axis.set_xticks(range(len(names)), names, rotation=40, ha="right")
        axis.set_title(dtype)
    axes[0].set_ylabel("times as fast as sklearn._loss")
    axes[0].legend()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"picture: {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    rows = measure(arguments.size, arguments.repeats)
    print_table(rows)
    draw(rows, RESULTS / "losses.png")


if __name__ == "__main__":
    main()

"""Value and gradient of the embedding losses against NumPy and PyTorch on as many threads, and their memory.

    python benchmarks/bench_embedding_losses.py [--rows 4096] [--columns 128] [--threads 2] [--repeats 9]
                                                [--memory-rows 32768] [--skip-memory]

All sides run interleaved in one process on the same float32 arrays; medians are printed with the fastest run, and drawn
to benchmarks/results/embedding_losses.png. PyTorch is left out where it is not installed. Memory is the growth of the
peak of a process of its own, beyond the arguments; the gradients are part of it.
"""

import argparse
import platform
import subprocess
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from sklosses._isa import level
from sklosses.losses import Center, Contrastive, Cosine, NTXent, SupCon, Triplet

RESULTS = Path(__file__).parent / "results"
MANY = 100_000  # pairs, triplets and rows of the losses that take each on its own


# NumPy --------------------------------------------------------------------------------------------------------------


def numpy_unit(z):
    norms = np.linalg.norm(z, axis=1, keepdims=True)
    return z / norms, norms


def numpy_softmax(u, temperature):
    """Log-sum-exp and softmax over the other rows; in place, as one would write it for speed."""
    s = u @ u.T
    s /= temperature
    positive = s.copy()
    np.fill_diagonal(s, -np.inf)
    top = s.max(axis=1, keepdims=True)
    s -= top
    np.exp(s, out=s)
    total = s.sum(axis=1, keepdims=True)
    s /= total
    return positive, s, (top + np.log(total))[:, 0]


def numpy_back(slope, u, norms, temperature):
    """From the gradient in the similarities to that in the rows."""
    g = (slope @ u + slope.T @ u) / np.float32(temperature)
    return (g - (g * u).sum(axis=1, keepdims=True) * u) / norms


def numpy_nt_xent(a, b, temperature):
    n = len(a)
    u, norms = numpy_unit(np.concatenate([a, b]))
    s, p, lse = numpy_softmax(u, temperature)
    rows, partner = np.arange(2 * n), (np.arange(2 * n) + n) % (2 * n)
    value = lse - s[rows, partner]
    p[rows, partner] -= 1
    return value, numpy_back(p, u, norms, temperature)


def numpy_supcon(z, labels, temperature):
    u, norms = numpy_unit(z)
    s, p, lse = numpy_softmax(u, temperature)
    positives = (labels[:, None] == labels).astype(np.float32)
    np.fill_diagonal(positives, 0)
    positives /= positives.sum(axis=1, keepdims=True)
    value = lse - (positives * s).sum(axis=1)
    p -= positives
    return value, numpy_back(p, u, norms, temperature)


def numpy_contrastive(a, b, same, margin):
    apart = a - b
    distance = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    gap = np.maximum(margin - distance, 0)
    value = np.where(same, distance**2, gap**2) / 2
    slope = np.where(same, 1, -gap / np.where(distance > 0, distance, 1))
    g = slope[:, None] * apart
    return value, g, -g


def numpy_cosine(a, b, same, margin):
    (u, p), (v, q) = numpy_unit(a), numpy_unit(b)
    cos = np.einsum("ij,ij->i", u, v)
    value = np.where(same, 1 - cos, np.maximum(cos - margin, 0))
    slope = np.where(same, -1, cos > margin)[:, None].astype(a.dtype)
    cos = cos[:, None]
    return value, slope * (v - cos * u) / p, slope * (u - cos * v) / q


def numpy_triplet(a, p, n, margin):
    near, far = a - p, a - n
    value = np.maximum(np.einsum("ij,ij->i", near, near) - np.einsum("ij,ij->i", far, far) + margin, 0)
    slope = np.where(value > 0, 2, 0)[:, None].astype(a.dtype)
    return value, slope * (n - p), -slope * near, slope * far


def numpy_center(z, labels, centers):
    apart = z - centers[labels]
    towards = np.zeros_like(centers)
    np.subtract.at(towards, labels, apart)
    return np.einsum("ij,ij->i", apart, apart) / 2, apart, towards


# PyTorch ------------------------------------------------------------------------------------------------------------


def torch_sides(torch):
    """{name: function of the same arguments}; gradients by autograd."""
    functional = torch.nn.functional

    def differentiated(loss):
        def call(*arrays, **parameters):
            tensors = [torch.from_numpy(x) for x in arrays]
            for tensor in tensors:
                tensor.requires_grad_(tensor.is_floating_point())
            loss(*tensors, **parameters).sum().backward()
            return [tensor.grad for tensor in tensors if tensor.requires_grad]

        return call

    def nt_xent(a, b, temperature):
        u = functional.normalize(torch.cat([a, b]))
        s = (u @ u.T / temperature).fill_diagonal_(-torch.inf)
        n = len(a)
        return functional.cross_entropy(s, torch.arange(2 * n).roll(n), reduction="none")

    def supcon(z, labels, temperature):
        u = functional.normalize(z)
        s = (u @ u.T / temperature).fill_diagonal_(-1e9)
        positives = (labels[:, None] == labels).float().fill_diagonal_(0)
        return -(positives * torch.log_softmax(s, 1)).sum(1) / positives.sum(1)

    def contrastive(a, b, same, margin):
        d = (a - b).norm(dim=1)
        return torch.where(same, d**2, (margin - d).clamp(min=0) ** 2) / 2

    def triplet(a, p, n, margin):
        return (((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1) + margin).clamp(min=0)

    def cosine(a, b, same, margin):
        return functional.cosine_embedding_loss(a, b, 2 * same.int() - 1, margin, reduction="none")

    def center(z, labels, centers):
        return ((z - centers[labels]) ** 2).sum(1) / 2

    losses = {"nt_xent": nt_xent, "supcon": supcon, "contrastive": contrastive, "cosine": cosine, "triplet": triplet}
    return {name: differentiated(loss) for name, loss in {**losses, "center": center}.items()}


# Measuring ----------------------------------------------------------------------------------------------------------


def problems(n, d):
    """{name: (loss, arguments, parameters of the other sides)}"""
    random = np.random.default_rng(0)
    z = random.normal(size=(n, d)).astype(np.float32)
    view = z + 0.5 * random.normal(size=(n, d)).astype(np.float32)
    labels = random.integers(0, 10, n)
    a, b, c = random.normal(size=(3, MANY, d)).astype(np.float32)
    same, centers = random.integers(0, 2, MANY) > 0, a[:10].copy()
    return {
        "nt_xent": (NTXent(0.5), (z, view), {"temperature": 0.5}),
        "supcon": (SupCon(0.1), (z, labels), {"temperature": 0.1}),
        "contrastive": (Contrastive(20.0), (a, b, same), {"margin": 20.0}),
        "cosine": (Cosine(0.0), (a, b, same), {"margin": 0.0}),
        "triplet": (Triplet(1.0), (a, b, c), {"margin": 1.0}),
        "center": (Center(), (a, random.integers(0, 10, MANY), centers), {}),
    }


def interleaved(calls, repeats):
    """{side: seconds of its runs}, after one run of each."""
    seconds = {side: [] for side in calls}
    for repeat in range(repeats + 1):
        for side, call in calls.items():
            start = time.perf_counter()
            call()
            if repeat:
                seconds[side].append(time.perf_counter() - start)
    return seconds


def measure(options, torch):
    """Rows of the table: (loss, side, median, fastest), in seconds."""
    table = []
    theirs = torch_sides(torch) if torch else {}
    for name, (loss, arguments, parameters) in problems(options.rows, options.columns).items():
        calls = {
            "sklosses": lambda loss=loss, a=arguments: loss.value_and_gradient(*a, n_threads=options.threads),
            "NumPy": lambda name=name, a=arguments, p=parameters: globals()[f"numpy_{name}"](*a, **p),
        }
        if torch:
            calls["PyTorch"] = lambda name=name, a=arguments, p=parameters: theirs[name](*a, **p)
        seconds = interleaved(calls, options.repeats)
        for side, times in seconds.items():
            ratio = np.median(times) / np.median(seconds["sklosses"])
            table.append((name, side, np.median(times), min(times)))
            shape = f"{arguments[0].shape[0]} x {arguments[0].shape[1]}"
            print(
                f"{name:12s} {shape:14s} {side:9s} {1e3 * np.median(times):9.1f} ms  (fastest {1e3 * min(times):8.1f})"
                f"  {ratio:6.1f} x",
                flush=True,
            )
    return table


MEMORY = """
import sys, time
from pathlib import Path
import numpy as np
from sklosses.losses import NTXent, SupCon

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

name, n, d, threads = sys.argv[1], *map(int, sys.argv[2:])
z = np.random.default_rng(0).standard_normal(size=(n, d), dtype=np.float32)
loss, arguments = (NTXent(), (z, z[::-1].copy())) if name == "nt_xent" else (SupCon(), (z, np.arange(n) % 10))
small = (z[:500], z[500:1000] if name == "nt_xent" else np.arange(500) % 10)
loss.value_and_gradient(*small, n_threads=threads)
Path("/proc/self/clear_refs").write_text("5")       # the peak starts from what is held now
before, start = peak(), time.perf_counter()
loss.value_and_gradient(*arguments, n_threads=threads)
print(peak() - before, time.perf_counter() - start)
"""


def measure_memory(options):
    if not Path("/proc/self/clear_refs").exists():
        print("memory is measured on Linux only")
        return
    n, d = options.memory_rows, options.columns
    for name, matrix in (("nt_xent", (2 * n) ** 2), ("supcon", n**2)):
        command = [sys.executable, "-c", MEMORY, name, *map(str, (n, d, options.threads))]
        used, seconds = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        print(
            f"{name:12s} {n} x {d}: {used / 1e6:.1f} MB beyond the arguments in {seconds:.1f} s, gradients included; "
            f"one matrix of similarities is {4 * matrix / 1e6:.0f} MB"
        )


def draw(table):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names, sides = list(dict.fromkeys(row[0] for row in table)), list(dict.fromkeys(row[1] for row in table))
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for k, side in enumerate(sides):
        heights = [1e3 * next(row[2] for row in table if row[:2] == (name, side)) for name in names]
        axes.bar(np.arange(len(names)) + 0.27 * k, heights, width=0.25, label=side)
    axes.set(yscale="log", ylabel="value and gradient, ms", xticks=np.arange(len(names)) + 0.27, xticklabels=names)
    axes.legend()
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "embedding_losses.png", dpi=150)


def installed(package):
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--columns", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--memory-rows", type=int, default=32768)
    parser.add_argument("--skip-memory", action="store_true")
    options = parser.parse_args()
    try:
        import torch

        torch.set_num_threads(options.threads)
    except ImportError:
        torch = None
    print(", ".join(map(installed, ("sklosses", "numpy", "torch"))), f"Python {platform.python_version()}", sep=", ")
    print(f"instruction set {level()}, {options.threads} threads, medians of {options.repeats} interleaved runs")
    with threadpool_limits(options.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = measure(options, torch)
    if not options.skip_memory:
        measure_memory(options)
    try:
        draw(table)
    except ImportError:
        print("no picture: matplotlib is not installed")


if __name__ == "__main__":
    main()

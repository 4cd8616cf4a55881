"""What the benchmarks share: clocks, data, versions, and where results go."""

import argparse
import ctypes
import gc
import os
import platform
import time
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import scipy
import scipy.sparse as sp
import sklearn

from sklosses import _isa

# Ignored by git.
RESULTS = Path(__file__).parent / "results"


CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}


def seconds(call, clock):
    """CPU or wall-clock seconds of one call."""
    now = CLOCKS[clock]
    begin = now()
    call()
    return now() - begin


def settled():
    """Bytes that the process has in memory without what it has freed; :func:`peak` counts from now on."""
    gc.collect()
    with suppress(OSError, AttributeError):     # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak():
    """Bytes that the process has had in memory at most."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def versions():
    """One line: what ran, and on what."""
    return (f"sklosses {version('sklosses')} ({_isa.level()}), scikit-learn {sklearn.__version__}, "
            f"NumPy {np.__version__}, SciPy {scipy.__version__}, Python {platform.python_version()}, "
            f"{_processor()}, one thread")


def _processor():
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def dense_table(n_rows, n_features, seed=0):
    """A scaled table with a logistic and a linear target: X, labels in {-1, 1}, y."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    signal = X @ rng.normal(size=n_features) / np.sqrt(n_features)
    return X, np.where(signal + rng.logistic(size=n_rows) / 4 > 0, 1, -1), signal + rng.normal(size=n_rows) / 2


def sparse_table(n_rows, n_features, per_row, seed=0):
    """CSR rows of unit length like those of text: column k is drawn in proportion to 1/(k + 50), values log-normal."""
    rng = np.random.default_rng(seed)
    share = np.cumsum(1 / (np.arange(n_features) + 50.0))
    lengths = np.maximum(rng.poisson(per_row, size=n_rows), 1)
    columns = np.searchsorted(share, rng.uniform(0, share[-1], size=lengths.sum()))
    # Frequent columns are spread over the whole range, as they are where columns stand in alphabetical order.
    columns = rng.permutation(n_features)[columns]
    rows = np.repeat(np.arange(n_rows), lengths)
    X = sp.csr_matrix((rng.lognormal(size=len(rows)), (rows, columns)), shape=(n_rows, n_features))
    X = sp.diags(1 / np.sqrt(X.multiply(X).sum(axis=1).A1)) @ X
    X = sp.csr_matrix(X)
    X.sort_indices()
    signal = X @ rng.normal(size=n_features)
    labels = np.where(signal + rng.logistic(size=n_rows) / 4 > 0, 1, -1)
    return X, labels, signal


def own_tables():
    """Tables of the directory that SKLOSSES_DATA names."""
    root = os.environ.get("SKLOSSES_DATA")
    found = sorted({path.parent for path in Path(root).glob("*/*.npz")}) if root else []
    return {path.name: partial(own_table, path) for path in found}


def own_table(directory):
    arrays = {}
    for path in sorted(directory.glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            arrays |= {name.replace("_train", ""): file[name] for name in file.files if "_test" not in name}
    y = arrays[min((name for name, array in arrays.items() if name.startswith("y") and array.ndim == 1), key=len)]
    if "X" in arrays:
        X = arrays["X"].astype(np.float64)
    else:
        parts = tuple(arrays[f"X_{name}"] for name in ("data", "indices", "indptr"))
        X = sp.csr_matrix(parts, shape=tuple(arrays["X_shape"]), dtype=np.float64)
    labels, counts = np.unique(y, return_counts=True)
    classes = y == labels[np.argmax(counts)] if len(labels) <= 30 else None
    return X, classes, y.astype(np.float64) if classes is None else None


def arguments(description):
    """The arguments that all benchmarks take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeats", type=int, default=5, help="measurements, of which the median counts")
    parser.add_argument("--clock", choices=["cpu", "wall"], default="cpu",
                        help="CPU seconds of the process (steadier on a shared machine) or wall-clock seconds")
    return parser

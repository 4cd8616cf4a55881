"""Peak memory of a fit beside its table: ``learning_rate="auto"``, each kind of solver, both layouts and precisions.

Each fit is a process of its own that loads its table from a file, notes the memory it has then (the table and the
libraries), fits, and asks for the most it has had since; on Linux, where the kernel keeps that account. Printed are
the difference and what it is of the table; the documentation promises a few vectors as long as the table for each
column, a few matrices of d x d, and a quarter of the table or 64 MB, whichever is more, for rows that are copied
together. Run ``python benchmarks/bench_memory.py``.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from _common import arguments, peak, settled, versions
from scipy import sparse

from sklosses import SGDClassifier, SGDRegressor

MEGABYTE = 1 << 20
PROMISED_SHARE, PROMISED_LEAST = 0.25, 64 * MEGABYTE
# Vectors over the rows, and matrices over the features.
VECTORS, MATRICES = 20, 12
TABLES = {"500,000 x 54": (500_000, 54, None), "60,000 x 500": (60_000, 500, None),
          "200,000 x 20,000, 40 a row": (200_000, 20_000, 40)}
FITS = {"log_loss, l2": ("log_loss", "l2"), "hinge, l2": ("hinge", "l2"), "squared_hinge, l1": ("squared_hinge", "l1"),
        "huber, elasticnet": ("huber", "elasticnet"), "absolute_error, l2": ("absolute_error", "l2")}


def table(folder, shape, dtype):
    """Files of a table and its targets."""
    n, d, entries = shape
    rng = np.random.default_rng(0)
    if entries is None:
        X = rng.standard_normal((n, d), dtype=np.float32).astype(dtype)
        signal = X @ rng.standard_normal(d).astype(dtype) / np.sqrt(d)
        np.save(folder / "X.npy", X)
    else:
        stride = d // entries       # one entry in each, the first of them the most frequent
        columns = (stride * np.arange(entries) + stride * rng.random((n, entries)) ** 2).astype(np.int32).ravel()
        values = rng.random(n * entries).astype(dtype)
        X = sparse.csr_array((values, columns, np.arange(0, n * entries + 1, entries, dtype=np.int32)), shape=(n, d))
        signal = X @ rng.standard_normal(d).astype(dtype)
        sparse.save_npz(folder / "X.npz", X, compressed=False)
    np.save(folder / "y.npy", signal + rng.logistic(size=n))


def fit(folder, loss, penalty):
    """In a process of its own: print the bytes of the table, and those that the fit needs beside it."""
    folder = Path(folder)
    X = np.load(folder / "X.npy") if (folder / "X.npy").exists() else sparse.load_npz(folder / "X.npz")
    y = np.load(folder / "y.npy")
    size = X.nbytes if isinstance(X, np.ndarray) else X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    cls, y = (SGDRegressor, y) if loss in ("huber", "absolute_error") else (SGDClassifier, y > 0)
    options = {"loss": loss, "penalty": penalty, "alpha": 1e-4}
    cls(**options).fit(X[:3000], y[:3000])          # what is imported and compiled on the way
    before = settled()
    model = cls(**options).fit(X, y)
    print(size, peak() - before, model.solver_.replace(" ", "_"), model.gap_, len(y), X.shape[1])


def main():
    parser = arguments(__doc__)
    parser.add_argument("--fit", nargs=3, help="folder, loss and penalty, in the process that is measured")
    options = parser.parse_args()
    if options.fit:
        fit(*options.fit)
        return
    if not Path("/proc/self/clear_refs").exists():
        print("Skipped: needs Linux, whose kernel accounts for the memory of processes.")
        return
    print(versions())
    print(f"{'':44s}{'table, MB':>10s}{'beside, MB':>12s}{'of the table':>14s}{'promised, MB':>14s}   solver, gap")
    for name, shape in TABLES.items():
        for dtype in ("float64", "float32"):
            with tempfile.TemporaryDirectory() as folder:
                table(Path(folder), shape, dtype)
                for title, chosen in FITS.items():
                    report(f"{name}, {dtype}: {title}", folder, chosen)


def report(title, folder, chosen):
    """One line of the table."""
    command = [sys.executable, __file__, "--fit", folder, *chosen]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    size, beside, solver, gap, n, d = int(output[0]), int(output[1]), output[2], *map(float, output[3:])
    matrices = MATRICES * 8 * d * d if d <= 2000 else 0.0
    promised = max(PROMISED_SHARE * size, PROMISED_LEAST) + VECTORS * 8 * n + matrices
    print(f"{title:44s}{size / MEGABYTE:10.0f}{beside / MEGABYTE:12.0f}{beside / size:14.2f}{promised / MEGABYTE:14.0f}"
          f"   {solver}, {gap:.0e}", flush=True)


if __name__ == "__main__":
    main()

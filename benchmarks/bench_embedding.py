"""Accuracy of nearest neighbours behind LinearEmbedding, and behind its peers: a table, a picture, and mnist.

    python benchmarks/bench_embedding.py                  # tables x methods, 5 folds
    python benchmarks/bench_embedding.py --losses         # every loss of LinearEmbedding instead of its peers
    python benchmarks/bench_embedding.py --mnist          # 60000 x 784

Tables beyond scikit-learn's own are read from the folder named by the environment variable SKLOSSES_DATA, one folder
each with .npz files; those that are not there are skipped, and named.
"""

import argparse
import os
import platform
import time
import warnings
from pathlib import Path

import numpy as np
import sklearn
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, NeighborhoodComponentsAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, StandardScaler

from sklosses import LinearEmbedding
from sklosses.losses import loss_names

RESULTS = Path(__file__).parent / "results"
BUILT_IN = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer, "digits": load_digits}
FROM_FOLDER = ("spambase", "letter", "covtype_93k", "mushrooms", "skin_segmentation")
OURS = "LinearEmbedding"


def read(folder, name):
    """Arrays of a folder's .npz files; CSR matrices are stored as NAME_data, NAME_indices, NAME_indptr, NAME_shape."""
    arrays = {}
    for path in sorted(Path(folder, name).glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            arrays.update({key: file[key] for key in file.files})
    for key in [key for key in arrays if key.endswith("_indptr")]:
        stem = key.removesuffix("_indptr")
        parts = [arrays.pop(f"{stem}_{part}") for part in ("data", "indices", "indptr", "shape")]
        arrays[stem] = sparse.csr_matrix(tuple(parts[:3]), shape=tuple(parts[3]))
    return arrays


def tables(max_rows):
    """(name, X, y) of the tables at hand; larger ones cut to a random sample."""
    for name, loader in BUILT_IN.items():
        yield name, *loader(return_X_y=True)
    folder = os.environ.get("SKLOSSES_DATA")
    for name in FROM_FOLDER:
        if folder is None or not list(Path(folder, name).glob("*.npz")):
            print(f"{name}: skipped, SKLOSSES_DATA does not lead to it")
            continue
        arrays = read(folder, name)
        X, y = arrays["X"], arrays["y"]
        chosen = np.random.default_rng(0).permutation(X.shape[0])[:max_rows]
        yield name, X[chosen].astype(np.float64), np.unique(y[chosen], return_inverse=True)[1]


def peers(X, n_components, seed):
    """The methods compared, each with the scaler it needs; ours has none."""
    if sparse.issparse(X):      # what does not take CSR gets it dense: these tables are small enough
        dense = [FunctionTransformer(lambda X: X.toarray(), accept_sparse=True)]
        scaler, pca = [MaxAbsScaler()], TruncatedSVD(n_components, random_state=seed)
    else:
        dense, scaler, pca = [], [StandardScaler()], PCA(n_components, random_state=seed)
    return {
        "raw": [*scaler],
        "PCA": [*scaler, pca],
        "LDA": [*scaler, *dense, LinearDiscriminantAnalysis()],
        "NCA": [*scaler, *dense, NeighborhoodComponentsAnalysis(n_components, random_state=seed)],
        OURS: [LinearEmbedding(n_components=n_components, random_state=seed)],
    }


def by_loss(X, n_components, seed):
    """Every loss of ours, with its defaults."""
    return {loss: [LinearEmbedding(loss, n_components, random_state=seed)]
            for loss in loss_names("embedding")}


def measure(methods, X, y, seed):
    """Accuracy and seconds of fitting of each method in each of five folds, the methods taking turns."""
    scores = {name: [] for name in methods}
    seconds = {name: [] for name in methods}
    for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y):
        for name, steps in methods.items():
            steps = make_pipeline(*steps)
            start = time.perf_counter()
            Z = steps.fit_transform(X[train], y[train])
            seconds[name].append(time.perf_counter() - start)
            neighbours = KNeighborsClassifier().fit(Z, y[train])
            scores[name].append(neighbours.score(steps.transform(X[test]), y[test]))
    return scores, seconds


def report(title, scores, seconds):
    """Print a table's line; return means and standard errors, and whether ours is within one of the best."""
    mean = {name: np.mean(score) for name, score in scores.items()}
    error = {name: np.std(score, ddof=1) / np.sqrt(len(score)) for name, score in scores.items()}
    best = max(mean, key=mean.get)
    cells = [f"{mean[name]:.4f}±{error[name]:.4f} {np.median(seconds[name]):6.2f}s" for name in scores]
    print(f"{title:32s}" + "  ".join(cells), flush=True)
    return mean, error, mean.get(OURS, 0) >= mean[best] - error[best]


def plot(path, lines):
    """Accuracies of all methods on all tables, with standard errors."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(lines[0][1])
    figure, axes = plt.subplots(1, len(lines), figsize=(2.1 * len(lines), 3.4), constrained_layout=True)
    for ax, (title, mean, error) in zip(np.atleast_1d(axes), lines, strict=True):
        colours = ["C3" if name == OURS else "C0" for name in names]
        ax.errorbar(range(len(names)), [mean[n] for n in names], yerr=[error[n] for n in names], fmt="none",
                    ecolor="0.6")
        ax.scatter(range(len(names)), [mean[n] for n in names], c=colours, zorder=3)
        ax.set_xticks(range(len(names)), names, rotation=90)
        ax.set_title(title, fontsize=9)
    figure.supylabel("accuracy of 5 neighbours")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def compare(methods_of, arguments):
    """Run all tables."""
    lines, good = [], 0
    for name, X, y in tables(arguments.max_rows):
        n_components = min(X.shape[1], arguments.n_components)
        methods = methods_of(X, n_components, arguments.seed)
        if not lines:
            print(f"{'':32s}" + "  ".join(f"{method:21s}" for method in methods))
        scores, seconds = measure(methods, X, y, arguments.seed)
        mean, error, within = report(f"{name} {X.shape[0]}x{X.shape[1]} -> {n_components}", scores, seconds)
        lines.append((name, mean, error))
        good += within
        if "NCA" in seconds:
            ratio = np.median(seconds["NCA"]) / np.median(seconds[OURS])
            print(f"{'':32s}within one standard error of the best: {within}; NCA takes {ratio:.1f} times as long")
    if methods_of is peers:
        print(f"best or within one standard error of the best: {good} of {len(lines)} tables")
    plot(RESULTS / ("embedding_losses.png" if methods_of is by_loss else "embedding.png"), lines)


def mnist(seed):
    """Accuracy on mnist's own test rows at 9 and 32 dimensions."""
    folder = os.environ.get("SKLOSSES_DATA")
    if folder is None or not Path(folder, "mnist").is_dir():
        print("mnist: skipped, SKLOSSES_DATA does not lead to it")
        return
    arrays = read(folder, "mnist")
    X, y, X_test, y_test = (arrays[key] for key in ("X_train", "y_train", "X_test", "y_test"))
    X, X_test = X.astype(np.float32), X_test.astype(np.float32)
    for n_components in (9, 32):
        methods = {OURS: LinearEmbedding(n_components=n_components, random_state=seed),
                   "PCA": PCA(n_components, random_state=seed)}
        if n_components == 9:
            methods["LDA"] = LinearDiscriminantAnalysis()
        for name, method in methods.items():
            start = time.perf_counter()
            method.fit(X, y)
            seconds = time.perf_counter() - start
            neighbours = KNeighborsClassifier(algorithm="brute").fit(method.transform(X), y)
            score = neighbours.score(method.transform(X_test), y_test)
            passes = f", {method.n_iter_} passes of {method.solver_}" if name == OURS else ""
            print(f"mnist -> {n_components:2d}  {name:16s} {score:.4f}  {seconds:5.1f} s{passes}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", action="store_true", help="compare our losses, not our peers")
    parser.add_argument("--mnist", action="store_true")
    parser.add_argument("--max-rows", type=int, default=5000)
    parser.add_argument("--n-components", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=sklearn.exceptions.ConvergenceWarning)
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, scikit-learn {sklearn.__version__}, "
          f"{os.cpu_count()} CPUs")
    if arguments.mnist:
        mnist(arguments.seed)
    else:
        compare(by_loss if arguments.losses else peers, arguments)


if __name__ == "__main__":
    main()

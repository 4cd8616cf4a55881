"""What gross errors in y do to a fit, and how the loss decides: squared_error against huber, quantile and cauchy.

The table is scikit-learn's diabetes table: ten measurements of 442 patients, and how far the disease has progressed a
year later. In a part of the training rows the decimal point of y slips by one place, as it does in tables typed by
hand; the rows that the models are judged by are clean. Prints the errors and saves a picture of why they differ.

    python examples/gross_errors.py
"""

import argparse
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler

from sklosses import SGDRegressor
from sklosses.losses import Cauchy, Huber, LossDisplay, Quantile, SquaredError

PICTURE = Path(__file__).resolve().parent.parent / "results" / "gross_errors.png"
# y is scaled by its median and quartile range, which gross errors hardly move while fewer than a quarter of the rows
# have them: epsilon and scale are in units of the latter.
LOSSES = {
    "squared_error": SquaredError(),
    "huber": Huber(epsilon=0.5),
    "quantile": Quantile(quantile=0.5),
    "cauchy": Cauchy(scale=0.5),
}
COLORS = {"squared_error": "#0072B2", "huber": "#D55E00", "quantile": "#009E73", "cauchy": "#CC79A7"}
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)
INK, MUTED, GRID = "#1d2733", "#6b7885", "#e3e8ec"
STYLE = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": GRID,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def model(loss):
    """The model under test; only the loss differs."""
    sgd = SGDRegressor(
        loss, alpha=1e-4, learning_rate="adaptive", eta0=0.05, batch_size=16, max_iter=400, tol=1e-4, random_state=0
    )
    return TransformedTargetRegressor(make_pipeline(StandardScaler(), sgd), transformer=RobustScaler())


def slip(y, share, rng):
    """Let the decimal point slip in a share of the numbers: return them and which they are."""
    wrong = np.zeros(len(y), dtype=bool)
    wrong[rng.choice(len(y), round(share * len(y)), replace=False)] = True
    return np.where(wrong, 10 * y, y), wrong


def errors(X, y, n_splits):
    """Mean absolute error on clean rows: {loss: array of shape (shares, splits)}."""
    found = {name: np.empty((len(SHARES), n_splits)) for name in LOSSES}
    splits = ShuffleSplit(n_splits, test_size=0.25, random_state=0)
    for k, (train, test) in enumerate(splits.split(X)):
        for row, share in enumerate(SHARES):
            spoiled, _ = slip(y[train], share, np.random.default_rng([k, row]))
            for name, loss in LOSSES.items():
                fitted = model(loss).fit(X[train], spoiled)
                found[name][row, k] = mean_absolute_error(y[test], fitted.predict(X[test]))
    return found


def table(found):
    """The errors as text."""
    lines = ["Mean absolute error on clean rows held out (± standard deviation over the splits)", ""]
    lines.append("gross errors  " + "".join(f"{name:>18}" for name in found))
    for row, share in enumerate(SHARES):
        cells = [f"{scores[row].mean():9.1f} ±{scores[row].std():6.1f}" for scores in found.values()]
        lines.append(f"{share:12.0%}  " + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def draw(X, y, found, out):
    """The picture: one measurement and the lines fitted to it; what a row's pull is; the errors."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.4), layout="constrained", dpi=150)
        figure.suptitle(
            "One training row in ten has y ten times too large: how far it bends the fit is for the loss to say",
            x=0.01,
            ha="left",
            fontsize=13,
            fontweight="bold",
        )
        _lines(axes[0], X, y)
        _pull(axes[1])
        _scores(axes[2], found)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out)
        plt.close(figure)


def _lines(ax, X, y):
    """The body-mass index alone: rows, spoiled rows, and the line that each loss makes of them."""
    x = X[:, [2]]
    spoiled, wrong = slip(y, 0.1, np.random.default_rng(1))
    top = 700
    ax.scatter(x[~wrong], y[~wrong], s=9, color="#b8c2cb", linewidths=0)
    seen = wrong & (spoiled < top)
    ax.scatter(x[seen], spoiled[seen], s=22, marker="x", color="#c92a2a", linewidths=1.2)
    off = wrong & ~seen
    ax.scatter(x[off], np.full(off.sum(), top), s=26, marker="^", color="#c92a2a", linewidths=0, clip_on=False)
    ends = np.array([[x.min()], [x.max()]])
    ax.plot(
        ends,
        model(SquaredError()).fit(x, y).predict(ends),
        color=INK,
        linewidth=1.2,
        linestyle=":",
        label="all y right",
    )
    for name, loss in LOSSES.items():
        ax.plot(ends, model(loss).fit(x, spoiled).predict(ends), color=COLORS[name], linewidth=2.2, label=name)
    ax.annotate("dotted: squared_error, all y right", (ends[1, 0], 20), ha="right", color=INK, fontsize=9)
    ax.set(ylim=(0, top), xlabel="body-mass index, standardised", ylabel="progression of the disease")
    ax.set_title(f"The fit  (▲: wrong rows, up to {spoiled.max():,.0f})", loc="left", fontsize=10.5, pad=14)
    ax.grid(axis="y")


def _pull(ax):
    """The gradients."""
    display = LossDisplay.from_losses(
        LOSSES, quantities=["gradient"], limits=(-6, 2), ax=ax, legend=False, linewidth=2.2
    )
    for name, (line,) in zip(LOSSES, display.lines_, strict=True):
        line.set(color=COLORS[name], linestyle="-")
    ax.set(ylim=(-3, 1.2), xlim=(-6, 2), xlabel="prediction − y, in quartile ranges")
    ax.annotate(
        "rows with gross errors\nlie far out here",
        xy=(-6, -1.2),
        xytext=(-5.2, -1.2),
        color="#c92a2a",
        va="center",
        arrowprops={"arrowstyle": "->", "color": "#c92a2a"},
    )
    ax.set_title("")
    ax.set_title("The pull of a row: the loss's gradient", loc="left", fontsize=10.5, pad=14)


def _scores(ax, found):
    """Errors over the share of gross errors, with a label at the end of each curve."""
    ends = {name: scores[-1].mean() for name, scores in found.items()}
    for name, scores in found.items():
        middle, spread = scores.mean(axis=1), scores.std(axis=1)
        ax.fill_between(
            100 * np.array(SHARES), middle - spread, middle + spread, color=COLORS[name], alpha=0.13, linewidth=0
        )
        ax.plot(100 * np.array(SHARES), middle, color=COLORS[name], linewidth=2.2, marker="o", markersize=4)
    low, high = 30, 1.12 * max(ends.values())
    ax.set(yscale="log", ylim=(low, high), xlim=(-0.5, 30), xlabel="rows with gross errors, %")
    places = np.log(sorted(ends.values()))
    for k in range(1, len(places)):  # keep labels apart
        places[k] = max(places[k], places[k - 1] + 0.055 * np.log(high / low))
    for (name, _), place in zip(sorted(ends.items(), key=lambda item: item[1]), places, strict=True):
        ax.text(30.7, np.exp(place), name, color=COLORS[name], va="center", fontweight="bold", clip_on=False)
    ticks = [tick for tick in (30, 40, 50, 100, 200, 400, 800) if low <= tick <= high]
    ax.set_yticks(ticks, [f"{tick}" for tick in ticks])
    ax.minorticks_off()
    ax.set_title("Mean absolute error on clean rows", loc="left", fontsize=10.5, pad=14)
    ax.grid(axis="y")


def main(arguments=None):
    """Read the command line, compare the losses, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=10, help="random splits to average over (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=PICTURE, help="where the picture goes (default: %(default)s)")
    options = parser.parse_args(arguments)
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # enough epochs for three digits
        found = errors(X, y, options.splits)
        print(table(found))
        draw(X, y, found, options.out)
    print(f"\nPicture: {options.out}")
    return found


if __name__ == "__main__":
    main()

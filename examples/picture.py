"""The leaderboard's picture: score over alpha for every loss and penalty, and what a fit costs."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

INK, MUTED, GRID, PAPER = "#1d2733", "#6b7885", "#e3e8ec", "#ffffff"
OURS, THEIRS = "#0b7285", "#e8590c"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "axes.grid": True,
    "xtick.minor.size": 0,
    "grid.color": GRID,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(ours, theirs, table, scoring, out):
    """Save the picture of two outcomes of ``leaderboard.search`` to ``out``."""
    frame = ours.candidates
    losses, penalties = list(dict.fromkeys(frame["loss"])), list(dict.fromkeys(frame["penalty"]))
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(2.7 * len(losses) + 0.6, 2.0 * len(penalties) + 4.4), dpi=150)
        margins = {"left": 0.115, "right": 0.945, "top": 0.865, "bottom": 0.065}
        top, bottom = figure.add_gridspec(2, 1, height_ratios=(2.0 * len(penalties), 1.9), hspace=0.26, **margins)
        _scores(figure, top.subgridspec(len(penalties), len(losses), hspace=0.16, wspace=0.1), ours, theirs, scoring)
        _seconds(figure.add_subplot(bottom), ours, theirs, losses)
        _title(figure, ours, theirs, table, scoring)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out)
        plt.close(figure)


def _title(figure, ours, theirs, table, scoring):
    """Put the headline, the reading aid and the legend above the panels."""
    best = ours.best
    figure.text(
        0.018, 0.975, f"Which loss, which penalty, how strong?  {table.name}", fontsize=17, fontweight="bold", va="top"
    )
    reading = (
        f"Best of ours (star): {best['loss']}, {best['penalty']}, alpha = {best['alpha']:.0e}: {scoring} "
        f"{best['score']:.3f} in cross-validation, {ours.test_score:.3f} on rows held out.  Bands: ± one standard "
        "deviation over the folds."
    )
    figure.text(0.018, 0.937, reading, fontsize=10.5, color=MUTED, va="top")
    handles = [
        plt.Line2D([], [], color=OURS, lw=2.4, marker="o", ms=6, label=ours.library),
        plt.Line2D([], [], color=THEIRS, lw=1.6, ls=(0, (4, 2)), marker="o", mfc=PAPER, ms=6, label=theirs.library),
    ]
    corner = {"loc": "upper right", "bbox_to_anchor": (0.985, 0.985)}
    figure.legend(handles=handles, ncols=2, frameon=False, fontsize=11, **corner)


def _limits(ours, theirs):
    """Return the range of scores worth showing: from a little under the middle of the field to the best."""
    scores = np.concatenate([ours.candidates["score"], theirs.candidates["score"]])
    scores = scores[np.isfinite(scores)]
    low, high = np.quantile(scores, 0.08), scores.max()
    room = max(high - low, 1e-3)
    return low - 0.1 * room, high + max(0.12 * room, min(1.1 * ours.best["spread"], room))


def _scores(figure, grid, ours, theirs, scoring):
    """Draw one small panel a loss and penalty, all on the same axes."""
    losses = list(dict.fromkeys(ours.candidates["loss"]))
    penalties = list(dict.fromkeys(ours.candidates["penalty"]))
    first, best = None, ours.best
    for i, penalty in enumerate(penalties):
        for j, loss in enumerate(losses):
            axes = first = figure.add_subplot(grid[i, j], sharex=first, sharey=first)
            axes.set_xscale("log")
            axes.set_ylim(*_limits(ours, theirs))
            _curve(axes, theirs.candidates, loss, penalty, color=THEIRS, ls=(0, (4, 2)), lw=1.6, mfc=PAPER, alpha=0.13)
            _curve(axes, ours.candidates, loss, penalty, color=OURS, ls="-", lw=2.4, mfc=OURS, alpha=0.18)
            if (loss, penalty) == (best["loss"], best["penalty"]):
                axes.plot(best["alpha"], best["score"], marker="*", ms=17, color="#f2b705", mec=INK, mew=0.8, zorder=9)
            axes.tick_params(labelbottom=i == len(penalties) - 1, labelleft=j == 0, length=0)
            if i == 0:
                only = "" if loss in set(theirs.candidates["loss"]) else "\nonly in sklosses"
                axes.set_title(loss, fontsize=12.5, fontweight="bold", pad=18)
                axes.annotate(only.strip(), (0.5, 1.03), xycoords="axes fraction", ha="center", color=OURS, fontsize=9)
            if j == 0:
                axes.set_ylabel(f"{penalty}\n{scoring}", fontsize=10.5)
            if i == len(penalties) - 1:
                axes.set_xlabel("alpha")


def _curve(axes, frame, loss, penalty, *, alpha, **line):
    """Draw one library's mean score over alpha with its band."""
    part = frame[(frame["loss"] == loss) & (frame["penalty"] == penalty)].sort_values("alpha")
    if part.empty:
        return
    x, mean, spread = (part[name].to_numpy(float) for name in ("alpha", "score", "spread"))
    axes.fill_between(x, mean - spread, mean + spread, color=line["color"], alpha=alpha, lw=0)
    axes.plot(x, mean, marker="o", ms=5, **line)


def _seconds(axes, ours, theirs, losses):
    """Draw what a fit costs, a row a loss: every candidate a dot, the medians as bars and their ratio written out."""
    said = "Time of a fit, preprocessing included (each dot a candidate; ours train together, in equal shares)"
    axes.set_title(said, loc="left", fontsize=12, pad=8)
    beside = axes.get_yaxis_transform()
    axes.text(1.008, -0.75, "medians'\nratio", transform=beside, fontsize=9, color=MUTED, va="bottom")
    for row, loss in enumerate(losses):
        medians = []
        for outcome, color, shift in ((ours, OURS, -0.15), (theirs, THEIRS, 0.15)):
            took = 1e3 * outcome.candidates.loc[outcome.candidates["loss"] == loss, "seconds"].dropna().to_numpy()
            if len(took):
                medians.append(np.median(took))
                axes.scatter(took, np.full(len(took), row + shift), s=26, color=color, alpha=0.35, lw=0)
                axes.scatter(medians[-1], row + shift, marker="|", s=190, color=color, lw=2.6, zorder=5)
        if len(medians) == 2:
            ratio = f"×{medians[1] / medians[0]:.1f}"
            axes.text(1.008, row, ratio, transform=beside, va="center", fontsize=11, fontweight="bold")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(losses)), losses, color=INK)
    axes.set_ylim(len(losses) - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.set_xlabel("milliseconds")

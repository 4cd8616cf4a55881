"""How this package's pictures look."""

# Okabe and Ito's colours, which colour-blind readers tell apart; black last.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", (0, (6, 2)), (0, (3, 1.5)), (0, (6, 2, 1.5, 2)))


def color(number):
    """Colour of the curve with this number."""
    return COLORS[number % len(COLORS)]


def dashes(number):
    """Solid first; then patterns, so that curves which coincide for a while both show."""
    return _DASHES[number % len(_DASHES)]


def tidy(axes):
    """Axes without a box, with a grid that stays in the background."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.93", linewidth=0.8)
    axes.set_axisbelow(True)


def draw_legend(figure, axes, whole_figure):
    """A legend of what is labelled on `axes`: under the figure if it is ours, else inside."""
    handles, labels = axes.get_legend_handles_labels()
    if whole_figure:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    elif labels:
        axes.legend(handles, labels, frameon=False)


def scale(axes, values):
    """A logarithmic x-axis for numbers that span a factor of ten; where there is a zero, linear next to it."""
    positive = [value for value in values if value > 0]
    if min(values) < 0 or not positive or max(positive) < 10 * min(positive):
        return
    if len(positive) == len(values):
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=min(positive))

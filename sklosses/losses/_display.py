"""Pictures of losses."""

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from sklosses._drawing import color, dashes, draw_legend, tidy
from sklosses.losses._differences import jumps
from sklosses.losses._registry import get_loss

QUANTITIES = ("value", "gradient", "hessian")
LABELS = {"residual": "residual  p − y", "margin": "margin  y p", "prediction": "raw prediction p  (y = {y:g})"}
TITLES = {"value": "value", "gradient": "gradient  d/dp", "hessian": "hessian  d²/dp²"}
POINTS = 801


class LossDisplay:
    """Value, gradient and hessian of losses, drawn over the residual, the margin or the raw prediction.

    Make one with :meth:`from_losses`; the constructor takes what that computes.

    Parameters
    ----------
    curves : dict of str to dict
        For each label the curves of a loss: for "value", "gradient" and "hessian" (which may be missing) a pair of
        arrays, places and heights. A nan separates the pieces of a curve that jumps.
    over : {"residual", "margin", "prediction"}
        What the places are.
    y : float
        The target that the curves belong to.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of matplotlib Axes
        One for each quantity.
    ax_ : matplotlib Axes
        The first of them.
    lines_ : ndarray of shape (n_losses, n_quantities)
        The curves as matplotlib lines; None where a loss has no hessian.

    See Also
    --------
    check_loss : Verifies what the pictures show.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklosses.losses import LossDisplay
    >>> display = LossDisplay.from_losses(["squared_error", "huber", "cauchy"])
    >>> plt.show()
    """

    def __init__(self, *, curves, over, y):
        self.curves = curves
        self.over = over
        self.y = y

    @classmethod
    def from_losses(cls, losses, *, over=None, limits=(-3.0, 3.0), y=None, quantities=QUANTITIES, ax=None, **kwargs):
        """Compute the curves of losses and plot them.

        Parameters
        ----------
        losses : loss, sequence of losses, or dict of str to loss
            Names, instances, or objects of the user's own: what :func:`get_loss` takes. The keys of a dict are the
            labels.
        over : {"residual", "margin", "prediction"}, default=None
            What to draw them over. None: the margin if all are losses for labels, the residual if all are functions of
            it, else the raw prediction.
        limits : tuple of two floats, default=(-3.0, 3.0)
            From where to where.
        y : float, default=None
            The target. None: 0 over the residual if that is admissible, the positive class over the margin, else 1.
        quantities : sequence of str, default=("value", "gradient", "hessian")
            What to draw, in this order.
        ax : matplotlib Axes or sequence of them, default=None
            As in :meth:`plot`.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        LossDisplay
            Plotted.

        Raises
        ------
        ValueError
            If `over`, `quantities` or `limits` are not among the valid ones, or a loss has vector parameters.
        """
        named = _named(losses)
        over = _choose(list(named.values())) if over is None else over
        if over not in LABELS:
            raise ValueError(f"over must be one of {', '.join(map(repr, LABELS))}; got {over!r}.")
        low, high = limits
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise ValueError(f"limits must be two finite numbers in order, got {limits!r}.")
        _check_quantities(quantities)
        curves = {label: _curves(loss, over, (low, high), _target(loss, over, y)) for label, loss in named.items()}
        shown = _target(next(iter(named.values())), over, y)
        return cls(curves=curves, over=over, y=shown).plot(ax, quantities=quantities, **kwargs)

    def plot(self, ax=None, *, quantities=QUANTITIES, legend=True, **kwargs):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of them, default=None
            Where to draw: as many Axes as quantities, or one, which is divided. None: a new figure.
        quantities : sequence of {"value", "gradient", "hessian"}, default=("value", "gradient", "hessian")
            What to draw, in this order.
        legend : bool, default=True
            Whether to say which curve is whose.
        **kwargs : dict
            For matplotlib's ``plot``: ``linewidth``, ``alpha`` and so on.

        Returns
        -------
        LossDisplay
            self
        """
        check_matplotlib_support("LossDisplay.plot")
        _check_quantities(quantities)
        self.figure_, self.axes_ = _axes(ax, len(quantities))
        self.ax_ = self.axes_[0]
        self.lines_ = np.full((len(self.curves), len(quantities)), None)
        for column, (axes, quantity) in enumerate(zip(self.axes_, quantities, strict=True)):
            axes.axhline(0, color="0.75", linewidth=0.8, zorder=0)
            axes.axvline(0, color="0.75", linewidth=0.8, zorder=0)
            for row, (label, curve) in enumerate(self.curves.items()):
                if quantity not in curve:
                    continue
                style = {"color": color(row), "linewidth": 1.8, "linestyle": dashes(row)} | kwargs
                (self.lines_[row, column],) = axes.plot(*curve[quantity], label=label, **style)
                _connect(axes, curve[quantity], style["color"])
            axes.set_title(TITLES[quantity], fontsize="medium")
            axes.set_xlabel(LABELS[self.over].format(y=self.y))
            tidy(axes)
        if legend:
            draw_legend(self.figure_, self.ax_, ax is None)
        return self


def _named(losses):
    """Losses by label: the name, or how they are written where a name is not enough."""
    if isinstance(losses, dict):
        return {str(label): _scalar(get_loss(loss)) for label, loss in losses.items()}
    several = isinstance(losses, list | tuple)
    found = [_scalar(get_loss(loss)) for loss in (losses if several else [losses])]
    if not found:
        raise ValueError("losses is empty: there is nothing to draw.")
    names = [loss.name for loss in found]
    labels = [loss.name if names.count(loss.name) == 1 else repr(loss) for loss in found]
    return dict(zip(labels, found, strict=True))


def _scalar(loss):
    if getattr(loss, "n_columns", None) != 1:
        raise ValueError(f"{loss!r} cannot be drawn over one number: it acts on embeddings or has vector parameters.")
    return loss


def _choose(losses):
    """What suits all of the losses."""
    if all(loss.target.codes is not None for loss in losses) and any(loss.traits.kind != "residual" for loss in losses):
        return "margin"
    return "residual" if all(loss.traits.kind == "residual" for loss in losses) else "prediction"


def _target(loss, over, y):
    if y is not None:
        loss.target.check([y], "y", repr(loss))
        return float(y)
    if over == "margin" and loss.target.codes is not None:
        return float(loss.target.codes[1])
    return 0.0 if over == "residual" and 0.0 in loss.target.interval and not loss.target.hard else 1.0


def _check_quantities(quantities):
    if isinstance(quantities, str) or not quantities or not set(quantities) <= set(QUANTITIES):
        raise ValueError(f"quantities must be a sequence of some of {', '.join(QUANTITIES)}; got {quantities!r}.")


def _curves(loss, over, limits, y):
    """The curves of one loss at one target."""
    shift = y if over == "residual" else 0.0
    places = np.unique(np.append(np.linspace(*limits, POINTS), [0.0] if limits[0] < 0 < limits[1] else []))
    curves = {}
    for quantity in QUANTITIES:
        try:
            curves[quantity] = _pieces(getattr(loss, quantity), places + shift, y, shift)
        except NotImplementedError:
            continue
    return curves


def _pieces(function, p, y, shift):
    """A curve with a gap wherever it jumps."""
    y = np.full(len(p), y)
    with np.errstate(over="ignore"):
        heights = function(y, p)
        low, high, jump = jumps(function, y[1:], p[:-1], p[1:])
        finite = heights[np.isfinite(heights)]
        jumping = jump > 1e-6 * (np.ptp(finite) if len(finite) else 0.0) + 1e-12
        left, right = low[jumping], high[jumping]
        if not len(left):
            return p - shift, heights
        # A value of its own at the kink itself makes two jumps of one.
        apart = np.diff(left) > 1e-9 * np.ptp(p)
        left, right = left[np.append(True, apart)], right[np.append(apart, True)]
        sides = function(y[: len(left)], left), function(y[: len(left)], right)
    keep = np.all((p[:, None] < left) | (p[:, None] > right), axis=1)
    gaps = np.full(len(left), np.nan)
    # Between its two sides each jump has a place without a height.
    places = np.concatenate([p[keep], left, left, right])
    heights = np.concatenate([heights[keep], sides[0], gaps, sides[1]])
    order = np.lexsort([np.isnan(heights), places])
    return places[order] - shift, heights[order]


def _connect(axes, curve, color):
    """A dotted line across each jump."""
    places, heights = curve
    for k in np.flatnonzero(np.isnan(heights[1:-1])) + 1:
        axes.plot(places[[k - 1, k + 1]], heights[[k - 1, k + 1]], color=color, linewidth=1.0, linestyle=":")


def _axes(ax, n):
    """A figure and n Axes: new ones, those given, or the parts of the one given."""
    import matplotlib.pyplot as plt

    if ax is None:
        figure, axes = plt.subplots(1, n, figsize=(3.6 * n, 3.3), layout="constrained", sharex=True)
        return figure, np.atleast_1d(axes)
    if isinstance(ax, plt.Axes):
        if n == 1:
            return ax.figure, np.array([ax])
        ax.set_axis_off()
        grid = ax.get_subplotspec().subgridspec(1, n, wspace=0.25)
        return ax.figure, np.array([ax.figure.add_subplot(grid[k]) for k in range(n)])
    axes = np.asarray(ax, dtype=object).ravel()
    if len(axes) != n:
        raise ValueError(f"Expected ax to have {n} axes, one for each quantity, got {len(axes)}.")
    return axes[0].figure, axes

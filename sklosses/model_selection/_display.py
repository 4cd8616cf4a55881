"""Pictures of searches: scores along a parameter."""

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._plotting import _validate_score_name
from sklearn.utils.validation import check_is_fitted

from sklosses._drawing import color, dashes, draw_legend, scale, tidy
from sklosses.model_selection._score_table import is_number, of_path, of_search

TYPES = ("test", "train", "both")
BANDS = ("fill_between", None)


class SearchDisplay:
    """Validation curves: the score of a search's candidates along one of their parameters.

    A line for each value, or combination of values, of the other parameters; the spread over the splits as a band; the
    best candidate marked. Make one with :meth:`from_search`; the constructor takes what that computes.

    Parameters
    ----------
    param_name : str
        The parameter along the axis.
    curves : dict of str to dict
        For each label "values" of shape (n_values,), in ascending order, and "test" scores of shape (n_values,
        n_splits); "train" scores of the same shape, if they are known.
    best : tuple of two floats or None, default=None
        Value and mean test score of the candidate to mark.
    score_name : str or None, default=None
        What the scores are, for the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        Means over the splits, in the order of `curves`: of test scores, then of train scores, as far as they are
        drawn.
    fill_between_ : list of matplotlib PolyCollection, or None
        Bands of one standard deviation over the splits on both sides of `lines_`.
    best_ : matplotlib Line2D or None
        The mark.

    See Also
    --------
    PathDisplay : Coefficients along the strength of the penalty.
    sklearn.model_selection.ValidationCurveDisplay : Curves from fits of its own.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklosses import SGDClassifier
    >>> from sklosses.model_selection import SearchDisplay
    >>> X, y = make_classification(random_state=0)
    >>> grid = {"loss": ["hinge", "log_loss"], "alpha": np.logspace(-4, 0, 5)}
    >>> search = GridSearchCV(SGDClassifier(), grid, cv=3).fit(X, y)
    >>> display = SearchDisplay.from_search(search)
    >>> plt.show()
    """

    def __init__(self, *, param_name, curves, best=None, score_name=None):
        self.param_name = param_name
        self.curves = curves
        self.best = best
        self.score_name = score_name

    @classmethod
    def from_search(cls, search, *, param_name=None, hue=None, metric=None, ax=None, **kwargs):
        """Take the scores of a fitted search and plot them.

        Parameters
        ----------
        search : fitted search
            Any of scikit-learn's or ours that has `cv_results_`; or a fitted :class:`~sklosses.SGDClassifierCV` or
            :class:`~sklosses.SGDRegressorCV`, whose parameters are "alpha" and "l1_ratio".
        param_name : str or None, default=None
            The parameter along the axis, whose values are numbers. The last part of a name will do, "alpha" for
            "sgdclassifier__alpha". None: the one with the most different values.
        hue : str, list of str or None, default=None
            The parameters that tell lines apart. None: all others that differ, but those with more values than half of
            the candidates. Of several candidates at the same place of a line the one with the best mean test score
            counts.
        metric : str or None, default=None
            Which of the metrics of a search that has several. None: the one of `refit`.
        ax : matplotlib Axes or None, default=None
            As in :meth:`plot`.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        SearchDisplay
            Plotted.

        Raises
        ------
        ValueError
            If a parameter or metric does not exist, or is not of numbers, or nothing differs.
        """
        check_is_fitted(search)
        alphas = all(hasattr(search, name) for name in ("alphas_", "l1_ratios_", "scores_"))
        table = of_path(search) if alphas else of_search(search, metric)
        param_name = _numeric(table, param_name)
        hue = _telling(table, param_name, hue)
        curves = _curves(table, param_name, hue)
        best, number = None, table.best
        if number is not None and is_number(table.params[number].get(param_name)):
            best = float(table.params[number][param_name]), float(np.mean(table.test[number]))
        display = cls(param_name=param_name, curves=curves, best=best, score_name=table.score_name)
        return display.plot(ax, **kwargs)

    def plot(
        self,
        ax=None,
        *,
        score_type="test",
        std_display_style="fill_between",
        negate_score=False,
        score_name=None,
        legend=True,
        line_kwargs=None,
        fill_between_kwargs=None,
    ):
        """Draw the curves.

        The axis is logarithmic where the values are positive and span a factor of ten or more.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        score_type : {"test", "train", "both"}, default="test"
            Which scores; train scores, dashed, are there if the search had ``return_train_score=True``.
        std_display_style : {"fill_between"} or None, default="fill_between"
            How to show the standard deviation over the splits, if at all.
        negate_score : bool, default=False
            Whether to draw the negative of the scores: errors, for "neg_mean_squared_error".
        score_name : str or None, default=None
            Of the axis. None: that of the display.
        legend : bool, default=True
            Whether to say which line is whose.
        line_kwargs, fill_between_kwargs : dict or None, default=None
            For matplotlib's ``plot`` and ``fill_between``.

        Returns
        -------
        SearchDisplay
            self

        Raises
        ------
        ValueError
            If `score_type` or `std_display_style` is not one of these, or train scores are asked for and not known.
        """
        check_matplotlib_support("SearchDisplay.plot")
        import matplotlib.pyplot as plt

        self._check(score_type, std_display_style)
        whole_figure = ax is None
        if whole_figure:
            _, ax = plt.subplots(figsize=(6.0, 4.0), layout="constrained")
        self.ax_, self.figure_, self.lines_ = ax, ax.figure, []
        self.fill_between_ = [] if std_display_style else None
        sign = -1.0 if negate_score else 1.0
        for which in ("test", "train"):
            if score_type in (which, "both"):
                self._draw(which, sign, line_kwargs or {}, fill_between_kwargs or {}, both=score_type == "both")
        self.best_ = None
        if self.best is not None and score_type != "train":
            style = {"marker": "*", "markersize": 15, "color": "white", "markeredgecolor": "black", "linestyle": ""}
            (self.best_,) = ax.plot(self.best[0], sign * self.best[1], label="best", zorder=5, **style)
        scale(ax, np.concatenate([curve["values"] for curve in self.curves.values()]))
        ax.set_xlabel(self.param_name)
        ax.set_ylabel(_validate_score_name(score_name, self.score_name, negate_score))
        tidy(ax)
        if legend:
            draw_legend(self.figure_, ax, whole_figure)
        return self

    def _check(self, score_type, std_display_style):
        if score_type not in TYPES:
            raise ValueError(f"score_type must be one of {', '.join(map(repr, TYPES))}; got {score_type!r}.")
        if std_display_style not in BANDS:
            raise ValueError(f"std_display_style must be 'fill_between' or None; got {std_display_style!r}.")
        if score_type != "test" and any("train" not in curve for curve in self.curves.values()):
            raise ValueError(f"score_type={score_type!r} needs a search with return_train_score=True.")

    def _draw(self, which, sign, line_kwargs, band_kwargs, *, both):
        """Lines and bands of the test or the train scores."""
        train = which == "train"
        for row, (label, curve) in enumerate(self.curves.items()):
            scores = sign * curve[which]
            mean, spread = scores.mean(axis=1), scores.std(axis=1)
            look = {"marker": "o", "markersize": 3.5, "linewidth": 1.6, "linestyle": "--" if train else dashes(row)}
            name = " ".join(part for part in (label, which if both else "") if part)
            style = {"color": color(row), "label": name or None} | look | line_kwargs
            self.lines_ += self.ax_.plot(curve["values"], mean, **style)
            if self.fill_between_ is not None:
                band = {"color": style["color"], "alpha": 0.08 if train else 0.15, "linewidth": 0.0} | band_kwargs
                self.fill_between_.append(self.ax_.fill_between(curve["values"], mean - spread, mean + spread, **band))


def _numeric(table, name):
    """The parameter along the axis."""
    names = table.names()
    if name is not None:
        name = table.find(name, names, "param_name")
        strange = [value for value in table.values(name) if not is_number(value) and value is not None]
        if strange:
            raise ValueError(f"param_name={name!r} must be a parameter whose values are numbers; got {strange[0]!r}.")
        return name
    numeric = [name for name in names if len(table.values(name)) > 1 and all(map(is_number, table.values(name)))]
    if not numeric:
        raise ValueError("No parameter of the search has several values that are numbers: there is no axis.")
    return max(numeric, key=lambda name: len(table.values(name)))


def _telling(table, param_name, hue):
    """The parameters that tell lines apart."""
    others = [name for name in table.names() if name != param_name]
    if hue is None:
        return [name for name in others if 2 * len(table.values(name)) <= len(table.params)]
    return [table.find(name, others, "hue") for name in ([hue] if isinstance(hue, str) else hue)]


def _curves(table, param_name, hue):
    """Lines by label: at each place the candidate with the best mean test score."""
    lines = {}
    for number, params in enumerate(table.params):
        if not is_number(params.get(param_name)) or not np.all(np.isfinite(table.test[number])):
            continue
        points = lines.setdefault(_label(params, hue), {})
        value = float(params[param_name])
        if value not in points or table.test[number].mean() > table.test[points[value]].mean():
            points[value] = number
    if not lines:
        raise ValueError("No candidate has scores for all splits: there is nothing to draw.")
    curves = {}
    for label, points in lines.items():
        chosen = [points[value] for value in sorted(points)]
        curves[label] = {"values": np.array(sorted(points)), "test": table.test[chosen]}
        if table.train is not None:
            curves[label]["train"] = table.train[chosen]
    return curves


def _label(params, hue):
    """A candidate's values of the parameters that tell lines apart, in words: those that need no name first."""
    said = []
    for name in sorted(hue, key=lambda name: not isinstance(params.get(name), str)):
        if name not in params:
            continue
        value = params[name]
        text = f"{value:g}" if is_number(value) else str(value)
        said.append(text if isinstance(value, str) else f"{name.rpartition('__')[2]}={text}")
    return ", ".join(said)

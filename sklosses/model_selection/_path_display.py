"""Pictures of paths: coefficients along the strength of the penalty."""

import numpy as np
from sklearn.isotonic import isotonic_regression
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted

from sklosses._drawing import color, scale, tidy

# Height of a label, in points.
LABEL_HEIGHT = 11.0
# Numbers above the picture.
MOST_COUNTS = 8


class PathDisplay:
    """Coefficients along the strength of the penalty, from the strongest to the weakest.

    The largest are coloured and labelled, the chosen strength is marked, and above the picture stands how many
    coefficients are not zero. Make one with :meth:`from_estimator` or :meth:`from_path`.

    Parameters
    ----------
    alphas : ndarray of shape (n_alphas,)
        Strengths of the penalty.
    coefs : ndarray of shape (n_features, n_alphas)
        Coefficients, as drawn.
    feature_names : sequence of str of length n_features
        Labels.
    alpha : float or None, default=None
        The strength to mark.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : ndarray of shape (n_features,)
        The lines, as matplotlib Line2D.
    labels_ : list of matplotlib Text
        Names of the features that are labelled.
    alpha_line_ : matplotlib Line2D or None
        The mark of the chosen strength.

    See Also
    --------
    SearchDisplay : Scores along a parameter.
    sklearn.linear_model.lasso_path : Makes a path of the squared error.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import lasso_path
    >>> from sklosses.model_selection import PathDisplay
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> alphas, coefs, _ = lasso_path(X - X.mean(), y - y.mean())
    >>> display = PathDisplay.from_path(alphas, coefs, feature_names=X.columns)
    >>> plt.show()
    """

    def __init__(self, *, alphas, coefs, feature_names, alpha=None):
        self.alphas = alphas
        self.coefs = coefs
        self.feature_names = feature_names
        self.alpha = alpha

    @classmethod
    def from_estimator(cls, estimator, *, l1_ratio=None, class_label=None, output=None, scale=None, ax=None, **kwargs):
        """Plot the path of a fitted CV estimator, of all its training rows.

        Strengths without a model, because its fit failed or was stopped, are left out.

        Parameters
        ----------
        estimator : SGDClassifierCV or SGDRegressorCV
            Fitted, with ``refit=True``.
        l1_ratio : float or None, default=None
            One of its `l1_ratios_`. None: the chosen one.
        class_label : label or None, default=None
            With more than two classes, or labels of an indicator, that whose coefficients to draw.
        output : int or None, default=None
            With several outputs or quantiles, the number of that whose coefficients to draw, from 0.
        scale : array-like of shape (n_features,) or None, default=None
            As in :meth:`from_path`.
        ax : matplotlib Axes or None, default=None
            As in :meth:`plot`.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        PathDisplay
            Plotted.

        Raises
        ------
        ValueError
            If there is no path, or no such `l1_ratio`, class or output.
        """
        check_is_fitted(estimator)
        paths = getattr(estimator, "coef_path_", None)
        if paths is None:
            raise ValueError(f"estimator must have a coef_path_, as CV estimators with refit=True; got {estimator!r}.")
        ratios = estimator.l1_ratios_.tolist()
        wanted = estimator.l1_ratio_ if l1_ratio is None else l1_ratio
        if wanted not in ratios:
            raise ValueError(f"l1_ratio={l1_ratio!r} must be one of {ratios}.")
        place = ratios.index(wanted)
        alphas = np.atleast_2d(estimator.alphas_)
        path = _of_column(estimator, paths[place], class_label=class_label, output=output)
        known = np.all(np.isfinite(path), axis=1)
        return cls.from_path(
            alphas[place if len(alphas) > 1 else 0][known],
            path[known].T,
            feature_names=getattr(estimator, "feature_names_in_", None),
            alpha=estimator.alpha_ if wanted == estimator.l1_ratio_ else None,
            scale=scale,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_path(cls, alphas, coefs, *, feature_names=None, alpha=None, scale=None, ax=None, **kwargs):
        """Plot a path.

        Parameters
        ----------
        alphas : array-like of shape (n_alphas,)
            Strengths of the penalty, at least 0, in any order.
        coefs : array-like of shape (n_features, n_alphas)
            Coefficients, as :func:`sklearn.linear_model.lasso_path` returns them.
        feature_names : array-like of str of shape (n_features,), default=None
            None: x0, x1, ...
        alpha : float or None, default=None
            The strength to mark.
        scale : array-like of shape (n_features,) or None, default=None
            Factors of the coefficients: with the standard deviations of the features, what is drawn is the effect of
            one standard deviation, which features in different units have in common.
        ax : matplotlib Axes or None, default=None
            As in :meth:`plot`.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        PathDisplay
            Plotted.

        Raises
        ------
        ValueError
            If shapes do not fit, or numbers are not finite.
        """
        alphas, coefs = np.asarray(alphas, dtype=np.float64), np.asarray(coefs, dtype=np.float64)
        if alphas.ndim != 1 or not len(alphas) or not np.all(np.isfinite(alphas)) or np.any(alphas < 0):
            raise ValueError(f"alphas must be a vector of finite numbers of at least 0, got {alphas!r}.")
        if coefs.ndim != 2 or coefs.shape[1] != len(alphas) or not np.all(np.isfinite(coefs)):
            raise ValueError(
                f"coefs must be finite, of shape (n_features, {len(alphas)}), a column for each of the alphas; got "
                f"shape {coefs.shape}."
            )
        names = [f"x{j}" for j in range(len(coefs))] if feature_names is None else [str(name) for name in feature_names]
        factors = np.ones(len(coefs)) if scale is None else np.asarray(scale, dtype=np.float64)
        for name, values in (("feature_names", names), ("scale", factors)):
            if np.shape(values) != (len(coefs),):
                raise ValueError(f"{name} must have a value for each of the {len(coefs)} features, got {len(values)}.")
        order = np.argsort(-alphas, kind="stable")
        drawn = coefs[:, order] * factors[:, np.newaxis]
        return cls(alphas=alphas[order], coefs=drawn, feature_names=names, alpha=alpha).plot(ax, **kwargs)

    def plot(self, ax=None, *, n_labels=7, ylabel="coefficient", line_kwargs=None, alpha_kwargs=None):
        """Draw the path.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        n_labels : int, default=7
            How many features to label: those largest at the chosen strength, or where the penalty is weakest.
        ylabel : str, default="coefficient"
            What is drawn.
        line_kwargs, alpha_kwargs : dict or None, default=None
            For matplotlib's ``plot`` of the lines, and its ``axvline`` of the chosen strength.

        Returns
        -------
        PathDisplay
            self
        """
        check_matplotlib_support("PathDisplay.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        ax.axhline(0, color="0.75", linewidth=0.8, zorder=0)
        named = self._largest(n_labels)
        self.lines_ = np.full(len(self.coefs), None)
        for j, path in enumerate(self.coefs):
            style = {"color": "0.8", "linewidth": 1.0, "zorder": 1.5}
            if j in named:
                style = {"color": color(named.index(j)), "linewidth": 1.6, "zorder": 2, "label": self.feature_names[j]}
            (self.lines_[j],) = ax.plot(self.alphas, path, **style | (line_kwargs or {}))
        scale(ax, self.alphas)
        if len(self.alphas) > 1:
            ax.set_xlim(self.alphas[0], self.alphas[-1])
        self.alpha_line_ = None
        if self.alpha is not None:
            style = {"color": "0.25", "linestyle": ":", "linewidth": 1.2}
            self.alpha_line_ = ax.axvline(self.alpha, **style | (alpha_kwargs or {}))
        ax.set_xlabel("alpha")
        ax.set_ylabel(ylabel)
        tidy(ax)
        self._count()
        self.labels_ = self._label(named)
        return self

    def _largest(self, n_labels):
        """Numbers of the features to label, by their coefficients at the chosen strength or else at the weakest."""
        at = len(self.alphas) - 1 if self.alpha is None else int(np.argmin(np.abs(self.alphas - self.alpha)))
        order = np.argsort(-np.abs(self.coefs[:, at]), kind="stable")[: max(0, n_labels)]
        return [int(j) for j in order if self.coefs[j, at] != 0]

    def _count(self):
        """How many coefficients are not zero, above the picture, where that changes."""
        counts = np.count_nonzero(self.coefs, axis=0)
        if np.ptp(counts) == 0:
            return
        top = self.ax_.secondary_xaxis("top")
        places = np.unique(np.linspace(0, len(self.alphas) - 1, MOST_COUNTS).round().astype(int))
        top.set_xticks(self.alphas[places], labels=[str(count) for count in counts[places]])
        top.minorticks_off()
        top.tick_params(length=2, labelsize="small", labelcolor="0.35", color="0.35")
        top.spines["top"].set_visible(False)
        top.set_xlabel("coefficients that are not zero", fontsize="small", color="0.35")

    def _label(self, named):
        """Names beside the ends of the lines, moved apart where the ends are close."""
        if not named:
            return []
        low, high = self.ax_.get_ylim()
        ends = (self.coefs[named, -1] - low) / (high - low)
        gap = LABEL_HEIGHT / (self.ax_.get_window_extent().height / self.figure_.dpi * 72)
        order, steps = np.argsort(ends, kind="stable"), gap * np.arange(len(ends))
        # The nearest places in the same order with such gaps between them: a monotone regression.
        apart = isotonic_regression(ends[order] - steps)
        places = np.clip(apart, 0.0, max(0.0, 1.0 - steps[-1])) + steps
        return [
            self.ax_.annotate(
                self.feature_names[named[k]], xy=(self.alphas[-1], self.coefs[named[k], -1]), xycoords="data",
                xytext=(1.045, place), textcoords="axes fraction", va="center", fontsize="small", color=color(k),
                arrowprops={"arrowstyle": "-", "color": color(k), "linewidth": 0.8, "shrinkA": 2, "shrinkB": 0,
                            "relpos": (0.0, 0.5)},
            )
            for k, place in zip(order.tolist(), places.tolist(), strict=True)
        ]


def _of_column(estimator, path, **given):
    """Coefficients of shape (n_alphas, n_features): of a class or an output, where there are several."""
    classes = getattr(estimator, "classes_", None)
    name, kind = ("output", "outputs") if classes is None else ("class_label", "classes")
    path = path.reshape(len(path), -1, path.shape[-1])
    for other, value in given.items():
        if value is not None and path.shape[1] == 1:
            raise ValueError(f"{other}={value!r}: {type(estimator).__name__} has one set of coefficients.")
        if value is not None and other != name:
            raise ValueError(f"{other}={value!r}: {type(estimator).__name__} has several {kind}; {name} names one.")
    if path.shape[1] == 1:
        return path[:, 0]
    columns = list(range(path.shape[1])) if classes is None else classes.tolist()
    if given[name] not in columns:
        raise ValueError(f"{name}={given[name]!r} must be one of the {kind} {columns}.")
    return path[:, columns.index(given[name])]

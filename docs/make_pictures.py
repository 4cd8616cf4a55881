"""Draw the pictures of the documentation into docs/pictures, the same bytes every time: one for each loss, and others.

python docs/make_pictures.py [name ...]
"""

import re
import sys
from io import StringIO
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "sklosses", "svg.fonttype": "none", "path.simplify_threshold": 0.5})

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from sklearn.datasets import load_breast_cancer  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from sklosses import SGDClassifier, SGDClassifierCV  # noqa: E402
from sklosses.losses import LOSSES, LossDisplay, get_loss  # noqa: E402
from sklosses.model_selection import GridSearchCV, PathDisplay, SearchDisplay  # noqa: E402

PICTURES = Path(__file__).parent / "pictures"
# Losses whose parameter is worth more than one curve.
VARIANTS = {
    "huber": ("epsilon", (0.5, 1.35)),
    "pseudo_huber": ("epsilon", (0.5, 1.0)),
    "quantile": ("quantile", (0.1, 0.5, 0.9)),
    "smoothed_quantile": ("quantile", (0.1, 0.5, 0.9)),
    "expectile": ("expectile", (0.1, 0.5, 0.9)),
    "epsilon_insensitive": ("epsilon", (0.1, 1.0)),
    "squared_epsilon_insensitive": ("epsilon", (0.1, 1.0)),
    "smoothed_epsilon_insensitive": ("epsilon", (0.1, 1.0)),
    "cauchy": ("scale", (0.5, 1.0)),
    "tweedie": ("power", (1.2, 1.5, 1.8)),
    "focal": ("gamma", (0.5, 2.0)),
    "log_loss": ("pos_weight", (1.0, 3.0)),
    "smoothed_hinge": ("width", (0.2, 1.0)),
    "smoothed_perceptron": ("width", (0.2, 1.0)),
    "smoothed_absolute_error": ("width", (0.2, 1.0)),
}


def loss(name):
    """Value, gradient and hessian of a loss."""
    if name in VARIANTS:
        parameter, numbers = VARIANTS[name]
        losses = {f"{parameter} = {number:g}": get_loss(name, **{parameter: number}) for number in numbers}
    else:
        losses = {name: get_loss(name)}
    figure, axes = plt.subplots(1, 3, figsize=(8.4, 2.5), layout="constrained", facecolor="white")
    display = LossDisplay.from_losses(losses, ax=axes, limits=(-3.0, 3.0), legend=False)
    if len(losses) > 1:
        handles, labels = display.ax_.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    return figure


def search():
    """Validation curves of a search over losses and alphas."""
    X, y = load_breast_cancer(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), SGDClassifier(tol=1e-8, random_state=0))
    losses, alphas = ["hinge", "log_loss", "modified_huber"], np.logspace(-5, 1, 13)
    grid = {"sgdclassifier__loss": losses, "sgdclassifier__alpha": alphas}
    found = GridSearchCV(pipe, grid, scoring="roc_auc").fit(X, y)
    return SearchDisplay.from_search(found, score_name="area under the ROC curve").figure_


def path():
    """Coefficients of a path of l1 penalties."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    model = SGDClassifierCV("log_loss", penalty="l1", scoring="neg_log_loss", tol=1e-8, random_state=0)
    return PathDisplay.from_estimator(model.fit((X - X.mean()) / X.std(), y)).figure_


OTHERS = {"search": search, "path": path}


def draw(name):
    """Draw one picture."""
    figure = OTHERS[name]() if name in OTHERS else loss(name)
    figure.set_facecolor("white")
    picture = StringIO()
    figure.savefig(picture, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    # A hundredth of a point is enough, and half the bytes.
    (PICTURES / f"{name}.svg").write_text(re.sub(r"(\d+\.\d\d)\d+", r"\1", picture.getvalue()))


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or [*LOSSES, *OTHERS]:
        draw(name)

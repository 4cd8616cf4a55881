"""Draw the pictures of docs/choosing_a_loss.md: one for each loss, into docs/pictures, the same bytes every time.

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

from sklosses.losses import LOSSES, LossDisplay, get_loss  # noqa: E402

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


def draw(name):
    """Draw one loss."""
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
    picture = StringIO()
    figure.savefig(picture, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    # A hundredth of a point is enough, and half the bytes.
    (PICTURES / f"{name}.svg").write_text(re.sub(r"(\d+\.\d\d)\d+", r"\1", picture.getvalue()))


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or LOSSES:
        draw(name)

"""`LossDisplay`: scikit-learn's conventions, and curves that are true."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from sklosses.losses import LOSSES, Huber, LossDisplay, Quantile, Traits, get_loss

matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_conventions():
    display = LossDisplay.from_losses(["squared_error", "huber"])
    assert isinstance(display, LossDisplay)
    assert display.figure_ is display.ax_.figure
    assert display.ax_ is display.axes_[0]
    assert display.axes_.shape == (3,)
    assert display.lines_.shape == (2, 3)
    assert display.plot() is display
    assert [text.get_text() for text in display.figure_.legends[0].get_texts()] == ["squared_error", "huber"]


def test_matplotlib_is_imported_when_plotting():
    code = "import sys, sklosses.losses; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", LOSSES)
def test_curves_are_the_loss(name):
    loss = get_loss(name)
    display = LossDisplay.from_losses(loss, quantities=["value", "gradient"])
    for line, quantity in zip(display.lines_[0], ("value", "gradient"), strict=True):
        x, height = line.get_data()
        fine = ~np.isnan(height)
        p = x + (display.y if display.over == "residual" else 0)
        expected = getattr(loss, quantity)(np.full(len(p), display.y), p)
        # Beside a jump the place is rounded when the target is added to it.
        assert np.mean(np.isclose(height, expected)[fine]) > 0.99
        assert np.all(np.diff(x) >= 0)


def test_jumps_are_gaps():
    x, height = LossDisplay.from_losses("absolute_error").lines_[0, 1].get_data()
    assert np.isnan(height).sum() == 1
    assert set(height[~np.isnan(height)]) == {-1.0, 1.0}
    assert abs(x[np.isnan(height)][0]) < 1e-9


def test_what_they_are_drawn_over():
    assert LossDisplay.from_losses(["huber", "cauchy"]).over == "residual"
    assert LossDisplay.from_losses(["hinge", "log_loss", "squared_error"]).over == "margin"
    assert LossDisplay.from_losses(["poisson", "gamma"]).over == "prediction"
    assert LossDisplay.from_losses("poisson", y=3.0).y == 3.0
    assert LossDisplay.from_losses("huber", over="prediction", y=2.0).y == 2.0


def test_labels():
    assert list(LossDisplay.from_losses([Huber(1.0), Huber(2.0)]).curves) == [
        "Huber(epsilon=1.0)",
        "Huber(epsilon=2.0)",
    ]
    assert list(LossDisplay.from_losses({"mine": Huber(1.0)}).curves) == ["mine"]


def test_losses_without_hessian():
    class Absolute:
        traits = Traits("residual", smooth=False, lipschitz=1.0)

        def value(self, y, p):
            return abs(p - y)

        def gradient(self, y, p):
            return np.sign(p - y)

    display = LossDisplay.from_losses([Absolute(), "huber"])
    assert display.lines_[0, 2] is None
    assert display.lines_[1, 2] is not None


@pytest.mark.parametrize("n", [1, 3])
def test_axes_of_the_user(n):
    _, axes = plt.subplots(1, n)
    display = LossDisplay.from_losses("huber", ax=axes, quantities=["value", "gradient", "hessian"][:n])
    assert list(display.axes_) == list(np.atleast_1d(axes))


def test_one_axes_is_divided():
    figure, ax = plt.subplots()
    display = LossDisplay.from_losses("huber", ax=ax)
    assert display.figure_ is figure
    assert len(display.axes_) == 3


def test_style_reaches_matplotlib():
    assert LossDisplay.from_losses("huber", linewidth=5.0).lines_[0, 0].get_linewidth() == 5.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"losses": []}, "empty"),
        ({"losses": Quantile(quantile=[0.1, 0.9])}, "vector parameters"),
        ({"losses": "triplet"}, "acts on embeddings"),
        ({"losses": "huber", "over": "angle"}, "over must be"),
        ({"losses": "huber", "limits": (1.0, -1.0)}, "limits"),
        ({"losses": "huber", "quantities": "value"}, "quantities"),
        ({"losses": "poisson", "y": -1.0}, "y contains -1"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        LossDisplay.from_losses(**arguments)


def test_too_few_axes():
    _, axes = plt.subplots(1, 2)
    with pytest.raises(ValueError, match="3 axes"):
        LossDisplay.from_losses("huber", ax=axes)

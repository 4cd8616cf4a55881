"""Losses as objects: parameters, equality, repr, clone, pickle, names, domains of targets."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

import sklosses.losses
from laws.cases import NAMES, losses
from sklosses._isa import available_levels
from sklosses.losses import LOSSES, Loss, get_loss, loss_names


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_copies_are_equal(name, data):
    loss = data.draw(losses(name))
    namespace = {cls.__name__: cls for cls in LOSSES.values()} | {"np": np}
    twins = [clone(loss), copy.copy(loss), copy.deepcopy(loss), eval(repr(loss), namespace)]
    twins += [pickle.loads(pickle.dumps(loss, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for twin in twins:
        assert type(twin) is type(loss)
        assert twin == loss
        assert hash(twin) == hash(loss)
        assert twin.get_params() == loss.get_params()
        assert twin.value(1.0, 0.3) == loss.value(1.0, 0.3)
        assert twin.smoothed(0.5) == loss.smoothed(0.5)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_different_parameters_are_different_losses(name, data):
    one, other = data.draw(losses(name)), data.draw(losses(name))
    assert (one == other) == (one.get_params() == other.get_params())
    assert one != "a loss"
    changed = copy.copy(one).set_params(**other.get_params())
    assert changed == other
    assert changed.gradient(1.0, 0.3) == other.gradient(1.0, 0.3)


@pytest.mark.parametrize("name", NAMES)
def test_registered_under_its_name(name):
    cls = LOSSES[name]
    assert cls.name == name
    assert getattr(sklosses.losses, cls.__name__) is cls
    assert get_loss(name) == get_loss(cls) == cls()
    loss = cls()
    assert get_loss(loss) is loss
    assert cls.tasks <= {"regression", "classification"}
    assert all(name in loss_names(task) for task in cls.tasks)
    assert cls.__doc__


@pytest.mark.parametrize("name", [name for name in NAMES if LOSSES[name].ranges])
def test_parameters_out_of_range(name):
    cls, default = LOSSES[name], LOSSES[name]().get_params()
    for key, interval in cls.ranges.items():
        outside = [np.nan, np.inf, -np.inf, "1", None, [[1.0]], []]
        outside += [end for end in (interval.low, interval.high) if end not in interval]
        outside += [interval.low - 1, interval.high + 1] + ([0.5] if interval.gap else [])
        for bad in outside:
            with pytest.raises(ValueError, match=key):
                get_loss(name, **{key: bad})
            loss = cls()
            with pytest.raises(ValueError, match=key):
                loss.set_params(**{key: bad})
            assert loss.get_params() == default
        assert get_loss(name, **{key: [default[key]] * 3}).n_columns == 3
        assert getattr(get_loss(name, **default), key) == default[key]
    with pytest.raises(TypeError, match="no parameter 'nonsense'"):
        get_loss(name, nonsense=1.0)
    with pytest.raises(ValueError, match="nonsense"):
        cls().set_params(nonsense=1.0)


def test_vector_parameters_agree_in_length():
    with pytest.raises(ValueError, match="vector parameters"):
        get_loss("smoothed_quantile", quantile=[0.1, 0.5], width=[1.0, 2.0, 3.0])
    assert get_loss("smoothed_quantile", quantile=[0.1, 0.5], width=2.0).n_columns == 2


# What PyTorch, Keras and XGBoost call them (classes, functions and objectives).
FOREIGN = {
    "mse MSELoss mse_loss MeanSquaredError mean_squared_error reg:squarederror rmse l2": "squared_error",
    "mae L1Loss l1_loss MeanAbsoluteError mean_absolute_error reg:absoluteerror": "absolute_error",
    "SmoothL1Loss smooth_l1_loss HuberLoss Huber huber_loss": "huber",
    "reg:pseudohubererror": "pseudo_huber",
    "LogCosh logcosh log-cosh": "log_cosh",
    "reg:quantileerror pinball": "quantile",
    "reg:expectileerror": "expectile",
    "PoissonNLLLoss poisson_nll_loss count:poisson Poisson": "poisson",
    "reg:gamma Gamma": "gamma",
    "reg:tweedie": "tweedie",
    "msle MeanSquaredLogarithmicError mean_squared_logarithmic_error reg:squaredlogerror": "squared_log_error",
    "BCELoss BCEWithLogitsLoss binary_cross_entropy binary_cross_entropy_with_logits BinaryCrossentropy "
    "binary_crossentropy binary:logistic reg:logistic binary:logitraw SoftMarginLoss logloss": "log_loss",
    "BinaryFocalCrossentropy binary_focal_crossentropy sigmoid_focal_loss": "focal",
    "Hinge HingeLoss binary:hinge svm": "hinge",
    "SquaredHinge": "squared_hinge",
    "hubber": "huber",
    "logloss_": "log_loss",
}


@pytest.mark.parametrize(
    ("foreign", "ours"), [(name, ours) for names, ours in FOREIGN.items() for name in names.split()]
)
def test_names_from_elsewhere_find_their_loss(foreign, ours):
    with pytest.raises(ValueError, match=f"Did you mean '{ours}'") as error:
        get_loss(foreign)
    assert all(repr(name) in str(error.value) for name in NAMES)


def test_what_is_no_loss():
    for wrong in (None, 3, object(), int):
        with pytest.raises(TypeError, match="loss="):
            get_loss(wrong)
    with pytest.raises(ValueError, match="Unknown loss 'qwertyuiop'"):
        get_loss("qwertyuiop")
    with pytest.raises(NotImplementedError):
        Loss().value(0.0, 0.0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_targets_outside_the_domain(name, dtype):
    loss = get_loss(name)
    low, high = loss.target.low, loss.target.high
    outside, inside = [np.nan, np.inf, -np.inf], []
    if loss.target.hard:
        outside += [0.5, np.nextafter(dtype(1), dtype(2)), 2.0, -2.0]
        inside += list(loss.target.codes)
    else:
        inside += [end for end, closed in ((low, loss.target.low_closed), (high, loss.target.high_closed))
                   if closed and np.isfinite(end)]
        outside += [end for end, closed in ((low, loss.target.low_closed), (high, loss.target.high_closed))
                    if not closed and np.isfinite(end)]
        inside += [np.nextafter(dtype(end), dtype(toward)) for end, toward in ((low, high), (high, low))
                   if np.isfinite(end)]
        outside += [np.nextafter(dtype(end), dtype(away)) for end, away in ((low, -np.inf), (high, np.inf))
                    if np.isfinite(end)]
    good = dtype(loss.target.codes[1] if loss.target.codes else 1.0)
    anything = low == -np.inf and high == np.inf and not loss.target.hard
    for bad in outside:
        y = np.array([good] * 5 + [bad] + [good] * 3, dtype=dtype)
        for method in (loss.value, loss.gradient, loss.hessian):
            if anything:        # where every number is a target, nothing is searched for what is none
                method(y, np.zeros(9, dtype=dtype))
                continue
            with pytest.raises(ValueError, match="y_true contains"):
                method(y, np.zeros(9, dtype=dtype))
        with pytest.raises(ValueError, match="labels contains"):
            loss.target.check(y, "labels")
    for fine in inside:
        y = np.array([good, fine], dtype=dtype)
        assert np.all(np.isfinite(loss.value(y, np.zeros(2, dtype=dtype))))
        loss.target.check(y)


PICKLED = """
import pickle, sys
from sklosses._isa import level
from sklosses.losses import LOSSES
if sys.argv[1] == "write":
    sys.stdout.buffer.write(pickle.dumps([cls() for cls in LOSSES.values()]))
else:
    read = pickle.loads(sys.stdin.buffer.read())
    assert read == [cls() for cls in LOSSES.values()]
    assert [type(loss) for loss in read] == list(LOSSES.values())
    assert level() == sys.argv[2], level()
"""


@pytest.mark.skipif(len(available_levels()) < 2, reason="one instruction-set level here")
def test_pickles_cross_instruction_sets():
    ends = available_levels()[0], available_levels()[-1]
    for writes, reads in (ends, ends[::-1]):
        environment = dict(os.environ, SKLOSSES_ISA=writes)
        written = subprocess.run(
            [sys.executable, "-c", PICKLED, "write"], env=environment, capture_output=True, check=True
        ).stdout
        assert not any(f"_kernels_{level}".encode() in written for level in ("v3", "v4"))
        environment["SKLOSSES_ISA"] = reads
        subprocess.run([sys.executable, "-c", PICKLED, "read", reads], env=environment, input=written, check=True)

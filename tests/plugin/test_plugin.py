"""A loss that a third party compiles against the installed package trains, with every default of the contract."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone

from sklosses import SGDClassifier, SGDRegressor
from sklosses.losses import Hinge, PseudoHuber, get_loss

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 4))
Y = X @ [1.0, -2.0, 0.5, 0.0] + 0.1 * RANDOM.standard_t(2, size=300)
METHODS = ("value", "gradient", "hessian")


@pytest.mark.parametrize("settings", [{}, {"batch_size": 32}, {"learning_rate": "constant"}, {"average": True}])
def test_trains_as_the_same_loss_of_ours(theirs, settings):
    one = SGDRegressor(loss=theirs.FourthRoot(width=1.0), random_state=0, max_iter=20, tol=None, **settings).fit(X, Y)
    ours = SGDRegressor(loss=PseudoHuber(epsilon=1.0), random_state=0, max_iter=20, tol=None, **settings).fit(X, Y)
    np.testing.assert_allclose(one.coef_, ours.coef_, rtol=1e-9, atol=1e-12)
    assert one.objective_ == pytest.approx(ours.objective_)
    assert one.score(X, Y) > 0.3


def test_trains_by_class_and_is_cloned(theirs):
    model = SGDRegressor(loss=theirs.FourthRoot, random_state=0)
    twin = clone(model).fit(X, Y)
    np.testing.assert_array_equal(twin.coef_, model.fit(X, Y).coef_)


def test_classifies(theirs):
    labels = np.where(Y > 0, "up", "down")
    settings = {"learning_rate": "optimal", "random_state": 0, "max_iter": 10, "tol": None}
    one = SGDClassifier(loss=theirs.Fixed(), **settings).fit(X, labels)
    ours = SGDClassifier(loss=Hinge(), **settings).fit(X, labels)
    np.testing.assert_array_equal(one.coef_, ours.coef_)
    assert one.score(X, labels) > 0.9


def test_wrong_task_is_refused(theirs):
    with pytest.raises(ValueError, match=r"(?i)fixed"):
        SGDRegressor(loss=theirs.Fixed()).fit(X, Y)


def test_an_error_in_it_reaches_the_user(theirs):
    model = SGDRegressor(loss=theirs.Failing(), max_iter=2, tol=None)
    with pytest.raises(RuntimeError, match="their loss failed"):
        model.fit(X, Y)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_arrays(theirs, dtype):
    """Its array methods come from the contract, float32 through conversion in pieces."""
    y, p = RANDOM.normal(size=1001).astype(dtype), RANDOM.normal(size=(1001, 3)).astype(dtype)
    widths = [0.5, 1.0, 2.0]
    loss, ours = theirs.FourthRoot(width=widths), PseudoHuber(epsilon=widths)
    factors = 1 / np.array(widths)      # ours is in units of epsilon
    for method in METHODS:
        result = getattr(loss, method)(y, p)
        assert result.dtype == dtype
        rtol = 1e-5 if dtype == np.float32 else 1e-9
        np.testing.assert_allclose(result, getattr(ours, method)(y, p) * factors, rtol=rtol, atol=rtol * 1e-3)


def test_defaults_of_the_contract(theirs):
    loss = theirs.FourthRoot(width=2.0)
    assert np.isnan(loss.conjugate(0.0, 0.5))
    v, step = 3.0, 0.7
    p = loss.prox(1.0, v, step)
    assert (v - p) / step == pytest.approx(loss.gradient(1.0, p), rel=1e-12)
    kinked = theirs.Fixed()
    assert kinked.prox(1.0, 0.9, 1.0) == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(NotImplementedError, match="smoothed"):
        kinked.smoothed(0.1)
    assert loss.smoothed(0.1) is loss
    with pytest.raises(RuntimeError, match="their loss failed"):
        theirs.Failing().value(0.0, 0.0)


def test_object(theirs):
    loss = theirs.FourthRoot(width=2.0)
    assert repr(loss) == "FourthRoot(width=2.0)"
    twins = [clone(loss), copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))]
    for twin in (*twins, get_loss(theirs.FourthRoot, width=2.0)):
        assert twin == loss
        assert twin is not loss
    assert get_loss(loss) is loss
    with pytest.raises(ValueError, match="width"):
        theirs.FourthRoot(width=0.0)

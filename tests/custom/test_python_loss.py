"""Losses that a Python object computes: the same fits as ours, errors that name them, copies."""

import copy
import pickle
import threading

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from oracle.classic import SGDClassifier, SGDRegressor
from sklosses.losses import Hinge, Huber, PythonLoss, Target, Traits, as_loss, check_loss, get_loss

SIGNS = Target(-1, 1, codes=(-1.0, 1.0), hard=True)


class MyHuber:
    traits = Traits("residual", lipschitz=1.0, curvature=1.0)

    def __init__(self, epsilon=1.0):
        self.epsilon = epsilon

    def get_params(self, deep=True):
        return {"epsilon": self.epsilon}

    def set_params(self, **params):
        vars(self).update(params)
        return self

    def value(self, y, p):
        a = np.abs(p - y)
        s = np.minimum(a, self.epsilon)
        return s * (a - 0.5 * s)

    def gradient(self, y, p):
        return np.clip(p - y, -self.epsilon, self.epsilon)

    def hessian(self, y, p):
        return np.where(np.abs(p - y) <= self.epsilon, 1.0, 0.0)


class MyHinge:
    traits = Traits("margin", smooth=False, lipschitz=1.0)

    def value(self, y, p):
        return np.maximum(0.0, 1 - y * p)

    def gradient(self, y, p):
        return np.where(y * p <= 1, -y, 0.0)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    return X, X @ [1.0, -2.0, 0.5, 0.0] + rng.standard_t(2, size=300)


def test_arrays_are_those_of_the_built_in_loss(table):
    X, y = table
    mine, ours, p = as_loss(MyHuber()), Huber(epsilon=1.0), 3 * X[:, 0]
    for quantity in ("value", "gradient", "hessian"):
        np.testing.assert_array_equal(getattr(mine, quantity)(y, p), getattr(ours, quantity)(y, p))
        single = getattr(mine, quantity)(y.astype(np.float32), p.astype(np.float32))
        assert single.dtype == np.float32
        np.testing.assert_array_equal(single, getattr(ours, quantity)(y.astype(np.float32), p.astype(np.float32)))
    np.testing.assert_array_equal(mine.value(y, np.stack([p, 2 * p], 1)), ours.value(y, np.stack([p, 2 * p], 1)))
    np.testing.assert_array_equal(mine.gradient(y, p, np.arange(300)), ours.gradient(y, p, np.arange(300)))
    assert mine(y, p) == ours(y, p)
    np.testing.assert_allclose(mine.prox(y, p, 2.0), ours.prox(y, p, 2.0), rtol=1e-12)


def test_prox_without_hessian(table):
    X, y = table
    z = np.where(y > 0, 1.0, -1.0)
    mine = as_loss(MyHinge(), traits=Traits("margin", convex=True, smooth=False, lipschitz=1.0))
    np.testing.assert_allclose(mine.prox(z, 3 * X[:, 0], 0.7), Hinge().prox(z, 3 * X[:, 0], 0.7), rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("learning_rate", ["optimal", "invscaling", "adaptive"])
def test_fits_are_those_of_the_built_in_loss(table, batch_size, learning_rate):
    X, y = table
    settings = {"batch_size": batch_size, "learning_rate": learning_rate, "random_state": 0, "max_iter": 5, "tol": None}
    mine = SGDRegressor(loss=MyHuber(), **settings).fit(X, y)
    ours = SGDRegressor(loss="huber", epsilon=1.0, **settings).fit(X, y)
    np.testing.assert_array_equal(mine.coef_, ours.coef_)
    np.testing.assert_array_equal(mine.history_["objective"], ours.history_["objective"])


@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_classifiers(table, batch_size, n_jobs):
    X, y = table
    labels = np.digitize(y, [-1, 1])
    settings = {"batch_size": batch_size, "random_state": 0, "max_iter": 5, "tol": None, "n_jobs": n_jobs}
    mine = SGDClassifier(loss=MyHinge, **settings).fit(X, labels)
    np.testing.assert_array_equal(mine.coef_, SGDClassifier(loss="hinge", **settings).fit(X, labels).coef_)
    assert not hasattr(mine, "predict_proba")


def test_probabilities_and_links():
    class Logistic(MyHinge):
        traits = Traits("margin", lipschitz=1.0, curvature=0.25, has_probability=True)

        def value(self, y, p):
            return np.logaddexp(0, -y * p)

        def gradient(self, y, p):
            return -y / (1 + np.exp(np.minimum(y * p, 700)))

        def probability(self, p):
            return 1 / (1 + np.exp(-np.maximum(p, -700)))

    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    labels = X[:, 0] > rng.logistic(size=200)
    mine = SGDClassifier(loss=Logistic(), random_state=0).fit(X, labels)
    ours = SGDClassifier(loss="log_loss", random_state=0).fit(X, labels)
    np.testing.assert_allclose(mine.predict_proba(X), ours.predict_proba(X), rtol=1e-9)


def test_optional_methods():
    class All(MyHuber):
        traits = Traits("residual", smooth=False, lipschitz=1.0, has_conjugate=True)

        def conjugate(self, y, u):
            return u * y + u**2 / 2

        def prox(self, y, v, step):
            return v + 0 * y + step

        def smoothed(self, mu):
            return MyHuber(mu)

    loss = as_loss(All())
    assert loss.conjugate([2.0], [0.5]).tolist() == [1.125]
    assert loss.prox([0.0], [1.0], 0.5).tolist() == [1.5]
    assert loss.smoothed(0.25) == as_loss(MyHuber(0.25))


def test_value_and_gradient_are_asked_for_together(table):
    class Both(MyHuber):
        calls = 0

        def value_and_gradient(self, y, p):
            type(self).calls += 1
            return self.value(y, p), self.gradient(y, p)

    X, y = table
    settings = {"batch_size": 50, "random_state": 0, "max_iter": 2, "tol": None}
    both = SGDRegressor(loss=Both(), **settings).fit(X, y)
    assert Both.calls == 12
    np.testing.assert_array_equal(both.coef_, SGDRegressor(loss=MyHuber(), **settings).fit(X, y).coef_)


def test_what_is_declared():
    loss = as_loss(MyHuber())
    assert (loss.name, loss.tasks, loss.target) == ("MyHuber", {"regression"}, Target())
    assert loss.traits == MyHuber.traits
    hinge = as_loss(MyHinge())
    assert (hinge.tasks, hinge.target) == ({"classification"}, SIGNS)
    assert as_loss(type("Bare", (), {"value": MyHuber.value, "gradient": MyHuber.gradient})()).traits == Traits(
        convex=False, smooth=False
    )
    told = as_loss(MyHuber(), traits=Traits(), target=SIGNS, tasks=("regression", "classification"), name="told")
    assert (told.name, told.traits, told.target, len(told.tasks)) == ("told", Traits(), SIGNS, 2)
    assert repr(told) == "PythonLoss('told')"
    with pytest.raises(ValueError, match="not convex"):
        as_loss(MyHuber(), traits=Traits(convex=False)).prox([0.0], [1.0], 1.0)
    with pytest.raises(NotImplementedError, match="MyHinge"):
        as_loss(MyHinge()).hessian([1.0], [1.0])


def test_copies():
    loss = as_loss(MyHuber(0.5), name="mine")
    for other in (pickle.loads(pickle.dumps(loss)), clone(loss), copy.copy(loss), copy.deepcopy(loss)):
        assert other == loss
        assert hash(other) == hash(loss)
        assert other.value([0.0], [3.0]) == loss.value([0.0], [3.0])
    assert clone(loss).get_params()["loss"] is not loss.get_params()["loss"]
    assert loss != as_loss(MyHuber(0.6), name="mine")
    assert loss != as_loss(MyHuber(0.5), name="other")
    assert loss.set_params(name="renamed").name == "renamed"
    with pytest.raises(TypeError, match="traits"):
        loss.set_params(traits="convex")
    assert loss.traits == MyHuber.traits


def test_estimators_are_copied_and_searched(table):
    X, y = table
    model = SGDRegressor(loss=MyHuber(), random_state=0).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(clone(model).fit(X, y).coef_, model.coef_)
    search = GridSearchCV(SGDRegressor(MyHuber(), random_state=0), {"loss__epsilon": [0.1, 1.0]}, cv=2).fit(X, y)
    assert search.best_params_["loss__epsilon"] in (0.1, 1.0)
    search = GridSearchCV(SGDRegressor(random_state=0), {"loss": ["huber", MyHuber(), as_loss(MyHuber())]}, cv=2)
    scores = search.fit(X, y).cv_results_["mean_test_score"]
    assert scores[1] == scores[2]


class Failing(MyHuber):
    """Goes wrong after some calls."""

    def __init__(self, result, calls):
        super().__init__()
        self.result, self.calls = result, calls

    def gradient(self, y, p):
        self.calls -= 1
        return super().gradient(y, p) if self.calls >= 0 else self.result(p)


def _raise(p):
    raise ZeroDivisionError("mine")


@pytest.mark.parametrize("calls", [0, 3, 400])
@pytest.mark.parametrize("batch_size", [1, 32])
@pytest.mark.parametrize("learning_rate", ["optimal", "constant"])
@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (_raise, ZeroDivisionError, "mine"),
        (lambda p: np.zeros(len(p) + 1), ValueError, r"gradient of the loss 'Failing' returned an array of shape"),
        (lambda p: 0.0, ValueError, r"shape \(\)"),
        (lambda p: p * np.nan, ValueError, "gradient of the loss 'Failing' is nan at y="),
        (lambda p: p * 1j, ValueError, "complex128"),
        (lambda p: None, ValueError, "'Failing' returned"),
    ],
)
def test_errors_reach_the_user_and_leave_the_estimator_alone(
    table, calls, batch_size, learning_rate, result, error, message
):
    X, y = table
    model = SGDRegressor("huber", random_state=0).fit(X, y)
    before = dict(vars(model)) | {"coef_": model.coef_.copy()}
    model.set_params(
        loss=Failing(result, calls), batch_size=batch_size, learning_rate=learning_rate, tol=None, max_iter=60
    )
    with pytest.raises(error, match=message):
        model.fit(X, y)
    np.testing.assert_array_equal(model.coef_, before["coef_"])
    assert model.n_iter_ == before["n_iter_"]
    assert vars(model).keys() == before.keys()


class FailingHinge(MyHinge):
    """One of its methods goes wrong after some calls."""

    def __init__(self, which, result, calls):
        self.which, self.result, self.calls = which, result, calls

    def value(self, y, p):
        return self._right_or_wrong("value", super().value(y, p), p)

    def gradient(self, y, p):
        return self._right_or_wrong("gradient", super().gradient(y, p), p)

    def _right_or_wrong(self, which, right, p):
        self.calls -= which == self.which
        return self.result(p) if which == self.which and self.calls < 0 else right


@pytest.mark.parametrize("which", ["value", "gradient"])
@pytest.mark.parametrize("calls", [0, 5])
@pytest.mark.parametrize(
    "settings", [{"batch_size": 1}, {"batch_size": 32, "n_jobs": 2}, {"batch_size": 32, "early_stopping": True}]
)
@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (_raise, ZeroDivisionError, "mine"),
        (lambda p: np.zeros((len(p), 2)), ValueError, "{} of the loss 'FailingHinge' returned an array of shape"),
        (lambda p: np.full(len(p), np.nan), ValueError, "{} of the loss 'FailingHinge' is nan at y="),
    ],
)
def test_errors_of_either_method_leave_classifiers_alone(table, which, calls, settings, result, error, message):
    X, y = table
    labels = np.digitize(y, [-1, 1])
    model = SGDClassifier("hinge", random_state=0).fit(X, labels)
    before = {name: held for name, held in vars(model).items() if name.endswith("_")}
    model.set_params(loss=FailingHinge(which, result, calls), tol=None, max_iter=20, **settings)
    with pytest.raises(error, match=message.format(which)):
        model.fit(X, labels)
    after = {name: held for name, held in vars(model).items() if name.endswith("_")}
    assert after.keys() == before.keys()
    assert all(after[name] is held for name, held in before.items())


def test_errors_in_threads(table):
    X, y = table
    labels = np.digitize(y, [-2, -1, 0, 1])
    failing = Failing(_raise, 1000)
    failing.traits = MyHinge.traits
    with pytest.raises(ZeroDivisionError):
        SGDClassifier(loss=failing, n_jobs=2, batch_size=8).fit(X, labels)


def test_a_note_names_the_loss():
    with pytest.raises(ZeroDivisionError) as caught:
        as_loss(Failing(_raise, 0)).gradient([0.0], [0.0])
    assert "gradient of the loss 'Failing'" in caught.value.__notes__[0]


def test_nan_in_gives_nan_out():
    assert np.isnan(as_loss(MyHuber()).value([0.0], [np.nan])[0])


def test_targets_are_checked_first():
    class Log(MyHuber):
        target = Target(low=0)

        def value(self, y, p):
            return p + np.sqrt(y)

    with pytest.raises(ValueError, match=r"takes targets in \[0, inf\)"), np.errstate(invalid="ignore"):
        as_loss(Log()).value([-1.0], [0.0])


def test_arrays_given_to_the_user_may_be_kept_and_not_written_to(table):
    kept = []

    class Keeping(MyHuber):
        def gradient(self, y, p):
            kept.append(p)
            with pytest.raises(ValueError, match="read-only"):
                p += 1
            return super().gradient(y, p)

    X, y = table
    SGDRegressor(loss=Keeping(), batch_size=100, max_iter=3, tol=None).fit(X, y)
    assert len(kept) == 9
    assert np.array_equal(kept[0], np.zeros(100))


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool, ">f8"])
def test_results_of_other_types_are_converted(dtype):
    class Typed(MyHuber):
        def gradient(self, y, p):
            return np.ones(len(p), dtype=dtype)

    result = as_loss(Typed()).gradient(np.zeros(5), np.zeros(5))
    assert result.dtype == np.float64
    assert result.tolist() == [1.0] * 5


def test_results_may_be_strided():
    class Strided(MyHuber):
        def gradient(self, y, p):
            return np.arange(2.0 * len(p))[::-2]

    assert as_loss(Strided()).gradient(np.zeros(3), np.zeros(3)).tolist() == [5.0, 3.0, 1.0]


def test_what_is_no_loss():
    for wrong in (3, object(), type("Half", (), {"value": len})()):
        with pytest.raises(TypeError, match="value"):
            as_loss(wrong)
    with pytest.raises(TypeError, match="has no gradient"):
        PythonLoss(type("Half", (), {"value": len})())
    with pytest.raises(TypeError, match="declares its name itself"):
        as_loss(Huber(), name="mine")
    assert as_loss(Huber()) == Huber()
    with pytest.raises(TypeError, match="embeddings"):
        as_loss(get_loss("triplet"))
    with pytest.raises(ValueError, match="no codes"):
        as_loss(MyHuber(), tasks="classification")
    with pytest.raises(ValueError, match="tasks"):
        as_loss(MyHuber(), tasks={"clustering"})


def test_get_loss_takes_objects_and_classes():
    assert get_loss(MyHuber) == get_loss(MyHuber()) == as_loss(MyHuber())
    assert get_loss(MyHuber, epsilon=0.5) == as_loss(MyHuber(0.5))
    with pytest.raises(TypeError, match="epsilon"):
        get_loss(MyHuber(), epsilon=0.5)
    check_loss(MyHuber, verbose=False)


def test_the_wrong_estimator_is_named(table):
    X, y = table
    with pytest.raises(ValueError, match="SGDClassifier"):
        SGDRegressor(loss=MyHinge()).fit(X, y)


def test_several_threads_may_fit_with_one_loss(table):
    X, y = table
    loss, results = MyHuber(), []
    fit = lambda: results.append(SGDRegressor(loss=loss, batch_size=16, random_state=0).fit(X, y).coef_)  # noqa: E731
    threads = [threading.Thread(target=fit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    np.testing.assert_array_equal(results[0], results[2])

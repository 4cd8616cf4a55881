"""SGDClassifier with losses of whole rows: scikit-learn's multinomial model, shapes, weights, and what is refused."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import softmax
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from sklosses import SGDClassifier, SGDRegressor
from sklosses.losses import CrammerSinger, Multinomial, SmoothedCrammerSinger

NAMES = ["multinomial", "crammer_singer", "smoothed_crammer_singer"]


@pytest.fixture
def iris():
    X, y = load_iris(return_X_y=True)
    return X * [1e-3, 1, 1e4, 10], np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.mark.parametrize("load", [load_iris, load_wine])
def test_multinomial_is_logistic_regression(load):
    """On raw features, for two classes too."""
    for n_classes in (2, 3):
        X, y = load(return_X_y=True)
        X, y = X[y < n_classes], y[y < n_classes]
        X = X / X.std(axis=0)
        model = SGDClassifier(loss="multinomial", alpha=1e-2, tol=1e-12).fit(X, y)
        peer = LogisticRegression(C=1 / (1e-2 * len(y)), tol=1e-12, max_iter=1000, solver="newton-cholesky").fit(X, y)
        assert model.coef_.shape == peer.coef_.shape
        assert np.allclose(model.coef_, peer.coef_, atol=1e-6)
        assert np.allclose(model.predict_proba(X), peer.predict_proba(X), atol=1e-7)
        assert model.decision_function(X).shape == peer.decision_function(X).shape
        assert np.array_equal(model.predict(X), peer.predict(X))


@pytest.mark.parametrize("name", NAMES)
def test_attributes(name, iris):
    X, y = iris
    model = SGDClassifier(loss=name).fit(X, y)
    assert model.coef_.shape == (3, 4)
    assert model.intercept_.shape == (3,)
    assert isinstance(model.objective_, float)
    assert 0 <= model.gap_ <= 1e-3
    assert model.gap_kind_ == "proof"
    assert model.history_["objective"].shape == model.history_["gap"].shape
    raw = model.decision_function(X)
    assert raw.shape == (150, 3)
    assert np.array_equal(model.predict(X), model.classes_[raw.argmax(axis=1)])
    assert model.score(X, y) > 0.96
    penalty = 5e-5 * np.sum(model.coef_**2)
    codes = np.searchsorted(model.classes_, y)
    assert model.objective_ == pytest.approx(model._loss(codes, raw) + penalty, rel=1e-8)


def test_probabilities_are_the_softmax(iris):
    X, y = iris
    model = SGDClassifier(loss="multinomial").fit(X, y)
    assert np.allclose(model.predict_proba(X), softmax(model.decision_function(X), axis=1), atol=1e-14)
    assert np.allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))
    assert not hasattr(SGDClassifier(loss="crammer_singer"), "predict_proba")


@pytest.mark.parametrize(("name", "binary"), [("multinomial", "log_loss"), ("crammer_singer", "hinge")])
def test_two_classes_have_one_column(name, binary, iris):
    X, y = iris
    X, y = X[:100], y[:100]
    model, other = SGDClassifier(loss=name).fit(X, y), SGDClassifier(loss=binary).fit(X, y)
    assert np.array_equal(model.coef_, other.coef_)
    assert model.decision_function(X).shape == (100,)
    if name == "multinomial":
        assert np.array_equal(model.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize("name", NAMES)
def test_one_vs_rest_is_another_model(name, iris):
    """The classes are trained together: apart, they are scikit-learn's one-vs-rest of the binary loss."""
    X, y = iris
    together = SGDClassifier(loss=name, tol=1e-8).fit(X, y)
    apart = OneVsRestClassifier(SGDClassifier(loss=name, tol=1e-8)).fit(X, y)
    columns = np.vstack([estimator.coef_ for estimator in apart.estimators_])
    assert not np.allclose(together.coef_, columns, rtol=1e-2)


@pytest.mark.parametrize("penalty", [None, "l2", "l1", "elasticnet"])
@pytest.mark.parametrize("name", NAMES[:2])
def test_class_weights_weigh_rows(name, penalty, iris):
    X, y = iris
    weights = {"setosa": 0.5, "versicolor": 2.0, "virginica": 1.0}
    rng = np.random.default_rng(0)
    sample = rng.integers(1, 4, size=len(y)).astype(float)
    options = {"loss": name, "penalty": penalty, "alpha": 1e-2, "tol": 1e-9}
    model = SGDClassifier(class_weight=weights, **options).fit(X, y, sample_weight=sample)
    other = SGDClassifier(**options).fit(X, y, sample_weight=sample * [weights[label] for label in y])
    assert model.objective_ == pytest.approx(other.objective_, rel=1e-7)
    if penalty:
        assert np.allclose(model.decision_function(X), other.decision_function(X), atol=1e-3)


def test_offsets_of_rows_change_nothing(iris):
    """All classes have them alike, and only differences count."""
    X, y = iris
    offset = np.linspace(-5, 5, len(y))
    plain = SGDClassifier(loss="multinomial", tol=1e-9).fit(X, y)
    shifted = SGDClassifier(loss="multinomial", tol=1e-9).fit(X, y, offset=offset)
    assert np.allclose(plain.coef_, shifted.coef_)
    assert np.allclose(plain.predict_proba(X), shifted.predict_proba(X, offset=offset))


@pytest.mark.parametrize("convert", [csr_array, lambda X: X.astype(np.float32)], ids=["csr", "float32"])
def test_data(convert, iris):
    X, y = iris
    X = X.astype(np.float32).astype(np.float64)
    model = SGDClassifier(loss="multinomial", tol=1e-8).fit(X, y)
    other = SGDClassifier(loss="multinomial", tol=1e-8).fit(convert(X), y)
    assert np.allclose(model.coef_, other.coef_, rtol=1e-4)
    assert other.coef_.dtype == (np.float32 if convert(X).dtype == np.float32 else np.float64)


def test_early_stopping_and_validation_rows(iris):
    X, y = iris
    model = SGDClassifier(loss="multinomial", early_stopping=True, random_state=0).fit(X, y)
    assert len(model.history_["validation_score"]) == len(model.history_["objective"])
    model.fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    assert model.score(X[1::2], y[1::2]) == model.history_["validation_score"].max()


@pytest.mark.parametrize("loss", ["crammer_singer", "smoothed_crammer_singer", "multinomial"])
def test_early_stopping_waits_for_models_to_differ(loss):
    """The first looks of an interior point method leave the best model as it was: they say nothing of the score."""
    X, y = load_digits(return_X_y=True)
    model = SGDClassifier(loss=loss, early_stopping=True, n_iter_no_change=2, random_state=0).fit(X[:600] / 16, y[:600])
    assert model.score(X[600:] / 16, y[600:]) > 0.85


def test_warm_start(iris):
    X, y = iris
    model = SGDClassifier(loss="multinomial", warm_start=True, tol=1e-6).fit(X, y)
    coef, readings = model.coef_, model.n_iter_
    model.fit(X, y)
    assert model.n_iter_ < readings
    assert np.allclose(model.coef_, coef)


@pytest.mark.parametrize("loss", [Multinomial, CrammerSinger(), SmoothedCrammerSinger(width=0.5)])
def test_classes_and_instances_are_losses_too(loss, iris):
    X, y = iris
    model = SGDClassifier(loss=loss).fit(X, y)
    assert model.gap_ <= 1e-3


def test_width_is_the_estimators():
    X, y = load_digits(return_X_y=True)
    narrow, wide = (SGDClassifier(loss="smoothed_crammer_singer", width=width, alpha=1.0).fit(X[:300], y[:300])
                    for width in (0.01, 1.0))
    assert narrow.objective_ > wide.objective_


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": "optimal"}, "learning_rate must be 'auto', got 'optimal'"),
        ({"learning_rate": "adaptive"}, "schedules do not"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_schedules_are_refused(name, options, message, iris):
    model = SGDClassifier(loss=name, **options)
    with pytest.raises(ValueError, match=message):
        model.fit(*iris)
    with pytest.raises(NotFittedError):
        model.predict(iris[0])


@pytest.mark.parametrize("name", NAMES)
def test_there_is_no_partial_fit(name):
    model = SGDClassifier(loss=name)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        model.partial_fit([[0.0], [1.0]], [0, 1], classes=[0, 1])
    assert hasattr(model.set_params(loss="hinge"), "partial_fit")


def test_regressors_refuse_them(iris):
    with pytest.raises(ValueError, match="Multinomial is a loss for labels: use SGDClassifier"):
        SGDRegressor(loss=Multinomial()).fit(iris[0], np.arange(150.0))
    with pytest.raises(ValueError, match="use SGDClassifier"):
        SGDRegressor(loss="crammer_singer").fit(iris[0], np.arange(150.0))

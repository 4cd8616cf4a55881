"""Predictions: links, probabilities, offsets, scores."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.metrics import accuracy_score, d2_tweedie_score, r2_score

from sklosses import SGDClassifier, SGDOneClassSVM, SGDRegressor
from sklosses.losses import LOSSES, Hinge, LogLoss, loss_names

SOME = {"max_iter": 5, "tol": None, "random_state": 0}
STEADY = dict(learning_rate="invscaling", **SOME)
OFFSET = np.linspace(-1, 1, 300)


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie"])
def test_log_link(loss, counts):
    X, y = counts
    model = SGDRegressor(loss, **SOME).fit(X, y + 0.5)
    raw = X @ model.coef_ + model.intercept_
    np.testing.assert_allclose(model.raw_predict(X), raw)
    np.testing.assert_allclose(model.predict(X), np.exp(raw))
    np.testing.assert_allclose(model.predict(X, offset=OFFSET), np.exp(raw + OFFSET))


def test_log1p_link(counts):
    X, y = counts
    model = SGDRegressor("squared_log_error", **SOME).fit(X, y)
    np.testing.assert_allclose(model.predict(X), np.expm1(X @ model.coef_ + model.intercept_))


def test_poisson_predicts_the_mean(counts):
    X, y = counts
    model = SGDRegressor("poisson", random_state=0, average=True).fit(X, y)
    assert model.predict(X).mean() == pytest.approx(y.mean(), rel=0.05)


def test_identity_link(regression):
    X, y = regression
    model = SGDRegressor("huber", **SOME).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), model.raw_predict(X))
    np.testing.assert_allclose(model.predict(X), X @ model.coef_ + model.intercept_)


def test_the_link_is_of_the_loss_that_was_trained(counts):
    X, y = counts
    model = SGDRegressor("poisson", **SOME).fit(X, y)
    before = model.predict(X)
    np.testing.assert_array_equal(model.set_params(loss="squared_error").predict(X), before)


@pytest.mark.parametrize(("loss", "power"), [("poisson", 1.0), ("gamma", 2.0), ("tweedie", 1.5), ("tweedie", 1.9)])
def test_score_of_count_models_is_d2(loss, power, counts):
    X, y = counts
    y = y + 0.5 if loss == "gamma" else y
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    model = SGDRegressor(loss, power=power, **SOME).fit(X, y)
    for kwargs in ({}, {"sample_weight": weight}):
        expected = d2_tweedie_score(y, model.predict(X), power=power, **kwargs)
        assert model.score(X, y, **kwargs) == pytest.approx(expected, rel=1e-9)
    expected = d2_tweedie_score(y, model.predict(X, offset=OFFSET), power=power, sample_weight=weight)
    assert model.score(X, y, sample_weight=weight, offset=OFFSET) == pytest.approx(expected, rel=1e-9)


def test_d2_survives_underflow_and_constants(counts):
    X, y = counts
    model = SGDRegressor("poisson", **SOME).fit(X, y)
    assert np.isfinite(model.score(X, y, offset=np.full(len(y), -800.0)))
    assert model.score(X, np.ones(len(y))) == 0.0
    model.coef_, model.intercept_ = np.zeros(4), np.zeros(1)
    assert model.score(X, np.ones(len(y))) == 1.0
    assert model.score(X, np.zeros(len(y))) == 0.0


@pytest.mark.parametrize("loss", ["squared_error", "quantile", "squared_log_error"])
def test_score_of_the_others_is_r2(loss, regression):
    X, y = regression
    y = y - y.min()
    model = SGDRegressor(loss, **SOME).fit(X, y)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    assert model.score(X, y, sample_weight=weight) == pytest.approx(
        r2_score(y, model.predict(X), sample_weight=weight), rel=1e-12
    )
    offset = OFFSET[: len(y)]
    assert model.score(X, y, offset=offset) == pytest.approx(r2_score(y, model.predict(X, offset)), rel=1e-12)


def test_score_of_classifiers_is_accuracy(binary, multiclass):
    for X, y in (binary, multiclass):
        model = SGDClassifier(**SOME).fit(X, y)
        weight, offset = np.random.default_rng(0).uniform(0.5, 2, len(y)), OFFSET[: len(y)]
        assert model.score(X, y, weight) == accuracy_score(y, model.predict(X), sample_weight=weight)
        assert model.score(X, y, weight, offset) == accuracy_score(y, model.predict(X, offset), sample_weight=weight)


def test_classes_are_those_of_the_highest_score(binary, multiclass):
    X, y = binary
    model = SGDClassifier(**SOME).fit(X, y)
    np.testing.assert_allclose(model.decision_function(X), X @ model.coef_[0] + model.intercept_[0])
    np.testing.assert_array_equal(model.predict(X), np.where(model.decision_function(X) > 0, "yes", "no"))
    X, y = multiclass
    model = SGDClassifier(**SOME).fit(X, y)
    scores = X @ model.coef_.T + model.intercept_ + OFFSET[: len(y), None]
    np.testing.assert_allclose(model.decision_function(X, OFFSET[: len(y)]), scores)
    np.testing.assert_array_equal(model.predict(X, OFFSET[: len(y)]), model.classes_[scores.argmax(axis=1)])


PROBABILITIES = {
    "log_loss": expit,
    "modified_huber": lambda p: (np.clip(p, -1, 1) + 1) / 2,
    "squared_hinge": lambda p: (np.clip(p, -1, 1) + 1) / 2,
    "squared_error": lambda p: (np.clip(p, -1, 1) + 1) / 2,
    "exponential": lambda p: expit(2 * p),
    "focal": LOSSES["focal"]().probability,
}


@pytest.mark.parametrize("loss", loss_names("classification"))
def test_probabilities_where_the_loss_has_them(loss, binary):
    X, y = binary
    model = SGDClassifier(loss, **STEADY)
    assert hasattr(model, "predict_proba") == hasattr(model, "predict_log_proba") == (loss in PROBABILITIES)
    model.fit(X, y)
    assert hasattr(model, "predict_proba") == (loss in PROBABILITIES)
    if loss not in PROBABILITIES:
        with pytest.raises(AttributeError) as caught:
            model.predict_proba(X)
        assert f"not available for loss={loss!r}" in str(caught.value.__cause__)
        return
    expected = PROBABILITIES[loss](model.decision_function(X))
    np.testing.assert_allclose(model.predict_proba(X), np.column_stack([1 - expected, expected]), atol=1e-12)
    offset = OFFSET[: len(y)]
    expected = PROBABILITIES[loss](model.decision_function(X, offset))
    np.testing.assert_allclose(model.predict_proba(X, offset)[:, 1], expected, atol=1e-12)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(model.predict_log_proba(X, offset), np.log(model.predict_proba(X, offset)))


@pytest.mark.parametrize("loss", sorted(PROBABILITIES))
def test_probabilities_of_several_classes_are_normalised(loss, multiclass):
    X, y = multiclass
    model = SGDClassifier(loss, **STEADY).fit(X, y)
    single = PROBABILITIES[loss](model.decision_function(X))
    np.testing.assert_allclose(model.predict_proba(X), single / single.sum(axis=1, keepdims=True), atol=1e-12)


def test_no_class_at_all_is_every_class_alike(multiclass):
    X, y = multiclass
    model = SGDClassifier("modified_huber", **SOME).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X[:2], offset=[-1e6, -1e6]), np.full((2, 3), 1 / 3))


def test_probabilities_follow_an_instance(binary):
    assert hasattr(SGDClassifier(LogLoss()), "predict_proba")
    assert not hasattr(SGDClassifier(Hinge()), "predict_proba")
    assert not hasattr(SGDClassifier("no such loss"), "predict_proba")


def test_probabilities_are_calibrated():
    """Each loss finds the probability of a model that it can represent."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(4000, 1))
    for loss in ("log_loss", "exponential", "focal"):
        y = rng.uniform(size=4000) < expit(2 * X[:, 0])
        model = SGDClassifier(loss, alpha=1e-6, learning_rate="adaptive", average=True, random_state=0).fit(X, y)
        grid = np.linspace(-1, 1, 5)[:, None]
        np.testing.assert_allclose(model.predict_proba(grid)[:, 1], expit(2 * grid[:, 0]), atol=0.06)


def test_one_class(regression):
    X, _ = regression
    model = SGDOneClassSVM(nu=0.2, **SOME).fit(X)
    np.testing.assert_allclose(model.score_samples(X), X @ model.coef_, rtol=1e-10)
    np.testing.assert_allclose(model.decision_function(X), X @ model.coef_ - model.offset_, rtol=1e-10)
    np.testing.assert_array_equal(model.predict(X), np.where(model.decision_function(X) >= 0, 1, -1))
    np.testing.assert_array_equal(model.fit_predict(X), model.predict(X))


def test_sparse_rows_predict_alike(multiclass, regression):
    X, y = multiclass
    model = SGDClassifier(**SOME).fit(X, y)
    for container in (sparse.csr_array, sparse.csc_array, sparse.coo_array, sparse.csr_matrix):
        np.testing.assert_allclose(model.decision_function(container(X)), model.decision_function(X))
        np.testing.assert_allclose(
            SGDRegressor(**SOME).fit(*regression).predict(container(X)),
            SGDRegressor(**SOME).fit(*regression).predict(X),
        )


def test_weights_set_by_hand_predict():
    model = SGDRegressor("poisson")
    model.coef_, model.intercept_ = np.array([1.0, 0.0]), np.array([0.5])
    np.testing.assert_allclose(model.predict([[1.0, 3.0]]), np.exp([1.5]))


@pytest.mark.parametrize("zeros", [[], [1], [0, 1, 2, 3]], ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.array, np.asfortranarray, np.float32, sparse.csr_array])
def test_what_is_not_finite_is_no_prediction(kind, value, zeros):
    """Whatever coefficient it meets: 0, too, and infinities of both signs in a row."""
    X = np.ones((50, 4))
    for outputs in 1, 3:
        model = SGDRegressor().fit(X, np.ones((50, outputs))[:, slice(None) if outputs > 1 else 0])
        model.coef_ = np.ones_like(model.coef_)
        model.coef_[..., zeros] = 0.0
        for bad in (1, 1), (49, 3), (7, 0):
            rows = X.copy()
            rows[bad] = value
            rows[bad[0], 2] = -value
            with pytest.raises(ValueError, match="X contains"):
                model.predict(kind(rows))


def test_numbers_too_large_for_their_products_are_numbers():
    X = np.full((50, 2), 1e308)
    model = SGDRegressor(**SOME).fit(np.eye(50, 2), np.arange(50.0))
    model.coef_ = np.array([2.0, 2.0])
    with np.errstate(over="ignore"):
        assert np.all(model.predict(X) == np.inf)

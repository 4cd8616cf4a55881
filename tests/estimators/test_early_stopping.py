"""`early_stopping` and validation sets: scores are what `score` says, and the best weights are kept."""

import numpy as np
import pytest
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from oracle.classic import SGDClassifier, SGDRegressor


def split(model, X, y):
    cls = StratifiedShuffleSplit if isinstance(model, SGDClassifier) else ShuffleSplit
    return next(cls(test_size=model.validation_fraction, random_state=model.random_state).split(X, y))


@pytest.mark.parametrize("loss", ["hinge", "log_loss", "modified_huber", "squared_error"])
def test_classifier_keeps_the_weights_that_scored_best(loss, binary, multiclass):
    for X, y in (binary, multiclass):
        model = SGDClassifier(loss, early_stopping=True, validation_fraction=0.3, random_state=0)
        model.set_params(learning_rate="invscaling").fit(X, y)
        _, held = split(model, X, y)
        scores = model.history_["validation_score"]
        assert len(scores) == model.n_iter_
        assert model.score(X[held], y[held]) == scores.max() > 0.6


@pytest.mark.parametrize("loss", ["squared_error", "huber", "quantile"])
def test_regressor_keeps_the_weights_that_scored_best(loss, regression):
    X, y = regression
    # Steps that overshoot: the last epoch is not the best.
    model = SGDRegressor(loss, early_stopping=True, learning_rate="constant", eta0=0.2, random_state=0).fit(X, y)
    _, held = split(model, X, y)
    scores = model.history_["validation_score"]
    np.testing.assert_allclose(model.score(X[held], y[held]), scores.max(), rtol=1e-10)
    assert scores.argmax() < len(scores) - 1


def test_count_models_are_scored_by_deviance(counts):
    X, y = counts
    model = SGDRegressor("poisson", early_stopping=True, random_state=0).fit(X, y)
    _, held = split(model, X, y)
    np.testing.assert_allclose(model.score(X[held], y[held]), model.history_["validation_score"].max(), rtol=1e-10)


def test_averaged_weights_are_scored(binary):
    X, y = binary
    model = SGDClassifier("log_loss", early_stopping=True, average=True, random_state=0).fit(X, y)
    _, held = split(model, X, y)
    assert model.score(X[held], y[held]) == model.history_["validation_score"].max()


def test_stops_when_the_score_has_not_improved(regression):
    X, y = regression
    model = SGDRegressor(early_stopping=True, n_iter_no_change=3, tol=1e-3, random_state=0).fit(X, y)
    best, idle = -np.inf, 0
    for epoch, score in enumerate(model.history_["validation_score"], 1):
        idle = idle + 1 if score < best + 1e-3 else 0
        best = max(best, score)
        assert (idle >= 3) == (epoch == model.n_iter_)


def test_rows_held_out_are_not_trained_on(regression):
    X, y = regression
    settings = {"shuffle": False, "max_iter": 1, "tol": None, "random_state": 0}
    model = SGDRegressor(early_stopping=True, **settings).fit(X, y)
    train, held = split(model, X, y)
    alone = SGDRegressor(**settings).fit(X[np.sort(train)], y[np.sort(train)])
    np.testing.assert_array_equal(model.coef_, alone.coef_)
    assert model.t_ == 1 + len(train)
    corrupted = y.copy()
    corrupted[held] = 1e3
    np.testing.assert_array_equal(SGDRegressor(early_stopping=True, **settings).fit(X, corrupted).coef_, alone.coef_)


def test_a_set_of_its_own_takes_the_place_of_the_split(regression):
    X, y = regression
    settings = {"shuffle": False, "max_iter": 1, "tol": None}
    model = SGDRegressor(early_stopping=True, **settings).fit(X[:150], y[:150], X_val=X[150:], y_val=y[150:])
    np.testing.assert_array_equal(model.coef_, SGDRegressor(**settings).fit(X[:150], y[:150]).coef_)
    assert model.history_["validation_score"] == [model.score(X[150:], y[150:])]


def test_a_set_without_early_stopping_is_only_recorded(regression):
    X, y = regression
    settings = {"random_state": 0, "learning_rate": "constant", "eta0": 0.2, "max_iter": 30}
    plain = SGDRegressor(**settings).fit(X[:150], y[:150])
    watched = SGDRegressor(**settings).fit(X[:150], y[:150], X_val=X[150:], y_val=y[150:])
    np.testing.assert_array_equal(watched.coef_, plain.coef_)
    assert watched.n_iter_ == plain.n_iter_
    scores = watched.history_["validation_score"]
    assert len(scores) == watched.n_iter_
    assert scores[-1] == pytest.approx(watched.score(X[150:], y[150:]), rel=1e-12)


def test_weights_and_offsets_of_the_set_count(counts):
    X, y = counts
    rng = np.random.default_rng(0)
    weight, offset = rng.uniform(0, 2, 100), rng.normal(size=100) / 5
    model = SGDRegressor("poisson", early_stopping=True, random_state=0)
    model.fit(X[100:], y[100:], X_val=X[:100], y_val=y[:100], sample_weight_val=weight, offset_val=offset)
    expected = model.score(X[:100], y[:100], sample_weight=weight, offset=offset)
    assert model.history_["validation_score"].max() == pytest.approx(expected, rel=1e-12)
    assert model.score(X[:100], y[:100]) != pytest.approx(expected, rel=1e-6)


def test_weights_and_offsets_of_the_split_count(counts):
    X, y = counts
    rng = np.random.default_rng(0)
    weight, offset = rng.uniform(0, 2, len(y)), rng.normal(size=len(y)) / 5
    model = SGDRegressor("poisson", early_stopping=True, random_state=0)
    model.fit(X, y, sample_weight=weight, offset=offset)
    _, held = split(model, X, y)
    expected = model.score(X[held], y[held], sample_weight=weight[held], offset=offset[held])
    assert model.history_["validation_score"].max() == pytest.approx(expected, rel=1e-12)


def test_a_score_of_a_subclass_decides(regression):
    class Modest(SGDRegressor):
        def score(self, X, y):
            return -float(np.abs(self.coef_).sum())

    model = Modest(early_stopping=True, random_state=0).fit(*regression)
    assert model.score(None, None) == model.history_["validation_score"].max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y_val": [1.0, 2.0]}, "y_val was given without X_val"),
        ({"X_val": np.ones((2, 5))}, "X_val was given without y_val"),
        ({"X_val": np.ones((2, 4)), "y_val": [1.0, 2.0]}, "X_val.*4 features.*5 features"),
        ({"X_val": np.ones((2, 5)), "y_val": [1.0]}, "y_val must have one value"),
        ({"X_val": np.full((2, 5), np.nan), "y_val": [1.0, 2.0]}, "X_val.*NaN"),
        ({"X_val": np.ones((2, 5)), "y_val": [1.0, np.inf]}, "y_val.*infinity"),
        ({"X_val": np.ones((2, 5)), "y_val": [1.0, 2.0], "sample_weight_val": [0.0, 0.0]}, "sample_weight_val"),
        ({"X_val": np.ones((2, 5)), "y_val": [1.0, 2.0], "offset_val": [0.0]}, "offset_val must have shape"),
        ({"X_val": np.ones((1, 5)), "y_val": [1.0]}, "validation set has 1 row"),
    ],
)
def test_bad_validation_sets(arguments, message, regression):
    with pytest.raises(ValueError, match=message):
        SGDRegressor().fit(*regression, **arguments)


def test_labels_of_the_set_must_be_known(binary):
    with pytest.raises(ValueError, match=r"y_val contains labels that are not among the classes.*maybe"):
        SGDClassifier().fit(*binary, X_val=np.ones((2, 5)), y_val=["yes", "maybe"])


def test_bad_splits(regression, binary):
    with pytest.raises(ValueError, match="validation set has 1 row"):
        SGDRegressor(early_stopping=True, validation_fraction=0.001).fit(*regression)
    with pytest.raises(ValueError, match="sample weights for validation set are all zero"):
        SGDRegressor(early_stopping=True).fit(*regression, sample_weight=np.zeros(200))
    X, y = binary
    model = SGDClassifier(early_stopping=True, random_state=0)
    _, held = split(model, X, y)
    weight = np.zeros(len(y))
    weight[held] = 1
    with pytest.raises(ValueError, match="rows left for training are all zero"):
        model.fit(X, y, sample_weight=weight)


def test_partial_fit_refuses(regression):
    with pytest.raises(ValueError, match="early_stopping should be False with partial_fit"):
        SGDRegressor(early_stopping=True).partial_fit(*regression)

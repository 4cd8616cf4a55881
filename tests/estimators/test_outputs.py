"""Several outputs, several labels, several quantiles: a column each, and each as it would be alone."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import Ridge
from sklearn.metrics import d2_pinball_score, d2_tweedie_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils import get_tags

from sklosses import SGDClassifier, SGDRegressor
from sklosses.losses import Expectile, Quantile
from sklosses.model_selection import GridSearchCV as OurGridSearchCV

N, D, K = 160, 4, 3
QUANTILES = [0.1, 0.5, 0.9]
STEPS = {"learning_rate": "invscaling", "max_iter": 4, "tol": None, "random_state": 0}
PATHS = {
    "auto": {},
    "l1": {"penalty": "l1", "alpha": 0.01},
    "elasticnet": {"penalty": "elasticnet", "alpha": 0.01, "l1_ratio": 0.5},
    "none": {"penalty": None},
    "no intercept": {"fit_intercept": False},
    "steps": STEPS,
    "steps l1": STEPS | {"penalty": "l1"},
    "steps averaged": STEPS | {"average": True},
    "batches": STEPS | {"batch_size": 16},
}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D))
    Y = X @ rng.normal(size=(D, K)) + 0.5 + rng.normal(size=(N, K))
    weights, offset = rng.uniform(0.5, 2, size=N), rng.normal(size=N)
    return X, Y, weights, offset


def columns_of(model):
    return np.column_stack([model.coef_, model.intercept_])


def assert_each_as_alone(model, lone, tol=1e-7):
    """A fitted model against separately fitted ones of its columns."""
    alone = np.array([np.append(one.coef_, one.intercept_) for one in lone])
    np.testing.assert_allclose(columns_of(model), alone, rtol=tol, atol=tol * np.abs(alone).max())
    np.testing.assert_allclose(model.objective_, [one.objective_ for one in lone], rtol=tol)


# Outputs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("loss", ["squared_error", "huber", "absolute_error", "epsilon_insensitive"])
def test_each_output_is_a_fit_of_its_own(loss, settings, table):
    X, Y, weights, offset = table
    given = {"sample_weight": weights, "offset": offset}
    model = SGDRegressor(loss, **settings).fit(X, Y, **given)
    assert model.coef_.shape == (K, D)
    assert model.intercept_.shape == model.objective_.shape == model.gap_.shape == (K,)
    assert_each_as_alone(model, [SGDRegressor(loss, **settings).fit(X, y, **given) for y in Y.T])


@pytest.mark.parametrize("settings", [{}, STEPS], ids=["auto", "steps"])
@pytest.mark.parametrize("container", [np.asfortranarray, csr_matrix, np.float32, pd.DataFrame])
def test_layouts_of_outputs(container, settings, table):
    X, Y, *_ = table
    X = np.float32(X) if container is np.float32 else container(X)
    model = SGDRegressor(**settings).fit(X, pd.DataFrame(Y) if container is pd.DataFrame else Y)
    assert_each_as_alone(model, [SGDRegressor(**settings).fit(X, y) for y in Y.T], tol=1e-6)
    assert model.coef_.dtype == (np.float32 if container is np.float32 else np.float64)


def test_wide_and_sparse_outputs():
    """Dual descent."""
    rng = np.random.default_rng(1)
    X = csr_array(rng.normal(size=(80, 2500)) * (rng.uniform(size=(80, 2500)) < 0.02))
    Y = rng.normal(size=(80, 2))
    model = SGDRegressor(alpha=0.1, tol=1e-9, random_state=0).fit(X, Y)
    assert model.solver_ == "dual descent"
    assert_each_as_alone(model, [SGDRegressor(alpha=0.1, tol=1e-9, random_state=0).fit(X, y) for y in Y.T], tol=1e-5)


def test_permuted_outputs_are_permuted_columns(table):
    X, Y, *_ = table
    for loss in ("squared_error", "absolute_error"):
        order = [2, 0, 1]
        one, other = SGDRegressor(loss).fit(X, Y), SGDRegressor(loss).fit(X, Y[:, order])
        np.testing.assert_allclose(other.coef_, one.coef_[order], rtol=1e-9)
        np.testing.assert_allclose(other.predict(X), one.predict(X)[:, order], rtol=1e-9)


def test_shapes_are_those_of_ridge(table):
    X, Y, *_ = table
    ours, theirs = SGDRegressor(alpha=0.1).fit(X, Y), Ridge(alpha=0.1 * N).fit(X, Y)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-8)
    for name in ("coef_", "intercept_"):
        assert getattr(ours, name).shape == getattr(theirs, name).shape
    np.testing.assert_array_equal(ours.raw_predict(X), ours.predict(X))


def test_one_column_is_a_vector(table):
    X, Y, *_ = table
    with pytest.warns(DataConversionWarning, match="column-vector"):
        model = SGDRegressor().fit(X, Y[:, :1])
    assert model.predict(X).shape == (N,)
    assert model.coef_.shape == (D,)
    np.testing.assert_array_equal(model.coef_, SGDRegressor().fit(X, Y[:, 0]).coef_)


def test_scores_of_outputs_are_their_mean(table):
    X, Y, weights, _ = table
    model = SGDRegressor("huber").fit(X, Y)
    expected = r2_score(Y, model.predict(X), sample_weight=weights)
    assert model.score(X, Y, sample_weight=weights) == pytest.approx(expected)
    counts = np.random.default_rng(0).poisson(np.exp(0.3 * X[:, :2]))
    model = SGDRegressor("poisson").fit(X, counts)
    predicted = model.predict(X)
    expected = np.mean([d2_tweedie_score(counts[:, k], predicted[:, k], power=1) for k in range(2)])
    assert model.score(X, counts) == pytest.approx(expected)
    assert cross_val_score(SGDRegressor(), X, Y, cv=3).shape == (3,)


@pytest.mark.parametrize("settings", [{}, STEPS | {"tol": 1e-3, "max_iter": 50}], ids=["auto", "steps"])
def test_early_stopping_of_outputs(settings, table):
    X, Y, *_ = table
    model = SGDRegressor(early_stopping=True, **settings | {"random_state": 0}).fit(X, Y)
    assert model.history_["objective"].shape[1] == K
    explicit = SGDRegressor(**settings).fit(X, Y, X_val=X[:20], y_val=Y[:20])
    assert np.all(np.isfinite(explicit.history_["validation_score"]))


@pytest.mark.parametrize("settings", [{}, STEPS], ids=["auto", "steps"])
def test_outputs_in_chunks(settings, table):
    X, Y, *_ = table
    model, lone = SGDRegressor(**settings), [SGDRegressor(**settings) for _ in range(K)]
    for rows in np.split(np.arange(N), 4):
        model.partial_fit(X[rows], Y[rows])
        for k, one in enumerate(lone):
            one.partial_fit(X[rows], Y[rows, k])
    assert_each_as_alone(model, lone)
    for wrong in (Y[:, 0], Y[:, :2]):
        with pytest.raises(ValueError, match=r"The model has 3 outputs, but y and quantile ask for [12]"):
            model.partial_fit(X, wrong)
    with pytest.raises(ValueError, match="The model has 1 outputs, but y and quantile ask for 3"):
        lone[0].partial_fit(X, Y)


def test_outputs_start_from_what_is_given(table):
    X, Y, *_ = table
    fitted = SGDRegressor(tol=1e-9).fit(X, Y)
    again = SGDRegressor(warm_start=True).fit(X, Y).fit(X, Y)
    started = SGDRegressor().fit(X, Y, coef_init=fitted.coef_, intercept_init=fitted.intercept_)
    for model in (again, started):
        np.testing.assert_allclose(columns_of(model), columns_of(fitted), rtol=1e-6)
    with pytest.raises(ValueError, match=r"coef_init.*expected an array of shape \(3, 4\)"):
        SGDRegressor().fit(X, Y, coef_init=np.zeros(D))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda Y: np.where(Y > 2, np.nan, Y), "y contains NaN"),
        (lambda Y: Y[:-1], "y must have one value for each of the 160 rows of X, got 159"),
        (lambda Y: Y[:, :0], "0 feature"),
        (lambda Y: Y[:, :, np.newaxis], "dim 3"),
        (lambda Y: csr_matrix(Y), "y.*[Ss]parse|[Ss]parse.*y"),
        (lambda Y: Y.astype(str), "y must hold numbers|y.*convert"),
        (lambda Y: Y + 1j, "[Cc]omplex"),
    ],
)
def test_bad_outputs(bad, message, table):
    X, Y, *_ = table
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        SGDRegressor().fit(X, bad(Y))
    with pytest.raises(ValueError, match=r"y_val must have 3 columns as y has, got shape \(160,\)"):
        SGDRegressor().fit(X, Y, X_val=X, y_val=Y[:, 0])


# Labels -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labelled():
    X, Y = make_multilabel_classification(n_samples=150, n_features=6, n_classes=4, random_state=0)
    return (X - X.mean(axis=0)) / X.std(axis=0), Y


CLASSIFIERS = {name: PATHS[name] for name in ("auto", "l1", "steps", "steps averaged", "batches")}


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("settings", CLASSIFIERS.values(), ids=CLASSIFIERS)
@pytest.mark.parametrize("loss", ["hinge", "log_loss", "modified_huber"])
def test_each_label_is_a_fit_of_its_own(loss, settings, class_weight, labelled):
    X, Y = labelled
    weights = np.random.default_rng(0).uniform(0.5, 2, size=len(X))
    settings = settings | {"class_weight": class_weight}
    model = SGDClassifier(loss, **settings).fit(X, Y, sample_weight=weights)
    lone = [SGDClassifier(loss, **settings).fit(X, y, sample_weight=weights) for y in Y.T]
    assert_each_as_alone(model, lone)
    np.testing.assert_array_equal(model.predict(X), np.column_stack([one.predict(X) for one in lone]))
    if loss != "hinge":
        alone = np.column_stack([one.predict_proba(X)[:, 1] for one in lone])
        np.testing.assert_allclose(model.predict_proba(X), alone, rtol=1e-6, atol=1e-9)


def test_labels_have_the_shapes_of_one_vs_rest(labelled):
    X, Y = labelled
    ours = SGDClassifier("log_loss").fit(X, Y)
    theirs = OneVsRestClassifier(SGDClassifier("log_loss")).fit(X, Y)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.multilabel_
    assert theirs.multilabel_
    for method in ("predict", "predict_proba", "decision_function"):
        np.testing.assert_allclose(getattr(ours, method)(X), getattr(theirs, method)(X), rtol=1e-6, atol=1e-9)
    assert ours.score(X, Y) == pytest.approx(np.mean(np.all(ours.predict(X) == Y, axis=1)))
    assert get_tags(ours).classifier_tags.multi_label


@pytest.mark.parametrize(
    "container", [csr_matrix, csr_array, list, pd.DataFrame, np.asfortranarray, lambda Y: Y.astype(bool),
                  lambda Y: Y.astype(float), lambda Y: Y.astype(object)]
)
def test_indicators_of_any_kind(container, labelled):
    X, Y = labelled
    expected = SGDClassifier().fit(X, Y)
    model = SGDClassifier().fit(X, container(Y))
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    assert model.predict(X).dtype == np.int64
    assert model.score(X, container(Y)) == expected.score(X, Y)


def test_two_labels_are_two_columns(labelled):
    X, Y = labelled
    model = SGDClassifier().fit(X, Y[:, :2])
    assert model.coef_.shape == (2, 6)
    assert model.decision_function(X).shape == (len(X), 2)


def test_weights_of_labels(labelled):
    X, Y = labelled
    model = SGDClassifier(class_weight={2: 5.0}).fit(X, Y)
    lone = [SGDClassifier(class_weight={1: 5.0 if k == 2 else 1.0}).fit(X, y) for k, y in enumerate(Y.T)]
    assert_each_as_alone(model, lone)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_wide_and_sparse_labels(class_weight):
    rng = np.random.default_rng(1)
    X = csr_array(rng.normal(size=(120, 2500)) * (rng.uniform(size=(120, 2500)) < 0.02))
    Y = csr_array(rng.integers(0, 2, size=(120, 3)))
    settings = {"alpha": 0.1, "tol": 1e-9, "random_state": 0, "class_weight": class_weight}
    model = SGDClassifier("log_loss", **settings).fit(X, Y)
    assert model.solver_ == "dual descent"
    assert_each_as_alone(model, [SGDClassifier("log_loss", **settings).fit(X, y) for y in Y.toarray().T], tol=1e-5)


@pytest.mark.parametrize("loss", ["hinge", "log_loss", "squared_hinge"])
def test_labels_that_no_row_or_every_row_has(loss, labelled):
    X, Y = labelled
    Y = Y.copy()
    Y[:, 1], Y[:, 2] = 0, 1
    for settings in ({}, {"class_weight": "balanced"}, STEPS):
        predicted = SGDClassifier(loss, **settings).fit(X, Y).predict(X)
        assert np.all(predicted[:, 1] == 0)
        assert np.all(predicted[:, 2] == 1)


def test_early_stopping_of_labels(labelled):
    X, Y = labelled
    for settings in ({}, {"learning_rate": "optimal"}):
        model = SGDClassifier(early_stopping=True, random_state=0, **settings).fit(X, Y)
        assert np.all(model.history_["validation_score"] <= 1)
    explicit = SGDClassifier().fit(X, Y, X_val=X, y_val=csr_matrix(Y))
    assert explicit.history_["validation_score"][-1] == pytest.approx(explicit.score(X, Y))
    with pytest.raises(ValueError, match=r"y_val must be an indicator of the model's 4 labels"):
        SGDClassifier().fit(X, Y, X_val=X, y_val=Y[:, :2])


@pytest.mark.parametrize("settings", [{}, STEPS], ids=["auto", "steps"])
def test_labels_in_chunks(settings, labelled):
    X, Y = labelled
    model, lone = SGDClassifier(**settings), [SGDClassifier(**settings) for _ in Y.T]
    for rows in np.split(np.arange(len(X)), 3):
        model.partial_fit(X[rows], Y[rows])
        for one, y in zip(lone, Y.T, strict=True):
            one.partial_fit(X[rows], y[rows], classes=[0, 1])
    assert_each_as_alone(model, lone)
    with pytest.raises(ValueError, match=r"indicator of the model's 4 labels, of shape \(150, 4\); got shape \(150,\)"):
        model.partial_fit(X, Y[:, 0])
    with pytest.raises(ValueError, match="y should be a 1d array"):
        lone[0].partial_fit(X, Y)
    with pytest.raises(ValueError, match="classes must be None or their numbers"):
        SGDClassifier().partial_fit(X, Y, classes=[3, 4])


def test_a_search_over_labels(labelled):
    X, Y = labelled
    search = GridSearchCV(SGDClassifier("log_loss"), {"alpha": [1e-4, 1e-2]}, cv=3).fit(X, Y)
    assert search.best_estimator_.multilabel_
    assert np.all(search.cv_results_["mean_test_score"] > 0)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda Y: Y + 1, r"y of shape \(150, 4\) must be an indicator.*got 2"),
        (lambda Y: Y.astype(str), "must be an indicator.*got '[01]'"),
        (lambda Y: np.where(Y == 1, np.nan, 0.0), "y contains NaN"),
        (lambda Y: 0.5 * Y, "must be an indicator.*got 0.5"),
        (lambda Y: Y[:-1], "y must have one value for each of the 150 rows"),
        (lambda Y: csr_matrix(2 * Y), "must be an indicator.*got 2"),
    ],
)
def test_bad_indicators(bad, message, labelled):
    X, Y = labelled
    with pytest.raises(ValueError, match=f"(?s){message}"):
        SGDClassifier().fit(X, bad(Y))


# Quantiles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("loss", ["quantile", "smoothed_quantile"])
def test_each_quantile_is_a_fit_of_its_own(loss, settings, table):
    X, Y, weights, offset = table
    given = {"sample_weight": weights, "offset": offset}
    model = SGDRegressor(loss, quantile=QUANTILES, **settings).fit(X, Y[:, 0], **given)
    lone = [SGDRegressor(loss, quantile=q, **settings).fit(X, Y[:, 0], **given) for q in QUANTILES]
    assert model.predict(X).shape == (N, 3)
    assert_each_as_alone(model, lone)
    same = SGDRegressor(Quantile(quantile=QUANTILES), **settings).fit(X, Y[:, 0], **given)
    if loss == "quantile":
        np.testing.assert_array_equal(same.coef_, model.coef_)


def test_scores_of_quantiles(table):
    X, Y, weights, offset = table
    y = Y[:, 0]
    model = SGDRegressor("quantile", quantile=np.array(QUANTILES)).fit(X, y, offset=offset)
    predicted = model.predict(X, offset=offset)
    expected = np.mean([d2_pinball_score(y, predicted[:, k], alpha=q, sample_weight=weights)
                        for k, q in enumerate(QUANTILES)])
    assert model.score(X, y, sample_weight=weights, offset=offset) == pytest.approx(expected)
    assert not get_tags(model).target_tags.multi_output
    assert get_tags(SGDRegressor()).target_tags.multi_output


def test_one_quantile_in_a_list_is_a_column(table):
    X, Y, *_ = table
    model = SGDRegressor("quantile", quantile=[0.5]).fit(X, Y[:, 0])
    assert model.predict(X).shape == model.raw_predict(X).shape == (N, 1)
    assert model.coef_.shape == (1, D)
    assert 0 < model.score(X, Y[:, 0]) < 1


def test_quantiles_in_chunks(table):
    X, Y, *_ = table
    model, lone = SGDRegressor("quantile", quantile=[0.2, 0.8]), [SGDRegressor("quantile", quantile=q)
                                                                  for q in (0.2, 0.8)]
    for rows in np.split(np.arange(N), 4):
        for one in (model, *lone):
            one.partial_fit(X[rows], Y[rows, 0])
    assert_each_as_alone(model, lone)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"quantile": [0.5, 0.1]}, r"quantile must be increasing.*\[0.5, 0.1\]"),
        ({"quantile": [0.1, 0.1]}, "quantile must be increasing, no value twice"),
        ({"quantile": [0.1, 1.0]}, "quantile"),
        ({"quantile": [0.0, 0.1]}, "quantile"),
        ({"quantile": [0.1, np.nan]}, "quantile"),
        ({"quantile": []}, "quantile"),
        ({"quantile": [[0.1, 0.9]]}, "quantile"),
        ({"quantile": ["low", "high"]}, "quantile"),
        ({"quantile": "low"}, "'quantile' parameter"),
        ({"quantile": 1.5}, "'quantile' parameter"),
        ({"loss": Expectile(expectile=[0.1, 0.9])}, "2 losses"),
        ({"loss": "smoothed_quantile", "non_crossing": True, "quantile": QUANTILES}, "non_crossing=True needs loss"),
        ({"non_crossing": True}, "non_crossing=True needs loss='quantile' and at least two quantiles"),
        ({"non_crossing": True, "quantile": QUANTILES, "learning_rate": "constant"}, "learning_rate='auto'"),
        ({"non_crossing": True, "quantile": QUANTILES, "early_stopping": True}, "early_stopping=False"),
        ({"non_crossing": True, "quantile": QUANTILES, "fit_intercept": False}, "needs fit_intercept=True: with"),
        ({"non_crossing": "yes", "quantile": QUANTILES}, "'non_crossing' parameter"),
    ],
)
def test_bad_quantiles(parameters, message, table):
    X, Y, *_ = table
    model = SGDRegressor(**{"loss": "quantile"} | parameters)
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        model.fit(X, Y[:, 0])
    assert not hasattr(model, "coef_")


def test_quantiles_take_one_target(table):
    X, Y, *_ = table
    with pytest.raises(ValueError, match=r"y should be a 1d array, got an array of shape \(160, 3\)"):
        SGDRegressor("quantile", quantile=QUANTILES).fit(X, Y)
    with pytest.raises(ValueError, match="partial_fit knows no rows but its own"):
        SGDRegressor("quantile", quantile=QUANTILES, non_crossing=True).partial_fit(X, Y[:, 0])


# Searches that train candidates together ------------------------------------------------------------------------------


@pytest.mark.parametrize("many", [False, True], ids=["sets", "outputs"])
def test_searches_train_what_lone_fits_would(many, table):
    X, Y, *_ = table
    grid = {"quantile": [[0.1, 0.9], 0.5, [0.2, 0.5, 0.8]]} if not many else {"loss": ["huber", "absolute_error"]}
    y = Y if many else Y[:, 0]
    searches = [cls(SGDRegressor("quantile", random_state=0), grid, cv=3).fit(X, y)
                for cls in (GridSearchCV, OurGridSearchCV)]
    theirs, ours = (search.cv_results_["mean_test_score"] for search in searches)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_searches_over_labels(labelled):
    X, Y = labelled
    for grid in ({"alpha": [1e-3, 1e-1]}, {"class_weight": ["balanced", {1: 3.0}]}):
        searches = [cls(SGDClassifier("log_loss", random_state=0), grid, cv=3).fit(X, Y)
                    for cls in (GridSearchCV, OurGridSearchCV)]
        theirs, ours = (search.cv_results_["mean_test_score"] for search in searches)
        np.testing.assert_allclose(ours, theirs, atol=1e-12)

"""`SGDClassifierCV` and `SGDRegressorCV`: what a grid search finds, and scikit-learn's own where it has the loss."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import ElasticNetCV, LogisticRegressionCV
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklosses import SGDClassifier, SGDClassifierCV, SGDRegressor, SGDRegressorCV
from sklosses.losses import Huber, Quantile, loss_names

ALPHAS = np.array([1.0, 0.1, 0.01, 0.001])
TIGHT = 1e-8


def searched(estimator, X, y, cv, ratios=None, **fit_params):
    """scikit-learn's search in the order of a path, and its scores of shape (n_folds, n_l1_ratios, n_alphas)."""
    shared = [{}] if ratios is None else [{"l1_ratio": [ratio]} for ratio in ratios]
    grid = [{**one, "alpha": [alpha]} for one in shared for alpha in ALPHAS]
    search = GridSearchCV(estimator, grid, cv=cv).fit(X, y, **fit_params)
    scores = np.array([search.cv_results_[f"split{k}_test_score"] for k in range(search.n_splits_)])
    return search, scores.reshape(search.n_splits_, len(ratios or [None]), len(ALPHAS))


def fitted(estimator, *given, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return estimator.fit(*given, **params)


@pytest.mark.parametrize("loss", loss_names("classification"))
def test_every_loss_of_the_classifier(loss, binary):
    X, y = binary
    cv = StratifiedKFold(3)
    model = SGDClassifierCV(loss, alphas=ALPHAS, cv=cv, tol=TIGHT, random_state=0).fit(X, y)
    _, scores = searched(SGDClassifier(loss, tol=TIGHT, random_state=0), X, y, cv)
    np.testing.assert_allclose(model.scores_, scores, atol=0.02)    # a row near the boundary
    assert model.alpha_ == ALPHAS[np.argmax(model.scores_.mean(axis=0)[0])]
    reference = SGDClassifier(loss, alpha=model.alpha_, tol=TIGHT, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.coef_, reference.coef_, rtol=1e-3, atol=1e-6)
    assert model.solver_ == reference.solver_


@pytest.mark.parametrize("loss", loss_names("regression"))
def test_every_loss_of_the_regressor(loss, counts):
    X, y = counts
    y = y + 0.5
    model = SGDRegressorCV(loss, alphas=ALPHAS, cv=KFold(3), tol=TIGHT).fit(X, y)
    search, scores = searched(SGDRegressor(loss, tol=TIGHT), X, y, KFold(3))
    np.testing.assert_allclose(model.scores_, scores, rtol=1e-4, atol=1e-4)
    assert model.alpha_ == search.best_params_["alpha"]
    np.testing.assert_allclose(model.coef_, search.best_estimator_.coef_, rtol=1e-3, atol=1e-4)


COLUMNS = {
    "outputs": ({"loss": "huber"}, lambda y: np.column_stack([y, -2 * y, np.abs(y)])),
    "amounts": ({"loss": "poisson"}, lambda y: np.column_stack([np.abs(y), y**2])),
    "quantiles": ({"loss": "quantile", "quantile": [0.1, 0.5, 0.8]}, np.asarray),
    "an instance": ({"loss": Quantile(quantile=[0.3, 0.6])}, np.asarray),
    "one quantile": ({"loss": "smoothed_quantile", "quantile": [0.3]}, np.asarray),
    "in order": ({"loss": "quantile", "quantile": [0.45, 0.5, 0.55], "non_crossing": True}, np.asarray),
}


@pytest.mark.parametrize(("settings", "targets"), COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("refit", [True, False])
def test_several_columns_share_an_alpha(settings, targets, refit, regression):
    X, y = regression
    X, y = X[:150], targets(y[:150] / np.std(y))
    model = SGDRegressorCV(**settings, alphas=ALPHAS, cv=KFold(3), tol=TIGHT, refit=refit, random_state=0).fit(X, y)
    search, scores = searched(SGDRegressor(**settings, tol=TIGHT, random_state=0), X, y, KFold(3))
    np.testing.assert_allclose(model.scores_, scores, atol=1e-5)
    assert model.coef_.shape == search.best_estimator_.coef_.shape
    assert model.predict(X).shape == search.predict(X).shape
    if refit:
        assert model.alpha_ == search.best_params_["alpha"]
        np.testing.assert_allclose(model.coef_, search.best_estimator_.coef_, rtol=1e-3, atol=1e-4)
        assert model.coef_path_.shape == (1, 4, *model.coef_.shape)
        assert model.score(X, y) == pytest.approx(search.score(X, y), abs=1e-5)
    if settings.get("non_crossing") and refit:
        assert np.all(np.diff(model.predict(X)) >= 0)


def test_a_path_of_quantiles_begins_where_the_first_coefficient_does(regression):
    X, y = regression
    model = SGDRegressorCV("quantile", quantile=[0.2, 0.7], penalty="l1", alphas=20, cv=2, tol=TIGHT).fit(X, y)
    assert not np.any(model.coef_path_[0, 0])
    assert np.any(model.coef_path_[0, 1])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
def test_several_classes(penalty, sparse, weighted, multiclass):
    X, y = multiclass
    X = csr_array(X) if sparse else X
    params = {"sample_weight": np.random.default_rng(0).integers(1, 4, len(y)).astype(float)} if weighted else {}
    ratios = [0.2, 0.9] if penalty == "elasticnet" else None
    cv = StratifiedKFold(4)
    given = {"penalty": penalty, "tol": TIGHT, "class_weight": "balanced"}
    model = SGDClassifierCV("log_loss", alphas=ALPHAS, l1_ratio=ratios or 0.15, cv=cv, **given).fit(X, y, **params)
    search, scores = searched(SGDClassifier("log_loss", **given), X, y, cv, ratios, **params)
    np.testing.assert_allclose(model.scores_, scores, atol=1e-12)
    assert model.alpha_ == search.best_params_["alpha"]
    assert model.l1_ratio_ == search.best_params_.get("l1_ratio", {"l2": 0.0, "l1": 1.0}.get(penalty))
    np.testing.assert_allclose(model.coef_, search.best_estimator_.coef_, atol=1e-5)
    np.testing.assert_array_equal(model.predict(X), search.predict(X))
    np.testing.assert_allclose(model.predict_proba(X), search.predict_proba(X), atol=1e-5)
    assert model.coef_path_.shape == (len(ratios or [0]), len(ALPHAS), 3, X.shape[1])
    assert model.intercept_path_.shape == (len(ratios or [0]), len(ALPHAS), 3)


@pytest.mark.parametrize("l1_ratio", [1.0, [0.3, 0.8]])
@pytest.mark.parametrize("weighted", [False, True])
def test_squared_error_is_elastic_net(l1_ratio, weighted, regression):
    X, y = regression
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(y)) if weighted else None
    theirs = ElasticNetCV(l1_ratio=l1_ratio, alphas=12, cv=4, tol=1e-10).fit(X, y, sample_weight=weights)
    scoring = "neg_mean_squared_error"
    ours = SGDRegressorCV(penalty="elasticnet", l1_ratio=l1_ratio, alphas=12, cv=4, tol=1e-10, scoring=scoring)
    ours.fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(ours.alphas_, theirs.alphas_)
    errors = -np.moveaxis(ours.scores_, 0, -1)
    np.testing.assert_allclose(np.squeeze(errors), theirs.mse_path_, rtol=1e-4)
    np.testing.assert_allclose([ours.alpha_, ours.l1_ratio_], [theirs.alpha_, theirs.l1_ratio_])
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-4)


def test_log_loss_is_logistic_regression(binary):
    X, y = binary
    Cs = 1.0 / (ALPHAS * len(y) * 3 / 4)    # of the rows of a fold
    theirs = LogisticRegressionCV(Cs=Cs, l1_ratios=[0.0], cv=StratifiedKFold(4), scoring="neg_log_loss", tol=1e-12,
                                  solver="newton-cholesky", use_legacy_attributes=False).fit(X, y)
    ours = SGDClassifierCV("log_loss", alphas=ALPHAS, cv=StratifiedKFold(4), scoring="neg_log_loss", tol=1e-12)
    np.testing.assert_allclose(ours.fit(X, y).scores_, theirs.scores_, rtol=1e-6)


@pytest.mark.parametrize(("penalty", "ratios"), [("l1", [1.0]), ("elasticnet", [0.2, 0.7])])
@pytest.mark.parametrize("loss", ["hinge", "log_loss"])
def test_paths_begin_where_coefficients_do(loss, penalty, ratios, multiclass):
    X, y = multiclass
    model = SGDClassifierCV(loss, penalty=penalty, l1_ratio=ratios, alphas=6, eps=0.01, cv=2, tol=TIGHT).fit(X, y)
    alphas = np.atleast_2d(model.alphas_)
    assert model.alphas_.shape == ((6,) if len(ratios) == 1 else (2, 6))
    np.testing.assert_allclose(alphas[:, -1], 0.01 * alphas[:, 0])
    np.testing.assert_allclose(alphas * np.reshape(ratios, (-1, 1)), np.tile(alphas[0] * ratios[0], (len(ratios), 1)))
    above, below = 1.001 * alphas[-1, 0], 0.99 * alphas[-1, 0]
    given = clone(model).set_params(l1_ratio=ratios[-1], alphas=[above, below]).fit(X, y)
    assert not np.any(given.coef_path_[0, 0])
    assert np.any(given.coef_path_[0, 1])


def test_paths_of_l2_are_longer(regression):
    X, y = regression
    model = SGDRegressorCV(alphas=4, cv=2).fit(X, y)
    np.testing.assert_allclose(model.alphas_ / model.alphas_[0], [1, 1e-3, 1e-6, 1e-9])
    assert model.l1_ratio_ == 0.0
    null = np.var(y) / 2
    flat = SGDRegressor(alpha=model.alphas_[0], tol=TIGHT).fit(X, y).objective_
    assert 0.98 * null < flat < null


def test_a_small_share_of_l1_counts_as_a_thousandth(regression):
    X, y = regression
    model = SGDRegressorCV(penalty="elasticnet", l1_ratio=[0.0, 1e-6, 1e-3], alphas=2, cv=2).fit(X, y)
    np.testing.assert_allclose(model.alphas_[1], model.alphas_[2])
    np.testing.assert_allclose(model.alphas_[0], SGDRegressorCV(alphas=2, cv=2).fit(X, y).alphas_)


def test_given_alphas_are_sorted(regression):
    model = SGDRegressorCV(alphas=[0.1, 10, 1, 0], cv=2).fit(*regression)
    np.testing.assert_array_equal(model.alphas_, [10, 1, 0.1, 0])


def test_the_strongest_of_equals(binary):
    X, y = binary
    model = SGDClassifierCV(alphas=[1e-3, 1e-2], cv=2, scoring=lambda model, X, y: 0.5).fit(X, y)
    assert model.alpha_ == 1e-2


def test_a_path_where_nothing_can_be_gained(binary, regression):
    X, y = binary
    assert SGDClassifierCV("perceptron", alphas=2, cv=2).fit(X, y).scores_.shape == (2, 1, 2)
    constant = SGDRegressorCV(alphas=2, cv=2).fit(regression[0], np.full(200, 3.0))
    np.testing.assert_allclose(constant.predict(regression[0]), 3.0)


def test_weight_zero_is_absence(binary):
    X, y = binary
    weights = (np.arange(len(y)) % 5 > 0).astype(float)
    there = weights > 0
    groups = np.arange(len(y)) // 50
    given = {"loss": "log_loss", "alphas": 5, "tol": TIGHT}
    folds = [(np.flatnonzero(groups != k), np.flatnonzero(groups == k)) for k in range(4)]
    model = SGDClassifierCV(cv=folds, **given).fit(X, y, sample_weight=weights)
    folds = [(np.flatnonzero(groups[there] != k), np.flatnonzero(groups[there] == k)) for k in range(4)]
    without = SGDClassifierCV(cv=folds, **given).fit(X[there], y[there])
    np.testing.assert_allclose(model.alphas_, without.alphas_)
    np.testing.assert_allclose(model.scores_, without.scores_)
    np.testing.assert_allclose(model.coef_, without.coef_, rtol=1e-4)


def test_weights_reach_only_scorers_that_take_them(binary):
    X, y = binary
    weights = np.linspace(1, 3, len(y))
    model = SGDClassifierCV(alphas=ALPHAS, cv=2, scoring=lambda model, X, y: model.score(X, y))
    unweighted = model.fit(X, y, sample_weight=weights).scores_
    weighted = SGDClassifierCV(alphas=ALPHAS, cv=2, scoring="accuracy").fit(X, y, sample_weight=weights).scores_
    assert np.any(unweighted != weighted)


def test_routing_of_weights_and_groups(binary):
    X, y = binary
    weights, groups = np.linspace(1, 3, len(y)), np.arange(len(y)) % 4
    seen = []

    def score(y_true, y_pred, sample_weight=None):
        seen.append(sample_weight)
        return float(np.mean(y_true == y_pred))

    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(score).set_score_request(sample_weight=True)
        model = SGDClassifierCV(alphas=[0.1], cv=GroupKFold(4), scoring=scorer).set_fit_request(sample_weight=True)
        model.fit(X, y, sample_weight=weights, groups=groups)
        assert len(seen) == 4
        assert {tuple(one) for one in seen} == {tuple(weights[groups == k]) for k in range(4)}
        assert model.score(X, y, sample_weight=weights) == np.mean(model.predict(X) == y)
        np.testing.assert_array_equal(seen[-1], weights)


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_weights_that_nobody_asked_for(scoring, binary):
    X, y = binary
    weights = np.linspace(1, 3, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        model = SGDClassifierCV(alphas=ALPHAS, cv=2, scoring=scoring).set_fit_request(sample_weight=True)
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            model.fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("asked", [False, True])
def test_the_default_scorer_asks_for_what_the_estimator_asks_for(asked, binary):
    X, y = binary
    weights = np.linspace(1, 3, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        model = SGDClassifierCV(alphas=[0.1], cv=2).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=asked).fit(X, y, sample_weight=weights)
    (train, test) = next(StratifiedKFold(2).split(X, y))
    alone = SGDClassifier(alpha=0.1).fit(X[train], y[train], sample_weight=weights[train])
    assert model.scores_[0, 0, 0] == pytest.approx(alone.score(X[test], y[test], weights[test] if asked else None))


@pytest.mark.parametrize("routing", [False, True])
def test_folds_that_can_be_read_once(routing, binary):
    X, y = binary
    with sklearn.config_context(enable_metadata_routing=routing):
        model = SGDClassifierCV(alphas=ALPHAS, cv=(fold for fold in KFold(3).split(X))).fit(X, y)
    np.testing.assert_array_equal(model.scores_, SGDClassifierCV(alphas=ALPHAS, cv=KFold(3)).fit(X, y).scores_)


def test_unknown_metadata(binary):
    with pytest.raises(ValueError, match="groups"):
        SGDClassifierCV().fit(*binary, groups=np.zeros(200))


def test_offset(counts):
    """Trained and scored with; a column that is known instead of learnt."""
    X, y = counts
    exposure = np.random.default_rng(0).normal(size=len(y))
    y = np.random.default_rng(1).poisson(np.exp(0.3 * X[:, 0] + exposure)).astype(float)
    cv = KFold(3)
    for scoring in (None, "neg_mean_absolute_error"):
        model = SGDRegressorCV("poisson", alphas=ALPHAS, cv=cv, scoring=scoring, tol=TIGHT).fit(X, y, offset=exposure)
        for k, (train, test) in enumerate(cv.split(X)):
            for j, alpha in enumerate(ALPHAS):
                alone = SGDRegressor("poisson", alpha=alpha, tol=TIGHT).fit(X[train], y[train], offset=exposure[train])
                expected = alone.score(X[test], y[test], offset=exposure[test]) if scoring is None else (
                    -mean_absolute_error(y[test], alone.predict(X[test], offset=exposure[test])))
                np.testing.assert_allclose(model.scores_[k, 0, j], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="predicts without"):
        model.score(X, y, offset=exposure)


def test_data_frames_and_names(binary):
    X, y = binary
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = fitted(SGDClassifierCV(alphas=3, cv=2), frame, pd.Series(y))
    assert list(model.feature_names_in_) == list("abcde")
    np.testing.assert_array_equal(model.predict(frame), fitted(SGDClassifierCV(alphas=3, cv=2), X, y).predict(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("edcba")])


def test_float32_stays(regression):
    X, y = regression
    model = SGDRegressorCV(alphas=3, cv=2).fit(X.astype(np.float32), y)
    assert model.coef_.dtype == model.coef_path_.dtype == np.float32


def test_threads_change_nothing(multiclass):
    one, two = (SGDClassifierCV("hinge", alphas=4, cv=3, n_jobs=n_jobs).fit(*multiclass) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.coef_path_, two.coef_path_)
    np.testing.assert_array_equal(one.scores_, two.scores_)


def test_pickles_clones_and_nests(binary):
    X, y = binary
    model = SGDClassifierCV("log_loss", alphas=3, cv=2, random_state=np.random.RandomState(0)).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))
    assert clone(model).get_params()["loss"] == "log_loss"
    pipe = make_pipeline(StandardScaler(), SGDClassifierCV(loss=Huber(epsilon=0.5), alphas=3, cv=2))
    assert np.all(cross_validate(pipe, X, y, cv=2)["test_score"] > 0.8)
    assert pipe.set_params(sgdclassifiercv__loss__epsilon=0.7).fit(X, y).score(X, y) > 0.8


def test_it_is_no_stream(binary):
    assert not hasattr(SGDClassifierCV(), "partial_fit")
    with pytest.raises(AttributeError, match="all rows at once"):
        _ = SGDRegressorCV().partial_fit
    assert not hasattr(SGDClassifierCV("hinge", alphas=2, cv=2).fit(*binary), "predict_proba")


def test_the_model_of_all_rows_is_certified(binary):
    model = SGDClassifierCV("hinge", alphas=5, cv=3).fit(*binary)
    assert model.gap_ <= 1e-3
    assert model.gap_kind_ == "proof"
    place = np.flatnonzero(model.alphas_ == model.alpha_)[0]
    np.testing.assert_array_equal(model.coef_path_[0, place], model.coef_)
    np.testing.assert_array_equal(model.intercept_path_[0, place], model.intercept_)


def test_without_refit_means_are_taken(multiclass):
    X, y = multiclass
    cv = StratifiedKFold(3)
    model = SGDClassifierCV("log_loss", alphas=ALPHAS, cv=cv, refit=False, tol=TIGHT).fit(X, y)
    best = [ALPHAS[np.argmax(model.scores_[k, 0])] for k in range(3)]
    alone = [SGDClassifier("log_loss", alpha=alpha, tol=TIGHT).fit(X[train], y[train])
             for alpha, (train, _) in zip(best, cv.split(X, y), strict=True)]
    assert model.alpha_ == pytest.approx(np.mean(best))
    np.testing.assert_allclose(model.coef_, np.mean([one.coef_ for one in alone], axis=0), atol=1e-5)
    assert not hasattr(model, "coef_path_")
    assert not hasattr(model, "gap_")
    assert model.predict(X).shape == y.shape


def test_nothing_is_left_of_the_fit_before(multiclass, binary):
    model = SGDClassifierCV("log_loss", alphas=3, cv=3).fit(*multiclass)
    model.set_params(refit=False).fit(*binary)
    once = SGDClassifierCV("log_loss", alphas=3, cv=3, refit=False).fit(*binary)
    assert {name for name in vars(model) if name.endswith("_")} == {name for name in vars(once) if name.endswith("_")}


def test_a_fold_without_a_class(multiclass):
    """Its model does not know the class, as in a search; the others do."""
    X, y = multiclass
    order = np.argsort(y != "a", kind="stable")      # those of class a first
    X, y = X[order], y[order]
    n_a = int(np.sum(y == "a"))
    cv = [(np.arange(n_a, len(y)), np.arange(n_a)), (np.arange(0, len(y), 2), np.arange(1, len(y), 2))]
    model = SGDClassifierCV("log_loss", alphas=ALPHAS, cv=cv, tol=TIGHT).fit(X, y)
    _, scores = searched(SGDClassifier("log_loss", tol=TIGHT), X, y, cv)
    np.testing.assert_allclose(model.scores_, scores, atol=1e-12)
    assert np.all(model.scores_[0] == 0)
    assert model.coef_.shape == (3, 5)
    with pytest.raises(ValueError, match="some folds have no row of some class"):
        clone(model).set_params(refit=False).fit(X, y)


def test_a_fold_that_nothing_can_be_fitted_to(binary):
    X, y = binary
    order = np.argsort(y, kind="stable")
    X, y = X[order], y[order]
    cv = [(np.flatnonzero(y == "no"), np.flatnonzero(y == "yes")), (np.arange(0, 200, 2), np.arange(1, 200, 2))]
    with pytest.warns(FitFailedWarning, match="4 of 12 fits failed.*greater than one"):
        model = SGDClassifierCV(alphas=ALPHAS, cv=cv).fit(X, y)
    assert np.all(np.isnan(model.scores_[0]))
    assert model.alpha_ == ALPHAS[np.argmax(model.scores_[1, 0])]
    with pytest.warns(FitFailedWarning), pytest.raises(ValueError, match="No alpha has a score"):
        SGDClassifierCV(alphas=ALPHAS, cv=cv[:1]).fit(X, y)


def test_rows_that_a_fold_repeats(binary):
    X, y = binary
    twice = np.concatenate([np.arange(100), np.arange(100)])
    model = SGDClassifierCV(alphas=ALPHAS, cv=[(twice, np.arange(100, 200))], tol=TIGHT).fit(X, y)
    once = SGDClassifierCV(alphas=ALPHAS, cv=[(np.arange(100), np.arange(100, 200))], tol=TIGHT).fit(X, y)
    np.testing.assert_allclose(model.scores_, once.scores_)


def test_a_scorer_that_fails_leaves_nan(binary):
    X, y = binary

    def score(model, X, y):
        if model.alpha == 0.1:
            raise RuntimeError("from the scorer")
        return -model.alpha

    with pytest.warns(UserWarning, match="from the scorer"):
        model = SGDClassifierCV(alphas=ALPHAS, cv=2, scoring=score).fit(X, y)
    np.testing.assert_array_equal(np.isnan(model.scores_[0, 0]), ALPHAS == 0.1)
    assert model.alpha_ == 0.001


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alphas": 0}, "alphas"),
        ({"alphas": [0.1, -1.0]}, "alphas must be one or more finite numbers of at least 0"),
        ({"alphas": []}, "alphas must be"),
        ({"alphas": [[0.1]]}, "alphas must be"),
        ({"alphas": ["much"]}, "alphas must be"),
        ({"alphas": [np.nan]}, "alphas must be"),
        ({"eps": 1.0}, "eps"),
        ({"penalty": None}, "penalty"),
        ({"penalty": "lasso"}, "penalty"),
        ({"penalty": "elasticnet", "l1_ratio": [0.5, 1.5]}, r"l1_ratio must be one or more numbers in \[0, 1\]"),
        ({"penalty": "elasticnet", "l1_ratio": []}, "l1_ratio must be"),
        ({"loss": "squared_erorr"}, "Did you mean 'squared_error'"),
        ({"loss": "hinge"}, "SGDClassifier"),
        ({"scoring": "acc"}, "scoring"),
        ({"cv": 1}, "n_splits"),
        ({"cv": 1000}, "n_splits=1000"),
        ({"cv": []}, "cv must give at least one pair"),
    ],
)
def test_bad_parameters_change_nothing(given, message, regression):
    model = SGDRegressorCV(alphas=2, cv=2).fit(*regression)
    model.set_params(**given)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(*regression)
    assert vars(model) == before


def test_losses_that_do_not_know_their_kinks(regression):
    class Absolute:
        def value(self, y, p):
            return np.abs(p - y)

        def gradient(self, y, p):
            return np.sign(p - y)

    from sklosses.losses import Traits

    Absolute.traits = Traits("residual", smooth=False, lipschitz=1.0)
    X, y = regression
    with pytest.raises(ValueError, match="alphas must be given"):
        SGDRegressorCV(Absolute(), cv=2).fit(X, y)
    assert SGDRegressorCV(Absolute(), alphas=[1e-4, 10.0], cv=2).fit(X, y).alpha_ == 1e-4


def test_callbacks(binary, capsys):
    class Recorder:
        log = []

        def setup(self, estimator, context):
            self.log.append("setup")

        def teardown(self, estimator, context):
            self.log.append("teardown")

        def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
            pass

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
            self.log.append(context.task_name)

    model = SGDClassifierCV(alphas=2, cv=3).set_callbacks(Recorder()).fit(*binary)
    assert Recorder.log == ["setup", *["fold"] * 8, "fit", "teardown"]
    assert not any("callback_fit" in name for name in vars(model))
    pytest.importorskip("rich")
    SGDClassifierCV(alphas=2, cv=3).set_callbacks(ProgressBar()).fit(*binary)


def test_verbose_says_what_was_chosen(binary, capsys):
    model = SGDClassifierCV(alphas=3, cv=2, verbose=1).fit(*binary)
    assert f"3 candidates on 2 folds: alpha={model.alpha_:.3g}" in capsys.readouterr().out


class StopAfter:
    """Asks to stop when some fits have ended."""

    def __init__(self, count):
        self.count, self.ended = count, 0

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context):
        self.ended += context.task_name == "fold"
        return self.ended >= self.count


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("count", [1, 7, 39, 40])
def test_a_callback_can_stop_a_fit(count, refit, binary):
    """What was fitted is scored, the rest is nan, and the model is whole."""
    X, y = binary
    alphas = np.logspace(0, -4, 10)
    given = {"loss": "log_loss", "alphas": alphas, "cv": 4, "tol": TIGHT, "random_state": 0, "n_jobs": 1}
    whole = SGDClassifierCV(**given).fit(X, y)
    callback = StopAfter(count)
    model = fitted(SGDClassifierCV(**given, refit=refit).set_callbacks(callback), X, y)
    assert callback.ended == count
    there = np.isfinite(model.scores_)
    assert 0 < np.sum(there) < 40 or count > 30
    np.testing.assert_allclose(model.scores_[there], whole.scores_[there], atol=0.02)
    assert model.predict(X).shape == y.shape
    if refit:
        assert model.gap_ <= TIGHT
        reference = SGDClassifier("log_loss", alpha=model.alpha_, tol=TIGHT).fit(X, y)
        np.testing.assert_allclose(model.coef_, reference.coef_, rtol=1e-3, atol=1e-5)


def test_a_fit_that_is_stopped_before_anything_is_scored(binary, monkeypatch):
    monkeypatch.setattr("sklosses.solvers.solve_many", lambda problems, progress, **_: [None] * len(problems))
    model = SGDClassifierCV(alphas=3, cv=2)
    with pytest.raises(ValueError, match="asked to stop before any fit had a score"):
        model.fit(*binary)
    assert not hasattr(model, "scores_")


def test_callbacks_that_fail_are_heard(binary):
    class Failing(StopAfter):
        def on_fit_task_end(self, estimator, context):
            raise RuntimeError("no more disk")

    with pytest.raises(RuntimeError, match="no more disk"):
        SGDClassifierCV(alphas=3, cv=2).set_callbacks(Failing(1)).fit(*binary)

"""Our searches give what scikit-learn's give over the same estimator, whatever trains together."""

import pickle
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn.model_selection as theirs
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csc_array, csr_array, csr_matrix
from scipy.stats import loguniform
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, make_scorer, mean_pinball_loss
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, StratifiedKFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler, TargetEncoder

from sklosses import SGDClassifier, SGDRegressor
from sklosses.losses import Huber
from sklosses.model_selection import GridSearchCV, RandomizedSearchCV
from sklosses.model_selection._runner import with_runner

TIGHT = {"tol": 1e-10, "random_state": 0}


@pytest.fixture(autouse=True)
def without_convergence_warnings():
    """At tol=1e-10 some fits end where rounding allows no more, and say so: in both searches."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def table(n_rows=240, n_features=6, n_classes=2, seed=0):
    return make_classification(n_rows, n_features, n_informative=4, n_classes=n_classes, class_sep=0.7,
                               flip_y=0.05, random_state=seed)


def numbers(n_rows=240, n_features=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    return X, X @ rng.normal(size=n_features) + rng.standard_t(3, size=n_rows)


def frame(n_rows=240, seed=0):
    """Numbers with missing values, and strings; labels that are strings."""
    rng = np.random.default_rng(seed)
    age, hours = rng.normal(40, 12, n_rows), rng.normal(38, 9, n_rows)
    job = rng.choice(["clerk", "nurse", "pilot"], n_rows)
    y = np.where(age / 12 + (job == "pilot") + rng.normal(size=n_rows) > 3.8, "rich", "poor")
    age[rng.random(n_rows) < 0.1] = np.nan
    return pd.DataFrame({"age": age, "hours": hours, "job": job}), y


def preprocessor():
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_column_transformer((numbers, ["age", "hours"]), (OneHotEncoder(handle_unknown="ignore"), ["job"]))


def both(estimator, grid, X, y, *, fit=None, search=("GridSearchCV",), **settings):
    """Our search and scikit-learn's, fitted alike."""
    ours = {"GridSearchCV": GridSearchCV, "RandomizedSearchCV": RandomizedSearchCV}
    fitted = []
    for cls in (ours[search[0]], getattr(theirs, search[0])):
        cv = settings.get("cv", 3)
        fitted.append(cls(clone(estimator), grid, **{**settings, "cv": cv}).fit(X, y, **(fit or {})))
    return fitted


def ran(search):
    """How many fits ran in which way."""
    return {record["how"]: sum(r["fits"] for r in search.search_plan_ if r["how"] == record["how"])
            for record in search.search_plan_}


def assert_same_results(ours, reference, atol=1e-5, rows=0):
    """All of cv_results_: what there is, its order, kinds and values; times only as far as they are times."""
    a, b = ours.cv_results_, reference.cv_results_
    assert list(a) == list(b)
    for key, expected in b.items():
        found = a[key]
        assert type(found) is type(expected), key
        if key == "params":
            assert found == expected
            continue
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), key
        if key.endswith("_time"):
            assert np.all(found >= 0), key
        elif "test_" in key or "train_" in key:
            if not key.startswith("rank"):
                assert_allclose(found, expected, atol=max(atol, rows), err_msg=key)
        else:
            assert_array_equal(found, expected)
            assert_array_equal(found.mask, expected.mask)


CLASSIFIERS = {
    "losses": {"loss": ["hinge", "log_loss", "modified_huber"], "alpha": [1e-4, 1e-1]},
    "perceptrons": {"loss": ["perceptron"], "alpha": [1e-4, 1e-2], "fit_intercept": [True, False]},
    "penalties": [{"penalty": ["l1", "elasticnet"], "loss": ["log_loss", "squared_hinge"], "alpha": [1e-2]},
                  {"penalty": [None], "loss": ["log_loss"]}],
    "weights": {"class_weight": [None, "balanced", {0: 1.0, 1: 3.0}], "fit_intercept": [True, False],
                "loss": ["log_loss", "smoothed_hinge"]},
}


@pytest.mark.parametrize("grid", CLASSIFIERS.values(), ids=CLASSIFIERS)
@pytest.mark.parametrize(
    "kind",
    [np.asarray, csr_matrix, csc_array, np.asfortranarray, lambda X: X.astype(np.float32), np.ndarray.tolist,
     lambda X: pd.DataFrame(X, index=np.arange(len(X))[::-1]).rename(columns=str)],
    ids=["dense", "csr", "csc", "fortran", "float32", "list", "frame"],
)
def test_grid_of_a_classifier(kind, grid):
    X, y = table()
    X = kind(np.where(np.abs(X) < 0.3, 0, X))
    ours, reference = both(SGDClassifier(**TIGHT), grid, X, y, return_train_score=True)
    assert ran(ours) == {"one block": 3 * len(ours.cv_results_["params"])}
    assert_same_results(ours, reference, rows=1.01 / 80)
    assert_allclose(ours.best_estimator_.coef_, clone(ours.best_estimator_).fit(X, y).coef_)


@pytest.mark.parametrize("class_weight", [None, "balanced", {"a": 2.0, "c": 0.5}])
def test_many_classes(class_weight):
    X, y = table(n_classes=3)
    y = np.array(["a", "b", "c"])[y]
    grid = {"loss": ["log_loss", "squared_hinge"], "alpha": [1e-4, 1e-2, 1.0]}
    ours, reference = both(SGDClassifier(class_weight=class_weight, **TIGHT), grid, X, y,
                           scoring=["accuracy", "f1_macro", "neg_log_loss"], refit="accuracy", return_train_score=True,
                           cv=StratifiedKFold(4, shuffle=True, random_state=1))
    assert ran(ours) == {"one block": 24}
    assert_same_results(ours, reference, rows=0.02)
    assert_array_equal(ours.classes_, ["a", "b", "c"])


@pytest.mark.parametrize("weighted", [False, True])
def test_regression_with_several_scorers(weighted):
    X, y = numbers()
    weights = np.random.default_rng(1).uniform(0, 2, len(y)) if weighted else None
    pinball = make_scorer(mean_pinball_loss, alpha=0.9, greater_is_better=False)
    scoring = {name: name for name in ("r2", "neg_mean_squared_error", "neg_root_mean_squared_error",
                                       "neg_mean_absolute_error", "explained_variance")} | {"pinball": pinball}
    grid = [{"loss": ["squared_error", "huber", Huber(epsilon=0.7)], "alpha": [1e-4, 1.0]},
            {"loss": ["quantile"], "quantile": [0.1, 0.5, 0.9]},
            {"loss": ["epsilon_insensitive", "squared_log_error"], "epsilon": [0.0, 0.3]}]
    y = y - y.min() + 1
    ours, reference = both(SGDRegressor(**TIGHT), grid, X, y, scoring=scoring, refit="pinball",
                           fit={"sample_weight": weights} if weighted else {}, return_train_score=True)
    assert ran(ours) == {"one block": 13 * 3}
    assert_same_results(ours, reference, atol=2e-5)
    assert ours.best_params_ == reference.best_params_


@pytest.mark.parametrize("loss", ["poisson", "squared_log_error", "gamma"])
def test_default_score_of_losses_with_a_link(loss):
    X, y = numbers()
    y = np.exp(0.3 * y) + 0.1
    offset = np.random.default_rng(0).normal(size=len(y))
    ours, reference = both(SGDRegressor(loss, **TIGHT), {"alpha": [1e-3, 1e-1]}, X, y, fit={"offset": offset})
    assert ran(ours) == {"one block": 6}
    assert_same_results(ours, reference)


@pytest.mark.parametrize(("task", "kind"), [("labels", np.float64), ("numbers", np.float32)])
def test_tables_that_are_large_enough_to_be_read_together(task, kind):
    """Small tables are solved one problem after the other, whatever the search."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(75_000, 24)) * np.logspace(-2, 2, 24)).astype(kind)
    signal = (X / np.logspace(-2, 2, 24)) @ rng.normal(size=24) / 3 + rng.logistic(size=len(X))
    weights = rng.uniform(0.5, 1.5, len(X))
    if task == "labels":
        estimator, y, scoring = SGDClassifier(tol=1e-9), (signal > 0).astype(int), ["accuracy", "roc_auc"]
        grid = {"loss": ["log_loss", "modified_huber"], "alpha": [1e-5, 1e-2], "class_weight": [None, "balanced"]}
    else:
        estimator, y, scoring = SGDRegressor(tol=1e-6), signal, ["r2", "neg_mean_absolute_error"]
        grid = {"loss": ["squared_error", "huber"], "alpha": [1e-5, 1e-2], "penalty": ["l2", "elasticnet"]}
    ours, reference = both(estimator, grid, X, y, scoring=scoring, refit=False, fit={"sample_weight": weights})
    assert_same_results(ours, reference, atol=1e-4)


def test_pipelines_share_their_transforms():
    X, y = frame()
    counted = CountingScaler()
    pipeline = Pipeline([("columns", preprocessor()), ("scale", counted), ("model", SGDClassifier(**TIGHT))])
    grid = {"scale": [counted, MinMaxScaler(), "passthrough"], "columns__pipeline__simpleimputer__strategy":
            ["mean", "median"], "model__loss": ["log_loss", "hinge"], "model__alpha": [1e-3, 1e-2]}
    CountingScaler.fits = 0
    ours = GridSearchCV(pipeline, grid, cv=3, scoring=["accuracy", "roc_auc"], refit=False).fit(X, y)
    assert CountingScaler.fits == 3 * 2
    assert ran(ours) == {"one block a split, after its transforms": 3 * 24}
    reference = theirs.GridSearchCV(pipeline, grid, cv=3, scoring=["accuracy", "roc_auc"], refit=False).fit(X, y)
    assert CountingScaler.fits == 3 * 2 + 3 * 8
    assert_same_results(ours, reference, rows=1.01 / 80)


class CountingScaler(StandardScaler):
    fits = 0

    def fit(self, X, y=None):
        CountingScaler.fits += 1
        return super().fit(X, y)


def test_train_scores_are_of_rows_transformed_as_new_ones_are():
    """TargetEncoder's fit_transform makes another table than its transform."""
    X, y = frame()
    pipeline = make_pipeline(TargetEncoder(random_state=0), SGDClassifier(loss="log_loss", **TIGHT))
    ours, reference = both(pipeline, {"sgdclassifier__alpha": [1e-3, 1e-1]}, X[["job"]], y, return_train_score=True,
                           scoring="neg_log_loss")
    assert ran(ours) == {"one block a split, after its transforms": 6}
    assert_same_results(ours, reference)


@pytest.mark.parametrize("output", ["default", "pandas"])
def test_pipelines_of_frames(output):
    """Names of columns, targets in a series with an index of its own, and a step within a step."""
    X, y = frame()
    X, y = X.sample(frac=1, random_state=0), pd.Series(y).sample(frac=1, random_state=0)
    columns = make_column_transformer((make_pipeline(SimpleImputer(), StandardScaler()), ["age", "hours"]),
                                      (OneHotEncoder(sparse_output=False), ["job"])).set_output(transform=output)
    pipeline = make_pipeline(columns, SGDClassifier("log_loss", **TIGHT))
    ours, reference = both(pipeline, {"sgdclassifier__alpha": [1e-3, 1e-1]}, X, y, scoring=["accuracy", "neg_log_loss"],
                           refit="accuracy", return_train_score=True)
    assert ran(ours) == {"one block a split, after its transforms": 6}
    assert_same_results(ours, reference, rows=1.01 / 80)
    assert_array_equal(ours.predict(X), reference.predict(X))


def test_last_steps_may_be_set_and_pipelines_remembered(tmp_path):
    X, y = table()
    pipeline = Pipeline([("scale", StandardScaler()), ("model", SGDClassifier(**TIGHT))], memory=str(tmp_path))
    grid = [{"model": [SGDClassifier("log_loss", **TIGHT), SGDClassifier("squared_hinge", **TIGHT)],
             "model__alpha": [1e-3, 1e-1]},
            {"model": [LogisticRegression()], "model__C": [0.1, 1.0]}, {"scale": [None], "model__alpha": [0.1]}]
    ours, reference = both(pipeline, grid, X, y)
    assert ran(ours) == {"one block a split, after its transforms": 12, "scikit-learn": 9}
    reasons = {record["why"]: record["candidates"] for record in ours.search_plan_ if record["why"]}
    assert reasons == {"LogisticRegression is fitted in its own way": [4, 5],
                       "no other candidate has the same transforms": [6]}
    assert_same_results(ours, reference, rows=1.01 / 80)
    assert isinstance(ours.best_estimator_, Pipeline)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_results_do_not_depend_on_threads_or_processes(n_jobs):
    X, y = table()
    pipeline = make_pipeline(StandardScaler(), SGDClassifier())
    for estimator, name in ((SGDClassifier(), "alpha"), (pipeline, "sgdclassifier__alpha")):
        grid = {name: [1e-3, 1e-1]}
        alone = GridSearchCV(estimator, grid).fit(X, y).cv_results_
        found = GridSearchCV(estimator, grid, n_jobs=n_jobs).fit(X, y).cv_results_
        for key in (key for key in alone if "test" in key):
            assert_array_equal(alone[key], found[key])


SPLITTERS = {
    "shuffled": ShuffleSplit(3, test_size=0.3, random_state=0),
    "groups": GroupKFold(3),
    "pairs": [(np.arange(100), np.arange(100, 240)), (np.arange(50, 240)[::-1], np.arange(50))],
    "masks": [(np.arange(240) < 150, np.arange(240) >= 150)] * 2,
    "repeated rows": [(np.repeat(np.arange(100), 2), np.arange(100, 240))] * 2,
    "negative to score": [(np.arange(150), np.arange(-90, 0))] * 2,
    "negative": [(np.arange(-240, -100), np.arange(-100, 0))] * 2,
}


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_any_splitter(splitter):
    X, y = table()
    groups = {"groups": np.arange(240) % 7} if splitter == "groups" else {}
    ours, reference = both(SGDClassifier("log_loss", **TIGHT), {"alpha": [1e-3, 1e-1]}, X, y, cv=SPLITTERS[splitter],
                           fit=groups)
    odd = splitter in ("repeated rows", "negative")
    assert set(ran(ours)) == {"scikit-learn" if odd else "one block"}
    assert_same_results(ours, reference, rows=1.01 / 50)


def test_randomized_search():
    X, y = table()
    space = {"alpha": loguniform(1e-5, 1), "loss": ["hinge", "log_loss"], "penalty": ["l2", "l1"]}
    ours, reference = both(SGDClassifier(**TIGHT), space, X, y, search=("RandomizedSearchCV",), n_iter=8,
                           random_state=3)
    assert ran(ours) == {"one block": 24}
    assert_same_results(ours, reference, rows=1.01 / 80)
    assert ours.best_params_ == reference.best_params_


# Scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [np.asarray, csr_array])
@pytest.mark.parametrize("scoring", [None, "accuracy", "r2", "neg_mean_squared_error", "neg_root_mean_squared_error",
                                     "neg_mean_absolute_error"])
def test_scores_computed_at_once_are_the_scorers_own(scoring, kind, weighted):
    """The same fits, scored by a function that nobody knows."""
    classify = scoring in (None, "accuracy")
    for n_classes in (2, 3) if classify else (0,):
        X, y = table(n_classes=n_classes) if classify else numbers()
        X = kind(X)
        scorer = get_scorer(scoring or "accuracy")
        estimator = SGDClassifier() if classify else SGDRegressor()
        weights = {"sample_weight": np.random.default_rng(0).uniform(size=len(y))} if weighted else {}

        def unknown(model, X, y, sample_weight=None, scorer=scorer):
            return scorer(model, X, y, **({} if sample_weight is None else {"sample_weight": sample_weight}))

        for cv in (KFold(3), ShuffleSplit(2, random_state=0)):
            found, expected = (
                GridSearchCV(estimator, {"alpha": [1e-3, 1.0]}, scoring=each, cv=cv, refit=False,
                             return_train_score=True).fit(X, y, **weights).cv_results_
                for each in (scoring, unknown)
            )
            for key in (key for key in found if "_test_" in key or "_train_" in key):
                assert_allclose(found[key], expected[key], rtol=1e-12, atol=1e-14, err_msg=key)


def test_constant_targets_score_as_scikit_learn_says():
    X, _ = numbers(60)
    y = np.r_[np.ones(20), np.arange(40.0)]
    ours, reference = both(SGDRegressor(**TIGHT), {"alpha": [1e-3, 1.0]}, X, y, cv=KFold(3))
    assert_same_results(ours, reference)


def test_labels_that_no_fold_knows_are_never_hit():
    X, y = table(120, n_classes=3)
    order = np.argsort(y == 2, kind="stable")
    X, y = X[order], y[order]
    cv = [(np.arange(80), np.arange(70, 120)), (np.arange(40, 120), np.arange(40))]
    pipeline = make_pipeline(StandardScaler(), SGDClassifier("log_loss", **TIGHT))
    for estimator, name in ((SGDClassifier("log_loss", **TIGHT), "alpha"), (pipeline, "sgdclassifier__alpha")):
        ours, reference = both(estimator, {name: [1e-3, 1e-1]}, X, y, cv=cv)
        assert_same_results(ours, reference, rows=1.01 / 40)


def test_scorers_of_the_callers_get_the_whole_fitted_pipeline():
    X, y = table()
    seen = []

    def scorer(model, X, y):
        seen.append((type(model), X.shape, type(model[-1]), model[0].mean_.shape, model.predict(X).shape))
        return model.score(X, y)

    pipeline = make_pipeline(StandardScaler(), SGDClassifier())
    GridSearchCV(pipeline, {"sgdclassifier__alpha": [1e-3, 1e-1]}, scoring=scorer, cv=2, refit=False).fit(X, y)
    assert seen == [(Pipeline, (120, 6), SGDClassifier, (6,), (120,))] * 4


def test_scorers_that_fail_give_the_error_score():
    X, y = table()

    def scorer(model, X, y):
        if model.alpha == 0.1:
            raise RuntimeError("no")
        return 1.0

    with pytest.warns(UserWarning, match="Scoring failed"):
        search = GridSearchCV(SGDClassifier(), {"alpha": [1e-3, 0.1]}, scoring=scorer, error_score=-1.0).fit(X, y)
    assert_array_equal(search.cv_results_["mean_test_score"], [1, -1])


# Options and attributes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error_score", [np.nan, "raise"])
@pytest.mark.parametrize("scoring", [["accuracy", "neg_log_loss"], "neg_log_loss"], ids=["several", "one"])
@pytest.mark.parametrize("pipe", [False, True])
def test_models_without_probabilities_fail_as_scikit_learn_says(pipe, scoring, error_score):
    """Several scorers ask for all methods first, and the whole search ends; one gives `error_score`."""
    X, y = table()
    model, name = SGDClassifier(), "alpha"
    if pipe:
        model, name = make_pipeline(StandardScaler(), model), "sgdclassifier__alpha"
    said = []
    for cls in (GridSearchCV, theirs.GridSearchCV):
        search = cls(clone(model), {name: [1e-3, 1e-1]}, cv=2, scoring=scoring, refit=False, error_score=error_score)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                search.fit(X, y)
            said.append(np.isnan(search.cv_results_["mean_test_score"]).tolist())
        except AttributeError as error:
            said.append(str(error))
    assert said[0] == said[1]


def test_refit_by_name_by_function_and_not_at_all():
    X, y = table()
    settings = {"scoring": ["accuracy", "f1"], "cv": 2}
    grid = {"alpha": [1e-4, 10.0]}
    for refit in ("f1", lambda results: 1, False):
        ours, reference = both(SGDClassifier("log_loss", **TIGHT), grid, X, y, refit=refit, **settings)
        for name in ("best_index_", "best_params_", "multimetric_", "n_splits_"):
            assert getattr(ours, name, None) == getattr(reference, name, None)
        assert hasattr(ours, "best_estimator_") == hasattr(reference, "best_estimator_") == bool(refit)


def test_attributes_pickles_and_clones():
    X, y = table()
    search = GridSearchCV(SGDClassifier("log_loss"), {"alpha": [1e-3, 1e-1]}, cv=2).fit(X, y)
    again = pickle.loads(pickle.dumps(search))
    assert_array_equal(again.predict(X), search.predict(X))
    assert again.search_plan_ == search.search_plan_
    assert_allclose(again.predict_proba(X), search.predict_proba(X))
    assert search.score(X, y) == search.best_estimator_.score(X, y)
    assert not hasattr(clone(search), "search_plan_")
    assert type(clone(search)) is GridSearchCV
    assert clone(search).get_params().keys() == theirs.GridSearchCV(SGDClassifier(), {}).get_params().keys()
    assert isinstance(search, theirs.GridSearchCV)


def test_nested_in_cross_validation():
    X, y = table()
    found, expected = (
        cross_validate(cls(SGDClassifier("log_loss", **TIGHT), {"alpha": [1e-4, 1e-1, 10.0]}, cv=3), X, y, cv=3)
        for cls in (GridSearchCV, theirs.GridSearchCV)
    )
    assert_allclose(found["test_score"], expected["test_score"], atol=1.01 / 80)


def test_times_are_shares():
    X, y = table(2000)
    search = GridSearchCV(SGDClassifier(), {"alpha": [1e-3, 1e-2, 1e-1]}, cv=2).fit(X, y)
    times = np.concatenate([search.cv_results_["mean_fit_time"], search.cv_results_["std_fit_time"]])
    assert_allclose(times, np.r_[np.full(3, times[0]), np.zeros(3)], atol=1e-12)
    assert times[0] > 0
    assert np.all(search.cv_results_["mean_score_time"] > 0)

    class SlowScaler(StandardScaler):
        def fit(self, X, y=None):
            time.sleep(0.05)
            return super().fit(X, y)

        def transform(self, X):
            time.sleep(0.03)
            return super().transform(X)

    grid = {"sgdclassifier__alpha": np.logspace(-4, -1, 20)}
    search = GridSearchCV(make_pipeline(SlowScaler(), SGDClassifier()), grid, cv=2, refit=False).fit(X[:50], y[:50])
    assert 0.08 <= search.cv_results_["mean_fit_time"].sum() < 1.0  # the transform of training rows, once
    assert 0.03 <= search.cv_results_["mean_score_time"].sum() < 0.5


def test_weights_and_routing():
    X, y = numbers()
    weights, offset = np.random.default_rng(0).uniform(size=(2, len(y)))
    grid = {"alpha": [1e-3, 1e-1]}
    with config_context(enable_metadata_routing=True):
        model = SGDRegressor(**TIGHT).set_fit_request(sample_weight=True, offset="exposure")
        scorer = get_scorer("r2").set_score_request(sample_weight=True)
        ours, reference = both(model, grid, X, y, scoring=scorer,
                               fit={"sample_weight": weights, "exposure": offset})
        assert_same_results(ours, reference)
        assert ran(ours) == {"one block": 6}
        ignoring = clone(model).set_fit_request(sample_weight=False, offset=False)
        different, reference = both(ignoring, grid, X, y, scoring=scorer, fit={"sample_weight": weights})
        assert_same_results(different, reference)
        assert not np.allclose(different.cv_results_["mean_test_score"], ours.cv_results_["mean_test_score"])
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=True), model)
        grid = {f"sgdregressor__{name}": values for name, values in grid.items()}
        ours, reference = both(pipeline, grid, X, y, scoring=scorer,
                               fit={"sample_weight": weights, "exposure": offset})
        assert_same_results(ours, reference)
        assert ran(ours) == {"one block a split, after its transforms": 6}


def test_weights_of_steps_without_routing():
    X, y = numbers()
    weights = np.random.default_rng(0).uniform(size=len(y))
    pipeline = make_pipeline(StandardScaler(), SGDRegressor(**TIGHT))
    ours, reference = both(pipeline, {"sgdregressor__alpha": [1e-3, 1e-1]}, X, y,
                           fit={"sgdregressor__sample_weight": weights})
    assert_same_results(ours, reference)
    assert ran(ours) == {"one block a split, after its transforms": 6}


# Schedules --------------------------------------------------------------------------------------------------------

SCHEDULES = {
    "schedules": {"learning_rate": ["optimal", "constant", "invscaling", "adaptive"], "alpha": [1e-4, 1e-1],
                  "loss": ["hinge", "log_loss"], "batch_size": [1, 16]},
    "settings": [{"shuffle": [False, True], "average": [False, 10], "fit_intercept": [True, False]},
                 {"penalty": ["l1", None], "eta0": [1e-3, 1e-1], "learning_rate": ["invscaling"]},
                 {"learning_rate": ["pa1", "pa2"], "tol": [None, 1e-3], "n_iter_no_change": [2, 5]},
                 {"class_weight": ["balanced", {1: 3.0}], "random_state": [1, np.random.RandomState(2)]}],
    "with certified fits": {"learning_rate": ["auto", "optimal"], "average": [True], "loss": ["modified_huber"]},
}


def assert_equal_scores(ours, reference):
    for key, expected in reference.cv_results_.items():
        if "split" in key:
            assert_array_equal(ours.cv_results_[key], expected, err_msg=key)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("grid", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("kind", [np.asarray, csr_array, lambda X: np.asfortranarray(X, dtype=np.float32)],
                         ids=["dense", "csr", "fortran32"])
def test_schedules_are_the_same_to_the_last_bit(kind, grid, n_classes):
    X, y = table(n_classes=n_classes)
    X = kind(np.where(np.abs(X) < 0.3, 0, X))
    if n_classes > 2 and isinstance(grid, list):
        grid = [{**part, "class_weight": ["balanced"]} if "class_weight" in part else part for part in grid]
    model = SGDClassifier(learning_rate="optimal", max_iter=15, random_state=0)
    ours, reference = both(model, grid, X, y, return_train_score=True, n_jobs=1)
    assert sum(ran(ours).values()) == ran(ours)["one block, epoch by epoch"] + ran(ours).get("one block", 0)
    assert_equal_scores(ours, reference)


@pytest.mark.parametrize("pipe", [False, True])
def test_schedules_visit_rows_in_the_splitters_order(pipe):
    """Splitters that shuffle give rows to train on in a random order."""
    X, y = table()
    grid = {"learning_rate": ["optimal", "invscaling"], "alpha": [1e-3, 1e-1], "shuffle": [True, False]}
    model = SGDClassifier(max_iter=15, random_state=0)
    if pipe:
        model, grid = make_pipeline(StandardScaler(), model), {f"sgdclassifier__{name}": grid[name] for name in grid}
    cv = [(train[::-1], test) for train, test in ShuffleSplit(3, random_state=0).split(X)]
    assert_equal_scores(*both(model, grid, X, y, cv=cv))


def test_schedules_of_outputs_in_a_pipeline():
    X, y = numbers()
    grid = {"sgdregressor__loss": ["huber", "squared_error"], "sgdregressor__eta0": [1e-3, 1e-2],
            "standardscaler__with_mean": [True, False], "sgdregressor__batch_size": [1, 10]}
    pipeline = make_pipeline(StandardScaler(), SGDRegressor(learning_rate="invscaling", random_state=0))
    ours, reference = both(pipeline, grid, X, np.column_stack([y, -y]), scoring="r2")
    assert ran(ours) == {"one block a split, after its transforms, epoch by epoch": 48}
    assert_allclose(ours.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"], rtol=1e-12)


def test_a_schedule_that_diverges_fails_alone():
    X, y = numbers()
    grid = {"eta0": [1e-3, 1e6, 1e-2], "loss": ["squared_error", "huber"]}
    model = SGDRegressor(learning_rate="constant", random_state=0)
    with pytest.warns(FitFailedWarning, match="3 fits failed out of a total of 18"):
        ours, reference = both(model, grid, X, y, refit=False, n_jobs=1)
    assert ran(ours) == {"one block, epoch by epoch": 18}
    assert np.sum(np.isnan(reference.cv_results_["mean_test_score"])) == 1
    assert_allclose(ours.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"], rtol=1e-12)
    with pytest.raises(FloatingPointError, match=r"epoch #1\. .*SquaredError"):
        GridSearchCV(model, grid, error_score="raise").fit(X, y)


# What runs alone --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "why"),
    [
        ({"early_stopping": [True]}, "early_stopping=True"),
        ({"verbose": [1]}, "verbose=1"),
        ({"warm_start": [True]}, "warm_start=True"),
    ],
)
def test_what_cannot_be_a_column_runs_as_scikit_learn_runs_it(grid, why):
    X, y = table()
    grid = [{"alpha": [1e-3, 1e-2]}, {"alpha": [1e-3], **grid}]
    ours, reference = both(SGDClassifier("log_loss", **TIGHT), grid, X, y)
    plan = {record["how"]: (record["candidates"], record["why"]) for record in ours.search_plan_}
    assert plan == {"one block": ([0, 1], ""), "scikit-learn": ([2], why)}
    assert_same_results(ours, reference, rows=1.01 / 80)


def test_subclasses_are_fitted_by_their_own_fit():
    class Own(SGDClassifier):
        def fit(self, X, y, **params):
            return super().fit(-X, y, **params)

    X, y = table()
    ours, reference = both(Own("log_loss", **TIGHT), {"alpha": [1e-3, 1e-1]}, X, y)
    assert set(ran(ours)) == {"scikit-learn"}
    assert_same_results(ours, reference)


def test_what_is_passed_to_fit_besides_weights_runs_alone():
    X, y = table()
    start = {"coef_init": np.ones(6)}
    ours, reference = both(SGDClassifier("log_loss", **TIGHT), {"alpha": [1e-3, 1e-1]}, X, y, fit=start)
    assert ours.search_plan_[0]["why"] == "fit is given coef_init"
    assert_same_results(ours, reference, rows=1.01 / 80)


def test_plan_is_printed_when_verbose(capsys):
    X, y = table()
    grid = [{"alpha": [1e-3, 1e-2]}, {"learning_rate": ["optimal"]}, {"warm_start": [True]}]
    GridSearchCV(SGDClassifier("log_loss"), grid, cv=2, verbose=3, refit=False).fit(X, y)
    printed = capsys.readouterr().out
    assert "4 fits: one block\n" in printed
    assert "2 fits: one block, epoch by epoch\n" in printed
    assert "2 fits: scikit-learn (warm_start=True)\n" in printed
    lines = [line for line in printed.splitlines() if line.startswith("[CV ")]
    assert len(lines) == 8
    assert all("END " in line and "score=" in line and "total time=" in line for line in lines)
    assert sorted(line[:8] for line in lines) == ["[CV 1/2]"] * 4 + ["[CV 2/2]"] * 4


def test_one_call_whose_problems_share_their_arrays(monkeypatch):
    """What the solver needs to train them together: X where it is, a fold's rows and equal weights as one object."""
    from sklosses import solvers

    calls, real = [], solvers.solve_many

    def spy(problems, **settings):
        calls.append(problems)
        return real(problems, **settings)

    monkeypatch.setattr(solvers, "solve_many", spy)
    X, y = table()
    grid = {"loss": ["hinge", "log_loss", "modified_huber"], "alpha": [1e-3, 1e-1], "class_weight": [None, {0: 2.0}]}
    GridSearchCV(SGDClassifier(), grid, cv=3, refit=False).fit(X, y)
    (problems,) = calls
    assert len(problems) == 36
    assert {id(problem.rows) for problem in problems} == {id(problems[0].rows)}
    assert np.shares_memory(problems[0].rows.array, X)
    assert len({id(problem.subset) for problem in problems}) == 3
    assert len({id(problem.weights) for problem in problems}) == 2
    assert len({id(problem.targets) for problem in problems}) == 2  # log_loss counts 0 and 1, the others -1 and 1
    calls.clear()
    GridSearchCV(SGDClassifier(), {"tol": [1e-3, 1e-5], "alpha": [1e-3, 1e-1]}, cv=3, refit=False).fit(X, y)
    assert [len(problems) for problems in calls] == [6, 6]


def test_another_scikit_learn_is_searched_with_in_its_own_way():
    def evaluate_candidates(candidates):
        return candidates

    search = GridSearchCV(SGDClassifier(), {})
    search.search_plan_ = []
    assert with_runner(evaluate_candidates, search) is evaluate_candidates
    assert "hands out fits in another way" in search.search_plan_[0]["why"]


# Failures ---------------------------------------------------------------------------------------------------------


def test_candidates_that_fail_disturb_no_others():
    X, y = table()
    grid = [{"alpha": [1e-3, -1.0]}, {"loss": ["log_loss", "poisson", "no such loss"]},
            {"class_weight": [{0: 0.0, 1: 0.0}, {0: -1.0}]}]
    with pytest.warns(FitFailedWarning, match="15 fits failed out of a total of 21") as caught:
        ours, reference = both(SGDClassifier(**TIGHT), grid, X, y, error_score=0.25)
    assert len([w for w in caught if w.category is FitFailedWarning]) == 2
    assert_same_results(ours, reference, rows=1.01 / 80)
    assert_array_equal(np.flatnonzero(ours.cv_results_["mean_test_score"] == 0.25), [1, 3, 4, 5, 6])
    assert ran(ours) == {"one block": 6, "scikit-learn": 15}
    with pytest.raises(ValueError, match="alpha"):
        GridSearchCV(SGDClassifier(), grid, error_score="raise").fit(X, y)


def test_fits_that_fail_while_they_train(monkeypatch):
    """A solver's exception is that candidate's on that split, and no one else's."""
    from sklosses import solvers

    X, y = table()
    real = solvers.solve_many

    def failing(problems, **settings):
        results = real(problems, **settings)
        results[1] = FloatingPointError("overflow in column 1")
        return results

    grid = {"alpha": [1e-3, 1e-1]}
    clean = GridSearchCV(SGDClassifier(), grid, cv=3, refit=False, return_train_score=True).fit(X, y).cv_results_
    monkeypatch.setattr(solvers, "solve_many", failing)
    for scoring in (None, ["accuracy", "f1"]):
        search = GridSearchCV(SGDClassifier(), grid, cv=3, refit=False, scoring=scoring, return_train_score=True)
        with pytest.warns(FitFailedWarning, match="overflow in column 1"):
            found = search.fit(X, y).cv_results_
        name = "score" if scoring is None else "accuracy"
        for part in ("test", "train"):
            for split in range(3):
                expected = clean[f"split{split}_{part}_score"].copy()
                expected[0] = np.nan if split == 1 else expected[0]
                assert_array_equal(found[f"split{split}_{part}_{name}"], expected)
    with pytest.raises(FloatingPointError, match="column 1"):
        GridSearchCV(SGDClassifier(), grid, cv=3, error_score="raise").fit(X, y)


@pytest.mark.parametrize("pipe", [False, True])
def test_nan_in_one_fold(pipe):
    X, y = table()
    X[5, 2] = np.nan
    model = SGDClassifier("log_loss", **TIGHT)
    estimator, name = (make_pipeline(StandardScaler(), model), "sgdclassifier__alpha") if pipe else (model, "alpha")
    with pytest.warns((FitFailedWarning, UserWarning)):
        ours, reference = both(estimator, {name: [1e-3, 1e-1]}, X, y, cv=KFold(3), refit=False)
    assert np.isnan(reference.cv_results_["mean_test_score"]).all()
    assert_same_results(ours, reference)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_folds_without_a_class(n_classes):
    X, y = table(n_classes=n_classes)
    order = np.argsort(y == 0, kind="stable")
    X, y = X[order], y[order]
    rare = np.flatnonzero(y == 0)
    cv = [(np.setdiff1d(np.arange(240), rare), rare), (np.arange(0, 240, 2), np.arange(1, 240, 2))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (FitFailedWarning, UserWarning))
        ours, reference = both(SGDClassifier("log_loss", **TIGHT), {"alpha": [1e-3, 1e-1]}, X, y, cv=cv, refit=False)
    assert ran(ours) == {"one block": 2, "scikit-learn": 2}
    assert "a class is not among the rows to train on" in {record["why"] for record in ours.search_plan_}
    assert_same_results(ours, reference, rows=1.01 / 80)


@pytest.mark.parametrize("zero", ["weights", "product"])
def test_folds_without_weight(zero):
    """Whose rows' weights are all 0, or of which only the class of weight 0 has others."""
    X, y = table()
    y = np.sort(y)
    half, third = np.arange(240) % 2 == 0, np.arange(240) % 3
    weights = np.where(half, 0.0, 1.0) if zero == "weights" else np.where(half & (y == 1), 0.0, 1.0)
    model = SGDClassifier("log_loss", class_weight=None if zero == "weights" else {0: 0.0}, **TIGHT)
    cv = [(np.flatnonzero(half), np.flatnonzero(~half)), (np.flatnonzero(third < 2), np.flatnonzero(third == 2))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (FitFailedWarning, UserWarning))
        ours, reference = both(model, {"alpha": [1e-3, 1e-1]}, X, y, cv=cv, refit=False, error_score=-1.0,
                               fit={"sample_weight": weights})
    assert_array_equal(ours.cv_results_["split0_test_score"], [-1, -1])
    assert ran(ours) == {"one block": 2, "scikit-learn": 2}
    assert_same_results(ours, reference, rows=1.01 / 80)


def test_transforms_that_fail_fail_all_that_share_them():
    class Broken(TransformerMixin, BaseEstimator):
        def __init__(self, broken=False):
            self.broken = broken

        def fit(self, X, y=None):
            if self.broken:
                raise RuntimeError("cannot transform")
            return self

        def transform(self, X):
            return X

        def __sklearn_is_fitted__(self):
            return True

    X, y = table()
    pipeline = Pipeline([("first", Broken()), ("model", SGDClassifier("log_loss", **TIGHT))])
    grid = {"first__broken": [False, True], "model__alpha": [1e-3, 1e-1]}
    with pytest.warns(FitFailedWarning, match="cannot transform"):
        ours, reference = both(pipeline, grid, X, y)
    assert_same_results(ours, reference, rows=1.01 / 80)
    assert ran(ours) == {"one block a split, after its transforms": 12}
    with pytest.raises(RuntimeError, match="cannot transform"):
        GridSearchCV(pipeline, grid, error_score="raise").fit(X, y)


@pytest.mark.parametrize(
    ("grid", "error"),
    [
        ({"no_such_parameter": [1]}, "Invalid parameter 'no_such_parameter'"),
        ({"alpha": []}, "need to be a non-empty sequence"),
        ({"alpha": 1e-3}, "needs to be a list or a numpy array"),
        ({"loss": ["poisson"]}, "All the 5 fits failed"),
    ],
)
def test_grids_that_are_none(grid, error):
    X, y = table()
    with pytest.raises((ValueError, TypeError), match=error):
        GridSearchCV(SGDClassifier(), grid).fit(X, y)


def test_x_is_not_changed_and_the_estimator_stays_as_it_was():
    X, y = table()
    before, estimator = X.copy(), SGDClassifier(random_state=np.random.RandomState(0))
    GridSearchCV(estimator, {"alpha": [1e-3, 1e-1], "loss": ["hinge", "log_loss"]}).fit(X, y)
    assert_array_equal(X, before)
    assert not hasattr(estimator, "coef_")
    assert estimator.random_state.randint(100) == np.random.RandomState(0).randint(100)


# Callbacks --------------------------------------------------------------------------------------------------------


class Recording:
    """Counts hooks, and keeps what they were given."""

    def __init__(self):
        self.begun, self.ended = [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, *, X, y, metadata):
        self.begun.append((context.task_name, context.task_id, type(estimator).__name__, X, y, metadata))

    def on_fit_task_end(self, estimator, context, *, X, y):
        self.ended.append((context.task_name, context.task_id))
        return True


@pytest.mark.parametrize("pipe", [False, True])
def test_callbacks_see_what_they_see_in_scikit_learn(pipe):
    X, y = table(60)
    weights = np.arange(1.0, 61)
    model = make_pipeline(StandardScaler(), SGDClassifier()) if pipe else SGDClassifier()
    prefix, records = "sgdclassifier__" if pipe else "", []
    fit = {f"{prefix}sample_weight": weights}
    for cls in (GridSearchCV, theirs.GridSearchCV):
        callback = Recording()
        search = cls(clone(model), {f"{prefix}alpha": [1e-3, 1e-1]}, cv=3).set_callbacks(callback)
        search.fit(X, y, **fit)
        records.append(callback)
    found, expected = records
    assert sorted(found.ended) == sorted(expected.ended)
    assert [entry[:3] for entry in found.begun if not pipe] == [entry[:3] for entry in expected.begun if not pipe]
    by_task = {entry[:2]: entry for entry in found.begun}
    for entry in expected.begun:
        for one, other in zip(by_task[entry[:2]][3:], entry[3:], strict=True):
            if isinstance(other, dict):
                assert_array_equal(one["sample_weight"], other["sample_weight"])
            else:
                assert_array_equal(one, other)


@pytest.mark.parametrize("pipe", [False, True])
def test_progress_bar(pipe, capsys):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    X, y = table()
    model = make_pipeline(StandardScaler(), SGDClassifier()) if pipe else SGDClassifier()
    grid = {"sgdclassifier__alpha" if pipe else "alpha": [1e-3, 1e-1]}
    GridSearchCV(model, grid).set_callbacks(ProgressBar()).fit(X, y)
    assert "100%" in capsys.readouterr().out


def test_estimators_with_callbacks_of_their_own_are_fitted_alone():
    X, y = table()
    callback = Recording()
    model = SGDClassifier().set_callbacks(callback)
    search = GridSearchCV(model, {"alpha": [1e-3, 1e-1]}, cv=2, refit=False).fit(X, y)
    assert {record["how"] for record in search.search_plan_} == {"scikit-learn"}
    assert callback.ended


def test_interrupts_end_the_search(monkeypatch):
    from sklosses import solvers

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    X, y = table()
    search = GridSearchCV(SGDClassifier(), {"alpha": [1e-3]})
    fitted = clone(search).fit(X, y)
    monkeypatch.setattr(solvers, "solve_many", interrupted)
    for one in (search, fitted):
        before = dict(vars(one))
        with pytest.raises(KeyboardInterrupt):
            one.fit(X, y)
        assert vars(one) == before


def test_a_block_that_fails_fails_nobody(monkeypatch):
    """An error of the block's own is treated as scikit-learn's `error_score` treats those of fits: one by one."""
    def broken(*_, **__):
        raise MemoryError("too much at once")

    X, y = table()
    grid = {"alpha": [1e-3, 1e-1], "loss": ["log_loss", "squared_hinge"]}
    expected = theirs.GridSearchCV(SGDClassifier(**TIGHT), grid).fit(X, y)
    monkeypatch.setattr("sklosses.solvers.solve_many", broken)
    search = GridSearchCV(SGDClassifier(**TIGHT), grid, error_score="raise").fit(X, y)
    assert_same_results(search, expected, rows=1.01 / 48)
    # What counts predictions at once has no right to fail a fit, either.
    monkeypatch.setattr("sklosses.model_selection._scoring._tally", broken)
    search = GridSearchCV(SGDClassifier(**TIGHT), grid, error_score="raise").fit(X, y)
    assert_same_results(search, expected, rows=1.01 / 48)

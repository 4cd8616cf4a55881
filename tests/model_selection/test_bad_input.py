"""Bad input is met as in scikit-learn's searches: the same errors and warnings, and scores where some fits fail."""

import re
import warnings

import numpy as np
import pytest
import sklearn.model_selection as theirs
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, FitFailedWarning
from sklearn.linear_model import ElasticNetCV, LogisticRegressionCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklosses import SGDClassifier, SGDClassifierCV, SGDRegressor, SGDRegressorCV
from sklosses.model_selection import GridSearchCV, RandomizedSearchCV

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
T = X @ [1.0, -1.0, 0.5, 0.0] + RNG.normal(size=N)
Y = (T > 0).astype(int)
THIRD = np.arange(N) == 3       # a row of the first of three folds in a row
ALPHAS = {"alpha": [1e-3, 1.0]}
FOLDS = {"cv": KFold(3)}


def classifier(**given):
    return SGDClassifier(**{"random_state": 0, **given})


def regressor(**given):
    return SGDRegressor(**{"random_state": 0, **given})


GRIDS = {
    "unknown parameter": (classifier(), {"no_such": [1]}, X, Y),
    "parameter of nothing": (classifier(), {"loss__width": [1]}, X, Y),
    "no values": (classifier(), {"alpha": []}, X, Y),
    "a number": (classifier(), {"alpha": 1e-3}, X, Y),
    "a word": (classifier(), {"loss": "hinge"}, X, Y),
    "a matrix": (classifier(), {"alpha": np.ones((2, 2))}, X, Y),
    "no grid": (classifier(), None, X, Y),
    "too many folds": (classifier(), ALPHAS, X, Y, {"cv": 1000}),
    "unknown scorer": (classifier(), ALPHAS, X, Y, {"scoring": "nope"}),
    "scorer without probabilities": (classifier(), {"loss": ["hinge", "log_loss"]}, X, Y, {"scoring": "neg_log_loss"}),
    "which of several scorers": (classifier(), ALPHAS, X, Y, {"scoring": ["accuracy", "f1"]}),
    "error_score": (classifier(), ALPHAS, X, Y, {"error_score": "nope"}),
}
CANDIDATES = {
    "not a loss of classifiers": (classifier(), {"loss": ["poisson", "hinge"]}, X, Y),
    "no loss at all": (classifier(), {"loss": ["hinge", "hinje"]}, X, Y),
    "none is a loss": (classifier(), {"loss": ["poisson"]}, X, Y),
    "alpha": (classifier(), {"alpha": [-1, 1e-3, "much"]}, X, Y),
    "raised": (classifier(), {"alpha": [-1, 1e-3]}, X, Y, {"error_score": "raise"}),
    "a score for errors": (classifier(), {"alpha": [-1, 1e-3]}, X, Y, {"error_score": 0, "return_train_score": True}),
    "l1_ratio": (classifier(penalty="elasticnet"), {"l1_ratio": [None, 0.5, 2.0]}, X, Y),
    "some targets": (regressor(), {"loss": ["poisson", "squared_error"]}, X, T),
    "quantiles": (regressor(loss="quantile"), {"quantile": [0.5, 1.5, np.nan]}, X, T),
    "sets of quantiles": (regressor(loss="quantile"), {"quantile": [[0.1, 0.9], [0.9, 0.1], [0.0, 0.5], [0.5, 0.5]]},
                          X, T),
    "one quantile in order": (regressor(loss="quantile"), {"non_crossing": [True, False]}, X, T),
    "divergence": (regressor(learning_rate="constant"), {"eta0": [1e-3, 1e9]}, X, T),
    "no convergence": (classifier(learning_rate="optimal"), {"max_iter": [1, 20]}, X, Y),
    "no certificate": (classifier(loss="log_loss"), {"tol": [0.0, 1e-3], "max_iter": [1]}, 1e4 * X, Y),
}
DATA = {
    "a class missing in a fold": (classifier(), ALPHAS, X, np.repeat([0, 1, 2], N // 3), FOLDS),
    "one class in a fold": (classifier(), ALPHAS, X, np.sort(Y), {"cv": KFold(2)}),
    "one class": (classifier(), ALPHAS, X, np.zeros(N)),
    "nan in a fold": (classifier(), ALPHAS, np.where(THIRD[:, np.newaxis], np.nan, X), Y, FOLDS),
    "inf in a fold": (classifier(), ALPHAS, np.where(THIRD[:, np.newaxis], np.inf, X), Y, FOLDS),
    "nan in a target": (regressor(), ALPHAS, X, np.where(THIRD, np.nan, T), {**FOLDS, "return_train_score": True}),
    "nan in a weight": (classifier(), ALPHAS, X, Y, FOLDS, {"sample_weight": np.where(THIRD, np.nan, 1.0)}),
    "negative weights": (classifier(), {"learning_rate": ["optimal", "auto"]}, X, Y, FOLDS,
                         {"sample_weight": np.where(THIRD, -1.0, 1.0)}),
    "a fold without weights": (classifier(), ALPHAS, X, Y, FOLDS, {"sample_weight": (np.arange(N) < N // 3) * 1.0}),
    "too few weights": (classifier(), ALPHAS, X, Y, FOLDS, {"sample_weight": np.ones(N - 1)}),
    "too few targets": (classifier(), ALPHAS, X, Y[:-1]),
    "no targets": (classifier(), ALPHAS, X, None),
    "targets in cubes": (regressor(), ALPHAS, X, np.ones((N, 2, 2))),
    "targets in a column": (regressor(), ALPHAS, X, T[:, np.newaxis]),
    "labels in a column": (classifier(), ALPHAS, X, Y[:, np.newaxis]),
    "labels that are no indicator": (classifier(), ALPHAS, X, np.column_stack([Y + 1, Y])),
    "several targets of quantiles": (regressor(loss="quantile", quantile=[0.1, 0.9]), ALPHAS, X,
                                     np.column_stack([T, T])),
    "words for numbers": (regressor(), ALPHAS, X, np.array(["a", "b"])[Y]),
    "numbers for labels": (classifier(), ALPHAS, X, T),
    "probabilities that do not sum to one": (classifier(loss="multinomial"), ALPHAS, X, np.full((N, 3), 0.4)),
    "a vector for a table": (classifier(), ALPHAS, X[:, 0], Y),
    "words for a table": (classifier(), ALPHAS, np.full((N, 2), "a"), Y),
}


def outcome(search, estimator, grid, X, y, settings=None, fit=None):
    """Scores or the error, and the warnings."""
    settings = {"cv": 3, **(settings or {})}
    if "Randomized" in search.__name__:
        settings |= {"n_iter": 2, "random_state": 0}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            results = search(estimator, grid, **settings).fit(X, y, **(fit or {})).cv_results_
            found = {key: np.round(value, 6) for key, value in results.items() if key.startswith("split")}
        except Exception as error:
            found = type(error), re.sub(r"(?s)Below are more details.*|0x[0-9a-f]+", "", str(error))
    kinds = {FitFailedWarning, UserWarning, ConvergenceWarning, DataConversionWarning}
    said = {(w.category, str(w.message).split(":")[0][:70]) for w in caught if w.category in kinds}
    return found, said


@pytest.mark.parametrize("case", [*GRIDS.items(), *CANDIDATES.items(), *DATA.items()], ids=lambda case: case[0])
@pytest.mark.parametrize("names", [GridSearchCV, RandomizedSearchCV], ids=lambda cls: cls.__name__)
def test_as_in_scikit_learn(names, case):
    found, said = outcome(names, *case[1])
    expected, heard = outcome(getattr(theirs, names.__name__), *case[1])
    assert said == heard
    if isinstance(expected, tuple):
        assert found == expected
    else:
        assert found.keys() == expected.keys()
        for key, scores in expected.items():
            np.testing.assert_allclose(found[key], scores, atol=0.06, err_msg=key)     # within tol=1e-3; a row


@pytest.mark.parametrize("case", CANDIDATES.items(), ids=lambda case: case[0])
def test_as_in_scikit_learn_in_a_pipeline(case):
    estimator, grid, *rest = case[1]
    pipeline = make_pipeline(StandardScaler(), estimator)
    grid = {f"{type(estimator).__name__.lower()}__{name}": values for name, values in grid.items()}
    found, said = outcome(GridSearchCV, pipeline, grid, *rest)
    expected, heard = outcome(theirs.GridSearchCV, pipeline, grid, *rest)
    assert said == heard
    if isinstance(expected, tuple):
        assert found == expected
    else:
        for key, scores in expected.items():
            np.testing.assert_allclose(found[key], scores, atol=0.06, err_msg=key)


# The CV estimators --------------------------------------------------------------------------------------------------

OF_CLASSIFIER = {
    "nan": (np.where(THIRD[:, np.newaxis], np.nan, X), Y, {}, "Input X contains NaN"),
    "inf": (np.where(THIRD[:, np.newaxis], np.inf, X), Y, {}, "Input X contains infinity"),
    "one class": (X, np.zeros(N), {}, "class"),
    "one class in every fold": (X, np.repeat([0, 1], N // 2), {"cv": KFold(2)}, "No alpha has a score"),
    "too few labels": (X, Y[:-1], {}, "y must have one value for each of the 60 rows of X, got 59 values"),
    "no labels": (X, None, {}, "requires y to be passed, but the target y is None"),
    "numbers": (X, T, {}, "Unknown label type"),
    "cubes": (X, np.ones((N, 2, 2)), {}, "y"),
    "no indicator": (X, np.column_stack([Y + 1, Y]), {}, "must be an indicator of labels"),
    "probabilities": (X, np.full((N, 3), 0.4), {"loss": "multinomial"}, "Rows of y must sum to 1: row 0 sums to 1.2"),
    "no loss": (X, Y, {"loss": "poisson"}, "is a loss for numbers: use SGDRegressor"),
    "too many folds": (X, Y, {"cv": 1000}, "n_splits=1000"),
    "a vector": (X[:, 0], Y, {}, "Expected 2D array"),
    "weights": (X, Y, {"sample_weight": np.where(THIRD, -1.0, 1.0)}, "sample_weight contains -1"),
    "nan weights": (X, Y, {"sample_weight": np.where(THIRD, np.nan, 1.0)}, "sample_weight contains NaN"),
}
OF_REGRESSOR = {
    "nan": (X, np.where(THIRD, np.nan, T), {}, "y contains NaN"),
    "words": (X, np.array(["a", "b"])[Y], {}, "y"),
    "domain": (X, T, {"loss": "poisson"}, r"takes targets in \[0, inf\)"),
    "quantile": (X, T, {"loss": "quantile", "quantile": 1.5}, "'quantile' parameter"),
    "unsorted": (X, T, {"loss": "quantile", "quantile": [0.9, 0.1]}, "quantile must be increasing"),
    "outside": (X, T, {"loss": "quantile", "quantile": [0.1, 1.0]}, "quantile"),
    "none": (X, T, {"loss": "quantile", "quantile": []}, "quantile"),
    "outputs of quantiles": (X, np.column_stack([T, T]), {"loss": "quantile", "quantile": [0.1, 0.9]},
                             r"y.* shape \(60, 2\)"),
    "order of one": (X, T, {"loss": "quantile", "non_crossing": True}, "non_crossing=True needs"),
}


@pytest.mark.parametrize(("estimator", "case"), [
    *((SGDClassifierCV, case) for case in OF_CLASSIFIER.values()),
    *((SGDRegressorCV, case) for case in OF_REGRESSOR.values()),
], ids=[*OF_CLASSIFIER, *OF_REGRESSOR])
def test_cv_estimators_refuse_and_stay_as_they_were(estimator, case):
    """As scikit-learn's CV estimators, they look at the whole table at once: NaN in one fold is an error."""
    rows, y, settings, message = case
    settings = dict(settings)
    fit = {"sample_weight": settings.pop("sample_weight")} if "sample_weight" in settings else {}
    model = estimator(alphas=2, cv=2).set_params(**settings)
    before = dict(vars(model))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitFailedWarning)
        with pytest.raises(ValueError, match=message):
            model.fit(rows, y, **fit)
    assert vars(model) == before


@pytest.mark.parametrize("bad", ["nan", "inf", "too few labels", "a vector", "one class", "too many folds"])
def test_scikit_learns_cv_estimators_refuse_the_same(bad):
    rows, y, settings, _ = OF_CLASSIFIER[bad]
    with pytest.raises(ValueError):  # noqa: PT011 - their words, not ours
        LogisticRegressionCV(cv=settings.get("cv", 2), use_legacy_attributes=False).fit(rows, y)


def test_scikit_learns_cv_regressor_refuses_the_same():
    with pytest.raises(ValueError, match="y contains NaN"):
        ElasticNetCV(cv=2).fit(X, OF_REGRESSOR["nan"][1])

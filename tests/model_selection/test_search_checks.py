"""scikit-learn's common tests of estimators, on our searches."""

from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklosses import SGDClassifier, SGDRegressor
from sklosses.model_selection import GridSearchCV, RandomizedSearchCV

SETTINGS = {"cv": 2, "error_score": "raise"}
ALPHAS = {"alpha": [1e-2, 1.0]}
OF_STEP = {"model__alpha": [1e-2, 1.0]}
SEARCHES = [
    GridSearchCV(SGDClassifier(), ALPHAS, **SETTINGS),
    GridSearchCV(SGDRegressor(), ALPHAS, **SETTINGS),
    GridSearchCV(Pipeline([("pca", PCA()), ("model", SGDClassifier())]), OF_STEP, **SETTINGS),
    GridSearchCV(Pipeline([("pca", PCA()), ("model", SGDRegressor())]), OF_STEP, **SETTINGS),
    RandomizedSearchCV(SGDClassifier("log_loss"), ALPHAS, n_iter=2, random_state=0, **SETTINGS),
]


@parametrize_with_checks(SEARCHES)
def test_estimator_checks(estimator, check):
    check(estimator)

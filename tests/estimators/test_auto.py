"""learning_rate="auto": scikit-learn's own optima, from raw features, with default settings."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, GammaRegressor, Lasso, LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import OneClassSVM

from sklosses import SGDClassifier, SGDOneClassSVM, SGDRegressor
from sklosses.losses import get_loss, loss_names

CONVEX = {name for name in loss_names() if get_loss(name).traits.convex}
PERCEPTRONS = {"perceptron", "smoothed_perceptron"}
X, y = load_breast_cancer(return_X_y=True)
EXACT = {"tol": 1e-10, "max_iter": 100_000}
A, t = load_diabetes(return_X_y=True, scaled=False)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def auto(cls, **settings):
    return cls(learning_rate="auto", random_state=0, **settings)


@pytest.mark.parametrize("layout", [np.asarray, csr_array])
def test_logistic_regression(layout):
    """Raw features from 1e-3 to 1e3 in size."""
    ours = auto(SGDClassifier, loss="log_loss", alpha=1e-3).fit(layout(X), y)
    theirs = LogisticRegression(C=1 / (1e-3 * len(y)), solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(X, y)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-5, atol=1e-8)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    assert ours.gap_ <= 1e-3
    assert ours.gap_kind_ == "proof"
    assert ours.solver_ == "newton"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"alpha": 1e-2}, Ridge(alpha=1e-2 * len(t))),
        ({"alpha": 0.5, "penalty": "l1"}, Lasso(alpha=0.5, **EXACT)),
        ({"alpha": 0.5, "penalty": "elasticnet", "l1_ratio": 0.3}, ElasticNet(alpha=0.5, l1_ratio=0.3, **EXACT)),
        ({"alpha": 1e-2, "loss": "poisson"}, PoissonRegressor(alpha=1e-2, solver="newton-cholesky", tol=1e-12)),
        ({"alpha": 1e-2, "loss": "gamma"}, GammaRegressor(alpha=1e-2, solver="newton-cholesky", tol=1e-12)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_regressors(ours, theirs):
    ours = auto(SGDRegressor, **ours).fit(A, t)
    theirs.fit(A, t)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-5, atol=1e-7)
    assert_allclose(ours.predict(A), theirs.predict(A), rtol=1e-6)


def test_one_vs_rest_with_class_weights():
    wine, cultivar = load_wine(return_X_y=True)
    model = auto(SGDClassifier, loss="log_loss", class_weight={0: 1.0, 1: 2.0, 2: 0.5}).fit(wine, cultivar)
    assert model.coef_.shape == (3, 13)
    assert model.gap_.shape == model.objective_.shape == (3,)
    for k in range(3):
        weights = np.where(cultivar == k, {0: 1.0, 1: 2.0, 2: 0.5}[k], 1.0)
        alone = auto(SGDClassifier, loss="log_loss").fit(wine, cultivar == k, sample_weight=weights)
        assert_allclose(model.coef_[k], alone.coef_[0], rtol=1e-5, atol=1e-8)
    assert model.score(wine, cultivar) > 0.97


@pytest.mark.parametrize("loss", sorted(CONVEX & set(loss_names("regression"))))
def test_every_regression_loss(loss):
    """The objective is recomputed, and no classic fit of scaled features comes below it."""
    target = np.abs(t) / 100
    model = auto(SGDRegressor, loss=loss, alpha=1e-3).fit(A, target)
    s = get_loss(loss, **{"epsilon": 0.1} if "epsilon" in get_loss(loss).get_params() else {})
    value = s(target, A @ model.coef_ + model.intercept_) + 5e-4 * model.coef_ @ model.coef_
    assert model.objective_ == pytest.approx(value, rel=1e-12)
    assert set(model.history_) == {"rows", "objective", "gap", "seconds"}
    assert model.n_iter_ >= 1


# The minimiser of the perceptron's loss, rounded or not, is 0.
@pytest.mark.parametrize("loss", sorted((CONVEX & set(loss_names("classification"))) - PERCEPTRONS))
def test_every_classification_loss(loss):
    model = auto(SGDClassifier, loss=loss, alpha=1e-3).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.gap_ <= 1e-3


def test_weights_are_repetition():
    times = np.random.default_rng(0).integers(0, 4, len(y))
    weighted = auto(SGDClassifier, loss="log_loss").fit(X, y, sample_weight=times)
    repeated = auto(SGDClassifier, loss="log_loss").fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-7)


def test_float32_keeps_its_type():
    model = auto(SGDRegressor).fit(A.astype(np.float32), t)
    assert model.coef_.dtype == np.float32
    assert_allclose(model.coef_, auto(SGDRegressor).fit(A, t).coef_, rtol=1e-4)


def test_in_a_search_over_losses():
    search = GridSearchCV(
        make_pipeline(PolynomialFeatures(2), auto(SGDRegressor)),
        {"sgdregressor__loss": ["squared_error", "log_cosh"], "sgdregressor__alpha": [1e-1, 1e1]},
    ).fit(A[:, 2:6], t)
    assert search.best_score_ > 0.3


def test_warm_start_and_a_validation_set():
    model = auto(SGDClassifier, loss="log_loss", warm_start=True).fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    assert len(model.history_["validation_score"]) == len(model.history_["objective"])
    assert model.history_["validation_score"][-1] == model.score(X[1::2], y[1::2])
    before = model.n_iter_
    assert model.set_params(alpha=1.05e-4).fit(X[::2], y[::2]).n_iter_ < before


def test_average_changes_nothing():
    plain, averaged = (auto(SGDRegressor, average=average).fit(A, t) for average in (False, True))
    assert_allclose(plain.coef_, averaged.coef_)


def test_results_do_not_depend_on_threads():
    wine, cultivar = load_wine(return_X_y=True)
    one, two = (auto(SGDClassifier, loss="log_loss", n_jobs=jobs).fit(wine, cultivar) for jobs in (1, 2))
    assert np.array_equal(one.coef_, two.coef_)


def test_a_tolerance_out_of_reach_is_said():
    with pytest.warns(ConvergenceWarning, match="Maximum number of iteration reached .* tol=0.001 asks for less"):
        model = auto(SGDClassifier, loss="log_loss", alpha=1e-8, max_iter=2).fit(X, y)
    assert model.gap_ > 1e-3


def test_a_loss_that_is_not_convex_claims_nothing():
    model = auto(SGDClassifier, loss="focal").fit(X, y)
    assert model.score(X, y) > 0.9
    assert np.isnan(model.gap_)
    assert model.gap_kind_ is None


def test_early_stopping_of_wide_tables():
    rng = np.random.default_rng(0)
    wide, labels = rng.standard_normal((200, 2100)), rng.integers(0, 2, 200)
    model = SGDClassifier(early_stopping=True, random_state=0)
    model.fit(wide[:150], labels[:150], X_val=wide[150:], y_val=labels[150:])
    assert model.solver_ == "dual descent"
    assert model.score(wide[150:], labels[150:]) == model.history_["validation_score"].max()


def test_wide_tables_without_a_dual_fall_back_on_steps():
    wide = np.random.default_rng(0).standard_normal((30, 2001))
    model = SGDClassifier(loss="focal", random_state=0).fit(wide, wide[:, 0] > 0)
    assert model.solver_ == "sgd"
    assert np.isnan(model.gap_)
    assert SGDClassifier().fit(wide, wide[:, 0] > 0).gap_ <= 1e-3


@pytest.mark.parametrize("nu", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("layout", [np.asarray, csr_array])
def test_one_class_of_wide_tables(nu, layout):
    rng = np.random.default_rng(0)
    wide = np.abs(rng.standard_normal((150, 2100))) * (rng.random((150, 2100)) < 0.1)
    model = SGDOneClassSVM(nu=nu, tol=1e-5).fit(layout(wide))
    assert model.solver_ == "dual descent"
    assert model.gap_kind_ == "proof"
    reference = OneClassSVM(kernel="linear", nu=nu, tol=1e-10).fit(wide)
    w, rho = (value[0] / (nu * len(wide)) for value in (reference.coef_, reference.offset_))
    best = np.maximum(0, rho - wide @ w).mean() + nu / 2 * w @ w + nu * (1 - rho)
    assert model.gap_ <= 1e-5
    assert best - 1e-9 * abs(best) <= model.objective_ <= best + 1e-4 * abs(best)


def test_early_stopping_restores_the_best_weights():
    noisy = np.random.default_rng(0).integers(0, 2, len(y))
    features = PolynomialFeatures(2).fit_transform(X[:, :10])
    model = auto(SGDClassifier, loss="hinge", alpha=1e-9, early_stopping=True, n_iter_no_change=1)
    model.fit(features[::2], noisy[::2], X_val=features[1::2], y_val=noisy[1::2])
    assert model.score(features[1::2], noisy[1::2]) == model.history_["validation_score"].max()


def test_scale_of_features_does_not_matter():
    """Without a penalty the model is the same in any unit."""
    model = auto(SGDClassifier, loss="log_loss", penalty=None, alpha=0)
    raw = clone(model).fit(X[:, :8] * np.logspace(-6, 6, 8), y)
    scaled = clone(model).fit(StandardScaler().fit_transform(X[:, :8]), y)
    assert raw.objective_ == pytest.approx(scaled.objective_, rel=1e-6)

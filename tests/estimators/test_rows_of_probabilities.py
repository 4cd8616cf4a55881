"""SGDClassifier trained on rows of probabilities: rows repeated with weights, scipy.optimize, and what is refused."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import log_softmax, softmax, xlogy
from sklearn import model_selection
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklosses import SGDClassifier, SGDClassifierCV
from sklosses.losses import Multinomial
from sklosses.model_selection import GridSearchCV

X, LABELS = load_wine(return_X_y=True)
N, K = len(X), 3
ONE_HOT = np.eye(K)[LABELS]
RNG = np.random.default_rng(0)
SHARES = softmax(2 * ONE_HOT + RNG.normal(size=(N, K)), axis=1)
WEIGHTS = RNG.integers(0, 4, size=N).astype(float)


def model(**given):
    return SGDClassifier(**{"loss": "multinomial", "alpha": 1e-2, "tol": 1e-9, "random_state": 0, **given})


def repeated(shares, weights=None):
    """A row of probabilities p as a row of each class, of weight p_k."""
    n, k = shares.shape
    of_rows = shares if weights is None else shares * weights[:, np.newaxis]
    return np.repeat(X[:n], k, axis=0), np.tile(np.arange(k), n), of_rows.ravel()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet", None])
def test_a_row_is_one_of_each_class(penalty, n_classes):
    shares = SHARES[:, :n_classes] / SHARES[:, :n_classes].sum(axis=1, keepdims=True)
    soft = model(penalty=penalty).fit(X, shares, sample_weight=WEIGHTS)
    rows, labels, weights = repeated(shares, WEIGHTS)
    hard = model(penalty=penalty).fit(rows, labels, sample_weight=weights)
    assert soft.objective_ == pytest.approx(hard.objective_, rel=1e-8)
    assert soft.coef_.shape == hard.coef_.shape
    assert np.allclose(soft.predict_proba(X), hard.predict_proba(X), atol=1e-4)
    assert soft.score(X, shares, WEIGHTS) == pytest.approx(soft.score(rows, labels, weights))


def test_the_minimum_is_scipys():
    table = StandardScaler().fit_transform(X)

    def cross_entropy(theta):
        W, b = theta[:-K].reshape(K, -1), theta[-K:]
        raw = table @ W.T + b
        slope = (softmax(raw, axis=1) - SHARES) / N
        value = -np.sum(SHARES * log_softmax(raw, axis=1)) / N + 5e-3 * np.sum(W**2)
        return value, np.concatenate([(slope.T @ table + 1e-2 * W).ravel(), slope.sum(axis=0)])

    best = minimize(cross_entropy, np.zeros(K * 14), jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-15})
    fitted = model().fit(table, SHARES)
    assert fitted.objective_ == pytest.approx(best.fun, rel=1e-9)
    assert np.allclose(fitted.coef_, best.x[:-K].reshape(K, -1), atol=1e-5)


def test_attributes():
    fitted = model().fit(X, SHARES)
    assert fitted.classes_.tolist() == [0, 1, 2]
    assert not fitted.multilabel_
    assert fitted.coef_.shape == (K, 13)
    assert fitted.intercept_.shape == (K,)
    assert fitted.predict(X).shape == (N,)
    assert fitted.predict_proba(X).shape == fitted.decision_function(X).shape == (N, K)
    assert isinstance(fitted.objective_, float)
    assert 0 <= fitted.gap_ <= 1e-9
    assert fitted.gap_kind_ == "proof"
    two = model().fit(X[LABELS < 2], ONE_HOT[LABELS < 2][:, :2])
    assert two.coef_.shape == (1, 13)
    assert two.decision_function(X).shape == (N,)
    assert two.predict_proba(X).shape == (N, 2)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", [
    np.asarray, csr_array, pd.DataFrame, lambda y: y.astype(bool), lambda y: y.astype(np.int8), lambda y: y.tolist(),
    lambda y: y.astype(np.float32), lambda y: y.astype(object),
], ids=["float", "csr", "dataframe", "bool", "int", "list", "float32", "object"])
def test_one_hot_rows_are_labels(kind, n_classes):
    rows = n_classes > LABELS
    hard = model().fit(X[rows], LABELS[rows])
    target = kind(ONE_HOT[rows][:, :n_classes])
    soft = model().fit(X[rows], target)
    assert np.array_equal(soft.coef_, hard.coef_)
    assert np.array_equal(soft.predict(X), hard.predict(X))
    assert soft.score(X[rows], target) == hard.score(X[rows], LABELS[rows])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [{0: 2.0, 2: 0.5}, {1: 0.0}, "balanced"], ids=str)
def test_class_weights_weigh_the_rows_of_each_class(class_weight, n_classes):
    shares = SHARES[:, :n_classes] / SHARES[:, :n_classes].sum(axis=1, keepdims=True)
    if n_classes == 2 and class_weight != "balanced":
        class_weight = {0: 2.0, 1: 0.5}
    soft = model(class_weight=class_weight).fit(X, shares)
    if class_weight == "balanced":
        class_weight = dict(enumerate(N / (n_classes * shares.sum(axis=0))))
    rows, labels, weights = repeated(shares)
    hard = model(class_weight=class_weight).fit(rows, labels, sample_weight=weights)
    assert soft.objective_ == pytest.approx(hard.objective_, rel=1e-8)


def test_a_class_of_no_row_has_no_probability():
    shares = np.insert(SHARES, 1, 0.0, axis=1)
    for class_weight in (None, "balanced"):
        fitted = model(class_weight=class_weight).fit(X, shares)
        assert fitted.predict_proba(X)[:, 1].max() < 1e-6
    assert model().fit(X, shares).objective_ == pytest.approx(model().fit(X, SHARES).objective_, rel=1e-7)


def test_the_divergence_is_less_the_entropy_and_the_same_model():
    entropy = -xlogy(SHARES, SHARES).sum() / N
    crossed, apart = model().fit(X, SHARES), model(loss=Multinomial(divergence=True)).fit(X, SHARES)
    assert apart.objective_ == pytest.approx(crossed.objective_ - entropy, rel=1e-7)
    assert np.allclose(apart.coef_, crossed.coef_, atol=1e-6)


def test_validation_rows_have_labels_or_probabilities():
    half = slice(0, N, 2), slice(1, N, 2)
    for target in (LABELS, SHARES):
        fitted = model().fit(X[half[0]], SHARES[half[0]], X_val=X[half[1]], y_val=target[half[1]])
        assert fitted.history_["validation_score"][-1] == pytest.approx(fitted.score(X[half[1]], target[half[1]]))
    stopped = model(early_stopping=True).fit(X, SHARES)
    assert len(stopped.history_["validation_score"]) == len(stopped.history_["objective"])
    with pytest.raises(ValueError, match=r"y_val must be labels, or rows of probabilities of the model's 3 classes"):
        model().fit(X, SHARES, X_val=X, y_val=ONE_HOT[:, :2])


BAD = {
    "sums": (np.where(np.arange(N)[:, np.newaxis] == 7, 0.4, ONE_HOT), r"Rows of y must sum to 1: row 7 sums to 1\.2"),
    "digits": (SHARES.round(6), r"Rows of y must sum to 1: row \d+ sums to (1\.00000|0\.99999)"),
    "several labels": ((ONE_HOT + np.roll(ONE_HOT, 1, axis=1)).astype(int), r"row 0 sums to 2\. .*'log_loss'"),
    "no label": (np.zeros((N, K), dtype=int), "row 0 sums to 0"),
    "negative": (np.add(ONE_HOT, [0.5, -0.5, 0.0]), r"y contains (1\.5|-0\.5), which is no probability, in row 0"),
    "nan": (np.where(np.arange(N)[:, np.newaxis] == 7, np.nan, SHARES), "Input y contains NaN"),
    "rows": (SHARES[:-1], f"y must have one value for each of the {N} rows of X, got {N - 1} values"),
    "words": (ONE_HOT.astype(int).astype(str), "y must hold class numbers or probabilities"),
    "cubes": (ONE_HOT[:, np.newaxis], "y"),
}


@pytest.mark.parametrize(("target", "message"), BAD.values(), ids=BAD)
def test_refused(target, message):
    fitted = model().fit(X, LABELS)
    before = dict(vars(fitted))
    with pytest.raises(ValueError, match=message):
        fitted.fit(X, target)
    assert vars(fitted) == before


@pytest.mark.parametrize("loss", ["hinge", "log_loss", "crammer_singer"])
def test_losses_of_labels_refuse_them(loss):
    with pytest.raises(ValueError, match="rows of probabilities are for loss='multinomial'"):
        SGDClassifier(loss=loss).fit(X, SHARES)


def test_columns_mean_what_the_loss_says():
    """An indicator with one label a row: classes to multinomial, labels to all others."""
    assert not model().__sklearn_tags__().classifier_tags.multi_label
    assert SGDClassifier().__sklearn_tags__().classifier_tags.multi_label
    assert SGDClassifier(loss="log_loss").fit(X, ONE_HOT).multilabel_
    assert not model().fit(X, ONE_HOT).multilabel_


@pytest.mark.parametrize("target", [SHARES, ONE_HOT.astype(int)], ids=["probabilities", "one_hot"])
@pytest.mark.parametrize("losses", [["multinomial"], ["multinomial", "log_loss"], ["log_loss", "multinomial"]])
def test_searches_score_as_scikit_learns(losses, target):
    grid = {"sgdclassifier__loss": losses, "sgdclassifier__alpha": [1e-3, 1e-1],
            "sgdclassifier__class_weight": [None, "balanced"]}
    pipeline = make_pipeline(StandardScaler(), model())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # log_loss refuses probabilities: nan
        ours, theirs = (search(pipeline, grid, cv=3, return_train_score=True).fit(X, target)
                        for search in (GridSearchCV, model_selection.GridSearchCV))
    for key, expected in theirs.cv_results_.items():
        if "_score" in key and "time" not in key:
            assert np.allclose(ours.cv_results_[key], expected, equal_nan=True), key
    assert any(record["how"].startswith("one block") for record in ours.search_plan_)


def test_paths_choose_by_the_probability_of_what_is_predicted():
    path = SGDClassifierCV(loss="multinomial", alphas=[1.0, 1e-2], cv=3).fit(X, SHARES)
    for k, alpha in enumerate(path.alphas_):
        alone = model_selection.cross_val_score(model(alpha=alpha, tol=1e-3), X, SHARES, cv=3)
        assert np.allclose(path.scores_[:, 0, k], alone, atol=0.02)
    assert path.coef_path_.shape == (1, 2, K, 13)
    lasso = SGDClassifierCV(loss="multinomial", penalty="l1", alphas=3, cv=3).fit(X, SHARES)
    assert lasso.alphas_[0] == pytest.approx(np.abs((SHARES - SHARES.mean(axis=0)).T @ X).max() / N)


def test_clones_are_retrained_on_labels():
    fitted = model().fit(X, SHARES)
    fitted.fit(X, np.array(["a", "b", "c"])[LABELS])
    assert fitted.predict(X).dtype.kind == "U"
    assert not hasattr(clone(fitted), "classes_")

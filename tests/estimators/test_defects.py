"""Where scikit-learn's SGD is wrong, ours is deliberately different: each demonstrated in a few lines, on both."""

import numpy as np
import pytest
import sklearn.linear_model as theirs
from scipy.sparse import csr_array

from oracle import classic as ours
from sklosses.exceptions import DivergenceError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def regression(n=400, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4))
    return X, X @ [2.0, -1.0, 0.5, 3.0] + 1 + 0.3 * rng.standard_normal(n)


def classification(n=400, seed=0):
    X, y = regression(n, seed)
    return X, y > 1


def validation_scores(model, X, y, capsys):
    """What scikit-learn's early stopping saw, an epoch each: it only prints it."""
    model.set_params(verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    return [float(line.split("Validation score: ")[1]) for line in lines if "Validation score" in line]


def test_sparse_rows_stop_too_early():
    """The norm in scikit-learn's stopping rule is over the current row's non-zeros: CSR stops where dense goes on."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 1000)) * (rng.random((1000, 1000)) < 0.01)
    y = np.sign(X @ rng.standard_normal(1000) + 0.01)

    def objectives(module):
        model = module.SGDClassifier(alpha=1e-5, fit_intercept=False, random_state=0)
        for data in X, csr_array(X):
            w = model.fit(data, y).coef_[0]
            yield np.maximum(1 - y * (X @ w), 0).mean() + 1e-5 / 2 * w @ w

    dense, sparse = objectives(theirs)
    assert sparse > 5 * dense
    dense, sparse = objectives(ours)
    assert sparse < 1.2 * dense


def test_early_stopping_scores_weights_without_their_scale(capsys):
    X, y = regression(2000)
    settings = {"alpha": 0.1, "early_stopping": True, "learning_rate": "constant", "eta0": 0.005, "random_state": 0}
    scores = validation_scores(theirs.SGDRegressor(**settings), X, y, capsys)
    assert scores[-1] < 0.5
    model = ours.SGDRegressor(**settings).fit(X, y)
    assert model.score(X, y) > 0.95
    assert model.history_["validation_score"][-1] > 0.95


def test_early_stopping_compares_different_labels(capsys):
    """With log_loss scikit-learn compares labels 0 and 1 with predictions -1 and 1."""
    X, y = classification()
    scores = validation_scores(theirs.SGDClassifier("log_loss", early_stopping=True, random_state=0), X, y, capsys)
    assert max(scores) < 0.6
    model = ours.SGDClassifier("log_loss", early_stopping=True, random_state=0).fit(X, y)
    assert min(model.history_["validation_score"]) > 0.8


def test_early_stopping_returns_the_best_weights(capsys):
    """scikit-learn returns the last weights, n_iter_no_change epochs after the best."""
    X, y = regression()
    X_val, y_val = regression(seed=1)
    settings = {"alpha": 0, "learning_rate": "constant", "eta0": 0.2, "early_stopping": True, "random_state": 0}
    scores = validation_scores(theirs.SGDRegressor(**settings), X, y, capsys)
    assert scores[-1] < max(scores) - 0.005
    model = ours.SGDRegressor(**settings).fit(X, y, X_val=X_val, y_val=y_val)
    assert model.history_["validation_score"][-1] < max(model.history_["validation_score"])
    assert model.score(X_val, y_val) == max(model.history_["validation_score"])


def test_stopping_rule_sees_weights():
    """Rows of weight 0 (here: contradictions) end scikit-learn's training, though they take no part in it."""
    X, y = regression(200)
    X2, y2, weight = np.vstack([X, X]), np.append(y, -20 * y), np.repeat([1.0, 0.0], 200)

    def scores(module):
        model = module.SGDRegressor(learning_rate="constant", eta0=1e-4, random_state=0)
        model.fit(X2, y2, sample_weight=weight)
        return model.score(X, y), model.n_iter_

    assert scores(theirs) < (0.3, 10)
    assert scores(ours) > (0.95, 10)


@pytest.mark.parametrize("as_stored", [np.asarray, csr_array])
def test_divergence_is_an_error(as_stored):
    X, y = regression()
    X[:, 0] *= 1e4
    X = as_stored(X)
    assert theirs.SGDRegressor(random_state=0).fit(X, y).score(X, y) < -1e20
    with pytest.raises(DivergenceError, match=r"overflow occurred at epoch #1\. Scaling input data"):
        ours.SGDRegressor(random_state=0).fit(X, y)


@pytest.mark.parametrize("as_stored", [np.asarray, csr_array])
def test_average_with_l1_is_the_mean_of_the_iterates(as_stored):
    """scikit-learn's takes every L1 step in full, and drifts away from all iterates."""
    X, y = regression()

    def errors(module):
        model = module.SGDRegressor(
            penalty="l1",
            alpha=0.01,
            learning_rate="constant",
            eta0=0.005,
            tol=None,
            max_iter=50,
            random_state=0,
            fit_intercept=False,
        )
        last = model.fit(as_stored(X), y - 1).coef_
        return np.abs(model.set_params(average=True).fit(as_stored(X), y - 1).coef_ - last)

    assert errors(theirs).max() > 0.4
    assert errors(ours).max() < 0.1


def test_averaged_partial_fit_keeps_its_intercept():
    """scikit-learn's binary classifier starts each call from the intercept of the first."""
    X, y = classification()

    def intercepts(module):
        model = module.SGDClassifier(shuffle=False, average=True)
        yield model.partial_fit(X, y, classes=[False, True]).intercept_[0]
        model = module.SGDClassifier(shuffle=False, average=True)
        for rows in slice(200), slice(200, 400):
            model.partial_fit(X[rows], y[rows], classes=[False, True])
        yield model.intercept_[0]

    one, two = intercepts(theirs)
    assert abs(one - two) > 1e-3
    one, two = intercepts(ours)
    assert two == pytest.approx(one, rel=1e-12)


def test_start_values_are_not_overwritten():
    X, y = regression()
    for module, untouched in (theirs, False), (ours, True):
        start = np.zeros(4)
        module.SGDRegressor().fit(X, y, coef_init=start)
        assert (not start.any()) == untouched

"""Losses of whole rows in searches and paths: each candidate as if it were fitted alone."""

import numpy as np
import pytest
from sklearn import model_selection
from sklearn.datasets import load_wine

from sklosses import SGDClassifier, SGDClassifierCV
from sklosses.model_selection import GridSearchCV


def test_searches_score_as_scikit_learns():
    X, y = load_wine(return_X_y=True)
    grid = {"loss": ["multinomial", "crammer_singer", "log_loss"], "alpha": [1e-3, 1e-1]}
    ours, theirs = (search(SGDClassifier(tol=1e-8), grid, cv=3).fit(X, y)
                    for search in (GridSearchCV, model_selection.GridSearchCV))
    for key in ("split0_test_score", "split1_test_score", "split2_test_score"):
        assert np.allclose(ours.cv_results_[key], theirs.cv_results_[key])
    assert [record["how"] for record in ours.search_plan_] == ["one block"]


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_paths(penalty):
    X, y = load_wine(return_X_y=True)
    model = SGDClassifierCV(loss="multinomial", penalty=penalty, alphas=5, cv=3).fit(X, y)
    alone = SGDClassifier(loss="multinomial", penalty=penalty, alpha=model.alpha_).fit(X, y)
    assert model.coef_.shape == (3, 13)
    assert model.objective_ == pytest.approx(alone.objective_, rel=1e-3)


def test_labels_have_a_column_each():
    """A label is there or not: two classes, which are trained by the loss of the difference of their predictions."""
    X, y = load_wine(return_X_y=True)
    indicator = np.eye(3, dtype=int)[y]
    model, other = (SGDClassifier(loss=loss).fit(X, indicator) for loss in ("crammer_singer", "hinge"))
    assert np.array_equal(model.coef_, other.coef_)

"""scikit-learn's estimator checks."""

import pytest
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    parametrize_with_checks,
)

from sklosses import LinearEmbedding

ESTIMATORS = [
    LinearEmbedding(max_iter=10, random_state=0),
    LinearEmbedding(batch_size=8, max_iter=3, random_state=0),
    *(LinearEmbedding(loss, max_iter=5, random_state=0)
      for loss in ("contrastive", "cosine", "triplet", "center", "nt_xent", "supcon")),
]


@parametrize_with_checks(ESTIMATORS)
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("check", [check_param_validation, check_dataframe_column_names_consistency])
def test_checks_that_are_not_run_by_default(check):
    check("LinearEmbedding", LinearEmbedding(max_iter=5, random_state=0))

"""scikit-learn's own tests of its SGD estimators, run against ours.

The source is that of the installed scikit-learn; its `linear_model` is replaced by one whose SGDClassifier,
SGDRegressor and SGDOneClassSVM are ours. Left out are the tests of its private loss objects. A test that fails for
a reason is named in `DIFFERENT`, and must fail.
"""

import importlib.util
import pathlib
import types

import pytest
import sklearn.linear_model

import sklosses

PRIVATE = {
    "test_loss_hinge",
    "test_gradient_squared_hinge",
    "test_loss_modified_huber",
    "test_loss_epsilon_insensitive",
    "test_loss_squared_epsilon_insensitive",
}

_OUTPUTS = "a target of two columns is two outputs"
_BEST = "early_stopping returns the weights that scored best, scikit-learn's the last"
_PROBABILITY = "squared_hinge, squared_error, exponential and focal have probabilities too (Zhang 2004)"
_SEED = "the minimum does not depend on the seed"
_NEW_ARRAY = "every call makes a new coef_, so that one kept from before, or a model that fails, does not change"

DIFFERENT = {
    "test_validation_set_not_used_for_training[SGDClassifier]": _BEST,
    "test_validation_set_not_used_for_training[SparseSGDClassifier]": _BEST,
    "test_sgd_predict_proba_method_access[SGDClassifier]": _PROBABILITY,
    "test_sgd_predict_proba_method_access[SparseSGDClassifier]": _PROBABILITY,
    "test_partial_fit_oneclass[SGDOneClassSVM]": _NEW_ARRAY,
    "test_partial_fit_oneclass[SparseSGDOneClassSVM]": _NEW_ARRAY,
    "test_tol_parameter": "tol=None ends at the limit of precision, before max_iter epochs",
    "test_multi_thread_multi_class_and_early_stopping": "ends at the minimum, before 100 epochs without improvement",
    "test_sgd_random_state[SGDClassifier]": _SEED,
    "test_sgd_random_state[SGDRegressor]": _SEED,
    "test_input_format[SGDRegressor]": _OUTPUTS,
    "test_input_format[SparseSGDRegressor]": _OUTPUTS,
    "test_validation_mask_correctly_subsets": "watches a private class of scikit-learn's",
}

LEAST_PASSING = 249


def _their_tests():
    """The namespace of scikit-learn's test module, made with our estimators."""
    path = importlib.util.find_spec("sklearn.linear_model.tests.test_sgd").origin
    source = pathlib.Path(path).read_text(encoding="utf-8")
    theirs = "from sklearn import datasets, linear_model, metrics"
    assert source.count(theirs) == 1, "scikit-learn's test module imports linear_model in a new way"
    source = source.replace(theirs, "from sklearn import datasets, metrics")
    ours = types.SimpleNamespace(**vars(sklearn.linear_model))
    for name in ("SGDClassifier", "SGDRegressor", "SGDOneClassSVM"):
        setattr(ours, name, getattr(sklosses, name))
    namespace = {"__name__": __name__, "__file__": path, "linear_model": ours}
    exec(compile(source, path, "exec"), namespace)
    # With the classes and data that the tests use, so that pickle finds the classes here.
    return {name: value for name, value in namespace.items() if not name.startswith("__") and name not in PRIVATE}


globals().update(_their_tests())


def test_enough_pass(request):
    """With every other test of this file green, this many of scikit-learn's pass."""
    path = request.node.path
    mine = [item for item in request.session.items if item.path == path and item is not request.node]
    if any("::" in argument for argument in request.config.args) or request.config.option.keyword:
        pytest.skip("counts only when the whole file is collected")
    names = {item.name for item in mine}
    assert names >= DIFFERENT.keys(), "a test listed as different does not exist"
    assert len(mine) - len(DIFFERENT) >= LEAST_PASSING

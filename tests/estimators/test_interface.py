"""What an estimator promises by its shape: parameters, methods, attributes, documentation."""

import inspect
import pickle
import re

import numpy as np
import pytest
import sklearn.linear_model
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils import get_tags

from sklosses import SGDClassifier, SGDOneClassSVM, SGDRegressor
from sklosses.losses import LOSSES, Focal, Huber, LogLoss, Poisson, Quantile, loss_names

CLASSES = [SGDClassifier, SGDRegressor, SGDOneClassSVM]
OURS = {
    "SGDClassifier": {"width": 1.0, "gamma": 2.0, "pos_weight": 1.0, "batch_size": 1, "forgetting": 1.0},
    "SGDRegressor": {
        "quantile": 0.5,
        "expectile": 0.5,
        "power": 1.5,
        "scale": 1.0,
        "width": 1.0,
        "batch_size": 1,
        "forgetting": 1.0,
        "non_crossing": False,
    },
    "SGDOneClassSVM": {"batch_size": 1, "forgetting": 1.0},
}


def fit_small(estimator):
    X = np.array([[-1.0, -1.0], [-2.0, -1.0], [1.0, 1.0], [2.0, 1.0]])
    return estimator.set_params(max_iter=3, tol=None, random_state=0).fit(X, [1, 1, 2, 2])


@pytest.mark.parametrize("cls", CLASSES)
def test_parameters_are_theirs_and_then_ours(cls):
    theirs = inspect.signature(getattr(sklearn.linear_model, cls.__name__)).parameters
    mine = inspect.signature(cls).parameters
    assert list(mine)[: len(theirs)] == list(theirs)
    for name, parameter in theirs.items():
        default = "auto" if name == "learning_rate" else parameter.default
        assert (mine[name].default, mine[name].kind) == (default, parameter.kind), name
    added = {name: mine[name].default for name in list(mine)[len(theirs) :]}
    assert added == OURS[cls.__name__]
    assert all(mine[name].kind is inspect.Parameter.KEYWORD_ONLY for name in added)


@pytest.mark.parametrize("cls", CLASSES)
def test_methods_take_what_theirs_take(cls):
    theirs = getattr(sklearn.linear_model, cls.__name__)
    for name, method in inspect.getmembers(theirs, inspect.isfunction):
        if name.startswith(("_", "set_")):
            continue
        mine = list(inspect.signature(getattr(cls, name)).parameters)
        wanted = list(inspect.signature(method).parameters)
        assert mine[: len(wanted)] == wanted, name


@pytest.mark.parametrize("cls", CLASSES)
def test_fitted_attributes_are_theirs_and_then_ours(cls):
    def public(estimator):
        return {name for name in vars(fit_small(estimator)) if name.endswith("_") and not name.startswith("_")}

    theirs = public(getattr(sklearn.linear_model, cls.__name__)())
    ours = {"objective_", "gap_", "gap_kind_", "history_", "solver_"}
    assert public(cls()) == theirs | ours | ({"multilabel_"} if cls is SGDClassifier else set())


@pytest.mark.parametrize("cls", CLASSES)
def test_everything_is_documented(cls):
    names = set(re.findall(r"^    (\w+) : ", cls.__doc__.split("See Also")[0], flags=re.M))
    fitted = {name for name in vars(fit_small(cls())) if name.endswith("_") and not name.startswith("_")}
    assert names == set(cls().get_params(deep=False)) | fitted | {"feature_names_in_"}
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        if name.startswith("_") or not method.__module__.startswith("sklosses"):
            continue
        documented = re.findall(r"^        (\w+) : ", inspect.getdoc(method).replace("\n", "\n        "), flags=re.M)
        wanted = [parameter for parameter in inspect.signature(method).parameters if parameter != "self"]
        assert documented[: len(wanted)] == wanted, name


@pytest.mark.parametrize("cls", CLASSES)
def test_fitted_estimators_are_pickled(cls):
    X = np.array([[0.5, 0.5], [-3.0, 1.0]])
    model = fit_small(cls())
    again = pickle.loads(pickle.dumps(model))
    assert vars(again).keys() == vars(model).keys()
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_pickles_do_not_name_an_instruction_set(binary):
    model = SGDClassifier(loss=Huber(epsilon=2.0), random_state=0).fit(*binary)
    assert not re.search(rb"_kernels|_v3|_v4", pickle.dumps(model))


@pytest.mark.parametrize("name", loss_names("regression"))
def test_regressor_losses_by_name_class_and_instance(name, regression):
    X, y = regression
    y = np.abs(y) + 0.1
    settings = {"max_iter": 3, "tol": None, "random_state": 0, "eta0": 1e-3}
    defaults = LOSSES[name]().get_params()
    by_name, by_class, by_instance = (
        SGDRegressor(loss, **settings).fit(X, y) for loss in (name, LOSSES[name], LOSSES[name](**defaults))
    )
    np.testing.assert_array_equal(by_class.coef_, by_instance.coef_)
    by_name = SGDRegressor(name, **settings, **defaults).fit(X, y)
    np.testing.assert_array_equal(by_name.coef_, by_instance.coef_)
    assert np.any(by_name.coef_)


@pytest.mark.parametrize("name", loss_names("classification"))
def test_classifier_losses_by_name_class_and_instance(name, binary):
    settings = {"max_iter": 3, "tol": None, "random_state": 0, "learning_rate": "invscaling"}
    defaults = LOSSES[name]().get_params()
    by_name = SGDClassifier(name, **settings, **defaults).fit(*binary)
    by_class = SGDClassifier(LOSSES[name], **settings).fit(*binary)
    by_instance = SGDClassifier(LOSSES[name](**defaults), **settings).fit(*binary)
    np.testing.assert_array_equal(by_class.coef_, by_instance.coef_)
    np.testing.assert_array_equal(by_name.coef_, by_instance.coef_)
    # The zero it starts from is a minimum of the smoothed perceptron's, as it is of the perceptron's.
    assert np.any(by_name.coef_) or name == "smoothed_perceptron"


@pytest.mark.parametrize(
    ("cls", "name", "parameter", "value"),
    [
        (SGDRegressor, "huber", "epsilon", 0.01),
        (SGDRegressor, "pseudo_huber", "epsilon", 0.01),
        (SGDRegressor, "quantile", "quantile", 0.9),
        (SGDRegressor, "expectile", "expectile", 0.9),
        (SGDRegressor, "tweedie", "power", 1.1),
        (SGDRegressor, "cauchy", "scale", 0.1),
        (SGDRegressor, "smoothed_absolute_error", "width", 3.0),
        (SGDClassifier, "smoothed_hinge", "width", 3.0),
        (SGDClassifier, "focal", "gamma", 0.5),
        (SGDClassifier, "log_loss", "pos_weight", 3.0),
    ],
)
def test_parameters_of_losses_are_parameters_of_estimators(cls, name, parameter, value, regression):
    X, y = regression
    y = (y > 0) + 1.0
    settings = {"max_iter": 3, "tol": None, "random_state": 0}
    by_name = cls(name, **settings, **{parameter: value}).fit(X, y)
    by_instance = cls(LOSSES[name](**{parameter: value}), **settings).fit(X, y)
    np.testing.assert_array_equal(by_name.coef_, by_instance.coef_)
    # Classes and instances keep their own.
    own = cls(LOSSES[name], **settings, **{parameter: value}).fit(X, y)
    assert np.any(own.coef_ != by_name.coef_)


def test_loss_instances_are_cloned_and_never_changed(binary):
    X, y = binary
    loss = Focal(gamma=2.0)
    model = SGDClassifier(loss, random_state=0).fit(X, y)
    assert model.loss is loss
    assert loss == Focal(gamma=2.0)
    copy = clone(model)
    assert copy.loss == loss
    assert copy.loss is not loss
    before = model.predict_proba(X)
    loss.set_params(gamma=0.0)  # behind the fitted model's back: it would change the probabilities
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_loss_instances_are_searched(regression):
    search = GridSearchCV(
        SGDRegressor(Huber(epsilon=1.0), random_state=0), {"loss__epsilon": [0.1, 3.0]}, cv=2, error_score="raise"
    ).fit(*regression)
    assert search.best_params_["loss__epsilon"] in (0.1, 3.0)
    assert search.best_estimator_.loss == Huber(epsilon=search.best_params_["loss__epsilon"])
    assert np.ptp(search.cv_results_["mean_test_score"]) > 0


def test_losses_are_searched(binary):
    grid = {"loss": ["hinge", LogLoss, Huber(epsilon=0.5)], "alpha": [1e-4, 1e-2]}
    search = GridSearchCV(SGDClassifier(random_state=0), grid, cv=2, error_score="raise").fit(*binary)
    assert len(search.cv_results_["params"]) == 6


def test_tags_follow_the_loss():
    assert not get_tags(SGDRegressor()).target_tags.positive_only
    assert get_tags(SGDRegressor("poisson")).target_tags.positive_only
    assert get_tags(SGDRegressor(Poisson())).target_tags.positive_only
    assert not get_tags(SGDRegressor("no such loss")).target_tags.positive_only
    for cls in CLASSES:
        assert get_tags(cls()).input_tags.sparse


def test_unknown_names_get_the_nearest(binary, regression):
    for parameter, wrong, right in [
        ("loss", "log", "log_loss"),
        ("loss", "hindge", "hinge"),
        ("loss", "binary_crossentropy", "log_loss"),
        ("penalty", "elastic_net", "elasticnet"),
        ("penalty", "none", None),
        ("learning_rate", "optimum", "optimal"),
    ]:
        with pytest.raises(ValueError, match=rf"{parameter}.*must be.*among.*Did you mean {right!r}\?"):
            SGDClassifier(**{parameter: wrong}).fit(*binary)
    with pytest.raises(ValueError, match=r"mse.*Did you mean 'squared_error'"):
        SGDRegressor("mse").fit(*regression)


@pytest.mark.parametrize("loss", ["hinge", LOSSES["hinge"], LOSSES["hinge"]()])
def test_a_loss_for_labels_in_the_regressor(loss, regression):
    with pytest.raises(ValueError, match=r"'loss' parameter of SGDRegressor.*labels: use SGDClassifier"):
        SGDRegressor(loss).fit(*regression)


@pytest.mark.parametrize("loss", ["poisson", "quantile", Poisson, Quantile()])
def test_a_loss_for_numbers_in_the_classifier(loss, binary):
    with pytest.raises(ValueError, match=r"'loss' parameter of SGDClassifier.*numbers: use SGDRegressor"):
        SGDClassifier(loss).fit(*binary)


def test_losses_of_several_columns_are_refused(regression):
    with pytest.raises(ValueError, match=r"Huber\(epsilon=.*2 losses"):
        SGDRegressor(Huber(epsilon=[0.1, 0.9])).fit(*regression)


def test_what_is_no_loss_is_refused(regression):
    for loss in (3, None, dict, type("Almost", (), dict.fromkeys(("value", "gradient", "hessian"), len))()):
        with pytest.raises((ValueError, TypeError), match="loss"):
            SGDRegressor(loss).fit(*regression)


def test_html_representation_has_every_parameter():
    html = SGDClassifier(loss=Huber(epsilon=2.0))._repr_html_()
    assert "batch_size" in html
    assert "generated/sklosses" not in html  # scikit-learn has no page on this class
    assert "epsilon=2.0" in html

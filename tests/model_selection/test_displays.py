"""`SearchDisplay` and `PathDisplay`: scikit-learn's conventions, and lines that are true."""

import subprocess
import sys
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
import sklearn.model_selection
from matplotlib.text import Text
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge, lasso_path
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklosses import SGDClassifier, SGDClassifierCV, SGDRegressor, SGDRegressorCV
from sklosses.model_selection import GridSearchCV, PathDisplay, SearchDisplay

matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

ALPHAS = [0.001, 0.01, 0.1, 1.0]
LOSSES = ["hinge", "log_loss"]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module", params=[sklearn.model_selection.GridSearchCV, GridSearchCV], ids=["theirs", "ours"])
def search(request, iris):
    pipe = make_pipeline(StandardScaler(), SGDClassifier())
    grid = {"sgdclassifier__loss": LOSSES, "sgdclassifier__alpha": ALPHAS, "standardscaler__with_mean": [True, False]}
    return request.param(pipe, grid, cv=3, return_train_score=True).fit(*iris)


@pytest.fixture(scope="module")
def path(iris):
    return SGDClassifierCV("log_loss", penalty="elasticnet", l1_ratio=[0.5, 1.0], alphas=8, cv=2).fit(*iris)


def scores(search, which="test", **chosen):
    """Scores of shape (n_alphas, n_splits) of the candidates with these parameters."""
    results = search.cv_results_
    places = [k for k, params in enumerate(results["params"])
              if all(params[name] == value for name, value in chosen.items())]
    return np.array([[results[f"split{i}_{which}_score"][k] for i in range(search.n_splits_)] for k in places])


def test_matplotlib_is_imported_when_plotting():
    code = "import sys, sklosses.model_selection; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- searches ---------------------------------------------------------------------------------------------------------


def test_conventions(search):
    display = SearchDisplay.from_search(search)
    assert isinstance(display, SearchDisplay)
    assert display.figure_ is display.ax_.figure
    assert len(display.lines_) == len(display.fill_between_) == 4
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_xlabel() == "sgdclassifier__alpha"
    assert display.ax_.get_ylabel() == "Score"
    _, ax = plt.subplots()
    assert display.plot(ax, line_kwargs={"linewidth": 5.0}, std_display_style=None, legend=False) is display
    assert display.ax_ is ax
    assert display.fill_between_ is None
    assert display.lines_[0].get_linewidth() == 5.0
    assert ax.get_legend() is None


def test_lines_are_the_scores(search):
    display = SearchDisplay.from_search(search, score_type="both")
    labels = [f"{loss}, with_mean={mean}" for loss in LOSSES for mean in (True, False)]
    assert list(display.curves) == labels
    assert [line.get_label() for line in display.lines_] == [
        *(f"{label} test" for label in labels), *(f"{label} train" for label in labels)]
    for place, which in ((0, "test"), (4, "train")):
        expected = scores(search, which, sgdclassifier__loss="hinge", standardscaler__with_mean=True)
        x, height = display.lines_[place].get_data()
        np.testing.assert_array_equal(x, ALPHAS)
        np.testing.assert_allclose(height, expected.mean(axis=1))
        edge = display.fill_between_[place].get_paths()[0].vertices
        np.testing.assert_allclose(edge[:, 1].max(), (expected.mean(axis=1) + expected.std(axis=1)).max())
        np.testing.assert_allclose(edge[:, 1].min(), (expected.mean(axis=1) - expected.std(axis=1)).min())


def test_the_best_of_what_is_not_told_apart(search):
    display = SearchDisplay.from_search(search, param_name="alpha", hue="loss")
    assert list(display.curves) == LOSSES
    for line, loss in zip(display.lines_, LOSSES, strict=True):
        both = [scores(search, sgdclassifier__loss=loss, standardscaler__with_mean=mean).mean(axis=1)
                for mean in (True, False)]
        np.testing.assert_allclose(line.get_ydata(), np.max(both, axis=0))
    (only,) = SearchDisplay.from_search(search, hue=[]).lines_
    assert only.get_ydata().max() == pytest.approx(search.best_score_)


def test_the_best_is_marked(search):
    display = SearchDisplay.from_search(search)
    x, y = (float(data[0]) for data in display.best_.get_data())
    assert x == search.best_params_["sgdclassifier__alpha"]
    assert y == pytest.approx(search.best_score_)
    assert SearchDisplay.from_search(search, score_type="train").best_ is None


def test_errors_upside_up(iris):
    X, y = iris
    search = GridSearchCV(Ridge(), {"alpha": [1, 2, 3]}, scoring="neg_mean_squared_error", cv=2).fit(X, y)
    display = SearchDisplay.from_search(search, negate_score=True)
    np.testing.assert_allclose(display.lines_[0].get_ydata(), -search.cv_results_["mean_test_score"])
    assert display.ax_.get_ylabel() == "Mean squared error"
    assert display.ax_.get_xscale() == "linear"
    assert SearchDisplay.from_search(search).ax_.get_ylabel() == "Negative mean squared error"
    assert SearchDisplay.from_search(search, score_name="worth").ax_.get_ylabel() == "worth"


def test_several_metrics(iris):
    metrics = ["accuracy", "f1_macro"]
    search = GridSearchCV(SGDClassifier(), {"alpha": ALPHAS}, scoring=metrics, refit="f1_macro", cv=3).fit(*iris)
    display = SearchDisplay.from_search(search)
    assert display.ax_.get_ylabel() == "F1 macro"
    assert display.best[1] == pytest.approx(search.best_score_)
    other = SearchDisplay.from_search(search, metric="accuracy")
    np.testing.assert_allclose(other.lines_[0].get_ydata(), search.cv_results_["mean_test_accuracy"])
    assert other.best[1] == search.cv_results_["mean_test_accuracy"].max()
    with pytest.raises(ValueError, match="'accuracy', 'f1_macro'"):
        SearchDisplay.from_search(search, metric="r2")


def test_candidates_without_the_parameter_or_a_score(iris):
    X, y = iris
    grid = [{"kernel": ["rbf"], "C": [0.1, 1.0, 1e4], "gamma": [0.1, 1.0]}, {"kernel": ["linear"], "C": [1.0, 10.0]}]
    display = SearchDisplay.from_search(GridSearchCV(SVC(), grid, cv=2).fit(X, y))
    assert display.param_name == "C"
    assert {label: list(curve["values"]) for label, curve in display.curves.items()} == {
        "rbf, gamma=0.1": [0.1, 1.0, 1e4], "rbf, gamma=1": [0.1, 1.0, 1e4], "linear": [1.0, 10.0]}
    gamma = SearchDisplay.from_search(GridSearchCV(SVC(), grid, cv=2).fit(X, y), param_name="gamma", hue=[])
    assert list(gamma.lines_[0].get_xdata()) == [0.1, 1.0]
    with pytest.warns(sklearn.exceptions.FitFailedWarning):
        failing = GridSearchCV(SGDClassifier(), {"alpha": [-1.0, 0.1, 1.0]}, cv=2, refit=False).fit(X, y)
    assert list(SearchDisplay.from_search(failing).lines_[0].get_xdata()) == [0.1, 1.0]


def test_folds_that_nothing_could_be_fitted_to(iris):
    X, y = iris
    one_class, all_classes = (np.arange(50), np.arange(50, 150)), (np.arange(0, 150, 2), np.arange(1, 150, 2))
    with pytest.warns(sklearn.exceptions.FitFailedWarning):
        path = SGDClassifierCV(alphas=ALPHAS, cv=[one_class, all_classes]).fit(X, y)
    display = SearchDisplay.from_search(path)
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), path.scores_[1, 0, ::-1])


def test_a_zero_among_the_values(iris):
    search = GridSearchCV(SGDRegressor(), {"alpha": [0.0, *ALPHAS]}, cv=2).fit(*iris)
    assert SearchDisplay.from_search(search).ax_.get_xscale() == "symlog"


def test_random_searches(iris):
    rng = np.random.RandomState(0)
    space = {"alpha": rng.uniform(1e-4, 1, 100).tolist(), "l1_ratio": rng.uniform(size=100).tolist(),
             "loss": LOSSES}
    search = sklearn.model_selection.RandomizedSearchCV(SGDClassifier(penalty="elasticnet"), space, n_iter=8, cv=2,
                                                        random_state=0).fit(*iris)
    display = SearchDisplay.from_search(search, param_name="alpha")
    assert set(display.curves) == set(LOSSES)
    assert sum(len(curve["values"]) for curve in display.curves.values()) == 8


def test_scores_of_a_path(path):
    display = SearchDisplay.from_search(path)
    assert list(display.curves) == ["l1_ratio=0.5", "l1_ratio=1"]
    for i, curve in enumerate(display.curves.values()):
        np.testing.assert_array_equal(curve["values"], path.alphas_[i][::-1])
        np.testing.assert_array_equal(curve["test"], path.scores_[:, i, ::-1].T)
    assert display.best[0] == path.alpha_


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"param_name": "beta"}, "must name one of the parameters"),
        ({"param_name": "loss"}, "whose values are numbers; got 'hinge'"),
        ({"hue": "alpha"}, "hue='alpha' must name"),
        ({"score_type": "validation"}, "score_type"),
        ({"std_display_style": "errorbar"}, "std_display_style"),
    ],
)
def test_bad_arguments_of_searches(given, message, search):
    with pytest.raises(ValueError, match=message):
        SearchDisplay.from_search(search, **given)


def test_searches_that_cannot_be_drawn(iris):
    with pytest.raises(NotFittedError):
        SearchDisplay.from_search(GridSearchCV(SGDClassifier(), {"alpha": ALPHAS}))
    with pytest.raises(ValueError, match="cv_results_"):
        SearchDisplay.from_search(SGDClassifier().fit(*iris))
    only_losses = GridSearchCV(SGDClassifier(), {"loss": LOSSES}, cv=2).fit(*iris)
    with pytest.raises(ValueError, match="there is no axis"):
        SearchDisplay.from_search(only_losses)
    with pytest.raises(ValueError, match="return_train_score"):
        SearchDisplay.from_search(GridSearchCV(Ridge(), {"alpha": ALPHAS}, cv=2).fit(*iris), score_type="both")


# -- paths ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lasso():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    alphas, coefs, _ = lasso_path(X - X.mean(), y - y.mean(), alphas=30)
    return alphas, coefs, list(X.columns)


def test_conventions_of_paths(lasso):
    alphas, coefs, names = lasso
    display = PathDisplay.from_path(alphas[::-1], coefs[:, ::-1], feature_names=names, alpha=alphas[10])
    assert isinstance(display, PathDisplay)
    assert display.figure_ is display.ax_.figure
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_xlim() == (alphas[0], alphas[-1])     # the strongest first
    for line, path in zip(display.lines_, coefs, strict=True):
        np.testing.assert_array_equal(line.get_data(), [alphas, path])
    assert display.alpha_line_.get_xdata()[0] == alphas[10]
    _, ax = plt.subplots()
    assert display.plot(ax, line_kwargs={"linewidth": 3.0}, alpha_kwargs={"color": "red"}) is display
    assert display.ax_ is ax
    assert {line.get_linewidth() for line in display.lines_} == {3.0}
    assert display.alpha_line_.get_color() == "red"


def test_the_largest_are_labelled(lasso):
    alphas, coefs, names = lasso
    for alpha, at in ((None, -1), (alphas[10], 10)):
        display = PathDisplay.from_path(alphas, coefs, feature_names=names, alpha=alpha, n_labels=3)
        largest = {names[j] for j in np.argsort(-np.abs(coefs[:, at]))[:3]}
        assert {text.get_text() for text in display.labels_} == largest
    many = PathDisplay.from_path(alphas, coefs, n_labels=100, alpha=alphas[3])
    assert {text.get_text() for text in many.labels_} == {f"x{j}" for j in np.flatnonzero(coefs[:, 3])}
    assert PathDisplay.from_path(alphas, coefs, n_labels=0).labels_ == []


def test_labels_do_not_meet(lasso):
    alphas, coefs, _ = lasso
    display = PathDisplay.from_path(alphas, np.vstack([coefs, coefs + 1e-3]), n_labels=12)
    display.figure_.canvas.draw()
    boxes = sorted((Text.get_window_extent(text) for text in display.labels_), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))


def test_what_is_not_zero_is_counted(lasso):
    alphas, coefs, _ = lasso
    display = PathDisplay.from_path(alphas, coefs)
    (top,) = display.ax_.child_axes
    counts = dict(zip(top.get_xticks(), (label.get_text() for label in top.get_xticklabels()), strict=True))
    assert counts[alphas[0]] == "0"
    assert counts[alphas[-1]] == str(np.count_nonzero(coefs[:, -1]))
    assert not PathDisplay.from_path(alphas, coefs + 1.0).ax_.child_axes


def test_scaled_coefficients(lasso):
    alphas, coefs, _ = lasso
    factors = np.arange(1.0, 11.0)
    display = PathDisplay.from_path(alphas, coefs, scale=factors)
    np.testing.assert_array_equal(display.coefs, coefs * factors[:, np.newaxis])


def test_paths_of_estimators(path, iris):
    display = PathDisplay.from_estimator(path, class_label=1)
    place = list(path.l1_ratios_).index(path.l1_ratio_)
    np.testing.assert_array_equal(display.coefs, path.coef_path_[place, :, 1].T)
    assert display.alpha == path.alpha_
    other = PathDisplay.from_estimator(path, class_label=0, l1_ratio=float(path.l1_ratios_[1 - place]))
    assert other.alpha is None
    np.testing.assert_array_equal(other.coefs, path.coef_path_[1 - place, :, 0].T)
    X = sklearn.datasets.load_iris(as_frame=True).data
    regressor = SGDRegressorCV(penalty="l1", alphas=5, cv=2).fit(X, iris[1])
    display = PathDisplay.from_estimator(regressor)
    np.testing.assert_array_equal(display.coefs, regressor.coef_path_[0].T)
    assert display.feature_names == list(X.columns)


@pytest.mark.parametrize("settings", [{}, {"loss": "quantile", "quantile": [0.2, 0.8]}], ids=["outputs", "quantiles"])
def test_paths_of_outputs_and_quantiles(settings, iris):
    X, y = iris
    model = SGDRegressorCV(alphas=4, cv=2, **settings).fit(X, y * 1.0 if settings else np.column_stack([y, X[:, 0]]))
    for output in range(2):
        display = PathDisplay.from_estimator(model, output=output)
        np.testing.assert_array_equal(display.coefs, model.coef_path_[0, :, output].T)
    with pytest.raises(ValueError, match=r"output=None must be one of the outputs \[0, 1\]"):
        PathDisplay.from_estimator(model)
    with pytest.raises(ValueError, match="has several outputs; output names one"):
        PathDisplay.from_estimator(model, class_label=1)


def test_strengths_without_a_model_are_left_out(iris):
    model = SGDRegressorCV(alphas=4, cv=2).fit(*iris)
    model.coef_path_ = model.coef_path_.copy()      # as a callback that asked to stop leaves it
    model.coef_path_[0, 2] = np.nan
    display = PathDisplay.from_estimator(model)
    np.testing.assert_array_equal(display.alphas, np.delete(model.alphas_, 2))


def test_bad_input_of_paths(lasso, path, iris):
    alphas, coefs, names = lasso
    for given, message in [
        ((alphas, coefs.T), r"shape \(n_features, 30\)"),
        ((-alphas, coefs), "alphas must be"),
        ((alphas, coefs * np.nan), "finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            PathDisplay.from_path(*given)
    with pytest.raises(ValueError, match="feature_names must have a value for each of the 10"):
        PathDisplay.from_path(alphas, coefs, feature_names=names[:-1])
    with pytest.raises(ValueError, match="scale must have"):
        PathDisplay.from_path(alphas, coefs, scale=[1.0])
    with pytest.raises(ValueError, match=r"must be one of the classes \[0, 1, 2\]"):
        PathDisplay.from_estimator(path)
    with pytest.raises(ValueError, match=r"l1_ratio=0.3 must be one of \[0.5, 1.0\]"):
        PathDisplay.from_estimator(path, l1_ratio=0.3)
    with pytest.raises(ValueError, match="refit=True"):
        PathDisplay.from_estimator(SGDRegressorCV(alphas=2, cv=2, refit=False).fit(*iris))
    regressor = SGDRegressorCV(alphas=2, cv=2).fit(*iris)
    with pytest.raises(ValueError, match="one set of coefficients"):
        PathDisplay.from_estimator(regressor, class_label=1)
    with pytest.raises(NotFittedError):
        PathDisplay.from_estimator(SGDRegressorCV())

"""Metadata routing, data frames, and life inside scikit-learn's meta-estimators."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.metadata_routing import get_routing_for_object

from sklosses import SGDClassifier, SGDOneClassSVM, SGDRegressor

SOME = {"max_iter": 5, "tol": None, "random_state": 0}
FIT = {"coef_init", "intercept_init", "sample_weight", "offset"}
VALIDATION = {"X_val", "y_val", "sample_weight_val", "offset_val"}


def requested(cls, method):
    return set(getattr(get_routing_for_object(cls()), method).requests)


def test_what_can_be_requested():
    for cls in (SGDClassifier, SGDRegressor):
        assert requested(cls, "fit") == FIT | VALIDATION
        assert requested(cls, "partial_fit") == {"sample_weight", "offset"} | (
            {"classes"} if cls is SGDClassifier else set()
        )
        assert requested(cls, "predict") == {"offset"}
        assert requested(cls, "score") == {"sample_weight", "offset"}
    for method in ("decision_function", "predict_proba", "predict_log_proba"):
        assert requested(SGDClassifier, method) == {"offset"}
    assert requested(SGDOneClassSVM, "fit") == {"coef_init", "offset_init", "sample_weight"}


def test_offset_and_weights_through_a_pipeline(counts):
    X, y = counts
    offset, weight = np.linspace(-0.5, 0.5, len(y)), np.linspace(0.5, 2, len(y))
    with config_context(enable_metadata_routing=True):
        model = SGDRegressor("poisson", **SOME).set_fit_request(offset=True, sample_weight=True)
        model.set_score_request(offset=True, sample_weight=True).set_predict_request(offset=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipe = make_pipeline(scaler, model).fit(X, y, offset=offset, sample_weight=weight)
        scaled = StandardScaler().fit_transform(X)
        alone = SGDRegressor("poisson", **SOME).fit(scaled, y, offset=offset, sample_weight=weight)
        np.testing.assert_array_equal(pipe[-1].coef_, alone.coef_)
        np.testing.assert_array_equal(pipe.predict(X, offset=offset), alone.predict(scaled, offset=offset))
        expected = alone.score(scaled, y, sample_weight=weight, offset=offset)
        assert pipe.score(X, y, sample_weight=weight, offset=offset) == expected


def test_validation_set_through_a_pipeline(regression):
    X, y = regression
    with config_context(enable_metadata_routing=True):
        model = SGDRegressor(early_stopping=True, **SOME).set_fit_request(X_val=True, y_val=True)
        pipe = make_pipeline(StandardScaler(), model, transform_input=["X_val"])
        pipe.fit(X[:150], y[:150], X_val=X[150:], y_val=y[150:])
        assert pipe[-1].history_["validation_score"].max() == pytest.approx(pipe.score(X[150:], y[150:]), rel=1e-12)


def test_offset_through_a_search(counts):
    X, y = counts
    offset = np.linspace(-0.5, 0.5, len(y))
    with config_context(enable_metadata_routing=True):
        model = SGDRegressor("poisson", **SOME).set_fit_request(offset=True).set_score_request(offset=True)
        search = GridSearchCV(model, {"alpha": [1e-4, 1e-1]}, cv=3, error_score="raise").fit(X, y, offset=offset)
        alone = SGDRegressor("poisson", alpha=search.best_params_["alpha"], **SOME).fit(X, y, offset=offset)
        np.testing.assert_array_equal(search.best_estimator_.coef_, alone.coef_)
        scores = cross_validate(model, X, y, params={"offset": offset}, error_score="raise")["test_score"]
        assert np.all(np.isfinite(scores))


def test_routing_is_explicit(counts):
    X, y = counts
    with config_context(enable_metadata_routing=True), pytest.raises(ValueError, match="offset"):
        GridSearchCV(SGDRegressor("poisson", **SOME), {"alpha": [1e-4]}, cv=2).fit(X, y, offset=np.zeros(len(y)))


def test_in_meta_estimators(binary, multiclass, regression):
    X, y = binary
    assert CalibratedClassifierCV(SGDClassifier(**SOME), cv=2).fit(X, y).predict_proba(X).shape == (200, 2)
    assert BaggingClassifier(SGDClassifier(**SOME), n_estimators=3, random_state=0).fit(X, y).score(X, y) > 0.7
    assert cross_val_score(SGDClassifier("log_loss", **SOME), *multiclass, cv=3, scoring="neg_log_loss").max() < 0
    X, y = regression
    assert MultiOutputRegressor(SGDRegressor(**SOME)).fit(X, np.c_[y, -y]).predict(X).shape == (200, 2)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("cls", [SGDClassifier, SGDRegressor, SGDOneClassSVM])
def test_data_frames(cls, library, binary, regression):
    frames = pytest.importorskip(library)
    X, y = binary if cls is SGDClassifier else regression
    X = X + 2 if cls is SGDOneClassSVM else X       # round the origin its coefficients are 0, to rounding
    frame = frames.DataFrame({f"column {j}": X[:, j] for j in range(5)})
    series = frames.Series("target", y) if library == "polars" else frames.Series(y, name="target")
    model = cls(**SOME).fit(frame, series)
    assert model.feature_names_in_.tolist() == frame.columns if library == "polars" else list(frame.columns)
    np.testing.assert_allclose(model.coef_, cls(**SOME).fit(X, y).coef_, rtol=1e-12)
    expected = cls(**SOME).fit(X, y).predict(X)
    if cls is SGDRegressor:
        np.testing.assert_allclose(model.predict(frame), expected, rtol=1e-10)
    else:
        np.testing.assert_array_equal(model.predict(frame), expected)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[[*frame.columns][::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    model.partial_fit(frame, series)
    model.fit(X, y)
    assert not hasattr(model, "feature_names_in_")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_of_offsets_weights_and_validation_rows(library, regression, recwarn):
    frames = pytest.importorskip(library)
    X, y = regression
    frame = frames.DataFrame({f"x{j}": X[:, j] for j in range(5)})

    def series(values):
        return frames.Series(values=values) if library == "polars" else frames.Series(values)

    model = SGDRegressor(early_stopping=True, **SOME)
    model.fit(
        frame,
        series(y),
        sample_weight=series(np.ones(200)),
        offset=series(np.zeros(200)),
        X_val=frame,
        y_val=series(y),
        sample_weight_val=series(np.ones(200)),
        offset_val=series(np.zeros(200)),
    )
    arrays = SGDRegressor(early_stopping=True, **SOME).fit(X, y, X_val=X, y_val=y)
    np.testing.assert_allclose(model.coef_, arrays.coef_, rtol=1e-12)
    np.testing.assert_allclose(model.history_["validation_score"], arrays.history_["validation_score"], rtol=1e-12)
    SGDRegressor(early_stopping=True, **SOME).fit(frame, series(y))
    assert not [warning for warning in recwarn if "feature names" in str(warning.message)]
    with pytest.raises(ValueError, match=r"(?s)X_val.*feature names"):
        model.fit(frame, series(y), X_val=frame[[*frame.columns][::-1]], y_val=series(y))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_labels_in_series(library, binary):
    frames = pytest.importorskip(library)
    X, y = binary
    kinds = {
        "pandas": ["str", "object", "category"],
        "polars": [getattr(frames, name, None) for name in ("String", "Categorical")],
    }[library]
    for kind in kinds:
        series = frames.Series("y", y.tolist(), dtype=kind) if library == "polars" else frames.Series(y, dtype=kind)
        model = SGDClassifier(**SOME).fit(X, series)
        assert model.classes_.tolist() == ["no", "yes"]
        assert model.score(X, series) == model.score(X, y)
    booleans = frames.Series("y", (y == "yes").tolist()) if library == "polars" else frames.Series(y == "yes")
    np.testing.assert_array_equal(SGDClassifier(**SOME).fit(X, booleans).coef_, model.coef_)


def test_a_mixed_table(binary):
    pd = pytest.importorskip("pandas")
    X, y = binary
    frame = pd.DataFrame({"number": X[:, 0], "word": np.where(X[:, 1] > 0, "left", "right")})
    prepare = ColumnTransformer([("number", StandardScaler(), ["number"]), ("word", OneHotEncoder(), ["word"])])
    for sparse_output in (True, False):
        prepare.set_params(word__sparse_output=sparse_output)
        assert make_pipeline(prepare, SGDClassifier(**SOME)).fit(frame, y).score(frame, y) > 0.5

"""scikit-learn's callbacks on `fit`."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from oracle.classic import SGDClassifier, SGDOneClassSVM, SGDRegressor
from sklosses import SGDClassifier as AutoClassifier

CLASSES = [SGDClassifier, SGDRegressor, SGDOneClassSVM]


class Recorder:
    """Keeps what it is called with; asks to stop after `stop_after` epochs; raises in epoch `raise_in`."""

    def __init__(self, stop_after=None, raise_in=None):
        self.stop_after, self.raise_in = stop_after, raise_in
        self.begun, self.ended, self.log = [], [], []

    def setup(self, estimator, context):
        self.log.append("setup")

    def teardown(self, estimator, context):
        self.log.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.log.append(f"begin {context.task_name}")
        if context.task_name == "epoch":
            self.begun.append((X, y, metadata, fitted_estimator))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.log.append(f"end {context.task_name}")
        if context.task_name != "epoch":
            return False
        self.ended.append((X, y, metadata, fitted_estimator))
        if self.raise_in == context.task_id:
            raise RuntimeError("from a callback")
        return self.stop_after == context.task_id + 1


def labels(y):
    return np.where(y > 0, "up", "down")


@pytest.mark.parametrize("cls", CLASSES)
def test_hooks_surround_the_fit_and_every_epoch(cls, regression):
    X, y = regression
    recorder = Recorder()
    model = cls(max_iter=3, tol=None).set_callbacks(recorder).fit(X, labels(y) if cls is SGDClassifier else y)
    epochs = ["begin epoch", "end epoch"] * model.n_iter_
    assert recorder.log == ["setup", "begin fit", *epochs, "end fit", "teardown"]
    assert not any("callback_fit" in name for name in vars(model))


@pytest.mark.parametrize("cls", CLASSES)
def test_a_request_to_stop_is_honoured(cls, regression):
    X, y = regression
    y = labels(y) if cls is SGDClassifier else y
    settings = {"tol": None, "random_state": 0}
    model = cls(max_iter=10, **settings).set_callbacks(Recorder(stop_after=2)).fit(X, y)
    assert model.n_iter_ == 2
    assert all(len(values) == 2 for values in model.history_.values())
    np.testing.assert_array_equal(model.coef_, cls(max_iter=2, **settings).fit(X, y).coef_)


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_passes_carry_objective_and_gap(loss, multiclass):
    """What a callback is given says how far the fit has come: as `history_` does."""
    X, y = multiclass
    for targets in (y, y == y[0]):
        recorder = Recorder()
        model = AutoClassifier(loss=loss, tol=1e-6, random_state=0).set_callbacks(recorder).fit(X, targets)
        for name in ("objective", "gap"):
            seen = [getattr(fitted, f"{name}_") for *_, fitted in recorder.ended]
            np.testing.assert_array_equal(seen, model.history_[name])
        stopped = clone(model).set_callbacks(Recorder(stop_after=2)).fit(X, targets)
        assert np.all(stopped.objective_ >= model.objective_ * (1 - 1e-6))
    recorder = Recorder()
    SGDClassifier(loss=loss, max_iter=3, tol=None).set_callbacks(recorder).fit(X, y == y[0])
    assert all(np.isnan(fitted.gap_) and fitted.objective_ > 0 for *_, fitted in recorder.ended)


def test_a_request_to_stop_beside_early_stopping(regression):
    model = SGDRegressor(early_stopping=True, random_state=0).set_callbacks(Recorder(stop_after=2)).fit(*regression)
    assert model.n_iter_ == len(model.history_["validation_score"]) == 2


@pytest.mark.parametrize(
    "model",
    [
        SGDClassifier("log_loss"),
        SGDClassifier(average=True),
        SGDRegressor("poisson"),
        SGDRegressor(average=300),
        SGDOneClassSVM(),
    ],
    ids=repr,
)
def test_estimators_are_rebuilt_from_reconstruction_attributes(model, counts):
    """What a callback is given predicts as the model would, had it stopped there; as does a bare clone with it."""
    X, y = counts
    y = np.where(y > 1, "many", "few") if isinstance(model, SGDClassifier) else y
    model.set_params(max_iter=3, tol=None, random_state=0)
    recorder, seen = Recorder(), []

    class Attributes(Recorder):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            if context.task_name == "epoch":
                bare = clone(estimator)
                vars(bare).update({k: v for k, v in vars(fitted_estimator).items() if k.endswith("_") or k == "_loss"})
                seen.append(bare)

    clone(model).set_callbacks(recorder, Attributes()).fit(X, y)
    method = "predict_proba" if hasattr(model, "predict_proba") else "predict"
    for epoch, (*_, fitted) in enumerate(recorder.ended, 1):
        alone = clone(model).set_params(max_iter=epoch).fit(X, y)
        np.testing.assert_array_equal(getattr(fitted, method)(X), getattr(alone, method)(X))
        np.testing.assert_array_equal(getattr(seen[epoch - 1], method)(X), getattr(alone, method)(X))
        assert fitted.n_iter_ == epoch
        if epoch < 3:  # the next epoch begins where this one ended
            np.testing.assert_array_equal(recorder.begun[epoch][3].coef_, fitted.coef_)
    assert not np.any(recorder.begun[0][3].coef_)


def test_callbacks_see_the_callers_rows(binary):
    X, y = binary
    weight, recorder = np.ones(len(y)), Recorder()
    SGDClassifier(max_iter=1, tol=None).set_callbacks(recorder).fit(X, y, sample_weight=weight)
    seen_X, seen_y, metadata, _ = recorder.ended[0]
    assert seen_X is X
    assert seen_y is y
    assert metadata.keys() == {"sample_weight"}
    assert metadata["sample_weight"] is weight


def test_callbacks_see_the_rows_trained_on(counts):
    X, y = counts
    offset, recorder = np.arange(300.0) / 300, Recorder()
    model = SGDRegressor("poisson", early_stopping=True, max_iter=2, tol=None, random_state=0)
    model.set_callbacks(recorder).fit(X, y, offset=offset)
    seen_X, seen_y, metadata, _ = recorder.ended[0]
    assert len(seen_X) == len(seen_y) == 270
    positions = [int(np.flatnonzero((row == X).all(axis=1))[0]) for row in seen_X]
    np.testing.assert_array_equal(seen_y, y[positions])
    np.testing.assert_array_equal(metadata["offset"], offset[positions])


def test_scoring_monitor(binary):
    X, y = binary
    for scoring in ("accuracy", ["accuracy", "roc_auc"]):
        monitor = ScoringMonitor(scoring=scoring)
        model = SGDClassifier(max_iter=3, tol=None, random_state=0).set_callbacks(monitor).fit(X, y)
        log = [entry for entry in monitor.get_logs().data if entry["task_name"] == "epoch"]
        assert len(log) == 3
        assert log[-1]["accuracy"] == model.score(X, y)


def test_scoring_monitor_with_feature_names(binary, recwarn):
    pd = pytest.importorskip("pandas")
    X, y = binary
    frame = pd.DataFrame(X, columns=list("abcde"))
    monitor = ScoringMonitor(scoring="accuracy")
    SGDClassifier(max_iter=3, tol=None, early_stopping=True).set_callbacks(monitor).fit(frame, pd.Series(y))
    assert not [warning for warning in recwarn if "feature names" in str(warning.message)]


def test_progress_bar(regression, capsys):
    pytest.importorskip("rich")
    model = SGDRegressor(max_iter=3, tol=None).set_callbacks(ProgressBar()).fit(*regression)
    assert model.n_iter_ == 3
    assert "SGDRegressor - fit" in capsys.readouterr().out


def test_callbacks_reach_through_meta_estimators(binary):
    pytest.importorskip("rich")

    class Propagated(Recorder):
        max_propagation_depth = None

    recorder = Propagated()
    pipe = make_pipeline(StandardScaler(), SGDClassifier(max_iter=2, tol=None))
    pipe.set_callbacks(recorder).fit(*binary)
    assert recorder.log.count("end epoch") == 2
    assert recorder.log.count("setup") == 1
    search = GridSearchCV(SGDClassifier(max_iter=2, tol=None), {"alpha": [1e-3, 1e-2]}, cv=2)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(*binary)
    assert search.best_estimator_.n_iter_ == 2


def test_a_raising_callback_is_torn_down_and_changes_nothing(regression):
    X, y = regression
    model = SGDRegressor(max_iter=3, tol=None, random_state=0).fit(X, y)
    before = dict(vars(model))
    recorder = Recorder(raise_in=1)
    with pytest.raises(RuntimeError, match="from a callback"):
        model.set_callbacks(recorder).fit(X[:50], y[:50])
    assert recorder.log[-1] == "teardown"
    model.set_callbacks()
    assert vars(model) == before


def test_callbacks_do_not_change_the_fit(multiclass):
    X, y = multiclass
    plain = SGDClassifier(random_state=0).fit(X, y)
    watched = SGDClassifier(random_state=0).set_callbacks(Recorder()).fit(X, y)
    np.testing.assert_array_equal(watched.coef_, plain.coef_)
    assert watched.n_iter_ == plain.n_iter_

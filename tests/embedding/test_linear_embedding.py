"""LinearEmbedding: what it trains, how it stops, and what it says to bad input."""

import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklosses import LinearEmbedding
from sklosses.losses import NCA, SupCon, Triplet, get_loss, loss_names

LOSSES = loss_names("embedding")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600], y[:600], X[600:1200], y[600:1200]


def accuracy(embedding, table):
    X, y, X_test, y_test = table
    return KNeighborsClassifier().fit(embedding.transform(X), y).score(embedding.transform(X_test), y_test)


@pytest.mark.parametrize("batch_size", ["auto", 128, 600])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_helps_neighbours(loss, batch_size, digits):
    X, y, *_ = digits
    embedding = LinearEmbedding(loss, 6, batch_size=batch_size, max_iter=20, random_state=0).fit(X, y)
    whole = batch_size == 600 or (batch_size == "auto" and loss in ("nca", "supcon", "center"))
    assert embedding.solver_ == ("lbfgs" if whole else "schedule_free")
    assert embedding.components_.shape == (6, 64)
    if loss in ("nca", "supcon", "center"):      # the others are given harder pairs as they learn
        assert embedding.history_["objective"][-1] < embedding.history_["objective"][0]
    assert len(embedding.history_["objective"]) == len(embedding.history_["seconds"]) == embedding.n_iter_
    scaled = make_pipeline(StandardScaler(), PCA(6, random_state=0)).fit(X)
    # Pairs drawn once in ten iterations, as L-BFGS has them, are worth less: not what "auto" does.
    assert accuracy(embedding, digits) > accuracy(scaled, digits) - 0.03 * (batch_size == 600)


@pytest.mark.parametrize("sampling", ["all", "random", "semi-hard", "hard"])
@pytest.mark.parametrize("loss", ["contrastive", "cosine", "triplet"])
@pytest.mark.parametrize("n_neighbors", [None, 2])
def test_sampling(loss, sampling, n_neighbors, digits):
    X, y, *_ = digits
    embedding = LinearEmbedding(loss, 6, sampling=sampling, n_neighbors=n_neighbors, max_iter=5, random_state=0)
    embedding.fit(X[:300], y[:300])
    assert np.isfinite(embedding.components_).all()
    assert accuracy(embedding, digits) > 0.5


def test_loss_by_name_class_and_instance(digits):
    X, y, *_ = digits
    fitted = [LinearEmbedding(loss, 3, max_iter=3, random_state=0).fit(X, y) for loss in ("supcon", SupCon, SupCon())]
    for embedding in fitted[1:]:
        np.testing.assert_array_equal(embedding.components_, fitted[0].components_)
    given = Triplet(margin=2.0)
    embedding = LinearEmbedding(given, 3, max_iter=3).fit(X, y)
    assert embedding.loss_ == given
    assert embedding.loss_ is not given
    assert clone(embedding).get_params()["loss__margin"] == 2.0


@pytest.mark.parametrize("loss", LOSSES)
def test_sparse_is_dense_without_centering(loss, digits):
    """Where columns have mean 0 the two are the same problem."""
    X, y, *_ = digits
    X = np.vstack([X[:150], -X[:150]])
    y = np.tile(y[:150], 2)
    settings = {"n_components": 4, "max_iter": 4, "random_state": 0, "init": np.eye(4, 64), "n_neighbors": None,
                "sampling": "random"}
    dense = LinearEmbedding(loss, **settings).fit(X, y)
    for kind in (sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix):
        csr = LinearEmbedding(loss, **settings).fit(kind(X), y)
        np.testing.assert_allclose(csr.components_, dense.components_, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(csr.transform(kind(X)), dense.transform(X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", ["auto", 64])
def test_without_labels(batch_size, digits):
    X, *_ = digits
    embedding = LinearEmbedding("nt_xent", 9, noise=0.3, batch_size=batch_size, random_state=0).fit(X)
    random = LinearEmbedding("nt_xent", 9, init="random", batch_size=batch_size, random_state=0).fit(X)
    assert random.history_["objective"].min() < random.history_["objective"][0] - 0.01
    assert accuracy(embedding, digits) > 0.8
    csr = LinearEmbedding("nt_xent", 9, batch_size=batch_size, random_state=0).fit(sparse.csr_matrix(X))
    assert accuracy(csr, digits) > 0.8
    assert embedding.fit_transform(X).shape == (600, 9)
    with pytest.raises(ValueError, match="requires y to be passed"):
        LinearEmbedding("supcon").fit(X)


def test_units_do_not_matter(digits):
    X, y, *_ = digits
    units = 10.0 ** np.random.default_rng(0).integers(-6, 7, size=64)
    shift = np.random.default_rng(1).normal(size=64)
    for batch_size in ("auto", 128):
        plain = LinearEmbedding(n_components=4, batch_size=batch_size, max_iter=5, random_state=0).fit(X, y)
        scaled = clone(plain).fit((X + shift) * units, y)
        np.testing.assert_allclose(scaled.transform((X + shift) * units), plain.transform(X), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_and_output(dtype, digits):
    X, y, *_ = digits
    embedding = LinearEmbedding(n_components=3, max_iter=3, random_state=0).fit(X.astype(dtype), y)
    assert embedding.components_.dtype == embedding.transform(X.astype(dtype)).dtype == dtype
    assert list(embedding.get_feature_names_out()) == [f"linearembedding{k}" for k in range(3)]
    frame = embedding.set_output(transform="pandas").transform(X)
    assert list(frame.columns) == list(embedding.get_feature_names_out())
    np.testing.assert_allclose(
        embedding.set_output(transform="default").transform(X.astype(dtype)),
        (X.astype(dtype) - embedding.mean_) @ embedding.components_.T, rtol=1e-6)


def test_normalize(digits):
    X, y, *_ = digits
    lengths = [np.linalg.norm(LinearEmbedding(loss, 4, normalize=normalize, max_iter=2).fit(X, y).transform(X), axis=1)
               for loss, normalize in (("supcon", "auto"), ("nca", True), ("nca", "auto"), ("supcon", False))]
    for unit in lengths[:2]:
        np.testing.assert_allclose(unit, 1)
    for free in lengths[2:]:
        assert np.ptp(free) > 0.1


@pytest.mark.parametrize("batch_size", ["auto", 100])
def test_penalties(batch_size, digits):
    X, y, *_ = digits
    settings = {"n_components": 4, "batch_size": batch_size, "random_state": 0, "max_iter": 30}
    free = LinearEmbedding(penalty=None, **settings).fit(X, y)
    ridge = LinearEmbedding(alpha=1.0, **settings).fit(X, y)
    lasso = LinearEmbedding(penalty="l1", alpha=0.02, **settings).fit(X, y)
    size = [np.linalg.norm(embedding.components_ * embedding.scale_) for embedding in (free, ridge, lasso)]
    assert size[1] < size[0]
    varying = load_digits().data[:600].std(axis=0) > 0
    assert 0.2 < np.mean(lasso.components_[:, varying] == 0) < 1
    assert np.mean(free.components_[:, varying] == 0) == 0


@pytest.mark.parametrize("batch_size", ["auto", 100])
def test_early_stopping(batch_size, digits):
    X, y, *_ = digits
    embedding = LinearEmbedding(
        n_components=16, batch_size=batch_size, early_stopping=True, tol=0, n_iter_no_change=2, max_iter=200,
        penalty=None, random_state=0).fit(X, y)
    scores = embedding.history_["validation_score"]
    assert embedding.n_iter_ == len(scores) < 200
    assert scores.argmax() < len(scores) - 1
    LinearEmbedding("nt_xent", 4, early_stopping=True, batch_size=batch_size, max_iter=3).fit(X)
    LinearEmbedding("center", 4, early_stopping=True, batch_size=batch_size, max_iter=3).fit(X, y)


@pytest.mark.parametrize("loss", LOSSES)
def test_partial_fit(loss, digits):
    X, y, *_ = digits
    embedding = LinearEmbedding(loss, 6, batch_size=128, random_state=0)
    for step in range(8):
        part = slice(300 * (step % 2), 300 * (step % 2) + 300)
        embedding.partial_fit(X[part], y[part], classes=np.arange(10))
        if step == 3:
            embedding = pickle.loads(pickle.dumps(embedding))
    assert embedding.n_iter_ == len(embedding.history_["objective"]) == 8
    assert (np.diff(embedding.history_["seconds"]) > 0).all()
    assert accuracy(embedding, digits) > 0.75
    before = LinearEmbedding(loss, 6, max_iter=5, random_state=0).fit(X, y)
    after = pickle.loads(pickle.dumps(before)).partial_fit(X, y)
    assert after.n_iter_ == before.n_iter_ + 1
    assert not np.array_equal(after.components_, before.components_)


def test_center_and_new_classes(digits):
    X, y, *_ = digits
    embedding = LinearEmbedding("center", 3, random_state=0).partial_fit(X[y < 4], y[y < 4])
    with pytest.raises(ValueError, match="which is not among the classes"):
        embedding.partial_fit(X, y)


def test_reproducible(digits):
    X, y, *_ = digits
    for settings in ({}, {"batch_size": 64}, {"loss": "triplet", "sampling": "random"}):
        first, second = (LinearEmbedding(n_components=3, max_iter=3, random_state=4, **settings).fit(X, y)
                         for _ in range(2))
        np.testing.assert_array_equal(first.components_, second.components_)


def test_callbacks(digits):
    X, y, *_ = digits

    class Stop:
        def __init__(self, after, fails=False):
            self.after, self.fails, self.seen = after, fails, []

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            self.over = True

        def on_fit_task_begin(self, estimator, context, *, fitted_estimator=None):
            pass

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
            if context.task_name == "fit":
                return False
            self.seen.append(fitted_estimator.transform(X))
            if self.fails:
                raise ZeroDivisionError("mine")
            return len(self.seen) >= self.after

    for batch_size in ("auto", 100):
        stop = Stop(3)
        embedding = LinearEmbedding(n_components=3, batch_size=batch_size, random_state=0)
        embedding.set_callbacks(stop).fit(X, y)
        assert embedding.n_iter_ == len(stop.seen) == 3
        assert stop.over
        np.testing.assert_array_equal(embedding.transform(X), stop.seen[-1])
        before = dict(vars(embedding))
        with pytest.raises(ZeroDivisionError, match="mine"):
            embedding.set_callbacks(Stop(1, fails=True)).fit(X, y)
        assert vars(embedding).keys() == before.keys()
        assert embedding.components_ is before["components_"]


def test_scoring_monitor(digits):
    X, y, *_ = digits

    def spread(estimator, X, y):
        return float(np.ptp(estimator.transform(X)))

    monitor = ScoringMonitor(scoring={"spread": spread})
    LinearEmbedding(n_components=2, max_iter=4, tol=0, random_state=0).set_callbacks(monitor).fit(X, y)
    assert len([row for row in monitor.get_logs().data if row["task_name"] == "epoch"]) == 4


def test_grid_search():
    X, y = load_wine(return_X_y=True)
    steps = Pipeline([("embed", LinearEmbedding(max_iter=10, random_state=0)), ("vote", KNeighborsClassifier())])
    grid = {"embed__loss": ["nca", "triplet", SupCon(temperature=0.2)], "embed__n_components": [1, 3]}
    search = GridSearchCV(steps, grid, cv=3).fit(X, y)
    assert search.best_score_ > 0.93
    nested = GridSearchCV(steps.set_params(embed__loss=NCA()), {"embed__loss__temperature": [0.5, 1.0]}, cv=3)
    assert nested.fit(X, y).best_score_ > 0.9


def test_better_than_scaled_columns():
    X, y = load_digits(return_X_y=True)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    scores = [cross_val_score(make_pipeline(step, KNeighborsClassifier()), X, y, cv=folds).mean()
              for step in (LinearEmbedding(n_components=16, random_state=0), StandardScaler())]
    assert scores[0] > scores[1]


# -- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "message"), [
    ({"n_components": 5}, "n_components=5 must not be larger than n_features=4"),
    ({"loss": "huber"}, "The 'loss' parameter"),
    ({"loss": get_loss("huber")}, "loss of embeddings|'loss' parameter"),
    ({"init": np.zeros((2, 3))}, "init has shape"),
    ({"init": [["a"] * 4] * 2}, "init|string"),
    ({"penalty": "l3"}, "penalty"),
    ({"noise": 1.0}, "noise"),
    ({"early_stopping": True, "validation_fraction": 0.999}, "validation_fraction"),
    ({"loss": "triplet", "sampling": "all", "batch_size": 1000, "n_components": 2}, None),
])
def test_bad_parameters(settings, message):
    X, y = load_iris(return_X_y=True)
    embedding = LinearEmbedding(**{"n_components": 2, **settings})
    if message is None:
        embedding.fit(X, y)
        with pytest.raises(ValueError, match="choose a smaller batch_size"):
            embedding.fit(np.tile(X, (6, 1)), np.tile(y, 6))
        return
    with pytest.raises(ValueError, match=message):
        embedding.fit(X, y)
    assert not hasattr(embedding, "components_")


def test_bad_data():
    X, y = load_iris(return_X_y=True)
    bad = X.copy()
    bad[3, 1] = np.nan
    for args, message in [((X, np.zeros(150)), "greater than one; got 1 class"), ((bad, y), "NaN"),
                          ((X, y[:-1]), "inconsistent"), ((X, X[:, 0] + 0.5), "known label type"),
                          ((X[:1], y[:1]), "minimum of 2"), ((X,), "requires y")]:
        with pytest.raises(ValueError, match=message):
            LinearEmbedding().fit(*args)
    with pytest.raises(ValueError, match="temperature"):
        LinearEmbedding(SupCon(temperature=-1.0))


@pytest.mark.parametrize("loss", ["nca", "supcon", "contrastive", "triplet", "nt_xent"])
@pytest.mark.parametrize("batch_size", ["auto", 1, 2])
def test_nothing_contributes(loss, batch_size):
    """All rows of different classes, or batches of one: defined, and said once."""
    X = np.random.default_rng(0).normal(size=(8, 3))
    embedding = LinearEmbedding(loss, 2, batch_size=batch_size, max_iter=3, random_state=0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ConvergenceWarning)
        embedding.fit(X, np.arange(8))
    assert ["No row ever contributed" in str(warning.message) for warning in said] == [True]
    assert said[0].filename == __file__
    assert np.isfinite(embedding.transform(X)).all()


def test_one_class_in_a_part():
    X, y = load_iris(return_X_y=True)
    with pytest.warns(UserWarning, match="No row ever contributed"):
        embedding = LinearEmbedding(n_components=2, random_state=0).partial_fit(X[:50], y[:50])
    embedding.partial_fit(X, y)
    with pytest.raises(ValueError, match="features"):
        embedding.partial_fit(X[:, :2], y)
    with pytest.raises(ValueError, match="early_stopping"):
        LinearEmbedding(early_stopping=True).partial_fit(X, y)


def test_constant_and_duplicate_columns():
    X, y = load_iris(return_X_y=True)
    X = np.column_stack([X, X, np.full(150, 3.0)])
    for kind in (np.asarray, sparse.csr_matrix):
        for loss in LOSSES:
            Z = LinearEmbedding(loss, 3, max_iter=5, random_state=0).fit(kind(X), y).transform(kind(X))
            assert np.isfinite(Z).all()

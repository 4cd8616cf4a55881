"""What LinearEmbedding says to losses that go wrong, to numbers out of all proportion, and to a change of model."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris

from sklosses import LinearEmbedding, SGDRegressor
from sklosses.embedding._columns import Columns
from sklosses.losses import NCA, Contrastive, NTXent, SupCon, Triplet, check_loss

X, Y = load_iris(return_X_y=True)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Own(NCA):
    """NCA, but for what `spoil` makes of its value and gradient."""

    name = "own"

    def __init__(self, spoil):
        super().__init__()
        self.spoil = spoil

    def get_params(self, deep=True):
        return {"spoil": self.spoil}

    def value_and_gradient(self, Z, labels, sample_weight=None, *, out=None, n_threads=None):
        return self.spoil(*super().value_and_gradient(Z, labels, sample_weight))


class OwnTriplet(Triplet):
    """Triplet with a gradient too few."""

    def value_and_gradient(self, *rows, sample_weight=None, n_threads=None):
        value, gradients = super().value_and_gradient(*rows, sample_weight=sample_weight)
        return value, gradients[:2]


class Bare:
    """The least that a loss of embeddings is: rows towards the mean of their class."""

    name, tasks, arguments = "bare", {"embedding"}, ("Z",)

    def value_and_gradient(self, Z, labels, *, sample_weight, n_threads):
        apart = Z - np.stack([Z[labels == label].mean(axis=0) for label in labels])
        spread = Z - Z.mean(axis=0)
        value = sample_weight * np.sum(apart**2 - 0.1 * spread**2, axis=1)
        return value, 2 * sample_weight[:, None] * (apart - 0.1 * spread)


def _raise(value, gradient):
    raise ZeroDivisionError("mine")


SPOILED = [
    (_raise, ZeroDivisionError, "mine"),
    (lambda value, gradient: (value * np.nan, gradient), ValueError, "value that contains nan"),
    (lambda value, gradient: (value + np.inf, gradient), ValueError, "value that contains inf"),
    (lambda value, gradient: (value, gradient * np.nan), ValueError, "gradient that contains nan"),
    (lambda value, gradient: (value[:-1], gradient), ValueError, r"value of float64 and shape \("),
    (lambda value, gradient: (value.sum(), gradient), ValueError, r"value of float64 and shape \(\)"),
    (lambda value, gradient: (value, gradient.T), ValueError, r"gradient of float64 and shape \(2, "),
    (lambda value, gradient: (value, gradient * 1j), ValueError, "gradient of complex128"),
    (lambda value, gradient: (value, "wrong"), ValueError, "gradient of <U5"),
    (lambda value, gradient: value, ValueError, "must return a pair"),
    (lambda value, gradient: None, ValueError, "got NoneType"),
]


@pytest.mark.parametrize("batch_size", ["auto", 32])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(("spoil", "error", "message"), SPOILED)
def test_a_loss_that_goes_wrong(spoil, error, message, method, batch_size):
    """The error is the loss's own or names it, and the estimator is what it was."""
    embedding = LinearEmbedding(n_components=2, max_iter=3, random_state=0).fit(X, Y)
    fitted = {name: held for name, held in vars(embedding).items() if name.endswith("_") or name == "_state"}
    embedding.set_params(loss=Own(spoil), batch_size=batch_size)
    with pytest.raises(error, match=message) as caught:
        getattr(embedding, method)(X, Y)
    assert "of the loss Own(" in " ".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert all(vars(embedding)[name] is held for name, held in fitted.items())
    new = LinearEmbedding(loss=Own(spoil), n_components=2)
    before = dict(vars(new))
    with pytest.raises(error, match=message):
        getattr(new, method)(X, Y)
    assert vars(new) == before


def test_a_gradient_too_few():
    with pytest.raises(ValueError, match="must return 3 gradients, got tuple"):
        LinearEmbedding(OwnTriplet(), 2, random_state=0).fit(X, Y)


def test_losses_of_ones_own():
    """A subclass trains as its base does, lists are as good as arrays, and no base class is needed."""
    ours = LinearEmbedding("nca", 2, max_iter=3, init="lda", random_state=0).fit(X, Y)
    for spoil in (lambda value, gradient: (value, gradient), lambda *both: [one.tolist() for one in both]):
        own = LinearEmbedding(Own(spoil), 2, max_iter=3, init=ours.components_, random_state=0).fit(X, Y)
        same = LinearEmbedding("nca", 2, max_iter=3, init=ours.components_, random_state=0).fit(X, Y)
        np.testing.assert_array_equal(own.components_, same.components_)
    for given in (Bare, Bare()):
        history = LinearEmbedding(given, 2, max_iter=5, random_state=0).fit(X, Y).history_["objective"]
        assert history[-1] < history[0]


def test_what_is_no_loss_of_embeddings():
    class Four(Bare):
        arguments = ("a", "b", "c", "d")

    class Nothing:
        def value_and_gradient(self, Z, labels):
            raise AssertionError("not to be called")

    for wrong, message in ((Nothing(), "must be a loss of embeddings. Got"), (Four(), "one, two or three embeddings"),
                           ("simclr", "Did you mean 'nt_xent'"), ("triplett", "Did you mean 'triplet'"),
                           ("huber", "use SGDRegressor or SGDClassifier")):
        with pytest.raises(ValueError, match=message):
            LinearEmbedding(wrong).fit(X, Y)
    with pytest.raises(ValueError, match="Triplet is a loss for embeddings: use LinearEmbedding"):
        SGDRegressor(loss="triplet").fit(X, Y)
    with pytest.raises(TypeError, match=r"Triplet.* acts on embeddings"):
        check_loss("triplet")


@pytest.mark.parametrize("batch_size", ["auto", 32])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", [
    *(kind(temperature) for kind in (NCA, NTXent, SupCon) for temperature in (5e-324, 1e-300, 1e300)),
    *(kind(margin) for kind in (Contrastive, Triplet) for margin in (1e-300, 1e160, 1e300)),
])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_parameters_out_of_all_proportion(loss, dtype, batch_size):
    """Finite components, or an error that names the loss."""
    embedding = LinearEmbedding(loss, 2, max_iter=3, batch_size=batch_size, random_state=0)
    try:
        embedding.fit(X.astype(dtype), Y)
    except ValueError as error:
        assert repr(loss) in str(error)  # noqa: PT017 - either is right
        assert not hasattr(embedding, "components_")
    else:
        assert np.isfinite(embedding.components_).all()
        assert np.isfinite(embedding.history_["objective"]).all()


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize(("table", "message"), [
    (np.where(np.eye(150, 4) > 0, 1e308, -1e308), r"column 0 runs from -1e\+308 to 1e\+308"),
    ((X * 1e-40).astype(np.float32), "cannot be standardised in float32: column 0 .* or as float64"),
])
def test_columns_out_of_all_proportion(table, kind, message):
    with pytest.raises(ValueError, match=message):
        LinearEmbedding(n_components=2).fit(kind(table), Y)


@pytest.mark.parametrize("unit", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_columns_of_any_size(unit, kind):
    """What columns are scaled by follows their unit, also where its square is no number any more."""
    np.testing.assert_allclose(Columns.of(kind(X * unit)).scale, Columns.of(kind(X)).scale * unit, rtol=1e-12)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_rows_that_are_all_the_same(kind):
    for table in (np.ones((150, 4)), np.zeros((150, 4))):
        for loss in ("nca", "triplet", "supcon"):
            embedding = LinearEmbedding(loss, 2, max_iter=3, random_state=0).fit(kind(table), Y)
            assert np.isfinite(embedding.transform(kind(table))).all()


@pytest.mark.parametrize(("settings", "message"), [
    ({"n_jobs": 0}, "n_jobs=0 must be"),
    ({"n_jobs": True}, "n_jobs=True must be"),
    ({"init": [1, 2]}, r"init has shape \(2,\), expected \(n_components, n_features\) = \(2, 4\)"),
    ({"init": np.full((2, 4), np.nan)}, "init must hold finite real numbers"),
    ({"init": np.ones((2, 4)) * 1j}, "init must hold finite real numbers"),
    ({"penalty": "lasso"}, "'penalty' parameter"),
])
def test_parameters_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        LinearEmbedding(**{"n_components": 2, **settings}).fit(X, Y)


@pytest.mark.parametrize("loss", ["nca", "supcon", "nt_xent", "triplet", "contrastive", "cosine"])
def test_held_out_rows_that_cannot_be_scored(loss):
    """One row of each class: they have no partners."""
    embedding = LinearEmbedding(loss, 2, early_stopping=True, random_state=0)
    with pytest.raises(ValueError, match=r"validation_fraction=0.1 holds out 3 rows, of which none"):
        embedding.fit(X[::5], Y[::5])
    assert not hasattr(embedding, "components_")
    assert embedding.set_params(validation_fraction=0.3, max_iter=3).fit(X[::5], Y[::5]).n_iter_ <= 3


def test_a_single_class_is_named():
    with pytest.raises(ValueError, match="y has no label but 'setosa': the number of classes"):
        LinearEmbedding().fit(X, ["setosa"] * 150)


@pytest.mark.parametrize(("first", "then"), [("nca", {"loss": "center"}), ("center", {"loss": "nca"}),
                                             ("nca", {"n_components": 3})])
def test_partial_fit_does_not_change_models(first, then):
    embedding = LinearEmbedding(first, 2, random_state=0).partial_fit(X, Y).set_params(**then)
    components = embedding.components_.copy()
    with pytest.raises(ValueError, match="partial_fit goes on with 2 components trained by"):
        embedding.partial_fit(X, Y)
    np.testing.assert_array_equal(embedding.components_, components)
    LinearEmbedding("nca", 2, random_state=0).partial_fit(X, Y).set_params(loss=SupCon(0.2)).partial_fit(X, Y)

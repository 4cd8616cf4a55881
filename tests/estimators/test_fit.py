"""What `fit` and `partial_fit` compute: attributes recomputed with NumPy, and identities between fits."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from oracle.classic import SGDClassifier, SGDOneClassSVM, SGDRegressor
from sklosses.losses import LOSSES, get_loss, loss_names
from sklosses.solvers import SGD

SOME = {"max_iter": 4, "tol": None, "random_state": 0}
STEADY = dict(learning_rate="invscaling", **SOME)


def penalty_value(model):
    share = {"l2": 0.0, "l1": 1.0, "elasticnet": model.l1_ratio, None: 0.0}[model.penalty]
    alpha = 0.0 if model.penalty is None else model.alpha
    coef = np.atleast_2d(model.coef_).astype(float)
    return alpha * (share * np.abs(coef).sum(axis=1) + (1 - share) / 2 * (coef**2).sum(axis=1))


@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet", None])
@pytest.mark.parametrize("name", loss_names("regression"))
def test_objective_of_the_regressor(name, penalty, regression):
    X, y = regression
    y = np.abs(y) + 0.1
    rng = np.random.default_rng(0)
    weight, offset = rng.uniform(0.5, 2, len(y)), rng.normal(size=len(y)) / 10
    model = SGDRegressor(name, penalty=penalty, alpha=0.01, eta0=1e-3, **SOME)
    model.fit(X, y, sample_weight=weight, offset=offset)
    parameters = {p: getattr(model, p) for p in LOSSES[name].ranges}
    loss = get_loss(name, **parameters)
    raw = X @ model.coef_ + model.intercept_ + offset
    expected = np.mean(weight * loss.value(y, raw)) + penalty_value(model)[0]
    np.testing.assert_allclose(model.objective_, expected, rtol=1e-12)
    assert isinstance(model.objective_, float)


@pytest.mark.parametrize("name", loss_names("classification"))
def test_objective_of_the_classifier(name, binary, multiclass):
    X, y = binary
    model = SGDClassifier(name, class_weight={"yes": 3.0}, penalty="elasticnet", alpha=0.01, **STEADY).fit(X, y)
    loss = get_loss(name, **{p: getattr(model, p) for p in LOSSES[name].ranges})
    low, high = loss.target.codes or (-1.0, 1.0)
    weight = np.where(y == "yes", 3.0, 1.0)
    raw = model.decision_function(X)
    expected = np.mean(weight * loss.value(np.where(y == "yes", high, low), raw)) + penalty_value(model)[0]
    np.testing.assert_allclose(model.objective_, expected, rtol=1e-12)

    X, y = multiclass
    model = SGDClassifier(name, class_weight={"a": 3.0}, penalty="elasticnet", alpha=0.01, **STEADY).fit(X, y)
    assert model.objective_.shape == (3,)
    raw = model.decision_function(X)
    for k, label in enumerate(model.classes_):
        weight = np.where((y == label) & (label == "a"), 3.0, 1.0)
        expected = np.mean(weight * loss.value(np.where(y == label, high, low), raw[:, k])) + penalty_value(model)[k]
        np.testing.assert_allclose(model.objective_[k], expected, rtol=1e-12)


def test_objective_of_the_one_class_svm(regression):
    X, _ = regression
    model = SGDOneClassSVM(nu=0.3, **SOME).fit(X)
    rho = model.offset_[0]
    expected = np.mean(np.maximum(0, rho - X @ model.coef_)) + 0.3 / 2 * model.coef_ @ model.coef_ + 0.3 * (1 - rho)
    np.testing.assert_allclose(model.objective_, expected, rtol=1e-12)


def test_objective_counts_the_rows_trained_on(regression):
    X, y = regression
    model = SGDRegressor(early_stopping=True, **SOME).fit(X, y)
    everything = np.mean((X @ model.coef_ + model.intercept_ - y) ** 2) / 2 + penalty_value(model)[0]
    assert abs(model.objective_ - everything) > 1e-9 * everything


def test_history_of_one_column(regression):
    X, y = regression
    model = SGDRegressor(random_state=0).fit(X, y)
    assert set(model.history_) == {"objective", "seconds"}
    assert all(values.shape == (model.n_iter_,) for values in model.history_.values())
    assert np.all(np.diff(model.history_["seconds"]) >= 0)
    assert model.history_["objective"][-1] < model.history_["objective"][0]


def test_history_of_several_columns(multiclass):
    model = SGDClassifier(early_stopping=True, random_state=0).fit(*multiclass)
    assert model.history_["objective"].shape == (model.n_iter_, 3)
    assert model.history_["validation_score"].shape == model.history_["seconds"].shape == (model.n_iter_,)


def test_history_is_the_mean_over_the_epoch(regression):
    """One epoch in order, at a step of next to nothing: the objective of the start."""
    X, y = regression
    start = np.arange(5.0)
    model = SGDRegressor(learning_rate="constant", eta0=1e-14, max_iter=1, tol=None, alpha=0.1)
    model.fit(X, y, coef_init=start, intercept_init=[2.0])
    expected = np.mean((X @ start + 2 - y) ** 2) / 2 + 0.1 / 2 * start @ start
    np.testing.assert_allclose(model.history_["objective"], [expected], rtol=1e-9)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("loss", ["hinge", "log_loss", "squared_error"])
def test_one_vs_rest_is_one_binary_problem_a_class(loss, average, multiclass):
    X, y = multiclass
    settings = dict(shuffle=False, average=average, penalty="elasticnet", **STEADY)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    together = SGDClassifier(loss, class_weight={"b": 2.0}, **settings).fit(X, y, sample_weight=weight)
    for k, label in enumerate(together.classes_):
        alone = SGDClassifier(loss, **settings)
        alone.fit(X, y == label, sample_weight=weight * np.where((y == label) & (label == "b"), 2.0, 1.0))
        np.testing.assert_array_equal(together.coef_[k], alone.coef_[0])
        np.testing.assert_array_equal(together.intercept_[k], alone.intercept_[0])
        np.testing.assert_array_equal(together.history_["objective"][:, k], alone.history_["objective"])


def test_balanced_weights(multiclass, binary):
    for X, y in (multiclass, binary):
        labels, counts = np.unique(y, return_counts=True)
        weights = dict(zip(labels, len(y) / (len(labels) * counts), strict=True))
        balanced = SGDClassifier(class_weight="balanced", **SOME).fit(X, y)
        np.testing.assert_array_equal(balanced.coef_, SGDClassifier(class_weight=weights, **SOME).fit(X, y).coef_)


def test_class_weights_multiply_sample_weights(binary):
    X, y = binary
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    apart = SGDClassifier(class_weight={"yes": 0.25}, **SOME).fit(X, y, sample_weight=weight)
    product = SGDClassifier(**SOME).fit(X, y, sample_weight=weight * np.where(y == "yes", 0.25, 1.0))
    np.testing.assert_array_equal(apart.coef_, product.coef_)


def test_constant_offset_is_an_intercept(regression):
    X, y = regression
    shifted = SGDRegressor(fit_intercept=False, **SOME).fit(X, y, offset=np.full(len(y), 0.5))
    started = SGDRegressor(fit_intercept=False, **SOME).fit(X, y, intercept_init=[0.5])
    np.testing.assert_allclose(shifted.coef_, started.coef_, rtol=1e-12)
    np.testing.assert_allclose(shifted.predict(X, offset=np.full(len(y), 0.5)), started.predict(X), rtol=1e-12)


def test_offset_is_the_target_shifted(regression):
    X, y = regression
    offset = np.random.default_rng(0).normal(size=len(y))
    with_offset = SGDRegressor(**SOME).fit(X, y, offset=offset)
    np.testing.assert_allclose(with_offset.coef_, SGDRegressor(**SOME).fit(X, y - offset).coef_, rtol=1e-9)


def test_offset_in_one_vs_rest(multiclass):
    X, y = multiclass
    offset = np.random.default_rng(0).normal(size=len(y))
    model = SGDClassifier(shuffle=False, **SOME).fit(X, y, offset=offset)
    alone = SGDClassifier(shuffle=False, **SOME).fit(X, y == "b", offset=offset)
    np.testing.assert_array_equal(model.coef_[1], alone.coef_[0])


@pytest.mark.parametrize("cls", [SGDClassifier, SGDRegressor, SGDOneClassSVM])
@pytest.mark.parametrize("batch_size", [1, 16])
def test_partial_fit_goes_on(cls, batch_size, regression):
    X, y = regression
    y = (y > 0).astype(float)
    for average in (False, True, 300):
        settings = {"shuffle": False, "average": average, "batch_size": batch_size, "learning_rate": "invscaling"}
        whole = cls(max_iter=3, tol=None, **settings).fit(X, y)
        parts = cls(**settings)
        for _ in range(3):
            parts.partial_fit(X, y, **({"classes": [0.0, 1.0]} if cls is SGDClassifier else {}))
        assert parts.t_ == whole.t_ == 1 + 3 * len(y)
        assert parts.n_iter_ == 1
        np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-10)
        np.testing.assert_allclose(parts.predict(X), whole.predict(X))


def test_partial_fit_after_fit_goes_on(regression):
    X, y = regression
    settings = {"shuffle": False, "tol": None}
    model = SGDRegressor(max_iter=2, **settings).fit(X, y).partial_fit(X, y)
    np.testing.assert_allclose(model.coef_, SGDRegressor(max_iter=3, **settings).fit(X, y).coef_, rtol=1e-10)


def test_partial_fit_of_chunks_is_fit_of_the_whole(regression):
    X, y = regression
    parts = SGDRegressor(shuffle=False)
    for rows in np.array_split(np.arange(len(y)), 7):
        parts.partial_fit(X[rows], y[rows])
    whole = SGDRegressor(shuffle=False, max_iter=1, tol=None).fit(X, y)
    np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-10)


def test_partial_fit_takes_edited_coefficients(regression):
    X, y = regression
    edited = SGDRegressor(shuffle=False).partial_fit(X, y)
    edited.coef_ = np.zeros(5)
    untouched = SGDRegressor(shuffle=False).partial_fit(X, y).partial_fit(X, y)
    assert np.any(edited.partial_fit(X, y).coef_ != untouched.coef_)


def test_partial_fit_after_sparsify(binary):
    X, y = binary
    settings = {"penalty": "l1", "alpha": 0.01, "shuffle": False}
    dense, thin = (SGDClassifier(**settings).partial_fit(X, y, classes=["no", "yes"]) for _ in range(2))
    thin.sparsify()
    assert sparse.issparse(thin.coef_)
    np.testing.assert_array_equal(thin.predict(X), dense.predict(X))
    np.testing.assert_array_equal(thin.partial_fit(X, y).coef_, dense.partial_fit(X, y).coef_)
    thin.sparsify()
    np.testing.assert_array_equal(thin.densify().coef_, dense.coef_)


def test_warm_start_is_an_explicit_start(multiclass):
    X, y = multiclass
    first = SGDClassifier(warm_start=True, **SOME).fit(X, y)
    coef, intercept = first.coef_, first.intercept_
    explicit = SGDClassifier(**SOME).fit(X, y, coef_init=coef, intercept_init=intercept)
    first.fit(X, y)
    np.testing.assert_array_equal(first.coef_, explicit.coef_)
    assert first.t_ == explicit.t_ == 1 + 4 * len(y)
    assert np.any(first.coef_ != coef)


def test_fit_forgets_averages(regression):
    X, y = regression
    model = SGDRegressor(average=True, **SOME).fit(X, y)
    model.set_params(average=False).fit(X, y)
    np.testing.assert_array_equal(model.coef_, SGDRegressor(**SOME).fit(X, y).coef_)
    assert not hasattr(model, "_average_coef")


@pytest.mark.parametrize("cls", [SGDClassifier, SGDRegressor, SGDOneClassSVM])
@pytest.mark.parametrize("container", [np.asarray, np.asfortranarray, sparse.csr_array, sparse.csr_matrix])
def test_float32_stays_float32(cls, container, regression):
    X, y = regression
    y = (y > 0).astype(int)
    single = cls(**SOME).fit(container(X.astype(np.float32)), y)
    double = cls(**SOME).fit(container(X), y)
    assert single.coef_.dtype == np.float32
    assert double.coef_.dtype == np.float64
    np.testing.assert_allclose(single.coef_, double.coef_, rtol=1e-4, atol=1e-5)
    first = {"classes": [0, 1]} if cls is SGDClassifier else {}
    assert cls(**SOME).partial_fit(container(X.astype(np.float32)), y, **first).coef_.dtype == np.float32


@pytest.mark.parametrize("container", [np.asfortranarray, lambda X: np.repeat(X, 2, axis=1)[:, ::2], lambda X: X[::-1]])
def test_memory_layout_does_not_matter(container, regression):
    X, y = regression
    other = container(X)
    reference = SGDRegressor(**SOME).fit(np.ascontiguousarray(other), y)
    np.testing.assert_allclose(SGDRegressor(**SOME).fit(other, y).coef_, reference.coef_, rtol=1e-12)


def test_index_types_do_not_matter(multiclass):
    X, y = multiclass
    X = sparse.csr_array(np.where(np.abs(X) > 0.7, X, 0))
    wide = sparse.csr_array((X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    assert wide.indices.dtype == np.int64
    reference = SGDClassifier(**SOME).fit(X, y)
    model = SGDClassifier(**SOME).fit(wide, y)
    np.testing.assert_array_equal(model.coef_, reference.coef_)
    np.testing.assert_array_equal(model.predict(wide), reference.predict(X))


def test_batches_cover_all_rows(regression):
    """One batch of all rows is one gradient step."""
    X, y = regression
    model = SGDRegressor(learning_rate="constant", eta0=0.1, max_iter=1, tol=None, batch_size=len(y), penalty=None).fit(
        X, y
    )
    np.testing.assert_allclose(model.coef_, 0.1 * X.T @ y / len(y), rtol=1e-10)
    np.testing.assert_allclose(model.intercept_, [0.1 * y.mean()], rtol=1e-10)
    assert model.t_ == 1 + len(y)


def test_negative_weights_are_taken(regression):
    X, y = regression
    weight = np.where(np.arange(len(y)) % 10 == 0, -0.1, 1.0)
    assert np.all(np.isfinite(SGDRegressor(**SOME).fit(X, y, sample_weight=weight).coef_))


def test_seeds(regression):
    X, y = regression
    one, same, other = (SGDRegressor(max_iter=2, tol=None, random_state=seed).fit(X, y) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.coef_, same.coef_)
    assert np.any(one.coef_ != other.coef_)


def test_warnings(regression):
    X, y = regression
    with pytest.warns(ConvergenceWarning, match="Maximum number of iteration"):
        SGDRegressor(max_iter=2).fit(X, y)
    with pytest.warns(FutureWarning, match="Negative values for `power_t` are deprecated"):
        SGDRegressor(power_t=-0.1, max_iter=2, tol=None).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SGDRegressor().fit(X, y)
        SGDRegressor(max_iter=2, tol=None).fit(X, y)


def test_verbose_prints_every_epoch(regression, capsys):
    model = SGDRegressor(verbose=1, random_state=0, early_stopping=True).fit(*regression)
    out = capsys.readouterr().out
    assert out.count("-- Epoch ") == out.count("Validation score: ") == model.n_iter_
    assert f"Objective: {model.history_['objective'][0]:.6f}" in out
    assert f"Convergence after {model.n_iter_} epochs" in out
    SGDRegressor(random_state=0).fit(*regression)
    assert capsys.readouterr().out == ""


def test_solver_is_named(regression):
    assert SGDRegressor(random_state=0).fit(*regression).solver_ == "sgd"


def test_threads_are_used(multiclass, monkeypatch):
    asked = []
    monkeypatch.setattr("sklosses.linear_model._base.SGD", lambda **settings: asked.append(settings) or SGD(**settings))
    for n_jobs in (None, 2, -1):
        SGDClassifier(n_jobs=n_jobs, **SOME).fit(*multiclass)
    assert [settings["n_jobs"] for settings in asked] == [1, 2, -1]


def test_labels_that_come_late():
    """The classes are those of all rows, not of the first thousand."""
    X, y = np.random.default_rng(0).normal(size=(3300, 2)), np.repeat(["a", "b", "c"], 1100)
    assert SGDClassifier(**SOME).fit(X, y).classes_.tolist() == ["a", "b", "c"]
    assert SGDClassifier(**SOME).fit(X, (y == "c") * 1.0).classes_.tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match="continuous"):
        SGDClassifier(**SOME).fit(X, np.where(np.arange(len(y)) == 2000, 0.5, y == "c"))


def test_threads_do_not_change_the_result(multiclass):
    one, two = (SGDClassifier(n_jobs=n_jobs, **SOME).fit(*multiclass) for n_jobs in (None, 2))
    np.testing.assert_array_equal(one.coef_, two.coef_)

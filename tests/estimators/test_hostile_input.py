"""Bad input: one clear error that names the array or parameter, or the right result; never a crash, never NaN."""

import numpy as np
import pytest
from scipy import sparse
from sklearn import linear_model

from sklosses import SGDClassifier, SGDOneClassSVM, SGDRegressor

CLASSES = [SGDClassifier, SGDRegressor, SGDOneClassSVM]
SUPERVISED = CLASSES[:2]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4))
Y = RNG.integers(0, 2, size=40)
SOME = {"max_iter": 3, "tol": None, "random_state": 0}


def with_value(array, value):
    array = np.array(array, dtype=float)
    array.flat[3] = value
    return array


def read_only(array):
    array = np.array(array)
    array.flags.writeable = False
    return array


def broken(**replaced):
    matrix = sparse.csr_array(np.where(np.abs(X) > 0.5, X, 0))
    for name, change in replaced.items():
        setattr(matrix, name, change(getattr(matrix, name).copy()))
    return matrix


def put(position, value):
    def change(array):
        array[position] = value
        return array

    return change


BAD_X = {
    "NaN": (with_value(X, np.nan), "X contains NaN"),
    "infinity": (with_value(X, np.inf), "X contains infinity"),
    "no rows": (np.empty((0, 4)), r"X.*0 sample"),
    "no columns": (np.empty((40, 0)), r"X.*0 feature"),
    "1-d": (X[:, 0], "X.*Expected 2D array"),
    "3-d": (X[:, :, None], "X.*dim 3"),
    "scalar": (3.0, "X.*scalar|X.*Expected 2D"),
    "complex": (X + 1j, "X.*Complex"),
    "strings": (np.full((40, 4), "red"), "X.*could not convert string to float: .*red"),
    "objects": (np.full((40, 4), {}, dtype=object), "X.*float\\(\\) argument must be"),
    "None": (None, "X"),
    "NaN in CSR": (sparse.csr_array(with_value(X, np.nan)), "X contains NaN"),
    "index too large": (broken(indices=put(5, 4)), r"X\.indices must lie in \[0, 3\]"),
    "index negative": (broken(indices=put(5, -1)), r"X\.indices must lie in \[0, 3\]"),
    "index very large": (broken(indices=put(0, 2**31 - 1)), r"X\.indices must lie in"),
    "indptr too large": (broken(indptr=put(-1, 10**6)), r"X\.indptr must"),
    "indptr decreasing": (broken(indptr=put(3, 10**5)), r"X\.indptr must"),
    "indptr not from 0": (broken(indptr=put(0, 2)), r"X\.indptr must"),
}


@pytest.mark.parametrize("what", BAD_X)
@pytest.mark.parametrize("cls", CLASSES)
def test_bad_matrices(cls, what):
    bad, message = BAD_X[what]
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        cls(**SOME).fit(bad, Y)
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        cls(**SOME).partial_fit(bad, Y, **({"classes": [0, 1]} if cls is SGDClassifier else {}))
    model = cls(**SOME).fit(X, Y)
    if what not in ("no columns",):
        with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
            model.predict(bad)


@pytest.mark.parametrize("n_jobs", [None, 1, 2, 3])
@pytest.mark.parametrize("kind", ["C", "F", "float32", "strided", "read-only", "frame", "csr"])
def test_one_number_in_a_large_table(kind, n_jobs, monkeypatch):
    """Found in threads wherever it is, by all that take X, and in scikit-learn's words."""
    monkeypatch.setattr("sklosses.linear_model._validation.LARGE", 0)
    good, labels = np.ones((20_001, 4), dtype=np.float32 if kind == "float32" else float), np.arange(20_001) % 2
    given = {"F": np.asfortranarray, "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2], "csr": sparse.csr_array,
             "read-only": read_only, "frame": lambda X: pytest.importorskip("pandas").DataFrame(X)}.get(kind, np.array)
    ours = SGDClassifier(**SOME, n_jobs=n_jobs)
    model = SGDClassifier(**SOME, n_jobs=n_jobs).fit(given(good[:50]), labels[:50])
    calls = (lambda X: ours.fit(X, labels), lambda X: ours.partial_fit(X, labels, classes=[0, 1]), model.predict)
    for place, value in (0, np.nan), (32_768, np.nan), (40_000, -np.inf), (80_003, np.inf):
        bad = good.copy()
        bad.flat[place] = value
        with pytest.raises(ValueError, match="Input X contains") as theirs:
            linear_model.SGDClassifier().fit(given(bad), labels)
        for call in calls:
            with pytest.raises(ValueError, match="Input X contains") as error:
                call(given(bad))
            assert str(error.value) == str(theirs.value)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_check_has_as_many_threads_as_the_fit(n_jobs, monkeypatch):
    monkeypatch.setattr("sklosses.linear_model._validation.LARGE", 0)
    asked = []
    monkeypatch.setattr("sklosses.linear_model._validation.all_finite",
                        lambda array, n_threads=1: asked.append((array.ndim, n_threads)) or True)
    SGDClassifier(n_jobs=n_jobs).fit(X, Y).predict(X)
    assert {n_threads for ndim, n_threads in asked if ndim == 2} == {n_jobs}


def test_broken_csc():
    matrix = sparse.csc_array(X)
    matrix.indices[7] = 10**7
    with pytest.raises(ValueError, match=r"X\.indices must lie in \[0, 39\]"):
        SGDRegressor(**SOME).fit(matrix, Y)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (with_value(Y, np.nan), "y contains NaN"),
        (with_value(Y, np.inf), "y contains infinity"),
        (Y[:-1], "y must have one value for each of the 40 rows of X, got 39"),
        (np.dstack([Y, Y]), "y: Found array with dim 3"),
        (Y + 1j, "y.*Complex"),
        (None, "y to be passed, but the target y is None"),
        (3, "y"),
    ],
)
@pytest.mark.parametrize("cls", SUPERVISED)
def test_bad_targets(cls, bad, message):
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        cls(**SOME).fit(X, bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.where(Y, "a", "b"), "y.*must hold numbers|y.*could not convert"),
        (np.array([{}] * 40), "y"),
        (np.array(["2020-01-01"] * 40, dtype="datetime64[D]"), "y must hold numbers, got dtype datetime64"),
    ],
)
def test_bad_targets_of_regressors(bad, message):
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        SGDRegressor(**SOME).fit(X, bad)


@pytest.mark.parametrize(
    ("loss", "value", "message"),
    [
        ("poisson", -1.0, r"y contains -1.0.*\[0, inf\)"),
        ("gamma", 0.0, r"y contains 0.0.*\(0, inf\)"),
        ("gamma", -1.0, r"y contains -1.0.*\(0, inf\)"),
        ("tweedie", -1.0, r"y contains -1.0"),
        ("squared_log_error", -1.0, r"y contains -1.0.*\(-1, inf\)"),
    ],
)
def test_targets_outside_the_domain_of_the_loss(loss, value, message):
    y = with_value(np.ones(40), value)
    with pytest.raises(ValueError, match=message):
        SGDRegressor(loss, **SOME).fit(X, y)
    with pytest.raises(ValueError, match=message):
        SGDRegressor(loss, **SOME).partial_fit(X, y)
    with pytest.raises(ValueError, match=message.replace("y contains", "y_val contains")):
        SGDRegressor(loss, **SOME).fit(X, np.ones(40), X_val=X, y_val=y)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones(40), r"number of classes has to be greater than one; got 1 class: \[1.0\]"),
        (RNG.normal(size=40), "Unknown label type: continuous"),
        (np.array([1, "a"] * 20, dtype=object), "(?s)y must hold labels of one kind|Unknown label type"),
        (np.array(["a", None] * 20, dtype=object), "y must hold labels of one kind"),
        (np.array(["a", np.nan] * 20, dtype=object), "y.*contains NaN"),
    ],
)
def test_bad_labels(bad, message):
    with pytest.raises(ValueError, match=message):
        SGDClassifier(**SOME).fit(X, bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (with_value(np.ones(40), np.nan), "sample_weight contains NaN"),
        (with_value(np.ones(40), -np.inf), "sample_weight contains infinity"),
        (np.zeros(40), "sample_weight.*at least one non-zero"),
        (0.0, "sample_weight.*at least one non-zero"),
        (np.ones(39), r"sample_weight.shape == \(39,\), expected \(40,\)"),
        (np.ones((40, 1)), "sample_weight.*1D array"),
        (["a"] * 40, "sample_weight.*could not convert"),
        (np.ones(40) + 1j, "sample_weight.*Complex"),
    ],
)
@pytest.mark.parametrize("cls", CLASSES)
def test_bad_weights(cls, bad, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        cls(**SOME).fit(X, Y, sample_weight=bad)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        cls(**SOME).partial_fit(X, Y, sample_weight=bad, **({"classes": [0, 1]} if cls is SGDClassifier else {}))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (with_value(np.zeros(40), np.nan), "offset contains NaN"),
        (np.zeros(39), r"offset must have shape \(40,\).*got shape \(39,\)"),
        (np.zeros((40, 1)), r"offset must have shape \(40,\).*got shape \(40, 1\)"),
        (["a"] * 40, "offset.*could not convert"),
        (1.0, "offset"),
    ],
)
@pytest.mark.parametrize("cls", SUPERVISED)
def test_bad_offsets(cls, bad, message):
    model = cls(**SOME).fit(X, Y)
    for call in (model.fit, model.partial_fit, model.score):
        with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
            call(X, Y, offset=bad)
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        model.predict(X, offset=bad)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({0: -1.0}, "class_weight.*not negative"),
        ({0: np.nan}, "class_weight.*finite"),
        ({0: np.inf}, "class_weight.*finite"),
        ({0: "a"}, "class_weight"),
        ({7: 1.0}, "class_weight"),
        ({0: 0.0, 1: 0.0}, "product of sample_weight and class_weight is zero"),
        ("unbalanced", "class_weight"),
    ],
)
def test_bad_class_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        SGDClassifier(class_weight=weights, **SOME).fit(X, Y)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"coef_init": np.ones(3)}, r"Provided coef_init does not match dataset: expected.*\(4,\), got \(3,\)"),
        ({"coef_init": with_value(np.ones(4), np.nan)}, "coef_init contains NaN"),
        ({"coef_init": ["a"] * 4}, "coef_init.*could not convert"),
        ({"intercept_init": np.ones(2)}, r"Provided intercept_init does not match dataset: expected.*\(1,\)"),
        ({"intercept_init": np.nan}, "intercept_init contains NaN"),
    ],
)
@pytest.mark.parametrize("cls", SUPERVISED)
def test_bad_starts(cls, start, message):
    with pytest.raises(ValueError, match=message):
        cls(**SOME).fit(X, Y, **start)


def test_bad_starts_of_several_classes():
    y = np.arange(40) % 3
    with pytest.raises(ValueError, match=r"coef_init.*expected.*\(3, 4\), got \(4,\)"):
        SGDClassifier(**SOME).fit(X, y, coef_init=np.ones(4))
    model = SGDClassifier(warm_start=True, **SOME).fit(X, y)
    with pytest.raises(ValueError, match=r"coef_init.*got \(3, 4\)"):
        model.fit(X, y % 2)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": -1.0}, "'alpha' parameter.*Got -1.0"),
        ({"alpha": np.nan}, "'alpha' parameter.*Got nan"),
        ({"l1_ratio": 1.1, "penalty": "elasticnet"}, "'l1_ratio' parameter.*Got 1.1"),
        ({"l1_ratio": None, "penalty": "elasticnet"}, "l1_ratio must be set"),
        ({"alpha": 0.0, "learning_rate": "optimal"}, "alpha must be > 0"),
        ({"epsilon": -0.1}, "'epsilon' parameter"),
        ({"width": 0.0}, "'width' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"batch_size": 2.5}, "'batch_size' parameter"),
        ({"eta0": 0.0}, "'eta0' parameter"),
        ({"max_iter": 0}, "'max_iter' parameter"),
        ({"average": 0}, "'average' parameter"),
        ({"random_state": "a"}, "'random_state' parameter"),
        ({"learning_rate": "pa1", "loss": "squared_error"}, "'pa1' only works with loss"),
    ],
)
@pytest.mark.parametrize("cls", SUPERVISED)
def test_bad_parameters(cls, parameters, message):
    with pytest.raises(ValueError, match=message):
        cls(**parameters).fit(X, Y)


def test_bad_parameters_of_losses():
    for parameters, message in [
        ({"loss": "quantile", "quantile": 1.0}, "quantile"),
        ({"loss": "expectile", "expectile": 0.0}, "expectile"),
        ({"loss": "cauchy", "scale": 0.0}, "scale"),
        ({"loss": "tweedie", "power": np.inf}, "power"),
        ({"loss": "huber", "epsilon": np.nan}, "epsilon"),
    ]:
        with pytest.raises(ValueError, match=message):
            SGDRegressor(**parameters).fit(X, Y)
    for parameters in ({"loss": "focal", "gamma": -1.0}, {"loss": "log_loss", "pos_weight": 0.0}):
        with pytest.raises(ValueError, match=list(parameters)[1]):
            SGDClassifier(**parameters).fit(X, Y)


@pytest.mark.parametrize("cls", CLASSES)
def test_features_must_not_change(cls):
    model = cls(**SOME).fit(X, Y)
    for call in (lambda: model.partial_fit(X[:, :3], Y), lambda: model.predict(X[:, :3])):
        with pytest.raises(ValueError, match=r"X has 3 features.*expecting 4 features"):
            call()
    model.fit(X[:, :3], Y)
    assert model.n_features_in_ == 3


def test_labels_of_partial_fit():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        SGDClassifier().partial_fit(X, Y)
    for bad, message in [
        ([0], "number of classes has to be greater than one"),
        ([1, 2], r"y contains labels that are not among the classes \[1, 2\]: \[0\]"),
        ([0, np.nan], "classes.*contains NaN"),
        (["a", "b"], r"y contains labels that are not among the classes \['a', 'b'\]"),
        (np.ones((2, 2)), "classes.*1d array"),
        ([0.5, 1.5], "Unknown label type: continuous"),
    ]:
        with pytest.raises(ValueError, match=message):
            SGDClassifier().partial_fit(X, Y, classes=bad)
    model = SGDClassifier().partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"labels that are not among the classes \[0, 1, 2\]: \[3\]"):
        model.partial_fit(X, Y + 2)
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
        model.partial_fit(X, Y, classes=[0, 1])
    model.partial_fit(X, np.zeros(40, dtype=int), classes=[2, 1, 0])
    assert model.t_ == 81
    with pytest.raises(ValueError, match="class_weight 'balanced' is not supported for partial_fit"):
        SGDClassifier(class_weight="balanced").partial_fit(X, Y, classes=[0, 1])


LABELS = {
    "int": [3, 7],
    "negative": [-1, 1],
    "float": [0.0, 1.0],
    "bool": [False, True],
    "str": ["no", "yes"],
    "object str": np.array(["no", "yes"], dtype=object),
    "object int": np.array([3, 7], dtype=object),
    "object bool": np.array([False, True], dtype=object),
    "StringDType": np.array(["no", "yes"], dtype=np.dtypes.StringDType()),
    "uint8": np.array([3, 200], dtype=np.uint8),
    "big-endian": np.array([3, 7], dtype=">i4"),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_labels_of_any_type(kind, n_classes):
    pair = np.asarray(LABELS[kind])
    reference = SGDClassifier(**SOME).fit(X, Y)
    model = SGDClassifier(**SOME).fit(X, pair[Y])
    np.testing.assert_array_equal(model.coef_, reference.coef_)
    np.testing.assert_array_equal(model.predict(X), model.classes_[reference.predict(X)])
    assert model.classes_.tolist() == pair.tolist()
    assert model.score(X, pair[Y]) == reference.score(X, Y)
    column = SGDClassifier(**SOME).partial_fit(X, pair[Y], classes=pair)
    assert column.classes_.tolist() == pair.tolist()


def test_matrices_that_are_fine():
    """Read-only, memory-mapped, strided, other byte order, integer, boolean, object: the right result."""
    reference = SGDRegressor(**SOME).fit(X, Y).coef_
    readonly = X.copy()
    readonly.setflags(write=False)
    wide = np.zeros((40, 8))
    wide[:, ::2] = X
    for same in (readonly, wide[:, ::2], X.astype(">f8"), X.astype(object), X.tolist(), np.asfortranarray(X)):
        np.testing.assert_allclose(SGDRegressor(**SOME).fit(same, Y).coef_, reference, rtol=1e-12)
    np.testing.assert_allclose(SGDRegressor(**SOME).fit(X, Y.astype(">f8")).coef_, reference, rtol=1e-12)
    whole = np.rint(X)
    reference = SGDRegressor(**SOME).fit(whole, Y).coef_
    for same in (whole.astype(int), whole.astype(np.int8), whole.astype(np.float16), whole.astype(np.longdouble)):
        np.testing.assert_allclose(SGDRegressor(**SOME).fit(same, Y).coef_, reference, rtol=1e-12)
    np.testing.assert_allclose(
        SGDRegressor(**SOME).fit(X > 0, Y).coef_, SGDRegressor(**SOME).fit((X > 0) * 1.0, Y).coef_, rtol=1e-12
    )


def test_memory_maps(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    np.testing.assert_array_equal(SGDClassifier(**SOME).fit(mapped, Y).coef_, SGDClassifier(**SOME).fit(X, Y).coef_)


def test_sparse_matrices_that_are_fine():
    """Unsorted, duplicate, explicit zeros, empty rows, other formats, read-only: the right result, X untouched."""
    dense = np.where(np.abs(X) > 0.5, X, 0)
    dense[5] = 0
    tidy = sparse.csr_array(dense)
    reference = SGDRegressor(**SOME).fit(tidy, Y).coef_
    data, indices = tidy.data.copy(), tidy.indices.copy()
    for row in range(40):
        span = slice(tidy.indptr[row], tidy.indptr[row + 1])
        data[span], indices[span] = data[span][::-1], indices[span][::-1]
    unsorted = sparse.csr_array((data, indices, tidy.indptr.copy()), shape=X.shape)
    doubled = sparse.csr_array(
        (np.repeat(tidy.data / 2, 2), np.repeat(tidy.indices, 2), tidy.indptr * 2), shape=X.shape
    )
    for same in (unsorted, doubled, sparse.csc_array(dense), sparse.coo_array(dense), sparse.csr_matrix(dense)):
        copies = {name: getattr(same, name).copy() for name in ("data", "indices") if hasattr(same, name)}
        np.testing.assert_allclose(SGDRegressor(**SOME).fit(same, Y).coef_, reference, rtol=1e-10, atol=1e-14)
        for name, copy in copies.items():
            np.testing.assert_array_equal(getattr(same, name), copy)
    tidy.data.setflags(write=False)
    tidy.indices.setflags(write=False)
    np.testing.assert_array_equal(SGDRegressor(**SOME).fit(tidy, Y).coef_, reference)


@pytest.mark.parametrize("cls", CLASSES)
def test_input_is_not_written(cls):
    arrays = [X.copy(), Y.copy(), np.ones(40)]
    model = cls(average=True, **SOME)
    if cls is not SGDOneClassSVM:
        model.set_params(penalty="l1")
    model.fit(*arrays[:2], sample_weight=arrays[2])
    for array, original in zip(arrays, (X, Y, np.ones(40)), strict=True):
        np.testing.assert_array_equal(array, original)


@pytest.mark.parametrize("cls", SUPERVISED)
@pytest.mark.parametrize("values", [1e-300, 1e-160, 1.0])
def test_no_nan_from_extreme_but_finite_values(cls, values):
    model = cls(learning_rate="constant", **SOME).fit(X * values, Y)
    assert np.all(np.isfinite(model.coef_))
    assert np.isfinite(model.objective_)
    assert all(np.all(np.isfinite(column)) for column in model.history_.values())


@pytest.mark.parametrize("cls", CLASSES)
def test_huge_values_diverge_or_fit(cls):
    for scale in (1e5, 1e100, 1e300):
        try:
            model = cls(**SOME).fit(X * scale, Y)
        except FloatingPointError as error:
            message = str(error)
        else:
            message = None
            assert np.all(np.isfinite(model.coef_))
            assert np.isfinite(model.objective_)
        assert message is None or "Scaling input data with StandardScaler or MinMaxScaler might help" in message


def test_one_row_and_one_column():
    model = SGDRegressor(**SOME).fit([[1.0]], [2.0])
    assert model.coef_.shape == (1,)
    assert model.predict([[1.0]]).shape == (1,)
    assert SGDOneClassSVM(**SOME).fit([[1.0]]).predict([[1.0]]).shape == (1,)

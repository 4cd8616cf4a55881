"""Rows in any memory order, precision, byte order and index type: the same results; hostile ones: an error."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from sklosses.data import Csr, Dense, all_finite, as_rows
from sklosses.losses import LogLoss
from sklosses.penalties import ElasticNet
from sklosses.solvers import SGD, Problem, objective

RNG = np.random.default_rng(0)
N, D = 900, 21
X = RNG.normal(size=(N, D)) * (RNG.uniform(size=(N, D)) < 0.6)
Y = (X[:, 0] + RNG.logistic(size=N) > 0).astype(float)
PENALTY = ElasticNet(alpha=1e-3, l1_ratio=0.3)


def fit(rows, batch_size=1):
    """Coefficients and objective after three epochs."""
    problem = Problem(as_rows(rows), Y, ((LogLoss(), 1),), PENALTY)
    result = SGD(batch_size=batch_size).solve(problem, tol=None, max_iter=3)
    return np.append(result.coef, result.objective)


def strided(array):
    """A view of the array's values whose rows and columns are apart."""
    wide = np.full((2 * array.shape[0], 3 * array.shape[1]), np.nan, dtype=array.dtype)
    wide[::2, ::3] = array
    return wide[::2, ::3]


def misaligned(array):
    raw = np.empty(array.nbytes + 1, dtype=np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[:] = array
    return view


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


VIEWS = {
    "F order": np.asfortranarray,
    "strided": strided,
    "padded rows": lambda a: np.hstack([a, a])[:, : a.shape[1]],
    "backwards": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "rows backwards": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "misaligned": misaligned,
    "read-only": read_only,
}


@pytest.mark.parametrize("batch_size", [1, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("view", VIEWS)
def test_memory_layout_does_not_matter(view, dtype, batch_size):
    array = X.astype(dtype)
    assert np.array_equal(fit(VIEWS[view](array), batch_size), fit(array, batch_size))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_mapped(dtype, tmp_path):
    np.save(tmp_path / "X.npy", X.astype(dtype))
    assert np.array_equal(fit(np.load(tmp_path / "X.npy", mmap_mode="r")), fit(X.astype(dtype)))


def test_rows_are_not_copied():
    for array in (X, np.asfortranarray(X), X[:, :5], X[::-1].astype(np.float32)):
        assert np.shares_memory(as_rows(array).array, array)
    matrix = sp.csr_array(X)
    rows = as_rows(matrix)
    assert np.shares_memory(rows.data, matrix.data)
    assert np.shares_memory(rows.indices, matrix.indices)
    assert as_rows(rows) is rows


@pytest.mark.parametrize("batch_size", [1, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_index_types_and_orders_of_entries_agree(dtype, batch_size):
    matrix = sp.csr_array(X.astype(dtype))
    wide = matrix.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    expected = fit(matrix, batch_size)
    assert as_rows(wide).indices.dtype == np.int64
    np.testing.assert_allclose(fit(wide, batch_size), expected, rtol=1e-10, atol=1e-11)
    assert np.array_equal(fit(sp.csr_matrix(matrix), batch_size), expected)

    backwards = matrix.copy()
    for i in range(N):
        row = slice(matrix.indptr[i], matrix.indptr[i + 1])
        backwards.indices[row], backwards.data[row] = matrix.indices[row][::-1], matrix.data[row][::-1]
    np.testing.assert_allclose(fit(backwards, batch_size), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_duplicates_are_summed_in_a_copy(index):
    matrix = sp.csr_array(X)
    data = np.repeat(matrix.data, 2) * np.tile([0.25, 0.75], matrix.nnz)
    twice = sp.csr_array((data, np.repeat(matrix.indices, 2).astype(index), (2 * matrix.indptr).astype(index)),
                         shape=X.shape)
    before = twice.data.copy(), twice.indices.copy()
    np.testing.assert_allclose(fit(twice), fit(matrix), rtol=1e-10, atol=1e-11)
    assert np.array_equal(twice.data, before[0])
    assert np.array_equal(twice.indices, before[1])


def test_csr_and_dense_have_the_same_objective():
    coef, intercept = RNG.normal(size=(1, D)), np.array([0.3])
    values = [objective(Problem(as_rows(rows), Y, ((LogLoss(), 1),), PENALTY), coef, intercept)
              for rows in (X, np.asfortranarray(X), sp.csr_array(X))]
    np.testing.assert_allclose(np.ravel(values), values[0][0], rtol=1e-14)


def broken(**parts):
    """A CSR matrix whose arrays scipy has not checked."""
    matrix = sp.csr_array(X)
    for name, change in parts.items():
        array = getattr(matrix, name).copy()
        setattr(matrix, name, change(array))
    return matrix


def put(place, value):
    def change(array):
        array[place] = value
        return array

    return change


@pytest.mark.parametrize(("parts", "message"), [
    ({"indices": put(5, D)}, r"indices of a CSR matrix must lie in \[0, 21\)"),
    ({"indices": put(-1, -1)}, "indices of a CSR matrix must lie in"),
    ({"indices": put(0, 2**31 - 1)}, "indices of a CSR matrix must lie in"),
    ({"indptr": put(3, 10**9)}, "indptr of a CSR matrix must not decrease"),
    ({"indptr": put(3, -4)}, "indptr of a CSR matrix must not decrease"),
    ({"indptr": put(-1, 2**31 - 1)}, "indptr of a CSR matrix must not decrease"),
    ({"indptr": lambda a: a[:-1].copy()}, "indptr of a CSR matrix with 900 rows"),
    ({"data": lambda a: a[:-3].copy()}, "number of stored entries"),
    ({"indices": lambda a: a[:-3].copy()}, "number of stored entries"),
    ({"data": lambda a: a.astype(int)}, "must be of type float32 or float64"),
    ({"indices": lambda a: a.astype(float)}, "indices of a CSR matrix must be integers"),
])
def test_hostile_csr_is_an_error(parts, message):
    with pytest.raises(ValueError, match=message):
        as_rows(broken(**parts))


@pytest.mark.parametrize(("rows", "message"), [
    (np.ones(3), "two-dimensional"),
    (np.ones((3, 2), dtype=int), "float32 or float64"),
    (np.ones((3, 2), dtype=complex), "float32 or float64"),
    (np.ones((3, 2), dtype=np.float16), "float32 or float64"),
    (np.ones((3, 2), dtype=object), "float32 or float64"),
    (sp.csc_array(X), "CSR format, got 'csc'"),
])
def test_other_rows_are_an_error(rows, message):
    with pytest.raises(ValueError, match=message):
        as_rows(rows)


def test_shapes_must_fit():
    rows, losses = as_rows(X), ((LogLoss(), 1),)
    for wrong in ({"targets": Y[1:]}, {"targets": np.ones((N, 2))}, {"weights": Y[1:]}, {"offset": np.ones((N, 1))},
                  {"subset": np.array([N])}, {"subset": np.array([-1])}):
        problem = Problem(rows, **{"targets": Y, "losses": losses, "penalty": PENALTY} | wrong)
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SGD().solve(problem)
    with pytest.raises(ValueError, match="no rows"):
        SGD().solve(Problem(rows, Y, losses, PENALTY, subset=np.array([], dtype=np.intp)))


def test_a_subset_is_the_same_as_those_rows():
    subset = np.sort(RNG.choice(N, size=500, replace=False))
    weights, offset = RNG.uniform(size=N), RNG.normal(size=N)
    some = Problem(as_rows(X), Y, ((LogLoss(), 1),), PENALTY, weights=weights, offset=offset, subset=subset)
    those = Problem(as_rows(X[subset]), Y[subset], ((LogLoss(), 1),), PENALTY, weights=weights[subset],
                    offset=offset[subset])
    results = [SGD(batch_size=7).solve(problem, tol=None, max_iter=3) for problem in (some, those)]
    assert np.array_equal(results[0].coef, results[1].coef)
    assert np.array_equal(results[0].objective, results[1].objective)


@pytest.mark.parametrize("rows", [X, sp.csr_array(X)])
def test_rows_can_be_pickled(rows):
    rows = as_rows(rows)
    other = pickle.loads(pickle.dumps(rows))
    assert type(other) is type(rows) in (Dense, Csr)
    assert np.array_equal(fit(other), fit(rows))


def test_rows_of_no_features_and_of_many():
    for n_features in (0, 1, 7, 8, 9, 1000):
        table = RNG.normal(size=(N, n_features)) / max(1, n_features) ** 0.5
        for rows in (table, np.asfortranarray(table), sp.csr_array(table), table.astype(np.float32)):
            assert np.all(np.isfinite(fit(rows, 1)))
            assert np.all(np.isfinite(fit(rows, 50)))


# Whether all is finite ----------------------------------------------------------------------------------------------

PIECE = 1 << 18     # bytes that a thread looks at between two others
NATIVE = {name: view for name, view in VIEWS.items() if name != "other byte order"} | {"C order": np.array}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("view", NATIVE)
def test_what_is_not_finite_is_found_wherever_it_is(view, dtype):
    """At the ends of rows, columns and pieces, on any number of threads; the largest numbers are finite."""
    per_piece, info = PIECE // np.dtype(dtype).itemsize, np.finfo(dtype)
    array = np.full((per_piece // 8 + 3, 21), info.max, dtype=dtype)
    array[::2] = -info.smallest_subnormal
    n = array.size
    places = {0, 1, 20, 21, n // 2, n - 22, n - 2, n - 1}
    places |= {k * per_piece + shift for k in (1, 2) for shift in (-1, 0, 1)}
    given = NATIVE[view](array)
    assert all(all_finite(given, n_threads) for n_threads in (1, 2, 5))
    for place, value in zip(sorted(places), [np.nan, np.inf, -np.inf] * len(places), strict=False):
        array.flat[place] = value
        given = NATIVE[view](array)
        assert not any(all_finite(given, n_threads) for n_threads in (1, 2, 5)), place
        array.flat[place] = 0.0


@pytest.mark.parametrize("array", [np.empty((0, 3)), np.empty((3, 0)), np.empty(0), np.zeros(1), np.zeros((1, 1))])
def test_the_smallest_arrays_are_finite(array):
    assert all_finite(array, 4)


def test_vectors_are_looked_at_whole():
    vector = np.zeros(100_001)
    for apart in (1, 3, -1, -7):
        view = vector[::apart]
        view[-1] = np.nan
        assert not all_finite(view, 2)
        view[-1] = 1e308
        assert all_finite(view, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("view", NATIVE)
def test_rows_are_taken_as_numpy_takes_them(view, dtype):
    rng = np.random.default_rng(0)
    array = rng.normal(size=(4001, 21)).astype(dtype)
    dense = Dense(NATIVE[view](array))
    for numbers in (np.arange(4001), np.array([4000]), rng.integers(0, 4001, size=9000), np.empty(0, dtype=np.intp)):
        for n_threads in (1, 2, 5):
            taken = dense.take(numbers, n_threads).array
            assert taken.flags.c_contiguous
            np.testing.assert_array_equal(taken, array[numbers], strict=True)


@pytest.mark.parametrize("numbers", [[0, 5], [-1]])
def test_rows_that_are_not_there_are_not_taken(numbers):
    with pytest.raises(IndexError, match=r"\[0, 5\)"):
        Dense(np.zeros((5, 2))).take(np.array(numbers))

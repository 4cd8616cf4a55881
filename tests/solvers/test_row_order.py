"""The order of rows: a permutation, reproducible, and mixed well enough for a table sorted by its target."""

import numpy as np
import pytest
from scipy.stats import chi2
from sklearn import linear_model
from sklearn.datasets import make_classification

from oracle.classic import SGDClassifier, SGDOneClassSVM, SGDRegressor
from sklosses.data import as_rows
from sklosses.losses import get_loss
from sklosses.penalties import get_penalty
from sklosses.solvers import SGD, Problem, row_order

SIZES = [0, 1, 2, 3, 17, 31, 63, 64, 65, 127, 128, 500, 1000, 4097, 50_000]
BYTES = [1, 8, 100, 432, 8192, 10**7]


@pytest.mark.parametrize("row_bytes", BYTES)
@pytest.mark.parametrize("n", SIZES)
def test_a_permutation(n, row_bytes):
    order = row_order(n, row_bytes, seed=3, epoch=1)
    assert order.dtype == np.intp
    assert np.array_equal(np.sort(order), np.arange(n))


@pytest.mark.parametrize("row_bytes", BYTES)
def test_depends_on_seed_and_epoch_and_nothing_else(row_bytes):
    first = row_order(1000, row_bytes, seed=7, epoch=2)
    row_order(99, 8, seed=1, epoch=0)
    assert np.array_equal(first, row_order(1000, row_bytes, seed=7, epoch=2))
    seen = {row_order(1000, row_bytes, seed, epoch).tobytes() for seed in (1, 7, 2**31 - 1) for epoch in range(50)}
    assert len(seen) == 150


@pytest.mark.parametrize("row_bytes", [8, 432, 10**7])
def test_orders_of_neighbours_are_unrelated(row_bytes):
    """Rank correlations between epochs, and between seeds: within 4.5 standard deviations of none."""
    n = 5000
    orders = [np.argsort(row_order(n, row_bytes, seed, epoch)) for seed in (1, 2, 3) for epoch in range(3)]
    correlations = np.corrcoef([*orders, np.arange(n)])[np.triu_indices(10, 1)]
    # Rows move with their block: there are as many independent positions as blocks.
    blocks = n / min(max(1, 8192 // row_bytes), n // 64)
    assert np.abs(correlations).max() < 4.5 / np.sqrt(blocks)


@pytest.mark.parametrize("n", [60, 200, 1000, 20_000])
@pytest.mark.parametrize("row_bytes", [8, 432, 10**7])
@pytest.mark.parametrize("share", [0.5, 0.2])
def test_a_sorted_table_mixes(n, row_bytes, share):
    """Of a table sorted by class no stretch is of one class, and every tenth of an epoch sees its share of both."""
    longest, shares = 0, []
    for epoch in range(20):
        labels = row_order(n, row_bytes, seed=0, epoch=epoch) < share * n
        edges = np.flatnonzero(np.diff(labels.astype(int)))
        runs = np.diff(np.concatenate([[-1], edges, [n - 1]]))
        longest = max(longest, runs.max())
        shares.append([part.mean() for part in np.array_split(labels, 10)])
    # Independent labels: the longest of 20 n / 2 runs of the larger class is about log(n) / log(1 / (1 - share)) long.
    # A last window of few blocks may be of one class: it is at most 31 blocks of at most n / 64 rows, seldom alike.
    independent = np.log(20 * n) / np.log(1 / max(share, 1 - share))
    assert longest <= 3 * independent + n / 64
    assert np.mean(shares) == pytest.approx(share, abs=1 / n)
    blocks = n / min(max(1, 8192 // row_bytes), max(1, n // 64))
    assert np.std(shares) < 1.5 * np.sqrt(share * (1 - share) / (blocks / 10)) + 1 / n


@pytest.mark.parametrize("n", [7, 40, 100])
def test_every_row_is_as_likely_in_every_place(n):
    """Chi-squared over (row, place), 4000 epochs: within 5 standard deviations of uniform.

    Of tables beyond 1 MB: the order of smaller ones is scikit-learn's, whose 32-bit generator does not pass.
    """
    counts = np.zeros((n, n))
    for epoch in range(4000):
        counts[np.arange(n), row_order(n, 10**7, seed=11, epoch=epoch)] += 1
    statistic = np.sum((counts - 4000 / n) ** 2) / (4000 / n)
    freedom = (n - 1) ** 2
    assert chi2.sf(statistic, freedom) > 1e-6
    assert chi2.cdf(statistic, freedom) > 1e-6


@pytest.mark.parametrize("estimators", [
    (linear_model.SGDClassifier, SGDClassifier), (linear_model.SGDRegressor, SGDRegressor),
    (linear_model.SGDOneClassSVM, SGDOneClassSVM),
])
def test_small_tables_come_in_the_order_of_scikit_learn(estimators):
    """... and so, seed by seed, to its coefficients."""
    X, y = make_classification(200, 6, random_state=0)
    for seed in range(3):
        theirs, ours = (cls(random_state=seed).fit(X, y) for cls in estimators)
        assert ours.n_iter_ == theirs.n_iter_
        np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-11, atol=1e-12)


def test_several_classes_share_the_order_of_the_first():
    X, y = make_classification(200, 6, n_informative=5, n_redundant=0, n_classes=3, random_state=0)
    theirs, ours = (cls(random_state=1).fit(X, y) for cls in (linear_model.SGDClassifier, SGDClassifier))
    np.testing.assert_allclose(ours.coef_[0], theirs.coef_[0], rtol=1e-11, atol=1e-11)


def test_neighbours_part():
    """Rows that follow each other in the table seldom do in an epoch."""
    for row_bytes in (8, 432, 10**7):
        follows = [np.mean(np.diff(row_order(20_000, row_bytes, seed=0, epoch=epoch)) == 1) for epoch in range(5)]
        assert max(follows) < 1 / 100


@pytest.mark.parametrize("n", [500, 200_000])
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_solver_takes_it(shuffle, n):
    """One epoch over rows that each set the prediction to their own number leaves that of the last."""
    problem = Problem(as_rows(np.ones((n, 1))), np.arange(n, dtype=float), ((get_loss("squared_error"), 1),),
                      get_penalty(None), fit_intercept=False)
    solver = SGD("constant", eta0=1.0, shuffle=shuffle)
    for epochs in (1, 2, 3):
        last = solver.solve(problem, tol=None, max_iter=epochs, random_state=5).coef[0, 0]
        assert last == (row_order(n, 8, 5, epochs - 1)[-1] if shuffle else n - 1)

"""Where paths begin: zero from there on, not before, and the linear programme behind losses with kinks."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_array
from scipy.sparse import random as sparse_random
from sklearn.linear_model import ElasticNetCV

from sklosses.data import as_rows
from sklosses.losses import get_loss, loss_names
from sklosses.penalties import L1, L2, ElasticNet, NoPenalty
from sklosses.solvers import Auto, DualDescent, OneVsRest, Problem, alpha_max
from sklosses.solvers._least_maximum import Box, LeastMaximum

# Zero coefficients satisfy these best, without any penalty.
SATISFIED = ("perceptron", "smoothed_perceptron")
N = 400


def table(seed=0, n=N, d=5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * np.logspace(-1, 1, d) + np.linspace(0, 3, d)
    return X, X @ np.linspace(1, 0.02, d) - 2.0 + rng.normal(size=n)


def problem(name, *, seed=0, counts=False, sparse=False, **given):
    """A loss on a table: the positive class is a third, numbers are positive, or counts with many ties."""
    loss = get_loss(name)
    X, signal = table(seed)
    if loss.target.codes is not None:
        y = np.where(signal > np.quantile(signal, 2 / 3), loss.target.codes[1], loss.target.codes[0])
    else:
        y = np.exp(0.3 * signal)
        y = np.round(4 * y) + (name == "gamma") if counts else y
    return Problem(as_rows(csr_array(X) if sparse else X), y, ((loss, 1),), NoPenalty(), **given)


def weights(seed=1):
    return np.random.default_rng(seed).integers(0, 4, N).astype(float)


def solved(given, alpha):
    return Auto().solve(replace(given, penalty=L1(alpha=alpha)), tol=1e-9).coef


LOSSES = sorted({*loss_names("classification"), *loss_names("regression")} - {*SATISFIED})


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("counts", [False, True])
def test_zero_from_there_on_and_not_before(name, counts):
    given = problem(name, counts=counts)
    (alpha,) = alpha_max(given)
    assert not np.any(solved(given, 1.001 * alpha))
    assert np.any(solved(given, 0.99 * alpha))


@pytest.mark.parametrize("name", ["hinge", "quantile", "absolute_error", "epsilon_insensitive"])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
@pytest.mark.parametrize("solver", [Auto(), DualDescent()], ids=["auto", "dual descent"])
def test_not_one_coefficient_whatever_the_tolerance(solver, ratio, name):
    """Where zero is the minimum a model that is above it by less than the tolerance is another one."""
    loss, rng = get_loss(name), np.random.default_rng(1)
    X = sparse_random(300, 300, 0.02, format="csr", random_state=1)
    signal = X @ rng.standard_normal(300) + 0.5 * rng.standard_normal(300)
    y = signal if loss.target.codes is None else np.where(signal > np.quantile(signal, 0.4), *loss.target.codes[::-1])
    given = Problem(as_rows(csr_array(X)), y.astype(float), ((loss, 1),), NoPenalty())
    (alpha,) = alpha_max(given) / ratio
    for more in (1.0, 1.0001):
        result = solver.solve(replace(given, penalty=ElasticNet(alpha=more * alpha, l1_ratio=ratio)), tol=1e-3)
        assert not np.any(result.coef)


@pytest.mark.parametrize("name", ["hinge", "log_loss", "absolute_error", "quantile"])
@pytest.mark.parametrize(
    "setting",
    [
        {"weights": weights()},
        {"fit_intercept": False},
        {"offset": np.linspace(-1, 1, N)},
        {"subset": np.arange(0, N, 3)},
        {"sparse": True},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_in_every_setting(name, setting):
    given = problem(name, counts=True, **setting)
    (alpha,) = alpha_max(given)
    assert not np.any(solved(given, 1.001 * alpha))
    assert np.any(solved(given, 0.99 * alpha))


@pytest.mark.parametrize("weighted", [False, True])
def test_squared_error_is_that_of_scikit_learn(weighted):
    X, y = table()
    s = weights() if weighted else None
    theirs = ElasticNetCV(l1_ratio=1.0, alphas=3, cv=2, max_iter=1, tol=1e9).fit(X, y, sample_weight=s).alphas_[0]
    ours = alpha_max(Problem(as_rows(X), y, ((get_loss("squared_error"), 1),), NoPenalty(), weights=s))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def linear_programme(X, low, high, s):
    """min t: |sum_i s_i u_i x_ij| / S <= t, sum_i s_i u_i = 0, low <= u <= high."""
    total, (n, d) = s.sum(), X.shape
    back = (X * s[:, np.newaxis]).T / total
    rows = np.block([[back, -np.ones((d, 1))], [-back, -np.ones((d, 1))]])
    bounds = [*zip(low, high, strict=True), (0, None)]
    solution = linprog(np.append(np.zeros(n), 1.0), rows, np.zeros(2 * d), np.append(s, 0.0)[np.newaxis], [0.0], bounds)
    return solution.fun


@pytest.mark.parametrize("d", [1, 7, 300])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_hinge_is_a_linear_programme(d, share):
    """The rarer class is beyond the kink, the other anywhere on it; more features than join the programme at once."""
    rng = np.random.default_rng(d)
    X, s = rng.normal(size=(200, d)), rng.uniform(0.5, 2.0, 200)
    rare = X[:, 0] + rng.normal(size=200) > np.quantile(X[:, 0], 1 - share)
    rare |= np.arange(200) == 0
    if s[rare].sum() > s[~rare].sum():
        rare = ~rare
    y = np.where(rare, 1.0, -1.0)
    expected = linear_programme(X, np.where(rare, -1.0, 0.0), np.where(rare, -1.0, 1.0), s)
    (alpha,) = alpha_max(Problem(as_rows(X), y, ((get_loss("hinge"), 1),), NoPenalty(), weights=s))
    assert expected * (1 - 1e-9) <= alpha <= expected * (1 + 5e-3)


@pytest.mark.parametrize("name", ["hinge", "absolute_error"])
@pytest.mark.parametrize("setting", ["plain", "weights", "no intercept", "sorted", "csr", "wider than the programme"])
def test_some_of_many_rows_tell_of_all(name, setting, monkeypatch):
    """More rows with ties than are variables at first."""
    monkeypatch.setattr("sklosses.solvers._alpha_max.FIRST_ROWS", 300)
    monkeypatch.setattr("sklosses.solvers._alpha_max.ROWS_A_FEATURE", 100)
    if setting == "wider than the programme":
        monkeypatch.setattr("sklosses.solvers._alpha_max.NARROW", 3)
    n, rng = 6000, np.random.default_rng(5)
    X, signal = table(7, n, 4)
    if setting == "sorted":
        X, signal = X[np.argsort(signal)], np.sort(signal)
    s = rng.uniform(0.5, 2.0, n) if setting == "weights" else np.ones(n)
    if name == "hinge":
        y = np.where(signal > np.quantile(signal, 0.7), 1.0, -1.0)
    else:
        y = np.round(2 * np.exp(0.3 * signal))
    given = Problem(as_rows(csr_array(X) if setting == "csr" else X), y, ((get_loss(name), 1),), NoPenalty(),
                    weights=s if setting == "weights" else None, fit_intercept=setting != "no intercept")
    (alpha,) = alpha_max(given)
    assert not np.any(solved(given, 1.001 * alpha))
    assert np.any(solved(given, 0.99 * alpha))


@pytest.mark.parametrize(("m", "d"), [(300, 7), (200, 300), (300, 1), (5, 3), (1, 2)])
@pytest.mark.parametrize("share", [None, 0.0, 1e-6, 0.4, 1.0])
@pytest.mark.parametrize("far", [0.0, 1.0])
def test_the_least_maximum(m, d, share, far):
    """Bounds hold on both sides, and meet."""
    rng = np.random.default_rng(m + d)
    rows, low, high = rng.normal(size=(m, d)) + 0.3, -rng.uniform(0, 1, m), rng.uniform(0.1, 1, m)
    constant = far * (rng.normal(size=d) * np.sqrt(m) + 0.1 * m)
    total = None if share is None else low.sum() + share * (high - low).sum()
    given = np.block([[rows.T, -np.ones((d, 1))], [-rows.T, -np.ones((d, 1))]])
    sums = {} if total is None else {"A_eq": np.append(np.ones(m), 0)[np.newaxis], "b_eq": [total]}
    bounds = [*zip(low, high, strict=True), (0, None)]
    expected = linprog(np.append(np.zeros(m), 1), given, np.append(-constant, constant), bounds=bounds, **sums).fun
    least = 1e-9 * np.abs(rows).sum()
    found = LeastMaximum(rows, Box(low, high, constant, total)).solve(1e-3, least)
    assert found.lower <= expected * (1 + 1e-7) + least
    assert found.upper >= expected * (1 - 1e-7) - least
    assert np.abs(found.direction).sum() <= 1 + 1e-12
    if share not in (0.0, 1e-6, 1.0):       # where v has no room, steps have none, either
        assert found.upper <= max(1.001 * found.lower, least)
        assert np.all((found.v >= low) & (found.v <= high))
        assert np.abs(constant + found.v @ rows).max() == pytest.approx(found.upper, abs=least)


def test_counts_are_a_linear_programme():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 6))
    y = rng.poisson(np.exp(X[:, 0] + 1)).astype(float)
    loss, median = get_loss("absolute_error"), np.median(y)
    low, high = np.where(y < median, 1.0, -1.0), np.where(y > median, -1.0, 1.0)
    assert np.sum(low < high) > 20
    expected = linear_programme(X, low, high, np.ones(300))
    (alpha,) = alpha_max(Problem(as_rows(X), y, ((loss, 1),), NoPenalty()))
    assert expected * (1 - 1e-9) <= alpha <= expected * (1 + 5e-3)


def test_columns_are_each_as_alone():
    X, signal = table()
    classes = np.digitize(signal, np.quantile(signal, [0.2, 0.7])).astype(float)
    many = OneVsRest(codes=(-1.0, 1.0), class_weight=np.array([[1.0, 2.0], [1.0, 1.0], [3.0, 1.0]]))
    together = alpha_max(Problem(as_rows(X), classes, ((get_loss("hinge"), 3),), NoPenalty(), one_vs_rest=many))
    for k in range(3):
        y = np.where(classes == k, 1.0, -1.0)
        s = np.where(y > 0, many.class_weight[k, 1], many.class_weight[k, 0])
        alone = alpha_max(Problem(as_rows(X), y, ((get_loss("hinge"), 1),), NoPenalty(), weights=s))
        np.testing.assert_array_equal(together[k], alone[0])


@pytest.mark.parametrize("name", LOSSES)
def test_l2_begins_where_nothing_is_gained(name):
    """The objective without coefficients is within a hundredth of the minimum; and not much is to spare."""
    given = problem(name)
    (alpha,) = alpha_max(given, "l2")
    floor = 0.0
    if given.losses[0][0].traits.link == "log":
        floor = float(np.mean(given.losses[0][0].value(given.targets, np.log(given.targets))))
    zero = Auto().solve(replace(given, penalty=L1(alpha=1e9)), tol=1e-9).objective[0] - floor
    least = Auto().solve(replace(given, penalty=L2(alpha=alpha)), tol=1e-9).objective[0] - floor
    assert 1e-4 * zero <= zero - least <= 1.0001e-2 * zero


def test_l2_goes_with_the_square_of_the_unit_of_x_and_not_with_that_of_y():
    given = problem("squared_error")
    X = given.rows.array
    (alpha,) = alpha_max(given, "l2")
    scaled = alpha_max(replace(given, rows=as_rows(1e3 * X), targets=7.0 * given.targets), "l2")
    np.testing.assert_allclose(scaled, 1e6 * alpha)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_nothing_to_gain(penalty):
    X = table()[0]
    constant = Problem(as_rows(X), np.full(N, 3.0), ((get_loss("absolute_error"), 1),), NoPenalty())
    assert alpha_max(constant, penalty) == 0
    for name in SATISFIED:
        assert alpha_max(problem(name), penalty) == 0


def test_more_than_half_of_the_rows_at_a_kink_may_hold_all_others():
    """Whatever the coefficients, the median stays: zero is a minimum without any penalty."""
    rng = np.random.default_rng(4)
    y = rng.permutation(np.repeat([0.0, 1.0, 2.0], [20, 360, 20]))
    X = rng.normal(size=(400, 3))
    assert alpha_max(Problem(as_rows(X), y, ((get_loss("absolute_error"), 1),), NoPenalty())) == 0


def test_bad_input():
    with pytest.raises(ValueError, match="'l1' or 'l2', got 'elasticnet'"):
        alpha_max(problem("hinge"), "elasticnet")

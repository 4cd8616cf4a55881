"""The minimum and its certificate on tables that nobody scaled: laws of where they had gone wrong in a fuzzer."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize_scalar
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.preprocessing import scale
from sklearn.svm import OneClassSVM

from sklosses import SGDOneClassSVM
from sklosses.losses import get_loss, loss_names
from sklosses.penalties import get_penalty
from sklosses.solvers import minimize

#: Losses that bend within a part of their range and are straight elsewhere: at first no row of a table may bend.
STRAIGHT = ("huber", "log_cosh", "pseudo_huber", "smoothed_absolute_error", "smoothed_epsilon_insensitive",
            "smoothed_quantile")
#: Classifiers' losses that are 0 beyond a margin.
MARGINS = ("hinge", "squared_hinge", "modified_huber", "smoothed_hinge")


def one_hot(n, seed=0, levels=(3, 5, 8)):
    """Codes with all their columns, skewed, and three numbers of quite different size."""
    rng = np.random.default_rng(seed)
    codes = [np.eye(k)[(rng.random(n) ** 3 * k).astype(int)] for k in levels]
    return np.column_stack([*codes, rng.standard_normal(n), rng.lognormal(7, 2, n), 1e-3 * rng.standard_normal(n)])


def quietly(X, y, loss, penalty="none", **options):
    """minimize, with warnings as errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return minimize(X, y, loss, penalty, **options)


@pytest.mark.parametrize("kind", ["l1", "elasticnet"])
@pytest.mark.parametrize("name", ["squared_error", "expectile", "huber", "log_loss", "poisson"])
def test_dependent_features_under_l1_are_proven(name, kind):
    """A step's quadratic model has no unique minimum there, and is minimised all the same."""
    X, loss = one_hot(3000), get_loss(name)
    score = X[:, 0] - X[:, 4] + 0.5 * X[:, 16] + np.random.default_rng(1).standard_normal(3000)
    y = (score > 0).astype(float) if loss.target.codes is not None else np.exp(score) if name == "poisson" else score
    for alpha in (1e-6, 1e-4, 1e-2):
        result = quietly(X, y, name, get_penalty(kind, alpha=alpha), tol=1e-6)
        assert result.gap[0] <= 1e-6, (alpha, result.gap)
        assert result.gap_kind == ("proof",), alpha


@pytest.mark.parametrize("unit", [1.0, 1e9])
@pytest.mark.parametrize("name", STRAIGHT)
def test_far_from_a_bend_the_minimum_is_that_of_straight_lines(name, unit):
    """With targets of 1e9 a bend of 1 is none: the objective is within its width of the loss with a kink."""
    rng = np.random.default_rng(0)
    X = one_hot(800)
    y = unit * (X[:, 0] + X[:, 16] + rng.standard_t(3, 800))
    kinked = "quantile" if "quantile" in name else "absolute_error"
    result = quietly(X, y, name, "none", tol=1e-4, max_iter=1000)
    assert result.converged or unit > 1
    if unit > 1:            # no curvature is left there, but that of means over bands
        slope = 1.35 if name == "huber" else 1.0        # of the straight parts
        least = quietly(X, y, kinked, "none", tol=1e-6).objective[0]
        assert result.objective[0] / slope == pytest.approx(least, rel=2e-4)
        assert result.objective[0] / slope - least <= result.gap[0] * least + 2


@pytest.mark.parametrize("name", ["smoothed_hinge", "smoothed_epsilon_insensitive", "huber"])
def test_no_row_bends_at_the_start_under_l1(name):
    """No curvature at all is no certificate: the objective of nothing but a constant is not the minimum."""
    rng = np.random.default_rng(0)
    X = np.sign(rng.standard_normal((400, 5)))
    y = np.where(X @ [3.0, 1.0, 0.0, 0.0, 0.0] > 0, 1.0, -1.0)
    result = quietly(X, y * (1 if name == "smoothed_hinge" else 50), name, get_penalty("l1", alpha=1e-4), tol=1e-3,
                     fit_intercept=False)
    least = quietly(X, y * (1 if name == "smoothed_hinge" else 50), name, get_penalty("elasticnet", alpha=1e-4,
                    l1_ratio=1 - 1e-9), tol=1e-9, fit_intercept=False).objective[0]
    assert result.objective[0] <= least * (1 + 1e-3) + 1e-9
    assert result.objective[0] - least <= result.gap[0] * least * (1 + 1e-6) + 1e-12


@pytest.mark.parametrize("name", MARGINS)
def test_separable_classes_leave_nothing(name):
    """Without a penalty the minimum is 0, and attained: not 1e-15 of it, of which a tolerance is a share."""
    rng = np.random.default_rng(3)
    X = np.column_stack([rng.standard_normal((120, 30)) * 10.0 ** rng.uniform(-3, 3, 30), one_hot(120)])
    y = np.where(X[:, 0] / np.std(X[:, 0]) + X[:, 30] > 0.3, 1.0, -1.0)
    result = quietly(X, y, name, "none", tol=1e-6, max_iter=1000)
    assert (result.objective[0], result.gap[0]) == (0, 0)
    assert result.n_iter < 1000


@pytest.mark.parametrize("name", ["poisson", "exponential"])
def test_rows_that_a_sample_did_not_have(name):
    """A few rows far out, where a sample's coefficients make an exponential overflow."""
    rng = np.random.default_rng(0)
    n = 30_000
    X = rng.standard_normal((n, 20))
    X[:, 3] = 1e-3 * np.abs(X[:, 3])
    X[rng.permutation(n)[:6], 3] = 50.0
    score = X[:, 0] + 800 * np.minimum(X[:, 3], 2e-3)
    y = rng.poisson(np.exp(score - 2)).astype(float) if name == "poisson" else np.where(score > 1.5, 1.0, -1.0)
    for penalty in (get_penalty("l2", alpha=1e-8), get_penalty("l1", alpha=1e-6)):
        result = quietly(X, y, name, penalty, tol=1e-4, max_iter=300)
        assert result.gap[0] <= 1e-4


def smooth_and_not():
    """Convex losses, but those that no coefficients at all minimise."""
    return [name for name in loss_names() if get_loss(name).traits.convex and "perceptron" not in name]


@pytest.mark.parametrize("name", smooth_and_not())
@pytest.mark.parametrize("kind", ["none", "l1"])
def test_sparse_rows_without_l2(name, kind):
    """One-hot rows as CSR: the same minimum as dense ones, and no estimate below it."""
    X, loss = one_hot(600)[:, :-2], get_loss(name)
    X = np.column_stack([X, np.eye(90)[np.arange(600) % 90]])
    rng = np.random.default_rng(2)
    score = X[:, 0] - X[:, 2] + X[:, 16] + rng.standard_normal(600)
    y = score - score.min() + 0.5 if loss.target.low > -np.inf else score
    if loss.target.codes is not None:
        y = np.where(score > 0, loss.target.codes[1], loss.target.codes[0])
    penalty = get_penalty(kind, alpha=1e-3)
    dense, thin = (quietly(table, y, name, penalty, tol=1e-6) for table in (X, sparse.csr_array(X)))
    assert thin.gap[0] <= 1e-6
    scale = max(abs(dense.objective[0]), 1e-9)
    assert abs(thin.objective[0] - dense.objective[0]) <= 2e-6 * scale + 1e-9


@pytest.mark.parametrize("penalty", [("l1", 1e-3), ("l1", 1e-4), ("l2", 1e-2), ("none", 0.0)])
def test_rare_positives_among_codes(penalty):
    """A hinge with hundreds of rows on its kink and columns that depend on each other, in few readings."""
    X = one_hot(12_000)
    rng = np.random.default_rng(5)
    y = np.where(X[:, 16] + X[:, 0] + rng.standard_normal(12_000) > 3.2, 1.0, -1.0)
    assert 0.001 < np.mean(y > 0) < 0.05
    result = quietly(X, y, "hinge", get_penalty(penalty[0], alpha=penalty[1]), tol=1e-6, max_iter=60)
    assert result.gap[0] <= 1e-6
    assert result.n_iter <= 40


def test_a_constant_column_next_to_tiny_ones():
    """What is left of a constant when its mean is taken off is rounding, and no feature."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4))
    y = np.where(X[:, 0] + rng.standard_normal(300) > 0, 1.0, -1.0)
    offset = 3 * rng.standard_normal(300)
    plain = quietly(X, y, "hinge", "none", tol=1e-6, offset=offset)
    tiny = quietly(np.column_stack([X, np.full(300, 0.3)]) * 1e-8, y, "hinge", "none", tol=1e-6, offset=offset)
    assert tiny.gap[0] <= 1e-6
    assert tiny.objective[0] == pytest.approx(plain.objective[0], rel=1e-6)


def test_a_dual_value_is_never_above_the_objective():
    """Targets far from 0, where the terms of the dual cancel: no gap below 0."""
    X = sparse.random_array((2000, 120), density=0.02, format="csr", rng=np.random.default_rng(0))
    y = 1e9 + np.where(X.sum(axis=1) > 1, 1e-6, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = minimize(X, y, "smoothed_quantile", get_penalty("l2", alpha=5e-3), tol=1e-10)
    assert result.gap[0] >= 0


@pytest.mark.parametrize("name", ["expectile", "exponential", "log_loss", "squared_hinge", "poisson"])
def test_fewer_rows_than_codes_under_l1(name):
    """More coefficients than rows can tell apart: which of them a step keeps is found, in few steps."""
    X, loss = one_hot(28, levels=(20, 30, 40))[:, :-2], get_loss(name)
    rng = np.random.default_rng(1)
    y = np.where(rng.random(28) < 0.4, 1.0, -1.0)
    if loss.target.codes is not None:
        y = np.where(y > 0, loss.target.codes[1], loss.target.codes[0])
    elif name == "poisson":
        y = rng.poisson(2.0, 28).astype(float)
    for alpha in (1e-7, 1e-4):
        result = quietly(X, y, name, get_penalty("l1", alpha=alpha), tol=1e-6, max_iter=300)
        assert result.gap[0] <= 1e-6, alpha


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["squared_error", "expectile"])
def test_copies_but_for_their_last_digits(name, seed):
    """What a Gram matrix cannot tell from a copy may still be worth something: an estimate says how much at most."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((60, 3)) * [1.0, 30.0, 1e3] + [0.0, 100.0, 0.0]
    X = np.column_stack([X, X @ rng.standard_normal((3, 3)), X[:, 0] * 1e3]).astype(np.float32).astype(float)
    y = X[:, 0] + rng.standard_normal(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = minimize(X, y, name, "none", tol=1e-6)
    if name == "squared_error":
        table = np.column_stack([(X - X.mean(0)) / X.std(0), np.ones(60)])
        u, sizes, _ = np.linalg.svd(table, full_matrices=False)
        least = np.sum((y - u[:, sizes > 1e-14 * sizes[0]] @ (u.T @ y)[sizes > 1e-14 * sizes[0]]) ** 2) / 120
        assert result.objective[0] - least <= result.gap[0] * least * (1 + 1e-6)
    assert result.gap[0] > 1e-4     # that many features of noise are


@pytest.mark.parametrize("name", ["exponential", "poisson", "gamma"])
def test_rows_of_no_weight_may_be_anywhere(name):
    """A row of weight 0 whose loss is beyond float64 is left out."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    y = np.where(rng.random(60) < 0.5, 1.0, -1.0) if name == "exponential" else np.exp(X[:, 0] + rng.random(60))
    X[40:] *= 1e6
    weight = np.repeat([1.0, 0.0], [40, 20])
    for kind in ("none", "l1", "l2"):
        penalty = get_penalty(kind, alpha=1e-3)
        there = quietly(X, y, name, penalty, tol=1e-8, sample_weight=weight)
        left_out = quietly(X[:40], y[:40], name, penalty, tol=1e-8)
        np.testing.assert_allclose(there.coef, left_out.coef, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", ["l2", "elasticnet"])
@pytest.mark.parametrize("name", ["smoothed_epsilon_insensitive", "smoothed_hinge", "huber"])
def test_codes_that_no_sample_and_no_bent_row_has(name, kind):
    """A code of a few rows, all on straight parts of their loss, is no constant column."""
    rng = np.random.default_rng(0)
    n = 20_000
    X = np.column_stack([rng.standard_normal((n, 4)), np.zeros((n, 60))])
    X[rng.permutation(n)[:180].reshape(60, 3), 4 + np.arange(60)[:, np.newaxis]] = 1.0
    y = np.where(X[:, 0] + rng.standard_normal(n) > 1.5, 1.0, -1.0)
    y[X[:, 4:].any(axis=1)] = 1.0
    penalty = get_penalty(kind, alpha=1e-4)
    result = quietly(X, y * (1 if name == "smoothed_hinge" else 30), name, penalty, tol=1e-6)
    assert result.gap[0] <= 1e-6
    assert result.gap_kind == ("proof",)
    assert np.all(result.coef[0, 4:] > 0)


@pytest.mark.parametrize("seed", range(3))
def test_an_intercept_that_may_be_anywhere(seed):
    """No coefficient is worth its penalty, no row bends at the best constant, and its slope is 0 to rounding."""
    rng = np.random.default_rng(seed)
    X, weight = rng.standard_normal((60, 3)), rng.integers(1, 4, 60).astype(float)
    y = np.where(rng.permutation(60) < 30, -40.0, 70.0) + rng.standard_normal(60).round(1)
    weight[np.argmax(y)] += max(weight[y < 0].sum() - weight[y > 0].sum(), 0.0)
    weight[np.argmin(y)] += max(weight[y > 0].sum() - weight[y < 0].sum(), 0.0)
    result = quietly(X, y, "huber", get_penalty("l1", alpha=10.0), tol=1e-6, sample_weight=weight)
    assert result.gap[0] <= 1e-12


@pytest.mark.parametrize("nu", [0.02, 0.3, 0.8])
@pytest.mark.parametrize("name", ["wine", "breast cancer", "many at 0", "wine, scaled"])
def test_a_one_class_svm_of_raw_features(name, nu):
    """All rows are at the kink at the best constant, and the solution 1e5 away: no worse than libsvm's, and proven."""
    rng = np.random.default_rng(0)
    X = {"wine": lambda: load_wine().data, "breast cancer": lambda: load_breast_cancer().data,
         "many at 0": lambda: rng.lognormal(8, 1, (400, 4)) * (rng.random((400, 4)) < 0.9),
         "wine, scaled": lambda: scale(load_wine().data)}[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SGDOneClassSVM(nu=nu, tol=1e-6).fit(X)
    assert model.gap_ <= 1e-6
    reference = OneClassSVM(kernel="linear", nu=nu).fit(X)

    def objective(w, offset):
        return nu / 2 * w @ w + nu * (1 - offset) + np.maximum(offset - X @ w, 0).mean()

    theirs = objective(reference.coef_[0] / (nu * len(X)), reference.offset_[0] / (nu * len(X)))
    assert model.objective_ <= theirs + 1e-6 * abs(theirs)
    assert objective(np.ravel(model.coef_), model.offset_[0]) == pytest.approx(model.objective_, rel=1e-6)


def best_constant(loss, y):
    """The least mean loss of a constant prediction: near a target or 0, or as far away as there is any loss."""
    def mean(p):
        with np.errstate(all="ignore"):
            return float(loss.value(y, np.full(len(y), p)).mean())

    near = np.concatenate([np.arange(-60.0, 60.0), y, [-1e3, 1e3]])
    start = min(near, key=mean)
    width = 1e-3 * abs(start) + 3.0
    return min(mean(start), minimize_scalar(mean, bounds=(start - width, start + width), method="bounded",
                                            options={"xatol": 1e-13}).fun)


@pytest.mark.parametrize("name", smooth_and_not())
@pytest.mark.parametrize("shape", ["one row", "no columns", "a constant column", "equal targets", "equal targets, far"])
def test_nothing_but_a_constant_to_find(name, shape):
    """One row, no columns, targets all equal: the best constant, found and proven, or there is no minimum."""
    loss, rng = get_loss(name), np.random.default_rng(0)
    X = {"one row": np.array([[2.5, -1.0, 0.3]]), "no columns": np.empty((40, 0)),
         "a constant column": np.full((40, 1), 7.0)}.get(shape, rng.standard_normal((40, 3)))
    y = rng.standard_normal(len(X)) if "targets" not in shape else np.full(40, 1e9 if "far" in shape else 2.25)
    if loss.target.codes is not None:
        y = np.where(y > 0, loss.target.codes[1], loss.target.codes[0])
    elif loss.target.low > -np.inf:
        y = np.abs(y) + 0.01
    least = best_constant(loss, y)
    for kind in ("none", "l2", "l1"):
        for table in (X, sparse.csr_array(X), X.astype(np.float32)):
            result = quietly(table, y, name, get_penalty(kind, alpha=1e-3), tol=1e-6, max_iter=100)
            assert result.objective[0] <= least + 1e-6 * abs(least) + 1e-9, kind
            if shape != "one row":
                assert result.objective[0] >= least - 1e-6 * abs(least) - 1e-12, kind
                np.testing.assert_allclose(result.coef, 0.0, atol=1e-6)
            if not result.endless:
                assert result.converged, (kind, result.gap)
                assert result.gap[0] <= 1e-6, kind


@pytest.mark.parametrize("penalty", [("l1", 1e-4), ("l2", 1e-6), ("l2", 1e-2), ("elasticnet", 1e-3)])
@pytest.mark.parametrize("name", ["hinge", "absolute_error", "quantile", "epsilon_insensitive"])
@pytest.mark.parametrize("decades", [4, 12])
def test_weights_of_any_size(name, penalty, decades):
    """From 1e-12 to 1e12: rows that count for next to nothing are in nobody's way."""
    rng = np.random.default_rng(7)
    digits = load_digits()
    X, score = digits.data[:500], digits.target[:500] % 2 - 0.5
    y = np.sign(score) if name == "hinge" else score
    weight = 10.0 ** rng.uniform(-decades, decades, len(X))
    result = quietly(X, y, name, get_penalty(penalty[0], alpha=penalty[1]), tol=1e-6, sample_weight=weight)
    assert (result.gap_kind, result.converged) == (("proof",), True)
    assert result.gap[0] <= 1e-6
    # The objective of the rows that have all but a millionth of a millionth of the weight is the same.
    heavy = weight > 1e-15 * weight.sum()
    alone = quietly(X[heavy], y[heavy], name, get_penalty(penalty[0], alpha=penalty[1]), tol=1e-6,
                    sample_weight=weight[heavy])
    assert alone.objective[0] == pytest.approx(result.objective[0], rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("unit", [1e-30, 1e15, 1e33])
@pytest.mark.parametrize("name", ["log_loss", "log_cosh", "huber", "squared_error"])
def test_no_certificate_asks_for_the_unit_of_weights(name, unit):
    """Few readings prove as little, whatever the weights are multiplied by."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 5))
    y = X @ np.ones(5) + rng.standard_t(2, size=3000)
    y = (y > 0).astype(float) if name == "log_loss" else y
    penalty, weight = get_penalty("l1", alpha=1e-3), np.full(3000, unit)
    least = quietly(X, y, name, penalty, tol=1e-12, max_iter=200).objective[0]
    for max_iter in (1, 3, 10):
        result = quietly(X, y, name, penalty, sample_weight=weight, tol=1e-9, max_iter=max_iter)
        assert result.objective[0] / least - 1 <= result.gap[0] * (1 + 1e-6) + 1e-12

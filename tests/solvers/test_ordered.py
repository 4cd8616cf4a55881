"""Quantiles that must not cross, against a linear programme solved by HiGHS."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog

from sklosses import SGDRegressor
from sklosses.data import as_rows
from sklosses.losses import Quantile, SquaredError
from sklosses.penalties import L1, L2, get_penalty
from sklosses.solvers import Monitor, Ordered, Problem, Verdict, _ordered


def crossing_data(seed, n=120, d=3):
    """Raw features of all sizes, heavy tails, and noise that grows along one of them: lone quantiles cross."""
    rng = np.random.default_rng(seed)
    X = rng.standard_t(3, size=(n, d)) * 10.0 ** rng.integers(-3, 4, size=d)
    unit = X / np.abs(X).max(axis=0)
    return X, unit @ rng.normal(size=d) + rng.standard_t(3, size=n) * (1 + np.abs(unit[:, 0]))


def constrained_minimum(X, y, quantiles, *, weights=None, offset=0.0, l1=0.0):
    """The sum of mean pinball losses, and l1 penalties, under the constraints: a linear programme."""
    (n, d), K = X.shape, len(quantiles)
    weights = np.ones(n) if weights is None else weights
    A, each = np.column_stack([X, np.ones(n)]), sparse.eye_array(K)
    coefs = sparse.kron(each, np.eye(d, d + 1))
    apart = sparse.diags_array([np.ones(K - 1), -np.ones(K - 1)], offsets=[0, 1], shape=(K - 1, K))
    none = [sparse.csr_array((K * n, K * d)), sparse.csr_array(((K - 1) * n, 2 * K * n + K * d))]
    fit = sparse.hstack([sparse.kron(each, A), sparse.eye_array(K * n), -sparse.eye_array(K * n), none[0]])
    order = sparse.hstack([sparse.kron(apart, A[:, :]), none[1]])
    sizes = [sparse.hstack([sign * coefs, sparse.csr_array((K * d, 2 * K * n)), -sparse.eye_array(K * d)])
             for sign in (1, -1)]
    counted = np.tile(weights > 0, K - 1)
    shares = weights / weights.sum()
    below = 1 - np.asarray(quantiles)
    cost = np.concatenate([np.zeros(K * (d + 1)), np.kron(quantiles, shares), np.kron(below, shares),
                           np.full(K * d, l1)])
    result = linprog(cost, A_eq=fit.tocsr(), b_eq=np.tile(y - offset, K), method="highs",
                     A_ub=sparse.vstack([order.tocsr()[counted], *sizes]).tocsr(),
                     b_ub=np.zeros(counted.sum() + 2 * K * d),
                     bounds=[(None, None)] * (K * (d + 1)) + [(0, None)] * (2 * K * n + K * d))
    assert result.status == 0
    return result.fun


def fitted(X, y, quantiles, penalty=None, **settings):
    given = {name: settings.pop(name) for name in ("sample_weight", "offset") if name in settings}
    model = SGDRegressor("quantile", quantile=quantiles, non_crossing=True, penalty=penalty, **settings)
    return model.fit(X, y, **given)


def crossings(model, X):
    return int(np.sum(np.diff(model.predict(X)) < 0))


FIVE = [0.1, 0.3, 0.5, 0.7, 0.9]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("quantiles", [FIVE, [0.45, 0.5, 0.55], [0.02, 0.98]])
def test_constrained_minimum(quantiles, seed):
    X, y = crossing_data(seed)
    model = fitted(X, y, quantiles)
    minimum = constrained_minimum(X, y, quantiles)
    total = model.objective_.sum()
    assert crossings(model, X) == 0
    assert total == pytest.approx(minimum, rel=1e-9)
    assert total / minimum - 1 <= model.gap_[0] + 1e-12
    assert model.gap_[0] < 1e-6


def test_the_data_do_cross():
    for seed in range(4):
        X, y = crossing_data(seed)
        alone = SGDRegressor("quantile", quantile=FIVE, penalty=None).fit(X, y)
        assert np.any(np.diff(alone.predict(X)) < 0)
        assert alone.objective_.sum() < fitted(X, y, FIVE).objective_.sum() * (1 - 1e-6)


def test_l1_weights_and_offset():
    X, y = crossing_data(1)
    rng = np.random.default_rng(0)
    weights, offset = rng.integers(0, 4, size=len(y)).astype(float), rng.normal(size=len(y))
    X = X / X.std(axis=0)
    model = fitted(X, y, FIVE, "l1", alpha=0.02, sample_weight=weights, offset=offset)
    minimum = constrained_minimum(X, y, FIVE, weights=weights, offset=offset, l1=0.02)
    assert model.objective_.sum() == pytest.approx(minimum, rel=1e-8)
    assert model.gap_kind_ == ("proof",) * 5
    assert crossings(model, X[weights > 0]) == 0
    repeated = np.repeat(np.arange(len(y)), weights.astype(int))
    again = fitted(X[repeated], y[repeated], FIVE, "l1", alpha=0.02, offset=offset[repeated])
    np.testing.assert_allclose(again.objective_, model.objective_, rtol=1e-6)


@pytest.mark.parametrize("name", ["l2", "elasticnet"])
def test_l2_is_proven(name):
    """No linear programme: the certificate against that of the solution moved about."""
    X, y = crossing_data(2)
    X = X / X.std(axis=0)
    model = fitted(X, y, FIVE, name, alpha=0.05)
    assert model.gap_kind_ == ("proof",) * 5
    assert model.gap_[0] < 1e-8
    penalty, rng = get_penalty(name, alpha=0.05, l1_ratio=0.15), np.random.default_rng(0)

    def value(coef, intercept):
        p = X @ coef.T + intercept
        loss = sum(np.mean(Quantile(quantile=q).value(y, p[:, k])) for k, q in enumerate(FIVE))
        return loss + penalty.value(coef).sum(), np.all(np.diff(p) >= 0)

    least, _ = value(model.coef_, model.intercept_)
    assert least == pytest.approx(model.objective_.sum(), rel=1e-12)
    feasible = 0
    for size in (1e-1, 1e-2, 1e-3, 1e-4):
        for _ in range(50):
            middle = model.coef_[2], model.intercept_[2]      # towards equal columns there is room
            coef = model.coef_ + size * (middle[0] - model.coef_) + size * 0.1 * rng.normal(size=X.shape[1])
            intercept = model.intercept_ + size * (middle[1] - model.intercept_) + size * 0.1 * rng.normal()
            there, in_order = value(coef, intercept)
            feasible += in_order
            assert there >= least * (1 - 1e-8) or not in_order
    assert feasible > 100


@pytest.mark.parametrize("container", [np.float32, sparse.csr_matrix, np.asfortranarray])
def test_order_holds_in_the_precision_of_the_rows(container):
    for seed in range(3):
        X, y = crossing_data(seed)
        X = container(X)
        model = fitted(X, y, FIVE)
        assert crossings(model, X) == 0
        rows = np.random.default_rng(0).permutation(len(y))
        assert crossings(model, X[rows]) == 0
        assert all(crossings(model, X[i : i + 1]) == 0 for i in range(len(y)))


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_do_not_matter(unit):
    X, y = crossing_data(3)
    one, other = fitted(X, y, FIVE), fitted(X * 10.0 ** np.array([-6, 0, 6]), y * unit, FIVE)
    assert crossings(other, X * 10.0 ** np.array([-6, 0, 6])) == 0
    np.testing.assert_allclose(other.objective_.sum(), unit * one.objective_.sum(), rtol=1e-8)


def test_shifted_features():
    X, y = crossing_data(0)
    one, shift = fitted(X, y, FIVE), 1e4 * X.std(axis=0)
    other = fitted(X + shift, y, FIVE)
    assert crossings(other, X + shift) == 0
    np.testing.assert_allclose(other.objective_.sum(), one.objective_.sum(), rtol=1e-6)


def test_lone_quantiles_in_order_are_the_solution():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = X @ [1.0, 2.0] + rng.normal(size=400)
    quantiles = [0.1, 0.5, 0.9]
    free, kept = SGDRegressor("quantile", quantile=quantiles).fit(X, y), fitted(X, y, quantiles, "l2")
    np.testing.assert_array_equal(kept.coef_, free.coef_)
    np.testing.assert_array_equal(kept.gap_, free.gap_)


def test_a_large_table_is_screened():
    """Certified to the tolerance, on bands of the rows."""
    X, y = crossing_data(0, n=40_000, d=5)
    model = fitted(X, y, [0.05, 0.06, 0.5, 0.94, 0.95], "l2", random_state=0)
    assert crossings(model, X) == 0
    assert 0 < model.gap_[0] <= 1e-3
    assert np.sum(np.diff(SGDRegressor("quantile", quantile=[0.05, 0.06, 0.5, 0.94, 0.95], random_state=0)
                          .fit(X, y).predict(X)) < 0)


@pytest.mark.parametrize("case", ["few rows", "constant", "copies", "ties", "one row"])
def test_hostile_tables(case):
    X, y = crossing_data(5, n=40)
    X, y = {
        "few rows": lambda: (X[:3], y[:3]),
        "constant": lambda: (np.column_stack([X, np.full(40, 1e6)]), y),
        "copies": lambda: (np.column_stack([X, X]), y),
        "ties": lambda: (np.round(X / X.std(axis=0)), np.round(y)),
        "one row": lambda: (X[:1], y[:1]),
    }[case]()
    model = fitted(X, y, FIVE, "l2")
    assert crossings(model, X) == 0
    assert np.all(np.isfinite(model.coef_))


def test_results_do_not_depend_on_threads(monkeypatch):
    monkeypatch.setattr("sklosses.solvers._reading.CHUNK_BYTES", 2048)
    X, y = crossing_data(1, n=600)
    problem = Problem(as_rows(X), y, ((Quantile(quantile=FIVE), 5),), L2(alpha=1e-3))
    one, two = (Ordered(n_jobs=n_jobs).solve(problem) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.coef, two.coef)
    np.testing.assert_array_equal(one.intercept, two.intercept)


def test_a_monitor_sees_the_rounds_and_may_stop():
    X, y = crossing_data(1)
    problem = Problem(as_rows(X), y, ((Quantile(quantile=FIVE), 5),), L1(alpha=1e-6))

    class Watch(Monitor):
        def __init__(self, last):
            self.last, self.seen = last, []

        def end(self, epoch):
            self.seen.append(epoch.number)
            return Verdict(stop=epoch.number == self.last)

    watch = Watch(last=None)
    whole = Ordered().solve(problem, monitor=watch)
    assert watch.seen == list(range(len(whole.history["rows"])))
    for last in (0, len(watch.seen) - 2):
        stopped = Ordered().solve(problem, monitor=Watch(last))
        assert len(stopped.history["rows"]) == last + 1
        assert np.all(np.diff(X @ stopped.coef.T + stopped.intercept) >= 0)
        assert stopped.gap[0] >= stopped.objective.sum() / whole.objective.sum() - 1


def test_ctrl_c_leaves_nothing_half_fitted(monkeypatch):
    X, y = crossing_data(1)
    model = fitted(X, y, FIVE)
    before = model.coef_.copy()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(_ordered, "interior_point", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(-X, y)
    np.testing.assert_array_equal(model.coef_, before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": ((SquaredError(), 5),)}, "Ordered needs losses with kinks"),
        ({"fit_intercept": False}, "Ordered needs fit_intercept=True"),
        ({"rows": as_rows(np.ones((40, 1200)))}, "at most 5000 with intercepts, got 6005"),
    ],
)
def test_what_it_refuses(changes, message):
    X, y = crossing_data(0, n=40)
    given = {"rows": as_rows(X), "targets": y, "losses": ((Quantile(quantile=FIVE), 5),), "penalty": L2(alpha=0.1)}
    with pytest.raises(ValueError, match=message):
        Ordered().solve(Problem(**given | changes))

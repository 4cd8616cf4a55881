"""Quantiles together: neighbours start between neighbours, and end where they would alone."""

import numpy as np
import pytest

from sklosses.data import as_rows
from sklosses.losses import EpsilonInsensitive, Quantile
from sklosses.penalties import L1, L2, NoPenalty
from sklosses.solvers import Monitor, Newton, Problem
from sklosses.solvers._family import levels

NINE = np.linspace(0.1, 0.9, 9)


@pytest.fixture(scope="module")
def table():
    """Enough rows for samples; noise that is skewed, and grows along one feature."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 5)) * 10.0 ** np.arange(-2, 3)
    unit = X / X.std(axis=0)
    return X, unit @ rng.normal(size=5) + rng.gamma(2, size=len(X)) * np.exp(0.4 * unit[:, 1])


def problem_of(table, quantile, penalty=None, **given):
    X, y = table
    loss = Quantile(quantile=quantile)
    return Problem(as_rows(X), y, ((loss, loss.n_columns),), penalty or L2(alpha=1e-4), **given)


@pytest.mark.parametrize("n_columns", range(1, 40))
def test_every_column_is_solved_once_and_after_its_neighbours(n_columns):
    first, *later = levels(n_columns)
    known = set(first)
    assert len(first) == len(known) <= 3
    for level in later:
        for place in level:
            assert {place.left, place.right} <= known
            assert place.left < place.column < place.right
            assert place.like.column in known
            assert place.like.right - place.like.left <= 2 * (place.right - place.left) + 1
        assert not known & {place.column for place in level}
        known |= {place.column for place in level}
    assert known == set(range(n_columns))


@pytest.mark.parametrize("penalty", [NoPenalty(), L1(alpha=1e-2), L2(alpha=1e-4)], ids=repr)
@pytest.mark.parametrize("weighted", [False, True])
def test_each_ends_where_it_would_alone(weighted, penalty, table):
    weights = np.random.default_rng(1).uniform(0, 2, size=len(table[1])) if weighted else None
    together = Newton().solve(problem_of(table, NINE, penalty, weights=weights), tol=1e-6)
    assert np.all(together.gap <= 1e-6)
    for k, quantile in enumerate(NINE):
        alone = Newton().solve(problem_of(table, quantile, penalty, weights=weights), tol=1e-6)
        assert together.objective[k] == pytest.approx(alone.objective[0], rel=2e-6)


def test_uneven_quantiles(table):
    quantiles = [0.001, 0.002, 0.3, 0.301, 0.302, 0.9, 0.9999]
    together = Newton().solve(problem_of(table, quantiles))
    assert np.all(together.gap <= 1e-3)
    for k, quantile in enumerate(quantiles):
        alone = Newton().solve(problem_of(table, quantile), tol=1e-9)
        assert 1 - 1e-9 <= together.objective[k] / alone.objective[0] <= 1 + together.gap[k] + 1e-9


def test_fewer_readings_than_alone(table):
    together = Newton().solve(problem_of(table, NINE))
    alone = sum(Newton().solve(problem_of(table, quantile)).n_iter for quantile in NINE)
    assert 3 * together.n_iter <= alone


def test_threads_change_nothing(table, monkeypatch):
    one, two = (Newton(n_jobs=n_jobs).solve(problem_of(table, NINE)) for n_jobs in (1, 2))
    for name in ("coef", "intercept", "objective", "gap"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.n_iter == two.n_iter


def test_who_watches_sees_every_column(table):
    class Watch(Monitor):
        def __init__(self):
            self.least = []

        def end(self, epoch):
            self.least.append(np.abs(epoch.coef).max(axis=1).min())
            return super().end(epoch)

    watch = Watch()
    Newton().solve(problem_of(table, NINE), monitor=watch)
    assert watch.least[-1] > 0
    assert np.all(np.array(watch.least[2:]) > 0)


def test_other_losses_with_several_parameters(table):
    X, y = table
    loss = EpsilonInsensitive(epsilon=[2.0, 0.1, 1.0, 0.5, 0.3])
    together = Newton().solve(Problem(as_rows(X), y, ((loss, 5),), L2(alpha=1e-4)))
    for k, epsilon in enumerate(loss.epsilon):
        lone = Newton().solve(Problem(as_rows(X), y, ((EpsilonInsensitive(epsilon=epsilon), 1),), L2(alpha=1e-4)),
                              tol=1e-8)
        assert 1 - 1e-8 <= together.objective[k] / lone.objective[0] <= 1 + together.gap[k] + 1e-8


def test_an_error_in_one_column_is_raised(table, monkeypatch):
    from sklosses.solvers import _kinked

    def fails(*_, **__):
        raise ZeroDivisionError("of a column")

    monkeypatch.setattr(_kinked, "interior_point", fails)
    with pytest.raises(ZeroDivisionError, match="of a column"):
        Newton(n_jobs=2).solve(problem_of(table, NINE))

"""Every figure the solver reports, recomputed from the weights or replayed by the oracle: 1e-10 relative."""

from itertools import product

import numpy as np
import pytest

from oracle import sgd
from oracle.replay import Case, Data, oracle, parameters, problem, solve, start
from sklosses.losses import LOSSES
from sklosses.solvers import Monitor, Verdict, objective

CLOSE = {"rel": 1e-10, "abs": 1e-14}


def cases(loss):
    rng = np.random.default_rng(sorted(LOSSES).index(loss))
    schedules = ["optimal", "constant", "invscaling", "adaptive"]
    if loss in {"hinge", "epsilon_insensitive"}:
        schedules += ["pa1", "pa2"]
    for penalty, storage in product([None, "l2", "l1", "elasticnet"], ["C", "F", "int32", "int64"]):
        flags = rng.random(5) < 0.5
        yield Case(loss, penalty, str(rng.choice(schedules)), storage, dtype=str(rng.choice(["float64", "float32"])),
                   average=int(rng.choice([0, 1, 50])), batch_size=int(rng.choice([1, 1, 3, 32])),
                   shuffle=bool(flags[0]), weighted=bool(flags[1]) or loss == "perceptron", offset=bool(flags[2]),
                   fit_intercept=bool(flags[3]), subset=bool(flags[4]), seed=int(rng.integers(1000)), alpha=4.0,
                   intercept_cost=float(rng.choice([0.0, 0.3])))


def recomputed(case, data, coef, intercept):
    """The objective of weights on the rows trained on."""
    rows = data.rows()
    settings = sgd.Settings(case.penalty, case.alpha, 0.4, intercept_cost=case.intercept_cost)
    return sgd.objective(data.plain.astype(float)[rows], data.y[rows], sgd.formulas(case.loss, **parameters(case)),
                         settings, coef, intercept, weights=None if data.weights is None else data.weights[rows],
                         offset=None if data.offset is None else data.offset[rows])


class Watch(Monitor):
    """Notes what each epoch shows, and answers with the scores it was given."""

    def __init__(self, scores=(), stop_after=None):
        self.scores, self.stop_after, self.begun, self.seen = scores, stop_after, [], []

    def begin(self, epoch):
        self.begun.append(epoch)

    def end(self, epoch):
        self.seen.append((epoch.number, epoch.coef[0].copy(), epoch.intercept[0], epoch.objective[0], epoch.seconds))
        score = self.scores[epoch.number] if len(self.scores) else None
        return Verdict(stop=epoch.number == self.stop_after, score=score)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_objectives(loss):
    for case in cases(loss):
        data = Data(case)
        watch = Watch()
        result, fit = solve(case, data, monitor=watch), oracle(case, data)
        expected = recomputed(case, data, result.coef[0], result.intercept[0])
        assert result.objective[0] == pytest.approx(expected, **CLOSE), case
        assert result.history["objective"] == pytest.approx(fit.objective, **CLOSE), case
        assert [seen[3] for seen in watch.seen] == list(result.history["objective"])
        assert [seen[4] for seen in watch.seen] == list(result.history["seconds"])
        assert np.all(np.diff(result.history["seconds"]) > 0)
        assert watch.begun == [seen[0] for seen in watch.seen] == [0, 1, 2]


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("storage", ["C", "int32"])
def test_running_objective_from_a_start(storage, batch_size):
    """The first rows pay the penalty of the weights started from."""
    for penalty in ("l2", "l1", "elasticnet"):
        case = Case("huber", penalty, "constant", storage, batch_size=batch_size, alpha=1.0)
        data = Data(case)
        state, fit = start(case)
        expected = oracle(case, data, state=fit).objective
        assert solve(case, data, state=state).history["objective"] == pytest.approx(expected, **CLOSE), case


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_objective_of_given_weights(loss):
    rng = np.random.default_rng(0)
    for case in cases(loss):
        data = Data(case)
        coef, intercept = rng.standard_normal((1, 5)), rng.standard_normal(1)
        expected = recomputed(case, data, coef[0], intercept[0])
        assert objective(problem(case, data), coef, intercept)[0] == pytest.approx(expected, **CLOSE), case


def test_objective_of_many_rows_is_a_compensated_sum():
    case = Case("squared_error", None, "constant", dtype="float32", weighted=False, shape=(200_000, 3))
    data = Data(case)
    data.y[::2] += 1e6
    residual = data.plain.astype(float) @ np.ones(3) + 1 - data.y
    expected = float(sum((residual.astype(np.longdouble)) ** 2) / 400_000)
    value = objective(problem(case, data), np.ones((1, 3)), np.ones(1))[0]
    assert value == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("average", [0, 1, 60])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("storage", ["C", "int32"])
def test_epochs_show_the_model_as_it_would_be(storage, batch_size, average):
    for penalty in (None, "l2", "l1", "elasticnet"):
        case = Case("log_loss", penalty, "invscaling", storage, batch_size=batch_size, average=average)
        data, watch = Data(case), Watch()
        result = solve(case, data, max_iter=4, monitor=watch)
        for epochs, (_, coef, intercept, _, _) in enumerate(watch.seen, start=1):
            expected = oracle(case, data, max_iter=epochs).model
            assert coef == pytest.approx(expected[0], rel=1e-10, abs=1e-14)
            assert intercept == pytest.approx(expected[1], rel=1e-10, abs=1e-14)
        assert np.array_equal(result.coef[0], watch.seen[-1][1])


SCORES = [0.1, 0.5, 0.4, 0.505, 0.507, 0.3, 0.2, 0.1, 0.9, 0.8, 0.7, 0.6]


@pytest.mark.parametrize(("tol", "patience", "epochs"), [(0.01, 3, 5), (0.001, 3, 8), (None, 3, 12), (0.01, 10, 12)])
@pytest.mark.parametrize("average", [0, 1])
def test_scores_stop_and_the_best_weights_come_back(tol, patience, epochs, average):
    """scikit-learn's rule, no improvement where score < best + tol; but the weights that scored best are returned."""
    case = Case("huber", "l2", "invscaling", average=average, settings={"n_iter_no_change": patience})
    data, watch = Data(case), Watch(SCORES)
    result = solve(case, data, max_iter=12, tol=tol, monitor=watch)
    assert result.n_iter == epochs == len(result.history["validation_score"])
    assert list(result.history["validation_score"]) == SCORES[:epochs]
    best = int(np.argmax(SCORES[:epochs]))
    assert np.array_equal(result.coef[0], watch.seen[best][1])
    assert result.intercept[0] == watch.seen[best][2]
    assert result.objective[0] == pytest.approx(recomputed(case, data, result.coef[0], result.intercept[0]), **CLOSE)
    assert result.converged == (epochs < 12)


def test_adaptive_schedule_follows_scores():
    """It divides the step by 5 when scores stall, as it does when objectives do."""
    case = Case("huber", "l2", "adaptive", settings={"n_iter_no_change": 2})
    data, flat = Data(case), Watch([1.0] * 100)
    result = solve(case, data, max_iter=100, tol=1e-3, monitor=flat)
    # The first epoch has nothing to compare with; 0.05 / 5^7 < 1e-6: seven divisions after two stalled epochs each, and
    # two more.
    assert result.n_iter == 17
    assert result.history["validation_score"].tolist() == [1.0] * 17


def test_a_stop_request_ends_after_its_epoch():
    case = Case("huber", average=1)
    data, watch = Data(case), Watch(stop_after=2)
    result = solve(case, data, max_iter=10, monitor=watch)
    assert result.n_iter == 3 == len(result.history["objective"])
    assert not result.converged
    expected = oracle(case, data, max_iter=3).model
    assert result.coef[0] == pytest.approx(expected[0], rel=1e-10)

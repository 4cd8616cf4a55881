"""Streaming: every loss and penalty comes near its minimum in one reading; laws of what is remembered."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize as scipy_minimize
from scipy.sparse import csr_array, random_array

from sklosses.data import as_rows
from sklosses.losses import Traits, as_loss, get_loss, loss_names
from sklosses.penalties import L1, L2, ElasticNet, NoPenalty
from sklosses.solvers import Monitor, OneVsRest, Problem, State, Streaming, Verdict, minimize, objective

PENALTIES = {"none": NoPenalty(), "l2": L2(1e-3), "l1": L1(1e-2), "elasticnet": ElasticNet(1e-2, 0.5)}
KINKED = [name for name in loss_names() if not get_loss(name).traits.smooth]
SMOOTH = [name for name in loss_names() if get_loss(name).traits.smooth and get_loss(name).traits.convex]
# Nothing to learn: their minimum is at coefficients of zero.
USELESS = {"perceptron", "smoothed_perceptron"}
D = 4


def table(name, n=3000, seed=0):
    """(X, y) that a loss takes, with a signal and noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, D))
    signal = X @ np.linspace(1, -0.5, D) + 0.3 + rng.standard_normal(n)
    target = get_loss(name).target
    if target.codes and "regression" not in get_loss(name).tasks:
        return X, np.where(signal > 0, target.codes[1], target.codes[0])
    return X, np.exp(0.5 * signal) if target.low > -np.inf else signal


def stream(X, y, loss, penalty, size=250, state=None, solver=None, **settings):
    """The result of the last chunk."""
    solver = Streaming() if solver is None else solver
    loss = get_loss(loss) if isinstance(loss, str) else loss
    for start in range(0, len(y), size):
        rows = slice(start, start + size)
        # Weights and offsets belong to rows.
        own = {key: value[rows] if isinstance(value, np.ndarray) else value for key, value in settings.items()}
        result = solver.solve(Problem(as_rows(X[rows]), y[rows], ((loss, 1),), penalty, **own), state=state)
        state = result.state
    return result


def F(result, X, y, loss, penalty):
    loss = get_loss(loss) if isinstance(loss, str) else loss
    return objective(Problem(as_rows(X), y, ((loss, 1),), penalty), result.coef, result.intercept)[0]


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", SMOOTH)
def test_one_reading_comes_near_the_minimum(name, penalty):
    X, y = table(name)
    penalty = PENALTIES[penalty]
    best = minimize(X, y, name, penalty, tol=1e-9)
    result = stream(X, y, name, penalty)
    null = objective(Problem(as_rows(X), y, ((get_loss(name), 1),), penalty), np.zeros((1, D)), np.zeros(1))[0]
    assert F(result, X, y, name, penalty) - best.objective[0] <= 1e-4 * max(null - best.objective[0], 1e-12)
    assert result.solver == "streaming"
    assert result.gap is None
    assert result.n_iter == 1
    assert result.state.t == len(y) + 1


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", sorted(set(KINKED) - USELESS))
def test_losses_with_kinks(name, penalty):
    """Against a narrow smoothing: its minimum is at most mu / 2 below."""
    X, y = table(name)
    penalty, loss = PENALTIES[penalty], get_loss(name)
    narrow = minimize(X, y, loss.smoothed(1e-3), penalty, tol=1e-6, max_iter=1000)
    best = F(narrow, X, y, loss, penalty)
    assert F(stream(X, y, loss, penalty), X, y, loss, penalty) <= best * (1 + 2e-3)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", ["cauchy", "focal"])
def test_losses_that_are_not_convex(name, penalty):
    """No descent from where the stream ends leads far down."""
    X, y = table(name)
    penalty, loss = PENALTIES[penalty], get_loss(name)
    result = stream(X, y, loss, penalty)
    end = F(result, X, y, loss, penalty)

    def cost(theta):
        return loss(y, X @ theta[:-1] + theta[-1]) + penalty.value(theta[:-1])

    below = scipy_minimize(cost, np.append(result.coef[0], result.intercept), method="Powell").fun
    assert end <= below + 2e-3 * abs(cost(np.zeros(D + 1)) - below)


@pytest.mark.parametrize("name", sorted(USELESS))
def test_losses_of_nothing(name):
    X, y = table(name)
    assert F(stream(X, y, name, L2(1e-3)), X, y, name, L2(1e-3)) <= 1e-2


@pytest.mark.parametrize("name", ["log_loss", "hinge", "quantile", "poisson", "huber"])
def test_more_rows_come_nearer(name):
    X, y = table(name, n=16_000)
    best = F(stream(X, y, name, L2(1e-3), size=16_000, solver=Streaming()), X, y, name, L2(1e-3))
    errors = [F(stream(X[:n], y[:n], name, L2(1e-3)), X, y, name, L2(1e-3)) - best for n in (100, 1000, 16_000)]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
@pytest.mark.parametrize("size", [1, 7, 250])
def test_recursive_least_squares(size, penalty):
    """The solution on all rows seen, whatever the chunks, with weights and an offset."""
    X, y = table("squared_error", n=500)
    X = X * [1, 1e6, 1e-3, 1] + [0, 0, 0, 1e4]
    penalty, rng = PENALTIES[penalty], np.random.default_rng(1)
    given = {"weights": rng.integers(0, 3, len(y)).astype(float), "offset": rng.standard_normal(len(y))}
    result = stream(X, y, "squared_error", penalty, size=size, **given)
    best = minimize(X, y, "squared_error", penalty, tol=None, sample_weight=given["weights"], offset=given["offset"])
    assert_allclose(X @ result.coef[0] + result.intercept, X @ best.coef[0] + best.intercept, rtol=0, atol=1e-8)


def test_recursive_least_squares_is_ridge_to_rounding():
    X, y = table("squared_error", n=2000)
    result = stream(X, y, "squared_error", L2(1e-2), size=100)
    A = np.column_stack([X, np.ones(len(y))])
    theta = np.linalg.solve(A.T @ A + 1e-2 * len(y) * np.diag([1.0] * D + [0.0]), A.T @ y)
    assert_allclose(np.append(result.coef[0], result.intercept), theta, rtol=1e-12)


@pytest.mark.parametrize("name", ["squared_error", "log_loss", "hinge", "poisson", "absolute_error", "cauchy"])
def test_scales_do_not_matter(name):
    """Columns in other units, moved, or constant."""
    X, y = table(name, n=1000)
    scales, shifts = np.array([1e6, 1e-6, 1, 30]), np.array([0, 0, 1e6, -7])
    plain = stream(np.column_stack([X, np.zeros(len(y))]), y, name, NoPenalty(), size=100)
    raw = np.column_stack([X * scales + shifts, np.full(len(y), 0.1)])
    other = stream(raw, y, name, NoPenalty(), size=100)
    assert_allclose(other.coef[0, :D] * scales, plain.coef[0, :D], rtol=1e-4, atol=1e-5)
    assert other.coef[0, D] == 0


@pytest.mark.parametrize(
    "name", ["squared_error", "log_loss", "hinge", "modified_huber", "absolute_error", "exponential"]
)
def test_rows_one_by_one(name):
    X, y = table(name, n=600)
    best = F(stream(X, y, name, L2(1e-2), size=600), X, y, name, L2(1e-2))
    result = stream(X, y, name, L2(1e-2), size=1)
    assert F(result, X, y, name, L2(1e-2)) <= best * 1.01
    assert result.state.t == 601


@pytest.mark.parametrize("name", ["log_loss", "hinge", "squared_error"])
def test_a_weight_of_zero_is_the_row_left_out(name):
    X, y = table(name, n=1000)
    weights = np.random.default_rng(2).integers(0, 3, len(y)).astype(float)
    state, short = None, None
    for rows in np.split(np.arange(1000), 4):
        used = rows[weights[rows] > 0]
        state = stream(X[rows], y[rows], name, L2(1e-3), size=250, state=state, weights=weights[rows]).state
        short = stream(X[used], y[used], name, L2(1e-3), size=250, state=short, weights=weights[used]).state
    assert_allclose(state.coef, short.coef, rtol=1e-12)


def test_weights_are_repetition():
    X, y = table("squared_error", n=400)
    times = np.random.default_rng(2).integers(0, 3, len(y))
    weighted = stream(X, y, "squared_error", L2(1e-3), size=100, weights=times.astype(float))
    again = np.repeat(np.arange(400), times)
    assert_allclose(weighted.coef, stream(X[again], y[again], "squared_error", L2(1e-3), size=90).coef, rtol=1e-9)


@pytest.mark.parametrize("layout", [csr_array, np.asfortranarray, lambda X: X.astype(np.float32)])
@pytest.mark.parametrize("name", ["log_loss", "absolute_error"])
def test_layouts(name, layout):
    X, y = table(name, n=1000)
    X = X.astype(np.float32).astype(np.float64)
    expected = stream(X, y, name, L2(1e-3))
    assert_allclose(stream(layout(X), y, name, L2(1e-3)).coef, expected.coef, rtol=1e-9)


@pytest.mark.parametrize("name", ["log_loss", "hinge"])
def test_saved_and_loaded(name):
    """The same bits as never having stopped."""
    X, y = table(name)
    half = stream(X[:1500], y[:1500], name, L1(1e-3)).state
    loaded = pickle.loads(pickle.dumps(half))
    straight = stream(X[1500:], y[1500:], name, L1(1e-3), state=half)
    assert np.array_equal(stream(X[1500:], y[1500:], name, L1(1e-3), state=loaded).coef, straight.coef)
    assert np.array_equal(stream(X, y, name, L1(1e-3)).coef, straight.coef)


def test_a_state_is_not_modified():
    X, y = table("log_loss")
    state = stream(X[:500], y[:500], "log_loss", L2(1e-3)).state
    before = pickle.dumps(state)
    stream(X[500:], y[500:], "log_loss", L2(1e-3), state=state, solver=Streaming(forgetting=0.99))
    assert pickle.dumps(state) == before


def test_a_table_at_once_is_cut_into_pieces():
    X, y = table("log_loss", n=8000)
    best = minimize(X, y, "log_loss", L2(1e-3), tol=1e-9).objective[0]
    for shuffle in (True, False):
        whole = Streaming(shuffle=shuffle).solve(Problem(as_rows(X), y, ((get_loss("log_loss"), 1),), L2(1e-3)))
        assert whole.objective[0] <= best * (1 + 1e-5)
    assert np.array_equal(whole.coef, stream(X, y, "log_loss", L2(1e-3), size=1000).coef)


def test_sorted_rows_are_mixed():
    X, y = table("log_loss", n=8000)
    order = np.argsort(y)
    problem = Problem(as_rows(X[order]), y[order], ((get_loss("log_loss"), 1),), L2(1e-3))
    best = minimize(X, y, "log_loss", L2(1e-3), tol=1e-9).objective[0]
    assert Streaming().solve(problem).objective[0] <= best * (1 + 1e-4)


@pytest.mark.parametrize("name", ["squared_error", "log_loss", "absolute_error"])
def test_forgetting_follows_a_change(name):
    """The signs of all coefficients turn: a model that forgets turns with them."""
    X, y = table(name, n=6000)
    changed = np.concatenate([X[:4000], -X[4000:]])
    late = slice(5500, 6000)
    ends = [F(stream(changed, y, name, L2(1e-4), solver=Streaming(forgetting=forgetting)), changed[late], y[late], name,
              L2(1e-4)) for forgetting in (1.0, 0.998)]
    best = minimize(changed[4000:], y[4000:], get_loss(name).smoothed(1e-2), L2(1e-4))
    aim = F(best, changed[late], y[late], name, L2(1e-4))
    assert ends[1] <= aim * 1.02
    assert ends[0] > aim * 1.1


@pytest.mark.parametrize("weighted", [False, True])
def test_forgetting_counts_rows_not_chunks(weighted):
    """A factor a row: least squares with weights 0.99^(rows after), whatever the chunks; rows of weight 0 are none."""
    X, y = table("squared_error", n=300)
    s = np.random.default_rng(3).integers(0, 3, len(y)).astype(float) if weighted else np.ones(len(y))
    counted = s > 0
    fading = s * 0.99 ** (counted.sum() - np.cumsum(counted))
    best = minimize(X, y, "squared_error", L2(1e-2), tol=None, sample_weight=fading)
    for size in (1, 30, 300):
        result = stream(X, y, "squared_error", L2(1e-2), size=size, solver=Streaming(forgetting=0.99), weights=s)
        assert_allclose(result.coef, best.coef, rtol=1e-9)


@pytest.mark.parametrize("size", [1, 20, 500])
def test_a_model_without_memory(size):
    """A fit to rows that are gone stands for as many as they were: half and half is nearly all."""
    X, y = table("squared_error", n=2000)
    first = minimize(X[:1000], y[:1000], "squared_error", L2(1e-3), tol=None)
    whole = minimize(X, y, "squared_error", L2(1e-3), tol=None)
    known = State(first.coef, first.intercept, t=1001.0)
    result = stream(X[1000:], y[1000:], "squared_error", L2(1e-3), size, state=known)
    assert np.abs(result.coef - whole.coef).max() < 0.4 * np.abs(first.coef - whole.coef).max()
    assert result.state.t == 2001


def test_coefficients_set_by_hand_are_gone_on_from():
    X, y = table("log_loss")
    state = stream(X, y, "log_loss", L2(1e-3)).state
    moved = State(state.coef + 0.5, state.intercept, t=state.t, stream=state.stream)
    few = stream(X[:50], y[:50], "log_loss", L2(1e-3), state=moved)
    assert_allclose(few.coef, moved.coef, atol=0.1)


def test_another_loss_starts_a_new_memory():
    X, y = table("hinge")
    state = stream(X, y, "hinge", L2(1e-3)).state
    result = stream(X[:250], y[:250], "squared_hinge", L2(1e-3), state=state)
    assert result.state.stream.columns[0].total == len(y) + 250
    assert result.state.stream.columns[0].rows == 250
    assert np.all(np.isfinite(result.coef))


def test_the_penalty_may_change():
    """It is that of all rows seen, as it is now."""
    X, y = table("squared_error", n=1000)
    state = stream(X[:750], y[:750], "squared_error", L2(10.0)).state
    result = stream(X[750:], y[750:], "squared_error", L2(1e-3), state=state)
    assert_allclose(result.coef, minimize(X, y, "squared_error", L2(1e-3), tol=None).coef, rtol=1e-9)


def test_without_an_intercept():
    X, y = table("squared_error", n=1000)
    result = stream(X + 1, y, "squared_error", L2(1e-3), fit_intercept=False)
    best = minimize(X + 1, y, "squared_error", L2(1e-3), fit_intercept=False, tol=None)
    assert_allclose(result.coef, best.coef, rtol=1e-10)
    assert result.intercept[0] == 0


def test_one_vs_rest():
    """Every column as if it were alone; one without weight rests."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((1200, 3))
    classes = np.argmax(X + 0.5 * rng.standard_normal(X.shape), axis=1).astype(float)
    loss, state, alone = get_loss("hinge"), None, None
    weights = np.array([[1.0, 1.0], [1.0, 2.0], [0.0, 0.0]])
    for rows in np.split(np.arange(1200), 4):
        problem = Problem(as_rows(X[rows]), classes[rows], ((loss, 3),), L2(1e-3),
                          one_vs_rest=OneVsRest((-1.0, 1.0), weights))
        state = Streaming().solve(problem, state=state).state
        y = np.where(classes[rows] == 1, 1.0, -1.0)
        single = Problem(as_rows(X[rows]), y, ((loss, 1),), L2(1e-3), weights=np.where(y > 0, 2.0, 1.0))
        alone = Streaming().solve(single, state=alone).state
    assert_allclose(state.coef[1], alone.coef[0], rtol=1e-2, atol=1e-3)
    assert np.all(state.coef[2] == 0)
    assert np.all(np.abs(state.coef[:2]).max(axis=1) > 0.1)


@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("name", ["log_loss", "hinge"])
def test_wide_sparse_rows(name, penalty):
    """More columns than a matrix is kept for: the training rows are told apart, new ones better than by chance."""
    rng = np.random.default_rng(6)
    d = 5000
    X = random_array((2000, d), density=4e-3, format="csr", rng=rng)
    signal = X @ (rng.standard_normal(d) * (rng.random(d) < 0.2))
    target = get_loss(name).target
    y = np.where(signal > np.median(signal), target.codes[1], target.codes[0])
    penalty = {"l2": L2(1e-4), "l1": L1(1e-4)}[penalty]
    result = stream(X, y, name, penalty, size=500)
    null = F(stream(X[:1] * 0, y[:1], name, penalty), X, y, name, penalty)
    assert F(result, X, y, name, penalty) < 0.7 * null
    kept = result.state.stream.columns[0].hessian
    assert kept.block.shape == (256, 256)
    assert kept.rows is None


def test_a_wide_dense_table():
    rng = np.random.default_rng(7)
    X = rng.standard_normal((600, 1200)) + 5
    y = X[:, 0] - X[:, 1] + 0.1 * rng.standard_normal(600)
    result = stream(X, y, "squared_error", L2(1.0), size=200)
    assert result.objective[0] < 0.5 * np.mean((y - y.mean()) ** 2)


def test_rows_out_of_all_proportion():
    """An exponential loss of a row far away is no number: the step goes on from where it is one."""
    X, y = table("poisson", n=2000)
    X = X.copy()
    X[1500] *= 3000
    for loss in ("poisson", "log_loss", "modified_huber"):
        target = y if loss == "poisson" else np.where(y > 1, *(get_loss(loss).target.codes[::-1]))
        result = stream(X, target, loss, L2(1e-3))
        best = minimize(X, target, loss, L2(1e-3), tol=1e-6, max_iter=1000).objective[0]
        assert F(result, X, target, loss, L2(1e-3)) - best <= 2e-2 * abs(best)


def test_losses_of_ones_own():
    """Without second derivatives, and with kinks that nobody declares."""

    class Distance:
        def value(self, y, p):
            return np.abs(p - y)

        def gradient(self, y, p):
            return np.sign(p - y)

    class Fourth:
        traits = Traits("residual")

        def value(self, y, p):
            return (p - y) ** 4 / 4

        def gradient(self, y, p):
            return (p - y) ** 3

    X, y = table("squared_error")
    for loss in (Distance(), Fourth()):
        result = stream(X, y, as_loss(loss), L2(1e-4))
        assert_allclose(result.coef[0], np.linspace(1, -0.5, D), atol=0.1)


def test_monitor():
    X, y = table("log_loss", n=500)
    seen = []

    class Watch(Monitor):
        def end(self, epoch):
            seen.append((epoch.number, epoch.coef.copy()))
            return Verdict(stop=epoch.number == 1)

    problem = Problem(as_rows(X), y, ((get_loss("log_loss"), 1),), L2(1e-3))
    result = Streaming().solve(problem, max_iter=5, monitor=Watch())
    assert [number for number, _ in seen] == [0, 1]
    assert np.array_equal(seen[1][1], result.coef)
    assert result.n_iter == 2
    assert result.state.t == 1001


def test_what_it_refuses():
    X, y = table("log_loss", n=20)
    for problem, words in (
        (Problem(as_rows(X[:0]), y[:0], ((get_loss("log_loss"), 1),), L2(1.0)), "no rows"),
        (Problem(as_rows(X), y, ((get_loss("log_loss"), 1),), L2(1.0), weights=-np.ones(20)), "weights >= 0"),
    ):
        with pytest.raises(ValueError, match=words):
            Streaming().solve(problem)

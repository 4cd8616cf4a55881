"""What the estimators report, replayed by the oracle or recomputed from the weights; and scikit-learn's weights."""

from functools import partial
from itertools import product

import numpy as np
import pytest
import sklearn.linear_model as theirs
from numpy.testing import assert_allclose
from sklearn.metrics import accuracy_score, d2_tweedie_score, r2_score
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from oracle import classic as ours
from oracle import sgd
from oracle.replay import POSITIVE, as_stored
from sklosses.data import as_rows
from sklosses.losses import loss_names
from sklosses.solvers import row_order

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PENALTIES = [None, "l2", "l1", "elasticnet"]
SCHEDULES = ["optimal", "constant", "invscaling", "adaptive"]
PARAMETERS = {
    "huber": ["epsilon"],
    "epsilon_insensitive": ["epsilon"],
    "squared_epsilon_insensitive": ["epsilon"],
    "pseudo_huber": ["epsilon"],
    "quantile": ["quantile"],
    "expectile": ["expectile"],
    "tweedie": ["power"],
    "cauchy": ["scale"],
    "log_loss": ["pos_weight"],
    "focal": ["gamma"],
    "smoothed_hinge": ["width"],
    "smoothed_absolute_error": ["width"],
    "smoothed_quantile": ["quantile", "width"],
    "smoothed_perceptron": ["width"],
    "smoothed_epsilon_insensitive": ["epsilon", "width"],
}
VALUES = {
    "epsilon": 0.3,
    "quantile": 0.7,
    "expectile": 0.4,
    "power": 1.4,
    "scale": 0.9,
    "width": 0.6,
    "gamma": 1.5,
    "pos_weight": 1.7,
}
# Figures: 1e-10 relative. Weights: 1e-12 of the largest.
FIGURE = {"rel": 1e-10, "abs": 1e-14}


class Table:
    """Rows with targets of every kind."""

    def __init__(self, n=60, d=5, seed=0, storage="C", dtype=np.float64):
        rng = np.random.default_rng(seed)
        plain = (0.5 * rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.7)).astype(dtype)
        self.X, self.plain = as_stored(plain, storage), plain.astype(float)
        self.raw = self.plain @ [2.0, -1.0, 1.5, 0.5, -2.0] + 0.3 + 0.5 * rng.standard_normal(n)
        self.weights, self.offset = rng.uniform(0.1, 2, n), rng.uniform(-0.5, 0.5, n)
        self.labels = np.array(["no", "yes"])[(self.raw > 0).astype(int)]
        self.classes = np.array(["a", "b", "c"])[np.digitize(self.raw, [-0.5, 0.8])]

    def target(self, loss):
        return np.exp(self.raw / 2) if loss in POSITIVE else self.raw


def chosen(loss):
    """Parameters of a loss that are parameters of the estimator too."""
    return {name: VALUES[name] for name in PARAMETERS.get(loss, ())}


def codes(loss, is_positive):
    return np.where(is_positive, 1.0, 0.0 if loss in sgd.ZERO_ONE else -1.0)


def oracle_of(model, table, y, *, weights=None, offset=None, max_iter=None):
    """The oracle with an estimator's parameters."""
    names = "penalty alpha l1_ratio learning_rate eta0 power_t batch_size fit_intercept n_iter_no_change"
    settings = sgd.Settings(
        **{name: getattr(model, name) for name in names.split()},
        average=int(model.average),
        tol=None,
        max_iter=max_iter or model.max_iter,
    )
    X = table.X.astype(float) if hasattr(table.X, "indptr") else table.plain
    return sgd.Solver(X, y, sgd.formulas(model.loss, **chosen(model.loss)), settings, weights, offset)


def replay(model, table, y, *, fit=None, rows=None, **given):
    """What the oracle makes of it, rows in order or as given."""
    rows = np.arange(len(y)) if rows is None else rows
    return oracle_of(model, table, y, **given).fit(lambda epoch: rows, fit)


def assert_model(model, fits):
    """Weights, running objectives and counts are the oracle's."""
    tolerance = 1e-12 if model.coef_.dtype == np.float64 else 1e-5
    coef, intercept = np.array([fit.model[0] for fit in fits]), np.array([fit.model[1] for fit in fits])
    scale = max(1, np.abs(coef).max())
    assert_allclose(np.atleast_2d(model.coef_), coef, 0, tolerance * scale)
    assert_allclose(model.intercept_, intercept, 0, tolerance * scale)
    running = np.array([fit.objective for fit in fits]).T
    assert model.history_["objective"] == pytest.approx(running if len(fits) > 1 else running[:, 0], **FIGURE)
    assert model.t_ == 1 + fits[0].seen
    assert model.n_iter_ == len(fits[0].objective) == len(model.history_["seconds"])


def assert_objective(model, table, ys, weights=None, offset=None):
    """objective_ is that of the weights reported."""
    settings = sgd.Settings(model.penalty, model.alpha, model.l1_ratio)
    coef = np.atleast_2d(model.coef_).astype(float)
    values = [
        sgd.objective(
            table.plain,
            y,
            sgd.formulas(model.loss, **chosen(model.loss)),
            settings,
            w,
            float(b),
            weights=weights,
            offset=offset,
        )
        for y, w, b in zip(ys, coef, model.intercept_, strict=True)
    ]
    close = FIGURE if model.coef_.dtype == np.float64 else {"rel": 1e-6}  # coef_ is rounded to float32
    assert np.atleast_1d(model.objective_) == pytest.approx(values, **close)
    assert np.ndim(model.objective_) == (len(values) > 1)


@pytest.mark.parametrize("loss", sorted(loss_names("regression")))
def test_regressor(loss):
    rng = np.random.default_rng(sorted(sgd.LOSSES).index(loss))
    for schedule, storage, dtype in product(SCHEDULES, ["C", "int32"], [np.float64, np.float32]):
        table = Table(storage=storage, dtype=dtype)
        y = table.target(loss).astype(dtype).astype(float)
        model = ours.SGDRegressor(
            loss,
            penalty=str(rng.choice(PENALTIES[1:])),
            alpha=2.0,
            learning_rate=schedule,
            average=int(rng.choice([1, 100])) if rng.random() < 0.5 else False,
            shuffle=False,
            batch_size=int(rng.choice([1, 8])),
            max_iter=3,
            tol=None,
            **chosen(loss),
        )
        model.fit(table.X, y, sample_weight=table.weights, offset=table.offset)
        assert model.coef_.dtype == dtype
        assert_model(model, [replay(model, table, y, weights=table.weights, offset=table.offset)])
        assert_objective(model, table, [y], table.weights, table.offset)


@pytest.mark.parametrize("loss", sorted(loss_names("classification")))
def test_classifier(loss):
    rng = np.random.default_rng(sorted(sgd.LOSSES).index(loss))
    for schedule, storage, many in product(SCHEDULES, ["F", "int64"], [False, True]):
        table = Table(storage=storage)
        model = ours.SGDClassifier(
            loss,
            penalty=str(rng.choice(PENALTIES[1:])),
            alpha=2.0,
            learning_rate=schedule,
            average=bool(rng.random() < 0.5),
            shuffle=False,
            max_iter=3,
            tol=None,
            batch_size=int(rng.choice([1, 8])),
            **chosen(loss),
        )
        labels = table.classes if many else table.labels
        model.fit(table.X, labels, sample_weight=table.weights)
        ys = [codes(loss, labels == label) for label in (model.classes_ if many else model.classes_[1:])]
        assert_model(model, [replay(model, table, y, weights=table.weights) for y in ys])
        assert_objective(model, table, ys, table.weights)


@pytest.mark.parametrize("many", [False, True])
def test_class_weights(many):
    """Of several classes, a column weighs its own class's rows and leaves the rest at 1, as scikit-learn does."""
    table = Table()
    labels = table.classes if many else table.labels
    for class_weight in ({"a": 2.0, "b": 0.5, "yes": 3.0}, "balanced"):
        weight_of = dict.fromkeys(np.unique(labels), 1.0)
        if class_weight == "balanced":
            weight_of = {label: len(labels) / len(weight_of) / np.sum(labels == label) for label in weight_of}
        else:
            weight_of |= {label: weight for label, weight in class_weight.items() if label in weight_of}
            class_weight = {label: weight for label, weight in class_weight.items() if label in weight_of}
        model = ours.SGDClassifier(
            "log_loss",
            class_weight=class_weight,
            alpha=0.5,
            shuffle=False,
            max_iter=3,
            tol=None,
            pos_weight=VALUES["pos_weight"],
        )
        model.fit(table.X, labels, sample_weight=table.weights)
        fits = []
        for label in model.classes_ if many else model.classes_[1:]:
            rest = 1.0 if many else weight_of[model.classes_[0]]
            weights = table.weights * np.where(labels == label, weight_of[label], rest)
            fits.append(replay(model, table, codes("log_loss", labels == label), weights=weights))
        assert_model(model, fits)


@pytest.mark.parametrize("storage", ["C", "int32"])
def test_shuffled_rows_come_in_the_order_of_row_order(storage):
    table = Table(storage=storage)
    model = ours.SGDRegressor(alpha=0.5, random_state=4, max_iter=1, tol=None).fit(table.X, table.raw)
    seed = np.random.RandomState(4).randint(np.iinfo(np.int32).max)
    assert_model(model, [replay(model, table, table.raw, rows=row_order(60, as_rows(table.X).row_bytes, seed, 0))])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("average", [False, True, 100])
def test_one_class(schedule, average):
    table = Table()
    model = ours.SGDOneClassSVM(nu=0.3, learning_rate=schedule, average=average, shuffle=False, max_iter=3, tol=None)
    model.fit(table.X, sample_weight=table.weights)
    settings = sgd.Settings("l2", 0.3, learning_rate=schedule, average=int(average), intercept_cost=0.3)
    loss, ones = sgd.formulas("hinge"), np.ones(60)
    fit = sgd.Solver(table.plain, ones, loss, settings, table.weights).fit(
        lambda _: np.arange(60), sgd.Fit(np.zeros(5), 1.0)
    )
    assert_allclose(np.ravel(model.coef_), fit.model[0], 0, 1e-12)
    assert_allclose(1 - model.offset_, fit.model[1], 0, 1e-12)
    assert model.history_["objective"] == pytest.approx(fit.objective, **FIGURE)
    exact = sgd.objective(table.plain, ones, loss, settings, *fit.model, weights=table.weights)
    assert model.objective_ == pytest.approx(exact, **FIGURE)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("average", [False, True, 40])
def test_partial_fit(penalty, average):
    table = Table()
    parts = np.split(np.arange(60), [25, 30])
    model = ours.SGDClassifier(
        "log_loss", penalty=penalty, alpha=0.5, average=average, shuffle=False, pos_weight=VALUES["pos_weight"]
    )
    fits = [sgd.Fit(np.zeros(5)) for _ in range(3)]
    for part in parts:
        labels, weights, piece = table.classes[part], table.weights[part], Table()
        piece.X = piece.plain = table.plain[part]
        model.partial_fit(piece.X, labels, classes=["a", "b", "c"], sample_weight=weights)
        for k, label in enumerate(model.classes_):
            replay(model, piece, codes("log_loss", labels == label), weights=weights, fit=fits[k], max_iter=1)
        assert_allclose(model.coef_, [fit.model[0] for fit in fits], 0, 1e-12)
        assert_allclose(model.intercept_, [fit.model[1] for fit in fits], 0, 1e-12)
        assert model.history_["objective"][0] == pytest.approx([fit.objective[-1] for fit in fits], **FIGURE)


def test_starts():
    """coef_init and intercept_init, and warm_start, which is the same with the last fit's."""
    table = Table()
    model = ours.SGDRegressor(alpha=0.5, shuffle=False, max_iter=2, tol=None, warm_start=True)
    fit = sgd.Fit(np.linspace(-1, 1, 5), 0.5)
    model.fit(table.X, table.raw, coef_init=fit.coef.copy(), intercept_init=0.5)
    for _ in range(2):
        fit = replay(model, table, table.raw, fit=sgd.Fit(fit.coef, fit.intercept))
        assert_model(model, [fit])
        model.fit(table.X, table.raw)


# Validation scores ----------------------------------------------------------------------------------------------------


def scores_of(model, table, y, held, metric, *, rows=None, epochs):
    """Score of the oracle's model after each epoch, and these models."""
    oracle, models = oracle_of(model, table, y, weights=table.weights, max_iter=epochs), []

    def order(epoch):
        if epoch:
            models.append((np.copy(oracle.fit_.model[0]), oracle.fit_.model[1]))
        return np.arange(len(y)) if rows is None else rows

    models.append(oracle.fit(order).model)
    return [metric(held.plain @ coef + intercept) for coef, intercept in models], models


def weighted_accuracy(positive, weights, p):
    return accuracy_score(positive, p > 0, sample_weight=weights)


def regression_metric(loss, held):
    """R2, or D2 of a mean."""
    y, weights = held.target(loss), held.weights
    if loss == "poisson":
        return lambda p: d2_tweedie_score(y, np.exp(p), power=1, sample_weight=weights)
    return lambda p: r2_score(y, p, sample_weight=weights)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("average", [False, True])
def test_validation_set(early_stopping, average):
    """R2, accuracy and D2 with weights; early stopping stops on them and returns the best-scoring weights."""
    table, held = Table(), Table(seed=1)
    for Model, loss in ((ours.SGDRegressor, "huber"), (ours.SGDRegressor, "poisson"), (ours.SGDClassifier, "hinge")):
        model = Model(
            loss,
            alpha=0.5,
            learning_rate="constant",
            eta0=0.1,
            shuffle=False,
            max_iter=12,
            average=average,
            tol=1e-3 if early_stopping else None,
            n_iter_no_change=2,
            early_stopping=early_stopping,
            **chosen(loss),
        )
        if loss == "hinge":
            y, given, val = codes(loss, table.raw > 0), table.labels, held.labels
            metric = partial(weighted_accuracy, held.raw > 0, held.weights)
        else:
            y = given = table.target(loss)
            val, metric = held.target(loss), regression_metric(loss, held)
        model.fit(table.X, given, sample_weight=table.weights, X_val=held.X, y_val=val, sample_weight_val=held.weights)
        scores = model.history_["validation_score"]
        expected, models = scores_of(model, table, y, held, metric, epochs=len(scores))
        assert scores == pytest.approx(expected, **FIGURE)
        kept = models[int(np.argmax(scores)) if early_stopping else -1]
        assert_allclose(np.ravel(model.coef_), kept[0], 0, 1e-12)
        assert_allclose(model.intercept_, kept[1], 0, 1e-12)
        assert metric(held.plain @ np.ravel(model.coef_) + model.intercept_) == pytest.approx(
            max(scores) if early_stopping else scores[-1], **FIGURE
        )
        if early_stopping:
            assert stops(scores, tol=1e-3, patience=2) == len(scores) == model.n_iter_


def stops(scores, *, tol, patience):
    """The epoch in which scikit-learn's rule stops."""
    best, stalled = -np.inf, 0
    for epoch, score in enumerate(scores, start=1):
        stalled = stalled + 1 if score < best + tol else 0
        best = max(best, score)
        if stalled == patience:
            return epoch
    return len(scores)


@pytest.mark.parametrize("classify", [False, True])
def test_held_out_fraction(classify):
    """The rows scikit-learn would hold out, scored with their weights; they take no part in training."""
    table = Table(n=100)
    Model, loss = (ours.SGDClassifier, "log_loss") if classify else (ours.SGDRegressor, "squared_error")
    model = Model(
        loss,
        alpha=0.5,
        early_stopping=True,
        validation_fraction=0.3,
        shuffle=False,
        random_state=2,
        tol=1e-4,
        **chosen(loss),
    )
    y = codes(loss, table.raw > 0) if classify else table.raw
    given = table.labels if classify else y
    splitter = StratifiedShuffleSplit if classify else ShuffleSplit
    train, test = next(splitter(test_size=0.3, random_state=2).split(np.zeros((100, 1)), given))
    model.fit(table.X, given, sample_weight=table.weights)
    scores = model.history_["validation_score"]

    def metric(p):
        if classify:
            return accuracy_score(y[test] > 0, p[test] > 0, sample_weight=table.weights[test])
        return r2_score(y[test], p[test], sample_weight=table.weights[test])

    expected, models = scores_of(model, table, y, table, metric, rows=np.sort(train), epochs=len(scores))
    assert scores == pytest.approx(expected, **FIGURE)
    assert_allclose(np.ravel(model.coef_), models[int(np.argmax(scores))][0], 0, 1e-12)
    assert stops(scores, tol=1e-4, patience=5) == len(scores) == model.n_iter_


# scikit-learn's weights -----------------------------------------------------------------------------------------------


def assert_same_weights(model, reference, dtype):
    tolerance = 1e-12 if dtype == np.float64 else 1e-4  # scikit-learn's weights are float32 throughout
    scale = max(1, np.abs(reference.coef_).max())
    assert model.coef_.shape == reference.coef_.shape
    assert model.coef_.dtype == reference.coef_.dtype
    assert_allclose(model.coef_, reference.coef_, 0, tolerance * scale)
    for name in ("intercept_", "offset_"):
        if hasattr(reference, name):
            assert_allclose(getattr(model, name), getattr(reference, name), 0, tolerance * scale)
    assert (model.n_iter_, model.t_) == (reference.n_iter_, reference.t_)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("storage", ["C", "int32"])
@pytest.mark.parametrize("name", ["SGDRegressor", "SGDClassifier", "SGDOneClassSVM"])
def test_as_scikit_learn(name, storage, dtype):
    """The same call, the same weights: rows in order, a fixed number of epochs."""
    table = Table(storage=storage, dtype=dtype)
    targets = {"SGDRegressor": [table.raw], "SGDClassifier": [table.labels, table.classes], "SGDOneClassSVM": [None]}
    for y, schedule, penalty, average in product(targets[name], SCHEDULES, PENALTIES, [False, True, 100]):
        if average and penalty in {"l1", "elasticnet"}:
            continue  # scikit-learn's is not the mean of the iterates
        settings = {"learning_rate": schedule, "average": average, "shuffle": False, "max_iter": 3, "tol": None}
        if name != "SGDOneClassSVM":
            settings |= {"penalty": penalty, "alpha": 0.2, "eta0": 0.05}
        fits = [
            getattr(module, name)(**settings).fit(table.X, y, sample_weight=table.weights) for module in (ours, theirs)
        ]
        assert_same_weights(*fits, dtype)

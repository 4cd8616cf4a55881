"""Whole fits of small tables: "auto" to 1e-6 against scikit-learn's SGD with its defaults, which stops where it stops.

    python benchmarks/bench_small.py                        # all losses
    python benchmarks/bench_small.py --loss hinge huber     # some

Both sides see features of mean 0 and variance 1, which SGD needs, in one process, in turns. Made tables have 200 x 5 to
10 000 x 20 numbers; real ones are scikit-learn's iris, wine, breast cancer, diabetes and, if it was downloaded before,
2000 rows of California housing. Beside the times stands what they bought: the certified gap of ours, and by how much
SGD's objective is above ours, relative. Losses that SGD does not have are timed against its epsilon_insensitive.
"""

import sys
import warnings
from statistics import median

import numpy as np
import sklearn.linear_model as theirs
from _common import arguments, dense_table, seconds, versions
from sklearn.datasets import fetch_california_housing, load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale
from threadpoolctl import threadpool_limits

import sklosses
from sklosses.losses import get_loss

SIZES = ((200, 5), (1000, 5), (1000, 20), (5000, 20), (10_000, 20))
CLASSIFICATION = ("log_loss", "squared_hinge", "hinge")
REGRESSION = ("squared_error", "huber", "epsilon_insensitive", "absolute_error", "quantile")
STAND_IN = {"absolute_error": "epsilon_insensitive", "quantile": "epsilon_insensitive"}
TOL, ALPHA = 1e-6, 1e-4


def tables():
    """(name, X, labels in {-1, 1} or None, numbers or None) of all tables, made and real."""
    for shape in SIZES:
        yield "made", *dense_table(*shape)
    for name, load in (("iris", load_iris), ("wine", load_wine), ("breast cancer", load_breast_cancer)):
        X, y = load(return_X_y=True)
        yield name, scale(X), np.where(y == 1, 1, -1), None
    X, y = load_diabetes(return_X_y=True)
    yield "diabetes", scale(X), None, scale(y)
    try:
        X, y = fetch_california_housing(return_X_y=True, download_if_missing=False)
    except OSError:
        print("california housing: skipped, scikit-learn has not downloaded it")
        return
    chosen = np.random.default_rng(0).permutation(len(y))[:2000]
    yield "california housing", scale(X[chosen]), None, scale(y[chosen])


def objective(model, X, y, name):
    """The objective at a model's coefficients, in NumPy."""
    loss = get_loss(name, epsilon=0.1) if "epsilon" in get_loss(name).ranges else get_loss(name)
    if name in CLASSIFICATION:
        y = np.where(y > 0, *loss.target.codes[::-1])
    raw = X @ np.ravel(model.coef_) + model.intercept_
    return float(np.mean(loss.value(y.astype(float), raw)) + ALPHA / 2 * np.sum(model.coef_**2))


def measure(options, kind, name, X, y):
    """Seconds of both, our certified gap, and how far SGD's objective is above ours (None: another loss)."""
    alike = STAND_IN.get(name, name)
    ours, sgd, models = [], [], {}

    def fit(module, key, **settings):
        models[key] = getattr(module, kind)(alpha=ALPHA, random_state=0, **settings).fit(X, y)

    for _ in range(options.repeats):
        ours.append(seconds(lambda: fit(sklosses, "ours", loss=name, tol=TOL), options.clock))
        sgd.append(seconds(lambda: fit(theirs, "sgd", loss=alike), options.clock))
    above = None
    if alike == name:
        least = objective(models["ours"], X, y, name)
        above = objective(models["sgd"], X, y, name) / least - 1
    return median(ours), median(sgd), models["ours"].gap_, above


def main(given=None):
    """Measure and print; the exit status says whether no fit takes longer than SGD's."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--loss", nargs="+", choices=CLASSIFICATION + REGRESSION, default=CLASSIFICATION + REGRESSION)
    parser.set_defaults(repeats=15)
    options = parser.parse_args(given)
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(versions())
    print(f"{'loss':<21}{'table':<20}{'rows':>6}{'columns':>9}{'ours, ms':>11}{'SGD, ms':>10}{'ratio':>8}"
          f"{'our gap':>10}{'SGD above':>11}")
    ratios = []
    with threadpool_limits(1):
        for table, X, labels, numbers in tables():
            for name in options.loss:
                kind, y = ("SGDClassifier", labels) if name in CLASSIFICATION else ("SGDRegressor", numbers)
                if y is None:
                    continue
                ours, sgd, gap, above = measure(options, kind, name, X, y)
                ratios.append(ours / sgd)
                print(f"{name:<21}{table:<20}{X.shape[0]:6}{X.shape[1]:9}{1e3 * ours:11.2f}{1e3 * sgd:10.2f}"
                      f"{ratios[-1]:8.2f}{gap:10.1e}{'' if above is None else f'{above:.1e}':>11}")
    slower = sum(ratio > 1 for ratio in ratios)
    print(f"\nno slower than SGD: {len(ratios) - slower} of {len(ratios)} fits; median ratio {median(ratios):.2f}, "
          f"largest {max(ratios):.2f}")
    return int(slower > 0)


if __name__ == "__main__":
    sys.exit(main())

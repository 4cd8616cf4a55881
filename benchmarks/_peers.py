"""Other people's solvers, each with settings for exactly our objective."""

import importlib.util
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn import linear_model, svm

#: Packages besides scikit-learn, by import name.
PEERS = ("glum", "skglm", "celer", "snapml", "liblinear", "vowpalwabbit")

#: The size of the constant column of peers that penalise its coefficient, for dense and for sparse tables. The larger,
#: the less it is penalised, and the slower is coordinate descent; texts have small intercepts.
CONSTANT = {True: 1000.0, False: 1.0}

RATIO = {"l2": 0.0, "l1": 1.0, "elasticnet": 0.15, "none": 0.0}


def mapped(X, y, *, loss, penalty, alpha):
    """(name, function of a tolerance that makes an estimator) of every peer that has this objective."""
    C = 1 / (alpha * X.shape[0])
    dense = not sparse.issparse(X)
    yield from _scikit_learn(loss, penalty, alpha, C, dense)
    if _installed("glum") and dense and loss in ("log_loss", "poisson", "gamma", "squared_error"):
        yield "glum", partial(_glum, loss=loss, alpha=alpha, l1_ratio=RATIO[penalty])
    if _installed("skglm") and loss in SKGLM and penalty != "none":
        yield "skglm", partial(_skglm, loss=loss, alpha=alpha, l1_ratio=RATIO[penalty])
    if _installed("celer") and loss == "squared_error" and penalty in ("l1", "elasticnet"):
        yield "celer", partial(_celer, alpha=alpha, l1_ratio=RATIO[penalty])
    if _installed("vowpalwabbit") and penalty == "l2" and loss in VOWPAL:
        yield "vowpalwabbit, bfgs", partial(Vowpal, loss=loss, l2=1 / C)
    if _installed("snapml") and ((penalty == "l2" and loss in SNAP) or (penalty == "l1" and loss == "log_loss")):
        yield "snapml", partial(Snap, loss=loss, penalty=penalty, regularizer=1 / C)
    if _installed("liblinear"):
        for solver in LIBLINEAR.get((loss, penalty), ()):
            yield f"liblinear -s {solver}", partial(Liblinear, solver=solver, loss=loss, C=C)


def _installed(name):
    return importlib.util.find_spec(name) is not None


def _scikit_learn(loss, penalty, alpha, C, dense):
    make, ratio = partial(partial, _with_tol), RATIO[penalty]
    if loss == "log_loss":
        solvers = {"lbfgs": 1000, "newton-cholesky": 1000} if penalty == "l2" else {"saga": 100}
        if not dense:
            solvers.pop("newton-cholesky", None)
        for solver, most in solvers.items():
            yield f"LogisticRegression, {solver}", make(
                linear_model.LogisticRegression, solver=solver, max_iter=most, C=C, l1_ratio=ratio)
    elif loss in ("poisson", "gamma"):
        cls = {"poisson": linear_model.PoissonRegressor, "gamma": linear_model.GammaRegressor}[loss]
        for solver in ("lbfgs", "newton-cholesky"):
            yield f"{cls.__name__}, {solver}", make(cls, alpha=alpha, solver=solver, max_iter=1000)
    elif loss == "squared_error" and penalty == "l2":
        for solver in ("cholesky",) if dense else ("sparse_cg", "sag"):
            yield f"Ridge, {solver}", make(linear_model.Ridge, alpha=1 / C, solver=solver, max_iter=1000)
    elif loss == "squared_error":
        yield "ElasticNet", make(linear_model.ElasticNet, alpha=alpha, l1_ratio=ratio)
    elif loss == "squared_hinge" and penalty == "l1":
        yield "LinearSVC, primal", make(penalised(svm.LinearSVC), dual=False, loss=loss, C=C, penalty="l1",
                                        intercept_scaling=CONSTANT[dense])
    elif loss in ("hinge", "squared_hinge") and penalty == "l2":
        settings = {"loss": loss, "C": C, "intercept_scaling": CONSTANT[dense]}
        yield "LinearSVC, dual", make(penalised(svm.LinearSVC), dual=True, **settings)
        if loss == "squared_hinge":
            yield "LinearSVC, primal", make(penalised(svm.LinearSVC), dual=False, **settings)
    elif loss == "absolute_error":
        yield "LinearSVR", make(penalised(svm.LinearSVR), loss="epsilon_insensitive", epsilon=0.0, C=C,
                                intercept_scaling=CONSTANT[dense])
    elif loss == "quantile":
        yield "QuantileRegressor, highs", make(Highs, quantile=0.5, alpha=alpha)
    if loss in ("log_loss", "hinge", "squared_hinge", "huber") and penalty == "l2":
        cls = linear_model.SGDRegressor if loss == "huber" else linear_model.SGDClassifier
        more = {"epsilon": 1.35} if loss == "huber" else {}
        yield f"{cls.__name__}, averaged", make(cls, loss=loss, alpha=alpha, average=True, random_state=0, **more)


def _with_tol(cls, tol, **settings):
    return cls(tol=tol, **settings)


def penalised(cls):
    """A scikit-learn estimator over liblinear, whose intercept is a penalised coefficient of a large constant."""

    def make(tol, **settings):
        model = cls(tol=tol, max_iter=2000, **settings)
        model.intercept_is_penalised = True
        return model

    return make


class Highs(linear_model.QuantileRegressor):
    """QuantileRegressor, whose linear program has tolerances of its own; it takes tables of up to 20 000 rows."""

    def __init__(self, quantile=0.5, alpha=1.0, tol=1e-6):
        super().__init__(quantile=quantile, alpha=alpha, solver="highs")
        self.tol = tol

    def fit(self, X, y):
        if X.shape[0] > 20_000:
            self.coef_, self.intercept_ = np.zeros(X.shape[1]), float(np.median(y))
            return self
        return super().fit(X, y)


def _glum(tol, *, loss, alpha, l1_ratio):
    import glum

    family = {"log_loss": "binomial", "squared_error": "normal"}.get(loss, loss)
    link = "log" if loss in ("poisson", "gamma") else "auto"
    return glum.GeneralizedLinearRegressor(family=family, link=link, alpha=alpha, l1_ratio=l1_ratio,
                                           gradient_tol=tol * 1e-2, max_iter=1000)


#: Losses of skglm.
SKGLM = ("log_loss", "squared_error", "huber")


def _skglm(tol, *, loss, alpha, l1_ratio):
    import skglm
    from skglm.datafits import Huber, Logistic, Quadratic
    from skglm.penalties import L1_plus_L2
    from skglm.solvers import AndersonCD, ProxNewton

    solver = ProxNewton(tol=tol * 1e-2, fit_intercept=True) if loss == "log_loss" else AndersonCD(tol=tol * 1e-2)
    datafit = {"log_loss": Logistic, "squared_error": Quadratic, "huber": lambda: Huber(1.35)}[loss]()
    return Signs(skglm.GeneralizedLinearEstimator(datafit, L1_plus_L2(alpha, l1_ratio), solver), loss == "log_loss")


def _celer(tol, *, alpha, l1_ratio):
    import celer

    return celer.ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=tol * 1e-1, max_iter=200)


class Signs:
    """An estimator that takes labels -1 and 1 where ours takes 0 and 1."""

    def __init__(self, model, labels):
        self.model, self.labels = model, labels

    def fit(self, X, y):
        X = X.tocsc() if sparse.issparse(X) else np.asfortranarray(X)
        self.model.fit(X, 2 * y - 1 if self.labels else y)
        self.coef_, self.intercept_ = self.model.coef_, self.model.intercept_
        return self


#: Losses of snapml.
SNAP = {"log_loss": "LogisticRegression", "hinge": "SupportVectorMachine", "squared_error": "LinearRegression"}


class Snap:
    """snapml's coordinate descent, on the dual with an l2 penalty."""

    intercept_is_penalised = True

    def __init__(self, tol, *, loss, penalty, regularizer):
        self.tol, self.loss, self.penalty, self.regularizer = tol, loss, penalty, regularizer

    def fit(self, X, y):
        import snapml

        more = {} if self.loss == "hinge" else {"dual": self.penalty == "l2", "penalty": self.penalty}
        model = getattr(snapml, SNAP[self.loss])(
            regularizer=self.regularizer, tol=self.tol * 1e-1, max_iter=1000, fit_intercept=True, n_jobs=1,
            intercept_scaling=CONSTANT[not sparse.issparse(X)], **more)
        signs = y if self.loss == "squared_error" else (y > 0) * 2 - 1
        model.fit(X.astype(np.float32), signs.astype(np.float32))
        self.coef_, self.intercept_ = np.ravel(model.coef_), np.ravel(model.intercept_)
        return self


#: Solvers of liblinear by loss and penalty.
LIBLINEAR = {("log_loss", "l2"): (0, 7), ("hinge", "l2"): (3,), ("squared_hinge", "l2"): (1, 2),
             ("log_loss", "l1"): (6,), ("squared_hinge", "l1"): (5,), ("squared_error", "l2"): (11, 12)}
#: Of which those are that have the squared error, without its half, as an insensitive loss of no width.
REGRESSION = (11, 12)


class Liblinear:
    """liblinear's own solvers."""

    intercept_is_penalised = True

    def __init__(self, tol, *, solver, loss, C):
        self.tol, self.solver, self.loss, self.C = tol, solver, loss, C

    def fit(self, X, y):
        from liblinear.liblinearutil import problem, train

        constant, regression = CONSTANT[not sparse.issparse(X)], self.solver in REGRESSION
        given = problem(y if regression else np.where(y > 0, 1, -1), X, bias=constant)
        C, more = (0.5 * self.C, "-p 0") if regression else (self.C, "")
        model = train(given, f"-s {self.solver} -c {C} -B {constant} -e {self.tol} {more} -q")
        coef, intercept = model.get_decfun()
        sign = 1 if regression or model.get_labels()[0] == 1 else -1
        self.coef_, self.intercept_ = sign * np.array(coef), sign * intercept
        return self


#: Losses of Vowpal Wabbit by ours.
VOWPAL = {"log_loss": "logistic", "hinge": "hinge", "squared_error": "squared", "poisson": "poisson"}
#: Where Vowpal Wabbit keeps its intercept.
VOWPAL_CONSTANT = 11650396


class Vowpal:
    """Vowpal Wabbit's L-BFGS, on a file in its format that is written beforehand: what is timed reads it."""

    def __init__(self, tol, *, loss, l2):
        self.tol, self.loss, self.l2 = tol, loss, l2

    def prepare(self, X, y):
        self.folder = tempfile.TemporaryDirectory()
        signs = 2.0 * (y > 0) - 1 if self.loss in ("log_loss", "hinge") else np.asarray(y, dtype=float)
        rows = X if sparse.issparse(X) else sparse.csr_array(X)
        with (Path(self.folder.name) / "rows").open("w") as file:
            for i, sign in enumerate(signs):
                at = slice(rows.indptr[i], rows.indptr[i + 1])
                pairs = zip(rows.indices[at].tolist(), rows.data[at].tolist(), strict=True)
                file.write(f"{sign!r} | {' '.join(f'{j}:{value!r}' for j, value in pairs)}\n")

    def fit(self, X, _):
        from vowpalwabbit import Workspace

        folder, bits = self.folder.name, max(18, int(X.shape[1]).bit_length() + 2)
        machine = Workspace(f"-d {folder}/rows --cache_file {folder}/cache -k -b {bits} --quiet --bfgs --passes 200 "
                            f"--loss_function {VOWPAL[self.loss]} --l2 {self.l2} --no_bias_regularization "
                            f"--termination {self.tol * 1e-2}")
        self.coef_ = np.array([machine.get_weight_from_name(str(j)) for j in range(X.shape[1])])
        self.intercept_ = machine.get_weight(VOWPAL_CONSTANT)
        machine.finish()
        return self

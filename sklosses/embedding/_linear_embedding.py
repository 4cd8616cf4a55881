"""The estimator: parameters and arrays in, fitted attributes out."""

import contextlib
import copy
import warnings
from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context, clone
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from sklosses.embedding._batches import Partners, Rows, Views
from sklosses.embedding._columns import Columns
from sklosses.embedding._objective import (
    CenterObjective,
    Objective,
    PairObjective,
    TripletObjective,
    ViewObjective,
    unit_rows,
)
from sklosses.embedding._sampling import SAMPLING
from sklosses.embedding._schedule_free import ScheduleFree
from sklosses.embedding._start import ROWS, first_components, principal, rescaled
from sklosses.embedding._training import Passes, Task, new_optimizer, train_batches, train_whole
from sklosses.linear_model._base import unchanged_on_failure
from sklosses.linear_model._monitor import EpochHooks
from sklosses.linear_model._parameters import PENALTIES, str_options, with_suggestion
from sklosses.losses import get_loss, loss_names
from sklosses.losses._embedding import effective_threads
from sklosses.penalties import get_penalty

#: What `batch_size="auto"` means: all rows up to WHOLE, otherwise mini-batches of BATCH.
WHOLE = 3000
BATCH = 1024

#: The same for losses of pairs and triplets. On the same ones L-BFGS would fit their peculiarities.
BATCH_OF_PAIRS = 256

#: The same for sampling="all", where a batch of n rows has up to n^3 triplets.
BATCH_OF_ALL = 64

#: Columns from which target neighbours are looked for in principal directions, and how many of these.
WIDE = 64

#: Losses of cosines: they do not see how long embeddings are.
COSINES = ("cosine", "nt_xent", "supcon")

#: Rows of a validation set that are scored.
VALIDATION_ROWS = 2048


@dataclass(frozen=True, eq=False)
class State:
    """Where training stands: what `partial_fit` goes on from."""

    theta: np.ndarray
    classes: np.ndarray | None
    centers: np.ndarray | None
    optimizer: ScheduleFree | None = None
    generator: dict | None = None


class LinearEmbedding(
    ClassNamePrefixFeaturesOutMixin, CallbackSupportMixin, TransformerMixin, BaseEstimator
):
    """A linear map to few dimensions, in which rows of a class are neighbours.

    A loss of pairs, triplets or batches of embeddings trains it. Columns are standardised inside (a sparse table is
    scaled only) and step sizes adapt: there is no scaler and no learning rate. While the rows are few, L-BFGS sees all
    of them at once; beyond, passes of mini-batches are run by schedule-free Adam with steps that are a fixed share of
    the start's size.

    Minimised is the mean of the loss plus, C being the components in standardised columns,
    alpha * (l1_ratio * ||C||_1 + (1 - l1_ratio) / 2 * ||C||^2).

    Parameters
    ----------
    loss : {"contrastive", "cosine", "triplet", "center", "nt_xent", "supcon", "nca"}, class or instance, default="nca"
        A loss of embeddings of :mod:`sklosses.losses`, or of your own (`docs/linear_embedding.md`). Parameters of a
        loss are given in an instance, `SupCon(temperature=0.05)`, and searched as `loss__temperature`. "center" is
        joined by a softmax on the embedding, as in its paper. "nt_xent" takes another row of the class as the second
        view of a row, and is the one that trains without y: on two noisy views of each row.
    n_components : int, default=None
        Dimensions of the embedding; None: as many as there are columns, but at most 32.
    penalty : {"l2", "l1", "elasticnet"} or None, default="l2"
        Of the components in standardised columns.
    alpha : float, default=1e-2
        Strength of the penalty.
    l1_ratio : float, default=0.15
        Share of l1 in "elasticnet".
    init : {"auto", "pca", "lda", "random"} or array of shape (n_components, n_features), default="auto"
        Where training starts: principal directions, Fisher's discriminants followed by principal directions, random
        numbers, or these components, of original columns. All but an array are brought to the loss's scale. "auto":
        "lda" where there are labels, otherwise "pca".
    sampling : {"all", "random", "semi-hard", "hard"}, default="semi-hard"
        Pairs and triplets of a batch, for "contrastive", "cosine" and "triplet". A similar pair is joined by the
        nearest rows of other classes that are farther away ("semi-hard"), the nearest of all ("hard"), or a random one;
        "all": by all, and all similar pairs of a batch are taken.
    n_neighbors : int or None, default=3
        Similar pairs are a row and one of its so many nearest of the same class, its target neighbours; None: and any
        of its class. Also the number of nearest rows of other classes that `sampling` takes for a pair.
    center_weight : float, default=0.1
        Factor of "center" beside the softmax.
    noise : float, default=0.3
        Without y: the probability of an entry to be replaced by one of another row, in each of the two views.
    normalize : bool or "auto", default="auto"
        Whether embeddings are scaled to length 1. "auto": for losses of cosines ("cosine", "nt_xent", "supcon"), since
        these say nothing about lengths.
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch; as many as there are rows, or more: L-BFGS on all of them. "auto": all rows up to 3000,
        beyond 1024, for losses of whole batches ("nca", "supcon", "center"); 256 for losses of pairs and triplets,
        which do better when these are drawn often; 64 where `sampling="all"`.
    max_iter : int, default=50
        Passes over the rows: iterations of L-BFGS, or epochs.
    tol : float, default=1e-2
        Training stops when the last `n_iter_no_change` passes have brought no more than this share of all that the
        objective has gained since the first pass.
    n_iter_no_change : int, default=5
        See `tol`.
    early_stopping : bool, default=False
        Hold out rows, stop by the loss on them instead of the objective, and keep the components that did best there.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping holds out.
    random_state : int, RandomState instance or None, default=None
        For the start, batches, samples and views. Pass an int for reproducible results.
    n_jobs : int or None, default=None
        Threads of BLAS and of the losses. None: what OMP_NUM_THREADS, threadpoolctl and the CPUs allow; -1: all CPUs.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Of original columns: transform is `(X - mean_) @ components_.T`, then scaled to length 1 if `normalize` says so.
    mean_ : ndarray of shape (n_features,)
        0 for sparse tables.
    scale_ : ndarray of shape (n_features,)
        What columns are divided by inside: standard deviations, but no less than a tenth of the column's range.
    history_ : dict of ndarray
        For each pass: "objective", "seconds" since training began, and with early stopping "validation_score", minus
        the mean loss of the rows held out. In mini-batches the objective is the mean over the pass.
    n_iter_ : int
        Passes.
    solver_ : {"lbfgs", "schedule_free"}
        What ran.
    loss_ : object
        The loss that was trained.
    n_features_in_ : int
        Number of columns seen.
    feature_names_in_ : ndarray of str of shape (n_features_in_,)
        Their names, where all are strings.

    See Also
    --------
    sklearn.neighbors.NeighborhoodComponentsAnalysis : The loss "nca" without its logarithm, on all rows at once.

    Notes
    -----
    Rows without a similar, or without a dissimilar row in their batch contribute nothing; if that is so for all rows
    throughout, a warning says it.

    There is no `sample_weight`: a weight of 2 would have to mean a row that is there twice, and such a row is its own
    nearest neighbour, a pair at distance 0, which nobody wants to be trained on.

    References
    ----------
    Goldberger et al., Neighbourhood components analysis, NIPS 2004. Weinberger and Saul, Distance metric learning for
    large margin nearest neighbor classification, JMLR 10, 2009. Defazio et al., The road less scheduled, NeurIPS 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklosses import LinearEmbedding
    >>> X, y = load_iris(return_X_y=True)
    >>> embedding = LinearEmbedding(n_components=2, random_state=0).fit(X, y)
    >>> embedding.transform(X).shape
    (150, 2)
    >>> bool(make_pipeline(embedding, KNeighborsClassifier()).fit(X, y).score(X, y) > 0.95)
    True
    """

    _doc_link_module = "sklosses"
    _parameter_constraints: ClassVar[dict] = {
        "loss": [str_options(loss_names("embedding")), HasMethods(["value_and_gradient"])],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "penalty": [str_options(PENALTIES), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "init": [str_options(("auto", "pca", "lda", "random")), "array-like"],
        "sampling": [str_options(SAMPLING)],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "center_weight": [Interval(Real, 0, None, closed="left")],
        "noise": [Interval(Real, 0, 1, closed="neither")],
        "normalize": ["boolean", StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        loss="nca",
        n_components=None,
        *,
        penalty="l2",
        alpha=1e-2,
        l1_ratio=0.15,
        init="auto",
        sampling="semi-hard",
        n_neighbors=3,
        center_weight=0.1,
        noise=0.3,
        normalize="auto",
        batch_size="auto",
        max_iter=50,
        tol=1e-2,
        n_iter_no_change=5,
        early_stopping=False,
        validation_fraction=0.1,
        random_state=None,
        n_jobs=None,
    ):
        self.loss = loss
        self.n_components = n_components
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.init = init
        self.sampling = sampling
        self.n_neighbors = n_neighbors
        self.center_weight = center_weight
        self.noise = noise
        self.normalize = normalize
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.n_jobs = n_jobs

    # -- fitting ----------------------------------------------------------------------------------------------------

    @unchanged_on_failure
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train the embedding.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 is trained in float32; CSR stays sparse, other sparse formats are converted.
        y : array-like of shape (n_samples,), default=None
            Labels of any kind. Only `loss="nt_xent"` can do without.

        Returns
        -------
        self : LinearEmbedding

        Raises
        ------
        ValueError
            For NaN or infinity, shapes that do not match, a single class, `n_components` larger than n_features.
        """
        loss = self._resolve_loss()
        X, codes, labels = self._check(X, y, loss, reset=True)
        generator = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        with self._computing():
            train, held_out = self._hold_out(X, codes, generator)
            task = self._task(*train, loss, _count(labels), generator)
            theta = self._first(task, loss, generator)
            attributes = self._attributes(task, loss)
            passes = Passes(self.max_iter, self.tol, self.n_iter_no_change, attributes=attributes)
            if held_out is not None:
                passes.score = self._scorer(task, *held_out, generator)
            if getattr(self, "_skl_callbacks", None):
                passes.hooks = EpochHooks(self, context, {"X": X, "y": y}, attributes(theta, 0))
            batch_size = self._batch_size(task)
            if batch_size >= train[0].shape[0] and not (task.objective.partners and self.batch_size == "auto"):
                solver, (theta, contributed) = "lbfgs", train_whole(task, theta, passes, generator)
            else:
                solver, optimizer = "schedule_free", new_optimizer(task, theta)
                with self._small_products():
                    theta, contributed = train_batches(task, optimizer, passes, batch_size, generator)
        self._keep(attributes(theta, passes.n_iter), passes, solver)
        self._state = State(theta, labels, getattr(task.objective, "centers", None))
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes={})
        self._warn(loss, passes, contributed)
        return self

    @unchanged_on_failure
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, classes=None):
        """Train for one pass over these rows, from where the model stands.

        The first call, unless `fit` came before, decides the columns' means and scales and where training starts.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            Labels. Rows of a single class teach nothing; a warning says so.
        classes : array-like, default=None
            All labels there will be, for "center", which has a center for each. None: those of the first call.

        Returns
        -------
        self : LinearEmbedding
        """
        if self.early_stopping:
            raise ValueError("early_stopping should be False with partial_fit")
        loss = self._resolve_loss()
        state = self._state if hasattr(self, "components_") else None
        X, codes, labels = self._check(X, y, loss, reset=state is None, partial=True, classes=classes)
        columns = None if state is None else Columns(self.mean_.astype(np.float64), self.scale_.astype(np.float64))
        generator = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        if state is not None and state.generator is not None:
            generator.bit_generator.state = state.generator
        with self._computing():
            task = self._task(X, codes, loss, _count(labels), generator, columns)
            theta = self._first(task, loss, generator) if state is None else self._continued(task, state)
            optimizer = new_optimizer(task, theta) if state is None else copy.deepcopy(state.optimizer)
            if optimizer is None:
                optimizer = new_optimizer(task, theta)
            if state is not None:
                task.objective.centers = state.centers
            passes = Passes(1, 0.0, 1)
            size = BATCH if self.batch_size == "auto" and self._batch_size(task) == WHOLE else self._batch_size(task)
            with self._small_products():
                theta, contributed = train_batches(task, optimizer, passes, size, generator)
        history, done = (None, 0) if state is None else (self.history_, self.n_iter_)
        self._keep(self._attributes(task, loss)(theta, done + 1), passes, "schedule_free", history)
        centers = getattr(task.objective, "centers", None)
        self._state = State(theta, labels, centers, optimizer, generator.bit_generator.state)
        self._warn(loss, None, contributed)
        return self

    def transform(self, X):
        """Embed rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            float32 if X is, otherwise float64.
        """
        check_is_fitted(self, "components_")
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        components = self.components_.astype(X.dtype)
        if issparse(X):
            Z = np.asarray(X @ components.T) - (self.mean_ @ self.components_.T).astype(X.dtype)
        else:
            Z = (X - self.mean_.astype(X.dtype)) @ components.T
        return unit_rows(Z) if self._normalizes(self.loss_) else Z

    # -- what is given ----------------------------------------------------------------------------------------------

    def _validate_params(self):
        try:
            super()._validate_params()
        except ValueError as error:
            raise with_suggestion(error, self) from None
        effective_threads(self.n_jobs, "n_jobs")

    def _resolve_loss(self):
        """The loss as an object of our own, checked to be one of embeddings."""
        given = self.loss
        if isinstance(given, str):
            return get_loss(given)
        loss = given() if isinstance(given, type) else clone(given, safe=False)
        arguments = getattr(loss, "arguments", None)
        if "embedding" not in (getattr(loss, "tasks", None) or ()) or not isinstance(arguments, tuple):
            raise ValueError(f"The 'loss' parameter of LinearEmbedding must be a loss of embeddings. Got {given!r}.")
        if not 1 <= len(arguments) <= 3:
            raise ValueError(f"The 'loss' parameter of LinearEmbedding must take one, two or three embeddings. Got "
                             f"{given!r}, whose arguments are {arguments!r}.")
        return loss

    def _check(self, X, y, loss, *, reset, partial=False, classes=None):
        """X and codes of y, checked; `labels` are the classes of the codes where they have to stay the same."""
        if y is None and (loss.name != "nt_xent"):
            raise ValueError(f"LinearEmbedding requires y to be passed, but the target y is None. Only loss='nt_xent' "
                             f"trains without labels, got {loss!r}.")
        given = {} if y is None else {"y": y}
        checked = validate_data(
            self, X, **given, accept_sparse="csr", dtype=[np.float64, np.float32], reset=reset, ensure_min_samples=2)
        X, y = checked if given else (checked, None)
        self._check_shapes(X.shape[1])
        if y is None:
            return X, None, None
        check_classification_targets(y)
        labels, codes = np.unique(y, return_inverse=True)
        if not partial:
            if len(labels) < 2:
                raise ValueError(f"y has no label but {labels.tolist()[0]!r}: the number of classes has to be greater "
                                 "than one; got 1 class")
            return X, codes, labels
        if loss.name == "center":
            return X, *self._known_codes(y, classes)
        return X, codes, None

    def _known_codes(self, y, classes):
        """Codes of labels among the classes announced."""
        state = getattr(self, "_state", None)
        known = np.unique(y if classes is None else classes)
        if state is not None and state.classes is not None:
            known = state.classes
        codes = np.searchsorted(known, y)
        strange = (codes == len(known)) | (known[np.minimum(codes, len(known) - 1)] != y)
        if strange.any():
            raise ValueError(f"y contains {y[strange].tolist()[0]!r}, which is not among the classes {known.tolist()} "
                             "of the first call to partial_fit.")
        return codes, known

    def _check_shapes(self, n_features):
        if self.n_components is not None and self.n_components > n_features:
            raise ValueError(f"n_components={self.n_components} must not be larger than n_features={n_features}.")
        if not isinstance(self.init, str):
            shape = self._shape(n_features)
            if np.shape(self.init) != shape:
                raise ValueError(
                    f"init has shape {np.shape(self.init)}, expected (n_components, n_features) = {shape}.")
            try:
                check_array(self.init, input_name="init")
            except ValueError as error:
                raise ValueError(f"init must hold finite real numbers: {error}") from error

    def _shape(self, n_features):
        return (min(n_features, 32) if self.n_components is None else int(self.n_components)), n_features

    def _hold_out(self, X, codes, generator):
        """Rows to train on, and rows to score on or None."""
        if not self.early_stopping:
            return (X, codes), None
        seed = int(generator.integers(2**31 - 1))
        everyone = np.arange(X.shape[0])
        enough = codes is not None and np.bincount(codes).min() > 1
        try:
            train, held_out = train_test_split(
                everyone, test_size=self.validation_fraction, random_state=seed, stratify=codes if enough else None)
        except ValueError as error:
            raise ValueError(f"validation_fraction={self.validation_fraction} of {len(everyone)} rows cannot be held "
                             f"out: {error}") from error
        return tuple((X[part], None if codes is None else codes[part]) for part in (train, held_out))

    # -- what is trained --------------------------------------------------------------------------------------------

    def _task(self, X, codes, loss, n_classes, generator, columns=None):
        """What is to be minimised, and whether target neighbours are needed for it."""
        columns = Columns.of(X) if columns is None else columns
        objective = self._objective(loss, n_classes)
        shape = self._shape(X.shape[1])
        if not objective.partners or (codes is not None and self.sampling == "all" and loss.name != "nt_xent"):
            batches = Rows(X, codes, columns)
        elif codes is None:
            batches = Views(X, columns, self.noise)
        else:
            space = None if self.n_neighbors is None else self._neighbour_space(X, columns, shape, generator)
            batches = Partners(X, codes, columns, space, self.n_neighbors, generator)
        penalty = get_penalty(self.penalty, self.alpha, self.l1_ratio)
        return Task(batches, objective, shape, float(penalty.l1[0]), float(penalty.l2[0]))

    def _objective(self, loss, n_classes):
        """The objective that takes what the loss takes."""
        if loss.name == "center":
            return CenterObjective(loss, self.center_weight, n_classes, self.n_jobs)
        if loss.arguments == ("Z1", "Z2"):
            return ViewObjective(loss, self.n_jobs)
        if len(loss.arguments) == 1:
            return Objective(loss, self.n_jobs)
        kind = PairObjective if len(loss.arguments) == 2 else TripletObjective
        return kind(loss, self.sampling, self.n_neighbors or 1, _of_cosines(loss), self.n_jobs)

    @staticmethod
    def _neighbour_space(X, columns, shape, generator):
        """Standardised rows, or their principal directions where columns are many."""
        if not issparse(X) and shape[1] <= WIDE:
            return columns.rows(X)
        index = _some(X.shape[0], ROWS, generator)
        directions = principal(columns.rows(X, index), min(WIDE, shape[1]), generator).astype(X.dtype)
        chunks = np.array_split(np.arange(X.shape[0]), -(-X.shape[0] // ROWS))
        return np.concatenate([columns.rows(X, chunk) @ directions.T for chunk in chunks])

    def _first(self, task, loss, generator):
        """The parameters training starts from."""
        batches = task.batches
        if isinstance(self.init, str):
            index = _some(batches.n_rows, ROWS, generator)
            S = batches.columns.rows(batches.X, index)
            codes = None if batches.codes is None else batches.codes[index]
            if self.init == "lda" and codes is None:
                raise ValueError("init='lda' needs labels, but the target y is None.")
            init = self.init
            if init == "auto":
                init = "pca" if codes is None else "lda"
            C = first_components(init, S, codes, task.shape, generator)
            C = rescaled(C, S, _spread(loss, task.shape[0]), generator)
        else:
            C = np.asarray(self.init, dtype=np.float64) * batches.columns.scale
        extra, _ = task.objective.start(task.shape[0], C.dtype)
        return np.concatenate([C.ravel(), extra])

    def _continued(self, task, state):
        """The parameters that partial_fit goes on from, if they are those of this task."""
        extra, _ = task.objective.start(task.shape[0], state.theta.dtype)
        if self.components_.shape != task.shape or len(state.theta) != task.size + len(extra):
            raise ValueError(
                f"partial_fit goes on with {self.components_.shape[0]} components trained by {self.loss_!r}: "
                f"n_components={self.n_components} and loss={self.loss!r} ask for another model, which fit trains.")
        return state.theta

    def _batch_size(self, task):
        if self.batch_size != "auto":
            return self.batch_size
        if self.sampling == "all" and type(task.objective) in (PairObjective, TripletObjective):
            return BATCH_OF_ALL
        if task.objective.partners:
            return BATCH_OF_PAIRS
        return WHOLE if task.batches.n_rows <= WHOLE else BATCH

    def _scorer(self, task, X, codes, generator):
        """Minus the mean loss of rows held out, what is drawn being drawn once."""
        index = _some(X.shape[0], VALIDATION_ROWS, generator)
        of_rows = self._task(X[index], None if codes is None else codes[index], task.objective.loss,
                             getattr(task.objective, "n_classes", 0), generator, task.batches.columns)
        batch = of_rows.batches.whole(generator)
        seed = int(generator.integers(2**31 - 1))

        def score(theta):
            Z = of_rows.embed(theta, batch.X)
            centers = getattr(task.objective, "centers", None)
            plan = of_rows.objective.plan(batch, Z, np.random.default_rng(seed)) if centers is None else centers
            if not of_rows.objective.contributes(batch, plan):
                raise ValueError(
                    f"validation_fraction={self.validation_fraction} holds out {X.shape[0]} rows, of which none has "
                    "both a similar and a dissimilar one among them: hold out more, or train without early_stopping.")
            return -of_rows.objective(batch, Z, plan, theta[task.size :])[0]

        return score

    @contextlib.contextmanager
    def _computing(self):
        """Threads as `n_jobs` says; what single batches lack is not worth a warning."""
        n_jobs = None if self.n_jobs is None else effective_threads(self.n_jobs)
        with threadpool_limits(n_jobs), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No row of this batch contributes")
            yield

    def _small_products(self):
        """One thread for BLAS unless `n_jobs` was given: products of mini-batches do not pay for waking others up."""
        return threadpool_limits(1 if self.n_jobs is None else None, user_api="blas")

    # -- what is kept -----------------------------------------------------------------------------------------------

    def _attributes(self, task, loss):
        """How parameters become fitted attributes."""
        columns, dtype = task.batches.columns, task.batches.X.dtype

        def attributes(theta, n_iter):
            C = theta[: task.size].reshape(task.shape)
            return {
                "components_": (C / columns.scale).astype(dtype),
                "mean_": columns.mean.astype(dtype),
                "scale_": columns.scale.astype(dtype),
                "loss_": loss,
                "n_iter_": n_iter,
            }

        return attributes

    def _keep(self, attributes, passes, solver, before=None):
        vars(self).update(attributes)
        history = {name: np.array(numbers) for name, numbers in passes.history.items() if numbers}
        if before is not None:
            seconds = before["seconds"][-1:]
            history = {name: np.concatenate([before.get(name, []), numbers + (seconds if name == "seconds" else 0.0)])
                       for name, numbers in history.items()}
        self.history_ = history
        self.solver_ = solver

    def _warn(self, loss, passes, contributed):
        if not contributed:
            warnings.warn(
                f"No row ever contributed to {loss!r}: in no batch did a row have both a similar and a dissimilar row.",
                UserWarning, stacklevel=6)
        elif passes is not None and not passes.converged and passes.n_iter >= self.max_iter:
            warnings.warn(
                f"LinearEmbedding did not converge: the objective still improves after max_iter={self.max_iter} "
                "passes. Increase max_iter or tol.", ConvergenceWarning, stacklevel=6)

    @property
    def _n_features_out(self):
        """Number of output columns, for their names."""
        return self.components_.shape[0]

    def _normalizes(self, loss):
        return _of_cosines(loss) if self.normalize == "auto" else bool(self.normalize)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        name = self.loss if isinstance(self.loss, str) else getattr(self.loss, "name", None)
        tags.target_tags.required = name != "nt_xent"
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _count(labels):
    return 0 if labels is None else len(labels)


def _of_cosines(loss):
    """Whether a loss sees nothing but angles."""
    return loss.name in COSINES


def _spread(loss, n_components):
    """The mean squared distance of random rows at which a loss has slopes to go by."""
    if loss.name == "nca":
        return 10.0 * loss.temperature
    if loss.name in ("contrastive", "triplet"):
        return loss.margin if getattr(loss, "squared", False) else loss.margin * loss.margin
    return float(n_components)


def _some(n, most, generator):
    """All of n rows, or so many random ones."""
    return np.arange(n) if n <= most else np.sort(generator.choice(n, most, replace=False))

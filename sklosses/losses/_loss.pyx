"""The base of all losses: defaults for solvers, and the face that Python sees."""

from cpython.exc cimport PyErr_Occurred
from libc.math cimport INFINITY, NAN, fabs, fmax, fmin, isinf, isnan, nextafter
from libc.stdlib cimport calloc, free

import numpy as np

from sklosses._isa import kernel
from sklosses._parametrised import Parametrised, rebuild
from sklosses.losses._links import LINKS
from sklosses.losses._traits import Target, Traits

cdef enum:
    PIECE = 256     # elements that evaluate32 converts at a time: five buffers on the stack, in the first-level cache


cdef class Loss:
    """A loss: value, gradient and hessian as functions of a target y and a raw prediction p.

    The raw prediction is what a linear model computes, x.w + b + offset; :attr:`traits` names the link between it and
    the mean. Arrays go in, arrays of the same shape come out, element by element. Parameters of a loss are keyword
    arguments of its constructor; each may also be a vector with one value for each column of two-dimensional
    predictions (a set of quantiles, candidates of a search).

    Attributes
    ----------
    name : str
        The name under which :func:`get_loss` and the estimators know the loss.
    n_columns : int
        The length of vector parameters, 1 if all are scalars.
    """

    name = ""
    ranges = {}
    target = Target()
    tasks = frozenset({"regression", "classification"})

    def __cinit__(self, *args, **kwargs):
        self.n_columns = 1
        self.theta = NULL
        self._given = {}

    def __dealloc__(self):
        free(self.theta)

    # What solvers call ----------------------------------------------------------------------------------------------

    cdef int evaluate(self, const Block* block) except -1 nogil:
        with gil:
            raise NotImplementedError(f"{type(self).__name__} does not implement evaluate.")

    cdef int evaluate32(self, const Block32* block) except -1 nogil:
        cdef double y[PIECE]
        cdef double p[PIECE]
        cdef double value[PIECE]
        cdef double gradient[PIECE]
        cdef double hessian[PIECE]
        cdef Block piece = Block(1, 0, 0, 0, &y[0], &p[0], &value[0], &gradient[0], &hessian[0])
        cdef Py_ssize_t row, column, at, i
        if block.value == NULL:
            piece.value = NULL
        if block.gradient == NULL:
            piece.gradient = NULL
        if block.hessian == NULL:
            piece.hessian = NULL
        for row in range(block.n_rows):
            column = 0
            while column < block.n_columns:
                at = row * block.stride + column
                piece.n_columns = piece.stride = min(<Py_ssize_t> PIECE, block.n_columns - column)
                piece.first = block.first + column
                for i in range(piece.n_columns):
                    y[i], p[i] = block.y[at + i], block.p[at + i]
                self.evaluate(&piece)
                for i in range(piece.n_columns):
                    if block.value != NULL:
                        block.value[at + i] = <float> value[i]
                    if block.gradient != NULL:
                        block.gradient[at + i] = <float> gradient[i]
                    if block.hessian != NULL:
                        block.hessian[at + i] = <float> hessian[i]
                column += piece.n_columns
        return 0

    cdef double value_at(self, double y, double p, Py_ssize_t column) noexcept nogil:
        cdef double value = NAN
        cdef Block block = Block(1, 1, 1, column, &y, &p, &value, NULL, NULL)
        _evaluate_or_nan(self, &block)
        return value

    cdef double gradient_at(self, double y, double p, Py_ssize_t column) noexcept nogil:
        cdef double gradient = NAN
        cdef Block block = Block(1, 1, 1, column, &y, &p, NULL, &gradient, NULL)
        _evaluate_or_nan(self, &block)
        return gradient

    cdef double conjugate_at(self, double y, double u, Py_ssize_t column) noexcept nogil:
        return NAN

    cdef double prox_at(self, double y, double v, double step, Py_ssize_t column) noexcept nogil:
        # The gradient is monotone: the solution p = v - step * gradient(p) lies between v and v - step * gradient(v).
        cdef double gradient = NAN, hessian = 0.0, p = v, low = v, high = v, reach = 1.0, rest, newton
        cdef Block block = Block(1, 1, 1, column, &y, &p, NULL, &gradient, &hessian)
        cdef int iteration
        _evaluate_or_nan(self, &block)
        if isnan(gradient):
            return NAN
        if gradient > 0:
            low = v - step * gradient
        else:
            high = v - step * gradient
        while isinf(high - low):        # of slopes beyond all numbers: from v on, twice as far each time
            p = v - reach if isinf(low) else v + reach
            _evaluate_or_nan(self, &block)
            if isnan(gradient):
                return NAN
            if (p - v) + step * gradient > 0:
                high = p
            else:
                low = p
            reach *= 2.0
        for iteration in range(200):
            rest = (p - v) + step * gradient
            if rest == 0:
                break
            if rest > 0:
                high = p
            else:
                low = p
            newton = p - rest / (1.0 + step * hessian)
            if not (low < newton < high) or iteration % 4 == 3:    # every fourth step halves: at a kink Newton creeps
                newton = low + 0.5 * (high - low)
            if newton <= low or newton >= high:                    # no float64 between the ends
                break
            if fabs(newton - p) <= 1e-16 * fabs(newton):
                p = newton
                break
            p = newton
            _evaluate_or_nan(self, &block)
        return p

    cdef void dual_step(self, double y, double p, double step, Dual* dual, Py_ssize_t column) noexcept nogil:
        # (v - q) / step rounds to beyond the slopes at q where step is small: their range there is what counts.
        cdef double v = p + step * dual.u, q = self.prox_at(y, v, step, column)
        cdef double size = 4e-16 * fmax(fabs(v), fabs(q)), u = (v - q) / step
        dual.gap = 0
        if not isnan(dual.at):      # phi*(u) = u at - phi(at)
            dual.gap = (self.value_at(y, p, column) - self.value_at(y, dual.at, column) - dual.u * (p - dual.at))
        u = fmax(u, self.gradient_at(y, nextafter(q - size, -INFINITY), column))
        dual.u = fmin(u, self.gradient_at(y, nextafter(q + size, INFINITY), column))
        dual.at = q

    cdef bint conjugate_parabola(self, double y, Py_ssize_t column, Parabola* out) noexcept nogil:
        return False

    cdef double parameter(self, Py_ssize_t which, Py_ssize_t column) noexcept nogil:
        return self.theta[which * self.n_columns + (column if self.n_columns > 1 else 0)]

    # Parameters -----------------------------------------------------------------------------------------------------

    def _set(self, **given):
        """Check and keep parameters, in the order of the constructor's arguments."""
        columns, n_columns = {}, 1
        for name, value in given.items():
            columns[name] = numbers = _as_parameter(type(self).__name__, name, value, self.ranges[name])
            if numbers.ndim and n_columns > 1 and len(numbers) != n_columns:
                raise ValueError(f"{name}={value!r} of {type(self).__name__} has {len(numbers)} values, "
                                 f"another parameter {n_columns}: vector parameters have one value a column.")
            n_columns = max(n_columns, numbers.size)
        # Room for two at least: the formulas of this package read two, whether they use them or not.
        cdef double* theta = <double*> calloc(n_columns * max(2, len(given)), sizeof(double))
        if theta == NULL:
            raise MemoryError
        cdef Py_ssize_t j, k
        for j, numbers in enumerate(columns.values()):
            full = np.broadcast_to(numbers, (n_columns,))
            for k in range(n_columns):
                theta[j * n_columns + k] = full[k]
        free(self.theta)
        self.theta, self.n_columns, self._given = theta, n_columns, dict(given)

    def __getattr__(self, name):
        given = self._given
        if name in given:
            return given[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    get_params = Parametrised.get_params
    set_params = Parametrised.set_params

    # An extension type takes its special methods from its own body alone.

    def __eq__(self, other):
        return Parametrised.__eq__(self, other)

    def __hash__(self):
        return Parametrised.__hash__(self)

    def __repr__(self):
        return Parametrised.__repr__(self)

    def __reduce__(self):
        return rebuild, (type(self), self.get_params())

    def __copy__(self):
        return type(self)(**self.get_params())

    # Traits ---------------------------------------------------------------------------------------------------------

    @property
    def traits(self):
        """The analytic properties of this loss: a :class:`Traits`."""
        return Traits()

    @property
    def has_hessian(self):
        """Whether :meth:`hessian` is known; always, but for losses of your own."""
        return True

    def smoothed(self, mu):
        """A smooth loss within ``mu * lipschitz**2 / 2`` below this one.

        Nesterov's smoothing (Mathematical Programming 103, 2005): with phi(t) = sup_a a t - phi*(a), the smoothed
        loss is sup_a a t - phi*(a) - mu a^2 / 2, whose curvature is at most 1 / mu.

        Parameters
        ----------
        mu : float > 0
            The width of the band around a kink in which the loss is rounded.

        Returns
        -------
        Loss
            A smooth loss; this one if it is smooth already.

        Raises
        ------
        NotImplementedError
            If the loss is neither smooth nor has a smoothed form.
        """
        if self.traits.smooth:
            return self
        raise NotImplementedError(f"{type(self).__name__} has no smoothed form.")

    def kinks(self, y_true):
        """Where the gradient jumps, of losses that are linear in the raw prediction between their kinks.

        With m kinks at c_1 <= ... <= c_m and jumps j_k > 0, the loss is a linear function of p plus
        sum_k j_k max(p - c_k, 0).

        Parameters
        ----------
        y_true : array-like of shape (n,)
            Targets.

        Returns
        -------
        positions, jumps : ndarray of shape (m, n)
            float64; m = 0 if the loss is smooth.

        Raises
        ------
        NotImplementedError
            If the loss is not smooth and does not say where its kinks are.
        """
        if self.traits.smooth:
            return np.empty((0, len(y_true))), np.empty((0, len(y_true)))
        raise NotImplementedError(f"{type(self).__name__} does not say where its kinks are.")

    def link(self, mean):
        """The raw prediction that stands for a mean.

        Parameters
        ----------
        mean : array-like of float
            Means of y (for log_loss: probabilities).

        Returns
        -------
        ndarray or float
        """
        return LINKS[self.traits.link][0](_as_float(mean))

    def inverse_link(self, raw_prediction):
        """The mean that a raw prediction stands for.

        Parameters
        ----------
        raw_prediction : array-like of float
            Raw predictions.

        Returns
        -------
        ndarray or float
        """
        return LINKS[self.traits.link][1](_as_float(raw_prediction))

    def probability(self, raw_prediction):
        """P(y is the positive class) behind a raw prediction.

        Parameters
        ----------
        raw_prediction : array-like of float
            Raw predictions.

        Returns
        -------
        ndarray or float

        Raises
        ------
        AttributeError
            If the minimiser of the expected loss does not determine the probability (hinge, for one).
        """
        raise AttributeError(f"{self!r} estimates no probability.")

    # Arrays ---------------------------------------------------------------------------------------------------------

    def value(self, y_true, raw_prediction, sample_weight=None, *, out=None):
        """The loss, element by element.

        Parameters
        ----------
        y_true : array-like of shape (n,) or (n, k)
            Targets in :attr:`target`; of shape (n,) they serve all k columns.
        raw_prediction : array-like of shape (n,) or (n, k)
            Raw predictions. With vector parameters k is their length.
        sample_weight : array-like of shape (n,), default=None
            Factors of the rows.
        out : ndarray of the result's shape and dtype, default=None
            Where to write the result.

        Returns
        -------
        ndarray of the shape of raw_prediction
            float32 if y_true and raw_prediction are (integer targets follow raw_prediction), otherwise float64.

        Raises
        ------
        ValueError
            If shapes do not match or a target is outside the loss's domain.
        """
        outs = None if out is None else [out]
        return _on_arrays(self, (True, False, False), (y_true, raw_prediction, sample_weight, outs))[0]

    def gradient(self, y_true, raw_prediction, sample_weight=None, *, out=None):
        """The derivative of the loss with respect to the raw prediction.

        At kinks: the one-sided derivative that the loss's documentation states. Parameters, result and errors are
        those of :meth:`value`.
        """
        outs = None if out is None else [out]
        return _on_arrays(self, (False, True, False), (y_true, raw_prediction, sample_weight, outs))[0]

    def hessian(self, y_true, raw_prediction, sample_weight=None, *, out=None):
        """The second derivative of the loss with respect to the raw prediction, 0 on linear parts.

        Parameters, result and errors are those of :meth:`value`.
        """
        outs = None if out is None else [out]
        return _on_arrays(self, (False, False, True), (y_true, raw_prediction, sample_weight, outs))[0]

    def value_and_gradient(self, y_true, raw_prediction, sample_weight=None, *, out=None):
        """Value and gradient in one sweep, which share their exponential.

        Parameters
        ----------
        y_true, raw_prediction, sample_weight
            As in :meth:`value`.
        out : tuple of two ndarrays, default=None
            Where to write value and gradient.

        Returns
        -------
        value, gradient : ndarrays of the shape of raw_prediction
        """
        if out is not None and (not isinstance(out, (tuple, list)) or len(out) != 2):
            raise ValueError(f"out must be a pair of arrays, for value and gradient; got {type(out).__name__}.")
        return tuple(_on_arrays(self, (True, True, False), (y_true, raw_prediction, sample_weight, out)))

    def __call__(self, y_true, raw_prediction, sample_weight=None):
        """The weighted mean of the loss.

        Parameters
        ----------
        y_true, raw_prediction, sample_weight
            As in :meth:`value`; a weight of k counts as the row k times over.

        Returns
        -------
        float
            sum(sample_weight * value) / sum(sample_weight), over all columns if there are several.
        """
        values = self.value(_as_float(y_true, np.float64), _as_float(raw_prediction, np.float64))
        if sample_weight is None:
            return float(np.mean(values))
        weights = np.asarray(sample_weight, dtype=np.float64)
        if weights.shape != values.shape[:1]:
            raise ValueError(f"sample_weight has shape {weights.shape}, expected {values.shape[:1]}.")
        return float(np.average(values, axis=0, weights=weights).mean())

    def conjugate(self, y_true, dual):
        """The convex conjugate sup_p (u p - phi(y, p)), element by element.

        Parameters
        ----------
        y_true : array-like of shape (n,) or (n, k)
            Targets.
        dual : array-like of shape (n,) or (n, k)
            The u of the formula.

        Returns
        -------
        ndarray of float64
            inf outside the domain; nan throughout if the loss has no formula (``traits.has_conjugate``).
        """
        return _one_by_one(self, y_true, dual, None)

    def prox(self, y_true, v, step):
        """The proximal operator argmin_p phi(y, p) + (p - v)^2 / (2 step), element by element.

        Parameters
        ----------
        y_true : array-like of shape (n,) or (n, k)
            Targets.
        v : array-like of shape (n,) or (n, k)
            Where to stay close to.
        step : float > 0
            The step.

        Returns
        -------
        ndarray of float64

        Raises
        ------
        ValueError
            If step is not positive, or the loss is not convex.
        """
        if not step > 0 or not np.isfinite(step):
            raise ValueError(f"step={step!r} must be a finite positive number.")
        if not self.traits.convex:
            raise ValueError(f"{self!r} is not convex: its proximal operator need not be unique.")
        return _one_by_one(self, y_true, v, step)


cdef int _evaluate(Loss loss, const Block* block) except -1 nogil:
    return loss.evaluate(block)


cdef inline void _evaluate_or_nan(Loss loss, const Block* block) noexcept nogil:
    """Evaluate; where that raises, the indicator stays set and the result is nan (the contract of value_at)."""
    cdef double* result = block.value if block.value != NULL else block.gradient
    if loss.failed:
        # Solvers ask now and then. Until they have, Python must not be entered with an exception pending.
        with gil:
            loss.failed = PyErr_Occurred() != NULL
        if loss.failed:
            result[0] = NAN
            return
    # Called as a function that cannot raise, so that the indicator is neither printed nor cleared here.
    if (<int (*)(Loss, const Block*) noexcept nogil> _evaluate)(loss, block) == -1:
        loss.failed = True
        result[0] = NAN


cdef int raise_pending() except -1:
    """Raise what a slot that cannot raise has left behind."""
    return -1 if PyErr_Occurred() else 0


def at_one(Loss loss, double y, double p):
    """value_at and gradient_at of column 0: what solvers ask for that step sample by sample."""
    value, gradient = loss.value_at(y, p, 0), loss.gradient_at(y, p, 0)
    raise_pending()
    return value, gradient


def dual_steps(Loss loss, y, p, step, Py_ssize_t n):
    """n steps of dual_step for one row in column 0, all at the prediction p: the rows (u, at, gap) that each leaves.

    The prediction stays what it was without the row's own part, p - step u, as if all other rows rested.
    """
    cdef Dual dual = Dual(0, NAN, 0, 0)
    cdef double target = y, other = p, size = step
    cdef Py_ssize_t _
    out = []
    for _ in range(n):
        loss.dual_step(target, other - size * dual.u, size, &dual, 0)
        out.append((dual.u, dual.at, dual.gap))
    raise_pending()
    return out


def _as_float(array, dtype=None):
    array = np.asarray(array)
    if dtype is None:
        dtype = np.float32 if array.dtype == np.float32 else np.float64
    return array.astype(dtype, copy=False)


def _as_parameter(cls, name, value, interval):
    """A parameter as a float64 array of no or one dimension, checked."""
    numbers = np.asarray(value)
    if numbers.ndim > 1 or numbers.size == 0 or numbers.dtype.kind not in "fiu":
        raise ValueError(f"{name}={value!r} of {cls} must be a number, or a vector with one number a column.")
    numbers = numbers.astype(np.float64)
    for number in np.atleast_1d(numbers):
        if number not in interval:
            raise ValueError(f"{name}={number:g} of {cls} must be in {interval}.")
    return numbers


def _paired(loss, y_true, other, name):
    """Two arrays as (n, k) views of one dtype, and the shape that a result has."""
    y, p = np.asarray(y_true), np.asarray(other)
    for array, label in ((y, "y_true"), (p, name)):
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{label} must hold real numbers, got dtype {array.dtype}.")
    single = p.dtype == np.float32 and (y.dtype == np.float32 or y.dtype.kind != "f")
    dtype = np.float32 if single else np.float64
    p = np.require(p, dtype, "CA")
    shape = p.shape
    if p.ndim > 2 or (loss.n_columns > 1 and shape[1:] != (loss.n_columns,)):
        expected = f"(n, {loss.n_columns})" if loss.n_columns > 1 else "(n,) or (n, k)"
        raise ValueError(f"{name} has shape {shape}, but {loss!r} expects {expected}.")
    p = p.reshape(1, 1) if p.ndim == 0 else p[:, None] if p.ndim == 1 else p
    y = y.reshape(1, 1) if y.ndim == 0 else y[:, None] if y.ndim == 1 else y
    if y.ndim != 2 or y.shape[0] != p.shape[0] or y.shape[1] not in (1, p.shape[1]):
        raise ValueError(f"y_true has shape {np.shape(y_true)}, which does not match {name} of shape {shape}.")
    return np.require(np.broadcast_to(y, p.shape), dtype, "CA"), p, shape


def _on_arrays(loss, wanted, arguments):
    """Those of value, gradient and hessian that are wanted (three flags), of whole arrays, as a list."""
    y_true, raw_prediction, sample_weight, outs = arguments
    y, p, shape = _paired(loss, y_true, raw_prediction, "raw_prediction")
    weights = None
    if sample_weight is not None:
        weights = np.ascontiguousarray(sample_weight, dtype=np.float64)
        if weights.shape != p.shape[:1]:
            raise ValueError(f"sample_weight has shape {weights.shape}, expected {p.shape[:1]}.")
    outs = [None] * sum(wanted) if outs is None else outs
    arrays = [np.empty(shape, dtype=p.dtype) if out is None else _written(out, shape, p.dtype) for out in outs]
    rest = iter(arrays)
    results = tuple(next(rest).reshape(p.shape) if flag else None for flag in wanted)
    if not kernel("sklosses.losses._arrays").sweep(loss, y, p, weights, results):
        loss.target.check(y, "y_true", type(loss).__name__)
    for position, out in enumerate(outs):
        if out is None:
            arrays[position] = arrays[position][()]
        elif out is not arrays[position]:
            out[...] = arrays[position]
            arrays[position] = out
    return arrays


def _written(out, shape, dtype):
    """Where to write what `out` is to hold: itself, unless its layout forbids."""
    if not (isinstance(out, np.ndarray) and out.shape == shape and out.dtype == dtype and out.flags.writeable):
        found = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out must be a writeable ndarray of {dtype} and shape {shape}, got {found}.")
    return out if out.flags.c_contiguous and out.flags.aligned else np.empty(shape, dtype=dtype)


def _one_by_one(Loss loss, y_true, other, step):
    """conjugate (step None) or prox of whole arrays, through the scalar slots."""
    y, v, shape = _paired(loss, _as_float(y_true, np.float64), _as_float(other, np.float64),
                          "dual" if step is None else "v")
    loss.target.check(y, "y_true", type(loss).__name__)
    cdef const double[:, :] y_view = y, v_view = v
    cdef double[:, ::1] result = np.empty(v.shape)
    cdef Py_ssize_t i, k
    cdef double size = 0 if step is None else step
    with nogil:
        for i in range(v_view.shape[0]):
            for k in range(v_view.shape[1]):
                if size > 0:
                    result[i, k] = loss.prox_at(y_view[i, k], v_view[i, k], size, k)
                else:
                    result[i, k] = loss.conjugate_at(y_view[i, k], v_view[i, k], k)
    raise_pending()
    return np.asarray(result).reshape(shape) if shape else result[0, 0]

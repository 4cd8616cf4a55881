"""Losses that users write: Python objects that work on arrays, and C functions of one target and one prediction."""

from cpython.buffer cimport Py_buffer, PyBUF_STRIDED_RO, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_Occurred
from libc.math cimport NAN, fabs, isfinite, isnan
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

import copy

import numpy as np

from sklosses._parametrised import Parametrised, rebuild
from sklosses.losses import _functions
from sklosses.losses._loss cimport Block, Loss
from sklosses.losses._traits import Target, Traits

cdef object FLOAT64 = np.dtype(np.float64)
cdef object frombuffer = np.frombuffer
TASKS = frozenset({"regression", "classification"})
NAMES = ("value", "gradient", "hessian")


cdef class Custom(Loss):
    """What both kinds share: what a loss declares about itself, and errors that name it."""

    # Declarations ----------------------------------------------------------------------------------------------------

    cdef object _declared(self, name):
        """What the user declared under this name; None: nothing."""
        return self._given.get(name)

    @property
    def name(self):
        """What the loss is called in errors and tables."""
        return self._declared("name") or "custom"

    @property
    def traits(self):
        """The analytic properties that were declared; by default none, not even convexity."""
        traits = self._declared("traits")
        return Traits(convex=False, smooth=False) if traits is None else traits

    @property
    def target(self):
        """The targets that the loss takes, as declared; by default -1 and +1 for margin losses, else any number."""
        target = self._declared("target")
        if target is None:
            return Target(-1, 1, codes=(-1.0, 1.0), hard=True) if self.traits.kind == "margin" else Target()
        return target

    @property
    def tasks(self):
        """The estimators that take it, as declared; by default classifiers if targets are codes, else regressors."""
        tasks = self._declared("tasks")
        if tasks is None:
            return frozenset({"regression" if self.target.codes is None else "classification"})
        return frozenset((tasks,) if isinstance(tasks, str) else tasks)

    cdef int _check_declarations(self) except -1:
        for name, kind in (("traits", Traits), ("target", Target), ("name", str)):
            declared = self._declared(name)
            if declared is not None and not isinstance(declared, kind):
                raise TypeError(f"{name} of the loss {self.name!r} must be a {kind.__name__}, got {declared!r}.")
        if not self.tasks or not self.tasks <= TASKS:
            raise ValueError(f"tasks of the loss {self.name!r} must be of {sorted(TASKS)}, got {sorted(self.tasks)}.")
        if "classification" in self.tasks and self.target.codes is None:
            raise ValueError(f"The loss {self.name!r} is declared for classification, but its target has no codes for "
                             "the two classes: target=Target(-1, 1, codes=(-1.0, 1.0), hard=True), for instance.")
        return 0

    # A loss like others ----------------------------------------------------------------------------------------------

    def __sklearn_clone__(self):
        return copy.deepcopy(self)

    def __deepcopy__(self, memo):
        return type(self)(**{name: self._copied(name, given, memo) for name, given in self._given.items()})

    def _copied(self, name, given, memo):
        """A parameter for a copy of the loss. What is declared is frozen."""
        return given

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        mine, others = self.get_params(), other.get_params()
        return all(_same(mine[name], others[name]) for name in mine)

    def __hash__(self):
        return hash(type(self).__name__)

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r})"

    # Errors ----------------------------------------------------------------------------------------------------------

    cdef int _complain(self, const Block* block, const double* result, str which) except -1:
        """Raise if a result is nan where target and prediction are numbers. Rare: asked after a nan has been seen."""
        cdef Py_ssize_t i, k, at
        cdef double y, p
        for i in range(block.n_rows):
            for k in range(block.n_columns):
                at = i * block.stride + k
                y, p = block.y[at], block.p[at]
                if isnan(result[at]) and isfinite(y) and isfinite(p):
                    self.target.check(y, "y_true", f"the loss {self.name!r}")
                    hint = " A prediction that large comes of training that diverges." if fabs(p) > 1e12 else ""
                    raise ValueError(f"{which} of the loss {self.name!r} is nan at y={y!r}, "
                                     f"raw prediction {p!r}.{hint}")
        return 0

    # The proximal operator -------------------------------------------------------------------------------------------

    cdef bint _has_hessian(self) noexcept nogil:
        return False

    cdef double prox_at(self, double y, double v, double step, Py_ssize_t column) noexcept nogil:
        """Without second derivatives: false position with Illinois' rule, on (p - v) / step + gradient."""
        if self._has_hessian():
            return Loss.prox_at(self, y, v, step, column)
        cdef double a = v, fa = step * self.gradient_at(y, v, column)
        cdef double b = v - fa, fb, p, rest
        cdef int iteration
        if fa == 0 or isnan(fa):
            return v if fa == 0 else NAN
        fb = (b - v) + step * self.gradient_at(y, b, column)
        if (fb > 0) == (fa > 0):        # no further than rounding
            return b
        for iteration in range(200):
            if fb == 0 or isnan(fb) or fabs(b - a) <= 2e-16 * fabs(b):
                break
            p = b - fb * (b - a) / (fb - fa)
            if not (min(a, b) < p < max(a, b)) or iteration % 4 == 3:   # at a kink false position creeps
                p = a + 0.5 * (b - a)
            if p == a or p == b:
                break
            rest = (p - v) + step * self.gradient_at(y, p, column)
            if (rest > 0) == (fb > 0):
                fa *= 0.5
            else:
                a, fa = b, fb
            b, fb = p, rest
        return b


cdef class PythonLoss(Custom):
    """A loss that a Python object computes, on arrays.

    The object has the methods ``value(y, p)`` and ``gradient(y, p)`` and may have ``hessian(y, p)``, each from targets
    and raw predictions, read-only float64 arrays of shape (n,), to an array of shape (n,), element by element. Where it
    has ``value_and_gradient(y, p)``, which returns both, solvers that want both call it once. It may also have
    ``conjugate(y, u)``, ``prox(y, v, step)``, ``probability(p)`` and ``smoothed(mu)``, with the meanings of
    :class:`Loss`'s methods of these names.

    Solvers take Python's global lock for each call: right, but slower than a compiled loss. Mini-batches of some
    hundred rows hide most of it; sample by sample every row pays for several Python calls.

    Parameters
    ----------
    loss : object
        What computes. Not copied; pickled and cloned with this.
    traits : Traits, default=None
        What solvers may rely on. None: the object's attribute ``traits``, else nothing: neither convex nor smooth.
    target : Target, default=None
        The targets it takes. None: the object's attribute ``target``; else -1 and +1 if it is a margin loss, any number
        if not.
    tasks : str or set of str, default=None
        "regression", "classification" or both. None: the object's attribute ``tasks``; else classification if the
        targets are codes, regression if not.
    name : str, default=None
        What errors call the loss. None: the object's attribute ``name``, else the name of its class.

    See Also
    --------
    as_loss : Makes one of any suitable object.
    check_loss : Tests what a loss computes and declares.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.losses import PythonLoss, Traits
    >>> class Quartic:
    ...     traits = Traits("residual")
    ...     def value(self, y, p):
    ...         return (p - y) ** 4 / 4
    ...     def gradient(self, y, p):
    ...         return (p - y) ** 3
    >>> loss = PythonLoss(Quartic())
    >>> loss
    PythonLoss('Quartic')
    >>> loss.gradient([1.0, 2.0], [3.0, 2.0])
    array([8., 0.])
    """

    cdef object _methods        # value, gradient, hessian: bound methods or None
    cdef object _both
    cdef bint _second           # there is a hessian
    cdef bint _own_prox

    def __init__(self, loss, *, traits=None, target=None, tasks=None, name=None):
        self._set(loss=loss, traits=traits, target=target, tasks=tasks, name=name)

    def _set(self, **given):
        loss = given["loss"]
        methods = [getattr(loss, name, None) for name in NAMES]
        for method, name in zip(methods[:2], NAMES):
            if not callable(method):
                raise TypeError(f"A loss must have the methods value(y, p) and gradient(y, p); {loss!r} has no {name}.")
        before = self._given
        self._given = given
        try:
            self._check_declarations()
        except BaseException:
            self._given = before
            raise
        self._methods, self._second = tuple(methods), callable(methods[2])
        self._both = getattr(loss, "value_and_gradient", None)
        self._own_prox = hasattr(loss, "prox")

    cdef object _declared(self, name):
        declared = self._given.get(name)
        if declared is None:
            declared = getattr(self._given["loss"], name, None)
            if declared is None and name == "name":
                declared = type(self._given["loss"]).__name__
        return declared

    def _copied(self, name, given, memo):
        return copy.deepcopy(given, memo) if name == "loss" else given

    @property
    def traits(self):
        """The analytic properties that were declared; by default none, not even convexity."""
        traits = self._declared("traits")
        if traits is None:
            return Traits(convex=False, smooth=False, has_conjugate=hasattr(self._given["loss"], "conjugate"),
                          has_probability=hasattr(self._given["loss"], "probability"))
        return traits

    def probability(self, raw_prediction):
        if not hasattr(self._given["loss"], "probability"):
            return Loss.probability(self, raw_prediction)
        return self._given["loss"].probability(np.asarray(raw_prediction))

    def smoothed(self, mu):
        if not hasattr(self._given["loss"], "smoothed"):
            return Loss.smoothed(self, mu)
        return as_loss(self._given["loss"].smoothed(mu))

    def kinks(self, y_true):
        if not hasattr(self._given["loss"], "kinks"):
            return Loss.kinks(self, y_true)
        return self._given["loss"].kinks(np.asarray(y_true, dtype=np.float64))

    # What solvers call -----------------------------------------------------------------------------------------------

    cdef bint _has_hessian(self) noexcept nogil:
        return self._second

    cdef int evaluate(self, const Block* block) except -1 nogil:
        with gil:
            # Solvers that step sample by sample ask for errors once a window: until then, no further calls.
            if PyErr_Occurred():
                return -1
            return self._evaluate(block)

    cdef int _evaluate(self, const Block* block) except -1:
        y = _array(block, block.y)
        p = _array(block, block.p)
        if block.value != NULL and block.gradient != NULL and self._both is not None:
            result = self._call(self._both, "value_and_gradient", y, p)
            if not isinstance(result, tuple) or len(result) != 2:
                raise ValueError(f"value_and_gradient of the loss {self.name!r} must return two arrays.")
            self._keep(block, 0, block.value, result[0])
            self._keep(block, 1, block.gradient, result[1])
        else:
            if block.value != NULL:
                self._keep(block, 0, block.value, self._call(self._methods[0], NAMES[0], y, p))
            if block.gradient != NULL:
                self._keep(block, 1, block.gradient, self._call(self._methods[1], NAMES[1], y, p))
        if block.hessian != NULL:
            if not self._second:
                raise NotImplementedError(f"The loss {self.name!r} has no hessian.")
            self._keep(block, 2, block.hessian, self._call(self._methods[2], NAMES[2], y, p))
        return 0

    cdef object _call(self, method, name, y, p):
        """Call the user's method; what it raises goes through as it is, with a note."""
        try:
            return method(y, p)
        except Exception as error:
            error.add_note(f"Raised by {name} of the loss {self.name!r}.")
            raise

    cdef int _keep(self, const Block* block, int which, double* into, result) except -1:
        """Check what a method returned, and copy it into the block."""
        cdef Py_ssize_t n = block.n_rows * block.n_columns, row, k, i = 0
        cdef Py_buffer buffer
        cdef const char* numbers
        cdef double number
        cdef bint seen = False
        if not isinstance(result, np.ndarray) or result.dtype is not FLOAT64 or result.ndim != 1:
            result = self._as_numbers(result, which, n)
        PyObject_GetBuffer(result, &buffer, PyBUF_STRIDED_RO)
        try:
            if buffer.shape[0] != n:
                self._as_numbers(result, which, n)
            numbers = <const char*> buffer.buf
            for row in range(block.n_rows):
                for k in range(block.n_columns):
                    number = (<const double*> (numbers + i * buffer.strides[0]))[0]
                    into[row * block.stride + k] = number
                    seen = seen or isnan(number)
                    i += 1
        finally:
            PyBuffer_Release(&buffer)
        if seen:
            self._complain(block, into, NAMES[which])
        return 0

    cdef object _as_numbers(self, result, int which, Py_ssize_t n):
        """What a method returned as a float64 array of shape (n,), if that is what it is."""
        given = np.asarray(result)
        if given.shape != (n,):
            raise ValueError(f"{NAMES[which]} of the loss {self.name!r} returned an array of shape {given.shape}, "
                             f"expected {(n,)}: one number for each element of y and p.")
        if given.dtype.kind not in "fiub":
            raise ValueError(f"{NAMES[which]} of the loss {self.name!r} returned {given.dtype}, expected real numbers.")
        return np.require(given, np.float64, "A")

    cdef double conjugate_at(self, double y, double u, Py_ssize_t column) noexcept nogil:
        return _one_or_nan(self, y, u, 0.0)

    cdef double prox_at(self, double y, double v, double step, Py_ssize_t column) noexcept nogil:
        if self._own_prox:
            return _one_or_nan(self, y, v, step)
        return Custom.prox_at(self, y, v, step, column)


cdef object _array(const Block* block, const double* numbers):
    """Elements of a block as a read-only array of one dimension, with memory of its own: users may keep it."""
    cdef Py_ssize_t row, size = block.n_columns * sizeof(double)
    memory = PyBytes_FromStringAndSize(NULL, block.n_rows * size)
    cdef char* into = PyBytes_AS_STRING(memory)
    if block.stride == block.n_columns:
        memcpy(into, numbers, block.n_rows * size)
    else:
        for row in range(block.n_rows):
            memcpy(into + row * size, numbers + row * block.stride, size)
    return frombuffer(memory)


cdef int _one(PythonLoss loss, double y, double v, double step, double* result) except -1 with gil:
    """The object's conjugate (step 0) or prox at one point."""
    if PyErr_Occurred():
        return -1
    which = "prox" if step > 0 else "conjugate"
    method = getattr(loss._given["loss"], which, None)
    if method is None:
        result[0] = NAN
        return 0
    given = method(np.array([y]), np.array([v]), step) if step > 0 else method(np.array([y]), np.array([v]))
    found = np.asarray(given)
    if found.shape != (1,) or found.dtype.kind not in "fiub":
        raise ValueError(f"{which} of the loss {loss.name!r} returned {given!r} for arrays of shape (1,), expected an "
                         "array of as many real numbers.")
    result[0] = found[0]
    return 0


cdef inline double _one_or_nan(PythonLoss loss, double y, double v, double step) noexcept nogil:
    """The contract of conjugate_at and prox_at: where Python raises the indicator stays set, and the result is nan."""
    cdef double result = NAN
    # Called as a function that cannot raise, so that the indicator is neither printed nor cleared here.
    if (<int (*)(PythonLoss, double, double, double, double*) noexcept nogil> _one)(loss, y, v, step, &result) == -1:
        return NAN
    return result


# C functions ------------------------------------------------------------------------------------------------------

ctypedef double (*Plain)(double, double) noexcept nogil
ctypedef double (*WithData)(double, double, void*) noexcept nogil

cdef struct Function:
    void* address           # NULL: there is none
    void* data
    bint takes_data


cdef inline double call(const Function* function, double y, double p) noexcept nogil:
    if function.takes_data:
        return (<WithData> function.address)(y, p, function.data)
    return (<Plain> function.address)(y, p)


cdef class CFunctionLoss(Custom):
    """A loss that C functions compute: value, gradient and, if there is one, hessian, ``double f(double y, double p)``.

    Solvers call them without Python's global lock, possibly in several threads at once: at nearly the speed of a
    built-in loss. A function may be a numba ``cfunc``, a ``scipy.LowLevelCallable``, a ctypes or cffi function pointer,
    the capsule of a Cython function (``module.__pyx_capi__["name"]``), or the name of one of these,
    ``"package.module:name"``. A ``LowLevelCallable`` with ``user_data`` may take it as a third argument,
    ``double f(double y, double p, void* data)``.

    What a C function cannot do: raise. A Python function inside a ctypes callback, or an error inside a numba
    ``cfunc``, prints a message and returns some number; of C functions a nan alone is noticed.

    A function's address means nothing in another process. A loss pickles if its functions were given by name, or are
    numba cfuncs that can be imported from where they were defined; otherwise pickling raises ``PicklingError``. Clones
    and copies share the functions.

    Parameters
    ----------
    value, gradient : C function or str
        The loss and its derivative with respect to p.
    hessian : C function or str, default=None
        The second derivative. None: none; solvers that need one refuse the loss.
    traits : Traits, default=None
        What solvers may rely on. None: nothing, neither convexity nor smoothness.
    target : Target, default=None
        The targets it takes. None: -1 and +1 if `traits` say that it is a margin loss, any number if not.
    tasks : str or set of str, default=None
        "regression", "classification" or both. None: classification if the targets are codes, regression if not.
    name : str, default=None
        What errors call the loss. None: "custom".

    Raises
    ------
    TypeError
        If one is not a C function, or its signature is another or unknown.

    See Also
    --------
    check_loss : Tests what a loss computes and declares.

    Examples
    --------
    >>> import ctypes
    >>> from sklosses.losses import CFunctionLoss, Traits
    >>> signature = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double)
    >>> loss = CFunctionLoss(signature(lambda y, p: (p - y) ** 2 / 2), signature(lambda y, p: p - y),
    ...                      traits=Traits("residual", curvature=1.0), name="squared")
    >>> loss.gradient([1.0, 2.0], [3.0, 2.0])
    array([2., 0.])
    """

    cdef Function[3] _functions
    cdef object _found          # their addresses
    cdef bint _failed           # an error may be pending: then no further calls, of which some may reach Python

    def __init__(self, value, gradient, hessian=None, *, traits=None, target=None, tasks=None, name=None):
        self._set(value=value, gradient=gradient, hessian=hessian, traits=traits, target=target, tasks=tasks,
                  name=name)

    def _set(self, **given):
        cdef int which
        called = given["name"] or "custom"
        found = [None if given[role] is None and role == "hessian" else _functions.find(given[role], role, called)
                 for role in NAMES]
        before = self._given
        self._given = given
        try:
            self._check_declarations()
        except BaseException:
            self._given = before
            raise
        self._found = found
        for which in range(3):
            if found[which] is None:
                self._functions[which] = Function(NULL, NULL, False)
            else:
                self._functions[which] = Function(<void*> <uintptr_t> found[which].address,
                                                  <void*> <uintptr_t> found[which].data, found[which].takes_data)

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        declared = set(self._given).difference(NAMES)
        mine, others = self._given, (<CFunctionLoss> other)._given
        return (self._found == (<CFunctionLoss> other)._found
                and all(_same(mine[name], others[name]) for name in declared))

    def __hash__(self):
        return Parametrised.__hash__(self)

    def __reduce__(self):
        names = {role: _functions.importable(self._given[role], role, self.name) for role in NAMES}
        return rebuild, (type(self), {**self._given, **names})

    # What solvers call -----------------------------------------------------------------------------------------------

    cdef bint _has_hessian(self) noexcept nogil:
        return self._functions[2].address != NULL

    cdef bint _stopped(self) noexcept nogil:
        """Whether an error of ours is pending. Solvers that step sample by sample ask for it once a window."""
        if self._failed:
            with gil:
                self._failed = PyErr_Occurred() != NULL
        return self._failed

    cdef int evaluate(self, const Block* block) except -1 nogil:
        if self._stopped():
            return -1
        if block.value != NULL:
            self._sweep(block, 0, block.value)
        if block.gradient != NULL:
            self._sweep(block, 1, block.gradient)
        if block.hessian != NULL:
            if not self._has_hessian():
                with gil:
                    raise NotImplementedError(f"The loss {self.name!r} has no hessian.")
            self._sweep(block, 2, block.hessian)
        return 0

    cdef int _sweep(self, const Block* block, int which, double* result) except -1 nogil:
        cdef Function function = self._functions[which]
        cdef Py_ssize_t row, i
        cdef bint seen = False
        for row in range(block.n_rows):
            for i in range(row * block.stride, row * block.stride + block.n_columns):
                result[i] = call(&function, block.y[i], block.p[i])
                seen = seen or isnan(result[i])
        if seen:
            with gil:
                self._failed = True
                self._complain(block, result, NAMES[which])
                self._failed = False
        return 0

    cdef double value_at(self, double y, double p, Py_ssize_t column) noexcept nogil:
        if self._stopped():
            return NAN
        cdef double value = call(&self._functions[0], y, p)
        # The base's way, through `evaluate`, leaves the error that this may be.
        return value if not isnan(value) else Loss.value_at(self, y, p, column)

    cdef double gradient_at(self, double y, double p, Py_ssize_t column) noexcept nogil:
        if self._stopped():
            return NAN
        cdef double gradient = call(&self._functions[1], y, p)
        return gradient if not isnan(gradient) else Loss.gradient_at(self, y, p, column)


# Any of them ------------------------------------------------------------------------------------------------------


def is_custom(loss):
    """Whether an object, or a class of objects, can be made a loss: it has value and gradient, and acts on numbers."""
    methods = all(callable(getattr(loss, name, None)) for name in ("value", "gradient"))
    return methods and "embedding" not in (getattr(loss, "tasks", None) or ())


def as_loss(loss, *, traits=None, target=None, tasks=None, name=None):
    """Make a loss of a Python object that computes one.

    Estimators do this with what they are given: ``SGDRegressor(loss=MyLoss())`` needs no ``as_loss``, unless
    there is something to declare that the object does not say itself.

    Parameters
    ----------
    loss : object or Loss
        With vectorised ``value(y, p)`` and ``gradient(y, p)``; :class:`PythonLoss` says what else it may have. A
        :class:`Loss` is returned as it is.
    traits, target, tasks, name
        As of :class:`PythonLoss`.

    Returns
    -------
    Loss

    Raises
    ------
    TypeError
        If `loss` has no value or gradient, or is a :class:`Loss` with declarations of its own and others are given.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.losses import Traits, as_loss
    >>> class Quartic:
    ...     def value(self, y, p):
    ...         return (p - y) ** 4 / 4
    ...     def gradient(self, y, p):
    ...         return (p - y) ** 3
    >>> as_loss(Quartic(), traits=Traits("residual"), name="quartic").value([0.0], [2.0])
    array([4.])
    """
    declared = {"traits": traits, "target": target, "tasks": tasks, "name": name}
    if isinstance(loss, Loss):
        given = [name for name, value in declared.items() if value is not None]
        if given:
            raise TypeError(f"{loss!r} declares its {' and '.join(given)} itself.")
        return loss
    if not is_custom(loss):
        raise TypeError(f"A loss must have the methods value(y, p) and gradient(y, p); {loss!r} has not, or acts on "
                        "embeddings.")
    return PythonLoss(loss() if isinstance(loss, type) else loss, **declared)


def _same(one, other):
    """Whether two parameters are the same, where an object may not say: of one class, with the same attributes."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if type(one).__eq__ is object.__eq__ and hasattr(one, "__dict__"):
        mine, others = vars(one), vars(other)
        return mine.keys() == others.keys() and all(_same(mine[name], others[name]) for name in mine)
    return bool(np.all(one == other))

"""Every loss: a docstring, its parameters, its formulas. At the end the registry, and the sweeps that call them.

A formula takes its variable and the loss's parameters as plain numbers (two at most; unused ones are called _), so that
one text serves a sweep along rows, where the parameters are constants, and along columns, where they are vectors, and
both vectorise: write selects, not branches. The variable is r = p - y for a residual loss, z = y p (y in {-1, +1}) for
a margin loss, and (y, p) otherwise; derivatives are with respect to p, for which the sweeps multiply by dz/dp = y.

To add a loss: write its paragraph, and name it in one of the three lists of the registry.
"""

cimport cython
from cython cimport floating
from libc.float cimport DBL_MAX
from libc.math cimport INFINITY, NAN, copysign, fabs, fmax, fmin, isnan, log, log1p, sqrt

from sklosses.losses._loss cimport Block, Block32, Dual, Loss, Parabola
from sklosses.losses._math cimport exp_, exp_decay_, expm1_, log1p_, log1p_unit_

from sklosses.losses import _links
from sklosses.losses._traits import Interval, Target, Traits

import numpy as np

POSITIVE = Interval(low=0, low_closed=False)
NONNEGATIVE = Interval(low=0)
OPEN_UNIT = Interval(0, 1, False, False)
REGRESSION = frozenset({"regression"})
CLASSIFICATION = frozenset({"classification"})
SIGNS = Target(codes=(-1.0, 1.0))           # a regression loss that scikit-learn also trains on labels
CODES = Target(-1, 1, codes=(-1.0, 1.0), hard=True)

cdef double LN2 = 0.693147180559945309417232121458


cdef class Builtin(Loss):
    """A loss of this module: the slots of the contract, filled by ``bind`` with code compiled for one class.

    A loss whose conjugate is a ``Parabola`` says so by a method ``_parabola``; others override ``conjugate_at``.
    """

    cdef int (*sweep)(Loss, const Block*) noexcept nogil
    cdef int (*sweep32)(Loss, const Block32*) noexcept nogil
    cdef double (*scalar_value)(Loss, double, double, Py_ssize_t) noexcept nogil
    cdef double (*scalar_gradient)(Loss, double, double, Py_ssize_t) noexcept nogil
    cdef double (*scalar_conjugate)(Loss, double, double, Py_ssize_t) noexcept nogil
    cdef void (*scalar_step)(Loss, double, double, double, Dual*, Py_ssize_t) noexcept nogil
    cdef Parabola (*scalar_parabola)(Loss, double, Py_ssize_t) noexcept nogil

    cdef int evaluate(self, const Block* block) except -1 nogil:
        return self.sweep(self, block)

    cdef int evaluate32(self, const Block32* block) except -1 nogil:
        return self.sweep32(self, block)

    cdef double value_at(self, double y, double p, Py_ssize_t column) noexcept nogil:
        return self.scalar_value(self, y, p, column)

    cdef double gradient_at(self, double y, double p, Py_ssize_t column) noexcept nogil:
        return self.scalar_gradient(self, y, p, column)

    cdef double conjugate_at(self, double y, double u, Py_ssize_t column) noexcept nogil:
        return self.scalar_conjugate(self, y, u, column) if self.scalar_conjugate != NULL else NAN

    cdef bint conjugate_parabola(self, double y, Py_ssize_t column, Parabola* out) noexcept nogil:
        if self.scalar_parabola == NULL:
            return False
        out[0] = self.scalar_parabola(self, y, column)
        return True

    cdef void dual_step(self, double y, double p, double step, Dual* dual, Py_ssize_t column) noexcept nogil:
        self.scalar_step(self, y, p, step, dual, column)

    def __reduce__(self):
        from sklosses.losses._registry import rebuild

        return rebuild, (self.name, self.get_params())

    def _highest(self, name):
        return float(np.max(self._given[name]))

    def _lowest(self, name):
        return float(np.min(self._given[name]))


def one_kink(positions, jump):
    """What `Loss.kinks` returns of losses with one kink."""
    positions = np.array(positions, dtype=np.float64, ndmin=2)
    return positions, np.full_like(positions, jump)


# Regression: residuals r = p - y ----------------------------------------------------------------------------------------


@cython.final
cdef class SquaredError(Builtin):
    """Squared error, r^2 / 2 with r = p - y.

    MSE and RMSE are monotone functions of its mean. Its minimiser is the mean of y. As a classification loss (targets
    -1 and +1) it is the least-squares classifier.

    Examples
    --------
    >>> from sklosses.losses import SquaredError
    >>> SquaredError().value([1.0, 2.0], [1.5, 0.0])
    array([0.125, 2.   ])
    """

    name = "squared_error"
    target = SIGNS
    tasks = REGRESSION | CLASSIFICATION

    def __init__(self):
        bind(self)

    @property
    def traits(self):
        return Traits("residual", curvature=1.0, self_concordance=0.0, has_conjugate=True, has_probability=True)

    def probability(self, raw_prediction):
        return _links.truncated_linear(raw_prediction)

    cdef inline double _value(self, double r, double _, double __) noexcept nogil:
        return 0.5 * r * r

    cdef inline double _gradient(self, double r, double _, double __) noexcept nogil:
        return r

    cdef inline double _hessian(self, double r, double _, double __) noexcept nogil:
        return 1.0

    cdef inline Parabola _parabola(self, double y, double _, double __) noexcept nogil:
        return Parabola(y, 0.0, 1.0, 1.0, -INFINITY, INFINITY)

    cdef double prox_at(self, double y, double v, double step, Py_ssize_t column) noexcept nogil:
        return (v + step * y) / (1.0 + step)


@cython.final
cdef class AbsoluteError(Builtin):
    """Absolute error, abs(r) with r = p - y; the gradient is 0 at r = 0.

    MAE is its mean. Its minimiser is the median of y.

    Examples
    --------
    >>> from sklosses.losses import AbsoluteError
    >>> AbsoluteError().value([1.0, 2.0], [1.5, 0.0])
    array([0.5, 2. ])
    """

    name = "absolute_error"
    tasks = REGRESSION

    def __init__(self):
        bind(self)

    @property
    def traits(self):
        return Traits("residual", smooth=False, lipschitz=1.0, has_conjugate=True)

    def smoothed(self, mu):
        return SmoothedAbsoluteError(width=mu)

    def kinks(self, y_true):
        return one_kink(y_true, 2.0)

    cdef inline double _value(self, double r, double _, double __) noexcept nogil:
        return fabs(r)

    cdef inline double _gradient(self, double r, double _, double __) noexcept nogil:
        return 1.0 if r > 0 else -1.0 if r < 0 else r

    cdef inline double _hessian(self, double r, double _, double __) noexcept nogil:
        return 0.0

    cdef inline Parabola _parabola(self, double y, double _, double __) noexcept nogil:
        return Parabola(y, 0.0, 0.0, 0.0, -1.0, 1.0)

    cdef double prox_at(self, double y, double v, double step, Py_ssize_t column) noexcept nogil:
        return y + (v - y - fmax(-step, fmin(step, v - y)))


@cython.final
cdef class SmoothedAbsoluteError(Builtin):
    """Absolute error rounded near its kink: r^2 / (2 width) where abs(r) <= width, else abs(r) - width / 2.

    Huber's loss over epsilon = width; what ``AbsoluteError().smoothed(width)`` returns.

    Parameters
    ----------
    width : float > 0 or vector, default=1.0
        Half-width of the quadratic part.

    Examples
    --------
    >>> from sklosses.losses import SmoothedAbsoluteError
    >>> SmoothedAbsoluteError(width=1.0).value([0.0, 0.0], [0.5, 2.0])
    array([0.125, 1.5  ])
    """

    name = "smoothed_absolute_error"
    tasks = REGRESSION
    ranges = {"width": POSITIVE}

    def __init__(self, width=1.0):
        bind(self)
        self._set(width=width)

    @property
    def traits(self):
        return Traits("residual", lipschitz=1.0, curvature=1 / self._lowest("width"), has_conjugate=True)

    cdef inline double _value(self, double r, double width, double _) noexcept nogil:
        return rounded(fabs(r), width)

    cdef inline double _gradient(self, double r, double width, double _) noexcept nogil:
        return clipped(r * inverse(width), -1.0, 1.0)

    cdef inline double _hessian(self, double r, double width, double _) noexcept nogil:
        return 1.0 / width if fabs(r) <= width else 0.0

    cdef inline Parabola _parabola(self, double y, double width, double _) noexcept nogil:
        return Parabola(y, 0.0, width, width, -1.0, 1.0)


@cython.final
cdef class Huber(Builtin):
    """Huber's loss: r^2 / 2 where abs(r) <= epsilon, else epsilon abs(r) - epsilon^2 / 2; r = p - y.

    P. J. Huber, Annals of Mathematical Statistics 35(1), 1964. Quadratic for small residuals, linear for gross ones.

    Parameters
    ----------
    epsilon : float > 0 or vector, default=1.35
        Where the loss turns linear, in the unit of y. 1.35 standard deviations of the noise give 95 % efficiency for
        normal noise.

    Examples
    --------
    >>> from sklosses.losses import Huber
    >>> Huber(epsilon=1.0).value([0.0, 0.0], [0.5, 2.0])
    array([0.125, 1.5  ])
    """

    name = "huber"
    target = SIGNS
    tasks = REGRESSION | CLASSIFICATION
    ranges = {"epsilon": NONNEGATIVE}

    def __init__(self, epsilon=1.35):
        bind(self)
        self._set(epsilon=epsilon)

    @property
    def traits(self):
        return Traits("residual", lipschitz=self._highest("epsilon"), curvature=1.0, has_conjugate=True)

    cdef inline double _value(self, double r, double epsilon, double _) noexcept nogil:
        cdef double s = least(fabs(r), epsilon)
        return s * (fabs(r) - 0.5 * s)

    cdef inline double _gradient(self, double r, double epsilon, double _) noexcept nogil:
        return clipped(r, -epsilon, epsilon)

    cdef inline double _hessian(self, double r, double epsilon, double _) noexcept nogil:
        return 1.0 if fabs(r) <= epsilon else 0.0

    cdef inline Parabola _parabola(self, double y, double epsilon, double _) noexcept nogil:
        return Parabola(y, 0.0, 1.0, 1.0, -epsilon, epsilon)


@cython.final
cdef class PseudoHuber(Builtin):
    """Pseudo-Huber (Charbonnier) loss: epsilon^2 (sqrt(1 + (r / epsilon)^2) - 1); r = p - y.

    P. Charbonnier et al., IEEE Transactions on Image Processing 6(2), 1997. A Huber loss with all derivatives.

    Parameters
    ----------
    epsilon : float > 0 or vector, default=1.0
        Where the loss turns linear, in the unit of y.

    Examples
    --------
    >>> from sklosses.losses import PseudoHuber
    >>> PseudoHuber(epsilon=1.0).value([0.0], [2.0]).round(4)
    array([1.2361])
    """

    name = "pseudo_huber"
    tasks = REGRESSION
    ranges = {"epsilon": POSITIVE}

    def __init__(self, epsilon=1.0):
        bind(self)
        self._set(epsilon=epsilon)

    @property
    def traits(self):
        return Traits("residual", lipschitz=self._highest("epsilon"), curvature=1.0,
                      self_concordance=1.5 / self._lowest("epsilon"), has_conjugate=True)

    cdef inline double _value(self, double r, double epsilon, double _) noexcept nogil:
        cdef double t = r / epsilon
        return r * r / (1.0 + sqrt(1.0 + t * t))

    cdef inline double _gradient(self, double r, double epsilon, double _) noexcept nogil:
        cdef double t = r / epsilon
        return r / sqrt(1.0 + t * t)

    cdef inline double _hessian(self, double r, double epsilon, double _) noexcept nogil:
        cdef double t = r / epsilon, u = 1.0 + t * t
        return 1.0 / (u * sqrt(u))

    cdef double conjugate_at(self, double y, double u, Py_ssize_t column) noexcept nogil:
        cdef double epsilon = self.parameter(0, column), t = u / epsilon
        # epsilon^2 (1 - sqrt(1 - t^2)) without its cancellation
        return u * y + u * u / (1.0 + sqrt(1.0 - t * t)) if fabs(t) <= 1 else INFINITY


@cython.final
cdef class LogCosh(Builtin):
    """Log-cosh loss, log cosh r with r = p - y.

    About r^2 / 2 for small residuals and abs(r) - log 2 for large ones; no overflow.

    Examples
    --------
    >>> from sklosses.losses import LogCosh
    >>> LogCosh().value([0.0, 0.0], [1.0, 1e4]).round(4)
    array([4.3380000e-01, 9.9993069e+03])
    """

    name = "log_cosh"
    tasks = REGRESSION

    def __init__(self):
        bind(self)

    @property
    def traits(self):
        return Traits("residual", lipschitz=1.0, curvature=1.0, self_concordance=2.0, has_conjugate=True)

    cdef inline double _value(self, double r, double _, double __) noexcept nogil:
        # With m = exp(a) - 1 and e = exp(-a): cosh a = 1 + e m^2 / 2, and log cosh a = a - log 2 + log(1 + e^2). The
        # first does not cancel near 0, the second not away from it. Beyond a = 20, e^2 is below half an ulp.
        cdef double a = fabs(r), m = expm1_(least(a, 20.0)), e = 1.0 / (1.0 + m)
        return (0.0 if a < 1.0 else a - LN2) + log1p_unit_(0.5 * m * m * e if a < 1.0 else e * e)

    cdef inline double _gradient(self, double r, double _, double __) noexcept nogil:
        # tanh a = -m (2 + m) / (2 + m (2 + m)) with m (2 + m) = exp(-2 a) - 1
        cdef double m = expm1_(-least(fabs(r), 20.0)), k = m * (2.0 + m), t = -k / (2.0 + k)
        return -t if r < 0 else t

    cdef inline double _hessian(self, double r, double _, double __) noexcept nogil:
        cdef double e = exp_decay_(-2.0 * fabs(r)), d = 1.0 + e
        return 4.0 * e / (d * d)

    cdef double conjugate_at(self, double y, double u, Py_ssize_t column) noexcept nogil:
        if fabs(u) > 1:
            return INFINITY
        return u * y + 0.5 * (entropy_from(u) + entropy_from(-u))


@cython.final
cdef class Quantile(Builtin):
    """Quantile (pinball) loss: quantile (y - p)+ + (1 - quantile) (p - y)+; the gradient is -quantile at p = y.

    R. Koenker and G. Bassett, Econometrica 46(1), 1978. Its minimiser is the quantile of y.

    Parameters
    ----------
    quantile : float in (0, 1) or vector, default=0.5
        Which quantile.

    Examples
    --------
    >>> from sklosses.losses import Quantile
    >>> Quantile(quantile=0.9).value([0.0, 0.0], [-1.0, 1.0])
    array([0.9, 0.1])
    """

    name = "quantile"
    tasks = REGRESSION
    ranges = {"quantile": OPEN_UNIT}

    def __init__(self, quantile=0.5):
        bind(self)
        self._set(quantile=quantile)

    @property
    def traits(self):
        steepest = max(self._highest("quantile"), 1 - self._lowest("quantile"))
        return Traits("residual", smooth=False, lipschitz=steepest, has_conjugate=True)

    def smoothed(self, mu):
        return SmoothedQuantile(quantile=self.quantile, width=mu)

    def kinks(self, y_true):
        return one_kink(y_true, 1.0)

    cdef inline double _value(self, double r, double quantile, double _) noexcept nogil:
        return (1.0 - quantile) * r if r > 0 else -quantile * r

    cdef inline double _gradient(self, double r, double quantile, double _) noexcept nogil:
        return 1.0 - quantile if r > 0 else -quantile

    cdef inline double _hessian(self, double r, double quantile, double _) noexcept nogil:
        return 0.0

    cdef inline Parabola _parabola(self, double y, double quantile, double _) noexcept nogil:
        return Parabola(y, 0.0, 0.0, 0.0, -quantile, 1.0 - quantile)

    cdef double prox_at(self, double y, double v, double step, Py_ssize_t column) noexcept nogil:
        cdef double quantile = self.parameter(0, column)
        return y + (v - y - fmax(-step * quantile, fmin(step * (1.0 - quantile), v - y)))


@cython.final
cdef class SmoothedQuantile(Builtin):
    """Quantile loss rounded within about ``width`` of its kink: s r - width s^2 / 2, s = clip(r / width, -q, 1 - q).

    What ``Quantile(q).smoothed(width)`` returns; r = p - y.

    Parameters
    ----------
    quantile : float in (0, 1) or vector, default=0.5
        Which quantile, q in the formula.
    width : float > 0 or vector, default=1.0
        Width of the quadratic part, which reaches from -q width to (1 - q) width.

    Examples
    --------
    >>> from sklosses.losses import SmoothedQuantile
    >>> SmoothedQuantile(quantile=0.5, width=1.0).value([0.0], [2.0])
    array([0.875])
    """

    name = "smoothed_quantile"
    tasks = REGRESSION
    ranges = {"quantile": OPEN_UNIT, "width": POSITIVE}

    def __init__(self, quantile=0.5, width=1.0):
        bind(self)
        self._set(quantile=quantile, width=width)

    @property
    def traits(self):
        steepest = max(self._highest("quantile"), 1 - self._lowest("quantile"))
        return Traits("residual", lipschitz=steepest, curvature=1 / self._lowest("width"), has_conjugate=True)

    cdef inline double _value(self, double r, double quantile, double width) noexcept nogil:
        cdef double s = clipped(r * inverse(width), -quantile, 1.0 - quantile)
        return s * (r - 0.5 * (width * s))

    cdef inline double _gradient(self, double r, double quantile, double width) noexcept nogil:
        return clipped(r * inverse(width), -quantile, 1.0 - quantile)

    cdef inline double _hessian(self, double r, double quantile, double width) noexcept nogil:
        cdef double s = r * inverse(width)
        return 1.0 / width if (s >= -quantile) & (s <= 1.0 - quantile) else 0.0

    cdef inline Parabola _parabola(self, double y, double quantile, double width) noexcept nogil:
        return Parabola(y, 0.0, width, width, -quantile, 1.0 - quantile)


@cython.final
cdef class Expectile(Builtin):
    """Expectile loss: abs(expectile - 1[p > y]) r^2 with r = p - y.

    W. K. Newey and J. L. Powell, Econometrica 55(4), 1987. Asymmetric least squares; squared error at 1/2.

    Parameters
    ----------
    expectile : float in (0, 1) or vector, default=0.5
        Which expectile.

    Examples
    --------
    >>> from sklosses.losses import Expectile
    >>> Expectile(expectile=0.9).value([0.0, 0.0], [-1.0, 1.0])
    array([0.9, 0.1])
    """

    name = "expectile"
    tasks = REGRESSION
    ranges = {"expectile": OPEN_UNIT}

    def __init__(self, expectile=0.5):
        bind(self)
        self._set(expectile=expectile)

    @property
    def traits(self):
        steepest = max(self._highest("expectile"), 1 - self._lowest("expectile"))
        return Traits("residual", curvature=2 * steepest, has_conjugate=True)

    cdef inline double _value(self, double r, double expectile, double _) noexcept nogil:
        return (1.0 - expectile if r > 0 else expectile) * r * r

    cdef inline double _gradient(self, double r, double expectile, double _) noexcept nogil:
        return 2.0 * (1.0 - expectile if r > 0 else expectile) * r

    cdef inline double _hessian(self, double r, double expectile, double _) noexcept nogil:
        return 2.0 * (1.0 - expectile if r > 0 else expectile)

    cdef inline Parabola _parabola(self, double y, double expectile, double _) noexcept nogil:
        return Parabola(y, 0.0, 0.5 / expectile, 0.5 / (1.0 - expectile), -INFINITY, INFINITY)


@cython.final
cdef class EpsilonInsensitive(Builtin):
    """Epsilon-insensitive loss: (abs(r) - epsilon)+ with r = p - y; gradient 0 at its kinks.

    V. Vapnik, The Nature of Statistical Learning Theory, 1995: the loss of support vector regression.

    Parameters
    ----------
    epsilon : float >= 0 or vector, default=0.1
        Residuals up to here cost nothing, in the unit of y.

    Examples
    --------
    >>> from sklosses.losses import EpsilonInsensitive
    >>> EpsilonInsensitive(epsilon=0.5).value([0.0, 0.0], [0.25, -2.0])
    array([0. , 1.5])
    """

    name = "epsilon_insensitive"
    target = SIGNS
    tasks = REGRESSION | CLASSIFICATION
    ranges = {"epsilon": NONNEGATIVE}

    def __init__(self, epsilon=0.1):
        bind(self)
        self._set(epsilon=epsilon)

    @property
    def traits(self):
        return Traits("residual", smooth=False, lipschitz=1.0, has_conjugate=True)

    def smoothed(self, mu):
        return SmoothedEpsilonInsensitive(epsilon=self.epsilon, width=mu)

    def kinks(self, y_true):
        positions = np.asarray(y_true, dtype=np.float64) + self.epsilon * np.array([[-1.0], [1.0]])
        return positions, np.ones_like(positions)

    cdef inline double _value(self, double r, double epsilon, double _) noexcept nogil:
        return positive(fabs(r) - epsilon)

    cdef inline double _gradient(self, double r, double epsilon, double _) noexcept nogil:
        return copysign(1.0, r) if fabs(r) > epsilon else 0.0

    cdef inline double _hessian(self, double r, double epsilon, double _) noexcept nogil:
        return 0.0

    cdef inline Parabola _parabola(self, double y, double epsilon, double _) noexcept nogil:
        return Parabola(y, epsilon, 0.0, 0.0, -1.0, 1.0)


@cython.final
cdef class SmoothedEpsilonInsensitive(Builtin):
    """Epsilon-insensitive loss rounded beyond its kinks: s t - width s^2 / 2.

    t = (abs(r) - epsilon)+ and s = min(t / width, 1). What ``EpsilonInsensitive(epsilon).smoothed(width)`` returns; r = p - y.

    Parameters
    ----------
    epsilon : float >= 0 or vector, default=0.1
        Residuals up to here cost nothing.
    width : float > 0 or vector, default=1.0
        Width of the quadratic parts.

    Examples
    --------
    >>> from sklosses.losses import SmoothedEpsilonInsensitive
    >>> SmoothedEpsilonInsensitive(epsilon=0.5, width=1.0).value([0.0, 0.0], [1.0, -2.5])
    array([0.125, 1.5  ])
    """

    name = "smoothed_epsilon_insensitive"
    tasks = REGRESSION
    ranges = {"epsilon": NONNEGATIVE, "width": POSITIVE}

    def __init__(self, epsilon=0.1, width=1.0):
        bind(self)
        self._set(epsilon=epsilon, width=width)

    @property
    def traits(self):
        return Traits("residual", lipschitz=1.0, curvature=1 / self._lowest("width"), has_conjugate=True)

    cdef inline double _value(self, double r, double epsilon, double width) noexcept nogil:
        return rounded(positive(fabs(r) - epsilon), width)

    cdef inline double _gradient(self, double r, double epsilon, double width) noexcept nogil:
        cdef double s = least(positive(fabs(r) - epsilon) * inverse(width), 1.0)
        return -s if r < 0 else s

    cdef inline double _hessian(self, double r, double epsilon, double width) noexcept nogil:
        cdef double t = fabs(r) - epsilon
        return 1.0 / width if (t >= 0) & (t <= width) else 0.0

    cdef inline Parabola _parabola(self, double y, double epsilon, double width) noexcept nogil:
        return Parabola(y, epsilon, width, width, -1.0, 1.0)


@cython.final
cdef class SquaredEpsilonInsensitive(Builtin):
    """Squared epsilon-insensitive loss: ((abs(r) - epsilon)+)^2 with r = p - y.

    Parameters
    ----------
    epsilon : float >= 0 or vector, default=0.1
        Residuals up to here cost nothing, in the unit of y.

    Examples
    --------
    >>> from sklosses.losses import SquaredEpsilonInsensitive
    >>> SquaredEpsilonInsensitive(epsilon=0.5).value([0.0, 0.0], [0.25, -2.0])
    array([0.  , 2.25])
    """

    name = "squared_epsilon_insensitive"
    target = SIGNS
    tasks = REGRESSION | CLASSIFICATION
    ranges = {"epsilon": NONNEGATIVE}

    def __init__(self, epsilon=0.1):
        bind(self)
        self._set(epsilon=epsilon)

    @property
    def traits(self):
        return Traits("residual", curvature=2.0, has_conjugate=True)

    cdef inline double _value(self, double r, double epsilon, double _) noexcept nogil:
        cdef double t = positive(fabs(r) - epsilon)
        return t * t

    cdef inline double _gradient(self, double r, double epsilon, double _) noexcept nogil:
        cdef double t = 2.0 * positive(fabs(r) - epsilon)
        return -t if r < 0 else t

    cdef inline double _hessian(self, double r, double epsilon, double _) noexcept nogil:
        return 2.0 if fabs(r) >= epsilon else 0.0

    cdef inline Parabola _parabola(self, double y, double epsilon, double _) noexcept nogil:
        return Parabola(y, epsilon, 0.5, 0.5, -INFINITY, INFINITY)


@cython.final
cdef class Cauchy(Builtin):
    """Cauchy (Lorentzian) loss: scale^2 / 2 log(1 + (r / scale)^2) with r = p - y. Not convex.

    Redescending: the gradient of a gross error tends to zero. The likelihood of Cauchy noise, with curvature 1 at 0.

    Parameters
    ----------
    scale : float > 0 or vector, default=1.0
        Where the gradient is largest, in the unit of y.

    Examples
    --------
    >>> from sklosses.losses import Cauchy
    >>> Cauchy(scale=1.0).gradient([0.0, 0.0], [1.0, 100.0]).round(3)
    array([0.5 , 0.01])
    """

    name = "cauchy"
    tasks = REGRESSION
    ranges = {"scale": POSITIVE}

    def __init__(self, scale=1.0):
        bind(self)
        self._set(scale=scale)

    @property
    def traits(self):
        return Traits("residual", convex=False, lipschitz=self._highest("scale") / 2, curvature=1.0)

    cdef inline double _value(self, double r, double scale, double _) noexcept nogil:
        cdef double t = r / scale
        return 0.5 * scale * scale * log1p_(t * t)

    cdef inline double _gradient(self, double r, double scale, double _) noexcept nogil:
        cdef double t = r / scale
        return r / (1.0 + t * t)

    cdef inline double _hessian(self, double r, double scale, double _) noexcept nogil:
        cdef double t = fabs(r / scale), d = 1.0 + t * t
        return (1.0 - t) * (1.0 + t) / (d * d)


@cython.final
cdef class SquaredLogError(Builtin):
    """Squared logarithmic error: (p - log(1 + y))^2 / 2, the prediction of y being exp(p) - 1 (y > -1).

    MSLE and RMSLE are monotone functions of its mean.

    Examples
    --------
    >>> from sklosses.losses import SquaredLogError
    >>> SquaredLogError().value([0.0, 1.0], [1.0, 0.0]).round(4)
    array([0.5   , 0.2402])
    """

    name = "squared_log_error"
    target = Target(low=-1, low_closed=False)
    tasks = REGRESSION

    def __init__(self):
        bind(self)

    @property
    def traits(self):
        return Traits("other", curvature=1.0, has_conjugate=True, link="log1p")

    cdef inline double _value(self, double y, double p, double _, double __) noexcept nogil:
        cdef double r = p - log1p_(y)
        return 0.5 * r * r

    cdef inline double _gradient(self, double y, double p, double _, double __) noexcept nogil:
        return p - log1p_(y)

    cdef inline double _hessian(self, double y, double p, double _, double __) noexcept nogil:
        return 1.0

    cdef inline Parabola _parabola(self, double y, double _, double __) noexcept nogil:
        return Parabola(log1p(y), 0.0, 1.0, 1.0, -INFINITY, INFINITY)


# Counts and positive targets: log link ------------------------------------------------------------------------------


@cython.final
cdef class Poisson(Builtin):
    """Half the Poisson deviance with log link, up to terms in y alone: exp(p) - y p (y >= 0).

    Its minimiser is the log of the mean of y.

    Examples
    --------
    >>> from sklosses.losses import Poisson
    >>> Poisson().value([2.0], [0.0])
    array([1.])
    """

    name = "poisson"
    target = Target(low=0)
    tasks = REGRESSION

    def __init__(self):
        bind(self)

    @property
    def traits(self):
        return Traits("other", self_concordance=1.0, has_conjugate=True, link="log")

    cdef inline double _value(self, double y, double p, double _, double __) noexcept nogil:
        return exp_(p) - y * p

    cdef inline double _gradient(self, double y, double p, double _, double __) noexcept nogil:
        return exp_(p) - y

    cdef inline double _hessian(self, double y, double p, double _, double __) noexcept nogil:
        return exp_(p)

    cdef double conjugate_at(self, double y, double u, Py_ssize_t column) noexcept nogil:
        return x_log_x(u + y) - (u + y) if u + y >= 0 else INFINITY


@cython.final
cdef class Gamma(Builtin):
    """Half the gamma deviance with log link, up to terms in y alone: p + y exp(-p) (y > 0).

    Its minimiser is the log of the mean of y.

    Examples
    --------
    >>> from sklosses.losses import Gamma
    >>> Gamma().value([2.0], [0.0])
    array([2.])
    """

    name = "gamma"
    target = Target(low=0, low_closed=False)
    tasks = REGRESSION

    def __init__(self):
        bind(self)

    @property
    def traits(self):
        return Traits("other", self_concordance=1.0, has_conjugate=True, link="log")

    cdef inline double _value(self, double y, double p, double _, double __) noexcept nogil:
        return p + y * exp_(-p)

    cdef inline double _gradient(self, double y, double p, double _, double __) noexcept nogil:
        return 1.0 - y * exp_(-p)

    cdef inline double _hessian(self, double y, double p, double _, double __) noexcept nogil:
        return y * exp_(-p)

    cdef double conjugate_at(self, double y, double u, Py_ssize_t column) noexcept nogil:
        cdef double v = 1.0 - u
        return x_log_x(v) - v * (log(y) + 1.0) if v >= 0 else INFINITY


@cython.final
cdef class Tweedie(Builtin):
    """Half the Tweedie deviance with log link, up to terms in y alone.

    With q = power: -y exp((1 - q) p) / (1 - q) + exp((2 - q) p) / (2 - q), and its limits: exp(p) - y p at q = 1
    (Poisson), p + y exp(-p) at q = 2 (gamma); q = 0 is the squared error of exp(p). Convex for 1 <= q <= 2 only.
    Between 1 and 2 it is the compound Poisson-gamma of insurance: zeros and positive amounts.

    Parameters
    ----------
    power : float <= 0 or >= 1, or vector, default=1.5
        The variance of y is proportional to its mean to this power.

    Examples
    --------
    >>> from sklosses.losses import Tweedie
    >>> Tweedie(power=1.5).value([2.0], [0.0])
    array([6.])
    """

    name = "tweedie"
    tasks = REGRESSION
    ranges = {"power": Interval(gap=(0.0, 1.0))}

    def __init__(self, power=1.5):
        bind(self)
        self._set(power=power)

    @property
    def target(self):
        if self._highest("power") >= 2:
            return Target(low=0, low_closed=False)
        return Target(low=0) if self._highest("power") >= 1 else Target()

    @property
    def traits(self):
        convex = self._lowest("power") >= 1 and self._highest("power") <= 2
        return Traits("other", convex=convex, self_concordance=1.0 if convex else np.inf, link="log")

    cdef inline double _value(self, double y, double p, double power, double _) noexcept nogil:
        cdef double a = 1.0 - power, b = 2.0 - power, first = exp_(b * p), second = some(y, exp_(a * p))
        return difference(first / b if b != 0 else p, second / a if a != 0 else y * p)

    cdef inline double _gradient(self, double y, double p, double power, double _) noexcept nogil:
        cdef double first = exp_((2.0 - power) * p), second = some(y, exp_((1.0 - power) * p))
        return copysign(INFINITY, p) if (first == INFINITY) & (second == INFINITY) else first - second

    cdef inline double _hessian(self, double y, double p, double power, double _) noexcept nogil:
        cdef double a = 1.0 - power, b = 2.0 - power, first = exp_(b * p), second = some(y, exp_(a * p))
        return difference(b * first, a * second)


# Classification -----------------------------------------------------------------------------------------------------


@cython.final
cdef class LogLoss(Builtin):
    """Log-loss from logits: pos_weight y log(1 + exp(-p)) + (1 - y) log(1 + exp(p)), y in [0, 1].

    Binary cross-entropy, with soft targets allowed; exact for logits of any size. The minimiser is the log-odds of
    y = 1, plus log(pos_weight).

    Parameters
    ----------
    pos_weight : float > 0 or vector, default=1.0
        Weight of the positive class.

    Examples
    --------
    >>> from sklosses.losses import LogLoss
    >>> LogLoss().value([1.0, 0.0], [0.0, 1e4])
    array([6.93147181e-01, 1.00000000e+04])
    """

    name = "log_loss"
    target = Target(0, 1, codes=(0.0, 1.0))
    tasks = CLASSIFICATION
    ranges = {"pos_weight": POSITIVE}

    def __init__(self, pos_weight=1.0):
        bind(self)
        self._set(pos_weight=pos_weight)

    @property
    def traits(self):
        heaviest = max(1.0, self._highest("pos_weight"))
        return Traits("other", lipschitz=heaviest, curvature=heaviest / 4, self_concordance=1.0, has_conjugate=True,
                      has_probability=True, link="logit")

    def probability(self, raw_prediction):
        return self.inverse_link(raw_prediction)

    cdef inline double _value(self, double y, double p, double pos_weight, double _) noexcept nogil:
        cdef double a = pos_weight * y, b = 1.0 - y
        return (a + b) * log1p_unit_(exp_decay_(-fabs(p))) + (b if p > 0 else a) * fabs(p)

    cdef inline double _gradient(self, double y, double p, double pos_weight, double _) noexcept nogil:
        # (1 - y) sigmoid(p) - pos_weight y sigmoid(-p): no cancellation where y is 0 or 1
        cdef double a = pos_weight * y, b = 1.0 - y, e = exp_decay_(-fabs(p))
        return (b - a * e if p > 0 else b * e - a) / (1.0 + e)

    cdef inline double _hessian(self, double y, double p, double pos_weight, double _) noexcept nogil:
        cdef double e = exp_decay_(-fabs(p)), d = 1.0 + e
        return (pos_weight * y + (1.0 - y)) * e / (d * d)

    cdef double conjugate_at(self, double y, double u, Py_ssize_t column) noexcept nogil:
        cdef double a = self.parameter(0, column) * y, total = a + (1.0 - y)
        # total (s log s + (1 - s) log(1 - s)), s = (u + a) / total, from the smaller of s and 1 - s, which rounds less
        cdef double least_share = fmin(u + a, 1.0 - y - u) / total
        return total * (x_log_x(least_share) + entropy_from(-least_share)) if least_share >= 0 else INFINITY


def _largest(derivative):
    """The largest absolute derivative of the focal loss of the positive class, on a grid and a finer one round its best."""
    z = np.linspace(-60, 30, 1801)
    for step in (0.05, 5e-5):
        sizes = np.abs(derivative(np.ones_like(z), z))
        z = np.linspace(z[np.argmax(sizes)] - step, z[np.argmax(sizes)] + step, 2001)
    return sizes.max()


@cython.final
cdef class Focal(Builtin):
    """Focal loss: -(1 - q)^gamma log q, q the probability sigmoid(p) gives to the true class, y in {0, 1}. Not convex.

    T.-Y. Lin et al., Focal loss for dense object detection, ICCV 2017. Well-classified rows count less; log-loss at
    gamma = 0.

    Parameters
    ----------
    gamma : float >= 0 or vector, default=2.0
        How much less.

    Examples
    --------
    >>> from sklosses.losses import Focal
    >>> Focal(gamma=2.0).value([1.0, 1.0], [0.0, 4.0]).round(6)
    array([1.73287e-01, 6.00000e-06])
    """

    name = "focal"
    target = Target(0, 1, codes=(0.0, 1.0), hard=True)
    tasks = CLASSIFICATION
    ranges = {"gamma": NONNEGATIVE}

    def __init__(self, gamma=2.0):
        bind(self)
        self._set(gamma=gamma)

    @property
    def traits(self):
        # Neither supremum has a closed form; both are attained for margins well inside the first grid.
        gammas = np.unique(np.atleast_1d(self.gamma)).astype(np.float64)
        steepest, most_curved = 0.0, 0.0
        for gamma in gammas:
            loss = Focal(gamma)
            steepest = max(steepest, _largest(loss.gradient))
            most_curved = max(most_curved, _largest(loss.hessian))
        return Traits("other", convex=not gammas.any(), lipschitz=steepest * (1 + 1e-6),
                      curvature=most_curved * (1 + 1e-6), has_probability=True, link="logit")

    def probability(self, raw_prediction):
        return _links.focal(raw_prediction, self.gamma)

    # With z = (2 y - 1) p: m = 1 - q = sigmoid(-z), -log q = softplus(-z), m^gamma = exp(-gamma softplus(z)); and
    # softplus(z) = z+ + soft, softplus(-z) = (-z)+ + soft.
    cdef inline double _value(self, double y, double p, double gamma, double _) noexcept nogil:
        cdef double z = (2.0 * y - 1.0) * p, soft = log1p_unit_(exp_decay_(-fabs(p)))
        return exp_decay_(-gamma * (positive(z) + soft)) * (positive(-z) + soft)

    cdef inline double _gradient(self, double y, double p, double gamma, double _) noexcept nogil:
        cdef double sign = 2.0 * y - 1.0, z = sign * p, e = exp_decay_(-fabs(p)), soft = log1p_unit_(e), d = 1.0 + e
        cdef double m = (e if z > 0 else 1.0) / d, q = (1.0 if z > 0 else e) / d
        return -sign * exp_decay_(-gamma * (positive(z) + soft)) * (gamma * q * (positive(-z) + soft) + m)

    cdef inline double _hessian(self, double y, double p, double gamma, double _) noexcept nogil:
        cdef double z = (2.0 * y - 1.0) * p, e = exp_decay_(-fabs(p)), soft = log1p_unit_(e), d = 1.0 + e
        cdef double m = (e if z > 0 else 1.0) / d, q = (1.0 if z > 0 else e) / d, v = positive(-z) + soft
        return exp_decay_(-gamma * (positive(z) + soft)) * q * (gamma * v * (gamma * q - m) + (2.0 * gamma + 1.0) * m)


@cython.final
cdef class Hinge(Builtin):
    """Hinge loss, (1 - z)+ with z = y p, y in {-1, +1}; the gradient is -y at z = 1.

    C. Cortes and V. Vapnik, Machine Learning 20, 1995: the loss of the support vector machine.

    Examples
    --------
    >>> from sklosses.losses import Hinge
    >>> Hinge().value([1.0, -1.0], [0.5, 0.5])
    array([0.5, 1.5])
    """

    name = "hinge"
    target = CODES
    tasks = CLASSIFICATION

    def __init__(self):
        bind(self)

    @property
    def traits(self):
        return Traits("margin", smooth=False, lipschitz=1.0, has_conjugate=True)

    def smoothed(self, mu):
        return SmoothedHinge(width=mu)

    def kinks(self, y_true):
        return one_kink(y_true, 1.0)        # z = y p = 1 where p = y

    cdef inline double _value(self, double z, double _, double __) noexcept nogil:
        return positive(1.0 - z)

    cdef inline double _gradient(self, double z, double _, double __) noexcept nogil:
        return -1.0 if z <= 1 else 0.0

    cdef inline double _hessian(self, double z, double _, double __) noexcept nogil:
        return 0.0

    cdef inline Parabola _parabola(self, double y, double _, double __) noexcept nogil:
        return one_sided(y, y, 0.0, 1.0)


@cython.final
cdef class SquaredHinge(Builtin):
    """Squared hinge loss, ((1 - z)+)^2 with z = y p, y in {-1, +1}.

    Examples
    --------
    >>> from sklosses.losses import SquaredHinge
    >>> SquaredHinge().value([1.0, -1.0], [0.5, 0.5])
    array([0.25, 2.25])
    """

    name = "squared_hinge"
    target = CODES
    tasks = CLASSIFICATION

    def __init__(self):
        bind(self)

    @property
    def traits(self):
        return Traits("margin", curvature=2.0, has_conjugate=True, has_probability=True)

    def probability(self, raw_prediction):
        return _links.truncated_linear(raw_prediction)

    cdef inline double _value(self, double z, double _, double __) noexcept nogil:
        cdef double t = positive(1.0 - z)
        return t * t

    cdef inline double _gradient(self, double z, double _, double __) noexcept nogil:
        return -2.0 * positive(1.0 - z)

    cdef inline double _hessian(self, double z, double _, double __) noexcept nogil:
        return 2.0 if z < 1 else 0.0

    cdef inline Parabola _parabola(self, double y, double _, double __) noexcept nogil:
        return one_sided(y, y, 0.5, INFINITY)


@cython.final
cdef class SmoothedHinge(Builtin):
    """Smoothed hinge loss: 0 where z >= 1; (1 - z)^2 / (2 width) where z > 1 - width; else 1 - z - width / 2.

    z = y p, y in {-1, +1}. What ``Hinge().smoothed(width)`` returns; with width 1 the loss of J. D. M. Rennie and
    N. Srebro (IJCAI 2005).

    Parameters
    ----------
    width : float > 0 or vector, default=1.0
        Width of the quadratic part.

    Examples
    --------
    >>> from sklosses.losses import SmoothedHinge
    >>> SmoothedHinge(width=1.0).value([1.0, -1.0], [0.5, 0.5])
    array([0.125, 1.   ])
    """

    name = "smoothed_hinge"
    target = CODES
    tasks = CLASSIFICATION
    ranges = {"width": POSITIVE}

    def __init__(self, width=1.0):
        bind(self)
        self._set(width=width)

    @property
    def traits(self):
        return Traits("margin", lipschitz=1.0, curvature=1 / self._lowest("width"), has_conjugate=True)

    cdef inline double _value(self, double z, double width, double _) noexcept nogil:
        return rounded(positive(1.0 - z), width)

    cdef inline double _gradient(self, double z, double width, double _) noexcept nogil:
        return -least(positive(1.0 - z) * inverse(width), 1.0)

    cdef inline double _hessian(self, double z, double width, double _) noexcept nogil:
        return 1.0 / width if (z < 1) & (1.0 - z < width) else 0.0

    cdef inline Parabola _parabola(self, double y, double width, double _) noexcept nogil:
        return one_sided(y, y, width, 1.0)


@cython.final
cdef class ModifiedHuber(Builtin):
    """Modified Huber loss: ((1 - z)+)^2 where z >= -1, else -4 z; z = y p, y in {-1, +1}.

    T. Zhang, Solving large scale linear prediction problems using stochastic gradient descent algorithms, ICML 2004.
    Tolerant of outliers, and it estimates probabilities.

    Examples
    --------
    >>> from sklosses.losses import ModifiedHuber
    >>> ModifiedHuber().value([1.0, -1.0], [0.5, 2.0])
    array([0.25, 8.  ])
    """

    name = "modified_huber"
    target = CODES
    tasks = CLASSIFICATION

    def __init__(self):
        bind(self)

    @property
    def traits(self):
        return Traits("margin", lipschitz=4.0, curvature=2.0, has_conjugate=True, has_probability=True)

    def probability(self, raw_prediction):
        return _links.truncated_linear(raw_prediction)

    cdef inline double _value(self, double z, double _, double __) noexcept nogil:
        cdef double t = positive(1.0 - z)
        return t * t if z >= -1 else -4.0 * z

    cdef inline double _gradient(self, double z, double _, double __) noexcept nogil:
        return -2.0 * clipped(1.0 - z, 0.0, 2.0)

    cdef inline double _hessian(self, double z, double _, double __) noexcept nogil:
        return 2.0 if (z >= -1) & (z < 1) else 0.0

    cdef inline Parabola _parabola(self, double y, double _, double __) noexcept nogil:
        return one_sided(y, y, 0.5, 4.0)


@cython.final
cdef class Perceptron(Builtin):
    """Perceptron loss, (-z)+ with z = y p, y in {-1, +1}; the gradient is -y at z = 0.

    F. Rosenblatt, Psychological Review 65, 1958. Coefficients of zero minimise it, so it is an algorithm rather than an
    objective.

    Examples
    --------
    >>> from sklosses.losses import Perceptron
    >>> Perceptron().value([1.0, -1.0], [0.5, 0.5])
    array([0. , 0.5])
    """

    name = "perceptron"
    target = CODES
    tasks = CLASSIFICATION

    def __init__(self):
        bind(self)

    @property
    def traits(self):
        return Traits("margin", smooth=False, lipschitz=1.0, has_conjugate=True)

    def smoothed(self, mu):
        return SmoothedPerceptron(width=mu)

    def kinks(self, y_true):
        return one_kink(np.zeros(len(y_true)), 1.0)

    cdef inline double _value(self, double z, double _, double __) noexcept nogil:
        return positive(-z)

    cdef inline double _gradient(self, double z, double _, double __) noexcept nogil:
        return -1.0 if z <= 0 else 0.0

    cdef inline double _hessian(self, double z, double _, double __) noexcept nogil:
        return 0.0

    cdef inline Parabola _parabola(self, double y, double _, double __) noexcept nogil:
        return one_sided(y, 0.0, 0.0, 1.0)


@cython.final
cdef class SmoothedPerceptron(Builtin):
    """Perceptron loss rounded beyond its kink: 0 where z >= 0; z^2 / (2 width) where z > -width; else -z - width / 2.

    z = y p, y in {-1, +1}. What ``Perceptron().smoothed(width)`` returns.

    Parameters
    ----------
    width : float > 0 or vector, default=1.0
        Width of the quadratic part.

    Examples
    --------
    >>> from sklosses.losses import SmoothedPerceptron
    >>> SmoothedPerceptron(width=1.0).value([1.0, -1.0], [0.5, 0.5])
    array([0.   , 0.125])
    """

    name = "smoothed_perceptron"
    target = CODES
    tasks = CLASSIFICATION
    ranges = {"width": POSITIVE}

    def __init__(self, width=1.0):
        bind(self)
        self._set(width=width)

    @property
    def traits(self):
        return Traits("margin", lipschitz=1.0, curvature=1 / self._lowest("width"), has_conjugate=True)

    cdef inline double _value(self, double z, double width, double _) noexcept nogil:
        return rounded(positive(-z), width)

    cdef inline double _gradient(self, double z, double width, double _) noexcept nogil:
        return -least(positive(-z) * inverse(width), 1.0)

    cdef inline double _hessian(self, double z, double width, double _) noexcept nogil:
        return 1.0 / width if (z < 0) & (-z < width) else 0.0

    cdef inline Parabola _parabola(self, double y, double width, double _) noexcept nogil:
        return one_sided(y, 0.0, width, 1.0)


@cython.final
cdef class Exponential(Builtin):
    """Exponential loss, exp(-z) with z = y p, y in {-1, +1}.

    Y. Freund and R. E. Schapire, Journal of Computer and System Sciences 55, 1997: the loss of AdaBoost. The minimiser
    is half the log-odds of y = 1.

    Examples
    --------
    >>> from sklosses.losses import Exponential
    >>> Exponential().value([1.0, -1.0], [0.0, 1.0]).round(4)
    array([1.    , 2.7183])
    """

    name = "exponential"
    target = CODES
    tasks = CLASSIFICATION

    def __init__(self):
        bind(self)

    @property
    def traits(self):
        return Traits("margin", self_concordance=1.0, has_conjugate=True, has_probability=True)

    def probability(self, raw_prediction):
        return _links.half_logistic(raw_prediction)

    cdef inline double _value(self, double z, double _, double __) noexcept nogil:
        return exp_(-z)

    cdef inline double _gradient(self, double z, double _, double __) noexcept nogil:
        return -exp_(-z)

    cdef inline double _hessian(self, double z, double _, double __) noexcept nogil:
        return exp_(-z)

    cdef double conjugate_at(self, double y, double u, Py_ssize_t column) noexcept nogil:
        return u * y + x_log_x(-u * y) if u * y <= 0 else INFINITY


# The registry: each loss in one list --------------------------------------------------------------------------------

ctypedef fused Residual:
    SquaredError
    AbsoluteError
    SmoothedAbsoluteError
    Huber
    PseudoHuber
    LogCosh
    Quantile
    SmoothedQuantile
    Expectile
    EpsilonInsensitive
    SmoothedEpsilonInsensitive
    SquaredEpsilonInsensitive
    Cauchy

ctypedef fused Margin:
    Hinge
    SquaredHinge
    SmoothedHinge
    ModifiedHuber
    Perceptron
    SmoothedPerceptron
    Exponential

ctypedef fused Other:
    SquaredLogError
    Poisson
    Gamma
    Tweedie
    LogLoss
    Focal

ctypedef fused Registered:
    Residual
    Margin
    Other

# Those with a method _parabola.
ctypedef fused Parabolic:
    SquaredError
    AbsoluteError
    SmoothedAbsoluteError
    Huber
    Quantile
    SmoothedQuantile
    Expectile
    EpsilonInsensitive
    SmoothedEpsilonInsensitive
    SquaredEpsilonInsensitive
    SquaredLogError
    Hinge
    SquaredHinge
    SmoothedHinge
    ModifiedHuber
    Perceptron
    SmoothedPerceptron

LOSSES = {cls.name: cls for cls in Builtin.__subclasses__()}


# Small formulas that several losses share ---------------------------------------------------------------------------

# Comparisons are written so that nan passes through.
cdef inline double positive(double x) noexcept nogil:
    return 0.0 if x <= 0 else x


cdef inline double some(double y, double each) noexcept nogil:
    """y times each, none of it being 0 even where each has overflowed."""
    return y * each if y != 0 else 0.0


cdef inline double difference(double x, double y) noexcept nogil:
    """x - y, +inf where both have overflowed."""
    return INFINITY if (x == y) & (fabs(x) == INFINITY) else x - y


cdef inline double least(double x, double bound) noexcept nogil:
    return bound if x > bound else x


cdef inline double clipped(double x, double low, double high) noexcept nogil:
    x = low if x < low else x
    return high if x > high else x


cdef inline double inverse(double width) noexcept nogil:
    """1 / width, finite: loops over rows divide once, where x / width would divide each time."""
    return least(1.0 / width, DBL_MAX)


cdef inline double rounded(double t, double width) noexcept nogil:
    """t >= 0, rounded near 0: t^2 / (2 width) up to width, t - width / 2 beyond."""
    cdef double s = least(t * inverse(width), 1.0)
    return s * (t - 0.5 * (width * s))


cdef inline Parabola one_sided(double y, double centre, double width, double steepest) noexcept nogil:
    """The conjugate of a margin loss with slopes between -steepest and 0: u y is in that range."""
    return Parabola(centre, 0.0, width, width, -steepest if y > 0 else 0.0, 0.0 if y > 0 else steepest)


cdef inline double x_log_x(double x) noexcept nogil:
    return x * log(x) if x > 0 else 0.0


cdef inline double entropy_from(double x) noexcept nogil:
    """(1 + x) log(1 + x), 0 at its end x = -1."""
    return (1.0 + x) * log1p(x) if x > -1 else 0.0


# The sweeps ---------------------------------------------------------------------------------------------------------


cdef inline double value_of(Registered loss, double y, double p, double a, double b) noexcept nogil:
    if Registered in Residual:
        return loss._value(p - y, a, b)
    elif Registered in Margin:
        return loss._value(y * p, a, b)
    else:
        return loss._value(y, p, a, b)


cdef inline double gradient_of(Registered loss, double y, double p, double a, double b) noexcept nogil:
    if Registered in Residual:
        return loss._gradient(p - y, a, b)
    elif Registered in Margin:
        return y * loss._gradient(y * p, a, b)
    else:
        return loss._gradient(y, p, a, b)


cdef inline double hessian_of(Registered loss, double y, double p, double a, double b) noexcept nogil:
    if Registered in Residual:
        return loss._hessian(p - y, a, b)
    elif Registered in Margin:
        return loss._hessian(y * p, a, b)       # y^2 = 1
    else:
        return loss._hessian(y, p, a, b)


ctypedef fused AnyBlock:
    Block
    Block32


cdef struct Parameters:
    # The two parameters of each element's column if `vectors`, else those at a[0], b[0] for all.
    bint vectors
    const double* a
    const double* b


# The loops: n contiguous elements, float32 or float64, computed in float64. Value and gradient, which solvers ask for
# together, share a loop and with it their exponential, which is what they cost.

cdef inline void values(Registered loss, Py_ssize_t n, Parameters at, const floating* y, const floating* p,
                        floating* value) noexcept nogil:
    cdef Py_ssize_t i
    cdef double a = at.a[0], b = at.b[0]
    if at.vectors:
        for i in range(n):
            value[i] = <floating> value_of(loss, y[i], p[i], at.a[i], at.b[i])
    else:
        for i in range(n):
            value[i] = <floating> value_of(loss, y[i], p[i], a, b)


cdef inline void gradients(Registered loss, Py_ssize_t n, Parameters at, const floating* y, const floating* p,
                           floating* gradient) noexcept nogil:
    cdef Py_ssize_t i
    cdef double a = at.a[0], b = at.b[0]
    if at.vectors:
        for i in range(n):
            gradient[i] = <floating> gradient_of(loss, y[i], p[i], at.a[i], at.b[i])
    else:
        for i in range(n):
            gradient[i] = <floating> gradient_of(loss, y[i], p[i], a, b)


cdef inline void values_and_gradients(Registered loss, Py_ssize_t n, Parameters at, const floating* y,
                                      const floating* p, floating* value, floating* gradient) noexcept nogil:
    # Both are computed before either is stored: a store might, for all the compiler knows, change y or p, and it would
    # compute the exponential again.
    cdef Py_ssize_t i
    cdef double a = at.a[0], b = at.b[0], v, g
    if at.vectors:
        for i in range(n):
            v = value_of(loss, y[i], p[i], at.a[i], at.b[i])
            g = gradient_of(loss, y[i], p[i], at.a[i], at.b[i])
            value[i] = <floating> v
            gradient[i] = <floating> g
    else:
        for i in range(n):
            v = value_of(loss, y[i], p[i], a, b)
            g = gradient_of(loss, y[i], p[i], a, b)
            value[i] = <floating> v
            gradient[i] = <floating> g


cdef inline void hessians(Registered loss, Py_ssize_t n, Parameters at, const floating* y, const floating* p,
                          floating* hessian) noexcept nogil:
    cdef Py_ssize_t i
    cdef double a = at.a[0], b = at.b[0]
    if at.vectors:
        for i in range(n):
            hessian[i] = <floating> hessian_of(loss, y[i], p[i], at.a[i], at.b[i])
    else:
        for i in range(n):
            hessian[i] = <floating> hessian_of(loss, y[i], p[i], a, b)


cdef inline void put(const double* eight, double* out) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(8):
        out[k] = eight[k]


cdef void tile(Registered loss, const Block* block, Py_ssize_t first) noexcept nogil:
    """Eight columns from `first` on, of which each has its own parameters.

    What the formulas make of parameters alone, divisions above all, is computed once for all rows. Parameters and
    results stand in arrays of this function, so that the compiler knows that no store changes what it reads next.
    """
    cdef double[8] a, b, one, other
    cdef Parameters at = Parameters(True, &a[0], &b[0])
    cdef const double* theta = loss.theta + block.first + first
    cdef Py_ssize_t row, i
    put(theta, a)
    put(theta + loss.n_columns, b)
    if block.value != NULL and block.gradient != NULL:
        for row in range(block.n_rows):
            i = row * block.stride + first
            values_and_gradients(loss, 8, at, block.y + i, block.p + i, one, other)
            put(one, block.value + i)
            put(other, block.gradient + i)
    elif block.value != NULL:
        for row in range(block.n_rows):
            i = row * block.stride + first
            values(loss, 8, at, block.y + i, block.p + i, one)
            put(one, block.value + i)
    elif block.gradient != NULL:
        for row in range(block.n_rows):
            i = row * block.stride + first
            gradients(loss, 8, at, block.y + i, block.p + i, one)
            put(one, block.gradient + i)
    if block.hessian != NULL:
        for row in range(block.n_rows):
            i = row * block.stride + first
            hessians(loss, 8, at, block.y + i, block.p + i, one)
            put(one, block.hessian + i)


cdef int sweep(Registered loss, const AnyBlock* block) noexcept nogil:
    """A block: all of it at once where it is contiguous and one set of parameters serves it, else in tiles of eight
    columns, as solvers have them, or row by row."""
    cdef bint vectors = loss.n_columns > 1 and block.n_columns > 1
    cdef bint whole = not vectors and (block.stride == block.n_columns or block.n_rows == 1)
    cdef Py_ssize_t column = block.first if loss.n_columns > 1 else 0, row, i
    cdef Py_ssize_t n = block.n_columns * block.n_rows if whole else block.n_columns
    cdef Parameters at = Parameters(vectors, loss.theta + column, loss.theta + loss.n_columns + column)
    if AnyBlock is Block:
        if vectors and n % 8 == 0:
            for i in range(0, n, 8):
                tile(loss, block, i)
            return 0
    for row in range(1 if whole else block.n_rows):
        i = row * block.stride
        if block.value != NULL and block.gradient != NULL:
            values_and_gradients(loss, n, at, block.y + i, block.p + i, block.value + i, block.gradient + i)
        elif block.value != NULL:
            values(loss, n, at, block.y + i, block.p + i, block.value + i)
        elif block.gradient != NULL:
            gradients(loss, n, at, block.y + i, block.p + i, block.gradient + i)
        if block.hessian != NULL:
            hessians(loss, n, at, block.y + i, block.p + i, block.hessian + i)
    return 0


cdef inline double parameter_of(Builtin loss, Py_ssize_t which, Py_ssize_t column) noexcept nogil:
    """``loss.parameter``, without the call: solvers that go row by row wait for each of these."""
    return loss.theta[which * loss.n_columns + (column if loss.n_columns > 1 else 0)]


cdef double one_value(Registered loss, double y, double p, Py_ssize_t column) noexcept nogil:
    return value_of(loss, y, p, parameter_of(loss, 0, column), parameter_of(loss, 1, column))


cdef double one_gradient(Registered loss, double y, double p, Py_ssize_t column) noexcept nogil:
    return gradient_of(loss, y, p, parameter_of(loss, 0, column), parameter_of(loss, 1, column))


# Steps of dual coordinate descent ---------------------------------------------------------------------------------

cdef enum:
    # A step may leave one part in so many of the slope it began with: to leave less costs time and saves no epochs.
    PART = 10
    FAR = 64                # a first step that might be longer is bracketed by doubling
    NEWTON_STEPS = 100      # at most; 1 or 2 are typical


cdef inline double parabola_at(Parabola parabola, double u) noexcept nogil:
    cdef double width = parabola.width_above if u > 0 else parabola.width_below
    if not parabola.low <= u <= parabola.high:
        return NAN if isnan(u) else INFINITY
    return u * parabola.centre + parabola.dead * fabs(u) + 0.5 * width * u * u


cdef Parabola parabola_of(Parabolic loss, double y, Py_ssize_t column) noexcept nogil:
    return loss._parabola(y, parameter_of(loss, 0, column), parameter_of(loss, 1, column))


cdef double parabolic_conjugate(Parabolic loss, double y, double u, Py_ssize_t column) noexcept nogil:
    return parabola_at(loss._parabola(y, parameter_of(loss, 0, column), parameter_of(loss, 1, column)), u)


cdef void parabolic_step(Parabolic loss, double y, double p, double step, Dual* dual,
                         Py_ssize_t column) noexcept nogil:
    """In closed form: the slope of phi* + step u^2 / 2 is linear on either side of 0."""
    cdef double a = parameter_of(loss, 0, column), b = parameter_of(loss, 1, column), u = dual.u
    cdef Parabola parabola = loss._parabola(y, a, b)
    cdef double away = p + step * u - parabola.centre, value
    if Parabolic in Residual:
        value = loss._value(p - y, a, b)
    elif Parabolic in Margin:
        value = loss._value(y * p, a, b)
    else:
        value = loss._value(y, p, a, b)
    dual.gap = value + parabola_at(parabola, u) - u * p
    if away > parabola.dead:
        u = (away - parabola.dead) / (step + parabola.width_above)
    elif away < -parabola.dead:
        u = (away + parabola.dead) / (step + parabola.width_below)
    else:
        u = 0.0
    dual.u = clipped(u, parabola.low, parabola.high)


cdef void newton_step(Registered loss, double y, double p, double step, Dual* dual,
                      Py_ssize_t column) noexcept nogil:
    """Newton for q + step phi'(q) = p + step u, from the q of the step before: one evaluation in the steady state."""
    cdef double a = parameter_of(loss, 0, column), b = parameter_of(loss, 1, column)
    cdef double q = dual.at, slope = dual.u, curvature = dual.curvature, v = p + step * slope
    cdef double first, rest, goal, low, high, newton, reach = 1.0
    cdef bint fresh = isnan(q)
    cdef int _
    if fresh:        # the first step: between v and v - step phi'(v)
        q = v
        slope, curvature = gradient_of(loss, y, q, a, b), hessian_of(loss, y, q, a, b)
        first = rest = step * slope
        low, high = fmin(v, v - rest), fmax(v, v - rest)
        dual.gap = 0
        # That may be far too much of an exponential, or beyond all numbers: then from v on, twice as far each time.
        while fabs(first) > FAR and (rest > 0) == (first > 0):
            newton = v - copysign(reach, first)
            if not low < newton < high:
                break
            q, reach = newton, 2.0 * reach
            slope, curvature = gradient_of(loss, y, q, a, b), hessian_of(loss, y, q, a, b)
            rest = (q - v) + step * slope
            if rest > 0:
                high = q
            else:
                low = q
    else:               # phi'(q) = u: the solution lies between q and p
        first = rest = q - p
        low, high = fmin(q, p), fmax(q, p)
        dual.gap = 0.5 * rest * rest * curvature        # to second order
    goal = fabs(first) / PART
    for _ in range(NEWTON_STEPS):
        if fresh:
            goal = fabs(v - q) / PART       # of step u, which was 0
        if fabs(rest) <= goal + 4e-16 * (fabs(v) + fabs(q)):
            break
        newton = q - rest / (1.0 + step * curvature)
        if not low < newton < high:
            newton = low + 0.5 * (high - low)
            if newton <= low or newton >= high:
                break
        q = newton
        slope, curvature = gradient_of(loss, y, q, a, b), hessian_of(loss, y, q, a, b)
        rest = (q - v) + step * slope
        if rest > 0:
            high = q
        else:
            low = q
    dual.u, dual.at, dual.curvature = slope, q, curvature


cdef int bind(Registered loss) except -1:
    """Fill the slots of a loss with the code compiled for its class."""
    loss.sweep = <int (*)(Loss, const Block*) noexcept nogil> sweep[Registered, Block]
    loss.sweep32 = <int (*)(Loss, const Block32*) noexcept nogil> sweep[Registered, Block32]
    loss.scalar_value = <double (*)(Loss, double, double, Py_ssize_t) noexcept nogil> one_value[Registered]
    loss.scalar_gradient = <double (*)(Loss, double, double, Py_ssize_t) noexcept nogil> one_gradient[Registered]
    if Registered in Parabolic:
        loss.scalar_conjugate = (<double (*)(Loss, double, double, Py_ssize_t) noexcept nogil>
                                 parabolic_conjugate[Registered])
        loss.scalar_step = (<void (*)(Loss, double, double, double, Dual*, Py_ssize_t) noexcept nogil>
                            parabolic_step[Registered])
        loss.scalar_parabola = <Parabola (*)(Loss, double, Py_ssize_t) noexcept nogil> parabola_of[Registered]
    else:
        loss.scalar_parabola = NULL
        loss.scalar_conjugate = NULL
        loss.scalar_step = (<void (*)(Loss, double, double, double, Dual*, Py_ssize_t) noexcept nogil>
                            newton_step[Registered])
    loss._set()
    return 0

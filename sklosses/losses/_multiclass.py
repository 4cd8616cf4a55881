"""Losses that read all raw predictions of a row: softmax cross-entropy and the multiclass hinge.

All are Fenchel-Young losses on the simplex (Blondel, Martins, Niculae, JMLR 21, 2020), with a cost for wrong classes::

    phi(y, p) = max over distributions a of  a.(p + cost_y) - Omega(a)  -  y.p

The maximiser a decides everything else: the gradient is a - y, and the conjugate at u = a - y is Omega(a) - a.cost_y.
"""

from functools import cache
from numbers import Real
from typing import ClassVar

import numpy as np
from scipy.special import xlogy

from sklosses._isa import kernel
from sklosses._parametrised import Parametrised
from sklosses.losses._traits import Interval, Traits

# What rows of probabilities may differ from a sum of 1, for float64 and float32: rounding of some thousand classes.
SUM_TOL = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-4}


class MulticlassLoss(Parametrised):
    """The base of losses of a row's class and all of its raw predictions.

    Raw predictions p have shape (n, K), a column a class; targets are class numbers 0 .. K - 1 of shape (n,), or rows
    of probabilities of shape (n, K) where the loss says so. Values have shape (n,), gradients (n, K).

    Attributes
    ----------
    name : str
        The name under which :func:`get_loss` and :class:`~sklosses.SGDClassifier` know the loss.
    traits : Traits
        Of the loss as a function of a row of predictions: `lipschitz` bounds the Euclidean norm of the gradient,
        `curvature` the largest eigenvalue of the Hessian.
    takes_probabilities : bool
        Whether targets may be rows of probabilities.
    quadratic : float or None
        The w where Omega(a) is (w / 2) ||a - y||^2, so that the loss is quadratic or linear piece by piece; else None.
    of_difference : tuple of str and dict
        Name and parameters of what the loss is for two classes, as a loss of the difference of their predictions.
    """

    name = ""
    ranges: ClassVar = {}
    tasks = frozenset({"classification"})
    n_columns = 1       # parameters are numbers
    takes_probabilities = False
    quadratic = None
    of_difference = ("", {})
    traits = Traits(kind="coupled")

    def _set(self, **given):
        """Check and keep parameters."""
        for name, value in given.items():
            interval = self.ranges[name]
            if interval is bool:
                if not isinstance(value, bool | np.bool_):
                    raise ValueError(f"{name}={value!r} of {type(self).__name__} must be True or False.")
            elif not isinstance(value, Real) or isinstance(value, bool) or float(value) not in interval:
                raise ValueError(f"{name}={value!r} of {type(self).__name__} must be a number in {interval}.")
        self._given = given

    # On arrays ------------------------------------------------------------------------------------------------------

    def value(self, y_true, raw_prediction, sample_weight=None, *, out=None):
        """The loss of each row.

        Parameters
        ----------
        y_true : array-like of shape (n,) or (n, K)
            Class numbers, or rows of probabilities where the loss takes them.
        raw_prediction : array-like of shape (n, K)
            Raw predictions, K >= 2.
        sample_weight : array-like of shape (n,), default=None
            Factors of the rows.
        out : ndarray of shape (n,), default=None
            Where to write the result; of its dtype.

        Returns
        -------
        ndarray of shape (n,)
            float32 where `raw_prediction` is, else float64.

        Raises
        ------
        ValueError
            If a shape does not fit, a class number is none of 0 .. K - 1, or a row of probabilities does not sum to 1.
        """
        y, p, weight = self._arguments(y_true, raw_prediction, sample_weight)
        value, _ = self.evaluate(y, p)
        return _returned(value if weight is None else value * weight, p.dtype, out)

    def gradient(self, y_true, raw_prediction, sample_weight=None, *, out=None):
        """The derivatives of each row's loss with respect to its raw predictions; they sum to 0.

        Parameters
        ----------
        y_true : array-like of shape (n,) or (n, K)
            Class numbers, or rows of probabilities where the loss takes them.
        raw_prediction : array-like of shape (n, K)
            Raw predictions, K >= 2.
        sample_weight : array-like of shape (n,), default=None
            Factors of the rows.
        out : ndarray of shape (n, K), default=None
            Where to write the result; of its dtype.

        Returns
        -------
        ndarray of shape (n, K)
            float32 where `raw_prediction` is, else float64.

        Raises
        ------
        ValueError
            As :meth:`value`.
        """
        y, p, weight = self._arguments(y_true, raw_prediction, sample_weight)
        _, a = self.evaluate(y, p)
        less_target(a, y)
        return _returned(a if weight is None else a * weight[:, np.newaxis], p.dtype, out)

    def __call__(self, y_true, raw_prediction, sample_weight=None):
        """The weighted mean of the values.

        Parameters
        ----------
        y_true : array-like of shape (n,) or (n, K)
            Class numbers, or rows of probabilities where the loss takes them.
        raw_prediction : array-like of shape (n, K)
            Raw predictions.
        sample_weight : array-like of shape (n,), default=None
            Weights; a weight of k counts as the row k times over.

        Returns
        -------
        float
            sum(sample_weight * value) / sum(sample_weight).
        """
        return float(np.average(self.value(y_true, raw_prediction).astype(np.float64), weights=sample_weight))

    def hessian(self, y_true, raw_prediction, sample_weight=None, *, out=None):
        """The second derivatives of each row's loss with respect to its raw predictions.

        Parameters
        ----------
        y_true : array-like of shape (n,) or (n, K)
            Class numbers, or rows of probabilities where the loss takes them.
        raw_prediction : array-like of shape (n, K)
            Raw predictions, K >= 2.
        sample_weight : array-like of shape (n,), default=None
            Factors of the rows.
        out : ndarray of shape (n, K, K), default=None
            Where to write the result; of its dtype.

        Returns
        -------
        ndarray of shape (n, K, K)
            diag(h) - h h' / sum(h), for h of the row; 0 on linear parts.

        Raises
        ------
        ValueError
            As :meth:`value`.
        """
        y, p, weight = self._arguments(y_true, raw_prediction, sample_weight)
        h = self.spread(self.evaluate(y, p)[1])
        total = h.sum(axis=1)[:, np.newaxis, np.newaxis]
        matrix = -h[:, :, np.newaxis] * np.divide(h[:, np.newaxis, :], total, out=np.zeros((len(h), 1, h.shape[1])),
                                                  where=total > 0)
        at = np.arange(h.shape[1])
        matrix[:, at, at] += h
        return _returned(matrix if weight is None else matrix * weight[:, np.newaxis, np.newaxis], p.dtype, out)

    def conjugate(self, y_true, dual):
        """The convex conjugate sup_p (u.p - phi(y, p)) of each row.

        Parameters
        ----------
        y_true : array-like of shape (n,) or (n, K)
            Class numbers, or rows of probabilities where the loss takes them.
        dual : array-like of shape (n, K)
            The u of the formula.

        Returns
        -------
        ndarray of shape (n,)
            float64; inf where y + u is no distribution (its sum is 1 to 1e-9, its entries at least -1e-12).
        """
        y, u, _ = self._arguments(y_true, np.asarray(dual, dtype=np.float64), None)
        a = u.copy()
        if y.ndim == 1:
            a[np.arange(len(a)), y] += 1
        else:
            a += y
        inside = (a.min(axis=1) >= -1e-12) & (np.abs(a.sum(axis=1) - 1) <= 1e-9)
        return np.where(inside, self.conjugate_at(y, np.maximum(a, 0.0)), np.inf)

    # What solvers ask for: arguments are checked by then ------------------------------------------------------------

    def evaluate(self, y, p):
        """Values and maximisers of rows.

        Parameters
        ----------
        y : ndarray of shape (n,) or (n, K)
            int64 class numbers, or float64 probabilities.
        p : ndarray of shape (n, K)
            C-contiguous.

        Returns
        -------
        value : ndarray of shape (n,)
        a : ndarray of shape (n, K)
            Distributions: the gradient is a - y. float64 both.
        """
        raise NotImplementedError

    def spread(self, a):
        """The h of shape (n, K) with which the Hessian at maximisers a is diag(h) - h h' / sum(h), row by row."""
        raise NotImplementedError

    def conjugate_at(self, y, a):
        """The conjugate at u = a - y, for distributions a."""
        raise NotImplementedError

    def smoothed(self, mu):
        """A smooth loss within ``mu * lipschitz**2 / 2`` below this one: see :meth:`Loss.smoothed`."""
        if self.traits.smooth:
            return self
        raise NotImplementedError(f"{type(self).__name__} has no smoothed form.")

    def probability(self, raw_prediction):
        """Probabilities of the classes behind rows of raw predictions.

        Parameters
        ----------
        raw_prediction : array-like of shape (n, K)
            Raw predictions.

        Returns
        -------
        ndarray of shape (n, K)

        Raises
        ------
        AttributeError
            If the minimiser of the expected loss does not determine them.
        """
        raise AttributeError(f"{self!r} estimates no probability.")

    def check_targets(self, y, n_classes, name="y"):
        """Targets as solvers take them.

        Parameters
        ----------
        y : array-like of shape (n,) or (n, n_classes)
            Class numbers, or rows of probabilities.
        n_classes : int
            K.
        name : str, default="y"
            What errors call them.

        Returns
        -------
        ndarray
            int64 of shape (n,) or float64 of shape (n, n_classes).

        Raises
        ------
        ValueError
            If they are neither, or the loss takes no probabilities.
        """
        y = np.asarray(y)
        if y.dtype.kind not in "fiub":
            raise ValueError(f"{name} must hold class numbers or probabilities, got dtype {y.dtype}.")
        if y.ndim == 1:
            return _class_numbers(y, n_classes, name)
        if y.ndim != 2 or y.shape[1] != n_classes:
            raise ValueError(f"{name} has shape {y.shape}, expected (n,) or (n, {n_classes}).")
        if not self.takes_probabilities:
            raise ValueError(f"{name} has shape {y.shape}: {type(self).__name__} takes class numbers of shape (n,).")
        return _distributions(y, name)

    def _arguments(self, y_true, raw_prediction, sample_weight):
        p = np.asarray(raw_prediction)
        if p.dtype.kind not in "fiub":
            raise ValueError(f"raw_prediction must hold real numbers, got dtype {p.dtype}.")
        if p.ndim != 2 or p.shape[1] < 2:
            raise ValueError(f"raw_prediction has shape {p.shape}, expected (n, K) with a column for each of K >= 2 "
                             "classes.")
        p = np.require(p, np.float32 if p.dtype == np.float32 else np.float64, "CA")
        y = self.check_targets(y_true, p.shape[1], "y_true")
        if len(y) != len(p):
            raise ValueError(f"y_true has {len(y)} rows, raw_prediction has {len(p)}.")
        weight = None
        if sample_weight is not None:
            weight = np.asarray(sample_weight, dtype=np.float64)
            if weight.shape != (len(p),):
                raise ValueError(f"sample_weight has shape {weight.shape}, expected ({len(p)},).")
        return y, p, weight


class Multinomial(MulticlassLoss):
    r"""Multinomial (softmax) cross-entropy, from raw predictions.

    .. math::
        \phi(y, p) = \log \sum_k \exp(p_k) - \sum_k y_k p_k,

    y a class number (y_k = 1 for that class) or a row of probabilities: the categorical cross-entropy of softmax(p).
    Stable for predictions of any size. For two classes it is the log loss of the difference of their predictions.

    Parameters
    ----------
    divergence : bool, default=False
        Whether the entropy of y is taken off, :math:`\sum_k y_k \log y_k` added: then the value is the Kullback-Leibler
        divergence of softmax(p) from y, which is 0 where both agree. Nothing else changes.

    References
    ----------
    C. M. Bishop, Pattern Recognition and Machine Learning, Springer 2006, section 4.3.4.

    Examples
    --------
    >>> from sklosses.losses import Multinomial
    >>> raw = np.log([[0.2, 0.3, 0.5]])
    >>> Multinomial().value([2], raw).round(4)      # -log(0.5)
    array([0.6931])
    >>> Multinomial().gradient([2], raw).round(4)
    array([[ 0.2,  0.3, -0.5]])
    >>> Multinomial(divergence=True).value([[0.2, 0.3, 0.5]], raw).round(4)
    array([0.])
    """

    name = "multinomial"
    ranges: ClassVar = {"divergence": bool}
    takes_probabilities = True
    of_difference = ("log_loss", {})
    traits = Traits(kind="coupled", lipschitz=2**0.5, curvature=0.5, has_conjugate=True, has_probability=True)

    def __init__(self, divergence=False):
        self._set(divergence=divergence)

    def evaluate(self, y, p):
        """See :meth:`MulticlassLoss.evaluate`."""
        a, value = np.empty(p.shape), np.empty(len(p))
        _kernels().softmax(p, y if y.ndim == 1 else None, a, value)
        if y.ndim == 2:
            value += np.einsum("ij,ij->i", y, p.max(axis=1, keepdims=True) - p) - self._constant(y)
            np.maximum(value, 0.0, out=value)       # a divergence of 0, to rounding
        return value, a

    def _constant(self, y):
        """What is taken off the value for the targets' sake: their entropy, or nothing."""
        return -xlogy(y, y).sum(axis=1) if self.divergence and y.ndim == 2 else 0.0

    def spread(self, a):
        """See :meth:`MulticlassLoss.spread`: softmax(p) itself."""
        return a

    def conjugate_at(self, y, a):
        """See :meth:`MulticlassLoss.conjugate_at`: the negative entropy of a."""
        return xlogy(a, a).sum(axis=1) + self._constant(y)

    def probability(self, raw_prediction):
        """softmax(p): see :meth:`MulticlassLoss.probability`."""
        p = np.asarray(raw_prediction)
        p = np.require(np.atleast_2d(p), np.float32 if p.dtype == np.float32 else np.float64, "CA")
        a = np.empty(p.shape)
        _kernels().softmax(p, None, a, np.empty(len(p)))
        return a.astype(p.dtype, copy=False)


class _Margins(MulticlassLoss):
    """What the multiclass hinge and its smoothed form share: costs of 1 for wrong classes."""

    quadratic = 0.0

    def evaluate(self, y, p):
        """See :meth:`MulticlassLoss.evaluate`."""
        a, value = np.empty(p.shape), np.empty(len(p))
        _kernels().margins(p, y, self.quadratic, a, value)
        return value, a

    def conjugate_at(self, y, a):
        """See :meth:`MulticlassLoss.conjugate_at`."""
        own = a[np.arange(len(a)), y]
        linear = own - 1        # -a.cost
        if not self.quadratic:
            return linear
        return linear + 0.5 * self.quadratic * ((a * a).sum(axis=1) - 2 * own + 1)


class CrammerSinger(_Margins):
    r"""The multiclass hinge loss: the right class is to be ahead of every other by 1.

    .. math::
        \phi(y, p) = \max_k (p_k + [k \neq y]) - p_y

    For two classes it is the hinge loss of the difference of their predictions. At a tie the gradient points to a wrong
    class, as the hinge's does.

    References
    ----------
    K. Crammer, Y. Singer, On the algorithmic implementation of multiclass kernel-based vector machines, Journal of
    Machine Learning Research 2, 2001.

    Examples
    --------
    >>> from sklosses.losses import CrammerSinger
    >>> CrammerSinger().value([0, 1], [[3.0, 1.0, 0.0], [0.5, 1.0, 2.0]])
    array([0., 2.])
    >>> CrammerSinger().gradient([0, 1], [[3.0, 1.0, 0.0], [0.5, 1.0, 2.0]])
    array([[ 0.,  0.,  0.],
           [ 0., -1.,  1.]])
    """

    name = "crammer_singer"
    of_difference = ("hinge", {})
    traits = Traits(kind="coupled", smooth=False, lipschitz=2**0.5, has_conjugate=True)

    def __init__(self):
        self._set()

    def spread(self, a):
        """See :meth:`MulticlassLoss.spread`: none."""
        return np.zeros_like(a)

    def smoothed(self, mu):
        """:class:`SmoothedCrammerSinger` of this width: see :meth:`MulticlassLoss.smoothed`."""
        return SmoothedCrammerSinger(width=mu)


class SmoothedCrammerSinger(_Margins):
    r"""The multiclass hinge loss, rounded in a band around its kinks.

    .. math::
        \phi(y, p) = \max_{a \geq 0, \sum a = 1} \sum_k a_k (p_k + [k \neq y]) - p_y
        - \frac{w}{2} \lVert a - e_y \rVert^2

    It lies between :class:`CrammerSinger` and that less the width w; the maximiser is a projection onto the simplex.
    For two classes it is the smoothed hinge loss of twice the width.

    Parameters
    ----------
    width : float, default=1.0
        w, above 0.

    References
    ----------
    Y. Nesterov, Smooth minimization of non-smooth functions, Mathematical Programming 103, 2005; C. Michelot, A finite
    algorithm for finding the projection of a point onto the canonical simplex, JOTA 50, 1986.

    Examples
    --------
    >>> from sklosses.losses import SmoothedCrammerSinger
    >>> SmoothedCrammerSinger(width=0.5).value([0, 0], [[3.0, 1.0, 0.0], [0.0, 0.5, 0.0]])
    array([0., 1.])
    """

    name = "smoothed_crammer_singer"
    ranges: ClassVar = {"width": Interval(0.0, low_closed=False)}

    def __init__(self, width=1.0):
        self._set(width=width)

    @property
    def quadratic(self):
        """See :class:`MulticlassLoss`."""
        return float(self.width)

    @property
    def of_difference(self):
        """See :class:`MulticlassLoss`."""
        return "smoothed_hinge", {"width": 2 * self.quadratic}

    @property
    def traits(self):
        """See the class."""
        return Traits(kind="coupled", lipschitz=2**0.5, curvature=1 / self.quadratic, has_conjugate=True)

    def spread(self, a):
        """See :meth:`MulticlassLoss.spread`: 1 / width for the classes that have a part in the maximum."""
        return np.where(a > 0, 1 / self.quadratic, 0.0)


@cache
def _kernels():
    """The compiled sweeps, loaded when they are first of use."""
    return kernel("sklosses.losses._multiclass_kernels")


# Arrays -------------------------------------------------------------------------------------------------------------


def less_target(a, y):
    """Make distributions a the gradients a - y, in place."""
    if y.ndim == 1:
        a[np.arange(len(a)), y] -= 1
    else:
        a -= y


def _class_numbers(y, n_classes, name):
    """Class numbers as int64."""
    codes = y.astype(np.int64) if y.dtype.kind != "f" or np.all(np.isfinite(y)) else np.full(len(y), -1)
    wrong = (codes != y) | (codes < 0) | (codes >= n_classes)
    if np.any(wrong):
        raise ValueError(f"{name} contains {y[wrong][0]!s}, which is no class number: there are 0 to {n_classes - 1}.")
    return codes


def _distributions(y, name):
    """Rows of probabilities as float64 that sum to 1 to rounding."""
    tol = SUM_TOL[np.dtype(np.float32)] if y.dtype == np.float32 else SUM_TOL[np.dtype(np.float64)]
    y = np.ascontiguousarray(y, dtype=np.float64)
    wrong = ~((y >= 0) & (y <= 1 + tol))
    if np.any(wrong):
        row, column = np.argwhere(wrong)[0]
        raise ValueError(f"{name} contains {y[row, column]!s}, which is no probability, in row {row}.")
    total = y.sum(axis=1)
    wrong = np.abs(total - 1) > tol
    if np.any(wrong):
        row = int(np.argmax(wrong))
        raise ValueError(f"Rows of {name} must sum to 1: row {row} sums to {total[row]:.10g}.")
    return y / total[:, np.newaxis]


def _returned(result, dtype, out):
    if out is None:
        return result.astype(dtype, copy=False)
    if not (isinstance(out, np.ndarray) and out.shape == result.shape and out.dtype == dtype and out.flags.writeable):
        found = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out must be a writeable ndarray of {dtype} and shape {result.shape}, got {found}.")
    out[...] = result
    return out

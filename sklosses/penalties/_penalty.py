"""The elastic net and its special cases."""

import numpy as np

from sklosses._parametrised import Parametrised

# parameter: its largest admissible value (infinity itself is not); the smallest is 0
HIGHEST = {"alpha": np.inf, "l1_ratio": 1.0}


class Penalty(Parametrised):
    r"""Penalty on a column of coefficients w: l1 ||w||_1 + l2 ||w||^2 / 2.

    The base of :class:`NoPenalty`, :class:`L2`, :class:`L1` and :class:`ElasticNet`, which say what l1 and l2 are. With
    strength alpha and share l1_ratio,

    .. math:: \alpha \, (\rho \, \lVert w \rVert_1 + \tfrac{1 - \rho}{2} \lVert w \rVert_2^2), \quad \rho = l1\_ratio

    so that l1 = alpha l1_ratio and l2 = alpha (1 - l1_ratio). The intercept is never penalised. Parameters may be
    vectors with one value for each of K columns; coefficients are then of shape (K, d), one row a column.

    Attributes
    ----------
    name : str
        The name under which :func:`get_penalty` and the estimators know the penalty.
    l1, l2 : ndarray of shape (K,), or (1,) if the parameters are scalars
        Factors of ||w||_1 and of ||w||^2 / 2, float64.
    n_columns : int
        The length of vector parameters, 1 if all are scalars.
    """

    name = ""
    parameters = ()

    def _set(self, **given):
        """Check and keep parameters as they were given; l1 and l2 follow from alpha and the share of l1."""
        checked = {name: _checked(type(self).__name__, name, value) for name, value in given.items()}
        lengths = {array.size for array in checked.values() if array.ndim}
        if len(lengths) > 1:
            raise ValueError(f"Parameters of {type(self).__name__} have {sorted(lengths)} values: vectors must have "
                             "one value a column.")
        self._given = given
        self.l1, self.l2 = (np.array(part, dtype=np.float64, ndmin=1) for part in self._factors(**checked))
        self.n_columns = self.l1.size

    @staticmethod
    def _factors(**checked):
        """(l1, l2) of the parameters."""
        raise NotImplementedError

    # What it is for -------------------------------------------------------------------------------------------------

    def value(self, coef):
        """The penalty of coefficients.

        Parameters
        ----------
        coef : array-like of shape (d,) or (K, d)
            Coefficients; row k of a two-dimensional array is column k of the model.

        Returns
        -------
        float or ndarray of shape (K,)
            float64, accumulated in float64.

        Raises
        ------
        ValueError
            If coef is not one- or two-dimensional, or its number of rows is not that of vector parameters.

        Examples
        --------
        >>> from sklosses.penalties import ElasticNet
        >>> ElasticNet(alpha=0.5, l1_ratio=0.5).value([3.0, -1.0])
        2.25
        """
        coef, l1, l2 = self._paired(coef)
        result = l1[:, 0] * np.abs(coef).sum(axis=-1) + 0.5 * l2[:, 0] * (coef * coef).sum(axis=-1)
        return result if coef.ndim == 2 else float(result[0])

    def prox(self, coef, step):
        """The proximal operator: argmin_w penalty(w) + ||w - coef||^2 / (2 step).

        That is sign(coef) max(abs(coef) - step l1, 0) / (1 + step l2), element by element.

        Parameters
        ----------
        coef : array-like of shape (d,) or (K, d)
            Where to stay close to.
        step : float > 0, or array-like of shape (K,)
            The step, or one for each column.

        Returns
        -------
        ndarray of coef's shape
            float32 if coef is, otherwise float64.

        Raises
        ------
        ValueError
            If a step is not a positive number, or shapes do not match.

        Examples
        --------
        >>> from sklosses.penalties import L1
        >>> L1(alpha=1.0).prox([3.0, -0.5], step=2.0)
        array([1., 0.])
        """
        given = np.asarray(coef)
        coef, l1, l2 = self._paired(given)
        step = _numbers("step", step)
        if not (np.all(step > 0) and np.all(np.isfinite(step))):
            raise ValueError(f"step={step.tolist()!r} must be positive and finite.")
        if step.ndim > 1 or (step.ndim == 1 and step.shape != coef.shape[:-1]):
            raise ValueError(f"step has shape {step.shape}, but there are {coef.shape[:-1]} columns.")
        step = step.reshape(-1, 1)
        shrunk = np.maximum(np.abs(coef) - step * l1, 0.0) / (1.0 + step * l2)
        signed = np.copysign(shrunk, coef) + 0.0        # no -0
        return signed.reshape(given.shape).astype(_result_type(given), copy=False)

    def subdifferential_distance(self, coef, gradient):
        """How far -gradient is from the penalty's subdifferential at coef, element by element.

        Where coef is not 0 that is abs(gradient + l2 coef + l1 sign(coef)), elsewhere max(abs(gradient) - l1, 0). It is
        0 throughout if and only if coef minimises f + penalty, for a convex f with this gradient.

        Parameters
        ----------
        coef : array-like of shape (d,) or (K, d)
            Coefficients.
        gradient : array-like of coef's shape
            Gradient of the rest of the objective.

        Returns
        -------
        ndarray of coef's shape
            float32 if coef is, otherwise float64.

        Raises
        ------
        ValueError
            If shapes do not match.

        Examples
        --------
        >>> from sklosses.penalties import L1
        >>> L1(alpha=1.0).subdifferential_distance([2.0, 0.0, 0.0], [-1.0, 0.5, 3.0])
        array([0., 0., 2.])
        """
        given = np.asarray(coef)
        coef, l1, l2 = self._paired(given)
        gradient = _numbers("gradient", gradient)
        if gradient.shape != given.shape:
            raise ValueError(f"gradient has shape {gradient.shape}, coef {given.shape}.")
        away = np.abs(gradient + l2 * coef + l1 * np.sign(coef))
        at_zero = np.maximum(np.abs(gradient) - l1, 0.0)
        distance = np.where(coef == 0, at_zero, away)
        return distance.reshape(given.shape).astype(_result_type(given), copy=False)

    def _paired(self, coef):
        """Coefficients as contiguous float64, and l1, l2 as columns that broadcast against them."""
        coef = _numbers("coef", coef)
        rows = coef.shape[0] if coef.ndim == 2 else 1
        if coef.ndim not in (1, 2) or self.n_columns not in (1, rows):
            expected = f"({self.n_columns}, d)" if self.n_columns > 1 else "(d,) or (K, d)"
            raise ValueError(f"coef has shape {coef.shape}, but {self!r} expects {expected}.")
        return coef, self.l1[:, None], self.l2[:, None]


class NoPenalty(Penalty):
    """No penalty: 0.

    Examples
    --------
    >>> from sklosses.penalties import NoPenalty
    >>> NoPenalty().value([3.0, -1.0])
    0.0
    """

    name = "none"

    def __init__(self):
        self._set()

    @staticmethod
    def _factors():
        return 0.0, 0.0


class L2(Penalty):
    """Ridge (Tikhonov) penalty: alpha ||w||^2 / 2.

    Parameters
    ----------
    alpha : float >= 0 or vector, default=1e-4
        Strength.

    Raises
    ------
    ValueError
        If alpha is negative or not a finite number.

    Examples
    --------
    >>> from sklosses.penalties import L2
    >>> L2(alpha=0.5).value([3.0, -1.0])
    2.5
    """

    name = "l2"
    parameters = ("alpha",)

    def __init__(self, alpha=1e-4):
        self._set(alpha=alpha)

    @staticmethod
    def _factors(alpha):
        return np.zeros_like(alpha), alpha


class L1(Penalty):
    """Lasso penalty: alpha ||w||_1, under which some coefficients are exactly 0.

    R. Tibshirani, Journal of the Royal Statistical Society B 58(1), 1996.

    Parameters
    ----------
    alpha : float >= 0 or vector, default=1e-4
        Strength.

    Raises
    ------
    ValueError
        If alpha is negative or not a finite number.

    Examples
    --------
    >>> from sklosses.penalties import L1
    >>> L1(alpha=0.5).value([3.0, -1.0])
    2.0
    """

    name = "l1"
    parameters = ("alpha",)

    def __init__(self, alpha=1e-4):
        self._set(alpha=alpha)

    @staticmethod
    def _factors(alpha):
        return alpha, np.zeros_like(alpha)


class ElasticNet(Penalty):
    """Elastic net: alpha (l1_ratio ||w||_1 + (1 - l1_ratio) ||w||^2 / 2).

    H. Zou and T. Hastie, Journal of the Royal Statistical Society B 67(2), 2005, with the factors of scikit-learn.

    Parameters
    ----------
    alpha : float >= 0 or vector, default=1e-4
        Strength.
    l1_ratio : float in [0, 1] or vector, default=0.15
        Share of l1: 0 is :class:`L2`, 1 is :class:`L1`.

    Raises
    ------
    ValueError
        If alpha is negative or not a finite number, l1_ratio is outside [0, 1], or two vectors differ in length.

    Examples
    --------
    >>> from sklosses.penalties import ElasticNet
    >>> ElasticNet(alpha=0.5, l1_ratio=0.5).value([3.0, -1.0])
    2.25
    """

    name = "elasticnet"
    parameters = ("alpha", "l1_ratio")

    def __init__(self, alpha=1e-4, l1_ratio=0.15):
        self._set(alpha=alpha, l1_ratio=l1_ratio)

    @staticmethod
    def _factors(alpha, l1_ratio):
        return alpha * l1_ratio, alpha * (1.0 - l1_ratio)


def _numbers(name, array):
    """An array of real numbers as contiguous float64."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}.")
    return np.asarray(array, dtype=np.float64, order="C")


def _result_type(coef):
    return np.float32 if coef.dtype == np.float32 else np.float64


def _checked(cls, name, value):
    """A parameter as a float64 array of no or one dimension."""
    if type(value) in (float, int) and 0 <= value <= min(HIGHEST[name], 1e300):
        return np.array(value, dtype=np.float64)
    numbers = np.asarray(value)
    if numbers.ndim > 1 or numbers.size == 0 or numbers.dtype.kind not in "fiu":
        raise ValueError(f"{name}={value!r} of {cls} must be a number, or a vector with one number a column.")
    numbers = numbers.astype(np.float64)
    good = (numbers >= 0) & (numbers <= HIGHEST[name]) & np.isfinite(numbers)
    if not np.all(good):
        expected = f"in [0, {HIGHEST[name]:g}]" if np.isfinite(HIGHEST[name]) else "a finite number >= 0"
        first = numbers.ravel()[np.argmin(np.ravel(good))]
        raise ValueError(f"{name}={first:g} of {cls} must be {expected}.")
    return numbers

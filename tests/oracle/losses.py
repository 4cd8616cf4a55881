"""The losses once more, in mpmath, written from their definitions: what the tests hold the kernels against.

A reference is three formulas of the loss's variable (r = p - y of a residual loss, z = y p of a margin loss, else y and
p) and, where a formula adds terms of opposite sign or raises to a power, the size of the largest term, in whose units
in the last place (ulp) an error is counted. A power exp(c) counts |c| times: its exponent is rounded before it is
raised.
Smoothed losses are written as the supremum that defines them, with the maximiser as their derivative.
"""

from collections import namedtuple

from mpmath import cosh, exp, log, mp, mpf, sqrt, tanh

Reference = namedtuple("Reference", "kind value gradient hessian sizes", defaults=(None,))


def sign(x):
    return mpf(int(x > 0) - int(x < 0))


def positive_part(x):
    return max(x, mpf(0))


def sigmoid(x):
    return 1 / (1 + exp(-x))


# Nesterov's smoothing: sup over a in [low, high] of a t - epsilon |a| - mu a^2 / 2 ------------------------------------


def _smoothing(t, mu, low, high, epsilon=0):
    """The supremum, its maximiser, and the maximiser's derivative with respect to t."""
    inside = [a for a in ((t - epsilon) / mu, (t + epsilon) / mu) if low <= a <= high]
    inside = [a for a in inside if a == 0 or epsilon == 0 or sign(a) == sign(t)]
    candidates = [low, high, mpf(0), *inside]
    best = max(candidates, key=lambda a: a * t - epsilon * abs(a) - mu * a * a / 2)
    slope = 1 / mu if low < best < high and (best != 0 or epsilon == 0) else mpf(0)
    return best * t - epsilon * abs(best) - mu * best * best / 2, best, slope


def _smoothed(kind, supremum):
    return Reference(
        kind,
        lambda t, **parameters: supremum(t, **parameters)[0],
        lambda t, **parameters: supremum(t, **parameters)[1],
        lambda t, **parameters: supremum(t, **parameters)[2],
    )


def _smoothed_margin(t, mu, shift):
    """Of (shift - z)+, as a function of z: the derivative changes sign."""
    value, best, slope = _smoothing(shift - t, mu, mpf(0), mpf(1))
    return value, -best, slope


# Tweedie --------------------------------------------------------------------------------------------------------------


def _power_term(c, p):
    """exp(c p) / c, and its limit without the constant."""
    return exp(c * p) / c if c != 0 else p


def _tweedie_sizes(y, p, power):
    a, b = 1 - power, 2 - power
    first, second = abs(y) * exp(a * p) * (1 + abs(a * p)), exp(b * p) * (1 + abs(b * p))
    value = max(first / abs(a) if a else abs(y * p), second / abs(b) if b else abs(p))
    return value, max(first, second), max(abs(a) * first, abs(b) * second)


# Focal: q = sigmoid(z), m = 1 - q, z = (2 y - 1) p --------------------------------------------------------------------


def _focal(y, p):
    z = (2 * y - 1) * p
    q = sigmoid(z)
    return 2 * y - 1, q, 1 - q, -log(q)


def _focal_value(y, p, gamma):
    _, _, m, loss = _focal(y, p)
    return m**gamma * loss


def _focal_gradient(y, p, gamma):
    # d/dz of m^gamma l with m' = -q m, l' = -m
    s, q, m, loss = _focal(y, p)
    return s * (-gamma * q * m**gamma * loss - m ** (gamma + 1))


def _focal_hessian(y, p, gamma):
    _, q, m, loss = _focal(y, p)
    # the derivative of each of the gradient's two terms
    first = gamma * (-q * m * m**gamma * loss + gamma * q * q * m**gamma * loss + q * m * m**gamma)
    return first + (gamma + 1) * q * m ** (gamma + 1)


def _focal_sizes(y, p, gamma):
    _, q, m, loss = _focal(y, p)
    raised = m**gamma * (1 + gamma * abs(log(m) if m > 0 else mpf(0)))
    hessian = raised * q * max(gamma * gamma * loss * q, gamma * loss * m, (2 * gamma + 1) * m)
    return raised * loss, raised * max(gamma * q * loss, m), hessian


# All of them ----------------------------------------------------------------------------------------------------------

REFERENCES = {
    "squared_error": Reference("residual", lambda r: r * r / 2, lambda r: r, lambda r: mpf(1)),
    "absolute_error": Reference("residual", abs, sign, lambda r: mpf(0)),
    "huber": Reference(
        "residual",
        lambda r, epsilon: r * r / 2 if abs(r) <= epsilon else epsilon * abs(r) - epsilon**2 / 2,
        lambda r, epsilon: r if abs(r) <= epsilon else epsilon * sign(r),
        lambda r, epsilon: mpf(abs(r) <= epsilon),
    ),
    "pseudo_huber": Reference(
        "residual",
        lambda r, epsilon: epsilon**2 * (sqrt(1 + (r / epsilon) ** 2) - 1),
        lambda r, epsilon: r / sqrt(1 + (r / epsilon) ** 2),
        lambda r, epsilon: (1 + (r / epsilon) ** 2) ** mpf(-1.5),
    ),
    "log_cosh": Reference("residual", lambda r: log(cosh(r)), tanh, lambda r: 1 / cosh(r) ** 2),
    "quantile": Reference(
        "residual",
        lambda r, quantile: quantile * positive_part(-r) + (1 - quantile) * positive_part(r),
        lambda r, quantile: 1 - quantile if r > 0 else -quantile,
        lambda r, quantile: mpf(0),
    ),
    "expectile": Reference(
        "residual",
        lambda r, expectile: abs(expectile - (r > 0)) * r * r,
        lambda r, expectile: 2 * abs(expectile - (r > 0)) * r,
        lambda r, expectile: 2 * abs(expectile - (r > 0)),
    ),
    "epsilon_insensitive": Reference(
        "residual",
        lambda r, epsilon: positive_part(abs(r) - epsilon),
        lambda r, epsilon: sign(r) if abs(r) > epsilon else mpf(0),
        lambda r, epsilon: mpf(0),
    ),
    "squared_epsilon_insensitive": Reference(
        "residual",
        lambda r, epsilon: positive_part(abs(r) - epsilon) ** 2,
        lambda r, epsilon: 2 * sign(r) * positive_part(abs(r) - epsilon),
        lambda r, epsilon: mpf(2 if abs(r) >= epsilon else 0),
    ),
    "cauchy": Reference(
        "residual",
        lambda r, scale: scale**2 / 2 * log(1 + (r / scale) ** 2),
        lambda r, scale: r / (1 + (r / scale) ** 2),
        lambda r, scale: (1 - (r / scale) ** 2) / (1 + (r / scale) ** 2) ** 2,
        lambda r, scale: (None, None, max(1, (r / scale) ** 2) / (1 + (r / scale) ** 2) ** 2),
    ),
    "smoothed_absolute_error": _smoothed("residual", lambda r, width: _smoothing(r, width, mpf(-1), mpf(1))),
    "smoothed_quantile": _smoothed(
        "residual", lambda r, quantile, width: _smoothing(r, width, -quantile, 1 - quantile)
    ),
    "smoothed_epsilon_insensitive": _smoothed(
        "residual", lambda r, epsilon, width: _smoothing(r, width, mpf(-1), mpf(1), epsilon)
    ),
    "squared_log_error": Reference(
        "other",
        lambda y, p: (p - log(1 + y)) ** 2 / 2,
        lambda y, p: p - log(1 + y),
        lambda y, p: mpf(1),
        lambda y, p: (
            abs(p - log(1 + y)) * max(abs(p), abs(log(1 + y))),
            max(abs(p), abs(log(1 + y))),
            None,
        ),
    ),
    "poisson": Reference(
        "other",
        lambda y, p: exp(p) - y * p,
        lambda y, p: exp(p) - y,
        lambda y, p: exp(p),
        lambda y, p: (max(exp(p), abs(y * p)), max(exp(p), y), None),
    ),
    "gamma": Reference(
        "other",
        lambda y, p: p + y * exp(-p),
        lambda y, p: 1 - y * exp(-p),
        lambda y, p: y * exp(-p),
        lambda y, p: (max(abs(p), y * exp(-p)), max(1, y * exp(-p)), None),
    ),
    "tweedie": Reference(
        "other",
        lambda y, p, power: _power_term(2 - power, p) - y * _power_term(1 - power, p),
        lambda y, p, power: exp((2 - power) * p) - y * exp((1 - power) * p),
        lambda y, p, power: (2 - power) * exp((2 - power) * p) - (1 - power) * y * exp((1 - power) * p),
        _tweedie_sizes,
    ),
    "log_loss": Reference(
        "other",
        lambda y, p, pos_weight: pos_weight * y * log(1 + exp(-p)) + (1 - y) * log(1 + exp(p)),
        lambda y, p, pos_weight: (1 - y) * sigmoid(p) - pos_weight * y * sigmoid(-p),
        lambda y, p, pos_weight: (pos_weight * y + 1 - y) * sigmoid(p) * sigmoid(-p),
        lambda y, p, pos_weight: (None, max((1 - y) * sigmoid(p), pos_weight * y * sigmoid(-p)), None),
    ),
    "focal": Reference("other", _focal_value, _focal_gradient, _focal_hessian, _focal_sizes),
    "hinge": Reference(
        "margin", lambda z: positive_part(1 - z), lambda z: mpf(-1 if z <= 1 else 0), lambda z: mpf(0)
    ),
    "squared_hinge": Reference(
        "margin",
        lambda z: positive_part(1 - z) ** 2,
        lambda z: -2 * positive_part(1 - z),
        lambda z: mpf(2 if z < 1 else 0),
    ),
    "smoothed_hinge": _smoothed("margin", lambda z, width: _smoothed_margin(z, width, mpf(1))),
    "modified_huber": Reference(
        "margin",
        lambda z: positive_part(1 - z) ** 2 if z >= -1 else -4 * z,
        lambda z: -2 * positive_part(1 - z) if z >= -1 else mpf(-4),
        lambda z: mpf(2 if -1 <= z < 1 else 0),
    ),
    "perceptron": Reference(
        "margin", lambda z: positive_part(-z), lambda z: mpf(-1 if z <= 0 else 0), lambda z: mpf(0)
    ),
    "smoothed_perceptron": _smoothed("margin", lambda z, width: _smoothed_margin(z, width, mpf(0))),
    "exponential": Reference("margin", lambda z: exp(-z), lambda z: -exp(-z), lambda z: exp(-z)),
}


# What tests call ------------------------------------------------------------------------------------------------------


def _digits(numbers):
    """Enough for the smallest number, squared, beside 1, and for what 1 + exp(-|p|) hides down to the least float64."""
    smallest = min((abs(x) for x in numbers if x), default=mpf(1))
    largest = max((abs(x) for x in numbers), default=mpf(1))
    return 60 + int(max(0, -2 * mp.log10(smallest))) + int(mpf(0.9) * min(largest, 800))


def _variable(kind, y, p):
    """The loss's variable, rounded as in float64: p - y is one correctly rounded operation, y p exact for y = +-1."""
    if kind == "residual":
        return (mpf(float(p) - float(y)),)
    y, p = mpf(float(y)), mpf(float(p))
    return (y * p,) if kind == "margin" else (y, p)


def exact(name, parameters, y, p):
    """[(number, size of its largest term)] for value, gradient and hessian of a loss at float64 arguments."""
    reference = REFERENCES[name]
    parameters = {key: mpf(float(value)) for key, value in parameters.items()}
    variable = _variable(reference.kind, y, p)
    with mp.workdps(_digits([*variable, *parameters.values()])):
        numbers = [formula(*variable, **parameters) for formula in reference[1:4]]
        if reference.kind == "margin":
            numbers[1] *= mpf(float(y))
        sizes = reference.sizes(*variable, **parameters) if reference.sizes else (None,) * 3
        return [(+number, abs(number) if size is None else +size) for number, size in zip(numbers, sizes, strict=True)]


def conjugate(name, parameters, y, u):
    """sup over p of u p - value(y, p), by bisection on the monotone gradient: convex losses."""
    far = mpf(10) ** 7
    y, u = float(y), float(u)

    def dual(p):
        return mpf(u) * p - plain(name, parameters, y, p)[0]

    with mp.workdps(45):
        low, high = -far, far
        for end in (low, high):
            uphill = (dual(2 * end) - dual(end)) / far
            if uphill > mpf(10) ** -12:
                return mpf("inf")
        for _ in range(80):
            middle = (low + high) / 2
            if plain(name, parameters, y, middle)[1] < mpf(u):
                low = middle
            else:
                high = middle
        return max(dual(low), dual(high), dual(2 * far), dual(-2 * far))


def plain(name, parameters, y, p):
    """Value and gradient at real numbers, unrounded, at the precision in force."""
    reference = REFERENCES[name]
    parameters = {key: mpf(float(value)) for key, value in parameters.items()}
    if reference.kind == "other":
        return [formula(mpf(y), p, **parameters) for formula in reference[1:3]]
    slope = mpf(y) if reference.kind == "margin" else mpf(1)
    t = p * slope if reference.kind == "margin" else p - mpf(y)
    return [reference.value(t, **parameters), slope * reference.gradient(t, **parameters)]

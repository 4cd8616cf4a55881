"""L-BFGS on a function and a multiple of the absolute values of its arguments."""

import numpy as np
from scipy.optimize import minimize


def lbfgs(function, start, l1, max_iter, watch):
    """Minimise function(theta) + sum(l1 * abs(theta)).

    With l1, theta is the difference of two vectors that are not negative: there the absolute values are linear, and
    L-BFGS-B finds exact zeros.

    Parameters
    ----------
    function : callable
        theta -> (value, gradient).
    start : ndarray of shape (n,)
    l1 : ndarray of shape (n,)
    max_iter : int
        Iterations.
    watch : callable
        (theta, value) after each iteration; True to stop.

    Returns
    -------
    theta : ndarray of shape (n,)
    n_iter : int
    """
    split = bool(np.any(l1))

    def joined(point):
        return point[: len(start)] - point[len(start) :] if split else point

    def value_and_gradient(point):
        value, gradient = function(joined(point))
        if split:
            value = value + np.dot(np.tile(l1, 2), point)
            gradient = np.concatenate([gradient + l1, l1 - gradient])
        return value, gradient

    def callback(intermediate_result):
        if watch(joined(intermediate_result.x).copy(), float(intermediate_result.fun)):
            raise StopIteration

    point = np.concatenate([np.maximum(start, 0), np.maximum(-start, 0)]) if split else start
    bounds = [(0, None)] * len(point) if split else None
    options = {"maxiter": max_iter, "maxfun": 20 * max_iter + 20, "ftol": 0.0, "gtol": 1e-10}
    result = minimize(value_and_gradient, point, jac=True, method="L-BFGS-B", bounds=bounds, callback=callback,
                      options=options)
    return joined(result.x).copy(), int(result.nit)

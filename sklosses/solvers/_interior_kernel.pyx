"""The sweeps of the interior point method: over the hinges, once for each thing that is asked of all of them.

A point has for each hinge alpha and tau = 1 - alpha, its slope and what is left of it, and xi and zeta, how far a.z is
above or below the kink. Steps are such that xi tau becomes `above` and zeta alpha `below`.
"""


cdef struct Ends:
    double primal           # the inverses of how far variables can go and stay positive
    double dual


cdef inline double larger(double a, double b) noexcept nogil:
    return a if a > b else b


def look(const double[:, ::1] point, const double[::1] omega, const double[::1] rho, double[::1] curvature,
         double[:, ::1] out):
    """The duality gap; the hinges' curvatures, and next to each other their slopes and curvatures times rho.

    Parameters
    ----------
    point : ndarray of shape (4, m)
        alpha, tau, xi, zeta.
    omega, rho, curvature : ndarray of shape (m,)
    out : ndarray of shape (m, 2)
    """
    cdef Py_ssize_t m = omega.shape[0], i
    cdef double gap = 0, alpha, tau, xi, zeta
    with nogil:
        for i in range(m):
            alpha, tau, xi, zeta = point[0, i], point[1, i], point[2, i], point[3, i]
            gap += omega[i] * (xi * tau + zeta * alpha)
            curvature[i] = omega[i] * alpha * tau / (xi * alpha + zeta * tau)
            out[i, 0] = omega[i] * alpha
            out[i, 1] = curvature[i] * rho[i]
    return gap


def predict(const double[:, ::1] point, const double[::1] omega, const double[::1] slopes, double[::1] step):
    """The step of alpha towards the minimum itself, and the duality gap where it has to end.

    Parameters
    ----------
    point : ndarray of shape (4, m)
    omega : ndarray of shape (m,)
    slopes : ndarray of shape (m,)
        Steps of omega alpha.
    step : ndarray of shape (m,)
        Of alpha; overwritten.
    """
    cdef Py_ssize_t m = omega.shape[0], i
    cdef double gap = 0, d, primal, dual
    cdef Ends ends = Ends(1.0, 1.0)
    with nogil:
        for i in range(m):
            d = slopes[i] / omega[i]
            step[i] = d
            ends.primal = larger(ends.primal, larger(1 - d / point[1, i], 1 + d / point[0, i]))
            ends.dual = larger(ends.dual, larger(d / point[1, i], -d / point[0, i]))
        primal, dual = 1 / ends.primal, 1 / ends.dual
        for i in range(m):
            d = step[i]
            gap += omega[i] * (
                point[2, i] * (1 + primal * (d / point[1, i] - 1)) * (point[1, i] - dual * d)
                + point[3, i] * (1 - primal * (d / point[0, i] + 1)) * (point[0, i] + dual * d))
    return gap


def aim(const double[:, ::1] point, const double[::1] step, const double[::1] mu, double[:, ::1] goals,
        double[::1] change):
    """What xi tau and zeta alpha are to become, with the second-order correction of a predicted step.

    Parameters
    ----------
    point : ndarray of shape (4, m)
    step, mu : ndarray of shape (m,)
        The predicted step of alpha, and the products to aim at.
    goals : ndarray of shape (2, m)
        above, below; overwritten.
    change : ndarray of shape (m,)
        What they add to rho; overwritten.
    """
    cdef Py_ssize_t m = step.shape[0], i
    cdef double d
    with nogil:
        for i in range(m):
            d = step[i]
            goals[0, i] = mu[i] + point[2, i] * (d / point[1, i] - 1) * d
            goals[1, i] = mu[i] + point[3, i] * (d / point[0, i] + 1) * d
            change[i] = goals[1, i] / point[0, i] - goals[0, i] / point[1, i]


def correct(const double[:, ::1] point, const double[::1] omega, const double[::1] slopes,
            const double[:, ::1] goals, double[:, ::1] steps):
    """The corrected steps of alpha, xi and zeta; the inverses of how far primal and dual variables can go along them.

    Parameters
    ----------
    point : ndarray of shape (4, m)
    omega : ndarray of shape (m,)
    slopes : ndarray of shape (m,)
        Steps of omega alpha.
    goals : ndarray of shape (2, m)
    steps : ndarray of shape (3, m)
        Overwritten.
    """
    cdef Py_ssize_t m = omega.shape[0], i
    cdef double d
    cdef Ends ends = Ends(0.0, 0.0)
    with nogil:
        for i in range(m):
            d = slopes[i] / omega[i]
            steps[0, i] = d
            steps[1, i] = (goals[0, i] + point[2, i] * d) / point[1, i] - point[2, i]
            steps[2, i] = (goals[1, i] - point[3, i] * d) / point[0, i] - point[3, i]
            ends.primal = larger(ends.primal, larger(-steps[1, i] / point[2, i], -steps[2, i] / point[3, i]))
            ends.dual = larger(ends.dual, larger(d / point[1, i], -d / point[0, i]))
    return ends.primal, ends.dual


def move(double[:, ::1] point, const double[:, ::1] steps, double primal, double dual):
    """Go so far along the steps.

    Parameters
    ----------
    point : ndarray of shape (4, m)
        Overwritten.
    steps : ndarray of shape (3, m)
    primal, dual : float
    """
    cdef Py_ssize_t m = point.shape[1], i
    with nogil:
        for i in range(m):
            point[0, i] += dual * steps[0, i]
            point[1, i] -= dual * steps[0, i]
            point[2, i] += primal * steps[1, i]
            point[3, i] += primal * steps[2, i]

"""The sweeps of the interior point method: over the hinges, once for each thing that is asked of all of them.

A point has for each hinge alpha and tau = 1 - alpha, its slope and what is left of it, and xi and zeta, how far a.z is
above or below the kink. Steps are such that xi tau becomes `above` and zeta alpha `below`. The loops stand in
``_hinges.h``.
"""

import numpy as np

cdef extern from "_hinges.h" nogil:
    ctypedef struct Hinges "sk_hinges":
        Py_ssize_t n
        double* alpha
        double* tau
        double* xi
        double* zeta
        const double* omega
    ctypedef struct Goals "sk_goals":
        double* above
        double* below
    ctypedef struct Steps "sk_steps":
        double* alpha
        double* xi
        double* zeta
    ctypedef struct Ends "sk_ends":
        double primal           # the inverses of how far variables can go and stay positive
        double dual
    double sk_look(const Hinges* hinges, const double* rho, double* curvature, double* pair) noexcept
    double sk_predict(const Hinges* hinges, const double* curvature, const double* moved, const double* rho,
                      double* step) noexcept
    void sk_aim(const Hinges* hinges, const double* step, double mu, const double* share, const Goals* goals,
                double* change) noexcept
    void sk_recentre(const Hinges* hinges, const Steps* steps, Ends lengths, double mu, const double* share,
                     const Goals* goals, double* change) noexcept
    Ends sk_correct(const Hinges* hinges, const double* curvature, const double* moved, const double* rho,
                    const double* change, const Goals* goals, const Steps* steps) noexcept
    void sk_move(const Hinges* hinges, const Steps* steps, double primal, double dual) noexcept


cdef inline Steps parts(double[:, ::1] steps) noexcept:
    return Steps(&steps[0, 0], &steps[1, 0], &steps[2, 0])


cdef class Sweeps:
    """The hinges of a point, and room for what is found of them.

    Parameters
    ----------
    point : ndarray of shape (4, m)
        alpha, tau, xi, zeta: `move` overwrites them.
    omega : ndarray of shape (m,)
    share : ndarray of shape (m,)
        Of complementarity: products are to be these times the same number.

    Attributes
    ----------
    curvature : ndarray of shape (m,)
    pair : ndarray of shape (m, 2)
        Next to each other slopes and curvatures times rho.
    change : ndarray of shape (m,)
        What goals add to rho.
    """

    cdef Hinges hinges
    cdef Goals goals
    cdef object _memory
    cdef const double[::1] _share
    cdef double[::1] _curvature
    cdef double[:, ::1] _pair
    cdef double[::1] _step
    cdef double[::1] _change
    cdef readonly object curvature, pair, change

    def __init__(self, double[:, ::1] point, const double[::1] omega, const double[::1] share):
        cdef Py_ssize_t m = omega.shape[0]
        cdef double[:, ::1] goals = np.empty((2, m))
        self.curvature, self.pair, self.change, self._step = np.empty(m), np.empty((m, 2)), np.empty(m), np.empty(m)
        self._curvature, self._pair, self._change = self.curvature, self.pair, self.change
        self._share, self._memory = share, (point, omega, goals)
        self.goals = Goals(&goals[0, 0], &goals[1, 0])
        self.hinges = Hinges(m, &point[0, 0], &point[1, 0], &point[2, 0], &point[3, 0], &omega[0])

    def look(self, const double[::1] rho):
        """The duality gap; sets `curvature` and `pair`."""
        cdef double gap
        with nogil:
            gap = sk_look(&self.hinges, &rho[0], &self._curvature[0], &self._pair[0, 0])
        return gap

    def predict(self, const double[::1] moved, const double[::1] rho):
        """The duality gap where the step towards the minimum itself has to end, which adds `moved` to rho."""
        cdef double gap
        with nogil:
            gap = sk_predict(&self.hinges, &self._curvature[0], &moved[0], &rho[0], &self._step[0])
        return gap

    def aim(self, double mu, bint corrected):
        """Set goals, with the second-order correction of the predicted step or without; sets `change`.

        Parameters
        ----------
        mu : float
            The products to aim at, by their share.
        corrected : bool
        """
        if not corrected:
            self._step[:] = 0
        with nogil:
            sk_aim(&self.hinges, &self._step[0], mu, &self._share[0], &self.goals, &self._change[0])

    def recentre(self, double[:, ::1] steps, (double, double) lengths, double mu):
        """Change goals where a longer step than can be made would leave products far from even; sets `change`.

        Parameters
        ----------
        steps : ndarray of shape (3, m)
        lengths : tuple of two floats
            How far primal and dual variables should be able to go.
        mu : float
            What the products are to be, by their share.
        """
        cdef Steps to = parts(steps)
        cdef Ends ends = Ends(lengths[0], lengths[1])
        with nogil:
            sk_recentre(&self.hinges, &to, ends, mu, &self._share[0], &self.goals, &self._change[0])

    def correct(self, const double[::1] moved, const double[::1] rho):
        """Steps of alpha, xi and zeta to the goals, and the inverses of how far variables can go along them.

        Parameters
        ----------
        moved, rho : ndarray of shape (m,)
            What the step adds to rho, and rho.

        Returns
        -------
        steps : ndarray of shape (3, m)
        primal, dual : float
        """
        cdef double[:, ::1] steps = np.empty((3, self.hinges.n))
        cdef Steps to = parts(steps)
        cdef Ends ends
        with nogil:
            ends = sk_correct(&self.hinges, &self._curvature[0], &moved[0], &rho[0], &self._change[0], &self.goals,
                              &to)
        return np.asarray(steps), ends.primal, ends.dual

    def move(self, double[:, ::1] steps, double primal, double dual):
        """Go so far along the steps."""
        cdef Steps to = parts(steps)
        with nogil:
            sk_move(&self.hinges, &to, primal, dual)

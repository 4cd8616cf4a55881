"""The quadratic model of an objective: a matrix, minimised in any scale of its columns, kept up to date by BFGS."""

import numpy as np
from scipy.linalg import eigh, qr
from scipy.linalg.lapack import dpotrf, dpotrs

from sklosses._isa import kernel

# Eigenvalues of the scaled matrix below this times the largest are rounding: there the objective is flat.
FLAT = 1e-13
# With an l1 penalty the matrix, its diagonal scaled to 1, is regular by this much: where features depend on each other
# a step goes down the penalty's own slope until a sign changes, and another step takes up what is left.
REGULAR = 1e-12
# What is flat to rounding may have this much curvature, and does not have less that matters.
LEAST = 1e-16
# Systems of up to this size are refined: it takes microseconds.
REFINED = 64
# Rounds of coordinate descent and Newton on the support, at least and at most: in between so many entries of the matrix
# in all. And sweeps a round.
ROUNDS, ENTRIES, SWEEPS = (30, 300), 3e6, 20


class Curvature:
    """A symmetric positive semidefinite matrix M that models the objective's second derivative.

    Its diagonal is scaled to 1 first, which makes the scales of features harmless. Where M is singular its
    pseudo-inverse serves: directions in which the objective is flat, as between copies of a column, are left alone.

    Parameters
    ----------
    matrix : ndarray of shape (D, D)
        Coordinates with a diagonal of 0 are left alone likewise.
    """

    def __init__(self, matrix):
        self.matrix = matrix
        self._damping = 0.0
        self._solve = None

    def damp(self, damping):
        """Add to the diagonal what keeps steps short where the model misleads, in place of what was added before."""
        if np.any(damping != self._damping):
            self._damping, self._solve = damping, None

    def _damped(self):
        if not np.any(self._damping):
            return self.matrix
        return self.matrix + np.diag(np.broadcast_to(self._damping, len(self.matrix)))

    def raise_diagonal(self, diagonal):
        """Where the diagonal is known to be larger, of the first coordinates, let it be."""
        at = np.arange(len(diagonal))
        self.matrix = self.matrix.copy()
        self.matrix[at, at] = np.maximum(self.matrix[at, at], diagonal)
        self._solve = None

    def update(self, step, change):
        """Learn that the gradient changed so much over a step (BFGS); nothing where the two contradict convexity."""
        product = step @ change
        moved = self.matrix @ step
        if product > 1e-10 * np.sqrt((step @ step) * (change @ change)):
            self.matrix = self.matrix + np.outer(change, change / product) - np.outer(moved, moved / (step @ moved))
            self._solve = None

    def explains(self, gradient):
        """Whether a step can take the gradient to 0: not where M is flat in a direction and the gradient is not."""
        if self._solve is None:
            self._solve = _Solver(self.matrix)
        if self._solve.regular:
            return True
        rest = gradient - self.matrix @ self._solve(gradient)
        diagonal = np.diag(self.matrix)
        scale = np.where(diagonal > 0, diagonal, diagonal.max(initial=0.0) or 1.0) ** -0.5
        return np.abs(rest * scale).max(initial=0.0) <= 1e-6 * np.abs(gradient * scale).max(initial=0.0)

    def hidden(self, gradient, step, l1, rounding=0.0):
        """The squared decrement of what a step leaves alone, because the matrix is flat there to rounding.

        Where features depend on each other but for their last digits, as float32 copies in another scale, the
        objective may still fall: by as much as if M had the least curvature there that rounding hides.

        Parameters
        ----------
        gradient, step : ndarray of shape (D,)
        l1 : float
        rounding : ndarray of shape (D,) or float, default=0.0
            How wrong each slope of the gradient may be.

        Returns
        -------
        float
        """
        if l1 == 0:
            return self._solve.hidden(gradient, rounding)
        held = (REGULAR * np.diag(self.matrix) * step) @ step
        return REGULAR / LEAST * max(held - rounding @ np.abs(step) if np.any(rounding) else held, 0.0)

    def step(self, gradient, coef, l1):
        """The step s that minimises g.s + s'Ms / 2 + l1 ||coef + s||_1; coef lacks the intercepts' last places."""
        if l1 == 0:
            if self._solve is None:
                self._solve = _Solver(self._damped())
            return -self._solve(gradient)
        strengths = np.zeros(len(gradient))
        strengths[: len(coef)] = l1
        return self._sparse_step(gradient, np.append(coef, np.zeros(len(gradient) - len(coef))), strengths)

    def _sparse_step(self, gradient, start, strengths):
        """Coordinate descent finds the support and its signs, a Newton step on them the rest; until both agree.

        Where a sign would change on the way, that coefficient leaves the support, and the Newton step is made anew:
        coordinate descent only has its turn when the support's own minimum is found. It would bring back what has left,
        for ever where there are more features in the support than rows that bend.
        """
        matrix = self._damped()
        matrix = matrix + np.diag(REGULAR * np.diag(matrix))
        here, penalised, l1 = start.copy(), strengths > 0, strengths.max()
        # Features that move nothing have a price all the same.
        here[(np.diag(matrix) == 0) & (np.abs(gradient) <= strengths)] = 0.0
        descend = kernel("sklosses.solvers._coordinate").descend
        turned = ()
        for _ in range(int(np.clip(ENTRIES / matrix.size, *ROUNDS))):
            if not len(turned) and not descend(matrix, gradient, start, here, strengths, SWEEPS):
                break
            signs = np.sign(here) * penalised
            free = np.flatnonzero((here != 0) | (strengths == 0))
            rest = gradient + matrix @ (here - start) + strengths * signs
            newton = here.copy()
            newton[free] -= _Solver(matrix[np.ix_(free, free)])(rest[free])
            turned = np.flatnonzero(newton * signs < 0)
            if len(turned):         # a sign would change: as far as the first that does, which is then 0
                shares = here[turned] / (here[turned] - newton[turned])
                here = here + shares.min() * (newton - here)
                here[turned[shares <= shares.min()]] = 0.0
                continue
            slopes = gradient + matrix @ (newton - start)
            outside = np.abs(slopes[here == 0]) - strengths[here == 0]
            here = newton
            if np.all(outside <= 1e-12 * l1):
                break
        return here - start


class _Solver:
    """A function that solves with a matrix; `regular` if that has no flat direction."""

    def __init__(self, matrix):
        diagonal = np.einsum("ii->i", matrix)
        self._used, self.regular = None, bool(diagonal.min(initial=1.0) > 0)
        if not self.regular:
            self._used = np.flatnonzero(diagonal > 0)
            matrix, diagonal = matrix[np.ix_(self._used, self._used)], diagonal[self._used]
        self._scale = 1 / np.sqrt(diagonal)
        scaled = matrix * self._scale
        scaled *= self._scale[:, np.newaxis]
        self._solve, self._flat = _factorised(scaled), None
        if self._solve is None:
            (self._solve, *self._flat), self.regular = _pseudo_inverse(scaled), False

    def hidden(self, vector, rounding):
        """v'M^-1 v of the part of a vector that the pseudo-inverse leaves alone, M being no less than LEAST there."""
        if self._flat is None:
            return 0.0
        values, vectors = self._flat
        used = slice(None) if self._used is None else self._used
        rounding = np.broadcast_to(rounding, len(vector))[used] * self._scale
        part = np.maximum(np.abs(vectors.T @ (vector[used] * self._scale)) - np.abs(vectors.T) @ rounding, 0.0)
        return float(part**2 @ (1 / np.maximum(values, LEAST)))

    def __call__(self, vector):
        if self._used is None:
            return self._solve(vector * self._scale) * self._scale
        out = np.zeros_like(vector)
        out[self._used] = self._solve(vector[self._used] * self._scale) * self._scale
        return out


def _factorised(scaled):
    """A function that solves by Cholesky's factors; None where the matrix is singular to rounding."""
    if not len(scaled):
        return np.copy
    factor, failed = dpotrf(scaled, lower=True, clean=False)
    # A pivot is what is left of a diagonal of 1.
    if failed or np.einsum("ii->i", factor).min(initial=1.0) ** 2 <= FLAT:
        return None
    return _refined(scaled, lambda vector: dpotrs(factor, vector, lower=True)[0])


def _refined(scaled, solve):
    """Small systems to the last digit: copies of a column get the same coefficient, bit for bit."""
    if len(scaled) > REFINED:
        return solve
    exact = scaled.astype(np.longdouble)

    def refined(vector):
        x = solve(vector)
        for _ in range(2):
            x = x + solve((vector - exact @ x).astype(np.float64))
        return x

    return refined


def _pseudo_inverse(scaled):
    """A function that solves, and the eigenvalues and eigenvectors that it leaves out."""
    values, vectors = eigh(scaled, check_finite=False)
    strong = values > FLAT * values[-1]
    flat = values[~strong], vectors[:, ~strong]
    values, vectors = values[strong], vectors[:, strong]
    return lambda vector: vectors @ ((vectors.T @ vector) / values), *flat


def flat_directions(matrix, free):
    """Orthonormal columns that span the vectors, all but the `free` coordinates being 0, for which a matrix is 0.

    None if there is none but 0. The diagonal is scaled to 1 first.
    """
    diagonal = np.diag(matrix)
    used, idle = np.flatnonzero(free & (diagonal > 0)), np.flatnonzero(free & ~(diagonal > 0))
    if not len(idle) and _is_definite(matrix, used):
        return None
    values, vectors, scale = _spectrum(matrix, used)
    flat = values <= FLAT * values.max(initial=0.0)
    if not np.any(flat) and not len(idle):
        return None
    out = np.zeros((len(matrix), flat.sum() + len(idle)))
    out[used, : flat.sum()] = vectors[:, flat] * scale[:, np.newaxis]
    out[idle, np.arange(flat.sum(), out.shape[1])] = 1.0
    return qr(out, mode="economic", check_finite=False)[0]


def _is_definite(matrix, used):
    """Whether the determinant says that no direction is flat; quicker than the spectrum where it does.

    With a diagonal of 1 the eigenvalues sum to their number n, so that all but the least have a product of at most
    (n / (n - 1))^(n - 1) < e: the least is more than the determinant over e, and the largest is at most n.
    """
    part = matrix[np.ix_(used, used)]
    scale = 1 / np.sqrt(np.einsum("ii->i", part))
    factor, failed = dpotrf(part * scale * scale[:, np.newaxis], lower=True)
    return not failed and np.prod(np.einsum("ii->i", factor)) ** 2 > 10 * np.e * FLAT * len(used)


def rank(matrix, free):
    """The rank of a matrix's `free` rows and columns, its diagonal scaled to 1."""
    values, *_ = _spectrum(matrix, np.flatnonzero(free & (np.diag(matrix) > 0)))
    return np.count_nonzero(values > FLAT * values.max(initial=0.0))


def _spectrum(matrix, used):
    scale = 1 / np.sqrt(np.diag(matrix)[used])
    return *eigh(matrix[np.ix_(used, used)] * scale * scale[:, np.newaxis], check_finite=False), scale

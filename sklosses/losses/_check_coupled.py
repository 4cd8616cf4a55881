"""The checks of losses of whole rows of predictions: what :func:`check_loss` runs for them."""

import numpy as np

from sklosses.losses._check import FAR, MODERATE, Finding, LossCheckError
from sklosses.losses._differences import difference

# Numbers of classes, rows a number and target, and directions a row.
CLASSES, ROWS, DIRECTIONS = (2, 3, 7), 120, 3
# Errors that rounding makes, relative to what is compared, and to be added to it.
ROUNDING = 1e-9
# How far from the chord a convex function may be, and from a difference quotient its slope.
SLOPE_TOL = 1e-6


class Subject:
    """A loss of whole rows, and the rows to look at it: batches of (targets, predictions) of 2, 3 and 7 classes."""

    def __init__(self, loss):
        self.loss, self.traits = loss, loss.traits
        self.rng = np.random.default_rng(0)
        self.batches = []
        for K in CLASSES:
            sizes = 10.0 ** self.rng.uniform(-6, np.log10(FAR), size=(ROWS, 1))
            p = sizes * self.rng.standard_normal((ROWS, K))
            p[: ROWS // 4] = self.rng.integers(-3, 4, size=(ROWS // 4, K))      # ties, and places beside kinks
            self.batches.append((self.rng.integers(0, K, size=ROWS), p))
            if loss.takes_probabilities:
                self.batches.append((self.rng.dirichlet(np.ones(K), size=ROWS), p))
        self.n = sum(len(p) for _, p in self.batches)

    def indicator(self, y, K):
        """Targets as distributions."""
        return np.eye(K)[y] if y.ndim == 1 else y

    def near(self):
        """The batches without rows of large predictions, where differences tell nothing."""
        for y, p in self.batches:
            rows = np.abs(p).max(axis=1) <= MODERATE
            yield y[rows], p[rows]

    def refuse(self, fault, message, wrong, p, **numbers):
        """Raise if any row is wrong, with the first of them: its predictions, and the row's entries of `numbers`."""
        if np.any(wrong):
            i = int(np.argmax(wrong))
            shown = {name: np.ravel(values[i])[0] for name, values in numbers.items()}
            raise LossCheckError(self.loss, fault, message, **shown, **{f"p{k}": v for k, v in enumerate(p[i])})


def _domain(s):
    for y, p in s.batches:
        value, gradient = s.loss.value(y, p), s.loss.gradient(y, p)
        s.refuse("domain", "value is not finite", ~np.isfinite(value), p, found=value)
        bad = ~np.isfinite(gradient).all(axis=1)
        s.refuse("domain", "gradient is not finite", bad, p, found=value)
    return Finding("domain", s.n, np.nan, np.nan, "class numbers" + (", probabilities" * s.loss.takes_probabilities))


def _rowwise(s):
    """A row's results are its own."""
    for y, p in s.batches:
        for name in ("value", "gradient"):
            together = getattr(s.loss, name)(y, p)
            alone = np.concatenate([getattr(s.loss, name)(y[i : i + 1], p[i : i + 1]) for i in range(len(p))])
            apart = (together != alone).reshape(len(p), -1).any(axis=1)
            s.refuse("rowwise", f"the {name} of a row depends on the rows beside it", apart, p, found=together)
    return Finding("rowwise", s.n, 0.0, 0.0, "bit for bit")


def _simplex(s):
    """The gradient is a distribution less the target's."""
    worst = 0.0
    for y, p in s.batches:
        a = s.loss.gradient(y, p) + s.indicator(y, p.shape[1])
        off = np.maximum(np.abs(a.sum(axis=1) - 1), np.maximum(-a.min(axis=1), 0.0))
        s.refuse("simplex", "the gradient and the target add up to no distribution", off > ROUNDING, p, off=off)
        worst = max(worst, float(off.max()))
    return Finding("simplex", s.n, worst, ROUNDING, "gradient + target: not negative, of sum 1")


def _gradient(s):
    """Slopes along random directions against differences, where the loss is smooth along them."""
    worst, n = 0.0, 0
    for y, p in s.near():
        for _ in range(DIRECTIONS):
            away = s.rng.standard_normal(p.shape)
            at = p + 1e-3 * s.rng.standard_normal(p.shape)      # off the lattice, where kinks like to be

            def along(_, t, y=y, at=at, away=away):
                return s.loss.value(y, at + t.astype(np.float64)[:, np.newaxis] * away).astype(np.longdouble)

            found = np.einsum("ij,ij->i", s.loss.gradient(y, at), away)
            expected, error = difference(along, np.zeros(len(p)), np.zeros(len(p)), 1e-2)
            allowed = SLOPE_TOL * (1 + np.abs(expected)) + 20 * error
            wrong = np.abs(found - expected) > allowed
            if not s.traits.smooth or s.loss.quadratic:         # a step may have met a kink, or a bend
                wrong &= ~_explained(s, y, at, away, found)
            s.refuse("gradient", "the gradient is not the derivative of the value", wrong, at, found=found,
                     difference=expected)
            worst, n = max(worst, float(np.median(np.abs(found - expected)))), n + len(p)
    return Finding("gradient", n, worst, SLOPE_TOL, "median error along random directions")


def _explained(s, y, p, away, found):
    """Whether a slope is between those of the values a little before and behind: so it may be, at a kink."""
    step = 1e-6
    here = s.loss.value(y, p)
    ahead = (s.loss.value(y, p + step * away) - here) / step
    behind = (here - s.loss.value(y, p - step * away)) / step
    room = 1e-5 * (1 + np.abs(found))
    return (found >= np.minimum(ahead, behind) - room) & (found <= np.maximum(ahead, behind) + room)


def _hessian(s):
    """Against differences of the gradient, of smooth losses that do not bend."""
    if not s.traits.smooth or s.loss.quadratic is not None:
        return None
    worst = 0.0
    for y, p in s.near():
        away, step = s.rng.standard_normal(p.shape), 1e-5
        change = (s.loss.gradient(y, p + step * away) - s.loss.gradient(y, p - step * away)) / (2 * step)
        found = np.einsum("ijk,ik->ij", s.loss.hessian(y, p), away)
        off = np.abs(found - change).max(axis=1)
        s.refuse("hessian", "the hessian is not the derivative of the gradient", off > SLOPE_TOL, p, off=off)
        worst = max(worst, float(off.max()))
    return Finding("hessian", s.n, worst, SLOPE_TOL, "along random directions")


def _convexity(s):
    """Values lie on or above every tangent."""
    worst = 0.0
    for y, p in s.batches:
        for _ in range(DIRECTIONS):
            other = p[s.rng.permutation(len(p))]
            value, there = s.loss.value(y, p), s.loss.value(y, other)
            tangent = value + np.einsum("ij,ij->i", s.loss.gradient(y, p), other - p)
            scale = 1 + np.abs(p).max(axis=1) + np.abs(other).max(axis=1)
            below = (tangent - there) / scale
            s.refuse("convexity", "a value is below a tangent", below > ROUNDING, p, by=tangent - there)
            worst = max(worst, float(below.max()))
    return Finding("convexity", s.n * DIRECTIONS, max(worst, 0.0), ROUNDING, "below a tangent, relative")


def _lipschitz(s):
    most = s.traits.lipschitz
    worst = 0.0
    for y, p in s.batches:
        size = np.linalg.norm(s.loss.gradient(y, p), axis=1)
        s.refuse("lipschitz", f"a gradient is longer than {most:g}", size > most * (1 + ROUNDING), p, found=size)
        worst = max(worst, float(size.max()))
    return Finding("lipschitz", s.n, worst, most)


def _curvature(s):
    """Gradients of any two places differ by no more than the curvature allows."""
    most = s.traits.curvature
    if not s.traits.smooth:
        return None
    worst = 0.0
    for y, p in s.batches:
        away = s.rng.standard_normal(p.shape) * 10.0 ** s.rng.uniform(-3, 1, size=(len(p), 1))
        change = np.linalg.norm(s.loss.gradient(y, p + away) - s.loss.gradient(y, p), axis=1)
        bend = (change - ROUNDING) / np.linalg.norm(away, axis=1)
        s.refuse("curvature", f"the gradient changes faster than {most:g}", bend > most * (1 + 1e-6), p, found=bend)
        worst = max(worst, float(bend.max()))
    return Finding("curvature", s.n, worst, most)


def _conjugate(s):
    """Fenchel: phi(p) + phi*(u) = u.p at the gradient u, and no less at any other."""
    if not s.traits.has_conjugate:
        return None
    worst = 0.0
    for y, p in s.batches:
        value, u = s.loss.value(y, p), s.loss.gradient(y, p)
        other = u[s.rng.permutation(len(u))] if y.ndim == 2 else s.rng.dirichlet(np.ones(p.shape[1]), len(p))
        other = other + 0.0 if y.ndim == 2 else other - s.indicator(y, p.shape[1])
        scale = 1 + np.abs(p).max(axis=1)
        off = np.abs(value + s.loss.conjugate(y, u) - np.einsum("ij,ij->i", u, p)) / scale
        s.refuse("conjugate", "value and conjugate do not add up to u.p at the gradient u", ~(off <= ROUNDING), p,
                 off=off)
        less = (np.einsum("ij,ij->i", other, p) - value - s.loss.conjugate(y, other)) / scale
        s.refuse("conjugate", "value and conjugate are less than u.p at some u", less > ROUNDING, p, by=less)
        worst = max(worst, float(off.max()))
    return Finding("conjugate", s.n, worst, ROUNDING, "relative")


def _smoothed(s):
    """Smooth, and no more than mu lipschitz^2 / 2 below."""
    if s.traits.smooth:
        return None
    worst = 0.0
    for mu in (1e-3, 0.3):
        smooth, room = s.loss.smoothed(mu), mu * s.traits.lipschitz**2 / 2
        if not smooth.traits.smooth:
            raise LossCheckError(s.loss, "smoothed", f"{smooth!r} is not smooth", mu=mu)
        for y, p in s.batches:
            below = s.loss.value(y, p) - smooth.value(y, p)
            wrong = (below < -ROUNDING * (1 + np.abs(p).max(axis=1))) | (below > room + ROUNDING)
            s.refuse("smoothed", f"{smooth!r} is not within {room:g} below", wrong, p, below=below)
            worst = max(worst, float(below.max() / room))
    return Finding("smoothed", 2 * s.n, worst, 1.0, "of the bound")


def _probability(s):
    """Rows of targets that are the probabilities leave no slope."""
    if not s.traits.has_probability:
        return None
    worst = 0.0
    for _, p in s.near():
        chance = s.loss.probability(p)
        off = np.abs(s.loss.gradient(chance, p)).max(axis=1) if s.loss.takes_probabilities else (
            np.abs(chance.sum(axis=1) - 1))
        s.refuse("probability", "probabilities are not those of the expected loss's minimiser", off > ROUNDING, p,
                 off=off)
        worst = max(worst, float(off.max()))
    return Finding("probability", s.n, worst, ROUNDING)


CHECKS = (_domain, _rowwise, _simplex, _gradient, _hessian, _convexity, _lipschitz, _curvature, _conjugate, _smoothed,
          _probability)

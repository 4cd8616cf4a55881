"""Numerical proof, or disproof, of what a loss computes and declares."""

from dataclasses import dataclass
from math import inf

import numpy as np

from sklosses.losses._custom import PythonLoss
from sklosses.losses._differences import difference, jumps, leaps
from sklosses.losses._links import LINKS
from sklosses.losses._loss import Loss, at_one
from sklosses.losses._multiclass import MulticlassLoss
from sklosses.losses._registry import get_loss

MODERATE = 30.0  # how far from its centre a loss must be finite whatever it is
FAR = 1e4


class LossCheckError(AssertionError):
    """A loss is not what it says.

    Attributes
    ----------
    fault : str
        Its name: one of the first column of :func:`check_loss`'s table, or "sign", "factor", "kink", "overflow".
    counterexample : dict
        Where it was seen: targets, raw predictions and the numbers that contradict each other.
    """

    def __init__(self, loss, fault, message, **counterexample):
        self.fault = fault
        self.counterexample = {name: float(number) for name, number in counterexample.items()}
        where = ", ".join(f"{name}={number:.10g}" for name, number in self.counterexample.items())
        super().__init__(f"{loss!r}: {fault}: {message}{': ' if where else '.'}{where}")


@dataclass(frozen=True)
class Finding:
    """One line of :func:`check_loss`'s table.

    Attributes
    ----------
    check : str
        What was verified.
    points : int
        At how many places.
    worst : float
        The largest error, or the largest number seen where a bound was declared; nan: it is not a number.
    allowed : float
        What it may be.
    note : str
        How, or what else was seen.
    """

    check: str
    points: int
    worst: float
    allowed: float
    note: str = ""


def check_loss(loss, *, y=None, raw_prediction=None, verbose=True):
    """Verify numerically that a loss is what it says: derivatives, convexity, bounds, domain, and all it declares.

    The checks, in this order: ``domain`` (finite for admissible targets), ``elementwise`` (an element's result does not
    depend on others, nor on how it is asked for), ``kind``, ``overflow`` (up to 1e4 from the centre), ``continuity``,
    ``gradient`` and ``hessian`` against difference quotients, ``smoothness``, ``convexity``, ``lipschitz``,
    ``curvature``, ``conjugate``, ``prox``, ``smoothed``, ``probability``.

    Of losses of whole rows (:class:`MulticlassLoss`), with 2, 3 and 7 classes: ``domain``, ``rowwise``, ``simplex``
    (the gradient is a distribution less the target's), ``gradient``, ``hessian``, ``convexity``, ``lipschitz``,
    ``curvature``, ``conjugate`` (Fenchel's equality and inequality), ``smoothed``, ``probability``.

    Difference quotients are extrapolated from seventeen step sizes, with an estimate of their own error (Ridders
    1982). Values are asked for in extended precision where a Python object gives them; else they are float64.

    Parameters
    ----------
    loss : str, Loss, MulticlassLoss, a subclass, or object with value and gradient
        What :func:`get_loss` takes. Its parameters must be numbers, not vectors.
    y : array-like of shape (n,), default=None
        Targets to test with. None: a dozen across the declared domain.
    raw_prediction : array-like of shape (m,), default=None
        Raw predictions to test each target with. None: some thousand, from 1e-6 to 1e4 away from y, or from 0.
    verbose : bool, default=True
        Print the table.

    Returns
    -------
    list of Finding
        The table, for a loss that passes.

    Raises
    ------
    LossCheckError
        An AssertionError that names the fault and shows the first counterexample. What was verified before is printed.
    ValueError
        If parameters are vectors, or `y` is outside the declared domain.
    TypeError
        If `loss` is none, or one of embeddings; if `y` or `raw_prediction` is given for one of whole rows.

    References
    ----------
    C. J. F. Ridders, Accurate computation of F'(x) and F'(x) F''(x), Advances in Engineering Software 4(2), 1982.

    Examples
    --------
    >>> from sklosses.losses import check_loss
    >>> findings = check_loss("huber", verbose=False)
    >>> class Wrong:
    ...     def value(self, y, p):
    ...         return (p - y) ** 2
    ...     def gradient(self, y, p):
    ...         return p - y
    >>> check_loss(Wrong(), verbose=False)
    Traceback (most recent call last):
        ...
    sklosses.losses._check.LossCheckError: PythonLoss('Wrong'): factor: the gradient is 0.5 times the derivative...
    """
    loss = get_loss(loss)
    subject, checks = _prepared(loss, y, raw_prediction)
    findings = []
    try:
        for check in checks:
            found = check(subject)
            if found is not None:
                findings.append(found)
    except LossCheckError as error:
        findings.append(Finding(error.fault, 0, np.nan, np.nan, "FAILED"))
        raise
    finally:
        if verbose:
            print(_table(loss, findings))
    return findings


def _prepared(loss, y, raw_prediction):
    """What is checked, and the checks for it."""
    if isinstance(loss, MulticlassLoss):
        from sklosses.losses import _check_coupled as coupled  # it needs what is defined here

        if y is not None or raw_prediction is not None:
            raise TypeError(f"check_loss has its own targets and predictions for {loss!r}: give none.")
        return coupled.Subject(loss), coupled.CHECKS
    if not isinstance(loss, Loss):
        raise TypeError(f"check_loss takes losses of targets and raw predictions, and {loss!r} acts on embeddings.")
    if loss.n_columns > 1:
        raise ValueError(f"{loss!r} is {loss.n_columns} losses: check one at a time.")
    return _Subject(loss, y, raw_prediction), CHECKS


class _Subject:
    """A loss, the places to look at it, and how to look."""

    def __init__(self, loss, y, raw_prediction):
        self.loss, self.traits = loss, loss.traits
        self.targets = _targets(loss.target) if y is None else np.unique(np.asarray(y, dtype=np.float64))
        loss.target.check(self.targets, "y", repr(loss))
        places = [
            _predictions(self.traits.kind, t) if raw_prediction is None else np.unique(raw_prediction)
            for t in self.targets
        ]
        self.lines = np.concatenate([[0], np.cumsum([len(p) for p in places])])  # where each target's line begins
        self.y = np.repeat(self.targets, [len(p) for p in places])
        self.p = np.concatenate(places).astype(np.float64)
        self.away = np.abs(self.p - (self.y if self.traits.kind == "residual" else 0.0))
        self.near = self.away <= MODERATE if raw_prediction is None else np.ones(len(self.p), dtype=bool)
        self.rng = np.random.default_rng(0)
        self.kinks = np.empty((0, 2))

    def ask(self, which, y, p):
        """value, gradient or hessian; nan instead of the error that losses raise for it."""
        with np.errstate(all="ignore"):
            try:
                return getattr(self.loss, which)(y, p)
            except ValueError as error:
                if "is nan" not in str(error):
                    raise
            return np.array([self._one(which, *pair) for pair in zip(np.ravel(y), np.ravel(p), strict=True)])

    def _one(self, which, y, p):
        try:
            return getattr(self.loss, which)(y, p)
        except ValueError:
            return np.nan

    def wide(self, which, y, p, *, check=False):
        """As `ask`, as np.longdouble: in extended precision where there is one; or, to check, whether there is."""
        if isinstance(self.loss, PythonLoss):
            with np.errstate(all="ignore"):
                result = np.asarray(getattr(self.loss.get_params()["loss"], which)(y, p))
            if result.dtype == np.longdouble and np.finfo(np.longdouble).eps < np.finfo(np.float64).eps:
                return True if check else result
        return False if check else self.ask(which, y.astype(np.float64), p.astype(np.float64)).astype(np.longdouble)

    @property
    def has_hessian(self):
        try:
            self.ask("hessian", self.y[:1], self.p[:1])
        except NotImplementedError:
            return False
        return True

    def slope_scale(self):
        """A typical large slope: what differences of slopes are compared with."""
        slopes = np.abs(self.ask("gradient", self.y[self.near], self.p[self.near]))
        return float(np.quantile(slopes[np.isfinite(slopes)], 0.9)) or 1.0

    def error(self, fault, message, **counterexample):
        return LossCheckError(self.loss, fault, message, **counterexample)

    def sample(self, mask, n):
        """Positions of at most n of the places where mask holds, spread over all."""
        found = np.flatnonzero(mask)
        return found if len(found) <= n else np.sort(self.rng.choice(found, n, replace=False))


def _targets(target):
    """Admissible targets of every size."""
    if target.hard:
        return np.array(sorted(target.codes))
    low, high = target.low, target.high
    sizes = np.array([1e-3, 0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 3.0, 10.0, 30.0, 1e3])
    ends = [end + away for end in (low, high) if np.isfinite(end) for away in (0.0, *sizes, *-sizes)]
    candidates = np.unique([0.0, *sizes, *-sizes, *ends])
    return candidates[[t in target.interval for t in candidates]]


def _predictions(kind, y):
    """Raw predictions for a target: of every size, on both sides of where the loss may bend, and these places."""
    far = np.logspace(-6, np.log10(FAR), 161)
    away = np.concatenate([-far, np.arange(-512, 513) / 64, far])
    centres = {"residual": [y], "margin": [0.0]}.get(kind, [0.0, y])
    return np.unique(np.concatenate([centre + away for centre in centres]))


def _table(loss, findings):
    """The table as text."""

    def number(x):
        return f"{x:.3g}" if x == x else "-"

    rows = [("check", "points", "worst", "allowed", "")]
    rows += [(f.check, str(f.points or "-"), number(f.worst), number(f.allowed), f.note) for f in findings]
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    lines = [
        f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}  {e}".rstrip()
        for a, b, c, d, e in rows
    ]
    return "\n".join([f"check_loss: {loss!r}", *lines])


# The checks: each returns a Finding, None where there is nothing to check, or raises -------------------------------


def _domain(s):
    y, p = s.y[s.near], s.p[s.near]
    for which in ("value", "gradient", "hessian") if s.has_hessian else ("value", "gradient"):
        bad = np.flatnonzero(~np.isfinite(s.ask(which, y, p)))
        if len(bad):
            raise s.error(
                "domain",
                f"{which} is not finite for an admissible target, {s.loss.target}",
                y=y[bad[0]],
                p=p[bad[0]],
                found=s.ask(which, y[bad[:1]], p[bad[:1]])[0],
            )
    if s.traits.kind not in ("residual", "margin", "other") or s.traits.link not in LINKS:
        raise s.error("domain", f"kind {s.traits.kind!r} or link {s.traits.link!r} is none that solvers know")
    codes = s.loss.target.codes
    if codes is not None and not all(code in s.loss.target.interval for code in codes):
        raise s.error("domain", "the codes of the classes are not admissible targets", low=codes[0], high=codes[1])
    return Finding("domain", len(y), np.nan, np.nan, f"y in {s.loss.target}")


def _elementwise(s):
    i = s.sample(s.near, 256)
    i = i[: len(i) // 2 * 2]
    y, p = s.y[i], s.p[i]
    for which in ("value", "gradient", "hessian") if s.has_hessian else ("value", "gradient"):
        whole = s.ask(which, y, p)
        forms = {
            "alone": np.array([s.ask(which, y[k : k + 1], p[k : k + 1])[0] for k in range(0, len(y), 8)]),
            "in two columns": s.ask(which, y.reshape(-1, 2), p.reshape(-1, 2)).ravel(),
            "in reverse": s.ask(which, y[::-1], p[::-1])[::-1],
        }
        if which == "value":
            forms["one by one in C"] = np.array([at_one(s.loss, *pair)[0] for pair in zip(y, p, strict=True)])
        if which == "gradient":
            forms["one by one in C"] = np.array([at_one(s.loss, *pair)[1] for pair in zip(y, p, strict=True)])
        if which != "hessian":
            forms["with the other of value and gradient"] = s.loss.value_and_gradient(y, p)[which == "gradient"]
        for form, found in forms.items():
            expected = whole[::8] if form == "alone" else whole
            bad = np.flatnonzero(np.abs(found - expected) > 1e-12 * np.abs(expected) + 1e-300)
            if len(bad):
                k = bad[0] * 8 if form == "alone" else bad[0]
                raise s.error(
                    "elementwise",
                    f"{which} is another {form} than among others",
                    y=y[k],
                    p=p[k],
                    among=expected[bad[0]],
                    other=found[bad[0]],
                )
    return Finding("elementwise", len(y), np.nan, np.nan, "alone, among others, in columns, one by one")


def _kind(s):
    if s.traits.kind == "other":
        return None
    away = np.concatenate([-np.logspace(-3, 1.4, 40), [0.0], np.logspace(-3, 1.4, 40)])
    y, p = (np.repeat(s.targets, len(away)), np.tile(away, len(s.targets)))
    if s.traits.kind == "residual":
        value, other = s.ask("value", y, y + p), s.ask("value", np.full(len(y), s.targets[0]), s.targets[0] + p)
        slope, message = s.ask("gradient", y, y + p), "the value depends on more than p - y"
        p = y + p
    else:
        value, other = s.ask("value", y, p), s.ask("value", -y, -p)
        slope, message = s.ask("gradient", y, p), "the value depends on more than y p"
    allowed = 1e-9 * np.abs(value) + 1e-12 * (1 + np.abs(slope)) * (1 + np.abs(y) + np.abs(s.targets[0]))
    bad = np.flatnonzero(~(np.abs(value - other) <= allowed))
    if len(bad):
        k = bad[0]
        raise s.error(
            "kind", f"declared {s.traits.kind!r}, but {message}", y=y[k], p=p[k], value=value[k], elsewhere=other[k]
        )
    return Finding("kind", len(y), float(np.max(np.abs(value - other))), float(np.max(allowed)), s.traits.kind)


def _overflow(s):
    """Infinity is right only where a float64 ends: just before, the number must be near the largest there is."""
    for which in ("value", "gradient", "hessian") if s.has_hessian else ("value", "gradient"):
        found = s.ask(which, s.y, s.p)
        bad = np.flatnonzero(np.isnan(found))
        if len(bad):
            k = bad[np.argmin(s.away[bad])]
            raise s.error("overflow", f"{which} is nan", y=s.y[k], p=s.p[k])
        infinite = np.isinf(found)
        for start, stop in zip(s.lines[:-1], s.lines[1:], strict=True):
            edges = start + np.flatnonzero(infinite[start : stop - 1] != infinite[start + 1 : stop])
            for k in edges:
                inside, outside = (s.p[k], s.p[k + 1]) if infinite[k + 1] else (s.p[k + 1], s.p[k])
                y = s.y[k : k + 1]
                for _ in range(60):
                    middle = inside + 0.5 * (outside - inside)
                    beyond = not np.isfinite(s.ask(which, y, np.array([middle]))[0])
                    inside, outside = (inside, middle) if beyond else (middle, outside)
                last = s.ask(which, y, np.array([inside]))[0]
                if abs(last) < 1e290:
                    raise s.error(
                        "overflow", f"{which} is infinite where it need not be", y=y[0], p=outside, just_before=last
                    )
    return Finding("overflow", len(s.y), float(np.max(s.away)), np.nan, "nan nowhere, inf only beyond float64")


def _continuity(s):
    y, a, b = _intervals(s)
    place, jump, allowed = leaps(s.ask, y, a, b)
    bad = np.flatnonzero(jump > allowed)
    if len(bad):
        k = bad[np.argmax(jump[bad] - allowed[bad])]
        raise s.error("continuity", "the value jumps", y=y[k], p=place[k], jump=jump[k])
    return Finding("continuity", len(y), float(np.max(jump)), float(np.max(allowed)), "steps of the value")


def _intervals(s):
    """Neighbours on the lines of predictions, where all is finite."""
    k = np.setdiff1d(np.arange(len(s.y) - 1), s.lines[1:] - 1)
    fine = np.isfinite(s.ask("value", s.y, s.p)) & np.isfinite(s.ask("gradient", s.y, s.p))
    k = k[fine[k] & fine[k + 1]]
    return s.y[k], s.p[k], s.p[k + 1]


def _smoothness(s):
    """Where the gradient jumps; there, the gradient must be a subgradient."""
    y, a, b = _intervals(s)
    low, high, jump = jumps(lambda y, p: s.ask("gradient", y, p), y, a, b)
    slopes = np.maximum(np.abs(s.ask("gradient", y, low)), np.abs(s.ask("gradient", y, high)))
    at = np.flatnonzero(jump > 1e-7 * s.slope_scale() + 1e-6 * slopes)
    s.kinks = np.stack([y[at], low[at]], axis=1)
    if len(at) and s.traits.smooth:
        k = at[np.argmax(jump[at])]
        raise s.error("kink", "declared smooth, but the gradient jumps", y=y[k], p=low[k], jump=jump[k])
    if not len(at):
        return Finding("smoothness", len(y), float(np.max(jump)), np.nan, "no kink")
    if s.traits.convex:
        step = 1e-7 * np.maximum(1.0, np.abs(low[at]))
        before, after = s.ask("gradient", y[at], low[at] - step), s.ask("gradient", y[at], high[at] + step)
        for p in (low[at], high[at]):
            slope = s.ask("gradient", y[at], p)
            bad = np.flatnonzero((slope < before - 1e-4 * jump[at]) | (slope > after + 1e-4 * jump[at]))
            if len(bad):
                k = bad[0]
                raise s.error(
                    "smoothness",
                    "at a kink the gradient is no subgradient",
                    y=y[at][k],
                    p=p[k],
                    gradient=slope[k],
                    before=before[k],
                    after=after[k],
                )
    variable = {"residual": low[at] - y[at], "margin": low[at] * y[at]}.get(s.traits.kind, low[at])
    places = np.unique(np.round(variable, 6) + 0.0)
    name = {"residual": "p - y", "margin": "y p"}.get(s.traits.kind, "p")
    shown = ", ".join(f"{place:g}" for place in places[:4]) + (", ..." if len(places) > 4 else "")
    return Finding("smoothness", len(y), float(np.max(jump)), inf, f"kinks at {name} = {shown}")


def _gradient(s):
    return _derivative(s, "value", "gradient", s.kinks)


def _hessian(s):
    if not s.has_hessian:
        return Finding("hessian", 0, np.nan, np.nan, "none")
    y, a, b = _intervals(s)
    low, high, jump = jumps(lambda y, p: s.ask("hessian", y, p), y, a, b)
    bends = np.maximum(np.abs(s.ask("hessian", y, low)), np.abs(s.ask("hessian", y, high)))
    at = jump > 1e-6 * bends
    return _derivative(s, "gradient", "hessian", np.concatenate([s.kinks, np.stack([y[at], low[at]], axis=1)]))


def _derivative(s, function, derivative, avoid):
    """Hold a derivative against differences of the function, away from where there is none."""
    finite = np.isfinite(s.ask(function, s.y, s.p)) & np.isfinite(s.ask(derivative, s.y, s.p))
    i = s.sample(finite & (np.abs(s.ask(function, s.y, s.p)) < 1e100), 1500)
    y, p, unit = s.y[i], s.p[i], np.maximum(1.0, s.away[i])
    p = p + 1e-3 * unit * s.rng.uniform(-1, 1, len(p))  # off the lattice, where kinks like to be
    near = np.full(len(p), inf)
    if len(avoid):
        near = [np.min(np.abs(avoid[avoid[:, 0] == t, 1] - x), initial=inf) for t, x in zip(y, p, strict=True)]
        near = np.array(near)
        y, p, unit, near = (array[near > 1e-4 * unit] for array in (y, p, unit, near))
    found = s.ask(derivative, y, p)
    # No step reaches beyond a kink: differences across two of them may agree with each other and with nothing else.
    longest = np.minimum(unit, 9.0 * near)
    estimates = [difference(lambda y, p: s.wide(function, y, p), y, p, size * longest) for size in (0.1, 0.061)]
    scale = np.quantile(np.abs(found), 0.5)
    allowed = [1e-7 * np.maximum(np.abs(found), np.abs(d)) + 1e-9 * scale + 20 * error for d, error in estimates]
    wrong = [np.abs(found - d) > a for (d, _), a in zip(estimates, allowed, strict=True)]
    bad = np.flatnonzero(wrong[0] & wrong[1])
    errors = np.abs(found - estimates[0][0]) / (np.abs(found) + scale if scale else 1.0)
    if len(bad):
        d = estimates[0][0]
        fault, message = _fault(derivative, found[bad], d[bad])
        k = bad[np.argmax(np.abs(found[bad] - d[bad]))]
        raise s.error(fault, message, y=y[k], p=p[k], found=found[k], difference=d[k])
    decided = estimates[0][1] <= 1e-3 * (np.abs(found) + scale)
    wide = s.wide(function, y[:1].astype(np.longdouble), p[:1].astype(np.longdouble), check=True)
    return Finding(
        derivative,
        int(decided.sum()),
        float(np.median(errors)),
        1e-7,
        f"median relative error; differences in {'extended' if wide else 'double'} precision",
    )


def _fault(derivative, found, expected):
    """What is wrong with a derivative: its sign, a factor, or more."""
    what = "value" if derivative == "gradient" else "gradient"
    ratios = found[expected != 0] / expected[expected != 0]
    if derivative == "gradient" and len(ratios):
        if np.all(np.abs(ratios + 1) < 1e-4):
            return "sign", "the gradient is minus the derivative of the value"
        ratio = np.median(ratios)
        if np.all(np.abs(ratios - ratio) < 1e-4 * abs(ratio)):
            return "factor", f"the gradient is {float(ratio):.6g} times the derivative of the value"
    return derivative, f"the {derivative} is not the derivative of the {what}"


def _convexity(s):
    if not s.traits.convex:
        return Finding("convexity", 0, np.nan, np.nan, "not declared")
    slopes, worst, scale = s.ask("gradient", s.y, s.p), 0.0, s.slope_scale()
    for start, stop in zip(s.lines[:-1], s.lines[1:], strict=True):
        line = np.where(np.isfinite(slopes[start:stop]), slopes[start:stop], np.nan_to_num(slopes[start:stop]))
        highest = np.maximum.accumulate(line)
        drop = highest - line
        k = int(np.argmax(drop - 1e-9 * np.abs(highest)))
        worst = max(worst, float(drop[k]))
        if drop[k] > 1e-8 * scale + 1e-9 * abs(highest[k]):
            before = int(np.argmax(line[: k + 1]))
            raise s.error(
                "convexity",
                "declared convex, but the gradient falls",
                y=s.y[start],
                p=s.p[start + before],
                gradient=line[before],
                later_p=s.p[start + k],
                later_gradient=line[k],
            )
    if s.has_hessian:
        bends = s.ask("hessian", s.y, s.p)
        k = int(np.argmin(bends))
        if bends[k] < 0:
            raise s.error(
                "convexity", "declared convex, but the hessian is negative", y=s.y[k], p=s.p[k], hessian=bends[k]
            )
    return Finding("convexity", len(s.y), worst, 1e-8 * scale, "falls of the gradient")


def _lipschitz(s):
    slopes = np.abs(s.ask("gradient", s.y, s.p))
    k = int(np.argmax(slopes))
    if slopes[k] > s.traits.lipschitz * (1 + 1e-9):
        raise s.error(
            "lipschitz",
            "the gradient exceeds the declared bound",
            y=s.y[k],
            p=s.p[k],
            gradient=slopes[k],
            declared=s.traits.lipschitz,
        )
    return Finding("lipschitz", len(s.y), float(slopes[k]), s.traits.lipschitz, "largest gradient")


def _curvature(s):
    declared = s.traits.curvature
    if declared < inf and not s.traits.smooth:
        raise s.error("curvature", "a loss with kinks has no bound on its curvature", declared=declared)
    y, a, b = _intervals(s)
    ga, gb = s.ask("gradient", y, a), s.ask("gradient", y, b)
    noise = 1e-15 * (np.abs(ga) + np.abs(gb)) + 4e-16 * (np.abs(y) + np.abs(a) + np.abs(b)) * min(declared, 1e300)
    bend = np.maximum(np.abs(gb - ga) - noise, 0) / (b - a)
    k = int(np.argmax(bend))
    if bend[k] > declared * (1 + 1e-6):
        raise s.error(
            "curvature",
            "the gradient changes faster than the declared bound",
            y=y[k],
            p=a[k],
            to=b[k],
            slope=bend[k],
            declared=declared,
        )
    largest = float(bend[k])
    if s.has_hessian:
        bends = np.abs(s.ask("hessian", s.y, s.p))
        k = int(np.argmax(bends))
        largest = float(bends[k])
        if largest > declared * (1 + 1e-9):
            raise s.error(
                "curvature",
                "the hessian exceeds the declared bound",
                y=s.y[k],
                p=s.p[k],
                hessian=largest,
                declared=declared,
            )
    return Finding("curvature", len(y), largest, declared, "largest hessian")


def _self_concordance(s):
    declared = s.traits.self_concordance
    if not declared < inf:
        return None
    if not s.traits.smooth or not s.has_hessian:
        raise s.error("self_concordance", "a bound on changes of the hessian needs one", declared=declared)
    y, a, b = _intervals(s)
    # What is too small to be told from rounding counts as no smaller than this.
    before, after = (np.log(np.clip(s.ask("hessian", y, p), 1e-7, 1e300)) for p in (a, b))
    change = np.maximum(np.abs(after - before) - 1e-8, 0) / (b - a)
    k = int(np.argmax(change))
    if change[k] > declared * (1 + 1e-6):
        raise s.error(
            "self_concordance",
            "the hessian's logarithm changes faster than the declared bound",
            y=y[k],
            p=a[k],
            to=b[k],
            slope=change[k],
            declared=declared,
        )
    return Finding("self_concordance", len(y), float(change[k]), declared, "largest change of the hessian's logarithm")


def _conjugate(s):
    """Fenchel and Young: phi(p) + phi*(u) >= u p, with equality at u = gradient."""
    if not s.traits.has_conjugate:
        return None
    i = s.sample((s.away <= 8) & (s.away >= 1e-3), 300)
    y, p = s.y[i], s.p[i]
    value, u = s.ask("value", y, p), s.ask("gradient", y, p)
    conjugate = s.loss.conjugate(y, u)
    allowed = 1e-9 * (np.abs(value) + np.abs(np.nan_to_num(conjugate)) + np.abs(u * p)) + 1e-12
    excess = value + conjugate - u * p
    wrong = ~(np.abs(excess) <= allowed) if s.traits.convex else ~(excess >= -allowed)
    if np.any(wrong):
        k = int(np.argmax(wrong))
        raise s.error(
            "conjugate",
            "value + conjugate is not gradient times p",
            y=y[k],
            p=p[k],
            gradient=u[k],
            value=value[k],
            conjugate=conjugate[k],
        )
    mates = np.concatenate([s.rng.permutation(np.flatnonzero(y == t)) for t in np.unique(y)])
    order = np.argsort(y, kind="stable")
    other = np.empty(len(y), dtype=int)
    other[order] = mates
    excess = value + s.loss.conjugate(y, u[other]) - u[other] * p
    bad = np.flatnonzero(~(excess >= -1e-9 * (np.abs(value) + np.abs(u[other] * p)) - 1e-12))
    if len(bad):
        k = bad[0]
        raise s.error(
            "conjugate",
            "value + conjugate is below u p",
            y=y[k],
            p=p[k],
            u=u[other][k],
            value=value[k],
            conjugate=excess[k] - value[k] + u[other][k] * p[k],
        )
    return Finding(
        "conjugate", len(y), float(np.max(np.abs(value + conjugate - u * p))), float(np.max(allowed)), "Fenchel-Young"
    )


def _prox(s):
    """The gradient of phi(p) + (p - v)^2 / (2 step) changes its sign at the proximal point."""
    if not s.traits.convex:
        return None
    i = s.sample(s.away <= 8, 100)
    y, v = s.y[i], s.p[i]
    for step in (0.1, 1.0, 10.0):
        p = s.loss.prox(y, v, step)
        width = 1e-6 * np.maximum(1.0, np.abs(p)) + 1e-12 * np.abs(v)
        below = s.ask("gradient", y, p - width) * step + (p - width - v)
        above = s.ask("gradient", y, p + width) * step + (p + width - v)
        bad = np.flatnonzero(~((below <= 0) & (above >= 0)))
        if len(bad):
            k = bad[0]
            raise s.error(
                "prox",
                "not the minimum of value + (p - v)^2 / (2 step)",
                y=y[k],
                v=v[k],
                step=step,
                found=p[k],
                slope_below=below[k] / step,
                slope_above=above[k] / step,
            )
    return Finding("prox", 3 * len(y), 1e-6, 1e-6, "sign changes within this distance")


def _smoothed(s):
    if s.traits.smooth or s.traits.lipschitz == inf:
        return None
    try:
        smooth = s.loss.smoothed(0.5)
    except NotImplementedError:
        return Finding("smoothed", 0, np.nan, np.nan, "none")
    below = s.ask("value", s.y, s.p) - smooth.value(s.y, s.p)
    allowed = 0.5 * s.traits.lipschitz**2 / 2
    noise = 1e-12 * np.abs(s.ask("value", s.y, s.p)) + 1e-12
    bad = np.flatnonzero(~((below >= -noise) & (below <= allowed + noise)))
    if len(bad) or not smooth.traits.smooth:
        k = bad[0] if len(bad) else 0
        raise s.error(
            "smoothed",
            "smoothed(mu) is not within mu lipschitz^2 / 2 below the loss",
            mu=0.5,
            y=s.y[k],
            p=s.p[k],
            below=below[k],
            allowed=allowed,
        )
    return Finding("smoothed", len(s.y), float(np.max(below)), allowed, "smoothed(0.5) below the loss")


def _probability(s):
    """The probability makes the raw prediction the minimum of the expected loss.

    With log_loss's `pos_weight` it is that of the reweighted problem: positive rows are there as often as they weigh.
    """
    if not s.traits.has_probability:
        return None
    weight = float(s.loss.get_params().get("pos_weight", 1.0))
    p = np.linspace(-4, 4, 161)
    q = np.asarray(s.loss.probability(p), dtype=np.float64)
    low, high = (np.full(len(p), code) for code in s.loss.target.codes)
    slopes = s.ask("gradient", low, p), s.ask("gradient", high, p) / weight
    slope = (1 - q) * slopes[0] + q * slopes[1]
    inside = (q > 0) & (q < 1)
    error = np.where(inside, np.abs(slope) / (np.abs(slopes[0]) + np.abs(slopes[1]) + 1e-300), 0.0)
    k = int(np.argmax(np.where((q >= 0) & (q <= 1), error, inf)))
    if not (error[k] <= 1e-8 and 0 <= q[k] <= 1):
        raise s.error(
            "probability",
            "the raw prediction does not minimise the expected loss",
            p=p[k],
            probability=q[k],
            slope=slope[k],
        )
    return Finding("probability", int(inside.sum()), float(error[k]), 1e-8, "relative slope of the expected loss")


CHECKS = (
    _domain,
    _elementwise,
    _kind,
    _overflow,
    _continuity,
    _smoothness,
    _gradient,
    _hessian,
    _convexity,
    _lipschitz,
    _curvature,
    _self_concordance,
    _conjugate,
    _prox,
    _smoothed,
    _probability,
)

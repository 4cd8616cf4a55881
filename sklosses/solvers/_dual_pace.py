"""How a column of dual coordinate descent goes on, alone or beside others: rests, leaps, means, and when to look."""

import numpy as np

# The augmented Lagrangian's weight as a share of the mean of ||x_i||^2: so much times n l2 / mean(||x_i||^2), within
# bounds. With weak penalties a share of 1 takes up to three times as many epochs as 1e-2, and 1e-4 five times as many
# where classes are of unequal size. With strong ones coefficients hardly move predictions, all is a question of the
# intercept, and 1e-2 takes ten times as many as 1. The least is for losses of curvature 1: the less a loss bends, as
# log_loss where one class is rare, the more the intercept has to move for the same change of its slopes.
INTERCEPT_WEIGHT, LEAST_WEIGHT, MOST_WEIGHT = 5e-3, 1e-2, 1.0
# A row whose part of the gap is below this share of the mean may rest, from the third epoch on.
NEXT_TO_NONE, FIRST_REST = 0.1, 2
# The epoch after which dual variables are first moved ahead. Where they should not go further ahead than by this share,
# leaps cost what they save.
FIRST_LEAP, LEAST_LEAP = 2, 0.35
# Readings between two looks at the certificate, at most.
READINGS = 15
# Where the gap falls by less than this factor an epoch, and where dual variables are moved ahead, the mean of the last
# eighth of the iterates, nearly, is a better model than the last: coefficients swing. Half the gap, in the end.
SLOW, FIRST_MEAN, POWER = 0.6, 6, 7
# What the account makes of the gap is too much by that; such a share of it is expected at first, and at least.
FIRST_TRUST, LEAST_TRUST = 0.5, 0.1
# As large as a block of rows is for the order in which they come, whatever their number.
FAR_APART = 1 << 21


class Pace:
    """What a column's epochs have said, and what follows for the next.

    Parameters
    ----------
    bound : Bound
        The column's certificate.
    kappa : float
        The strength of ||w||^2 / 2.
    n_active : int
        Rows whose weight is not 0.
    mean_norm : float
        The mean of ||x_i||^2, nearly.
    forgets : bool
        Whether a step needs nothing but the dual variable that the last one has left: such variables may leap.

    Attributes
    ----------
    rho : float
        The augmented Lagrangian's weight, by the loss's curvature at the best constant; 0 without an intercept.
    most_ahead : float
        The share by which Nesterov's method goes ahead in the end, by the condition number of the dual: an epoch leaves
        exp(-1 / condition) of the gap, at most (Shalev-Shwartz and Zhang 2013).
    leaps : bool
        Whether dual variables leap.
    epochs : int
        How many there were.
    averaged : int
        The number of iterates whose mean is the model; 0: it is the last one.
    """

    def __init__(self, bound, kappa, n_active, mean_norm, forgets):
        self.bound, self.kappa, self.n_active = bound, kappa, n_active
        strength = n_active * kappa
        self.rho = _intercept_weight(bound, strength, mean_norm) if bound.fit_intercept else 0.0
        root = (1 + bound.reading.traits[bound.k].curvature * mean_norm / strength) ** -0.5
        self.most_ahead = (1 - root) / (1 + root)
        self.has_proof = bound.l2 > 0       # otherwise the proximal term moves with each epoch
        self.leaps = bool(self.has_proof and forgets and self.most_ahead > LEAST_LEAP)
        self.trust = FIRST_TRUST if self.leaps else 1.0
        self.epochs, self.averaged = 0, 0
        self._account, self._fall = 0.0, 1.0
        self._judged = 0.0, np.inf          # the readings when the progress was, and the gap then

    @property
    def next_to_none(self):
        """A row whose part of the gap is less may rest in the next epoch."""
        return NEXT_TO_NONE * self._account / self.n_active if self.may_rest else 0.0

    @property
    def may_rest(self):
        """Whether rows may rest in the next epoch."""
        return self.epochs >= FIRST_REST

    @property
    def may_leap(self):
        """Whether dual variables leap before the next epoch."""
        return self.leaps and self.epochs >= FIRST_LEAP

    @property
    def newest(self):
        """The weight of the last iterate in the mean."""
        return POWER / (self.averaged - 1 + POWER) if self.averaged else 1.0

    def count(self, account):
        """Take account of an epoch: the sum of c_i gap_i, as its steps have found them."""
        before, self._account = self._account, max(account, 0.0)
        self._fall = min(self._account / before, 1.0) if before > 0 else 1.0
        self.epochs += 1
        slow = self.leaps or (self.epochs >= FIRST_MEAN and self._fall > SLOW)
        self.averaged = self.averaged + 1 if slow and self.has_proof else 0

    @property
    def expected(self):
        """What the gap will turn out to be, by the account: parts of rows visited early in the epoch are of before."""
        return self.kappa * self._account * self._fall ** 0.5

    def promises(self, tol, value):
        """Whether the gap is small enough to be looked at.

        Until a model has been evaluated, `value` is called for the objective, about.
        """
        bound, expected = self.bound, self.trust * self.expected
        if self.epochs == 1 or expected > tol * bound.null:
            return False
        return expected <= tol * abs((bound.objective if bound.lower > -np.inf else value()) - bound.lowest)

    def learn(self, readings):
        """What a look says of the account and of the progress; False where the gap hardly falls, leaps or not.

        It should halve in 15 readings. With few rows and an intercept leaps may go in circles: then without them.
        """
        if self._account > 0:
            self.trust = max(LEAST_TRUST, self.bound.bound / self.expected)
        since, gap = self._judged
        if readings - since < READINGS:
            return True
        self._judged = readings, self.bound.gap
        if self.bound.gap <= 0.5 * gap:
            return True
        leapt = self.leaps
        if leapt:
            self.leaps, self.averaged, self.trust = False, 0, max(1.0, self.trust)
        return leapt


def _intercept_weight(bound, strength, mean_norm):
    curvature = bound.null_curvature
    least = LEAST_WEIGHT / curvature if LEAST_WEIGHT < curvature < 1 else LEAST_WEIGHT
    return mean_norm * np.clip(INTERCEPT_WEIGHT * strength / (mean_norm or 1.0), least, MOST_WEIGHT)

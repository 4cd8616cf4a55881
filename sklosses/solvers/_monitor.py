"""What watches a solver: called around each epoch, may score it and stop it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Verdict:
    """A monitor's answer to an epoch.

    Attributes
    ----------
    stop : bool, default=False
        Ask the solver to stop after this epoch.
    score : float or None, default=None
        A score of the model as it is now, higher is better. It replaces the objective in the solver's stopping rule,
        and the solver returns the weights that scored best.
    """

    stop: bool = False
    score: float | None = None


class Epoch:
    """What a monitor sees of an epoch that has ended.

    Attributes
    ----------
    number : int
        From 0.
    objective : ndarray of shape (n_columns,)
        The running objective: its mean over the rows of the epoch, each as the solver came to it.
    seconds : float
        Since the solver started.
    gap : ndarray of shape (n_columns,) or None
        Of solvers that certify: how far the objective is from its minimum, as far as is known by now.
    """

    def __init__(self, number, objective, seconds, model, gap=None):
        self.number = number
        self.objective = objective
        self.seconds = seconds
        self.gap = gap
        self._model = model
        self._copies = None

    def _materialise(self):
        if self._copies is None:
            if self._model is None:
                raise RuntimeError("Coefficients of an epoch must be read before its monitor returns.")
            self._copies = self._model()
        return self._copies

    @property
    def coef(self):
        """What the model would be if the solver stopped now."""
        return self._materialise()[0]

    @property
    def intercept(self):
        """Likewise its intercepts: ndarray of shape (n_columns,)."""
        return self._materialise()[1]

    def close(self):
        """Let go of the solver: its coefficients move on. Copies made remain."""
        self._model = None


class Monitor:
    """Watches a solver. This one does nothing: subclass it and override what is of interest."""

    def attach(self, stop):
        """Called as work starts, with a method that stops it from any thread; an epoch is left unfinished then."""

    def begin(self, epoch):
        """Called before the epoch numbered `epoch` (from 0)."""

    def end(self, epoch):
        """Called after an epoch.

        Parameters
        ----------
        epoch : Epoch
            Its coefficients are copied when they are asked for, which has to be before this method returns.

        Returns
        -------
        Verdict
        """
        return Verdict()


class Listener:
    """Hears a monitor's verdicts: remembers the model that scored best, and for how long none was better.

    A model that has been scored before is not judged again: some looks teach a solver something and leave its best
    model as it was.

    Parameters
    ----------
    tol : float
        What a score has to rise by.
    patience : int
        Models in a row without such a rise after which to stop.

    Attributes
    ----------
    best : tuple of (float, int, tuple of ndarray) or None
        The best score, the number of its epoch, and the coefficients and intercepts.
    """

    def __init__(self, tol, patience):
        self.tol, self.patience, self.best = tol, patience, None
        self._last, self._waited = None, 0

    def hear(self, verdict, number, model):
        """Take the verdict on the epoch `number`; `model()` copies its model. Return whether to stop."""
        if verdict.score is not None:
            now = model()
            rise = np.inf if self.best is None else verdict.score - self.best[0]
            if rise > self.tol:
                self._waited = 0
            elif self._last is None or not all(map(np.array_equal, now, self._last)):
                self._waited += 1
            self._last = now
            if rise >= 0:
                self.best = verdict.score, number, now
        return verdict.stop or self._waited >= self.patience

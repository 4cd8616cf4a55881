"""A monitor for tests."""

import numpy as np

from sklosses.solvers import Monitor, Verdict


class Watch(Monitor):
    """Remembers the numbers of epochs, and stops after `last`."""

    def __init__(self, last=np.inf):
        self.last, self.numbers = last, []

    def end(self, epoch):
        self.numbers.append(epoch.number)
        return Verdict(stop=epoch.number >= self.last)

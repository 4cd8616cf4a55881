"""Columns of a table, taken from its rows as they are wanted."""

import numpy as np


class Held:
    """The entries of columns that have been wanted so far, column by column.

    Parameters
    ----------
    reading : Reading
        The first columns cost two readings, of which one counts the entries of all; others cost one.

    Attributes
    ----------
    n_entries : int
        Of the table.
    """

    def __init__(self, reading):
        self._reading, d = reading, reading.n_features
        self._place = np.full(d, -1, dtype=np.int32)        # among the columns held
        self._starts = self._stops = np.empty(0, dtype=np.intp)
        self._values, self._rows = np.empty(0), np.empty(0, dtype=np.int32)
        self._counts = np.zeros(d, dtype=np.intp)
        reading.columns(np.arange(d, dtype=np.int32), self._counts)
        self.n_entries = int(self._counts.sum())

    def __call__(self, features, near):
        """Values and numbers of rows of entries, and where those of each feature start and stop.

        Where any has to be copied, those `near` are too.
        """
        if np.any(self._place[features] < 0):
            wanted = np.concatenate([features, near])
            self._take(wanted[self._place[wanted] < 0])
        places = self._place[features]
        return self._values, self._rows, self._starts[places], self._stops[places]

    def _take(self, new):
        places = np.full(len(self._place), -1, dtype=np.int32)
        places[new] = np.arange(len(new))
        self._place[new] = len(self._starts) + places[new]
        before, counts = len(self._values), self._counts[new]
        stops = before + np.cumsum(counts)
        self._values, values = _longer(self._values, stops[-1])
        self._rows, rows = _longer(self._rows, stops[-1])
        self._reading.columns(places, stops - counts - before, values, rows)
        self._starts = np.concatenate([self._starts, stops - counts])
        self._stops = np.concatenate([self._stops, stops])


def _longer(array, size):
    """An array with room at its end, and that room."""
    out = np.empty(size, dtype=array.dtype)
    out[:len(array)] = array
    return out, out[len(array):]

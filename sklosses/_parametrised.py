"""Parameters of losses and penalties, in scikit-learn's manner."""

import numpy as np


class Parametrised:
    """An object with parameters that are checked together and kept as they were given.

    Subclasses write ``_set(**given)``, which checks, and keeps the parameters as ``self._given``. They can then be read
    as attributes, cloned, compared and printed.
    """

    def __getattr__(self, name):
        given = self.__dict__.get("_given", {})
        if name in given:
            return given[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def get_params(self, deep=True):
        """Parameters of this object.

        Parameters
        ----------
        deep : bool, default=True
            Accepted for scikit-learn's sake: parameters hold no further estimators.

        Returns
        -------
        dict
            Names and values, as given.
        """
        return dict(self._given)

    def set_params(self, **params):
        """Set parameters of this object.

        Parameters
        ----------
        **params : dict
            Names and new values.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a name is unknown or a value out of range; nothing has changed then.
        """
        given = self.get_params()
        for name in params:
            if name not in given:
                raise ValueError(f"Invalid parameter {name!r} for {type(self).__name__}; valid: {sorted(given)!r}.")
        self._set(**{**given, **params})
        return self

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        mine, others = self.get_params(), other.get_params()
        return mine.keys() == others.keys() and all(np.array_equal(mine[name], others[name]) for name in mine)

    def __hash__(self):
        return hash(type(self).__name__)  # parameters may change (set_params) and may be arrays

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"

    def __reduce__(self):
        return rebuild, (type(self), self.get_params())


def rebuild(cls, params):
    """What pickles of parametrised objects call."""
    return cls(**params)

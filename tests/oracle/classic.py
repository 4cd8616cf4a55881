"""Our estimators with the learning rates that scikit-learn's have by default, for tests of the schedules."""

import functools
import inspect

import sklosses


def _with_schedule(cls, name):
    """A subclass of the same name whose default learning rate is a schedule."""
    init = cls.__init__

    @functools.wraps(init)
    def __init__(self, *args, **kwargs):
        given = inspect.signature(init).bind_partial(self, *args, **kwargs).arguments
        init(self, *args, **kwargs if "learning_rate" in given else kwargs | {"learning_rate": name})

    signature = inspect.signature(init)
    changed = [p.replace(default=name) if p.name == "learning_rate" else p for p in signature.parameters.values()]
    __init__.__signature__ = signature.replace(parameters=changed)
    return type(cls.__name__, (cls,), {"__init__": __init__, "__module__": __name__, "__doc__": cls.__doc__})


SGDClassifier = _with_schedule(sklosses.SGDClassifier, "optimal")
SGDRegressor = _with_schedule(sklosses.SGDRegressor, "invscaling")
SGDOneClassSVM = _with_schedule(sklosses.SGDOneClassSVM, "optimal")

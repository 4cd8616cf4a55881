"""Solvers: a problem goes in, a result comes out. They know no loss and no estimator by name."""

import importlib

from sklosses.solvers._monitor import Epoch, Monitor, Verdict
from sklosses.solvers._objective import objective
from sklosses.solvers._order import row_order
from sklosses.solvers._problem import OneVsRest, Problem, Result, State
from sklosses.solvers._sgd import SGD

__all__ = ["SGD", "Auto", "Coupled", "DualDescent", "Epoch", "Monitor", "Newton", "OneVsRest", "Ordered", "Problem",
           "Result", "State", "Streaming", "TruncatedNewton", "Verdict", "WorkingSet", "alpha_max", "minimize",
           "objective", "row_order", "solve_by_steps", "solve_many"]

# Imported when they are asked for: `import sklosses` stays quick.
LATER = {"Auto": "_auto", "Coupled": "_coupled", "DualDescent": "_dual_descent", "Newton": "_newton",
         "Ordered": "_ordered", "Streaming": "_streaming", "TruncatedNewton": "_truncated",
         "WorkingSet": "_working_set", "alpha_max": "_alpha_max", "minimize": "_minimize",
         "solve_by_steps": "_together", "solve_many": "_many"}


def __getattr__(name):
    if name in LATER:
        value = getattr(importlib.import_module(f"{__name__}.{LATER[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(globals().keys() | LATER.keys())

"""Solvers: a problem goes in, a result comes out. They know no loss and no estimator by name."""

from sklosses.solvers._dual_descent import DualDescent
from sklosses.solvers._minimize import minimize
from sklosses.solvers._monitor import Epoch, Monitor, Verdict
from sklosses.solvers._newton import Newton
from sklosses.solvers._objective import objective
from sklosses.solvers._order import row_order
from sklosses.solvers._problem import OneVsRest, Problem, Result, State
from sklosses.solvers._sgd import SGD

__all__ = ["SGD", "DualDescent", "Epoch", "Monitor", "Newton", "OneVsRest", "Problem", "Result", "State", "Verdict",
           "minimize", "objective", "row_order"]

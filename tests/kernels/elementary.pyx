# cython: freethreading_compatible=True
"""The elementary functions of the formulas, on arrays."""

from sklosses.losses._math cimport exp_, exp_decay_, expm1_, log1p_, log1p_unit_


def on_array(name, const double[::1] x, double[::1] result):
    """One of them, element by element."""
    cdef Py_ssize_t i
    if name == "exp":
        for i in range(x.shape[0]):
            result[i] = exp_(x[i])
    elif name == "exp_decay":
        for i in range(x.shape[0]):
            result[i] = exp_decay_(x[i])
    elif name == "expm1":
        for i in range(x.shape[0]):
            result[i] = expm1_(x[i])
    elif name == "log1p":
        for i in range(x.shape[0]):
            result[i] = log1p_(x[i])
    else:
        for i in range(x.shape[0]):
            result[i] = log1p_unit_(x[i])

"""Elementary functions for formulas of losses: branch-free, error bounds and sources in ``_math.h``."""

cdef extern from "_math.h" nogil:
    double exp_ "sk_exp"(double x) noexcept
    double expm1_ "sk_expm1"(double x) noexcept
    double log1p_ "sk_log1p"(double x) noexcept

"""Elementary functions for formulas of losses: branch-free, error bounds and sources in ``_math.h``."""

cdef extern from "_math.h" nogil:
    double exp_ "sk_exp"(double x) noexcept
    double exp_decay_ "sk_exp_decay"(double x) noexcept        # x <= 0
    double expm1_ "sk_expm1"(double x) noexcept
    double log1p_ "sk_log1p"(double x) noexcept
    double log1p_unit_ "sk_log1p_unit"(double x) noexcept      # 0 <= x <= 1

"""The contract between losses and solvers: all of it.

A loss is a function of a target and a raw prediction and nothing else: rows, coefficients and weights never enter. A
solver holds a ``Loss``, fills a ``Block`` and calls ``evaluate``; it knows no loss by name. To write a loss of your
own, in this package or another: subclass ``Loss`` and implement ``evaluate``. Everything else has a default.

Numbers are float64 throughout, whatever the precision of the data: solvers convert rows as they load them.
"""

cdef struct Block:
    # A rectangle of rows and columns (a column: one set of coefficients). Element (i, k) of each array stands at
    # [i * stride + k]. Arrays of results that the caller does not want are NULL.
    Py_ssize_t n_rows
    Py_ssize_t n_columns
    Py_ssize_t stride
    Py_ssize_t first        # the first column's place among the loss's parameters, where these are vectors
    const double* y         # targets; label codes for classification
    const double* p         # raw predictions
    double* value           # phi(y, p)
    double* gradient        # d phi / d p
    double* hessian         # d2 phi / d p2


cdef struct Block32:
    # The same in float32: what the public methods are asked to evaluate for arrays of that type. Solvers use Block.
    Py_ssize_t n_rows
    Py_ssize_t n_columns
    Py_ssize_t stride
    Py_ssize_t first
    const float* y
    const float* p
    float* value
    float* gradient
    float* hessian


cdef struct Dual:
    # What dual coordinate descent keeps of a row.
    double u                # its dual variable, a slope of phi; 0 before the first step
    double at               # where phi has this slope; nan before the first step, or if the loss has no use for it
    double curvature        # the second derivative there, likewise
    double gap              # phi(y, p) + phi*(u) - u p for the p and the u that the last step began with, about


cdef struct Parabola:
    # A convex conjugate made of two half parabolas, on an interval round 0:
    #     phi*(u) = centre u + dead |u| + width u^2 / 2,   low <= u <= high,   width that of u's side.
    # All losses whose slope is piecewise linear in p and breaks where it is 0 or ends have one.
    double centre
    double dead
    double width_below
    double width_above
    double low
    double high


cdef class Loss:
    cdef readonly Py_ssize_t n_columns      # length of vector parameters; 1 if all are scalars
    cdef double* theta                      # parameter j of column k at [j * n_columns + k]
    cdef readonly object _given             # {name: what the user gave}
    cdef bint failed                        # value_at or gradient_at has left the error indicator set

    # What solvers call: nogil; the GIL may be taken inside, an exception set there is propagated.
    cdef int evaluate(self, const Block* block) except -1 nogil
    # Converts and calls `evaluate`, unless a loss knows better.
    cdef int evaluate32(self, const Block32* block) except -1 nogil

    # The same for one element, where a solver's update needs it at once; `column` indexes vector parameters.
    # An exception cannot leave these: they return nan with the Python error indicator set, which solvers ask for.
    cdef double value_at(self, double y, double p, Py_ssize_t column) noexcept nogil
    cdef double gradient_at(self, double y, double p, Py_ssize_t column) noexcept nogil

    # sup_p (u p - phi(y, p)): inf outside its domain, nan for a loss that has no formula for it.
    cdef double conjugate_at(self, double y, double u, Py_ssize_t column) noexcept nogil
    # The conjugate for a target, if it is a Parabola: False of other losses. Columns take dual steps together then.
    cdef bint conjugate_parabola(self, double y, Py_ssize_t column, Parabola* out) noexcept nogil
    # argmin_p phi(y, p) + (p - v)^2 / (2 step), by safeguarded Newton unless a loss knows better. Convex losses.
    cdef double prox_at(self, double y, double v, double step, Py_ssize_t column) noexcept nogil

    # A step of dual coordinate descent: nearly argmin_u phi*(u) - u p + step (u - dual.u)^2 / 2, which is the slope of
    # phi at prox_at(y, p + step dual.u, step). Convex losses; u stays within the range of slopes.
    cdef void dual_step(self, double y, double p, double step, Dual* dual, Py_ssize_t column) noexcept nogil

    # theta[which] for a column, scalar or vector alike.
    cdef double parameter(self, Py_ssize_t which, Py_ssize_t column) noexcept nogil

"""Iterations on rows in memory: of the interior point method, and Newton's of a smooth loss or of smoothed kinks.

Products with the rows, the matrix and its factors, the steps. A point inside has for each hinge alpha and
tau = 1 - alpha, its slope and what is left of it, and xi and zeta, how far a.z is above or below the kink. The loops
over hinges stand in ``_hinges.h``.
"""

from libc.math cimport INFINITY, fabs, isfinite, sqrt
from libc.string cimport memcmp, memcpy, memset

import numpy as np
from scipy.linalg.cython_blas cimport dsymv
from scipy.linalg.cython_lapack cimport dpotrf, dpotrs

from sklosses.data._products cimport padded, sk_add4_f64, sk_add_f64, sk_dot4_f64, sk_dot_f64
from sklosses.data._tile cimport lower_gram
from sklosses.losses._loss cimport Block, Loss

cdef extern from "_hinges.h" nogil:
    ctypedef struct Points "sk_hinges":
        Py_ssize_t n
        double* alpha
        double* tau
        double* xi
        double* zeta
        double* rho
        const double* omega
        const double* share
    ctypedef struct Seen "sk_seen":
        double* slope
        double* curvature
        double* bend
        double* pull
        double* per_alpha
        double* per_tau
        double* per_xi
        double* per_zeta
    ctypedef struct Goals "sk_goals":
        double* above
        double* below
        double* change
        double* push
    ctypedef struct Steps "sk_steps":
        double* alpha
        double* xi
        double* zeta
    ctypedef struct Ends "sk_ends":
        double primal
        double dual
    void sk_centre(Points h, double width) noexcept
    double sk_look(Points h, Seen seen) noexcept
    double sk_predict(Points h, Seen seen, const double* moved, double* step) noexcept
    void sk_aim(Points h, Seen seen, const double* step, double corrected, double mu,
                Goals to) noexcept
    void sk_recentre(Points h, Seen seen, Steps by, Ends lengths, double mu,
                     Goals to) noexcept
    Ends sk_correct(Points h, Seen seen, const double* moved, Goals to, Steps by) noexcept
    void sk_move(Points h, Steps by, const double* moved, Ends lengths) noexcept

cdef extern from "_weigh.h" nogil:
    void weigh_smoothed "sk_weigh_smoothed"(Py_ssize_t n, const double* weight, double* smooth, double* value,
                                            double* gradient, double* hessian, double* sums) noexcept
    double slope_along "sk_slope_along"(Py_ssize_t n, const double* weight, const double* gradient,
                                        const double* change) noexcept

cdef struct Step:
    # A step: of z, of Az, of the hinges; and how far primal and dual variables go along it.
    double* z
    double* moved
    Steps hinges
    double primal
    double dual

cdef enum:
    GRAM_ROWS = 64      # rows and weighted rows of a Gram matrix at a time
    BY_HAND = 64        # systems up to this size are factorised here: a call of LAPACK takes longer than they do
    LINE = 8            # numbers of a cache line
    PIECE = 512         # predictions that are swept at once where no rows are read; loops have to say so themselves

cdef double NOTHING = 1e-9      # of a condition, relative to what it is made of, where it is met
# Added to the diagonal of the scaled matrix, at first and at most, where Cholesky finds it singular.
cdef double LEAST_RIDGE = 1e-15, MOST_RIDGE = 1e-6
# Steps end short of the boundary, after such a share of the way to it: more of it where the predicted step leaves less
# of the gap. Points that hug the boundary early are stuck there, where hinges are many and of unequal weight.
cdef double LEAST_SHARE = 0.9, MOST_SHARE = 0.995
# Steps shorter than this are blocked: then this share of the gap is aimed at.
cdef double BLOCKED = 0.01, CENTRE = 0.8
# So many corrections for the sake of longer steps, unless they are long; they aim at so much more, and are given up
# where they bring less than a share of it. With one alone fits take as long, but rows of codes (bank marketing) are not
# done after 80 iterations.
cdef int CORRECTORS = 3
cdef double LONG = 0.9, LONGER = 0.3, WORTH = 0.1


def _room(Py_ssize_t n, make=np.zeros):
    """Zeros, or numbers that are yet to be written, that begin with a cache line."""
    memory = make(n + LINE)
    cdef double[::1] view = memory
    cdef Py_ssize_t first = (LINE - <Py_ssize_t>&view[0] // 8 % LINE) % LINE
    return memory[first:first + n]


cdef class Design:
    """Rows in memory, each padded to whole vectors.

    Parameters
    ----------
    n_rows, n_columns : int
    copies : int, default=1
        A is the rows so many times, which are multiplied once.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_columns)
        0 at first: to be filled.
    """

    cdef readonly object rows
    cdef Py_ssize_t n_rows, n_columns, copies, stride
    cdef double[::1] _rows, _vector, _folded, _scaled, _kept

    def __init__(self, Py_ssize_t n_rows, Py_ssize_t n_columns, Py_ssize_t copies=1):
        self.n_rows, self.n_columns, self.copies, self.stride = n_rows, n_columns, copies, padded(n_columns)
        memory = _room(n_rows * self.stride + LINE)
        self.rows = memory[:n_rows * self.stride].reshape(n_rows, self.stride)[:, :n_columns]
        self._rows = memory
        self._make_scratch()

    cdef _make_scratch(self):
        self._vector, self._folded = _room(self.stride), _room(self.n_rows if self.copies > 1 else 0)
        self._scaled, self._kept = _room(GRAM_ROWS * self.stride), _room(GRAM_ROWS * self.stride)

    def twin(self):
        """The same rows for another thread: scratch is no two threads' own."""
        cdef Design other = Design.__new__(Design)
        other.n_rows, other.n_columns, other.copies, other.stride = self.n_rows, self.n_columns, self.copies, self.stride
        other.rows, other._rows = self.rows, self._rows
        other._make_scratch()
        return other

    def some(self, const Py_ssize_t[::1] numbers):
        """A copy of some of the rows."""
        cdef Design other = Design(numbers.shape[0], self.n_columns)
        cdef Py_ssize_t i, size = self.stride * sizeof(double)
        with nogil:
            for i in range(numbers.shape[0]):
                memcpy(&other._rows[i * self.stride], &self._rows[numbers[i] * self.stride], size)
        return other

    @staticmethod
    def bytes_of(Py_ssize_t n_rows, Py_ssize_t n_columns):
        """Memory of such rows."""
        return n_rows * padded(n_columns) * sizeof(double)

    cdef void multiply(self, const double* z, double* out) noexcept nogil:
        """Az."""
        cdef const double* x = &self._rows[0]
        cdef double* w = &self._vector[0]
        cdef const double* four[4]
        cdef Py_ssize_t i, r, n = self.n_rows, stride = self.stride
        memcpy(w, z, self.n_columns * sizeof(double))
        memset(w + self.n_columns, 0, (stride - self.n_columns) * sizeof(double))
        for i in range(0, n - n % 4, 4):
            for r in range(4):
                four[r] = x + (i + r) * stride
            sk_dot4_f64(four, w, stride, out + i)
        for i in range(n - n % 4, n):
            out[i] = sk_dot_f64(x + i * stride, w, stride)
        for i in range(1, self.copies):
            memcpy(out + i * n, out, n * sizeof(double))

    cdef const double* fold(self, const double* v) noexcept nogil:
        """The sum over the copies."""
        cdef Py_ssize_t i, c, n = self.n_rows
        if self.copies == 1:
            return v
        for i in range(n):
            self._folded[i] = v[i]
        for c in range(1, self.copies):
            for i in range(n):
                self._folded[i] += v[c * n + i]
        return &self._folded[0]

    cdef void multiply_back(self, const double* v, double* out) noexcept nogil:
        """A'v."""
        cdef const double* x = &self._rows[0]
        cdef double* w = &self._vector[0]
        cdef const double* four[4]
        cdef Py_ssize_t i, r, n = self.n_rows, stride = self.stride
        v = self.fold(v)
        memset(w, 0, stride * sizeof(double))
        for i in range(0, n - n % 4, 4):
            if v[i] == 0 and v[i + 1] == 0 and v[i + 2] == 0 and v[i + 3] == 0:
                continue        # as most of a hinge's slopes
            for r in range(4):
                four[r] = x + (i + r) * stride
            sk_add4_f64(w, four, stride, v + i)
        for i in range(n - n % 4, n):
            sk_add_f64(w, x + i * stride, stride, v[i])
        memcpy(out, w, self.n_columns * sizeof(double))

    cdef void add_gram(self, const double* v, double* out) noexcept nogil:
        """out += A' diag(v) A, the lower triangle; its rows are padded. Rows of weight 0 are not read."""
        cdef Py_ssize_t first, i, f, size, m = 0, stride = self.stride
        cdef const double* x
        cdef double* kept = &self._kept[0]
        cdef double* scaled = &self._scaled[0]
        v = self.fold(v)
        for first in range(0, self.n_rows, 64):     # Cython must see the step's sign
            size = min(<Py_ssize_t>GRAM_ROWS, self.n_rows - first)
            if m == 0 and has_no_zero(v + first, size):
                x = &self._rows[first * stride]
                for i in range(size):
                    for f in range(stride):
                        scaled[i * stride + f] = v[first + i] * x[i * stride + f]
                lower_gram(size, self.n_columns, stride, x, scaled, out)
                continue
            for i in range(first, first + size):
                if v[i] == 0:
                    continue
                x = &self._rows[i * stride]
                for f in range(stride):
                    kept[m * stride + f] = x[f]
                    scaled[m * stride + f] = v[i] * x[f]
                m += 1
                if m == GRAM_ROWS:
                    lower_gram(m, self.n_columns, stride, kept, scaled, out)
                    m = 0
        lower_gram(m, self.n_columns, stride, kept, scaled, out)

    def product(self, const double[::1] z):
        """Az."""
        out = np.empty(self.n_rows * self.copies + 1)
        cdef double[::1] to = out
        with nogil:
            self.multiply(&z[0], &to[0])
        return out[:self.n_rows * self.copies]

    def back(self, const double[::1] v):
        """A'v."""
        out = np.empty(self.n_columns)
        cdef double[::1] to = out
        if not v.shape[0]:
            return np.zeros(self.n_columns)
        with nogil:
            self.multiply_back(&v[0], &to[0])
        return out

    def gram(self, const double[::1] v):
        """A' diag(v) A, the lower triangle: of shape (n_columns, stride)."""
        out = np.zeros((self.n_columns, self.stride))
        cdef double[:, ::1] to = out
        if v.shape[0]:
            with nogil:
                self.add_gram(&v[0], &to[0, 0])
        return out


cdef inline bint has_no_zero(const double* v, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if v[i] == 0:
            return False
    return True


cdef bint cholesky(Py_ssize_t n, double* a, double* column) noexcept nogil:
    """Replace a lower triangle by its Cholesky factor; False if the matrix is not positive definite."""
    cdef Py_ssize_t i, j, k
    cdef double pivot, factor
    cdef double* row
    for k in range(n):
        if not a[k * n + k] > 0:
            return False
        pivot = a[k * n + k] = sqrt(a[k * n + k])
        pivot = 1 / pivot
        for i in range(k + 1, n):
            column[i] = a[i * n + k] = a[i * n + k] * pivot
        for i in range(k + 1, n):
            row, factor = a + i * n, column[i]
            for j in range(k + 1, i + 1):
                row[j] -= factor * column[j]
    return True


cdef void substitute(Py_ssize_t n, const double* factor, double* x) noexcept nogil:
    """Solve LL'x = x for a lower triangle L."""
    cdef Py_ssize_t i, j
    cdef const double* row
    cdef double sum
    for i in range(n):
        row, sum = factor + i * n, x[i]
        for j in range(i):
            sum -= row[j] * x[j]
        x[i] = sum / row[i]
    for i in range(n - 1, -1, -1):
        row = factor + i * n
        x[i] = sum = x[i] / row[i]
        for j in range(i):
            x[j] -= row[j] * sum


cdef void subtract_product(Py_ssize_t n, const double* a, const double* x, double* out) noexcept nogil:
    """out -= Ax for a symmetric matrix, of which the lower triangle is read."""
    cdef Py_ssize_t i, j
    cdef const double* row
    cdef double sum
    for i in range(n):
        row, sum = a + i * n, a[i * n + i] * x[i]
        for j in range(i):
            sum += row[j] * x[j]
            out[j] -= row[j] * x[i]
        out[i] -= sum


cdef class Factor:
    """Solves with a positive semidefinite matrix by Cholesky's factors, refined once.

    The diagonal is scaled to 1, and raised a little where that is needed.

    Parameters
    ----------
    size : int
    """

    cdef int size
    cdef double[::1] _scale, _scaled, _factor, _right, _rest

    def __init__(self, Py_ssize_t size):
        self.size = <int>size
        self._scale, self._right, self._rest = np.empty(size), np.empty(size), np.empty(size)
        self._scaled, self._factor = np.empty(size * size), np.empty(size * size)

    def decompose(self, const double[:, ::1] matrix):
        """Take a matrix, of which the lower triangle is read; whether it is of use."""
        cdef bint done
        with nogil:
            done = self.take(&matrix[0, 0], matrix.shape[1])
        return done

    def solve(self, const double[::1] vector):
        """The solution for a vector."""
        out = np.empty(self.size)
        cdef double[::1] to = out
        with nogil:
            self.solve_for(&vector[0], &to[0])
        return out

    cdef bint take(self, const double* matrix, Py_ssize_t stride) noexcept nogil:
        cdef Py_ssize_t i, j, n = self.size
        cdef double* scale = &self._scale[0]
        cdef double* scaled = &self._scaled[0]
        cdef double* factor = &self._factor[0]
        cdef double ridge = LEAST_RIDGE, sum = 0
        cdef int failed = 1
        for i in range(n):
            scale[i] = 1 / sqrt(matrix[i * stride + i]) if matrix[i * stride + i] > 0 else 1.0
            for j in range(i):
                scaled[i * n + j] = matrix[i * stride + j] * scale[i] * scale[j]
                sum += scaled[i * n + j]
            scaled[i * n + i] = 1
            sum += 0 * matrix[i * stride + i]
        if not isfinite(sum):
            return False
        while failed and ridge <= MOST_RIDGE:
            memcpy(factor, scaled, n * n * sizeof(double))
            for i in range(n):
                factor[i * n + i] = 1 + ridge
            if n <= BY_HAND:
                failed = not cholesky(n, factor, &self._rest[0])
            else:           # what is the lower triangle here is the upper one for Fortran
                dpotrf("U", &self.size, factor, &self.size, &failed)
            ridge *= 100
        return not failed

    cdef double least_pivot(self) noexcept nogil:
        """What is least left of a diagonal of 1 when the coordinates before it are eliminated."""
        cdef Py_ssize_t i
        cdef double least = 1
        for i in range(self.size):
            least = min(least, self._factor[i * self.size + i])
        return least * least

    cdef void solve_for(self, const double* vector, double* out) noexcept nogil:
        cdef int one = 1, failed = 0
        cdef Py_ssize_t i, n = self.size
        cdef double minus = -1, plus = 1
        cdef double* right = &self._right[0]
        cdef double* rest = &self._rest[0]
        for i in range(n):
            right[i] = rest[i] = vector[i] * self._scale[i]
        if n <= BY_HAND:
            substitute(n, &self._factor[0], right)
            subtract_product(n, &self._scaled[0], right, rest)
            substitute(n, &self._factor[0], rest)
        else:
            dpotrs("U", &self.size, &one, &self._factor[0], &self.size, right, &self.size, &failed)
            dsymv("U", &self.size, &minus, &self._scaled[0], &self.size, right, &one, &plus, rest, &one)
            dpotrs("U", &self.size, &one, &self._factor[0], &self.size, rest, &self.size, &failed)
        for i in range(n):
            out[i] = (right[i] + rest[i]) * self._scale[i]


cdef class System:
    """What the method multiplies with: rows, and hinges on coordinates behind them.

    Parameters
    ----------
    hinges : Hinges
    """

    cdef object rows
    cdef Design design      # None where the rows are not in memory in one piece
    cdef Py_ssize_t m, size, n_own
    cdef const Py_ssize_t[::1] own, fixed
    cdef const double[::1] factor, quadratic, linear, strengths, scales
    cdef double level, total
    cdef double[:, ::1] _matrix

    def __init__(self, hinges):
        self.rows, self.design = hinges.rows, getattr(hinges.rows, "whole", None)
        self.own, self.factor, self.fixed = hinges.own, hinges.factor, np.flatnonzero(hinges.fixed)
        self.m, self.size, self.n_own = len(hinges.weights), len(hinges.linear), len(hinges.own)
        self.quadratic, self.linear, self.level, self.total = hinges.quadratic, hinges.linear, hinges.level, hinges.total
        self.strengths, self.scales = hinges.strengths, hinges.scales
        if self.design is not None:
            self._matrix = np.empty((self.size, self.design.stride))

    cdef int multiply(self, const double* z, double* out) except -1:
        """Az."""
        cdef const double[::1] found
        cdef Py_ssize_t k
        if self.design is not None:
            with nogil:
                self.design.multiply(z, out)
        else:
            found = self.rows.product(np.asarray(<double[:self.size]>(<double*>z)))
            if self.m:
                memcpy(out, &found[0], self.m * sizeof(double))
        for k in range(self.n_own):
            out[self.m + k] = self.factor[k] * z[self.own[k]]
        return 0

    cdef int multiply_back(self, const double* v, double* out) except -1:
        """A'v."""
        cdef const double[::1] found
        cdef Py_ssize_t k
        if self.design is not None:
            with nogil:
                self.design.multiply_back(v, out)
        else:
            found = self.rows.back(_vector(v, self.m))
            memcpy(out, &found[0], self.size * sizeof(double))
        for k in range(self.n_own):
            out[self.own[k]] += self.factor[k] * v[self.m + k]
        return 0

    cdef double[:, ::1] weighted(self, const double* v, const double* diagonal):
        """A' diag(v) A + diag(diagonal), the lower triangle; valid until the next one is asked for."""
        cdef Py_ssize_t i, j, k
        cdef double[:, ::1] out = self._matrix
        if self.design is not None:
            with nogil:
                memset(&out[0, 0], 0, self.size * out.shape[1] * sizeof(double))
                self.design.add_gram(v, &out[0, 0])
        else:
            out = self.rows.gram(_vector(v, self.m))
        for i in range(self.size):
            out[i, i] += diagonal[i]
        for k in range(self.n_own):
            out[self.own[k], self.own[k]] += self.factor[k] * self.factor[k] * v[self.m + k]
        for k in range(self.fixed.shape[0]):
            i = self.fixed[k]
            for j in range(self.size):
                out[i, j] = out[j, i] = 0
            out[i, i] = 1
        return out

    cdef void leave_fixed(self, double* v) noexcept nogil:
        """Take what asks fixed coordinates to move out of a right side: of a constant column that is rounding."""
        cdef Py_ssize_t k
        for k in range(self.fixed.shape[0]):
            v[self.fixed[k]] = 0

    cdef double bound(self, const double* rest, const double* z) noexcept nogil:
        """By how much at most a rest of the stationarity condition lowers the dual's bound.

        With R > 0 by rest^2 / (2 R). A coordinate with a hinge of its own is at most level / l1 in sum at the minimum,
        where its part of the objective is l1 abs(z_j). Of others no more is known than where they are: inf, if more
        than rounding is left of their condition.
        """
        cdef double lowered = 0, held = 0, slope
        cdef Py_ssize_t j
        for j in range(self.size):
            slope = fabs(rest[j])
            if self.quadratic[j] > 0:
                lowered += slope * slope * 0.5 / self.quadratic[j]
            elif self.strengths[j] > 0:
                held = max(held, slope / (0.5 * self.strengths[j] * self.scales[j]))
            else:
                slope /= self.scales[j]
                if slope > NOTHING * self.total:
                    return INFINITY
                lowered += slope * (fabs(z[j]) * self.scales[j] + fabs(self.level) / self.total)
        return lowered + (self.level * held if held > 0 else 0)

    def product(self, const double[::1] z):
        """Az, of the rows and of the hinges on coordinates."""
        out = np.empty(self.m + self.n_own + 1)
        cdef double[::1] to = out
        self.multiply(&z[0], &to[0])
        return out[:self.m + self.n_own]

    def back(self, const double[::1] v):
        """A'v of all hinges."""
        out = np.zeros(self.size)
        cdef double[::1] to = out
        if v.shape[0]:
            self.multiply_back(&v[0], &to[0])
        return out

    def matrix(self, const double[::1] v):
        """A' diag(v) A, the lower triangle; valid until the next one is asked for."""
        cdef double[::1] nothing = np.zeros(self.size)
        return np.asarray(self.weighted(&v[0], &nothing[0]))

    def certificate(self, hinges, const double[::1] z, const double[::1] alpha):
        """The duality gap and the defect of z and dual variables, these put into [0, 1]: from sums made anew."""
        cdef const double[::1] positions = hinges.positions, omega = hinges.omega
        cdef Py_ssize_t i, j, M = self.m + self.n_own
        cdef double[::1] above = np.empty(M + 1), slopes = np.empty(M + 1), rest = np.zeros(self.size)
        cdef double gap = 0, share
        self.multiply(&z[0], &above[0])
        for i in range(M):
            share = min(max(alpha[i], 0.0), 1.0)
            if i < self.m:
                above[i] -= positions[i]
            slopes[i] = omega[i] * share
            gap += omega[i] * (max(above[i], 0.0) - share * above[i])
        if M:
            self.multiply_back(&slopes[0], &rest[0])
        for j in range(self.size):
            rest[j] += self.linear[j] + self.quadratic[j] * z[j]
        self.leave_fixed(&rest[0])
        return gap, self.bound(&rest[0], &z[0])

    def defect(self, const double[::1] rest, const double[::1] z):
        """By how much at most a rest of the stationarity condition lowers the dual's bound."""
        return self.bound(&rest[0], &z[0])


cdef object _vector(const double* v, Py_ssize_t n):
    return np.asarray(<double[:n]>(<double*>v)) if n else np.empty(0)


cdef class Path:
    """A point inside, and the way on from it.

    The first point is on the central path of the primal: there the method is Newton's on a smoothed objective.

    Parameters
    ----------
    system : System
    hinges : Hinges
        What the system was made of.
    start : ndarray of shape (D,)
    width : float
        How far from the solution a_i.start may be.
    hold : ndarray of shape (D,)
        Of a ridge that is not part of the function.
    even : bool
        Whether primal and dual variables go equally far.

    Attributes
    ----------
    z : ndarray of shape (D,)
    hinges : ndarray of shape (4, M)
        For each hinge alpha, tau, xi, zeta.
    rho : ndarray of shape (M,)
        a_i.z - c_i.
    rest : ndarray of shape (D,)
        What `look` finds left of the stationarity condition, with the ridge.
    length : float
        How far the last step went, of primal or dual variables, whichever went further.
    """

    cdef System system
    cdef Factor factor
    cdef Points points
    cdef Seen seen
    cdef Goals goals
    cdef Step best, other       # the best so far, and one that is tried
    cdef double* predicted
    cdef readonly object z, hinges, rho, rest
    cdef readonly double length
    cdef double[::1] _z, _rest, _target, _right, _hold, _diagonal
    cdef double gap, shares
    cdef bint even
    cdef object _memory

    def __init__(self, System system, hinges, start, double width, hold, bint even):
        cdef Py_ssize_t M = len(hinges.omega), D = len(start), stride = padded(M + 1), number = 0
        memory, small = _room(29 * stride, np.empty).reshape(29, stride), np.zeros((2, D + 1))
        cdef double[:, ::1] room = memory, steps = small
        cdef double* at[29]
        for number in range(29):
            at[number] = &room[number, 0]
        self._memory = memory, small
        self.points = Points(M, at[0], at[1], at[2], at[3], at[4], at[5], at[6])
        self.seen = Seen(at[7], at[8], at[9], at[10], at[11], at[12], at[13], at[14])
        self.goals = Goals(at[15], at[16], at[17], at[18])
        self.best = Step(&steps[0, 0], at[19], Steps(at[20], at[21], at[22]), 0, 0)
        self.other = Step(&steps[1, 0], at[23], Steps(at[24], at[25], at[26]), 0, 0)
        self.predicted = at[27]
        self.hinges, self.rho = memory[:4, :M], memory[4, :M]
        memory[5, :M], memory[6, :M] = hinges.omega, hinges.share
        self.system, self.factor, self.even, self.shares = system, Factor(D), even, hinges.shares
        self.z, self.rest = np.array(start, dtype=np.float64), np.empty(D)
        self._z, self._rest, self._target, self._right = self.z, self.rest, np.empty(D), np.empty(D)
        self._hold, self._diagonal, self.length, self.gap = hold, hinges.quadratic + hold, 1.0, INFINITY
        system.multiply(&self._z[0], self.points.rho)
        self.rho[:len(hinges.positions)] -= hinges.positions
        sk_centre(self.points, width)

    def look(self):
        """The duality gap, and the defect: what the rest takes from the dual's bound."""
        cdef System system = self.system
        cdef double defect
        cdef Py_ssize_t j
        with nogil:
            self.gap = sk_look(self.points, self.seen)
        system.multiply_back(self.seen.slope, &self._rest[0])
        for j in range(system.size):
            self._rest[j] += system.linear[j] + system.quadratic[j] * self._z[j]
        system.leave_fixed(&self._rest[0])
        defect = system.bound(&self._rest[0], &self._z[0])
        for j in range(system.size):
            self._rest[j] += self._hold[j] * self._z[j]
        return self.gap, defect

    def go_on(self):
        """Make a step from where `look` was; whether there was one."""
        cdef Py_ssize_t j
        cdef Ends lengths
        if not self.factor.decompose(self.system.weighted(self.seen.curvature, &self._diagonal[0])):
            return False
        self.system.multiply_back(self.seen.pull, &self._target[0])
        for j in range(self.system.size):
            self._target[j] = -self._rest[j] - self._target[j]
        self.system.leave_fixed(&self._target[0])
        self.find_step()
        lengths = Ends(self.best.primal, self.best.dual)
        with nogil:
            sk_move(self.points, self.best.hinges, self.best.moved, lengths)
        for j in range(self.system.size):
            self._z[j] += lengths.primal * self.best.z[j]
        self.length = max(lengths.primal, lengths.dual)
        return True

    cdef int find_step(self) except -1:
        """The step of an iteration.

        The corrected step may be made longer by others, which even out the products that would block it
        (Gondzio, "Multiple centrality correctors in a primal-dual method for linear programming", Computational
        Optimization and Applications 6, 1996): they cost a few products each, and an iteration a matrix.
        """
        cdef Step* best = &self.best
        cdef double after, short_of, mu, length
        cdef Ends aims
        with nogil:
            self.factor.solve_for(&self._target[0], best.z)
        self.system.multiply(best.z, best.moved)
        with nogil:
            after = sk_predict(self.points, self.seen, best.moved, self.predicted) / self.gap
            mu = after * after * after * self.gap / (2 * self.shares)
            sk_aim(self.points, self.seen, self.predicted, 1, mu, self.goals)
        short_of = min(max(1 - after, LEAST_SHARE), MOST_SHARE)
        self.to_goals(best, short_of)
        if length_of(best) < BLOCKED:
            # Blocked at once: the second-order term misleads. To the central path first.
            mu = CENTRE * self.gap / (2 * self.shares)
            with nogil:
                sk_aim(self.points, self.seen, self.predicted, 0, mu, self.goals)
            self.to_goals(best, short_of)
        for _ in range(CORRECTORS):
            length = length_of(best)
            if not BLOCKED <= length < LONG:
                break
            aims = Ends(min(1.0, best.primal + LONGER), min(1.0, best.dual + LONGER))
            with nogil:
                sk_recentre(self.points, self.seen, best.hinges, aims, mu, self.goals)
            self.to_goals(&self.other, short_of)
            if length_of(&self.other) < length + WORTH * (min(aims.primal, aims.dual) - length):
                break
            self.best, self.other = self.other, self.best
        return 0

    cdef int to_goals(self, Step* step, double short_of) except -1:
        """The step that Newton's equations ask for."""
        cdef Ends ends
        cdef Py_ssize_t j
        self.system.multiply_back(self.goals.push, &self._right[0])
        for j in range(self.system.size):
            self._right[j] = self._target[j] - self._right[j]
        self.system.leave_fixed(&self._right[0])
        with nogil:
            self.factor.solve_for(&self._right[0], step.z)
        self.system.multiply(step.z, step.moved)
        with nogil:
            ends = sk_correct(self.points, self.seen, step.moved, self.goals, step.hinges)
        step.primal = min(1.0, short_of / ends.primal) if ends.primal > 0 else 1.0
        step.dual = min(1.0, short_of / ends.dual) if ends.dual > 0 else 1.0
        if self.even:
            step.primal = step.dual = min(step.primal, step.dual)
        return 0


cdef inline double length_of(const Step* step) noexcept nogil:
    return min(step.primal, step.dual)


# Newton's method ----------------------------------------------------------------------------------------------------

# A step that brings less than this part of what it promises is cut, to where the slope is at most this share. Of steps
# that promise less than a share of the objective slopes alone can tell.
cdef double ARMIJO = 1e-4, FLATTER = 0.1, TOLD = 1e-12
cdef int TRIALS = 40
# Steps of less than this share of what the matrix proposes say that it misleads: so many are made.
cdef double SHORT = 0.25
cdef int SHORTS = 3
# Pivots of the scaled matrix from which a step is more than rounding.
cdef double REGULAR = 1e-9


cdef class Smooth:
    """The mean of a smooth convex loss, and a quadratic penalty: (1/S) sum_i s_i phi(y_i, a_i.z + o_i) + z'Rz / 2.

    Parameters
    ----------
    design : Design
        The rows a_i.
    loss : Loss
        With scalar parameters and second derivatives.
    rows : tuple of three, each ndarray of shape (n_rows,) or None
        Targets, weights (None: 1) and offsets (None: 0).
    quadratic : ndarray of shape (D,)
        The diagonal of R.
    total : float
        S.

    Attributes
    ----------
    p : ndarray of shape (n_rows,)
        Predictions of the place that `descend` came to.
    objective, fall : float
        The function there, and the squared decrement of the last step: inf or less than 0 if there was none.
    """

    cdef Design design
    cdef Loss loss
    cdef const double[::1] y, weight, offset, quadratic
    cdef double total, slope, length
    cdef readonly double objective, fall
    cdef readonly object p
    cdef double[::1] _p, _trial, _moved, _value, _gradient, _hessian, _right, _step, _from
    cdef double[:, ::1] _matrix
    cdef Factor factor

    def __init__(self, Design design, Loss loss, rows, quadratic, double total):
        cdef Py_ssize_t n = design.n_rows
        self.design, self.loss, self.quadratic, self.total = design, loss, quadratic, total
        self.y, self.weight, self.offset = rows
        if self.y.shape[0] != n:
            raise ValueError(f"{self.y.shape[0]} targets of {n} rows.")
        room = _room(6 * padded(n + 1), np.empty).reshape(6, -1)
        self.p = room[0, :n]
        self._p, self._trial, self._moved, self._value, self._gradient, self._hessian = room
        self._right, self._step, self._from = np.empty((3, design.n_columns))
        self._matrix, self.factor = np.empty((design.n_columns, design.stride)), Factor(design.n_columns)

    def descend(self, double[::1] z, int steps, double enough):
        """Newton's steps from z, which they change; returns how many were made.

        They end where the squared decrement is this share of the objective, or the matrix singular to rounding, or of
        no use.
        """
        cdef int made = 0, shorts = 0
        cdef Py_ssize_t i
        self.fall = INFINITY
        with nogil:
            self.design.multiply(&z[0], &self._p[0])
            if self.offset is not None:
                for i in range(self.design.n_rows):
                    self._p[i] += self.offset[i]
            self.evaluate(&self._p[0], &z[0])
            while made < steps and shorts < SHORTS and self.fall > enough * fabs(self.objective):
                self.fall = self.newton(&z[0])
                if not self.fall > 0 or not self.advance(&z[0], self.fall):
                    break
                made += 1
                shorts += self.length < SHORT
        return made

    cdef int evaluate(self, const double* p, const double* z) except -1 nogil:
        """The objective at a place, and weighted derivatives of its rows' losses."""
        cdef Py_ssize_t i, n = self.design.n_rows
        cdef double* value = &self._value[0]
        cdef double* gradient = &self._gradient[0]
        cdef double* hessian = &self._hessian[0]
        cdef Block block = Block(n, 1, 1, 0, &self.y[0], p, value, gradient, hessian)
        cdef double sum = 0, s
        self.loss.evaluate(&block)
        if self.weight is not None:
            for i in range(n):
                s = self.weight[i]
                if s != 0:
                    value[i], gradient[i], hessian[i] = s * value[i], s * gradient[i], s * hessian[i]
                else:       # if it is beyond float64 too
                    value[i] = gradient[i] = hessian[i] = 0
        for i in range(n):
            sum += value[i]
        sum /= self.total
        for i in range(self.design.n_columns):
            sum += 0.5 * self.quadratic[i] * z[i] * z[i]
        self.objective = sum
        return 0

    cdef double newton(self, const double* z) noexcept nogil:
        """Newton's step at the place evaluated last, and its squared decrement; -1 if there is none to be trusted."""
        cdef Py_ssize_t i, j, D = self.design.n_columns, stride = self.design.stride
        cdef double* matrix = &self._matrix[0, 0]
        cdef double* right = &self._right[0]
        cdef double fall = 0
        self.design.multiply_back(&self._gradient[0], right)
        memset(matrix, 0, D * stride * sizeof(double))
        self.design.add_gram(&self._hessian[0], matrix)
        for i in range(D):
            right[i] = right[i] / self.total + self.quadratic[i] * z[i]
            for j in range(i + 1):
                matrix[i * stride + j] /= self.total
            matrix[i * stride + i] += self.quadratic[i]
        if not self.factor.take(matrix, stride) or self.factor.least_pivot() < REGULAR:
            return -1
        self.factor.solve_for(right, &self._step[0])
        for i in range(D):
            self._step[i] = -self._step[i]
            fall -= right[i] * self._step[i]
        self.design.multiply(&self._step[0], &self._moved[0])
        return fall

    cdef bint advance(self, double* z, double fall) except -1 nogil:
        """The step or a part of it; whether the objective has fallen. Only then is it made."""
        cdef bint told = fall > TOLD * fabs(self.objective)
        cdef double start = self.objective, low = 0, high = INFINITY, left = -fall, right = 0, t = 1
        memcpy(&self._from[0], z, self.design.n_columns * sizeof(double))
        for _ in range(TRIALS):
            self.go_to(z, t)
            if fabs(self.slope) <= fall * (1 if t == 1 else FLATTER) and (
                    not told or self.objective <= start - ARMIJO * t * fall):
                memcpy(&self._p[0], &self._trial[0], self.design.n_rows * sizeof(double))
                self.length = t
                return True
            if self.slope < 0:
                low, left = t, self.slope
                if high == INFINITY:
                    break       # falls beyond: the quadratic model says nothing of it
            else:               # upwards, or beyond float64
                high, right = t, self.slope
            t = low - left * (high - low) / (right - left)
            if not low + 0.05 * (high - low) < t < high - 0.05 * (high - low):
                t = 0.5 * (low + high)
        self.go_to(z, 0)
        return False

    cdef int go_to(self, double* z, double t) except -1 nogil:
        """Evaluate at a part of the step, with the objective's derivative by it."""
        cdef Py_ssize_t i
        cdef double slope = 0
        for i in range(self.design.n_columns):
            z[i] = self._from[i] + t * self._step[i]
        for i in range(self.design.n_rows):
            self._trial[i] = self._p[i] + t * self._moved[i]
        self.evaluate(&self._trial[0], z)
        for i in range(self.design.n_rows):
            slope += self._gradient[i] * self._moved[i]
        slope /= self.total
        for i in range(self.design.n_columns):
            slope += self.quadratic[i] * z[i] * self._step[i]
        self.slope = slope
        return 0


# Smoothed kinks -----------------------------------------------------------------------------------------------------

# Steps are taken so many times as far at most.
cdef double LONGEST = 1048576


cdef class Smoothed:
    """A loss with kinks on the rows of one column, smoothed: what is found at places, and down along steps.

    Parameters
    ----------
    design : Design
        The rows a_i; no other thread uses it.
    kinked : Loss
        With scalar parameters.
    rows : tuple of three, each ndarray of shape (n_rows,) or None
        Targets, weights (None: 1) and offsets (None: 0).
    l1, l2 : float
        Of the penalty on all coordinates but the last.
    total : float
        The sum of the weights.

    Attributes
    ----------
    p : ndarray of shape (n_rows,)
        Predictions where it was looked last.
    """

    cdef Design design
    cdef Loss kinked, smooth
    cdef const double[::1] y, weight, offset
    cdef double l1, l2, total
    cdef readonly object p
    cdef double[::1] z, _p, moved, gradient, hessian, work, found, rest
    cdef double[::1] step, right
    cdef double[:, ::1] matrix, model
    cdef double decrement
    cdef Factor factor
    cdef bint known         # whether p are the predictions at z

    def __init__(self, Design design, Loss kinked, rows, double l1, double l2, double total):
        cdef Py_ssize_t n = design.n_rows, D = design.n_columns
        self.design, self.kinked, self.l1, self.l2, self.total = design, kinked, l1, l2, total
        self.y, self.weight, self.offset = rows
        if self.y.shape[0] != n:
            raise ValueError(f"{self.y.shape[0]} targets of {n} rows.")
        room = _room(4 * padded(n + 1), np.empty).reshape(4, -1)
        self._p, self.moved, self.gradient, self.hessian = room
        self.p, self.rest = room[0, :n], np.zeros(6 + D)
        self.work, self.z, self.found, self.known = np.empty(4 * PIECE), np.empty(D), np.empty(6 + D), False
        self.matrix, self.model, self.factor = np.empty((D, design.stride)), np.empty((D, design.stride)), Factor(D)
        self.step, self.right = np.empty(D), np.empty(D)

    def take_rest(self, const double[::1] found):
        """Other rows count as well from now on, whose losses are linear nearby.

        Parameters
        ----------
        found : ndarray of shape (6 + D,)
            What is found of all rows at the place where these were looked at last.
        """
        cdef Py_ssize_t D = self.design.n_columns, i
        for i in range(6 + D):
            self.rest[i] = found[i] - self.found[i]
            self.found[i] = found[i]
        for i in range(D):
            self.rest[1] -= self.rest[6 + i] * self.z[i]
            self.rest[2] -= self.rest[6 + i] * self.z[i]

    def look(self, Loss smooth, const double[::1] z):
        """What is found at a place.

        Parameters
        ----------
        smooth : Loss
            What is minimised.
        z : ndarray of shape (D,)

        Returns
        -------
        found : ndarray of shape (6 + D,)
            Sums as those of ``_block_kernel.SUMS``, and the loss's gradient times the sum of weights.
        matrix : ndarray of shape (D, D)
            Second derivatives likewise.
        """
        cdef Py_ssize_t D = self.design.n_columns, i
        self.smooth = smooth
        with nogil:
            if not (self.known and memcmp(&z[0], &self.z[0], D * sizeof(double)) == 0):
                memcpy(&self.z[0], &z[0], D * sizeof(double))
                self.design.multiply(&self.z[0], &self._p[0])
                if self.offset is not None:
                    for i in range(self.design.n_rows):
                        self._p[i] += self.offset[i]
                self.known = True
            self.see()
        return np.array(self.found), self.whole_matrix()

    def follow(self, const double[::1] step):
        """Go as far down along a step, from where it was looked last, as it leads.

        Returns
        -------
        share : float
            How much of the step that is; 0: nothing is found.
        z : ndarray of shape (D,)
            The new place.
        found, matrix : ndarrays
            As those of :meth:`look`.
        """
        cdef double share
        with nogil:
            share = self.go_along(&step[0])
        return share, np.array(self.z), np.array(self.found), self.whole_matrix()

    def descend(self, lift, (double, double) until, int steps):
        """Newton's steps, one at least: without l1, and without Python in between.

        Parameters
        ----------
        lift : ndarray of shape (2, D)
            Times the mean curvature: what diagonal second derivatives are at least, and what is added to them.
        until : tuple of two floats
            They end where the decrement is this share of what smoothing may cost, or this much.
        steps : int
            At most.

        Returns
        -------
        made : int
            How many were made; a step of less than a quarter is the last.
        share, z, found, matrix
            As those of :meth:`follow`, of the last step.
        """
        cdef const double[:, ::1] lifted = lift
        cdef double share = 0
        cdef int made = 0
        with nogil:
            while made < steps and self.newton(&lifted[0, 0], &lifted[1, 0]):
                if made and self.decrement <= max(until[0] * self.found[5] / self.total, until[1]):
                    break
                share = self.go_along(&self.step[0])
                made += 1
                if share < SHORT:
                    break
        return made, share, np.array(self.z), np.array(self.found), self.whole_matrix()

    cdef bint newton(self, const double* least, const double* added) noexcept nogil:
        """Newton's step and its decrement; whether there is one."""
        cdef Py_ssize_t i, j, D = self.design.n_columns
        cdef double mean = self.matrix[D - 1, D - 1] / self.total, ridge
        if not mean > 0:
            return False
        for i in range(D):
            ridge = self.l2 if i < D - 1 else 0
            self.right[i] = self.found[6 + i] / self.total + ridge * self.z[i]
            for j in range(i + 1):
                self.model[i, j] = self.matrix[i, j] / self.total
            self.model[i, i] = max(self.model[i, i], mean * least[i]) + mean * added[i] + ridge
        if not self.factor.take(&self.model[0, 0], self.design.stride):
            return False
        self.factor.solve_for(&self.right[0], &self.step[0])
        self.decrement = 0
        for i in range(D):
            self.step[i] = -self.step[i]
            self.decrement -= 0.5 * self.right[i] * self.step[i]
        return True

    cdef double go_along(self, const double* step) except? -1 nogil:
        """Go as far down along a step as it leads, and see what is there; the share of it that this is."""
        cdef Py_ssize_t i
        cdef double share
        self.design.multiply(step, &self.moved[0])
        share = self.share_of(step)
        if share > 0:
            for i in range(self.design.n_columns):
                self.z[i] += share * step[i]
            for i in range(self.design.n_rows):
                self._p[i] += share * self.moved[i]
            self.see()
        return share

    cdef object whole_matrix(self):
        """A symmetric matrix of its lower triangle."""
        cdef Py_ssize_t i, j
        matrix = np.empty((self.design.n_columns, self.design.n_columns))
        cdef double[:, ::1] to = matrix
        for i in range(self.design.n_columns):
            for j in range(i + 1):
                to[i, j] = to[j, i] = self.matrix[i, j]
        return matrix

    cdef int see(self) except -1 nogil:
        """What is found at the predictions."""
        cdef double* sums = &self.found[0]
        cdef double* value = &self.work[0]
        cdef double* kinked_value = value + PIECE
        cdef double* kinked_gradient = kinked_value + PIECE
        cdef const double* s = NULL
        cdef Py_ssize_t first, n, i
        cdef Block block
        memset(sums, 0, 6 * sizeof(double))
        for first in range(0, self.design.n_rows, 512):
            n = min(<Py_ssize_t>PIECE, self.design.n_rows - first)
            if self.weight is not None:
                s = &self.weight[first]
            block = Block(n, 1, 1, 0, &self.y[first], &self._p[first], value, &self.gradient[first], &self.hessian[first])
            self.smooth.evaluate(&block)
            block.value, block.gradient, block.hessian = kinked_value, kinked_gradient, NULL
            self.kinked.evaluate(&block)
            sums[5] += slack(self.kinked, &block, s, &self.gradient[first])
            weigh_smoothed(n, s, value, kinked_value, &self.gradient[first], &self.hessian[first], sums)
        self.design.multiply_back(&self.gradient[0], sums + 6)
        for i in range(6 + self.design.n_columns):
            sums[i] += self.rest[i]
        for i in range(self.design.n_columns):
            sums[1] += self.rest[6 + i] * self.z[i]
            sums[2] += self.rest[6 + i] * self.z[i]
        memset(&self.matrix[0, 0], 0, self.design.n_columns * self.design.stride * sizeof(double))
        self.design.add_gram(&self.hessian[0], &self.matrix[0, 0])
        i = self.design.n_columns - 1
        if self.matrix[i, i] == 0:      # without an intercept the mean curvature has its place as well
            self.matrix[i, i] = total_of(self.design.n_rows, &self.hessian[0])
        return 0

    cdef double share_of(self, const double* step) except? -1 nogil:
        """How much of a step leads down: to where the slope along it is next to 0, by false positions.

        The slope of a smoothed loss is linear in pieces. 0 if the step does not lead down; 2^20 if it always does.
        """
        cdef double start = self.penalty_along(step, 0), low = 0, high = 1, t, falls, rises, here
        cdef Py_ssize_t i
        for i in range(self.design.n_columns):
            start += self.found[6 + i] * step[i] / self.total
        if not start < 0:
            return 0
        falls, rises = start, self.slope_at(step, 1)
        while rises < FLATTER * start and high < LONGEST:
            low, falls, high = high, rises, 2 * high
            rises = self.slope_at(step, high)
        if rises < 0:
            return high         # flat enough, or down for as far as steps go
        t, here = high, rises
        for _ in range(TRIALS):
            if fabs(here) <= -FLATTER * start:
                return t
            t = (low * rises - high * falls) / (rises - falls) if isfinite(rises) else 0.5 * (low + high)
            here = self.slope_at(step, t)
            if here < 0:
                low, falls, rises = t, here, 0.5 * rises
            else:
                high, rises, falls = t, here, 0.5 * falls
        return low

    cdef double slope_at(self, const double* step, double t) except? -1 nogil:
        """The smoothed objective's slope along a step, at a share of it."""
        cdef double* at = &self.work[0]
        cdef double* gradient = at + PIECE
        cdef const double* s = NULL
        cdef double slope = 0
        cdef Py_ssize_t first, i, n
        cdef Block block
        for first in range(0, self.design.n_rows, 512):
            n = min(<Py_ssize_t>PIECE, self.design.n_rows - first)
            for i in range(n):
                at[i] = self._p[first + i] + t * self.moved[first + i]
            block = Block(n, 1, 1, 0, &self.y[first], at, NULL, gradient, NULL)
            self.smooth.evaluate(&block)
            if self.weight is not None:
                s = &self.weight[first]
            slope += slope_along(n, s, gradient, &self.moved[first])
        for i in range(self.design.n_columns):
            slope += self.rest[6 + i] * step[i]
        return slope / self.total + self.penalty_along(step, t)

    cdef double penalty_along(self, const double* step, double t) noexcept nogil:
        """The penalty's slope along a step; to the right where it has two."""
        cdef double slope = 0, at
        cdef Py_ssize_t j
        for j in range(self.design.n_columns - 1):
            at = self.z[j] + t * step[j]
            slope += self.l2 * at * step[j]
            if self.l1 > 0:
                slope += self.l1 * (fabs(step[j]) if at == 0 else step[j] if at > 0 else -step[j])
        return slope


cdef inline double total_of(Py_ssize_t n, const double* v) noexcept nogil:
    cdef double sum = 0
    cdef Py_ssize_t i
    for i in range(n):
        sum += v[i]
    return sum


cdef double slack(Loss kinked, const Block* at, const double* weight, const double* u) noexcept nogil:
    """By how much slopes u miss equality in Fenchel's inequality, of a loss whose values and slopes are known."""
    cdef double sum = 0, s
    cdef Py_ssize_t i
    for i in range(at.n_rows):
        s = 1.0 if weight == NULL else weight[i]
        if u[i] != at.gradient[i] and s != 0:
            sum += s * (at.value[i] - u[i] * at.p[i] + kinked.conjugate_at(at.y[i], u[i], 0))
    return sum

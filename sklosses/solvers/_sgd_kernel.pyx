"""Classic stochastic gradient descent: one epoch over a group of columns.

The update is scikit-learn's, term by term: lazily scaled coefficients for the l2 part of the penalty, the cumulative l1
penalty of Tsuruoka, Tsujii and Ananiadou (2009), averaging by Bottou's representation, passive-aggressive steps after
Crammer et al. (2006). One body serves dense and CSR rows of either precision and, through ``Loss``, every loss.

Rows come in windows that fit the second-level cache. Within a window each row is applied to all columns of the group in
turn: columns share nothing, so their latencies overlap, and no column's result depends on another. Predictions made on
the way are kept, and the loss's values follow in one sweep a window, for the running objective.
"""

from cpython.exc cimport PyErr_CheckSignals
from cython cimport floating
from libc.math cimport NAN, fabs, isfinite, isnan, pow, sqrt
from libc.stdint cimport int32_t, int64_t

import numpy as np

from sklosses.data._products cimport (
    Step, accumulate, add, add_rows, all_finite, clip_all, clipped, dense_t, dot, dot_rows, gather, index_t, inner,
    locate, norms_of, padded, prefetch, prefetch_far, scale_all, sk_step_clipped_f32, sk_step_clipped_f64, square_norm,
)
from sklosses.data._rows cimport Rows, View
from sklosses.losses._loss cimport Block, Loss
from sklosses.solvers._ahead cimport Ahead, next_position, start_ahead
from sklosses.solvers._pending cimport pending_error
from sklosses.solvers._samples cimport Samples

cdef enum Schedule:
    CONSTANT
    OPTIMAL
    INVSCALING
    ADAPTIVE
    PA1
    PA2

SCHEDULES = {"constant": CONSTANT, "optimal": OPTIMAL, "invscaling": INVSCALING, "adaptive": ADAPTIVE,
             "pa1": PA1, "pa2": PA2}

cdef enum:
    WINDOW = 256            # rows at most; fewer where rows are long
    WINDOW_BYTES = 131072
    SOON = 6                # rows between their coming from the second-level cache into the first and their being visited
    ROWS_AT_ONCE = 8        # in products with several columns
    CACHE_LINE = 64

cdef double LARGEST_GRADIENT = 1e12     # scikit-learn's
cdef double SMALLEST_SCALE = 1e-9       # likewise: below, the scale is multiplied out
# With averaging much sooner: the mean is a difference of numbers that grow as the scale falls, losing as many digits.
cdef double SMALLEST_SCALE_AVERAGED = 1e-3
cdef double WORK_BETWEEN_POLLS = 2e7    # multiply-adds: some 10 ms

cdef struct Settings:
    Schedule schedule
    double eta0
    double power_t
    double average          # averaging starts at this row, 0: never
    Py_ssize_t batch_size
    bint fit_intercept
    double intercept_decay
    double intercept_cost

cdef struct Column:
    # Coefficients are scale * w. Their mean over the iterates is (average + a w) / b.
    double* w
    double* taken           # cumulative l1: what each coefficient has taken; NULL without
    double* average         # NULL without averaging
    double scale
    double a
    double b
    double[2] norms         # ||w||^2 and ||w||_1, of the unscaled w
    double product          # of the unscaled w with the dense row at hand: see `visit`
    double intercept
    double average_intercept
    double averaged         # iterates in the mean
    double l1
    double l2
    double alpha
    double optimal_init
    double eta
    double total            # cumulative l1: what is due
    double t                # clock of the schedule
    double seen             # rows
    double values           # sums over the rows of the epoch so far
    double penalties
    double step             # of the mini-batch at hand
    bint skip               # the mini-batch at hand asks for no step
    bint lost               # a coefficient has overflowed
    void* loss
    void* samples           # its problem's
    Py_ssize_t number       # among its problem's columns
    Py_ssize_t place        # among the loss's parameters

cdef struct Sample:
    double y
    double weight
    double offset
    double p
    const void* next        # dense rows: the row that follows
    double inner            # and its inner product with this one


# Pieces of an update -------------------------------------------------------------------------------------------------

cdef inline double rate(const Column* c, const Settings* s) noexcept nogil:
    """The schedule's step size. Passive-aggressive steps keep eta0, for the penalty."""
    if s.schedule == OPTIMAL:
        return 1 / (c.alpha * (c.optimal_init + c.t - 1))
    if s.schedule == INVSCALING:
        return s.eta0 / pow(c.t, s.power_t)
    return c.eta


cdef inline double penalty(const Column* c, const Settings* s) noexcept nogil:
    """The objective's terms in the coefficients alone; passive-aggressive steps minimise none."""
    if s.schedule >= PA1:
        return 0
    return (0.5 * c.l2 * c.scale * c.scale * c.norms[0] + c.l1 * c.scale * c.norms[1]
            + s.intercept_cost * c.intercept)


cdef inline double bounded(double gradient) noexcept nogil:
    """The gradient, clipped so that one row cannot throw the coefficients out of range."""
    if gradient > LARGEST_GRADIENT:
        return LARGEST_GRADIENT
    if gradient < -LARGEST_GRADIENT:
        return -LARGEST_GRADIENT
    return gradient


cdef inline double passive_aggressive(const Settings* s, double value, double gradient, double squares) noexcept nogil:
    """The step that just satisfies a row, limited by eta0; of a row of zeros, nan under pa1: there is none.

    The losses allowed here have slope 1 where they are not 0: the sign of the gradient is all that is wanted.
    """
    cdef double step
    if s.schedule == PA1:
        if squares == 0:
            return NAN
        step = min(s.eta0, value / squares)
    else:
        step = value / (squares + 0.5 / s.eta0)
    return -step if gradient > 0 else step


cdef void multiply_out(Column* c, Py_ssize_t n) noexcept nogil:
    """Bring coefficients and averages to scale 1, a = 0, b = 1."""
    cdef Py_ssize_t i
    if c.average != NULL:
        for i in range(n):
            c.average[i] = (c.average[i] + c.a * c.w[i]) / c.b
        c.a = 0
        c.b = 1
    scale_all(c.w, n, c.scale)
    c.norms[0] *= c.scale * c.scale
    c.norms[1] *= c.scale
    c.product *= c.scale
    c.scale = 1


cdef inline void shrink(Column* c, double eta, Py_ssize_t n_features) noexcept nogil:
    """The l2 penalty's part of a step: a factor, which never turns negative."""
    if c.l2 > 0:
        c.scale *= max(0.0, 1 - c.l2 * eta)
        if c.scale < (SMALLEST_SCALE if c.average == NULL else SMALLEST_SCALE_AVERAGED):
            multiply_out(c, n_features)


cdef inline void move_intercept(Column* c, const Settings* s, double update, double eta) noexcept nogil:
    if s.fit_intercept:
        c.intercept += (update - eta * s.intercept_cost) * s.intercept_decay


cdef inline void average_in(Column* c, const Settings* s, Py_ssize_t n_rows) noexcept nogil:
    """Count the step's rows, and take the new iterate into the mean: two numbers change, and the intercept's."""
    c.seen += n_rows
    if c.average == NULL or c.seen < s.average:
        return
    c.averaged += 1
    if c.averaged > 1:
        c.b /= 1 - 1 / c.averaged
    c.a += c.b * c.scale / c.averaged
    c.average_intercept += (c.intercept - c.average_intercept) / c.averaged


cdef inline void clip(Column* c, const index_t* j, Py_ssize_t n) noexcept nogil:
    """What the l1 penalty asks of the columns of a row, with norms kept up to date.

    A mean of iterates stays the mean of those before: clipping has no part in them.
    """
    cdef Py_ssize_t i
    cdef double before, after, squares = 0, absolutes = 0, inverse_scale
    cdef Step step
    if index_t is dense_t:
        step = Step(0, c.total, c.scale, c.a)
        clip_all(c.w, c.taken, c.average, n, &step, c.norms)
    else:
        inverse_scale = 1 / c.scale
        for i in range(n):
            before = c.w[j[i]]
            after = clipped(before, c.taken[j[i]], c.total, inverse_scale)
            c.w[j[i]] = after
            c.taken[j[i]] += c.scale * (after - before)
            if c.average != NULL:
                c.average[j[i]] -= c.a * (after - before)
            squares += (after - before) * (after + before)
            absolutes += fabs(after) - fabs(before)
        c.norms[0] += squares
        c.norms[1] += absolutes


# One row at a time ---------------------------------------------------------------------------------------------------

cdef inline void move(Column* c, const floating* x, const index_t* j, Py_ssize_t n, double multiple,
                      const Sample* row) noexcept nogil:
    """w += multiple x, and what the l1 penalty asks for. Of dense rows c.product is the next row's afterwards."""
    cdef Step step
    cdef double[3] sums
    if multiple != 0 and c.a != 0:
        accumulate(c.average, x, j, n, -c.a * multiple)
    if index_t is dense_t:
        if c.l1 > 0:
            step = Step(multiple, c.total, c.scale, c.a)
            if floating is float:
                sk_step_clipped_f32(c.w, c.taken, c.average, x, <const float*>row.next, n, &step, sums)
            else:
                sk_step_clipped_f64(c.w, c.taken, c.average, x, <const double*>row.next, n, &step, sums)
            c.norms[0], c.norms[1], c.product = sums[0], sums[1], sums[2]
        elif multiple != 0:
            add(c.w, x, j, n, multiple, c.norms)
            c.product += multiple * row.inner
    else:
        if multiple != 0:
            add(c.w, x, j, n, multiple, c.norms)
        if c.l1 > 0:
            clip(c, j, n)


cdef inline void visit(Column* c, const Settings* s, const floating* x, const index_t* j, Py_ssize_t n,
                       Py_ssize_t n_features, Sample* row) noexcept nogil:
    """One row, one column. The prediction is left in `row`, the penalty before the update in the column's sum.

    Each prediction waits for the coefficients, these for the update, that for the prediction before: latency is what a
    row costs. Of dense rows therefore the product of the *next* row is begun before this row's update m x is known, and
    corrected by m x.x' afterwards, so that what has to wait is a handful of scalar operations. An l1 penalty stands in
    the way, clipping is not linear: there the next row's product is made as the coefficients are written.
    """
    cdef double eta = rate(c, s)
    cdef double product, update
    if index_t is dense_t:
        product = c.product
        if c.l1 == 0:
            c.product = dot(<const floating*>row.next, j, n, c.w)
    else:
        product = dot(x, j, n, c.w)
    row.p = product * c.scale + c.intercept + row.offset
    c.penalties += penalty(c, s)
    update = (<Loss>c.loss).gradient_at(row.y, row.p, c.place)
    if s.schedule >= PA1:
        update = passive_aggressive(s, (<Loss>c.loss).value_at(row.y, row.p, c.place), update, square_norm(x, n))
        if isnan(update) and not isnan(row.p):
            c.seen += 1
            if index_t is dense_t:
                c.product = dot(<const floating*>row.next, j, n, c.w)
            return
    else:
        update = -eta * bounded(update)
    update *= row.weight
    shrink(c, eta, n_features)
    c.total += c.l1 * eta
    move(c, x, j, n, update * (1 / c.scale), row)
    move_intercept(c, s, update, eta)
    average_in(c, s, 1)
    c.t += 1


cdef void visit_rows(Kernel k, Py_ssize_t n_rows, const floating* x, const index_t* j) noexcept nogil:
    """A window of rows, each on every column of the group."""
    cdef Py_ssize_t i, g, n, at
    cdef Column* c
    cdef Sample row
    cdef bint linear = False
    cdef const floating* next = NULL
    bring(k, 0, n_rows, x)
    locate(&k.window, k.ids[0], &x, &j, &n)
    for g in range(k.n_active):
        c = &k.columns[k.active[g]]
        c.product = dot(x, j, n, c.w)
        linear = linear or c.l1 == 0
    row.inner = 0
    for i in range(n_rows):
        ask_until(k, k.first + i + 1 + k.ahead.distance, x, j)
        if index_t is dense_t:
            locate(&k.window, k.ids[min(i + SOON, n_rows - 1)], &next, &j, &n)
            prefetch(<const char*>next, n * sizeof(floating))
        locate(&k.window, k.ids[i], &x, &j, &n)
        row.offset = k.offset[i]
        if index_t is dense_t:
            # The last row is followed by itself: a product is made, and not used.
            locate(&k.window, k.ids[min(i + 1, n_rows - 1)], &next, &j, &n)
            row.next = next
            if linear:
                row.inner = inner(x, next, n)
        for g in range(k.n_active):
            at = g * k.capacity + i
            row.y = k.y[at]
            row.weight = k.weight[at]
            visit(&k.columns[k.active[g]], &k.settings, x, j, n, k.view.n_features, &row)
            k.p[at] = row.p


cdef int sweep_values(Kernel k, Py_ssize_t n_rows) except -1 nogil:
    """Values of the loss at the predictions made on the way."""
    cdef Py_ssize_t g, at
    cdef Column* c
    cdef Block block
    for g in range(k.n_active):
        c = &k.columns[k.active[g]]
        at = g * k.capacity
        block = Block(n_rows, 1, 1, c.place, &k.y[at], &k.p[at], k.value, NULL, NULL)
        (<Loss>c.loss).evaluate(&block)
        c.values += weighted_sum(&k.weight[at], k.value, n_rows)
    return 0


# Mini-batches --------------------------------------------------------------------------------------------------------

cdef int visit_batch(Kernel k, Py_ssize_t n_rows, const floating* x, const index_t* j) except -1 nogil:
    """A mini-batch: predictions at fixed coefficients, gradients in one sweep, then the mean update."""
    cdef Py_ssize_t start = 0, stop, g, i
    cdef bint whole = n_rows <= k.chunk
    while start < n_rows:
        stop = min(start + k.chunk, n_rows)
        bring(k, start, stop, x)
        if k.settings.schedule >= PA1:
            for i in range(start, stop):
                k.squares[i] = square_norm_of_row(&k.window, k.ids[i - start], x, j)
        predict(k, start, stop, x, j)
        start = stop
    for g in range(k.n_active):
        batch_updates(k, g, n_rows)
    start = 0
    while start < n_rows:
        stop = min(start + k.chunk, n_rows)
        if not whole:
            bring(k, start, stop, x)
        add_batch(k, start, stop, x, j)
        start = stop
    for g in range(k.n_active):
        end_batch(k, g, n_rows, x, j)
    return 0


cdef void predict(Kernel k, Py_ssize_t start, Py_ssize_t stop, const floating* x, const index_t* j) noexcept nogil:
    """Products of rows start to stop with every column, a few rows at a time: each is read from memory once."""
    cdef Py_ssize_t i = start, n, g
    while i < stop:
        n = min(ROWS_AT_ONCE, stop - i)
        ask_until(k, k.first + (i + n if k.lead == 0 else k.lead + (i + n) // 2) + k.ahead.distance, x, j)
        for g in range(k.n_active):
            dot_rows(&k.window, k.ids + (i - start), n, k.columns[k.active[g]].w, &k.p[g * k.capacity + i], x, j)
        i += n


cdef int batch_updates(Kernel k, Py_ssize_t g, Py_ssize_t n_rows) except -1 nogil:
    """Each row's multiple in the update of a column, from products left in k.p; left in k.update."""
    cdef Column* c = &k.columns[k.active[g]]
    cdef Settings* s = &k.settings
    cdef Py_ssize_t i, at = g * k.capacity, skipped = 0
    cdef double* p = &k.p[at]
    cdef double* update = &k.update[at]
    cdef double sum = 0
    for i in range(n_rows):
        p[i] = p[i] * c.scale + (c.intercept + k.offset[i])
    cdef Block block = Block(n_rows, 1, 1, c.place, &k.y[at], p, k.value, update, NULL)
    (<Loss>c.loss).evaluate(&block)
    c.values += weighted_sum(&k.weight[at], k.value, n_rows)
    c.penalties += n_rows * penalty(c, s)
    c.step = rate(c, s)
    for i in range(n_rows):
        if s.schedule >= PA1:
            update[i] = passive_aggressive(s, k.value[i], update[i], k.squares[i])
            if isnan(update[i]) and not isnan(p[i]):
                update[i] = 0
                skipped += 1
        else:
            update[i] = -c.step * bounded(update[i])
        update[i] *= k.weight[at + i] / n_rows
        sum += update[i]
    c.skip = skipped == n_rows
    if c.skip:
        return 0
    shrink(c, c.step, k.view.n_features)
    move_intercept(c, s, sum, c.step)
    scale_all(update, n_rows, 1 / c.scale)
    return 0


cdef void add_batch(Kernel k, Py_ssize_t start, Py_ssize_t stop, const floating* x, const index_t* j) noexcept nogil:
    """Add rows start to stop of a batch to every column, by their multiples in k.update, a few rows at a time.

    The rows are in the cache by now: meanwhile the memory has time for half of those to come, the other half having
    its time in `predict`.
    """
    cdef Py_ssize_t i = start, n, g
    while i < stop:
        n = min(ROWS_AT_ONCE, stop - i)
        if k.lead > 0:
            ask_until(k, k.first + k.lead + (k.n_rows + i + n) // 2 + k.ahead.distance, x, j)
        for g in range(k.n_active):
            add_to_column(k, &k.columns[k.active[g]], k.ids + (i - start), n, &k.update[g * k.capacity + i], x, j)
        i += n


cdef inline void add_to_column(Kernel k, Column* c, const Py_ssize_t* ids, Py_ssize_t n_rows, double* update,
                               const floating* x, const index_t* j) noexcept nogil:
    """Rows times their multiples, to the coefficients and, where there is one, to the mean of the iterates."""
    cdef Py_ssize_t i, n
    if c.skip:
        return
    if index_t is dense_t:
        add_rows(c.w, &k.window, ids, n_rows, update, x, j)
    else:
        for i in range(n_rows):
            locate(&k.window, ids[i], &x, &j, &n)
            add(c.w, x, j, n, update[i], c.norms)
    if c.a != 0:
        scale_all(update, n_rows, -c.a)
        add_rows(c.average, &k.window, ids, n_rows, update, x, j)


cdef void end_batch(Kernel k, Py_ssize_t g, Py_ssize_t n_rows, const floating* x, const index_t* j) noexcept nogil:
    """Averaging, the l1 penalty and the clock."""
    cdef Column* c = &k.columns[k.active[g]]
    cdef Py_ssize_t i, n
    if c.skip:
        c.seen += n_rows
        return
    if index_t is dense_t:
        if c.l1 > 0:
            c.total += c.l1 * c.step
            clip(c, j, k.view.n_features)
        else:
            norms_of(c.w, k.view.n_features, c.norms)
    elif c.l1 > 0:
        c.total += c.l1 * c.step
        for i in range(n_rows):
            # A column of several rows is clipped at the first; to the others it owes nothing.
            locate(&k.view, k.rows[i], &x, &j, &n)
            clip(c, j, n)
    average_in(c, &k.settings, n_rows)
    c.t += 1


# An epoch ------------------------------------------------------------------------------------------------------------

cdef inline double weighted_sum(const double* weight, const double* value, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef double sum = 0
    for i in range(n):
        # A row of weight 0 is not there, even if its value has overflowed.
        sum += weight[i] * value[i] if weight[i] != 0 else 0
    return sum


cdef inline double square_norm_of_row(const View* view, Py_ssize_t row, const floating* x,
                                      const index_t* j) noexcept nogil:
    cdef Py_ssize_t n
    locate(view, row, &x, &j, &n)
    return square_norm(x, n)


cdef inline void ask_until(Kernel k, Py_ssize_t stop, const floating* x, const index_t* j) noexcept nogil:
    """Have the memory start on the rows of this many steps of the epoch."""
    cdef Py_ssize_t row, n
    stop = min(stop, k.ahead.n)
    while k.ahead.asked < stop:
        row = k.samples.row(next_position(&k.ahead))
        k.samples.prefetch(row)
        if k.buffer == NULL:
            locate(&k.view, row, &x, &j, &n)
            prefetch_far(<const char*>x, n * sizeof(floating))
            if index_t is not dense_t:
                prefetch_far(<const char*>j, n * sizeof(index_t))


cdef inline void bring(Kernel k, Py_ssize_t start, Py_ssize_t stop, const floating* x) noexcept nogil:
    """Make rows start to stop of k.rows readable: k.ids are their numbers in k.window."""
    if k.buffer == NULL:
        k.ids = &k.rows[start]
    else:
        gather(&k.view, &k.rows[start], stop - start, <floating*>k.buffer)
        k.ids = k.counting


cdef int look_at_rows(Kernel k, Py_ssize_t n_rows, const floating* x, const index_t* j) except -1 nogil:
    """Predictions and values of a window at fixed coefficients: the exact objective."""
    cdef Py_ssize_t g, i, at
    cdef Column* c
    bring(k, 0, n_rows, x)
    predict(k, 0, n_rows, x, j)
    for g in range(k.n_active):
        c = &k.columns[k.active[g]]
        at = g * k.capacity
        for i in range(n_rows):
            k.p[at + i] += c.intercept + k.offset[i]
    return sweep_values(k, n_rows)


cdef int visit_window(Kernel k, const Py_ssize_t* order, Py_ssize_t start, Py_ssize_t n_rows, const floating* x,
                      const index_t* j) except -1 nogil:
    """Rows of one window, or of one mini-batch; without an order, to look at only."""
    cdef Py_ssize_t i, g, at
    cdef Column* c
    k.first = start
    k.n_rows = n_rows
    # Rows of a batch are read twice, once from memory: that is given half its time in either reading.
    k.lead = max(1, n_rows // 2) if order != NULL and n_rows <= k.chunk else 0
    for i in range(n_rows):
        k.rows[i] = k.samples.row(start + i if order == NULL else order[start + i])
    k.samples.offsets_of(k.rows, n_rows, k.offset)
    for g in range(k.n_active):
        at = g * k.capacity
        c = &k.columns[k.active[g]]
        (<Samples>c.samples).targets_of(k.rows, n_rows, c.number, &k.y[at], &k.weight[at])
    if order == NULL:
        return look_at_rows(k, n_rows, x, j)
    if k.settings.batch_size > 1:
        return visit_batch(k, n_rows, x, j)
    visit_rows(k, n_rows, x, j)
    for g in range(k.n_active):
        if (<Loss>k.columns[k.active[g]].loss).failed:
            pending_error()
    return sweep_values(k, n_rows)


cdef int visit_all(Kernel k, const Py_ssize_t* order, Py_ssize_t start, Py_ssize_t stop, const floating* x,
                   const index_t* j) except -1 nogil:
    """Windows in turn, until done, told to stop, or no column is left."""
    cdef Py_ssize_t size = k.settings.batch_size if k.settings.batch_size > 1 and order != NULL else k.chunk
    cdef Py_ssize_t n
    cdef double work = 0
    while start < stop:
        n = min(size, stop - start)
        visit_window(k, order, start, n, x, j)
        lose(k)
        if k.abort[0] or k.n_active == 0:
            break
        work += <double>n * k.n_active * k.row_work
        if work > WORK_BETWEEN_POLLS:
            work = 0
            with gil:
                PyErr_CheckSignals()
        start += n
    return pending_error()


cdef void lose(Kernel k) noexcept nogil:
    """Columns one of whose coefficients has overflowed leave; sums of values show it first, and are cheap to ask."""
    cdef Py_ssize_t g, kept = 0
    cdef Column* c
    for g in range(k.n_active):
        c = &k.columns[k.active[g]]
        c.lost = not isfinite(c.values + c.penalties) and not column_is_finite(c, k.view.n_features)
        if not c.lost:
            k.active[kept] = k.active[g]
            kept += 1
    k.n_active = kept


cdef bint column_is_finite(const Column* c, Py_ssize_t n_features) noexcept nogil:
    return isfinite(c.intercept) and isfinite(c.scale) and all_finite(c.w, n_features)


cdef class Kernel:
    """A group of columns in training, and the memory it needs.

    Parameters
    ----------
    problems : sequence of Problem
        Over the same rows, with the same offset. Their columns are numbered one problem after the other.
    settings : dict
        Fields of ``Settings``.
    numbers : list of int
        The columns in this group.
    start : dict
        Arrays over all columns: ``coef``, ``intercept``, ``average_coef`` and ``average_intercept`` (or
        None), ``averaged``, ``alpha``, ``l1``, ``l2``; numbers ``t`` and ``seen``.
    abort : ndarray of shape (1,)
        uint8; when set, from any thread, the group stops after its window.
    """

    cdef Rows data
    cdef Samples samples
    cdef Settings settings
    cdef View view              # of the table
    cdef View window            # of the rows at hand: the table itself, or rows gathered from it
    cdef Column* columns
    cdef Py_ssize_t n_columns
    cdef Py_ssize_t* active     # columns still in training
    cdef Py_ssize_t n_active
    cdef Py_ssize_t capacity    # rows that the arrays below hold for each column
    cdef Py_ssize_t chunk       # rows read at a time
    cdef Ahead ahead            # what memory has been asked for
    cdef Py_ssize_t first       # step of the epoch that the window begins with
    cdef Py_ssize_t n_rows      # of the window
    cdef Py_ssize_t lead        # rows by which asking leads in a batch besides; 0: rows are read once
    cdef double row_work        # multiply-adds that a row costs, about
    cdef bint single            # float32
    cdef bint wide              # int64 indices
    cdef const unsigned char* abort
    cdef Py_ssize_t* rows
    cdef const Py_ssize_t* ids
    cdef Py_ssize_t* counting
    cdef void* buffer
    cdef double* offset
    cdef double* squares
    cdef double* value
    cdef double* y
    cdef double* weight
    cdef double* p
    cdef double* update
    cdef list _held
    cdef object _order
    cdef dict _arrays
    cdef readonly list numbers

    def __init__(self, problems, settings, numbers, start, abort):
        cdef unsigned char[::1] flag = abort
        self.data = problems[0].rows
        self.samples = Samples(problems[0])
        self.settings = settings
        self.numbers = list(numbers)
        self._held = [abort]
        self._arrays = {}
        self.abort = &flag[0]
        self.view = self.window = self.data.view
        self._allocate()
        self._load(problems, start)

    cdef void* _memory(self, Py_ssize_t n, Py_ssize_t size) except NULL:
        """Zeroed memory, starting at a cache line, that lives as long as the kernel."""
        cdef unsigned char[::1] memory = np.zeros(n * size + CACHE_LINE, dtype=np.uint8)
        self._held.append(memory)
        return &memory[-<Py_ssize_t>&memory[0] & (CACHE_LINE - 1)]

    cdef double* _vectors(self, name, values) except NULL:
        """Copies of rows of coefficients, padded for the products; they can be read again as self._arrays[name]."""
        cdef Py_ssize_t n = values.shape[0], width = padded(values.shape[1])
        cdef double* start = <double*>self._memory(n * width, sizeof(double))
        if n * width:
            self._arrays[name] = np.asarray(<double[:n, :width]>start)[:, :values.shape[1]]
        else:
            self._arrays[name] = np.zeros(values.shape)
        self._arrays[name][:] = values
        return start

    cdef _allocate(self):
        cdef Py_ssize_t d = self.data.n_features, n = len(self.numbers), i
        cdef Py_ssize_t item = self.data.dtype.itemsize
        self.single = item == 4
        self.wide = self.view.starts != NULL and self.data.indices.dtype.itemsize == 8
        self.n_columns = n
        self.chunk = max(4, min(WINDOW, WINDOW_BYTES // self.data.row_bytes))
        self.capacity = max(self.chunk, min(self.settings.batch_size, self.samples.n_rows))
        self.row_work = self.data.row_bytes / item + 32
        self.columns = <Column*>self._memory(n, sizeof(Column))
        self.active = <Py_ssize_t*>self._memory(n, sizeof(Py_ssize_t))
        self.rows = <Py_ssize_t*>self._memory(self.capacity, sizeof(Py_ssize_t))
        self.offset = <double*>self._memory(self.capacity, sizeof(double))
        self.squares = <double*>self._memory(self.capacity, sizeof(double))
        self.value = <double*>self._memory(self.capacity, sizeof(double))
        self.y = <double*>self._memory(n * self.capacity, sizeof(double))
        self.weight = <double*>self._memory(n * self.capacity, sizeof(double))
        self.p = <double*>self._memory(n * self.capacity, sizeof(double))
        self.update = <double*>self._memory(n * self.capacity, sizeof(double))
        if self.view.starts == NULL and self.view.column_stride != 1:
            self.buffer = self._memory(self.chunk * d, item)
            self.counting = <Py_ssize_t*>self._memory(self.chunk, sizeof(Py_ssize_t))
            for i in range(self.chunk):
                self.counting[i] = i
            self.window.values = self.buffer
            self.window.row_stride = d

    cdef _load(self, problems, start):
        """Copies of the starting point, one set for each column."""
        cdef Py_ssize_t g, k
        cdef Column* c
        cdef Py_ssize_t width = padded(self.data.n_features)
        cdef double* w
        cdef double* taken = NULL
        cdef double* average = NULL
        numbers = np.asarray(self.numbers, dtype=np.intp)
        averages = start["average_coef"] is not None
        w = self._vectors("w", start["coef"][numbers])
        if averages:
            average = self._vectors("average", start["average_coef"][numbers])
        if np.any(start["l1"] > 0):
            taken = self._vectors("taken", np.zeros((self.n_columns, self.data.n_features)))
        held = [self.samples, *(Samples(problem) for problem in problems[1:])]
        run = [(loss, place, samples, first) for problem, samples, first in zip(problems, held, first_columns(problems))
               for loss, count in problem.losses for place in range(count)]
        self._held.append(run)
        for g in range(self.n_columns):
            k = numbers[g]
            c = &self.columns[g]
            loss, c.place, samples, first = run[k]
            if not isinstance(loss, Loss):
                raise TypeError(f"a loss must be an instance of sklosses.losses.Loss, got {loss!r}.")
            c.loss = <void*>loss
            c.samples = <void*>samples
            c.number = k - first
            self.active[g] = g
            c.w = w + g * width
            c.taken = taken + g * width if taken != NULL else NULL
            c.average = average + g * width if average != NULL else NULL
            c.intercept = start["intercept"][k]
            c.average_intercept = start["average_intercept"][k] if averages else 0
            c.averaged = start["averaged"][k]
            c.alpha, c.l1, c.l2 = start["alpha"][k], start["l1"][k], start["l2"][k]
            c.t, c.seen = start["t"], start["seen"]
            c.scale = c.b = 1
            c.eta = self.settings.eta0
            if c.w != NULL:
                norms_of(c.w, self.view.n_features, c.norms)
            if self.settings.schedule == OPTIMAL:
                c.optimal_init = first_clock(c)
                pending_error()
        self.n_active = self.n_columns

    cdef int _dispatch(self, const Py_ssize_t* order, Py_ssize_t i, Py_ssize_t n) except -1 nogil:
        """The one body, for this table's kind of rows: the last two arguments carry types alone."""
        if self.view.starts == NULL:
            if self.single:
                return visit_all(self, order, i, n, <const float*>NULL, <const dense_t*>NULL)
            return visit_all(self, order, i, n, <const double*>NULL, <const dense_t*>NULL)
        if self.single:
            if self.wide:
                return visit_all(self, order, i, n, <const float*>NULL, <const int64_t*>NULL)
            return visit_all(self, order, i, n, <const float*>NULL, <const int32_t*>NULL)
        if self.wide:
            return visit_all(self, order, i, n, <const double*>NULL, <const int64_t*>NULL)
        return visit_all(self, order, i, n, <const double*>NULL, <const int32_t*>NULL)

    def begin(self, order):
        """Start an epoch that visits rows in this :class:`Order`."""
        cdef const Py_ssize_t[::1] positions = order.positions, blocks
        cdef const Py_ssize_t* sequence = NULL
        self._order = order
        if order.blocks is not None:
            blocks = order.blocks
            sequence = &blocks[0]
        self.ahead = start_ahead(&positions[0], positions.shape[0], sequence, order.block, self.data.row_bytes)

    def run(self, Py_ssize_t start, Py_ssize_t stop):
        """Visit the rows of the epoch's steps start to stop. A mini-batch never reaches across two calls."""
        if start < stop and self.n_active > 0:
            with nogil:
                self._dispatch(self.ahead.order, start, stop)

    def look(self):
        """Sum the weighted values of all rows at the coefficients as they are; :meth:`sums` returns them."""
        self.ahead = start_ahead(NULL, self.samples.n_rows, NULL, 0, self.data.row_bytes)
        with nogil:
            self._dispatch(NULL, 0, self.samples.n_rows)

    def sums(self):
        """Objective summed over the rows since the last call, for each column of the group; then from 0 again."""
        cdef Py_ssize_t g
        out = np.empty(self.n_columns)
        cdef double[::1] sums = out
        for g in range(self.n_columns):
            sums[g] = self.columns[g].values + self.columns[g].penalties
            self.columns[g].values = self.columns[g].penalties = 0
        return out

    def finite(self):
        """For each column of the group, whether it is: an array of bool."""
        cdef Py_ssize_t g
        out = np.empty(self.n_columns, dtype=np.uint8)
        cdef unsigned char[::1] fine = out
        for g in range(self.n_columns):
            fine[g] = not self.columns[g].lost and column_is_finite(&self.columns[g], self.view.n_features)
        return out.astype(bool)

    def settle(self):
        """Multiply scales out, and make norms anew: rounding that gathers over an epoch ends with it."""
        cdef Py_ssize_t g
        cdef Column* c
        with nogil:
            for g in range(self.n_active):
                c = &self.columns[self.active[g]]
                multiply_out(c, self.view.n_features)
                norms_of(c.w, self.view.n_features, c.norms)

    def model(self):
        """What :meth:`settle` left, copied: a dict of arrays over the columns of the group."""
        cdef Py_ssize_t g
        out = {"coef": self._arrays["w"].copy(), "intercept": np.empty(self.n_columns),
               "average_coef": None, "average_intercept": np.empty(self.n_columns),
               "averaged": np.empty(self.n_columns)}
        if "average" in self._arrays:
            out["average_coef"] = self._arrays["average"].copy()
        for g in range(self.n_columns):
            out["intercept"][g] = self.columns[g].intercept
            out["average_intercept"][g] = self.columns[g].average_intercept
            out["averaged"][g] = self.columns[g].averaged
        return out

    def divide_eta(self, Py_ssize_t g, double divisor):
        """Lower the step of column g of the group; returns what it was."""
        before = self.columns[g].eta
        self.columns[g].eta /= divisor
        return before

    def release(self, leaving):
        """Columns of the group (places in it) that are done: they stay as they are."""
        cdef Py_ssize_t g, kept = 0
        for g in range(self.n_active):
            if self.active[g] not in leaving:
                self.active[kept] = self.active[g]
                kept += 1
        self.n_active = kept


def first_columns(problems):
    """The number of the first column of each problem."""
    return np.cumsum([0] + [problem.n_columns for problem in problems[: len(problems) - 1]]).tolist()


cdef double first_clock(const Column* c) noexcept:
    """Bottou's start of the optimal schedule: the first step is that of a typical coefficient."""
    cdef double typical = sqrt(1 / sqrt(c.alpha))
    cdef double first = typical / max(1.0, (<Loss>c.loss).gradient_at(1, -typical, c.place))
    return 1 / (first * c.alpha)

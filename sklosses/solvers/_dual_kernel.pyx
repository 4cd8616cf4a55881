"""Dual coordinate descent: steps of one row after the other, and the products that its certificate needs.

With kappa the strength of ||w||^2 / 2 and S the sum of the weights s_i, row i has a dual variable u_i, a slope of its
loss, and the coefficients are w = shrink(v) with ::

    v = centre - sum_i c_i u_i x_i,     c_i = s_i / (S kappa),     shrink(v) = sign(v) max(|v| - l1 / kappa, 0)

A step minimises over one u_i. It is the proximal step of the loss, ``Loss.dual_step``, whose size c_i (||x_i||^2 + rho)
bounds what u_i does to the row's own prediction. Coefficients are shrunk as they are gathered: v is what is kept.

The intercept belongs to the constraint that sum_i c_i u_i is 0, or minus what a unit of it costs over kappa. It is kept by
an augmented Lagrangian of little weight rho: each step moves it by rho times the step, and each epoch once more by rho
times what the sum has come to. A small rho costs the steps nothing of their length, and the multiplier takes few epochs
all the same: it moves with each row.

Between epochs dual variables may leap, further on the way that the last epoch has moved them: to where the dual is
largest on it, but no farther than Nesterov's method goes. That alone goes too far where it has gone on for long, and the
dual hardly rises for dozens of epochs before it falls.

Rows are visited by blocks of contiguous ones, in order inside a block: one by one in random order they would come from
memory at half the speed, and the number of epochs is the same.

Columns of one loss may stand side by side (`Together`): a row is then read once for all of them, in float32. That has a
text of its own, because a lone column's lanes would be empty and it is to keep float64; the algorithm is the same.
"""

from cpython.exc cimport PyErr_CheckSignals
from cython cimport floating
from libc.math cimport NAN, isnan
from libc.stdint cimport int32_t, int64_t, uint8_t

import numpy as np

from sklosses.data._lanes cimport (
    COLUMNS, Bend, Lanes, OfRow, Row, Search, Sides, Sums, add_line, add_line_to, add_shrunk_line, add_sums,
    add_to_line, add_way, advance_line, begin_row, begin_search, bracket, bring_back, clear_lanes, clear_sums, end_row,
    end_search, has_any, narrow, parabolic_lanes, search_on, store_lanes, store_sums, sum_line,
)
from sklosses.data._products cimport (
    accumulate, dense_t, dot, gather, index_t, locate, padded, prefetch, prefetch_far, prefetch_one, square_norm,
)
from sklosses.data._rows cimport Rows, View
from sklosses.losses._loss cimport Block, Dual, Loss, Parabola
from sklosses.solvers._pending cimport pending_error
from sklosses.solvers._rests cimport rests

cdef enum:
    BLOCK = 32              # rows, at most
    BLOCKS = 64             # fewer rows in a block where there are not so many blocks
    CACHE_LINE = 64
    FIRST_BYTES = 512      # of a block, asked for ahead of time
    SAMPLE = 32             # blocks, to estimate the mean norm from
    AHEAD = 16              # rows, asked for where they are read one after the other

cdef enum:
    NEWTON_STEPS = 100      # of a column's step; 1 or 2 are typical

cdef double PART = 0.1      # of the slope that a step begins with, which it may leave

cdef enum Task:
    NORMS
    LOOK
    DESCEND
    LEAP

cdef double WORK_BETWEEN_POLLS = 2e7    # multiply-adds: some 30 ms
cdef double FAR = 1e150                 # predictions beyond all kinks

DUAL = np.dtype([("u", "f8"), ("at", "f8"), ("curvature", "f8"), ("gap", "f8")])


def vector(n):
    """A vector of zeros as the products want it: from a cache line on, with room for zeros at its end."""
    memory = np.zeros(padded(n) + CACHE_LINE // 8)
    start = -memory.ctypes.data % CACHE_LINE // 8
    return memory[start : start + n]


# Pieces of a step ---------------------------------------------------------------------------------------------------

cdef inline Py_ssize_t place(const index_t* j, Py_ssize_t i) noexcept nogil:
    """The column of a row's i-th value."""
    if index_t is dense_t:
        return i
    else:
        return j[i]


cdef inline double shrunk(double v, double by) noexcept nogil:
    """Without a branch: two in sequence become a minimum and a maximum, and nearly triple the speed of an epoch."""
    cdef double most = v if v < by else by
    cdef double part = most if most > -by else -by
    return v - part


cdef inline double product(const floating* x, const index_t* j, Py_ssize_t n, const double* v,
                           double by) noexcept nogil:
    """x.shrink(v), in four sums: one alone would wait for each addition."""
    cdef Py_ssize_t i = 0
    cdef double a = 0, b = 0, c = 0, d = 0
    if by == 0:
        if index_t is dense_t:
            return dot(x, j, n, v)
        while i + 4 <= n:
            a += <double>x[i] * v[place(j, i)]
            b += <double>x[i + 1] * v[place(j, i + 1)]
            c += <double>x[i + 2] * v[place(j, i + 2)]
            d += <double>x[i + 3] * v[place(j, i + 3)]
            i += 4
    else:
        while i + 4 <= n:
            a += <double>x[i] * shrunk(v[place(j, i)], by)
            b += <double>x[i + 1] * shrunk(v[place(j, i + 1)], by)
            c += <double>x[i + 2] * shrunk(v[place(j, i + 2)], by)
            d += <double>x[i + 3] * shrunk(v[place(j, i + 3)], by)
            i += 4
    while i < n:
        a += <double>x[i] * shrunk(v[place(j, i)], by)
        i += 1
    return (a + b) + (c + d)


cdef inline double squares(const floating* x, const index_t* j, Py_ssize_t n) noexcept nogil:
    """||x||^2, in four sums likewise."""
    cdef Py_ssize_t i = 0
    cdef double a = 0, b = 0, c = 0, d = 0
    if index_t is dense_t:
        return square_norm(x, n)
    while i + 4 <= n:
        a += <double>x[i] * x[i]
        b += <double>x[i + 1] * x[i + 1]
        c += <double>x[i + 2] * x[i + 2]
        d += <double>x[i + 3] * x[i + 3]
        i += 4
    while i < n:
        a += <double>x[i] * x[i]
        i += 1
    return (a + b) + (c + d)


# Blocks of rows -----------------------------------------------------------------------------------------------------

cdef Py_ssize_t take(Table t, Py_ssize_t block, const floating* x) noexcept nogil:
    """Where the rows of a block stand in t.window: gathered, if their elements are apart. Returns their number."""
    cdef Py_ssize_t first = block * t.block, n = min(t.block, t.n_rows - first), i
    for i in range(n):
        t.at[i] = first + i if t.subset == NULL else t.subset[first + i]
    if t.buffer != NULL:
        gather(&t.view, t.at, n, <floating*>t.buffer)
        for i in range(n):
            t.at[i] = i
    return n


cdef int norms(Table t, double* out, const floating* x, const index_t* j) except -1 nogil:
    """out[0] = the mean of ||x_i||^2, over SAMPLE blocks from all over the table."""
    cdef Py_ssize_t b, r, n, m, rows = 0, blocks = min(<Py_ssize_t>SAMPLE, t.n_blocks)
    cdef double sum = 0
    for b in range(blocks):
        m = take(t, b * t.n_blocks // blocks, x)
        rows += m
        for r in range(m):
            locate(&t.window, t.at[r], &x, &j, &n)
            sum += squares(x, j, n)
    out[0] = sum / rows if rows > 0 else 0
    return 0


cdef int look(Table t, const double* w, double* p, const double* multiple, double* back, const floating* x,
              const index_t* j) except -1 nogil:
    """p[i] = x_i.w, and back += multiple[i] x_i; either may be NULL."""
    cdef Py_ssize_t block, i, r, n, m
    cdef double work = 0
    for block in range(t.n_blocks):
        m = take(t, block, x)
        for r in range(m):
            locate(&t.window, t.at[r], &x, &j, &n)
            i = block * t.block + r
            if w != NULL:
                p[i] = product(x, j, n, w, 0)
            if back != NULL and multiple[i] != 0:
                accumulate(back, x, j, n, multiple[i])
            work += n
        if work > WORK_BETWEEN_POLLS:
            work = 0
            with gil:
                PyErr_CheckSignals()
    return 0


cdef inline void ask_for(Table t, Column c, Py_ssize_t block, const floating* x, const index_t* j) noexcept nogil:
    """Ask memory for a block's rows ahead of time: for the first, and for each where others between them rest.

    What is read in sequence comes by itself.
    """
    cdef Py_ssize_t i, n, first = block * t.block
    for i in range(first, min(t.n_rows, first + t.block) if c.next_to_none > 0 else first + 1):
        if c.rest[i] == 0:
            locate(&t.view, i if t.subset == NULL else t.subset[i], &x, &j, &n)
            prefetch(<const char*>x, min(<Py_ssize_t>FIRST_BYTES, n * <Py_ssize_t>sizeof(floating)))
            if index_t is not dense_t:
                prefetch(<const char*>j, min(<Py_ssize_t>FIRST_BYTES, n * <Py_ssize_t>sizeof(index_t)))


cdef inline double step(Column c, Py_ssize_t i, const floating* x, const index_t* j, Py_ssize_t n) noexcept nogil:
    """The step of row i; returns by how much its dual variable has moved."""
    cdef Dual* dual = &c.dual[i]
    if c.step[i] < 0:
        # The first visit. Rows without entries have steps of no length, in which formulas would divide 0 by 0.
        c.step[i] = max(c.scale[i] * (squares(x, j, n) + c.rho), 1e-200)
    cdef double before = dual.u, moved
    (<Loss>c.loss).dual_step(c.y[i], product(x, j, n, c.v, c.shrink) + c.offset[i] + c.intercept, c.step[i], dual,
                             c.place)
    moved = dual.u - before
    if moved != 0:
        accumulate(c.v, x, j, n, -c.scale[i] * moved)
        c.sum += c.scale[i] * moved
        c.intercept -= c.rho * c.scale[i] * moved
    return moved


cdef int descend(Table t, Column c, const Py_ssize_t* order, const floating* x, const index_t* j) except -1 nogil:
    """An epoch."""
    cdef Py_ssize_t b, i, r, n, m
    cdef double work = 0, moved
    for b in range(t.n_blocks):
        m = take(t, order[b], x)
        if b + 1 < t.n_blocks and t.buffer == NULL:
            ask_for(t, c, order[b + 1], x, j)
        for r in range(m):
            i = order[b] * t.block + r
            if c.rest[i] > 0:
                c.rest[i] -= 1
                continue
            if c.scale[i] == 0:
                continue
            locate(&t.window, t.at[r], &x, &j, &n)
            moved = step(c, i, x, j, n)
            c.visits += 1
            if c.next_to_none > 0:
                rests(&c.level[i], &c.rest[i], moved == 0, c.dual[i].gap * c.scale[i] / c.next_to_none)
            work += n + 32
        if work > WORK_BETWEEN_POLLS:
            work = 0
            if (<Loss>c.loss).failed:
                break
            with gil:
                PyErr_CheckSignals()
    c.intercept -= c.rho * c.sum
    return pending_error()


cdef double rise(Table t, Column c, double* bend) noexcept nogil:
    """By how much the last epoch has raised the dual, in units of kappa: the constraint counts as the intercept says.

    `bend` becomes the dual's curvature along the way that it has gone.
    """
    cdef Py_ssize_t i, k
    cdef double u, before, now, was, sum = 0, square = 0
    cdef Parabola parabola
    for k in range(t.view.n_features):
        now, was = shrunk(c.v[k], c.shrink), shrunk(c.v_before[k], c.shrink)
        sum += 0.5 * (was - now) * (was + now)
        square += (was - now) * (was - now)
    for i in range(t.n_rows):
        u, before = c.dual[i].u, c.u_before[i]
        if u != before and c.scale[i] != 0:
            sum += c.scale[i] * ((u - before) * c.offset[i] + (<Loss>c.loss).conjugate_at(c.y[i], before, c.place)
                                 - (<Loss>c.loss).conjugate_at(c.y[i], u, c.place))
            if (<Loss>c.loss).conjugate_parabola(c.y[i], c.place, &parabola):
                square += c.scale[i] * (u - before) ** 2 * (
                    parabola.width_above if u > 0 else parabola.width_below)
    bend[0] = square
    return sum + c.intercept * (c.sum - c.sum_before)


cdef int leap(Table t, Column c, const floating* x, const index_t* j) except -1 nogil:
    """All dual variables ahead of where the epoch has brought them, to where the dual is largest on that way.

    Within their range; no farther than Nesterov's method goes, which begins anew where the dual has just fallen. v is
    linear in the dual variables, so only the rows that meet the end of their range are read.
    """
    cdef Py_ssize_t block, i, k, n, m
    cdef double u, moved, goal, kept, now, by = 0, bend = 0, risen = rise(t, c, &bend)
    c.leaps = c.leaps + 1 if risen >= 0 else 1
    if bend > 0:
        by = min(c.most_ahead, (c.leaps - 1.0) / (c.leaps + 2.0), max(risen / bend - 0.5, 0.0))
    c.sum_before = c.sum
    for k in range(t.view.n_features):
        now = c.v[k]
        c.v[k] = now + by * (now - c.v_before[k])
        c.v_before[k] = now
    for block in range(t.n_blocks):
        m = -1
        for i in range(block * t.block, min(t.n_rows, (block + 1) * t.block)):
            u = c.dual[i].u
            moved = u - c.u_before[i]
            c.u_before[i] = u
            if by == 0 or moved == 0 or c.scale[i] == 0:
                continue
            goal = u + by * moved
            kept = min(max(goal, (<Loss>c.loss).gradient_at(c.y[i], -FAR, c.place)),
                       (<Loss>c.loss).gradient_at(c.y[i], FAR, c.place))
            if kept != goal:
                if m < 0:
                    m = take(t, block, x)
                locate(&t.window, t.at[i - block * t.block], &x, &j, &n)
                accumulate(c.v, x, j, n, -c.scale[i] * (kept - goal))
            c.dual[i].u = kept
            c.sum += c.scale[i] * (kept - u)
    c.intercept -= c.rho * (c.sum - c.sum_before)
    return pending_error()


cdef int do(Table t, Task task, const double* w, const double* multiple, double* out, double* back, const floating* x,
            const index_t* j) except -1 nogil:
    if task == NORMS:
        return norms(t, out, x, j)
    if task == LOOK:
        return look(t, w, out, multiple, back, x, j)
    if task == LEAP:
        return leap(t, t.column, x, j)
    return descend(t, t.column, t.order, x, j)


# Columns side by side -----------------------------------------------------------------------------------------------

SIDES = ("inverse", "rho", "shrink", "intercept", "sum", "sum_before", "account", "rise", "bend", "ahead", "mix", "resting")


cdef inline const Bend* bend_of(Together c, double y) noexcept nogil:
    """The parabola of a target's conjugate; the last ones are kept, one of each class."""
    cdef Parabola parabola
    cdef int side = y > 0
    cdef Bend* bend = &c.bend[side]
    if c.bend_at[side] != y:
        c.bend_at[side] = y
        (<Loss>c.loss).conjugate_parabola(y, 0, &parabola)
        bend.centre, bend.dead = <float>parabola.centre, <float>parabola.dead
        bend.below, bend.above = <float>parabola.width_below, <float>parabola.width_above
        bend.low, bend.high = <float>parabola.low, <float>parabola.high
    return bend


cdef int newton_lanes(Loss loss, double y, Row* row, float* at, float* curvature) except -1 nogil:
    """The step of each column by Newton's method for q + step phi'(q) = p + step u, as a lone column's."""
    cdef Search search
    cdef Block block = Block(1, COLUMNS, COLUMNS, 0, &search.target[0], &search.point[0], NULL, &search.slope[0],
                             &search.bend[0])
    cdef int _
    if begin_search(row, at, y, &search):
        loss.evaluate(&block)
    bracket(row, at, curvature, &search)
    for _ in range(NEWTON_STEPS):
        if not search_on(row, PART, &search):
            break
        loss.evaluate(&block)
        narrow(row, &search)
    end_search(&search, row, at, curvature)
    return 0


cdef inline const float* single_row(Table t, Py_ssize_t i, const int32_t** j, Py_ssize_t* n) noexcept nogil:
    """A row's values in float32, its columns and length."""
    cdef const float* x = NULL
    cdef const double* wide = NULL
    cdef float* room = <float*>t.room
    cdef Py_ssize_t k
    if t.single:
        locate(&t.view, i, &x, j, n)
        return x
    locate(&t.view, i, &wide, j, n)
    for k in range(n[0]):
        room[k] = <float>wide[k]
    return room


cdef inline const double* double_row(Table t, Py_ssize_t i, const int32_t** j, Py_ssize_t* n) noexcept nogil:
    """The same in float64."""
    cdef const float* x = NULL
    cdef const double* wide = NULL
    cdef double* room = <double*>t.room
    cdef Py_ssize_t k
    if not t.single:
        locate(&t.view, i, &wide, j, n)
        return wide
    locate(&t.view, i, &x, j, n)
    for k in range(n[0]):
        room[k] = x[k]
    return room


cdef inline void products(Together c, Row* row, const float* x, const int32_t* j, Py_ssize_t n) noexcept nogil:
    """row.p = x.w of each column."""
    cdef Lanes even, odd
    cdef Py_ssize_t i = 0
    clear_lanes(&even)
    clear_lanes(&odd)
    if c.shrinks:
        while i < n:
            add_shrunk_line(&even, x[i], c.v + COLUMNS * <Py_ssize_t>j[i], c.shrink)
            i += 1
    else:
        while i + 2 <= n:
            add_line(&even, x[i], c.v + COLUMNS * <Py_ssize_t>j[i])
            add_line(&odd, x[i + 1], c.v + COLUMNS * <Py_ssize_t>j[i + 1])
            i += 2
        if i < n:
            add_line(&even, x[i], c.v + COLUMNS * <Py_ssize_t>j[i])
    store_lanes(row.p, &even, &odd)


cdef int visit(Together c, Py_ssize_t i) except -1 nogil:
    """The steps of row i; returns the work."""
    cdef Row row
    cdef OfRow of_row = OfRow(<float>c.weight[i], c.norm[i], <float>c.offset[i], c.bits[i] & c.alive)
    cdef float* u = c.u + COLUMNS * i
    cdef float* before = c.u_before + COLUMNS * i
    cdef const int32_t* j = NULL
    cdef Py_ssize_t n = 0, k
    cdef const float* x = single_row(c.table, i, &j, &n)
    cdef float* v = c.v
    cdef float most
    cdef int moved
    products(c, &row, x, j, n)
    begin_row(c.sides, &of_row, u, before, &row)
    if c.bends:
        c.may_leave[i] = parabolic_lanes(bend_of(c, c.y[i]), &row)
    else:
        newton_lanes(<Loss>c.loss, c.y[i], &row, c.at + COLUMNS * i, c.curvature + COLUMNS * i)
    moved = end_row(c.sides, &row, u, before, &most)
    if moved & 1:
        for k in range(n):
            add_to_line(v + COLUMNS * <Py_ssize_t>j[k], x[k], row.change)
    if c.may_rest:
        # Coefficients leap as if all dual variables did: one that has moved may not rest before its own leap.
        rests(&c.level[i], &c.rest[i], moved == 0, 1.0 if c.bends and moved != 0 else most)
    return COLUMNS * (n + 32)


cdef inline bint is_due(Together c, Py_ssize_t i) noexcept nogil:
    """Whether a row is to be visited in this epoch."""
    return (c.bits[i] & c.alive) != 0 and c.rest[i] == 0


cdef inline void ask_for_entries(Table t, Py_ssize_t i) noexcept nogil:
    """Ask memory for a row ahead of time: coefficients read in between keep it from seeing that rows are a sequence."""
    cdef const float* x = NULL
    cdef const int32_t* j = NULL
    cdef Py_ssize_t n = 0, size = 4 if t.single else 8, start
    locate(&t.view, i, &x, &j, &n)
    start = j - <const int32_t*>t.view.indices
    prefetch_far(<const char*>t.view.values + size * start, size * n)
    prefetch_far(<const char*>j, 4 * n)


cdef int epoch(Table t, Together c, const Py_ssize_t* order) except -1 nogil:
    """An epoch of all columns."""
    cdef Py_ssize_t b, i, k, later
    cdef double work = 0
    for b in range(t.n_blocks):
        for i in range(order[b] * t.block, min(t.n_rows, (order[b] + 1) * t.block)):
            # The row at the same place in the next block.
            later = i + (order[b + 1] - order[b]) * t.block if b + 1 < t.n_blocks else t.n_rows
            if later < t.n_rows and is_due(c, later):
                ask_for_entries(t, later)
                prefetch_one(c.u + COLUMNS * later)
                prefetch_one(c.u_before + COLUMNS * later)
            if is_due(c, i):
                work += visit(c, i)
                c.visits += 1
            else:
                c.rest[i] -= c.rest[i] > 0
        if work > WORK_BETWEEN_POLLS:
            work = 0
            if (<Loss>c.loss).failed:
                break
            with gil:
                PyErr_CheckSignals()
    for k in range(COLUMNS):
        c.sides.intercept[k] -= c.sides.rho[k] * c.sides.sum[k]
    if c.bends:
        add_coefs_rise(c)
    return pending_error()


cdef void add_coefs_rise(Together c) noexcept nogil:
    """What the coefficients have to do with by how much an epoch has raised the dual, see `rise`, and its curvature."""
    cdef Sides* s = c.sides
    cdef Sums falls, ways
    cdef double[COLUMNS] fall, way
    cdef Py_ssize_t i, k
    clear_sums(&falls)
    clear_sums(&ways)
    for i in range(c.n_used):
        add_way(&falls, &ways, c.v + COLUMNS * c.used[i], c.v_before + COLUMNS * c.used[i], c.shrink)
    store_sums(fall, &falls)
    store_sums(way, &ways)
    for k in range(COLUMNS):
        s.rise[k] += 0.5 * fall[k] + s.intercept[k] * (s.sum[k] - s.sum_before[k])
        s.bend[k] += way[k]


cdef void proceed(Together c) noexcept nogil:
    """Coefficients into their means, and then ahead; dual variables follow when their rows are visited."""
    cdef Sides* s = c.sides
    cdef float[COLUMNS] ahead, mix
    cdef Py_ssize_t f, k, i
    cdef double leap
    cdef float* v
    cdef float* before
    cdef float* mean
    for k in range(COLUMNS):
        ahead[k], mix[k] = <float>s.ahead[k], <float>s.mix[k]
        leap = s.ahead[k] * (s.sum[k] - s.sum_before[k])
        s.sum_before[k] = s.sum[k]
        s.sum[k] += leap
        s.intercept[k] -= s.rho[k] * leap
    for i in range(c.n_used):
        f = COLUMNS * c.used[i]
        v, before, mean = c.v + f, c.v_before + f, c.mean + f
        advance_line(v, before, mean, ahead, mix, c.shrink)
    if c.bends:
        stay_within(c)


cdef void stay_within(Together c) noexcept nogil:
    """Bring dual variables that have leapt out of their range back to its ends."""
    cdef Row row
    cdef OfRow of_row
    cdef const float* x
    cdef const int32_t* j = NULL
    cdef Py_ssize_t i, k, n = 0
    for i in range(c.table.n_rows):
        if not c.may_leave[i] or (c.bits[i] & c.alive) == 0:
            continue
        of_row = OfRow(<float>c.weight[i], c.norm[i], <float>c.offset[i], c.bits[i] & c.alive)
        if bring_back(c.sides, &of_row, bend_of(c, c.y[i]), c.u + COLUMNS * i, c.u_before + COLUMNS * i, &row):
            x = single_row(c.table, i, &j, &n)
            for k in range(n):
                add_to_line(c.v + COLUMNS * <Py_ssize_t>j[k], x[k], row.change)


cdef void survey(Table t, float* norm, unsigned char* seen) noexcept nogil:
    """norm[i] = ||x_i||^2, and seen[j] = 1 of the features that rows have."""
    cdef Py_ssize_t i, k, n = 0
    cdef const int32_t* j = NULL
    cdef const double* x
    for i in range(t.n_rows):
        x = double_row(t, i, &j, &n)
        norm[i] = <float>squares(x, j, n)
        for k in range(n):
            seen[j[k]] = 1


cdef void see(Together c, double* p, const double* multiple, double* back) noexcept nogil:
    """p = X mean and back += X' multiple of all columns, in float64."""
    cdef Py_ssize_t i, k, n = 0, n_rows = c.table.n_rows
    cdef const int32_t* j = NULL
    cdef const double* x
    cdef double[COLUMNS] of_row
    cdef Sums even, odd
    for i in range(n_rows):
        if i + AHEAD < n_rows:
            ask_for_entries(c.table, i + AHEAD)
        if c.bits[i] == 0:
            continue
        x = double_row(c.table, i, &j, &n)
        clear_sums(&even)
        clear_sums(&odd)
        k = 0
        while k + 2 <= n:
            sum_line(&even, x[k], c.mean + COLUMNS * <Py_ssize_t>j[k])
            sum_line(&odd, x[k + 1], c.mean + COLUMNS * <Py_ssize_t>j[k + 1])
            k += 2
        if k < n:
            sum_line(&even, x[k], c.mean + COLUMNS * <Py_ssize_t>j[k])
        add_sums(&even, &odd)
        store_sums(of_row, &even)
        for k in range(COLUMNS):
            p[n_rows * k + i] = of_row[k]
            of_row[k] = multiple[n_rows * k + i]
        if has_any(of_row):
            for k in range(n):
                add_line_to(back + COLUMNS * <Py_ssize_t>j[k], x[k], of_row)


# The face that Python sees ------------------------------------------------------------------------------------------

cdef class Table:
    """The rows of a problem, in blocks.

    Parameters
    ----------
    rows : Rows
    subset : ndarray of intp or None
        Numbers of the rows that count; None: all.

    Attributes
    ----------
    n_rows, n_blocks : int
    """

    cdef Rows rows
    cdef View view              # of the table
    cdef View window            # of the rows at hand: the table itself, or rows gathered from it
    cdef void* buffer
    cdef void* room             # for a row in another precision
    cdef const Py_ssize_t* subset
    cdef Py_ssize_t[BLOCK] at
    cdef Py_ssize_t block
    cdef bint single            # float32
    cdef bint wide              # int64 indices
    cdef Column column          # of the epoch at hand, and its order
    cdef const Py_ssize_t* order
    cdef list _held
    cdef readonly Py_ssize_t n_rows
    cdef readonly Py_ssize_t n_blocks

    def __init__(self, Rows rows, subset):
        cdef const Py_ssize_t[::1] numbers
        cdef unsigned char[::1] memory
        self.rows = rows
        self.view = self.window = rows.view
        self.n_rows = rows.n_rows
        self._held = []
        if subset is not None:
            numbers = np.ascontiguousarray(subset, dtype=np.intp)
            if len(subset) and not 0 <= np.min(subset) <= np.max(subset) < rows.n_rows:
                raise ValueError(f"subset must hold numbers of rows, from 0 to {rows.n_rows - 1}.")
            self._held.append(numbers)
            self.n_rows = numbers.shape[0]
            self.subset = &numbers[0] if self.n_rows else NULL
        self.block = max(1, min(<Py_ssize_t>BLOCK, self.n_rows // BLOCKS))
        self.n_blocks = (self.n_rows + self.block - 1) // self.block
        self.single = rows.dtype.itemsize == 4
        self.wide = self.view.starts != NULL and rows.indices.dtype.itemsize == 8
        if self.view.starts == NULL and self.view.column_stride != 1:
            memory = np.zeros(self.block * rows.n_features * rows.dtype.itemsize + CACHE_LINE, dtype=np.uint8)
            self._held.append(memory)
            self.buffer = &memory[0]
            self.window.values = self.buffer
            self.window.row_stride = rows.n_features

    cdef int _do(self, Task task, const double* w, const double* multiple, double* out, double* back) except -1:
        """The one body, for this table's kind of rows: the last two arguments carry types alone."""
        with nogil:
            if self.view.starts == NULL:
                if self.single:
                    return do(self, task, w, multiple, out, back, <const float*>NULL, <const dense_t*>NULL)
                return do(self, task, w, multiple, out, back, <const double*>NULL, <const dense_t*>NULL)
            if self.single:
                if self.wide:
                    return do(self, task, w, multiple, out, back, <const float*>NULL, <const int64_t*>NULL)
                return do(self, task, w, multiple, out, back, <const float*>NULL, <const int32_t*>NULL)
            if self.wide:
                return do(self, task, w, multiple, out, back, <const double*>NULL, <const int64_t*>NULL)
            return do(self, task, w, multiple, out, back, <const double*>NULL, <const int32_t*>NULL)

    def mean_square_norm(self):
        """The mean of ||x_i||^2, from a sample of up to a thousand rows."""
        cdef double mean = 0
        self._do(NORMS, NULL, NULL, &mean, NULL)
        return mean

    def look(self, coef, multiple):
        """Products with the table and with its transpose, in one reading.

        Parameters
        ----------
        coef : ndarray of shape (n_features,) or None
        multiple : ndarray of shape (n_rows,) or None

        Returns
        -------
        predictions : ndarray of shape (n_rows,) or None
            X coef.
        back : ndarray of shape (n_features,) or None
            X' multiple.
        """
        cdef double[::1] w, p, back
        cdef const double[::1] c
        cdef const double* from_w = NULL
        cdef const double* from_c = NULL
        cdef double* to_p = NULL
        cdef double* to_back = NULL
        predictions = None if coef is None else np.zeros(self.n_rows)
        gathered = None if multiple is None else vector(self.rows.n_features)
        if self.rows.n_features == 0 or self.n_rows == 0:
            return predictions, gathered
        if coef is not None:
            w = vector(self.rows.n_features)
            np.asarray(w)[:] = coef
            p = predictions
            from_w, to_p = &w[0], &p[0]
        if multiple is not None:
            c, back = multiple, gathered
            from_c, to_back = &c[0], &back[0]
        self._do(LOOK, from_w, from_c, to_p, to_back)
        return predictions, gathered

    cdef int make_room(self) except -1:
        """For a row of a CSR table in another precision."""
        if self.room == NULL:
            memory = np.empty(int(np.max(np.diff(self.rows.indptr), initial=0)) + 1)
            self._held.append(memory)
            self.room = <void*><size_t>memory.ctypes.data

    def survey(self):
        """Of a CSR table without a subset: ||x_i||^2 of all rows in float32, and the numbers of features in use."""
        cdef float[::1] norm = np.zeros(self.n_rows + 1, dtype=np.float32)
        cdef unsigned char[::1] seen = np.zeros(self.rows.n_features + 1, dtype=np.uint8)
        self.make_room()
        with nogil:
            survey(self, &norm[0], &seen[0])
        return np.asarray(norm)[:self.n_rows], np.flatnonzero(seen)

    def descend(self, Column column, const Py_ssize_t[::1] order):
        """An epoch of a column: `order` holds the numbers of all blocks."""
        self.column, self.order = column, &order[0]
        self._do(DESCEND, NULL, NULL, NULL, NULL)

    def leap(self, Column column):
        """Dual variables ahead, by a share of what they have moved since the last call that grows from 0 to 1."""
        self.column = column
        self._do(LEAP, NULL, NULL, NULL, NULL)


cdef class Column:
    """What dual coordinate descent keeps of a column.

    Parameters
    ----------
    loss : Loss
        With scalar parameters.
    rows : tuple of three ndarrays of shape (n_rows,)
        Targets, offsets, and the scales c_i.
    steps : ndarray of shape (n_rows,)
        c_i (||x_i||^2 + rho) of rows that have been visited, -1 of others.
    v : ndarray from :func:`vector`
        To which rows are added.
    dual : ndarray of shape (n_rows,), dtype DUAL

    Attributes
    ----------
    intercept, sum : float
        b, and the sum of c_i u_i, plus intercept_cost / kappa.
    shrink, rho : float
        See the module.
    next_to_none : float
        A row whose part c_i gap_i of the gap is less than this may rest; 0: none does.
    most_ahead : float, default=1
        The largest share of an epoch's way that a leap goes on.
    visits : int
        Rows visited so far.
    """

    cdef void* loss
    cdef Py_ssize_t place
    cdef Dual* dual
    cdef const double* y
    cdef const double* offset
    cdef double* scale
    cdef double* step
    cdef double* v
    cdef double* u_before       # where the last leap began
    cdef double* v_before
    cdef double sum_before
    cdef Py_ssize_t leaps       # since the dual last fell
    cdef unsigned char* rest
    cdef unsigned char* level
    cdef list _held
    cdef public double intercept, sum, shrink, rho, next_to_none, most_ahead
    cdef public Py_ssize_t visits

    def __init__(self, Loss loss, rows, steps, v, dual):
        cdef unsigned char[::1] bytes_
        cdef Py_ssize_t n = len(steps)
        self._held = [loss]
        self.loss = <void*>loss
        self.y = self._pointer(rows[0])
        self.offset = self._pointer(rows[1])
        self.scale = self._pointer(rows[2])
        self.step = self._pointer(steps)
        self.v = self._pointer(v)
        self.dual = <Dual*>self._pointer(dual.view(np.float64))
        self.most_ahead = 1.0
        self.u_before = self._pointer(np.zeros(n))
        self.v_before = self._pointer(np.zeros(len(v)))
        bytes_ = np.zeros(2 * n + 1, dtype=np.uint8)
        self._held.append(bytes_)
        self.rest = &bytes_[0]
        self.level = &bytes_[n]

    cdef double* _pointer(self, array):
        cdef double[::1] memory = array
        self._held.append(memory)
        return &memory[0] if memory.shape[0] else NULL

    @property
    def forgets(self):
        """Whether a step of the loss needs nothing but the dual variable that the last one has left."""
        cdef Dual dual = Dual(0, NAN, NAN, 0)
        if self.y == NULL:
            return False
        (<Loss>self.loss).dual_step(self.y[0], 0, 1, &dual, self.place)
        pending_error()
        return bool(isnan(dual.at))

    def wake(self):
        """Let no row rest any longer."""
        cdef unsigned char[::1] bytes_ = self._held[len(self._held) - 1]
        np.asarray(bytes_)[:] = 0


cdef class Together:
    """Up to 8 columns of one loss that read the rows of a CSR table together.

    What is kept of a column is float32, a lane of a line: the model that it leads to is proven in float64.

    Parameters
    ----------
    table : Table
        All rows of a CSR table with int32 indices, for these columns alone.
    loss : Loss
        With scalar parameters.
    rows : tuple of five ndarrays of shape (n_rows,)
        Targets, offsets, weights (float64); ||x_i||^2 (float32); bits of the columns that train on the row (uint8).
    used : ndarray of intp
        Numbers of the features that are not 0 in all rows.
    lanes : dict of str to ndarray of shape (8,)
        ``inverse``, 1 / (S kappa), 0 for lanes without a column; ``rho``, ``shrink``, ``intercept`` of the columns.

    Attributes
    ----------
    lanes : dict of str to ndarray of shape (8,)
        Of each column: ``intercept``; ``sum`` of c_i u_i; ``account``, the sum of c_i gap_i in the last epoch;
        ``rise``, by how much the last epoch, with its leap, has raised the dual, of losses whose steps need nothing but
        the dual variable, and ``bend``, the dual's curvature along that way; ``ahead``, how far the next leap goes, in
        such ways; ``mix``, the weight of the last iterate in the mean; ``resting``, the inverse of the part
        of the gap below which rows may rest.
    alive : int
        Bits of the columns that are not done.
    bends : bool
        Whether steps need nothing but the dual variable.
    may_rest : bool
        Whether rows may rest.
    visits : int
        Rows visited so far.
    u : ndarray of shape (n_rows, 8), float32
        Dual variables.
    at : ndarray of shape (n_rows, 8) or None
        Where their slopes were found.
    """

    cdef void* loss
    cdef Table table
    cdef const double* y
    cdef const double* offset
    cdef const double* weight
    cdef const float* norm
    cdef const uint8_t* bits
    cdef const Py_ssize_t* used
    cdef Py_ssize_t n_used
    cdef float* v
    cdef float* v_before
    cdef float* mean
    cdef float* u_before
    cdef float* curvature
    cdef float* u
    cdef float* at
    cdef float* shrink
    cdef unsigned char* level
    cdef unsigned char* rest
    cdef unsigned char* may_leave       # rows whose dual variables a leap might lead out of their range
    cdef Sides* sides
    cdef Bend[2] bend           # of the last targets without and above 0
    cdef double[2] bend_at
    cdef bint shrinks
    cdef list _held
    cdef readonly dict lanes
    cdef readonly bint bends
    cdef public bint may_rest
    cdef public int alive
    cdef public Py_ssize_t visits
    cdef readonly object duals, places, coefs, means

    def __init__(self, Table table, Loss loss, rows, used, lanes):
        cdef Py_ssize_t n = table.n_rows, d = table.rows.n_features
        cdef Parabola parabola
        table.make_room()
        self.table, self.loss, self._held = table, <void*>loss, [loss]
        y, offset, weight, norm, bits = rows
        self.y, self.offset = <const double*>self._keep(y), <const double*>self._keep(offset)
        self.weight, self.norm = <const double*>self._keep(weight), <const float*>self._keep(norm)
        self.bits, self.used = <const uint8_t*>self._keep(bits), <const Py_ssize_t*>self._keep(used)
        self.n_used = len(used)
        self.bends = loss.conjugate_parabola(self.y[0], 0, &parabola)
        self.bend_at[0] = self.bend_at[1] = NAN
        sides = np.zeros((len(SIDES), COLUMNS))
        self.sides = <Sides*>self._keep(sides)
        self.lanes = dict(zip(SIDES, sides, strict=True))
        for name, value in lanes.items():
            self.lanes[name][:] = value
        self.shrinks = bool(np.any(self.lanes["shrink"] > 0))
        shrink = lines(1)
        shrink[0] = self.lanes["shrink"]
        self.shrink = <float*>self._keep(shrink)
        # One piece of memory: large ones get large pages.
        m = 0 if self.bends else n
        memory = lines(3 * d + 2 * n + 2 * m)
        self.coefs, before, self.means, self.duals, past, self.places, curvature = np.split(
            memory, np.cumsum([d, d, d, n, n, m]))
        self.places[:] = NAN
        self.v, self.v_before, self.mean = (
            <float*>self._keep(self.coefs), <float*>self._keep(before), <float*>self._keep(self.means))
        self.u, self.u_before = <float*>self._keep(self.duals), <float*>self._keep(past)
        self.at, self.curvature = <float*>self._keep(self.places), <float*>self._keep(curvature)
        self.level = <unsigned char*>self._keep(np.zeros(n, dtype=np.uint8))
        self.rest = <unsigned char*>self._keep(np.zeros(n, dtype=np.uint8))
        self.may_leave = <unsigned char*>self._keep(np.zeros(n, dtype=np.uint8))

    cdef void* _keep(self, array) except? NULL:
        """Where an array's elements are."""
        self._held.append(array)
        return <void*><size_t>array.ctypes.data

    def epoch(self, const Py_ssize_t[::1] order):
        """Visit all rows: `order` holds the numbers of all blocks."""
        self.lanes["account"][:] = 0.0
        self.lanes["rise"][:] = 0.0
        self.lanes["bend"][:] = 0.0
        with nogil:
            epoch(self.table, self, &order[0])

    def proceed(self):
        """Take coefficients into their means, and leap."""
        with nogil:
            proceed(self)

    def see(self, double[:, ::1] multiple, double[:, ::1] p, double[:, ::1] back):
        """Products of the means with the table, and of its transpose, in float64 and one reading.

        Parameters
        ----------
        multiple : ndarray of shape (8, n_rows)
        p : ndarray of shape (8, n_rows)
            Becomes X means.
        back : ndarray of shape (n_features, 8)
            Becomes X' multiple.
        """
        back[:] = 0.0
        with nogil:
            see(self, &p[0, 0], &multiple[0, 0], &back[0, 0])


def has_parabola(Loss loss):
    """Whether a loss's dual steps need nothing but the dual variable: see ``conjugate_parabola``."""
    cdef Parabola parabola
    return loss.conjugate_parabola(1.0, 0, &parabola)


def lines(n):
    """n lines of zeros, each a cache line."""
    memory = np.zeros(COLUMNS * n + CACHE_LINE // 4, dtype=np.float32)
    start = -memory.ctypes.data % CACHE_LINE // 4
    return memory[start : start + COLUMNS * n].reshape(n, COLUMNS)

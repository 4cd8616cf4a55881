"""Losses of embeddings: what they compute row by row, and the steps of those that compare a row with all others.

Compiled once for each instruction-set level. The loops over elements and the tiles are in ``_embedding.h``; arguments
have been checked in ``_embedding.py``. Work is cut into chunks of rows that do not depend on the number of threads.
"""

from cython cimport floating
from libc.math cimport exp, fabs, isfinite, log, log1p
from libc.stdint cimport int64_t

import numpy as np

from sklosses.losses._team cimport sk_run, sk_team

cdef extern from "_embedding.h" nogil:
    enum:
        SK_TILE
    ctypedef struct sk_scratch_f32:
        pass
    ctypedef struct sk_scratch_f64:
        pass
    ctypedef struct sk_soft:
        const void* rows[2]
        void* gradient[2]
        Py_ssize_t n_first, n, d, partner, size, n_blocks
        double scale
        const double* inverse
        int direct
        double* top
        double* sum
        double* ratio
        Py_ssize_t* played
        char* scratch
        Py_ssize_t scratch_size
        int backward
        sk_team* team
    const void* sk_row_of(const sk_soft* soft, Py_ssize_t row, Py_ssize_t width) noexcept
    Py_ssize_t sk_partner_of(const sk_soft* soft, Py_ssize_t row) noexcept
    Py_ssize_t sk_n_matches(Py_ssize_t n_blocks) noexcept
    void sk_play_f32(void* context, Py_ssize_t item, int worker) noexcept
    void sk_play_f64(void* context, Py_ssize_t item, int worker) noexcept
    double sk_length_f32(const float* a, const float* b, Py_ssize_t d) noexcept
    double sk_length_f64(const double* a, const double* b, Py_ssize_t d) noexcept
    double sk_inverse_length_f32(const float* a, Py_ssize_t d) noexcept
    double sk_inverse_length_f64(const double* a, Py_ssize_t d) noexcept
    double sk_nearer_f32(const float* a, const float* p, const float* n, Py_ssize_t d) noexcept
    double sk_nearer_f64(const double* a, const double* p, const double* n, Py_ssize_t d) noexcept
    void sk_compare_f32(const float* a, double p, const float* b, double q, Py_ssize_t d, double* result) noexcept
    void sk_compare_f64(const double* a, double p, const double* b, double q, Py_ssize_t d, double* result) noexcept
    void sk_blend_f32(float* out, const float* a, double p, const float* b, double q, double c,
                      Py_ssize_t d) noexcept
    void sk_blend_f64(double* out, const double* a, double p, const double* b, double q, double c,
                      Py_ssize_t d) noexcept
    void sk_apart_f32(float* out, const float* a, const float* b, double c, Py_ssize_t d) noexcept
    void sk_apart_f64(double* out, const double* a, const double* b, double c, Py_ssize_t d) noexcept
    void sk_gather_f32(double* out, const float* a, double c, Py_ssize_t d) noexcept
    void sk_gather_f64(double* out, const double* a, double c, Py_ssize_t d) noexcept
    void sk_project_f32(float* gradient, const float* row, double inverse, double scale, Py_ssize_t d) noexcept
    void sk_project_f64(double* gradient, const double* row, double inverse, double scale, Py_ssize_t d) noexcept

cdef enum:
    CHUNK = 256             # rows of an item, where rows are independent of each other
    COLUMNS = 32            # elements of the centres' gradient in an item
    SMALL = 1 << 21         # multiplications below which threads cost more than they save


# One name for both precisions ---------------------------------------------------------------------------------------

cdef inline double length(const floating* a, const floating* b, Py_ssize_t d) noexcept nogil:
    if floating is float:
        return sk_length_f32(a, b, d)
    else:
        return sk_length_f64(a, b, d)


cdef inline double inverse_length(const floating* a, Py_ssize_t d) noexcept nogil:
    if floating is float:
        return sk_inverse_length_f32(a, d)
    else:
        return sk_inverse_length_f64(a, d)


cdef inline double nearer(const floating* a, const floating* p, const floating* n, Py_ssize_t d) noexcept nogil:
    if floating is float:
        return sk_nearer_f32(a, p, n, d)
    else:
        return sk_nearer_f64(a, p, n, d)


cdef inline void compare(const floating* a, double p, const floating* b, double q, Py_ssize_t d,
                         double* result) noexcept nogil:
    if floating is float:
        sk_compare_f32(a, p, b, q, d, result)
    else:
        sk_compare_f64(a, p, b, q, d, result)


cdef inline void blend(floating* out, const floating* a, double p, const floating* b, double q, double c,
                       Py_ssize_t d) noexcept nogil:
    if floating is float:
        sk_blend_f32(out, a, p, b, q, c, d)
    else:
        sk_blend_f64(out, a, p, b, q, c, d)


cdef inline void apart(floating* out, const floating* a, const floating* b, double c, Py_ssize_t d) noexcept nogil:
    if floating is float:
        sk_apart_f32(out, a, b, c, d)
    else:
        sk_apart_f64(out, a, b, c, d)


cdef inline void gather(double* out, const floating* a, double c, Py_ssize_t d) noexcept nogil:
    if floating is float:
        sk_gather_f32(out, a, c, d)
    else:
        sk_gather_f64(out, a, c, d)


cdef inline void project(floating* gradient, const floating* row, double inverse, double scale,
                         Py_ssize_t d) noexcept nogil:
    if floating is float:
        sk_project_f32(gradient, row, inverse, scale, d)
    else:
        sk_project_f64(gradient, row, inverse, scale, d)


# Pairs, triplets, centres -------------------------------------------------------------------------------------------

ctypedef enum Kind:
    CONTRASTIVE
    COSINE
    TRIPLET
    CENTER

cdef struct Rows:
    Kind kind
    Py_ssize_t n, d
    const void* rows[3]
    void* gradient[3]           # all NULL: not asked for
    void* value                 # NULL: not asked for
    const double* weight        # NULL: 1
    const double* same          # pairs: 1 or 0
    const int64_t* label        # centres: the row of rows[1]
    double margin
    bint squared
    Py_ssize_t n_centers


cdef void contrast_row(const Rows* job, Py_ssize_t i, const floating* a, const floating* b, double weight,
                       double* value) noexcept nogil:
    """(same d^2 + (1 - same) (margin - d)+^2) / 2"""
    cdef double distance = length(a, b, job.d), gap = job.margin - distance, slope
    if job.same[i] != 0:
        value[0], slope = 0.5 * distance * distance, 1.0
    elif gap <= 0:
        value[0] = slope = 0.0
    else:
        value[0], slope = 0.5 * gap * gap, 0.0
        if distance > 1e-300:
            slope = -gap / distance
    if job.gradient[0] != NULL:
        apart(<floating*> job.gradient[0] + i * job.d, a, b, weight * slope, job.d)
        apart(<floating*> job.gradient[1] + i * job.d, b, a, weight * slope, job.d)


cdef void cosine_row(const Rows* job, Py_ssize_t i, const floating* a, const floating* b, double weight,
                     double* value) noexcept nogil:
    """same (1 - cos) + (1 - same) (cos - margin)+"""
    cdef double p = inverse_length(a, job.d), q = inverse_length(b, job.d), slope = -1.0
    cdef double[2] cos
    compare(a, p, b, q, job.d, &cos[0])
    if p == 0 or q == 0:
        cos[0], cos[1], p, q = 0.0, 1.0, 0.0, 0.0
    if job.same[i] != 0:
        value[0] = cos[1]                           # |u - v|^2 / 2 = 1 - cos without its cancellation
    elif cos[0] > job.margin:
        value[0], slope = cos[0] - job.margin, 1.0
    else:
        value[0] = slope = 0.0
    if job.gradient[0] != NULL:
        slope *= weight                             # d cos / d a = (v - cos u) / |a|
        blend(<floating*> job.gradient[0] + i * job.d, b, q, a, -cos[0] * p, slope * p, job.d)
        blend(<floating*> job.gradient[1] + i * job.d, a, p, b, -cos[0] * q, slope * q, job.d)


cdef void triplet_row(const Rows* job, Py_ssize_t i, const floating* a, const floating* p, const floating* n,
                      double weight, double* value) noexcept nogil:
    """(d^2(a, p) - d^2(a, n) + margin)+, or of the distances themselves"""
    cdef double near = 0.0, far = 0.0, pull = 0.0, push = 0.0, difference = nearer(a, p, n, job.d)
    cdef Py_ssize_t at = i * job.d
    if not job.squared or not isfinite(difference):
        near, far = length(a, p, job.d), length(a, n, job.d)
        difference = (near - far) * ((near + far) if job.squared else 1.0)
    value[0] = difference + job.margin
    if not value[0] > 0:
        value[0] = 0.0
    elif job.squared:
        pull = push = 2.0 * weight
    else:
        pull = weight / near if near > 1e-300 else 0.0
        push = weight / far if far > 1e-300 else 0.0
    if job.gradient[0] == NULL:
        return
    apart(<floating*> job.gradient[1] + at, p, a, pull, job.d)
    apart(<floating*> job.gradient[2] + at, a, n, push, job.d)
    blend(<floating*> job.gradient[0] + at, <const floating*> job.gradient[1] + at, -1.0,
          <const floating*> job.gradient[2] + at, -1.0, 1.0, job.d)


cdef void center_row(const Rows* job, Py_ssize_t i, const floating* z, const floating* center, double weight,
                     double* value) noexcept nogil:
    """d^2(z, center) / 2"""
    cdef double distance = length(z, center, job.d)
    value[0] = 0.5 * distance * distance
    if job.gradient[0] != NULL:
        apart(<floating*> job.gradient[0] + i * job.d, z, center, weight, job.d)


cdef void some_rows(const Rows* job, Py_ssize_t item, const floating* real) noexcept nogil:
    cdef Py_ssize_t i, d = job.d
    cdef double value, weight
    cdef const floating* a = <const floating*> job.rows[0]
    cdef const floating* b = <const floating*> job.rows[1]
    cdef const floating* c = <const floating*> job.rows[2]
    for i in range(item * CHUNK, min((item + 1) * CHUNK, job.n)):
        weight = job.weight[i] if job.weight != NULL else 1.0
        if job.kind == CONTRASTIVE:
            contrast_row(job, i, a + i * d, b + i * d, weight, &value)
        elif job.kind == COSINE:
            cosine_row(job, i, a + i * d, b + i * d, weight, &value)
        elif job.kind == TRIPLET:
            triplet_row(job, i, a + i * d, b + i * d, c + i * d, weight, &value)
        else:
            center_row(job, i, a + i * d, b + job.label[i] * d, weight, &value)
        if job.value != NULL:
            (<floating*> job.value)[i] = <floating> (weight * value)


cdef void some_columns(const Rows* job, Py_ssize_t item, const floating* real, double* sums) noexcept nogil:
    """Columns of the gradient in the centres: sum of weight (c - z) over a centre's rows, in the rows' order."""
    cdef Py_ssize_t i, j, k, d = job.d, start = item * COLUMNS, width = min(<Py_ssize_t> COLUMNS, d - start)
    cdef const floating* z = <const floating*> job.rows[0]
    cdef const floating* centers = <const floating*> job.rows[1]
    cdef floating* out = <floating*> job.gradient[1]
    cdef double weight
    for i in range(job.n):
        weight = job.weight[i] if job.weight != NULL else 1.0
        j = job.label[i]
        for k in range(width):
            sums[j * COLUMNS + k] += weight * (<double> centers[j * d + start + k] - <double> z[i * d + start + k])
    for j in range(job.n_centers):
        for k in range(width):
            out[j * d + start + k] = <floating> sums[j * COLUMNS + k]
            sums[j * COLUMNS + k] = 0.0


cdef struct Columns:
    Rows* job
    double* sums                # n_centers x COLUMNS for each worker, zero


cdef void rows32(void* job, Py_ssize_t item, int worker) noexcept nogil:
    some_rows(<const Rows*> job, item, <const float*> NULL)


cdef void rows64(void* job, Py_ssize_t item, int worker) noexcept nogil:
    some_rows(<const Rows*> job, item, <const double*> NULL)


cdef void columns32(void* context, Py_ssize_t item, int worker) noexcept nogil:
    cdef Columns* columns = <Columns*> context
    some_columns(columns.job, item, <const float*> NULL, columns.sums + worker * columns.job.n_centers * COLUMNS)


cdef void columns64(void* context, Py_ssize_t item, int worker) noexcept nogil:
    cdef Columns* columns = <Columns*> context
    some_columns(columns.job, item, <const double*> NULL, columns.sums + worker * columns.job.n_centers * COLUMNS)


cdef inline Py_ssize_t parts(Py_ssize_t n, Py_ssize_t size) noexcept nogil:
    """Parts of at most this size."""
    return (n + size - 1) // size


cdef void* address(array):
    cdef Py_ssize_t at = 0 if array is None else array.ctypes.data
    return <void*> at


def by_rows(str kind, embeddings, same, weight, outputs, settings):
    """Value and gradients of a loss whose rows are independent of each other.

    Parameters
    ----------
    kind : {"contrastive", "cosine", "triplet", "center"}
        The loss.
    embeddings : tuple of C-contiguous ndarrays of one floating dtype and shape (n, d)
        For center: the rows, and the centers of shape (n_centers, d).
    same : ndarray of float64 or int64, of shape (n,), or None
        1 and 0 for similar and dissimilar pairs; labels for center.
    weight : ndarray of float64 of shape (n,), or None
    outputs : tuple
        ndarray for the value or None, tuple of ndarrays for the gradients or None.
    settings : dict
        margin, squared, n_threads.
    """
    value, gradients = outputs
    first = embeddings[0]
    cdef bint single = first.dtype == np.float32
    cdef Rows job
    cdef Py_ssize_t k
    job.kind = {"contrastive": CONTRASTIVE, "cosine": COSINE, "triplet": TRIPLET, "center": CENTER}[kind]
    job.n, job.d = first.shape
    for k in range(3):
        job.rows[k] = address(embeddings[k] if k < len(embeddings) else None)
        job.gradient[k] = address(gradients[k] if gradients is not None and k < len(gradients) else None)
    job.value, job.weight = address(value), <const double*> address(weight)
    job.same = job.label = NULL
    if kind == "center":
        job.label = <const int64_t*> address(same)
    else:
        job.same = <const double*> address(same)
    job.margin, job.squared = settings.get("margin", 0.0), settings.get("squared", True)
    job.n_centers = len(embeddings[1])
    cdef int n_threads = settings["n_threads"] if job.n * job.d > SMALL // 16 else 1
    cdef sk_team team
    team.task, team.context, team.n_items = (rows32 if single else rows64), &job, parts(job.n, CHUNK)
    with nogil:
        sk_run(&team, n_threads)
    if kind != "center" or gradients is None:
        return
    cdef double[::1] sums = np.zeros(n_threads * job.n_centers * COLUMNS)
    cdef Columns columns = Columns(&job, &sums[0])
    team.task, team.context, team.n_items = (columns32 if single else columns64), &columns, parts(job.d, COLUMNS)
    with nogil:
        sk_run(&team, n_threads)


# A row against all others -------------------------------------------------------------------------------------------

cdef struct Batch:
    sk_soft soft
    double sharpness            # 1 / temperature
    const double* weight
    void* value                 # NULL: not asked for
    const int64_t* order        # supcon: rows sorted by class
    const int64_t* start        # supcon: where a class starts in order
    double* sums                # supcon: 2 d numbers for each worker


cdef inline const floating* row_of(const Batch* batch, Py_ssize_t i, const floating* real) noexcept nogil:
    return <const floating*> sk_row_of(&batch.soft, i, batch.soft.d * sizeof(floating))


cdef inline floating* gradient_of(const Batch* batch, Py_ssize_t i, const floating* real) noexcept nogil:
    if i < batch.soft.n_first:
        return <floating*> batch.soft.gradient[0] + i * batch.soft.d
    return <floating*> batch.soft.gradient[1] + (i - batch.soft.n_first) * batch.soft.d


cdef void measure(Batch* batch, Py_ssize_t item, const floating* real) noexcept nogil:
    """Inverse lengths of some rows."""
    cdef Py_ssize_t i
    for i in range(item * CHUNK, min((item + 1) * CHUNK, batch.soft.n)):
        (<double*> batch.soft.inverse)[i] = inverse_length(row_of(batch, i, real), batch.soft.d)


cdef void finish(Batch* batch, Py_ssize_t item, const floating* real) noexcept nogil:
    """Gradients in the rows, from those in the scaled unit rows."""
    cdef Py_ssize_t i
    for i in range(item * CHUNK, min((item + 1) * CHUNK, batch.soft.n)):
        project(gradient_of(batch, i, real), row_of(batch, i, real), batch.soft.inverse[i], batch.soft.scale,
                batch.soft.d)


cdef void meet_partner(Batch* batch, Py_ssize_t item, const floating* real) noexcept nogil:
    """nt_xent: values, from the sums over all but the partner; the partner's part of the gradients.

    With x = log(sum) - s_partner the value is log(1 + exp(x)), and 1 - softmax is sigmoid(x): neither cancels.
    """
    cdef sk_soft* soft = &batch.soft
    cdef Py_ssize_t i, j, side, row
    cdef double similar, x, decay, pull
    cdef double[2] cos
    cdef const floating* rows[2]
    for i in range(item * CHUNK, min((item + 1) * CHUNK, soft.n_first)):
        j = i + soft.n_first
        rows[0], rows[1] = row_of(batch, i, real), row_of(batch, j, real)
        compare(rows[0], soft.inverse[i], rows[1], soft.inverse[j], soft.d, &cos[0])
        similar, pull = cos[0] * batch.sharpness, 0.0
        for side in range(2):
            row = j if side else i
            x = soft.top[row] + log(soft.sum[row]) - similar
            decay = exp(-fabs(x))
            if batch.value != NULL:
                (<floating*> batch.value)[row] = <floating> (batch.weight[row] * (max(x, 0.0) + log1p(decay)))
            soft.ratio[row] = batch.weight[row] / (soft.sum[row] + exp(similar - soft.top[row]))
            pull += batch.weight[row] * (1.0 if x >= 0 else decay) / (1.0 + decay)
        if soft.gradient[0] != NULL:
            pull *= -soft.scale
            blend(gradient_of(batch, i, real), rows[1], soft.inverse[j], rows[0], 0.0, pull, soft.d)
            blend(gradient_of(batch, j, real), rows[0], soft.inverse[i], rows[1], 0.0, pull, soft.d)


cdef void meet_class(Batch* batch, Py_ssize_t item, const floating* real, int worker) noexcept nogil:
    """supcon: values and the positives' part of the gradients for one class.

    All rows of a class have the same number m of positives, so sum_p s_ip is u_i.(T - u_i) / temperature with T the
    sum of the class's unit rows, and the gradient in u_i is -(w_i (T - u_i) + T_w - w_i u_i) / m, T_w weighted.
    """
    cdef sk_soft* soft = &batch.soft
    cdef double* total = batch.sums + worker * 2 * soft.d
    cdef double* weighted = total + soft.d
    cdef Py_ssize_t first = batch.start[item], last = batch.start[item + 1], m = last - first - 1, at, i, k
    cdef const floating* row
    cdef floating* gradient
    cdef double similar, weight, inverse, u
    for k in range(2 * soft.d):
        total[k] = 0.0
    for at in range(first, last):
        i = batch.order[at]
        gather(total, row_of(batch, i, real), soft.inverse[i], soft.d)
        gather(weighted, row_of(batch, i, real), batch.weight[i] * soft.inverse[i], soft.d)
    for at in range(first, last):
        i = batch.order[at]
        row, weight, inverse, similar = row_of(batch, i, real), batch.weight[i], soft.inverse[i], 0.0
        for k in range(soft.d):
            u = inverse * <double> row[k]
            similar += u * (total[k] - u)
        if batch.value != NULL:
            (<floating*> batch.value)[i] = 0
            if weight != 0:
                (<floating*> batch.value)[i] = <floating> (
                    weight * (soft.top[i] + log(soft.sum[i]) - batch.sharpness * similar / m))
        soft.ratio[i] = weight / soft.sum[i]
        if soft.gradient[0] != NULL:
            gradient = gradient_of(batch, i, real)
            for k in range(soft.d):
                u = inverse * <double> row[k]
                gradient[k] = <floating> (-soft.scale / max(m, 1) * (weight * (total[k] - 2 * u) + weighted[k]))


cdef void measure32(void* batch, Py_ssize_t item, int worker) noexcept nogil:
    measure(<Batch*> batch, item, <const float*> NULL)


cdef void measure64(void* batch, Py_ssize_t item, int worker) noexcept nogil:
    measure(<Batch*> batch, item, <const double*> NULL)


cdef void finish32(void* batch, Py_ssize_t item, int worker) noexcept nogil:
    finish(<Batch*> batch, item, <const float*> NULL)


cdef void finish64(void* batch, Py_ssize_t item, int worker) noexcept nogil:
    finish(<Batch*> batch, item, <const double*> NULL)


cdef void partner32(void* batch, Py_ssize_t item, int worker) noexcept nogil:
    meet_partner(<Batch*> batch, item, <const float*> NULL)


cdef void partner64(void* batch, Py_ssize_t item, int worker) noexcept nogil:
    meet_partner(<Batch*> batch, item, <const double*> NULL)


cdef void class32(void* batch, Py_ssize_t item, int worker) noexcept nogil:
    meet_class(<Batch*> batch, item, <const float*> NULL, worker)


cdef void class64(void* batch, Py_ssize_t item, int worker) noexcept nogil:
    meet_class(<Batch*> batch, item, <const double*> NULL, worker)


cdef int block_size(Py_ssize_t n) noexcept:
    """Rows of a block, a function of n alone: about eight blocks at least, so that threads find work."""
    return <int> min(max((n // 8 + 15) // 16 * 16, 48), SK_TILE)


cdef int in_steps(Batch* batch, bint single, Py_ssize_t n_classes, int n_threads) except -1 nogil:
    """All steps in turn; a step's items are spread over the threads."""
    cdef sk_soft* soft = &batch.soft
    cdef sk_team team
    cdef Py_ssize_t i, n_chunks = parts(soft.n, CHUNK)
    team.context, soft.team, soft.backward = batch, &team, 0
    team.task, team.n_items = (measure32 if single else measure64), n_chunks
    sk_run(&team, n_threads)
    team.task, team.n_items = (sk_play_f32 if single else sk_play_f64), sk_n_matches(soft.n_blocks)
    sk_run(&team, n_threads)
    if n_classes > 0:
        team.task, team.n_items = (class32 if single else class64), n_classes
    else:
        team.task, team.n_items = (partner32 if single else partner64), parts(soft.n_first, CHUNK)
    sk_run(&team, n_threads)
    if soft.gradient[0] == NULL:
        return 0
    for i in range(soft.n_blocks):
        soft.played[i] = 0
    soft.backward = 1
    team.task, team.n_items = (sk_play_f32 if single else sk_play_f64), sk_n_matches(soft.n_blocks)
    sk_run(&team, n_threads)
    team.task, team.n_items = (finish32 if single else finish64), n_chunks
    return sk_run(&team, n_threads)


def against_all(embeddings, classes, double[::1] weight, outputs, double temperature, int n_threads):
    """Value and gradients of nt_xent (two embeddings) or supcon (one, and classes).

    Parameters
    ----------
    embeddings : tuple of one or two C-contiguous ndarrays of one floating dtype and shape (n, d)
    classes : tuple of two int64 ndarrays, or None
        supcon: rows sorted by class, and where each class starts among them, n at the end.
    weight : float64 of shape (n,), or (2 n,) for two embeddings
        0 for rows that contribute nothing.
    outputs : tuple
        ndarray for the value or None, tuple of ndarrays for the gradients or None.
    temperature : float
    n_threads : int
    """
    value, gradients = outputs
    first = embeddings[0]
    cdef bint single = first.dtype == np.float32, two = len(embeddings) > 1
    cdef Batch batch
    cdef sk_soft* soft = &batch.soft
    soft.n_first, soft.d = first.shape
    soft.n = soft.n_first * len(embeddings)
    soft.rows[0], soft.rows[1] = address(first), address(embeddings[1] if two else None)
    soft.gradient[0] = address(None if gradients is None else gradients[0])
    soft.gradient[1] = address(gradients[1] if two and gradients is not None else None)
    soft.partner = soft.n_first if two else 0
    soft.size = block_size(soft.n)
    soft.n_blocks = parts(soft.n, soft.size)
    batch.sharpness = 1.0 / temperature
    soft.scale = batch.sharpness ** 0.5
    soft.direct = batch.sharpness <= (30.0 if single else 300.0)
    cdef double[:, ::1] numbers = np.zeros((4, soft.n))
    cdef Py_ssize_t[::1] played = np.zeros(soft.n_blocks, dtype=np.intp)
    soft.inverse, soft.top, soft.sum, soft.ratio = &numbers[0, 0], &numbers[1, 0], &numbers[2, 0], &numbers[3, 0]
    soft.played = &played[0]
    if not soft.direct:
        numbers[1, :] = -1e30 if single else -1e300
    if soft.n * soft.n * (soft.d + 16) < SMALL:
        n_threads = 1
    soft.scratch_size = (((sizeof(sk_scratch_f32) if single else sizeof(sk_scratch_f64)) + 63) // 64) * 64
    cdef char[::1] scratch = np.zeros(n_threads * soft.scratch_size + 64, dtype=np.int8)
    soft.scratch = &scratch[0] + (64 - <Py_ssize_t> &scratch[0] % 64)
    batch.weight, batch.value = &weight[0], address(value)
    batch.order = batch.start = NULL
    cdef double[::1] sums = np.zeros(max(1, n_threads * 2 * soft.d if classes is not None else 1))
    batch.sums = &sums[0]
    cdef Py_ssize_t n_classes = 0
    if classes is not None:
        batch.order, batch.start = <const int64_t*> address(classes[0]), <const int64_t*> address(classes[1])
        n_classes = len(classes[1]) - 1
    with nogil:
        in_steps(&batch, single, n_classes, n_threads)

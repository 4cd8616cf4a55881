"""The nearest distribution to a point."""


cdef inline void project(double* t, Py_ssize_t K) noexcept nogil:
    """Project t of length K onto the simplex, in place (Michelot 1986).

    The solution is what of t lies above a threshold, which is no more than 1 below the largest entry. Entries that fall
    below it are left out, and the threshold is found anew, until none does. Where entries are equal to the threshold,
    rounding may bring them back: that ends it, too.
    """
    cdef Py_ssize_t k, left = K + 1, before = K + 2
    cdef double threshold = t[0], sum
    for k in range(1, K):
        threshold = t[k] if t[k] > threshold else threshold
    threshold -= 1 + 1e-15 * (1 + (threshold if threshold > 0 else -threshold))
    while left < before:
        before, left, sum = left, 0, -1.0
        for k in range(K):
            if t[k] > threshold:
                sum += t[k]
                left += 1
        threshold = sum / left if left > 0 else threshold
    for k in range(K):
        t[k] = t[k] - threshold if t[k] > threshold else 0.0

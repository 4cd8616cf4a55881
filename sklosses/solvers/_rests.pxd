"""Rows that have next to no share in the gap rest for some epochs of dual coordinate descent."""

cdef enum:
    DEEPEST = 5             # a row rests for 2^5 - 1 epochs at most


cdef inline bint rests(unsigned char* level, unsigned char* rest, bint still, double share) noexcept nogil:
    """How many epochs a row will rest: twice as many each time that it has next to no share in the gap.

    Parameters: whether its dual variable has not moved, and its part of the gap over what is next to none.
    """
    if share < 1 and (still or share < 0.01):
        level[0] = min(level[0] + 1, DEEPEST)
        rest[0] = <unsigned char>((1 << level[0]) - 1)
    else:
        level[0] = 0
    return rest[0] > 0

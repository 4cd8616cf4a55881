"""Errors that losses written in Python leave behind."""

cdef extern from *:
    """
    /* Losses written in Python cannot raise from gradient_at; they leave the error indicator set. It is asked for with
       the GIL released, of the thread's own state, so it is found only after taking the GIL. */
    static int sk_pending_error(void)
    {
        PyGILState_STATE state = PyGILState_Ensure();
        int pending = PyErr_Occurred() ? -1 : 0;
        PyGILState_Release(state);
        return pending;
    }
    """
    int pending_error "sk_pending_error"() except -1 nogil

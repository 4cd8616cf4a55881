"""Items of work shared by threads without Python: see ``_team.h``."""


cdef extern from "_team.h" nogil:
    ctypedef struct sk_team:
        void (*task)(void* context, Py_ssize_t item, int worker) noexcept nogil
        void* context
        Py_ssize_t n_items
    int sk_run(sk_team* team, int n_threads) except -1
    int load_int "SK_LOAD"(int* address) noexcept
    void store_int "SK_STORE"(int* address, int value) noexcept

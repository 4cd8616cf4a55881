/* Items of work shared by threads that know nothing of Python.

   Threads start with a job and end with it: none spins or waits in between, so they are in nobody's way, and a process
   may fork. Which thread takes an item must not matter to the result. The calling thread works too, and it is the one
   that asks every 50 ms whether Ctrl-C was pressed. Without gcc's atomics the caller does all the work. */
#ifndef SKLOSSES_TEAM_H
#define SKLOSSES_TEAM_H

#include <Python.h>
#include <pythread.h>
#include <stddef.h>
#include <time.h>

#if defined(__GNUC__) || defined(__clang__)
#define SK_THREADS 1
#define SK_LOAD(address) __atomic_load_n(address, __ATOMIC_ACQUIRE)
#define SK_STORE(address, value) __atomic_store_n(address, value, __ATOMIC_RELEASE)
#define SK_NEXT(address) __atomic_fetch_add(address, 1, __ATOMIC_ACQ_REL)
#define SK_LEAVE(address) __atomic_sub_fetch(address, 1, __ATOMIC_ACQ_REL)
#else
#define SK_THREADS 0
#define SK_LOAD(address) (*(address))
#define SK_STORE(address, value) (*(address) = (value))
#define SK_NEXT(address) ((*(address))++)
#define SK_LEAVE(address) (--*(address))
#endif

#if defined(__unix__) || defined(__APPLE__)
#include <sched.h>
#define SK_YIELD() sched_yield()
#else
#define SK_YIELD() ((void)0)
#endif

typedef struct sk_team {
    void (*task)(void *context, ptrdiff_t item, int worker);    /* worker: 0 <= worker < n_threads, for scratch space */
    void *context;
    ptrdiff_t n_items, next;
    int workers;                /* numbers given out */
    int running;                /* threads other than the caller's that have not finished */
    int stop;
    PyThread_type_lock done;    /* held until the last of them finishes */
} sk_team;

static inline double sk_seconds(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* -1, with Python's error set in the calling thread, if a signal's handler raised. */
static inline int sk_signals(void)
{
    PyGILState_STATE state = PyGILState_Ensure();
    int raised = PyErr_CheckSignals();
    PyGILState_Release(state);
    return raised;
}

static void sk_team_member(void *argument)
{
    sk_team *team = (sk_team *)argument;
    int worker = SK_NEXT(&team->workers);
    ptrdiff_t item;
    while (!SK_LOAD(&team->stop) && (item = SK_NEXT(&team->next)) < team->n_items)
        team->task(team->context, item, worker);
    if (SK_LEAVE(&team->running) == 0)
        PyThread_release_lock(team->done);
}

/* All items, in the order of their numbers as far as their start goes. Called without the GIL. -1 after a signal. */
static int sk_run(sk_team *team, int n_threads)
{
    ptrdiff_t item;
    double polled = sk_seconds();
    int raised = 0, thread;
    team->next = 0;
    team->stop = 0;
    team->workers = 1;
    team->running = 1;          /* the caller, until it has started all others */
    team->done = NULL;
    if (n_threads > team->n_items)
        n_threads = (int)team->n_items;
    if (SK_THREADS && n_threads > 1 && (team->done = PyThread_allocate_lock()) != NULL) {
        PyThread_acquire_lock(team->done, WAIT_LOCK);
        for (thread = 1; thread < n_threads; thread++) {
            SK_NEXT(&team->running);
            if (PyThread_start_new_thread(sk_team_member, team) == PYTHREAD_INVALID_THREAD_ID) {
                SK_LEAVE(&team->running);
                break;          /* fewer threads, the same result */
            }
        }
    }
    while ((item = SK_NEXT(&team->next)) < team->n_items) {
        team->task(team->context, item, 0);
        if (sk_seconds() - polled > 0.05) {
            polled = sk_seconds();
            if ((raised = sk_signals()) != 0) {
                SK_STORE(&team->stop, 1);
                break;
            }
        }
    }
    if (team->done != NULL) {
        if (SK_LEAVE(&team->running) != 0)
            PyThread_acquire_lock(team->done, WAIT_LOCK);
        else
            PyThread_release_lock(team->done);
        PyThread_free_lock(team->done);
    }
    return raised;
}

#endif

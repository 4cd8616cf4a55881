"""Tasks spread over threads, which end when nobody waits for them any more."""

import weakref
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing

from sklosses.solvers._monitor import Monitor

# Seconds between two looks of a thread that waits: where waiting is not interrupted, Ctrl-C is seen then.
HEARTBEAT = 0.1


class Left(BaseException):
    """In a thread whose results nobody waits for any more."""


class Watch(Monitor):
    """Ends what other threads solve when the block that it guards is left: Ctrl-C reaches one thread only."""

    def __init__(self):
        self._over, self._stops = False, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._over = True
        for stop in self._stops:
            call = stop()
            if call is not None:
                call()

    def attach(self, stop):
        """Remember how the solver is stopped, for as long as it is there."""
        self._stops.append(weakref.WeakMethod(stop))

    def begin(self, _):
        """Go on, or not."""
        if self._over:
            raise Left


def spread(call, tasks, n_threads, done=None):
    """Do all tasks.

    Parameters
    ----------
    call : callable
        ``call(task, watch)`` does a task; `watch` is the monitor of the solvers that it runs.
    tasks : list
    n_threads : int
    done : callable or None, default=None
        Called from this thread, with their number, when the first tasks are done. If it returns True, the others are
        left.
    """
    with (ThreadPoolExecutor(max(1, min(n_threads, len(tasks)))) as pool, Watch() as watch,
          closing(in_order(pool, call, [(task, watch) for task in tasks], HEARTBEAT)) as results):
        for number, _ in enumerate(results, 1):
            if done is not None and done(number):
                break


def in_order(pool, call, tasks, heartbeat=None):
    """Results of ``call(*task)`` for every task, as they come, in order; if they are left, so are tasks not begun."""
    pending = [pool.submit(call, *task) for task in tasks]
    try:
        for future in pending:
            while heartbeat and not future.done():
                wait([future], heartbeat)
            yield future.result()
    finally:
        for future in pending:
            future.cancel()

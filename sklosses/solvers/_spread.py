"""Tasks spread over threads, which end when nobody waits for them any more."""

import weakref
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from contextvars import ContextVar, copy_context

from sklosses.solvers._monitor import Monitor

# Seconds between two looks of a thread that waits: where waiting is not interrupted, Ctrl-C is seen then.
HEARTBEAT = 0.1

# Of the work that a thread does: the guard of those who wait for it.
_guard = ContextVar("guard", default=None)


class Left(BaseException):
    """In a thread whose results nobody waits for any more."""


def still_wanted():
    """Raise :class:`Left` in a thread whose results nobody waits for any more: long work asks at every piece."""
    guard = _guard.get()
    if guard is not None and guard.over:
        raise Left


class Guard:
    """Ends the work of other threads when the block that waits for it is left: Ctrl-C reaches one thread only."""

    def __init__(self):
        self._left, self._outer = False, _guard.get()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._left = True

    @property
    def over(self):
        """Whether this block was left, or one around it in the thread that entered this one."""
        return self._left or (self._outer is not None and self._outer.over)

    def submit(self, pool, call, *args):
        """Have a pool do `call(*args)`, with what this thread has set, as NumPy's errstate; returns the future."""
        context = copy_context()
        context.run(_guard.set, self)
        return pool.submit(context.run, call, *args)


class Watch(Monitor):
    """Stops the solvers that it watches in other threads when the block that it guards is left."""

    def __init__(self):
        self._stops = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for stop in self._stops:
            call = stop()
            if call is not None:
                call()

    def attach(self, stop):
        """Remember how the solver is stopped, for as long as it is there."""
        self._stops.append(weakref.WeakMethod(stop))

    def begin(self, _):
        """Go on, or not."""
        still_wanted()


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
    """Results of ``call(*task)`` for every task, in order, as they come; if they are left, so are all tasks.

    Without a pool this thread does them.
    """
    if pool is None:
        for task in tasks:
            still_wanted()
            yield call(*task)
        return
    with Guard() as guard:
        pending = [guard.submit(pool, call, *task) for task in tasks]
        try:
            for future in pending:
                while heartbeat and not future.done():
                    wait([future], heartbeat)
                yield future.result()
        finally:
            for future in pending:
                future.cancel()

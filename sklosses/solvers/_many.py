"""Many problems over one table: candidates, folds, outputs."""

from concurrent.futures import ThreadPoolExecutor

from sklosses.solvers._auto import Auto
from sklosses.solvers._reading import allowed_threads, one_blas_thread


def solve_many(problems, *, tol=1e-3, max_iter=100, random_state=0, n_jobs=None, progress=None):
    """Solve problems that share a table.

    Problems whose arrays are the same objects (``rows``, ``targets``, ``weights``, ``offset``; the ``subset`` of one
    fold) are known to share them: a search passes every candidate's problem on every fold at once.

    Parameters
    ----------
    problems : sequence of Problem
    tol, max_iter, random_state
        Of each problem: see :meth:`Newton.solve`.
    n_jobs : int or None, default=None
        Threads. None: as many as OpenMP may use. Results do not depend on it.
    progress : callable or None, default=None
        Called now and then, from the calling thread, with the share of the work that is done, in [0, 1]. If it returns
        True, the rest is left: their results are None.

    Returns
    -------
    list of Result or Exception or None
        In the order of the problems. A problem that fails has its exception, and disturbs no other.
    """
    problems = list(problems)
    n_threads = min(max(1, len(problems)), allowed_threads() if n_jobs is None else n_jobs)
    solver, results = Auto(n_jobs=1), [None] * len(problems)

    def solve(number):
        try:
            results[number] = solver.solve(problems[number], tol=tol, max_iter=max_iter, random_state=random_state)
        except Exception as error:
            results[number] = error

    # One limit around all: the limits of readings in several threads would restore each other's.
    with one_blas_thread(), ThreadPoolExecutor(n_threads) as pool:
        pending = [pool.submit(solve, number) for number in range(len(problems))]
        try:
            for done, future in enumerate(pending, 1):
                future.result()
                if progress is not None and progress(done / len(problems)):
                    break
        finally:
            for future in pending:
                future.cancel()
    return results

"""Work in other threads ends when the block that waits for it is left, wherever that is."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, current_thread
from time import perf_counter

import numpy as np
import pytest

from sklosses.data import as_rows
from sklosses.losses import Hinge, LogLoss
from sklosses.penalties import L2
from sklosses.solvers import Problem
from sklosses.solvers._block_reading import Ask, BlockReading, Cell
from sklosses.solvers._kinked import KinkedColumn
from sklosses.solvers._newton import Newton
from sklosses.solvers._reading import Reading
from sklosses.solvers._spread import Guard, Left, in_order, still_wanted

#: Seconds after which work that nobody stops gives up: the test fails then, and does not hang.
PATIENCE = 20


class Interrupted(Exception):
    """What a thread is interrupted by."""


class Work:
    """Goes on until it is left; says how it ended."""

    def __init__(self):
        self.begun, self.ended = Event(), []

    def __call__(self, *_):
        self.begun.set()
        start = perf_counter()
        try:
            while perf_counter() - start < PATIENCE:
                still_wanted()
        except Left:
            self.ended.append("left")
            raise
        self.ended.append("gave up")


def test_work_ends_when_its_results_are_left():
    work = Work()

    def call(number):
        if number == 0:
            work.begun.wait(PATIENCE)
            raise Interrupted
        work()

    with ThreadPoolExecutor(2) as pool, pytest.raises(Interrupted):
        list(in_order(pool, call, [(0,), (1,), (2,)]))
    assert set(work.ended) == {"left"}      # the third too, if it had begun


def test_work_ends_when_a_block_around_is_left():
    """A thread that waits for threads of its own is itself not heard of any more."""
    work = Work()

    def call(number):
        if number == 0:
            work.begun.wait(PATIENCE)
            raise Interrupted
        with ThreadPoolExecutor(1) as inner:
            list(in_order(inner, work, [()]))

    with ThreadPoolExecutor(2) as pool, pytest.raises(Interrupted):
        list(in_order(pool, call, [(0,), (1,)]))
    assert work.ended == ["left"]


def test_what_is_wanted_is_not_left():
    still_wanted()
    with ThreadPoolExecutor(2) as pool:
        assert list(in_order(pool, lambda number: still_wanted() or number, [(k,) for k in range(5)])) == list(range(5))
        with np.errstate(over="raise"):
            assert list(in_order(pool, lambda: np.geterr()["over"], [()])) == ["raise"]


X = np.random.default_rng(0).normal(size=(30_000, 3))
SIGNS = np.where(X[:, 0] > 0, 1.0, -1.0)


def test_pieces_of_a_reading_end():
    """This thread has pieces to do as others have, and is the one that is interrupted."""
    work, here = Work(), current_thread()

    def call(_):
        if current_thread() is here:
            work.begun.wait(PATIENCE)
            raise Interrupted
        work()

    with Reading(Problem(as_rows(X), SIGNS, ((LogLoss(), 1),), L2(1e-3)), 2) as reading, pytest.raises(Interrupted):
        reading.each(call, [0, 1])
    assert work.ended == ["left"]


def test_columns_that_are_solved_side_by_side_end(monkeypatch):
    """While one column's interior point method is at work the other's is interrupted."""
    work = Work()

    def solve(self, stage, *_):
        if self.k == 0:
            work.begun.wait(PATIENCE)
            raise Interrupted
        while True:
            work.begun.set()
            stage.reading.each(lambda _: None)      # as every product of the method does

    monkeypatch.setattr(KinkedColumn, "_solve", solve)
    problem = Problem(as_rows(X), np.column_stack([SIGNS, -SIGNS]), ((Hinge(), 2),), L2(1e-3))
    start = perf_counter()
    with pytest.raises(Interrupted):
        Newton(n_jobs=2).solve(problem)
    assert perf_counter() - start < PATIENCE


@pytest.mark.parametrize("kind", ["reading", "block"])
def test_gram_matrices_end_between_their_pieces(kind):
    problem = Problem(as_rows(X), SIGNS, ((LogLoss(), 1),), L2(1e-3))
    with ThreadPoolExecutor(2) as pool, Reading(problem) as reading:
        order = np.arange(len(X))
        block = BlockReading(problem, SIGNS[np.newaxis], order, np.array([len(X)]), np.zeros(3), pool)
        ask = Ask(Cell(LogLoss(), 0.0, 1e-3, np.ones(1), 0), np.zeros(4))
        gram = {"reading": lambda: reading.gram(np.ones(len(X)), np.zeros(3)),
                "block": lambda: block.grams([ask])[0]}[kind]
        with ThreadPoolExecutor(1) as other:
            with Guard() as guard:
                assert np.allclose(guard.submit(other, gram).result()[:3, :3] * (4 if kind == "block" else 1), X.T @ X)
            with pytest.raises(Left):
                guard.submit(other, gram).result()

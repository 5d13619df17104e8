"""Work in threads: every interval once, in whatever thread, and failures that are heard of."""

import os
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice._kernels.numba.threads import Helpers, divided


@given(length=st.integers(0, 50), parts=st.integers(0, 60))
def test_intervals_are_consecutive_and_of_about_equal_length(length, parts):
    intervals = divided(length, parts)
    assert [i for start, stop in intervals for i in range(start, stop)] == list(range(length))
    lengths = [stop - start for start, stop in intervals]
    assert len(lengths) == max(1, min(parts, length))
    assert max(lengths) - min(lengths) <= 1


@given(pieces=st.integers(1, 20), threads=st.integers(1, 5))
def test_every_interval_is_run_once(pieces, threads):
    done = []
    Helpers().share(lambda start, stop: done.append((start, stop)), divided(100, pieces), threads)
    assert sorted(done) == divided(100, pieces)


def test_intervals_run_at_the_same_time():
    meeting = threading.Barrier(3, timeout=30)  # breaks unless all three are there
    Helpers().share(lambda start, stop: meeting.wait(), divided(3, 3), 3)


@pytest.mark.parametrize("fails", [0, 1, 2])
def test_a_failure_is_raised_once_all_have_stopped(fails):
    running = []

    def run(start, stop):
        running.append(start)
        try:
            if start == fails:
                raise MemoryError(f"no room for {start}")
            time.sleep(0.02)
        finally:
            running.remove(start)

    with pytest.raises(MemoryError, match=f"no room for {fails}"):
        Helpers().share(run, divided(3, 3), 3)
    assert running == []


def test_threads_are_kept_for_the_next_call():
    helpers, names = Helpers(), set()
    for _ in range(5):
        meeting = threading.Barrier(2, timeout=30)

        def run(start, stop, meeting=meeting):
            meeting.wait()
            names.add(threading.current_thread().name)

        helpers.share(run, divided(2, 2), 2)
    assert len(names) == 2


def test_a_forked_process_starts_helpers_of_its_own(monkeypatch):
    helpers, done = Helpers(), []
    helpers.share(lambda start, stop: done.append(start), divided(2, 2), 2)
    first = helpers._pool
    monkeypatch.setattr(os, "getpid", lambda: -1)
    helpers.share(lambda start, stop: done.append(start), divided(2, 2), 2)
    assert helpers._pool is not first
    assert sorted(done) == [0, 0, 1, 1]


def test_without_helpers_this_thread_does_everything():
    helpers, done = Helpers(), []
    helpers.share(lambda start, stop: done.append(start), divided(2, 2), 2)
    helpers._pool.shutdown()  # as it is at the end of the interpreter
    helpers.share(lambda start, stop: done.append(start), divided(3, 3), 3)
    assert sorted(done) == [0, 0, 1, 1, 2]

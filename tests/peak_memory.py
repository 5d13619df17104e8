"""How much memory a process has had at most, counted from a moment of one's choice."""

import pathlib
import resource
import sys

STATUS, CLEAR = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/self/clear_refs")


def peak():
    """Return the most memory that this process has had, in bytes.

    What `getrusage` says on Linux is inherited by processes that are started: a small one begins
    with the peak of the large one that starts it. The high-water mark in ``/proc`` is its own.
    """
    if STATUS.exists():
        words = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(words.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def begin():
    """Set the mark back to what is in use now, where the system can; return it."""
    if CLEAR.exists():
        CLEAR.write_text("5")
    return peak()


def growth(function):
    """Return by how much memory grows at most while a function runs, in bytes.

    Where the mark cannot be set back, what stays below an earlier peak is not seen.
    """
    before = begin()
    function()
    return peak() - before

"""How much memory a process has had at most, counted from a moment of one's choice."""

import pathlib

from benchmarks.timing import peak

CLEAR = pathlib.Path("/proc/self/clear_refs")


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

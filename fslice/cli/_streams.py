"""Standard streams that are closed, full, or cannot show a letter: no reason for a traceback."""

from __future__ import annotations

import os
import sys

LONGEST = 300
"""Characters of a line on stderr."""


def tolerate_streams() -> None:
    """Replace closed streams, and let the others show escapes for what they cannot write.

    The files of a run count, not the words about them.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or getattr(stream, "closed", False):
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (as long as the process)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def drop_stdout() -> None:
    """Send what is still buffered nowhere, so that the flush at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def shortened(text: str) -> str:
    r"""Return a text as one line, its middle left out if it is long.

    Examples
    --------
    >>> shortened("a\nb"), len(shortened("x" * 1000))
    ('a b', 300)
    """
    line = " ".join(text.split())
    if len(line) <= LONGEST:
        return line
    return f"{line[: LONGEST - 105]} ... {line[-100:]}"

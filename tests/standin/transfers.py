"""The record of copies between host and device, each with the line that asked for it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import NamedTuple

import fslice

PACKAGE = os.path.dirname(fslice.__file__) + os.sep
HELPERS = {("_arrays.py", "to_numpy")}
"""Functions that copy for others; what they do is recorded for their callers."""


class Transfer(NamedTuple):
    """One copy, and the innermost line of the package that led to it."""

    kind: str
    """``"upload"``, or how the copy to the host was asked for, such as ``"float"``."""
    module: str
    """Path within the package, such as ``"operators/ctf.py"``."""
    function: str
    """The qualified name of the function or method."""
    line: int

    @property
    def place(self) -> str:
        """Return how `docs/devices.md` names the place."""
        return f"{self.module}: {self.function}"

    def __str__(self) -> str:
        return f"{self.kind} in {self.module}:{self.line} ({self.function})"


_records: list[list[Transfer]] = []


@contextlib.contextmanager
def recorded() -> Iterator[list[Transfer]]:
    """Record all copies that the package asks for inside the block."""
    record: list[Transfer] = []
    _records.append(record)
    try:
        yield record
    finally:
        _records.remove(record)


def note(kind: str) -> None:
    """Record a copy; one that a test asks for itself is not of interest."""
    place = _place() if _records else None
    if place:
        for record in _records:
            record.append(Transfer(kind, *place))


def _place() -> tuple[str, str, int] | None:
    frame = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(PACKAGE):
            module = path.removeprefix(PACKAGE).replace(os.sep, "/")
            # a comprehension or an inner function belongs to the function around it
            function = frame.f_code.co_qualname.partition(".<locals>")[0]
            if (module, function) not in HELPERS:
                return module, function, frame.f_lineno
        frame = frame.f_back
    return None

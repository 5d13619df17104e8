"""What a run has to say: warnings as they arise, notes in its report, all of it in its record."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Messages:
    """Sentences about a run, each kept once.

    Parameters
    ----------
    warnings : list of str
        What makes the result doubtful.
    notes : list of str
        What was read, assumed or chosen.
    """

    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Show a warning, and keep it."""
        warnings.warn(text, stacklevel=2)

    def note(self, text: str) -> None:
        """Keep a note."""
        if text not in self.notes:
            self.notes.append(text)


@contextlib.contextmanager
def recorded() -> Iterator[Messages]:
    """Yield messages to which every warning is added that is issued meanwhile, and shown once.

    Examples
    --------
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("always")
    ...     warnings.showwarning = lambda message, *_: print("shown:", message)
    ...     with recorded() as messages:
    ...         for _ in range(2):
    ...             messages.warn("the halves share images")
    shown: the halves share images
    >>> messages.warnings
    ['the halves share images']
    """
    messages, show = Messages(), warnings.showwarning

    def keep(message: Warning | str, *rest: object, **more: object) -> None:
        text = " ".join(str(message).split())
        if text not in messages.warnings:
            messages.warnings.append(text)
            show(message, *rest, **more)  # type: ignore[arg-type]

    warnings.showwarning = keep
    try:
        yield messages
    finally:
        warnings.showwarning = show

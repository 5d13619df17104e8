"""Signals: SIGTERM ends a command as Ctrl-C does, and neither comes between two renames."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Terminated(KeyboardInterrupt):
    """What SIGTERM raises, which batch systems send some seconds before they kill."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Have SIGTERM raise `Terminated` inside the block, so that what it has begun is undone."""
    with _handled({signal.SIGTERM: _terminate}):
        yield


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let signals that would end the process wait until the end of the block."""
    waiting: list[int] = []
    with _handled(dict.fromkeys(_ENDING, lambda number, _: waiting.append(number))):
        yield
    for number in waiting[:1]:
        signal.raise_signal(number)


@contextlib.contextmanager
def _handled(handlers: dict[Any, Any]) -> Iterator[None]:
    """Set handlers for the block; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

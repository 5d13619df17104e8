"""Says that kernels are being compiled, which takes long the first time and no other."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from fslice._kernels.select import has_numba


@contextlib.contextmanager
def on_long_compilation(tell: Callable[[], object], seconds: float) -> Iterator[None]:
    """Call a function once if kernels are compiled in the block for longer than some seconds.

    Parameters
    ----------
    tell : callable
        Called when the next kernel is begun after that.
    seconds : float
        What is compiled in every process, since it is not kept, takes less than a second.

    Examples
    --------
    >>> with on_long_compilation(lambda: print("compiling"), seconds=2.0):
    ...     pass
    """
    if not has_numba():
        yield
        return
    from numba.core import event

    class Listener(event.Listener):
        depth, spent, began, told = 0, 0.0, 0.0, False

        def on_start(self, event: Any) -> None:
            self.depth += 1
            if self.depth == 1:
                self.began = time.perf_counter()
            if self.spent > seconds and not self.told:
                self.told = True
                tell()

        def on_end(self, event: Any) -> None:
            self.depth -= 1
            if not self.depth:
                self.spent += time.perf_counter() - self.began

    with event.install_listener("numba:compile", Listener()):
        yield

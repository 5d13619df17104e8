"""Progress on stderr: bars where it is a terminal, else a line for each tenth of a long stage."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from fslice._kernels.compiling import on_long_compilation
from fslice.solvers.progress import Progress

SILENT = 2.0
"""Seconds that a stage may take before a line is written of it."""


@contextlib.contextmanager
def image_bar(label: str, total: int) -> Iterator[Callable[[int], object]]:
    """Yield what is told each time how many more of `total` images are done."""
    with _bar(label, total) as bar:
        yield bar.update


@contextlib.contextmanager
def fit_bar() -> Iterator[Callable[[Progress], None]]:
    """Yield what a fit reports to: a bar for each stage, with its rate, time left and note."""
    with contextlib.ExitStack() as open_bars:
        bars: dict[str, Any] = {}

        def show(progress: Progress) -> None:
            if progress.stage not in bars:
                close()
                bar = _bar(progress.stage, progress.total, f" {progress.unit}")
                bars[progress.stage] = open_bars.enter_context(bar)
            bar = bars[progress.stage]
            bar.set_postfix_str(progress.note, refresh=False)
            bar.update(progress.done - bar.n)

        def close() -> None:
            for bar in bars.values():  # done, though a fit may converge before its last epoch
                bar.total = bar.n
            open_bars.close()
            bars.clear()

        yield show
        close()


@contextlib.contextmanager
def compilation_notice() -> Iterator[None]:
    """Say once, if kernels are compiled for long, that this happens once."""

    def tell() -> None:
        line = "compiling for this processor, which happens once and takes about a minute"
        print(line, file=_stream(), flush=True)

    with on_long_compilation(tell, SILENT):
        yield


def _bar(label: str, total: int, unit: str = " images") -> Any:
    stream = _stream()
    if not stream.isatty():
        return _Lines(label, total)
    columns, lines = shutil.get_terminal_size()  # tqdm's own hides bars if they are unknown
    return tqdm(
        desc=label,
        total=total,
        unit=unit,
        unit_scale=True,
        file=stream,
        miniters=1,  # else a resumed fit, whose first step is large, is shown in such steps
        ncols=columns,
        nrows=lines,
        bar_format="{desc} {percentage:3.0f}%|{bar}| {rate_fmt}, {remaining} left{postfix}",
    )


def _stream() -> Any:
    return sys.stderr


class _Lines:
    """What a bar is where there is no terminal: a line for each tenth, once it takes long.

    Examples
    --------
    >>> with _Lines("reading", 100) as lines:
    ...     lines.update(50)
    >>> lines.n
    50
    """

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.n, self.note = label, total, 0, ""
        self._start, self._tenths = time.perf_counter(), 0

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set_postfix_str(self, note: str, refresh: bool = True) -> None:
        """Set what follows the share."""
        self.note = note

    def update(self, more: int) -> None:
        """Count what is done, and say so if it is another tenth."""
        self.n += more
        tenths = 10 * self.n // max(self.total, 1)
        if tenths > self._tenths and time.perf_counter() - self._start >= SILENT:
            self._tenths = tenths
            note = f", {self.note}" if self.note else ""
            print(f"{self.label} {10 * tenths} %{note}", file=_stream(), flush=True)

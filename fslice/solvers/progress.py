"""What a fit tells while it runs, and how long its stages took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tqdm.auto import tqdm


class Progress(NamedTuple):
    """What a progress callback is told."""

    stage: str
    """Such as ``"reading"``, ``"fitting"``, ``"sampling"``."""
    done: int
    """How much of the stage is done, in its unit."""
    total: int
    """How much there is at most; a fit that converges ends sooner."""
    unit: str
    """``"images"``, ``"iterations"``, ``"samples"``."""
    note: str = ""
    """Where the fit stands."""


class Reporter:
    """Tells one callback about all stages of a fit, and measures them.

    Parameters
    ----------
    progress : callable, True or None
        Called with a `Progress`; True shows bars, in notebooks too.

    Its ``warnings`` are what a fit has found doubtful.

    Examples
    --------
    >>> told = []
    >>> report = Reporter(told.append)
    >>> with report.stage("reading", 10) as advance:
    ...     advance(4)
    >>> told[0].stage, told[0].done, sorted(report.seconds)
    ('reading', 4, ['reading'])
    """

    def __init__(self, progress: Callable[[Progress], object] | bool | None = None) -> None:
        self.warnings: list[str] = []
        self.progress = _bars() if progress is True else progress or None
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str, total: int, unit: str = "images") -> Iterator[Callable[..., None]]:
        """Time a stage; yield what is told how much more of it is done, and a note."""
        start, done = time.perf_counter(), 0

        def advance(more: int = 1, note: str = "") -> None:
            nonlocal done
            done = min(done + more, total)
            if self.progress:
                self.progress(Progress(name, done, total, unit, note))

        try:
            yield advance
        finally:
            taken = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + taken


def _bars() -> Callable[[Progress], None]:
    """Return a callback that shows a bar for each stage."""
    bars: dict[str, Any] = {}

    def show(progress: Progress) -> None:
        if progress.stage not in bars:
            for bar in bars.values():
                bar.close()
            bars.clear()
            bars[progress.stage] = tqdm(
                desc=progress.stage, total=progress.total, unit=f" {progress.unit}", unit_scale=True
            )
        bar = bars[progress.stage]
        bar.set_postfix_str(progress.note, refresh=False)
        bar.update(progress.done - bar.n)
        if progress.done == progress.total:
            bar.close()
            bars.clear()

    return show

"""Work on the next batch while one is summed."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_END = object()


def one_ahead(items: Generator[T]) -> Iterator[T]:
    """Yield what a generator yields, which a thread of its own computes one item ahead.

    Reading, checking and reordering images keep one processor busy, as does some of what is done
    with their spectra: side by side they keep two.

    Examples
    --------
    >>> list(one_ahead(i**2 for i in range(4)))
    [0, 1, 4, 9]
    """
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(next, items, _END)
        try:
            while (item := ahead.result()) is not _END:
                ahead = pool.submit(next, items, _END)
                yield item  # type: ignore[misc]
        finally:
            ahead.cancel()
            pool.shutdown()  # a generator that runs cannot be closed
            items.close()

"""Where a shell correlation falls below a threshold, and what limits it, in words."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fslice._arrays import check_size
from fslice.metrics import resolution


class Resolution(NamedTuple):
    """Where a shell correlation falls below a threshold, and what that means.

    Parameters
    ----------
    first_falls : float
        In Angstrom: the resolution. Infinite where the curve is below from the first shell on.
    last_falls : float
        In Angstrom: equal to `first_falls`, or finer where the curve rises again.
    threshold : float
    limit : {"threshold", "pixel", "band", "nothing"}
        What ends the resolution: the threshold; the pixel, where the curve is above to the last
        shell; the band, where the maps themselves end before that; or nothing is resolved.
    """

    first_falls: float
    last_falls: float
    threshold: float
    limit: str

    @property
    def words(self) -> str:
        """The same in words.

        Examples
        --------
        >>> Resolution(8.33, 7.01, 0.143, "threshold").words
        '8.33 Å at 0.143; rises above it again and falls for the last time at 7.01 Å'
        """
        if self.limit == "nothing":
            words = f"nothing is resolved: below {self.threshold:g} from the first shell on"
        elif self.limit == "threshold":
            words = f"{self.first_falls:.2f} Å at {self.threshold:g}"
        else:
            ends = "limited by the pixel" if self.limit == "pixel" else "where the maps end"
            words = f"{self.first_falls:.2f} Å, {ends}: never falls below {self.threshold:g}"
        if self.last_falls < self.first_falls:
            last = f"falls for the last time at {self.last_falls:.2f} Å"
            words += f"; rises above it again and {last}"
        return words


def find_resolution(
    curve: np.ndarray, size: int, pixel_size: float, threshold: float, last: int | None = None
) -> Resolution:
    """Return where a curve first and last falls below a threshold, and what limits it.

    Parameters
    ----------
    curve : (D//2 + 1,) real array
        On the host, as from `fslice.metrics.fsc`.
    size : int
        Box D.
    pixel_size : float
        In Angstrom.
    threshold : float
        Between 0 and 1.
    last : int, optional
        The last shell in which the maps have power. Default: ``(D - 1) // 2``, beyond which
        maps of this library have none.

    Returns
    -------
    Resolution

    Examples
    --------
    >>> curve = np.array([1.0, 1.0, 0.75, 0.25, 0.6, 0.4, 0.0])
    >>> find_resolution(curve, 12, 1.0, 0.5).words
    '4.80 Å at 0.5; rises above it again and falls for the last time at 2.67 Å'
    """
    limit = (check_size("size", size) - 1) // 2
    end = limit if last is None else min(last, limit)
    above = [shell for shell in range(1, end + 1) if curve[shell] >= threshold]
    reach = size * pixel_size
    if not above:
        return Resolution(math.inf, math.inf, threshold, "nothing")
    if len(above) == end:
        limited = reach / end
        return Resolution(limited, limited, threshold, "pixel" if end == limit else "band")
    final = above[-1]
    if final < end:  # it falls between this shell and the next
        low, high = float(curve[final]), float(curve[final + 1])
        last_falls = reach / (final + (low - threshold) / (low - high))
    else:
        last_falls = reach / end
    if above[0] > 1:
        return Resolution(math.inf, last_falls, threshold, "nothing")
    first = resolution(curve, size, pixel_size, threshold)
    return Resolution(first, min(first, last_falls), threshold, "threshold")


def last_shell(unmasked: np.ndarray, size: int) -> int:
    """Return the last shell within ``(D - 1) // 2`` in which both maps have power.

    Examples
    --------
    >>> last_shell(np.array([1, 0.9, 0.2, 0.0, 0.0]), 8)
    2
    """
    shells = np.flatnonzero(unmasked[: (size - 1) // 2 + 1])
    return int(shells[-1]) if len(shells) else 0

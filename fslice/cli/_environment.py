"""What results depend on besides arguments: versions."""

from __future__ import annotations

import importlib.metadata
import platform

from fslice import __version__
from fslice._threads import available_cpus

_PACKAGES = ("numpy", "scipy", "mrcfile", "tqdm", "numba", "gemmi", "matplotlib")


def versions() -> dict[str, str | None]:
    """Return the versions of this package, of Python, and of packages; None if not installed."""
    found: dict[str, str | None] = {"fslice": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def processors() -> int:
    """Return the number of processors that this process may use."""
    return available_cpus()

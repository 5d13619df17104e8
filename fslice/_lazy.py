"""Namespaces whose modules are imported when they are first named (PEP 562)."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_namespace(
    package: str, homes: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package whose public modules load when named.

    Parameters
    ----------
    package : str
    homes : mapping, optional
        Names that the package offers beside its modules, to the modules that define them.

    Examples
    --------
    >>> import fslice  # `__getattr__, __dir__ = lazy_namespace(__name__)` in its __init__.py
    >>> fslice.optim.__name__
    'fslice.optim'
    """

    @functools.cache
    def modules() -> tuple[str, ...]:
        found = pkgutil.iter_modules(sys.modules[package].__path__)
        return tuple(module.name for module in found if not module.name.startswith("_"))

    def load(name: str) -> Any:
        if homes and name in homes:
            return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        if name.startswith("_") or name not in modules():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(f"{package}.{name}")

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules(), *(homes or ())})

    return load, names

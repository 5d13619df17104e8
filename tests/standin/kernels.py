"""The sampling kernels for arrays of the CuPy-like library: others' kernels, on their memory."""

from __future__ import annotations

from typing import Any

from standin.array import call


class OnDevice:
    """Kernels that take and give arrays of the device, and refuse those of the host."""

    def __init__(self, kernels: Any) -> None:
        self._kernels, self.name = kernels, "standin"

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._kernels, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: call(value, args, kwargs, deep=True)

"""The GPUs of this machine, what is missing where none can be used, and arrays inside of values."""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from fslice._arrays import Array, is_array

_EXTRAS = (
    "pip install 'cupy-cuda12x[ctk]' or 'cupy-cuda13x[ctk]', whichever the NVIDIA driver supports"
)


def gpu_library() -> Any:
    """Return CuPy, once all is there that it needs to compute on a GPU.

    Raises
    ------
    ImportError
        CuPy or NVRTC is missing; the message names the extra to install.
    OSError
        The driver is missing or too old, or it finds no GPU.
    """
    cupy = _cupy()
    _check_driver(cupy)
    check_compiler(cupy)
    return cupy


def gpus(cupy: Any) -> tuple[Any, ...]:
    """Return the GPUs of this machine, as ``cupy.cuda.Device``."""
    return tuple(map(cupy.cuda.Device, range(_device_count(cupy))))


def _cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise ImportError(f"GPU: CuPy is installed, but not {error.name}: {_EXTRAS}") from error
        raise ImportError(f"GPU: CuPy is not installed: {_EXTRAS}") from error
    except ImportError as error:  # of a library that it is linked to
        line = str(error).strip().partition("\n")[0]
        raise ImportError(f"GPU: CuPy cannot be imported: {line}: {_EXTRAS}") from error


def _check_driver(cupy: Any) -> None:
    """Raise unless there is a driver that is new enough for CuPy, and it finds a GPU."""
    driver, needed = (
        function() for function in (cupy.cuda.runtime.driverGetVersion,
                                    cupy.cuda.runtime.runtimeGetVersion)
    )  # fmt: skip
    if not driver:
        raise OSError(f"GPU: the NVIDIA driver is not installed: install it, then {_EXTRAS}")
    if driver // 1000 < needed // 1000:
        raise OSError(
            f"GPU: the NVIDIA driver supports CUDA {_version(driver)}, and CuPy is for "
            f"{_version(needed)}: update the driver, or pip install "
            f"'cupy-cuda{driver // 1000}x[ctk]' instead"
        )
    if not _device_count(cupy):
        raise OSError("GPU: the NVIDIA driver finds no GPU")


def _device_count(cupy: Any) -> int:
    try:
        return int(cupy.cuda.runtime.getDeviceCount())
    except RuntimeError as error:
        if "cudaErrorNoDevice" in str(error):
            return 0
        raise OSError(f"GPU: the NVIDIA driver reports: {error}") from error


def check_compiler(cupy: Any) -> None:
    """Raise unless CuPy finds NVRTC, which compiles the kernels."""
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # CuPy's own class, another in each version
        major = cupy.cuda.runtime.runtimeGetVersion() // 1000
        raise ImportError(
            "GPU: NVRTC, which compiles the kernels, is not installed: "
            f"pip install 'cupy-cuda{major}x[ctk]'"
        ) from error


def _version(number: int) -> str:
    """Return a version as it is written.

    Examples
    --------
    >>> _version(12090)
    '12.9'
    """
    return f"{number // 1000}.{number % 1000 // 10}"


def gpu_names(cupy: Any) -> list[str]:
    """Return what the maker calls each GPU."""
    properties = (cupy.cuda.runtime.getDeviceProperties(gpu.id) for gpu in gpus(cupy))
    return [bytes(one["name"]).decode() for one in properties]


def map_arrays(value: Any, function: Callable[[Array], Array]) -> Any:
    """Return a value with a function of every array inside of it.

    Through data classes, tuples, lists, dictionaries, and what partial functions are given. What
    has no array in it is returned as it is, the same object; nothing is checked again.

    Examples
    --------
    >>> map_arrays((np.ones(2), [3.0], {"a": np.ones(1)}), lambda array: -array)
    (array([-1., -1.]), [3.0], {'a': array([-1.])})
    """
    if is_array(value) and hasattr(value, "dtype") and not isinstance(value, np.generic):
        return function(value)
    if isinstance(value, (tuple, list)):
        parts = [map_arrays(part, function) for part in value]
        if all(new is old for new, old in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: map_arrays(part, function) for key, part in value.items()}
    if isinstance(value, functools.partial):
        return _map_partial(value, function)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _map_fields(value, function)
    return value


def _map_partial(value: functools.partial, function: Callable[[Array], Array]) -> Any:
    given = value.args, tuple(value.keywords.values())
    arguments, options = map_arrays(given, function)
    if arguments is given[0] and options is given[1]:
        return value
    return functools.partial(
        value.func, *arguments, **dict(zip(value.keywords, options, strict=True))
    )


def _map_fields(value: Any, function: Callable[[Array], Array]) -> Any:
    names = [field.name for field in dataclasses.fields(value)]
    changed = {
        name: new for name in names
        if (new := map_arrays(old := getattr(value, name), function)) is not old
    }  # fmt: skip
    if not changed:
        return value
    copy = object.__new__(type(value))
    for name in names:
        object.__setattr__(copy, name, changed.get(name, getattr(value, name)))
    return copy

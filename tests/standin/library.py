"""The modules of the CuPy-like library, and how tests put them in CuPy's place."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import scipy.fft

from standin import devices, names
from standin.array import SCALARS, asarray, call, check_parameters, ndarray, wrap
from standin.transfers import note


@contextlib.contextmanager
def installed() -> Iterator[ModuleType]:
    """Have the library take CuPy's place inside the block."""
    modules = _modules()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield modules["cupy"]
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


@functools.cache
def _modules() -> dict[str, ModuleType]:
    cupy = _module("cupy", _functions() | _conversions() | {"__version__": "14.2.0"})
    parts = {
        "fft": _tabled(names.FFT, np.fft) | _to_real(np.fft),
        "linalg": _tabled(names.LINALG, np.linalg) | {"LinAlgError": np.linalg.LinAlgError},
        "random": {"default_rng": Generator, "Generator": Generator},
        "cuda": _cuda(),
    }
    modules = {"cupy": cupy}
    for name, content in parts.items():
        modules[f"cupy.{name}"] = _module(f"cupy.{name}", content)
        setattr(cupy, name, modules[f"cupy.{name}"])
    fft = _module("cupyx.scipy.fft", _tabled(names.SCIPY_FFT, scipy.fft) | _to_real(scipy.fft))
    scipy_part = _module("cupyx.scipy", {"fft": fft})
    cupyx = _module("cupyx", {"scipy": scipy_part})
    return modules | {"cupyx": cupyx, "cupyx.scipy": scipy_part, "cupyx.scipy.fft": fft}


def _cuda() -> dict[str, Any]:
    shared = (
        *("Device", "Event", "ExternalStream", "Stream"),
        *("alloc_pinned_memory", "get_current_stream"),
    )
    content: dict[str, Any] = {name: getattr(devices, name) for name in shared}
    content |= {"runtime": devices.Runtime, "nvrtc": devices.Nvrtc}
    return content | {"is_available": lambda: True}


def _module(name: str, content: dict[str, Any]) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)  # so that it is found as installed
    vars(module).update(content)

    def missing(attribute: str) -> Any:
        raise AttributeError(
            f"module {name!r} has no attribute {attribute!r} in tests/standin/names.py"
        )

    module.__getattr__ = missing  # type: ignore[method-assign]
    return module


def _functions() -> dict[str, Any]:
    content = {name: getattr(np, name) for name in names.SHARED}
    content |= {name: Ufunc(getattr(np, name)) for name in names.UFUNCS}
    content |= _tabled(names.CREATION, np)
    content |= _tabled(names.FUNCTIONS, np, of_arrays=True)
    content |= _tabled(names.OF_SEQUENCES, np, deep=True)
    content |= {name: _variadic(getattr(np, name)) for name in names.VARIADIC}
    return content | {name: _metadata(getattr(np, name)) for name in names.METADATA}


def _tabled(
    table: dict[str, tuple[str, ...]], source: Any, of_arrays: bool = False, deep: bool = False
) -> dict[str, Any]:
    """Return functions that take the parameters of a table."""

    def make(name: str) -> Any:
        function = getattr(source, name)

        @functools.wraps(function)
        def own(*args: Any, **kwargs: Any) -> Any:
            check_parameters(name, table[name], args, kwargs)
            if of_arrays and args and not isinstance(args[0], (ndarray, np.ndarray, *SCALARS)):
                raise TypeError(f"Unsupported type {type(args[0])}")
            result = call(function, args, kwargs, deep)
            # what counts or compares gives a number in NumPy, and an array in CuPy
            return wrap(np.asarray(result)) if isinstance(result, (bool, int)) else result

        return own

    return {name: make(name) for name in table}


def _variadic(function: Any) -> Any:
    return functools.wraps(function)(
        lambda *args, **kwargs: call(function, args, kwargs, deep=function.__name__ != "einsum")
    )


def _metadata(function: Any) -> Any:
    def own(*args: Any, **kwargs: Any) -> Any:
        return function(*(a._host if isinstance(a, ndarray) else a for a in args), **kwargs)

    return functools.wraps(function)(own)


def _to_real(source: Any) -> dict[str, Any]:
    """Return the transforms that have a real result, for spectra of real arrays only."""
    table = names.SCIPY_FFT if source is scipy.fft else names.FFT

    def make(name: str) -> Any:
        inverse = _tabled(table, source)[name]
        forward = _tabled(table, source)[name[1:]]

        @functools.wraps(inverse)
        def own(a: Any, sizes: Any = None, *args: Any, **kwargs: Any) -> Any:
            sizes = kwargs.pop("n" if name == "irfft" else "s", sizes)
            result = inverse(a, sizes, *args, **kwargs)
            back, given = forward(result, sizes, *args, **kwargs)._host, a._host
            error = abs(back - given).max() if back.shape == given.shape else 0.0
            if error > 1e4 * np.finfo(given.dtype).eps * abs(given).max():
                raise ValueError(f"{name}: cuFFT leaves undefined what is not Hermitian")
            return result

        return own

    return {name: make(name) for name in ("irfft", "irfft2", "irfftn")}


def _conversions() -> dict[str, Any]:
    return {
        "ndarray": ndarray,
        "ufunc": Ufunc,
        "array": _array,
        "asarray": functools.partial(_array, copy=None),
        "ascontiguousarray": functools.partial(_contiguous, np.ascontiguousarray),
        "asfortranarray": functools.partial(_contiguous, np.asfortranarray),
        "asnumpy": _asnumpy,
        "get_default_memory_pool": lambda: SimpleNamespace(free_all_blocks=lambda: None),
        "from_dlpack": lambda array: ndarray(np.from_dlpack(array)),
        "get_array_module": _get_array_module,
    }


def _array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    if isinstance(obj, ndarray):
        given = obj._host
        same = copy is None and dtype in (None, given.dtype) and order in ("K", None)
        if same and given.ndim >= ndmin:
            return obj
        return ndarray(np.array(given, dtype, copy=copy, order=order or "K", ndmin=ndmin))
    if _holds_arrays(obj):
        return call(np.array, (obj, dtype), {}, deep=True)  # stacked on the device
    array = asarray(obj, dtype)._host
    return ndarray(np.array(array, order=order or "K", ndmin=ndmin, copy=None))


def _holds_arrays(obj: Any) -> bool:
    parts = obj if isinstance(obj, (list, tuple)) else ()
    return any(isinstance(part, ndarray) or _holds_arrays(part) for part in parts)


def _contiguous(function: Any, a: Any, dtype: Any = None) -> ndarray:
    array = _array(a, dtype, copy=None)
    host = function(array._host)
    return array if host is array._host else ndarray(host)


def _asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    if not isinstance(a, ndarray):
        return np.asarray(a)
    note("asnumpy")
    return np.array(a._host, order=order)


def _get_array_module(*arrays: Any) -> ModuleType:
    return sys.modules["cupy"] if any(isinstance(a, ndarray) for a in arrays) else np


class Ufunc:
    """A universal function of the device."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc, self.__name__ = ufunc, ufunc.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        check_parameters(self.__name__, ("out", "dtype"), (), kwargs)
        for value in args:
            if not isinstance(value, (ndarray, *SCALARS)):
                raise TypeError(f"Unsupported type {type(value)}")
        if len(args) > self._ufunc.nin:
            args, kwargs = args[: self._ufunc.nin], kwargs | {"out": args[self._ufunc.nin]}
        result = call(self._ufunc, args, kwargs)
        return result if isinstance(result, (ndarray, tuple)) else wrap(np.asarray(result))

    def at(self, a: ndarray, indices: Any, b: Any) -> None:
        self._check("at", names.SCATTERS)
        if a.dtype.char not in "iIQLefdFD":
            raise TypeError(f"ufunc.at: CuPy has no atomic operation for {a.dtype}")
        call(self._ufunc.at, (a, indices, b), {}, deep=True)

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False) -> Any:
        self._check("reduce", names.SUMS)
        return call(self._ufunc.reduce, (array, axis, dtype, None, keepdims), {})

    def accumulate(self, array, axis=0, dtype=None) -> Any:
        self._check("accumulate", names.SUMS)
        return call(self._ufunc.accumulate, (array, axis, dtype), {})

    def outer(self, a: ndarray, b: ndarray) -> Any:
        return call(self._ufunc.outer, (a, b), {})

    def _check(self, method: str, allowed: frozenset[str]) -> None:
        if self.__name__ not in allowed:
            raise NotImplementedError(f"`{self.__name__}.{method}` is not supported yet")


class Generator:
    """``cupy.random.Generator``, with the numbers of NumPy's of the same seed."""

    __module__ = "cupy.random"

    def __init__(self, seed: Any = None) -> None:
        self._generator = np.random.default_rng(seed)

    def __getattr__(self, name: str) -> Any:
        if name not in names.GENERATOR:
            raise AttributeError(f"'Generator' has no attribute {name!r} in tests/standin/names.py")

        def draw(*args: Any, **kwargs: Any) -> Any:
            check_parameters(name, names.GENERATOR[name], args, kwargs)
            drawn = call(getattr(self._generator, name), args, kwargs)
            return drawn if isinstance(drawn, ndarray) else ndarray(np.asarray(drawn))

        return draw

"""The array of the CuPy-like library: a NumPy array that is reached only as CuPy allows."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from standin import devices, names
from standin.operators import add_operators
from standin.transfers import note

SCALARS = (bool, int, float, complex, np.generic)
DTYPES = frozenset("?bBhHiIlLqQefdFD")


class ndarray:
    """An array on the device: ``_host`` is its memory, which only this package may touch."""

    __module__ = "cupy"
    __slots__ = ("__weakref__", "_device", "_host")
    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100

    def __init__(self, host: np.ndarray, device: int | None = None) -> None:
        if host.dtype.char not in DTYPES:
            raise ValueError(f"Unsupported dtype {host.dtype}")
        if host.base is None:
            devices.allocate(host.nbytes)
        object.__setattr__(self, "_host", host)
        object.__setattr__(self, "_device", devices.current() if device is None else device)

    # no way to NumPy but the explicit one ---------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to "
            "construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        own = getattr(sys.modules["cupy"], ufunc.__name__, None)
        if method != "__call__" or own is None:
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        if not all(isinstance(x, (ndarray, np.ndarray, *SCALARS)) for x in inputs):
            return NotImplemented
        return own(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        own: Any = sys.modules["cupy"]
        for part in (*func.__module__.split(".")[1:], func.__name__):
            own = getattr(own, part, None)
        if own is None or own is func or not all(t in (ndarray, np.ndarray) for t in types):
            return NotImplemented
        return own(*args, **kwargs)

    # copies to the host ---------------------------------------------------------------------------

    def get(self, stream=None, order="C", out=None, blocking=True) -> np.ndarray:
        note("get")
        if out is None:
            return np.array(self._host, order=order)
        np.copyto(out, self._host, casting="no")
        return out

    def set(self, arr: np.ndarray, stream=None) -> None:
        if type(arr) is not np.ndarray:
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if (arr.dtype, arr.shape) != (self.dtype, self.shape):
            raise ValueError("set: the dtypes or the shapes differ")
        note("upload")
        if stream is None:
            self._host[...] = arr
        else:
            devices.send(arr, self._host, stream)

    def __dlpack__(self, **options: Any) -> Any:
        return self._host.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._host.__dlpack_device__()

    def item(self) -> Any:
        note("item")
        return self._host.item()

    def tolist(self) -> Any:
        note("tolist")
        return self._host.tolist()

    def tobytes(self, order: str = "C") -> bytes:
        note("tobytes")
        return self._host.tobytes(order)

    def __bool__(self) -> bool:
        note("bool")
        return bool(self._host)

    def __int__(self) -> int:
        note("int")
        return int(self._host)

    def __float__(self) -> float:
        note("float")
        return float(self._host)

    def __complex__(self) -> complex:
        note("complex")
        return complex(self._host)

    def __repr__(self) -> str:
        note("repr")
        return repr(self._host)

    def __str__(self) -> str:
        note("str")
        return str(self._host)

    def __format__(self, spec: str) -> str:
        note("format")
        return format(self._host, spec)

    def __reduce__(self) -> Any:
        return asarray, (self.get(),)

    def __copy__(self) -> ndarray:
        return ndarray(self._host.copy())

    def __deepcopy__(self, memo: Any) -> ndarray:
        return ndarray(self._host.copy())

    # elements -------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> ndarray:
        return ndarray(np.asarray(self._host[_index(key)]), self._device)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, (np.ndarray, list, tuple)) and np.ndim(value):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        index = _index(key)
        if isinstance(value, ndarray) and value.ndim:
            self._check_distinct(index)
        self._host[index] = unwrap(value)

    def _check_distinct(self, index: Any) -> None:
        """Raise if an element would be set twice: which value stays is undefined on a device."""
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(part, (np.ndarray, list)) for part in parts):
            numbers = np.arange(self.size).reshape(self.shape)[index]
            if np.unique(numbers).size != numbers.size:
                raise IndexError("an element is assigned twice: its value is undefined in CuPy")

    # shapes ---------------------------------------------------------------------------------------

    def reshape(self, *shape: Any, order: str = "C") -> ndarray:
        return ndarray(self._host.reshape(*shape, order=order), self._device)

    def transpose(self, *axes: Any) -> ndarray:
        return ndarray(self._host.transpose(*axes), self._device)

    def copy(self, order: str = "C") -> ndarray:
        return ndarray(self._host.copy(order))  # on the current device, wherever it was

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True) -> ndarray:
        host = unwrap(self).astype(dtype, order=order, copy=copy)
        return self if host is self._host else ndarray(host)

    @property
    def device(self) -> Any:
        return devices.Device(self._device)

    def __getattr__(self, name: str) -> Any:
        if name in names.ATTRIBUTES:
            value = getattr(self._host, name)
            return ndarray(value, self._device) if isinstance(value, np.ndarray) else value
        if name in names.METHODS:
            return method(name, unwrap(self))
        raise AttributeError(f"'cupy.ndarray' has no attribute {name!r} in tests/standin/names.py")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in ("real", "imag", "shape"):
            raise AttributeError(f"'cupy.ndarray': {name!r} cannot be set")
        setattr(self._host, name, unwrap(value))


def asarray(host: Any, dtype: Any = None) -> ndarray:
    """Copy an array, or a nested list of numbers, to the device."""
    array = np.array(host, dtype)
    if array.ndim:
        note("upload")
    return ndarray(array)


def wrap(value: Any) -> Any:
    """Return results as they are on a device: arrays, of no dimension where NumPy gives numbers."""
    if isinstance(value, (np.ndarray, np.generic)):
        return ndarray(np.asarray(value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(wrap, value))
    if type(value) in (tuple, list):
        return type(value)(map(wrap, value))
    return value


def unwrap(value: Any, deep: bool = False) -> Any:
    """Return the memory of arrays of the device, or raise for arrays of the host."""
    if isinstance(value, ndarray):
        if value._device != devices.current():
            raise ValueError(
                "Array device must be same as the current device: array device = "
                f"{value._device} while current = {devices.current()}"
            )
        devices.use(value._host)
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if deep and isinstance(value, (tuple, list)):
        parts = [unwrap(part, deep) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def call(function: Any, args: Any, kwargs: Any, deep: bool = False) -> Any:
    """Call a function of NumPy on arrays of the device, silently as a device computes."""
    host_args = [unwrap(value, deep) for value in args]
    host_kwargs = {name: unwrap(value, deep) for name, value in kwargs.items()}
    with np.errstate(all="ignore"):
        result = function(*host_args, **host_kwargs)
    return kwargs["out"] if isinstance(kwargs.get("out"), ndarray) else wrap(result)


def check_parameters(name: str, allowed: tuple[str, ...], args: Any, kwargs: Any) -> None:
    """Raise if CuPy's function does not have the parameters that are given."""
    if len(args) > len(allowed):
        raise TypeError(f"{name}() takes {len(allowed)} positional arguments, got {len(args)}")
    for keyword in kwargs:
        if keyword not in allowed:
            raise TypeError(f"{name}() got an unexpected keyword argument {keyword!r}")


def method(name: str, host: np.ndarray) -> Any:
    """Return a method of an array on the device."""

    def bound(*args: Any, **kwargs: Any) -> Any:
        check_parameters(name, names.METHODS[name], args, kwargs)
        return call(getattr(host, name), args, kwargs)

    return bound


def _index(key: Any) -> Any:
    """Return an index for the memory; index arrays of the host are copied without a word."""
    if isinstance(key, tuple):
        return tuple(map(_index, key))
    if isinstance(key, ndarray):
        if key.dtype.kind not in "biu":
            raise IndexError("arrays used as indices must be of integer or boolean type")
        return key._host
    if isinstance(key, (np.ndarray, list)) and np.ndim(key):
        note("upload")
    return key


add_operators(ndarray, call, SCALARS)

"""The tables of the CuPy-like library are true of CuPy, which loads where there is no GPU."""

import inspect

import numpy as np
import pytest
from standin import library, names

cupy = pytest.importorskip("cupy", minversion="14", reason="CuPy is not installed")
cupyx_fft = pytest.importorskip("cupyx.scipy.fft", reason="CuPy is not installed")

TABLES = [
    (cupy, names.CREATION),
    (cupy, names.OF_SEQUENCES),
    (cupy, names.FUNCTIONS),
    (cupy.fft, names.FFT),
    (cupyx_fft, names.SCIPY_FFT),
    (cupy.linalg, names.LINALG),
    (cupy.ndarray, names.METHODS),
    (cupy.random.Generator, names.GENERATOR),
]
NAMES = [
    names.UFUNCS, names.SUMS, names.SCATTERS, names.VARIADIC, names.METADATA, names.SHARED,
]  # fmt: skip


def parameters(function):
    """Return the parameters in order but ``self``; of compiled methods from their first line."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except ValueError:
        first = function.__doc__.split("\n")[0].partition("(")[2].rpartition(")")[0]
        found = [part.partition("=")[0].split()[-1] for part in first.split(",") if part.strip()]
    else:
        found = [each.name for each in found if each.kind != each.VAR_KEYWORD]
    return [name for name in found if name != "self"]


@pytest.mark.parametrize(("source", "table"), TABLES)
def test_every_function_is_one_of_cupy_with_these_parameters_first(source, table):
    for name, listed in table.items():
        found = parameters(getattr(source, name))
        assert list(listed[: len(found)]) == found[: len(listed)], name
        assert name == "pad" or len(listed) <= len(found), name


@pytest.mark.parametrize("listed", NAMES)
def test_every_name_is_one_of_cupy(listed):
    assert [name for name in listed if not hasattr(cupy, name)] == []


def test_universal_functions_are_so_in_both_libraries():
    assert all(isinstance(getattr(cupy, name), cupy.ufunc) for name in names.UFUNCS)
    assert all(isinstance(getattr(np, name), np.ufunc) for name in names.UFUNCS)


def test_what_cupy_takes_from_numpy_is_the_same_object():
    assert [n for n in names.SHARED if getattr(cupy, n) is not getattr(np, n)] == []


def test_devices_and_streams_are_those_of_cupy():
    content = library._cuda()
    assert [name for name in content if not hasattr(cupy.cuda, name)] == []
    for name in ("Device", "Event", "Stream", "ExternalStream", "runtime", "nvrtc"):
        own = {part for part in vars(content[name]) if not part.startswith("_")} - {"seen", "tick"}
        theirs = getattr(cupy.cuda, name)
        assert [part for part in own - {"is_null"} if not hasattr(theirs, part)] == [], name
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
    assert issubclass(cupy.cuda.runtime.CUDARuntimeError, RuntimeError)
    assert parameters(cupy.ndarray.set)[:2] == ["arr", "stream"]
    assert hasattr(cupy, "from_dlpack")
    assert hasattr(cupy, "get_default_memory_pool")


def test_arrays_have_the_attributes_and_lack_what_is_lacking():
    assert [name for name in names.ATTRIBUTES if not hasattr(cupy.ndarray, name)] == []
    for lacking in ("__index__", "__contains__", "__round__", "__imatmul__"):
        assert not hasattr(cupy.ndarray, lacking)
    for lacking in ("errstate", "memmap", "geomspace"):
        assert not hasattr(cupy, lacking)
    for lacking in ("SFC64", "SeedSequence"):
        assert not hasattr(cupy.random, lacking)

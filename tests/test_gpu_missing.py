"""Where no GPU can compute, one line says what is missing and what to install."""

import importlib
import sys

import numpy as np
import pytest
import standin
from cli_tools import fail, result

from fslice import _kernels
from fslice._devices import gpu_library, gpu_names, gpus
from fslice.certify import certify, present_backends
from fslice.cli import main


@pytest.fixture
def cupy():
    """Return a library in CuPy's place whose parts a test may spoil."""
    with standin.installed() as cupy:
        yield cupy


def without_cupy(cupy, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed


def without_a_part(cupy, monkeypatch):
    def broken(name, package=None):
        raise ModuleNotFoundError("No module named 'cuda'", name="cuda")

    monkeypatch.setattr(importlib, "import_module", broken)


def unlinked(cupy, monkeypatch):
    def broken(name, package=None):
        raise ImportError("\nlibcudart.so.13: cannot open shared object file\nand more")

    monkeypatch.setattr(importlib, "import_module", broken)


def without_driver(cupy, monkeypatch):
    monkeypatch.setattr(cupy.cuda.runtime, "driverGetVersion", staticmethod(lambda: 0))


def with_an_old_driver(cupy, monkeypatch):
    monkeypatch.setattr(cupy.cuda.runtime, "driverGetVersion", staticmethod(lambda: 12040))
    monkeypatch.setattr(cupy.cuda.runtime, "runtimeGetVersion", staticmethod(lambda: 13000))


def with_a_driver_that_says(message):
    def spoil(cupy, monkeypatch):
        def count():
            raise RuntimeError(message)  # as CUDARuntimeError is one

        monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", staticmethod(count))

    return spoil


def without_gpu(cupy, monkeypatch):
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", staticmethod(lambda: 0))


def without_nvrtc(cupy, monkeypatch):
    def missing():
        raise RuntimeError('Failure finding "libnvrtc.so.12"')

    monkeypatch.setattr(cupy.cuda.nvrtc, "getVersion", staticmethod(missing))


EITHER = (
    "pip install 'cupy-cuda12x[ctk]' or 'cupy-cuda13x[ctk]', whichever the NVIDIA driver supports"
)
MISSING = {
    "CuPy": (without_cupy, ImportError, f"GPU: CuPy is not installed: {EITHER}"),
    "a part of CuPy": (
        without_a_part, ImportError, f"GPU: CuPy is installed, but not cuda: {EITHER}",
    ),
    "a library of CuPy": (
        unlinked, ImportError,
        "GPU: CuPy cannot be imported: libcudart.so.13: cannot open shared object file: " + EITHER,
    ),
    "the driver": (
        without_driver, OSError,
        f"GPU: the NVIDIA driver is not installed: install it, then {EITHER}",
    ),
    "a new driver": (
        with_an_old_driver, OSError,
        "GPU: the NVIDIA driver supports CUDA 12.4, and CuPy is for 13.0: update the driver, or "
        "pip install 'cupy-cuda12x[ctk]' instead",
    ),
    "a GPU": (without_gpu, OSError, "GPU: the NVIDIA driver finds no GPU"),
    "a GPU, with an error": (
        with_a_driver_that_says("cudaErrorNoDevice: no CUDA-capable device is detected"), OSError,
        "GPU: the NVIDIA driver finds no GPU",
    ),
    "a driver that works": (
        with_a_driver_that_says("cudaErrorSystemDriverMismatch: versions differ"), OSError,
        "GPU: the NVIDIA driver reports: cudaErrorSystemDriverMismatch: versions differ",
    ),
    "NVRTC": (
        without_nvrtc, ImportError,
        "GPU: NVRTC, which compiles the kernels, is not installed: pip install 'cupy-cuda12x[ctk]'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", MISSING)
def test_what_is_missing_is_said_in_one_line(what, cupy, monkeypatch):
    spoil, kind, line = MISSING[what]
    spoil(cupy, monkeypatch)
    with pytest.raises(kind) as caught:
        gpu_library()
    assert str(caught.value) == line


@pytest.mark.parametrize("what", MISSING)
def test_commands_say_it_before_they_read_anything(what, cupy, monkeypatch, capsys):
    spoil, _, line = MISSING[what]
    spoil(cupy, monkeypatch)
    said = fail(capsys, "reconstruct", "absent.star", "-o", "x", "--device", "gpu")
    assert said == f"error: {line}\n"
    assert fail(capsys, "certify", "--backend", "cuda") == said
    assert result(capsys, "info")["gpu"] == f"none: {line.removeprefix('GPU: ')}"


def test_kernels_for_arrays_of_a_gpu_say_that_nvrtc_is_missing(cupy, monkeypatch):
    without_nvrtc(cupy, monkeypatch)
    _kernels.select.compiled_for_gpus.cache_clear()
    with pytest.raises(ImportError, match="NVRTC, which compiles the kernels, is not installed"):
        _kernels.kernels_for(cupy.zeros(1))


def test_a_missing_gpu_is_no_backend_of_the_certificate(cupy, monkeypatch):
    assert "cuda" in present_backends()
    without_driver(cupy, monkeypatch)
    assert "cuda" not in present_backends()
    with pytest.raises(OSError, match="the NVIDIA driver is not installed"):
        certify(["cuda"])


def test_gpus_are_listed_by_name(cupy, capsys):
    assert gpu_library() is cupy
    assert [gpu.id for gpu in gpus(cupy)] == [0, 1, 2]
    assert gpu_names(cupy) == ["stand-in"] * 3
    assert result(capsys, "info")["gpu"] == "stand-in, stand-in, stand-in"


def test_where_a_driver_is_missing_arrays_of_the_host_are_computed_as_ever(cupy, monkeypatch):
    without_driver(cupy, monkeypatch)
    assert _kernels.kernels_for(np.zeros(1)).name in ("numpy", "numba")
    assert main(["info"]) == 0

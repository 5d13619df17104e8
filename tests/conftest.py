"""Fixtures that every test file shares."""

import contextlib
import functools
import os
import pathlib
import signal
from collections.abc import Callable, Iterator
from types import ModuleType

import cuda_host
import numpy as np
import pytest
import relion_files
import standin
from hypothesis import HealthCheck, settings

from fslice import _devices, _kernels
from fslice._kernels.cuda import CudaKernels

collect_ignore = ["fuzz/guided.py"]
"""Runs by itself, with a package that nothing else needs."""

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("repeatable")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # as a shell has it for what runs in the background: commands that are started inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def write_relion(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Write two stacks, and return what writes a STAR file of RELION about them."""
    relion_files.write_stacks(tmp_path)
    return functools.partial(relion_files.write_tables, tmp_path / "particles.star")


@pytest.fixture(scope="session")
def data() -> pathlib.Path:
    """Return the folder of real files with independently known answers, or skip."""
    default = pathlib.Path(__file__).parents[2] / "shared" / "data"
    folder = pathlib.Path(os.environ.get("FSLICE_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"the folder of real test data is absent: {folder}")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator with a fixed seed."""
    return np.random.default_rng(20190722)


@pytest.fixture
def device(monkeypatch) -> Iterator[ModuleType]:
    """Have a library with CuPy's manners in CuPy's place, and kernels for its arrays."""
    monkeypatch.setitem(_kernels.select.DEFAULTS, "cupy", lambda: standin.KERNELS)
    with standin.installed() as cupy:
        yield cupy


class CountingLauncher(cuda_host.HostLauncher):
    """Counts its launches, so that no test is taken for one of the kernels that has run none."""

    count = 0

    def launch(self, *arguments) -> None:
        object.__setattr__(self, "count", self.count + 1)
        super().launch(*arguments)


@pytest.fixture
def gpu(monkeypatch) -> Iterator[ModuleType]:
    """Have the CUDA kernels compute: on a GPU where there is one, else by g++ on the stand-in."""
    with contextlib.suppress(ImportError, OSError):
        yield _devices.gpu_library()
        return
    if cuda_host.compiler() is None:
        pytest.skip("there is neither a GPU nor a C++ compiler to run the CUDA source with")
    kernels = CudaKernels(launcher=CountingLauncher())
    monkeypatch.setitem(_kernels.select.DEFAULTS, "cupy", lambda: kernels)
    with standin.installed() as cupy:
        yield cupy


@pytest.fixture
def computed_by(request) -> Callable[[str], Iterator[ModuleType]]:
    """Return what has one implementation compute the kernels and yields its arrays' library."""

    def computed_by(name: str) -> Iterator[ModuleType]:
        if name == "standin":
            yield request.getfixturevalue("device")
            return
        if name == "cuda":
            yield request.getfixturevalue("gpu")
            kernels = _kernels.select.DEFAULTS["cupy"]()
            assert getattr(kernels.launcher, "count", 1), "the test has launched no kernel"
            return
        if name == "numba":
            pytest.importorskip("numba", reason="Numba is not installed")
        with _kernels.use_kernels(_kernels.host_kernels()[name]):
            yield np

    return computed_by


@pytest.fixture(params=["numpy", "numba"])
def host_backend(request, computed_by) -> Iterator[ModuleType]:
    """Have one implementation for NumPy's arrays compute the kernels."""
    yield from computed_by(request.param)


@pytest.fixture(params=["numpy", "numba", "standin", "cuda"])
def backend(request, computed_by) -> Iterator[ModuleType]:
    """Have one implementation compute the kernels; return the library its arrays belong to."""
    yield from computed_by(request.param)

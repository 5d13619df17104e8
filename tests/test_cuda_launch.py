"""Launching: arguments are checked, kernels run where the arrays are, buffers are reused."""

import contextlib
import types

import cuda_host
import numpy as np
import pytest
import standin
from strategies import noise, poses

from fslice._kernels import LINEAR, Filters, SliceGeometry, Views
from fslice._kernels.cuda import launch
from fslice._kernels.cuda.buffers import Buffers, Tables
from fslice._kernels.cuda.launch import CupyLauncher
from fslice._kernels.cuda.signatures import check_arguments, signature
from fslice._kernels.cuda.sources import FOLDER, SOURCES, source_of
from fslice._kernels.cuda.structs import GEOMETRY, VIEW_DOUBLES, geometry_struct

GEOMETRY_8 = SliceGeometry(8, 8, 8, 8, 8, 1.0, 3.0, LINEAR)
needs_compiler = pytest.mark.skipif(
    cuda_host.compiler() is None, reason="there is no C++ compiler to run the CUDA source with"
)


@pytest.fixture
def cupy():
    """Have the CuPy-like library in CuPy's place."""
    with standin.installed() as library:
        yield library


@pytest.fixture
def arguments(cupy):
    """Return what `gather` takes, by name."""
    return {
        "volume": cupy.zeros((8, 8, 5), np.complex64),
        "views": cupy.zeros(VIEW_DOUBLES),
        "amplitude": np.float64(1),
        "g": geometry_struct(GEOMETRY_8),
        "slices": cupy.zeros((1, 8, 5), np.complex64),
    }


# arguments ---------------------------------------------------------------------------------------


def test_what_a_kernel_takes_is_read_from_its_source(arguments):
    found = signature("gather", ("double", 4))
    assert [parameter.name for parameter in found] == list(arguments)
    assert [parameter.pointer for parameter in found] == [True, True, False, False, True]
    assert [parameter.constant for parameter in found] == [True, True, False, False, False]
    assert [parameter.dtype for parameter in found] == [
        np.complex128, np.float64, np.float64, GEOMETRY, np.complex128,
    ]  # fmt: skip


@pytest.mark.parametrize("entry", SOURCES)
def test_every_kernel_has_a_signature_for_all_of_its_types(entry):
    assert len(SOURCES[entry].instantiations) == len(set(SOURCES[entry].instantiations))
    for instantiation in SOURCES[entry].instantiations:
        assert len(signature(entry, instantiation)) >= 3


def test_the_source_has_no_include_and_says_where_its_lines_are():
    files = {path.name for path in FOLDER.iterdir() if path.suffix in (".cu", ".cuh")}
    assert files == {name for source in SOURCES.values() for name in source.files}
    for entry, source in SOURCES.items():
        text = source_of(entry)
        assert "#include" not in [line.split()[0] for line in text.splitlines() if line.split()]
        assert [f'#line 1 "{name}"' in text for name in source.files] == [True] * len(source.files)


def test_right_arguments_pass(arguments):
    check_arguments("gather", ("float", 2), tuple(arguments.values()))
    check_arguments("gather", ("float", 2), tuple((arguments | {"views": None}).values()))


WRONG = {
    "volume": (
        lambda cupy: cupy.zeros((8, 8, 5), complex),
        "volume: expected an array of complex64, got one of complex128",
    ),
    "views": (
        lambda cupy: np.zeros(VIEW_DOUBLES),
        r"views: expected an array of float64, got numpy\.ndarray, which is on the host",
    ),
    "amplitude": (
        lambda cupy: np.float32(1),
        "amplitude: expected a value of float64, got a value of float32",
    ),
    "g": (
        lambda cupy: 1.0,
        r"g: expected a value of \{.*'nz'.*\}, got a value of float",
    ),
    "slices": (
        lambda cupy: cupy.zeros((5, 8, 1), np.complex64).T,
        "slices: expected an array of complex64, got one that is not contiguous",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_refused_by_name(cupy, arguments, name):
    make, message = WRONG[name]
    given = tuple((arguments | {name: make(cupy)}).values())
    with pytest.raises(TypeError, match=f"^gather<float, 2>: {message}$"):
        check_arguments("gather", ("float", 2), given)


def test_an_argument_too_few_is_refused(arguments):
    with pytest.raises(TypeError, match="gather<float, 2>: expected 5 arguments, got 4"):
        check_arguments("gather", ("float", 2), tuple(arguments.values())[:-1])


@needs_compiler
def test_structures_are_as_large_in_numpy_as_in_the_source(arguments):
    """The compiled kernel compares the size of every argument with that of its parameter."""
    launcher = cuda_host.HostLauncher()
    values = [np.zeros(1, np.uintp), np.zeros(1, np.uintp), np.zeros(1), np.zeros(1, GEOMETRY)]
    shape = 0, 1, 1, 1, 1, 1
    launcher._call("gather", ("float", 2), shape, [*values, np.zeros(1, np.uintp)])
    values[3] = np.zeros(1, [("short", GEOMETRY[0])])
    with pytest.raises(RuntimeError, match="argument 3 has 4 bytes, expected 56"):
        launcher._call("gather", ("float", 2), shape, [*values, np.zeros(1, np.uintp)])
    with pytest.raises(RuntimeError, match="expected 5 arguments"):
        launcher._call("gather", ("float", 2), shape, values)


# CuPy --------------------------------------------------------------------------------------------


class Recorder:
    """What `CupyLauncher` sees of CuPy: devices, streams, modules."""

    def __init__(self):
        self.current, self.calls, self.compiled = 0, [], []
        self.cuda = types.SimpleNamespace(get_current_stream=self.stream)

    def stream(self):
        return types.SimpleNamespace(ptr=100 + self.current)

    def device(self, number):
        @contextlib.contextmanager
        def entered():
            before, self.current = self.current, number
            try:
                yield
            finally:
                self.current = before

        context = entered()
        context.id = number
        return context

    def RawModule(self, **options):
        self.compiled.append((options["name_expressions"], options["options"], self.current))
        assert options["code"].startswith('#line 1 "numbers.cuh"')

        def kernel(grid, block, arguments):
            self.calls.append((self.current, grid, block, len(arguments)))

        return types.SimpleNamespace(get_function=lambda name: kernel)


@pytest.fixture
def recorder(monkeypatch, arguments):
    found = Recorder()
    monkeypatch.setattr(launch, "array_namespace", lambda *_: found)
    launch._function.cache_clear()
    yield found
    launch._function.cache_clear()


def on_device(recorder, number):
    """Return what `CupyLauncher` sees of an array on a device."""

    class OnDevice:
        @property
        def device(self):
            return recorder.device(number)

    return OnDevice()


def test_a_kernel_runs_on_the_device_of_the_array_and_is_compiled_once(recorder, arguments):
    for number in (3, 1, 3):
        CupyLauncher().launch(
            "gather", ("float", 2), (7, 1), (256,), tuple(arguments.values()),
            on_device(recorder, number),
        )  # fmt: skip
    assert recorder.calls == [(n, (7, 1), (256,), 5) for n in (3, 1, 3)]
    assert recorder.compiled == [(("gather<float, 2>",), ("--std=c++17",), 3)]
    assert recorder.current == 0


def test_wrong_arguments_are_not_launched(recorder, arguments):
    given = tuple((arguments | {"amplitude": 1.0}).values())
    with pytest.raises(TypeError, match="amplitude"):
        CupyLauncher().launch("gather", ("float", 2), (1,), (1,), given, on_device(recorder, 0))
    assert recorder.calls == []


def test_a_queue_is_a_device_and_its_current_stream(recorder):
    assert CupyLauncher().queue_of(on_device(recorder, 2)) == (2, 102)
    assert recorder.current == 0


# buffers and tables ------------------------------------------------------------------------------


def test_a_buffer_is_lent_again_on_its_queue_only(cupy):
    buffers, like = Buffers(), cupy.zeros(1)
    with (
        buffers.lent("one", 100, np.float64, like) as first,
        buffers.lent("one", 300, np.float64, like) as second,
    ):
        assert not np.shares_memory(first._host, second._host)
    with buffers.lent("two", 100, np.float64, like) as other:
        assert not np.shares_memory(first._host, other._host)
    with buffers.lent("one", 80, np.float64, like) as again:
        assert np.shares_memory(first._host, again._host)
        assert again.shape == (80,)
    with buffers.lent("one", 20, np.float64, like) as small:  # not of a far larger one
        assert not np.shares_memory(small._host, first._host)


def test_no_more_than_the_limit_lies_idle(cupy):
    buffers, like = Buffers(kept_bytes=1000), cupy.zeros(1)
    for size in (50, 110, 40):
        with buffers.lent("one", size, np.float64, like):
            pass
        assert sum(buffer.nbytes for _, buffer in buffers._idle) <= 1000
    assert [buffer.size for _, buffer in buffers._idle] == [40]


def test_idle_buffers_are_given_back_where_memory_does_not_suffice(cupy, monkeypatch):
    buffers, like, empty = Buffers(), cupy.zeros(1), cupy.empty

    def scarce(size, dtype):
        if buffers._idle:
            raise MemoryError
        return empty(size, dtype)

    with buffers.lent("one", 10, np.float64, like):
        pass
    monkeypatch.setattr(cupy, "empty", scarce)
    with buffers.lent("one", 100, np.float64, like) as buffer:
        assert buffer.shape == (100,)


def test_tables_keep_those_used_last():
    tables, made = Tables(most=2), []

    def value_of(key):
        return tables.get(key, lambda: made.append(key) or key.upper())

    assert [value_of(key) for key in "abacab"] == list("ABACAB")
    assert made == list("abcb")


CALLS = {
    "scatter": (
        lambda kernels, volume, slices, views: kernels.scatter(slices, views, 1.0, GEOMETRY_8),
        [GEOMETRY_8.volume_shape],
    ),
    "pose_curvature": (
        lambda kernels, volume, slices, views: kernels.pose_curvature(
            volume, slices, views, Filters(), 1.0, GEOMETRY_8
        ),
        [(3, 6, 6), (3, 5, 5)],
    ),
    "best_over_shifts": (
        lambda kernels, volume, slices, views: kernels.best_over_shifts(
            slices.real.copy(), slices[:, 0].real.copy(), slices[0, :, 0].real.copy()
        ),
        [(3, 5), (3, 5)],
    ),
    "peaks": (
        lambda kernels, volume, slices, views: kernels.peaks(
            views.rotations.reshape(9, 3), views.rotations, 2, 1.0, 1.0
        ),
        [(9, 2)],
    ),
}
"""Calls, and the shapes of their results."""


@needs_compiler
@pytest.mark.parametrize("name", CALLS)
def test_calls_after_the_first_allocate_and_upload_no_more_than_results(
    cupy, rng, monkeypatch, name
):
    kernels, (call, shapes) = cuda_host.host_kernels(), CALLS[name]
    views = Views(cupy.asarray(poses(rng, (3,))), cupy.asarray(noise(rng, (3, 2))))
    slices = cupy.asarray(noise(rng, (3, 8, 5), complex))
    arguments = cupy.asarray(noise(rng, (8, 8, 5), complex)), slices, views
    sizes = []
    empty = cupy.empty
    monkeypatch.setattr(cupy, "empty", lambda shape, *a: sizes.append(shape) or empty(shape, *a))
    call(kernels, *arguments)
    before, sizes[:] = len(sizes), []
    with standin.recorded() as transfers:
        call(kernels, *arguments)
    assert before > len(shapes) or name == "best_over_shifts"
    assert sizes == shapes
    assert transfers == []

"""Tensors of PyTorch and arrays of JAX on a GPU: CuPy computes, in the same memory.

Here CuPy's place is taken by the stand-in, which shares the memory of tensors on the CPU.
"""

import contextlib
import types

import numpy as np
import pytest
from standin import recorded
from test_interop import COUNT, SIZE, SMOOTH, arrays, projections

import fslice
from fslice.operators.linop import LinearOperator


class TestTorch:
    @pytest.fixture(autouse=True)
    def modules(self, device, monkeypatch):
        self.torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        self.interop, self.cupy, self.entered = fslice.interop.torch, device, 0
        self.find_library = self.interop._library_on

        @contextlib.contextmanager
        def entered():
            self.entered += 1
            yield

        monkeypatch.setattr(self.interop, "_library_on", lambda place: (device, entered()))

    def tensors(self, dtype="float64"):
        return [self.torch.from_dlpack(array).requires_grad_() for array in arrays(dtype)]

    @pytest.mark.parametrize("given", [2, 4])
    def test_gradients_pass_the_check_of_pytorch(self, given):
        inputs = self.tensors()[:given]
        assert self.torch.autograd.gradcheck(
            lambda *x: self.interop.project(SMOOTH, *x), inputs, fast_mode=True
        )

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_gradients_are_those_on_the_cpu(self, dtype, monkeypatch):
        found, expected = [], []
        for results, library_on in ((found, None), (expected, self.find_library)):
            with monkeypatch.context() as patch:
                if library_on is not None:
                    patch.setattr(self.interop, "_library_on", library_on)
                inputs = self.tensors(dtype)
                for images in (
                    self.interop.project(SMOOTH, *inputs),
                    self.interop.project_ft(SMOOTH, self.spectrum(inputs[0]), *inputs[1:]),
                ):
                    weights = np.random.default_rng(1).normal(size=images.shape).astype(dtype)
                    (images * self.torch.from_dlpack(weights)).real.sum().backward()
                    results.append(images.detach().numpy())
                results += [tensor.grad.numpy() for tensor in inputs]
        tolerance = {"float32": 1e-4, "float64": 1e-12}[dtype]
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            assert abs(one - other).max() <= tolerance * abs(other).max()

    def spectrum(self, volume):
        fft, size = self.torch.fft, SMOOTH.padded_size
        return fft.rfftn(volume, (size,) * 3, norm="ortho")

    def test_no_array_is_copied_to_the_host_but_for_checks(self):
        from test_devices import DOCUMENTED

        with recorded() as transfers:
            self.interop.project(SMOOTH, *self.tensors()).sum().backward()
        assert {str(t) for t in transfers if t.place not in DOCUMENTED} == set()
        assert self.entered == 2

    def test_no_array_is_copied_at_all_on_the_way(self):
        volume = self.tensors()[0]
        with self.interop._as_arrays({"volume": volume, "shifts": None}) as (seen, nothing):
            assert isinstance(seen, self.cupy.ndarray)
            assert seen._host.ctypes.data == volume.data_ptr()
            assert nothing is None
        kept = []
        operator = LinearOperator(
            ((3,), "float64"), ((3,), "float64"),
            lambda x: kept.append(x.copy()) or kept[-1], lambda y: y.copy(),
        )  # fmt: skip
        result = self.interop.apply(operator, self.torch.ones(3, dtype=self.torch.float64))
        assert result.data_ptr() == kept[0]._host.ctypes.data

    def test_linear_operators_have_derivatives_of_second_order(self):
        rotations, shifts = map(self.cupy.asarray, arrays()[1:3])
        operator = projections()
        operator = LinearOperator(
            operator.domain, operator.range,
            lambda x: SMOOTH.project(x, rotations, shifts),
            lambda y: SMOOTH.backproject(y, rotations, shifts),
        )  # fmt: skip
        check = self.torch.autograd
        assert check.gradgradcheck(
            lambda x: self.interop.apply(operator, x).square(), self.tensors()[0], fast_mode=True
        )

    def test_cupy_computes_on_the_device_and_the_stream_of_pytorch(self, monkeypatch):
        stream = types.SimpleNamespace(cuda_stream=1234)
        monkeypatch.setattr(self.torch.cuda, "current_stream", lambda place: stream)
        library, queue = self.find_library(self.torch.device("cuda", 2))
        assert library is self.cupy
        with queue:
            assert self.cupy.cuda.Device().id == 2
            assert self.cupy.cuda.get_current_stream().ptr == 1234
        assert self.cupy.cuda.Device().id == 0
        library, queue = self.find_library(self.torch.device("cpu"))
        assert library is np

    def test_tensors_of_two_devices_are_refused(self):
        class OnGpu(self.torch.Tensor):
            device = self.torch.device("cuda", 0)

        volume, rotations, *_ = (tensor.detach() for tensor in self.tensors())
        elsewhere = volume.as_subclass(OnGpu)
        with pytest.raises(TypeError, match=r"one device, got: volume is on cuda:0, rotations is"):
            self.interop.project(SMOOTH, elsewhere, rotations)

    def test_a_ctf_of_the_host_does_not_meet_tensors_on_a_gpu(self):
        from strategies import random_ctf

        ctf = random_ctf(np.random.default_rng(0), 2)
        volume, rotations, shifts, _ = self.tensors()
        with pytest.raises(TypeError, match="array libraries are mixed"):
            self.interop.project(SMOOTH, volume, rotations, shifts, ctf)
        images = self.interop.project(SMOOTH, volume, rotations, shifts, ctf.to(self.cupy))
        images.sum().backward()
        assert volume.grad.shape == volume.shape


class TestJax:
    @pytest.fixture(autouse=True)
    def modules(self, device, monkeypatch):
        self.jax = pytest.importorskip("jax", reason="JAX is not installed")
        self.interop, self.cupy = fslice.interop.jax, device
        before = self.jax.config.jax_enable_x64
        self.jax.config.update("jax_enable_x64", True)
        yield
        self.jax.config.update("jax_enable_x64", before)

    @pytest.fixture
    def on_gpu(self, monkeypatch):
        """Have every array of JAX say that it is on a GPU."""
        kind = type(self.jax.numpy.zeros(1))
        place = types.SimpleNamespace(platform="gpu")
        monkeypatch.setattr(kind, "devices", lambda array: [place])

    def test_arrays_on_a_gpu_are_computed_by_cupy_where_they_lie(self, on_gpu):
        volume, seen = self.jax.numpy.ones(3), []
        operator = LinearOperator(
            ((3,), "float64"), ((3,), "float64"),
            lambda x: seen.append(x) or 2 * x, lambda y: 2 * y,
        )  # fmt: skip
        result = self.interop.apply(operator, volume)
        assert isinstance(seen[0], self.cupy.ndarray)
        assert seen[0]._host.ctypes.data == volume.unsafe_buffer_pointer()
        assert np.array_equal(np.from_dlpack(result), [2, 2, 2])

    def test_arrays_of_numpy_follow_those_on_a_gpu(self, on_gpu, monkeypatch):
        """As which JAX's own check gives cotangents."""
        moved = []

        def put(array, place):
            moved.append(place.platform)
            return self.jax.numpy.asarray(array)

        monkeypatch.setattr(self.jax, "device_put", put)
        volume, rotations, shifts, _ = arrays()
        images = self.interop.project(SMOOTH, self.jax.numpy.asarray(volume), rotations, shifts)
        assert np.allclose(np.from_dlpack(images), SMOOTH.project(volume, rotations, shifts))
        assert moved == ["gpu", "gpu"]

    def test_gradients_are_those_on_the_cpu(self, monkeypatch):
        inputs = tuple(map(self.jax.numpy.asarray, arrays()))

        weights = np.random.default_rng(1).normal(size=(COUNT, SIZE, SIZE))

        def loss(*inputs):
            return (self.interop.project(SMOOTH, *inputs) * weights).sum()

        differentiate = self.jax.grad(loss, argnums=(0, 1, 2, 3))
        expected = differentiate(*inputs)
        kind = type(inputs[0])
        place = types.SimpleNamespace(platform="gpu")
        monkeypatch.setattr(kind, "devices", lambda array: [place])
        found = differentiate(*inputs)
        for one, other in zip(found, expected, strict=True):
            one, other = np.from_dlpack(one), np.from_dlpack(other)
            assert abs(one - other).max() <= 1e-12 * abs(other).max()

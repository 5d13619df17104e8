"""The projector and linear operators inside PyTorch and JAX, where these are installed."""

import numpy as np
import pytest
from strategies import random_ctf

import fslice
from fslice.fourier import hermitian_weights
from fslice.operators import LinearOperator
from fslice.operators.linop import identity

SIZE, COUNT = 6, 2
SMOOTH = fslice.Projector(SIZE, oversampling=2, interpolation="cubic")


def arrays(dtype="float64"):
    """Return volume, rotations, shifts, values of a CTF."""
    rng = np.random.default_rng(3)
    drawn = [
        rng.normal(size=(SIZE,) * 3),
        fslice.random_rotations(COUNT, rng),
        rng.normal(size=(COUNT, 2)),
        rng.normal(size=(COUNT, SIZE, SIZE // 2 + 1)),
    ]
    return [array.astype(dtype) for array in drawn]


def expected_gradients(given, cotangent):
    """Return the gradients of fslice, that of the CTF's values as both frameworks count them."""
    volume, rotations, shifts, ctf = given
    found = SMOOTH.project_vjp(volume, rotations, shifts=shifts, ctf=ctf, cotangent=cotangent)
    return found._replace(ctf=found.ctf * hermitian_weights(SIZE).astype(volume.dtype))


def projections():
    """Return a linear operator between volumes and images."""
    _, rotations, shifts, _ = arrays()
    return LinearOperator(
        ((SIZE,) * 3, "float64"), ((COUNT, SIZE, SIZE), "float64"),
        lambda x: SMOOTH.project(x, rotations, shifts),
        lambda y: SMOOTH.backproject(y, rotations, shifts),
    )  # fmt: skip


class TestTorch:
    @pytest.fixture(autouse=True)
    def modules(self):
        self.torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        self.interop = fslice.interop.torch

    def tensors(self, dtype="float64"):
        return [self.torch.from_dlpack(array).requires_grad_() for array in arrays(dtype)]

    @pytest.mark.parametrize("given", [2, 3, 4])
    def test_gradients_pass_the_check_of_pytorch(self, given):
        inputs = self.tensors()[:given]
        assert self.torch.autograd.gradcheck(lambda *x: self.interop.project(SMOOTH, *x), inputs)

    @pytest.mark.parametrize("given", [2, 3, 4])
    def test_gradients_of_half_spectra_are_those_of_pytorch(self, given):
        fft, (volume, *others) = self.torch.fft, self.tensors()[:given]
        projector = fslice.Projector(SIZE, interpolation="cubic")

        def images(volume, *others):
            volume_ft = fft.rfftn(fft.ifftshift(volume), norm="ortho")
            return self.torch.view_as_real(self.interop.project_ft(projector, volume_ft, *others))

        assert self.torch.autograd.gradcheck(images, (volume, *others), fast_mode=True)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_gradients_are_those_of_fslice_to_the_last_bit(self, dtype):
        inputs = self.tensors(dtype)
        images = self.interop.project(SMOOTH, *inputs)
        (images**2).sum().backward()
        expected = expected_gradients(arrays(dtype), 2 * images.detach().numpy())
        for tensor, gradient in zip(inputs, expected, strict=True):
            assert tensor.grad.numpy().dtype == dtype
            assert np.array_equal(tensor.grad.numpy(), gradient)

    def test_the_volume_alone_gets_the_adjoint(self):
        volume, rotations, shifts, ctf = self.tensors()
        fixed = [tensor.detach() for tensor in (rotations, shifts, ctf)]
        images = self.interop.project(SMOOTH, volume, *fixed)
        images.sum().backward()
        ones = np.ones(images.shape)
        adjoint = SMOOTH.backproject(ones, *(tensor.numpy() for tensor in fixed))
        assert np.array_equal(volume.grad.numpy(), adjoint)
        assert rotations.grad is None

    def test_a_ctf_is_constant_and_its_gradient_none(self):
        volume, rotations, shifts, _ = self.tensors()
        ctf = random_ctf(np.random.default_rng(0), COUNT)
        images = self.interop.project(SMOOTH, volume, rotations, shifts, ctf)
        given = (*arrays()[:3], ctf)
        assert np.array_equal(images.detach().numpy(), SMOOTH.project(*given))
        images.sum().backward()
        expected = expected_gradients(given, np.ones(images.shape))
        assert np.array_equal(rotations.grad.numpy(), expected.rotations)

    def test_conjugated_and_expanded_tensors_are_read_right(self):
        volume_ft = self.torch.from_dlpack(fslice.rfft3(arrays()[0]))
        rotation = self.torch.eye(3, dtype=self.torch.float64).expand(COUNT, 3, 3)
        images = self.interop.project_ft(fslice.Projector(SIZE), volume_ft.conj(), rotation)
        expected = fslice.Projector(SIZE).project_ft(volume_ft.numpy().conj(), rotation.numpy())
        assert np.array_equal(images.numpy(), expected)

    def test_no_array_is_copied(self):
        volume = self.tensors()[0]
        with self.interop._as_arrays({"volume": volume}) as (seen,):
            assert seen.ctypes.data == volume.data_ptr()
        kept = []
        operator = LinearOperator(
            ((3,), "float64"), ((3,), "float64"),
            lambda x: kept.append(x.copy()) or kept[-1], lambda y: y.copy(),
        )  # fmt: skip
        result = self.interop.apply(operator, self.torch.ones(3, dtype=self.torch.float64))
        assert result.data_ptr() == kept[0].ctypes.data

    def test_linear_operators_have_derivatives_of_second_order(self):
        volume = self.tensors()[0]
        operator = projections()
        check = self.torch.autograd
        assert check.gradcheck(lambda x: self.interop.apply(operator, x), volume)
        assert check.gradgradcheck(
            lambda x: self.interop.apply(operator, x).square(), volume, fast_mode=True
        )

    def test_what_is_no_tensor_of_the_cpu_is_refused(self):
        volume, rotations, *_ = self.tensors()
        with pytest.raises(TypeError, match="rotations: expected a tensor, got ndarray"):
            self.interop.project(SMOOTH, volume, rotations.detach().numpy())
        with pytest.raises(TypeError, match="volume: expected a tensor on the CPU or a GPU, got"):
            self.interop.project(SMOOTH, volume.to("meta"), rotations)
        spectra = identity(fslice.operators.Space((6, 4), "complex128"))
        with pytest.raises(TypeError, match="operator: expected a domain of real arrays, got comp"):
            self.interop.apply(spectra, volume)


class TestJax:
    @pytest.fixture(autouse=True)
    def modules(self):
        self.jax = pytest.importorskip("jax", reason="JAX is not installed")
        self.interop = fslice.interop.jax
        before = self.jax.config.jax_enable_x64
        self.jax.config.update("jax_enable_x64", True)
        yield
        self.jax.config.update("jax_enable_x64", before)

    def inputs(self, dtype="float64"):
        return tuple(map(self.jax.numpy.asarray, arrays(dtype)))

    @pytest.mark.parametrize("given", [2, 3, 4])
    @pytest.mark.parametrize("compiled", [False, True])
    def test_gradients_pass_the_check_of_jax(self, given, compiled):
        from jax.test_util import check_grads

        def project(*inputs):
            return self.interop.project(SMOOTH, *inputs)

        function = self.jax.jit(project) if compiled else project
        check_grads(function, self.inputs()[:given], 1, modes=["rev"], atol=1e-6, rtol=1e-6)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_gradients_are_those_of_fslice_to_the_last_bit(self, dtype):
        def loss(*inputs):
            return (self.interop.project(SMOOTH, *inputs) ** 2).sum() / 2

        gradients = self.jax.grad(loss, argnums=(0, 1, 2, 3))(*self.inputs(dtype))
        images = SMOOTH.project(*arrays(dtype))
        for gradient, expected in zip(
            gradients, expected_gradients(arrays(dtype), images), strict=True
        ):
            assert gradient.dtype == dtype
            assert np.array_equal(gradient, expected)

    def test_a_ctf_is_constant(self):
        ctf = random_ctf(np.random.default_rng(0), COUNT)
        volume, rotations, shifts, _ = self.inputs()

        def loss(rotations):
            return self.interop.project(SMOOTH, volume, rotations, shifts, ctf).sum()

        given = (*arrays()[:3], ctf)
        expected = expected_gradients(given, np.ones((COUNT, SIZE, SIZE))).rotations
        for differentiate in (self.jax.grad(loss), self.jax.jit(self.jax.grad(loss))):
            assert np.array_equal(differentiate(rotations), expected)

    def test_linear_operators_have_gradients_of_second_order(self):
        from jax.test_util import check_grads

        operator = projections()
        check_grads(
            lambda x: self.interop.apply(operator, x) ** 2, self.inputs()[:1], 2, modes=["rev"]
        )

    def test_numpy_reads_the_memory_of_jax(self):
        volume = self.inputs()[0]
        seen = []
        operator = LinearOperator(
            (volume.shape, "float64"), (volume.shape, "float64"),
            lambda x: seen.append(x.ctypes.data) or x.copy(), lambda y: y.copy(),
        )  # fmt: skip
        self.interop.apply(operator, volume)
        assert seen == [volume.unsafe_buffer_pointer()]

    def test_operators_of_half_spectra_are_refused(self):
        spectra = identity(fslice.operators.Space((6, 4), "complex128"))
        with pytest.raises(TypeError, match="operator: expected a domain of real arrays, got comp"):
            self.interop.apply(spectra, self.inputs()[0])

"""The CUDA kernels, run by g++: each agrees with NumPy's definition, in any order of threads."""

import dataclasses

import cuda_host
import numpy as np
import pytest
import standin
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import noise, poses, seeds
from test_kernels import cases_of_views, kernel_cases, misfit_arguments, moved, run_all, sums_over

from fslice._arrays import to_numpy
from fslice._kernels import CUBIC, LINEAR, Filters, SliceGeometry, Views
from fslice._kernels.numpy import KERNELS as DEFINITION
from fslice.testing import check_adjoint, check_gradient

pytestmark = pytest.mark.skipif(
    cuda_host.compiler() is None, reason="there is no C++ compiler to run the CUDA source with"
)
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
orders = st.integers(0, 5)


@pytest.fixture
def cupy():
    """Have the CuPy-like library in CuPy's place."""
    with standin.installed() as library:
        yield library


def assert_agree(name, found, expected, dtype):
    """Assert that results are equal but for rounding, relative to the largest value."""
    found, expected = to_numpy(found), to_numpy(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape), name
    scale = max(abs(expected).max(initial=0), 1e-2)  # a sum of noise that cancels is no scale
    assert abs(found - expected).max(initial=0) <= TOLERANCE[dtype.name] * scale, name


# the definition ----------------------------------------------------------------------------------


@settings(max_examples=50)
@given(case=kernel_cases(), order=orders, deterministic=st.booleans())
def test_all_kernels_agree_with_the_definition(cupy, case, order, deterministic):
    kernels = cuda_host.host_kernels(order=order, deterministic=deterministic)
    found, expected = run_all(kernels, case.on(cupy)), run_all(DEFINITION, case)
    for name, value in expected.items():
        assert_agree(name, found[name], value, case.rotations.dtype)


@settings(max_examples=50)
@given(drawn=cases_of_views(), order=orders)
def test_sums_over_views_with_filters_agree_with_the_definition(cupy, drawn, order):
    case, kernels = drawn[0], cuda_host.host_kernels(order=order)
    found = sums_over(kernels, case.on(cupy), *moved(cupy, *drawn[1:]))
    for name, value in sums_over(DEFINITION, *drawn).items():
        assert_agree(name, found[name], value, case.rotations.dtype)


@given(case=kernel_cases(), order=orders)
def test_second_derivatives_and_the_pose_curvature_agree_with_the_definition(cupy, case, order):
    kernels, on, dtype = cuda_host.host_kernels(order=order), case.on(cupy), case.rotations.dtype
    found = kernels.gather_curvatures(on.volume, *on.pose)
    expected = DEFINITION.gather_curvatures(case.volume, *case.pose)
    found += kernels.pose_curvature(*misfit_arguments(on, on.ctf))
    expected += DEFINITION.pose_curvature(*misfit_arguments(case, case.ctf))
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert_agree(f"result {number}", one, other, dtype)


def test_a_beam_of_any_length_enters_the_pose_gram(cupy, rng):
    """No sample lies along the third column: its entries are not held to the grid."""
    geometry = SliceGeometry(8, 8, 8, 8, 8, 1.0, 3.0, CUBIC)
    volume = np.fft.rfftn(noise(rng, (8, 8, 8)), norm="ortho")
    images, rotations = noise(rng, (2, 8, 5), complex), poses(rng, (2,))
    rotations[:, :, 2] *= 1e10
    shifts = noise(rng, (2, 2))
    expected = DEFINITION.pose_gram(
        volume, images, Views(rotations, shifts), Filters(), 1.0, geometry
    )
    views = Views(cupy.asarray(rotations), cupy.asarray(shifts))
    data = cupy.asarray(volume), cupy.asarray(images), views, Filters(), 1.0, geometry
    assert_agree("gram", cuda_host.host_kernels().pose_gram(*data), expected, shifts.dtype)


@given(case=kernel_cases(), order=orders)
def test_the_product_with_a_stencil_agrees_with_the_definition(cupy, case, order):
    dtype, geometry = case.rotations.dtype, case.geometry._replace(taps=LINEAR)
    total = DEFINITION.new_gram(geometry, dtype)
    for _ in range(2):  # it adds
        filters = Filters(case.ctf, case.precision[None])
        DEFINITION.add_gram(total, case.pose[0], filters, geometry)
    kernels = cuda_host.host_kernels(order=order)
    product = kernels.apply_stencil(cupy.asarray(total), case.on(cupy).volume)
    assert_agree("product", product, DEFINITION.apply_stencil(total, case.volume), dtype)


@given(case=kernel_cases(), seed=seeds)
def test_the_ctf_agrees_with_the_definition(cupy, case, seed):
    coefficients = 0.3 * noise(np.random.default_rng(seed), (4, 7))
    dtype = case.rotations.dtype
    found = cuda_host.host_kernels().ctf_values(cupy.asarray(coefficients), case.geometry, dtype)
    assert_agree("ctf", found, DEFINITION.ctf_values(coefficients, case.geometry, dtype), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_ctf_is_right_to_rounding_after_hundreds_of_radians(cupy, dtype):
    geometry = SliceGeometry(1, 1, 64, 1, 64, 1.0, 31.0, LINEAR)
    phases = np.linspace(-500, 500, 1001)
    coefficients = np.zeros((len(phases), 7))
    coefficients[:, 4], coefficients[:, 6] = phases, -1
    kernels = cuda_host.host_kernels()
    values = to_numpy(kernels.ctf_values(cupy.asarray(coefficients), geometry, dtype))
    assert abs(values - np.sin(phases)[:, None, None]).max() < TOLERANCE[dtype]


@given(case=kernel_cases(6), mixed=st.sampled_from(["rotations", "shifts"]))
def test_poses_may_be_more_precise_than_the_volume(cupy, case, mixed):
    finer = dataclasses.replace(case, **{mixed: getattr(case, mixed).astype(np.float64)})
    found = cuda_host.host_kernels().gather(finer.on(cupy).volume, *finer.on(cupy).pose)
    expected = DEFINITION.gather(case.volume, *finer.pose)
    assert_agree("gather", found, expected, case.rotations.dtype)


def test_no_views_give_empty_results_and_a_volume_of_zeros(cupy, rng):
    geometry = SliceGeometry(6, 6, 6, 6, 6, 1.0, 2.0, CUBIC)
    views = Views(cupy.zeros((0, 3, 3)), cupy.zeros((0, 2)))
    volume, slices = cupy.ones((6, 6, 4), complex), cupy.zeros((0, 6, 4), complex)
    kernels, pose = cuda_host.host_kernels(), (views, 1.0, geometry)
    filtered = views, Filters(), 1.0, geometry
    assert kernels.gather(volume, *pose).shape == (0, 6, 4)
    assert kernels.gather_slopes(volume, *pose)[1].shape == (3, 0, 6, 4)
    volumes = [
        kernels.scatter(slices, *pose),
        kernels.gather_vjp(volume, slices, *pose)[0],
        kernels.misfit(volume, slices, *filtered)[1],
        kernels.misfit_gradients(volume, slices, *filtered)[1],
        kernels.gram(volume, *filtered),
    ]
    assert all(v.shape == (6, 6, 4) and not to_numpy(v).any() for v in volumes)
    assert kernels.pose_gram(volume, slices, *filtered).shape == (0, 6, 6)
    matrices = kernels.pose_curvature(volume, slices, *filtered)
    assert [found.shape for found in matrices] == [(0, 6, 6), (0, 5, 5)]
    assert kernels.peaks(cupy.zeros((0, 4)), cupy.zeros((4, 3, 3)), 2, 1.0, 1.0).shape == (0, 2)
    assert kernels.ctf_values(cupy.zeros((0, 7)), geometry, "float64").shape == (0, 6, 4)


def test_a_result_can_be_written_where_the_caller_wants(cupy, rng):
    geometry = SliceGeometry(8, 8, 8, 8, 8, 1.0, 3.0, LINEAR)
    volume = cupy.asarray(noise(rng, (8, 8, 5), complex))
    views = Views(cupy.asarray(poses(rng, (3,))), cupy.asarray(noise(rng, (3, 2))))
    out = cupy.full((3, 8, 5), np.nan + 0j)
    kernels = cuda_host.host_kernels()
    assert kernels.gather(volume, views, 2.0, geometry, out=out) is out
    assert cupy.array_equal(out, kernels.gather(volume, views, 2.0, geometry))


# adjoints and gradients --------------------------------------------------------------------------


@st.composite
def cubes(draw):
    """Draw a cube and slices of any parity, with views of three images."""
    case = draw(kernel_cases(10))
    size, larger = draw(st.integers(2, 8)), draw(st.integers(0, 3))
    padded, rng = size + larger, np.random.default_rng(draw(seeds))
    geometry = SliceGeometry(
        padded, padded, padded, size, size, padded / size, (size - 1) // 2, case.geometry.taps
    )
    dtype = case.volume.dtype
    volume = np.fft.rfftn(noise(rng, (padded,) * 3), norm="ortho").astype(dtype)
    slices = noise(rng, (3, *geometry.slice_shape), dtype)
    return dataclasses.replace(case, geometry=geometry, volume=volume, slices=slices)


@settings(max_examples=50)
@given(case=cubes(), order=orders, deterministic=st.booleans())
def test_scatter_is_the_adjoint_of_gather(cupy, case, order, deterministic):
    kernels = cuda_host.host_kernels(order=order, deterministic=deterministic)
    on = case.on(cupy)
    check_adjoint(  # to 100 eps
        lambda volume: kernels.gather(volume, *on.pose),
        lambda slices: kernels.scatter(slices, *on.pose),
        on.volume,
        on.slices,
    )


@given(case=cubes(), order=orders)
def test_the_stencil_is_its_own_adjoint(cupy, case, order):
    kernels, on = cuda_host.host_kernels(order=order), case.on(cupy)
    geometry = on.geometry._replace(taps=LINEAR)
    total = kernels.new_gram(geometry, case.rotations.dtype)
    kernels.add_gram(total, on.pose[0], Filters(), geometry)
    stencil = kernels.stencil_of(total, geometry)
    gathered = kernels.scatter(on.slices, *on.pose)
    check_adjoint(
        lambda volume: kernels.apply_stencil(stencil, volume),
        lambda volume: kernels.apply_stencil(stencil, volume),
        on.volume,
        gathered,
    )


@pytest.mark.parametrize("taps", [LINEAR, CUBIC])
@pytest.mark.parametrize("size", [7, 8])
def test_gradients_of_the_misfit_are_right(cupy, taps, size, rng):
    geometry = SliceGeometry(size, size, size, size, size, 1.0, (size - 1) // 2, taps)
    half, kernels = geometry.slice_shape, cuda_host.host_kernels()
    volume = cupy.asarray(np.fft.rfftn(noise(rng, (size,) * 3), norm="ortho"))
    images, ctf = (
        cupy.asarray(noise(rng, (3, *half), complex)),
        cupy.asarray(noise(rng, (3, *half))),
    )
    rotations, shifts = cupy.asarray(poses(rng, (3,))), cupy.asarray(noise(rng, (3, 2)))
    weights, seen = cupy.asarray(abs(noise(rng, (1, *half)))), cupy.asarray(rng.uniform(1, 2, 3))

    def found(volume=volume, rotations=rotations, shifts=shifts, ctf=ctf):
        views, filters = Views(rotations, shifts, None, seen), Filters(ctf, weights)
        return kernels.misfit_gradients(volume, images, views, filters, 1.3, geometry)

    _, by_volume, by_rotation, by_shift, by_ctf = found()
    at = {"volume": volume, "rotations": rotations, "shifts": shifts, "ctf": ctf}
    pairs = cupy.asarray(np.where(np.arange(half[1]) == 0, 1.0, 2.0))
    gradients = by_volume, by_rotation, by_shift, pairs * by_ctf
    for (name, point), gradient in zip(at.items(), gradients, strict=True):

        def loss(value, name=name):
            losses = found(**{name: value})[0]
            return float((seen * losses).sum()) / 2

        direction = cupy.asarray(direction_of(name, point, geometry, rng))
        check_gradient(loss, gradient, point, direction, tolerance=1e-6)


def direction_of(name, point, geometry, rng):
    """Return a direction to go from a point: one that a real volume allows."""
    if name != "volume":
        return noise(rng, point.shape)
    return np.fft.rfftn(noise(rng, (geometry.nz, geometry.ny, geometry.nx)), norm="ortho")

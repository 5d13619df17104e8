"""The projector: exact adjoints, every gradient, the fused passes, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    REFINABLE,
    half_inner,
    interpolations,
    noise,
    poses,
    precisions,
    projector_cases,
    projectors,
    random_ctf,
    seeds,
)

from fslice import Projector, extract_slices, random_rotations, rfft2, rfft3
from fslice._arrays import array_namespace
from fslice.fourier import frequencies, inverse_transform, radii, transform
from fslice.geometry import (
    euler_to_matrix,
    euler_to_matrix_vjp,
    matrix_to_euler,
    rotvec_to_matrix,
    tangent_vjp,
)
from fslice.operators import shift_slices
from fslice.testing import check_adjoint, check_gradient


@given(case=projector_cases())
def test_backproject_is_the_adjoint_of_project(backend, case):
    case = case.on(backend)
    check_adjoint(
        lambda v: case.projector.project(v, *case.pose),
        lambda y: case.projector.backproject(y, *case.pose),
        case.volume,
        case.images,
    )


@given(case=projector_cases())
def test_backproject_ft_is_the_adjoint_of_project_ft(backend, case):
    case = case.on(backend)
    check_adjoint(
        lambda v: case.projector.project_ft(v, *case.pose),
        lambda y: case.projector.backproject_ft(y, *case.pose),
        case.volume_ft,
        case.images_ft,
        inner_x=half_inner(case.projector.padded_size),
        inner_y=half_inner(case.projector.size),
    )


@given(case=projector_cases())
def test_transform_has_an_adjoint_and_an_inverse(case):
    projector = case.projector
    inner_y = half_inner(projector.padded_size)
    check_adjoint(
        projector.transform, projector.transform_adjoint, case.volume, case.volume_ft,
        inner_y=inner_y,
    )  # fmt: skip
    again = projector.to_volume(projector.transform(case.volume))
    assert np.allclose(again, case.volume, rtol=0, atol=1e3 * np.finfo(case.volume.dtype).eps)


@given(case=projector_cases())
def test_back_projections_are_half_spectra_of_real_volumes(backend, case):
    case = case.on(backend)
    volume_ft = case.projector.backproject_ft(case.images_ft, *case.pose)
    dimension, box = case.volume.ndim, case.projector.padded_size
    own = transform(inverse_transform(volume_ft, dimension, box), dimension)
    assert np.allclose(volume_ft, own, rtol=0, atol=1e-5 * max(1, abs(volume_ft).max()))


@given(case=projector_cases(smooth=True))
def test_project_has_exact_gradients_in_all_its_inputs(backend, case):
    case = case.on(backend)
    projector, flat = case.projector, case.volume.ndim - 1
    found = projector.project_vjp(case.volume, *case.pose, cotangent=case.images)
    cotangent_ft = transform(case.images, flat)
    functions = {
        "volume": lambda v: projector.project(v, *case.pose),
        "rotations": lambda r: projector.project(case.volume, r, case.shifts, case.ctf),
        "shifts": lambda t: projector.project(case.volume, case.rotations, t, case.ctf),
    }
    for name, function in functions.items():
        check_one(name, function, found, case, lambda y: backend.vdot(y, case.images))
    volume_ft = projector.transform(case.volume)
    check_ctf(projector, volume_ft, cotangent_ft, found, case)


@given(case=projector_cases(smooth=True))
def test_project_ft_has_exact_gradients_in_all_its_inputs(backend, case):
    case = case.on(backend)
    projector = case.projector
    found = projector.project_ft_vjp(case.volume_ft, *case.pose, cotangent=case.images_ft)
    functions = {
        "rotations": lambda r: projector.project_ft(case.volume_ft, r, case.shifts, case.ctf),
        "shifts": lambda t: projector.project_ft(case.volume_ft, case.rotations, t, case.ctf),
    }
    product = half_inner(projector.size)
    for name, function in functions.items():
        check_one(name, function, found, case, lambda y: product(y, case.images_ft))
    check_ctf(projector, case.volume_ft, case.images_ft, found, case)
    grad_volume = projector.backproject_ft(case.images_ft, *case.pose)
    assert np.allclose(found.volume_ft, grad_volume, rtol=0, atol=1e-12 * abs(grad_volume).max())


def check_one(name, function, found, case, loss):
    """Check one gradient against differences; what was not an input has none."""
    point, gradient = getattr(case, name), getattr(found, name)
    if point is None:
        assert gradient is None
        return
    rng = np.random.default_rng(point.size)
    direction = noise(rng, point.shape, xp=array_namespace(point))
    check_gradient(lambda value: loss(function(value)), gradient, point, direction, step=1e-6)


def check_ctf(projector, volume_ft, cotangent_ft, found, case):
    """Check the gradient in the values of the CTF, whose inner product is that of half spectra."""
    if case.ctf is None:
        assert found.ctf is None
        return
    product = half_inner(projector.size)

    def loss(values):
        slices = projector.project_ft(volume_ft, case.rotations, case.shifts, values)
        return product(slices, cotangent_ft)

    rng = np.random.default_rng(case.ctf.size)
    direction = noise(rng, case.ctf.shape, xp=array_namespace(case.ctf))
    check_gradient(loss, found.ctf, case.ctf, direction, inner=product)


@given(case=projector_cases(smooth=True, dimension=3))
def test_gradients_chain_to_angles_and_rotation_vectors(case):
    projector, arguments = case.projector, (case.shifts, case.ctf)
    found = projector.project_vjp(case.volume, *case.pose, cotangent=case.images)

    def loss(rotations):
        return np.vdot(projector.project(case.volume, rotations, *arguments), case.images)

    angles = matrix_to_euler(case.rotations)
    direction = noise(np.random.default_rng(angles.size), angles.shape)
    by_angles = euler_to_matrix_vjp(angles, cotangent=found.rotations).angles
    check_gradient(lambda a: loss(euler_to_matrix(a)), by_angles, angles, direction)
    by_w = tangent_vjp(case.rotations, cotangent=found.rotations).tangent
    check_gradient(
        lambda w: loss(case.rotations @ rotvec_to_matrix(w)), by_w, 0 * angles, direction, step=1e-6
    )


@pytest.mark.parametrize("parameter", REFINABLE)
def test_gradients_chain_to_the_parameters_of_the_ctf(host_backend, parameter, rng):
    projector, ctf = Projector(6), random_ctf(rng, 3)
    rotations, shifts = poses(rng, (3,)), noise(rng, (3, 2))
    volume, images = noise(rng, (6, 6, 6)), noise(rng, (3, 6, 6))
    found = projector.project_vjp(volume, rotations, shifts, ctf, cotangent=images)
    point = getattr(ctf, parameter)
    check_gradient(
        lambda value: np.vdot(
            projector.project(volume, rotations, shifts, ctf.replace(**{parameter: value})), images
        ),
        getattr(ctf.vjp(6, cotangent=found.ctf), parameter),
        point,
        noise(rng, 3) * abs(point),
        step=1e-4 if parameter.startswith("defocus") else 1e-5,
    )


@given(case=projector_cases(dimension=3))
def test_a_projection_is_a_slice_times_the_ctf_shifted(backend, case):
    case = case.on(backend)
    projector = case.projector
    expected = extract_slices(
        case.volume_ft, case.rotations, projector.size,
        interpolation=projector.interpolation, max_radius=projector.max_radius,
    )  # fmt: skip
    expected *= projector.padded_size**1.5 / projector.size
    if case.ctf is not None:
        expected *= case.ctf
    if case.shifts is not None:
        expected = shift_slices(expected, case.shifts)
    found = projector.project_ft(case.volume_ft, *case.pose)
    tolerance = 100 * np.finfo(case.volume.dtype).eps * max(1, abs(expected).max())
    assert abs(found - expected).max() <= tolerance


@given(case=projector_cases())
def test_real_projections_are_the_transforms_of_those_of_half_spectra(backend, case):
    case = case.on(backend)
    projector, flat = case.projector, case.volume.ndim - 1
    images_ft = projector.project_ft(projector.transform(case.volume), *case.pose)
    expected = inverse_transform(images_ft, flat, projector.size)
    assert backend.array_equal(projector.project(case.volume, *case.pose), expected)


@given(case=projector_cases())
def test_results_are_in_the_precision_of_the_input_and_leave_it_alone(backend, case):
    case = case.on(backend)
    inputs = (case.volume, case.volume_ft, case.images, case.images_ft, *case.pose)
    before = [None if array is None else array.copy() for array in inputs]
    projector = case.projector
    found = projector.project_vjp(case.volume, *case.pose, cotangent=case.images)
    pairs = [
        (projector.project(case.volume, *case.pose), case.images),
        (projector.backproject(case.images, *case.pose), case.volume),
        (projector.project_ft(case.volume_ft, *case.pose), case.images_ft),
        (projector.backproject_ft(case.images_ft, *case.pose), case.volume_ft),
        (found.volume, case.volume),
        (found.rotations, case.rotations),
        (found.shifts, case.shifts),
        (found.ctf, case.ctf),
    ]
    for result, like in pairs:
        assert (result is None) == (like is None)
        assert like is None or (result.shape, result.dtype) == (like.shape, like.dtype)
    for old, new in zip(before, inputs, strict=True):
        assert old is None or backend.array_equal(old, new)


def band(projector, flat, xp=np):
    """Return which frequencies of images or lines take part."""
    limit = (projector.size - 1) // 2
    radius = limit if projector.max_radius is None else projector.max_radius
    inside = radii(projector.size, flat, xp) <= radius
    for k in frequencies(projector.size, flat, xp):
        inside = inside & (abs(k) <= limit)
    return inside


@given(case=projector_cases(), weighted=st.booleans())
def test_misfit_is_the_weighted_residual_and_its_gradient(backend, case, weighted):
    case = case.on(backend)
    projector, flat = case.projector, case.volume.ndim - 1
    rng = np.random.default_rng(case.images.size)
    inside = band(projector, flat, backend)
    weights = abs(noise(rng, inside.shape, case.volume.dtype, backend)) if weighted else 1.75
    chi_squared, grad_volume = projector.misfit(case.volume_ft, case.images_ft, *case.pose, weights)
    residual = (projector.project_ft(case.volume_ft, *case.pose) - case.images_ft) * inside
    tolerance = 1000 * np.finfo(case.volume.dtype).eps
    expected = projector.backproject_ft(residual * weights, *case.pose)
    assert grad_volume.dtype == case.volume_ft.dtype
    assert abs(grad_volume - expected).max() <= tolerance * max(1, abs(expected).max())
    product = half_inner(projector.size)
    assert chi_squared.shape == case.rotations.shape[:-2]
    for index in np.ndindex(chi_squared.shape):
        wanted = product(residual[index], residual[index] * weights)
        assert abs(chi_squared[index] - wanted) <= tolerance * max(1, wanted)


@given(case=projector_cases(), weighted=st.booleans())
def test_misfit_gradients_are_those_of_projecting_and_comparing(backend, case, weighted):
    case = case.on(backend)
    projector = case.projector
    shape = case.images_ft.shape[case.rotations.ndim - 2 :]
    weights = 1.75
    if weighted:
        rng = np.random.default_rng(case.images.size)
        weights = abs(noise(rng, shape, case.volume.dtype, backend))
    rotations, shifts, ctf = case.pose
    arguments = case.volume_ft, case.images_ft, rotations, shifts, ctf, weights
    chi_squared, found = projector.misfit_gradients(*arguments)
    residual = projector.project_ft(case.volume_ft, *case.pose) - case.images_ft
    residual *= band(projector, case.volume.ndim - 1, backend) * weights
    composed = projector.project_ft_vjp(case.volume_ft, *case.pose, cotangent=residual)
    tolerance = 1000 * np.finfo(case.volume.dtype).eps
    for name, value in composed._asdict().items():
        own = getattr(found, name)
        assert (own is None) == (value is None), name
        if value is not None:
            assert (own.shape, own.dtype) == (value.shape, value.dtype), name
            assert abs(own - value).max() <= tolerance * max(1, abs(value).max()), name
    assert np.allclose(chi_squared, projector.misfit(*arguments)[0], rtol=tolerance, atol=tolerance)


@given(seed=seeds, projector=projectors(), dimension=st.sampled_from([2, 3]), one=st.booleans())
def test_gram_diagonal_is_that_of_backproject_after_project(seed, projector, dimension, one):
    """Per frequency the mean over the cosine and the sine wave, each of norm 1."""
    rng = np.random.default_rng(seed)
    rotations = poses(rng, (2,), dimension)
    half = (2, *[projector.size] * (dimension - 2), projector.size // 2 + 1)
    ctf = None if one else noise(rng, half)
    found = projector.gram_diagonal(rotations, ctf)
    box, product = projector.padded_size, half_inner(projector.size)
    for index in [tuple(rng.integers(0, side) for side in found.shape) for _ in range(4)]:
        powers = []
        for phase in (1, 1j):
            wave = np.zeros(found.shape, complex)
            wave[index] = phase
            wave = transform(inverse_transform(wave, dimension, box), dimension)
            norm = half_inner(box)(wave, wave)
            if norm > 1e-12:  # a frequency that is its own mate has a cosine only
                slices = projector.project_ft(wave, rotations, None, ctf)
                powers.append(product(slices, slices) / norm)
        assert np.isclose(found[index], np.mean(powers), rtol=1e-12, atol=1e-13)


@given(seed=seeds, interpolation=interpolations, dimension=st.sampled_from([2, 3]))
def test_sampling_density_is_what_a_constant_comes_back_multiplied_by(
    seed, interpolation, dimension
):
    rng = np.random.default_rng(seed)
    projector = Projector(10, 1, interpolation, max_radius=2.0)  # no sample near the border
    rotations = poses(rng, (5,), dimension)
    ctf = noise(rng, (5, *[10] * (dimension - 2), 6))
    density = projector.sampling_density(rotations, ctf)
    constant = np.ones(density.shape, complex)
    slices = projector.project_ft(constant, rotations, None, ctf)
    back = projector.backproject_ft(slices, rotations, None, ctf)
    assert np.allclose(back, density, rtol=0, atol=1e-12 * density.max())


@given(seed=seeds, dtype=precisions)
def test_one_ctf_serves_all_images(seed, dtype):
    rng = np.random.default_rng(seed)
    projector, ctf = Projector(6), random_ctf(rng, 1)
    volume, rotations = noise(rng, (6, 6, 6), dtype), poses(rng, (2, 2)).astype(dtype)
    found = projector.project(volume, rotations, None, ctf)
    assert np.array_equal(found, projector.project(volume, rotations, None, ctf[[0] * 4]))
    images = noise(rng, (2, 2, 6, 6), dtype)
    back = projector.backproject(images, rotations, None, ctf)
    assert np.array_equal(back, projector.backproject(images, rotations, None, ctf[[0] * 4]))


@given(seed=seeds, dtype=precisions)
def test_a_ctf_is_as_good_as_its_values(host_backend, seed, dtype):
    rng = np.random.default_rng(seed)
    projector, ctf, rotations = Projector(6), random_ctf(rng, 3), poses(rng, (3,)).astype(dtype)
    volume_ft = rfft3(noise(rng, (6, 6, 6), dtype))
    images_ft = rfft2(noise(rng, (3, 6, 6), dtype))
    calls = [
        lambda ctf: projector.project_ft(volume_ft, rotations, None, ctf),
        lambda ctf: projector.backproject_ft(images_ft, rotations, None, ctf),
        lambda ctf: projector.gram(volume_ft, rotations, ctf),
        lambda ctf: projector.gram_diagonal(rotations, ctf),
        lambda ctf: projector.sampling_density(rotations, ctf),
        lambda ctf: projector.misfit(volume_ft, images_ft, rotations, None, ctf).volume_ft,
    ]
    for call in calls:
        found, expected = call(ctf), call(ctf.evaluate(6, dtype))
        tolerance = 100 * np.finfo(dtype).eps * abs(expected).max()
        assert abs(found - expected).max() <= tolerance


# against direct sums -----------------------------------------------------------------------------


def direct_projections(volume, rotations, max_radius):
    """Return half spectra of exact projections: one Fourier sum over all voxels per frequency."""
    size = volume.shape[0]
    grid = np.indices(volume.shape)[::-1].reshape(3, -1) - size // 2  # x, y, z of every voxel
    kx, ky = frequencies(size, 2)
    k = np.stack(np.broadcast_arrays(kx, ky, 0.0), -1)
    phases = np.einsum("nij,rcj,iv->nrcv", rotations, k, grid, optimize=True)
    spectra = np.exp(-2j * np.pi / size * phases) @ volume.ravel() / size
    return spectra * band(Projector(size, max_radius=max_radius), 2)


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize(("interpolation", "order"), [("linear", 2), ("cubic", 4)])
def test_the_error_falls_with_oversampling_by_the_order_of_the_kernel(
    host_backend, interpolation, order, size, rng
):
    volume, rotations = noise(rng, (size,) * 3), random_rotations(4, rng)
    exact = direct_projections(volume, rotations, None)
    errors = []
    for oversampling in (4, 8, 16):
        projector = Projector(size, oversampling, interpolation)
        found = projector.project_ft(projector.transform(volume), rotations)
        errors.append(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(rates > order - 0.3), (errors, rates)


def test_without_rotation_the_plain_projection_needs_only_the_deconvolution(host_backend, rng):
    """At grid points linear interpolation is exact, so what is left is the division by sinc^2."""
    volume = noise(rng, (6, 6, 6))
    projector = Projector(6)
    corrected = volume.copy()
    for axis in range(3):
        x = ((np.arange(6) - 3) / 6).reshape((-1,) + (1,) * axis)
        corrected /= np.sinc(x) ** 2
    expected = rfft2(corrected.sum(0)) * band(projector, 2)
    found = rfft2(projector.project(volume, np.eye(3)))
    assert np.allclose(found, expected, rtol=0, atol=1e-12)

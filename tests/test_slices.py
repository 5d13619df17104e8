"""Slices of half spectra: exact adjoints, exact gradients, and what they are at grid points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    cube_rotations,
    inside_cells,
    noise,
    poses_inside_cells,
    seeds,
    slice_cases,
)

from fslice import extract_slices, insert_slices, random_rotations, rfft2, rfft3
from fslice.fourier import hermitian_part, inner_product, radii
from fslice.geometry import (
    euler_to_matrix,
    euler_to_matrix_vjp,
    matrix_to_euler,
    quaternion_to_matrix,
    quaternion_to_matrix_vjp,
    rotvec_to_matrix,
    tangent_vjp,
)
from fslice.operators import extract_slices_vjp
from fslice.testing import check_adjoint, check_gradient


@given(case=slice_cases())
def test_insert_slices_is_the_adjoint_of_extract_slices(backend, case):
    case = case.on(backend)
    check_adjoint(
        lambda v: extract_slices(v, case.rotations, case.size, **case.options),
        lambda s: insert_slices(s, case.rotations, case.box, **case.options),
        case.volume_ft,
        case.slices,
    )


@given(case=slice_cases())
def test_inserted_slices_are_the_half_spectrum_of_a_real_volume(backend, case):
    case = case.on(backend)
    volume_ft = insert_slices(case.slices, case.rotations, case.box, **case.options)
    assert np.allclose(hermitian_part(volume_ft, 3), volume_ft, rtol=0, atol=1e-6)


@given(case=slice_cases(smooth=True))
def test_slices_have_exact_gradients_in_volume_and_rotation(backend, case):
    case = case.on(backend)
    grad_volume, grad_rotations = gradients(case)
    rng = np.random.default_rng(case.slices.size)
    check_gradient(
        lambda v: inner_product(
            extract_slices(v, case.rotations, case.size, **case.options), case.slices
        ),
        grad_volume,
        case.volume_ft,
        rfft3(noise(rng, (case.box,) * 3, xp=backend)),
    )
    check_gradient(
        lambda r: loss(case, r),
        grad_rotations,
        case.rotations,
        noise(rng, case.rotations.shape, xp=backend),
        step=1e-6,
    )


def loss(case, rotations):
    slices = extract_slices(case.volume_ft, rotations, case.size, **case.options)
    return inner_product(slices, case.slices)


def gradients(case):
    return extract_slices_vjp(case.volume_ft, case.rotations, **case.options, cotangent=case.slices)


@given(case=slice_cases(smooth=True))
def test_gradients_in_angles_and_rotation_vectors_are_exact(case):
    _, grad_rotations = gradients(case)
    rng = np.random.default_rng(case.slices.size)
    angles = matrix_to_euler(case.rotations)
    direction = noise(rng, angles.shape)
    by_angles = euler_to_matrix_vjp(angles, cotangent=grad_rotations).angles
    check_gradient(lambda a: loss(case, euler_to_matrix(a)), by_angles, angles, direction)

    w = np.zeros_like(angles)
    by_w = tangent_vjp(case.rotations, cotangent=grad_rotations).tangent
    check_gradient(
        lambda w: loss(case, case.rotations @ rotvec_to_matrix(w)), by_w, w, direction, step=1e-6
    )


@given(seed=seeds)
def test_gradients_in_quaternions_of_any_length_are_exact(seed):
    rng = np.random.default_rng(seed)
    while True:
        quaternions = noise(rng, (2, 4))
        if inside_cells(quaternion_to_matrix(quaternions), 5, 1):
            break
    volume_ft, slices = rfft3(noise(rng, (5, 5, 5))), rfft2(noise(rng, (2, 5, 5)))
    _, grad_rotations = extract_slices_vjp(
        volume_ft, quaternion_to_matrix(quaternions), cotangent=slices
    )
    check_gradient(
        lambda q: inner_product(extract_slices(volume_ft, quaternion_to_matrix(q)), slices),
        quaternion_to_matrix_vjp(quaternions, cotangent=grad_rotations).quaternions,
        quaternions,
        noise(rng, (2, 4)),
        step=1e-6,
    )


@given(seed=seeds)
def test_cubic_slices_have_gradients_on_the_faces_of_cells_too(host_backend, seed):
    rng = np.random.default_rng(seed)
    rotations = cube_rotations()  # every sample is a grid point
    volume_ft = rfft3(noise(rng, (7, 7, 7)))
    slices = rfft2(noise(rng, (24, 7, 7)))
    _, grad_rotations = extract_slices_vjp(
        volume_ft, rotations, interpolation="cubic", cotangent=slices
    )
    check_gradient(
        lambda r: inner_product(extract_slices(volume_ft, r, interpolation="cubic"), slices),
        grad_rotations,
        rotations,
        noise(rng, rotations.shape),
        step=1e-6,
        tolerance=2e-6,  # the third derivative jumps there
    )


@given(seed=seeds, size=st.integers(1, 9))
def test_the_slice_at_the_identity_is_the_transform_of_the_sum_over_z(host_backend, seed, size):
    volume = noise(np.random.default_rng(seed), (size,) * 3)
    found = extract_slices(rfft3(volume), np.eye(3), max_radius=size)
    expected = rfft2(volume.sum(0)) / np.sqrt(size)
    used = (size - 1) // 2  # all but the Nyquist row and column
    k = np.fft.fftfreq(size) * size
    inside = (abs(k)[:, None] <= used) & (np.arange(size // 2 + 1) <= used)
    assert np.allclose(found, np.where(inside, expected, 0), rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [7, 8])
def test_slices_turned_by_right_angles_are_planes_of_the_volume(host_backend, size, rng):
    volume = noise(rng, (size,) * 3)
    found = extract_slices(rfft3(volume), cube_rotations())
    centred = np.arange(size) - size // 2
    for rotation, half in zip(cube_rotations(), found, strict=True):
        x, y = rotation[:, 0], rotation[:, 1]
        z, y_grid, x_grid = np.meshgrid(centred, centred, centred, indexing="ij")
        points = np.stack([x_grid, y_grid, z])
        u, v = np.tensordot(x, points, 1), np.tensordot(y, points, 1)
        for row in range(size):
            ky = row if row <= (size - 1) // 2 else row - size
            for kx in range(size // 2 + 1):
                wave = np.exp(-2j * np.pi / size * (kx * u + ky * v))
                inside = kx**2 + ky**2 <= ((size - 1) // 2) ** 2
                expected = (volume * wave).sum() / size**1.5 if inside else 0
                assert abs(half[row, kx] - expected) < 1e-12


@given(seed=seeds, size=st.integers(2, 8))
def test_samples_beyond_the_radius_are_zero_and_unread(host_backend, seed, size):
    rng = np.random.default_rng(seed)
    radius = rng.uniform(0, size)
    rotations = random_rotations(3, rng)
    slices = extract_slices(rfft3(noise(rng, (size,) * 3)), rotations, max_radius=radius)
    beyond = radii(size, 2) > radius
    assert np.all(slices[:, beyond] == 0)
    inserted = insert_slices(np.where(beyond, 1e6, 0j * slices), rotations, max_radius=radius)
    assert np.all(inserted == 0)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_nyquist_of_an_even_box_is_neither_read_nor_written(host_backend, interpolation, rng):
    rotations = random_rotations(5, rng)
    options = {"interpolation": interpolation, "max_radius": 6.0}
    volume_ft = rfft3(noise(rng, (6, 6, 6)))
    slices = extract_slices(volume_ft, rotations, **options)
    assert np.all(slices[:, 3] == 0)
    assert np.all(slices[:, :, 3] == 0)
    inserted = insert_slices(noise(rng, slices.shape, complex), rotations, **options)
    for axis in range(3):
        assert np.all(inserted.take(3, axis) == 0)
    volume_ft[3], volume_ft[:, 3], volume_ft[:, :, 3] = np.nan, np.nan, np.nan
    # zero weights times NaN would be NaN: the planes are not touched with any weight
    assert np.array_equal(extract_slices(volume_ft, rotations, **options), slices)


@given(case=slice_cases())
def test_results_are_in_the_precision_of_the_input_and_leave_it_alone(backend, case):
    case = case.on(backend)
    before = [array.copy() for array in (case.volume_ft, case.rotations, case.slices)]
    extracted = extract_slices(case.volume_ft, case.rotations, case.size, **case.options)
    inserted = insert_slices(case.slices, case.rotations, case.box, **case.options)
    grad_volume, grad_rotations = gradients(case)
    assert extracted.dtype == inserted.dtype == grad_volume.dtype == case.volume_ft.dtype
    assert grad_rotations.dtype == case.rotations.dtype
    assert extracted.shape == case.slices.shape
    assert inserted.shape == grad_volume.shape == case.volume_ft.shape
    assert grad_rotations.shape == case.rotations.shape
    for old, new in zip(before, (case.volume_ft, case.rotations, case.slices), strict=True):
        assert backend.array_equal(old, new)


@given(case=slice_cases())
def test_an_image_of_a_batch_is_treated_as_if_it_were_alone(backend, case):
    case = case.on(backend)
    together = extract_slices(case.volume_ft, case.rotations, case.size, **case.options)
    for index in np.ndindex(case.rotations.shape[:-2]):
        alone = extract_slices(case.volume_ft, case.rotations[index], case.size, **case.options)
        assert backend.array_equal(together[index], alone)


@pytest.fixture
def given_inputs(rng):
    return {
        "volume_ft": rfft3(noise(rng, (6, 6, 6))),
        "rotations": random_rotations(3, rng),
        "slices": noise(rng, (3, 6, 4), complex),
    }


def call_all(volume_ft, rotations, slices, **options):
    """Call the three functions and return what each of them raised."""
    messages = []
    for function in (
        lambda: extract_slices(volume_ft, rotations, **options),
        lambda: insert_slices(slices, rotations, **options),
        lambda: extract_slices_vjp(volume_ft, rotations, **options, cotangent=slices),
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            function()
        messages.append(f"{caught.type.__name__}: {caught.value}")
    return messages


BAD_ROTATIONS = {
    "a list": (
        lambda r: r.tolist(),
        "TypeError: rotations: expected a NumPy or CuPy array, got list",
    ),
    "integers": (
        lambda r: np.eye(3, dtype=int),
        "TypeError: rotations: expected dtype float32 or float64, got int64",
    ),
    "vectors": (
        lambda r: r[0, 0],
        "ValueError: rotations: expected shape (..., 3, 3), got (3,)",
    ),
    "two dimensions": (
        lambda r: np.eye(2),
        "ValueError: rotations: expected shape (..., 3, 3), got (2, 2)",
    ),
    "no images": (
        lambda r: r[:0],
        "ValueError: rotations: expected at least one element, got shape (0, 3, 3)",
    ),
    "NaN": (
        lambda r: np.where(r == r[1, 0, 2], np.nan, r),
        "ValueError: rotations: 1 of 27 values are NaN or infinite, the first at index (1, 0, 2)",
    ),
    "stretched": (
        lambda r: r * np.array([1, 1.01, 1])[:, None, None],
        "ValueError: rotations: expected orthonormal matrices within 0.001, got one off by 0.0201 "
        "at index (1,)",
    ),
    "a reflection": (
        lambda r: r * np.array([1, 1, -1])[:, None, None],
        "ValueError: rotations: expected determinant +1, got -1 (a reflection) at index (2,)",
    ),
}


@pytest.mark.parametrize("fault", list(BAD_ROTATIONS))
def test_what_is_no_rotation_is_refused_by_name(given_inputs, fault):
    change, message = BAD_ROTATIONS[fault]
    given_inputs["rotations"] = change(given_inputs["rotations"])
    assert call_all(**given_inputs) == [message] * 3


def test_mixed_precisions_are_refused_with_their_names(given_inputs):
    given_inputs["rotations"] = given_inputs["rotations"].astype("float32")
    assert call_all(**given_inputs) == [
        f"TypeError: precisions differ: {name} is complex128, rotations is float32"
        for name in ("volume_ft", "slices", "volume_ft")
    ]
    given_inputs["rotations"] = given_inputs["rotations"].astype("float64")
    given_inputs["slices"] = given_inputs["slices"].astype("complex64")
    with pytest.raises(TypeError, match="volume_ft is complex128, cotangent is complex64"):
        extract_slices_vjp(
            given_inputs["volume_ft"], given_inputs["rotations"], cotangent=given_inputs["slices"]
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"interpolation": "nearest"},
            "interpolation: expected 'linear' or 'cubic', got 'nearest'",
        ),
        ({"max_radius": -1.0}, "max_radius: expected a finite number of at least 0, got -1.0"),
        ({"max_radius": np.nan}, "max_radius: expected a finite number of at least 0, got nan"),
        ({"max_radius": np.inf}, "max_radius: expected a finite number of at least 0, got inf"),
        ({"max_radius": "3"}, "max_radius: expected a number, got '3'"),
    ],
)
def test_options_out_of_range_are_refused(given_inputs, options, message):
    kind = "TypeError" if "a number" in message else "ValueError"
    assert call_all(**given_inputs, **options) == [f"{kind}: {message}"] * 3


def test_half_spectra_of_a_wrong_shape_or_dtype_are_refused(given_inputs):
    volume_ft, rotations, slices = given_inputs.values()
    for wrong, message in [
        (volume_ft.real, "volume_ft: expected dtype complex64 or complex128, got float64"),
        (volume_ft[0], r"volume_ft: expected shape \(M, M, M//2 \+ 1\), got \(6, 4\)"),
        (volume_ft[:5], r"volume_ft: expected shape \(5, 5, 3\), got \(5, 6, 4\)"),
        (volume_ft[..., :3], r"volume_ft: expected shape \(6, 6, 4\), got \(6, 6, 3\)"),
        ([1.0], "volume_ft: expected a NumPy or CuPy array, got list"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            extract_slices(wrong, rotations)
    for wrong, message in [
        (slices.real, "slices: expected dtype complex64 or complex128, got float64"),
        (slices[:2], r"slices: expected shape \(3, D, D//2 \+ 1\), got \(2, 6, 4\)"),
        (slices[..., :3], r"slices: expected shape \(3, 6, 4\), got \(3, 6, 3\)"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            insert_slices(wrong, rotations)
        with pytest.raises((ValueError, TypeError), match=message.replace("slices", "cotangent")):
            extract_slices_vjp(volume_ft, rotations, cotangent=wrong)


def test_slices_cannot_be_larger_than_the_volume(given_inputs):
    volume_ft, rotations, slices = given_inputs.values()
    with pytest.raises(ValueError, match="size: expected at most the volume's box 6, got 8"):
        extract_slices(volume_ft, rotations, 8)
    with pytest.raises(ValueError, match="size: expected at most the volume's box 4, got 6"):
        insert_slices(slices, rotations, 4)
    with pytest.raises(TypeError, match=r"size: expected an integer, got 6\.0"):
        extract_slices(volume_ft, rotations, 6.0)
    with pytest.raises(ValueError, match="size: expected at least 1, got 0"):
        extract_slices(volume_ft, rotations, 0)


def test_gradients_do_not_depend_on_the_beam(rng):
    rotations = poses_inside_cells(rng, (4,), 6, 1)
    volume_ft = rfft3(noise(rng, (6, 6, 6)))
    _, grad_rotations = extract_slices_vjp(
        volume_ft, rotations, cotangent=noise(rng, (4, 6, 4), complex)
    )
    assert np.all(grad_rotations[..., 2] == 0)
    assert np.all(grad_rotations[..., :2] != 0)

"""The conventions, one by one, each by the equation that states it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from strategies import cube_rotations, noise, poses, seeds

from fslice import Projector, extract_slices, irfft2, random_rotations, rfft2, rfft3
from fslice.fourier import inner_product
from fslice.geometry import euler_to_matrix, rotvec_to_matrix
from fslice.operators import shift_slices
from fslice.simulation.gaussians import GaussianModel

sizes = st.sampled_from([8, 9])  # both parities
both_parities = pytest.mark.parametrize("size", [8, 9])


def voxel(size, x, y, z):
    """Return a volume of one voxel of value 1 at (x, y, z) from the origin."""
    volume = np.zeros((size,) * 3)
    volume[size // 2 + z, size // 2 + y, size // 2 + x] = 1
    return volume


def blob(size, position):
    """Return a smooth blob about a position in voxels, (x, y, z), of sum 1."""
    return GaussianModel([position], [1.0], [1.5]).volume(size, 1.0)


def centre_of_mass(image):
    """Return (x, y) in pixels from the origin."""
    centred = np.arange(len(image)) - len(image) // 2
    return np.array([(image * centred).sum(), (image * centred[:, None]).sum()]) / image.sum()


@both_parities
def test_volumes_are_z_y_x_and_images_y_x(size):
    """Seen along z without rotation, the voxel at (x, y, z) is the pixel at (x, y)."""
    images = Projector(size, 2, "cubic", max_radius=size).project(voxel(size, 2, -1, 1), np.eye(3))
    assert np.unravel_index(images.argmax(), images.shape) == (size // 2 - 1, size // 2 + 2)


@both_parities
def test_the_origin_is_pixel_half_the_box_whatever_the_rotation(size, rng):
    images = Projector(size, 2).project(voxel(size, 0, 0, 0), random_rotations(20, rng))
    brightest = images.reshape(20, -1).argmax(1)
    assert np.all(brightest == size // 2 * size + size // 2)
    slices = extract_slices(rfft3(voxel(size, 0, 0, 0)), random_rotations(20, rng))
    assert np.allclose(slices[:, 0, :3], size**-1.5)  # flat, no phase


@both_parities
def test_half_spectra_are_centred_unitary_and_begin_with_zero_frequency(size, rng):
    volume = noise(rng, (size,) * 3)
    full = np.fft.fftn(np.fft.ifftshift(volume), norm="ortho")
    half = rfft3(volume)
    assert half.shape == (size, size, size // 2 + 1)
    assert np.allclose(half, full[..., : size // 2 + 1])
    assert np.isclose(half[0, 0, 0], volume.sum() / size**1.5)


@given(seed=seeds, size=st.integers(1, 9))
def test_the_inner_product_is_that_of_real_space(seed, size):
    a, b = noise(np.random.default_rng(seed), (2, size, size))
    assert np.isclose(
        inner_product(rfft2(a), rfft2(b)), np.vdot(a, b), rtol=0, atol=1e-12 * size**2
    )


@pytest.mark.parametrize("size", [24, 25])
def test_a_rotation_takes_image_coordinates_to_volume_coordinates(size, rng):
    """``image(x, y) = sum_z v(R @ (x, y, z))``: what is at p is seen at ``R.T @ p``."""
    position = np.array([2.0, -3.0, 4.0])
    rotations = random_rotations(6, rng)
    images = Projector(size, 2, "cubic").project(blob(size, position), rotations)
    found = np.array([centre_of_mass(image) for image in images])
    assert np.allclose(found, (position @ rotations)[:, :2], rtol=0, atol=5e-3)


def test_columns_are_the_axes_of_the_image_and_the_beam(rng):
    """What lies along column 0 or 1 is on that axis of the image; along column 2, at its origin."""
    (rotation,) = random_rotations(1, rng)
    expected = [(5.0, 0.0), (0.0, 5.0), (0.0, 0.0)]
    for column, seen in zip(rotation.T, expected, strict=True):
        image = Projector(24, 2, "cubic").project(blob(24, 5 * column), rotation)
        assert np.allclose(centre_of_mass(image), seen, rtol=0, atol=5e-3)


@pytest.mark.parametrize("size", [7, 9])
def test_projections_turned_by_right_angles_are_sums_along_turned_axes(size, rng):
    """``image(x, y) = sum_z v(R @ (x, y, z))`` voxel by voxel, without interpolation."""
    volume = noise(rng, (size,) * 3)
    slices = extract_slices(rfft3(volume), cube_rotations(), max_radius=size)
    images = irfft2(slices) * np.sqrt(size)
    z, y, x = np.indices(volume.shape).reshape(3, -1) - size // 2
    for rotation, image in zip(cube_rotations().astype(int), images, strict=True):
        vx, vy, vz = rotation @ np.stack([x, y, z]) + size // 2
        turned = volume[vz, vy, vx].reshape(volume.shape)
        assert np.allclose(image, turned.sum(0), rtol=0, atol=1e-12)


@given(seed=seeds, size=sizes)
def test_a_slice_is_read_at_the_rotated_frequency(seed, size):
    """Linear along each axis, so a spectrum that is linear in k is read without error."""
    rng = np.random.default_rng(seed)
    rotation, gradient = poses(rng, ()), rng.normal(size=3)
    half, full = np.arange(size // 2 + 1), np.rint(np.fft.fftfreq(size) * size)
    kz, ky, kx = np.meshgrid(full, full, half, indexing="ij")
    volume_ft = 1j * (gradient[0] * kx + gradient[1] * ky + gradient[2] * kz)  # odd: Hermitian
    limit = 2.0  # no sample near the border
    found = extract_slices(volume_ft, rotation, max_radius=limit)
    ky, kx = np.meshgrid(full, half, indexing="ij")
    k3 = np.stack([kx, ky, 0 * kx], -1) @ rotation.T
    expected = 1j * (k3 @ gradient) * (kx**2 + ky**2 <= limit**2)
    assert np.allclose(found, expected, rtol=0, atol=1e-12)


@given(seed=seeds)
def test_euler_angles_are_zyz_in_degrees_as_scipys(seed):
    angles = np.random.default_rng(seed).uniform(-360, 360, (5, 3))
    scipys = Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix()
    assert np.allclose(euler_to_matrix(angles), scipys, rtol=0, atol=1e-14)


def test_relions_matrix_of_euler_angles_is_the_transpose(rng):
    """RELION's ``Euler_angles2matrix``, from its definition by rot (a), tilt (b) and psi (g)."""
    angles = rng.uniform(-180, 180, (5, 3))
    (ca, cb, cg), (sa, sb, sg) = np.cos(np.deg2rad(angles)).T, np.sin(np.deg2rad(angles)).T
    rows = [
        [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
        [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
        [sb * ca, sb * sa, cb],
    ]
    relions = np.moveaxis(np.array(rows), -1, 0)
    assert np.allclose(euler_to_matrix(angles), relions.swapaxes(-1, -2), rtol=0, atol=1e-14)


def test_a_rotation_vector_is_the_matrix_exponential(rng):
    """``R = exp([w]x)``, as cryoSPARC's poses: right-handed, about w, by its length in radians."""
    quarter = rotvec_to_matrix(np.array([0, 0, np.pi / 2]))
    assert np.allclose(quarter @ [1, 0, 0], [0, 1, 0])
    w = rng.normal(size=(5, 3))
    scipys = Rotation.from_rotvec(w).as_matrix()
    assert np.allclose(rotvec_to_matrix(w), scipys, rtol=0, atol=1e-14)


@pytest.mark.parametrize("size", [24, 25])
def test_a_shift_says_where_the_particle_sits(size, rng):
    """``t = (x, y)`` in pixels; the phase is ``exp(-2 pi i (kx tx + ky ty) / D)``."""
    rotation, shift = poses(rng, ()), np.array([3.5, -2.25])
    image = Projector(size, 2, "cubic").project(blob(size, [0, 0, 0]), rotation, shift)
    assert np.allclose(centre_of_mass(image), shift, rtol=0, atol=5e-3)
    one = np.ones((size, size // 2 + 1), complex)
    phase = shift_slices(one, shift)
    assert np.isclose(phase[0, 1], np.exp(-2j * np.pi * 3.5 / size))
    assert np.isclose(phase[1, 0], np.exp(2j * np.pi * 2.25 / size))


@given(seed=seeds, size=sizes)
def test_a_projection_is_the_plain_sum_and_sqrt_d_times_the_slice(seed, size):
    rng = np.random.default_rng(seed)
    volume, rotations = noise(rng, (size,) * 3), poses(rng, (3,))
    projector = Projector(size)
    images_ft = projector.project_ft(rfft3(volume), rotations)
    slices = extract_slices(rfft3(volume), rotations)
    assert np.allclose(images_ft, np.sqrt(size) * slices, rtol=0, atol=1e-12)
    assert np.allclose(images_ft[:, 0, 0] * size, volume.sum())  # every image has the same sum


@pytest.mark.parametrize("oversampling", [1, 2, 4])
@pytest.mark.parametrize(("interpolation", "error"), [("linear", 0.03), ("cubic", 0.001)])
def test_the_scale_does_not_depend_on_oversampling_or_kernel(
    oversampling, interpolation, error, rng
):
    model, rotations = GaussianModel([[1.0, 2.0, 1.0]], [1.0], [1.5]), random_rotations(5, rng)
    projector = Projector(24, oversampling, interpolation)
    images = projector.project(model.volume(24, 1.0), rotations)
    exact = model.project(rotations, 24, 1.0)
    scale = (images * exact).sum((1, 2)) / (exact**2).sum((1, 2))
    assert abs(scale - 1).max() <= error / oversampling


@both_parities
def test_the_default_radius_leaves_nyquist_out(size, rng):
    slices = extract_slices(rfft3(noise(rng, (size,) * 3)), poses(rng, ()))
    ky, kx = np.nonzero(slices)
    ky = np.where(ky > size // 2, ky - size, ky)
    assert np.sqrt(kx**2 + ky**2).max() == (size - 1) // 2


def test_two_dimensions_follow_the_same_equations(rng):
    """``line(x) = sum_y image(R @ (x, y))``, shifted to where t says."""
    image = np.zeros((24, 24))
    image[12 + 4, 12 - 3] = 1  # at (x, y) = (-3, 4)
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    for rotation in (np.eye(2), quarter):
        line = Projector(24, 2, "cubic", max_radius=24).project(image, rotation, np.array([2.0]))
        assert line.argmax() - 12 == ([-3, 4] @ rotation)[0] + 2
        assert np.isclose(line.sum(), 1, atol=1e-3)

"""Optics groups of different pixel size and box, brought to one grid when images are read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from relion_files import OPTICS, PARTICLES, changed, write_tables

import fslice
from fslice.cli import main
from fslice.fourier import irfft2, rfft2
from fslice.io import StackWriter, read_particles, write_particles
from fslice.io._resample import common_grid, resampling_matrix

SIZE, PIXEL, FINE_SIZE, FINE = 24, 3.0, 36, 2.0
N = 40


def write_stack(path, images, pixel_size):
    with StackWriter(path, *images.shape[:2], pixel_size) as writer:
        writer.write(images.astype("f4"))


def blob(size, pixel_size, centre=(4.0, -3.0), width=7.0):
    """Return samples of a Gaussian that fits every box here and has no fine detail."""
    x = pixel_size * (np.arange(size) - size // 2)
    line = [np.exp(-(((x - c) / width) ** 2) / 2) for c in centre]
    return line[1][:, None] * line[0]


def cropped(images, size):
    """Return images without their frequencies beyond a smaller box, a unitary Fourier crop."""
    images_ft = rfft2(images)
    rows = np.r_[: (size + 1) // 2, -(size // 2) : 0]
    return irfft2(images_ft[:, rows, : size // 2 + 1])


@given(
    box=st.integers(30, 61),
    pixel=st.floats(1.3, 2.9),
    size=st.integers(20, 27),
)
def test_a_smooth_image_is_resampled_to_what_it_is_there(box, pixel, size):
    """Values grow as the pixel does, so that white noise keeps its variance."""
    matrix = resampling_matrix(size, 3.0, box, pixel)
    found = matrix @ blob(box, pixel, (2.0, -1.5), 5.0) @ matrix.T
    expected = 3.0 / pixel * blob(size, 3.0, (2.0, -1.5), 5.0)
    if box * pixel >= size * 3.0:
        np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize(("size", "box", "pixel"), [(24, 36, 2.0), (23, 46, 1.5), (24, 64, 1.5)])
def test_white_noise_stays_white_and_as_strong(size, box, pixel):
    """Up to the last frequency of an even box, which no slice has."""
    matrix = resampling_matrix(size, 3.0, box, pixel)
    signs = (-1.0) ** np.arange(size) / np.sqrt(size)
    band = np.eye(size) - (np.outer(signs, signs) if size % 2 == 0 else 0)
    np.testing.assert_allclose(band @ matrix @ matrix.T @ band, band, atol=1e-12)


def test_where_pixels_do_not_fit_together_only_the_edge_has_other_noise():
    covariance = resampling_matrix(24, 3.0, 64, 1.37) @ resampling_matrix(24, 3.0, 64, 1.37).T
    np.testing.assert_allclose(np.diag(covariance)[1:], 1, atol=0.05)
    assert abs(covariance - np.diag(np.diag(covariance))).max() < 0.05


def test_the_grid_is_the_coarsest_and_the_narrowest():
    assert common_grid(np.array([24, 36]), np.array([3.0, 2.0])) == (24, 3.0)
    assert common_grid(np.array([24, 30]), np.array([3.0, 2.0])) == (20, 3.0)
    assert common_grid(np.array([23, 90]), np.array([3.0, 2.0])) == (23, 3.0)
    assert common_grid(np.array([24, 31]), np.array([3.0, 2.0])) == (20, 3.0)  # 62 Angstrom


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Write one data set twice: all images coarse, and half of them with finer pixels."""
    folder = tmp_path_factory.mktemp("groups")
    data = fslice.simulate(
        fslice.phantom(FINE_SIZE, FINE), N, FINE_SIZE, FINE, snr=1.0, shift_std=1.0, seed=5
    )
    images = data.images()
    write_stack(folder / "fine.mrcs", images[N // 2 :], FINE)
    write_stack(folder / "coarse.mrcs", cropped(images, SIZE), PIXEL)
    angles = np.array(fslice.geometry.matrix_to_euler(data.rotations))
    names = [f"{i + 1}@coarse.mrcs" for i in range(N)]
    table = {
        "rlnImageName": names,
        "rlnOpticsGroup": [1] * N,
        "rlnAngleRot": angles[:, 0],
        "rlnAngleTilt": angles[:, 1],
        "rlnAnglePsi": angles[:, 2],
        "rlnOriginXAngst": -FINE * data.shifts[:, 0],
        "rlnOriginYAngst": -FINE * data.shifts[:, 1],
        "rlnRandomSubset": [1, 2] * (N // 2),
    }
    optics = changed(OPTICS, rlnImagePixelSize=[PIXEL, FINE], rlnImageSize=[SIZE, FINE_SIZE])
    write_tables(folder / "coarse.star", optics=optics, particles=table)
    table["rlnImageName"] = names[: N // 2] + [f"{i + 1}@fine.mrcs" for i in range(N // 2)]
    table["rlnOpticsGroup"] = [1] * (N // 2) + [2] * (N // 2)
    write_tables(folder / "both.star", optics=optics, particles=table)
    return folder


def test_two_groups_of_one_object_are_one_data_set(project):
    expected = read_particles(project / "coarse.star")
    with pytest.warns(UserWarning, match="are resampled to 24 pixels of 3 Angstrom"):
        found = read_particles(project / "both.star", optics_group="all")
    assert (found.pixel_size, found.size, len(found)) == (PIXEL, SIZE, N)
    assert found.notes == (
        "images of 24 to 36 pixels of 2 to 3 Angstrom are resampled to 24 pixels of 3 Angstrom",
    )
    np.testing.assert_allclose(found.shifts, expected.shifts, atol=1e-9)
    # at the edge of the spectrum the two crops differ, which is beyond the band of a slice
    inside = [rfft2(np.asarray(p.images)) for p in (found, expected)]
    for images_ft in inside:
        images_ft[:, SIZE // 2] = images_ft[..., -1] = 0
    np.testing.assert_allclose(*inside, atol=1e-4 * abs(inside[1]).max())
    maps = [
        fslice.reconstruct(np.asarray(p.images), p.rotations, shifts=p.shifts).mean
        for p in (found, expected)
    ]
    assert np.linalg.norm(maps[0] - maps[1]) < 1e-3 * np.linalg.norm(maps[1])


def test_images_are_read_in_any_order_and_selected(project):
    with pytest.warns(UserWarning, match="resampled"):
        found = read_particles(project / "both.star", optics_group="all")
    whole = found.images[:]
    np.testing.assert_array_equal(found.images[[N - 1, 0, N // 2]], whole[[N - 1, 0, N // 2]])
    np.testing.assert_array_equal(found[::-3].images[:], whole[::-3])
    assert found.images.select([2, N - 1]).shape == (2, SIZE, SIZE)
    with pytest.raises(ValueError, match="hold them in other boxes or pixel sizes"):
        write_particles(project / "again.star", found)


def test_the_ctf_is_that_of_the_common_grid(tmp_path):
    optics = changed(OPTICS, rlnImagePixelSize=[1.5, 2.0], rlnImageSize=[8, 6])
    for name, size, pixel in (("stack.mrcs", 8, 1.5), ("other.mrcs", 6, 2.0)):
        write_stack(tmp_path / name, np.ones((4, size, size)), pixel)
    particles = changed(PARTICLES, rlnImageName=["1@other.mrcs", "1@stack.mrcs", "2@other.mrcs"])
    path = write_tables(tmp_path / "particles.star", optics=optics, particles=particles)
    with pytest.warns(UserWarning, match="resampled to 6 pixels of 2 Angstrom"):
        found = read_particles(path, optics_group="all")
    assert found.ctf.pixel_size.tolist() == [2.0] * 3
    np.testing.assert_allclose(found.shifts, -np.array([[3, 0.75], [-1.5, 6], [0, 0]]) / 2)
    particles = changed(particles, rlnImageName=["1@other.mrcs"] * 3)
    write_tables(path, optics=optics, particles=particles)
    with pytest.raises(ValueError, match=r"expected images of 8 x 8 pixels, got 6 x 6 in .*other"):
        read_particles(path, optics_group="all")


def test_one_grid_needs_no_resampling(project):
    found = read_particles(project / "coarse.star", optics_group="all")
    assert found.images.grid is None
    with pytest.raises(ValueError, match="optics_group: expected a number or 'all', got 'both'"):
        read_particles(project / "coarse.star", optics_group="both")


def test_the_command_says_what_was_resampled(project, capsys):
    assert main(["info", str(project / "both.star"), "--optics-group", "all"]) == 0
    assert "are resampled to 24 pixels of 3 Angstrom" in capsys.readouterr().out

"""Truth that nobody here wrote: other programs' projections, with no free parameter."""

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, cg

from fslice import Projector, irfft2, irfft3, rfft2, rfft3
from fslice.fourier import radii
from fslice.io import open_stack, read_particles, read_volume
from fslice.operators.realspace import project_realspace


def correlation(a, b):
    """Return the correlation of each image with its counterpart, about zero."""
    a, b = (images.reshape(len(images), -1).astype(float) for images in (a, b))
    return (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))


def band_limited(images, radius):
    size = images.shape[-1]
    return irfft2(rfft2(images.astype(float)) * (radii(size, 2) <= radius))


def relative_error(found, exact):
    return np.linalg.norm(found - exact) / np.linalg.norm(exact)


@pytest.fixture
def particles(data):
    return data / "particles"


def projections_of_a_point(folder, **options):
    """Return RELION's particles of a point at padding 2, and our projections in their poses."""
    relions = read_particles(folder / "relion_proj_batch_pfac2.star")
    volume, _ = read_volume(folder / "pointmass.mrc")
    pose = relions.rotations, relions.shifts, relions.ctf
    return relions, Projector(64, oversampling=2, **options).project(volume.astype(float), *pose)


@pytest.mark.filterwarnings("ignore:.*left out. rlnNormCorrection$")
def test_relions_images_of_a_point_are_ours_to_seven_digits(particles):
    """Poses, shifts, astigmatic CTF and its sign, scale, and the trilinear kernel at padding 2."""
    relions, ours = projections_of_a_point(particles / "relion_pointmass_ctf")
    assert relative_error(band_limited(relions.images[:], 31), ours) < 1e-7


@pytest.mark.filterwarnings("ignore:.*left out. rlnNormCorrection$")
def test_relions_images_of_a_point_are_ours_up_to_nyquist(particles):
    """RELION keeps the frequencies at radius 32, we all but the Nyquist row and column."""
    relions, ours = projections_of_a_point(particles / "relion_pointmass_ctf", max_radius=32)
    images = relions.images[:].astype(float)
    assert correlation(images, ours).min() >= 0.998
    scale = (images * ours).sum((1, 2)) / (ours**2).sum((1, 2))
    assert abs(scale - 1).max() <= 0.01


@pytest.fixture
def ribosome(data):
    """Return the 70S map cropped from 65 to 64 voxels in Fourier space, as RELION was given it."""
    volume, _ = read_volume(data / "maps" / "clean70SRibosome_vol_65p.mrc")
    kept = np.r_[0:32, 34:65]  # all frequencies below 32
    places = np.r_[0:32, 33:64]
    cropped = np.zeros((64, 64, 33), complex)
    source = rfft3(volume.astype(float))[np.ix_(kept, kept, np.arange(32))]
    cropped[np.ix_(places, places, np.arange(32))] = source
    return irfft3(cropped) * (64 / 65) ** 1.5


@pytest.mark.parametrize("name", ["centered", "shifted"])
def test_relions_projections_of_the_ribosome_are_ours(particles, ribosome, name):
    relions = read_particles(particles / "relion_70S" / f"rln_proj_64_{name}.star")
    pose = relions.rotations, relions.shifts
    ours = Projector(64, oversampling=2).project(ribosome, *pose)
    assert correlation(relions.images[:], ours).min() >= 0.9999
    assert relative_error(band_limited(relions.images[:], 31), ours) < 1e-3
    assert relative_error(ours, relions.images[:]) == pytest.approx(4.3e-3, rel=0.05)
    cubic = Projector(64, 2, "cubic").project(ribosome, *pose)
    assert relative_error(cubic, relions.images[:]) == pytest.approx(2.7e-2, rel=0.05)
    if name == "shifted":
        wrong = Projector(64).project(ribosome, relions.rotations, -relions.shifts)
        assert correlation(relions.images[:], wrong).max() < 0.9


def test_relions_projections_of_the_ribosome_are_those_of_position_space(particles, ribosome):
    relions = read_particles(particles / "relion_70S" / "rln_proj_64_centered.star")
    found = project_realspace(ribosome, relions.rotations)
    assert correlation(relions.images[:], found).min() >= 0.9985
    assert relative_error(found, relions.images[:]) == pytest.approx(5.3e-2, rel=0.05)
    slices = Projector(64, 2, "cubic").project(ribosome, relions.rotations)
    assert relative_error(found, slices) == pytest.approx(4.3e-2, rel=0.05)


@pytest.fixture
def toy(particles):
    """Return cryoDRGN's toy images and their rotations, which are the transposes of its own."""
    folder = particles / "cryodrgn_toy"
    rotations = np.load(folder / "toy_angles.npz")["rot"].astype(float).swapaxes(1, 2)
    images = open_stack(folder / "toy_projections.mrcs")[:].astype(float)
    return images, np.ascontiguousarray(rotations)


def test_cryodrgns_toy_images_are_projections_of_its_toy_model(particles, toy):
    images, rotations = toy
    volume, _ = read_volume(particles / "cryodrgn_toy" / "toymodel_small_nocenter.mrc")
    projector = Projector(30, 2, "cubic")
    found = projector.project(volume.astype(float), rotations)
    assert correlation(images, found).mean() >= 0.99
    transposed = projector.project(volume.astype(float), rotations.swapaxes(1, 2))
    assert correlation(images, transposed).mean() == pytest.approx(0.436, abs=0.005)


def predicted_by_the_first_200(images, rotations):
    """Return projections of the least-squares volume of 200 images in the poses of the others.

    By conjugate gradients on ``backproject(project(.))``.
    """
    projector, seen, unseen = Projector(30, 2), slice(0, 200), slice(200, None)

    def gram(vector):
        projections = projector.project(vector.reshape(30, 30, 30), rotations[seen])
        return projector.backproject(projections, rotations[seen]).ravel()

    operator = LinearOperator((30**3, 30**3), matvec=gram, dtype=float)
    target = projector.backproject(images[seen], rotations[seen]).ravel()
    volume, _ = cg(operator, target, rtol=0, maxiter=10)
    return projector.project(volume.reshape(30, 30, 30), rotations[unseen])


def test_a_volume_from_200_toy_images_predicts_the_others(toy):
    images, rotations = toy
    found = predicted_by_the_first_200(images, rotations)
    assert correlation(images[200:], found).mean() >= 0.9975
    assert correlation(band_limited(images[200:], 14), found).mean() >= 0.999


def test_a_volume_from_200_toy_images_in_transposed_poses_does_not(toy):
    images, rotations = toy
    found = predicted_by_the_first_200(images, np.ascontiguousarray(rotations.swapaxes(1, 2)))
    assert correlation(images[200:], found).mean() == pytest.approx(0.58, abs=0.01)


def test_a_sinogram_of_a_square_is_ours(data):
    """Parallel-beam CT: chords of a square of 32 pixels about 23.5, at 16 angles."""
    folder = data / "ct" / "tomopy_phantom"
    angles, sinogram = np.load(folder / "angle.npy"), np.load(folder / "proj.npy")[:, 4]
    image = np.zeros((48, 48))
    image[8:40, 8:40] = np.load(folder / "obj.npy")[4]
    cosine, sine = np.cos(angles), np.sin(angles)
    rotations = np.moveaxis(np.array([[cosine, -sine], [sine, cosine]]), -1, 0).astype(float)
    # the square's centre lies half a pixel before the origin in x and y, and so on the detector
    shifts = -0.5 - rotations[:, :, 0] @ [[-0.5], [-0.5]]
    found = Projector(48, 2, "cubic", max_radius=48).project(image, rotations, shifts)
    assert relative_error(found, sinogram) < 3e-3
    assert np.allclose(found.sum(1), 32**2, rtol=1e-3)

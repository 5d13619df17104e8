"""GroEL: the symmetry of an experimental map and of an atomic model, found from noisy images."""

import numpy as np
import pytest
from dense import accumulate, symmetric

import fslice
from fslice.io import read_atoms, read_volume
from fslice.posterior.evidence import symmetry_evidence
from fslice.posterior.mean import solve
from fslice.postprocess.masks import soft_spherical_mask

EMD_1080, ATOMS = "maps/emd_1080_groel_11.5A.mrc", "atomic/1aon.pdb.gz"


def simulated(path, n, size, pixel_size, snr):
    if path.suffix == ".mrc":
        volume, own = read_volume(path)
        model = fslice.simulation.resample_map(volume, own, size, pixel_size)
    else:
        model = fslice.simulation.GaussianModel.from_atoms(read_atoms(path))
    return fslice.simulate(model, n, size, pixel_size, snr=snr, seed=1)


def posterior_of(data):
    """Return the posterior without symmetry, under the true spectrum and noise."""
    size = data.size
    normal = accumulate(
        data.images(), data.rotations.astype(np.float32), projector=fslice.Projector(size)
    )
    mask = soft_spherical_mask(size, 0.42 * size, 0.05 * size, "float32")
    power = fslice.fourier.shell_sum(abs(fslice.rfft3(data.truth)) ** 2, size, 3)
    count = fslice.fourier.shell_sum(np.ones((size, size, size // 2 + 1)), size, 3)
    prior = np.maximum(power / count * mask.size / mask.sum(), 1e-6 * power.max() / count[-1])
    return symmetric(normal, prior, mask, data.noise_variance)


def under(precision, group):
    return symmetric(
        precision.normal, precision.prior_variance, precision.latent.mask,
        precision.noise_variance, group,
    )  # fmt: skip


def check_evidence(data, truth, groups):
    precision = posterior_of(data)
    best = symmetry_evidence(under(precision, truth))
    for group in groups:
        other = symmetry_evidence(under(precision, group))
        assert best.value - other.value > 5 * np.hypot(best.error, other.error), group


def test_the_symmetry_of_an_experimental_map_is_found(data):
    images = simulated(data / EMD_1080, 300, 24, 11.25, 0.1)
    check_evidence(images, "D7", ["C1", "C6", "C7"])


def test_the_symmetry_of_an_atomic_model_is_found(data):
    images = simulated(data / ATOMS, 300, 24, 15.0, 0.1)
    check_evidence(images, "C7", ["C1", "C6", "D7"])


@pytest.mark.long
def test_among_many_groups_the_right_one_is_found(data):
    images = simulated(data / EMD_1080, 2000, 50, 5.4, 0.04)
    check_evidence(images, "D7", ["C1", "C2", "C6", "C7", "C14", "D2", "D6", "D8", "D14"])
    images = simulated(data / ATOMS, 5000, 64, 5.6, 0.04)
    check_evidence(images, "C7", ["C1", "C2", "C6", "C8", "D7"])


@pytest.mark.long
def test_seven_copies_of_a_subunit_gain_resolution(data):
    images = simulated(data / ATOMS, 10_000, 128, 2.8, 0.04)
    precision = posterior_of(images)
    reached = {}
    for group in ("C1", "C7"):
        volume = solve(under(precision, group)).volume()
        reached[group] = fslice.resolution(fslice.fsc(volume, images.truth), 128, 2.8)
    assert reached["C1"] < 7.6
    assert reached["C7"] < 5.8

"""Modes of a posterior over poses: each is counted once."""

import numpy as np

import fslice
from fslice import Dataset, Poses
from fslice.alignment.band_images import read_band
from fslice.alignment.find import pose_model
from fslice.alignment.grid import hexagonal_shifts
from fslice.alignment.joint.grid_em import log_likelihoods, make_grid
from fslice.alignment.joint.grid_map import rescaled
from fslice.alignment.modes import prune
from fslice.alignment.newton import Starts
from fslice.alignment.search import PoseSearch
from fslice.geometry import grid_rotations, rotvec_to_matrix
from fslice.symmetry import symmetry_rotations


def test_modes_that_have_arrived_are_one_where_their_gaussians_overlap():
    """Copies of a wide mode are far apart in degrees, and still one; narrow ones are two."""
    turn = rotvec_to_matrix(np.array([[0, 0, 0.0], [0, 0.1, 0], [0, 0, 2.0]]))
    starts, masses = Starts(np.zeros(3, int), turn, np.zeros((3, 2))), np.array([5.0, 4.0, 3.0])
    half = symmetry_rotations("C2")
    mates = starts._replace(rotations=np.concatenate([turn[:1], half[1:] @ turn[1:2], turn[2:]]))
    for std, places in ((0.2, [0, 2]), (0.04, [0, 1, 2])):
        matrices = np.tile(np.diag([std**-2] * 3 + [1.0] * 2), (3, 1, 1))
        kept = prune(starts, masses, np.eye(3)[None], 1, 10.0, 5, matrices)
        assert kept.places.tolist() == places
        assert prune(mates, masses, half, 1, 10.0, 5, matrices).places.tolist() == places
    matrices[:, 0, 0] = matrices[:, 1, 1] = 25.0
    matrices[0, 1, 1] = 0.04**-2  # the narrower of the two decides
    assert prune(starts, masses, np.eye(3)[None], 1, 10.0, 5, matrices).places.tolist() == [0, 1, 2]


def test_no_mode_is_counted_twice_where_poses_are_uncertain():
    """Against the sum over a fine grid of poses: two copies of a mode are log 2 = 0.7 too much."""
    rng, size, radius = np.random.default_rng(2), 16, 4
    model = fslice.simulation.GaussianModel(
        4 * rng.uniform(-1, 1, (10, 3)), np.ones(10), np.ones(10)
    )
    data = fslice.simulate(model, 40, size, 1.0, snr=0.3, shift_std=0.5, seed=1)
    dataset = Dataset(data.images().astype(float), Poses(data.rotations))
    search = PoseSearch(radius=radius, radii=(radius,), rotations=1500)
    known = {"noise_variance": data.noise_variance, "shift_std": 0.5, "search": search}
    model = pose_model(dataset, data.truth.astype(float), **known)
    found, band = model.find(), model.prepared.levels[-1][0]
    images = read_band(dataset, band)
    shifts = hexagonal_shifts(1.8, 0.3)
    grid = make_grid(grid_rotations(12000), shifts, 0.5, images.ctf)
    noise = np.full(radius + 1, data.noise_variance)
    volume = rescaled(data.truth.astype(float), band.box)
    expected = log_likelihoods(volume, images, grid, noise)[1]
    assert (found.evidence - expected).max() < 0.6
    assert abs(np.median(found.evidence - expected)) < 0.3

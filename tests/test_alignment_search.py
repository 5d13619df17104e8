"""The search for poses: scores, modes, and the posterior, against brute force at small sizes."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import random_ctf, seeds

import fslice
from fslice import Dataset, Poses, Projector, random_rotations, rfft2
from fslice.alignment.band import Band
from fslice.alignment.bound import kl_to_prior
from fslice.alignment.coarse import CROSS_LOSS, make_templates
from fslice.alignment.find import (
    find_poses,
    pose_model,
    poses_as_posterior,
    refine_poses,
)
from fslice.alignment.grid import asymmetric_rotations, cell_radius, hexagonal_shifts
from fslice.alignment.importance import check_posterior, log_density
from fslice.alignment.modes import prune
from fslice.alignment.newton import CONVERGED, Starts
from fslice.alignment.noise import outer_variance
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.search import PoseSearch
from fslice.fourier import hermitian_weights
from fslice.geometry import angle_between, rotvec_to_matrix
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.symmetry import symmetrize, symmetry_rotations

SIZE, PIXEL = 32, 4.0


def blobs(rng, count=30):
    """Return a model without symmetry that fits the box."""
    positions = 28 * rng.uniform(-1, 1, (count, 3))
    return fslice.simulation.GaussianModel(
        positions, rng.uniform(0.5, 1.5, count), np.full(count, 40.0)
    )


@pytest.fixture(scope="module")
def scene():
    """Return a volume and 40 images of it in known poses, with CTF, and what is known of them."""
    rng = np.random.default_rng(5)
    volume = blobs(rng).volume(SIZE, PIXEL)
    volume /= volume.std()
    rotations, shifts = random_rotations(40, rng), rng.normal(size=(40, 2))
    ctf = random_ctf(rng, 40, pixel_size=PIXEL)
    clean = Projector(SIZE, 2, "cubic").project(volume, rotations, shifts, ctf)
    deviation = 0.6 * clean.std()
    images = clean + deviation * rng.normal(size=clean.shape)
    return volume, images, ctf, Poses(rotations, shifts), deviation**2


@settings(max_examples=15)
@given(seed=seeds, size=st.integers(6, 15), radius=st.floats(1.5, 5.5))
def test_a_band_is_the_whole_box_cropped(seed, size, radius):
    rng = np.random.default_rng(seed)
    band = Band(size, min(radius, (size - 1) // 2))
    volume, rotations = rng.normal(size=(size,) * 3), random_rotations(3, rng)
    whole = Projector(size, 2, "cubic", band.radius)
    expected = whole.project_ft(whole.transform(volume), rotations)
    found = band.projector.project_ft(band.transform(volume), rotations)
    assert np.allclose(found, band.crop(expected), atol=1e-10 * abs(expected).max())
    flat = band.slices(band.transform(volume), rotations)
    assert np.allclose(band.unflatten(flat), found, atol=1e-10 * abs(expected).max())
    inner = (hermitian_weights(band.box) * abs(found) ** 2).sum((1, 2))
    assert np.allclose(abs(flat) ** 2 @ band.multiplicities, inner)


@settings(max_examples=10)
@given(seed=seeds, size=st.integers(8, 16))
def test_a_ctf_is_cropped_as_images_are(seed, size):
    band, ctf = Band(size, 3), random_ctf(np.random.default_rng(seed), 2)
    assert np.allclose(band.crop_ctf(ctf, 2, np.float64), band.crop(ctf.evaluate(size)), atol=1e-9)


def brute_scores(volume, images_ft, ctf, rotations, shifts, radius, variance, size):
    """Return log likelihoods above that of noise, pose by pose, on the whole box: (n, T, G)."""
    projector = Projector(size, 2, "cubic", radius)
    volume_ft = projector.transform(volume)
    scores = np.empty((len(images_ft), len(shifts), len(rotations)))
    for n, t, g in itertools.product(*map(range, scores.shape)):
        pose = rotations[g : g + 1], shifts[t : t + 1], ctf[n : n + 1]
        chi, none = (
            projector.misfit(v, images_ft[n : n + 1], *pose).chi_squared[0]
            for v in (volume_ft, 0 * volume_ft)
        )
        scores[n, t, g] = (none - chi) / (2 * variance)
    return scores


@settings(max_examples=5)
@given(seed=seeds, size=st.sampled_from([9, 12]))
def test_scores_and_the_posterior_on_a_grid_are_those_of_brute_force(seed, size):
    rng = np.random.default_rng(seed)
    volume, rotations = rng.normal(size=(size,) * 3), random_rotations(6, rng)
    shifts, variance, radius = rng.normal(size=(3, 2)), 2.5, 3.0
    images_ft = rfft2(rng.normal(size=(2, size, size)))
    ctf = random_ctf(rng, 2).evaluate(size)
    band, log_prior = Band(size, radius), rng.normal(size=3)
    templates = make_templates(
        band.transform(volume), band, rotations, shifts, log_prior=log_prior, compress=False
    )
    encoded = templates.encode(
        band.flatten(band.crop(images_ft)), band.flatten(band.crop(ctf)), variance
    )
    found = templates.scores(encoded)
    expected = brute_scores(volume, images_ft, ctf, rotations, shifts, radius, variance, size)
    expected += log_prior[:, None]
    assert np.allclose(found, expected, atol=1e-9 * abs(expected).max())
    weights = [np.exp(s - s.max()) / np.exp(s - s.max()).sum() for s in (found, expected)]
    assert np.allclose(*weights, atol=1e-7)
    best, shift = templates.best_over_shifts(encoded)
    assert np.allclose(best, expected.max(1), atol=1e-9 * abs(expected).max())
    assert (shift == expected.argmax(1)).all()


def test_a_basis_of_slices_changes_scores_by_its_loss(scene):
    volume, images, ctf, *_, variance = scene
    band = Band(SIZE, 8)
    rotations, shifts = asymmetric_rotations(500), hexagonal_shifts(3, 3)
    spectrum = band.transform(volume)
    flat = band.flatten(band.crop(rfft2(images)))
    values = band.flatten(band.crop_ctf(ctf, len(images), np.float64))
    exact, short = (
        make_templates(spectrum, band, rotations, shifts, compress=compress)
        for compress in (False, True)
    )
    assert short.slices.shape[1] < exact.slices.shape[1]
    one, other = (t.scores(t.encode(flat, values, variance)) for t in (exact, short))
    assert (one - other).std() < 1.5 * CROSS_LOSS**0.5 * one.std()


@pytest.mark.parametrize("symmetry", ["C1", "C4", "D3", "T", "O"])
def test_the_asymmetric_unit_has_one_of_each_equivalent_pose(symmetry):
    group = symmetry_rotations(symmetry)
    unit = asymmetric_rotations(3000, symmetry)
    assert len(unit) * len(group) == pytest.approx(3000, rel=0.08)
    # no rotation is further from the unit than the grid is wide
    some = random_rotations(50, np.random.default_rng(0))
    traces = np.einsum("gij,njk,uik->ngu", group, some, unit).max((1, 2))
    assert np.arccos((traces.min() - 1) / 2) < 2.5 * cell_radius(3000)


@given(radius=st.floats(0.5, 6), step=st.floats(0.5, 4), seed=seeds)
def test_shifts_cover_a_disc(radius, step, seed):
    grid = hexagonal_shifts(radius, step)
    assert (np.hypot(*grid.T) <= radius * (1 + 1e-6)).all()
    assert (grid == 0).all(1).sum() == 1
    rng = np.random.default_rng(seed)
    angle, length = rng.uniform(0, 2 * np.pi, 20), max(radius - step, 0) * rng.random(20)
    points = np.stack([length * np.cos(angle), length * np.sin(angle)], 1)
    nearest = np.linalg.norm(points[:, None] - grid, axis=2).min(1)
    assert nearest.max() <= step / np.sqrt(3) + 1e-9


def test_modes_are_merged_pruned_and_accounted_for():
    turn = rotvec_to_matrix(np.array([[0, 0, 0.0], [0, 0, 0.01], [0, 0, 2.0], [0, 0, 1.0]]))
    starts = Starts(np.array([0, 0, 0, 1]), turn, np.zeros((4, 2)))
    masses = np.array([5.0, 4.0, 3.0, -7.0])
    kept = prune(starts, masses, np.eye(3)[None], 2, 10.0, 5)
    assert kept.places.tolist() == [0, 2, 3]
    assert kept.discarded.tolist() == [0, 0]
    narrow = prune(starts, masses, np.eye(3)[None], 2, 1.5, 5)
    assert narrow.places.tolist() == [0, 3]
    assert narrow.discarded == pytest.approx([np.exp(-2) / (1 + np.exp(-2)), 0])
    assert prune(starts, masses, np.eye(3)[None], 2, 10.0, 1).places.tolist() == [0, 3]
    half = symmetry_rotations("C2")  # under it the turn by 2 is one by 2 - pi
    mates = starts._replace(rotations=np.concatenate([turn[:2], half[1:] @ turn[:1], turn[3:]]))
    assert prune(mates, masses, half, 2, 10.0, 5).places.tolist() == [0, 3]


def test_poses_are_found_and_their_error_bars_hold(scene):
    volume, images, ctf, truth, variance = scene
    found = find_poses(images, volume, ctf)
    best = found.best()
    assert np.median(angle_between(best.rotations, truth.rotations)) < 3
    assert (angle_between(best.rotations, truth.rotations) < 12).mean() > 0.95
    steps = truth.shifts - best.shifts
    deviations = found.deviations()
    assert 0.6 < (steps / deviations[:, 3:]).std() < 1.5
    assert outer_variance(Dataset(images, truth, ctf)) == pytest.approx(variance, rel=0.05)
    assert (found.evidence > 10).all()
    total = np.bincount(found.image_of, weights=found.weights)
    assert np.allclose(total, 1)
    assert (np.diff(found.image_of) >= 0).all()


def test_the_evidence_is_the_integral_over_all_poses(scene):
    """Against importance sampling from the prior near the mode: quadrature by random points."""
    volume, images, ctf, _, variance = scene
    model = pose_model(
        images[:3], volume, ctf[:3], noise_variance=variance, shift_std=1.0,
        search=PoseSearch(radius=10.0),
    )  # fmt: skip
    found = model.find()
    checked = check_posterior(model, found, np.random.default_rng(0), draws=4000, degrees=5.0)
    assert np.allclose(found.evidence, checked.evidence, atol=0.15)
    assert (checked.divergence < 0.1).all()
    assert (checked.divergence > -0.02).all()
    # a box of uniform poses about the best mode, without any density: plain Monte Carlo
    rng, draws = np.random.default_rng(1), 60_000
    best, deviations = found.best(), found.deviations()
    spectra = rfft2(images[:3])
    projector = Projector(SIZE, 2, "cubic", 10.0)
    volume_ft = projector.transform(volume)
    for n in range(3):
        half = 4.5 * deviations[n]
        steps = half * rng.uniform(-1, 1, (draws, 5))
        rotations = best.rotations[n] @ rotvec_to_matrix(steps[:, :3])
        shifts = best.shifts[n] + steps[:, 3:]
        slices = projector.project_ft(volume_ft, rotations, shifts)
        slices *= ctf[n : n + 1].evaluate(SIZE)
        weights = hermitian_weights(SIZE)
        inside = abs(slices[0]) > 0
        gain = (weights * inside * (abs(spectra[n]) ** 2 - abs(spectra[n] - slices) ** 2)).sum(
            (1, 2)
        )
        angle = np.linalg.norm(steps[:, :3], axis=1)
        element = 2 * (1 - np.cos(angle)) / angle**2
        density = np.exp(-(shifts**2).sum(1) / 2) / (2 * np.pi) / (8 * np.pi**2) * element
        logs = gain / (2 * variance) + np.log(density)
        integral = logs.max() + np.log(np.exp(logs - logs.max()).mean() * np.prod(2 * half))
        assert found.evidence[n] == pytest.approx(integral, abs=0.25)


def test_the_divergence_from_the_prior_is_what_draws_give(rng):
    """Against the mean over draws of the log ratio of densities."""
    modes = rotvec_to_matrix(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.5]]))
    root = 0.02 * rng.normal(size=(2, 5, 5))
    q = PosePosterior(
        np.zeros(2, np.int64), modes, np.array([[1.0, 0.0], [0.0, -2.0]]), np.array([0.3, 0.7]),
        root @ root.swapaxes(1, 2) + 1e-4 * np.eye(5), np.zeros(1), np.zeros(1),
    )  # fmt: skip
    drawn = q.sample(rng, 20_000)
    log_q = log_density(q, Starts(drawn.image_of, drawn.rotations, drawn.shifts))
    log_prior = -(drawn.shifts**2).sum(1) / (2 * 1.5**2)
    log_prior -= np.log(8 * np.pi**2 * 2 * np.pi * 1.5**2)
    assert kl_to_prior(q, 1.5)[0] == pytest.approx((log_q - log_prior).mean(), abs=0.06)


def images_of(volume, rotations, rng):
    """Return images of a map, and what is known of them."""
    clean = Projector(SIZE, 2, "cubic").project(volume, rotations)
    images = clean + 0.5 * clean.std() * rng.normal(size=clean.shape)
    return images, {"noise_variance": 0.25 * clean.var(), "shift_std": 1.0}


def test_all_mates_of_a_symmetric_map_weigh_the_same(rng):
    """The evidence of the relaxed search is that of the symmetric one."""
    volume, truth = symmetrize(blobs(rng, 20).volume(SIZE, PIXEL), "C3"), random_rotations(12, rng)
    images, options = images_of(volume, truth, rng)
    relaxed = find_poses(images, volume, relax_symmetry="C3", **options)
    found = find_poses(images, volume, symmetry="C3", **options)
    mates = np.einsum("gij,njk->gnik", symmetry_rotations("C3"), truth)
    assert np.min([angle_between(found.best().rotations, mate) for mate in mates], 0).max() < 5
    for mate in mates:
        near = angle_between(relaxed.rotations, mate[relaxed.image_of]) < 8
        weight = np.bincount(relaxed.image_of, relaxed.weights * near, minlength=12)
        # a step may still gain `CONVERGED`, and that in one of the three alone
        assert (abs(np.log(3 * weight)) < CONVERGED).all()
    assert np.allclose(found.evidence, relaxed.evidence, atol=CONVERGED)
    assert np.median(found.weights[found.best_modes()]) > 0.999


@pytest.mark.parametrize("radii", [(12,), (6, 12), (6, 9, 12)])
def test_the_mass_of_modes_that_are_given_up_is_counted_once(radii, rng):
    """Of three equal modes one is kept, whether two are given up in one band or one by one."""
    volume, truth = symmetrize(blobs(rng, 20).volume(SIZE, PIXEL), "C3"), random_rotations(8, rng)
    images, options = images_of(volume, truth, rng)
    mates = (symmetry_rotations("C3")[:, None] @ truth).reshape(-1, 3, 3)
    order = np.argsort(np.tile(np.arange(8), 3), kind="stable")
    known = dataclasses.replace(
        poses_as_posterior(Poses(mates[order], np.zeros((24, 2)))),
        image_of=np.repeat(np.arange(8), 3), weights=np.full(24, 1 / 3),
        evidence=np.zeros(8), discarded=np.zeros(8),
    )  # fmt: skip
    search = PoseSearch(radius=12.0, radii=radii, max_modes=1)
    found = refine_poses(Dataset(images, Poses(truth)), volume, known, search=search, **options)
    assert len(found.weights) == len(found) == 8
    assert (abs(np.log(3 * (1 - found.discarded))) < CONVERGED).all()


def test_of_a_nearly_symmetric_map_the_relaxed_search_finds_what_the_whole_one_does(rng):
    """A sixth of the map breaks the symmetry; one mate of each image is left."""
    plain = blobs(rng, 20).volume(SIZE, PIXEL)
    volume, truth = symmetrize(plain, "C3") + 0.2 * plain, random_rotations(12, rng)
    images, options = images_of(volume, truth, rng)
    relaxed = find_poses(images, volume, relax_symmetry="C3", **options)
    whole = find_poses(images, volume, **options)
    assert (relaxed.evidence > whole.evidence - CONVERGED).all()
    assert angle_between(relaxed.best().rotations, truth).max() < 5
    assert np.median(relaxed.weights[relaxed.best_modes()]) > 0.999


def test_refinement_goes_from_poses_nearby_to_the_modes_that_a_search_finds(scene, rng):
    volume, images, ctf, truth, variance = scene
    options = {"noise_variance": variance, "shift_std": 1.0}
    near = Poses(
        truth.rotations @ rotvec_to_matrix(0.03 * rng.normal(size=(40, 3))),
        truth.shifts + 0.3 * rng.normal(size=(40, 2)),
    )
    refined = refine_poses(Dataset(images, near, ctf), volume, **options)
    found = find_poses(images, volume, ctf, **options)
    angles = angle_between(refined.best().rotations, found.best().rotations)
    assert np.median(angles) < 0.1
    again = refine_poses(Dataset(images, near, ctf), volume, found, **options)
    change = abs(again.evidence - found.evidence)  # of what the last step's quadratic leaves out
    assert np.median(change) < 0.02
    assert change.max() < 0.5
    some = np.array([1, 5, 30])
    part = refine_poses(Dataset(images, near, ctf), volume, rows=some, **options)
    assert part.rows.tolist() == some.tolist()
    assert np.allclose(part.evidence, refined.evidence[some], atol=1e-6)


def test_coloured_noise_is_learned_or_given(scene, rng):
    volume, _, ctf, truth, variance = scene
    shells = 1 + 3 * np.exp(-np.arange(SIZE // 2 + 1) / 4.0)
    noise = GaussianNoise(variance * shells)
    clean = Projector(SIZE, 2, "cubic").project(volume, truth.rotations, truth.shifts, ctf)
    white = rfft2(rng.normal(size=clean.shape))
    images = clean + fslice.irfft2(white * np.sqrt(noise.evaluate(SIZE)))
    dataset = Dataset(images, truth, ctf, GaussianNoise(shells))
    given = find_poses(dataset, volume, noise_variance=variance, shift_std=1.0)
    model = pose_model(images, volume, ctf, noise="shell", shift_std=1.0)
    learned = model.dataset.noise.variances[0, 3:15] / (variance * shells[3:15])
    assert abs(learned - 1).max() < 0.25
    assert model.noise_variance == 1.0
    ratio = np.median(model.find().evidence / given.evidence)
    assert ratio == pytest.approx(1, abs=0.2)


def test_a_posterior_is_selected_joined_saved_and_drawn_from(tmp_path, rng):
    def draw(n, rows):
        counts = rng.integers(1, 4, n)
        image_of = np.repeat(np.arange(n), counts)
        weights = rng.random(len(image_of))
        weights /= np.bincount(image_of, weights=weights)[image_of]
        return PosePosterior(
            image_of, random_rotations(len(image_of), rng), rng.normal(size=(len(image_of), 2)),
            weights, np.tile(1e-4 * np.eye(5), (len(image_of), 1, 1)), rng.normal(size=n),
            np.zeros(n), rows,
        )  # fmt: skip

    one, other = draw(4, np.array([6, 0, 2, 4])), draw(3, np.array([1, 5, 3]))
    joined = (one + other).sorted()
    assert joined.rows.tolist() == list(range(7))
    assert joined.evidence.tolist() == [
        *(part.evidence[list(part.rows).index(row)]
          for row in range(7) for part in (one, other) if row in part.rows)
    ]  # fmt: skip
    second = joined[np.array([2])]
    assert np.allclose(second.weights, one.weights[one.image_of == 2])
    joined.save(tmp_path / "p.npz", pixel_size=1.5)
    loaded = PosePosterior.load(tmp_path / "p.npz")
    for field in dataclasses.fields(PosePosterior):
        assert np.array_equal(getattr(loaded, field.name), getattr(joined, field.name))
    drawn = joined.sample(rng, 4000)
    near = np.einsum("vij,mij->vm", drawn.rotations, joined.rotations).argmax(1)
    assert (joined.image_of[near] == drawn.image_of).all()
    shares = np.bincount(near, minlength=len(joined.weights)) / 4000
    assert abs(shares - joined.weights).max() < 0.05
    np.savez(tmp_path / "bad.npz", weights=np.ones(1))
    with pytest.raises(ValueError, match=r"expected image_of, rotations, .*, got \['weights'\]"):
        PosePosterior.load(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volume": np.zeros((8, 8, 8))}, "volume: expected a box of 32 voxels, got 8"),
        ({"noise": "pink"}, "noise: expected 'white' or 'shell', got 'pink'"),
        ({"symmetry": "C3", "relax_symmetry": "C3"}, "relax_symmetry: expected None beside"),
        ({"search": PoseSearch(radius=99.0)}, "radii: expected at most 15, got 99.0"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(scene, change, message):
    volume, images, ctf, *_ = scene
    arguments = {"images": images, "volume": volume, "ctf": ctf} | change
    with pytest.raises(ValueError, match=message):
        find_poses(**arguments)


def test_numbers_of_a_search_are_checked():
    with pytest.raises(ValueError, match="window: expected a number above 0, got -1"):
        PoseSearch(window=-1)
    with pytest.raises(ValueError, match="radii: expected ascending numbers"):
        PoseSearch(radii=(5.0, 3.0))


def test_poses_as_a_posterior_are_the_poses(scene):
    truth = scene[3]
    single = poses_as_posterior(truth)
    assert np.array_equal(single.best().rotations, truth.rotations)
    assert np.array_equal(single.views(np.array([3, 1])).shifts, truth.shifts[[3, 1]])

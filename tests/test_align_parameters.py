"""Defocus and contrast of each image, refined with the pose: truth, error bars, evidence."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fslice
from fslice import CTF, Dataset, Poses, Projector, random_rotations
from fslice.alignment import learn
from fslice.alignment.bound import expected_log_likelihood, kl_to_prior
from fslice.alignment.find import find_poses, pose_model, poses_as_posterior
from fslice.alignment.importance import check_posterior, log_density, modes_of
from fslice.alignment.learn import at_best
from fslice.alignment.newton import CONVERGED, moved
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.search import PoseSearch
from fslice.geometry import angle_between, matrix_to_rotvec

SIZE, PIXEL, DEFOCUS, CONTRAST = 32, 2.0, 300.0, 0.15
FREE = PoseSearch(defocus_std=DEFOCUS, contrast_std=CONTRAST)


@dataclasses.dataclass(frozen=True)
class Scene:
    """Images whose defocus and contrast are not what is thought of them, and the truth."""

    volume: np.ndarray
    data: Dataset
    offset: np.ndarray
    contrast: np.ndarray
    noise_variance: float

    def model(self, search=FREE, scale=1.0, rows=None):
        """Return the model, in which poses are only refined."""
        data = self.data if rows is None else self.data.portion(rows)
        return pose_model(
            data, scale * self.volume, noise_variance=self.noise_variance, shift_std=1.0,
            search=search, known=(poses_as_posterior(data.poses), None),
        )  # fmt: skip

    def refined(self, **options):
        """Return the posterior near the true poses."""
        model = self.model(**options)
        return model, model.refine(poses_as_posterior(model.dataset.poses))

    def whitened(self, found):
        """Return the errors of each image in units of its posterior: (n, c)."""
        best = found.best_modes()
        truth = {"defocus": self.offset, "contrast": self.contrast}
        turn = matrix_to_rotvec(found.rotations[best].swapaxes(1, 2) @ self.data.poses.rotations)
        steps = [turn, self.data.poses.shifts - found.shifts[best]]
        steps += [(truth[name] - value[best])[:, None] for name, value in found.parameters.items()]
        roots = np.linalg.cholesky(np.linalg.inv(found.covariance[best]))
        near = np.linalg.norm(turn, axis=1) < np.radians(10)
        return np.einsum("nji,nj->ni", roots, np.concatenate(steps, 1))[near]


@pytest.fixture(scope="module")
def scene():
    """Return 1,000 images of blobs."""
    rng, n = np.random.default_rng(8), 1000
    model = fslice.simulation.GaussianModel(
        15 * rng.uniform(-1, 1, (80, 3)), rng.uniform(0.5, 1.5, 80), np.full(80, 16.0)
    )
    volume = model.volume(SIZE, PIXEL)
    volume /= volume.std()
    rotations, shifts = random_rotations(n, rng), rng.normal(size=(n, 2))
    defocus, offset = rng.uniform(8000, 20000, n), DEFOCUS * rng.normal(size=n)
    ctf = CTF(defocus_u=defocus, defocus_v=defocus - 400, astigmatism_angle=30, voltage=300,
              spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=PIXEL)  # fmt: skip
    true = ctf.replace(defocus_u=defocus + offset, defocus_v=defocus - 400 + offset)
    contrast = 1 + CONTRAST * rng.normal(size=n)
    images = Projector(SIZE, 2, "cubic").project(volume, rotations, shifts, true)
    images *= contrast[:, None, None]
    variance = images.var() / 2
    images += np.sqrt(variance) * rng.normal(size=images.shape)
    data = Dataset(images.astype(np.float32), Poses(rotations, shifts), ctf)
    return Scene(volume.astype(np.float32), data, offset, contrast, float(variance))


@pytest.fixture(scope="module")
def refined(scene):
    """Return the model and the posterior with defocus and contrast free."""
    return scene.refined()


def test_errors_of_pose_defocus_and_contrast_are_as_large_as_predicted(scene, refined):
    white = scene.whitened(refined[1])
    assert len(white) > 950
    variances = white.var(0)
    assert variances.shape == (7,)
    assert ((variances > 0.85) & (variances < 1.2)).all(), variances
    assert (white**2).sum(1).mean() == pytest.approx(7, abs=0.5)


def test_they_are_not_where_a_wrong_defocus_is_held(scene, refined):
    _, held = scene.refined(search=PoseSearch())
    assert held.parameters == {}
    assert scene.whitened(held).var(0)[:2].min() > 1.2
    assert held.evidence.mean() < refined[1].evidence.mean() - 5


def test_the_images_tell_more_than_the_prior(scene, refined):
    found = refined[1]
    error = found.defocus[found.best_modes()] - scene.offset
    assert error.std() < 0.8 * DEFOCUS
    error = found.contrast[found.best_modes()] - scene.contrast
    assert error.std() < 0.4 * CONTRAST


def test_evidence_and_widths_are_those_of_importance_sampling(refined):
    model, found = refined
    some = found[np.arange(0, 1000, 25)]
    checked = check_posterior(model, some, np.random.default_rng(0), draws=400)
    assert np.median(checked.divergence) < 0.05
    assert abs(np.median(checked.evidence - some.evidence)) < 0.1
    assert np.median(checked.effective) > 0.85
    assert checked.covariance.shape == (40, 7, 7)


def test_shares_of_the_images_have_the_same_posterior(refined):
    """Whose CTFs answer to defocus by the rows of the whole set."""
    model, found = refined
    with ThreadPoolExecutor(2) as executor:
        shared = model.refine(poses_as_posterior(model.dataset.poses), executor=executor)
    assert np.array_equal(shared.rows, found.rows)
    for name in ("evidence", "defocus", "contrast"):
        one, other = getattr(shared, name), getattr(found, name)
        assert np.allclose(one, other, rtol=1e-3, atol=1e-3 * abs(other).max())


@pytest.mark.parametrize("scale", [0.04, 30.0])
def test_the_scale_of_the_map_is_learned(scene, scale):
    rows = np.arange(300)
    model = scene.model(search=PoseSearch(contrast_std=CONTRAST), scale=scale, rows=rows)
    assert model.scale * scale == pytest.approx(scene.contrast[rows].mean(), abs=0.03)


def test_the_noise_is_what_the_contrasts_that_were_found_leave(scene, monkeypatch):
    """They are relative to the scale of that time, not to the one that is learned from them."""
    data, few = scene.data, slice(40)
    some = Dataset(data.images[few], data.poses[few], data.ctf[few])
    learned, search = [], dataclasses.replace(FREE, defocus_std=None)
    for factor in (1.0, 1.5):
        monkeypatch.setattr(learn, "fitted_scale", lambda *_, factor=factor: factor)
        model = pose_model(
            some, scene.volume, noise="shell", shift_std=1.0, search=search,
            known=(poses_as_posterior(some.poses), None),
        )  # fmt: skip
        learned.append(model.dataset.noise.variances)
    assert np.array_equal(*learned)


def test_poses_are_found_with_a_map_of_another_scale(scene):
    few = scene.data.portion(np.arange(20))
    found = find_poses(
        few, 10 * scene.volume, noise_variance=scene.noise_variance, shift_std=1.0,
        search=dataclasses.replace(FREE, rotations=6000),
    )  # fmt: skip
    angles = angle_between(found.best().astype("f4").rotations, few.poses.rotations)
    assert (angles < 10).mean() > 0.8
    assert np.corrcoef(found.contrast[found.best_modes()], scene.contrast[:20])[0, 1] > 0.8


def test_a_symmetry_is_relaxed_with_defocus_and_contrast_free(scene):
    few, options = scene.data.portion(np.arange(10)), {"noise_variance": scene.noise_variance}
    search = dataclasses.replace(FREE, rotations=6000)
    plain = find_poses(few, scene.volume, shift_std=1.0, search=search, **options)
    found = find_poses(
        few, scene.volume, shift_std=1.0, search=search, relax_symmetry="C2", **options
    )
    assert np.median(abs(found.evidence - plain.evidence)) < CONVERGED
    assert found.columns == plain.columns


def test_the_divergence_from_the_prior_is_what_draws_give(rng):
    """Of a posterior with all seven coordinates, against the mean log ratio of densities."""
    root = np.array([0.02] * 5 + [20, 0.01])[:, None] * rng.normal(size=(7, 7))
    q = PosePosterior(
        np.zeros(1, np.int64), np.eye(3)[None], np.array([[1.0, 0.5]]), np.ones(1),
        (root @ root.T)[None], np.array([3.0]), np.zeros(1), None, np.array([150.0]),
        np.array([1.1]),
    )  # fmt: skip
    mode, steps = q.draw(rng, 20_000)
    drawn = moved(modes_of(q, np.zeros(20_000, np.int64), mode), steps)
    log_prior = -np.log(8 * np.pi**2)
    apart = (
        (drawn.shifts, 1.5),
        (drawn.parameters[:, :1], 300.0),
        (drawn.parameters[:, 1:] - 1, 0.2),
    )
    for values, std in apart:
        log_prior = log_prior - (values**2 / std**2 + np.log(2 * np.pi * std**2)).sum(1) / 2
    given = {"defocus": 300.0, "contrast": 0.2}
    expected = (log_density(q, drawn) - log_prior).mean()
    assert kl_to_prior(q, 1.5, parameters=given)[0] == pytest.approx(expected, abs=0.08)
    likelihood = expected_log_likelihood(q, 1.5, parameters=given)
    assert likelihood == 3 + kl_to_prior(q, 1.5, parameters=given)


def test_parameters_go_where_their_modes_go(refined, tmp_path):
    found = refined[1]
    some = found[np.array([7, 3])]
    assert np.array_equal(some.defocus[some.image_of == 1], found.defocus[found.image_of == 3])
    joined = (some + found[np.array([5])]).sorted()
    assert joined.rows.tolist() == [3, 5, 7]
    assert np.array_equal(
        joined.contrast[joined.image_of == 2], found.contrast[found.image_of == 7]
    )
    joined.save(tmp_path / "q.npz")
    loaded = PosePosterior.load(tmp_path / "q.npz")
    assert np.array_equal(loaded.defocus, joined.defocus)
    assert loaded.columns == joined.columns
    assert loaded.deviations().shape == (3, 7)
    assert loaded.sample(np.random.default_rng(0), 2).shifts.shape == (6, 2)
    relaxed = joined.relax("C2")
    assert np.array_equal(relaxed.defocus[::2], joined.defocus)


def test_a_data_set_takes_the_best_defocus_and_contrast(scene, refined):
    found = refined[1][np.array([4, 9])]
    data = at_best(scene.data, found)
    best = found.best_modes()
    change = data.ctf.defocus_v - scene.data.ctf.defocus_v
    assert np.allclose(change[[4, 9]], found.defocus[best])
    assert np.count_nonzero(change) == 2
    assert np.allclose(data.contrast[[4, 9]], found.contrast[best])
    assert (np.delete(data.contrast, [4, 9]) == 1).all()

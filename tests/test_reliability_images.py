"""Images that show nothing, images of any scale, images of another kind: results or one line."""

import dataclasses
import json

import numpy as np
import pytest
from cli_tools import fail, succeed

import fslice
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.data.selection import select_images
from fslice.solvers.adam import Adam
from fslice.solvers.exact import Exact
from fslice.solvers.outliers import is_loud
from fslice.solvers.wiener import Wiener

SIZE, N = 20, 100
DATA = fslice.simulate(fslice.phantom(SIZE, 4.0), N, SIZE, 4.0, snr=1.0)
IMAGES = DATA.images()
UNIT = IMAGES / IMAGES.std()
SOLVERS = [Exact(), Adam(epochs=3), Wiener()]


def fit(images, **options):
    return fslice.reconstruct(images, DATA.rotations, **options)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("options", [{}, {"prior": 1.0, "noise_variance": 1.0}])
def test_images_that_show_nothing_are_refused_by_every_solver(solver, options):
    message = "images: expected images that show something, got zeros, or a CTF that is zero"
    with pytest.raises(ValueError, match=message):
        fit(0 * IMAGES, solver=solver, **options)
    with pytest.raises(ValueError, match=message):
        fit(IMAGES, ctf=np.zeros((N, SIZE, SIZE // 2 + 1), "f4"), solver=solver, **options)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("scale", "dtype", "limits"),
    [
        (1e-42, "f4", "1e-09 to 1e\\+09"),
        (1e-20, "f4", "1e-09 to 1e\\+09"),
        (1e20, "f4", "1e-09 to 1e\\+09"),
        (1e150, "f8", "1e-90 to 1e\\+90"),
        (1e-300, "f8", "1e-90 to 1e\\+90"),
    ],
)
def test_a_scale_that_numbers_cannot_hold_is_one_line(solver, scale, dtype, limits):
    with pytest.raises(ValueError, match=f"images: expected a root mean square of {limits}, got"):
        fit((UNIT.astype("f8") * scale).astype(dtype), solver=solver)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_results_follow_the_scale_of_the_images(scale):
    """Every variance has the square of the images' unit, and the bound differs by a constant."""
    one, other = fit(UNIT), fit(UNIT * np.float32(scale))
    assert np.allclose(other.mean / scale, one.mean, atol=1e-3 * abs(one.mean).max())
    assert np.isclose(other.noise_variance / scale**2, one.noise_variance, rtol=1e-3)
    gains = [found.elbo - found.elbo_prior for found in (one, other)]
    assert np.isclose(*gains, rtol=1e-3)


def test_one_image_whose_square_is_infinite_is_one_line():
    images = UNIT.copy()
    images[7] *= np.float32(1e25)
    with (
        pytest.warns(UserWarning, match="image 7 has up to inf times the power"),
        pytest.raises(ValueError, match="images: expected values whose squares can be summed"),
    ):
        fit(images)


@pytest.fixture(scope="module")
def spoilt():
    images = IMAGES.copy()
    images[37] *= 1e6
    return images


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_image_that_ruins_the_map_is_named(spoilt, solver):
    message = "image 37 has up to \\S+ times the power of most images"
    with pytest.warns(UserWarning, match=message):
        found = fit(spoilt, solver=solver)
    assert any("image 37 has" in line for line in found.warnings)


def test_a_robust_fit_leaves_out_images_of_another_kind(spoilt):
    images, rng = spoilt.copy(), np.random.default_rng(0)
    images[11] = 3 * images[11].std() * rng.normal(size=images[11].shape)
    message = "2 images \\(11, 37\\) left out: of another kind"
    with pytest.warns(UserWarning, match=message):
        found = fit(images, robust=True, half_sets=np.arange(N) % 2 + 1)
    kept = np.delete(np.arange(N), [11, 37])
    expected = fslice.reconstruct(IMAGES[kept], DATA.rotations[kept])
    assert found.images == len(kept)
    assert np.allclose(found.mean, expected.mean, atol=1e-3 * abs(expected.mean).max())


@pytest.mark.filterwarnings("error")
def test_a_robust_fit_of_images_of_one_kind_is_the_fit_of_all():
    one, other = fit(IMAGES), fit(IMAGES, robust=True)
    assert other.images == N
    assert np.array_equal(one.mean, other.mean)


def test_a_robust_fit_knows_the_contrast_that_is_learned():
    contrast = np.ones(N)
    contrast[[7, 50]] = 2.5, 0.3
    clean = fslice.simulate(fslice.phantom(SIZE, 4.0), N, SIZE, 4.0)
    assert np.array_equal(clean.rotations, DATA.rotations)
    images = IMAGES + (contrast - 1).astype("f4")[:, None, None] * clean.images()
    images[11] = -3 * images[11]
    with pytest.warns(UserWarning, match="image 11 left out: of another kind"):
        found = fit(images, robust=True, contrast=True)
    kept = np.arange(N) != 11
    assert found.images == N - 1
    assert np.isnan(found.contrast).nonzero()[0].tolist() == [11]
    assert np.allclose(found.contrast[[7, 50]], contrast[[7, 50]], rtol=0.2)
    assert np.isclose(found.contrast[kept].mean(), 1)


@pytest.mark.filterwarnings("error")
def test_a_robust_fit_compares_images_within_groups_that_have_their_own_noise():
    groups, rng = (np.arange(N) % 4 == 0).astype(int), np.random.default_rng(0)
    louder = IMAGES + 2 * IMAGES.std() * groups[:, None, None] * rng.normal(size=IMAGES.shape)
    one, other = (
        fit(louder.astype("f4"), noise="group", groups=groups, robust=robust)
        for robust in (False, True)
    )
    assert other.images == N
    assert np.array_equal(one.mean, other.mean)


def test_images_of_any_contrast_are_of_one_kind():
    rng = np.random.default_rng(0)
    assert not is_loud(np.exp(2 * rng.normal(size=1000))).any()
    assert not is_loud(np.ones(3)).any()
    assert is_loud(np.array([1.0, 1.0, 1.0, 40.0])).tolist() == [False] * 3 + [True]


def test_a_selection_has_all_that_is_known_of_its_images():
    rng, n = np.random.default_rng(0), 7
    ctf = fslice.simulation.draws.random_ctf(n, 4.0, rng)
    full = Dataset(
        rng.normal(size=(n, 8, 8)), Poses(fslice.random_rotations(n, rng), rng.normal(size=(n, 2))),
        ctf, groups=np.arange(n) % 3, half_sets=np.arange(n) % 2 + 1, contrast=rng.normal(size=n),
    )  # fmt: skip
    rows = np.array([0, 3, 6])
    some = select_images(full, rows)
    assert len(some) == 3
    assert np.array_equal(some.images[1:], full.images[[3, 6]])
    assert np.array_equal(some.poses.rotations, full.poses.rotations[rows])
    assert np.array_equal(some.ctf.defocus_u, full.ctf.defocus_u[rows])
    for name in ("groups", "half_sets", "contrast"):
        assert np.array_equal(getattr(some, name), getattr(full, name)[rows]), name
    names = {field.name for field in dataclasses.fields(Dataset)}
    assert names == {
        *("images", "poses", "ctf", "noise", "symmetry", "groups", "half_sets", "contrast"),
        *("aberrations", "ctf_applied", "origin"),
    }, "select_images has to know every field"


@pytest.mark.parametrize("solver", SOLVERS)
def test_frequencies_that_no_image_has_seen_are_named_by_every_solver(solver):
    few = slice(0, 3)
    with pytest.warns(UserWarning, match="% of the frequencies in the band were seen by no image"):
        found = fslice.reconstruct(IMAGES[few], DATA.rotations[few], solver=solver)
    assert any("were seen by no image" in line for line in found.warnings)


def test_the_command_leaves_them_out_and_says_so(tmp_path, capsys, spoilt):
    from fslice.io import Particles, StackWriter, open_stack, write_particles

    with StackWriter(tmp_path / "a.mrcs", N, SIZE, 4.0) as writer:
        writer.write(spoilt)
    particles = Particles(
        rotations=DATA.rotations, pixel_size=4.0, images=open_stack(tmp_path / "a.mrcs")
    )
    write_particles(tmp_path / "a.star", particles, image_name="a.mrcs")
    words = ["reconstruct", tmp_path / "a.star", "-o", tmp_path / "out", "--no-halves", "--robust"]
    printed = succeed(capsys, *words)
    assert "100 of 20 x 20 pixels of 4 Angstrom, no CTF, 1 of them left out\n" in printed
    record = json.loads((tmp_path / "out" / "result.json").read_bytes())
    assert record["images"] == N - 1
    assert "image 37 left out: of another kind" in record["warnings"]
    line = fail(capsys, *words, "--solver", "adam")
    assert line == "error: --robust: expected --solver exact or wiener, got adam\n"

"""The one pass over images: every image once, the same sums however they are shared out."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fslice
from fslice.data.cache import SpectraCache
from fslice.data.dataset import Dataset
from fslice.data.image_ctf import ctf_of
from fslice.data.passes import sum_over
from fslice.data.poses import Poses
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.operators.aberrations import Aberrations, aberrated_ctf
from fslice.posterior.sums import normal_equations
from fslice.simulation.draws import random_ctf
from fslice.solvers import model

N, SIZE = 40, 8


@pytest.fixture
def dataset(rng):
    poses = Poses(fslice.random_rotations(N, rng), rng.normal(size=(N, 2)))
    return Dataset(rng.normal(size=(N, SIZE, SIZE)), poses)


def spectra(batch):
    return batch.images_ft.sum(0)


@given(batch_size=st.integers(1, 50), rows=st.sets(st.integers(0, N - 1), min_size=1))
def test_every_row_is_summed_once_whatever_the_batches(batch_size, rows):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(N, SIZE, SIZE))
    dataset = Dataset(images, Poses(fslice.random_rotations(N, rng)))
    chosen = np.array(sorted(rows))
    found = sum_over(dataset, spectra, rows=chosen, batch_size=batch_size)
    assert np.allclose(found, fslice.rfft2(images[chosen]).sum(0), atol=1e-12)


def test_batches_hold_what_belongs_to_their_images(dataset):
    seen = []
    sum_over(dataset, lambda batch: seen.append(batch) or 0, batch_size=16)
    assert sorted(np.concatenate([b.rows for b in seen])) == list(range(N))
    for batch in seen:
        assert np.array_equal(batch.rotations, dataset.poses.rotations[batch.rows])
        assert np.array_equal(batch.shifts, dataset.poses.shifts[batch.rows])
        assert np.allclose(batch.images_ft, fslice.rfft2(dataset.images[batch.rows]))
        assert batch.image_of is None


def test_images_in_view_order_follow_each_other(rng):
    poses = Poses(fslice.random_rotations(500, rng))
    beams = poses.rotations[poses.viewing_order()][:, :, 2]

    def typical_angle(directions):
        cosines = abs((directions[1:] * directions[:-1]).sum(1))
        return np.median(np.arccos(np.clip(cosines, 0, 1)))

    assert typical_angle(beams) < 0.2 * typical_angle(poses.rotations[:, :, 2])


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_shares_add_up_to_the_same_bits_for_any_number_of_workers(dataset, workers):
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(workers) as many:
        sums = [normal_equations(dataset, fslice.Projector(SIZE), executor=e) for e in (one, many)]
    for name in ("b", "stencil", "squares", "degrees"):
        assert np.array_equal(getattr(sums[0], name), getattr(sums[1], name)), name
    alone = normal_equations(dataset, fslice.Projector(SIZE))
    assert np.allclose(sums[0].stencil, alone.stencil, rtol=0, atol=1e-11)
    assert sums[0].count == alone.count == N


def test_progress_counts_images(dataset):
    told = []
    sum_over(dataset, spectra, batch_size=15, progress=told.append)
    assert told == [15, 15, 10]
    told.clear()
    with ThreadPoolExecutor(2) as executor:
        sum_over(dataset, spectra, executor=executor, progress=told.append)
    assert sum(told) == N


class Counting:
    """Images that count how often each is read."""

    def __init__(self, images):
        self.images, self.shape, self.dtype = images, images.shape, images.dtype
        self.reads = np.zeros(len(images), int)

    def __getitem__(self, index):
        self.reads[index] += 1
        return self.images[index]


@pytest.fixture
def few_tell_the_scale(monkeypatch):
    """Have only four images tell the scale of all, before these are read."""
    monkeypatch.setattr(model, "_SAMPLE", 4)
    return 4


def test_a_fit_reads_every_image_once(dataset, few_tell_the_scale):
    images = Counting(dataset.images)
    fslice.reconstruct(Dataset(images, dataset.poses, half_sets=1 + np.arange(N) % 2))
    assert images.reads.min() == 1
    assert images.reads.sum() == N + few_tell_the_scale


def test_a_fit_of_coloured_noise_reads_every_image_once_too(dataset, few_tell_the_scale):
    images = Counting(dataset.images)
    fslice.reconstruct(Dataset(images, dataset.poses), noise="shell")
    assert images.reads.min() == 1
    assert images.reads.sum() == N + few_tell_the_scale


def test_spectra_are_kept_only_within_the_limit(dataset):
    for limit, reads in ((1 << 20, 1), (100, 2)):
        images, cache = Counting(dataset.images), SpectraCache(limit)
        counted = Dataset(images, dataset.poses)
        first, again = (sum_over(counted, spectra, batch_size=16, cache=cache) for _ in range(2))
        assert (images.reads == reads).all()
        assert np.array_equal(first, again)


def test_poses_alone_need_no_pixels(dataset):
    images = Counting(dataset.images)
    found = sum_over(
        Dataset(images, dataset.poses), lambda batch: len(batch.rotations), images=False
    )
    assert found == N
    assert not images.reads.any()


def test_whitened_images_have_unit_noise(rng):
    variances = np.linspace(1, 9, SIZE // 2 + 1) * np.array([[1.0], [4.0]])
    groups = np.arange(2000) % 2
    noise = GaussianNoise(variances, groups)
    white = fslice.rfft2(rng.normal(size=(2000, SIZE, SIZE)))
    images = fslice.irfft2(white * np.sqrt(noise.evaluate(SIZE)))
    poses = Poses(fslice.random_rotations(2000, rng))
    dataset = Dataset(images, poses, noise=noise)
    power = sum_over(dataset, lambda b: (abs(b.images_ft[:, 1, 1:3]) ** 2).sum(0))
    assert np.allclose(power / 2000, 1, atol=0.1)
    batches = []
    sum_over(dataset, lambda b: batches.append(b) or 0)
    assert np.allclose(batches[0].ctf, 1 / np.sqrt(noise[batches[0].rows].evaluate(SIZE)))


@pytest.mark.parametrize("ctfs", [1, N])
@pytest.mark.parametrize("aberrated", [False, True])
def test_a_ctf_that_images_are_multiplied_by_is_taken_out(dataset, rng, ctfs, aberrated):
    ctf, known = random_ctf(ctfs, 3.0, rng), None
    values = ctf.evaluate(SIZE)
    if aberrated:
        group, even = np.arange(N) % 2, 300 * rng.normal(size=(2, 4)) * [0, 1, 1, 1]
        known = Aberrations(odd=np.zeros((2, 0)), even=even, group=group, pixel_size=3.0)
        each = ctf[np.arange(N) % ctfs]
        values = aberrated_ctf(each, known.even_phases(SIZE)[group])
    plain = replace(dataset, ctf=ctf, aberrations=known, contrast=rng.uniform(0.5, 2, N))
    images = fslice.irfft2(values * fslice.rfft2(dataset.images))
    multiplied = replace(plain, images=images, ctf_applied="premultiplied")
    batches = []
    for each in (plain, multiplied):
        sum_over(each, lambda batch: batches.append(batch.images_ft) or 0, batch_size=N)
    inside = fslice.fourier.radii(SIZE, 2) < SIZE / 2  # at Nyquist there are no mates
    large = inside & (abs(batches[1]) > 0)
    assert large.sum() > 0.9 * N * inside.sum()
    assert np.allclose(batches[0][large], batches[1][large], rtol=1e-9)


@pytest.mark.parametrize("applied", ["none", "phase-flipped", "premultiplied"])
def test_a_contrast_keeps_its_sign_whatever_was_done_to_the_images(dataset, rng, applied):
    known = replace(dataset, ctf=random_ctf(N, 3.0, rng), ctf_applied=applied)
    contrast, rows = rng.normal(size=N), np.arange(N)
    one, other = (ctf_of(replace(known, contrast=c), rows) for c in (np.ones(N), contrast))
    one, other = (c.evaluate(SIZE) if isinstance(c, fslice.CTF) else c for c in (one, other))
    assert np.allclose(other, contrast[:, None, None] * one, rtol=1e-9)


def test_what_does_not_fit_is_named(dataset, rng):
    images, poses = dataset.images, dataset.poses
    flat = Aberrations(
        odd=np.zeros((1, 2)), even=np.zeros((1, 1)), group=np.zeros(3, int), pixel_size=1.0
    )
    cases = [
        (lambda: Dataset([[1.0]], poses), TypeError, "images: expected an array, got list"),
        (lambda: Dataset(images[:, :4], poses), ValueError, r"images: expected shape \(n, D, D\)"),
        (lambda: Dataset(images[:3], poses), ValueError, "poses: expected one for each of the 3"),
        (lambda: Dataset(images + 0j, poses), TypeError, "images: expected real numbers, got"),
        (lambda: Dataset(images, poses, np.ones((N, 8, 8))), ValueError, "ctf: expected shape"),
        (lambda: Dataset(images, poses, ctf_applied="some"), ValueError, "ctf_applied: expected"),
        (
            lambda: Dataset(images, poses, ctf_applied="premultiplied"),
            ValueError,
            "ctf: expected the CTF of images that are premultiplied",
        ),
        (lambda: Dataset(images, poses, symmetry="C0"), ValueError, "symmetry: expected C1"),
        (lambda: Dataset(images, poses, contrast=np.ones(3)), ValueError, "contrast: expected"),
        (lambda: Dataset(images, poses, aberrations=flat), ValueError, "aberrations: expected"),
        (lambda: Dataset(images, poses, groups=np.ones(N)), TypeError, "groups: expected integers"),
        (
            lambda: Dataset(images, poses, noise=GaussianNoise(1.0, max_radius=3)),
            ValueError,
            "noise: expected no max_radius: the band is that of the projector",
        ),
        (lambda: Poses(np.eye(3)), ValueError, r"rotations: expected shape \(n, 3, 3\)"),
        (lambda: Poses(2 * np.eye(3)[None]), ValueError, "rotations: expected orthonormal"),
        (
            lambda: Poses(np.eye(3)[None], np.full((1, 2), np.nan)),
            ValueError,
            "shifts: 2 of 2 values are NaN or infinite",
        ),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()


def test_data_sets_say_what_they_are_in_a_line(dataset):
    assert repr(dataset) == (
        "Dataset(40 images of 8 x 8 pixels, float64, no CTF, white noise, symmetry C1)"
    )
    assert repr(dataset.poses) == "Poses(40 images, shifts)"

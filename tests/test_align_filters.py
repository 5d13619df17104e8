"""Defocus and contrast as coordinates of an image's posterior: derivatives and closed forms."""

import dataclasses
import pathlib
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import noise, random_ctf, seeds

import fslice
from fslice import Dataset, Poses, Projector, random_rotations, rfft2
from fslice.alignment.band import Band
from fslice.alignment.filters import defocus_response, image_filters
from fslice.alignment.level import Level
from fslice.alignment.newton import Starts, moved
from fslice.data.passes import make_batch
from fslice.geometry import rotvec_to_matrix
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.operators.aberrations import Aberrations
from fslice.operators.filter_curvature import filter_curvature
from fslice.operators.pose_curvature import pose_hessian

STDS = {"defocus": 300.0, "contrast": 0.2}
UNITS = np.array([1, 1, 1, 1, 1, 300, 1.0])


def shifted(ctf, offset):
    """Return a CTF with both of its defoci changed, as RELION's refinement changes them."""
    return ctf.replace(defocus_u=ctf.defocus_u + offset, defocus_v=ctf.defocus_v + offset)


def filters_of(dataset, images_ft, stds=STDS, radius=None):
    """Return the filters of a data set in a band: the whole box, unless a radius is given."""
    batch = make_batch(dataset, np.arange(len(dataset)), images_ft)
    band = Band(dataset.size, radius or (dataset.size - 1) // 2)
    response = defocus_response(dataset, batch) if "defocus" in stds else None
    return batch, band, image_filters(batch, band, dataset.dtype, stds, response)


def joint(found, rows):
    """Return the gradient and the Hessian in the pose and two parameters."""
    hessian = np.empty((len(found.gradient), 7, 7))
    hessian[:, :5, :5] = found.matrix + found.residual
    hessian[:, 5:] = rows.matrix + rows.residual
    hessian[:, :5, 5:] = hessian[:, 5:, :5].swapaxes(1, 2)
    return np.concatenate([found.gradient, rows.gradient], 1), hessian


def errors(seed, size, weighted, curvature=filter_curvature, changed=None):
    """Return by how much slope and curvature of the misfit differ from differences, relatively.

    In a random direction of pose, defocus and contrast together.
    """
    rng, n = np.random.default_rng(seed), 3
    projector = Projector(size, 2, "cubic", (size - 1) / 2.2)
    volume_ft = projector.transform(noise(rng, (size,) * 3))
    images_ft = rfft2(noise(rng, (n, size, size)))
    rotations, shifts, ctf = random_rotations(n, rng), noise(rng, (n, 2)), random_ctf(rng, n)
    weights = 0.5 + rng.random((size, size // 2 + 1)) if weighted else 1.7
    dataset = Dataset(noise(rng, (n, size, size)), Poses(rotations), ctf)
    direction = UNITS * noise(rng, (n, 7))
    offset, contrast, step = 200.0, 0.8, 1e-4

    def misfit(along):
        own = along * direction
        moved = rotations @ rotvec_to_matrix(own[:, :3]), shifts + own[:, 3:5]
        values = shifted(ctf, offset + own[:, 5]).evaluate(size)
        values *= contrast + own[:, 6, None, None]
        return projector.misfit(volume_ft, images_ft, *moved, values, weights).chi_squared / 2

    filters = filters_of(dataset, images_ft)[2]
    if changed is not None:
        filters = changed(*(getattr(filters, field.name) for field in dataclasses.fields(filters)))
    own = filters.derivatives(np.arange(n), np.tile([offset, contrast], (n, 1)))
    common = projector, volume_ft, images_ft, rotations, shifts, own.values
    rows = curvature(*common, own.first, own.second, weights)
    gradient, hessian = joint(pose_hessian(*common, weights), rows)
    ahead, here, back = misfit(step), misfit(0.0), misfit(-step)
    slope = np.einsum("na,na->n", direction, gradient)
    slopes = np.einsum("na,na->n", abs(direction), abs(gradient))
    slope_error = abs((ahead - back) / (2 * step) - slope) / slopes
    bend = np.einsum("na,nab,nb->n", direction, hessian, direction)
    bends = np.einsum("na,nab,nb->n", abs(direction), abs(hessian), abs(direction))
    bend_error = abs((ahead - 2 * here + back) / step**2 - bend) / bends
    return slope_error.max(), bend_error.max()


@settings(max_examples=8)
@given(seed=seeds, size=st.integers(5, 9), weighted=st.booleans())
def test_the_joint_hessian_is_the_second_difference_of_the_misfit(seed, size, weighted):
    slope, bend = errors(seed, size, weighted)
    assert slope < 1e-5
    assert bend < 3e-5


FAULTS = (
    ("operators/filter_curvature.py", "power = (", "power = 2 * ("),
    ("operators/filter_curvature.py", "residual = slices * ctf - images_ft",
     "residual = slices * ctf"),
    ("operators/filter_curvature.py", "(weighted * ctf) * slices", "weighted * slices"),
    ("operators/filter_curvature.py", "in_pose(weighted * residual)", "in_pose(own * residual)"),
    ("operators/filter_curvature.py", "summed(bend * against)", "0"),
    ("operators/filter_curvature.py", "product - product.swapaxes(1, 2)",
     "product + product.swapaxes(1, 2)"),
    ("operators/filter_curvature.py", "xp.where(kx == 0, 1.0, 2.0)", "xp.where(kx == 0, 1.0, 1.0)"),
    ("alignment/filters.py", "slope = -phases * ahead", "slope = phases * ahead"),
    ("alignment/filters.py", "-(phases**2) * values", "(phases**2) * values"),
    ("alignment/filters.py", "second[0, 1] = slope", "second[0, 1] = ctf"),
    ("alignment/filters.py", "first.append(ctf)", "first.append(values)"),
    ("alignment/filters.py", "ctf * cosine - ahead * sine", "ctf * cosine + ahead * sine"),
)  # fmt: skip


@pytest.mark.parametrize(("file", "right", "wrong"), FAULTS, ids=[f[2] for f in FAULTS])
def test_a_fault_in_the_derivatives_is_noticed(file, right, wrong):
    source = (pathlib.Path(fslice.__file__).parent / file).read_text()
    assert source.count(right) == 1, f"{file} has changed: find {right!r} anew"
    module = types.ModuleType("mutated")
    sys.modules["mutated"] = module  # where dataclasses look for it
    exec(compile(source.replace(right, wrong), file, "exec"), vars(module))
    changed = {"changed": module.ImageFilters} if "filters.py" in file else {
        "curvature": module.filter_curvature
    }  # fmt: skip
    assert max(errors(3, 7, True, **changed)) > 1e-3


KINDS = {
    "a CTF": {},
    "coloured noise": {"noise": GaussianNoise(1 + np.arange(6.0))},
    "a contrast": {"contrast": np.array([0.5, 1.2, 0.9])},
    "phase-flipped": {"ctf_applied": "phase-flipped"},
    "premultiplied": {"ctf_applied": "premultiplied"},
    "aberrations": {
        "aberrations": Aberrations(
            odd=np.zeros((1, 0)), even=np.array([[0.3, -0.2, 0.5]]), group=np.zeros(3, int),
            pixel_size=3.0,
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("radius", [None, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_is_the_ctf_at_the_shifted_defocus_times_the_contrast(kind, radius, rng):
    """Whatever else multiplies the slices, such as the sign by which images were multiplied."""
    ctf, size = random_ctf(rng, 3), 10
    dataset = Dataset(noise(rng, (3, size, size)), Poses(random_rotations(3, rng)), ctf)
    dataset = dataclasses.replace(dataset, **KINDS[kind])
    images_ft = rfft2(dataset.images)
    _, band, filters = filters_of(dataset, images_ft, radius=radius)
    image_of = np.array([0, 0, 1, 2])
    parameters = np.stack([500 * rng.normal(size=4), 1 + 0.3 * rng.normal(size=4)], 1)
    found = filters.values(image_of, parameters)
    for place, (image, (offset, contrast)) in enumerate(zip(image_of, parameters, strict=True)):
        moved = dataclasses.replace(dataset, ctf=shifted(ctf, offset), ctf_applied="none")
        expected = make_batch(moved, np.array([image]), images_ft[:1]).ctf
        expected = contrast * band.crop_ctf(expected, 1, np.dtype("f8"))[0]
        known = band.crop_ctf(ctf[[image]], 1, np.dtype("f8"))[0]
        if kind == "phase-flipped":
            expected = expected * np.sign(known)
        if kind == "premultiplied":
            expected = expected * (abs(known) >= 0.01)
        assert np.allclose(found[place], expected, atol=1e-9 * abs(expected).max())


def test_one_ctf_serves_all_images(rng):
    ctf, size = random_ctf(rng, 1), 8
    dataset = Dataset(noise(rng, (2, size, size)), Poses(random_rotations(2, rng)), ctf)
    filters = filters_of(dataset, rfft2(dataset.images))[2]
    found = filters.values(np.array([1]), np.array([[200.0, 1.0]]))
    assert np.allclose(found, shifted(ctf, 200.0).evaluate(size), atol=1e-9)


def test_images_of_a_portion_answer_as_in_the_whole(rng):
    """A batch names them as the whole does."""
    rows, size = np.array([1, 3, 4]), 8
    dataset = Dataset(
        noise(rng, (5, size, size)), Poses(random_rotations(5, rng)), random_ctf(rng, 5)
    )
    part = dataset.portion(rows)
    batch = make_batch(part, np.arange(3), rfft2(part.images))
    found = defocus_response(part, batch)
    whole = defocus_response(dataset, make_batch(dataset, rows, rfft2(part.images)))
    assert np.array_equal(found.rates, whole.rates)
    assert np.array_equal(found.quadrature.evaluate(size), whole.quadrature.evaluate(size))


def level_of(rng, stds, n=3, size=9):
    volume = noise(rng, (size,) * 3)
    ctf = random_ctf(rng, n)
    dataset = Dataset(noise(rng, (n, size, size)), Poses(random_rotations(n, rng)), ctf)
    images_ft = rfft2(dataset.images)
    _, band, filters = filters_of(dataset, images_ft, stds, radius=3)
    parameters = np.stack([0.3 * stds[name] * noise(rng, n) for name in stds], 1)
    starts = Starts(
        np.arange(n), dataset.poses.rotations, noise(rng, (n, 2)), filters.means + parameters
    )
    # images that are nearly what is expected there: the bounds of the curvature play no part
    slices = band.projector.project_ft(
        band.transform(volume), starts.rotations, band.scale * starts.shifts
    )
    images = filters.values(starts.image_of, parameters + filters.means) * slices
    images += 0.05 * abs(images).max() * noise(rng, images.shape)
    return Level(band, band.transform(volume), images, filters, 0.01, 1.5), starts


@pytest.mark.parametrize("names", [["defocus"], ["contrast"], ["defocus", "contrast"]])
def test_the_log_posterior_of_a_level_has_the_derivatives_that_it_says(names, rng):
    level, starts = level_of(rng, {name: STDS[name] for name in names})
    powers = level.powers()
    units = np.array([1.0] * 5 + [STDS[name] for name in names])
    found = level.evaluate(starts, powers)
    direction, step = 0.1 * units * noise(rng, (3, len(units))), 1e-4
    scores = [level.scores(moved(starts, by * direction), powers) for by in (step, 0, -step)]
    assert np.allclose(found.score, scores[1], rtol=1e-9)
    slope = np.einsum("na,na->n", direction, found.gradient)
    slopes = np.einsum("na,na->n", abs(direction), abs(found.gradient))
    assert (abs((scores[2] - scores[0]) / (2 * step) - slope) < 1e-5 * slopes).all()
    # a turn has a prior's curvature, but no prior that varies
    full = level.evaluate(starts, powers, full=True)
    bend = np.einsum("na,nab,nb->n", direction, full.matrix, direction)
    expected = (2 * scores[1] - scores[0] - scores[2]) / step**2
    widest = np.einsum("na,na->n", direction[:, :3], direction[:, :3]) * 3 / np.pi**2
    assert (abs(expected + widest - bend) < 1e-4 * abs(bend)).all()


def test_with_the_pose_held_the_contrast_is_that_of_least_squares_and_its_prior(rng):
    """The misfit is a parabola in the contrast: q^2 / 2P in closed form, P its curvature."""
    level, starts = level_of(rng, {"contrast": 0.2})
    powers, ones = level.powers(), starts._replace(parameters=np.ones((3, 1)))
    here = level.evaluate(ones, powers)
    step = -here.gradient[:, 5] / here.matrix[:, 5, 5]
    best = ones._replace(parameters=1 + step[:, None])
    gain = here.gradient[:, 5] ** 2 / (2 * here.matrix[:, 5, 5])
    assert np.allclose(level.scores(best, powers), here.score + gain, rtol=1e-9)
    grid = np.linspace(-20, 20, 401)
    spread = here.matrix[0, 5, 5] ** -0.5
    values = [
        level.scores(
            best.take(slice(0, 1))._replace(parameters=best.parameters[:1] + spread * at), powers
        )[0]
        for at in grid
    ]
    integral = np.exp(np.array(values) - values[200]).sum() * spread * (grid[1] - grid[0])
    assert integral == pytest.approx(np.sqrt(2 * np.pi) * spread, rel=1e-6)


@pytest.mark.parametrize("ctf", [None, np.ones((3, 8, 5))])
def test_defocus_needs_a_ctf(ctf, rng):
    dataset = Dataset(noise(rng, (3, 8, 8)), Poses(random_rotations(3, rng)), ctf)
    with pytest.raises(ValueError, match="defocus_std: expected None unless there is a CTF, got"):
        filters_of(dataset, rfft2(dataset.images))

"""Half maps: of disjoint images, unfiltered ones, and a map inside a mask that it shows itself."""

import dataclasses

import numpy as np
import pytest

import fslice
from fslice.data.dataset import Dataset
from fslice.data.passes import make_batch
from fslice.data.poses import Poses
from fslice.fourier import rfft2, rfft3
from fslice.posterior.mean import solve
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.sums import NormalSums, Running, normal_equations
from fslice.postprocess.masks import mask_from_map, soft_spherical_mask
from fslice.solvers.adam import Adam
from fslice.solvers.exact import Exact
from fslice.solvers.wiener import Wiener

SIZE, NUMBER = 32, 400


class Counted:
    """Images that count how often each is read."""

    def __init__(self, images):
        self.images, self.shape, self.dtype = images, images.shape, images.dtype
        self.reads = np.zeros(len(images), int)

    def __getitem__(self, index):
        self.reads[index] += 1
        return self.images[index]


@pytest.fixture(scope="module")
def data():
    """Simulate images of the phantom."""
    return fslice.simulate(fslice.phantom(SIZE, 4.0), NUMBER, SIZE, 4.0, snr=0.2, seed=3)


@pytest.fixture(scope="module")
def dataset(data):
    """Part them in two halves."""
    half_sets = np.tile([1, 2], NUMBER // 2)
    return Dataset(data.images(), Poses(data.rotations), half_sets=half_sets)


def halves_of(dataset, projector):
    return [
        normal_equations(dataset, projector, rows=np.flatnonzero(dataset.half_sets == half))
        for half in (1, 2)
    ]


def test_half_maps_are_those_of_the_halves_alone_under_the_prior_of_all(dataset):
    found = fslice.reconstruct(dataset)
    for half, normal in zip(
        found.half_maps, halves_of(dataset, fslice.Projector(SIZE)), strict=True
    ):
        precision = PosteriorPrecision(normal, found.prior_variance, found.noise_variance)
        expected = solve(precision, tolerance=1e-6).volume()
        assert np.linalg.norm(half - expected) < 2e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize("few", [1, 2])
def test_a_half_of_few_images_is_exact_beside_one_of_many(few):
    """In single precision the sum over 2000 images has lost four digits of what one image says."""
    data = fslice.simulate(fslice.phantom(20, 4.0), 2000, 20, 4.0, snr=100.0, seed=1)
    half_sets = np.full(2000, 3 - few)
    half_sets[7] = few
    alone, found = (
        fslice.reconstruct(
            Dataset(data.images().astype(dtype), Poses(data.rotations), half_sets=half_sets)
        )
        for dtype in ("f8", "f4")
    )
    for name, tolerance in (("half_maps", 1e-3), ("unfiltered_half_maps", 1e-5)):
        for got, want in zip(getattr(found, name), getattr(alone, name), strict=True):
            assert np.linalg.norm(got - want) < tolerance * np.linalg.norm(want)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_the_second_half_is_what_the_first_leaves_of_all(data, interpolation):
    rotations = data.rotations[:40]
    few = Dataset(
        data.images()[:40].astype(np.float64), Poses(rotations), half_sets=np.tile([1, 2, 2, 1], 10)
    )
    first, second = halves_of(few, fslice.Projector(SIZE, interpolation=interpolation))
    rest = (first + second) - first
    volume_ft = rfft3(np.random.default_rng(0).normal(size=(SIZE,) * 3))
    for got, want in (
        (rest.b, second.b), (rest.apply(volume_ft), second.apply(volume_ft)),
        (rest.diagonal(), second.diagonal()), (rest.row_sums(), second.row_sums()),
        (rest.squares, second.squares), (rest.degrees, second.degrees),
    ):  # fmt: skip
        np.testing.assert_allclose(got, want, atol=1e-12 * abs(want).max())
    assert rest.count == second.count == 20


@pytest.mark.parametrize("overwrite", [False, True])
def test_sums_overwrite_the_spectra_of_images_only_where_they_may(data, overwrite):
    rotations, spectra = data.rotations[:5], rfft2(data.images()[:5].astype(np.float64))
    ctf = np.full(spectra.shape, 0.5)
    dataset = Dataset(data.images()[:5].astype(np.float64), Poses(rotations), ctf=ctf)
    batch = make_batch(dataset, np.arange(5), spectra)
    kept = spectra.copy()
    total = NormalSums.of(fslice.Projector(SIZE), overwrite=overwrite).add(Running(), batch)
    np.testing.assert_array_equal(spectra, ctf * kept if overwrite else kept)
    expected = fslice.Projector(SIZE).backproject_ft(ctf * kept, rotations)
    np.testing.assert_allclose(total.b, expected, atol=1e-12 * abs(expected).max())


def test_half_maps_have_in_common_only_what_their_images_show(dataset):
    noise = np.random.default_rng(0).normal(size=dataset.images.shape).astype("f4")
    found = fslice.reconstruct(dataclasses.replace(dataset, images=noise), prior=1.0)
    curve = fslice.fsc(*found.half_maps)[2 : SIZE // 2]
    assert abs(curve.mean()) < 0.03


def test_the_half_maps_of_wiener_are_back_projections_under_the_prior_of_all(dataset):
    found = fslice.reconstruct(dataset, solver=Wiener())
    projector = fslice.Projector(SIZE)
    noise = found.noise_variance / found.prior_variance
    for half, normal in zip(found.half_maps, halves_of(dataset, projector), strict=True):
        expected = projector.to_volume(normal.b / (normal.row_sums() + noise))
        assert np.linalg.norm(half - expected) < 1e-4 * np.linalg.norm(expected)
    alone = dataclasses.replace(dataset, half_sets=None)
    whole = fslice.reconstruct(alone, solver=Wiener())
    np.testing.assert_allclose(found.mean, whole.mean, atol=1e-4 * abs(whole.mean).max())
    assert whole.half_maps is None


def test_the_half_maps_of_wiener_agree_under_coloured_noise_too(dataset):
    found = fslice.reconstruct(dataset, solver=Wiener(), noise="shell")
    white = fslice.reconstruct(dataset, solver=Wiener())
    curves = [fslice.fsc(*fit.half_maps) for fit in (found, white)]
    np.testing.assert_allclose(*curves, atol=0.1)


@pytest.mark.parametrize(
    "solver", [Exact(), Adam(epochs=2), Wiener()], ids=["exact", "adam", "wiener"]
)
def test_unfiltered_half_maps_are_back_projections_over_the_sampling_density(dataset, solver):
    found = fslice.reconstruct(dataset, solver=solver)
    projector = fslice.Projector(SIZE)
    for half, normal in zip(found.unfiltered_half_maps, halves_of(dataset, projector), strict=True):
        density = normal.row_sums()
        floor = 1e-3 * density[density > 0].mean()
        expected = projector.to_volume(normal.b / (density + floor))
        assert np.linalg.norm(half - expected) < 1e-3 * np.linalg.norm(expected)


def test_a_map_is_solved_again_inside_the_mask_that_it_shows_from_the_same_sums():
    data = fslice.simulate(fslice.phantom(48, 4.0), NUMBER, 48, 4.0, snr=0.1, seed=3)
    counted, masks = Counted(data.images()), []
    dataset = Dataset(counted, Poses(data.rotations), half_sets=np.tile([1, 2], NUMBER // 2))

    def find(volume):
        masks.append(mask_from_map(volume, 4.0))
        return masks[-1]

    found = fslice.reconstruct(dataset, solver=Exact(mask_from=find))
    again = counted.reads - 1  # of the images that tell the scale, before all are read
    assert again.min() == 0
    assert again.sum() <= 64
    (mask,) = masks
    for volume in (found.mean, *found.half_maps):
        assert not volume[mask == 0].any()
    plain = fslice.reconstruct(dataset)
    error = [(mask * (result.mean - data.truth) ** 2).sum() for result in (found, plain)]
    assert error[0] < 0.97 * error[1]


def test_the_power_inside_a_mask_is_that_of_the_object(dataset, data):
    mask = soft_spherical_mask(SIZE, 12, 3, "float32")
    found = fslice.reconstruct(dataset, solver=Exact(mask_from=lambda _: mask))
    learned = fslice.reconstruct(dataset, mask=mask)
    inner = slice(2, 10)
    ratio = found.prior_variance[inner] / learned.prior_variance[inner]
    assert abs(np.log(ratio)).mean() < np.log(1.5)


def test_a_scalar_prior_inside_a_mask_that_is_found_is_that_of_a_given_one(dataset):
    mask = soft_spherical_mask(SIZE, 12, 3, "float32")
    found, given = (
        fslice.reconstruct(dataset, prior="scalar", **options)
        for options in ({"solver": Exact(mask_from=lambda _: mask)}, {"mask": mask})
    )
    assert np.isclose(found.prior_variance, given.prior_variance, rtol=1e-5)


def test_a_mask_is_given_or_found_but_not_both(dataset):
    mask = np.ones((SIZE,) * 3, "f4")
    with pytest.raises(ValueError, match="mask: expected None with mask_from"):
        fslice.reconstruct(dataset, mask=mask, solver=Exact(mask_from=lambda volume: mask))


@pytest.mark.parametrize("inside", [False, True])
def test_the_picture_of_a_fit_compares_half_maps_that_share_no_mask(dataset, inside):
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
    mask = soft_spherical_mask(SIZE, 8, 3, "float32") if inside else None
    found = fslice.reconstruct(dataset, mask=mask)
    halves = found.unfiltered_half_maps if inside else found.half_maps
    reached = fslice.resolution(fslice.fsc(*halves), SIZE, 4.0, 0.143)
    legends = [axes.get_legend() for axes in found.plot(4.0).axes]
    texts = [text.get_text() for legend in legends if legend for text in legend.get_texts()]
    (line,) = (text for text in texts if text.startswith("between"))
    assert f": {reached:.2f} " in line

"""Fits of all solvers: what they find, how they agree, what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import spearmanr

import fslice
from fslice import Projector, rfft2
from fslice.alignment.joint.infer import Joint
from fslice.data.dataset import Dataset
from fslice.data.passes import sum_over
from fslice.data.poses import Poses
from fslice.fourier import inner_product
from fslice.operators.aberrations import Aberrations, aberrate_slices, aberrated_ctf
from fslice.posterior.elbo import best_noise_variance, elbo, mean_field_std
from fslice.posterior.families import GaussianPosterior
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.result import full_grid
from fslice.posterior.sums import NormalSums, normal_equations
from fslice.postprocess.masks import soft_spherical_mask
from fslice.solvers.adam import Adam
from fslice.solvers.checkpoint import Checkpoint
from fslice.solvers.exact import Exact
from fslice.solvers.steps import CHUNK, FitState, Problem, evaluate, fit
from fslice.solvers.wiener import Wiener

SIZE = 24


@pytest.fixture(scope="module")
def data():
    model = fslice.phantom(SIZE, 5.0)
    return fslice.simulate(model, 300, SIZE, 5.0, snr=0.5, shift_std=1.0, seed=3)


@pytest.fixture(scope="module")
def by_adam(data):
    return fslice.reconstruct(data.images(), data.rotations, data.shifts, solver=Adam())


@pytest.fixture(scope="module")
def exact(data):
    """The same model as Adam's: one prior variance."""
    return fslice.reconstruct(data.images(), data.rotations, data.shifts, prior="scalar")


def quiet(*_):
    """Stand in for callbacks that a test does not look at."""


def problem(data, *, prior=3e4, fits_noise=False, oversampling=1, batch_size=100):
    images = data.images().astype(np.float64)
    dataset = Dataset(images, Poses(data.rotations, data.shifts.astype(float)), data.ctf)
    normal = sum_over(dataset, NormalSums(Projector(SIZE, oversampling), stencil=False))
    precision = PosteriorPrecision(normal, prior, data.noise_variance)
    return Problem(dataset, np.arange(len(dataset)), precision, True, fits_noise, batch_size, 0)


def conventional(posed):
    normal = posed.precision.normal
    return normal.b / (normal.row_sums() + 1e-3 * normal.row_sums().mean())


def test_the_default_is_exact_with_a_prior_per_shell(data):
    found = fslice.reconstruct(data.images(), data.rotations, data.shifts)
    assert found.solver == "exact"
    assert found.prior_variance.shape == (SIZE // 2 + 1,)
    scalar = fslice.reconstruct(data.images(), data.rotations, data.shifts, prior="scalar")
    errors = [fslice.metrics.mean_squared_error(f.mean, data.truth) for f in (found, scalar)]
    assert errors[0] < errors[1]


def test_adam_solves_the_normal_equations(data):
    known = {"prior": 2e4, "noise_variance": data.noise_variance}
    arguments = data.images().astype(float), data.rotations, data.shifts.astype(float)
    exact = fslice.reconstruct(*arguments, **known)
    found = fslice.reconstruct(*arguments, solver=Adam(), **known)
    assert 0 <= exact.elbo - found.elbo < 5e-4 * (exact.elbo - exact.elbo_prior)
    assert found.elbo_prior == pytest.approx(exact.elbo_prior, rel=1e-9)


def test_the_exact_solver_finds_what_adam_approaches(by_adam, exact):
    gain = exact.elbo - exact.elbo_prior
    assert abs(exact.elbo - by_adam.elbo) < 5e-4 * gain
    assert exact.noise_variance == pytest.approx(by_adam.noise_variance, rel=0.02)
    ratio = by_adam.posterior_std / exact.posterior_std
    assert np.median(abs(np.log(ratio))) < 0.02
    assert exact.converged
    assert by_adam.converged


def test_the_conventional_map_has_the_lower_bound(data, by_adam):
    wiener = fslice.reconstruct(data.images(), data.rotations, data.shifts, solver=Wiener())
    assert wiener.elbo < by_adam.elbo
    assert fslice.fsc(wiener.mean, data.truth)[1:4].min() > 0.9


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_a_kernel_without_a_stencil_is_solved_by_passes(data, interpolation):
    images = data.images()[:100]
    poses = Poses(data.rotations[:100], data.shifts[:100])
    found = fslice.reconstruct(
        Dataset(images, poses), interpolation=interpolation, noise_variance=data.noise_variance,
        prior=2e4,
    )  # fmt: skip
    by_steps = fslice.reconstruct(
        Dataset(images, poses), interpolation=interpolation, noise_variance=data.noise_variance,
        prior=2e4, solver=Adam(),
    )  # fmt: skip
    gain = found.elbo - found.elbo_prior
    assert -1e-6 * gain < found.elbo - by_steps.elbo < 5e-4 * gain


def test_the_bound_is_the_monte_carlo_mean_of_its_definition(data, rng):
    posed = problem(data)
    precision, dataset = posed.precision, posed.dataset
    projector, mean = precision.normal.projector, conventional(posed)
    images_ft = rfft2(dataset.images)
    q = GaussianPosterior(mean, mean_field_std(precision))
    poses = dataset.poses.rotations, dataset.poses.shifts
    draws = [projector.misfit(q.sample(rng), images_ft, *poses)[0].sum() for _ in range(200)]
    degrees = float(precision.normal.degrees.sum())
    sigma2 = precision.noise_variance
    likelihoods = -np.array(draws) / (2 * sigma2) - degrees / 2 * np.log(2 * np.pi * sigma2)
    expected = likelihoods.mean() - q.kl(3e4)
    error = likelihoods.std() / np.sqrt(len(draws))
    assert elbo(precision, mean, q.std) == pytest.approx(expected, abs=5 * error)


def test_the_best_noise_variance_is_stationary(data):
    posed = problem(data)
    mean = conventional(posed)
    residual = 1.1 * data.noise_variance * float(posed.precision.normal.degrees.sum())
    best = best_noise_variance(posed.precision, residual, gaussian=True)

    def bound(variance):
        under = replace(posed.precision, noise_variance=variance)
        return elbo(under, mean, mean_field_std(under), residual)

    values = [bound(best * f) for f in (0.98, 1.0, 1.02)]
    assert values[1] == max(values)


def test_the_gradient_of_the_bound_matches_central_differences(data, rng):
    posed = problem(data)
    z = conventional(posed)
    dz = fslice.rfft3(rng.normal(size=(SIZE,) * 3)) * abs(z).max()

    def evaluation(step):
        return evaluate(posed, FitState(z + step * dz, 0, 1.0, (), None), quiet)

    h = 1e-4
    slope = (evaluation(h).bound - evaluation(-h).bound) / (2 * h)
    assert -inner_product(evaluation(0).gradient, dz) == pytest.approx(slope, rel=1e-6)


def test_a_dirac_and_a_gaussian_fit_find_the_same_mean(data, by_adam):
    dirac = fslice.reconstruct(
        data.images(), data.rotations, data.shifts, posterior="dirac", solver=Adam()
    )
    assert dirac.posterior_std is None
    assert fslice.fsc(dirac.mean, by_adam.mean)[: SIZE // 2].min() > 0.99
    with pytest.raises(ValueError, match="expected a Gaussian posterior, got a point estimate"):
        dirac.posterior_std_grid()


def test_the_noise_variance_is_learned(data, by_adam, exact):
    for found in (by_adam, exact):
        assert found.noise_variance == pytest.approx(data.noise_variance, rel=0.03)


def test_the_deviation_falls_with_the_density_of_samples(data, exact):
    projector = Projector(SIZE)
    density = projector.sampling_density(data.rotations.astype(np.float32))
    seen = density > 0
    assert spearmanr(density[seen], exact.posterior_std[seen]).statistic < -0.95


@pytest.mark.parametrize("solver", [Adam(), Exact()])
def test_frequencies_that_no_image_saw_stay_at_the_prior(solver):
    model = fslice.phantom(SIZE, 5.0)
    data = fslice.simulate(model, 200, SIZE, 5.0, snr=0.5, cone=30.0, seed=1)
    with pytest.warns(UserWarning, match="seen by no image"):
        result = fslice.reconstruct(data.images(), data.rotations, solver=solver, prior="scalar")
    assert "seen by no image" in result.warnings[0]
    unseen = Projector(SIZE).sampling_density(data.rotations.astype(np.float32)) == 0
    assert unseen.mean() > 0.5
    np.testing.assert_allclose(
        result.posterior_std[unseen], np.sqrt(result.prior_variance), rtol=1e-6
    )
    assert abs(result.latent_mean[unseen]).max() <= 1e-6 * abs(result.latent_mean).max()


def test_the_ctf_takes_part():
    model = fslice.phantom(SIZE, 5.0)
    data = fslice.simulate(model, 300, SIZE, 5.0, snr=0.5, ctf=(8000.0, 20000.0), seed=2)
    right = fslice.reconstruct(data.images(), data.rotations, ctf=data.ctf)
    wrong = fslice.reconstruct(data.images(), data.rotations)
    error = [fslice.metrics.mean_squared_error(each.mean, data.truth) for each in (right, wrong)]
    assert fslice.fsc(right.mean, data.truth)[1:6].min() > 0.8
    assert error[0] < 0.2 * error[1]


@pytest.mark.parametrize("applied", ["phase-flipped", "premultiplied"])
def test_images_that_a_ctf_was_applied_to_give_the_same_map(applied):
    model = fslice.phantom(SIZE, 5.0)
    data = fslice.simulate(model, 300, SIZE, 5.0, snr=0.5, ctf=(8000.0, 20000.0), seed=2)
    values = data.ctf.evaluate(SIZE)
    factor = np.sign(values) if applied == "phase-flipped" else values
    images = fslice.irfft2(
        fslice.fourier.hermitian_part(factor * rfft2(data.images().astype(float)), 2)
    )
    images = images.astype(np.float32)
    poses = Poses(data.rotations)
    plain = fslice.reconstruct(Dataset(data.images(), poses, data.ctf))
    found = fslice.reconstruct(Dataset(images, poses, data.ctf, ctf_applied=applied))
    assert np.linalg.norm(found.mean - plain.mean) < 0.02 * np.linalg.norm(plain.mean)
    assert found.noise_variance == pytest.approx(plain.noise_variance, rel=0.02)


def test_aberrations_of_optics_groups_are_taken_out(rng):
    """A beam tilt blurs a map unless its phase is known; even phases change the CTF."""
    data = fslice.simulate(fslice.phantom(SIZE, 5.0), 400, SIZE, 5.0, ctf=(8000.0, 20000.0), seed=2)
    group = np.arange(400) % 2
    known = Aberrations(
        odd=400 * rng.normal(size=(2, 6)) * [0, 0, 1, 1, 1, 1],
        even=300 * rng.normal(size=(2, 4)) * [0, 1, 1, 1],
        group=group, pixel_size=5.0,
    )  # fmt: skip
    projector = Projector(SIZE)
    ctf = aberrated_ctf(data.ctf, known.even_phases(SIZE)[group])
    clean = projector.project_ft(projector.transform(data.truth.astype(float)), data.rotations)
    images = fslice.irfft2(aberrate_slices(clean * ctf, known.odd_phases(SIZE)[group]))
    images += images.std() * rng.normal(size=images.shape)
    poses = Poses(data.rotations)
    fits = [
        fslice.reconstruct(Dataset(images, poses, data.ctf, aberrations=aberrations))
        for aberrations in (known, None)
    ]
    errors = [fslice.metrics.mean_squared_error(f.mean, data.truth.astype(float)) for f in fits]
    assert errors[0] < 0.5 * errors[1]
    assert fits[0].noise_variance == pytest.approx(images.std() ** 2 / 2, rel=0.1)


def test_oversampling_and_the_cubic_kernel_lower_the_residual_of_clean_images():
    data = fslice.simulate(fslice.phantom(SIZE, 5.0), 200, SIZE, 5.0, seed=4)
    variances = [
        fslice.reconstruct(data.images(), data.rotations, solver=Adam(), **options).noise_variance
        for options in ({}, {"oversampling": 2}, {"interpolation": "cubic"})
    ]
    assert variances[1] < variances[0] / 2
    assert variances[2] < variances[0] / 2


@pytest.mark.parametrize(
    ("solver", "mask"),
    [(Exact(), None), (Adam(epochs=1), soft_spherical_mask(SIZE, 7, 3, "float32"))],
)
def test_a_scalar_prior_is_the_variance_of_a_voxel_whatever_the_padding(data, solver, mask):
    found = [
        fslice.reconstruct(
            data.images(), data.rotations, prior="scalar", oversampling=oversampling,
            solver=solver, mask=mask,
        ).prior_variance
        for oversampling in (1, 2)
    ]  # fmt: skip
    assert 1 < found[1] / found[0] < 1.6  # interpolation in the narrow box takes some of the power


@pytest.mark.filterwarnings("ignore:.*seen by no image:UserWarning")
@pytest.mark.parametrize(
    ("size", "oversampling"),
    [(32, 1), (32, 2), *(pytest.param(64, o, marks=pytest.mark.long) for o in (1, 2))],
)
def test_a_map_of_clean_images_predicts_fresh_ones(size, oversampling):
    """With oversampling the unknown is the object in its box: the padding is no freedom."""
    model = fslice.phantom(size, 4.0, radius=0.5)
    seen, fresh = (fslice.simulate(model, 50, size, 4.0, seed=seed) for seed in (1, 2))
    found = fslice.reconstruct(seen.images(), seen.rotations, oversampling=oversampling)
    projector = Projector(size, oversampling)
    predicted = projector.project(found.mean, fresh.rotations.astype(np.float32))
    assert np.corrcoef(predicted.ravel(), fresh.images().ravel())[0, 1] > 0.999


def test_images_that_the_model_explains_almost_exactly_are_fitted(rng):
    """Their residual is a difference of large sums, and would come out below zero."""
    projector = Projector(SIZE)
    volume = rng.normal(size=(SIZE,) * 3).astype(np.float32)
    rotations = fslice.random_rotations(60, rng).astype(np.float32)
    images = projector.project(volume, rotations)
    mask = np.ones((SIZE,) * 3, np.float32)
    for options in ({}, {"mask": mask}):
        found = fslice.reconstruct(images, rotations, **options)
        assert 0 < found.noise_variance < 1e-3 * images.var()
        assert np.isfinite(found.elbo)


@pytest.mark.parametrize("solver", [Exact(), Adam(), Wiener()])
@pytest.mark.parametrize("dtype", ["i2", "u1", "f2", ">f4", "i4"])
def test_images_of_any_real_dtype_are_read(data, solver, dtype):
    images = data.images()[:50]
    scaled = (images - images.min()) / np.ptp(images) * 250
    found = fslice.reconstruct(scaled.astype(dtype), data.rotations[:50], solver=solver)
    plain = fslice.reconstruct(
        scaled.astype(dtype).astype("f4"), data.rotations[:50], solver=solver
    )
    assert found.mean.dtype == np.float32
    np.testing.assert_array_equal(found.mean, plain.mean)


def test_scipys_rotations_are_taken(data):
    images = data.images()[:50]
    matrices = data.rotations[:50]
    found = fslice.reconstruct(images, Rotation.from_matrix(matrices))
    plain = fslice.reconstruct(images, matrices)
    np.testing.assert_allclose(found.mean, plain.mean, atol=1e-4 * abs(plain.mean).max())


def test_half_sets_are_sums_of_the_one_pass(data):
    labels = 1 + np.arange(300) % 2
    arguments = data.images(), data.rotations, data.shifts
    whole = fslice.reconstruct(*arguments)
    found = fslice.reconstruct(*arguments, half_sets=labels)
    np.testing.assert_allclose(found.mean, whole.mean, atol=2e-3 * abs(whole.mean).max())
    alone = fslice.reconstruct(
        *(a[labels == 1] for a in arguments), prior=found.prior_variance.astype(np.float32),
        noise_variance=found.noise_variance,
    )  # fmt: skip
    error = np.linalg.norm(found.half_maps[0] - alone.mean) / np.linalg.norm(alone.mean)
    assert error < 2e-3
    by_steps = fslice.reconstruct(*arguments, half_sets=labels, solver=Adam())
    assert fslice.fsc(*by_steps.half_maps)[2] > 0.9


def test_contrasts_are_learned(rng):
    data = fslice.simulate(fslice.phantom(SIZE, 5.0), 400, SIZE, 5.0, snr=0.5, seed=3)
    contrast = rng.uniform(0.6, 1.4, 400)
    contrast /= contrast.mean()
    noise = np.sqrt(data.noise_variance) * rng.normal(size=(400, SIZE, SIZE))
    clean = fslice.simulate(fslice.phantom(SIZE, 5.0), 400, SIZE, 5.0, seed=3)
    images = (contrast[:, None, None] * clean.images() + noise).astype(np.float32)
    found = fslice.reconstruct(images, data.rotations, contrast=True)
    assert np.corrcoef(found.contrast, contrast)[0, 1] > 0.85
    assert found.contrast.mean() == pytest.approx(1, abs=1e-9)
    plain = fslice.reconstruct(images, data.rotations)
    assert found.elbo > plain.elbo


def test_the_fit_repeats_bit_for_bit(data, by_adam):
    again = fslice.reconstruct(data.images(), data.rotations, data.shifts, solver=Adam())
    np.testing.assert_array_equal(again.mean, by_adam.mean)
    assert again.elbo_trace == by_adam.elbo_trace


def test_an_interrupted_fit_resumes_to_the_same_result(data, tmp_path):
    arguments = data.images(), data.rotations, data.shifts
    solver = Adam(batch_size=3, epochs=4)
    whole = fslice.reconstruct(*arguments, solver=solver)
    assert whole.iterations > 2
    stored = replace(solver, checkpoint=tmp_path / "fit.npz")

    def interrupt(progress):
        if progress.note.startswith("epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fslice.reconstruct(*arguments, solver=stored, progress=interrupt)
    resumed = fslice.reconstruct(*arguments, solver=stored)
    np.testing.assert_array_equal(resumed.mean, whole.mean)
    assert resumed.elbo_trace == whole.elbo_trace


def test_a_checkpoint_of_another_fit_or_a_broken_one_is_refused(data, tmp_path):
    path = tmp_path / "fit.npz"
    arguments = data.images(), data.rotations, data.shifts
    solver = Adam(epochs=1, checkpoint=path)
    fslice.reconstruct(*arguments, solver=solver)
    for change in (
        {"solver": replace(solver, seed=5)},
        {"solver": replace(solver, batch_size=33)},
        {"rotations": data.rotations[::-1]},
        {"shifts": -data.shifts},
        {"prior": 1.0},
    ):
        given = dict(zip(("images", "rotations", "shifts"), arguments, strict=True))
        with pytest.raises(ValueError, match="belongs to a fit of other data or settings"):
            fslice.reconstruct(**{**given, "solver": solver, **change})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        fslice.reconstruct(*arguments, solver=solver)


def test_a_checkpoint_is_whole_or_absent(data, tmp_path, monkeypatch):
    posed = problem(data)
    store = Checkpoint(tmp_path / "fit.npz", posed)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(FitState(posed.precision.normal.b, 1, 0.5, (), None))
    assert not list(tmp_path.iterdir())


def test_a_step_that_made_the_bound_worse_is_undone(data):
    """Even an absurd rate ends at a good fit, because it is halved on the way."""
    posed = problem(data, prior=2e4, fits_noise=True)
    start = FitState(conventional(posed), 0, 200.0, (), None)
    _, state, converged = fit(
        posed, start, epochs=60, tolerance=1e-3, on_batch=quiet, on_epoch=quiet
    )
    assert converged
    assert state.rate < 200


def test_progress_tells_of_every_stage(data):
    seen = []
    fslice.reconstruct(data.images(), data.rotations, solver=Exact(samples=2), progress=seen.append)
    assert list(dict.fromkeys(p.stage for p in seen)) == ["reading", "fitting", "sampling"]
    assert seen[0].total == 300
    assert all(0 < p.done <= p.total for p in seen)
    seen.clear()
    fslice.reconstruct(data.images(), data.rotations, solver=Adam(epochs=1), progress=seen.append)
    assert list(dict.fromkeys(p.stage for p in seen)) == ["reading", "fitting"]
    assert seen[-1].total == 600
    assert CHUNK >= 300


def test_progress_can_be_bars(data, capsys):
    fslice.reconstruct(data.images(), data.rotations, progress=True)
    assert "reading" in capsys.readouterr().err


def test_a_result_is_shown_in_a_few_lines(exact):
    text = repr(exact)
    assert len(text.splitlines()) < 12
    assert "24 x 24 x 24 voxels" in text
    assert "<td" in exact._repr_html_()
    figure = exact.plot(5.0)
    assert figure.axes


def test_the_full_grid_holds_every_frequency_and_its_mate(rng):
    for size in (4, 5):
        spectrum = fslice.rfft3(rng.normal(size=(size,) * 3))
        grid = full_grid(abs(spectrum))
        volume = fslice.irfft3(spectrum)
        full = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(volume), norm="ortho"))
        np.testing.assert_allclose(grid, abs(full), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((300, 4, 5), np.float32)}, r"images: expected shape \(n, D, D\)"),
        ({"images": np.zeros((0, 4, 4), np.float32)}, r"rotations: expected one for each of the 0"),
        ({"rotations": np.zeros((300, 3, 3))}, "rotations: expected orthonormal"),
        (
            {"rotations": np.stack([np.eye(3)] * 2)},
            "rotations: expected one for each of the 300 images",
        ),
        ({"shifts": np.zeros((300, 3))}, r"shifts: expected shape \(300, 2\)"),
        ({"posterior": "cauchy"}, "posterior: expected 'gaussian' or 'dirac', got 'cauchy'"),
        ({"noise_variance": 0.0}, "noise_variance: expected a number above 0, got 0.0"),
        ({"prior": -1.0}, "prior: expected a number above 0, got -1.0"),
        ({"prior": "smooth"}, "prior: expected 'shell' or 'scalar' or a variance, got 'smooth'"),
        ({"noise": "group"}, "groups: expected the optics group of each image, got None"),
        ({"groups": np.arange(3)}, r"groups: expected shape \(300,\), got \(3,\)"),
        ({"half_sets": np.zeros(300, int)}, "half_sets: expected 1 or 2 for every image"),
        ({"solver": Adam(), "prior": "shell"}, "prior: expected 'scalar' or a variance"),
        ({"solver": Wiener(), "mask": np.ones((24, 24, 24), "f4")}, "mask: expected None with"),
        ({"mask": np.full((24, 24, 24), 2, "f4")}, "mask: expected values from 0 to 1"),
        ({"oversampling": 1.01}, "oversampling: expected a number from 1 to 64 that makes"),
    ],
)
def test_bad_input_gets_one_clear_error(data, change, message):
    arguments = {"images": data.images(), "rotations": data.rotations, **change}
    with pytest.raises(ValueError, match=message):
        fslice.reconstruct(**arguments)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rotations": np.eye(3)[None]}, "rotations: expected None beside a Dataset, which has"),
        ({"shifts": np.zeros((300, 2))}, "shifts: expected None beside a Dataset"),
        ({"ctf": np.ones((300, SIZE, SIZE // 2 + 1))}, "ctf: expected None beside a Dataset"),
        ({"groups": np.zeros(300, int)}, "groups: expected None beside a Dataset"),
        ({"half_sets": np.ones(300, int)}, "half_sets: expected None beside a Dataset"),
        ({"symmetry": "c4"}, "symmetry: expected that of the Dataset, C7, got c4"),
        (
            {"poses": "unknown", "joint": Joint()},
            "joint: expected the symmetry of the images, C7, got C1",
        ),
    ],
)
def test_what_a_data_set_says_is_not_said_again(data, given, message):
    dataset = Dataset(data.images(), Poses(data.rotations), symmetry="C7")
    with pytest.raises(ValueError, match=message):
        fslice.reconstruct(dataset, **given)


def test_settings_are_checked_where_they_are_written():
    with pytest.raises(ValueError, match="epochs: expected at least 1, got 0"):
        Adam(epochs=0)
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        Adam(batch_size=0)
    with pytest.raises(ValueError, match="samples: expected at least 0, got -1"):
        Exact(samples=-1)
    with pytest.raises(TypeError, match=r"solver: expected Exact\(\), Adam\(\) or Wiener\(\), got"):
        fslice.reconstruct(np.zeros((1, 4, 4), "f4"), np.eye(3)[None], solver="exact")


@pytest.mark.parametrize("solver", [Exact(), Adam(), Wiener()])
def test_the_first_bad_pixel_is_named(data, solver):
    images = data.images()
    images[7, 3, 5] = np.nan
    with pytest.raises(ValueError, match=r"image 7: 1 of 576 values .* first at index \(3, 5\)"):
        fslice.reconstruct(images, data.rotations, solver=solver)


@pytest.mark.parametrize("solver", [Exact(), Adam(), Wiener()])
def test_images_that_show_nothing_are_refused(solver):
    rotations = np.broadcast_to(np.eye(3), (3, 3, 3))
    with pytest.raises(ValueError, match="expected images that show something, got zeros"):
        fslice.reconstruct(np.zeros((3, 8, 8), "f4"), rotations, solver=solver)


def test_normal_equations_need_their_size(data):
    dataset = Dataset(data.images(), Poses(data.rotations))
    with pytest.raises(ValueError, match="projector: expected size 24, got 32"):
        normal_equations(dataset, Projector(32))

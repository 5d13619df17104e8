import numpy as np
import pytest
from scipy.stats import spearmanr

import fslice
from fslice import Projector, inner_product, rfft2
from fslice.data.dataset import Dataset
from fslice.posterior.families import GaussianPosterior, weighted_sum
from fslice.solvers.adam import CHUNK, FitState, evaluate
from fslice.solvers.checkpoint import Checkpoint
from fslice.solvers.results import full_grid
from fslice.solvers.variational import Bound, collect

SIZE = 24


@pytest.fixture(scope="module")
def data():
    model = fslice.phantom(SIZE, 5.0)
    return fslice.simulate(model, 300, SIZE, 5.0, snr=0.5, shift_std=1.0, seed=3)


@pytest.fixture(scope="module")
def result(data):
    return fslice.reconstruct(data.images(), data.rotations, data.shifts)


def quiet(*_):
    """Stand in for callbacks that a test does not look at."""


def problem(data, oversampling=1, dtype=np.float64):
    dataset = Dataset(data.images().astype(dtype), data.rotations, data.shifts, data.ctf)
    projector = Projector(SIZE, oversampling)
    return dataset, projector, collect(dataset, projector)


def test_the_fit_solves_the_normal_equations(data):
    """Its mean is where the gradient of the bound vanishes, found here by conjugate gradients."""
    dataset, projector, statistics = problem(data)
    result = fslice.reconstruct(
        dataset.images, data.rotations, data.shifts, noise_variance=data.noise_variance,
        prior_variance=2e4,
    )  # fmt: skip

    def apply(z):
        curved = projector.gram(z, dataset.rotations)
        return curved / data.noise_variance + z / 2e4

    z = np.zeros_like(result.mean_ft)
    residual = statistics.backprojection / data.noise_variance
    step, rest = residual, inner_product(residual, residual)
    for _ in range(150):
        curved = apply(step)
        length = rest / inner_product(step, curved)
        z, residual = z + length * step, residual - length * curved
        rest, before = inner_product(residual, residual), rest
        step = residual + rest / before * step
    bound = Bound(statistics, 2e4, True, data.noise_variance)
    misfit = projector.misfit(z, rfft2(dataset.images), dataset.rotations, dataset.shifts)[0].sum()
    best = bound.value(z, misfit, data.noise_variance)
    assert 0 <= best - result.elbo < 5e-4 * (best - result.elbo_prior)


def test_the_exact_solver_finds_what_the_stochastic_one_approaches(data, result):
    exact = fslice.reconstruct(data.images(), data.rotations, data.shifts, solver="exact")
    gain = exact.elbo - exact.elbo_prior
    assert -1e-6 * gain < exact.elbo - result.elbo < 5e-4 * gain
    assert exact.noise_variance == pytest.approx(result.noise_variance, rel=1e-3)
    assert np.median(abs(np.log(result.sigma / exact.sigma))) < 1e-3
    assert exact.converged


def test_the_conventional_map_has_the_lower_bound(data, result):
    wiener = fslice.reconstruct(data.images(), data.rotations, data.shifts, solver="wiener")
    assert wiener.elbo < result.elbo
    assert fslice.fsc(wiener.mean, data.truth)[1:4].min() > 0.9


def test_the_bound_is_the_monte_carlo_mean_of_its_definition(data, rng):
    dataset, projector, statistics = problem(data)
    bound = Bound(statistics, 3e4, True, data.noise_variance)
    mean = statistics.weighted_backprojection()
    images_ft = rfft2(dataset.images)
    q = GaussianPosterior(mean, bound.sigma(data.noise_variance))
    powers = [
        projector.misfit(q.sample(rng), images_ft, dataset.rotations, dataset.shifts)[0].sum()
        for _ in range(200)
    ]
    exact = projector.misfit(mean, images_ft, dataset.rotations, dataset.shifts)[0].sum()
    spread = weighted_sum(statistics.diagonal * q.sigma**2)
    error = np.std(powers) / np.sqrt(len(powers))
    assert exact + spread == pytest.approx(np.mean(powers), abs=5 * error)


def test_the_best_sigma_and_noise_variance_are_stationary(data):
    _, _, statistics = problem(data)
    bound, mean = Bound(statistics, 3e4, True, None), statistics.weighted_backprojection()
    misfit = 1.1 * data.noise_variance * statistics.degrees
    best = bound.best_noise_variance(misfit)
    values = [bound.value(mean, misfit, best * f) for f in (0.98, 1.0, 1.02)]
    assert values[1] == max(values)


def test_the_gradient_of_the_bound_matches_central_differences(data, rng):
    dataset, projector, statistics = problem(data)
    bound = Bound(statistics, 3e4, True, data.noise_variance)
    z = statistics.weighted_backprojection()
    dz = fslice.rfft3(rng.normal(size=(SIZE,) * 3)) * abs(z).max()

    def anchor(step):
        return evaluate(dataset, projector, bound, FitState(z + step * dz, 0, 1.0, (), None), quiet)

    h = 1e-4
    slope = (anchor(h).bound - anchor(-h).bound) / (2 * h)
    assert -inner_product(anchor(0).gradient, dz) == pytest.approx(slope, rel=1e-6)


def test_a_dirac_and_a_gaussian_fit_find_the_same_mean(data, result):
    dirac = fslice.reconstruct(data.images(), data.rotations, data.shifts, posterior="dirac")
    assert dirac.sigma is None
    assert fslice.fsc(dirac.mean, result.mean)[: SIZE // 2].min() > 0.99
    with pytest.raises(ValueError, match="expected a Gaussian posterior, got a point estimate"):
        dirac.sigma_grid()


def test_the_noise_variance_is_learned(data, result):
    assert result.noise_variance == pytest.approx(data.noise_variance, rel=0.03)


def test_sigma_falls_with_the_density_of_samples(data, result):
    projector = Projector(SIZE)
    density = projector.sampling_density(data.rotations.astype(np.float32))
    seen = density > 0
    assert spearmanr(density[seen], result.sigma[seen]).statistic < -0.95


def test_frequencies_that_no_image_saw_stay_at_the_prior():
    model = fslice.phantom(SIZE, 5.0)
    data = fslice.simulate(model, 200, SIZE, 5.0, snr=0.5, cone=30.0, seed=1)
    result = fslice.reconstruct(data.images(), data.rotations)
    unseen = Projector(SIZE).sampling_density(data.rotations.astype(np.float32)) == 0
    assert unseen.mean() > 0.5
    np.testing.assert_allclose(result.sigma[unseen], np.sqrt(result.prior_variance), rtol=1e-6)
    assert not result.mean_ft[unseen].any()


def test_the_ctf_takes_part():
    model = fslice.phantom(SIZE, 5.0)
    data = fslice.simulate(model, 300, SIZE, 5.0, snr=0.5, ctf=(8000.0, 20000.0), seed=2)
    right = fslice.reconstruct(data.images(), data.rotations, ctf=data.ctf)
    wrong = fslice.reconstruct(data.images(), data.rotations)
    error = [fslice.mean_squared_error(each.mean, data.truth) for each in (right, wrong)]
    assert fslice.fsc(right.mean, data.truth)[1:6].min() > 0.8
    assert error[0] < 0.2 * error[1]


def test_oversampling_and_the_cubic_kernel_lower_the_residual_of_clean_images():
    data = fslice.simulate(fslice.phantom(SIZE, 5.0), 200, SIZE, 5.0, seed=4)
    variances = [
        fslice.reconstruct(data.images(), data.rotations, **options).noise_variance
        for options in ({}, {"oversampling": 2}, {"interpolation": "cubic"})
    ]
    assert variances[1] < variances[0] / 2
    assert variances[2] < variances[0] / 2


def test_the_fit_repeats_bit_for_bit(data, result):
    again = fslice.reconstruct(data.images(), data.rotations, data.shifts)
    np.testing.assert_array_equal(again.mean, result.mean)
    assert again.elbo_trace == result.elbo_trace


def test_an_interrupted_fit_resumes_to_the_same_result(data, tmp_path):
    path, options = tmp_path / "fit.npz", {"batch_size": 20, "epochs": 4}
    arguments = data.images(), data.rotations, data.shifts
    whole = fslice.reconstruct(*arguments, **options)

    def interrupt(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    if whole.epochs > 2:
        with pytest.raises(KeyboardInterrupt):
            fslice.reconstruct(*arguments, **options, checkpoint=path, progress=interrupt)
    else:
        fslice.reconstruct(*arguments, batch_size=20, epochs=1, checkpoint=path)
    resumed = fslice.reconstruct(*arguments, **options, checkpoint=path)
    np.testing.assert_array_equal(resumed.mean, whole.mean)
    assert resumed.elbo_trace == whole.elbo_trace


def test_a_checkpoint_of_another_fit_or_a_broken_one_is_refused(data, tmp_path):
    path = tmp_path / "fit.npz"
    arguments = data.images(), data.rotations, data.shifts
    fslice.reconstruct(*arguments, epochs=1, checkpoint=path)
    for change in (
        {"seed": 5},
        {"batch_size": 33},
        {"rotations": data.rotations[::-1]},
        {"shifts": -data.shifts},
        {"prior_variance": 1.0},
    ):
        known = dict(zip(("images", "rotations", "shifts"), arguments, strict=True))
        with pytest.raises(ValueError, match="belongs to a fit of other data or settings"):
            fslice.reconstruct(**{**known, "epochs": 1, "checkpoint": path, **change})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        fslice.reconstruct(*arguments, checkpoint=path)


def test_a_checkpoint_is_whole_or_absent(data, tmp_path, monkeypatch):
    dataset, projector, statistics = problem(data)
    store = Checkpoint(
        tmp_path / "fit.npz", dataset, projector, Bound(statistics, 1.0, True, None), 64, 0
    )

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(FitState(statistics.backprojection, 1, 0.5, (), None))
    assert not list(tmp_path.iterdir())


def test_a_step_that_made_the_bound_worse_is_undone(data):
    """Even an absurd rate ends at a good fit, because it is halved on the way."""
    dataset, projector, statistics = problem(data)
    bound = Bound(statistics, 2e4, True, None)
    from fslice.solvers.adam import fit

    start = FitState(statistics.weighted_backprojection(), 0, 200.0, (), None)
    _, state, converged = fit(
        dataset, projector, bound, start, epochs=60, batch_size=100, tolerance=1e-3, seed=0,
        on_batch=quiet, on_epoch=quiet,
    )  # fmt: skip
    assert converged
    assert state.rate < 200


def test_progress_counts_every_image_once_per_pass(data):
    seen = []
    fslice.reconstruct(data.images(), data.rotations, epochs=1, progress=seen.append)
    assert seen[0].stage == "reading"
    assert {p.total for p in seen} == {300}
    assert all(0 < p.done <= p.total for p in seen)
    assert sum(p.done == p.total for p in seen) == 1 + seen[-1].epoch + 1
    assert CHUNK >= 300


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
        ({"images": np.zeros((3, 4, 5), np.float32)}, r"images: expected shape \(n, D, D\)"),
        ({"images": np.zeros((0, 4, 4), np.float32)}, r"images: expected shape \(n, D, D\)"),
        ({"rotations": np.zeros((2, 3, 3))}, "rotations: expected orthonormal"),
        ({"rotations": np.stack([np.eye(3)] * 2)}, r"rotations: expected shape \(300, 3, 3\)"),
        ({"shifts": np.zeros((300, 3))}, r"shifts: expected shape \(300, 2\)"),
        ({"solver": "newton"}, "solver: expected 'adam' or 'exact' or 'wiener', got 'newton'"),
        ({"posterior": "cauchy"}, "posterior: expected 'gaussian' or 'dirac', got 'cauchy'"),
        ({"noise_variance": 0.0}, "noise_variance: expected a number above 0, got 0.0"),
        ({"prior_variance": -1.0}, "prior_variance: expected a number above 0, got -1.0"),
        ({"epochs": 0}, "epochs: expected at least 1, got 0"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"oversampling": 1.01}, "oversampling: expected a number from 1 to 64 that makes"),
    ],
)
def test_bad_input_gets_one_clear_error(data, change, message):
    arguments = {"images": data.images(), "rotations": data.rotations, **change}
    with pytest.raises(ValueError, match=message):
        fslice.reconstruct(**arguments)


def test_the_first_bad_pixel_is_named(data):
    images = data.images()
    images[7, 3, 5] = np.nan
    with pytest.raises(ValueError, match=r"image 7: 1 of 576 values .* first at index \(3, 5\)"):
        fslice.reconstruct(images, data.rotations)

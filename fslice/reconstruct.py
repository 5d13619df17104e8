"""From particle images with known poses to a map with its uncertainty."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from fslice._arrays import Array, check_choice, check_size
from fslice.data.dataset import Dataset
from fslice.operators.ctf import CTF
from fslice.operators.projector import Projector
from fslice.solvers.exact_posterior import Extras
from fslice.solvers.results import Progress, Reconstruction, Reporter
from fslice.solvers.stages import Settings, closed_form, stochastic, with_noise_spectrum
from fslice.symmetry.groups import symmetry_name


def reconstruct(
    images: Any,
    rotations: Array,
    shifts: Array | None = None,
    ctf: CTF | None = None,
    *,
    posterior: str = "gaussian",
    solver: str = "adam",
    epochs: int = 50,
    batch_size: int | None = None,
    prior_variance: float | None = None,
    noise_variance: float | None = None,
    oversampling: float = 1,
    interpolation: str = "linear",
    symmetry: str = "C1",
    noise: str = "white",
    prior: str = "scalar",
    support: Array | None = None,
    samples: int = 0,
    evidence: bool = False,
    seed: int = 0,
    progress: Callable[[Progress], object] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Reconstruction:
    """Fit a posterior over the volume by maximising the evidence lower bound.

    Parameters
    ----------
    images : (n, D, D) array of real numbers, or a memory-mapped stack
        Particle images, of any real dtype; fitted in single precision unless they are double.
        Read a batch at a time; their half spectra are kept in memory if they take at most 4 GiB.
    rotations : (n, 3, 3) real array
        Image to volume coordinates, acting on (x, y, z).
    shifts : (n, 2) real array, optional
        Where the particles sit, (x, y) in pixels.
    ctf : CTF, optional
        Of the n images.
    posterior : {"gaussian", "dirac"}
        Independent Gaussians for the Fourier coefficients (the paper's section 5.1), or a
        point: the maximum a posteriori map.
    solver : {"adam", "exact", "wiener"}
        Stochastic steps; or, in one pass over the images, the maximum of the bound by
        conjugate gradients on the normal equations (linear interpolation only); or the
        conventional weighted back-projection, as a baseline.
    epochs : int
        At most so many. This, `batch_size`, `seed` and `checkpoint` are Adam's.
    batch_size : int, optional
        Images per step. Default: so many that even the outermost frequencies are hit about
        four times (without oversampling), or all images if there are fewer.
    prior_variance : float, optional
        ``tau^2`` of every coefficient of the unitary spectrum, which is that of every voxel.
        Default: the mean power of the conventional estimate.
    noise_variance : float, optional
        ``sigma^2`` of every pixel. Default: learned.
    oversampling : float
        See `Projector`.
    interpolation : {"linear", "cubic"}
        See `Projector`.
    symmetry : str
        Point group of the object, as in `fslice.symmetry_rotations`, in RELION's orientation. Each
        image counts from all equivalent directions, which costs the order of the group in time.
    noise : {"white", "shell"}
        One variance for all frequencies of the images, or one per shell, both learned. The
        latter takes a few turns of fitting the volume and measuring what is left; only the first
        of them is kept in a checkpoint.
    prior : {"scalar", "shell"}
        One variance for all frequencies, or one per shell, learned from the images. This and
        the next three are the exact solver's; see `fslice.posterior.hyperparameters`.
    support : (D, D, D) real array, optional
        From 0 to 1: the map is zero where it is; `fslice.posterior.masked.soft_sphere` makes one.
        The bound is then that of the exact posterior, the log evidence, and there is no s.
    samples : int
        Draws from the exact posterior, for `voxel_sigma` and `fsc_samples`; 8 are enough for a
        resolution, 50 for voxels.
    evidence : bool
        Whether to estimate the log evidence.
    seed : int
        Of the minibatches and of samples. The same inputs and number of threads repeat bit for bit.
    progress : callable, optional
        Called with a `Progress` after each batch of images.
    checkpoint : path, optional
        An ``.npz`` file, written after each epoch. If it exists the fit continues from it, to
        the result of an uninterrupted one.

    Returns
    -------
    Reconstruction

    Raises
    ------
    ValueError
        A shape does not fit, a pixel is not finite, a number is out of its range, or the
        checkpoint belongs to another fit.
    TypeError
        A dtype is not as above, or array libraries are mixed.

    Notes
    -----
    Maximises ``E_q[log p(images | volume)] - KL(q || prior)`` (eq. 14). It converges when half
    the squared gradient, in units of posterior standard deviations, is at most 1e-4 of the
    gain over the prior; see `fslice.solvers.adam` for the steps and
    `fslice.solvers.variational` for the bound.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> model = fslice.phantom(32, 4.0)
    >>> data = fslice.simulate(model, 400, 32, 4.0, snr=1.0)
    >>> result = fslice.reconstruct(data.images(), data.rotations)
    >>> bool(fslice.fsc(result.mean, data.truth)[5] > 0.9), result.converged
    (True, True)
    >>> result.sigma_grid().shape  # large where no image looked
    (32, 32, 32)
    """
    check_choice("posterior", posterior, ("gaussian", "dirac"))
    check_choice("solver", solver, ("adam", "exact", "wiener"))
    extras = Extras(check_choice("prior", prior, ("scalar", "shell")), support, samples, evidence)
    _check_extras(extras, solver, posterior, symmetry_name(symmetry))
    for name, value in (("prior_variance", prior_variance), ("noise_variance", noise_variance)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name}: expected a number above 0, got {value}")
    dataset = Dataset(images, rotations, shifts, ctf, symmetry_name(symmetry))
    projector = Projector(dataset.size, oversampling, interpolation)
    report = Reporter(progress, dataset, check_size("epochs", epochs))
    check_choice("noise", noise, ("white", "shell"))
    if noise == "shell" and noise_variance is not None:
        raise ValueError(f"noise_variance: expected None with noise='shell', got {noise_variance}")
    settings = Settings(prior_variance, noise_variance, posterior == "gaussian", extras)
    size, seed = _batch_size(batch_size, projector), check_size("seed", seed, 0)

    def once(data: Dataset, extras: Extras, turn: int) -> Reconstruction:
        chosen = settings._replace(extras=extras)
        if solver != "adam":
            return closed_form(data, projector, chosen, report, solver, seed)
        return stochastic(
            data,
            projector,
            chosen,
            report,
            batch_size=size,
            seed=seed,
            checkpoint=checkpoint if turn == 0 else None,
        )

    if noise == "white":
        return once(dataset, extras, 0)
    return with_noise_spectrum(dataset, projector, extras, once)


def _check_extras(extras: Extras, solver: str, posterior: str, symmetry: str) -> None:
    """Raise unless the solver and the posterior can do what is asked for."""
    check_size("samples", extras.samples, 0)
    for name in extras.asked:
        if solver != "exact":
            raise ValueError(f"{name}: expected solver='exact', got {solver!r}")
        if posterior != "gaussian":
            raise ValueError(f"{name}: expected posterior='gaussian', got {posterior!r}")
    if extras.evidence and symmetry != "C1":
        raise ValueError(
            f"evidence: expected symmetry='C1', got {symmetry!r}; to compare groups see "
            "fslice.posterior.symmetric.symmetry_evidence"
        )


def _batch_size(given: int | None, projector: Projector) -> int:
    """Return a batch that hits a frequency at the rim, of 2 pi r neighbours, about four times."""
    if given is not None:
        return check_size("batch_size", given)
    return max(64, round(8 * projector.padded_size / 2))

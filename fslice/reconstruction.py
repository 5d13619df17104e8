"""From particle images with known poses to a map with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fslice._arrays import Array, check_choice
from fslice.alignment.joint.infer import Joint, infer_poses
from fslice.alignment.joint.selection import spherical_average
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.data.shares import for_functions
from fslice.operators.ctf import CTF
from fslice.operators.projector import Projector
from fslice.posterior.result import Posterior
from fslice.solvers.adam import Adam
from fslice.solvers.exact import Exact
from fslice.solvers.model import Model
from fslice.solvers.outliers import fit_without_outliers
from fslice.solvers.progress import Progress, Reporter
from fslice.solvers.wiener import Wiener
from fslice.symmetry.groups import symmetry_name

Solver = Exact | Adam | Wiener

_ROUND = 0.02
"""Share of a mask's squares that may differ from its spherical average: a soft edge in voxels."""


def reconstruct(
    images: Any,
    rotations: Array | None = None,
    shifts: Array | None = None,
    ctf: CTF | Array | None = None,
    *,
    poses: str = "known",
    joint: Joint | None = None,
    solver: Solver | None = None,
    prior: Any = None,
    noise: str = "white",
    noise_variance: float | None = None,
    mask: Array | None = None,
    symmetry: str = "C1",
    oversampling: float = 1,
    interpolation: str = "linear",
    posterior: str = "gaussian",
    contrast: bool = False,
    groups: Array | None = None,
    half_sets: Array | None = None,
    robust: bool = False,
    progress: Callable[[Progress], object] | bool | None = None,
) -> Posterior:
    """Fit a posterior over the volume to images, whose poses are known or found with it.

    Parameters
    ----------
    images : (n, D, D) array of real numbers, a memory-mapped stack, or a `Dataset`
        Of any real dtype; computed in single precision unless they are double. A `Dataset`
        brings all that is known of the images, so that the next three and `symmetry`, `groups`
        and `half_sets` are left out.
    rotations : (n, 3, 3) real array, or scipy.spatial.transform.Rotation
        Image to volume coordinates, acting on (x, y, z).
    shifts : (n, 2) real array, optional
        Where the particles sit, (x, y) in pixels.
    ctf : CTF or (n, D, D//2 + 1) real array, optional
        Of the n images.
    poses : {"known", "unknown"}, optional
        Unknown poses are found together with the map, see `fslice.alignment.joint.infer_poses`:
        orientation and hand of the map are then arbitrary, and `Posterior.joint` says how they
        were found. Half maps are made in poses that each half has found by itself. `rotations`
        and `shifts` are left out, or play no part in a `Dataset`.
    joint : Joint, optional
        How they are found. Default: ``Joint(symmetry=symmetry)``, of two random starts.
    solver : Exact, Adam or Wiener, optional
        Default: ``Exact()``, which sums the images once and finds the posterior in closed form.
        What belongs to one solver is a field of it.
    prior : {"shell", "scalar"}, float or (D//2 + 1,) real array, optional
        Prior variance of a voxel: one per shell, learned; one for all frequencies, from the power
        of the images; or given. Default: per shell with `Exact`, else scalar.
    noise : {"white", "shell", "group"}, optional
        One noise variance for all frequencies of the images, one per shell, or one per shell for
        each of the `groups`; learned. The latter two take a few turns of fitting the volume and
        measuring what is left.
    noise_variance : float, optional
        ``sigma^2`` of every pixel. Default: learned.
    mask : (D, D, D) real array, optional
        From 0 to 1: the map is zero where it is. A sphere where poses are unknown.
    symmetry : str, optional
        Point group of the object, as in `fslice.symmetry.symmetry_rotations`, in RELION's
        orientation. Each image counts from all equivalent directions, which costs the order of
        the group in time.
    oversampling, interpolation
        See `Projector`.
    posterior : {"gaussian", "dirac"}, optional
        Independent Gaussians for the Fourier coefficients (the paper's section 5.1), or a
        point: the maximum a posteriori map.
    contrast : bool, optional
        Whether a factor is learned for each image.
    groups : (n,) integer array, optional
        Optics group of each image, from 0.
    half_sets : (n,) integer array, optional
        1 or 2 for each image: fits a map to each half too, in the same pass.
    robust : bool, optional
        Whether images of another kind are left out: those that are far louder than most, and
        those that the map of the others does not explain; with ``noise="group"``, than most of
        their group. They are named in the warnings. Takes three passes or more, and neither `Adam`
        nor `Exact` keeps a checkpoint.
    progress : callable or True, optional
        Called with a `fslice.solvers.progress.Progress` after each step; True shows bars.

    Returns
    -------
    Posterior

    Raises
    ------
    ValueError
        A shape does not fit, a pixel is not finite, or a value is out of its range.
    TypeError
        A dtype is not as above, or array libraries are mixed.

    Notes
    -----
    Maximises ``E_q[log p(images | volume)] - KL(q || prior)`` (eq. 14). With oversampling the
    unknown is the object in its own box, not the padded volume.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> model = fslice.phantom(32, 4.0)
    >>> data = fslice.simulate(model, 400, 32, 4.0, snr=1.0)
    >>> result = fslice.reconstruct(data.images(), data.rotations)
    >>> bool(fslice.fsc(result.mean, data.truth)[5] > 0.9), result.converged
    (True, True)
    >>> result.posterior_std_grid().shape  # large where no image looked
    (32, 32, 32)
    """
    check_choice("poses", poses, ("known", "unknown"))
    if joint is not None and poses == "known":
        raise ValueError("joint: expected None with poses='known'")
    if isinstance(images, Dataset):
        dataset = images
        _refuse_beside(
            dataset, symmetry, rotations=rotations, shifts=shifts, ctf=ctf, groups=groups,
            half_sets=half_sets,
        )  # fmt: skip
    else:
        if poses == "unknown":
            rotations = _no_rotations(images, rotations, shifts)
        if rotations is None:
            raise TypeError("rotations: expected the orientation of each image, got None")
        if hasattr(images, "shape") and len(images.shape) and len(images) != len(rotations):
            raise ValueError(
                f"rotations: expected one for each of the {len(images)} images, "
                f"got {len(rotations)}"
            )
        dataset = Dataset(
            images, Poses(rotations, shifts), ctf, None, symmetry, groups=groups,
            half_sets=half_sets,
        )  # fmt: skip
    model = Model(
        Projector(dataset.size, oversampling, interpolation), prior, noise, noise_variance, mask,
        posterior, contrast,
    )  # fmt: skip
    chosen = Exact() if solver is None else solver
    if not isinstance(chosen, Solver):
        raise TypeError(f"solver: expected Exact(), Adam() or Wiener(), got {chosen!r}")
    if poses == "known":
        return _fitted(dataset, model, chosen, robust, progress)
    model.check(dataset)
    found = infer_poses(dataset, _joint_options(dataset, joint, mask), Reporter(progress))
    # the solver learns the noise anew, as it does for known poses
    whole, halves = (
        _fitted(posed.with_noise(dataset.noise), model, solver, robust, progress)
        for posed, solver in ((found.dataset, chosen), (found.half_dataset, for_halves(chosen)))
    )
    return with_half_maps(replace(whole, joint=found), halves)


def _joint_options(dataset: Dataset, joint: Joint | None, mask: Array | None) -> Joint:
    """Return how unknown poses are found, or raise where the map would be bound to a frame."""
    options = Joint(symmetry=dataset.symmetry) if joint is None else joint
    if dataset.symmetry not in ("C1", symmetry_name(options.symmetry)):
        raise ValueError(
            f"joint: expected the symmetry of the images, {dataset.symmetry}, got "
            f"{options.symmetry}"
        )
    if mask is not None:
        round_ = spherical_average(mask)
        off = float(((mask - round_) ** 2).sum() / (round_**2).sum())
        if off > _ROUND:
            raise ValueError(
                "mask: expected one that rotations leave as it is, such as a sphere, as the map of "
                f"unknown poses has any orientation, got one of which {100 * off:.0f} % do not"
            )
    return options


def for_halves(solver: Solver) -> Solver:
    """Return a solver for `JointResult.half_dataset`, of which only the half maps are used."""
    if isinstance(solver, Exact):
        return replace(solver, samples=0, evidence=False, checkpoint=None)
    return replace(solver, checkpoint=None) if isinstance(solver, Adam) else solver


def with_half_maps(whole: Posterior, halves: Posterior) -> Posterior:
    """Return the posterior of all images with the half maps of another, of independent poses."""
    return replace(
        whole, half_maps=halves.half_maps, unfiltered_half_maps=halves.unfiltered_half_maps
    )


def _fitted(
    dataset: Dataset, model: Model, chosen: Solver, robust: bool, progress: Any
) -> Posterior:
    """Return the posterior for known poses."""
    if not robust:
        return chosen(dataset, model, progress)
    if isinstance(chosen, Adam | Exact):  # one file cannot hold the fits of several data sets
        chosen = replace(chosen, checkpoint=None)
    solver = chosen
    return fit_without_outliers(
        dataset, model.projector, lambda some: solver(some, model, progress),
        for_functions(solver.executor if isinstance(solver, Exact) else None),
        by_group=model.noise == "group",
    )  # fmt: skip


def _refuse_beside(dataset: Dataset, symmetry: str, **others: Any) -> None:
    """Raise where what a data set says is said again."""
    for name, given in others.items():
        if given is not None:
            raise ValueError(f"{name}: expected None beside a Dataset, which has its own")
    if symmetry_name(symmetry) not in ("C1", dataset.symmetry):
        raise ValueError(
            f"symmetry: expected that of the Dataset, {dataset.symmetry}, got {symmetry}"
        )


def _no_rotations(images: Any, rotations: Array | None, shifts: Array | None) -> Array:
    """Return one rotation for all images, or raise where poses were given."""
    for name, given in (("rotations", rotations), ("shifts", shifts)):
        if given is not None:
            raise ValueError(f"{name}: expected None with poses='unknown'")
    if not hasattr(images, "shape"):
        raise TypeError(f"images: expected an array, got {type(images).__name__}")
    return np.tile(np.eye(3), (len(images), 1, 1))

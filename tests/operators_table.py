"""Every public operator with arrays that it takes: the table of tests/test_bad_input.py."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from strategies import random_ctf

import fslice
from fslice import geometry, metrics, optim
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.fourier import hermitian_part, transform
from fslice.likelihoods import density, poisson, scales
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.operators import contrast, direct, realspace
from fslice.operators.filter_curvature import filter_curvature
from fslice.operators.pose_curvature import pose_curvature, pose_hessian
from fslice.posterior import families as posterior
from fslice.posterior.latent import MaskedVolume
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.stencil import no_images
from fslice.posterior.sums import normal_equations
from fslice.solvers.wiener import Wiener

D, N = 6, 2


class Operator(NamedTuple):
    """A function, valid arguments by name, and which of them it treats in its own way."""

    call: Callable[..., Any]
    arrays: dict[str, np.ndarray]
    any_precision: tuple[str, ...] = ()
    """Arguments whose precision may differ from that of the others, as the documentation says."""
    any_shape: tuple[str, ...] = ()
    """Arguments that fit with a column less."""
    any_real: tuple[str, ...] = ()
    """Arguments that may be of integers, as files have them."""


rng = np.random.default_rng(0)
VOLUME, IMAGES = rng.normal(size=(D, D, D)), rng.normal(size=(N, D, D))
IMAGE, LINES = rng.normal(size=(D, D)), rng.normal(size=(N, D))
VOLUME_FT, IMAGES_FT = fslice.rfft3(VOLUME), fslice.rfft2(IMAGES)
IMAGE_FT, LINES_FT = fslice.rfft2(IMAGE), transform(LINES, 1)
ROTATIONS, SHIFTS = fslice.random_rotations(N, rng), rng.normal(size=(N, 2))
TURNS = np.array([[[0.6, -0.8], [0.8, 0.6]], [[0.8, 0.6], [-0.6, 0.8]]])
MOVES = rng.normal(size=(N, 1))
CTF_VALUES, LINE_CTF = rng.normal(size=(N, D, D // 2 + 1)), rng.normal(size=(N, D // 2 + 1))
SCALES, POINTS, VALUES = rng.normal(size=N), rng.normal(size=(5, 3)), rng.normal(size=5) + 1j
MATRICES = rng.normal(size=(N, 3, 3))
COUNTS, RATES = rng.poisson(3, (N, D, D)).astype(float), rng.uniform(1, 4, (N, D, D))
COTANGENT_3D = rng.normal(size=(N, D, D, D))
PROJECTOR = fslice.Projector(D)
CTFS = random_ctf(rng, N)
NOISE = GaussianNoise(np.ones((1, D // 2 + 1)))
NORMAL, MODEL = no_images(PROJECTOR), fslice.phantom(D, 4.0)
SIGMA = np.abs(VOLUME_FT) + 1


def pose(**arrays: np.ndarray) -> dict[str, np.ndarray]:
    """Return arrays with a pose in three dimensions and a CTF."""
    return arrays | {"rotations": ROTATIONS, "shifts": SHIFTS, "ctf": CTF_VALUES}


def turn(**arrays: np.ndarray) -> dict[str, np.ndarray]:
    """Return arrays with a pose in two dimensions and a CTF."""
    return arrays | {"rotations": TURNS, "shifts": MOVES, "ctf": LINE_CTF}


def beside(array: Any, state: Any) -> Any:
    """Return an object with its arrays, and those of its fields, in the library of an array."""
    if not hasattr(array, "dtype"):
        return state  # a fault, to be refused
    if isinstance(state, np.ndarray):
        return sys.modules[type(array).__module__.partition(".")[0]].asarray(state)
    if not dataclasses.is_dataclass(state):
        return state
    fields = (field.name for field in dataclasses.fields(state) if field.init)
    return dataclasses.replace(state, **{f: beside(array, getattr(state, f)) for f in fields})


def of_precision(array: Any, state: np.ndarray) -> np.ndarray:
    """Return a complex array in single precision if another one is."""
    single = getattr(array, "dtype", None) == np.complex64
    return state.astype(np.complex64) if single else state


def normal_beside(array: Any) -> Any:
    """Return the normal equations in the library and in the precision of an array."""
    single = getattr(array, "dtype", None) in (np.float32, np.complex64)
    return beside(array, NORMAL.astype("float32") if single else NORMAL)


def moved(rotations: np.ndarray, shifts: np.ndarray, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    """Return arrays with a pose without a CTF."""
    return arrays | {"rotations": rotations, "shifts": shifts}


P = PROJECTOR
OPERATORS = {
    "rfft2": Operator(fslice.rfft2, {"images": IMAGES}),
    "rfft3": Operator(fslice.rfft3, {"volume": VOLUME}),
    "irfft2": Operator(fslice.irfft2, {"images_ft": IMAGES_FT}),
    "irfft3": Operator(fslice.irfft3, {"volume_ft": VOLUME_FT}),
    "inner_product": Operator(
        fslice.fourier.inner_product, {"a_ft": IMAGES_FT, "b_ft": IMAGES_FT}, ("a_ft", "b_ft")
    ),
    "hermitian_part": Operator(
        lambda array_ft: hermitian_part(array_ft, 2), {"array_ft": IMAGES_FT}
    ),
    "extract_slices": Operator(
        fslice.extract_slices, {"volume_ft": VOLUME_FT, "rotations": ROTATIONS}
    ),
    "insert_slices": Operator(fslice.insert_slices, {"slices": IMAGES_FT, "rotations": ROTATIONS}),
    "extract_slices_vjp": Operator(
        fslice.operators.extract_slices_vjp,
        {"volume_ft": VOLUME_FT, "rotations": ROTATIONS, "cotangent": IMAGES_FT},
    ),
    "shift_slices": Operator(
        fslice.operators.shift_slices, {"slices": IMAGES_FT, "shifts": SHIFTS}
    ),
    "shift_slices_vjp": Operator(
        fslice.operators.shift_slices_vjp,
        {"slices": IMAGES_FT, "shifts": SHIFTS, "cotangent": IMAGES_FT},
    ),
    "scale_slices": Operator(contrast.scale_slices, {"slices": IMAGES_FT, "scales": SCALES}),
    "scale_slices_vjp": Operator(
        contrast.scale_slices_vjp, {"slices": IMAGES_FT, "scales": SCALES, "cotangent": IMAGES_FT}
    ),
    "optimal_scales": Operator(
        scales.optimal_scales, {"images_ft": IMAGES_FT, "expected_ft": IMAGES_FT}
    ),
    "Projector.transform": Operator(P.transform, {"volume": VOLUME}),
    "Projector.transform_adjoint": Operator(P.transform_adjoint, {"volume_ft": VOLUME_FT}),
    "Projector.to_volume": Operator(P.to_volume, {"volume_ft": VOLUME_FT}),
    "Projector.project": Operator(P.project, pose(volume=VOLUME)),
    "Projector.backproject": Operator(P.backproject, pose(images=IMAGES)),
    "Projector.project_vjp": Operator(P.project_vjp, pose(volume=VOLUME, cotangent=IMAGES)),
    "Projector.project_ft": Operator(P.project_ft, pose(volume_ft=VOLUME_FT)),
    "Projector.backproject_ft": Operator(P.backproject_ft, pose(images_ft=IMAGES_FT)),
    "Projector.project_ft_vjp": Operator(
        P.project_ft_vjp, pose(volume_ft=VOLUME_FT, cotangent=IMAGES_FT)
    ),
    "Projector.misfit": Operator(
        P.misfit,
        pose(volume_ft=VOLUME_FT, images_ft=IMAGES_FT, weights=abs(CTF_VALUES[0])),
        ("weights",),
    ),
    "Projector.misfit_gradients": Operator(
        P.misfit_gradients,
        pose(volume_ft=VOLUME_FT, images_ft=IMAGES_FT, weights=abs(CTF_VALUES[0])),
        ("weights",),
    ),
    "Projector.gram": Operator(
        P.gram,
        {"volume_ft": VOLUME_FT, "rotations": ROTATIONS, "ctf": CTF_VALUES}
        | {"weights": abs(CTF_VALUES[0])},
        ("weights",),
    ),
    "Projector.gram_diagonal": Operator(
        P.gram_diagonal, {"rotations": ROTATIONS, "ctf": CTF_VALUES}
    ),
    "Projector.sampling_density": Operator(
        P.sampling_density, {"rotations": ROTATIONS, "ctf": CTF_VALUES}
    ),
    "Projector.project (lines)": Operator(P.project, turn(volume=IMAGE)),
    "Projector.backproject (lines)": Operator(P.backproject, turn(images=LINES)),
    "Projector.project_vjp (lines)": Operator(P.project_vjp, turn(volume=IMAGE, cotangent=LINES)),
    "Projector.project_ft (lines)": Operator(P.project_ft, turn(volume_ft=IMAGE_FT)),
    "Projector.backproject_ft (lines)": Operator(P.backproject_ft, turn(images_ft=LINES_FT)),
    "symmetrize": Operator(
        lambda volume: fslice.symmetry.symmetrize(volume, "C3"), {"volume": VOLUME}
    ),
    "symmetry.rotate_volume": Operator(
        lambda volume: fslice.symmetry.rotate_volume(
            volume, fslice.geometry.euler_to_matrix(np.array([20.0, 30.0, 40.0])), np.ones(3)
        ),
        {"volume": VOLUME},
    ),
    "pose_curvature": Operator(
        lambda **given: pose_curvature(P, **given),
        pose(volume_ft=VOLUME_FT, images_ft=IMAGES_FT, weights=abs(CTF_VALUES[0])),
        ("weights",),
    ),
    "pose_hessian": Operator(
        lambda **given: pose_hessian(P, **given),
        pose(volume_ft=VOLUME_FT, images_ft=IMAGES_FT, weights=abs(CTF_VALUES[0])),
        ("weights",),
    ),
    "filter_curvature": Operator(
        lambda first, **given: filter_curvature(P, **given, first=[first], second={(0, 0): first}),
        moved(
            ROTATIONS,
            SHIFTS,
            volume_ft=VOLUME_FT,
            images_ft=IMAGES_FT,
            ctf=CTF_VALUES,
            first=abs(CTF_VALUES),
            weights=abs(CTF_VALUES[0]),
        ),
        ("weights",),
    ),
    "fourier_sum": Operator(direct.fourier_sum, {"volume": VOLUME, "frequencies": POINTS}),
    "fourier_sum_adjoint": Operator(
        lambda **given: direct.fourier_sum_adjoint(**given, size=D),
        {"values": VALUES, "frequencies": POINTS},
        any_shape=("frequencies",),  # in a plane
    ),
    "fourier_sum_vjp": Operator(
        direct.fourier_sum_vjp, {"volume": VOLUME, "frequencies": POINTS, "cotangent": VALUES}
    ),
    "project_direct": Operator(
        fslice.operators.project_direct, moved(ROTATIONS, SHIFTS, volume=VOLUME)
    ),
    "backproject_direct": Operator(
        fslice.operators.backproject_direct, moved(ROTATIONS, SHIFTS, images=IMAGES)
    ),
    "project_direct_vjp": Operator(
        direct.project_direct_vjp, moved(ROTATIONS, SHIFTS, volume=VOLUME, cotangent=IMAGES)
    ),
    "project_realspace": Operator(
        realspace.project_realspace, moved(ROTATIONS, SHIFTS, volume=VOLUME)
    ),
    "backproject_realspace": Operator(
        realspace.backproject_realspace, moved(ROTATIONS, SHIFTS, images=IMAGES)
    ),
    "project_realspace_vjp": Operator(
        realspace.project_realspace_vjp, moved(ROTATIONS, SHIFTS, volume=VOLUME, cotangent=IMAGES)
    ),
    "rotate_volume": Operator(
        realspace.rotate_volume, moved(ROTATIONS, rng.normal(size=(N, 3)), volume=VOLUME)
    ),
    "rotate_volume_adjoint": Operator(
        realspace.rotate_volume_adjoint,
        moved(ROTATIONS, rng.normal(size=(N, 3)), volumes=COTANGENT_3D),
    ),
    "rotate_volume_vjp": Operator(
        realspace.rotate_volume_vjp,
        moved(ROTATIONS, rng.normal(size=(N, 3)), volume=VOLUME, cotangent=COTANGENT_3D),
    ),
    "CTF.vjp": Operator(
        lambda cotangent: beside(cotangent, CTFS).vjp(D, cotangent=cotangent),
        {"cotangent": CTF_VALUES},
    ),
    "euler_to_matrix": Operator(geometry.euler_to_matrix, {"angles": MATRICES[:, 0]}),
    "euler_to_matrix_vjp": Operator(
        geometry.euler_to_matrix_vjp, {"angles": MATRICES[:, 0], "cotangent": MATRICES}
    ),
    "matrix_to_euler": Operator(geometry.matrix_to_euler, {"rotations": ROTATIONS}),
    "quaternion_to_matrix": Operator(
        geometry.quaternion_to_matrix, {"quaternions": rng.normal(size=(N, 4))}
    ),
    "quaternion_to_matrix_vjp": Operator(
        geometry.quaternion_to_matrix_vjp,
        {"quaternions": rng.normal(size=(N, 4)), "cotangent": MATRICES},
    ),
    "matrix_to_quaternion": Operator(geometry.matrix_to_quaternion, {"rotations": ROTATIONS}),
    "rotvec_to_matrix": Operator(geometry.rotvec_to_matrix, {"vectors": MATRICES[:, 0]}),
    "rotvec_to_matrix_vjp": Operator(
        geometry.rotvec_to_matrix_vjp, {"vectors": MATRICES[:, 0], "cotangent": MATRICES}
    ),
    "matrix_to_rotvec": Operator(geometry.matrix_to_rotvec, {"rotations": ROTATIONS}),
    "tangent_vjp": Operator(geometry.tangent_vjp, {"rotations": ROTATIONS, "cotangent": MATRICES}),
    "angle_between": Operator(geometry.angle_between, {"a": ROTATIONS, "b": ROTATIONS}),
    "GaussianNoise.log_likelihood": Operator(
        lambda images_ft, **given: beside(images_ft, NOISE).log_likelihood(images_ft, **given),
        {"images_ft": IMAGES_FT, "expected_ft": IMAGES_FT},
    ),
    "GaussianNoise.log_likelihood_gradients": Operator(
        lambda images_ft, **given: beside(images_ft, NOISE).log_likelihood_gradients(
            images_ft, **given
        ),
        {"images_ft": IMAGES_FT, "expected_ft": IMAGES_FT},
    ),
    "GaussianNoise.updated": Operator(
        lambda images_ft, **given: beside(images_ft, NOISE).updated(images_ft, **given),
        {"images_ft": IMAGES_FT, "expected_ft": IMAGES_FT, "uncertainty": abs(CTF_VALUES)},
    ),
    "squared_residuals": Operator(
        density.squared_residuals, {"images_ft": IMAGES_FT, "expected_ft": IMAGES_FT}
    ),
    "poisson_log_likelihood": Operator(
        poisson.poisson_log_likelihood, {"counts": COUNTS, "rates": RATES}
    ),
    "poisson_log_likelihood_gradient": Operator(
        poisson.poisson_log_likelihood_gradient, {"counts": COUNTS, "rates": RATES}
    ),
    "fsc": Operator(fslice.fsc, {"a": VOLUME, "b": VOLUME, "mask": VOLUME}, ("a", "b", "mask")),
    "spectral_snr": Operator(
        fslice.metrics.spectral_snr, {"mean_ft": VOLUME_FT, "sigma": SIGMA}, ("mean_ft", "sigma")
    ),
    "mean_squared_error": Operator(
        metrics.mean_squared_error, {"a": VOLUME, "b": VOLUME}, ("a", "b")
    ),
    "fsc_from_snr": Operator(metrics.fsc_from_snr, {"snr": abs(SCALES)}, any_shape=("snr",)),
    "snr_from_fsc": Operator(
        metrics.snr_from_fsc, {"curve": abs(SCALES) / 9}, any_shape=("curve",)
    ),
    "normal_equations": Operator(
        lambda images, rotations, shifts, ctf: normal_equations(
            Dataset(images, Poses(rotations, shifts), ctf), P
        ),
        pose(images=IMAGES),
        ("images", "rotations", "shifts", "ctf"),
        any_real=("images",),
    ),
    "reconstruct": Operator(
        lambda images, rotations, shifts: fslice.reconstruct(
            images, rotations, shifts, solver=Wiener()
        ),
        moved(ROTATIONS, SHIFTS, images=IMAGES),
        ("images", "rotations", "shifts"),
        any_real=("images",),
    ),
    "resolution": Operator(
        lambda curve: fslice.resolution(curve, 2, 1.0), {"curve": abs(SCALES) / 9}
    ),
    "GaussianPosterior": Operator(posterior.GaussianPosterior, {"mean": VOLUME_FT, "std": SIGMA}),
    "NormalEquations.apply": Operator(
        lambda volume_ft: normal_beside(volume_ft).apply(volume_ft), {"volume_ft": VOLUME_FT}
    ),
    "MaskedVolume": Operator(
        lambda mask: PosteriorPrecision(
            normal_beside(mask), 1.0, latent=MaskedVolume(P, mask)
        ).diagonal(),
        {"mask": np.clip(abs(VOLUME), 0, 1)},
    ),
    "resample_map": Operator(
        lambda volume: fslice.simulation.resample_map(volume, 4.0, 2 * D, 2.0), {"volume": VOLUME}
    ),
    "check_rotations": Operator(
        lambda rotations: geometry.check_rotations("rotations", rotations), {"rotations": ROTATIONS}
    ),
    "GaussianModel.project": Operator(
        lambda rotations, shifts: MODEL.project(rotations, D, 4.0, shifts), moved(ROTATIONS, SHIFTS)
    ),
    "GaussianModel.project_ft": Operator(
        lambda rotations, shifts: MODEL.project_ft(rotations, D, 4.0, shifts),
        moved(ROTATIONS, SHIFTS),
    ),
    "GaussianModel.rotate": Operator(
        lambda rotation: MODEL.rotate(rotation), {"rotation": ROTATIONS[0]}
    ),
    "adam_update": Operator(
        lambda gradient: optim.adam_update(
            gradient, optim.adam_init(beside(gradient, of_precision(gradient, VOLUME_FT)))
        ),
        {"gradient": VOLUME_FT},
    ),
}

"""Gradient descent over poses, as the paper's section 6.4 tries it: Adam from where it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import fslice
from fslice.geometry import euler_to_matrix, rotvec_to_matrix
from fslice.operators.pose_curvature import PoseCurvature, pose_curvature
from fslice.optim import adam_init, adam_update

TOGETHER = 1024
"""Poses that are evaluated together."""
RATE = 4.0
"""Degrees of a first step; they shrink along half a cosine."""


@dataclass(frozen=True, eq=False)
class Landscape:
    """The misfit of images to a volume over rotations, with its gradient.

    Parameters
    ----------
    projector : Projector
    volume_ft : complex array
        ``projector.transform(volume)``.
    images_ft : (n, D, D//2 + 1) complex array
    weight : float
        One over the noise variance.
    """

    projector: fslice.Projector
    volume_ft: np.ndarray = field(repr=False)
    images_ft: np.ndarray = field(repr=False)
    weight: float

    def __call__(self, targets: np.ndarray, rotations: np.ndarray) -> PoseCurvature:
        """Return misfits and their gradients for poses of the images that they are meant for."""
        parts = []
        real = self.images_ft.real.dtype
        for start in range(0, len(targets), TOGETHER):
            part = slice(start, start + TOGETHER)
            parts.append(
                pose_curvature(
                    self.projector, self.volume_ft, self.images_ft,
                    rotations[part].astype(real), weights=self.weight, image_of=targets[part],
                )
            )  # fmt: skip
        return PoseCurvature(
            *(np.concatenate([getattr(p, name) for p in parts])
              for name in ("chi_squared", "gradient", "matrix"))
        )  # fmt: skip


def rate_at(step: int, steps: int) -> float:
    """Return the length of a step in radians.

    Examples
    --------
    >>> [round(float(np.degrees(rate_at(step, 10))), 2) for step in (0, 5, 10)]
    [4.0, 2.0, 0.0]
    """
    return float(np.radians(RATE) * 0.5 * (1 + np.cos(np.pi * step / steps)))


def descend(
    misfit: Landscape,
    targets: np.ndarray,
    rotations: np.ndarray,
    steps: int,
    advance: Callable[[int], Any] = lambda count: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return rotations after a descent from each, and their misfits."""
    rotations = rotations.astype(np.float64)
    state = adam_init(np.zeros((len(rotations), 3)))
    for step in range(steps):
        gradient = misfit(targets, rotations).gradient[:, :3]
        direction, state = adam_update(gradient, state, beta2=0.99)
        rotations = rotations @ rotvec_to_matrix(-rate_at(step, steps) * direction)
        advance(1)
    return rotations, misfit(targets, rotations).chi_squared


def descend_angles(misfit: Landscape, angles: np.ndarray, psi: float, steps: int) -> np.ndarray:
    """Return the paths of descents over rot and tilt alone, (steps + 1, k, 2) degrees."""
    paths, state = [angles], adam_init(np.zeros(angles.shape))
    for step in range(steps):
        direction, state = adam_update(slopes(misfit, paths[-1], psi), state, beta2=0.99)
        paths.append(paths[-1] - np.degrees(rate_at(step, steps)) * direction)
    return np.stack(paths)


def slopes(misfit: Landscape, angles: np.ndarray, psi: float) -> np.ndarray:
    """Return the derivatives of half the first image's misfit in rot and tilt, per radian: (k, 2).

    With ``R = Z(rot) Y(tilt) Z(psi)``, a change of rot turns the image about ``R^T z`` and one of
    tilt about ``Z(psi)^T y``.
    """
    rotations = euler_to_matrix(np.column_stack([angles, np.full(len(angles), psi)]))
    gradient = misfit(np.zeros(len(angles), int), rotations).gradient[:, :3]
    about_tilt = np.array([np.sin(np.radians(psi)), np.cos(np.radians(psi)), 0.0])
    return np.stack([(gradient * rotations[:, 2]).sum(-1), gradient @ about_tilt], -1)

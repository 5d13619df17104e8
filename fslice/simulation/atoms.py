"""Atoms as Gaussians: of their scattering of electrons, or of their atomic numbers."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from fslice._arrays import Array, check_choice, check_finite, check_shape
from fslice.simulation.form_factors import electron_form_factors

SCATTERING = ("electron", "atomic-number")


class Atoms(Protocol):
    """What `GaussianModel.from_atoms` reads: what ``fslice.io.read_atoms`` returns."""

    @property
    def positions(self) -> Array:
        """(J, 3) real array, (x, y, z) in Angstrom."""

    @property
    def atomic_numbers(self) -> Array:
        """(J,) array."""

    @property
    def b_factors(self) -> Array:
        """(J,) real array, Angstrom^2."""


def atom_gaussians(
    atoms: Atoms, scattering: str, extra_variance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions, weights and variances, as `GaussianModel.from_atoms` describes them."""
    check_choice("scattering", scattering, SCATTERING)
    positions = np.asarray(atoms.positions, np.float64)
    if not len(positions):
        raise ValueError("atoms: expected at least one, got none")
    numbers = np.asarray(atoms.atomic_numbers)
    b_factors = np.asarray(atoms.b_factors, np.float64)
    for name, values in (("atomic_numbers", numbers), ("b_factors", b_factors)):
        check_shape(name, values, (len(positions),))
    check_finite("b_factors", b_factors)
    if b_factors.min() < 0:
        raise ValueError(f"b_factors: expected none below 0, got {b_factors.min():g}")
    if not extra_variance >= 0:
        raise ValueError(f"extra_variance: expected at least 0, got {extra_variance:g}")
    weights, widths = numbers[:, None], np.zeros((len(numbers), 1))
    if scattering == "electron":
        weights, widths = electron_form_factors(numbers)
    variances = (b_factors[:, None] + widths) / (8 * np.pi**2) + extra_variance
    centres = np.repeat(positions - positions.mean(0), weights.shape[1], axis=0)
    return centres, weights.ravel(), variances.ravel()

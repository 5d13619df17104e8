"""What every operator that takes poses beside an array, and no kernel, asks of them."""

from __future__ import annotations

from fslice._arrays import Array, check_alike, check_finite, check_real, check_shape
from fslice.geometry import check_rotations


def check_poses(
    name: str, array: Array, rotations: Array, shifts: Array | None, summed: int
) -> None:
    """Raise unless rotations and shifts are such, and like the array of that name.

    Shifts have an entry for each axis, less the `summed` ones (0 or 1) of a projection.
    """
    check_real(name, array)
    check_real("rotations", rotations)
    if shifts is not None:
        check_real("shifts", shifts)
    check_alike(**{name: array, "rotations": rotations, "shifts": shifts})
    check_rotations("rotations", rotations)
    if shifts is not None:
        *batch, _, dimension = rotations.shape
        check_shape("shifts", shifts, (*batch, dimension - summed))
        check_finite("shifts", shifts)

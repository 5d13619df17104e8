"""Prepare a map for the search of poses: its spectrum in every band, the slices of the grid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fslice._arrays import Array, check_real, check_shape, placed
from fslice.alignment.band import Band, lean_oversampling
from fslice.alignment.coarse import make_templates
from fslice.alignment.grid import asymmetric_rotations
from fslice.alignment.prepared import PreparedMap, shift_log_prior
from fslice.alignment.search import PoseSearch, object_radius
from fslice.operators.projector import Projector
from fslice.symmetry.groups import symmetry_rotations


def prepare(
    volume: Array, search: PoseSearch, symmetry: str = "C1", *, templates: bool = True,
    dtype: Any = None, relax: str | None = None,
) -> PreparedMap:  # fmt: skip
    """Transform a map, crop it to all bands, and read the slices of the grid.

    Parameters
    ----------
    volume : (D, D, D) real array
    search : PoseSearch
    symmetry : str, optional
        Point group of the map: the asymmetric unit of poses is searched.
    templates : bool, optional
        False where poses are only refined.
    dtype : {"float32", "float64"}, optional
        Of all that is computed. Default: that of the map.
    relax : str, optional
        As in `PreparedMap`: its asymmetric unit is searched. With the symmetry C1.
    """
    check_real("volume", volume)
    size = len(volume)
    check_shape("volume", volume, (size,) * 3)
    volume = volume if dtype is None else volume.astype(dtype, copy=False)
    unit = symmetry if relax is None else relax
    search = search.chosen(size, object_radius(volume), unit)
    if relax is not None:  # room for all equivalent ones
        order = len(symmetry_rotations(relax))
        search = replace(search, max_modes=max(search.max_modes, 2 * order))
    assert search.rotations is not None
    assert search.coarse_radius is not None
    oversampling = lean_oversampling(size)
    coarse = Band(size, search.coarse_radius, oversampling)
    bands = [Band(size, radius, oversampling) for radius in search.radii or ()]
    spectrum = Projector(size, coarse.oversampling, coarse.interpolation).transform(volume)
    levels = tuple((band, band.crop_volume(spectrum)) for band in bands)
    found = None
    if templates:
        rotations = asymmetric_rotations(search.rotations, unit)
        rotations = placed(rotations, volume, "float64")
        shifts = placed(search.shifts(), volume, "float64")
        found = make_templates(
            coarse.crop_volume(spectrum), coarse, rotations, shifts,
            log_prior=shift_log_prior(shifts, search.shift_std, volume),
        )  # fmt: skip
    return PreparedMap(search, symmetry, levels, found, relax=relax)

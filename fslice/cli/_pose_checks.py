"""Whether poses that were found can be trusted: by exact posteriors, and by the negative map."""

from __future__ import annotations

import dataclasses

import numpy as np

from fslice._arrays import Array, array_namespace, to_numpy
from fslice._devices import map_arrays
from fslice.alignment.find import PoseModel, pose_model
from fslice.alignment.importance import PoseCheck, check_posterior
from fslice.alignment.outliers import SIGNAL
from fslice.alignment.posterior import PosePosterior

_FEW = 64
"""Images that are compared with the negative of the map."""


def checked_posterior(
    model: PoseModel, found: PosePosterior, number: int, seed: int
) -> PoseCheck | None:
    """Return the check of some images' posteriors in NumPy arrays, None where none is wanted."""
    if not number:
        return None
    checked = check_posterior(model, _some(found, number), np.random.default_rng(seed))
    return map_arrays(checked, lambda array: to_numpy(array))


def is_inverted(model: PoseModel, volume: Array, found: PosePosterior) -> bool:
    """Tell whether some of the images show the negative of the map more clearly than the map."""
    some = _some(found, _FEW)
    assert some.rows is not None
    negative = pose_model(
        model.dataset, -volume, symmetry=model.prepared.symmetry,
        relax_symmetry=model.prepared.relax, noise_variance=model.noise_variance,
        shift_std=model.prepared.search.shift_std,
        search=dataclasses.replace(model.prepared.search, prior_directions="uniform"),
    )  # fmt: skip
    gain = negative.find(to_numpy(some.rows)).evidence.sum() - some.evidence.sum()
    return bool(gain > SIGNAL)


def _some(found: PosePosterior, most: int) -> PosePosterior:
    """Return at most so many of the images, evenly spaced."""
    places = np.linspace(0, len(found) - 1, min(len(found), most)).round().astype(np.int64)
    return found[array_namespace(found.weights).asarray(np.unique(places))]

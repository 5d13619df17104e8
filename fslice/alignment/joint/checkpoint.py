"""The state of joint inference on disc, so that an interrupted run goes on."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fslice._arrays import to_numpy
from fslice.alignment.band import Band
from fslice.alignment.joint.grid_map import GridMap
from fslice.alignment.joint.rounds import JointState
from fslice.alignment.joint.selection import HeldOut
from fslice.alignment.joint.steps import ImageSet
from fslice.alignment.posterior import PosePosterior
from fslice.data.dataset import Dataset
from fslice.data.identity import identity
from fslice.io._files import atomic_write
from fslice.likelihoods.gaussian import GaussianNoise

_PROBED = 16
"""Images whose pixels tell one data set from another."""
_NUMBERS = ("radius", "round", "start", "finished", "search_next", "restarted")
_POSES = tuple(item.name for item in fields(PosePosterior))


@dataclass(frozen=True, eq=False)
class JointCheckpoint:
    """A file with the state after the last round, and whose it is.

    Parameters
    ----------
    path : path or None
        None: nothing is kept.
    dataset : Dataset
    options : Any
        A data class.
    """

    path: str | os.PathLike[str] | None
    dataset: Dataset = field(repr=False)
    options: Any = field(repr=False)

    def save(self, state: JointState, starts: tuple[HeldOut, ...]) -> None:
        """Write the state beside the file and put it in its place."""
        if self.path is None:
            return
        assert state.dataset.noise is not None
        arrays: dict[str, Any] = {
            "identity": self._identity,
            "noise": to_numpy(state.dataset.noise.variances),
            "numbers": json.dumps([getattr(state, name) for name in _NUMBERS]),
            "trace": json.dumps(state.trace),
            "starts": np.array(starts),
            "curve": np.zeros(0) if state.curve is None else state.curve,
            "power": state.power,
        }
        sets = state.halves if state.whole is None else (*state.halves, state.whole)
        for number, part in enumerate(sets):
            arrays |= {f"{number}_{name}": value for name, value in _of_set(part).items()}
        with atomic_write(self.path) as file:
            np.savez(file, **arrays)

    def load(self, dataset: Dataset) -> tuple[JointState, tuple[HeldOut, ...]] | None:
        """Return the saved state and what the starts said, or None where nothing is saved."""
        if self.path is None or not Path(self.path).exists():
            return None
        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as saved:
                content = {name: saved[name] for name in saved.files}
            saved_identity = content["identity"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"checkpoint: {self.path} is not a readable checkpoint") from error
        if str(saved_identity) != self._identity:
            raise ValueError(f"checkpoint: {self.path} belongs to other images or settings")
        numbers = dict(zip(_NUMBERS, json.loads(str(content["numbers"])), strict=True))
        state = JointState(
            (_set(content, 0, dataset), _set(content, 1, dataset)),
            dataset.with_noise(GaussianNoise(dataset.xp.asarray(content["noise"]))),
            power=content["power"],
            whole=_set(content, 2, dataset) if "2_rows" in content else None,
            curve=content["curve"] if len(content["curve"]) else None,
            trace=tuple(json.loads(str(content["trace"]))), **numbers,
        )  # fmt: skip
        return state, tuple(HeldOut(*row.tolist()) for row in content["starts"])

    @cached_property
    def _identity(self) -> str:
        """A digest that differs between other images, CTFs, half sets and settings."""
        places = np.linspace(0, len(self.dataset) - 1, _PROBED).round().astype(int)
        images = [to_numpy(self.dataset.images[int(place)]) for place in np.unique(places)]
        known = [
            getattr(self.dataset, item.name) for item in fields(Dataset)
            if item.name not in ("images", "poses")
        ]  # fmt: skip
        return identity(len(self.dataset), images, known, replace(self.options, checkpoint=None))


def _of_set(part: ImageSet) -> dict[str, Any]:
    """Return a set of images as arrays."""
    map_ = part.map
    arrays: dict[str, Any] = {
        "rows": part.rows, "volume": to_numpy(map_.volume), "prior": map_.prior,
        "map_noise": map_.noise, "radius": map_.band.radius, "shift_std": map_.shift_std,
        "share": np.nan if map_.share is None else map_.share,
        "without": np.array([to_numpy(volume) for volume in part.without]),
    }  # fmt: skip
    if part.poses is not None:
        arrays |= {
            f"poses_{name}": to_numpy(getattr(part.poses, name))
            for name in _POSES if getattr(part.poses, name) is not None
        }  # fmt: skip
    return arrays


def _set(content: dict[str, Any], number: int, dataset: Dataset) -> ImageSet:
    own = {
        name[2:]: value for name, value in content.items() if name.startswith(f"{number}_")
    }  # fmt: skip
    xp = dataset.xp
    band = Band(dataset.size, own["radius"].item(), interpolation="linear")
    map_ = GridMap(
        xp.asarray(own["volume"]),
        band,
        own["prior"],
        own["map_noise"],
        float(own["shift_std"]),
        None if np.isnan(own["share"]) else float(own["share"]),
    )
    poses = None
    if "poses_weights" in own:
        poses = PosePosterior(
            **{name: xp.asarray(own[f"poses_{name}"]) for name in _POSES if f"poses_{name}" in own}
        )
    without = tuple(xp.asarray(volume) for volume in own["without"])
    return ImageSet(own["rows"], map_, without, poses)

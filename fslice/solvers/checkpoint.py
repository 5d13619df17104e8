"""Checkpoints of a fit: written whole or not at all, and refused by any other fit."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fslice._arrays import array_namespace, to_numpy
from fslice.io._archives import read_archive
from fslice.io._files import atomic_write
from fslice.solvers.steps import FitState, Problem

_FORMAT = 2
_FIELDS: dict[str, tuple[str, tuple[int | None, ...] | None]] = {
    "identity": ("u", (32,)),
    "mean": ("c", (None, None, None)),
    "best": ("c", (None, None, None)),
    "epoch": ("iu", ()),
    "rate": ("f", ()),
    "trace": ("f", (None,)),
}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The file that a fit is saved to after each epoch, or nothing if there is no path."""

    path: str | os.PathLike[str] | None
    problem: Problem

    def save(self, state: FitState) -> None:
        """Write the state beside the file and put it in its place."""
        if self.path is None:
            return
        with atomic_write(self.path) as file:
            np.savez(
                file,
                format=_FORMAT,
                identity=self._identity(),
                mean=to_numpy(state.mean),
                best=to_numpy(state.mean[:0] if state.best is None else state.best),
                epoch=state.epoch,
                rate=state.rate,
                trace=np.array(state.trace),
            )

    def load(self, start: FitState) -> FitState:
        """Return the saved state if there is one, else `start`."""
        if self.path is None or not Path(self.path).exists():
            return start
        content = self._content(start)
        if not np.array_equal(content["identity"], self._identity()):
            raise ValueError(f"checkpoint: {self.path} belongs to a fit of other data or settings")
        xp = array_namespace(start.mean)
        best = content["best"]
        return replace(
            start,
            mean=xp.asarray(content["mean"]),
            best=xp.asarray(best) if best.size else None,
            epoch=int(content["epoch"]),
            rate=float(content["rate"]),
            trace=tuple(content["trace"].tolist()),
        )

    def _content(self, start: FitState) -> dict[str, Any]:
        """Read the file, and check every field against what the fit would write."""
        path: Any = self.path
        try:
            version = int(read_archive(path, {"format": ("iu", ())})["format"])
            if version != _FORMAT:
                raise ValueError(f"it has the format {version}, expected {_FORMAT}")
            content = read_archive(path, _FIELDS)
            for name in ("mean", "best"):
                values = content[name]
                if name == "best" and not values.size:
                    continue
                if (values.shape, values.dtype) != (start.mean.shape, start.mean.dtype):
                    raise ValueError(f"its field {name!r} is of shape {values.shape}")
            if not (content["epoch"] >= 0 and content["rate"] > 0):
                raise ValueError("its epoch or its rate is below 0")
        except (OSError, ValueError) as error:
            raise ValueError(
                f"checkpoint: {path} is not a readable checkpoint: {error}; without it the fit "
                "starts anew"
            ) from error
        return content

    def _identity(self) -> np.ndarray:
        """Return a digest that differs between fits of different data or settings.

        Images, shifts and CTF enter through the back-projection, poses through the diagonal.
        """
        problem, precision = self.problem, self.problem.precision
        digest = hashlib.sha256()
        normal = precision.normal
        for array in (normal.b, normal.diagonal(), precision.prior_variance):
            digest.update(np.ascontiguousarray(to_numpy(array)).tobytes())
        settings = (
            len(problem.rows),
            normal.symmetry,
            normal.projector,
            problem.gaussian,
            None if problem.fits_noise else precision.noise_variance,
            type(precision.latent).__name__,
            problem.batch_size,
            problem.seed,
        )
        digest.update(repr(settings).encode())
        return np.frombuffer(digest.digest(), np.uint8)

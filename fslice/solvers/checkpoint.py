"""Checkpoints of a fit: written whole or not at all, and refused by any other fit."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fslice._arrays import array_namespace, to_numpy
from fslice.io._files import atomic_write
from fslice.solvers.steps import FitState, Problem


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
                identity=self._identity(),
                mean=to_numpy(state.mean),
                best=np.zeros(0) if state.best is None else to_numpy(state.best),
                epoch=state.epoch,
                rate=state.rate,
                trace=np.array(state.trace),
            )

    def load(self, start: FitState) -> FitState:
        """Return the saved state if there is one, else `start`."""
        if self.path is None or not Path(self.path).exists():
            return start
        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as saved:
                content = {name: saved[name] for name in saved.files}
            identity = content["identity"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"checkpoint: {self.path} is not a readable checkpoint") from error
        if not np.array_equal(identity, self._identity()):
            raise ValueError(f"checkpoint: {self.path} belongs to a fit of other data or settings")
        xp = array_namespace(start.mean)
        return replace(
            start,
            mean=xp.asarray(content["mean"]),
            best=xp.asarray(content["best"]) if content["best"].size else None,
            epoch=int(content["epoch"]),
            rate=float(content["rate"]),
            trace=tuple(content["trace"].tolist()),
        )

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

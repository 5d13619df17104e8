"""Checkpoints of a fit: written whole or not at all, and refused by any other fit."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fslice.data.dataset import Dataset
from fslice.operators.projector import Projector
from fslice.solvers.adam import FitState
from fslice.solvers.variational import Bound


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The file that a fit is saved to after each epoch, or nothing if there is no path."""

    path: str | os.PathLike[str] | None
    dataset: Dataset
    projector: Projector
    bound: Bound
    batch_size: int
    seed: int

    def save(self, state: FitState) -> None:
        """Write the state beside the file and put it in its place."""
        if self.path is None:
            return
        target = Path(self.path)
        beside = target.with_name(target.name + ".part")
        try:
            with open(beside, "wb") as file:
                np.savez(
                    file,
                    identity=self._identity(),
                    mean=state.mean,
                    best=np.zeros(0) if state.best is None else state.best,
                    epoch=state.epoch,
                    rate=state.rate,
                    trace=np.array(state.trace),
                )
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)

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
        return replace(
            start,
            mean=content["mean"],
            best=content["best"] if content["best"].size else None,
            epoch=int(content["epoch"]),
            rate=float(content["rate"]),
            trace=tuple(content["trace"].tolist()),
        )

    def _identity(self) -> np.ndarray:
        """Return a digest that differs between fits of different data or settings.

        Images, shifts and CTF enter through the back-projection, poses through the diagonal.
        """
        digest = hashlib.sha256()
        known, bound = self.bound.statistics, self.bound
        for array in (known.backprojection, known.diagonal):
            digest.update(np.ascontiguousarray(array).tobytes())
        settings = (
            len(self.dataset),
            self.dataset.views,
            self.projector,
            bound.prior_variance,
            bound.gaussian,
            bound.noise_variance,
            self.batch_size,
            self.seed,
        )
        digest.update(repr(settings).encode())
        return np.frombuffer(digest.digest(), np.uint8)

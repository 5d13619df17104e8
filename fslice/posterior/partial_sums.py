"""Partial sums of normal equations in files, from which an interrupted pass goes on."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fslice.data.dataset import Dataset
from fslice.data.identity import identity
from fslice.data.shares import Part, Partial
from fslice.data.tree import Node
from fslice.io._archives import read_archive
from fslice.io._files import atomic_write
from fslice.posterior.stencil import StencilEquations

SECONDS = 30.0
PATTERN = "checkpoint_sums_*.npz"
_NAME = "checkpoint_sums_{identity:.16}_{level}_{index}.npz"
_NODE = re.compile(r"_(\d+)_(\d+)\.npz$")


class PartialSums:
    """Keeps the sums over some shares of the images in a folder: the store of `sum_over`.

    Each file holds one sum, and in its name which shares and a digest of data and settings. The
    number and the kind of workers play no part, so that others may go on.

    Parameters
    ----------
    folder : path
    kind : class, optional
        Of the sums: it has ``to_arrays`` and ``load``.
    seconds : float, optional
        They are written no sooner than so long after the last time.

    Examples
    --------
    >>> import tempfile, fslice
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from fslice.solvers.exact import Exact
    >>> data = fslice.simulate(fslice.phantom(20, 4.0), 100, 20, 4.0, snr=1.0)
    >>> with ThreadPoolExecutor(2) as executor:
    ...     solver = Exact(executor=executor, checkpoint=tempfile.mkdtemp())
    ...     found = fslice.reconstruct(data.images(), data.rotations, solver=solver)
    >>> list(Path(solver.checkpoint).iterdir())  # it was quick
    []
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        kind: Any = StencilEquations,
        seconds: float = SECONDS,
    ) -> None:
        self.folder, self.kind, self.seconds = Path(folder), kind, seconds
        self._saved = time.monotonic()
        self._identities: list[str] = []
        self._loaded = False

    def load(self, dataset: Dataset, parts: Sequence[Part], settings: tuple) -> None:
        """Put the sums that an earlier run has kept into the trees of the same parts.

        Raises
        ------
        ValueError
            The folder holds sums of other data or settings only, or a file is damaged.
        """
        common = identity(dataset, settings)
        rows = [[share.rows for share in part.shares] for part in parts]
        self._identities = [identity(common, number, *each) for number, each in enumerate(rows)]
        found = {key: self._files(key) for key in self._identities}
        if not self._loaded and not any(found.values()) and any(self.folder.glob(PATTERN)):
            raise ValueError(
                f"checkpoint: {self.folder} holds partial sums of other data or settings"
            )
        self._loaded = True
        for part, key in zip(parts, self._identities, strict=True):
            for node, path in sorted(found[key].items(), reverse=True):
                if not any(_covers(other, node) for other in part.tree.sums):
                    part.tree.put(node, self._read(path, key))

    def save(self, parts: Sequence[Part]) -> None:
        """Write the sums that have no file yet, then remove the files of those that were added."""
        for part, key in zip(parts, self._identities, strict=True):
            files = self._files(key)
            for node in part.tree.sums.keys() - files.keys():
                self._write(node, key, part.tree.sums[node])
            for node in files.keys() - part.tree.sums.keys():
                files[node].unlink(missing_ok=True)
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Return whether it is time to save."""
        return time.monotonic() - self._saved >= self.seconds

    def _files(self, key: str) -> dict[Node, Path]:
        found = {}
        for path in self.folder.glob(_NAME.format(identity=key, level="*", index="*")):
            if match := _NODE.search(path.name):
                found[int(match[1]), int(match[2])] = path
        return found

    def _write(self, node: Node, key: str, found: Partial) -> None:
        path = self.folder / _NAME.format(identity=key, level=node[0], index=node[1])
        notes: dict[str, Any] = {
            "noted": np.concatenate([np.zeros(0, int), *(rows for rows, _ in found.notes)])
        }
        if found.notes:
            notes["notes"] = np.concatenate([note for _, note in found.notes])
        with atomic_write(path) as file:
            arrays: dict[str, Any] = found.total.to_arrays()
            np.savez(file, identity=key, **notes, **arrays)

    def _read(self, path: Path, key: str) -> Partial:
        try:
            known = read_archive(path, {"identity": ("U", ()), "noted": ("i", (None,))})
            if str(known["identity"]) != key:
                raise ValueError("it is of other data")
            notes, noted = [], known["noted"]
            if len(noted):
                kept = read_archive(path, {"notes": ("iu", (len(noted), None))})
                notes = [(noted, kept["notes"])]
            return Partial(self.kind.load(path), notes)
        except (OSError, ValueError) as error:
            raise ValueError(f"checkpoint: {path} is not a readable checkpoint") from error


def _covers(node: Node, other: Node) -> bool:
    """Return whether one node's leaves include another's."""
    return node[0] >= other[0] and other[1] >> (node[0] - other[0]) == node[1]

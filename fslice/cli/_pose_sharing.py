"""Where ``fslice poses`` computes: here, on the GPUs of this machine, or on many machines."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array
from fslice.alignment.find import PoseModel
from fslice.alignment.fold import PoseFold
from fslice.cli._cluster import check_local_memory, connected, gigabytes, sharing
from fslice.cli._devices import on_device
from fslice.cli._messages import Messages
from fslice.data.dataset import Dataset


class Sharing(NamedTuple):
    """What the images are shared among."""

    client: Any
    """Of the workers of a cluster, or None."""
    gpus: Any
    """An executor, where this machine has several; or None."""

    @contextlib.contextmanager
    def executor(
        self, arguments: argparse.Namespace, model: PoseModel, messages: Messages
    ) -> Iterator[Any]:
        """Yield what works on shares of the images, None where this process works on all."""
        if self.client is None:
            yield self.gpus
            return
        fold = PoseFold(model.prepared, model.noise_variance)
        need = fold.worker_bytes(model.dataset)
        check_local_memory(arguments.workers, need)
        what = f"a map of {gigabytes(fold.nbytes())} for each"
        with sharing(self.client, arguments, model.dataset, need, what, messages) as executor:
            yield executor


@contextlib.contextmanager
def placed_poses(
    arguments: argparse.Namespace, images: Any, dataset: Dataset, volume: np.ndarray
) -> Iterator[tuple[Dataset, Array, Sharing]]:
    """Yield the data set and the map where they are computed on, and what shares the images.

    With workers that is here, for what is learned from some of the images; they copy both to
    their GPUs.
    """
    with connected(arguments, images) as client:
        device = arguments.device if client is None else "cpu"
        with on_device(device, dataset, volume) as (moved, on_it, executor):
            assert on_it is not None
            yield moved, on_it, Sharing(client, executor)

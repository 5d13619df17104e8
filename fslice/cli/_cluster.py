"""``--workers`` and ``--scheduler``: many processes or machines that share the images."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from fslice.cli._arguments import count
from fslice.cli._inputs import Inputs
from fslice.cli._messages import Messages
from fslice.data.cluster import ClusterExecutor, dask_distributed
from fslice.data.workers import (
    check_files,
    free_memory,
    local_workers,
    memory_limits,
    worker_table,
    workers_of,
)
from fslice.io import ImageStack
from fslice.operators.projector import Projector
from fslice.posterior.memory import sum_bytes, worker_bytes


def add_cluster_options(parser: argparse._ActionsContainer) -> None:
    """Add ``--workers`` and ``--scheduler``."""
    parser.add_argument(
        "--workers",
        type=count(1),
        metavar="N",
        help="share the images among so many processes of this machine, with one thread or one "
        "GPU each (needs dask)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="share the images among the workers of a Dask cluster, which see the same files: "
        "its scheduler, such as tcp://node1:8786, or the scheduler's file",
    )


def uses_cluster(arguments: argparse.Namespace) -> bool:
    """Return whether images are shared among processes."""
    return arguments.workers is not None or arguments.scheduler is not None


def check_cluster(arguments: argparse.Namespace) -> None:
    """Raise where options contradict each other or Dask is missing, before anything is read."""
    if not uses_cluster(arguments):
        return
    name = "--workers" if arguments.workers is not None else "--scheduler"
    if arguments.workers is not None and arguments.scheduler is not None:
        raise ValueError("--scheduler: expected no --workers beside it: a cluster has its own")
    if arguments.solver != "exact":
        raise ValueError(f"{name}: expected --solver exact, got {arguments.solver}")
    if arguments.robust and arguments.device == "gpu":
        raise ValueError(f"--robust: expected no {name} beside --device gpu")
    dask_distributed()


@contextlib.contextmanager
def cluster(
    arguments: argparse.Namespace, inputs: Inputs, messages: Messages
) -> Iterator[ClusterExecutor | None]:
    """Yield what has workers sum the images, None where this process does.

    Raises
    ------
    ValueError
        There is too little memory for so many workers.
    OSError
        No scheduler is there, or a worker cannot read a file.
    """
    if not uses_cluster(arguments):
        yield None
        return
    projector = Projector(inputs.size, arguments.oversampling)
    need = worker_bytes(inputs.dataset, projector)
    if arguments.workers is not None:
        _check_local_memory(arguments.workers, need)
    start = (
        workers_of(arguments.scheduler)
        if arguments.workers is None
        else local_workers(arguments.workers)
    )
    with start as client:
        if arguments.workers is None:
            _check_memory(client, need)
        stack = inputs.particles.images
        if isinstance(stack, ImageStack):
            check_files(client, {stack.files[i].path for i in np.unique(stack.file_index)})
        number = len(worker_table(client))
        total = sum_bytes(inputs.dataset, projector)
        print(
            f"{number} worker{'s' * (number != 1)}, each of up to {_gb(need)} of memory; "
            f"sums of {_gb(total)}",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        executor = ClusterExecutor(client, arguments.device)
        yield executor
        messages.note(_moved(executor, inputs))


def _moved(executor: ClusterExecutor, inputs: Inputs) -> str:
    sent = list(executor.bytes_sent().values())
    images = len(inputs.images) * inputs.size**2 * 4
    return (
        f"cluster: {len(sent)} worker{'s' * (len(sent) != 1)} sent {_gb(sum(sent))} of sums, "
        f"{_gb(min(sent))} to {_gb(max(sent))} each, and read the images, {_gb(images)}, where "
        "they are"
    )


def _check_local_memory(workers: int, need: int) -> None:
    free = free_memory()
    if workers * need <= free:
        return
    fit = free // need
    if fit == 0:
        raise ValueError(
            f"--workers: one takes {_gb(need)}, and {_gb(free)} of memory are free: use a machine "
            "with more, or images in a smaller box"
        )
    raise ValueError(
        f"--workers: expected at most {fit}, since each takes {_gb(need)} of the {_gb(free)} of "
        f"memory that are free, got {workers}"
    )


def _check_memory(client: Any, need: int) -> None:
    for address, limit in memory_limits(client).items():
        if limit >= need:
            continue
        worker = worker_table(client)[address]
        fit = worker["memory_limit"] // need
        option = f"start it with --nthreads {fit}" if fit else "start it with more memory"
        raise ValueError(
            f"--scheduler: expected workers with {_gb(need)} of memory for each thread, got "
            f"{_gb(limit)} on {address}: {option}"
        )


def _gb(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"

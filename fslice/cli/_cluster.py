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
from fslice.data.dataset import Dataset
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
    if arguments.workers is not None and arguments.scheduler is not None:
        raise ValueError("--scheduler: expected no --workers beside it: a cluster has its own")
    dask_distributed()


def check_cluster_of_fit(arguments: argparse.Namespace) -> None:
    """Raise where a fit cannot be shared among processes."""
    if uses_cluster(arguments):
        name = "--workers" if arguments.workers is not None else "--scheduler"
        if arguments.solver != "exact":
            raise ValueError(f"{name}: expected --solver exact, got {arguments.solver}")
        if arguments.robust and arguments.device == "gpu":
            raise ValueError(f"--robust: expected no {name} beside --device gpu")
    check_cluster(arguments)


@contextlib.contextmanager
def connected(arguments: argparse.Namespace, images: Any) -> Iterator[Any]:
    """Yield a client of workers that can read the images; None where this process computes.

    Raises
    ------
    OSError
        No scheduler is there, or a worker cannot read a file.
    """
    if not uses_cluster(arguments):
        yield None
        return
    start = (
        workers_of(arguments.scheduler)
        if arguments.workers is None
        else local_workers(arguments.workers)
    )
    with start as client:
        if isinstance(images, ImageStack):
            check_files(client, {images.files[i].path for i in np.unique(images.file_index)})
        yield client


@contextlib.contextmanager
def sharing(
    client: Any,
    arguments: argparse.Namespace,
    dataset: Dataset,
    need: int,
    what: str,
    messages: Messages,
) -> Iterator[ClusterExecutor]:
    """Yield what has workers share the images; say what each takes, and what they have moved.

    Parameters
    ----------
    client : distributed.Client
    arguments : Namespace
    dataset : Dataset
    need : int
        Bytes that a worker takes, at most.
    what : str
        That is moved, with its bytes.
    messages : Messages

    Raises
    ------
    ValueError
        A worker has too little memory.
    """
    if arguments.workers is None:
        _check_memory(client, need)
    number = len(worker_table(client))
    print(
        f"{number} worker{'s' * (number != 1)}, each of up to {gigabytes(need)} of memory; {what}",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    executor = ClusterExecutor(client, arguments.device)
    yield executor
    messages.note(_moved(executor, dataset))


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
    check_local_memory(arguments.workers, need)
    what = f"sums of {gigabytes(sum_bytes(inputs.dataset, projector))}"
    with (
        connected(arguments, inputs.particles.images) as client,
        sharing(client, arguments, inputs.dataset, need, what, messages) as executor,
    ):
        yield executor


def _moved(executor: ClusterExecutor, dataset: Dataset) -> str:
    sent = list(executor.bytes_sent().values())
    least, most, total = (gigabytes(function(sent)) for function in (min, max, sum))
    images = gigabytes(len(dataset) * dataset.size**2 * 4)
    return (
        f"cluster: {len(sent)} worker{'s' * (len(sent) != 1)} sent {total}, {least} to {most} "
        f"each, took a map of {gigabytes(executor.bytes_broadcast())}, and read the images, "
        f"{images}, where they are"
    )


def check_local_memory(workers: int | None, need: int) -> None:
    """Raise unless this machine has the memory for so many workers of its own."""
    free = free_memory() if workers is not None else 0
    if workers is None or workers * need <= free:
        return
    fit, each, left = free // need, gigabytes(need), gigabytes(free)
    if fit == 0:
        raise ValueError(
            f"--workers: one takes {each}, and {left} of memory are free: use a machine with more, "
            "or images in a smaller box"
        )
    raise ValueError(
        f"--workers: expected at most {fit}, since each takes {each} of the {left} of memory that "
        f"are free, got {workers}"
    )


def _check_memory(client: Any, need: int) -> None:
    for address, limit in memory_limits(client).items():
        if limit >= need:
            continue
        worker = worker_table(client)[address]
        fit = worker["memory_limit"] // need
        option = f"start it with --nthreads {fit}" if fit else "start it with more memory"
        raise ValueError(
            f"--scheduler: expected workers with {gigabytes(need)} of memory for each thread, got "
            f"{gigabytes(limit)} on {address}: {option}"
        )


def gigabytes(number: float) -> str:
    """Return a number of bytes as a report has it.

    Examples
    --------
    >>> gigabytes(68e6), gigabytes(4.3e9)
    ('68.0 MB', '4.3 GB')
    """
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"

"""The workers of a Dask cluster as an executor of `sum_over`: sums of shares stay with them."""

from __future__ import annotations

import copy
import importlib
import itertools
import time
from collections.abc import Callable
from typing import Any

from fslice._arrays import to_numpy
from fslice._devices import gpu_library, gpus, map_arrays
from fslice.data.devices import to_library
from fslice.data.shares import Partial, Share, nbytes, sum_share

_EXTRA = "Dask, the extra dask, is not installed: pip install 'dask[distributed]'"
_ATTEMPTS, _PAUSE = 5, 1.0
"""How often workers are asked whose connections are lost, and seconds until they are asked again:
a scheduler notices that a worker has died."""


def dask_distributed() -> Any:
    """Return the package ``distributed``.

    Raises
    ------
    ImportError
        It is not installed; the message names the extra.
    """
    try:
        return importlib.import_module("distributed")
    except ModuleNotFoundError as error:
        raise ImportError(_EXTRA) from error


def on_every_worker(client: Any, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """Return what a function returns in each worker, by its address.

    A worker that dies meanwhile closes its connection: those that are left are asked again.

    Raises
    ------
    OSError
        Connections are lost again and again.
    """
    lost = dask_distributed().comm.CommClosedError
    for _ in range(_ATTEMPTS - 1):
        try:
            return client.run(function, *arguments)
        except lost:
            time.sleep(_PAUSE)
    return client.run(function, *arguments)


class ClusterExecutor:
    """Has the workers of a Dask cluster sum shares of the images: the executor of `sum_over`.

    Workers read the images of their shares themselves, by the names of their files; poses and CTF
    travel with each share, what is common to all, such as a map, once to each worker. Where there
    are many shares, workers add up their sums, and few come to the client. What a worker that dies
    has summed is summed again by others.

    Parameters
    ----------
    client : distributed.Client
    device : {"cpu", "gpu"}, optional
        Whether each worker computes in one thread, or on a GPU: that of its number.

    Raises
    ------
    ImportError
        Dask is not installed.

    Examples
    --------
    >>> from fslice.solvers.exact import Exact
    >>> def on_a_cluster(dataset, address):
    ...     from distributed import Client
    ...     with Client(address) as client:
    ...         solver = Exact(executor=ClusterExecutor(client))
    ...         return fslice.reconstruct(dataset, solver=solver)
    """

    def __init__(self, client: Any, device: str = "cpu") -> None:
        dask_distributed()
        self.client, self.device = client, device
        self._broadcast: tuple[Any, Any] = (None, None)
        self._sent_before = self._sent()

    def submit_sum(
        self,
        work: Callable[..., Any],
        shares: list[Share],
        seen: Callable[[int], object],
    ) -> SumOnWorkers:
        """Have shares summed, and the sums added as a balanced tree.

        Parameters
        ----------
        work : callable
            As in `fslice.data.shares.sums_of_shares`.
        shares : list of Share
        seen : callable
            Called, in any thread, with the number of images of each share that is done.
        """
        common = self._broadcasted(work)
        level = [self._submit(_sum_on_worker, common, share, self.device) for share in shares]
        for future, share in zip(level, shares, strict=True):
            future.add_done_callback(_counted(seen, len(share.rows)))
        while len(level) > 1:
            pairs = itertools.zip_longest(level[::2], level[1::2])
            level = [
                one if other is None else self._submit(_added, one, other, priority=1)
                for one, other in pairs
            ]
        return SumOnWorkers(level[0], self.client)

    def bytes_sent(self) -> dict[str, int]:
        """Return what each worker has sent to others and to the client, by its address."""
        before = self._sent_before
        return {name: sent - before.get(name, 0) for name, sent in self._sent().items()}

    def bytes_broadcast(self) -> int:
        """Return the bytes of what every worker was given last, such as a map, once.

        The engine counts none of them.
        """
        return nbytes(self._broadcast[0])

    def _sent(self) -> dict[str, int]:
        return on_every_worker(self.client, _bytes_sent)

    def _submit(self, function: Callable[..., Any], *arguments: Any, priority: int = 0) -> Any:
        return self.client.submit(function, *arguments, pure=False, priority=priority)

    def _broadcasted(self, work: Any) -> Any:
        """Return the future of what is common to all shares; as a task's it outlives a worker."""
        if self._broadcast[0] is not work:
            self._broadcast = work, self._submit(_given, work)
        return self._broadcast[1]


class SumOnWorkers:
    """A future of the sum of some shares: Dask's own, with errors that a user can act on."""

    def __init__(self, future: Any, client: Any) -> None:
        self._future, self._client = future, client

    def done(self) -> bool:
        """Return whether it is known, or has failed."""
        return self._future.done()

    def cancel(self) -> None:
        """Have it computed no more."""
        self._future.cancel()

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """Call a function with this future when it is done, in another thread."""
        self._future.add_done_callback(lambda _: function(self))

    def result(self, timeout: float | None = None) -> Partial:
        """Fetch the sum.

        Raises
        ------
        OSError
            The scheduler is gone, or workers died of it one after another.
        """
        distributed = dask_distributed()
        address = self._client.scheduler.address
        try:
            return self._future.result(timeout)
        except distributed.KilledWorker as error:
            raise OSError(
                f"worker {error.last_worker.address}: died, like {error.allowed_failures} others "
                "before it of the same share of images; their logs say of what, such as memory"
            ) from error
        except (distributed.CancelledError, distributed.comm.CommClosedError) as error:
            raise OSError(f"scheduler {address}: the connection to it was lost") from error


def _given(work: Any) -> Any:
    return work


def _added(one: Partial, other: Partial) -> Partial:
    return one + other


def _counted(seen: Callable[[int], object], images: int) -> Callable[[Any], None]:
    def tell(future: Any) -> None:
        if future.status == "finished":
            seen(images)

    return tell


def _bytes_sent(dask_worker: Any) -> int:
    return dask_worker.transfer_outgoing_bytes_total


def _sum_on_worker(work: Any, share: Share, device: str) -> Partial:
    """Return the sum over a share, computed by this worker; what it cannot read names it."""
    worker = dask_distributed().get_worker()
    try:
        return sum_share(work, share) if device == "cpu" else _sum_on_gpu(work, share, worker.name)
    except OSError as error:
        reason = f"{error.strerror or error}, on worker {worker.address}"
        if error.errno is None:
            raise OSError(reason) from error
        raise OSError(error.errno, reason, error.filename) from error


def _sum_on_gpu(work: Any, share: Share, name: Any) -> Partial:
    """Return the sum over a share as host arrays, computed on the GPU of a worker's number."""
    xp = gpu_library()
    devices = gpus(xp)
    number = int(name) if str(name).isdecimal() else 0
    with devices[number % len(devices)]:
        dataset = to_library(share.dataset, xp)
        moved = _kept_on_device(work, xp)
        found = sum_share(moved, Share(dataset, share.rows, share.travelled))
        return map_arrays(found, to_numpy)


_on_devices: dict[int, tuple[Any, Any]] = {}
"""What was copied to a device last, by the number of the device, and of what."""


def _kept_on_device(work: Any, xp: Any) -> Any:
    """Return `_on_device`, which is the same for all shares of a pass."""
    number = int(xp.cuda.Device())
    if _on_devices.get(number, (None,))[0] is not work:
        _on_devices[number] = work, _on_device(work, xp)
    return _on_devices[number][1]


def _on_device(work: Any, xp: Any) -> Any:
    """Return what is done to a share with its maps on the current GPU."""
    fold, *options = work.args
    function = getattr(fold, "function", None)
    if function is not None:  # of a batch; the fold only adds its values
        moved = copy.copy(function)
        vars(moved).update(map_arrays(vars(function), xp.asarray))
        fold = type(fold)(moved)
    else:
        fold = map_arrays(fold, xp.asarray)
    return type(work)(work.func, fold, *options)

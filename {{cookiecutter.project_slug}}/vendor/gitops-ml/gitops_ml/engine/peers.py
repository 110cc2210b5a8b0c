"""The workers that train together, and their scheduler: who is there, free, lost or stuck, and where they meet."""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import cloudpickle
import distributed
import psutil

from gitops_ml.core.errors import UserError
from gitops_ml.engine import cluster
from gitops_ml.engine.code import PYTHON, TOGETHER, installed
from gitops_ml.engine.hands import differing

# How long workers wait for one that is silent.
SILENT_SECONDS = 60
# How long it may take until the scheduler knows that a worker is gone.
NOTICE_SECONDS = 15.0
LOOK_SECONDS = 1.0

Told = Callable[[str], object]


def there(client: distributed.Client, address: str) -> list[str]:
    """The workers there are, as soon as there is one.

    Raises:
        UserError: none comes, or one of them or the scheduler has other packages than this machine.
    """
    end = time.monotonic() + cluster.PATIENCE_SECONDS
    while not client.nthreads():
        if time.monotonic() > end:
            raise UserError(
                f"the scheduler {address} has had no worker for {cluster.PATIENCE_SECONDS:.0f} seconds; start some: "
                f"{cluster.ADVICE}"
            )
        time.sleep(LOOK_SECONDS)
    expected = {"Python": PYTHON, **installed(TOGETHER)}
    found = cluster.others(client, expected)
    if other := [f"{name} has {', '.join(each)}" for name, each in sorted(found.items()) if each]:
        raise UserError(cluster.refused(other))
    # Where they meet.
    if each := client.run_on_scheduler(differing, expected):
        raise UserError(f"the scheduler {address} has {', '.join(each)}: start it with what its workers have")
    return sorted(found)


def require_free(client: distributed.Client, workers: list[str], address: str, told: Told) -> None:
    """Wait until nobody else trains on the workers: xgboost.dask would wait as well, without a word or an end.

    Raises:
        UserError: somebody still does after a while, or a command was killed while others use the scheduler.
    """
    client.run_on_scheduler(_free_of_the_dead)
    lock = distributed.MultiLock(workers, client)
    if not lock.acquire(timeout=LOOK_SECONDS):
        told(f"the workers of {address} train something else: waiting for that")
        if not lock.acquire(timeout=cluster.PATIENCE_SECONDS):
            raise UserError(
                f"the workers of {address} still train something else; wait until that is done, or if its command was "
                f"killed, start the scheduler again; {cluster.ADVICE}"
            )
    lock.release()


def _free_of_the_dead(dask_scheduler: Any = None) -> None:
    """Run on the scheduler: what a killed command holds it holds for ever, and if nobody else is here, all is such."""
    if len(set(dask_scheduler.clients) - {"fire-and-forget"}) == 1:
        locks = dask_scheduler.extensions["multi_locks"]
        for holder in list(locks.requests):
            locks.release(holder)


def lost(client: distributed.Client, workers: list[str], address: str) -> list[str]:
    """The workers that are gone.

    Raises:
        UserError: the scheduler is.
    """
    end = time.monotonic() + NOTICE_SECONDS
    gone: set[str] = set()
    while not gone and time.monotonic() < end:
        try:
            gone = set(workers) - set(client.nthreads())
        except Exception as error:  # whatever tells that nobody answers
            raise UserError(f"the scheduler {address} went away; start it again: {cluster.ADVICE}") from error
        time.sleep(LOOK_SECONDS / 5)
    return sorted(gone)


def meeting_place(client: distributed.Client, workers: list[str]) -> str:
    """The scheduler's address on the network that its workers are on; xgboost would guess one of all that it has."""
    hosts: set[str] = set(client.run_on_scheduler(_reached_at, workers))
    return min(hosts, key=lambda host: (ipaddress.ip_address(host).is_loopback, host))


def _reached_at(workers: list[str], dask_scheduler: Any = None) -> list[str]:
    """Run on the scheduler: its own ends of the connections with workers."""
    ends = [dask_scheduler.stream_comms[name].comm.local_address for name in workers]
    return [distributed.comm.get_address_host(each) for each in ends]


@contextmanager
def watched(client: distributed.Client, workers: list[str], futures: list[distributed.Future]) -> Iterator[None]:
    """Give all up as soon as a worker is gone: of those that are left, none can go on without its rows.

    Raises:
        UserError: one of them does not come free of it.
    """
    ended, stuck = threading.Event(), set[str]()

    def watch() -> None:
        while not ended.wait(LOOK_SECONDS):
            with suppress(Exception):  # a scheduler that is gone ends everything by itself
                if left := _left(client, workers):
                    busy = client.run(_busy, workers=left)
                    client.cancel(futures, force=True)
                    stuck.update(_freed(client, busy))
                    return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        if stuck:
            raise UserError(f"{' and '.join(sorted(stuck))} waits for a worker that is gone: end it; {cluster.ADVICE}")


def _left(client: distributed.Client, workers: list[str]) -> list[str]:
    """Those that are still there, if one is not."""
    left = set(workers) & set(client.nthreads())
    return sorted(left) if len(left) < len(workers) else []


def _freed(client: distributed.Client, busy: dict[str, set[str]]) -> set[str]:
    """Wait until workers do no more of what they were busy with; those that go on with it for long."""
    end = time.monotonic() + SILENT_SECONDS
    while True:
        there = set(client.nthreads())
        held = {name for name, keys in busy.items() if keys and name in there}
        busy = {name: client.run(_unblocked, busy[name], workers=[name])[name] for name in held}
        if not any(busy.values()):
            return set()
        if time.monotonic() > end:
            return {name for name, keys in busy.items() if keys}
        time.sleep(LOOK_SECONDS)


def _busy(dask_worker: Any = None) -> set[str]:
    """Run on a worker: what its threads are doing. While this machine trains there, nobody else does."""
    return {str(key) for key in dask_worker.active_threads.values()}


def _unblocked(keys: set[str], dask_worker: Any = None) -> set[str]:
    """Run on a worker: which of these it is doing yet, all of which are ended that wait for a peer.

    Until all workers have found each other, xgboost waits for the next one to call without any limit; so we call, and
    hang up, which ends it with an error.
    """
    still = keys & {str(key) for key in dask_worker.active_threads.values()}
    for each in psutil.Process().net_connections("inet") if still else []:
        if each.status == psutil.CONN_LISTEN:
            with suppress(OSError):
                socket.create_connection(each.laddr[:2], timeout=LOOK_SECONDS).close()
    return still


cloudpickle.register_pickle_by_value(sys.modules[__name__])

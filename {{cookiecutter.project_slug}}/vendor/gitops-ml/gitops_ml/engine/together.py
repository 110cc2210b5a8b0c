"""One model trained by the workers of a Dask cluster: xgboost.dask, which goes on where it was when a worker dies.

Needs the groups `dask` and `xgboost`; imported only where an engine and an estimator name them.
"""

from __future__ import annotations

import itertools
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cloudpickle
import distributed
import numpy as np
import psutil
import xgboost
from dask import array
from dask.delayed import delayed
from xgboost import dask as boosting
from xgboost.collective import Config

from gitops_ml.core.errors import UserError
from gitops_ml.engine import cluster, exact
from gitops_ml.engine.code import PYTHON, TOGETHER, installed
from gitops_ml.engine.exact import Binned
from gitops_ml.engine.hands import differing
from gitops_ml.engine.job import Job

KEPT = Path("build") / "training"
# Of a part as a worker unpacks it.
PART_BYTES = 2**26
FIRST_ROUNDS = 10
# What there is is kept about so often, which is what a kill may cost.
KEEP_SECONDS = 60.0
# How long workers wait for one that is silent.
SILENT_SECONDS = 60
# How long it may take until the scheduler knows that a worker is gone.
NOTICE_SECONDS = 15.0
LOOK_SECONDS = 1.0
ATTEMPTS = 4

Told = Callable[[str], object]


def train(address: str, job: Job, told: Told) -> bytes:
    """Boost on the workers that a scheduler has; the model in xgboost's form UBJ.

    What there is is kept on this machine each minute. If a worker dies, the others go on from there; if anything else
    ends this run, the next one does.

    Raises:
        UserError: the scheduler is away, all workers are, one has other packages, or training fails on them.
    """
    kept = KEPT / f"{job.digest}.ubj"
    model = _read(kept)
    binned = exact.binned(job.matrix, job.max_bin)
    failures = 0
    while model is None or model.num_boosted_rounds() < job.rounds:
        with _connected(address) as client:
            workers = _workers(client, address)
            _require_free(client, workers, address, told)
            before = model
            try:
                for each in _segments(client, workers, binned, job, model):
                    model, failures = each, 0
                    _write(kept, model)
                    told(f"{model.num_boosted_rounds()} of {job.rounds} rounds on {_count(workers)} of {address}")
            except UserError:
                raise
            except Exception as error:  # of xgboost, Dask or a socket, whichever notices first
                failures += model is before
                lost = _lost(client, workers, address)
                if not lost or failures == ATTEMPTS:
                    raise UserError(_failed(lost, error)) from error
                told(f"{' and '.join(lost)} went away: training goes on with those that are left")
    kept.unlink(missing_ok=True)
    return bytes(model.save_raw("ubj"))


def _segments(
    client: distributed.Client, workers: list[str], binned: Binned, job: Job, model: xgboost.Booster | None
) -> Iterator[xgboost.Booster]:
    """The model after some more rounds, again and again until it has all of them."""
    handed = _handed_out(client, workers, binned, job.labels)
    with _watched(client, workers, [future for _, *futures in handed for future in futures]):
        width = binned.codes.shape[1]
        rows = boosting.DaskQuantileDMatrix(
            client,
            array.concatenate([_array(part, (count, width)) for count, part, _ in handed]),
            array.concatenate([_array(labels, (count,)) for count, _, labels in handed]),
            max_bin=job.max_bin,
        )
        rounds = job.rounds if job.draws else FIRST_ROUNDS
        done = model.num_boosted_rounds() if model else 0
        while done < job.rounds:
            rounds = min(rounds, job.rounds - done)
            begun = time.monotonic()
            model = boosting.train(
                client, job.params, rows, rounds, obj=job.objective, xgb_model=model, verbose_eval=False,
                coll_cfg=Config(timeout=SILENT_SECONDS, tracker_timeout=SILENT_SECONDS),
            )["booster"]  # fmt: skip
            done += rounds
            rounds = max(FIRST_ROUNDS, int(rounds * KEEP_SECONDS / (time.monotonic() - begun)))
            yield model


def _handed_out(
    client: distributed.Client, workers: list[str], binned: Binned, labels: Any
) -> list[tuple[int, distributed.Future, distributed.Future]]:
    """The rows in parts, the same number of them for each worker: how many rows, their matrix, their labels."""
    total, width = binned.codes.shape
    parts = -(-total * width * 4 // (PART_BYTES * len(workers))) * len(workers)
    bounds = np.linspace(0, total, min(parts, total) + 1).astype(int)
    found = []
    for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
        place = [workers[number % len(workers)]]
        codes = client.scatter(binned.part(start, stop), workers=place, hash=False)
        part = client.submit(exact.matrix, codes, workers=place, pure=False)
        found.append((int(stop - start), part, client.scatter(labels[start:stop], workers=place, hash=False)))
    return found


def _array(future: distributed.Future, shape: tuple[int, ...]) -> Any:
    return array.from_delayed(delayed(future), shape, np.float32)


@contextmanager
def _watched(client: distributed.Client, workers: list[str], futures: list[distributed.Future]) -> Iterator[None]:
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


@contextmanager
def _connected(address: str) -> Iterator[distributed.Client]:
    client = cluster.connected(address)
    try:
        with client.as_current():
            yield client
    finally:
        with suppress(Exception):  # whatever a scheduler says that is going away
            client.close(timeout=cluster.CLOSE_SECONDS)


def _workers(client: distributed.Client, address: str) -> list[str]:
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


def _require_free(client: distributed.Client, workers: list[str], address: str, told: Told) -> None:
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


def _lost(client: distributed.Client, workers: list[str], address: str) -> list[str]:
    """The workers that are gone.

    Raises:
        UserError: the scheduler is.
    """
    end = time.monotonic() + NOTICE_SECONDS
    lost: set[str] = set()
    while not lost and time.monotonic() < end:
        try:
            lost = set(workers) - set(client.nthreads())
        except Exception as error:  # whatever tells that nobody answers
            raise UserError(f"the scheduler {address} went away; start it again: {cluster.ADVICE}") from error
        time.sleep(LOOK_SECONDS / 5)
    return sorted(lost)


def _failed(lost: list[str], error: Exception) -> str:
    if lost:
        return (
            f"{ATTEMPTS} times a worker died, {lost[0]} at last (out of memory, most often): give each more memory, "
            f"or start more of them; {cluster.ADVICE}"
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"training failed on the workers: {lines[0] if lines else type(error).__name__}"


def _count(workers: list[str]) -> str:
    return f"{len(workers)} worker{'s' * (len(workers) != 1)}"


def _read(kept: Path) -> xgboost.Booster | None:
    # Of what cannot be read nothing is lost but time.
    with suppress(OSError, xgboost.core.XGBoostError):
        return xgboost.Booster(model_file=bytearray(kept.read_bytes()))
    return None


def _write(kept: Path, model: xgboost.Booster) -> None:
    beside = kept.with_suffix(".new")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(model.save_raw("ubj"))
        os.replace(beside, kept)
    except OSError as error:
        raise UserError(f"{kept} cannot be written ({error.strerror}); {cluster.ADVICE}") from error


for _module in (exact, sys.modules[__name__]):
    cloudpickle.register_pickle_by_value(_module)

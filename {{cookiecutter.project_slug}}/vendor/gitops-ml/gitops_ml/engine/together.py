"""One model trained by the workers of a Dask cluster: xgboost.dask, which goes on where it was when a worker dies.

Needs the groups `dask` and `xgboost`; imported only where an engine and an estimator name them.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cloudpickle
import distributed
import numpy as np
import xgboost
from dask import array
from dask.delayed import delayed
from xgboost import dask as boosting
from xgboost.collective import Config

from gitops_ml.core.errors import UserError
from gitops_ml.engine import cluster, exact, peers
from gitops_ml.engine.exact import Binned
from gitops_ml.engine.job import Job
from gitops_ml.engine.peers import Told

KEPT = Path("build") / "training"
# Of a part as a worker unpacks it.
PART_BYTES = 2**26
FIRST_ROUNDS = 10
# What there is is kept about so often, which is what a kill may cost.
KEEP_SECONDS = 60.0
ATTEMPTS = 4


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
            workers = peers.there(client, address)
            peers.require_free(client, workers, address, told)
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
                lost = peers.lost(client, workers, address)
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
    with peers.watched(client, workers, [future for _, *futures in handed for future in futures]):
        width = binned.codes.shape[1]
        rows = boosting.DaskQuantileDMatrix(
            client,
            array.concatenate([_array(part, (count, width)) for count, part, _ in handed]),
            array.concatenate([_array(labels, (count,)) for count, _, labels in handed]),
            max_bin=job.max_bin,
        )
        rounds = job.rounds if job.draws else FIRST_ROUNDS
        done = model.num_boosted_rounds() if model else 0
        silent, place = peers.SILENT_SECONDS, peers.meeting_place(client, workers)
        while done < job.rounds:
            rounds = min(rounds, job.rounds - done)
            begun = time.monotonic()
            model = boosting.train(
                client, job.params, rows, rounds, obj=job.objective, xgb_model=model, verbose_eval=False,
                coll_cfg=Config(timeout=silent, tracker_timeout=silent, tracker_host_ip=place),
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
def _connected(address: str) -> Iterator[distributed.Client]:
    client = cluster.connected(address)
    try:
        with client.as_current():
            yield client
    finally:
        with suppress(Exception):  # whatever a scheduler says that is going away
            client.close(timeout=cluster.CLOSE_SECONDS)


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

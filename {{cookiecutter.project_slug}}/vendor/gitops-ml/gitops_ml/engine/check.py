"""What an engine has: workers, cores, memory, and which of them have other versions than uv.lock."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel

from gitops_ml.engine import local
from gitops_ml.engine.code import PYTHON, TOGETHER, installed, locked
from gitops_ml.engine.engine import dask, parsed
from gitops_ml.engine.estimators import KINDS
from gitops_ml.engine.hands import differing

ALONE = "on one machine"


class Worker(BaseModel):
    """One that does tasks, so many at once, and what it has in other versions than uv.lock."""

    name: str
    cores: int
    memory_bytes: int
    differing: list[str]


class Found(BaseModel):
    """What was found; the JSON that other programs read. `advice`: what to do; nothing, and the engine can be used.

    `training`: whether one model can be trained by all workers together.
    """

    version: Literal[1] = 1
    engine: str
    workers: list[Worker]
    training: str
    advice: list[str]

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        cores = sum(worker.cores for worker in self.workers)
        memory = sum(worker.memory_bytes for worker in self.workers) / 1e9
        count = len(self.workers)
        return f"{self.engine}: {count} worker{'s' * (count != 1)}, {cores} cores, {memory:.1f} GB"


def check(root: Path, where: str) -> Found:
    """Look at the engine of a setting.

    Raises:
        UserError: there is no such engine, or it cannot be reached.
    """
    processes, address = parsed(where)
    expected = {"Python": PYTHON, **locked(root)}
    if not address:
        memory = psutil.virtual_memory().total
        own = Worker(
            name="this machine", cores=processes or local.cores(), memory_bytes=memory, differing=differing(expected)
        )
        advice = ["`make setup` installs here what uv.lock says"] if own.differing else []
        return Found(engine=where, workers=[own], training=ALONE, advice=advice)
    with dask().connected(address) as client:
        workers = [
            Worker(name=name, cores=each["nthreads"], memory_bytes=each["memory_limit"] or 0, differing=other)
            for name, each, other in dask().described(client, expected)
        ]
        training = _training(client)
    advice = [] if workers else [f"no worker is there yet: `dask worker {address}` starts one"]
    if any(worker.differing for worker in workers):
        advice.append("start those workers with the packages of requirements/train.txt, and that Python")
    return Found(engine=where, workers=workers, training=training, advice=advice)


def _training(client: Any) -> str:
    own = installed(TOGETHER)
    if not {"xgboost", "xgboost-cpu"} & set(own):
        return f"{ALONE}; {' and '.join(KINDS)} would on the workers, and `make setup` installs what params.yaml names"
    for name, other in sorted(dask().others(client, {"Python": PYTHON, **own}).items()):
        if other:
            return f"{ALONE}; for more, the worker {name} has {', '.join(other)}"
    if other := client.run_on_scheduler(differing, {"Python": PYTHON, **own}):
        return f"{ALONE}; for more, the scheduler has {', '.join(other)}"
    return f"{' and '.join(KINDS)} on all workers together; anything else on one machine"

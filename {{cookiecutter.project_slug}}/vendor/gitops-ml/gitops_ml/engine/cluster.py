"""The workers of a Dask cluster that somebody else runs. Needs the group `dask`; imported only where it is named.

What a worker does (`Tasks`, `perform`, and what they use of `hands`) is sent by value: it need not have the automation.
"""

from __future__ import annotations

import logging
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any

import cloudpickle
import distributed
from distributed.comm import CommClosedError

from gitops_ml.core.errors import UserError
from gitops_ml.engine import hands
from gitops_ml.engine.code import Code
from gitops_ml.engine.hands import Hands, differing

CONNECT_SECONDS = 15
CLOSE_SECONDS = 2
# How long there may be no worker before nothing is expected any more; a cluster that grows when it is asked needs some.
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 2.0
ADVICE = "what is done stays done, and the same command does the rest"


class Tasks(distributed.WorkerPlugin):  # type: ignore[misc]
    """What a worker gets once, whenever it comes: the code, and which packages that needs."""

    def __init__(self, archive: bytes, expected: Mapping[str, str]) -> None:
        self.archive, self.expected = archive, expected

    def setup(self, worker: distributed.Worker) -> None:
        """See WorkerPlugin."""
        self.differing = differing(self.expected)
        self.hands = Hands(sys.executable, self.archive, worker.local_directory)

    def teardown(self, worker: distributed.Worker) -> None:
        """See WorkerPlugin."""
        self.hands.end()


def perform(name: str, payload: bytes) -> tuple[str, bytes]:
    """Do a task on a worker; `other` and what differs if the worker is none for it."""
    worker = distributed.get_worker()
    tasks = worker.plugins[name]
    if tasks.differing:
        return "other", f"{worker.address} has {', '.join(tasks.differing)}".encode()
    found: tuple[str, bytes] = tasks.hands.perform(payload)
    return found


class Cluster:
    """See gitops_ml.engine.engine.Workers."""

    def __init__(self, address: str, code: Code) -> None:
        self._address = address
        self._name = f"gitops-ml-{uuid.uuid4().hex}"
        self._seen = time.monotonic()
        self._client = connected(address)
        try:
            with self._talking():
                found = others(self._client, code.expected)
                if other := [f"{address} has {', '.join(each)}" for address, each in sorted(found.items()) if each]:
                    raise UserError(refused(other))
                self._client.register_plugin(Tasks(code.archive, code.expected), name=self._name)
        except UserError:
            self._client.close()
            raise

    def size(self) -> int:
        """See Workers."""
        with self._talking():
            threads: dict[str, int] = self._client.nthreads()
        # Where there is none, one may come if there is something to do.
        return max(1, sum(threads.values()))

    def begin(self, payload: bytes) -> Any:
        """See Workers."""
        with self._talking():
            return self._client.submit(perform, self._name, payload, pure=False)

    def wait(self, begun: set[Any]) -> set[Any]:
        """See Workers."""
        while True:
            with self._talking(), suppress(TimeoutError), self._client.as_current():
                done: set[Any] = distributed.wait(begun, timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED").done
                return done
            self._require_workers()

    def result(self, done: Any) -> tuple[str, bytes]:
        """See Workers."""
        while True:
            try:
                with self._talking(), suppress(TimeoutError):
                    # Computed again if the worker that had it is gone by now.
                    kind, content = done.result(timeout=LOOK_SECONDS)
                    if kind == "other":
                        raise UserError(refused([content.decode()]))
                    return kind, content
            except distributed.KilledWorker:
                return "died", b"-9"
            self._require_workers()

    def close(self) -> None:
        """See Workers."""
        with suppress(Exception):  # whatever a scheduler says that is going away
            if self._client.status == "running":
                self._client.unregister_worker_plugin(self._name)
            self._client.close(timeout=CLOSE_SECONDS)

    def _require_workers(self) -> None:
        with self._talking():
            if self._client.nthreads():
                self._seen = time.monotonic()
        if time.monotonic() - self._seen > PATIENCE_SECONDS:
            raise UserError(
                f"the scheduler {self._address} has had no worker for {PATIENCE_SECONDS:.0f} seconds; start some: "
                f"{ADVICE}"
            )

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Whatever tells that the scheduler is gone becomes one sentence."""
        try:
            yield
        except TimeoutError:
            raise
        except (
            CancelledError,
            CommClosedError,
            OSError,
            RuntimeError,
            distributed.client.FutureCancelledError,
        ) as error:
            raise UserError(f"the scheduler {self._address} went away; start it again: {ADVICE}") from error


def connected(address: str) -> distributed.Client:
    """A client of a scheduler; certificates for tls:// are those of Dask's own settings.

    Raises:
        UserError: the scheduler does not answer, or speaks another version of Dask.
    """
    # A scheduler that goes away is told by a sentence.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        return distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"the Dask scheduler {address} cannot be reached ({reason}): is it running there?") from error


def others(client: distributed.Client, expected: Mapping[str, str]) -> dict[str, list[str]]:
    """What each worker, by its address, has in other versions than expected."""
    # A function by value is only read by the same Python and cloudpickle, so these are asked for first.
    said = client.get_versions()["workers"]
    python = expected["Python"]
    found = {
        address: [f"Python {version} instead of {python}"]
        for address, each in said.items()
        if not (version := dict(each["host"])["python"]).startswith(f"{python}.")
    }
    same = [address for address in said if address not in found]
    return found | (client.run(differing, dict(expected), workers=same) if same else {})


def described(
    client: distributed.Client, expected: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
    """The workers: address, what the scheduler knows of each, and what each has in other versions than expected."""
    found = others(client, expected)
    for address, each in client.scheduler_info(n_workers=-1)["workers"].items():
        if address in found:
            yield address, each, found[address]


def refused(other: list[str]) -> str:
    """What to do about workers that have other packages; each with its address and what differs."""
    more = f" (and {len(other) - 1} more workers)" if len(other) > 1 else ""
    return (
        f"the worker {other[0]}{more}: install there what this project's environment has, and start it again; "
        "`gitops-ml engine check` lists what differs"
    )


for _module in (hands, sys.modules[__name__]):
    cloudpickle.register_pickle_by_value(_module)

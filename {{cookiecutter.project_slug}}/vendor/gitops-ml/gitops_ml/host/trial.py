"""The trial of what was packaged: it runs as it will in production, and must answer as the model itself does."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gitops_ml.core import project
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import run
from gitops_ml.host.answers import TrialError, Truth, required
from gitops_ml.host.host import await_ready
from gitops_ml.host.runner import STOP_SECONDS, free_port
from gitops_ml.image import build
from gitops_ml.image.build import Built
from gitops_ml.image.engine import HERE, Engine
from gitops_serving.version import Version

# As deploy/compose.yaml and deploy/base/deployment.yaml say it.
HARDENED = (
    "--init",
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges:true",
    "--memory=1g",
    "--pids-limit=256",
)
CALLERS = 4


@dataclass(frozen=True)
class Container:
    """A running container that serves at `url`."""

    engine: Engine
    id: str
    url: str

    def asked(self, template: str) -> str:
        """What the engine says of it."""
        return run(self.engine.name, "inspect", "--format", template, self.id, cwd=HERE)

    def stop(self) -> None:
        """Have it finish its requests and end."""
        run(self.engine.name, "stop", f"--time={STOP_SECONDS}", self.id, cwd=HERE)

    def require_alive(self) -> None:
        """Raises TrialError with its last lines if it ended."""
        if self.asked("{{.State.Status}}") not in ("created", "running"):
            raise TrialError(f"the image ended while it was started; it said:\n  {self.last_lines()}")

    def last_lines(self) -> str:
        """What it printed last."""
        return run(self.engine.name, "logs", "--tail=8", self.id, cwd=HERE, both=True).replace("\n", "\n  ")


def tried(root: Path, built: Built) -> Iterator[str]:
    """Try an image out; a sentence for each thing that holds.

    Raises:
        TrialError: something does not hold.
        UserError: there is no engine that runs images, or no evaluation set to ask about.
    """
    if not built.engine.runs:
        raise UserError("buildah builds images and runs none; install docker or podman to try them out")
    truth, started = Truth.read(root), time.monotonic()
    with running(built) as container, httpx.Client(base_url=container.url, timeout=30) as client:
        await_ready(container.url, built.version, container.require_alive, truth.ready_seconds)
        yield f"ready {time.monotonic() - started:.1f} s after its start, and says that it is {built.version.release}"
        yield from required(client, built.version, truth)
        yield _stop(container, truth.rows, truth.settings.service)


def as_served(root: Path, version: Version) -> Iterator[str]:
    """Try out what was packaged in the form in which it will be served: as an image if any environment wants one.

    Raises:
        TrialError: something does not hold.
    """
    if project.read(root).needs_image:
        yield from tried(root, build.build(root, version))
        return
    truth = Truth.read(root)
    with _serving(version, truth.ready_seconds) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield from required(client, version, truth)


@contextmanager
def running(built: Built) -> Iterator[Container]:
    """A container of the image, on a free port of 127.0.0.1, gone afterwards."""
    engine, port = built.engine, free_port()
    shared = ("--network=host", "--env=BENTOML_HOST=127.0.0.1")
    network = (f"--publish=127.0.0.1:{port}:{port}",) if engine.has_bridge() else shared
    options = (*HARDENED, *network, f"--env=BENTOML_PORT={port}")
    container = Container(
        engine, run(engine.name, "run", "--detach", *options, built.id, cwd=HERE), f"http://127.0.0.1:{port}"
    )
    try:
        yield container
    finally:
        run(engine.name, "rm", "--force", container.id, cwd=HERE)


@contextmanager
def _serving(version: Version, seconds: float) -> Iterator[str]:
    """The Bento as a process on a free port of 127.0.0.1, once it is ready; gone afterwards."""
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", version.release, "--host", "127.0.0.1", "--port", str(port)]
    with (
        # Where no module of ours can be mistaken for one of the Bento.
        tempfile.TemporaryDirectory() as nowhere,
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, cwd=nowhere, stdout=said, stderr=said) as process,
    ):

        def require_alive() -> None:
            if process.poll() is not None:
                said.seek(0)
                raise TrialError("it ended while it was started; it said:\n  " + "  ".join(said.readlines()[-8:]))

        try:
            url = f"http://127.0.0.1:{port}"
            await_ready(url, version, require_alive, seconds)
            yield url
        finally:
            process.terminate()


def _stop(container: Container, rows: list[dict[str, Any]], limits: project.Service) -> str:
    """Requests that it is at work on are answered before it ends.

    New ones come no more when it is stopped: the front of a host, and a cluster's preStop, see to that.
    """
    size = len(json.dumps(rows[0])) + 50
    many = min(limits.batch_rows, limits.body_bytes // size)
    body = json.dumps({"rows": (rows * (many // len(rows) + 1))[:many]}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    sent = threading.Semaphore(0)
    answers: list[float] = []

    def pieces() -> Iterator[bytes]:
        yield body
        sent.release()

    def call() -> None:
        with contextlib.suppress(httpx.HTTPError):
            url = f"{container.url}/predict_batch"
            httpx.post(url, content=pieces(), headers=headers, timeout=STOP_SECONDS).raise_for_status()
            answers.append(time.monotonic())

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    for _ in callers:
        if not sent.acquire(timeout=STOP_SECONDS):
            raise TrialError(f"it does not take {CALLERS} large requests at a time")
    # Connections are taken in their order: once this one is answered, none of the others waits to be noticed.
    httpx.get(f"{container.url}/livez", timeout=STOP_SECONDS).raise_for_status()
    asked = time.monotonic()
    container.stop()
    for caller in callers:
        caller.join()
    if len(answers) < CALLERS:
        raise TrialError(f"{CALLERS - len(answers)} of {CALLERS} requests got no answer when it was stopped")
    ended = container.asked("{{.State.ExitCode}} {{.State.OOMKilled}}")
    if ended != "0 false":
        raise TrialError(f"it did not end by itself (exit code and out of memory: {ended})")
    after = sum(answer > asked for answer in answers)
    seconds = time.monotonic() - asked
    return f"stopped in {seconds:.1f} s; {after} of {CALLERS} requests were being answered, and none was lost"

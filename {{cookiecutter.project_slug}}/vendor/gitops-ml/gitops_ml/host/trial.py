"""The trial of what was packaged: it runs as it will in production, and must answer as the model itself does."""

from __future__ import annotations

import contextlib
import json
import re
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
import numpy as np
import pandas as pd
import yaml
from pipeline import data, model, persistence
from pipeline.schema import Column, Schema, cast

from gitops_ml.core import lock, project
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import run
from gitops_ml.host.host import await_ready
from gitops_ml.host.runner import STOP_SECONDS, free_port
from gitops_ml.image import build
from gitops_ml.image.build import Built
from gitops_ml.image.engine import HERE, Engine
from gitops_serving.contract import plural, to_answers
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
TEST = "data/prepared/test.parquet"
READ = [TEST, "models/model.skops", "models/model.json", "schema.yaml"]
GOLDEN_ROWS = 1000
TIMED_ROWS = 50
# See gitops_serving.short.
WAYS = re.compile(r"(?m)^prediction_way_total\{way=\"(\w+)\"\} (\S+)$")
CALLERS = 4


class TrialError(UserError):
    """What was packaged does not do what it must."""


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
    settings, rows, truth = _known(root)
    started = time.monotonic()
    with running(built) as container, httpx.Client(base_url=container.url, timeout=30) as client:
        allowed = max(each.ready_seconds for each in settings.environments)
        await_ready(container.url, built.version, container.require_alive, allowed)
        yield f"ready {time.monotonic() - started:.1f} s after its start, and says that it is {built.version.release}"
        yield from _answers(client, built.version, settings, rows, truth)
        yield _stop(container, rows, settings.service)


def as_served(root: Path, version: Version) -> Iterator[str]:
    """Try out what was packaged in the form in which it will be served: as an image if any environment wants one.

    Raises:
        TrialError: something does not hold.
    """
    if project.read(root).needs_image:
        yield from tried(root, build.build(root, version))
        return
    settings, rows, truth = _known(root)
    allowed = max(each.ready_seconds for each in settings.environments)
    with _serving(version, allowed) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield from _answers(client, version, settings, rows, truth)


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


def _known(root: Path) -> tuple[project.Project, list[dict[str, Any]], dict[str, list[Any]]]:
    """The settings, rows of the evaluation set as a caller sends them, and what the model itself says of them."""
    lock.require(root, READ)
    schema = Schema.model_validate(yaml.safe_load((root / "schema.yaml").read_text()))
    settings = project.read(root)
    table = pd.read_parquet(root / TEST).head(min(GOLDEN_ROWS, settings.service.batch_rows))
    return settings, _rows(table, schema), _truth(root, table, schema)


def _answers(
    client: httpx.Client,
    version: Version,
    settings: project.Project,
    rows: list[dict[str, Any]],
    truth: dict[str, list[Any]],
) -> Iterator[str]:
    yield _version(client, version)
    yield _golden(client, rows, truth)
    yield _refusals(client, rows[0], settings.service.body_bytes)
    yield _latency(client, rows, settings.gate.latency_ms)
    yield from _way(client)


def _rows(table: pd.DataFrame, schema: Schema) -> list[dict[str, Any]]:
    """The table's features as a caller sends them."""
    columns = {
        name: [None if pd.isna(value) else _sent(value, column) for value in table[name]]
        for name, column in schema.features.items()
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _sent(value: Any, column: Column) -> Any:
    """A value as JSON carries it."""
    if column.type == "datetime":
        return pd.Timestamp(value).isoformat()
    kinds: dict[str, Any] = {"integer": int, "number": float, "boolean": bool}
    return kinds.get(column.type, str)(value)


def _truth(root: Path, table: pd.DataFrame, schema: Schema) -> dict[str, list[Any]]:
    """What the fitted Pipeline itself says, by the fields of a batch's answer."""
    facts = persistence.ModelFacts.model_validate_json((root / "models/model.json").read_bytes())
    content = (root / "models/model.skops").read_bytes()
    fitted = persistence.load(content, facts, project.read(root).trusted_types)
    scores = model.score(fitted, data.features(cast(table, schema.features), schema))
    return to_answers(scores, schema, project.policy(project.read(root).decision, schema))


def _version(client: httpx.Client, version: Version) -> str:
    said = client.get("/version").json()
    if said != version.model_dump():
        raise TrialError(f"/version says {json.dumps(said)}, which is not what was packaged")
    return "/version names the release, the commit and the hashes of model and data"


def _golden(client: httpx.Client, rows: list[dict[str, Any]], truth: dict[str, list[Any]]) -> str:
    batch = client.post("/predict_batch", json={"rows": rows}).raise_for_status().json()
    single = client.post("/predict", json={"row": rows[0]}).raise_for_status().json()
    pairs = [pair for name, values in truth.items() for pair in zip(batch[name], values, strict=True)]
    pairs += [(value, truth[plural(name)][0]) for name, value in single.items() if name != "release"]
    if differing := sum(one != other for one, other in pairs):
        raise TrialError(f"{differing} of {len(pairs)} answers differ from the model's outside of the image")
    return f"{len(rows)} rows of the evaluation set get the model's own answers, to the last bit"


def _refusals(client: httpx.Client, row: dict[str, Any], body_bytes: int) -> str:
    json_type = {"content-type": "application/json"}
    plain = {"content-type": "text/plain"}
    wanted = {
        "an unknown column": (400, client.post("/predict", json={"row": row | {"no such column": 1}})),
        "a cut body": (400, client.post("/predict", content=b'{"row": ', headers=json_type)),
        "an empty batch": (400, client.post("/predict_batch", json={"rows": []})),
        "a body that is no JSON": (415, client.post("/predict", content=b"a=1", headers=plain)),
        "a body that is too large": (
            413,
            client.post("/predict_batch", content=b" " * (body_bytes + 1), headers=json_type),
        ),
    }
    for what, (status, answer) in wanted.items():
        if answer.status_code != status:
            raise TrialError(f"{what} gets {answer.status_code}, not {status}")
    if not client.get("/readyz").is_success:
        raise TrialError("it is not ready any more after bad requests")
    return f"{len(wanted)} kinds of bad requests are refused, and it goes on"


def _latency(client: httpx.Client, rows: list[dict[str, Any]], budget: float) -> str:
    times = []
    for row in rows[:TIMED_ROWS]:
        start = time.perf_counter()
        client.post("/predict", json={"row": row}).raise_for_status()
        times.append((time.perf_counter() - start) * 1000)
    p95 = float(np.quantile(times, 0.95))
    if p95 > budget:
        raise TrialError(f"a row takes {p95:.0f} ms at the 95th percentile, and gate.latency_ms allows {budget:g}")
    return f"a row takes {p95:.1f} ms at the 95th percentile, of {budget:g} that gate.latency_ms allows"


def _way(client: httpx.Client) -> Iterator[str]:
    """That rows alone took the short way: nobody would notice that they take a hundred times as long."""
    ways = dict(WAYS.findall(client.get("/metrics").raise_for_status().text))
    if not ways:
        yield "service/service.py has no short way"
    elif not float(ways["short"]):
        raise TrialError(
            "no row alone took the short way; what the service says at its start names the reason, and service.py "
            "without ShortWay says that you want it so"
        )
    else:
        yield f"{float(ways['short']):g} rows alone took the short way"


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

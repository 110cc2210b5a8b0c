"""Other servers of the same model, each in an environment of its own; see ci.bench.requests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from uv import find_uv_bin

from ci.serving import READY_SECONDS
from ci.shell import ROOT, CommandError, environment, free_port, run

BENCH = ROOT / "build" / "bench-serving"
SERVERS = ROOT / "ci" / "bench" / "servers"


@dataclass(frozen=True)
class Rival:
    """Another server of the same model."""

    name: str
    packages: tuple[str, ...]
    # With @port@ in it; the first word is a program of its environment.
    command: tuple[str, ...]
    path: str = "/predict"
    ready: str = "/readyz"
    # It wants other versions than the service of some packages; only those that the model itself needs are the same.
    is_strict: bool = False


UVICORN = ("--host", "127.0.0.1", "--port", "@port@", "--no-access-log", "--log-level", "warning")
RIVALS = (
    Rival("uvicorn and the fast form alone: the limit", (), ("uvicorn", "limit:app", *UVICORN)),
    Rival("FastAPI, ONNX in single precision", ("fastapi", "onnxruntime", "skl2onnx"),
          ("uvicorn", "fastapi_onnx:app", *UVICORN)),
    Rival("FastAPI, scikit-learn", ("fastapi",), ("uvicorn", "fastapi_sklearn:app", *UVICORN)),
    Rival("BentoML's defaults", (), ("bentoml", "serve", "bentoml_default:Model", "--host", "127.0.0.1",
                                     "--port", "@port@")),
    Rival("MLflow", ("mlflow",), ("mlflow", "models", "serve", "--model-uri", str(BENCH / "mlflow"), "--host",
                                  "127.0.0.1", "--port", "@port@", "--env-manager", "local", "--workers", "1"),
          "/invocations", "/ping", is_strict=True),
    Rival("MLServer", ("mlserver",), ("mlserver", "start", str(BENCH / "mlserver")),
          "/v2/models/flights/infer", "/v2/health/ready", is_strict=True),
)  # fmt: skip


def bodies(rows: list[dict[str, Any]]) -> None:
    """The same rows for everybody, each in the form that a server takes."""
    forms: dict[str, Any] = {
        "default": lambda row: {"row": row},
        "BentoML's defaults": lambda row: {"rows": [row]},
        "MLflow": lambda row: {"dataframe_records": [row]},
        "MLServer": lambda row: {
            "parameters": {"content_type": "pd"},
            "inputs": [
                {"name": name, "shape": [1, 1], "datatype": kind(value), "data": [value],
                 "parameters": {"content_type": "str" if isinstance(value, str) else "np"}}
                for name, value in row.items()
            ],
        },
    }  # fmt: skip
    whole = [row for row in rows if None not in row.values()]
    for name, form in forms.items():
        (BENCH / f"{name}.txt").write_text("".join(json.dumps(form(row)) + "\n" for row in whole))


def kind(value: Any) -> str:
    """The type of a value in the protocol that MLServer speaks."""
    return {str: "BYTES", int: "INT64", float: "FP64", bool: "BOOL"}[type(value)]


def installed(rival: Rival, source: Path) -> Path:
    """An environment with what the model needs and what the server adds."""
    folder = BENCH / "environments" / re.sub(r"\W+", "-", rival.name)
    run(find_uv_bin(), "venv", "--quiet", str(folder), cwd=BENCH)
    exported = (source / "requirements.txt").read_text().splitlines()
    named = [line.rstrip(" \\") for line in exported if "==" in line and not line.startswith(" ")]
    if rival.is_strict:
        named = [line for line in named if line.partition("==")[0] in ("bentoml", "orjson", "scikit-learn", "skops")]
    wanted = BENCH / "requirements.txt"
    wanted.write_text("".join(f"{line}\n" for line in named))
    chosen = ("--requirement", str(wanted), *rival.packages)
    run(find_uv_bin(), "pip", "install", "--quiet", "--python", str(folder), *chosen, cwd=BENCH)
    return folder


def prepare_mlflow(environment_: Path, source: Path) -> None:
    """Save the model in MLflow's own form, and name the one that MLServer serves."""
    python = str(environment_ / "bin" / "python")
    run(python, str(SERVERS / "mlflow_model.py"), str(BENCH / "mlflow"), cwd=source, env={"PYTHONPATH": path(source)})
    (BENCH / "mlserver").mkdir()
    settings = {"name": "flights", "implementation": "mlserver_model.Model"}
    (BENCH / "mlserver" / "model-settings.json").write_text(json.dumps(settings))


def path(source: Path) -> str:
    """Where a server finds the model's code, and ours."""
    return os.pathsep.join(map(str, (SERVERS, source)))


@contextmanager
def started(rival: Rival, folder: Path, source: Path) -> Iterator[tuple[str, psutil.Process, float]]:
    """A server, the address at which it is ready, and how long that took; gone afterwards."""
    port = free_port()
    command = [word.replace("@port@", str(port)) for word in rival.command]
    own = {"PYTHONPATH": path(source), "MLSERVER_HTTP_PORT": str(port), "MLSERVER_PARALLEL_WORKERS": "0",
           "MLSERVER_GRPC_PORT": str(free_port()), "MLSERVER_METRICS_PORT": str(free_port()), "MLSERVER_HOST":
           "127.0.0.1", "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}  # fmt: skip
    url, begun = f"http://127.0.0.1:{port}", time.monotonic()
    log = BENCH / f"{rival.name}.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [str(folder / "bin" / command[0]), *command[1:]],
            cwd=source,
            env=environment() | own,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            await_answer(url + rival.ready, process, log)
            yield url, psutil.Process(process.pid), time.monotonic() - begun
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def await_answer(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until it answers.

    Raises:
        CommandError: it does not in time, or has ended.
    """
    give_up = time.monotonic() + READY_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(url).status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                return
        time.sleep(0.05)
    raise CommandError(f"it is not ready; it said:\n{log.read_text()[-2000:]}")

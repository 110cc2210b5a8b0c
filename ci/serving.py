"""The service of a generated project, asked about flights of April as a caller would."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq

from ci.shell import ROOT, CommandError, environment, free_port
from ci.steps import Steps

APRIL = ROOT / "ci" / "batches" / "2013-04.parquet"
LABEL = "late"
ROWS = 1000
SHOWN = 8
READY_SECONDS = 120


@contextmanager
def served(project: Path, log: Path, steps: Steps, predictions: Path | None = None) -> Iterator[str]:
    """Serve the project's Bento on a free port until the block ends; it writes its answers down where it is told to."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["make", "serve", f"PORT={port}"],
            cwd=project,
            env=environment() | ({"PREDICTIONS": str(predictions)} if predictions else {}),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as server,
    ):
        try:
            with steps.step(f"Serve it (make serve PORT={port})"):
                wait_until_ready(url, server, log)
                steps.remark(httpx.get(f"{url}/version").json()["release"])
            yield url
        finally:
            # Nobody is left if it ended by itself.
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=30)


def wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the service's readiness.

    Raises:
        CommandError: the server ended, or is not ready in time.
    """
    give_up = time.monotonic() + READY_SECONDS
    while time.monotonic() < give_up and server.poll() is None:
        try:
            if httpx.get(f"{url}/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise CommandError(f"the service is not ready; it said:\n{log.read_text()[-2000:]}")


def ask(url: str, echo: Callable[[str], object]) -> str:
    """Send rows of April as one batch, show some beside the truth, and tell what the scores are worth."""
    rows = pq.read_table(APRIL).filter(pq.read_table(APRIL)[LABEL].is_valid()).slice(0, ROWS).to_pylist()
    wanted = feature_names(url)
    answer = httpx.post(
        f"{url}/predict_batch", json={"rows": [{name: row[name] for name in wanted} for row in rows]}, timeout=60
    ).raise_for_status()
    scores, decisions = answer.json()["scores"], answer.json()["decisions"]
    echo("day   flight                score   decision  truth")
    for row, score, decision in list(zip(rows, scores, decisions, strict=True))[:: ROWS // SHOWN][:SHOWN]:
        truth = "late" if row[LABEL] else "on time"
        flight = f"{row['carrier']} {row['origin']}-{row['dest']} at {row['sched_dep_time']:04d}"
        echo(f"{row['month']}/{row['day']:<3} {flight:<21} {score:.3f}   {decision:<8}  {truth}")
    ranked = sorted(zip(scores, rows, strict=True), key=lambda pair: pair[0], reverse=True)
    top = [row[LABEL] for _, row in ranked[: ROWS // 10]]
    return f"of all {rate([row[LABEL] for row in rows])} are late, of the tenth with the highest scores {rate(top)}"


def feature_names(url: str) -> list[str]:
    """The columns that the service asks for, as its OpenAPI document says."""
    row: dict[str, Any] = httpx.get(f"{url}/docs.json").raise_for_status().json()["components"]["schemas"]["Row"]
    return list(row["properties"])


def rate(labels: list[int]) -> str:
    """The share of ones."""
    return f"{sum(labels) / len(labels):.0%}"

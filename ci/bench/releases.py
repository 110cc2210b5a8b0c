"""How long it takes until a release serves, after a promotion and after a rollback; what front and prediction log cost.

Everything is as a user has it: a generated project, its commands, real Bentos, a bare repository as origin. What an
agent's timer adds, up to 15 seconds until it looks, is not in the figures.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import yaml
from rich.table import Table

from ci.bake import bake
from ci.bench.benchmark import console, ended, machine
from ci.demo import publish
from ci.serving import APRIL, feature_names, served
from ci.shell import ROOT, CommandError, free_port, gitops, make, run
from ci.steps import Steps

BENCH = ROOT / "build" / "bench"
TURNS = 5
REQUESTS = 300
ROWS = 1000


def main() -> None:
    """Measure and print."""
    project, releases = prepare()
    try:
        show(project, releases)
    finally:
        gitops("host", "stop", "production", cwd=project)


def prepare() -> tuple[Path, list[str]]:
    """A project with one environment and two releases of the same model."""
    shutil.rmtree(BENCH, ignore_errors=True)
    project = bake({}, BENCH)
    for target in ("setup", "init", "repro"):
        console.print(f"make {target}")
        make(target, cwd=project)
    run("git", "commit", "--quiet", "--message", "Train", cwd=project)
    make("push", cwd=project)
    publish(project, BENCH / "origin.git")
    run("git", "remote", "add", "origin", str(BENCH / "origin.git"), cwd=project)
    releases = []
    for rows in (10000, 9999):
        settings = yaml.safe_load((project / "project.yaml").read_text())
        production = settings["environments"][-1] | {"gate": "none", "approvals": 0, "port": free_port()}
        settings["service"]["batch_rows"] = rows
        (project / "project.yaml").write_text(yaml.safe_dump(settings | {"environments": [production]}))
        run("git", "commit", "--quiet", "--no-verify", "--all", "--message", f"{rows} rows", cwd=project)
        run("git", "push", "--quiet", "origin", "main", cwd=project)
        console.print("gitops-ml release make")
        said = gitops("release", "make", "--json", cwd=project)
        # What takes long is told before.
        releases.append(json.loads(said[said.index("{") :])["release"])
    gitops("env", "bootstrap", cwd=project)
    return project, releases


def show(project: Path, releases: list[str]) -> None:
    """Print one table of what was measured."""
    first = [until_it_serves(project, "promote", "--release", release, wanted=release) for release in releases]
    promoted, rolled_back = [], []
    for _ in range(TURNS):
        rolled_back.append(until_it_serves(project, "rollback", wanted=releases[0]))
        gitops("release", "unhold", releases[1].partition(":")[2], cwd=project)
        promoted.append(until_it_serves(project, "promote", "--release", releases[1], wanted=releases[1]))
    direct, through = latency(project)
    single, batch = log_costs(project)
    table = Table(title=machine(), title_justify="left")
    table.add_column("from ... to the first answer of the wanted release")
    table.add_column("seconds, median (lowest to highest)", justify="right")
    table.add_row("promote, the first release of all: packages installed", f"{first[0]:.1f}")
    table.add_row("promote, another release with the same packages", f"{first[1]:.1f}")
    table.add_row("promote, a release that is installed", spread(promoted))
    table.add_row("roll back", spread(rolled_back))
    table.add_section()
    table.add_row("one prediction, asked directly", f"{direct * 1000:.2f} ms")
    table.add_row("one prediction, through the front", f"{through * 1000:.2f} ms, {through / direct:.2f} times")
    for what, (plain, logged) in (("one row", single), (f"a batch of {ROWS:,} rows", batch)):
        table.add_row(f"{what}, answers not written down", f"{plain * 1000:.2f} ms")
        table.add_row(f"{what}, written down", f"{logged * 1000:.2f} ms, {logged / plain:.2f} times")
    console.print(table)


def until_it_serves(project: Path, *command: str, wanted: str) -> float:
    """Seconds from the start of a promotion or rollback until its release answers, the agent's step included."""
    url = f"http://127.0.0.1:{port(project)}"
    start = time.monotonic()
    gitops("env", command[0], "production", *command[1:], cwd=project)
    gitops("host", "deploy", "production", cwd=project)
    answered = httpx.get(f"{url}/version").json()["release"]
    if answered != wanted:
        raise CommandError(f"production serves {answered}, not {wanted}")
    return time.monotonic() - start


def latency(project: Path) -> tuple[float, float]:
    """Median seconds of one prediction, asked of the instance itself and through the front, by turns."""
    active = json.loads((project / ".deploy" / "production" / "active.json").read_text())
    direct, through = (f"http://127.0.0.1:{each}" for each in (active["port"], active["public"]))
    return by_turns(f"{direct}/predict", f"{through}/predict", {"row": rows(direct)[0]})


def log_costs(project: Path) -> tuple[tuple[float, float], tuple[float, float]]:
    """Median seconds of one row, and of a batch, asked of a service that writes nothing down and of one that does."""
    steps = Steps()
    with (
        served(project, BENCH / "plain.log", steps) as plain,
        served(project, BENCH / "logged.log", steps, BENCH / "written") as logged,
    ):
        asked = rows(plain)
        return (
            by_turns(f"{plain}/predict", f"{logged}/predict", {"row": asked[0]}),
            by_turns(f"{plain}/predict_batch", f"{logged}/predict_batch", {"rows": asked}),
        )


def rows(url: str) -> list[dict[str, Any]]:
    """Flights of April as the service wants them."""
    found: list[dict[str, Any]] = pq.read_table(APRIL, columns=feature_names(url)).slice(0, ROWS).to_pylist()
    return found


def by_turns(one: str, other: str, body: dict[str, Any]) -> tuple[float, float]:
    """Median seconds of the same request to two places, each asked in turn, and twice: the second time counts.

    What the first answer left to do for whoever gave it is then paid by the second.
    """
    times: dict[str, list[float]] = {one: [], other: []}
    content, kind = json.dumps(body), {"content-type": "application/json"}
    with httpx.Client(timeout=60) as client:
        for _ in range(REQUESTS):
            for url, taken in times.items():
                client.post(url, content=content, headers=kind).raise_for_status()
                start = time.perf_counter()
                client.post(url, content=content, headers=kind).raise_for_status()
                taken.append(time.perf_counter() - start)
    return statistics.median(times[one]), statistics.median(times[other])


def port(project: Path) -> int:
    """The port of production."""
    return int(yaml.safe_load((project / "project.yaml").read_text())["environments"][-1]["port"])


def spread(seconds: list[float]) -> str:
    """The median with the lowest and the highest."""
    return f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"


if __name__ == "__main__":
    sys.exit(ended(main))

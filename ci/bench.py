"""How long it takes until a release serves, after a promotion and after a rollback, and what the front costs.

Everything is as a user has it: a generated project, its commands, real Bentos, a bare repository as origin. What an
agent's timer adds, up to 15 seconds until it looks, is not in the figures.
"""

from __future__ import annotations

import json
import platform
import shutil
import statistics
import sys
import time
from pathlib import Path

import httpx
import psutil
import pyarrow.parquet as pq
import yaml
from rich.console import Console
from rich.table import Table

from ci.bake import bake
from ci.demo import publish
from ci.serving import APRIL, feature_names
from ci.shell import ROOT, CommandError, free_port, make, run

BENCH = ROOT / "build" / "bench"
TURNS = 5
REQUESTS = 300

console = Console(highlight=False)


def main() -> int:
    """Measure and print; exit code 1 and one sentence if a step fails."""
    try:
        project, releases = prepare()
        try:
            show(project, releases)
        finally:
            make("stop", "ENV=production", cwd=project)
    except (CommandError, httpx.HTTPError) as error:
        console.print(f"The benchmark stopped: {error}", markup=False)
        return 1
    return 0


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
        console.print("make release")
        said = make("--silent", "release", "OPTIONS=--json", cwd=project)
        releases.append(json.loads(said)["release"])
    make("bootstrap", cwd=project)
    return project, releases


def show(project: Path, releases: list[str]) -> None:
    """Print one table of what was measured."""
    first = [until_it_serves(project, "promote", f"RELEASE={release}", wanted=release) for release in releases]
    promoted, rolled_back = [], []
    for _ in range(TURNS):
        rolled_back.append(until_it_serves(project, "rollback", wanted=releases[0]))
        make("release-hold", f"RELEASE={releases[1].partition(':')[2]}", cwd=project)
        promoted.append(until_it_serves(project, "promote", f"RELEASE={releases[1]}", wanted=releases[1]))
    direct, through = latency(project)
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
    console.print(table)


def until_it_serves(project: Path, *command: str, wanted: str) -> float:
    """Seconds from the start of a promotion or rollback until its release answers, the agent's step included."""
    url = f"http://127.0.0.1:{port(project)}"
    start = time.monotonic()
    make(command[0], "ENV=production", *command[1:], cwd=project)
    make("deploy", "ENV=production", cwd=project)
    answered = httpx.get(f"{url}/version").json()["release"]
    if answered != wanted:
        raise CommandError(f"production serves {answered}, not {wanted}")
    return time.monotonic() - start


def latency(project: Path) -> tuple[float, float]:
    """Median seconds of one prediction, asked of the instance itself and through the front, by turns."""
    active = json.loads((project / ".deploy" / "production" / "active.json").read_text())
    urls = [f"http://127.0.0.1:{each}" for each in (active["port"], active["public"])]
    row = pq.read_table(APRIL, columns=feature_names(urls[1])).slice(0, 1).to_pylist()[0]
    times: dict[str, list[float]] = {url: [] for url in urls}
    with httpx.Client(timeout=60) as client:
        for _ in range(REQUESTS):
            for url in urls:
                start = time.perf_counter()
                client.post(f"{url}/predict", json={"row": row}).raise_for_status()
                times[url].append(time.perf_counter() - start)
    direct, through = (statistics.median(each) for each in times.values())
    return direct, through


def port(project: Path) -> int:
    """The port of production."""
    return int(yaml.safe_load((project / "project.yaml").read_text())["environments"][-1]["port"])


def spread(seconds: list[float]) -> str:
    """The median with the lowest and the highest."""
    return f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"


def machine() -> str:
    """What the figures were measured on."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} cores, {memory:.0f} GB, Python {platform.python_version()}, {platform.system()}"


if __name__ == "__main__":
    sys.exit(main())

"""What a request costs: this project's service and its front beside other servers of the same model, in one run.

Every server has an environment of its own and is asked about the same flights, one row a request, over 1, 32 and 128
connections. Turn by turn each is started, asked and ended, so that what else the machine does meets them all. Seconds
of CPU are those of a server's whole tree of processes; wrk, which asks, is not in them.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import vl_convert
from uv import find_uv_bin

from ci.bench import releases
from ci.bench.benchmark import console, ended, machine
from ci.bench.rivals import BENCH, RIVALS, SERVERS, bodies, installed, prepare_mlflow, started
from ci.shell import ROOT, CommandError, gitops, run

DOCS = ROOT / "docs"
CONNECTIONS = (1, 32, 128)
TURNS, SECONDS, WARM_SECONDS = 3, 5, 2
ASKED = 32  # the connections by which servers are compared


OURS, FRONT = "this project's service", "this project's service behind the front"


@dataclass(frozen=True)
class Figures:
    """What was measured of a server at so many connections, in one turn."""

    server: str
    connections: int
    requests_per_second: float
    cpu_per_1000: float
    p50_ms: float
    p99_ms: float
    start_seconds: float | None
    megabytes: float
    load: float


def main() -> None:
    """Measure and write docs/serving.md."""
    require_wrk()
    project, names = releases.prepare()
    releases.until_it_serves(project, "promote", "--release", names[0], wanted=names[0])
    try:
        write(*measured(project))
    finally:
        gitops("host", "stop", "production", cwd=project)


def require_wrk() -> None:
    """The program that asks; Debian has it.

    Raises:
        CommandError: it is not here, and cannot be installed.
    """
    if shutil.which("wrk"):
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise CommandError("wrk is not installed; install it, for example by `sudo apt-get install wrk`")
    run("apt-get", "install", "--quiet=2", "--yes", "wrk", cwd=ROOT)


def measured(project: Path) -> tuple[list[Figures], dict[str, str]]:
    """All figures, and the versions of what was measured."""
    shutil.rmtree(BENCH, ignore_errors=True)
    BENCH.mkdir(parents=True)
    active = json.loads((project / ".deploy" / "production" / "active.json").read_text())
    source = project / ".deploy" / "production" / "releases" / active["release"]["release"].partition(":")[2]
    source = source / "bento" / "src"
    bodies(releases.rows(f"http://127.0.0.1:{active['port']}"))
    environments = {}
    for rival in RIVALS:
        console.print(f"installing {rival.name}")
        environments[rival.name] = installed(rival, source)
    prepare_mlflow(environments["MLflow"], source)
    found: list[Figures] = []
    for turn in range(TURNS):
        console.print(f"turn {turn + 1} of {TURNS}, load {os.getloadavg()[0]:.1f}")
        for name, port in ((OURS, active["port"]), (FRONT, active["public"])):
            processes = {tree_of(active["port"]), tree_of(port)}
            found += asked(name, f"http://127.0.0.1:{port}/predict", processes, None)
        for rival in RIVALS:
            with started(rival, environments[rival.name], source) as (url, process, seconds):
                found += asked(rival.name, url + rival.path, {process}, seconds)
    return found, versions(environments)


def tree_of(port: int) -> psutil.Process:
    """The topmost process of our own that listens on a port."""
    heard = [each for each in psutil.net_connections("tcp") if each.status == "LISTEN"]
    found = psutil.Process(min(each.pid for each in heard if each.pid and getattr(each.laddr, "port", 0) == port))
    while (above := found.parent()) and "bentoml" in " ".join(above.cmdline()) and "serve" in above.cmdline():
        found = above
    return found


def asked(name: str, url: str, processes: set[psutil.Process], start: float | None) -> Iterator[Figures]:
    """Ask over each number of connections.

    Raises:
        CommandError: a request was refused or lost: then nothing was measured.
    """
    own = BENCH / f"{name}.txt"
    sent = own if own.exists() else BENCH / "default.txt"
    wrk(url, ASKED, WARM_SECONDS, sent)
    for connections in CONNECTIONS:
        before = cpu(processes)
        said = wrk(url, connections, SECONDS, sent)
        spent = cpu(processes) - before
        if said["refused"] or said["lost"] or not said["requests"]:
            raise CommandError(f"{name}: of {said['requests']} requests {said['refused']} were refused, "
                               f"{said['lost']} lost")  # fmt: skip
        rate = said["requests"] / said["seconds"]
        found = Figures(name, connections, rate, spent / said["requests"] * 1000, said["p50_ms"], said["p99_ms"],
                        start, memory(processes), os.getloadavg()[0])  # fmt: skip
        console.print(f"  {name}, {connections}: {rate:,.0f}/s, {found.cpu_per_1000:.3f} s, p99 {found.p99_ms:.1f} ms")
        yield found


def wrk(url: str, connections: int, seconds: int, sent: Path) -> dict[str, float]:
    """What wrk says at the end."""
    options = ("--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "30s")
    said = run("wrk", *options, "--latency", "--script", str(SERVERS / "post.lua"), url, "--", str(sent), cwd=BENCH)
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def whole(processes: set[psutil.Process]) -> Iterator[psutil.Process]:
    """The processes and all that they started."""
    for each in processes:
        yield each
        yield from each.children(recursive=True)


def cpu(processes: set[psutil.Process]) -> float:
    """Seconds of CPU that they have used."""
    total = 0.0
    for each in whole(processes):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def memory(processes: set[psutil.Process]) -> float:
    """Megabytes; what several share counts once."""
    total = 0.0
    for each in whole(processes):
        with suppress(psutil.NoSuchProcess):
            total += each.memory_full_info().pss / 1e6
    return total


def versions(environments: dict[str, Path]) -> dict[str, str]:
    """The version of each package that matters, by its name."""
    wanted = {"bentoml", "fastapi", "mlflow", "mlserver", "numpy", "onnxruntime", "pandas", "scikit-learn", "uvicorn",
              "uvloop"}  # fmt: skip
    found: dict[str, set[str]] = {}
    for folder in environments.values():
        for line in run(find_uv_bin(), "pip", "freeze", "--python", str(folder), cwd=BENCH).splitlines():
            name, _, version = line.partition("==")
            if name in wanted:
                found.setdefault(name, set()).add(version)
    return {name: " and ".join(sorted(each)) for name, each in sorted(found.items())}


def write(found: list[Figures], packages: dict[str, str]) -> None:
    """The figures as JSON, as a page with tables, and as a picture."""
    (DOCS / "serving.json").write_text(
        json.dumps({"machine": machine(), "packages": packages, "turns": [asdict(each) for each in found]},
                   indent=1) + "\n")  # fmt: skip
    rows = medians(found)
    limit = next(row for row in rows if row["connections"] == ASKED and row["server"] == RIVALS[0].name)
    loads = [each.load for each in found]
    lines = [
        "# What a request costs",
        "",
        "Written by `make bench-serving`. One row a request, the same flights for all; this project validates, counts",
        f"and writes down its answers. Medians of {TURNS} turns of {SECONDS} seconds on {machine()}.",
        f"The machine's load was {min(loads):.1f} to {max(loads):.1f}: CPU is the robust figure, requests a second the",
        "noisy one. [All figures](serving.json).",
        "",
        f"![Seconds of CPU for 1,000 requests over {ASKED} connections, by server](serving.svg)",
    ]
    for connections in CONNECTIONS:
        lines += ["", f"## {connections} connection{'s' if connections > 1 else ''}", "",
                  "| server | requests/s | CPU s for 1,000 | times the limit | p50 ms | p99 ms | start s | MB |",
                  "|---|---:|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
        here = [row for row in rows if row["connections"] == connections]
        least = next(row for row in here if row["server"] == limit["server"])["cpu_per_1000"]
        for row in here:
            start = f"{row['start_seconds']:.1f}" if row["start_seconds"] else ""
            lines.append(
                f"| {row['server']} | {row['requests_per_second']:,.0f} | {row['cpu_per_1000']:.3f} | "
                f"{row['cpu_per_1000'] / least:.1f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} | {start} | "
                f"{row['megabytes']:.0f} |"
            )
    lines += ["", "Behind the front, CPU and memory are those of front and service together. Versions: "
              + ", ".join(f"{name} {version}" for name, version in packages.items()) + ".", ""]  # fmt: skip
    (DOCS / "serving.md").write_text("\n".join(lines))
    (DOCS / "serving.svg").write_text(picture([row for row in rows if row["connections"] == ASKED]))
    console.print("wrote docs/serving.md, docs/serving.json and docs/serving.svg")


def medians(found: list[Figures]) -> list[dict[str, Any]]:
    """One row for each server and number of connections, the cheapest server first."""
    rows = []
    for server in dict.fromkeys(each.server for each in found):
        for connections in CONNECTIONS:
            turns = [asdict(each) for each in found if (each.server, each.connections) == (server, connections)]
            numbers = {
                name: statistics.median(turn[name] for turn in turns)
                for name, value in turns[0].items()
                if isinstance(value, float)
            }
            rows.append(turns[0] | numbers)
    return sorted(rows, key=lambda row: (row["connections"], row["cpu_per_1000"]))


def picture(rows: list[dict[str, Any]]) -> str:
    """Bars on a logarithmic scale."""
    values = [{"server": row["server"], "cpu": row["cpu_per_1000"], "text": f"{row['cpu_per_1000']:.3g}"}
              for row in rows]  # fmt: skip
    axes: dict[str, Any] = {
        "y": {"field": "server", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 320}},
        "x": {
            "field": "cpu",
            "type": "quantitative",
            "scale": {"type": "log"},
            "title": f"seconds of CPU for 1,000 requests over {ASKED} connections (logarithmic)",
        },
    }
    spec = {
        "width": 460,
        "background": "white",
        "data": {"values": values},
        "layer": [
            {"mark": {"type": "point", "filled": True, "size": 90}, "encoding": axes},
            {
                "mark": {"type": "text", "align": "left", "dx": 9},
                "encoding": axes | {"text": {"field": "text", "type": "nominal"}},
            },
        ],
    }
    return str(vl_convert.vegalite_to_svg(spec))


if __name__ == "__main__":
    sys.exit(ended(main))

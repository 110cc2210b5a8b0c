"""`make bench-search`: a search of the example on one process, all cores and two Dask workers, killed or not."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table
from uv import find_uv_bin

from ci.bench.batches import BENCH, Cost, cluster, command, prepare
from ci.bench.benchmark import console, ended, machine
from ci.shell import CommandError, run

TRIALS = 30


def main() -> None:
    """Measure and print."""
    project = BENCH / "late-flights"
    if not (project / ".released").exists():
        prepare()
    run(find_uv_bin(), "sync", "--locked", "--inexact", "--group", "dask", "--group", "search", cwd=project)
    found, tables = [], set()
    for each in ways(project):
        found.append(each)
        tables.add(hashlib.sha256((project / "search" / "trials.json").read_bytes()).hexdigest())
    if len(tables) > 1:
        raise CommandError("the ways found different things")
    show(found)


def ways(project: Path) -> Iterator[Cost]:
    """Each way, one after the other."""
    yield search("one process", project, "local:1")
    yield search("all cores", project, "local")
    yield search("all cores, a worker killed", project, "local", kill="gitops_ml.engine.child")
    with cluster(str(project / ".venv" / "bin" / "python")) as (address, workers):
        yield search("two Dask workers", project, address, workers)
        yield search("two Dask workers, one killed", project, address, workers, kill="dask_worker")


def search(way: str, project: Path, engine: str, workers: tuple[int, ...] = (), kill: str = "") -> Cost:
    """The project's own command, which knows nothing yet."""
    shutil.rmtree(project / "build" / "search", ignore_errors=True)
    words = (str(project / ".venv/bin/gitops-ml"), "model", "search", "--no-propose", "--trials", str(TRIALS))
    return command(way, project, *words, "--engine", engine, others=workers, kill=kill)


def show(found: list[Cost]) -> None:
    """Print one table of what was measured."""
    table = Table(title=f"{TRIALS} trials; the same table of them by each way; {machine()}", title_justify="left")
    for name in ("way", "seconds", "CPU seconds", "MB of the largest process"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for each in found:
        # Of processes that were killed with a worker, the seconds are not known.
        cpu = "" if "one killed" in each.way else f"{each.cpu:.0f}"
        table.add_row(each.way, f"{each.seconds:.0f}", cpu, f"{each.memory:,.0f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(ended(main))

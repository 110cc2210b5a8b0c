"""`make bench-search`: a search of the example on one process, all cores and two Dask workers, killed or not."""

from __future__ import annotations

import hashlib
import shutil
import sys

from rich.table import Table
from uv import find_uv_bin

from ci.bench.batches import BENCH, Cost, by_engine, prepare
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
    for each in by_engine(project, search):
        found.append(each)
        tables.add(hashlib.sha256((project / "search" / "trials.json").read_bytes()).hexdigest())
    if len(tables) > 1:
        raise CommandError("the ways found different things")
    show(found)


def search(engine: str) -> tuple[str, ...]:
    """The project's own command, which knows nothing yet."""
    project = BENCH / "late-flights"
    shutil.rmtree(project / "build" / "search", ignore_errors=True)
    words = (str(project / ".venv/bin/gitops-ml"), "model", "search", "--no-propose", "--trials", str(TRIALS))
    return (*words, "--engine", engine)


def show(found: list[Cost]) -> None:
    """Print one table of what was measured."""
    table = Table(title=f"{TRIALS} trials; the same table of them by each way; {machine()}", title_justify="left")
    for name in ("way", "seconds", "CPU seconds", "MB of the largest process"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for each in found:
        cpu = f"{each.cpu:.0f}" if each.is_known else ""
        table.add_row(each.way, f"{each.seconds:.0f}", cpu, f"{each.memory:,.0f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(ended(main))

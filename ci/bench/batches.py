"""`make bench-batch`: rows of the example scored by one process, all cores and two Dask workers, beside pandas and Ray.

Everything is as a user has it: a generated project whose production serves a release, and its command.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from rich.table import Table
from uv import find_uv_bin

from ci.bake import bake
from ci.bench.benchmark import console, ended, machine
from ci.demo import publish
from ci.shell import KEYS, ROOT, CommandError, environment, free_port, gitops, make, run

BENCH = ROOT / "build" / "bench-batch"
INPUTS = BENCH / "rows"
RAY_VERSION = "2.60.0"
# In the middle of it.
KILL_SECONDS = 8
ROWS, FILES = 10_000_000, 100
# What somebody would write without this project.
PANDAS = """
import sys, json, pathlib, pandas as pd, yaml
from pipeline import model, persistence
from pipeline.schema import Schema
from pipeline.validation import cast, problems
schema = Schema.model_validate(yaml.safe_load(open("schema.yaml")))
facts = persistence.ModelFacts.model_validate_json(open("models/model.json").read())
trusted = yaml.safe_load(open("project.yaml"))["trusted_types"]
fitted = persistence.load(open("models/model.skops", "rb").read(), facts, trusted)
def score(path):
    rows = pd.read_csv(path, keep_default_na=False, na_values=[""])
    assert not problems(rows, schema.features)
    said = rows[["year", "month", "day"]].assign(score=model.score(fitted, cast(rows, schema.features)))
    said.to_parquet(pathlib.Path(sys.argv[2]) / (pathlib.Path(path).name + ".parquet"), index=False)
"""
ALONE = PANDAS + "\nfor path in sorted(pathlib.Path(sys.argv[1]).glob('*.csv')): score(path)\n"
RAY = (
    "import os, ray\nray.init(num_cpus=os.cpu_count(), include_dashboard=False, logging_level='ERROR')\n"
    "@ray.remote(max_retries=3)\ndef task(path, out, code, here):\n"
    "    import sys\n    os.chdir(here); sys.path.insert(0, here); sys.argv = ['', '', out]\n"
    "    there = {}; exec(code, there); there['score'](path)\n"
    "import pathlib, sys\nfound = sorted(map(str, pathlib.Path(sys.argv[1]).glob('*.csv')))\n"
    f"code = {PANDAS!r}\nray.get([task.remote(path, sys.argv[2], code, os.getcwd()) for path in found])\n"
)


@dataclass(frozen=True)
class Cost:
    """What a way took: seconds that passed, seconds of CPU of all its processes, and the largest of them in MB."""

    way: str
    seconds: float
    cpu: float
    memory: float

    @property
    def is_known(self) -> bool:
        """Whether the CPU is: not of processes that nobody waited for, or that were killed with a worker."""
        return "Ray" not in self.way and "one killed" not in self.way


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=ROWS)
    rows = asked.parse_args().rows
    project = BENCH / "late-flights"
    if not (project / ".released").exists():
        prepare()
    show(rows, measured(project, rows))


def prepare() -> Path:
    """A project whose production serves a release, with what batches and clusters need."""
    shutil.rmtree(BENCH, ignore_errors=True)
    project = bake({}, BENCH)
    for target in ("setup", "init", "repro"):
        console.print(f"make {target}")
        make(target, cwd=project)
    run(find_uv_bin(), "sync", "--locked", "--inexact", "--group", "batch", "--group", "dask", cwd=project)
    settings = yaml.safe_load((project / "project.yaml").read_text())
    production = settings["environments"][-1] | {"gate": "none", "approvals": 0, "port": free_port()}
    (project / "project.yaml").write_text(yaml.safe_dump(settings | {"environments": [production]}))
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--no-verify", "--message", "Train", cwd=project)
    make("push", cwd=project)
    publish(project, BENCH / "origin.git")
    run("git", "remote", "add", "origin", str(BENCH / "origin.git"), cwd=project)
    run("git", "fetch", "--quiet", "origin", cwd=project)
    for command in (("release", "make"), ("env", "bootstrap"), ("env", "promote", "production")):
        console.print(f"gitops-ml {' '.join(command)}")
        gitops(*command, cwd=project)
    (project / ".released").touch()
    return project


def measured(project: Path, rows: int) -> list[Cost]:
    """Each way, one after the other; those of the project all have the same bytes."""
    write(project, rows)
    python = str(project / ".venv" / "bin" / "python")
    found = [command("pandas with the Pipeline, one process", project, python, "-c", ALONE, str(INPUTS), outputs())]
    ray = (
        find_uv_bin(),
        "run",
        "--no-project",
        "--python",
        python,
        "--with",
        f"ray=={RAY_VERSION}",
        "--with-requirements",
    )
    packages = str(project / "requirements" / "train.txt")
    found.append(
        command("the same on Ray, all cores", project, *ray, packages, "python", "-c", RAY, str(INPUTS), outputs())
    )

    def ours(engine: str) -> tuple[str, ...]:
        return (str(project / ".venv/bin/gitops-ml"), "model", "predict", str(INPUTS), outputs(), "--engine", engine)

    return [*found, *by_engine(project, ours)]


def by_engine(project: Path, words: Callable[[str], tuple[str, ...]]) -> Iterator[Cost]:
    """A command of the project on each engine, one after the other, killed and not; `words` of it by the engine."""
    for way, engine, kill in (
        ("one process", "local:1", ""),
        ("all cores", "local", ""),
        ("all cores, a worker killed", "local", "gitops_ml.engine.child"),
    ):
        yield command(way, project, *words(engine), kill=kill)
    with cluster(str(project / ".venv" / "bin" / "python")) as (address, workers):
        for way, kill in (("two Dask workers", ""), ("two Dask workers, one killed", "dask_worker")):
            yield command(way, project, *words(address), others=workers, kill=kill)


def write(project: Path, rows: int) -> None:
    """Flights as CSV files."""
    shutil.rmtree(INPUTS, ignore_errors=True)
    INPUTS.mkdir(parents=True)
    raw = pa.concat_tables([pq.read_table(path) for path in sorted((project / "data" / "raw").glob("*.parquet"))])
    table = raw.to_pandas().drop(columns=["late"], errors="ignore")
    many = rows // FILES
    for number in range(FILES):
        places = [(number * many + row) % len(table) for row in range(many)]
        table.iloc[places].to_csv(INPUTS / f"{number:03}.csv", index=False)


def outputs() -> str:
    """An empty folder."""
    folder = BENCH / "scores"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return str(folder)


def command(way: str, project: Path, *words: str, others: tuple[int, ...] = (), kill: str = "") -> Cost:
    """Run a command, and measure it and all processes that it or `others` start; kill one that has a word in it."""
    console.print(way)
    begun, before = time.monotonic(), sum(map(spent, others))
    process = subprocess.Popen(
        words, cwd=project, env=environment() | KEYS | {"PYTHONPATH": str(project)}, stdout=subprocess.PIPE, text=True
    )
    largest, ended = [0.0], threading.Event()
    watching = threading.Thread(target=watch, args=((process.pid, *others), largest, ended, kill))
    watching.start()
    said = process.stdout.read() if process.stdout else ""
    _, status, used = os.wait4(process.pid, 0)
    ended.set()
    watching.join()
    if status:
        raise CommandError(f"{way} ended with {os.waitstatus_to_exitcode(status)}: {said[-2000:]}")
    cpu = used.ru_utime + used.ru_stime + sum(map(spent, others)) - before
    return Cost(way, time.monotonic() - begun, cpu, largest[0])


def watch(pids: tuple[int, ...], largest: list[float], ended: threading.Event, kill: str) -> None:
    """Note the largest process there ever is, and kill one of those that have a word in their command, once."""
    begun = time.monotonic()
    while not ended.wait(0.2):
        for each in [found for pid in pids for found in tree(pid)]:
            try:
                largest[0] = max(largest[0], each.memory_info().rss / 1e6)
                if kill and time.monotonic() - begun > KILL_SECONDS and kill in " ".join(each.cmdline()):
                    each.send_signal(signal.SIGKILL)
                    kill = ""
            except psutil.Error:
                continue


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.Error:
        return []


def spent(pid: int) -> float:
    """Seconds of CPU of a process and of those below it, those that ended included."""
    total = 0.0
    for each in tree(pid):
        try:
            times = each.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
        except psutil.Error:
            continue
    return total


@contextmanager
def cluster(python: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A Dask scheduler and two workers, which are started again if they die, as on any cluster."""
    address = f"tcp://127.0.0.1:{free_port()}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": BENCH, "env": environment()}
    start: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen
    scheduler = start(
        [python, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2]],
        **quiet,
    )
    workers = [
        start(
            [python, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--local-directory", str(BENCH)],
            **quiet,
        )
        for _ in range(2)
    ]
    try:
        time.sleep(8)
        yield address, tuple(each.pid for each in workers)
    finally:
        for each in (*workers, scheduler):
            each.terminate()
            each.wait()


def show(rows: int, found: list[Cost]) -> None:
    """Print one table of what was measured."""
    table = Table(title=f"{rows:,} rows in {FILES} CSV files; {machine()}", title_justify="left")
    for name in ("way", "seconds", "CPU seconds", "rows a CPU second", "MB of the largest process"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for each in found:
        cpu, pace = (f"{each.cpu:.0f}", f"{rows / each.cpu:,.0f}") if each.is_known else ("", "")
        table.add_row(each.way, f"{each.seconds:.0f}", cpu, pace, f"{each.memory:,.0f}")
    console.print(table)
    (BENCH / "figures.json").write_text(json.dumps([vars(each) for each in found], indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(ended(main))

"""Ten million rows, from a hundred files and from one: killed at random, and compared with an undisturbed run."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from gitops_ml.core import signing

from ci.shell import CommandError
from tests.automation.batch import bento
from tests.automation.tables import PROJECT
from tests.automation.world import World, environments

KILLS = 5
SECONDS = 1.2
MADE_ROWS = 100_000


def table(rows: int) -> str:
    """For each way of dividing rows into files: how often the run was killed, and whether its bytes differ."""
    lines = [
        "| files | rows | killed | seconds undisturbed | with kills | bytes that differ |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory(dir=os.environ.get("STUDY_FOLDER")) as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setenv(signing.FOLDER_VARIABLE, str(folder / "keys"))
        world = World(folder / "world", environments("production"))
        world.bootstrap()
        bento.fitted().serve(world)
        for files in (100, 1):
            lines.append(_line(world, folder, rows, files))
        world.close()
    return "\n".join(lines)


def _line(world: World, folder: Path, rows: int, files: int) -> str:
    inputs = folder / "in"
    _write(inputs, rows, files)
    calm, _ = _run(world, inputs, folder / "calm", kills=0)
    killed, times = _run(world, inputs, folder / "killed", kills=KILLS)
    differing = sum(
        _digest(folder / "killed" / path.relative_to(folder / "calm")) != _digest(path)
        for path in sorted((folder / "calm").rglob("*"))
        if path.is_file()
    )
    for each in ("in", "calm", "killed"):
        shutil.rmtree(folder / each)
    return f"| {files} | {rows:,} | {times} | {calm:.0f} | {killed:.0f} | {differing} |"


def _write(inputs: Path, rows: int, files: int) -> None:
    """CSV, of which every file has other rows."""
    inputs.mkdir()
    each = rows // files
    for number in range(files):
        with (inputs / f"{number:03}.csv").open("w") as file:
            for part in range(-(-each // MADE_ROWS)):
                made = bento.rows(min(MADE_ROWS, each - part * MADE_ROWS), seed=number * 1000 + part)
                made.to_csv(file, index=False, header=not part)


def _run(world: World, inputs: Path, out: Path, kills: int) -> tuple[float, int]:
    """Score, killing the command or one of its workers at random moments; how long that took, and how many kills."""
    begun, chance, done = time.monotonic(), random.Random(0), 0  # noqa: S311 - no secrets
    words = [sys.executable, "-m", "gitops_ml", "model", "predict", str(inputs), str(out)]
    while True:
        process = subprocess.Popen(words, cwd=world.root, env=os.environ | {"PYTHONPATH": str(PROJECT)})
        while done < kills and process.poll() is None:
            time.sleep(chance.uniform(SECONDS, 3 * SECONDS))
            # It, or a worker, may end by itself just then.
            with suppress(psutil.NoSuchProcess):
                command = psutil.Process(process.pid)
                chance.choice([command, *command.children()]).kill()
                done += 1
        code = process.wait()
        if code == 0:
            return time.monotonic() - begun, done
        if code != -signal.SIGKILL:
            raise CommandError(f"the command ended with {code}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

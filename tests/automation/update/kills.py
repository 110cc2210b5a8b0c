"""Kills a command at random moments, again and again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.automation.tables import PROJECT

KILLS = int(os.environ.get("UPDATE_KILLS", "2"))
FIRST_SECONDS = 3.5


def kills(root: Path, *words: str, **variables: str) -> Iterator[bool]:
    """After each run of `gitops-ml`, whether it was killed, until enough were; the caller undoes what was done."""
    killed, longest = 0, FIRST_SECONDS
    while killed < KILLS:
        process = subprocess.Popen(
            [sys.executable, "-m", "gitops_ml", *words],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(PROJECT / "vendor/gitops-ml")} | variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        start = time.monotonic()
        try:
            assert process.wait(random.uniform(0.3, longest)) == 0  # noqa: S311
            # As long as this machine takes now, so that kills meet each moment of it.
            longest = time.monotonic() - start
            yield False
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed, longest = killed + 1, longest * 1.1
            yield True

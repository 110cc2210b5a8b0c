"""A real Dask cluster on loopback: a scheduler, and workers that can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import distributed

from ci.shell import free_port

QUIET = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}


class Cluster:
    """Started in a folder that has nothing of the project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.start()

    def start(self) -> None:
        host, port = self.address.removeprefix("tcp://").split(":")
        self.scheduler = self._run("distributed.cli.dask_scheduler", "--host", host, "--port", port, "--no-show")

    def add(self, *python: str) -> subprocess.Popen[bytes]:
        """One more worker, by another Python if one is named."""
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self.folder))
        worker = self._run("distributed.cli.dask_worker", self.address, *options, python=python)
        self.workers.append(worker)
        return worker

    def have(self, number: int) -> None:
        """So many workers, those that live included."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < number:
            self.add()
        with distributed.Client(self.address, set_as_default=False, timeout=30) as client:
            client.wait_for_workers(number, timeout=30)

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.send_signal(signal.SIGKILL)
            process.wait()

    def _run(self, module: str, *options: str, python: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{module}.{time.monotonic_ns()}.log").open("wb")
        return subprocess.Popen(
            [*(python or (sys.executable,)), "-m", module, *options],
            cwd=self.folder, env=os.environ | QUIET, stdout=log, stderr=log,
        )  # fmt: skip

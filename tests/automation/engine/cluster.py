"""A real Dask cluster: a scheduler, and workers that can be killed, each in a network namespace as on its own host.

Namespaces are root's to make; who is not root, or lacks `ip`, has all of it on loopback.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import distributed

from ci.shell import free_port

QUIET = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}


class Network:
    """A bridge of this machine, and hosts on it."""

    def __init__(self) -> None:
        self._name = f"dask{os.getpid():x}"
        self._part = f"10.{secrets.choice(range(64, 128))}.{secrets.choice(range(256))}"
        self._hosts = 0
        self.address = f"{self._part}.1"
        ip("link", "add", self._name, "type", "bridge")
        ip("address", "add", f"{self.address}/24", "dev", self._name)
        ip("link", "set", self._name, "up")

    def host(self) -> tuple[tuple[str, ...], str]:
        """One more: the words before a command that is to run there, and its address."""
        self._hosts += 1
        name, here, there = f"{self._name}-{self._hosts}", f"v{os.getpid():x}n{self._hosts}", "eth0"
        address = f"{self._part}.{self._hosts + 1}"
        ip("netns", "add", name)
        ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        ip("link", "set", here, "master", self._name, "up")
        ip("-netns", name, "address", "add", f"{address}/24", "dev", there)
        for device in ("lo", there):
            ip("-netns", name, "link", "set", device, "up")
        return ("ip", "netns", "exec", name), address

    def close(self) -> None:
        for number in range(self._hosts):
            ip("netns", "delete", f"{self._name}-{number + 1}")
        ip("link", "delete", self._name)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


class Cluster:
    """Started in a folder that has nothing of the project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._network = Network() if os.geteuid() == 0 and shutil.which("ip") else None
        self.address = f"tcp://{self._network.address if self._network else '127.0.0.1'}:{free_port()}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.start()

    def start(self) -> None:
        host, port = self.address.removeprefix("tcp://").split(":")
        self.scheduler = self._run("distributed.cli.dask_scheduler", "--host", host, "--port", port, "--no-show")

    def add(self, *python: str) -> subprocess.Popen[bytes]:
        """One more worker, by another Python if one is named."""
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self.folder))
        within, address = self._network.host() if self._network else ((), "127.0.0.1")
        words = (*within, *(python or (sys.executable,)))
        worker = self._run("distributed.cli.dask_worker", self.address, "--host", address, *options, python=words)
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
        if self._network:
            self._network.close()

    def _run(self, module: str, *options: str, python: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{module}.{time.monotonic_ns()}.log").open("wb")
        return subprocess.Popen(
            [*(python or (sys.executable,)), "-m", module, *options],
            cwd=self.folder, env=os.environ | QUIET, stdout=log, stderr=log,
        )  # fmt: skip

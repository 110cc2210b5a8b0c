"""Runs releases as containers: docker compose with the compose file of the environment's branch, image by digest."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import run
from gitops_ml.core.project import Workers
from gitops_ml.core.record import Release
from gitops_ml.host.runner import (
    INSTALL_SECONDS,
    PREDICTIONS,
    STOP_SECONDS,
    Instance,
    complete,
    free_port,
    worker_option,
)
from gitops_ml.image.engine import Engine

COMPOSE = "compose.yaml"
LINES = "8"
FOLDER = "gitops-ml.folder"
LISTED = f'{{{{.Label "com.docker.compose.project"}}}} {{{{.Label "gitops-ml.port"}}}} {{{{.Label "{FOLDER}"}}}}'


class Containers:
    """See gitops_ml.host.runner.Runner."""

    def __init__(self, folder: Path) -> None:
        self.releases = folder / "containers"
        self.predictions = folder / PREDICTIONS
        self._engine = Engine("docker")

    def install(self, release: Release, files: Mapping[str, bytes]) -> None:
        """See Runner."""
        if release.image is None:
            raise UserError(f"{release.release} has no image; release one that has, or set `runner: process`")
        target = self.releases / release.short
        if target.exists():
            return
        if shutil.which("docker") is None:
            raise UserError("`runner: compose` needs docker with its compose plug-in on this host; install it")
        with complete(target) as part:
            (part / COMPOSE).write_bytes(files[COMPOSE])
            # By its digest, so it is the image that was tried out and signed for, or none.
            run("docker", "compose", "--file", COMPOSE, "pull", "--quiet", cwd=part, limit=INSTALL_SECONDS)

    def instances(self) -> list[Instance]:
        """See Runner."""
        listed = run("docker", "ps", "--filter", f"label={FOLDER}", "--format", LISTED, cwd=self.releases)
        found = []
        for line in listed.splitlines():
            name, port, folder = line.split(" ", 2)
            if folder == str(self.releases):
                found.append(Instance(name.rpartition("-")[2], int(port), name))
        return found

    def start(self, short: str, *, workers: Workers) -> Instance:
        """See Runner."""
        port = free_port()
        self._make_writable()
        self._compose(short, port, "up", "--detach", workers=workers)
        return Instance(short, port, self._project(short))

    def alive(self, instance: Instance) -> bool:
        """See Runner. One that ends is started again by docker, and is not alive while it waits for that."""
        one = ("--filter", f"label=com.docker.compose.project={instance.name}", "--filter", "status=running")
        return bool(run("docker", "ps", "--quiet", *one, cwd=self.releases))

    def ended(self, instance: Instance) -> bool:
        """See Runner. Docker starts it again itself."""
        return False

    def stop(self, instance: Instance) -> None:
        """See Runner."""
        self._compose(instance.short, instance.port, "down", "--timeout", str(STOP_SECONDS))

    def said(self, instance: Instance) -> str:
        """See Runner."""
        return self._compose(instance.short, instance.port, "logs", "--no-log-prefix", "--tail", LINES)

    def forget(self, keep: set[str]) -> None:
        """See Runner. Images stay; `docker image prune` removes them."""
        for target in self.releases.iterdir():
            if target.name not in keep:
                shutil.rmtree(target)

    def _compose(self, short: str, port: int, *command: str, workers: Workers = 1) -> str:
        """Run docker compose on a release's file; what differs between hosts enters it as variables."""
        file = self.releases / short / COMPOSE
        variables = {
            "MODEL_PORT": str(port),
            "MODEL_OPTIONS": worker_option(workers),
            "MODEL_FOLDER": str(self.releases),
            "MODEL_PREDICTIONS": str(self.predictions / "container"),
        }
        if not self._engine.has_bridge():
            variables |= {"MODEL_NETWORK": "host", "MODEL_HOST": "127.0.0.1"}
        options = ("--file", str(file), "--project-name", self._project(short), "--progress", "quiet")
        return run("docker", "compose", *options, *command, cwd=file.parent, env=variables)

    def _make_writable(self) -> None:
        """The container's user is another one; who may not enter the outer folder of this host sees nothing of it."""
        inner = self.predictions / "container"
        inner.mkdir(parents=True, exist_ok=True)
        self.predictions.chmod(0o700)
        inner.chmod(0o777)

    def _project(self, short: str) -> str:
        """The compose project of a release in this folder: two environments may share a host."""
        where = hashlib.sha256(str(self.releases).encode()).hexdigest()[:8]
        return f"model-{where}-{short}"

"""Runs releases as processes: `bentoml serve` of the Bento from the storage, with its hashed requirements."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import yaml
from uv import find_uv_bin

from gitops_ml.core import progress
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import run
from gitops_ml.core.project import Workers
from gitops_ml.core.record import Release
from gitops_ml.core.storage import Storage
from gitops_ml.host.runner import INSTALL_SECONDS, PREDICTIONS, Instance, complete, free_port, worker_option
from gitops_ml.host.system import end

LINES = 8
# The way by which the answers of a release were proven, beside its Bento.
TIER = "tier"
# The words of `python -m bentoml serve BENTO --host 127.0.0.1 --port PORT`.
SERVE, BENTO, PORT = slice(1, 4), 4, 8


class Processes:
    """See gitops_ml.host.runner.Runner."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.releases = folder / "releases"
        self.environments = folder / "environments"
        self.predictions = folder / PREDICTIONS

    def install(self, release: Release, files: Mapping[str, bytes]) -> None:
        """See Runner."""
        target = self.releases / release.short
        if not target.exists():
            content = Storage(self.root).get(release.bento.digest)
            with complete(target) as part, tarfile.open(fileobj=io.BytesIO(content)) as tar:
                # Python has filters from 3.11.4 on, and the archive is the one that the signed record names.
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                tar.extractall(part / "bento")  # noqa: S202
                (part / "home").mkdir()
                (part / TIER).write_text(release.tier)
        if not self._environment(target).exists():
            self._create_environment(target)

    def instances(self) -> list[Instance]:
        """See Runner."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if len(words) <= PORT or words[SERVE] != ["-m", "bentoml", "serve"]:
                continue
            target = Path(words[BENTO]).parent
            if target.parent == self.releases:
                found.append(Instance(target.name, int(words[PORT]), str(process.pid)))
        return found

    def start(self, short: str, *, workers: Workers) -> Instance:
        """See Runner."""
        target, port = self.releases / short, free_port()
        # Nothing of the agent's own environment, in which there may be keys.
        environment = {
            "PATH": os.defpath,
            "HOME": str(target / "home"),
            "BENTOML_HOME": str(target / "home"),
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_CONFIG_OPTIONS": worker_option(workers),
            "LANG": "C.UTF-8",
            "PREDICTIONS": str(self.predictions),
            "SERVING_TIER": (target / TIER).read_text() if (target / TIER).exists() else "",
        }
        python = str(self._environment(target) / "bin" / "python")
        with (target / "serve.log").open("wb") as log:
            process = subprocess.Popen(
                [python, "-m", "bentoml", "serve", str(target / "bento"), "--host", "127.0.0.1", "--port", str(port)],
                cwd=target,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return Instance(short, port, str(process.pid))

    def alive(self, instance: Instance) -> bool:
        """See Runner."""
        try:
            return psutil.Process(int(instance.name)).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def ended(self, instance: Instance) -> bool:
        """See Runner."""
        return not self.alive(instance)

    def stop(self, instance: Instance) -> None:
        """See Runner."""
        with suppress(psutil.NoSuchProcess):
            end(psutil.Process(int(instance.name)))

    def said(self, instance: Instance) -> str:
        """See Runner."""
        path = self.releases / instance.short / "serve.log"
        if not path.exists():
            return "nothing"
        return "\n  ".join(path.read_text(errors="replace").splitlines()[-LINES:])

    def forget(self, keep: set[str]) -> None:
        """See Runner."""
        for target in self.releases.iterdir():
            if target.name not in keep:
                shutil.rmtree(target)
        needed = {self._environment(self.releases / short) for short in keep if (self.releases / short).exists()}
        for environment in self.environments.iterdir():
            if environment not in needed:
                shutil.rmtree(environment)

    def _environment(self, target: Path) -> Path:
        """The environment of a Bento; releases that need the same packages share it."""
        named = hashlib.sha256(_requirements(target).read_bytes() + _python(target).encode())
        return self.environments / named.hexdigest()[:16]

    @progress.doing("installing the packages of the release")
    def _create_environment(self, target: Path) -> None:
        uv = find_uv_bin()
        with complete(self._environment(target)) as part:
            run(
                uv,
                "venv",
                "--quiet",
                "--relocatable",
                "--python",
                _python(target),
                "--allow-existing",
                str(part),
                cwd=target,
            )
            python = str(part / "bin" / "python")
            install = (uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "--no-deps")
            wanted = ("--requirement", str(_requirements(target)))
            try:
                # What is in the cache needs no network.
                run(*install, "--offline", *wanted, cwd=target)
            except UserError:
                run(*install, *wanted, cwd=target, limit=INSTALL_SECONDS)


def _requirements(target: Path) -> Path:
    return target / "bento" / "src" / "requirements.txt"


def _python(target: Path) -> str:
    return str(yaml.safe_load((target / "bento" / "bento.yaml").read_text())["image"]["python_version"])

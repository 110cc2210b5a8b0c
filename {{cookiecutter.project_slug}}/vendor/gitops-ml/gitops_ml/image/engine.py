"""The container engine of this machine: docker, podman or buildah, the first one that answers."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gitops_ml.core import progress
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import run
from gitops_ml.core.record import Image
from gitops_ml.image.registry import is_loopback

HERE = Path(__file__).parent
# What each is asked for its version; docker's daemon must answer, the others have none.
VERSIONS = {
    "docker": ("docker", "version", "--format", "{{.Server.Version}}"),
    "podman": ("podman", "version", "--format", "{{.Client.Version}}"),
    "buildah": ("buildah", "version"),
}


@dataclass(frozen=True)
class Engine:
    """Builds, pushes and, unless it is buildah, runs images."""

    name: str
    version: str = ""

    @property
    def runs(self) -> bool:
        """Whether it can run containers."""
        return self.name != "buildah"

    def build(
        self,
        context: Path,
        dockerfile: Path,
        *,
        tag: str,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        time: int,
    ) -> str:
        """Build a folder into an image and return its id; `time` (seconds since 1970) is when it says it was made."""
        options = [f"--label={name}={value}" for name, value in labels.items()]
        options += [f"--build-arg={name}={value}" for name, value in arguments.items()]
        if self.name == "docker":
            # BuildKit takes the time from here; engines before 23 write the present one into the image's settings.
            options.append(f"--build-arg=SOURCE_DATE_EPOCH={time}")
        else:
            options += [f"--timestamp={time}", "--layers"]
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "id"
            where = (f"--file={dockerfile}", f"--tag={tag}", f"--iidfile={written}")
            # An attestation of BuildKit's would hold the present time, and make the image another one.
            once_more_the_same = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
            run(self.name, "build", *where, *options, str(context), cwd=context, env=once_more_the_same)
            return written.read_text().strip()

    @progress.doing("pushing the image")
    def push(self, tag: str) -> Image:
        """Push a tagged image; returns it by its digest."""
        name = tag.rpartition(":")[0]
        if self.name == "docker":
            run("docker", "push", "--quiet", tag, cwd=HERE)
            pushed = run("docker", "image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', tag, cwd=HERE)
            digests = [each.partition("@")[2] for each in pushed.splitlines() if each.partition("@")[0] == name]
            if not digests:
                raise UserError(f"docker does not say under which digest it pushed {tag}")
            return Image(name=name, digest=digests[0])
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "digest"
            secure = f"--tls-verify={str(not is_loopback(name)).lower()}"
            run(self.name, "push", secure, f"--digestfile={written}", tag, f"docker://{tag}", cwd=HERE)
            return Image(name=name, digest=written.read_text().strip())

    def digest(self, name: str) -> str | None:
        """The sha256 of an image in the registry that it came from; None if it came from none, or is not here."""
        try:
            known = run(self.name, "image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', name, cwd=HERE)
        except UserError:
            return None
        return known.split("\n")[0].partition("@sha256:")[2] or None

    def login(self, host: str, user: str, password: str) -> None:
        """Log in to a registry.

        Raises:
            UserError: it refuses.
        """
        command = [self.name, "login", host, "--username", user, "--password-stdin"]
        done = subprocess.run(command, cwd=HERE, input=password, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"{host} does not let {user} in: {done.stderr.strip().splitlines()[-1]}")

    def has_bridge(self) -> bool:
        """Whether containers can have a network of their own; where the kernel lacks bridges they share the host's."""
        return bool(run(self.name, "network", "ls", "--quiet", "--filter", "driver=bridge", cwd=HERE))


def find() -> Engine:
    """The first engine that answers.

    Raises:
        UserError: there is none; the message says what to install.
    """
    silent = []
    for name, question in VERSIONS.items():
        if shutil.which(name) is None:
            continue
        try:
            return Engine(name, run(*question, cwd=HERE).split("\n")[0].removeprefix("Version:").strip())
        except UserError as error:
            silent.append(f"{name} does not answer ({str(error).splitlines()[-1].strip()})")
    if silent:
        raise UserError(f"no container engine can be used: {'; '.join(silent)}")
    raise UserError(
        "building an image needs docker, podman or buildah; on Debian and Ubuntu `apt-get install docker.io` brings one"
    )

"""Container engine, registry and base image of the tests' own: on own sockets, ports and folders, gone afterwards.

Nothing is pulled from a public registry. `python -m ci.machine` installs what is missing, as root on Debian.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from ci.shell import ROOT, CommandError, free_port, run

TOOLS = ROOT / "build" / "tools"
BASE = TOOLS / "python-3.11-slim.tar"
BASE_NAME = "python:3.11-slim"
# Program -> Debian package. The first are in Debian 12; the others are taken from Debian 13, into a folder.
PACKAGES = {
    "buildah": "buildah",
    "docker": "docker.io",
    "dockerd": "docker.io",
    "docker-registry": "docker-registry",
    "htpasswd": "apache2-utils",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "npm": "npm",
    "systemd-analyze": "systemd",
}
# Of npm, into the same folder: what Argo CD, Flux, the Prometheus operator and gateways take, as schemas.
MODELS = ("argo-cd@4.0.0", "flux-cd@4.0.0", "gateway-api@2.0.0", "prometheus-operator@6.0.0")
NEWER = {"cosign": "cosign", "docker-compose": "docker-compose", "kubectl": "kubectl"}
NEWER_FILES = {
    "cosign": TOOLS / "root/usr/bin/cosign",
    "docker-compose": TOOLS / "root/usr/libexec/docker/cli-plugins/docker-compose",
    "kubectl": TOOLS / "root/usr/bin/kubectl",
}
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Python, what numpy's wheels need, and no documentation.
BASE_PACKAGES = "base-files,python3-minimal,libpython3.11-stdlib,ca-certificates,libstdc++6"
# They are unpacked and not installed, so nobody but this writes down which they are.
LISTED = (
    'for each in "$1"/var/cache/apt/archives/*.deb; do '
    'dpkg-deb --field "$each"; printf "Status: install ok installed\\n\\n"; done > "$1/var/lib/dpkg/status"'
)
START_SECONDS = 30


@dataclass(frozen=True)
class Machine:
    """A running engine and a running registry."""

    folder: Path
    registry: str

    @property
    def env(self) -> dict[str, str]:
        """What leads docker and the others to them, and to nothing of the machine's own."""
        return {
            "DOCKER_HOST": f"unix://{self.folder}/docker.sock",
            "DOCKER_CONFIG": str(self.folder / "config"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "BUILDAH_ISOLATION": "chroot",
        }

    def docker(self, *arguments: str) -> str:
        """Run the docker client."""
        return run("docker", *arguments, cwd=self.folder, env=self.env).strip()


def main() -> int:
    """Install what is missing; exit code 1 and one sentence if that cannot be done."""
    try:
        install()
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def install() -> None:
    """Have every program, and the archive of the base image.

    Raises:
        CommandError: this is not Debian, or nobody who may install.
    """
    missing = sorted({package for program, package in PACKAGES.items() if not which(program)})
    if not Path(KEYRING).exists():
        missing.append("debian-archive-keyring")
    newer = sorted(package for program, package in NEWER.items() if not NEWER_FILES[program].exists())
    if (missing or newer or not BASE.exists()) and (os.geteuid() or not shutil.which("apt-get")):
        raise CommandError(
            "the tests of images need Debian and root, to install "
            f"{', '.join([*missing, *newer]) or 'a base image'} and to start a container engine of their own"
        )
    TOOLS.mkdir(parents=True, exist_ok=True)
    if missing:
        run("apt-get", "update", "--quiet=2", cwd=ROOT)
        quietly = ("--quiet=2", "--yes", "--no-install-recommends")
        run("apt-get", "install", *quietly, *missing, cwd=ROOT, env={"DEBIAN_FRONTEND": "noninteractive"})
    if newer:
        _unpack(newer)
    models = [f"@kubernetes-models/{name}" for name in MODELS]
    if not all((TOOLS / "node_modules" / name.rpartition("@")[0]).exists() for name in models):
        nothing_else = ("--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        # Where the registry cannot be reached, npm goes on trying for ten minutes otherwise.
        soon = ("--fetch-retries=1", "--fetch-timeout=60000")
        # In the folder, not by --prefix, with which npm does not find the settings of its machine any more.
        (TOOLS / "package.json").write_text("{}")
        run("npm", "install", *nothing_else, *soon, *models, cwd=TOOLS)
    if not BASE.exists():
        part = BASE.with_name("part.tar")
        without = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
        options = ("--variant=extract", f"--include={BASE_PACKAGES}", f"--keyring={KEYRING}", *without)
        run("mmdebstrap", *options, f"--extract-hook={LISTED}", "bookworm", str(part), cwd=TOOLS)
        part.rename(BASE)


def which(program: str) -> str | None:
    """Where a program is, those that only an administrator uses included."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _unpack(packages: list[str]) -> None:
    """Bring packages of Debian 13 into a folder; none of their dependencies are needed."""
    state = TOOLS / "debian-13"
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "archives").mkdir(exist_ok=True)
    (state / "sources.list").write_text(f"deb [signed-by={KEYRING}] http://deb.debian.org/debian trixie main\n")
    (state / "apt.conf").write_text(
        f'Dir::State::lists "{state}/lists";\nDir::Etc::sourcelist "{state}/sources.list";\n'
        f'Dir::Etc::sourceparts "/dev/null";\nDir::Cache "{state}";\nAPT::Sandbox::User "root";\n'
    )
    env = {"APT_CONFIG": str(state / "apt.conf")}
    run("apt-get", "update", "--quiet=2", cwd=state, env=env)
    run("apt-get", "download", "--quiet=2", *(f"{name}/trixie" for name in packages), cwd=state / "archives", env=env)
    for archive in (state / "archives").glob("*.deb"):
        run("dpkg", "-x", str(archive), str(TOOLS / "root"), cwd=state)


@contextmanager
def registry(folder: Path, users: Path | None = None) -> Iterator[str]:
    """An empty registry, and where it listens; `users` is a file of htpasswd with those whom it lets in."""
    where = f"127.0.0.1:{free_port()}"
    settings = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}, "delete": {"enabled": True}},
        "http": {"addr": where},
    }
    if users:
        settings["auth"] = {"htpasswd": {"realm": "the tests' own", "path": str(users)}}
    (folder / "registry.yml").write_text(yaml.safe_dump(settings))
    with _started(folder, "docker-registry", "serve", str(folder / "registry.yml")) as daemon:
        try:
            _await(folder, lambda: httpx.get(f"http://{where}/v2/"))
            yield where
        finally:
            daemon.terminate()


@contextmanager
def machine() -> Iterator[Machine]:
    """A registry, and an engine without bridges that knows the base image."""
    # Below /tmp, since a socket's path must be short, and removed, since layers are large.
    folder = Path(tempfile.mkdtemp(prefix="machine-", dir="/tmp"))
    try:
        with registry(folder) as where, _engine(Machine(folder, where)) as made:
            yield made
    finally:
        # dockerd leaves the network of its host mounted, and buildah its layers.
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in reversed([each for each in mounted if each.startswith(f"{folder}/")]):
            run("umount", place, cwd=ROOT)
        shutil.rmtree(folder)


@contextmanager
def _engine(made: Machine) -> Iterator[Machine]:
    folder = made.folder
    _configure(folder)
    own = ("--host", f"unix://{folder}/docker.sock", "--pidfile", f"{folder}/docker.pid")
    where = ("--data-root", f"{folder}/docker", "--exec-root", f"{folder}/exec")
    # Networks of their own would change the machine's.
    bare = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
    with _started(folder, "dockerd", *own, *where, *bare) as daemon:
        try:
            _await(folder, lambda: made.docker("version"))
            made.docker("import", str(BASE), BASE_NAME)
            yield made
        finally:
            with suppress(CommandError):
                if containers := made.docker("ps", "--all", "--quiet").split():
                    made.docker("rm", "--force", *containers)
            daemon.terminate()


def _configure(folder: Path) -> None:
    plugins = folder / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").symlink_to(NEWER_FILES["docker-compose"])
    (folder / "config" / "config.json").write_text("{}")
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\nrunroot = "{folder}/buildah/run"\ngraphroot = "{folder}/buildah/images"\n'
    )


def _started(folder: Path, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    with (folder / f"{program}.log").open("wb") as log:
        return subprocess.Popen([which(program) or program, *arguments], stdout=log, stderr=log, env=environment)


def _await(folder: Path, ask: Callable[[], object]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            ask()
        except (CommandError, httpx.HTTPError) as error:
            if time.monotonic() > give_up:
                logs = "".join(path.read_text()[-1000:] for path in folder.glob("*.log"))
                raise CommandError(f"what the tests of images need does not start: {error}\n{logs}") from error
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())

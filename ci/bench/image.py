"""What the serving image costs: its size, its build, what a new model pushes, until it is ready; beside BentoML's own.

Everything runs on an engine and a registry of its own, see ci.machine. Packages come from uv's cache, if it has them.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import yaml
from rich.table import Table

from ci.bake import bake
from ci.bench.benchmark import console, ended
from ci.bench.benchmark import machine as hardware
from ci.machine import BASE_NAME, TOOLS, Machine, install, machine
from ci.shell import ROOT, CommandError, free_port, gitops, make, run

BENCH = ROOT / "build" / "bench-image"
# BentoML's Dockerfile runs apt and pip in its base.
FULL_BASE = TOOLS / "full-base.tar"
FULL_PACKAGES = "python3,python3-pip,python3-venv,ca-certificates,libstdc++6"
# Its pip and its uv have to trust what this machine trusts, and to install without a fuss.
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
FREE_PIP = 'rm -f "$1"/usr/lib/python3.11/EXTERNALLY-MANAGED'
READY_SECONDS = 120


def main() -> None:
    """Measure and print."""
    install()
    with machine() as own:
        project = prepare(own)
        ours = measure(own, project)
        theirs = measure_bentoml(own, project)
    table = Table(title=hardware(), title_justify="left")
    for name in ("", "gitops-ml model image", "bentoml containerize"):
        table.add_column(name, justify="right" if name else "left")
    for name, value in ours.items():
        table.add_row(name, value, theirs[name])
    console.print(table)


def prepare(own: Machine) -> Path:
    """A trained project whose images belong to the registry."""
    shutil.rmtree(BENCH, ignore_errors=True)
    project = bake({}, BENCH)
    settings = yaml.safe_load((project / "project.yaml").read_text())
    settings["image"] = f"{own.registry}/team/late-flights"
    (project / "project.yaml").write_text(yaml.safe_dump(settings))
    for target in ("setup", "init", "repro"):
        console.print(f"make {target}")
        make(target, cwd=project)
    run("git", "commit", "--quiet", "--no-verify", "--message", "Train", cwd=project)
    return project


def measure(own: Machine, project: Path) -> dict[str, str]:
    """The figures of `gitops-ml model image`."""

    def build() -> tuple[str, float]:
        console.print("gitops-ml model image")
        start = time.monotonic()
        said = gitops("model", "image", cwd=project, env=own.env).split()
        return said[0], time.monotonic() - start

    gitops("model", "package", cwd=project)
    return of_builds(own, project, build)


def measure_bentoml(own: Machine, project: Path) -> dict[str, str]:
    """The figures of BentoML's own Dockerfile, as it is by default; only labels and tags are ours."""
    if not FULL_BASE.exists():
        hooks = [f"--customize-hook={hook}" for hook in (f"copy-in {BUNDLE} {BUNDLE.parent}", FREE_PIP)]
        run("mmdebstrap", "--variant=apt", f"--include={FULL_PACKAGES}", *hooks, "bookworm", str(FULL_BASE), cwd=TOOLS)
    trusts = ("--change", f"ENV SSL_CERT_FILE={BUNDLE}")
    own.docker("import", *trusts, str(FULL_BASE), BASE_NAME)
    # BentoML's Dockerfile needs BuildKit, which Debian's client has built in.
    env = own.env | {
        "BENTOML_HOME": str(project / ".bentoml"),
        "DOCKER_BUILDKIT": "1",
        "PATH": f"/usr/bin:{os.environ['PATH']}",
    }

    def build() -> tuple[str, float]:
        console.print("bentoml containerize")
        release = gitops("model", "package", cwd=project).split(": ")[0].split()[-1]
        tag = f"{own.registry}/team/theirs:{release.partition(':')[2]}"
        start = time.monotonic()
        options = ("--opt", "network=host", "--image-tag", tag)
        run(str(project / ".venv/bin/bentoml"), "containerize", release, *options, cwd=project, env=env)
        return tag, time.monotonic() - start

    return of_builds(own, project, build)


def of_builds(own: Machine, project: Path, build: Callable[[], tuple[str, float]]) -> dict[str, str]:
    """Build three times, the last time with another model; `build` returns the image's tag and its seconds."""
    tag, cold = build()
    _, warm = build()
    figures = of_image(own, tag)
    change_model(project)
    tag, changed = build()
    return figures | after_change(own, tag, cold, warm, changed)


def of_image(own: Machine, tag: str) -> dict[str, str]:
    """Size, what the first push sends, and how long until it is ready."""
    size = int(own.docker("image", "inspect", "--format", "{{.Size}}", tag))
    pushed = push(own, tag)
    port = free_port()
    where = ("--network=host", f"--env=BENTOML_PORT={port}", f"--env=PORT={port}")
    start = time.monotonic()
    container = own.docker("run", "--detach", *where, tag)
    try:
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz").is_success:
                    break
            except httpx.TransportError:
                if time.monotonic() - start > READY_SECONDS:
                    raise
            time.sleep(0.05)
        ready = time.monotonic() - start
    finally:
        own.docker("rm", "--force", container)
    return {
        "size": f"{size / 1e6:.0f} MB",
        "the first push": f"{pushed / 1e6:.1f} MB",
        "from docker run to ready": f"{ready:.1f} s",
    }


def after_change(own: Machine, tag: str, cold: float, warm: float, changed: float) -> dict[str, str]:
    """The builds, and what another model pushes."""
    return {
        "build, nothing built before": f"{cold:.1f} s",
        "build, nothing changed": f"{warm:.1f} s",
        "build, another model": f"{changed:.1f} s",
        "push, another model": f"{push(own, tag) / 1e6:.2f} MB",
    }


def push(own: Machine, tag: str) -> int:
    """Push; returns by how many bytes the registry grew."""

    def stored() -> int:
        return sum(path.stat().st_size for path in (own.folder / "registry").rglob("*") if path.is_file())

    before = stored()
    own.docker("push", "--quiet", tag)
    return stored() - before


def change_model(project: Path) -> None:
    """Train with fewer trees than before."""
    params = project / "params.yaml"
    found = re.search(r"max_iter: (\d+)", params.read_text())
    if not found:
        raise CommandError(f"{params} has no max_iter to change")
    params.write_text(params.read_text().replace(found[0], f"max_iter: {int(found[1]) - 10}"))
    make("repro", "PULL=", cwd=project)
    gitops("model", "package", cwd=project)


if __name__ == "__main__":
    sys.exit(ended(main))

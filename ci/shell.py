"""Runs commands as a user would who has just opened a terminal."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "Demo"), ("EMAIL", "demo@example.org"))
}
# What the template's own environment leaves in os.environ, and a terminal would not have.
OURS = {
    "MAKEFLAGS",
    "MAKELEVEL",
    "MAKEOVERRIDES",
    "MFLAGS",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPATH",
    "PYTHONPYCACHEPREFIX",
    "UV",
    "UV_PROJECT_ENVIRONMENT",
    "UV_RUN_RECURSION_DEPTH",
    "VIRTUAL_ENV",
}
# Of Git's variables, those that say how servers are reached and where settings are. A hook has others, which say which
# repository it runs in, who commits and when, and a command that inherits them works in that repository.
MACHINES = ("GIT_ASKPASS", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM", "GIT_SSH", "GIT_SSL_")

# Keys that sign the releases of projects that are gone afterwards stay out of the home of whoever runs this.
KEYS = {"RELEASE_KEY_FOLDER": str(ROOT / "build" / "keys")}


# Below the ports that Linux, macOS and Windows give for connections.
OF_OUR_OWN = range(10_000, 32_768)
_given: set[int] = set()


class CommandError(Exception):
    """A command failed; the message ends with the last lines that it printed."""


def environment() -> dict[str, str]:
    """The environment of a terminal in which somebody has told Git who they are."""
    clean = {name: value for name, value in os.environ.items() if name not in OURS and not of_a_hook(name)}
    path = [entry for entry in clean["PATH"].split(os.pathsep) if not entry.startswith(str(ROOT / ".venv"))]
    return IDENTITY | clean | {"PATH": os.pathsep.join(path)}


def of_a_hook(name: str) -> bool:
    """Whether a variable may say which repository Git works in, or for whom."""
    return name.startswith("GIT_") and not name.startswith(MACHINES)


def run(
    *command: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    echo: Callable[[str], object] = lambda line: None,
) -> str:
    """Run a command to its end and return what it printed, errors included; `echo` gets each line as it comes.

    Raises:
        CommandError: it exited with another code than 0.
    """
    lines = []
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**environment(), **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            echo(line.rstrip())
    if process.returncode:
        tail = "".join(lines[-30:])
        raise CommandError(f"`{' '.join(command)}` ended with exit code {process.returncode} in {cwd}:\n{tail}")
    return "".join(lines)


def make(
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    echo: Callable[[str], object] = lambda line: None,
) -> str:
    """Run make in a generated project; see `run`."""
    return run("make", "--no-print-directory", *arguments, cwd=cwd, env=KEYS | dict(env or {}), echo=echo)


def gitops(
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    echo: Callable[[str], object] = lambda line: None,
) -> str:
    """Run the automation's command in a generated project; see `run`."""
    command = str(cwd / ".venv" / "bin" / "gitops-ml")
    return run(command, *arguments, cwd=cwd, env=KEYS | dict(env or {}), echo=echo)


def free_port() -> int:
    """A port that nobody listens on now, given once to this process and to no other of pytest's workers.

    It may be used much later, so it is not one of those that the kernel gives to whoever asks for any.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = range(OF_OUR_OWN.start + worker, OF_OUR_OWN.stop, workers)
    while True:
        port = secrets.choice(share)
        with socket.socket() as probe, contextlib.suppress(OSError):
            if port not in _given:
                probe.bind(("127.0.0.1", port))
                _given.add(port)
                return port

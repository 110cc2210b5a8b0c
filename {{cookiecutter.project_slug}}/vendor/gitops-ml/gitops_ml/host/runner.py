"""How a release runs on one host. What runs is asked of the system, not remembered: an agent may be killed."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gitops_ml.core.errors import UserError, said
from gitops_ml.core.project import Workers
from gitops_ml.core.record import Release

STOP_SECONDS = 60
# Packages and images are large, and networks slow; whoever hands them out and has said nothing for a while is given up
# earlier by the programs that fetch them.
INSTALL_SECONDS = 1800.0
# An instance, or a front, that was ready once and does not answer for so long is replaced.
UNWELL_SECONDS = 15.0
# Where in an agent's folder the services write down what they answered; it outlives releases.
PREDICTIONS = "predictions"


@dataclass(frozen=True)
class Instance:
    """One running copy of a release, on a port of 127.0.0.1."""

    short: str
    port: int
    # The process, or the compose project.
    name: str


class Runner(Protocol):
    """What the agent needs of a way to run releases."""

    releases: Path

    def install(self, release: Release, files: Mapping[str, bytes]) -> None:
        """Bring a verified release, and what the environment's branch has for it, onto this host, unless it is here."""

    def instances(self) -> list[Instance]:
        """What runs now, whoever started it."""

    def start(self, short: str, *, workers: Workers) -> Instance:
        """Start an installed release on a free port. The instance outlives the agent."""

    def alive(self, instance: Instance) -> bool:
        """Whether it still runs."""

    def ended(self, instance: Instance) -> bool:
        """Whether it ended and nobody but the agent starts it again; asked often, so answered at once."""

    def stop(self, instance: Instance) -> None:
        """Have an instance finish its requests and end."""

    def said(self, instance: Instance) -> str:
        """The last lines that an instance printed."""

    def forget(self, keep: set[str]) -> None:
        """Remove what was installed of all other releases."""


def worker_option(workers: Workers) -> str:
    """How BentoML is told how many workers there are; it counts the cores that it may use."""
    return f"services.Model.workers={'cpu_count' if workers == 'auto' else workers}"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def complete(target: Path) -> Iterator[Path]:
    """A new folder that gets its name only when the block is done, so that a killed agent leaves none half filled.

    Raises:
        UserError: the system does not let us write there; nothing of it is left, and no other folder was touched.
    """
    # Always the same name: what a program says of it is the same each time.
    part = target.with_name(f".part-{target.name}")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        part.rename(target)
    except OSError as error:
        raise UserError(f"{target} cannot be filled: {said(error)}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)

"""Starting other programs."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from gitops_ml.core.errors import UserError


def run(*command: str, cwd: Path, env: Mapping[str, str] | None = None, both: bool = False) -> str:
    """Run a program and return what it prints, without the last newline; `env` adds to the environment.

    `both` says to return its errors' lines too.

    Raises:
        UserError: it exited with another code than 0; the message ends with the last lines it printed.
    """
    environment = os.environ | env if env else None
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-8:]
        raise UserError("\n  ".join([f"`{shlex.join(command)}` failed:", *said]))
    return (done.stdout + (done.stderr if both else "")).rstrip("\n")


def shown(*command: str, cwd: Path) -> None:
    """Run a program whose progress the person at the command line sees.

    Raises:
        UserError: it exited with another code than 0.
    """
    done = subprocess.run(command, cwd=cwd, check=False)
    if done.returncode:
        raise UserError(f"`{shlex.join(command)}` failed; the reason stands above")

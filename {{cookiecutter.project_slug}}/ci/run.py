"""Starting other programs."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from ci.errors import UserError


def run(*command: str, cwd: Path) -> str:
    """Run a program and return what it prints, without the last newline.

    Raises:
        UserError: it exited with another code than 0; the message ends with the last lines it printed.
    """
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-8:]
        raise UserError("\n  ".join([f"`{shlex.join(command)}` failed:", *said]))
    return done.stdout.rstrip("\n")


def shown(*command: str, cwd: Path) -> None:
    """Run a program whose progress the person at the command line sees.

    Raises:
        UserError: it exited with another code than 0.
    """
    done = subprocess.run(command, cwd=cwd, check=False)
    if done.returncode:
        raise UserError(f"`{shlex.join(command)}` failed; the reason stands above")

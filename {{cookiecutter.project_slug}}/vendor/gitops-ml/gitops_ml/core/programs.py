"""Starting other programs."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gitops_ml.core.errors import UserError

# How long anything may take that asks another machine.
NETWORK_SECONDS = 300.0
# What Git hands to its hooks, and what would have every command work on the repository of the hook instead of its own.
LOCATIONS = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
)
# -P: nothing of the project stands in for what DVC imports; the stages are started by a shell.
DVC = (sys.executable, "-P", "-m", "dvc")


class TooLongError(UserError):
    """A program did not end in time."""


def forget_repository() -> None:
    """Have this process and all that it starts work on the repository of their folder, whoever started it."""
    for name in LOCATIONS:
        os.environ.pop(name, None)


def run(
    *command: str, cwd: Path, env: Mapping[str, str] | None = None, both: bool = False, limit: float | None = None
) -> str:
    """Run a program and return what it prints, without the last newline; `env` adds to the environment.

    `both` says to return its errors' lines too, `limit` ends it after so many seconds.

    Raises:
        TooLongError: it did not end in time.
        UserError: it is not installed, or exited with another code than 0; the message ends with its last lines.
    """
    done = finished(*command, cwd=cwd, env=env, limit=limit)
    printed, said = (each.decode(errors="replace") for each in (done.stdout, done.stderr))
    if done.returncode:
        lines = (said.strip() or printed.strip()).splitlines()[-8:]
        raise UserError("\n  ".join([f"`{shlex.join(command)}` failed:", *lines]))
    return (printed + (said if both else "")).rstrip("\n")


def finished(
    *command: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    content: bytes | None = None,
    limit: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, whatever its exit code; `content` is what it reads, without which it may ask a person.

    Raises:
        TooLongError: it did not end in time; whatever it started has ended with it.
        UserError: it is not installed.
    """
    environment = {name: value for name, value in os.environ.items() if name not in LOCATIONS} | dict(env or {})
    # Where nobody can be asked for a password, it has a session of its own, so that all of it can be ended.
    alone = not (sys.stdin and sys.stdin.isatty())
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.PIPE if content is not None or alone else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=alone,
        )
    except FileNotFoundError as error:
        raise UserError(_missing(command[0], cwd)) from error
    with process:
        try:
            printed, said = process.communicate(content, limit)
        except subprocess.TimeoutExpired as error:
            raise TooLongError(f"`{shlex.join(command)}` did not end within {limit:g} seconds") from error
        finally:
            if process.poll() is None:
                _end(process, alone)
    return subprocess.CompletedProcess(command, process.returncode, printed, said)


def shown(*command: str, cwd: Path) -> None:
    """Run a program whose progress the person at the command line sees.

    Raises:
        UserError: it is not installed, or exited with another code than 0.
    """
    try:
        done = subprocess.run(command, cwd=cwd, check=False)
    except FileNotFoundError as error:
        raise UserError(_missing(command[0], cwd)) from error
    if done.returncode:
        raise UserError(f"`{shlex.join(command)}` failed; the reason stands above")


def _missing(program: str, cwd: Path) -> str:
    return f"the folder {cwd} does not exist" if not cwd.is_dir() else f"`{program}` is not installed here"


def _end(process: subprocess.Popen[bytes], alone: bool) -> None:
    """End a program, and what it started if that is a session of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            if alone:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return

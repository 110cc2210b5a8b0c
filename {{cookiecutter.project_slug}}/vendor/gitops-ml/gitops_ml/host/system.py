"""Processes of this machine, as the system tells of them."""

from __future__ import annotations

import psutil

from gitops_ml.core.errors import UserError
from gitops_ml.host.runner import STOP_SECONDS


def words(process: psutil.Process) -> list[str]:
    """The command line of a process; empty if it ended."""
    try:
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    except psutil.Error:
        return []


def end(process: psutil.Process, seconds: float = STOP_SECONDS) -> None:
    """Have a process, and what it started, finish what it is at and end; after so many seconds it must.

    Raises:
        UserError: it is another user's.
    """
    try:
        family = [process, *process.children(recursive=True)]
        process.terminate()
        for left in psutil.wait_procs(family, timeout=seconds)[1]:
            left.kill()
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise UserError(f"process {process.pid} is another user's: end it, or run the agent as that user") from error

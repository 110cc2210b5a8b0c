"""Keeps a host's front and instance alive between the agent's steps, and while a step waits for somebody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from gitops_ml.core.errors import UserError, said
from gitops_ml.host.host import Host

PAUSE_SECONDS = 0.1
# How often it is asked whether they answer too; that they run is looked at all the time.
LOOK_SECONDS = 10.0
# Between two attempts to start what does not start, the first and the longest.
RETRY_SECONDS, RETRY_AT_MOST = 1.0, 30.0
LOCK = "keeper.lock"


class KeptError(UserError):
    """Another agent keeps alive what serves."""


@contextmanager
def kept(host: Host, say: Callable[[str], object]) -> Iterator[None]:
    """Until the block ends, start again at once what serves on a host and ends or does not answer.

    `say` gets a sentence when that cannot be done, once for each reason.

    Raises:
        KeptError: another process does that already.
    """
    over = threading.Event()
    with alone(host):
        thread = threading.Thread(target=_keep, args=(host, over, say), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@contextmanager
def alone(host: Host) -> Iterator[None]:
    """Raises KeptError while an agent keeps a host alive: it would undo what the block does."""
    try:
        with FileLock(host.folder / LOCK).acquire(timeout=0):
            yield
    except Timeout as error:
        raise KeptError(
            f"an agent with --watch keeps alive what serves in {host.folder}; end that one first, as by "
            "`systemctl stop model@ENV`"
        ) from error


def _keep(host: Host, over: threading.Event, say: Callable[[str], object]) -> None:
    retry, last = RETRY_SECONDS, ""
    while not over.is_set():
        try:
            serving = host.revive()
        except Exception as error:  # whatever it is, the next attempt may do
            first, *_ = said(error).splitlines() or [type(error).__name__]
            if first != last:
                say(f"what served does not serve again: {said(error)}")
            last = first
            over.wait(retry)
            retry = min(2 * retry, RETRY_AT_MOST)
            continue
        retry, last = RETRY_SECONDS, ""
        if serving is None:
            over.wait(RETRY_SECONDS)
            continue
        look_again = time.monotonic() + LOOK_SECONDS
        while serving.runs and time.monotonic() < look_again and not over.wait(PAUSE_SECONDS):
            pass

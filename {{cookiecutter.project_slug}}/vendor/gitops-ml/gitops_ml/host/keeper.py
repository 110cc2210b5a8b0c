"""Keeps a host's front and instance alive between the agent's steps, and while a step waits for somebody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from gitops_ml.core import progress
from gitops_ml.core.errors import UserError, said
from gitops_ml.host.host import Host, Serving

PAUSE_SECONDS = 0.1
# How often it is asked whether they answer too; that they run is looked at all the time.
LOOK_SECONDS = 10.0
# Between two attempts to start what does not start, the first and the longest.
RETRY_SECONDS, RETRY_AT_MOST = 1.0, 30.0
LOCK, WATCH_LOCK = "keeper.lock", "watch.lock"


class KeptError(UserError):
    """Another agent keeps alive what serves, and would undo what we do."""


@contextmanager
def kept(host: Host, say: Callable[[str], object], seconds: float = 0) -> Iterator[None]:
    """Until the block ends, start again at once what serves on a host and ends or does not answer.

    `say` gets a sentence when that cannot be done, once for each reason.

    Raises:
        KeptError: another process does that, and has not ended after so many seconds.
    """
    over = threading.Event()
    with alone(host, seconds):
        thread = threading.Thread(target=_keep, args=(host, over, say), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@contextmanager
def watching(host: Host) -> Iterator[None]:
    """Be the one agent of a host that goes on for ever, or keep any from beginning to.

    Raises:
        KeptError: there is one.
    """
    with _locked(
        host.folder / WATCH_LOCK,
        0,
        f"an agent with --watch keeps alive what serves in {host.folder}; end that one first, as by "
        "`systemctl stop model@ENV`",
    ):
        yield


@contextmanager
def alone(host: Host, seconds: float) -> Iterator[None]:
    """Let nobody keep a host alive.

    Raises:
        KeptError: an agent does, and has not ended after so many seconds.
    """
    with _locked(
        host.folder / LOCK,
        seconds,
        f"another agent is at work in {host.folder}, and keeps alive what serves there; wait until its step is done, "
        "or end it",
    ):
        yield


@contextmanager
def _locked(path: Path, seconds: float, refused: str) -> Iterator[None]:
    lock = FileLock(path)
    try:
        with progress.doing(f"waiting for the agent that is at work in {path.parent}"):
            lock.acquire(timeout=seconds)
    except Timeout as error:
        raise KeptError(refused) from error
    try:
        yield
    finally:
        lock.release()


def _keep(host: Host, over: threading.Event, say: Callable[[str], object]) -> None:
    retry, last = RETRY_SECONDS, ""
    while not over.is_set():
        try:
            serving = host.revive()
            retry, last = RETRY_SECONDS, ""
            _look(serving, over)
        except Exception as error:  # whatever it is, the next attempt may do
            first, *_ = said(error).splitlines() or [type(error).__name__]
            if first != last:
                # Where nobody can be told, as where stdout is closed, what serves is kept alive all the same.
                with suppress(Exception):
                    say(f"what served does not serve again: {said(error)}")
            last = first
            over.wait(retry)
            retry = min(2 * retry, RETRY_AT_MOST)


def _look(serving: Serving | None, over: threading.Event) -> None:
    """Return as soon as something serves no more, or it is time to ask whether it answers."""
    if serving is None:
        over.wait(RETRY_SECONDS)
        return
    look_again = time.monotonic() + LOOK_SECONDS
    while serving.runs and time.monotonic() < look_again and not over.wait(PAUSE_SECONDS):
        pass

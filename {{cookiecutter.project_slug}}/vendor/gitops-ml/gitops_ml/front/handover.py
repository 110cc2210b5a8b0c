"""Hands an open port from one process to another: one that somebody holds refuses nobody while its front is exchanged.

What waits in the queue of a listening socket is lost when the last process that has it ends. So whoever keeps a front
alive holds the socket too, and asks the front for it if an agent before it has opened it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "front.sock"
# Where a process finds its own open folders by a short name, if the system has such a place.
OWN = Path("/proc/self/fd")
BACKLOG = 1024
# After something of the system was refused, before it is tried again.
RETRY_SECONDS = 0.5


async def offer(listening: socket.socket, folder: Path) -> None:
    """Give a copy of the socket to everybody of this user who asks in the folder; goes on until it is cancelled."""
    asked: socket.socket | None = None
    while True:
        try:
            asked = asked or _asked(folder)
            who, _ = await asyncio.get_running_loop().sock_accept(asked)
            with who:
                socket.send_fds(who, [b"1"], [listening.fileno()])
        except OSError:
            # Who asked has left, the disk is full, no more files may be open: who asks next is to be answered.
            await asyncio.sleep(RETRY_SECONDS)


def ask(folder: Path, seconds: float) -> socket.socket | None:
    """The socket of the front of a folder; None if it gives none: it has not started yet, just ends, or is of 0.1.

    Raises:
        TimeoutError: there is a front, and for so long it has said nothing, or to all those who wait already.
    """
    with socket.socket(socket.AF_UNIX) as asking, _near(folder) as near:
        asking.settimeout(seconds)
        try:
            asking.connect(near)
            _, handles, _, _ = socket.recv_fds(asking, 1, 1)
        except (FileNotFoundError, ConnectionError):
            return None
        except BlockingIOError as error:
            raise TimeoutError("so many wait for its answer that no more can") from error
    return socket.socket(fileno=handles[0]) if handles else None


def _asked(folder: Path) -> socket.socket:
    """The socket by which this user's other processes ask in a folder."""
    asked = socket.socket(socket.AF_UNIX)
    try:
        asked.setblocking(False)
        with _near(folder) as near:
            Path(near).unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                asked.bind(near)
            finally:
                os.umask(before)
        asked.listen(BACKLOG)
    except OSError:
        asked.close()
        raise
    return asked


@contextmanager
def _near(folder: Path) -> Iterator[str]:
    """The address in a folder, however long the folder's path is: a Unix socket's has room for about 100 bytes."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield str((OWN / str(handle) if OWN.exists() else folder) / NAME)
    finally:
        os.close(handle)

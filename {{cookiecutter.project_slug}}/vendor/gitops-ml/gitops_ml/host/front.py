"""The front of a host: owns the public port and hands each request to the instance that active.json names.

It is a process of its own that the agent starts once and never restarts, so replacing a release closes no connection.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import uvloop

from gitops_ml.host import handover
from gitops_ml.host.caller import Caller
from gitops_ml.host.upstream import Upstream

ACTIVE = "active.json"
# How long a request waits for an instance that is just being started again.
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.05
# An instance closes connections that have been idle for five seconds; of these none is used any more.
IDLE_SECONDS = 2.5
# How long callers that are being answered have, once the front is to end.
CLOSING_SECONDS = 60.0


class Front:
    """Callers, and connections to the instance that serves."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ACTIVE
        self.seen: tuple[int, int, int] | None = None
        self.named: int | None = None
        self.idle: list[Upstream] = []
        self.callers: set[Caller] = set()
        self.ending = False

    def kept(self) -> Upstream | None:
        """A connection to the instance that serves, of which both sides know that nothing is on its way."""
        port, now = self.port(), asyncio.get_running_loop().time()
        while self.idle:
            upstream = self.idle.pop()
            if upstream.port == port and now - upstream.since < IDLE_SECONDS and upstream.is_open():
                return upstream
            upstream.close()
        return None

    def keep(self, upstream: Upstream) -> None:
        """Keep a connection for the next request."""
        upstream.since = asyncio.get_running_loop().time()
        self.idle.append(upstream)

    def forget(self, upstream: Upstream) -> None:
        """A kept connection has ended."""
        with suppress(ValueError):
            self.idle.remove(upstream)

    async def connected(self) -> Upstream:
        """A new connection to the instance that serves, however often that is another one meanwhile.

        Raises:
            TimeoutError: none can be had for as long as a caller waits.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + PATIENCE_SECONDS
        while (left := give_up - loop.time()) > 0:
            if (port := self.port()) is not None:
                with suppress(OSError):
                    async with asyncio.timeout(left):
                        _, upstream = await loop.create_connection(lambda: Upstream(self, port), "127.0.0.1", port)
                    if self.port() == port:
                        return upstream
                    upstream.close()
                    continue
            await asyncio.sleep(PAUSE_SECONDS)
        raise TimeoutError

    def port(self) -> int | None:
        """Where the instance listens that serves; None if there is none.

        Asked for each request: the agent replaces the file in one step, and that is the switch.
        """
        try:
            found = os.stat(self.path)
            seen = (found.st_mtime_ns, found.st_ino, found.st_size)
            if seen != self.seen:
                self.named, self.seen = int(json.loads(self.path.read_text())["port"]), seen
        except (OSError, ValueError, KeyError, TypeError):
            self.named = self.seen = None
        return self.named

    async def accept(self, listening: socket.socket) -> None:
        """Take in callers; goes on until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                caller, _ = await loop.sock_accept(listening)
                await loop.connect_accepted_socket(lambda: Caller(self), caller)
            except OSError:
                # No more files may be open, or this caller has left: whoever waits is to be taken in.
                await asyncio.sleep(PAUSE_SECONDS)

    async def end(self) -> None:
        """Have those answered who have asked, and close all connections."""
        self.ending = True
        for caller in list(self.callers):
            caller.end()
        give_up = asyncio.get_running_loop().time() + CLOSING_SECONDS
        while self.callers and asyncio.get_running_loop().time() < give_up:
            await asyncio.sleep(PAUSE_SECONDS)


async def serve(folder: Path, listening: socket.socket) -> None:
    """Serve until SIGTERM."""
    listening.setblocking(False)
    front, over = Front(folder), asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, over.set)
    tasks = [
        asyncio.create_task(front.accept(listening)),
        asyncio.create_task(handover.offer(listening, folder)),
    ]
    await over.wait()
    for task in tasks:
        task.cancel()
    listening.close()
    await front.end()


def main(folder: Path, listening: socket.socket) -> None:
    """Serve until SIGTERM."""
    # Each request that waits is an open file.
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Systems whose own limit is lower refuse what they allow, as macOS does.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    gc.freeze()
    uvloop.run(serve(folder, listening))


if __name__ == "__main__":
    # FOLDER HANDLE PORT: the agent opened the port and hands it over; its number tells which front this is.
    main(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))

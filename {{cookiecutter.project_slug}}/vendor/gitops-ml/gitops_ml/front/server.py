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
import time
from contextlib import suppress
from pathlib import Path

import uvloop

from gitops_ml.front import handover
from gitops_ml.front.caller import Caller
from gitops_ml.front.request import Request
from gitops_ml.front.rolling import Line, Log, Seen, Split
from gitops_ml.front.shadow import MARK, Copies, Copy, told
from gitops_ml.front.upstream import Upstream

ACTIVE = "active.json"
# How long a request waits for an instance that is just being started again.
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.05
# An instance closes connections that have been idle for five seconds; of these none is used any more.
IDLE_SECONDS = 2.5
# How long callers that are being answered have, once the front is to end.
CLOSING_SECONDS = 60.0


class Front:
    """Callers, and connections to the instance that serves, and to another one that is rolled out."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ACTIVE
        self.seen: tuple[int, int, int] | None = None
        self.named: int | None = None
        self.split: Split | None = None
        self.idle: list[Upstream] = []
        self.callers: set[Caller] = set()
        self.ending = False
        self.log = Log()
        self.copies = Copies(self.note)

    def kept(self, request: Request) -> Upstream | None:
        """A connection to the instance that answers, of which both sides know that nothing is on its way."""
        port, now = self.port(request), asyncio.get_running_loop().time()
        other = list[Upstream]()
        while self.idle:
            upstream = self.idle.pop()
            is_well = now - upstream.since < IDLE_SECONDS and upstream.is_open()
            if upstream.port == port and is_well:
                self.idle += reversed(other)
                return upstream
            if is_well and self.split and upstream.port in (self.named, self.split.port):
                other.append(upstream)
            else:
                upstream.close()
        self.idle += reversed(other)
        return None

    def keep(self, upstream: Upstream) -> None:
        """Keep a connection for the next request."""
        upstream.since = asyncio.get_running_loop().time()
        self.idle.append(upstream)

    def forget(self, upstream: Upstream) -> None:
        """A kept connection has ended."""
        with suppress(ValueError):
            self.idle.remove(upstream)

    async def connected(self, request: Request) -> Upstream:
        """A new connection to the instance that answers, however often that is another one meanwhile.

        Where the release that is rolled out takes none, the one that serves answers.

        Raises:
            TimeoutError: none can be had for as long as a caller waits.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + PATIENCE_SECONDS
        while (left := give_up - loop.time()) > 0:
            if (port := self.port(request)) is not None:
                with suppress(OSError):
                    async with asyncio.timeout(left):
                        _, upstream = await loop.create_connection(lambda: Upstream(self, port), "127.0.0.1", port)
                    if self.port(request) == port:
                        return upstream
                    upstream.close()
                    continue
                if self.split and port == self.split.port:
                    self.note(self.split, Line(new=Seen(status=0, ms=0)))
                    request.is_old = True
                    continue
            await asyncio.sleep(PAUSE_SECONDS)
        raise TimeoutError

    def port(self, request: Request) -> int | None:
        """Where the instance listens that answers a request; None if there is none."""
        self.look()
        if self.split is None:
            return self.named
        if request.is_old is None:
            request.is_old = not self.split.takes(request.headers)
        return self.named if request.is_old else self.split.port

    def answered(self, request: Request, upstream: Upstream, status: int, body: bytes) -> None:
        """Write down what came of a request during a rollout, and have a copy of it answered if it is shadowed."""
        split, seconds = self.split, time.perf_counter() - request.began
        if split is None or request.method != b"POST":
            return
        seen = Seen(status=status, ms=seconds * 1000, body=told(body))
        if upstream.port == split.port:
            self.note(split, Line(new=seen))
        elif upstream.port == self.named and split.share:
            self.note(split, Line(old=seen))
        elif upstream.port == self.named and (copy := request.copied(MARK + upstream.answer.name)):
            self.copies.offer(Copy(split, copy, seen))

    def shadows(self) -> bool:
        """Whether requests are copied to another release."""
        self.look()
        return self.split is not None and not self.split.share

    def note(self, split: Split, line: Line) -> None:
        """Write a line down in the log of a rollout."""
        self.log.write(split.log, line)

    def look(self) -> None:
        """Look where requests go.

        For each of them: the agent replaces the file in one step, and that is the switch.
        """
        try:
            found = os.stat(self.path)
            seen = (found.st_mtime_ns, found.st_ino, found.st_size)
            if seen != self.seen:
                active = json.loads(self.path.read_text())
                self.named, self.seen = int(active["port"]), seen
                rolling = active.get("rollout")
                self.split = Split.of(rolling, self.path.parent) if rolling else None
        except (OSError, ValueError, KeyError, TypeError):
            self.named = self.seen = self.split = None

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
        asyncio.create_task(front.copies.run()),
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

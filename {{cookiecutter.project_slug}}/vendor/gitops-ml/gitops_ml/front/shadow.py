"""Copies of requests for a release that is shadowed: one at a time, after the caller has the answer, or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gitops_ml.front.rolling import Line, Seen, Split

# So many wait, at most; of what comes while the new release is behind, nothing is copied.
WAITING = 64
SECONDS = 30.0
# Of an answer, and no more, is written down.
SHORT = 4096
# What the new release's prediction log has as the id of such a request, with the id that the caller's answer has.
MARK = b"shadow:"


@dataclass
class Copy:
    """A request as it was sent, and what the old release answered."""

    split: Split
    request: bytes
    old: Seen


@dataclass
class _Answer:
    """What has come of an answer; see HttpResponseParser."""

    body: bytearray = field(default_factory=bytearray)
    is_whole: bool = False
    keeps: bool = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_whole = True


class Copies:
    """Has one copy after the other answered; the answers go nowhere but to `note`."""

    def __init__(self, note: Callable[[Split, Line], None]) -> None:
        self.note = note
        self.queue: asyncio.Queue[Copy] = asyncio.Queue(WAITING)
        self.open: tuple[int, asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def offer(self, copy: Copy) -> None:
        """Have a copy answered later, unless too many wait already."""
        with suppress(asyncio.QueueFull):
            self.queue.put_nowait(copy)

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            copy = await self.queue.get()
            start, status, body = time.perf_counter(), 0, None
            try:
                async with asyncio.timeout(SECONDS):
                    status, body = await self._asked(copy)
            except (OSError, EOFError, TimeoutError, HttpParserError, HttpParserUpgrade):
                self._close()
            new = Seen(status=status, ms=(time.perf_counter() - start) * 1000, body=body)
            self.note(copy.split, Line(old=copy.old, new=new))

    async def _asked(self, copy: Copy) -> tuple[int, str | None]:
        if self.open is None or self.open[0] != copy.split.port or self.open[1].at_eof():
            self._close()
            self.open = (copy.split.port, *await asyncio.open_connection("127.0.0.1", copy.split.port))
        _, reader, writer = self.open
        writer.write(copy.request)
        answer = _Answer()
        parser = HttpResponseParser(answer)
        while not answer.is_whole:
            data = await reader.read(65_536)
            if not data:
                raise EOFError
            parser.feed_data(data)
        if not parser.should_keep_alive():
            self._close()
        return parser.get_status_code(), told(bytes(answer.body))

    def _close(self) -> None:
        if self.open:
            self.open[2].close()
        self.open = None


def told(body: bytes) -> str | None:
    """An answer as it is written down."""
    return body.decode("utf-8", "replace") if len(body) <= SHORT else None

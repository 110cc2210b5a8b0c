"""A request on its way through the front, and the headers that go with it from one hop to the next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitops_ml.front.upstream import Upstream

# Of one hop only (RFC 9110, section 7.6.1); what is expected of us, we do ourselves.
HOP_BY_HOP = {
    b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"proxy-connection", b"expect",
}  # fmt: skip

Headers = list[tuple[bytes, bytes]]


class Request:
    """A request on its way: what came of it and was not sent yet."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: Headers = []
        # Of one hop only, with their names in lower case.
        self.hops: Headers = []
        self.has_head = self.is_chunked = self.is_whole = self.is_answered = self.is_head = False
        self.keeps = True
        self.version = "1.1"
        self.pieces: list[bytes] = []
        self.size = 0
        # What is sent once more to another instance if nothing comes of it: it asks, and changes nothing.
        self.again = b""
        self.upstream: Upstream | None = None
        self.task: asyncio.Task[None] | None = None
        self.method = b""
        # Whether the release answers that serves, and not the one that is rolled out; not known before it is asked.
        self.is_old: bool | None = None
        self.began = 0.0
        # All of the body, if the request may be shadowed.
        self.body: bytes | None = None

    def copied(self, name: bytes) -> bytes | None:
        """The same request under another id; None if not all of it is known."""
        if self.body is None or not self.is_whole:
            return None
        headers = [pair for pair in self.headers if pair[0].lower() != b"x-request-id"]
        return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (
            self.method,
            self.url,
            joined([*headers, (b"x-request-id", name)]),
            self.body,
        )

    def add(self, piece: bytes) -> None:
        """More of it has come."""
        if self.is_answered:
            return
        if self.upstream:
            self.upstream.send(piece)
        else:
            self.pieces.append(piece)
            self.size += len(piece)


def sort(name: bytes, value: bytes, headers: Headers, hops: Headers) -> bytes:
    """Put a header to those that are passed on, or to those of one hop; its name in lower case."""
    lower = name.lower()
    if lower in HOP_BY_HOP:
        hops.append((lower, value))
    else:
        headers.append((name, value))
    return lower


def passed_on(headers: Headers, hops: Headers) -> Headers:
    """The headers but for those that the connection's own header names."""
    named = {token.strip().lower() for name, value in hops if name == b"connection" for token in value.split(b",")}
    return [pair for pair in headers if pair[0].lower() not in named]


def joined(headers: Headers) -> bytes:
    """Headers as they are sent."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])

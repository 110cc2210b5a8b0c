"""The front's connection to an instance: sends a request, and writes the answer to the caller as it comes."""

from __future__ import annotations

import asyncio
import socket
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gitops_ml.front.caller import LAST_CHUNK, Caller
from gitops_ml.front.request import Headers, Request, passed_on, sort
from gitops_ml.front.shadow import SHORT

if TYPE_CHECKING:
    from gitops_ml.front.server import Front

# To look whether something has come, and leave it there.
AT_ONCE = socket.MSG_PEEK | socket.MSG_DONTWAIT
EMPTY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class Answer:
    """What has come of an answer."""

    def __init__(self) -> None:
        self.headers: Headers = []
        self.hops: Headers = []
        self.reason = b""
        # What a rollout is judged by: the status, the beginning of the body, and what the service calls the answer.
        self.status, self.body, self.name = 0, bytearray(), b""
        self.has_length = self.has_head = self.is_chunked = self.is_until_end = self.is_over = self.keeps = False


class Upstream(asyncio.Protocol):
    """One connection, which carries one request at a time."""

    def __init__(self, front: Front, port: int) -> None:
        self.front, self.port = front, port
        self.parser = HttpResponseParser(self)
        self.transport: asyncio.Transport
        self.socket: socket.socket
        self.caller: Caller
        self.request: Request | None = None
        self.since = 0.0
        self.is_full = False
        self.answer = Answer()
        self.out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self.transport = cast(asyncio.Transport, transport)
        # To look at what has come before the loop does.
        self.socket = socket.socket(fileno=transport.get_extra_info("socket").fileno())

    def is_open(self) -> bool:
        """Whether the instance has neither closed it nor said anything."""
        if self.transport.is_closing():
            return False
        try:
            self.socket.recv(1, AT_ONCE)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def carry(self, caller: Caller, request: Request) -> None:
        """Send a request, and have its caller answered."""
        self.caller, self.request = caller, request
        request.upstream, request.task = self, None
        # The loop's own clock has whole milliseconds.
        request.began = time.perf_counter()
        sent = request.pieces[0] if len(request.pieces) == 1 else b"".join(request.pieces)
        request.pieces, request.size = [], 0
        self.transport.write(sent)
        if caller.is_slow:
            self.pause()

    def send(self, piece: bytes) -> None:
        """Send more of the request."""
        self.transport.write(piece)

    def close(self) -> None:
        """Say no more."""
        self.request = None
        self.transport.abort()

    def pause(self) -> None:
        """Let the instance wait."""
        self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self.transport.resume_reading()

    def pause_writing(self) -> None:
        """See asyncio.Protocol: the instance reads slowly."""
        self.is_full = True
        if self.request:
            self.caller.regulate()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self.is_full = False
        if self.request:
            self.caller.regulate()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.request is None:
            self.close()
            return
        try:
            self.parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._broken("HttpParserError")
            return
        if self.out:
            self.caller.transport.write(b"".join(self.out))
            self.out = []
        if self.answer.is_over:
            self._finish()

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.socket.detach()
        self.front.forget(self)
        if self.request is None:
            return
        if self.answer.is_until_end and error is None:
            if self.answer.is_chunked:
                self.caller.transport.write(LAST_CHUNK)
            self._finish()
        else:
            self._broken(type(error).__name__ if error else "ServerDisconnectedError")

    def on_status(self, reason: bytes) -> None:
        """See HttpResponseParser, here and below."""
        self.answer.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or what follows a body in chunks."""
        if not self.answer.has_head:
            lower = sort(name, value, self.answer.headers, self.answer.hops)
            if lower == b"content-length":
                self.answer.has_length = True
            elif lower == b"x-answer-id":
                self.answer.name = value

    def on_headers_complete(self) -> None:
        """The head is there."""
        request, status = self.request, self.parser.get_status_code()
        if request is None or status < HTTPStatus.OK:
            return
        self.answer.has_head, self.answer.status = True, status
        headers, hops = self.answer.headers, self.answer.hops
        if hops:
            headers = passed_on(headers, hops)
        if not (request.is_head or status in EMPTY or self.answer.has_length):
            self.answer.is_until_end = all(name != b"transfer-encoding" for name, _ in hops)
            if request.version == "1.0":
                request.keeps = False
            else:
                self.answer.is_chunked = True
                headers.append((b"transfer-encoding", b"chunked"))
        self.answer.keeps = self.parser.should_keep_alive() and not self.answer.is_until_end and not request.is_head
        self.out.append(self.caller.head(request, status, self.answer.reason, headers))
        # The parser does not know that no body follows.
        self.answer.is_over = request.is_head

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self.front.split and len(self.answer.body) <= SHORT:
            self.answer.body += body
        self.out.append(b"%x\r\n%b\r\n" % (len(body), body) if self.answer.is_chunked else body)

    def on_message_complete(self) -> None:
        """The answer is whole, or was only that one is to come."""
        if not self.answer.has_head:
            self.answer = Answer()
            return
        if self.answer.is_chunked:
            self.out.append(LAST_CHUNK)
        self.answer.is_over = True

    def _finish(self) -> None:
        request, self.request = self.request, None
        assert request is not None  # noqa: S101 - for the type checker
        if self.front.split:
            self.front.answered(request, self, self.answer.status, bytes(self.answer.body))
        if self.answer.keeps and request.is_whole and not self.transport.is_closing():
            self.answer = Answer()
            self.resume()
            self.front.keep(self)
        else:
            self.transport.abort()
        self.caller.answered(request)

    def _broken(self, how: str) -> None:
        """What an instance has begun is not sent to another one."""
        request, self.request = self.request, None
        self.transport.abort()
        if request is None:
            return
        if self.front.split:
            self.front.answered(request, self, 0, b"")
        if self.answer.has_head:
            # An error is no part of an answer that has begun: the end of the connection tells that it is not whole.
            self.caller.transport.abort()
        elif request.again:
            self.caller.repeat(request)
        else:
            self.caller.fail(request, HTTPStatus.BAD_GATEWAY, f"the release did not answer: {how}")

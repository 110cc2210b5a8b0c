"""A caller's connection to the front: where requests begin and end, and in which order they are answered."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from gitops_ml.front.request import Headers, Request, joined, passed_on, sort

if TYPE_CHECKING:
    from gitops_ml.front.server import Front

# So much of a body waits for an instance, at most; the caller then has to wait.
HIGH = 262_144
LONGEST_HEAD = 65_536
LAST_CHUNK = b"0\r\n\r\n"

# Methods that change nothing (RFC 9110, section 9.2.1).
SAFE = {b"GET", b"HEAD", b"OPTIONS"}


class Caller(asyncio.Protocol):
    """Reads requests, has one after the other answered, and writes what comes."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.parser = HttpRequestParser(self)
        # The first is being answered.
        self.requests: deque[Request] = deque()
        self.transport: asyncio.Transport
        # Nothing that comes from here on is a request.
        self.is_last = False
        self.is_paused = self.is_slow = self.has_said_all = False
        self.unread = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self.transport = cast(asyncio.Transport, transport)
        self.front.callers.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.front.callers.discard(self)
        for request in self.requests:
            request.is_answered = True
            if request.task:
                request.task.cancel()
            if request.upstream:
                request.upstream.close()
        self.requests.clear()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.is_last and not (self.requests and not self.requests[-1].is_whole):
            return
        self.unread += len(data)
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade:
            # No other protocol is spoken here: the request is answered, and what follows it is none.
            self.is_last = True
        except HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
        if self.unread > LONGEST_HEAD and self.requests and not self.requests[-1].has_head:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head has more than {LONGEST_HEAD} bytes")
        self._go_on()
        self.regulate()

    def eof_received(self) -> bool:
        """See asyncio.Protocol: a caller who has said all is answered all the same."""
        if not self.requests or not self.requests[-1].is_whole:
            return False
        self.is_last = self.has_said_all = True
        return True

    def on_message_begin(self) -> None:
        """See HttpRequestParser, here and below."""
        self.requests.append(Request())

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self.requests[-1].url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or what follows a body in chunks, which belongs to this hop."""
        request = self.requests[-1]
        if not request.has_head:
            sort(name, value, request.headers, request.hops)

    def on_headers_complete(self) -> None:
        """The head is there."""
        request = self.requests[-1]
        request.has_head = True
        self.unread = 0
        method = request.method = self.parser.get_method()
        request.version, request.is_head = self.parser.get_http_version(), method == b"HEAD"
        request.keeps = self.parser.should_keep_alive()
        sent = passed_on(request.headers, request.hops) if request.hops else request.headers
        for name, value in request.hops:
            match name:
                case b"transfer-encoding":
                    request.is_chunked = True
                    sent.append((name, b"chunked"))
                case b"expect" if value.lower() == b"100-continue" and len(self.requests) == 1:
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, request.url, joined(sent))
        if method in SAFE:
            request.again = head
        elif self.front.shadows() and not request.is_chunked:
            request.body = b""
        request.add(head)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        request = self.requests[-1]
        request.again = b""
        if request.body is not None:
            request.body = request.body + body if len(request.body) + len(body) <= HIGH else None
        request.add(b"%x\r\n%b\r\n" % (len(body), body) if request.is_chunked else body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        request = self.requests[-1]
        self.unread = 0
        if request.is_chunked:
            request.again = b""
            request.add(LAST_CHUNK)
        request.is_whole = True

    def answered(self, request: Request) -> None:
        """All of an answer was written."""
        request.is_answered, request.upstream = True, None
        self._go_on()
        self.regulate()

    def repeat(self, request: Request) -> None:
        """Send a request once more that came to nothing."""
        request.pieces, request.again, request.upstream = [request.again], b"", None
        request.task = asyncio.get_running_loop().create_task(self._wait(request))

    def fail(self, request: Request, status: HTTPStatus, error: str) -> None:
        """Answer in the place of an instance."""
        body = json.dumps({"error": error}).encode()
        headers = [
            (b"content-type", b"application/json; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
        ]
        self.transport.write(self.head(request, status, status.phrase.encode(), headers) + body)
        self.answered(request)

    def head(self, request: Request, status: int, reason: bytes, headers: Headers) -> bytes:
        """The head of an answer, which says whether the connection goes on."""
        if (self.is_last or self.front.ending) and request is self.requests[-1]:
            request.keeps = False
        if not request.keeps:
            headers = [*headers, (b"connection", b"close")]
        elif request.version == "1.0":
            headers = [*headers, (b"connection", b"keep-alive")]
        return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, joined(headers))

    def end(self) -> None:
        """Take no more requests; close once those that came are answered."""
        self.is_last = True
        if not self.requests or (self.has_said_all and self.requests[0].task):
            # Who has said all has most likely left: nobody waits for them until an instance is there.
            self.transport.close()

    def pause_writing(self) -> None:
        """See asyncio.Protocol: the caller reads slowly."""
        self.is_slow = True
        if self.requests and (upstream := self.requests[0].upstream):
            upstream.pause()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self.is_slow = False
        if self.requests and (upstream := self.requests[0].upstream):
            upstream.resume()

    def regulate(self) -> None:
        """Read from the caller only what can be sent on soon."""
        first = self.requests[0] if self.requests else None
        full = (
            first is not None
            and not first.is_answered
            and (first.size > HIGH or (first.upstream is not None and first.upstream.is_full))
        )
        wanted = full or len(self.requests) > 1
        if wanted != self.is_paused and not self.transport.is_closing():
            self.is_paused = wanted
            (self.transport.pause_reading if wanted else self.transport.resume_reading)()

    def _go_on(self) -> None:
        """Close, or begin with the next request, once the one before is whole and answered."""
        while self.requests and self.requests[0].is_answered and self.requests[0].is_whole:
            if not self.requests.popleft().keeps:
                self.requests.clear()
                self.transport.close()
                return
        if not self.requests:
            if self.is_last:
                self.transport.close()
            return
        request = self.requests[0]
        if not request.has_head or request.is_answered or request.upstream or request.task:
            return
        if upstream := self.front.kept(request):
            upstream.carry(self, request)
        else:
            request.task = asyncio.get_running_loop().create_task(self._wait(request))

    async def _wait(self, request: Request) -> None:
        try:
            upstream = await self.front.connected(request)
        except TimeoutError:
            self.fail(request, HTTPStatus.SERVICE_UNAVAILABLE, "no release serves here now")
        else:
            upstream.carry(self, request)
            self.regulate()

    def _refuse(self, status: HTTPStatus, error: str) -> None:
        """Take nothing more: there is no telling where the next request begins. Those before it are answered."""
        self.is_last = True
        if not self.requests or self.requests[-1].is_whole:
            self.requests.append(Request())
        broken = self.requests[-1]
        broken.is_whole = True
        if broken is not self.requests[0]:
            self.requests.pop()
        elif broken.upstream or broken.task or broken.is_answered:
            self.transport.close()
        else:
            self.fail(broken, status, error)

"""A connection whose callers ask plainly: each request is answered where its bytes come in.

uvicorn makes of each request a scope, a task, events and two messages before any application sees it, which costs as
much as the answer. So the short way, once it has answered on a connection, stands before uvicorn's own protocol there.
What is not plain it gives back whole, and uvicorn goes on as if nothing had been before it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gitops_serving.answering import Answering, Headers, caller_id

# A larger request is given back, since uvicorn knows when to stop reading.
HELD_BYTES = 64 * 1024
# Headers that say something of the connection, which is uvicorn's.
OF_THE_CONNECTION = {b"connection", b"expect", b"proxy-connection", b"upgrade"}


def stand_before(server: Any, answering: Answering) -> None:
    """Answer what comes next on the connection on which a server's `send` has just answered, if it is known how."""
    if type(server) is not RequestResponseCycle or server.transport.is_closing() or server.flow.write_paused:
        return
    behind = server.transport.get_protocol()
    # With the first byte of another request, uvicorn's protocol has another scope.
    if type(behind) is HttpToolsProtocol and behind.scope is server.scope and server.response_complete:
        server.transport.set_protocol(Connection(server.transport, behind, answering))


class Connection(asyncio.Protocol):
    """Stands before uvicorn's protocol of a connection, until something comes that is not plain."""

    # What has come of one request: all its bytes, and what they say.
    held: bytes
    path: bytes
    headers: Headers
    said: bytes | None
    body: bytes
    is_begun: bool
    is_whole: bool
    is_plain: bool

    def __init__(self, transport: asyncio.Transport, behind: HttpToolsProtocol, answering: Answering) -> None:
        self.transport, self.behind, self.answering = transport, behind, answering
        self.url = answering.route.encode()
        self.parser = httptools.HttpRequestParser(self)
        self._expect()
        # What uvicorn ends when the server ends is this, and what it ends when nobody asks any more is left to this.
        behind.server_state.connections.discard(behind)
        behind.server_state.connections.add(self)  # type: ignore[arg-type]  # of which it asks `shutdown` alone
        if behind.timeout_keep_alive_task is not None:
            behind.timeout_keep_alive_task.cancel()
        self.loop, self.asked = behind.loop, behind.loop.time()
        self.timer = self.loop.call_later(behind.timeout_keep_alive, self._end_idle)

    def data_received(self, data: bytes) -> None:
        """Answer a request that is whole and plain; give back what will never be."""
        start = time.perf_counter()
        self.held += data
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.is_plain = False
        if self.is_whole and self.is_plain and self._answer(start):
            return
        if self.is_whole or not self.is_plain or len(self.held) > HELD_BYTES:
            self._give_back()

    def shutdown(self) -> None:
        """The server ends, as it tells each connection: who has begun to ask is answered yet, by uvicorn."""
        if self.held:
            self._give_back()
            self.behind.shutdown()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell uvicorn, whose connection it is."""
        self._leave()
        self.behind.connection_lost(exc)

    def pause_writing(self) -> None:
        """The caller does not read its answers: uvicorn waits until it does."""
        self.behind.pause_writing()
        self._give_back()

    def on_message_begin(self) -> None:
        """Another request begins: two that come at once are uvicorn's."""
        self.is_plain = self.is_plain and not self.is_begun
        self.is_begun = True

    def on_url(self, url: bytes) -> None:
        """A part of the path."""
        self.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        name = name.lower()
        self.headers.append((name, value))
        if name in OF_THE_CONNECTION:
            self.is_plain = self.is_plain and name == b"connection" and value.lower() == b"keep-alive"

    def on_headers_complete(self) -> None:
        """All headers are there."""
        parser, self.said = self.parser, caller_id(self.headers)
        if not (
            self.said is not None
            and self.path == self.url
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
        ):
            self.is_plain = False

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.is_whole = True

    def _expect(self) -> None:
        """Nothing has come of the next request."""
        self.held = self.path = self.body = b""
        self.headers, self.said = [], None
        self.is_begun, self.is_whole, self.is_plain = False, False, True

    def _answer(self, start: float) -> bool:
        answering = self.answering
        values = answering.values(self.body)
        said = None if values is None else answering.at_once(values)
        if self.said is None or values is None or said is None:
            return False
        name, request = answering.ids(self.said)
        # Before the write, in which uvicorn may be given back what is held.
        self._expect()
        self.asked = self.loop.time()
        headers = self.behind.server_state.default_headers + answering.headers(name, request, said.text)
        head = b"".join([b"%b: %b\r\n" % each for each in headers])
        self.transport.write(b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (head, said.text))
        answering.done(start, name, request, values, said)
        return True

    def _give_back(self) -> None:
        """Let uvicorn go on, from the first byte that was not answered."""
        self._leave()
        behind = self.behind
        behind.server_state.connections.add(behind)
        self.transport.set_protocol(behind)
        if self.held:
            behind.data_received(self.held)
        else:
            behind.timeout_keep_alive_task = self.loop.call_later(
                behind.timeout_keep_alive, behind.timeout_keep_alive_handler
            )

    def _leave(self) -> None:
        self.timer.cancel()
        self.behind.server_state.connections.discard(self)
        # It knows this object, so that both would stay until garbage is looked for.
        del self.parser

    def _end_idle(self) -> None:
        left = self.asked + self.behind.timeout_keep_alive - self.loop.time()
        if left <= 0 and not self.held:
            self.transport.close()
        else:
            self.timer = self.loop.call_later(left if left > 0 else 1, self._end_idle)

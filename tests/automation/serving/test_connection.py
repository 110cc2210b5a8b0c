"""A connection on which plain requests are answered at once, before uvicorn, which has everything else that comes."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import bentoml
import pytest
import uvicorn
from gitops_serving import connection, short
from gitops_serving.answering import GATHER_SECONDS
from gitops_serving.contract import answers, requests, to_answer
from pipeline.schema import Column, Schema
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.both_ways import whole

KEEP_SECONDS = 1
# More than the kernel takes for a process that reads nothing.
MOST_BYTES = 500_000_000
SCHEMA = Schema(
    columns={
        "age": Column(type="number", nullable=True),
        "kind": Column(type="category", categories=["a", "b"]),
        "y": Column(type="integer", role="target", minimum=0, maximum=1),
    }
)
ROW = {"age": 31.5, "kind": "a"}
NAMES = b"date server content-length content-type server x-bentoml-request-id x-request-id x-answer-id"


async def long(request: Request) -> PlainTextResponse:
    """What stands behind the short way."""
    return PlainTextResponse(f"long: {len(await request.body())}\n")


class Here:
    """A server in a thread, and how many requests went which way."""

    def __init__(self, server: uvicorn.Server, port: int, service: SimpleNamespace) -> None:
        self.server, self.port, self.service = server, port, service

    def call(self) -> socket.socket:
        """A connection on which one plain request was answered."""
        caller = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        caller.sendall(asking())
        assert whole(caller).startswith(b"HTTP/1.1 200")
        return caller

    def ways(self) -> list[int]:
        """Requests by the short way, at once and after uvicorn alike, and by the long one."""
        # Longer than they are gathered before they are counted.
        time.sleep(2 * GATHER_SECONDS)
        return [int(way._value.get()) for way in short.ways()]


@pytest.fixture(params=["httptools"])
def here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    """A service whose model says how many values it was given; its server parses by the library that is named."""
    scorer = SimpleNamespace(tier="fast", at_once=lambda values: len(values) / 100)
    service = SimpleNamespace(scorer=scorer, log=None)
    monkeypatch.setattr(bentoml, "get_current_service", lambda: service)
    options: dict[str, Any] = {
        "request": requests(SCHEMA, 10)[0],
        "answer": answers(SCHEMA, None)[0],
        "told": lambda score: to_answer(score, SCHEMA, None) | {"release": "r"},
        "body_bytes": 10_000,
    }
    routes = [Route("/predict", long, methods=["GET", "POST"])]
    app = Starlette(routes=routes, middleware=[Middleware(short.ShortWay, **options)])
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, http=request.param, timeout_keep_alive=KEEP_SECONDS, log_level="warning")
    )
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Here(server, listening.getsockname()[1], service)
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


def asking(*headers: str, row: dict[str, Any] | None = None) -> bytes:
    """A plain request, unless its headers say more."""
    body = json.dumps({"row": ROW if row is None else row}).encode()
    lines = ["POST /predict HTTP/1.1", "host: here", "content-type: application/json", *headers]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def test_what_follows_a_plain_request_is_answered_before_uvicorn(here: Here) -> None:
    """uvicorn never hears of the second request of a connection, whose answer has the same form as the first."""
    with here.call() as caller:
        caller.sendall(asking("x-request-id: mine"))
        answer = whole(caller)
        assert here.server.server_state.total_requests == 1
    assert re.findall(rb"(?m)^([a-z-]+): ", answer) == NAMES.split()
    assert b"\r\nx-request-id: mine\r\n" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"score": len(ROW) / 100, "release": "r"}


def test_a_request_in_pieces_is_one_request(here: Here) -> None:
    """Wherever the network cuts it, byte for byte, it is answered once it is whole."""
    before = here.ways()
    with here.call() as caller:
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in asking():
            caller.sendall(bytes([byte]))
        assert whole(caller).startswith(b"HTTP/1.1 200")
    assert [after - past for after, past in zip(here.ways(), before, strict=True)] == [2, 0]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(b"GET /predict HTTP/1.1\r\nhost: here\r\n\r\n", id="another method"),
        pytest.param(asking(row={}), id="an invalid row"),
        pytest.param(asking("content-encoding: identity"), id="an encoding"),
        pytest.param(asking("proxy-connection: keep-alive"), id="a header of one hop"),
        pytest.param(asking("content-type: application/json"), id="two types"),
        pytest.param(asking().replace(b"/predict", b"/predict?a=b"), id="a query"),
        pytest.param(asking("x-long: " + "x" * 70_000), id="long headers"),
        pytest.param(asking(row=ROW | {"more": "x" * 200_000}), id="a large body"),
    ],
)
def test_what_is_not_plain_is_uvicorns_and_the_connection_goes_on(here: Here, other: bytes) -> None:
    """Plain and other requests take turns on one connection; each gets its own answer, in order."""
    with here.call() as caller:
        for _ in range(3):
            caller.sendall(other)
            first = whole(caller)
            caller.sendall(asking())
            second = whole(caller)
            assert (b"long: " in first or b'"score"' in first, b'"score"' in second) == (True, True)


def test_requests_that_come_at_once_are_answered_in_order(here: Here) -> None:
    """Nobody need wait for an answer before asking again, whole requests or a part of one."""
    get = b"GET /predict HTTP/1.1\r\nhost: here\r\n\r\n"
    with here.call() as caller:
        for together in ([asking(), get, asking()], [get, asking(), get], [asking()] * 20):
            text = b"".join(together) + asking()[:50]
            caller.sendall(text)
            said = [b'"score"' in whole(caller) for _ in together]
            caller.sendall(asking()[50:])
            assert [*said, b'"score"' in whole(caller)] == [each != get for each in [*together, b""]]


def test_what_is_no_http_is_refused_as_uvicorn_does(here: Here) -> None:
    """It gets a 400, and the connection ends."""
    with here.call() as caller:
        caller.sendall(b"\x16\x03\x01 what is this\r\n\r\n")
        assert whole(caller).startswith(b"HTTP/1.1 400")
        assert caller.recv(1) == b""


def test_a_connection_that_is_idle_is_ended(here: Here) -> None:
    """After as long as uvicorn gives it, counted from the last answer; not while a request is on its way."""
    with here.call() as waiting, here.call() as asked:
        began = time.monotonic()
        text = asking()
        waiting.sendall(text[:40])
        for _ in range(3):
            time.sleep(KEEP_SECONDS / 2)
            asked.sendall(text)
            assert whole(asked)
        last = time.monotonic()
        assert asked.recv(1) == b""
        assert time.monotonic() - last >= KEEP_SECONDS - 0.1
        assert last - began > KEEP_SECONDS
        waiting.sendall(text[40:])
        assert b'"score"' in whole(waiting)


def test_a_caller_that_reads_nothing_stops_its_own_answers_alone(here: Here) -> None:
    """What it asks is not answered into memory without end, and it gets every answer once it reads."""
    with here.call() as deaf:
        deaf.setblocking(False)
        sent, text = 0, asking()
        with suppress(BlockingIOError):
            while sent < MOST_BYTES:
                sent += deaf.send(text[sent % len(text) :])
        assert sent < MOST_BYTES
        here.call().close()
        deaf.settimeout(10)
        for _ in range(sent // len(text)):
            assert b'"score"' in whole(deaf)


def test_a_connection_that_uvicorn_got_back_is_ended_when_it_is_idle(here: Here) -> None:
    """Of a caller that reads late, and asks nothing more, too."""
    with here.call() as late:
        [mine] = here.server.server_state.connections
        assert isinstance(mine, connection.Connection)
        mine.loop.call_soon_threadsafe(mine.pause_writing)
        mine.loop.call_soon_threadsafe(mine.behind.resume_writing)
        assert late.recv(1) == b""
        assert here.server.server_state.connections == set()


def test_the_end_of_the_server_ends_connections(here: Here) -> None:
    """Who asks nothing is told so at once, and the server does not wait; who has begun to ask gets the answer."""
    with here.call() as idle, here.call() as asks:
        text = asking()
        asks.sendall(text[:-10])
        time.sleep(0.1)
        here.server.should_exit = True
        assert idle.recv(1) == b""
        asks.sendall(text[-10:])
        assert whole(asks).startswith(b"HTTP/1.1 200")
        assert asks.recv(1) == b""


def test_what_cannot_be_written_down_ends_no_connection(here: Here) -> None:
    """An answer is worth more than its line."""
    here.service.log = SimpleNamespace(answered=lambda *_: 1 / 0)
    with here.call() as caller:
        for _ in range(3):
            time.sleep(0.15)
            caller.sendall(asking())
            assert b'"score"' in whole(caller)


@pytest.mark.parametrize("here", ["h11"], indirect=True)
def test_a_protocol_that_is_not_known_keeps_its_connections(here: Here) -> None:
    """There each request takes the short way through the server."""
    before = here.ways()
    with here.call() as caller:
        caller.sendall(asking())
        assert whole(caller).startswith(b"HTTP/1.1 200")
        assert here.server.server_state.total_requests == 2
    assert [after - past for after, past in zip(here.ways(), before, strict=True)] == [2, 0]

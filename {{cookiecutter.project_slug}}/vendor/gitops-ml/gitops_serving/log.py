"""What the service writes down of each request: when it came, its ids, and what became of it."""

from __future__ import annotations

import contextvars
import datetime
import re
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gitops_serving.sink import Line, Sink

# The caller's id, which may stand for several calls, and the service's own, which is that of one answer.
REQUEST_ID, ANSWER_ID = "x-request-id", "x-answer-id"
SANE_ID = re.compile(r"[0-9A-Za-z._:-]{1,64}")


class Ids(NamedTuple):
    """What an answer is called: by the service, and by the caller, or by the service again."""

    answer: str = ""
    request: str = ""


current_ids: contextvars.ContextVar[Ids] = contextvars.ContextVar("current_ids")


class RequestLog:
    """ASGI middleware: gives each answer an id, and writes down what became of the request.

    The caller's own id, if there is one, is kept beside it and sent back: several calls may share it, in retries, in
    all that a session asks, or because somebody upstream made it.
    """

    def __init__(self, app: ASGIApp, sink: Callable[[], Sink | None], routes: tuple[str, ...]) -> None:
        self.app, self.sink, self.routes = app, sink, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in self.routes:
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(REQUEST_ID.encode(), b"").decode("latin-1")
        answer = uuid.uuid4().hex
        ids = Ids(answer, said if SANE_ID.fullmatch(said) else answer)
        current_ids.set(ids)
        line: Line = {"time": now(), **ids._asdict(), "route": scope["path"], "status": 500}
        start = time.perf_counter()

        async def noticed(message: Message) -> None:
            if message["type"] == "http.response.start":
                line["status"] = message["status"]
                MutableHeaders(scope=message).update({REQUEST_ID: ids.request, ANSWER_ID: answer})
            await send(message)

        try:
            await self.app(scope, receive, noticed)
        finally:
            if sink := self.sink():
                sink.put(line | {"ms": round((time.perf_counter() - start) * 1000, 3)})


def now() -> str:
    """This moment, as lines have it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")

"""What the service does not put up with: a body that fills the memory, and a life without its supervisor."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel end this process when the one that started it dies (Linux, prctl(2)).

    Otherwise a worker whose `bentoml serve` was killed would hold the port for ever, and no other could be started.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class TooLargeError(Exception):
    """The body grew beyond the limit while it was read."""


class BodyLimit:
    """ASGI middleware: answers 413 as soon as more than `limit` bytes are announced or received."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        received = 0
        refused = False

        async def counted() -> Message:
            nonlocal received, refused
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit:
                refused = True
                raise TooLargeError
            return message

        async def unless_refused(message: Message) -> None:
            if not refused:
                await send(message)

        if _announced(scope) <= self.limit:
            # What the application makes of the exception, a 500, is not sent.
            with contextlib.suppress(TooLargeError):
                await self.app(scope, counted, unless_refused)
            if not refused:
                return
        answer = {"error": f"the body is larger than {self.limit} bytes; send fewer rows in one request"}
        await JSONResponse(answer, status_code=413, headers={"connection": "close"})(scope, receive, send)


def _announced(scope: Scope) -> int:
    length = dict(scope["headers"]).get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0

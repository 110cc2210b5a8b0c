"""What the service does not put up with: bodies that are no JSON or too large, and a life without supervisor."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PR_SET_PDEATHSIG = 1
JSON = b"application/json"


def end_with_parent() -> None:
    """Have the kernel end this process when the one that started it dies (Linux, prctl(2)).

    Otherwise a worker whose `bentoml serve` was killed would hold the port for ever, and no other could be started.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class TooLargeError(Exception):
    """The body grew beyond the limit while it was read."""


class RequestLimits:
    """ASGI middleware: 415 for a body that is no JSON, 413 as soon as `body_bytes` are exceeded."""

    def __init__(self, app: ASGIApp, body_bytes: int) -> None:
        self.app = app
        self.body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if headers.get(b"content-type", JSON).split(b";")[0].strip().lower() != JSON:
            await _refuse(415, "the body must be JSON; send content-type: application/json", scope, receive, send)
            return
        length = headers.get(b"content-length", b"0")
        received = int(length) if length.isdigit() else 0
        if received <= self.body_bytes:
            received = await self._counted(scope, receive, send)
        if received > self.body_bytes:
            reason = f"the body is larger than {self.body_bytes} bytes; send fewer rows in one request"
            await _refuse(413, reason, scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Hand the request on, but nothing more once the body is too large. Returns the bytes that were received."""
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.body_bytes:
                raise TooLargeError
            return message

        async def unless_too_large(message: Message) -> None:
            # What the application makes of the exception, a 500, is not sent.
            if received <= self.body_bytes:
                await send(message)

        with contextlib.suppress(TooLargeError):
            await self.app(scope, counted, unless_too_large)
        return received


async def _refuse(status: int, reason: str, scope: Scope, receive: Receive, send: Send) -> None:
    # The rest of the body is not read, so the connection cannot be used again.
    await JSONResponse({"error": reason}, status_code=status, headers={"connection": "close"})(scope, receive, send)

"""What the service does not put up with: bodies that cannot be read in one way only, and a life without supervisor."""

from __future__ import annotations

import ctypes
import json
import logging
import signal
import sys
from http import HTTPStatus
from typing import Any

from bentoml.exceptions import BentoMLException
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PR_SET_PDEATHSIG = 1
JSON = "application/json"
# What gzip begins with, whatever the headers say.
GZIP = b"\x1f\x8b"


def end_with_parent() -> None:
    """Have the kernel end this process when the one that started it dies (Linux, prctl(2)).

    Otherwise a worker whose `bentoml serve` was killed would hold the port for ever, and no other could be started.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def log_no_refusals() -> None:
    """A request that is refused is counted by its status; its traceback would put the caller's values into the log."""
    logging.getLogger("bentoml._internal.server.http_app").addFilter(_is_no_refusal)


def _is_no_refusal(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    refused = isinstance(error, BentoMLException) and error.error_code < HTTPStatus.INTERNAL_SERVER_ERROR
    return not (refused or isinstance(error, ValidationError | ClientDisconnect))


class RepeatedKeyError(Exception):
    """An object of the body has the same key twice: one parser takes the first value, another the last."""


class RequestLimits:
    """ASGI middleware: 415 for no JSON or a compressed body, 413 beyond `body_bytes`, 400 for a repeated key."""

    def __init__(self, app: ASGIApp, body_bytes: int) -> None:
        self.app = app
        self.body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1").strip().lower() for name, value in scope["headers"]}
        if reason := _unreadable(headers):
            await _refuse(415, reason, scope, receive, send)
            return
        length = headers.get(b"content-length", "0")
        messages = [] if length.isdigit() and int(length) > self.body_bytes else await self._received(receive)
        if not messages:
            reason = f"the body is larger than {self.body_bytes} bytes; send fewer rows in one request"
            await _refuse(413, reason, scope, receive, send)
            return
        body = b"".join(message.get("body", b"") for message in messages)
        if body.startswith(GZIP):
            await _refuse(415, _compressed("gzip"), scope, receive, send)
        elif (key := repeated(body)) is not None:
            reason = f"the key {key[:200]!r} stands twice in one object of the body; send each key once"
            await _refuse(400, reason, scope, receive, send)
        else:
            await self.app(scope, _again(messages, receive), send)

    async def _received(self, receive: Receive) -> list[Message]:
        """The whole body, or what came until the caller left; nothing of one that is too large."""
        messages, size = list[Message](), 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self.body_bytes:
                return []
            if not message.get("more_body"):
                return messages


def _unreadable(headers: dict[bytes, str]) -> str | None:
    """Why a body with these headers is not even looked at; None if it is."""
    kind, *parameters = (part.strip() for part in headers.get(b"content-type", JSON).split(";"))
    if kind != JSON:
        return f"the body must be JSON; send content-type: {JSON}"
    charsets = [part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")]
    if set(charsets) - {"utf-8", "utf8", "us-ascii"}:
        return f"the body is sent as {charsets[0]}, and JSON is UTF-8; encode it so"
    encoding = headers.get(b"content-encoding", "")
    return _compressed(encoding) if encoding not in ("", "identity") else None


def _compressed(encoding: str) -> str:
    return f"the body is compressed ({encoding}), which is not supported; send it as it is, without content-encoding"


def repeated(body: bytes) -> str | None:
    """A key that stands twice in one object; None also of what is no JSON, which the request's form refuses."""
    try:
        json.loads(body, object_pairs_hook=_require_unique)
    except RepeatedKeyError as error:
        return str(error)
    except (ValueError, RecursionError):
        return None
    return None


def _require_unique(pairs: list[tuple[str, Any]]) -> None:
    seen = set[str]()
    for key, _ in pairs:
        if key in seen:
            raise RepeatedKeyError(key)
        seen.add(key)


def _again(messages: list[Message], receive: Receive) -> Receive:
    """Hands out what was received already, then what is still to come: that the caller has left."""
    waiting = iter(messages)

    async def received() -> Message:
        return next(waiting, None) or await receive()

    return received


async def _refuse(status: int, reason: str, scope: Scope, receive: Receive, send: Send) -> None:
    # The rest of the body is not read, so the connection cannot be used again.
    headers = {"connection": "close"} | ({"accept-encoding": "identity"} if status == 415 else {})
    await JSONResponse({"error": reason}, status_code=status, headers=headers)(scope, receive, send)

"""The short way: a row that is plainly valid is answered before any framework has seen the request.

What is not plainly valid goes the long way as it came. BentoML's middleware has its reasons, so the short way is closed
where there is any that it does not know.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bentoml._internal.configuration.containers import BentoMLContainer
from pydantic import BaseModel
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gitops_serving.answering import Answering, Said, caller_id
from gitops_serving.connection import stand_before
from gitops_serving.series import Series
from gitops_serving.together import Score

METRICS = "bentoml._internal.server.http.instruments.RunnerTrafficMetricsMiddleware"
# What stands between the server and the route, and is done here too, or has nothing to do with what is plainly valid.
KNOWN = {
    METRICS,
    "starlette.middleware.errors.ServerErrorMiddleware",
    "opentelemetry.instrumentation.asgi.OpenTelemetryMiddleware",
    "bentoml._internal.server.http.traffic.TimeoutMiddleware",
    "gitops_serving.short.ShortWay",
    "gitops_serving.log.RequestLog",
    "gitops_serving.limits.RequestLimits",
    "_bentoml_impl.server.app.ContextMiddleware",
    "starlette.middleware.exceptions.ExceptionMiddleware",
}

_log = logging.getLogger(__name__)


class ShortWay:
    """ASGI middleware: when the server starts, opens a short way past all middleware, or says why not."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        request: type[BaseModel],
        answer: type[BaseModel],
        told: Callable[[Score], dict[str, Any]],
        body_bytes: int,
        route: str = "/predict",
    ) -> None:
        """Open a way to a route that takes `{"row": {...}}`.

        Args:
            app: what stands behind.
            request: what a body must be.
            answer: what the answer is.
            told: the fields of the answer about a row, by its score.
            body_bytes: a larger body goes the long way.
            route: the path.
        """
        self.app = app
        self.options: dict[str, Any] = {
            "route": route,
            "request": request,
            "answer": answer,
            "told": told,
            "body_bytes": body_bytes,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        # Its level has switched uvicorn's own access log off; without a handler, no line is put together either.
        logging.getLogger("uvicorn.access").propagate = False
        whole, layers = scope["app"], {_name(layer): layer for layer in _layers(scope["app"].middleware_stack)}
        way = Shortened(whole.middleware_stack, layers, **self.options)
        if reason := _unknown(set(layers)):
            _log.warning("every request goes the long way, which is slow: %s", reason)
        else:
            whole.middleware_stack = way
        await self.app(scope, receive, send)
        way.answering.flush()


class Shortened:
    """A whole server, before which the short way is."""

    def __init__(self, app: ASGIApp, layers: dict[str, Any], *, route: str, **options: Any) -> None:
        short, self.long = ways()
        # BentoML can be told to have no metrics.
        series = Series(short, layers.get(METRICS), route)
        self.app, self.answering = app, Answering(route=route, series=series, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"] == self.answering.route and scope["method"] == "POST":
                await self._short(scope, receive, send)
                return
            if scope["path"] == "/metrics":
                self.answering.flush()
        await self.app(scope, receive, send)

    async def _short(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer here if that can be done, else the long way, by what was received."""
        start = time.perf_counter()
        asked = caller_id(scope["headers"])
        if asked is not None:
            message = await receive()
            values = self._values(message)
            if values and (said := await self.answering.scored(values)):
                await self._respond(start, asked, values, said, send)
                return
            receive = _again(message, receive)
        self.long.inc()
        await self.app(scope, receive, send)

    def _values(self, message: Message) -> list[Any] | None:
        """The row of a whole body."""
        if message["type"] != "http.request" or message.get("more_body"):
            return None
        return self.answering.values(message.get("body", b""))

    async def _respond(self, start: float, asked: bytes, values: Sequence[Any], said: Said, send: Send) -> None:
        answering = self.answering
        name, request = answering.ids(asked)
        headers = answering.headers(name, request, said.text)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said.text})
        answering.done(start, name, request, values, said)
        if answering.together is None:
            stand_before(getattr(send, "__self__", None), answering)


@functools.cache
def ways() -> tuple[Any, Any]:
    """Counters of requests for one row, by the way that they went: the short one, and the long one."""
    # prometheus_client looks at its environment when it is imported; BentoML has set that by now.
    from prometheus_client import Counter  # noqa: PLC0415

    counted = Counter("prediction_way", "Requests for one row by the way that they went", ["way"])
    return counted.labels("short"), counted.labels("long")


def _again(message: Message, receive: Receive) -> Receive:
    """Hands out what was received already, then what is still to come."""
    waiting = [message]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received


def _layers(outermost: Any) -> Iterator[Any]:
    """Everything between the server and the routes."""
    layer = outermost
    while not isinstance(layer, Router):
        yield layer
        layer = layer.app


def _name(layer: Any) -> str:
    return f"{type(layer).__module__}.{type(layer).__qualname__}"


def _unknown(layers: set[str]) -> str:
    """What the short way does not do, and would have to; nothing if there is nothing such."""
    tracing, http = BentoMLContainer.tracing, BentoMLContainer.http
    if layers - KNOWN:
        return f"there is {', '.join(sorted(layers - KNOWN))}"
    if tracing.exporter_type.get() or tracing.excluded_urls.get() or http.response.trace_id.get():
        return "requests are traced"
    return ""

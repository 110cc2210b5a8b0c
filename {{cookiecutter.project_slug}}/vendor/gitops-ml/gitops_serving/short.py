"""The short way: a row that is plainly valid is answered before any framework has seen the request.

Validation, answer, ids, metrics and log are those of the long way, to the byte; what is not plainly valid goes that way
as it came. BentoML's middleware has its reasons, so the short way is closed where there is any that it does not know.
"""

from __future__ import annotations

import functools
import gc
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import bentoml
from bentoml._internal.configuration.containers import BentoMLContainer
from pydantic import BaseModel, ValidationError
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gitops_serving.limits import JSON, repeated
from gitops_serving.log import SANE_ID, Ids
from gitops_serving.records import Answered, PredictionLog
from gitops_serving.series import Series
from gitops_serving.together import Score, Together

if TYPE_CHECKING:
    from gitops_serving.fast import Scorer

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
        way.series.flush()


class Answer(NamedTuple):
    """What is said of a row."""

    score: Score
    decision: str | None
    text: bytes


class Shortened:
    """A whole server, before which the short way is."""

    def __init__(
        self,
        app: ASGIApp,
        layers: dict[str, Any],
        *,
        route: str,
        request: type[BaseModel],
        answer: type[BaseModel],
        told: Callable[[Score], dict[str, Any]],
        body_bytes: int,
    ) -> None:
        self.app, self.route, self.told, self.body_bytes = app, route, told, body_bytes
        self.validate, self.valid = request.__pydantic_validator__.validate_json, answer.__pydantic_validator__
        self.to_json = answer.__pydantic_serializer__.to_json
        # With all columns there, and none besides, more colons than that are in texts, or belong to a repeated key.
        self.colons = 1 + len(request.model_fields["row"].annotation.model_fields)  # type: ignore[union-attr]
        self.headers = [
            (b"content-type", JSON.encode()),
            (b"server", f"BentoML Service/{bentoml.server_context.service_name}".encode()),
        ]
        short, self.long = ways()
        # BentoML can be told to have no metrics.
        self.series = Series(short, layers.get(METRICS), route)
        self.scorer: Scorer
        self.log: PredictionLog | None
        self.together: Together | None = None
        self.is_met = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"] == self.route and scope["method"] == "POST":
                await self._short(scope, receive, send)
                return
            if scope["path"] == "/metrics":
                self.series.flush()
        await self.app(scope, receive, send)

    async def _short(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer here if that can be done, else the long way, by what was received."""
        start = time.perf_counter()
        said = _plain(scope)
        if said is not None:
            message = await receive()
            values = self._values(message)
            if values and (answer := await self._scored(values)):
                await self._respond(start, said, values, answer, send)
                return
            receive = _again(message, receive)
        self.long.inc()
        await self.app(scope, receive, send)

    def _values(self, message: Message) -> list[Any] | None:
        """The row of a whole body that is valid, and can be read in one way only."""
        if message["type"] != "http.request" or message.get("more_body"):
            return None
        body = message.get("body", b"")
        if len(body) > self.body_bytes:
            return None
        try:
            row = self.validate(body).row
        except ValidationError:
            return None
        if body.count(b":") != self.colons and repeated(body) is not None:
            return None
        return list(row.__dict__.values())

    async def _scored(self, values: Sequence[Any]) -> Answer | None:
        """The answer about a row; None where the long way says what is wrong."""
        try:
            if not self.is_met:
                self._meet()
            if self.together is None:
                score = self.scorer.one(values)
            else:
                with self.series.in_progress():
                    score = await self.together.one(values)
            fields = self.told(score)
            return Answer(score, fields.get("decision"), self.to_json(self.valid.validate_python(fields)))
        except Exception:  # the long way meets it too, and answers as it does
            return None

    async def _respond(self, start: float, said: str, values: Sequence[Any], answer: Answer, send: Send) -> None:
        name = f"{random.getrandbits(128):032x}"
        ids = Ids(name, said if said and SANE_ID.fullmatch(said) else name)
        headers = [
            (b"content-length", b"%d" % len(answer.text)),
            *self.headers,
            (b"x-bentoml-request-id", b"%016x" % random.getrandbits(64)),
            (b"x-request-id", ids.request.encode()),
            (b"x-answer-id", name.encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.text})
        seconds = time.perf_counter() - start
        self.series.add(seconds)
        if self.log:
            began = time.time() - seconds
            self.log.answered(Answered(began, ids, self.route, seconds, values, answer.score, answer.decision))

    def _meet(self) -> None:
        """The service itself, which is there once the server has started."""
        service = bentoml.get_current_service()
        self.scorer, self.log = service.scorer, service.log
        self.together = None if self.scorer.tier == "fast" else Together(self.scorer)
        self.is_met = True
        # What there is now stays, so the collector of garbage need not look at it again and again.
        gc.collect()
        gc.freeze()


@functools.cache
def ways() -> tuple[Any, Any]:
    """Counters of requests for one row, by the way that they went: the short one, and the long one."""
    # prometheus_client looks at its environment when it is imported; BentoML has set that by now.
    from prometheus_client import Counter  # noqa: PLC0415

    counted = Counter("prediction_way", "Requests for one row by the way that they went", ["way"])
    return counted.labels("short"), counted.labels("long")


def _plain(scope: Scope) -> str | None:
    """The id that the caller gave to a request whose headers say no more of its body than that it is JSON."""
    kinds, said = 0, b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            kinds += 1 if value == b"application/json" else 2
        elif name in (b"content-encoding", b"transfer-encoding"):
            return None
        elif name == b"x-request-id":
            said = value
    return said.decode("latin-1") if kinds == 1 else None


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

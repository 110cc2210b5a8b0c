"""What a row that is plainly valid is answered, whichever part of the server has read it.

Validation, answer, headers, metrics and log are those of the long way, to the byte. What is counted and written down is
gathered for a moment, so that many answers cost little more than one.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import bentoml
from pydantic import BaseModel, ValidationError

from gitops_serving.limits import JSON, repeated
from gitops_serving.log import SANE_ID
from gitops_serving.records import Answered, PredictionLog
from gitops_serving.series import Series
from gitops_serving.together import Score, Together

if TYPE_CHECKING:
    from gitops_serving.fast import Scorer

Headers = list[tuple[bytes, bytes]]
KIND = JSON.encode()
GATHER_SECONDS = 0.1
# So many are told at once; more would keep the loop from its work.
MOST = 500


class Said(NamedTuple):
    """What is said of a row: the text is the body of the answer."""

    score: Score
    decision: str | None
    text: bytes


class Answering:
    """Answers about rows of one service, which is there once the server has started."""

    def __init__(
        self,
        *,
        route: str,
        request: type[BaseModel],
        answer: type[BaseModel],
        told: Callable[[Score], dict[str, Any]],
        body_bytes: int,
        series: Series,
    ) -> None:
        """Answer at a route that takes `{"row": {...}}`.

        Args:
            route: the path.
            request: what a body must be.
            answer: what the answer is.
            told: the fields of the answer about a row, by its score.
            body_bytes: a larger body is not plain.
            series: the metrics of these answers.
        """
        self.route, self.body_bytes, self.series, self.told = route, body_bytes, series, told
        self.validate, self.valid = request.__pydantic_validator__.validate_json, answer.__pydantic_validator__
        self.to_json = answer.__pydantic_serializer__.to_json
        # With all columns there, and none besides, more colons than that are in texts, or belong to a repeated key.
        self.colons = 1 + len(request.model_fields["row"].annotation.model_fields)  # type: ignore[union-attr]
        self.server = f"BentoML Service/{bentoml.server_context.service_name}".encode()
        self.answered: list[Answered] = []
        self.timer: asyncio.TimerHandle | None = None
        self.scorer: Scorer
        self.log: PredictionLog | None
        self.together: Together | None = None
        self.is_met = False

    def values(self, body: bytes) -> list[Any] | None:
        """The row of a body that is valid, and can be read in one way only."""
        if len(body) > self.body_bytes:
            return None
        try:
            row = self.validate(body).row
        except ValidationError:
            return None
        if body.count(b":") != self.colons and repeated(body) is not None:
            return None
        return list(row.__dict__.values())

    def at_once(self, values: Sequence[Any]) -> Said | None:
        """The answer about a row by the fast form; None where another way says what is wrong."""
        try:
            return self._said(self.scorer.at_once(values))
        except Exception:  # the long way meets it too, off the loop, and answers as it does
            return None

    async def scored(self, values: Sequence[Any]) -> Said | None:
        """The answer about a row, after others if scoring takes its time."""
        try:
            if not self.is_met:
                self._meet()
            if self.together is None:
                return self.at_once(values)
            with self.series.in_progress():
                return self._said(await self.together.one(values))
        except Exception:  # the long way meets it too, and answers as it does
            return None

    def ids(self, said: bytes) -> tuple[bytes, bytes]:
        """A new id of an answer, and that of its request: as its caller said, if that is an id."""
        name = b"%032x" % random.getrandbits(128)
        return name, said if said and SANE_ID.fullmatch(said.decode("latin-1")) else name

    def headers(self, name: bytes, request: bytes, text: bytes) -> Headers:
        """The headers of an answer with that text."""
        return [
            (b"content-length", b"%d" % len(text)),
            (b"content-type", KIND),
            (b"server", self.server),
            (b"x-bentoml-request-id", b"%016x" % random.getrandbits(64)),
            (b"x-request-id", request),
            (b"x-answer-id", name),
        ]

    def done(self, start: float, name: bytes, request: bytes, values: Sequence[Any], said: Said) -> None:
        """Have an answer counted and written down that was begun at `start` of `time.perf_counter`."""
        seconds = time.perf_counter() - start
        self.answered.append(
            Answered(time.time() - seconds, name.decode(), request.decode(), seconds, values, said.score, said.decision)
        )
        # By the loop, which goes on whatever happens to metrics and log.
        if len(self.answered) == MOST:
            asyncio.get_running_loop().call_soon(self.flush)
        elif self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)

    def flush(self) -> None:
        """Count and write down what was gathered."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        answered, self.answered = self.answered, []
        if answered:
            if self.log:
                self.log.answered(self.route, answered)
            self.series.add([each.seconds for each in answered])

    def _said(self, score: Score) -> Said:
        fields = self.told(score)
        return Said(score, fields.get("decision"), self.to_json(self.valid.validate_python(fields)))

    def _meet(self) -> None:
        service = bentoml.get_current_service()
        self.scorer, self.log = service.scorer, service.log
        self.together = None if self.scorer.tier == "fast" else Together(self.scorer)
        self.is_met = True
        # What there is now stays, so the collector of garbage need not look at it again and again.
        gc.collect()
        gc.freeze()


def caller_id(headers: Headers) -> bytes | None:
    """The id that the caller gave to a request; None if its headers say more of its body than that it is JSON.

    Names are in lower case.
    """
    kinds, said = 0, b""
    for name, value in headers:
        if name == b"content-type":
            kinds += 1 if value == KIND else 2
        elif name in (b"content-encoding", b"transfer-encoding"):
            return None
        elif name == b"x-request-id":
            said = value
    return said if kinds == 1 else None

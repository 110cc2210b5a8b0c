"""The service. Started inside a Bento, where `gitops-ml model package` put the model, the schema and version.json."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import bentoml
import yaml
from gitops_serving.contract import answers, requests, to_answer, to_answers, values
from gitops_serving.limits import RequestLimits, end_with_parent, log_no_refusals
from gitops_serving.log import RequestLog
from gitops_serving.page import Page
from gitops_serving.records import PredictionLog
from gitops_serving.short import ShortWay
from gitops_serving.sink import Sink, opened
from gitops_serving.version import Version
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from pipeline.decision import Decision, policy
from pipeline.schema import Schema

ROOT = Path(__file__).resolve().parent.parent
PROJECT = yaml.safe_load((ROOT / "project.yaml").read_text())
SCHEMA = Schema.model_validate(yaml.safe_load((ROOT / "schema.yaml").read_text()))
SingleRequest, BatchRequest = requests(SCHEMA, PROJECT["service"]["batch_rows"])
POLICY = policy(Decision.model_validate(PROJECT["decision"]) if PROJECT.get("decision") else None, SCHEMA)
Prediction, Predictions = answers(SCHEMA, POLICY)


@functools.cache
def release() -> Version:
    """What is serving."""
    return Version.model_validate_json((ROOT / "version.json").read_bytes())


def told(score: float | list[float]) -> dict[str, Any]:
    """The answer about one row."""
    return to_answer(score, SCHEMA, POLICY) | {"release": release().release}


@functools.cache
def sink() -> Sink | None:
    """Where answers are written down; None if nobody wants that."""
    return opened(PROJECT["log"])


@functools.cache
def page() -> Page:
    """What is shown to whoever looks at the service in a browser."""
    return Page(PROJECT, release(), Model.openapi_spec.asdict())  # type: ignore[attr-defined]


async def index(request: Request) -> HTMLResponse:
    """GET /, instead of BentoML's own page, which asks other hosts for its scripts."""
    return page().answer(request)


async def version(_: Request) -> JSONResponse:
    """GET /version. BentoML's own methods answer POST alone."""
    return JSONResponse(release().model_dump() | {"tier": bentoml.get_current_service().scorer.tier})


# A line in a log for each request would take longer than the answer, and fill the disk some day; /metrics counts them.
# bentoml has both a function and a module `service`, and mypy sees the module.
@bentoml.service(workers=1, logging={"access": {"enabled": False}})  # type: ignore[operator]
@bentoml.asgi_app(Starlette(routes=[Route("/", index), Route("/version", version)]), path="/")
class Model:
    """Scores rows with the model of one release."""

    def __init__(self) -> None:
        # BentoML's supervisor imports this file, too, and scores nothing.
        from gitops_serving.fast import apart  # noqa: PLC0415

        end_with_parent()
        log_no_refusals()
        # The agent says by which way the release was proven; another processor may need a slower one.
        self.scorer = apart.scorer(ROOT, os.environ.get("SERVING_TIER", ""))
        self.log = (
            PredictionLog(found, SCHEMA, PROJECT["log"], release().release, release().model)
            if (found := sink())
            else None
        )

    @bentoml.api(input_spec=SingleRequest, output_spec=Prediction)
    def predict(self, row: BaseModel) -> BaseModel:
        """Score one row."""
        score = self.scorer.one(values(row))
        found = told(score)
        self._write([row], [score], [found["decision"]] if POLICY else None)
        return Prediction.model_validate(found)

    @bentoml.api(input_spec=BatchRequest, output_spec=Predictions)
    def predict_batch(self, rows: list[BaseModel]) -> BaseModel:
        """Score many rows; the answers are in the order of the rows."""
        scores = self.scorer.many([values(row) for row in rows])
        found = to_answers(scores, SCHEMA, POLICY)
        self._write(rows, scores.tolist(), found.get("decisions"))
        return Predictions.model_validate(found | {"release": release().release})

    def _write(self, rows: list[BaseModel], scores: list[Any], decisions: list[str] | None) -> None:
        if self.log:
            self.log.write([values(row) for row in rows], scores, decisions)


# The first is the outermost: what the limits refuse is written down too. The short way passes them all by; a middleware
# of your own closes it, and a row then takes a hundred times as long. Take it out if that is what you want.
Model.add_asgi_middleware(  # type: ignore[attr-defined]
    ShortWay, request=SingleRequest, answer=Prediction, told=told, body_bytes=PROJECT["service"]["body_bytes"]
)
Model.add_asgi_middleware(RequestLog, sink=sink, routes=("/predict", "/predict_batch"))  # type: ignore[attr-defined]
Model.add_asgi_middleware(RequestLimits, body_bytes=PROJECT["service"]["body_bytes"])  # type: ignore[attr-defined]

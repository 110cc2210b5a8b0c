"""The service. Started inside a Bento, where `gitops-ml model package` put the model, the schema and version.json."""

from __future__ import annotations

import functools
import logging
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bentoml
import yaml
from bentoml.exceptions import BentoMLException
from gitops_serving.contract import answers, plural, requests, to_answers, to_table
from gitops_serving.limits import RequestLimits, end_with_parent
from gitops_serving.log import RequestLog
from gitops_serving.page import Page
from gitops_serving.records import PredictionLog
from gitops_serving.sink import Sink, opened
from gitops_serving.version import Version
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from pipeline import model, persistence
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
    return JSONResponse(release().model_dump())


# bentoml has both a function and a module `service`, and mypy sees the module.
@bentoml.service(workers=1)  # type: ignore[operator]
@bentoml.asgi_app(Starlette(routes=[Route("/", index), Route("/version", version)]), path="/")
class Model:
    """Scores rows with the model of one release."""

    def __init__(self) -> None:
        end_with_parent()
        logging.getLogger("bentoml._internal.server.http_app").addFilter(_is_no_bad_request)
        facts = persistence.ModelFacts.model_validate_json((ROOT / "models/model.json").read_bytes())
        content = (ROOT / "models/model.skops").read_bytes()
        if facts.features != list(SCHEMA.features):
            raise persistence.ModelError("the model was trained on other columns than schema.yaml has")
        self.pipeline = persistence.load(content, facts, PROJECT["trusted_types"])
        self.log = (
            PredictionLog(found, SCHEMA, PROJECT["log"], release().release, release().model)
            if (found := sink())
            else None
        )

    @bentoml.api(input_spec=SingleRequest, output_spec=Prediction)
    def predict(self, row: BaseModel) -> BaseModel:
        """Score one row."""
        found = self._answers([row])
        wanted = set(Prediction.model_fields) - {"release"}
        return Prediction.model_validate(
            {name: found[plural(name)][0] for name in wanted} | {"release": release().release}
        )

    @bentoml.api(input_spec=BatchRequest, output_spec=Predictions)
    def predict_batch(self, rows: list[BaseModel]) -> BaseModel:
        """Score many rows; the answers are in the order of the rows."""
        return Predictions.model_validate(self._answers(rows) | {"release": release().release})

    def _answers(self, rows: list[BaseModel]) -> dict[str, list[Any]]:
        table = to_table(rows, SCHEMA)
        scores = model.score(self.pipeline, table)
        found = to_answers(scores, SCHEMA, POLICY)
        if self.log:
            self.log.write(table, scores, found.get("decisions"))
        return found


# The first is the outermost: what the limits refuse is written down too.
Model.add_asgi_middleware(RequestLog, sink=sink, routes=("/predict", "/predict_batch"))  # type: ignore[attr-defined]
Model.add_asgi_middleware(RequestLimits, body_bytes=PROJECT["service"]["body_bytes"])  # type: ignore[attr-defined]


def _is_no_bad_request(record: logging.LogRecord) -> bool:
    """A request that is refused stands in the access log; its traceback would put the caller's values into the log."""
    error = record.exc_info[1] if record.exc_info else None
    refused = isinstance(error, BentoMLException) and error.error_code < HTTPStatus.INTERNAL_SERVER_ERROR
    return not (refused or isinstance(error, ValidationError | ClientDisconnect))

"""Every answer has an id and a line of its own; what can be read in two ways, or not at all, is refused and named."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from gitops_ml.predictions import stored
from gitops_serving.limits import RequestLimits
from gitops_serving.log import RequestLog, current_ids
from gitops_serving.records import PredictionLog
from gitops_serving.sink import Sink
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.automation.serving.test_log import LIMITS, ROWS, SCHEMA, SCORES, lines_of

BODY_BYTES = 10_000


async def echo(request: Request) -> JSONResponse:
    """What was received, or an accident."""
    body = await request.body()
    if body == b'"accident"':
        raise RuntimeError("on purpose")
    return JSONResponse({"received": len(body), "answer": current_ids.get().answer})


def asked(*calls: dict[str, Any], sink: Sink | None = None, route: str = "/predict") -> list[httpx.Response]:
    """The answers to POST requests, through the middleware as the service has it."""
    app = Starlette(routes=[Route(path, echo, methods=["GET", "POST"]) for path in ("/predict", "/readyz")])
    limited = RequestLimits(app, BODY_BYTES)
    logged = RequestLog(limited, sink=lambda: sink, routes=("/predict",))

    async def all_of_them() -> list[httpx.Response]:
        transport = httpx.ASGITransport(logged, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return [await client.post(route, **call) for call in calls]

    return asyncio.run(all_of_them())


def test_each_answer_has_an_id_of_its_own_beside_the_callers(tmp_path: Path) -> None:
    """Calls that share the caller's id differ by the answer's; both stand in the headers and in the log."""
    sink = Sink(tmp_path, **LIMITS)
    call = {"json": {}, "headers": {"x-request-id": "session-1"}}
    answers = asked(call, call, {"json": {}}, {"json": {}, "headers": {"x-request-id": "no id\\"}}, sink=sink)
    sink.close()
    lines = lines_of(tmp_path)
    ids = [answer.headers["x-answer-id"] for answer in answers]
    assert len(set(ids)) == 4
    assert [line["answer"] for line in lines] == ids == [answer.json()["answer"] for answer in answers]
    # Where the caller has none, or one that could be anything, the answer's own stands for it.
    wanted = ["session-1", "session-1", *ids[2:]]
    assert [answer.headers["x-request-id"] for answer in answers] == wanted == [line["request"] for line in lines]


def test_what_became_of_a_request_is_written_down(tmp_path: Path) -> None:
    """Answered, refused and failed requests have their status and time in the log; probes are not in it."""
    sink = Sink(tmp_path, **LIMITS)
    asked({"json": {}}, {"content": b"x" * (BODY_BYTES + 1)}, {"json": "accident"}, sink=sink)
    asked({"json": {}}, sink=sink, route="/readyz")
    sink.close()
    lines = lines_of(tmp_path)
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/predict", 200),
        ("/predict", 413),
        ("/predict", 500),
    ]
    assert all(line["ms"] >= 0 for line in lines)


def test_without_a_folder_an_answer_has_its_id_all_the_same() -> None:
    """Where nothing is written down, requests are answered as they are where it is."""
    [answer] = asked({"json": {}})
    assert (answer.status_code, answer.json()["answer"]) == (200, answer.headers["x-answer-id"])


def test_rows_are_written_down_under_the_ids_of_their_request(tmp_path: Path) -> None:
    """The line of the rows has both ids that the line of the request has."""
    sink = Sink(tmp_path, **LIMITS)
    log = PredictionLog(sink, SCHEMA, {"sample": 1.0, "redact": []}, "r", "m")

    async def scoring(request: Request) -> JSONResponse:
        log.write(ROWS, SCORES)
        return JSONResponse({})

    app = RequestLog(Starlette(routes=[Route("/predict", scoring)]), sink=lambda: sink, routes=("/predict",))

    async def call() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            return await client.get("/predict", headers={"x-request-id": "mine"})

    answer = asyncio.run(call())
    sink.close()
    rows, request = lines_of(tmp_path)
    assert (rows["answer"], rows["request"]) == (request["answer"], request["request"])
    assert (rows["answer"], rows["request"]) == (answer.headers["x-answer-id"], "mine")
    assert [row["answer"] for row in stored.rows(rows)] == [rows["answer"]] * 2


JSON_TYPE = {"content-type": "application/json"}
CODED = [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", bytes), ("zstd", bytes), ("GZIP, identity", bytes)]


@pytest.mark.parametrize(("encoding", "encode"), CODED, ids=[name for name, _ in CODED])
def test_a_compressed_body_is_refused_by_name(encoding: str, encode: Any) -> None:
    """Whatever coding is announced, the refusal names it and says what is taken instead."""
    headers = JSON_TYPE | {"content-encoding": encoding}
    [answer] = asked({"content": encode(b"{}"), "headers": headers})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert answer.json()["error"].startswith(f"the body is compressed ({encoding.lower()})")


def test_a_compressed_body_that_does_not_say_so_is_refused_by_name() -> None:
    """Bytes that gzip made are known without a header."""
    [answer] = asked({"content": gzip.compress(b"{}"), "headers": JSON_TYPE})
    assert (answer.status_code, answer.json()["error"][:29]) == (415, "the body is compressed (gzip)")


@pytest.mark.parametrize("kind", ["text/csv", "application/json; charset=utf-16", 'application/json;charset="latin-1"'])
def test_another_type_or_charset_is_refused(kind: str) -> None:
    """A body that is no JSON, or no UTF-8, gets a 415 that says so."""
    [answer] = asked({"content": b"{}", "headers": {"content-type": kind}})
    assert answer.status_code == 415
    assert "JSON" in answer.json()["error"]


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; Charset=UTF-8", "application/json; v=1"])
def test_json_by_any_of_its_names_is_taken(kind: str) -> None:
    """Case, charset and other parameters of the type do not matter, nor that nothing is encoded."""
    headers = {"content-type": kind, "content-encoding": "identity"}
    assert asked({"content": b"{}", "headers": headers})[0].status_code == 200


REPEATED = {
    "in a row": '{"row": {"temp": 1, "humid": 2, "temp": 3}}',
    "deep in a batch": '{"rows": [{"temp": 1}, {"a": [{"temp": 1, "temp": 1}]}]}',
    "on top": '{"temp": {}, "temp": {}}',
    "written in another way": '{"row": {"temp": 1, "t\\u0065mp": 2}}',
}


@pytest.mark.parametrize("body", REPEATED.values(), ids=REPEATED)
def test_a_key_that_stands_twice_is_refused_by_name(body: str) -> None:
    """Of two values for one key no parser can know which one is meant; the refusal names the key."""
    [answer] = asked({"content": body, "headers": JSON_TYPE})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the key 'temp' stands twice")


OTHER = {
    "rows": '{"rows": [{"temp": 1}, {"temp": 1}]}',
    "nested": '{"temp": {"temp": "temp"}}',
    "deep": "[" * 5000,
    "cut": '{"a": ',
    "empty": "",
    "long number": "9" * 5000,
    "no JSON": "\xff",
}


@pytest.mark.parametrize("body", OTHER.values(), ids=OTHER)
def test_whatever_else_comes_is_left_to_the_form_of_the_request(body: str) -> None:
    """Keys that occur once in each object, and bodies that are no JSON, reach the service byte for byte."""
    [answer] = asked({"content": body, "headers": JSON_TYPE})
    assert (answer.status_code, answer.json()["received"]) == (200, len(body.encode()))


def test_a_body_is_counted_as_it_comes() -> None:
    """A body of unknown length is refused once it is too large, and one in pieces is handed on whole."""

    async def pieces(count: int) -> Any:
        for _ in range(count):
            yield b" " * 1000

    small, large = asked({"content": pieces(10), "headers": JSON_TYPE}, {"content": pieces(11), "headers": JSON_TYPE})
    assert (small.status_code, small.json()["received"]) == (200, BODY_BYTES)
    assert large.status_code == 413
    assert json.loads(large.content)["error"].startswith(f"the body is larger than {BODY_BYTES} bytes")

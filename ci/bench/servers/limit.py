"""uvicorn with nothing but the fast form: no validation, no metrics, no log, no framework."""

from __future__ import annotations

from typing import Any

import orjson
from gitops_serving.contract import to_answer
from gitops_serving.fast import compiled
from served import COLUMNS, PIPELINE, POLICY, SCHEMA

SCORER = compiled(PIPELINE, SCHEMA)
HEADERS = [(b"content-type", b"application/json")]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer any request as one for a row."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    row = orjson.loads(body)["row"] if body else {}
    answer = to_answer(SCORER.one([row[name] for name in COLUMNS]), SCHEMA, POLICY) if row else {}
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": orjson.dumps(answer)})

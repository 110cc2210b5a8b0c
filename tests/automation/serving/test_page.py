"""The page at `/`: it says what there is to ask, from the service's own document, and asks nobody else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import re
import shlex
from pathlib import Path
from typing import Annotated, Any

import bentoml
import httpx
import pytest
from bentoml.validators import ContentType
from gitops_serving.contract import answers, requests
from gitops_serving.page import LOOKS, Page
from gitops_serving.version import Version
from pipeline.schema import Column, Schema
from starlette.applications import Starlette
from starlette.routing import Route

SETTINGS = {"title": "Flights <that> wait", "description": "Which ones", "service": {"body_bytes": 4000}}
VERSION = Version(release="flights:0123456789abcdef", model="a" * 64, data="b.dir", commit="c" * 40, modified=False)
LATE = Column(type="integer", role="target", minimum=0, maximum=1)
CLASSES = Column(type="category", role="target", categories=["early", "on time", "late"])
HOSTILE = "<script>alert(1)</script>'\"$(reboot)"
FEATURES = {
    "count": Column(type="integer", minimum=1, maximum=10, example=3, description="How <many>"),
    "id": Column(type="integer"),
    "below": Column(type="number", minimum=-7, maximum=-3),
    "maybe": Column(type="number", nullable=True, maximum=5),
    "kind": Column(type="category", categories=[f"k{each}" for each in range(20)]),
    "open": Column(type="category", open=True),
    "said": Column(type="text", example='it\'s "late" & so on\n; שלום'),
    "yes": Column(type="boolean"),
    "when": Column(type="datetime"),
    "there": Column(type="datetime", zoned=True, example="2026-01-01T10:00:00+01:00"),
    HOSTILE: Column(type="category", categories=[HOSTILE]),
}
TASKS = {"binary": LATE, "multiclass": CLASSES, "regression": Column(type="number", role="target")}


def service(schema: Schema, *, own: bool = False) -> Any:
    """A service of this schema that scores nothing, with a route of a team's own if it is to have one."""
    (one, many), (answer, several) = requests(schema, 100), answers(schema, None)

    class Model:
        @bentoml.api(input_spec=one, output_spec=answer)
        def predict(self, row: Any) -> Any:
            """Score one row."""

        @bentoml.api(input_spec=many, output_spec=several)
        def predict_batch(self, rows: Any) -> Any:
            """Score many rows."""

        if own:

            @bentoml.api
            def scan(self, picture: Annotated[Path, ContentType("image/png")], least: int = 3) -> str:
                """Read a picture."""
                return f"{picture} {least}"

    return bentoml.service(Model)


def shown(schema: Schema, host: str = "flights.example:8080", **options: bool) -> httpx.Response:
    """The page of a service, as it is answered."""
    page = Page(SETTINGS, VERSION, service(schema, **options).openapi_spec.asdict())

    async def index(request: Any) -> Any:
        return page.answer(request)

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=[Route("/", index)]))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.get("/", headers={"host": host})

    return asyncio.run(asked())


@pytest.fixture(scope="module", params=list(TASKS))
def schema(request: pytest.FixtureRequest) -> Schema:
    """Columns of all types, with and without an example, for each task."""
    return Schema(task=request.param, columns=FEATURES | {"late": TASKS[request.param]})


def bodies(page: str) -> list[str]:
    """The examples that stand in the forms."""
    return [html.unescape(each) for each in re.findall(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)]


def terminal(page: str) -> list[str]:
    """The lines for a terminal, as somebody copies them."""
    found = re.findall('<pre class="line">(.*?)</pre>', page, re.DOTALL)
    return [html.unescape(re.sub("<[^>]*>", "", each)) for each in found]


def test_it_names_title_release_routes_and_columns(schema: Schema) -> None:
    """Whoever opens it sees what it is, which release serves, each route, each column and each field of an answer."""
    page = shown(schema).text
    assert "<title>Flights &lt;that&gt; wait: API</title>" in page
    assert VERSION.release in page
    assert all(f'GET <a href="{path[1:]}">{path}</a>' in page for path in LOOKS)
    assert {"/version", "/docs.json", "/readyz", "/livez", "/metrics"} == set(LOOKS)
    assert all(f'POST <a href="#{path}">{path}</a>' in page for path in ("/predict", "/predict_batch"))
    assert set(schema.features) <= {html.unescape(each) for each in re.findall("<bdi>(.*?)</bdi>", page)}
    assert all(f"<bdi>{name}</bdi>" in page for name in answers(schema, None)[0].model_fields)
    assert "whole number, 1 to 10" in page
    assert "number, at most 5, or null" in page
    assert "larger than 4000 bytes" in page


def test_its_examples_are_taken_as_they_stand(schema: Schema) -> None:
    """What is filled in fits the schema: the columns' own examples, and what is allowed where they have none."""
    forms = requests(schema, 100)
    row, rows = (form.model_validate_json(body) for form, body in zip(forms, bodies(shown(schema).text), strict=True))
    assert row.row == rows.rows[0]
    assert row.row.model_dump(by_alias=True)["count"] == 3


def test_the_line_for_a_terminal_sends_the_example(schema: Schema) -> None:
    """A shell reads the line as it was meant, whatever the example holds, with the address that was asked."""
    page = shown(schema).text
    lines = terminal(page)
    for line, body, path in zip(lines, bodies(page), ("predict", "predict_batch"), strict=True):
        *before, sent = shlex.split(line)
        assert before == [
            *("curl", "-s", f"http://flights.example:8080/{path}"),
            *("-H", "content-type: application/json", "-d"),
        ]
        assert json.loads(sent) == json.loads(body)


def test_it_loads_nothing_and_runs_only_its_own_script(schema: Schema) -> None:
    """No address of another host stands in it, and the browser is told to run and apply nothing that was added."""
    answer = shown(schema)
    allowed = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        [content] = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        assert allowed[rule] == f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
    assert [allowed[rule] for rule in ("default-src", "connect-src")] == ["'none'", "'self'"]
    assert set(re.findall(r"https?://[^/\"' ]+", answer.text)) == {"http://flights.example:8080"}
    assert re.findall(r'(?:src|href)="(?!#|data:,|[a-z.]+")', answer.text) == []


@pytest.mark.parametrize("host", ["'; reboot; '", '"><script>alert(1)</script>', "a b", ""])
def test_a_strange_host_is_only_text(host: str) -> None:
    """What a caller says of the host breaks neither the page nor the line for a shell."""
    page = shown(Schema(columns=FEATURES | {"late": LATE}), host=host).text
    assert [len(shlex.split(line)) for line in terminal(page)] == [7, 7]
    assert "<script>alert" not in page


def test_a_route_of_the_teams_own_is_shown() -> None:
    """A route that was added to the service stands beside the others, also one that takes no JSON."""
    page = shown(Schema(columns=FEATURES | {"late": LATE}), own=True).text
    assert 'POST <a href="#/scan">/scan</a>' in page
    assert "Read a picture." in page
    assert len(bodies(page)) == 2


def test_a_wide_table_is_folded() -> None:
    """Of many columns the first ones are shown, and the others are a click away; so are the values of a column."""
    many = {f"column {position}": Column(type="number") for position in range(200)}
    page = shown(Schema(columns=many | FEATURES | {"late": LATE})).text
    assert "<summary>191 more</summary>" in page
    assert "<summary>12 more</summary>" in page
    assert page.count("<bdi>column ") == 200

"""GET /: what the service takes and answers, and an example to send; the page works offline and asks nobody else.

It is made of the service's own OpenAPI document, so what it shows is what there is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from gitops_serving.forms import Field, Forms, JsonSchema
from gitops_serving.version import Version

HERE = Path(__file__).parent
JSON = "application/json"
# The routes that answer GET; what BentoML's document says of its own is for people who run clusters.
LOOKS = {
    "/version": "What serves: the release, its source commit, the hashes of its model and data (JSON)",
    "/readyz": "200 when the service is ready for requests",
    "/livez": "200 as long as the process is alive; /healthz says the same",
    "/metrics": "Counters and times, in the form of Prometheus",
    "/docs.json": "OpenAPI: what this page says of POST, for programs",
}


@dataclass(frozen=True)
class Call:
    """A route that answers POST, and a body to send to it: written for people, and in one line."""

    path: str
    purpose: str
    takes: list[Field]
    answers: list[Field]
    body: str
    line: str


class Page:
    """The page of one release."""

    def __init__(self, settings: dict[str, Any], version: Version, document: dict[str, Any]) -> None:
        """Find what there is to show.

        Args:
            settings: project.yaml.
            version: what serves.
            document: the service's OpenAPI document.
        """
        style, script = ((HERE / name).read_text() for name in ("page.css", "page.js"))
        self.policy = (
            f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        # As a reader of /docs.json has it, in which every key is text.
        document = json.loads(json.dumps(document))
        forms = Forms(document["components"]["schemas"])
        posts = {path: methods["post"] for path, methods in document["paths"].items() if "post" in methods}
        used = [name for post in posts.values() for name in forms.used(_taken(post))]
        self.template = _environment().get_template("page.html")
        self.facts = {
            "settings": settings,
            "version": version,
            "calls": [_call(forms, path, post) for path, post in posts.items()],
            "forms": {name: forms.fields(forms.named[name]) for name in dict.fromkeys(used)},
            "looks": LOOKS,
            # Files of this folder, by whose hashes the browser knows them.
            "style": Markup(style),  # noqa: S704
            "script": Markup(script),  # noqa: S704
        }

    def answer(self, request: Request) -> HTMLResponse:
        """The page, with examples for the address at which it was asked for."""
        content = self.template.render(self.facts, address=str(request.base_url))
        return HTMLResponse(content, headers={"content-security-policy": self.policy, "cache-control": "no-cache"})


def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters["quoted"] = shlex.quote
    return found


def _call(forms: Forms, path: str, post: dict[str, Any]) -> Call:
    takes = _taken(post)
    example = forms.example(takes)
    return Call(
        path=path,
        purpose=post.get("description", ""),
        takes=forms.fields(takes),
        answers=forms.fields(_form(post["responses"]["200"])),
        body=json.dumps(example, ensure_ascii=False, indent=2),
        line=json.dumps(example, ensure_ascii=False),
    )


def _taken(post: dict[str, Any]) -> JsonSchema:
    return _form(post.get("requestBody", {}))


def _form(message: dict[str, Any]) -> JsonSchema:
    """The form of a body; empty if it is no JSON, as a team's own route may want it."""
    form: JsonSchema = message.get("content", {}).get(JSON, {}).get("schema", {})
    return form


def _hash(content: str) -> str:
    """How a Content-Security-Policy names what may run or be applied."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"

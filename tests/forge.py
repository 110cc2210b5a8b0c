"""A stand-in for GitHub: real Git, and the slice of its REST API that promotions use.

Every request that it gets and every response that it gives is held to GitHub's own description of its API, in the
version that the request asks for, as githubkit-schemas publishes it. So it can be wrong about what GitHub does, but not
about what GitHub accepts and answers.
"""

from __future__ import annotations

import json
import re
import threading
import types
import typing
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import githubkit_schemas.v2026_03_10.models as github
from pydantic import AnyUrl, BaseModel

from ci.shell import run

VERSION = "2026-03-10"
TOKEN = "not a secret"  # noqa: S105


class GitHub:
    """One repository `acme/late-flights` on a server of its own."""

    def __init__(self, origin: Path) -> None:
        self.origin = origin
        self.pulls: list[dict[str, Any]] = []
        self.comments: list[tuple[int, str]] = []
        self.statuses: list[dict[str, Any]] = []
        self.wrong: list[str] = []
        self.down = False
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What a workflow of this GitHub has in its environment."""
        return {
            "GITHUB_REPOSITORY": "acme/late-flights",
            "GITHUB_API_URL": f"http://127.0.0.1:{self.server.server_address[1]}",
            "GH_TOKEN": TOKEN,
        }

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Find the route, hold the request to its description, and answer."""
        for verb, shape, accepted, reply in self._routes():
            if verb == method and (found := re.fullmatch(shape, path)):
                if accepted is not None:
                    self._hold(accepted, body)
                return reply(found, query, body)
        self.wrong.append(f"{method} {path}: no such route here")
        return 404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}

    def _routes(self) -> list[tuple[str, str, type[BaseModel] | None, Callable[..., tuple[int, Any]]]]:
        at = r"/repos/acme/late-flights"
        return [
            ("GET", rf"{at}/pulls", None, self._list),
            ("POST", rf"{at}/pulls", github.ReposOwnerRepoPullsPostBody, self._open),
            ("PATCH", rf"{at}/pulls/(\d+)", github.ReposOwnerRepoPullsPullNumberPatchBody, self._close),
            ("PUT", rf"{at}/pulls/(\d+)/merge", github.ReposOwnerRepoPullsPullNumberMergePutBody, self._merge),
            (
                "POST",
                rf"{at}/issues/(\d+)/comments",
                github.ReposOwnerRepoIssuesIssueNumberCommentsPostBody,
                self._comment,
            ),
            ("POST", rf"{at}/statuses/([0-9a-f]+)", github.ReposOwnerRepoStatusesShaPostBody, self._status),
        ]

    def _list(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        wanted = [
            self._shown(github.PullRequestSimple, pull)
            for pull in self.pulls
            if pull["state"] == query.get("state", "open") and query.get("head", "") in ("", f"acme:{pull['head']}")
        ]
        return 200, wanted

    def _open(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        pull = {**body, "number": len(self.pulls) + 1, "state": "open"}
        self.pulls.append(pull)
        return 201, self._shown(github.PullRequest, pull)

    def _close(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        pull = self._pull(found)
        pull.update(body)
        return 200, self._shown(github.PullRequest, pull)

    def _merge(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        pull = self._pull(found)
        if self._tip(pull["head"]) != body["sha"]:
            return 409, {"message": "Head branch was modified. Review and try the merge again."}
        # Rebasing on GitHub gives commits of GitHub's own, whatever they are rebased onto.
        tree, parent = f"{body['sha']}^{{tree}}", self._tip(pull["base"])
        made = run("git", "commit-tree", tree, "-p", parent, "-m", f"Merged #{pull['number']}", cwd=self.origin).strip()
        run("git", "update-ref", f"refs/heads/{pull['base']}", made, parent, cwd=self.origin)
        pull.update(state="closed", merged=True)
        return 200, self._filled(github.PullRequestMergeResult, sha=made, merged=True, message="merged")

    def _comment(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        self.comments.append((int(found[1]), body["body"]))
        return 201, self._filled(github.IssueComment, body=body["body"])

    def _status(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        self.statuses.append({**body, "sha": found[1]})
        return 201, self._filled(github.Status, **body)

    def _pull(self, found: re.Match[str]) -> dict[str, Any]:
        return self.pulls[int(found[1]) - 1]

    def _tip(self, branch: str) -> str:
        return run("git", "rev-parse", f"refs/heads/{branch}", cwd=self.origin).strip()

    def _shown(self, form: type[BaseModel], pull: dict[str, Any]) -> Any:
        facts = {name: pull[name] for name in ("number", "state", "title", "body")}
        return self._filled(form, **facts, html_url=f"https://github.com/acme/late-flights/pull/{pull['number']}")

    def _hold(self, form: type[BaseModel], body: Any) -> None:
        try:
            form.model_validate(body)
        except ValueError as error:
            self.wrong.append(str(error))
        known = {field.alias or name for name, field in form.model_fields.items()}
        self.wrong += [f"{form.__name__} has no {name}" for name in body if name not in known]

    def _filled(self, form: type[BaseModel], **facts: Any) -> Any:
        """A response that has all that GitHub says it has; what does not matter here is filled in."""
        whole = _example(form) | facts
        return json.loads(form.model_validate(whole).model_dump_json(by_alias=True, exclude_unset=True))


def _example(form: Any) -> Any:  # noqa: PLR0911 - one for each kind of type
    """Some value of a type, with all that is required."""
    origin = typing.get_origin(form)
    if isinstance(form, type) and issubclass(form, BaseModel):
        fields = form.model_fields.items()
        return {field.alias or name: _example(field.annotation) for name, field in fields if field.is_required()}
    if origin is typing.Annotated:
        return _example(typing.get_args(form)[0])
    if origin is Literal:
        return typing.get_args(form)[0]
    if origin in (typing.Union, types.UnionType):
        choices = typing.get_args(form)
        return None if type(None) in choices else _example(choices[0])
    if origin is list or form is list:
        return []
    if origin is dict or form is dict:
        return {}
    examples = {str: "x", int: 1, float: 1.0, bool: False, datetime: datetime.now(UTC).isoformat(), Any: None}
    return "https://example.org" if form is AnyUrl else examples[form]


def _handler(github_: GitHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer_any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            asked = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(asked.query).items()}
            if github_.down:
                code, answer = 503, {"message": "down"}
            elif self.headers.get("authorization") != f"Bearer {TOKEN}":
                code, answer = 401, {"message": "Bad credentials"}
            elif self.headers.get("x-github-api-version") != VERSION:
                code, answer = 400, {"message": "another version is described here"}
            else:
                code, answer = github_.answer(self.command, asked.path, query, body)
            content = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "POST", "PATCH", "PUT"):
        setattr(Handler, f"do_{method}", Handler.answer_any)
    return Handler

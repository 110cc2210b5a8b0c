"""Whatever a registry answers, it is held to a form; what has none is a sentence."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.core.record import Image
from gitops_ml.core.storage import digest_of
from gitops_ml.image import attach
from gitops_ml.image.registry import Repository

Answer = tuple[int, dict[str, str], bytes]
EMPTY = digest_of(b"")
SIGNED = {"mediaType": attach.SIMPLE, "digest": EMPTY}


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str], Answer]], Repository]]:
    """A registry that answers each path as it is told."""
    servers = []

    def started(answer: Callable[[str], Answer]) -> Repository:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, headers, content = answer(self.path)
                self.send_response(code)
                for name, value in {**headers, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        for method in ("POST", "PUT", "HEAD"):
            setattr(Handler, f"do_{method}", Handler.do_GET)
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return Repository(f"127.0.0.1:{servers[-1].server_address[1]}/team/model")

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>Sign in</html>", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"", "Invalid JSON"),
        (b"[]", "all of it: Input should be an object"),
        (b"1", "all of it"),
        (b'{"layers": null}', "layers: "),
        (b'{"layers": [1]}', r"layers\.0: "),
        (json.dumps({"layers": [{"mediaType": attach.SIMPLE}]}).encode(), r"layers\.0\.digest: Field required"),
        (json.dumps({"layers": [SIGNED | {"digest": "../x"}]}).encode(), r"layers\.0\.digest: "),
        (json.dumps({"layers": [SIGNED | {"annotations": {"x": 1}}]}).encode(), r"layers\.0\.annotations\.x: "),
        (json.dumps({"manifests": {"digest": EMPTY}}).encode(), "manifests: "),
    ],
)
def test_an_answer_of_another_form_is_a_sentence(serve: Any, content: bytes, said: str) -> None:
    """A signature or an image that is HTML, a list, or lacks a digest is told by what it lacks."""
    registry = serve(lambda path: (200, {}, content))
    image = Image(name=f"{registry.host}/{registry.name}", digest="sha256:" + "0" * 64)
    with pytest.raises(UserError, match=f"answers what is no manifest when asked for .*{said}"):
        attach.require_signed(image, b"")
    with pytest.raises(UserError, match=f"answers what is no manifest when asked for .*{said}"):
        registry.copy("tag", registry)


@pytest.mark.parametrize("annotations", [{}, {"annotations": None}, {"annotations": {}}])
def test_a_signature_without_notes_is_none(serve: Any, annotations: dict[str, Any]) -> None:
    """A layer that could be a signature and has none leaves the image unsigned."""
    manifest = json.dumps({"layers": [SIGNED | annotations]}).encode()
    registry = serve(lambda path: (200, {}, b"" if "blobs" in path else manifest))
    image = Image(name=f"{registry.host}/{registry.name}", digest="sha256:" + "0" * 64)
    with pytest.raises(UserError, match="cannot be trusted"):
        attach.require_signed(image, b"")


def test_what_is_copied_by_its_digest_has_that_digest(serve: Any) -> None:
    """A registry that hands out another manifest under a digest is told, and is not followed."""
    registry = serve(lambda path: (200, {}, b"{}"))
    with pytest.raises(UserError, match="has another manifest under"):
        registry.copy("sha256:" + "0" * 64, registry)


@pytest.mark.parametrize(
    ("challenge", "token", "said"),
    [
        ('Bearer realm="http://{}/token"', b"<html>", "answers in another form when asked for a token"),
        ('Bearer realm="http://{}/token"', b'{"token": 1}', "answers in another form when asked for a token"),
        ('Bearer realm="http://{}/token"', b"{}", "does not let us read"),
        ('Bearer realm="http://[::bad"', b"", "cannot be reached"),
        ('Bearer realm="nowhere"', b"", "cannot be reached"),
        ("Bearer", b"", "does not let us read"),
        ("", b"", "does not let us read"),
    ],
)
def test_a_login_that_makes_no_sense_is_a_sentence(serve: Any, challenge: str, token: bytes, said: str) -> None:
    """Whatever a registry asks to log in with, the end is a sentence about it."""
    where: list[str] = []

    def answer(path: str) -> Answer:
        asked = {"www-authenticate": challenge.format(*where) if where else ""}
        return (200, {}, token) if path.startswith("/token") else (401, asked, b"")

    registry = serve(answer)
    where.append(registry.host)
    with pytest.raises(UserError, match=said):
        registry.manifest("tag")


@pytest.mark.parametrize(("headers", "said"), [({}, "does not say where"), ({"location": "http://[x"}, "be reached")])
def test_an_upload_that_leads_nowhere_is_a_sentence(serve: Any, headers: dict[str, str], said: str) -> None:
    """A registry that takes an upload has to say where to."""
    with pytest.raises(UserError, match=said):
        serve(lambda path: (202, headers, b"")).put_blob(b"x")

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.host.front import ACTIVE
from gitops_ml.host.host import Host
from gitops_ml.host.runner import free_port


class Echo(BaseHTTPRequestHandler):
    """Answers with what it got."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """The body, and whether the caller's header came."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/break":
            self.connection.close()
            return
        self.send_response(418)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-asked", self.headers.get("x-ask", ""))
        self.send_header("x-path", self.path)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of an instance."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def front(tmp_path: Path) -> Iterator[str]:
    """The address of a front that has no instance yet."""
    host, port = Host(tmp_path, tmp_path, {}), free_port()
    host.require_front(port)
    yield f"http://127.0.0.1:{port}"
    host.stop_all()


def point(folder: Path, port: int) -> None:
    """Make an instance the active one."""
    (folder / ACTIVE).write_text(json.dumps({"port": port}))


def test_a_request_and_its_answer_go_through_unchanged(front: str, echo: int, tmp_path: Path) -> None:
    """Method, path, query, headers, a large body and the answer's code come through as they are."""
    point(tmp_path, echo)
    body = bytes(range(256)) * 20000
    answer = httpx.post(f"{front}/a%20b?c=d", content=body, headers={"x-ask": "yes"})
    assert (answer.status_code, answer.content) == (418, body)
    assert (answer.headers["x-asked"], answer.headers["x-path"]) == ("yes", "/a%20b?c=d")


def test_a_request_waits_for_an_instance(front: str, echo: int, tmp_path: Path) -> None:
    """A request that comes while nothing serves is answered as soon as something does."""
    point(tmp_path, free_port())
    threading.Timer(0.5, point, (tmp_path, echo)).start()
    assert httpx.post(front, content=b"1", timeout=10).content == b"1"


def test_an_instance_that_breaks_off_is_told(front: str, echo: int, tmp_path: Path) -> None:
    """A request that an instance had begun is not sent twice: its caller gets a 502."""
    point(tmp_path, echo)
    answer = httpx.post(f"{front}/break", content=b"1")
    assert (answer.status_code, list(answer.json())) == (502, ["error"])


def test_a_port_that_is_taken_is_told(echo: int, tmp_path: Path) -> None:
    """If something else listens on the environment's port, the error names the port, and no front is left."""
    with pytest.raises(UserError, match=f"port {echo} of 127.0.0.1 cannot be had: Address already in use"):
        Host(tmp_path, tmp_path, {}).require_front(echo)
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in (each.info["cmdline"] or [])]


def test_another_port_is_had_before_the_old_one_is_given_up(front: str, echo: int, tmp_path: Path) -> None:
    """A front moves to a port that can be had; while it cannot, the old one goes on answering."""
    point(tmp_path, echo)
    host = Host(tmp_path, tmp_path, {})
    with pytest.raises(UserError, match=f"port {echo} of 127.0.0.1 cannot be had"):
        host.require_front(echo)
    assert httpx.post(front, content=b"1").content == b"1"
    port = free_port()
    host.require_front(port)
    assert httpx.post(f"http://127.0.0.1:{port}", content=b"2").content == b"2"
    with pytest.raises(httpx.ConnectError):
        httpx.post(front, content=b"1")

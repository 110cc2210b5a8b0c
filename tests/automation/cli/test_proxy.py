"""Machines that reach others through a proxy only."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.automation.tables import PROJECT

# What a command runs after its start, and what each program that it starts asks.
ASK = """
import httpx, os, subprocess, sys, urllib.request
from gitops_ml.cli import main
main.tree = lambda: lambda prog_name: None
main.main()
for url in sys.argv[1:]:
    httpx.get(url)
    urllib.request.urlopen(url).read()
    subprocess.run(["git", "ls-remote", url], capture_output=True)
"""


class Recorder(BaseHTTPRequestHandler):
    """Answers everything, and remembers what it was asked for: by a proxy's caller that is a whole URL."""

    asked: list[str]

    def do_GET(self) -> None:
        """Say yes."""
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def servers() -> Iterator[tuple[ThreadingHTTPServer, ThreadingHTTPServer]]:
    """A proxy, and something else on this machine."""
    made = []
    for _ in range(2):
        handler = type("Handler", (Recorder,), {"asked": []})
        made.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=made[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield made[0], made[1]
    for each in made:
        each.shutdown()
        each.server_close()


@pytest.mark.parametrize(
    "excepted",
    [{}, {"NO_PROXY": "internal.example"}, {"no_proxy": "internal.example", "NO_PROXY": "other"}, {"NO_PROXY": "*"}],
)
def test_this_machine_is_asked_without_a_proxy(
    servers: tuple[ThreadingHTTPServer, ThreadingHTTPServer], excepted: dict[str, str]
) -> None:
    """Whatever proxies are set, a command and the programs that it starts ask this machine itself."""
    proxy, other = servers
    names = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    where = f"http://127.0.0.1:{proxy.server_address[1]}"
    environment |= {"HTTP_PROXY": where, "http_proxy": where, "ALL_PROXY": where} | excepted
    environment["PYTHONPATH"] = os.pathsep.join([str(PROJECT / "vendor/gitops-ml"), str(PROJECT)])
    urls = [f"http://{host}:{other.server_address[1]}/" for host in ("127.0.0.1", "localhost")]
    subprocess.run([sys.executable, "-c", ASK, *urls], env=environment, check=True)
    assert proxy.RequestHandlerClass.asked == []  # type: ignore[attr-defined]
    assert len(other.RequestHandlerClass.asked) >= 3 * len(urls)  # type: ignore[attr-defined]

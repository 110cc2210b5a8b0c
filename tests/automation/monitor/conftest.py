from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from gitops_ml.notify import webhook

HIDDEN = "T0HIDDEN/hook"


class Listener:
    """A server that takes alarms, after it has answered with each of `statuses` once."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.taken: list[Any] = []
        self.asked = 0
        self.headers: dict[str, str] = {}
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                listener.asked += 1
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = listener.statuses.pop(0) if listener.statuses else 200
                if status == 200:
                    listener.taken.append(body)
                self.send_response(status)
                for name, value in listener.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/services/{HIDDEN}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """Somebody who listens where MONITOR_WEBHOOK points; nobody waits long between two tries."""
    made = Listener()
    monkeypatch.setenv(webhook.VARIABLE, made.address)
    monkeypatch.setattr(webhook, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(webhook, "LONGEST_PAUSE", 0.05)
    yield made
    made.server.shutdown()
    made.server.server_close()

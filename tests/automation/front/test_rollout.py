"""What a front does during a rollout: who is answered by which release, and what is written down of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from gitops_ml.front.rolling import Line, Split, read
from gitops_ml.front.server import ACTIVE
from gitops_ml.host.port import Port

from ci.shell import free_port

LOG = "rollout/a-stage.jsonl"


class Instance(ThreadingHTTPServer):
    """Answers with its name, after a while; remembers the ids of all that asked."""

    request_queue_size = 256

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.name, self.asked, self.status, self.seconds = name, list[str](), 200, 0.0
        self.bodies: list[bytes] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def end(self) -> None:
        """Take no more."""
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body together, or each answer takes 40 ms.
    wbufsize = 65_536
    server: Instance

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(self.headers.get("x-request-id", ""))
        self.server.bodies.append(body)
        time.sleep(self.server.seconds)
        said = json.dumps({"score": 0.5, "release": self.server.name}).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(said)))
        self.send_header("x-answer-id", "an-answer")
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def old() -> Iterator[Instance]:
    """What serves."""
    made = Instance("old")
    yield made
    made.end()


@pytest.fixture
def new() -> Iterator[Instance]:
    """What is rolled out."""
    made = Instance("new")
    yield made
    made.end()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The address of a front."""
    port, number = Port(tmp_path), free_port()
    port.require(number)
    yield f"http://127.0.0.1:{number}"
    port.stop()


def point(folder: Path, old: int, new: int | None = None, share: float = 0, by: str = "x-caller") -> None:
    """Have a front hand requests to an instance, and roll out another one."""
    active: dict[str, object] = {"port": old}
    if new:
        release = {"release": "flights:new"}
        active["rollout"] = {"port": new, "release": release, "share": share, "by": by, "log": LOG}
    part = folder / "part"
    part.write_text(json.dumps(active))
    part.replace(folder / ACTIVE)


def ask(client: httpx.Client, url: str, caller: str | None = None) -> str:
    """The release that answers somebody."""
    headers = {"x-caller": caller} if caller else {}
    answer = client.post(f"{url}/predict", json={"row": {}}, headers={**headers, "x-request-id": "mine"})
    return str(answer.raise_for_status().json()["release"])


def logged(folder: Path, done: Callable[[list[Line]], bool]) -> list[Line]:
    """What was written down, once that is so."""
    give_up = time.monotonic() + 10
    while not done(found := read(folder / LOG)) and time.monotonic() < give_up:
        time.sleep(0.02)
    return found


def test_a_shadowed_release_gets_copies_and_answers_nobody(
    url: str, old: Instance, new: Instance, tmp_path: Path
) -> None:
    """Every caller is answered by the old release; the new one is asked the same, marked, and both are written down."""
    point(tmp_path, old.port, new.port)
    with httpx.Client() as client:
        assert {ask(client, url) for _ in range(20)} == {"old"}
        # What no model is asked is not copied.
        client.get(f"{url}/version")
    found = logged(tmp_path, lambda lines: len(lines) == 20)
    assert new.asked == ["shadow:an-answer"] * 20
    assert new.bodies == old.bodies
    for line in found:
        assert line.old
        assert line.new
        assert (line.old.status, json.loads(line.old.body or "")["release"]) == (200, "old")
        assert (line.new.status, json.loads(line.new.body or "")["release"]) == (200, "new")
        assert line.new.ms > 0


def test_no_answer_fails_or_waits_for_a_shadow(url: str, old: Instance, new: Instance, tmp_path: Path) -> None:
    """A shadowed release that fails, is slow and then is gone costs no caller anything; what is too much is dropped."""
    new.status, new.seconds = 500, 0.2
    point(tmp_path, old.port, new.port)
    start = time.monotonic()
    with httpx.Client() as client:
        assert {ask(client, url) for _ in range(200)} == {"old"}
    assert time.monotonic() - start < 200 * 0.2 / 4
    failed = logged(tmp_path, lambda lines: len(lines) > 2)
    assert {each.new.status for each in failed if each.new} == {500}
    new.end()
    with httpx.Client() as client:
        assert {ask(client, url) for _ in range(50)} == {"old"}
    gone = logged(tmp_path, lambda lines: any(each.new and each.new.status == 0 for each in lines))
    assert {each.new.status for each in gone if each.new} == {500, 0}
    assert len(gone) < 200


def test_a_canary_answers_its_share_of_the_callers_and_each_caller_always(
    url: str, old: Instance, new: Instance, tmp_path: Path
) -> None:
    """A caller stays with a release, whatever the connection, and as the share grows; the nameless get the old one."""
    point(tmp_path, old.port, new.port, share=25)
    callers = [f"caller-{number}" for number in range(200)]
    with httpx.Client() as one, httpx.Client() as other:
        first = {caller: ask(one, url, caller) for caller in callers}
        assert first == {caller: ask(other, url, caller) for caller in reversed(callers)}
        assert 30 <= list(first.values()).count("new") <= 70
        assert {ask(one, url) for _ in range(20)} == {"old"}
        found = logged(tmp_path, lambda lines: len(lines) == 420)
        assert sum(each.new is not None for each in found) == 2 * list(first.values()).count("new")
        assert all((each.old is None) != (each.new is None) for each in found)
        point(tmp_path, old.port, new.port, share=60)
        more = {caller: ask(one, url, caller) for caller in callers}
        assert [caller for caller in callers if first[caller] == "new" and more[caller] == "old"] == []
        assert 95 <= list(more.values()).count("new") <= 145
        # Rolled back, nobody gets it any more, over whatever connection.
        point(tmp_path, old.port)
        assert {ask(client, url, caller) for client in (one, other) for caller in callers[:20]} == {"old"}


def test_by_chance_only_if_that_is_asked_for(url: str, old: Instance, new: Instance, tmp_path: Path) -> None:
    """Split by chance, one caller is answered by both."""
    point(tmp_path, old.port, new.port, share=50, by="chance")
    with httpx.Client() as client:
        assert {ask(client, url, "one") for _ in range(60)} == {"old", "new"}


def test_a_canary_that_is_gone_loses_no_request(url: str, old: Instance, new: Instance, tmp_path: Path) -> None:
    """Where the new release takes no connection the old one answers, which is written down as the new one's failure."""
    point(tmp_path, old.port, new.port, share=100)
    new.end()
    with httpx.Client() as client:
        assert {ask(client, url, "one") for _ in range(3)} == {"old"}
    found = logged(tmp_path, lambda lines: len(lines) >= 6)
    assert [each.new.status for each in found if each.new] == [0, 0, 0]


def test_under_load_each_answer_is_of_one_release_while_stages_change(
    url: str, old: Instance, new: Instance, tmp_path: Path
) -> None:
    """Many callers at once, a rollout that begins, grows and ends again: no request is lost, none is answered twice."""
    point(tmp_path, old.port)
    over = threading.Event()

    def asking(number: int) -> list[str]:
        with httpx.Client(timeout=20) as client:
            found = []
            while not over.is_set():
                found.append(ask(client, url, f"caller-{number}"))
            return found

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(asking, number) for number in range(8)]
        for share in (None, 0, 20, 60, 100, 0, None, 100, None):
            point(tmp_path, old.port, None if share is None else new.port, share or 0)
            time.sleep(0.15)
        over.set()
        answers = [name for each in asked for name in each.result()]
    assert set(answers) == {"old", "new"}
    answered = [name for name in new.asked if name == "mine"]
    assert len(answers) == len(old.asked) + len(answered)


def test_what_is_damaged_in_a_log_is_passed_over(tmp_path: Path) -> None:
    """Lines that are none, and a last one without its end, are no observations."""
    log = tmp_path / "log"
    log.write_bytes(b'{"old":{"status":200,"ms":1.0,"body":null},"new":null}\nno\n[]\n{"old":{"odd":1}}\n{"old":{"st')
    assert [each.old.status for each in read(log) if each.old] == [200]
    assert read(tmp_path / "none") == []


def test_shares_are_shares() -> None:
    """Of many callers each share is answered as it says."""
    for share in (0, 1, 5, 25, 100):
        split = Split(1, "flights:new", share, b"x-caller", Path())
        taken = sum(split.takes([(b"X-Caller", b"%d" % number)]) for number in range(5000))
        assert abs(taken / 50 - share) < 2

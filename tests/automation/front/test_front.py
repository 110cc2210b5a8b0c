from __future__ import annotations

import json
import resource
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.front import handover
from gitops_ml.front.server import ACTIVE
from gitops_ml.host import port as port_module
from gitops_ml.host.port import Port

from ci.shell import free_port


class Echo(BaseHTTPRequestHandler):
    """Answers with what it got."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """The body, and whether the caller's header came."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/break":
            self.close_connection = True
            return
        self.send_response(418)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-asked", self.headers.get("x-ask", ""))
        self.send_header("x-path", self.path)
        self.end_headers()
        if self.path == "/half":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Instance(ThreadingHTTPServer):
    """Takes as many connections at a time as an instance does."""

    request_queue_size = 1024


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of an instance."""
    server = Instance(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Port]:
    """The port of a folder, as an agent keeps it."""
    made = Port(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def front(port: Port) -> str:
    """The address of a front that has no instance yet."""
    number = free_port()
    port.require(number)
    return f"http://127.0.0.1:{number}"


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


def test_many_requests_wait_at_once(port: Port, echo: int, tmp_path: Path) -> None:
    """More requests than a process may have files open by default wait together, and each is answered."""
    # Of this process itself, too, while it starts the front.
    number, default = free_port(), psutil.Process().num_fds() + 50
    many = default + 100
    few, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (default, allowed))
    try:
        port.require(number)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, allowed))
    with ExitStack() as stack:
        callers = [stack.enter_context(socket.create_connection(("127.0.0.1", number))) for _ in range(many)]
        for caller in callers:
            caller.sendall(b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 1\r\nconnection: close\r\n\r\n1")
        point(tmp_path, echo)
        answers = [caller.makefile("rb").readline() for caller in callers]
    assert answers == [b"HTTP/1.1 418 I'm a Teapot\r\n"] * many


def test_an_instance_that_breaks_off_is_told(front: str, echo: int, tmp_path: Path) -> None:
    """A request that an instance had begun is not sent twice: its caller gets a 502."""
    point(tmp_path, echo)
    answer = httpx.post(f"{front}/break", content=b"1")
    assert (answer.status_code, list(answer.json())) == (502, ["error"])


def test_a_port_that_is_taken_is_told(echo: int, tmp_path: Path) -> None:
    """If something else listens on the environment's port, the error names the port, and no front is left."""
    with pytest.raises(UserError, match=f"port {echo} of 127.0.0.1 cannot be had: Address already in use"):
        Port(tmp_path).require(echo)
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in (each.info["cmdline"] or [])]


def test_another_port_is_had_before_the_old_one_is_given_up(front: str, port: Port, echo: int, tmp_path: Path) -> None:
    """A front moves to a port that can be had; while it cannot, the old one goes on answering."""
    point(tmp_path, echo)
    other = free_port()
    with pytest.raises(UserError, match=f"port {echo} of 127.0.0.1 cannot be had"):
        port.require(echo)
    assert httpx.post(front, content=b"1").content == b"1"
    port.require(other)
    assert httpx.post(f"http://127.0.0.1:{other}", content=b"2").content == b"2"
    with pytest.raises(httpx.ConnectError):
        httpx.post(front, content=b"1")


def test_a_port_that_is_held_refuses_nobody_while_its_front_is_started_again(
    front: str, port: Port, echo: int, tmp_path: Path
) -> None:
    """An agent takes over the port of a front that another one started; that front's end then refuses no connection."""
    point(tmp_path, echo)
    number = httpx.URL(front).port
    assert httpx.post(front, content=b"1").content == b"1"
    later = Port(tmp_path)
    later.require(number)
    # The process that started the front has ended.
    port.release()
    for _ in range(2):
        later.require(number).kill()
        with ThreadPoolExecutor() as callers:
            asked = [callers.submit(httpx.post, front, content=b"2", timeout=20) for _ in range(5)]
            later.require(number)
            assert [each.result().content for each in asked] == [b"2"] * 5


def test_a_front_that_does_not_answer_is_replaced(
    front: str, port: Port, echo: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A front that hangs is ended, and what waits at its port is answered by the next one."""
    point(tmp_path, echo)
    monkeypatch.setattr(port_module, "UNWELL_SECONDS", 0.5)
    number = httpx.URL(front).port
    assert httpx.post(front, content=b"1").content == b"1"
    hanging = port.require(number)
    hanging.suspend()
    with ThreadPoolExecutor() as callers:
        asked = callers.submit(httpx.post, front, content=b"2", timeout=20)
        assert port.require(number) != hanging
        assert asked.result().content == b"2"
    assert len(port.fronts()) == 1


def test_a_folder_with_a_long_path_has_a_front_that_hands_its_port_over(tmp_path: Path, echo: int) -> None:
    """The folder may be as deep as the file system allows, although the address of a Unix socket is short."""
    folder = tmp_path / ("long" * 30) / ("longer" * 20)
    folder.mkdir(parents=True)
    point(folder, echo)
    port, number = Port(folder), free_port()
    port.require(number)
    assert httpx.post(f"http://127.0.0.1:{number}", content=b"1").content == b"1"
    assert handover.ask(folder, 5) is not None
    port.stop()


def given(folder: Path) -> bool:
    """Whether the front of a folder hands its port over."""
    found = handover.ask(folder, 5)
    if found:
        found.close()
    return found is not None


def until(holds: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    give_up = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_front_hands_its_port_over_after_somebody_who_asked_has_left(front: str, port: Port, tmp_path: Path) -> None:
    """Those who ask and leave before they are answered take the socket from nobody who asks later."""
    until(lambda: given(tmp_path))
    (process,) = port.fronts()
    process.suspend()
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as leaves:
            leaves.connect(str(tmp_path / handover.NAME))
    process.resume()
    assert given(tmp_path)
    assert given(tmp_path)


def test_a_front_hands_its_port_over_once_it_can_open_files_again(front: str, port: Port, tmp_path: Path) -> None:
    """A front that had as many files open as it may answers the next one who asks when it may open more."""
    until(lambda: given(tmp_path))
    (process,) = port.fronts()
    few, allowed = process.rlimit(resource.RLIMIT_NOFILE)
    process.rlimit(resource.RLIMIT_NOFILE, (3, allowed))
    with pytest.raises(TimeoutError):
        handover.ask(tmp_path, 0.3)
    process.rlimit(resource.RLIMIT_NOFILE, (few, allowed))
    until(lambda: given(tmp_path))


def test_a_front_hands_its_port_over_once_nothing_is_in_the_way(port: Port, tmp_path: Path) -> None:
    """A front that could not be asked when it started, as on a full disk, can be as soon as there is room."""
    (tmp_path / handover.NAME).mkdir()
    number = free_port()
    front = port.require(number)
    until(lambda: number in [each.laddr.port for each in front.net_connections()])
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"http://127.0.0.1:{number}", timeout=0.5)
    (tmp_path / handover.NAME).rmdir()
    until(lambda: given(tmp_path))


def test_a_front_that_nobody_more_can_ask_has_said_nothing(tmp_path: Path) -> None:
    """Where so many wait for an answer that no other one can ask, the front counts as one that does not answer."""
    with socket.socket(socket.AF_UNIX) as hanging, ExitStack() as stack:
        hanging.bind(str(tmp_path / handover.NAME))
        hanging.listen(0)
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(tmp_path / handover.NAME))
        with pytest.raises(TimeoutError):
            handover.ask(tmp_path, 0.3)


def test_a_front_that_ends_while_it_is_asked_gives_nothing(tmp_path: Path) -> None:
    """Whoever asks a front that is just ending is told that there is none to be had."""
    with socket.socket(socket.AF_UNIX) as ending, ThreadPoolExecutor() as askers:
        ending.bind(str(tmp_path / handover.NAME))
        ending.listen()
        asked = askers.submit(handover.ask, tmp_path, 5)
        select.select([ending], [], [])
        ending.close()
        assert asked.result() is None


def test_a_front_serves_where_it_may_not_have_more_files_open(
    port: Port, echo: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that refuses a higher limit of open files, as where "no limit" is none, has a front all the same."""
    point(tmp_path, echo)
    (tmp_path / "sitecustomize.py").write_text(
        "import resource\ndef refuse(*_):\n    raise ValueError('current limit exceeds maximum limit')\n"
        "resource.setrlimit = refuse\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    number = free_port()
    port.require(number)
    assert httpx.post(f"http://127.0.0.1:{number}", content=b"1", timeout=10).content == b"1"


def test_an_answer_that_breaks_off_is_not_filled_up(front: str, echo: int, tmp_path: Path) -> None:
    """An instance that ends within an answer has its caller's connection end: nothing is written into the answer."""
    point(tmp_path, echo)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        httpx.post(f"{front}/half", content=bytes(1000))


def exchanged(front: str, sent: bytes, ending: bool = False) -> bytes:
    """All that comes back over one connection on which `sent` is said; `ending`: and then no more."""
    url = httpx.URL(front)
    with socket.create_connection((url.host, url.port or 0), timeout=20) as caller:
        caller.sendall(sent)
        if ending:
            caller.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: caller.recv(65536), b""))


def posted(body: bytes, *headers: str) -> bytes:
    """A request as bytes."""
    lines = ["POST / HTTP/1.1", "host: here", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_requests_of_one_connection_are_answered_in_their_order(front: str, echo: int, tmp_path: Path) -> None:
    """Many that are sent without waiting are all answered, one after the other, and the last ends the connection."""
    point(tmp_path, echo)
    many = [posted(b"%d" % number) for number in range(10)] + [posted(b"last", "connection: close")]
    answers = exchanged(front, b"".join(many)).split(b"HTTP/1.1 418 I'm a Teapot\r\n")[1:]
    assert [each.rpartition(b"\r\n\r\n")[2] for each in answers] == [b"%d" % number for number in range(10)] + [b"last"]
    assert [b"connection: close" in each for each in answers] == [False] * 10 + [True]


def test_who_says_no_more_is_answered(front: str, echo: int, tmp_path: Path) -> None:
    """A caller that closes its own direction after two requests gets both answers."""
    point(tmp_path, echo)
    answers = exchanged(front, posted(b"one") + posted(b"two"), ending=True)
    assert answers.count(b"HTTP/1.1 418") == 2
    assert answers.endswith(b"two")


def test_a_request_without_its_end_is_sent_to_nobody_in_whole(front: str, echo: int, tmp_path: Path) -> None:
    """A caller that leaves in the middle of a body gets no answer, and the front goes on."""
    point(tmp_path, echo)
    assert exchanged(front, posted(b"12345")[:-2], ending=True) == b""
    assert httpx.post(front, content=b"1").content == b"1"


BAD = {
    "no HTTP": b"hello\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n12",
    "length and chunks": b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"POST / HTTP/1.1\r\ncontent-length : 1\r\n\r\n1",
    "a control character": b"POST / HTTP/1.1\r\na: \x00\r\n\r\n",
}


@pytest.mark.parametrize("sent", BAD.values(), ids=BAD)
def test_what_could_be_read_in_two_ways_is_refused(front: str, echo: int, tmp_path: Path, sent: bytes) -> None:
    """Where a request ends must be clear; what is not gets a 400, and what was before it its answer."""
    point(tmp_path, echo)
    assert exchanged(front, sent).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    answers = exchanged(front, posted(b"1") + sent)
    assert answers.count(b"HTTP/1.1") == 1
    assert answers.endswith(b"1")


def test_a_head_without_end_is_refused(front: str, echo: int, tmp_path: Path) -> None:
    """Nobody fills the front's memory with a head that goes on and on."""
    point(tmp_path, echo)
    answer = exchanged(front, b"GET / HTTP/1.1\r\na: " + b"b" * 70_000)
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_body_in_pieces_goes_through(front: str, echo: int, tmp_path: Path) -> None:
    """A body without a length reaches the instance in chunks of its own, whatever follows the last one."""
    with http_server(Chunked) as number:
        point(tmp_path, number)
        head = b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        answer = exchanged(front, head + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\na: b\r\n\r\n")
    assert b"transfer-encoding: chunked" in answer
    assert answer.endswith(b"5\r\nabcde\r\n0\r\n\r\n")


class Chunked(BaseHTTPRequestHandler):
    """Answers without a length, to a request without one."""

    def do_POST(self) -> None:
        """What came, until the connection ends."""
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def http_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port of an instance that does as the handler does."""
    server = Instance(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_who_expects_to_be_told_to_go_on_is_told(front: str, echo: int, tmp_path: Path) -> None:
    """A caller that waits with its body until somebody wants it is told so, and answered."""
    point(tmp_path, echo)
    url = httpx.URL(front)
    with socket.create_connection((url.host, url.port or 0), timeout=20) as caller:
        head, _, body = posted(b"body", "expect: 100-continue", "connection: close").partition(b"\r\n\r\n")
        caller.sendall(head + b"\r\n\r\n")
        assert caller.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(body)
        assert b"".join(iter(lambda: caller.recv(65536), b"")).endswith(b"body")


def test_a_connection_that_the_instance_closed_is_not_used(front: str, echo: int, tmp_path: Path) -> None:
    """After an instance has closed kept connections, and after another one has come, each request is answered."""
    with http_server(Echo) as number, httpx.Client() as client:
        point(tmp_path, number)
        assert client.post(front, content=b"1").content == b"1"
    point(tmp_path, echo)
    assert [httpx.post(front, content=b"2").content for _ in range(3)] == [b"2"] * 3


def test_a_slow_reader_is_waited_for(front: str, echo: int, port: Port, tmp_path: Path) -> None:
    """An answer of 60 MB does not gather in the front, and the next answer on the connection comes, too."""
    point(tmp_path, echo)
    (process,) = port.fronts()
    url, large = httpx.URL(front), bytes(60_000_000)
    with socket.create_connection((url.host, url.port or 0), timeout=20) as caller:
        caller.sendall(posted(large))
        first = caller.recv(1000)
        time.sleep(0.5)
        assert process.memory_info().rss < 60_000_000 + 20_000_000
        caller.sendall(posted(b"next", "connection: close"))
        rest = b"".join(iter(lambda: caller.recv(1_000_000), b""))
    assert (first + rest).count(b"HTTP/1.1 418") == 2
    assert len(first + rest) > 60_000_000
    assert rest.endswith(b"next")


def test_callers_that_say_nothing_disturb_nobody(front: str, echo: int, tmp_path: Path) -> None:
    """Ten thousand idle connections stay open, and others are answered."""
    point(tmp_path, echo)
    url = httpx.URL(front)
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    with ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection((url.host, url.port or 0))) for _ in range(10_000)]
        assert httpx.post(front, content=b"1").content == b"1"
        for each in (idle[0], idle[-1]):
            each.sendall(posted(b"2", "connection: close"))
            assert each.makefile("rb").read().endswith(b"2")

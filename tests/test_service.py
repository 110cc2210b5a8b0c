"""The service of a generated project: the Bento is built, served and asked over HTTP."""

from __future__ import annotations

import gzip
import html
import json
import math
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow.parquet as pq
import pytest
import yaml
from gitops_ml.host.runner import worker_option
from gitops_ml.predictions import stored

from ci.shell import ROOT, CommandError, environment, free_port, run
from tests.both_ways import differing
from tests.conftest import UV, clone, gitops, make, tool

pytestmark = pytest.mark.xdist_group("golden path")

READY_SECONDS = 60
WRITTEN_SECONDS = 30
APRIL = pq.read_table(ROOT / "ci" / "batches" / "2013-04.parquet")
SCORE_APRIL = """
import json, sys
import pandas as pd
from pipeline import data, model, persistence, validation
from pipeline.stages import files
table = validation.validate(pd.read_parquet(sys.argv[1]), files.schema()).head(1000)
fitted = persistence.load(*files.model_file(), files.trusted_types())
print(json.dumps(model.score(fitted, data.features(table, files.schema())).tolist()))
"""


@dataclass
class Server:
    """A running `make serve`."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    def wait(self) -> None:
        """Wait until it is ready."""
        give_up = time.monotonic() + READY_SECONDS
        while time.monotonic() < give_up:
            try:
                if self.client.get("/readyz").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"not ready within {READY_SECONDS} s:\n{self.log.read_text()[-3000:]}")


@contextmanager
def serving(project: Path, log: Path, port: int = 0, **variables: str) -> Iterator[Server]:
    """`make serve` on a free port, ended with its whole family; `variables` are those of its environment."""
    port = port or free_port()
    command = ["make", "serve", f"PORT={port}"]
    whole = environment() | UV | {"PREDICTIONS": str(log.with_name("predictions"))} | variables
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=project, env=whole, stdout=output, stderr=output, start_new_session=True
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
    ):
        try:
            server = Server(process, client, log)
            server.wait()
            yield server
        finally:
            # Nobody is left where a test has killed the supervisor.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def server(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The trained project's Bento, served."""
    with serving(trained, tmp_path_factory.mktemp("served") / "log") as running:
        yield running


@pytest.fixture(scope="module")
def rows(trained: Path) -> list[dict[str, Any]]:
    """The first 1,000 rows of April, with the features alone."""
    columns = yaml.safe_load((trained / "schema.yaml").read_text())["columns"]
    features = [name for name, column in columns.items() if column.get("role", "feature") == "feature"]
    found: list[dict[str, Any]] = APRIL.select(features).slice(0, 1000).to_pylist()
    return found


@pytest.fixture(scope="module")
def truth(trained: Path) -> list[float]:
    """What the fitted Pipeline itself says of these rows, in another process."""
    script = tool(trained, "python", "-c", SCORE_APRIL, str(ROOT / "ci" / "batches" / "2013-04.parquet"))
    scores: list[float] = json.loads(script.stdout)
    return scores


def test_a_batch_is_scored_as_the_pipeline_scores_it(
    server: Server, rows: list[dict[str, Any]], truth: list[float]
) -> None:
    """1,000 rows of a month that training never saw get the Pipeline's own scores, to the last bit."""
    answer = server.client.post("/predict_batch", json={"rows": rows})
    assert answer.json()["scores"] == truth


def test_a_single_row_is_scored_as_the_pipeline_scores_it(
    server: Server, rows: list[dict[str, Any]], truth: list[float]
) -> None:
    """A row sent alone gets the same score as in a batch, to the last bit."""
    for row, score in list(zip(rows, truth, strict=True))[::20]:
        assert server.client.post("/predict", json={"row": row}).json()["score"] == score


def test_each_way_gives_the_same_answers(server: Server, rows: list[dict[str, Any]]) -> None:
    """Requests of all kinds get the same bytes by each way, and rows that are plainly valid take a short one."""
    url = (server.client.base_url.host, server.client.base_url.port or 0)
    accepted, found = differing(url, rows, count=500, seed=1)
    assert found == []
    ways = dict(re.findall(r'(?m)^prediction_way_total\{way="(\w+)"\} (\S+)$', server.client.get("/metrics").text))
    assert float(ways["short"]) > 200
    assert accepted <= float(ways["long"])


def test_boosting_is_served_without_scikit_learn_and_pandas(server: Server) -> None:
    """Neither the worker, which has answered batches by now, nor BentoML's supervisor takes the 100 MB more."""
    loaded = {
        any(part.startswith("_bentoml_impl.worker") for part in process.cmdline()): (
            "/sklearn/" in maps,
            "/pandas/" in maps,
        )
        for process in psutil.Process(server.process.pid).children(recursive=True)
        if "/pydantic_core/" in (maps := Path(f"/proc/{process.pid}/maps").read_text())
    }
    assert loaded == {True: (False, False), False: (False, False)}


def test_the_version_traces_the_model_to_its_sources(server: Server, trained: Path) -> None:
    """/version names the release, the commit, the hashes of the model and of the data, and how rows are scored."""
    version = server.client.get("/version").json()
    lock = yaml.safe_load((trained / "dvc.lock").read_text())["stages"]
    assert version["release"].startswith("late-flights:")
    assert version["commit"] == run("git", "rev-parse", "HEAD", cwd=trained).strip()
    assert version["model"] == json.loads((trained / "models/model.json").read_text())["sha256"]
    assert version["data"] == lock["prepare"]["deps"][0]["md5"]
    assert version["modified"] is False
    assert version["tier"] == "fast"


@pytest.mark.parametrize("route", ["/livez", "/readyz", "/healthz", "/metrics"])
def test_probes_and_metrics_answer(server: Server, route: str) -> None:
    """Liveness, readiness and Prometheus metrics are there."""
    assert server.client.get(route).status_code == 200


def test_the_page_is_the_projects_own(server: Server, trained: Path) -> None:
    """The page has the project's title, the release and an example that works as it stands; nobody may add to it."""
    answer = server.client.get("/")
    settings = yaml.safe_load((trained / "project.yaml").read_text())
    assert f"<title>{settings['title']}: API</title>" in answer.text
    assert server.client.get("/version").json()["release"] in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for route, body in zip(
        ("/predict", "/predict_batch"), re.findall(r"(?s)<textarea.*?>(.*?)</textarea>", answer.text), strict=True
    ):
        assert server.client.post(route, json=json.loads(html.unescape(body))).status_code == 200
    assert server.client.head("/").status_code == 200
    refused = server.client.post("/", json={})
    assert (refused.status_code, refused.text) == (405, "Method Not Allowed")
    assert server.client.get("/no such route").status_code == 404


def test_requests_are_counted(server: Server, rows: list[dict[str, Any]]) -> None:
    """The metrics count requests by endpoint and status."""
    server.client.post("/predict", json={"row": rows[0]})
    counted = [line for line in server.client.get("/metrics").text.splitlines() if "request_total{" in line]
    assert any('endpoint="/predict"' in line and 'http_response_code="200"' in line for line in counted)


def test_alerts_and_dashboard_ask_for_metrics_that_there_are(server: Server, trained: Path) -> None:
    """Every metric that Prometheus' rules and Grafana's dashboard name is one that the service has."""
    shown = server.client.get("/metrics").text
    rules = yaml.safe_load((trained / "deploy/base/alerts.yaml").read_text())["spec"]["groups"][0]["rules"]
    panels = json.loads((trained / "deploy/dashboard.json").read_text())["panels"]
    asked = [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel["targets"]]
    for expression in asked:
        named = set(re.findall(r"\b(?:bentoml|prediction)_\w+", expression))
        assert named, expression
        assert all(f"\n{name}{{" in shown for name in named), expression
        assert all(expression.count(pair[0]) == expression.count(pair[1]) for pair in ("()", "[]", "{}"))


def test_answers_are_written_down_under_the_callers_id(server: Server, rows: list[dict[str, Any]]) -> None:
    """An answer has a line with inputs, scores, decisions and release, and its request one with status and time."""
    body = {"rows": rows[:3]}
    answer = server.client.post("/predict_batch", json=body, headers={"x-request-id": "flight-7"})
    assert answer.headers["x-request-id"] == "flight-7"
    again = server.client.post("/predict", json={"row": rows[0]}, headers={"x-request-id": "flight-7"})
    assert answer.headers["x-answer-id"] != again.headers["x-answer-id"]
    assert server.client.post("/predict", json={"row": {}}, headers={"x-request-id": "no id\\"}).status_code == 400
    # A request's own line is the last that is written of it.
    awaited = {"answer": answer.headers["x-answer-id"], "request": "flight-7"}
    lines = [line for line in written(server, awaited | {"status": 200}) if awaited.items() <= line.items()]
    (answered, requested) = lines
    assert answered["columns"]["score"] == answer.json()["scores"]
    assert answered["columns"]["decision"] == answer.json()["decisions"]
    assert answered["columns"]["input.carrier"] == [row["carrier"] for row in rows[:3]]
    assert answered["release"] == answer.json()["release"]
    assert (requested["route"], requested["status"]) == ("/predict_batch", 200)
    assert written(server, {"status": 400})


def written(server: Server, awaited: dict[str, Any]) -> list[dict[str, Any]]:
    """All that the service has written down, once a line that holds what is awaited is among it."""
    give_up = time.monotonic() + WRITTEN_SECONDS
    while time.monotonic() < give_up:
        files = sorted(server.log.with_name("predictions").glob("*.jsonl"))
        lines = [line for file in files for line in stored.parsed(file.read_bytes())[0]]
        if any(awaited.items() <= line.items() for line in lines):
            return lines
        time.sleep(0.05)
    raise AssertionError(f"nothing like {awaited} was written down in {WRITTEN_SECONDS:g} seconds")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KB, where a server whose log is beside it writes its predictions."""
    place = tmp_path / "predictions"
    place.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place), cwd=tmp_path)
    yield place
    # Whatever happened, and whoever still writes there.
    run("umount", "--lazy", str(place), cwd=tmp_path)


def test_a_full_disk_does_not_stop_answers(
    trained: Path, small_disk: Path, rows: list[dict[str, Any]], truth: list[float], tmp_path: Path
) -> None:
    """On a full disk answers go on, also after a restart; the collector makes room, and no line is torn."""

    def counted(result: str) -> int:
        shown = server.client.get("/metrics").text
        (value,) = re.findall(rf'^prediction_log_lines_total{{result="{result}"}} (\S+)$', shown, re.MULTILINE)
        return int(float(value))

    def ask_until(what: Callable[[], bool]) -> None:
        for row, score in zip(rows, truth, strict=True):
            answer = server.client.post("/predict", json={"row": row})
            assert (answer.status_code, answer.json()["score"]) == (200, score)
            if what():
                return
        raise AssertionError("1,000 answers changed nothing")

    (small_disk / "filler").write_bytes(bytes(200_000))
    with serving(trained, small_disk.with_name("log")) as server:
        ask_until(lambda: counted("lost") > 3)
        assert (free := shutil.disk_usage(small_disk).free) < 4096, free
        written = counted("written")
    with serving(trained, small_disk.with_name("log")) as server:
        ask_until(lambda: counted("lost") > 3)
        host = clone(trained, tmp_path / "host")
        collector = ("gitops-ml", "watch", "predictions", "--json", "--folder", str(small_disk))
        collected = json.loads(tool(host, *collector).stdout)
        assert (collected["files"], collected["unfinished"], collected["torn"]) == (1, 1, 0)
        assert collected["answers"] + collected["requests"] >= written > 0
        before = counted("written")
        ask_until(lambda: counted("written") > before + 3)
    (file,) = small_disk.glob("*.jsonl")
    lines, torn = stored.parsed(file.read_bytes())
    assert (len(lines) > before + 3, torn) == (True, 0)


def test_openapi_shows_the_columns(server: Server, rows: list[dict[str, Any]]) -> None:
    """The OpenAPI document has each column with type and range, and an example that works as it stands."""
    row = server.client.get("/docs.json").json()["components"]["schemas"]["Row"]
    assert list(row["properties"]) == list(rows[0])
    assert row["required"] == list(rows[0])
    departure = row["properties"]["sched_dep_time"]
    assert (departure["type"], departure["minimum"], departure["maximum"]) == ("integer", 0, 2359)
    assert row["properties"]["origin"]["enum"] == ["EWR", "JFK", "LGA"]
    assert server.client.post("/predict", json={"row": row["example"]}).status_code == 200


BAD_ROWS = {
    "string for a number": ("distance", "far"),
    "number in a string": ("distance", "719"),
    "fraction for an integer": ("distance", 1.5),
    "boolean for an integer": ("distance", True),
    "out of range": ("humid", 101),
    "below the range": ("sched_dep_time", -1),
    "unknown category": ("carrier", "ZZ"),
    "number for a category": ("origin", 3),
    "null where none may be": ("carrier", None),
    "NaN": ("temp", math.nan),
    "infinity": ("temp", math.inf),
    "list": ("temp", [1]),
    "unknown column": ("colour", "red"),
    "the label itself": ("late", 1),
}


@pytest.mark.parametrize("bad", BAD_ROWS)
@pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])
def test_a_bad_value_gets_a_400_with_its_name(
    server: Server, rows: list[dict[str, Any]], bad: str, batch: bool
) -> None:
    """A value that the schema does not allow is refused by the column's name, in a single row and deep in a batch."""
    column, value = BAD_ROWS[bad]
    row = rows[0] | {column: value}
    route, body = ("/predict_batch", {"rows": [rows[0], row]}) if batch else ("/predict", {"row": row})
    answer = server.client.post(route, content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert column in answer.json()["detail"][0]["loc"]


def test_a_missing_column_gets_a_400_with_its_name(server: Server, rows: list[dict[str, Any]]) -> None:
    """Every column must be there, those that may be null too."""
    for column in rows[0]:
        row = {name: value for name, value in rows[0].items() if name != column}
        answer = server.client.post("/predict", json={"row": row})
        assert answer.status_code == 400
        assert column in answer.json()["detail"][0]["loc"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"null", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"rows": []}', 400),
        (b'{"rows": {}}', 400),
        (b'{"rows": [', 400),
        (b'{"rows": ["\xff\xfe"]}', 400),
        (b"[" * 100_000, 400),
        (b'{"rows": [' + b"9" * 10_000 + b"]}", 400),
        (b'{"rows": [{"temp": "\\ud800"}]}', 400),
        (b" " * 5_000_000, 413),
    ],
    ids=["empty", "null", "list", "no rows", "empty batch", "object", "cut", "bytes", "deep", "huge", "half", "large"],
)
def test_a_malformed_body_is_the_callers_fault(server: Server, body: bytes, status: int) -> None:
    """Bodies that are no request get a 4xx in JSON, and the service goes on."""
    answer = server.client.post("/predict_batch", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert "error" in answer.json()
    assert server.client.get("/readyz").status_code == 200


@pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])
def test_what_can_be_read_in_two_ways_is_refused_by_name(
    server: Server, rows: list[dict[str, Any]], batch: bool
) -> None:
    """A column that stands twice in a row is a 400 that names it, a compressed body a 415 that names the coding."""
    whole = json.dumps({"rows": rows[:2]} if batch else {"row": rows[0]})
    route, headers = ("/predict_batch" if batch else "/predict"), {"content-type": "application/json"}
    twice = server.client.post(route, content=whole.replace('"temp"', '"dest": "ORD", "temp"'), headers=headers)
    assert (twice.status_code, "'dest' stands twice" in twice.json()["error"]) == (400, True)
    packed = server.client.post(
        route, content=gzip.compress(whole.encode()), headers=headers | {"content-encoding": "gzip"}
    )
    assert (packed.status_code, "compressed (gzip)" in packed.json()["error"]) == (415, True)


def test_a_large_body_of_unknown_length_is_refused(server: Server) -> None:
    """A body that does not announce its length is refused as soon as it grows too large."""
    pieces = (b" " * 100_000 for _ in range(60))
    answer = server.client.post("/predict_batch", content=pieces, headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_too_many_rows_are_refused(server: Server, rows: list[dict[str, Any]]) -> None:
    """A batch beyond the limit of project.yaml is refused, even if its body is small enough."""
    answer = server.client.post("/predict_batch", json={"rows": [rows[0]] * 10_001})
    assert answer.status_code == 400
    assert answer.json()["detail"][0]["type"] == "too_long"


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", ";;;"])
def test_what_is_no_json_is_refused(server: Server, kind: str) -> None:
    """A body of another kind gets a 415 in JSON."""
    answer = server.client.post("/predict", content=b"row=1", headers={"content-type": kind})
    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]


def test_the_bento_needs_nothing_but_its_requirements(server: Server, trained: Path, tmp_path: Path) -> None:
    """In an environment of its hashed requirements alone, the Bento's service is loaded and knows its model."""
    name, version = server.client.get("/version").json()["release"].split(":")
    source = trained / ".bentoml" / "bentos" / name / version / "src"
    uv = str(trained / ".venv" / "bin" / "uv")
    env = {"UV_SYSTEM_CERTS": "true"}
    run(uv, "venv", "--quiet", str(tmp_path / "venv"), cwd=tmp_path, env=env)
    install = ("pip", "install", "--quiet", "--require-hashes", "--requirements", str(source / "requirements.txt"))
    run(uv, *install, "--python", str(tmp_path / "venv"), cwd=tmp_path, env=env)
    load = "from service.service import Model; print(type(Model.inner().scorer.pipeline).__name__)"
    assert run(str(tmp_path / "venv/bin/python"), "-c", load, cwd=source).endswith("Pipeline\n")


def test_refused_requests_leave_no_traceback_and_no_values_in_the_log(
    server: Server, rows: list[dict[str, Any]]
) -> None:
    """The log of the service tells that a request was refused, and nothing that the caller sent."""
    server.client.post("/predict", json={"row": rows[0] | {"carrier": "a secret of the caller"}})
    log = server.log.read_text()
    assert "a secret of the caller" not in log
    assert "Traceback" not in log


def test_the_bento_holds_its_model_and_no_training_stack(server: Server, trained: Path) -> None:
    """The Bento carries the model itself and hashed requirements, and neither DVC nor the stages."""
    name, version = server.client.get("/version").json()["release"].split(":")
    bento = trained / ".bentoml" / "bentos" / name / version
    assert (bento / "src/models/model.skops").read_bytes() == (trained / "models/model.skops").read_bytes()
    assert not (bento / "src/pipeline/stages").exists()
    required = (bento / "src/requirements.txt").read_text()
    packages = {line.split("==")[0] for line in required.splitlines() if "==" in line and not line.startswith(" ")}
    assert {"bentoml", "scikit-learn", "skops", "pandas"} <= packages
    assert not {"dvc", "pyarrow", "pytest", "typer", "mypy"} & packages
    assert required.count("--hash=sha256:") > len(packages)


def test_packaging_twice_gives_the_same_release(server: Server, trained: Path) -> None:
    """The same inputs give the same tag, and nothing is built again."""
    release = server.client.get("/version").json()["release"]
    assert gitops("model", "package", cwd=trained).splitlines()[-1].startswith(f"{release}: ")
    told = json.loads(tool(trained, "gitops-ml", "model", "package", "--json").stdout)
    assert told | {"tier": "fast"} == server.client.get("/version").json()


def test_a_port_in_use_is_told(server: Server, trained: Path) -> None:
    """Serving on a port that is taken ends in one sentence that names another one."""
    port = server.client.base_url.port
    with pytest.raises(CommandError, match=f"error: port {port} of 127.0.0.1 is in use; choose another one"):
        make("serve", f"PORT={port}", cwd=trained)


def test_a_killed_server_comes_back_and_never_lies(
    trained: Path, rows: list[dict[str, Any]], truth: list[float], tmp_path: Path
) -> None:
    """A worker killed under load is replaced; after its supervisor is killed too, the same port can be served again.

    No answer given at any time differs from the Pipeline's own.
    """
    answers: list[tuple[int, float]] = []
    stop = threading.Event()

    def call(url: httpx.URL) -> None:
        position = 0
        while not stop.is_set():
            position = (position + 1) % len(rows)
            try:
                answer = httpx.post(url.join("/predict"), json={"row": rows[position]}, timeout=2)
            except httpx.TransportError:
                continue
            if answer.is_success:
                answers.append((position, answer.json()["score"]))

    with serving(trained, tmp_path / "log") as server:
        url = server.client.base_url
        callers = [threading.Thread(target=call, args=(url,)) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            wait_for_more(answers)
            worker_of(server).kill()
            wait_for_more(answers)
            supervisor_of(server).kill()
            server.process.wait(timeout=30)
            with serving(trained, tmp_path / "second log", port=url.port or 0):
                wait_for_more(answers)
        finally:
            stop.set()
            for caller in callers:
                caller.join()
    assert [pair for pair in answers if truth[pair[0]] != pair[1]] == []


def test_workers_add_up(trained: Path, rows: list[dict[str, Any]], truth: list[float], tmp_path: Path) -> None:
    """Several processes answer on one port, and what each of them counts and writes down adds up."""
    with serving(trained, tmp_path / "log", BENTOML_CONFIG_OPTIONS=worker_option(2)) as server:
        url, asked, files = server.client.base_url.join("/predict"), 0, list[Path]()
        while len(files) < 2:
            # A connection each: whoever takes it in answers.
            answer = httpx.post(url, json={"row": rows[asked]})
            assert answer.json()["score"] == truth[asked]
            asked += 1
            files = list(server.log.with_name("predictions").glob("*.jsonl"))
        counted = "prediction_way_total", "prediction_log_lines_total", "bentoml_service_request_total"
        until_metrics(server, counted, (asked, 2 * asked, asked))


def until_metrics(server: Server, names: tuple[str, ...], wanted: tuple[int, ...]) -> None:
    """Wait until counters about rows alone have these sums."""
    give_up = time.monotonic() + READY_SECONDS
    found: tuple[float, ...] = ()
    while found != wanted:
        assert time.monotonic() < give_up, (found, wanted)
        lines = [line for line in server.client.get("/metrics").text.splitlines() if "/readyz" not in line]
        found = tuple(
            sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{")) for name in names
        )
        time.sleep(0.1)


def wait_for_more(answers: list[tuple[int, float]], count: int = 50) -> None:
    """Wait until the callers have got some more answers."""
    before, give_up = len(answers), time.monotonic() + READY_SECONDS
    while len(answers) < before + count:
        assert time.monotonic() < give_up, "the service did not come back"
        time.sleep(0.05)


def worker_of(server: Server) -> psutil.Process:
    """The process that answers."""
    descendants = psutil.Process(server.process.pid).children(recursive=True)
    return next(process for process in descendants if "_bentoml_impl.worker.service" in process.cmdline())


def supervisor_of(server: Server) -> psutil.Process:
    """The process that starts workers."""
    supervisor = worker_of(server).parent()
    assert supervisor
    return supervisor

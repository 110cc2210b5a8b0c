"""What the service writes down is whole, is what may be written down, and is worth less than an answer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from gitops_ml.predictions import stored
from gitops_serving.records import Answered, PredictionLog, logged
from gitops_serving.sink import Sink, Waiting
from pipeline.schema import Column, Schema

from tests.automation.tables import PROJECT

LIMITS: dict[str, Any] = {"file_bytes": 10**6, "file_seconds": 3600, "files": 10}
# Has processes put lines with rising numbers, kills each at a random moment, and says what their sinks acknowledged.
KILLS = """
import os, random, signal, sys, time
from pathlib import Path
from gitops_serving.sink import Sink
chance = random.Random(4)
def work(folder, pipe):
    total = 0
    def count(result, lines):
        nonlocal total
        total += lines
        os.write(pipe, f"{result} {total}\\n".encode())
    sink = Sink(folder, 20_000, 3600, 1000, count)
    for number in range(10**6):
        sink.put({"row": number, "text": "x" * (number % 300)})
        if number % 50 == 0:
            time.sleep(0.001)
for attempt in range(12):
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        work(Path(sys.argv[1], str(attempt)), writer)
    os.close(writer)
    said = os.read(reader, 100)
    time.sleep(chance.uniform(0, 0.4))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    while more := os.read(reader, 10**6):
        said += more
    assert b"lost" not in said
    print(said.split()[-1].decode())
"""
# The same with no room for more than 5,000 bytes in a file; then there is room again.
FULL = """
import resource, sys, time
from collections import Counter
from pathlib import Path
from gitops_serving.sink import Sink
found = Counter()
sink = Sink(Path(sys.argv[1]), 10**6, 3600, 10, lambda result, lines: found.update({result: lines}))
def write(numbers):
    for number in numbers:
        sink.put({"row": number, "text": "x" * 90})
    while sink.waiting:
        time.sleep(0.001)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
write(range(100))
full = dict(found)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write(range(100, 110))
sink.close()
print(full["written"], full["lost"], found["written"])
"""


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """All lines, in the order in which they were written; what is torn is an error."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        lines, torn = stored.parsed(path.read_bytes())
        assert torn == 0
        found += lines
    return found


def child(script: str, folder: Path) -> subprocess.Popen[str]:
    """Run a script beside this process."""
    command = [sys.executable, "-c", script, str(folder)]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_killing_the_process_loses_only_what_was_not_acknowledged(tmp_path: Path) -> None:
    """SIGKILL at random moments: every acknowledged line is there, none is damaged, and none stands there twice."""
    with child(KILLS, tmp_path) as process:
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    for attempt, acknowledged in enumerate(map(int, said.split())):
        pieces = [stored.parsed(path.read_bytes()) for path in sorted((tmp_path / str(attempt)).glob("*.jsonl"))]
        numbers = [line["row"] for lines, _ in pieces for line in lines]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= acknowledged > 0
        assert sum(torn for _, torn in pieces[:-1]) == 0


def test_a_full_disk_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    """What does not fit is counted as lost and leaves no half line; with room again, lines are written again."""
    with child(FULL, tmp_path) as process:
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    written, lost, finally_written = map(int, said.split())
    assert 0 < written < 100
    assert written + lost == 100
    assert [line["row"] for line in lines_of(tmp_path)] == [*range(written), *range(100, 110)]
    assert finally_written == written + 10
    assert errors.count("cannot be written down") == 1


def test_a_folder_that_cannot_be_had_stops_nobody(tmp_path: Path) -> None:
    """While the folder's place is taken, lines are lost; as soon as it is free, they are written."""
    found = Counter[str]()
    place = tmp_path / "log"
    place.write_text("a file where the folder should be")
    sink = Sink(place, **LIMITS, count=lambda result, lines: found.update({result: lines}))
    for number in range(3):
        sink.put({"row": number})
    wait_until_idle(sink)
    place.unlink()
    for number in range(2):
        sink.put({"row": number})
    sink.close()
    assert found == {"lost": 3, "written": 2}
    assert len(lines_of(place)) == 2


def test_files_rotate_and_the_oldest_go(tmp_path: Path) -> None:
    """There are never more files than the settings say, and those that are left hold the newest lines, whole."""
    sink = Sink(tmp_path, file_bytes=1000, file_seconds=3600, files=3)
    for number in range(500):
        sink.put({"row": number, "text": "x" * 50})
    sink.close()
    assert len(list(tmp_path.glob("*.jsonl"))) <= 4
    numbers = [line["row"] for line in lines_of(tmp_path)]
    assert numbers == list(range(numbers[0], 500))


def test_a_file_ends_by_its_age_too(tmp_path: Path) -> None:
    """A file that nobody writes to any more is finished after its time, and can be collected while the service runs."""
    folder, store = tmp_path / "log", str(tmp_path / "store")
    sink = Sink(folder, file_bytes=10**6, file_seconds=0.01, files=10)
    sink.put({"time": "2026-03-01T10:00:00.000+00:00", "request": "a", "status": 200, "ms": 3.0})
    wait_until_idle(sink)
    give_up = time.monotonic() + 30
    while stored.collect(folder, store).files == 0:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    assert list(folder.glob("*.jsonl")) == []
    sink.close()


def test_more_than_can_wait_is_lost_at_once(tmp_path: Path) -> None:
    """A caller never waits for the disk: beyond a bound, lines are counted as lost instead."""
    found = Counter[str]()
    sink = Sink(tmp_path, **LIMITS, count=lambda result, lines: found.update({result: lines}))
    for _ in range(3):
        sink.put({"row": 0}, rows=10**6)
    assert sink.waiting == 0
    sink.put({"row": 1})
    sink.close()
    assert found == {"lost": 3, "written": 1}


def test_a_line_that_cannot_be_written_takes_no_other_with_it(tmp_path: Path) -> None:
    """What JSON does not know is lost, and what comes after it is written; nobody else may read the folder."""
    found = Counter[str]()
    sink = Sink(tmp_path / "log", **LIMITS, count=lambda result, lines: found.update({result: lines}))
    sink.put({"row": 2**70})
    wait_until_idle(sink)
    sink.put({"row": 1})
    sink.close()
    assert found == {"lost": 1, "written": 1}
    assert lines_of(tmp_path / "log") == [{"row": 1}]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o700


COLUMNS = {
    "age": Column(type="number", nullable=True),
    "name": Column(type="text", nullable=True),
    "since": Column(type="datetime"),
    "kind": Column(type="category", categories=["a", "b"]),
    "phone": Column(type="category", open=True, personal=True),
    "secret": Column(type="integer"),
    "y": Column(type="integer", role="target", minimum=0, maximum=1),
}
SCHEMA = Schema(columns=COLUMNS)
# What requests bring: values in the order of the features, and what is said of them.
ROWS: list[list[Any]] = [
    [31.5, "Ada of London", datetime(2026, 1, 1), "a", "1234", 1],
    [None, None, datetime(2026, 1, 2, 3), "b", "5678", 2],
]
SCORES, DECISIONS = [0.25, 0.75], ["wait", "act"]


def test_personal_columns_and_texts_are_not_written_down(tmp_path: Path) -> None:
    """A line has the inputs that may be known, of texts the number of words, score, decision, and what answered."""
    sink = Sink(tmp_path, **LIMITS)
    log = PredictionLog(sink, SCHEMA, {"sample": 1.0, "redact": ["secret"]}, "flights:1a2b", "a model")
    log.write(ROWS, SCORES, DECISIONS)
    sink.close()
    [line] = lines_of(tmp_path)
    first, second = stored.rows(line)
    facts = {"row", "release", "model", "score", "decision", "input.age", "input.name", "input.since", "input.kind"}
    assert set(first) == facts | {"time", "answer", "request"}
    assert (first["input.age"], first["input.name"], first["score"]) == (31.5, 3, 0.25)
    assert (second["input.age"], second["input.name"], second["row"]) == (None, None, 1)
    assert (first["decision"], second["decision"]) == ("wait", "act")
    assert (first["release"], first["model"]) == ("flights:1a2b", "a model")


def answer_all(log: PredictionLog) -> None:
    """Have each row written down as that of a request of its own."""
    of_rows = enumerate(zip(ROWS, SCORES, DECISIONS, strict=True))
    log.answered("/predict", [Answered(number, f"a{number}", "mine", 0.001, *facts) for number, facts in of_rows])


def test_requests_that_come_together_share_their_lines(tmp_path: Path) -> None:
    """Single requests are two lines together, which are read as if each had lines of its own, with its row as ever."""
    sink, found = Sink(tmp_path, **LIMITS, count=lambda result, lines: found.update({result: lines})), Counter[str]()
    log = PredictionLog(sink, SCHEMA, {"sample": 1.0, "redact": ["secret"]}, "flights:1a2b", "a model")
    answer_all(log)
    sink.close()
    [file] = tmp_path.glob("*.jsonl")
    assert (file.read_text().count("\n"), found) == (2, {"written": 4})
    together = lines_of(tmp_path)
    apart = Sink(tmp_path / "apart", **LIMITS)
    log = PredictionLog(apart, SCHEMA, {"sample": 1.0, "redact": ["secret"]}, "flights:1a2b", "a model")
    for values, score, decision in zip(ROWS, SCORES, DECISIONS, strict=True):
        log.write([values], [score], [decision])
    apart.close()
    ids = ("time", "answer", "request")
    columns, outcomes = together[:2], together[2:]
    assert [line["columns"] for line in columns] == [line["columns"] for line in lines_of(tmp_path / "apart")]
    assert [[line[name] for name in ids] for line in columns] == [[line[name] for name in ids] for line in outcomes]
    assert [line["answer"] for line in outcomes] == ["a0", "a1"]
    assert [(line["route"], line["status"], line["ms"]) for line in outcomes] == [("/predict", 200, 1.0)] * 2


def test_what_cannot_be_written_takes_nothing_else_with_it(tmp_path: Path) -> None:
    """Of many that came together, one that JSON has no form for is lost, and counted."""
    found = Counter[str]()
    sink = Sink(tmp_path, **LIMITS, count=lambda result, lines: found.update({result: lines}))
    sink.gather(Waiting([{"a": 1}, {"a": 2**70}, {"a": 3}, {"a": 4}, {"a": 5}], rows=5))
    sink.close()
    assert (lines_of(tmp_path), found) == ([{"a": 1}, {"a": 3}, {"a": 4}, {"a": 5}], {"written": 4, "lost": 1})


def test_of_requests_that_come_together_a_share_can_be_enough(tmp_path: Path) -> None:
    """With a sample of nothing, what became of requests is written down, and no row."""
    sink = Sink(tmp_path, **LIMITS)
    answer_all(PredictionLog(sink, SCHEMA, {"sample": 0.0, "redact": []}, "r", "m"))
    sink.close()
    assert [sorted(line) for line in lines_of(tmp_path)] == [["answer", "ms", "request", "route", "status", "time"]] * 2


def test_a_column_to_redact_must_exist() -> None:
    """A name that is misspelt is an error: the column that was meant would be written down."""
    with pytest.raises(ValueError, match=r"log\.redact of project\.yaml names 'secrte'"):
        logged(SCHEMA, ["secrte"])


def test_a_share_of_the_requests_can_be_enough(tmp_path: Path) -> None:
    """With a sample of nothing, no row is written down."""
    sink = Sink(tmp_path, **LIMITS)
    PredictionLog(sink, SCHEMA, {"sample": 0.0, "redact": []}, "r", "m").write(ROWS, SCORES)
    sink.close()
    assert lines_of(tmp_path) == []


def test_collecting_takes_finished_files_once(tmp_path: Path) -> None:
    """Finished files become Parquet and go, the one that is being written stays, a torn end is counted."""
    folder, store = tmp_path / "log", tmp_path / "store"
    sink = Sink(folder, **LIMITS)
    moment = "2026-03-01T10:00:00.000+00:00"
    sink.put({"time": moment, "request": "busy", "columns": {"score": [0.5]}})
    wait_until_idle(sink)
    killed = [json.dumps({"time": moment, "request": "a", "columns": {"score": [0.5, 0.25], "decision": ["x", "y"]}})]
    killed += [json.dumps({"time": moment, "request": "a", "status": 200, "ms": 3.0}), '{"time": "2026-03']
    (folder / "container").mkdir()
    (folder / "container" / "20260301T100000.000000Z-1.jsonl").write_text("\n".join(killed))
    done = stored.collect(folder, str(store))
    assert (done.files, done.answers, done.requests, done.torn, done.unfinished) == (1, 2, 1, 1, 1)
    day = pd.Timestamp("2026-03-01", tz="UTC")
    since, until = day.to_pydatetime(), (day + pd.Timedelta(days=1)).to_pydatetime()
    answers = stored.read(str(store), "answers", since, until)
    assert answers[["request", "row", "score", "decision"]].to_numpy().tolist() == [
        ["a", 0, 0.5, "x"],
        ["a", 1, 0.25, "y"],
    ]
    assert stored.read(str(store), "requests", since, until)["status"].tolist() == [200]
    assert stored.collect(folder, str(store)).files == 0
    sink.close()


MANY = {"time": [1772359200000] * 2, "answer": ["a", "b"], "status": 200, "ms": [1.0, 2.0]}
DAMAGED: list[Any] = [
    {},
    MANY | {"ms": [1.0]},
    MANY | {"columns": {"score": [0.5]}},
    MANY | {"columns": {"score": 0.5}},
    MANY | {"columns": 5},
    MANY | {"answer": []},
    MANY | {"time": ["2026-03-01T10:00:00+00:00"] * 2},
    MANY | {"time": [10**18] * 2},
    {"time": "yesterday", "request": "a", "status": 200, "ms": 1},
    {"time": "2026-03-01T10:00:00", "request": "a", "status": 200, "ms": 1},
    {"time": 5, "request": "a", "status": 200, "ms": 1},
    {"time": "2026-03-01T10:00:00+00:00", "request": "a", "status": {}, "ms": 1},
    {"time": "2026-03-01T10:00:00+00:00", "request": "a", "status": 10**30, "ms": 1},
    *(
        {"time": "2026-03-01T10:00:00+00:00", "request": "a", "columns": columns}
        for columns in (5, None, [1], {}, {"score": []}, {"score": 0.5}, {"score": [0.5], "decision": ["x", "y"]})
    ),
]


def test_a_damaged_line_is_left_out_and_the_others_are_not(tmp_path: Path) -> None:
    """Whatever stands in a file that is no line of the service's is counted as torn; the rest is collected."""
    good = {"time": "2026-03-01T10:00:00+00:00", "request": "good", "columns": {"score": [0.5]}}
    texts = [json.dumps(line) for line in [*DAMAGED, good]] + ["[" * 100_000, "null", "\x00"]
    folder, store = tmp_path / "log", str(tmp_path / "store")
    folder.mkdir()
    (folder / "20260301T100000.000000Z-1.jsonl").write_text("\n".join(texts) + "\n")
    (folder / "a folder.jsonl").mkdir()
    (folder / "gone.jsonl").symlink_to(folder / "nowhere")
    done = stored.collect(folder, store)
    assert (done.files, done.answers, done.requests, done.torn) == (1, 1, 0, len(texts) - 1)
    day = datetime(2026, 3, 1, tzinfo=UTC)
    assert stored.read(store, "answers", day, day + timedelta(days=1))["request"].tolist() == ["good"]


def wait_until_idle(sink: Sink) -> None:
    """Wait until everything that was put is written or lost."""
    give_up = time.monotonic() + 30
    while sink.waiting:
        assert time.monotonic() < give_up
        time.sleep(0.005)

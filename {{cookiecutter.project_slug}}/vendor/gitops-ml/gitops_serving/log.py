"""What the service writes down of its answers: lines of JSON, in files that rotate, by a thread of their own.

BentoML's monitoring facility takes the records; its own writer is not used, since it writes while the caller waits,
goes on in a file that a killed process left half written, prints values when it fails, and never removes anything.

There is a line for each request, and one for what was answered to it, with the rows column by column, so that a large
batch costs little. A line is written whole or not at all, and counted in the metric `prediction_log_lines` once the
kernel has it. Whatever happens to the log, the caller gets an answer.
"""

from __future__ import annotations

import atexit
import contextvars
import datetime
import fcntl
import logging
import os
import queue
import random
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import bentoml
import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
from bentoml.monitoring import MonitorBase
from pipeline.profile import words
from pipeline.schema import Schema
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The folder to write to; without it, nothing is written down.
VARIABLE = "PREDICTIONS"
# The caller's id, which may stand for several calls, and the service's own, which is that of one answer.
REQUEST_ID, ANSWER_ID = "x-request-id", "x-answer-id"
SANE_ID = re.compile(r"[0-9A-Za-z._:-]{1,64}")
# Rows that wait to be written, at most; with more, the disk is too slow and the newest are lost.
WAITING_ROWS = 50_000
PAUSE_SECONDS = 0.5
CLOSING_SECONDS = 5.0


class Ids(NamedTuple):
    """What an answer is called: by the service, and by the caller, or by the service again."""

    answer: str = ""
    request: str = ""


current_ids: contextvars.ContextVar[Ids] = contextvars.ContextVar("current_ids")
_log = logging.getLogger(__name__)

Line = dict[str, Any]


class Sink:
    """A folder of files that are appended to by whole lines. Each process has files of its own, and locks the one that
    it writes, so that whoever collects them knows which are finished, by whatever they were ended.
    """

    def __init__(
        self,
        folder: Path,
        file_bytes: int,
        file_seconds: float,
        files: int,
        count: Callable[[str], object] = lambda result: None,
    ) -> None:
        """Write to a folder.

        Args:
            folder: is made when it is needed.
            file_bytes: from here on a file is finished.
            file_seconds: so is one that was begun so long ago.
            files: of more, the oldest are removed.
            count: is told of each line whether it was `written` or `lost`.
        """
        self.folder, self.count = folder, count
        self.file_bytes, self.file_seconds, self.files = file_bytes, file_seconds, files
        self.handle: int | None = None
        self.size, self.since = 0, 0.0
        self.well = True
        self.waiting = 0
        self.lock = threading.Lock()
        self.queue: queue.SimpleQueue[tuple[int, Line] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="prediction log", daemon=True)
        self.thread.start()
        atexit.register(self.close)

    def put(self, line: Line, rows: int = 1) -> None:
        """Have a line written soon; the caller does not wait. `rows` is how large it is."""
        with self.lock:
            full = self.waiting + rows > WAITING_ROWS
            self.waiting += 0 if full else rows
        if full:
            self.lose("the disk is too slow")
        else:
            self.queue.put((rows, line))

    def close(self) -> None:
        """Write what waits, as far as that takes no longer than a moment."""
        self.queue.put(None)
        self.thread.join(CLOSING_SECONDS)

    def _work(self) -> None:
        while True:
            try:
                taken = self.queue.get(timeout=PAUSE_SECONDS)
            except queue.Empty:
                self._end_old()
                continue
            if taken is None:
                self._end()
                return
            rows, line = taken
            try:
                self._write(_text(line))
            except OSError as error:
                self.lose(error.strerror or type(error).__name__)
            except Exception as error:  # the thread must live on, whatever a line holds
                self.lose(type(error).__name__)
            else:
                self.well = True
                self.count("written")
            with self.lock:
                self.waiting -= rows
            self._end_old()

    def _write(self, content: bytes) -> None:
        if self.handle is None:
            self._begin()
        assert self.handle is not None  # noqa: S101 - for the type checker
        try:
            written = os.write(self.handle, content)
            if written < len(content):
                # The disk is full, or nearly so; write(2) then writes what fits.
                raise OSError(28, "No space left on device")
        except OSError:
            os.ftruncate(self.handle, self.size)
            raise
        self.size += written
        if self.size >= self.file_bytes:
            self._end()

    def _begin(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in sorted(self.folder.glob("*.jsonl"))[: -self.files or None] if self.files else []:
            old.unlink(missing_ok=True)
        name = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S.%f}Z-{uuid.uuid4().hex[:8]}.jsonl"
        self.handle = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        fcntl.flock(self.handle, fcntl.LOCK_EX)
        self.size, self.since = 0, time.monotonic()
        if not os.fstat(self.handle).st_nlink:
            # Before it was locked, whoever collects took it for a finished file without a line.
            self._end()
            self._begin()

    def _end_old(self) -> None:
        if self.handle is not None and time.monotonic() - self.since > self.file_seconds:
            self._end()

    def _end(self) -> None:
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None

    def lose(self, reason: str) -> None:
        """Count a line that is not written down, and say so unless that was said."""
        self.count("lost")
        if self.well:
            # Once, until it works again: a full disk is no reason to fill it with complaints.
            _log.warning("predictions cannot be written down: %s", reason)
        self.well = False


class Lines(MonitorBase[Any]):
    """BentoML's monitor of a record of columns: they go to the sink as one line."""

    def __init__(self, name: str, sink: Sink, release: str, model: str) -> None:
        super().__init__(name)
        self.sink = sink
        self.facts = {"release": release, "model": model}

    def export_schema(self, columns_schema: dict[str, dict[str, str]]) -> None:
        """The schema is in the release that each line names."""

    def export_data(self, datas: dict[str, deque[Any]]) -> None:
        """Each column came as one value, its list: a call for each value would cost as much as the prediction."""
        columns = {name: values[0] for name, values in datas.items()}
        line = {"time": _now(), **current_ids.get(Ids())._asdict(), **self.facts, "columns": columns}
        self.sink.put(line, len(columns["score"]))


class PredictionLog:
    """Writes down rows and scores, and what became of requests."""

    def __init__(self, sink: Sink, schema: Schema, settings: dict[str, Any], release: str, model: str) -> None:
        """Write to a sink.

        Raises:
            ValueError: a column that is not to be written down does not exist.
        """
        self.sink, self.share = sink, settings["sample"]
        self.columns = {name: schema.features[name].type for name in logged(schema, settings["redact"])}
        self.options = {"sink": sink, "release": release, "model": model}
        # BentoML keeps a monitor by its name, and with it the sink.
        self.name = f"predictions {uuid.uuid4().hex}"

    def write(self, table: pd.DataFrame, scores: npt.NDArray[np.float64], decisions: list[str] | None = None) -> None:
        """Have rows, their scores and what was decided written down, or the share of the requests that is asked for."""
        if random.random() >= self.share:  # noqa: S311 - a sample
            return
        try:
            with bentoml.monitor(self.name, monitor_class=Lines, monitor_options=self.options) as record:  # type: ignore[call-overload]
                for name, kind in self.columns.items():
                    values = words(table[name]) if kind == "text" else table[name]
                    numeric = kind in ("integer", "number", "boolean", "text")
                    record.log(values.tolist(), f"input.{name}", "feature", "numerical" if numeric else "categorical")
                record.log(scores.tolist(), "score", "prediction", "numerical")
                if decisions is not None:
                    record.log(decisions, "decision", "prediction", "categorical")
        except Exception as error:  # a prediction is worth more than its line
            self.sink.lose(type(error).__name__)


def logged(schema: Schema, redact: list[str]) -> list[str]:
    """The inputs that are written down: all but those that are personal, or that the project redacts.

    Raises:
        ValueError: a column to redact does not exist, so another one would be written down.
    """
    if unknown := [name for name in redact if name not in schema.features]:
        raise ValueError(f"log.redact of project.yaml names {unknown[0]!r}, which is no feature of schema.yaml")
    return [name for name, column in schema.features.items() if not column.personal and name not in redact]


class RequestLog:
    """ASGI middleware: gives each answer an id, and writes down what became of the request.

    The caller's own id, if there is one, is kept beside it and sent back: several calls may share it, in retries, in
    all that a session asks, or because somebody upstream made it.
    """

    def __init__(self, app: ASGIApp, sink: Callable[[], Sink | None], routes: tuple[str, ...]) -> None:
        self.app, self.sink, self.routes = app, sink, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in self.routes:
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(REQUEST_ID.encode(), b"").decode("latin-1")
        answer = uuid.uuid4().hex
        ids = Ids(answer, said if SANE_ID.fullmatch(said) else answer)
        current_ids.set(ids)
        line: Line = {"time": _now(), **ids._asdict(), "route": scope["path"], "status": 500}
        start = time.perf_counter()

        async def noticed(message: Message) -> None:
            if message["type"] == "http.response.start":
                line["status"] = message["status"]
                MutableHeaders(scope=message).update({REQUEST_ID: ids.request, ANSWER_ID: answer})
            await send(message)

        try:
            await self.app(scope, receive, noticed)
        finally:
            if sink := self.sink():
                sink.put(line | {"ms": round((time.perf_counter() - start) * 1000, 3)})


def opened(settings: dict[str, Any]) -> Sink | None:
    """The sink that the environment names; None if it names none."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    # prometheus_client looks at its environment when it is imported; BentoML has set that by now.
    from prometheus_client import Counter  # noqa: PLC0415

    lines = Counter("prediction_log_lines", "Lines of the prediction log by what became of them", ["result"])
    for result in ("written", "lost"):
        lines.labels(result)
    limits = {name: settings[name] for name in ("file_bytes", "file_seconds", "files")}
    return Sink(Path(folder), **limits, count=lambda result: lines.labels(result).inc())


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _text(line: Line) -> bytes:
    """One line of JSON, in which what is missing is null and a moment text."""
    return orjson.dumps(line, _moment, orjson.OPT_APPEND_NEWLINE)


def _moment(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)

"""What the service writes down goes to files that rotate, as lines of JSON, by a thread of its own.

A line is written whole or not at all, and what it holds is counted in the metric `prediction_log_lines` once the kernel
has it. Whatever happens to the log, the caller gets an answer.
"""

from __future__ import annotations

import atexit
import datetime
import fcntl
import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson

# The folder to write to; without it, nothing is written down.
VARIABLE = "PREDICTIONS"
# Rows that wait to be written, at most; with more, the disk is too slow and the newest are lost.
WAITING_ROWS = 50_000
PAUSE_SECONDS = 0.5
CLOSING_SECONDS = 5.0

_log = logging.getLogger(__name__)

Line = dict[str, Any]
# Makes as few lines as it can of what came together.
Fold = Callable[[list[Any]], Iterable[Line]]


class Waiting(NamedTuple):
    """What `fold` makes lines of: how many rows that is, and how many lines each would be by itself."""

    items: list[Any]
    fold: Fold = iter
    rows: int = 1
    lines: int = 1


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
        count: Callable[[str, int], object] = lambda result, lines: None,
    ) -> None:
        """Write to a folder.

        Args:
            folder: is made when it is needed.
            file_bytes: from here on a file is finished.
            file_seconds: so is one that was begun so long ago.
            files: of more, the oldest are removed.
            count: is told how many lines were `written` or `lost`; a folded one counts as those that it stands for.
        """
        self.folder, self.count = folder, count
        self.file_bytes, self.file_seconds, self.files = file_bytes, file_seconds, files
        self.handle: int | None = None
        self.size, self.since = 0, 0.0
        self.well = True
        self.waiting = 0
        self.lock = threading.Lock()
        self.queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._work, name="prediction log", daemon=True)
        self.thread.start()
        atexit.register(self.close)

    def put(self, line: Line, rows: int = 1) -> None:
        """Have a line written soon; the caller does not wait. `rows` is how large it is."""
        self.gather(Waiting([line], rows=rows))

    def gather(self, waiting: Waiting) -> None:
        """Have something written soon, all of it by one call if it fits; the caller does not wait."""
        with self.lock:
            full = self.waiting + waiting.rows > WAITING_ROWS
            self.waiting += 0 if full else waiting.rows
        if full:
            self.lose("the disk is too slow", len(waiting.items) * waiting.lines)
        else:
            self.queue.put(waiting)

    def close(self) -> None:
        """Write what waits, as far as that takes no longer than a moment."""
        self.closing.set()
        self.queue.put(None)
        self.thread.join(CLOSING_SECONDS)

    def _work(self) -> None:
        while not (self.closing.is_set() and self.queue.empty()):
            came = self._came()
            for waiting in came:
                self._put_down(waiting)
            with self.lock:
                self.waiting -= sum(each.rows for each in came)
            self._end_old()
        self._end()

    def _put_down(self, waiting: Waiting) -> None:
        """Write what can be written by one call; if that does not fit, or something is no JSON, all else."""
        items, lines = waiting.items, len(waiting.items) * waiting.lines
        try:
            self._write(_text(waiting.fold(items)))
        except Exception as error:  # the thread must live on, whatever a line holds
            if len(items) == 1:
                self.lose(getattr(error, "strerror", None) or type(error).__name__, lines)
                return
            for half in (items[: len(items) // 2], items[len(items) // 2 :]):
                self._put_down(waiting._replace(items=half))
        else:
            self.well = True
            self.count("written", lines)

    def _came(self) -> list[Waiting]:
        """What there is to write."""
        came = []
        with suppress(queue.Empty):
            came.append(self.queue.get(timeout=PAUSE_SECONDS))
            while True:
                came.append(self.queue.get_nowait())
        return [each for each in came if each is not None]

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

    def lose(self, reason: str, lines: int = 1) -> None:
        """Count lines that are not written down, and say so unless that was said."""
        self.count("lost", lines)
        if self.well:
            # Once, until it works again: a full disk is no reason to fill it with complaints.
            _log.warning("predictions cannot be written down: %s", reason)
        self.well = False


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
    return Sink(Path(folder), **limits, count=lambda result, number: lines.labels(result).inc(number))


def _text(lines: Iterable[Line]) -> bytes:
    """Lines of JSON, in which what is missing is null and a moment text."""
    return b"".join(orjson.dumps(line, _moment, orjson.OPT_APPEND_NEWLINE) for line in lines)


def _moment(value: Any) -> str | None:
    # pandas' own missing moment is not equal to itself.
    return None if value != value else str(value)  # noqa: PLR0124

"""A rollout as a front has it: where the new release listens, whom it answers, and what is written down of both.

It stands in active.json, so that beginning, going on with and ending a rollout is the one step that replacing that file
is. A front starts quickly and is small, so nothing is imported here that is neither.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

# Whoever is to be split by chance, and not by who asks.
CHANCE = "chance"
SHARES = 10_000
# Of what is written down in a stage; nobody reads more than its rows, and a disk is not to be filled.
LOG_BYTES = 64_000_000


@dataclass(frozen=True)
class Split:
    """What a front must know of a rollout."""

    port: int
    release: str
    share: float
    by: bytes
    log: Path

    @classmethod
    def of(cls, found: dict[str, Any], folder: Path) -> Split:
        """What active.json in an agent's folder says of it."""
        release = str(found["release"]["release"])
        return cls(int(found["port"]), release, float(found["share"]), found["by"].encode(), folder / found["log"])

    def takes(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether the new release answers this caller: always, as long as the share does not become smaller.

        Who sends no such header is answered by the old one.
        """
        if not self.share:
            return False
        if self.by == CHANCE.encode():
            place = int.from_bytes(os.urandom(4)) % SHARES
        else:
            said = next((value for name, value in headers if name.lower() == self.by), None)
            if said is None:
                return False
            place = int.from_bytes(hashlib.sha256(self.release.encode() + b" " + said).digest()[:8]) % SHARES
        return place < self.share / 100 * SHARES


@dataclass(frozen=True)
class Seen:
    """What came of one request: the status, 0 if there was none; how long it took; and the answer, if it is short."""

    status: int
    ms: float
    body: str | None = None


@dataclass(frozen=True)
class Line:
    """What was written down of a request: by whom it was answered, by both if it was shadowed."""

    old: Seen | None = None
    new: Seen | None = None


class Log:
    """The file of a stage, which is appended to by whole lines."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.handle: int | None = None
        self.size = 0

    def write(self, path: Path, line: Line) -> None:
        """Write a line down; that nothing can be written is no reason not to answer."""
        content = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        try:
            if path != self.path:
                self._open(path)
            if self.handle is not None and self.size + len(content) <= LOG_BYTES:
                self.size += os.write(self.handle, content)
        except OSError:
            self.close()

    def close(self) -> None:
        """Write no more into this file."""
        if self.handle is not None:
            os.close(self.handle)
        self.path = self.handle = None

    def _open(self, path: Path) -> None:
        self.close()
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self.handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.path, self.size = path, os.fstat(self.handle).st_size


def read(path: Path) -> list[Line]:
    """What was written down in a stage until now; a line that a killed front left half written is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    whole, _, _ = content.rpartition(b"\n")
    found = []
    for line in whole.splitlines():
        try:
            old, new = (Seen(**each) if each else None for each in map(orjson.loads(line).get, ("old", "new")))
        except (AttributeError, TypeError, ValueError):
            continue
        found.append(Line(old, new))
    return found

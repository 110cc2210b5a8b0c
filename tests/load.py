"""Callers of a service who go on asking whatever happens to it, and notice what goes wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import yaml

from ci.shell import ROOT

CALLERS = 2


def row_of_april(project: Path) -> dict[str, Any]:
    """A flight of April as a caller sends it."""
    columns = yaml.safe_load((project / "schema.yaml").read_text())["columns"]
    features = [name for name, column in columns.items() if column.get("role", "feature") == "feature"]
    row: dict[str, Any]
    (row,) = pq.read_table(ROOT / "ci/batches/2013-04.parquet", columns=features).slice(0, 1).to_pylist()
    return row


@dataclass
class Load:
    """Asks for predictions as fast as they come, and remembers what went wrong."""

    url: str
    row: dict[str, Any]
    answered: int = 0
    lost: list[str] = field(default_factory=list)
    scores: set[float] = field(default_factory=set)
    answered_by: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until it is over, over connections that are kept."""
        with httpx.Client(timeout=60) as client:
            while not self.over.is_set():
                try:
                    answer = client.post(f"{self.url}/predict", json={"row": self.row})
                    said = answer.raise_for_status().json()
                    self.scores.add(said["score"])
                    self.answered_by.add(said["release"])
                    self.answered += 1
                except httpx.HTTPError as error:
                    self.lost.append(f"{type(error).__name__}: {error}")
                # The two cores of a small machine are to have time for the agent too.
                time.sleep(0.02)

    def await_more(self) -> None:
        """Wait until a good many more were answered, whatever went wrong before."""
        wanted = self.answered + 50
        while self.answered < wanted:
            time.sleep(0.1)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Have callers ask until the block ends."""
        callers = [threading.Thread(target=self.run) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        try:
            yield
        finally:
            self.over.set()
            for caller in callers:
                caller.join()

"""What was scored, durably: a search that was killed goes on from here, and computes nothing twice."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gitops_ml.core.errors import UserError, said
from gitops_ml.search.task import Scored, Task


class Journal:
    """A file of lines; the first says what they belong to. A line that was cut by a crash is none."""

    def __init__(self, path: Path, belongs_to: str) -> None:
        """Read what there is of the same search; what is there of another one is replaced.

        Raises:
            UserError: the file cannot be written.
        """
        self.path = path
        self.known: dict[Task, Scored] = {}
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        if whole[:1] != [belongs_to]:
            whole, lines = [belongs_to], []
        for train, fold, value, failed in whole[1:]:
            self.known[Task(train, fold)] = Scored(value, failed)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not lines or not lines[-1].endswith("\n"):
                text = "".join(json.dumps(line) + "\n" for line in whole)
                part = path.with_suffix(".part")
                part.write_text(text, encoding="utf-8")
                part.replace(path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {said(error)}") from error

    def add(self, task: Task, scored: Scored) -> None:
        """Write a result down, on the disk before this returns.

        Raises:
            UserError: it cannot be written; the search goes on from here when there is room.
        """
        self.known[task] = scored
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([task.train, task.fold, scored.value, scored.failed]) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {said(error)}") from error

"""What is written down of rows: inputs that may be known, scores, decisions, and which release answered.

BentoML's monitoring facility takes the records; its own writer is not used, since it writes while the caller waits,
goes on in a file that a killed process left half written, prints values when it fails, and never removes anything.
The rows of a request stand in one line, column by column, so that a large batch costs little. So do the rows of many
requests that came together with one row each: in their line, and in that of what became of them, whatever differs
between them is a list.
"""

from __future__ import annotations

import random
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import bentoml
from bentoml.monitoring import MonitorBase
from pipeline.schema import Column, Schema

from gitops_serving.log import Ids, current_ids, now
from gitops_serving.sink import Line, Sink, Waiting


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
        line = {"time": now(), **current_ids.get(Ids())._asdict(), **self.facts, "columns": columns}
        self.sink.put(line, len(columns["score"]))


class Answered(NamedTuple):
    """A request of one row that was answered: when it came, in seconds since 1970, and how many seconds it took."""

    time: float
    answer: str
    request: str
    seconds: float
    values: Sequence[Any]
    score: float | list[float]
    decision: str | None


class PredictionLog:
    """Writes down rows and scores, and what became of requests."""

    def __init__(self, sink: Sink, schema: Schema, settings: dict[str, Any], release: str, model: str) -> None:
        """Write to a sink.

        Raises:
            ValueError: a column that is not to be written down does not exist.
        """
        self.sink, self.share = sink, settings["sample"]
        self.columns = {name: schema.features[name] for name in logged(schema, settings["redact"])}
        self.places = {name: place for place, name in enumerate(schema.features)}
        self.options = {"sink": sink, "release": release, "model": model}
        # BentoML keeps a monitor by its name, and with it the sink.
        self.name = f"predictions {uuid.uuid4().hex}"

    def write(self, rows: Sequence[Sequence[Any]], scores: list[Any], decisions: list[str] | None = None) -> None:
        """Have rows, their scores and what was decided written down, or the share of the requests that is asked for."""
        if random.random() >= self.share:  # noqa: S311 - a sample
            return
        try:
            with bentoml.monitor(self.name, monitor_class=Lines, monitor_options=self.options) as record:  # type: ignore[call-overload]
                for name, values in self._inputs(rows).items():
                    numeric = self.columns[name.removeprefix("input.")].type in ("integer", "number", "boolean", "text")
                    record.log(values, name, "feature", "numerical" if numeric else "categorical")
                record.log(scores, "score", "prediction", "numerical")
                if decisions is not None:
                    record.log(decisions, "decision", "prediction", "categorical")
        except Exception as error:  # a prediction is worth more than its line
            self.sink.lose(type(error).__name__)

    def answered(self, route: str, requests: list[Answered]) -> None:
        """Have requests of one row written down, with the rows of those that are of the share that is asked for."""
        chosen: dict[bool, list[Answered]] = {True: [], False: []}
        for each in requests:
            chosen[random.random() < self.share].append(each)  # noqa: S311 - a sample
        for with_row, some in chosen.items():
            if some:
                fold = self._with_rows if with_row else self._outcomes
                self.sink.gather(Waiting(some, partial(fold, route), rows=len(some), lines=1 + with_row))

    def _with_rows(self, route: str, requests: list[Answered]) -> Iterator[Line]:
        columns = self._inputs([each.values for each in requests])
        columns["score"] = [each.score for each in requests]
        if requests[0].decision is not None:
            columns["decision"] = [each.decision for each in requests]
        facts = {"release": self.options["release"], "model": self.options["model"]}
        yield _ids(requests) | facts | {"columns": columns}
        yield from self._outcomes(route, requests)

    @staticmethod
    def _outcomes(route: str, requests: list[Answered]) -> Iterator[Line]:
        """What became of requests: they were answered."""
        milliseconds = [round(each.seconds * 1000, 3) for each in requests]
        yield _ids(requests) | {"route": route, "status": 200, "ms": milliseconds}

    def _inputs(self, rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
        """The columns of rows that may be known."""
        columns = list(zip(*rows, strict=True))
        return {f"input.{name}": _values(columns[self.places[name]], column) for name, column in self.columns.items()}


def logged(schema: Schema, redact: list[str]) -> list[str]:
    """The inputs that are written down: all but those that are personal, or that the project redacts.

    Raises:
        ValueError: a column to redact does not exist, so another one would be written down.
    """
    if unknown := [name for name in redact if name not in schema.features]:
        raise ValueError(f"log.redact of project.yaml names {unknown[0]!r}, which is no feature of schema.yaml")
    return [name for name, column in schema.features.items() if not column.personal and name not in redact]


def _values(values: Sequence[Any], column: Column) -> list[Any]:
    """Values of one column as a table of them would have them, missing ones apart, which are null anyhow."""
    if column.type in ("number", "category") or (column.type in ("integer", "boolean") and not column.nullable):
        return list(values)
    # BentoML's supervisor imports this file, too, and writes nothing: it does without pandas.
    import pandas as pd  # noqa: PLC0415
    from pipeline.profile import words  # noqa: PLC0415
    from pipeline.validation import cast  # noqa: PLC0415

    found = cast(pd.DataFrame({"": list(values)}), {"": column})[""]
    return (words(found) if column.type == "text" else found).tolist()


def _ids(requests: list[Answered]) -> Line:
    """When requests came, in milliseconds since 1970, and what they are called."""
    return {
        "time": [int(each.time * 1000) for each in requests],
        "answer": [each.answer for each in requests],
        "request": [each.request for each in requests],
    }

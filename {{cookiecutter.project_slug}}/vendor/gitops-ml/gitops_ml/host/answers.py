"""What a release that was packaged must answer, whatever it runs as."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
from pipeline import data, model
from pipeline.validation import cast

from gitops_ml.core import project
from gitops_ml.core.errors import UserError
from gitops_ml.image import proof
from gitops_serving.contract import plural, to_answers
from gitops_serving.fast import Tier, checked
from gitops_serving.version import Version

GOLDEN_ROWS = 1000
TIMED_ROWS = 50
# See gitops_serving.short.
WAYS = re.compile(r"(?m)^prediction_way_total\{way=\"(\w+)\"\} (\S+)$")


class TrialError(UserError):
    """What was packaged does not do what it must."""


@dataclass(frozen=True)
class Truth:
    """What is known of the model in the working tree."""

    settings: project.Project
    # Of the evaluation set, as a caller sends them.
    rows: list[dict[str, Any]]
    # What the model itself says of them, by the fields of a batch's answer, and of the first of them alone: the sums of
    # a linear model differ in their last bit by how many rows are multiplied at once.
    said: dict[str, list[Any]]
    alone: dict[str, list[Any]]
    # How they are scored on this processor.
    tier: Tier

    @classmethod
    def read(cls, root: Path) -> Truth:
        """Ask the model itself.

        Raises:
            UserError: it is not the one that dvc.lock names.
        """
        served, settings = proof.Served.read(root), project.read(root)
        table = pd.read_parquet(root / proof.TEST).head(min(GOLDEN_ROWS, served.batch_rows))
        return cls.of(served, settings, table)

    @classmethod
    def of(cls, served: proof.Served, settings: project.Project, table: pd.DataFrame) -> Truth:
        """Ask a model about rows of the evaluation set."""
        inputs = data.features(cast(table, served.schema.features), served.schema)
        said, alone = (
            to_answers(model.score(served.fitted, rows), served.schema, served.policy)
            for rows in (inputs, inputs.head(1))
        )
        tier = checked(served.scorer, served.schema).tier
        return cls(settings, proof.sent(table, served.schema), said, alone, tier)

    @property
    def ready_seconds(self) -> float:
        """How long a release may take to become ready, wherever it is served."""
        return max(each.ready_seconds for each in self.settings.environments)


def required(client: httpx.Client, version: Version, truth: Truth) -> Iterator[str]:
    """Ask a running service; a sentence for each thing that holds.

    Raises:
        TrialError: something does not hold.
    """
    yield _version(client, version, truth.tier)
    yield golden(client, truth)
    yield _refusals(client, truth.rows[0], truth.settings.service.body_bytes)
    yield _latency(client, truth.rows, truth.settings.gate.latency_ms)
    yield from _way(client)


def _version(client: httpx.Client, version: Version, tier: Tier) -> str:
    """What it says of itself, and that it scores rows as it can here: nobody would notice a slower way."""
    said = client.get("/version").json()
    if {name: value for name, value in said.items() if name != "tier"} != version.model_dump():
        raise TrialError(f"/version says {json.dumps(said)}, which is not what was packaged")
    if said.get("tier") not in (None, tier):
        raise TrialError(
            f"rows are scored by way of {said['tier']!r}, and with the packages here by way of {tier!r}; what the "
            "service says at its start names the reason"
        )
    return "/version names the release, the commit, the hashes of model and data, and how rows are scored"


def golden(client: httpx.Client, truth: Truth) -> str:
    """That rows of the evaluation set, together and alone, get the model's own answers.

    Raises:
        TrialError: one does not.
    """
    batch = client.post("/predict_batch", json={"rows": truth.rows}).raise_for_status().json()
    single = client.post("/predict", json={"row": truth.rows[0]}).raise_for_status().json()
    pairs = [pair for name, values in truth.said.items() for pair in zip(batch[name], values, strict=True)]
    pairs += [(value, truth.alone[plural(name)][0]) for name, value in single.items() if name != "release"]
    if differing := sum(one != other for one, other in pairs):
        raise TrialError(f"{differing} of {len(pairs)} answers differ from the model's outside of the image")
    return f"{len(truth.rows)} rows of the evaluation set get the model's own answers, to the last bit"


def _refusals(client: httpx.Client, row: dict[str, Any], body_bytes: int) -> str:
    json_type = {"content-type": "application/json"}
    plain = {"content-type": "text/plain"}
    wanted = {
        "an unknown column": (400, client.post("/predict", json={"row": row | {"no such column": 1}})),
        "a cut body": (400, client.post("/predict", content=b'{"row": ', headers=json_type)),
        "an empty batch": (400, client.post("/predict_batch", json={"rows": []})),
        "a body that is no JSON": (415, client.post("/predict", content=b"a=1", headers=plain)),
        "a body that is too large": (
            413,
            client.post("/predict_batch", content=b" " * (body_bytes + 1), headers=json_type),
        ),
    }
    for what, (status, answer) in wanted.items():
        if answer.status_code != status:
            raise TrialError(f"{what} gets {answer.status_code}, not {status}")
    if not client.get("/readyz").is_success:
        raise TrialError("it is not ready any more after bad requests")
    return f"{len(wanted)} kinds of bad requests are refused, and it goes on"


def _latency(client: httpx.Client, rows: list[dict[str, Any]], budget: float) -> str:
    times = []
    for row in rows[:TIMED_ROWS]:
        start = time.perf_counter()
        client.post("/predict", json={"row": row}).raise_for_status()
        times.append((time.perf_counter() - start) * 1000)
    p95 = float(np.quantile(times, 0.95))
    if p95 > budget:
        raise TrialError(f"a row takes {p95:.0f} ms at the 95th percentile, and gate.latency_ms allows {budget:g}")
    return f"a row takes {p95:.1f} ms at the 95th percentile, of {budget:g} that gate.latency_ms allows"


def _way(client: httpx.Client) -> Iterator[str]:
    """That rows alone took the short way: nobody would notice that they take a hundred times as long."""
    ways = dict(WAYS.findall(client.get("/metrics").raise_for_status().text))
    if not ways:
        yield "service/service.py has no short way"
    elif not float(ways["short"]):
        raise TrialError(
            "no row alone took the short way; what the service says at its start names the reason, and service.py "
            "without ShortWay says that you want it so"
        )
    else:
        yield f"{float(ways['short']):g} rows alone took the short way"

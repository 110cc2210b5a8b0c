"""A release that was packaged is held to what its model says, of rows together and of rows alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from gitops_ml.core import project
from gitops_ml.host.answers import TrialError, Truth, golden
from gitops_ml.image.proof import Served
from gitops_serving.contract import to_answers
from gitops_serving.fast import compiled
from gitops_serving.fast.rows import drawn
from pipeline import data, model
from pipeline.validation import cast

from tests.automation.serving.test_fast import COLUMNS, fitted, problem
from tests.automation.tables import PROJECT


def test_a_row_alone_is_held_to_what_the_model_says_of_it_alone() -> None:
    """A linear model may say another last bit of a row in a batch; either answer passes where it belongs alone."""
    schema = problem("binary", COLUMNS["plain"])
    pipeline = fitted(schema, "sklearn.linear_model.LogisticRegression", {"max_iter": 500})
    served = Served(schema, None, 1000, pipeline, compiled(pipeline, schema))
    table = cast(pd.DataFrame(drawn(schema, {}, {}, seed=5, count=400), columns=list(schema.features)), schema.features)
    settings = project.read(PROJECT)
    truth = next(
        found
        for place in range(len(table))
        if (found := Truth.of(served, settings, first(table, place))).said["scores"][0] != found.alone["scores"][0]
    )

    def said(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
        sent = cast(pd.DataFrame(rows, columns=list(schema.features)), schema.features)
        return to_answers(model.score(pipeline, data.features(sent, schema)), schema, None)

    assert "400 rows" in golden(service(said, lambda row: said([row])["scores"][0]), truth)
    with pytest.raises(TrialError, match="1 of 401 answers differ"):
        golden(service(said, lambda _: truth.said["scores"][0]), truth)


def first(table: pd.DataFrame, place: int) -> pd.DataFrame:
    """The rows with one of them before all others."""
    return table.iloc[[place, *np.delete(np.arange(len(table)), place)]]


def service(batch: Callable[[Any], dict[str, list[Any]]], alone: Callable[[Any], float]) -> httpx.Client:
    """What answers as a release does, by the two functions."""

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        return httpx.Response(200, json=batch(body["rows"]) if "rows" in body else {"score": alone(body["row"])})

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://service")

"""A release that was packaged is held to what its model says, of rows together and of rows alone."""

from __future__ import annotations

from dataclasses import replace

import httpx
import numpy as np
import pandas as pd
import pytest
from gitops_ml.core import project
from gitops_ml.host.answers import TrialError, Truth, golden
from gitops_ml.image.proof import Served
from gitops_serving.fast import compiled
from gitops_serving.fast.rows import drawn
from pipeline import data, model
from pipeline.validation import cast

from tests.automation.serving.test_fast import COLUMNS, fitted, problem
from tests.automation.tables import PROJECT


def test_a_row_alone_is_held_to_what_the_model_says_of_it_alone() -> None:
    """Where a model says another last bit of a row alone than in a batch, each answer passes in its own place only."""
    schema = problem("binary", COLUMNS["plain"])
    pipeline = fitted(schema, "sklearn.linear_model.LogisticRegression", {"max_iter": 500})
    served = Served(schema, None, 1000, pipeline, compiled(pipeline, schema))
    table = cast(pd.DataFrame(drawn(schema, {}, {}, seed=5, count=400), columns=list(schema.features)), schema.features)
    truth = Truth.of(served, project.read(PROJECT), table)
    together, alone = (model.score(pipeline, data.features(rows, schema)).tolist() for rows in (table, table.head(1)))
    assert (truth.said, truth.alone) == ({"scores": together}, {"scores": alone})
    # Whether there is such a bit here depends on the processor.
    bit = replace(truth, alone={"scores": [float(np.nextafter(together[0], 1))]})
    assert "400 rows" in golden(service(together, bit.alone["scores"][0]), bit)
    with pytest.raises(TrialError, match="1 of 401 answers differ"):
        golden(service(together, together[0]), bit)


def service(batch: list[float], alone: float) -> httpx.Client:
    """What answers as a release does, by these scores."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"scores": batch} if request.url.path == "/predict_batch" else {"score": alone})

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://service")

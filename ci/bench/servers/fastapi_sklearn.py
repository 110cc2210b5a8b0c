"""FastAPI and the fitted Pipeline, as most people write it."""

from __future__ import annotations

from typing import Any

import pandas as pd
from fastapi import FastAPI
from gitops_serving.contract import row_model
from pipeline import model
from pipeline.validation import cast
from pydantic import BaseModel, create_model
from served import COLUMNS, PIPELINE, SCHEMA

Request = create_model("Request", row=(row_model(SCHEMA), ...))
app = FastAPI()


@app.get("/readyz")
def ready() -> dict[str, bool]:
    """It answers."""
    return {"ready": True}


@app.post("/predict")
def predict(request: Request) -> dict[str, Any]:  # type: ignore[valid-type]
    """Score one row."""
    row: BaseModel = request.row  # type: ignore[attr-defined]
    table = cast(pd.DataFrame([list(row.__dict__.values())], columns=COLUMNS), SCHEMA.features)
    return {"score": float(model.score(PIPELINE, table)[0])}

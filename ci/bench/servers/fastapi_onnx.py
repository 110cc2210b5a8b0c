"""FastAPI and the estimator as ONNX, in single precision; columns are encoded by the fast form's encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI
from gitops_serving.contract import row_model, values
from gitops_serving.fast import compiled
from pydantic import create_model
from served import PIPELINE, SCHEMA
from skl2onnx import to_onnx
from skl2onnx.common._container import ModelComponentContainer

add_node = ModelComponentContainer.add_node


def add_plain(self: Any, kind: str, inputs: Any, outputs: Any, **attributes: Any) -> Any:
    """skl2onnx 1.20 hands on booleans and NumPy's integers, which onnx does not take for integers."""
    found = {
        name: [int(each) for each in value]
        if isinstance(value, list) and isinstance(value[0], (int, np.integer))
        else value
        for name, value in attributes.items()
    }
    return add_node(self, kind, inputs, outputs, **found)


ModelComponentContainer.add_node = add_plain
Request = create_model("Request", row=(row_model(SCHEMA), ...))
ENCODER = compiled(PIPELINE, SCHEMA).encoder
WIDTH = PIPELINE[-1].n_features_in_
CONVERTED = to_onnx(PIPELINE[-1], np.zeros((1, WIDTH), dtype=np.float32), options={"zipmap": False})
SETTINGS = onnxruntime.SessionOptions()
SETTINGS.intra_op_num_threads = 1
SESSION = onnxruntime.InferenceSession(CONVERTED.SerializeToString(), SETTINGS)
app = FastAPI()


@app.get("/readyz")
def ready() -> dict[str, bool]:
    """It answers."""
    return {"ready": True}


@app.post("/predict")
async def predict(request: Request) -> dict[str, Any]:  # type: ignore[valid-type]
    """Score one row."""
    encoded = np.array([ENCODER.row(values(request.row))], dtype=np.float32)  # type: ignore[attr-defined]
    return {"score": float(SESSION.run(None, {SESSION.get_inputs()[0].name: encoded})[1][0, 1])}

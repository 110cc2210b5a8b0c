"""MLServer: a runtime of its own kind, which takes rows as a table."""

from __future__ import annotations

from mlserver import MLModel
from mlserver.codecs import NumpyCodec, PandasCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Model(MLModel):
    """Scores rows."""

    async def load(self) -> bool:
        """The fitted Pipeline, once."""
        import served  # noqa: PLC0415 - MLServer imports this before it has settled where it runs

        self.served = served
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Score rows."""
        from pipeline import model  # noqa: PLC0415
        from pipeline.validation import cast  # noqa: PLC0415

        rows = PandasCodec.decode_request(payload)[self.served.COLUMNS]
        scores = model.score(self.served.PIPELINE, cast(rows, self.served.SCHEMA.features))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("score", scores)])

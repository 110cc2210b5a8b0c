"""What a Bento says of itself: written when it is packaged, told at /version."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Version(BaseModel):
    """What is serving: enough to find the code, the data and the model again."""

    release: str = Field(description="Tag of the Bento")
    model: str = Field(description="sha256 of the model's file")
    data: str = Field(description="Hash of data/raw as dvc.lock names it")
    commit: str = Field(description="Source commit")
    modified: bool = Field(description="The source had uncommitted changes when it was packaged")

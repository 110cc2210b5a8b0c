"""The release record: which model, from which commit and data, was let through, on which verdict."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

FILE = "release.json"
PRODUCTION = "env/production"


class Release(BaseModel):
    """release.json on an environment's branch."""

    model_config = ConfigDict(extra="allow")

    version: Literal[1] = 1
    release: str
    commit: str
    model: str
    verdict: str
    created: datetime

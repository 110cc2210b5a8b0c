"""active.json: the only thing that a host remembers. It is replaced in one step, and its front reads it, too."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from gitops_ml.core.errors import UserError
from gitops_ml.core.project import Workers
from gitops_ml.core.record import Release
from gitops_ml.front.server import ACTIVE


class Rolling(BaseModel):
    """The stage of a rollout: a new release answers copies of all requests, or a share of the callers."""

    release: Release
    commit: str
    port: int = 0
    stage: int
    share: float
    by: str
    log: str  # where the front writes down what was answered, in the agent's folder
    # When the stage began, on the clock since boot, which nobody sets.
    boot: str
    uptime: float


class Active(BaseModel):
    """active.json: what serves, where, and which commit of the branch said so."""

    commit: str
    release: Release
    port: int
    ready_seconds: float
    runner: Literal["process", "compose"]
    public: int
    workers: Workers = 1
    rollout: Rolling | None = None


def read(folder: Path) -> Active | None:
    """What serves, or did when somebody last looked; None if nothing was ever deployed here.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / ACTIVE
    try:
        return Active.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise UserError(f"{path} is damaged; remove it, and the next step deploys anew") from error

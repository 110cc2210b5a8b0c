"""The form of project.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pipeline.decision import Decision, Policy
from pipeline.decision import policy as bound
from pipeline.schema import Schema
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from gitops_ml.core.errors import UserError
from gitops_ml.core.record import ImageName
from gitops_ml.core.rollout import Block, Rollout
from gitops_ml.core.windows import Window


class Service(Block):
    """The limits of the service."""

    body_bytes: int = Field(ge=1)
    batch_rows: int = Field(ge=1)


class Log(Block):
    """What the service writes down."""

    sample: float = Field(ge=0, le=1)
    redact: list[str]
    file_bytes: int = Field(ge=1)
    file_seconds: float = Field(gt=0)
    files: int = Field(ge=1)


class Monitor(Block):
    """How production is watched, and when that raises an alarm."""

    store: str = Field(min_length=1)
    labels: str
    batches: str
    window_days: float = Field(gt=0)
    windows: int = Field(ge=1)
    alarms: int = Field(ge=1)
    webhook: Literal["", "json", "slack"] = ""
    keep_days: float | None = Field(default=None, gt=0)
    least_rows: int = Field(ge=1)
    level: float = Field(gt=0, lt=1)
    effect: float = Field(ge=0, le=1)
    metric_margin: float = Field(ge=0)
    latency_ms: float = Field(gt=0)
    error_rate: float = Field(ge=0, le=1)
    refused_rate: float = Field(ge=0, le=1)
    silent_hours: float = Field(gt=0)
    model_days: float = Field(gt=0)

    @model_validator(mode="after")
    def _alarms_can_happen(self) -> Self:
        if self.alarms > self.windows:
            raise ValueError(f"{self.alarms} of {self.windows} windows are never wrong")
        if self.keep_days is not None and self.keep_days < self.windows * self.window_days:
            raise ValueError(
                f"keep_days is {self.keep_days:g}, and the monitor looks at {self.windows * self.window_days:g} days"
            )
        return self


class Batch(Block):
    """Scoring many rows: from where to where each night, and which shares may not fit and are written down."""

    rows: str = ""
    scores: str = ""
    rejected: float = Field(default=0.05, ge=0, le=1)
    sample: float = Field(default=0.001, ge=0, le=1)

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if bool(self.rows) != bool(self.scores):
            raise ValueError("rows and scores: both name a place, or neither does")
        return self


class Gate(Block):
    """When a model may replace the one that serves."""

    metric: str
    margin: float = Field(ge=0)
    confidence: float = Field(gt=0.5, lt=1)
    resamples: int = Field(ge=100)
    floors: dict[str, float]
    calibration_error: float = Field(ge=0)
    slice_margin: float = Field(ge=0)
    overlap: float = Field(ge=0, le=1)
    latency_ms: float = Field(gt=0)
    model_bytes: int = Field(gt=0)


class Fairness(Block):
    """Columns whose groups must be treated alike, and by how much rates of two groups may differ; null: by any.

    `features` names those of the columns that the model may see.
    """

    columns: list[str] = Field(min_length=1)
    errors: float | None = Field(gt=0, le=1)
    selection: float | None = Field(gt=0, le=1)
    features: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _features_are_sensitive(self) -> Self:
        for name in self.features:
            if name not in self.columns:
                raise ValueError(f"features names {name!r}, which is not among its columns")
        return self


class PullRequests(Block):
    """What CI does with a pull request, and how many people must approve it."""

    lock: Literal["commit", "verify"]
    approvals: int = Field(default=1, ge=0)


# Where much is computed: processes of this machine, or a Dask scheduler; `gitops_ml.engine` opens it.
Engine = Annotated[str, Field(pattern=r"^(local(:[1-9][0-9]*)?|(tcp|tls)://[^\s/]+:[0-9]+)$")]

# How many processes of a release answer on a host; `auto`: one for each core.
Workers = Annotated[int, Field(ge=1)] | Literal["auto"]


class Environment(Block):
    """Where releases serve, and what a release needs to get there."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")
    soak_minutes: float = Field(ge=0)
    silent_minutes: float = Field(ge=20)
    ready_seconds: float = Field(gt=0)
    gate: Literal["champion", "none"]
    approvals: int = Field(ge=0)
    runner: Literal["process", "compose", "cluster"]
    port: int = Field(ge=1, le=65535)
    workers: Workers = 1
    url: str | None = None
    image: ImageName | None = None
    # When machines may promote here; without one, always.
    windows: list[Window] = Field(default_factory=list)
    rollout: Rollout | None = None

    @property
    def needs_image(self) -> bool:
        """Whether releases serve here as containers."""
        return self.runner != "process"


class Card(Block):
    """What the model card says beyond what can be computed."""

    intended_use: str
    out_of_scope: str
    limitations: str
    contact: str


class Project(Block):
    """project.yaml."""

    name: str
    title: str
    description: str
    owner: str
    image: str
    engine: Engine = "local"
    service: Service
    log: Log
    batch: Batch = Batch()
    monitor: Monitor
    trusted_types: list[str]
    gate: Gate
    fairness: Fairness | None = None
    decision: Decision | None = None
    pull_requests: PullRequests
    environments: list[Environment] = Field(min_length=1)
    card: Card

    @property
    def needs_image(self) -> bool:
        """Whether releases serve as containers in any environment."""
        return any(each.needs_image for each in self.environments)

    @field_validator("environments")
    @classmethod
    def _distinct(cls, environments: list[Environment]) -> list[Environment]:
        names = [environment.name for environment in environments]
        if len(set(names)) < len(names):
            raise ValueError("two environments have the same name")
        for environment in environments:
            if environment.runner == "cluster" and environment.url is None:
                raise ValueError(f"{environment.name} runs in a cluster and needs a url, to be asked what serves there")
            if environment.runner == "cluster" and environment.rollout:
                raise ValueError(
                    f"{environment.name} runs in a cluster, where no agent of ours hands requests to releases: take "
                    "out its rollout"
                )
            if environment.runner == "cluster" and environment.workers != 1:
                raise ValueError(
                    f"{environment.name} runs in a cluster, which has replicas instead of workers: set them in "
                    f"deploy/overlays/{environment.name}"
                )
        return environments


class Decided(BaseModel):
    """What project.yaml says is decided; the rest of it may have another form in an old release."""

    decision: Decision | None = None


def policy(decision: Decision | None, schema: Schema) -> Policy | None:
    """What is decided about rows of a schema, and what that pays; None if nothing is.

    Raises:
        UserError: the decision is about other labels than the schema has.
    """
    try:
        return bound(decision, schema)
    except ValueError as error:
        raise UserError(f"project.yaml: decision: {error}") from error


def read(root: Path) -> Project:
    """The project's settings.

    Raises:
        UserError: project.yaml is missing or wrong; the message names the setting.
    """
    path = root / "project.yaml"
    try:
        return Project.model_validate(yaml.safe_load(path.read_text()))
    except OSError as error:
        raise UserError(f"project.yaml cannot be read: {error.strerror}; run this in the project's folder") from error
    except yaml.YAMLError as error:
        raise UserError(f"project.yaml is not valid YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(f"project.yaml: {place}: {first['msg']}") from error

"""The form of `rollout` of an environment in project.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Block(BaseModel):
    """A block of project.yaml, in which every name is known."""

    model_config = ConfigDict(extra="forbid")


class Shadow(Block):
    """A new release is asked what the one that serves is asked, and answers nobody."""

    minutes: float = Field(gt=0)
    rows: int = Field(ge=1)


class Canary(Block):
    """A new release answers a share of the callers, in per cent, then a larger one."""

    steps: list[Annotated[float, Field(gt=0, lt=100)]] = Field(min_length=1)
    minutes: float = Field(gt=0)
    rows: int = Field(ge=1)
    by: str = Field(default="x-caller-id", pattern=r"^[a-z0-9-]+$")

    @field_validator("steps")
    @classmethod
    def _grow(cls, steps: list[float]) -> list[float]:
        if any(one >= other for one, other in pairwise(steps)):
            raise ValueError("each step must be larger than the one before")
        return steps


class Margins(Block):
    """How much worse than the old release still counts as equal: shares of requests or rows; of latency, of its value;
    of the loss, which is between 0 and 1, its own unit. `mix` is that of scores and decisions where callers were split.
    """

    errors: float = Field(default=0.01, gt=0)
    refusals: float = Field(default=0.01, gt=0)
    latency: float = Field(default=0.25, gt=0)
    scores: float = Field(default=0.03, gt=0)
    decisions: float = Field(default=0.03, gt=0)
    mix: float = Field(default=0.1, gt=0)
    loss: float = Field(default=0.02, gt=0)


@dataclass(frozen=True)
class Stage:
    """One stage of a rollout; a share of 0: it is shadowed."""

    share: float
    minutes: float
    rows: int
    by: str = ""

    @property
    def name(self) -> str:
        """In words."""
        return f"canary of {self.share:g} %" if self.share else "shadow"


class Rollout(Block):
    """What a release must go through here before it answers everybody."""

    shadow: Shadow | None = None
    canary: Canary | None = None
    margins: Margins = Margins()

    @property
    def stages(self) -> list[Stage]:
        """One after the other."""
        first = [Stage(0, self.shadow.minutes, self.shadow.rows)] if self.shadow else []
        canary = self.canary
        steps = canary.steps if canary else []
        return first + [Stage(each, canary.minutes, canary.rows, canary.by) for each in steps if canary]

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.stages:
            raise ValueError("a rollout is a shadow, a canary, or both")
        return self

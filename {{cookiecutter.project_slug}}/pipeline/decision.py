"""What to do about a row: the action that pays most in the mean, given the model's probabilities (Elkan 2001)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from pipeline.schema import Schema

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


# Beyond this, sums of them are no numbers any more.
Payoff = Annotated[FiniteFloat, Field(ge=-1e12, le=1e12)]


class Decision(BaseModel):
    """`decision` of project.yaml: what each action pays, by the label that turns out to be true. A cost is negative."""

    model_config = ConfigDict(extra="forbid")

    unit: str = Field(min_length=1, max_length=20)
    payoffs: dict[str, dict[str, Payoff]] = Field(min_length=2)

    @field_validator("payoffs", mode="before")
    @classmethod
    def _labels_are_text(cls, payoffs: Any) -> Any:
        """In YAML, the labels 0 and 1 are numbers, and true and false are neither."""
        if not isinstance(payoffs, dict):
            return payoffs
        for action, by_label in payoffs.items():
            if isinstance(by_label, dict) and len(set(map(str, by_label))) < len(by_label):
                raise ValueError(f"{action!r} has two payoffs for one label")
        return {
            action: {str(label): value for label, value in by_label.items()} if isinstance(by_label, dict) else by_label
            for action, by_label in payoffs.items()
        }

    @model_validator(mode="after")
    def _actions_differ(self) -> Self:
        for one, other in itertools.combinations(self.payoffs, 2):
            if self.payoffs[one] == self.payoffs[other]:
                raise ValueError(f"{one!r} and {other!r} always pay the same, so there is nothing to decide")
        return self


@dataclass(frozen=True)
class Policy:
    """A decision about the labels of one schema. `payoffs` has shape (actions, classes)."""

    unit: str
    actions: list[str]
    payoffs: Floats

    def choose(self, scores: Floats) -> Integers:
        """The number of the best action of each row, shape (rows,); of equally good ones the first.

        Args:
            scores: shape (rows,), the probabilities of the positive class, or (rows, classes).
        """
        chances = np.column_stack([1 - scores, scores]) if scores.ndim == 1 else scores
        # Not as a product of matrices, which may be summed in another order in a batch than for a single row.
        expected = (chances[:, None, :] * self.payoffs).sum(axis=2)
        return np.asarray(expected.argmax(axis=1), dtype=np.int64)

    def earned(self, labels: npt.NDArray[np.int64] | Floats, chosen: Integers) -> Floats:
        """What the chosen actions paid, shape (rows,), where `labels` are the numbers of the classes."""
        return np.asarray(self.payoffs[chosen, labels.astype(np.int64)], dtype="float64")

    def thresholds(self) -> list[tuple[float, str]]:
        """Of two classes: from which score on each action is the best one, the lowest first; of more none."""
        if self.payoffs.shape[1] != 2:
            return []
        # What an action pays in the mean is a line over the score; the best one changes only where two lines cross.
        start, slope = self.payoffs[:, 0], self.payoffs[:, 1] - self.payoffs[:, 0]
        crossings = {
            float((start[two] - start[one]) / (slope[one] - slope[two]))
            for one, two in itertools.combinations(range(len(start)), 2)
            if slope[one] != slope[two]
        }
        edges = [0.0, *sorted(point for point in crossings if 0 < point < 1), 1.0]
        found: list[tuple[float, str]] = []
        for low, high in itertools.pairwise(edges):
            action = self.actions[int(self.choose(np.array([(low + high) / 2]))[0])]
            if not found or found[-1][1] != action:
                found.append((low, action))
        return found


def policy(decision: Decision | None, schema: Schema) -> Policy | None:
    """The decision with its payoffs in the order of the schema's classes; None if there is none.

    Raises:
        ValueError: it does not say of each action and each label what that pays, or the task has no classes.
    """
    if decision is None:
        return None
    classes = [str(label) for label in schema.classes]
    if not classes:
        raise ValueError("a regression has no labels to decide by; say `decision: null`")
    for action, by_label in decision.payoffs.items():
        if set(by_label) != set(classes):
            quotes = {"True", "False"} & set(by_label) and {"yes", "no", "on", "off"} & {
                name.lower() for name in classes
            }
            hint = "; put quotes around it, since YAML has another use for it" if quotes else ""
            raise ValueError(
                f"payoffs.{action} is about {', '.join(by_label) or 'nothing'}, "
                f"and {schema.target!r} is one of {', '.join(classes)}{hint}"
            )
    rows = [[by_label[label] for label in classes] for by_label in decision.payoffs.values()]
    return Policy(decision.unit, list(decision.payoffs), np.array(rows))

"""From the facts of the columns to a schema: which task, which role and which limits each column has, and why."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from pipeline.schema import CATEGORY_LENGTH, Column, Role, Schema, Task

from gitops_ml.core.errors import UserError
from gitops_ml.intake import identifiers, label, leakage
from gitops_ml.intake.facts import Facts
from gitops_ml.intake.label import EXACT, FEWEST_ROWS

# A category with more values than this is not listed; new ones may come to it.
MOST_CATEGORIES = 100
# A text has so many words on average, and so many of its values differ; else it is a category.
TEXT_WORDS = 2.5
TEXT_DISTINCT = 0.5
# From here on a column of short texts names the rows.
NAMING = 0.95
ID_NAME = re.compile(r"(?i:(^|[^a-z])(id|index|uuid|guid|key|row)$|^unnamed|^__index_level)|[a-z](Id|ID)$")


@dataclass(frozen=True)
class Wishes:
    """What the person has said about columns and task."""

    target: str
    task: Task | None = None
    time_column: str | None = None
    key: str | None = None
    drop: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    number: tuple[str, ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """The columns of which the person has said that a model can read them."""
        return (*self.category, *self.number)


@dataclass
class Inferred:
    """A schema, and what was decided: notes to read, warnings to act upon."""

    schema: Schema
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def infer(facts: dict[str, Facts], sample: pd.DataFrame, wishes: Wishes) -> Inferred:
    """A schema to which the table fits.

    Args:
        facts: of every column that is kept.
        sample: rows of the table in their types; quantiles, examples and suspects come from it.
        wishes: what the person has said.

    Raises:
        UserError: no model can be made of this; the message names the column and what to do.
    """
    _require_named(facts, wishes)
    if infinite := next((column for column in facts.values() if column.infinite), None):
        raise UserError(f"column {infinite.name!r} holds infinity in {infinite.infinite} rows; mend the file")
    target = facts[wishes.target]
    task = label.task_of(target, wishes.task)
    labels, sentence = label.column_of(target, task)
    rare = label.rare(target, task)
    found = Inferred(Schema.model_construct(task=task, columns={}), notes=[sentence], warnings=rare)
    reasons = _reasons(facts, sample, wishes, found)
    features = [name for name in facts if name not in (wishes.target, wishes.key, *reasons)]
    suspects = leakage.suspects(sample, features, wishes.target, task)
    for name, suspect in suspects.items():
        certain = suspect.certain and len(features) - sum(each.certain for each in suspects.values()) > 0
        told = f"{name!r} {suspect.reason}, as what is known only with the answer does"
        found.warnings.append(f"{told}: it is left out" if certain else f"{told}; if so, DROP={name}")
        if certain and name != wishes.time_column:
            reasons[name] = suspect.reason
    numbers = [name for name in features if facts[name].kind in ("integer", "number") and name not in suspects]
    if parts := leakage.parts(sample, numbers, wishes.target, task):
        found.warnings.append(
            f"{', '.join(map(repr, parts))} together give the target exactly, as parts of a sum or of a product do; if "
            f"they are known only with the answer, DROP={','.join(parts)}"
        )
    columns = {}
    for name, column in facts.items():
        if name == wishes.target:
            columns[name] = labels
        elif name == wishes.key:
            columns[name] = _limitless(_column(column, sample[name], wishes), "key")
        elif name in reasons:
            columns[name] = _limitless(_column(column, sample[name], wishes), "ignore", reasons[name])
            found.notes.append(f"{name!r} is left out: {reasons[name]}")
        else:
            columns[name] = _column(column, sample[name], wishes)
            if name == wishes.time_column:
                columns[name].maximum = None
            elif column.kind == "integer" and _names_rows(name):
                found.warnings.append(
                    f"{name!r} looks like the key of something that has several rows; KEY={name} keeps them together "
                    "and the key from the model"
                )
    if not [name for name in features if name not in reasons]:
        left_out = "; ".join(f"{name!r} {reason}" for name, reason in reasons.items())
        raise UserError(f"no column is left that a model could learn from{f' ({left_out})' if left_out else ''}")
    found.schema = Schema(task=task, dropped=list(wishes.drop), columns=columns)
    return found


def _require_named(facts: dict[str, Facts], wishes: Wishes) -> None:
    named = {"target": wishes.target, "time column": wishes.time_column, "key": wishes.key}
    for role, name in named.items():
        if name is not None and name not in facts:
            near = [other for other in facts if other.strip().lower() == name.strip().lower()]
            there = ", ".join(repr(other) for other in (near or list(facts)[:20]))
            more = f" and {len(facts) - 20} more" if not near and len(facts) > 20 else ""
            raise UserError(f"the {role} {name!r} is no column of the table; it has {there}{more}")
    if len({name for name in named.values() if name is not None}) < sum(name is not None for name in named.values()):
        raise UserError("target, time column and key are three different columns")
    for role, name in (("time column", wishes.time_column), ("key", wishes.key)):
        if name is not None and facts[name].missing:
            raise UserError(f"the {role} {name!r} is empty in {facts[name].missing} rows; fill them, or take them out")
    time = wishes.time_column
    if time is not None and facts[time].kind not in ("datetime", "integer", "number"):
        raise UserError(
            f"the time column {time!r} holds {facts[time].kind}, which has no order in time; write dates as YYYY-MM-DD"
        )


def _reasons(facts: dict[str, Facts], sample: pd.DataFrame, wishes: Wishes, found: Inferred) -> dict[str, str]:
    """Why columns are left out, by their names; of one that may only look useless there is a warning instead."""
    kept = (wishes.target, wishes.key, wishes.time_column)
    reasons = {
        name: reason for name, column in facts.items() if name not in kept and (reason := _useless(column, wishes))
    }
    for name in [name for name, reason in reasons.items() if reason == identifiers.SCARCE]:
        if leakage.tells(sample, name, wishes.target, found.schema.task):
            del reasons[name]
            found.warnings.append(
                f"{name!r} holds {identifiers.SCARCE}, but tells something: if it is one, DROP={name}"
            )
    return reasons


def _useless(column: Facts, wishes: Wishes) -> str | None:
    """Why a column cannot be a feature, or None."""
    if not column.present:
        return "empty in every row"
    if column.distinct == 1 and not column.missing:
        return "the same value in every row"
    if column.name in wishes.said:
        return None
    if column.kind == "integer" or (column.kind == "number" and column.whole):
        return _useless_number(column)
    if column.kind == "text" and column.distinct > NAMING * column.present and not _is_text(column):
        return "a different value in nearly every row: an identifier"
    return None


def _useless_number(column: Facts) -> str | None:
    if max(abs(column.minimum or 0), abs(column.maximum or 0)) > EXACT:
        return "numbers too large to be quantities: an identifier"
    if reason := identifiers.names_rows(column):
        return reason
    if column.unique and not column.missing and _names_rows(column.name):
        return "a different value in every row, and the name of one: an identifier"
    return None


def _names_rows(name: str) -> bool:
    return ID_NAME.search(name) is not None


def _is_text(column: Facts) -> bool:
    wordy = column.words / column.present >= TEXT_WORDS and column.distinct >= TEXT_DISTINCT * column.present
    # A request may hold longer texts than categories.
    return (wordy and column.distinct > FEWEST_ROWS) or column.longest > CATEGORY_LENGTH


def _column(column: Facts, sample: pd.Series, wishes: Wishes) -> Column:
    """A feature's column, with limits that leave room for what is yet to come."""
    nullable = column.missing > 0
    present = sample.dropna()
    match column.kind:
        case "integer" | "number":
            low, high = _limits(column)
            quantiles = [float(f"{value:.6g}") for value in present.astype("float64").quantile([0, 0.25, 0.5, 0.75, 1])]
            middle = present.astype("float64").median()
            example: Any = round(middle) if column.kind == "integer" else float(f"{middle:.6g}")
            kind: Any = column.kind
            return Column(type=kind, nullable=nullable, minimum=low, maximum=high, quantiles=quantiles, example=example)
        case "boolean":
            return Column(type="boolean", nullable=nullable, example=bool(present.mode().iloc[0]))
        case "datetime":
            middle = present.sort_values().iloc[len(present) // 2]
            return Column(type="datetime", nullable=nullable, zoned=column.zoned, example=middle.isoformat())
        case "text" if _is_text(column) and column.name not in wishes.category:
            return Column(type="text", nullable=nullable, example="some words")
        case "text":
            return _category(column, nullable)
        case _:
            return Column(type="category", nullable=True, open=True)


def _category(column: Facts, nullable: bool) -> Column:
    counts = column.counts
    if counts is None or len(counts) > MOST_CATEGORIES:
        example = counts.most_common(1)[0][0] if counts else "any"
        return Column(type="category", nullable=nullable, open=True, example=example)
    # The chance that the next row brings a new value is about the share of values met once (Good 1953).
    more = any(count == 1 for count in counts.values())
    example = min(counts, key=lambda value: (-counts[value], value))
    return Column(type="category", nullable=nullable, open=more, categories=sorted(counts), example=example)


def _limits(column: Facts) -> tuple[float | None, float | None]:
    """The values seen and their whole width more on either side; what was never negative stays so."""
    low, high = column.minimum or 0.0, column.maximum or 0.0
    width = high - low
    bottom, top = _outward(low - width, -1), _outward(high + width, 1)
    if low >= 0:
        bottom = max(bottom, 0.0)
    if high <= 0:
        top = min(top, 0.0)
    if not math.isfinite(bottom) or not math.isfinite(top) or max(abs(bottom), abs(top)) > EXACT:
        return None, None
    return bottom, top


def _outward(value: float, sign: int) -> float:
    """Rounded to two digits, away from the values."""
    if value == 0 or not math.isfinite(value):
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    rounded = (math.ceil if sign > 0 else math.floor)(value / step) * step
    return float(f"{rounded:.6g}")


def _limitless(column: Column, role: Role, reason: str = "") -> Column:
    """The column in a role in which its values do not matter, so that any may come."""
    kind = "category" if column.type == "text" else column.type
    nullable = column.nullable or role == "ignore"
    return Column(type=kind, role=role, nullable=nullable, zoned=column.zoned, reason=reason, open=kind == "category")

"""From the facts of the columns to a schema: which task, which role and which limits each column has, and why."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ci.errors import UserError
from ci.intake import leakage
from ci.intake.facts import Facts
from pipeline.schema import Column, Role, Schema, Task

# Fewer labelled rows can neither train nor judge.
FEWEST_ROWS = 20
# A category with more values than this is not listed; new ones may come to it.
MOST_CATEGORIES = 100
# A number with more different values is no class, unless the person says so.
MOST_NUMBERED_CLASSES = 10
MOST_CLASSES = 100
# As long as a request's category may be.
LONGEST_CLASS = 200
# A text has so many words on average, and so many of its values differ; else it is a category.
TEXT_WORDS = 2.5
TEXT_DISTINCT = 0.5
# From here on a column of short texts names the rows.
NAMING = 0.95
# Integers beyond are no quantities, and JSON cannot carry them.
EXACT = 2**53
ID_NAME = re.compile(r"(?i:(^|[^a-z])(id|index|uuid|guid|key|row)$|^unnamed|^__index_level)|[a-z](Id|ID)$")
POSITIVE = (
    "1",
    "yes",
    "true",
    "y",
    "t",
    "positive",
    "pos",
    "present",
    "+",
    "churn",
    "churned",
    "default",
    "spam",
    "malignant",
)


@dataclass(frozen=True)
class Wishes:
    """What the person has said about columns and task."""

    target: str
    task: Task | None = None
    time_column: str | None = None
    key: str | None = None
    drop: tuple[str, ...] = ()


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
    for column in facts.values():
        if column.infinite:
            raise UserError(f"column {column.name!r} holds infinity in {column.infinite} rows; mend the file")
    target = facts[wishes.target]
    task = _task(target, wishes.task)
    label, sentence = _label(target, task)
    found = Inferred(Schema.model_construct(columns={}), notes=[sentence])
    kept = (wishes.target, wishes.key, wishes.time_column)
    reasons = {name: reason for name, column in facts.items() if name not in kept and (reason := _useless(column))}
    features = [name for name in facts if name not in (wishes.target, wishes.key, *reasons)]
    suspects = leakage.suspects(sample, features, wishes.target, task)
    for name, suspect in suspects.items():
        certain = suspect.certain and len(features) - sum(each.certain for each in suspects.values()) > 0
        told = f"{name!r} {suspect.reason}, as what is known only with the answer does"
        found.warnings.append(f"{told}: it is left out" if certain else f"{told}; if so, DROP={name}")
        if certain and name != wishes.time_column:
            reasons[name] = suspect.reason
    columns = {}
    for name, column in facts.items():
        if name == wishes.target:
            columns[name] = label
        elif name == wishes.key:
            columns[name] = _limitless(_column(column, sample[name]), "key")
        elif name in reasons:
            columns[name] = _limitless(_column(column, sample[name]), "ignore", reasons[name])
            found.notes.append(f"{name!r} is left out: {reasons[name]}")
        else:
            columns[name] = _column(column, sample[name])
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


def _task(target: Facts, wanted: Task | None) -> Task:
    """The task that the labels ask for, if the person has not said it."""
    if target.present < FEWEST_ROWS:
        empty = f", and {target.missing} without one" if target.missing else ""
        raise UserError(
            f"the target {target.name!r} has {target.present} rows with a label{empty}; a model needs {FEWEST_ROWS}"
        )
    if target.distinct < 2:
        raise UserError(f"the target {target.name!r} has the same value in every row; there is nothing to predict")
    number = target.kind in ("integer", "number")
    if target.kind == "datetime":
        raise UserError(
            f"the target {target.name!r} holds dates; predict a number of days instead, in a column of its own"
        )
    if wanted == "regression" and not number:
        raise UserError(f"the target {target.name!r} holds {target.kind}, and a regression predicts numbers")
    if wanted == "binary" and target.distinct != 2:
        raise UserError(f"the target {target.name!r} has {target.distinct} different values, and a binary task has two")
    if wanted == "multiclass" and target.distinct < 3:
        raise UserError(f"the target {target.name!r} has two different values: TASK=binary")
    if wanted is not None:
        return wanted
    if target.distinct == 2:
        return "binary"
    if number and not (target.whole and target.distinct <= MOST_NUMBERED_CLASSES):
        return "regression"
    return "multiclass"


def _label(target: Facts, task: Task) -> tuple[Column, str]:
    """The target's column, and the sentence that says what it is taken for."""
    nullable = target.missing > 0
    name = target.name
    if task == "regression":
        kind: Any = "integer" if target.kind == "integer" else "number"
        column = Column(type=kind, role="target", nullable=nullable)
        return (
            column,
            f"a regression: {name!r} is a number from {target.minimum:g} to {target.maximum:g} (TASK= changes it)",
        )
    if target.kind == "boolean":
        return Column(type="boolean", role="target", nullable=nullable), f"a binary task: is {name!r} true?"
    classes = _classes(target, task)
    numbered = target.kind != "text"
    share = ", ".join(f"{value} {(target.counts or {})[value] / target.present:.0%}" for value in classes[:8])
    share += f" and {len(classes) - 8} more" if len(classes) > 8 else ""
    if task == "binary" and classes == [0, 1]:
        column = Column(type="integer", role="target", nullable=nullable, minimum=0, maximum=1)
    else:
        column = Column(
            type="integer" if numbered else "category", role="target", nullable=nullable, categories=classes
        )
    turn = "; exchange the two in schema.yaml to turn it round" if column.categories else ""
    if task == "binary":
        return (
            column,
            f"a binary task: is {name!r} {classes[1]!r}? ({share}{turn})",
        )
    other = "; TASK=regression takes them for quantities" if numbered else ""
    return column, f"a multiclass task: which of {len(classes)} classes is {name!r}? ({share}{other})"


def _classes(target: Facts, task: Task) -> list[Any]:
    """The values of the label in the order of their codes."""
    counts = target.counts
    if counts is None or len(counts) > MOST_CLASSES:
        raise UserError(
            f"the target {target.name!r} has {target.distinct} different values, and {MOST_CLASSES} classes are the "
            "most; join the rare ones, or choose another target"
        )
    if target.kind in ("integer", "number"):
        if not target.whole or max(abs(target.minimum or 0), abs(target.maximum or 0)) > EXACT:
            raise UserError(
                f"the target {target.name!r} holds numbers that are no classes; write them as text or whole numbers"
            )
        return sorted(int(value) for value in counts)
    longest = max(counts, key=len)
    if len(longest) > LONGEST_CLASS:
        raise UserError(f"the target {target.name!r} holds whole texts, such as {longest[:60]!r}, which are no classes")
    if task == "binary":
        known = [value for value in counts if str(value).strip().lower() in POSITIVE]
        # The rarer of two is what one looks for; of equals, the last by name.
        positive = known[0] if len(known) == 1 else min(sorted(counts, reverse=True), key=lambda value: counts[value])
        return sorted(counts, key=lambda value: value == positive)
    return sorted(counts)


def _useless(column: Facts) -> str | None:
    """Why a column cannot be a feature, or None."""
    if not column.present:
        return "empty in every row"
    if column.distinct == 1 and not column.missing:
        return "the same value in every row"
    if column.kind == "integer":
        return _useless_number(column)
    if column.kind == "text" and column.distinct > NAMING * column.present and not _is_text(column):
        return "a different value in nearly every row: an identifier"
    return None


def _useless_number(column: Facts) -> str | None:
    if max(abs(column.minimum or 0), abs(column.maximum or 0)) > EXACT:
        return "numbers too large to be quantities: an identifier"
    if column.unique and not column.missing:
        if column.rising:
            return "counts the rows"
        if _names_rows(column.name):
            return "a different value in every row: an identifier"
    return None


def _names_rows(name: str) -> bool:
    return ID_NAME.search(name) is not None


def _is_text(column: Facts) -> bool:
    wordy = column.words / column.present >= TEXT_WORDS and column.distinct >= TEXT_DISTINCT * column.present
    # A request's category has at most 200 letters.
    return (wordy and column.distinct > FEWEST_ROWS) or column.longest > LONGEST_CLASS


def _column(column: Facts, sample: pd.Series) -> Column:
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
        case "text" if _is_text(column):
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

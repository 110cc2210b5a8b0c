"""The target: which task its values ask for, and its classes in the order of their codes."""

from __future__ import annotations

import itertools
import re
from typing import Any

from pipeline.schema import CATEGORY_LENGTH, Column, Task

from gitops_ml.core.errors import UserError
from gitops_ml.intake.facts import Facts

# Fewer labelled rows can neither train nor judge.
FEWEST_ROWS = 20
# A number with more different values is no class, unless the person says so.
MOST_NUMBERED_CLASSES = 10
MOST_CLASSES = 100
# Classes are often as frequent as one another, counts are not.
UNEVEN = 2
POISSON_MEAN = 0.4
CLASS_NAME = re.compile(
    r"(?i:(^|[^a-z])(class|label|target|type|kind|categor(y|ies)|code|species|cluster|group|segment|cultivar|digit)s?"
    r"([^a-z]|$))|(?i:(^|[^a-z])(cover|is|has)_?type)|[a-z](Class|Type|Code|Label|Group)$"
)
# So many standard deviations of a difference of counts.
CHANCE = 3
# Fewer rows of a class are noise.
HANDFUL = 10
# Integers beyond are no quantities, and JSON cannot carry them.
EXACT = 2**53
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


def task_of(target: Facts, wanted: Task | None) -> Task:
    """The task that the labels ask for, if the person has not said it."""
    if target.present < FEWEST_ROWS:
        empty = f", and {target.missing} without one" if target.missing else ""
        raise UserError(
            f"the target {target.name!r} has {target.present} rows with a label{empty}; a model needs {FEWEST_ROWS}"
        )
    if target.distinct < 2:
        raise UserError(f"the target {target.name!r} has the same value in every row; there is nothing to predict")
    number = target.kind in ("integer", "number")
    long = target.digits or max(abs(target.minimum or 0), abs(target.maximum or 0)) > EXACT
    if long and (wanted == "regression" or target.distinct > MOST_NUMBERED_CLASSES):
        raise UserError(
            f"the target {target.name!r} holds whole numbers of 16 digits or more, which name something and are no "
            "quantities: no model computes with them exactly; choose another target, or write it in a larger unit"
        )
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
    if number and (not target.whole or target.distinct > MOST_NUMBERED_CLASSES or counted(target)):
        return "regression"
    return "multiclass"


def counted(target: Facts) -> bool:
    """Whether few whole numbers are counts or steps of a scale, not names of classes.

    They follow one another (of counts from 0 on, one may be missing), their frequencies have one peak and differ, and
    the column is not named as classes are.
    """
    if target.counts is None or not target.whole or not 2 < target.distinct <= MOST_NUMBERED_CLASSES:
        return False
    values = sorted(target.counts)
    gaps = values[-1] - values[0] + 1 - len(values)
    frequencies = [target.counts[value] for value in values]
    uneven = max(frequencies) >= UNEVEN * min(frequencies)
    whole = values[0] >= 0 and gaps <= (values[0] == 0)
    return bool(whole and uneven and _has_one_peak(frequencies) and not CLASS_NAME.search(target.name))


def _has_one_peak(frequencies: list[int]) -> bool:
    """Whether they rise to one value and fall from there on, as far as chance lets them."""
    peak = frequencies.index(max(frequencies))
    rising = frequencies[: peak + 1], frequencies[peak:][::-1]
    return all(
        before - after <= CHANCE * (before + after) ** 0.5
        for side in rising
        for before, after in itertools.pairwise(side)
    )


def poisson(target: Facts) -> bool:
    """Whether the labels are counts from 0 on, of which most are small: a Poisson regression's case."""
    if not target.counts or target.minimum != 0 or not counted(target):
        return False
    mean = sum(value * rows for value, rows in target.counts.items()) / target.present
    return bool(mean < POISSON_MEAN * (target.maximum or 0))


def column_of(target: Facts, task: Task) -> tuple[Column, str]:
    """The target's column, and the sentence that says what it is taken for."""
    nullable = target.missing > 0
    name = target.name
    if task == "regression":
        kind: Any = "integer" if target.kind == "integer" else "number"
        column = Column(type=kind, role="target", nullable=nullable)
        return column, _numbers(target)
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


def _numbers(target: Facts) -> str:
    """What a target of a regression is taken for, and why."""
    span = f"{target.name!r} is a number from {target.minimum:g} to {target.maximum:g}"
    if not counted(target):
        return f"a regression: {span} (TASK= changes it)"
    shown = f"{target.name!r} has the whole numbers {target.minimum:g} to {target.maximum:g} without a gap"
    if poisson(target):
        return f"a regression of counts, Poisson beside a line: {shown}, mostly small; TASK=multiclass makes classes"
    return f"a regression: {shown}, with one peak like a scale; TASK=multiclass takes them for classes"


def rare(target: Facts, task: Task) -> list[str]:
    """Of each class with a handful of rows, what a model can know of it."""
    few = {value: rows for value, rows in sorted((target.counts or {}).items()) if rows < HANDFUL}
    if task == "regression" or not few:
        return []
    listed = ", ".join(f"{value!r} {rows}" for value, rows in list(few.items())[:5])
    more = f" and {len(few) - 5} more" if len(few) > 5 else ""
    return [
        f"{'a class has' if len(few) == 1 else f'{len(few)} classes have'} a handful of rows ({listed}{more}): "
        "about a quarter of them judge, so the model can hardly recognise such a class and no figure says how well; "
        "join it with another, or bring more of its rows"
    ]


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
    if len(longest) > CATEGORY_LENGTH:
        raise UserError(f"the target {target.name!r} holds whole texts, such as {longest[:60]!r}, which are no classes")
    if task == "binary":
        known = [value for value in counts if str(value).strip().lower() in POSITIVE]
        # The rarer of two is what one looks for; of equals, the last by name.
        positive = known[0] if len(known) == 1 else min(sorted(counts, reverse=True), key=lambda value: counts[value])
        return sorted(counts, key=lambda value: value == positive)
    return sorted(counts)

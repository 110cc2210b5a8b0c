"""Random rows of a schema, of which most values lie where encoders and trees decide, so that few tell a difference."""

from __future__ import annotations

import datetime
import math
import random
from typing import Any

from pipeline.schema import Column, Schema

EDGES = 0.6
GAPS = 0.15
UNKNOWN = 0.15
WIDEST = 1e6
# Integers up to here are exact in JSON and in the table.
EXACT = 2**53
FIRST = datetime.datetime(1, 1, 2)
SPAN = datetime.datetime(9999, 12, 30) - FIRST
RECENT = datetime.datetime(2000, 1, 1)
RECENT_SECONDS = 30 * 365 * 86_400
WORDS = ("a", "about", "2024", "new", "offer", "please", "the", "with", "zebra", "Ärger", "naïve", "東京", "x")


def drawn(
    schema: Schema, known: dict[str, list[str]], edges: dict[str, list[float]], seed: int, count: int
) -> list[list[Any]]:
    """Rows as the service's validation gives them, in the order of the schema's features; the same for a seed.

    Args:
        schema: what values are allowed.
        known: values of categories, by column, beside those that the schema lists.
        edges: numbers at which something changes, by column; they, their neighbours and the schema's limits are drawn
            more often than others.
        seed: another one draws other rows.
        count: how many.
    """
    chance = random.Random(seed)  # noqa: S311 - no secrets
    features = schema.features.items()
    return [
        [_value(chance, column, known.get(name, []), edges.get(name, [])) for name, column in features]
        for _ in range(count)
    ]


def _value(chance: random.Random, column: Column, known: list[str], edges: list[float]) -> Any:
    if column.nullable and chance.random() < GAPS:
        return None
    match column.type:
        case "boolean":
            return chance.choice([False, True])
        case "integer" | "number":
            return _number(chance, column, edges)
        case "category":
            return _category(chance, column, known)
        case "text":
            return " ".join(chance.choices(WORDS, k=chance.randrange(12)))
        case "datetime":
            return _moment(chance, column.zoned)


def _limits(column: Column) -> tuple[float, float]:
    if column.type == "integer":
        # As the service has it.
        return (
            -EXACT if column.minimum is None else column.minimum,
            EXACT if column.maximum is None else column.maximum,
        )
    low = column.minimum if column.minimum is not None else min(-WIDEST, (column.maximum or 0) - WIDEST)
    return low, column.maximum if column.maximum is not None else max(WIDEST, low + WIDEST)


def _number(chance: random.Random, column: Column, edges: list[float]) -> float:
    low, high = _limits(column)
    found = chance.uniform(low, high)
    if chance.random() < EDGES:
        edge = chance.choice([low, high, 0.0, *chance.sample(edges, min(5, len(edges)))])
        found = chance.choice([edge, math.nextafter(edge, -math.inf), math.nextafter(edge, math.inf)])
    if column.type == "integer":
        return min(math.floor(high), max(math.ceil(low), round(found)))
    return min(high, max(low, found))


def _category(chance: random.Random, column: Column, known: list[str]) -> str:
    listed = column.categories or []
    if column.open and (chance.random() < UNKNOWN or not (listed or known)):
        return f"new {chance.randrange(1000)}"
    return str(chance.choice([*listed, *known] if column.open else listed))


def _moment(chance: random.Random, zoned: bool) -> datetime.datetime:
    if chance.random() < UNKNOWN:
        found = FIRST + datetime.timedelta(seconds=chance.uniform(0, SPAN.total_seconds()))
    else:
        found = RECENT + datetime.timedelta(microseconds=chance.randrange(RECENT_SECONDS * 1_000_000))
    if not zoned:
        return found
    return found.replace(tzinfo=datetime.timezone(datetime.timedelta(minutes=chance.randrange(-720, 840))))

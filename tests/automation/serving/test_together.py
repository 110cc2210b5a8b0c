"""What a row is told does not depend on who asks at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gitops_serving.together import MOST_ROWS, TRIED_ROWS, Together


class Doubling:
    """A model that says twice what it gets, in a batch by `off` more, and fails for negative values."""

    tier = "pipeline"

    def __init__(self, off: float = 0.0) -> None:
        self.off = off
        self.sizes: list[int] = []

    def one(self, values: Sequence[Any]) -> float:
        """A row alone."""
        self.sizes.append(1)
        if values[0] < 0:
            raise ValueError("negative")
        return 2.0 * float(values[0])

    def many(self, rows: Sequence[Sequence[Any]]) -> npt.NDArray[np.float64]:
        """A batch."""
        self.sizes.append(len(rows))
        if min(row[0] for row in rows) < 0:
            raise ValueError("negative")
        return 2.0 * np.array([float(row[0]) for row in rows]) + self.off


def asked(model: Doubling, values: list[float]) -> list[Any]:
    """What all of those are told who ask at once."""

    async def ask() -> list[Any]:
        together = Together(model)  # type: ignore[arg-type]
        return await asyncio.gather(*(together.one([value]) for value in values), return_exceptions=True)

    return asyncio.run(ask())


def test_what_comes_while_it_is_busy_is_scored_at_once() -> None:
    """Once rows were alike alone and together, batches are trusted; each caller gets the score of the own row."""
    model, values = Doubling(), [float(value) for value in range(3 * TRIED_ROWS)]
    assert asked(model, values) == [2 * value for value in values]
    assert model.sizes[-1] > 1
    assert len(model.sizes) < 2 * TRIED_ROWS
    assert max(model.sizes) == MOST_ROWS


def test_a_row_that_asks_alone_does_not_wait() -> None:
    """Nobody waits for others to come."""
    model = Doubling()
    assert asked(model, [1.0]) == [2.0]
    assert model.sizes == [1]


def test_rows_that_a_batch_would_change_stay_alone() -> None:
    """A model with other last bits in a batch says of each row what it says of the row alone."""
    model, values = Doubling(off=2**-40), [float(value) for value in range(3 * TRIED_ROWS)]
    assert asked(model, values) == [2 * value for value in values]
    assert set(model.sizes[2 * MOST_ROWS :]) == {1}


def test_a_row_that_fails_fails_alone() -> None:
    """Others in the same batch are answered."""
    first, second, third = asked(Doubling(), [1.0, -1.0, 3.0])
    assert (first, third) == (2.0, 6.0)
    with pytest.raises(ValueError, match="negative"):
        raise second

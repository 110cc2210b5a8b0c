"""Scoring that takes its time: off the loop of the server, and all at once whatever came while it was busy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitops_serving.fast import Scorer

Score = float | list[float]
# Until so many rows that came together were scored each by itself and in a batch, and alike, no batch is trusted.
TRIED_ROWS = 500
MOST_ROWS = 128


class Together:
    """Scores rows that are asked for one by one. Nobody waits for others to come.

    Some models say other last bits of a row in a batch than of the row alone, as products of matrices do. What a row
    gets must not depend on who else asks, so rows of such a model stay alone.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.thread = ThreadPoolExecutor(1, "scoring")
        self.waiting: list[tuple[Sequence[Any], asyncio.Future[Score]]] = []
        self.work: asyncio.Task[None] | None = None
        self.tried, self.alike = 0, True

    async def one(self, values: Sequence[Any]) -> Score:
        """What the model says of a row; raises what the model raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Score] = loop.create_future()
        self.waiting.append((values, future))
        if self.work is None:
            self.work = loop.create_task(self._work())
        return await future

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self.waiting:
            most = MOST_ROWS if self.alike else 1
            taken, self.waiting = self.waiting[:most], self.waiting[most:]
            found = await loop.run_in_executor(self.thread, self._scored, [values for values, _ in taken])
            for (_, future), score in zip(taken, found, strict=True):
                if future.done():
                    continue
                if isinstance(score, Exception):
                    future.set_exception(score)
                else:
                    future.set_result(score)
        self.work = None

    def _scored(self, rows: list[Sequence[Any]]) -> list[Score | Exception]:
        if len(rows) == 1:
            return [self._alone(rows[0])]
        try:
            together = self.scorer.many(rows).tolist()
        except Exception:  # which row it was, each says by itself
            return [self._alone(values) for values in rows]
        if self.tried >= TRIED_ROWS:
            return list(together)
        alone = [self._alone(values) for values in rows]
        self.tried += len(rows)
        self.alike = self.alike and alone == together
        return alone

    def _alone(self, values: Sequence[Any]) -> Score | Exception:
        try:
            return self.scorer.one(values)
        except Exception as error:  # handed to who asked
            return error

"""BentoML's own series of metrics about answers that its middleware did not see."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import Any

import bentoml

FLUSH_SECONDS = 1.0
# So many are told at once; more would keep the loop from its work.
MOST = 200


class Series:
    """The series of one route, of answers with 200. They are told once a second, and before they are shown."""

    def __init__(self, middleware: Any, route: str) -> None:
        """Tell what BentoML's middleware tells, once it is set up."""
        who = {
            "service_name": bentoml.server_context.bento_name,
            "service_version": bentoml.server_context.bento_version,
            "runner_name": bentoml.server_context.service_name,
        }
        self.total = middleware.metrics_request_total.labels(endpoint=route, http_response_code=200, **who)
        self.duration = middleware.metrics_request_duration.labels(endpoint=route, http_response_code=200, **who)
        self.busy = middleware.metrics_request_in_progress.labels(endpoint=route, **who)
        self.last = middleware.metrics_last_request_timestamp.labels(**who)
        self.seconds: list[float] = []
        self.timer: asyncio.TimerHandle | None = None

    def in_progress(self) -> AbstractContextManager[None]:
        """Count a request among those that are being answered."""
        counted: AbstractContextManager[None] = self.busy.track_inprogress()
        return counted

    def add(self, seconds: float) -> None:
        """Count an answer that took so long."""
        self.seconds.append(seconds)
        if len(self.seconds) >= MOST:
            self.flush()
        elif self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Tell what was counted."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.seconds:
            seconds, self.seconds = self.seconds, []
            self.total.inc(len(seconds))
            for each in seconds:
                self.duration.observe(each)
            self.last.set_to_current_time()

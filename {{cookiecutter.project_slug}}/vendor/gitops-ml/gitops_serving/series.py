"""Metrics of answers that BentoML's middleware did not see: its own series, and how many there were."""

from __future__ import annotations

import bisect
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import bentoml


class Series:
    """The series of one route, of answers with 200."""

    def __init__(self, counter: Any, middleware: Any, route: str) -> None:
        """Count answers, and tell what BentoML's middleware tells, if there is one; it is set up by now."""
        self.counter = counter
        self.is_told = middleware is not None
        if not self.is_told:
            return
        who = {
            "service_name": bentoml.server_context.bento_name,
            "service_version": bentoml.server_context.bento_version,
            "runner_name": bentoml.server_context.service_name,
        }
        self.total = middleware.metrics_request_total.labels(endpoint=route, http_response_code=200, **who)
        self.duration = middleware.metrics_request_duration.labels(endpoint=route, http_response_code=200, **who)
        self.busy = middleware.metrics_request_in_progress.labels(endpoint=route, **who)
        self.last = middleware.metrics_last_request_timestamp.labels(**who)

    def in_progress(self) -> AbstractContextManager[None]:
        """Count a request among those that are being answered."""
        return self.busy.track_inprogress() if self.is_told else nullcontext()

    def add(self, seconds: list[float]) -> None:
        """Count answers that took so long."""
        self.counter.inc(len(seconds))
        if self.is_told:
            self.total.inc(len(seconds))
            observe(self.duration, seconds)
            self.last.set_to_current_time()


def observe(histogram: Any, amounts: list[float]) -> None:
    """What `histogram.observe` does with each amount, by one step for each bucket: every step writes to a mapped file.

    It is told by what prometheus_client has no public name for, so if there is no such thing, one by one after all.
    """
    try:
        bounds, buckets, total = histogram._upper_bounds, histogram._buckets, histogram._sum
    except AttributeError:
        for each in amounts:
            histogram.observe(each)
        return
    total.inc(sum(amounts))
    for place, count in Counter(bisect.bisect_left(bounds, each) for each in amounts).items():
        buckets[place].inc(count)

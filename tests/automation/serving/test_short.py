"""The short way passes nothing by that somebody put into the way of requests."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from gitops_serving.contract import answers, requests, to_answer
from gitops_serving.limits import RequestLimits
from gitops_serving.short import Shortened, ShortWay
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.testclient import TestClient

from tests.automation.serving.test_log import SCHEMA


def started(*others: Middleware) -> Starlette:
    """A server with the short way and other middleware, after its start."""
    options: dict[str, Any] = {
        "request": requests(SCHEMA, 10)[0],
        "answer": answers(SCHEMA, None)[0],
        "told": lambda score: to_answer(score, SCHEMA, None),
        "body_bytes": 1000,
    }
    app = Starlette(middleware=[Middleware(ShortWay, **options), *others])
    with TestClient(app):
        return app


def test_the_short_way_stands_before_all_that_it_knows() -> None:
    """Past the limits of requests, which it keeps itself, it is open."""
    app = started(Middleware(RequestLimits, body_bytes=1000))
    assert isinstance(app.middleware_stack, Shortened)


def test_unknown_middleware_closes_the_short_way_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """What must see each request sees each; the log says why every row takes long."""
    with caplog.at_level(logging.WARNING):
        app = started(Middleware(GZipMiddleware))
    assert not isinstance(app.middleware_stack, Shortened)
    assert "there is starlette.middleware.gzip.GZipMiddleware" in caplog.text

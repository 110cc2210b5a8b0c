"""Fleets as they can be: none, one, a few, many; well, in trouble, of strange names, and not read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from gitops_ml.fleet.content import Environment, Fleet, Made, Model
from gitops_ml.marks.freezes import Freeze
from gitops_ml.marks.holds import Hold
from gitops_ml.notify.branch import Finding
from gitops_ml.pages.verdicts import meaning

NOON = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOSTILE = "<script>alert(1)</script>"


def release(number: int) -> str:
    """A release's whole name."""
    return f"model-{number}:{number:016x}"


def environment(name: str, number: int = 0, **more: Any) -> Environment:
    """A healthy one."""
    facts: dict[str, Any] = {
        "name": name,
        "release": release(number),
        "named": NOON - number * DAY,
        "serving": release(number),
        "since": NOON - number * DAY,
        "created": NOON - (number + 1) * DAY,
        "verdict": "promote",
        "judged": meaning("promote", passes=True, same=False),
        "health": "healthy",
        "state": "healthy",
        "hosts": {"host-1a2b": NOON - timedelta(minutes=number)},
    }
    return Environment(**facts | more)


def finding(verdict: str, number: int = 0, **more: Any) -> Finding:
    """What the monitor found in production."""
    counted = "(1 of 40 signals)" if verdict in ("alarm", "watch") else "(40 of 40 tested)"
    moved = "drift: 31 % of hour are 3 or less, 12 % were in training, in 3 of 4 windows"
    facts: dict[str, Any] = {
        "environment": "production",
        "release": release(number),
        "moment": NOON - timedelta(hours=6),
        "since": NOON - 7 * DAY,
        "until": NOON,
        "verdict": verdict,
        "sentence": f"{verdict} {counted}",
        "alarms": [moved] * (verdict == "alarm"),
        "watch": [],
        "worth": None,
    }
    return Finding(**facts | more)


WORTH = {
    "unit": "USD",
    "worth": 3210.0,
    "gain": 540.0,
    "sentence": "1,000 decisions are worth 3,210 USD, which is +540 (+210 to +870) against always 'wait'",
}


def model(number: int, *environments: Environment, **more: Any) -> Model:
    """A project."""
    facts: dict[str, Any] = {
        "source": f"https://git.example.org/models/model-{number}.git",
        "name": f"model-{number}",
        "title": f"Model {number}",
        "owner": "@example/ml-engineers @example/data-scientists",
        "owner_from": "CODEOWNERS",
        "environments": list(environments) or [environment("staging", number), environment("production", number)],
        "template": Made(version="0.2.0", commit="a" * 40, newest="0.3.0", versions=1, commits=12),
    }
    return Model(**facts | more)


def unread(number: int, problem: str) -> Model:
    """A repository that gives nothing."""
    return Model(source=f"https://git.example.org/models/unread-{number}.git", problem=problem)


def fleet(*models: Model, **more: Any) -> Fleet:
    """All of them."""
    return Fleet(**{"moment": NOON, "template": "0.3.0", "models": list(models)} | more)


def troubled() -> list[Model]:
    """Five that have something of everything."""
    held = Hold(release=release(1), reason="answers are wrong for flights after midnight", since=NOON - DAY)
    frozen = Freeze(environment="production", reason="the tables of the weather are late", since=NOON)
    newest = Made(version="0.3.0", commit="b" * 40, newest="0.3.0", versions=0, commits=0)
    well = environment("production", finding=finding("all is well", worth=WORTH))
    alarming = environment("production", 1, hold=held, frozen=frozen, finding=finding("alarm", 1))
    state = f"failed: {'port 3000 is taken, ' * 6}"
    failed = environment("production", 2, health="failed", serving=release(1), state=state)
    silent = environment("staging", 3, health="silent", state="healthy; host was last heard", silent=["host-1a2b"])
    return [
        model(0, environment("staging"), well, template=newest),
        model(1, environment("staging", 1), alarming, held=[held]),
        model(2, environment("staging", 2, proposed=["promote/staging/00000000000003e8-abcdef12"]), failed),
        model(
            3,
            silent,
            Environment(name="production", health="empty", state="empty"),
            owner="",
            template=Made(unknown="not known: main has no .template.json"),
        ),
        unread(4, "was not read within 60 seconds"),
    ]


def many() -> list[Model]:
    """Two hundred."""
    verdicts = ("all is well", "watch", "not known", "alarm")
    return [
        model(
            number,
            environment("staging", number),
            environment("production", number, finding=finding(verdicts[number % 4], number, worth=WORTH)),
        )
        if number % 20
        else unread(number, "Could not resolve host: git.example.org")
        for number in range(200)
    ]


def hostile() -> list[Model]:
    """Names and reasons that want to be something else than text."""
    hold = Hold(release=release(1), reason=f"{HOSTILE}{'w' * 300}", since=NOON)
    failed = [environment(f"{each}-failed", 1, state=f"failed: {'y' * 200}", health="failed") for each in "abcdef"]
    problem = f"release.json cannot be read: '\"`$(reboot)`{{{{ 7 * 7 }}}} {HOSTILE}"
    owner = "عبد الرحمن <b>&amp; \u202eevil"
    return [
        model(1, *failed, title=f"{HOSTILE}{'x' * 120}", owner=owner, held=[hold]),
        model(2, title="إصلاح النموذج", source="/srv/نماذج", fetched=NOON - 3 * DAY),
        model(3, Environment(name="production", problem=problem)),
        unread(4, HOSTILE),
        unread(5, "z" * 300),
    ]


STATES: dict[str, Callable[[], Fleet]] = {
    "none": fleet,
    "one": lambda: fleet(troubled()[0], template=""),
    "five": lambda: fleet(*troubled()),
    "two hundred": lambda: fleet(*many()),
    "hostile": lambda: fleet(*hostile(), template_problem=f"gone {HOSTILE}"),
}

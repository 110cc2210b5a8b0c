"""Ledgers as they can be: short, long, of strange names, of edits and holds, and where little is known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from gitops_ml.ledger.entries import Entry, Ledger, Metric
from gitops_ml.ledger.status import EnvironmentStatus, Status
from gitops_ml.marks.holds import Hold
from gitops_ml.pages.verdicts import meaning

NOON = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
PLAIN = ("Ada Lovelace", "Train on January to April")
HOSTILE = (
    ("<script>alert(1)</script>", "\x1b[31m[bold]red[/] :boom: {{ 7 * 7 }}"),
    ("عبد الرحمن", "إصلاح <b>&amp;"),
    ("x" * 120, "w" * 300),
    ("\u202eevil", "'\"`$(reboot)`"),
)


def name(number: int) -> str:
    """A release's whole name."""
    return f"late-flights:{number:016x}"


def entry(number: int, who: str = PLAIN[0], why: str = PLAIN[1], **more: Any) -> Entry:
    """A promotion, every fourth of them a rollback; the higher the number, the older."""
    verdict = ("promote", "keep", "insufficient evidence", "no champion")[number % 4]
    difference = (0.0045, -0.0021, None)[number % 3]
    facts: dict[str, Any] = {
        "environment": ("production", "staging")[number % 2],
        "when": NOON - timedelta(hours=5 * number),
        "who": who,
        "action": "roll back" if number % 4 == 3 else "promote",
        "by_hand": False,
        "release": name(1000 - number),
        "replaces": name(999 - number),
        "model": "a" * 64,
        "verdict": verdict,
        "judged": meaning(verdict, passes=verdict in ("promote", "no champion"), same=False),
        "metric": Metric(
            name="roc_auc",
            value=0.7137,
            difference=difference,
            better=difference > 0 if difference else None,
            other_rows=difference is None,
        ),
        "why": why,
        "commit": f"{number:040x}",
    }
    return Entry(**facts | more)


def edit(number: int, **more: Any) -> Entry:
    """An edit by hand, of which nothing was judged."""
    facts = {"action": "edit by hand", "by_hand": True, "verdict": None, "judged": None, "metric": None}
    return entry(number, **facts | {"release": None, "why": "Fix it: release.json is gone"} | more)


def environment(each: str, **more: Any) -> EnvironmentStatus:
    """A healthy environment."""
    facts: dict[str, Any] = {
        "name": each,
        "release": name(1000),
        "health": "healthy",
        "state": "healthy",
        "serving": name(1000),
        "since": NOON - timedelta(days=2),
        "hosts": [],
        "answers": None,
        "proposed": [],
        "behind": 0,
    }
    return EnvironmentStatus(**facts | more)


def nothing(each: str, health: str) -> EnvironmentStatus:
    """An environment without a release."""
    none = dict.fromkeys(("release", "serving", "since", "behind"))
    return environment(each, health=health, state=health, **none)


def now(*environments: EnvironmentStatus, held: list[Hold] | None = None) -> Status:
    """How it stands."""
    newest = next((each.release for each in environments if each.release), None)
    return Status(newest=newest, environments=list(environments), held=held or [], foreign=[])


def ledger(entries: list[Entry], standing: Status | None, title: str = "Late flights") -> Ledger:
    """All of it."""
    unknown = "" if standing else "`origin` does not answer: `git fetch` did not end within 60 seconds"
    return Ledger(title=title, now=standing, unknown=unknown, entries=entries)


def held() -> Ledger:
    """What serves in production is on hold, and failed; something is proposed."""
    hold = Hold(release=name(997), reason="answers are wrong", since=NOON - timedelta(days=1))
    other = Hold(release=name(12), reason="an old one", since=NOON - timedelta(days=9))
    standing = now(
        environment("staging"),
        environment(
            "production",
            release=name(997),
            serving=name(996),
            health="failed",
            state=f"failed: port 3000 is taken, so {name(996)} goes on",
            answers=name(996),
            proposed=[f"promote/production/{1000:016x}-abcdef12"],
            behind=3,
        ),
        held=[hold, other],
    )
    return ledger([entry(number) for number in range(5)], standing)


def hostile() -> Ledger:
    """Names and reasons that want to be something else than text."""
    entries = [entry(number, *HOSTILE[number % 4]) for number in range(8)]
    hold = Hold(release=name(1000), reason=HOSTILE[0][1] + HOSTILE[2][1], since=NOON)
    return ledger(entries, now(environment("production", state=f"failed: {'y' * 200}"), held=[hold]), HOSTILE[1][0])


STATES: dict[str, Callable[[], Ledger]] = {
    "no branch": lambda: ledger([], now(nothing("staging", "no branch"), nothing("production", "no branch"))),
    "nothing yet": lambda: ledger([], now(nothing("staging", "empty"), nothing("production", "empty"))),
    "five": lambda: ledger([entry(each) for each in range(5)], now(environment("staging"), environment("production"))),
    "two hundred": lambda: ledger([entry(number) for number in range(200)], now(environment("production"))),
    "an edit by hand": lambda: ledger(
        [edit(0), edit(1, release=name(999)), entry(2, by_hand=True), entry(3)], now(environment("production"))
    ),
    "on hold": held,
    "hostile": hostile,
    "without origin": lambda: ledger([entry(number) for number in range(5)], None),
}

"""What follows from the windows: four verdicts, of which the good one is only about what was tested."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gitops_ml.core import project
from gitops_ml.monitor import findings, watch
from gitops_ml.monitor.content import Monitoring, Window
from gitops_ml.monitor.reference import WORKING_TREE, Reference
from gitops_ml.monitor.signals import Kind, Signal, State

from tests.automation.monitor.test_signals import BINARY
from tests.automation.tables import PROJECT

NOW = datetime(2026, 5, 29, tzinfo=UTC)
SETTINGS = project.read(PROJECT)
NEEDED = SETTINGS.monitor.alarms


def signal(kind: Kind, name: str, state: State, **facts: Any) -> Signal:
    """Something that was looked at."""
    return Signal(kind=kind, name=name, state=state, sentence=f"{name} is {state}", **facts)


def windows(*signals: list[Signal]) -> list[Window]:
    """Windows, the oldest first, each with such signals."""
    start = NOW - timedelta(days=7 * len(signals))
    return [
        Window(
            since=start + timedelta(days=7 * number), until=start + timedelta(days=7 * (number + 1)),
            rows=1000, labelled=0, requests=1000, enough=True, signals=found,
        )
        for number, found in enumerate(signals)
    ]  # fmt: skip


def told(found: list[Window], release: str = "flights:1a", **importance: float) -> Monitoring:
    """What is said of windows in which a release with such columns served."""
    facts: dict[str, Any] = {
        "release": release, "created": NOW - timedelta(days=30), "model": "m", "policy": None, "evaluate": None,
        "profile": None, "metrics": {SETTINGS.gate.metric: {"value": 0.7, "low": 0.6, "high": 0.8}},
        "importance": importance, "schema": BINARY,
    }  # fmt: skip
    return watch.told(found, [], Reference(**facts), (SETTINGS, "production", NOW))


WELL = signal("drift", "a", "within", value=0.01, limit=0.1)
PROVEN = signal("drift", "a", "proven", value=0.5, limit=0.1, p=0.001)
NEARLY = signal("drift", "a", "beyond", value=0.5, limit=0.1, p=0.02)
CHANCE = signal("drift", "a", "beyond", value=0.5, limit=0.1, p=0.4)
UNTESTED = signal("drift", "a", "not tested")
ANSWERED = signal("refused", "requests", "within", value=0, limit=0.05)


@pytest.mark.parametrize(
    ("newest", "before", "verdict", "heading", "exit_code"),
    [
        ([PROVEN], [PROVEN], "alarm", "alarm (1 of 1 signal)", 3),
        ([PROVEN, signal("worth", "decisions", "beyond", value=-1, limit=0)], [PROVEN], "alarm",
         "alarm (1 of 2 signals, 1 to watch)", 3),
        ([PROVEN], [WELL], "watch", "watch (1 of 1 signal)", 0),
        ([NEARLY], [NEARLY], "watch", "watch (1 of 1 signal)", 0),
        ([UNTESTED, ANSWERED], [PROVEN], "watch", "watch (1 of 2 signals)", 0),
        ([CHANCE], [CHANCE], "all is well", "all is well (1 of 1 signal tested)", 0),
        ([WELL], [PROVEN], "all is well", "all is well (1 of 1 signal tested)", 0),
        ([WELL, signal("worth", "decisions", "not tested")], [WELL], "all is well",
         "all is well (1 of 2 signals tested)", 0),
        ([UNTESTED, ANSWERED], [WELL], "not known", "not known (1 of 2 signals tested)", 0),
        ([], [], "not known", "not known (0 of 0 signals tested)", 0),
    ],
    ids=["alarm", "and more", "once", "nearly proven", "not tested since", "by chance", "over", "no labels",
         "requests alone", "nothing"],
)  # fmt: skip
def test_the_verdict_is_about_what_was_tested(
    newest: list[Signal], before: list[Signal], verdict: str, heading: str, exit_code: int
) -> None:
    """All is well only where the model itself was tested in the newest window, and nothing is beyond its limit by more
    than chance; only an alarm has an exit code of its own.
    """
    found = told(windows(before, newest))
    assert (found.verdict, found.heading, found.exit_code) == (verdict, heading, exit_code)


def test_what_is_not_known_has_its_reason() -> None:
    """What was not tested stands by its reason, a column once; what chance has beyond its limit is named."""
    reason = "too few rows, 3 of at least 500"
    missing = [
        Signal(kind="drift", name=name, state="not tested", sentence=reason, column="b")
        for name in ("b", "b is missing")
    ]
    found = told(
        windows([CHANCE, *missing, Signal(kind="worth", name="decisions", state="not tested", sentence="late")])
    )
    assert [(each.reason, each.names) for each in found.unknown] == [("late", ["worth"]), (reason, ["b"])]
    assert found.by_chance == ["a"]


def test_the_most_harmful_stands_first_in_every_window() -> None:
    """Alarms, then what is proven, beyond, within and not tested; of drift what moves most of what counts most; and
    what was wrong before comes before what never was. Each window has the same order.
    """
    newest = [
        signal("drift", "untested", "not tested"),
        signal("drift", "slight", "beyond", value=0.5, column="slight"),
        signal("latency", "was slow", "within", value=1, limit=2),
        signal("drift", "heavy", "beyond", value=0.2, column="heavy"),
        signal("performance", "auc", "beyond", value=0.6, limit=0.7),
        signal("refused", "fine", "within", value=0.0, limit=0.1),
        signal("drift", "once", "proven", value=0.9, column="once"),
        signal("drift", "alarm", "proven", value=0.2, column="alarm"),
    ]
    slow = signal("latency", "was slow", "proven", value=3, limit=2)
    before = [slow if each.name == "was slow" else each.model_copy(update={"state": "within"}) for each in newest]
    before[-1] = newest[-1]
    found = told(windows(before[::-1], newest), slight=0.001, heavy=0.1, once=0.0, alarm=0.0)
    expected = ["alarm", "once", "auc", "heavy", "slight", "was slow", "fine", "untested"]
    for each in found.windows:
        assert [signal.name for signal in each.signals] == expected


def test_an_alarm_says_how_long_how_much_it_counts_and_what_to_do() -> None:
    """Its sentence ends with the windows and the column's place by importance; the way back is offered where a release
    serves that can be rolled back.
    """
    [alarm] = told(windows([PROVEN], [PROVEN.model_copy(update={"column": "a"})]), b=0.2, a=0.1).alarms
    assert alarm.sentence == "a is proven, in 2 of 2 windows; column 2 of 2 by importance"
    assert alarm.next == (
        "`gitops-ml watch retrain` proposes a model of the new data; `gitops-ml env rollback production` brings back "
        "the release before, if the answers are wrong"
    )
    for release in ("flights:1a", "zoo:1a", WORKING_TREE):
        [alarm] = told(windows([PROVEN], [PROVEN]), release=release).alarms
        assert ("rollback" in alarm.next) == (release != WORKING_TREE)


@pytest.mark.parametrize(
    ("before", "newest", "said"),
    [
        (WELL, NEARLY, "a is beyond, which is not proven (p = 0.02)"),
        (
            WELL,
            signal("performance", "a", "beyond", value=2, limit=1),
            "a is beyond, beyond its limit, which is not proven",
        ),
        (WELL, PROVEN, "a is proven, in 1 of 2 windows, and 2 make an alarm"),
        (PROVEN, UNTESTED, "a is proven, when it was last tested; since then a is not tested"),
    ],
    ids=["not proven", "without a test", "too seldom", "not tested any more"],
)
def test_what_is_to_be_watched_says_why_it_is_no_alarm(before: Signal, newest: Signal, said: str) -> None:
    """Each thing to watch has its own reason."""
    [found] = told(windows([before], [newest])).watch
    assert found.sentence == said


def test_every_kind_of_alarm_has_a_next_step() -> None:
    """Whatever is wrong, the alarm names a command of the automation."""
    for kind in findings.KINDS:
        found = [signal(kind, "x", "proven", value=2, limit=1)]
        [alarm] = told(windows(found, found)).alarms
        assert "`gitops-ml " in alarm.next, kind
        assert "{" not in alarm.next


@pytest.mark.parametrize(("newest", "open_"), [(UNTESTED, True), (WELL, False), (CHANCE, False), (PROVEN, False)])
def test_what_was_wrong_and_is_not_tested_any_more_is_an_open_question(newest: Signal, open_: bool) -> None:
    """Silence about what was proven to be wrong is no proof that it is over."""
    assert bool(findings.open_questions(windows([PROVEN], [UNTESTED], [newest]))) == open_

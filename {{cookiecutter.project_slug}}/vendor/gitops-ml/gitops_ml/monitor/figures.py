"""Signals as people write and name them: the same on the page, in the issue and at the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from gitops_ml.gate.result import Measured
from gitops_ml.monitor import estimate
from gitops_ml.monitor.content import Monitoring, Window
from gitops_ml.monitor.signals import Bound, Kind, Signal, State
from gitops_ml.pages import verdicts, words
from gitops_ml.pages.words import Tone

# Its tone, the shape that says the same, and the words.
STATES: dict[State, tuple[Tone, str, str]] = {
    "proven": ("bad", words.SHAPES["bad"], "beyond its limit, proven"),
    "beyond": ("wait", words.SHAPES["wait"], "beyond its limit, not proven"),
    "within": ("good", words.SHAPES["good"], "within its limit"),
    "not tested": ("plain", "·", "not tested"),
}
# Nothing to act on, and no reason for green: the value is within its limit, its interval is not.
OPEN: tuple[Tone, str, str] = ("plain", words.SHAPES["plain"], "within its limit, not proven")
BOUNDS: dict[Bound, str] = {"at most": "≤", "at least": "≥", "below": "<"}
# What is not about a column is called so, and explained so.
NAMES: dict[Kind, tuple[str, str]] = {
    "calibration": ("calibration error", ""),
    "worth": ("worth", ""),
    "expected worth": ("expected worth", ""),
    "refused": ("refused requests", ""),
    "errors": ("failed requests", ""),
    "latency": ("latency", "95th percentile"),
    "silence": ("silence", ""),
    "age": ("age", "of the release"),
}
WRITE: dict[Kind, Callable[[float], str]] = {
    "performance": words.number,
    "calibration": words.number,
    "worth": lambda value: words.amount(value, "+"),
    "expected": words.number,
    "expected worth": lambda value: words.amount(value, "+"),
    "latency": lambda value: f"{value:,.0f} ms",
    "silence": lambda value: words.age(timedelta(hours=value)),
    "age": lambda value: words.age(timedelta(days=value)),
}
CHANCE = "beyond their limits, by as much as so few days often differ"
# So many are shown of rows, of windows beside each other, of small multiples, and of findings or names in a row.
ROWS, WINDOWS, CHARTS, FINDINGS = 15, 6, 6, 5


@dataclass(frozen=True)
class Row:
    """One signal in every window, the oldest first."""

    name: str
    about: str
    signals: list[Signal]
    importance: float | None

    @property
    def values(self) -> list[float]:
        """Of those windows in which there is one."""
        return [signal.value for signal in self.signals if signal.value is not None]

    @property
    def newest(self) -> Signal:
        """As it is in the newest window."""
        return self.signals[-1]

    @property
    def limit(self) -> str:
        """What it may be, of the newest window that says so."""
        known = [signal for signal in self.signals if signal.limit is not None]
        return f"{BOUNDS[known[-1].bound]} {limit(known[-1])}" if known else ""


def rows(found: Monitoring) -> list[Row]:
    """Each signal by window, the most harmful first."""
    worth = next((window.worth for window in reversed(found.windows) if window.worth), None)
    by_signal = zip(*(window.signals for window in found.windows), strict=True)
    return [
        Row(
            name=name(signals[-1]),
            about=about(signals[-1], worth.unit if worth else ""),
            signals=list(signals),
            importance=found.importance.get(signals[-1].column or ""),
        )
        for signals in by_signal
    ]


def verdict(found: Monitoring) -> tuple[Tone, str, str]:
    """The tone of the verdict, the sign that says the same, and the verdict."""
    tone = verdicts.watched(found.verdict, found.untested)
    return tone, words.SIGNS[tone], found.verdict


def state(signal: Signal) -> tuple[Tone, str, str]:
    """Its tone, the shape that says the same, and the words; the same wherever it stands."""
    return OPEN if signal.state == "within" and not _is_clear(signal) else STATES[signal.state]


def legend() -> list[tuple[Tone, str, str]]:
    """All that a signal can be, the most harmful first."""
    *beyond, within, untested = STATES.values()
    return [*beyond, OPEN, within, untested]


def _is_clear(signal: Signal) -> bool:
    """Whether the whole interval is on the right side of the limit; what has none is known as it is."""
    if signal.limit is None or signal.low is None or signal.high is None:
        return True
    return signal.low >= signal.limit if signal.bound == "at least" else signal.high <= signal.limit


def name(signal: Signal) -> str:
    """What people call it."""
    if signal.kind == "performance":
        return words.metric(signal.name)
    if signal.kind == "expected":
        return f"expected {words.metric(signal.name)}"
    return NAMES[signal.kind][0] if signal.kind in NAMES else signal.column or signal.name


def about(signal: Signal, unit: str) -> str:
    """What is looked at of what has that name; `unit` is that of the decisions."""
    if signal.kind == "expected":
        return "before labels come"
    if signal.kind in ("worth", "expected worth"):
        return f"{unit} per 1,000 rows beyond the best single action".strip()
    if signal.column not in (None, signal.name):
        return f"{signal.kind} of what is missing"
    return NAMES[signal.kind][1] if signal.kind in NAMES else signal.kind


def of_estimate(name: str) -> str:
    """What is expected, as people call it."""
    return name if name == estimate.WORTH else words.metric(name)


def value(name: str, found: float) -> str:
    """A figure of what is expected, or was measured, in its unit."""
    return words.amount(found, "+") if name == estimate.WORTH else words.number(found)


def between(name: str, found: Measured) -> str:
    """Its interval."""
    return f"{value(name, found.low)} to {value(name, found.high)}"


def expected(found: Monitoring) -> list[str]:
    """What labels will probably say of the newest window, a sentence each, with the record."""
    known = {each.name: each.sentence for each in found.records}
    said = [
        f"{of_estimate(each.name)} {value(each.name, each.expected.value)} ({between(each.name, each.expected)}), "
        f"{known[each.name]}"
        for each in found.windows[-1].estimates
    ]
    return said or [found.unestimated] if found.unestimated else said


def begins(window: Window) -> str:
    """Its first day, as short as a column is narrow."""
    return f"{window.since.day} {window.since:%b}"


def period(window: Window) -> str:
    """Its days, from the first to the last one."""
    return words.period(window.since, window.until - timedelta(seconds=1))


def figure(signal: Signal) -> str:
    """Its value with its unit, or what there is to say without one."""
    if signal.value is not None:
        return WRITE.get(signal.kind, words.share)(signal.value)
    if signal.state == "not tested":
        return ""
    if signal.kind == "schema":
        return "fits" if signal.state == "within" else "does not fit"
    return "as before"


def limit(signal: Signal) -> str:
    """Its limit with its unit."""
    if signal.limit is None:
        return ""
    is_worth = signal.kind in ("worth", "expected worth")
    return words.amount(signal.limit) if is_worth else WRITE.get(signal.kind, words.share)(signal.limit)


def next_steps(found: Monitoring) -> list[str]:
    """What can be done, each thing once."""
    return list(dict.fromkeys(alarm.next for alarm in found.alarms if alarm.next))


def names(found: list[str], shown: int = FINDINGS) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(found) - shown} more" if len(found) > shown else ""
    return ", ".join(found[:shown]) + more


def windows(found: Monitoring) -> str:
    """How many windows there are, and how long they are."""
    days = words.counted(1, "day") if found.settings.window_days == 1 else f"{found.settings.window_days:g} days"
    return f"{words.counted(len(found.windows), 'window')} of {days}"


def answered(found: Monitoring) -> str:
    """How many rows were answered in a window."""
    counts = [window.rows for window in found.windows]
    least = f"{min(counts):,} to " if min(counts) < max(counts) else ""
    return f"{least}{words.counted(max(counts), 'row')} each"

"""How numbers, signs, dates and counts are written for people, the same on every page and in every sentence."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal

import numpy as np

Sign = Literal["", "+"]
Tone = Literal["good", "bad", "wait", "plain"]
# The sign that says without colour what the colour says.
SIGNS: dict[Tone, str] = {"good": "✅", "bad": "❌", "wait": "⏳", "plain": "⚪"}
# The same as shapes, in a page that has the colours, too.
SHAPES: dict[Tone, str] = {"good": "✓", "bad": "■", "wait": "◪", "plain": "□"}
METRICS = {
    "accuracy": "accuracy",
    "average_precision": "average precision",
    "balanced_accuracy": "balanced accuracy",
    "brier": "Brier score",
    "log_loss": "log loss",
    "macro_f1": "macro F1",
    "mae": "MAE",
    "r2": "R²",
    "rmse": "RMSE",
    "roc_auc": "ROC AUC",
    "roc_auc_ovr": "ROC AUC, one against the rest",
}


def metric(name: str) -> str:
    """A metric as people call it."""
    return METRICS.get(name, name.replace("_", " "))


def better(lower: bool) -> str:
    """In which direction a metric is better."""
    return "lower is better" if lower else "higher is better"


def number(value: float, sign: Sign = "") -> str:
    """A measurement: four digits behind the point, fewer of what is large, more of what would read as zero."""
    size = abs(value)
    if not np.isfinite(value):
        return str(value)
    if size >= 1000:
        return f"{value:{sign},.0f}"
    if size >= 10:
        return f"{value:{sign}.2f}"
    if size == 0 or size >= 0.00005:
        return f"{value:{sign}.4f}"
    return np.format_float_positional(value, precision=1, fractional=False, sign=sign == "+", trim="-")


def interval(low: float, high: float, sign: Sign = "") -> str:
    """From where to where."""
    return f"{number(low, sign)} to {number(high, sign)}"


def amount(value: float, sign: Sign = "") -> str:
    """What decisions are worth: whole units, or three digits of what is less than a hundred."""
    return f"{value:{sign},.0f}" if abs(value) >= 100 else f"{value:{sign}.3g}"


def share(value: float) -> str:
    """A share in per cent, with one digit behind the point below 10 %, and never all or nothing of what is neither."""
    value = round(value, 9)  # shares are often sums of others
    if 0 < value < 0.001:
        return "less than 0.1 %"
    if 0.995 <= value < 1:
        return "more than 99 %"
    return f"{value:.0%}".replace("%", " %") if value >= 0.1 or value == 0 else f"{value:.1%}".replace("%", " %")


def points(value: float, sign: Sign = "+") -> str:
    """A difference of shares, in points of per cent."""
    return f"{value * 100:{sign}.1f}"


def confidence(value: float) -> str:
    """How sure, in per cent, with all digits that were asked for: 97.5 %."""
    return f"{value * 100:g} %"


def printable(text: str) -> str:
    """Text of any origin for a terminal: what steers it, or turns the direction of writing, is shown as `?`."""
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text)


def counted(count: int, name: str, plural: str | None = None) -> str:
    """So many of something."""
    return f"{count:,} {name if count == 1 else plural or f'{name}s'}"


def size(octets: int) -> str:
    """Bytes in the largest unit of which there is one."""
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if octets >= length:
            return f"{octets / length:.3g} {unit}"
    return counted(octets, "byte")


def day(moment: date) -> str:
    """A day with its year: 21 March 2013."""
    return f"{moment.day} {moment:%B %Y}"


def clock(moment: datetime) -> str:
    """A day and a time, in the zone of whoever reads it: 2013-03-21 17:45."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def zone(moment: datetime) -> str:
    """What the zone of whoever reads it is called at a time: CET, or UTC-03 where it has no name."""
    name = f"{moment.astimezone():%Z}"
    return name if name.isalpha() else f"UTC{name}"


def period(first: date, last: date) -> str:
    """From a day to a day, without saying twice what both have: 21 March to 30 April 2013."""
    if (first.year, first.month, first.day) == (last.year, last.month, last.day):
        return day(first)
    if first.year != last.year:
        return f"{day(first)} to {day(last)}"
    month = "" if first.month == last.month else f" {first:%B}"
    return f"{first.day}{month} to {day(last)}"


def took(seconds: float) -> str:
    """How long something took: 3.2 s, 48 s, 6 min 52 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 10:
        return f"{round(seconds, 2):.2g} s"
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def age(past: timedelta) -> str:
    """How long, in the largest unit of which there is at least one: 3 days."""
    seconds = abs(past.total_seconds())
    for name, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            return counted(int(seconds // length), name)
    return "less than a minute"

"""How often the monitor raises an alarm where the truth is known: `make study` prints the tables.

Simulated rows come in days whose rows share a part of their luck, as those of real days do. Windows are drawn like the
reference, or with one column moved by a third of its spread. Beside that, months of whole days are drawn from the rows
that trained the example's model, and columns break in windows of one day and of seven, with few rows and with many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from gitops_ml.core import project
from gitops_ml.monitor import drift, findings, signals
from gitops_ml.monitor.content import Window
from pipeline import data, profile
from pipeline.params import Params
from pipeline.schema import Column, Schema
from pipeline.validation import cast

from tests.automation.tables import PROJECT as ROOT

DAYS, ROWS_A_DAY = 60, 100
WINDOWS, DAYS_A_WINDOW = 4, 7
SETTINGS = project.read(ROOT).monitor.model_copy(update={"windows": WINDOWS, "alarms": 2, "level": 0.01, "effect": 0.1})
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
# The share of a day in the variance of each number, and how much is moved where something is.
SHARED = {"independent": 0.0, "a little alike": 0.05, "weather": 0.4, "season": 0.85}
MOVED = 0.35
FEW, MANY = 500, 5000
SCHEMA = Schema(
    columns={name: Column(type="number", nullable=True) for name in SHARED}
    | {name: Column(type="category", open=True, nullable=True) for name in ("category", "route")}
    | {"y": Column(type="integer", role="target", minimum=0, maximum=1)}
)
Fault = Callable[[pd.Series], pd.Series]
ANY: dict[str, Fault] = {
    "all missing": lambda values: values.mask(values.notna()),
    "half missing": lambda values: values.mask(np.arange(len(values)) % 2 == 0),
    "one value": lambda values: values.mask(values.notna(), values.iloc[0]),
}
FAULTS: dict[str, dict[str, Fault]] = {
    "number": ANY
    | {
        "scaled by 100": lambda values: values * 100,
        "shifted by two spreads": lambda values: values + 2,
        "shifted by a third of a spread": lambda values: values + MOVED,
    },
    "category": ANY
    | {
        "a new value": lambda values: values.mask(values.notna(), "new"),
        "a new value in a third": lambda values: values.mask(np.arange(len(values)) % 3 == 0, "new"),
    },
}
# A column of numbers that has another one's values, in other units.
SWAPPED = "swapped"


def days_of(
    random: np.random.Generator, days: int, moved: float = 0.0, rows: int = ROWS_A_DAY
) -> tuple[pd.DataFrame, pd.Series]:
    """So many days with so many rows each, as they are watched, and the day of each row."""
    day = np.repeat(np.arange(days), rows)
    columns: dict[str, object] = {}
    for name, share in SHARED.items():
        common = random.normal(0, np.sqrt(share), days)[day]
        columns[name] = common + random.normal(0, np.sqrt(1 - share), len(day))
    columns["independent"] = np.asarray(columns["independent"]) + moved
    columns["category"] = random.choice(["a", "b", "c", "rare"], len(day), p=[0.5, 0.3, 0.19, 0.01])
    mixtures = random.dirichlet([2, 2, 2, 2], days).cumsum(axis=1)[day]
    places = (random.random(len(day))[:, None] > mixtures).sum(axis=1).clip(0, 3)
    columns["route"] = np.array(["a", "b", "c", "d"], dtype=object)[places]
    return profile.watched_inputs(pd.DataFrame(columns), SCHEMA), pd.Series(day)


def rule(windows: list[list[drift.Moved]], settings: project.Monitor = SETTINGS) -> Counter[str]:
    """Whether the newest window looks as if it had drifted, by significance alone and by effect too; what is to watch,
    and the alarm.
    """
    found = [
        Window(
            since=EPOCH, until=EPOCH, rows=0, labelled=0, requests=0, enough=True,
            signals=[signals.of_drift(each, settings) for each in window],
        )
        for window in windows
    ]  # fmt: skip
    alarms = findings.alarms(found, settings.alarms)
    return Counter(
        significant=any(each.p < settings.level for each in windows[-1]),
        window=any(signal.raised for signal in found[-1].signals),
        watch=bool(findings.to_watch(found, alarms)),
        alarm=bool(alarms),
    )


def simulate(times: int, moved: float = 0.0, *, aware: bool = True, seed: int = 0) -> Counter[str]:
    """How many of so many stretches of windows look as if they had drifted; not `aware`: as if no rows were alike."""
    random = np.random.default_rng(seed)
    total: Counter[str] = Counter()
    for _ in range(times):
        table, day = days_of(random, DAYS)
        clusters = day.to_numpy() if aware else np.arange(len(table))
        reference = profile.sample([table], clusters, by_time=aware)
        windows = []
        for _ in range(WINDOWS):
            now, days = days_of(random, DAYS_A_WINDOW, moved)
            windows.append(drift.compare([(now, reference)], days))
        total += rule(windows)
    return total


def told(now: pd.DataFrame, days: pd.Series, reference: profile.Sample) -> set[str]:
    """The columns of one window of which the monitor tells something, by any of its rules."""
    moved = [signals.of_drift(each, SETTINGS) for each in drift.compare([(now, reference)], days)]
    return {each.name for each in moved if each.raised} | {each.name for each in drift.unseen([(now, reference)])}


def power(times: int, days: int, rows: int, seed: int = 0) -> Counter[tuple[str, str]]:
    """In how many of so many windows of `days` and `rows` in all something was told, by fault and column.

    Where nothing is wrong, the column is any of them.
    """
    random = np.random.default_rng(seed)
    total: Counter[tuple[str, str]] = Counter()
    for _ in range(times):
        table, day = days_of(random, DAYS)
        reference = profile.sample([table], day.to_numpy(), by_time=True)
        whole, when = days_of(random, days, rows=rows // days)
        total["nothing", "any"] += bool(told(whole, when, reference))
        for name, column in SCHEMA.features.items():
            broken = {fault: change(whole[name]) for fault, change in FAULTS[column.type].items()}
            if column.type == "number":
                broken[SWAPPED] = whole["weather" if name != "weather" else "season"] * 3 + 2
            for fault, values in broken.items():
                gaps = np.where(values.isna(), "yes", "no").astype(object)
                now = whole.assign(**{name: values, profile.gaps(name): gaps})
                total[fault, name] += bool({name, profile.gaps(name)} & told(now, when, reference))
    return total


def redraw(times: int, trained: Path, seed: int = 0) -> Counter[str]:
    """The same for months of whole days that are drawn from the rows that trained a project's model."""
    schema = Schema.model_validate(yaml.safe_load((trained / "schema.yaml").read_text()))
    params = Params.model_validate(yaml.safe_load((trained / "params.yaml").read_text())).evaluate
    table = cast(pd.read_parquet(trained / "data/prepared/train.parquet"), schema.columns)
    clusters = data.clusters(table, params.resample_by)
    watched = profile.watched_inputs(table, schema)
    reference = profile.sample([watched], clusters, data.are_times(params.resample_by, schema))
    rows = {number: group.index.to_numpy() for number, group in pd.Series(clusters).groupby(clusters)}
    random = np.random.default_rng(seed)
    total: Counter[str] = Counter()
    for _ in range(times):
        windows = []
        for _ in range(WINDOWS):
            drawn = [rows[number] for number in random.choice(len(rows), DAYS_A_WINDOW)]
            days = pd.Series(np.repeat(np.arange(DAYS_A_WINDOW), [len(each) for each in drawn]))
            now = watched.iloc[np.concatenate(drawn)].reset_index(drop=True)
            windows.append(drift.compare([(now, reference)], days))
        total += rule(windows)
    return total


def power_table(times: int) -> str:
    """What is found how fast, as Markdown: the share of the windows, of four shapes, in which it is told."""
    shapes = [(days, rows) for days in (1, 7) for rows in (FEW, MANY)]
    counts = [power(times, *shape) for shape in shapes]
    heads = " | ".join(f"{days} day{'s' if days > 1 else ''}, {rows:,} rows" for days, rows in shapes)
    lines = [f"| what is wrong | in the column | {heads} |", "|---|---|---|---|---|---|"]
    for fault, name in sorted(counts[0]):
        rates = " | ".join(f"{each[fault, name] / times:.0%}" for each in counts)
        lines.append(f"| {fault} | {name} | {rates} |")
    return "\n".join(lines)


def line(name: str, found: Counter[str], times: int) -> str:
    """One line of the table."""
    rates = [f"{found[what] / times:.1%}" for what in ("significant", "window", "watch", "alarm")]
    return f"| {name} | {' | '.join(rates)} |"


def table(times: int, trained: Path) -> str:
    """The rates as Markdown."""
    heads = "what is drawn | a window is significant | and moved enough | to watch | alarm"
    lines = [f"| {heads} |", "|---|---|---|---|---|"]
    lines.append(line("as the reference", simulate(times), times))
    lines.append(line("as the reference, days not heeded", simulate(times, aware=False), times))
    lines.append(line("one column moved", simulate(times, MOVED), times))
    lines.append(line("whole days of the training data", redraw(times, trained), times))
    return "\n".join(lines)

"""What commands list, in 80 columns and more: the name of a release stays in one piece, and nothing is cut off."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from gitops_ml.pages import words

if TYPE_CHECKING:
    from gitops_ml.gate.result import Result
    from gitops_ml.ledger.entries import Entry, Ledger
    from gitops_ml.ledger.status import Status


Lines = Iterable[Table | str]


def show(lines: Lines) -> None:
    """Print tables and lines; of what others wrote, nothing is taken for markup or for orders to the terminal."""
    console = Console(highlight=False)
    for each in lines:
        console.print(text(each) if isinstance(each, str) else each, soft_wrap=isinstance(each, str))


def table(*whole: str, breaking: tuple[str, ...] = ()) -> Table:
    """A table without lines, whose first columns are never broken, while the `breaking` ones share what is left."""
    columns = [*(Column(name, no_wrap=True) for name in whole), *(Column(name, overflow="fold") for name in breaking)]
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def text(value: str) -> Text:
    """Text of any origin, as it is; what steers a terminal, or turns the direction of writing, is shown as `?`."""
    return Text(words.printable(value))


def short(release: str | None) -> str:
    """A release without the project's name, by which every command finds it."""
    return release.partition(":")[2] or release if release else ""


def status(found: Status) -> Lines:
    """What serves where, then what is proposed, heard and held."""
    shown = table("environment", "release", "since", "behind main", breaking=("state",))
    for each in found.environments:
        behind = "" if each.behind is None else str(each.behind)
        since = words.clock(each.since) if each.since else ""
        state = f"{words.SIGNS[each.says.tone]} {each.health}"
        shown.add_row(*map(text, (each.name, short(each.release), since, behind, state)))
    yield shown
    yield f"newest release: {found.newest or 'none yet'}"
    for each in found.environments:
        if each.state != each.health:
            yield f"{words.SIGNS[each.says.tone]} {each.name}: {each.state}"
        if each.frozen:
            since = words.clock(each.frozen.since)
            yield f"{words.SIGNS['bad']} {each.name} is frozen since {since}: {each.frozen.reason}"
        if each.opens:
            opens = words.clock(each.opens)
            yield f"{words.SIGNS['wait']} {each.name}: outside of its windows; the next one opens {opens}"
        if each.answers is not None:
            yield f"{each.name}: its url says {each.answers}"
        for awaited in each.awaited:
            yield f"{words.SIGNS['wait']} proposed for {each.name}: {awaited}"
        for host in each.hosts:
            said = f": {host.state}" if len(each.hosts) > 1 else ""
            yield f"{each.name} on {host.host}{said}, last heard {words.clock(host.heard)}"
    for hold in found.held:
        yield f"{words.SIGNS['bad']} on hold since {words.clock(hold.since)}: {hold.release}: {hold.reason}"
    for strange in found.foreign:
        yield f"not of this project's machines, and left alone: {strange}"


def ledger(found: Ledger) -> Lines:
    """What happened on each day, the newest first."""
    for _, each in groupby(found.entries, key=lambda entry: entry.when.astimezone().date()):
        entries = list(each)
        first = entries[0].when.astimezone()
        yield f"{first:%A}, {words.day(first)}"
        shown = table(words.zone(first), "environment", "action", "release", breaking=("verdict, who and why",))
        for entry in entries:
            shown.add_row(*map(text, _cells(entry)))
        yield shown
        yield ""
    if not found.entries:
        yield f"nothing was promoted yet: {found.advice}"
    if found.unknown:
        yield f"{words.SIGNS['wait']} how it stands now is not known: {found.unknown}"


def gate(found: Result, written: Path) -> Lines:
    """What follows from a verdict, and why."""
    yield f"{found.says.signed} (verdict: {found.verdict}{'' if found.passes else ', blocked'})"
    for reason in found.reasons:
        yield f"  {reason}"
    yield f"  {found.held}; all in {written}"


def _cells(entry: Entry) -> tuple[str, ...]:
    by_hand = "\n  by hand" if entry.by_hand and entry.action != "edit by hand" else ""
    replaced = f"\nwas {short(entry.replaces)}" if entry.replaces else ""
    judged = f"{entry.judged.signed}\n" if entry.judged else ""
    metric = f"{entry.metric.sentence}\n" if entry.metric else ""
    return (
        f"{entry.when.astimezone():%H:%M}",
        entry.environment,
        f"{entry.sign} {entry.action:<12}{by_hand}",
        f"{short(entry.release) or entry.nameless}{replaced}",
        f"{judged}{metric}{' '.join(f'{entry.who}: {entry.why}'.split())}",
    )

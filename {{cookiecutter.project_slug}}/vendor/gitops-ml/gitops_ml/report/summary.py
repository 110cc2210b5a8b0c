"""What a reader sees first: what to look at before merging, the most harmful first, and where to find what."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from gitops_ml.gate import fairness, rules
from gitops_ml.gate.result import Difference, Result, Rule, SliceDifference
from gitops_ml.pages import words
from gitops_ml.pages.words import Tone
from gitops_ml.report.content import Report, Table

# A rule that holds by less than this share of its limit may not hold with the next data.
NEAR = 0.1
# How much of it a note names, and how much of each name.
NAMED, LENGTH = 3, 100
# A gain of more than this share of what the champion lacks to perfect is rarely a better model, and often a leak.
OUTSIZED = 0.5
# Rules that stand in tables of their own.
APART = (rules.SLICE, fairness.FAIRNESS)


class Note(BaseModel):
    """Something to look at: what it is, what is known of it, and the place on the page that has it all."""

    what: str
    text: str
    place: str


class Slice(BaseModel):
    """A slice with what its interval says."""

    name: str
    rows: int
    difference: SliceDifference
    tone: Tone
    word: str


def notes(report: Report) -> Iterator[Note]:
    """What speaks against merging, or cannot be told from the figures, the most harmful first."""
    if report.decisive:
        first = report.decisive[0]
        change = f"{first.what}, {_short(first.path)}{f': {_short(first.name)}' if first.name else ''}"
        if first.before is not None or first.after is not None:
            change += f", {_shown(first.before)} → {_shown(first.after)}"
        yield Note(what="Rules or trust change", text=change + _more(len(report.decisive) - 1), place="trust")
    if report.stale:
        said = f"{_few(report.stale)} changed after dvc.lock was made, so the figures are of the model from before"
        yield Note(what="make repro is missing", text=said, place="stages")
    if report.gate is None:
        return
    if not report.same_rows:
        said = "this change moved its own exam, so the base's figures cannot be compared"
        changed = [(each.name, each.before, each.after) for each in report.decisive if each.path == "params.yaml"]
        changed += [(each.name, each.before, each.after) for each in report.params]
        causes = [
            f"{name} {_shown(before)} → {_shown(after)}"
            for name, before, after in changed
            if name.startswith(("prepare.", "evaluate."))
        ]
        causes += [f"{table.file} {'is new' if table.rows_before is None else 'changed'}" for table in report.tables]
        text = f"{_few(causes)}; {said}" if causes else said
        decided = any(each.path == "params.yaml" for each in report.decisive)
        place = "trust" if decided else "settings" if report.params else "data" if report.tables else "metrics"
        yield Note(what="Other evaluation rows than at the base", text=text, place=place)
    if report.gate.difference and is_outsized(report.gate.difference):
        said = f"{report.gate.difference.sentence} is over half of what the champion lacks to perfect"
        advice = "does a column know the label, or do rows that judge train?"
        yield Note(what="Almost too good", text=f"{said}; {advice}", place="metrics")
    yield from _of_rules(report.gate)
    if new := [each for table in report.tables for each in _new_values(table)]:
        yield Note(what="New values", text=_few(new, "; "), place="data")


def needless(report: Report) -> str:
    """The columns that may be of no use, the most of them counted; empty if each is of use."""
    names, others = report.needless[:NAMED], len(report.needless) - NAMED
    shown = ", ".join(name[:LENGTH] for name in names)
    return f"{shown} and {words.counted(others, 'more', 'more')}" if others > 0 else shown


def new_values(table: Table) -> str:
    """The values that no earlier data had, each with its column and its rows."""
    return "; ".join(_new_values(table)) or "-"


def _new_values(table: Table) -> list[str]:
    return [
        f"{column} {value}, {words.counted(rows, 'row')}"
        for column, values in table.new_values.items()
        for value, rows in values.items()
    ]


def _of_rules(gate: Result) -> Iterator[Note]:
    others = [rule for rule in gate.rules if not rule.name.startswith(APART)]
    shared = [rule for rule in others if rule.name.startswith(rules.OVERLAP) and rule.value]
    if shared:
        yield Note(what="Rows that judge also trained", text=_few([rule.sentence for rule in shared]), place="rules")
    near = [rule.sentence for rule in others if rule.holds and rule not in shared and is_near(rule)]
    if near:
        yield Note(what="Near a limit", text=_few(near, "; "), place="rules")
    open_ = [each for each in slices(gate) if each.tone == "wait"]
    if open_:
        named = [f"{each.name}: {each.difference.sentence} in {words.counted(each.rows, 'row')}" for each in open_]
        yield Note(what="Slices that may be worse", text=_few(named, "; "), place="slices")
    treated = gate.fairness.worst if gate.fairness else []
    if unsure := [each.sentence for each in treated if each.says.tone == "wait"]:
        yield Note(what="Groups that may be treated differently", text=_few(unsure, "; "), place="fairness")


def is_near(rule: Rule) -> bool:
    """Whether a rule's value is within a tenth of its limit."""
    return rule.value is not None and rule.limit != 0 and abs(rule.value - rule.limit) <= NEAR * abs(rule.limit)


def is_outsized(found: Difference) -> bool:
    """Whether the gain is, beyond doubt, more than half of what the champion lacks to a perfect model."""
    perfect = 0 if found.lower_is_better else 1
    return found.low > OUTSIZED * abs(perfect - found.champion)


def general(gate: Result) -> list[Rule]:
    """The rules that are of no slice and no group, those that fail first."""
    return sorted((rule for rule in gate.rules if not rule.name.startswith(APART)), key=lambda rule: rule.holds)


def slices(gate: Result) -> list[Slice]:
    """The slices, the one that may have lost most first."""
    return [_slice(each, gate) for each in sorted(gate.slices, key=lambda each: each.low)]


def _slice(found: SliceDifference, gate: Result) -> Slice:
    said: tuple[Tone, str]
    if not rules.of_slice(found, gate.settings).holds:
        said = ("bad", "worse")
    elif found.low < -gate.settings.slice_margin:
        said = ("wait", "not known")
    else:
        said = ("good", "better") if found.low > 0 else ("plain", "no worse")
    name = f"{found.column} = {found.value}"
    return Slice(name=name, rows=found.rows, difference=found, tone=said[0], word=said[1])


def chips(report: Report) -> list[tuple[str, str, str]]:
    """The places of the page, each with what there is and its tone."""
    found: list[tuple[str, str, str]] = []
    if report.decisive:
        found.append(("trust", f"{words.counted(len(report.decisive), 'change')} of rules or trust", "wait"))
    if gate := report.gate:
        found.append(("rules", gate.held, "good" if all(rule.holds for rule in gate.rules) else "bad"))
        if gate.slices:
            found.append(("slices", f"slices: {balance(gate)}", ""))
        if gate.fairness:
            found.append(("fairness", gate.fairness.summary, ""))
        if gate.worth_difference and gate.worth:
            between = (
                f"{words.amount(gate.worth_difference.low, '+')} to {words.amount(gate.worth_difference.high, '+')}"
            )
            value = f"{words.amount(gate.worth_difference.value, '+')} {gate.worth.unit} per 1,000 rows ({between})"
            found.append(("worth", value, ""))
    counts = (
        ("settings", len(report.params) + len(report.schema_changes), "setting"),
        ("packages", len(report.packages), "package"),
        ("data", len(report.tables), "file"),
    )
    return found + [(place, words.counted(count, name), "") for place, count, name in counts if count]


def balance(gate: Result) -> str:
    """How many slices are better and how many worse by their figures, and how many of these beyond doubt."""
    found = slices(gate)
    better = [each.tone == "good" for each in found if each.difference.difference > 0]
    worse = [each.tone == "bad" for each in found if each.difference.difference < 0]
    return f"{len(better)} better ({sum(better)} clearly), {len(worse)} worse ({sum(worse)} clearly)"


def _shown(value: str | None) -> str:
    return "nothing" if value is None else _short(value)


def _more(count: int) -> str:
    return f", and {count} more" if count > 0 else ""


def _few(texts: list[str], between: str = ", ") -> str:
    return between.join(map(_short, texts[:NAMED])) + _more(len(texts) - NAMED)


def _short(text: str) -> str:
    return text if len(text) <= LENGTH else f"{text[: LENGTH - 1]}…"

"""The report as text: Markdown for the comment on a pull request, one HTML file for people who want to see more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitops_ml.pages.markup import COMMENT_LENGTH, ROW_LIMITS, code, environment
from gitops_ml.report import searched, summary

if TYPE_CHECKING:
    from gitops_ml.gate.result import Result
    from gitops_ml.report.card import Card
    from gitops_ml.report.content import Report

TEMPLATES = Path(__file__).parent / "templates"
# Of what decides, so many are always shown.
LEAST = 8


def markdown(report: Report) -> str:
    """The report for a comment, never longer than GitHub allows: the longer it is, the fewer rows its tables show."""
    template = environment(TEMPLATES).get_template("report.md")
    for rows in ROW_LIMITS:
        text = template.render(report=report, rows=rows, shown=max(rows, LEAST), **_summary(report))
        if len(text) <= COMMENT_LENGTH:
            return text
    return f"## {code(report.heading, 300)}\n\n{trust(report, LEAST)}The rest is longer than GitHub allows.\n"


def trust(report: Report, shown: int | None = None) -> str:
    """What of a change decides about trust or quality: all of it, or what weighs most."""
    template = environment(TEMPLATES).get_template("decisive.md")
    return template.render(report=report, shown=len(report.decisive) if shown is None else shown)


def model_card(card: Card) -> str:
    """MODEL_CARD.md."""
    return environment(TEMPLATES).get_template("card.md").render(card=card)


def html(report: Report) -> str:
    """The report as one self-contained HTML file."""
    pictures = list(searched.pictures(report.searched)) if report.searched else []
    return (
        environment(TEMPLATES).get_template("report.html").render(report=report, searched=pictures, **_summary(report))
    )


def _summary(report: Report) -> dict[str, Any]:
    gate = report.gate
    slices, rules = (summary.slices(gate), summary.general(gate)) if gate else ([], [])
    return {
        "notes": list(summary.notes(report)),
        "needless": summary.needless(report),
        "new_values": summary.new_values,
        "chips": summary.chips(report),
        "slices": slices,
        "balance": summary.balance(gate) if gate else "",
        "span": _span(gate, slices),
        "rules": rules,
        "broken": [rule for rule in gate.rules if not rule.holds] if gate else [],
        "based": any(metric.base and metric.base != metric.champion for metric in report.metrics),
    }


def _span(gate: Result | None, found: list[summary.Slice]) -> float:
    """What half of a strip stands for: all differences, and of intervals as much as leaves the margin to be seen."""
    if gate is None or not found:
        return 1
    margin = gate.settings.slice_margin
    widest = max(max(abs(each.difference.low), abs(each.difference.high)) for each in found)
    largest = max(abs(each.difference.difference) for each in found)
    return max(min(max(widest, margin), margin * 4), largest) * 1.1 or 1

"""What the monitor found as text: one HTML file, Markdown for an issue, and lines for a terminal."""

from __future__ import annotations

import textwrap
from pathlib import Path

from gitops_ml.monitor import figures
from gitops_ml.monitor.content import Monitoring
from gitops_ml.monitor.figures import Row
from gitops_ml.monitor.tiles import tiles
from gitops_ml.pages import markup, words

TEMPLATES = Path(__file__).parent / "templates"
WIDTH = 80


def html(found: Monitoring) -> str:
    """One self-contained HTML file, with pictures."""
    rows = figures.rows(found)
    template = markup.environment(TEMPLATES).get_template("monitor.html")
    return template.render(found=found, rows=rows, tiles=tiles(found), charts_of=drawn(rows), figures=figures)


def markdown(found: Monitoring) -> str:
    """The same for an issue, never longer than GitHub allows."""
    template = markup.environment(TEMPLATES).get_template("monitor.md")
    for shown in markup.ROW_LIMITS:
        text = template.render(found=found, rows=figures.rows(found), shown=min(shown, figures.ROWS), figures=figures)
        if len(text) <= markup.COMMENT_LENGTH:
            break
    return text


def terminal(found: Monitoring, page: Path) -> str:
    """The verdict and what follows, in lines that fit a terminal; the rest stands on the page."""
    said = [f"{found.heading}: {found.title}, {found.environment}"]
    for sign, findings in ((words.SHAPES["bad"], found.alarms), (words.SHAPES["wait"], found.watch)):
        said += [f"{sign} {each.kind}: {each.sentence}" for each in findings[: figures.FINDINGS]]
        if len(findings) > figures.FINDINGS:
            said.append(f"{sign} and {len(findings) - figures.FINDINGS} more")
    said += [f"next: {step}" for step in figures.next_steps(found)]
    if found.by_chance:
        said.append(f"{words.SHAPES['wait']} {figures.CHANCE}: {figures.names(found.by_chance)}")
    said += [f"· not tested: {figures.names(each.names)} ({each.reason})" for each in found.unknown]
    said += [f"before labels come: {each}" for each in figures.expected(found)]
    answered = words.counted(sum(window.rows for window in found.windows), "row")
    said.append(f"{figures.windows(found)}, {answered}; all of it is in {page}")
    return "\n".join(_wrapped(text, "  " if number else "") for number, text in enumerate(said))


def drawn(rows: list[Row]) -> list[Row]:
    """What has figures of more than one window; what was zero in all of them comes last."""
    return sorted((row for row in rows if len(row.values) > 1), key=lambda row: not any(row.values))


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        words.printable(text), WIDTH, initial_indent=indent, subsequent_indent="    ", break_on_hyphens=False
    )

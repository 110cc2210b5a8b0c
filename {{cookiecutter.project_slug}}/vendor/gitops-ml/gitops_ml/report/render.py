"""The report as text: Markdown for the comment on a pull request, one HTML file for people who want to see more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from gitops_ml.gate.result import Measured, amount
from gitops_ml.report import charts

if TYPE_CHECKING:
    from gitops_ml.report.card import Card
    from gitops_ml.report.content import Report
    from gitops_ml.report.ledger import Entry

TEMPLATES = Path(__file__).parent / "templates"
# GitHub refuses longer comments; some room is left for what a workflow adds.
COMMENT_LENGTH = 65_536 - 2_000
# How many rows of a table a comment shows, the fewer the longer everything is.
ROW_LIMITS = (20, 8, 3, 0)
# Of what decides, so many are always shown.
LEAST = 8
TEXT_LENGTH = 60


def markdown(report: Report) -> str:
    """The report for a comment, never longer than GitHub allows: the longer it is, the fewer rows its tables show."""
    template = environment().get_template("report.md")
    for rows in ROW_LIMITS:
        text = template.render(report=report, rows=rows, shown=max(rows, LEAST), charts=charts)
        if len(text) <= COMMENT_LENGTH:
            return text
    return f"## {code(report.heading, 300)}\n\n{trust(report, LEAST)}The rest is longer than GitHub allows.\n"


def trust(report: Report, shown: int | None = None) -> str:
    """What of a change decides about trust or quality: all of it, or what weighs most."""
    template = environment().get_template("decisive.md")
    return template.render(report=report, shown=len(report.decisive) if shown is None else shown)


def model_card(card: Card) -> str:
    """MODEL_CARD.md."""
    return environment().get_template("card.md").render(card=card)


def ledger_html(entries: list[Entry]) -> str:
    """The ledger as one self-contained HTML file."""
    return environment().get_template("ledger.html").render(entries=entries)


def html(report: Report) -> str:
    """The report as one self-contained HTML file."""
    return environment().get_template("report.html").render(report=report, charts=charts)


def code(value: object, length: int = TEXT_LENGTH) -> str:
    """Text of any origin as code in Markdown: no character of it is markup, a link, a mention or a table's border."""
    text = " ".join(str(value).split())
    shown = text if len(text) <= length else f"{text[: length - 1]}…"
    entities = re.sub(r"[^0-9A-Za-z_ …]", lambda match: f"&#{ord(match[0])};", shown)
    return f"<code>{entities}</code>"


def measured(value: object) -> str:
    """A metric with its interval, or a dash."""
    found = getattr(value, "value", None)
    return "-" if found is None else f"{found:.4f} ({getattr(value, 'low', 0):.4f} to {getattr(value, 'high', 0):.4f})"


def money(found: Measured) -> str:
    """What decisions are worth, with its interval."""
    return f"{amount(found.value)} ({amount(found.low)} to {amount(found.high)})"


def picture(svg: str) -> Markup:
    """An SVG that Vega drew, which escapes the text that it is given."""
    return Markup(svg)  # noqa: S704


def environment(*more: Path) -> jinja2.Environment:
    """What fills in templates, those of other rooms in the folders `more` included; the base of a page stands here."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*more, TEMPLATES]),
        autoescape=jinja2.select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters |= {"code": code, "measured": measured, "money": money, "amount": amount, "picture": picture}
    return found

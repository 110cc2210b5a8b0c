"""The report as text: Markdown for the comment on a pull request, one HTML file for people who want to see more."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
from markupsafe import Markup

from ci import charts
from ci.card import Card
from ci.ledger import Entry
from ci.monitor import Monitoring
from ci.report import Report
from ci.result import Measured, amount
from ci.signals import AT_ONCE

TEMPLATES = Path(__file__).parent / "templates"
# GitHub refuses longer comments; some room is left for what a workflow adds.
COMMENT_LENGTH = 65_536 - 2_000
# How many rows of a table a comment shows, the fewer the longer everything is.
ROW_LIMITS = (20, 8, 3, 0)
TEXT_LENGTH = 60


def markdown(report: Report) -> str:
    """The report for a comment, never longer than GitHub allows: the longer it is, the fewer rows its tables show."""
    template = _environment().get_template("report.md")
    for rows in ROW_LIMITS:
        text = template.render(report=report, rows=rows, charts=charts)
        if len(text) <= COMMENT_LENGTH:
            break
    return text


def model_card(card: Card) -> str:
    """MODEL_CARD.md."""
    return _environment().get_template("card.md").render(card=card)


def ledger_html(entries: list[Entry]) -> str:
    """The ledger as one self-contained HTML file."""
    return _environment().get_template("ledger.html").render(entries=entries)


def html(report: Report) -> str:
    """The report as one self-contained HTML file."""
    return _environment().get_template("report.html").render(report=report, charts=charts)


def monitor_markdown(found: Monitoring) -> str:
    """What was found in production, for an issue, never longer than GitHub allows."""
    template = _environment().get_template("monitor.md")
    for rows in ROW_LIMITS:
        text = template.render(found=found, rows=rows, at_once=AT_ONCE)
        if len(text) <= COMMENT_LENGTH:
            break
    return text


def monitor_html(found: Monitoring) -> str:
    """The same as one self-contained HTML file, with pictures."""
    template = _environment().get_template("monitor.html")
    return template.render(found=found, trends=_trends(found), at_once=AT_ONCE, charts=charts)


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


def _trends(found: Monitoring) -> list[tuple[str, list[tuple[str, float]], float | None]]:
    """What was measured in more than one window, by name, with its limit; of performance, with what was promised."""
    trends: dict[str, tuple[list[tuple[str, float]], float | None]] = {}
    for window in found.windows:
        for signal in window.signals:
            if signal.kind in ("performance", "calibration", "worth", "latency", "refused", "errors"):
                limit = found.promised.get(signal.name) if signal.kind == "performance" else signal.limit
                name = signal.name if signal.kind in ("performance", "calibration") else signal.kind
                points = trends.setdefault(name, ([], limit))[0]
                points.append((f"{window.since:%Y-%m-%d}", signal.value))
    return [(name, points, limit) for name, (points, limit) in trends.items() if len(points) > 1]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"code": code, "measured": measured, "money": money, "amount": amount, "picture": picture}
    return environment

"""What the monitor found as text: Markdown for an issue, one HTML file for people who want to see more."""

from __future__ import annotations

from pathlib import Path

from gitops_ml.monitor.signals import AT_ONCE
from gitops_ml.monitor.watch import Monitoring
from gitops_ml.pages import markup

TEMPLATES = Path(__file__).parent / "templates"


def markdown(found: Monitoring) -> str:
    """What was found in production, for an issue, never longer than GitHub allows."""
    template = markup.environment(TEMPLATES).get_template("monitor.md")
    for rows in markup.ROW_LIMITS:
        text = template.render(found=found, rows=rows, at_once=AT_ONCE)
        if len(text) <= markup.COMMENT_LENGTH:
            break
    return text


def html(found: Monitoring) -> str:
    """The same as one self-contained HTML file, with pictures."""
    template = markup.environment(TEMPLATES).get_template("monitor.html")
    return template.render(found=found, trends=_trends(found), at_once=AT_ONCE)


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

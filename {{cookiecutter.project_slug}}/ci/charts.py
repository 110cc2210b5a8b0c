"""Pictures: SVG for HTML, legible on light and on dark ground; Mermaid for Markdown, which GitHub draws by itself."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import vl_convert

from ci.report import Curve

GREY = "#8a8f98"
COLOURS = {"base": GREY, "this change": "#3b82f6"}
BARS = 12
GRID = 21
CONFIG = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {"labelColor": GREY, "titleColor": GREY, "gridColor": GREY, "gridOpacity": 0.25, "domainColor": GREY},
    "legend": {"labelColor": GREY, "titleColor": GREY, "orient": "bottom", "title": None},
}


def curve_svg(curve: Curve) -> str:
    """A line per series over the diagonal's unit square."""
    points = [{"x": x, "y": y, "of": label} for label, series in curve.series.items() for x, y in series]
    labels = list(curve.series)
    return _svg(
        {
            "width": 280,
            "height": 240,
            "data": {"values": points},
            "mark": {"type": "line", "strokeWidth": 2},
            "encoding": {
                "x": {"field": "x", "type": "quantitative", "title": curve.x, "scale": {"domain": [0, 1]}},
                "y": {"field": "y", "type": "quantitative", "title": curve.y, "scale": {"domain": [0, 1]}},
                "order": {"field": "x"},
                "color": {"field": "of", "scale": {"domain": labels, "range": [COLOURS[label] for label in labels]}},
            },
        }
    )


def importance_svg(importance: list[tuple[str, float]]) -> str:
    """A bar per feature, the most important ones only."""
    bars = [{"feature": name[:40], "importance": value} for name, value in importance[:BARS]]
    return _svg(
        {
            "width": 280,
            "height": {"step": 20},
            "data": {"values": bars},
            "mark": {"type": "bar", "color": COLOURS["this change"]},
            "encoding": {
                "y": {"field": "feature", "type": "nominal", "sort": None, "title": None},
                "x": {"field": "importance", "type": "quantitative", "title": "loss of ROC AUC when shuffled"},
            },
        }
    )


def curve_mermaid(curve: Curve) -> str:
    """The curve on an even grid, since Mermaid's line charts space their points evenly."""
    positions = [x for series in curve.series.values() for x, _ in series]
    low, high = min(positions), max(positions)
    grid = np.linspace(low, high, GRID)
    lines = []
    colours = ", ".join(COLOURS[label] for label in curve.series)
    for series in curve.series.values():
        xs, ys = np.array(sorted(series)).T
        lines.append(f"  line [{', '.join(f'{y:.3f}' for y in np.interp(grid, xs, ys))}]")
    head = [
        _palette(colours),
        "xychart-beta",
        f'  title "{curve.name}"',
        f'  x-axis "{curve.x}" {low:.3f} --> {high:.3f}',
        f'  y-axis "{curve.y}" 0 --> 1',
    ]
    return "\n".join([*head, *lines])


def importance_mermaid(importance: list[tuple[str, float]]) -> str:
    """A bar per feature. Whatever could end the chart's syntax is taken out of the names."""
    names = ", ".join(f'"{re.sub(r"[^0-9A-Za-z_ .-]", "?", name)[:24]}"' for name, _ in importance[:BARS])
    found = [value for _, value in importance[:BARS]]
    values = ", ".join(f"{value:.4f}" for value in found)
    scale = f'  y-axis "loss of ROC AUC when shuffled" {min(0, *found):.4f} --> {max(*found, 0.001):.4f}'
    head = [_palette(COLOURS["this change"]), "xychart-beta horizontal", '  title "Importance"']
    return "\n".join([*head, f"  x-axis [{names}]", scale, f"  bar [{values}]"])


def _palette(colours: str) -> str:
    # Mermaid's own colours are hardly to be seen on white.
    return f"%%{{init: {{'themeVariables': {{'xyChart': {{'plotColorPalette': '{colours}'}}}}}}}}%%"


def _svg(spec: dict[str, Any]) -> str:
    svg: str = vl_convert.vegalite_to_svg({"config": CONFIG, **spec})
    return svg

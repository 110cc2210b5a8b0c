"""Pictures: SVG for HTML, in the colours of the page's style; Mermaid for Markdown, which GitHub draws by itself."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import vl_convert

from gitops_ml.pages.words import Tone

Style = TypeVar("Style")
# Names of the style; the second line is the softer one, and dashed.
SOFT, ACCENT = "var(--soft)", "var(--accent)"
LINES = ((ACCENT, [1, 0]), (SOFT, [5, 3]))
# The line that the others are held against, and how it is drawn.
PERFECT = "perfect"
IDEAL = ("var(--wait)", [2, 2])
# Mermaid knows no names.
MERMAID = ("#3b82f6", "#8a8f98")
MERMAID_IDEAL = "#b7791f"
# In pixels, without the axes: four beside each other fill a page.
WIDTH, HEIGHT = 210, 170
BARS = 12
# Width, height and margin of a small multiple.
TREND, EDGE = (160, 64), 8
CLASSES = 12
GRID = 21
CONFIG = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": SOFT,
        "titleColor": SOFT,
        "titleFontWeight": "normal",
        "tickColor": SOFT,
        "gridColor": SOFT,
        "gridOpacity": 0.2,
        "domainColor": SOFT,
    },
    "legend": {"labelColor": SOFT, "orient": "bottom", "title": None, "symbolStrokeWidth": 2},
}


class Curve(Protocol):
    """A curve of one or two models, the first of which is what the page is about, and perhaps that of `PERFECT`."""

    name: str
    x: str
    y: str
    series: dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Places:
    """Where the parts of a strip are, in per cent of its width."""

    limit: float
    low: float
    width: float
    value: float


def places(low: float, value: float, high: float, limit: float, span: float) -> Places:
    """Place a difference, its interval and the limit on a strip that goes from -span to span; beyond is cut off."""
    at = [round(float(np.clip(50 + 50 * each / span, 0, 100)), 2) for each in (limit, low, high, value)]
    return Places(limit=at[0], low=at[1], width=round(at[2] - at[1], 2), value=at[3])


def curve_svg(curve: Curve) -> str:
    """A line per series, over the unit square where it holds them."""
    xs, ys = _values(curve)
    points = [{"x": x, "y": y, "of": label} for label, series in curve.series.items() for x, y in series]
    labels = list(curve.series)
    colours, dashes = zip(*_styles(curve, LINES, IDEAL), strict=True)
    return svg(
        {
            "width": WIDTH,
            "height": HEIGHT,
            "data": {"values": points},
            "mark": {"type": "line", "strokeWidth": 2},
            "encoding": {
                "x": {"field": "x", "type": "quantitative", "title": curve.x, "scale": {"domain": _domain(xs)}},
                "y": {"field": "y", "type": "quantitative", "title": curve.y, "scale": {"domain": _domain(ys)}},
                "order": {"field": "x"},
                "color": {"field": "of", "scale": {"domain": labels, "range": colours}},
                "strokeDash": {"field": "of", "scale": {"domain": labels, "range": dashes}},
            },
        }
    )


def predicted_svg(points: list[tuple[float, float]]) -> str:
    """A dot per row at its prediction and true value, and the line on which both are equal."""
    domain = _domain([value for point in points for value in point])
    values = [{"predicted": predicted, "true": true} for predicted, true in points]
    equal = [{"predicted": value, "true": value} for value in domain]
    place = {
        name: {"field": field, "type": "quantitative", "title": field, "scale": {"domain": domain, "zero": False}}
        for name, field in (("x", "predicted"), ("y", "true"))
    }
    line = {"mark": {"type": "line", "strokeDash": [4, 4], "color": SOFT}, "data": {"values": equal}}
    dots = {"mark": {"type": "circle", "size": 18, "opacity": 0.5, "color": ACCENT}, "data": {"values": values}}
    return svg({"width": 280, "height": 240, "encoding": place, "layer": [line, dots]})


def confusion_svg(confusion: list[tuple[str, str, int]]) -> str:
    """A field per pair of classes, the fuller the darker; the most frequent classes only."""
    rows = Counter[str]()
    for actual, _, count in confusion:
        rows[actual] += count
    shown = sorted(name for name, _ in rows.most_common(CLASSES))
    values = [
        {"actual": actual[:20], "predicted": predicted[:20], "share": count / rows[actual], "rows": count}
        for actual, predicted, count in confusion
        if actual in shown and predicted in shown
    ]
    scale = {"domain": [0, 1], "range": [0, 0.6]}
    place = {
        "x": {"field": "predicted", "type": "nominal", "title": "predicted"},
        "y": {"field": "actual", "type": "nominal", "title": "actual"},
    }
    share = {"field": "share", "type": "quantitative", "scale": scale, "legend": None}
    number = {"field": "rows", "type": "quantitative"}
    return svg(
        {
            "width": WIDTH,
            "height": HEIGHT,
            "data": {"values": values},
            "encoding": place,
            "layer": [
                {"mark": {"type": "rect", "color": ACCENT}, "encoding": {"opacity": share}},
                {"mark": {"type": "text", "color": "var(--ink)"}, "encoding": {"text": number}},
            ],
        }
    )


def importance_svg(importance: list[tuple[str, float]], measure: str) -> str:
    """A bar per feature, the most important ones only."""
    bars = [{"feature": name[:40], "importance": value} for name, value in importance[:BARS]]
    return svg(
        {
            "width": WIDTH,
            "height": {"step": 20},
            "data": {"values": bars},
            "mark": {"type": "bar", "color": ACCENT},
            "encoding": {
                "y": {"field": "feature", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 110}},
                "x": {
                    "field": "importance",
                    "type": "quantitative",
                    "title": f"{measure} when shuffled",
                    "axis": {"tickCount": 4, "labelOverlap": "greedy", "labelSeparation": 8},
                },
            },
        }
    )


def curve_mermaid(curve: Curve) -> str:
    """The curve on an even grid, since Mermaid's line charts space their points evenly."""
    positions, values = _values(curve)
    low, high = min(positions), max(positions)
    bottom, top = _domain(values)
    grid = np.linspace(low, high, GRID)
    lines = []
    colours = ", ".join(_styles(curve, MERMAID, MERMAID_IDEAL))
    for series in curve.series.values():
        xs, ys = np.array(sorted(series)).T
        lines.append(f"  line [{', '.join(_short(y) for y in np.interp(grid, xs, ys))}]")
    head = [
        _palette(colours),
        "xychart-beta",
        f'  title "{curve.name}"',
        f'  x-axis "{curve.x}" {_short(low)} --> {_short(high)}',
        f'  y-axis "{curve.y}" {_short(bottom)} --> {_short(top)}',
    ]
    return "\n".join([*head, *lines])


def importance_mermaid(importance: list[tuple[str, float]], measure: str) -> str:
    """A bar per feature. Whatever could end the chart's syntax is taken out of the names."""
    names = ", ".join(f'"{re.sub(r"[^0-9A-Za-z_ .-]", "?", name)[:24]}"' for name, _ in importance[:BARS])
    found = [value for _, value in importance[:BARS]]
    values = ", ".join(f"{value:.4f}" for value in found)
    scale = f'  y-axis "{measure} when shuffled" {min(0, *found):.4f} --> {max(*found, 0.001):.4f}'
    head = [_palette(MERMAID[0]), "xychart-beta horizontal", '  title "Importance"']
    return "\n".join([*head, f"  x-axis [{names}]", scale, f"  bar [{values}]"])


def _styles(curve: Curve, of_models: tuple[Style, ...], ideal: Style) -> list[Style]:
    models = iter(of_models)
    return [ideal if label == PERFECT else next(models) for label in curve.series]


def _values(curve: Curve) -> tuple[list[float], list[float]]:
    points = [point for series in curve.series.values() for point in series]
    return [x for x, _ in points], [y for _, y in points]


def _domain(values: list[float]) -> list[float]:
    """From 0 to 1 for shares and probabilities, else from the lowest to the highest value."""
    low, high = min(values), max(values)
    return [0, 1] if low >= 0 and high <= 1 else [low, high if high > low else low + 1]


def _short(value: float) -> str:
    """Three digits behind the point, or as many as a small or large value needs; Mermaid knows no exponents."""
    return f"{value:.3f}" if abs(value) <= 1 else np.format_float_positional(value, precision=4, fractional=False)


def _palette(colours: str) -> str:
    # Mermaid's own colours are hardly to be seen on white.
    return f"%%{{init: {{'themeVariables': {{'xyChart': {{'plotColorPalette': '{colours}'}}}}}}}}%%"


def svg(spec: dict[str, Any]) -> str:
    """A picture of Vega-Lite's, in the colours of the page."""
    svg: str = vl_convert.vegalite_to_svg({"config": CONFIG, **spec})
    return svg


def trend_svg(points: list[tuple[float | None, Tone]], limit: float | None) -> str:
    """A value window by window, the oldest first, with a line at its limit; without axes, as a small multiple.

    A value is a square: full if its tone is bad, half if it waits, empty if it is good; where there is none, a dot.
    """
    known = [value for value, _ in points if value is not None]
    held = [*known, *([] if limit is None else [limit])] or [0.0]
    low, high = min(held), max(held)
    scale = (TREND[1] - 2 * EDGE) / ((high - low) or 1)

    def height(value: float) -> float:
        return round(TREND[1] - EDGE - (value - low) * scale, 1)

    step = (TREND[0] - 2 * EDGE) / max(len(points) - 1, 1)
    placed = [(round(EDGE + step * number, 1), *point) for number, point in enumerate(points)]
    line = " ".join(f"{x},{height(value)}" for x, value, _ in placed if value is not None)
    parts = [f'<polyline points="{line}" fill="none" stroke="{SOFT}"/>']
    if limit is not None:
        y = height(limit)
        parts.append(f'<line x2="{TREND[0]}" y1="{y}" y2="{y}" stroke="var(--bad)" stroke-dasharray="4 3"/>')
    for x, value, tone in placed:
        y, colour = height(low if value is None else value), f"var(--{tone})"
        if value is None:
            parts.append(f'<circle cx="{x}" cy="{y}" r="2" fill="{colour}"/>')
            continue
        parts.append(f'<rect x="{x - 5:g}" y="{y - 5:g}" width="10" height="10" fill="var(--card)" stroke="{colour}"/>')
        if tone in ("bad", "wait"):
            shape = "h10v10h-10z" if tone == "bad" else "h10l-10,10z"
            parts.append(f'<path d="M{x - 5:g},{y - 5:g}{shape}" fill="{colour}"/>')
    return f'<svg viewBox="0 0 {TREND[0]} {TREND[1]}">{"".join(parts)}</svg>'


def bins_svg(labels: list[str], before: list[float], now: list[float]) -> str:
    """The shares of a column's bins, those of the training beside those of now; the largest ones only."""
    chosen = sorted(sorted(range(len(labels)), key=lambda place: -max(before[place], now[place]))[:BARS])
    values = [
        {"bin": labels[place][:24], "share": shares[place], "of": name}
        for place in chosen
        for name, shares in (("training", before), ("newest window", now))
    ]
    names = ["training", "newest window"]
    return svg(
        {
            "width": WIDTH,
            "height": HEIGHT,
            "data": {"values": values},
            "mark": "bar",
            "encoding": {
                "x": {"field": "bin", "type": "nominal", "sort": None, "title": None, "axis": {"labelAngle": -40}},
                "xOffset": {"field": "of", "sort": names},
                "y": {"field": "share", "type": "quantitative", "title": "share of rows"},
                "color": {"field": "of", "scale": {"domain": names, "range": [SOFT, ACCENT]}},
            },
        }
    )

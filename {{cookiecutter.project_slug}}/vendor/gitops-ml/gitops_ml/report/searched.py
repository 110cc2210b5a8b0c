"""A change that comes from a search: how the search went, in pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_ml.pages import charts
from gitops_ml.pages.charts import ACCENT, HEIGHT, SOFT, WIDTH
from gitops_ml.search.trials import FOLDER, TABLE, Trials, Tried
from gitops_ml.versions.revision import Revision

POINTER = f"{FOLDER}.dvc"
SHOWN_SETTINGS = 8


def read(base: Revision, here: Revision) -> Trials | None:
    """The table of trials, if this change brings one.

    Raises:
        UserError: it cannot be had, from the storage neither, or is damaged.
    """
    pointer = here.text(POINTER)
    return here.facts(TABLE, Trials) if pointer and pointer != base.text(POINTER) else None


def pictures(found: Trials) -> Iterator[tuple[str, str, str]]:
    """Name, picture and what it shows, in words."""
    yield "History of the search", _history(found), f"{found.metric} of each trial, and the best until then"
    if found.importance:
        names = ", ".join(list(found.importance)[:3])
        yield "Settings that matter", _importance(found), f"how much of the difference is due to each; first {names}"
    if len(_settings(found)) > 1:
        yield "Settings of the trials", _parallel(found), "a line for each trial, the best tenth in colour"


def _history(found: Trials) -> str:
    values: list[dict[str, Any]] = []
    better, best = (min if found.lower_is_better else max), None
    for each in found.trials:
        if each.state == "complete":
            best = each.value if best is None else better(best, each.value)
        if each.folds:
            values.append({"trial": each.number, "value": each.value, "state": each.state, "best": best})
    trial = {"field": "trial", "type": "quantitative", "title": "trial"}
    scale = {"zero": False}
    return charts.svg(
        {
            "width": WIDTH,
            "height": HEIGHT,
            "data": {"values": values},
            "layer": [
                {
                    "mark": {"type": "point", "size": 18},
                    "encoding": {
                        "x": trial,
                        "y": {"field": "value", "type": "quantitative", "title": found.metric, "scale": scale},
                        "color": {
                            "field": "state",
                            "type": "nominal",
                            "scale": {"domain": ["complete", "pruned"], "range": [ACCENT, SOFT]},
                        },
                        "shape": {"field": "state", "type": "nominal"},
                    },
                },
                {
                    "mark": {"type": "line", "interpolate": "step-after", "color": ACCENT},
                    "encoding": {"x": trial, "y": {"field": "best", "type": "quantitative", "scale": scale}},
                },
            ],
        }
    )


def _importance(found: Trials) -> str:
    bars = [{"setting": name[:40], "share": share} for name, share in found.importance.items()][: charts.BARS]
    return charts.svg(
        {
            "width": WIDTH,
            "height": {"step": 20},
            "data": {"values": bars},
            "mark": {"type": "bar", "color": ACCENT},
            "encoding": {
                "y": {"field": "setting", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 150}},
                "x": {
                    "field": "share",
                    "type": "quantitative",
                    "title": "share of what trials differ by",
                    "axis": {"tickCount": 4},
                },
            },
        }
    )


def _parallel(found: Trials) -> str:
    """Each setting from its least value to its largest; texts by the order of the alphabet."""
    settings = _settings(found)
    done = [each for each in found.trials if each.state == "complete"]
    ranked = sorted(done, key=lambda each: each.value, reverse=not found.lower_is_better)
    top = {each.number for each in ranked[: max(1, len(ranked) // 10)]}
    lines = [
        {"trial": each.number, "setting": name, "place": place, "best": "best" if each.number in top else "other"}
        for each in done
        for name, place in _places(each, settings)
    ]
    return charts.svg(
        {
            "width": 2 * WIDTH,
            "height": HEIGHT,
            "data": {"values": lines},
            "mark": {"type": "line", "point": {"size": 12}},
            "encoding": {
                "x": {"field": "setting", "type": "nominal", "sort": None, "title": None, "axis": {"labelAngle": -30}},
                "y": {"field": "place", "type": "quantitative", "title": "least to largest", "axis": {"labels": False}},
                "detail": {"field": "trial", "type": "nominal"},
                "opacity": {
                    "field": "best",
                    "type": "nominal",
                    "scale": {"domain": ["best", "other"], "range": [1, 0.25]},
                    "legend": None,
                },
                "color": {
                    "field": "best",
                    "type": "nominal",
                    "scale": {"domain": ["best", "other"], "range": [ACCENT, SOFT]},
                },
            },
        }
    )


def _settings(found: Trials) -> dict[str, list[Any]]:
    """The settings that differ between complete trials, with their values in order."""
    done = [each for each in found.trials if each.state == "complete"]
    names = dict.fromkeys(name for each in done for name in each.settings)
    values = {name: {each.settings[name] for each in done if name in each.settings} for name in names}
    ordered = {name: sorted(each, key=lambda value: (isinstance(value, str), value)) for name, each in values.items()}
    return dict(list({name: each for name, each in ordered.items() if len(each) > 1}.items())[:SHOWN_SETTINGS])


def _places(tried: Tried, settings: dict[str, list[Any]]) -> Iterator[tuple[str, float]]:
    for name, values in settings.items():
        if name in tried.settings:
            yield name, values.index(tried.settings[name]) / (len(values) - 1)

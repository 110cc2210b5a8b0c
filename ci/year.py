"""The year of `make demo-year` as a table, as Markdown, and as a picture."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from rich.table import Table

from ci.shell import ROOT
from ci.steps import console

DRAW = "import sys, vl_convert; sys.stdout.write(vl_convert.vegalite_to_svg(sys.stdin.read()))"


def tell(project: Path, months: list[dict[str, Any]], folder: Path) -> None:
    """The year as a table, as Markdown, and as a picture."""
    measures = {
        "ROC AUC, with the loop": "with",
        "never retrained": "without",
        "log loss, with the loop": "with_log_loss",
        "never retrained ": "without_log_loss",
        "worth, with the loop": "with_worth",
        "never retrained  ": "without_worth",
    }
    heads = ["month", *measures, "alarms", "the gate says", "its rollout", "labels would have said"]
    lines = [f"| {' | '.join(head.strip() for head in heads)} |", "|" + "---|" * len(heads)]
    # A terminal has no room for all of it.
    shown = Table(title="\nThe year: with the loop, and never retrained", title_justify="left")
    for head in ("month", "ROC AUC", "worth", "alarms", "the gate says", "its rollout"):
        shown.add_column(head)
    for each in months:
        found = [told(each[name]) for name in measures.values()]
        judged = each["rollout"] and ("promoted" if each["rollout"].startswith("promote") else "kept out")
        said = [", ".join(each["alarms"]), each["verdict"], judged, each["labelled"].partition(" - ")[0]]
        said = [word or "-" for word in said]
        shown.add_row(each["month"], " ".join(found[:2]), " ".join(found[4:]), str(len(each["alarms"])), *said[1:3])
        lines.append(f"| {' | '.join([each['month'], *found, *said])} |")
    means = [told(sum(each[name] for each in months) / len(months), digits=4) for name in measures.values()]
    lines.append(f"| mean | {' | '.join(means)} | | | | |")
    shown.add_section()
    shown.add_row("mean", " ".join(means[:2]), " ".join(means[4:]))
    console.print(shown)
    rolled = [each for each in months if each["rollout"]]
    why = [f"- {each['month']}: {each['rollout']}. By labels: {each['labelled']}." for each in rolled]
    lines += ["", *why]
    console.print("\n".join(["", *why]), soft_wrap=True)
    (folder / "year.md").write_text("\n".join(lines) + "\n")
    picture = subprocess.run(
        [str(project / ".venv/bin/python"), "-c", DRAW],
        input=json.dumps(spec(months)), capture_output=True, text=True, check=True,
    )  # fmt: skip
    (folder / "year.svg").write_text(picture.stdout + "\n")
    console.print(f"\nThe picture is [bold]{(folder / 'year.svg').relative_to(ROOT)}[/]")


def told(value: float, digits: int = 3) -> str:
    """A metric by its digits, money by whole units."""
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.{digits}f}"


def spec(months: list[dict[str, Any]]) -> dict[str, Any]:
    """Performance with and without the loop, and when a retrained model came into production."""
    names = {"with": "with the loop", "without": "never retrained"}
    values = [
        {"month": each["month"], "value": each[key], "of": name} for each in months for key, name in names.items()
    ]
    promoted = [{"month": each["month"], "value": each["with"]} for each in months if each["promoted"]]
    grey, blue = "#8a8f98", "#3b82f6"
    x = {"field": "month", "type": "ordinal", "title": None}
    y = {"field": "value", "type": "quantitative", "title": "ROC AUC", "scale": {"zero": False}}
    axis = {"labelColor": grey, "titleColor": grey, "gridColor": grey, "gridOpacity": 0.25, "domainColor": grey}
    colour = {"field": "of", "title": None, "scale": {"domain": list(names.values()), "range": [blue, grey]}}
    mark = {"type": "point", "shape": "triangle-up", "size": 150, "filled": True, "color": "#14804a"}
    return {
        "width": 560,
        "height": 280,
        "background": None,
        "config": {"axis": axis, "legend": {"labelColor": grey, "orient": "bottom"}, "view": {"stroke": None}},
        "layer": [
            {
                "data": {"values": values},
                "mark": {"type": "line", "point": True},
                "encoding": {"x": x, "y": y, "color": colour},
            },
            {"data": {"values": promoted}, "mark": mark, "encoding": {"x": x, "y": y}},
        ],
    }

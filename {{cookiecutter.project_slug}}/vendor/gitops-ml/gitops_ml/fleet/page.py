"""The fleet as a page: one HTML file, which a script in it sorts and searches, and which says the same without."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from gitops_ml.fleet.content import ORDER, Fleet, Mark, Model
from gitops_ml.pages import words
from gitops_ml.pages.markup import environment, trusted
from gitops_ml.pages.words import Tone

TEMPLATES = Path(__file__).parent / "templates"
SCRIPT = TEMPLATES / "fleet.js"
# By what rows can be sorted: the name of the key, and how it is called.
ORDERS = {
    "urgency": "most urgent",
    "name": "name",
    "owner": "owner",
    "age": "oldest release",
    "heard": "not heard for longest",
    "behind": "furthest behind the template",
    "worth": "worth, the least first",
}
# Of what is not known, in an order of numbers: the end.
LAST = 1e15


def html(fleet: Fleet) -> str:
    """The fleet as one self-contained HTML file, with times of the zone that this is called in."""
    script, policy = trusted(SCRIPT.read_text())
    models = sorted(fleet.models, key=lambda model: (keys(model)["urgency"], model.called.lower()))
    counts = {mark: fleet.marked(mark) for mark in ORDER if fleet.marked(mark)}
    template = environment(TEMPLATES).get_template("fleet.html")
    shown = {"fleet": fleet, "models": models, "tiles": tiles(fleet), "counts": counts, "orders": ORDERS, "keys": keys}
    return template.render(shown, script=script, policy=policy)


def terminal(fleet: Fleet, written: Path | None) -> str:
    """How many models have which mark; and where no page says more, a line for each model."""
    counts = [f"{mark}: {fleet.marked(mark)}" for mark in ORDER if fleet.marked(mark)]
    whole = ", ".join([words.counted(len(fleet.models), "model"), *counts])
    if written:
        return f"{whole}; all of it is in {written}"
    lines = [
        f"{words.SIGNS[each.tone]} {each.called}: {', '.join(each.marks) or 'nothing to look at'}"
        for each in fleet.models
    ]
    return "\n".join([*lines, whole])


def tiles(fleet: Fleet) -> list[tuple[Tone, str, int]]:
    """What there is at a glance: tone, what it is, how many."""
    wanted: dict[Mark, Tone] = {
        "not read": "bad",
        "alarm": "bad",
        "failed": "bad",
        "on hold": "bad",
        "silent": "wait",
        "proposed": "wait",
        "template behind": "plain",
    }
    counted = {mark: fleet.marked(mark) for mark in wanted}
    return [
        ("plain", "models", len(fleet.models)),
        *((tone if counted[mark] else "plain", mark, counted[mark]) for mark, tone in wanted.items()),
    ]


def keys(model: Model) -> dict[str, str | float]:
    """What a row is sorted by, the smallest first."""
    places = [ORDER.index(mark) for mark in model.marks]
    template, worth = model.template, model.finding.worth if model.finding else None
    newer = (template.versions or 0) * 1e6 + (template.commits or 0)
    return {
        # The most urgent mark counts most, then how many there are.
        "urgency": min(places, default=len(ORDER)) * 100 - len(places),
        "name": model.called.lower(),
        "owner": model.owner.lower() or "\uffff",
        "age": _seconds(model.created),
        "heard": _seconds(model.heard),
        "behind": LAST if template.unknown else -newer,
        "worth": worth.gain if worth else LAST,
    }


def _seconds(moment: datetime | None) -> float:
    return LAST if moment is None else moment.timestamp()

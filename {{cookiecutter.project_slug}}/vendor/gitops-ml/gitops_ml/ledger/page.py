"""The ledger as a page: how each environment stands, then what was put there, day by day."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from gitops_ml.ledger.entries import Entry, Ledger
from gitops_ml.pages.markup import environment

TEMPLATES = Path(__file__).parent / "templates"
# Older entries are folded.
SHOWN = 50


def html(ledger: Ledger) -> str:
    """The ledger as one self-contained HTML file, with times of the zone that this is called in."""
    template = environment(TEMPLATES).get_template("ledger.html")
    entries = ledger.entries
    return template.render(ledger=ledger, recent=days(entries[:SHOWN]), older=days(entries[SHOWN:]))


def days(entries: list[Entry]) -> list[list[Entry]]:
    """Entries by the day on which they happened, as the reader's calendar has it."""
    return [list(each) for _, each in groupby(entries, key=lambda entry: entry.when.astimezone().date())]

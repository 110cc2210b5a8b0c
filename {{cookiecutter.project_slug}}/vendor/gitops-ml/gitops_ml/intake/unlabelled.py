"""Rows without a label: how many there are, what stands there instead, and whether the person has to say more."""

from __future__ import annotations

from gitops_ml.core.errors import UserError
from gitops_ml.intake.facts import Facts
from gitops_ml.intake.label import FEWEST_ROWS
from gitops_ml.reading import missing
from gitops_ml.reading.columns import Column
from gitops_ml.reading.decide import Spelling
from gitops_ml.reading.forms import Form

# If more rows have no label, the person has to say that this is meant.
MOST = 0.05


def told(column: Column, form: Form, count: int) -> str:
    """How many rows have no label, and what stands there instead; empty if all have one."""
    if not count:
        return ""
    words = {word: rows for word, rows in column.words.items() if word in form.gaps}
    shown = [f"{rows:,} {word!r}" for word, rows in sorted(words.items(), key=lambda each: -each[1])]
    if column.empty:
        shown.append(f"{column.empty:,} empty")
    return f"{count:,} of them without a label ({', '.join(shown)})"


def require_few(column: Column, form: Form, facts: Facts, spelling: Spelling) -> None:
    """Refuse a table of which many rows have no label, unless the person has said that this is meant.

    Raises:
        UserError: there are such; the message says what stands there, and what to say.
    """
    said = spelling.missing or frozenset()
    rows = {word: count for word, count in column.words.items() if word in form.gaps}
    rows |= {missing.EMPTY: column.empty} if column.empty else {}
    unsaid = {word: count for word, count in rows.items() if word not in said}
    if sum(unsaid.values()) <= MOST * facts.rows or facts.present < FEWEST_ROWS:
        return
    value = form.kind == "text" and unsaid.keys() - {missing.EMPTY} - missing.MARKERS
    share = facts.missing / facts.rows
    raise UserError(
        f"{facts.rows:,} rows, {told(column, form, facts.missing)}: {share:.0%} would be left out; say "
        f"MISSING={','.join(sorted({*said, *unsaid}))} if {facts.name!r} is not known there"
        f"{', or an empty MISSING= if the word is one of its values' if value else ''}"
    )

"""What commands list fits a terminal of 80 columns, in which the name of a release is never broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gitops_ml.cli import tables
from gitops_ml.gate.result import Result
from gitops_ml.ledger.entries import Ledger
from rich.cells import cell_len

from tests.automation.ledger import states
from tests.automation.report.test_render import RESULT

WIDTH = 80


@pytest.fixture(params=states.STATES)
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """A ledger of each kind."""
    made: Ledger = states.STATES[request.param]()
    return made


def printed(lines: tables.Lines, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a terminal gets."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    tables.show(lines)
    return capsys.readouterr().out


def whole(names: set[str], shown: str) -> bool:
    """Whether the names stand in it in one piece."""
    return all(name.partition(":")[2] in shown for name in names)


def test_the_ledger_fits(ledger: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry has its release, and what it replaced, in one piece; days are headings."""
    shown = printed(tables.ledger(ledger), capsys, monkeypatch)
    rows = [line for line in shown.splitlines() if not line.startswith(("nothing was promoted", "⏳"))]
    assert max(map(cell_len, rows), default=0) <= WIDTH
    names = {name for entry in ledger.entries for name in (entry.release, entry.replaces) if name}
    assert whole(names, shown)
    days = {entry.when.astimezone().date() for entry in ledger.entries}
    assert len(re.findall(r"(?m)^\w+day, \d+ \w+ 2026$", shown)) == len(days)
    assert ("nothing was promoted yet: `gitops-ml " in shown) == (not ledger.entries)
    assert ("how it stands now is not known: `origin`" in shown) == (ledger.now is None)


def test_the_status_fits(ledger: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each environment release and health are told in one line, and sentences below."""
    if ledger.now is None:
        return
    shown = printed(tables.status(ledger.now), capsys, monkeypatch)
    head, *rows = shown.splitlines()[: len(ledger.now.environments) + 1]
    assert head.split() == ["environment", "release", "since", "behind", "main", "state"]
    assert max(map(cell_len, [head, *rows])) <= WIDTH
    for each, row in zip(ledger.now.environments, rows, strict=True):
        assert row.startswith(each.name)
        assert each.health in row
    assert whole({each.release for each in ledger.now.environments if each.release}, shown)
    assert all(f"on hold since {hold.since:%Y-%m-%d}" in shown for hold in ledger.now.held)


def test_nothing_steers_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what others wrote, escape sequences and turns of the direction are shown as `?`, and markup as it stands."""
    made = states.hostile()
    assert made.now
    shown = printed([*tables.ledger(made), *tables.status(made.now)], capsys, monkeypatch)
    assert not {"\x1b", "\u202e"} & set(shown)
    assert "?[31m[bold]red" in shown.replace("\n", "")
    assert ":boom:" in shown


def test_what_is_proposed_and_held_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The words and signs are those of the pages."""
    made = states.held()
    assert made.now
    shown = printed(tables.status(made.now), capsys, monkeypatch)
    assert f"⏳ proposed for production: promote {1000:016x}\n" in shown
    assert "❌ production: failed: port 3000 is taken" in shown
    assert f"production: its url says {states.name(996)}\n" in shown
    assert f"{states.name(997)}: answers are wrong\n" in shown


@pytest.mark.parametrize(("verdict", "said"), [("promote", "✅ May replace what serves"), ("keep", "❌ Must not")])
def test_the_gate_says_what_the_pages_say(
    verdict: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first line is what follows, with the gate's own word beside it."""
    result: Result = RESULT.model_copy(update={"verdict": verdict, "passes": verdict == "promote"})
    first, *_, last = printed(tables.gate(result, Path("gate.json")), capsys, monkeypatch).splitlines()
    assert first.startswith(said)
    assert f"verdict: {verdict}" in first
    assert last.endswith("rules hold; all in gate.json")

"""The page, the issue and the terminal say the same in every state, and never more than was tested."""

from __future__ import annotations

import html as entities
import re
from itertools import pairwise
from pathlib import Path

import pytest
from gitops_ml.monitor import figures, page, tiles
from gitops_ml.monitor.content import Monitoring
from gitops_ml.monitor.signals import Signal
from gitops_ml.pages import markup, words

from tests.automation.monitor.samples import HOSTILE, WELL, monitoring, states

STATES = states()
VERDICTS = {
    "alarm": "alarm (1 of 15 signals, 2 to watch)",
    "watch": "watch (2 of 14 signals)",
    "well": "all is well (15 of 15 signals tested)",
    "no labels": "all is well (12 of 15 signals tested)",
    "lacking columns": "all is well (11 of 15 signals tested)",
    "too few rows": "not known (5 of 15 signals tested)",
    "not known": "not known (2 of 15 signals tested)",
    "200 columns": "alarm (67 of 209 signals, 1 to watch)",
    "hostile": "alarm (10 of 19 signals, 1 to watch)",
}
EVERY = pytest.mark.parametrize("found", STATES.values(), ids=STATES)
PAGE = Path("build/monitor/monitor.html")


def text(html: str) -> str:
    """What a page says, without its style and its markup."""
    whole = re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)
    return " ".join(entities.unescape(whole).split())


@pytest.mark.parametrize(("state", "heading"), VERDICTS.items())
def test_every_form_begins_with_the_verdict(state: str, heading: str) -> None:
    """The verdict and what it is about are the first words for a person at the terminal, on GitHub and in a browser."""
    found = STATES[state]
    verdict, about = heading.removesuffix(")").split(" (")
    assert page.terminal(found, PAGE).startswith(f"{heading}: ")
    assert re.match(rf"## \S+ {re.escape(heading)}: ", page.markdown(found))
    html = page.html(found)
    assert f"UTC · 4 windows of 7 days, {figures.answered(found)} {verdict} {about} " in text(html)
    assert f"<title>{verdict}: " in html


@EVERY
def test_nothing_is_green_that_was_not_tested(found: Monitoring) -> None:
    """What was not tested has another shape, colour and word than what is well: in the table, in the tiles, and in the
    verdict, which names it with the reason.
    """
    for row in figures.rows(found):
        for signal in row.signals:
            assert (signal.state == "not tested") == (figures.STATES[signal.state][0] == "plain")
            assert signal.state != "within" or figures.figure(signal)
    for tile in tiles.tiles(found):
        assert tile.tone != "good" or tile.figure != tiles.UNKNOWN
    assert (figures.verdict(found)[0] == "good") == (found.verdict == "all is well" and not found.untested)
    for form in (page.html(found), page.markdown(found), page.terminal(found, PAGE)):
        said = " ".join(entities.unescape(re.sub(r"<[^>]+>", "", form)).split())
        for unknown in found.unknown:
            assert unknown.reason.split("`")[0] in said


@EVERY
def test_a_state_follows_from_value_and_limit(found: Monitoring) -> None:
    """Nothing is called within its limit whose value is beyond it, and nothing beyond whose value is within."""
    for window in found.windows:
        for signal in window.signals:
            if signal.value is None or signal.limit is None:
                continue
            well = {
                "at most": signal.value <= signal.limit,
                "below": signal.value < signal.limit,
                "at least": signal.value >= signal.limit,
            }[signal.bound]
            assert (signal.state == "within") == well, signal


def test_an_alarm_says_direction_size_importance_and_what_to_do() -> None:
    """A person reads where the rows are now and how many were there, for how long, how much the column counts, and the
    next command: on the page as in the issue and at the terminal.
    """
    said = (
        "'temp' has moved in 90 % of the rows: 100 % are 70.5 or more, 10 % were in training, in 4 of 4 windows; "
        "column 5 of 6 by importance"
    )
    found = STATES["alarm"]
    for form in (page.html(found), page.markdown(found), page.terminal(found, PAGE)):
        shown = text(form)
        assert said in shown
        assert "gitops-ml watch retrain" in shown
        assert "env rollback production" in shown


@EVERY
def test_a_terminal_of_80_columns_is_enough(found: Monitoring) -> None:
    """No line is longer, whatever names are; a flood of alarms is cut with its number, no name commands a terminal."""
    lines = page.terminal(found, PAGE).split("\n")
    assert all(len(line) <= 80 and line.isprintable() for line in lines)
    assert len(lines) < 60
    if found.verdict == "alarm" and len(found.alarms) > 5:
        assert f"  ■ and {len(found.alarms) - 5} more" in lines


def test_a_table_has_fifteen_rows_and_folds_the_rest() -> None:
    """Of 209 signals the fifteen most harmful are shown, each is listed once; charts of what never moved are last."""
    html = page.html(STATES["200 columns"])
    [table] = re.findall(r'<div class="table">.*?</div>', html, re.DOTALL)[:1]
    shown, folded = table.split("<details>")
    assert (shown.count('scope="row"'), folded.count('scope="row"')) == (15, 194)
    assert "194 more signals" in folded
    drawn = page.drawn(figures.rows(STATES["200 columns"]))
    assert [row.name for row in drawn][-2:] == ["failed requests", "column_0"]


@EVERY
def test_the_page_is_one_file_that_asks_nobody(found: Monitoring) -> None:
    """No script, no address, nothing from elsewhere; headings go down step by step, and tables say what their headers
    are of.
    """
    html = page.html(found)
    assert not re.search(r"<script|<link|<img|@import|url\(|<[^>]+ (src|href)=\"[^#]", html)
    levels = [int(level) for level in re.findall(r"<h(\d)", html)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert "<th>" not in html
    assert len(set(re.findall(r' id="([^"]+)"', html))) == len(re.findall(r' id="[^"]+"', html))


def test_what_strangers_named_is_only_text() -> None:
    """Columns that are called like markup, and titles, are shown as they are, and are no markup anywhere."""
    found = STATES["hostile"]
    html, markdown = page.html(found), page.markdown(found)
    assert "<script" not in html
    assert entities.escape(HOSTILE[0]) in html
    assert "{{ 7 * 7 }} drift" in text(html)
    for form in ("<script", "<img", "](https://example.com)", "@team", "a|b", "www.example"):
        assert form not in markdown
    assert len(markdown) < markup.COMMENT_LENGTH
    assert all(
        line.count("|") == markdown.splitlines()[-4].count("|") for line in markdown.splitlines() if line[:1] == "|"
    )


def test_without_decisions_or_probabilities_there_is_no_tile_for_them() -> None:
    """Worth and calibration are tiles only where the project has them."""
    found = monitoring(WELL)
    for window in found.windows:
        window.signals = [signal for signal in window.signals if signal.kind not in ("worth", "calibration")]
    assert [tile.name for tile in tiles.tiles(found)] == ["ROC AUC", "Service", "Labels"]


def test_labels_that_come_late_show_the_window_that_has_them() -> None:
    """Of performance the newest window that was tested is shown, with its days, and no older one as if it were now."""
    found = STATES["well"].model_copy(deep=True)
    newest = found.windows[-1]
    newest.signals = [
        signal.model_copy(update={"state": "not tested", "value": None, "sentence": "no labels of these rows came"})
        if signal.kind == "performance"
        else signal
        for signal in newest.signals
    ]
    [tile] = [tile for tile in tiles.tiles(found) if tile.name == "ROC AUC"]
    assert tile.notes[-1] == "of 18 to 24 July 2026"


@pytest.mark.parametrize("kind", ["performance", "worth"])
def test_a_tile_is_green_only_if_all_of_its_interval_is_within_the_limit(kind: str) -> None:
    """Performance and worth have one rule: within the limit with the whole interval is green, with a part of it not."""
    found = monitoring(WELL)
    for window in found.windows:
        for signal in window.signals:
            if signal.kind == kind:
                assert signal.limit is not None
                signal.value, signal.low, signal.high = signal.limit + 2, signal.limit + 1, signal.limit + 3
    place = ["performance", "worth"].index(kind)
    assert tiles.tiles(found)[place].tone == "good"
    signal_of(found, kind).low = -5.0
    assert tiles.tiles(found)[place].tone == "plain"
    assert "within its limit, not proven" in " ".join(tiles.tiles(found)[place].notes)


def signal_of(found: Monitoring, kind: str) -> Signal:
    """The newest of a kind."""
    return next(signal for signal in found.windows[-1].signals if signal.kind == kind)


def test_the_table_says_of_a_signal_what_its_tile_says() -> None:
    """Within the limit with a part of the interval only is nowhere green: not in a tile, the table, or the issue."""
    found = STATES["well"]
    shape = tiles.tiles(found)[0].sign
    assert shape == words.SHAPES["plain"]
    row = next(row for row in figures.rows(found) if row.newest.kind == "performance")
    assert figures.state(row.newest)[1] == shape
    assert f"{shape} {figures.figure(row.newest)} |" in page.markdown(found)
    assert "within its limit, not proven" in page.html(found)

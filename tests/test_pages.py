"""The pages by which people decide, as a browser shows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gitops_ml.report import render
from playwright.sync_api import Browser

from tests import browser as looks
from tests.automation.report import states

SCREENS = 3


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's browser."""
    with looks.started() as found:
        yield found


@pytest.mark.parametrize("state", states.STATES)
def test_a_report_can_be_read_by_everybody(state: str, browser: Browser, tmp_path: Path) -> None:
    """Whatever a report says, and of whatever names, it is whole at every width and open to every reader."""
    page = tmp_path / "report.html"
    page.write_text(render.html(states.STATES[state]()))
    looks.inspect(browser, page.as_uri())


@pytest.mark.parametrize("state", ["60 slices", "200 columns"])
def test_a_long_report_is_three_screens_and_what_is_folded(state: str, browser: Browser, tmp_path: Path) -> None:
    """However much there is to list, the page stays short, lists each thing once, and is whole on paper."""
    content = render.html(states.STATES[state]())
    page = looks.opened(browser, content, tmp_path)
    assert page.evaluate("document.documentElement.scrollHeight") <= SCREENS * looks.HEIGHT
    folded = page.locator("details tbody tr").last
    assert not folded.is_visible()
    page.emulate_media(media="print")
    assert folded.is_visible()
    if state == "60 slices":
        assert all(content.count(f"station = station {number}<") == 1 for number in range(60))


def test_the_keyboard_reaches_everything_with_a_name(browser: Browser, tmp_path: Path) -> None:
    """Whoever has no mouse comes to each note, chip and fold, and hears what it is."""
    page = looks.opened(browser, render.html(states.STATES["60 slices"]()), tmp_path)
    names = looks.reached(page)
    assert all(names)
    assert names[0] == "Slices that may be worse"
    assert {"66 of 68 rules hold", "50 more", "7 facts"} <= set(names)

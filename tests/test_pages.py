"""The pages by which people decide, as a browser shows them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from gitops_ml.fleet import page as fleet_page
from gitops_ml.ledger import page as ledger_page
from gitops_ml.monitor import page as monitor_page
from gitops_ml.report import render
from gitops_serving.page import Page
from pipeline.schema import Schema
from playwright.sync_api import Browser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ci.shell import free_port
from tests import browser as looks
from tests.automation.fleet import states as fleets
from tests.automation.ledger import states as ledgers
from tests.automation.monitor import samples as monitors
from tests.automation.report import states
from tests.automation.serving.test_page import FEATURES, LATE, SETTINGS, VERSION, service

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
    assert {"66 of 68 rules hold", "50 more", "11 facts"} <= set(names)


@pytest.mark.parametrize("state", monitors.states())
def test_what_the_monitor_found_can_be_read_by_everybody(state: str, browser: Browser, tmp_path: Path) -> None:
    """Whatever production says, and of whatever columns, the page is whole at every width and open to every reader."""
    path = tmp_path / "monitor.html"
    path.write_text(monitor_page.html(monitors.states()[state]))
    looks.inspect(browser, path.as_uri())


def test_what_moved_is_drawn_over_time(browser: Browser, tmp_path: Path) -> None:
    """Under an alarm the six most harmful signals are drawn window by window, and the others are folded."""
    page = looks.opened(browser, monitor_page.html(monitors.states()["alarm"]), tmp_path)
    drawn = page.locator(".pictures.small figure")
    assert drawn.count() > 6
    assert [drawn.nth(number).is_visible() for number in range(drawn.count())] == [True] * 6 + [False] * (
        drawn.count() - 6
    )


@pytest.mark.parametrize("state", ledgers.STATES)
def test_a_ledger_can_be_read_by_everybody(state: str, browser: Browser, tmp_path: Path) -> None:
    """Whatever was done where, by whomever, the ledger is whole at every width and open to every reader."""
    path = tmp_path / "ledger.html"
    path.write_text(ledger_page.html(ledgers.STATES[state]()))
    looks.inspect(browser, path.as_uri())


def test_a_long_ledger_is_folded_and_unfolds(browser: Browser, tmp_path: Path) -> None:
    """Of two hundred entries fifty are shown, under their days; the others are one key away."""
    page = looks.opened(browser, ledger_page.html(ledgers.STATES["two hundred"]()), tmp_path)
    assert page.locator("tbody tr:visible").count() == 50
    older = page.get_by_text("150 older entries")
    older.focus()
    page.keyboard.press("Enter")
    assert page.locator("tbody tr:visible").count() == 200
    assert page.get_by_role("heading", name="Friday, 27 November 2026").count() == 1


def test_an_entry_is_two_lines_on_a_phone_and_unfolds(browser: Browser, tmp_path: Path) -> None:
    """On a phone each entry has the same small height, and its time, a link, shows all of it."""
    page = looks.opened(browser, ledger_page.html(ledgers.STATES["five"]()), tmp_path, width=390)
    rows = page.locator("tbody tr")
    heights = [rows.nth(number).bounding_box()["height"] for number in range(5)]  # type: ignore[index]
    assert max(heights) < 75
    assert not page.get_by_text("May replace what serves").first.is_visible()
    rows.first.get_by_role("link").click()
    assert rows.first.get_by_text("May replace what serves").is_visible()
    assert rows.first.get_by_text("was 00000000000003e7").is_visible()


def test_an_edit_by_hand_stands_out(browser: Browser, tmp_path: Path) -> None:
    """An edit is told by word, sign and ground, and has no verdict; so is a promotion in words of somebody's own."""
    page = looks.opened(browser, ledger_page.html(ledgers.STATES["an edit by hand"]()), tmp_path)
    grounds = page.locator("tbody tr").evaluate_all("rows => rows.map(row => getComputedStyle(row).backgroundColor)")
    assert grounds[0] == grounds[1] == grounds[2] != grounds[3]
    assert page.get_by_text("edit by hand").count() == 2
    assert "▲" not in page.locator("tbody tr").first.inner_text()


# Rows are alike, and axe-core looks at two hundred for a minute.
@pytest.mark.parametrize("state", [each for each in fleets.STATES if each != "two hundred"])
def test_a_fleet_can_be_read_by_everybody(state: str, browser: Browser, tmp_path: Path) -> None:
    """However many models there are, and of whatever names, the page is whole at every width and open to all."""
    path = tmp_path / "fleet.html"
    path.write_text(fleet_page.html(fleets.STATES[state]()))
    looks.inspect(browser, path.as_uri())


def test_a_fleet_is_searched_filtered_and_sorted(browser: Browser, tmp_path: Path) -> None:
    """What is searched is found among all models, what is shown is counted, and every order is one key away."""
    page = looks.opened(browser, fleet_page.html(fleets.STATES["two hundred"]()), tmp_path)
    rows, said = page.locator("tbody tr:visible"), page.get_by_role("status")
    assert (rows.count(), said.inner_text()) == (50, "50 of 200 shown")
    assert "unread-0" in rows.first.inner_text()
    page.get_by_role("searchbox", name="Search").fill("MODEL-199 alarm")
    assert (rows.count(), said.inner_text()) == (1, "1 of 200 shown")
    page.get_by_role("searchbox", name="Search").fill("")
    page.get_by_label("Show").select_option("alarm")
    assert (rows.count(), said.inner_text()) == (50, "50 of 200 shown")
    page.get_by_label("Show").select_option("")
    page.get_by_role("button", name="Show all").press("Enter")
    assert (rows.count(), said.inner_text()) == (200, "200 shown")
    for order, first, last in (("name", "unread-0", "Model 99"), ("age", "Model 199", "unread-")):
        page.get_by_label("Sort by").select_option(order)
        assert first in rows.first.inner_text()
        assert last in rows.last.inner_text()
    for width in looks.WIDTHS:
        page.set_viewport_size({"width": width, "height": looks.HEIGHT})
        assert not page.evaluate(looks.CUT)


def test_the_keyboard_reaches_all_of_a_fleet(browser: Browser, tmp_path: Path) -> None:
    """Fields, folds and links have names, in the order in which they stand."""
    page = looks.opened(browser, fleet_page.html(fleets.STATES["five"]()), tmp_path)
    for name in ("Search", "Show", "Sort by"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.labels[0].innerText") == name
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "git.example.org/models/unread-4"


def test_a_fleet_needs_no_script(browser: Browser, tmp_path: Path) -> None:
    """Without scripts every model is there, the most urgent first, and nothing is offered that would do nothing."""
    path = tmp_path / "fleet.html"
    path.write_text(fleet_page.html(fleets.STATES["two hundred"]()))
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator("tbody tr:visible").count() == 200
    assert page.get_by_role("searchbox").count() == 0
    context.close()


@pytest.fixture
def api() -> Iterator[str]:
    """The address of a service whose page is its own, and which answers with what it was sent."""
    schema = Schema(columns=FEATURES | {"late": LATE})
    page = Page(SETTINGS, VERSION, service(schema).openapi_spec.asdict())

    async def index(request: Request) -> Response:
        return page.answer(request)

    async def predict(request: Request) -> Response:
        return JSONResponse({"score": 0.25, "sent": await request.json()})

    app = Starlette(routes=[Route("/", index), Route("/predict", predict, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=free_port(), log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.config.port}/"
    finally:
        server.should_exit = True
        thread.join()


def test_the_apis_page_can_be_read_by_everybody(api: str, browser: Browser) -> None:
    """The page of a service is whole at every width, open to every reader, and asks nobody but for itself."""
    looks.inspect(browser, api)


def test_the_apis_page_sends_and_copies(api: str, browser: Browser) -> None:
    """What stands in the form is sent by a click, and the line for a terminal follows it."""
    page = browser.new_page()
    page.goto(api)
    form = page.get_by_role("form", name="POST /predict", exact=True)
    form.get_by_role("textbox").fill('{"row": "it\'s"}')
    assert form.locator(".line").inner_text().endswith("""-d '{"row": "it'"'"'s"}'""")
    form.get_by_role("button", name="Send").click()
    form.get_by_text("200 OK").wait_for()
    assert '"row": "it\'s"' in form.locator("output").inner_text()
    form.get_by_role("button", name="Copy").click()
    assert form.locator("span[role=status]").inner_text() == "copied"
    assert page.evaluate("getSelection().toString()").startswith("curl -s 'http://127.0.0.1:")
    form.get_by_role("textbox").fill("no JSON")
    form.get_by_role("button", name="Send").click()
    form.get_by_text("500").wait_for()
    page.close()


def test_the_apis_page_needs_no_script(api: str, browser: Browser) -> None:
    """Without scripts nothing is offered that would do nothing, and all else is there."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(api)
    assert page.get_by_role("button").count() == 0
    assert page.get_by_role("textbox").first.input_value().startswith('{\n  "row": {')
    assert "curl -s http://127.0.0.1:" in page.locator(".line").first.inner_text()
    context.close()


def test_the_keyboard_reaches_all_of_the_apis_page(api: str, browser: Browser) -> None:
    """Every link, field and button has a name and its turn."""
    page = browser.new_page()
    page.goto(api)
    names = looks.reached(page)
    assert {"/predict", "/version", "/docs.json", "Send", "Copy"} <= set(names)
    page.close()

"""Looks at a page as people do: in a browser, at three widths, light and dark, and with axe-core."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (390, 820, 1440)
SCHEMES = ("light", "dark")
HEIGHT = 900
# What sticks out to the side, of the page and of whatever holds text in it.
CUT = """() => [document.documentElement, ...document.querySelectorAll('main, section, table, td, th, p, li, figure')]
  .filter(each => each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 1
    && getComputedStyle(each).display !== 'inline')
  .map(each => each.tagName + ' ' + each.textContent.slice(0, 60))"""

# Figures and headings of which a part stands in another line, where it reads as another one.
BROKEN = """() => [
  ...document.querySelectorAll('.table > table thead th, td.number, td.interval, td.window')
].filter(cell => {
  const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode())
    for (const word of text.textContent.matchAll(/\\S+/g)) {
      const range = new Range();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(each => each.top)).size > 1) return true;
    }
  return false;
}).map(each => each.textContent)"""


@contextmanager
def started() -> Iterator[Browser]:
    """The machine's Chromium."""
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    assert program, "no Chromium found; `make test` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


def inspect(browser: Browser, address: str) -> None:
    """Open a page at all widths, light and dark: it asks nobody, nothing is cut off or broken, axe-core is content."""
    for scheme in SCHEMES:
        # The page forbids scripts, and axe-core is one.
        context = browser.new_context(color_scheme=scheme, bypass_csp=True)
        try:
            page = context.new_page()
            asked, said = [], []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("console", lambda message, said=said: said.append(message.text))
            page.goto(address)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": HEIGHT})
                where = f"{scheme}, {width} px"
                assert not page.evaluate(CUT), where
                assert not page.evaluate(BROKEN), where
                found = Axe().run(page)
                assert found.violations_count == 0, f"{where}: {found.generate_report()}"
            assert asked == [address]
            assert said == []
        finally:
            context.close()


def opened(browser: Browser, content: str, folder: Path, width: int = 1440) -> Page:
    """A page at one width, with what can be asked of it."""
    path = folder / "page.html"
    path.write_text(content)
    page = browser.new_page(viewport={"width": width, "height": HEIGHT})
    page.goto(path.as_uri())
    return page


def reached(page: Page) -> list[str]:
    """The names of what the keyboard reaches, in its order."""
    name = "document.activeElement.innerText || document.activeElement.ariaLabel || ''"
    names: list[str] = []
    count = page.locator("a[href], summary, button, input, select, textarea, [tabindex]").count()
    for _ in range(count):
        page.keyboard.press("Tab")
        names.append(page.evaluate(name).strip())
    return names

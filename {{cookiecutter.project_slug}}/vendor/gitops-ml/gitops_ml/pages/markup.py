"""Fills in the templates of all rooms, so that what strangers wrote is only ever shown as text."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Protocol

import jinja2
from markupsafe import Markup

import gitops_serving
from gitops_ml.pages import charts, words
from gitops_ml.pages.words import Sign

TEMPLATES = Path(__file__).parent / "templates"
# The service shows a page, too, and may not need the automation.
STYLE = Path(gitops_serving.__file__).with_name("page.css")
# GitHub refuses longer comments; some room is left for what a workflow adds.
COMMENT_LENGTH = 65_536 - 2_000
# How many rows of a table a comment shows, the fewer the longer everything is.
ROW_LIMITS = (20, 8, 3, 0)
TEXT_LENGTH = 60
# Whatever could be markup, or begin an address: a full stop is one of a number, or it goes.
ACTIVE = re.compile(r"[^0-9A-Za-z_ …→,()+%=.-]|\.(?![0-9])|(?<=www)\.")
PLAIN = re.compile(r"(?:[0-9A-Za-z² ,()+%-]|\.(?=[0-9])|:(?= ))*")


class Estimated(Protocol):
    """A value with its interval."""

    value: float
    low: float
    high: float


def environment(*folders: Path) -> jinja2.Environment:
    """What fills in the templates of these folders, which may extend `base.html` and import `components.html`."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
        autoescape=jinja2.select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters |= {"code": code, "measured": measured, "money": money, "picture": picture, "plain": plain}
    found.filters |= {name: getattr(words, name) for name in ("amount", "day", "metric", "number", "share", "size")}
    # The style is ours, and `>` would be escaped.
    found.globals |= {"charts": charts, "words": words, "style": Markup(STYLE.read_text())}  # noqa: S704
    return found


def code(value: object, length: int = TEXT_LENGTH) -> str:
    """Text of any origin as code in Markdown: no character of it is markup, a link, a mention or a table's border."""
    text = " ".join(str(value).split())
    shown = text if len(text) <= length else f"{text[: length - 1]}…"
    return f"<code>{ACTIVE.sub(lambda match: f'&#{ord(match[0])};', shown)}</code>"


def plain(text: str) -> str:
    """Text of words and numbers as it is, any other as code."""
    return text if PLAIN.fullmatch(text) and "www" not in text else code(text, 200)


def measured(found: Estimated | None, sign: Sign = "") -> str:
    """A metric with its interval, or a dash."""
    if found is None:
        return "-"
    return f"{words.number(found.value, sign)} ({words.interval(found.low, found.high, sign)})"


def money(found: Estimated | None, sign: Sign = "") -> str:
    """What decisions are worth, with its interval, or a dash."""
    if found is None:
        return "-"
    value, low, high = (words.amount(each, sign) for each in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def trusted(script: str) -> tuple[Markup, str]:
    """A script of ours for a page, and what its Content-Security-Policy says, so that no other one runs there."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Markup(script), f"script-src 'sha256-{digest}'"  # noqa: S704


def picture(svg: str) -> Markup:
    """An SVG that Vega drew, which escapes the text that it is given."""
    return Markup(svg)  # noqa: S704

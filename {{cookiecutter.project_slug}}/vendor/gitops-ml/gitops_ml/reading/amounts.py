"""Numbers as people write them: signs, separators of thousands, decimal commas, and the unit beside an amount."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import pandas as pd

from gitops_ml.reading.pieces import Failures, Piece

# Whole numbers with more digits are no quantities, and float64 cannot hold them.
DIGITS = 15
PLAIN = (
    rf"[+-]?(?:(?:0|[1-9]\d{{0,{DIGITS - 1}}})|\d*\.\d+|\d+\.\d*)(?:[eE][+-]?\d+)?"
    r"|[+-]?(?:inf|Inf|INF|Infinity)"
)
WHOLE = rf"[+-]?(?:0|[1-9]\d{{0,{DIGITS - 1}}})"
PADDED = r"0\d+"
# Nothing needs no unit.
ZEROS = ["0", "-0", "0.0", "0.00", "0."]
GROUPED = r"[1-9]\d{0,2}(?:\.\d{3})+"
# What looks alike and means the same.
SAME = str.maketrans(
    dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\ufe63\uff0d", "-")
    | dict.fromkeys("\u00a0\u202f\u2009\u2007\u2002\u3000", " ")
    | dict.fromkeys("\u2019\u2018\u02bc\u00b4", "'")
)
CURRENCY = r"(?:[A-Z]{0,3}[$€£¥₹₽₩₺₪฿₫₴₦¢]|[A-Z]{3}|kr\.?|Fr\.?|Rs\.?)"
UNIT = r"(?:%|‰|°\s?[CFK]?|[$€£¥₹₽₩₺₪฿₫₴₦¢]|[^\W\d_]{1,8}[²³]?(?:/[^\W\d_]{1,5}[²³]?)?\.?|sq\.? ?(?:ft|m)\.?)"
BODY = {
    ".": rf"(?:[1-9]\d{{0,2}}(?:[ ']\d{{3}})+|[1-9]\d{{0,2}}(?:,\d{{2,3}})*,\d{{3}}|\d{{1,{DIGITS}}})(?:\.\d*)?|\.\d+",
    ",": rf"(?:[1-9]\d{{0,2}}(?:[ '.]\d{{3}})+|\d{{1,{DIGITS}}})(?:,\d+)?|,\d+",
}
AMOUNT = {
    decimal: re.compile(
        rf"(?P<open>\()?(?P<sign>[+-]?) ?(?P<before>{CURRENCY}?) ?(?P<inner>[+-]?)"
        rf"(?P<digits>{body})(?P<power>[eE][+-]?\d+)? ?(?P<after>{UNIT}?)(?P<close>\))?"
    )
    for decimal, body in BODY.items()
}


def parse(texts: pd.Series, decimal: str) -> pd.DataFrame:
    """The columns `number` (missing where a text is none), `unit` (empty where none stands beside it) and `padded`.

    Args:
        texts: distinct texts without blanks around them.
        decimal: the sign before decimals; the other one of `.` and `,` may separate thousands.
    """
    found = [_parse(text, decimal) for text in texts]
    return pd.DataFrame(found, index=texts.index, columns=["number", "unit", "padded"])


def _parse(text: str, decimal: str) -> tuple[float | None, str, bool]:
    match = AMOUNT[decimal].fullmatch(text.translate(SAME))
    # A number in brackets is negative, as in bookkeeping; a single bracket is nothing.
    if match is None or bool(match["open"]) != bool(match["close"]) or (match["sign"] and match["inner"]):
        return None, "", False
    digits = re.sub(r"[ ',]" if decimal == "." else r"[ '.]", "", match["digits"]).replace(",", ".")
    number = float(digits + (match["power"] or ""))
    negative = "-" in (match["sign"], match["inner"]) or match["open"]
    padded = re.match(r"0\d", digits) is not None
    return -number if negative else number, f"{match['before']} {match['after']}".strip(), padded


@dataclass
class Numbers:
    """What was met in a column, as far as it can be read as numbers.

    `failed` by the sign before decimals; `units` with their rows, an empty one for a number that stands alone and is
    not zero. `whole`: there are only digits; `spelled`: there is more than digits and a point. `comma`: one can only
    stand before decimals; `two_ways`: a comma could do so, or separate thousands.
    """

    failed: dict[str, Failures] = field(default_factory=lambda: {".": Failures(), ",": Failures()})
    units: Counter[str] = field(default_factory=Counter)
    whole: bool = True
    padded: Failures = field(default_factory=Failures)
    spelled: bool = False
    comma: bool = False
    two_ways: bool = False

    def learn(self, piece: Piece) -> None:
        """Take in a piece of the column."""
        if all(failures.hopeless for failures in self.failed.values()):
            for failures in self.failed.values():
                failures.give_up(piece)
            return
        plain = piece.texts.str.fullmatch(PLAIN).fillna(False).astype(bool)
        self._learn_plain(piece.where(plain))
        others = piece.where(~plain)
        point, comma = (parse(others.texts, decimal) for decimal in BODY)
        dots = piece.texts.str.contains(".", regex=False)
        grouped = piece.texts.str.fullmatch(rf"[+-]?{GROUPED}").fillna(False).astype(bool)
        self.failed["."].learn(piece, _spread(point["number"].isna(), ~plain))
        self.failed[","].learn(piece, _spread(comma["number"].isna(), ~plain) | (plain & dots & ~grouped))
        both = point["number"].notna() & comma["number"].notna()
        self.two_ways |= bool((both & (point["number"] != comma["number"])).any())
        commas = others.texts.str.contains(",", regex=False)
        self.comma |= bool((point["number"].isna() & comma["number"].notna() & commas).any())
        known = point.where(point["number"].notna(), comma)
        readable = known["number"].notna()
        self.spelled |= bool(readable.any())
        self.whole &= not others.total
        counted = readable & ((known["unit"] != "") | (known["number"] != 0))
        for unit, rows in zip(known["unit"][counted], others.rows[counted.to_numpy()], strict=True):
            self.units[unit] += int(rows)
        self.padded.learn(others, others.texts.str.fullmatch(PADDED).fillna(False).astype(bool))

    def _learn_plain(self, piece: Piece) -> None:
        self.whole &= not piece.texts.str.contains(r"[.eEiI]", regex=True).any()
        counted = piece.where(~piece.texts.isin(ZEROS))
        if counted.total:
            self.units[""] += counted.total


def _spread(found: pd.Series, where: pd.Series) -> pd.Series:
    """Answers about the texts for which the mask holds, as answers about all; False for the others."""
    spread = pd.Series(False, where.index)
    spread[where] = found.to_numpy(dtype=bool)
    return spread

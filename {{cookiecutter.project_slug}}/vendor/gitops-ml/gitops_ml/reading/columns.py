"""What was met in a column, gathered piece by piece, so that what it is can be decided with the whole of it in view."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from gitops_ml.core.errors import UserError
from gitops_ml.reading import forms, missing
from gitops_ml.reading.amounts import Numbers
from gitops_ml.reading.dates import Moments, parse_whole
from gitops_ml.reading.pieces import Failures, Piece

MOST_COUNTED = 1000
# A few words that begin like a number, or any with a year or a time of day.
LIKE_NUMBERS = r"^[<>~≈≤≥(+\-$€£¥]*\s?\d\S*(?:\s\S+){0,2}$|\b(?:19|20)\d\d\b|\d:\d\d"


@dataclass
class Column:
    """What was met in one column.

    `words`: those that may be gaps, with their rows; `counts`: the other texts with theirs, None once there are too
    many. `kinds`: the types that the file itself gives. `huge`: whole numbers that no integer of 64 bits holds.
    """

    name: str
    untyped: bool
    rows: int = 0
    empty: int = 0
    words: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] | None = field(default_factory=Counter)
    kinds: set[str] = field(default_factory=set)
    huge: bool = False
    booleans: Failures = field(default_factory=Failures)
    numbers: Numbers = field(default_factory=Numbers)
    moments: Moments = field(default_factory=Moments)
    unlike_numbers: Failures = field(default_factory=Failures)

    @property
    def present(self) -> int:
        """The rows with a value that cannot be a gap."""
        return self.rows - self.empty - self.words.total()

    @property
    def typed(self) -> bool:
        """Whether the file gives one type, which is not text."""
        return not self.untyped and len(self.kinds) == 1 and self.kinds != {"text"}

    @property
    def loose(self) -> bool:
        """Whether the file gives other types than text, so that text has to be made of the values to read it."""
        return not self.untyped and self.kinds != {"text"}

    def own_form(self) -> forms.Form:
        """The form that the file itself gives a column of one type."""
        match next(iter(self.kinds)):
            case "boolean":
                return forms.Form("boolean")
            case "integer":
                return forms.Form("integer")
            case "number":
                return forms.Form("number")
            case kind:
                return forms.Form("datetime", zoned=kind.endswith("zone"))

    def learn(self, values: pd.Series, said: frozenset[str]) -> None:
        """Take in a piece of the column.

        Args:
            values: text in a file in which all is text, else values of the file's own types.
            said: words that the person takes for gaps.
        """
        before = self.rows
        self.rows += len(values)
        if not self.untyped:
            kinds = _kinds(self.name, values)
            self.kinds |= kinds
            if values.dtype != object and not forms.is_text(values):
                self.empty += int(values.isna().sum())
                self._learn_whole(values.dropna(), before)
                return
            values = forms.as_texts(values)
        self._learn_texts(values.str.strip(), said, before)

    def _learn_whole(self, values: pd.Series, before: int) -> None:
        """Whole numbers may be dates, if all of them are in the range of dates, or larger than any integer."""
        if pd.api.types.is_integer_dtype(values) and not values.empty:
            self.huge |= bool((values > 2**63 - 1).any())
            piece = Piece.of(
                forms.as_texts(values) if values.between(190001, 21001231).all() else values.head(1), before
            )
            self.moments.digits.learn(piece, parse_whole(piece.texts.astype("str")).isna())

    def _learn_texts(self, texts: pd.Series, said: frozenset[str], before: int) -> None:
        texts = texts.where(texts != "")
        self.empty += int(texts.isna().sum())
        whole = Piece.of(texts, before)
        possible = whole.texts.isin(missing.POSSIBLE | said)
        for word, rows in zip(whole.texts[possible], whole.rows[possible], strict=True):
            self.words[word] += int(rows)
        piece = whole.where(~possible)
        if self.counts is not None:
            for text, rows in zip(piece.texts, piece.rows, strict=True):
                self.counts[text] += int(rows)
                if len(self.counts) > MOST_COUNTED:
                    self.counts = None
                    break
        if not piece.total:
            return
        self.booleans.learn(piece, ~piece.texts.isin(list(forms.BOOLEANS)))
        self.numbers.learn(piece)
        self.moments.learn(piece)
        if self.unlike_numbers.hopeless:
            self.unlike_numbers.give_up(piece)
        else:
            self.unlike_numbers.learn(piece, ~piece.texts.str.contains(LIKE_NUMBERS, regex=True).fillna(False))


def _kinds(name: str, values: pd.Series) -> set[str]:
    """The types of the values that are there."""
    values = values.dropna()
    if values.empty:
        return set()
    if values.dtype == object or pd.api.types.is_string_dtype(values):
        kinds = set(values.map(_kind_of))
        if other := {kind for kind in kinds if kind.startswith("other ")}:
            raise UserError(f"column {name!r} holds {min(other)[6:]} values, which no model reads; DROP= it")
        return {"number"} if kinds == {"integer", "number"} else kinds
    if pd.api.types.is_bool_dtype(values):
        return {"boolean"}
    if pd.api.types.is_datetime64_any_dtype(values):
        return {"datetime with zone" if values.dt.tz is not None else "datetime"}
    return {"integer" if pd.api.types.is_integer_dtype(values) else "number"}


def _kind_of(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, int | np.integer):
        return "integer"
    if isinstance(value, str):
        return "text"
    if isinstance(value, pd.Timestamp):
        return "datetime with zone" if value.tz is not None else "datetime"
    # A decimal of Parquet is a number too.
    return "number" if hasattr(value, "__float__") else f"other {type(value).__name__}"

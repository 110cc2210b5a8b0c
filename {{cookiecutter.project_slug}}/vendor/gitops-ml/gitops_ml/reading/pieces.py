"""A piece of a column as its distinct texts, and what of it could not be read in some way."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

SHOWN = 20
# A way in which half of so many rows cannot be read is given up.
ENOUGH = 1 << 16


@dataclass(frozen=True)
class Piece:
    """Distinct texts, how many rows hold each, and in which row of the table each is met first, counted from 1."""

    texts: pd.Series
    rows: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: pd.Series, before: int) -> Piece:
        """The piece that holds these values, missing ones left out, after so many rows before it."""
        codes, texts = pd.factorize(values)
        there = np.flatnonzero(codes >= 0)
        first = np.zeros(len(texts), dtype=np.int64)
        first[codes[there][::-1]] = there[::-1] + before + 1
        return cls(pd.Series(texts, dtype="str"), np.bincount(codes[there], minlength=len(texts)), first)

    def where(self, mask: pd.Series) -> Piece:
        """The texts for which the mask holds."""
        chosen = mask.to_numpy(dtype=bool)
        return Piece(self.texts[chosen].reset_index(drop=True), self.rows[chosen], self.first[chosen])

    @property
    def total(self) -> int:
        """All rows."""
        return int(self.rows.sum())


@dataclass
class Failures:
    """The rows that could not be read in one way, out of `tried`; of some of their texts the rows they hold."""

    tried: int = 0
    rows: int = 0
    first: int = 0
    odd: dict[str, int] = field(default_factory=dict)

    @property
    def hopeless(self) -> bool:
        """Whether there is no use in trying any more."""
        return self.rows > ENOUGH and self.rows * 2 > self.tried

    @property
    def share(self) -> float:
        """The share of rows that could be read."""
        return 1 - self.rows / self.tried if self.tried else 0.0

    def learn(self, piece: Piece, wrong: pd.Series) -> None:
        """Take in which texts of a piece could not be read."""
        self.tried += piece.total
        failing = piece.where(wrong)
        if not failing.total:
            return
        self.first = self.first or int(failing.first.min())
        self.rows += failing.total
        for text, rows in zip(failing.texts, failing.rows, strict=True):
            if text in self.odd or len(self.odd) < SHOWN:
                self.odd[text] = self.odd.get(text, 0) + int(rows)

    def give_up(self, piece: Piece) -> None:
        """Count a piece as unread."""
        self.tried += piece.total
        self.rows += piece.total

    def told(self) -> str:
        """A value that could not be read, in how many rows there are such, and where the first of them is."""
        text = next(iter(self.odd))
        return f"{text[:60]!r} ({self.rows} of {self.tried} values, the first in row {self.first})"

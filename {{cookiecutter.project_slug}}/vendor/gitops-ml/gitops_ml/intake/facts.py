"""What each column holds, counted piece by piece, so that a table need not fit into memory."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

# Columns with more different values than this have neither a list of categories nor classes.
LISTED = 1000
# Up to here it is known exactly how many values differ.
COUNTED = 1 << 20
LONG_NUMBER = re.compile(r"[+-]?\d{16,}")


@dataclass
class Facts:
    """The facts of one column. `counts` is None once there are too many different values, `distinct` a lower bound."""

    name: str
    rows: int = 0
    missing: int = 0
    infinite: int = 0
    minimum: float | None = None
    maximum: float | None = None
    whole: bool = True
    rising: bool = True
    words: int = 0
    longest: int = 0
    digits: bool = False
    counts: Counter[Any] | None = field(default_factory=Counter)
    hashes: set[int] = field(default_factory=set)
    kind: str = "nothing"
    zoned: bool = False
    last: float | None = None

    @property
    def present(self) -> int:
        """The rows that have a value."""
        return self.rows - self.missing

    @property
    def distinct(self) -> int:
        """How many values differ, as far as they were counted."""
        return len(self.hashes)

    @property
    def unique(self) -> bool:
        """Whether no value was met twice."""
        return self.distinct == min(self.present, COUNTED) or (self.distinct >= COUNTED)

    def learn(self, values: pd.Series) -> None:
        """Take in a piece of the column, in its type."""
        self.rows += len(values)
        present = values.dropna()
        self.missing += len(values) - len(present)
        if present.empty:
            return
        if present.dtype == object or pd.api.types.is_string_dtype(present):
            self._learn_texts(present)
            return
        if len(self.hashes) < COUNTED:
            self.hashes.update(pd.util.hash_pandas_object(present, index=False).unique().tolist())
        if self.counts is not None:
            self._count(present.value_counts())
        if pd.api.types.is_bool_dtype(present):
            self.kind = "boolean"
        elif pd.api.types.is_datetime64_any_dtype(present):
            self.kind, self.zoned = "datetime", present.dt.tz is not None
            self._span(
                np.asarray(
                    (present - pd.Timestamp(0, tz=present.dt.tz).as_unit("us")).dt.total_seconds(), dtype="float64"
                )
            )
        else:
            self.kind = "integer" if pd.api.types.is_integer_dtype(present) else "number"
            self._span(present.to_numpy(dtype="float64"))

    def _learn_texts(self, present: pd.Series) -> None:
        # What is the same for equal texts is found once for each.
        counts = present.value_counts()
        texts, rows = counts.index.to_numpy(dtype=object), counts.to_numpy()
        if len(self.hashes) < COUNTED:
            self.hashes.update(pd.util.hash_array(texts, categorize=False).tolist())
        digits = all(LONG_NUMBER.fullmatch(text) for text in texts)
        self.digits = digits and (self.digits or self.kind == "nothing")
        self.kind = "text"
        self.words += int(rows @ np.array([len(text.split()) for text in texts]))
        self.longest = max(self.longest, *(len(text) for text in texts))
        if self.counts is not None:
            self._count(counts)

    def _count(self, counts: pd.Series) -> None:
        if self.counts is not None and len(counts) <= LISTED:
            self.counts.update(counts.to_dict())
        if self.counts is None or len(counts) > LISTED or len(self.counts) > LISTED:
            self.counts = None

    def _span(self, numbers: npt.NDArray[np.float64]) -> None:
        finite = numbers[np.isfinite(numbers)]
        self.infinite += len(numbers) - len(finite)
        if not len(finite):
            return
        self.whole = self.whole and bool((finite % 1 == 0).all())
        before = numbers[:1] - 1 if self.last is None else [self.last]
        with np.errstate(invalid="ignore"):
            self.rising = self.rising and bool((np.diff(np.concatenate([before, numbers])) == 1).all())
        self.last = float(numbers[-1])
        low, high = float(finite.min()), float(finite.max())
        self.minimum = low if self.minimum is None else min(self.minimum, low)
        self.maximum = high if self.maximum is None else max(self.maximum, high)

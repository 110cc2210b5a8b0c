"""Which columns of the training data moved between two revisions."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
from pipeline.schema import Schema

from gitops_ml.gate import judge
from gitops_ml.report.content import Shift
from gitops_ml.versions.revision import Revision

# From here on a column's change is shown: a fifth of a standard deviation is a small effect (Cohen 1988).
SHIFT = 0.2


def read(base: Revision, here: Revision) -> list[Shift]:
    """The features of the training data that moved since the base, the largest first."""
    before, after = (pq.ParquetFile(io.BytesIO(revision.output(judge.TRAIN))) for revision in (base, here))
    schema = here.settings("schema.yaml", Schema)
    moved = []
    for name, column in schema.features.items():
        if column.type == "text" or not all(name in file.schema_arrow.names for file in (before, after)):
            continue
        # One at a time: all of them may be more than fits.
        old, new = (file.read([name]).to_pandas()[name] for file in (before, after))
        if old.dtype == new.dtype:
            moved.append(_shift(name, old, new, column.type == "category"))
    return sorted((shift for shift in moved if shift.size >= SHIFT), key=lambda shift: -shift.size)


def _shift(name: str, before: pd.Series, after: pd.Series, category: bool) -> Shift:
    if category:
        shares = [values.value_counts(normalize=True, dropna=False) for values in (before, after)]
        old, new = pd.concat(shares, axis=1).fillna(0).to_numpy().T
        distance = float(np.abs(new - old).sum() / 2)
        return Shift(column=name, measure="share of rows (total variation)", size=distance)
    old, new = (_numbers(values) for values in (before, after))
    spread = np.sqrt((np.nanvar(old) + np.nanvar(new)) / 2)
    size = abs(np.nanmean(new) - np.nanmean(old)) / spread if spread > 0 else 0.0
    return Shift(column=name, measure="standard deviations", size=float(size))


def _numbers(values: pd.Series) -> npt.NDArray[np.float64]:
    """Numbers as they are, moments as seconds since 1970; NaN where missing."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return np.asarray((values - pd.Timestamp(0, tz=values.dt.tz).as_unit("us")).dt.total_seconds(), dtype="float64")
    return values.to_numpy(dtype="float64")

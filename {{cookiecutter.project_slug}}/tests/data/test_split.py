"""Which rows train and which rows judge."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.data import clusters, labelled
from pipeline.params import Split
from pipeline.schema import Column, DataError, Schema
from pipeline.split import by_time, divide

DAYS = Schema(
    columns={
        "month": Column(type="integer", role="time"),
        "day": Column(type="integer", role="time"),
        "x": Column(type="number"),
        "y": Column(type="integer", role="target", minimum=0, maximum=1, nullable=True),
    }
)


def days(*pairs: tuple[int, int]) -> pd.DataFrame:
    """One row per (month, day), with alternating labels."""
    return pd.DataFrame(
        {
            "month": [m for m, _ in pairs],
            "day": [d for _, d in pairs],
            "x": 0.0,
            "y": [i % 2 for i in range(len(pairs))],
        }
    )


def test_the_newest_rows_are_the_test() -> None:
    """Rows are ordered by all time columns, and the last share of them becomes the test."""
    train, test = by_time(days((2, 1), (1, 2), (1, 1), (2, 2)), ["month", "day"], 0.25)
    assert train.tolist() == [2, 1, 0]
    assert test.tolist() == [3]


def test_a_day_is_never_divided() -> None:
    """Rows of one moment stay on one side, even if the test grows larger for it."""
    train, test = by_time(days((1, 1), (1, 2), (1, 2), (1, 2)), ["month", "day"], 0.25)
    assert len(train) == 1
    assert len(test) == 3


def test_a_single_moment_cannot_be_split() -> None:
    """Data of one moment is refused rather than judged by rows that trained."""
    with pytest.raises(DataError, match="do not tell enough moments apart"):
        by_time(days((1, 1), (1, 1)), ["month", "day"], 0.5)


@pytest.mark.parametrize(("labels", "part"), [([0, 1, 0, 0], "test"), ([0, 0, 0, 1, 0, 1], "train")])
def test_a_part_with_one_class_is_refused(labels: list[int], part: str) -> None:
    """A split that leaves one part with a single class is refused, with the name of the part."""
    table = days(*[(1, day) for day in range(1, len(labels) + 1)]).assign(y=labels)
    with pytest.raises(DataError, match=f"the {part} part of the split holds a single class"):
        divide(table, DAYS, Split(by="time", columns=["month", "day"], test_fraction=0.5))


def test_rows_without_a_label_are_left_out() -> None:
    """Unlabelled rows neither train nor judge."""
    table = days((1, 1), (1, 2), (1, 3), (1, 4)).astype({"y": "float64"})
    table.loc[1, "y"] = None
    assert labelled({"file": table}, DAYS)["day"].tolist() == [1, 3, 4]


def test_one_class_alone_is_refused() -> None:
    """A label that is always the same is refused by name."""
    with pytest.raises(DataError, match="label 'y' only has the class 1"):
        labelled({"file": days((1, 1), (1, 2)).assign(y=1.0)}, DAYS)


def test_a_file_with_one_class_among_mixed_files_is_refused() -> None:
    """A file whose labels are all the same, where the others make that impossible by chance, is named."""
    good = days(*[(1, d) for d in range(1, 29)] * 4)
    with pytest.raises(DataError, match="bad: the label 'y' is 0 in all of its 112 rows"):
        labelled({"good": good, "bad": good.assign(y=0)}, DAYS)


def test_a_small_file_with_one_class_is_accepted() -> None:
    """A handful of equal labels is chance, and is kept."""
    tables = {"good": days(*[(1, d) for d in range(1, 29)]), "small": days((2, 1), (2, 2)).assign(y=0)}
    assert len(labelled(tables, DAYS)) == 30


def test_rows_of_a_day_share_a_cluster() -> None:
    """Clusters number the combinations of the columns; without columns each row is its own."""
    table = days((1, 1), (1, 1), (1, 2))
    assert clusters(table, ["month", "day"]).tolist() == [0, 0, 1]
    assert clusters(table, []).tolist() == [0, 1, 2]

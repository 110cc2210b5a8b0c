"""data/raw -> data/prepared: the labelled rows, divided into those that train and those that judge."""

from __future__ import annotations

from pipeline import data
from pipeline.stages import files


def main() -> None:
    """Join the raw tables, drop the rows without a label, split as the params say."""
    schema = files.schema()
    rows = data.labelled(files.raw_tables(schema), schema)
    train, test = data.split(rows, schema, files.params().prepare.split)
    print(f"{len(train)} rows to train, {len(test)} to test")
    files.write({files.TRAIN: files.parquet(train), files.TEST: files.parquet(test)})


if __name__ == "__main__":
    files.run(main)

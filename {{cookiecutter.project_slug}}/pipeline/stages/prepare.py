"""data/raw -> data/prepared: the labelled rows, divided into those that train and those that judge."""

from __future__ import annotations

from pipeline import data, split
from pipeline.stages import files, rows


def main() -> None:
    """Join the raw tables, drop the rows without a label, split as the params say."""
    schema, params, raw = files.schema(), files.params().prepare.split, rows.Raw(files.schema())
    with rows.workplace() as folder:
        spool = rows.Spool(folder / "labelled.arrow", schema, raw)
        data.require_labels(data.joined(spool.pieces, [schema.target])[schema.target], list(raw.files), schema)
        train, test = split.places(spool.pieces, schema, params)
        print(f"{len(train)} rows to train, {len(test)} to test")
        with files.writing(files.TRAIN, files.TEST) as places:
            for place, part in zip(places, (train, test), strict=True):
                spool.write(place, part)


if __name__ == "__main__":
    files.run(main)

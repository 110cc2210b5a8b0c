"""The stages read files, write files, and leave the previous outputs alone when something is wrong."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.params import Params
from pipeline.schema import Schema
from pipeline.stages import evaluate, files, prepare, rows, train, validate
from pipeline.tasks import MEASURES
from tests.conftest import PROJECT, TASK, closed_category, make_table, numeric_feature


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, schema: Schema, params: Params) -> Path:
    """A project with two raw files, in which every stage has run."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copy(PROJECT / "project.yaml", folder)
    (folder / "schema.yaml").write_text(yaml.safe_dump(schema.model_dump(exclude_defaults=True), sort_keys=False))
    (folder / "params.yaml").write_text(yaml.safe_dump(params.model_dump()))
    (folder / files.RAW).mkdir(parents=True)
    for number in (1, 2):
        make_table(schema, rows=300, seed=number).to_parquet(folder / files.RAW / f"{number}.parquet", index=False)
    with contextlib.chdir(folder):
        run_all()
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the finished project, in which the test stands."""
    folder = shutil.copytree(finished, tmp_path / "project")
    with contextlib.chdir(folder):
        yield folder


def outputs() -> dict[Path, bytes]:
    """All that the stages have written."""
    roots = (files.TRAIN.parent, files.MODEL.parent, files.REPORTS)
    return {path: path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file()}


def set_param(project: Path, stage: str, name: str, value: object) -> None:
    """Change one of the project's params."""
    settings = yaml.safe_load((project / "params.yaml").read_text())
    settings[stage][name] = value
    (project / "params.yaml").write_text(yaml.safe_dump(settings))


def run_all() -> None:
    """Run the four stages."""
    for stage in (validate, prepare, train, evaluate):
        files.run(stage.main)


@pytest.mark.usefixtures("project")
def test_from_raw_data_to_metrics() -> None:
    """The stages turn raw files into a model and finite metrics whose intervals enclose them."""
    metrics = json.loads((files.REPORTS / "metrics.json").read_text())
    measures = MEASURES[TASK]
    for name in measures.NAMES:
        assert metrics[name]["low"] <= metrics[name]["value"] <= metrics[name]["high"]
    assert metrics[measures.DECISIVE]["value"] < metrics["baseline"][measures.DECISIVE]
    assert metrics["rows"] == len(pd.read_parquet(files.TEST))


@pytest.mark.usefixtures("project")
def test_a_second_run_writes_the_same_bytes() -> None:
    """Every output, from prepared data to plots, is the same to the byte when the inputs are."""
    first = outputs()
    run_all()
    assert outputs() == first


@pytest.mark.parametrize("by", ["time", "group", "random"])
def test_pieces_make_the_same_bytes_as_the_whole(
    project: Path, schema: Schema, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few rows are held at once, and in whatever order the files have them, the same rows train and judge."""
    ordering = numeric_feature(schema) if by == "time" else closed_category(schema)
    split = {"by": by, "columns": [] if by == "random" else [ordering], "test_fraction": 0.3, "seed": 0}
    set_param(project, "prepare", "split", split)
    set_param(project, "evaluate", "resample_by", [])
    run_all()
    whole = outputs()
    monkeypatch.setattr(rows, "PIECE_ROWS", 37)
    run_all()
    assert outputs() == whole
    monkeypatch.setattr(rows, "GROUP_ROWS", 50)
    prepare.main()
    for path in (files.TRAIN, files.TEST):
        assert pq.ParquetFile(path).num_row_groups > 1
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(io.BytesIO(whole[path])))


def test_a_mistake_in_a_long_file_is_named_with_its_rows(
    project: Path, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that is read in pieces one learns which rows do not fit."""
    path = project / files.RAW / "2.parquet"
    table = pd.read_parquet(path)
    column = table.columns.get_loc(closed_category(schema))
    table.iloc[250, column] = "??"
    table.to_parquet(path, index=False)
    monkeypatch.setattr(rows, "PIECE_ROWS", 100)
    with pytest.raises(SystemExit, match=re.escape("error: data/raw/2.parquet: rows 201 to 300: column ")):
        files.run(validate.main)


def broken_file(path: Path) -> None:
    """Bytes that are no Parquet file."""
    path.write_bytes(b"PAR1 but not really")


def empty_file(path: Path) -> None:
    """No bytes at all."""
    path.write_bytes(b"")


def cut_file(path: Path) -> None:
    """The first half of a Parquet file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def changed(change: Callable[[pd.DataFrame, Schema], pd.DataFrame]) -> Callable[[Path], None]:
    """A Parquet file whose table was changed."""

    def spoil(path: Path) -> None:
        change(pd.read_parquet(path), files.schema()).to_parquet(path, index=False)

    return spoil


def repeated_column(path: Path) -> None:
    """A column that stands in the file twice."""
    table = pq.read_table(path)
    name = table.column_names[0]
    pq.write_table(pa.table([*table.columns, table[name]], names=[*table.column_names, name]), path)


BAD_FILES = {
    "broken": (broken_file, "no readable Parquet file"),
    "empty": (empty_file, "the file is empty"),
    "cut": (cut_file, "no readable Parquet file"),
    "repeated column": (repeated_column, "more than once"),
    "renamed column": (changed(lambda t, s: t.rename(columns={numeric_feature(s): "x"})), "is missing"),
    "text": (changed(lambda t, s: t.assign(**{numeric_feature(s): "many"})), "should hold numbers, but has 'many'"),
    "category": (changed(lambda t, s: t.assign(**{closed_category(s): "??"})), "does not list"),
    "one label": (changed(lambda t, s: t.assign(**{s.target: t[s.target].iloc[0]})), "in all of its 300 rows"),
    "no label": (changed(lambda t, s: t.assign(**{s.target: float("nan")})), "is empty in"),
    "lists": (changed(lambda t, s: t.assign(**{closed_category(s): [[1, 2]] * len(t)})), "should hold text, but has"),
    "no rows": (changed(lambda t, s: t.iloc[:0]), "no rows"),
}


@pytest.mark.parametrize("bad", BAD_FILES)
def test_bad_data_stops_before_anything_is_written(project: Path, bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad file ends in one sentence that names it, in an exit code, and in untouched outputs."""
    before = outputs()
    spoil, reason = BAD_FILES[bad]
    spoil(project / files.RAW / "2.parquet")
    with pytest.raises(SystemExit) as stopped:
        files.run(validate.main)
    message = str(stopped.value.code)
    assert message.startswith("error: data/raw/2.parquet: ")
    assert reason in message
    assert "\n" not in message
    assert outputs() == before
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.usefixtures("project")
def test_no_data_at_all_is_said() -> None:
    """An empty data folder says how to get the data."""
    shutil.rmtree(files.RAW)
    with pytest.raises(SystemExit, match="make pull"):
        files.run(validate.main)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("prepare: {", "params.yaml is not valid YAML"),
        ("prepare: {split: {by: time, columns: [a], test_fraction: 2}}", "prepare.split.test_fraction"),
        ("", "prepare: Field required"),
        ("train: {sead: 1}", "train.sead|prepare: Field required"),
    ],
)
def test_bad_params_name_the_setting(project: Path, text: str, reason: str) -> None:
    """A mistake in params.yaml is named by file and setting."""
    (project / "params.yaml").write_text(text)
    with pytest.raises(SystemExit, match=reason):
        files.run(validate.main)


@pytest.mark.parametrize("kind", ["nullable", "category"])
def test_a_column_that_cannot_order_rows_is_refused(project: Path, schema: Schema, kind: str) -> None:
    """A column that may be empty, or is no number, cannot split the rows by time: some would be lost."""
    column = next(n for n, c in schema.columns.items() if (c.nullable if kind == "nullable" else c.type == kind))
    split = {"by": "time", "columns": [column], "test_fraction": 0.25}
    set_param(project, "prepare", "split", split)
    with pytest.raises(SystemExit, match="cannot order rows by time"):
        files.run(validate.main)


def test_an_index_of_pandas_is_a_column_like_any_other(project: Path, schema: Schema) -> None:
    """A file that pandas saved with an index has all of its columns."""
    path = project / files.RAW / "2.parquet"
    pd.read_parquet(path).set_index(closed_category(schema)).to_parquet(path)
    files.run(validate.main)


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_lost_model_is_told(project: Path, damage: str) -> None:
    """Evaluating without a whole model.json ends in a sentence that says what makes it."""
    facts = project / files.MODEL_FACTS
    facts.unlink() if damage == "missing" else facts.write_text("{}")
    with pytest.raises(SystemExit, match="`make repro` makes it"):
        files.run(evaluate.main)


@pytest.mark.parametrize("setting", ["slices", "resample_by"])
def test_a_column_that_does_not_exist_is_found_before_training(project: Path, setting: str) -> None:
    """A typing error in a column's name, wherever params.yaml names one, stops the validation."""
    set_param(project, "evaluate", setting, ["colour"])
    with pytest.raises(SystemExit, match=rf"evaluate\.{setting} names the column 'colour', which schema.yaml lacks"):
        files.run(validate.main)


def test_too_few_clusters_are_refused(project: Path) -> None:
    """Intervals from a handful of clusters would claim to know what they do not, so they are refused."""
    (project / "schema.yaml").write_text(
        (project / "schema.yaml").read_text().replace("columns:", "columns:\n  block: {type: integer, role: time}", 1)
    )
    for path in (project / files.RAW).iterdir():
        pd.read_parquet(path).assign(block=1).to_parquet(path, index=False)
    set_param(project, "evaluate", "resample_by", ["block"])
    with pytest.raises(SystemExit, match="tells only 1 groups of test rows apart"):
        files.run(validate.main)


def test_a_file_of_another_kind_is_not_passed_over(project: Path) -> None:
    """A file in data/raw that is no Parquet file is refused by name, not ignored."""
    (project / files.RAW / "3.csv").write_text("a,b")
    with pytest.raises(SystemExit, match=r"data/raw/3\.csv: only Parquet files are read"):
        files.run(validate.main)


@pytest.mark.usefixtures("project")
def test_an_estimator_of_untrusted_types_fails_in_training() -> None:
    """A model that the service would refuse to load is refused when it is trained, and the old one stays."""
    before = outputs()
    settings = yaml.safe_load(Path("project.yaml").read_text()) | {"trusted_types": []}
    Path("project.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(SystemExit, match=r"project\.yaml does not trust"):
        files.run(train.main)
    assert outputs() == before

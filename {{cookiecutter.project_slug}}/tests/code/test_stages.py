"""The stages read files, write files, and leave the previous outputs alone when something is wrong."""

from __future__ import annotations

import contextlib
import json
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
from pipeline.stages import evaluate, files, prepare, train, validate
from tests.conftest import PROJECT, closed_category, make_table, numeric_feature


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, schema: Schema, params: Params) -> Path:
    """A project with two raw files, in which every stage has run."""
    folder = tmp_path_factory.mktemp("finished")
    for name in ("schema.yaml", "project.yaml"):
        shutil.copy(PROJECT / name, folder)
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


def run_all() -> None:
    """Run the four stages."""
    for stage in (validate, prepare, train, evaluate):
        files.run(stage.main)


@pytest.mark.usefixtures("project")
def test_from_raw_data_to_metrics() -> None:
    """The stages turn raw files into a model and finite metrics whose intervals enclose them."""
    metrics = json.loads((files.REPORTS / "metrics.json").read_text())
    assert metrics["roc_auc"]["low"] <= metrics["roc_auc"]["value"] <= metrics["roc_auc"]["high"]
    assert metrics["brier"]["value"] < metrics["baseline"]["brier"]
    assert metrics["rows"] == len(pd.read_parquet(files.TEST))


@pytest.mark.usefixtures("project")
def test_a_second_run_writes_the_same_bytes() -> None:
    """Every output, from prepared data to plots, is the same to the byte when the inputs are."""
    first = outputs()
    run_all()
    assert outputs() == first


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
    "one label": (changed(lambda t, s: t.assign(**{s.target: 0})), "in all of its 300 rows"),
    "no label": (changed(lambda t, s: t.assign(**{s.target: float("nan")})), "empty in every row"),
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
        ("train: {sead: 1}", "train.sead|prepare: Field required"),
    ],
)
def test_bad_params_name_the_setting(project: Path, text: str, reason: str) -> None:
    """A mistake in params.yaml is named by file and setting."""
    (project / "params.yaml").write_text(text)
    with pytest.raises(SystemExit, match=reason):
        files.run(validate.main)


@pytest.mark.usefixtures("project")
def test_an_estimator_of_untrusted_types_fails_in_training() -> None:
    """A model that the service would refuse to load is refused when it is trained, and the old one stays."""
    before = outputs()
    Path("project.yaml").write_text("trusted_types: []\n")
    with pytest.raises(SystemExit, match=r"project\.yaml does not trust"):
        files.run(train.main)
    assert outputs() == before

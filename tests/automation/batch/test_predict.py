"""Many rows are scored as the release's Pipeline says, whatever form they have; nothing is lost or done twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gitops_ml.batch import columns, look, run
from gitops_ml.core import record, signing
from gitops_ml.core.errors import UserError
from gitops_ml.predictions import stored
from gitops_serving.fast.known import UnknownError
from gitops_serving.fast.masks import Encoded, Masks
from gitops_serving.fast.sums import Boosting
from gitops_serving.fast.trees import histogram_boosting, histogram_trees
from sklearn.ensemble import HistGradientBoostingRegressor

from tests.automation.batch import bento
from tests.automation.world import World, environments

ON = "local:1"


@pytest.fixture(scope="module")
def fitted() -> bento.Fitted:
    return bento.fitted()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One environment."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("batch")
        patch.setenv(signing.FOLDER_VARIABLE, str(folder / "keys"))
        made = World(folder / "world", environments("production"))
        made.bootstrap()
        yield made
        made.close()


@pytest.fixture(scope="module")
def release(world: World, fitted: bento.Fitted) -> record.Release:
    """What production serves."""
    return fitted.serve(world)


def test_every_form_is_scored_as_the_pipeline_does(
    world: World, release: record.Release, fitted: bento.Fitted, tmp_path: Path
) -> None:
    """CSV, zipped or not, JSON Lines and Parquet get an output each, to the bit, in their order, with key and time."""
    table, names = bento.rows(1200), ("a.csv", "b.csv.gz", "deep/c.jsonl", "d.parquet")
    for name in names:
        bento.write(table, tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no rows")
    done = run.predict(world.root, str(tmp_path / "in"), str(tmp_path / "out"), on=ON)
    assert (done.release, done.rows, done.rejected, done.scored) == (release.release, 4800, 0, 4)
    assert (done.left_out, done.notes) == (["notes.txt"], [])
    truth = fitted.truth(table)
    for name in names:
        said = pq.read_table(tmp_path / "out" / f"{name.removesuffix('.parquet')}.parquet")
        assert said.column("score").to_numpy().tobytes() == truth.tobytes()
        assert said.column("row").to_pylist() == list(range(1, 1201))
        assert said.column("id").to_pylist() == table["id"].tolist()
        assert said.column("day").to_pylist() == table["day"].dt.to_pydatetime().tolist()
        assert said.column("decision").to_pylist() == ["act" if score > 1 / 3 else "wait" for score in truth]
        assert said.schema.metadata[b"gitops-ml.release"].decode() == release.release
        assert said.schema.metadata[b"gitops-ml.model"].decode() == release.model
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [each["input"] for each in manifest["outputs"]] == sorted(names)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        ["a.csv.parquet", "b.csv.gz.parquet", "deep", "d.parquet", "manifest.json"]
    )


NO_OBJECT = "the line is no JSON object, or has a name twice"


def test_rows_that_do_not_fit_stand_beside_with_the_reason(
    world: World, release: record.Release, fitted: bento.Fitted, tmp_path: Path
) -> None:
    """Each bad row is named with its number and what is wrong; values of personal columns are not shown."""
    table = bento.rows(300).astype(object)
    faults = {
        3: ("x", "abc", "x is no number: 'abc'"),
        5: ("x", 11, "x is above 10: '11.0'"),
        7: ("n", "1.5", "n is no whole number: '1.5'"),
        11: ("few", "zz", "few is none that the schema lists: 'zz'"),
        13: ("many", None, "many is empty"),
        17: ("secret", "w", "secret is none that the schema lists"),
        19: ("when", "31/12/2024", "when is no date: '31/12/2024'"),
        23: ("yes", "maybe", "yes is no true or false: 'maybe'"),
        29: ("gap", "inf", "gap is"),
    }
    for row, (name, value, _) in faults.items():
        table.loc[row, name] = value
    lines = bento.write(table, tmp_path / "rows.csv").read_text().splitlines()
    lines[42] += ",one,more"
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    table.to_json(tmp_path / "rows.jsonl", orient="records", lines=True, date_format="iso", date_unit="us")
    (tmp_path / "rows.jsonl").write_text((tmp_path / "rows.jsonl").read_text() + 'no object\n{"x": 1, "x": 2}\n')
    expected = {row + 1: said for row, (name, _, said) in faults.items() if name != "gap"}
    for name, extra in (
        ("rows.csv", {30: "gap is infinite", 42: "the row has other than 10 values"}),
        (
            "rows.jsonl",
            {
                30: "gap is no number: 'inf'",
            }
            | dict.fromkeys((301, 302), NO_OBJECT),
        ),
    ):
        run.predict(world.root, str(tmp_path / name), str(tmp_path / "out" / name), on=ON)
        beside = pq.read_table(tmp_path / "out" / name / f"{name}.rejected.parquet").to_pylist()
        assert {each["row"]: each["reason"] for each in beside} == expected | extra
        said = pq.read_table(tmp_path / "out" / name / f"{name}.parquet")
        kept = [row - 1 for row in said.column("row").to_pylist()]
        assert sorted({*kept, *(row - 1 for row in expected | extra if row <= 300)}) == list(range(300))
        assert said.column("score").to_numpy().tobytes() == fitted.truth(bento.rows(300).iloc[kept]).tobytes()


def test_too_many_bad_rows_stop_the_job(world: World, release: record.Release, tmp_path: Path) -> None:
    """Beyond the share that project.yaml allows nothing is put out, and one of the rows is named."""
    table = bento.rows(100)
    table.loc[:5, "n"] = 99
    bento.write(table, tmp_path / "rows.csv")
    with pytest.raises(
        run.TooManyError, match=r"^6 of 100 rows do not fit .* allows 5\.0%: in rows\.csv, n is above 50: '99'; mend"
    ):
        run.predict(world.root, str(tmp_path / "rows.csv"), str(tmp_path / "out"), on=ON)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_what_is_there_is_kept_and_what_is_damaged_is_made_anew(
    world: World, release: record.Release, tmp_path: Path
) -> None:
    """A second run scores only an input that changed and an output that is no whole file; the bytes are the same."""
    for name in ("a", "b", "c"):
        bento.write(bento.rows(50, seed=ord(name)), tmp_path / "in" / f"{name}.csv")
    where, out = str(tmp_path / "in" / "*.csv"), tmp_path / "out"
    run.predict(world.root, where, str(out), on=ON)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "a.csv.parquet").write_bytes(before["a.csv.parquet"][:-100])
    bento.write(bento.rows(60, seed=0), tmp_path / "in" / "b.csv")
    done = run.predict(world.root, where, str(out), on=ON)
    assert (done.scored, done.kept, done.rows) == (2, 1, 160)
    assert (out / "a.csv.parquet").read_bytes() == before["a.csv.parquet"]
    assert pq.read_metadata(out / "b.csv.parquet").num_rows == 60


def test_what_another_release_said_is_not_replaced(
    world: World, release: record.Release, fitted: bento.Fitted, tmp_path: Path
) -> None:
    """Any release can score by name, and a folder belongs to one of them."""
    other = world.release("another model", archive=fitted.archive())
    rows = str(bento.write(bento.rows(20), tmp_path / "rows.csv"))
    assert run.predict(world.root, rows, str(tmp_path / "out"), other.short, ON).release == other.release
    with pytest.raises(UserError, match=f"has what {other.release} said: choose another folder, or remove that one"):
        run.predict(world.root, rows, str(tmp_path / "out"), on=ON)


def test_what_is_said_is_marked_and_kept_apart(world: World, release: record.Release, tmp_path: Path) -> None:
    """A sample goes where batches are watched, without personal values; of what the service says nothing changes."""
    settings = world.root / "project.yaml"
    before = settings.read_text()
    settings.write_text(before + "\nbatch: {sample: 0.5}\n")
    try:
        run.predict(world.root, str(bento.write(bento.rows(400), tmp_path / "r.csv")), str(tmp_path / "out"), on=ON)
    finally:
        settings.write_text(before)
    store = str(world.root / ".deploy/predictions/production")
    answers = pd.concat([stored.file(store, path) for path in stored.names(store, "batch", stored.ANSWERS)])
    assert 150 < len(answers) < 250
    assert set(answers["source"]) == {"batch"}
    assert set(answers["release"]) == {release.release}
    assert "input.x" in answers
    assert "input.secret" not in answers
    assert stored.names(store, stored.ANSWERS) == []


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "id,x\n1,2\n", "a.csv: it has no column 'n', which the model needs"),
        ("a.csv", "x,x,n,gap,yes,few,many,when,secret\n", "a.csv: the column 'x' stands in it more than once"),
        ("a.parquet", "no Parquet", "a.parquet: this is no readable Parquet file"),
        ("a.txt", "x", "CSV, JSON Lines and Parquet are read, by the names .csv, .jsonl and .parquet"),
        (".", "", "lies in .*, so that outputs would be scored, too: choose another folder"),
        ("b.csv", None, "there is nothing in"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(
    world: World, tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    """A file that cannot be read, or lacks a column, is named with what it lacks."""
    if content:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=said):
        run.predict(world.root, str(tmp_path / name), str(tmp_path / "out"), on=ON)


def test_a_release_that_cannot_score_batches_is_named(world: World, fitted: bento.Fitted, tmp_path: Path) -> None:
    """A release whose own pipeline is older than batches is refused by its name, before anything is read."""
    made = world.release("older", archive=fitted.archive(lacking="src/pipeline/trend.py"))
    bento.write(bento.rows(3), tmp_path / "rows.csv")
    with pytest.raises(UserError, match=rf"{made.release} was made before batches could be scored"):
        run.predict(world.root, str(tmp_path / "rows.csv"), str(tmp_path / "out"), made.release, on=ON)


def test_rows_may_hold_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is cut between records only, however many ends of lines stand within quotation marks."""
    monkeypatch.setattr(look, "BLOCK_BYTES", 64)
    table = pd.DataFrame({"a": ['say "no"\nor yes', "x" * 30, "\n\n\n", '"'] * 20, "b": range(80)})
    content = table.to_csv(index=False, header=False).encode()
    found = list(look.blocks(pa.BufferReader(content), quoted=True))
    assert b"".join(found) == content
    assert len(found) > 10
    assert sum(len(pd.read_csv(pa.BufferReader(each), header=None)) for each in found) == 80


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks(task: str) -> None:
    """Of more classes and of values, trees that are looked at all at once say what the Pipeline says."""
    made = bento.fitted(task)
    scorer = columns.Columnar(made.pipeline, made.schema)
    table = bento.rows(500, seed=3)
    rows = pa.table({name: pa.array(table[name], columns.arrow(each)) for name, each in made.schema.features.items()})
    assert (scorer.way, scorer.reason) == ("trees", "")
    assert scorer.score(rows).tobytes() == np.ascontiguousarray(made.truth(table)).tobytes()
    proven = columns.Columnar(made.pipeline, made.schema, "pipeline")
    assert (proven.way, proven.reason) == ("pipeline", "the release was proven by no faster one")


@pytest.mark.parametrize(
    ("arguments", "way"),
    [
        ({"max_iter": 40, "max_leaf_nodes": 2}, "trees"),
        ({"max_iter": 40, "max_leaf_nodes": 32, "min_samples_leaf": 1}, "trees"),
        ({"max_iter": 3, "max_leaf_nodes": 64, "min_samples_leaf": 1}, "trees"),
        ({"max_iter": 3, "max_leaf_nodes": 65, "min_samples_leaf": 1}, "columns"),
        ({"max_iter": 3, "min_samples_leaf": 400}, "trees"),
    ],
)
def test_trees_of_every_size(arguments: dict[str, int], way: str) -> None:
    """Trees of one leaf and of many are looked at all at once, as far as a mask has bits; scores are the Pipeline's."""
    made = bento.fitted("regression", f"{bento.BOOSTING}Regressor", **arguments)
    leaves = [int(each.nodes["is_leaf"].sum()) for step in made.pipeline[-1]._predictors for each in step]
    assert max(leaves) == arguments.get("max_leaf_nodes", 1)
    scorer = columns.Columnar(made.pipeline, made.schema)
    table = bento.rows(5000, seed=4)
    rows = pa.table({name: pa.array(table[name], columns.arrow(each)) for name, each in made.schema.features.items()})
    assert (scorer.way, scorer.reason) == (way, "")
    assert scorer.score(rows).tobytes() == np.ascontiguousarray(made.truth(table)).tobytes()


def test_masks_that_would_fill_the_memory_are_not_made(fitted: bento.Fitted) -> None:
    """A model of very many trees is left to its own predict."""
    with pytest.raises(UnknownError, match="a model of so many trees"):
        Masks(histogram_trees(fitted.pipeline[-1]), 10, most_bytes=1000)


def test_values_at_thresholds_beyond_all_and_missing() -> None:
    """Numbers at a threshold and beside it, infinite and missing ones go scikit-learn's way, in a batch and alone."""
    chance = np.random.default_rng(0)
    known = chance.normal(size=(2000, 3)).round(1)
    known[chance.random(known.shape) < 0.3] = np.nan
    # What is missing tells more than any number, so that a threshold of a tree is infinite.
    wanted = np.isnan(known[:, 0]) * 3 + np.nan_to_num(known[:, 1])
    fitted = HistGradientBoostingRegressor(max_iter=20).fit(known, wanted)
    nodes = np.concatenate([each.nodes for step in fitted._predictors for each in step])
    thresholds = np.unique(nodes["num_threshold"][nodes["is_leaf"] == 0])
    assert np.isinf(thresholds).any()
    near = [np.nextafter(thresholds, -np.inf), thresholds, np.nextafter(thresholds, np.inf), [-np.inf, np.inf, np.nan]]
    rows = chance.choice(np.concatenate(near), size=(9000, 3))
    distinct, places = np.unique(rows[:, 2], return_inverse=True)
    parts = [Encoded(rows[:, :2]), Encoded(distinct[:, None], places)]
    trees, truth = histogram_boosting(fitted), fitted.predict(rows)
    assert isinstance(trees, Boosting)
    assert trees.of_parts(parts).tobytes() == truth.tobytes()
    assert [trees.one(row) for row in rows.tolist()] == truth.tolist()

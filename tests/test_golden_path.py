"""The pipeline of a generated project, run by DVC on the real data."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from ci.shell import CommandError, run
from tests.conftest import SLUG, april, clone, gitops, make, tool

pytestmark = pytest.mark.xdist_group("golden path")


def outputs(project: Path) -> dict[str, bytes]:
    """All that the stages have written."""
    folders = [project / name for name in ("data/prepared", "models", "reports")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in files}


def ran(output: str) -> list[str]:
    """The stages that DVC ran, by what it printed."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def test_the_project_runs_in_place(trained: Path, template: Path, tmp_path: Path) -> None:
    """Unbaked, in the template's own folder, the project's types are checked and its tests pass."""
    # In a copy, since the tools leave their caches, and others bake from the template as it is.
    place = shutil.copytree(template, tmp_path / "template") / SLUG
    (place / ".venv").symlink_to(trained / ".venv")
    assert "Success" in tool(place, "mypy").stdout
    assert " passed" in tool(place, "pytest", "-p", "no:cacheprovider", "tests/data", "tests/code").stdout


def test_changing_nothing_does_nothing(trained: Path) -> None:
    """A second `dvc repro` runs no stage and leaves Git clean."""
    assert "Data and pipelines are up to date." in tool(trained, "dvc", "repro").stdout
    assert run("git", "status", "--porcelain", cwd=trained) == ""


def test_the_model_beats_the_trivial_baseline(trained: Path) -> None:
    """On the real flights every metric is better than that of the constant prediction, over its whole interval."""
    metrics = json.loads((trained / "reports/metrics.json").read_text())
    assert metrics["roc_auc"]["low"] > 0.6
    for name in ("log_loss", "brier"):
        assert metrics[name]["value"] < metrics["baseline"][name]


def test_the_data_is_not_in_git(trained: Path) -> None:
    """Git holds pointers and hashes; data, models and reports are under DVC."""
    tracked = run("git", "ls-files", cwd=trained).split()
    assert {"data/raw.dvc", "dvc.lock"} <= set(tracked)
    assert not [name for name in tracked if name.endswith((".parquet", ".skops", "metrics.json"))]


def test_a_clone_pulls_what_the_lock_names(trained: Path, colleague: Path) -> None:
    """A fresh clone gets the data and every output from the storage, byte for byte, and has nothing to run."""
    assert outputs(colleague) == outputs(trained)
    assert "Data and pipelines are up to date." in make("repro", cwd=colleague)


def test_a_clone_without_outputs_has_nothing_to_run(trained: Path, tmp_path: Path) -> None:
    """A fresh clone in which nothing changed runs no stage and needs no data for that; packaging says what it lacks."""
    project = clone(trained, tmp_path / "clone")
    assert ran(make("repro", cwd=project)) == []
    with pytest.raises(CommandError, match="`make pull` gets what is missing"):
        gitops("model", "package", cwd=project)


def test_a_card_is_no_change(colleague: Path) -> None:
    """What commands write for people to look at is nothing that Git asks to commit, and so no reason not to release."""
    gitops("model", "card", cwd=colleague)
    assert run("git", "status", "--porcelain", cwd=colleague) == ""


def test_an_edit_of_the_vendored_package_stops_a_commit(colleague: Path) -> None:
    """The hook fails and names the file; whoever must can say so, and `repo vendored` goes on telling."""
    path = "vendor/gitops-ml/gitops_ml/gate/worth.py"
    with (colleague / path).open("a") as file:
        file.write("# ours\n")
    run("git", "add", path, cwd=colleague)
    stopped = tool(colleague, "pre-commit", "run", "vendored", check=False)
    assert stopped.returncode == 1
    assert f"{path} was edited; an update of the project will replace it" in stopped.stdout
    assert "in an emergency, SKIP=vendored lets a commit pass" in stopped.stdout
    assert tool(colleague, "pre-commit", "run", "vendored", env={"SKIP": "vendored"}).returncode == 0
    assert tool(colleague, "gitops-ml", "repo", "vendored", check=False).returncode == 3


def test_a_lost_storage_is_an_error(trained: Path, tmp_path: Path) -> None:
    """`make pull` fails if the storage does not hold what the lock names."""
    project = clone(trained, tmp_path / "clone")
    tool(project, "dvc", "remote", "modify", "--local", "storage", "url", str(tmp_path / "nowhere"))
    with pytest.raises(CommandError):
        make("pull", cwd=project)


def test_a_schema_that_the_model_does_not_know_is_not_packaged(colleague: Path) -> None:
    """A schema that was changed after training is refused, so that no release joins it with the old model."""
    schema = colleague / "schema.yaml"
    schema.write_text(schema.read_text().replace("maximum: 900", "maximum: 901"))
    with pytest.raises(CommandError, match=r"schema\.yaml is not the one that dvc\.lock names"):
        gitops("model", "package", cwd=colleague)


def test_a_lost_lock_restores_and_does_not_retrain(trained: Path, tmp_path: Path) -> None:
    """Without dvc.lock the run cache in the storage still knows the results: only the validation looks again."""
    project = clone(trained, tmp_path / "clone")
    (project / "dvc.lock").unlink()
    assert ran(make("repro", cwd=project)) == ["validate"]
    assert outputs(project) == outputs(trained)
    told = json.loads((project / "build/repro.json").read_text())
    restored = ["prepare", "train", "evaluate"]
    assert [name for name, each in told["stages"].items() if each["state"] == "restored"] == restored
    assert told["brought"]["octets"] > sum(path.stat().st_size for path in (project / "data/prepared").iterdir())
    assert told["computed"] == {"files": 1, "octets": (project / "reports/data.json").stat().st_size}


def test_training_again_gives_the_same_bytes(trained: Path, colleague: Path) -> None:
    """Computed anew in a second clone, without any cache, every output is the same to the byte."""
    shutil.rmtree(colleague / ".dvc" / "cache")
    for folder in ("data/prepared", "models", "reports"):
        shutil.rmtree(colleague / folder)
    computed = tool(colleague, "dvc", "repro", "--force", "--no-run-cache").stdout
    assert ran(computed) == ["validate", "prepare", "train", "evaluate"]
    assert outputs(colleague) == outputs(trained)
    assert run("git", "status", "--porcelain", cwd=colleague) == ""


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        (("evaluate", "slice_minimum", 300), ["evaluate"]),
        (("train", "estimator", {"path": "sklearn.linear_model.LogisticRegression"}), ["train", "evaluate"]),
    ],
    ids=["evaluate", "train"],
)
def test_a_changed_parameter_reruns_what_depends_on_it(
    colleague: Path, change: tuple[str, str, object], stages: list[str]
) -> None:
    """A change in one stage's params runs that stage and those after it, and no other."""
    stage, name, value = change
    params = yaml.safe_load((colleague / "params.yaml").read_text())
    params[stage][name] = value
    (colleague / "params.yaml").write_text(yaml.safe_dump(params))
    assert ran(make("repro", cwd=colleague)) == stages


@pytest.mark.parametrize(("package", "trains"), [("ruff", False), ("scikit-learn", True)])
def test_only_a_package_that_trains_asks_for_training(colleague: Path, package: str, trains: bool) -> None:
    """After an update of a tool dvc.lock holds; after one of a package that trains it does not, and both are told."""
    lock = colleague / "uv.lock"
    text, count = re.subn(rf'(name = "{package}"\nversion = )"[^"]+"', r'\1"9.9.9"', lock.read_text(), count=1)
    assert count == 1
    lock.write_text(text)
    # This version was never published.
    env = {"UV_SKIP_WHEEL_FILENAME_CHECK": "1"}
    gitops("lock", "export", cwd=colleague, env=env)
    held = tool(colleague, "gitops-ml", "lock", "verify", env=env, check=False)
    assert held.returncode == trains
    assert ("requirements/train.txt changed since validate was run" in held.stderr) == trains
    if not trains:
        gitops("model", "report", "--base", "HEAD", cwd=colleague, env=env)
        written = json.loads((colleague / "build/report/report.json").read_text())
        assert [(each["name"], each["use"]) for each in written["packages"]] == [(package, "a tool")]
        assert not written["changed"]


def test_two_revisions_can_be_compared(trained: Path, colleague: Path) -> None:
    """`dvc metrics diff` and `dvc plots diff` show another model beside the committed one."""
    params = (colleague / "params.yaml").read_text()
    (colleague / "params.yaml").write_text(params.replace("max_iter: 150", "max_iter: 20"))
    make("repro", cwd=colleague)
    metrics = json.loads(tool(colleague, "dvc", "metrics", "diff", "--json").stdout)["reports/metrics.json"]
    assert metrics["roc_auc.value"]["diff"] != 0
    plots = json.loads(tool(colleague, "dvc", "plots", "diff", "HEAD", "--json").stdout)["data"]
    for name in ("ROC", "Precision and recall", "Calibration", "Importance"):
        assert {revision for entry in plots[name] for revision in entry["revisions"]} == {"HEAD", "workspace"}, name


def test_a_new_month_is_reported_and_trains(colleague: Path) -> None:
    """April, once it is said to be data, brings an airport that the schema does not list: it is told and trained on."""
    april(colleague)
    with pytest.raises(CommandError, match=r"data/raw is not what data/raw\.dvc names"):
        make("repro", cwd=colleague)
    tool(colleague, "dvc", "add", "data/raw")
    said = make("repro", cwd=colleague)
    assert "2013-04.parquet: column 'dest' has values new to the schema: {'ABQ': " in said
    report = json.loads((colleague / "reports/data.json").read_text())
    assert list(report["data/raw/2013-04.parquet"]["new_values"]) == ["dest"]


def replaced(name: str, values: Callable[[pa.ChunkedArray], object]) -> Callable[[Path], None]:
    """A spoiler that gives one column other values."""

    def spoil(path: Path) -> None:
        table = pq.read_table(path)
        pq.write_table(table.set_column(table.column_names.index(name), name, pa.array(values(table[name]))), path)

    return spoil


def renamed(path: Path) -> None:
    """A spoiler that renames a column."""
    table = pq.read_table(path)
    pq.write_table(table.rename_columns({"carrier": "airline"}), path)


def doubled(path: Path) -> None:
    """A spoiler that writes a column twice."""
    table = pq.read_table(path)
    pq.write_table(pa.table([*table.columns, table["dest"]], names=[*table.column_names, "dest"]), path)


BAD = {
    "corrupt": (lambda path: path.write_bytes(path.read_bytes()[:-1000]), "no readable Parquet file"),
    "renamed column": (renamed, "column 'carrier' is missing; column 'airline' is not in the schema"),
    "string in a number": (
        replaced("distance", lambda values: [str(value) for value in values.to_pylist()]),
        "column 'distance' should hold numbers",
    ),
    "one class": (replaced("late", lambda values: [0] * len(values)), "is 0 in all of its 24951 rows"),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "doubled column": (doubled, "column 'dest' stands in the table more than once"),
}


@pytest.fixture(scope="module")
def victim(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One clone for all bad files: each test must leave it as it was, or the next one would notice."""
    project = clone(trained, tmp_path_factory.mktemp("victim") / "clone")
    make("pull", cwd=project)
    return project


@pytest.mark.parametrize("bad", BAD)
def test_bad_data_stops_at_validation(victim: Path, bad: str) -> None:
    """A bad file stops the pipeline with one sentence and an exit code; every previous output stays as it was."""
    before = outputs(victim)
    spoil, sentence = BAD[bad]
    raw = victim / "data/raw/2013-02.parquet"
    sound = raw.read_bytes()
    spoil(raw)
    tool(victim, "dvc", "add", "data/raw")
    with pytest.raises(CommandError) as stopped:
        make("repro", cwd=victim)
    raw.write_bytes(sound)
    tool(victim, "dvc", "add", "data/raw")
    errors = [line for line in str(stopped.value).splitlines() if line.startswith("error: ")]
    assert errors[0].startswith("error: data/raw/2013-02.parquet: ")
    assert errors[1:] == ["error: the pipeline stopped; the reason stands above, and `make repro` goes on from there"]
    assert sentence in errors[0]
    assert "Traceback" not in str(stopped.value)
    assert outputs(victim) == before

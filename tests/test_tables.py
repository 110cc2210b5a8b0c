"""Real tables, as files that somebody might bring, go the whole way to a served prediction with no edit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from gitops_ml.core import project as project_settings
from gitops_ml.gate import judge
from gitops_ml.intake import bring as intake
from gitops_ml.versions import requirements
from gitops_ml.versions.revision import Revision
from gitops_serving.contract import requests, to_answers, values
from gitops_serving.fast.compiler import to_table
from pipeline import data, model, persistence
from pipeline.schema import Schema
from pipeline.stages import evaluate, files, prepare, rows, train, validate

from ci.bake import bake
from ci.shell import CommandError, run
from ci.tables import TESTED, Table
from tests.conftest import clone, gitops, make, tool
from tests.test_service import serving

# One of each task, with texts, dates and gaps among them, goes the whole way; the others in one process.
SERVED = ("weather.csv", "cars.jsonl", "penguins-raw.csv")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Path:
    """A project that was set up and committed."""
    project = bake({}, tmp_path_factory.mktemp("ready"))
    (project / ".venv").symlink_to(installed)
    make("init", cwd=project)
    return project


def bring(project: Path, name: str) -> str:
    """Write the file and bring it."""
    table = TESTED[name]
    file = project.parent / name
    file.write_bytes(table.content())
    return make("data", f"FILE={file}", f"TARGET={table.target}", *table.said, cwd=project)


def rows_that_judge(schema: Schema) -> pd.DataFrame:
    """The first rows that judge the model of the working directory, as the pipeline scores them."""
    return data.features(rows.prepared(files.TEST, schema), schema).head(50)


def sent(table: pd.DataFrame, schema: Schema) -> list[dict[str, Any]]:
    """Rows as a caller sends them."""
    as_json: dict[str, Callable[[Any], Any]] = {
        "integer": int, "boolean": bool, "number": float, "datetime": lambda moment: moment.isoformat()
    }  # fmt: skip
    types = {name: as_json.get(column.type, str) for name, column in schema.features.items()}
    return [
        {str(name): None if pd.isna(value) else types[str(name)](value) for name, value in row.items()}
        for row in table.astype(object).to_dict("records")
    ]


def expected() -> list[Any]:
    """What the fitted Pipeline of the working directory says of the rows that judge it."""
    fitted = persistence.load(*files.model_file(), files.trusted_types())
    found: list[Any] = model.score(fitted, rows_that_judge(files.schema())).tolist()
    return found


def require_better_than_trivial(table: Table) -> None:
    """The model of the working directory beats the trivial one."""
    metrics = json.loads(Path("reports/metrics.json").read_text())
    metric = "rmse" if table.task == "regression" else "log_loss"
    assert metrics[metric]["value"] < metrics["baseline"][metric]


@pytest.mark.parametrize("name", SERVED)
def test_a_table_goes_from_file_to_served_prediction(
    ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """From `make data` to `make serve`: the model beats the trivial one and is served to the last bit."""
    table = TESTED[name]
    project = clone(ready, tmp_path / "clone")
    monkeypatch.chdir(project)
    assert f"a {table.task}" in bring(project, name)
    make("repro", cwd=project)
    run("git", "commit", "--quiet", "--all", "--message", "My own table", cwd=project)
    require_better_than_trivial(table)
    with serving(project, tmp_path / "log") as server:
        asked = sent(rows_that_judge(files.schema()), files.schema())
        answer = server.client.post("/predict_batch", json={"rows": asked}).json()
        assert scores(answer, table.task) == expected()
        example = server.client.get("/docs.json").json()["components"]["schemas"]["Row"]["example"]
        assert server.client.post("/predict", json={"row": example}).is_success
    judged = tool(project, "gitops-ml", "model", "gate", check=False)
    assert "verdict: no champion" in judged.stdout


@pytest.mark.parametrize("name", [name for name in TESTED if name not in SERVED])
def test_a_table_is_taken_learned_and_answered(
    ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The same in one process, without make, DVC's stages and a server: requests are held to the form and answered."""
    table = TESTED[name]
    project = clone(ready, tmp_path / "clone")
    monkeypatch.chdir(project)
    (tmp_path / name).write_bytes(table.content())
    options = dict(word.split("=") for word in table.said)
    wishes = (options.get("TIME"), options.get("KEY"), [options["DROP"]] if "DROP" in options else [])
    said = intake.Said(table.target, "auto", *wishes, None, None, None, None, [])
    assert any(f"a {table.task}" in note for note in intake.bring(tmp_path / name, said, False).notes)
    for stage in (validate, prepare, train, evaluate):
        stage.main()
    require_better_than_trivial(table)
    schema = files.schema()
    batch = requests(schema, 1000)[1].model_validate({"rows": sent(rows_that_judge(schema), schema)})
    found = model.score(
        persistence.load(*files.model_file(), files.trusted_types()),
        to_table([values(row) for row in batch.rows], schema),
    )
    assert scores(to_answers(found, schema, None), table.task) == expected()
    result = judge.compare(Revision(project, None), None, project_settings.read(project))
    assert result.verdict == "no champion"


def scores(answer: dict[str, Any], task: str) -> list[Any]:
    """What the service answered, in the form in which the pipeline scores."""
    if task == "multiclass":
        return [list(row.values()) for row in answer["scores"]]
    return list(answer["scores" if task == "binary" else "predictions"])


def test_the_projects_checks_and_tests_fit_the_table(ready: Path, tmp_path: Path) -> None:
    """After `make data` the project's own `make check test` is green, and its report and card are made."""
    project = clone(ready, tmp_path / "clone")
    bring(project, "cars.jsonl")
    make("repro", cwd=project)
    run("git", "add", "--all", cwd=project)
    make("check", cwd=project)
    assert " passed" in make("test", cwd=project).splitlines()[-1]
    gitops("model", "report", cwd=project)
    gitops("model", "card", cwd=project)
    report = (project / "build/report/report.md").read_text()
    assert "| RMSE, lower is better | " in report
    assert "What was compared to train it" in report
    assert "What was compared to train it" in (project / "MODEL_CARD.md").read_text()


def test_work_that_is_not_committed_is_not_overwritten(ready: Path, tmp_path: Path) -> None:
    """Settings or data that somebody changed and did not commit stop `make data`; what it wrote itself does not."""
    project = clone(ready, tmp_path / "clone")
    make("pull", cwd=project)
    params = project / "params.yaml"
    before = params.read_text()
    params.write_text(before + "# mine\n")
    with pytest.raises(CommandError, match=r"params\.yaml would be overwritten, and what it holds is not committed"):
        bring(project, "iris.csv")
    params.write_text(before)
    shutil.copy(project / "data/raw/2013-01.parquet", project / "data/raw/mine.parquet")
    with pytest.raises(CommandError, match="data/raw would be overwritten"):
        bring(project, "iris.csv")
    (project / "data/raw/mine.parquet").unlink()
    assert "written: " in bring(project, "iris.csv")
    assert "nothing, all of it stands there already" in bring(project, "iris.csv")
    assert "written: " in bring(project, "digits.parquet")


def test_a_large_file_is_read_in_pieces(ready: Path, tmp_path: Path) -> None:
    """A CSV file of two million rows is typed and described in less memory than the table itself takes in pandas."""
    project = clone(ready, tmp_path / "clone")
    lines = "".join(
        f"{n * 7919 % 10007},{n * 31 % 997}.5,city {n % 53},some words that take room {n % 9973},{n % 2}\n"
        for n in range(100_000)
    )
    with (tmp_path / "large.csv").open("w") as file:
        file.write("a,b,city,words,y\n")
        for _ in range(20):
            file.write(lines)
    script = (
        "import re, sys; from pathlib import Path; from gitops_ml.cli import lazy; lazy.install()\n"
        "from gitops_ml.cli.main import tree\n"
        "try: tree()(['data', 'add', sys.argv[1], 'y', '--dry-run'])\n"
        # Not what getrusage says, which knows whoever started this program, too.
        r"except SystemExit: print(int(re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())[1]) // 1024)"
    )
    said = tool(project, "python", "-c", script, str(tmp_path / "large.csv")).stdout
    assert "2,000,000 rows" in said
    assert int(said.splitlines()[-1]) < 900


# With the packages that train and those that serve.
CHANGED = ["dvc.lock", "params.yaml", "requirements/serve.txt", "requirements/train.txt"]
PACKAGES = {"xgboost": "xgboost-cpu", "lightgbm": "lightgbm", "catboost": "catboost"}
ESTIMATORS = {
    "xgboost": "xgboost.XGBClassifier",
    "lightgbm": "lightgbm.LGBMClassifier",
    "catboost": "catboost.CatBoostClassifier",
}


def choose(project: Path, library: str) -> None:
    """Name another library's estimator in params.yaml."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    del params["train"]["candidates"]
    params["train"]["estimator"] = {"path": ESTIMATORS[library], "arguments": {"n_estimators": 20}}
    (project / "params.yaml").write_text(yaml.safe_dump(params))


def test_another_librarys_estimator_brings_its_package(tmp_path: Path) -> None:
    """An estimator of another library is one line of params.yaml: set-up and the Bento's lock follow, nothing else."""
    project = bake({}, tmp_path)
    make("setup", "init", cwd=project)
    bring(project, "penguins-raw.csv")
    run("git", "commit", "--quiet", "--all", "--message", "My own table", cwd=project)
    choose(project, "lightgbm")
    with pytest.raises(CommandError, match=r"not installed as uv\.lock says \(\+ lightgbm==.*run `make setup`"):
        make("repro", cwd=project)
    make("setup", "repro", cwd=project)
    run("git", "commit", "--quiet", "--all", "--message", "Another library", cwd=project)
    tag = gitops("model", "package", cwd=project).splitlines()[-1].split(": ")[0].replace(":", "/")
    required = (project / ".bentoml" / "bentos" / tag / "src" / "requirements.txt").read_text()
    assert [name for name in PACKAGES.values() if f"\n{name}==" in f"\n{required}"] == ["lightgbm"]
    assert run("git", "diff", "--name-only", "HEAD~1", cwd=project).split() == CHANGED


@pytest.mark.parametrize("library", ESTIMATORS)
def test_another_librarys_model_is_written_and_read(
    ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    """A model of another library is trained, written without pickle, read again, and its packages are the exports'."""
    table, name = TESTED["penguins-raw.csv"], "penguins-raw.csv"
    project = clone(ready, tmp_path / "clone")
    monkeypatch.chdir(project)
    (tmp_path / name).write_bytes(table.content())
    intake.bring(tmp_path / name, intake.Said(table.target, "auto", None, None, [], *[None] * 4, []), False)
    choose(project, library)
    for stage in (validate, prepare, train, evaluate):
        stage.main()
    assert len(expected()) == len(rows_that_judge(files.schema()))
    assert requirements.write(project) == [requirements.TRAIN, requirements.SERVE]
    assert f"\n{PACKAGES[library]}==" in (project / requirements.SERVE).read_text()

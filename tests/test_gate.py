"""The gate, the report and the card of a generated project, on the real data: models are trained, judged and shown."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from gitops_ml.core.project import Project
from gitops_ml.gate import judge
from gitops_ml.promotion import verdicts
from gitops_ml.report import render
from gitops_ml.report.card import build
from gitops_ml.versions import environment
from gitops_ml.versions.git import Git
from gitops_ml.versions.revision import Revision

from ci.shell import run
from tests import browser
from tests.conftest import clone, gitops, make, tool

pytestmark = pytest.mark.xdist_group("golden path")


# Run by a project's own Python: the record of the committed model, as a promotion would put it onto production.
PUT_ON_PRODUCTION = """
import hashlib, json
from datetime import UTC, datetime
from pathlib import Path
from gitops_ml.core import record
from gitops_ml.versions.git import Git
git = Git(Path.cwd())
model = json.loads(Path("models/model.json").read_text())["sha256"]
made = record.seal(
    release="late-flights:" + model[:16], commit=git.commit_of("HEAD"), model=model, data="0.dir",
    lock=hashlib.sha256(Path("dvc.lock").read_bytes()).hexdigest(), evaluation="0" * 64, card="0" * 64, metrics={},
    bento=record.Bento(digest="sha256:" + "0" * 64, bytes=1), verdict="no champion", champion=None,
    created=datetime.now(UTC),
)
print(git.commit(git.write({record.FILE: record.write(made)}), None, "Promote"))
"""


def serve_in_production(project: Path) -> None:
    """Make the committed model the champion: a branch that names it."""
    tip = tool(project, "python", "-c", PUT_ON_PRODUCTION).stdout.strip()
    run("git", "update-ref", "refs/remotes/origin/env/production", tip, cwd=project)


def gate(project: Path) -> tuple[int, dict[str, Any]]:
    """The gate's exit code and its result."""
    done = tool(project, "gitops-ml", "model", "gate", "--json", check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}


@pytest.fixture(scope="module")
def champion(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the trained model serves in production."""
    project = clone(trained, tmp_path_factory.mktemp("champion") / "clone")
    make("pull", cwd=project)
    serve_in_production(project)
    run("git", "push", "--quiet", "origin", "refs/remotes/origin/env/production:refs/heads/env/production", cwd=project)
    return project


@pytest.fixture
def challenger(champion: Path, trained: Path, tmp_path: Path) -> Path:
    """A branch on which a change can be made."""
    assert champion
    project = clone(trained, tmp_path / "clone")
    make("pull", cwd=project)
    run("git", "checkout", "--quiet", "-b", "change", cwd=project)
    return project


def set_estimator(project: Path, **arguments: object) -> None:
    """Change the estimator's arguments."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["train"]["estimator"]["arguments"].update(arguments)
    (project / "params.yaml").write_text(yaml.safe_dump(params))


def test_the_first_model_is_held_to_the_absolute_rules(trained: Path, tmp_path: Path) -> None:
    """Before anything serves, the verdict is `no champion`, and the model passes on floors and budgets alone."""
    project = clone(trained, tmp_path / "clone")
    make("pull", cwd=project)
    run("git", "remote", "remove", "origin", cwd=project)
    code, result = gate(project)
    assert (code, result["verdict"]) == (0, "no champion")


def test_a_champion_that_was_not_fetched_is_no_missing_champion(challenger: Path) -> None:
    """In a checkout that lacks the branch, as shallow ones do, the gate asks for it and lets nothing pass."""
    run("git", "update-ref", "-d", "refs/remotes/origin/env/production", cwd=challenger)
    code, result = gate(challenger)
    assert code == 1
    assert "env/production exists at origin and was not fetched" in str(result["error"])
    run("git", "remote", "set-url", "origin", str(challenger / "nowhere"), cwd=challenger)
    code, result = gate(challenger)
    assert code == 1
    assert "cannot be asked, so nothing was judged" in str(result["error"])


def test_a_wrong_setting_is_told(challenger: Path) -> None:
    """A wrong setting ends in one sentence that names it, without a traceback."""
    params = challenger / "params.yaml"
    params.write_text(params.read_text().replace("slice_minimum: 200", "slice_minimum: many"))
    code, result = gate(challenger)
    assert code == 1
    assert str(result["error"]).startswith("error: params.yaml of the working tree: evaluate.slice_minimum")


def test_the_same_model_is_kept(challenger: Path) -> None:
    """The very model that serves gives `keep`: there is nothing to promote."""
    code, result = gate(challenger)
    assert (code, result["verdict"], result["reasons"]) == (3, "keep", ["this is the very model that serves"])


def test_a_model_that_was_not_reproduced_is_not_judged(challenger: Path) -> None:
    """The rows and the model are those that dvc.lock names, or nothing is judged."""
    rows = challenger / "data/prepared/test.parquet"
    table = pq.read_table(rows)
    pq.write_table(table.slice(0, 1000), rows)
    code, result = gate(challenger)
    assert code == 1
    assert "data/prepared/test.parquet is not the one that dvc.lock names" in str(result["error"])


def test_shuffled_labels_are_refused(challenger: Path) -> None:
    """A model that learnt from shuffled labels falls below the floor."""
    for path in (challenger / "data/raw").glob("*.parquet"):
        table = pq.read_table(path)
        order = pc.sort_indices(pa.array([hash((path.name, row)) for row in range(len(table))]))
        shuffled = table["late"].take(order)
        pq.write_table(table.set_column(table.column_names.index("late"), "late", shuffled), path)
    tool(challenger, "dvc", "add", "data/raw")
    make("repro", cwd=challenger)
    code, result = gate(challenger)
    assert code in (3, 4, 5)
    assert any("does not reach the floor 0.65" in str(reason) for reason in result["reasons"])


def test_a_dropped_feature_is_refused(challenger: Path) -> None:
    """Without the hour of departure the model is worse than the champion, and is kept out for that."""
    schema = challenger / "schema.yaml"
    for name in ("sched_dep_time", "sched_arr_time"):
        schema.write_text(
            schema.read_text().replace(f"{name}:\n    {{type: integer,", f"{name}:\n    {{role: ignore, type: integer,")
        )
    make("repro", cwd=challenger)
    code, result = gate(challenger)
    assert (code, result["verdict"]) == (3, "keep")
    assert any("worse than the champion: ROC AUC -" in str(reason) for reason in result["reasons"])


def test_an_older_month_alone_is_refused(challenger: Path) -> None:
    """A model of January, judged on January, faces a champion that was trained on those rows: that is no comparison."""
    for month in ("02", "03"):
        (challenger / f"data/raw/2013-{month}.parquet").unlink()
    tool(challenger, "dvc", "add", "data/raw")
    make("repro", cwd=challenger)
    code, result = gate(challenger)
    assert code != 0
    assert "share of the evaluation set that trained the champion: 1 exceeds 0.01" in result["reasons"]
    # Nor are the base's figures, which are those of March.
    gitops("model", "report", cwd=challenger)
    shown = (challenger / "build/report/report.md").read_text()
    assert "- Other evaluation rows than at the base: " in shown
    assert "The base was measured on other rows" in shown


def test_a_better_model_passes_and_is_reported(trained: Path, tmp_path: Path) -> None:
    """Against a weak champion a better model is promoted; report and card show what a reviewer needs."""
    project = clone(trained, tmp_path / "clone")
    make("pull", cwd=project)
    set_estimator(project, max_iter=3)
    make("repro", cwd=project)
    run("git", "commit", "--quiet", "--all", "--message", "A weak model", cwd=project)
    make("push", cwd=project)
    # As after merging it: what origin has is what a change is compared with.
    run("git", "update-ref", "refs/remotes/origin/main", "HEAD", cwd=project)
    serve_in_production(project)
    run("git", "checkout", "--quiet", "-b", "change", cwd=project)
    set_estimator(project, max_iter=150)
    make("repro", cwd=project)
    code, result = gate(project)
    assert (code, result["verdict"]) == (0, "promote")
    gitops("model", "report", cwd=project)
    shown = (project / "build/report/report.md").read_text()
    assert re.match(r"## ✅ May replace what serves: ROC AUC \+0\.\d{4} \(\+0\.\d{4} to \+0\.\d{4}\)\n", shown)
    for part in (
        "max_iter",
        "| metric | champion | this change | difference |",
        "### Slices: ",
        "```mermaid",
        "Champion (sha256)",
        "grey the champion",
        ", 10 to 31 March 2013; the gate's verdict is promote.",
    ):
        assert part in shown, part
    gitops("model", "card", cwd=project)
    card = (project / "MODEL_CARD.md").read_text()
    assert "**missing**" in card
    assert "2013-03&#46;parquet" in card
    with browser.started() as found:
        browser.inspect(found, (project / "build/report/report.html").as_uri())


def test_naming_a_sensitive_column_trains_nothing(champion: Path) -> None:
    """Columns that are named in project.yaml are judged without a stage to run; gate and card say what they found."""
    path = champion / "project.yaml"
    before = path.read_text()
    rule = "{columns: [origin, month, carrier, nope], errors: null, selection: 0.9, features: [origin]}"
    path.write_text(before.replace("resamples: 1000", "resamples: 100") + f"\nfairness: {rule}\n")
    try:
        stages = yaml.safe_load((champion / "dvc.yaml").read_text())["stages"].values()
        assert not any("project.yaml" in stage["deps"] or "fairness" in str(stage.get("params")) for stage in stages)
        result = judge.judge(champion)
        card = html.unescape(render.model_card(build(champion)))
    finally:
        path.write_text(before)
    assert result.reasons[:2] == [
        "fairness by carrier is a feature of the model, and fairness.features does not allow that",
        "fairness by nope: not judged, since schema.yaml has no such column",
    ]
    found = result.fairness
    assert found
    assert found.allowed == ["origin"]
    assert "month: not judged: all rows are of one group, 3" in found.unjudged
    assert {(each.value, each.what) for each in found.groups if each.column == "origin"} == {
        (origin, what)
        for origin in ("EWR", "JFK", "LGA")
        for what in ("given rebook", "wrong where late = 0", "wrong where late = 1")
    }
    assert {each.column for each in result.slices} >= {"origin", "carrier"}
    assert "## Groups" in card
    assert "origin = EWR: given rebook" in card
    assert "Groups" not in html.unescape(render.model_card(build(champion)))


def test_a_champion_that_cannot_be_loaded_judges_nothing(challenger: Path) -> None:
    """If what serves is unknown, nothing passes: the gate ends in an error, not in `no champion`."""
    for content, reason in (("{}", "cannot be read"), (None, "has no release.json")):
        tree = ""
        if content is not None:
            (challenger / ".git" / "broken").write_text(content)
            blob = run("git", "hash-object", "-w", str(challenger / ".git" / "broken"), cwd=challenger).strip()
            tree = f"100644 blob {blob}\trelease.json\n"
        made = subprocess.run(["git", "mktree"], cwd=challenger, input=tree, capture_output=True, text=True, check=True)
        tip = run("git", "commit-tree", made.stdout.strip(), "-m", "broken", cwd=challenger).strip()
        run("git", "update-ref", "refs/remotes/origin/env/production", tip, cwd=challenger)
        code, result = gate(challenger)
        assert code == 1
        assert reason in str(result["error"])


def test_the_champion_is_what_the_last_environment_serves(challenger: Path) -> None:
    """Whatever the environments are called, a model is judged against that of the last one in project.yaml."""
    serve_in_production(challenger)
    assert gate(challenger)[1]["verdict"] == "keep"
    settings = challenger / "project.yaml"
    settings.write_text(settings.read_text().replace("- name: production", "- name: live"))
    assert gate(challenger)[1]["verdict"] == "no champion"


def test_a_docs_only_branch_trains_and_judges_nothing(challenger: Path) -> None:
    """A branch that changes a document alone is reported as unchanged; no output is read, no stage runs."""
    (challenger / "README.md").write_text("Better words.\n")
    for name in ("models", "reports"):
        run("rm", "-r", name, cwd=challenger)
    said = gitops("model", "report", cwd=challenger)
    assert said.startswith("⚪ The same model\n")
    assert not (challenger / "models").exists()


def test_what_was_changed_without_its_results_is_told(challenger: Path) -> None:
    """Params, code or data that changed after the last `make repro` are named, and not called the same model."""
    set_estimator(challenger, max_iter=7)
    for path in ("pipeline/encode.py", "pipeline/tasks/binary.py"):
        with (challenger / path).open("a") as file:
            file.write("# more\n")
    (challenger / "data/raw/2013-03.parquet").unlink()
    said = gitops("model", "report", cwd=challenger)
    changed = "data/raw, pipeline/encode.py, pipeline/tasks, and 1 more"
    assert said.startswith("⏳ Not known yet, since make repro is missing")
    assert f"  make repro is missing: {changed} changed" in said


def test_what_decides_is_told_before_it_is_pushed(challenger: Path) -> None:
    """Settings that decide are shown by the report of a laptop, also before anything is committed."""
    settings = yaml.safe_load((challenger / "project.yaml").read_text())
    settings["decision"]["payoffs"]["rebook"][0] = -1
    (challenger / "project.yaml").write_text(yaml.safe_dump(settings))
    said = gitops("model", "report", cwd=challenger)
    assert said.splitlines()[:3] == [
        "⏳ The same model, under other rules: 1 change of rules or trust",
        "  Rules or trust change: what decisions pay, project.yaml: decision.payoffs.rebook.0, -30 → -1",
        "  asks for @my-org/ml-engineers, @my-org/data-scientists",
    ]
    shown = html.unescape((challenger / "build/report/report.md").read_text())
    assert "| what decisions pay | <code>project.yaml: decision.payoffs.rebook.0</code> " in shown
    assert "| <code>-30</code> | <code>-1</code> |" in shown


def test_a_promotion_judges_once(champion: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict is used again for the same release, champion and rules, and only where nobody else can write it."""
    git = Git(champion)
    tip = git.tip("env/production")
    assert tip
    made = environment.serving(git, tip)
    assert made is not None
    policy = Revision(champion, "HEAD").settings("project.yaml", Project)
    monkeypatch.delenv("RUNNER_TEMP", raising=False)
    verdict, known = verdicts.judged(git, made, None, policy)
    assert (verdict.verdict, verdict.passes, known) == ("no champion", True, False)
    (kept,) = (champion / ".git" / verdicts.FOLDER).iterdir()
    assert verdicts.judged(git, made, None, policy) == (verdict, True)
    kept.write_text(kept.read_text()[:-9])
    assert verdicts.judged(git, made, None, policy)[1] is False
    slow = policy.gate.model_copy(update={"latency_ms": 1e-6})
    for _ in range(2):
        refused, known = verdicts.judged(git, made, None, policy.model_copy(update={"gate": slow}))
        assert (refused.passes, known) == (False, False)
    with monkeypatch.context() as workflow:
        workflow.setenv("RUNNER_TEMP", str(champion / "build" / "job"))
        assert verdicts.judged(git, made, None, policy)[1] is False
        assert verdicts.judged(git, made, None, policy)[1] is True

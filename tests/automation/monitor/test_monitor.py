"""The monitor is silent where nothing has changed, and says so where something has."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from gitops_ml.core.errors import UserError
from gitops_ml.core.project import policy, read
from gitops_ml.monitor import drift, findings, page, signals
from gitops_ml.monitor import watch as monitor
from gitops_ml.monitor.content import Monitoring, Window
from gitops_ml.monitor.reference import Reference
from gitops_ml.monitor.signals import Kind, Signal
from gitops_ml.pages import words
from gitops_ml.predictions import stored
from gitops_serving.contract import to_answers
from pipeline import data, model, persistence, profile
from pipeline.decision import Policy
from pipeline.params import Params
from pipeline.schema import Column, Schema
from pipeline.stages import evaluate, files, prepare, train, validate
from pipeline.validation import cast
from scipy import stats

from tests.automation.cli.test_commands import gitops
from tests.automation.monitor.conftest import HIDDEN, Listener
from tests.automation.monitor.study import FEW, MOVED, SCHEMA, power, simulate
from tests.automation.tables import PROJECT, TASK, make_table, numeric_feature

NOW = datetime(2026, 5, 29, tzinfo=UTC)
RULES = {"store": "store", "labels": "labels", "window_days": 7, "windows": 4, "alarms": 2, "least_rows": 100}


def test_alarms_on_unchanged_days_are_as_rare_as_they_should_be() -> None:
    """Windows drawn like the reference are significant at about the level that is set, and hardly ever an alarm."""
    found = simulate(40)
    assert found["significant"] <= stats.binom(40, 0.02).ppf(0.9999)
    assert found["alarm"] <= 1


def test_days_must_be_heeded() -> None:
    """The same rows, taken for independent ones, would cry wolf in most windows: the study can fail."""
    assert simulate(20, aware=False)["significant"] >= 12


def test_a_shift_of_one_column_is_always_noticed() -> None:
    """A column moved by a third of its spread raises an alarm within the rule's windows."""
    assert simulate(20, MOVED)["alarm"] == 20


def test_what_breaks_a_column_is_noticed_in_a_day() -> None:
    """Gaps, one value everywhere and new values are told after 500 rows of a day, however much rows of a day are alike;
    other units and large shifts within a week.
    """
    day, week = power(3, 1, FEW), power(3, 7, FEW)
    for name, column in SCHEMA.features.items():
        wrong = ["all missing", "half missing", "one value", *(["a new value"] if column.type == "category" else [])]
        assert [day[fault, name] for fault in wrong] == [3] * len(wrong), name
        assert column.type == "category" or min(week["scaled by 100", name], week["shifted by two spreads", name]) >= 2
    assert day["nothing", "any"] + week["nothing", "any"] <= 1


DAYS = np.repeat(np.arange(20), 50)


def days_like(share: float) -> pd.DataFrame:
    """Twenty days with 50 different numbers each, of which a share is missing on the last day."""
    numbers = pd.Series(np.arange(1000.0) % 50)
    return pd.DataFrame({"x": numbers.mask((DAYS == 19) & (np.arange(1000) % 50 < 50 * share))})


@pytest.mark.parametrize(
    ("once", "now", "seen"),
    [(0.0, 0.48, True), (0.0, 0.52, False), (0.2, 0.58, True), (0.2, 0.62, False), (0.6, 1.0, True)],
)
def test_what_no_day_was_like_is_halfway_to_all_rows(once: float, now: float, seen: bool) -> None:
    """Rows that are alike as on no day are told from the middle on between that day and all rows, not before; where
    most rows of a day were so, more of them are no surprise.
    """
    reference = profile.sample([days_like(once)], DAYS, by_time=True)
    rows = pd.DataFrame({"x": pd.Series(np.arange(100.0)).mask(np.arange(100) < 100 * now)})
    found = drift.unseen([(rows, reference)])
    assert [(each.name, each.what) for each in found] == ([] if seen else [("x", "missing")])


def test_a_day_of_a_few_rows_is_no_example() -> None:
    """That all of three rows were alike does not make a day on which all rows are alike a usual one."""
    table = pd.concat([days_like(0), pd.DataFrame({"x": [7.0, 7.0, 7.0]})], ignore_index=True)
    reference = profile.sample([table], np.append(DAYS, [20, 20, 20]), by_time=True)
    found = drift.unseen([(pd.DataFrame({"x": np.full(100, 7.0)}), reference)])
    assert [(each.what, each.most) for each in found] == [("value", 0.02)]
    assert signals.of_unseen(found[0]).sentence == (
        "'x' is one single value in 100 % of the rows, and in at most 2.0 % of those that trained"
    )


def test_values_that_have_no_bin_are_noticed_together() -> None:
    """Categories of which each is rare, and which together are most of the rows as on no day, are told."""
    usual = pd.DataFrame({"x": np.resize(np.array(["a", "b", "c"], dtype=object), 1000)})
    reference = profile.sample([usual], DAYS, by_time=True)
    strange = pd.DataFrame({"x": np.array([f"new {number}" for number in range(100)], dtype=object)})
    assert [each.what for each in drift.unseen([(strange, reference)])] == ["other"]


def test_a_profile_of_an_older_release_is_read() -> None:
    """A profile that does not say what its days were like at most is compared as it was."""
    reference = profile.sample([days_like(0)], DAYS, by_time=True)
    old = reference.model_dump(exclude={"columns": {"x": {"most"}}})
    rows = pd.DataFrame({"x": np.full(100, np.nan)})
    assert drift.unseen([(rows, profile.Sample.model_validate(old))]) == []
    [moved] = drift.compare([(rows, profile.Sample.model_validate(old))], pd.Series(np.zeros(100)))
    assert moved.effect == 1


def test_days_are_the_clusters_only_where_they_were_in_training() -> None:
    """Rows of one day count as alike where days were the clusters of the reference, and not where others were."""
    random = np.random.default_rng(0)
    trained = pd.DataFrame({"x": np.repeat(random.normal(size=60), 50) + random.normal(size=3000) / 2})
    now = pd.DataFrame({"x": random.normal(1, 0.5, 500)})
    clusters = np.repeat(np.arange(60), 50)
    by_day, by_customer = (profile.sample([trained], clusters, by_time=by_time) for by_time in (True, False))
    one_day, many_days = pd.Series(np.zeros(500)), pd.Series(np.arange(500) % 10)

    def p(reference: profile.Sample, days: pd.Series) -> float:
        return drift.compare([(now, reference)], days)[0].p

    assert p(by_day, one_day) > p(by_day, many_days)
    assert p(by_customer, one_day) == p(by_customer, many_days) < 0.01 < p(by_day, one_day)


def test_rows_that_have_nothing_in_common_get_the_usual_test() -> None:
    """Where no two rows share a cluster, the test is Pearson's of two samples."""
    old, new = [500, 300, 200], [40, 45, 15]
    trained, now = (pd.DataFrame({"x": np.repeat(np.array(["a", "b", "c"], dtype=object), of)}) for of in (old, new))
    reference = profile.sample([trained], np.arange(len(trained)), by_time=False)
    [moved] = drift.compare([(now, reference)], pd.Series(np.arange(len(now))))
    assert moved.p == pytest.approx(stats.chi2_contingency([old, new]).pvalue)


def test_a_column_of_nulls_is_an_alarm_at_once(project: Path, schema: Schema) -> None:
    """A column that may be empty, and is in all rows of the newest window, raises an alarm in that very window."""
    name = next(name for name, column in schema.features.items() if column.nullable)
    traffic(project, schema)
    path = max((project / "store/production/answers").glob("*.parquet"))
    table = pd.read_parquet(path)
    newest = pd.to_datetime(table["time"]) >= NOW - timedelta(days=7)
    table.assign(**{f"input.{name}": table[f"input.{name}"].mask(newest)}).to_parquet(path)
    result = monitor.watch(project, "production", NOW)
    assert [(alarm.kind, alarm.name) for alarm in result.alarms] == [("unseen", name)]
    assert f"{name!r} is missing in 100 % of the rows, and in at most" in result.alarms[0].sentence
    assert "- ■ unseen: " in page.markdown(result)


def test_profile_counts_each_row_once(schema: Schema) -> None:
    """The shares of each column's bins add up to 1, missing values and new categories included."""
    watched = profile.watched_inputs(make_table(schema, rows=300), schema)
    found = profile.sample([watched], np.arange(300), by_time=False)
    for name, distribution in found.columns.items():
        assert sum(distribution.shares) == pytest.approx(1, abs=1e-4)
        assert distribution.alike == []
        assert profile.counts(watched[name], distribution).sum() == 300


def window(*raised: tuple[Kind, str]) -> Window:
    """A window in which some things are beyond their limits."""
    signals = [Signal(kind=kind, name=name, state="proven", sentence="") for kind, name in raised]
    return Window(since=NOW, until=NOW, rows=9, labelled=0, requests=9, enough=True, signals=signals)


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([(), (), (), (("drift", "a"),)], []),
        ([(("drift", "a"),), (), (), (("drift", "a"),)], ["a"]),
        ([(("drift", "b"),), (), (), (("drift", "a"),)], []),
        ([(("drift", "a"),), (("drift", "a"),), (("drift", "a"),), ()], []),
        ([(), (), (), (("schema", "a"),)], ["a"]),
        ([(("schema", "a"),), (), (), ()], []),
    ],
    ids=["once", "twice", "another", "over", "at once", "mended"],
)
def test_an_alarm_takes_several_windows_and_the_newest(windows: list[Any], expected: list[str]) -> None:
    """Drift must be in two of four windows and in the newest; a violation of the schema needs the newest alone."""
    found = findings.alarms([window(*each) for each in windows], 2)
    assert [alarm.name for alarm in found] == expected


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, schema: Schema, params: Params) -> Path:
    """A trained project, without environments."""
    root = tmp_path_factory.mktemp("watched") / "project"
    (root / files.RAW).mkdir(parents=True)
    settings = yaml.safe_load((PROJECT / "project.yaml").read_text())
    settings["monitor"] |= RULES
    # Whatever the project itself decides.
    first, *others = schema.classes or [None]
    pays = {"wait": dict.fromkeys(schema.classes, 0), "act": {first: -1} | dict.fromkeys(others, 1)}
    settings["decision"] = {"unit": "USD", "payoffs": pays} if others else None
    (root / "project.yaml").write_text(yaml.safe_dump(settings))
    (root / "vendor").symlink_to(PROJECT / "vendor")
    (root / "schema.yaml").write_text(yaml.safe_dump(schema.model_dump(exclude_defaults=True), sort_keys=False))
    split = {"by": "random", "test_fraction": 0.25}
    independent = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"resample_by": []})})
    (root / "params.yaml").write_text(yaml.safe_dump(independent.model_dump() | {"prepare": {"split": split}}))
    make_table(schema, rows=3000).to_parquet(root / files.RAW / "1.parquet", index=False)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    with contextlib.chdir(root):
        for stage in (validate, prepare, train, evaluate):
            files.run(stage.main)
    return root


@pytest.fixture
def project(watched: Path, tmp_path: Path) -> Path:
    """A copy of it in which a test may change what it likes."""
    return shutil.copytree(watched, tmp_path / "project", symlinks=True)


def traffic(root: Path, schema: Schema, change: Any = None, labels: Any = None, status: int = 200) -> None:
    """Four weeks of answers to rows like those that trained, after `change` has changed them, and their labels."""
    with contextlib.chdir(root):
        content, facts = files.model_file()
        fitted = persistence.load(content, facts, files.trusted_types())
    made = make_table(schema, rows=2000, seed=5)
    truth = labels(made[schema.target]) if labels else made[schema.target]
    rows = cast(data.features(made, schema), schema.features)
    rows = change(rows) if change else rows
    ids = [str(number) for number in range(len(rows))]
    times = [(NOW - timedelta(days=28) * (1 - share)).isoformat() for share in np.linspace(0.001, 0.999, len(rows))]
    common = {"time": times, "request": ids}
    texts = {name: profile.words(rows[name]) for name, column in schema.features.items() if column.type == "text"}
    inputs = rows.assign(**texts).rename(columns=lambda name: f"input.{name}")
    found = model.score(fitted, rows)
    scores = pd.Series(found.tolist(), index=rows.index)
    answers = to_answers(found, schema, policy(read(root).decision, schema))
    actions = {"decision": answers["decisions"]} if "decisions" in answers else {}
    stored.write(
        inputs.assign(**common, **actions, row=0, model=facts.sha256, score=scores),
        str(root / "store/production"),
        "answers",
        "20260501",
    )
    requests = pd.DataFrame(common | {"status": status, "ms": 5.0})
    stored.write(requests, str(root / "store/production"), "requests", "20260501")
    (root / "labels").mkdir(exist_ok=True)
    pd.DataFrame({"request": ids, "row": 0, schema.target: truth.to_numpy()}).to_parquet(root / "labels/1.parquet")


def found(root: Path) -> list[tuple[str, str]]:
    """What raises an alarm."""
    return [(alarm.kind, alarm.name) for alarm in monitor.watch(root, "production", NOW).alarms]


def test_what_has_not_changed_is_no_alarm(project: Path, schema: Schema) -> None:
    """Rows drawn like the training data, answered in time, raise nothing; the report says what was promised."""
    traffic(project, schema)
    result = monitor.watch(project, "production", NOW)
    assert result.alarms == []
    assert result.exit_code == 0
    assert all(each.enough and each.labelled == each.rows for each in result.windows)
    assert Monitoring.model_validate_json(result.model_dump_json()) == result
    assert "all is well" in page.markdown(result)
    assert "<svg" in page.html(result)
    known = {} if TASK == "regression" else dict.fromkeys([next(iter(result.promised)), "worth"], len(result.windows))
    assert {each.name: each.windows for each in result.records} == known
    assert bool(result.unestimated) == (TASK == "regression")


def test_a_column_that_moves_is_an_alarm(project: Path, schema: Schema) -> None:
    """Half of a column's rows at its upper limit are noticed, by name."""
    name = numeric_feature(schema)

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        high = schema.columns[name].maximum
        return rows.assign(**{name: rows[name].where(np.arange(len(rows)) % 2 == 0, type(rows[name].iloc[0])(high))})

    traffic(project, schema, change)
    assert ("drift", name) in found(project)


def test_a_value_that_the_schema_does_not_allow_is_an_alarm_at_once(project: Path, schema: Schema) -> None:
    """One value beyond its range in the newest window is enough."""
    name = numeric_feature(schema)
    traffic(project, schema)
    path = max((project / "store/production/answers").glob("*.parquet"))
    table = pd.read_parquet(path)
    table.loc[table.index[-1], f"input.{name}"] = (schema.columns[name].maximum or 0) + 1
    table.to_parquet(path)
    assert found(project) == [("schema", name)]


def test_labels_that_contradict_the_model_are_an_alarm(project: Path, schema: Schema) -> None:
    """Where labels came and have nothing to do with the answers, the gate's metric is not what was promised."""
    traffic(project, schema, labels=lambda labels: labels.sample(frac=1, random_state=1).reset_index(drop=True))
    metric = yaml.safe_load((project / "project.yaml").read_text())["gate"]["metric"]
    result = monitor.watch(project, "production", NOW)
    assert ("performance", metric) in [(alarm.kind, alarm.name) for alarm in result.alarms]
    assert not any(each.trusted for each in result.records if each.name == metric)


def test_decisions_are_watched_by_what_they_are_worth(project: Path, schema: Schema) -> None:
    """Each window with labels tells what its decisions were worth; less than without a model is an alarm."""
    decides = TASK != "regression"
    traffic(project, schema)
    windows = monitor.watch(project, "production", NOW).windows
    assert [each.worth is not None for each in windows] == [decides] * len(windows)
    assert all(each.worth.gain.low <= each.worth.gain.value <= each.worth.gain.high for each in windows if each.worth)
    swapped = dict(zip(schema.classes, reversed(schema.classes), strict=True))
    traffic(project, schema, labels=lambda labels: labels.map(swapped) if swapped else -labels)
    assert (("worth", "decisions") in found(project)) == decides
    result = monitor.watch(project, "production", NOW)
    assert ("| worth USD per 1,000 rows beyond the best single action |" in page.markdown(result)) == decides
    assert ("What the decisions are worth" in page.html(result)) == decides


def test_what_another_release_decided_does_not_count(schema: Schema, params: Params) -> None:
    """The same model may have served before with other payoffs; only what the present release decided has its worth."""
    labels = (np.arange(600) % 3 == 0).astype("int64")
    target = Column(type="integer", role="target", minimum=0, maximum=1)
    binary = Schema(columns={"x": Column(type="number"), "y": target})
    act, wait = (np.where(labels == 1, *pair) for pair in (("act", "wait"), ("wait", "act")))
    rows = pd.DataFrame({"time": NOW, "y": labels, "release": "new", "decision": act})
    before = rows.assign(release="old", decision=wait)
    policy = Policy("USD", ["wait", "act"], np.array([[0.0, 0.0], [-1.0, 1.0]]))
    facts = {
        "model": "m",
        "schema": binary,
        "evaluate": params.evaluate,
        "metrics": {},
        "profile": None,
        "importance": {},
    }
    reference = Reference(release="new", created=NOW, policy=policy, **facts)  # type: ignore[arg-type]
    both = signals.worth_of(pd.concat([rows, before], ignore_index=True), reference, 100)
    assert both == signals.worth_of(rows, reference, 100)
    assert both
    assert both.worth.value == pytest.approx(1000 / 3)


def test_too_few_rows_or_labels_say_nothing(project: Path, schema: Schema) -> None:
    """A window with fewer labels than `least_rows` has no performance and no worth, one with fewer rows no drift."""
    traffic(project, schema)
    least = min(each.rows for each in monitor.watch(project, "production", NOW).windows)
    path = project / "labels/1.parquet"
    table = pd.read_parquet(path)
    few = monitor.watch(project, "production", NOW).settings.least_rows - 1
    table.tail(few).to_parquet(path)
    newest = monitor.watch(project, "production", NOW).windows[-1]
    assert (newest.labelled, newest.worth) == (few, None)
    untested = {signal.kind for signal in newest.signals if signal.state == "not tested"}
    assert untested == {"performance"} | ({"calibration", "worth"} if schema.classes else set())
    settings = yaml.safe_load((project / "project.yaml").read_text())
    settings["monitor"]["least_rows"] = least + 100
    (project / "project.yaml").write_text(yaml.safe_dump(settings))
    windows = monitor.watch(project, "production", NOW).windows
    assert not any(each.enough for each in windows)
    assert {signal.state for each in windows for signal in each.signals if signal.kind == "drift"} == {"not tested"}


def reasons(found: Monitoring) -> dict[str, list[str]]:
    """What was not tested in the newest window, by the reason."""
    return {unknown.reason: unknown.names for unknown in found.unknown}


def test_what_is_not_watched_is_said_with_the_reason(project: Path, schema: Schema) -> None:
    """Columns that the log lacks, answers of another model, labels that have no place: the verdict counts and names
    what of it was not tested.
    """
    traffic(project, schema)
    assert monitor.watch(project, "production", NOW).unknown == []
    path, name = max((project / "store/production/answers").glob("*.parquet")), numeric_feature(schema)
    table = pd.read_parquet(path).drop(columns=f"input.{name}")
    table.assign(model=table["model"].mask(table.index == table.index[-1], "another")).to_parquet(path)
    settings = yaml.safe_load((project / "project.yaml").read_text())
    settings["monitor"]["labels"] = ""
    (project / "project.yaml").write_text(yaml.safe_dump(settings))
    result = monitor.watch(project, "production", NOW)
    said = reasons(result)
    assert said["the log does not have it"] == [name]
    assert said["another model answered some of the rows"] == [
        f"answer: {each}" for each in (["confidence", "label"] if TASK == "multiclass" else ["score"])
    ]
    assert (
        words.metric(settings["gate"]["metric"])
        in said["no labels, since `monitor.labels` of project.yaml names no place"]
    )
    assert result.verdict != "not known"
    assert result.untested == sum(signal.state == "not tested" for signal in result.windows[-1].signals) > 3
    assert "(the log does not have it)" in page.markdown(result)


def test_an_older_profile_is_no_gap_of_the_log(project: Path, schema: Schema) -> None:
    """What the profile of an older release does not have is not called missing rows; gaps, which it never had, are not
    waited for.
    """
    name = next(name for name, column in schema.features.items() if column.nullable)
    traffic(project, schema)
    path = project / "reports/profile.json"
    known = json.loads(path.read_text())
    for column in schema.features:
        known["inputs"]["columns"].pop(profile.gaps(column), None)
    del known["inputs"]["columns"][name]
    path.write_text(json.dumps(known))
    assert reasons(monitor.watch(project, "production", NOW)) == {"the release's profile does not have it": [name]}


def test_every_window_has_every_signal(project: Path, schema: Schema) -> None:
    """What only one window found stands in all of them, as well where it was looked at, else as not tested."""
    name = numeric_feature(schema)
    traffic(project, schema)
    path = max((project / "store/production/answers").glob("*.parquet"))
    table = pd.read_parquet(path)
    table.loc[table.index[-1], f"input.{name}"] = (schema.columns[name].maximum or 0) + 1
    table.to_parquet(path)
    windows = monitor.watch(project, "production", NOW).windows
    keys = [[findings.key(signal) for signal in each.signals] for each in windows]
    assert all(each == keys[-1] for each in keys)
    states = [[signal.state for signal in each.signals if signal.kind == "schema"] for each in windows]
    assert states == [["within"], ["within"], ["within"], ["proven"]]
    assert {signal.state for signal in windows[0].signals if signal.kind == "silence"} == {"not tested"}


@pytest.mark.parametrize(("status", "kind"), [(500, "errors"), (400, "refused")])
def test_requests_without_an_answer_are_an_alarm(project: Path, schema: Schema, status: int, kind: str) -> None:
    """So is a service that fails, and so are callers that do not keep to the schema."""
    traffic(project, schema, status=status)
    assert found(project) == [(kind, "requests")]


def test_silence_is_an_alarm(project: Path, schema: Schema) -> None:
    """If nobody asks any more, somebody should know."""
    traffic(project, schema)
    later = monitor.watch(project, "production", NOW + timedelta(days=3))
    assert [alarm.kind for alarm in later.alarms] == ["silence"]


def test_a_store_without_anything_is_an_error(project: Path) -> None:
    """A monitor that finds nothing says so, instead of that all is well."""
    with pytest.raises(
        UserError, match=r"nothing is in .*store/production; `gitops-ml watch predictions production` brings"
    ):
        monitor.watch(project, "production", NOW)


def test_a_metric_of_another_task_is_an_error(project: Path, schema: Schema) -> None:
    """A deciding metric that the task does not have stops the monitor with the names of those that it has."""
    traffic(project, schema)
    path = project / "project.yaml"
    path.write_text(path.read_text().replace("metric: roc_auc", "metric: rmse"))
    with pytest.raises(UserError, match=r"gate\.metric names rmse, which is no metric of a binary task: roc_auc, "):
        monitor.watch(project, "production", NOW)


def test_labels_of_another_form_are_an_error(project: Path, schema: Schema) -> None:
    """Labels without the columns that join them stop the monitor with their names."""
    traffic(project, schema)
    pd.DataFrame({"id": [1]}).to_parquet(project / "labels/1.parquet")
    with pytest.raises(UserError, match="have no column 'answer'; they need answer "):
        monitor.watch(project, "production", NOW)


def test_the_command_tells_by_its_exit_code(project: Path, schema: Schema) -> None:
    """3 for an alarm, 1 for an error in one line; the files are there."""
    refused = gitops("watch", "monitor", "--now", "2026-05-29", cwd=project)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    traffic(project, schema)
    told = gitops("watch", "monitor", "--now", "2026-07-01", "--json", cwd=project)
    assert told.returncode == 3, told.stderr
    assert [alarm["kind"] for alarm in json.loads(told.stdout)["alarms"]] == ["silence"]
    assert (project / "build/monitor/monitor.html").exists()


def test_that_nothing_is_known_wakes_nobody_and_is_said(project: Path, schema: Schema) -> None:
    """Where too few rows came to test the model, the command says so in words and in JSON, and its exit code is 0."""
    traffic(project, schema)
    path = project / "project.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["monitor"]["least_rows"] = 100_000
    path.write_text(yaml.safe_dump(settings))
    told = gitops("watch", "monitor", "--now", "2026-05-29", cwd=project)
    assert (told.returncode, told.stdout.startswith("not known (")) == (0, True), told.stderr
    assert "too few rows, 499 of at least 100,000" in " ".join(told.stdout.split())
    assert json.loads((project / "build/monitor/monitor.json").read_text())["verdict"] == "not known"


def test_an_alarm_is_sent_if_the_command_is_told_to(project: Path, schema: Schema, listener: Listener) -> None:
    """`--tell` sends what was found and ends as without; that nobody takes it is an error, and the pages are there."""
    traffic(project, schema)
    path = project / "project.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["monitor"]["webhook"] = "slack"
    path.write_text(yaml.safe_dump(settings))
    command = ("watch", "monitor", "--now", "2026-07-01", "--tell")
    told = gitops(*command, cwd=project)
    assert (told.returncode, len(listener.taken)) == (3, 1), told.stderr
    assert "nobody has asked" in listener.taken[0]["text"]
    listener.statuses = [404]
    refused = gitops(*command, cwd=project)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert HIDDEN not in told.stdout + told.stderr + refused.stdout + refused.stderr
    assert "nobody has asked" in (project / "build/monitor/monitor.md").read_text()


def test_a_finding_is_published_if_the_command_is_told_to(project: Path, schema: Schema, tmp_path: Path) -> None:
    """`--publish` has the branch monitor/production say what was found, and ends as without."""
    traffic(project, schema)
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "origin.git")], check=True)
    subprocess.run(["git", "remote", "add", "origin", str(tmp_path / "origin.git")], cwd=project, check=True)
    told = gitops("watch", "monitor", "--now", "2026-07-01", "--publish", cwd=project)
    assert told.returncode == 3, told.stderr
    shown = subprocess.check_output(["git", "show", "monitor/production:finding.json"], cwd=tmp_path / "origin.git")
    assert json.loads(shown)["verdict"] == "alarm"
    refused = gitops("watch", "monitor", "--publish", "--batches", cwd=project)
    assert (refused.returncode, "--publish" in refused.stderr) == (2, True)


def test_answers_of_each_task_are_watched(project: Path, schema: Schema) -> None:
    """The profile has the score; of more classes the chosen one and how surely."""
    wanted = {"label", "confidence"} if TASK == "multiclass" else {"score"}
    reference = profile.Profile.model_validate_json((project / "reports/profile.json").read_bytes())
    assert set(reference.answers.columns) == wanted
    gaps = {profile.gaps(name) for name, column in schema.features.items() if column.nullable}
    assert set(reference.inputs.columns) == set(schema.features) | gaps


def test_labels_that_fit_several_answers_are_an_error_and_no_figure(project: Path, schema: Schema) -> None:
    """Where callers gave one id to several calls, the monitor says so instead of judging rows by others' labels."""
    traffic(project, schema)
    for path in [*project.glob("store/production/*/*.parquet"), project / "labels/1.parquet"]:
        table = pd.read_parquet(path)
        table.assign(request=(table["request"].astype(int) // 3).astype(str)).to_parquet(path)
    with pytest.raises(UserError, match="667 ids in the column 'request' of the labels stand for more than one answer"):
        monitor.watch(project, "production", NOW)

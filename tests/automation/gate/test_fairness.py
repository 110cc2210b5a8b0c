"""Groups that are treated differently are found, chance is not taken for it, and what is not judged is said."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gitops_ml.core import project
from gitops_ml.gate import fairness
from gitops_ml.gate import verdict as gate
from gitops_ml.gate.candidates import Candidate, Evaluation, Sensitive
from gitops_ml.gate.result import Fairness, GroupDifference, Result
from gitops_ml.report import render
from pipeline.decision import Policy
from pydantic import ValidationError
from scipy import stats

from tests.automation.gate.test_verdict import EVALUATION, GOOD, MEDIUM, ROWS, SETTINGS, TRUTH
from tests.automation.report.states import judged

SEX = np.where(np.random.default_rng(5).random(ROWS) < 0.4, "F", "M").astype(object)
POLICY = Policy("USD", ["wait", "act"], np.array([[0.0, 0.0], [-30.0, 30.0]]))
RULES = project.Fairness(columns=["sex"], errors=0.05, selection=0.05)


def rows_of(values: Any = SEX, *, is_feature: bool = False, **changes: Any) -> Evaluation:
    """The rows of the gate's tests, of people of two sexes."""
    known: dict[str, Any] = {"policy": POLICY, "classes": ["late = 0", "late = 1"], "slices": {}}
    return replace(EVALUATION, sensitive=[Sensitive("sex", values, is_feature)], **{**known, **changes})


def treated(evaluation: Evaluation, model: Candidate = GOOD, **rules: Any) -> Fairness:
    """How a model treats them, beside one that serves."""
    return fairness.judge(evaluation, model, MEDIUM, RULES.model_copy(update=rules), SETTINGS)


def biased(size: float) -> Candidate:
    """A model whose scores of women are lower."""
    return replace(GOOD, model="biased", scores=np.clip(TRUTH - size * (SEX == "F"), 0.01, 0.99))


def test_a_group_that_is_selected_less_often_is_found() -> None:
    """Rates are counts of the rows themselves, the difference has an interval, and beyond its limit it blocks."""
    model = biased(0.2)
    found = treated(rows_of(), model)
    by = {each.what: each for each in found.groups}
    assert set(by) == {"given act", "wrong where late = 0", "wrong where late = 1"}
    act, women, late = model.scores > 0.5, SEX == "F", EVALUATION.labels == 1
    given, missed = by["given act"], by["wrong where late = 1"]
    assert given.here == pytest.approx(act[women].mean())
    assert given.others == pytest.approx(act[~women].mean())
    assert given.low < given.difference < given.high < 0
    assert missed.here == pytest.approx((~act)[women & late].mean())
    assert missed.rows == (women & late).sum()
    assert (missed.name, missed.fails, given.fails) == ("sex = F against M", True, True)
    assert given.champion == pytest.approx((MEDIUM.scores > 0.5)[women].mean() - (MEDIUM.scores > 0.5)[~women].mean())
    result = gate.judge(rows_of(), model, None, SETTINGS, RULES)
    assert not result.passes
    assert f"fairness by {given.sentence}" in result.reasons
    assert gate.judge(rows_of(), GOOD, None, SETTINGS, RULES).passes


def test_errors_and_selection_have_limits_of_their_own_and_without_one_nothing_blocks() -> None:
    """What has no limit is shown and blocks nothing."""
    shown = treated(rows_of(), biased(0.2), errors=None, selection=None)
    assert not list(fairness.rules_of(shown))
    assert {each.says.text for each in shown.groups} == {"no limit"}
    one = treated(rows_of(), biased(0.2), errors=None)
    assert [rule.name for rule in fairness.rules_of(one)] == ["fairness sex = F against M: given act"]


def test_chance_is_not_taken_for_unfairness() -> None:
    """Of models that treat two groups alike no more than 5 % fail by any rate, however small the limit."""
    failed, times = 0, 100
    for seed in range(times):
        random = np.random.default_rng(seed)
        truth = random.uniform(0.05, 0.95, 900)
        evaluation = rows_of(
            np.where(random.random(900) < 0.5, "F", "M").astype(object),
            labels=(random.random(900) < truth).astype("int64"),
            clusters=np.arange(900),
            trivial={},
        )
        strict = {"errors": 1e-9, "selection": 1e-9}
        found = fairness.judge(
            evaluation, Candidate("m", truth), None, RULES.model_copy(update=strict),
            SETTINGS.model_copy(update={"resamples": 200}),
        )  # fmt: skip
        assert len(found.groups) == 3
        failed += any(each.fails for each in found.groups)
    assert failed <= stats.binom(times, 0.05).ppf(0.999)


def test_rows_that_share_their_luck_count_as_one() -> None:
    """A difference that two days make alone is proven where rows are drawn, and not where whole days are."""
    day = np.arange(ROWS) // 200
    shift = np.where((day < 3) & (SEX == "F"), 0.45, 0.0)
    model = replace(GOOD, model="of some days", scores=np.clip(TRUTH - shift, 0.01, 0.99))
    rows, days = (treated(rows_of(clusters=each), model).groups[0] for each in (np.arange(ROWS), day))
    assert rows.difference == days.difference
    assert days.high - days.low > 1.5 * (rows.high - rows.low)


def test_what_cannot_be_judged_is_said_in_a_sentence() -> None:
    """One group, groups of too few rows or of one cluster, and tasks that select nobody are named, and do not block."""
    few = np.where(np.arange(ROWS) < 12, "X", SEX).astype(object)
    found = treated(rows_of(few))
    assert found.unjudged == ["sex = X: not judged: 12 rows of 100"]
    assert {each.value for each in found.groups} == {"F"}
    assert treated(rows_of(np.full(ROWS, "F", dtype=object))).unjudged == [
        "sex: not judged: all rows are of one group, F"
    ]
    many = np.array([f"age {number}" for number in range(80)], dtype=object)[np.arange(ROWS) % 80]
    said = treated(rows_of(many)).unjudged
    assert said[0].startswith("sex: not judged: groups of fewer than 100 rows: age 0 with 50, age 1 with 50, ")
    assert said[0].endswith(" and 77 more")
    assert len(said) == 1
    clustered = treated(rows_of(clusters=np.where(SEX == "F", 0, np.arange(ROWS))))
    assert "sex = F: not judged: its rows are of 1 cluster, and draws need 5" in clustered.unjudged
    assert not clustered.groups
    regression = treated(rows_of(task="regression", classes=[], policy=None))
    assert regression.unjudged == ["not judged: a regression takes rows for no class, and so selects nobody"]
    for each in (found, clustered, regression):
        assert not each.refused


def test_groups_of_few_positives_are_judged_by_what_they_have() -> None:
    """A group whose label is rare is judged by selection, and its misses are said not to be."""
    labels = np.where((SEX == "F") & (np.arange(ROWS) > 300), 0, EVALUATION.labels)
    found = treated(rows_of(labels=labels, slice_minimum=200))
    assert [each.what for each in found.groups] == ["given act", "wrong where late = 0"]
    count = int(((SEX == "F") & (labels == 1)).sum())
    assert f"sex, wrong where late = 1 = F: not judged: {count} rows of 200" in found.unjudged


def test_a_column_that_is_not_there_blocks() -> None:
    """A column that schema.yaml lacks, be it a slip of the pen, is no column on which all are treated alike."""
    result = gate.judge(rows_of(None), GOOD, None, SETTINGS, RULES)
    assert not result.passes
    assert "fairness by sex: not judged, since schema.yaml has no such column" in result.reasons


def test_a_sensitive_feature_is_refused_unless_it_is_allowed() -> None:
    """A model that sees a sensitive column does not pass, unless fairness.features names it; then that is said."""
    seen = rows_of(is_feature=True)
    refused = gate.judge(seen, GOOD, None, SETTINGS, RULES)
    assert not refused.passes
    assert "fairness by sex is a feature of the model, and fairness.features does not allow that" in refused.reasons
    allowed = gate.judge(seen, GOOD, None, SETTINGS, RULES.model_copy(update={"features": ["sex"]}))
    assert allowed.passes
    assert allowed.fairness
    assert allowed.fairness.allowed == ["sex"]
    with pytest.raises(ValidationError, match="features names 'age', which is not among its columns"):
        project.Fairness(columns=["sex"], errors=None, selection=None, features=["age"])


def test_without_a_decision_the_likelier_class_is_what_is_given() -> None:
    """Where nothing is decided, selected is who is taken for the second of two classes; of more, each class counts."""
    plain = treated(rows_of(policy=None), biased(0.2))
    whats = [each.what for each in plain.groups]
    assert whats == ["taken for late = 1", "wrong where late = 0", "wrong where late = 1"]
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, ROWS)
    scores = np.eye(3)[labels] * 0.6 + 0.4 / 3
    scores[SEX == "F"] = np.roll(scores[SEX == "F"], 1, axis=1)
    classes = ["kind = a", "kind = b", "kind = c"]
    evaluation = rows_of(labels=labels, task="multiclass", classes=classes, policy=None)
    found = {each.what: each for each in treated(evaluation, Candidate("wrong", scores)).groups}
    assert set(found) == {"taken for kind = a", "taken for kind = b", "taken for kind = c", "wrong"}
    assert (found["wrong"].here, found["wrong"].others) == (1.0, 0.0)


def test_of_three_groups_each_is_held_against_the_others() -> None:
    """More than two groups are compared each with all others, and those of too few rows with none."""
    values = np.array(["a", "b", "c"], dtype=object)[np.arange(ROWS) % 3]
    found = treated(rows_of(values))
    assert {each.value for each in found.groups} == {"a", "b", "c"}
    assert {each.against for each in found.groups} == {""}
    act = GOOD.scores > 0.5
    given = next(each for each in found.groups if (each.value, each.what) == ("b", "given act"))
    assert given.others == pytest.approx(act[values != "b"].mean())


def test_where_no_column_is_named_nothing_is_other_than_it_was() -> None:
    """Without sensitive columns, result, report and page have no trace of groups."""
    report = judged(GOOD, MEDIUM)
    assert report.gate
    assert "fairness" not in report.gate.model_dump()
    for text in (report.model_dump_json(), render.markdown(report), render.html(report)):
        assert "fairness" not in text
        assert "Groups" not in text


def difference(name: str) -> GroupDifference:
    """A group of this name that fails."""
    return GroupDifference(
        column=name, value=name, what=name, rows=300, here=0.4, others=0.2, difference=0.2, low=0.1, high=0.3, limit=0.1
    )


@pytest.mark.parametrize("name", ["<b>x</b> | `y` \u202e", "long " * 60])
def test_report_and_comment_show_groups(name: str) -> None:
    """Groups stand in the page and in the comment, whatever they are called, and read back from the JSON."""
    report = judged(GOOD, MEDIUM)
    assert report.gate
    found = Fairness(errors=0.1, selection=None, confidence=0.95, groups=[difference(name)], unjudged=[f"{name}: few"])
    report.gate = report.gate.model_copy(update={"fairness": found})
    assert Result.model_validate_json(report.gate.model_dump_json()) == report.gate
    page, comment = render.html(report), render.markdown(report)
    assert 'id="fairness"' in page
    assert 'href="#fairness"' in page
    [row] = [line for line in comment.splitlines() if "+20.0 (+10.0 to +30.0)" in line]
    head = next(line for line in comment.splitlines() if line.startswith("| group, "))
    assert len(re.findall(r"(?<!\\)\|", row)) == head.count("|")
    assert "1 difference between groups, 1 against the rules" in comment
    assert "<b>x" not in page

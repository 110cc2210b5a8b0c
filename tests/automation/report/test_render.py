"""The report's two renderings: complete, short enough, and proof against what strangers write into names."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from gitops_ml.gate import verdict
from gitops_ml.gate.result import Measured
from gitops_ml.pages import charts, words
from gitops_ml.report import figures, render, summary
from gitops_ml.report.compared import Choice, Compared
from gitops_ml.report.content import Change, Curve, Decisive, Metric, Report, Shift, Stage, Table
from gitops_ml.report.cost import Cost, Job, Moved, Ran, Repro
from gitops_ml.versions.revision import Revision

from tests.automation.gate.test_verdict import EVALUATION, GOOD, MEDIUM, SETTINGS
from tests.automation.report import states

RESULT = verdict.judge(EVALUATION, GOOD, MEDIUM, SETTINGS)
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a|b|c",
    "](javascript:alert(1))",
    "![x](https://example.org/track.png)",
    "@everyone #1 https://example.org",
    "```\n# heading",
    "</code><b>bold</b>",
    '"]\n  bar [9, 9]',
    "{{ 7 * 7 }} {% raw %}",
]


def full_report(text: str, rows: int = 1) -> Report:
    """A report in which every text that a stranger could have written is `text`."""
    result = RESULT
    slices = [each.model_copy(update={"column": text, "value": text}) for each in result.slices] * rows
    measured = result.challenger_metrics["roc_auc"]
    return Report(
        title=text,
        branch=text,
        base="0" * 40,
        commit="1" * 40,
        changed=True,
        decisive=[Decisive(path=text, name=text, what="what decides", before=text, after=text, owners=[text])] * rows,
        stale=[text] * rows,
        gate=result.model_copy(update={"reasons": [text] * rows, "slices": slices}),
        metrics=[
            Metric(name=name, base=None, here=measured, champion=measured) for name in ("roc_auc", "average_precision")
        ],
        params=[Change(name=text, before=text, after=None)] * rows,
        schema_changes=[Change(name=text, before=None, after=text)] * rows,
        tables=[Table(file=text, rows_before=None, rows_after=7, new_values={text: {text: 1}})] * rows,
        shifts=[Shift(column=text, measure="standard deviations", size=0.3)] * rows,
        stages=[Stage(name=text, fate="new result")],
        curves=[Curve(name="ROC", x="x", y="y", series={"this change": [(0, 0), (0.5, 0.8), (1, 1)]})],
        importance=[(text, 0.1), ("other", 0.05)],
        needless=[text],
        choice=Choice(
            metric="roc_auc",
            lower_is_better=False,
            margin=0.01,
            taken=text,
            reason=text,
            cost="9 fits",
            compared=[
                Compared(name="mean", value=0.5, says="trivial"),
                Compared(name=text, value=0.7, difference=Measured(value=-0.02, low=-0.03, high=-0.01)),
                Compared(name=text, value=None, says=text),
            ]
            * rows,
        ),
        confusion=[(text, "other", 3), ("other", "other", 5)],
        predicted=[(1.0, 1.2), (2.0, 1.9)],
        lineage={"Source commit": text},
        cost=Cost(
            repro=Repro(
                lock=text,
                stages={text: Ran(state="restored")},
                computed=Moved(files=0, octets=0),
                brought=Moved(files=1, octets=5),
            ),
            jobs=[Job(name=text, conclusion=text, seconds=7)] * rows,
            jobs_unknown=text,
            stages_unknown=text,
        ),
    )


def test_what_a_run_cost_is_told() -> None:
    """Comment and page say what was computed and what restored, bytes and rows; the comment's jobs are by length."""
    report = states.STATES["models compared"]()
    shown = html.unescape(re.sub(r"</?code>", "", render.markdown(report)))
    assert "What this run cost: jobs took 50 min 21 s together; 2 of 4 stages computed in 2 min 19 s" in shown
    jobs = [line for line in shown.splitlines() if line.startswith("| ") and " s | " in line]
    assert jobs[0] == "| package and try out | 40 min 0 s | - | timed out |"
    assert jobs[1].startswith("| lint, types, tests | 6 min 52 s | 3 min 0 s | longer than in any")
    assert [row.split("|")[1].strip() for row in jobs[:4]][2:] == ["train and evaluate", "what there is to do"]
    page = html.unescape(render.html(report))
    rows = "112,776 read, 84,582 trained, 28,194 judged"
    assert f"Computed: 1.25 MB in 12 files. Rows: {rows}." in shown
    for text in (shown, page):
        assert all(said in text for said in ("3.4 MB in 3 files", "1.25 MB in 12 files", rows))
    assert "| validate | nothing to do | - |" in shown
    assert "new result; computed in 8.2 s" in page
    unknown = states.STATES["not judged"]()
    assert all("none ran here" in html.unescape(shown) for shown in (render.markdown(unknown), render.html(unknown)))


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_hostile_text_as_text(text: str) -> None:
    """Outside of the charts, nothing of a hostile text is left that Markdown or HTML would act on."""
    shown = render.markdown(full_report(text))
    prose = re.sub(r"```mermaid\n.*?```", "", shown, flags=re.DOTALL)
    tags = set(re.findall(r"<[^>]*>", prose))
    assert tags <= {"<code>", "</code>", "<details>", "</details>", "<summary>", "</summary>"}
    for inside in re.findall(r"<code>(.*?)</code>", prose):
        assert re.fullmatch(r"(?:[0-9A-Za-z_ …→,()+%=-]|\.(?=[0-9])|&#\d+;)*", inside)
        assert not re.search(r"www\.", inside)
    (row,) = (line for line in prose.splitlines() if line.startswith("| ROC AUC"))
    assert row.count("|") == 5


@pytest.mark.parametrize("text", HOSTILE)
def test_charts_keep_their_syntax(text: str) -> None:
    """A feature's name cannot end a chart's line or fence."""
    charts = re.findall(r"```mermaid\n(.*?)\n```", render.markdown(full_report(text)), flags=re.DOTALL)
    assert len(charts) == 2
    names = next(line for line in charts[1].splitlines() if line.startswith("  x-axis"))
    assert re.fullmatch(r'  x-axis \["[0-9A-Za-z_ .?-]*", "other"\]', names)
    assert len(charts[1].splitlines()) == 6


@pytest.mark.parametrize("text", HOSTILE)
def test_html_escapes_hostile_text(text: str) -> None:
    """No element, attribute or script comes into the page from a name."""
    page = render.html(full_report(text))
    outside = re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    allowed = (
        "!doctype html head meta title style body main h1 h2 h3 div section nav ul li a p span code details summary "
        "table caption colgroup col thead tbody tr th td figure figcaption"
    )
    found = {tag.lower() for tag in re.findall(r"</?([!a-zA-Z][a-zA-Z0-9]*)", outside)}
    assert found <= {*allowed.split()}
    assert not re.search(r"<(script|img)", page)


def test_html_needs_no_network() -> None:
    """The page loads nothing: no address is in a place from which a browser would fetch."""
    page = render.html(full_report("plain"))
    assert not re.search(r'(src|href)="(?!#|data:)|url\(|@import|<link|<iframe', page)


@pytest.mark.parametrize("rows", [1, 50, 5000])
def test_a_comment_is_never_too_long(rows: int) -> None:
    """However large the project, the comment stays below GitHub's limit and says what it left out."""
    shown = render.markdown(full_report("<&|" * 40, rows))
    assert len(shown) < 65_536
    assert ("more are in the HTML report" in shown) == (rows > 20)


def report(**more: Any) -> Report:
    """A change of nothing, and what is more."""
    facts = {"title": "T", "branch": "b", "base": "0" * 40, "commit": "1" * 40, "changed": False}
    return Report.model_validate(facts | more)


def test_a_report_without_new_results_shows_no_verdict() -> None:
    """Where the model is the same, both renderings say that and show no figures."""
    for shown in (render.markdown(report()), render.html(report())):
        assert "The same model" in shown
        assert "champion" not in shown


SAID = {
    "promote": "✅ May replace what serves: ROC AUC +0.0",
    "keep": "❌ Must not replace what serves: 5 rules fail, ROC AUC -0.1",
    "keep the same": "⚪ Is what serves",
    "insufficient evidence": "⏳ Not known yet: ROC AUC ",
    "first model": "✅ Fit to serve",
    "first model, unfit": "❌ Not fit to serve: 3 rules fail",
    "nothing changed": "⚪ The same model",
    "rules changed only": "⏳ The same model, under other rules: 1 change of rules or trust",
    "failed training": "⏳ Not known yet, since make repro is missing: 1 setting",
    "not judged": "⏳ Not known yet, since nothing judged the new results",
    "other rows": "❌ Must not replace what serves: 2 rules fail, ROC AUC +0.0",
    "60 slices": "❌ Must not replace what serves: 2 rules fail, ROC AUC +0.0",
}


@pytest.mark.parametrize("state", SAID)
def test_a_comment_begins_with_what_follows(state: str) -> None:
    """The first line says in words what the verdict means, with the figure or the rules that decided."""
    shown = render.markdown(states.STATES[state]())
    assert shown.startswith(f"## {SAID[state]}")
    sign = SAID[state][0]
    assert all(other not in shown.splitlines()[0] for other in words.SIGNS.values() if other != sign)


def test_what_to_look_at_is_listed_with_the_most_harmful_first() -> None:
    """Rules that change stand before an exam that moved, that before near limits, slices and new values."""
    report = states.other_rows()
    report.gate = states.judged(MEDIUM, GOOD, floors={"roc_auc": 0.72}, slice_margin=0.001).gate
    found = [note.what for note in summary.notes(report)]
    assert found == [
        "Rules or trust change",
        "Other evaluation rows than at the base",
        "Near a limit",
        "New values",
    ]
    assert [note.what for note in summary.notes(states.judged(GOOD, MEDIUM))] == []


@pytest.mark.parametrize("decides", [True, False])
def test_what_moved_the_exam_is_named(decides: bool) -> None:
    """Settings of the split and files that came are named as what changed the rows, wherever else they are listed."""
    report = states.other_rows()
    if decides:
        change = {"path": "params.yaml", "what": "which rows judge a model, and how"}
        report.decisive, report.params = [Decisive.model_validate(change | dict(report.params[0]))], []
    note = next(note for note in summary.notes(report) if note.what.startswith("Other evaluation rows"))
    assert note.text.startswith("prepare.test_fraction 0.25 → 0.35, 2013-04.parquet is new; ")


def test_a_metric_that_is_better_the_lower_is_shown_as_it_changed() -> None:
    """A log loss that fell reads as a fall, also where it decides, and the strip still has better at its right."""
    gate = verdict.judge(EVALUATION, GOOD, MEDIUM, SETTINGS.model_copy(update={"metric": "log_loss"}))
    assert gate.difference
    assert gate.difference.difference > 0
    assert gate.difference.sentence.startswith("log loss -0.")
    assert gate.says.text == "May replace what serves"


DECISIVE = {"path": "project.yaml", "name": "gate.floors.roc_auc", "what": "what no model may fall below"}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("promote", "The gate does not block the merge."),
        ("insufficient evidence", "The gate blocks the merge."),
        ("first model, unfit", "The gate blocks the merge."),
        ("failed training", "The gate blocks the merge."),
        ("nothing changed", "The gate does not block the merge."),
        ("rules changed only", "The gate does not block the merge; what is new in rules or trust needs its owners."),
    ],
)
def test_every_report_says_what_becomes_of_the_merge(state: str, said: str) -> None:
    """Whether the gate blocks it, and that owners have to agree, stands below the heading of page and comment."""
    shown = states.STATES[state]()
    assert shown.merging == said
    assert f"<p>{said}</p>" in render.html(shown)
    assert f"**{said}**" in render.markdown(shown)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"stale": ["train of params.yaml"]}, "Not known yet, since make repro is missing"),
        ({"params": [{"name": "train.seed", "before": "0", "after": "1"}]}, "The same model: 1 setting"),
        (
            {"decisive": [DECISIVE | {"before": "0.65", "after": "0.01"}] * 2},
            "The same model, under other rules: 2 changes of rules or trust",
        ),
        ({"packages": [{"name": "x", "before": None, "after": "1", "use": "a tool"}]}, "The same model: 1 package"),
        ({"changed": True}, "Not known yet, since nothing judged the new results"),
    ],
)
def test_the_heading_says_what_changed(facts: dict[str, Any], said: str) -> None:
    """A change that makes no other model is told by what it changes, and never called no change."""
    assert report(**facts).heading.startswith(said)
    for shown in (html.unescape(render.markdown(report(**facts))), html.unescape(render.html(report(**facts)))):
        assert said.partition(":")[0] in shown
        assert "nothing changed" not in shown


def test_what_decides_is_shown_first_with_before_and_after() -> None:
    """Floors, keys and rights stand before the figures, beside whom the change asks for."""
    change = DECISIVE | {"before": "0.65", "after": "0.01", "owners": ["@acme/ml-engineers"]}
    whole = full_report("plain").model_copy(update={"decisive": [Decisive.model_validate(change)]})
    for shown in (html.unescape(render.markdown(whole)), html.unescape(render.html(whole))):
        places = [shown.index(each) for each in ("gate.floors.roc_auc", "0.65", "0.01", "@acme/ml-engineers<")]
        assert max(places) < shown.index("average precision")


def test_figures_of_other_rows_stand_in_no_column() -> None:
    """Without figures of the same rows there is no column for the base, and a sentence says why."""
    measured = RESULT.challenger_metrics["roc_auc"]
    same, other = full_report("plain"), full_report("plain").model_copy(update={"same_rows": False})
    before = measured.model_copy(update={"value": 0.1})
    same.metrics = [Metric(name="roc_auc", base=before, here=measured, champion=measured)]
    assert ">base</th>" in render.html(same)
    assert ">base</th>" not in render.html(other)
    for shown in (render.markdown(other), render.html(other)):
        assert "The base was measured on other rows" in shown


def test_what_was_compared_is_shown_with_its_difference() -> None:
    """Report and comment say what was taken and why, and how much worse every other candidate and trivial model was."""
    report = full_report("a name")
    for shown in (render.html(report), render.markdown(report)):
        assert "What was compared to train it" in shown
        assert "-0.0300 to -0.0100" in shown
        assert "9 fits" in shown
    assert "Predicted and true" in render.html(report)


def test_base_and_champion_are_explained() -> None:
    """Whoever reads of a base and a champion reads on the same page what they are."""
    report = states.STATES["promote"]()
    for text in (render.html(report), render.markdown(report)):
        assert "the commit at which" in text
        assert "what production serves now" in text
    assert "hampion" not in render.html(states.STATES["rules changed only"]())


def test_a_calibration_is_held_against_the_perfect_one() -> None:
    """A calibration curve has the line on which it would be perfect, as far as there are predictions, and only it."""
    curves = {curve.name: curve for curve in states.STATES["promote"]().curves}
    assert [name for name, curve in curves.items() if charts.PERFECT in curve.series] == ["Calibration"]
    models = [points for label, points in curves["Calibration"].series.items() if label != charts.PERFECT]
    scores = [x for points in models for x, _ in points]
    ends = (min(scores), max(scores))
    assert curves["Calibration"].series[charts.PERFECT] == [(end, end) for end in ends]
    assert charts.PERFECT in charts.curve_svg(curves["Calibration"])
    assert list(states.STATES["first model"]().curves[2].series) == ["this change", charts.PERFECT]


@pytest.mark.parametrize(
    ("champion", "low", "lower", "remarked"),
    [
        (0.7, 0.16, False, True),
        (0.7, 0.14, False, False),
        (0.98, 0.005, False, False),
        (30.0, 16.0, True, True),
        (30.0, 14.0, True, False),
    ],
    ids=["a leap", "large, perhaps by chance", "little room left", "half of the error is gone", "less of it"],
)
def test_a_gain_that_is_almost_too_good_is_to_be_looked_at(
    champion: float, low: float, lower: bool, remarked: bool
) -> None:
    """A gain beyond doubt of more than half of what the champion lacks to perfect is remarked on, as a leak may be."""
    report = states.STATES["promote"]()
    assert report.gate
    assert report.gate.difference
    facts = {"champion": champion, "low": low, "difference": low * 1.1, "high": low * 1.2, "lower_is_better": lower}
    report.gate = report.gate.model_copy(update={"difference": report.gate.difference.model_copy(update=facts)})
    assert ("Almost too good" in [note.what for note in summary.notes(report)]) == remarked


@pytest.mark.parametrize("state", states.STATES)
def test_what_to_look_at_leads_to_a_place_of_the_page(state: str) -> None:
    """Each note and chip is a link to something that the page has."""
    page = render.html(states.STATES[state]())
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r' id="([^"]+)"', page))


def test_rows_that_a_setting_with_owners_moved_lead_to_that_setting() -> None:
    """If only what decides about trust moved the rows, there are no other settings to be led to."""
    found = states.other_rows()
    split = found.decisive[0].model_copy(update={"path": "params.yaml", "name": "prepare.split.test_fraction"})
    found = found.model_copy(update={"decisive": [split], "params": [], "tables": []})
    [note] = [each for each in summary.notes(found) if each.what.startswith("Other evaluation rows")]
    assert note.place == "trust"


def test_each_metric_of_a_comment_says_in_which_direction_it_is_better() -> None:
    """A log loss that rose cannot be taken for progress, and what fails is listed once."""
    shown = render.markdown(states.STATES["keep"]())
    assert "| log loss, lower is better |" in shown
    assert "| ROC AUC, higher is better |" in shown
    assert shown.count("calibration error&#58; 0.2615 exceeds 0.2") == 1


def test_a_column_whose_shuffling_costs_nothing_beyond_chance_is_named(tmp_path: Path) -> None:
    """Both renderings name the columns whose mean loss lies within two standard errors of nothing, or below it."""
    path = tmp_path / "reports/plots/importance.csv"
    path.parent.mkdir(parents=True)
    rows = (
        "feature,importance,deviation",
        "clear,0.1,0.02",
        "faint,0.02,0.01",
        "noise,0.005,0.01",
        "worse,-0.01,0.001",
    )
    path.write_text("\n".join(rows))
    found = figures.needless(Revision(tmp_path, None), repeats=5)
    assert found == ["noise", "worse"]
    report = states.judged(GOOD, MEDIUM).model_copy(update={"needless": found, "importance": [("clear", 0.1)]})
    for said in (render.html(report), render.markdown(report)):
        assert "of no use by itself" in said.lower()
        assert "noise, worse" in said
    assert "of no use" not in render.html(states.judged(GOOD, MEDIUM).model_copy(update={"needless": []}))

"""The settings that fit a table: params, the gate's rules and the plots, rendered as the files that people edit."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import yaml
from pipeline import copies, data
from pipeline import split as division
from pipeline.params import Split
from pipeline.schema import DataError, Schema
from pipeline.validation import cast

from gitops_ml.core.errors import UserError
from gitops_ml.intake import identifiers, label
from gitops_ml.intake.facts import Facts
from gitops_ml.intake.infer import Wishes

TEMPLATES = Path(__file__).parent / "templates"
TEST_FRACTION = 0.25
MANY_CLASSES = 20
# From here on boosting stops by itself.
MANY_ROWS = 10_000
# A forest's leaves grow with the rows; so many bytes are well within what the gate lets a model have.
TREES = 100
FOREST_BYTES = 40_000_000
SEEDS = 20
MOST_SLICES = 2
# The rest of a block of YAML: lines that are indented, and comments and empty lines between them.
BLOCK = r".*\n(?:  .*\n|(?:#.*\n|\n)+(?=  ))*"
HEADER = re.compile(r"\A(?:#.*\n|\n)*")


@dataclass(frozen=True)
class Division:
    """The block `prepare.split`, and how the rows that judge are like those that train.

    `copies`: how many rows of the sample repeat others. `unknown`: categories whose values hardly stand among those
    that train, with the share that does.
    """

    split: dict[str, Any]
    copies: int
    unknown: dict[str, float]


@dataclass(frozen=True)
class Table:
    """What the settings follow from."""

    schema: Schema
    facts: dict[str, Facts]
    wishes: Wishes
    division: Division

    @property
    def test_rows(self) -> int:
        """About how many rows will judge."""
        return int(self.facts[self.schema.target].present * TEST_FRACTION)


def table_of(schema: Schema, facts: dict[str, Facts], sample: pd.DataFrame, wishes: Wishes) -> Table:
    """Try out how the rows can be divided.

    Raises:
        UserError: one part could not train, or the other not judge.
    """
    return Table(schema, facts, wishes, _division(sample, schema, facts, wishes))


def schema_text(schema: Schema, before: str) -> str:
    """schema.yaml: the explanation that stands on top of the file before, and a column a line."""
    header = HEADER.match(before)
    lines = [header[0] if header else "", f"task: {schema.task}\n"]
    if schema.dropped:
        lines.append(_flow({"dropped": schema.dropped}))
    lines.append("columns:\n")
    for name, column in schema.columns.items():
        settings = column.model_dump(mode="json", exclude_defaults=True) | {"type": column.type}
        ordered = {key: settings[key] for key in type(column).model_fields if key in settings}
        # Whole limits of whole numbers are written without a point.
        ordered = {
            key: int(value) if isinstance(value, float) and value.is_integer() else value
            for key, value in ordered.items()
        }
        lines.append("  " + _flow({name: ordered})[:-1].replace("\n", "\n  ") + "\n")
    return "".join(lines)


def params_text(table: Table) -> str:
    """params.yaml."""
    return _render(
        "params.yaml.jinja",
        split=table.division.split,
        candidates=_candidates(table),
        resample_by=_resample_by(table),
        slices=_slices(table),
        slice_minimum=max(30, min(200, table.test_rows // 4)),
        bins=_bins(table),
    )


def _candidates(table: Table) -> list[dict[str, Any]]:
    """What is compared, the simplest first: a regularised linear model, a forest, gradient boosting.

    Along time there is boosting upon a line, too, since trees cannot follow a trend.
    """
    schema, rows = table.schema, int(table.facts[table.schema.target].present * (1 - TEST_FRACTION))
    many = len(schema.classes) > MANY_CLASSES
    forest: dict[str, Any] = {"n_estimators": TREES} | ({} if schema.task == "regression" else {"min_samples_leaf": 2})
    iterations = 150 if schema.task == "regression" else 100
    boosting: dict[str, Any] = {"max_iter": iterations, "learning_rate": 0.06, "early_stopping": False}
    leaves = int(FOREST_BYTES / (2 * TREES * (64 + 8 * max(1, len(schema.classes)))))
    if rows > leaves:
        forest["max_leaf_nodes"] = leaves
    if rows >= MANY_ROWS:
        boosting |= {"max_iter": 300, "early_stopping": True}
    if many:
        boosting["max_iter"] = 50
    if schema.task != "regression":
        return [
            {"path": "sklearn.linear_model.LogisticRegression", "arguments": {"max_iter": 1000}},
            {"path": "sklearn.ensemble.RandomForestClassifier", "arguments": forest},
            {"path": "sklearn.ensemble.HistGradientBoostingClassifier", "arguments": boosting},
        ]
    counts = label.poisson(table.facts[schema.target])
    upon_a_line = {name: boosting[name] for name in ("max_iter", "learning_rate")}
    found = {
        "sklearn.linear_model.RidgeCV": {"alphas": [1, 10, 100, 1000]},
        "sklearn.linear_model.PoissonRegressor": {"alpha": 0.01, "max_iter": 1000} if counts else None,
        "pipeline.trend.BoostedLine": upon_a_line if table.wishes.time_column else None,
        "sklearn.ensemble.RandomForestRegressor": forest,
        "sklearn.ensemble.HistGradientBoostingRegressor": boosting | ({"loss": "poisson"} if counts else {}),
    }
    return [{"path": path, "arguments": arguments} for path, arguments in found.items() if arguments]


def gate_text(table: Table, before: str) -> str:
    """project.yaml with the gate's rules for the task, and nothing decided; everything else is left as it is."""
    schema = table.schema
    floors: dict[str, float]
    match schema.task:
        case "binary":
            metric, margin, floors = "roc_auc", 0.01, {"roc_auc": 0.5}
        case "multiclass":
            share = round(1 / len(schema.classes), 4)
            metric, margin, floors = "roc_auc_ovr", 0.01, {"roc_auc_ovr": 0.5, "balanced_accuracy": share}
        case "regression":
            metric, margin, floors = "r2", 0.01, {"r2": 0.0}
    # What chance makes of honest probabilities in bins of so few rows, twice, and a little.
    error = 0.05 + 0.8 * (_bins(table) / max(1, table.test_rows)) ** 0.5
    error = round(error, 2)
    block = _render("gate.yaml.jinja", task=schema.task, metric=metric, margin=margin, floors=floors, error=error)
    text = re.sub(rf"^gate:{BLOCK}", lambda _: block, before, flags=re.MULTILINE)
    # What was decided was about the labels of the table before.
    return re.sub(rf"^decision:{BLOCK}", "decision: null\n", text, flags=re.MULTILINE)


def plots_text(schema: Schema, before: str) -> str:
    """dvc.yaml with the plots of the task; the stages are left as they are."""
    return re.sub(
        r"^plots:\n(?:[ \n].*\n?)*", lambda _: _render("plots.yaml.jinja", task=schema.task), before, flags=re.MULTILINE
    )


def readme_text(schema: Schema, before: str) -> str:
    """README.md with a request that fits the schema in place of the example's."""
    row = {name: column.example for name, column in schema.features.items()}
    body = json.dumps({"row": row}, ensure_ascii=False, indent=1)
    # Signs that end the shell's text or the document's block are written as JSON's own escapes.
    body = body.replace("'", "\\u0027").replace("`", "\\u0060")
    command = f"```sh\ncurl -s http://127.0.0.1:3000/predict -H 'content-type: application/json' -d '{body}'\n```"
    block = r"^```sh\ncurl -s http://127\.0\.0\.1:3000/predict .*?^```$"
    return re.sub(block, lambda _: command, before, count=1, flags=re.DOTALL | re.MULTILINE)


def _division(sample: pd.DataFrame, schema: Schema, facts: dict[str, Facts], wishes: Wishes) -> Division:
    """By time or by group as the person said, else at random; tried out on the rows."""
    try:
        rows = data.labelled({"the table": cast(sample, schema.columns)}, schema)
    except DataError as error:
        raise UserError(str(error)) from error
    split: dict[str, Any] = {"by": "random", "test_fraction": TEST_FRACTION, "seed": 0}
    if wishes.time_column:
        split = {"by": "time", "columns": [wishes.time_column], "test_fraction": TEST_FRACTION}
    elif wishes.key and not facts[wishes.key].unique:
        split |= {"by": "group", "columns": [wishes.key]}
        # Few groups of unequal size may fall far from the share that was asked for.
        split["seed"] = min(range(SEEDS), key=lambda seed: _distance(rows, wishes.key, seed))
    try:
        train, test = division.divide(rows, schema, Split.model_validate(split))
    except DataError as error:
        raise UserError(f"the table cannot be divided into rows that train and rows that judge: {error}") from error
    repeated = int((copies.originals(data.whole(rows), schema) != np.arange(len(rows))).sum())
    return Division(split, repeated, identifiers.unknown_values(train, test, schema))


def _distance(rows: pd.DataFrame, key: str | None, seed: int) -> float:
    """How far the rows that judge are from the share that was asked for, if groups are drawn by this seed."""
    try:
        _, test = division.by_group(rows, [key or ""], TEST_FRACTION, seed)
    except DataError:
        return 1.0
    return abs(len(test) / len(rows) - TEST_FRACTION)


def _resample_by(table: Table) -> list[str]:
    """What several rows share: the key, else the moment, if enough of them will be among the rows that judge."""
    for name in (table.wishes.key, table.wishes.time_column):
        if name and table.facts[name].distinct * 2 <= table.facts[name].rows and table.facts[name].distinct >= 40:
            return [name]
    return []


def _slices(table: Table) -> list[str]:
    names = [
        name
        for name, column in table.schema.features.items()
        if (column.type == "category" and 2 <= len(column.categories or []) <= 10) or column.type == "boolean"
    ]
    return names[:MOST_SLICES]


def _bins(table: Table) -> int:
    return max(2, min(10, table.test_rows // 50))


def _flow(value: Any) -> str:
    def dumped(allow_unicode: bool) -> str:
        text: str = yaml.safe_dump(
            value, default_flow_style=None, sort_keys=False, allow_unicode=allow_unicode, width=110
        )
        return text

    text = dumped(allow_unicode=True)
    # Line breaks of YAML that are not those of Python: it writes them as they are, and reads them as a blank.
    return dumped(allow_unicode=False) if set("\x85\u2028\u2029") & set(text) else text


def _render(template: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - YAML, in which the filter quotes every name
    )
    environment.filters["yaml"] = lambda value: _flow(value).strip()
    environment.filters["braces"] = lambda value: yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False
    ).strip()
    return environment.get_template(template).render(values)

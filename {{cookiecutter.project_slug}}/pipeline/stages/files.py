"""Where the stages' files are, and how they are read and written; relative to the project, where DVC starts a stage.

Outputs are written beside their place and moved there once whole, so a stage that fails leaves the previous ones.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import yaml
from pydantic import BaseModel, ValidationError

from pipeline.model import EstimatorError
from pipeline.params import Params, ParamsError, Rule
from pipeline.persistence import ModelError, ModelFacts
from pipeline.schema import DataError, Schema

RAW = Path("data/raw")
TRAIN = Path("data/prepared/train.parquet")
TEST = Path("data/prepared/test.parquet")
MODEL = Path("models/model.skops")
MODEL_FACTS = Path("models/model.json")
REPORTS = Path("reports")
CANDIDATES = REPORTS / "candidates.json"
# Digits of a figure. In which order a sum is added, and so its last bits, differs from one processor to another.
SIGNIFICANT = 12
DATA_REPORT = REPORTS / "data.json"
PROFILE = REPORTS / "profile.json"

Settings = TypeVar("Settings", bound=BaseModel)


class SettingsError(Exception):
    """A settings file is missing or wrong; the message names the file and the setting."""


class _Project(BaseModel):
    trusted_types: list[str] = []
    gate: Rule


def params() -> Params:
    """params.yaml."""
    return _settings(Path("params.yaml"), Params)


def schema() -> Schema:
    """schema.yaml."""
    return _settings(Path("schema.yaml"), Schema)


def trusted_types() -> list[str]:
    """The types, beyond skops' own, that a model's file may hold: `trusted_types` of project.yaml."""
    return _settings(Path("project.yaml"), _Project).trusted_types


def rule() -> Rule:
    """What candidates are compared by: metric, margin and confidence of `gate` in project.yaml."""
    return _settings(Path("project.yaml"), _Project).gate


def model_file() -> tuple[bytes, ModelFacts]:
    """models/model.skops, and models/model.json, which says what must hold before it is loaded.

    Raises:
        ModelError: one of the two is missing, or model.json is damaged.
    """
    try:
        return MODEL.read_bytes(), ModelFacts.model_validate_json(MODEL_FACTS.read_bytes())
    except OSError as error:
        raise ModelError(f"{error.filename} cannot be read: {error.strerror}; `make repro` makes it") from error
    except ValidationError as error:
        raise ModelError(f"{MODEL_FACTS} is damaged; `make repro` makes it again") from error


def write(contents: dict[Path, bytes]) -> None:
    """Write all files, each moved to its place only when every one is whole on disk."""
    with writing(*contents) as places:
        for place, content in zip(places, contents.values(), strict=True):
            place.write_bytes(content)


@contextmanager
def writing(*paths: Path) -> Iterator[list[Path]]:
    """Where to write files, which are moved to their places once every one is whole on disk."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    yield [_beside(path) for path in paths]
    for path in paths:
        os.replace(_beside(path), path)


def csv(table: pd.DataFrame) -> bytes:
    """The table as a CSV file."""
    return table.to_csv(index=False, lineterminator="\n", float_format=f"%.{SIGNIFICANT}g").encode()


def as_json(value: Any) -> bytes:
    """The value as a JSON file; NaN is an error, since JSON has none."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def rounded(value: Any) -> Any:
    """Figures of any structure with as many digits as every processor computes alike."""
    match value:
        case dict():
            return {name: rounded(each) for name, each in value.items()}
        case list() | tuple():
            return [rounded(each) for each in value]
        case float():
            return float(f"{value:.{SIGNIFICANT}g}")
        case _:
            return value


def run(stage: Callable[[], None]) -> None:
    """Run a stage; what its user can mend ends in one sentence and exit code 1, without a traceback."""
    try:
        stage()
    except (DataError, EstimatorError, ModelError, ParamsError, SettingsError) as error:
        sys.exit(f"error: {error}")


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _settings(path: Path, form: type[Settings]) -> Settings:
    try:
        return form.model_validate(_yaml(path) or {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SettingsError(f"{path}: {place}: {first['msg'].removeprefix('Value error, ')}") from error


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}; run this in the project's folder") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).replace(' in "<unicode string>",', "").split())
        raise SettingsError(f"{path} is not valid YAML: {reason}") from error

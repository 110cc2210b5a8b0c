"""What all of them serve: the model of the Bento whose `src` is the working folder."""

from __future__ import annotations

from pathlib import Path

import yaml
from pipeline import persistence
from pipeline.decision import Decision, policy
from pipeline.schema import Schema

PROJECT = yaml.safe_load(Path("project.yaml").read_text())
SCHEMA = Schema.model_validate(yaml.safe_load(Path("schema.yaml").read_text()))
COLUMNS = list(SCHEMA.features)
POLICY = policy(Decision.model_validate(PROJECT["decision"]), SCHEMA)
PIPELINE = persistence.load(
    Path("models/model.skops").read_bytes(),
    persistence.ModelFacts.model_validate_json(Path("models/model.json").read_bytes()),
    PROJECT["trusted_types"],
)

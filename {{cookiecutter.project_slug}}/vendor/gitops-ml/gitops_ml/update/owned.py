"""Whose which file is: the rules by which an update touches, replaces or leaves it."""

from __future__ import annotations

# The team's alone: what the template has there is an example, or the start. Settings are migrated, never merged.
OWN = (
    "data/",
    "models/",
    "reports/",
    "dvc.lock",
    "schema.yaml",
    "params.yaml",
    "project.yaml",
    ".dvc/config",
    "deploy/release.pub",
)
# The template's alone: replaced as a whole. `ci/` is where version 0.1 had its automation.
AUTOMATION = ("vendor/gitops-ml/", "ci/")
# Made of what the project's pyproject.toml says.
LOCKED = ("uv.lock", "requirements/")
# Of a bake, what does not go onto the branch of bakes: data belongs to DVC.
NOT_KEPT = ("data/",)
# What is merged three ways is all the rest.
NOT_MERGED = (*OWN, *AUTOMATION, *LOCKED, ".template.json", ".cruft.json")

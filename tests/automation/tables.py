"""Tables that fit the project's schema, as the project's own tests make them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from ci.shell import ROOT

PROJECT: Path = ROOT / "{{cookiecutter.project_slug}}"

_SPEC = importlib.util.spec_from_file_location("project_tests", PROJECT / "tests" / "conftest.py")
assert _SPEC
assert _SPEC.loader
_OWN = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _OWN
_SPEC.loader.exec_module(_OWN)

TASK = _OWN.TASK
make_table = _OWN.make_table
numeric_feature = _OWN.numeric_feature
schema = _OWN.schema
params = _OWN.params
table = _OWN.table

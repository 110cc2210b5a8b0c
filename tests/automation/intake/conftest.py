"""A project for the tests of `make data`."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from gitops_ml.intake.bring import SETTINGS

from tests.automation.tables import PROJECT


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project without history, in which the test stands."""
    folder = tmp_path / "project"
    (folder / "data" / "raw").mkdir(parents=True)
    for name in SETTINGS:
        shutil.copy(PROJECT / name, folder)
    with contextlib.chdir(folder):
        yield folder

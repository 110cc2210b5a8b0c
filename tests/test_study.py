"""docs/studies.md, which grows by a section with each part of `make study`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import study


def test_a_part_replaces_its_own_section_and_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections stand in the order of the parts, each as its last run left it."""
    report = tmp_path / "studies.md"
    monkeypatch.setattr(study, "REPORT", report)
    study.write("The tests", "first\n")
    study.write("The gate", "| a |\n\n- b\n")
    study.write("The tests", "second\n")
    assert report.read_text() == f"{study.HEADING}\n## The gate\n\n| a |\n\n- b\n\n## The tests\n\nsecond\n"

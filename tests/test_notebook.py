"""The notebook of a project shows the data that the pipeline reads, whatever table it is."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from gitops_ml.intake import bring
from nbclient import NotebookClient

from ci.bench.tables import PROJECT, project, said
from ci.shell import run
from ci.tables import TESTED

NOTEBOOK = PROJECT / "notebooks" / "explore.ipynb"


def shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """The text that the notebook prints in a project, and the number of its pictures."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("MPLCONFIGDIR", str(folder))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (folder / "notebooks").mkdir()
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder / "notebooks")}}).execute()
    outputs: list[Any] = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.text for output in outputs if output.output_type == "stream")
    return text, sum("image/png" in output.get("data", {}) for output in outputs)


def test_the_example_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Target, gaps and drift of the example are drawn before anything was trained, and what is missing is said."""
    shutil.copytree(PROJECT / "data", tmp_path / "data")
    for name in bring.SETTINGS:
        shutil.copy(PROJECT / name, tmp_path)
    text, pictures = shown(tmp_path, monkeypatch)
    assert "77,911 rows with a label and 2,878 without, 14 features, binary" in text
    assert "57,726 rows train and 20,185 judge, divided by time" in text
    assert "importance.csv is made by `make repro`" in text
    assert pictures == 3


@pytest.mark.parametrize(("name", "features"), [("iris.csv", 4), ("penguins-raw.csv", 14), ("wage.csv", 15)])
def test_any_table_is_drawn(name: str, features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of two classes, of more and of numbers are drawn, with the importance that evaluation has found."""
    table = TESTED[name]
    with project() as folder:
        (folder.parent / name).write_bytes(table.content())
        bring.bring(folder.parent / name, said(table), dry_run=False)
        importance = folder / "reports" / "plots" / "importance.csv"
        importance.parent.mkdir(parents=True)
        importance.write_text("feature,importance,deviation\none,0.5,0.1\n")
        with contextlib.chdir(folder.parent):
            text, pictures = shown(folder, monkeypatch)
    assert f"{features} features, {table.task}" in text
    assert pictures >= 3


def test_what_a_notebook_shows_stays_out_of_git(tmp_path: Path) -> None:
    """The hook takes outputs out of a notebook, and the one of the project has none."""
    notebook = json.loads(NOTEBOOK.read_text())
    assert all(not cell.get("outputs") for cell in notebook["cells"])
    cell = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["a customer's name"]}]
    path = tmp_path / "explore.ipynb"
    path.write_text(json.dumps(notebook))
    run(sys.executable, "-m", "nbstripout", str(path), cwd=tmp_path)
    assert "a customer's name" not in path.read_text()

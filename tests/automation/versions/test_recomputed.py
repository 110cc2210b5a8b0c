"""What another processor computed from the same inputs is told from a change, by the name of the output."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.report import compare, facts
from gitops_ml.versions import lock
from gitops_ml.versions.recomputed import differ_in_last_bits, recomputed
from gitops_ml.versions.revision import Revision

from tests.automation.world import git

# A stage that depends on a setting, and on a processor; and one that reads what it wrote.
PIPELINE = """
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [width]
    outs: [model.json, parts]
  evaluate:
    cmd: python evaluate.py
    deps: [evaluate.py, model.json]
    outs: [figures.csv]
"""
TRAIN = """
import json, os, pathlib
x = 0.1 * (1 + float(os.environ.get("PROCESSOR", 0)))
pathlib.Path("model.json").write_text(json.dumps({"x": x, "sha256": x.hex()}))
pathlib.Path("parts").mkdir(exist_ok=True)
pathlib.Path("parts/one.json").write_text(json.dumps([x]))
"""
EVALUATE = """
import json, pathlib
pathlib.Path("figures.csv").write_text(f"x\\n{json.loads(pathlib.Path('model.json').read_text())['x'] * 3!r}\\n")
"""
OUTPUTS = ["model.json", "parts", "figures.csv"]


def reproduced(root: Path, processor: float = 0.0) -> None:
    """The pipeline, run anew on a processor that errs by so much."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PROCESSOR": str(processor), "DVC_NO_ANALYTICS": "true"}
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet", "--force"], cwd=root, env=env, check=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline, reproduced and committed."""
    root = tmp_path_factory.mktemp("recomputed")
    written = {"dvc.yaml": PIPELINE, "params.yaml": "width: 1\n", "train.py": TRAIN, "evaluate.py": EVALUATE}
    for name, text in written.items():
        (root / name).write_text(text)
    git(root, "init", "--quiet", "--initial-branch=main")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=root, check=True)
    reproduced(root)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Train")
    return root


def fates(root: Path) -> dict[str, str]:
    """What the report says of each stage, compared with the last commit."""
    return {stage.name: stage.fate for stage in compare.stages(Revision(root, "HEAD"), Revision(root, None))}


def test_what_was_not_computed_again_is_as_it_was(root: Path) -> None:
    """The same bytes are no second result."""
    git(root, "checkout", "--quiet", "HEAD", "dvc.lock")
    reproduced(root)
    assert lock.require_current(root) == []
    assert set(fates(root).values()) == {facts.UNCHANGED}


def test_the_last_bits_of_another_processor_are_no_change(root: Path) -> None:
    """Outputs that differ by rounding are named, those computed from them too, by the lock and by the report; whatever
    needs the committed bytes says whose they are and how to get them.
    """
    reproduced(root, 1e-15)
    assert sorted(lock.require_current(root)) == sorted(OUTPUTS)
    assert all("another processor computed it" in fate for fate in fates(root).values())
    assert "last bits of model.json, parts" in fates(root)["train"]
    # With the committed lock, as after `git pull` of what CI computed.
    git(root, "checkout", "--quiet", "HEAD", "dvc.lock")
    assert sorted(lock.require_current(root)) == sorted(OUTPUTS)
    with pytest.raises(UserError, match=r"model\.json differs from .* last bits alone, .* `make pull` brings them"):
        lock.require(root, ["model.json"])


def test_another_result_is_told_from_the_last_bits(root: Path) -> None:
    """A result that differs in its first digits, from the same inputs, is no rounding."""
    git(root, "checkout", "--quiet", "HEAD", "dvc.lock")
    reproduced(root, 0.01)
    found = recomputed(Revision(root, "HEAD"), Revision(root, None))
    # What was computed from it had other inputs.
    assert found == {"model.json": False, "parts": False}
    assert lock.require_current(root) == []
    assert fates(root) == {
        "train": compare.AGAIN.format("model.json, parts"),
        "evaluate": facts.COMPUTED,
    }
    git(root, "checkout", "--quiet", "HEAD", "dvc.lock")
    with pytest.raises(UserError, match=r"dvc\.lock is not of this commit: figures\.csv, model\.json, parts changed"):
        lock.require_current(root)
    with pytest.raises(UserError, match=r"model\.json is not the one that dvc\.lock names"):
        lock.require(root, ["model.json"])


def test_a_changed_setting_is_a_change_however_little_it_changes(root: Path) -> None:
    """What was computed with another setting is a new result, though it differs in the last bits alone."""
    git(root, "checkout", "--quiet", "HEAD", "dvc.lock")
    (root / "params.yaml").write_text("width: 2\n")
    reproduced(root, 1e-15)
    assert fates(root)["train"] == facts.COMPUTED
    assert recomputed(Revision(root, "HEAD"), Revision(root, None)) == {}
    git(root, "checkout", "--quiet", "HEAD", "params.yaml", "dvc.lock")


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def as_npy(value: Any) -> bytes:
    sink = io.BytesIO()
    np.save(sink, value)
    return sink.getvalue()


def as_parquet(value: Any) -> bytes:
    sink = io.BytesIO()
    pd.DataFrame({"x": value, "name": "a"}).to_parquet(sink)
    return sink.getvalue()


def as_skops(value: Any) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("0.npy", as_npy(value))
        archive.writestr("schema.json", '{"a": 1}')
    return sink.getvalue()


def as_csv(value: Any) -> bytes:
    return pd.DataFrame({"x": value, "name": "a"}).to_csv(index=False).encode()


FORMS: dict[str, Callable[[Any], bytes]] = {
    "json": as_json, "npy": as_npy, "parquet": as_parquet, "skops": as_skops, "csv": as_csv,
}  # fmt: skip
NUMBERS = [0.1, 3.0, 1e-7]


def alike(tmp_path: Path, name: str, old: bytes, new: bytes) -> bool:
    """Whether two working trees differ at a path in the last bits alone."""
    for side, content in (("old", old), ("new", new)):
        (tmp_path / side).mkdir(exist_ok=True)
        (tmp_path / side / name).write_bytes(content)
    return differ_in_last_bits(name, Revision(tmp_path / "old", None), Revision(tmp_path / "new", None))


@pytest.mark.parametrize("form", FORMS)
def test_figures_of_every_form_are_compared_as_numbers(tmp_path: Path, form: str) -> None:
    """Rounding is seen in each form that the pipeline writes, and so are another digit, row, and no form at all."""
    write, name = FORMS[form], f"file.{form}"
    rounded = [value * (1 + 1e-14) for value in NUMBERS]
    assert alike(tmp_path, name, write(NUMBERS), write(rounded))
    assert not alike(tmp_path, name, write(NUMBERS), write([0.1, 3.0001, 1e-7]))
    assert not alike(tmp_path, name, write(NUMBERS), write([*NUMBERS, 1.0]))
    assert not alike(tmp_path, name, write(NUMBERS), b"\x00 damaged")


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ({"a": 1.0}, {"a": 1}, True),
        ({"a": 1.0}, {"b": 1.0}, False),
        ({"a": "x"}, {"a": "y"}, False),
        ({"sha256": "x", "a": 1}, {"sha256": "y", "a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1.0}, {"a": True}, False),
        ({"a": None}, {"a": 0.0}, False),
        ([1.0, 2.0], [2.0, 1.0], False),
    ],
)
def test_only_floats_may_differ(tmp_path: Path, old: Any, new: Any, same: bool) -> None:
    """Counts, names and structure are the same to the letter; the model's own hash follows from its bytes."""
    assert alike(tmp_path, "file.json", as_json(old), as_json(new)) == same


def test_a_tree_that_splits_elsewhere_is_another_model(tmp_path: Path) -> None:
    """In arrays of fields, whole numbers and flags must be equal; small numbers count beside the largest of theirs."""
    kind = [("threshold", "f8"), ("feature", "i8")]
    tree = np.array([(0.5, 1), (1e-12, 2)], dtype=kind)
    near, far = tree.copy(), tree.copy()
    near["threshold"][1] = 2e-12
    far["feature"][0] = 3
    assert alike(tmp_path, "file.npy", as_npy(tree), as_npy(near))
    assert not alike(tmp_path, "file.npy", as_npy(tree), as_npy(far))


def test_a_file_more_in_a_folder_is_a_change(tmp_path: Path) -> None:
    """Folders are compared file by file, and have the same ones."""
    for side in ("old", "new"):
        (tmp_path / side / "plots").mkdir(parents=True)
        (tmp_path / side / "plots" / "a.csv").write_text("x\n1.0\n")
    one, other = (Revision(tmp_path / side, None) for side in ("old", "new"))
    assert differ_in_last_bits("plots", one, other)
    (tmp_path / "new/plots/b.csv").write_text("x\n1.0\n")
    assert not differ_in_last_bits("plots", one, other)

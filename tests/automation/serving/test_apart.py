"""A served model is made and checked by a process that ends: what serves it knows no more than it needs."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import gitops_serving
import pytest
from gitops_serving.fast import apart
from gitops_serving.fast.compiler import by_pipeline
from gitops_serving.fast.rows import drawn
from pipeline.persistence import ModelError

from tests.automation.batch import bento

SERVE = """
import json, sys
from pathlib import Path
from gitops_serving.fast import apart
from gitops_serving.fast.rows import drawn
scorer = apart.scorer(Path.cwd(), sys.argv[1])
rows = drawn(scorer.schema, {}, {}, seed=1, count=40)
said = [scorer.one(row) for row in rows], scorer.many(rows).tolist()
print(json.dumps([scorer.tier, {"sklearn", "pandas"} & set(sys.modules) == set(), *said]))
"""


def source(model: bento.Fitted, folder: Path) -> Path:
    """The files of its Bento."""
    with tarfile.open(fileobj=io.BytesIO(model.archive())) as tar:
        # Not every Python 3.11 has filters.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(folder)  # noqa: S202
    return folder / "src"


def served(root: Path, tier: str) -> list[Any]:
    """What another process says of rows: the way, whether it did without scikit-learn and pandas, alone, in a batch."""
    paths = os.pathsep.join((str(root), str(Path(gitops_serving.__path__[0]).parent)))
    environment = os.environ | {"PYTHONPATH": paths}
    command = [sys.executable, "-c", SERVE, tier]
    done = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, check=True)
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_boosting_is_served_without_scikit_learn(task: str, tmp_path: Path) -> None:
    """Rows alone and in a batch are answered as the Pipeline answers them, by a process that never loads it."""
    model = bento.fitted(task)
    tier, is_light, alone, batch = served(source(model, tmp_path), "")
    assert (tier, is_light) == ("fast", True)
    rows = drawn(model.schema, {}, {}, seed=1, count=40)
    assert alone == [by_pipeline(model.pipeline, model.schema, [row])[0].tolist() for row in rows]
    assert batch == by_pipeline(model.pipeline, model.schema, rows).tolist()


@pytest.mark.parametrize(
    ("path", "asked", "tier"),
    [
        pytest.param("sklearn.linear_model.LogisticRegression", "", "fast", id="a batch needs the estimator"),
        pytest.param("sklearn.naive_bayes.GaussianNB", "", "encoder", id="every row needs it"),
        pytest.param(f"{bento.BOOSTING}Classifier", "encoder", "encoder", id="proven by no faster way"),
    ],
)
def test_what_no_fast_form_says_is_asked_of_the_pipeline(path: str, asked: str, tier: str, tmp_path: Path) -> None:
    """It is loaded where it is needed, and every answer is its own."""
    model = bento.fitted("binary", path)
    found, is_light, alone, batch = served(source(model, tmp_path), asked)
    assert (found, is_light) == (tier, False)
    rows = drawn(model.schema, {}, {}, seed=1, count=40)
    assert alone == [by_pipeline(model.pipeline, model.schema, [row])[0].tolist() for row in rows]
    assert batch == by_pipeline(model.pipeline, model.schema, rows).tolist()


def test_what_the_projects_code_prints_is_no_part_of_the_form(tmp_path: Path) -> None:
    """Whatever is said while the model is loaded, it is served as ever."""
    root = source(bento.fitted(), tmp_path)
    (root / "pipeline/__init__.py").write_text("import sys\nprint('a line', file=sys.stderr)\nprint('a line')\n")
    made = apart.scorer(root, "")
    assert (made.tier, made.one(drawn(made.schema, {}, {}, seed=1, count=1)[0]) >= 0) == ("fast", True)


def test_without_the_other_process_the_form_is_made_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where it is killed, as for want of memory, the log says so, and the model is served all the same."""
    root = source(bento.fitted(), tmp_path)
    (root / "sitecustomize.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert apart.scorer(root, "").tier == "fast"
    assert "ended with -9: this one makes it" in caplog.text


def test_a_model_that_may_not_be_loaded_is_refused_here_too(tmp_path: Path) -> None:
    """What the other process met is raised in the one that was to serve."""
    root = source(bento.fitted(), tmp_path)
    (root / "models/model.skops").write_bytes(b"another file")
    with pytest.raises(ModelError, match=r"model\.json"):
        apart.scorer(root, "")

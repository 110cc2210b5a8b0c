"""The exports of uv.lock: what trains and what serves, and nothing of the tools beside them."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.versions import requirements

from tests.automation.tables import PROJECT

READ = ("pyproject.toml", requirements.LOCK, requirements.TRAIN, requirements.SERVE, "params.yaml")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the packages of the template's, in step."""
    # The versions that are locked here were never published.
    monkeypatch.setenv("UV_SKIP_WHEEL_FILENAME_CHECK", "1")
    for name in READ:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    (tmp_path / ".python-version").write_text("{}.{}\n".format(*sys.version_info))
    return tmp_path


def relock(project: Path, name: str) -> dict[str, str | None]:
    """Lock another version of a package, as an update would; the texts from before."""
    before: dict[str, str | None] = {path: (project / path).read_text() for path in READ}
    text, count = re.subn(
        rf'(name = "{name}"\nversion = )"[^"]+"', r'\1"9.9.9"', before[requirements.LOCK] or "", count=1
    )
    assert count == 1
    (project / requirements.LOCK).write_text(text)
    return before


def texts(project: Path) -> dict[str, str | None]:
    """What the files say now."""
    return {path: (project / path).read_text() for path in READ}


def test_the_templates_exports_are_in_step() -> None:
    """The exports that a new project gets are those of its lock."""
    requirements.require_current(PROJECT)


@pytest.mark.parametrize("tool", ["ruff", "mypy", "gitops-ml", "dvc"])
def test_updating_a_tool_changes_no_export(project: Path, tool: str) -> None:
    """An update of a tool, the automation included, neither trains nor changes what is installed into the Bento."""
    before = relock(project, tool)
    requirements.require_current(project)
    assert requirements.write(project) == []
    (change,) = requirements.changes(before, texts(project))
    assert (change.name, change.after, change.use) == (tool, "9.9.9", "a tool")


@pytest.mark.parametrize(
    ("name", "use", "written"),
    [
        ("scikit-learn", "trains and serves", [requirements.TRAIN, requirements.SERVE]),
        ("pyarrow", "trains", [requirements.TRAIN]),
        ("starlette", "serves", [requirements.SERVE]),
    ],
)
def test_updating_what_trains_or_serves_is_told(project: Path, name: str, use: str, written: list[str]) -> None:
    """An update of a package that trains or serves puts the exports out of step; they are written, and say so once."""
    before = relock(project, name)
    with pytest.raises(UserError, match=r"is not what uv\.lock and the estimator.*run `gitops-ml lock export`"):
        requirements.require_current(project)
    assert requirements.write(project) == written
    assert requirements.write(project) == []
    (change,) = requirements.changes(before, texts(project))
    assert (change.name, change.after, change.use) == (name, "9.9.9", use)


def test_the_estimators_package_is_among_them(project: Path) -> None:
    """With an estimator of another library its package trains and serves; with scikit-learn's it does neither."""
    path = project / "params.yaml"
    assert "\nlightgbm==" not in (project / requirements.TRAIN).read_text()
    path.write_text(re.sub(r"path: sklearn\.\S+", "path: lightgbm.LGBMClassifier", path.read_text()))
    assert requirements.write(project) == [requirements.TRAIN, requirements.SERVE]
    for export in (requirements.TRAIN, requirements.SERVE):
        assert "\nlightgbm==" in (project / export).read_text()


def test_local_packages_are_in_no_export() -> None:
    """The exports name versions of published packages alone, and those that serve with their hashes."""
    train, serve = ((PROJECT / path).read_text() for path in (requirements.TRAIN, requirements.SERVE))
    assert all(re.match(r"[a-z0-9.-]+==\S+( ; .*)?$", line) for line in train.splitlines())
    assert "vendor" not in serve
    for package in re.split(r"\n(?=\S)", serve.strip()):
        assert "--hash=sha256:" in package, package.splitlines()[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("train: {}\n", "params.yaml of the working tree: train: names neither an estimator nor candidates"),
        ("train: [", "params.yaml of the working tree is not valid YAML"),
        (None, "params.yaml of the working tree is missing"),
    ],
)
def test_params_that_name_no_estimator_are_told(project: Path, content: str | None, said: str) -> None:
    """A mistake in params.yaml is a sentence that names the setting, wherever the exports are asked for."""
    (project / "params.yaml").unlink()
    if content is not None:
        (project / "params.yaml").write_text(content)
    with pytest.raises(UserError, match=re.escape(said)):
        requirements.write(project)


def test_a_package_from_elsewhere_is_told_by_its_name() -> None:
    """A package that is locked from a repository or an archive is told by its name and its use like any other."""
    export = {requirements.TRAIN: "mine @ git+https://example.org/mine@abc\n", requirements.SERVE: ""}
    lock = '[[package]]\nname = "mine"\nversion = "{}"\n'
    before, after = (export | {requirements.LOCK: lock.format(version)} for version in ("1", "2"))
    assert [each.use for each in requirements.changes(before, after)] == ["trains"]

"""The Bento: the model that dvc.lock names, the code that serves it, its locked dependencies, and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import yaml
from pipeline.schema import Schema

import gitops_serving
from gitops_ml.core import progress, project
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import run
from gitops_ml.versions import lock, requirements
from gitops_ml.versions.git import Git
from gitops_ml.versions.revision import Revision
from gitops_serving.records import logged
from gitops_serving.version import Version

MODEL = "models/model.skops"
CREATION_TIME = b"creation_time: '1980-01-01T00:00:00+00:00'"
VENDOR = "vendor/gitops-ml"
# All that the serving process reads, and where it comes from; the training stack stays outside.
SERVED = {
    path: path
    for path in (
        MODEL,
        "models/model.json",
        "project.yaml",
        "schema.yaml",
        "pipeline/__init__.py",
        "pipeline/decision.py",
        "pipeline/encode.py",
        "pipeline/model.py",
        "pipeline/params.py",
        "pipeline/persistence.py",
        "pipeline/profile.py",
        "pipeline/schema.py",
        "pipeline/trend.py",
        "pipeline/validation.py",
        "service/__init__.py",
        "service/service.py",
    )
} | {
    f"gitops_serving/{name}": f"{VENDOR}/gitops_serving/{name}"
    for name in sorted(
        path.relative_to(gitops_serving.__path__[0]).as_posix()
        for path in Path(gitops_serving.__path__[0]).rglob("*")
        if path.suffix in (".css", ".html", ".js", ".py")
    )
}


def package(root: Path) -> Version:
    """Build the Bento, or find it built: its version is a hash over everything in it.

    Raises:
        UserError: dvc.lock is missing, the model in the working tree is not the one that it names, or a column that the
            service is not to write down, or a label that it is to decide about, does not exist.
    """
    lock.require(root, SERVED)
    requirements.require_current(root)
    _require_settings_of_the_schema(root)
    _require_package_of_the_estimator(root)
    facts: dict[str, Any] = {
        "model": hashlib.sha256((root / MODEL).read_bytes()).hexdigest(),
        "data": lock.locked(root)["data/raw"],
        "commit": _commit(root),
        "modified": bool(Git(root).said("status", "--porcelain")),
    }
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        _stage(root, context)
        version = Version(release=f"{project.read(root).name}:{_content_hash(context, facts)}", **facts)
        (context / "version.json").write_text(version.model_dump_json(indent=2) + "\n")
        _build(root, context, version.release)
    return version


def archive(root: Path, version: Version) -> bytes:
    """A built Bento as one file, the same bytes wherever and whenever it was built from the same inputs."""
    folder = _built(root, version.release)
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            content = path.read_bytes()
            if path == folder / "bento.yaml":
                # The only thing that BentoML writes and the inputs do not decide.
                content = re.sub(rb"(?m)^creation_time: .*$", CREATION_TIME, content)
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size = len(content)
            entry.mode = 0o755 if path.suffix == ".sh" else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return whole.getvalue()


def _built(root: Path, tag: str) -> Path:
    """Where BentoML keeps, or would keep, a Bento."""
    name, _, version = tag.partition(":")
    store = Path(os.environ.setdefault("BENTOML_HOME", str(root / ".bentoml")))
    return store / "bentos" / name / version


def _require_settings_of_the_schema(root: Path) -> None:
    schema, settings = Revision(root, None).settings("schema.yaml", Schema), project.read(root)
    project.policy(settings.decision, schema)
    try:
        logged(schema, settings.log.redact)
    except ValueError as error:
        raise UserError(str(error)) from error


def _commit(root: Path) -> str:
    if not (root / ".git").exists():
        raise UserError("a release names its commit, and this project is no Git repository yet; run `make init`")
    commit = Git(root).commit_of("HEAD")
    if commit is None:
        raise UserError("a release names its commit, and there is none yet; run `make init`")
    return commit


def _stage(root: Path, context: Path) -> None:
    for path, source in SERVED.items():
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / source, context / path)
    shutil.copyfile(root / requirements.SERVE, context / "requirements.txt")
    bentofile = {
        "service": "service.service:Model",
        "docker": {"python_version": (root / ".python-version").read_text().strip()},
        "python": {"requirements_txt": "requirements.txt", "lock_packages": False},
    }
    (context / "bentofile.yaml").write_text(yaml.safe_dump(bentofile))


def _require_package_of_the_estimator(root: Path) -> None:
    """The packages that serve hold the one of the estimator that was trained, not of another that params.yaml names."""
    trained = json.loads((root / "models/model.json").read_text())["estimator"].partition(".")[0]
    named = requirements.estimator_groups(root)
    if trained not in named and trained in requirements.groups(root):
        raise UserError(f"the model was trained with {trained}, and params.yaml names another; run `make repro`")


@progress.doing("packing the Bento")
def _build(root: Path, context: Path, tag: str) -> None:
    if (_built(root, tag) / "bento.yaml").exists():
        return
    name, _, version = tag.partition(":")
    run(sys.executable, "-m", "bentoml", "build", "--name", name, "--version", version, cwd=context)


def _content_hash(context: Path, facts: dict[str, Any]) -> str:
    """A hash over the names and bytes of all files, and over the facts."""
    whole = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for path in sorted(path for path in context.rglob("*") if path.is_file()):
        whole.update(
            f"{path.relative_to(context).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    return whole.hexdigest()[:16]

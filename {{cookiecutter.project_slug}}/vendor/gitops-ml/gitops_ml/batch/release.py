"""The release that scores: found, verified, and with the packages that it was tried out with."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import yaml
from uv import find_uv_bin

from gitops_ml.core import progress
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import run
from gitops_ml.core.record import Release
from gitops_ml.engine import code
from gitops_ml.engine.code import Code
from gitops_ml.host.runner import INSTALL_SECONDS, complete
from gitops_ml.promotion import checks, verify
from gitops_ml.promotion.repository import Repository
from gitops_ml.release import tags
from gitops_ml.versions import environment, requirements

SOURCE = "src/"
# What the ways of scoring import, and releases of version 0.1 do not have.
NEWEST = "pipeline/trend.py"
# What of a Bento a worker needs: what a model is made of, and nothing of the service.
NEEDED = ("pipeline/", "models/", "schema.yaml", "project.yaml")
# The packages that decide what a model says, of those that it was tried out with.
DECIDING = ("catboost", "lightgbm", "numpy", "pandas", "scikit-learn", "scipy", "skops", "xgboost-cpu")
GROUP = "batch"
ENVIRONMENTS = Path(".deploy/batch")


@dataclass(frozen=True)
class Scoring:
    """A verified release, what its Bento holds, and the code and packages that score with it."""

    release: Release
    files: dict[str, bytes]
    code: Code


def found(root: Path, wanted: str | None, *, here: bool) -> Scoring:
    """The release of a name, or else the one that the last environment serves.

    Args:
        root: the project's folder.
        wanted: the name; None for the one that serves.
        here: whether it scores on this machine, and needs its packages there.

    Raises:
        UserError: there is none, it is on hold, it is not trusted, or what belongs to it cannot be had.
    """
    repository = Repository.opened(root)
    candidate = _named(repository, wanted) if wanted else _serving(repository)
    release = candidate.release
    with tarfile.open(fileobj=io.BytesIO(repository.storage.get(release.bento.digest))) as tar:
        files = {each.name: file.read() for each in tar if each.isfile() and (file := tar.extractfile(each))}
    if f"{SOURCE}{NEWEST}" not in files:
        raise UserError(
            f"{release.release} was made before batches could be scored: its own pipeline lacks {NEWEST}; name a newer "
            "release, or make one of the same model"
        )
    python = str(yaml.safe_load(files["bento.yaml"])["image"]["python_version"])
    own = {name.removeprefix(SOURCE): content for name, content in files.items() if name.startswith(SOURCE)}
    pinned = code.pinned(own["requirements.txt"].decode())
    deciding = {name: version for name, version in pinned.items() if name in DECIDING}
    installed = code.installed([*deciding, "pyarrow"])
    interpreter = Path(sys.executable)
    if here and (python != code.PYTHON or not installed.items() >= deciding.items()):
        interpreter = _environment(root, own["requirements.txt"].decode(), python)
    needed = {name: content for name, content in own.items() if name.startswith(NEEDED)}
    packages = deciding | {"pyarrow": installed["pyarrow"]}
    return Scoring(release, own, Code(code.packed(code.PACKAGES) | needed, packages, python, interpreter))


def _serving(repository: Repository) -> environment.Candidate:
    name = repository.policy.environments[-1].name
    if repository.serving(name) is None:
        raise UserError(f"{name} serves no release yet; say another one: RELEASE= (`gitops-ml release list`)")
    return verify.require_applicable(repository, name, repository.tip(name))


def _named(repository: Repository, wanted: str) -> environment.Candidate:
    candidate = tags.find(repository.git, wanted)
    checks.signature(repository, candidate)
    checks.source(repository, candidate.release)
    checks.hold(repository, candidate.release)
    return candidate


@progress.doing("installing the packages of the release")
def _environment(root: Path, exported: str, python: str) -> Path:
    """The interpreter of an environment with a release's packages, and those of the group `batch` that fit them."""
    more = requirements.export(root, GROUP, "--no-hashes", "--no-header", "--no-annotate")
    named = hashlib.sha256(f"{exported}{more}{python}".encode()).hexdigest()[:16]
    target = root / ENVIRONMENTS / named
    if not target.exists():
        uv = find_uv_bin()
        with complete(target) as part:
            wanted, others, bounds = (part / name for name in ("requirements.txt", "batch.txt", "bounds.txt"))
            wanted.write_text(exported)
            pinned = code.pinned(exported)
            others.write_text("".join(f"{name}\n" for name in code.pinned(more) if name not in pinned))
            bounds.write_text("".join(f"{name}=={version}\n" for name, version in pinned.items()))
            run(uv, "venv", "--quiet", "--relocatable", "--python", python, "--allow-existing", str(part), cwd=root)
            install = (uv, "pip", "install", "--quiet", "--python", str(part / "bin" / "python"))
            run(
                *install, "--require-hashes", "--no-deps", "--requirement", str(wanted), cwd=root, limit=INSTALL_SECONDS
            )
            run(*install, "--requirement", str(others), "--constraints", str(bounds), cwd=root, limit=INSTALL_SECONDS)
    return target / "bin" / "python"

"""The serving image: a base, the locked dependencies, the code, the model; each a layer, in the order of their changes.

The layers are archives made here, byte by byte the same from the same inputs, and deploy/Dockerfile only adds them.
"""

from __future__ import annotations

import compileall
import hashlib
import io
import os
import platform
import py_compile
import re
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from uv import find_uv_bin

from gitops_ml.core import progress, project
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import run
from gitops_ml.image import engine, package
from gitops_ml.image.engine import Engine
from gitops_ml.versions.git import Git
from gitops_serving.version import Version

DOCKERFILE = Path("deploy/Dockerfile")
CONTEXT = Path("build/image")
DEPENDENCIES = "opt/dependencies"
BENTO = "srv/bento"
BASE = "BASE_IMAGE"
# What a new model changes; everything else of a Bento is code.
MODEL = re.compile(r"bento\.yaml|README\.md|src/version\.json|src/models/.*")
# The packages' own tests are a fifth of them, and their scripts name a Python of this machine.
LEFT_OUT = re.compile(r"(^|/)(tests|bin)(/|$)|(^|/)\.lock$")
# Wheels for the oldest C library among the supported releases of Debian, Ubuntu and RHEL.
LIBC = "manylinux_2_28"
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}

# Name, content, mode.
File = tuple[str, bytes, int]


@dataclass(frozen=True)
class Built:
    """An image that the engine of this machine holds, and the name of the base that it stands on."""

    engine: Engine
    tag: str
    id: str
    version: Version
    base: str


@progress.doing("building the image")
def build(root: Path, version: Version) -> Built:
    """Build the image of what was packaged.

    Raises:
        UserError: there is no engine, or the packages or the base image cannot be had.
    """
    found = engine.find()
    python = (root / ".python-version").read_text().strip()
    _write_layers(root, version, python)
    base = os.environ.get(BASE)
    # A model of the same commit is the same model, so this is when it was made, whoever makes it again.
    time = Git(root).time(version.commit)
    tag = f"{project.read(root).image}:{version.release.partition(':')[2]}"
    arguments = {"PYTHON_VERSION": python} | ({BASE: base} if base else {})
    identity = found.build(
        root / CONTEXT,
        root / DOCKERFILE,
        tag=tag,
        arguments=arguments,
        labels=_labels(root, version, time),
        time=time,
    )
    return Built(found, tag, identity, version, base or _base(root, python))


def _base(root: Path, python: str) -> str:
    """The base that the Dockerfile names."""
    named = re.search(rf"^ARG {BASE}=(\S+)", (root / DOCKERFILE).read_text(), flags=re.MULTILINE)
    return named[1].replace("${PYTHON_VERSION}", python) if named else "unknown"


def provenance(root: Path, built: Built) -> dict[str, Any]:
    """From what, and by what, an image was made, as SLSA's provenance 1.0 says it."""
    version = built.version
    lock = hashlib.sha256((root / "dvc.lock").read_bytes()).hexdigest()
    digest = built.engine.digest(built.base)
    return {
        "buildDefinition": {
            "buildType": "urn:gitops-ml:image",
            "externalParameters": {"release": version.release},
            "resolvedDependencies": [
                {"name": "source", "digest": {"gitCommit": version.commit}},
                {"name": "models/model.skops", "digest": {"sha256": version.model}},
                {"name": "dvc.lock", "digest": {"sha256": lock}},
                {"name": "base", "uri": built.base} | ({"digest": {"sha256": digest}} if digest else {}),
            ],
        },
        "runDetails": {
            "builder": {"id": "urn:gitops-ml:make-release", "version": {built.engine.name: built.engine.version}}
        },
    }


def _labels(root: Path, version: Version, time: int) -> dict[str, str]:
    settings = project.read(root)
    return {
        "org.opencontainers.image.title": settings.title,
        "org.opencontainers.image.description": settings.description,
        "org.opencontainers.image.created": datetime.fromtimestamp(time, UTC).isoformat(),
        "org.opencontainers.image.revision": version.commit + ("-modified" if version.modified else ""),
        "org.opencontainers.image.version": version.release.partition(":")[2],
        "gitops-ml.release": version.release,
        "gitops-ml.model": version.model,
        "gitops-ml.data": version.data,
    }


def _write_layers(root: Path, version: Version, python: str) -> None:
    context = root / CONTEXT
    context.mkdir(parents=True, exist_ok=True)
    files: list[File] = []
    with tarfile.open(fileobj=io.BytesIO(package.archive(root, version))) as bento:
        for member in bento:
            content = bento.extractfile(member)
            assert content is not None  # noqa: S101 - for the type checker; an archive holds nothing but files
            files.append((member.name, content.read(), member.mode))
    _write_layer(context / "code.tar", BENTO, (file for file in files if not MODEL.fullmatch(file[0])))
    _write_layer(context / "model.tar", BENTO, (file for file in files if MODEL.fullmatch(file[0])))
    requirements = next(content for name, content, _ in files if name == "src/requirements.txt")
    _write_dependencies(context, requirements, python)


def _write_dependencies(context: Path, requirements: bytes, python: str) -> None:
    """Install the hashed requirements for the image's system, unless the layer of just these is here already."""
    wanted = f"{_platform()} {python} {hashlib.sha256(requirements).hexdigest()}\n"
    layer, made_for = context / "dependencies.tar", context / "dependencies.txt"
    if layer.exists() and made_for.exists() and made_for.read_text() == wanted:
        return
    made_for.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=context) as name:
        folder = Path(name)
        (folder / "requirements.txt").write_bytes(requirements)
        where = ("--python-platform", _platform(), "--python-version", python, "--target", "packages")
        # Every package has wheels, so that nothing is compiled and no code of a package runs here.
        checked = ("--require-hashes", "--no-deps", "--only-binary", ":all:")
        install = (find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable, *where, *checked)
        run(*install, "--requirement", "requirements.txt", cwd=folder)
        # Compiled now, since nothing can be written where it runs. A package may ship what this Python cannot compile.
        compileall.compile_dir(
            folder / "packages",
            quiet=2,
            workers=os.cpu_count() or 1,
            rx=re.compile(r"/tests/"),
            stripdir=str(folder / "packages"),
            prependdir=f"/{DEPENDENCIES}",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        _write_layer(layer, DEPENDENCIES, _installed(folder / "packages"))
    made_for.write_text(wanted)


def _installed(folder: Path) -> Iterator[File]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not LEFT_OUT.search(name):
            yield name, path.read_bytes(), 0o755 if os.access(path, os.X_OK) else 0o644


def _write_layer(path: Path, folder: str, files: Iterable[File]) -> None:
    """An archive whose bytes follow from names and contents alone: no times, no owners, folders named too."""
    known: set[str] = set()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content, mode in files:
            target = PurePosixPath(folder, name)
            for parent in reversed(target.parents[:-1]):
                if str(parent) not in known:
                    known.add(str(parent))
                    entry = tarfile.TarInfo(str(parent))
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(entry)
            entry = tarfile.TarInfo(str(target))
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))


def _platform() -> str:
    machine = platform.machine().lower()
    if machine not in MACHINES:
        raise UserError(f"images are built on x86_64 and aarch64, and this machine is {machine}")
    return f"{MACHINES[machine]}-{LIBC}"

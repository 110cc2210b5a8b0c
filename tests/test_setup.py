"""`make setup` on machines that are set up otherwise: behind a company's index, with the environment elsewhere."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ci.shell import ROOT, CommandError, run
from tests.conftest import SLUG, UV, make

WHEEL = "thing-1.0-py3-none-any.whl"
PYPI = "https://pypi.org/simple"
FILES = "https://files.pythonhosted.org/packages"
BUILD = '[build-system]\nrequires = ["uv_build>=0.13,<0.14"]\nbuild-backend = "uv_build"\n'


class Quiet(SimpleHTTPRequestHandler):
    """Hands out a folder and says nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is Python's
        """See BaseHTTPRequestHandler."""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A company's index with one package, of which nobody outside has heard."""
    folder = tmp_path / "index"
    (folder / "simple" / "thing").mkdir(parents=True)
    put(folder, "thing = 1\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def put(folder: Path, code: str) -> None:
    """Have the index's package hold this code."""
    files = {
        "thing.py": code,
        "thing-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
        "thing-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    hashed = {
        name: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode() for name, text in files.items()
    }
    record = "".join(f"{name},sha256={digest.rstrip('=')},{len(files[name])}\n" for name, digest in hashed.items())
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        for name, text in (files | {"thing-1.0.dist-info/RECORD": record}).items():
            wheel.writestr(name, text)
    digest = hashlib.sha256((folder / WHEEL).read_bytes()).hexdigest()
    (folder / "simple" / "thing" / "index.html").write_text(f'<a href="/{WHEEL}#sha256={digest}">{WHEEL}</a>')


@pytest.fixture
def project(tmp_path: Path, index: str) -> Path:
    """A project with the template's Makefile, whose lock names one package, as if it came from PyPI."""
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    for name in ("Makefile", "params.yaml"):
        shutil.copy(ROOT / SLUG / name, root)
    (root / ".dvc" / "config").write_text("")
    (root / "pyproject.toml").write_text(
        '[project]\nname = "project"\nversion = "0"\nrequires-python = ">=3.11"\n'
        '[dependency-groups]\ndev = ["thing", "gitops-ml"]\n[tool.uv]\npackage = false\n'
        '[tool.uv.sources]\ngitops-ml = { path = "vendor/gitops-ml", editable = true }\n'
    )
    vendored = root / "vendor" / "gitops-ml" / "src" / "gitops_ml"
    vendored.mkdir(parents=True)
    (vendored / "__init__.py").write_text("")
    (vendored.parents[1] / "pyproject.toml").write_text(f'[project]\nname = "gitops-ml"\nversion = "0"\n{BUILD}')
    run(UV["UV"], "lock", "--quiet", cwd=root, env=settings(tmp_path) | {"UV_DEFAULT_INDEX": f"{index}/simple"})
    lock = root / "uv.lock"
    lock.write_text(lock.read_text().replace(f"{index}/simple", PYPI).replace(f"{index}/", f"{FILES}/"))
    return root


def settings(folder: Path) -> dict[str, str]:
    """A person's own settings and downloads, of which there are none yet; nothing is asked of the world outside."""
    away = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    own = {"XDG_CONFIG_HOME": str(folder / "settings"), "UV_CACHE_DIR": str(folder / "cache"), "UV_HTTP_RETRIES": "0"}
    return own | away | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


@pytest.fixture(params=["variable", "uv.toml"])
def company(request: pytest.FixtureRequest, tmp_path: Path, index: str) -> dict[str, str]:
    """How a machine is told of its company's index."""
    own = settings(tmp_path)
    if request.param == "variable":
        return own | {"UV_DEFAULT_INDEX": f"{index}/simple"}
    (tmp_path / "settings" / "uv").mkdir(parents=True)
    (tmp_path / "settings" / "uv" / "uv.toml").write_text(f'[[index]]\nurl = "{index}/simple"\ndefault = true\n')
    return own


def test_what_the_lock_names_comes_from_a_companys_index(project: Path, company: dict[str, str]) -> None:
    """Behind an index, setup installs the versions that uv.lock names, and leaves uv.lock as it is."""
    lock = (project / "uv.lock").read_bytes()
    said = make("setup", cwd=project, env=company)
    assert "uv.lock names another index than this machine asks" in said
    make("setup", cwd=project, env=company)
    assert (
        run(str(project / ".venv/bin/python"), "-c", "import thing, gitops_ml; print(thing.thing)", cwd=project)
        == "1\n"
    )
    assert (project / "uv.lock").read_bytes() == lock


def test_an_index_with_other_bytes_installs_nothing(project: Path, company: dict[str, str], tmp_path: Path) -> None:
    """A file that has not the hash that uv.lock names is refused, whoever hands it out."""
    put(tmp_path / "index", "thing = 2\n")
    with pytest.raises(CommandError, match=r"(?i)hash"):
        make("setup", cwd=project, env=company)
    assert not list((project / ".venv").rglob("thing.py"))


def test_a_lock_that_does_not_fit_is_refused_behind_an_index_too(project: Path, company: dict[str, str]) -> None:
    """A package that pyproject.toml names and uv.lock does not is no matter of the index, and nothing is installed."""
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace('dev = ["thing"', 'dev = ["thing", "more"'))
    with pytest.raises(CommandError) as refused:
        make("setup", cwd=project, env=company)
    assert "names another index" not in str(refused.value)
    assert not (project / ".venv/bin/thing.py").exists()


def test_the_environment_may_be_elsewhere(project: Path, company: dict[str, str], tmp_path: Path) -> None:
    """What names .venv, as hooks do, finds the environment that UV_PROJECT_ENVIRONMENT names; another one is told."""
    elsewhere = company | {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "environments" / "of the project")}
    make("setup", cwd=project, env=elsewhere)
    assert run(str(project / ".venv/bin/python"), "-c", "import thing, gitops_ml", cwd=project) == ""
    make("setup", cwd=project, env=elsewhere)
    assert os.path.samefile(project / ".venv", elsewhere["UV_PROJECT_ENVIRONMENT"])
    other = elsewhere | {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "another")}
    assert "warning: .venv is not UV_PROJECT_ENVIRONMENT" in make("setup", cwd=project, env=other)

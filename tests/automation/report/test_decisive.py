"""What decides about trust or quality is named, with before and after, from Git's objects alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml
from gitops_ml.report import decisive, forms
from gitops_ml.report.content import Decisive
from gitops_ml.versions.git import Git

from tests.automation.tables import PROJECT
from tests.automation.world import git

KEY, OTHER = (f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n" for text in ("AA", "BB"))
SETTINGS = yaml.safe_load((PROJECT / "project.yaml").read_text())
WORKFLOW = (PROJECT / ".github/workflows/pull-request.yml").read_text()
LOCKED = """version = 1
[[package]]
name = "{name}"
version = "1"
source = {source}
wheels = [{{ url = "{url}", hash = "sha256:00" }}]
"""
PYPI, FILE = (
    '{ registry = "https://pypi.org/simple" }',
    "https://files.pythonhosted.org/packages/a/b/requests-1-py3-none-any.whl",
)
LOCK = LOCKED.format(name="requests", source=PYPI, url=FILE)
POINTER = """deps:
- path: flights
  repo: {url: https://example.org/acme, rev_lock: "0"}
outs:
- {md5: 0.dir, size: 1, nfiles: 1, path: raw}
"""
RAW = '[{"path": "flights", "repo": {"url": "https://example.org/acme"}}]'
MODULE = "vendor/gitops-ml/gitops_ml/gate/rules.py"
MANIFEST = "vendor/gitops-ml/MANIFEST.sha256"
MAIN = {
    "project.yaml": yaml.safe_dump(SETTINGS),
    "params.yaml": (PROJECT / "params.yaml").read_text(),
    "deploy/release.pub": KEY,
    "CODEOWNERS": "* @acme/ml\n/params.yaml @acme/ds\n/project.yaml @acme/ml @acme/ds\n",
    ".github/workflows/pull-request.yml": WORKFLOW,
    "uv.lock": LOCK,
    "requirements/serve.txt": "requests==1 \\\n    --hash=sha256:00\n",
    "pyproject.toml": '[project]\nname = "x"\ndependencies = ["requests"]\n',
    "Makefile": "check:\n\tpre-commit run\n",
    ".dvc/config": "[core]\n    remote = storage\n",
    "pipeline/metrics.py": "def measure(): ...\n",
    "tests/model/test_model.py": "def test_it(): ...\n",
    "docs/README.md": "Words\n",
    "data/raw.dvc": POINTER,
    MODULE: "floor = True\n",
}
MAIN[MANIFEST] = f"{hashlib.sha256(MAIN[MODULE].encode()).hexdigest()}  gitops_ml/gate/rules.py\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository in which main has one commit, and nothing is checked out beside it."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    return commit(tmp_path, MAIN)


def commit(root: Path, files: dict[str, str | bytes | None]) -> Path:
    """Write files, or remove those that are None, and commit that."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "x")
    return root


def changed(root: Path, files: dict[str, str | bytes | None]) -> list[Decisive]:
    """What a change of files on a branch decides about."""
    git(root, "checkout", "--quiet", "-b", "change")
    commit(root, files)
    return decisive.changes(Git(root), "main", "change", "main")


def settings(**more: object) -> str:
    """project.yaml with other blocks."""
    return yaml.safe_dump(SETTINGS | more)


def lock(name: str = "requests", source: str = PYPI, url: str = FILE) -> str:
    """A uv.lock with one package."""
    return LOCKED.format(name=name, source=source, url=url)


def named(key: str) -> str:
    """What a key is called."""
    return f"key {hashlib.sha256(key.strip().encode()).hexdigest()[:16]}"


STAGING, PRODUCTION = SETTINGS["environments"]
GATE = SETTINGS["gate"]
EVIL = '{ git = "https://example.org/x?rev=1#0" }'


@pytest.mark.parametrize(
    ("path", "content", "name", "before", "after"),
    [
        ("project.yaml", settings(gate=GATE | {"floors": {"roc_auc": 0.01}}), "gate.floors.roc_auc", "0.65", "0.01"),
        ("project.yaml", settings(gate=GATE | {"floors": {}}), "gate.floors.roc_auc", "0.65", None),
        (
            "project.yaml",
            settings(environments=[STAGING, PRODUCTION | {"gate": "none"}]),
            "environments.production.gate",
            '"champion"',
            '"none"',
        ),
        (
            "project.yaml",
            settings(environments=[STAGING, PRODUCTION | {"approvals": 0}]),
            "environments.production.approvals",
            "1",
            "0",
        ),
        (
            "project.yaml",
            settings(environments=[PRODUCTION, STAGING]),
            "environments",
            "staging, production",
            "production, staging",
        ),
        (
            "project.yaml",
            settings(decision={"unit": "USD", "payoffs": {"wait": {0: 0, 1: 0}, "rebook": {0: -1, 1: 60}}}),
            "decision.payoffs.rebook.0",
            "-30",
            "-1",
        ),
        (
            "project.yaml",
            settings(pull_requests={"lock": "commit", "approvals": 0}),
            "pull_requests.approvals",
            "1",
            "0",
        ),
        (
            "params.yaml",
            MAIN["params.yaml"].replace("[carrier, origin]", "[]"),
            "evaluate.slices",
            '["carrier", "origin"]',
            "[]",
        ),
        ("deploy/release.pub", KEY + OTHER, named(OTHER), None, "trusted"),
        ("deploy/release.pub", OTHER, named(KEY), "trusted", None),
        (
            "CODEOWNERS",
            "* @somebody\n",
            "",
            "* @acme/ml ⏎ /params.yaml @acme/ds ⏎ /project.yaml @acme/ml @acme/ds",
            "* @somebody",
        ),
        (".github/CODEOWNERS", "* @somebody\n", "", None, "* @somebody"),
        (
            ".github/workflows/pull-request.yml",
            WORKFLOW.replace("contents: read # to check the code out", "contents: write", 1),
            "plan: permissions.contents",
            '"read"',
            '"write"',
        ),
        (
            ".github/workflows/more.yml",
            "on: push\njobs: {x: {runs-on: x, steps: [{uses: a/b@c}]}}\n",
            "x: uses a/b",
            None,
            "c",
        ),
        (".github/workflows/more.yml", "on: push\n# ${{ secrets.RELEASE_KEY }}\n", "secrets.RELEASE_KEY", None, "used"),
        (".github/actions/setup/action.yml", "runs: {steps: [{uses: a/b@c}]}\n", "uses a/b", None, "c"),
        ("uv.lock", lock(source=EVIL), "requests", None, "git https://example.org/x?rev=1#0"),
        (
            "uv.lock",
            lock(source='{ registry = "https://example.org" }'),
            "requests",
            None,
            "registry https://example.org",
        ),
        (
            "uv.lock",
            lock(url="https://example.org/requests-1-py3-none-any.whl"),
            "requests",
            None,
            "file of example.org",
        ),
        ("uv.lock", lock(url=FILE.replace("requests", "evil")), "requests", None, "file evil-1-py3-none-any.whl"),
        (
            "requirements/serve.txt",
            "--index-url https://example.org\n",
            "--index-url https://example.org",
            None,
            "asked",
        ),
        (
            "requirements/serve.txt",
            "requests @ git+https://example.org/x\n",
            "requests @ git+https://example.org/x",
            None,
            "asked",
        ),
        ("requirements/serve.txt", "./x.whl\n", "./x.whl", None, "asked"),
        ("requirements/serve.txt", "requests@./x.whl\n", "requests@./x.whl", None, "asked"),
        ("requirements/serve.txt", "requests>=1\n", "requests>=1", None, "asked"),
        (
            "requirements/serve.txt",
            "requests==1 ; python_version > '3' --config-settings=x\n",
            "requests==1 ; python_version > '3' --config-settings=x",
            None,
            "asked",
        ),
        (
            "pyproject.toml",
            MAIN["pyproject.toml"] + '[build-system]\nbuild-backend = "evil"\n',
            "build-system.build-backend",
            None,
            '"evil"',
        ),
        ("pyproject.toml", MAIN["pyproject.toml"] + '[tool.uv]\nindex-url = "x"\n', "tool.uv.index-url", None, '"x"'),
        (
            "pyproject.toml",
            MAIN["pyproject.toml"] + '[tool.uv]\nindex-url = "x"\n["tool.uv"]\nindex-url = "y"\n',
            "tool.uv.index-url",
            None,
            '"x"',
        ),
        (
            "pyproject.toml",
            MAIN["pyproject.toml"] + '[build-system]\nrequires = ["evil"]\n[""."build-system"]\nrequires = []\n',
            "build-system.requires",
            None,
            '["evil"]',
        ),
        ("project.yaml", settings(**{"card.x": 1}), '"card.x"', None, "1"),
        ("uv.toml", 'index-url = "x"\n', "", None, 'index-url = "x"'),
        ("setup.py", "import os\n", "", None, "import os"),
        ("Makefile", "check:\n\ttrue\n", "", "pre-commit run", "true"),
        ("gitops-ml.mk", "check:\n\ttrue\n", "", None, "check: ⏎ true"),
        ("GNUmakefile", "check:\n\ttrue\n", "", None, "check: ⏎ true"),
        ("conftest.py", "x = 1\n", "", None, "x = 1"),
        ("data/raw.dvc", POINTER.replace("acme", "other"), "deps", RAW, RAW.replace("acme", "other")),
        (".dvc/config", "[core]\n    remote = other\n", "", "remote = storage", "remote = other"),
        ("pipeline/metrics.py", "def measure(): return 1\n", "", "def measure(): ...", "def measure(): return 1"),
        ("tests/model/test_model.py", None, "", "def test_it(): ...", None),
    ],
    ids=lambda value: str(value)[:30].strip() or "whole",
)
def test_what_decides_is_named_with_before_and_after(  # noqa: PLR0913, PLR0917 - parameters of pytest
    root: Path, path: str, content: str | None, name: str, before: str | None, after: str | None
) -> None:
    """Each kind of file says in its own words what is decided otherwise."""
    found = {each.name: each for each in changed(root, {path: content}) if each.path == path}
    assert (found[name].before, found[name].after) == (before, after)
    assert found[name].readable


@pytest.mark.parametrize(
    "path",
    [
        "numpy.py",
        "cryptography/__init__.py",
        "opentelemetry/trace.py",
        "usercustomize.py",
        "numpy.cpython-312-x86_64-linux-gnu.so",
        "x-1.dist-info/entry_points.txt",
        "pipeline/__init__.py",
        "pipeline/metrics/__init__.py",
        "pipeline/encode.py",
        "pipeline/profile.py",
        "pipeline/stages/__init__.py",
        "pipeline/stages/files.py",
        "pipeline/stages/train/__init__.py",
        "pipeline/metrics.cpython-312-x86_64-linux-gnu.so",
        "pipeline/__pycache__/metrics.cpython-312.pyc",
        "service/__pycache__/service.cpython-312.pyc",
    ],
)
def test_code_that_may_replace_what_judges_is_named(root: Path, path: str) -> None:
    """What Python may import in place of what judges and signs decides: a module, a package, or what is compiled."""
    assert [each.path for each in changed(root, {path: "x = 1\n"})] == [path]


@pytest.mark.parametrize("path", ["numpy", "pipeline/metrics", "pipeline"])
def test_a_link_to_a_package_is_refused(root: Path, path: str) -> None:
    """A link may be a package that replaces another one, and what it leads to is not what Git compares."""
    git(root, "checkout", "--quiet", "-b", "change")
    if path == "pipeline":
        git(root, "rm", "--quiet", "-r", path)
    (root / path).symlink_to("docs")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "x")
    found = decisive.changes(Git(root), "main", "change", "main")
    assert (path, False) in {(each.path, each.readable) for each in found}


@pytest.mark.parametrize("path", ["vendor", "vendor/gitops-ml", "vendor/gitops-ml/more", MANIFEST])
@pytest.mark.parametrize("mode", ["160000", "120000"])
def test_another_repository_or_a_link_in_the_automation_is_refused(root: Path, path: str, mode: str) -> None:
    """Of what stands elsewhere Git has nothing to compare, so the automation may hold none of it."""
    git(root, "checkout", "--quiet", "-b", "change")
    git(root, "rm", "--quiet", "-r", "--ignore-unmatch", path)
    stored = git(root, "rev-parse", "main" if mode == "160000" else "main:docs/README.md")
    git(root, "update-index", "--add", "--cacheinfo", f"{mode},{stored},{path}")
    git(root, "commit", "--quiet", "--message", "x")
    (found,) = decisive.changes(Git(root), "main", "change", "main")
    assert (found.path, found.readable) == ("vendor/gitops-ml", False)
    assert "links or other repositories" in str(found.after)


@pytest.mark.parametrize(
    "files",
    [
        {
            "docs/README.md": "Other words\n",
            "pipeline/stages/train.py": "x = 1\n",
            "tests/model/test_more.py": "x = 1\n",
        },
        {"project.yaml": settings(title="Another", card={"contact": "x"}) + "# a note\n"},
        {"params.yaml": MAIN["params.yaml"].replace("max_iter: 150", "max_iter: 15")},
        {"uv.lock": lock(name="other", url=FILE.replace("requests", "other"))},
        {"pyproject.toml": MAIN["pyproject.toml"].replace("requests", "other")},
        {"data/raw.dvc": POINTER.replace("0.dir", "1.dir").replace('rev_lock: "0"', 'rev_lock: "1"')},
    ],
    ids=[
        "documents and code",
        "prose and notes",
        "what a data scientist tunes",
        "a package",
        "what is asked for",
        "a batch of data",
    ],
)
def test_what_everybody_changes_every_day_decides_nothing(root: Path, files: dict[str, str]) -> None:
    """Documents, features, tuning and packages of the registry ask for nobody in particular."""
    assert changed(root, files) == []


def test_a_real_lock_is_all_of_the_registry() -> None:
    """Of the hundreds of packages that a project locks, whatever their names and files look like, none is foreign."""
    assert forms.lock((PROJECT / "uv.lock").read_bytes()) == {}


@pytest.mark.parametrize(
    "file", ["requests-evil-1.tar.gz", "requests_evil-1-py3-none-any.whl", "requests-2.tar.gz", "x"]
)
def test_a_file_of_another_project_or_version_is_foreign(file: str) -> None:
    """The registry has files of everybody, so its address alone says nothing of whose a file is."""
    assert forms.lock(lock(url=f"https://files.pythonhosted.org/packages/{file}").encode()) == {
        "requests": f"file {file}"
    }


def test_a_real_export_is_all_of_the_registry() -> None:
    """Versions, markers and hashes, as uv and people write them, say nothing of where packages come from."""
    written = b"# A comment\n\na[b,c]==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:00  # via d\n    # via\n"
    assert forms.requirements(written) == {}
    for name in ("train", "serve"):
        assert forms.requirements((PROJECT / f"requirements/{name}.txt").read_bytes()) == {}


def test_the_vendored_automation_is_one_change_that_says_what_is_not_the_templates(root: Path) -> None:
    """However many of its files differ, they are one line, with those that the manifest does not know."""
    more = "vendor/gitops-ml/gitops_ml/more.py"
    (found,) = changed(root, {MODULE: "floor = False\n", more: "x = 1\n"})
    assert found.after == (
        "2 files differ: gitops_ml/gate/rules.py, gitops_ml/more.py; "
        "not as MANIFEST.sha256 says: gitops_ml/gate/rules.py, gitops_ml/more.py"
    )
    digest = hashlib.sha256(b"floor = None\n").hexdigest()
    commit(root, {MODULE: "floor = None\n", more: None, MANIFEST: f"{digest}  gitops_ml/gate/rules.py\n"})
    (found,) = decisive.changes(Git(root), "main", "change", "main")
    assert found.after == "2 files differ: MANIFEST.sha256, gitops_ml/gate/rules.py"


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("project.yaml", "gate: [", "it is no YAML"),
        ("project.yaml", "a: &a [x]\nb: [*a, *a]\n", "it has an alias"),
        ("project.yaml", "[" * 5000, "it is too deep"),
        ("project.yaml", b"\xff\xfe\xff", "it is no YAML"),
        ("project.yaml", "a: " + "x" * 1_000_001, "it has more than 1,000,000 bytes"),
        ("project.yaml", "- a list\n", "it holds no settings"),
        ("project.yaml", 'gate: {1: x, "1": y}\n', "it says '1' twice in gate"),
        ("project.yaml", "environments: [{name: x, gate: none}, {name: x}]\n", "it says 'x' twice in environments"),
        (".github/workflows/pull-request.yml", "jobs: [1]\n", ""),
        ("uv.lock", "package = 1\n", ""),
        ("uv.lock", "[[", ""),
        ("pyproject.toml", "project = 1\n", ""),
    ],
    ids=lambda value: str(value)[:20].strip() or "any",
)
def test_what_cannot_be_read_is_named_and_no_silence(root: Path, path: str, content: str | bytes, said: str) -> None:
    """A file that has not its form is a change that says so; no form of it breaks or stops the one who looks."""
    found = [each for each in changed(root, {path: content}) if each.path == path]
    assert any(not each.readable and said in str(each.after) for each in found)


def test_a_link_in_place_of_a_file_is_refused(root: Path) -> None:
    """What a link leads to is not what Git compares, so it may stand for nothing that decides."""
    git(root, "checkout", "--quiet", "-b", "change")
    (root / "project.yaml").unlink()
    (root / "project.yaml").symlink_to("docs/README.md")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "x")
    (found,) = decisive.changes(Git(root), "main", "change", "main")
    assert (found.path, found.readable) == ("project.yaml", False)


def test_no_name_of_a_file_hides_it(root: Path) -> None:
    """Names with line breaks, quotes, tabs or bytes that are no text are files like any other."""
    names = [b'a\n".yml', b"b\t.yml", "ü.yml".encode(), b"\xff.yml"]
    git(root, "checkout", "--quiet", "-b", "change")
    for name in names:
        with open(bytes(root / ".github/workflows") + b"/" + name, "w") as file:
            file.write("on: push\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "x")
    found = decisive.changes(Git(root), "main", "change", "main")
    assert {each.path.rpartition("/")[2] for each in found} == {'a\n".yml', "b\t.yml", "ü.yml", "\\xff.yml"}


def test_owners_are_those_that_main_names(root: Path) -> None:
    """A change that names other owners is asked for by those of main."""
    files = {
        "CODEOWNERS": "* @somebody\n",
        "project.yaml": settings(trusted_types=[]),
        "params.yaml": "evaluate: {seed: 9}\n",
    }
    found = {each.path: each.owners for each in changed(root, files)}
    assert found == {
        "CODEOWNERS": ["@acme/ml"],
        "project.yaml": ["@acme/ml", "@acme/ds"],
        "params.yaml": ["@acme/ds"],
    }


def test_what_counts_is_what_merging_would_change(root: Path) -> None:
    """Main's own progress is no change of a branch that left it before; what a branch takes back from main is one."""
    git(root, "checkout", "--quiet", "-b", "change")
    commit(root, {"docs/README.md": "x\n"})
    git(root, "checkout", "--quiet", "main")
    commit(root, {"project.yaml": settings(gate=GATE | {"floors": {"roc_auc": 0.9}})})
    there = Git(root)
    assert decisive.changes(there, *decisive.merged(there, "main", "change"), "main") == []
    git(root, "checkout", "--quiet", "change")
    git(root, "merge", "--quiet", "--no-commit", "main")
    commit(root, {"project.yaml": MAIN["project.yaml"]})
    (found,) = decisive.changes(there, *decisive.merged(there, "main", "change"), "main")
    assert (found.before, found.after) == ("0.9", "0.65")
    # In conflict: what the branch itself did since it left main.
    git(root, "checkout", "--quiet", "-b", "other", "main~1")
    commit(root, {"project.yaml": settings(gate=GATE | {"floors": {"roc_auc": 0.1}})})
    (found,) = decisive.changes(there, *decisive.merged(there, "main", "other"), "main")
    assert (found.before, found.after) == ("0.65", "0.1")

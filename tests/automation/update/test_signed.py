"""A version of the template is verified before anything of it runs, by the keys that came with the one before."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter
from gitops_ml.adoption import adopt
from gitops_ml.core import manifest, signing
from gitops_ml.core.errors import UserError
from gitops_ml.github import doctor
from gitops_ml.update import bakes, seal, update
from gitops_ml.update.record import FILE, Record
from gitops_ml.update.template import Template
from gitops_ml.versions.git import Git

from ci import signature
from ci.shell import ROOT
from ci.signature import PROJECT, PUBLIC
from tests.automation.update.conftest import ANSWERS, Team
from tests.automation.world import git

pytestmark = pytest.mark.xdist_group("update-merge")
MARK = "RAN_BY_A_HOOK"
HOOK = f'import os, pathlib\nif "{MARK}" in os.environ:\n    pathlib.Path(os.environ["{MARK}"]).touch()\n'
HOOKS = "hooks/pre_gen_project.py"
EDITED = f"{PROJECT}/deploy/Dockerfile"
# As much of this template as an update without packages looks at: the way through Git is the same, and faster.
KEPT = (
    ".gitignore",
    "CHANGELOG.md",
    "cookiecutter.json",
    HOOKS,
    "hooks/post_gen_project.py",
    "tests/expected_files.txt",
    EDITED,
    *(f"{PROJECT}/{path}" for path in ("project.yaml", "pyproject.toml", "vendor/gitops-ml/pyproject.toml")),
)


def committed(template: Path, version: str) -> str:
    """A commit that says that it is a version, with a line more in one file of the project; its name."""
    package = template / PROJECT / "vendor/gitops-ml/pyproject.toml"
    text = package.read_text()
    before = text.partition('\nversion = "')[2].partition('"')[0]
    package.write_text(text.replace(f'\nversion = "{before}"', f'\nversion = "{version}"'))
    changes = template / "CHANGELOG.md"
    changes.write_text(changes.read_text().replace("\n## ", f"\n## {version}\n\n- Newer.\n\n## ", 1))
    with (template / EDITED).open("a") as file:
        file.write(f"# {version}\n")
    manifest.write(template / PROJECT)
    git(template, "add", "--all")
    git(template, "commit", "--quiet", "--message", version)
    return git(template, "rev-parse", "HEAD")


def released(template: Path, version: str, *, unvouched: bool = False) -> str:
    """The same with a signed tag; the key that signed."""
    committed(template, version)
    return signature.tag(template, f"v{version}", unvouched=unvouched)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is made once."""
    return tmp_path_factory.mktemp("signed")


@pytest.fixture(autouse=True)
def private(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the private halves lie, and the file that a hook of the template writes when it runs."""
    monkeypatch.setenv("RELEASE_KEY_FOLDER", str(folder / "keys"))
    monkeypatch.setenv(MARK, str(tmp_path / "ran"))
    return folder / "keys"


@pytest.fixture(scope="module")
def first(folder: Path) -> Path:
    """A template with a key and a signed version 0.3.0, whose hook says when it ran."""
    git(folder, "init", "--quiet", "--initial-branch=main", "first")
    template = folder / "first"
    for path in KEPT:
        (template / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, template / path)
    (template / HOOKS).write_text(HOOK + (template / HOOKS).read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELEASE_KEY_FOLDER", str(folder / "keys"))
        assert signature.make_key(template)
        released(template, "0.3.0")
    return template


@pytest.fixture
def template(first: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return Path(shutil.copytree(first, tmp_path / "template"))


@pytest.fixture(scope="module")
def baked(first: Path, folder: Path) -> Git:
    """A repository whose main is the bake of that version."""
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "project.git")
    store, source = Git(folder / "project.git"), Template(str(first), folder / "baking.git")
    known = Record(template=str(first), answers=ANSWERS)
    made = bakes.made(store, source, source.newest(), known, folder / "bake")
    tree = store.with_files(made.tree, {FILE: made.record.written})
    store.said("update-ref", "refs/heads/main", store.commit(tree, None, "Start", machine=True))
    return store


@pytest.fixture
def team(baked: Git, tmp_path: Path) -> Team:
    """A team with a project of that version."""
    git(tmp_path, "clone", "--quiet", "--bare", str(baked.root), "origin.git")
    return Team(tmp_path / "origin.git", tmp_path / "late-flights", baked.root)


def prepared(team: Team, template: Path, **said: object) -> update.Proposal:
    """What an update would propose, without packages."""
    return update.prepare(team.root, update.Wish.model_validate({"source": str(template), "check": False, **said}))


def test_a_signed_version_is_taken_and_noted(team: Team, template: Path, tmp_path: Path) -> None:
    """The pull request and the JSON name the key; the record has the signature, by which the doctor knows vendor/."""
    key = released(template, "0.4.0")
    made = prepared(team, template)
    assert (made.outcome.state, made.outcome.new) == ("open", "0.4.0")
    assert made.outcome.verified.key == key
    said = f"Version 0.4.0 is signed by the key {key}, and every file of it is as it was signed."
    assert said in made.body.splitlines()
    assert (tmp_path / "ran").exists()
    git(team.root, "fetch", "--quiet", str(team.root / "build/update/project"), "refs/update/made")
    git(team.root, "merge", "--quiet", "--ff-only", "FETCH_HEAD")
    git(team.root, "push", "--quiet", "origin", "HEAD:main")
    Git(team.root).fetch()
    assert doctor._signed(team.root) == f"vendor/ is that of version 0.4.0, signed by the key {key}"
    assert prepared(team, template).outcome.state == "up to date"


def unsigned(template: Path) -> None:
    """A tag that is only a name."""
    git(template, "tag", "v0.4.0", committed(template, "0.4.0"))


def annotated(template: Path) -> None:
    """A tag with a message, and nothing signed in it."""
    git(template, "tag", "--message", "Version 0.4.0", "v0.4.0", committed(template, "0.4.0"))


def by_another(template: Path) -> None:
    """Signed by whoever has a key of their own, and put it into the version."""
    (template / PUBLIC).unlink()
    assert signature.make_key(template)
    released(template, "0.4.0", unvouched=True)


def moved(template: Path) -> None:
    """The tag's message on another commit than it was made for."""
    released(template, "0.4.0")
    message = git(template, "tag", "--list", "--format=%(contents)", "v0.4.0")
    with (template / HOOKS).open("a") as file:
        file.write("# More.\n")
    git(template, "commit", "--quiet", "--all", "--amend", "--no-edit")
    git(template, "tag", "--force", "--cleanup=verbatim", "--message", message, "v0.4.0")


def taken_over(template: Path) -> None:
    """The message of an older version on a newer tag."""
    message = git(template, "tag", "--list", "--format=%(contents)", "v0.3.0")
    commit = committed(template, "0.4.0")
    git(template, "tag", "--cleanup=verbatim", "--message", message, "v0.4.0", commit)


def exchanged(template: Path) -> None:
    """The content of a file under the name that Git has for what was signed, as if SHA-1 were broken."""
    released(template, "0.4.0")
    name = git(template, "rev-parse", f"v0.4.0:{EDITED}")
    content = b"FROM somewhere-else\n"
    path = template / ".git/objects" / name[:2] / name[2:]
    path.chmod(0o600)
    path.write_bytes(zlib.compress(b"blob %d\0%b" % (len(content), content)))


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        (unsigned, "it is not signed"),
        (annotated, "it is not signed"),
        (by_another, "it is signed by none of the keys in vendor/gitops-ml/template.pub on main"),
        (moved, "its tag was moved: signed was "),
        (taken_over, "its tag holds the signature of version 0.3.0"),
        (exchanged, "its files are not those that were signed"),
    ],
)
def test_a_version_that_is_not_the_templates_is_refused_before_it_runs(
    team: Team, template: Path, tmp_path: Path, forged: Callable[[Path], None], why: str
) -> None:
    """The sentence says what is wrong and what to do; no hook ran, and nothing was pushed."""
    forged(template)
    with pytest.raises(UserError, match=r"version 0\.4\.0 of the template .* nothing of it was run: ") as told:
        prepared(team, template)
    assert why in str(told.value)
    assert "--unsigned goes on with this one" in str(told.value)
    assert not (tmp_path / "ran").exists()
    assert git(team.root, "ls-remote", "origin").split()[1::2] == ["HEAD", "refs/heads/main"]


def test_the_tip_of_a_branch_is_no_version(team: Team, template: Path, tmp_path: Path) -> None:
    """It is refused like what is unsigned; told to go on, the update does, and the pull request says so."""
    tip = committed(template, "0.4.0")
    with pytest.raises(UserError, match=r"there is no tag v0\.4\.0, so it is no released version"):
        prepared(team, template, to=tip)
    assert not (tmp_path / "ran").exists()
    made = prepared(team, template, to=tip, unsigned=True)
    said = "nothing verified, as --unsigned said: there is no tag v0.4.0, so it is no released version"
    assert json.loads(made.outcome.model_dump_json())["verified"] == {"key": None, "sentence": said}
    assert f"**N{said[1:]}.**" in made.body
    assert (tmp_path / "ran").exists()


def test_a_file_of_keys_may_be_named_instead(team: Team, template: Path, tmp_path: Path) -> None:
    """Whoever knows the template's new key from elsewhere trusts that; a file without one is refused."""
    by_another(template)
    shutil.copy(template / PUBLIC, tmp_path / "other.pub")
    known = prepared(team, template, key=tmp_path / "other.pub").outcome.verified
    assert known.key in signing.keys((template / PUBLIC).read_bytes())
    (tmp_path / "other.pub").write_text("-----BEGIN NOTHING-----\n")
    with pytest.raises(UserError, match="holds no public key in PEM"):
        prepared(team, template, key=tmp_path / "other.pub")
    with pytest.raises(UserError, match=r"nowhere\.pub cannot be read: No such file"):
        prepared(team, template, key=tmp_path / "nowhere.pub")


def test_who_skips_the_version_that_changed_the_keys_trusts_the_next(team: Team, template: Path) -> None:
    """The older key signs the version that brings a newer one, which signs from then on; a project may skip it.

    A version by the newer key alone is refused where nobody whom the project trusts has brought that key.
    """
    old = next(iter(signing.keys((template / PUBLIC).read_bytes())))
    assert signature.make_key(template, another=True)
    new = next(iter(signing.keys((template / PUBLIC).read_bytes())))
    assert released(template, "0.4.0") == old
    (template / PUBLIC).write_bytes(signing.keys((template / PUBLIC).read_bytes())[new])
    assert released(template, "0.5.0") == new
    done = prepared(team, template).outcome
    assert (done.new, done.verified.key) == ("0.5.0", new)
    assert done.verified.sentence.endswith(f"; it brings the key {new} and trusts {old} no more")
    git(template, "tag", "--delete", "v0.4.0")
    with pytest.raises(UserError, match="signed by none of the keys"):
        prepared(team, template)


def test_a_key_that_a_version_has_withdrawn_signs_nothing_more(team: Team, template: Path) -> None:
    """Neither for who has taken that version, nor for who skips it; older versions that had the key change nothing."""
    old = next(iter(signing.keys((template / PUBLIC).read_bytes())))
    assert signature.make_key(template, another=True)
    both = signing.keys((template / PUBLIC).read_bytes())
    (new,) = set(both) - {old}
    assert released(template, "0.4.0") == old
    (template / PUBLIC).write_bytes(both[new])
    assert released(template, "0.5.0") == new
    (template / PUBLIC).write_bytes(both[old])
    assert released(template, "0.6.0", unvouched=True) == old
    with pytest.raises(UserError, match="signed by none of the keys"):
        prepared(team, template, to="0.6.0")
    # As after taking 0.5.0.
    (team.root / seal.PUBLIC).write_bytes(both[new])
    team.push("Trust the new key alone")
    with pytest.raises(UserError, match="signed by none of the keys"):
        prepared(team, template, to="0.6.0")


def test_a_record_that_was_edited_lets_nothing_run(team: Team, template: Path, tmp_path: Path) -> None:
    """A commit that a project claims to be made from is taken for that only if the record's signature says so."""
    commit = committed(template, "0.4.0")
    known = json.loads((team.root / FILE).read_text())
    (team.root / FILE).write_text(json.dumps({**known, "commit": commit}))
    team.push("Claim another commit")
    with pytest.raises(UserError, match="is not trusted, and nothing of it was run"):
        prepared(team, template, to=commit)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(doctor.FaultError, match=r"names version 0\.3\.0 \(\w+\), and what was signed is 0\.3\.0"):
        doctor._signed(team.root)


def test_a_project_without_a_key_is_told_that_nothing_was_verified(team: Team, template: Path) -> None:
    """It goes on, as it must the first time, and says which key the version brings."""
    (team.root / seal.PUBLIC).unlink()
    team.push("Remove the key")
    key = released(template, "0.4.0")
    made = prepared(team, template)
    said = made.outcome.verified.sentence
    assert said.startswith("nothing verified: vendor/gitops-ml/template.pub on main holds no key of the template, and ")
    assert said.endswith(f"; this version brings the key {key}, by which the next ones are verified")
    assert f"**N{said[1:]}.** Read what it changes" in made.body
    assert doctor._signed(team.root).startswith("nothing is verified: main has no vendor/gitops-ml/template.pub")


def test_a_damaged_file_of_keys_lets_nothing_through(team: Team, template: Path) -> None:
    """What is there and cannot be read is not the same as no key."""
    (team.root / seal.PUBLIC).write_text("-----BEGIN PUBLIC KEY-----\n")
    team.push("Damage the key")
    released(template, "0.4.0")
    with pytest.raises(UserError, match=r"template\.pub on main is damaged: no public key in PEM is in it"):
        prepared(team, template)
    with pytest.raises(doctor.FaultError, match=r"template\.pub on main is damaged"):
        doctor._signed(team.root)


def test_the_doctor_tells_a_package_that_is_not_the_signed_one(team: Team) -> None:
    """An edited file of vendor/ on main, a manifest that was written anew for it, and a record without a signature."""
    Git(team.root).fetch()
    assert doctor._signed(team.root).startswith("vendor/ is that of version 0.3.0, signed by the key ")
    team.edit("vendor/gitops-ml/pyproject.toml", "[project]", "# Ours.\n[project]")
    Git(team.root).fetch()
    with pytest.raises(doctor.FaultError, match=r"^vendor/gitops-ml/pyproject\.toml: not as they were signed"):
        doctor._signed(team.root)
    manifest.write(team.root)
    team.push("Write the manifest anew")
    Git(team.root).fetch()
    with pytest.raises(doctor.FaultError, match=r"MANIFEST\.sha256 is not the one that was signed with version"):
        doctor._signed(team.root)
    known = json.loads((team.root / FILE).read_text())
    (team.root / FILE).write_text(json.dumps({**known, "version": "0.9.0"}))
    team.push("Claim another version")
    Git(team.root).fetch()
    with pytest.raises(doctor.FaultError, match=r"names version 0\.9\.0 \(\w+\), and what was signed is 0\.3\.0"):
        doctor._signed(team.root)
    (team.root / FILE).write_text(json.dumps({**known, "signed": ""}))
    team.push("Forget the signature")
    Git(team.root).fetch()
    with pytest.raises(doctor.FaultError, match="is not verified: it is not signed; `make update` brings one that is"):
        doctor._signed(team.root)


def test_an_adoption_is_held_to_a_file_of_keys(template: Path, tmp_path: Path) -> None:
    """A repository that is no project yet has no key of the template; where one is named, nothing unsigned runs."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "churn")
    (tmp_path / "churn/README.md").write_text("# Churn\n")
    git(tmp_path / "churn", "add", "--all")
    git(tmp_path / "churn", "commit", "--quiet", "--message", "Ours")
    shutil.copy(template / PUBLIC, tmp_path / "template.pub")
    unsigned(template)
    wish = adopt.Wish(source=str(template), key=tmp_path / "template.pub")
    with pytest.raises(UserError, match="nothing of it was run: it is not signed"):
        adopt.adopt(tmp_path / "churn", wish)
    assert not (tmp_path / "ran").exists()
    assert git(tmp_path / "churn", "branch", "--list").split() == ["*", "main"]


def test_what_cookiecutter_makes_of_a_signed_version_has_its_signature(first: Path, tmp_path: Path) -> None:
    """The hook notes what the tag says of the commit, and nothing of a commit that has no such tag."""
    answers = {"project_slug": "one"}
    one = Path(cookiecutter(str(first), no_input=True, extra_context=answers, output_dir=str(tmp_path)))
    noted = Record.model_validate_json((one / FILE).read_bytes())
    assert noted.signed == seal.seal_of(Git(first), "0.3.0", noted.commit) != ""


def test_a_tag_that_does_not_fit_is_not_made(template: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each thing that is out of step is a sentence, and no tag is left; made once, it is verified the next time."""

    def refused(name: str, why: str) -> None:
        with pytest.raises(UserError, match=why):
            signature.tag(template, name)
        assert git(template, "tag", "--list").split() == ["v0.3.0"]

    committed(template, "0.4.0")
    git(template, "update-ref", "refs/remotes/origin/main", "v0.3.0^{commit}")
    refused("v0.4.0", "is not on origin's main; a version is a commit of it: merge or push it first")
    git(template, "update-ref", "-d", "refs/remotes/origin/main")
    refused("0.4.0", "'0.4.0' is no version's tag, such as v1.2.0")
    refused("v0.5.0", r"the vendored package has version 0\.4\.0, and the tag would be v0\.5\.0")
    with monkeypatch.context() as patch:
        patch.setenv("RELEASE_KEY_FOLDER", str(tmp_path / "nowhere"))
        refused("v0.4.0", "it is neither in the variable TEMPLATE_KEY nor in")
    (template / "notes.txt").write_text("more\n")
    refused("v0.4.0", "1 files are not as committed, such as notes.txt")
    (template / "notes.txt").unlink()
    (template / PROJECT / "vendor/gitops-ml/README.md").write_text("ours\n")
    git(template, "add", "--all")
    git(template, "commit", "--quiet", "--message", "Edit")
    refused("v0.4.0", "MANIFEST.sha256 is out of step with the vendored package: make manifest")
    git(template, "reset", "--quiet", "--hard", "HEAD^")
    text = (template / "CHANGELOG.md").read_text()
    (template / "CHANGELOG.md").write_text(text.replace("## 0.4.0", "## 0.4.1"))
    git(template, "commit", "--quiet", "--all", "--message", "Edit")
    refused("v0.4.0", r"CHANGELOG.md says nothing under 0\.4\.0")
    git(template, "reset", "--quiet", "--hard", "HEAD^")
    # Whose target no hash of contents tells from a file.
    (template / "hooks/link.py").symlink_to("../../outside.py")
    git(template, "add", "--all")
    git(template, "commit", "--quiet", "--message", "Link")
    refused("v0.4.0", r"'hooks/link\.py' is no plain file, which no signature covers")
    git(template, "reset", "--quiet", "--hard", "HEAD^")
    key = signature.tag(template, "v0.4.0")
    made = git(template, "rev-parse", "v0.4.0")
    assert signature.tag(template, "v0.4.0") == key
    assert git(template, "rev-parse", "v0.4.0") == made
    committed(template, "0.4.0")
    with pytest.raises(UserError, match=r"there is a tag v0\.4\.0 already, and not of what .* names another commit"):
        signature.tag(template, "v0.4.0")

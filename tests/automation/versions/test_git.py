from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from gitops_ml.core import programs
from gitops_ml.core.errors import UserError
from gitops_ml.versions.git import Git
from gitops_ml.versions.objects import TAGS, DamagedError

from tests.automation.world import git


@pytest.fixture
def clone(tmp_path: Path) -> Git:
    """A clone whose main has one file, at `origin` as here."""
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(tmp_path, "clone", "--quiet", "origin.git", "clone")
    root = tmp_path / "clone"
    git(root, "checkout", "--quiet", "-B", "main")
    (root / "file").write_text("one\n")
    git(root, "add", "file")
    git(root, "commit", "--quiet", "--message", "One")
    git(root, "push", "--quiet", "origin", "main")
    made = Git(root)
    made.fetch()
    return made


def lose(clone: Git, name: str) -> None:
    """Lose an object, as a disk or an ended `git gc` does."""
    found = git(clone.root, "rev-parse", name)
    (clone.root / ".git" / "objects" / found[:2] / found[2:]).unlink()


def test_what_does_not_exist_is_none(clone: Git) -> None:
    """A branch, a name, an object and a file that do not exist are told as such."""
    assert clone.tip("nothing") is None
    assert clone.commit_of("refs/heads/nothing") is None
    assert clone.commit_of("0" * 40) is None
    assert clone.read("HEAD", "nothing") is None
    assert clone.read_all(["HEAD:file", "HEAD:no/thing"]) == [b"one\n", None]
    assert not clone.is_ancestor("0" * 40, "HEAD")
    with pytest.raises(DamagedError, match="this clone cannot read 0000"):
        clone.read_all(["0" * 40])


@pytest.mark.parametrize("name", ["HEAD:file", "HEAD^{tree}", "HEAD"])
def test_what_is_lost_is_an_error(clone: Git, name: str) -> None:
    """A file whose object, folder or commit is lost is never taken for one that does not exist."""
    commit = git(clone.root, "rev-parse", "HEAD")
    lose(clone, name)
    with pytest.raises(UserError, match=r"git fsck|failed"):
        clone.read(commit, "file")
    if name == "HEAD":
        for question in (lambda: clone.tip("main"), lambda: clone.commit_of("refs/heads/main")):
            with pytest.raises(DamagedError, match="this clone cannot read"):
                question()


def test_a_branch_that_was_cut_short_is_an_error(clone: Git) -> None:
    """An empty file in place of a branch, as a machine that lost its power leaves it, is not the absence of it."""
    (clone.root / ".git/refs/remotes/origin/main").write_text("")
    with pytest.raises(UserError, match="ignoring broken ref"):
        clone.tip("main")


def test_a_folder_of_somebody_else_is_told_in_gits_own_words(clone: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Git refuses to read is not taken for empty, and its own advice is passed on."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for question in (lambda: clone.commit_of("HEAD"), lambda: clone.tip("main")):
        with pytest.raises(UserError, match=r"safe\.directory"):
            question()


def test_no_command_works_on_the_repository_of_a_hook(
    clone: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Git tells its hooks about their repository does not lead our commands into it."""
    git(tmp_path, "init", "--quiet", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other/.git/index"))
    tree = clone.write({"a": b"a"})
    clone.push(clone.commit(tree, None, "A"), "refs/heads/a")
    assert clone.tip("a")
    assert programs.run("git", "rev-parse", "--show-toplevel", cwd=clone.root) == str(clone.root)
    assert not list((tmp_path / "other/.git/refs").rglob("a"))
    programs.forget_repository()
    assert "GIT_DIR" not in os.environ


def test_nobodys_settings_change_what_is_read(clone: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours, signatures, encodings, hooks and the like of the user's settings are not in the way."""
    settings = tmp_path / "settings"
    settings.write_text(
        "[color]\nui = always\n[log]\nshowSignature = true\n[i18n]\nlogOutputEncoding = UTF-16\n"
        f"[core]\nautocrlf = true\nhooksPath = {tmp_path / 'hooks'}\nquotePath = true\n[commit]\ngpgSign = true\n"
        "[push]\ngpgSign = true\nfollowTags = true\n[tag]\ngpgSign = true\n[fetch]\nprune = true\npruneTags = true\n"
    )
    (tmp_path / "hooks").mkdir()
    for hook in ("pre-push", "pre-commit", "post-index-change"):
        (tmp_path / "hooks" / hook).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "hooks" / hook).chmod(0o755)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    content = b"one\r\ntwo \xc3\xa9\n"
    commit = clone.commit(clone.write({"é": content}), clone.tip("main"), "Größer")
    clone.push(commit, "refs/heads/main")
    assert clone.tip("main") == commit
    assert clone.read(commit, "é") == content
    assert clone.paths(commit) == ["é"]
    assert clone.message(commit).strip() == "Größer"
    assert clone.time(commit) > 0


def test_machines_have_a_name_where_nobody_has_one(clone: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Git does not know who works here, a commit is the automation's; else it is the person's."""
    tree = clone.write({"a": b"a"})
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.useConfigOnly")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    nobody = clone.commit(tree, None, "A")
    git(clone.root, "config", "user.name", "Ada")
    git(clone.root, "config", "user.email", "ada@example.org")
    person, machine = clone.commit(tree, None, "A"), clone.commit(tree, None, "A", machine=True)
    who = [clone.said("show", "--no-patch", "--format=%an, %cn", each) for each in (nobody, person, machine)]
    assert who == ["gitops-ml, gitops-ml", "Ada, Ada", "gitops-ml, gitops-ml"]


def test_tags_that_somebody_made_here_stay(clone: Git) -> None:
    """Fetching removes no tag of this clone, and takes none for one that everybody has."""
    git(clone.root, "tag", "release/mine")
    git(clone.root, "push", "--quiet", "origin", "HEAD:refs/tags/release/theirs")
    clone.fetch()
    assert list(clone.tags("release/")) == ["release/theirs"]
    git(clone.root, "config", "remote.origin.pruneTags", "true")
    git(clone.root, "push", "--quiet", "--delete", "origin", "refs/tags/release/theirs")
    clone.fetch()
    assert clone.tags("release/") == {}
    assert git(clone.root, "tag", "--list") == "release/mine"
    assert TAGS not in git(clone.root, "for-each-ref")


def test_several_branches_change_together_or_not_at_all(clone: Git) -> None:
    """If origin refuses one of several branches, it takes none of them."""
    main, tree = clone.tip("main"), clone.write({"a": b"a"})
    assert main
    new, stranger = clone.commit(tree, main, "A"), clone.commit(tree, None, "B")
    with pytest.raises(UserError, match="rejected"):
        clone.push_together({"refs/heads/new": new, "refs/heads/main": stranger})
    clone.fetch()
    assert (clone.tip("new"), clone.tip("main")) == (None, main)
    clone.push_together({"refs/heads/new": new, "refs/heads/main": new})
    assert (clone.tip("new"), clone.tip("main")) == (new, new)


def test_a_clone_that_cannot_be_used_is_told_so(clone: Git) -> None:
    """A project inside a larger repository, and a remote of another name, are named before anything is done."""
    (clone.root / "inside").mkdir()
    with pytest.raises(UserError, match=r"folder inside/ of a larger repository.*a repository of its own"):
        Git(clone.root / "inside").fetch()
    git(clone.root, "remote", "rename", "origin", "upstream")
    with pytest.raises(UserError, match="`git remote rename upstream origin`"):
        clone.fetch()


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept())
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/x.git", "git://127.0.0.1:{port}/x.git"])
def test_an_origin_that_never_answers(clone: Git, silent: int, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An origin that accepts and says nothing is given up after a while, with all that was started to ask it."""
    git(clone.root, "remote", "set-url", "origin", url.format(port=silent))
    monkeypatch.setattr("gitops_ml.versions.git.NETWORK_SECONDS", 0.5)
    before = main = clone.tip("main")
    with pytest.raises(UserError, match=r"`origin` does not answer: `git fetch` did not end within 0\.5 seconds"):
        clone.fetch()
    assert clone.tip("main") == before == main
    left = subprocess.run(["pgrep", "--full", f"127.0.0.1:{silent}"], capture_output=True, check=False)
    assert left.stdout == b""


ASKED = """
import sys
from pathlib import Path
from gitops_ml.versions.git import Git
git = Git(Path(sys.argv[1]))
print(git.read_all([]), git.said("hash-object", "--stdin", content=b""), git.tip("main") is not None)
"""


def test_nothing_waits_for_a_person_who_is_there(clone: Git) -> None:
    """At a terminal, what is read with an empty list or content does not wait for somebody to type."""
    terminal, end = pty.openpty()
    command = [sys.executable, "-c", ASKED, str(clone.root)]
    done = subprocess.run(command, stdin=end, capture_output=True, text=True, check=True, timeout=60)
    os.close(terminal)
    os.close(end)
    assert done.stdout.split() == ["[]", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "True"]


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """A program that is not installed, and a folder that is gone, are told as what they are."""
    with pytest.raises(UserError, match="`no-such-program` is not installed here"):
        programs.run("no-such-program", cwd=tmp_path)
    with pytest.raises(UserError, match=r"folder .*gone does not exist"):
        programs.run(sys.executable, "--version", cwd=tmp_path / "gone")

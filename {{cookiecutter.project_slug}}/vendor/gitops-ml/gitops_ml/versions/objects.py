"""What a clone holds: commits, trees, files and refs, read and written without touching the working tree.

What does not exist and what cannot be read are never the same answer: None is said only where Git itself says that
there is nothing.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import finished

REMOTE = "origin"
# Tags of `origin` have a place of their own here: what somebody tagged in this clone is not overwritten or pruned, and
# not taken for a release that everybody has.
TAGS = f"refs/{REMOTE}-tags/"
FETCHED = (f"+refs/heads/*:refs/remotes/{REMOTE}/*", f"+refs/tags/release/*:{TAGS}release/*")
# Whatever its user's settings are, Git answers in one form, and runs no hooks, which are for what people commit and
# push. A connection that carries nothing for half a minute is given up.
SETTINGS = {
    "advice.pushUpdateRejected": "false",
    "color.ui": "false",
    "log.showSignature": "false",
    "i18n.logOutputEncoding": "UTF-8",
    "status.showUntrackedFiles": "normal",
    "core.hooksPath": "/dev/null",
    "push.followTags": "false",
    "push.gpgSign": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "30",
}
COMMAND = ("git", *(word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")))
# Who commits where no person does, or where Git does not know who works here.
MACHINE = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "gitops-ml"), ("EMAIL", "gitops-ml@localhost"))
}
# Without --no-tags, Git 2.39 asks for less than it says.
MENDING = (
    "`git fsck` says what is lost, and "
    f"`{shlex.join(('git', 'fetch', '--refetch', '--no-tags', REMOTE, *FETCHED))}` brings back what others have"
)


class DamagedError(UserError):
    """This clone lacks something that its branches name."""


class Objects:
    """A clone."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def said(self, *command: str, env: Mapping[str, str] | None = None, content: bytes | None = None) -> str:
        """What a command of Git prints, without the last newline, whatever its user's settings are.

        Raises:
            UserError: it fails.
        """
        return self._bytes(*command, env=env, content=content).decode(errors="replace").rstrip("\n")

    def commit_of(self, name: str) -> str | None:
        """The commit that a name stands for; None if there is none.

        Raises:
            DamagedError: the name stands for something that this clone lacks.
        """
        done = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        if done.returncode and done.stderr:
            raise self._failure(done)
        # A name that stands for nothing is answered by silence, and the name of an object by itself, here or not.
        if done.returncode or (done.stdout.decode().strip() == name and not self._has(name)):
            return None
        return self._commit(done.stdout.decode().strip(), name)

    def refs(self, place: str, prefix: str) -> dict[str, str]:
        """The refs of a place that begin with a prefix, without the place, and their commits."""
        return {name.removeprefix(place): commit for name, commit in self._refs(f"{place}{prefix}").items()}

    def tree(self, commit: str) -> str:
        """The name of a commit's tree: equal for equal content."""
        return self._object(f"{commit}^{{tree}}", commit)

    def parents(self, commit: str) -> list[str]:
        """A commit's parents, the first one first."""
        return self.said("rev-list", "--parents", "--max-count=1", commit).split()[1:]

    def history(self, commit: str) -> list[str]:
        """A branch's own commits, the newest first."""
        return self.said("rev-list", "--first-parent", commit).splitlines()

    def ancestors(self, commit: str) -> list[str]:
        """A commit and all that came before it, none before its descendants."""
        return self.said("rev-list", "--topo-order", commit).splitlines()

    def time(self, commit: str) -> int:
        """When a commit was made, in seconds since 1970."""
        return int(self.said("show", "--no-patch", "--format=%ct", commit))

    def message(self, commit: str) -> str:
        """What a commit says of itself."""
        return self.said("show", "--no-patch", "--format=%B", commit)

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether a commit's history holds another one; not, if this clone does not have that one at all."""
        return self._has(older) and self._yes("merge-base", "--is-ancestor", older, newer)

    def merge_base(self, one: str, other: str) -> str | None:
        """The newest commit that two histories share; None if there is none."""
        return self.said("merge-base", one, other) if self._yes("merge-base", one, other) else None

    def paths(self, tree: str, under: str = "") -> list[str]:
        """The files of a commit or tree, in a folder if one is named."""
        listed = self.said("ls-tree", "-r", "-z", "--name-only", tree, "--", *([under] if under else []))
        return [path for path in listed.split("\0") if path]

    def objects(self, tree: str) -> dict[str, str]:
        """The files of a commit or tree, and the name of each one's content, which `read_all` reads."""
        listed = self.said("ls-tree", "-r", "-z", tree).split("\0")
        facts = (entry.partition("\t") for entry in listed if entry)
        return {path: kind.split(" ")[2] for kind, _, path in facts}

    def changed(self, old: str, new: str) -> list[str]:
        """The paths in which two commits or trees differ."""
        listed = self.said("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new)
        return [path for path in listed.split("\0") if path]

    def read(self, commit: str, path: str) -> bytes | None:
        """A file of a commit or tree, byte by byte; None if it has none."""
        return self.read_all([f"{commit}:{path}"])[0]

    def read_all(self, names: Iterable[str]) -> list[bytes | None]:
        """Files, each by `commit:path`, in one go; None for each that its commit does not have.

        An object may be named instead; it is there.

        Raises:
            DamagedError: a commit has the file, or an object is named, and this clone cannot read it.
        """
        wanted = list(names)
        rest = self._bytes("cat-file", "--batch", content="".join(f"{name}\n" for name in wanted).encode())
        found: list[bytes | None] = []
        for name in wanted:
            head, _, rest = rest.partition(b"\n")
            if head.endswith((b" missing", b" ambiguous")):
                self._require_absent(name)
                found.append(None)
                continue
            size = int(head.rsplit(b" ", 1)[1])
            found.append(rest[:size])
            rest = rest[size + 1 :]
        return found

    def archive(self, commit: str) -> bytes:
        """All files of a commit, as a tar archive."""
        return self._bytes("archive", "--format=tar", commit)

    def write(self, files: Mapping[str, bytes]) -> str:
        """Store files as one tree and return its name."""
        with tempfile.TemporaryDirectory() as folder:
            # An index of its own, so that the one of whoever works here stays as it is.
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            entries = "".join(f"100644 {self._blob(content)}\t{path}\0" for path, content in sorted(files.items()))
            self.said("update-index", "-z", "--index-info", env=index, content=entries.encode())
            return self.said("write-tree", env=index)

    def with_files(self, commit: str, files: Mapping[str, bytes]) -> str:
        """The tree of a commit with the content of some files put in, or exchanged; all others as they are."""
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self.said("read-tree", commit, env=index)
            for path, content in files.items():
                self.said("update-index", "--add", "--cacheinfo", f"100644,{self._blob(content)},{path}", env=index)
            return self.said("write-tree", env=index)

    def commit(self, tree: str, parent: str | None, message: str, *, machine: bool = False) -> str:
        """Make a commit that no branch has yet, in the name of who works here, or of a `machine` where nobody does."""
        nobody = machine or self._git("var", "GIT_COMMITTER_IDENT").returncode != 0
        parents = ("-p", parent) if parent else ()
        env = MACHINE if nobody else None
        return self.said("commit-tree", tree, *parents, "-F", "-", env=env, content=message.encode())

    def _refs(self, beginning: str) -> dict[str, str]:
        """The refs whose whole name begins so, and their objects."""
        # Git takes a whole name or a folder for a pattern, never the beginning of a name.
        folder = beginning.rpartition("/")[0]
        done = self._git("for-each-ref", "--format=%(refname) %(objectname)", f"{folder}/")
        # It leaves out, with a warning, what it cannot read.
        if done.returncode or f"ref {beginning}" in done.stderr.decode(errors="replace"):
            raise self._failure(done)
        pairs = (line.split(" ") for line in done.stdout.decode().splitlines())
        return {name: commit for name, commit in pairs if name.startswith(beginning)}

    def _commit(self, found: str, name: str) -> str:
        """The commit of an object: itself, or the one that it tags."""
        return self._object(f"{found}^{{commit}}", name)

    def _object(self, wanted: str, name: str) -> str:
        done = self._git("rev-parse", "--verify", wanted)
        if done.returncode:
            raise DamagedError(f"this clone cannot read {name}, which is {wanted}; {MENDING}")
        return done.stdout.decode().strip()

    def _has(self, name: str) -> bool:
        answer = self.said("cat-file", "--batch-check", content=f"{name}\n".encode())
        return not answer.endswith(" missing")

    def _require_absent(self, name: str) -> None:
        """Have what could not be read be a file that its commit does not have."""
        commit, is_file, path = name.partition(":")
        if not is_file:
            raise DamagedError(f"this clone cannot read {name}; {MENDING}")
        done = self._git("--literal-pathspecs", "ls-tree", "-z", "--full-tree", commit, path)
        if done.returncode or done.stdout:
            raise DamagedError(f"this clone cannot read {path} of {commit[:12]}; {MENDING}")

    def _blob(self, content: bytes) -> str:
        return self.said("hash-object", "-w", "--stdin", content=content)

    def _yes(self, *command: str) -> bool:
        """What a command of Git answers that says no by exit code 1."""
        done = self._git(*command)
        if done.returncode not in (0, 1):
            raise self._failure(done)
        return done.returncode == 0

    def _bytes(self, *command: str, env: Mapping[str, str] | None = None, content: bytes | None = None) -> bytes:
        done = self._git(*command, env=env, content=content)
        if done.returncode:
            raise self._failure(done)
        return done.stdout

    def _git(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        content: bytes | None = None,
        limit: float | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        env = {"LC_ALL": "C", **(env or {})}
        return finished(*COMMAND, *command, cwd=self.root, env=env, content=content, limit=limit)

    def _failure(self, done: subprocess.CompletedProcess[bytes]) -> UserError:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-8:]
        if any("not a git repository" in line for line in said):
            return UserError(f"{self.root} is in no Git repository; run `make init`")
        command = done.args[len(COMMAND) :]
        return UserError("\n  ".join([f"`git {shlex.join(command)}` failed:", *said]))

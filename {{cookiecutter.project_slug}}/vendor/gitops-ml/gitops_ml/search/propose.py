"""What a search found, as a change: a branch with other params.yaml and the table of trials, and its pull request."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Literal

from pipeline.params import Train
from pydantic import BaseModel
from ruamel.yaml import YAML

from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import DVC, run
from gitops_ml.pages import markup
from gitops_ml.search.space import ENCODINGS
from gitops_ml.search.trials import FOLDER, TABLE, Trials, Tried
from gitops_ml.versions import forge
from gitops_ml.versions.git import MAIN, Git

PARAMS = "params.yaml"
POINTER = f"{FOLDER}.dvc"


class Proposed(BaseModel):
    """What became of a search; the JSON that other programs read."""

    version: Literal[1] = 1
    state: Literal["nothing better", "kept", "proposed"]
    summary: str
    branch: str | None = None
    commit: str | None = None
    where: str | None = None


def keep(root: Path, table: Trials) -> Path:
    """Write the table of trials; where it is."""
    path = root / TABLE
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(table.model_dump(), indent=1) + "\n")
    return path


def base(git: Git) -> str:
    """The commit of main that a proposal is made of.

    Raises:
        UserError: origin cannot be reached, or its main has other settings than those that are searched here.
    """
    git.fetch()
    main = git.tip(MAIN)
    known = git.read(main, PARAMS) if main else None
    if main is None or known is None:
        raise UserError(f"origin has no {MAIN} with a {PARAMS} to change; push it, or say --no-propose")
    if known != (git.root / PARAMS).read_bytes():
        raise UserError(
            f"{PARAMS} is not the one that origin's {MAIN} has, which a proposal would change: bring yours there "
            "first, or say --no-propose"
        )
    return main


def propose(root: Path, table: Trials) -> Proposed:
    """Put the best settings onto a branch of main's tip and ask for it to be merged; the working tree stays as it is.

    A branch that is there already says the same; whatever was done on it since stays.

    Raises:
        UserError: see `base`; the table stays.
    """
    if (better := table.better) is None:
        return Proposed(state="nothing better", summary=table.sentence)
    git = Git(root)
    main = base(git)
    content = edited((root / PARAMS).read_text(encoding="utf-8"), better.train)
    branch = f"search/{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    commit = git.tip(branch)
    if commit is None:
        files = {PARAMS: content.encode(), POINTER: _tracked(root), ".gitignore": _ignoring(git, main)}
        commit = git.commit(git.with_files(main, files), main, _message(table, better), machine=True)
        git.push(commit, f"refs/heads/{branch}")
    title = f"Train {_name(better)} as a search found it"
    where = forge.of(git).propose(branch, MAIN, title, _body(table, better))
    return Proposed(state="proposed", summary=table.sentence, branch=branch, commit=commit, where=where)


def edited(text: str, train: Train) -> str:
    """params.yaml with another estimator and other encodings; comments, order and all other lines stay."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    whole = yaml.load(text)
    block = whole["train"]
    assert train.estimator is not None  # noqa: S101 - of a trial it is one
    if "candidates" in block:
        place = list(block).index("candidates")
        del block["candidates"]
        block.insert(place, "estimator", {"path": train.estimator.path, "arguments": {}})
    named = block["estimator"]
    named["path"] = train.estimator.path
    if train.estimator.arguments:
        arguments = named.setdefault("arguments", {})
        for name in [name for name in arguments if name not in train.estimator.arguments]:
            del arguments[name]
        # In place, so that comments beside what stays do so too.
        arguments.update(train.estimator.arguments)
    else:
        named.pop("arguments", None)
    for name in ENCODINGS:
        if name in block or name in train.model_fields_set:
            block[name] = getattr(train, name)
    out = io.StringIO()
    yaml.dump(whole, out)
    found = out.getvalue()
    # A blank line belongs, for ruamel, to what stands before it, which may be gone.
    for name in whole:
        if f"\n\n{name}:" in text and f"\n\n{name}:" not in found:
            found = found.replace(f"\n{name}:", f"\n\n{name}:")
    return found


def _tracked(root: Path) -> bytes:
    """Have DVC keep the table and put it into the storage; its pointer, which is for the branch alone."""
    before = {path: path.read_bytes() if path.exists() else None for path in (root / POINTER, root / ".gitignore")}
    try:
        run(*DVC, "add", "--quiet", FOLDER, cwd=root)
        run(*DVC, "push", "--quiet", POINTER, cwd=root)
        return (root / POINTER).read_bytes()
    finally:
        # DVC stages what it adds.
        Git(root).said("reset", "--quiet", "--", POINTER)
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)


def _ignoring(git: Git, main: str) -> bytes:
    """.gitignore with the folder that DVC tracks, where DVC's own line for it is not there yet."""
    content = git.read(main, ".gitignore") or b""
    line = f"/{FOLDER}\n".encode()
    return content if line in content else content + line


def _name(tried: Tried) -> str:
    assert tried.train.estimator is not None  # noqa: S101
    return tried.train.estimator.path.rpartition(".")[2]


def _message(table: Trials, better: Tried) -> str:
    return f"Train {_name(better)} as a search found it\n\n{table.sentence}."


def _body(table: Trials, better: Tried) -> str:
    """What the pull request says before anything was trained: cross-validation is no gate."""
    lines = [
        f"{table.sentence}.",
        "",
        "The rows that judge were not seen by the search: the checks below train this, and the gate decides.",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {markup.code(name)} | {markup.code(str(value))} |" for name, value in better.settings.items()),
    ]
    if table.stopped_minutes is not None:
        lines += ["", f"It was ended after {table.stopped_minutes:g} minutes, so another machine may find another one."]
    return "\n".join(lines)

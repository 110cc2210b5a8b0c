"""Writes down what the project was made from, so that it can be updated: template, version, commit, answers, and the
hash of what was baked.

The answers enter as JSON, as in pre_gen_project.py. The same template and answers give the same bytes.
"""

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

CONTEXT = json.loads({{ cookiecutter | jsonify | jsonify }})
RECORD = ".template.json"


def asked(folder, *question):
    """What Git says of a folder that is a clone; nothing if it is none, such as an unpacked archive."""
    if not (folder / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", "-C", str(folder), *question], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def source():
    """Where the template comes from, without a password, and its commit; nothing where nobody could come back to."""
    given = CONTEXT.get("_template", "")
    # cookiecutter has the clone, or a copy of it, where the source may be an abbreviation; cruft names the commit, and
    # bakes it from a clone of its own. A folder is relative to where the command was given.
    clone, folder = Path(CONTEXT.get("_repo_dir") or given), Path(os.environ.get("PWD", "")) / given
    found = asked(clone, "remote", "get-url", "origin")
    if not found and (folder / ".git").exists():
        found = str(folder.resolve())
    if not found and CONTEXT.get("_commit"):
        found = given
    return re.sub(r"^(https?://)[^/@]*@", r"\1", found), CONTEXT.get("_commit") or asked(clone, "rev-parse", "HEAD")


def signed(commit):
    """Record and signature of the template's version, as the tag of the commit has them; the doctor verifies them."""
    clone = Path(CONTEXT.get("_repo_dir") or CONTEXT.get("_template", ""))
    form = "--format=%(if:equals=tag)%(objecttype)%(then)%(contents)%(end)"
    said = asked(clone, "for-each-ref", f"--points-at={commit}", form, "refs/tags/v*") if commit else ""
    found = re.search(r"^\{.*\}\n[A-Za-z0-9+/=]+$", said, re.MULTILINE)
    return {"signed": found[0]} if found else {}


def baked():
    """One hash over all files and their names; none if the folder has become more than what was baked."""
    if Path(".git").exists():
        return ""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.as_posix()}\n"
        for path in sorted(Path().rglob("*"), key=lambda path: path.as_posix())
        if path.is_file() and path.as_posix() != RECORD
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


template, commit = source()
settings = Path("vendor/gitops-ml/pyproject.toml").read_text(encoding="utf-8")
record = {
    "template": template,
    "version": re.search(r'^version = "(.+)"$', settings, re.MULTILINE)[1],
    "commit": commit,
    "bake": baked(),
    "answers": {name: value for name, value in CONTEXT.items() if not name.startswith("_")},
    **signed(commit),
}
text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
Path(RECORD).write_bytes(text.encode())

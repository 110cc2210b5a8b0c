"""MANIFEST.sha256 of the vendored package: the bytes that the template gave each of its files, as `sha256sum` does."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from gitops_ml.core.errors import UserError

FOLDER = Path("vendor") / "gitops-ml"
FILE = "MANIFEST.sha256"
# What tools leave there.
CACHES = re.compile(r"/(__pycache__|\.[^/]*_cache|[^/]*\.egg-info)/")


def write(root: Path) -> bool:
    """Write the manifest of what stands there; whether it was another one."""
    text = "".join(f"{digest}  {path}\n" for path, digest in _found(root).items())
    path = root / FOLDER / FILE
    changed = not path.is_file() or path.read_text(encoding="utf-8") != text
    path.write_text(text, encoding="utf-8")
    return changed


def differing(root: Path) -> dict[str, str]:
    """The vendored files that are not as the template made them, and how each differs.

    Raises:
        UserError: there is no manifest, or it has not the form of one.
    """
    path = root / FOLDER / FILE
    try:
        lines = [line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines()]
        wanted = {name: digest for digest, name in lines}
    except OSError as error:
        raise UserError(f"{FOLDER / FILE} cannot be read: {error.strerror}; restore it with `git checkout`") from error
    except ValueError as error:
        raise UserError(f"{FOLDER / FILE} has a line that names no file; restore it with `git checkout`") from error
    found = _found(root)
    said = dict.fromkeys(wanted.keys() - found.keys(), "is missing")
    said |= dict.fromkeys(found.keys() - wanted.keys(), "was added")
    said |= {name: "was edited" for name in wanted.keys() & found.keys() if wanted[name] != found[name]}
    return {(FOLDER / name).as_posix(): said[name] for name in sorted(said)}


def _found(root: Path) -> dict[str, str]:
    folder = root / FOLDER
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in names
        if name != FILE and not CACHES.search(f"/{name}")
    }

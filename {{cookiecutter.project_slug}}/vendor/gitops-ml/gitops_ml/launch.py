"""The command `gitops-ml`: runs the automation of the repository that it stands in.

What is installed supplies packages alone. So a clone that shares an environment with another one runs its own code, and
`publish`, which stands in a checkout of main, runs main's.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

VENDOR = Path("vendor") / "gitops-ml"
SETTINGS = "project.yaml"
NOWHERE = "in no project; run this in the folder of one"
# What makes a folder without vendor/ a project, or brings it to a version that has one; and what is about many.
UPDATE = ["repo", "update"]
ANYWHERE = (UPDATE, ["repo", "adopt"], ["fleet"])
PROJECT = ("pipeline", "service")
PACKAGES = ("gitops_ml", "gitops_serving", *PROJECT)


def main() -> int:
    """Run the command line of the repository around the working directory; outside of any there is only help."""
    root = repository(Path.cwd())
    # A copy from before there were updates cannot bring itself to one that has them: then it is who was called.
    is_older = sys.argv[1:3] == UPDATE and root is not None and not (root / VENDOR / "gitops_ml" / "update").is_dir()
    if root is not None and not is_older:
        _stand_in(root)
    is_late = root is None and any(sys.argv[1 : 1 + len(words)] == words for words in ANYWHERE)
    if root != Path.cwd() and len(sys.argv) > 1 and "--help" not in sys.argv and not is_late:
        where = f"a folder of the project {root}; run this there" if root else NOWHERE
        print(f"error: {Path.cwd()} is {where}", file=sys.stderr)
        return 1
    from gitops_ml.cli.main import main as command  # noqa: PLC0415 - whose it is has just been decided

    return command()


def repository(folder: Path) -> Path | None:
    """The project that a folder is in; None if there is none around it."""
    around = (folder, *folder.parents)
    return next((each for each in around if (each / SETTINGS).is_file() and (each / VENDOR).is_dir()), None)


def _stand_in(root: Path) -> None:
    """Have the packages of this repository be those that are imported, and none else of it replace an installed one."""
    others = [place for place in sys.path if Path(place).resolve() != root.resolve()]
    sys.path[:] = [str(root / VENDOR), *others, str(root)]
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES and name != __name__]:
        del sys.modules[name]
    for name in PROJECT:
        # Something of that name may be installed too, and would now come first.
        spec = PathFinder.find_spec(name, [str(root)])
        if spec is not None and spec.loader is not None:
            sys.modules[name] = module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])

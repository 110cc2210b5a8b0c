"""The command `gitops-ml`: runs the automation of the repository that it stands in.

What is installed supplies packages alone. So a clone that shares an environment with another one runs its own code, and
`publish`, which stands in a checkout of main, runs main's.
"""

from __future__ import annotations

import sys
from pathlib import Path

VENDOR = Path("vendor") / "gitops-ml"
SETTINGS = "project.yaml"
NOWHERE = "in no project; run this in the folder of one"
PACKAGES = ("gitops_ml", "gitops_serving", "pipeline", "service")


def main() -> int:
    """Run the command line of the repository around the working directory; outside of any there is only help."""
    root = repository(Path.cwd())
    if root is not None:
        _stand_in(root)
    if root != Path.cwd() and len(sys.argv) > 1 and "--help" not in sys.argv:
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
    """Have the packages of this repository be those that are imported."""
    sys.path[:0] = [str(root / VENDOR), str(root)]
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES and name != __name__]:
        del sys.modules[name]

"""The scorer of a served model, made and checked by a process that ends, so that this one need not know scikit-learn.

With what it imports, scikit-learn takes more than 100 MB, and all that is left of it in a fast form are numbers.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pipeline.schema import Schema

from gitops_serving.fast.scorer import Scorer
from gitops_serving.fast.sums import Boosting

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_log = logging.getLogger(__name__)


def scorer(root: Path, tier: str) -> Scorer:
    """What scores rows by the model of the Bento in `root`, by the fastest way that is right here.

    Args:
        root: where the Bento's files are.
        tier: the fastest by which the release was proven; empty if nobody proved it.

    Raises:
        ModelError: the model may not be loaded.
        ValueError: there is no such tier.
    """
    paths = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    # A pipe of its own: whatever code prints is no part of it.
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "gitops_serving.fast.apart", tier, str(writing)]
    with (
        open(reading, "rb") as pipe,
        subprocess.Popen(command, cwd=root, env=os.environ | {"PYTHONPATH": paths}, pass_fds=[writing]) as child,
    ):
        os.close(writing)
        content = pipe.read()
    if child.returncode:
        # What is wrong with the model, this process meets and says, too.
        _log.warning("the process that was to make the fast form ended with %d: this one makes it", child.returncode)
        return _whole(root, tier)
    found, encoder, estimator = pickle.loads(content)  # noqa: S301 - written by our own process
    if estimator is None:
        return _compiled(root, found)
    if isinstance(estimator, Boosting):
        return Scorer(partial(_pipeline, root), _schema(root), encoder, estimator)
    # Batches need it: better now than while somebody waits.
    pipeline = _pipeline(root)
    return Scorer(lambda: pipeline, _schema(root), encoder, estimator)


def main() -> None:
    """Make and check the scorer, and write what is fast of it to the pipe whose number is given."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    found = _whole(Path.cwd(), sys.argv[1])
    try:
        content = pickle.dumps((found.tier, found.encoder, found.estimator))
    except (AttributeError, TypeError, pickle.PicklingError):
        # Some parts hold what scikit-learn made for this process alone.
        content = pickle.dumps((found.tier, None, None))
    with open(int(sys.argv[2]), "wb") as pipe:
        pipe.write(content)


def _whole(root: Path, tier: str) -> Scorer:
    from gitops_serving.fast.compiler import checked  # noqa: PLC0415

    return checked(_compiled(root, tier), _schema(root))


def _compiled(root: Path, tier: str) -> Scorer:
    from gitops_serving.fast.compiler import compiled  # noqa: PLC0415

    return compiled(_pipeline(root), _schema(root)).at_most(tier)


def _schema(root: Path) -> Schema:
    return Schema.model_validate(yaml.safe_load((root / "schema.yaml").read_text(encoding="utf-8")))


def _pipeline(root: Path) -> Pipeline:
    from pipeline import persistence  # noqa: PLC0415

    facts = persistence.ModelFacts.model_validate_json((root / "models/model.json").read_bytes())
    if facts.features != list(_schema(root).features):
        raise persistence.ModelError("the model was trained on other columns than schema.yaml has")
    trusted = yaml.safe_load((root / "project.yaml").read_text(encoding="utf-8"))["trusted_types"]
    return persistence.load((root / "models/model.skops").read_bytes(), facts, trusted)


if __name__ == "__main__":
    main()

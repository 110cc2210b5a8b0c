from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from gitops_ml.core.errors import UserError
from gitops_ml.marks import holds
from gitops_ml.promotion import collect

from tests.automation.promotion.test_foreign import newer_form
from tests.automation.world import World, git

LATER = datetime.now(UTC) + timedelta(days=400)


def unneeded(world: World, *, apply: bool = False) -> dict[str, list[str]]:
    """What nothing needs when more than a year has passed, by kind, as paths inside of the storage."""
    found = collect.collect(world.opened(), 30, apply=apply, now=LATER)
    kinds: dict[str, list[str]] = {"archive": [], "object": [], "run": []}
    for each in found.found:
        kinds[each.kind].append(str(Path(each.path).relative_to(world.storage)))
    return kinds


def archive(world: World, release: str) -> str:
    """Where the storage has the archive of a release."""
    return f"releases/{world.released[release].bento.digest.replace(':', '-')}.tar"


def test_what_something_needs_stays(world: World) -> None:
    """What serves, may be gone back to, is held or proposed stays; the rest is told, and removed on demand."""
    made = [world.release("0").release]
    for model in range(1, 9):
        world.roll_out("staging", "production")
        made.append(world.release(str(model)).release)
    holds.add(world.opened().git, world.released[made[1]], "smells", datetime.now(UTC))
    old = [made[0], made[2]]
    assert unneeded(world)["archive"] == sorted(archive(world, each) for each in old)
    objects = unneeded(world)["object"]
    assert len(objects) == len(old)
    assert unneeded(world, apply=True)["object"] == objects
    assert not any((world.storage / path).exists() for path in objects)
    assert unneeded(world) == {"archive": [], "object": [], "run": []}
    assert world.rollback("production").state == "merged"
    assert world.deploy("production").state == "healthy"


def test_what_is_young_stays(world: World) -> None:
    """Whatever was written lately stays, since a branch that needs it may not be pushed yet."""
    world.release("a")
    world.store(b"somebody's first try")
    found = collect.collect(world.opened(), 30, apply=True)
    assert (found.found, found.kept) == ([], 3)


def test_what_branches_and_their_folders_need_stays(world: World) -> None:
    """Data that a branch alone names stays, with the files of its folders, and a run that made what stays."""
    inside = world.store(b"a row")
    folder = world.store(f'[{{"md5": "{inside}", "relpath": "a.csv"}}]'.encode())
    place = world.storage / "files" / "md5" / folder[:2] / folder[2:]
    place.rename(place.with_name(f"{place.name}.dir"))
    lost = world.store(b"nobody's")
    git(world.root, "checkout", "--quiet", "-B", "side", "origin/main")
    (world.root / "data").mkdir(exist_ok=True)
    (world.root / "data" / "raw.dvc").write_text(yaml.safe_dump({"outs": [{"md5": f"{folder}.dir", "path": "raw"}]}))
    git(world.root, "add", "--force", "data/raw.dvc")
    git(world.root, "commit", "--quiet", "--message", "Data of a branch")
    git(world.root, "push", "--quiet", "origin", "side")
    for name, out in (("good", inside), ("bad", lost)):
        run = world.storage / "runs" / "ab" / "abc" / name
        run.parent.mkdir(parents=True, exist_ok=True)
        run.write_text(yaml.safe_dump({"cmd": "train", "outs": [{"path": "model", "md5": out}]}))
    kinds = unneeded(world)
    assert kinds == {"archive": [], "object": [f"files/md5/{lost[:2]}/{lost[2:]}"], "run": ["runs/ab/abc/bad"]}
    git(world.root, "push", "--quiet", "--delete", "origin", "side")
    assert len(unneeded(world)["object"]) == 3


def test_what_cannot_be_read_may_need_anything(world: World) -> None:
    """Where a release cannot be read, or the storage is gone, nothing is removed."""
    made = world.release("a")
    git_ = world.opened().git
    files = {"release.json": newer_form(made), "MODEL_CARD.md": b"# A card\n"}
    git_.push(git_.commit(git_.write(files), made.commit, "Release"), "refs/tags/release/fedcba9876543210")
    with pytest.raises(UserError, match=r"release/fedcba9876543210.*is not known here, so nothing is looked for"):
        unneeded(world, apply=True)
    git(world.origin, "tag", "--delete", "release/fedcba9876543210")
    git(world.root, "checkout", "--quiet", "-B", "broken", "origin/main")
    (world.root / "raw.dvc").write_text("outs:\n<<<<<<< ours\n")
    git(world.root, "add", "--force", "raw.dvc")
    git(world.root, "commit", "--quiet", "--message", "In conflict")
    git(world.root, "push", "--quiet", "origin", "broken")
    with pytest.raises(UserError, match=r"raw\.dvc of .* cannot be read, so what it needs is not known"):
        unneeded(world, apply=True)
    git(world.root, "push", "--quiet", "--delete", "origin", "broken")
    os.rename(world.storage, world.storage.with_name("away"))
    with pytest.raises(UserError, match="does not exist or cannot be reached"):
        unneeded(world, apply=True)

from __future__ import annotations

from pathlib import Path

import pytest
from gitops_ml.core import record, signing
from gitops_ml.core.errors import UserError
from gitops_ml.deployment import deploy
from gitops_ml.host.host import Host
from gitops_ml.promotion import keys
from gitops_ml.release import tags

from tests.automation.promotion.test_promotion import failing
from tests.automation.world import Servers, World, git


def merge(world: World) -> None:
    """Merge the keys of the working tree to main."""
    git(world.root, "commit", "--quiet", "--message", "Keys", "--", signing.PUBLIC)
    git(world.root, "push", "--quiet", "origin", "HEAD:main")


def rotate(world: World) -> tuple[str, str]:
    """Make another key and merge it; the new one's name, and the old one's."""
    git(world.root, "fetch", "--quiet", "origin")
    git(world.root, "checkout", "--quiet", "-B", "main", "origin/main")
    assert signing.create_key(world.root, another=True)
    merge(world)
    new, old = signing.keys((world.root / signing.PUBLIC).read_bytes())
    return new, old


def signer(world: World, made: record.Release) -> str:
    """Which key signed a release."""
    files = tags.find(world.opened().git, made.release).files
    return signing.signer(files[record.FILE], files[record.SIGNATURE], (world.root / signing.PUBLIC).read_bytes())


def test_a_key_is_rotated_while_everything_goes_on(world: World, tmp_path: Path) -> None:
    """The new key signs, the old one's releases serve, go back and come to new hosts until it is withdrawn."""
    first = world.release("a")
    world.roll_out("staging", "production")
    new, old = rotate(world)
    assert world.deploy("production").serving == first.release
    second = world.release("b")
    assert (signer(world, first), signer(world, second)) == (old, new)
    world.roll_out("staging", "production")
    assert world.rollback("production").state == "merged"
    assert world.deploy("production").serving == first.release
    found = keys.withdraw(world.opened(), world.root)
    assert found.withdrawn == []
    assert found.needed == {
        old: [f"{first.release}, which staging would go back to", f"{first.release}, which production serves"]
    }
    for model in ("c", "d"):
        world.release(model)
        world.roll_out("staging", "production")
    would = keys.withdraw(world.opened(), world.root, dry_run=True)
    assert len(signing.keys((world.root / signing.PUBLIC).read_bytes())) == 2
    done = keys.withdraw(world.opened(), world.root)
    assert done == would
    assert (done.withdrawn, done.needed, done.lost) == ([old], {}, [first.release])
    merge(world)
    refused = world.rollback("production", first.release)
    assert "signed by none of the keys" in failing(refused)["signature"]
    deploy.stop(world.host("production"))
    servers = world.hosts["new"] = Servers(tmp_path / "new")
    host = Host(world.root, tmp_path / "new", {"process": servers})
    done_ = deploy.deploy(world.root, "production", host)
    assert done_.state == "healthy"
    deploy.stop(host)


def test_what_no_key_signed_is_told_apart(world: World) -> None:
    """Where what serves was signed by a key that is gone from the file, that is said, and nothing is made up."""
    first = world.release("a")
    world.roll_out("staging", "production")
    (world.root / signing.PUBLIC).unlink()
    for _ in range(2):
        signing.create_key(world.root, another=True)
    found = keys.withdraw(world.opened(), world.root, dry_run=True)
    assert found.needed == {}
    assert found.unverified == [f"{first.release}, which {name} serves" for name in ("staging", "production")]


def test_the_only_key_is_not_withdrawn(world: World) -> None:
    """A project with one key is told how to get the one that replaces it."""
    with pytest.raises(UserError, match="has one key; `gitops-ml release key --rotate` makes the one that replaces it"):
        keys.withdraw(world.opened(), world.root)

from __future__ import annotations

from gitops_ml.core import record
from gitops_ml.promotion import verify
from gitops_ml.release import tags
from gitops_ml.versions import environment

from tests.automation.promotion.test_promotion import failing
from tests.automation.world import World, git

IMAGE = record.Image(name="ghcr.io/acme/flights", digest="sha256:" + "ab" * 32)


def push_onto(world: World, name: str, made: record.Release) -> str:
    """Have somebody with all rights push the well-formed tree of a release onto an environment."""
    repository = world.opened()
    tree = repository.git.write(environment.render(repository.git, tags.find(repository.git, made.release), name))
    commit = repository.git.commit(tree, repository.tip(name), "By hand")
    repository.git.push(commit, f"refs/heads/env/{name}")
    return commit


def test_an_agent_refuses_what_was_never_healthy_before(world: World) -> None:
    """A release that somebody pushed past the environment before is not applied; what serves goes on."""
    first = world.release("a")
    world.roll_out("staging", "production")
    second = world.release("b")
    push_onto(world, "production", second)
    done = world.deploy("production")
    assert (done.state, done.serving, done.exit_code) == ("failed", first.release, 3)
    assert done.reason == f"{second.release} was never healthy in staging, which comes before production"
    world.roll_out("staging")
    assert world.deploy("production").serving == second.release


def test_a_release_of_a_commit_that_main_has_not(world: World) -> None:
    """A release whose source was never merged, or was taken off main, is neither promoted nor applied."""
    git(world.root, "checkout", "--quiet", "-B", "side", "origin/main")
    git(world.root, "commit", "--quiet", "--allow-empty", "--message", "Never reviewed")
    git(world.root, "push", "--quiet", "origin", "side")
    (world.root / "dvc.lock").write_text("stages: {}\n")
    made = world.publish(b"model")
    refused = world.promote("staging", made.release)
    assert refused.exit_code == 3
    assert failing(refused)["source"] == f"its source commit {made.commit[:12]} is not on main"
    push_onto(world, "staging", made)
    done = world.deploy("staging")
    assert (done.state, done.serving) == ("failed", None)
    assert "is not on main" in done.reason
    git(world.root, "push", "--quiet", "origin", "side:main")
    assert world.deploy("staging").serving == made.release


def test_what_a_cluster_applies_is_whole(world: World) -> None:
    """An environment's branch has every manifest, each with the facts of its release, and what is no fact unchanged."""
    git(world.root, "checkout", "--quiet", "-B", "main", "origin/main")
    alerts = world.root / "deploy" / "base" / "alerts.yaml"
    alerts.write_text(alerts.read_text() + "# team@example.org, @nobody@, @Environment@\n")
    git(world.root, "commit", "--quiet", "--all", "--message", "A comment")
    git(world.root, "push", "--quiet", "origin", "main")
    made = world.release("a", image=IMAGE)
    rendered = environment.render(world.opened().git, tags.find(world.opened().git, made.release), "staging")
    sources = git(world.root, "ls-files", "deploy/base", "deploy/overlays/staging").splitlines()
    manifests = {path.replace("deploy/", "kubernetes/", 1) for path in sources} | {"kubernetes/kustomization.yaml"}
    assert {path for path in rendered if path.startswith("kubernetes/")} == manifests
    assert not any("overlays/production" in path for path in rendered)
    assert rendered["kubernetes/base/alerts.yaml"].endswith(b"# team@example.org, @nobody@, @Environment@\n")
    whole = b"".join(content for path, content in rendered.items() if path != environment.WORKFLOW)
    for fact in ("project", "environment", "release", "short", "commit", "model", "image", "digest"):
        assert f"@{fact}@".encode() not in whole, fact
    top = rendered["kubernetes/kustomization.yaml"].decode()
    assert IMAGE.digest in top
    assert IMAGE.name in top
    assert made.release.partition(":")[0] in top


def test_a_release_without_an_image_has_no_manifests(world: World) -> None:
    """Where releases are no images, the branch holds nothing that a cluster could apply."""
    made = world.release("a")
    rendered = environment.render(world.opened().git, tags.find(world.opened().git, made.release), "staging")
    assert set(rendered) == {"README.md", "state", environment.WORKFLOW, record.FILE, record.SIGNATURE, record.CARD}


def test_an_environment_that_wants_an_image_asks_for_one(world: World) -> None:
    """A release that was made without an image is not put where containers serve."""
    made = world.release("a")
    repository = world.opened()
    repository.policy.environments[0].runner = "compose"
    tree = repository.git.write(environment.render(repository.git, tags.find(repository.git, made.release), "staging"))
    commit = repository.git.commit(tree, repository.tip("staging"), "Promote")
    checked = verify.verify(repository, "staging", commit, "promote")
    assert [check.sentence for check in checked.failures] == [
        f"{made.release} was made without an image, and this environment runs containers"
    ]
